//! Classes, deadlines, quotas and shared computations, seen from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pars_engine::fault::{Fault, FaultScript};
use pars_engine::{
    Engine, EngineBuilder, EngineError, GpuPolicy, KernelStats, MlDsaVerify, Priority, Routing,
    SubmitError, SubmitOptions, Ticket, VerifyJob,
};
use support::{Hold, PANICS, Second, Toy, ToyJob, quiet_workers, reference};

const LONG: Duration = Duration::from_secs(20);

fn toy() -> EngineBuilder {
    quiet_workers();
    Engine::builder()
        .gpu(GpuPolicy::Off)
        .without_standard_kernels()
        .kernel::<Toy>()
        .cpu_threads(1)
}

fn stats(engine: &Engine) -> KernelStats {
    engine.stats().kernels.remove(0)
}

/// Keeps an engine of one CPU thread busy until the hold is dropped.
fn busy(engine: &Engine) -> (Ticket<u64>, Hold) {
    let (job, hold) = ToyJob::new(0).held();
    let ticket = engine.submit::<Toy>(job).unwrap();
    wait_for(|| stats(engine).queued == 0);
    (ticket, hold)
}

fn wait_for(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < LONG, "it does not come true");
        std::thread::yield_now();
    }
}

fn of(class: Priority) -> SubmitOptions {
    SubmitOptions::new(class)
}

#[test]
fn classes_are_served_in_order() {
    let engine = toy().build().unwrap();
    let (first, hold) = busy(&engine);
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut tickets = Vec::new();
    for (class, start) in [
        (Priority::Pool, 2_000),
        (Priority::BlockExecution, 1_000),
        (Priority::Consensus, 100),
    ] {
        for number in start..start + 50 {
            // Several groups: the class counts before the group.
            let job = ToyJob::new(number).group(number % 3).log(&log);
            tickets.push((number, engine.submit_with::<Toy>(job, of(class)).unwrap()));
        }
    }
    drop(hold);
    for (number, ticket) in tickets {
        assert_eq!(ticket.wait().unwrap(), reference(number));
    }
    assert_eq!(first.wait().unwrap(), reference(0));
    let order: Vec<_> = log
        .lock()
        .unwrap()
        .iter()
        .map(|number| number / 1_000)
        .collect();
    assert_eq!(order.len(), 150);
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn a_wave_of_votes_waits_for_one_batch_of_a_flood_and_no_more() {
    let engine = toy().queue_jobs(1_000).build().unwrap();
    // Nothing runs before the flood has filled its share.
    let (first, hold) = busy(&engine);
    let log = Arc::new(Mutex::new(Vec::new()));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut tickets = std::collections::VecDeque::new();
            let mut number = 1_000_000;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let job = ToyJob::new(number).spin(50).log(&log);
                match engine.submit_with::<Toy>(job, of(Priority::Pool)) {
                    Ok(ticket) => tickets.push_back(ticket),
                    Err(_) => drop(tickets.pop_front().unwrap().wait()),
                }
                number += 1;
            }
        });
        wait_for(|| stats(&engine).queued >= 700);
        drop(hold);
        for wave in 0..5 {
            let votes: Vec<_> = (wave * 16..wave * 16 + 16)
                .map(|number| {
                    let job = ToyJob::new(number).log(&log);
                    let vote = engine.submit_with::<Toy>(job, of(Priority::Consensus));
                    (number, vote.unwrap())
                })
                .collect();
            // Whatever ran until now may have come before the wave.
            let before = log.lock().unwrap().len();
            for (number, vote) in votes {
                assert_eq!(vote.wait().unwrap(), reference(number));
            }
            let log = log.lock().unwrap();
            let last = log
                .iter()
                .rposition(|number| *number == wave * 16 + 15)
                .unwrap();
            let between = log.iter().take(last).skip(before);
            let gossip = between.filter(|number| **number >= 1_000_000).count();
            let batch = stats(&engine).backends[0].batch_sizes.max();
            assert!(
                gossip as u64 <= batch,
                "{gossip} before wave {wave}, batch {batch}"
            );
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        flood.join().unwrap();
    });
    assert_eq!(first.wait(), Ok(reference(0)));
    let queue = engine.queue();
    assert!(
        queue.peak_jobs <= 766,
        "a quarter is kept free of the pool: {queue:?}"
    );
}

