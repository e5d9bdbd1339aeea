//! The small trait behind which the storage engine lives: ordered tables, point and range
//! reads on a consistent snapshot, and one atomic, durable batch.

pub mod behind;
pub mod cached;
mod filter;
pub mod fjall;
pub mod layer;
mod manifest;
pub mod memory;

use crate::{Held, StoreError, codec};
use alloy_primitives::{Address, U256};
use alloy_trie::TrieAccount;
use layer::Writes;
use std::{fmt, sync::Arc};

/// The tables of the store. Keys are ordered by their bytes; integers in keys are
/// big-endian, so that their order is that of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Schema version, chain, head: text key -> bytes.
    Meta,
    /// Block number (8) -> block hash (32) ‖ RLP of the header.
    Headers,
    /// Block number (8) -> RLP of transactions, their senders, uncles and withdrawals.
    Bodies,
    /// Block number (8) -> RLP of receipts without their blooms.
    Receipts,
    /// Block hash (32) -> block number (8).
    BlockNumbers,
    /// Transaction hash (32) -> block number (8) ‖ index in the block (8).
    TxLookup,
    /// Address (20) -> RLP of nonce, balance, storage root, code hash.
    Accounts,
    /// Address (20) ‖ slot (32) -> value without leading zeroes; zero is no record.
    Storage,
    /// Keccak-256 of code (32) -> code.
    Code,
    /// Address (20) ‖ block number (8) -> account before that block; empty: there was none.
    AccountHistory,
    /// Address (20) ‖ slot (32) ‖ block number (8) -> value before that block; empty: zero.
    StorageHistory,
    /// Path (see [`crate::codec::path_key`]) -> RLP of the node of the account trie.
    AccountTrie,
    /// Address (20) ‖ path -> RLP of the node of the account's storage trie.
    StorageTrie,
    /// Group of paths (2) ‖ block number (8) -> what the nodes of the account trie in that group were
    /// before that block, as far as it changed them.
    AccountTrieHistory,
    /// Address (20) ‖ group of paths (2) ‖ block number (8) -> the same of its storage trie.
    StorageTrieHistory,
    /// Block number (8) -> which accounts and slots it changed: the keys of its history.
    StateChanges,
    /// Block number (8) -> which groups of trie nodes it changed: the keys of their history.
    TrieChanges,
    /// Running number (8) ‖ part (1) -> a batch that was accepted and is not in the other tables yet, see
    /// [`crate::backend::behind`].
    Pending,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 18] = [
        Self::Meta,
        Self::Headers,
        Self::Bodies,
        Self::Receipts,
        Self::BlockNumbers,
        Self::TxLookup,
        Self::Accounts,
        Self::Storage,
        Self::Code,
        Self::AccountHistory,
        Self::StorageHistory,
        Self::AccountTrie,
        Self::StorageTrie,
        Self::AccountTrieHistory,
        Self::StorageTrieHistory,
        Self::StateChanges,
        Self::TrieChanges,
        Self::Pending,
    ];

    /// The table's name on disk.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Headers => "headers",
            Self::Bodies => "bodies",
            Self::Receipts => "receipts",
            Self::BlockNumbers => "block_numbers",
            Self::TxLookup => "tx_lookup",
            Self::Accounts => "accounts",
            Self::Storage => "storage",
            Self::Code => "code",
            Self::AccountHistory => "account_history",
            Self::StorageHistory => "storage_history",
            Self::AccountTrie => "trie_accounts",
            Self::StorageTrie => "trie_storage",
            Self::AccountTrieHistory => "trie_accounts_history",
            Self::StorageTrieHistory => "trie_storage_history",
            Self::StateChanges => "state_changes",
            Self::TrieChanges => "trie_changes",
            Self::Pending => "pending",
        }
    }

    /// Position in [`Self::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The same as a byte, of which the highest bit is free.
    const fn byte(self) -> u8 {
        self as u8
    }
}

/// Writes that happen together or not at all. A later write to a key replaces an earlier one.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The writes in the order they were made, each after a head that tells what it is: see [`Self::record`].
    bytes: Vec<u8>,
    writes: Vec<Place>,
}

/// Where in the bytes of a batch a write is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Where the key begins; the value comes after it.
    key: usize,
    value_length: u32,
    key_length: u16,
    table: Table,
    removes: bool,
}

/// One write of a [`Batch`]: table, key, and the new value (`None` removes the key).
pub type Write<'a> = (Table, &'a [u8], Option<&'a [u8]>);

