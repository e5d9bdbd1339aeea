//! `eth_getLogs`: blooms skip blocks, limits bound the work.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256};
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};
use serde::Deserialize as _;
use serde_json::Value;

use crate::context::{Answer, Shared, answer, store_fault};
use crate::convert;
use crate::error::Fault;
use crate::hexadecimal;
use crate::params::Args;

/// `eth_getLogs`
pub(super) fn get_logs(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(1)?;
    let filter = filter(args, 0)?;
    answer(&query(shared, &filter)?)
}

/// Most addresses of a filter, and most alternatives for one topic (geth's limit).
const MOST_ALTERNATIVES: usize = 1000;
/// Topics of a log.
const MOST_TOPICS: usize = 4;

/// The filter at `position`, which must be there and no larger than anybody needs.
pub(super) fn filter(args: &Args<'_>, position: usize) -> Result<Filter, Fault> {
    read(args.required(position)?, position)
}

/// As [`filter`]; absent means every log of new blocks.
pub(crate) fn optional_filter(args: &Args<'_>, position: usize) -> Result<Filter, Fault> {
    let given: Option<Value> = args.optional(position)?;
    given.map_or_else(|| Ok(Filter::default()), |given| read(given, position))
}

fn read(given: Value, position: usize) -> Result<Filter, Fault> {
    check_size(&given)?;
    let filter = Filter::deserialize(&given).map_err(|error| {
        let reason = complaint(&given).unwrap_or_else(|| error.to_string());
        Fault::invalid_params(format!("invalid argument {position}: {reason}"))
    })?;
    let tags = match filter.block_option {
        FilterBlockOption::Range {
            from_block,
            to_block,
        } => [from_block, to_block],
        FilterBlockOption::AtBlockHash(_) => [None; 2],
    };
    if tags.contains(&Some(BlockNumberOrTag::Pending)) {
        return Err(Fault::invalid_params("pending logs are not supported"));
    }
    Ok(filter)
}

fn check_size(given: &Value) -> Result<(), Fault> {
    let length = |list: &Value| list.as_array().map_or(0, Vec::len);
    if length(&given["topics"]) > MOST_TOPICS {
        return Err(Fault::server("exceed max topics"));
    }
    let topics = given["topics"].as_array().into_iter().flatten();
    if topics
        .chain([&given["address"]])
        .any(|list| length(list) > MOST_ALTERNATIVES)
    {
        return Err(Fault::server(
            "exceed max addresses or topics per search position",
        ));
    }
    Ok(())
}

/// What geth says of a filter that is none, as far as its addresses, topics or blocks are to blame.
fn complaint(given: &Value) -> Option<String> {
    let named = |member: &str| given.get(member).is_some_and(|value| !value.is_null());
    if named("blockHash") && (named("fromBlock") || named("toBlock")) {
        return Some(
            "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"
                .to_owned(),
        );
    }
    for member in ["fromBlock", "toBlock"] {
        if named(member)
            && let Err(error) = hexadecimal::tag(&given[member].to_string())
        {
            return Some(error);
        }
    }
    let address = match &given["address"] {
        Value::Null => None,
        Value::Array(list) => list.iter().enumerate().find_map(|(index, one)| match one {
            Value::String(text) => wrong_bytes(text, Address::len_bytes(), "address")
                .map(|error| format!("invalid address at index {index}: {error}")),
            _ => Some(format!("non-string address at index {index}")),
        }),
        Value::String(text) => wrong_bytes(text, Address::len_bytes(), "address")
            .map(|error| format!("invalid address: {error}")),
        _ => Some("invalid addresses in query".to_owned()),
    };
    let topic = |topic: &Value| match topic {
        Value::Null => None,
        Value::String(text) => wrong_bytes(text, B256::len_bytes(), "topic"),
        _ => Some("invalid topic(s)".to_owned()),
    };
    address.or_else(|| {
        given["topics"]
            .as_array()?
            .iter()
            .find_map(|one| match one {
                Value::Array(list) => list.iter().find_map(topic),
                one => topic(one),
            })
    })
}

fn wrong_bytes(text: &str, want: usize, name: &str) -> Option<String> {
    let bytes = match hexadecimal::bytes(text) {
        Ok(bytes) => bytes,
        Err(error) => return Some(error.to_owned()),
    };
    (bytes != want).then(|| {
        format!("hex has invalid length {bytes} after decoding; expected {want} for {name}")
    })
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
