//! Metrics, health, and what the monitoring files expect of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, hex};
use pars_node::{Node, NodeError};
use serde_json::{Value, json};
use support::*;

/// Status and body of one request.
fn request(address: SocketAddr, line: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    write!(
        stream,
        "{line} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, body.to_owned())
}

/// The names of metrics in a PromQL expression: words that begin as ours do.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| {
            ["pars_", "process_"]
                .iter()
                .any(|prefix| word.starts_with(prefix))
        })
}

/// Every string under a key, anywhere in a JSON value.
fn strings<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == key => found.push(text),
                    value => strings(value, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| strings(item, key, found)),
        _ => {}
    }
}

#[test]
fn a_node_serves_every_metric_that_the_monitoring_files_name() {
    let mut config = config();
    config.metrics = Some((Ipv4Addr::LOCALHOST, 0).into());
    runtime().block_on(async {
        let node = Node::start(config).await.unwrap();
        let (metrics, rpc) = (node.metrics_address().unwrap(), node.rpc_address());
        let page = tokio::task::spawn_blocking(move || {
            let rpc = Rpc { address: rpc };
            rpc.call("eth_newBlockFilter", json!([]));
            rpc.mine(&Wallet::development(0).transfer(0, SOMEONE, 1));
            let (status, health) = request(metrics, "GET /health");
            let health: Value = serde_json::from_str(&health).unwrap();
            assert_eq!((status, health["head"].as_u64()), (200, Some(1)));
            assert_eq!(health["status"], "ok");
            assert_eq!(request(metrics, "GET /ready").0, 200);
            assert_eq!(request(metrics, "GET /nowhere").0, 404);
            assert_eq!(request(metrics, "POST /metrics").0, 405);
            let (status, page) = request(metrics, "GET /metrics");
            assert_eq!(status, 200);
            page
        })
        .await
        .unwrap();
        node.stop().await.unwrap();

        assert!(page.contains("\npars_chain_head_number 1\n"), "{page}");
        assert!(page.contains("\npars_evm_transactions_total 1\n"), "{page}");
        let value = |name: &str| -> u64 {
            let line = page.lines().find_map(|line| line.strip_prefix(name));
            let value = line.unwrap_or_else(|| panic!("{name} is not told:\n{page}"));
            value.trim().parse().unwrap()
        };
        // The transfer has left something in each of these.
        for part in ["state_cache", "node_cache", "senders"] {
            let bytes = value(&format!("pars_memory_bytes{{part=\"{part}\"}}"));
            let entries = value(&format!("pars_memory_entries{{part=\"{part}\"}}"));
            assert!(bytes > entries && entries > 0, "{part}: {entries}, {bytes}");
        }
        assert_eq!(value("pars_memory_entries{part=\"filters\"}"), 1);
        assert_eq!(value("pars_memory_entries{part=\"pending_hashes\"}"), 1);
        // Accepted, so decided.
        assert_eq!(value("pars_memory_entries{part=\"undecided\"}"), 0);
        let served: BTreeSet<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        let is_served = |name: &str| {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(name);
            // The engine names devices and caches only where there are some.
            let sometimes = ["pars_engine_device_state"].contains(&name);
            served.contains(name) || served.contains(family) || sometimes
        };
        let board: Value =
            serde_json::from_str(include_str!("../monitoring/grafana.json")).unwrap();
        let mut expressions = Vec::new();
        strings(&board, "expr", &mut expressions);
        strings(&board, "query", &mut expressions);
        assert!(expressions.len() > 30);
        let alerts = include_str!("../monitoring/alerts.yml");
        expressions.extend(
            alerts
                .lines()
                .filter_map(|line| line.trim().strip_prefix("expr:")),
        );
        for expression in expressions {
            for name in names(expression) {
                assert!(
                    is_served(name),
                    "{name} is not served, but {expression} asks for it"
                );
            }
        }
        let scraped = include_str!("../monitoring/prometheus.yml");
        let usual = pars_node::config::Layers::default()
            .finish()
            .unwrap()
            .metrics;
        assert!(scraped.contains(&format!("{}:{}", usual.address, usual.port)));
        assert!(include_str!("../monitoring/README.md").contains(&usual.port.to_string()));
    });
}

