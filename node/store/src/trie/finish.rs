//! The end of an update: encoding and hashing every node that was loaded.
//!
//! A node's encoding needs its children's hashes, and nodes of one depth do not need each other: so
//! they are hashed level by level from the deepest, and all tries of a block together, in vector
//! code that hashes several nodes at a time.

use super::{
    Loaded, NodeChange, NodeChanges, NodeSource, Slot, Stored, Trie,
    node::{self, Node, NodeRef},
};
use crate::StoreError;
use alloy_primitives::B256;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use pars_kernels::keccak::Sponge;

/// Longest path in nibbles.
const DEEPEST: usize = 64;

/// A node to encode.
struct Pending {
    trie: usize,
    at: Nibbles,
    node: Parts,
    /// Its encoding and the reference to it, once there.
    done: Option<(Vec<u8>, NodeRef)>,
}

/// A node whose children may not have references yet.
enum Parts {
    Leaf {
        path: Nibbles,
        value: Vec<u8>,
    },
    Extension {
        path: Nibbles,
        child: Child,
    },
    Branch {
        children: Box<[Child; 16]>,
        value: Option<Vec<u8>>,
    },
}

/// A child of a node.
#[derive(Default)]
enum Child {
    #[default]
    None,
    /// Not loaded, so unchanged.
    Known(NodeRef),
    /// Another pending node.
    Pending(usize),
}

/// Root and changed nodes of each trie.
///
/// # Errors
///
/// [`StoreError`] where a node that was read is not the one its parent names.
pub fn finish_many<S: NodeSource>(
    tries: Vec<Trie<S>>,
) -> Result<Vec<(B256, NodeChanges)>, StoreError> {
    check_read(&tries)?;
    let mut pending = Vec::new();
    let mut levels: Vec<Vec<usize>> = vec![Vec::new(); DEEPEST + 1];
    let mut finished = Vec::with_capacity(tries.len());
    for (number, trie) in tries.into_iter().enumerate() {
        let known = match &trie.root {
            Slot::Empty => EMPTY_ROOT_HASH,
            Slot::Stored(Stored::Root(root)) => *root,
            Slot::Stored(Stored::Child(child)) => child.as_hash().unwrap_or_default(),
            // Found below.
            Slot::Loaded(_) => B256::ZERO,
        };
        if matches!(trie.root, Slot::Loaded(_)) {
            collect(trie.root, number, Nibbles::new(), &mut pending, &mut levels);
        }
        finished.push((known, trie.read, NodeChanges::new()));
    }
    for level in levels.iter().rev() {
        encode_level(level, &mut pending);
    }
    for node in pending {
        let (Some((encoded, reference)), Some((root, read, changes))) =
            (node.done, finished.get_mut(node.trie))
        else {
            continue;
        };
        if node.at.is_empty() {
            // A root is always hashed, however short.
            *root = reference
                .as_hash()
                .unwrap_or_else(|| node::root_hash(&encoded));
        }
        // Wherever there was a node in the way it was read, so none read is none there.
        let before = read.remove(&node.at).map(|read| read.encoded);
        if before.as_ref() != Some(&encoded) {
            let after = Some(encoded);
            changes.insert(node.at, NodeChange { before, after });
        }
    }
    let finished = finished.into_iter().map(|(root, read, mut changes)| {
        // What was read and is in its place no more.
        for (path, read) in read {
            let before = Some(read.encoded);
            let gone = NodeChange {
                before,
                after: None,
            };
            changes.insert(path, gone);
        }
        (root, changes)
    });
    Ok(finished.collect())
}

