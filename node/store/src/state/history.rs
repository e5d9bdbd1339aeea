//! The check of what is kept of the past: the state is taken back block by block, and must have
//! the root of each header on the way.

use super::{StateChanges, StoredNodes, TrieChanges};
use crate::{
    Head, Kept, StoreError,
    backend::{Batch, Snapshot, Table},
    block, codec,
    trie::{Encoded, NodeChange, NodeChanges, NodeSource, Trie},
};
use alloy_primitives::{Address, B256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};
use std::collections::BTreeMap;

/// What a check of the history went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryReport {
    /// What is kept.
    pub kept: Kept,
    /// Blocks that were taken back.
    pub blocks: u64,
    /// Former values of accounts and slots.
    pub values: u64,
    /// Former trie nodes.
    pub nodes: u64,
}

/// The state of an older block, as far as it differs from that of the snapshot's last one.
struct Past<'a> {
    snapshot: &'a dyn Snapshot,
    accounts: BTreeMap<Address, Option<TrieAccount>>,
    account_nodes: Nodes,
    storage_nodes: BTreeMap<Address, Nodes>,
}

/// Nodes by path; `None` where there was none.
type Nodes = BTreeMap<Nibbles, Option<Encoded>>;

/// Former nodes over those of the snapshot's last block.
struct PastNodes<'a> {
    now: StoredNodes<'a>,
    past: &'a Nodes,
}

impl NodeSource for PastNodes<'_> {
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StoreError> {
        match self.past.get(path) {
            Some(node) => Ok(node.as_deref().map(<[u8]>::to_vec)),
            None => self.now.node(path),
        }
    }

    fn damaged(&self, path: &Nibbles, reason: String) -> StoreError {
        self.now.damaged(path, reason)
    }
}

/// Takes the state back to the oldest one that is kept. `report` gets the number of blocks behind
/// it. Memory grows with the part of the state that changed on the way.
pub(crate) fn verify(
    snapshot: &dyn Snapshot,
    head: &Head,
    kept: Kept,
    report: &mut dyn FnMut(u64),
) -> Result<HistoryReport, StoreError> {
    let mut done = HistoryReport {
        kept,
        blocks: 0,
        values: 0,
        nodes: 0,
    };
    let mut past = Past {
        snapshot,
        accounts: BTreeMap::new(),
        account_nodes: Nodes::new(),
        storage_nodes: BTreeMap::new(),
    };
    let mut root = head.header.state_root;
    let mut node_records = 0;
    for number in (kept.oldest_state + 1..=head.number).rev() {
        let older = root_of(snapshot, number - 1)?;
        let (values, (nodes, records)) =
            past.take_back(number, root, older, number > kept.oldest_proof)?;
        root = older;
        done.blocks += 1;
        done.values += values;
        done.nodes += nodes;
        node_records += records;
        report(done.blocks);
    }
    // Nothing else may be there.
    let count = |tables: &[Table]| -> Result<u64, StoreError> {
        let records = tables
            .iter()
            .flat_map(|table| snapshot.range(*table, &[], None));
        records
            .map(|record| record.map(|_| 1))
            .sum::<Result<u64, _>>()
    };
    let blocks = |oldest: u64| head.number - oldest;
    for (what, tables, expected) in [
        (
            "values",
            &[Table::AccountHistory, Table::StorageHistory][..],
            done.values,
        ),
        (
            "groups of trie nodes",
            &[Table::AccountTrieHistory, Table::StorageTrieHistory],
            node_records,
        ),
        (
            "lists of changed values",
            &[Table::StateChanges],
            blocks(kept.oldest_state),
        ),
        (
            "lists of changed nodes",
            &[Table::TrieChanges],
            blocks(kept.oldest_proof),
        ),
    ] {
        let found = count(tables)?;
        if found != expected {
            return Err(StoreError::InconsistentBlock {
                number: head.number,
                reason: format!(
                    "{found} former {what} are stored, the blocks account for {expected}"
                ),
            });
        }
    }
    Ok(done)
}

/// State root of a block.
fn root_of(snapshot: &dyn Snapshot, number: u64) -> Result<B256, StoreError> {
    match block::read_header(snapshot, number)? {
        Some((_, header)) => Ok(header.state_root),
        None => Err(StoreError::InconsistentBlock {
            number,
            reason: "its header is missing".to_owned(),
        }),
    }
}

