//! The authoritative run: one block's transactions, in order, on one thread.

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_consensus::{Header, ReceiptEnvelope, TxEnvelope, transaction::Recovered};
use alloy_eips::{eip4895::Withdrawal, eip7685::Requests};
use alloy_evm::{
    Evm as _,
    block::{BlockExecutionError, BlockExecutor as _, BlockValidationError},
};
use alloy_hardforks::EthereumHardforks as _;
use alloy_primitives::{Address, B256, U256};
use alloy_rlp::Encodable;
use pars_store::{BlockState, EmptyAccounts, StoreError, Tip};
use revm::{
    DatabaseRef, bytecode::Bytecode, context_interface::result::InvalidTransaction,
    state::AccountInfo,
};

use crate::{
    ahead::Ahead,
    block_evm::BlockEvm,
    block_executor::{BlockContext, ParsBlockExecutor},
    env::block_env,
    error::ExecutionError,
    header::MAX_BLOCK_RLP_BYTES,
    precompiles::{Precompiles, Run},
    senders::Senders,
    spec::ChainSpec,
    wording::invalid_transaction_message,
};

/// Room left for a block's header and list prefixes when transactions are packed by size. A
/// header has some 620 bytes, its lists' prefixes 4 each.
const BLOCK_FRAME_BYTES: usize = 2_048;

/// Gas of the cheapest transaction there is.
pub(crate) const MIN_TRANSACTION_GAS: u64 = 21_000;

/// The moment `time` after `start`; a time beyond the clock's range is a year.
pub(crate) fn deadline(start: Instant, time: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    start.checked_add(time).unwrap_or_else(|| start + YEAR)
}

/// State behind a reference, with nothing to print of itself.
pub(crate) struct View<V>(pub(crate) V);

impl<V> fmt::Debug for View<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("View")
    }
}

impl<V: DatabaseRef> DatabaseRef for View<V> {
    type Error = V::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        self.0.basic_ref(address)
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, Self::Error> {
        self.0.code_by_hash_ref(code_hash)
    }

    fn storage_ref(&self, address: Address, index: U256) -> Result<U256, Self::Error> {
        self.0.storage_ref(address, index)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Self::Error> {
        self.0.block_hash_ref(number)
    }
}

/// What to do with a transaction that cannot be executed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Policy {
    /// Building: leave it and its sender's later ones out, and stop at the deadline.
    Skip {
        /// When to stop taking transactions.
        deadline: Instant,
    },
    /// Verifying: the block is invalid.
    Refuse,
}

/// A block's transactions, run.
#[derive(Debug)]
pub(crate) struct BlockRun {
    pub(crate) included: Included,
    pub(crate) skipped: Vec<(B256, String)>,
    /// So many outcomes were known before.
    pub(crate) adopted: usize,
    /// Their blooms are empty.
    pub(crate) receipts: Vec<ReceiptEnvelope>,
    pub(crate) totals: Totals,
    pub(crate) state: BlockState,
}

/// Which transactions are in the block.
#[derive(Debug)]
pub(crate) struct Included {
    /// So many of the first ones were tried.
    tried: usize,
    /// Those of them that are not in it, in order.
    left: Vec<usize>,
    /// The others that are.
    more: Vec<Recovered<TxEnvelope>>,
}

impl Included {
    /// Whether they are so many of the first ones, and no others.
    pub(crate) fn are_first(&self, count: usize) -> bool {
        self.tried == count && self.left.is_empty() && self.more.is_empty()
    }

    /// They, where those in `first` were tried first.
    pub(crate) fn of(self, mut first: Vec<Recovered<TxEnvelope>>) -> Vec<Recovered<TxEnvelope>> {
        first.truncate(self.tried);
        let mut left = self.left.into_iter().peekable();
        if left.peek().is_some() {
            let mut indices = 0..;
            first.retain(|_| {
                let index = indices.next().unwrap_or_default();
                left.next_if_eq(&index).is_none()
            });
        }
        first.extend(self.more);
        first
    }
}

/// What the transactions of a block came to together.
#[derive(Debug)]
pub(crate) struct Totals {
    pub(crate) gas_used: u64,
    pub(crate) blob_gas_used: u64,
    pub(crate) requests: Requests,
}

