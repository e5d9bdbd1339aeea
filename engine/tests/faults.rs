//! Devices that fail: every job is answered rightly all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::time::{Duration, Instant};

use pars_engine::fault::{Fault, FaultScript};
use pars_engine::{
    BackendStats, DeviceState, Engine, EngineBuilder, GpuPolicy, Kernel, MlDsaVerify, Routing,
    VerifyJob,
};
use support::{Second, Toy, ToyJob, quiet_workers, reference};

const LONG: Duration = Duration::from_secs(30);

fn scripted(script: FaultScript) -> EngineBuilder {
    quiet_workers();
    Engine::builder()
        .gpu(GpuPolicy::Off)
        .no_cache_folder()
        .without_standard_kernels()
        .kernel::<Toy>()
        .routing(Routing::PreferDevice)
        .device_retries(5, Duration::from_millis(1))
        .faulty_device(script)
}

fn ready(builder: EngineBuilder) -> Engine {
    let engine = builder.build().unwrap();
    assert!(engine.wait_ready(LONG));
    engine
}

fn ask(engine: &Engine, numbers: std::ops::Range<u64>) {
    let expected: Vec<_> = numbers.clone().map(reference).collect();
    let jobs = numbers.map(ToyJob::new).collect();
    assert_eq!(engine.call_many_blocking::<Toy>(jobs).unwrap(), expected);
}

fn device(engine: &Engine) -> BackendStats {
    engine.stats().kernels[0].backends[1].clone()
}

