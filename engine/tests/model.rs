//! Random schedules of submissions, cancellations and device faults, each from a seed, against a
//! reference that is a map and a loop: every ticket is answered once and rightly, none is lost, and
//! no bound is passed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pars_engine::fault::FaultScript;
use pars_engine::{Engine, EngineError, GpuPolicy, Kernel, KernelStats, Priority, Routing};
use pars_engine::{SubmitError, SubmitOptions, Ticket};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::{ALIVE, PANICS, Second, Toy, ToyJob, quiet_workers, reference};

const LONG: Duration = Duration::from_secs(60);

/// The order of things in one run.
#[derive(Clone, Debug)]
struct Schedule {
    seed: u64,
    cpu_threads: usize,
    queue_jobs: usize,
    queue_bytes: usize,
    max_batch: usize,
    max_wait_us: u64,
    prefer_device: bool,
    /// Seed, faults in a thousand batches, batches in flight, jobs at once.
    devices: Vec<(u64, u16, usize, usize)>,
    callers: usize,
    steps: usize,
    quota: usize,
    share: bool,
}

fn schedules() -> impl Strategy<Value = Schedule> {
    (
        (
            any::<u64>(),
            1..4usize,
            1..200usize,
            // Three quarters, the share of the pool, hold the largest job.
            600..20_000usize,
            1..100usize,
        ),
        (prop_oneof![3 => Just(0), 1 => 1..500u64], any::<bool>()),
        prop::collection::vec((any::<u64>(), 0..400u16, 1..4usize, 1..60usize), 0..3),
        (1..5usize, 1..60usize),
        (prop_oneof![Just(usize::MAX), 1..50usize], any::<bool>()),
    )
        .prop_map(|(a, b, devices, c, d)| Schedule {
            seed: a.0,
            cpu_threads: a.1,
            queue_jobs: a.2,
            queue_bytes: a.3,
            max_batch: a.4,
            max_wait_us: b.0,
            prefer_device: b.1,
            devices,
            callers: c.0,
            steps: c.1,
            quota: d.0,
            share: d.1,
        })
}

/// One of the two kernels, which share the engine's threads, devices and bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Which {
    First,
    Second,
}

impl Which {
    fn any(random: &mut StdRng) -> Self {
        if random.random() {
            Self::First
        } else {
            Self::Second
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::First => Toy::NAME,
            Self::Second => Second::NAME,
        }
    }

    #[allow(
        clippy::result_large_err,
        reason = "it hands the job back, as the engine's does"
    )]
    fn submit(
        self,
        engine: &Engine,
        job: ToyJob,
        options: SubmitOptions,
    ) -> Result<Ticket<u64>, SubmitError<ToyJob>> {
        match self {
            Self::First => engine.submit_with::<Toy>(job, options),
            Self::Second => engine.submit_with::<Second>(job, options),
        }
    }

    fn call(
        self,
        engine: &Engine,
        job: ToyJob,
        options: SubmitOptions,
    ) -> Result<u64, EngineError> {
        match self {
            Self::First => engine.call_blocking_with::<Toy>(job, options),
            Self::Second => engine.call_blocking_with::<Second>(job, options),
        }
    }

    fn call_many(
        self,
        engine: &Engine,
        jobs: Vec<ToyJob>,
        options: SubmitOptions,
    ) -> Result<Vec<u64>, EngineError> {
        match self {
            Self::First => engine.call_many_blocking_with::<Toy>(jobs, options),
            Self::Second => engine.call_many_blocking_with::<Second>(jobs, options),
        }
    }
}

/// What the reference says of a job.
fn expected(which: Which, number: u64) -> Result<u64, EngineError> {
    if number == PANICS {
        let message =
            "assertion `left != right` failed: thirteen\n  left: 13000013\n right: 13000013";
        return Err(EngineError::Panicked {
            kernel: which.name(),
            message: message.to_owned(),
        });
    }
    Ok(reference(number))
}

fn job(random: &mut StdRng) -> ToyJob {
    let number = match random.random_range(0..100) {
        0 => PANICS,
        // Few numbers, so that identical jobs meet.
        1..60 => random.random_range(0..20),
        _ => random.random(),
    };
    let mut job = ToyJob::new(number);
    job.shared = random.random_range(0..4) > 0;
    job.spin(if random.random_range(0..10) == 0 {
        random.random_range(0..100)
    } else {
        0
    })
    .group(random.random_range(0..3))
    .bytes(random.random_range(0..400))
}

