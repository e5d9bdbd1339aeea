//! The engine on disk: fjall, a log-structured store in safe Rust with atomic batches over
//! several keyspaces. A batch is one checksummed journal entry; recovery drops an unfinished
//! one, so no repair step exists.

use super::{Backend, Batch, Records, Snapshot, Table, Write, manifest};
use crate::{Held, StoreError, memory::figure};
use fjall::{
    AbstractTree as _, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode,
    Readable,
};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Sizes of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FjallOptions {
    /// Bytes of blocks kept in memory for reading.
    pub cache_bytes: u64,
    /// Bytes a group of tables may collect in memory before it is written out as a file.
    pub table_buffer_bytes: u64,
}

impl Default for FjallOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 128 << 20,
            table_buffer_bytes: 32 << 20,
        }
    }
}

/// Keyspaces: what is written once, what blocks overwrite, what is written once and goes when it is old
/// enough, and what goes soon; each table under a byte of its own. A keyspace costs some fifteen files and folders that
/// are synced one by one when a chain is made, so there are few.
const KEYSPACES: [&str; 4] = ["chain", "state", "history", "pending"];

/// Keyspace of a table, as an index of [`KEYSPACES`], and the first byte of its keys there.
const fn place(table: Table) -> (usize, u8) {
    match table {
        Table::Meta => (0, 0),
        Table::Headers => (0, 1),
        Table::Bodies => (0, 2),
        Table::Receipts => (0, 3),
        Table::BlockNumbers => (0, 4),
        Table::TxLookup => (0, 5),
        Table::Code => (0, 6),
        Table::Accounts => (1, 0),
        Table::Storage => (1, 1),
        Table::AccountTrie => (1, 2),
        Table::StorageTrie => (1, 3),
        Table::AccountHistory => (2, 0),
        Table::StorageHistory => (2, 1),
        Table::AccountTrieHistory => (2, 2),
        Table::StorageTrieHistory => (2, 3),
        Table::StateChanges => (2, 4),
        Table::TrieChanges => (2, 5),
        Table::Pending => (3, 0),
    }
}

/// A table's key in its keyspace.
fn placed(table: Table, key: &[u8]) -> (usize, Vec<u8>) {
    let (keyspace, first) = place(table);
    let mut out = Vec::with_capacity(key.len() + 1);
    out.push(first);
    out.extend_from_slice(key);
    (keyspace, out)
}

/// An open database.
#[derive(Clone)]
pub struct Fjall {
    database: Database,
    keyspaces: Arc<[Keyspace]>,
    path: PathBuf,
}

impl fmt::Debug for Fjall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fjall").field("path", &self.path).finish()
    }
}

/// Why the database did not open.
#[derive(Debug)]
pub enum OpenError {
    /// Another process, perhaps a dying one, has it open.
    Locked,
    /// Anything else.
    Failed(StoreError),
}

impl From<fjall::Error> for OpenError {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => Self::Locked,
            other => Self::Failed(engine_error("open its files", other)),
        }
    }
}

impl Fjall {
    /// Opens the database in `path`, or makes an empty one.
    ///
    /// # Errors
    ///
    /// [`OpenError::Locked`] where another handle has it open; [`OpenError::Failed`] where
    /// its files cannot be read or are damaged.
    pub fn open(path: &Path, options: &FjallOptions) -> Result<Self, OpenError> {
        manifest::check(path).map_err(OpenError::Failed)?;
        // Damaged files can trip an assertion inside the engine; to the node that is an
        // error about the folder, not a reason to unwind through it.
        catch_unwind(AssertUnwindSafe(|| Self::open_unguarded(path, options))).unwrap_or_else(
            |panic| {
                let reason = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
                    .unwrap_or_else(|| "its files are damaged".to_owned());
                Err(OpenError::Failed(StoreError::Engine {
                    doing: "open its files",
                    reason,
                }))
            },
        )
    }

