//! Tracing: transactions of a stored block run again, or a call run, under one of geth's tracers.

mod bounded;
mod calls;
pub(crate) mod fault;
mod flat;
mod prestate;
mod settings;
mod steps;
mod tracer;

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use alloy_consensus::{Header, transaction::Recovered};
use alloy_evm::{Evm as _, FromRecoveredTx as _, block::BlockExecutor as _};
use alloy_primitives::B256;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::geth::GethDebugTracingOptions;
use pars_store::Block;
use revm::{
    DatabaseCommit as _,
    context::TxEnv,
    context_interface::result::EVMError,
    database::{State, WrapDatabaseRef},
};
use thiserror::Error;

use self::bounded::{Bounded, Broken};
pub use self::flat::FlatCall;
pub use self::prestate::{AccountTold, Accounts};
pub use self::settings::TraceLimits;
use self::settings::{Kept, time};
pub use self::tracer::Trace;
use self::tracer::{Done, Place, Tracer};
use crate::{
    CallError, CallOptions, Executor,
    block_evm::BlockEvm,
    block_executor::{BlockContext, ParsBlockExecutor},
    call::Caller,
    env::block_env,
    execution::{View, deadline},
    precompiles::Run,
    state::StateRef,
    wording::invalid_transaction_message,
};

/// Why there is no trace.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TraceError {
    /// No tracer has this name.
    #[error(
        "tracer not found: {0}; there are callTracer, prestateTracer, 4byteTracer, muxTracer, flatCallTracer, noopTracer, erc7562Tracer, and the struct logger where none is named"
    )]
    Unknown(String),
    /// A tracer written in JavaScript.
    #[error("tracers written in JavaScript are not supported; name one of the built-in ones")]
    JavaScript,
    /// The tracer does not take these settings.
    #[error("{0}")]
    Settings(String),
    /// The time limit passed.
    #[error("execution timeout")]
    Timeout,
    /// The trace needs more memory than one answer may take.
    #[error(
        "the trace needs more than {0} bytes; set \"limit\", leave out stack, storage or memory, or use callTracer"
    )]
    TooLarge(usize),
    /// The traced call cannot be made.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The block could not be run again.
    #[error("transaction {index}: {reason}")]
    Replay {
        /// Position in the block.
        index: usize,
        /// Why.
        reason: String,
    },
    /// The steps before the transactions could not be taken again.
    #[error("block: {0}")]
    Block(String),
    /// The state could not be read.
    #[error("state is not readable: {0}")]
    State(String),
}

/// The trace of one transaction.
#[derive(Debug)]
pub struct Traced {
    /// Hash of the transaction.
    pub hash: B256,
    /// What the tracer recorded.
    pub trace: Trace,
}

/// State that transactions are run on.
type Running<V> = State<WrapDatabaseRef<View<V>>>;

/// A tracer with its settings and limits.
struct Tracing {
    options: GethDebugTracingOptions,
    time: Duration,
    most_bytes: usize,
    last_moment: Instant,
}

impl Tracing {
    fn new(options: GethDebugTracingOptions, limits: TraceLimits) -> Result<Self, TraceError> {
        Ok(Self {
            time: time(&options, limits.time)?,
            most_bytes: limits.bytes,
            last_moment: deadline(Instant::now(), limits.time),
            options,
        })
    }

    fn inspector(&self) -> Result<Bounded, TraceError> {
        let tracer = Tracer::new(self.options.clone())?;
        Ok(Bounded::new(
            tracer,
            Kept::by(&self.options),
            self.most_bytes,
        ))
    }

    /// Begins one transaction under `inspector`, before which its block has so many logs.
    fn begin(&self, inspector: &mut Bounded, logs: u64) -> Result<(), TraceError> {
        let end = deadline(Instant::now(), self.time).min(self.last_moment);
        inspector.begin(end, self.options.config.limit, logs)
    }

    fn check(&self, inspector: &Bounded) -> Result<(), TraceError> {
        match inspector.broken() {
            None => Ok(()),
            Some(Broken::Time) => Err(TraceError::Timeout),
            Some(Broken::Bytes) => Err(TraceError::TooLarge(self.most_bytes)),
        }
    }
}

impl Executor {
    /// Runs the transactions of `block` again on `parent`, the state before it, and records those
    /// asked for: all, or the one at position `only`. The precompiles' memo is not used.
    ///
    /// # Errors
    /// [`TraceError`] for a tracer that is not there, settings it does not take and limits it
    /// breaks; the others only where `parent` is not the state before the block or cannot be read.
    pub fn trace_block<V: StateRef>(
        &self,
        parent: V,
        block: &Block,
        only: Option<usize>,
        options: GethDebugTracingOptions,
        limits: TraceLimits,
    ) -> Result<Vec<Traced>, TraceError> {
        let tracing = Tracing::new(options, limits)?;
        let wanted = match only {
            Some(index) => index..index.saturating_add(1),
            None => 0..block.transactions.len(),
        };
        self.replay(parent, block, wanted, &tracing)
            .map(|(traces, _)| traces)
    }

