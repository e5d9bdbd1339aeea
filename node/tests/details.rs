//! What clients trip over: every detail of the RPC answers, over real HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde_json::{Value, json};
use support::*;

#[test]
fn a_transfer_is_in_a_block_within_400_ms() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        // The first block of a process may pay for warming up.
        rpc.mine(&alice.transfer(0, SOMEONE, 1));
        for nonce in 1..6 {
            let began = Instant::now();
            let receipt = rpc.mine(&alice.transfer(nonce, SOMEONE, 1));
            assert!(
                began.elapsed() < Duration::from_millis(400),
                "{:?}",
                began.elapsed()
            );
            assert_eq!(receipt["status"], "0x1");
        }
        assert_eq!(
            rpc.call("eth_getBalance", json!([SOMEONE, "latest"])),
            "0x6"
        );
        assert_eq!(
            rpc.call("eth_getTransactionCount", json!([alice.address, "latest"])),
            "0x6"
        );
    });
}

#[test]
fn no_work_no_block() {
    with_node(config(), |rpc| {
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(rpc.block_number(), 0);
    });
}

#[test]
fn a_heart_beats_and_an_interval_keeps_time() {
    use pars_node::Pace;
    for pace in [
        Pace::OnWork {
            gather: Duration::from_millis(10),
            spacing: Duration::from_millis(10),
            heartbeat: Some(Duration::from_millis(150)),
        },
        Pace::Every(Duration::from_millis(150)),
    ] {
        let mut config = config();
        config.producer.pace = pace;
        with_node(config, move |rpc| {
            std::thread::sleep(Duration::from_millis(1500));
            let blocks = rpc.block_number();
            assert!((3..=10).contains(&blocks), "{pace:?}: {blocks} blocks");
        });
    }
}

