//! A store in memory that remembers every batch, to be played to other engines.

use std::sync::Arc;

use parking_lot::Mutex;
use pars_store::{
    StoreError,
    backend::{Backend, Batch, Snapshot, Write, memory::Memory},
};

#[derive(Clone, Debug, Default)]
pub struct Recorder {
    memory: Arc<Memory>,
    batches: Arc<Mutex<Vec<Vec<Write>>>>,
}

impl Recorder {
    pub fn take(&self) -> Vec<Vec<Write>> {
        std::mem::take(&mut *self.batches.lock())
    }
}

impl Backend for Recorder {
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        self.memory.snapshot()
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let writes = batch.into_writes();
        self.batches.lock().push(writes.clone());
        self.memory.commit(batch_of(writes))
    }
}

pub fn batch_of(writes: Vec<Write>) -> Batch {
    let mut batch = Batch::new();
    for (table, key, value) in writes {
        batch.set(table, key, value);
    }
    batch
}
