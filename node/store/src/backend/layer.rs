//! Writes that are not made yet, over a snapshot: what a batch would leave, without making it.

use super::{Batch, Place, Record, Records, Snapshot, Table};
use crate::{StoreError, codec};
use alloy_primitives::{Address, U256};
use alloy_trie::TrieAccount;
use std::{iter::Peekable, sync::Arc};

/// The last write to each key of a batch, in order.
#[derive(Debug, Default)]
pub struct Writes(Batch);

impl Writes {
    /// Number of keys written or removed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes of keys, of values and of the list of their places.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes.capacity() + self.0.writes.capacity() * size_of::<Place>()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The writes as a batch.
    pub fn to_batch(&self) -> Batch {
        self.0.clone()
    }

    /// What is written under a key of a table.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Option<Option<&[u8]>> {
        let batch = &self.0;
        let at = |place: &Place| batch.key(place).cmp(&(table, key));
        let index = batch.writes.binary_search_by(at).ok()?;
        let (.., value) = batch.write(batch.writes.get(index)?);
        Some(value)
    }

    /// Keys of a table from `start` (included) to `end` (excluded), with what is written under them.
    fn range(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
    ) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> + use<'_> {
        let batch = &self.0;
        let first = |bound: (Table, &[u8])| {
            let before = |place: &Place| batch.key(place) < bound;
            batch.writes.partition_point(before)
        };
        let start = first((table, start));
        let end = match end {
            Some(end) => first((table, end)),
            None => batch.writes.partition_point(|place| place.table <= table),
        };
        let writes = batch.writes.get(start..end).unwrap_or_default();
        writes.iter().map(move |place| {
            let (_, key, value) = batch.write(place);
            (key, value)
        })
    }
}

impl From<Batch> for Writes {
    fn from(mut batch: Batch) -> Self {
        batch.sort();
        Self(batch)
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
        let written = self.writes.range(table, start, end).peekable();
        Box::new(Merged {
            written,
            below: self.below.range(table, start, end).peekable(),
        })
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
