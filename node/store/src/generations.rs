//! A bounded map that forgets what was not used for long.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
};

/// What was put in or found last, within a bound of bytes.
///
/// There are two generations. What is used goes to the young one; when that has half of all bytes it becomes
/// the old one, and what was old until then is forgotten. So a look-up moves no links, and what is used again
/// and again stays.
#[derive(Debug)]
pub(crate) struct Generations<K, V, S> {
    young: HashMap<K, V, S>,
    old: HashMap<K, V, S>,
    /// Bytes of the young ones.
    bytes: usize,
    /// Bytes of the old ones.
    old_bytes: usize,
    /// Bytes of a generation.
    most: usize,
    size: fn(&V) -> usize,
}

impl<K: Hash + Eq, V: Clone, S: BuildHasher + Default> Generations<K, V, S> {
    /// An empty one that holds about so many bytes; `size` tells those of an entry.
    pub(crate) fn new(bytes: usize, size: fn(&V) -> usize) -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
            bytes: 0,
            old_bytes: 0,
            most: bytes / 2,
            size,
        }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.old_bytes -= (self.size)(&value);
        self.insert(key, value.clone());
        Some(value)
    }

    pub(crate) fn put(&mut self, key: K, value: V) {
        self.remove(&key);
        self.insert(key, value);
    }

    /// Keeps what is not there yet.
    fn insert(&mut self, key: K, value: V) {
        let bytes = (self.size)(&value);
        if bytes > self.most {
            return;
        }
        if self.bytes.saturating_add(bytes) > self.most {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.bytes);
        }
        self.bytes += bytes;
        self.young.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(before) = self.young.remove(key) {
            self.bytes -= (self.size)(&before);
        } else if let Some(before) = self.old.remove(key) {
            self.old_bytes -= (self.size)(&before);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.bytes = 0;
        self.old_bytes = 0;
    }
}

impl<K, V, S> Generations<K, V, S> {
    /// Entries held.
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Bytes of the entries held, as [`Self::new`] was told to count them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.old_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::RandomState;

    type Map = Generations<u32, Vec<u8>, RandomState>;

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let mut map = Map::new(20 * 40, Vec::len);
        let value = |n: u32| n.to_be_bytes().repeat(10);
        map.put(0, value(0));
        for n in 1..1_000 {
            map.put(n, value(n));
            assert_eq!(map.get(&0), Some(value(0)), "after {n}");
            assert!(map.len() <= 20, "{}", map.len());
            assert_eq!(map.bytes(), map.len() * 40);
        }
        assert_eq!(map.get(&1), None, "long not used");
        assert_eq!(map.get(&999), Some(value(999)));
        map.clear();
        assert_eq!(map.get(&999), None);
        assert_eq!(map.bytes(), 0);
    }

    #[test]
    fn the_last_value_is_found_or_none() {
        let mut map = Map::new(100, Vec::len);
        map.put(1, vec![1; 30]);
        map.put(2, vec![2; 30]);
        assert_eq!(map.get(&1), Some(vec![1; 30]), "from the old ones");
        map.put(2, vec![3; 10]);
        assert_eq!(map.get(&2), Some(vec![3; 10]));
        map.put(1, vec![4; 51]);
        assert_eq!(map.get(&1), None, "too large to be kept");
        map.put(3, vec![5; 45]);
        map.remove(&2);
        assert_eq!(map.get(&2), None, "gone from the old ones too");
        assert_eq!(map.bytes(), 45);
    }

    #[test]
    fn one_that_keeps_nothing_works() {
        let mut map = Map::new(0, Vec::len);
        map.put(1, vec![1]);
        assert_eq!(map.get(&1), None);
    }
}
