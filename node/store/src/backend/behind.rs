//! Tables written behind the blocks: a batch is accepted as one record, and goes to its tables together with
//! the batches around it.
//!
//! An engine takes longer for the thousands of records of a block than for all their bytes, and a good part of the
//! records, the upper nodes of the tries before all, are replaced by the next block. So what a batch writes is one durable
//! record of [`Table::Pending`] at first. It is kept in memory too, where every snapshot has it above the tables. When there
//! are enough of them, a thread merges them, writes what is left to the tables and takes the records away.
//!
//! That thread may be interrupted anywhere: what it has written is what the records say, which are still there and still
//! above the tables when the engine is opened again.

#[cfg(test)]
mod tests;

use super::{
    Backend, Batch, Records, Snapshot, Table,
    filter::hash_of,
    layer::{Index, Writes},
};
use crate::{Held, StoreError, beside, codec, memory::figure};
use parking_lot::{Condvar, FairMutex, Mutex, RwLock};
use std::{fmt, sync::Arc, thread::JoinHandle};

/// How much may be pending.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Batches from which on they are written to their tables.
    pub batches: usize,
    /// Bytes from which on they are.
    pub bytes: usize,
    /// Records that are written to the tables at a time, for which an accepted block may have to wait.
    pub records_a_turn: usize,
}

impl Default for Bounds {
    /// So many small batches that looking through them costs a read little, so many bytes that the blocks of
    /// a busy chain share most of the trie nodes that they write; a turn is about a millisecond.
    fn default() -> Self {
        Self {
            batches: 16,
            bytes: 16 << 20,
            records_a_turn: 1_024,
        }
    }
}

/// A batch waits where so many times the bounds are pending.
const MOST: usize = 2;

/// An engine whose tables are written behind.
pub struct Behind<B> {
    shared: Arc<Shared<B>>,
    worker: Option<JoinHandle<()>>,
}

struct Shared<B> {
    engine: B,
    bounds: Bounds,
    pending: RwLock<Arc<Pending>>,
    /// Held by whoever writes to the engine, who goes behind those who waited before.
    turn: FairMutex<()>,
    work: Mutex<Work>,
    /// There is work, or some is done.
    changed: Condvar,
}

/// Number and part of a record: what is accepted at once may come in several parts, a later one over an earlier one.
type RecordKey = (u64, u8);

/// Key of a record of [`Table::Pending`].
fn key_of(number: u64, part: u8) -> [u8; 9] {
    let mut key = [part; 9];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key
}

/// Batches that are not in their tables yet, the oldest first.
#[derive(Clone, Default)]
struct Pending {
    /// With the keys of their records.
    batches: Vec<(RecordKey, Arc<Writes>)>,
    bytes: usize,
    /// Number of the next batch.
    next: u64,
}

#[derive(Default)]
struct Work {
    stop: bool,
    /// Somebody waits until nothing is pending.
    settle: bool,
    /// The thread has come to an end because it could not write.
    broken: bool,
    /// Why, until somebody is told.
    failed: Option<StoreError>,
}

impl Pending {
    fn push(&mut self, key: RecordKey, writes: Arc<Writes>) {
        self.bytes += writes.bytes();
        self.batches.push((key, writes));
    }

    /// Takes away those up to `last`.
    fn drop_up_to(&mut self, last: RecordKey) {
        self.batches.retain(|(key, _)| *key > last);
        let bytes = self.batches.iter().map(|(_, writes)| writes.bytes());
        self.bytes = bytes.sum();
    }

    /// Whether so many times the bounds are reached.
    fn reaches(&self, bounds: Bounds, times: usize) -> bool {
        self.batches.len() >= times.saturating_mul(bounds.batches)
            || self.bytes >= times.saturating_mul(bounds.bytes)
    }
}

impl<B: fmt::Debug> fmt::Debug for Behind<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Behind").field(&self.shared.engine).finish()
    }
}

