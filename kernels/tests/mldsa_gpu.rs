//! The shader on every adapter of this machine: batches of all sizes, all shapes, and faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![cfg(feature = "gpu")]

mod common;

use common::{cases::gpu_verdict, devices, signer::Signer};
use pars_kernels::{
    gpu::{GpuError, ShaderChecks},
    mldsa::{
        ParameterSet, VerifyJob,
        gpu::{BatchVerifier, GpuVerdict, ResidentKeys, Tuning},
        known_answers, portable,
    },
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;

/// Valid, invalid and every kind of malformed job of every set, with the verdict of a single portable call.
fn pool() -> Vec<(VerifyJob, GpuVerdict)> {
    known_answers()
        .into_iter()
        .map(|(job, valid)| {
            assert_eq!(portable::verify(&job), valid);
            (job, gpu_verdict(valid))
        })
        .collect()
}

fn ask(verifier: &mut BatchVerifier, batch: &[&(VerifyJob, GpuVerdict)], what: &str) {
    let jobs: Vec<&VerifyJob> = batch.iter().map(|(job, _)| job).collect();
    let verdicts = verifier.verify(&jobs).unwrap();
    assert_eq!(verdicts.len(), batch.len(), "{what}");
    for (i, ((job, expected), verdict)) in batch.iter().zip(verdicts).enumerate() {
        assert_eq!(
            verdict,
            *expected,
            "{what}: job {i} of {}, {}",
            batch.len(),
            job.parameter_set()
        );
    }
}

/// All three sets and all kinds of failure mixed at random: each verdict is that of the single call.
#[test]
fn batches_answer_as_single_calls_do() {
    let pool = pool();
    devices::each(|device| {
        let mut verifier = BatchVerifier::new(device).unwrap();
        for entry in &pool {
            ask(&mut verifier, &[entry], "single");
        }
        let mut rng = StdRng::seed_from_u64(6133);
        for size in [1, 2, 63, 64, 65, 1000] {
            let batch: Vec<_> = (0..size)
                .map(|_| &pool[rng.random_range(0..pool.len())])
                .collect();
            ask(&mut verifier, &batch, "mixed");
        }
        ask(&mut verifier, &[], "empty");
    });
}

/// One submission of a thousand jobs instead of several: no item reaches into another's memory.
#[test]
fn one_large_submission() {
    let pool = pool();
    devices::each(|device| {
        let mut tuning = Tuning::of(device);
        tuning.max_batch = 1000;
        let mut verifier = BatchVerifier::with_tuning(device, tuning).unwrap();
        assert_eq!(verifier.max_batch(), 1000);
        let batch: Vec<_> = pool.iter().cycle().take(1000).collect();
        ask(&mut verifier, &batch, "large");
    });
}

/// Other numbers of threads, the order of lanes reversed, run-time checks on, and garbage in all scratch memory: a
/// missing barrier, a wrong index or a use of stale data would change a verdict.
#[test]
fn shapes_change_no_verdict() {
    let pool = pool();
    let batch: Vec<_> = pool.iter().collect();
    devices::each(|device| {
        let base = Tuning::of(device);
        type Change = fn(&mut Tuning);
        let shapes: [(&str, Change); 5] = [
            ("reversed", |t| t.reverse_lanes = true),
            ("32 lanes", |t| (t.lanes, t.hash_threads) = (32, 32)),
            ("256 lanes, reversed", |t| {
                (t.lanes, t.hash_threads, t.reverse_lanes) = (256, 96, true);
            }),
            ("64 lanes, poisoned with ones", |t| {
                (t.lanes, t.hash_threads, t.poison) = (64, 64, Some(u32::MAX));
            }),
            ("checked, poisoned", |t| {
                (t.checks, t.poison) = (ShaderChecks::Checked, Some(0xa5a5_a5a5));
            }),
        ];
        for (name, change) in shapes {
            let mut tuning = base;
            change(&mut tuning);
            let mut verifier = BatchVerifier::with_tuning(device, tuning).unwrap();
            ask(&mut verifier, &batch, name);
            // Backwards, so that every job meets the memory of another.
            let backwards: Vec<_> = batch.iter().rev().copied().collect();
            ask(&mut verifier, &backwards, name);
        }
    });
}

/// A device that is destroyed gives typed errors, and a fresh one from the same adapter works.
#[test]
fn a_lost_device_is_an_error_and_can_be_replaced() {
    let pool = pool();
    let batch: Vec<_> = pool.iter().take(4).collect();
    let jobs: Vec<&VerifyJob> = batch.iter().map(|(job, _)| job).collect();
    for adapter in devices::all() {
        let device = adapter.open(devices::TIMEOUT).unwrap();
        let mut verifier = BatchVerifier::new(&device).unwrap();
        ask(&mut verifier, &batch, "before");
        device.destroy();
        assert!(device.is_lost());
        let error = verifier.verify(&jobs).unwrap_err();
        assert!(matches!(error, GpuError::Lost { .. }), "{error}");
        let device = adapter.open(devices::TIMEOUT).unwrap();
        let mut verifier = BatchVerifier::new(&device).unwrap();
        ask(&mut verifier, &batch, "after");
    }
}

/// Work that takes longer than the limit is an error and no verdict; the verifier can be asked again.
#[test]
fn a_timeout_is_an_error() {
    let pool = pool();
    let batch: Vec<_> = pool.iter().cycle().take(200).collect();
    let jobs: Vec<&VerifyJob> = batch.iter().map(|(job, _)| job).collect();
    for adapter in devices::all() {
        let device = adapter.open(Duration::from_nanos(1)).unwrap();
        let mut verifier = BatchVerifier::new(&device).unwrap();
        let error = verifier.verify(&jobs).unwrap_err();
        assert!(matches!(error, GpuError::Timeout { .. }), "{error}");
        assert!(!device.is_lost());
    }
}

/// A rejection loop that ends early gives no verdict, and never a wrong one.
#[test]
fn an_early_end_of_sampling_is_undecided() {
    let pool = pool();
    let jobs: Vec<&VerifyJob> = pool.iter().map(|(job, _)| job).collect();
    let decodes: Vec<bool> = jobs.iter().map(|job| portable::decodes(job)).collect();
    devices::each(|device| {
        // Four blocks hold fewer candidates than an entry of the matrix has coefficients; five are nearly always enough.
        for blocks in [0, 4, 5] {
            let mut tuning = Tuning::of(device);
            tuning.rejection_blocks = blocks;
            let mut verifier = BatchVerifier::with_tuning(device, tuning).unwrap();
            let verdicts = verifier.verify(&jobs).unwrap();
            for ((verdict, (job, right)), decodes) in verdicts.iter().zip(&pool).zip(&decodes) {
                let set = job.parameter_set();
                if blocks < 5 && *decodes {
                    assert_eq!(*verdict, GpuVerdict::Undecided, "{blocks} blocks, {set}");
                } else {
                    assert!(
                        [*right, GpuVerdict::Undecided].contains(verdict),
                        "{blocks} blocks, {set}: {verdict:?}"
                    );
                }
            }
        }
    });
}

/// Valid and broken jobs under `count` keys of each set, `each` per key, keys not next to each other.
fn many_keys(count: usize, each: usize) -> Vec<(VerifyJob, GpuVerdict)> {
    let mut jobs = Vec::new();
    for set in ParameterSet::ALL {
        for i in 0..count {
            let signer = Signer::from_seed(set, &[i as u8; 32]);
            for j in 0..each {
                let message = [i as u8, j as u8, 3];
                let mut signature = signer.sign_pure(b"", &message);
                let valid = !(i + j).is_multiple_of(3);
                if !valid {
                    signature[(7 * i + j) % 32] ^= 1;
                }
                let job = VerifyJob::pure(&signer.public_key, b"", &message, &signature).unwrap();
                assert_eq!(portable::verify(&job), valid);
                jobs.push((job, gpu_verdict(valid)));
            }
        }
    }
    jobs
}

/// Keys that stay on the device: verdicts are those of single calls while keys are unknown, new and old, with and
/// without room, with evictions inside a batch and between batches in flight, and over poisoned memory.
#[test]
fn resident_keys_change_no_verdict() {
    let mut pool = many_keys(8, 2);
    pool.extend(self::pool());
    devices::each(|device| {
        let mut rng = StdRng::seed_from_u64(204);
        let mut tuning = Tuning::of(device);
        tuning.poison = Some(0x5a5a_5a5a);
        tuning.max_batch = 40;
        let mut verifier = BatchVerifier::with_tuning(device, tuning).unwrap();
        assert_eq!(verifier.resident_keys(), ResidentKeys::default());
        // Room for nothing, for one large key, for some, for all.
        for bytes in [60 << 10, 70 << 10, 400 << 10, 8 << 20] {
            verifier.keep_keys(bytes).unwrap();
            for round in 0..4 {
                let batch: Vec<_> = (0..60)
                    .map(|_| &pool[rng.random_range(0..pool.len())])
                    .collect();
                ask(
                    &mut verifier,
                    &batch,
                    &format!("{bytes} bytes, round {round}"),
                );
            }
            let keys = verifier.resident_keys();
            assert_eq!(keys.hits + keys.misses, 240, "{keys:?}");
            assert!(
                keys.bytes <= keys.capacity && keys.capacity <= bytes,
                "{keys:?}"
            );
            match bytes >> 10 {
                60 => assert_eq!((keys.capacity, keys.hits), (0, 0)),
                70 | 400 => assert!(keys.evictions > 0 && keys.hits > 0, "{keys:?}"),
                _ => assert!(keys.evictions == 0 && keys.hits > 100, "{keys:?}"),
            }
        }
        // A second time over, everything is there.
        let before = verifier.resident_keys();
        let batch: Vec<_> = pool.iter().chain(&pool).collect();
        ask(&mut verifier, &batch, "warm");
        ask(&mut verifier, &batch, "all resident");
        let after = verifier.resident_keys();
        assert!(
            after.hits >= before.hits + 3 * pool.len() as u64,
            "{after:?}"
        );
    });
}

/// Batches in flight keep their order and their verdicts, with and without resident keys, also when others are asked
/// in between.
#[test]
fn submissions_in_flight_answer_in_order() {
    let pool = pool();
    devices::each(|device| {
        let mut tuning = Tuning::of(device);
        (tuning.slots, tuning.max_batch) = (3, 16);
        let mut verifier = BatchVerifier::with_tuning(device, tuning).unwrap();
        verifier.keep_keys(1 << 20).unwrap();
        assert_eq!(verifier.collect().unwrap(), None);
        assert_eq!(verifier.submit(&[]).unwrap(), 0);
        let mut rng = StdRng::seed_from_u64(3);
        let mut waiting = std::collections::VecDeque::new();
        for round in 0..20 {
            let batch: Vec<_> = (0..rng.random_range(1..30))
                .map(|_| &pool[rng.random_range(0..pool.len())])
                .collect();
            let jobs: Vec<&VerifyJob> = batch.iter().map(|(job, _)| job).collect();
            let taken = verifier.submit(&jobs).unwrap();
            if waiting.len() == 3 {
                assert_eq!(taken, 0);
            } else {
                assert_eq!(taken, jobs.len().min(16));
                let expected: Vec<_> = batch.iter().take(taken).map(|(_, v)| *v).collect();
                waiting.push_back(expected);
            }
            assert_eq!(verifier.in_flight(), waiting.len());
            if round % 7 == 5 {
                ask(&mut verifier, &batch, "in between");
            }
            if waiting.len() == 3 || round % 3 == 0 {
                assert_eq!(verifier.collect().unwrap(), waiting.pop_front());
            }
        }
        while let Some(expected) = waiting.pop_front() {
            assert_eq!(verifier.collect().unwrap(), Some(expected));
        }
        assert_eq!(verifier.collect().unwrap(), None);
    });
}

/// Every shape that calibration may choose answers right, and what it chooses can be stored and used again.
#[test]
fn every_candidate_of_calibration_answers_right() {
    let pool = pool();
    let batch: Vec<_> = pool.iter().collect();
    devices::each(|device| {
        let candidates = Tuning::candidates(device);
        assert_eq!(candidates[0], Tuning::of(device));
        for tuning in &candidates {
            let stored = tuning.to_string();
            let mut verifier = BatchVerifier::with_tuning(device, stored.parse().unwrap()).unwrap();
            assert_eq!(verifier.tuning(), *tuning);
            verifier.keep_keys(4 << 20).unwrap();
            // The second time, all keys are resident.
            ask(&mut verifier, &batch, &stored);
            ask(&mut verifier, &batch, &stored);
        }
        let chosen = Tuning::calibrate(device, Duration::from_millis(50)).unwrap();
        assert!(candidates.contains(&chosen), "{chosen}");
    });
}
