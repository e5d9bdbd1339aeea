//! What a caller says of a job besides the job itself.

use std::fmt;
use std::time::{Duration, Instant};

/// Which work goes first. A class is served before any job of a later one is.
///
/// Pool and gossip may fill only three quarters of the queue's bounds, so that a flood of them leaves
/// room for the others; and whoever waits for room is let in before callers of later classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Votes and certificates: a round waits for them.
    Consensus,
    /// What executing or checking a block asks.
    #[default]
    BlockExecution,
    /// Transactions and messages that nobody waits for yet.
    Pool,
}

impl Priority {
    /// All classes, the first served first.
    pub const ALL: [Self; 3] = [Self::Consensus, Self::BlockExecution, Self::Pool];
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Consensus => "consensus",
            Self::BlockExecution => "block execution",
            Self::Pool => "pool",
        })
    }
}

/// What a caller says of its jobs besides the jobs themselves. The default is block execution, no
/// deadline and no name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubmitOptions {
    /// The class of the jobs.
    pub priority: Priority,
    /// A job whose batch has not started by then is answered with
    /// [`EngineError::DeadlineExceeded`](crate::EngineError::DeadlineExceeded), at the latest when the
    /// batches that run then are done. One that has started is answered rightly, however late.
    pub deadline: Option<Instant>,
    /// Who asks, such as the number of a peer. Jobs of one name together keep to the quota of
    /// [`EngineBuilder::caller_jobs`](crate::EngineBuilder::caller_jobs).
    pub caller: Option<u64>,
}

impl SubmitOptions {
    /// Jobs of a class.
    #[must_use]
    pub const fn new(priority: Priority) -> Self {
        Self {
            priority,
            deadline: None,
            caller: None,
        }
    }

    /// With a deadline.
    #[must_use]
    pub const fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// With a deadline this long from now. None if that is beyond what the clock can say.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.deadline = Instant::now().checked_add(time);
        self
    }

    /// Under the name of a caller.
    #[must_use]
    pub const fn caller(mut self, caller: u64) -> Self {
        self.caller = Some(caller);
        self
    }

    /// Whether the deadline has passed.
    pub(crate) fn late(&self) -> bool {
        is_late(self.deadline)
    }
}

/// Whether a deadline has passed.
pub(crate) fn is_late(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}