impl Past<'_> {
    /// Goes from the state after block `number` to that before it; how many former values that took, and
    /// how many former nodes in how many records.
    fn take_back(
        &mut self,
        number: u64,
        root: B256,
        older: B256,
        with_nodes: bool,
    ) -> Result<(u64, (u64, u64)), StoreError> {
        let wrong = |reason: String| StoreError::InconsistentBlock { number, reason };
        let changes = StateChanges::read(self.snapshot, number)?;
        let mut values = 0;
        let mut storage_nodes = Vec::new();
        let mut trie = Trie::open(
            PastNodes {
                now: StoredNodes::accounts(self.snapshot),
                past: &self.account_nodes,
            },
            root,
        );
        for changed in &changes.accounts {
            let address = changed.address;
            let key = codec::history_key(address.as_slice(), number);
            let before = self.former(Table::AccountHistory, &key)?;
            let before: Option<TrieAccount> = if before.is_empty() {
                None
            } else {
                Some(codec::rlp(Table::AccountHistory, &key, &before)?)
            };
            let now = match self.accounts.get(&address) {
                Some(account) => *account,
                None => self.snapshot.account(&address)?,
            };
            values += 1;
            let storage = |account: Option<TrieAccount>| {
                account.map_or(EMPTY_ROOT_HASH, |account| account.storage_root)
            };
            if !changed.slots.is_empty() {
                let none = Nodes::new();
                let mut trie = Trie::open(
                    PastNodes {
                        now: StoredNodes::storage(self.snapshot, &address),
                        past: self.storage_nodes.get(&address).unwrap_or(&none),
                    },
                    storage(now),
                );
                for slot in &changed.slots {
                    let key = codec::history_key(&codec::slot_key(&address, slot), number);
                    let value = self.former(Table::StorageHistory, &key)?;
                    let value = codec::decode_slot(Table::StorageHistory, &key, &value)?;
                    let path = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
                    if value.is_zero() {
                        trie.remove(path);
                    } else {
                        trie.insert(path, alloy_rlp::encode(value));
                    }
                    values += 1;
                }
                let (found, nodes) = trie.finish()?;
                if found != storage(before) {
                    return Err(wrong(format!(
                        "the former slots of account {address} give root {found}, its former record says {}",
                        storage(before)
                    )));
                }
                storage_nodes.push((address, nodes));
            } else if storage(now) != storage(before) {
                return Err(wrong(format!(
                    "the storage root of account {address} changes, but none of its slots"
                )));
            }
            let path = Nibbles::unpack(keccak256(address));
            match &before {
                Some(account) => trie.insert(path, codec::encode_account(account)),
                None => trie.remove(path),
            }
            self.accounts.insert(address, before);
        }
        let (found, account_nodes) = trie.finish()?;
        if found != older {
            return Err(wrong(format!(
                "the state before it has root {found} by its changes, its parent's header says {older}"
            )));
        }
        let mut nodes = (0, 0);
        if with_nodes {
            nodes = self.check_nodes(number, &account_nodes, &storage_nodes)?;
        }
        self.account_nodes.extend(after(account_nodes));
        for (address, changes) in storage_nodes {
            let known = self.storage_nodes.entry(address).or_default();
            known.extend(after(changes));
        }
        Ok((values, nodes))
    }

    /// Compares what was kept of the nodes before block `number` with those that were computed; how
    /// many nodes there are, in how many records.
    fn check_nodes(
        &self,
        number: u64,
        accounts: &NodeChanges,
        storage: &[(Address, NodeChanges)],
    ) -> Result<(u64, u64), StoreError> {
        // The changes were computed on the way back; a block makes them the other way round.
        let forwards = |changes: &NodeChanges| -> NodeChanges {
            let turned = changes.iter().map(|(path, change)| {
                let (before, after) = (change.after.clone(), change.before.clone());
                let turned = NodeChange {
                    before,
                    after,
                    hash: None,
                };
                (*path, turned)
            });
            turned.collect()
        };
        let accounts = forwards(accounts);
        let storage: Vec<_> = storage
            .iter()
            .map(|(address, changes)| (*address, forwards(changes)))
            .collect();
        let nodes = storage.iter().map(|(_, changes)| changes.len());
        let nodes = nodes.sum::<usize>() + accounts.len();
        let mut records = Batch::new();
        let list = TrieChanges::write(&mut records, number, &accounts, &storage);
        if TrieChanges::read(self.snapshot, number)? != list {
            return Err(StoreError::InconsistentBlock {
                number,
                reason: "the list of the trie nodes that it changed is not right".to_owned(),
            });
        }
        for (table, key, wanted) in records.writes() {
            if self.former(table, key)? != wanted.unwrap_or_default() {
                let reason = "not the nodes that were there before the block";
                return Err(StoreError::corrupt(table, key, reason));
            }
        }
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Ok((count(nodes), count(records.len())))
    }

    /// A record of a history table that a list of changes names.
    fn former(&self, table: Table, key: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.snapshot
            .get(table, key)?
            .ok_or_else(|| StoreError::corrupt(table, key, "the former value is missing"))
    }
}

/// The nodes of the older state.
fn after(changes: NodeChanges) -> impl Iterator<Item = (Nibbles, Option<Encoded>)> {
    changes
        .into_iter()
        .map(|(path, change)| (path, change.after))
}
