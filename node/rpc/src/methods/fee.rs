//! What a transaction should pay.

use alloy_consensus::{Header, ReceiptEnvelope, Transaction as _};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{U64, U256};
use alloy_rpc_types_eth::FeeHistory;
use pars_store::Block;

use crate::context::{Answer, Shared, answer, store_fault};
use crate::error::Fault;
use crate::params::Args;

/// Blocks the suggested tip looks back over (geth's default).
const TIP_BLOCKS: u64 = 20;
/// Cheapest transactions of a block that count as samples (geth's default).
const TIP_SAMPLES: usize = 3;
/// Percentile of the samples that is suggested (geth's default).
const TIP_PERCENTILE: usize = 60;
/// Suggested where nobody has paid a tip yet: 1 gwei.
const TIP_WITHOUT_SAMPLES: u64 = 1_000_000_000;
/// Most that is ever suggested: 500 gwei (geth's default).
const TIP_CEILING: u64 = 500_000_000_000;
/// Most blocks of one `eth_feeHistory` (geth's limit).
const HISTORY_BLOCKS: u64 = 1024;
/// Most percentiles of one `eth_feeHistory` (geth's limit).
const HISTORY_PERCENTILES: usize = 100;

/// `eth_gasPrice`: the base fee of the next block and the suggested tip.
pub(super) fn gas_price(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    let base_fee = shared.node.spec.next_base_fee(&shared.head().header);
    answer(&(suggested_tip(shared)? + U256::from(base_fee)))
}

/// `eth_maxPriorityFeePerGas`
pub(super) fn max_priority_fee(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    answer(&suggested_tip(shared)?)
}

/// `eth_baseFee`: that of the next block; `null` where it has none.
pub(super) fn base_fee(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    let fee = shared.node.spec.base_fee_after(&shared.head().header);
    answer(&fee.map(U64::from))
}

/// `eth_blobBaseFee`
pub(super) fn blob_base_fee(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    let head = shared.head().header;
    let excess = head.excess_blob_gas.unwrap_or(0);
    answer(&U256::from(blob_fee(shared, head.timestamp, excess)))
}

/// What a unit of blob gas costs in a block at `timestamp` (EIP-4844); nothing before Cancun. On
/// Pars, whose blocks have no blobs, it is always the least, 1 wei.
fn blob_fee(shared: &Shared, timestamp: u64, excess: u64) -> u128 {
    let params = shared.node.spec.blob_params(timestamp);
    params.map_or(0, |params| params.calc_blob_fee(excess))
}

/// The share of its blob gas that a block uses.
fn blob_ratio(shared: &Shared, header: &Header) -> f64 {
    let params = shared.node.spec.blob_params(header.timestamp);
    let limit = params.map_or(0, |params| params.max_blob_gas_per_block());
    ratio(header.blob_gas_used.unwrap_or(0), limit)
}

/// A tip that recent blocks took: computed once per head.
pub(super) fn suggested_tip(shared: &Shared) -> Result<U256, Fault> {
    let head = shared.head();
    if let Some((hash, tip)) = *shared.tip.lock()
        && hash == head.hash
    {
        return Ok(tip);
    }
    let mut samples = Vec::new();
    for number in (0..=head.number).rev().take(TIP_BLOCKS as usize) {
        let Some(block) = shared.node.store.block(number).map_err(store_fault)? else {
            break;
        };
        let base_fee = block.header.base_fee_per_gas.unwrap_or(0);
        let mut tips: Vec<u128> = block
            .transactions
            .iter()
            .filter_map(|transaction| transaction.effective_tip_per_gas(base_fee))
            .filter(|tip| *tip > 0)
            .collect();
        tips.sort_unstable();
        samples.extend(tips.into_iter().take(TIP_SAMPLES));
    }
    samples.sort_unstable();
    let position = samples.len().saturating_sub(1) * TIP_PERCENTILE / 100;
    let tip = samples
        .get(position)
        .copied()
        .unwrap_or_else(|| TIP_WITHOUT_SAMPLES.into());
    let tip = U256::from(tip.min(TIP_CEILING.into()));
    *shared.tip.lock() = Some((head.hash, tip));
    Ok(tip)
}

