//! Nodes of the Merkle-Patricia trie (Ethereum yellow paper, appendix D) and their RLP.
//!
//! A node is stored under its path, whole, even where its parent embeds it (an encoding of
//! fewer than 32 bytes is embedded instead of hashed), so that reading needs one rule only.

use alloy_primitives::{B256, keccak256};
use alloy_rlp::{BufMut, EMPTY_STRING_CODE, Encodable, Header};
use alloy_trie::{
    Nibbles,
    nodes::{RlpNode, encode_path_leaf},
};

/// What a parent says of a child: its hash, or its encoding where that is short.
pub type NodeRef = RlpNode;

/// A node with references to its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// The rest of a key and its value.
    Leaf {
        /// Rest of the key.
        path: Nibbles,
        /// The value.
        value: Vec<u8>,
    },
    /// A stretch of path without a fork; never empty.
    Extension {
        /// The stretch.
        path: Nibbles,
        /// The branch at its end.
        child: NodeRef,
    },
    /// A fork; of 16 children and the value at least two are there.
    Branch {
        /// Children by the next nibble.
        children: Box<[Option<NodeRef>; 16]>,
        /// Value of the key that ends here. Keys of one length never end in a branch, but
        /// Ethereum's trie allows it, and so do we.
        value: Option<Vec<u8>>,
    },
}

impl Node {
    /// The node's RLP.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_to(&mut out);
        out
    }

    /// Appends the node's RLP to `out`.
    pub fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Leaf { path, value } => encode_leaf(path, value, out),
            Self::Extension { path, child } => encode_extension(path, child, out),
            Self::Branch { children, value } => {
                let references = children.each_ref().map(|child| match child {
                    Some(child) => &child[..],
                    None => NO_CHILD,
                });
                encode_branch(&references, value.as_deref().unwrap_or_default(), out);
            }
        }
    }

    /// Reads a node that [`Self::encode`] wrote.
    ///
    /// # Errors
    ///
    /// [`alloy_rlp::Error`] where the bytes are no node.
    pub fn decode(bytes: &[u8]) -> Result<Self, alloy_rlp::Error> {
        Items::of(bytes)?.node()
    }
}

/// What a branch says where there is no child.
pub(super) const NO_CHILD: &[u8] = &[EMPTY_STRING_CODE];

/// Appends the RLP of a leaf.
pub(super) fn encode_leaf(path: &Nibbles, value: &[u8], out: &mut Vec<u8>) {
    encode_leaf_at(&encode_path_leaf(path, true), value, out);
}

/// The same, with the path in its hex-prefix form.
pub(super) fn encode_leaf_at(path: &[u8], value: &[u8], out: &mut Vec<u8>) {
    list(path.length() + value.length(), out);
    path.encode(out);
    value.encode(out);
}

/// The same, with a value that `encode` appends, which has this length most likely.
pub(super) fn encode_leaf_of(
    path: &Nibbles,
    length: usize,
    out: &mut Vec<u8>,
    encode: impl FnOnce(&mut Vec<u8>),
) {
    let path = encode_path_leaf(path, true);
    let header = Header {
        list: false,
        payload_length: length,
    };
    let start = out.len();
    list(path.as_slice().length() + header.length_with_payload(), out);
    path.as_slice().encode(out);
    header.encode(out);
    let value = out.len();
    encode(out);
    // A single byte may be its own encoding.
    if length == 1 || out.len() - value != length {
        let value = out.split_off(value);
        out.truncate(start);
        encode_leaf_at(&path, &value, out);
    }
}

/// The path of a leaf, in its hex-prefix form, and the value; `None` where the bytes are no leaf.
pub(super) fn leaf_parts(mut encoded: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut payload = Header::decode_bytes(&mut encoded, true).ok()?;
    let path = Header::decode_bytes(&mut payload, false).ok()?;
    let value = Header::decode_bytes(&mut payload, false).ok()?;
    let is_leaf = payload.is_empty() && path.first()? & LEAF_FLAG != 0;
    is_leaf.then_some((path, value))
}

