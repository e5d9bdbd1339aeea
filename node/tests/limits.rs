//! Bounds per client, and transactions that come together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::io::{Read as _, Write as _};
use std::time::Duration;

use alloy_primitives::Address;
use pars_evm::SenderRecovery;
use pars_node::NodeConfig;
use serde_json::{Value, json};
use support::*;

fn limited() -> NodeConfig {
    let mut config = config();
    config.rpc.limit_loopback = true;
    config.rpc.client_connections = 0;
    config.rpc.client_requests_per_second = 0;
    config.rpc.client_in_flight = 0;
    config
}

#[test]
fn a_client_that_floods_is_told_so_over_all_its_connections() {
    let mut config = limited();
    config.rpc.client_requests_per_second = 20;
    with_node(config, |rpc| {
        let mut refused = 0;
        // A connection each: it is the client that counts.
        for number in 0..40 {
            // From memory, from memory where it is there, and from the store.
            let (method, params, result) = match number % 3 {
                0 => ("eth_chainId", json!([]), "0x17f5"),
                1 => ("eth_getBalance", json!([SOMEONE, "latest"]), "0x0"),
                _ => ("eth_getCode", json!([SOMEONE, "latest"]), "0x"),
            };
            let answer = rpc.ask(method, params);
            match answer["error"]["code"].as_i64() {
                None => assert_eq!(answer["result"], result),
                Some(code) => {
                    assert_eq!(code, -32005, "{answer}");
                    let words = answer["error"]["message"].as_str().unwrap();
                    assert!(words.contains("rate limit exceeded"), "{words}");
                    refused += 1;
                }
            }
        }
        assert!((5..=20).contains(&refused), "{refused}");
        // A second of rest, and each call is counted once, though it is looked for in memory and then in the store.
        std::thread::sleep(Duration::from_millis(1_100));
        for byte in 1..=20 {
            let address = Address::repeat_byte(byte);
            assert_eq!(
                rpc.call("eth_getBalance", json!([address, "latest"])),
                "0x0"
            );
        }
        // A second of rest, and a batch is counted one by one.
        std::thread::sleep(Duration::from_millis(1_100));
        let batch = vec![json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}); 60];
        let (_, answers) = rpc.post(json!(batch).to_string().as_bytes());
        let answers: Vec<Value> = serde_json::from_str(&answers).unwrap();
        let good = answers
            .iter()
            .filter(|one| one["result"] == "0x17f5")
            .count();
        assert_eq!(answers.len(), 60);
        assert!((20..=30).contains(&good), "{good}");
        // WebSockets too.
        let mut ws = WebSocket::connect(rpc);
        let codes: Vec<_> = (0..40)
            .map(|_| ws.ask("eth_chainId", json!([]))["error"]["code"].as_i64())
            .collect();
        assert!(codes.contains(&Some(-32005)));
    });
}

#[test]
fn connections_of_one_client_are_bounded() {
    let mut config = limited();
    config.rpc.client_connections = 4;
    with_node(config, |rpc| {
        let held: Vec<_> = (0..4).map(|_| rpc.connect()).collect();
        // Accepting is asynchronous: give it a moment.
        std::thread::sleep(Duration::from_millis(200));
        let mut fifth = rpc.connect();
        let mut words = String::new();
        let _ = fifth.read_to_string(&mut words);
        assert!(words.starts_with("HTTP/1.1 503"), "{words:?}");
        drop(held);
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(rpc.call("net_version", json!([])), "6133");
    });
}

