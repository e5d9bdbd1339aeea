//! The order in which a block builder wants the transactions.

use crate::pool::{Entry, Senders};
use alloy_consensus::{Transaction, TxEnvelope, transaction::Recovered};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, btree_map},
};

/// Executable transactions that pay a base fee, by effective tip, each sender's nonces in
/// order; at equal tips the one that came first is first.
#[derive(Debug)]
pub struct Best<'a> {
    base_fee: u64,
    heads: BinaryHeap<Head<'a>>,
}

/// The next transaction of a sender, and those behind it.
#[derive(Debug)]
struct Head<'a> {
    tip: u128,
    entry: &'a Entry,
    rest: btree_map::Range<'a, u64, Entry>,
}

impl Head<'_> {
    fn key(&self) -> (u128, Reverse<u64>) {
        (self.tip, Reverse(self.entry.arrival))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Head<'_> {}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// The next transaction of `rest` that can be executed at `base_fee`.
fn head<'a>(mut rest: btree_map::Range<'a, u64, Entry>, base_fee: u64) -> Option<Head<'a>> {
    let (_, entry) = rest.next()?;
    // Once one of a sender waits, all behind it do.
    let tip = entry
        .rank
        .is_executable()
        .then(|| entry.transaction.effective_tip_per_gas(base_fee))??;
    Some(Head { tip, entry, rest })
}

impl<'a> Best<'a> {
    pub(crate) fn new(senders: &'a Senders, base_fee: u64) -> Self {
        let heads = senders
            .values()
            .filter_map(|sender| head(sender.entries.range(..), base_fee))
            .collect();
        Self { base_fee, heads }
    }
}

impl<'a> Iterator for Best<'a> {
    type Item = &'a Recovered<TxEnvelope>;

    fn next(&mut self) -> Option<Self::Item> {
        let Head { entry, rest, .. } = self.heads.pop()?;
        self.heads.extend(head(rest, self.base_fee));
        Some(&entry.transaction)
    }
}
