//! The part of a trie that is in memory, node below node.
//!
//! A block leads through thousands of nodes. Here each is found through its parent, without a look-up, a copy or a
//! check of its hash: it was hashed before it came in. Whoever goes down compares the hash of a child with the one
//! that the parent's encoding names, and a child that is another one is as good as none. So nothing here can be
//! wrong, whatever state it was taken from; that of another block is found as far as it is the same.

use super::{
    Encoded, MadeNode,
    node::{Items, Shape},
    walk::next_run,
};
use alloy_primitives::B256;
use alloy_trie::Nibbles;
use std::collections::BTreeMap;

/// Bytes of a node besides its encoding: itself, the counters of the encoding, and what allocation rounds up.
const OVERHEAD: usize = size_of::<Node>() + 32;

/// Bytes that come from memory together.
const CACHE_LINE: usize = 64;

/// A node and what is known below it.
#[derive(Debug)]
pub struct Node {
    hash: B256,
    encoded: Encoded,
    /// The number of the last block that led through it.
    touched: u64,
    below: Below,
}

/// The children of a node.
#[derive(Debug)]
enum Below {
    Leaf,
    Extension(Box<Extension>),
    Branch(Shape, Box<[Child; 16]>),
}

type Child = Option<Box<Node>>;

#[derive(Debug)]
struct Extension {
    path: Nibbles,
    child: Child,
}

impl Node {
    /// Where its parts are, where it is a branch.
    pub(super) fn shape(&self) -> Option<Shape> {
        match &self.below {
            Below::Branch(shape, _) => Some(*shape),
            Below::Leaf | Below::Extension(_) => None,
        }
    }

    pub(super) fn hash(&self) -> &B256 {
        &self.hash
    }

    /// Whether it is the one with this hash.
    pub(super) fn is(&self, hash: &B256) -> bool {
        self.hash == *hash
    }

    /// What was known last under a nibble of a branch, whichever node that is.
    pub(super) fn last_child(&self, nibble: u8) -> Option<&Self> {
        match &self.below {
            Below::Branch(_, children) => children.get(usize::from(nibble))?.as_deref(),
            Below::Leaf | Below::Extension(_) => None,
        }
    }

    /// Reads all of it that an update would, so that it is near, and says something about it.
    pub(super) fn touch(&self) -> u8 {
        let lines = self.encoded.iter().step_by(CACHE_LINE);
        // The hash may lie in two.
        let ends = [self.encoded.last(), self.hash.first(), self.hash.last()];
        let lines = lines.chain(ends.into_iter().flatten());
        let children = self
            .children()
            .iter()
            .step_by(CACHE_LINE / size_of::<Child>());
        let children = children.map(|child| u8::from(child.is_some()));
        lines.fold(0, |all, byte| all ^ byte) ^ children.fold(0, |all, child| all ^ child)
    }

    /// Its encoding.
    pub(super) fn encoded(&self) -> &Encoded {
        &self.encoded
    }

    /// The child of a branch under a nibble, where it is in memory and is the one with this hash.
    pub(super) fn child(&self, nibble: u8, hash: &B256) -> Option<&Self> {
        self.last_child(nibble)?.named(hash)
    }

    /// The child of an extension, likewise.
    pub(super) fn only_child(&self, hash: &B256) -> Option<&Self> {
        match &self.below {
            Below::Extension(extension) => extension.child.as_deref()?.named(hash),
            Below::Leaf | Below::Branch(..) => None,
        }
    }

    /// Reads what `updates`, sorted, lead to below this node, `depth` nibbles from the root, level by level. That changes
    /// nothing: but nodes of one level do not wait for one another on their way from memory, as those of one path do.
    pub(super) fn warm<T>(&self, mut depth: usize, updates: &[(Nibbles, T)]) {
        let mut level = vec![(self, updates)];
        let mut below = Vec::new();
        let mut seen = 0;
        while !level.is_empty() {
            for (node, mut updates) in level.drain(..) {
                seen ^= node.touch();
                let Below::Branch(_, children) = &node.below else {
                    continue;
                };
                while let Some((nibble, run)) = next_run(&mut updates, depth) {
                    let child = children.get(usize::from(nibble));
                    below.extend(child.and_then(Option::as_deref).map(|child| (child, run)));
                }
            }
            std::mem::swap(&mut level, &mut below);
            depth += 1;
        }
        std::hint::black_box(seen);
    }

    fn named(&self, hash: &B256) -> Option<&Self> {
        self.is(hash).then_some(self)
    }

    /// A node with nothing below it; `None` where the bytes are no node.
    fn new(hash: B256, encoded: Encoded, touched: u64) -> Option<Self> {
        let items = Items::of(&encoded).ok()?;
        let below = if let Some(shape) = items.shape().ok()? {
            Below::Branch(shape, Box::default())
        } else {
            match items.stretch().ok()? {
                (path, Some(_)) => Below::Extension(Box::new(Extension { path, child: None })),
                (_, None) => Below::Leaf,
            }
        };
        Some(Self {
            hash,
            encoded,
            touched,
            below,
        })
    }

    /// Bytes of the node alone.
    fn bytes(&self) -> usize {
        let below = match &self.below {
            Below::Leaf => 0,
            Below::Extension(_) => size_of::<Extension>(),
            Below::Branch(..) => size_of::<[Child; 16]>(),
        };
        OVERHEAD + self.encoded.len() + below
    }

    fn children(&self) -> &[Child] {
        match &self.below {
            Below::Leaf => &[],
            Below::Extension(extension) => std::slice::from_ref(&extension.child),
            Below::Branch(_, children) => &children[..],
        }
    }

