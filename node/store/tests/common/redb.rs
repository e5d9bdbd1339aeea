//! redb behind the store's trait: what fjall is measured against and killed beside.

use pars_store::{
    StoreError,
    backend::{Backend, Batch, Records, Snapshot, Table},
};
use redb::{Database, DatabaseError, ReadTransaction, ReadableDatabase, TableDefinition};
use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// An open database with a table per [`Table`].
#[derive(Clone)]
pub struct Redb(Arc<Database>);

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redb")
    }
}

fn definition(table: Table) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(table.name())
}

fn fault(doing: &'static str) -> impl Fn(&dyn fmt::Display) -> StoreError {
    move |reason| StoreError::Engine {
        doing,
        reason: reason.to_string(),
    }
}

impl Redb {
    /// Opens the file at `path`, or makes it; a process that is dying may hold it for a moment.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        let end = Instant::now() + Duration::from_secs(5);
        let database = loop {
            match Database::builder().set_cache_size(cache_bytes).create(path) {
                Ok(database) => break database,
                Err(DatabaseError::DatabaseAlreadyOpen) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(fault("open its file")(&error)),
            }
        };
        // A table that was never written cannot be read.
        let make = || -> Result<(), redb::Error> {
            let write = database.begin_write()?;
            for table in Table::ALL {
                write.open_table(definition(table))?;
            }
            Ok(write.commit()?)
        };
        make().map_err(|error| fault("make its tables")(&error))?;
        Ok(Self(Arc::new(database)))
    }
}

impl Backend for Redb {
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::new(View(self.0.begin_read().expect("a snapshot")))
    }

    fn commit(&self, mut batch: Batch) -> Result<(), StoreError> {
        batch.sort();
        let writes: Vec<_> = batch.writes().collect();
        let commit = || -> Result<(), redb::Error> {
            let transaction = self.0.begin_write()?;
            for run in writes.chunk_by(|a, b| a.0 == b.0) {
                let mut table = transaction.open_table(definition(run[0].0))?;
                for (_, key, value) in run {
                    match value {
                        Some(value) => table.insert(*key, *value)?,
                        None => table.remove(*key)?,
                    };
                }
            }
            Ok(transaction.commit()?)
        };
        commit().map_err(|error| fault("write a block")(&error))
    }
}

struct View(ReadTransaction);

impl Snapshot for View {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let get = || -> Result<Option<Vec<u8>>, redb::Error> {
            let table = self.0.open_table(definition(table))?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        };
        get().map_err(|error| fault("read a record")(&error))
    }

    fn range<'a>(&'a self, table: Table, start: &[u8], end: Option<&[u8]>) -> Records<'a> {
        if end.is_some_and(|end| end <= start) {
            return Box::new(std::iter::empty());
        }
        let range =
            || -> Result<redb::Range<'static, &'static [u8], &'static [u8]>, redb::Error> {
                let table = self.0.open_table(definition(table))?;
                Ok(match end {
                    Some(end) => table.range::<&[u8]>(start..end)?,
                    None => table.range::<&[u8]>(start..)?,
                })
            };
        let error = fault("read a range");
        match range() {
            Ok(records) => Box::new(records.map(move |record| {
                let (key, value) = record.map_err(|reason| error(&reason))?;
                Ok((key.value().to_vec(), value.value().to_vec()))
            })),
            Err(reason) => Box::new(std::iter::once(Err(error(&reason)))),
        }
    }
}