/// Bytes before the key of a write: table and whether it removes (1), length of the key (2) and of the value (4).
const HEAD: usize = 7;
/// Set in the first byte of a write that removes.
const REMOVES: u8 = 0x80;

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for so many more writes with so many bytes of keys and values.
    pub(crate) fn reserve(&mut self, writes: usize, bytes: usize) {
        self.writes.reserve(writes);
        self.bytes.reserve(bytes + writes * HEAD);
    }

    /// Sets `key` of `table` to `value`.
    pub fn put(&mut self, table: Table, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.set(table, key, Some(value));
    }

    /// Removes `key` from `table`; no error where it is not there.
    pub fn remove(&mut self, table: Table, key: impl AsRef<[u8]>) {
        self.set(table, key, None::<&[u8]>);
    }

    /// Sets or removes `key` of `table`. Keys have less than 64 KiB, values less than 4 GiB: no record is near that.
    pub fn set(
        &mut self,
        table: Table,
        key: impl AsRef<[u8]>,
        new_value: Option<impl AsRef<[u8]>>,
    ) {
        let value = new_value.as_ref().map(AsRef::as_ref);
        self.push(table, key.as_ref(), value.is_none(), |out| {
            out.extend_from_slice(value.unwrap_or_default());
        });
    }

    /// Sets `key` of `table` to what `value` appends.
    pub(crate) fn put_with(&mut self, table: Table, key: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
        self.push(table, key, false, value);
    }

    fn push(&mut self, table: Table, key: &[u8], removes: bool, value: impl FnOnce(&mut Vec<u8>)) {
        let key_length = u16::try_from(key.len()).unwrap_or(u16::MAX);
        debug_assert!(usize::from(key_length) == key.len(), "{} bytes", key.len());
        let kind = table.byte() | if removes { REMOVES } else { 0 };
        let [k0, k1] = key_length.to_be_bytes();
        self.bytes.extend_from_slice(&[kind, k0, k1, 0, 0, 0, 0]);
        let key_at = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let value_at = self.bytes.len();
        value(&mut self.bytes);
        let length = self.bytes.len().saturating_sub(value_at);
        let value_length = u32::try_from(length).unwrap_or(u32::MAX);
        if let Some(place) = self.bytes.get_mut(key_at - size_of::<u32>()..key_at) {
            place.copy_from_slice(&value_length.to_be_bytes());
        }
        self.writes.push(Place {
            key: key_at,
            value_length,
            key_length,
            table,
            removes,
        });
    }

    /// Adds the writes of another batch after these.
    pub fn append(&mut self, later: &Self) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&later.bytes);
        self.writes.extend(later.writes.iter().map(|place| Place {
            key: before + place.key,
            ..*place
        }));
    }

    /// Number of writes.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The writes in the order they were made, or in that of [`Self::sort`].
    pub fn writes(&self) -> impl Iterator<Item = Write<'_>> {
        self.writes.iter().map(|place| self.write(place))
    }

    /// Puts the writes into the order of tables and keys, and leaves of several to one key the last.
    pub fn sort(&mut self) {
        self.writes = self.sorted();
    }

    /// The writes as [`Self::sort`] leaves them.
    fn sorted(&self) -> Vec<Place> {
        let mut writes = self.writes.clone();
        writes.sort_by(|a, b| self.key(a).cmp(&self.key(b)));
        writes.dedup_by(|later, kept| {
            let same = self.key(later) == self.key(kept);
            if same {
                *kept = *later;
            }
            same
        });
        writes
    }

    /// All writes as one record, those too that [`Self::sort`] left out: for each its table and whether it removes (1),
    /// the length of its key (2) and of its value (4), key and value.
    pub(crate) fn record(&self) -> &[u8] {
        &self.bytes
    }

    /// The batch that left this record; `None` where the bytes are none.
    pub(crate) fn from_record(bytes: Vec<u8>) -> Option<Self> {
        let mut writes = Vec::new();
        let mut at = 0;
        while let Some((head, rest)) = bytes.get(at..)?.split_first_chunk::<HEAD>() {
            let [kind, k0, k1, v0, v1, v2, v3] = *head;
            let place = Place {
                key: at + HEAD,
                value_length: u32::from_be_bytes([v0, v1, v2, v3]),
                key_length: u16::from_be_bytes([k0, k1]),
                table: *Table::ALL.get(usize::from(kind & !REMOVES))?,
                removes: kind & REMOVES != 0,
            };
            let length = usize::from(place.key_length) + place.value_length as usize;
            rest.get(..length)?;
            writes.push(place);
            at += HEAD + length;
        }
        (at == bytes.len()).then_some(Self { bytes, writes })
    }

    /// What writes are sorted by.
    fn key(&self, place: &Place) -> (Table, &[u8]) {
        let key = self.bytes.get(place.key..);
        let key = key.and_then(|key| key.get(..usize::from(place.key_length)));
        (place.table, key.unwrap_or_default())
    }

    fn write(&self, place: &Place) -> Write<'_> {
        let (table, key) = self.key(place);
        let value = self.bytes.get(place.key + key.len()..);
        let value = value.and_then(|value| value.get(..place.value_length as usize));
        let value = (!place.removes).then_some(value.unwrap_or_default());
        (table, key, value)
    }
}

