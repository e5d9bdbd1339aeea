//! Which keys are in the store on the device, and where.
//!
//! The store is cut into slabs of equal size. A slab belongs to one parameter set at a time and holds slots of that
//! set's size, so sets share the budget as they are used and slots of a set never leave gaps. A key is admitted when it
//! is used for the second time: keys that are used once, however many, push nothing out. When there is no room, the
//! key of the same set that was not used for the longest time goes, or a whole slab of another set if even its last
//! use is longer ago. A slot that the batch in preparation uses is never taken.

use crate::mldsa::params::{K_MAX, L_MAX, N, ParameterSet};
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

/// Words of a slot after its polynomials: tr and the marks of its parts.
const TAIL_WORDS: usize = 128;
/// Marks of a slot at most: one for each polynomial, one for tr.
const MARKS_MAX: usize = K_MAX * L_MAX + K_MAX + 1;
const _: () = assert!(TAIL_WORDS >= 16 + MARKS_MAX);
/// Slabs that a large store is cut into.
const SLABS: usize = 64;
/// Slots of the largest set in a slab, at most where the store is small.
const SLAB_SLOTS: usize = 8;
/// Keys seen once that are remembered for each key that the store can hold.
const SEEN_PER_SLOT: usize = 8;
/// Keys seen once that are remembered at least.
const SEEN_MIN: usize = 1024;

/// Words of a key's slot: Â, NTT(t1·2^d), tr and marks.
pub(super) const fn slot_words(set: ParameterSet) -> usize {
    let params = set.params();
    (params.k * params.l + params.k) * N + TAIL_WORDS
}

/// What a store of resident keys has done, see [`BatchVerifier::resident_keys`](super::BatchVerifier::resident_keys).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResidentKeys {
    /// Keys in the store.
    pub keys: usize,
    /// Bytes of device memory that these keys take.
    pub bytes: u64,
    /// Bytes of device memory that the store has.
    pub capacity: u64,
    /// Jobs whose key was in the store.
    pub hits: u64,
    /// Jobs whose key was not, those that brought it in among them.
    pub misses: u64,
    /// Keys brought in.
    pub admissions: u64,
    /// Keys that had to go.
    pub evictions: u64,
}

/// Where a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// First word in the store.
    pub word: u32,
    /// What its marks are; no two fillings have the same.
    pub generation: u32,
}

/// How a job is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// With the key that came with it.
    Fresh,
    /// With the key in the store.
    Resident(Place),
    /// The same, after this batch has put the key there.
    Admitted(Place),
}

#[derive(Debug)]
struct Entry {
    set: ParameterSet,
    slab: usize,
    place: Place,
    used: u64,
}

#[derive(Clone, Debug, Default)]
struct Slab {
    set: Option<ParameterSet>,
    /// Last use of any key in it.
    used: u64,
}

/// The table of a store.
#[derive(Debug)]
pub(super) struct KeyTable {
    slab_words: usize,
    slabs: Vec<Slab>,
    /// Free slots of each set: slab and first word.
    free: [Vec<(usize, usize)>; 3],
    entries: HashMap<Arc<[u8]>, Entry, FoldedState>,
    /// Keys of each set by last use.
    order: [BTreeMap<u64, Arc<[u8]>>; 3],
    seen: Seen,
    /// Counts uses.
    clock: u64,
    /// The clock when the batch in preparation was begun.
    batch: u64,
    generation: u32,
    counts: ResidentKeys,
}

impl KeyTable {
    /// For a store of `words`, of which whole slabs are used. One that cannot hold a key of the largest set is empty.
    pub fn new(words: usize) -> Self {
        let largest = ParameterSet::ALL
            .map(slot_words)
            .into_iter()
            .fold(0, usize::max);
        // A store below eight of the largest slots is one slab.
        let slots = (words / largest)
            .min(SLAB_SLOTS)
            .max(words / SLABS / largest);
        let slab_words = slots * largest;
        let slabs = words.checked_div(slab_words).unwrap_or(0);
        let smallest = ParameterSet::ALL
            .map(slot_words)
            .into_iter()
            .fold(largest, usize::min);
        let most = slabs * slab_words / smallest;
        Self {
            slab_words,
            slabs: vec![Slab::default(); slabs],
            free: Default::default(),
            entries: HashMap::default(),
            order: Default::default(),
            seen: Seen::new((most * SEEN_PER_SLOT).max(SEEN_MIN)),
            clock: 0,
            batch: 0,
            generation: 0,
            counts: ResidentKeys {
                capacity: (slabs * slab_words) as u64 * 4,
                ..ResidentKeys::default()
            },
        }
    }

