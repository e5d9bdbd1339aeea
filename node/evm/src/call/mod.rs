//! Calls that change nothing: `eth_call`, `eth_estimateGas`, `eth_createAccessList`.

mod access_list;
mod cfg;
mod estimate;
mod overrides;
mod run;
mod watch;

use std::time::Duration;

use alloy_consensus::Header;
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Bytes, Log, U256};
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest, state::StateOverride};
use revm::{
    context::TxEnv,
    context_interface::result::{ExecutionResult, HaltReason, InvalidTransaction, Output},
};
use thiserror::Error;

use crate::{
    Executor,
    revert::revert_message,
    state::StateRef,
    trace::fault::{self, Instruction},
    wording::{call_refused_message, halt_message},
};

pub(crate) use cfg::CallCfg;
pub(crate) use overrides::{CallPrecompiles, PrecompileOverrides, refusal};
pub(crate) use run::{Caller, standard_precompiles};
pub(crate) use watch::Clock;

/// Gas a call may use where nothing else is said, as in geth.
const DEFAULT_CALL_GAS_CAP: u64 = 50_000_000;

/// Time a call may take where nothing else is said, as in geth.
const DEFAULT_CALL_TIME: Duration = Duration::from_secs(5);

/// Settings of one call.
#[derive(Clone, Debug)]
pub struct CallOptions {
    /// State changed before the call.
    pub state_overrides: Option<StateOverride>,
    /// Block fields changed before the call.
    pub block_overrides: Option<Box<BlockOverrides>>,
    /// Most gas the call may use, whatever it asks for.
    pub gas_cap: u64,
    /// Longest time the call may take. For estimates and access lists, of all their runs.
    pub time_limit: Duration,
    /// The call is made at the latest block by the node's own user: one straight to a precompile
    /// may then draw on the operating system's randomness (precompile specification, section
    /// 1.6). Estimates and access lists never do.
    pub off_chain_randomness: bool,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            state_overrides: None,
            block_overrides: None,
            gas_cap: DEFAULT_CALL_GAS_CAP,
            time_limit: DEFAULT_CALL_TIME,
            off_chain_randomness: false,
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It returned.
    Success {
        /// Returned bytes; the deployed code where a contract was created.
        output: Bytes,
        /// Gas used, refunds taken off.
        gas_used: u64,
        /// Logs emitted.
        logs: Vec<Log>,
    },
    /// It reverted.
    Revert {
        /// Revert data.
        output: Bytes,
        /// Gas used.
        gas_used: u64,
    },
    /// It ran out of gas or broke a rule of the EVM.
    Halt {
        /// geth's words for it.
        reason: String,
        /// Gas used.
        gas_used: u64,
    },
}

impl CallOutcome {
    /// Gas used, however it ended.
    pub fn gas_used(&self) -> u64 {
        match self {
            Self::Success { gas_used, .. }
            | Self::Revert { gas_used, .. }
            | Self::Halt { gas_used, .. } => *gas_used,
        }
    }

    /// geth's words for the failure; `None` on success.
    pub fn failure(&self) -> Option<String> {
        match self {
            Self::Success { .. } => None,
            Self::Revert { output, .. } => Some(revert_message(output)),
            Self::Halt { reason, .. } => Some(reason.clone()),
        }
    }

    /// As geth tells it, with the instruction that is to blame where there is one.
    pub(crate) fn told(result: ExecutionResult, last: Option<Instruction>) -> Self {
        let reason = match &result {
            ExecutionResult::Halt { reason, .. } => Some(told_halt(reason, last)),
            _ => None,
        };
        match (Self::from(result), reason) {
            (Self::Halt { gas_used, .. }, Some(reason)) => Self::Halt { reason, gas_used },
            (other, _) => other,
        }
    }
}

/// What geth says of a call that halted at `last`.
pub(crate) fn told_halt(reason: &HaltReason, last: Option<Instruction>) -> String {
    match reason {
        HaltReason::StackUnderflow | HaltReason::OpcodeNotFound | HaltReason::NotActivated => {
            fault::text(reason.clone().into(), last)
        }
        other => halt_message(other),
    }
}

impl From<ExecutionResult> for CallOutcome {
    fn from(result: ExecutionResult) -> Self {
        match result {
            ExecutionResult::Success {
                gas, logs, output, ..
            } => Self::Success {
                output: match output {
                    Output::Call(bytes) | Output::Create(bytes, _) => bytes,
                },
                gas_used: gas.tx_gas_used(),
                logs,
            },
            ExecutionResult::Revert { gas, output, .. } => Self::Revert {
                output,
                gas_used: gas.tx_gas_used(),
            },
            ExecutionResult::Halt { reason, gas, .. } => Self::Halt {
                reason: halt_message(&reason),
                gas_used: gas.tx_gas_used(),
            },
        }
    }
}