    fn open_unguarded(path: &Path, options: &FjallOptions) -> Result<Self, OpenError> {
        let database = Database::builder(path)
            .cache_size(options.cache_bytes)
            .open()?;
        let keyspaces = KEYSPACES
            .iter()
            .map(|name| {
                database.keyspace(name, || {
                    KeyspaceCreateOptions::default().max_memtable_size(options.table_buffer_bytes)
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            database,
            keyspaces: keyspaces.into(),
            path: path.to_owned(),
        })
    }
}

impl Fjall {
    fn put(&self, mut batch: Batch, durability: Option<PersistMode>) -> Result<(), StoreError> {
        // The engine gives all items of a batch one sequence number, so two writes of one
        // key would be ambiguous: sorting leaves the last one.
        batch.sort();
        self.put_each(batch.len(), batch.writes(), durability)
    }

    /// Writes what has no key twice.
    fn put_each<'a>(
        &self,
        count: usize,
        writes: impl Iterator<Item = Write<'a>>,
        durability: Option<PersistMode>,
    ) -> Result<(), StoreError> {
        let mut out =
            OwnedWriteBatch::with_capacity(self.database.clone(), count).durability(durability);
        let mut placed = Vec::new();
        for (table, key, value) in writes {
            let (keyspace, first) = place(table);
            let keyspace = &self.keyspaces[keyspace];
            placed.clear();
            placed.push(first);
            placed.extend_from_slice(key);
            match value {
                Some(value) => out.insert(keyspace, &placed[..], value),
                None => out.remove(keyspace, &placed[..]),
            }
        }
        out.commit()
            .map_err(|error| engine_error("write a block", error))
    }
}

/// Turns the engine's error into ours; a full disk has a message of its own.
fn engine_error(doing: &'static str, error: fjall::Error) -> StoreError {
    let io = match &error {
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io)) => Some(io),
        _ => None,
    };
    if io.is_some_and(|io| {
        matches!(
            io.kind(),
            std::io::ErrorKind::StorageFull
                | std::io::ErrorKind::QuotaExceeded
                | std::io::ErrorKind::FileTooLarge
        )
    }) {
        return StoreError::DiskFull { doing };
    }
    StoreError::Engine {
        doing,
        reason: error.to_string(),
    }
}

impl Backend for Fjall {
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::new(View {
            snapshot: self.database.snapshot(),
            keyspaces: Arc::clone(&self.keyspaces),
        })
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.put(batch, Some(PersistMode::SyncAll))
    }

    fn commit_records(&self, table: Table, records: &[(&[u8], &[u8])]) -> Result<(), StoreError> {
        let writes = records.iter();
        let writes = writes.map(|(key, value)| (table, *key, Some(*value)));
        self.put_each(records.len(), writes, Some(PersistMode::SyncAll))
    }

    fn write(&self, batch: Batch) -> Result<(), StoreError> {
        self.put(batch, None)
    }

    fn disk_bytes(&self) -> Vec<(String, u64)> {
        KEYSPACES
            .iter()
            .zip(self.keyspaces.iter())
            .map(|(name, keyspace)| ((*name).to_owned(), keyspace.disk_space()))
            .collect()
    }

    fn memory(&self) -> Vec<Held> {
        let cache = Held {
            part: "block_cache",
            entries: None,
            bytes: self.database.cache_size(),
            bound: Some(self.database.cache_capacity()),
        };
        // Those that are being filled, and the full ones that wait to be written as files.
        let buffers = Held {
            part: "table_buffers",
            entries: None,
            bytes: self.database.write_buffer_size(),
            bound: None,
        };
        let trees = self.keyspaces.iter().map(|keyspace| &keyspace.tree);
        let (files, bytes) = trees.fold((0, 0), |(files, bytes), tree| {
            let pinned = tree.pinned_filter_size() + tree.pinned_block_index_size();
            (files + tree.table_count(), bytes + pinned)
        });
        // The indexes and filters of the newest files, which stay outside the cache.
        let indexes = Held {
            part: "file_indexes",
            entries: Some(figure(files)),
            bytes: figure(bytes),
            bound: None,
        };
        vec![cache, buffers, indexes]
    }

    fn compact(&self, table: Table) -> Result<(), StoreError> {
        let keyspace = &self.keyspaces[place(table).0];
        keyspace
            .rotate_memtable_and_wait()
            .and_then(|()| keyspace.major_compact())
            .map_err(|error| engine_error("compact a table", error))
    }
}

struct View {
    snapshot: fjall::Snapshot,
    keyspaces: Arc<[Keyspace]>,
}

impl Snapshot for View {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let (keyspace, key) = placed(table, key);
        self.snapshot
            .get(&self.keyspaces[keyspace], key)
            .map(|value| value.map(|value| value.to_vec()))
            .map_err(|error| engine_error("read a record", error))
    }

    fn range<'a>(&'a self, table: Table, start: &[u8], end: Option<&[u8]>) -> Records<'a> {
        if end.is_some_and(|end| end <= start) {
            return Box::new(std::iter::empty());
        }
        let (keyspace, start) = placed(table, start);
        // The table ends where the next one of its keyspace begins; there are far fewer than 255.
        let end = match end {
            Some(end) => placed(table, end).1,
            None => vec![place(table).1.saturating_add(1)],
        };
        let records = self.snapshot.range(&self.keyspaces[keyspace], start..end);
        Box::new(records.map(|record| {
            record
                .into_inner()
                .map(|(key, value)| (key.get(1..).unwrap_or_default().to_vec(), value.to_vec()))
                .map_err(|error| engine_error("read a range", error))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tables_share_a_place() {
        let places: std::collections::BTreeSet<_> = Table::ALL.map(place).into();
        assert_eq!(places.len(), Table::ALL.len());
        assert!(
            places
                .iter()
                .all(|(keyspace, _)| *keyspace < KEYSPACES.len())
        );
    }
}
