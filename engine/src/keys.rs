//! The cache of prepared ML-DSA keys: what depends on a verifying key alone is computed once.
//!
//! A key is looked up by its full bytes. It is admitted at its **second** use, if that comes while the
//! first is still remembered: the cache keeps the hashes of the last [`REMEMBERED`] keys that missed.
//! Keys that are used once, however many, therefore never enter, and cannot flush the keys of a
//! validator set; what they push out is the memory of other first uses. Among admitted keys the one
//! not used for longest goes when the budget of bytes is full. Whoever must not depend on the traffic
//! of others holds its keys itself and hands them over with
//! [`VerifyJob::with_key`](crate::VerifyJob::with_key).
//!
//! No verdict depends on the cache: a slot answers only for the bytes that it was made from.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;
use pars_kernels::mldsa::PreparedKey;

use crate::stats::CacheStats;

/// First uses that are remembered. 16,384 hashes hold less than a megabyte, and the second use of a
/// validator's key comes within a block or two.
pub(crate) const REMEMBERED: usize = 16_384;

/// Default budget: the keys of 1,600 validators with ML-DSA-65.
pub(crate) const DEFAULT_BYTES: usize = 64 << 20;

/// A bounded cache of prepared keys. The default one keeps nothing.
#[derive(Default)]
#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "devices' memory"))]
pub struct KeyCache {
    budget: usize,
    device_bytes: u64,
    remembered: usize,
    /// Keyed from the operating system's randomness: nobody outside can make two keys collide.
    hasher: RandomState,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By hash. Two keys of one hash share no slot: the later one is not admitted.
    slots: HashMap<u64, Slot>,
    /// Hashes by the time of their last use.
    ages: BTreeMap<u64, u64>,
    clock: u64,
    first_uses: FirstUses,
    stats: CacheStats,
}

struct Slot {
    key: Arc<PreparedKey>,
    age: u64,
}

/// The hashes of keys that were used once, the last ones.
#[derive(Default)]
struct FirstUses {
    /// Hash, and its number in `order`.
    numbers: HashMap<u64, u64>,
    order: VecDeque<(u64, u64)>,
    next: u64,
}

impl FirstUses {
    /// Whether the hash was here. It is then forgotten, so only one caller hears `true`.
    fn second(&mut self, hash: u64, most: usize) -> bool {
        if self.numbers.remove(&hash).is_some() {
            return true;
        }
        self.numbers.insert(hash, self.next);
        self.order.push_back((hash, self.next));
        self.next += 1;
        while self.order.len() > most {
            if let Some((hash, number)) = self.order.pop_front()
                && self.numbers.get(&hash) == Some(&number)
            {
                self.numbers.remove(&hash);
            }
        }
        false
    }
}

impl State {
    /// The key, if it is here; it is then the one used last.
    fn touch(&mut self, hash: u64, public_key: &[u8]) -> Option<Arc<PreparedKey>> {
        let slot = self.slots.get_mut(&hash)?;
        if slot.key.public_key() != public_key {
            return None;
        }
        self.ages.remove(&slot.age);
        self.clock += 1;
        slot.age = self.clock;
        self.ages.insert(self.clock, hash);
        Some(Arc::clone(&slot.key))
    }

    fn admit(&mut self, hash: u64, key: Arc<PreparedKey>, budget: usize) {
        let size = key.size();
        if size > budget || self.slots.contains_key(&hash) {
            return;
        }
        while self.stats.bytes + size > budget {
            let Some((_, oldest)) = self.ages.pop_first() else {
                break;
            };
            if let Some(slot) = self.slots.remove(&oldest) {
                self.stats.bytes -= slot.key.size();
                self.stats.evictions += 1;
            }
        }
        self.clock += 1;
        let age = self.clock;
        self.ages.insert(age, hash);
        self.slots.insert(hash, Slot { key, age });
        self.stats.bytes += size;
        self.stats.admissions += 1;
    }
}

impl KeyCache {
    /// A cache that holds at most `budget` bytes of prepared keys. With 0 it keeps nothing.
    pub fn new(budget: usize) -> Self {
        Self::remembering(budget, REMEMBERED)
    }

    /// The same, with up to `bytes` of each device's memory for keys that are kept there. None unless told.
    #[must_use]
    pub const fn on_devices(mut self, bytes: u64) -> Self {
        self.device_bytes = bytes;
        self
    }

    /// Bytes of each device's memory for keys that are kept there.
    #[cfg(feature = "gpu")]
    pub(crate) const fn device_bytes(&self) -> u64 {
        self.device_bytes
    }

    /// One that remembers another number of first uses.
    fn remembering(budget: usize, remembered: usize) -> Self {
        Self {
            budget,
            remembered,
            ..Self::default()
        }
    }

