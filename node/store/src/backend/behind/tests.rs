use super::*;
use crate::backend::{Record, memory::Memory};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

const SMALL: Bounds = Bounds {
    batches: 2,
    bytes: 1 << 20,
    records_a_turn: 2,
};

/// Never reached.
const LARGE: Bounds = Bounds {
    batches: 1_000,
    ..SMALL
};

/// An engine that takes so many batches and then no more, as one whose process was killed.
#[derive(Debug)]
struct Mortal {
    memory: Memory,
    batches_left: AtomicUsize,
}

impl Mortal {
    fn living(batches: usize) -> Arc<Self> {
        Arc::new(Self {
            memory: Memory::new(),
            batches_left: AtomicUsize::new(batches),
        })
    }
}

impl Backend for Mortal {
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        self.memory.snapshot()
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let take = |left: usize| left.checked_sub(1);
        self.batches_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .map_err(|_| StoreError::DiskFull {
                doing: "write a block",
            })?;
        self.memory.commit(batch)
    }
}

type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

const TABLES: [Table; 3] = [Table::Meta, Table::Storage, Table::TrieChanges];

fn records(snapshot: &dyn Snapshot) -> Model {
    let records = |table| {
        let records = snapshot.range(table, &[], None);
        records.map(move |record| {
            let (key, value): Record = record.unwrap();
            ((table, key), value)
        })
    };
    TABLES.into_iter().flat_map(records).collect()
}

/// Table by its place in [`TABLES`], key, and value.
type Change = (usize, u8, Option<u8>);

fn apply(model: &mut Model, changes: &[Change]) -> Batch {
    let mut batch = Batch::new();
    for (table, key, value) in changes {
        let (table, key) = (TABLES[*table], vec![*key]);
        match value {
            Some(value) => model.insert((table, key.clone()), vec![*value]),
            None => model.remove(&(table, key.clone())),
        };
        batch.set(table, key, value.map(|value| [value]));
    }
    batch
}

fn batches() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let change = (0..TABLES.len(), 0u8..6, prop::option::of(any::<u8>()));
    prop::collection::vec(prop::collection::vec(change, 0..8), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Wherever the engine stops, what was accepted is there when it is opened again, and nothing else.
    #[test]
    fn an_interruption_loses_nothing(batches in batches(), life in 0usize..40) {
        let engine = Mortal::living(life);
        let behind = Behind::open(Arc::clone(&engine), SMALL).unwrap();
        let (mut model, mut refused) = (Model::new(), None);
        for changes in &batches {
            let mut next = model.clone();
            let batch = apply(&mut next, changes);
            if behind.commit(batch).is_err() {
                refused = Some(next);
                break;
            }
            model = next;
            prop_assert_eq!(&records(&*behind.snapshot()), &model);
        }
        drop(behind);
        engine.batches_left.store(usize::MAX, Ordering::SeqCst);
        let behind = Behind::open(Arc::clone(&engine), SMALL).unwrap();
        prop_assert_eq!(&records(&*behind.snapshot()), &model, "{:?}", refused);
        // It goes on from there, with everything in its table in the end.
        for changes in &batches {
            behind.commit(apply(&mut model, changes)).unwrap();
        }
        behind.compact(Table::Storage).unwrap();
        let snapshot = engine.snapshot();
        prop_assert_eq!(&records(&*snapshot), &model);
        prop_assert_eq!(snapshot.range(Table::Pending, &[], None).count(), 0);
    }

    #[test]
    fn a_record_is_read_as_the_batch_that_it_was(changes in batches()) {
        let batch = apply(&mut Model::new(), &changes.concat());
        let read = Batch::from_record(batch.record().to_vec()).unwrap();
        prop_assert!(read.writes().eq(batch.writes()));
        for end in 0..batch.record().len() {
            let cut = Batch::from_record(batch.record()[..end].to_vec());
            prop_assert!(cut.is_none_or(|cut| cut.len() < batch.len()));
        }
    }

    #[test]
    fn noise_is_no_batch_or_one(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Some(batch) = Batch::from_record(bytes) {
            let _ = batch.writes().count();
        }
    }
}

#[test]
fn batches_wait_until_there_are_enough() {
    let engine = Arc::new(Memory::new());
    let behind = Behind::open(Arc::clone(&engine), LARGE).unwrap();
    let mut model = Model::new();
    for value in 0..5 {
        let changes = [(0, 1, Some(value)), (1, value, Some(value))];
        behind.commit(apply(&mut model, &changes)).unwrap();
    }
    let pending = || engine.snapshot().range(Table::Pending, &[], None).count();
    assert_eq!(pending(), 5);
    assert!(records(&*engine.snapshot()).is_empty());
    drop(behind);
    assert_eq!(pending(), 5, "closing takes no time");
    let behind = Behind::open(Arc::clone(&engine), LARGE).unwrap();
    assert_eq!(records(&*behind.snapshot()), model);
    let held = behind.memory();
    let held = held.iter().find(|held| held.part == "pending_batches");
    assert_eq!(held.unwrap().entries, Some(5));
    drop(behind);
    // With this bound there are enough.
    let behind = Behind::open(Arc::clone(&engine), SMALL).unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while pending() > 0 {
        assert!(Instant::now() < end, "nothing is written");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(records(&*engine.snapshot()), model);
    assert_eq!(records(&*behind.snapshot()), model);
}

#[test]
fn what_happened_behind_is_told_and_nothing_is_accepted_after_it() {
    // Both batches are accepted; there is no life left to write them out.
    let engine = Mortal::living(2);
    let behind = Behind::open(Arc::clone(&engine), SMALL).unwrap();
    let mut model = Model::new();
    for value in 0..2 {
        behind
            .commit(apply(&mut model, &[(0, value, Some(value))]))
            .unwrap();
    }
    let error = behind.compact(Table::Meta).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    engine.batches_left.store(usize::MAX, Ordering::SeqCst);
    let error = behind.commit(Batch::new()).unwrap_err();
    assert!(matches!(error, StoreError::Engine { .. }), "{error}");
    assert_eq!(records(&*behind.snapshot()), model);
}

#[test]
fn a_record_that_is_no_batch_is_an_error() {
    let engine = Arc::new(Memory::new());
    let mut batch = Batch::new();
    batch.put(Table::Pending, key_of(7, 0), [1, 2, 3]);
    engine.commit(batch).unwrap();
    let error = Behind::open(engine, SMALL).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}