/// `eth_feeHistory`
pub(super) fn history(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(3)?;
    let count = args
        .required::<U64>(0)?
        .saturating_to::<u64>()
        .min(HISTORY_BLOCKS);
    let newest = args.tag(1)?;
    let percentiles = args.optional::<Vec<f64>>(2)?.unwrap_or_default();
    check_percentiles(&percentiles)?;

    let head = shared.head();
    // The block that would be built now may be the last one.
    let pending = match newest {
        BlockNumberOrTag::Pending => Some(shared.pending.get(&shared.node)?),
        _ => None,
    };
    let pending = pending
        .as_deref()
        .map(|built| (&built.block, &built.receipts));
    let newest = match newest {
        BlockNumberOrTag::Number(number) if number > head.number => {
            let text = format!(
                "request beyond head block: requested {number}, head {}",
                head.number
            );
            return Err(Fault::server(text));
        }
        tag => match pending {
            Some((block, _)) => block.header.number,
            None => shared
                .number_of(BlockId::Number(tag))?
                .unwrap_or(head.number),
        },
    };
    if count == 0 {
        return answer(&FeeHistory::default());
    }
    let oldest = (newest + 1).saturating_sub(count);

    let mut history = FeeHistory {
        oldest_block: oldest,
        ..FeeHistory::default()
    };
    let mut rewards = Vec::new();
    let mut last = None;
    for number in oldest..=newest {
        let built = pending.filter(|(block, _)| block.header.number == number);
        let header = match built {
            Some((block, _)) => block.header.clone(),
            None => {
                let header = shared.node.store.header(number).map_err(store_fault)?;
                header.ok_or_else(|| Fault::internal(format!("header {number} is missing")))?
            }
        };
        history
            .base_fee_per_gas
            .push(header.base_fee_per_gas.unwrap_or(0).into());
        let excess = header.excess_blob_gas.unwrap_or(0);
        history
            .base_fee_per_blob_gas
            .push(blob_fee(shared, header.timestamp, excess));
        history
            .gas_used_ratio
            .push(ratio(header.gas_used, header.gas_limit));
        history
            .blob_gas_used_ratio
            .push(blob_ratio(shared, &header));
        if !percentiles.is_empty() {
            rewards.push(match built {
                Some((block, receipts)) => rewards_in(block, receipts, &percentiles),
                None => rewards_of(shared, &header, &percentiles)?,
            });
        }
        last = Some(header);
    }
    if let Some(header) = last {
        history
            .base_fee_per_gas
            .push(shared.node.spec.next_base_fee(&header).into());
        let time = header.timestamp;
        let excess = shared.node.spec.excess_blob_gas_after(&header, time);
        history
            .base_fee_per_blob_gas
            .push(blob_fee(shared, time, excess.unwrap_or(0)));
    }
    history.reward = (!percentiles.is_empty()).then_some(rewards);
    answer(&history)
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), Fault> {
    if percentiles.len() > HISTORY_PERCENTILES {
        return Err(Fault::server(format!(
            "invalid reward percentile: over the query limit {HISTORY_PERCENTILES}"
        )));
    }
    for (index, value) in percentiles.iter().enumerate() {
        if !(0.0..=100.0).contains(value) {
            return Err(Fault::server(format!(
                "invalid reward percentile: {value:.6}"
            )));
        }
        if let Some(before) = index
            .checked_sub(1)
            .and_then(|index| percentiles.get(index))
            && value <= before
        {
            let text = format!(
                "invalid reward percentile: #{}:{before:.6} >= #{index}:{value:.6}",
                index - 1
            );
            return Err(Fault::server(text));
        }
    }
    Ok(())
}

fn ratio(used: u64, limit: u64) -> f64 {
    if limit == 0 {
        0.0
    } else {
        used as f64 / limit as f64
    }
}

/// The tips at these percentiles of the block's gas.
fn rewards_of(shared: &Shared, header: &Header, percentiles: &[f64]) -> Result<Vec<u128>, Fault> {
    if header.gas_used == 0 {
        return Ok(vec![0; percentiles.len()]);
    }
    let Some(block) = shared.block(header.number.into())? else {
        return Ok(vec![0; percentiles.len()]);
    };
    let receipts = shared.receipts(header.number)?;
    Ok(rewards_in(&block, &receipts, percentiles))
}

fn rewards_in(block: &Block, receipts: &[ReceiptEnvelope], percentiles: &[f64]) -> Vec<u128> {
    let base_fee = block.header.base_fee_per_gas.unwrap_or(0);
    let mut gas_before = 0;
    let mut tips = Vec::with_capacity(receipts.len());
    for (transaction, receipt) in block.transactions.iter().zip(receipts) {
        let gas_after = receipt.cumulative_gas_used();
        tips.push((
            transaction.effective_tip_per_gas(base_fee).unwrap_or(0),
            gas_after.saturating_sub(gas_before),
        ));
        gas_before = gas_after;
    }
    tips_at(tips, block.header.gas_used, percentiles)
}

/// From (tip, gas) of a block's transactions to the tip at each percentile of its gas.
fn tips_at(mut tips: Vec<(u128, u64)>, gas_used: u64, percentiles: &[f64]) -> Vec<u128> {
    tips.sort_unstable();
    let mut transactions = tips.iter();
    let mut current = transactions.next().copied().unwrap_or_default();
    let mut gas_so_far = current.1;
    percentiles
        .iter()
        .map(|percentile| {
            let threshold = (gas_used as f64 * percentile / 100.0) as u64;
            while gas_so_far < threshold {
                let Some(next) = transactions.next() else {
                    break;
                };
                current = *next;
                gas_so_far = gas_so_far.saturating_add(current.1);
            }
            current.0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_walk_the_gas_by_tip() {
        let tips = vec![(30, 10), (10, 80), (20, 10)];
        assert_eq!(
            tips_at(tips, 100, &[0.0, 50.0, 80.0, 81.0, 90.0, 90.5, 100.0]),
            [10, 10, 10, 20, 20, 20, 30]
        );
        assert_eq!(tips_at(Vec::new(), 0, &[5.0]), [0]);
    }

    #[test]
    fn percentiles_are_checked() {
        check_percentiles(&[0.0, 25.0, 100.0]).unwrap();
        for wrong in [
            &[-1.0][..],
            &[100.1],
            &[50.0, 40.0],
            &[25.0, 25.0],
            &[f64::NAN],
            &[1.0; 101],
        ] {
            assert_eq!(
                check_percentiles(wrong).unwrap_err().code(),
                -32000,
                "{wrong:?}"
            );
        }
    }
}
