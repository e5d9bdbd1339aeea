//! Ordered maps in memory with the same contract as the engine on disk, for tests and for
//! nodes that keep nothing.

use super::{Backend, Batch, Record, Records, Snapshot, Table};
use crate::StoreError;
use parking_lot::{Mutex, RwLock};
use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Values of one key by the batch that wrote them, oldest first; `None` is a removal.
type Versions = Vec<(u64, Option<Vec<u8>>)>;

/// Tables in memory. Every batch has a number; a snapshot reads the newest version of a key
/// that is not newer than itself. Versions that no snapshot can see are dropped.
#[derive(Debug, Default)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    tables: RwLock<[BTreeMap<Vec<u8>, Versions>; Table::ALL.len()]>,
    /// Number of the last finished batch.
    last: AtomicU64,
    /// Numbers that snapshots hold, with how many hold each.
    held: Mutex<BTreeMap<u64, usize>>,
    /// Keys with versions to drop once the snapshots that see them are gone.
    stale: Mutex<Vec<(Table, Vec<u8>)>>,
}

impl Memory {
    /// Empty tables.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Backend for Memory {
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        // The lock of `held` is taken first: a batch that finishes in between then knows
        // about this snapshot or is part of it.
        let mut held = self.shared.held.lock();
        let number = self.shared.last.load(Ordering::Acquire);
        *held.entry(number).or_default() += 1;
        Arc::new(View {
            shared: Arc::clone(&self.shared),
            number,
        })
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let shared = &self.shared;
        let mut tables = shared.tables.write();
        let number = shared.last.load(Ordering::Acquire) + 1;
        let mut touched = std::mem::take(&mut *shared.stale.lock());
        for (table, key, value) in batch.writes() {
            let value = value.map(<[u8]>::to_vec);
            let versions = tables[table.index()].entry(key.to_vec()).or_default();
            match versions.last_mut() {
                Some(last) if last.0 == number => last.1 = value,
                _ => versions.push((number, value)),
            }
            touched.push((table, key.to_vec()));
        }
        let oldest = {
            let held = shared.held.lock();
            shared.last.store(number, Ordering::Release);
            held.keys().next().copied().unwrap_or(number)
        };
        let mut stale = shared.stale.lock();
        for (table, key) in touched {
            let map = &mut tables[table.index()];
            let Some(versions) = map.get_mut(&key) else {
                continue;
            };
            // The newest version that the oldest reader sees is the oldest one needed.
            let needed = versions.iter().rposition(|(n, _)| *n <= oldest);
            if let Some(needed) = needed {
                versions.drain(..needed);
            }
            match versions.as_slice() {
                [(n, None)] if *n <= oldest => {
                    map.remove(&key);
                }
                [(_, Some(_))] => {}
                _ => stale.push((table, key)),
            }
        }
        Ok(())
    }
}

struct View {
    shared: Arc<Shared>,
    number: u64,
}

impl View {
    fn visible<'a>(&self, versions: &'a Versions) -> Option<&'a Vec<u8>> {
        versions
            .iter()
            .rev()
            .find(|(n, _)| *n <= self.number)
            .and_then(|(_, value)| value.as_ref())
    }

    /// The first visible record between the bounds. The lock is held for this step only, so
    /// that a slow reader does not stop the writer.
    fn next(&self, table: Table, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Option<Record> {
        let tables = self.shared.tables.read();
        tables[table.index()]
            .range::<[u8], _>((start, end))
            .find_map(|(key, versions)| Some((key.clone(), self.visible(versions)?.clone())))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let mut held = self.shared.held.lock();
        if let Some(count) = held.get_mut(&self.number) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.number);
            }
        }
    }
}

impl Snapshot for View {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let tables = self.shared.tables.read();
        Ok(tables[table.index()]
            .get(key)
            .and_then(|versions| self.visible(versions))
            .cloned())
    }

    fn range<'a>(&'a self, table: Table, start: &[u8], end: Option<&[u8]>) -> Records<'a> {
        let mut from = Bound::Included(start.to_vec());
        let end = end.map(<[u8]>::to_vec);
        if end.as_deref().is_some_and(|end| end <= start) {
            return Box::new(std::iter::empty());
        }
        Box::new(std::iter::from_fn(move || {
            let start = match &from {
                Bound::Included(key) => Bound::Included(key.as_slice()),
                Bound::Excluded(key) => Bound::Excluded(key.as_slice()),
                Bound::Unbounded => Bound::Unbounded,
            };
            let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let record = self.next(table, start, end)?;
            from = Bound::Excluded(record.0.clone());
            Some(Ok(record))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_nobody_can_see_are_dropped() {
        let memory = Memory::new();
        let put = |value: Option<u8>| {
            let mut batch = Batch::new();
            batch.set(Table::Meta, b"k", value.map(|v| [v]));
            memory.commit(batch).unwrap();
        };
        put(Some(1));
        let held = memory.snapshot();
        for value in 2..10 {
            put(Some(value));
        }
        put(None);
        assert_eq!(held.get(Table::Meta, b"k").unwrap(), Some(vec![1]));
        drop(held);
        memory.commit(Batch::new()).unwrap();
        assert!(memory.shared.tables.read()[Table::Meta.index()].is_empty());
        assert!(memory.shared.stale.lock().is_empty());
    }

    #[test]
    fn a_range_that_ends_before_it_starts_is_empty() {
        let memory = Memory::new();
        let mut batch = Batch::new();
        batch.put(Table::Meta, b"k", b"v");
        memory.commit(batch).unwrap();
        let snapshot = memory.snapshot();
        assert_eq!(snapshot.range(Table::Meta, b"z", Some(b"a")).count(), 0);
        assert_eq!(snapshot.range(Table::Meta, b"k", Some(b"k")).count(), 0);
        assert_eq!(snapshot.range(Table::Meta, b"k", None).count(), 1);
    }
}
