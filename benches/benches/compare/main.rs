//! Ratios to the peers, measured side by side.
//!
//! On a machine with neighbours the speed of a core changes while a benchmark runs, so figures taken one after
//! another mislead. Here everybody takes turns, round after round in one process and on one thread, and the 10th
//! percentiles of each one's rounds are compared.
//!
//! `cargo bench -p pars-benches --bench compare` prints the tables; with `-- --save benches/results/NAME` it writes
//! them there as Markdown, with the figures as JSON and throughput against batch size as SVG. It takes several
//! minutes. With `--features oqs` liboqs is a peer too, which needs a C compiler, cmake and libclang to build. Without
//! `--bench`, as `cargo test` calls it, everybody takes one turn only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod device;
#[path = "../mldsa/peers.rs"]
mod peers;
#[path = "../../../node/src/plot.rs"]
#[allow(dead_code, reason = "the node's tool uses all of it")]
mod plot;
mod report;
#[path = "../mldsa/signed.rs"]
mod signed;
#[allow(dead_code, reason = "the benchmark of Poseidon uses all of it")]
mod turns;

use std::{hint::black_box, path::PathBuf, sync::Arc, time::Instant};

use pars_engine::{Engine, GpuPolicy, MlDsaVerify};
use pars_kernels::{
    cpu::Level,
    keccak::{Sponge, permute_many_at},
    mldsa::{self, ParameterSet, PreparedKey, VerifyJob},
};
use report::{Entry, Table};
use signed::Signed;
use turns::{Rounds, Runner};

/// Bytes of the messages.
const MESSAGES: [usize; 2] = [64, 1024];
/// Signatures in a batch of the tables.
const BATCHES: [usize; 4] = [1, 8, 64, 1024];
/// A batch for the quickest only: vector code and the peers that come near it.
const LARGE_BATCH: usize = 16_384;
/// Signatures in a batch of the tables of all cores.
const ALL_CORES_BATCHES: [usize; 2] = [64, 1024];
/// Time that a table takes, roughly, in seconds.
const TABLE_SECONDS: f64 = 4.0;
/// Permutations of a state or a message in the hash tables.
const PERMUTATIONS: usize = 100;
/// Rounds of a table.
const ROUNDS: std::ops::RangeInclusive<usize> = 11..=2_000;

/// Lets everybody take turns, on one core each. `items` is what a turn does.
fn compete(quick: bool, id: &str, items: usize, runners: Vec<Runner<'_>>) -> Table {
    compete_on(1, quick, id, items, runners)
}

fn compete_on(
    cores: usize,
    quick: bool,
    id: &str,
    items: usize,
    mut runners: Vec<Runner<'_>>,
) -> Table {
    let rounds = match quick {
        true => Rounds::Once,
        false => Rounds::Fill(TABLE_SECONDS, ROUNDS),
    };
    let times = turns::take(&mut runners, rounds);
    let rounds = times.first().map_or(0, Vec::len);
    let entries = runners.iter().zip(times);
    let table = Table {
        id: id.to_owned(),
        items,
        cores,
        rounds,
        entries: entries
            .map(|(runner, times)| Entry::of_turns(&runner.who, times, items))
            .collect(),
    };
    println!("{}", table.markdown());
    table
}

/// Levels of this processor, slowest first.
fn levels() -> Vec<Level> {
    Level::ALL
        .into_iter()
        .filter(|level| level.is_available())
        .collect()
}

/// Levels that compete at a batch size.
fn levels_at(size: usize) -> Vec<Level> {
    let mut levels = levels();
    levels.retain(|level| size < LARGE_BATCH || *level != Level::Portable);
    levels
}

/// Peers that compete at a batch size.
fn peers_at(set: ParameterSet, size: usize) -> Vec<peers::Peer> {
    if size < LARGE_BATCH {
        peers::of(set)
    } else {
        peers::quick(set)
    }
}

fn jobs(signed: &[Signed], size: usize) -> Vec<VerifyJob> {
    signed
        .iter()
        .cycle()
        .take(size)
        .map(|one| VerifyJob::pure(&one.public_key, b"", &one.message, &one.signature).unwrap())
        .collect()
}

/// Verification from bytes, with keys never seen before.
fn fresh(quick: bool, set: ParameterSet, signed: &[Signed], len: usize, size: usize) -> Table {
    let asked: Vec<&Signed> = signed.iter().cycle().take(size).collect();
    let mut runners = Vec::new();
    for level in levels_at(size) {
        let asked = &asked;
        runners.push(Runner::new(format!("pars-{level}"), move || {
            let jobs: Vec<VerifyJob> = black_box(asked)
                .iter()
                .map(|one| {
                    VerifyJob::pure(&one.public_key, b"", &one.message, &one.signature).unwrap()
                })
                .collect();
            let verdicts = mldsa::verify_batch_at(level, &jobs.iter().collect::<Vec<_>>());
            assert!(verdicts.iter().all(|valid| *valid));
        }));
    }
    for peer in peers_at(set, size) {
        let asked = &asked;
        runners.push(Runner::new(peer.who, move || {
            assert!(black_box(asked).iter().all(|one| (peer.verify)(one)));
        }));
    }
    let id = format!("{}/verify, {len}-byte messages", name(set));
    compete(quick, &id, size, runners)
}