/// Any class, any caller, a deadline now and then: past, near or far.
fn options(random: &mut StdRng) -> SubmitOptions {
    let class = Priority::ALL[random.random_range(0..3)];
    let mut options = SubmitOptions::new(class);
    if random.random_range(0..2) == 0 {
        options = options.caller(random.random_range(0..3));
    }
    match random.random_range(0..8) {
        0 => options.within(Duration::from_micros(random.random_range(0..300))),
        1 => options.within(LONG),
        _ => options,
    }
}

/// Whether an answer is what the reference says, or rightly says that the deadline has passed.
fn check(
    answer: &Result<u64, EngineError>,
    (which, number): (Which, u64),
    deadline: Option<Instant>,
) -> bool {
    if *answer == Err(EngineError::DeadlineExceeded) {
        assert!(deadline.unwrap() <= Instant::now());
        return false;
    }
    assert_eq!(*answer, expected(which, number));
    true
}

/// What one caller did, to be added up.

#[derive(Default)]
struct Tally {
    submitted: u64,
    refused: u64,
    /// Calls that ended at their deadline, maybe before they were let in.
    late_calls: u64,
    /// Tickets that said so; their jobs had been let in.
    late: u64,
}

/// A ticket, what it was asked for, and until when.
type Open = ((Which, u64), Option<Instant>, Ticket<u64>);

