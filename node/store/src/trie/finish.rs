//! The end of an update: encoding and hashing every node that was loaded.
//!
//! A node's encoding needs its children's hashes, and nodes of one depth do not need each other: so
//! they are hashed level by level from the deepest, and all tries of a block together, in vector
//! code that hashes several nodes at a time.

use super::{
    NodeChange, NodeChanges, NodeSource, Read, Trie,
    cache::Encoded,
    loaded::{Loaded, Slot},
    node::{self, Node, NodeRef},
};
use crate::StoreError;
use alloy_primitives::{B256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use pars_kernels::keccak::Sponge;
use std::{cmp::Ordering, sync::Arc};

/// Longest path in nibbles.
const DEEPEST: usize = 64;

/// A node to encode.
#[derive(Debug)]
pub(super) struct Pending {
    trie: usize,
    at: Nibbles,
    /// The node, with every loaded child listed too; `None` once it is encoded.
    node: Option<Box<Loaded>>,
    /// The reference to it and its encoding, once there.
    done: Option<(NodeRef, Encoded)>,
}

impl Pending {
    /// How a parent refers to it, once it is encoded.
    pub(super) fn reference(&self) -> Option<&NodeRef> {
        self.done.as_ref().map(|(reference, _)| reference)
    }
}

/// A trie, or a part of one, after encoding.
#[derive(Default)]
pub(super) struct Finished {
    /// How a parent refers to the root.
    pub(super) root: Option<NodeRef>,
    /// What was read, all of it checked.
    pub(super) read: Vec<Read>,
    /// Every node that was loaded or made and is still there.
    pub(super) nodes: Vec<(Nibbles, Encoded)>,
}

impl Finished {
    /// Root hash of a whole trie.
    pub(super) fn root_hash(&self) -> B256 {
        match &self.root {
            None => EMPTY_ROOT_HASH,
            // A short reference is the encoding itself, and a root is always hashed.
            Some(root) => root.as_hash().unwrap_or_else(|| keccak256(root)),
        }
    }

    /// Root hash and changed nodes of a whole trie.
    pub(super) fn changes(self) -> (B256, NodeChanges) {
        (self.root_hash(), changes(self.read, self.nodes))
    }
}

/// Root and changed nodes of each trie.
///
/// # Errors
///
/// [`StoreError`] where a node that was read is not the one its parent names.
pub fn finish_many<S: NodeSource>(
    tries: Vec<Trie<S>>,
) -> Result<Vec<(B256, NodeChanges)>, StoreError> {
    let encoded = encode_all(tries)?;
    Ok(encoded.into_iter().map(Finished::changes).collect())
}

/// Checks what was read, and encodes and hashes what is there now.
pub(super) fn encode_all<S: NodeSource>(
    mut tries: Vec<Trie<S>>,
) -> Result<Vec<Finished>, StoreError> {
    check_read(&mut tries)?;
    let mut pending = Vec::new();
    let mut levels: Vec<Vec<usize>> = vec![Vec::new(); DEEPEST + 1];
    let mut roots = Vec::with_capacity(tries.len());
    let mut sources = Vec::with_capacity(tries.len());
    for (number, trie) in tries.into_iter().enumerate() {
        let mut root = trie.root;
        collect(&mut root, number, trie.base, &mut pending, &mut levels);
        roots.push((root, trie.read));
        sources.push(trie.source);
    }
    for level in levels.iter().rev() {
        encode_level(level, &mut pending);
    }
    let mut encoded: Vec<Finished> = roots
        .into_iter()
        .map(|(root, read)| Finished {
            root: root.reference(&pending).cloned(),
            read,
            nodes: Vec::new(),
        })
        .collect();
    let mut hashed: Vec<Vec<_>> = vec![Vec::new(); encoded.len()];
    for node in pending {
        let (Some((reference, node_encoded)), Some(trie), Some(hashed)) = (
            node.done,
            encoded.get_mut(node.trie),
            hashed.get_mut(node.trie),
        ) else {
            continue;
        };
        if let Some(hash) = reference.as_hash() {
            hashed.push((hash, Arc::clone(&node_encoded)));
        }
        trie.nodes.push((node.at, node_encoded));
    }
    for ((source, hashed), trie) in sources.iter().zip(hashed).zip(&encoded) {
        let replaced = trie.read.iter().filter_map(|read| read.named.as_hash());
        source.remember(&replaced.collect::<Vec<_>>(), hashed);
    }
    Ok(encoded)
}

/// What differs between the nodes that were read and those that are there now. Wherever there was a
/// node in the way it was read, so none read is none there.
fn changes(mut read: Vec<Read>, mut nodes: Vec<(Nibbles, Encoded)>) -> NodeChanges {
    read.sort_unstable_by_key(|read| read.at);
    nodes.sort_unstable_by_key(|(at, _)| *at);
    let mut read = read.into_iter().peekable();
    let mut nodes = nodes.into_iter().peekable();
    std::iter::from_fn(|| {
        let order = match (read.peek(), nodes.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(read), Some((at, _))) => read.at.cmp(at),
        };
        let before = read.next_if(|_| order.is_le());
        let after = nodes.next_if(|_| order.is_ge());
        let at = match (&before, &after) {
            (Some(read), _) => read.at,
            (None, Some((at, _))) => *at,
            (None, None) => return None,
        };
        let before = before.map(|read| read.encoded);
        let after = after.map(|(_, encoded)| encoded);
        Some((at, NodeChange { before, after }))
    })
    .filter(|(_, change)| change.before != change.after)
    .collect()
}

