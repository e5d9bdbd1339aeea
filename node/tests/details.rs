//! What clients trip over: every detail of the RPC answers, over real HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde_json::{Value, json};
use support::*;

#[test]
fn transactions_of_every_type_show_their_fields() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        let raw = [
            alice.sign(legacy(0, SOMEONE)),
            alice.sign(type_one(1, SOMEONE)),
            alice.transfer(2, SOMEONE, 1),
        ];
        for (kind, raw) in raw.iter().enumerate() {
            let receipt = rpc.mine(raw);
            let kind = format!("{kind:#x}");
            assert_eq!(receipt["type"], kind);
            assert_eq!(receipt["gasUsed"], "0x5208");
            assert_eq!(receipt["contractAddress"], Value::Null);
            assert_eq!(receipt["from"], json!(alice.address));
            let hash = receipt["transactionHash"].clone();
            let transaction = rpc.call("eth_getTransactionByHash", json!([hash]));
            assert_eq!(transaction["type"], kind);
            assert_eq!(transaction["blockHash"], receipt["blockHash"]);
            assert_eq!(transaction["chainId"], "0x17f5");
            if kind == "0x0" {
                let v = number(&transaction["v"]);
                assert!(v == 2 * CHAIN_ID + 35 || v == 2 * CHAIN_ID + 36);
            } else {
                assert_eq!(transaction["yParity"], transaction["v"]);
            }
            let price = rpc.call("eth_getBlockByHash", json!([receipt["blockHash"], false]))["baseFeePerGas"].clone();
            let tip = if kind == "0x2" {
                2_000_000_000
            } else {
                100_000_000_000 - number(&price)
            };
            assert_eq!(number(&receipt["effectiveGasPrice"]), number(&price) + tip);
            let same = rpc.call(
                "eth_getTransactionByBlockHashAndIndex",
                json!([receipt["blockHash"], "0x0"]),
            );
            assert_eq!(same, transaction);
            let same = rpc.call(
                "eth_getTransactionByBlockNumberAndIndex",
                json!([receipt["blockNumber"], "0x0"]),
            );
            assert_eq!(same, transaction);
            assert_eq!(
                rpc.call("eth_getRawTransactionByHash", json!([hash])),
                json!(raw)
            );
        }
    });
}

#[test]
fn block_parameters_in_every_form() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        let receipt = rpc.mine(&alice.transfer(0, SOMEONE, 7));
        rpc.mine(&alice.transfer(1, SOMEONE, 1));
        let balance = |block: Value| rpc.call("eth_getBalance", json!([SOMEONE, block]));
        for newest in [
            json!("latest"),
            json!("pending"),
            json!("safe"),
            json!("finalized"),
            json!("0x2"),
            Value::Null,
        ] {
            assert_eq!(balance(newest.clone()), "0x8", "{newest}");
        }
        assert_eq!(rpc.call("eth_getBalance", json!([SOMEONE])), "0x8");
        assert_eq!(balance(json!("earliest")), "0x0");
        assert_eq!(balance(json!("0x1")), "0x7");
        let hash = receipt["blockHash"].clone();
        assert_eq!(balance(hash.clone()), "0x7");
        assert_eq!(balance(json!({"blockHash": hash})), "0x7");
        assert_eq!(
            balance(json!({"blockHash": hash, "requireCanonical": true})),
            "0x7"
        );
        assert_eq!(balance(json!({"blockNumber": "0x1"})), "0x7");
        assert_eq!(
            rpc.refused("eth_getBalance", json!([SOMEONE, "0x3"])),
            (-32000, "header not found".to_owned())
        );
        assert_eq!(
            rpc.refused("eth_getBalance", json!([SOMEONE, topic(9)])),
            (-32000, "header for hash not found".to_owned())
        );
        let block = rpc.call("eth_getBlockByNumber", json!(["latest", true]));
        assert_eq!(block["number"], "0x2");
        assert_eq!(block["transactions"][0]["blockNumber"], "0x2");
        assert_eq!(
            rpc.call("eth_getBlockByHash", json!([block["hash"], true])),
            block
        );
        assert_eq!(
            rpc.call("eth_getBlockByNumber", json!(["finalized", true])),
            block
        );
        assert_eq!(
            rpc.call("eth_getBlockTransactionCountByNumber", json!(["0x2"])),
            "0x1"
        );
        assert_eq!(
            rpc.call("eth_getBlockTransactionCountByHash", json!([hash])),
            "0x1"
        );
        assert_eq!(
            rpc.call("eth_getUncleCountByBlockNumber", json!(["0x2"])),
            "0x0"
        );
        assert_eq!(
            rpc.call("eth_getUncleCountByBlockHash", json!([hash])),
            "0x0"
        );
        let header = rpc.call("eth_getHeaderByNumber", json!(["0x2"]));
        assert_eq!(header["hash"], block["hash"]);
    });
}

