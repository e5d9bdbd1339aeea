//! From a test's network to a chain specification, by way of geth's genesis form.

use std::sync::{Arc, OnceLock};

use alloy_eips::{eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS, eip7840::BlobParams};
use alloy_genesis::{ChainConfig, Genesis};
use alloy_primitives::U256;
use pars_engine::{Engine, GpuPolicy};
use pars_evm::{ChainSpec, Executor};
use serde_json::Value;

use crate::json;

/// Ethereum's forks in order, under every name the suites have for them.
const FORKS: [&[&str]; 19] = [
    &["Frontier"],
    &["Homestead"],
    &["EIP150", "Tangerine"],
    &["EIP158", "SpuriousDragon"],
    &["Byzantium"],
    &["Constantinople"],
    &["ConstantinopleFix", "Petersburg"],
    &["Istanbul"],
    &["Berlin"],
    &["London"],
    &["Paris", "Merge"],
    &["Shanghai"],
    &["Cancun"],
    &["Prague"],
    &["Osaka"],
    &["BPO1"],
    &["BPO2"],
    &["BPO3"],
    &["BPO4"],
];

/// Position of a fork in time.
pub fn position(name: &str) -> Option<usize> {
    FORKS.iter().position(|names| names.contains(&name))
}

/// `config` of a genesis file for a network: a fork's name, or `AToBAtTime15k`.
pub fn config(network: &str, test: &Value) -> ChainConfig {
    let (first, then) = match network.split_once("To") {
        Some((first, rest)) => {
            let (second, time) = rest.split_once("AtTime").expect("a time");
            let thousands: u64 = time.trim_end_matches('k').parse().expect("thousands");
            (
                first,
                Some((position(second).expect("a fork"), thousands * 1000)),
            )
        }
        None => (network, None),
    };
    let first = position(first).unwrap_or_else(|| panic!("unknown network {network}"));
    let mut config = ChainConfig {
        chain_id: test["config"]["chainid"]
            .as_str()
            .map_or(1, |_| json::small(&test["config"]["chainid"])),
        deposit_contract_address: Some(MAINNET_DEPOSIT_CONTRACT_ADDRESS),
        ..ChainConfig::default()
    };
    let at = |index: usize| {
        if index <= first {
            Some(0)
        } else {
            then.filter(|(last, _)| index <= *last)
                .map(|(_, time)| time)
        }
    };
    config.homestead_block = at(1);
    config.eip150_block = at(2);
    config.eip155_block = at(3);
    config.eip158_block = at(3);
    config.byzantium_block = at(4);
    config.constantinople_block = at(5);
    config.petersburg_block = at(6);
    config.istanbul_block = at(7);
    config.berlin_block = at(8);
    config.london_block = at(9);
    config.terminal_total_difficulty = at(10).map(|_| U256::ZERO);
    config.shanghai_time = at(11);
    config.cancun_time = at(12);
    config.prague_time = at(13);
    config.osaka_time = at(14);
    config.bpo1_time = at(15);
    config.bpo2_time = at(16);
    config.bpo3_time = at(17);
    config.bpo4_time = at(18);
    if let Some(schedule) = test["config"]["blobSchedule"].as_object() {
        for (fork, values) in schedule {
            let params = BlobParams {
                target_blob_count: json::small(&values["target"]),
                max_blob_count: json::small(&values["max"]),
                update_fraction: json::number(&values["baseFeeUpdateFraction"]).to(),
                max_blobs_per_tx: json::small(&values["max"]),
                ..BlobParams::cancun()
            };
            config.blob_schedule.insert(fork.to_lowercase(), params);
        }
    }
    config
}

/// The specification of a genesis file.
pub fn spec(genesis: &Genesis) -> Arc<ChainSpec> {
    Arc::new(ChainSpec::from_genesis(genesis).unwrap())
}

/// An executor of that specification, all on one engine.
pub fn executor(spec: &Arc<ChainSpec>) -> Executor {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| Engine::builder().gpu(GpuPolicy::Off).build().unwrap());
    Executor::new(Arc::clone(spec), engine.clone())
}
