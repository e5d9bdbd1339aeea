//! Which blocks a simulation has, and what their headers begin with.

use alloy_consensus::{Header, constants::EMPTY_WITHDRAWALS};
use alloy_hardforks::EthereumHardforks as _;
use alloy_primitives::{B256, U256};

use super::{BlockCalls, SimulateError};
use crate::spec::{BlockRules, ChainSpec};

/// Most blocks of one simulation, as in geth.
const MAX_BLOCKS: u64 = 256;

/// Seconds between blocks of Ethereum where nothing else is said.
const ETHEREUM_SECONDS: u64 = 12;
/// Seconds between blocks of Pars where nothing else is said: the least that is after.
const PARS_SECONDS: u64 = 1;

/// A block to simulate.
pub(super) struct Planned {
    pub(super) number: u64,
    pub(super) timestamp: u64,
    pub(super) calls: BlockCalls,
}

/// The blocks of a simulation on `base`: in order, gaps filled with empty ones.
pub(super) fn plan(
    spec: &ChainSpec,
    base: &Header,
    blocks: Vec<BlockCalls>,
) -> Result<Vec<Planned>, SimulateError> {
    if blocks.is_empty() {
        return Err(SimulateError::Empty);
    }
    let step = match spec.rules {
        BlockRules::Pars => PARS_SECONDS,
        BlockRules::Ethereum { .. } => ETHEREUM_SECONDS,
    };
    let mut planned: Vec<Planned> = Vec::new();
    let (mut number, mut timestamp) = (base.number, base.timestamp);
    for calls in blocks {
        let wanted = calls
            .overrides
            .number
            .unwrap_or_else(|| U256::from(number) + U256::from(1));
        if wanted <= U256::from(number) {
            return Err(SimulateError::NumberOrder {
                number: wanted.saturating_to(),
                before: number,
            });
        }
        let last = U256::from(base.number) + U256::from(MAX_BLOCKS);
        let wanted = u64::try_from(wanted)
            .ok()
            .filter(|wanted| U256::from(*wanted) <= last)
            .ok_or(SimulateError::TooManyBlocks)?;
        while number + 1 < wanted {
            number += 1;
            timestamp = timestamp.saturating_add(step);
            planned.push(Planned {
                number,
                timestamp,
                calls: BlockCalls::default(),
            });
        }
        let time = calls
            .overrides
            .time
            .unwrap_or_else(|| timestamp.saturating_add(step));
        if time <= timestamp {
            return Err(SimulateError::TimeOrder {
                time,
                before: timestamp,
            });
        }
        (number, timestamp) = (wanted, time);
        planned.push(Planned {
            number,
            timestamp,
            calls,
        });
    }
    Ok(planned)
}

/// What the header of a simulated block is before its calls are made.
pub(super) fn header(
    spec: &ChainSpec,
    parent: &Header,
    parent_hash: B256,
    planned: &Planned,
    validation: bool,
) -> Header {
    let overrides = &planned.calls.overrides;
    let (number, timestamp) = (planned.number, planned.timestamp);
    let cancun = spec.is_cancun_active_at_timestamp(timestamp);
    let base_fee = match overrides.base_fee {
        Some(fee) => Some(fee.saturating_to()),
        // Without validation a call need not pay anything.
        None if !validation => Some(0),
        None => spec.base_fee_after(parent),
    };
    Header {
        parent_hash,
        number,
        timestamp,
        beneficiary: overrides.coinbase.unwrap_or(parent.beneficiary),
        difficulty: overrides.difficulty.unwrap_or(parent.difficulty),
        gas_limit: overrides.gas_limit.unwrap_or(parent.gas_limit),
        mix_hash: overrides.random.unwrap_or_default(),
        base_fee_per_gas: base_fee.filter(|_| spec.is_london_active_at_block(number)),
        withdrawals_root: spec
            .is_shanghai_active_at_timestamp(timestamp)
            .then_some(EMPTY_WITHDRAWALS),
        parent_beacon_block_root: cancun.then(|| overrides.beacon_root.unwrap_or_default()),
        excess_blob_gas: spec
            .excess_blob_gas_after(parent, timestamp)
            .filter(|_| cancun),
        blob_gas_used: cancun.then_some(0),
        ..Header::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_rpc_types_eth::BlockOverrides;

    fn block(number: Option<u64>, time: Option<u64>) -> BlockCalls {
        BlockCalls {
            overrides: BlockOverrides {
                number: number.map(U256::from),
                time,
                ..BlockOverrides::default()
            },
            ..BlockCalls::default()
        }
    }

    fn planned(blocks: Vec<BlockCalls>) -> Result<Vec<(u64, u64)>, SimulateError> {
        let base = Header {
            number: 10,
            timestamp: 100,
            ..Header::default()
        };
        let planned = plan(&ChainSpec::pars(), &base, blocks)?;
        Ok(planned
            .iter()
            .map(|block| (block.number, block.timestamp))
            .collect())
    }

    #[test]
    fn gaps_are_filled_and_times_move_on() {
        assert_eq!(
            planned(vec![
                block(None, None),
                block(Some(14), None),
                block(None, Some(500))
            ])
            .unwrap(),
            [(11, 101), (12, 102), (13, 103), (14, 104), (15, 500)]
        );
    }

    #[test]
    fn what_is_out_of_order_or_too_much_is_refused() {
        assert!(matches!(planned(vec![]), Err(SimulateError::Empty)));
        assert!(matches!(
            planned(vec![block(Some(10), None)]),
            Err(SimulateError::NumberOrder {
                number: 10,
                before: 10
            })
        ));
        assert!(matches!(
            planned(vec![block(None, Some(100))]),
            Err(SimulateError::TimeOrder {
                time: 100,
                before: 100
            })
        ));
        // Filled blocks take their time too.
        assert!(matches!(
            planned(vec![block(Some(14), Some(103))]),
            Err(SimulateError::TimeOrder {
                time: 103,
                before: 103
            })
        ));
        assert_eq!(planned(vec![block(Some(266), None)]).unwrap().len(), 256);
        for number in [267, u64::MAX] {
            assert!(matches!(
                planned(vec![block(Some(number), None)]),
                Err(SimulateError::TooManyBlocks)
            ));
        }
        let mut beyond = block(None, None);
        beyond.overrides.number = Some(U256::MAX);
        assert!(matches!(
            planned(vec![beyond]),
            Err(SimulateError::TooManyBlocks)
        ));
    }
}
