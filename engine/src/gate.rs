//! The bound on accepted work, and the line of callers that wait for room.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use parking_lot::{Condvar, Mutex};

/// How full an engine is. Jobs count from their acceptance to their answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// Jobs accepted and not yet answered.
    pub jobs: usize,
    /// Bound on `jobs`.
    pub max_jobs: usize,
    /// Bytes of those jobs.
    pub bytes: usize,
    /// Bound on `bytes`.
    pub max_bytes: usize,
    /// Callers that wait for room.
    pub waiting: usize,
    /// Most jobs there have been at one time.
    pub peak_jobs: usize,
    /// Most bytes there have been at one time.
    pub peak_bytes: usize,
}

impl fmt::Display for QueueState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} jobs, {} of {} bytes, {} waiting",
            self.jobs, self.max_jobs, self.bytes, self.max_bytes, self.waiting
        )
    }
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full(QueueState),
    TooLarge { bytes: usize, limit: usize },
    Closed,
}

/// Counts jobs and bytes, and admits no more than the bounds allow.
pub(crate) struct Gate {
    max_jobs: usize,
    max_bytes: usize,
    state: Mutex<State>,
    empty: Condvar,
}

#[derive(Default)]
struct State {
    jobs: usize,
    bytes: usize,
    peak_jobs: usize,
    peak_bytes: usize,
    closed: bool,
    next_place: u64,
    /// In order of arrival. `None` in `call` once the caller was told that there may be room.
    line: BTreeMap<u64, Waiting>,
}

struct Waiting {
    bytes: usize,
    call: Option<oneshot::Sender<()>>,
}

impl State {
    fn take(&mut self, bytes: usize) {
        self.jobs += 1;
        self.bytes += bytes;
        self.peak_jobs = self.peak_jobs.max(self.jobs);
        self.peak_bytes = self.peak_bytes.max(self.bytes);
    }
}

impl Gate {
    pub(crate) fn new(max_jobs: usize, max_bytes: usize) -> Self {
        Self {
            max_jobs,
            max_bytes,
            state: Mutex::default(),
            empty: Condvar::new(),
        }
    }

    fn fits(&self, state: &State, bytes: usize) -> bool {
        state.jobs < self.max_jobs
            && state
                .bytes
                .checked_add(bytes)
                .is_some_and(|sum| sum <= self.max_bytes)
    }

    fn describe(&self, state: &State) -> QueueState {
        QueueState {
            jobs: state.jobs,
            max_jobs: self.max_jobs,
            bytes: state.bytes,
            max_bytes: self.max_bytes,
            waiting: state.line.len(),
            peak_jobs: state.peak_jobs,
            peak_bytes: state.peak_bytes,
        }
    }

    pub(crate) fn state(&self) -> QueueState {
        self.describe(&self.state.lock())
    }

