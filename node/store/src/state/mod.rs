//! The state: what a block changes in it, its root, and views of it after any block.

mod code;
mod proof;
mod root;
mod verify;
mod view;

pub(crate) use code::CodeCache;
pub(crate) use proof::prove;
pub use proof::{AccountProof, SlotProof};
pub(crate) use root::{AccountDelta, SlotDelta, deltas_of, write_state};
pub use root::{EmptyAccounts, TrieUpdates};
pub use verify::StateReport;
pub(crate) use verify::{check_root, verify};
pub use view::{Account, StateView};

use crate::{
    StoreError,
    backend::{Snapshot, Table},
    codec,
    trie::NodeSource,
};
use alloy_primitives::{Address, U256};
use alloy_trie::{Nibbles, TrieAccount};

/// An account as of the snapshot's last block.
pub(crate) fn read_account(
    snapshot: &dyn Snapshot,
    address: &Address,
) -> Result<Option<TrieAccount>, StoreError> {
    let key = address.as_slice();
    snapshot
        .get(Table::Accounts, key)?
        .map(|value| codec::rlp(Table::Accounts, key, &value))
        .transpose()
}

/// A slot as of the snapshot's last block.
pub(crate) fn read_slot(
    snapshot: &dyn Snapshot,
    address: &Address,
    slot: &U256,
) -> Result<U256, StoreError> {
    let key = codec::slot_key(address, slot);
    match snapshot.get(Table::Storage, &key)? {
        Some(value) => codec::decode_slot(Table::Storage, &key, &value),
        None => Ok(U256::ZERO),
    }
}

/// The stored nodes of the account trie, or of an account's storage trie.
#[derive(Clone, Copy)]
pub(crate) struct StoredNodes<'a> {
    snapshot: &'a dyn Snapshot,
    table: Table,
    prefix: &'a [u8],
}

impl<'a> StoredNodes<'a> {
    pub(crate) fn accounts(snapshot: &'a dyn Snapshot) -> Self {
        Self {
            snapshot,
            table: Table::AccountTrie,
            prefix: &[],
        }
    }

    pub(crate) fn storage(snapshot: &'a dyn Snapshot, address: &'a Address) -> Self {
        Self {
            snapshot,
            table: Table::StorageTrie,
            prefix: address.as_slice(),
        }
    }
}

impl NodeSource for StoredNodes<'_> {
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot
            .get(self.table, &codec::path_key(self.prefix, path))
    }

    fn damaged(&self, path: &Nibbles, reason: String) -> StoreError {
        StoreError::corrupt(self.table, &codec::path_key(self.prefix, path), reason)
    }
}