    /// Words of device memory that the places given out are in.
    pub fn words(&self) -> usize {
        self.slabs.len() * self.slab_words
    }

    pub fn counts(&self) -> ResidentKeys {
        ResidentKeys {
            keys: self.entries.len(),
            bytes: self
                .entries
                .values()
                .map(|e| slot_words(e.set) as u64 * 4)
                .sum(),
            ..self.counts
        }
    }

    /// From here on places stay where they are until the next call.
    pub fn begin_batch(&mut self) {
        self.batch = self.clock;
    }

    /// How to serve a job with this key. One that is `known` to come again need not have been seen before.
    pub fn serve(&mut self, set: ParameterSet, key: &[u8], known: bool) -> Served {
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(key) {
            if let Some(key) = self.order[set as usize].remove(&entry.used) {
                self.order[set as usize].insert(self.clock, key);
            }
            entry.used = self.clock;
            self.slabs[entry.slab].used = self.clock;
            self.counts.hits += 1;
            return Served::Resident(entry.place);
        }
        self.counts.misses += 1;
        let again = known || self.seen.again(self.entries.hasher().hash_one(key));
        if self.slabs.is_empty() || !again {
            return Served::Fresh;
        }
        let Some((slab, word)) = self.room(set) else {
            return Served::Fresh;
        };
        // Zero is what memory holds before its first use.
        self.generation = self.generation.wrapping_add(1).max(1);
        let place = Place {
            word: word as u32,
            generation: self.generation,
        };
        let key: Arc<[u8]> = key.into();
        self.order[set as usize].insert(self.clock, Arc::clone(&key));
        self.slabs[slab].used = self.clock;
        self.entries.insert(
            key,
            Entry {
                set,
                slab,
                place,
                used: self.clock,
            },
        );
        self.counts.admissions += 1;
        Served::Admitted(place)
    }

    /// Takes a key out whose slot turned out not to be complete.
    pub fn forget(&mut self, generation: u32) {
        let found = self
            .entries
            .iter()
            .find(|(_, entry)| entry.place.generation == generation)
            .map(|(key, _)| Arc::clone(key));
        if let Some(key) = found {
            self.remove(&key);
        }
    }

    /// Takes all keys out: nothing is known of the device's memory any more.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.order = Default::default();
        self.free = Default::default();
        self.slabs.fill(Slab::default());
    }

    /// A free slot, made free if need be.
    fn room(&mut self, set: ParameterSet) -> Option<(usize, usize)> {
        if let Some(slot) = self.free[set as usize].pop() {
            return Some(slot);
        }
        let taken = if let Some(slab) = self.slabs.iter().position(|slab| slab.set.is_none()) {
            slab
        } else {
            let own = self.order[set as usize]
                .first_key_value()
                .map(|(used, key)| (*used, Arc::clone(key)));
            let other = self
                .slabs
                .iter()
                .enumerate()
                .filter(|(_, slab)| slab.set != Some(set))
                .map(|(index, slab)| (slab.used, index))
                .min();
            let oldest_own = own.as_ref().map_or(u64::MAX, |(used, _)| *used);
            match (own, other) {
                (_, Some((used, slab))) if used < oldest_own && used <= self.batch => slab,
                (Some((used, key)), _) if used <= self.batch => {
                    self.remove(&key);
                    self.counts.evictions += 1;
                    return self.free[set as usize].pop();
                }
                _ => return None,
            }
        };
        self.assign(taken, set);
        self.free[set as usize].pop()
    }

    /// Gives a slab to a set, after what it holds is gone.
    fn assign(&mut self, slab: usize, set: ParameterSet) {
        let here: Vec<Arc<[u8]>> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.slab == slab)
            .map(|(key, _)| Arc::clone(key))
            .collect();
        for key in here {
            self.remove(&key);
            self.counts.evictions += 1;
        }
        for free in &mut self.free {
            free.retain(|(of, _)| *of != slab);
        }
        self.slabs[slab].set = Some(set);
        let first = slab * self.slab_words;
        let words = slot_words(set);
        let slots = (0..self.slab_words / words).map(|i| (slab, first + i * words));
        self.free[set as usize].extend(slots);
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some(entry) = self.entries.remove(key) {
            self.order[entry.set as usize].remove(&entry.used);
            self.free[entry.set as usize].push((entry.slab, entry.place.word as usize));
        }
    }
}

