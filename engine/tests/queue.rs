//! The queue, seen from outside: answers, back-pressure, cancellation, shutdown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use pars_engine::{
    Engine, EngineBuilder, EngineError, GpuPolicy, MlDsaVerify, SubmitError, Ticket,
};
use support::{Hold, PANICS, Toy, ToyJob, quiet_workers, reference};

fn toy() -> EngineBuilder {
    quiet_workers();
    Engine::builder()
        .gpu(GpuPolicy::Off)
        .without_standard_kernels()
        .kernel::<Toy>()
}

/// Keeps an engine of one CPU thread busy until the hold is dropped.
fn busy(engine: &Engine) -> (Ticket<u64>, Hold) {
    let (job, hold) = ToyJob::new(0).held();
    let ticket = engine.submit::<Toy>(job).unwrap();
    let start = Instant::now();
    while engine.stats().kernels[0].queued > 0 {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "the job does not start"
        );
        std::thread::yield_now();
    }
    (ticket, hold)
}

/// An executor that polls until the future is ready: the least that an executor can do.
fn smallest_executor<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

#[test]
fn every_way_to_call_gives_the_answer() {
    let engine = toy().build().unwrap();
    assert_eq!(
        engine.call_blocking::<Toy>(ToyJob::new(7)).unwrap(),
        reference(7)
    );
    assert_eq!(
        engine
            .submit::<Toy>(ToyJob::new(8))
            .unwrap()
            .wait()
            .unwrap(),
        reference(8)
    );
    let many: Vec<_> = (0..1_000).map(ToyJob::new).collect();
    let expected: Vec<_> = (0..1_000).map(reference).collect();
    assert_eq!(engine.call_many_blocking::<Toy>(many).unwrap(), expected);
    assert_eq!(
        engine.call_many_blocking::<Toy>(Vec::new()).unwrap(),
        Vec::<u64>::new()
    );
    // An executor that is not tokio, then tokio.
    smallest_executor(async {
        assert_eq!(
            engine.call::<Toy>(ToyJob::new(9)).await.unwrap(),
            reference(9)
        );
    });
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap()
        .block_on(async {
            let calls = (0..100).map(|n| {
                let engine = engine.clone();
                tokio::spawn(async move { (n, engine.call::<Toy>(ToyJob::new(n)).await.unwrap()) })
            });
            for call in calls.collect::<Vec<_>>() {
                let (n, answer) = call.await.unwrap();
                assert_eq!(answer, reference(n));
            }
        });
    let stats = engine.stats();
    assert_eq!(stats.kernels[0].submitted, 1_103);
    assert_eq!(stats.kernels[0].answered(), 1_103);
    assert_eq!(stats.queue.jobs, 0);
}

#[test]
fn a_ticket_can_be_asked_without_waiting() {
    let engine = toy().cpu_threads(1).build().unwrap();
    let (job, hold) = ToyJob::new(3).held();
    let mut ticket = engine.submit::<Toy>(job).unwrap();
    assert!(ticket.try_take().is_none());
    drop(hold);
    let start = Instant::now();
    let answer = loop {
        if let Some(answer) = ticket.try_take() {
            break answer;
        }
        assert!(start.elapsed() < Duration::from_secs(10));
        std::thread::yield_now();
    };
    assert_eq!(answer.unwrap(), reference(3));
    assert!(ticket.try_take().is_none());
}

#[test]
fn back_pressure_is_seen_and_hands_the_job_back() {
    let engine = toy()
        .cpu_threads(1)
        .queue_jobs(3)
        .queue_bytes(1_000)
        .build()
        .unwrap();
    let (first, hold) = busy(&engine);
    let second = engine.submit::<Toy>(ToyJob::new(1).bytes(900)).unwrap();
    let refused = engine.submit::<Toy>(ToyJob::new(2).bytes(100)).unwrap_err();
    assert!(matches!(&refused, SubmitError::QueueFull { state, .. } if state.bytes == 964));
    assert!(
        refused
            .to_string()
            .contains("2 of 3 jobs, 964 of 1000 bytes"),
        "{refused}"
    );
    assert_eq!(refused.into_job().number, 2);
    let third = engine.submit::<Toy>(ToyJob::new(3).bytes(36)).unwrap();
    let refused = engine.submit::<Toy>(ToyJob::new(4).bytes(0)).unwrap_err();
    assert!(matches!(refused.without_job(), EngineError::QueueFull { state } if state.jobs == 3));
    let refused = engine
        .submit::<Toy>(ToyJob::new(5).bytes(1_001))
        .unwrap_err();
    assert!(matches!(
        refused,
        SubmitError::TooLarge {
            bytes: 1_001,
            limit: 1_000,
            ..
        }
    ));
    // A caller that waits gets through.
    drop(hold);
    assert_eq!(
        engine.call_blocking::<Toy>(ToyJob::new(6)).unwrap(),
        reference(6)
    );
    for (ticket, number) in [(first, 0), (second, 1), (third, 3)] {
        assert_eq!(ticket.wait().unwrap(), reference(number));
    }
    assert_eq!(engine.stats().kernels[0].refused, 2);
    let too_large = engine.call_blocking::<Toy>(ToyJob::new(5).bytes(1_001));
    assert_eq!(
        too_large,
        Err(EngineError::TooLarge {
            bytes: 1_001,
            limit: 1_000
        })
    );
}

