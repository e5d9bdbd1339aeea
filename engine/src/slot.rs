//! Where one answer is left for the ticket that waits for it.

use std::num::NonZeroU64;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::gate::Load;
use crate::options::Priority;
use crate::sync::Mutex;

/// Filled once by whoever has the answer, emptied once by the ticket. Holds what is fixed about a
/// claim as well, in few bytes: there is one for every job in flight.
pub(crate) struct Slot<T> {
    accepted: Instant,
    /// Nanoseconds after `accepted`.
    deadline: Option<NonZeroU64>,
    caller: u64,
    named: bool,
    priority: Priority,
    state: Mutex<State<T>>,
}

enum State<T> {
    /// No answer yet, and who is to be told.
    Open(Option<Waker>),
    Filled(T),
    Emptied,
}

impl<T> Slot<T> {
    pub(crate) fn new(accepted: Instant, deadline: Option<Instant>, load: &Load) -> Self {
        let deadline = deadline.map(|deadline| {
            let nanos = deadline.saturating_duration_since(accepted).as_nanos();
            NonZeroU64::new(u64::try_from(nanos).unwrap_or(u64::MAX)).unwrap_or(NonZeroU64::MIN)
        });
        Self {
            accepted,
            deadline,
            caller: load.caller.unwrap_or_default(),
            named: load.caller.is_some(),
            priority: load.priority,
            state: Mutex::new(State::Open(None)),
        }
    }

    pub(crate) const fn accepted(&self) -> Instant {
        self.accepted
    }

    /// `None` also where the deadline is beyond what the clock can say.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let after = Duration::from_nanos(self.deadline?.get());
        self.accepted.checked_add(after)
    }

    pub(crate) const fn priority(&self) -> Priority {
        self.priority
    }

    pub(crate) fn caller(&self) -> Option<u64> {
        self.named.then_some(self.caller)
    }

    /// Leaves the answer and wakes the ticket. A second answer is dropped.
    pub(crate) fn fill(&self, answer: T) {
        let waker = {
            let mut state = self.state.lock();
            match &mut *state {
                State::Open(waker) => {
                    let waker = waker.take();
                    *state = State::Filled(answer);
                    waker
                }
                State::Filled(_) | State::Emptied => None,
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether there is no answer yet.
    pub(crate) fn is_open(&self) -> bool {
        matches!(*self.state.lock(), State::Open(_))
    }

    /// The answer, if it is there and was not taken before.
    pub(crate) fn take(&self) -> Option<T> {
        let mut state = self.state.lock();
        match *state {
            State::Filled(_) => match std::mem::replace(&mut *state, State::Emptied) {
                State::Filled(answer) => Some(answer),
                State::Open(_) | State::Emptied => None,
            },
            State::Open(_) | State::Emptied => None,
        }
    }

    /// Ready when an answer has been left, taken or not; else the waker is told of it.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        // A waker dropped under the lock could come back to it.
        let _old;
        let mut state = self.state.lock();
        match &mut *state {
            State::Open(waker) => {
                if !waker
                    .as_ref()
                    .is_some_and(|waker| waker.will_wake(context.waker()))
                {
                    _old = waker.replace(context.waker().clone());
                }
                Poll::Pending
            }
            State::Filled(_) | State::Emptied => Poll::Ready(()),
        }
    }
}