/// Hashes of keys that were used once, oldest forgotten first. Two keys of one hash admit each other early, no more.
#[derive(Debug)]
struct Seen {
    hashes: HashSet<u64>,
    order: VecDeque<u64>,
    most: usize,
}

impl Seen {
    fn new(most: usize) -> Self {
        Self {
            hashes: HashSet::new(),
            order: VecDeque::new(),
            most,
        }
    }

    /// Whether the hash was seen before and not forgotten.
    fn again(&mut self, hash: u64) -> bool {
        if self.hashes.contains(&hash) {
            return true;
        }
        if self.order.len() >= self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.hashes.remove(&oldest);
        }
        self.order.push_back(hash);
        self.hashes.insert(hash);
        false
    }
}

/// A quick hash with a secret start, for keys of thousands of bytes that others may choose.
#[derive(Clone, Debug)]
struct FoldedState([u64; 2]);

impl Default for FoldedState {
    fn default() -> Self {
        let random = RandomState::new();
        Self([random.hash_one(0), random.hash_one(1) | 1])
    }
}

impl BuildHasher for FoldedState {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded {
            state: self.0[0],
            secret: self.0[1],
        }
    }
}

/// Two words at a time: one is mixed into a state, the other into the secret, and the product of both, 128 bits, is folded
/// to 64 as the next state. Eight states take turns, as a product takes several cycles and a key has hundreds of words; in
/// the end they are mixed into the first.
#[derive(Debug)]
struct Folded {
    state: u64,
    secret: u64,
}

/// States of a long input.
const FOLDED_LANES: usize = 8;

impl Folded {
    #[inline(always)]
    fn mix(&self, state: u64, words: [u64; 2]) -> u64 {
        let factors = [state ^ words[0], self.secret ^ words[1]].map(u128::from);
        let product = factors[0].wrapping_mul(factors[1]);
        // The rotation keeps a state of zero from staying one.
        ((product >> 64) as u64 ^ product as u64)
            .wrapping_add(self.secret)
            .rotate_left(23)
    }

