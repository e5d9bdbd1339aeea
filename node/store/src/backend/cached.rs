//! Accounts and slots of the newest state kept in memory before an engine: execution reads the same
//! ones block after block.
//!
//! The cache holds what the newest batch left, and is changed with every batch. Snapshots older
//! than that, and those taken while a batch is being written, read past it.

use super::{Backend, Batch, Records, Snapshot, Table};
use crate::{Held, StoreError, codec, generations::Generations, memory::figure};
use alloy_primitives::{
    Address, KECCAK256_EMPTY, U256,
    map::{DefaultHashBuilder, FbBuildHasher},
};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use parking_lot::Mutex;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Parts of the cache, each with a lock of its own.
const SHARDS: usize = 16;
/// What an account or a slot takes with its place in a hash table, and the free places there.
const ACCOUNT_BYTES: usize = 96;
const SLOT_BYTES: usize = 144;
/// What an account with code, storage or uncommon riches takes besides.
const FULL_BYTES: usize = 144;

/// An account with few bytes where it has neither code nor storage.
#[derive(Clone)]
enum Kept {
    Absent,
    /// Nonce, and balance as two words, the low one first.
    Plain(u64, [u64; 2]),
    Full(Arc<TrieAccount>),
}

impl Kept {
    fn bytes(&self) -> usize {
        match self {
            Self::Absent | Self::Plain(..) => ACCOUNT_BYTES,
            Self::Full(_) => ACCOUNT_BYTES + FULL_BYTES,
        }
    }

    fn account(&self) -> Option<TrieAccount> {
        match self {
            Self::Absent => None,
            Self::Plain(nonce, [low, high]) => Some(TrieAccount {
                nonce: *nonce,
                balance: U256::from_limbs([*low, *high, 0, 0]),
                storage_root: EMPTY_ROOT_HASH,
                code_hash: KECCAK256_EMPTY,
            }),
            Self::Full(account) => Some(**account),
        }
    }
}

impl From<Option<TrieAccount>> for Kept {
    fn from(account: Option<TrieAccount>) -> Self {
        let Some(account) = account else {
            return Self::Absent;
        };
        match account.balance.into_limbs() {
            [low, high, 0, 0]
                if account.code_hash == KECCAK256_EMPTY
                    && account.storage_root == EMPTY_ROOT_HASH =>
            {
                Self::Plain(account.nonce, [low, high])
            }
            _ => Self::Full(Arc::new(account)),
        }
    }
}

/// Keyed, and quick for so many bytes.
type AddressHasher = FbBuildHasher<20>;

/// An engine behind a cache.
#[derive(Clone)]
pub struct Cached<B> {
    engine: B,
    cache: Arc<Cache>,
}

impl<B: fmt::Debug> fmt::Debug for Cached<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cached").field(&self.engine).finish()
    }
}

struct Cache {
    shards: Vec<Mutex<Shard>>,
    /// Raised before a batch is written and again after it: odd in between.
    version: AtomicU64,
    /// Most bytes.
    bound: usize,
}

struct Shard {
    accounts: Generations<Address, Kept, AddressHasher>,
    slots: Generations<(Address, U256), U256, DefaultHashBuilder>,
}

/// What a write does to the cache; `None` where the record cannot be read.
#[derive(Clone, Copy)]
enum Change {
    Account(Address, Option<Option<TrieAccount>>),
    Slot((Address, U256), Option<U256>),
}

impl Change {
    fn of(table: Table, key: &[u8], value: Option<&[u8]>) -> Option<Self> {
        match table {
            Table::Accounts => {
                let address = Address::try_from(key).ok()?;
                let account = value.map(|value| codec::rlp(table, key, value)).transpose();
                Some(Self::Account(address, account.ok()))
            }
            Table::Storage => {
                let (address, slot) = key.split_at_checked(20)?;
                let address = Address::try_from(address).ok()?;
                let slot = U256::from_be_bytes(<[u8; 32]>::try_from(slot).ok()?);
                let value = codec::decode_slot(table, key, value.unwrap_or_default());
                Some(Self::Slot((address, slot), value.ok()))
            }
            _ => None,
        }
    }

