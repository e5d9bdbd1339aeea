//! geth's tracers, on stored blocks and on calls.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::B256;
use alloy_rpc_types_trace::geth::{GethDebugTracingCallOptions, GethDebugTracingOptions};
use pars_evm::{CallOptions, TraceError, TraceLimits, Traced};
use pars_store::{Block, StateView};
use serde_json::json;

use super::call::{request, worded};
use crate::context::{Answer, Shared, answer, store_fault};
use crate::error::Fault;
use crate::params::Args;

/// `debug_traceTransaction`
pub(super) fn transaction(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    let hash = args.hex::<B256>(0)?;
    let options = options(args)?;
    let store = &shared.node.store;
    let (number, index) = store
        .transaction_location(&hash)
        .map_err(store_fault)?
        .ok_or_else(|| Fault::server("transaction not found"))?;
    let block = store
        .block(number)
        .map_err(store_fault)?
        .ok_or_else(|| Fault::internal(format!("block {number} is missing")))?;
    let traced = trace(shared, &block, Some(index), options)?;
    let traced = traced
        .into_iter()
        .next()
        .ok_or_else(|| Fault::internal(format!("block {number} has no transaction {index}")))?;
    answer(&traced.trace)
}

/// `debug_traceBlockByNumber`
pub(super) fn block_by_number(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    let tag = args.tag(0)?;
    whole_block(shared, args, BlockId::Number(tag))
}

/// `debug_traceBlockByHash`
pub(super) fn block_by_hash(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    let hash = args.hex::<B256>(0)?;
    whole_block(shared, args, hash.into())
}

fn whole_block(shared: &Shared, args: &Args<'_>, id: BlockId) -> Answer {
    let options = options(args)?;
    if id.is_pending() {
        return Err(Fault::server("tracing on top of pending is not supported"));
    }
    let block = existing(shared, id)?;
    let traces: Vec<_> = trace(shared, &block, None, options)?
        .into_iter()
        .map(|Traced { hash, trace }| json!({"txHash": hash, "result": trace}))
        .collect();
    answer(&traces)
}

/// `debug_traceCall`
pub(super) fn call(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(3)?;
    let request = request(args)?;
    let id = args.required_block(1)?;
    let GethDebugTracingCallOptions {
        tracing_options,
        state_overrides,
        block_overrides,
        tx_index,
    } = args.optional(2)?.unwrap_or_default();
    let call = CallOptions {
        state_overrides,
        block_overrides: block_overrides.map(Box::new),
        ..shared.call_options()
    };
    let executor = &shared.node.executor;
    let limits = TraceLimits::default();
    let trace = match tx_index {
        None => {
            let (header, state) = shared.state(id)?;
            executor.trace_call(&header, state, &request, &call, tracing_options, limits)
        }
        Some(index) => {
            let block = existing(shared, id)?;
            let before = usize::try_from(index)
                .ok()
                .filter(|before| *before <= block.transactions.len())
                .ok_or_else(|| {
                    Fault::server(format!(
                        "transaction index {index} out of range for block {}",
                        block.hash
                    ))
                })?;
            executor.trace_call_within(
                before_block(shared, &block)?,
                &block,
                before,
                &request,
                &call,
                tracing_options,
                limits,
            )
        }
    };
    answer(&trace.map_err(fault)?)
}

fn options(args: &Args<'_>) -> Result<GethDebugTracingOptions, Fault> {
    Ok(args.optional(1)?.unwrap_or_default())
}

fn existing(shared: &Shared, id: BlockId) -> Result<Block, Fault> {
    shared.block(id)?.ok_or_else(|| {
        Fault::server(match id {
            BlockId::Hash(hash) => format!("block {} not found", hash.block_hash),
            BlockId::Number(BlockNumberOrTag::Number(number)) => {
                format!("block #{number} not found")
            }
            BlockId::Number(tag) => format!("block {tag} not found"),
        })
    })
}

/// The state a block's transactions began on.
fn before_block(shared: &Shared, block: &Block) -> Result<StateView, Fault> {
    let parent = block
        .header
        .number
        .checked_sub(1)
        .ok_or_else(|| Fault::server("genesis is not traceable"))?;
    shared.node.store.state(parent).map_err(store_fault)
}

fn trace(
    shared: &Shared,
    block: &Block,
    only: Option<usize>,
    options: GethDebugTracingOptions,
) -> Result<Vec<Traced>, Fault> {
    let state = before_block(shared, block)?;
    shared
        .node
        .executor
        .trace_block(state, block, only, options, TraceLimits::default())
        .map_err(fault)
}

fn fault(error: TraceError) -> Fault {
    match error {
        TraceError::Call(error) => worded(error, |reason, _| format!("tracing failed: {reason}")),
        TraceError::TooLarge(_) => Fault::limit(error.to_string()),
        TraceError::Replay { .. } | TraceError::Block(_) | TraceError::State(_) => {
            Fault::internal(error)
        }
        other => Fault::server(other.to_string()),
    }
}