    #[inline(always)]
    fn words(bytes: &[u8; 16]) -> [u64; 2] {
        let both = u128::from_le_bytes(*bytes);
        [both as u64, (both >> 64) as u64]
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let (pairs, rest) = bytes.as_chunks::<16>();
        let (rounds, pairs) = pairs.as_chunks::<FOLDED_LANES>();
        // Starts that differ, so that words of different lanes cannot change places.
        let mut lanes: [u64; FOLDED_LANES] =
            std::array::from_fn(|lane| self.state.wrapping_add((lane as u64) << 32));
        for round in rounds {
            for (lane, pair) in lanes.iter_mut().zip(round) {
                *lane = self.mix(*lane, Self::words(pair));
            }
        }
        for pair in pairs {
            self.state = self.mix(self.state, Self::words(pair));
        }
        let mut last = [0; 16];
        last[..rest.len()].copy_from_slice(rest);
        self.state = self.mix(self.state, Self::words(&last));
        for lane in lanes {
            self.state = self.mix(self.state, [lane, 0]);
        }
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: usize = slot_words(ParameterSet::MlDsa87);

    fn key(set: ParameterSet, i: usize) -> Vec<u8> {
        let mut key = vec![0; set.public_key_len()];
        key[40..48].copy_from_slice(&(i as u64).to_le_bytes());
        key
    }

    fn twice(table: &mut KeyTable, set: ParameterSet, i: usize) -> Served {
        table.begin_batch();
        table.serve(set, &key(set, i), false);
        table.serve(set, &key(set, i), false)
    }

    /// Every byte counts, and so does the place of every word.
    #[test]
    fn hashes_tell_keys_apart() {
        let state = FoldedState::default();
        let key: Vec<u8> = (0..1312u32).map(|i| (i * i % 251) as u8).collect();
        let mut seen = HashSet::from([state.hash_one(&key[..])]);
        for i in 0..key.len() {
            let mut other = key.clone();
            other[i] ^= 1;
            assert!(seen.insert(state.hash_one(&other[..])), "byte {i}");
        }
        for word in 1..key.len() / 8 {
            let mut other = key.clone();
            let (first, rest) = other.split_at_mut(8 * word);
            first[..8].swap_with_slice(&mut rest[..8]);
            assert!(seen.insert(state.hash_one(&other[..])), "word {word}");
        }
    }

    /// A validator set stays although ten thousand other keys pass by once each.
    #[test]
    fn keys_used_once_push_nothing_out() {
        let mut table = KeyTable::new(LARGEST * 8);
        let set = ParameterSet::MlDsa65;
        for i in 0..10 {
            assert!(matches!(twice(&mut table, set, i), Served::Admitted(_)));
        }
        for i in 1000..11_000 {
            table.begin_batch();
            assert_eq!(table.serve(set, &key(set, i), false), Served::Fresh);
        }
        for i in 0..10 {
            table.begin_batch();
            assert!(matches!(
                table.serve(set, &key(set, i), false),
                Served::Resident(_)
            ));
        }
        let counts = table.counts();
        assert_eq!((counts.keys, counts.evictions, counts.hits), (10, 0, 10));
        assert!(counts.bytes <= counts.capacity);
    }

    #[test]
    fn the_least_recently_used_goes_and_pinned_slots_stay() {
        let set = ParameterSet::MlDsa87;
        let mut table = KeyTable::new(LARGEST * 2 + 100);
        assert_eq!(table.words(), LARGEST * 2);
        for i in 0..2 {
            twice(&mut table, set, i);
        }
        table.begin_batch();
        table.serve(set, &key(set, 0), false);
        assert!(matches!(twice(&mut table, set, 2), Served::Admitted(_)));
        table.begin_batch();
        assert!(matches!(
            table.serve(set, &key(set, 0), false),
            Served::Resident(_)
        ));
        assert!(matches!(
            table.serve(set, &key(set, 2), false),
            Served::Resident(_)
        ));
        // Both slots are in use by this batch.
        table.serve(set, &key(set, 1), false);
        assert_eq!(table.serve(set, &key(set, 1), false), Served::Fresh);
        table.begin_batch();
        assert!(matches!(
            table.serve(set, &key(set, 1), false),
            Served::Admitted(_)
        ));
        assert_eq!(table.counts().evictions, 2);
    }

    /// Sets take slabs from each other by age, slots never overlap, and generations never repeat.
    #[test]
    fn slots_of_all_sets_never_overlap() {
        let mut table = KeyTable::new(LARGEST * 40);
        let mut generations = HashSet::new();
        let mut random = 1u64;
        for round in 0..30_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(round);
            let set = ParameterSet::ALL[(random >> 33) as usize % 3];
            // The sets take turns in being popular.
            let popular = ParameterSet::ALL[round as usize / 10_000];
            let keys = if set == popular { 300 } else { 5 };
            if round % 16 == 0 {
                table.begin_batch();
            }
            let served = table.serve(set, &key(set, (random >> 40) as usize % keys), false);
            if let Served::Admitted(place) = served {
                assert!(generations.insert(place.generation));
            }
            if round % 1000 == 999 {
                let mut spans: Vec<(usize, usize)> = table
                    .entries
                    .values()
                    .map(|e| (e.place.word as usize, slot_words(e.set)))
                    .collect();
                spans.sort_unstable();
                assert!(spans.windows(2).all(|w| w[0].0 + w[0].1 <= w[1].0));
                assert!(spans.iter().all(|(word, len)| word + len <= table.words()));
                let ordered: usize = table.order.iter().map(BTreeMap::len).sum();
                assert_eq!(ordered, table.entries.len());
            }
        }
        let counts = table.counts();
        assert!(counts.evictions > 1000 && counts.hits > 1000);
        table.forget(*generations.iter().max().unwrap());
        assert_eq!(table.counts().keys, counts.keys - 1);
        table.clear();
        assert_eq!(table.counts().keys, 0);
    }

    #[test]
    fn a_key_known_to_come_again_enters_at_once() {
        let mut table = KeyTable::new(LARGEST * 2);
        let set = ParameterSet::MlDsa65;
        let served = table.serve(set, &key(set, 1), true);
        assert!(matches!(served, Served::Admitted(_)));
        let served = table.serve(set, &key(set, 1), false);
        assert!(matches!(served, Served::Resident(_)));
    }

    #[test]
    fn a_store_too_small_keeps_nothing() {
        let mut table = KeyTable::new(LARGEST - 1);
        assert_eq!(table.words(), 0);
        assert_eq!(twice(&mut table, ParameterSet::MlDsa44, 0), Served::Fresh);
    }
}
