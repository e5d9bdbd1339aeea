//! Plain requests are answered by a server of their own: nobody can tell but by the time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use pars_rpc::Cors;
use serde_json::{Value, json};
use support::*;

const KIND: &str = "content-type: application/json\r\n";

/// A request as almost every client sends it.
fn plain(headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST / HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// The same for the general server.
fn general(headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let chunk = match length {
        0 => String::new(),
        _ => format!("{length:x}\r\n{body}\r\n"),
    };
    format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\n{headers}transfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"
    )
    .into_bytes()
}

fn asking(id: u64, method: &str) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": []}).to_string()
}

/// The next answer: its lines but for the date, in order, and its body.
fn answer(stream: &mut TcpStream) -> (Vec<String>, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines: Vec<_> = head.trim_end().split("\r\n").map(str::to_owned).collect();
    let length = lines
        .iter()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap_or_else(|| panic!("{head}"));
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    let dated = lines.len();
    lines.retain(|line| !line.starts_with("date: "));
    assert_eq!(lines.len() + 1, dated, "{head}");
    lines[1..].sort();
    (lines, String::from_utf8(body).unwrap())
}

fn result(stream: &mut TcpStream) -> Value {
    let (_, body) = answer(stream);
    serde_json::from_str::<Value>(&body).unwrap()["result"].take()
}

#[test]
fn both_servers_answer_alike() {
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let bodies = [
        asking(1, "eth_chainId"),
        asking(2, "eth_getBalance"),
        asking(3, "eth_nothing"),
        asking(4, "eth_subscribe"),
        format!("[{},5,{}]", asking(5, "net_version"), asking(6, "x")),
        r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#.to_owned(),
        r#" {"jsonrpc":"2.0","id":"a","method":"eth_chainId"} "#.to_owned(),
        r#"{"jsonrpc":"1.0","id":7,"method":"eth_chainId"}"#.to_owned(),
        r#"{"id":{}}"#.to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "{".to_owned(),
        "5".to_owned(),
        "null".to_owned(),
        "\"\"".to_owned(),
        String::new(),
        "  ".to_owned(),
        deep,
    ];
    let origin = "origin: https://a.example\r\n";
    for cors in [
        Cors::Any,
        Cors::Off,
        Cors::Origins(vec!["https://a.example".to_owned()]),
        Cors::Origins(vec!["https://b.example".to_owned()]),
    ] {
        let mut config = config();
        config.rpc.cors = cors;
        let bodies = bodies.clone();
        with_node(config, move |rpc| {
            let mut stream = rpc.connect();
            let mut other = rpc.connect();
            for (index, body) in bodies.iter().enumerate() {
                for headers in [KIND.to_owned(), format!("{origin}{KIND}")] {
                    stream.write_all(&plain(&headers, body)).unwrap();
                    other.write_all(&general(&headers, body)).unwrap();
                    assert_eq!(answer(&mut stream), answer(&mut other), "{body}");
                }
                // What names its origin may have ended the first connection's plain time.
                if index % 3 == 0 {
                    stream = rpc.connect();
                }
            }
            let last = format!("connection: close\r\n{KIND}");
            for body in &bodies {
                let (mut stream, mut other) = (rpc.connect(), rpc.connect());
                stream.write_all(&plain(&last, body)).unwrap();
                other.write_all(&general(&last, body)).unwrap();
                assert_eq!(answer(&mut stream), answer(&mut other), "{body}");
                for mut stream in [stream, other] {
                    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "it is closed");
                }
            }
        });
    }
}

