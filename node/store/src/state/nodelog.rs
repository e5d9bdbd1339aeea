//! The trie nodes that blocks replaced, from which older tries are read.
//!
//! A block changes thousands of nodes, most of them branches of which one child in sixteen differs. So the nodes
//! are written in groups, a record each: those near the root in one, the others by the first two nibbles of their
//! paths. And of a branch that was a branch before, only the references that differ are kept. An older node is
//! found by going from the newest one back through the records of its group.

use crate::{
    StoreError,
    backend::{Batch, Snapshot, Table},
    codec,
    trie::{
        NodeChange, NodeChanges,
        node::{branch_difference, branch_with},
    },
};
use alloy_trie::Nibbles;

/// Nibbles of a path that say which group it belongs to.
const GROUP_NIBBLES: usize = 2;

/// Name of a group: its kind, and the nibbles that its paths begin with.
pub(crate) type Group = [u8; 2];

/// Paths too short for a group of their own.
const TOP: Group = [0, 0];

/// What an entry says of the node before the block.
const NONE: u8 = 0;
const WHOLE: u8 = 1;
const REFERENCES: u8 = 2;

/// The group of a path.
fn group_of(path: &Nibbles) -> Group {
    match (path.first(), path.get(1)) {
        (Some(high), Some(low)) if path.len() >= GROUP_NIBBLES => [1, high << 4 | low],
        _ => TOP,
    }
}

/// The records of the nodes that a block changed in one trie, by their groups.
pub(crate) fn records(changes: &NodeChanges) -> Vec<(Group, Vec<u8>)> {
    let mut top = Vec::new();
    let mut groups: Vec<(Group, Vec<u8>)> = Vec::new();
    // Paths are in the order of their nibbles, so that a group's own come one after another.
    for (path, change) in changes {
        let group = group_of(path);
        let record = if group == TOP {
            &mut top
        } else {
            if groups.last().is_none_or(|(last, _)| *last != group) {
                groups.push((group, Vec::new()));
            }
            match groups.last_mut() {
                Some((_, record)) => record,
                None => continue,
            }
        };
        push_entry(record, path, change);
    }
    if !top.is_empty() {
        groups.insert(0, (TOP, top));
    }
    groups
}

