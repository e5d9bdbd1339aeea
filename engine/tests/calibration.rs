//! What is measured at the start, kept for the next one, and made of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pars_engine::fault::FaultScript;
use pars_engine::{Engine, EngineBuilder, GpuPolicy, Kernel};

const LONG: Duration = Duration::from_secs(30);

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pars-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn spin(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

static SPINS: AtomicUsize = AtomicUsize::new(0);
static MICROS: AtomicU64 = AtomicU64::new(20);

/// Takes as long as it is told, and counts itself.
struct Counted;

impl Kernel for Counted {
    type Job = u64;
    type Output = u64;
    type State = ();
    const NAME: &'static str = "counted";
    const CPU_CHUNK: usize = 64;

    fn job_bytes(_: &u64) -> usize {
        8
    }

    fn run_cpu(job: &u64) -> u64 {
        SPINS.fetch_add(1, Ordering::SeqCst);
        spin(Duration::from_micros(MICROS.load(Ordering::SeqCst)));
        !job
    }

    fn known_answers() -> Vec<(u64, u64)> {
        vec![(0, u64::MAX)]
    }
}

fn only<K: Kernel>() -> EngineBuilder {
    Engine::builder()
        .gpu(GpuPolicy::Off)
        .without_standard_kernels()
        .kernel::<K>()
}

/// Jobs that a start runs, and the cost it comes to.
fn start(builder: EngineBuilder) -> (usize, Duration) {
    let before = SPINS.load(Ordering::SeqCst);
    let engine = builder.build().unwrap();
    let ran = SPINS.load(Ordering::SeqCst) - before;
    assert_eq!(engine.call_blocking::<Counted>(7).unwrap(), !7);
    (ran, engine.devices().routes[0].cpu.job)
}

#[test]
fn a_second_start_takes_what_the_first_one_measured() {
    let folder = Folder::new("calibration");
    let kept = || only::<Counted>().cache_folder(&folder.0);
    let (first, cost) = start(kept());
    assert!(first > 100, "a chunk is measured: {first} jobs");
    assert!(cost >= Duration::from_micros(18), "{cost:?}");
    let (second, _) = start(kept());
    assert!(second < 10, "the costs are only checked: {second} jobs");
    assert!(start(only::<Counted>().no_cache_folder()).0 > 100);
    let file = std::fs::read_dir(&folder.0).unwrap().next().unwrap();
    let file = file.unwrap().path();
    for damage in ["", "no store at all", "pars-engine store 9\n0\n"] {
        std::fs::write(&file, damage).unwrap();
        assert!(start(kept()).0 > 100, "{damage:?}");
        assert!(start(kept()).0 < 10, "{damage:?}");
    }
    // What was measured holds no more: this machine has become slower.
    MICROS.store(400, Ordering::SeqCst);
    let (third, cost) = start(kept());
    assert!(third > 10, "{third} jobs");
    assert!(cost > Duration::from_micros(200), "{cost:?}");
    MICROS.store(20, Ordering::SeqCst);
}

/// A tenth of a millisecond on every back end.
struct Tenth;

impl Kernel for Tenth {
    type Job = u64;
    type Output = u64;
    type State = ();
    const NAME: &'static str = "tenth";

    fn job_bytes(_: &u64) -> usize {
        8
    }

    fn run_cpu(job: &u64) -> u64 {
        spin(Duration::from_micros(100));
        job + 1
    }

    fn known_answers() -> Vec<(u64, u64)> {
        vec![(1, 2), (2, 3)]
    }
}

#[test]
fn a_batch_is_shared_between_a_device_and_the_cpu() {
    for depth in [1, 2] {
        let script = FaultScript::new().in_flight(depth);
        let engine = only::<Tenth>()
            .no_cache_folder()
            .cpu_threads(1)
            .audit_per_batch(0)
            .faulty_device(script)
            .build()
            .unwrap();
        assert!(engine.wait_ready(LONG));
        let jobs: Vec<u64> = (0..600).collect();
        let expected: Vec<u64> = (1..601).collect();
        let answers = engine.call_many_blocking::<Tenth>(jobs).unwrap();
        assert_eq!(answers, expected);
        let stats = engine.stats();
        let [cpu, device] = &stats.kernels[0].backends[..] else {
            panic!("{stats:?}");
        };
        assert!(cpu.answered > 100, "{depth}: {stats:?}");
        assert!(device.answered > 100, "{depth}: {stats:?}");
    }
}

/// Two kinds of jobs that cost very different amounts, each in its own group.
struct Mixed;

impl Kernel for Mixed {
    type Job = bool;
    type Output = bool;
    type State = ();
    const NAME: &'static str = "mixed";

    fn job_bytes(_: &bool) -> usize {
        1
    }

    fn group(job: &bool) -> u64 {
        u64::from(*job)
    }

    fn run_cpu(job: &bool) -> bool {
        spin(Duration::from_micros(if *job { 5_000 } else { 5 }));
        *job
    }

    fn known_answers() -> Vec<(bool, bool)> {
        vec![(false, false), (true, true)]
    }
}

/// The device adds a millisecond to each batch: too much for ten quick jobs, little for ten slow ones.
#[test]
fn each_group_is_routed_by_its_own_costs() {
    let engine = only::<Mixed>()
        .no_cache_folder()
        .cpu_threads(1)
        .audit_per_batch(0)
        .faulty_device(FaultScript::new().slow(Duration::from_millis(1)))
        .build()
        .unwrap();
    assert!(engine.wait_ready(LONG));
    let device = || engine.stats().kernels[0].backends[1].answered;
    engine.call_many_blocking::<Mixed>(vec![false; 10]).unwrap();
    assert_eq!(device(), 0);
    engine.call_many_blocking::<Mixed>(vec![true; 10]).unwrap();
    assert!(device() > 0);
}
