//! The claim on one answer.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use crate::error::EngineError;
use crate::lane::AnyLane;
use crate::options::Priority;
use crate::sheaf::Sheaf;
use crate::slot::Slot;

/// How long after its job's acceptance a task looks for the answer before it sleeps: about what falling asleep and waking up take a thread.
const MOMENT: Duration = Duration::from_micros(50);

/// Pauses of the processor between two looks, some hundred nanoseconds.
const PAUSES: usize = 16;

/// What a ticket is answered with. An error is rare, and much larger than most answers.
pub(crate) type Answer<T> = Result<T, Box<EngineError>>;

/// Where a queued job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) group: u64,
    /// The job's number in order of arrival, its class in the two lowest bits: there is a position in
    /// every ticket.
    pub(crate) sequence: u64,
}

impl Position {
    pub(crate) fn new(priority: Priority, group: u64, number: u64) -> Self {
        let class = Priority::ALL.iter().position(|class| *class == priority);
        let class = class.and_then(|class| u64::try_from(class).ok());
        Self {
            group,
            sequence: (number << 2) | class.unwrap_or_default(),
        }
    }

    pub(crate) fn priority(self) -> Priority {
        match self.sequence & 3 {
            0 => Priority::Consensus,
            1 => Priority::BlockExecution,
            _ => Priority::Pool,
        }
    }

    /// Class and group.
    pub(crate) fn key(self) -> (Priority, u64) {
        (self.priority(), self.group)
    }
}

/// The claim on the answer of one submitted job.
///
/// A future for any executor, or [`wait`](Self::wait) from a plain thread. The future of a job that is alone in the engine
/// asks to be polled again at once, for some microseconds, as its executor would take longer to wake than the job takes;
/// other tasks have their turns in between. Dropping it before the
/// job's batch has started cancels the job; later, the answer is thrown away. A job that others have
/// asked for as well goes on for them.
#[must_use = "dropping a ticket cancels its job"]
pub struct Ticket<T> {
    slot: Arc<Slot<Answer<T>>>,
    lane: Weak<dyn AnyLane>,
    position: Position,
    look: Look,
}

/// Whether a ticket's task looks for the answer without sleeping.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It has not waited yet.
    Before,
    /// It does.
    Out,
    /// It does not, or not any more.
    Over,
}

impl<T> std::fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket")
            .field("answered", &self.is_answered())
            .finish_non_exhaustive()
    }
}

/// Tells the claims of one job apart, as long as both ends of a claim or either are there.
pub(crate) fn claim_id<T>(slot: &Arc<Slot<Answer<T>>>) -> usize {
    Arc::as_ptr(slot).addr()
}

impl<T> Ticket<T> {
    pub(crate) fn new(
        slot: Arc<Slot<Answer<T>>>,
        lane: Weak<dyn AnyLane>,
        position: Position,
    ) -> Self {
        Self {
            slot,
            lane,
            position,
            look: Look::Before,
        }
    }

    pub(crate) const fn position(&self) -> Position {
        self.position
    }

    /// Whether the answer is there, taken or not.
    pub fn is_answered(&self) -> bool {
        !self.slot.is_open()
    }

    /// Waits for the answer, blocking the calling thread. Not for a thread that drives async tasks.
    ///
    /// # Errors
    /// As [`EngineError`] says.
    pub fn wait(self) -> Result<T, EngineError> {
        block_on(self)
    }

    /// Whether a look in vain should be followed by another at once, as often as that was worth it: a job that is alone is
    /// soon done, and a thread that sleeps takes long to wake. Looks are some way apart, and have an end.
    fn looks_again(&mut self) -> bool {
        let before = std::mem::replace(&mut self.look, Look::Over);
        if before == Look::Over {
            return false;
        }
        let Some(lane) = self.lane.upgrade().filter(|lane| lane.is_quiet()) else {
            return false;
        };
        let soon = self.slot.terms().accepted().elapsed() < MOMENT;
        match before {
            Look::Out if !soon => lane.lookout().failed(),
            Look::Before if !soon || !lane.lookout().is_worth_it() => {}
            _ => {
                self.look = Look::Out;
                for _ in 0..PAUSES {
                    std::hint::spin_loop();
                }
            }
        }
        self.look == Look::Out
    }

