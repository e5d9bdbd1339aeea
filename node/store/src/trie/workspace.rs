//! What an update has read and made so far, before it is encoded.

use super::{
    Encoded,
    node::{Items, NodeRef, Shape},
};
use alloy_trie::Nibbles;

/// What a walk has found and made.
#[derive(Debug, Default)]
pub(super) struct Workspace<'a> {
    /// Nodes that were made, in the order of their paths.
    pub(super) works: Vec<Work<'a>>,
    /// Nodes that were read, in about the same order.
    pub(super) reads: Vec<Read>,
    /// Children of branches, those of one branch together.
    pub(super) links: Vec<(u8, Child)>,
}

/// A node that was made.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) at: Nibbles,
    pub(super) kind: Kind<'a>,
    /// How its parent refers to it, and where its encoding is, once there.
    pub(super) reference: NodeRef,
    pub(super) span: (u32, u32),
}

/// A node with its children.
#[derive(Debug, Default)]
pub(super) enum Kind<'a> {
    /// A place that was kept for a node, and turned out to need none.
    #[default]
    Nothing,
    Leaf {
        path: Nibbles,
        value: Value<'a>,
    },
    Extension {
        path: Nibbles,
        child: Child,
    },
    Branch {
        /// The branch that it was: which node read, and its shape.
        base: Option<(usize, Shape)>,
        /// Children that are not those of the base: where in the links they are.
        links: (usize, usize),
        value: Option<Value<'a>>,
    },
}

/// A child that is not the one that was there before.
#[derive(Clone, Debug, Default)]
pub(super) enum Child {
    #[default]
    Nothing,
    /// That node of the workspace.
    Made(usize),
    /// A node that stays where and as it is, under another parent.
    Kept(Box<NodeRef>),
}

/// The value of a leaf or a branch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// From an update.
    Given(&'a [u8]),
    /// That of the node read under this number.
    Kept(usize),
}

/// A node as it was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) at: Nibbles,
    pub(super) encoded: Encoded,
    /// What its parent says it is, where that was not found to be true yet.
    pub(super) unchecked: Option<Box<NodeRef>>,
    /// Whether it is still there, as it was.
    pub(super) stays: bool,
}

/// What updates make of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Same,
    Gone,
    /// That node of the workspace.
    Made(usize),
}

impl<'a> Workspace<'a> {
    /// Keeps a place for a node.
    pub(super) fn reserve(&mut self, at: &Nibbles) -> usize {
        let slot = self.works.len();
        self.works.push(Work {
            at: *at,
            kind: Kind::Nothing,
            reference: NodeRef::default(),
            span: (0, 0),
        });
        slot
    }

    pub(super) fn fill(&mut self, slot: usize, kind: Kind<'a>) -> Outcome {
        if let Some(work) = self.works.get_mut(slot) {
            work.kind = kind;
        }
        Outcome::Made(slot)
    }

    /// Notes that a node is as it was.
    pub(super) fn same(&mut self, read: usize) -> Outcome {
        if let Some(read) = self.reads.get_mut(read) {
            read.stays = true;
        }
        Outcome::Same
    }

    /// The value of a leaf or a branch that was read.
    pub(super) fn kept(&self, read: usize) -> &[u8] {
        let encoded = self.reads.get(read).map(|read| &read.encoded[..]);
        // It was read once, with that value.
        encoded
            .and_then(|encoded| Items::of(encoded).ok()?.value())
            .unwrap_or_default()
    }
}