    /// Admits one job, or says why not. Never waits.
    pub(crate) fn admit(&self, bytes: usize) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Refusal::Closed);
        }
        if bytes > self.max_bytes {
            return Err(Refusal::TooLarge {
                bytes,
                limit: self.max_bytes,
            });
        }
        if !self.fits(&state, bytes) {
            return Err(Refusal::Full(self.describe(&state)));
        }
        state.take(bytes);
        Ok(())
    }

    /// Admits as many jobs from the front as there is room for, and says how many.
    pub(crate) fn admit_some(&self, sizes: impl Iterator<Item = usize>) -> usize {
        let mut state = self.state.lock();
        let mut admitted = 0;
        if state.closed {
            return 0;
        }
        for bytes in sizes {
            if !self.fits(&state, bytes) {
                break;
            }
            state.take(bytes);
            admitted += 1;
        }
        admitted
    }

    /// Admits one job as soon as there is room. Callers are served in the order of their arrival.
    pub(crate) async fn admit_in_turn(&self, bytes: usize) -> Result<(), Refusal> {
        match self.admit(bytes) {
            Err(Refusal::Full(_)) => {}
            decided => return decided,
        }
        let place = self.line_up();
        loop {
            let called = {
                let mut state = self.state.lock();
                if state.closed {
                    return Err(Refusal::Closed);
                }
                if self.fits(&state, bytes) {
                    state.take(bytes);
                    return Ok(());
                }
                let (call, called) = oneshot::channel();
                state.line.insert(
                    place.number,
                    Waiting {
                        bytes,
                        call: Some(call),
                    },
                );
                called
            };
            // An error means that the gate is gone; the next round sees it closed.
            let _ = called.await;
        }
    }

    fn line_up(&self) -> Place<'_> {
        let mut state = self.state.lock();
        let number = state.next_place;
        state.next_place += 1;
        Place { gate: self, number }
    }

    /// Gives back the room of finished or cancelled jobs.
    pub(crate) fn release(&self, jobs: usize, bytes: usize) {
        let calls = {
            let mut state = self.state.lock();
            state.jobs = state.jobs.saturating_sub(jobs);
            state.bytes = state.bytes.saturating_sub(bytes);
            if state.jobs == 0 {
                self.empty.notify_all();
            }
            self.calls(&mut state)
        };
        for call in calls {
            let _ = call.send(());
        }
    }

    /// The callers at the head of the line for whom there is room now. Those called before and not
    /// yet back keep their share.
    fn calls(&self, state: &mut State) -> Vec<oneshot::Sender<()>> {
        let mut jobs = self.max_jobs.saturating_sub(state.jobs);
        let mut bytes = self.max_bytes.saturating_sub(state.bytes);
        let mut calls = Vec::new();
        for waiting in state.line.values_mut() {
            if jobs == 0 || waiting.bytes > bytes {
                break;
            }
            jobs -= 1;
            bytes -= waiting.bytes;
            calls.extend(waiting.call.take());
        }
        calls
    }

    /// Admits nothing from now on, and sends those in line away.
    pub(crate) fn close(&self) {
        let line = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.line)
        };
        for call in line.into_values().filter_map(|waiting| waiting.call) {
            let _ = call.send(());
        }
    }

    /// Waits until no job is left, at most for `limit`. Whether that came true.
    pub(crate) fn wait_empty(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.state.lock();
        while state.jobs > 0 {
            if self.empty.wait_until(&mut state, deadline).timed_out() {
                return state.jobs == 0;
            }
        }
        true
    }
}

/// A place in the line. Leaving it, served or not, calls the next.
struct Place<'a> {
    gate: &'a Gate,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let calls = {
            let mut state = self.gate.state.lock();
            state.line.remove(&self.number);
            self.gate.calls(&mut state)
        };
        for call in calls {
            let _ = call.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn bounds_hold_in_jobs_and_in_bytes() {
        let gate = Gate::new(2, 100);
        assert_eq!(
            gate.admit(101),
            Err(Refusal::TooLarge {
                bytes: 101,
                limit: 100
            })
        );
        assert_eq!(gate.admit(60), Ok(()));
        assert!(matches!(gate.admit(41), Err(Refusal::Full(state)) if state.bytes == 60));
        assert_eq!(gate.admit(40), Ok(()));
        assert!(matches!(gate.admit(0), Err(Refusal::Full(state)) if state.jobs == 2));
        gate.release(2, 100);
        assert_eq!(gate.admit_some([50, 50, 1].into_iter()), 2);
        assert_eq!(gate.state().peak_bytes, 100);
    }

    #[test]
    fn line_is_served_in_order_and_leavers_pass_the_call_on() {
        let gate = Gate::new(1, 10);
        gate.admit(1).unwrap();
        let mut second = pin!(gate.admit_in_turn(1));
        let mut fourth = pin!(gate.admit_in_turn(1));
        {
            // Called and then dropped before it came back: the call must not be lost.
            let mut first = pin!(gate.admit_in_turn(1));
            assert!(poll(second.as_mut()).is_pending());
            assert!(poll(first.as_mut()).is_pending());
            assert!(poll(fourth.as_mut()).is_pending());
            assert_eq!(gate.state().waiting, 3);
            gate.release(1, 1);
            assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(())));
            assert!(poll(first.as_mut()).is_pending());
            gate.release(1, 1);
        }
        assert_eq!(poll(fourth.as_mut()), Poll::Ready(Ok(())));
        assert_eq!(gate.state().waiting, 0);
    }

    #[test]
    fn closing_sends_the_line_away() {
        let gate = Gate::new(1, 10);
        gate.admit(1).unwrap();
        let mut waiting = pin!(gate.admit_in_turn(1));
        assert!(poll(waiting.as_mut()).is_pending());
        gate.close();
        assert_eq!(poll(waiting.as_mut()), Poll::Ready(Err(Refusal::Closed)));
        assert!(!gate.wait_empty(Duration::from_millis(5)));
        gate.release(1, 1);
        assert!(gate.wait_empty(Duration::from_millis(5)));
    }
}