/// Whether the path of a leaf, in its hex-prefix form, is what a key has from `depth` on. Only for keys of whole bytes
/// is the answer never `false` where it could be `true`.
pub(super) fn is_end_of(path: &[u8], key: &Nibbles, depth: usize) -> bool {
    let Some(nibbles) = key.len().checked_sub(depth) else {
        return false;
    };
    let odd = nibbles % 2 == 1;
    let flag = match key.get(depth).filter(|_| odd) {
        Some(first) => LEAF_FLAG | ODD_FLAG | first,
        None => LEAF_FLAG,
    };
    let start = depth + usize::from(odd);
    let end = key.pack();
    key.len().is_multiple_of(2)
        && path.split_first() == Some((&flag, end.get(start / 2..).unwrap_or_default()))
}

/// The bit of the hex-prefix form that tells a leaf.
const LEAF_FLAG: u8 = 0x20;

/// The bit of the hex-prefix form that tells an odd number of nibbles.
const ODD_FLAG: u8 = 0x10;

/// Appends the RLP of an extension; `child` is a reference.
pub(super) fn encode_extension(path: &Nibbles, child: &[u8], out: &mut Vec<u8>) {
    let path = encode_path_leaf(path, false);
    list(path.as_slice().length() + child.len(), out);
    path.as_slice().encode(out);
    out.put_slice(child);
}

/// Appends the RLP of a branch, from references or [`NO_CHILD`]; an empty value is none.
pub(super) fn encode_branch(references: &[&[u8]; 16], value: &[u8], out: &mut Vec<u8>) {
    let length = references.iter().map(|reference| reference.len());
    list(length.sum::<usize>() + value.length(), out);
    for reference in references {
        out.put_slice(reference);
    }
    value.encode(out);
}

/// Where in a branch's encoding its parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Bit n: there is a child n.
    present: u16,
    /// Whether every child is named by its hash and there is no value, as nearly always.
    regular: bool,
    has_value: bool,
}

impl Shape {
    /// Bit n: there is a child n.
    pub(super) fn present(self) -> u16 {
        self.present
    }

    /// Whether a key ends here.
    pub(super) fn has_value(self) -> bool {
        self.has_value
    }

    /// Whether every child is named by its hash and there is no value.
    pub(super) fn is_regular(self) -> bool {
        self.regular
    }

    /// The hash of the child under a nibble in the branch with this encoding, which is regular; `None` where there is no
    /// child.
    pub(super) fn hash(self, encoded: &[u8], nibble: u8) -> Option<&B256> {
        let start = self.hash_at(encoded.len(), usize::from(nibble))?;
        let there = self.present >> nibble & 1 == 1;
        let hash = encoded.get(start..start + 32).filter(|_| there)?;
        hash.try_into().ok()
    }

    /// The reference to child `index` in the branch with this encoding, with its header.
    pub(super) fn reference(self, encoded: &[u8], index: usize) -> Option<&[u8]> {
        if self.present >> index & 1 == 0 {
            return None;
        }
        match self.hash_at(encoded.len(), index) {
            Some(start) => encoded.get(start - 1..start + 32),
            None => Items::of(encoded).ok()?.branch()?.0.get(index).copied(),
        }
    }

    /// Where in an encoding of this length the hash of child `index`, which is there, begins; `None` where the branch
    /// is not regular.
    pub(super) fn hash_at(self, length: usize, index: usize) -> Option<usize> {
        let hashes = |mask: u16| 32 * usize::try_from(mask.count_ones()).unwrap_or(0);
        let payload = 17 + hashes(self.present);
        let before = self.present & !(u16::MAX << index);
        let start = length.checked_sub(payload)? + index + hashes(before) + 1;
        self.regular.then_some(start)
    }
}