/// What `eth_createAccessList` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessListOutcome {
    /// Accounts and slots the call touches, less those that are warm anyway.
    pub access_list: AccessList,
    /// Gas used with that list.
    pub gas_used: u64,
    /// geth's words where the call failed.
    pub error: Option<String>,
}

/// Why a call has no outcome. The texts are geth's where it has any.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The request contradicts itself.
    #[error("{0}")]
    Request(String),
    /// The call could not be sent as a transaction by anyone with that balance and those fees.
    #[error("{reason}")]
    Invalid {
        /// geth's words for it.
        reason: String,
        /// Gas it would have had.
        gas: u64,
    },
    /// The state or block overrides cannot be applied.
    #[error("{0}")]
    Overrides(String),
    /// The time limit passed.
    #[error("execution aborted (timeout = {0:?})")]
    Timeout(Duration),
    /// While estimating: the call reverts whatever gas it has.
    #[error("{}", revert_message(.0))]
    Reverted(Bytes),
    /// While estimating: the call fails otherwise whatever gas it has.
    #[error("{0}")]
    Failed(String),
    /// While estimating: the call needs more gas than it may have.
    #[error("gas required exceeds allowance ({0})")]
    GasAllowance(u64),
    /// The state could not be read.
    #[error("state is not readable: {0}")]
    State(String),
}

impl CallError {
    fn invalid(error: &InvalidTransaction, transaction: &TxEnv, base_fee: u64) -> Self {
        Self::Invalid {
            reason: call_refused_message(error, transaction, base_fee),
            gas: transaction.gas_limit,
        }
    }
}

impl Executor {
    /// Runs `request` on `state`, in the block that `header` describes.
    ///
    /// As in geth: the sender may be anyone, nonce and signature are not looked at, and where no
    /// fee is named the base fee is zero for the call. Gas defaults to the cap.
    ///
    /// # Errors
    /// [`CallError`] where there is nothing to run or nobody who could send it. A call that
    /// reverts or halts is an outcome.
    pub fn call<V: StateRef>(
        &self,
        header: &Header,
        state: V,
        request: &TransactionRequest,
        options: &CallOptions,
    ) -> Result<CallOutcome, CallError> {
        let mut caller = Caller::prepare(self, header, state, request, options)?;
        if request.gas.is_none() {
            caller.check_funds()?;
        }
        let (result, last) = caller.run(caller.transaction.clone())?;
        Ok(CallOutcome::told(result, last))
    }

    /// Least gas with which `request` succeeds on `state` in the block that `header` describes:
    /// exactly 21,000 for a plain transfer. The 63/64 rule of nested calls and the calldata floor
    /// of EIP-7623 are in it, because it is found by running.
    ///
    /// # Errors
    /// [`CallError::Reverted`] with the revert data, [`CallError::GasAllowance`] where the
    /// sender's balance or the limits do not allow enough, and as [`Executor::call`].
    pub fn estimate_gas<V: StateRef>(
        &self,
        header: &Header,
        state: V,
        request: &TransactionRequest,
        options: &CallOptions,
    ) -> Result<u64, CallError> {
        let options = CallOptions {
            off_chain_randomness: false,
            ..options.clone()
        };
        estimate::estimate(
            Caller::prepare(self, header, state, request, &options)?,
            request.gas,
        )
    }

    /// The access list (EIP-2930) that `request` would profit from on `state`.
    ///
    /// # Errors
    /// As [`Executor::call`].
    pub fn create_access_list<V: StateRef>(
        &self,
        header: &Header,
        state: V,
        request: &TransactionRequest,
        options: &CallOptions,
    ) -> Result<AccessListOutcome, CallError> {
        let options = CallOptions {
            off_chain_randomness: false,
            ..options.clone()
        };
        access_list::create(Caller::prepare(self, header, state, request, &options)?)
    }
}

/// What a sender can pay for beyond the value it sends, in gas; everything where no price is
/// named.
fn gas_allowance(balance: U256, value: U256, gas_price: u128) -> Option<u64> {
    let left = balance.checked_sub(value)?;
    if gas_price == 0 {
        return Some(u64::MAX);
    }
    Some((left / U256::from(gas_price)).saturating_to())
}
