//! ML-DSA verification from bytes: our paths and the peers in one run.
//!
//! Ids are `mldsa<set>/verify/<who>/<batch>` for messages of 64 bytes, `verify-1k` for 1 KiB, and
//! `verify-prepared` and `verify-prepared-1k` where the key was prepared before. Every who starts from the bytes of
//! public key, message and signature, every signature has its own key, and every verdict is asserted.
//!
//! | who | what |
//! |---|---|
//! | `pars-portable` | the portable kernel, one after another, on the calling thread |
//! | `pars-avx2`, `pars-avx512` | the kernel at one level, the batch at once, on the calling thread |
//! | `direct` | the kernel at this CPU's best level, the batch at once, on the calling thread |
//! | `pars-engine` | the engine on the CPU, all its threads |
//! | `pars-gpu` | the GPU kernel called directly, on the first adapter (named in the output) |
//! | `ml-dsa`, `aws-lc-rs`, `libcrux-ml-dsa`, `pqcrypto-mldsa` | the peers, one after another, on the calling thread |
//! | `oqs` | liboqs likewise, with `--features oqs`: its build needs a C compiler, cmake and libclang |
//! | `<peer>-all-cores` | a quick peer on all cores, an equal share of the batch each |
//!
//! As a test (without `--bench`) each runs once, in batches of at most 64.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod peers;
mod signed;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group,
    criterion_main,
};
use pars_engine::{Engine, GpuPolicy, MlDsaVerify};
use pars_kernels::cpu::Level;
use pars_kernels::gpu::{Adapter, DeviceType, adapters};
use pars_kernels::mldsa::gpu::{BatchVerifier, GpuVerdict};
use pars_kernels::mldsa::{self, ParameterSet, PreparedKey, VerifyJob};

use signed::Signed;

/// Batch sizes of the vector code, the engine and hardware adapters.
const BATCHES: [usize; 5] = [1, 8, 64, 1_024, 16_384];

/// Batch sizes of those who do one signature after another, at a cost that no batch changes.
const SINGLE_BATCHES: [usize; 3] = [1, 64, 1_024];

/// Batch sizes on software adapters, which need about a millisecond a signature.
const SOFTWARE_BATCHES: [usize; 2] = [1, 64];

/// Batch sizes of peers on all cores.
const ALL_CORES_BATCHES: [usize; 2] = [64, 1_024];

/// Largest batch when the benches run as a test.
const TEST_BATCH: usize = 64;

/// Groups with fresh keys, those with prepared keys, and the bytes of their messages.
const MESSAGES: [(&str, &str, usize); 2] = [
    ("verify", "verify-prepared", 64),
    ("verify-1k", "verify-prepared-1k", 1_024),
];

/// How long a device may take.
const GPU_TIMEOUT: Duration = Duration::from_secs(60);

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Benches one way to verify. The function gives the number of valid signatures.
fn bench(
    group: &mut Group<'_>,
    who: &str,
    batches: &[usize],
    signed: &[Signed],
    mut valid: impl FnMut(&[&Signed]) -> usize,
) {
    let as_test = !std::env::args().any(|argument| argument == "--bench");
    let most = if as_test { TEST_BATCH } else { usize::MAX };
    for &size in batches.iter().filter(|&&size| size <= most) {
        let batch: Vec<&Signed> = signed.iter().cycle().take(size).collect();
        group.throughput(Throughput::Elements(u64::try_from(size).unwrap()));
        group.bench_with_input(BenchmarkId::new(who, size), &batch, |bencher, batch| {
            bencher.iter(|| assert_eq!(valid(black_box(batch)), size, "{who} refused a signature"));
        });
    }
}

fn jobs(batch: &[&Signed]) -> Vec<VerifyJob> {
    batch
        .iter()
        .map(|one| VerifyJob::pure(&one.public_key, b"", &one.message, &one.signature).unwrap())
        .collect()
}

fn count(verdicts: &[bool]) -> usize {
    verdicts.iter().filter(|valid| **valid).count()
}

