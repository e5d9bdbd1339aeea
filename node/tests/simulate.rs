//! `eth_simulateV1` over RPC: blocks that might follow, and every refusal it has a code for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, address, hex};
use serde_json::{Value, json};
use support::*;

const FRESH: Address = address!("00000000000000000000000000000000000000f1");
const CONTRACT: Address = address!("00000000000000000000000000000000000000c1");
const TRANSFERS: &str = "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";

fn simulate(rpc: Rpc, blocks: Value) -> Value {
    rpc.call(
        "eth_simulateV1",
        json!([{"blockStateCalls": blocks}, "latest"]),
    )
}

fn refused(rpc: Rpc, blocks: Value, validation: bool) -> i64 {
    let payload = json!({"blockStateCalls": blocks, "validation": validation});
    rpc.refused("eth_simulateV1", json!([payload])).0
}

#[test]
fn blocks_follow_each_other_and_nothing_is_kept() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0).address;
        let head = rpc.call("eth_getBlockByNumber", json!(["latest", false]));
        let blocks = simulate(
            rpc,
            json!([
                {"calls": [{"from": alice, "to": FRESH, "value": "0x64"}]},
                {"blockOverrides": {"number": "0x4", "gasLimit": "0x7a120", "feeRecipient": SOMEONE},
                 "calls": [{"from": FRESH, "to": SOMEONE, "value": "0x3c"}]},
            ]),
        );
        let blocks = blocks.as_array().unwrap();
        let numbers: Vec<_> = blocks
            .iter()
            .map(|block| number(&block["number"]))
            .collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        assert_eq!(blocks[0]["parentHash"], head["hash"]);
        for pair in blocks.windows(2) {
            assert_eq!(pair[1]["parentHash"], pair[0]["hash"]);
            assert!(number(&pair[1]["timestamp"]) > number(&pair[0]["timestamp"]));
        }
        assert_eq!(blocks[3]["gasLimit"], "0x7a120");
        assert_eq!(blocks[3]["miner"], json!(SOMEONE));
        assert_eq!(blocks[3]["calls"][0]["status"], "0x1");
        assert_eq!(blocks[3]["gasUsed"], "0x5208");
        assert_ne!(blocks[0]["stateRoot"], blocks[3]["stateRoot"]);
        assert_eq!(rpc.block_number(), 0);
        assert_eq!(rpc.call("eth_getBalance", json!([FRESH, "latest"])), "0x0");
        assert_eq!(rpc.call("eth_getBalance", json!([FRESH, "pending"])), "0x0");
    });
}

#[test]
fn logs_are_numbered_with_those_of_failed_calls() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0).address;
        let overrides = json!({CONTRACT.to_string(): {"code": "0x5f5ffd"}});
        let payload = json!({"traceTransfers": true, "blockStateCalls": [
            {"stateOverrides": overrides, "calls": [
                {"from": alice, "to": CONTRACT, "value": "0x1"},
                {"from": alice, "to": FRESH, "value": "0x2"},
                {"from": alice, "to": FRESH, "value": "0x3"},
            ]},
            {"calls": [{"from": alice, "to": FRESH, "value": "0x4"}]},
        ]});
        let blocks = rpc.call("eth_simulateV1", json!([payload]));
        assert_eq!(blocks[0]["calls"][0]["status"], "0x0");
        assert_eq!(blocks[0]["calls"][0]["logs"], json!([]));
        for (block, call, index) in [(0, 1, "0x1"), (0, 2, "0x2"), (1, 0, "0x0")] {
            let logs = &blocks[block]["calls"][call]["logs"];
            assert_eq!(logs[0]["logIndex"], index, "{block} {call}");
            assert_eq!(logs.as_array().unwrap().len(), 1);
        }
    });
}

#[test]
fn a_moved_precompile_is_cold_where_it_goes_and_warm_where_it_was() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0).address;
        // EXTCODESIZE of an address; POP; STOP.
        let code = |address: &str| format!("0x73{}3b5000", &address[2..]);
        let (old, new) = (
            "0x0000000000000000000000000000000000000001",
            "0x0000000000000000000000000000000000123456",
        );
        let gas = |address: &str| {
            let overrides = json!({
                CONTRACT.to_string(): {"code": code(address)},
                old: {"code": "0x00", "movePrecompileToAddress": new},
            });
            let call = json!({"from": alice, "to": CONTRACT});
            let blocks = json!([{"stateOverrides": overrides, "calls": [call]}]);
            number(&simulate(rpc, blocks)[0]["calls"][0]["gasUsed"])
        };
        // EIP-2929: 100 and 2,600.
        assert_eq!(gas(new) - gas(old), 2_500);
    });
}

