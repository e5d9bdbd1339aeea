//! How much of the past is kept, and how the rest goes.

use crate::{
    StoreError,
    backend::{Backend, Batch, Snapshot, Table},
    codec::{self, meta},
    state::{StateChanges, TrieChanges},
};

/// Blocks behind the window that one accepted block takes away at most: a store whose window was
/// made smaller shrinks slowly beside its work, or at once by [`crate::Store::prune`].
const BLOCKS_A_COMMIT: u64 = 4;

/// How much of the past is kept. Blocks, receipts and their indexes stay for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How many blocks before the head have their state, at least 1; `None` keeps every state (an
    /// archive).
    pub states: Option<u64>,
    /// How many blocks before the head have their trie nodes, which proofs need; at least 1.
    pub proofs: u64,
}

impl Retention {
    /// States for ever, proofs for the usual window.
    pub const ARCHIVE: Self = Self {
        states: None,
        proofs: 256,
    };
}

impl Default for Retention {
    /// As many states as geth keeps by default, 90,000 (ten hours at 400 ms), and proofs of 256
    /// blocks.
    fn default() -> Self {
        Self {
            states: Some(90_000),
            ..Self::ARCHIVE
        }
    }
}

/// What is there of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Oldest block whose state can be read.
    pub oldest_state: u64,
    /// Oldest block in which accounts can be proven.
    pub oldest_proof: u64,
}

impl Kept {
    pub(crate) fn read(snapshot: &dyn Snapshot) -> Result<Self, StoreError> {
        Ok(Self {
            oldest_state: codec::meta_number(snapshot, meta::OLDEST_STATE)?,
            oldest_proof: codec::meta_number(snapshot, meta::OLDEST_PROOF)?,
        })
    }

    pub(crate) fn write(self, batch: &mut Batch) {
        let (state, proof) = (self.oldest_state, self.oldest_proof);
        batch.put(Table::Meta, meta::OLDEST_STATE, state.to_be_bytes());
        batch.put(Table::Meta, meta::OLDEST_PROOF, proof.to_be_bytes());
    }

    /// What is to be there when block `head` is the last one. What is gone does not come back.
    fn wanted(self, retention: Retention, head: u64) -> Self {
        let states = retention
            .states
            .map_or(0, |states| head.saturating_sub(states.max(1)));
        let proofs = head.saturating_sub(retention.proofs.max(1));
        Self {
            oldest_state: self.oldest_state.max(states),
            // Proofs need the values too.
            oldest_proof: self.oldest_proof.max(proofs).max(states),
        }
    }

    /// One block less; whether there was one to go.
    fn step(
        &mut self,
        wanted: Self,
        snapshot: &dyn Snapshot,
        batch: &mut Batch,
    ) -> Result<bool, StoreError> {
        let mut stepped = false;
        if self.oldest_proof < wanted.oldest_proof {
            self.oldest_proof += 1;
            TrieChanges::read(snapshot, self.oldest_proof)?.forget(self.oldest_proof, batch);
            stepped = true;
        }
        if self.oldest_state < wanted.oldest_state {
            self.oldest_state += 1;
            StateChanges::read(snapshot, self.oldest_state)?.forget(self.oldest_state, batch);
            stepped = true;
        }
        Ok(stepped)
    }
}

/// Adds to the batch that makes block `head` the last one what then falls out of the window.
pub(crate) fn fall_out(
    snapshot: &dyn Snapshot,
    retention: Retention,
    head: u64,
    batch: &mut Batch,
) -> Result<(), StoreError> {
    let mut kept = Kept::read(snapshot)?;
    // The block itself is not in the snapshot; it is inside every window.
    let wanted = kept.wanted(retention, head);
    let mut changed = false;
    for _ in 0..BLOCKS_A_COMMIT {
        if !kept.step(wanted, snapshot, batch)? {
            break;
        }
        changed = true;
    }
    if changed {
        kept.write(batch);
    }
    Ok(())
}

/// How far pruning has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneProgress {
    /// Blocks whose past was taken away.
    pub blocks: u64,
    /// How many there are to do.
    pub total: u64,
    /// Records removed.
    pub records: u64,
}

/// Takes away everything outside the window, in batches of about `batch_records` records; each
/// leaves a whole store with a shorter past.
pub(crate) fn prune(
    backend: &dyn Backend,
    retention: Retention,
    head: u64,
    batch_records: usize,
    mut report: impl FnMut(PruneProgress),
) -> Result<PruneProgress, StoreError> {
    let mut kept = Kept::read(&*backend.snapshot())?;
    let wanted = kept.wanted(retention, head);
    let mut progress = PruneProgress {
        total: (wanted.oldest_state - kept.oldest_state)
            .max(wanted.oldest_proof - kept.oldest_proof),
        ..Default::default()
    };
    loop {
        let snapshot = backend.snapshot();
        let mut batch = Batch::new();
        let mut more = true;
        while more && batch.len() < batch_records.max(1) {
            more = kept.step(wanted, &*snapshot, &mut batch)?;
            progress.blocks += u64::from(more);
        }
        if batch.is_empty() {
            return Ok(progress);
        }
        progress.records += u64::try_from(batch.len()).unwrap_or(u64::MAX);
        kept.write(&mut batch);
        backend.commit(batch)?;
        report(progress);
    }
}
