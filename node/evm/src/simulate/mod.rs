//! `eth_simulateV1`: blocks that might follow, with the calls they might hold. Nothing is kept.

mod observer;
mod plan;
mod transaction;

use std::{
    cmp::Ordering,
    time::{Duration, Instant},
};

use alloy_consensus::{
    Eip658Value, Header, Receipt, ReceiptEnvelope, Transaction as _, TxEnvelope, TxReceipt as _,
    TxType, proofs::calculate_withdrawals_root,
};
use alloy_eips::eip4895::Withdrawals;
use alloy_evm::{
    EvmEnv, FromRecoveredTx as _,
    block::{BlockExecutionResult, BlockExecutor as _},
    overrides::{OverrideBlockHashes as _, apply_state_overrides},
};
use alloy_hardforks::EthereumHardforks as _;
use alloy_primitives::{Address, Log};
use alloy_rpc_types_eth::{
    BlockOverrides, TransactionRequest,
    state::{AccountOverride, StateOverride},
};
use pars_store::{Block, StateView, StoreError, Tip};
use revm::{
    Context, Database as _, DatabaseCommit as _, MainBuilder as _, MainContext as _,
    context::{BlockEnv, TxEnv},
    context_interface::{
        block::BlobExcessGasAndPrice,
        result::{EVMError, InvalidTransaction, ResultAndState},
    },
    database::{State, WrapDatabaseRef, states::bundle_state::BundleRetention},
};
use thiserror::Error;

pub use self::transaction::{TransactionDefaults, unsigned_transaction};
use self::{
    observer::{Observer, SeenLogs},
    plan::{Planned, header, plan},
    transaction::sender,
};
use crate::{
    CallOutcome, Executor,
    block_evm::BlockEvm,
    block_executor::{BLOB_TRANSACTION_REFUSED, BlockContext, ParsBlockExecutor},
    call::{CallCfg, CallPrecompiles, PrecompileOverrides, refusal, standard_precompiles},
    eip1283,
    eip7610::Eip7610,
    env::block_env,
    execution::{View, deadline},
    precompiles::Run,
    roots::{block_bloom, list_root},
    spec::BlockRules,
    wording::{call_refused_message, invalid_transaction_message},
};

/// One block of a simulation.
#[derive(Clone, Debug, Default)]
pub struct BlockCalls {
    /// Fields of the block that are not as they would follow from its parent.
    pub overrides: BlockOverrides,
    /// Withdrawals of the block.
    pub withdrawals: Withdrawals,
    /// State changed before the block.
    pub state_overrides: Option<StateOverride>,
    /// Calls made in it, in order.
    pub calls: Vec<TransactionRequest>,
}

/// Settings of a simulation.
#[derive(Clone, Copy, Debug)]
pub struct SimulateOptions {
    /// Check nonces and fees as in a real block, and charge its base fee.
    pub validation: bool,
    /// Show transfers of value as logs.
    pub trace_transfers: bool,
    /// Most gas of all calls together.
    pub gas_cap: u64,
    /// Longest time of all of it.
    pub time_limit: Duration,
}

/// A simulated block.
#[derive(Debug)]
pub struct SimulatedBlock {
    /// The block; its transactions have signatures of zeros.
    pub block: Block,
    /// What came of each call.
    pub calls: Vec<SimulatedCall>,
}

/// What came of a simulated call.
#[derive(Debug)]
pub struct SimulatedCall {
    /// How it ended.
    pub outcome: CallOutcome,
    /// Gas it needed before refunds.
    pub max_used_gas: u64,
    /// Its logs, with transfers where they were asked for, each with its number in the block.
    /// What a failed frame logged is not among them, but has its numbers, as in geth.
    pub logs: Vec<(u64, Log)>,
}

