//! Transactions and their receipts.

use alloy_eips::{BlockId, Encodable2718};
use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_eth::TransactionReceipt;
use pars_store::Block;
use serde_json::Value;

use crate::context::{Answer, Shared, answer, mismatched, store_fault};
use crate::convert;
use crate::error::Fault;
use crate::params::Args;
use crate::pending::unsealed;

/// The block that holds the transaction and its position in it.
fn find(shared: &Shared, hash: &B256) -> Result<Option<(Block, usize)>, Fault> {
    let store = &shared.node.store;
    let Some((number, index)) = store.transaction_location(hash).map_err(store_fault)? else {
        return Ok(None);
    };
    let block = store.block(number).map_err(store_fault)?;
    Ok(block.map(|block| (block, index)))
}

/// `eth_getTransactionByHash`: from a block, else from the pool, else `null`.
pub(super) fn by_hash(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    let hash = args.hex(0)?;
    // The pool first: between the two looks a transaction can only move from the pool to a block.
    let waiting = shared.node.pool.lock().get(&hash);
    if let Some((block, index)) = find(shared, &hash)? {
        return answer(&convert::transaction_at(&block, index));
    }
    answer(&waiting.map(convert::pending_transaction))
}

/// `eth_getRawTransactionByHash`: no bytes where there is none, as in geth.
pub(super) fn raw_by_hash(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    let hash = args.hex(0)?;
    let waiting = shared.node.pool.lock().get(&hash);
    let mined = find(shared, &hash)?;
    let mined = mined.and_then(|(mut block, index)| {
        (index < block.transactions.len()).then(|| block.transactions.swap_remove(index))
    });
    let found = mined.or(waiting.map(|transaction| transaction.into_inner()));
    answer(&found.map_or_else(Bytes::new, |transaction| transaction.encoded_2718().into()))
}

/// `eth_getTransactionByBlockNumberAndIndex`
pub(super) fn by_block_number(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    at(shared, BlockId::Number(args.tag(0)?), args.index(1)?)
}

/// `eth_getTransactionByBlockHashAndIndex`
pub(super) fn by_block_hash(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    at(shared, BlockId::from(args.hex::<B256>(0)?), args.index(1)?)
}

fn at(shared: &Shared, id: BlockId, index: usize) -> Answer {
    let block = shared.block(id)?;
    let transaction = block.and_then(|block| convert::transaction_at(&block, index));
    if id.is_pending() {
        answer(&unsealed(&transaction)?)
    } else {
        answer(&transaction)
    }
}

/// `eth_getTransactionReceipt`
pub(super) fn receipt(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    match receipt_of(shared, &args.hex(0)?)? {
        Some(receipt) => answer(&receipt),
        None => answer(&Value::Null),
    }
}

/// The receipt of a transaction that is in a block.
pub(super) fn receipt_of(
    shared: &Shared,
    hash: &B256,
) -> Result<Option<TransactionReceipt>, Fault> {
    let Some((block, index)) = find(shared, hash)? else {
        return Ok(None);
    };
    let stored = shared.receipts(block.header.number)?;
    convert::receipt_at(&shared.node.spec, &block, stored, index)
        .map(Some)
        .ok_or_else(|| mismatched(&block))
}