    fn children_mut(&mut self) -> &mut [Child] {
        match &mut self.below {
            Below::Leaf => &mut [],
            Below::Extension(extension) => std::slice::from_mut(&mut extension.child),
            Below::Branch(_, children) => &mut children[..],
        }
    }
}

/// Nodes and bytes of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Nodes.
    pub nodes: usize,
    /// Bytes that they are charged with.
    pub bytes: usize,
}

impl std::ops::AddAssign for Weight {
    fn add_assign(&mut self, other: Self) {
        self.nodes += other.nodes;
        self.bytes += other.bytes;
    }
}

impl std::ops::SubAssign for Weight {
    fn sub_assign(&mut self, other: Self) {
        self.nodes -= other.nodes;
        self.bytes -= other.bytes;
    }
}

impl Weight {
    fn add_node(&mut self, node: &Node) {
        self.nodes += 1;
        self.bytes += node.bytes();
    }

    /// Takes a node and all below it off.
    fn remove_node(&mut self, node: &Node) {
        self.nodes -= 1;
        self.bytes -= node.bytes();
        for child in node.children().iter().flatten() {
            self.remove_node(child);
        }
    }
}

/// The nodes of one trie that are in memory.
#[derive(Debug, Default)]
pub struct Tree {
    root: Child,
    weight: Weight,
}

impl Tree {
    /// The root, where it is the one with this hash.
    pub fn root(&self, hash: &B256) -> Option<&Node> {
        self.root.as_deref()?.named(hash)
    }

    /// Reads what is here of the ways to `keys`, sorted, so that an update soon after finds it near. That changes nothing.
    pub fn warm(&self, keys: &[(Nibbles, ())]) {
        if let Some(root) = &self.root {
            root.warm(0, keys);
        }
    }

    /// What it holds.
    pub fn weight(&self) -> Weight {
        self.weight
    }

    /// Puts in what block `number` made of the trie: its changed nodes, in the order of their paths. One whose parent
    /// is not here is left out.
    pub fn apply(&mut self, made: &[MadeNode], number: u64) {
        place(&mut self.root, 0, made, number, &mut self.weight);
    }

    /// Lets everything go that no block from `oldest` on has led through.
    pub fn forget_before(&mut self, oldest: u64) {
        forget(&mut self.root, oldest, &mut self.weight);
    }

    /// Adds the bytes of the nodes to those of the blocks that led through them last; the number of the nodes.
    pub fn bytes_by_block(&self, blocks: &mut BTreeMap<u64, usize>) -> usize {
        fn add(node: &Node, blocks: &mut BTreeMap<u64, usize>) -> usize {
            *blocks.entry(node.touched).or_default() += node.bytes();
            let children = node.children().iter().flatten();
            children.map(|child| add(child, blocks)).sum::<usize>() + 1
        }
        self.root.as_ref().map_or(0, |root| add(root, blocks))
    }
}

/// Puts changed nodes in at a place of so many nibbles, and below it.
fn place(slot: &mut Child, at: usize, made: &[MadeNode], number: u64, weight: &mut Weight) {
    let mut below = made;
    if let Some((own, others)) = made.split_first()
        && own.at.len() == at
    {
        below = others;
        replace(slot, own, number, weight);
    }
    match slot.as_mut().map(|node| &mut node.below) {
        Some(Below::Branch(_, children)) => {
            while let Some(nibble) = below.first().and_then(|first| first.at.get(at)) {
                let same = below.partition_point(|made| made.at.get(at) <= Some(nibble));
                let (these, others) = below.split_at(same);
                if let Some(child) = children.get_mut(usize::from(nibble)) {
                    place(child, at + 1, these, number, weight);
                }
                below = others;
            }
        }
        Some(Below::Extension(extension)) => {
            let end = at + extension.path.len();
            // What lies elsewhere was there before the extension was, and is gone.
            let along =
                |made: &&MadeNode| made.at.len() >= end && made.at.slice(at..end) == extension.path;
            let from = below.iter().position(|made| along(&made));
            let below = from.and_then(|from| below.get(from..)).unwrap_or_default();
            let count = below.iter().take_while(along).count();
            let below = below.get(..count).unwrap_or_default();
            place(&mut extension.child, end, below, number, weight);
        }
        Some(Below::Leaf) | None => {}
    }
}

/// Puts one changed node in. What is known below it stays, where it is in the same places.
fn replace(slot: &mut Child, made: &MadeNode, number: u64, weight: &mut Weight) {
    let new = made.node.as_ref().and_then(|(hash, encoded)| {
        let node = Node::new((*hash)?, encoded.apart(), number)?;
        Some(Box::new(node))
    });
    let mut old = std::mem::replace(slot, new);
    if let (Some(old), Some(new)) = (&mut old, &mut *slot) {
        match (&mut old.below, &mut new.below) {
            (Below::Branch(_, before), Below::Branch(_, after)) => std::mem::swap(before, after),
            (Below::Extension(before), Below::Extension(after)) if before.path == after.path => {
                std::mem::swap(&mut before.child, &mut after.child);
            }
            _ => {}
        }
    }
    if let Some(old) = old {
        weight.remove_node(&old);
    }
    if let Some(new) = slot {
        weight.add_node(new);
    }
}

fn forget(slot: &mut Child, oldest: u64, weight: &mut Weight) {
    let Some(node) = slot else { return };
    if node.touched < oldest {
        weight.remove_node(node);
        *slot = None;
        return;
    }
    for child in node.children_mut() {
        forget(child, oldest, weight);
    }
}
