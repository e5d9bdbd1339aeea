//! The end of an update: encoding and hashing every node that was made.
//!
//! A node's encoding needs its children's hashes, and nodes of one depth do not need each other: so
//! they are hashed level by level from the deepest, and all tries of a block together, in vector
//! code that hashes several nodes at a time. The encodings lie one behind another.

use super::{
    ChangedNode, Encoded, NodeChange, NodeSource,
    node::{self, NO_CHILD, NodeRef, Shape},
    workspace::{Child, Kind, Read, Value, Work, Workspace},
};
use crate::StoreError;
use alloy_primitives::{B256, keccak256};
use alloy_rlp::BufMut as _;
use pars_kernels::keccak::Sponge;
use std::{cmp::Ordering, sync::Arc};

/// Longest path in nibbles.
const DEEPEST: usize = 64;

/// About as long as most nodes are.
pub(super) const USUAL_BYTES: usize = 300;

/// Whether every node that was read is the one its parent names. `source_of` tells where the read of a number was made.
///
/// # Errors
///
/// [`StoreError`] for the first one that is not.
pub(super) fn check<'s, S: NodeSource + 's>(
    reads: &mut [Read],
    source_of: impl Fn(usize) -> Option<&'s S>,
) -> Result<(), StoreError> {
    let messages: Vec<[&[u8]; 2]> = reads
        .iter()
        .filter(|read| read.unchecked.is_some())
        .map(|read| [&read.encoded[..], &[]])
        .collect();
    let mut found = vec![0; messages.len() * 32];
    Sponge::KECCAK256.hash_many(&messages, &mut found);
    let mut found = found.chunks_exact(32).map(B256::from_slice);
    for (number, read) in reads.iter_mut().enumerate() {
        let Some(named) = read.unchecked.take() else {
            continue;
        };
        let hash = found.next().unwrap_or_default();
        match named.as_hash() {
            Some(named) if named == hash => {}
            None if **named == read.encoded[..] => {}
            _ => {
                let reason = "the node is not the one its parent names";
                return Err(match source_of(number) {
                    Some(source) => source.damaged(&read.at, reason.to_owned()),
                    // Each was made somewhere.
                    None => StoreError::Engine {
                        doing: "check a node",
                        reason: reason.to_owned(),
                    },
                });
            }
        }
    }
    Ok(())
}

/// Root hash of a trie whose root is referred to like this.
pub(super) fn root_hash(reference: &NodeRef) -> B256 {
    // A short reference is the encoding itself, and a root is always hashed.
    reference.as_hash().unwrap_or_else(|| keccak256(reference))
}

/// Encodes and hashes all that was made; the encodings are appended to `out`.
pub(super) fn encode(workspace: &mut Workspace<'_>, out: &mut Vec<u8>) {
    let mut levels: Vec<Vec<usize>> = vec![Vec::new(); DEEPEST + 1];
    let mut nodes = 0;
    for (index, work) in workspace.works.iter().enumerate() {
        if !matches!(work.kind, Kind::Nothing)
            && let Some(level) = levels.get_mut(work.at.len())
        {
            level.push(index);
            nodes += 1;
        }
    }
    out.reserve(nodes * USUAL_BYTES);
    let mut spans = Vec::new();
    for level in levels.iter().rev() {
        spans.clear();
        for &index in level {
            let start = out.len();
            workspace.encode(index, out);
            spans.push((start, out.len()));
        }
        let mut level = level.iter();
        name(&spans, out, |span, reference| {
            if let Some(work) = level
                .next()
                .and_then(|index| workspace.works.get_mut(*index))
            {
                work.reference = reference;
                work.span = span;
            }
        });
    }
}

/// Finds how the parents of some nodes, whose encodings are in `out`, refer to them; `tell` is given each in its order,
/// and where its encoding is.
pub(super) fn name(
    spans: &[(usize, usize)],
    out: &[u8],
    mut tell: impl FnMut((u32, u32), NodeRef),
) {
    let encodings = || {
        let spans = spans.iter();
        spans.map(|(start, end)| out.get(*start..*end).unwrap_or_default())
    };
    // Shorter ones stand in their parents as they are.
    let long = |encoding: &&[u8]| encoding.len() >= node::HASHED_FROM;
    let messages: Vec<[&[u8]; 2]> = encodings()
        .filter(long)
        .map(|encoding| [encoding, &[]])
        .collect();
    let mut hashes = vec![0; messages.len() * 32];
    Sponge::KECCAK256.hash_many(&messages, &mut hashes);
    let mut hashes = hashes.chunks_exact(32);
    for (encoding, (start, end)) in encodings().zip(spans) {
        let reference = if long(&encoding) {
            let hash = hashes.next().map(B256::from_slice);
            NodeRef::word_rlp(&hash.unwrap_or_default())
        } else {
            node::reference(encoding)
        };
        let bound = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        tell((bound(*start), bound(*end)), reference);
    }
}