/// Verification with the key prepared before; the peers that can keep no key start from its bytes.
fn prepared(quick: bool, set: ParameterSet, signed: &[Signed], len: usize, size: usize) -> Table {
    let jobs = jobs(signed, size);
    let keys: Vec<PreparedKey> = signed
        .iter()
        .map(|one| PreparedKey::new(&one.public_key).unwrap())
        .collect();
    let asked: Vec<_> = jobs.iter().zip(keys.iter().map(Some).cycle()).collect();
    let from_bytes: Vec<&Signed> = signed.iter().cycle().take(size).collect();
    let mut runners = Vec::new();
    for level in levels_at(size) {
        let asked = &asked;
        runners.push(Runner::new(format!("pars-{level}"), move || {
            let verdicts = mldsa::verify_prepared_at(level, black_box(asked));
            assert!(verdicts.iter().all(|valid| *valid));
        }));
    }
    let decoded = peers::prepared(set, signed);
    if size < LARGE_BATCH {
        let from_bytes = &from_bytes;
        runners.push(Runner::new("ml-dsa, key decoded", move || {
            let asked = black_box(from_bytes).iter().enumerate();
            assert!(
                asked
                    .into_iter()
                    .all(|(i, one)| decoded(i % signed.len(), one))
            );
        }));
    }
    for peer in peers_at(set, size) {
        let from_bytes = &from_bytes;
        runners.push(Runner::new(peer.who, move || {
            assert!(black_box(from_bytes).iter().all(|one| (peer.verify)(one)));
        }));
    }
    let id = format!("{}/verify-prepared, {len}-byte messages", name(set));
    compete(quick, &id, size, runners)
}

/// Verification on all cores: the engine with fresh and with prepared keys, and the quick peers with an equal share of
/// the batch on each core.
fn all_cores(quick: bool, set: ParameterSet, signed: &[Signed], size: usize) -> Table {
    let engine = &cpu_engine();
    let keys: Vec<Arc<PreparedKey>> = signed
        .iter()
        .map(|one| Arc::new(PreparedKey::new(&one.public_key).unwrap()))
        .collect();
    let asked: &Vec<&Signed> = &signed.iter().cycle().take(size).collect();
    let job =
        |one: &Signed| VerifyJob::pure(&one.public_key, b"", &one.message, &one.signature).unwrap();
    let answer = move |jobs: Vec<VerifyJob>| {
        let verdicts = engine.call_many_blocking::<MlDsaVerify>(jobs).unwrap();
        assert!(verdicts.iter().all(|valid| *valid));
    };
    let keys = &keys;
    let mut runners = vec![
        Runner::new("pars-engine", move || {
            answer(black_box(asked).iter().map(|one| job(one)).collect());
        }),
        Runner::new("pars-engine, keys prepared", move || {
            let with_keys = black_box(asked).iter().zip(keys.iter().cycle());
            answer(with_keys.map(|(one, key)| job(one).with_key(key)).collect());
        }),
    ];
    for peer in peers::quick(set) {
        runners.push(Runner::new(peer.who, move || {
            assert_eq!(peers::on_all_cores(black_box(asked), peer.verify), size);
        }));
    }
    let id = format!("{}/verify on all cores, 64-byte messages", name(set));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    compete_on(cores, quick, &id, size, runners)
}

/// Keccak-f[1600] alone, on many states.
fn permutation(quick: bool) -> Table {
    const STATES: usize = 64;
    let mut runners = Vec::new();
    for level in levels() {
        let mut states = vec![[0u64; 25]; STATES];
        runners.push(Runner::new(format!("pars-{level}"), move || {
            for _ in 0..PERMUTATIONS {
                permute_many_at(level, black_box(&mut states));
            }
        }));
    }
    let mut states = vec![[0u64; 25]; STATES];
    runners.push(Runner::new("keccak", move || {
        keccak::Keccak::new().with_f1600(|permute| {
            for _ in 0..PERMUTATIONS {
                black_box(&mut states).iter_mut().for_each(permute);
            }
        });
    }));
    let id = format!("keccak/f1600, {STATES} states {PERMUTATIONS} times");
    compete(quick, &id, STATES * PERMUTATIONS, runners)
}