/// Jobs of two kernels wait for the one thread, the earlier classes in several groups and of one kernel each: the class counts before
/// the kernel.
#[test]
fn classes_are_served_in_order_across_kernels() {
    let engine = toy().kernel::<Second>().build().unwrap();
    let (first, hold) = busy(&engine);
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut tickets = Vec::new();
    for (class, start) in [
        (Priority::Pool, 2_000),
        (Priority::BlockExecution, 1_000),
        (Priority::Consensus, 100),
    ] {
        for number in start..start + 60 {
            let job = ToyJob::new(number).group(number % 3).log(&log);
            tickets.push((
                number,
                match class {
                    Priority::Consensus => engine.submit_with::<Second>(job, of(class)),
                    Priority::Pool if number % 2 == 1 => {
                        engine.submit_with::<Second>(job, of(class))
                    }
                    _ => engine.submit_with::<Toy>(job, of(class)),
                }
                .unwrap(),
            ));
        }
    }
    drop(hold);
    for (number, ticket) in tickets {
        assert_eq!(ticket.wait().unwrap(), reference(number));
    }
    assert_eq!(first.wait().unwrap(), reference(0));
    let log = log.lock().unwrap();
    let order: Vec<_> = log.iter().map(|number| number / 1_000).collect();
    assert_eq!(order.len(), 180);
    assert!(order.is_sorted(), "{order:?}");
    // Within a class neither kernel waits for the other's last job.
    let pool = log.iter().filter(|number| **number >= 2_000);
    let changes: Vec<_> = pool.map(|number| number % 2).collect();
    let changes = changes.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes > 1, "{log:?}");
}

/// Gossip of one kernel, votes of another, on one CPU thread: a vote waits for the batch that runs.
#[test]
fn votes_of_one_kernel_wait_for_one_batch_of_a_flood_of_another() {
    let engine = toy().kernel::<Second>().queue_jobs(1_000).build().unwrap();
    let (first, hold) = busy(&engine);
    let log = Arc::new(Mutex::new(Vec::new()));
    let gossip: Vec<_> = (1_000_000..1_000_600)
        .map(|number| {
            let job = ToyJob::new(number).spin(50).log(&log);
            let ticket = engine.submit_with::<Second>(job, of(Priority::Pool));
            (number, ticket.unwrap())
        })
        .collect();
    drop(hold);
    for wave in 0..5 {
        let vote = ToyJob::new(wave).log(&log);
        let vote = engine.submit_with::<Toy>(vote, of(Priority::Consensus));
        // Whatever ran until now may have come before the vote.
        let start = log.lock().unwrap().len();
        assert_eq!(vote.unwrap().wait(), Ok(reference(wave)));
        let log = log.lock().unwrap();
        let at = log.iter().position(|number| *number == wave).unwrap();
        let between = at.saturating_sub(start) as u64;
        let batch = engine.stats().kernels[1].backends[0].batch_sizes.max();
        assert!(between <= batch.max(1), "{between} before, batch {batch}");
    }
    for (number, ticket) in gossip {
        assert_eq!(ticket.wait(), Ok(reference(number)));
    }
    assert_eq!(first.wait(), Ok(reference(0)));
}