    /// Runs `request` as [`Executor::call`] does, under a tracer.
    ///
    /// # Errors
    /// As [`Executor::trace_block`], and [`TraceError::Call`] where there is nothing to run.
    pub fn trace_call<V: StateRef>(
        &self,
        header: &Header,
        state: V,
        request: &TransactionRequest,
        call: &CallOptions,
        options: GethDebugTracingOptions,
        limits: TraceLimits,
    ) -> Result<Trace, TraceError> {
        let tracing = Tracing::new(options, limits)?;
        let mut inspector = tracing.inspector()?;
        let call = CallOptions {
            off_chain_randomness: false,
            ..call.clone()
        };
        let mut caller = Caller::prepare(self, header, state, request, &call)?;
        tracing.begin(&mut inspector, 0)?;
        let transaction = caller.transaction.clone();
        let result = caller.inspect(transaction.clone(), &mut inspector)?;
        tracing.check(&inspector)?;
        let done = Done {
            place: Place::default(),
            transaction: &transaction,
            block: &caller.block().clone(),
            spec: caller.spec(),
            result: &result,
        };
        inspector.tracer.finish(&done, caller.state())
    }

    /// As [`Executor::trace_call`], on the state after the first `before` transactions of `block`.
    ///
    /// # Errors
    /// As [`Executor::trace_call`].
    #[allow(clippy::too_many_arguments)]
    pub fn trace_call_within<V: StateRef>(
        &self,
        parent: V,
        block: &Block,
        before: usize,
        request: &TransactionRequest,
        call: &CallOptions,
        options: GethDebugTracingOptions,
        limits: TraceLimits,
    ) -> Result<Trace, TraceError> {
        let tracing = Tracing::new(options.clone(), limits)?;
        let (_, state) = self.replay(parent, block, before..before, &tracing)?;
        self.trace_call(&block.header, &state, request, call, options, limits)
    }

    /// Runs the transactions of `block` before `wanted.end` again and traces those in `wanted`.
    fn replay<V: StateRef>(
        &self,
        parent: V,
        block: &Block,
        wanted: Range<usize>,
        tracing: &Tracing,
    ) -> Result<(Vec<Traced>, Running<V>), TraceError> {
        let header = &block.header;
        let state = State::builder().with_database_ref(View(parent)).build();
        let env = block_env(&self.spec, header);
        let mut evm = BlockEvm::with_inspector(state, env, tracing.inspector()?);
        self.precompiles
            .install(evm.precompiles_mut(), header.parent_hash, &Run::Call);
        evm.disable_inspector();
        let context = BlockContext {
            parent_hash: header.parent_hash,
            parent_beacon_block_root: header.parent_beacon_block_root,
            ommers: &[],
            withdrawals: None,
        };
        let mut executor = ParsBlockExecutor::new(evm, &self.spec, context);
        executor
            .apply_pre_execution_changes()
            .map_err(|error| TraceError::Block(error.to_string()))?;
        let (mut evm, _) = executor.finish_transactions();

        let (mut traces, mut logs) = (Vec::new(), 0);
        let transactions = block.transactions.iter().zip(&block.senders);
        for (index, (transaction, sender)) in transactions.enumerate().take(wanted.end) {
            let replay = |reason: String| TraceError::Replay { index, reason };
            let traced = wanted.contains(&index);
            evm.set_inspector_enabled(traced);
            if traced {
                tracing.begin(evm.inspector_mut(), logs)?;
            } else if Instant::now() >= tracing.last_moment {
                return Err(TraceError::Timeout);
            }
            let result = evm
                .transact(Recovered::new_unchecked(transaction, *sender))
                .map_err(|error| {
                    replay(match &error {
                        EVMError::Transaction(invalid) => {
                            invalid_transaction_message(invalid, *sender)
                        }
                        other => other.to_string(),
                    })
                })?;
            if traced {
                tracing.check(evm.inspector())?;
                let hash = *transaction.tx_hash();
                let done = Done {
                    place: Place {
                        block_hash: Some(block.hash),
                        block_number: header.number,
                        transaction_hash: Some(hash),
                        index,
                    },
                    transaction: &TxEnv::from_recovered_tx(transaction, *sender),
                    block: &evm.block().clone(),
                    spec: evm.cfg_env().spec,
                    result: &result,
                };
                let (db, inspector, _) = evm.components_mut();
                let trace = inspector.tracer.finish(&done, db)?;
                traces.push(Traced { hash, trace });
            }
            logs = logs.saturating_add(result.result.logs().len() as u64);
            evm.db_mut().commit(result.state);
        }
        Ok((traces, evm.into_db()))
    }
}