/// Why a run ended without a result.
#[derive(Debug)]
pub(crate) enum RunError {
    /// Under [`Policy::Refuse`]: this transaction cannot be executed where it stands.
    Transaction {
        index: usize,
        hash: B256,
        reason: String,
    },
    /// A step of the block besides its transactions cannot be taken.
    Step(String),
    /// State or EVM failed.
    Execution(ExecutionError),
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        Self::Execution(error.into())
    }
}

impl From<ExecutionError> for RunError {
    fn from(error: ExecutionError) -> Self {
        Self::Execution(error)
    }
}

impl From<BlockExecutionError> for RunError {
    fn from(error: BlockExecutionError) -> Self {
        match error {
            BlockExecutionError::Validation(error) => Self::Step(error.to_string()),
            other => Self::Execution(ExecutionError::Evm(other.to_string())),
        }
    }
}

/// What a block is run on and as.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) tip: &'a Tip,
    pub(crate) header: &'a Header,
    pub(crate) ommers: &'a [Header],
    pub(crate) withdrawals: Option<&'a [Withdrawal]>,
    /// Whether the block's own steps around its transactions are taken.
    pub(crate) steps: bool,
}

/// Runs transactions as the block that the frame's header begins, on top of its tip: those in `first`, for which `ahead`
/// was made, and then `others`.
pub(crate) fn run_block(
    spec: &ChainSpec,
    precompiles: &Precompiles,
    senders: &Senders,
    frame: Frame<'_>,
    (first, ahead): (&[Recovered<TxEnvelope>], &Ahead<'_>),
    others: impl IntoIterator<Item = Recovered<TxEnvelope>>,
    policy: Policy,
) -> Result<BlockRun, RunError> {
    let Frame { tip, header, .. } = frame;
    let mut state = tip.block_state();
    // A transfer touches two accounts; maps that grow copy everything they hold.
    state.reserve(first.len().saturating_mul(2));
    if let Some(changes) = ahead.changes() {
        state.tell(Arc::clone(changes));
    }
    let mut evm = BlockEvm::new(state, block_env(spec, header));
    precompiles.install(evm.precompiles_mut(), header.parent_hash, &Run::Block);
    let context = BlockContext {
        parent_hash: header.parent_hash,
        parent_beacon_block_root: header.parent_beacon_block_root,
        ommers: frame.ommers,
        withdrawals: frame.withdrawals,
    };
    let mut executor = ParsBlockExecutor::new(evm, spec, context);
    executor.reserve(first.len());
    if frame.steps {
        executor.apply_pre_execution_changes()?;
    }
    let mut course = Course {
        executor,
        senders,
        frame,
        policy,
        post_states: (!spec.is_byzantium_active_at_block(header.number))
            .then(|| spec.empty_accounts(header.number)),
        size: BLOCK_FRAME_BYTES,
        blocked_senders: HashMap::new(),
        skipped: Vec::new(),
    };
    let mut tried = first.len();
    let mut left = Vec::new();
    let mut adopted = 0;
    for (index, transaction) in first.iter().enumerate() {
        let evm = course.executor.evm_mut();
        let known = ahead.supply(index, evm.db_mut());
        adopted += usize::from(known.is_some());
        evm.foretell(known);
        match course.take(index, transaction)? {
            Taken::Included => {}
            Taken::Left => left.push(index),
            Taken::Full => {
                tried = index;
                break;
            }
        }
    }
    course.executor.evm_mut().foretell(None);
    let mut more = Vec::new();
    if tried == first.len() {
        for (index, transaction) in (tried..).zip(others) {
            match course.take(index, &transaction)? {
                Taken::Included => more.push(transaction),
                Taken::Left => {}
                Taken::Full => break,
            }
        }
    }

    let Course {
        executor, skipped, ..
    } = course;
    let (evm, result) = if frame.steps {
        executor.finish_without_blooms()?
    } else {
        executor.finish_transactions()
    };
    let (state, _) = evm.finish();
    Ok(BlockRun {
        included: Included { tried, left, more },
        skipped,
        adopted,
        receipts: result.receipts,
        totals: Totals {
            gas_used: result.gas_used,
            blob_gas_used: result.blob_gas_used,
            requests: result.requests,
        },
        state,
    })
}

/// A block's transactions on their way.
struct Course<'a> {
    executor: ParsBlockExecutor<'a, BlockEvm<BlockState>>,
    senders: &'a Senders,
    frame: Frame<'a>,
    policy: Policy,
    /// What becomes of empty accounts, where receipts hold the state root after each transaction.
    post_states: Option<EmptyAccounts>,
    /// Bytes of the block so far.
    size: usize,
    blocked_senders: HashMap<Address, Obstacle>,
    skipped: Vec<(B256, String)>,
}

