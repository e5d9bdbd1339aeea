//! Writes that are not made yet, over a snapshot: what a batch would leave, without making it.

use super::{Batch, Record, Records, Snapshot, Table};
use crate::StoreError;
use std::{collections::BTreeMap, iter::Peekable, ops::Bound, sync::Arc};

/// The last write to each key of a batch, by table; `None` removes the key.
#[derive(Debug, Default)]
pub struct Writes([BTreeMap<Vec<u8>, Option<Vec<u8>>>; Table::ALL.len()]);

impl Writes {
    /// Number of keys written or removed.
    pub fn len(&self) -> usize {
        self.0.iter().map(BTreeMap::len).sum()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The writes as a batch.
    pub fn to_batch(&self) -> Batch {
        let mut batch = Batch::new();
        for (table, writes) in Table::ALL.into_iter().zip(&self.0) {
            for (key, value) in writes {
                batch.set(table, key.clone(), value.clone());
            }
        }
        batch
    }
}

impl From<Batch> for Writes {
    fn from(batch: Batch) -> Self {
        let mut writes = Self::default();
        for (table, key, value) in batch.into_writes() {
            writes.0[table.index()].insert(key, value);
        }
        writes
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
        match self.writes.0[table.index()].get(key) {
            Some(written) => Ok(written.clone()),
            None => self.below.get(table, key),
        }
    }

    fn range<'a>(&'a self, table: Table, start: &[u8], end: Option<&[u8]>) -> Records<'a> {
        if end.is_some_and(|end| end <= start) {
            return Box::new(std::iter::empty());
        }
        let end_bound = end.map_or(Bound::Unbounded, Bound::Excluded);
        let written = self.writes.0[table.index()]
            .range::<[u8], _>((Bound::Included(start), end_bound))
            .peekable();
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
    W: Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)>,
{
    type Item = Result<Record, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((key, _)) = self.written.peek() else {
                return self.below.next();
            };
            match self.below.peek() {
                Some(Ok((below, _))) if below < *key => return self.below.next(),
                Some(Err(_)) => return self.below.next(),
                Some(Ok((below, _))) if below == *key => {
                    self.below.next();
                }
                _ => {}
            }
            if let Some((key, Some(value))) = self.written.next() {
                return Some(Ok((key.clone(), value.clone())));
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
            batch.set(Table::Storage, key.clone(), value.clone());
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
}
