//! Nodes of a trie in the middle of an update.
//!
//! A branch that was read keeps its encoding, and a child that nobody has followed stays a place in it: most of the
//! sixteen children of a branch are never looked at, and are copied into the new encoding as they are.

use super::{
    cache::Encoded,
    finish::Pending,
    node::{self, Items, Node, NodeRef},
};
use alloy_rlp::{BufMut as _, EMPTY_STRING_CODE, Encodable as _};
use alloy_trie::Nibbles;

/// A place for a node.
#[derive(Debug, Default)]
pub(super) enum Slot {
    #[default]
    Empty,
    /// In the store and not read yet; its reference is in the encoding of its branch.
    Unread,
    /// In the store and not read yet. A root is named by its hash, however short it is.
    Stored(Box<NodeRef>),
    Loaded(Box<Loaded>),
    /// Listed for encoding, under this number.
    Pending(usize),
}

#[derive(Debug)]
pub(super) enum Loaded {
    Leaf { path: Nibbles, value: Vec<u8> },
    Extension { path: Nibbles, child: Slot },
    Branch(Box<Branch>),
}

#[derive(Debug, Default)]
pub(super) struct Branch {
    pub(super) children: [Slot; 16],
    pub(super) value: Option<Vec<u8>>,
    read: Option<ReadBranch>,
}

/// What a branch was read from.
#[derive(Debug)]
struct ReadBranch {
    encoded: Encoded,
    /// Where each child's reference begins, and where the last one ends.
    bounds: [u16; 17],
}

impl ReadBranch {
    fn reference(&self, index: usize) -> &[u8] {
        let bound = |index: usize| self.bounds.get(index).copied().map(usize::from);
        let range = bound(index).zip(bound(index + 1));
        let reference = range.and_then(|(start, end)| self.encoded.get(start..end));
        // There are sixteen, and they were found in this encoding.
        reference.unwrap_or_default()
    }
}

impl Slot {
    pub(super) fn stored(reference: NodeRef) -> Self {
        Self::Stored(Box::new(reference))
    }

    pub(super) fn leaf(path: Nibbles, value: Vec<u8>) -> Self {
        Self::Loaded(Box::new(Loaded::Leaf { path, value }))
    }

    pub(super) fn branch(branch: Branch) -> Self {
        Self::Loaded(Box::new(Loaded::Branch(Box::new(branch))))
    }

    /// `child` behind a stretch of path, which may be empty.
    pub(super) fn extension(path: Nibbles, child: Self) -> Self {
        if path.is_empty() {
            child
        } else {
            Self::Loaded(Box::new(Loaded::Extension { path, child }))
        }
    }

    /// The reference to a node that is read or encoded; `None` where there is none, and for a child that
    /// only its branch can name.
    pub(super) fn reference<'a>(&'a self, pending: &'a [Pending]) -> Option<&'a NodeRef> {
        match self {
            Self::Stored(reference) => Some(reference),
            Self::Pending(index) => pending.get(*index)?.reference(),
            Self::Empty | Self::Unread | Self::Loaded(_) => None,
        }
    }
}

impl Loaded {
    /// Reads a node.
    ///
    /// # Errors
    ///
    /// [`alloy_rlp::Error`] where the bytes are no node.
    pub(super) fn read(encoded: &Encoded) -> Result<Self, alloy_rlp::Error> {
        let items = Items::of(encoded)?;
        let Some((references, value)) = items.branch() else {
            return Ok(match items.node()? {
                Node::Leaf { path, value } => Self::Leaf { path, value },
                Node::Extension { path, child } => Self::Extension {
                    path,
                    child: Slot::stored(child),
                },
                // Told apart above.
                Node::Branch { .. } => return Err(alloy_rlp::Error::Custom("no such node")),
            });
        };
        let mut branch = Box::new(Branch {
            value: node::branch_value(value)?,
            ..Branch::default()
        });
        let mut bounds = [0; 17];
        // What follows the references is the value's item, which ends the encoding.
        let mut at =
            encoded.len() - value.len() - references.iter().map(|r| r.len()).sum::<usize>();
        for ((bound, slot), reference) in
            bounds.iter_mut().zip(&mut branch.children).zip(references)
        {
            *bound = bound_at(at)?;
            at += reference.len();
            if *reference != [EMPTY_STRING_CODE] {
                node::check_reference(reference)?;
                *slot = Slot::Unread;
            }
        }
        bounds[16] = bound_at(at)?;
        branch.read = Some(ReadBranch {
            encoded: Encoded::clone(encoded),
            bounds,
        });
        Ok(Self::Branch(branch))
    }
}

/// References have at most 33 bytes, so that sixteen of them end far below the bound of the type.
fn bound_at(at: usize) -> Result<u16, alloy_rlp::Error> {
    u16::try_from(at).map_err(|_| alloy_rlp::Error::Custom("a branch with too long references"))
}

impl Branch {
    /// The child for the first nibble of `key`, and the rest of `key`; `None` where it ends.
    pub(super) fn step(&mut self, key: &Nibbles) -> Option<(u8, &mut Slot, Nibbles)> {
        let nibble = key.first()?;
        let child = self.child(usize::from(nibble))?;
        Some((nibble, child, key.slice(1..)))
    }

    /// A child as one that may be moved away: its reference is with it.
    pub(super) fn child(&mut self, index: usize) -> Option<&mut Slot> {
        let slot = self.children.get_mut(index)?;
        if let (Slot::Unread, Some(read)) = (&*slot, &self.read) {
            // Its form was checked when the branch was read.
            let reference = NodeRef::from_raw_rlp(read.reference(index)).unwrap_or_default();
            *slot = Slot::stored(reference);
        }
        Some(slot)
    }

    /// Every child, each as one that may be moved away.
    pub(super) fn into_children(mut self) -> [Slot; 16] {
        for index in 0..self.children.len() {
            self.child(index);
        }
        self.children
    }

    /// Puts a leaf under a nibble that is free, or the value where the key ends here.
    pub(super) fn put(&mut self, key: &Nibbles, value: Vec<u8>) {
        match self.step(key) {
            Some((_, child, rest)) => *child = Slot::leaf(rest, value),
            None => self.value = Some(value),
        }
    }

    /// Appends the branch's RLP to `out`. Children that were loaded must be encoded.
    pub(super) fn encode_to(&self, pending: &[Pending], out: &mut Vec<u8>) {
        let mut references: [&[u8]; 16] = [&[EMPTY_STRING_CODE]; 16];
        for (index, (reference, slot)) in references.iter_mut().zip(&self.children).enumerate() {
            if let (Slot::Unread, Some(read)) = (slot, &self.read) {
                *reference = read.reference(index);
            } else if let Some(known) = slot.reference(pending) {
                *reference = known;
            }
        }
        let value = self.value.as_deref().unwrap_or_default();
        let length = references
            .iter()
            .map(|reference| reference.len())
            .sum::<usize>();
        node::list(length + value.length(), out);
        for reference in references {
            out.put_slice(reference);
        }
        value.encode(out);
    }
}