/// Whether every node that was read is the one its parent names.
fn check_read<S: NodeSource>(tries: &mut [Trie<S>]) -> Result<(), StoreError> {
    let all = tries.iter().flat_map(|trie| &trie.read);
    let messages: Vec<[&[u8]; 2]> = all
        .filter(|read| !read.checked)
        .map(|read| [&read.encoded[..], &[]])
        .collect();
    let mut found = vec![0; messages.len() * 32];
    Sponge::KECCAK256.hash_many(&messages, &mut found);
    let mut found = found.chunks_exact(32).map(B256::from_slice);
    for trie in tries {
        let mut checked = Vec::new();
        for read in &mut trie.read {
            if read.checked {
                continue;
            }
            read.checked = true;
            let hash = found.next().unwrap_or_default();
            match read.named.as_hash() {
                Some(named) if named == hash => checked.push((hash, Arc::clone(&read.encoded))),
                None if *read.named == read.encoded[..] => {}
                _ => {
                    let reason = "the node is not the one its parent names".to_owned();
                    return Err(trie.source.damaged(&read.at, reason));
                }
            }
        }
        trie.source.remember(&[], checked);
    }
    Ok(())
}

/// Lists the loaded nodes at `slot` and below by the length of their paths, and leaves their numbers there.
fn collect(
    slot: &mut Slot,
    trie: usize,
    at: Nibbles,
    pending: &mut Vec<Pending>,
    levels: &mut [Vec<usize>],
) {
    if !matches!(slot, Slot::Loaded(_)) {
        return;
    }
    let Slot::Loaded(mut node) = std::mem::take(slot) else {
        return;
    };
    match &mut *node {
        Loaded::Leaf { .. } => {}
        Loaded::Extension { path, child } => collect(child, trie, at.join(path), pending, levels),
        Loaded::Branch(branch) => {
            for (nibble, child) in (0u8..).zip(&mut branch.children) {
                collect(child, trie, super::join(&at, nibble), pending, levels);
            }
        }
    }
    let index = pending.len();
    if let Some(level) = levels.get_mut(at.len()) {
        level.push(index);
    }
    pending.push(Pending {
        trie,
        at,
        node: Some(node),
        done: None,
    });
    *slot = Slot::Pending(index);
}

/// Encodes and hashes nodes whose children are done.
fn encode_level(level: &[usize], pending: &mut [Pending]) {
    let mut encoded: Vec<(usize, Encoded)> = Vec::with_capacity(level.len());
    let mut scratch = Vec::new();
    for &index in level {
        let Some(node) = pending.get_mut(index).and_then(|node| node.node.take()) else {
            continue;
        };
        scratch.clear();
        match *node {
            Loaded::Leaf { path, value } => Node::Leaf { path, value }.encode_to(&mut scratch),
            Loaded::Extension { path, child } => {
                let child = child.reference(pending).cloned().unwrap_or_default();
                Node::Extension { path, child }.encode_to(&mut scratch);
            }
            Loaded::Branch(branch) => branch.encode_to(pending, &mut scratch),
        }
        encoded.push((index, Encoded::from(&scratch[..])));
    }
    // Shorter ones stand in their parents as they are.
    let long: Vec<[&[u8]; 2]> = encoded
        .iter()
        .map(|(_, encoded)| [&encoded[..], &[]])
        .filter(|[encoded, _]: &[&[u8]; 2]| encoded.len() >= node::HASHED_FROM)
        .collect();
    let mut hashes = vec![0; long.len() * 32];
    Sponge::KECCAK256.hash_many(&long, &mut hashes);
    let mut hashes = hashes.chunks_exact(32);
    for (index, encoded) in encoded {
        let reference = if encoded.len() >= node::HASHED_FROM {
            let hash = hashes.next().map(B256::from_slice);
            NodeRef::word_rlp(&hash.unwrap_or_default())
        } else {
            node::reference(&encoded)
        };
        if let Some(node) = pending.get_mut(index) {
            node.done = Some((reference, encoded));
        }
    }
}