/// One caller's life: submits, drops, waits, calls; keeps what is open in a map.
fn live(engine: &Engine, seed: u64, steps: usize) -> Tally {
    let mut random = StdRng::seed_from_u64(seed);
    let mut open: HashMap<usize, Open> = HashMap::new();
    let mut tally = Tally::default();
    for step in 0..steps {
        let which = Which::any(&mut random);
        match random.random_range(0..10) {
            0..=4 => {
                let job = job(&mut random);
                let number = job.number;
                let options = options(&mut random);
                match which.submit(engine, job, options) {
                    Ok(ticket) => {
                        tally.submitted += 1;
                        open.insert(step, ((which, number), options.deadline, ticket));
                    }
                    Err(SubmitError::DeadlineExceeded { job }) => {
                        assert_eq!(job.number, number);
                        assert!(options.deadline.unwrap() <= Instant::now());
                    }
                    Err(SubmitError::QuotaExceeded {
                        job, jobs, limit, ..
                    }) => {
                        tally.refused += 1;
                        assert_eq!(job.number, number);
                        assert!(options.caller.is_some() && jobs == limit);
                    }
                    Err(SubmitError::QueueFull { job, state }) => {
                        tally.refused += 1;
                        assert_eq!(job.number, number);
                        assert!(state.jobs <= state.max_jobs && state.bytes <= state.max_bytes);
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            5 => {
                let key = open.keys().next().copied();
                drop(key.and_then(|key| open.remove(&key)));
            }
            6 => {
                let key = open.keys().next().copied();
                if let Some((number, deadline, ticket)) = key.and_then(|key| open.remove(&key)) {
                    tally.late += u64::from(!check(&ticket.wait(), number, deadline));
                }
            }
            7 => {
                let job = job(&mut random);
                let number = job.number;
                let options = options(&mut random);
                let answer = which.call(engine, job, options);
                if check(&answer, (which, number), options.deadline) {
                    tally.submitted += 1;
                } else {
                    tally.late_calls += 1;
                }
            }
            8 => {
                let jobs: Vec<_> = (0..random.random_range(0..50))
                    .map(|_| ToyJob::new(random.random()).group(random.random_range(0..3)))
                    .collect();
                let answers: Vec<_> = jobs.iter().map(|job| reference(job.number)).collect();
                tally.submitted += u64::try_from(jobs.len()).unwrap();
                let mut options = options(&mut random);
                options.deadline = None;
                let many = which.call_many(engine, jobs, options);
                assert_eq!(many.unwrap(), answers);
            }
            _ => {
                let queue = engine.queue();
                assert!(queue.jobs <= queue.max_jobs && queue.bytes <= queue.max_bytes);
                std::thread::sleep(Duration::from_micros(random.random_range(0..200)));
            }
        }
    }
    for (number, deadline, ticket) in open.into_values() {
        tally.late += u64::from(!check(&ticket.wait(), number, deadline));
    }
    tally
}

/// Ends the process with the schedule's text if a run hangs.
struct Watchdog {
    done: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    fn watch(schedule: &Schedule, engine: &Engine) -> Self {
        let text = format!("{schedule:?}");
        let engine = engine.clone();
        let (done, wait) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            if wait.recv_timeout(LONG) == Err(mpsc::RecvTimeoutError::Timeout) {
                let (stats, devices) = (engine.stats(), engine.devices());
                let text = format!(
                    "the run hangs
{text}
{stats:?}
{devices:?}
"
                );
                // Past the capture of the test's output: the process ends here.
                let _ = std::io::stderr().write_all(text.as_bytes());
                std::process::abort();
            }
        });
        Self {
            done: Some(done),
            thread: Some(thread),
        }
    }
}

impl Drop for Watchdog {
    /// Ends the watch, and with it the thread's hold on the engine.
    fn drop(&mut self) {
        self.done = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(schedule: &Schedule) {
    quiet_workers();
    let mut builder = Engine::builder()
        .gpu(GpuPolicy::Off)
        .no_cache_folder()
        .without_standard_kernels()
        .kernel::<Toy>()
        .kernel::<Second>()
        .cpu_threads(schedule.cpu_threads)
        .queue_jobs(schedule.queue_jobs)
        .queue_bytes(schedule.queue_bytes)
        .max_batch(schedule.max_batch)
        .max_wait(Duration::from_micros(schedule.max_wait_us))
        .routing(if schedule.prefer_device {
            Routing::PreferDevice
        } else {
            Routing::Measured
        })
        .audit_per_batch(usize::MAX)
        .caller_jobs(schedule.quota)
        .share_identical(schedule.share)
        .device_retries(100, Duration::from_micros(100));
    for (seed, per_thousand, in_flight, at_once) in &schedule.devices {
        builder = builder.faulty_device(
            FaultScript::new()
                .seeded(*seed, *per_thousand)
                .in_flight(*in_flight)
                .at_once(*at_once)
                .max_bytes(4_000)
                .max_batch(40),
        );
    }
    let engine = builder.build().unwrap();
    let watchdog = Watchdog::watch(schedule, &engine);
    if schedule.seed.is_multiple_of(2) {
        assert!(engine.wait_ready(LONG));
    }
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..schedule.callers)
            .map(|caller| {
                let (engine, seed) = (&engine, schedule.seed.wrapping_add(caller as u64));
                scope.spawn(move || live(engine, seed, schedule.steps))
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect()
    });
    // Cancelled jobs may still be on their way through a batch.
    assert!(engine.shutdown(LONG));
    let stats = engine.stats();
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    let all = |of: fn(&KernelStats) -> u64| stats.kernels.iter().map(of).sum::<u64>();
    // A call that ended late may or may not have been let in before.
    let (surely, late_calls) = (sum(|tally| tally.submitted), sum(|tally| tally.late_calls));
    assert!((surely..=surely + late_calls).contains(&all(|kernel| kernel.submitted)));
    // A dropped ticket's job may have ended at its deadline as well.
    assert!(all(|kernel| kernel.expired) >= sum(|tally| tally.late));
    assert!(schedule.share || all(|kernel| kernel.shared) == 0);
    assert_eq!(all(|kernel| kernel.refused), sum(|tally| tally.refused));
    for kernel in &stats.kernels {
        assert_eq!(
            kernel.submitted,
            kernel.answered() + kernel.shared + kernel.cancelled + kernel.expired,
            "{kernel:?}"
        );
        assert_eq!((kernel.shut_down, kernel.queued), (0, 0));
    }
    assert_eq!((stats.queue.jobs, stats.queue.bytes), (0, 0));
    assert!(stats.queue.peak_jobs <= schedule.queue_jobs);
    assert!(stats.queue.peak_bytes <= schedule.queue_bytes);
    for backend in stats.kernels.iter().flat_map(|kernel| &kernel.backends) {
        assert!(
            backend.backend == "cpu"
                || backend.batch_sizes.max() <= 40.min(schedule.max_batch as u64)
        );
    }
    drop(watchdog);
    drop(engine);
    assert_eq!(ALIVE.load(Ordering::SeqCst), 0, "a job outlived its engine");
}

/// Number of schedules: `PARS_MODEL_SEEDS`, else a few hundred.
fn cases() -> u32 {
    std::env::var("PARS_MODEL_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_ticket_is_answered_once_and_rightly(schedule in schedules()) {
        run(&schedule);
    }
}
