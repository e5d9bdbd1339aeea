//! The check of the whole state against its root.

use super::{StateView, StoredNodes};
use crate::{
    StoreError,
    backend::{Snapshot, Table},
    block::Head,
    codec,
    trie::{
        NodeSource,
        node::{Node, reference, root_hash},
    },
};
use alloy_primitives::{Address, B256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles, TrieAccount};
use std::sync::Arc;

/// What a check of the whole state went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateReport {
    /// The block whose state was checked.
    pub number: u64,
    /// Its state root.
    pub root: B256,
    /// Accounts.
    pub accounts: u64,
    /// Slots of all accounts.
    pub slots: u64,
    /// Nodes of all tries.
    pub trie_nodes: u64,
}

/// Recomputes every storage root and the state root from flat state by an implementation
/// that shares nothing with the incremental one, and walks every stored trie. `progress` gets the
/// number of accounts behind it.
pub(crate) fn verify(
    snapshot: &Arc<dyn Snapshot>,
    head: &Head,
    progress: &mut dyn FnMut(u64),
) -> Result<StateReport, StoreError> {
    let number = head.number;
    let wrong = |reason: String| StoreError::InconsistentState { number, reason };
    let view = StateView::new(Arc::clone(snapshot), number, number, Arc::default());
    let snapshot = &**snapshot;
    let mut report = StateReport {
        number,
        root: head.header.state_root,
        accounts: 0,
        slots: 0,
        trie_nodes: 0,
    };
    let mut leaves = Vec::new();
    for record in snapshot.range(Table::Accounts, &[], None) {
        let (key, value) = record?;
        let address = Address::from(codec::fixed(Table::Accounts, &key, &key)?);
        let account: TrieAccount = codec::rlp(Table::Accounts, &key, &value)?;
        let (root, slots) = storage_root(snapshot, &address)?;
        if root != account.storage_root {
            return Err(wrong(format!(
                "the slots of account {address} give root {root}, the account says {}",
                account.storage_root
            )));
        }
        if !view.code_is_whole(&account.code_hash)? {
            return Err(wrong(format!(
                "the code of account {address} does not have hash {}",
                account.code_hash
            )));
        }
        report.accounts += 1;
        report.slots += slots;
        report.trie_nodes += walk(StoredNodes::storage(snapshot, &address), root)?;
        leaves.push((keccak256(address), value));
        progress(report.accounts);
    }
    leaves.sort_unstable();
    let root = root_of(&leaves);
    if root != report.root {
        return Err(wrong(format!(
            "the accounts give root {root}, the header says {}",
            report.root
        )));
    }
    report.trie_nodes += walk(StoredNodes::accounts(snapshot), root)?;
    // Nothing may be there that belongs to no account.
    let count = |table| -> Result<u64, StoreError> {
        let mut records = snapshot.range(table, &[], None);
        records.try_fold(0, |count, record| record.map(|_| count + 1))
    };
    let slots = count(Table::Storage)?;
    let nodes = count(Table::AccountTrie)? + count(Table::StorageTrie)?;
    if slots != report.slots || nodes != report.trie_nodes {
        return Err(wrong(format!(
            "{slots} slots and {nodes} trie nodes are stored, {} and {} are reachable",
            report.slots, report.trie_nodes
        )));
    }
    Ok(report)
}

/// Whether the root node of the account trie is the one with this hash: the quick check of
/// every start.
pub(crate) fn check_root(snapshot: &dyn Snapshot, root: B256) -> Result<(), StoreError> {
    let nodes = StoredNodes::accounts(snapshot);
    let found = nodes.node(&Nibbles::new())?;
    let found = found.map_or(EMPTY_ROOT_HASH, |node| root_hash(&node));
    if found == root {
        return Ok(());
    }
    let reason = format!("the trie has root {found}, the head's header says {root}");
    Err(nodes.damaged(&Nibbles::new(), reason))
}

/// Root and number of an account's slots.
fn storage_root(snapshot: &dyn Snapshot, address: &Address) -> Result<(B256, u64), StoreError> {
    let mut leaves = Vec::new();
    for record in snapshot.prefix(Table::Storage, address.as_slice()) {
        let (key, value) = record?;
        let slot = key
            .get(20..)
            .ok_or_else(|| StoreError::corrupt(Table::Storage, &key, "not a slot's key"))?;
        let value = codec::decode_slot(Table::Storage, &key, &value)?;
        leaves.push((keccak256(slot), alloy_rlp::encode(value)));
    }
    leaves.sort_unstable();
    let count = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
    Ok((root_of(&leaves), count))
}

/// Root of leaves sorted by hashed key.
fn root_of(leaves: &[(B256, Vec<u8>)]) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    builder.root()
}

/// Reads every node of a trie and checks it against its parent; how many there are.
fn walk(nodes: StoredNodes<'_>, root: B256) -> Result<u64, StoreError> {
    if root == EMPTY_ROOT_HASH {
        return Ok(0);
    }
    let mut count = 0;
    let mut open = vec![(Nibbles::new(), None)];
    while let Some((path, named)) = open.pop() {
        let missing = || nodes.damaged(&path, "the node is missing".to_owned());
        let encoded = nodes.node(&path)?.ok_or_else(missing)?;
        let whole = match named {
            Some(named) => reference(&encoded) == named,
            None => root_hash(&encoded) == root,
        };
        if !whole {
            let reason = "the node is not the one its parent names".to_owned();
            return Err(nodes.damaged(&path, reason));
        }
        count += 1;
        let node = Node::decode(&encoded).map_err(|e| nodes.damaged(&path, e.to_string()))?;
        match node {
            Node::Leaf { .. } => {}
            Node::Extension { path: rest, child } => open.push((path.join(&rest), Some(child))),
            Node::Branch { children, .. } => {
                for (nibble, child) in (0u8..).zip(*children) {
                    if let Some(child) = child {
                        let mut path = path;
                        path.push(nibble);
                        open.push((path, Some(child)));
                    }
                }
            }
        }
    }
    Ok(count)
}