/// The items of a node's list, each with its header.
pub(super) struct Items<'a> {
    items: [&'a [u8]; 17],
    count: usize,
}

impl<'a> Items<'a> {
    /// Splits a node.
    ///
    /// # Errors
    ///
    /// [`alloy_rlp::Error`] where the bytes are not one list.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self, alloy_rlp::Error> {
        let mut rest = bytes;
        let mut payload = Header::decode_bytes(&mut rest, true)?;
        if !rest.is_empty() {
            return Err(alloy_rlp::Error::Custom("bytes after the node"));
        }
        let mut items: [&[u8]; 17] = [&[]; 17];
        let mut count = 0;
        while !payload.is_empty() {
            let item = next_item(&mut payload)?;
            // One too many is no node either.
            if let Some(place) = items.get_mut(count) {
                *place = item;
            }
            count += 1;
        }
        Ok(Self { items, count })
    }

    fn all(&self) -> &[&'a [u8]] {
        self.items.get(..self.count).unwrap_or_default()
    }

    /// References to the sixteen children, and the value, where the node is a branch.
    pub(super) fn branch(&self) -> Option<(&[&'a [u8]], &'a [u8])> {
        match self.all() {
            [children @ .., value] if children.len() == 16 => Some((children, value)),
            _ => None,
        }
    }

    /// Where the parts of a branch are; `None` where the node is none.
    ///
    /// # Errors
    ///
    /// [`alloy_rlp::Error`] where the items are those of no branch.
    pub(super) fn shape(&self) -> Result<Option<Shape>, alloy_rlp::Error> {
        let Some((references, value)) = self.branch() else {
            return Ok(None);
        };
        let has_value = branch_value(value)?.is_some();
        let mut shape = Shape {
            present: 0,
            regular: !has_value,
            has_value,
        };
        for (index, reference) in references.iter().enumerate() {
            if *reference == [EMPTY_STRING_CODE] {
                continue;
            }
            check_reference(reference)?;
            shape.present |= 1 << index;
            shape.regular &= reference.first() == Some(&HASH_CODE);
        }
        Ok(Some(shape))
    }

    /// The value of a leaf or of a branch; `None` where there is none.
    pub(super) fn value(&self) -> Option<&'a [u8]> {
        let mut item = *self.all().last()?;
        Header::decode_bytes(&mut item, false).ok()
    }

    /// The node.
    ///
    /// # Errors
    ///
    /// [`alloy_rlp::Error`] where the items are those of no node.
    pub(super) fn node(&self) -> Result<Node, alloy_rlp::Error> {
        if let Some((children, value)) = self.branch() {
            let mut array: Box<[Option<NodeRef>; 16]> = Box::default();
            for (slot, child) in array.iter_mut().zip(children) {
                if *child != [EMPTY_STRING_CODE] {
                    *slot = Some(NodeRef::from_raw_rlp(child)?);
                }
            }
            return Ok(Node::Branch {
                children: array,
                value: branch_value(value)?,
            });
        }
        let (path, child) = self.stretch()?;
        Ok(match child {
            Some(child) => Node::Extension { path, child },
            None => Node::Leaf {
                path,
                value: self.value().unwrap_or_default().to_vec(),
            },
        })
    }

    /// The path of a leaf or of an extension, and the reference to the extension's child.
    ///
    /// # Errors
    ///
    /// [`alloy_rlp::Error`] where the items are those of neither.
    pub(super) fn stretch(&self) -> Result<(Nibbles, Option<NodeRef>), alloy_rlp::Error> {
        let [path, content] = self.all() else {
            return Err(alloy_rlp::Error::Custom("a node has 2 or 17 items"));
        };
        let mut path = *path;
        let (path, is_leaf) = decode_path(Header::decode_bytes(&mut path, false)?)?;
        if is_leaf {
            let mut content = *content;
            Header::decode_bytes(&mut content, false)?;
            Ok((path, None))
        } else if path.is_empty() {
            Err(alloy_rlp::Error::Custom("an extension without a path"))
        } else {
            Ok((path, Some(NodeRef::from_raw_rlp(content)?)))
        }
    }
}