/// Why a simulation has no result. The texts are geth's.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// There is no block to simulate.
    #[error("empty input")]
    Empty,
    /// More blocks than one simulation may have, filled gaps included.
    #[error("too many blocks")]
    TooManyBlocks,
    /// A block's number is not after its parent's.
    #[error("block numbers must be in order: {number} <= {before}")]
    NumberOrder {
        /// Asked for.
        number: u64,
        /// The parent's.
        before: u64,
    },
    /// A block's time is not after its parent's.
    #[error("block timestamps must be in order: {time} <= {before}")]
    TimeOrder {
        /// Asked for, in seconds.
        time: u64,
        /// The parent's, in seconds.
        before: u64,
    },
    /// A call asks for more gas than its block has left.
    #[error("block gas limit reached: {used} >= {limit}")]
    BlockGas {
        /// Gas used before the call.
        used: u64,
        /// The block's limit.
        limit: u64,
    },
    /// The state overrides cannot be applied.
    #[error("{0}")]
    Overrides(String),
    /// A call contradicts itself.
    #[error("{0}")]
    Request(String),
    /// A call could not be sent as a transaction.
    #[error("{text}")]
    Transaction {
        /// Which rule it breaks.
        error: InvalidTransaction,
        /// geth's words for it.
        text: String,
    },
    /// A step of a block besides its calls cannot be taken.
    #[error("{0}")]
    Step(String),
    /// The time limit passed.
    #[error("execution aborted (timeout = {0:?})")]
    Timeout(Duration),
    /// The state could not be read.
    #[error("state is not readable: {0}")]
    State(String),
    /// The tries of the block that the simulation stands on are not there, so that no state root can be computed.
    #[error(transparent)]
    NoTries(StoreError),
}

impl Executor {
    /// Runs `blocks` one after another on `tip` without keeping anything: gaps between their numbers are
    /// filled with empty blocks.
    ///
    /// As in geth: senders may be anyone, and without validation nonces are not looked at, the
    /// base fee is zero where none is named, and a call that names no fee pays none.
    ///
    /// # Errors
    /// [`SimulateError`] for what cannot be in a block at all. A call that reverts or halts is a
    /// result.
    pub fn simulate(
        &self,
        tip: &Tip,
        blocks: Vec<BlockCalls>,
        options: SimulateOptions,
    ) -> Result<Vec<SimulatedBlock>, SimulateError> {
        let deadline = deadline(Instant::now(), options.time_limit);
        let head = tip.head();
        let planned = plan(&self.spec, &head.header, blocks)?;
        let mut state = State::builder()
            .with_database_ref(View(tip.state()))
            .with_bundle_update()
            .build();
        state.override_block_hashes([(head.number, head.hash)].into());
        let mut simulation = Simulation {
            executor: self,
            state,
            tip,
            options,
            deadline,
            gas_left: options.gas_cap,
        };
        let (mut parent, mut parent_hash) = (head.header.clone(), head.hash);
        let mut simulated = Vec::with_capacity(planned.len());
        for planned in planned {
            if Instant::now() >= deadline {
                return Err(SimulateError::Timeout(options.time_limit));
            }
            let header = header(
                &self.spec,
                &parent,
                parent_hash,
                &planned,
                options.validation,
            );
            let done = simulation.block(header, planned)?;
            parent = done.block.header.clone();
            parent_hash = done.block.hash;
            simulation
                .state
                .override_block_hashes([(parent.number, parent_hash)].into());
            simulated.push(done);
        }
        Ok(simulated)
    }
}

struct Simulation<'a> {
    executor: &'a Executor,
    state: State<WrapDatabaseRef<View<StateView>>>,
    tip: &'a Tip,
    options: SimulateOptions,
    deadline: Instant,
    /// Of the gas that all calls may use together.
    gas_left: u64,
}

/// The calls of a block, made.
#[derive(Default)]
struct Made {
    transactions: Vec<TxEnvelope>,
    senders: Vec<Address>,
    receipts: Vec<ReceiptEnvelope>,
    calls: Vec<SimulatedCall>,
    gas_used: u64,
    blob_gas_used: u64,
    /// Number of the next log.
    next_log: u64,
}

