//! The corners where threads wait for each other, under a scheduler that chooses who goes on: every order of a
//! small case, or thousands of random ones. A lost wake-up is a deadlock here, and a deadlock is a failure.
//!
//! The files under test are compiled anew, against the model checker's locks instead of the real ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../src/crew.rs"]
mod crew;
#[path = "../src/gate.rs"]
#[allow(dead_code)]
mod gate;
#[path = "../src/options.rs"]
#[allow(dead_code)]
mod options;
#[path = "../src/sheaf.rs"]
#[allow(dead_code)]
mod sheaf;
#[path = "../src/signal.rs"]
mod signal;
#[path = "../src/slot.rs"]
#[allow(dead_code)]
mod slot;

/// The interface of `parking_lot` over the model checker's locks.
mod sync {
    use std::ops::{Deref, DerefMut};
    use std::time::Instant;

    #[derive(Default)]
    pub struct Mutex<T>(shuttle::sync::Mutex<T>);

    /// Empty only within a wait.
    pub struct Guard<'a, T>(Option<shuttle::sync::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub fn lock(&self) -> Guard<'_, T> {
            Guard(Some(self.0.lock().unwrap()))
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.0.as_ref().unwrap()
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().unwrap()
        }
    }

    #[derive(Default)]
    pub struct Condvar(shuttle::sync::Condvar);

    pub struct Waited;

    impl Waited {
        pub fn timed_out(&self) -> bool {
            false
        }
    }

    impl Condvar {
        pub fn new() -> Self {
            Self(shuttle::sync::Condvar::new())
        }

        pub fn notify_all(&self) {
            self.0.notify_all();
        }

        pub fn wait<T>(&self, guard: &mut Guard<'_, T>) {
            guard.0 = Some(self.0.wait(guard.0.take().unwrap()).unwrap());
        }

        /// Time does not pass here: whoever waits has to be told.
        pub fn wait_until<T>(&self, guard: &mut Guard<'_, T>, _: Instant) -> Waited {
            self.wait(guard);
            Waited
        }
    }
}

use std::sync::Arc;
use std::time::{Duration, Instant};

use crew::Crew;
use gate::{Bounds, Gate, Load, Refusal};
use sheaf::Sheaf;
use shuttle::future::block_on;
use shuttle::thread::spawn;
use signal::Signal;
use slot::{Slot, Terms};
use sync::Mutex;

/// Orders that a random test tries.
const ORDERS: usize = 3_000;

fn random(test: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(test, ORDERS);
}

fn every(test: impl Fn() + Send + Sync + 'static) {
    shuttle::check_dfs(test, Some(100_000));
}

#[test]
fn a_signal_is_never_missed() {
    every(|| {
        let shared = Arc::new((Signal::default(), Mutex::new(false)));
        let raiser = {
            let shared = Arc::clone(&shared);
            spawn(move || {
                *shared.1.lock() = true;
                shared.0.raise();
            })
        };
        loop {
            let seen = shared.0.count();
            if *shared.1.lock() {
                break;
            }
            shared.0.wait(seen, None);
        }
        raiser.join().unwrap();
    });
}

fn terms() -> Terms {
    Terms::new(Instant::now(), None, &Load::default())
}

/// Three answers by two threads: whoever waits is woken by the last of them.
#[test]
fn the_last_answer_of_a_sheaf_wakes_its_caller() {
    every(|| {
        let sheaf: Arc<Sheaf<u8>> = Arc::new(Sheaf::new(terms(), 3));
        let fillers = [vec![(0, 1), (2, 3)], vec![(1, 2)]].map(|answers| {
            let sheaf = Arc::clone(&sheaf);
            spawn(move || sheaf.fill(answers))
        });
        block_on(std::future::poll_fn(|context| sheaf.poll(context)));
        assert!(sheaf.is_full() && sheaf.open().is_empty());
        assert_eq!(*sheaf.take(), [Some(1), Some(2), Some(3)]);
        for filler in fillers {
            filler.join().unwrap();
        }
    });
}

#[test]
fn the_first_answer_reaches_the_ticket() {
    every(|| {
        let slot: Arc<Slot<u8>> = Arc::new(Slot::new(terms()));
        let fillers = [1, 2].map(|answer| {
            let slot = Arc::clone(&slot);
            spawn(move || slot.fill(answer))
        });
        block_on(std::future::poll_fn(|context| slot.poll(context)));
        let answer = slot.take().expect("an answer is there");
        assert!(answer == 1 || answer == 2);
        for filler in fillers {
            filler.join().unwrap();
        }
        assert_eq!(slot.take(), None, "a second answer was kept");
    });
}

