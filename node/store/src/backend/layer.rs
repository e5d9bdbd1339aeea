//! Writes that are not made yet, over a snapshot: what a batch would leave, without making it.

use super::{
    Batch, Place, Record, Records, Snapshot, Table,
    filter::{Filter, hash_of},
};
use crate::{StoreError, codec};
use alloy_primitives::{Address, U256};
use alloy_trie::TrieAccount;
use std::{iter::Peekable, sync::Arc};

/// The last write to each key of a batch, in order.
#[derive(Debug, Default)]
pub struct Writes {
    /// With its writes in order.
    batch: Batch,
    tables: Tables,
    filter: Filter,
}

/// Where the writes to each table begin, and where the last ones end.
type Tables = [usize; Table::ALL.len() + 1];

/// What it takes to find writes in a batch.
pub(super) struct Index {
    writes: Vec<Place>,
    tables: Tables,
    filter: Filter,
}

impl Index {
    pub(super) fn of(batch: &Batch) -> Self {
        let writes = batch.sorted();
        let mut tables = [0; Table::ALL.len() + 1];
        for (table, begins) in Table::ALL.iter().zip(&mut tables) {
            *begins = writes.partition_point(|place| place.table < *table);
        }
        if let Some(end) = tables.last_mut() {
            *end = writes.len();
        }
        let mut filter = Filter::new(writes.len());
        for place in &writes {
            let (table, key) = batch.key(place);
            filter.insert(hash_of(table, key));
        }
        Self {
            writes,
            tables,
            filter,
        }
    }
}

impl Writes {
    /// The writes of `batch`, whose index this is.
    pub(super) fn found_by(mut batch: Batch, index: Index) -> Self {
        batch.writes = index.writes;
        Self {
            batch,
            tables: index.tables,
            filter: index.filter,
        }
    }

    /// Number of keys written or removed.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Bytes of keys, of values and of the list of their places.
    pub(crate) fn bytes(&self) -> usize {
        let batch = &self.batch;
        batch.bytes.len() + batch.writes.len() * size_of::<Place>() + self.filter.bytes()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// The writes as a batch.
    pub fn to_batch(&self) -> Batch {
        self.batch.clone()
    }

    /// The writes as a batch, which they are.
    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// What is written under a key of a table.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<Option<&[u8]>> {
        self.get_hashed(table, key, hash_of(table, key))
    }

    /// The same where the key's hash is known.
    pub(super) fn get_hashed(&self, table: Table, key: &[u8], hash: u64) -> Option<Option<&[u8]>> {
        if !self.filter.may_have(hash) {
            return None;
        }
        let writes = self.table(table);
        let at = |place: &Place| self.batch.key(place).1.cmp(key);
        let index = writes.binary_search_by(at).ok()?;
        let (.., value) = self.batch.write(writes.get(index)?);
        Some(value)
    }

    /// The writes to a table.
    fn table(&self, table: Table) -> &[Place] {
        let at = |index: usize| self.tables.get(index).copied().unwrap_or_default();
        let writes = at(table.index())..at(table.index() + 1);
        self.batch.writes.get(writes).unwrap_or_default()
    }

    /// Keys of a table from `start` (included) to `end` (excluded), with what is written under them.
    fn range<'a>(
        &'a self,
        table: Table,
        start: &[u8],
        end: Option<Vec<u8>>,
    ) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let writes = self.table(table);
        let first = writes.partition_point(|place| self.batch.key(place).1 < start);
        let writes = writes.get(first..).unwrap_or_default().iter();
        let writes = writes.map(|place| {
            let (_, key, value) = self.batch.write(place);
            (key, value)
        });
        writes.take_while(move |(key, _)| end.as_ref().is_none_or(|end| *key < &end[..]))
    }

    /// These writes to a table over records of the same range of it.
    pub(super) fn over<'a>(
        &'a self,
        below: Records<'a>,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
    ) -> Records<'a> {
        let mut written = self.range(table, start, end.map(<[u8]>::to_vec)).peekable();
        if written.peek().is_none() {
            return below;
        }
        Box::new(Merged {
            written,
            below: below.peekable(),
        })
    }
}

impl From<Batch> for Writes {
    fn from(batch: Batch) -> Self {
        let index = Index::of(&batch);
        Self::found_by(batch, index)
    }
}

/// A snapshot as it would be after some writes.
pub struct Layer {
    below: Arc<dyn Snapshot>,
    writes: Arc<Writes>,
}

impl Layer {
    /// `below` after `writes`.
    pub fn new(below: Arc<dyn Snapshot>, writes: Arc<Writes>) -> Self {
        Self { below, writes }
    }
}

