//! What no honest client sends: the standard codes, and a node that stays up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use pars_rpc::Cors;
use serde_json::{Value, json};
use support::*;

fn code_of(body: &str) -> i64 {
    let answer: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {body:?}"));
    answer["error"]["code"]
        .as_i64()
        .unwrap_or_else(|| panic!("no error: {body}"))
}

fn alive(rpc: Rpc) {
    assert_eq!(rpc.call("eth_chainId", json!([])), "0x17f5");
}

#[test]
fn what_is_no_json_and_what_is_no_request() {
    with_node(config(), |rpc| {
        let not_utf8: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}";
        for body in [
            b"{".as_slice(),
            b"}",
            b"hello",
            b"",
            b"nul",
            b"[1",
            b"{'a':1}",
            not_utf8,
            &[0; 10],
        ] {
            assert_eq!(
                code_of(&rpc.post(body).1),
                -32700,
                "{}",
                String::from_utf8_lossy(body)
            );
        }
        for body in [
            "{}",
            "[]",
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"id":1,"method":"eth_chainId"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        ] {
            assert_eq!(code_of(&rpc.post(body.as_bytes()).1), -32600, "{body}");
        }
        alive(rpc);
    });
}

/// What clients match on, as geth says it.
#[test]
fn refusals_are_in_geths_words() {
    with_node(config(), |rpc| {
        let nobody = Address::repeat_byte(0xee);
        let into = |what: &str, name: &str| {
            format!(
                "invalid argument 0: json: cannot unmarshal {what} into Go value of type {name}"
            )
        };
        let prefix = "hex string without 0x prefix";
        let params = [
            ("eth_getBalance", json!([]), "missing value for required argument 0".to_owned()),
            ("eth_getBalance", json!(["0x1"]), into("hex string of odd length", "common.Address")),
            ("eth_getBalance", json!([5]), into("non-string", "common.Address")),
            (
                "eth_getBalance",
                json!(["0x12"]),
                "invalid argument 0: hex string has length 2, want 40 for common.Address".to_owned(),
            ),
            ("eth_getTransactionByHash", json!(["1"]), into(prefix, "common.Hash")),
            ("web3_sha3", json!(["0xzz"]), into("invalid hex string", "hexutil.Bytes")),
            ("eth_getBlockByNumber", json!(["newest", true]), format!("invalid argument 0: {prefix}")),
            (
                "eth_getBlockByNumber",
                json!(["0x01", true]),
                "invalid argument 0: hex number with leading zero digits".to_owned(),
            ),
            (
                "eth_getBalance",
                json!([nobody, {"blockHash": topic(1), "blockNumber": "0x0"}]),
                "invalid argument 1: cannot specify both BlockHash and BlockNumber, choose one or the other"
                    .to_owned(),
            ),
            (
                "eth_getLogs",
                json!([{"blockHash": topic(1), "fromBlock": "0x0"}]),
                "invalid argument 0: cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"
                    .to_owned(),
            ),
            (
                "eth_getLogs",
                json!([{"address": [nobody, "0x11"]}]),
                "invalid argument 0: invalid address at index 1: hex has invalid length 1 after decoding; expected 20 for address"
                    .to_owned(),
            ),
            ("eth_getLogs", json!([{"topics": [[{}]]}]), "invalid argument 0: invalid topic(s)".to_owned()),
            ("eth_getLogs", json!([{"toBlock": "pending"}]), "pending logs are not supported".to_owned()),
            ("eth_chainId", json!([1]), "too many arguments, want at most 0".to_owned()),
        ];
        for (method, params, text) in params {
            assert_eq!(rpc.refused(method, params), (-32602, text), "{method}");
        }
        let call = |mut request: Value| {
            request["from"] = json!(nobody);
            request["to"] = json!(SOMEONE);
            json!([request])
        };
        let poor =
            format!("insufficient funds for gas * price + value: address {nobody} have 0 want");
        let twice = json!([{"to": SOMEONE}, "latest", {SOMEONE.to_string(): {"state": {}, "stateDiff": {}}}]);
        let refused = [
            (
                "eth_getBalance",
                json!([nobody, "0x99"]),
                "header not found".to_owned(),
            ),
            (
                "eth_getBalance",
                json!([nobody, topic(1)]),
                "header for hash not found".to_owned(),
            ),
            (
                "eth_call",
                call(json!({"value": "0x1"})),
                format!("err: {poor} 1 (supplied gas 50000000)"),
            ),
            (
                "eth_call",
                call(json!({"gasPrice": "0x174876e800"})),
                format!("err: {poor} 5000000000000000000 (supplied gas 50000000)"),
            ),
            (
                "eth_call",
                call(json!({"gas": "0x5"})),
                "err: intrinsic gas too low: have 5, want 21000 (supplied gas 5)".to_owned(),
            ),
            (
                "eth_call",
                json!([{"data": "0x01"}]),
                "stack underflow (0 <=> 2)".to_owned(),
            ),
            (
                "eth_call",
                json!([{"data": "0x0c"}]),
                "invalid opcode: opcode 0xc not defined".to_owned(),
            ),
            (
                "eth_estimateGas",
                json!([{"data": "0x50"}]),
                "stack underflow (0 <=> 1)".to_owned(),
            ),
            (
                "eth_call",
                twice,
                format!("account {SOMEONE} has both 'state' and 'stateDiff'"),
            ),
            (
                "eth_estimateGas",
                call(json!({"value": "0x1"})),
                format!("failed with 50000000 gas: {poor} 1"),
            ),
            (
                "debug_traceCall",
                json!([call(json!({"value": "0x1"}))[0], "latest"]),
                format!("tracing failed: {poor} 1"),
            ),
            (
                "eth_feeHistory",
                json!(["0x1", "latest", [5, 5]]),
                "invalid reward percentile: #0:5.000000 >= #1:5.000000".to_owned(),
            ),
            (
                "eth_getLogs",
                json!([{"topics": [null, null, null, null, null]}]),
                "exceed max topics".to_owned(),
            ),
            (
                "eth_getFilterChanges",
                json!(["x"]),
                "filter not found".to_owned(),
            ),
        ];
        for (method, params, text) in refused {
            assert_eq!(rpc.refused(method, params), (-32000, text), "{method}");
        }
        assert_eq!(rpc.call("eth_uninstallFilter", json!(["x"])), false);
        // Bytes of a transaction that is not there are none, not `null`.
        assert_eq!(rpc.call("debug_getRawTransaction", json!([topic(1)])), "0x");
    });
}