/// The same on a device, which has its next batch in flight while it computes one.
#[test]
fn on_a_device_the_class_counts_before_the_kernel() {
    for in_flight in [1, 2] {
        let script = FaultScript::new()
            .in_flight(in_flight)
            .max_batch(10)
            .slow(Duration::from_millis(5));
        let engine = toy()
            .kernel::<Second>()
            .no_cache_folder()
            .routing(Routing::PreferDevice)
            .audit_per_batch(0)
            .faulty_device(script)
            .build()
            .unwrap();
        assert!(engine.wait_ready(LONG));
        let log = Arc::new(Mutex::new(Vec::new()));
        let gossip: Vec<_> = (1_000..1_200)
            .map(|number| {
                let job = ToyJob::new(number).log(&log);
                let ticket = engine.submit_with::<Second>(job, of(Priority::Pool));
                (number, ticket.unwrap())
            })
            .collect();
        for wave in 0..3 {
            // Handed over together, but each a batch of its own.
            let votes = wave * 4..wave * 4 + 4;
            let vote = |number| ToyJob::new(number).group(number).log(&log);
            let jobs = votes.clone().map(vote).collect();
            let start = log.lock().unwrap().len();
            let answers = engine.call_many_with::<Toy>(jobs, of(Priority::Consensus));
            let expected: Vec<_> = votes.clone().map(reference).collect();
            assert_eq!(futures::executor::block_on(answers).unwrap(), expected);
            let log = log.lock().unwrap();
            let before = log.iter().skip(start);
            let before = before.take_while(|number| **number != votes.end - 1);
            let gossip = before.filter(|number| **number >= 1_000).count();
            // Those on their way to the device before the votes came.
            assert!(gossip <= 20, "{gossip} of gossip before the last vote");
        }
        assert!(log.lock().unwrap().len() < 190, "the flood had ended");
        for (number, ticket) in gossip {
            assert_eq!(ticket.wait(), Ok(reference(number)));
        }
    }
}

/// Gossip of two kernels has no more batches on a device than it can use, so that a vote has few before it; the vote does not
/// wait for one of them to end.
#[test]
fn a_device_is_not_filled_by_each_kernel_and_takes_a_vote_at_once() {
    let long = Fault::Stall(Duration::from_secs(3));
    let script = (0..8).fold(
        FaultScript::new().in_flight(2).max_batch(10),
        |script, batch| script.at(batch, long),
    );
    let engine = toy()
        .kernel::<Second>()
        .no_cache_folder()
        .routing(Routing::PreferDevice)
        .audit_per_batch(0)
        .faulty_device(script)
        .build()
        .unwrap();
    assert!(engine.wait_ready(LONG));
    let log = Arc::new(Mutex::new(Vec::new()));
    let sent = || log.lock().unwrap().len();
    let mut gossip = Vec::new();
    for number in 1_000..1_040 {
        let job = || ToyJob::new(number).log(&log);
        gossip.push(
            engine
                .submit_with::<Second>(job(), of(Priority::Pool))
                .unwrap(),
        );
        gossip.push(
            engine
                .submit_with::<Toy>(job(), of(Priority::Pool))
                .unwrap(),
        );
    }
    let answered = || gossip.iter().any(Ticket::is_answered);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(200) {
        let before = sent();
        // Two batches of ten at the most: none is done.
        assert!(before <= 20, "{before} are with the device");
        std::thread::sleep(Duration::from_millis(1));
    }
    let vote = ToyJob::new(7).log(&log);
    let vote = engine
        .submit_with::<Toy>(vote, of(Priority::Consensus))
        .unwrap();
    wait_for(|| log.lock().unwrap().contains(&7));
    assert!(!answered(), "the vote waited for a batch of gossip");
    drop(vote);
}

#[test]
fn a_job_past_its_deadline_is_answered_so() {
    let engine = toy().build().unwrap();
    let past = SubmitOptions::default().deadline(Instant::now());
    let refused = engine.submit_with::<Toy>(ToyJob::new(1), past).unwrap_err();
    assert!(matches!(&refused, SubmitError::DeadlineExceeded { job } if job.number == 1));
    assert_eq!(refused.without_job(), EngineError::DeadlineExceeded);
    let call = engine.call_blocking_with::<Toy>(ToyJob::new(1), past);
    assert_eq!(call, Err(EngineError::DeadlineExceeded));
    let many = engine.call_many_blocking_with::<Toy>(vec![ToyJob::new(1)], past);
    assert_eq!(many, Err(EngineError::DeadlineExceeded));
    let (first, hold) = busy(&engine);
    let soon = SubmitOptions::default().within(Duration::from_millis(200));
    let late = engine
        .submit_with::<Toy>(ToyJob::new(PANICS), soon)
        .unwrap();
    let far = SubmitOptions::default().within(LONG);
    let kept = engine.submit_with::<Toy>(ToyJob::new(2), far).unwrap();
    std::thread::sleep(Duration::from_millis(250));
    drop(hold);
    assert_eq!(late.wait(), Err(EngineError::DeadlineExceeded));
    assert_eq!(kept.wait(), Ok(reference(2)));
    assert_eq!(first.wait(), Ok(reference(0)));
    let stats = stats(&engine);
    assert_eq!((stats.submitted, stats.expired, stats.panicked), (3, 1, 0));
    assert_eq!(engine.queue().jobs, 0);
}