#[test]
fn requests_in_work_of_one_client_are_bounded() {
    let mut config = limited();
    config.rpc.client_in_flight = 2;
    with_node(config, |rpc| {
        // Each waits for a block that never comes: nonces are missing.
        let waiting: Vec<_> = (1..=2)
            .map(|nonce| {
                let raw = Wallet::development(0).transfer(nonce, SOMEONE, 1);
                let body = json!({
                    "jsonrpc": "2.0", "id": 1,
                    "method": "eth_sendRawTransactionSync", "params": [raw, "0xbb8"],
                })
                .to_string();
                let mut stream = rpc.connect();
                write!(
                    stream,
                    "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                )
                .unwrap();
                stream
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        let (code, words) = rpc.refused("eth_chainId", json!([]));
        assert_eq!(code, -32005);
        assert!(
            words.contains("too many requests at a time for one client"),
            "{words}"
        );
        for mut stream in waiting {
            let mut answer = [0; 512];
            let read = stream.read(&mut answer).unwrap();
            assert!(String::from_utf8_lossy(&answer[..read]).contains("\"code\":4"));
        }
        assert_eq!(rpc.call("net_version", json!([])), "6133");
    });
}

#[test]
fn by_default_programs_on_this_machine_are_not_bounded() {
    let mut config = config();
    config.rpc.client_requests_per_second = 1;
    config.rpc.client_connections = 1;
    with_node(config, |rpc| {
        let held: Vec<_> = (0..8).map(|_| rpc.connect()).collect();
        for _ in 0..20 {
            assert_eq!(rpc.call("net_version", json!([])), "6133");
        }
        drop(held);
    });
}

fn batch_of_transfers(count: u64) -> (Vec<String>, String) {
    let raws: Vec<_> = (0..count)
        .map(|number| {
            Wallet::development(usize::try_from(number % 10).unwrap()).transfer(
                number / 10,
                SOMEONE,
                number,
            )
        })
        .collect();
    let hashes = raws
        .iter()
        .map(|raw| alloy_primitives::keccak256(raw).to_string())
        .collect();
    let batch: Vec<_> = raws
        .iter()
        .enumerate()
        .map(|(id, raw)| {
            json!({"jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransaction", "params": [raw]})
        })
        .collect();
    (hashes, json!(batch).to_string())
}

#[test]
fn transactions_of_one_batch_are_recovered_as_one_and_those_after_them_as_ever() {
    with_node(config(), |rpc| {
        let (hashes, mut batch) = batch_of_transfers(40);
        // Something that is none among them is its own error alone.
        batch.insert_str(
            1,
            "{\"jsonrpc\":\"2.0\",\"id\":99,\"method\":\"eth_sendRawTransaction\",\"params\":[\"0x02c0\"]},",
        );
        let (_, answers) = rpc.post(batch.as_bytes());
        let answers: Vec<Value> = serde_json::from_str(&answers).unwrap();
        assert_eq!(answers[0]["error"]["code"], -32000, "{}", answers[0]);
        for (answer, hash) in answers[1..].iter().zip(&hashes) {
            assert_eq!(answer["result"], hash.as_str(), "{answer}");
        }
        for hash in &hashes {
            assert_eq!(rpc.receipt(hash)["status"], "0x1");
        }
        let stats = rpc.call("pars_engineStats", json!([]))["senders"].clone();
        assert_eq!(stats["batches"], 1, "{stats}");
        assert_eq!(stats["largestBatch"], 40, "{stats}");
        assert_eq!(stats["single"], 0, "{stats}");
        // One that comes alone does not go through the engine.
        rpc.mine(&Wallet::development(0).transfer(4, SOMEONE, 1));
        let stats = rpc.call("pars_engineStats", json!([]))["senders"].clone();
        assert_eq!(
            (stats["batches"].clone(), stats["single"].clone()),
            (json!(1), json!(1))
        );
    });
    let mut single = config();
    single.engine.sender_recovery = SenderRecovery::Single;
    with_node(single, |rpc| {
        let (hashes, batch) = batch_of_transfers(20);
        let (_, answers) = rpc.post(batch.as_bytes());
        let answers: Vec<Value> = serde_json::from_str(&answers).unwrap();
        for (answer, hash) in answers.iter().zip(&hashes) {
            assert_eq!(answer["result"], hash.as_str(), "{answer}");
            rpc.receipt(hash);
        }
        let stats = rpc.call("pars_engineStats", json!([]))["senders"].clone();
        assert_eq!(
            (stats["batches"].clone(), stats["batched"].clone()),
            (json!(0), json!(0))
        );
    });
}
