//! The state: what a block changes in it, its root, and views of it after any block.

mod block_state;
mod changes;
mod code;
mod diff;
mod history;
mod keys;
mod nodelog;
mod proof;
mod resident;
mod root;
mod verify;
mod view;

pub use block_state::{BlockState, Changes};
pub(crate) use changes::{StateChanges, TrieChanges};
pub(crate) use code::CodeCache;
pub(crate) use diff::Balances;
pub use diff::StateDiff;
pub use history::HistoryReport;
pub(crate) use history::verify as verify_history;
pub use keys::KnownPaths;
pub(crate) use proof::prove;
pub use proof::{AccountProof, SlotProof};
pub(crate) use resident::NodeCache;
pub(crate) use root::{AccountDelta, Nodes, ResidentNodes, SlotDelta, deltas_of, write_state};
pub use root::{EmptyAccounts, TrieUpdates};
pub use verify::StateReport;
pub(crate) use verify::{check_root, verify};
pub use view::{Account, StateView};

use crate::{
    StoreError,
    backend::{Record, Snapshot, Table},
    codec,
    trie::NodeSource,
};
use alloy_primitives::Address;
use alloy_trie::Nibbles;

/// The stored nodes of the account trie, or of an account's storage trie, as of a block.
#[derive(Clone, Copy)]
pub(crate) struct StoredNodes<'a> {
    snapshot: &'a dyn Snapshot,
    table: Table,
    history: Table,
    prefix: &'a [u8],
    /// The block, where it is not the snapshot's last one.
    number: Option<u64>,
}

impl<'a> StoredNodes<'a> {
    /// Of the account trie after the snapshot's last block.
    pub(crate) fn accounts(snapshot: &'a dyn Snapshot) -> Self {
        Self {
            snapshot,
            table: Table::AccountTrie,
            history: Table::AccountTrieHistory,
            prefix: &[],
            number: None,
        }
    }

    /// Of an account's storage trie after the snapshot's last block.
    pub(crate) fn storage(snapshot: &'a dyn Snapshot, address: &'a Address) -> Self {
        Self {
            snapshot,
            table: Table::StorageTrie,
            history: Table::StorageTrieHistory,
            prefix: address.as_slice(),
            number: None,
        }
    }

    /// The same trie after block `number`; `None` for the snapshot's last one.
    pub(crate) fn after(self, number: Option<u64>) -> Self {
        Self { number, ..self }
    }
}

impl NodeSource for StoredNodes<'_> {
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(number) = self.number {
            let tables = (self.table, self.history);
            return nodelog::node_after(self.snapshot, tables, self.prefix, path, number);
        }
        let key = codec::path_key(self.prefix, path);
        self.snapshot.get(self.table, &key)
    }

    fn damaged(&self, path: &Nibbles, reason: String) -> StoreError {
        StoreError::corrupt(self.table, &codec::path_key(self.prefix, path), reason)
    }
}

/// The first record of `subject` in a history table that is of a block after `number`: its value
/// is what the subject was after `number`. `None`: it is still what it was.
pub(crate) fn changed_after(
    snapshot: &dyn Snapshot,
    history: Table,
    subject: &[u8],
    number: u64,
) -> Result<Option<Record>, StoreError> {
    let start = codec::history_key(subject, number.saturating_add(1));
    let end = codec::history_key(subject, u64::MAX);
    snapshot
        .range(history, &start, Some(&end))
        .next()
        .transpose()
}
