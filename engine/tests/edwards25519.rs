//! Signatures on edwards25519 in an engine: on the CPU, on every adapter, and on devices that fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::Duration;

use pars_engine::fault::{Fault, FaultScript};
use pars_engine::{
    ClsagVerify, DeviceState, Ed25519Verify, Engine, EngineBuilder, GpuPolicy, Kernel,
    LsagRistretto255Verify, Routing,
};

const LONG: Duration = Duration::from_secs(300);

fn builder<K>() -> EngineBuilder
where
    K: Kernel<Output = bool>,
    K::State: Default,
{
    Engine::builder()
        .without_standard_kernels()
        .kernel::<K>()
        .share_identical(false)
        .routing(Routing::PreferDevice)
        .gpu_timeout(LONG)
}

/// The known answers again and again.
fn ask<K>(engine: &Engine, count: usize)
where
    K: Kernel<Output = bool>,
    K::Job: Clone + std::fmt::Debug,
{
    let known = K::known_answers();
    let (jobs, valid): (Vec<_>, Vec<_>) = known.into_iter().cycle().take(count).unzip();
    assert_eq!(engine.call_many_blocking::<K>(jobs).unwrap(), valid);
}

fn check<K>()
where
    K: Kernel<Output = bool>,
    K::Job: Clone + std::fmt::Debug,
    K::State: Default,
{
    let engine = builder::<K>().gpu(GpuPolicy::Any).build().unwrap();
    assert!(engine.wait_ready(LONG));
    let report = engine.devices();
    for adapter in &report.adapters {
        eprintln!("{}: {}", adapter.adapter, adapter.state);
        assert_eq!(adapter.state, DeviceState::Ready);
    }
    ask::<K>(&engine, 1);
    ask::<K>(&engine, 50);
    let stats = engine.stats();
    let kernel = stats.kernel(K::NAME).unwrap();
    assert_eq!(kernel.answered(), 51);
    for device in &kernel.backends[1..] {
        assert_eq!((device.mismatches, device.failures), (0, 0), "{device:?}");
        assert!(device.answered > 0, "{device:?}");
    }
    for fault in [
        Fault::Lose,
        Fault::Garbage,
        Fault::WrongAnswer(0),
        Fault::AnswerMissing,
        Fault::Undecided,
    ] {
        let script = (0..4).fold(FaultScript::new(), |script, batch| script.at(batch, fault));
        let engine = builder::<K>()
            .gpu(GpuPolicy::Off)
            .device_retries(5, Duration::from_millis(1))
            .audit_per_batch(usize::MAX)
            .faulty_device(script)
            .build()
            .unwrap();
        assert!(engine.wait_ready(LONG));
        ask::<K>(&engine, 20);
    }
}

#[test]
fn ed25519_is_verified_everywhere() {
    check::<Ed25519Verify>();
}

#[test]
fn clsag_is_verified_everywhere() {
    check::<ClsagVerify>();
}

#[test]
fn lsag_is_verified_everywhere() {
    check::<LsagRistretto255Verify>();
}