impl<B: Backend + 'static> Behind<B> {
    /// `engine` with its tables written behind, and what was pending when it was closed.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] where a pending batch is none; as [`Snapshot::get`].
    pub fn open(engine: B, bounds: Bounds) -> Result<Self, StoreError> {
        let mut pending = Pending::default();
        for record in engine.snapshot().range(Table::Pending, &[], None) {
            let (key, batch) = record?;
            let damaged = || StoreError::corrupt(Table::Pending, &key, "not a batch");
            let [number @ .., part]: [u8; 9] = codec::fixed(Table::Pending, &key, &key)?;
            let number = u64::from_be_bytes(number);
            let batch = Batch::from_record(batch).ok_or_else(damaged)?;
            pending.push((number, part), Arc::new(Writes::from(batch)));
            pending.next = number.saturating_add(1);
        }
        let shared = Arc::new(Shared {
            engine,
            bounds,
            pending: RwLock::new(Arc::new(pending)),
            turn: FairMutex::default(),
            work: Mutex::default(),
            changed: Condvar::new(),
        });
        let worker = Arc::clone(&shared);
        let worker = std::thread::Builder::new()
            .name("store-behind".to_owned())
            .spawn(move || worker.run())
            .map_err(|error| StoreError::Engine {
                doing: "start a thread",
                reason: error.to_string(),
            })?;
        Ok(Self {
            shared,
            worker: Some(worker),
        })
    }
}

impl<B> Drop for Behind<B> {
    /// What is pending stays so: it is found again.
    fn drop(&mut self) {
        self.shared.work.lock().stop = true;
        self.shared.changed.notify_all();
        if let Some(worker) = self.worker.take() {
            // It has nothing to say.
            let _ = worker.join();
        }
    }
}

impl Work {
    /// The error of the thread that writes the tables; a fuller one the first time.
    fn check(&mut self) -> Result<(), StoreError> {
        if !self.broken {
            return Ok(());
        }
        Err(self.failed.take().unwrap_or_else(|| StoreError::Engine {
            doing: "write a block",
            reason: "an earlier one could not be written".to_owned(),
        }))
    }
}

impl<B: Backend> Shared<B> {
    fn pending(&self) -> Arc<Pending> {
        Arc::clone(&self.pending.read())
    }

    /// The thread that writes the tables.
    fn run(&self) {
        loop {
            let pending = {
                let mut work = self.work.lock();
                loop {
                    if work.stop {
                        return;
                    }
                    let pending = self.pending();
                    let due = work.settle || pending.reaches(self.bounds, 1);
                    if due && !pending.batches.is_empty() {
                        break pending;
                    }
                    work.settle = false;
                    self.changed.notify_all();
                    self.changed.wait(&mut work);
                }
            };
            let result = self.write_out(&pending.batches);
            let mut work = self.work.lock();
            if let Err(error) = result {
                work.broken = true;
                work.failed = Some(error);
                work.stop = true;
            }
            drop(work);
            self.changed.notify_all();
        }
    }

    /// Writes what batches leave together to the tables, and takes their records away.
    fn write_out(&self, batches: &[(RecordKey, Arc<Writes>)]) -> Result<(), StoreError> {
        let Some((last, _)) = batches.last() else {
            return Ok(());
        };
        // The newest write to a key comes first among equals, and stays.
        let newest_first = batches.iter().rev();
        let mut writes: Vec<_> = newest_first
            .flat_map(|(_, writes)| writes.batch().writes())
            .collect();
        writes.sort_by(|(table, key, _), (other, beside, _)| (table, key).cmp(&(other, beside)));
        writes.dedup_by(|(table, key, _), (kept, before, _)| table == kept && key == before);
        for turn in writes.chunks(self.bounds.records_a_turn.max(1)) {
            let mut batch = Batch::new();
            let bytes = turn.iter();
            let bytes = bytes.map(|(_, key, value)| key.len() + value.map_or(0, <[u8]>::len));
            batch.reserve(turn.len(), bytes.sum());
            for (table, key, value) in turn {
                batch.set(*table, key, *value);
            }
            let _turn = self.turn.lock();
            // What is written so far does no harm.
            if self.work.lock().stop {
                return Ok(());
            }
            self.engine.write(batch)?;
        }
        let mut batch = Batch::new();
        for ((number, part), _) in batches {
            batch.remove(Table::Pending, key_of(*number, *part));
        }
        let turn = self.turn.lock();
        self.engine.write(batch)?;
        drop(turn);
        let mut pending = self.pending.write();
        let mut rest = Pending::clone(&pending);
        rest.drop_up_to(*last);
        *pending = Arc::new(rest);
        Ok(())
    }

