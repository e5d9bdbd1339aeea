//! The claim on one answer.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use futures_channel::oneshot;

use crate::error::EngineError;
use crate::lane::AnyLane;
use crate::options::Priority;

/// What a ticket is answered with.
pub(crate) type Answer<T> = Result<T, EngineError>;

/// Where a queued job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) priority: Priority,
    pub(crate) group: u64,
    pub(crate) sequence: u64,
}

impl Position {
    /// Class and group.
    pub(crate) const fn key(self) -> (Priority, u64) {
        (self.priority, self.group)
    }
}

/// The claim on the answer of one submitted job.
///
/// A future for any executor, or [`wait`](Self::wait) from a plain thread. Dropping it before the
/// job's batch has started cancels the job; later, the answer is thrown away. A job that others have
/// asked for as well goes on for them.
#[must_use = "dropping a ticket cancels its job"]
pub struct Ticket<T> {
    answer: oneshot::Receiver<Answer<T>>,
    lane: Weak<dyn AnyLane>,
    position: Position,
    /// Which of the job's claims this is.
    id: u64,
    answered: bool,
}

impl<T> std::fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket")
            .field("answered", &self.answered)
            .finish_non_exhaustive()
    }
}

impl<T> Ticket<T> {
    pub(crate) fn new(
        answer: oneshot::Receiver<Answer<T>>,
        lane: Weak<dyn AnyLane>,
        position: Position,
        id: u64,
    ) -> Self {
        Self {
            answer,
            lane,
            position,
            id,
            answered: false,
        }
    }

    /// Waits for the answer, blocking the calling thread. Not for a thread that drives async tasks.
    ///
    /// # Errors
    /// As [`EngineError`] says.
    pub fn wait(self) -> Result<T, EngineError> {
        block_on(self)
    }

    /// The answer, if it is there. Never waits. `None` also after the answer was taken.
    pub fn try_take(&mut self) -> Option<Result<T, EngineError>> {
        if self.answered {
            return None;
        }
        match self.answer.try_recv() {
            Ok(None) => None,
            Ok(Some(answer)) => {
                self.answered = true;
                Some(answer)
            }
            Err(oneshot::Canceled) => {
                self.answered = true;
                Some(Err(EngineError::ShuttingDown))
            }
        }
    }
}

impl<T> Future for Ticket<T> {
    type Output = Result<T, EngineError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.answer).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(answer) => {
                self.answered = true;
                Poll::Ready(answer.unwrap_or(Err(EngineError::ShuttingDown)))
            }
        }
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        if !self.answered
            && let Some(lane) = self.lane.upgrade()
        {
            lane.cancel(self.position, self.id);
        }
    }
}

/// Wakes a parked thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Drives a future on the calling thread, parked while it waits.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