#[test]
fn more_jobs_than_the_queue_holds_pass_through_it() {
    let engine = toy().queue_jobs(10).queue_bytes(640).build().unwrap();
    let expected: Vec<_> = (0..5_000).map(reference).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let jobs: Vec<_> = (0..5_000).map(ToyJob::new).collect();
                assert_eq!(engine.call_many_blocking::<Toy>(jobs).unwrap(), expected);
            });
        }
    });
    let queue = engine.queue();
    assert_eq!((queue.jobs, queue.bytes, queue.waiting), (0, 0, 0));
    assert!(
        queue.peak_jobs <= 10 && queue.peak_bytes <= 640,
        "{queue:?}"
    );
}

#[test]
fn a_dropped_ticket_cancels_what_has_not_started() {
    let engine = toy().cpu_threads(1).build().unwrap();
    let (first, hold) = busy(&engine);
    let kept = engine.submit::<Toy>(ToyJob::new(1)).unwrap();
    let dropped = engine.submit::<Toy>(ToyJob::new(PANICS)).unwrap();
    assert_eq!(engine.queue().jobs, 3);
    drop(dropped);
    assert_eq!(
        engine.queue().jobs,
        2,
        "a cancelled job gives its room back at once"
    );
    // A dropped future cancels too, whether its job is queued or waits for room.
    {
        let mut call = pin!(engine.call::<Toy>(ToyJob::new(PANICS)));
        assert!(
            call.as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        assert_eq!(engine.queue().jobs, 3);
    }
    drop(hold);
    assert_eq!(kept.wait().unwrap(), reference(1));
    assert_eq!(first.wait().unwrap(), reference(0));
    let stats = &engine.stats().kernels[0];
    assert_eq!(
        (stats.submitted, stats.cancelled, stats.answered()),
        (4, 2, 2)
    );
    assert_eq!(stats.panicked, 0);
}

#[test]
fn a_dropped_call_of_many_cancels_what_has_not_started() {
    let engine = toy().cpu_threads(1).build().unwrap();
    let (first, hold) = busy(&engine);
    {
        let jobs = (0..5).map(|_| ToyJob::new(PANICS)).collect();
        let mut call = pin!(engine.call_many::<Toy>(jobs));
        let mut context = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut context).is_pending());
        assert_eq!(engine.queue().jobs, 6);
    }
    assert_eq!(engine.queue().jobs, 1, "their room is given back at once");
    drop(hold);
    assert_eq!(first.wait().unwrap(), reference(0));
    let stats = &engine.stats().kernels[0];
    assert_eq!(
        (stats.submitted, stats.cancelled, stats.answered()),
        (6, 5, 1)
    );
    assert_eq!(stats.panicked, 0, "one of them ran");
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A task asks to be polled again at once while its job is alone in the engine, for a moment; after that it sleeps until the answer
/// is there. What was in vain is done less.
#[test]
fn the_task_of_a_lone_job_looks_again_for_a_moment() {
    const JOBS: u64 = 1_000;
    let cores = std::thread::available_parallelism().unwrap().get();
    let engine = toy().cpu_threads(1).build().unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let wakes = |ticket: &mut Ticket<u64>| {
        let before = woken.0.load(Ordering::SeqCst);
        let polled = pin!(ticket).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        woken.0.load(Ordering::SeqCst) - before
    };
    let mut looked = 0;
    for number in 0..JOBS {
        let (job, hold) = ToyJob::new(number).held();
        let mut lone = engine.submit::<Toy>(job).unwrap();
        let start = Instant::now();
        // Not even once where the moment was over before the first poll.
        let mut looks = 0;
        while wakes(&mut lone) == 1 {
            looks += 1;
            assert!(start.elapsed() < Duration::from_secs(10), "it never sleeps");
        }
        assert_eq!(wakes(&mut lone), 0, "it looks again after it slept");
        looked += u64::from(looks > 0);
        let mut second = engine.submit::<Toy>(ToyJob::new(number)).unwrap();
        assert_eq!(wakes(&mut second), 0, "it is not alone");
        let before = woken.0.load(Ordering::SeqCst);
        drop(hold);
        while !lone.is_answered() || !second.is_answered() {
            std::thread::yield_now();
        }
        assert_eq!(lone.try_take().unwrap().unwrap(), reference(number));
        assert_eq!(second.try_take().unwrap().unwrap(), reference(number));
        while woken.0.load(Ordering::SeqCst) < before + 2 {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "they are not woken"
            );
            std::thread::yield_now();
        }
    }
    if cores > 1 {
        assert!(looked > 0, "nobody looked");
        assert!(looked < JOBS / 10, "{looked} looked in vain");
    } else {
        assert_eq!(looked, 0);
    }
}