    /// Accepts these writes, those of a batch after those of the one before, as far as the disk goes.
    fn record(&self, batches: &[&Batch]) -> Result<(), StoreError> {
        let number = self.pending().next;
        let keys: Vec<_> = (0..=u8::MAX)
            .zip(batches)
            .map(|(part, _)| key_of(number, part))
            .collect();
        let records = keys.iter().zip(batches);
        let records: Vec<_> = records
            .map(|(key, batch)| (&key[..], batch.record()))
            .collect();
        self.engine.commit_records(Table::Pending, &records)
    }

    /// Puts the writes whose record was written above the tables.
    fn keep(&self, writes: impl IntoIterator<Item = Arc<Writes>>) {
        let mut pending = self.pending.write();
        let mut more = Pending::clone(&pending);
        for (part, writes) in (0..=u8::MAX).zip(writes) {
            more.push((more.next, part), writes);
        }
        more.next += 1;
        let due = more.reaches(self.bounds, 1);
        *pending = Arc::new(more);
        drop(pending);
        if due {
            // The thread looks at what is pending with this in hand before it goes to sleep.
            drop(self.work.lock());
            self.changed.notify_all();
        }
    }

    /// Waits until there is room for a batch.
    fn wait_for_room(&self) -> Result<(), StoreError> {
        let mut work = self.work.lock();
        work.check()?;
        while self.pending().reaches(self.bounds, MOST) {
            self.changed.wait(&mut work);
            work.check()?;
        }
        Ok(())
    }

    /// Waits until nothing is pending.
    fn settle(&self) -> Result<(), StoreError> {
        let mut work = self.work.lock();
        work.settle = true;
        self.changed.notify_all();
        while work.settle {
            work.check()?;
            self.changed.wait(&mut work);
        }
        work.check()
    }
}

impl<B: Backend> Backend for Behind<B> {
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        // Held so that no batch leaves for the tables, and none comes, between the two.
        let pending = self.shared.pending.read();
        let snapshot = self.shared.engine.snapshot();
        if pending.batches.is_empty() {
            return snapshot;
        }
        Arc::new(View {
            snapshot,
            pending: Arc::clone(&pending),
        })
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let shared = &*self.shared;
        shared.wait_for_room()?;
        let _turn = shared.turn.lock();
        // They are put in order while the disk is at work.
        let mut index = None;
        beside(
            || shared.record(&[&batch]),
            || index = Some(Index::of(&batch)),
        )?;
        let index = index.unwrap_or_else(|| Index::of(&batch));
        shared.keep([Arc::new(Writes::found_by(batch, index))]);
        Ok(())
    }

    fn commit_shared(&self, writes: &Arc<Writes>, then: Batch) -> Result<(), StoreError> {
        let shared = &*self.shared;
        shared.wait_for_room()?;
        let _turn = shared.turn.lock();
        if then.is_empty() {
            shared.record(&[writes.batch()])?;
            shared.keep([Arc::clone(writes)]);
        } else {
            shared.record(&[writes.batch(), &then])?;
            shared.keep([Arc::clone(writes), Arc::new(Writes::from(then))]);
        }
        Ok(())
    }

    fn disk_bytes(&self) -> Vec<(String, u64)> {
        self.shared.engine.disk_bytes()
    }

    fn memory(&self) -> Vec<Held> {
        let pending = self.shared.pending();
        let mut held = self.shared.engine.memory();
        held.push(Held {
            part: "pending_batches",
            entries: Some(figure(pending.batches.len())),
            bytes: figure(pending.bytes),
            bound: Some(figure(self.shared.bounds.bytes.saturating_mul(MOST))),
        });
        held
    }

    fn compact(&self, table: Table) -> Result<(), StoreError> {
        self.shared.settle()?;
        self.shared.engine.compact(table)
    }
}

/// The tables with what is pending above them.
struct View {
    snapshot: Arc<dyn Snapshot>,
    pending: Arc<Pending>,
}

impl Snapshot for View {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let hash = hash_of(table, key);
        for (_, writes) in self.pending.batches.iter().rev() {
            if let Some(written) = writes.get_hashed(table, key, hash) {
                return Ok(written.map(<[u8]>::to_vec));
            }
        }
        self.snapshot.get(table, key)
    }

    fn range<'a>(&'a self, table: Table, start: &[u8], end: Option<&[u8]>) -> Records<'a> {
        if end.is_some_and(|end| end <= start) {
            return Box::new(std::iter::empty());
        }
        let below = self.snapshot.range(table, start, end);
        let batches = self.pending.batches.iter();
        batches.fold(below, |below, (_, writes)| {
            writes.over(below, table, start, end)
        })
    }
}
