//! Subscriptions over a real WebSocket, and clients that do not read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::io::Read;
use std::time::{Duration, Instant};

use alloy_primitives::Bytes;
use serde_json::{Value, json};
use support::*;

#[test]
fn calls_work_over_websocket() {
    with_node(config(), |rpc| {
        let mut socket = WebSocket::connect(rpc);
        assert_eq!(socket.ask("eth_chainId", json!([]))["result"], "0x17f5");
        assert_eq!(
            socket.ask("eth_nothing", json!([]))["error"]["code"],
            -32601
        );
        socket.send("{");
        assert_eq!(socket.receive().unwrap()["error"]["code"], -32700);
        assert_eq!(socket.ask("eth_chainId", json!([]))["result"], "0x17f5");
    });
}

#[test]
fn heads_logs_and_pending_transactions_are_pushed() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        let contract = alice.address.create(0);
        rpc.mine(&alice.sign(create(0, deploy(&logger()))));

        let mut heads = WebSocket::connect(rpc);
        let heads_id = heads.subscribe(json!(["newHeads"]));
        let mut mixed = WebSocket::connect(rpc);
        let logs_id =
            mixed.subscribe(json!(["logs", {"address": contract, "topics": [[topic(2)]]}]));
        let mut pending = WebSocket::connect(rpc);
        let pending_id = pending.subscribe(json!(["newPendingTransactions"]));
        let mut full = WebSocket::connect(rpc);
        let full_id = full.subscribe(json!(["newPendingTransactions", true]));
        assert_ne!(heads_id, logs_id);
        assert!(heads_id.as_str().unwrap().starts_with("0x"));

        let receipt = rpc.mine(&alice.sign(call(1, contract, Bytes::new())));
        let head = heads.notification(&heads_id);
        assert_eq!(head["hash"], receipt["blockHash"]);
        assert_eq!(head["number"], "0x2");
        assert_eq!(head.get("transactions"), None);
        assert_eq!(mixed.notification(&logs_id), receipt["logs"][1]);
        assert_eq!(
            pending.notification(&pending_id),
            receipt["transactionHash"]
        );
        let transaction = full.notification(&full_id);
        assert_eq!(transaction["hash"], receipt["transactionHash"]);
        assert_eq!(transaction["blockHash"], Value::Null);
    });
}

#[test]
fn an_ended_subscription_is_silent() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        let mut socket = WebSocket::connect(rpc);
        let ended = socket.subscribe(json!(["newHeads"]));
        let kept = socket.subscribe(json!(["newHeads"]));
        assert_eq!(
            socket.ask("eth_unsubscribe", json!([ended]))["result"],
            true
        );
        assert_eq!(
            socket.ask("eth_unsubscribe", json!([ended]))["result"],
            false
        );
        assert_eq!(
            socket.ask("eth_unsubscribe", json!(["0x1"]))["result"],
            false
        );
        rpc.mine(&alice.transfer(0, SOMEONE, 1));
        let message = socket.receive().unwrap();
        assert_eq!(message["params"]["subscription"], kept);
    });
}

#[test]
fn subscriptions_that_cannot_be() {
    with_node(config(), |rpc| {
        let mut socket = WebSocket::connect(rpc);
        assert_eq!(
            socket.ask("eth_subscribe", json!([]))["error"]["code"],
            -32602
        );
        assert_eq!(
            socket.ask("eth_subscribe", json!(["everything"]))["error"]["code"],
            -32601
        );
        assert_eq!(
            socket.ask("eth_subscribe", json!(["logs", {"address": 5}]))["error"]["code"],
            -32602
        );
        let over_http = rpc.refused("eth_subscribe", json!(["newHeads"]));
        assert_eq!(
            over_http,
            (-32601, "notifications not supported".to_owned())
        );
    });
}

#[test]
fn the_number_of_subscriptions_is_limited() {
    let mut config = config();
    config.rpc.max_subscriptions = 2;
    with_node(config, |rpc| {
        let mut socket = WebSocket::connect(rpc);
        socket.subscribe(json!(["newHeads"]));
        let second = socket.subscribe(json!(["newHeads"]));
        assert!(socket.ask("eth_subscribe", json!(["newHeads"]))["error"].is_object());
        assert_eq!(
            socket.ask("eth_unsubscribe", json!([second]))["result"],
            true
        );
        socket.subscribe(json!(["newHeads"]));
    });
}

/// A client that subscribes and never reads is dropped; others do not notice.
#[test]
fn a_subscriber_that_does_not_read_is_dropped() {
    let mut config = config();
    config.rpc.message_buffer = 4;
    config.rpc.slow_subscriber = Duration::from_millis(200);
    config.rpc.write_timeout = Duration::from_millis(200);
    with_node(config, |rpc| {
        let alice = Wallet::development(0);
        let mut sleeper = WebSocket::connect(rpc);
        for _ in 0..20 {
            sleeper.subscribe(json!(["newPendingTransactions", true]));
        }
        let mut reader = WebSocket::connect(rpc);
        let heads = reader.subscribe(json!(["newHeads"]));
        // Each transaction is some 250 kB of JSON a subscription: no socket buffer takes them all.
        let filler = Bytes::from(vec![0u8; 120_000]);
        for nonce in 0..8 {
            let mut big = call(nonce, SOMEONE, filler.clone());
            big.gas_limit = 2_000_000;
            rpc.mine(&alice.sign(big));
            reader.notification(&heads);
        }
        let end = Instant::now() + Duration::from_secs(15);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match sleeper.0.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(_) => assert!(Instant::now() < end, "the sleeper still gets messages"),
            }
        }
        rpc.mine(&alice.transfer(8, SOMEONE, 1));
        reader.notification(&heads);
    });
}

