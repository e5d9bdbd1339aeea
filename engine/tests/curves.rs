//! The kernels of the short Weierstrass curves in an engine, on every adapter, and on devices that fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::Duration;

#[cfg(feature = "gpu")]
use pars_engine::DeviceState;
use pars_engine::fault::{Fault, FaultScript};
use pars_engine::{
    EcdsaRecover, EcdsaVerify, Engine, EngineBuilder, GpuPolicy, Kernel, LsagSecp256k1Verify,
    PedersenCommit, Routing, SchnorrVerify,
};
use pars_kernels::ring::Members;

const LONG: Duration = Duration::from_secs(300);

const NAMES: [&str; 3] = [EcdsaRecover::NAME, EcdsaVerify::NAME, SchnorrVerify::NAME];

fn builder() -> EngineBuilder {
    Engine::builder()
        .without_standard_kernels()
        .kernel::<EcdsaRecover>()
        .kernel::<EcdsaVerify>()
        .kernel::<SchnorrVerify>()
        .kernel_with::<LsagSecp256k1Verify>(Members::new(64))
        .kernel::<PedersenCommit>()
        .share_identical(false)
        .gpu_timeout(LONG)
}

/// The known questions, many times over, in an order that differs from call to call.
fn ask<K: Kernel>(engine: &Engine, count: usize)
where
    K::Job: Clone,
{
    let known = K::known_answers();
    let (jobs, expected): (Vec<_>, Vec<_>) = (0..count)
        .map(|at| known[(at * 5 + count) % known.len()].clone())
        .unzip();
    let answers = engine.call_many_blocking::<K>(jobs).unwrap();
    assert_eq!(answers, expected, "{}", K::NAME);
}

fn ask_all(engine: &Engine, count: usize) {
    ask::<EcdsaRecover>(engine, count);
    ask::<EcdsaVerify>(engine, count);
    ask::<SchnorrVerify>(engine, count);
    ask::<LsagSecp256k1Verify>(engine, count);
    ask::<PedersenCommit>(engine, count);
}

#[test]
fn the_cpu_answers() {
    let engine = builder().gpu(GpuPolicy::Off).build().unwrap();
    for count in [1, 30, 300] {
        ask_all(&engine, count);
    }
    let stats = engine.stats();
    for name in NAMES {
        assert_eq!(stats.kernel(name).unwrap().answered(), 331, "{name}");
    }
}

#[cfg(feature = "gpu")]
#[test]
fn every_adapter_answers() {
    let engine = builder()
        .gpu(GpuPolicy::Any)
        .routing(Routing::PreferDevice)
        .build()
        .unwrap();
    assert!(engine.wait_ready(LONG));
    let report = engine.devices();
    for adapter in &report.adapters {
        eprintln!("{}: {}", adapter.adapter, adapter.state);
        assert_eq!(adapter.state, DeviceState::Ready);
    }
    for count in [1, 30, 300] {
        ask_all(&engine, count);
    }
    let stats = engine.stats();
    for name in NAMES {
        let kernel = stats.kernel(name).unwrap();
        assert_eq!(kernel.answered(), 331, "{name}");
        for device in &kernel.backends[1..] {
            let failed = (device.mismatches, device.failures);
            assert_eq!(failed, (0, 0), "{name}: {device:?}");
        }
        if !report.adapters.is_empty() {
            let by_devices: u64 = kernel.backends[1..]
                .iter()
                .map(|device| device.answered)
                .sum();
            assert!(by_devices > 0, "{name}");
        }
    }
}

#[test]
fn devices_that_fail_change_no_answer() {
    for fault in [
        Fault::Lose,
        Fault::Garbage,
        Fault::WrongAnswer(0),
        Fault::AnswerMissing,
        Fault::Undecided,
    ] {
        let script = (0..4).fold(FaultScript::new(), |script, batch| script.at(batch, fault));
        let engine = builder()
            .gpu(GpuPolicy::Off)
            .routing(Routing::PreferDevice)
            .device_retries(5, Duration::from_millis(1))
            .audit_per_batch(usize::MAX)
            .faulty_device(script)
            .build()
            .unwrap();
        assert!(engine.wait_ready(LONG));
        ask_all(&engine, 40);
    }
}