#[test]
fn unknown_methods_and_wrong_parameters() {
    with_node(config(), |rpc| {
        let (code, message) = rpc.refused("eth_nothing", json!([]));
        assert_eq!(
            (code, message.as_str()),
            (
                -32601,
                "the method eth_nothing does not exist/is not available"
            )
        );
        // Accounts are not the node's: not there and not advertised.
        assert_eq!(rpc.refused("eth_sign", json!([])).0, -32601);
        for (method, params) in [
            ("eth_getBalance", json!([])),
            ("eth_getBalance", json!([null])),
            ("eth_getBalance", json!(["0x12"])),
            ("eth_getBalance", json!([SOMEONE, "newest"])),
            ("eth_getBalance", json!([SOMEONE, "latest", 1])),
            ("eth_getBalance", json!({"address": SOMEONE})),
            ("eth_chainId", json!([1])),
            ("eth_getBlockByNumber", json!(["latest", 1])),
            ("eth_getBlockByHash", json!(["0x11"])),
            ("eth_sendRawTransaction", json!(["0x123"])),
            ("eth_call", json!(["x"])),
            (
                "eth_call",
                json!([{"to": SOMEONE}, "latest", {SOMEONE.to_string(): {"balances": "0x1"}}]),
            ),
            ("eth_getLogs", json!([{"topics": [5]}])),
            (
                "eth_getStorageAt",
                json!([SOMEONE, format!("0x{}", "1".repeat(65))]),
            ),
            ("eth_getFilterChanges", json!([5])),
        ] {
            assert_eq!(
                rpc.refused(method, params.clone()).0,
                -32602,
                "{method} {params}"
            );
        }
        alive(rpc);
    });
}

#[test]
fn batches_have_a_limit() {
    let mut config = config();
    config.rpc.max_batch = 3;
    with_node(config, |rpc| {
        let one = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"});
        let unknown = json!({"jsonrpc": "2.0", "id": 2, "method": "eth_nothing"});
        let (_, body) = rpc.post(json!([one, unknown, 5]).to_string().as_bytes());
        let answers: Vec<Value> = serde_json::from_str(&body).unwrap();
        assert_eq!(answers[0]["result"], "0x17f5");
        assert_eq!(answers[1]["error"]["code"], -32601);
        assert_eq!(answers[2]["error"]["code"], -32600);
        let (_, body) = rpc.post(json!([one, one, one, one]).to_string().as_bytes());
        assert!(code_of(&body) < 0);
        // A notification wants no answer.
        let note = json!({"jsonrpc": "2.0", "method": "eth_chainId"});
        assert_eq!(rpc.post(note.to_string().as_bytes()), (200, String::new()));
    });
}