/// Key and value of a range read.
pub type Record = (Vec<u8>, Vec<u8>);

/// Records of a range read, in ascending order of keys.
pub type Records<'a> = Box<dyn Iterator<Item = Result<Record, StoreError>> + 'a>;

/// A consistent view of all tables at one moment, unaffected by later batches.
pub trait Snapshot: Send + Sync {
    /// The value of `key` in `table`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the engine cannot read.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The account at `address` in [`Table::Accounts`].
    ///
    /// # Errors
    ///
    /// As [`Self::get`], and where the record is damaged.
    fn account(&self, address: &Address) -> Result<Option<TrieAccount>, StoreError> {
        let key = address.as_slice();
        self.get(Table::Accounts, key)?
            .map(|value| codec::rlp(Table::Accounts, key, &value))
            .transpose()
    }

    /// Several accounts, in the order of their addresses here.
    ///
    /// # Errors
    ///
    /// As [`Self::account`].
    fn accounts(&self, addresses: &[Address]) -> Result<Vec<Option<TrieAccount>>, StoreError> {
        addresses
            .iter()
            .map(|address| self.account(address))
            .collect()
    }

    /// A slot in [`Table::Storage`]; zero where there is no record.
    ///
    /// # Errors
    ///
    /// As [`Self::account`].
    fn slot(&self, address: &Address, slot: &U256) -> Result<U256, StoreError> {
        let key = codec::slot_key(address, slot);
        match self.get(Table::Storage, &key)? {
            Some(value) => codec::decode_slot(Table::Storage, &key, &value),
            None => Ok(U256::ZERO),
        }
    }

    /// Records of `table` from `start` (included) to `end` (excluded; `None`: to the last).
    fn range<'a>(&'a self, table: Table, start: &[u8], end: Option<&[u8]>) -> Records<'a>;

    /// Records of `table` whose keys start with `prefix`.
    fn prefix<'a>(&'a self, table: Table, prefix: &[u8]) -> Records<'a> {
        self.range(table, prefix, after_prefix(prefix).as_deref())
    }
}

/// A storage engine.
pub trait Backend: fmt::Debug + Send + Sync {
    /// A view of everything committed so far.
    fn snapshot(&self) -> Arc<dyn Snapshot>;

    /// Writes the batch, all or nothing, and returns when it would survive a power cut
    /// (for an engine that survives them at all).
    ///
    /// # Errors
    ///
    /// [`StoreError::DiskFull`], [`StoreError::Engine`]. After an error the engine may refuse
    /// further batches until it is opened anew.
    fn commit(&self, batch: Batch) -> Result<(), StoreError>;

    /// Commits writes that are held elsewhere too, and those of a batch after them, as one batch.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`].
    fn commit_shared(&self, writes: &Arc<Writes>, then: Batch) -> Result<(), StoreError> {
        let mut batch = writes.to_batch();
        batch.append(&then);
        self.commit(batch)
    }

    /// As [`Self::commit`], of a few large records of one table.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`].
    fn commit_records(&self, table: Table, records: &[(&[u8], &[u8])]) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        for (key, value) in records {
            batch.put(table, key, value);
        }
        self.commit(batch)
    }

    /// Writes the batch, all or nothing, as [`Self::commit`] does, but may return before it would survive a power cut:
    /// that takes it away only together with everything that was written after it.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`].
    fn write(&self, batch: Batch) -> Result<(), StoreError> {
        self.commit(batch)
    }

    /// The account at `address` as the last finished batch left it, where that is in memory; `None` where it must be
    /// read, and while a batch is written.
    fn known_account(&self, address: &Address) -> Option<Option<TrieAccount>> {
        let _ = address;
        None
    }

    /// The same for a slot.
    fn known_slot(&self, address: &Address, slot: &U256) -> Option<U256> {
        let _ = (address, slot);
        None
    }

    /// Bytes of the engine's files, by the names of its parts; nothing for an engine without files.
    fn disk_bytes(&self) -> Vec<(String, u64)> {
        Vec::new()
    }

    /// What the engine and its caches hold in memory; nothing for an engine that is nothing but memory.
    fn memory(&self) -> Vec<Held> {
        Vec::new()
    }

    /// Gives room back that removed records still take, as far as the engine can.
    ///
    /// # Errors
    ///
    /// As [`Self::commit`].
    fn compact(&self, table: Table) -> Result<(), StoreError> {
        let _ = table;
        Ok(())
    }
}