    /// The prepared form of a public key, if it is kept or is to be kept from now on. `None` sends
    /// the caller to the path for fresh keys. Preparing happens on the calling thread, outside any
    /// lock.
    pub fn get(&self, public_key: &[u8]) -> Option<Arc<PreparedKey>> {
        if self.budget == 0 {
            return None;
        }
        let hash = self.hasher.hash_one(public_key);
        {
            let mut state = self.state.lock();
            if let Some(key) = state.touch(hash, public_key) {
                state.stats.hits += 1;
                return Some(key);
            }
            state.stats.misses += 1;
            if !state.first_uses.second(hash, self.remembered) {
                return None;
            }
        }
        let key = Arc::new(PreparedKey::new(public_key).ok()?);
        self.state.lock().admit(hash, Arc::clone(&key), self.budget);
        Some(key)
    }

    /// What the cache has done, and what it holds.
    pub fn stats(&self) -> CacheStats {
        let state = self.state.lock();
        CacheStats {
            keys: state.slots.len(),
            budget: self.budget,
            ..state.stats
        }
    }
}

impl std::fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeyCache").field(&self.stats()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any bytes of the right length are a public key.
    fn key(number: u64) -> Vec<u8> {
        let mut key = vec![0; 1_312];
        key[..8].copy_from_slice(&number.to_le_bytes());
        key
    }

    fn size() -> usize {
        PreparedKey::new(&key(0)).unwrap().size()
    }

    #[test]
    fn a_key_enters_at_its_second_use_and_answers_from_the_third() {
        let cache = KeyCache::new(DEFAULT_BYTES);
        assert!(cache.get(&key(1)).is_none());
        assert_eq!(cache.stats().keys, 0);
        assert_eq!(cache.get(&key(1)).unwrap().public_key(), key(1));
        assert_eq!(cache.get(&key(1)).unwrap().public_key(), key(1));
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.misses, stats.admissions), (1, 2, 1));
        assert_eq!((stats.keys, stats.bytes), (1, size()));
        assert!(cache.get(b"no key").is_none() && cache.get(b"no key").is_none());
        assert_eq!(cache.stats().keys, 1);
    }

    #[test]
    fn one_shot_keys_do_not_flush_a_validator_set() {
        let validators = 10;
        let cache = KeyCache::new(size() * 10);
        for validator in 0..validators {
            cache.get(&key(validator));
            cache.get(&key(validator));
        }
        // Twice as many one-shot keys as are remembered.
        for one_shot in 0..2 * REMEMBERED as u64 {
            assert!(cache.get(&key(1_000 + one_shot)).is_none());
        }
        assert!((0..validators).all(|validator| cache.get(&key(validator)).is_some()));
        let stats = cache.stats();
        assert_eq!((stats.evictions, stats.hits, stats.keys), (0, 10, 10));
    }

    #[test]
    fn first_uses_are_forgotten_in_order() {
        let cache = KeyCache::remembering(DEFAULT_BYTES, 4);
        for number in 0..5 {
            assert!(cache.get(&key(number)).is_none());
        }
        assert!(cache.get(&key(0)).is_none(), "pushed out by the fifth");
        assert!(cache.get(&key(4)).is_some());
        assert!(cache.state.lock().first_uses.numbers.len() <= 4);
    }

    #[test]
    fn the_key_not_used_for_longest_goes_first() {
        let cache = KeyCache::new(size() * 2);
        let admit = |number| {
            cache.get(&key(number));
            assert!(cache.get(&key(number)).is_some());
        };
        admit(1);
        admit(2);
        assert!(cache.get(&key(1)).is_some());
        admit(3);
        let stats = cache.stats();
        assert_eq!((stats.keys, stats.evictions), (2, 1));
        assert_eq!(stats.bytes, 2 * size());
        assert!(cache.get(&key(1)).is_some(), "used after the second");
        assert!(cache.get(&key(2)).is_none());
        // A key larger than the whole budget is prepared and not kept.
        let small = KeyCache::new(size() - 1);
        small.get(&key(1));
        assert!(small.get(&key(1)).is_some());
        assert_eq!((small.stats().keys, small.stats().bytes), (0, 0));
        assert!(KeyCache::default().get(&key(1)).is_none());
        assert_eq!(KeyCache::default().stats(), CacheStats::default());
    }

    #[test]
    fn many_threads_evict_and_every_answer_is_the_key_asked_for() {
        let cache = KeyCache::new(size() * 4);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let cache = &cache;
                scope.spawn(move || {
                    for round in 0..400_u64 {
                        let wanted = key((round * 7 + thread * 3) % 11);
                        if let Some(found) = cache.get(&wanted) {
                            assert_eq!(found.public_key(), wanted);
                        }
                        let stats = cache.stats();
                        assert!(stats.bytes <= stats.budget && stats.keys <= 4);
                    }
                });
            }
        });
        let stats = cache.stats();
        assert_eq!(stats.hits + stats.misses, 1_600);
        assert!(stats.evictions > 0 && stats.hits > 0, "{stats:?}");
        let state = cache.state.lock();
        assert_eq!(state.ages.len(), state.slots.len());
        assert_eq!(
            state.stats.admissions - state.stats.evictions,
            state.slots.len() as u64
        );
    }
}
