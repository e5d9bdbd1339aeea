//! The block step: Ethereum's transactions between the steps of the chain's own rules.

use std::mem;

use alloy_consensus::{Eip658Value, Header, Receipt, ReceiptEnvelope, TxEnvelope, TxType};
use alloy_eips::{
    Typed2718, eip2718::EIP4844_TX_TYPE_ID, eip4895::Withdrawal,
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
    eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, eip7685::Requests,
};
use alloy_evm::{
    Evm, FromRecoveredTx, FromTxWithEncoded, RecoveredTx,
    block::{
        BlockExecutionError, BlockExecutionResult, BlockExecutor, BlockValidationError,
        ExecutableTx, GasOutput, StateDB,
    },
    eth::{
        EthBlockExecutionCtx, EthBlockExecutor, EthTxResult,
        dao_fork::{DAO_HARDFORK_ACCOUNTS, DAO_HARDFORK_BENEFICIARY},
        spec::EthExecutorSpec,
    },
};
use alloy_hardforks::{EthereumHardfork, EthereumHardforks, ForkCondition};
use alloy_primitives::{Address, B256, Bytes, b256};
use revm::{
    Database as _, DatabaseCommit as _,
    context::Block as _,
    database::DatabaseCommitExt as _,
    primitives::hardfork::SpecId,
    state::{Account, TransactionId},
};

use crate::{
    receipts::{ReceiptsWithoutBloom, fill_blooms},
    spec::{BlockRules, ChainSpec},
    system_calls::SystemCalls,
};

/// Why a blob transaction (type 3) has no place in a block.
pub const BLOB_TRANSACTION_REFUSED: &str =
    "transaction type not supported: this network has no blobs (type 3)";

/// First topic of the deposit contract's event (EIP-6110).
const DEPOSIT_EVENT: B256 =
    b256!("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");

/// Offset and length of each field of that event's data: public key, withdrawal credentials,
/// amount, signature, index (EIP-6110, `is_valid_deposit_event_data`).
const DEPOSIT_FIELDS: [(usize, usize); 5] = [(160, 48), (256, 32), (320, 8), (384, 96), (512, 8)];
/// Bytes of that event's data.
const DEPOSIT_BYTES: usize = 576;

/// The parts of a block that its steps need besides the transactions.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockContext<'a> {
    /// Hash of the parent.
    pub parent_hash: B256,
    /// Root of the parent's beacon block, for the contract of EIP-4788.
    pub parent_beacon_block_root: Option<B256>,
    /// Headers of uncles.
    pub ommers: &'a [Header],
    /// Withdrawals.
    pub withdrawals: Option<&'a [Withdrawal]>,
}

/// Runs one block by the rules of a specification.
///
/// The transaction step is Ethereum's own ([`EthBlockExecutor`]). Around it, under
/// [`BlockRules::Ethereum`], stand Ethereum's steps of each fork. Under [`BlockRules::Pars`]:
///
/// * before the block only the block-hash history of EIP-2935 is written; there is no beacon
///   chain, so the contract of EIP-4788 is not called;
/// * blob transactions (type 3) are invalid;
/// * after the block nothing happens: no withdrawals, no rewards, and no execution-layer requests
///   (EIP-7685), so the contracts of EIP-7002 and EIP-7251 are not called and logs are not read
///   for deposits.
#[allow(missing_debug_implementations)]
pub struct ParsBlockExecutor<'a, E> {
    inner: EthBlockExecutor<'a, SystemCalls<E>, WithoutDao<'a>, ReceiptsWithoutBloom>,
}

/// A specification without the DAO's fork, whose change of balances the shared code makes after the
/// transactions of the block: it comes before them (EIP-779).
#[derive(Clone)]
struct WithoutDao<'a>(&'a ChainSpec);

impl EthereumHardforks for WithoutDao<'_> {
    fn ethereum_fork_activation(&self, fork: EthereumHardfork) -> ForkCondition {
        match fork {
            EthereumHardfork::Dao => ForkCondition::Never,
            other => self.0.ethereum_fork_activation(other),
        }
    }
}

impl EthExecutorSpec for WithoutDao<'_> {
    fn deposit_contract_address(&self) -> Option<Address> {
        self.0.deposit_contract_address()
    }
}

