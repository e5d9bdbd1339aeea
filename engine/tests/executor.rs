//! The engine under an executor of one thread: neither handing a job over nor waiting for it keeps that thread from
//! its other tasks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pars_engine::{Engine, GpuPolicy};
use support::{Hold, Toy, ToyJob, quiet_workers, reference};

/// How often the executor's other task has to run before the engine goes on.
const TICKS: u64 = 200;

/// Runs a future on an executor of one thread, beside a task that lets the engine's held job go once it has had
/// its turns. If the future kept the thread, the task had none, and the held job would panic after a minute.
fn beside_a_ticking_task<T>(hold: Hold, future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let ticks = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&ticks);
    let answer = runtime.block_on(async move {
        let ticking = tokio::spawn(async move {
            let mut hold = Some(hold);
            loop {
                if count.fetch_add(1, Ordering::SeqCst) == TICKS {
                    hold = None;
                }
                if hold.is_none() && count.load(Ordering::SeqCst) > 2 * TICKS {
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
        let answer = future.await;
        ticking.await.unwrap();
        answer
    });
    assert!(ticks.load(Ordering::SeqCst) > 2 * TICKS);
    answer
}

/// One thread, and room for two jobs.
fn engine() -> Engine {
    quiet_workers();
    Engine::builder()
        .gpu(GpuPolicy::Off)
        .without_standard_kernels()
        .kernel::<Toy>()
        .cpu_threads(1)
        .queue_jobs(2)
        .build()
        .unwrap()
}

#[test]
fn a_job_handed_over_and_waited_for() {
    let engine = engine();
    let (job, hold) = ToyJob::new(7).held();
    let answer = beside_a_ticking_task(hold, async { engine.submit::<Toy>(job).unwrap().await });
    assert_eq!(answer, Ok(reference(7)));
}

#[test]
fn a_call() {
    let engine = engine();
    let (job, hold) = ToyJob::new(8).held();
    let answer = beside_a_ticking_task(hold, engine.call::<Toy>(job));
    assert_eq!(answer, Ok(reference(8)));
}

#[test]
fn many_jobs_and_a_wait_for_room() {
    let engine = engine();
    let (job, hold) = ToyJob::new(0).held();
    let jobs = std::iter::once(job)
        .chain((1..40).map(ToyJob::new))
        .collect();
    let answers = beside_a_ticking_task(hold, engine.call_many::<Toy>(jobs));
    assert_eq!(answers, Ok((0..40).map(reference).collect()));
}

#[test]
fn calls_given_up() {
    let engine = engine();
    let (job, hold) = ToyJob::new(0).held();
    let answer = beside_a_ticking_task(hold, async {
        let first = engine.submit::<Toy>(job).unwrap();
        drop(engine.submit::<Toy>(ToyJob::new(1)));
        drop(
            engine
                .submit::<Toy>(ToyJob::new(2))
                .map(|ticket| ticket.is_answered()),
        );
        first.await
    });
    assert_eq!(answer, Ok(reference(0)));
}
