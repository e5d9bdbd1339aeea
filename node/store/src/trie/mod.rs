//! An incremental Merkle-Patricia trie over nodes stored by path.
//!
//! [`Trie`] holds the part of a trie that an update touches: nodes are read from a
//! [`NodeSource`] when a key leads to them, changed in memory, and hashed once at the end, those of
//! many tries side by side ([`finish_many`]), those of a large one on several threads ([`update`]).
//! [`Trie::finish`] compares what it has with what it read, so the list of changes is right whatever
//! splits, merges and moves happened in between.

pub mod cache;
mod finish;
mod list;
mod loaded;
pub mod node;
mod parallel;

use crate::StoreError;
use alloy_primitives::B256;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use cache::Encoded;
pub use finish::finish_many;
pub use list::list_root;
use loaded::{Branch, Loaded, Slot};
use node::NodeRef;
pub use parallel::{PARALLEL_FROM, update};
use std::collections::BTreeMap;

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

    /// The node with this hash, where it is in memory.
    fn known(&self, hash: &B256) -> Option<Encoded> {
        let _ = hash;
        None
    }

    /// Takes nodes that were hashed, so that they may be [`Self::known`] later. `replaced` are those that were in
    /// their places; a node may be among both.
    fn remember(&self, replaced: &[B256], nodes: Vec<(B256, Encoded)>) {
        let _ = (replaced, nodes);
    }
}

/// What an update does to the node at one path; `None` where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeChange {
    /// The encoding before the update.
    pub before: Option<Encoded>,
    /// The encoding after it.
    pub after: Option<Encoded>,
}

/// The changed nodes of one trie by path; each differs before and after.
pub type NodeChanges = BTreeMap<Nibbles, NodeChange>;

/// What becomes of a key: its value, or none.
pub type Update = (Nibbles, Option<Vec<u8>>);

/// A trie, or the part of one below some path, in the middle of an update.
#[derive(Debug)]
pub struct Trie<S> {
    source: S,
    root: Slot,
    /// Where the root is; empty for a whole trie.
    base: Nibbles,
    /// Nodes as read, each path at most once.
    read: Vec<Read>,
}

/// A node as it was read.
#[derive(Debug)]
struct Read {
    at: Nibbles,
    encoded: Encoded,
    /// What its parent says it is.
    named: NodeRef,
    /// Whether that was found to be true.
    checked: bool,
}

fn join(path: &Nibbles, nibble: u8) -> Nibbles {
    let mut path = *path;
    path.push(nibble);
    path
}

impl<S: NodeSource> Trie<S> {
    /// The trie with this root, whose nodes are in `source`.
    pub fn open(source: S, root: B256) -> Self {
        let root = if root == EMPTY_ROOT_HASH {
            Slot::Empty
        } else {
            Slot::stored(NodeRef::word_rlp(&root))
        };
        Self::part(source, Nibbles::new(), root)
    }

    /// What is at `base` of a trie, and below.
    fn part(source: S, base: Nibbles, root: Slot) -> Self {
        Self {
            source,
            root,
            base,
            read: Vec::new(),
        }
    }

    /// Sets the value of `key` (at most 64 nibbles). The value must not be empty: in this
    /// trie an empty value is an absent one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where a node cannot be read or is damaged; the trie must then be dropped.
    pub fn insert(&mut self, key: Nibbles, value: Vec<u8>) -> Result<(), StoreError> {
        if value.is_empty() {
            return self.remove(key);
        }
        let mut root = std::mem::take(&mut self.root);
        self.insert_at(&mut root, self.base, key, value)?;
        self.root = root;
        Ok(())
    }

    /// Removes `key`; nothing happens where it is not there.
    ///
    /// # Errors
    ///
    /// As [`Self::insert`].
    pub fn remove(&mut self, key: Nibbles) -> Result<(), StoreError> {
        let mut root = std::mem::take(&mut self.root);
        self.remove_at(&mut root, self.base, key)?;
        self.root = root;
        Ok(())
    }

    /// Sets or removes the value of `key`.
    ///
    /// # Errors
    ///
    /// As [`Self::insert`].
    pub fn set(&mut self, (key, value): Update) -> Result<(), StoreError> {
        match value {
            Some(value) => self.insert(key, value),
            None => self.remove(key),
        }
    }

    /// The root hash and the changed nodes.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where a node that was read is not the one its parent names.
    pub fn finish(self) -> Result<(B256, NodeChanges), StoreError> {
        let mut finished = finish::encode_all(vec![self])?;
        Ok(finished.pop().unwrap_or_default().changes())
    }

    /// Reads the node of `slot`, where it is only referred to.
    fn load(&mut self, slot: &mut Slot, at: &Nibbles) -> Result<(), StoreError> {
        let Slot::Stored(named) = slot else {
            return Ok(());
        };
        let named = NodeRef::clone(named);
        let hash = named.as_hash();
        let (encoded, checked) = match hash.and_then(|hash| self.source.known(&hash)) {
            Some(encoded) => (encoded, true),
            // Whether it is the one that is named is found out at the end, for all at once.
            None => {
                let encoded = self.source.node(at)?;
                let missing = || self.source.damaged(at, "the node is missing".to_owned());
                (encoded.ok_or_else(missing)?.into(), false)
            }
        };
        let node =
            Loaded::read(&encoded).map_err(|error| self.source.damaged(at, error.to_string()))?;
        *slot = Slot::Loaded(Box::new(node));
        self.read.push(Read {
            at: *at,
            encoded,
            named,
            checked,
        });
        Ok(())
    }