#[test]
fn what_only_this_node_has_comes_anew_with_every_block() {
    with_node(config(), |rpc| {
        let mut socket = WebSocket::connect(rpc);
        for (kind, method) in [
            ("finality", "pars_finality"),
            ("precompiles", "pars_precompiles"),
            ("engineDevices", "pars_engineDevices"),
            ("engineStats", "pars_engineStats"),
        ] {
            let id = socket.ask("pars_subscribe", json!([kind]))["result"].clone();
            let nonce = rpc.block_number();
            rpc.mine(&Wallet::development(0).transfer(nonce, SOMEONE, 1));
            let told = socket.receive().unwrap();
            assert_eq!(told["method"], "pars_subscription");
            assert_eq!(told["params"]["subscription"], id);
            if kind != "engineStats" {
                assert_eq!(
                    told["params"]["result"],
                    rpc.call(method, json!([])),
                    "{kind}"
                );
            } else {
                assert!(told["params"]["result"]["blocks"]["built"].as_u64() > Some(0));
            }
            // Its own kind of end only.
            let ended = socket.ask("pars_unsubscribe", json!([id]));
            assert_eq!(ended["result"], true, "{kind}");
        }
        for wrong in [json!(["newHeads"]), json!(["finality", true]), json!([])] {
            let answer = socket.ask("pars_subscribe", wrong.clone());
            assert!(answer["error"]["code"].is_i64(), "{wrong}: {answer}");
        }
        assert_eq!(rpc.refused("pars_subscribe", json!(["finality"])).0, -32601);
    });
}

#[test]
fn garbage_frames_end_one_connection_only() {
    use std::io::Write;
    with_node(config(), |rpc| {
        let mut steady = WebSocket::connect(rpc);
        let garbage: [&[u8]; 6] = [
            &[0xff; 64],
            &[0x00; 64],
            // A text frame that announces 2^63 bytes.
            &[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            // Unmasked.
            &[0x81, 0x02, b'{', b'}'],
            // A ping that is too long.
            &[0x89, 0xfe, 0x01, 0x00, 0, 0, 0, 0],
            // An opcode that does not exist.
            &[0x83, 0x80, 0, 0, 0, 0],
        ];
        for bytes in garbage {
            let mut socket = WebSocket::connect(rpc);
            let _ = socket.0.write_all(bytes);
            let _ = socket.0.shutdown(std::net::Shutdown::Write);
            while socket.receive().is_some() {}
        }
        assert_eq!(steady.ask("eth_chainId", json!([]))["result"], "0x17f5");
        // Too large a message is answered, and the connection goes on.
        let large = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{}\"}}",
            "x".repeat(9 << 20)
        );
        steady.send(&large);
        assert!(steady.receive().unwrap()["error"].is_object());
    });
}

#[test]
fn origins_are_checked_for_websockets_too() {
    use pars_rpc::Cors;
    let mut config = config();
    config.rpc.cors = Cors::Origins(vec!["https://wallet.example".to_owned()]);
    with_node(config, |rpc| {
        let upgrade = |origin: &str| {
            let request = format!(
                "GET / HTTP/1.1\r\nhost: localhost\r\norigin: {origin}\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
            );
            let mut stream = rpc.connect();
            std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
            let mut head = [0; 12];
            stream.read_exact(&mut head).unwrap();
            String::from_utf8_lossy(&head).into_owned()
        };
        assert_eq!(upgrade("https://wallet.example"), "HTTP/1.1 101");
        assert_eq!(upgrade("https://evil.example"), "HTTP/1.1 403");
    });
}

#[test]
fn requests_in_work_are_limited_on_a_connection() {
    let mut config = config();
    config.rpc.max_in_flight = 2;
    with_node(config, |rpc| {
        let mut socket = WebSocket::connect(rpc);
        // Two that wait for a block that never comes, and one too many.
        let alice = Wallet::development(0);
        for id in 1..4 {
            let params = json!([alice.transfer(id, SOMEONE, 1), 1500]);
            let request = json!({"jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransactionSync", "params": params});
            socket.send(&request.to_string());
        }
        let first = socket.receive().unwrap();
        assert_eq!(first["error"]["code"], -32005, "{first}");
        for _ in 0..2 {
            assert_eq!(socket.receive().unwrap()["error"]["code"], 4);
        }
        assert_eq!(socket.ask("eth_chainId", json!([]))["result"], "0x17f5");
    });
}
