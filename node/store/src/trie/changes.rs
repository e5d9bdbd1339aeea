//! What an update changes.

use super::Encoded;
use alloy_primitives::B256;
use alloy_trie::Nibbles;
use std::{iter::Flatten, slice, vec};

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

/// A changed node, with its path.
pub type ChangedNode = (Nibbles, NodeChange);

/// The changed nodes of one trie, in the order of their paths; each differs before and after.
#[derive(Clone, Debug, Default)]
pub struct NodeChanges {
    /// One after another: those that several threads found are not copied into one place.
    parts: Vec<Vec<ChangedNode>>,
}

impl NodeChanges {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(Vec::is_empty)
    }

    /// One after another.
    pub fn iter(&self) -> Flatten<slice::Iter<'_, Vec<ChangedNode>>> {
        self.parts.iter().flatten()
    }

    /// Adds those of paths behind all that are here.
    pub(super) fn append(&mut self, part: Vec<ChangedNode>) {
        self.parts.push(part);
    }
}

impl From<Vec<ChangedNode>> for NodeChanges {
    fn from(part: Vec<ChangedNode>) -> Self {
        Self { parts: vec![part] }
    }
}

impl FromIterator<ChangedNode> for NodeChanges {
    fn from_iter<I: IntoIterator<Item = ChangedNode>>(changes: I) -> Self {
        Self::from(Vec::from_iter(changes))
    }
}

impl IntoIterator for NodeChanges {
    type Item = ChangedNode;
    type IntoIter = Flatten<vec::IntoIter<Vec<ChangedNode>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.parts.into_iter().flatten()
    }
}

impl<'a> IntoIterator for &'a NodeChanges {
    type Item = &'a ChangedNode;
    type IntoIter = Flatten<slice::Iter<'a, Vec<ChangedNode>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for NodeChanges {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other)
    }
}

impl Eq for NodeChanges {}