#[test]
fn transactions_sent_together_share_a_block() {
    with_node(config(), |rpc| {
        let wallets: Vec<_> = (0..5).map(Wallet::development).collect();
        let raw: Vec<_> = wallets
            .iter()
            .map(|wallet| wallet.transfer(0, SOMEONE, 1))
            .collect();
        let requests: Vec<_> = raw
            .iter()
            .enumerate()
            .map(|(id, raw)| json!({"jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransaction", "params": [raw]}))
            .collect();
        let (_, answer) = rpc.post(Value::from(requests).to_string().as_bytes());
        let answers: Vec<Value> = serde_json::from_str(&answer).unwrap();
        let blocks: Vec<_> = answers
            .iter()
            .map(|answer| number(&rpc.receipt(answer["result"].as_str().unwrap())["blockNumber"]))
            .collect();
        assert!(
            blocks.iter().max().unwrap() - blocks.iter().min().unwrap() <= 1,
            "{blocks:?}"
        );
    });
}

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
fn creations_logs_storage_and_reverts() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        let receipt = rpc.mine(&alice.sign(create(0, deploy(&logger()))));
        let address = alice.address.create(0);
        assert_eq!(receipt["to"], Value::Null);
        assert_eq!(receipt["contractAddress"], json!(address));
        assert_eq!(
            rpc.call("eth_getCode", json!([address, "latest"])),
            json!(Bytes::from(logger()))
        );
        assert_eq!(rpc.call("eth_getCode", json!([address, "0x0"])), "0x");

        let receipt = rpc.mine(&alice.sign(call(1, address, Bytes::new())));
        let word = |last: u8| json!(topic(last));
        assert_eq!(
            rpc.call("eth_getStorageAt", json!([address, "0x0", "latest"])),
            word(42)
        );
        assert_eq!(
            rpc.call("eth_getStorageAt", json!([address, topic(0), "0x1"])),
            word(0)
        );
        assert_eq!(receipt["logs"][1]["logIndex"], "0x1");
        assert_eq!(receipt["logs"][1]["topics"], json!([topic(2)]));
        assert_eq!(
            rpc.call("eth_getBlockReceipts", json!([receipt["blockNumber"]])),
            json!([receipt])
        );

        let everything = json!([{"fromBlock": "earliest", "address": address}]);
        let logs = rpc.call("eth_getLogs", everything);
        assert_eq!(logs, receipt["logs"]);
        let by_topic = |filter: Value| {
            rpc.call("eth_getLogs", json!([filter]))
                .as_array()
                .unwrap()
                .len()
        };
        assert_eq!(
            by_topic(json!({"fromBlock": "0x0", "topics": [topic(1)]})),
            1
        );
        assert_eq!(
            by_topic(json!({"fromBlock": "0x0", "topics": [[topic(1), topic(2)]]})),
            2
        );
        assert_eq!(
            by_topic(json!({"fromBlock": "0x0", "topics": [topic(3)]})),
            0
        );
        assert_eq!(by_topic(json!({"fromBlock": "0x0", "toBlock": "0x1"})), 0);
        assert_eq!(by_topic(json!({"blockHash": receipt["blockHash"]})), 2);
        assert_eq!(by_topic(json!({"address": SOMEONE, "fromBlock": "0x0"})), 0);

        let receipt = rpc.mine(&alice.sign(create(2, deploy(&refuser()))));
        let call_it = json!([{"from": alice.address, "to": receipt["contractAddress"]}, "latest"]);
        for method in ["eth_call", "eth_estimateGas"] {
            let error = rpc.ask(method, call_it.clone())["error"].clone();
            assert_eq!(error["code"], 3, "{method}: {error}");
            assert_eq!(error["message"], "execution reverted: not yours");
            assert_eq!(error["data"], json!(Bytes::from(error_data())));
        }
        let refuser = alice.address.create(2);
        let failed = rpc.mine(&alice.sign(call(3, refuser, Bytes::new())));
        assert_eq!(failed["status"], "0x0");
        assert_eq!(failed["logs"], json!([]));
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
            ("eth_getRawTransactionByHash", json!([unknown])),
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
fn pending_transactions_and_the_pending_block() {
    let mut config = config();
    // Slow enough to look at what waits.
    config.producer.pace = pars_node::Pace::Every(Duration::from_secs(600));
    with_node(config, |rpc| {
        let alice = Wallet::development(0);
        let hash = rpc.send(&alice.transfer(0, SOMEONE, 1));
        let waiting = rpc.call("eth_getTransactionByHash", json!([hash]));
        for field in ["blockHash", "blockNumber", "transactionIndex"] {
            assert_eq!(waiting.get(field), Some(&Value::Null), "{field}");
        }
        assert_eq!(
            rpc.call("eth_getTransactionReceipt", json!([hash])),
            Value::Null
        );
        assert_eq!(
            rpc.call("eth_getTransactionCount", json!([alice.address, "pending"])),
            "0x1"
        );
        assert_eq!(
            rpc.call("eth_getTransactionCount", json!([alice.address, "latest"])),
            "0x0"
        );
        let block = rpc.call("eth_getBlockByNumber", json!(["pending", true]));
        assert_eq!(block["number"], "0x1");
        assert_eq!(block["hash"], Value::Null);
        assert_eq!(block["nonce"], Value::Null);
        assert_eq!(block["transactions"][0]["hash"], json!(hash));
        assert_eq!(block["transactions"][0]["blockHash"], Value::Null);
        assert_eq!(
            rpc.call("eth_getBlockTransactionCountByNumber", json!(["pending"])),
            "0x1"
        );
        // The state after the pending block, too.
        let balance = |block: &str| rpc.call("eth_getBalance", json!([SOMEONE, block]));
        assert_eq!(
            (balance("pending"), balance("latest")),
            (json!("0x1"), json!("0x0"))
        );
        let contract = alice.address.create(1);
        rpc.send(&alice.sign(create(1, deploy(&logger()))));
        rpc.send(&alice.sign(call(2, contract, Bytes::new())));
        assert_eq!(
            rpc.call("eth_getCode", json!([contract, "pending"])),
            json!(Bytes::from(logger()))
        );
        assert_eq!(rpc.call("eth_getCode", json!([contract, "latest"])), "0x");
        assert_eq!(
            rpc.call("eth_getStorageAt", json!([contract, "0x0", "pending"])),
            json!(topic(42))
        );
        let number_of = hex!("4360005260206000f3");
        let overrides = json!({SOMEONE.to_string(): {"code": Bytes::from(number_of.to_vec())}});
        let answer = rpc.call("eth_call", json!([{"to": SOMEONE}, "pending", overrides]));
        assert_eq!(answer, json!(topic(1)));
        let gas =
            |block: &str| number(&rpc.call("eth_estimateGas", json!([{"to": contract}, block])));
        assert_eq!(gas("latest"), 21_000);
        assert!(gas("pending") > 21_000);
        assert_eq!(
            rpc.call("eth_getTransactionCount", json!([alice.address, "pending"])),
            "0x3"
        );
        assert_eq!(rpc.block_number(), 0);
        let again = alice.transfer(0, SOMEONE, 1);
        assert_eq!(
            rpc.refused("eth_sendRawTransaction", json!([again])),
            (-32000, "already known".to_owned())
        );
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
fn log_queries_have_limits() {
    let mut config = config();
    config.rpc.max_log_blocks = 2;
    config.rpc.max_logs = 3;
    with_node(config, |rpc| {
        let alice = Wallet::development(0);
        let contract = alice.address.create(0);
        rpc.mine(&alice.sign(create(0, deploy(&logger()))));
        let filter = rpc.call("eth_newFilter", json!([{"address": contract}]));
        for nonce in 1..4 {
            rpc.mine(&alice.sign(call(nonce, contract, Bytes::new())));
        }
        let range = |from: &str, to: &str| json!([{"fromBlock": from, "toBlock": to}]);
        assert_eq!(rpc.refused("eth_getLogs", range("0x0", "0x2")).0, -32005);
        assert_eq!(rpc.refused("eth_getLogs", range("0x2", "0x3")).0, -32005);
        assert_eq!(
            rpc.call("eth_getLogs", range("0x1", "0x2"))
                .as_array()
                .unwrap()
                .len(),
            2
        );
        assert_eq!(rpc.call("eth_getLogs", range("0x99", "0xffff")), json!([]));
        let reversed = rpc.refused("eth_getLogs", range("0x2", "0x1"));
        assert_eq!(reversed, (-32602, "invalid block range params".to_owned()));
        assert_eq!(rpc.refused("eth_getLogs", range("latest", "0x1")).0, -32602);
        assert_eq!(rpc.refused("eth_newFilter", range("0x2", "0x1")).0, -32602);
        let both = json!([{"fromBlock": "0x1", "blockHash": topic(1)}]);
        assert_eq!(rpc.refused("eth_getLogs", both).0, -32602);
        let unknown = rpc.refused("eth_getLogs", json!([{"blockHash": topic(1)}]));
        assert_eq!(unknown, (-32000, "unknown block".to_owned()));
        // A poll that hits the limit goes on next time and loses nothing.
        let mut polled = Vec::new();
        for _ in 0..3 {
            polled.extend(
                rpc.call("eth_getFilterChanges", json!([filter]))
                    .as_array()
                    .unwrap()
                    .clone(),
            );
        }
        assert_eq!(polled.len(), 6);
    });
}

#[test]
fn filters_report_what_is_new() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        let contract = alice.address.create(0);
        rpc.mine(&alice.sign(create(0, deploy(&logger()))));
        let logs = rpc.call(
            "eth_newFilter",
            json!([{"address": contract, "topics": [topic(2)]}]),
        );
        let blocks = rpc.call("eth_newBlockFilter", json!([]));
        let pending = rpc.call("eth_newPendingTransactionFilter", json!([]));
        let changes = |id: &Value| rpc.call("eth_getFilterChanges", json!([id]));
        assert_eq!(changes(&logs), json!([]));
        assert_eq!(changes(&blocks), json!([]));
        assert_eq!(changes(&pending), json!([]));
        let receipt = rpc.mine(&alice.sign(call(1, contract, Bytes::new())));
        assert_eq!(changes(&logs), json!([receipt["logs"][1]]));
        assert_eq!(changes(&logs), json!([]));
        assert_eq!(changes(&blocks), json!([receipt["blockHash"]]));
        assert_eq!(changes(&pending), json!([receipt["transactionHash"]]));
        assert_eq!(
            rpc.call("eth_getFilterLogs", json!([logs])),
            json!([receipt["logs"][1]])
        );
        assert_eq!(
            rpc.refused("eth_getFilterLogs", json!([blocks])),
            (-32000, "filter not found".to_owned())
        );
        assert_eq!(rpc.call("eth_uninstallFilter", json!([logs])), true);
        assert_eq!(rpc.call("eth_uninstallFilter", json!([logs])), false);
        assert_eq!(
            rpc.refused("eth_getFilterChanges", json!([logs])),
            (-32000, "filter not found".to_owned())
        );
    });
}