#[test]
fn the_unknown_is_null() {
    with_node(config(), |rpc| {
        let unknown = topic(9);
        let nulls = [
            ("eth_getBlockByNumber", json!(["0x99", false])),
            ("eth_getBlockByHash", json!([unknown, true])),
            ("eth_getHeaderByNumber", json!(["0x99"])),
            ("eth_getTransactionByHash", json!([unknown])),
            ("eth_getTransactionReceipt", json!([unknown])),
            ("eth_getBlockReceipts", json!(["0x99"])),
            ("eth_getBlockReceipts", json!([unknown])),
            (
                "eth_getTransactionByBlockNumberAndIndex",
                json!(["0x0", "0x0"]),
            ),
            (
                "eth_getTransactionByBlockHashAndIndex",
                json!([unknown, "0x0"]),
            ),
            ("eth_getBlockTransactionCountByNumber", json!(["0x99"])),
            ("eth_getBlockTransactionCountByHash", json!([unknown])),
            ("eth_getUncleCountByBlockNumber", json!(["0x99"])),
            ("eth_getUncleByBlockNumberAndIndex", json!(["0x0", "0x0"])),
            ("eth_getUncleByBlockHashAndIndex", json!([unknown, "0x0"])),
        ];
        for (method, params) in nulls {
            assert_eq!(
                rpc.call(method, params.clone()),
                Value::Null,
                "{method} {params}"
            );
        }
    });
}

#[test]
fn fees() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        for nonce in 0..3 {
            rpc.mine(&alice.transfer(nonce, SOMEONE, 1));
        }
        assert_eq!(
            number(&rpc.call("eth_maxPriorityFeePerGas", json!([]))),
            2_000_000_000
        );
        let history = rpc.call("eth_feeHistory", json!(["0x2", "latest", [0, 50, 100]]));
        assert_eq!(history["oldestBlock"], "0x2");
        assert_eq!(history["baseFeePerGas"].as_array().unwrap().len(), 3);
        assert_eq!(history["gasUsedRatio"].as_array().unwrap().len(), 2);
        assert_eq!(
            history["reward"],
            serde_json::to_value([["0x77359400"; 3]; 2]).unwrap()
        );
        let next = number(&history["baseFeePerGas"][2]);
        assert_eq!(
            number(&rpc.call("eth_gasPrice", json!([]))),
            next + 2_000_000_000
        );
        assert_eq!(rpc.call("eth_blobBaseFee", json!([])), "0x1");
        // With the block that would be built now as the last one.
        let pending = rpc.call("eth_feeHistory", json!(["0x2", "pending", [50]]));
        assert_eq!(number(&pending["oldestBlock"]), rpc.block_number());
        let built = rpc.call("eth_getBlockByNumber", json!(["pending", false]));
        assert_eq!(pending["baseFeePerGas"][1], built["baseFeePerGas"]);
        assert_eq!(pending["baseFeePerGas"].as_array().unwrap().len(), 3);
        assert_eq!(pending["gasUsedRatio"][1], 0.0);
        assert_eq!(pending["reward"][1], json!(["0x0"]));
        let all = rpc.call("eth_feeHistory", json!([1000, "latest"]));
        assert_eq!(all["oldestBlock"], "0x0");
        assert_eq!(all.get("reward"), None);
        assert_eq!(rpc.refused("eth_feeHistory", json!([1, "0x99"])).0, -32000);
        assert_eq!(
            rpc.refused("eth_feeHistory", json!([1, "latest", [5, 4]]))
                .0,
            -32000
        );
    });
}

