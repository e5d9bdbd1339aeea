//! Bytes no honest client sends: the node answers with the standard codes and stays up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    io::{Read, Write},
    thread,
    time::{Duration, Instant},
};

use pars_tests::{
    http::{self, post_once},
    node::{DevNode, data_dir},
    rpc::{RpcError, error_object},
    websocket::{CLOSE, PING, PONG, TEXT, WebSocket},
};
use serde_json::{Value, json};

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const METHOD_NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;

fn with_node(test: impl FnOnce(&mut DevNode)) {
    let data = data_dir();
    let mut node = DevNode::start(&data.path().join("node"));
    test(&mut node);
    node.assert_healthy();
}

/// The error of an answer that is one object.
fn error_of(body: &str) -> RpcError {
    let answer: Value =
        serde_json::from_str(body).unwrap_or_else(|_| panic!("the answer is no JSON: {body:?}"));
    error_object(
        answer
            .get("error")
            .unwrap_or_else(|| panic!("no error in {body}")),
    )
}

#[test]
fn malformed_requests_get_the_standard_codes() {
    with_node(|node| {
        let deep = [vec![b'['; 200_000], vec![b']'; 200_000]].concat();
        let deep_params = [
            br#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":"#.as_slice(),
            &deep,
            b"}",
        ]
        .concat();
        let malformed: [&[u8]; 12] = [
            b"{",
            b"}",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\"",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\",}",
            b"{'jsonrpc':'2.0','id':1,'method':'eth_chainId'}",
            b"hello",
            b"\x00\x01\x02\x03",
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\xfe\"}",
            b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\"}",
            b"nul",
            b"\"",
            b"[",
        ];
        for body in malformed {
            let response = post_once(node.port, body).expect("an answer");
            assert_eq!(
                error_of(&response.body).code,
                PARSE_ERROR,
                "{}",
                String::from_utf8_lossy(body)
            );
        }
        let wrong_shape = [
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"id":1,"method":"eth_chainId"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}"#,
            "{}",
            "[]",
        ];
        for body in wrong_shape {
            let response = post_once(node.port, body.as_bytes()).expect("an answer");
            let code = error_of(&response.body).code;
            assert_eq!(code, INVALID_REQUEST, "{body}");
        }
        // Depth that would overflow the stack of a parser without a limit.
        for body in [deep, deep_params] {
            let response = post_once(node.port, &body).expect("an answer");
            let answer: Value = serde_json::from_str(&response.body).expect("an answer in JSON");
            let first = answer.get(0).unwrap_or(&answer);
            let code = error_object(&first["error"]).code;
            assert!(
                [PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS].contains(&code),
                "{code}"
            );
        }
    });
}

