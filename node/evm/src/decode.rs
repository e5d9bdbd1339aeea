//! Blocks as they are exchanged and kept in files.

use alloy_consensus::{EthereumTxEnvelope, TxEip4844, TxEnvelope};
use alloy_rlp::Decodable;
use pars_store::Block;

/// Transactions in a block never carry the blobs themselves (EIP-4844): a sidecar is an error.
type BlockTransaction = EthereumTxEnvelope<TxEip4844>;

/// Reads one block in RLP and nothing after it. Its senders are left out:
/// [`crate::Executor::verify`] recovers them.
///
/// # Errors
/// Anything that is not the one encoding of a block.
pub fn decode_block(rlp: &[u8]) -> Result<Block, alloy_rlp::Error> {
    let mut rest = rlp;
    let block = decode_block_from(&mut rest)?;
    if rest.is_empty() {
        Ok(block)
    } else {
        Err(alloy_rlp::Error::UnexpectedLength)
    }
}

/// Reads the first of several blocks in RLP and leaves the rest.
///
/// # Errors
/// As [`decode_block`].
pub fn decode_block_from(rest: &mut &[u8]) -> Result<Block, alloy_rlp::Error> {
    let begin = *rest;
    let block = alloy_consensus::Block::<BlockTransaction>::decode(rest)?;
    // The string around a typed transaction may claim another length than it has and still be
    // read; such a block has no encoding of its own.
    let used = begin.len().saturating_sub(rest.len());
    if begin.get(..used) != Some(&alloy_rlp::encode(&block)[..]) {
        return Err(alloy_rlp::Error::Custom(
            "this is not the one encoding of a block",
        ));
    }
    let alloy_consensus::Block { header, body } = block;
    Ok(Block {
        hash: header.hash_slow(),
        header,
        transactions: body
            .transactions
            .into_iter()
            .map(TxEnvelope::from)
            .collect(),
        senders: Vec::new(),
        ommers: body.ommers,
        withdrawals: body.withdrawals,
    })
}

/// Reads one transaction as a block holds it, in its EIP-2718 form.
///
/// # Errors
/// Anything that is not the one encoding of a transaction.
pub fn decode_transaction(bytes: &[u8]) -> Result<TxEnvelope, alloy_eips::eip2718::Eip2718Error> {
    use alloy_eips::Decodable2718 as _;
    BlockTransaction::decode_2718_exact(bytes).map(TxEnvelope::from)
}
