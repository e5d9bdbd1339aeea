//! Blocks, headers, counts and uncles.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, U64};
use alloy_rpc_types_eth::Index;
use serde_json::Value;

use crate::context::{Answer, Shared, answer};
use crate::convert;
use crate::error::Fault;
use crate::params::Args;

/// The block parameter at `position`; absent means the newest block.
pub(super) fn block_id(args: &Args<'_>, position: usize) -> Result<BlockId, Fault> {
    Ok(args.optional(position)?.unwrap_or_default())
}

/// The block number or tag at `position`, which must be there.
fn by_tag(args: &Args<'_>, position: usize) -> Result<BlockId, Fault> {
    Ok(BlockId::Number(
        args.required::<BlockNumberOrTag>(position)?,
    ))
}

/// The block hash at `position`, which must be there.
fn by_digest(args: &Args<'_>, position: usize) -> Result<BlockId, Fault> {
    Ok(BlockId::from(args.required::<B256>(position)?))
}

/// `eth_getBlockByNumber`
pub(super) fn by_number(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    get(shared, by_tag(args, 0)?, args.optional(1)?.unwrap_or(false))
}

/// `eth_getBlockByHash`
pub(super) fn by_hash(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    get(
        shared,
        by_digest(args, 0)?,
        args.optional(1)?.unwrap_or(false),
    )
}

fn get(shared: &Shared, id: BlockId, full: bool) -> Answer {
    if id.is_pending() {
        return pending(shared, full);
    }
    answer(&shared.block(id)?.map(|block| convert::block(block, full)))
}

/// The block that would be built now. It has no hash and no nonce yet, and its transactions have no
/// block.
fn pending(shared: &Shared, full: bool) -> Answer {
    let block = convert::block(shared.pending.get(&shared.node)?.block.clone(), full);
    let mut value = serde_json::to_value(&block).map_err(Fault::internal)?;
    for field in ["hash", "nonce"] {
        if let Some(slot) = value.get_mut(field) {
            *slot = Value::Null;
        }
    }
    for transaction in value
        .get_mut("transactions")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(slot) = transaction.get_mut("blockHash") {
            *slot = Value::Null;
        }
    }
    answer(&value)
}

/// `eth_getHeaderByNumber`
pub(super) fn header_by_number(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    header(shared, by_tag(args, 0)?)
}

/// `eth_getHeaderByHash`
pub(super) fn header_by_hash(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    header(shared, by_digest(args, 0)?)
}

fn header(shared: &Shared, id: BlockId) -> Answer {
    answer(
        &shared
            .block(id)?
            .map(|block| convert::header(&block.header, block.hash)),
    )
}

/// `eth_getBlockTransactionCountByNumber`
pub(super) fn transaction_count_by_number(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    transaction_count(shared, by_tag(args, 0)?)
}

/// `eth_getBlockTransactionCountByHash`
pub(super) fn transaction_count_by_hash(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    transaction_count(shared, by_digest(args, 0)?)
}

fn transaction_count(shared: &Shared, id: BlockId) -> Answer {
    let block = if id.is_pending() {
        Some(shared.pending.get(&shared.node)?.block.clone())
    } else {
        shared.block(id)?
    };
    answer(&block.map(|block| U64::from(block.transactions.len())))
}

/// `eth_getBlockReceipts`
pub(super) fn receipts(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    let Some(block) = shared.block(args.required(0)?)? else {
        return answer(&Value::Null);
    };
    let stored = shared.receipts(block.header.number)?;
    let receipts = convert::receipts(&block, stored).ok_or_else(|| {
        Fault::internal(format!(
            "receipts of block {} do not match it",
            block.header.number
        ))
    })?;
    answer(&receipts)
}

/// `eth_getUncleCountByBlockNumber`: there are no uncles; `null` for an unknown block.
pub(super) fn uncle_count_by_number(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    uncle_count(shared, by_tag(args, 0)?)
}

/// `eth_getUncleCountByBlockHash`: there are no uncles; `null` for an unknown block.
pub(super) fn uncle_count_by_hash(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    uncle_count(shared, by_digest(args, 0)?)
}

fn uncle_count(shared: &Shared, id: BlockId) -> Answer {
    answer(&shared.number_of(id)?.map(|_| U64::ZERO))
}

/// `eth_getUncleByBlockNumberAndIndex`: always `null`.
pub(super) fn uncle_by_number(_: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    by_tag(args, 0)?;
    args.required::<Index>(1)?;
    answer(&Value::Null)
}

/// `eth_getUncleByBlockHashAndIndex`: always `null`.
pub(super) fn uncle_by_hash(_: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    by_digest(args, 0)?;
    args.required::<Index>(1)?;
    answer(&Value::Null)
}
