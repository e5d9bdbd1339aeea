//! Load at a given rate, whether or not the engine keeps up: an open loop.
//!
//! A closed loop asks the next question after the last answer, and so never sees what happens when more is
//! asked than can be answered. Here arrivals follow their own clock (a Poisson process of a fixed seed), and a
//! job's latency counts from the moment at which it was meant to arrive, so that a generator that falls behind
//! cannot flatter the engine. The benchmarks use this file as well.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use pars_engine::{Engine, EngineError, Kernel, Priority, SubmitError, SubmitOptions, Ticket};

/// The generator sleeps this long where nothing is to be sent.
const NAP: Duration = Duration::from_micros(50);

/// How long the last answers may take.
const LAST_ANSWERS: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Jobs a second.
    pub rate: f64,
    /// How long jobs arrive.
    pub time: Duration,
    /// From here on they are counted: the time before fills the queue and warms the caches.
    pub warm_up: Duration,
    /// Every so many jobs one of the class of consensus; the others are of the pool. 0: none.
    pub urgent_every: u64,
}

/// What came of it, of the jobs that were meant to arrive after the warm-up.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Jobs that were meant to arrive.
    pub offered: u64,
    /// Jobs that the engine refused, all bounds taken.
    pub refused: u64,
    /// Answers a second after the warm-up, whenever their jobs arrived.
    pub throughput: f64,
    /// Seconds from arrival to answer, in order of size: all jobs but the urgent ones.
    pub latencies: Vec<f64>,
    /// The same of the urgent ones.
    pub urgent: Vec<f64>,
    /// Answers that `check` did not accept.
    pub wrong: u64,
    /// Most jobs and bytes that were in the engine.
    pub peak_jobs: usize,
    /// Most bytes that were in the engine.
    pub peak_bytes: usize,
}

/// A quantile of times in order of size; `None` if there are none.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
pub fn quantile(sorted: &[f64], quantile: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let index = (last as f64 * quantile.clamp(0.0, 1.0)).round() as usize;
    sorted.get(index.min(last)).copied()
}

/// Notes when it is woken, by whoever has the answer.
struct Stamp {
    start: Instant,
    /// Nanoseconds after the start; 0 while there is no answer.
    at: AtomicU64,
}

impl Stamp {
    fn set(&self) {
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.at.store(nanos.max(1), Ordering::Release);
    }

    fn answered(&self) -> Option<Duration> {
        match self.at.load(Ordering::Acquire) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

impl Wake for Stamp {
    fn wake(self: Arc<Self>) {
        self.set();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set();
    }
}

/// A job on its way.
struct Sent<T> {
    ticket: Ticket<T>,
    stamp: Arc<Stamp>,
    arrival: Duration,
    urgent: bool,
}

/// xorshift64* (Vigna 2016). Only spaces arrivals.
struct Random(u64);

impl Random {
    /// Between 0 and 1, without 0.
    #[allow(clippy::cast_precision_loss)]
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        (bits as f64 + 1.0) / (1_u64 << 53) as f64
    }
}

/// Offers jobs to the engine at a rate: the job of each number, as long as there are any. `check` says whether
/// an answer is right.
///
/// # Errors
/// The first error that is neither a full queue nor an answer's.
pub fn offer<K: Kernel>(
    engine: &Engine,
    load: &Load,
    mut job: impl FnMut(u64) -> Option<K::Job>,
    check: impl Fn(&K::Output) -> bool,
) -> Result<Outcome, EngineError> {
    let mut outcome = Outcome::default();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut sent: VecDeque<Sent<K::Output>> = VecDeque::new();
    let start = Instant::now();
    let gap = 1.0 / load.rate.max(1e-3);
    let mut arrival = Duration::ZERO;
    let mut answered: u64 = 0;
    let mut number = 0;
    let mut collect =
        |sent: &mut VecDeque<Sent<K::Output>>, outcome: &mut Outcome| -> Result<(), EngineError> {
            while let Some(at) = sent.front().and_then(|first| first.stamp.answered()) {
                let Some(mut first) = sent.pop_front() else {
                    break;
                };
                match first.ticket.try_take() {
                    Some(Ok(answer)) => outcome.wrong += u64::from(!check(&answer)),
                    Some(Err(error)) => return Err(error),
                    None => outcome.wrong += 1,
                }
                if at >= load.warm_up && at < load.time {
                    answered += 1;
                }
                if first.arrival >= load.warm_up {
                    let latency = at.saturating_sub(first.arrival).as_secs_f64();
                    if first.urgent {
                        outcome.urgent.push(latency);
                    } else {
                        outcome.latencies.push(latency);
                    }
                }
            }
            Ok(())
        };
    while arrival < load.time {
        let now = start.elapsed();
        if now < arrival {
            collect(&mut sent, &mut outcome)?;
            let queue = engine.queue();
            outcome.peak_jobs = outcome.peak_jobs.max(queue.jobs);
            outcome.peak_bytes = outcome.peak_bytes.max(queue.bytes);
            std::thread::sleep(NAP.min(arrival.saturating_sub(start.elapsed())));
            continue;
        }
        let urgent = load.urgent_every > 0 && number % load.urgent_every == 0;
        let class = if urgent {
            Priority::Consensus
        } else {
            Priority::Pool
        };
        let counted = arrival >= load.warm_up;
        let Some(job) = job(number) else { break };
        outcome.offered += u64::from(counted);
        match engine.submit_with::<K>(job, SubmitOptions::new(class)) {
            Ok(ticket) => {
                let stamp = Arc::new(Stamp {
                    start,
                    at: AtomicU64::new(0),
                });
                let waker = Waker::from(Arc::clone(&stamp));
                let mut context = Context::from_waker(&waker);
                if ticket.poll_answered(&mut context).is_ready() {
                    stamp.set();
                }
                sent.push_back(Sent {
                    ticket,
                    stamp,
                    arrival,
                    urgent,
                });
            }
            Err(SubmitError::QueueFull { .. }) => outcome.refused += u64::from(counted),
            Err(error) => return Err(error.without_job()),
        }
        number += 1;
        if number % 256 == 0 {
            collect(&mut sent, &mut outcome)?;
        }
        arrival += Duration::from_secs_f64(-random.unit().ln() * gap);
    }
    let last = Instant::now() + LAST_ANSWERS;
    while !sent.is_empty() && Instant::now() < last {
        collect(&mut sent, &mut outcome)?;
        std::thread::sleep(NAP);
    }
    outcome.wrong += u64::try_from(sent.len()).unwrap_or(u64::MAX);
    let counted = load.time.saturating_sub(load.warm_up).as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let answered = answered as f64;
    outcome.throughput = answered / counted.max(1e-9);
    outcome.latencies.sort_unstable_by(f64::total_cmp);
    outcome.urgent.sort_unstable_by(f64::total_cmp);
    Ok(outcome)
}