/// Appends the encoding of a branch: that with the encoding `base`, or none, with `value` and some references, by the
/// numbers of their children, in the places of others.
pub(super) fn encode_branch<'b>(
    base: Option<(&'b [u8], Shape)>,
    references: impl Iterator<Item = (u8, &'b [u8])> + Clone,
    value: &[u8],
    out: &mut Vec<u8>,
) {
    if let Some((encoded, shape)) = base
        && value.is_empty()
        && !shape.has_value()
        && replace_hashes(encoded, shape, references.clone(), out)
    {
        return;
    }
    let mut all = [NO_CHILD; 16];
    if let Some((encoded, shape)) = base {
        for (index, reference) in all.iter_mut().enumerate() {
            *reference = shape.reference(encoded, index).unwrap_or(NO_CHILD);
        }
    }
    for (nibble, new) in references {
        if let Some(reference) = all.get_mut(usize::from(nibble)) {
            *reference = new;
        }
    }
    node::encode_branch(&all, value, out);
}

/// Appends the encoding of a branch with other hashes for some children; nothing, and `false`, where more than that
/// differs.
fn replace_hashes<'b>(
    encoded: &[u8],
    shape: Shape,
    mut references: impl Iterator<Item = (u8, &'b [u8])>,
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    out.put_slice(encoded);
    let all = references.try_for_each(|(nibble, reference)| {
        let nibble = usize::from(nibble);
        let was_there = shape.present() >> nibble & 1 == 1;
        let at = shape.hash_at(encoded.len(), nibble).filter(|_| was_there)?;
        let (_, hash) = reference.split_first()?;
        out.get_mut(start + at..start + at + 32)?
            .copy_from_slice(hash.first_chunk::<32>()?);
        Some(())
    });
    if all.is_none() {
        out.truncate(start);
    }
    all.is_some()
}

impl Workspace<'_> {
    /// Appends the encoding of a node, whose children are encoded.
    fn encode(&self, index: usize, out: &mut Vec<u8>) {
        let Some(work) = self.works.get(index) else {
            return;
        };
        match &work.kind {
            Kind::Nothing => {}
            Kind::Leaf { path, value } => node::encode_leaf(path, self.value(value), out),
            Kind::Extension { path, child } => {
                node::encode_extension(path, self.reference(child), out);
            }
            Kind::Branch { base, links, value } => {
                let links = self.links.get(links.0..links.1).unwrap_or_default();
                let references = links.iter();
                let references = references.map(|(nibble, child)| (*nibble, self.reference(child)));
                let base = base.and_then(|(read, shape)| {
                    let read = self.reads.get(read)?;
                    Some((&read.encoded[..], shape))
                });
                let value = value.as_ref().map_or(&[][..], |value| self.value(value));
                encode_branch(base, references, value, out);
            }
        }
    }

    fn value<'b>(&'b self, value: &Value<'b>) -> &'b [u8] {
        match value {
            Value::Given(value) => value,
            Value::Kept(read) => self.kept(*read),
        }
    }

    /// How a parent refers to a child.
    fn reference<'b>(&'b self, child: &'b Child) -> &'b [u8] {
        match child {
            Child::Nothing => NO_CHILD,
            Child::Made(index) => match self.works.get(*index) {
                Some(work) => &work.reference,
                None => NO_CHILD,
            },
            Child::Kept(reference) => reference,
        }
    }
}

/// Adds what differs between the nodes that were read and those that are there now. Wherever there was a
/// node in the way it was read, so none read is none there.
pub(super) fn changes(
    reads: &[Read],
    works: &[Work<'_>],
    encodings: &Arc<Vec<u8>>,
    changes: &mut Vec<ChangedNode>,
) {
    let mut reads: Vec<&Read> = reads.iter().filter(|read| !read.stays).collect();
    // They are in order but for the last children of branches that went.
    if !reads.is_sorted_by_key(|read| read.at) {
        reads.sort_by_key(|read| read.at);
    }
    let mut reads = reads.into_iter().peekable();
    let works = works.iter();
    let mut works = works
        .filter(|work| !matches!(work.kind, Kind::Nothing))
        .peekable();
    loop {
        let order = match (reads.peek(), works.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(read), Some(work)) => read.at.cmp(&work.at),
        };
        let before = reads.next_if(|_| order.is_le());
        let after = works.next_if(|_| order.is_ge());
        let (at, hash) = match (before, after) {
            (_, Some(work)) => (work.at, work.reference.as_hash()),
            (Some(read), None) => (read.at, None),
            (None, None) => return,
        };
        let before = before.map(|read| read.encoded.clone());
        let after = after.map(|work| Encoded::part(encodings, work.span));
        if before != after {
            let change = NodeChange {
                before,
                after,
                hash,
            };
            changes.push((at, change));
        }
    }
}
