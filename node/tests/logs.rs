//! Contracts, their logs, and the filters and limits around them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use alloy_primitives::{B256, Bytes, U256};
use serde_json::{Value, json};
use support::*;

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
        let beyond = rpc.refused("eth_getLogs", range("0x4", "0xffff"));
        assert_eq!(beyond.0, -32602, "{}", beyond.1);
        let reversed = rpc.refused("eth_getLogs", range("0x2", "0x1"));
        assert_eq!(reversed, (-32602, "invalid block range params".to_owned()));
        assert_eq!(rpc.refused("eth_getLogs", range("latest", "0x1")).0, -32602);
        assert_eq!(rpc.refused("eth_newFilter", range("0x2", "0x1")).0, -32602);
        let both = json!([{"fromBlock": "0x1", "blockHash": topic(1)}]);
        assert_eq!(rpc.refused("eth_getLogs", both).0, -32602);
        let unknown = rpc.refused("eth_getLogs", json!([{"blockHash": topic(1)}]));
        assert_eq!(unknown, (-32000, "unknown block".to_owned()));
        let many: Vec<B256> = (0..1001)
            .map(|index| B256::from(U256::from(index)))
            .collect();
        for method in ["eth_getLogs", "eth_newFilter"] {
            let text = "exceed max addresses or topics per search position".to_owned();
            let refused = rpc.refused(method, json!([{"topics": [many]}]));
            assert_eq!(refused, (-32000, text));
        }
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
