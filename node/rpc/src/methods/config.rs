//! What the chain's rules are and what this node keeps: `eth_config`, `eth_capabilities`.

use std::collections::BTreeMap;

use alloy_eips::eip7840::BlobParams;
use alloy_eips::eip7910::{EthConfig, EthForkConfig, SystemContract};
use alloy_hardforks::{EthereumHardfork, EthereumHardforks as _, ForkCondition, ForkHash};
use alloy_primitives::{Address, B256, Bytes, U64};
use pars_evm::{BlockRules, ChainSpec};
use serde_json::{Value, json};

use crate::context::{Answer, Shared, answer, store_fault};
use crate::params::Args;

/// `eth_config` (EIP-7910): the rules of the newest block's fork, of the next, and of the last that
/// is scheduled.
pub(super) fn config(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    let node = &shared.node;
    let schedule = Schedule::of(&node.spec);
    let now = shared.head().header.timestamp;
    let current = schedule.times.iter().rev().find(|time| **time <= now);
    let later: Vec<_> = schedule.times.iter().filter(|time| **time > now).collect();
    let rules = |time: u64| {
        let precompiles = node.executor.precompile_names(time);
        schedule.config(&node.spec, time, precompiles)
    };
    answer(&EthConfig {
        current: rules(current.copied().unwrap_or_default()),
        next: later.first().map(|time| rules(**time)),
        last: later.last().map(|time| rules(**time)),
    })
}

/// When rules change, in order.
struct Schedule {
    /// Blocks at which a fork begins, after the first.
    blocks: Vec<u64>,
    /// Times at which one begins; 0 stands for the first block.
    times: Vec<u64>,
    genesis_time: u64,
}

impl Schedule {
    fn of(spec: &ChainSpec) -> Self {
        let genesis_time = spec.genesis_block.timestamp;
        let (mut blocks, mut times) = (Vec::new(), vec![0]);
        for fork in EthereumHardfork::VARIANTS {
            match spec.ethereum_fork_activation(*fork) {
                ForkCondition::Block(block) if block > 0 => blocks.push(block),
                ForkCondition::TTD {
                    fork_block: Some(block),
                    ..
                } if block > 0 => blocks.push(block),
                ForkCondition::Timestamp(time) if time > genesis_time => times.push(time),
                _ => {}
            }
        }
        for list in [&mut blocks, &mut times] {
            list.sort_unstable();
            list.dedup();
        }
        Self {
            blocks,
            times,
            genesis_time,
        }
    }

    /// Genesis and the forks up to `time` (EIP-6122). Those by number have all begun where one is by
    /// time.
    fn fork_hash(&self, genesis: B256, time: u64) -> ForkHash {
        let mut hash = ForkHash::from(genesis);
        let passed = self.times.iter().filter(|fork| (1..=time).contains(*fork));
        for fork in self.blocks.iter().chain(passed) {
            hash += *fork;
        }
        hash
    }

    fn config(
        &self,
        spec: &ChainSpec,
        time: u64,
        precompiles: BTreeMap<String, Address>,
    ) -> EthForkConfig {
        // Forks at the first block have its time.
        let at = time.max(self.genesis_time);
        EthForkConfig {
            activation_time: time,
            blob_schedule: spec.blob_params(at).unwrap_or_else(BlobParams::cancun),
            chain_id: spec.chain_id,
            fork_id: Bytes::copy_from_slice(&self.fork_hash(spec.genesis_hash(), time).0),
            precompiles,
            system_contracts: system_contracts(spec, at),
        }
    }
}

/// The contracts that blocks at `time` call themselves.
fn system_contracts(spec: &ChainSpec, time: u64) -> BTreeMap<SystemContract, Address> {
    let mut contracts = BTreeMap::new();
    match spec.rules {
        BlockRules::Pars => {
            let history = SystemContract::prague(None).into_iter();
            contracts.extend(history.filter(|(name, _)| *name == SystemContract::HistoryStorage));
        }
        BlockRules::Ethereum { deposit_contract } => {
            if spec.is_cancun_active_at_timestamp(time) {
                contracts.extend(SystemContract::cancun());
            }
            if spec.is_prague_active_at_timestamp(time) {
                contracts.extend(SystemContract::prague(deposit_contract));
            }
        }
    }
    contracts
}

/// `eth_capabilities` (ethereum/execution-apis 755): the oldest block for which each kind of
/// question is answered, and how that moves.
pub(super) fn capabilities(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(0)?;
    let store = &shared.node.store;
    let (kept, retention) = (store.kept().map_err(store_fault)?, store.retention());
    // After what is kept: it only moves towards the head.
    let head = shared.head();
    let blocks = kept_from(0, None);
    answer(&json!({
        "head": { "number": U64::from(head.number), "hash": head.hash },
        "blocks": blocks,
        "tx": blocks,
        "receipts": blocks,
        "logs": blocks,
        "state": kept_from(kept.oldest_state, retention.states),
        "stateproofs": kept_from(kept.oldest_proof, Some(retention.proofs)),
    }))
}

/// What is kept from block `oldest` on: for ever, or in a window of so many blocks before the head.
fn kept_from(oldest: u64, window: Option<u64>) -> Value {
    let mut kept = json!({ "disabled": false, "oldestBlock": U64::from(oldest) });
    if let Some(blocks) = window {
        kept["deleteStrategy"] = json!({ "type": "window", "retentionBlocks": U64::from(blocks) });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::b256;

    /// Ethereum's own (EIP-2124, and EIP-6122 for forks by time).
    #[test]
    fn forks_are_in_the_fork_hash() {
        let genesis = b256!("0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3");
        let (shanghai, cancun) = (1_681_338_455, 1_710_338_135);
        let schedule = Schedule {
            blocks: vec![
                1_150_000, 1_920_000, 2_463_000, 2_675_000, 4_370_000, 7_280_000, 9_069_000,
                9_200_000, 12_244_000, 12_965_000, 13_773_000, 15_050_000,
            ],
            times: vec![0, shanghai, cancun],
            genesis_time: 0,
        };
        let hash = |time| schedule.fork_hash(genesis, time).0;
        assert_eq!(hash(0), [0xf0, 0xaf, 0xd0, 0xe3]);
        assert_eq!(hash(shanghai), [0xdc, 0xe9, 0x6c, 0x2d]);
        assert_eq!(hash(cancun), [0x9f, 0x3d, 0x22, 0x54]);
    }

    #[test]
    fn a_network_that_starts_with_all_forks_has_one_set_of_rules() {
        let spec = ChainSpec::pars();
        let schedule = Schedule::of(&spec);
        assert_eq!(schedule.times, [0]);
        assert!(schedule.blocks.is_empty());
        let rules = schedule.config(&spec, 0, BTreeMap::new());
        assert_eq!(rules.chain_id, 6133);
        assert_eq!(rules.activation_time, 0);
        // EIP-2124: without forks it is the CRC-32 of the genesis hash.
        assert_eq!(rules.fork_id[..], ForkHash::from(spec.genesis_hash()).0);
        let names: Vec<_> = rules
            .system_contracts
            .keys()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, ["HISTORY_STORAGE_ADDRESS"]);
    }
}
