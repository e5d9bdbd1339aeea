//! A kernel's engine on every adapter of the machine, and on devices that fail.

use std::time::Duration;

#[cfg(feature = "gpu")]
use pars_engine::DeviceState;
use pars_engine::fault::{Fault, FaultScript};
use pars_engine::{Engine, EngineBuilder, GpuPolicy, Kernel, Routing};

pub const LONG: Duration = Duration::from_secs(300);

/// Asks a kernel its known questions, many times over, in an order that differs from call to call.
#[allow(dead_code)]
pub fn ask_known<K: Kernel<Job: Clone>>(engine: &Engine, count: usize) {
    let known = K::known_answers();
    let (jobs, expected): (Vec<_>, Vec<_>) = (0..count)
        .map(|at| known[(at * 5 + count) % known.len()].clone())
        .unzip();
    let answers = engine.call_many_blocking::<K>(jobs).unwrap();
    assert_eq!(answers, expected, "{}", K::NAME);
}

/// Every adapter answers all kernels that have these names, and the CPU none of what it can. `polled`: kernels whose batches are asked
/// after, not waited for. The kernels are given `memory` bytes of each device together, and keep to it.
#[cfg(feature = "gpu")]
pub fn every_adapter_answers(
    builder: EngineBuilder,
    names: &[&str],
    polled: impl Fn(&str) -> bool,
    memory: u64,
    counts: &[usize],
    ask: impl Fn(&Engine, usize),
) {
    let engine = builder
        .gpu(GpuPolicy::Any)
        .routing(Routing::PreferDevice)
        .share_identical(false)
        .gpu_timeout(LONG)
        .gpu_memory(memory)
        .build()
        .unwrap();
    assert!(engine.wait_ready(LONG));
    let report = engine.devices();
    for adapter in &report.adapters {
        eprintln!("{}: {}", adapter.adapter, adapter.state);
        assert_eq!(adapter.state, DeviceState::Ready);
        let tested: Vec<_> = adapter.self_tests.iter().map(|test| test.kernel).collect();
        assert_eq!(tested, names);
        assert!(
            adapter
                .self_tests
                .iter()
                .all(pars_engine::SelfTestReport::passed),
            "{:?}",
            adapter.self_tests
        );
    }
    for count in counts {
        ask(&engine, *count);
    }
    let asked: usize = counts.iter().sum();
    let stats = engine.stats();
    for adapter in 1..=report.adapters.len() {
        let devices = stats.kernels.iter().map(|kernel| &kernel.backends[adapter]);
        let held: u64 = devices.map(|device| device.memory).sum();
        assert!(held <= memory, "{held} of {memory} bytes");
    }
    for name in names {
        let kernel = stats.kernel(name).unwrap();
        assert_eq!(kernel.answered(), asked as u64, "{name}");
        for device in &kernel.backends[1..] {
            let failed = (device.mismatches, device.failures);
            assert_eq!(failed, (0, 0), "{name}: {device:?}");
            assert!(device.answered > 0, "{name}: {device:?}");
            assert_eq!(device.undecided, 0, "{name}: {device:?}");
            assert!(device.memory > 0, "{name}: {device:?}");
            let timed = if polled(name) { device.batches } else { 0 };
            assert_eq!(device.transfer_time.count(), timed, "{name}: {device:?}");
        }
    }
}

/// Devices fail in every way at their first batches.
pub fn devices_that_fail_change_no_answer(
    builder: impl Fn() -> EngineBuilder,
    ask: impl Fn(&Engine),
) {
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
            .share_identical(false)
            .device_retries(5, Duration::from_millis(1))
            .audit_share(1.0)
            .faulty_device(script)
            .build()
            .unwrap();
        assert!(engine.wait_ready(LONG));
        ask(&engine);
        let kernels = engine.stats().kernels;
        let seen = kernels.iter().map(|kernel| &kernel.backends[1]);
        let seen: u64 = seen.map(|device| device.fallbacks + device.undecided).sum();
        assert!(seen > 0, "{fault:?} did not happen");
    }
}
