//! Calls that change nothing.

use alloy_consensus::Header;
use alloy_eips::eip2930::AccessListResult;
use alloy_primitives::{U64, U256};
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{BlockOverrides, TransactionInput, TransactionRequest};
use pars_evm::{CallError, CallOptions, CallOutcome};

use super::block::block_id;
use crate::context::{Answer, Shared, answer};
use crate::error::{Fault, code};
use crate::params::Args;
use crate::pending::StateAt;

/// A call as a client describes it, and the block and state it runs in.
struct Question {
    header: Header,
    state: StateAt,
    request: TransactionRequest,
    options: CallOptions,
}

/// The call at position 0, with one name for its input.
pub(super) fn request(args: &Args<'_>) -> Result<TransactionRequest, Fault> {
    let mut request: TransactionRequest = args.required(0)?;
    let input = std::mem::take(&mut request.input).try_into_unique_input();
    request.input = TransactionInput::maybe_input(
        input.map_err(|error| Fault::invalid_params(error.to_string()))?,
    );
    Ok(request)
}

/// Reads call, block, state overrides and, if `most` allows them, block overrides.
fn question(shared: &Shared, args: &Args<'_>, most: usize) -> Result<Question, Fault> {
    args.at_most(most)?;
    let request = request(args)?;
    let id = block_id(args, 1)?;
    let options = CallOptions {
        state_overrides: args.optional::<StateOverride>(2)?,
        block_overrides: args.optional::<BlockOverrides>(3)?.map(Box::new),
        off_chain_randomness: id.is_latest() || id.is_pending(),
        ..shared.call_options()
    };
    let (header, state) = shared.state(id)?;
    Ok(Question {
        header,
        state,
        request,
        options,
    })
}

/// `eth_call`
pub(super) fn call(shared: &Shared, args: &Args<'_>) -> Answer {
    let Question {
        header,
        state,
        request,
        options,
    } = question(shared, args, 4)?;
    let outcome = shared
        .node
        .executor
        .call(&header, state, &request, &options)
        .map_err(|error| {
            worded(error, |reason, gas| {
                format!("err: {reason} (supplied gas {gas})")
            })
        })?;
    match outcome {
        CallOutcome::Success { output, .. } => answer(&output),
        CallOutcome::Revert { output, .. } => Err(Fault::revert(&output)),
        CallOutcome::Halt { reason, .. } => Err(Fault::server(reason)),
    }
}

/// `eth_estimateGas`
pub(super) fn estimate_gas(shared: &Shared, args: &Args<'_>) -> Answer {
    let Question {
        header,
        state,
        request,
        options,
    } = question(shared, args, 4)?;
    let gas = shared
        .node
        .executor
        .estimate_gas(&header, state, &request, &options)
        .map_err(estimate_fault)?;
    answer(&U64::from(gas))
}

/// `eth_createAccessList`
pub(super) fn create_access_list(shared: &Shared, args: &Args<'_>) -> Answer {
    let Question {
        header,
        state,
        request,
        options,
    } = question(shared, args, 3)?;
    let outcome = shared
        .node
        .executor
        .create_access_list(&header, state, &request, &options)
        .map_err(call_fault)?;
    answer(&AccessListResult {
        access_list: outcome.access_list,
        gas_used: U256::from(outcome.gas_used),
        error: outcome.error,
    })
}

/// As [`call_fault`], of an estimate.
pub(super) fn estimate_fault(error: CallError) -> Fault {
    worded(error, |reason, gas| {
        format!("failed with {gas} gas: {reason}")
    })
}

/// As [`call_fault`], with the method's own words for a call that could not be sent.
pub(super) fn worded(error: CallError, words: impl FnOnce(&str, u64) -> String) -> Fault {
    match error {
        CallError::Invalid { reason, gas } => Fault::server(words(&reason, gas)),
        other => call_fault(other),
    }
}

fn call_fault(error: CallError) -> Fault {
    match error {
        CallError::Reverted(output) => Fault::revert(&output),
        CallError::State(_) => Fault::new(code::INTERNAL, error.to_string()),
        other => Fault::server(other.to_string()),
    }
}
