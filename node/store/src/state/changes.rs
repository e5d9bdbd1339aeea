//! Which records a block left in the history tables, so that they are found by its number.

use super::{AccountDelta, nodelog};
use crate::{
    StoreError,
    backend::{Batch, Snapshot, Table},
    codec,
    trie::NodeChanges,
};
use alloy_primitives::{Address, Bytes, U256};
use alloy_rlp::{RlpDecodable, RlpEncodable};

/// The accounts that a block changed, with the slots of each; what [`Table::StateChanges`] holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct StateChanges {
    pub(crate) accounts: Vec<ChangedAccount>,
}

/// An account that a block changed, itself or in its storage, which is part of it.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct ChangedAccount {
    pub(crate) address: Address,
    pub(crate) slots: Vec<U256>,
}

impl StateChanges {
    pub(crate) fn of(deltas: &[AccountDelta]) -> Self {
        let accounts = deltas
            .iter()
            .map(|delta| ChangedAccount {
                address: delta.address,
                slots: delta.slots.iter().map(|slot| slot.slot).collect(),
            })
            .collect();
        Self { accounts }
    }

    /// Those of block `number`.
    pub(crate) fn read(snapshot: &dyn Snapshot, number: u64) -> Result<Self, StoreError> {
        read(snapshot, Table::StateChanges, number)
    }

    /// Adds the removal of the history of block `number`.
    pub(crate) fn forget(&self, number: u64, batch: &mut Batch) {
        for account in &self.accounts {
            let address = &account.address;
            let key = codec::history_key(address.as_slice(), number);
            batch.remove(Table::AccountHistory, key);
            for slot in &account.slots {
                let key = codec::history_key(&codec::slot_key(address, slot), number);
                batch.remove(Table::StorageHistory, key);
            }
        }
        batch.remove(Table::StateChanges, codec::block_key(number));
    }
}

/// The groups of trie nodes that a block changed, see [`nodelog`]; what [`Table::TrieChanges`] holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct TrieChanges {
    /// Of the account trie, one after another.
    pub(crate) accounts: Bytes,
    /// By account, of its storage trie.
    pub(crate) storage: Vec<ChangedTrie>,
}

/// The groups of nodes that a block changed in one account's storage trie.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct ChangedTrie {
    pub(crate) address: Address,
    pub(crate) groups: Bytes,
}

impl TrieChanges {
    /// Adds what the nodes were before block `number`; the list of it.
    pub(crate) fn write(
        batch: &mut Batch,
        number: u64,
        accounts: &NodeChanges,
        storage: &[(Address, NodeChanges)],
    ) -> Self {
        let mut write = |log, prefix: &[u8], changes| -> Bytes {
            nodelog::write(batch, log, prefix, number, changes)
                .concat()
                .into()
        };
        let tries = storage.iter().filter(|(_, changes)| !changes.is_empty());
        Self {
            accounts: write(Table::AccountTrieHistory, &[], accounts),
            storage: tries
                .map(|(address, changes)| ChangedTrie {
                    address: *address,
                    groups: write(Table::StorageTrieHistory, address.as_slice(), changes),
                })
                .collect(),
        }
    }

    /// Those of block `number`.
    pub(crate) fn read(snapshot: &dyn Snapshot, number: u64) -> Result<Self, StoreError> {
        read(snapshot, Table::TrieChanges, number)
    }

    /// Adds the removal of the former nodes of block `number`.
    pub(crate) fn forget(&self, number: u64, batch: &mut Batch) {
        let mut forget = |log, prefix: &[u8], groups: &[u8]| {
            for group in groups.as_chunks().0 {
                batch.remove(log, nodelog::key(prefix, *group, number));
            }
        };
        forget(Table::AccountTrieHistory, &[], &self.accounts);
        for trie in &self.storage {
            let prefix = trie.address.as_slice();
            forget(Table::StorageTrieHistory, prefix, &trie.groups);
        }
        batch.remove(Table::TrieChanges, codec::block_key(number));
    }
}

fn read<T: alloy_rlp::Decodable>(
    snapshot: &dyn Snapshot,
    table: Table,
    number: u64,
) -> Result<T, StoreError> {
    let key = codec::block_key(number);
    let value = snapshot
        .get(table, &key)?
        .ok_or_else(|| StoreError::corrupt(table, &key, "the list of changes is missing"))?;
    codec::rlp(table, &key, &value)
}
