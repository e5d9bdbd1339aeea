//! `eth_getLogs`: blooms skip blocks, limits bound the work.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};

use crate::context::{Answer, Shared, answer, store_fault};
use crate::convert;
use crate::error::Fault;
use crate::params::Args;

/// `eth_getLogs`
pub(super) fn get_logs(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    let filter = args.required(0)?;
    check_size(&filter)?;
    answer(&query(shared, &filter)?)
}

/// Most addresses of a filter, and most alternatives for one topic (geth's limits).
const MOST_ALTERNATIVES: usize = 1000;

/// Refuses a filter that is larger than anybody needs.
pub(crate) fn check_size(filter: &Filter) -> Result<(), Fault> {
    if filter.address.len() > MOST_ALTERNATIVES {
        return Err(Fault::invalid_params(format!(
            "exceed max addresses: {MOST_ALTERNATIVES}"
        )));
    }
    if filter
        .topics
        .iter()
        .any(|topic| topic.len() > MOST_ALTERNATIVES)
    {
        return Err(Fault::invalid_params(format!(
            "exceed max topics: {MOST_ALTERNATIVES} a position"
        )));
    }
    Ok(())
}

/// Refuses a filter whose two block numbers are the wrong way round.
pub(super) fn check_range(filter: &Filter) -> Result<(), Fault> {
    filter
        .block_option
        .ensure_valid_block_range()
        .map_err(|_| reversed())
}

fn reversed() -> Fault {
    Fault::invalid_params("invalid block range params")
}

/// All logs that `filter` asks for, within the limits of the node.
pub(super) fn query(shared: &Shared, filter: &Filter) -> Result<Vec<Log>, Fault> {
    let (from, to) = match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let number = shared
                .number_of(hash.into())?
                .ok_or_else(|| Fault::server("unknown block"))?;
            (number, number)
        }
        FilterBlockOption::Range {
            from_block,
            to_block,
        } => {
            let head = shared.head().number;
            let number = |tag: Option<BlockNumberOrTag>| match tag.unwrap_or_default() {
                BlockNumberOrTag::Number(number) => number,
                BlockNumberOrTag::Earliest => 0,
                BlockNumberOrTag::Latest
                | BlockNumberOrTag::Safe
                | BlockNumberOrTag::Finalized
                | BlockNumberOrTag::Pending => head,
            };
            let (from, to) = (number(from_block), number(to_block));
            if from > to {
                return Err(reversed());
            }
            if to > head {
                return Err(Fault::invalid_params(
                    "block range extends beyond current head block",
                ));
            }
            (from, to)
        }
    };
    if to.saturating_sub(from) >= shared.config.max_log_blocks && from <= to {
        return Err(Fault::limit(format!(
            "query exceeds max block range {}",
            shared.config.max_log_blocks
        )));
    }
    let most = shared.config.max_logs;
    let mut logs = Vec::new();
    for number in from..=to {
        logs.extend(in_block(shared, filter, number)?);
        if logs.len() > most {
            return Err(Fault::limit(format!(
                "query returned more than {most} results; ask for fewer blocks at a time"
            )));
        }
    }
    Ok(logs)
}

/// The logs of blocks `from..=to`, stopping early after the block with which the result limit is
/// reached, and the first block not looked at.
pub(super) fn scan(
    shared: &Shared,
    filter: &Filter,
    from: u64,
    to: u64,
) -> Result<(Vec<Log>, u64), Fault> {
    let mut logs = Vec::new();
    let mut next = from;
    while next <= to && logs.len() < shared.config.max_logs {
        logs.extend(in_block(shared, filter, next)?);
        next += 1;
    }
    Ok((logs, next))
}

fn in_block(shared: &Shared, filter: &Filter, number: u64) -> Result<Vec<Log>, Fault> {
    let store = &shared.node.store;
    let Some(header) = store.header(number).map_err(store_fault)? else {
        return Ok(Vec::new());
    };
    if header.gas_used == 0 || !filter.matches_bloom(header.logs_bloom) {
        return Ok(Vec::new());
    }
    let Some(block) = shared.block(BlockId::number(number))? else {
        return Ok(Vec::new());
    };
    let receipts = shared.receipts(number)?;
    Ok(convert::matching_logs(&block, &receipts, filter))
}