#[test]
fn the_synchronous_send_returns_the_receipt() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        let receipt = rpc.call(
            "eth_sendRawTransactionSync",
            json!([alice.transfer(0, SOMEONE, 1)]),
        );
        assert_eq!(receipt["status"], "0x1");
        assert_eq!(receipt["blockNumber"], "0x1");
        // A gap: it cannot be mined.
        let waiting = rpc.ask(
            "eth_sendRawTransactionSync",
            json!([alice.transfer(5, SOMEONE, 1), 100]),
        );
        assert_eq!(waiting["error"]["code"], 4);
        assert!(waiting["error"]["data"].is_string());
    });
}

#[test]
fn refusals_in_geths_words() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        rpc.mine(&alice.transfer(0, SOMEONE, 1));
        let refused = |raw: Bytes| {
            let (code, message) = rpc.refused("eth_sendRawTransaction", json!([raw]));
            assert_eq!(code, -32000, "{message}");
            message
        };
        assert!(refused(alice.transfer(0, SOMEONE, 2)).starts_with("nonce too low"));
        let poor = Wallet::new(topic(7));
        assert!(
            refused(poor.transfer(0, SOMEONE, 1))
                .starts_with("insufficient funds for gas * price + value")
        );
        let mut thin = call(1, SOMEONE, Bytes::new());
        thin.gas_limit = 20_000;
        assert!(refused(alice.sign(thin)).starts_with("intrinsic gas too low"));
        let mut foreign = call(1, SOMEONE, Bytes::new());
        foreign.chain_id = 1;
        assert!(refused(alice.sign(foreign)).contains("chain id"));
        assert!(
            refused(Bytes::from_static(&[0x7f, 0xc0]))
                .starts_with("transaction type not supported")
        );
        assert_eq!(refused(Bytes::new()), "typed transaction too short");
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