    /// The answer came.
    fn looked(&mut self) {
        if std::mem::replace(&mut self.look, Look::Over) == Look::Out
            && let Some(lane) = self.lane.upgrade()
        {
            lane.lookout().succeeded();
        }
    }

    /// The answer, if it is there. Never waits. `None` also after the answer was taken.
    pub fn try_take(&mut self) -> Option<Result<T, EngineError>> {
        let answer = self.slot.take()?;
        Some(answer.map_err(|error| *error))
    }

    /// Ready once the answer is there; it stays where it is. Until then the context's waker is told of
    /// it: the way to learn of an answer without a thread or a task that waits.
    pub fn poll_answered(&self, context: &mut Context<'_>) -> Poll<()> {
        self.slot.poll(context)
    }
}

impl<T> Future for Ticket<T> {
    type Output = Result<T, EngineError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.slot.poll_take(context) {
            Poll::Pending => {
                if self.looks_again() {
                    // The executor comes back after its other tasks, and its thread does not sleep.
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            }
            Poll::Ready(answer) => {
                self.looked();
                Poll::Ready(match answer {
                    Some(answer) => answer.map_err(|error| *error),
                    // Polled again after it was ready, it has nothing more to say.
                    None => Err(EngineError::ShuttingDown),
                })
            }
        }
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        if self.slot.is_open()
            && let Some(lane) = self.lane.upgrade()
        {
            lane.cancel(self.position, claim_id(&self.slot));
        }
    }
}

/// The claims on the answers of jobs that were handed over together. Dropped, it cancels those of the jobs whose
/// batch has not started.
pub(crate) struct Tickets<T> {
    sheaf: Arc<Sheaf<Answer<T>>>,
    lane: Weak<dyn AnyLane>,
    /// Of each job, in their order.
    positions: Vec<Position>,
}

impl<T> Tickets<T> {
    pub(crate) fn new(
        sheaf: Arc<Sheaf<Answer<T>>>,
        lane: Weak<dyn AnyLane>,
        positions: Vec<Position>,
    ) -> Self {
        Self {
            sheaf,
            lane,
            positions,
        }
    }

    /// Where the last job stands.
    pub(crate) fn last(&self) -> Option<Position> {
        self.positions.last().copied()
    }

    /// Whether all answers are there.
    pub(crate) fn is_answered(&self) -> bool {
        self.sheaf.is_full()
    }

    /// Waits until all answers are there.
    pub(crate) async fn answered(&self) {
        std::future::poll_fn(|context| self.sheaf.poll(context)).await;
    }

    /// Moves the answers behind others, up to the first error.
    pub(crate) fn take_into(self, outputs: &mut Vec<T>) -> Result<(), EngineError> {
        for answer in self.sheaf.take() {
            match answer {
                Some(Ok(output)) => outputs.push(output),
                Some(Err(error)) => return Err(*error),
                None => return Err(EngineError::ShuttingDown),
            }
        }
        Ok(())
    }
}

impl<T> Drop for Tickets<T> {
    fn drop(&mut self) {
        let open = self.sheaf.open();
        if open.is_empty() {
            return;
        }
        if let Some(lane) = self.lane.upgrade() {
            for index in open {
                let at = usize::try_from(index).unwrap_or(usize::MAX);
                if let Some(position) = self.positions.get(at) {
                    lane.cancel(*position, self.sheaf.id(index));
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_keeps_class_and_order() {
        for (number, class) in Priority::ALL.into_iter().enumerate() {
            let number = u64::try_from(number).unwrap();
            let position = Position::new(class, 7, number);
            assert_eq!(position.key(), (class, 7));
            assert!(position.sequence < Position::new(Priority::Consensus, 7, number + 1).sequence);
        }
    }
}
