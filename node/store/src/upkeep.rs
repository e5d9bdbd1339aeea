//! What an operator does with a store: count it, check it, make it smaller.

use crate::{
    BlocksReport, HistoryReport, Kept, PruneProgress, Retention, StateReport, Store, StoreError,
    TableStats, backend::Table, head::read_head, inspect, retention, state,
};

impl Store {
    /// What is there of the past just now.
    ///
    /// # Errors
    ///
    /// As [`Self::header`].
    pub fn kept(&self) -> Result<Kept, StoreError> {
        Kept::read(&*self.backend.snapshot())
    }

    /// How much of the past is to be kept.
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// Takes away the past outside `retention` in batches of about `batch_records` records, telling
    /// `report` after each, and gives the room back. A crash in between loses nothing but the rest
    /// of the work: each batch leaves a whole store with a shorter past. Blocks are accepted
    /// before or after it.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`]; [`StoreError::Corrupt`].
    pub fn prune(
        &self,
        retention: Retention,
        batch_records: usize,
        report: impl FnMut(PruneProgress),
    ) -> Result<PruneProgress, StoreError> {
        let _one_at_a_time = self.committing.lock();
        let (backend, head) = (&*self.backend, self.head_number());
        let done = retention::prune(backend, retention, head, batch_records, report)?;
        if done.records > 0 {
            for table in [Table::AccountHistory, Table::StateChanges] {
                backend.compact(table)?;
            }
        }
        Ok(done)
    }

    /// Records and bytes of a table, counted by reading it.
    ///
    /// # Errors
    ///
    /// As [`Self::header`].
    pub fn table_stats(&self, table: Table) -> Result<TableStats, StoreError> {
        inspect::table_stats(&*self.backend, table)
    }

    /// Bytes of the engine's files by part, without what is in its journal only; nothing for a store
    /// in memory.
    pub fn disk_bytes(&self) -> Vec<(String, u64)> {
        self.backend.disk_bytes()
    }

    /// Recomputes every root of the head's state from the flat records, without using the
    /// stored tries, and then walks those too. It takes time and memory in proportion to the
    /// state; commits may go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError::InconsistentState`] and [`StoreError::Corrupt`] say what is wrong.
    pub fn verify_state(&self) -> Result<StateReport, StoreError> {
        self.verify_state_with(|_| {})
    }

    /// As [`Self::verify_state`]; `report` gets the number of accounts behind it.
    ///
    /// # Errors
    ///
    /// As [`Self::verify_state`].
    pub fn verify_state_with(
        &self,
        mut report: impl FnMut(u64),
    ) -> Result<StateReport, StoreError> {
        let snapshot = self.backend.snapshot();
        let head = read_head(&*snapshot)?;
        state::verify(&snapshot, &head, &mut report)
    }

    /// Checks every block against its header, its parent and the indexes: hashes, roots of
    /// transactions, uncles, withdrawals and receipts, bloom, gas used. Signatures are not
    /// recovered again. `report` gets the number of blocks behind it.
    ///
    /// # Errors
    ///
    /// [`StoreError::InconsistentBlock`] and [`StoreError::Corrupt`] say what is wrong.
    pub fn verify_blocks(&self, mut report: impl FnMut(u64)) -> Result<BlocksReport, StoreError> {
        let snapshot = self.backend.snapshot();
        let head = read_head(&*snapshot)?;
        inspect::verify_blocks(&*snapshot, &head, self.genesis_hash, &mut report)
    }

    /// Takes the state back through all the history that is kept, by a trie over the stored one,
    /// and compares the root before each block with its parent's header, and former trie nodes
    /// with those found on the way. `report` gets the number of blocks behind it. Memory grows
    /// with the part of the state that changed meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Self::verify_blocks`].
    pub fn verify_history(&self, mut report: impl FnMut(u64)) -> Result<HistoryReport, StoreError> {
        let snapshot = self.backend.snapshot();
        let head = read_head(&*snapshot)?;
        let kept = Kept::read(&*snapshot)?;
        state::verify_history(&*snapshot, &head, kept, &mut report)
    }
}