/// Ten senders at once, each with its nonces in order; what comes out adds up.
#[test]
fn a_stream_of_transactions_adds_up() {
    const EACH: u64 = 40;
    with_node(config(), |rpc| {
        let senders: Vec<_> = (0..10)
            .map(|index| {
                std::thread::spawn(move || {
                    let wallet = Wallet::development(index);
                    let hashes: Vec<_> = (0..EACH)
                        .map(|nonce| rpc.send(&wallet.transfer(nonce, SOMEONE, 1)))
                        .collect();
                    for hash in hashes {
                        assert_eq!(rpc.receipt(&hash)["status"], "0x1");
                    }
                    assert_eq!(
                        number(
                            &rpc.call("eth_getTransactionCount", json!([wallet.address, "latest"]))
                        ),
                        EACH
                    );
                })
            })
            .collect();
        for sender in senders {
            sender.join().unwrap();
        }
        assert_eq!(
            number(&rpc.call("eth_getBalance", json!([SOMEONE]))),
            10 * EACH
        );
        let mut transactions = 0;
        let mut before = 0;
        for block in 1..=rpc.block_number() {
            let block = rpc.call(
                "eth_getBlockByNumber",
                json!([format!("{block:#x}"), false]),
            );
            transactions += block["transactions"].as_array().unwrap().len() as u64;
            assert!(number(&block["timestamp"]) >= before);
            before = number(&block["timestamp"]);
        }
        assert_eq!(transactions, 10 * EACH);
    });
}

#[test]
fn the_pool_shows_what_waits() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        // Nonce 1 waits for nonce 0.
        let waiting = rpc.send(&alice.transfer(1, SOMEONE, 5));
        assert_eq!(
            rpc.call("txpool_status", json!([])),
            json!({"pending": "0x0", "queued": "0x1"})
        );
        let sender = alice.address.to_string();
        let content = rpc.call("txpool_content", json!([]));
        assert_eq!(content["pending"], json!({}));
        assert_eq!(content["queued"][&sender]["1"]["value"], "0x5");
        let own = rpc.call("txpool_contentFrom", json!([alice.address]));
        assert_eq!(own["queued"], content["queued"][&sender]);
        let line = rpc.call("txpool_inspect", json!([]))["queued"][&sender]["1"].clone();
        assert_eq!(
            line,
            format!("{SOMEONE}: 5 wei + 1000000 gas × 100000000000 wei")
        );
        rpc.mine(&alice.transfer(0, SOMEONE, 1));
        rpc.receipt(&waiting);
        assert_eq!(
            rpc.call("txpool_status", json!([])),
            json!({"pending": "0x0", "queued": "0x0"})
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