fn wait_for(engine: &Engine, state: impl Fn(&DeviceState) -> bool) {
    let start = Instant::now();
    while !state(&engine.devices().adapters[0].state) {
        assert!(start.elapsed() < LONG, "{:?}", engine.devices().adapters);
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn disabled(state: &DeviceState) -> bool {
    matches!(state, DeviceState::Disabled { .. })
}

#[test]
fn a_sound_device_does_the_work_and_is_audited() {
    let engine = ready(scripted(FaultScript::new()));
    ask(&engine, 0..100);
    ask(&engine, 100..300);
    let device = device(&engine);
    assert_eq!(
        (device.answered, device.fallbacks, device.mismatches),
        (300, 0, 0)
    );
    assert_eq!(device.audits, device.batches);
    assert_eq!(device.batch_sizes.sum(), 300);
    assert_eq!(engine.devices().adapters[0].state, DeviceState::Ready);
    assert!(
        engine
            .self_test()
            .iter()
            .all(pars_engine::SelfTestReport::passed)
    );
    assert_eq!(engine.self_test().len(), 2);
}

#[test]
fn failures_are_answered_by_the_cpu_and_the_device_comes_back() {
    for fault in [
        Fault::Lose,
        Fault::Timeout,
        Fault::OutOfMemory,
        Fault::Panic,
    ] {
        let engine = ready(scripted(FaultScript::new().at(0, fault)));
        ask(&engine, 0..50);
        let first = device(&engine);
        assert_eq!((first.failures, first.answered), (1, 0), "{fault:?}");
        assert_eq!(
            first.fallbacks,
            engine.stats().kernels[0].backends[0].answered,
            "{fault:?}"
        );
        wait_for(&engine, |_| engine.devices().adapters[0].failures == 1);
        wait_for(&engine, |state| *state == DeviceState::Ready);
        ask(&engine, 50..100);
        assert!(device(&engine).answered > 0, "{fault:?}");
        assert_eq!(engine.devices().adapters[0].failures, 1);
        assert_eq!(engine.stats().kernels[0].answered(), 100);
    }
}

/// Two batches in flight when the fault comes, at a submission (an even batch) or at a collection (an odd
/// one): the CPU answers what was in flight, and the device comes back.
#[test]
fn whatever_is_in_flight_when_a_device_fails_is_answered_by_the_cpu() {
    for fault in [
        Fault::Lose,
        Fault::Timeout,
        Fault::OutOfMemory,
        Fault::Panic,
    ] {
        for batch in [2, 3] {
            let script = FaultScript::new()
                .in_flight(2)
                .max_batch(10)
                .slow(Duration::from_millis(3))
                .at(batch, fault);
            let engine = ready(scripted(script).device_retries(5, LONG));
            ask(&engine, 0..80);
            let device = device(&engine);
            // Of two in flight one has the fault; at a submission there is the one that was not sent.
            assert_eq!(device.failures, 2, "{fault:?} at {batch}: {device:?}");
            assert_eq!(device.fallbacks, 20, "{fault:?} at {batch}: {device:?}");
            assert_eq!(device.mismatches, 0);
            assert_eq!(engine.stats().kernels[0].answered(), 80);
        }
    }
}

#[test]
fn a_wrong_answer_makes_the_batches_behind_it_the_cpus() {
    for fault in [Fault::WrongAnswer(3), Fault::Garbage, Fault::AnswerMissing] {
        let script = FaultScript::new()
            .in_flight(3)
            .max_batch(10)
            .slow(Duration::from_millis(3))
            .at(1, fault);
        let engine = ready(scripted(script).audit_per_batch(usize::MAX));
        ask(&engine, 0..100);
        wait_for(&engine, disabled);
        let device = device(&engine);
        assert_eq!(device.answered, 10, "{fault:?}: {device:?}");
        assert!(device.fallbacks >= 30, "{fault:?}: {device:?}");
        assert_eq!(
            device.mismatches,
            u64::from(fault != Fault::AnswerMissing),
            "{fault:?}"
        );
        assert_eq!(engine.stats().kernels[0].answered(), 100);
    }
}

#[test]
fn batches_that_go_in_parts_are_answered_in_order() {
    let script = FaultScript::new().in_flight(2).max_batch(64).at_once(7);
    let engine = ready(scripted(script));
    ask(&engine, 0..300);
    let first = device(&engine);
    assert_eq!((first.answered, first.fallbacks), (300, 0));
    assert!(first.batch_sizes.max() <= 7, "{first:?}");
    assert!(
        engine
            .self_test()
            .iter()
            .all(pars_engine::SelfTestReport::passed)
    );
    // Jobs of 64 bytes, batches of 640.
    let script = FaultScript::new().in_flight(2).max_bytes(640);
    let engine = ready(scripted(script));
    ask(&engine, 0..300);
    assert_eq!(device(&engine).batch_sizes.max(), 10);
}

/// Quick on the thread of a device, slow on any other: whatever is measured, idle devices get the first jobs.
struct Quicker<const NUMBER: u8>;

impl<const NUMBER: u8> Kernel for Quicker<NUMBER> {
    type Job = u64;
    type Output = u64;
    type State = ();
    const NAME: &'static str = if NUMBER == 0 { "quicker" } else { "as quick" };

    fn job_bytes(_: &u64) -> usize {
        8
    }

    fn run_cpu(job: &u64) -> u64 {
        let start = Instant::now();
        let on_device = std::thread::current().name() == Some("pars-device");
        while !on_device && start.elapsed() < Duration::from_micros(300) {
            std::hint::spin_loop();
        }
        reference(*job)
    }

    fn known_answers() -> Vec<(u64, u64)> {
        [1, 2].map(|number| (number, reference(number))).into()
    }
}

/// Batches hang on the device: the CPU does all that has not gone there, before the time limit, and after it those
/// that have.
#[test]
fn a_hung_batch_delays_nobody_else() {
    quiet_workers();
    let timeout = Duration::from_secs(6);
    let script = FaultScript::new()
        .in_flight(2)
        .max_batch(1)
        .at(0, Fault::Stall(LONG * 10));
    let engine = ready(
        Engine::builder()
            .gpu(GpuPolicy::Off)
            .no_cache_folder()
            .without_standard_kernels()
            .kernel::<Quicker<0>>()
            .cpu_threads(1)
            .gpu_timeout(timeout)
            .device_retries(5, LONG)
            .faulty_device(script),
    );
    let start = Instant::now();
    let tickets: Vec<_> = (0..60)
        .map(|number| (number, engine.submit::<Quicker<0>>(number).unwrap()))
        .collect();
    let open = || {
        tickets
            .iter()
            .filter(|(_, ticket)| !ticket.is_answered())
            .count()
    };
    while open() > 2 {
        assert!(
            start.elapsed() < timeout,
            "{} jobs wait for a device that hangs",
            open()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    // Nothing has failed yet: the device is only late, with what it was sent.
    assert_eq!(device(&engine).failures, 0);
    std::thread::sleep(timeout / 20);
    assert!((1..=2).contains(&open()), "{} jobs hang", open());
    let hung = open() as u64;
    for (number, ticket) in tickets {
        assert_eq!(ticket.wait().unwrap(), reference(number));
    }
    assert!(start.elapsed() >= timeout);
    let device = device(&engine);
    assert_eq!((device.failures, device.fallbacks), (hung, hung));
    assert_eq!((device.answered, device.mismatches), (0, 0));
}

/// A second kernel sees what the first has in flight on their device, and goes to the CPU meanwhile.
#[test]
fn a_kernel_does_not_wait_for_another_kernels_batch_on_their_device() {
    quiet_workers();
    let script = FaultScript::new()
        .in_flight(2)
        .max_batch(1)
        .at(0, Fault::Stall(LONG * 10));
    let engine = ready(
        Engine::builder()
            .gpu(GpuPolicy::Off)
            .no_cache_folder()
            .without_standard_kernels()
            .kernel::<Quicker<0>>()
            .kernel::<Quicker<1>>()
            .cpu_threads(1)
            .gpu_timeout(Duration::from_secs(6))
            .device_retries(5, LONG)
            .faulty_device(script),
    );
    let hung = engine.submit::<Quicker<0>>(7).unwrap();
    // Late by more than a job takes the CPU.
    std::thread::sleep(Duration::from_millis(50));
    for number in 0..50 {
        assert_eq!(
            engine.call_blocking::<Quicker<1>>(number),
            Ok(reference(number))
        );
    }
    assert!(!hung.is_answered(), "nothing hung");
    let second = engine.stats().kernels.remove(1);
    assert_eq!(
        (second.backends[0].answered, second.backends[1].failures),
        (50, 0)
    );
    assert_eq!(hung.wait(), Ok(reference(7)));
}

#[test]
fn kernels_keep_to_their_part_of_a_devices_memory() {
    // Opened in order; each is given an equal part of what is left.
    for (limit, on_device) in [
        (2_000, [true, true]),
        (1_999, [false, true]),
        (999, [false, false]),
    ] {
        let engine = ready(
            scripted(FaultScript::new().memory(1_000))
                .kernel::<Second>()
                .gpu_memory(limit),
        );
        let report = engine.devices();
        let tests = &report.adapters[0].self_tests;
        assert_eq!(
            [0, 1].map(|kernel| tests[kernel].passed()),
            on_device,
            "{tests:?}"
        );
        for test in tests.iter().filter(|test| !test.passed()) {
            let text = test.failure.clone().unwrap();
            assert!(
                text.contains("holds 1000 bytes") && text.contains("gpu_memory"),
                "{text}"
            );
        }
        assert_eq!(
            disabled(&report.adapters[0].state),
            on_device == [false, false]
        );
        // Whoever has no place there is answered by the CPU.
        for number in 0..20 {
            assert_eq!(
                engine.call_blocking::<Toy>(ToyJob::new(number)),
                Ok(reference(number))
            );
            assert_eq!(
                engine.call_blocking::<Second>(ToyJob::new(number)),
                Ok(reference(number))
            );
        }
        let answered = engine.stats().kernels;
        let answered = [0, 1].map(|kernel| answered[kernel].backends[1].answered == 20);
        assert_eq!(answered, on_device, "{limit}");
    }
}

#[test]
fn a_kernel_that_outgrows_its_memory_is_opened_anew() {
    let script = FaultScript::new().memory(1_000).at(0, Fault::Grow(1_001));
    let engine = ready(scripted(script).gpu_memory(1_000));
    ask(&engine, 0..50);
    wait_for(&engine, |_| engine.devices().adapters[0].failures == 1);
    wait_for(&engine, |state| *state == DeviceState::Ready);
    ask(&engine, 50..100);
    let device = device(&engine);
    // The batch was right.
    assert_eq!((device.answered, device.fallbacks), (100, 0));
    // What it holds is told while it is in use.
    assert_eq!(device.memory, 1_000);
    let line = "pars_engine_device_memory_bytes{kernel=\"toy\",backend=\"scripted device\",slot=\"1\"} 1000";
    let page = engine.prometheus();
    assert!(page.lines().any(|got| got == line), "{page}");
}

#[test]
fn the_time_of_transfers_is_told_of_devices_that_can_tell() {
    for (in_flight, told) in [(1, false), (2, true)] {
        let script = FaultScript::new()
            .in_flight(in_flight)
            .max_batch(10)
            .slow(Duration::from_millis(20));
        let engine = ready(scripted(script));
        ask(&engine, 0..50);
        let device = device(&engine);
        assert_eq!(device.batches, 5);
        let transfers = device.transfer_time.count();
        assert_eq!(transfers, if told { 5 } else { 0 });
        // A scripted device computes nothing while its answers are fetched.
        assert!(device.transfer_time.max() < device.kernel_time.max());
        let page = engine.prometheus();
        let line = format!(
            "pars_engine_transfer_seconds_count{{kernel=\"toy\",backend=\"scripted device\",slot=\"1\"}} {transfers}"
        );
        assert!(page.lines().any(|got| got == line), "{page}");
    }
}

#[test]
fn a_driver_that_dies_while_kernels_are_opened_leaves_the_engine_on_the_cpu() {
    for fault in [Fault::Panic, Fault::Lose, Fault::OutOfMemory] {
        let engine = ready(scripted(FaultScript::new().at_opening(0, fault)));
        wait_for(&engine, disabled);
        ask(&engine, 0..100);
        // The second time only: after a loss the device is opened again.
        let script = FaultScript::new().at(0, Fault::Lose).at_opening(1, fault);
        let engine = ready(scripted(script));
        ask(&engine, 0..50);
        wait_for(&engine, |_| engine.devices().adapters[0].failures >= 2);
        ask(&engine, 50..100);
        wait_for(&engine, |state| *state == DeviceState::Ready);
        ask(&engine, 100..150);
        assert!(device(&engine).answered > 0, "{fault:?}");
    }
}

#[test]
fn a_device_that_keeps_failing_is_given_up() {
    let mut script = FaultScript::new();
    for batch in 0..100 {
        script = script.at(batch, Fault::Lose);
    }
    let engine = ready(scripted(script).device_retries(2, Duration::from_millis(1)));
    let start = Instant::now();
    while !disabled(&engine.devices().adapters[0].state) {
        assert!(start.elapsed() < LONG);
        ask(&engine, 0..10);
    }
    assert_eq!(
        device(&engine).failures,
        3,
        "one failure and two more tries"
    );
    ask(&engine, 0..100);
    let text = engine.devices().adapters[0].state.to_string();
    assert!(text.contains("device lost: as scripted"), "{text}");
}

#[test]
fn a_device_that_cannot_be_opened_again_is_given_up() {
    let engine = ready(scripted(FaultScript::new().opens(1).at(0, Fault::Lose)));
    ask(&engine, 0..50);
    wait_for(&engine, disabled);
    ask(&engine, 50..100);
    let none = ready(scripted(FaultScript::new().opens(0)));
    wait_for(&none, disabled);
    ask(&none, 0..50);
}

#[test]
fn a_wrong_answer_in_the_audit_disables_the_device_and_the_batch_is_done_again() {
    for fault in [Fault::WrongAnswer(17), Fault::Garbage, Fault::AnswerMissing] {
        let engine = ready(scripted(FaultScript::new().at(1, fault)).audit_per_batch(usize::MAX));
        ask(&engine, 0..1);
        ask(&engine, 1..65);
        wait_for(&engine, disabled);
        ask(&engine, 65..200);
        let device = device(&engine);
        let mismatches = u64::from(fault != Fault::AnswerMissing);
        assert_eq!(device.mismatches, mismatches, "{fault:?}");
        assert_eq!(engine.stats().mismatches(), mismatches);
        assert_eq!(
            (device.failures, device.answered),
            (1, device.batch_sizes.sum().try_into().unwrap())
        );
    }
}

#[test]
fn the_default_audit_finds_garbage() {
    let engine = ready(scripted(FaultScript::new().at(0, Fault::Garbage)));
    ask(&engine, 0..500);
    wait_for(&engine, disabled);
    assert_eq!(engine.stats().mismatches(), 1);
}

#[test]
fn undecided_jobs_go_to_the_cpu_and_the_device_stays() {
    let engine = ready(scripted(FaultScript::new().at(0, Fault::Undecided)));
    ask(&engine, 0..64);
    ask(&engine, 64..128);
    let device = device(&engine);
    assert!(device.undecided > 0);
    assert_eq!(device.answered + device.undecided, 128);
    assert_eq!(engine.stats().kernels[0].answered(), 128);
    assert_eq!(engine.devices().adapters[0].state, DeviceState::Ready);
}

#[test]
fn a_stalled_device_is_waited_for() {
    let stall = Fault::Stall(Duration::from_millis(20));
    let engine = ready(scripted(FaultScript::new().at(0, stall)));
    ask(&engine, 0..64);
    assert!(device(&engine).kernel_time.max() >= 20_000_000);
}

#[test]
fn a_failed_self_test_leaves_the_engine_on_the_cpu() {
    for fault in [
        Fault::Garbage,
        Fault::WrongAnswer(2),
        Fault::Undecided,
        Fault::Panic,
        Fault::Lose,
    ] {
        let engine = ready(scripted(FaultScript::new().in_self_test(fault)));
        ask(&engine, 0..100);
        let report = engine.devices();
        assert!(disabled(&report.adapters[0].state), "{fault:?}: {report:?}");
        assert!(
            report.adapters[0].self_tests[0].failure.is_some(),
            "{fault:?}"
        );
        assert_eq!(
            report.routes[0].why,
            "everything to the CPU: no device is ready"
        );
        assert_eq!(
            device(&engine),
            BackendStats {
                backend: "scripted device".into(),
                ..Default::default()
            }
        );
        assert!(engine.self_test().iter().any(|test| !test.passed()));
    }
}

#[test]
fn invalid_verdicts_are_confirmed_and_wrong_ones_of_both_kinds_are_found() {
    let known = pars_kernels::mldsa::known_answers();
    let pick = |valid: bool| -> VerifyJob {
        known
            .iter()
            .find(|(_, answer)| *answer == valid)
            .unwrap()
            .0
            .clone()
    };
    for (valid, confirm, audits) in [(true, true, 0), (false, false, 1)] {
        let engine = Engine::builder()
            .gpu(GpuPolicy::Off)
            .routing(Routing::PreferDevice)
            .confirm(confirm)
            .audit_per_batch(audits)
            .faulty_device(FaultScript::new().at(1, Fault::WrongAnswer(0)))
            .build()
            .unwrap();
        assert!(engine.wait_ready(LONG));
        assert!(!engine.call_blocking::<MlDsaVerify>(pick(false)).unwrap());
        let before = device(&engine);
        assert_eq!(before.confirmations, u64::from(confirm));
        assert_eq!(
            engine.call_blocking::<MlDsaVerify>(pick(valid)).unwrap(),
            valid
        );
        wait_for(&engine, disabled);
        assert_eq!(engine.stats().mismatches(), 1);
        assert_eq!(
            engine.call_blocking::<MlDsaVerify>(pick(!valid)).unwrap(),
            !valid
        );
    }
}

#[test]
fn several_devices_work_side_by_side_and_outlive_each_other() {
    let builder = scripted(
        FaultScript::new()
            .named("a")
            .max_batch(16)
            .at(3, Fault::Garbage),
    )
    .faulty_device(FaultScript::new().named("b").max_batch(16))
    .audit_per_batch(usize::MAX);
    let engine = ready(builder);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..40).for_each(|round| ask(&engine, round * 50..round * 50 + 50)));
        }
    });
    let stats = engine.stats();
    assert_eq!(stats.kernels[0].answered(), 8_000);
    assert_eq!(engine.devices().adapters[1].state, DeviceState::Ready);
    assert!(
        stats.kernels[0]
            .backends
            .iter()
            .all(|backend| backend.batch_sizes.max() <= 16 || backend.backend == "cpu")
    );
}

