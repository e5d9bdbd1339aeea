//! Roots of lists.
//!
//! Their tries have a leaf for each item and few nodes besides. How deep a leaf is follows from the keys beside its own,
//! so all leaves are encoded and hashed first, together, and then the forks above them.

use super::{
    finish,
    node::{self, NO_CHILD, NodeRef},
    walk::next_run,
};
use alloy_primitives::B256;
use alloy_rlp::encode_fixed_size;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

/// First index whose RLP is longer than itself, and so comes behind that of 0.
const FIRST_LONG: usize = 0x80;

/// More bytes than a leaf adds to its item.
const LEAF_BYTES: usize = 16;

/// Root of the trie that holds each of `items` under the RLP of its index, as blocks name their transactions and
/// receipts (yellow paper, section 4.3.2). `length` says how many bytes an item has, and `encode` appends them to what is
/// there; none may be empty. Where that is another number it takes longer.
pub fn list_root<T>(
    items: &[T],
    length: impl Fn(&T) -> usize,
    encode: impl Fn(&T, &mut Vec<u8>),
) -> B256 {
    let short = items.len().min(FIRST_LONG);
    let in_order = (1..short).chain(0..short.min(1)).chain(short..items.len());
    let entries: Vec<_> = in_order
        .filter_map(|index| {
            let item = items.get(index)?;
            let key = Nibbles::unpack(encode_fixed_size(&index));
            Some((key, length(item), item))
        })
        .collect();
    let leaves = leaves(&entries, encode);
    let mut forks = Vec::new();
    let top = find(&leaves, 0, &mut forks);
    finish_forks(&mut forks);
    match top {
        None => EMPTY_ROOT_HASH,
        Some(Child::Leaf(reference)) => finish::root_hash(reference),
        Some(Child::Fork(top)) => {
            let top = forks.get(top).map(|fork| &fork.reference);
            top.map_or(EMPTY_ROOT_HASH, finish::root_hash)
        }
    }
}

/// The leaves, by their keys.
fn leaves<T>(
    entries: &[(Nibbles, usize, &T)],
    encode: impl Fn(&T, &mut Vec<u8>),
) -> Vec<(Nibbles, NodeRef)> {
    let lengths = entries.iter().map(|(_, length, _)| length);
    let mut out = Vec::with_capacity(lengths.sum::<usize>() + entries.len() * LEAF_BYTES);
    let mut spans = Vec::with_capacity(entries.len());
    let mut shared_before = None;
    for (index, (key, length, item)) in entries.iter().enumerate() {
        let next = entries.get(index + 1);
        let shared = next.map(|(next, ..)| key.common_prefix_length(next));
        // It hangs on the deeper one of the forks where it leaves its neighbours.
        let depth = shared.max(shared_before).map_or(0, |fork| fork + 1);
        shared_before = shared;
        let start = out.len();
        node::encode_leaf_of(&key.slice(depth..), *length, &mut out, |out| {
            encode(item, out)
        });
        spans.push((start, out.len()));
    }
    let mut leaves = Vec::with_capacity(entries.len());
    let mut keys = entries.iter().map(|(key, ..)| *key);
    finish::name(&spans, &out, |_, reference| {
        leaves.extend(keys.next().map(|key| (key, reference)));
    });
    leaves
}

/// A node above leaves: a branch, and behind its parent an extension where the leaves share more than the path there.
#[derive(Debug)]
struct Fork<'a> {
    /// The path of the branch, from where its parent refers to it.
    path: Nibbles,
    depth: usize,
    children: Vec<(u8, Child<'a>)>,
    /// How its parent refers to it.
    reference: NodeRef,
}

#[derive(Clone, Copy, Debug)]
enum Child<'a> {
    Leaf(&'a NodeRef),
    /// The fork of this number.
    Fork(usize),
}

/// Adds the forks above leaves whose paths share so many nibbles with that of their parent; what is the topmost of them,
/// where there are leaves.
fn find<'a>(
    mut leaves: &'a [(Nibbles, NodeRef)],
    from: usize,
    forks: &mut Vec<Fork<'a>>,
) -> Option<Child<'a>> {
    let (first, last) = match leaves {
        [] => return None,
        [(_, reference)] => return Some(Child::Leaf(reference)),
        [(first, _), .., (last, _)] => (first, last),
    };
    let depth = first.common_prefix_length(last);
    let path = first.slice(from..depth);
    let mut children = Vec::with_capacity(16);
    while let Some((nibble, run)) = next_run(&mut leaves, depth) {
        children.extend(find(run, depth + 1, forks).map(|child| (nibble, child)));
    }
    forks.push(Fork {
        path,
        depth,
        children,
        reference: NodeRef::default(),
    });
    Some(Child::Fork(forks.len() - 1))
}

/// Encodes and hashes forks, from the deepest.
fn finish_forks(forks: &mut [Fork<'_>]) {
    let deepest = forks.iter().map(|fork| fork.depth).max().unwrap_or(0);
    let mut out = Vec::new();
    for depth in (0..=deepest).rev() {
        out.clear();
        let mut spans = Vec::new();
        for fork in forks.iter().filter(|fork| fork.depth == depth) {
            let mut references = [NO_CHILD; 16];
            for (nibble, child) in &fork.children {
                if let Some(place) = references.get_mut(usize::from(*nibble)) {
                    *place = reference(*child, forks);
                }
            }
            let start = out.len();
            node::encode_branch(&references, &[], &mut out);
            spans.push((start, out.len()));
        }
        let mut level = forks.iter_mut().filter(|fork| fork.depth == depth);
        finish::name(&spans, &out, |_, reference| {
            if let Some(fork) = level.next() {
                fork.reference = reference;
                if !fork.path.is_empty() {
                    // Few forks have one.
                    let mut extension = Vec::new();
                    node::encode_extension(&fork.path, &fork.reference, &mut extension);
                    fork.reference = node::reference(&extension);
                }
            }
        });
    }
}

fn reference<'b>(child: Child<'b>, forks: &'b [Fork<'_>]) -> &'b [u8] {
    match child {
        Child::Leaf(reference) => reference,
        Child::Fork(fork) => forks.get(fork).map_or(NO_CHILD, |fork| &fork.reference),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_rlp::BufMut as _;
    use alloy_trie::root::ordered_trie_root_with_encoder;

    /// Through every length of an index that a block has, with items that are embedded and items that are hashed.
    #[test]
    fn lists_have_the_root_that_the_library_computes() {
        let item = |n: usize| vec![n.to_le_bytes()[0] | 1; 1 + n * 37 % 300];
        for length in [
            0, 1, 2, 15, 16, 17, 127, 128, 129, 255, 256, 257, 700, 66_000,
        ] {
            let items: Vec<_> = (0..length).map(item).collect();
            let wanted = ordered_trie_root_with_encoder(&items, |item, out| out.put_slice(item));
            let encode = |item: &Vec<u8>, out: &mut Vec<u8>| out.put_slice(item);
            assert_eq!(
                list_root(&items, Vec::len, encode),
                wanted,
                "{length} items"
            );
            for wrong in [0, 1, 55, 300, 70_000].into_iter().filter(|_| length < 800) {
                let length = |item: &Vec<u8>| {
                    if item.len().is_multiple_of(3) {
                        wrong
                    } else {
                        item.len()
                    }
                };
                assert_eq!(list_root(&items, length, encode), wanted, "{wrong} bytes");
            }
        }
    }
}
