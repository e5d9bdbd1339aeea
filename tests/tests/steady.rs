//! A node under mixed load for a while: transactions, precompile calls, reads of now and of the past, proofs,
//! logs, subscriptions that come and go, and rubbish. Its memory must not grow with time.
//!
//! Seconds by default, for the test run. The long one, with a quick beginning that fills the caches:
//! `PARS_STEADY_SECONDS=3600 PARS_STEADY_WARM=300 PARS_STEADY_TRANSACTIONS=50 PARS_STEADY_QUESTIONS=200
//! PARS_STORE_CACHE_MB=82
//! cargo test --release -p pars-tests --test steady -- --nocapture`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    fmt,
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
    wallet::{Signed, Wallet},
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

/// What memory that no part of the node ever answered for may grow by from the second quarter to the last: what
/// the allocator keeps for the next use comes and goes by this much.
const ROOM: u64 = 24 << 20;
/// And by this much more for each hour between them.
const ROOM_AN_HOUR: u64 = 16 << 20;
/// What a part without a bound may grow by: the buffers of tables fill and are written out again.
const PART_ROOM: u64 = 64 << 20;

/// A number that the environment gives.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn memory_stays_flat_under_mixed_load() {
    let seconds = setting("PARS_STEADY_SECONDS").unwrap_or(SECONDS);
    let mut rng = Rng::from_env("steady");
    let data = data_dir();
    let metrics = free_port();
    let mut node = DevNode::start_with(
        &data.path().join("node"),
        &["--metrics-port", &metrics.to_string()],
    );
    let begin = Instant::now();
    let warm_until = begin + Duration::from_secs(setting("PARS_STEADY_WARM").unwrap_or(0));
    let pace = |name, clients| Pace {
        warm_until,
        gap: setting(name).map(|rate| Duration::from_secs(1) * clients / rate as u32),
        next: warm_until,
    };
    let port = node.port;
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicU64::new(0));
    let asked = Arc::new(AtomicU64::new(0));
    let mut threads = Vec::new();
    for index in 0..SENDERS {
        let (stop, sent, rng) = (Arc::clone(&stop), Arc::clone(&sent), rng.fork());
        let pace = pace("PARS_STEADY_TRANSACTIONS", SENDERS as u32);
        let send = move || send(index, port, &stop, &sent, rng, pace);
        threads.push(thread::spawn(send));
    }
    for _ in 0..READERS {
        let (stop, asked, rng) = (Arc::clone(&stop), Arc::clone(&asked), rng.fork());
        let pace = pace("PARS_STEADY_QUESTIONS", READERS as u32);
        threads.push(thread::spawn(move || read(port, &stop, &asked, rng, pace)));
    }

    let step = Duration::from_millis((seconds * 1000 / 240).clamp(50, 15_000));
    // A line a minute, or four in all.
    let line = Duration::from_secs(seconds / 4).min(Duration::from_secs(60));
    let mut next_line = line;
    let (mut samples, mut heights) = (Vec::new(), Vec::new());
    while begin.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(step);
        assert!(
            node.is_running(),
            "the node is gone; its log:\n{}",
            node.log()
        );
        let sample = Sample::take(metrics);
        heights.push(node.rpc().height());
        if begin.elapsed() >= next_line {
            next_line += line;
            let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let (sent, asked) = (count(&sent), count(&asked));
            let at = begin.elapsed().as_secs();
            println!("{at} s, {sent} transactions, {asked} questions: {sample}");
        }
        samples.push(sample);
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
    assert!(sent > seconds * 5 && asked > seconds * 20, "{sent} {asked}");
    judge(&samples, step);
    assert!(node.stop("TERM").success());
}

/// Whether the memory grows, part by part and without the parts.
fn judge(samples: &[Sample], step: Duration) {
    let quarter = samples.len() / 4;
    assert!(quarter > 0, "too few samples: {}", samples.len());
    let medians_of = |values: &[u64]| -> [u64; 4] {
        std::array::from_fn(|index| {
            let mut values = values[index * quarter..][..quarter].to_vec();
            values.sort_unstable();
            values[values.len() / 2]
        })
    };
    let medians = |value: &dyn Fn(&Sample) -> u64| -> [u64; 4] {
        medians_of(&samples.iter().map(value).collect::<Vec<_>>())
    };
    let mib = |medians: [u64; 4]| medians.map(|bytes| bytes >> 20);
    let resident = medians(&|sample| sample.resident);
    // What a part gave back stays with the allocator for the next one: each counts with the most it ever had.
    let mut most = vec![0; samples[0].parts.len()];
    let rest: Vec<u64> = samples
        .iter()
        .map(|sample| {
            for (most, part) in most.iter_mut().zip(&sample.parts) {
                *most = part.bytes.max(*most);
            }
            sample.resident.saturating_sub(most.iter().sum())
        })
        .collect();
    let rest = medians_of(&rest);
    println!(
        "medians of the quarters in MiB: resident {:?}",
        mib(resident)
    );
    println!("of that never accounted for: {:?}", mib(rest));
    // From the middle of the second quarter to that of the last.
    let seconds = step.as_secs() * 2 * quarter as u64;
    let room = ROOM + ROOM_AN_HOUR * seconds / 3600;
    assert!(
        rest[3] <= rest[1] + room,
        "the node's memory grows, and no part of it ever answered for that: {:?} MiB",
        mib(rest)
    );
    let parts = &samples.last().expect("samples").parts;
    for (index, part) in parts.iter().enumerate() {
        let medians = medians(&|sample| sample.parts[index].bytes);
        let most = samples.iter().map(|sample| sample.parts[index].bytes).max();
        let most = most.expect("samples");
        let name = &part.name;
        match part.bound {
            Some(bound) => assert!(most <= bound, "{name} has {most} bytes, bound {bound}"),
            None => assert!(
                medians[3] <= medians[1] + PART_ROOM,
                "{name} grows: {:?} MiB",
                mib(medians)
            ),
        }
    }
}

