//! Counters of the executor.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::senders::SenderStats;

/// What the executor did since it was made; all counts only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecutorStats {
    /// Blocks built.
    pub blocks_built: u64,
    /// Blocks verified, the invalid ones among them.
    pub blocks_verified: u64,
    /// Blocks found invalid.
    pub blocks_invalid: u64,
    /// Transactions run in built and verified blocks.
    pub transactions: u64,
    /// Gas those transactions used.
    pub gas: u64,
    /// Those of them whose outcome was known when their turn came, as they had been run on a second thread.
    pub adopted: u64,
    /// Questions found ahead of execution by reading a transaction that calls a precompile.
    pub questions_static: u64,
    /// Questions found ahead of execution by running a transaction on throw-away state.
    pub questions_speculative: u64,
    /// Batches handed to the engine, one a block at most.
    pub batches: u64,
    /// Largest of them.
    pub largest_batch: u64,
    /// Batches the engine could not answer; their questions were answered one by one.
    pub failed_batches: u64,
    /// Gas spent on throw-away runs.
    pub speculative_gas: u64,
    /// Calls not run so, as their contract has asked nothing for long.
    pub passed_over: u64,
    /// Time spent looking for questions, in microseconds.
    pub collect_micros: u64,
    /// Time spent waiting for the engine's batch, in microseconds.
    pub answer_micros: u64,
    /// Time spent executing blocks for good, in microseconds.
    pub execute_micros: u64,
    /// Questions asked during execution that had their answer ready.
    pub memo_hits: u64,
    /// Questions asked during execution that were answered then, on the CPU.
    pub memo_misses: u64,
    /// What was done for the senders of transactions.
    pub senders: SenderStats,
}

macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        /// The live counters behind [`ExecutorStats`].
        #[derive(Default)]
        pub(crate) struct Counters { $(pub(crate) $name: AtomicU64,)* }

        impl Counters {
            /// The counts now; the memo's own are added by the executor.
            pub(crate) fn snapshot(&self) -> ExecutorStats {
                ExecutorStats { $($name: self.$name.load(Relaxed),)* ..ExecutorStats::default() }
            }
        }
    };
}

counters!(
    blocks_built,
    blocks_verified,
    blocks_invalid,
    transactions,
    gas,
    adopted,
    questions_static,
    questions_speculative,
    batches,
    largest_batch,
    failed_batches,
    speculative_gas,
    passed_over,
    collect_micros,
    answer_micros,
    execute_micros,
);

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, amount: impl TryInto<u64>) {
    counter.fetch_add(amount.try_into().unwrap_or(u64::MAX), Relaxed);
}
