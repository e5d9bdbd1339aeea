//! What a header says of the lists of its block.

use alloy_consensus::{ReceiptEnvelope, TxReceipt as _};
use alloy_eips::Encodable2718;
use alloy_primitives::{B256, Bloom};
use alloy_rlp::{Encodable, length_of_length};
use pars_store::Block;

/// Fewest transactions of a block for which a second thread is woken.
const SIDE_BY_SIDE_FROM: usize = 64;

/// Does both of two things for a block of so many transactions, on two threads where that is worth it.
pub(crate) fn side_by_side<T>(
    transactions: usize,
    one: impl FnOnce() -> T,
    other: impl FnOnce() + Send,
) -> T {
    if transactions < SIDE_BY_SIDE_FROM {
        other();
        one()
    } else {
        pars_store::beside(one, other)
    }
}

/// Root of a block's transactions or receipts.
pub(crate) fn list_root(list: &[impl Encodable2718]) -> B256 {
    pars_store::trie::list_root(list, Encodable2718::encode_2718_len, |item, out| {
        item.encode_2718(out);
    })
}

/// Bloom of all logs of a block.
pub(crate) fn block_bloom(receipts: &[ReceiptEnvelope]) -> Bloom {
    receipts
        .iter()
        .fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom())
}

/// Bytes of the block's RLP: header, transactions, uncles, withdrawals.
pub(crate) fn block_rlp_length(block: &Block) -> usize {
    let list = |payload: usize| length_of_length(payload).saturating_add(payload);
    let transactions = list(block.transactions.iter().map(Encodable::length).sum());
    let withdrawals = block.withdrawals.as_ref().map_or(0, Encodable::length);
    list(block.header.length() + transactions + block.ommers.length() + withdrawals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChainSpec;
    use alloy_consensus::{SignableTransaction as _, TxEnvelope, TxLegacy};
    use alloy_primitives::Signature;

    #[test]
    fn a_blocks_length_is_that_of_its_encoding() {
        let header = ChainSpec::pars().genesis_header();
        let transaction = |bytes: usize| {
            let transaction = TxLegacy {
                input: vec![7; bytes].into(),
                ..TxLegacy::default()
            };
            TxEnvelope::from(transaction.into_signed(Signature::test_signature()))
        };
        for transactions in [
            vec![],
            vec![transaction(0)],
            vec![transaction(3), transaction(400), transaction(90_000)],
        ] {
            let block = Block::seal(header.clone(), transactions, vec![]);
            let length = block_rlp_length(&block);
            assert_eq!(length, alloy_rlp::encode(block.into_consensus()).len());
        }
    }
}