impl<B: Backend + ?Sized> Backend for Arc<B> {
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        (**self).snapshot()
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        (**self).commit(batch)
    }

    fn commit_shared(&self, writes: &Arc<Writes>, then: Batch) -> Result<(), StoreError> {
        (**self).commit_shared(writes, then)
    }

    fn commit_records(&self, table: Table, records: &[(&[u8], &[u8])]) -> Result<(), StoreError> {
        (**self).commit_records(table, records)
    }

    fn write(&self, batch: Batch) -> Result<(), StoreError> {
        (**self).write(batch)
    }

    fn known_account(&self, address: &Address) -> Option<Option<TrieAccount>> {
        (**self).known_account(address)
    }

    fn known_slot(&self, address: &Address, slot: &U256) -> Option<U256> {
        (**self).known_slot(address, slot)
    }

    fn disk_bytes(&self) -> Vec<(String, u64)> {
        (**self).disk_bytes()
    }

    fn memory(&self) -> Vec<Held> {
        (**self).memory()
    }

    fn compact(&self, table: Table) -> Result<(), StoreError> {
        (**self).compact(table)
    }
}

/// The least key greater than every key with this prefix; `None` where there is none.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn tables_know_their_place_and_have_distinct_names() {
        for (at, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table.index(), at);
        }
        let names: std::collections::BTreeSet<_> = Table::ALL.iter().map(|t| t.name()).collect();
        assert_eq!(names.len(), Table::ALL.len());
    }

    #[test]
    fn the_key_after_a_prefix() {
        assert_eq!(after_prefix(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(after_prefix(&[1, 0xff]), Some(vec![2]));
        assert_eq!(after_prefix(&[0xff, 0xff]), None);
        assert_eq!(after_prefix(&[]), None);
    }

    type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

    fn check(snapshot: &dyn Snapshot, model: &Model) {
        for table in [Table::Meta, Table::Storage] {
            let all: Vec<_> = snapshot
                .range(table, &[], None)
                .collect::<Result<_, _>>()
                .unwrap();
            let wanted: Vec<_> = model
                .iter()
                .filter(|((t, _), _)| *t == table)
                .map(|((_, k), v)| (k.clone(), v.clone()))
                .collect();
            assert_eq!(all, wanted);
            for prefix in [vec![0], vec![1], vec![1, 1], vec![0xff]] {
                let got: Vec<_> = snapshot
                    .prefix(table, &prefix)
                    .collect::<Result<_, _>>()
                    .unwrap();
                let wanted: Vec<_> = wanted
                    .iter()
                    .filter(|(k, _)| k.starts_with(&prefix))
                    .cloned()
                    .collect();
                assert_eq!(got, wanted);
            }
            for (key, value) in &wanted {
                assert_eq!(snapshot.get(table, key).unwrap().as_ref(), Some(value));
            }
            assert_eq!(snapshot.get(table, &[9, 9, 9]).unwrap(), None);
        }
    }

    /// Writes to one of two tables, and whether a snapshot is taken after them.
    type Step = (Vec<(bool, Vec<u8>, Option<Vec<u8>>)>, bool);

    fn script() -> impl Strategy<Value = Vec<Step>> {
        let key = prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 1..4);
        let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..4));
        let batch = prop::collection::vec((any::<bool>(), key, value), 0..8);
        prop::collection::vec((batch, any::<bool>()), 1..12)
    }

    fn run(backend: &dyn Backend, script: Vec<Step>) {
        let mut model = Model::new();
        let mut held = Vec::new();
        for (writes, hold) in script {
            let mut batch = Batch::new();
            for (which, key, value) in writes {
                let table = if which { Table::Meta } else { Table::Storage };
                match &value {
                    Some(value) => model.insert((table, key.clone()), value.clone()),
                    None => model.remove(&(table, key.clone())),
                };
                // A later write of a batch replaces an earlier one of the same key.
                batch.set(table, key, value);
            }
            backend.commit(batch).unwrap();
            check(&*backend.snapshot(), &model);
            if hold {
                held.push((backend.snapshot(), model.clone()));
            }
            for (snapshot, model) in &held {
                check(&**snapshot, model);
            }
            if held.len() > 2 {
                held.remove(0);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn memory_is_an_ordered_map_with_snapshots(script in script()) {
            run(&memory::Memory::new(), script);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_cache_changes_nothing(script in script()) {
            run(&cached::Cached::new(memory::Memory::new(), 20_000), script);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn tables_written_behind_read_the_same(script in script(), batches in 1usize..5) {
            let bounds = behind::Bounds { batches, bytes: 1 << 20, records_a_turn: 2 };
            run(&behind::Behind::open(memory::Memory::new(), bounds).unwrap(), script);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6))]
        #[test]
        fn fjall_is_an_ordered_map_with_snapshots(script in script()) {
            let dir = tempfile::tempdir().unwrap();
            run(&fjall::Fjall::open(dir.path(), &Default::default()).unwrap(), script);
        }
    }
}