#[test]
fn calls_estimates_and_access_lists() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        let transfer = json!({"from": alice.address, "to": SOMEONE, "value": "0x1"});
        assert_eq!(rpc.call("eth_estimateGas", json!([transfer])), "0x5208");
        let contract = alice.address.create(0);
        rpc.mine(&alice.sign(create(0, deploy(&logger()))));
        let gas = number(&rpc.call(
            "eth_estimateGas",
            json!([{"from": alice.address, "to": contract}]),
        ));
        let mut exact = call(1, contract, Bytes::new());
        exact.gas_limit = gas;
        assert_eq!(rpc.mine(&alice.sign(exact))["status"], "0x1");

        // Code and balance that are not there.
        let returns_balance = hex!("4760005260206000f3");
        let overrides = json!({SOMEONE.to_string(): {"code": Bytes::from(returns_balance.to_vec()), "balance": "0x1234"}});
        let answer = rpc.call("eth_call", json!([{"to": SOMEONE}, "latest", overrides]));
        assert_eq!(answer, json!(B256::from(U256::from(0x1234))));
        assert_eq!(rpc.call("eth_call", json!([{"to": SOMEONE}])), "0x");

        let list = rpc.call(
            "eth_createAccessList",
            json!([{"from": alice.address, "to": contract}]),
        );
        assert_eq!(
            list["accessList"],
            json!([{"address": contract, "storageKeys": [topic(0)]}])
        );
        assert!(number(&list["gasUsed"]) > 21_000);
        let both = json!([{"to": SOMEONE, "data": "0x01", "input": "0x02"}]);
        assert_eq!(rpc.refused("eth_call", both).0, -32602);
        let same = json!([{"to": SOMEONE, "data": "0x01", "input": "0x01"}]);
        assert_eq!(rpc.call("eth_call", same), "0x");
    });
}

#[test]
fn what_the_node_says_about_itself() {
    with_node(config(), |rpc| {
        assert!(
            rpc.call("web3_clientVersion", json!([]))
                .as_str()
                .unwrap()
                .starts_with("parsd/v")
        );
        let hash = "0x47173285a8d7341e5e972fc677286384f802f8ef42a5ec5f03bbfa254cb01fad";
        assert_eq!(
            rpc.call("web3_sha3", json!(["0x68656c6c6f20776f726c64"])),
            hash
        );
        assert_eq!(rpc.call("net_version", json!([])), "6133");
        assert_eq!(rpc.call("net_listening", json!([])), true);
        assert_eq!(rpc.call("net_peerCount", json!([])), "0x0");
        assert_eq!(rpc.call("eth_syncing", json!([])), false);
        assert_eq!(rpc.call("eth_accounts", json!([])), json!([]));
        assert_eq!(rpc.call("rpc_modules", json!([]))["eth"], "1.0");
        let precompiles = rpc.call("pars_precompiles", json!([]));
        let ml_dsa: Address = "0x0000000000000000000000000000000000000602"
            .parse()
            .unwrap();
        assert_eq!(precompiles[0]["address"], json!(ml_dsa));
        assert!(
            rpc.call("pars_engineDevices", json!([]))["cpu"]["threads"]
                .as_u64()
                .unwrap()
                > 0
        );
        assert_eq!(
            rpc.call("pars_engineStats", json!([]))["kernels"][0]["kernel"],
            "mldsa/verify"
        );
    });
}

#[test]
fn raw_bytes_hash_to_what_they_are() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        let raw = alice.transfer(0, SOMEONE, 1);
        let receipt = rpc.mine(&raw);
        let bytes = |method: &str, params: Value| -> Bytes {
            rpc.call(method, params).as_str().unwrap().parse().unwrap()
        };
        let header = bytes("debug_getRawHeader", json!(["0x1"]));
        assert_eq!(
            json!(alloy_primitives::keccak256(&header)),
            receipt["blockHash"]
        );
        let block = bytes("debug_getRawBlock", json!([receipt["blockHash"]]));
        assert!(
            block
                .windows(header.len())
                .any(|window| window == header.as_ref())
        );
        let size = rpc.call("eth_getBlockByNumber", json!(["0x1", false]))["size"].clone();
        assert_eq!(number(&size), block.len() as u64);
        assert_eq!(
            bytes(
                "debug_getRawTransaction",
                json!([receipt["transactionHash"]])
            ),
            raw
        );
        assert_eq!(
            rpc.call("debug_getRawReceipts", json!(["0x1"]))
                .as_array()
                .unwrap()
                .len(),
            1
        );
        assert_eq!(rpc.refused("debug_getRawBlock", json!(["0x9"])).0, -32000);
    });
}
