//! The order in which a block builder wants the transactions.

use crate::pool::{Entry, Senders};
use alloy_consensus::{Transaction, TxEnvelope, transaction::Recovered};
use alloy_primitives::Address;
use std::{cmp::Reverse, collections::BinaryHeap};

/// Where somebody is among the executable transactions that pay a base fee, by effective tip, each sender's
/// nonces in order; at equal tips the one that came first is first.
///
/// It holds on to nothing of the pool, which may change from one step to the next: what is dropped is passed
/// over with those behind it, what takes another's place comes in its place, and senders that are new to the pool
/// are not seen.
#[derive(Clone, Debug)]
pub struct Cursor {
    base_fee: u64,
    heads: BinaryHeap<Head>,
}

/// The next transaction of a sender. The greatest is the first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    tip: u128,
    arrival: Reverse<u64>,
    sender: Address,
    nonce: u64,
}

/// The tip of a transaction that can be executed at `base_fee`.
fn tip(entry: &Entry, base_fee: u64) -> Option<u128> {
    let executable = entry.rank.is_executable();
    executable.then(|| entry.transaction.effective_tip_per_gas(base_fee))?
}

impl Head {
    fn new(sender: &Address, nonce: u64, entry: &Entry, base_fee: u64) -> Option<Self> {
        Some(Self {
            // Once one of a sender waits, all behind it do.
            tip: tip(entry, base_fee)?,
            arrival: Reverse(entry.arrival),
            sender: *sender,
            nonce,
        })
    }
}

impl Cursor {
    /// Before the first.
    pub(crate) fn new(senders: &Senders, base_fee: u64) -> Self {
        let heads = senders.iter().filter_map(|(address, sender)| {
            let (nonce, entry) = sender.entries.first_key_value()?;
            Head::new(address, *nonce, entry, base_fee)
        });
        // Made a heap at once, which is quicker than one by one.
        let heads = heads.collect::<Vec<_>>().into();
        Self { base_fee, heads }
    }

    /// The next one.
    pub(crate) fn step<'a>(&mut self, senders: &'a Senders) -> Option<&'a Recovered<TxEnvelope>> {
        loop {
            let Head { sender, nonce, .. } = self.heads.pop()?;
            let Some(entries) = senders.get(&sender).map(|sender| &sender.entries) else {
                continue;
            };
            let mut rest = entries.range(nonce..);
            let Some((&found, entry)) = rest.next() else {
                continue;
            };
            if found != nonce || tip(entry, self.base_fee).is_none() {
                continue;
            }
            let next = rest.next();
            let next =
                next.and_then(|(nonce, entry)| Head::new(&sender, *nonce, entry, self.base_fee));
            self.heads.extend(next);
            return Some(&entry.transaction);
        }
    }
}

/// The transactions of a [`Cursor`], of a pool that cannot change meanwhile.
#[derive(Debug)]
pub struct Best<'a> {
    senders: &'a Senders,
    cursor: Cursor,
}

impl<'a> Best<'a> {
    pub(crate) fn new(senders: &'a Senders, base_fee: u64) -> Self {
        Self {
            senders,
            cursor: Cursor::new(senders, base_fee),
        }
    }
}

impl<'a> Iterator for Best<'a> {
    type Item = &'a Recovered<TxEnvelope>;

    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.step(self.senders)
    }
}

/// Whether there is any.
pub(crate) fn any(senders: &Senders, base_fee: u64) -> bool {
    let mut senders = senders.values();
    senders.any(|sender| {
        let first = sender.entries.first_key_value();
        first.is_some_and(|(_, entry)| tip(entry, base_fee).is_some())
    })
}
