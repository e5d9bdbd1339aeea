//! The RPC side of poll filters; the bookkeeping is in [`crate::filter`].

use alloy_primitives::{B256, U128};
use alloy_rpc_types_eth::{Filter, FilterBlockOption};
use serde_json::value::to_raw_value;

use super::logs::{check_range, filter, query, scan};
use crate::context::{Answer, Shared, answer, store_fault};
use crate::convert;
use crate::error::Fault;
use crate::filter::{Changes, FilterError, Kind};
use crate::params::Args;

/// Most blocks one poll looks through; the next poll goes on from there.
const BLOCKS_PER_POLL: u64 = 10_000;

/// `eth_newFilter`
pub(super) fn new_filter(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    let filter = filter(args, 0)?;
    check_range(&filter)?;
    install(shared, Kind::Logs(Box::new(filter)))
}

/// `eth_newBlockFilter`
pub(super) fn new_block_filter(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    install(shared, Kind::Blocks)
}

/// `eth_newPendingTransactionFilter`, with full transactions if the first parameter is `true`.
pub(super) fn new_pending_filter(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    install(
        shared,
        Kind::Pending {
            full: args.optional(0)?.unwrap_or(false),
        },
    )
}

fn install(shared: &Shared, kind: Kind) -> Answer {
    let head = shared.head().number;
    match shared.filters.lock().install(kind, head, shared.now()) {
        Ok(id) => answer(&id),
        Err(error @ FilterError::TooMany(_)) => Err(Fault::limit(error.to_string())),
        Err(error @ FilterError::NoRandomness) => Err(Fault::internal(error)),
    }
}

/// `eth_uninstallFilter`
pub(super) fn uninstall(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    let id = id(args)?;
    answer(&id.is_some_and(|id| shared.filters.lock().uninstall(&id)))
}

/// The filter at position 0; `None` where no filter can be called so.
fn id(args: &Args<'_>) -> Result<Option<U128>, Fault> {
    let text: String = args.required(0)?;
    Ok(serde_json::from_value(text.into()).ok())
}

fn not_found() -> Fault {
    Fault::server("filter not found")
}

/// `eth_getFilterChanges`
pub(super) fn changes(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    let id = id(args)?.ok_or_else(not_found)?;
    let head = shared.head().number;
    let changes = shared
        .filters
        .lock()
        .poll(&id, head, BLOCKS_PER_POLL, shared.now())
        .ok_or_else(not_found)?;
    match changes {
        Changes::Logs { filter, from, to } => {
            let (first, last) = bounds(&filter);
            let (logs, next) = scan(shared, &filter, from.max(first), to.min(last))?;
            if next <= to.min(last) {
                shared.filters.lock().resume_at(&id, next);
            }
            answer(&logs)
        }
        Changes::Blocks { from, to } => answer(&block_hashes(shared, from, to)?),
        Changes::Pending {
            hashes,
            full: false,
        } => answer(&hashes),
        Changes::Pending { hashes, full: true } => {
            let pool = shared.node.pool.lock();
            let waiting: Vec<_> = hashes.iter().filter_map(|hash| pool.get(hash)).collect();
            drop(pool);
            let transactions: Vec<_> = waiting
                .into_iter()
                .map(convert::pending_transaction)
                .collect();
            to_raw_value(&transactions).map_err(Fault::internal)
        }
    }
}

/// The block numbers a filter was given, as far as it was given numbers.
fn bounds(filter: &Filter) -> (u64, u64) {
    match filter.block_option {
        FilterBlockOption::Range { .. } => (
            filter.get_from_block().unwrap_or(0),
            filter.get_to_block().unwrap_or(u64::MAX),
        ),
        // One named block is never new.
        FilterBlockOption::AtBlockHash(_) => (u64::MAX, 0),
    }
}

fn block_hashes(shared: &Shared, from: u64, to: u64) -> Result<Vec<B256>, Fault> {
    let mut hashes = Vec::new();
    for number in from..=to {
        hashes.extend(shared.node.store.hash(number).map_err(store_fault)?);
    }
    Ok(hashes)
}

/// `eth_getFilterLogs`: everything the filter asks for, new or not.
pub(super) fn logs(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    let id = id(args)?.ok_or_else(not_found)?;
    let filter = shared
        .filters
        .lock()
        .log_filter(&id, shared.now())
        .ok_or_else(not_found)?;
    answer(&query(shared, &filter)?)
}