#[test]
fn unknown_methods_and_wrong_parameters_are_told_apart() {
    with_node(|node| {
        let mut rpc = node.rpc();
        for method in [
            "eth_nothing",
            "",
            "eth_chainid",
            "personal_unlockAccount",
            "__proto__",
            &"x".repeat(10_000),
        ] {
            let error = rpc.refused(method, json!([]));
            assert_eq!(error.code, METHOD_NOT_FOUND, "{method}: {error}");
        }
        let address = "0x0000000000000000000000000000000000000001";
        let hash = format!("0x{}", "11".repeat(32));
        let wrong = [
            ("eth_getBalance", json!([])),
            ("eth_getBalance", json!(["latest"])),
            ("eth_getBalance", json!(["0x12", "latest"])),
            (
                "eth_getBalance",
                json!(["0xzz00000000000000000000000000000000000001", "latest"]),
            ),
            ("eth_getBalance", json!([5, "latest"])),
            ("eth_getBalance", json!([address, "newest"])),
            ("eth_getBalance", json!([address, "12"])),
            ("eth_getBalance", json!([address, "0x"])),
            ("eth_getBalance", json!([address, "-0x1"])),
            ("eth_getBalance", json!([address, "0x1ffffffffffffffffff"])),
            ("eth_getBalance", json!([address, {"blockHash": "0x11"}])),
            ("eth_getBlockByNumber", json!([])),
            ("eth_getBlockByNumber", json!(["latest", "yes"])),
            ("eth_getBlockByHash", json!(["0x11", false])),
            ("eth_getTransactionByHash", json!([hash.get(..64)])),
            ("eth_getTransactionReceipt", json!([null])),
            ("eth_sendRawTransaction", json!([])),
            ("eth_sendRawTransaction", json!(["nothing"])),
            ("eth_sendRawTransaction", json!(["0x123"])),
            ("eth_sendRawTransaction", json!([{"from": address}])),
            ("eth_call", json!([])),
            ("eth_call", json!(["0x1234", "latest"])),
            ("eth_call", json!([{"to": "0x12"}, "latest"])),
            (
                "eth_call",
                json!([{"to": address, "data": "0x1"}, "latest"]),
            ),
            (
                "eth_call",
                json!([{"to": address, "value": "-1"}, "latest"]),
            ),
            ("eth_estimateGas", json!([[]])),
            ("eth_getLogs", json!(["all"])),
            ("eth_getLogs", json!([{"address": 5}])),
            ("eth_getLogs", json!([{"fromBlock": "soon"}])),
            ("eth_getStorageAt", json!([address])),
            ("eth_feeHistory", json!([])),
            ("eth_feeHistory", json!(["0x1", "latest", ["much"]])),
            ("eth_newFilter", json!([5])),
            ("web3_sha3", json!(["hello"])),
        ];
        for (method, params) in wrong {
            let error = rpc.refused(method, params.clone());
            assert_eq!(error.code, INVALID_PARAMS, "{method} {params}: {error}");
            assert!(!error.message.is_empty());
        }
        // By name instead of by position.
        let error = rpc.refused("eth_getBalance", json!({"address": address}));
        assert_eq!(error.code, INVALID_PARAMS, "{error}");
        // Questions about blocks that are not there, and ranges that make no sense.
        rpc.refused("eth_getBalance", json!([address, "0xffffff"]));
        rpc.refused(
            "eth_getLogs",
            json!([{"fromBlock": "0x5", "toBlock": "0x1"}]),
        );
        rpc.refused(
            "eth_getLogs",
            json!([{"fromBlock": "0x0", "blockHash": hash}]),
        );
    });
}