#[test]
fn requests_are_cut_wherever_the_reads_fall() {
    with_node(config(), |rpc| {
        let mut stream = rpc.connect();
        stream.set_nodelay(true).unwrap();
        let request = plain(KIND, &asking(1, "eth_chainId"));
        for at in 0..=request.len() {
            let (left, right) = request.split_at(at);
            stream.write_all(left).unwrap();
            if at % 16 == 3 {
                std::thread::sleep(Duration::from_millis(2));
            }
            stream.write_all(right).unwrap();
            assert_eq!(result(&mut stream), "0x17f5", "{at}");
        }
        for byte in &request {
            stream.write_all(&[*byte]).unwrap();
        }
        assert_eq!(result(&mut stream), "0x17f5");
        // Many at a time, more than is read at once, are answered in their order.
        let many: Vec<_> = (0..500)
            .map(|id| plain(KIND, &asking(id, "eth_chainId")))
            .collect();
        let mut writer = stream.try_clone().unwrap();
        let writing = std::thread::spawn(move || writer.write_all(&many.concat()).unwrap());
        for id in 0..500 {
            let (_, body) = answer(&mut stream);
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(
                (&body["id"], &body["result"]),
                (&json!(id), &json!("0x17f5"))
            );
        }
        writing.join().unwrap();
        // One that comes while another waits: for a block that never comes, as a nonce is missing.
        let raw = Wallet::development(0).transfer(5, SOMEONE, 1);
        let body = json!({
            "jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransactionSync", "params": [raw, "0x12c"],
        });
        stream.write_all(&plain(KIND, &body.to_string())).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(&request).unwrap();
        let (_, timed_out) = answer(&mut stream);
        assert!(timed_out.contains("\"code\":4"), "{timed_out}");
        assert_eq!(result(&mut stream), "0x17f5");
        // Large ones.
        for length in [10_000, 100_000, 300_000] {
            let body = json!({
                "jsonrpc": "2.0", "id": 1, "method": "web3_sha3", "params": [format!("0x{}", "00".repeat(length / 2))],
            });
            stream.write_all(&plain(KIND, &body.to_string())).unwrap();
            assert_eq!(result(&mut stream).as_str().unwrap().len(), 66);
        }
    });
}

#[test]
fn a_connection_goes_from_one_server_to_the_other() {
    with_node(config(), |rpc| {
        let mut stream = rpc.connect();
        let call = asking(1, "eth_chainId");
        let get = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let bytes = [
            plain(KIND, &call),
            get.to_vec(),
            plain(KIND, &call),
            general(KIND, &call),
            plain("content-type: text/plain\r\n", &call),
            plain(KIND, &call),
        ];
        stream.write_all(&bytes.concat()).unwrap();
        for status in [200, 405, 200, 200, 415, 200] {
            let (lines, _) = answer(&mut stream);
            assert!(
                lines[0].starts_with(&format!("HTTP/1.1 {status} ")),
                "{}",
                lines[0]
            );
        }
        // A WebSocket after a call.
        let mut stream = rpc.connect();
        stream.write_all(&plain(KIND, &call)).unwrap();
        assert_eq!(result(&mut stream), "0x17f5");
        let mut socket = WebSocket::upgrade(stream);
        assert_eq!(socket.ask("eth_chainId", json!([]))["result"], "0x17f5");
    });
}

#[test]
fn who_goes_away_takes_his_call_with_him() {
    let mut config = config();
    config.rpc.limit_loopback = true;
    config.rpc.client_in_flight = 1;
    with_node(config, |rpc| {
        for half in [false, true] {
            // It waits for a block that never comes: a nonce is missing.
            let raw = Wallet::development(0).transfer(5 + u64::from(half), SOMEONE, 1);
            let body = json!({
                "jsonrpc": "2.0", "id": 1,
                "method": "eth_sendRawTransactionSync", "params": [raw, "0x7530"],
            });
            let mut stream = rpc.connect();
            stream.write_all(&plain(KIND, &body.to_string())).unwrap();
            // What is sent meanwhile waits.
            stream
                .write_all(&plain(KIND, &asking(2, "eth_chainId")))
                .unwrap();
            let end = Instant::now() + Duration::from_secs(10);
            while rpc.ask("eth_chainId", json!([])).get("error").is_none() {
                assert!(Instant::now() < end, "the call does not wait");
            }
            if half {
                stream.shutdown(Shutdown::Write).unwrap();
            } else {
                drop(stream);
            }
            while rpc.ask("eth_chainId", json!([])).get("error").is_some() {
                assert!(Instant::now() < end, "the call goes on");
            }
        }
    });
}

#[test]
fn a_connection_keeps_its_place_and_its_end_from_one_server_to_the_other() {
    let mut config = config();
    config.rpc.max_connections = 2;
    config.rpc.idle_timeout = Duration::from_millis(600);
    with_node(config, |rpc| {
        let call = asking(1, "eth_chainId");
        let mut held: Vec<_> = (0..2).map(|_| rpc.connect()).collect();
        for stream in &mut held {
            let requests = [plain(KIND, &call), general(KIND, &call)];
            stream.write_all(&requests.concat()).unwrap();
            assert_eq!(result(stream), "0x17f5");
            assert_eq!(result(stream), "0x17f5");
        }
        let began = Instant::now();
        let mut words = String::new();
        let _ = rpc.connect().read_to_string(&mut words);
        assert!(words.starts_with("HTTP/1.1 503"), "{words:?}");
        // They are silent, and end; then their places are free.
        for mut stream in held {
            assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
        }
        assert!(began.elapsed() >= Duration::from_millis(400));
        assert_eq!(rpc.call("net_version", json!([])), "6133");
    });
}
