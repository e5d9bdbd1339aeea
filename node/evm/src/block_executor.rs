//! The block step: Ethereum's transactions between Pars's own system steps.

use alloy_consensus::{ReceiptEnvelope, TxEnvelope, TxType};
use alloy_eips::{Typed2718, eip2718::EIP4844_TX_TYPE_ID, eip7685::Requests};
use alloy_evm::{
    Evm, FromRecoveredTx, FromTxWithEncoded, RecoveredTx,
    block::{
        BlockExecutionError, BlockExecutionResult, BlockExecutor, BlockValidationError,
        ExecutableTx, GasOutput, StateDB,
    },
    eth::{
        EthBlockExecutionCtx, EthBlockExecutor, EthTxResult, receipt_builder::AlloyReceiptBuilder,
    },
};
use alloy_primitives::{B256, Bytes};
use revm::primitives::hardfork::SpecId;

use crate::spec::ChainSpec;

/// Why a blob transaction (type 3) has no place in a block.
pub const BLOB_TRANSACTION_REFUSED: &str =
    "transaction type not supported: this network has no blobs (type 3)";

/// Runs one block of a Pars network.
///
/// The transaction step is Ethereum's own ([`EthBlockExecutor`]). Around it:
///
/// * before the block only the block-hash history of EIP-2935 is written; there is no beacon
///   chain, so the contract of EIP-4788 is not called;
/// * blob transactions (type 3) are invalid;
/// * after the block nothing happens: no withdrawals, no rewards, and no execution-layer requests
///   (EIP-7685), so the contracts of EIP-7002 and EIP-7251 are not called and logs are not read
///   for deposits.
#[allow(missing_debug_implementations)]
pub struct ParsBlockExecutor<'a, E> {
    inner: EthBlockExecutor<'a, E, &'a ChainSpec, AlloyReceiptBuilder>,
}

impl<'a, E: Evm> ParsBlockExecutor<'a, E> {
    /// An executor over `evm`, whose environment must be that of the block to run.
    pub fn new(evm: E, spec: &'a ChainSpec, parent_hash: B256) -> Self {
        let ctx = EthBlockExecutionCtx {
            parent_hash,
            parent_beacon_block_root: None,
            ommers: &[],
            withdrawals: None,
            extra_data: Bytes::new(),
            tx_count_hint: None,
            slot_number: None,
        };
        Self {
            inner: EthBlockExecutor::new(evm, ctx, spec, AlloyReceiptBuilder::default()),
        }
    }

    /// Gas used by the transactions run so far.
    pub fn gas_used(&self) -> u64 {
        self.inner.cumulative_tx_gas_used
    }
}

impl<E> BlockExecutor for ParsBlockExecutor<'_, E>
where
    E: Evm<
            DB: StateDB,
            Spec: Into<SpecId> + Clone,
            Tx: FromRecoveredTx<TxEnvelope> + FromTxWithEncoded<TxEnvelope>,
        >,
{
    type Transaction = TxEnvelope;
    type Receipt = ReceiptEnvelope;
    type Evm = E;
    type Result = EthTxResult<E::HaltReason, TxType>;

    fn apply_pre_execution_changes(&mut self) -> Result<(), BlockExecutionError> {
        let parent_hash = self.inner.ctx.parent_hash;
        self.inner
            .system_caller
            .apply_blockhashes_contract_call(parent_hash, &mut self.inner.evm)
    }

    fn execute_transaction_without_commit(
        &mut self,
        tx: impl ExecutableTx<Self>,
    ) -> Result<Self::Result, BlockExecutionError> {
        let (tx_env, tx) = tx.into_parts();
        if tx.tx().ty() == EIP4844_TX_TYPE_ID {
            return Err(BlockValidationError::msg(BLOB_TRANSACTION_REFUSED).into());
        }
        self.inner.execute_transaction_without_commit((tx_env, tx))
    }

    fn commit_transaction(&mut self, output: Self::Result) -> GasOutput {
        self.inner.commit_transaction(output)
    }

    fn finish(self) -> Result<(E, BlockExecutionResult<ReceiptEnvelope>), BlockExecutionError> {
        Ok((
            self.inner.evm,
            BlockExecutionResult {
                receipts: self.inner.receipts,
                requests: Requests::default(),
                gas_used: self.inner.cumulative_tx_gas_used,
                blob_gas_used: 0,
            },
        ))
    }

    fn evm_mut(&mut self) -> &mut E {
        &mut self.inner.evm
    }

    fn evm(&self) -> &E {
        &self.inner.evm
    }

    fn receipts(&self) -> &[ReceiptEnvelope] {
        &self.inner.receipts
    }
}
