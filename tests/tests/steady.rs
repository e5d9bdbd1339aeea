//! A node under mixed load for a while: transactions, precompile calls, reads of now and of the past, proofs,
//! logs, subscriptions that come and go, and rubbish. Its memory must not grow with time.
//!
//! Seconds by default, for the test run. The long one:
//! `PARS_STEADY_SECONDS=3600 cargo test --release -p pars-tests --test steady -- --nocapture`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use alloy_primitives::Address;
use pars_tests::{
    http,
    node::{DevNode, data_dir, free_port},
    official::{Case, MLDSA},
    rng::Rng,
    rpc::Rpc,
    wallet::Wallet,
    websocket::{TEXT, WebSocket},
};
use serde_json::json;

/// How long the load lasts; `PARS_STEADY_SECONDS` asks for more.
const SECONDS: u64 = 12;
/// Senders of transactions, and clients that read, each at the same time.
const SENDERS: usize = 2;
const READERS: usize = 2;
/// Transactions of a sender that may wait for their block.
const WAITING: u64 = 32;
/// Samples within which there must be a block: a quarter of the time.
const STANDSTILL: usize = 60;
/// What the median of the last quarter may have over that of the second: caches and the buffers of tables
/// still fill, up to their bounds.
const ROOM: u64 = 192 << 20;
const ROOM_PERCENT: u64 = 10;

#[test]
fn memory_stays_flat_under_mixed_load() {
    let seconds = std::env::var("PARS_STEADY_SECONDS")
        .map_or(SECONDS, |text| text.parse().expect("a number of seconds"));
    let mut rng = Rng::from_env("steady");
    let data = data_dir();
    let metrics = free_port();
    let mut node = DevNode::start_with(
        &data.path().join("node"),
        &["--metrics-port", &metrics.to_string()],
    );
    let port = node.port;
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicU64::new(0));
    let asked = Arc::new(AtomicU64::new(0));
    let mut threads = Vec::new();
    for index in 0..SENDERS {
        let (stop, sent, rng) = (Arc::clone(&stop), Arc::clone(&sent), rng.fork());
        threads.push(thread::spawn(move || send(index, port, &stop, &sent, rng)));
    }
    for _ in 0..READERS {
        let (stop, asked, rng) = (Arc::clone(&stop), Arc::clone(&asked), rng.fork());
        threads.push(thread::spawn(move || read(port, &stop, &asked, rng)));
    }

    let begin = Instant::now();
    let step = Duration::from_millis((seconds * 1000 / 240).clamp(50, 15_000));
    let (mut samples, mut heights) = (Vec::new(), Vec::new());
    while begin.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(step);
        samples.push(resident(metrics));
        heights.push(node.rpc().height());
        assert!(
            node.is_running(),
            "the node is gone; its log:\n{}",
            node.log()
        );
    }
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("a client");
    }
    let height = node.rpc().height();
    let (sent, asked) = (sent.load(Ordering::Relaxed), asked.load(Ordering::Relaxed));
    println!("{seconds} s: {sent} transactions, {asked} questions, {height} blocks");
    let stood_still = |heights: &[u64]| heights.first() == heights.last();
    assert!(
        !heights.windows(STANDSTILL).any(stood_still),
        "the chain stood still under load: {heights:?}"
    );
    let quarter = samples.len() / 4;
    let medians: Vec<u64> = samples
        .chunks(quarter.max(1))
        .take(4)
        .map(|chunk| {
            let mut sorted = chunk.to_vec();
            sorted.sort_unstable();
            sorted[sorted.len() / 2]
        })
        .collect();
    let mib: Vec<u64> = medians.iter().map(|bytes| bytes >> 20).collect();
    let most = samples.iter().max().expect("samples") >> 20;
    println!("resident MiB, medians of the quarters: {mib:?}, most {most}");
    assert!(sent > seconds * 5 && asked > seconds * 20, "{sent} {asked}");
    let [_, second, _, last] = medians[..] else {
        panic!("too few samples: {}", samples.len());
    };
    assert!(
        last <= second + second * ROOM_PERCENT / 100 + ROOM,
        "the node's memory grows: {mib:?} MiB"
    );
    assert!(node.stop("TERM").success());
}

/// The node's memory by its own metrics.
fn resident(port: u16) -> u64 {
    let page = http::get(port, "/metrics").expect("the metrics page").body;
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    let bytes: f64 = line.expect("the memory").trim().parse().expect("bytes");
    bytes as u64
}

/// Transfers to ever new accounts, and calls of a precompile, as fast as they are mined.
fn send(index: usize, port: u16, stop: &AtomicBool, sent: &AtomicU64, mut rng: Rng) {
    let wallet = Wallet::development(index);
    let mut rpc = Rpc::new(port);
    let mut nonce = rpc.nonce(wallet.address, "latest");
    let mut mined = nonce;
    let question = Case::embedded().call_data();
    while !stop.load(Ordering::Relaxed) {
        if nonce - mined >= WAITING {
            mined = rpc.nonce(wallet.address, "latest");
            thread::sleep(Duration::from_millis(2));
            continue;
        }
        let signed = if rng.below(16) == 0 {
            wallet.call(nonce, MLDSA, question.clone(), 600_000)
        } else {
            let to = Address::from_slice(&rng.next_u64().to_be_bytes().repeat(3)[..20]);
            wallet.transfer(nonce, to, 1)
        };
        rpc.send(&signed.raw).expect("a transaction is taken");
        nonce += 1;
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// Questions of every kind, rubbish among them; now and then a new connection and a subscription.
fn read(port: u16, stop: &AtomicBool, asked: &AtomicU64, mut rng: Rng) {
    let mut rpc = Rpc::new(port);
    let someone = Wallet::development(0).address;
    while !stop.load(Ordering::Relaxed) {
        let head = rpc.height();
        let block = format!("{:#x}", head.saturating_sub(rng.below(300)));
        match rng.below(10) {
            0 => drop(rpc.call("eth_getBalance", json!([someone, block]))),
            1 => drop(rpc.call("eth_getBlockByNumber", json!([block, true]))),
            2 => drop(rpc.call("eth_getBlockReceipts", json!([block]))),
            // Outside the window this is an error, as it should be.
            3 => drop(rpc.try_call("eth_getProof", json!([someone, [], block]))),
            4 => drop(rpc.call("eth_getLogs", json!([{"fromBlock": block}]))),
            5 => drop(rpc.call("eth_call", json!([{"to": someone}, block]))),
            6 => drop(rpc.call("eth_feeHistory", json!(["0x10", "latest", [50]]))),
            7 => {
                let filter = rpc.call("eth_newFilter", json!([{"address": someone}]));
                // The forgotten ones go when nobody has asked for long.
                if rng.below(16) > 0 {
                    rpc.call("eth_uninstallFilter", json!([filter]));
                }
            }
            8 => drop(http::post_once(port, &vec![b'['; 10_000])),
            _ => subscribe(port),
        }
        asked.fetch_add(1, Ordering::Relaxed);
    }
}

/// A subscriber that hears a little and hangs up.
fn subscribe(port: u16) {
    let Ok(mut socket) = WebSocket::connect(port) else {
        return;
    };
    let request =
        json!({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]});
    if socket.send(TEXT, request.to_string().as_bytes()).is_ok() {
        let _ = socket.text();
    }
}
