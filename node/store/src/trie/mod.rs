//! An incremental Merkle-Patricia trie over nodes stored by path.
//!
//! An update is made as a batch ([`update`]): nodes are taken from memory ([`resident`]) or read from a
//! [`NodeSource`] where keys lead to them, what becomes of them is noted, and all are encoded and hashed at the end,
//! those of many tries side by side ([`update_many`]), those of a large one on several threads. What there is then is
//! compared with what was read, so the list of changes is right whatever splits, merges and moves happened in between.

mod encoded;
mod extension;
mod finish;
mod list;
pub mod node;
mod parallel;
pub mod resident;
mod walk;
mod workspace;

use crate::StoreError;
use alloy_primitives::B256;
use alloy_trie::Nibbles;
pub use encoded::Encoded;
pub use list::list_root;
use resident::Tree;
use walk::Place;
use workspace::Workspace;

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

/// What an update does to the node at one path; `None` where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeChange {
    /// The encoding before the update.
    pub before: Option<Encoded>,
    /// The encoding after it.
    pub after: Option<Encoded>,
    /// The hash of that, where its parent names it by one.
    pub hash: Option<B256>,
}

/// The changed nodes of one trie, in the order of their paths; each differs before and after.
pub type NodeChanges = Vec<(Nibbles, NodeChange)>;

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
    let mut workspace = Workspace::default();
    let mut ends = Vec::with_capacity(tries.len());
    for (source, root, resident, updates) in &tries {
        let place = Place::root(root, *resident);
        let outcome = workspace.descend(source, place, &Nibbles::new(), updates)?;
        ends.push((outcome, workspace.reads.len(), workspace.works.len()));
    }
    finish::check(&mut workspace.reads, |read| {
        let trie = ends.partition_point(|(_, end, _)| *end <= read);
        tries.get(trie).map(|(source, ..)| source)
    })?;
    let encodings = finish::encode(&mut workspace);
    let roots: Vec<B256> = tries
        .iter()
        .zip(&ends)
        .map(|((_, root, ..), (outcome, ..))| finish::root_hash(*root, *outcome, &workspace.works))
        .collect();
    let Workspace {
        mut reads,
        mut works,
        ..
    } = workspace;
    let mut done = Vec::with_capacity(roots.len());
    // From the last to the first, so that each is split off the end.
    let starts = ends
        .iter()
        .rev()
        .skip(1)
        .map(|(_, reads, works)| (*reads, *works));
    for (root, (first_read, first_work)) in roots.into_iter().rev().zip(starts.chain([(0, 0)])) {
        let reads = reads.split_off(first_read);
        let works = works.split_off(first_work);
        done.push((root, finish::changes(reads, works, &encodings)));
    }
    done.reverse();
    Ok(done)
}

/// Updates in the order of their keys, the last one of each.
fn in_order(mut updates: Vec<Update<'_>>) -> Vec<Update<'_>> {
    updates.sort_by_key(|(key, _)| *key);
    updates.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
    updates
}

#[cfg(test)]
mod tests;