/// The value of a branch, from its item.
pub(super) fn branch_value(mut item: &[u8]) -> Result<Option<Vec<u8>>, alloy_rlp::Error> {
    let value = Header::decode_bytes(&mut item, false)?;
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

/// How the RLP of a string of 32 bytes begins.
const HASH_CODE: u8 = EMPTY_STRING_CODE + 32;

/// Longest reference to a node: a hash with its header.
const LONGEST_REFERENCE: usize = 33;

/// Whether this is a reference to a node.
pub(super) fn check_reference(item: &[u8]) -> Result<(), alloy_rlp::Error> {
    if item.len() > LONGEST_REFERENCE {
        return Err(alloy_rlp::Error::Custom("too long for a reference"));
    }
    Ok(())
}

/// The references by which the branch `before` differs from the branch `after`, by the number of the child; `None`
/// where one of them is no branch, or their values differ.
pub fn branch_difference<'a>(before: &'a [u8], after: &[u8]) -> Option<Vec<(u8, &'a [u8])>> {
    let (before, after) = (Items::of(before).ok()?, Items::of(after).ok()?);
    let ((before, value), (after, other)) = (before.branch()?, after.branch()?);
    if value != other {
        return None;
    }
    let pairs = (0u8..).zip(before.iter().zip(after));
    let differing = pairs.filter(|(_, (before, after))| before != after);
    Some(
        differing
            .map(|(index, (before, _))| (index, *before))
            .collect(),
    )
}

/// A branch with other references to some of its children; `None` where it is no branch.
pub fn branch_with(encoded: &[u8], references: &[(u8, Vec<u8>)]) -> Option<Vec<u8>> {
    let items = Items::of(encoded).ok()?;
    let (children, value) = items.branch()?;
    let mut all = [value; 17];
    all.get_mut(..16)?.copy_from_slice(children);
    for (index, reference) in references {
        *all.get_mut(..16)?.get_mut(usize::from(*index))? = reference;
    }
    let mut out = Vec::with_capacity(encoded.len());
    list(all.iter().map(|item| item.len()).sum(), &mut out);
    all.iter().for_each(|item| out.extend_from_slice(item));
    Some(out)
}

/// Shortest encoding of a node that its parent names by hash; shorter ones stand in the parent
/// itself (yellow paper, appendix D).
pub const HASHED_FROM: usize = 32;

/// The reference to a node with this encoding.
pub fn reference(encoded: &[u8]) -> NodeRef {
    NodeRef::from_rlp(encoded)
}

/// The root hash of a trie whose root node has this encoding: a root is always hashed.
pub fn root_hash(encoded: &[u8]) -> B256 {
    keccak256(encoded)
}

/// Appends the header of a list.
pub(super) fn list(payload_length: usize, out: &mut Vec<u8>) {
    Header {
        list: true,
        payload_length,
    }
    .encode(out);
}

/// Splits the next item, with its header, off a payload.
fn next_item<'a>(payload: &mut &'a [u8]) -> Result<&'a [u8], alloy_rlp::Error> {
    let start = *payload;
    // Nearly every item of a branch: no child, or a hash.
    let length = match start.first() {
        Some(&EMPTY_STRING_CODE) => 1,
        Some(&HASH_CODE) => LONGEST_REFERENCE,
        _ => 0,
    };
    if length > 0 {
        let (item, rest) = start
            .split_at_checked(length)
            .ok_or(alloy_rlp::Error::InputTooShort)?;
        *payload = rest;
        return Ok(item);
    }
    let mut rest = start;
    let header = Header::decode(&mut rest)?;
    // `Header::decode` has checked that the payload is there.
    let length = start.len() - rest.len() + header.payload_length;
    let (item, rest) = start
        .split_at_checked(length)
        .ok_or(alloy_rlp::Error::InputTooShort)?;
    *payload = rest;
    Ok(item)
}

