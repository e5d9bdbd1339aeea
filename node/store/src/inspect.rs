//! Looking at a whole store: sizes of its tables, and whether its blocks are what their headers say.

use crate::{
    Block, Head, StoreError,
    backend::{Backend, Snapshot, Table},
    block,
};
use alloy_consensus::{
    ReceiptEnvelope, TxReceipt as _,
    proofs::{
        calculate_ommers_root, calculate_receipt_root, calculate_transaction_root,
        calculate_withdrawals_root,
    },
};
use alloy_primitives::{B256, Bloom};

/// Size of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStats {
    /// The table.
    pub table: Table,
    /// Records in it.
    pub records: u64,
    /// Bytes of their keys.
    pub key_bytes: u64,
    /// Bytes of their values.
    pub value_bytes: u64,
}

/// Counts a table by reading all of it.
pub(crate) fn table_stats(backend: &dyn Backend, table: Table) -> Result<TableStats, StoreError> {
    let mut stats = TableStats {
        table,
        records: 0,
        key_bytes: 0,
        value_bytes: 0,
    };
    let bytes = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    for record in backend.snapshot().range(table, &[], None) {
        let (key, value) = record?;
        stats.records += 1;
        stats.key_bytes += bytes(&key);
        stats.value_bytes += bytes(&value);
    }
    Ok(stats)
}

/// What a check of the blocks went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlocksReport {
    /// Blocks, the first one included.
    pub blocks: u64,
    /// Transactions, each with its receipt.
    pub transactions: u64,
    /// Logs.
    pub logs: u64,
}

/// Checks every block from the first to the head: its hash and its parent's, the roots of its
/// transactions, uncles, withdrawals and receipts, bloom and gas used, and both indexes. `report`
/// gets the number of blocks behind it.
pub(crate) fn verify_blocks(
    snapshot: &dyn Snapshot,
    head: &Head,
    genesis_hash: B256,
    report: &mut dyn FnMut(u64),
) -> Result<BlocksReport, StoreError> {
    let mut done = BlocksReport::default();
    let mut parent = None;
    for number in 0..=head.number {
        let wrong = |reason: String| StoreError::InconsistentBlock { number, reason };
        let missing = |what: &str| wrong(format!("its {what} missing"));
        let block = block::read_block(snapshot, number)?.ok_or_else(|| missing("header is"))?;
        let receipts =
            block::read_receipts(snapshot, number)?.ok_or_else(|| missing("receipts are"))?;
        check_links(&block, number, parent, genesis_hash).map_err(wrong)?;
        check_content(&block, &receipts).map_err(wrong)?;
        if block::read_number(snapshot, &block.hash)? != Some(number) {
            return Err(wrong("it is not found by its hash".to_owned()));
        }
        for (index, transaction) in block.transactions.iter().enumerate() {
            let hash = transaction.tx_hash();
            if block::read_location(snapshot, hash)? != Some((number, index)) {
                return Err(wrong(format!(
                    "its transaction {index}, {hash}, is not found by its hash"
                )));
            }
        }
        parent = Some(block.hash);
        done.blocks += 1;
        done.transactions += count(block.transactions.len());
        done.logs += receipts
            .iter()
            .map(|receipt| count(receipt.logs().len()))
            .sum::<u64>();
        report(done.blocks);
    }
    if parent != Some(head.hash) {
        return Err(StoreError::InconsistentBlock {
            number: head.number,
            reason: format!("it is not the head, {}", head.hash),
        });
    }
    for (table, expected) in [
        (Table::Headers, done.blocks),
        (Table::Bodies, done.blocks),
        (Table::Receipts, done.blocks),
        (Table::BlockNumbers, done.blocks),
        (Table::TxLookup, done.transactions),
    ] {
        let mut records = snapshot.range(table, &[], None);
        let found = records.try_fold(0u64, |count, record| record.map(|_| count + 1))?;
        if found != expected {
            return Err(StoreError::InconsistentBlock {
                number: head.number,
                reason: format!(
                    "table {} has {found} records, the blocks account for {expected}",
                    table.name()
                ),
            });
        }
    }
    Ok(done)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Whether the block is the one after `parent`.
fn check_links(
    block: &Block,
    number: u64,
    parent: Option<B256>,
    genesis_hash: B256,
) -> Result<(), String> {
    let header = &block.header;
    if header.number != number {
        return Err(format!("its header has number {}", header.number));
    }
    let hash = header.hash_slow();
    if block.hash != hash {
        return Err(format!("its header has hash {hash}, not {}", block.hash));
    }
    match parent {
        None if hash != genesis_hash => Err(format!("its hash is {hash}, not {genesis_hash}")),
        Some(parent) if header.parent_hash != parent => Err(format!(
            "its parent is {}, the block before it is {parent}",
            header.parent_hash
        )),
        _ => Ok(()),
    }
}

/// Whether body and receipts are those that the header names.
fn check_content(block: &Block, receipts: &[ReceiptEnvelope]) -> Result<(), String> {
    let header = &block.header;
    let (transactions, senders) = (block.transactions.len(), block.senders.len());
    if transactions != senders || transactions != receipts.len() {
        return Err(format!(
            "it has {transactions} transactions, {senders} senders and {} receipts",
            receipts.len()
        ));
    }
    let withdrawals = block
        .withdrawals
        .as_ref()
        .map(|withdrawals| calculate_withdrawals_root(withdrawals));
    let roots = [
        (
            "transactions",
            Some(calculate_transaction_root(&block.transactions)),
            Some(header.transactions_root),
        ),
        (
            "uncles",
            Some(calculate_ommers_root(&block.ommers)),
            Some(header.ommers_hash),
        ),
        ("withdrawals", withdrawals, header.withdrawals_root),
        (
            "receipts",
            Some(calculate_receipt_root(receipts)),
            Some(header.receipts_root),
        ),
    ];
    let text = |root: Option<B256>| root.map_or("none".to_owned(), |root| root.to_string());
    for (what, found, wanted) in roots {
        if found != wanted {
            return Err(format!(
                "its {what} give root {}, its header says {}",
                text(found),
                text(wanted)
            ));
        }
    }
    let bloom = receipts
        .iter()
        .fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom());
    if bloom != header.logs_bloom {
        return Err("its logs do not give the bloom of its header".to_owned());
    }
    let gas = receipts
        .last()
        .map_or(0, |receipt| receipt.cumulative_gas_used());
    // The first block may claim gas that nothing used.
    if gas != header.gas_used && header.number > 0 {
        return Err(format!(
            "its receipts add up to {gas} gas, its header says {}",
            header.gas_used
        ));
    }
    Ok(())
}