/// What a part of the node holds.
struct Part {
    name: String,
    bytes: u64,
    bound: Option<u64>,
}

/// The node's memory by its own metrics.
struct Sample {
    resident: u64,
    committed: u64,
    parts: Vec<Part>,
}

impl Sample {
    fn take(port: u16) -> Self {
        let page = http::get(port, "/metrics").expect("the metrics page").body;
        let value = |name: &str| -> Option<u64> {
            let mut lines = page.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            let bytes: f64 = value.parse().expect("a number");
            Some(bytes as u64)
        };
        let known = |name: &str| value(name).unwrap_or_else(|| panic!("no {name}:\n{page}"));
        let parts = page.lines().filter_map(|line| {
            let (name, _) = line
                .strip_prefix("pars_memory_bytes{part=\"")?
                .split_once('"')?;
            let labels = format!("{{part=\"{name}\"}}");
            Some(Part {
                name: name.to_owned(),
                bytes: known(&format!("pars_memory_bytes{labels}")),
                bound: value(&format!("pars_memory_bound_bytes{labels}")),
            })
        });
        let parts: Vec<_> = parts.collect();
        assert!(parts.len() > 8, "the parts of memory are not told:\n{page}");
        Self {
            resident: known("process_resident_memory_bytes"),
            committed: known("pars_allocator_committed_bytes"),
            parts,
        }
    }

    /// What no part answers for: code, stacks, what is in work, and what the allocator keeps.
    fn rest(&self) -> u64 {
        let known = self.parts.iter().map(|part| part.bytes).sum();
        self.resident.saturating_sub(known)
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes| bytes as f64 / f64::from(1 << 20);
        let [resident, committed, rest] = [self.resident, self.committed, self.rest()].map(mib);
        write!(
            f,
            "resident {resident:.0} MiB, allocator {committed:.0}, not accounted for {rest:.0}"
        )?;
        for part in &self.parts {
            write!(f, ", {} {:.1}", part.name, mib(part.bytes))?;
            if let Some(bound) = part.bound {
                write!(f, " of {:.0}", mib(bound))?;
            }
        }
        Ok(())
    }
}

/// When a client asks again: as soon as it can while the caches fill, and so often after that.
struct Pace {
    warm_until: Instant,
    gap: Option<Duration>,
    next: Instant,
}

impl Pace {
    fn wait(&mut self) {
        let now = Instant::now();
        if let Some(gap) = self.gap
            && now >= self.warm_until
        {
            thread::sleep(self.next.saturating_duration_since(now));
            // What was missed is not made up for.
            self.next = self.next.max(now) + gap;
        }
    }
}

/// Transfers to ever new accounts, and calls of a precompile that ask something new each.
fn send(
    index: usize,
    port: u16,
    stop: &AtomicBool,
    sent: &AtomicU64,
    mut rng: Rng,
    mut pace: Pace,
) {
    let wallet = Wallet::development(index);
    let mut rpc = Rpc::new(port);
    let mut nonce = rpc.nonce(wallet.address, "latest");
    let mut mined = nonce;
    let case = Case::embedded();
    // A client that asks again, because it has not heard the answer.
    let again = wallet.transfer(nonce, wallet.address, 1);
    for _ in 0..2 {
        deliver(&mut rpc, &again);
    }
    nonce += 1;
    while !stop.load(Ordering::Relaxed) {
        if nonce - mined >= WAITING {
            mined = rpc.nonce(wallet.address, "latest");
            thread::sleep(Duration::from_millis(2));
            continue;
        }
        pace.wait();
        let signed = if rng.below(16) == 0 {
            let other = Case {
                message: rng.next_u64().to_be_bytes().to_vec(),
                ..case.clone()
            };
            wallet.call(nonce, MLDSA, other.call_data(), 600_000)
        } else {
            let to = Address::from_slice(&rng.next_u64().to_be_bytes().repeat(3)[..20]);
            wallet.transfer(nonce, to, 1)
        };
        deliver(&mut rpc, &signed);
        nonce += 1;
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// Hands a transaction in. The client sends again what had no answer: if the first sending arrived, the second
/// is refused because the transaction waits or is mined already, and all is well.
fn deliver(rpc: &mut Rpc, signed: &Signed) {
    let Err(error) = rpc.send(&signed.raw) else {
        return;
    };
    let known = rpc.call("eth_getTransactionByHash", json!([signed.hash]));
    assert!(!known.is_null(), "a transaction is refused: {error}");
}

/// Questions of every kind, rubbish among them; now and then a new connection and a subscription.
fn read(port: u16, stop: &AtomicBool, asked: &AtomicU64, mut rng: Rng, mut pace: Pace) {
    let mut rpc = Rpc::new(port);
    let someone = Wallet::development(0).address;
    while !stop.load(Ordering::Relaxed) {
        pace.wait();
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