#[test]
fn a_deadline_within_the_wait_for_company_makes_the_batch_due() {
    let engine = toy().max_wait(LONG).build().unwrap();
    let alone = engine.submit::<Toy>(ToyJob::new(1)).unwrap();
    let soon = SubmitOptions::default().within(LONG / 2);
    let hurry = engine.submit_with::<Toy>(ToyJob::new(2), soon).unwrap();
    let start = Instant::now();
    assert_eq!(hurry.wait(), Ok(reference(2)));
    assert_eq!(alone.wait(), Ok(reference(1)), "it may come along");
    assert!(start.elapsed() < LONG / 4);
}

#[test]
fn a_caller_keeps_to_its_quota() {
    let engine = toy().caller_jobs(2).build().unwrap();
    let (first, hold) = busy(&engine);
    let peer = |caller| SubmitOptions::new(Priority::Pool).caller(caller);
    let mut tickets: Vec<_> = (1..3)
        .map(|n| engine.submit_with::<Toy>(ToyJob::new(n), peer(7)).unwrap())
        .collect();
    let refused = engine
        .submit_with::<Toy>(ToyJob::new(3), peer(7))
        .unwrap_err();
    assert!(
        refused.to_string().contains("caller 7 has 2 jobs"),
        "{refused}"
    );
    assert!(matches!(
        refused.without_job(),
        EngineError::QuotaExceeded {
            caller: 7,
            jobs: 2,
            limit: 2
        }
    ));
    assert_eq!(refused.into_job().number, 3);
    // Others are not held up, and a cancelled job gives its place back.
    let other = engine.submit_with::<Toy>(ToyJob::new(4), peer(8)).unwrap();
    drop(tickets.pop());
    tickets.push(engine.submit_with::<Toy>(ToyJob::new(5), peer(7)).unwrap());
    std::thread::scope(|scope| {
        let many = (10..30).map(ToyJob::new).collect();
        let waiting = scope.spawn(|| engine.call_many_blocking_with::<Toy>(many, peer(7)));
        wait_for(|| engine.queue().waiting == 1);
        drop(hold);
        let expected: Vec<_> = (10..30).map(reference).collect();
        assert_eq!(waiting.join().unwrap().unwrap(), expected);
    });
    for (ticket, number) in tickets.into_iter().zip([1, 5]) {
        assert_eq!(ticket.wait(), Ok(reference(number)));
    }
    assert_eq!(
        (other.wait(), first.wait()),
        (Ok(reference(4)), Ok(reference(0)))
    );
    assert_eq!(stats(&engine).refused, 1);
}

#[test]
fn the_queue_is_bounded_in_estimated_work() {
    let engine = toy().queue_work(Duration::from_nanos(1)).build().unwrap();
    let (first, hold) = busy(&engine);
    let refused = engine.submit::<Toy>(ToyJob::new(1)).unwrap_err();
    assert!(matches!(refused, SubmitError::QueueFull { state, .. } if state.jobs == 1));
    drop(hold);
    assert_eq!(first.wait(), Ok(reference(0)));
    let jobs = (0..100).map(ToyJob::new).collect();
    assert_eq!(engine.call_many_blocking::<Toy>(jobs).unwrap().len(), 100);
}

