use super::{
    parts::{ACCOUNT_BYTES, FULL_BYTES, Kept, SHARDS, SLOT_BYTES},
    *,
};
use crate::backend::memory::Memory;
use crate::codec;
use alloy_primitives::{B256, KECCAK256_EMPTY};
use alloy_trie::EMPTY_ROOT_HASH;
use parking_lot::Mutex;
use std::sync::atomic::AtomicU64;

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

/// Of batches that long ago nobody knows what they changed.
#[test]
fn a_snapshot_of_long_ago_reads_what_it_was_taken_of() {
    let store = Cached::new(Memory::new(), 1 << 20);
    store.commit(batch(&[(A, 1), (C, 1)])).unwrap();
    let first = store.snapshot();
    store.commit(batch(&[(A, 2)])).unwrap();
    for n in 1..20 {
        store.commit(batch(&[(B, n)])).unwrap();
        assert_eq!([A, B, C].map(|address| read(&first, address)), [1, 0, 1]);
        assert_eq!(read(&store.snapshot(), A), 2);
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
    let slot =
        |number: usize| U256::from_be_bytes(alloy_primitives::keccak256(number.to_be_bytes()).0);
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