#[test]
fn a_simulated_block_is_the_block_that_is_mined() {
    // With validation and the header's fields given, state and receipts are those of the real
    // block; its transactions differ by their signatures.
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        let call = json!({
            "from": alice.address, "to": SOMEONE, "value": "0x5", "nonce": "0x0", "gas": "0xf4240",
            "maxFeePerGas": "0x174876e800", "maxPriorityFeePerGas": "0x77359400",
        });
        let receipt = rpc.mine(&alice.transfer(0, SOMEONE, 5));
        let mined = rpc.call("eth_getBlockByHash", json!([receipt["blockHash"], false]));
        let payload = json!({"validation": true, "blockStateCalls": [{
            "blockOverrides": {
                "time": mined["timestamp"], "feeRecipient": mined["miner"],
                "prevRandao": mined["mixHash"], "baseFeePerGas": mined["baseFeePerGas"],
                "gasLimit": mined["gasLimit"],
            },
            "calls": [call],
        }]});
        // On the genesis, which is not the newest block any more.
        let past = rpc.call("eth_simulateV1", json!([payload, "0x0"]));
        for member in [
            "receiptsRoot",
            "gasUsed",
            "logsBloom",
            "baseFeePerGas",
            "number",
            "stateRoot",
        ] {
            assert_eq!(past[0][member], mined[member], "{member}");
        }
    });
    // The same before it is mined, where there is a tip to stand on.
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        let pending = rpc.call("eth_getBlockByNumber", json!(["pending", false]));
        let now = number(&pending["timestamp"]) + 1;
        let payload = json!({"validation": true, "blockStateCalls": [{
            "blockOverrides": {"time": format!("{now:#x}")},
            "calls": [{
                "from": alice.address, "to": SOMEONE, "value": "0x5", "gas": "0xf4240",
                "maxFeePerGas": "0x174876e800", "maxPriorityFeePerGas": "0x77359400",
            }],
        }]});
        let simulated = rpc.call("eth_simulateV1", json!([payload]));
        assert_ne!(simulated[0]["stateRoot"], json!(B256::ZERO));
        assert_eq!(simulated[0]["baseFeePerGas"], pending["baseFeePerGas"]);
    });
}

#[test]
fn transfers_and_logs_come_in_order_and_only_from_what_succeeded() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0).address;
        // Sends its value on to the account in its input, then logs twice.
        let mut code = hex!("600060006000600034600035" "5af1" "50").to_vec();
        code.extend(logger());
        let overrides = json!({
            CONTRACT.to_string(): {"code": Bytes::from(code)},
            FRESH.to_string(): {"code": Bytes::from(refuser())},
        });
        let payload = |to: Address| {
            json!({"traceTransfers": true, "returnFullTransactions": true, "blockStateCalls": [{
                "stateOverrides": overrides,
                "calls": [{"from": alice, "to": CONTRACT, "value": "0x7", "input": to.into_word()}],
            }]})
        };
        let block = rpc.call("eth_simulateV1", json!([payload(SOMEONE)]))[0].clone();
        let logs = block["calls"][0]["logs"].as_array().unwrap().clone();
        let addresses: Vec<_> = logs
            .iter()
            .map(|log| log["address"].as_str().unwrap())
            .collect();
        let contract = CONTRACT.to_string().to_lowercase();
        assert_eq!(addresses, [TRANSFERS, TRANSFERS, &contract, &contract]);
        assert_eq!(logs[1]["topics"][2], json!(SOMEONE.into_word()));
        assert_eq!(logs[1]["data"], json!(B256::with_last_byte(7)));
        for (index, log) in logs.iter().enumerate() {
            assert_eq!(number(&log["logIndex"]), index as u64);
            assert_eq!(log["blockHash"], block["hash"]);
            assert_eq!(log["transactionHash"], block["transactions"][0]["hash"]);
        }
        assert_eq!(block["transactions"][0]["from"], json!(alice));
        // The inner call reverts: its transfer did not happen.
        let block = rpc.call("eth_simulateV1", json!([payload(FRESH)]))[0].clone();
        let logs = block["calls"][0]["logs"].as_array().unwrap().clone();
        assert_eq!(logs.len(), 3);
        assert_eq!(logs[1]["address"], json!(CONTRACT));
    });
}

