//! What a job in flight takes beside its own bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::alloc::System;
use std::hash::Hasher;
use std::time::Duration;

use cap::Cap;
use pars_engine::{Engine, GpuPolicy, Kernel, Priority, SubmitOptions, Ticket};

/// Counts the bytes that are asked of the system.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// Jobs in flight at one time.
const JOBS: usize = 100_000;

/// Most bytes of one beside its own.
const MOST: usize = 256;

/// A yes-no question of some bytes, as a verifier's.
struct Even;

impl Kernel for Even {
    type Job = Box<[u8]>;
    type Output = bool;
    type State = ();
    const NAME: &'static str = "even";

    fn job_bytes(job: &Box<[u8]>) -> usize {
        job.len()
    }

    fn fingerprint(job: &Box<[u8]>, hasher: &mut impl Hasher) -> bool {
        hasher.write(job);
        true
    }

    fn same(one: &Box<[u8]>, other: &Box<[u8]>) -> bool {
        one == other
    }

    fn run_cpu(job: &Box<[u8]>) -> bool {
        job.iter()
            .map(|byte| u32::from(*byte))
            .sum::<u32>()
            .is_multiple_of(2)
    }

    fn known_answers() -> Vec<(Box<[u8]>, bool)> {
        vec![([1, 1].into(), true), ([1, 2].into(), false)]
    }
}

/// Bytes that the engine and the tickets take for each job while all wait, without the jobs' own.
fn overhead(share: bool, options: SubmitOptions) -> usize {
    let engine = Engine::builder()
        .gpu(GpuPolicy::Off)
        .without_standard_kernels()
        .kernel::<Even>()
        .cpu_threads(1)
        .queue_jobs(JOBS)
        .share_identical(share)
        // Nothing starts.
        .max_wait(Duration::from_secs(1_000))
        .max_batch(usize::MAX)
        .build()
        .unwrap();
    let base = MEMORY.allocated();
    let mut jobs: Vec<Box<[u8]>> = Vec::with_capacity(JOBS);
    jobs.extend((0..JOBS).map(|number| Box::from(number.to_le_bytes())));
    let own = MEMORY.allocated() - base;
    let mut tickets: Vec<Ticket<bool>> = Vec::with_capacity(JOBS);
    for job in jobs {
        tickets.push(engine.submit_with::<Even>(job, options).unwrap());
    }
    assert_eq!(engine.queue().jobs, JOBS);
    assert_eq!(engine.stats().kernels[0].queued, JOBS);
    (MEMORY.allocated() - base).saturating_sub(own) / JOBS
}

#[test]
fn a_hundred_thousand_jobs_in_flight_take_few_bytes_each() {
    let plain = overhead(false, SubmitOptions::default());
    let shared = overhead(true, SubmitOptions::default());
    let named = SubmitOptions::new(Priority::Consensus)
        .within(Duration::from_secs(1_000_000))
        .caller(7);
    let full = overhead(true, named);
    println!(
        "bytes a job: {plain}, {shared} where jobs may be shared, {full} with a deadline and a caller's name"
    );
    assert!(plain <= MOST && shared <= MOST, "{plain}, {shared}");
    assert!(full <= 2 * MOST, "{full}");
}
