//! Accounts and slots of the newest state kept in memory before an engine: execution reads the same
//! ones block after block.
//!
//! The cache holds what the newest batch left, and is changed with every batch. Snapshots a few batches older
//! than that, and those taken while a batch is being written, use it for what no batch since has changed; those
//! that are older still read past it.

mod parts;
#[cfg(test)]
mod tests;

use super::{Backend, Batch, Records, Snapshot, Table, layer::Writes};
use crate::{Held, StoreError, memory::figure};
use alloy_primitives::{Address, U256};
use alloy_trie::TrieAccount;
use parts::{Cache, Change, SHARDS, Shard, account_hash, slot_hash};
use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

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

impl<B: Backend> Cached<B> {
    /// `engine` behind a cache of about so many bytes, two thirds of them for slots, of which there are more.
    pub fn new(engine: B, bytes: usize) -> Self {
        Self {
            engine,
            cache: Arc::new(Cache::new(bytes)),
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

/// What a batch does to the cache.
fn changes_of(batch: &Batch) -> impl Iterator<Item = Change> {
    batch
        .writes()
        .filter_map(|(table, key, value)| Change::of(table, key, value))
}

impl<B: Backend> Cached<B> {
    /// Has the engine make these changes.
    fn commit_with(
        &self,
        changes: Vec<Change>,
        commit: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.cache.announce(&changes);
        self.cache.version.fetch_add(1, Ordering::SeqCst);
        let result = commit();
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
}

impl<B: Backend> Backend for Cached<B> {
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        let before = self.cache.version();
        Arc::new(View {
            snapshot: self.engine.snapshot(),
            cache: Arc::clone(&self.cache),
            // If a batch is being written or came in between, the snapshot may be of before or after it: what it
            // changes is read from the snapshot then.
            version: before - before % 2,
        })
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let changes = changes_of(&batch).collect();
        self.commit_with(changes, || self.engine.commit(batch))
    }

    fn commit_shared(&self, writes: &Arc<Writes>, then: Batch) -> Result<(), StoreError> {
        let changes = changes_of(writes.batch()).chain(changes_of(&then));
        self.commit_with(changes.collect(), || {
            self.engine.commit_shared(writes, then)
        })
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
    /// The version of the cache that equals the snapshot, or an older one.
    version: u64,
}

impl View {
    /// What `found` finds in the cache, or else what `read` reads, which `put` then puts there.
    fn look_up<T: Copy>(
        &self,
        part: usize,
        hash: impl Fn() -> u64,
        found: impl Fn(&mut Shard) -> Option<T>,
        read: impl Fn() -> Result<T, StoreError>,
        put: impl Fn(&mut Shard, T),
    ) -> Result<T, StoreError> {
        let shard = self.cache.shard(part);
        {
            let mut shard = shard.lock();
            // Looked at under the lock that a batch needs to change this shard.
            if !self.cache.same_since(self.version, &hash) {
                drop(shard);
                return read();
            }
            if let Some(value) = found(&mut shard) {
                return Ok(value);
            }
        }
        let value = read()?;
        let mut shard = shard.lock();
        if self.cache.same_since(self.version, &hash) {
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
            || account_hash(address),
            |shard| shard.accounts.get(address).map(|kept| kept.account()),
            || self.snapshot.account(address),
            |shard, account| shard.accounts.put(*address, account.into()),
        )
    }

    /// One part of the cache after the other, so that the processor waits for several accounts at once.
    fn accounts(&self, addresses: &[Address]) -> Result<Vec<Option<TrieAccount>>, StoreError> {
        // Twice what a part has where all have the same.
        let room = addresses.len() / SHARDS * 2;
        let mut parts: [Vec<usize>; SHARDS] = std::array::from_fn(|_| Vec::with_capacity(room));
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
            for index in indices {
                let (Some(address), Some(place)) =
                    (addresses.get(*index), accounts.get_mut(*index))
                else {
                    continue;
                };
                // Looked at under the lock that a batch needs to change this shard.
                let same = self
                    .cache
                    .same_since(self.version, || account_hash(address));
                match shard.accounts.get(address).filter(|_| same) {
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
            || slot_hash(address, slot),
            |shard| shard.slots.get(&key),
            || self.snapshot.slot(address, slot),
            |shard, value| shard.slots.put(key, value),
        )
    }

    fn range<'a>(&'a self, table: Table, start: &[u8], end: Option<&[u8]>) -> Records<'a> {
        self.snapshot.range(table, start, end)
    }
}
