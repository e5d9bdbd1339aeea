//! One pattern for small jobs and large ones, quick and slow, with answers of one bit and of thousands of numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::{Duration, Instant};

use pars_engine::fault::{Fault, FaultScript};
use pars_engine::{Engine, EngineBuilder, GpuPolicy, Kernel, Routing};

const LONG: Duration = Duration::from_secs(60);

/// Smallest and largest job, in bytes.
const SMALL: usize = 64;
const LARGE: usize = 512 << 10;

/// Bytes that a device takes in one batch.
const BATCH: usize = 1 << 20;

/// A row of numbers to be multiplied by a matrix that the kernel knows: the answer is a tensor.
struct Layer;

/// The rows of the matrix are the powers of these numbers.
const ROOTS: [i32; 4] = [1, 3, -2, 7];

fn layer(row: &[i8]) -> Vec<i32> {
    // Blocks of 64 numbers, four results of each.
    let of = |block: &[i8], root: i32| {
        block.iter().fold(0_i32, |sum, number| {
            sum.wrapping_mul(root).wrapping_add(i32::from(*number))
        })
    };
    row.chunks(64)
        .flat_map(|block| ROOTS.map(|root| of(block, root)))
        .collect()
}

impl Kernel for Layer {
    type Job = Box<[i8]>;
    type Output = Vec<i32>;
    type State = ();
    const NAME: &'static str = "layer";

    fn job_bytes(job: &Box<[i8]>) -> usize {
        job.len()
    }

    fn job_weight(job: &Box<[i8]>) -> u32 {
        u32::try_from(job.len().div_ceil(64)).unwrap()
    }

    /// Rows of one length share a batch.
    fn group(job: &Box<[i8]>) -> u64 {
        job.len() as u64
    }

    fn run_cpu(job: &Box<[i8]>) -> Vec<i32> {
        layer(job)
    }

    fn known_answers() -> Vec<(Box<[i8]>, Vec<i32>)> {
        let one: Box<[i8]> = [1; SMALL].into();
        let zero: Box<[i8]> = [0; SMALL].into();
        vec![(one.clone(), layer(&one)), (zero, vec![0; 4])]
    }
}

/// Yes or no after as many microseconds as the job says.
struct Wait;

impl Kernel for Wait {
    type Job = u64;
    type Output = bool;
    type State = ();
    const NAME: &'static str = "wait";

    fn job_bytes(_: &u64) -> usize {
        SMALL
    }

    fn job_weight(job: &u64) -> u32 {
        u32::try_from(*job).unwrap()
    }

    fn run_cpu(job: &u64) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(*job) {
            std::hint::spin_loop();
        }
        job.is_multiple_of(2)
    }

    fn known_answers() -> Vec<(u64, bool)> {
        vec![(2, true), (3, false)]
    }
}

fn builder() -> EngineBuilder {
    Engine::builder()
        .gpu(GpuPolicy::Off)
        .no_cache_folder()
        .without_standard_kernels()
        .kernel::<Layer>()
        .kernel::<Wait>()
}

fn row(bytes: usize, number: usize) -> Box<[i8]> {
    let at = |index: usize| (index * 31 + number * 17) as i8;
    (0..bytes).map(at).collect()
}

/// Jobs of all sizes and costs at once, each kind from a thread of its own.
fn ask(engine: &Engine) {
    std::thread::scope(|scope| {
        for bytes in [SMALL, 4 << 10, LARGE] {
            scope.spawn(move || {
                let jobs: Vec<_> = (0..12).map(|number| row(bytes, number)).collect();
                let expected: Vec<_> = jobs.iter().map(|row| layer(row)).collect();
                assert_eq!(expected[0].len(), bytes / 64 * ROOTS.len());
                let tensors = engine.call_many_blocking::<Layer>(jobs).unwrap();
                assert!(tensors == expected, "{bytes}");
            });
        }
        scope.spawn(|| {
            // Three of twenty milliseconds, the others of a microsecond or two.
            let cost = |at: u64| {
                if at.is_multiple_of(20) {
                    20_001
                } else {
                    1 + at % 2
                }
            };
            let jobs: Vec<u64> = (0..60).map(cost).collect();
            let expected: Vec<bool> = jobs.iter().map(|job| job.is_multiple_of(2)).collect();
            assert_eq!(engine.call_many_blocking::<Wait>(jobs).unwrap(), expected);
        });
    });
}

#[test]
fn the_cpu_carries_jobs_of_every_shape() {
    let engine = builder().build().unwrap();
    ask(&engine);
    assert!(engine.queue().peak_bytes >= 12 * LARGE);
    let [layers, waits] = [0, 1].map(|kernel| engine.stats().kernels[kernel].answered());
    assert_eq!((layers, waits), (36, 60));
}

#[test]
fn devices_carry_jobs_of_every_shape_within_their_bytes() {
    for in_flight in [1, 2] {
        let script = FaultScript::new()
            .in_flight(in_flight)
            .max_bytes(BATCH)
            .at(3, Fault::Lose);
        let engine = builder()
            .routing(Routing::PreferDevice)
            .device_retries(5, Duration::from_millis(1))
            .audit_share(1.0)
            .faulty_device(script)
            .build()
            .unwrap();
        assert!(engine.wait_ready(LONG));
        ask(&engine);
        let device = engine.stats().kernels[0].backends[1].clone();
        assert!(device.answered > 0 && device.mismatches == 0, "{device:?}");
        // Two of the largest fill a batch.
        let largest = engine.stats().kernels[0].backends.clone();
        let bytes: u64 = largest.iter().map(|backend| backend.job_bytes).sum();
        assert_eq!(bytes, 12 * (SMALL + (4 << 10) + LARGE) as u64);
        assert!(device.batches >= 6 || device.fallbacks > 0, "{device:?}");
    }
}
