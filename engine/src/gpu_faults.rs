//! Faults of real device code, without faulty hardware: a device whose dispatches do nothing, and
//! a software device destroyed while it works.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pars_kernels::gpu::{self, Device, DeviceType};

use crate::device::{OpenDevice, Source};
use crate::{
    AdapterSummary, DeviceError, DeviceState, Engine, GpuPolicy, MlDsaVerify, Routing, VerifyJob,
};

const LONG: Duration = Duration::from_secs(120);

fn source(
    summary: AdapterSummary,
    open: impl Fn() -> Result<Device, DeviceError> + Send + Sync + 'static,
) -> Source {
    Source {
        summary,
        open: Box::new(move || open().map(OpenDevice::Gpu)),
    }
}

fn known() -> (Vec<VerifyJob>, Vec<bool>) {
    pars_kernels::mldsa::known_answers().into_iter().unzip()
}

#[test]
fn a_device_that_does_nothing_fails_its_self_test() {
    let noop = Device::noop().unwrap();
    let summary = AdapterSummary::from(noop.info());
    let engine = Engine::builder()
        .gpu(GpuPolicy::Off)
        .routing(Routing::PreferDevice)
        .source(source(summary, || Ok(Device::noop()?)))
        .build()
        .unwrap();
    assert!(engine.wait_ready(LONG));
    let report = engine.devices();
    let test = &report.adapters[0].self_tests[0];
    assert!(test.failure.is_some(), "{report:?}");
    assert!(
        matches!(report.adapters[0].state, DeviceState::Disabled { .. }),
        "{report:?}"
    );
    let (jobs, answers) = known();
    assert_eq!(
        engine.call_many_blocking::<MlDsaVerify>(jobs).unwrap(),
        answers
    );
    let stats = engine.stats();
    assert_eq!(stats.kernels[0].backends[1].answered, 0);
    assert!(engine.self_test().iter().any(|test| !test.passed()));
}

#[test]
fn a_device_destroyed_in_mid_flight_loses_no_job_and_comes_back() {
    let software = |adapter: &gpu::Adapter| adapter.info().device_type == DeviceType::Cpu;
    let Some(adapter) = gpu::adapters().into_iter().find(software) else {
        eprintln!(
            "no software adapter on this machine: install mesa-vulkan-drivers to run this test"
        );
        return;
    };
    let opened: Arc<Mutex<Vec<Device>>> = Arc::default();
    let keep = Arc::clone(&opened);
    let engine = Engine::builder()
        .gpu(GpuPolicy::Off)
        .routing(Routing::PreferDevice)
        .device_retries(5, Duration::from_millis(1))
        .source(source(AdapterSummary::from(adapter.info()), move || {
            let device = adapter.open(LONG)?;
            keep.lock().push(device.clone());
            Ok(device)
        }))
        .build()
        .unwrap();
    assert!(engine.wait_ready(LONG));
    assert_eq!(engine.devices().adapters[0].state, DeviceState::Ready);
    let (jobs, answers) = known();
    let flight = || {
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| engine.call_many_blocking::<MlDsaVerify>(jobs.clone())))
                .collect();
            let start = Instant::now();
            while engine.stats().kernels[0].queued == engine.queue().jobs {
                if start.elapsed() > LONG || callers.iter().all(|c| c.is_finished()) {
                    break;
                }
                std::thread::yield_now();
            }
            opened.lock().last().unwrap().destroy();
            for caller in callers {
                assert_eq!(caller.join().unwrap().unwrap(), answers);
            }
        });
    };
    flight();
    // Whatever was in flight, the next batch at the latest meets the lost device.
    assert_eq!(
        engine
            .call_many_blocking::<MlDsaVerify>(jobs.clone())
            .unwrap(),
        answers
    );
    let start = Instant::now();
    while engine.devices().adapters[0].failures == 0
        || engine.devices().adapters[0].state != DeviceState::Ready
    {
        assert!(start.elapsed() < LONG, "{:?}", engine.devices().adapters);
        std::thread::sleep(Duration::from_millis(5));
    }
    let before = engine.stats().kernels[0].backends[1].clone();
    assert!(before.fallbacks > 0 && before.mismatches == 0, "{before:?}");
    assert_eq!(
        engine
            .call_many_blocking::<MlDsaVerify>(jobs.clone())
            .unwrap(),
        answers
    );
    assert!(engine.stats().kernels[0].backends[1].answered > before.answered);
    assert!(opened.lock().len() > 1);
}