#[test]
fn identical_jobs_in_flight_run_once() {
    let engine = toy().build().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let (job, hold) = ToyJob::new(3).shared().log(&log).held();
    let running = engine.submit::<Toy>(job).unwrap();
    wait_for(|| stats(&engine).queued == 0);
    let ask = |number| {
        let job = ToyJob::new(number).shared().log(&log).bytes(100);
        engine.submit::<Toy>(job).unwrap()
    };
    // Joins the running one; then three that wait, one of them with an equal fingerprint.
    let late = ask(3);
    assert_eq!(engine.queue().bytes, 64, "the second job is not kept");
    let tickets = [6, 6, 14, 6, PANICS, PANICS].map(|n| (n, ask(n)));
    assert_eq!((stats(&engine).queued, engine.queue().jobs), (3, 8));
    drop(hold);
    assert_eq!(
        (running.wait(), late.wait()),
        (Ok(reference(3)), Ok(reference(3)))
    );
    for (number, ticket) in tickets {
        match ticket.wait() {
            Ok(answer) => assert_eq!(answer, reference(number)),
            Err(error) => {
                assert!(matches!(error, EngineError::Panicked { .. }) && number == PANICS);
            }
        }
    }
    let stats = stats(&engine);
    assert_eq!((stats.submitted, stats.shared, stats.answered()), (8, 4, 4));
    assert_eq!((engine.queue().jobs, engine.queue().bytes), (0, 0));
    // Not in flight any more: it runs again.
    assert_eq!(ask(3).wait(), Ok(reference(3)));
    let threes = log.lock().unwrap().iter().filter(|n| **n == 3).count();
    assert_eq!(threes, 2);
}

#[test]
fn who_leaves_a_shared_job_leaves_it_to_the_others() {
    let engine = toy().build().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let (first, hold) = busy(&engine);
    let soon = SubmitOptions::default().within(Duration::from_millis(200));
    let ask = |options| {
        let job = ToyJob::new(9).shared().log(&log).bytes(100);
        engine.submit_with::<Toy>(job, options).unwrap()
    };
    let leader = ask(SubmitOptions::default());
    let late = ask(soon);
    let kept = ask(SubmitOptions::default());
    // A vote does not wait in the pool's class, but others wait for the vote.
    let (vote, gossip) = (ask(of(Priority::Consensus)), ask(of(Priority::Pool)));
    assert_eq!(stats(&engine).queued, 2);
    drop(leader);
    assert_eq!((stats(&engine).queued, engine.queue().bytes), (2, 264));
    std::thread::sleep(Duration::from_millis(250));
    drop(hold);
    assert_eq!(late.wait(), Err(EngineError::DeadlineExceeded));
    for ticket in [kept, vote, gossip] {
        assert_eq!(ticket.wait(), Ok(reference(9)));
    }
    assert_eq!(first.wait(), Ok(reference(0)));
    let stats = stats(&engine);
    assert_eq!((stats.cancelled, stats.expired, stats.shared), (1, 1, 1));
    assert_eq!(log.lock().unwrap().len(), 2);
    // When all leave, it does not run.
    let (first, hold) = busy(&engine);
    drop((ask(SubmitOptions::default()), ask(SubmitOptions::default())));
    assert_eq!(engine.queue().jobs, 1);
    drop(hold);
    assert_eq!(first.wait(), Ok(reference(0)));
    assert_eq!(log.lock().unwrap().len(), 2);
}

#[test]
fn identical_verifications_are_one_and_unlike_ones_are_not() {
    let engine = Engine::builder()
        .gpu(GpuPolicy::Off)
        .cpu_threads(1)
        .build()
        .unwrap();
    let known = pars_kernels::mldsa::known_answers();
    let (jobs, verdicts): (Vec<VerifyJob>, Vec<bool>) =
        known.iter().cycle().take(known.len() * 20).cloned().unzip();
    assert_eq!(
        engine.call_many_blocking::<MlDsaVerify>(jobs).unwrap(),
        verdicts
    );
    let stats = stats(&engine);
    assert_eq!(stats.answered() + stats.shared, stats.submitted);
    assert!(stats.shared >= known.len() as u64, "{stats:?}");
}