impl Simulation<'_> {
    fn block(
        &mut self,
        mut header: Header,
        planned: Planned,
    ) -> Result<SimulatedBlock, SimulateError> {
        let spec = &self.executor.spec;
        let BlockCalls {
            overrides,
            withdrawals,
            state_overrides,
            calls,
        } = planned.calls;
        let mut env = block_env(spec, &header);
        if let Some(fee) = overrides.blob_base_fee {
            let excess_blob_gas = header.excess_blob_gas.unwrap_or_default();
            env.block_env.blob_excess_gas_and_price = Some(BlobExcessGasAndPrice {
                excess_blob_gas,
                blob_gasprice: fee.saturating_to(),
            });
        }
        let mut moved = PrecompileOverrides::default();
        if let Some(overrides) = state_overrides {
            moved = PrecompileOverrides::of(&overrides);
            apply_state_overrides(overrides, &mut self.state).map_err(|error| {
                refusal(error).map_or_else(
                    |error| SimulateError::State(error.to_string()),
                    SimulateError::Overrides,
                )
            })?;
        }
        // Told now, where it is the request's fault and there is no call to tell it.
        self.precompiles(&env, &header, &moved)?;

        let withdrawals = header.withdrawals_root.map(|_| withdrawals);
        let context = BlockContext {
            parent_hash: header.parent_hash,
            parent_beacon_block_root: header.parent_beacon_block_root,
            ommers: &[],
            withdrawals: withdrawals.as_ref().map(|list| list.as_slice()),
        };
        let step =
            |error: alloy_evm::block::BlockExecutionError| SimulateError::Step(error.to_string());
        let evm = BlockEvm::new(&mut self.state, env.clone());
        ParsBlockExecutor::new(evm, spec, context)
            .apply_pre_execution_changes()
            .map_err(step)?;

        let mut made = Made::default();
        for request in calls {
            self.call(request, &env, &header, &moved, &mut made)?;
        }

        let evm = BlockEvm::new(&mut self.state, env);
        let closing = ParsBlockExecutor::new(evm, spec, context).with_receipts(made.receipts);
        let (
            _,
            BlockExecutionResult {
                receipts, requests, ..
            },
        ) = closing.finish().map_err(step)?;

        self.state.merge_transitions(BundleRetention::PlainState);
        header.gas_used = made.gas_used;
        header.blob_gas_used = header.blob_gas_used.map(|_| made.blob_gas_used);
        header.requests_hash = spec
            .is_prague_active_at_timestamp(header.timestamp)
            .then(|| requests.requests_hash());
        header.withdrawals_root = withdrawals
            .as_ref()
            .map(|list| calculate_withdrawals_root(list));
        header.transactions_root = list_root(&made.transactions);
        header.receipts_root = list_root(&receipts);
        header.logs_bloom = block_bloom(&receipts);
        let empty = spec.empty_accounts(header.number);
        let root = self
            .tip
            .state_root(&(&self.state.bundle_state).into(), empty);
        (header.state_root, _) = root.map_err(|error| match error {
            error @ StoreError::ProofNotKept { .. } => SimulateError::NoTries(error),
            error => SimulateError::State(error.to_string()),
        })?;
        Ok(SimulatedBlock {
            block: Block {
                hash: header.hash_slow(),
                header,
                transactions: made.transactions,
                senders: made.senders,
                ommers: Vec::new(),
                withdrawals,
            },
            calls: made.calls,
        })
    }

    fn call(
        &mut self,
        request: TransactionRequest,
        env: &EvmEnv,
        header: &Header,
        moved: &PrecompileOverrides,
        made: &mut Made,
    ) -> Result<(), SimulateError> {
        let sender = sender(&request);
        if request.blob_versioned_hashes.is_some() && self.executor.spec.rules == BlockRules::Pars {
            return Err(SimulateError::Request(BLOB_TRANSACTION_REFUSED.to_owned()));
        }
        let account = self
            .state
            .basic(sender)
            .map_err(|error| SimulateError::State(error.to_string()))?
            .unwrap_or_default();
        let left = header.gas_limit.saturating_sub(made.gas_used);
        let gas = request.gas.unwrap_or(left);
        if gas > left {
            return Err(SimulateError::BlockGas {
                used: made.gas_used,
                limit: header.gas_limit,
            });
        }
        let defaults = TransactionDefaults {
            chain_id: self.executor.spec.chain_id,
            nonce: account.nonce,
            gas: gas.min(self.gas_left),
            has_base_fee: header.base_fee_per_gas.is_some(),
        };
        let transaction = unsigned_transaction(request, &defaults)?;
        if self.options.validation {
            check_nonce(transaction.nonce(), account.nonce, sender)?;
            if account.nonce == u64::MAX {
                let transaction = TxEnv::from_recovered_tx(&transaction, sender);
                let error = InvalidTransaction::NonceOverflowInTransaction;
                return Err(unsendable(error, &transaction, env.block_env.basefee));
            }
        }
        let runs_over = account.nonce == u64::MAX && !self.options.validation;
        if runs_over {
            self.set_nonce(sender, u64::MAX - 1)?;
        }
        let (ResultAndState { result, mut state }, seen) =
            self.run(&transaction, sender, env, header, moved, made.next_log)?;
        made.next_log = seen.next;
        if runs_over && let Some(account) = state.get_mut(&sender) {
            // Where nonces are not looked at, geth lets the greatest run over to 0.
            account.info.nonce = 0;
        }
        self.state.commit(state);

        let gas = *result.gas();
        let gas_used = gas.tx_gas_used();
        self.gas_left = self.gas_left.saturating_sub(gas_used);
        made.gas_used = made.gas_used.saturating_add(gas_used);
        made.blob_gas_used = made
            .blob_gas_used
            .saturating_add(transaction.blob_gas_used().unwrap_or_default());
        let receipt = Receipt {
            status: Eip658Value::Eip658(result.is_success()),
            cumulative_gas_used: made.gas_used,
            logs: result.logs().to_vec(),
        }
        .into_with_bloom();
        made.receipts.push(match transaction.tx_type() {
            TxType::Legacy => ReceiptEnvelope::Legacy(receipt),
            TxType::Eip2930 => ReceiptEnvelope::Eip2930(receipt),
            TxType::Eip1559 => ReceiptEnvelope::Eip1559(receipt),
            TxType::Eip4844 => ReceiptEnvelope::Eip4844(receipt),
            TxType::Eip7702 => ReceiptEnvelope::Eip7702(receipt),
        });
        made.transactions.push(transaction);
        made.senders.push(sender);
        made.calls.push(SimulatedCall {
            max_used_gas: gas.total_gas_spent().max(gas.floor_gas()),
            logs: seen.logs,
            outcome: CallOutcome::from(result),
        });
        Ok(())
    }

    fn set_nonce(&mut self, address: Address, nonce: u64) -> Result<(), SimulateError> {
        let account = AccountOverride::default().with_nonce(nonce);
        apply_state_overrides([(address, account)].into_iter().collect(), &mut self.state)
            .map_err(|error| SimulateError::State(error.to_string()))
    }

    /// Runs one call; gives back its result and the logs and transfers seen, numbered from
    /// `next_log`.
    fn run(
        &mut self,
        transaction: &TxEnvelope,
        sender: Address,
        env: &EvmEnv,
        header: &Header,
        moved: &PrecompileOverrides,
        next_log: u64,
    ) -> Result<(ResultAndState, SeenLogs), SimulateError> {
        let precompiles = self.precompiles(env, header, moved)?;
        let pays_nothing =
            transaction.max_fee_per_gas() == 0 && transaction.priority_fee_or_price() == 0;
        let mut cfg = CallCfg::new(env.cfg_env.clone());
        if self.options.validation {
            cfg = cfg.with_nonces();
        } else if pays_nothing {
            cfg = cfg.without_base_fee();
        }
        let mut tx_env = TxEnv::from_recovered_tx(transaction, sender);
        if !self.options.validation {
            // The greatest nonce is refused even where nonces are not looked at.
            tx_env.nonce = tx_env.nonce.min(u64::MAX - 1);
        }
        let mut observer = Observer::new(self.deadline, self.options.trace_transfers, next_log);
        let mut evm = Context::mainnet()
            .with_block::<BlockEnv>(env.block_env.clone())
            .with_cfg(cfg)
            .with_db(&mut self.state)
            .build_mainnet_with_inspector(&mut observer)
            .with_precompiles(precompiles);
        eip1283::install(&mut evm.instruction, &env.cfg_env);
        let mut evm = Eip7610::new(evm);
        let result = evm.inspect(tx_env).map_err(|error| match error {
            EVMError::Transaction(error) => {
                let Context { tx, block, .. } = &evm.evm.ctx;
                unsendable(error, tx, block.basefee)
            }
            error => SimulateError::State(error.to_string()),
        });
        if observer.expired() {
            return Err(SimulateError::Timeout(self.options.time_limit));
        }
        Ok((result?, observer.into_logs()))
    }

    fn precompiles(
        &self,
        env: &EvmEnv,
        header: &Header,
        moved: &PrecompileOverrides,
    ) -> Result<CallPrecompiles, SimulateError> {
        let mut map = standard_precompiles(&env.cfg_env);
        self.executor
            .precompiles
            .install(&mut map, header.parent_hash, &Run::Call);
        moved.apply(map).map_err(SimulateError::Overrides)
    }
}

/// The refusal of a call that its gas is told with.
fn unsendable(error: InvalidTransaction, transaction: &TxEnv, base_fee: u64) -> SimulateError {
    let reason = call_refused_message(&error, transaction, base_fee);
    let gas = transaction.gas_limit;
    SimulateError::Transaction {
        text: format!("err: {reason} (supplied gas {gas})"),
        error,
    }
}

/// Checks the nonce of a call before anything else of it, as geth does.
fn check_nonce(nonce: u64, expected: u64, sender: Address) -> Result<(), SimulateError> {
    let (tx, state) = (nonce, expected);
    let error = match tx.cmp(&state) {
        Ordering::Greater => InvalidTransaction::NonceTooHigh { tx, state },
        Ordering::Less => InvalidTransaction::NonceTooLow { tx, state },
        Ordering::Equal => return Ok(()),
    };
    Err(SimulateError::Transaction {
        text: invalid_transaction_message(&error, sender),
        error,
    })
}