impl Snapshot for Layer {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.writes.get(table, key) {
            Some(written) => Ok(written.map(<[u8]>::to_vec)),
            None => self.below.get(table, key),
        }
    }

    fn account(&self, address: &Address) -> Result<Option<TrieAccount>, StoreError> {
        let key = address.as_slice();
        match self.writes.get(Table::Accounts, key) {
            Some(Some(account)) => codec::rlp(Table::Accounts, key, account).map(Some),
            Some(None) => Ok(None),
            None => self.below.account(address),
        }
    }

    fn slot(&self, address: &Address, slot: &U256) -> Result<U256, StoreError> {
        let key = codec::slot_key(address, slot);
        match self.writes.get(Table::Storage, &key) {
            Some(Some(value)) => codec::decode_slot(Table::Storage, &key, value),
            Some(None) => Ok(U256::ZERO),
            None => self.below.slot(address, slot),
        }
    }

    fn range<'a>(&'a self, table: Table, start: &[u8], end: Option<&[u8]>) -> Records<'a> {
        if end.is_some_and(|end| end <= start) {
            return Box::new(std::iter::empty());
        }
        let below = self.below.range(table, start, end);
        self.writes.over(below, table, start, end)
    }
}

/// Two ordered runs as one; a write hides the record of the same key below it.
struct Merged<'a, W: Iterator> {
    written: Peekable<W>,
    below: Peekable<Records<'a>>,
}

impl<'a, W> Iterator for Merged<'a, W>
where
    W: Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
{
    type Item = Result<Record, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((key, _)) = self.written.peek() else {
                return self.below.next();
            };
            match self.below.peek() {
                Some(Ok((below, _))) if below.as_slice() < *key => return self.below.next(),
                Some(Err(_)) => return self.below.next(),
                Some(Ok((below, _))) if below.as_slice() == *key => {
                    self.below.next();
                }
                _ => {}
            }
            if let Some((key, Some(value))) = self.written.next() {
                return Some(Ok((key.to_vec(), value.to_vec())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend as _, memory::Memory};
    use proptest::prelude::*;

    fn writes() -> impl Strategy<Value = Vec<(Vec<u8>, Option<Vec<u8>>)>> {
        let key = prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0xff)], 1..4);
        let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..3));
        prop::collection::vec((key, value), 0..12)
    }

    fn batch(writes: &[(Vec<u8>, Option<Vec<u8>>)]) -> Batch {
        let mut batch = Batch::new();
        for (key, value) in writes {
            batch.set(Table::Storage, key, value.as_ref());
        }
        batch
    }

    proptest! {
        /// Two layers over a snapshot read as if their batches had been committed.
        #[test]
        fn a_layer_reads_like_the_commit(
            first in writes(), second in writes(), third in writes(),
            start in prop::collection::vec(any::<u8>(), 0..3),
            end in prop::option::of(prop::collection::vec(any::<u8>(), 0..3)),
        ) {
            let committed = Memory::new();
            let below = Memory::new();
            for memory in [&committed, &below] {
                memory.commit(batch(&first)).unwrap();
            }
            let layer = |below, writes: &[_]| -> Arc<dyn Snapshot> {
                Arc::new(Layer::new(below, Arc::new(Writes::from(batch(writes)))))
            };
            let layered = layer(layer(below.snapshot(), &second), &third);
            committed.commit(batch(&second)).unwrap();
            committed.commit(Writes::from(batch(&third)).to_batch()).unwrap();
            let wanted = committed.snapshot();
            let all = |snapshot: &dyn Snapshot, start: &[u8], end: Option<&[u8]>| {
                snapshot.range(Table::Storage, start, end).map(Result::unwrap).collect::<Vec<_>>()
            };
            prop_assert_eq!(all(&*layered, &[], None), all(&*wanted, &[], None));
            if end.as_ref().is_none_or(|end| *end > start) {
                prop_assert_eq!(
                    all(&*layered, &start, end.as_deref()),
                    all(&*wanted, &start, end.as_deref())
                );
            }
            for (key, _) in first.iter().chain(&second).chain(&third) {
                prop_assert_eq!(
                    layered.get(Table::Storage, key).unwrap(),
                    wanted.get(Table::Storage, key).unwrap()
                );
            }
        }
    }

    #[test]
    fn an_account_and_a_slot_that_a_layer_removes_are_gone() {
        let (address, slot) = (Address::repeat_byte(1), U256::from(5));
        let mut first = Batch::new();
        let account = codec::encode_account(&TrieAccount::default());
        first.put(Table::Accounts, address, account);
        first.put(Table::Storage, codec::slot_key(&address, &slot), [7]);
        let memory = Memory::new();
        memory.commit(first).unwrap();
        let below = memory.snapshot();
        assert_eq!(
            below.account(&address).unwrap(),
            Some(TrieAccount::default())
        );
        assert_eq!(below.slot(&address, &slot).unwrap(), U256::from(7));
        let mut second = Batch::new();
        second.remove(Table::Accounts, address);
        second.remove(Table::Storage, codec::slot_key(&address, &slot));
        let layer = Layer::new(below, Arc::new(Writes::from(second)));
        assert_eq!(layer.account(&address).unwrap(), None);
        assert_eq!(layer.slot(&address, &slot).unwrap(), U256::ZERO);
    }
}