/// Appends what there was at `path`, seen from what is there now.
fn push_entry(out: &mut Vec<u8>, path: &Nibbles, change: &NodeChange) {
    codec::push_path_key(out, &[], path);
    let Some(before) = &change.before else {
        return out.push(NONE);
    };
    let difference = change
        .after
        .as_ref()
        .and_then(|after| branch_difference(before, after));
    if let Some(references) = difference {
        out.push(REFERENCES);
        let mask = references
            .iter()
            .fold(0u16, |mask, (index, _)| mask | 1 << index);
        out.extend_from_slice(&mask.to_be_bytes());
        for (_, reference) in references {
            // It is an RLP item, which tells where it ends.
            out.extend_from_slice(reference);
        }
    } else {
        out.push(WHOLE);
        // A value of a trie is far shorter than 4 GiB.
        let length = u32::try_from(before.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(before);
    }
}

/// A node before a block.
enum Entry<'a> {
    None,
    Whole(&'a [u8]),
    /// As after the block, but for the references to these children.
    References(Vec<(u8, &'a [u8])>),
}

/// Reads the entry of `path` in a record; `None` where it has none.
fn find<'a>(mut record: &'a [u8], path: &Nibbles) -> Result<Option<Entry<'a>>, &'static str> {
    let wanted = codec::path_key(&[], path);
    while !record.is_empty() {
        let key_length = 1 + usize::from(*record.first().unwrap_or(&0)).div_ceil(2);
        let key = take(&mut record, key_length)?;
        let entry = match take(&mut record, 1)? {
            [NONE] => Entry::None,
            [WHOLE] => {
                let length = take(&mut record, 4)?.iter();
                let length = length.fold(0, |length, byte| length << 8 | usize::from(*byte));
                Entry::Whole(take(&mut record, length)?)
            }
            [REFERENCES] => {
                let mask = take(&mut record, 2)?.iter();
                let mask = mask.fold(0u16, |mask, byte| mask << 8 | u16::from(*byte));
                let mut references = Vec::new();
                for index in (0u8..16).filter(|index| mask >> index & 1 == 1) {
                    let length = alloy_rlp::Header::decode(&mut &*record)
                        .map(|header| header.length_with_payload())
                        .map_err(|_| "a reference of no length")?;
                    references.push((index, take(&mut record, length)?));
                }
                Entry::References(references)
            }
            _ => return Err("an entry of no kind"),
        };
        if key == wanted {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

fn take<'a>(record: &mut &'a [u8], length: usize) -> Result<&'a [u8], &'static str> {
    let (taken, rest) = record
        .split_at_checked(length)
        .ok_or("it ends within an entry")?;
    *record = rest;
    Ok(taken)
}

/// The key of a group's record of block `number` in the trie whose keys begin with `prefix`.
pub(crate) fn key(prefix: &[u8], group: Group, number: u64) -> Vec<u8> {
    codec::history_key(&[prefix, &group].concat(), number)
}

/// The node at `path` after block `number`, in the trie whose keys in `table` begin with `prefix`.
pub(crate) fn node_after(
    snapshot: &dyn Snapshot,
    (table, log): (Table, Table),
    prefix: &[u8],
    path: &Nibbles,
    number: u64,
) -> Result<Option<Vec<u8>>, StoreError> {
    let group = group_of(path);
    let start = key(prefix, group, number.saturating_add(1));
    let end = key(prefix, group, u64::MAX);
    let mut behind = Vec::new();
    // The first whole node after the block makes what came later of no interest.
    let mut whole = None;
    for record in snapshot.range(log, &start, Some(&end)) {
        let (key, record) = record?;
        let damaged = |reason: &str| StoreError::corrupt(log, &key, reason);
        match find(&record, path).map_err(damaged)? {
            None => {}
            Some(Entry::None) => {
                whole = Some(None);
                break;
            }
            Some(Entry::Whole(node)) => {
                whole = Some(Some(node.to_vec()));
                break;
            }
            Some(Entry::References(references)) => {
                let owned = references
                    .into_iter()
                    .map(|(index, reference)| (index, reference.to_vec()));
                let owned: Vec<_> = owned.collect();
                behind.push((key, owned));
            }
        }
    }
    let mut node = match whole {
        Some(node) => node,
        None => snapshot.get(table, &codec::path_key(prefix, path))?,
    };
    for (key, references) in behind.into_iter().rev() {
        let no_branch =
            || StoreError::corrupt(log, &key, "it changes a branch where there is none");
        let newer = node.ok_or_else(no_branch)?;
        node = Some(branch_with(&newer, &references).ok_or_else(no_branch)?);
    }
    Ok(node)
}

/// Adds the records of what a block changed in one trie; their groups.
pub(crate) fn write(
    batch: &mut Batch,
    log: Table,
    prefix: &[u8],
    number: u64,
    changes: &NodeChanges,
) -> Vec<Group> {
    let records = records(changes);
    for (group, record) in &records {
        batch.put(log, key(prefix, *group, number), record);
    }
    records.into_iter().map(|(group, _)| group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::{Backend as _, memory::Memory},
        trie::{Encoded, Trie},
    };
    use alloy_primitives::{B256, keccak256};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Nodes = BTreeMap<Nibbles, Encoded>;

    #[derive(Debug, Clone, Copy)]
    struct Source<'a>(&'a Nodes);

    impl crate::trie::NodeSource for Source<'_> {
        fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(self.0.get(path).map(|node| node.to_vec()))
        }

        fn damaged(&self, path: &Nibbles, reason: String) -> StoreError {
            StoreError::corrupt(Table::AccountTrie, &path.to_vec(), reason)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Tries that grow and shrink: every node of every version is found, and where there was none, none.
        #[test]
        fn every_version_of_every_node_comes_back(
            blocks in prop::collection::vec(
                prop::collection::vec((0u16..300, prop::option::weighted(0.7, 1u8..4)), 0..120), 1..8),
        ) {
            let (table, log) = (Table::StorageTrie, Table::StorageTrieHistory);
            let engine = Memory::new();
            let mut nodes = Nodes::new();
            let mut root = alloy_trie::EMPTY_ROOT_HASH;
            let mut versions: Vec<Nodes> = vec![nodes.clone()];
            for (number, updates) in (1u64..).zip(&blocks) {
                let mut trie = Trie::open(Source(&nodes), root);
                for (key, value) in updates {
                    let key = Nibbles::unpack(keccak256(key.to_be_bytes()));
                    // Some leaves are short enough to stand in their parents.
                    let value = value.map(|value| vec![value; if value == 1 { 1 } else { 40 }]);
                    trie.set((key, value));
                }
                let (new_root, changes): (B256, _) = trie.finish().unwrap();
                root = new_root;
                let mut batch = Batch::new();
                write(&mut batch, log, b"trie", number, &changes);
                for (path, change) in changes {
                    let key = codec::path_key(b"trie", &path);
                    batch.set(table, key, change.after.as_deref());
                    match change.after {
                        Some(node) => nodes.insert(path, node),
                        None => nodes.remove(&path),
                    };
                }
                engine.commit(batch).unwrap();
                versions.push(nodes.clone());
            }
            let snapshot = engine.snapshot();
            let paths: std::collections::BTreeSet<_> =
                versions.iter().flat_map(|nodes| nodes.keys().copied()).collect();
            for (number, nodes) in (0u64..).zip(&versions) {
                for path in &paths {
                    let found = node_after(&*snapshot, (table, log), b"trie", path, number).unwrap();
                    prop_assert_eq!(found.as_deref(), nodes.get(path).map(|node| &node[..]));
                }
            }
        }

        #[test]
        fn noise_is_an_error_or_has_no_entry(
            bytes in prop::collection::vec(any::<u8>(), 0..120), path in prop::collection::vec(0u8..16, 0..6),
        ) {
            let _ = find(&bytes, &Nibbles::from_nibbles(path));
        }
    }
}