/// Reads the hex-prefix form of a path: the path, and whether it is a leaf's.
fn decode_path(encoded: &[u8]) -> Result<(Nibbles, bool), alloy_rlp::Error> {
    let (&flag, rest) = encoded
        .split_first()
        .ok_or(alloy_rlp::Error::Custom("a node without a path"))?;
    let odd = flag & ODD_FLAG != 0;
    if flag & 0xc0 != 0 || (!odd && flag & 0x0f != 0) {
        return Err(alloy_rlp::Error::Custom("an unknown path flag"));
    }
    if rest.len() * 2 + usize::from(odd) > 64 {
        return Err(alloy_rlp::Error::Custom("a path of more than 64 nibbles"));
    }
    let mut path = Nibbles::new();
    if odd {
        path.push(flag & 0x0f);
    }
    path.extend(&Nibbles::unpack(rest));
    Ok((path, flag & LEAF_FLAG != 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_trie::nodes::{LeafNode, TrieNode};
    use proptest::prelude::*;

    fn path(lengths: std::ops::Range<usize>) -> impl Strategy<Value = Nibbles> {
        prop::collection::vec(0u8..16, lengths).prop_map(Nibbles::from_nibbles)
    }

    fn node_ref() -> impl Strategy<Value = NodeRef> {
        prop_oneof![
            any::<[u8; 32]>().prop_map(|hash| NodeRef::word_rlp(&B256::from(hash))),
            (path(1..4), prop::collection::vec(1u8..0x80, 1..2))
                .prop_map(|(path, value)| { reference(&Node::Leaf { path, value }.encode()) }),
        ]
    }

    fn node() -> impl Strategy<Value = Node> {
        prop_oneof![
            (path(0..65), prop::collection::vec(any::<u8>(), 1..150))
                .prop_map(|(path, value)| Node::Leaf { path, value }),
            (path(1..65), node_ref()).prop_map(|(path, child)| Node::Extension { path, child }),
            (
                prop::collection::vec(prop::option::of(node_ref()), 16),
                prop::option::of(prop::collection::vec(any::<u8>(), 1..40))
            )
                .prop_map(|(children, value)| Node::Branch {
                    children: Box::new(children.try_into().unwrap()),
                    value,
                }),
        ]
    }

    proptest! {
        #[test]
        fn nodes_come_back(node in node()) {
            prop_assert_eq!(Node::decode(&node.encode()).unwrap(), node);
        }

        #[test]
        fn nodes_without_branch_values_are_those_of_alloy_trie(node in node()) {
            let encoded = node.encode();
            if !matches!(&node, Node::Branch { value: Some(_), .. }) {
                let theirs = alloy_rlp::decode_exact::<TrieNode>(&encoded).unwrap();
                prop_assert_eq!(alloy_rlp::encode(theirs), encoded);
            }
        }

        #[test]
        fn damaged_bytes_are_an_error_or_another_node(
            node in node(), at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>(),
        ) {
            let mut bytes = node.encode();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
            if let Ok(other) = Node::decode(&bytes) {
                prop_assert_ne!(other, node);
            }
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Node::decode(&bytes);
        }
    }

    #[test]
    fn a_leaf_as_the_yellow_paper_writes_it() {
        let path = Nibbles::from_nibbles([0xf, 1, 0xc, 0xb, 8]);
        let value = b"value".to_vec();
        let ours = Node::Leaf {
            path,
            value: value.clone(),
        };
        assert_eq!(ours.encode(), alloy_rlp::encode(LeafNode::new(path, value)));
        assert_eq!(ours.encode()[2], 0x3f);
    }
}