/// Call data of `verify(pk, message, sig)` of IMLDSA with parts of the right lengths for ML-DSA-65, which are no
/// signature of anything.
fn forged() -> Bytes {
    let (pk, signature) = (1_952_usize, 3_309_usize);
    let (pk_room, signature_room) = (pk.next_multiple_of(32), signature.next_multiple_of(32));
    let word = |number: usize| B256::left_padding_from(&number.to_be_bytes()).to_vec();
    let places = [96, 96 + 32 + pk_room, 96 + 64 + pk_room].map(word);
    let parts = [
        hex::decode("de8f50a1").unwrap(),
        places.concat(),
        word(pk),
        [vec![1; pk], vec![0; pk_room - pk]].concat(),
        word(0),
        word(signature),
        [vec![2; signature], vec![0; signature_room - signature]].concat(),
    ];
    parts.concat().into()
}

#[test]
fn calls_of_a_precompile_are_counted() {
    let mut config = config();
    config.metrics = Some((Ipv4Addr::LOCALHOST, 0).into());
    runtime().block_on(async {
        let node = Node::start(config).await.unwrap();
        let (metrics, rpc) = (node.metrics_address().unwrap(), node.rpc_address());
        tokio::task::spawn_blocking(move || {
            let rpc = Rpc { address: rpc };
            let usage = || rpc.call("pars_precompiles", json!([]))[0].take();
            let before = usage();
            assert_eq!(
                (&before["calls"], &before["batchShare"]),
                (&json!(0), &Value::Null)
            );
            let to: Address = serde_json::from_value(before["address"].clone()).unwrap();
            let alice = Wallet::development(0);
            let receipt = rpc.mine(&alice.sign(call(0, to, forged())));
            assert_eq!(receipt["status"], "0x1", "{receipt}");
            // Without a question: there is no such function.
            rpc.mine(&alice.sign(call(1, to, Bytes::from_static(&[1, 2, 3, 4]))));
            // Off the chain, so not counted.
            rpc.call("eth_call", json!([{"to": to, "data": forged()}]));
            let after = usage();
            assert_eq!(after["calls"], 2, "{after}");
            assert_eq!(after["questionsBatched"], 1, "{after}");
            assert_eq!(after["questionsAlone"], 0, "{after}");
            assert_eq!(after["batchShare"], 1.0, "{after}");
            let (_, page) = request(metrics, "GET /metrics");
            let labels = format!("address=\"{to:?}\",name=\"ML-DSA\"");
            for line in [
                format!("\npars_precompile_calls_total{{{labels}}} 2\n"),
                format!("\npars_precompile_questions_total{{{labels},answered=\"batch\"}} 1\n"),
                format!("\npars_precompile_questions_total{{{labels},answered=\"alone\"}} 0\n"),
            ] {
                assert!(page.contains(&line), "no {line}in:\n{page}");
            }
        })
        .await
        .unwrap();
        node.stop().await.unwrap();
    });
}

#[test]
fn silent_and_many_clients_do_not_keep_others_out() {
    let mut config = config();
    config.metrics = Some((Ipv4Addr::LOCALHOST, 0).into());
    runtime().block_on(async {
        let node = Node::start(config).await.unwrap();
        let address = node.metrics_address().unwrap();
        tokio::task::spawn_blocking(move || {
            // More than are served at a time; half of them never finish their request.
            let mut silent: Vec<TcpStream> = (0..40)
                .map(|_| TcpStream::connect(address).unwrap())
                .collect();
            for stream in silent.iter_mut().take(20) {
                stream.write_all(b"GET /metrics HTTP/1.1\r\nHost:").unwrap();
            }
            let begin = Instant::now();
            assert_eq!(request(address, "GET /health").0, 200);
            assert!(
                begin.elapsed() < Duration::from_secs(18),
                "{:?}",
                begin.elapsed()
            );
        })
        .await
        .unwrap();
        node.stop().await.unwrap();
    });
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut config = config();
    config.metrics = Some(taken.local_addr().unwrap());
    let error = runtime().block_on(Node::start(config)).unwrap_err();
    assert!(matches!(error, NodeError::Monitor(_)), "{error}");
    let address = taken.local_addr().unwrap().to_string();
    assert!(error.to_string().contains(&address), "{error}");
}