#[test]
fn calls_that_fail_are_results() {
    with_node(config(), |rpc| {
        let blocks = simulate(
            rpc,
            json!([{
                "stateOverrides": {
                    CONTRACT.to_string(): {"code": Bytes::from(refuser())},
                    FRESH.to_string(): {"code": "0xfe"},
                },
                "calls": [{"to": CONTRACT}, {"to": FRESH, "gas": "0x186a0"}],
            }]),
        );
        let calls = &blocks[0]["calls"];
        assert_eq!(calls[0]["status"], "0x0");
        assert_eq!(calls[0]["error"]["code"], 3);
        assert_eq!(
            calls[0]["error"]["message"],
            "execution reverted: not yours"
        );
        assert_eq!(calls[0]["error"]["data"], json!(Bytes::from(error_data())));
        assert_eq!(calls[1]["error"]["code"], -32015);
        assert_eq!(calls[1]["gasUsed"], "0x186a0");
    });
}

#[test]
fn precompiles_are_moved_and_replaced() {
    with_node(config(), |rpc| {
        let sha256 = "0x0000000000000000000000000000000000000002";
        let empty = "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let returned = |overrides: Value, to: Value| {
            let blocks = simulate(
                rpc,
                json!([{"stateOverrides": overrides, "calls": [{"to": to}]}]),
            );
            blocks[0]["calls"][0]["returnData"].clone()
        };
        let moved = json!({sha256: {"movePrecompileToAddress": CONTRACT}});
        assert_eq!(returned(json!({}), json!(sha256)), empty);
        assert_eq!(returned(moved.clone(), json!(CONTRACT)), empty);
        assert_eq!(returned(moved, json!(sha256)), "0x");
        // MSTORE8(0, 7), RETURN(0, 1)
        let replaced = json!({sha256: {"code": "0x60075f5360015ff3"}});
        assert_eq!(returned(replaced.clone(), json!(sha256)), "0x07");
        // eth_call has the same overrides.
        let call = rpc.call("eth_call", json!([{"to": sha256}, "latest", replaced]));
        assert_eq!(call, "0x07");
        for bad in [
            json!({CONTRACT.to_string(): {"movePrecompileToAddress": FRESH}}),
            json!({sha256: {"movePrecompileToAddress": FRESH}, FRESH.to_string(): {"nonce": "0x1"}}),
            json!({FRESH.to_string(): {"state": {}, "stateDiff": {}}}),
        ] {
            assert_eq!(
                refused(rpc, json!([{"stateOverrides": bad}]), false),
                -32000,
                "{bad}"
            );
        }
    });
}

