//! A store in memory that remembers every batch, to be played to other engines.

use std::sync::Arc;

use parking_lot::Mutex;
use pars_store::{
    StoreError,
    backend::{Backend, Batch, Snapshot, memory::Memory},
};

#[derive(Clone, Debug, Default)]
pub struct Recorder {
    memory: Arc<Memory>,
    batches: Arc<Mutex<Vec<Batch>>>,
}

impl Recorder {
    pub fn take(&self) -> Vec<Batch> {
        std::mem::take(&mut *self.batches.lock())
    }
}

impl Backend for Recorder {
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        self.memory.snapshot()
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.batches.lock().push(batch.clone());
        self.memory.commit(batch)
    }
}