/// SHAKE128 of short messages: one permutation to absorb and 99 to squeeze.
fn shake(quick: bool) -> Table {
    const MESSAGES: usize = 64;
    let seeds: Vec<[u8; 32]> = (0..MESSAGES).map(|i| [i as u8; 32]).collect();
    let parts: Vec<[&[u8]; 2]> = seeds.iter().map(|seed| [&seed[..], &[][..]]).collect();
    let mut output = vec![0u8; MESSAGES * 168 * PERMUTATIONS];
    let mut runners = Vec::new();
    let output = std::cell::RefCell::new(&mut output);
    for level in levels() {
        let (parts, output) = (&parts, &output);
        runners.push(Runner::new(format!("pars-{level}"), move || {
            Sponge::SHAKE128.hash_many_at(level, black_box(parts), &mut output.borrow_mut());
        }));
    }
    compete(
        quick,
        "keccak/shake128, a permutation of 64 messages of 100 blocks",
        MESSAGES * PERMUTATIONS,
        runners,
    )
}

fn name(set: ParameterSet) -> String {
    set.to_string().replace("ML-DSA-", "mldsa")
}

/// An engine on the CPU that meets every key and every job as if for the first time.
fn cpu_engine() -> Engine {
    Engine::builder()
        .gpu(GpuPolicy::Off)
        .key_cache_bytes(0)
        .share_identical(false)
        .build()
        .unwrap()
}

/// Throughput of ML-DSA-65 against batch size, for the plot: everything this machine has, all cores.
fn curves(quick: bool, signed: &[Signed]) -> Vec<plot::Curve> {
    let sizes: &[usize] = if quick {
        &[1, 16]
    } else {
        &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]
    };
    let turns = if quick { 1 } else { 9 };
    let measure = |run: &mut dyn FnMut(&[VerifyJob]), size: usize| {
        let jobs = jobs(signed, size);
        run(&jobs);
        let best = (0..turns)
            .map(|_| {
                let start = Instant::now();
                run(&jobs);
                start.elapsed().as_secs_f64()
            })
            .fold(f64::MAX, f64::min);
        (size as f64, size as f64 / best)
    };
    let mut curves = Vec::new();
    for level in levels() {
        let mut run = |jobs: &[VerifyJob]| {
            let verdicts = mldsa::verify_batch_at(level, &jobs.iter().collect::<Vec<_>>());
            assert!(verdicts.iter().all(|valid| *valid));
        };
        curves.push(plot::Curve {
            name: format!("pars-{level}, one core"),
            dashed: false,
            points: sizes.iter().map(|&size| measure(&mut run, size)).collect(),
        });
    }
    let engine = cpu_engine();
    let threads = engine.devices().cpu.threads;
    let mut run = |jobs: &[VerifyJob]| {
        let verdicts = engine
            .call_many_blocking::<MlDsaVerify>(jobs.to_vec())
            .unwrap();
        assert!(verdicts.iter().all(|valid| *valid));
    };
    curves.push(plot::Curve {
        name: format!("pars-engine, {threads} CPU threads"),
        dashed: false,
        points: sizes.iter().map(|&size| measure(&mut run, size)).collect(),
    });
    if let Some((name, software, mut verifier)) = device::open() {
        let sizes: Vec<usize> = sizes
            .iter()
            .copied()
            .filter(|&size| !software || size <= 256)
            .collect();
        let mut run = |jobs: &[VerifyJob]| {
            device::verify(&mut verifier, jobs);
        };
        curves.push(plot::Curve {
            name: format!("pars-gpu, {name}"),
            dashed: false,
            points: sizes.iter().map(|&size| measure(&mut run, size)).collect(),
        });
    }
    curves
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let quick = !arguments.iter().any(|argument| argument == "--bench");
    let save = arguments
        .iter()
        .position(|argument| argument == "--save")
        .and_then(|at| arguments.get(at + 1))
        .map(PathBuf::from);
    let machine = report::machine();
    println!("{machine}\n");

    let batches: &[usize] = if quick { &[1, 8] } else { &BATCHES };
    let mut tables = vec![permutation(quick), shake(quick)];
    for set in ParameterSet::ALL {
        for len in MESSAGES {
            let signed = signed::signed(set, len);
            let mut sizes = batches.to_vec();
            let short = len == MESSAGES[0];
            if short && !quick {
                sizes.push(LARGE_BATCH);
            }
            for &size in &sizes {
                tables.push(fresh(quick, set, &signed, len, size));
            }
            for &size in &sizes {
                tables.push(prepared(quick, set, &signed, len, size));
            }
            if short {
                let sizes: &[usize] = if quick { &[8] } else { &ALL_CORES_BATCHES };
                for &size in sizes {
                    tables.push(all_cores(quick, set, &signed, size));
                }
            }
        }
    }
    println!("{}", report::hashing_bound(&tables));
    let curves = curves(quick, &signed::signed(ParameterSet::MlDsa65, MESSAGES[0]));
    let panel = plot::Panel {
        title: "ML-DSA-65 verification, fresh keys".to_owned(),
        x: plot::Axis::new("signatures in a batch", plot::Scale::Log2),
        y: plot::Axis::new("verifications a second", plot::Scale::Log10),
        curves,
    };
    let svg = plot::svg(&machine, 1, &[panel]);
    if let Some(folder) = save {
        report::save(&folder, &machine, &tables, &svg).expect("the results are written");
        println!("written to {}", folder.display());
    }
}