/// Whether every node that was read is the one its parent names.
fn check_read<S: NodeSource>(tries: &[Trie<S>]) -> Result<(), StoreError> {
    let wrong = |trie: &Trie<S>, at: &Nibbles| {
        let reason = "the node is not the one its parent names".to_owned();
        trie.source.damaged(at, reason)
    };
    let mut hashed = Vec::new();
    for trie in tries {
        for (at, read) in &trie.read {
            let hash = match &read.named {
                Stored::Root(root) => Some(*root),
                Stored::Child(child) => child.as_hash(),
            };
            match (hash, &read.named) {
                (Some(hash), _) => hashed.push((trie, at, hash, &read.encoded)),
                (None, Stored::Child(child)) if *child == node::reference(&read.encoded) => {}
                (None, _) => return Err(wrong(trie, at)),
            }
        }
    }
    let messages: Vec<[&[u8]; 2]> = hashed
        .iter()
        .map(|(_, _, _, encoded)| [encoded.as_slice(), &[]])
        .collect();
    let mut found = vec![0; messages.len() * 32];
    Sponge::KECCAK256.hash_many(&messages, &mut found);
    for ((trie, at, hash, _), found) in hashed.iter().zip(found.chunks_exact(32)) {
        if hash.as_slice() != found {
            return Err(wrong(trie, at));
        }
    }
    Ok(())
}

/// Lists the loaded nodes below `slot` by the length of their paths; how a parent refers to it.
fn collect(
    slot: Slot,
    trie: usize,
    at: Nibbles,
    pending: &mut Vec<Pending>,
    levels: &mut [Vec<usize>],
) -> Child {
    let node = match slot {
        Slot::Empty => return Child::None,
        Slot::Stored(Stored::Child(reference)) => return Child::Known(reference),
        Slot::Stored(Stored::Root(root)) => return Child::Known(NodeRef::word_rlp(&root)),
        Slot::Loaded(node) => match *node {
            Loaded::Leaf { path, value } => Parts::Leaf { path, value },
            Loaded::Extension { path, child } => Parts::Extension {
                child: collect(child, trie, at.join(&path), pending, levels),
                path,
            },
            Loaded::Branch(branch) => {
                let branch = *branch;
                let mut nibbles = 0u8..;
                let children = branch.children.map(|child| {
                    let nibble = nibbles.next().unwrap_or_default();
                    collect(child, trie, super::join(&at, nibble), pending, levels)
                });
                Parts::Branch {
                    children: Box::new(children),
                    value: branch.value,
                }
            }
        },
    };
    let index = pending.len();
    if let Some(level) = levels.get_mut(at.len()) {
        level.push(index);
    }
    pending.push(Pending {
        trie,
        at,
        node,
        done: None,
    });
    Child::Pending(index)
}

/// Encodes and hashes nodes whose children are done.
fn encode_level(level: &[usize], pending: &mut [Pending]) {
    let mut encodings: Vec<(usize, Vec<u8>)> = Vec::with_capacity(level.len());
    for &index in level {
        let Some(node) = pending.get_mut(index) else {
            continue;
        };
        let parts = std::mem::replace(
            &mut node.node,
            Parts::Leaf {
                path: Nibbles::new(),
                value: Vec::new(),
            },
        );
        let reference = |child: Child| match child {
            Child::None => None,
            Child::Known(reference) => Some(reference),
            Child::Pending(index) => {
                let done = pending.get(index).and_then(|child| child.done.as_ref());
                done.map(|(_, reference)| reference.clone())
            }
        };
        let node = match parts {
            Parts::Leaf { path, value } => Node::Leaf { path, value },
            Parts::Extension { path, child } => Node::Extension {
                path,
                child: reference(child).unwrap_or_default(),
            },
            Parts::Branch { children, value } => Node::Branch {
                children: Box::new(children.map(reference)),
                value,
            },
        };
        encodings.push((index, node.encode()));
    }
    // Shorter ones stand in their parents as they are.
    let long: Vec<[&[u8]; 2]> = encodings
        .iter()
        .filter(|(_, encoded)| encoded.len() >= node::HASHED_FROM)
        .map(|(_, encoded)| [encoded.as_slice(), &[]])
        .collect();
    let mut hashes = vec![0; long.len() * 32];
    Sponge::KECCAK256.hash_many(&long, &mut hashes);
    let mut hashes = hashes.chunks_exact(32);
    for (index, encoded) in encodings {
        let reference = if encoded.len() >= node::HASHED_FROM {
            let hash = hashes.next().map(B256::from_slice);
            NodeRef::word_rlp(&hash.unwrap_or_default())
        } else {
            node::reference(&encoded)
        };
        if let Some(node) = pending.get_mut(index) {
            node.done = Some((encoded, reference));
        }
    }
}