#[test]
fn too_much_is_refused_in_every_encoding() {
    let mut config = config();
    config.rpc.max_request_bytes = 1000;
    with_node(config, |rpc| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"web3_sha3","params":["0x{}"]}}"#,
            "00".repeat(1000)
        );
        let (status, answer) = rpc.post(body.as_bytes());
        assert_eq!(status, 413);
        assert_eq!(code_of(&answer), -32600);
        let chunked = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        assert_eq!(rpc.exchange(chunked.as_bytes()).0, 413);
        let announced = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n{";
        assert_eq!(rpc.exchange(announced).0, 413);
        alive(rpc);
    });
}

#[test]
fn a_transaction_of_the_largest_size_fits_the_body_limit() {
    let config = config();
    assert!(config.rpc.max_request_bytes as usize > 2 * config.pool.max_transaction_bytes + 1000);
}

#[test]
fn half_requests_time_out_and_hold_nobody_up() {
    let mut config = config();
    config.rpc.request_timeout = Duration::from_secs(1);
    config.rpc.idle_timeout = Duration::from_millis(1500);
    with_node(config, |rpc| {
        let halves: [&[u8]; 4] = [
            b"",
            b"POST / HT",
            b"POST / HTTP/1.1\r\nhost: localhost\r\n",
            b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
        ];
        let mut open: Vec<_> = halves
            .iter()
            .map(|half| {
                let mut stream = rpc.connect();
                stream.write_all(half).unwrap();
                stream
            })
            .collect();
        let began = Instant::now();
        alive(rpc);
        assert!(began.elapsed() < Duration::from_secs(1));
        for (stream, half) in open.iter_mut().zip(halves) {
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "{}",
                String::from_utf8_lossy(half)
            );
            if half.ends_with(b"{") {
                assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
            }
        }
    });
}

#[test]
fn connections_beyond_the_limit_are_turned_away() {
    let mut config = config();
    config.rpc.max_connections = 4;
    with_node(config, |rpc| {
        let open: Vec<_> = (0..3).map(|_| WebSocket::connect(rpc)).collect();
        alive(rpc);
        let last = WebSocket::connect(rpc);
        assert_eq!(rpc.exchange(b"").0, 503);
        drop((open, last));
        let end = Instant::now() + Duration::from_secs(5);
        while rpc
            .exchange(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
            .0
            == 503
        {
            assert!(
                Instant::now() < end,
                "the places of closed connections are not freed"
            );
        }
        alive(rpc);
    });
}

#[test]
fn hosts_and_origins() {
    let mut first = config();
    first.rpc.hosts.push("node.example".to_owned());
    with_node(first, |rpc| {
        let ask = |host: &str, more: &str| {
            let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
            rpc.exchange(
                format!(
                    "POST / HTTP/1.1\r\nhost: {host}\r\n{more}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                )
                .as_bytes(),
            )
            .0
        };
        assert_eq!(ask("localhost:8545", ""), 200);
        assert_eq!(ask("127.0.0.1", ""), 200);
        assert_eq!(ask("node.example", ""), 200);
        assert_eq!(ask("evil.example", ""), 403);
        assert_eq!(ask("localhost", "origin: https://any.example\r\n"), 200);
    });
    let preflight = |rpc: Rpc| {
        let mut stream = rpc.connect();
        stream
            .write_all(b"OPTIONS / HTTP/1.1\r\nhost: localhost\r\norigin: https://a.example\r\naccess-control-request-method: POST\r\naccess-control-request-headers: content-type\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.to_ascii_lowercase()
    };
    for (cors, allowed) in [
        (Cors::Any, true),
        (Cors::Off, false),
        (Cors::Origins(vec!["https://a.example".to_owned()]), true),
        (Cors::Origins(vec!["https://b.example".to_owned()]), false),
    ] {
        let mut config = config();
        config.rpc.cors = cors.clone();
        with_node(config, move |rpc| {
            let answer = preflight(rpc);
            assert_eq!(
                answer.contains("access-control-allow-origin: "),
                allowed,
                "{cors:?}: {answer}"
            );
        });
    }
}

#[test]
fn what_is_not_http() {
    with_node(config(), |rpc| {
        for bytes in [
            b"\x16\x03\x01\x02\x00\x01".as_slice(),
            &[0xff; 4096],
            b"\n\n\n\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxx",
        ] {
            let mut stream = rpc.connect();
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
        }
        assert_eq!(
            rpc.exchange(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                .0,
            405
        );
        alive(rpc);
    });
}
