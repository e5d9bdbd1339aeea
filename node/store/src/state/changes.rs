//! Which records a block left in the history tables, so that they are found by its number.

use super::AccountDelta;
use crate::{
    StoreError,
    backend::{Batch, Snapshot, Table},
    codec,
    trie::NodeChanges,
};
use alloy_primitives::{Address, Bytes, U256};
use alloy_rlp::{Encodable as _, Header, RlpDecodable, RlpEncodable};

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

/// The trie nodes that a block changed, by the keys of their tables; what [`Table::TrieChanges`]
/// holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct TrieChanges {
    /// Keys in [`Table::AccountTrie`].
    pub(crate) accounts: Vec<Bytes>,
    /// By account, keys in [`Table::StorageTrie`] without the address.
    pub(crate) storage: Vec<ChangedTrie>,
}

/// The nodes that a block changed in one account's storage trie.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct ChangedTrie {
    pub(crate) address: Address,
    pub(crate) nodes: Vec<Bytes>,
}

impl TrieChanges {
    pub(crate) fn of(accounts: &NodeChanges, storage: &[(Address, NodeChanges)]) -> Self {
        let keys = |changes: &NodeChanges| -> Vec<Bytes> {
            let keys = changes.keys();
            keys.map(|path| codec::path_key(&[], path).into()).collect()
        };
        Self {
            accounts: keys(accounts),
            storage: storage
                .iter()
                .filter(|(_, changes)| !changes.is_empty())
                .map(|(address, changes)| ChangedTrie {
                    address: *address,
                    nodes: keys(changes),
                })
                .collect(),
        }
    }

    /// The RLP of [`Self::of`]: a block changes thousands of nodes, and no list of them need be made first.
    pub(crate) fn encoded(accounts: &NodeChanges, storage: &[(Address, NodeChanges)]) -> Vec<u8> {
        let keys = |changes: &NodeChanges| {
            let (mut key, mut out) = (Vec::new(), Vec::new());
            for path in changes.keys() {
                key.clear();
                codec::push_path_key(&mut key, &[], path);
                key.as_slice().encode(&mut out);
            }
            list(&[&out])
        };
        let tries = storage.iter().filter(|(_, changes)| !changes.is_empty());
        let tries: Vec<_> = tries
            .map(|(address, changes)| list(&[&alloy_rlp::encode(address), &keys(changes)]))
            .collect();
        list(&[&keys(accounts), &list(&[&tries.concat()])])
    }

    /// Those of block `number`.
    pub(crate) fn read(snapshot: &dyn Snapshot, number: u64) -> Result<Self, StoreError> {
        read(snapshot, Table::TrieChanges, number)
    }

    /// Adds the removal of the node history of block `number`.
    pub(crate) fn forget(&self, number: u64, batch: &mut Batch) {
        for key in &self.accounts {
            let key = codec::history_key(key, number);
            batch.remove(Table::AccountTrieHistory, key);
        }
        for trie in &self.storage {
            for node in &trie.nodes {
                let subject = [trie.address.as_slice(), node].concat();
                let key = codec::history_key(&subject, number);
                batch.remove(Table::StorageTrieHistory, key);
            }
        }
        batch.remove(Table::TrieChanges, codec::block_key(number));
    }
}

/// The RLP list of items that are RLP already.
fn list(items: &[&[u8]]) -> Vec<u8> {
    let payload_length = items.iter().map(|item| item.len()).sum();
    let header = Header {
        list: true,
        payload_length,
    };
    let mut out = Vec::with_capacity(header.length_with_payload());
    header.encode(&mut out);
    items.iter().for_each(|item| out.extend_from_slice(item));
    out
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
