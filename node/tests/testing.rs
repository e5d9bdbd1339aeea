//! `testing_buildBlockV1`: blocks for fixtures, built and not kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::time::Duration;

use alloy_primitives::{B256, Bytes};
use pars_node::{NodeConfig, Pace};
use serde_json::{Value, json};
use support::*;

const METHOD: &str = "testing_buildBlockV1";
const GAS: u64 = 21_000;
/// Priority fee that the wallet offers, in wei per gas.
const TIP: u64 = 2_000_000_000;

/// A development node that answers the method and builds no block by itself.
fn config_with_testing() -> NodeConfig {
    let mut config = config();
    config.rpc.testing = true;
    config.producer.pace = Pace::Every(Duration::from_secs(86_400));
    config
}

fn attributes(timestamp: u64) -> Value {
    json!({
        "timestamp": format!("{timestamp:#x}"),
        "prevRandao": B256::repeat_byte(0x5a),
        "suggestedFeeRecipient": SOMEONE,
        "withdrawals": [],
        "parentBeaconBlockRoot": B256::repeat_byte(0x0b),
    })
}

fn head(rpc: Rpc) -> (Value, u64) {
    let mut head = rpc.call("eth_getBlockByNumber", json!(["latest", false]));
    (head["hash"].take(), number(&head["timestamp"]))
}

#[test]
fn a_block_is_built_and_not_kept() {
    with_node(config_with_testing(), |rpc| {
        let (parent, time) = head(rpc);
        let alice = Wallet::development(0);
        let transfers = [0, 1].map(|nonce| alice.transfer(nonce, SOMEONE, 5));
        let build = |transactions: Value| {
            rpc.call(
                METHOD,
                json!([parent, attributes(time + 7), transactions, "0x0102"]),
            )
        };
        let count = |built: &Value| {
            let payload = &built["executionPayload"];
            payload["transactions"].as_array().unwrap().len()
        };
        let built = build(json!(transfers));
        let payload = &built["executionPayload"];
        assert_eq!(payload["transactions"], json!(transfers));
        assert_eq!(payload["parentHash"], parent);
        assert_eq!(payload["blockNumber"], "0x1");
        assert_eq!(number(&payload["timestamp"]), time + 7);
        assert_eq!(payload["extraData"], "0x0102");
        assert_eq!(payload["prevRandao"], json!(B256::repeat_byte(0x5a)));
        assert_eq!(payload["feeRecipient"], json!(SOMEONE));
        assert_eq!(number(&payload["gasUsed"]), 2 * GAS);
        assert_eq!(number(&built["blockValue"]), 2 * GAS * TIP);
        // The same again, then without transactions, then from an empty pool.
        assert_eq!(build(json!(transfers)), built);
        let empty = build(json!([]));
        assert_eq!((count(&empty), &empty["blockValue"]), (0, &json!("0x0")));
        assert_ne!(empty["executionPayload"]["blockHash"], payload["blockHash"]);
        assert_eq!(build(Value::Null), empty);
        // The pool's are taken where none are given, and only there.
        rpc.send(&transfers[0]);
        assert_eq!(count(&build(Value::Null)), 1);
        assert_eq!(build(json!([])), empty);
        assert_eq!(build(json!(transfers)), built);
        assert_eq!(head(rpc), (parent.clone(), time));
        assert_eq!(
            rpc.call("eth_getBalance", json!([SOMEONE, "latest"])),
            "0x0"
        );
    });
}

#[test]
fn what_cannot_be_built_is_refused() {
    with_node(config_with_testing(), |rpc| {
        let (parent, time) = head(rpc);
        let alice = Wallet::development(0);
        let first = alice.transfer(0, SOMEONE, 5);
        let with = |transactions: Value| json!([parent, attributes(time), transactions]);
        let mut withdrawing = attributes(time);
        withdrawing["withdrawals"] = json!([{
            "index": "0x0", "validatorIndex": "0x0", "address": SOMEONE, "amount": "0x1"
        }]);
        let long = Bytes::from([1; 33]);
        for (params, code, words) in [
            (with(json!([first, first])), -32000, "nonce too low"),
            (
                with(json!([alice.transfer(1, SOMEONE, 5)])),
                -32000,
                "nonce too high",
            ),
            (
                with(json!([first, "0x02c0"])),
                -32602,
                "invalid transaction 1",
            ),
            (with(json!("0x")), -32602, "invalid argument 2"),
            (json!([SOMEONE]), -32602, "invalid argument 0"),
            (json!([parent]), -32602, "argument 1"),
            (
                json!([parent, {"timestamp": "0x1"}, []]),
                -32602,
                "invalid argument 1",
            ),
            (
                json!([parent, attributes(0), []]),
                -32602,
                "invalid timestamp",
            ),
            (
                json!([parent, attributes(time), [], long]),
                -32602,
                "extra data",
            ),
            (json!([parent, withdrawing, []]), -32602, "no withdrawals"),
            (
                json!([parent, attributes(time), [], "0x", 1]),
                -32602,
                "too many",
            ),
            (
                json!([B256::repeat_byte(1), attributes(time), []]),
                -32000,
                "unknown parent",
            ),
        ] {
            let (found, message) = rpc.refused(METHOD, params.clone());
            assert_eq!(found, code, "{params}: {message}");
            assert!(message.contains(words), "{params}: {message}");
        }
        assert_eq!(rpc.block_number(), 0);
    });
}

#[test]
fn the_method_is_there_only_where_it_is_asked_for() {
    with_node(config(), |rpc| {
        let (code, _) = rpc.refused(METHOD, json!([]));
        assert_eq!(code, -32601);
        assert_eq!(rpc.call("rpc_modules", json!([])).get("testing"), None);
    });
    with_node(config_with_testing(), |rpc| {
        let modules = rpc.call("rpc_modules", json!([]));
        assert_eq!(modules["testing"], "1.0");
    });
}