    /// Which part of the cache it is for.
    fn part(&self) -> usize {
        match self {
            Self::Account(address, _) => Cache::part(address),
            Self::Slot((address, slot), _) => Cache::slot_part(address, slot),
        }
    }
}

impl Shard {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Account(address, Some(account)) => self.accounts.put(address, account.into()),
            Change::Account(address, None) => self.accounts.remove(&address),
            Change::Slot(slot, Some(value)) => self.slots.put(slot, value),
            Change::Slot(slot, None) => self.slots.remove(&slot),
        }
    }
}

impl Cache {
    fn shard(&self, part: usize) -> &Mutex<Shard> {
        // There are as many as that.
        &self.shards[part % SHARDS]
    }

    fn part(address: &Address) -> usize {
        usize::from(address.0[19]) % SHARDS
    }

    /// The slots of one account are in all parts: some contracts have more than a part can hold.
    fn slot_part(address: &Address, slot: &U256) -> usize {
        usize::from(address.0[19] ^ slot.byte(0)) % SHARDS
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }
}

impl<B: Backend> Cached<B> {
    /// `engine` behind a cache of about so many bytes, two thirds of them for slots, of which there are more.
    pub fn new(engine: B, bytes: usize) -> Self {
        let third = bytes / SHARDS / 3;
        let shard = || {
            Mutex::new(Shard {
                accounts: Generations::new(third, Kept::bytes),
                slots: Generations::new(2 * third, |_| SLOT_BYTES),
            })
        };
        Self {
            engine,
            cache: Arc::new(Cache {
                shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
                version: AtomicU64::new(0),
                bound: bytes,
            }),
        }
    }
}

impl<B> Cached<B> {
    fn known<T>(&self, part: usize, found: impl FnOnce(&mut Shard) -> Option<T>) -> Option<T> {
        let mut shard = self.cache.shard(part).lock();
        // Looked at under the lock that a batch needs to change this shard: even where every batch is finished.
        let finished = self.cache.version().is_multiple_of(2);
        finished.then(|| found(&mut shard))?
    }
}

impl<B: Backend> Backend for Cached<B> {
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        let before = self.cache.version();
        let snapshot = self.engine.snapshot();
        // If a batch came in between, the snapshot may be of before or after it.
        let current = before.is_multiple_of(2) && before == self.cache.version();
        if !current {
            return snapshot;
        }
        Arc::new(View {
            snapshot,
            cache: Arc::clone(&self.cache),
            version: before,
        })
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let changes: Vec<_> = batch
            .writes()
            .filter_map(|(table, key, value)| Change::of(table, key, value))
            .collect();
        self.cache.version.fetch_add(1, Ordering::SeqCst);
        let result = self.engine.commit(batch);
        match &result {
            // In the order they were made: the last write to a key stays.
            Ok(()) => {
                for change in changes {
                    self.cache.shard(change.part()).lock().apply(change);
                }
            }
            // Whether the engine has it is not known.
            Err(_) => {
                for shard in &self.cache.shards {
                    let mut shard = shard.lock();
                    shard.accounts.clear();
                    shard.slots.clear();
                }
            }
        }
        self.cache.version.fetch_add(1, Ordering::SeqCst);
        result
    }

    fn known_account(&self, address: &Address) -> Option<Option<TrieAccount>> {
        self.known(Cache::part(address), |shard| {
            shard.accounts.get(address).map(|kept| kept.account())
        })
    }

    fn known_slot(&self, address: &Address, slot: &U256) -> Option<U256> {
        let key = (*address, *slot);
        self.known(Cache::slot_part(address, slot), |shard| {
            shard.slots.get(&key)
        })
    }

    fn disk_bytes(&self) -> Vec<(String, u64)> {
        self.engine.disk_bytes()
    }

    fn memory(&self) -> Vec<Held> {
        let mut cache = Held {
            part: "state_cache",
            entries: Some(0),
            bytes: 0,
            bound: Some(figure(self.cache.bound)),
        };
        for shard in &self.cache.shards {
            let shard = shard.lock();
            let entries = figure(shard.accounts.len() + shard.slots.len());
            cache.entries = cache.entries.map(|before| before + entries);
            cache.bytes += figure(shard.accounts.bytes() + shard.slots.bytes());
        }
        let mut held = self.engine.memory();
        held.push(cache);
        held
    }

    fn compact(&self, table: Table) -> Result<(), StoreError> {
        self.engine.compact(table)
    }
}

