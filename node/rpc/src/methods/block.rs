//! Blocks, headers, counts and uncles.

use alloy_eips::BlockId;
use alloy_primitives::{B256, U64};
use serde_json::Value;

use crate::context::{Answer, Shared, answer, mismatched};
use crate::convert;
use crate::error::Fault;
use crate::params::Args;
use crate::pending::unsealed;

/// The block parameter at `position`; absent means the newest block.
pub(super) fn block_id(args: &Args<'_>, position: usize) -> Result<BlockId, Fault> {
    args.block(position)
}

/// The block number or tag at `position`, which must be there.
fn by_tag(args: &Args<'_>, position: usize) -> Result<BlockId, Fault> {
    args.tag(position).map(BlockId::Number)
}

/// The block hash at `position`, which must be there.
fn by_digest(args: &Args<'_>, position: usize) -> Result<BlockId, Fault> {
    Ok(BlockId::from(args.hex::<B256>(position)?))
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
    let block = shared.block(id)?.map(|block| convert::block(block, full));
    if id.is_pending() {
        answer(&unsealed(&block)?)
    } else {
        answer(&block)
    }
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
    let header = shared
        .block(id)?
        .map(|block| convert::header(&block.header, block.hash));
    if id.is_pending() {
        answer(&unsealed(&header)?)
    } else {
        answer(&header)
    }
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
    answer(
        &shared
            .block(id)?
            .map(|block| U64::from(block.transactions.len())),
    )
}

/// `eth_getBlockReceipts`
pub(super) fn receipts(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    let id = args.required_block(0)?;
    if id.is_pending() {
        let built = shared.pending.get(&shared.node)?;
        return answer(&unsealed(&convert::receipts(
            &shared.node.spec,
            &built.block,
            built.receipts.clone(),
        ))?);
    }
    let Some(block) = shared.block(id)? else {
        return answer(&Value::Null);
    };
    let stored = shared.receipts(block.header.number)?;
    let receipts = convert::receipts(&shared.node.spec, &block, stored);
    answer(&receipts.ok_or_else(|| mismatched(&block))?)
}

/// `eth_getUncleCountByBlockNumber`: `null` for an unknown block. Blocks of this network have none;
/// an imported chain's may.
pub(super) fn uncle_count_by_number(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    uncle_count(shared, by_tag(args, 0)?)
}

/// `eth_getUncleCountByBlockHash`, likewise.
pub(super) fn uncle_count_by_hash(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    uncle_count(shared, by_digest(args, 0)?)
}

fn uncle_count(shared: &Shared, id: BlockId) -> Answer {
    answer(&shared.block(id)?.map(|block| U64::from(block.ommers.len())))
}

/// `eth_getUncleByBlockNumberAndIndex`: a block without its transactions; `null` where there is none.
pub(super) fn uncle_by_number(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    uncle(shared, by_tag(args, 0)?, args.index(1)?)
}

/// `eth_getUncleByBlockHashAndIndex`, likewise.
pub(super) fn uncle_by_hash(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    uncle(shared, by_digest(args, 0)?, args.index(1)?)
}

fn uncle(shared: &Shared, id: BlockId, index: usize) -> Answer {
    let block = shared.block(id)?;
    let uncle = block.and_then(|mut block| {
        (index < block.ommers.len()).then(|| convert::uncle(block.ommers.swap_remove(index)))
    });
    answer(&uncle)
}