/// The adapter to measure: hardware before software.
fn adapter() -> Option<Adapter> {
    let mut found = adapters();
    found.sort_by_key(|adapter| match adapter.info().device_type {
        DeviceType::Discrete => 0,
        DeviceType::Integrated | DeviceType::Virtual => 1,
        DeviceType::Other => 2,
        DeviceType::Cpu => 3,
    });
    found.into_iter().next()
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

fn verify(criterion: &mut Criterion) {
    println!("cpu: {}", pars_kernels::cpu::features());
    let engine = cpu_engine();
    println!("pars-engine: {} CPU threads", engine.devices().cpu.threads);
    let mut gpu = match adapter() {
        None => {
            println!("pars-gpu: no adapter on this machine, not measured");
            None
        }
        Some(adapter) => {
            println!("pars-gpu: {}", adapter.info());
            let software = adapter.info().device_type == DeviceType::Cpu;
            let device = adapter.open(GPU_TIMEOUT).unwrap();
            Some((BatchVerifier::new(&device).unwrap(), software))
        }
    };
    for (set, (name, _, message_len)) in ParameterSet::ALL
        .into_iter()
        .flat_map(|set| MESSAGES.map(|message| (set, message)))
    {
        let signed = signed::signed(set, message_len);
        let peers = peers::of(set);
        let mut group = open_group(criterion, set, name);
        bench(
            &mut group,
            "pars-portable",
            &SINGLE_BATCHES,
            &signed,
            |batch| {
                jobs(batch)
                    .iter()
                    .filter(|job| mldsa::portable::verify(job))
                    .count()
            },
        );
        for level in Level::ALL {
            if level == Level::Portable || !level.is_available() {
                continue;
            }
            bench(
                &mut group,
                &format!("pars-{level}"),
                &BATCHES,
                &signed,
                |batch| {
                    let jobs = jobs(batch);
                    count(&mldsa::verify_batch_at(
                        level,
                        &jobs.iter().collect::<Vec<_>>(),
                    ))
                },
            );
        }
        bench(&mut group, "direct", &BATCHES, &signed, |batch| {
            let jobs = jobs(batch);
            count(&mldsa::verify_batch(&jobs.iter().collect::<Vec<_>>()))
        });
        bench(&mut group, "pars-engine", &BATCHES, &signed, |batch| {
            count(
                &engine
                    .call_many_blocking::<MlDsaVerify>(jobs(batch))
                    .unwrap(),
            )
        });
        if let Some((verifier, software)) = &mut gpu {
            let batches: &[usize] = if *software {
                &SOFTWARE_BATCHES
            } else {
                &BATCHES
            };
            bench(&mut group, "pars-gpu", batches, &signed, |batch| {
                let jobs = jobs(batch);
                let verdicts = verifier.verify(&jobs.iter().collect::<Vec<_>>()).unwrap();
                verdicts
                    .iter()
                    .filter(|verdict| **verdict == GpuVerdict::Valid)
                    .count()
            });
        }
        for peer in peers {
            bench(&mut group, peer.who, &SINGLE_BATCHES, &signed, |batch| {
                batch.iter().filter(|one| (peer.verify)(one)).count()
            });
        }
        for peer in peers::quick(set) {
            let who = format!("{}-all-cores", peer.who);
            bench(&mut group, &who, &ALL_CORES_BATCHES, &signed, |batch| {
                peers::on_all_cores(batch, peer.verify)
            });
        }
        group.finish();
    }
}

/// The group `mldsa<set>/<name>`.
fn open_group<'a>(criterion: &'a mut Criterion, set: ParameterSet, name: &str) -> Group<'a> {
    let number = set.to_string().replace("ML-DSA-", "");
    let mut group = criterion.benchmark_group(format!("mldsa{number}/{name}"));
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(600));
    group
}

/// Verification with keys prepared before; no peer but `ml-dsa` can keep one.
fn verify_prepared(criterion: &mut Criterion) {
    for (set, (_, name, message_len)) in ParameterSet::ALL
        .into_iter()
        .flat_map(|set| MESSAGES.map(|message| (set, message)))
    {
        let signed = signed::signed(set, message_len);
        let keys: Vec<PreparedKey> = signed
            .iter()
            .map(|one| PreparedKey::new(&one.public_key).unwrap())
            .collect();
        let mut group = open_group(criterion, set, name);
        for level in Level::ALL {
            if !level.is_available() {
                continue;
            }
            let batches: &[usize] = if level == Level::Portable {
                &SINGLE_BATCHES
            } else {
                &BATCHES
            };
            bench(
                &mut group,
                &format!("pars-{level}"),
                batches,
                &signed,
                |batch| {
                    let jobs = jobs(batch);
                    // A batch repeats the signatures in order, so the keys do as well.
                    let asked: Vec<_> = jobs.iter().zip(keys.iter().cycle().map(Some)).collect();
                    count(&mldsa::verify_prepared_at(level, &asked))
                },
            );
        }
        let peer = peers::prepared(set, &signed);
        bench(&mut group, "ml-dsa", &SINGLE_BATCHES, &signed, |batch| {
            batch
                .iter()
                .enumerate()
                .filter(|(i, one)| peer(i % signed.len(), one))
                .count()
        });
        group.finish();
    }
}

criterion_group!(benches, verify, verify_prepared);
criterion_main!(benches);
