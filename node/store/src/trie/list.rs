//! Roots of lists.

use super::{NodeSource, Update, update_many};
use crate::StoreError;
use alloy_primitives::B256;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

/// No nodes at all.
#[derive(Clone, Copy, Debug)]
struct Nothing;

impl NodeSource for Nothing {
    fn node(&self, _: &Nibbles) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn damaged(&self, path: &Nibbles, reason: String) -> StoreError {
        StoreError::Engine {
            doing: "compute the root of a list",
            reason: format!("{path:?}: {reason}"),
        }
    }
}

/// Root of the trie that holds each of `items` under the RLP of its index, as blocks name their transactions and
/// receipts (yellow paper, section 4.3.2). No item may be empty.
///
/// # Errors
///
/// None that outside data can bring about: nothing is read.
pub fn list_root(items: impl IntoIterator<Item = Vec<u8>>) -> Result<B256, StoreError> {
    let items = items.into_iter().enumerate();
    let updates: Vec<Update> = items
        .map(|(index, item)| (Nibbles::unpack(alloy_rlp::encode(index)), Some(item)))
        .collect();
    let done = update_many(vec![(Nothing, EMPTY_ROOT_HASH, None, updates)])?;
    Ok(done.first().map_or(EMPTY_ROOT_HASH, |(root, _)| *root))
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
            assert_eq!(list_root(items).unwrap(), wanted, "{length} items");
        }
    }
}