#[test]
fn a_panic_is_the_error_of_its_job_alone() {
    let engine = toy().cpu_threads(2).build().unwrap();
    let jobs = [1, PANICS, 2, PANICS, 3].map(ToyJob::new);
    let tickets = jobs.map(|job| engine.submit::<Toy>(job).unwrap());
    for (ticket, number) in tickets.into_iter().zip([1, PANICS, 2, PANICS, 3]) {
        match ticket.wait() {
            Ok(answer) => assert_eq!(answer, reference(number)),
            Err(EngineError::Panicked { kernel, message }) => {
                assert_eq!((kernel, number), ("toy", PANICS));
                assert!(message.contains("thirteen"), "{message}");
            }
            Err(other) => panic!("{other}"),
        }
    }
    let many = engine.call_many_blocking::<Toy>([1, PANICS].map(ToyJob::new).into());
    assert!(matches!(many, Err(EngineError::Panicked { .. })));
    assert_eq!(engine.stats().kernels[0].panicked, 3);
    assert_eq!(
        engine.call_blocking::<Toy>(ToyJob::new(4)).unwrap(),
        reference(4)
    );
}

#[test]
fn max_wait_gathers_a_batch_and_a_full_batch_does_not_wait() {
    let wait = Duration::from_millis(300);
    let engine = toy()
        .cpu_threads(1)
        .max_wait(wait)
        .max_batch(64)
        .build()
        .unwrap();
    let start = Instant::now();
    assert_eq!(
        engine.call_blocking::<Toy>(ToyJob::new(1)).unwrap(),
        reference(1)
    );
    assert!(start.elapsed() >= wait, "{:?}", start.elapsed());
    let start = Instant::now();
    let tickets: Vec<_> = (0..64)
        .map(|n| engine.submit::<Toy>(ToyJob::new(n)).unwrap())
        .collect();
    // The first batch is full and starts at once.
    assert_eq!(
        tickets.into_iter().next().unwrap().wait().unwrap(),
        reference(0)
    );
    assert!(start.elapsed() < wait, "{:?}", start.elapsed());
}

#[test]
fn dropping_the_engine_answers_or_reports_everything() {
    for round in 0..20 {
        let engine = toy().cpu_threads(2).build().unwrap();
        let tickets: Vec<_> = (0..500)
            .map(|n| {
                engine
                    .submit::<Toy>(ToyJob::new(n).spin(round * 2))
                    .unwrap()
            })
            .collect();
        drop(engine);
        let mut stopped = false;
        for (number, ticket) in tickets.into_iter().enumerate() {
            match ticket.wait() {
                Ok(answer) => assert_eq!(answer, reference(u64::try_from(number).unwrap())),
                Err(EngineError::ShuttingDown) => stopped = true,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(
            stopped || round < 10,
            "500 slow jobs cannot all have been done"
        );
    }
}

#[test]
fn shutdown_finishes_what_was_accepted() {
    let engine = toy().cpu_threads(2).build().unwrap();
    let tickets: Vec<_> = (0..200)
        .map(|n| engine.submit::<Toy>(ToyJob::new(n).spin(50)).unwrap())
        .collect();
    assert!(engine.shutdown(Duration::from_secs(30)));
    for (number, ticket) in (0..).zip(tickets) {
        assert_eq!(ticket.wait().unwrap(), reference(number));
    }
    let refused = engine.submit::<Toy>(ToyJob::new(5));
    assert!(matches!(refused, Err(SubmitError::ShuttingDown { job }) if job.number == 5));
    assert_eq!(
        engine.call_blocking::<Toy>(ToyJob::new(5)),
        Err(EngineError::ShuttingDown)
    );
    let many = engine.call_many_blocking::<Toy>(vec![ToyJob::new(5)]);
    assert_eq!(many, Err(EngineError::ShuttingDown));
}

#[test]
fn callers_in_line_for_room_are_told_of_the_shutdown() {
    let engine = toy().cpu_threads(1).queue_jobs(1).build().unwrap();
    let (first, hold) = busy(&engine);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| engine.call_blocking::<Toy>(ToyJob::new(1)));
        while engine.queue().waiting == 0 {
            std::thread::yield_now();
        }
        drop(hold);
        engine.shutdown(Duration::from_secs(10));
        assert_eq!(waiting.join().unwrap(), Err(EngineError::ShuttingDown));
    });
    assert_eq!(first.wait().unwrap(), reference(0));
}

#[test]
fn an_unknown_kernel_and_a_bound_of_zero_are_typed_errors() {
    let engine = toy().build().unwrap();
    let (job, _) = pars_kernels::mldsa::known_answers().remove(0);
    let refused = engine.submit::<MlDsaVerify>(job.clone()).unwrap_err();
    assert!(matches!(
        refused,
        SubmitError::UnknownKernel {
            kernel: "mldsa/verify",
            ..
        }
    ));
    assert_eq!(
        engine.call_blocking::<MlDsaVerify>(job),
        Err(EngineError::UnknownKernel {
            kernel: "mldsa/verify"
        })
    );
    let error = toy().queue_jobs(0).build().unwrap_err();
    assert!(error.to_string().contains("queue_jobs is 0"), "{error}");
}