#[test]
fn measured_routing_leaves_a_slow_device_alone() {
    let script = FaultScript::new().slow(Duration::from_millis(2));
    let engine = ready(scripted(script).routing(Routing::Measured));
    ask(&engine, 0..500);
    let route = &engine.devices().routes[0];
    assert_eq!(route.why, "nothing to scripted device: the CPU is quicker");
    assert!(
        route.devices[0].1.fixed >= Duration::from_millis(1),
        "{route:?}"
    );
    assert_eq!(device(&engine).batches, 0);
    assert_eq!(engine.stats().kernels[0].backends[0].answered, 500);
}

#[test]
fn dropping_the_engine_while_the_device_works_answers_or_reports_everything() {
    for _ in 0..20 {
        let stall = Fault::Stall(Duration::from_millis(2));
        let engine = ready(scripted(
            FaultScript::new()
                .max_batch(8)
                .at(0, stall)
                .at(1, Fault::Lose),
        ));
        let tickets: Vec<_> = (0..100)
            .map(|n| engine.submit::<Toy>(ToyJob::new(n)).unwrap())
            .collect();
        drop(engine);
        for (number, ticket) in (0..).zip(tickets) {
            match ticket.wait() {
                Ok(answer) => assert_eq!(answer, reference(number)),
                Err(error) => assert_eq!(error, pars_engine::EngineError::ShuttingDown),
            }
        }
    }
}