/// What became of a transaction.
enum Taken {
    Included,
    Left,
    /// It was not tried, and no other will be.
    Full,
}

impl Course<'_> {
    /// Runs the next transaction, the one with this index.
    fn take(
        &mut self,
        index: usize,
        transaction: &Recovered<TxEnvelope>,
    ) -> Result<Taken, RunError> {
        let Frame { tip, header, .. } = self.frame;
        let sender = transaction.signer();
        if let Policy::Skip { deadline } = self.policy {
            let gas_left = header.gas_limit.saturating_sub(self.executor.gas_used());
            if gas_left < MIN_TRANSACTION_GAS || Instant::now() >= deadline {
                return Ok(Taken::Full);
            }
            match self.blocked_senders.get(&sender) {
                None => {}
                Some(Obstacle::NoRoom(_)) => return Ok(Taken::Left),
                Some(Obstacle::Invalid(_)) => {
                    let reason = "an earlier transaction of this sender cannot be executed";
                    self.skipped
                        .push((*transaction.tx_hash(), reason.to_owned()));
                    return Ok(Taken::Left);
                }
            }
        }
        let grown = self.size.saturating_add(transaction.inner().length());
        let too_large = matches!(self.policy, Policy::Skip { .. }) && grown > MAX_BLOCK_RLP_BYTES;
        let result = if too_large {
            Err(Obstacle::NoRoom(
                "the size limit of the block is reached".to_owned(),
            ))
        } else {
            let environment = self.senders.tx_env(transaction);
            match self
                .executor
                .execute_transaction((environment, transaction))
            {
                Ok(_) => Ok(()),
                Err(error) => Err(obstacle(error, header, sender)?),
            }
        };
        match (result, self.policy) {
            (Ok(()), _) => {
                self.size = grown;
                if let Some(empty) = self.post_states {
                    let diff = self.executor.evm().db().diff();
                    let (root, _) = tip.state_root(&diff, empty)?;
                    self.executor.set_post_state(root);
                }
                Ok(Taken::Included)
            }
            (Err(obstacle), Policy::Skip { .. }) => {
                if let Obstacle::Invalid(reason) = &obstacle {
                    self.skipped.push((*transaction.tx_hash(), reason.clone()));
                }
                self.blocked_senders.insert(sender, obstacle);
                Ok(Taken::Left)
            }
            (Err(Obstacle::NoRoom(reason) | Obstacle::Invalid(reason)), Policy::Refuse) => {
                let hash = *transaction.tx_hash();
                Err(RunError::Transaction {
                    index,
                    hash,
                    reason,
                })
            }
        }
    }
}

/// Why a transaction is not in a block, in geth's words.
#[derive(Clone, Debug)]
enum Obstacle {
    /// Not in this block any more; perhaps in the next.
    NoRoom(String),
    /// Not on this state.
    Invalid(String),
}

/// What kept a transaction out; an error if that is not what happened.
fn obstacle(
    error: BlockExecutionError,
    header: &Header,
    sender: Address,
) -> Result<Obstacle, ExecutionError> {
    match error {
        BlockExecutionError::Validation(BlockValidationError::InvalidTx { error, .. }) => {
            Ok(Obstacle::Invalid(match error.as_invalid_tx_err() {
                Some(invalid) => invalid_transaction_message(invalid, sender),
                None => error.to_string(),
            }))
        }
        BlockExecutionError::Validation(
            BlockValidationError::TransactionGasLimitMoreThanAvailableBlockGas {
                transaction_gas_limit,
                block_available_gas,
            },
        ) => Ok(if transaction_gas_limit > header.gas_limit {
            let error = InvalidTransaction::CallerGasLimitMoreThanBlock;
            Obstacle::Invalid(invalid_transaction_message(&error, sender))
        } else {
            Obstacle::NoRoom(format!(
                "gas limit reached: have {block_available_gas}, want {transaction_gas_limit}"
            ))
        }),
        BlockExecutionError::Validation(BlockValidationError::Other(error)) => {
            Ok(Obstacle::Invalid(error.to_string()))
        }
        other => Err(ExecutionError::Evm(other.to_string())),
    }
}