impl<'a, E: Evm> ParsBlockExecutor<'a, E> {
    /// An executor over `evm`, whose environment must be that of the block to run.
    pub fn new(evm: E, spec: &'a ChainSpec, block: BlockContext<'a>) -> Self {
        let ctx = EthBlockExecutionCtx {
            parent_hash: block.parent_hash,
            parent_beacon_block_root: block.parent_beacon_block_root,
            ommers: block.ommers,
            withdrawals: block.withdrawals.map(Into::into),
            extra_data: Bytes::new(),
            tx_count_hint: None,
            slot_number: None,
        };
        Self {
            inner: EthBlockExecutor::new(
                SystemCalls(evm),
                ctx,
                WithoutDao(spec),
                ReceiptsWithoutBloom,
            ),
        }
    }

    /// Makes room for the receipts of so many more transactions.
    pub fn reserve(&mut self, transactions: usize) {
        self.inner.reserve(transactions);
    }

    /// Gas used by the transactions run so far.
    pub fn gas_used(&self) -> u64 {
        self.inner.cumulative_tx_gas_used
    }

    /// Puts the state root after the last transaction into its receipt, where receipts hold that
    /// instead of a status: before Byzantium (EIP-658).
    pub fn set_post_state(&mut self, root: B256) {
        if let Some(ReceiptEnvelope::Legacy(receipt)) = self.inner.receipts.last_mut() {
            let Receipt { status, .. } = &mut receipt.receipt;
            *status = Eip658Value::PostState(root);
        }
    }

    /// The same executor after transactions that were run elsewhere and gave these receipts.
    pub(crate) fn with_receipts(mut self, receipts: Vec<ReceiptEnvelope>) -> Self {
        self.inner.receipts = receipts;
        self
    }

    /// Ends after the transactions, without the steps that close a block. The blooms of the receipts stay empty.
    pub(crate) fn finish_transactions(self) -> (E, BlockExecutionResult<ReceiptEnvelope>) {
        let inner = self.inner;
        let result = BlockExecutionResult {
            receipts: inner.receipts,
            requests: Requests::default(),
            gas_used: inner.cumulative_tx_gas_used,
            blob_gas_used: inner.blob_gas_used,
        };
        (inner.evm.0, result)
    }

    /// As [`BlockExecutor::finish`], but the blooms of the receipts stay empty.
    pub(crate) fn finish_without_blooms(
        mut self,
    ) -> Result<(E, BlockExecutionResult<ReceiptEnvelope>), BlockExecutionError>
    where
        E: Evm<
                DB: StateDB,
                Spec: Into<SpecId> + Clone,
                Tx: FromRecoveredTx<TxEnvelope> + FromTxWithEncoded<TxEnvelope>,
            >,
    {
        if let BlockRules::Ethereum { .. } = self.rules() {
            if self.is_prague() {
                self.check_requests()?;
            }
            let (evm, result) = self.inner.finish()?;
            return Ok((evm.0, result));
        }
        Ok(self.finish_transactions())
    }

    fn rules(&self) -> BlockRules {
        self.inner.spec.0.rules
    }

    /// At the block of the DAO's fork: moves what the DAO's accounts have to the contract that gives
    /// it back (EIP-779).
    fn leave_dao(&mut self) -> Result<(), BlockExecutionError>
    where
        E: Evm<DB: StateDB>,
    {
        let dao = self
            .inner
            .spec
            .0
            .ethereum_fork_activation(EthereumHardfork::Dao);
        let number = self.inner.evm.block().number().saturating_to();
        if !dao.transitions_at_block(number) {
            return Ok(());
        }
        let state = self.inner.evm.db_mut();
        let mut moved = 0_u128;
        let mut left = Vec::with_capacity(DAO_HARDFORK_ACCOUNTS.len());
        for address in DAO_HARDFORK_ACCOUNTS {
            let found = state.basic(address).map_err(BlockExecutionError::other)?;
            let mut account = found.map_or_else(
                || Account::new_not_existing(TransactionId::ZERO),
                Account::from,
            );
            let balance = mem::take(&mut account.info.balance);
            moved = moved.saturating_add(balance.saturating_to());
            account.mark_touch();
            if account.is_empty() {
                // It stays: accounts without anything go since EIP-161.
                account.mark_created();
            }
            left.push((address, account));
        }
        state.commit_iter(&mut left.into_iter());
        state
            .increment_balances([(DAO_HARDFORK_BENEFICIARY, moved)])
            .map_err(BlockExecutionError::other)
    }

