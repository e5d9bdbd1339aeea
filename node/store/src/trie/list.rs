//! Roots of lists.

use super::{
    finish,
    workspace::{Value, Workspace},
};
use alloy_primitives::B256;
use alloy_rlp::encode_fixed_size;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

/// First index whose RLP is longer than itself, and so comes behind that of 0.
const FIRST_LONG: usize = 0x80;

/// Root of the trie that holds each of `items` under the RLP of its index, as blocks name their transactions and
/// receipts (yellow paper, section 4.3.2). `encode` appends an item to what is there; none may be empty.
pub fn list_root<T>(items: &[T], encode: impl Fn(&T, &mut Vec<u8>)) -> B256 {
    let short = items.len().min(FIRST_LONG);
    let in_order = (1..short).chain(0..short.min(1)).chain(short..items.len());
    let mut bytes = Vec::new();
    let mut spans = Vec::with_capacity(items.len());
    for (index, item) in in_order.filter_map(|index| Some((index, items.get(index)?))) {
        let start = bytes.len();
        encode(item, &mut bytes);
        let key = Nibbles::unpack(encode_fixed_size(&index));
        spans.push((key, start..bytes.len()));
    }
    let entries: Vec<_> = spans
        .into_iter()
        .filter_map(|(key, span)| Some((key, Value::Given(bytes.get(span)?))))
        .collect();
    let mut workspace = Workspace::default();
    let root = workspace.build(&Nibbles::new(), &entries);
    finish::encode(&mut workspace);
    finish::root_hash(EMPTY_ROOT_HASH, root, &workspace.works)
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
            let found = list_root(&items, |item, out| out.put_slice(item));
            assert_eq!(found, wanted, "{length} items");
        }
    }
}