struct View {
    snapshot: Arc<dyn Snapshot>,
    cache: Arc<Cache>,
    /// The version of the cache that equals the snapshot.
    version: u64,
}

impl View {
    /// What `found` finds in the cache, or else what `read` reads, which `put` then puts there.
    fn look_up<T: Copy>(
        &self,
        part: usize,
        found: impl Fn(&mut Shard) -> Option<T>,
        read: impl Fn() -> Result<T, StoreError>,
        put: impl Fn(&mut Shard, T),
    ) -> Result<T, StoreError> {
        if self.cache.version() != self.version {
            return read();
        }
        let shard = self.cache.shard(part);
        {
            let mut shard = shard.lock();
            // Looked at under the lock that a batch needs to change this shard.
            if self.cache.version() == self.version
                && let Some(value) = found(&mut shard)
            {
                return Ok(value);
            }
        }
        let value = read()?;
        let mut shard = shard.lock();
        if self.cache.version() == self.version {
            put(&mut shard, value);
        }
        Ok(value)
    }
}

impl Snapshot for View {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot.get(table, key)
    }

    fn account(&self, address: &Address) -> Result<Option<TrieAccount>, StoreError> {
        self.look_up(
            Cache::part(address),
            |shard| shard.accounts.get(address).map(|kept| kept.account()),
            || self.snapshot.account(address),
            |shard, account| shard.accounts.put(*address, account.into()),
        )
    }

    /// One part of the cache after the other, so that the processor waits for several accounts at once.
    fn accounts(&self, addresses: &[Address]) -> Result<Vec<Option<TrieAccount>>, StoreError> {
        let mut parts: [Vec<usize>; SHARDS] = Default::default();
        for (address, index) in addresses.iter().zip(0..) {
            // There are as many as that.
            parts[Cache::part(address)].push(index);
        }
        let mut accounts = vec![None; addresses.len()];
        let mut missing = Vec::new();
        for (part, indices) in parts
            .iter()
            .enumerate()
            .filter(|(_, part)| !part.is_empty())
        {
            let mut shard = self.cache.shard(part).lock();
            // Looked at under the lock that a batch needs to change this shard.
            let current = self.cache.version() == self.version;
            for index in indices {
                let (Some(address), Some(place)) =
                    (addresses.get(*index), accounts.get_mut(*index))
                else {
                    continue;
                };
                match shard.accounts.get(address).filter(|_| current) {
                    Some(kept) => *place = kept.account(),
                    None => missing.push(*index),
                }
            }
        }
        for index in missing {
            if let (Some(address), Some(place)) = (addresses.get(index), accounts.get_mut(index)) {
                *place = self.account(address)?;
            }
        }
        Ok(accounts)
    }

    fn slot(&self, address: &Address, slot: &U256) -> Result<U256, StoreError> {
        let key = (*address, *slot);
        self.look_up(
            Cache::slot_part(address, slot),
            |shard| shard.slots.get(&key),
            || self.snapshot.slot(address, slot),
            |shard, value| shard.slots.put(key, value),
        )
    }

    fn range<'a>(&'a self, table: Table, start: &[u8], end: Option<&[u8]>) -> Records<'a> {
        self.snapshot.range(table, start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory::Memory;
    use alloy_primitives::{B256, KECCAK256_EMPTY};

    const A: Address = Address::repeat_byte(1);
    const B: Address = Address::repeat_byte(2);
    const C: Address = Address::repeat_byte(3);

    fn account(nonce: u64) -> TrieAccount {
        TrieAccount {
            nonce,
            balance: U256::from(nonce),
            storage_root: B256::repeat_byte(9),
            code_hash: KECCAK256_EMPTY,
        }
    }

    /// Each account with its nonce and the same in two of its slots; zero is none.
    fn batch(writes: &[(Address, u64)]) -> Batch {
        let mut batch = Batch::new();
        for (address, n) in writes {
            let record = (*n > 0).then(|| codec::encode_account(&account(*n)));
            batch.set(Table::Accounts, address, record);
            for slot in [U256::ZERO, U256::MAX] {
                let value = (*n > 0).then(|| codec::encode_slot(&U256::from(*n)));
                batch.set(Table::Storage, codec::slot_key(address, &slot), value);
            }
        }
        batch
    }

    fn read(view: &Arc<dyn Snapshot>, address: Address) -> u64 {
        let found = view.account(&address).unwrap();
        let n = found.map_or(0, |account| account.nonce);
        assert_eq!(found, (n > 0).then(|| account(n)));
        for slot in [U256::ZERO, U256::MAX] {
            assert_eq!(view.slot(&address, &slot).unwrap(), U256::from(n));
        }
        assert_eq!(view.slot(&address, &U256::ONE).unwrap(), U256::ZERO);
        n
    }

    #[test]
    fn a_snapshot_reads_what_it_was_taken_of() {
        let store = Cached::new(Memory::new(), 1 << 20);
        store.commit(batch(&[(A, 1), (B, 1)])).unwrap();
        let first = store.snapshot();
        assert_eq!(read(&first, A), 1);
        store
            .commit(batch(&[(A, 2), (B, 0), (C, 3), (C, 4)]))
            .unwrap();
        let second = store.snapshot();
        for _ in 0..2 {
            assert_eq!([A, B, C].map(|address| read(&first, address)), [1, 1, 0]);
            assert_eq!([A, B, C].map(|address| read(&second, address)), [2, 0, 4]);
        }
    }

    /// A batch between a reader's reading of the engine and its putting that into the cache.
    #[test]
    fn what_was_read_before_a_batch_is_not_kept_after_it() {
        type Act = Box<dyn FnOnce() + Send>;

        /// Does something before its first answer.
        struct Interrupted(Arc<dyn Snapshot>, Mutex<Option<Act>>);

        impl Snapshot for Interrupted {
            fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
                if let Some(act) = self.1.lock().take() {
                    act();
                }
                self.0.get(table, key)
            }

            fn range<'a>(&'a self, table: Table, start: &[u8], end: Option<&[u8]>) -> Records<'a> {
                self.0.range(table, start, end)
            }
        }

        let engine = Arc::new(Memory::new());
        engine.commit(batch(&[(A, 1)])).unwrap();
        let store = Cached::new(engine, 1 << 20);
        let writer = store.clone();
        let commit: Act = Box::new(move || writer.commit(batch(&[(A, 2)])).unwrap());
        let view = View {
            snapshot: Arc::new(Interrupted(
                store.engine.snapshot(),
                Mutex::new(Some(commit)),
            )),
            cache: Arc::clone(&store.cache),
            version: store.cache.version(),
        };
        assert_eq!(view.account(&A).unwrap(), Some(account(1)));
        assert_eq!(read(&store.snapshot(), A), 2);
    }

    /// What the engine refused may be there or not: nothing of before is believed.
    #[test]
    fn after_a_fault_the_engine_is_asked() {
        /// Takes a batch and says that it did not.
        #[derive(Debug)]
        struct Faulty(Memory);

        impl Backend for Faulty {
            fn snapshot(&self) -> Arc<dyn Snapshot> {
                self.0.snapshot()
            }

            fn commit(&self, batch: Batch) -> Result<(), StoreError> {
                self.0.commit(batch)?;
                Err(StoreError::DiskFull { doing: "test" })
            }
        }

        let store = Cached::new(Faulty(Memory::new()), 1 << 20);
        assert_eq!(read(&store.snapshot(), A), 0);
        store.commit(batch(&[(A, 1)])).unwrap_err();
        assert_eq!(read(&store.snapshot(), A), 1);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_an_error_every_time() {
        let store = Cached::new(Memory::new(), 1 << 20);
        store.commit(batch(&[(A, 1)])).unwrap();
        assert_eq!(read(&store.snapshot(), A), 1);
        let mut damage = Batch::new();
        damage.put(Table::Accounts, A, b"no account");
        damage.put(Table::Storage, codec::slot_key(&A, &U256::ZERO), [1; 33]);
        store.commit(damage).unwrap();
        let view = store.snapshot();
        for _ in 0..2 {
            view.account(&A).unwrap_err();
            view.slot(&A, &U256::ZERO).unwrap_err();
        }
    }

    #[test]
    fn memory_is_bounded() {
        // These accounts have storage.
        let full = ACCOUNT_BYTES + FULL_BYTES;
        let per_shard = 8;
        let store = Cached::new(Memory::new(), SHARDS * 3 * per_shard * full);
        let address = |n: u64| Address::left_padding_from(&n.to_be_bytes());
        for n in 1..2_000 {
            store.commit(batch(&[(address(n), n)])).unwrap();
        }
        let view = store.snapshot();
        for n in 1..2_000 {
            assert_eq!(read(&view, address(n)), n);
        }
        for shard in &store.cache.shards {
            let shard = shard.lock();
            let (accounts, slots) = (shard.accounts.len(), shard.slots.len());
            assert!(accounts <= per_shard, "{accounts}");
            assert!(slots <= 2 * per_shard * full / SLOT_BYTES, "{slots}");
        }
        let held = store.memory()[0];
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            (shard.accounts.len(), shard.slots.len())
        };
        let counts = store.cache.shards.iter().map(count);
        let (accounts, slots) = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        assert_eq!(held.entries, Some(figure(accounts + slots)));
        let bytes = accounts * full + slots * SLOT_BYTES;
        assert_eq!(held.bytes, figure(bytes));
        assert!(held.bytes > 0 && Some(held.bytes) <= held.bound, "{held:?}");
    }

    /// Some contracts have more slots than a part of the cache can hold.
    #[test]
    fn what_was_written_or_read_is_not_read_again() {
        /// Counts what is read.
        struct Counted(Arc<dyn Snapshot>, Arc<AtomicU64>);

        impl Snapshot for Counted {
            fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
                self.1.fetch_add(1, Ordering::Relaxed);
                self.0.get(table, key)
            }

            fn range<'a>(&'a self, table: Table, start: &[u8], end: Option<&[u8]>) -> Records<'a> {
                self.0.range(table, start, end)
            }
        }

        #[derive(Debug)]
        struct Counting(Memory, Arc<AtomicU64>);

        impl Backend for Counting {
            fn snapshot(&self) -> Arc<dyn Snapshot> {
                Arc::new(Counted(self.0.snapshot(), Arc::clone(&self.1)))
            }

            fn commit(&self, batch: Batch) -> Result<(), StoreError> {
                self.0.commit(batch)
            }
        }

        let slots = 1_000;
        let reads = Arc::new(AtomicU64::new(0));
        let engine = Counting(Memory::new(), Arc::clone(&reads));
        // Room for all of them, but not in one part.
        let store = Cached::new(engine, 4 * slots * SLOT_BYTES);
        let slot = |number: usize| {
            U256::from_be_bytes(alloy_primitives::keccak256(number.to_be_bytes()).0)
        };
        let read_all = || {
            let view = store.snapshot();
            let values = (0..slots).map(|number| view.slot(&A, &slot(number)).unwrap());
            let values: Vec<_> = values.collect();
            (values, reads.swap(0, Ordering::Relaxed))
        };
        assert_eq!(read_all().1, slots as u64);
        assert_eq!(read_all(), (vec![U256::ZERO; slots], 0));
        let mut batch = Batch::new();
        for number in 0..slots {
            batch.put(Table::Storage, codec::slot_key(&A, &slot(number)), [7]);
        }
        store.commit(batch).unwrap();
        assert_eq!(read_all(), (vec![U256::from(7); slots], 0));
    }

    #[test]
    fn what_is_known_is_what_the_last_batch_left() {
        /// Looks, while it writes, at what is known meanwhile.
        #[derive(Debug, Default)]
        struct Curious(Memory, Mutex<Option<Cached<Arc<Curious>>>>);

        impl Backend for Curious {
            fn snapshot(&self) -> Arc<dyn Snapshot> {
                self.0.snapshot()
            }

            fn commit(&self, batch: Batch) -> Result<(), StoreError> {
                if let Some(store) = &*self.1.lock() {
                    assert_eq!(store.known_account(&A), None, "while a batch is written");
                    assert_eq!(store.known_slot(&A, &U256::MAX), None);
                }
                self.0.commit(batch)
            }
        }

        let engine = Arc::new(Curious::default());
        let store = Cached::new(Arc::clone(&engine), 1 << 20);
        assert_eq!(store.known_account(&A), None);
        store.commit(batch(&[(A, 1)])).unwrap();
        *engine.1.lock() = Some(store.clone());
        assert_eq!(store.known_account(&A), Some(Some(account(1))));
        assert_eq!(store.known_slot(&A, &U256::MAX), Some(U256::ONE));
        assert_eq!(store.known_account(&B), None, "nobody has read it");
        assert_eq!(read(&store.snapshot(), B), 0);
        assert_eq!(store.known_account(&B), Some(None));
        store.commit(batch(&[(A, 2), (B, 3)])).unwrap();
        assert_eq!(store.known_account(&A), Some(Some(account(2))));
        assert_eq!(store.known_slot(&B, &U256::MAX), Some(U256::from(3)));
        *engine.1.lock() = None;
    }

    #[test]
    fn accounts_come_back_as_they_were() {
        let plain = TrieAccount {
            storage_root: EMPTY_ROOT_HASH,
            balance: U256::from(u128::MAX),
            ..account(u64::MAX)
        };
        let rich = plain.balance + U256::ONE;
        let others = [
            TrieAccount {
                balance: rich,
                ..plain
            },
            TrieAccount {
                storage_root: B256::ZERO,
                ..plain
            },
            TrieAccount {
                code_hash: B256::ZERO,
                ..plain
            },
        ];
        for (account, bytes) in [
            (None, ACCOUNT_BYTES),
            (Some(plain), ACCOUNT_BYTES),
            (Some(others[0]), ACCOUNT_BYTES + FULL_BYTES),
            (Some(others[1]), ACCOUNT_BYTES + FULL_BYTES),
            (Some(others[2]), ACCOUNT_BYTES + FULL_BYTES),
        ] {
            let kept = Kept::from(account);
            assert_eq!((kept.account(), kept.bytes()), (account, bytes));
        }
    }

    #[test]
    fn several_accounts_are_read_as_one_is() {
        let store = Cached::new(Memory::new(), 1 << 20);
        store.commit(batch(&[(A, 1), (B, 0), (C, 3)])).unwrap();
        let old = store.snapshot();
        // From the cache, from below it, twice the same, and none.
        assert_eq!(read(&old, C), 3);
        let wanted = [C, A, B, A];
        let one_by_one =
            |view: &Arc<dyn Snapshot>| wanted.map(|address| view.account(&address).unwrap());
        assert_eq!(old.accounts(&wanted).unwrap(), one_by_one(&old));
        store.commit(batch(&[(A, 5), (C, 0)])).unwrap();
        let new = store.snapshot();
        assert_eq!(new.accounts(&wanted).unwrap(), one_by_one(&new));
        assert_eq!(new.accounts(&[A]).unwrap()[0].unwrap().nonce, 5);
        assert_eq!(old.accounts(&wanted).unwrap(), one_by_one(&old));
        assert_eq!(old.accounts(&[A]).unwrap()[0].unwrap().nonce, 1);
    }

    /// Readers on several threads, while blocks are written: the records that each batch writes
    /// together are never seen apart.
    #[test]
    fn batches_are_seen_whole() {
        let store = Cached::new(Memory::new(), 1 << 20);
        let write = |n: u64| store.commit(batch(&[(A, n), (B, n)])).unwrap();
        write(1);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let view = store.snapshot();
                        let a = read(&view, A);
                        std::thread::yield_now();
                        assert_eq!(read(&view, B), a);
                        if a == 2_000 {
                            break;
                        }
                    }
                });
            }
            for n in 2..=2_000 {
                write(n);
            }
        });
    }
}
