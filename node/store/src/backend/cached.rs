//! Records of the newest state kept in memory before an engine: execution and the tries read the
//! same accounts, slots and nodes block after block.
//!
//! The cache holds what the newest batch left, and is changed with every batch. Snapshots older
//! than that, and those taken while a batch is being written, read past it.

use super::{Backend, Batch, Records, Snapshot, Table};
use crate::StoreError;
use lru::LruCache;
use parking_lot::Mutex;
use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Parts of the cache, each with a lock of its own.
const SHARDS: usize = 32;
/// What a record takes besides its key and value: list links, hash table, allocations.
const OVERHEAD: usize = 160;

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
    hasher: RandomState,
    /// Raised before a batch is written and again after it: odd in between.
    version: AtomicU64,
}

struct Shard {
    records: LruCache<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
    most: usize,
}

impl Shard {
    fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let size = |key: &[u8], value: &Option<Vec<u8>>| {
            OVERHEAD + key.len() + value.as_ref().map_or(0, Vec::len)
        };
        self.bytes += size(&key, &value);
        if let Some((key, value)) = self.records.push(key, value) {
            self.bytes -= size(&key, &value);
        }
        while self.bytes > self.most {
            let Some((key, value)) = self.records.pop_lru() else {
                return;
            };
            self.bytes -= size(&key, &value);
        }
    }
}

/// Whether records of this table are read again and again at the head.
const fn is_state(table: Table) -> bool {
    matches!(
        table,
        Table::Accounts | Table::Storage | Table::AccountTrie | Table::StorageTrie
    )
}

/// One key space for all tables.
fn cache_key(table: Table, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 1);
    out.push(table as u8);
    out.extend_from_slice(key);
    out
}

impl Cache {
    fn shard(&self, key: &[u8]) -> &Mutex<Shard> {
        let hash = self.hasher.hash_one(key);
        let index = usize::try_from(hash).unwrap_or_default() % SHARDS;
        // There are as many as that.
        &self.shards[index]
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }
}

impl<B: Backend> Cached<B> {
    /// `engine` behind a cache of about so many bytes.
    pub fn new(engine: B, bytes: usize) -> Self {
        let shard = || {
            Mutex::new(Shard {
                records: LruCache::unbounded(),
                bytes: 0,
                most: bytes / SHARDS,
            })
        };
        Self {
            engine,
            cache: Arc::new(Cache {
                shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
                hasher: RandomState::new(),
                version: AtomicU64::new(0),
            }),
        }
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
        let writes: Vec<_> = batch.into_writes();
        let changed: Vec<_> = writes
            .iter()
            .filter(|(table, ..)| is_state(*table))
            .map(|(table, key, value)| (cache_key(*table, key), value.clone()))
            .collect();
        let mut batch = Batch::new();
        for (table, key, value) in writes {
            batch.set(table, key, value);
        }
        self.cache.version.fetch_add(1, Ordering::SeqCst);
        let result = self.engine.commit(batch);
        match &result {
            // In the order they were made: the last write to a key stays.
            Ok(()) => {
                for (key, value) in changed {
                    self.cache.shard(&key).lock().put(key, value);
                }
            }
            // Whether the engine has it is not known.
            Err(_) => {
                for (key, _) in changed {
                    let mut shard = self.cache.shard(&key).lock();
                    shard.records.clear();
                    shard.bytes = 0;
                }
            }
        }
        self.cache.version.fetch_add(1, Ordering::SeqCst);
        result
    }

    fn disk_bytes(&self) -> Vec<(String, u64)> {
        self.engine.disk_bytes()
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

impl Snapshot for View {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if !is_state(table) || self.cache.version() != self.version {
            return self.snapshot.get(table, key);
        }
        let cached = cache_key(table, key);
        let shard = self.cache.shard(&cached);
        {
            let mut shard = shard.lock();
            // Looked at under the lock that a batch needs to change this shard.
            if self.cache.version() == self.version
                && let Some(value) = shard.records.get(&cached)
            {
                return Ok(value.clone());
            }
        }
        let value = self.snapshot.get(table, key)?;
        let mut shard = shard.lock();
        if self.cache.version() == self.version {
            shard.put(cached, value.clone());
        }
        Ok(value)
    }

    fn range<'a>(&'a self, table: Table, start: &[u8], end: Option<&[u8]>) -> Records<'a> {
        self.snapshot.range(table, start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory::Memory;

    fn batch(writes: &[(&[u8], Option<&[u8]>)]) -> Batch {
        let mut batch = Batch::new();
        for (key, value) in writes {
            batch.set(Table::Accounts, *key, value.map(<[u8]>::to_vec));
        }
        batch
    }

    #[test]
    fn a_snapshot_reads_what_it_was_taken_of() {
        let store = Cached::new(Memory::new(), 1 << 20);
        store
            .commit(batch(&[(b"a", Some(b"1")), (b"b", Some(b"1"))]))
            .unwrap();
        let first = store.snapshot();
        let read = |view: &Arc<dyn Snapshot>, key: &[u8]| view.get(Table::Accounts, key).unwrap();
        assert_eq!(read(&first, b"a"), Some(b"1".to_vec()));
        store
            .commit(batch(&[
                (b"a", Some(b"2")),
                (b"b", None),
                (b"c", Some(b"3")),
                (b"c", Some(b"4")),
            ]))
            .unwrap();
        let second = store.snapshot();
        for _ in 0..2 {
            assert_eq!(read(&first, b"a"), Some(b"1".to_vec()));
            assert_eq!(read(&first, b"b"), Some(b"1".to_vec()));
            assert_eq!(read(&first, b"c"), None);
            assert_eq!(read(&second, b"a"), Some(b"2".to_vec()));
            assert_eq!(read(&second, b"b"), None);
            assert_eq!(read(&second, b"c"), Some(b"4".to_vec()));
            assert_eq!(read(&second, b"d"), None);
        }
    }

    #[test]
    fn memory_is_bounded() {
        let bytes = SHARDS * 2_000;
        let store = Cached::new(Memory::new(), bytes);
        for n in 0..2_000u32 {
            let key = n.to_be_bytes();
            store.commit(batch(&[(&key, Some(&[7; 100]))])).unwrap();
        }
        let held: usize = store
            .cache
            .shards
            .iter()
            .map(|shard| shard.lock().bytes)
            .sum();
        assert!(held <= bytes, "{held}");
        let view = store.snapshot();
        for n in 0..2_000u32 {
            assert_eq!(
                view.get(Table::Accounts, &n.to_be_bytes()).unwrap(),
                Some(vec![7; 100])
            );
        }
    }

    /// Readers on several threads, while blocks are written: the two records that each batch
    /// writes together are never seen apart.
    #[test]
    fn batches_are_seen_whole() {
        let store = Cached::new(Memory::new(), 1 << 20);
        let write = |n: u64| {
            let value = n.to_be_bytes();
            store
                .commit(batch(&[(b"a", Some(&value)), (b"b", Some(&value))]))
                .unwrap();
        };
        write(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let view = store.snapshot();
                        let a = view.get(Table::Accounts, b"a").unwrap();
                        std::thread::yield_now();
                        let b = view.get(Table::Accounts, b"b").unwrap();
                        assert_eq!(a, b);
                        if a == Some(2_000u64.to_be_bytes().to_vec()) {
                            break;
                        }
                    }
                });
            }
            for n in 1..=2_000 {
                write(n);
            }
        });
    }
}
