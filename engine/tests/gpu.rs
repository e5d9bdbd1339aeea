//! The engine on every adapter of this machine, software ones included.
#![cfg(feature = "gpu")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::Duration;

use ml_dsa::{Keypair, MlDsa44, MlDsa65, MlDsa87, MlDsaParams, SigningKey};
use pars_engine::{DeviceState, Engine, GpuPolicy, MlDsaVerify, Routing, VerifyJob};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const LONG: Duration = Duration::from_secs(300);

/// Signed messages of one set, as bytes: public key, message, signature.
type Signed = (Vec<u8>, Vec<u8>, Vec<u8>);

fn signed<P: MlDsaParams>(random: &mut StdRng, count: usize) -> Vec<Signed> {
    let key = SigningKey::<P>::from_seed(&random.random::<[u8; 32]>().into());
    let public_key = key.verifying_key().encode().to_vec();
    (0..count)
        .map(|_| {
            let message: Vec<u8> = (0..random.random_range(0..300))
                .map(|_| random.random())
                .collect();
            let signature = key
                .expanded_key()
                .sign_deterministic(&message, b"ctx")
                .unwrap();
            (public_key.clone(), message, signature.encode().to_vec())
        })
        .collect()
}

/// A mix of sets, valid, invalid and malformed, with the single call's verdict.
fn mixed(random: &mut StdRng, pool: &[Signed], count: usize) -> Vec<(VerifyJob, bool)> {
    (0..count)
        .map(|_| {
            let (mut key, mut message, mut signature) =
                pool[random.random_range(0..pool.len())].clone();
            match random.random_range(0..8) {
                0 => {
                    let at = random.random_range(0..signature.len());
                    signature[at] ^= 1 << random.random_range(0..8);
                }
                1 => message.push(0),
                2 => {
                    let at = random.random_range(0..key.len());
                    key[at] ^= 1 << random.random_range(0..8);
                }
                // Malformed hints: the last bytes count them.
                3 => signature
                    .iter_mut()
                    .rev()
                    .take(20)
                    .for_each(|byte| *byte = 0xff),
                _ => {}
            }
            let job = VerifyJob::pure(&key, b"ctx", &message, &signature).unwrap();
            let verdict = pars_kernels::mldsa::verify(&job);
            (job, verdict)
        })
        .collect()
}

/// At the second start the shapes of the shaders and the costs are those of the first.
#[test]
fn mixed_batches_equal_single_calls_on_every_adapter() {
    let folder = std::env::temp_dir().join(format!("pars-gpu-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    mixed_batches(&folder);
    let store = std::fs::read_to_string(folder.join("engine-store")).unwrap();
    let kept = |what: &str| store.lines().any(|line| line.contains(what));
    if pars_kernels::gpu::adapters().is_empty() {
        eprintln!("no adapter on this machine; only the CPU's costs are kept");
    } else {
        assert!(kept("mldsa/verify|tuning"), "{store}");
    }
    assert!(kept("mldsa/verify|costs"), "{store}");
    // Vulkan keeps compiled pipelines; a damaged file is written anew.
    let pipelines = || {
        std::fs::read_dir(&folder).unwrap().find_map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name()?.to_str()?.to_owned();
            name.starts_with("pipelines-").then_some(path)
        })
    };
    let written = pipelines().map(|path| {
        let bytes = std::fs::read(&path).unwrap().len();
        std::fs::write(&path, b"pars pipelines 1 and no more").unwrap();
        bytes
    });
    mixed_batches(&folder);
    if let Some(bytes) = written {
        assert!(bytes > 100, "{bytes} bytes of pipelines");
        let path = pipelines().unwrap();
        assert!(std::fs::read(path).unwrap().len() > 100);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn mixed_batches(folder: &std::path::Path) {
    let engine = Engine::builder()
        .gpu(GpuPolicy::Any)
        .routing(Routing::PreferDevice)
        .gpu_timeout(LONG)
        // The batches repeat jobs; each has to run.
        .share_identical(false)
        .gpu_key_bytes(4 << 20)
        .gpu_memory(64 << 20)
        .cache_folder(folder)
        .build()
        .unwrap();
    assert!(engine.wait_ready(LONG));
    let report = engine.devices();
    if report.adapters.is_empty() {
        eprintln!("no adapter on this machine; the batches run on the CPU");
    }
    for adapter in &report.adapters {
        eprintln!("{}: {}", adapter.adapter, adapter.state);
        assert_eq!(adapter.state, DeviceState::Ready);
    }
    let mut random = StdRng::seed_from_u64(2);
    let mut pool = signed::<MlDsa44>(&mut random, 8);
    pool.extend(signed::<MlDsa65>(&mut random, 8));
    pool.extend(signed::<MlDsa87>(&mut random, 8));
    let mut total = 0;
    for size in [1, 2, 63, 64, 65, 1_000] {
        let batch = mixed(&mut random, &pool, size);
        let expected: Vec<bool> = batch.iter().map(|(_, verdict)| *verdict).collect();
        let jobs = batch.into_iter().map(|(job, _)| job).collect();
        assert_eq!(
            engine.call_many_blocking::<MlDsaVerify>(jobs).unwrap(),
            expected,
            "{size}"
        );
        total += u64::try_from(size).unwrap();
    }
    let stats = engine.stats();
    let kernel = stats.kernel("mldsa/verify").unwrap();
    assert_eq!(kernel.answered(), total);
    let by_devices: u64 = kernel.backends[1..]
        .iter()
        .map(|device| device.answered)
        .sum();
    for device in &kernel.backends[1..] {
        assert_eq!((device.mismatches, device.failures), (0, 0), "{device:?}");
    }
    if !report.adapters.is_empty() {
        assert_eq!(by_devices + kernel.backends[1].undecided, total);
        let keys = kernel.backends[1].cache.unwrap();
        assert!(keys.hits > total / 2 && keys.admissions >= 3, "{keys:?}");
        // The self-test and the measurements use keys as well.
        assert!(keys.hits + keys.misses >= total, "{keys:?}");
        assert!(keys.bytes > 0 && keys.bytes <= keys.budget, "{keys:?}");
        assert!(keys.budget <= 4 << 20, "{keys:?}");
    }
    assert!(
        engine
            .self_test()
            .iter()
            .all(pars_engine::SelfTestReport::passed)
    );
}

#[test]
fn on_the_cpu_the_same_batches_give_the_same_verdicts() {
    let engine = Engine::builder()
        .gpu(GpuPolicy::Off)
        .share_identical(false)
        .build()
        .unwrap();
    assert!(engine.devices().adapters.is_empty());
    let mut random = StdRng::seed_from_u64(3);
    let pool = signed::<MlDsa65>(&mut random, 4);
    for size in [1, 2, 63, 64, 65, 1_000] {
        let batch = mixed(&mut random, &pool, size);
        let expected: Vec<bool> = batch.iter().map(|(_, verdict)| *verdict).collect();
        let jobs = batch.into_iter().map(|(job, _)| job).collect();
        assert_eq!(
            engine.call_many_blocking::<MlDsaVerify>(jobs).unwrap(),
            expected,
            "{size}"
        );
    }
}
