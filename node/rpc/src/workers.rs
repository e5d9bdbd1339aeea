//! Threads for work that may block: reading the store, running the EVM.
//!
//! tokio's own blocking pool wakes a sleeping thread for every call, which costs more than most calls
//! do. Here a thread that is awake takes the next call by itself, and one sleeper at a time is woken
//! where there is more to do.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Semaphore, oneshot};

/// Calls that wait for a thread, for each thread there may be; beyond them callers wait without having
/// handed in anything, so that one who goes away takes his call with him.
const QUEUED_PER_THREAD: usize = 8;

type Job = Box<dyn FnOnce() + Send>;

/// A bounded number of threads, started when they are needed first. They end when this is dropped and
/// what was handed in is done.
#[derive(Debug)]
pub(crate) struct Workers {
    places: Arc<Semaphore>,
    crew: Arc<Crew>,
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// The work panicked.
    #[error("the call broke off")]
    Panicked,
    /// The operating system gives no thread.
    #[error("no thread can be started: {0}")]
    NoThread(String),
    /// The server stops.
    #[error("the server stops")]
    Stopping,
}

#[derive(Debug)]
struct Crew {
    name: &'static str,
    most: usize,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    asleep: usize,
    /// A sleeper was told to wake up and has not come yet.
    waking: bool,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("jobs", &self.jobs.len())
            .field("threads", &self.threads)
            .field("asleep", &self.asleep)
            .finish_non_exhaustive()
    }
}

impl Workers {
    /// At most `most` threads of this name.
    pub(crate) fn new(name: &'static str, most: usize) -> Self {
        let most = most.max(1);
        Self {
            places: Arc::new(Semaphore::new(most.saturating_mul(QUEUED_PER_THREAD))),
            crew: Arc::new(Crew {
                name,
                most,
                state: Mutex::default(),
                wake: Condvar::new(),
            }),
        }
    }

    /// The result of `work`, on one of the threads. What has begun is finished even if nobody waits for it
    /// any more, so that a client that hangs up and asks again cannot fill the machine.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Broken> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| Broken::Stopping)?;
        let (answer, result) = oneshot::channel();
        self.crew.push(Box::new(move || {
            if !answer.is_closed() {
                // Nobody may be there any more.
                let _ = answer.send(work());
            }
            drop(place);
        }))?;
        result.await.map_err(|_| Broken::Panicked)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.crew.state.lock().closed = true;
        self.crew.wake.notify_all();
    }
}

impl Crew {
    fn push(self: &Arc<Self>, job: Job) -> Result<(), Broken> {
        let mut state = self.state.lock();
        // A sleeper for each job that waits already, and none for this one.
        if state.asleep <= state.jobs.len() && state.threads < self.most {
            let crew = Arc::clone(self);
            let started = thread::Builder::new()
                .name(self.name.to_owned())
                .spawn(move || crew.work());
            match started {
                Ok(_) => state.threads += 1,
                // Those that are there will do it.
                Err(error) if state.threads > 0 => {
                    tracing::warn!(%error, "no further thread can be started");
                }
                Err(error) => return Err(Broken::NoThread(error.to_string())),
            }
        }
        state.jobs.push_back(job);
        self.wake_one(&mut state);
        Ok(())
    }

    /// Wakes a sleeper if there is work and none is on its way.
    fn wake_one(&self, state: &mut State) {
        if !state.jobs.is_empty() && state.asleep > 0 && !state.waking {
            state.waking = true;
            self.wake.notify_one();
        }
    }

