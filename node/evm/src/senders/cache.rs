//! Senders by transaction hash, for transactions that were seen before.

use std::{collections::HashMap, mem};

use alloy_primitives::{Address, B256};

/// A bounded map in two generations: new entries go into the young one, and when that is full it
/// becomes the old one, whose entries that nobody asked for are dropped. What is looked up lives on.
pub(super) struct SenderCache {
    young: HashMap<B256, Address>,
    old: HashMap<B256, Address>,
    /// Entries of one generation.
    generation: usize,
}

impl SenderCache {
    /// Holds at most `entries`.
    pub(super) fn new(entries: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            generation: (entries / 2).max(1),
        }
    }

    pub(super) fn get(&mut self, hash: &B256) -> Option<Address> {
        if let Some(sender) = self.young.get(hash) {
            return Some(*sender);
        }
        let sender = self.old.remove(hash)?;
        self.insert(*hash, sender);
        Some(sender)
    }

    pub(super) fn insert(&mut self, hash: B256, sender: Address) {
        if self.young.len() >= self.generation && !self.young.contains_key(&hash) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(hash, sender);
    }

    /// Bytes of the tables, free places among them.
    pub(super) fn bytes(&self) -> usize {
        // An entry and a byte of control for each place; a table is at most seven eighths full.
        let place = size_of::<(B256, Address)>() + 1;
        (self.young.capacity() + self.old.capacity()) * 8 / 7 * place
    }

    /// Entries held.
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64) -> (B256, Address) {
        (
            B256::from(alloy_primitives::U256::from(number)),
            Address::with_last_byte(u8::try_from(number % 251).unwrap()),
        )
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_asked_for() {
        let mut cache = SenderCache::new(64);
        let (wanted, sender) = entry(0);
        cache.insert(wanted, sender);
        for number in 1..10_000 {
            let (hash, sender) = entry(number);
            cache.insert(hash, sender);
            assert!(cache.len() <= 64, "{}", cache.len());
            assert_eq!(cache.get(&hash), Some(sender));
            assert_eq!(cache.get(&wanted), Some(entry(0).1), "after {number}");
        }
        assert!(
            (64 * 52..64 * 52 * 3).contains(&cache.bytes()),
            "{}",
            cache.bytes()
        );
        assert_eq!(cache.get(&entry(1).0), None);
        assert_eq!(cache.get(&entry(9_999).0), Some(entry(9_999).1));
    }
}
