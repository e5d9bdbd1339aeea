//! `eth_simulateV1`: blocks that might follow.

use alloy_eips::{BlockId, eip4895::Withdrawals};
use alloy_rpc_types_eth::simulate::{SimCallResult, SimulateError as CallFault};
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest};
use pars_evm::{BlockCalls, CallOutcome, SimulateError, SimulateOptions, SimulatedBlock};
use pars_store::{BlockCommit, Tip};
use revm::context_interface::result::InvalidTransaction;
use serde::Deserialize;
use serde_json::{Value, to_value};

use super::block::block_id;
use crate::context::{Answer, Shared, answer, store_fault};
use crate::convert;
use crate::error::{Fault, code};
use crate::params::Args;

/// Codes of the method's own, from its specification (ethereum/execution-apis).
mod own {
    pub(super) const NONCE_TOO_LOW: i32 = -38010;
    pub(super) const NONCE_TOO_HIGH: i32 = -38011;
    pub(super) const FEE_TOO_LOW: i32 = -38012;
    pub(super) const INTRINSIC_GAS: i32 = -38013;
    pub(super) const INSUFFICIENT_FUNDS: i32 = -38014;
    pub(super) const BLOCK_GAS: i32 = -38015;
    pub(super) const BLOCK_NUMBER: i32 = -38020;
    pub(super) const BLOCK_TIME: i32 = -38021;
    pub(super) const SENDER_HAS_CODE: i32 = -38024;
    pub(super) const INIT_CODE_SIZE: i32 = -38025;
    pub(super) const TOO_MANY: i32 = -38026;
    /// A call that failed without reverting.
    pub(super) const HALTED: i32 = -32015;
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    #[serde(default)]
    block_state_calls: Vec<PayloadBlock>,
    #[serde(default)]
    trace_transfers: bool,
    #[serde(default)]
    validation: bool,
    #[serde(default)]
    return_full_transactions: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PayloadBlock {
    block_overrides: Option<PayloadOverrides>,
    state_overrides: Option<StateOverride>,
    #[serde(default)]
    calls: Option<Vec<TransactionRequest>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PayloadOverrides {
    #[serde(flatten)]
    common: BlockOverrides,
    withdrawals: Option<Withdrawals>,
}

impl From<PayloadBlock> for BlockCalls {
    fn from(block: PayloadBlock) -> Self {
        let PayloadOverrides {
            common,
            withdrawals,
        } = block.block_overrides.unwrap_or_default();
        Self {
            overrides: common,
            withdrawals: withdrawals.unwrap_or_default(),
            state_overrides: block.state_overrides,
            calls: block.calls.unwrap_or_default(),
        }
    }
}

/// `eth_simulateV1`
pub(super) fn simulate(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    let payload: Payload = args.required(0)?;
    let id = block_id(args, 1)?;
    let limits = shared.call_options();
    let options = SimulateOptions {
        validation: payload.validation,
        trace_transfers: payload.trace_transfers,
        gas_cap: limits.gas_cap,
        time_limit: limits.time_limit,
    };
    let blocks = payload
        .block_state_calls
        .into_iter()
        .map(BlockCalls::from)
        .collect();
    let simulated = shared
        .node
        .executor
        .simulate(&tip(shared, id)?, blocks, options)
        .map_err(fault)?;
    let blocks: Vec<_> = simulated
        .into_iter()
        .map(|block| as_json(block, payload.return_full_transactions))
        .collect::<Result<_, _>>()?;
    answer(&blocks)
}

/// What a block after `id` stands on.
fn tip(shared: &Shared, id: BlockId) -> Result<Tip, Fault> {
    let store = &shared.node.store;
    if id.is_pending() {
        let commit = shared.pending.get(&shared.node)?;
        let tip = store.tip().map_err(store_fault)?;
        let pending = tip.extend(BlockCommit::clone(&commit));
        return Ok(pending.map_err(store_fault)?.tip().clone());
    }
    let (header, _) = shared.state(id)?;
    store.tip_at(header.number).map_err(store_fault)
}

fn as_json(simulated: SimulatedBlock, full: bool) -> Result<Value, Fault> {
    let SimulatedBlock { block, calls } = simulated;
    let mut results = Vec::with_capacity(calls.len());
    for (index, (call, transaction)) in calls.into_iter().zip(&block.transactions).enumerate() {
        let logs = call.logs.into_iter();
        let logs = logs.map(|(at, inner)| convert::log_of(&block, index, transaction, at, inner));
        let logs = logs.collect();
        let gas_used = call.outcome.gas_used();
        let message = call.outcome.failure();
        let (return_data, error) = match call.outcome {
            CallOutcome::Success { output, .. } => (output, None),
            CallOutcome::Revert { output, .. } => {
                (Default::default(), Some((code::REVERT, Some(output))))
            }
            CallOutcome::Halt { .. } => (Default::default(), Some((own::HALTED, None))),
        };
        results.push(SimCallResult {
            return_data,
            logs,
            gas_used,
            max_used_gas: Some(call.max_used_gas),
            status: error.is_none(),
            error: error.map(|(code, data)| CallFault {
                code,
                message: message.unwrap_or_default(),
                data,
            }),
        });
    }
    let mut value = to_value(convert::block(block, full)).map_err(Fault::internal)?;
    if let Some(members) = value.as_object_mut() {
        members.insert(
            "calls".to_owned(),
            to_value(results).map_err(Fault::internal)?,
        );
    }
    Ok(value)
}

fn fault(error: SimulateError) -> Fault {
    use SimulateError as E;
    let code = match &error {
        E::Empty => code::INVALID_PARAMS,
        E::TooManyBlocks => own::TOO_MANY,
        E::NumberOrder { .. } => own::BLOCK_NUMBER,
        E::TimeOrder { .. } => own::BLOCK_TIME,
        E::BlockGas { .. } => own::BLOCK_GAS,
        E::Transaction { error, .. } => refusal(error),
        E::State(_) => return Fault::internal(error),
        E::NoTries(_) => code::NOT_KEPT,
        _ => code::SERVER,
    };
    Fault::new(code, error.to_string())
}

/// geth's code for a call that could not be sent.
fn refusal(error: &InvalidTransaction) -> i32 {
    use InvalidTransaction as E;
    match error {
        E::NonceTooLow { .. } => own::NONCE_TOO_LOW,
        E::NonceTooHigh { .. } => own::NONCE_TOO_HIGH,
        E::CallGasCostMoreThanGasLimit { .. } => own::INTRINSIC_GAS,
        E::LackOfFundForMaxFee { .. } | E::OverflowPaymentInTransaction => own::INSUFFICIENT_FUNDS,
        E::RejectCallerWithCode => own::SENDER_HAS_CODE,
        E::CreateInitCodeSizeLimit => own::INIT_CODE_SIZE,
        E::GasPriceLessThanBasefee => own::FEE_TOO_LOW,
        E::PriorityFeeGreaterThanMaxFee => code::INVALID_PARAMS,
        _ => code::INTERNAL,
    }
}
