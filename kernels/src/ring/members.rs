//! What is kept of ring members between signatures.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// A bounded store of prepared members, shared by whoever verifies rings: decoys come again.
///
/// It has two generations. A member is put into, or moved to, the young one; when that is full it becomes the old one, and what was
/// old is dropped. So at most `capacity` members are held, and one that was used among the last `capacity / 2` is among them.
#[derive(Debug)]
pub struct Members<K, M> {
    generations: Mutex<Generations<K, M>>,
    capacity: usize,
}

#[derive(Debug)]
struct Generations<K, M> {
    young: HashMap<K, Arc<M>>,
    old: HashMap<K, Arc<M>>,
    hits: u64,
    misses: u64,
}

/// What a store of members has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MembersStats {
    /// Members held.
    pub entries: usize,
    /// Most members that may be held.
    pub capacity: usize,
    /// Bytes held.
    pub bytes: usize,
    /// Members found.
    pub hits: u64,
    /// Members that had to be prepared.
    pub misses: u64,
}

/// A store that keeps nothing.
impl<K, M> Default for Members<K, M> {
    fn default() -> Self {
        Self::new(0)
    }
}

impl<K, M> Members<K, M> {
    /// A store of at most `capacity` members; with less than two nothing is kept.
    pub fn new(capacity: usize) -> Self {
        Self {
            generations: Mutex::new(Generations {
                young: HashMap::new(),
                old: HashMap::new(),
                hits: 0,
                misses: 0,
            }),
            capacity,
        }
    }

    /// What the store has done so far.
    pub fn stats(&self) -> MembersStats {
        let held = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let entries = held.young.len() + held.old.len();
        MembersStats {
            entries,
            capacity: self.capacity,
            bytes: entries * (size_of::<K>() + size_of::<M>()),
            hits: held.hits,
            misses: held.misses,
        }
    }
}

impl<K: Copy + Eq + Hash, M> Members<K, M> {
    /// A prepared member for each key, in order. `prepare` is asked once for the keys that are not in the store, each once, and gives
    /// nothing for a key that is no member; such a key is not kept.
    pub(crate) fn get(
        &self,
        keys: &[K],
        prepare: impl FnOnce(&[K]) -> Vec<Option<M>>,
    ) -> Vec<Option<Arc<M>>> {
        let half = self.capacity / 2;
        let mut found: HashMap<K, Option<Arc<M>>> = HashMap::with_capacity(keys.len());
        let mut missing = Vec::new();
        {
            let mut held = self
                .generations
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for key in keys {
                if found.contains_key(key) {
                    continue;
                }
                let member = held.find(key, half);
                if member.is_none() {
                    missing.push(*key);
                }
                found.insert(*key, member);
            }
            held.hits += (found.len() - missing.len()) as u64;
            held.misses += missing.len() as u64;
        }
        // Prepared without the lock: others go on meanwhile.
        let prepared = prepare(&missing);
        let mut held = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (key, member) in missing.into_iter().zip(prepared) {
            let member = member.map(Arc::new);
            if let Some(member) = &member {
                held.put(key, member.clone(), half);
            }
            found.insert(key, member);
        }
        drop(held);
        keys.iter()
            .map(|key| found.get(key).cloned().flatten())
            .collect()
    }
}

impl<K: Copy + Eq + Hash, M> Generations<K, M> {
    fn find(&mut self, key: &K, half: usize) -> Option<Arc<M>> {
        if let Some(member) = self.young.get(key) {
            return Some(member.clone());
        }
        let member = self.old.remove(key)?;
        self.put(*key, member.clone(), half);
        Some(member)
    }

    fn put(&mut self, key: K, member: Arc<M>, half: usize) {
        if half == 0 {
            return;
        }
        if self.young.len() >= half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_bounded_and_keeps_what_comes_again() {
        let store = Members::new(8);
        let ask = |keys: &[u32]| {
            let mut prepared = 0;
            let got = store.get(keys, |missing| {
                prepared = missing.len();
                missing
                    .iter()
                    .map(|key| (key % 7 != 0).then_some(key + 1))
                    .collect()
            });
            for (key, member) in keys.iter().zip(got) {
                assert_eq!(
                    member.as_deref().copied(),
                    (key % 7 != 0).then_some(key + 1)
                );
            }
            prepared
        };
        assert_eq!(ask(&[1, 2, 1, 2, 7]), 3);
        assert_eq!(ask(&[1, 2, 7]), 1, "what is no member is asked again");
        for key in 100..1000 {
            ask(&[key, 1]);
            assert!(store.stats().entries <= 8);
        }
        assert_eq!(ask(&[1]), 0, "used all the time");
        assert_eq!(ask(&[2]), 1, "not used for long");
    }

    #[test]
    fn a_store_of_nothing_keeps_nothing() {
        let store = Members::new(0);
        for _ in 0..3 {
            assert_eq!(
                store.get(&[1u8], |keys| vec![Some(()); keys.len()]).len(),
                1
            );
        }
        assert_eq!(store.stats().entries, 0);
        assert_eq!(store.stats().misses, 3);
    }
}