#[test]
fn every_refusal_has_its_code() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0).address;
        let one = |call: Value| json!([{"calls": [call]}]);
        let rich = json!({"from": alice, "to": SOMEONE, "maxFeePerGas": "0x174876e800"});
        let with = |members: Value| {
            let mut call = rich.clone();
            for (name, value) in members.as_object().unwrap() {
                call[name] = value.clone();
            }
            one(call)
        };
        let large = Bytes::from(vec![0_u8; 49_153]);
        let cases = [
            (json!([]), false, -32602),
            (
                json!([{"blockOverrides": {"number": "0x101"}}]),
                false,
                -38026,
            ),
            (
                json!([{"blockOverrides": {"number": "0x0"}}]),
                false,
                -38020,
            ),
            (json!([{"blockOverrides": {"time": "0x1"}}]), false, -38021),
            (
                one(json!({"from": FRESH, "to": SOMEONE, "value": "0x1"})),
                false,
                -38014,
            ),
            (with(json!({"gas": "0x5207"})), false, -38013),
            (with(json!({"gas": "0xffffffffff"})), false, -38015),
            (with(json!({"nonce": "0x1"})), true, -38011),
            (
                json!([{"calls": [rich.clone(), with(json!({"nonce": "0x0"}))[0]["calls"][0]]}]),
                true,
                -38010,
            ),
            (with(json!({"maxFeePerGas": "0x1"})), true, -38012),
            (
                with(json!({"maxPriorityFeePerGas": "0x174876e801"})),
                true,
                -32602,
            ),
            (one(json!({"from": alice, "input": large})), false, -38025),
            (with(json!({"gasPrice": "0x1"})), false, -32000),
            (with(json!({"chainId": "0x1"})), false, -32000),
            (
                with(json!({"blobVersionedHashes": [topic(1)]})),
                false,
                -32000,
            ),
        ];
        for (blocks, validation, code) in cases {
            assert_eq!(refused(rpc, blocks.clone(), validation), code, "{blocks}");
        }
        // The same calls pass where nothing is checked.
        for blocks in [
            with(json!({"nonce": "0x1"})),
            one(json!({"from": FRESH, "to": SOMEONE})),
        ] {
            assert_eq!(simulate(rpc, blocks)[0]["calls"][0]["status"], "0x1");
        }
    });
}

#[test]
fn the_work_of_one_request_is_bounded() {
    let mut config = config();
    // Gas is what bounds it here, on however slow a machine.
    config.rpc.call_timeout = Duration::from_secs(60);
    with_node(config, |rpc| {
        // JUMPDEST, PUSH0, JUMP: uses all the gas there is.
        let overrides = json!({CONTRACT.to_string(): {"code": "0x5b5f56"}});
        let call = json!({"to": CONTRACT});
        let mut blocks = vec![json!({"stateOverrides": overrides, "calls": [call]})];
        blocks.extend((0..9).map(|_| json!({"calls": [call]})));
        let payload = json!({"blockStateCalls": blocks});
        // 50 M gas for everything together: the fourth block of 15 M finds too little left, and the
        // fifth nothing at all.
        let (code, _) = rpc.refused("eth_simulateV1", json!([payload]));
        assert_eq!(code, -38013);
        // Blocks are bounded too.
        assert_eq!(refused(rpc, json!(vec![json!({}); 257]), false), -38026);
        assert_eq!(
            simulate(rpc, json!(vec![json!({}); 256]))
                .as_array()
                .unwrap()
                .len(),
            256
        );
    });
}

/// Calls and estimates too are held to what the operator allows.
#[test]
fn the_operator_bounds_calls() {
    let mut config = config();
    config.rpc.call_gas_cap = 100_000;
    with_node(config, |rpc| {
        // GAS, PUSH0, MSTORE, PUSH1 32, PUSH0, RETURN: what is left when it begins.
        let overrides = json!({CONTRACT.to_string(): {"code": "0x5a5f5260205ff3"}});
        let call = json!({"to": CONTRACT, "gas": "0xffffff"});
        let gas = rpc.call("eth_call", json!([call, "latest", overrides]));
        assert!(
            B256::try_from(gas.as_str().unwrap().parse::<Bytes>().unwrap().as_ref()).unwrap()
                < B256::left_padding_from(&[1, 0x86, 0xa0])
        );
        // JUMPDEST, PUSH0, JUMP
        let endless = json!({CONTRACT.to_string(): {"code": "0x5b5f56"}});
        let block = json!({"blockStateCalls": [{"stateOverrides": endless, "calls": [call]}]});
        let simulated = rpc.call("eth_simulateV1", json!([block]));
        assert_eq!(simulated[0]["gasUsed"], "0x186a0");
        assert!(
            rpc.refused("eth_estimateGas", json!([call, "latest", endless]))
                .1
                .contains("100000")
        );
    });
    let mut config = support::config();
    config.rpc.call_timeout = Duration::from_millis(20);
    config.rpc.call_gas_cap = u64::MAX;
    with_node(config, |rpc| {
        let endless = json!({CONTRACT.to_string(): {"code": "0x5b5f56"}});
        let call = json!({"to": CONTRACT, "gas": "0x7fffffffffffffff"});
        let (_, message) = rpc.refused("eth_call", json!([call, "latest", endless]));
        assert_eq!(message, "execution aborted (timeout = 20ms)");
    });
}
