//! Where one answer is left for the ticket that waits for it.

use std::num::NonZeroU64;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::gate::Load;
use crate::options::Priority;
use crate::sync::Mutex;

/// What is fixed about a claim, in few bytes: there is one for every job in flight.
pub(crate) struct Terms {
    accepted: Instant,
    /// Nanoseconds after `accepted`.
    deadline: Option<NonZeroU64>,
    caller: u64,
    named: bool,
    priority: Priority,
}

impl Terms {
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
}

/// Filled once by whoever has the answer, emptied once by the ticket.
pub(crate) struct Slot<T> {
    terms: Terms,
    state: Mutex<State<T>>,
}

enum State<T> {
    /// No answer yet, and who is to be told.
    Open(Option<Waker>),
    Filled(T),
    Emptied,
}

impl<T> State<T> {
    /// The answer, if it is there and was not taken before.
    fn take(&mut self) -> Option<T> {
        match self {
            Self::Filled(_) => match std::mem::replace(self, Self::Emptied) {
                Self::Filled(answer) => Some(answer),
                Self::Open(_) | Self::Emptied => None,
            },
            Self::Open(_) | Self::Emptied => None,
        }
    }
}

impl<T> Slot<T> {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            terms,
            state: Mutex::new(State::Open(None)),
        }
    }

    pub(crate) const fn terms(&self) -> &Terms {
        &self.terms
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
        self.state.lock().take()
    }

    /// Ready when an answer has been left, taken or not; else the waker is told of it.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        self.look(context, |_| ())
    }

    /// Ready with the answer, if nobody took it before; else the waker is told of it.
    pub(crate) fn poll_take(&self, context: &Context<'_>) -> Poll<Option<T>> {
        self.look(context, State::take)
    }

    fn look<R>(&self, context: &Context<'_>, ready: impl FnOnce(&mut State<T>) -> R) -> Poll<R> {
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
            State::Filled(_) | State::Emptied => Poll::Ready(ready(&mut state)),
        }
    }
}