    fn insert_at(
        &mut self,
        slot: &mut Slot,
        at: Nibbles,
        key: Nibbles,
        value: Vec<u8>,
    ) -> Result<(), StoreError> {
        self.load(slot, &at)?;
        let Slot::Loaded(mut node) = std::mem::take(slot) else {
            *slot = Slot::leaf(key, value);
            return Ok(());
        };
        *slot = match &mut *node {
            Loaded::Leaf { path, value: old } => {
                if *path == key {
                    *old = value;
                    Slot::Loaded(node)
                } else {
                    let common = path.common_prefix_length(&key);
                    let mut branch = Branch::default();
                    branch.put(&path.slice(common..), std::mem::take(old));
                    branch.put(&key.slice(common..), value);
                    Slot::extension(key.slice(..common), Slot::branch(branch))
                }
            }
            Loaded::Extension { path, child } => {
                let common = path.common_prefix_length(&key);
                if common == path.len() {
                    self.insert_at(child, at.join(path), key.slice(common..), value)?;
                    Slot::Loaded(node)
                } else {
                    // The key leaves the stretch: fork there. The child keeps its place.
                    let mut branch = Branch::default();
                    if let Some((_, place, rest)) = branch.step(&path.slice(common..)) {
                        *place = Slot::extension(rest, std::mem::take(child));
                    }
                    branch.put(&key.slice(common..), value);
                    Slot::extension(key.slice(..common), Slot::branch(branch))
                }
            }
            Loaded::Branch(branch) => {
                match branch.step(&key) {
                    Some((nibble, child, rest)) => {
                        self.insert_at(child, join(&at, nibble), rest, value)?;
                    }
                    None => branch.value = Some(value),
                }
                Slot::Loaded(node)
            }
        };
        Ok(())
    }

    /// Removes `key` below `slot`; whether it was there.
    fn remove_at(
        &mut self,
        slot: &mut Slot,
        at: Nibbles,
        key: Nibbles,
    ) -> Result<bool, StoreError> {
        self.load(slot, &at)?;
        let Slot::Loaded(mut node) = std::mem::take(slot) else {
            return Ok(false);
        };
        let mut removed = false;
        *slot = match &mut *node {
            Loaded::Leaf { path, .. } => {
                removed = *path == key;
                if removed {
                    Slot::Empty
                } else {
                    Slot::Loaded(node)
                }
            }
            Loaded::Extension { path, child } => {
                if key.starts_with(path) {
                    removed = self.remove_at(child, at.join(path), key.slice(path.len()..))?;
                }
                if removed {
                    prepend(path, std::mem::take(child))
                } else {
                    Slot::Loaded(node)
                }
            }
            Loaded::Branch(branch) => {
                removed = match branch.step(&key) {
                    Some((nibble, child, rest)) => {
                        self.remove_at(child, join(&at, nibble), rest)?
                    }
                    None => branch.value.take().is_some(),
                };
                if removed {
                    self.shrink(std::mem::take(&mut **branch), &at)?
                } else {
                    Slot::Loaded(node)
                }
            }
        };
        Ok(removed)
    }

    /// A branch that has lost something: what is left of it.
    fn shrink(&mut self, mut branch: Branch, at: &Nibbles) -> Result<Slot, StoreError> {
        let mut left = (0u8..)
            .zip(&branch.children)
            .filter(|(_, child)| !matches!(child, Slot::Empty))
            .map(|(nibble, _)| nibble);
        match (left.next(), left.next(), &mut branch.value) {
            (None, _, None) => Ok(Slot::Empty),
            (None, _, Some(value)) => Ok(Slot::leaf(Nibbles::new(), std::mem::take(value))),
            (Some(nibble), None, None) => {
                let child = branch.child(usize::from(nibble));
                let mut child = child.map(std::mem::take).unwrap_or_default();
                // Whether it merges with the nibble above it depends on its kind.
                self.load(&mut child, &join(at, nibble))?;
                Ok(prepend(&Nibbles::from_nibbles([nibble]), child))
            }
            _ => Ok(Slot::branch(branch)),
        }
    }
}

/// `child`, loaded or empty, behind `path`: paths of leaves and extensions merge.
fn prepend(path: &Nibbles, child: Slot) -> Slot {
    match child {
        Slot::Empty => Slot::Empty,
        Slot::Loaded(mut node) => match &mut *node {
            Loaded::Leaf { path: rest, .. } | Loaded::Extension { path: rest, .. } => {
                *rest = path.join(rest);
                Slot::Loaded(node)
            }
            Loaded::Branch(_) => Slot::extension(*path, Slot::Loaded(node)),
        },
        elsewhere => Slot::extension(*path, elsewhere),
    }
}

#[cfg(test)]
mod tests;
