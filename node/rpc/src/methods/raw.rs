//! Blocks, headers, receipts and transactions as the bytes they are hashed from.

use alloy_eips::Encodable2718;
use alloy_primitives::Bytes;

use super::transaction;
use crate::context::{Answer, Shared, answer};
use crate::error::Fault;
use crate::params::Args;

/// The block of the first parameter, which must exist: geth answers an error here, not `null`.
fn block(shared: &Shared, args: &Args<'_>) -> Result<pars_store::Block, Fault> {
    args.at_most(1)?;
    let id = args.required_block(0)?;
    shared
        .block(id)?
        .ok_or_else(|| Fault::server("block not found"))
}

/// `debug_getRawHeader`: RLP of the header.
pub(super) fn header(shared: &Shared, args: &Args<'_>) -> Answer {
    answer(&Bytes::from(alloy_rlp::encode(block(shared, args)?.header)))
}

/// `debug_getRawBlock`: RLP of the whole block.
pub(super) fn whole_block(shared: &Shared, args: &Args<'_>) -> Answer {
    let block = block(shared, args)?.into_consensus();
    answer(&Bytes::from(alloy_rlp::encode(block)))
}

/// `debug_getRawReceipts`: each receipt as it is in the receipts trie.
pub(super) fn receipts(shared: &Shared, args: &Args<'_>) -> Answer {
    let block = block(shared, args)?;
    let pending = args.required_block(0)?.is_pending();
    let receipts = if pending {
        shared.pending.get(&shared.node)?.receipts.clone()
    } else {
        shared.receipts(block.header.number)?
    };
    answer(
        &receipts
            .iter()
            .map(|receipt| Bytes::from(receipt.encoded_2718()))
            .collect::<Vec<_>>(),
    )
}

/// `debug_getRawTransaction`: as `eth_getRawTransactionByHash`.
pub(super) fn transaction(shared: &Shared, args: &Args<'_>) -> Answer {
    transaction::raw_by_hash(shared, args)
}