    /// The life of a thread.
    fn work(&self) {
        while let Some(job) = self.next() {
            // A panic is one call's, which sees its answer's channel closed; it was reported already.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// The next job; `None` when there will be none.
    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                self.wake_one(&mut state);
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state.asleep += 1;
            self.wake.wait(&mut state);
            state.asleep -= 1;
            state.waking = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    }

    /// A call that runs until the sender is gone.
    type Blocked = (
        mpsc::Sender<()>,
        tokio::task::JoinHandle<Result<(), Broken>>,
    );

    fn block(workers: &Arc<Workers>, running: &Arc<AtomicUsize>) -> Blocked {
        let (go, wait) = mpsc::channel::<()>();
        let (workers, running) = (Arc::clone(workers), Arc::clone(running));
        let task = tokio::spawn(async move {
            let work = move || {
                running.fetch_add(1, Ordering::SeqCst);
                let _ = wait.recv();
            };
            workers.run(work).await
        });
        (go, task)
    }

    async fn until(condition: impl Fn() -> bool) {
        for _ in 0..1_000 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it never came to that");
    }

    #[test]
    fn every_call_is_answered_by_its_own_work() {
        runtime().block_on(async {
            let workers = Arc::new(Workers::new("test", 3));
            let all: Vec<_> = (0..5_000_u64)
                .map(|number| {
                    let workers = Arc::clone(&workers);
                    tokio::spawn(async move { workers.run(move || number * 3).await })
                })
                .collect();
            for (number, task) in (0..).zip(all) {
                assert_eq!(task.await.unwrap(), Ok(number * 3));
            }
        });
    }

    #[test]
    fn calls_run_side_by_side_up_to_the_bound_and_no_further() {
        runtime().block_on(async {
            let (workers, running) = (Arc::new(Workers::new("test", 3)), Arc::default());
            let held: Vec<_> = (0..8).map(|_| block(&workers, &running)).collect();
            until(|| running.load(Ordering::SeqCst) == 3).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(running.load(Ordering::SeqCst), 3);
            // Any three of them may be running.
            let (go, tasks): (Vec<_>, Vec<_>) = held.into_iter().unzip();
            drop(go);
            for task in tasks {
                task.await.unwrap().unwrap();
            }
            assert_eq!(running.load(Ordering::SeqCst), 8);
            // Three threads that are asleep all come back.
            let held: Vec<_> = (0..3).map(|_| block(&workers, &running)).collect();
            until(|| running.load(Ordering::SeqCst) == 11).await;
            drop(held);
        });
    }

    #[test]
    fn a_sleeper_on_its_way_to_one_call_keeps_no_other_waiting() {
        let workers = Workers::new("test", 2);
        // A sleeper that takes its time to wake.
        *workers.crew.state.lock() = State {
            threads: 1,
            asleep: 1,
            ..State::default()
        };
        for threads in [1, 2] {
            workers.crew.push(Box::new(|| ())).unwrap();
            assert_eq!(workers.crew.state.lock().threads, threads);
        }
    }

    #[test]
    fn a_panic_is_one_calls() {
        runtime().block_on(async {
            let workers = Workers::new("test", 1);
            let broken = workers.run(|| panic!("on purpose")).await;
            assert_eq!(broken, Err::<(), _>(Broken::Panicked));
            assert_eq!(workers.run(|| 5).await, Ok(5));
        });
    }

    #[test]
    fn a_call_that_nobody_waits_for_is_not_begun() {
        runtime().block_on(async {
            let (workers, running) = (Arc::new(Workers::new("test", 1)), Arc::default());
            let (go, first) = block(&workers, &running);
            until(|| running.load(Ordering::SeqCst) == 1).await;
            // One that waits for a thread, and more than may wait for one.
            let given_up: Vec<_> = (0..3 * QUEUED_PER_THREAD)
                .map(|_| block(&workers, &running).1)
                .collect();
            tokio::time::sleep(Duration::from_millis(50)).await;
            for task in &given_up {
                task.abort();
            }
            for task in given_up {
                assert!(task.await.unwrap_err().is_cancelled());
            }
            drop(go);
            first.await.unwrap().unwrap();
            assert_eq!(workers.run(|| 7).await, Ok(7));
            assert_eq!(running.load(Ordering::SeqCst), 1);
        });
    }

    #[test]
    fn threads_end_with_the_workers() {
        runtime().block_on(async {
            let workers = Workers::new("test", 2);
            workers.run(|| ()).await.unwrap();
            let crew = Arc::downgrade(&workers.crew);
            drop(workers);
            until(|| crew.strong_count() == 0).await;
        });
    }
}