    fn is_prague(&self) -> bool {
        let time = self.inner.evm.block().timestamp().saturating_to();
        self.inner.spec.is_prague_active_at_timestamp(time)
    }

    /// Ethereum's conditions of its closing steps that the shared code does not state itself.
    fn check_requests(&mut self) -> Result<(), BlockExecutionError>
    where
        E: Evm<DB: StateDB>,
    {
        let contracts = [
            WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
            CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
        ];
        for address in contracts {
            if !has_code(self.inner.evm.db_mut(), address)? {
                return Err(BlockValidationError::msg(format!(
                    "the system contract {address} has no code"
                ))
                .into());
            }
        }
        let Some(contract) = self.rules().deposit_contract() else {
            return Ok(());
        };
        let malformed = self
            .inner
            .receipts
            .iter()
            .flat_map(ReceiptEnvelope::logs)
            .filter(|log| log.address == contract && log.topics().first() == Some(&DEPOSIT_EVENT))
            .any(|log| !is_deposit(&log.data.data));
        if malformed {
            return Err(BlockValidationError::msg(
                "a log of the deposit contract is not a deposit (EIP-6110)",
            )
            .into());
        }
        Ok(())
    }
}

/// Whether the account at `address` has code.
fn has_code<DB: StateDB>(db: &mut DB, address: Address) -> Result<bool, BlockExecutionError> {
    let account = db.basic(address).map_err(BlockExecutionError::other)?;
    Ok(account.is_some_and(|account| !account.is_empty_code_hash()))
}

/// Whether the data of a deposit event has the one layout there is.
fn is_deposit(data: &[u8]) -> bool {
    let word = |at: usize| {
        let bytes = data.get(at..at + 32)?;
        let (zeros, low) = bytes.split_at(24);
        let low = u64::from_be_bytes(low.try_into().ok()?);
        zeros.iter().all(|byte| *byte == 0).then_some(low)
    };
    data.len() == DEPOSIT_BYTES
        && DEPOSIT_FIELDS
            .iter()
            .enumerate()
            .all(|(index, (offset, length))| {
                word(index * 32) == u64::try_from(*offset).ok()
                    && word(*offset) == u64::try_from(*length).ok()
            })
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
        if let BlockRules::Ethereum { .. } = self.rules() {
            self.leave_dao()?;
            return self.inner.apply_pre_execution_changes();
        }
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
        if self.rules() == BlockRules::Pars && tx.tx().ty() == EIP4844_TX_TYPE_ID {
            return Err(BlockValidationError::msg(BLOB_TRANSACTION_REFUSED).into());
        }
        self.inner.execute_transaction_without_commit((tx_env, tx))
    }

    fn commit_transaction(&mut self, output: Self::Result) -> GasOutput {
        self.inner.commit_transaction(output)
    }

    fn finish(self) -> Result<(E, BlockExecutionResult<ReceiptEnvelope>), BlockExecutionError> {
        let (evm, mut result) = self.finish_without_blooms()?;
        fill_blooms(&mut result.receipts);
        Ok((evm, result))
    }

    fn evm_mut(&mut self) -> &mut E {
        &mut self.inner.evm.0
    }

    fn evm(&self) -> &E {
        &self.inner.evm.0
    }

    /// Their blooms are empty until the block is finished.
    fn receipts(&self) -> &[ReceiptEnvelope] {
        &self.inner.receipts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deposit() -> Vec<u8> {
        let mut data = vec![0; DEPOSIT_BYTES];
        for (index, (offset, length)) in DEPOSIT_FIELDS.into_iter().enumerate() {
            data[index * 32 + 24..index * 32 + 32].copy_from_slice(&(offset as u64).to_be_bytes());
            data[offset + 24..offset + 32].copy_from_slice(&(length as u64).to_be_bytes());
        }
        data
    }

    #[test]
    fn a_deposit_has_one_layout() {
        let good = deposit();
        assert!(is_deposit(&good));
        for (index, (offset, _)) in DEPOSIT_FIELDS.into_iter().enumerate() {
            for at in [index * 32, index * 32 + 31, offset, offset + 31] {
                let mut bad = good.clone();
                bad[at] ^= 1;
                assert!(!is_deposit(&bad), "byte {at}");
            }
        }
        assert!(!is_deposit(&good[..DEPOSIT_BYTES - 1]));
        assert!(!is_deposit(&[]));
    }
}
