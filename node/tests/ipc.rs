//! The Unix domain socket: framing, batches, subscriptions, who may use it, and clients that misbehave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pars_node::NodeConfig;
use serde_json::{Value, json};
use support::*;

/// A client as geth's own is: JSON out, lines of JSON in.
struct Ipc {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Ipc {
    fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
            .set_write_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Self { stream, lines }
    }

    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// The next line; `None` at the end.
    fn receive(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"))),
        }
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.send(&request(1, method, params));
        self.receive().unwrap()
    }
}

fn request(id: u64, method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

/// A node with a socket in a folder of its own.
fn with_socket(
    change: impl FnOnce(&mut NodeConfig),
    test: impl FnOnce(Rpc, PathBuf) + Send + 'static,
) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("parsd.ipc");
    let mut config = config();
    config.rpc.ipc = Some(path.clone());
    change(&mut config);
    let socket = path.clone();
    with_node(config, move |rpc| test(rpc, socket));
    assert!(!path.exists(), "an orderly end removes the socket");
}

#[test]
fn calls_batches_and_errors_are_those_of_http() {
    with_socket(
        |_| {},
        |rpc, path| {
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "for its owner alone");
            let mut ipc = Ipc::connect(&path);
            for (method, params) in [
                ("eth_chainId", json!([])),
                ("eth_blockNumber", json!([])),
                ("eth_getBalance", json!([SOMEONE, "latest"])),
                ("eth_getBalance", json!(["nonsense"])),
                ("eth_nothing", json!([])),
                ("eth_sendRawTransaction", json!(["0x"])),
            ] {
                assert_eq!(
                    ipc.ask(method, params.clone()),
                    rpc.ask(method, params),
                    "{method}"
                );
            }
            let batch = json!([
                {"jsonrpc": "2.0", "id": 7, "method": "eth_chainId"},
                {"jsonrpc": "2.0", "method": "note"},
                5,
                {"jsonrpc": "2.0", "id": "x", "method": "eth_nothing"},
            ])
            .to_string();
            ipc.send(&batch);
            let (_, over_http) = rpc.post(batch.as_bytes());
            assert_eq!(
                ipc.receive().unwrap(),
                serde_json::from_str::<Value>(&over_http).unwrap()
            );
            let many = vec![json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}); 101];
            ipc.send(&json!(many).to_string());
            assert_eq!(ipc.receive().unwrap()["error"]["code"], -32010);
            // And the connection goes on.
            assert_eq!(ipc.ask("net_version", json!([]))["result"], "6133");
        },
    );
}

#[test]
fn requests_need_no_frame_and_may_come_in_any_pieces() {
    with_socket(
        |_| {},
        |_, path| {
            let mut ipc = Ipc::connect(&path);
            // Without space, with space, with newlines; a bracket in a string; one byte at a time.
            let all = [
                request(1, "eth_chainId", json!([])),
                request(2, "web3_clientVersion", json!([])),
                " \n".to_owned() + &request(3, "eth_getBalance", json!(["}{]["])),
                request(4, "net_version", json!([])) + "\n",
            ]
            .concat();
            for byte in all.as_bytes() {
                ipc.stream.write_all(&[*byte]).unwrap();
            }
            ipc.send(&all);
            let mut ids: Vec<_> = (0..8)
                .map(|_| ipc.receive().unwrap()["id"].as_u64().unwrap())
                .collect();
            ids.sort_unstable();
            assert_eq!(ids, [1, 1, 2, 2, 3, 3, 4, 4]);
            // Half-closed, as `echo ... | nc -U` does: the answers still come, then the end.
            ipc.send(&request(5, "eth_chainId", json!([])));
            ipc.stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(ipc.receive().unwrap()["id"], 5);
            assert_eq!(ipc.receive(), None);
        },
    );
}

#[test]
fn subscriptions_work() {
    with_socket(
        |_| {},
        |rpc, path| {
            let mut ipc = Ipc::connect(&path);
            let heads = ipc.ask("eth_subscribe", json!(["newHeads"]))["result"].clone();
            let pending =
                ipc.ask("eth_subscribe", json!(["newPendingTransactions"]))["result"].clone();
            assert!(heads.is_string() && pending.is_string() && heads != pending);
            let alice = Wallet::development(0);
            let hash = rpc.send(&alice.transfer(0, SOMEONE, 1));
            let first = ipc.receive().unwrap();
            assert_eq!(first["method"], "eth_subscription");
            assert_eq!(
                first["params"],
                json!({"subscription": pending, "result": hash})
            );
            let second = ipc.receive().unwrap();
            assert_eq!(second["params"]["subscription"], heads);
            assert_eq!(second["params"]["result"]["number"], "0x1");
            assert_eq!(ipc.ask("eth_unsubscribe", json!([heads]))["result"], true);
            assert_eq!(ipc.ask("eth_unsubscribe", json!([heads]))["result"], false);
            rpc.mine(&alice.transfer(1, SOMEONE, 1));
            let third = ipc.receive().unwrap();
            assert_eq!(third["params"]["subscription"], pending, "{third}");
            let none = ipc.ask("eth_subscribe", json!(["weather"]));
            assert_eq!(none["error"]["code"], -32601);
            let none = ipc.ask("pars_subscribe", json!(["newHeads"]));
            assert_eq!(none["error"]["code"], -32601);
            // Not over HTTP.
            assert_eq!(rpc.refused("eth_subscribe", json!(["newHeads"])).0, -32601);
        },
    );
}

