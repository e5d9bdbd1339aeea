//! Checks of a block against its own header: the lists it carries, and what its execution came to.

use alloy_consensus::{
    Header, ReceiptEnvelope,
    proofs::{calculate_ommers_root, calculate_withdrawals_root},
};
use pars_store::Block;

use crate::{
    error::VerifyError,
    execution::Totals,
    roots::{block_bloom, list_root},
};

/// Most uncles of a block (yellow paper, section 11.1).
const MAX_OMMERS: usize = 2;

/// Checks that uncles and withdrawals are those the header names.
pub(crate) fn check_lists(block: &Block) -> Result<(), VerifyError> {
    let header = &block.header;
    let ommers = calculate_ommers_root(&block.ommers);
    let count = block.ommers.len();
    if header.ommers_hash != ommers || count > MAX_OMMERS {
        return Err(VerifyError::Ommers {
            got: header.ommers_hash,
            expected: ommers,
            count,
        });
    }
    let withdrawals = block
        .withdrawals
        .as_ref()
        .map(|withdrawals| calculate_withdrawals_root(withdrawals));
    if header.withdrawals_root != withdrawals {
        return Err(VerifyError::WithdrawalsRoot {
            got: header.withdrawals_root,
            expected: withdrawals,
        });
    }
    Ok(())
}

/// Checks what execution decides, but for the state root. The receipts have their blooms.
pub(crate) fn check_outcome(
    header: &Header,
    receipts: &[ReceiptEnvelope],
    run: &Totals,
) -> Result<(), VerifyError> {
    if header.gas_used != run.gas_used {
        return Err(VerifyError::GasUsed {
            got: header.gas_used,
            expected: run.gas_used,
        });
    }
    let bloom = block_bloom(receipts);
    if header.logs_bloom != bloom {
        return Err(VerifyError::LogsBloom {
            got: Box::new(header.logs_bloom),
            expected: Box::new(bloom),
        });
    }
    let receipts_root = list_root(receipts);
    if header.receipts_root != receipts_root {
        return Err(VerifyError::ReceiptsRoot {
            got: header.receipts_root,
            expected: receipts_root,
        });
    }
    if header.blob_gas_used.unwrap_or(0) != run.blob_gas_used {
        return Err(VerifyError::BlobGasUsed {
            got: header.blob_gas_used,
            expected: run.blob_gas_used,
        });
    }
    let requests = run.requests.requests_hash();
    if header.requests_hash.is_some_and(|hash| hash != requests) {
        return Err(VerifyError::RequestsHash {
            got: header.requests_hash,
            expected: requests,
        });
    }
    Ok(())
}
