//! Filters over the keys that a batch writes.

use super::Table;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Hash of a key for the filters.
pub(super) fn hash_of(table: Table, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, u64::from(table.byte()))
}

/// Tells of most keys that are not there that they are not: a Bloom filter with one word for a key.
#[derive(Debug, Default)]
pub(super) struct Filter(Vec<u64>);

/// Keys for a word of the filter: 16 bits each.
const KEYS_A_WORD: usize = 4;

impl Filter {
    /// One for so many keys.
    pub(super) fn new(keys: usize) -> Self {
        Self(vec![0; keys.div_ceil(KEYS_A_WORD)])
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * size_of::<u64>()
    }

    /// The word of a key, by the upper half of its hash, and its bits there, by the lower one.
    fn place(&self, hash: u64) -> (usize, u64) {
        let word = (u128::from(hash) * self.0.len() as u128) >> 64;
        let bits = [0, 6, 12, 18].map(|shift| 1 << (hash >> shift & 63));
        let bits = bits.into_iter().fold(0, |all, bit: u64| all | bit);
        (usize::try_from(word).unwrap_or_default(), bits)
    }

    pub(super) fn insert(&mut self, hash: u64) {
        let (word, bits) = self.place(hash);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bits;
        }
    }

    /// Whether the key with this hash may be there.
    pub(super) fn may_have(&self, hash: u64) -> bool {
        let (word, bits) = self.place(hash);
        self.0.get(word).is_some_and(|word| word & bits == bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_there_is_found_and_hardly_anything_else() {
        for keys in [0u32, 1, 3, 1_000, 10_000] {
            let hash = |n: u32| hash_of(Table::Storage, &n.to_be_bytes());
            let mut filter = Filter::new(keys as usize);
            for n in 0..keys {
                filter.insert(hash(n));
            }
            assert!((0..keys).all(|n| filter.may_have(hash(n))));
            let wrong = (keys..keys + 10_000).filter(|n| filter.may_have(hash(*n)));
            let wrong = wrong.count();
            assert!(wrong < 200, "{keys}: {wrong} of 10,000");
        }
        let key = b"key";
        assert_ne!(hash_of(Table::Accounts, key), hash_of(Table::Storage, key));
    }
}
