//! What waits in the pool, in geth's shapes.

use std::collections::BTreeMap;

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_primitives::{Address, U64};
use serde_json::json;

use crate::context::{Answer, Shared, answer};
use crate::convert::{self, PendingTransaction};
use crate::params::Args;

/// Transactions by sender and nonce.
type BySender = BTreeMap<Address, BTreeMap<u64, Recovered<TxEnvelope>>>;

/// `txpool_status`: how many could be executed now, and how many wait for a nonce before them.
pub(super) fn status(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    let status = shared.node.pool.lock().status();
    answer(&json!({ "pending": U64::from(status.pending), "queued": U64::from(status.queued) }))
}

/// `txpool_content`: every transaction.
pub(super) fn content(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    let content = shared.node.pool.lock().content();
    answer(&json!({ "pending": by_sender(content.pending), "queued": by_sender(content.queued) }))
}

/// `txpool_contentFrom`: the transactions of one sender.
pub(super) fn content_from(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    let sender = args.hex::<Address>(0)?;
    let mut content = shared.node.pool.lock().content_from(&sender);
    let of = |all: &mut BySender| by_nonce(all.remove(&sender).unwrap_or_default());
    answer(&json!({ "pending": of(&mut content.pending), "queued": of(&mut content.queued) }))
}

/// `txpool_inspect`: every transaction in one line.
pub(super) fn inspect(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    let content = shared.node.pool.lock().content();
    let lines = |all: BySender| -> BTreeMap<String, BTreeMap<String, String>> {
        let line = |(nonce, transaction): (u64, Recovered<TxEnvelope>)| {
            (nonce.to_string(), summary(&transaction))
        };
        all.into_iter()
            .map(|(sender, transactions)| {
                (
                    sender.to_string(),
                    transactions.into_iter().map(line).collect(),
                )
            })
            .collect()
    };
    answer(&json!({ "pending": lines(content.pending), "queued": lines(content.queued) }))
}

/// Addresses with their checksum and nonces in decimal as keys, as geth has them.
fn by_sender(all: BySender) -> BTreeMap<String, BTreeMap<String, PendingTransaction>> {
    all.into_iter()
        .map(|(sender, transactions)| (sender.to_string(), by_nonce(transactions)))
        .collect()
}

fn by_nonce(
    transactions: BTreeMap<u64, Recovered<TxEnvelope>>,
) -> BTreeMap<String, PendingTransaction> {
    transactions
        .into_iter()
        .map(|(nonce, transaction)| (nonce.to_string(), convert::pending_transaction(transaction)))
        .collect()
}

fn summary(transaction: &Recovered<TxEnvelope>) -> String {
    let to = transaction
        .to()
        .map_or_else(|| "contract creation".to_owned(), |to| to.to_string());
    let (value, gas, price) = (
        transaction.value(),
        transaction.gas_limit(),
        transaction.max_fee_per_gas(),
    );
    format!("{to}: {value} wei + {gas} gas × {price} wei")
}
