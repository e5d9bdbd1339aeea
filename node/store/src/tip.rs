//! What a next block stands on.

use crate::{
    Head, StateView, StoreError,
    backend::Snapshot,
    state::{self, CodeCache, EmptyAccounts, TrieUpdates},
};
use alloy_primitives::B256;
use revm::database::BundleState;
use std::{fmt, sync::Arc};

/// A block and everything after it was applied, as of one moment: later blocks do not change it.
/// Cheap to clone.
#[derive(Clone)]
pub struct Tip {
    head: Arc<Head>,
    snapshot: Arc<dyn Snapshot>,
    codes: Arc<CodeCache>,
}

impl fmt::Debug for Tip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tip")
            .field("number", &self.head.number)
            .field("hash", &self.head.hash)
            .finish_non_exhaustive()
    }
}

impl Tip {
    pub(crate) fn new(head: Arc<Head>, snapshot: Arc<dyn Snapshot>, codes: Arc<CodeCache>) -> Self {
        Self {
            head,
            snapshot,
            codes,
        }
    }

    /// The block.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The state after the block.
    pub fn state(&self) -> StateView {
        StateView::new(
            Arc::clone(&self.snapshot),
            self.head.number,
            self.head.number,
            Arc::clone(&self.codes),
        )
    }

    /// The state root when `state` is applied on top of the block, and the changes that lead to
    /// it. Nothing is written.
    ///
    /// # Errors
    ///
    /// [`StoreError::Engine`], [`StoreError::Corrupt`].
    pub fn state_root(
        &self,
        state: &BundleState,
        empty: EmptyAccounts,
    ) -> Result<(B256, TrieUpdates), StoreError> {
        let snapshot = &*self.snapshot;
        let deltas = state::deltas_of(snapshot, state, empty)?;
        let root = self.head.header.state_root;
        let updates = TrieUpdates::compute(snapshot, self.head.hash, root, deltas)?;
        Ok((updates.root(), updates))
    }
}
