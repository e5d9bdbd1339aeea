//! Saturation with faults for a while: every answer right, every bound kept, memory flat.
//!
//! A few seconds ordinarily; `PARS_SOAK_SECONDS=600 cargo test --release -p pars-engine --test soak -- --nocapture`
//! is the long run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pars_engine::fault::{Fault, FaultScript};
use pars_engine::{DeviceState, Engine, EngineError, GpuPolicy, Priority, Routing};
use pars_engine::{SubmitError, SubmitOptions, Ticket};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::{ALIVE, Toy, ToyJob, quiet_workers, reference};

/// Bounds on the engine.
const JOBS: usize = 512;
const BYTES: usize = JOBS * 200;

/// How much the process may grow after the first third of the run: what the allocator keeps in hand for
/// each of some threads, and no more however long the run is.
const GROWTH: u64 = 24 << 20;

fn seconds() -> u64 {
    std::env::var("PARS_SOAK_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(4)
}

/// Bytes of memory that this process holds. `None` on systems that do not say it in `/proc`.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4_096)
}

fn job(random: &mut StdRng) -> ToyJob {
    // Long enough that the callers outrun the engine.
    let mut job = ToyJob::new(random.random_range(0..1_000_000))
        .spin(30)
        .group(random.random_range(0..3))
        .bytes(random.random_range(1..200));
    job.shared = random.random_range(0..2) == 0;
    job
}

fn options(random: &mut StdRng) -> SubmitOptions {
    let options = SubmitOptions::new(Priority::ALL[random.random_range(0..3)]);
    let options = options.caller(random.random_range(0..1_000));
    match random.random_range(0..4) {
        0 => options.within(Duration::from_millis(random.random_range(0..20))),
        _ => options,
    }
}

fn check(answer: &Result<u64, EngineError>, number: u64, options: &SubmitOptions) {
    match answer {
        Ok(answer) => assert_eq!(*answer, reference(number)),
        Err(EngineError::DeadlineExceeded) => {
            assert!(options.deadline.unwrap() <= Instant::now());
        }
        Err(other) => panic!("{other}"),
    }
}

/// Keeps the engine full until it is told to stop; says how many jobs it asked for.
fn keep_full(engine: &Engine, seed: u64, stop: &AtomicBool) -> u64 {
    let mut random = StdRng::seed_from_u64(seed);
    let mut open: VecDeque<(u64, SubmitOptions, Ticket<u64>)> = VecDeque::new();
    let mut asked = 0;
    while !stop.load(Ordering::Relaxed) {
        asked += 1;
        let (job, options) = (job(&mut random), options(&mut random));
        let number = job.number;
        match random.random_range(0..100) {
            // One caller waits for its answers; the others keep the engine full.
            0..2 if seed == 0 => check(
                &engine.call_blocking_with::<Toy>(job, options),
                number,
                &options,
            ),
            2..5 => drop(engine.submit_with::<Toy>(job, options)),
            _ => match engine.submit_with::<Toy>(job, options) {
                Ok(ticket) => open.push_back((number, options, ticket)),
                Err(SubmitError::QueueFull { state, .. }) => {
                    assert!(state.jobs <= JOBS && state.bytes <= BYTES);
                    if let Some((number, options, ticket)) = open.pop_front() {
                        check(&ticket.wait(), number, &options);
                    }
                }
                Err(SubmitError::DeadlineExceeded { .. }) => {}
                Err(other) => panic!("{other}"),
            },
        }
        if open.len() > JOBS {
            let (number, options, ticket) = open.pop_front().unwrap();
            check(&ticket.wait(), number, &options);
        }
    }
    for (number, options, ticket) in open {
        check(&ticket.wait(), number, &options);
    }
    asked
}

#[test]
fn saturation_with_faults_leaves_memory_flat() {
    quiet_workers();
    let time = Duration::from_secs(seconds());
    // No wrong or missing answers: they would end the device's service for good.
    let faults = |name, every| {
        let kinds = [Fault::Lose, Fault::Timeout, Fault::OutOfMemory];
        let batches = (every..).step_by(usize::try_from(every).unwrap());
        let faults = batches.zip(kinds.into_iter().cycle());
        let script = FaultScript::new().named(name).max_batch(64);
        faults
            .take(usize::try_from(seconds()).unwrap() * 500)
            .fold(script, |script, (batch, fault)| script.at(batch, fault))
    };
    let engine = Engine::builder()
        .gpu(GpuPolicy::Off)
        .without_standard_kernels()
        .kernel::<Toy>()
        .cpu_threads(2)
        .queue_jobs(JOBS)
        .queue_bytes(BYTES)
        .routing(Routing::PreferDevice)
        .audit_per_batch(usize::MAX)
        .device_retries(u32::MAX, Duration::from_micros(1))
        .faulty_device(faults("one", 7_u64))
        .faulty_device(faults("two", 31))
        .build()
        .unwrap();
    assert!(engine.wait_ready(Duration::from_secs(60)));
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let (asked, sizes) = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..3)
            .map(|seed| {
                let (engine, stop) = (&engine, &stop);
                scope.spawn(move || keep_full(engine, seed, stop))
            })
            .collect();
        let mut sizes = Vec::new();
        while start.elapsed() < time {
            std::thread::sleep((time / 20).min(Duration::from_secs(30)));
            let queue = engine.queue();
            assert!(queue.jobs <= JOBS && queue.bytes <= BYTES);
            sizes.extend(resident().map(|bytes| (start.elapsed(), bytes)));
        }
        stop.store(true, Ordering::Relaxed);
        let asked: u64 = callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .sum();
        (asked, sizes)
    });
    assert!(engine.shutdown(Duration::from_secs(60)));
    let stats = engine.stats();
    let kernel = &stats.kernels[0];
    println!("{asked} jobs in {:.1?}", start.elapsed());
    for backend in &kernel.backends {
        println!(
            "{}: {} answered, {} fall-backs, {} failures, {} mismatches",
            backend.backend,
            backend.answered,
            backend.fallbacks,
            backend.failures,
            backend.mismatches
        );
    }
    for (at, bytes) in &sizes {
        println!("{:7.1} s {:8} KiB", at.as_secs_f64(), bytes >> 10);
    }
    assert_eq!((stats.queue.jobs, stats.queue.bytes), (0, 0));
    assert!(stats.queue.peak_jobs <= JOBS && stats.queue.peak_bytes <= BYTES);
    assert!(stats.queue.peak_jobs > JOBS / 2, "it was not saturated");
    assert!(
        kernel
            .backends
            .iter()
            .map(|backend| backend.failures)
            .sum::<u64>()
            > 0,
        "nothing failed"
    );
    assert_eq!(stats.mismatches(), 0);
    let given_up = |state: &DeviceState| matches!(state, DeviceState::Disabled { .. });
    let adapters = engine.devices().adapters;
    assert!(
        !adapters.iter().any(|adapter| given_up(&adapter.state)),
        "{adapters:?}"
    );
    let settled = sizes.len() / 3;
    if let (Some((_, early)), Some((_, late))) = (sizes.get(settled), sizes.last()) {
        assert!(
            late.saturating_sub(*early) <= GROWTH,
            "grew from {early} to {late} bytes"
        );
    }
    drop(engine);
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0, "a job outlived its engine");
}
