//! The cache of verifying keys, seen through the engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;

use ml_dsa::{Keypair, MlDsa44, SigningKey};
use pars_engine::{CacheStats, Engine, EngineBuilder, GpuPolicy, MlDsaVerify, PreparedKey};
use pars_engine::{VerifyJob, fault::FaultScript};

fn cpu() -> EngineBuilder {
    Engine::builder().gpu(GpuPolicy::Off).cpu_threads(2)
}

fn cache(engine: &Engine) -> CacheStats {
    engine
        .stats()
        .kernel("mldsa/verify")
        .unwrap()
        .cache
        .unwrap()
}

/// Jobs of several keys, every third with a changed message, and their verdicts.
fn jobs(keys: u8, each: u8) -> Vec<(VerifyJob, bool)> {
    (0..keys)
        .flat_map(|number| {
            let key = SigningKey::<MlDsa44>::from_seed(&[number; 32].into());
            let public_key = key.verifying_key().encode();
            (0..each).map(move |message| {
                let signature = key.expanded_key().sign_deterministic(&[message], b"");
                let valid = message % 3 != 2;
                let said = if valid { message } else { 200 };
                let signature = signature.unwrap().encode();
                let job = VerifyJob::pure(&public_key, b"", &[said], &signature).unwrap();
                (job, valid)
            })
        })
        .collect()
}

#[test]
fn keys_that_come_again_are_found_and_verdicts_stay() {
    let engine = cpu().build().unwrap();
    assert_eq!(
        cache(&engine),
        CacheStats {
            budget: 64 << 20,
            ..CacheStats::default()
        },
        "self-test and measurement leave no trace"
    );
    let jobs = jobs(4, 6);
    for _ in 0..3 {
        let (batch, verdicts): (Vec<_>, Vec<_>) = jobs.iter().cloned().unzip();
        assert_eq!(
            engine.call_many_blocking::<MlDsaVerify>(batch).unwrap(),
            verdicts
        );
    }
    let stats = cache(&engine);
    assert_eq!(stats.hits + stats.misses, 72);
    assert_eq!((stats.admissions, stats.keys, stats.evictions), (4, 4, 0));
    assert!(stats.hits >= 48, "{stats:?}");
    // A single job profits as well.
    let (job, valid) = jobs[0].clone();
    assert_eq!(engine.call_blocking::<MlDsaVerify>(job).unwrap(), valid);
    assert_eq!(cache(&engine).hits, stats.hits + 1);
}

#[test]
fn a_job_with_its_key_skips_the_cache() {
    let engine = cpu().build().unwrap();
    let jobs = jobs(2, 6);
    let key = Arc::new(PreparedKey::new(jobs[0].0.public_key()).unwrap());
    for _ in 0..2 {
        let batch = jobs
            .iter()
            .map(|(job, _)| job.clone().with_key(&key))
            .collect();
        let verdicts: Vec<bool> = jobs.iter().map(|(_, valid)| *valid).collect();
        assert_eq!(
            engine.call_many_blocking::<MlDsaVerify>(batch).unwrap(),
            verdicts
        );
    }
    let stats = cache(&engine);
    assert_eq!(
        stats.hits + stats.misses,
        12,
        "only the jobs of the other key"
    );
    assert_eq!(stats.keys, 1);
}

#[test]
fn no_verdict_depends_on_the_cache_under_eviction_from_many_threads() {
    let jobs = jobs(5, 6);
    let one = PreparedKey::new(jobs[0].0.public_key()).unwrap().size();
    // Room for none, for two of five keys, for all; with a device whose answers are all recomputed.
    for budget in [0, 2 * one, 100 * one] {
        let engine = cpu()
            .key_cache_bytes(budget)
            .audit_per_batch(usize::MAX)
            .faulty_device(FaultScript::new().seeded(7, 100).max_batch(8))
            .build()
            .unwrap();
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (engine, jobs) = (&engine, &jobs);
                scope.spawn(move || {
                    for round in 0..8 {
                        let mut part = jobs.clone();
                        part.rotate_left((thread * 11 + round * 7) % jobs.len());
                        part.truncate(10);
                        let (batch, verdicts): (Vec<_>, Vec<_>) = part.into_iter().unzip();
                        let got = engine.call_many_blocking::<MlDsaVerify>(batch);
                        assert_eq!(got.unwrap(), verdicts);
                    }
                });
            }
        });
        let stats = cache(&engine);
        assert!(stats.bytes <= budget, "{stats:?}");
        assert_eq!(stats.keys == 0, budget == 0, "{stats:?}");
    }
}