#[test]
fn batches_answer_each_request_and_have_a_limit() {
    with_node(|node| {
        let batch = json!([
            {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"},
            {"jsonrpc": "2.0", "id": 2, "method": "eth_nothing"},
            5,
            {"jsonrpc": "2.0", "id": "three", "method": "eth_getBalance", "params": []},
            {"jsonrpc": "2.0", "id": 4, "method": "net_version", "params": []},
        ]);
        let response = post_once(node.port, batch.to_string().as_bytes()).expect("an answer");
        let answers: Vec<Value> = serde_json::from_str(&response.body).expect("a list of answers");
        assert_eq!(answers.len(), 5);
        let by_id = |id: Value| {
            answers
                .iter()
                .find(|answer| answer["id"] == id)
                .expect("an answer with that id")
        };
        assert_eq!(by_id(json!(1))["result"], "0x17f5");
        assert_eq!(by_id(json!(2))["error"]["code"], METHOD_NOT_FOUND);
        assert_eq!(by_id(Value::Null)["error"]["code"], INVALID_REQUEST);
        assert_eq!(by_id(json!("three"))["error"]["code"], INVALID_PARAMS);
        assert_eq!(by_id(json!(4))["result"], "6133");

        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"});
        let long = Value::from(vec![request; 5_000]);
        let response = post_once(node.port, long.to_string().as_bytes()).expect("an answer");
        error_of(&response.body);
    });
}

#[test]
fn oversized_bodies_are_refused_without_being_read() {
    with_node(|node| {
        // Forty megabytes that really come: the node may answer or hang up, but not take them.
        let mut body = br#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[""#.to_vec();
        body.resize(40 << 20, b'a');
        body.extend_from_slice(b"\"]}");
        if let Ok(response) = post_once(node.port, &body) {
            assert_ne!(response.status, 200, "{}", response.body);
        }
        // A length that never comes.
        let mut stream = http::connect(node.port).unwrap();
        stream
            .write_all(b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 99999999999\r\n\r\n{")
            .unwrap();
        if let Ok(response) = http::read_response(&mut stream) {
            assert_eq!(response.status, 413, "{}", response.body);
        }
        // A header without end.
        let mut stream = http::connect(node.port).unwrap();
        let line = format!("x-filler: {}\r\n", "y".repeat(1000));
        let _ = stream.write_all(b"POST / HTTP/1.1\r\n");
        for _ in 0..2_000 {
            if stream.write_all(line.as_bytes()).is_err() {
                break;
            }
        }
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(!answer.contains(" 200 "), "{answer}");
    });
}

#[test]
fn half_requests_do_not_hold_up_others() {
    with_node(|node| {
        let halves: [&[u8]; 5] = [
            b"",
            b"POST / HT",
            b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\n",
            b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"jsonrpc\"",
            b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\n",
        ];
        let mut open = Vec::new();
        for half in halves.iter().cycle().take(100) {
            let mut stream = http::connect(node.port).expect("a connection");
            stream.write_all(half).expect("half a request");
            open.push(stream);
        }
        let mut rpc = node.rpc();
        let begin = Instant::now();
        for _ in 0..100 {
            rpc.call("eth_blockNumber", json!([]));
        }
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "a hundred calls took {:?}",
            begin.elapsed()
        );
        drop(open);
        node.assert_healthy();
        // What is not HTTP at all.
        for garbage in [
            b"\x16\x03\x01\x02\x00\x01\x00".as_slice(),
            b"\n\n\n\n",
            &[0xff; 4096],
        ] {
            let mut stream = http::connect(node.port).expect("a connection");
            let _ = stream.write_all(garbage);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
        }
    });
}

#[test]
fn a_flood_of_connections_passes() {
    with_node(|node| {
        let port = node.port;
        let floods: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn(move || {
                    let mut answered = 0;
                    for _ in 0..3 {
                        let open: Vec<_> =
                            (0..100).filter_map(|_| http::connect(port).ok()).collect();
                        for mut stream in open {
                            let request =
                                http::post(br#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#);
                            let answer = stream
                                .write_all(&request)
                                .and_then(|()| http::read_response(&mut stream));
                            answered +=
                                usize::from(answer.is_ok_and(|answer| answer.status == 200));
                        }
                    }
                    answered
                })
            })
            .collect();
        let answered: usize = floods
            .into_iter()
            .map(|flood| flood.join().expect("a flood"))
            .sum();
        println!("{answered} of 1200 connections were answered");
        // The node may turn some away at its limit, but serves many.
        assert!(
            answered >= 400,
            "only {answered} of 1200 connections were answered"
        );
    });
}

#[test]
fn other_http_methods_and_types_are_refused() {
    with_node(|node| {
        for request in [
            "PUT / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n",
            "DELETE / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: text/plain\r\ncontent-length: 47\r\n\r\n\
             {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_chainId\"}",
            "BREW / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        ] {
            let mut stream = http::connect(node.port).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let response = http::read_response(&mut stream).expect("an answer");
            assert!(
                (400..500).contains(&response.status),
                "{request:?}: {}",
                response.status
            );
        }
        // A page that let its own name point to this machine may not speak to the node.
        let mut stream = http::connect(node.port).unwrap();
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
        let request = format!(
            "POST / HTTP/1.1\r\nhost: evil.example\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(
            http::read_response(&mut stream).expect("an answer").status,
            403
        );
        // A browser wallet asks first.
        let mut stream = http::connect(node.port).unwrap();
        stream
            .write_all(
                b"OPTIONS / HTTP/1.1\r\nhost: 127.0.0.1\r\norigin: https://app.example\r\n\
                  access-control-request-method: POST\r\naccess-control-request-headers: content-type\r\n\r\n",
            )
            .unwrap();
        let response = http::read_response(&mut stream).expect("an answer");
        assert!((200..300).contains(&response.status));
        assert!(
            response
                .headers
                .iter()
                .any(|line| line.starts_with("access-control-allow-origin:"))
        );
    });
}

#[test]
fn bad_websocket_frames_close_one_connection_only() {
    with_node(|node| {
        let mut steady = WebSocket::connect(node.port).expect("a WebSocket");
        let ask = br#"{"jsonrpc":"2.0","id":7,"method":"eth_chainId"}"#;

        // Bad JSON is an answer, and the connection goes on.
        let mut socket = WebSocket::connect(node.port).expect("a WebSocket");
        socket.send(TEXT, b"{").unwrap();
        assert_eq!(
            error_of(&socket.text().expect("an answer")).code,
            PARSE_ERROR
        );
        socket
            .send(
                TEXT,
                br#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["everything"]}"#,
            )
            .unwrap();
        assert_eq!(
            error_of(&socket.text().expect("an answer")).code,
            METHOD_NOT_FOUND,
            "to geth, and so to tools, an unknown subscription is an unknown method"
        );
        socket.send(PING, b"still there?").unwrap();
        socket.send(TEXT, ask).unwrap();
        assert!(socket.text().expect("an answer").contains("0x17f5"));

        // A frame that claims 2^63 - 1 bytes, one without a mask, one of a reserved kind.
        let frames: [&[u8]; 3] = [
            &[
                0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, b'{',
            ],
            &[0x81, 0x02, b'{', b'}'],
            &[0x8f, 0x80, 0, 0, 0, 0],
        ];
        for frame in frames {
            let mut socket = WebSocket::connect(node.port).expect("a WebSocket");
            socket.0.write_all(frame).unwrap();
            // The node's own pings may come first.
            let answer = std::iter::repeat_with(|| socket.receive())
                .find(|answer| !matches!(answer, Ok((PING | PONG, _))))
                .expect("an endless iterator");
            match answer {
                Ok((kind, payload)) => assert!(
                    kind == CLOSE || error_of(&String::from_utf8_lossy(&payload)).code < 0,
                    "frame {frame:?} brought kind {kind}"
                ),
                Err(error) => assert_ne!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock,
                    "frame {frame:?} was ignored"
                ),
            }
        }
        // A subscriber that vanishes without a word.
        let mut gone = WebSocket::connect(node.port).expect("a WebSocket");
        gone.send(
            TEXT,
            br#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#,
        )
        .unwrap();
        gone.text().expect("a subscription");
        drop(gone);

        steady.send(TEXT, ask).unwrap();
        assert!(steady.text().expect("an answer").contains("0x17f5"));
    });
}

#[test]
fn random_bytes_in_place_of_requests() {
    with_node(|node| {
        let mut rng = pars_tests::rng::Rng::from_env("random requests");
        let whole = json!({
            "jsonrpc": "2.0", "id": 1, "method": "eth_call",
            "params": [{"to": "0x0000000000000000000000000000000000000602", "data": "0xde8f50a1"}, "latest"],
        })
        .to_string()
        .into_bytes();
        for _ in 0..300 {
            let mut body = whole.clone();
            for _ in 0..=rng.below(4) {
                if body.is_empty() {
                    break;
                }
                let at = rng.below(body.len() as u64) as usize;
                match rng.below(3) {
                    0 => body[at] = rng.next_u64() as u8,
                    1 => {
                        body.remove(at);
                    }
                    _ => body.truncate(at.max(1)),
                }
            }
            let response = post_once(node.port, &body).expect("an answer");
            assert!(
                response.status < 500,
                "{} to {}",
                response.status,
                String::from_utf8_lossy(&body)
            );
        }
    });
}
