//! An incremental Merkle-Patricia trie over nodes stored by path.
//!
//! An update is made as a batch ([`update`]): nodes are taken from memory ([`resident`]), level by level, or read from a
//! [`NodeSource`] where keys lead to them, what becomes of them is noted, and all are encoded and hashed at the end,
//! those of many tries side by side ([`update_many`]), those of a large one on several threads. Where the form of a trie
//! changes, what there is then is compared with what was read, so the list of changes is right whatever splits, merges
//! and moves happened in between.

mod changes;
mod encoded;
mod extension;
mod finish;
mod levels;
mod list;
pub mod node;
mod parallel;
pub mod resident;
mod walk;
mod workspace;

use crate::StoreError;
use alloy_primitives::B256;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
pub use changes::{ChangedNode, NodeChange, NodeChanges};
pub use encoded::Encoded;
use levels::{End, Levels};
pub use list::list_root;
use resident::Tree;
use walk::Place;

/// Fewest updates that are worth waking threads for.
pub const PARALLEL_FROM: usize = 96;

/// Where the nodes of one trie are read.
pub trait NodeSource {
    /// The encoding of the node at `path`, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot read.
    fn node(&self, path: &Nibbles) -> Result<Option<Vec<u8>>, StoreError>;

    /// The error for a node that is missing or is not the one its parent names.
    fn damaged(&self, path: &Nibbles, reason: String) -> StoreError;
}

/// A node that an update made, or took away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeNode {
    /// Where it is.
    pub at: Nibbles,
    /// Its encoding, and its hash where its parent names it by one; `None` where there is none any more.
    pub node: Option<(Option<B256>, Encoded)>,
}

/// What becomes of a key: its value, or none.
pub type Update<'a> = (Nibbles, Option<&'a [u8]>);

/// A trie and what is to become of it.
#[derive(Debug)]
pub struct Trie<S> {
    source: S,
    root: B256,
    updates: Vec<(Nibbles, Option<Vec<u8>>)>,
}

/// One of the tries of [`update_many`]: where its nodes are, its root, those of its nodes that are in memory, and what
/// becomes of it.
pub type TrieUpdate<'a, S> = (S, B256, Option<&'a Tree>, Vec<Update<'a>>);

fn join(path: &Nibbles, nibble: u8) -> Nibbles {
    let mut path = *path;
    path.push(nibble);
    path
}

impl<S: NodeSource> Trie<S> {
    /// The trie with this root, whose nodes are in `source`.
    pub fn open(source: S, root: B256) -> Self {
        Self {
            source,
            root,
            updates: Vec::new(),
        }
    }

    /// Sets the value of `key` (at most 64 nibbles). In this trie an empty value is an absent one.
    pub fn insert(&mut self, key: Nibbles, value: Vec<u8>) {
        self.set((key, Some(value)));
    }

    /// Removes `key`; nothing happens where it is not there.
    pub fn remove(&mut self, key: Nibbles) {
        self.set((key, None));
    }

    /// Sets or removes the value of a key.
    pub fn set(&mut self, update: (Nibbles, Option<Vec<u8>>)) {
        self.updates.push(update);
    }

    /// The root hash and the changed nodes. Of several updates of one key the last one counts.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where a node cannot be read, is damaged or is not the one its parent names.
    pub fn finish(self) -> Result<(B256, NodeChanges), StoreError> {
        let updates = self.updates.iter();
        let updates = updates.map(|(key, value)| (*key, value.as_deref()));
        let done = update_many(vec![(self.source, self.root, None, updates.collect())])?;
        // One for one.
        Ok(done.into_iter().next().unwrap_or_default())
    }
}

/// Makes all `updates` of the trie with this root, whose nodes are in `source` and some of them in memory: root hash
/// and changed nodes. Of several updates of one key the last one counts.
///
/// # Errors
///
/// [`StoreError`] where a node cannot be read, is damaged or is not the one its parent names.
pub fn update<S: NodeSource + Copy + Send + Sync>(
    source: S,
    root: B256,
    resident: Option<&Tree>,
    updates: Vec<Update<'_>>,
) -> Result<(B256, NodeChanges), StoreError> {
    let updates = in_order(updates);
    if updates.len() >= PARALLEL_FROM
        && let Some(done) = parallel::in_parts(source, root, resident, &updates)?
    {
        return Ok(done);
    }
    let done = update_many(vec![(source, root, resident, updates)])?;
    Ok(done.into_iter().next().unwrap_or_default())
}

/// Root and changed nodes of each trie, in their order.
///
/// # Errors
///
/// As [`update`].
pub fn update_many<S: NodeSource>(
    tries: Vec<TrieUpdate<'_, S>>,
) -> Result<Vec<(B256, NodeChanges)>, StoreError> {
    let tries: Vec<_> = tries
        .into_iter()
        .map(|(source, root, resident, updates)| (source, root, resident, in_order(updates)))
        .collect();
    let mut levels = Levels::at_depth(0);
    for (number, (source, root, resident, updates)) in tries.iter().enumerate() {
        let place = Place::root(root, *resident);
        levels.start((number, source), place, &Nibbles::new(), updates)?;
    }
    levels.finish(|number| tries.get(number).map(|(source, ..)| source))?;
    let ends = tries.iter().zip(levels.ends()).enumerate();
    let done = ends.map(|(number, ((_, root, ..), end))| {
        let root = match end {
            End::Same => *root,
            End::Gone => EMPTY_ROOT_HASH,
            End::Made(reference) => finish::root_hash(reference),
        };
        let mut changes = Vec::new();
        levels.changes(number, &mut changes);
        (root, changes.into())
    });
    Ok(done.collect())
}

/// Updates in the order of their keys, the last one of each.
fn in_order(updates: Vec<Update<'_>>) -> Vec<Update<'_>> {
    if updates.is_sorted_by(|(one, _), (next, _)| one < next) {
        return updates;
    }
    // Keys are hashes nearly always, which their beginnings tell apart; those are quicker to move than updates.
    let starts = updates.iter().map(|(key, _)| start_of(key));
    let mut order: Vec<_> = starts.zip(0..).collect();
    let key = |index: usize| updates.get(index).map(|(key, _)| key);
    order.sort_unstable_by(|(start, index), (other_start, other)| {
        let starts = start.cmp(other_start);
        starts.then_with(|| (key(*index), index).cmp(&(key(*other), other)))
    });
    let mut sorted: Vec<Update<'_>> = Vec::with_capacity(updates.len());
    for update in order.iter().filter_map(|(_, index)| updates.get(*index)) {
        match sorted.last_mut() {
            Some(last) if last.0 == update.0 => *last = *update,
            _ => sorted.push(*update),
        }
    }
    sorted
}

/// The first sixteen nibbles of a key; zeros where it has fewer.
fn start_of(key: &Nibbles) -> u64 {
    let mut start = [0; 8];
    for (to, from) in start.iter_mut().zip(key.pack()) {
        *to = from;
    }
    u64::from_be_bytes(start)
}

#[cfg(test)]
mod tests;