#[test]
fn garbage_and_too_much_end_one_connection_with_a_word() {
    with_socket(
        |config| config.rpc.max_request_bytes = 1_000,
        |rpc, path| {
            let mut other = Ipc::connect(&path);
            for garbage in ["hello", "1", "\"text\"", "}", "{\"a\":}"] {
                let mut ipc = Ipc::connect(&path);
                ipc.send(&request(1, "eth_chainId", json!([])));
                ipc.send(garbage);
                let mut codes = Vec::new();
                // The one that is cut out but is no JSON is answered and the connection goes on.
                let answers = 2;
                for _ in 0..answers {
                    let answer = ipc.receive().unwrap_or_else(|| panic!("{garbage}"));
                    codes.push(answer["error"]["code"].as_i64());
                }
                codes.sort_unstable();
                assert_eq!(codes, [None, Some(-32700)], "{garbage}");
                if !garbage.starts_with('{') {
                    assert_eq!(ipc.receive(), None, "{garbage}");
                }
            }
            let mut ipc = Ipc::connect(&path);
            ipc.send(&format!("{{\"a\": \"{}\"", "x".repeat(2_000)));
            assert_eq!(ipc.receive().unwrap()["error"]["code"], -32600);
            assert_eq!(ipc.receive(), None);
            // The others are not concerned.
            assert_eq!(other.ask("net_version", json!([]))["result"], "6133");
            assert_eq!(rpc.call("net_version", json!([])), "6133");
        },
    );
}

#[test]
fn half_a_request_and_a_client_that_never_reads_are_dropped() {
    with_socket(
        |config| {
            config.rpc.request_timeout = Duration::from_millis(300);
            config.rpc.write_timeout = Duration::from_millis(500);
            config.rpc.message_buffer = 4;
        },
        |rpc, path| {
            let mut half = Ipc::connect(&path);
            half.send("{\"jsonrpc\": \"2.0\", ");
            let began = Instant::now();
            assert_eq!(half.receive().unwrap()["error"]["code"], -32002);
            assert_eq!(half.receive(), None);
            assert!(began.elapsed() < Duration::from_secs(10));
            // Silence between requests is no half request.
            let mut quiet = Ipc::connect(&path);
            std::thread::sleep(Duration::from_millis(700));
            assert_eq!(quiet.ask("net_version", json!([]))["result"], "6133");

            // It asks for large answers and reads none: the node stops reading, then hangs up.
            let deaf = UnixStream::connect(&path).unwrap();
            deaf.set_write_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            let ask = request(1, "web3_sha3", json!([format!("0x{}", "00".repeat(200))]));
            let mut writer = deaf.try_clone().unwrap();
            let began = Instant::now();
            let failed = loop {
                if let Err(error) = writer.write_all(ask.as_bytes()) {
                    break error;
                }
                assert!(
                    began.elapsed() < Duration::from_secs(30),
                    "it was never dropped"
                );
            };
            assert!(
                matches!(
                    failed.kind(),
                    std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset
                ),
                "{failed}"
            );
            drop(deaf);
            assert_eq!(rpc.call("net_version", json!([])), "6133");
            assert_eq!(quiet.ask("eth_chainId", json!([]))["result"], "0x17f5");
        },
    );
}

#[test]
fn a_flood_over_one_connection_is_answered_or_refused_one_by_one() {
    with_socket(
        |config| config.rpc.max_in_flight = 8,
        |_, path| {
            let mut ipc = Ipc::connect(&path);
            let count = 2_000_u64;
            let mut writer = ipc.stream.try_clone().unwrap();
            let flood = std::thread::spawn(move || {
                for id in 0..count {
                    let ask = request(id, "eth_getBalance", json!([SOMEONE, "latest"]));
                    writer.write_all(ask.as_bytes()).unwrap();
                }
            });
            let mut answered = vec![false; usize::try_from(count).unwrap()];
            for _ in 0..count {
                let answer = ipc.receive().unwrap();
                let id = usize::try_from(answer["id"].as_u64().unwrap()).unwrap();
                assert!(
                    !std::mem::replace(&mut answered[id], true),
                    "{id} was answered twice"
                );
                let code = answer["error"]["code"].as_i64();
                assert!(
                    answer["result"] == "0x0" || code == Some(-32005),
                    "{answer}"
                );
            }
            flood.join().unwrap();
            assert!(answered.iter().all(|done| *done));
            let mut rest = ipc.stream.try_clone().unwrap();
            rest.set_read_timeout(Some(Duration::from_millis(50)))
                .unwrap();
            assert!(rest.read(&mut [0; 16]).is_err(), "nothing else is said");
        },
    );
}