#[test]
fn the_ticket_is_woken_by_the_waker_it_gave_last() {
    random(|| {
        let slot: Arc<Slot<u8>> = Arc::new(Slot::new(terms()));
        let filler = {
            let slot = Arc::clone(&slot);
            spawn(move || slot.fill(7))
        };
        // Polled by one task, then handed to another.
        let other = {
            let slot = Arc::clone(&slot);
            spawn(move || {
                let context = std::task::Context::from_waker(std::task::Waker::noop());
                let _ = slot.poll(&context);
            })
        };
        other.join().unwrap();
        block_on(std::future::poll_fn(|context| slot.poll(context)));
        assert_eq!(slot.take(), Some(7));
        filler.join().unwrap();
    });
}

fn gate(jobs: usize) -> Gate {
    Gate::new(Bounds {
        jobs,
        bytes: 100,
        work: u64::MAX,
        caller_jobs: 100,
    })
}

fn load() -> Load {
    Load {
        bytes: 1,
        ..Load::default()
    }
}

#[test]
fn whoever_waits_for_room_gets_it() {
    random(|| {
        let gate = Arc::new(gate(1));
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let gate = Arc::clone(&gate);
                spawn(move || {
                    block_on(gate.admit_in_turn(&load(), None)).unwrap();
                    assert_eq!(gate.state().jobs, 1);
                    gate.release([load()]);
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
        let state = gate.state();
        assert_eq!((state.jobs, state.waiting), (0, 0));
    });
}

#[test]
fn a_caller_who_leaves_the_line_passes_the_call_on() {
    random(|| {
        let gate = Arc::new(gate(1));
        gate.admit(&load()).unwrap();
        let leaver = {
            let gate = Arc::clone(&gate);
            spawn(move || {
                let load = load();
                let mut waiting = Box::pin(gate.admit_in_turn(&load, None));
                let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                // Goes after one look; with the room, if that was just free.
                let served = waiting.as_mut().poll(&mut context).is_ready();
                drop(waiting);
                if served {
                    gate.release([load]);
                }
            })
        };
        let stayer = {
            let gate = Arc::clone(&gate);
            spawn(move || {
                block_on(gate.admit_in_turn(&load(), None)).unwrap();
                gate.release([load()]);
            })
        };
        gate.release([load()]);
        leaver.join().unwrap();
        stayer.join().unwrap();
        assert_eq!(gate.state().jobs, 0);
    });
}

#[test]
fn closing_reaches_all_in_line_and_the_last_job_ends_the_wait() {
    random(|| {
        let gate = Arc::new(gate(1));
        gate.admit(&load()).unwrap();
        let waiting = {
            let gate = Arc::clone(&gate);
            spawn(move || block_on(gate.admit_in_turn(&load(), None)))
        };
        let worker = {
            let gate = Arc::clone(&gate);
            spawn(move || gate.release([load()]))
        };
        gate.close();
        match waiting.join().unwrap() {
            Ok(()) => gate.release([load()]),
            Err(refusal) => assert_eq!(refusal, Refusal::Closed),
        }
        assert!(gate.wait_empty(Duration::from_secs(1)));
        worker.join().unwrap();
    });
}

/// Jobs brought by two threads, for at most one worker: none is left lying.
#[test]
fn no_work_is_left_when_the_crew_goes_home() {
    random(|| {
        let place = Arc::new((Crew::new(1), Mutex::new(0_usize), Mutex::new(Vec::new())));
        let work = |place: Arc<(Crew, Mutex<usize>, Mutex<Vec<_>>)>| {
            loop {
                loop {
                    let mut jobs = place.1.lock();
                    if *jobs == 0 {
                        break;
                    }
                    *jobs -= 1;
                }
                if !place.0.leave(|| *place.1.lock() > 0) {
                    return;
                }
            }
        };
        let bringers: Vec<_> = (0..2)
            .map(|_| {
                let place = Arc::clone(&place);
                spawn(move || {
                    for _ in 0..2 {
                        *place.1.lock() += 1;
                        if !place.0.is_full() && place.0.join() {
                            let worker = {
                                let place = Arc::clone(&place);
                                spawn(move || work(place))
                            };
                            place.2.lock().push(worker);
                        }
                    }
                })
            })
            .collect();
        for bringer in bringers {
            bringer.join().unwrap();
        }
        let workers = std::mem::take(&mut *place.2.lock());
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(*place.1.lock(), 0, "work was left");
    });
}
