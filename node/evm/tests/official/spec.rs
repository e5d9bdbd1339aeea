//! From a test's network to a chain specification, by way of geth's genesis form.

use std::sync::{Arc, OnceLock};

use alloy_eips::{eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS, eip7840::BlobParams};
use alloy_genesis::{ChainConfig, Genesis};
use alloy_primitives::U256;
use pars_engine::{Engine, GpuPolicy};
use pars_evm::{ChainSpec, Executor, ExecutorConfig, RunAhead};
use serde_json::Value;

use crate::json;

/// A block that no test's chain reaches.
const NEVER: u64 = 10_000_000;

type Switch = fn(&mut ChainConfig, u64);

/// Ethereum's forks in order, under every name the suites have for them, and how each is switched
/// on at a block or time.
const FORKS: [(&[&str], Switch); 23] = [
    (&["Frontier"], |_, _| {}),
    (&["Homestead"], |config, at| {
        config.homestead_block = Some(at);
    }),
    (&["Dao"], |config, at| {
        config.dao_fork_block = Some(at);
        config.dao_fork_support = true;
    }),
    (
        &["EIP150", "Tangerine", "TangerineWhistle"],
        |config, at| {
            config.eip150_block = Some(at);
        },
    ),
    (&["EIP158", "SpuriousDragon"], |config, at| {
        config.eip155_block = Some(at);
        config.eip158_block = Some(at);
    }),
    (&["Byzantium"], |config, at| {
        config.byzantium_block = Some(at);
    }),
    (&["Constantinople"], |config, at| {
        config.constantinople_block = Some(at);
        // With EIP-1283: without a block for Petersburg it would come along.
        config.petersburg_block = Some(NEVER);
    }),
    (&["ConstantinopleFix", "Petersburg"], |config, at| {
        config.petersburg_block = Some(at);
    }),
    (&["Istanbul"], |config, at| {
        config.istanbul_block = Some(at);
    }),
    (&["MuirGlacier", "EIP2384"], |config, at| {
        config.muir_glacier_block = Some(at);
    }),
    (&["Berlin"], |config, at| {
        config.berlin_block = Some(at);
    }),
    (&["London"], |config, at| {
        config.london_block = Some(at);
    }),
    (&["ArrowGlacier"], |config, at| {
        config.arrow_glacier_block = Some(at);
    }),
    (&["GrayGlacier"], |config, at| {
        config.gray_glacier_block = Some(at);
    }),
    (&["Paris", "Merge"], |config, at| {
        config.terminal_total_difficulty = Some(U256::ZERO);
        config.merge_netsplit_block = Some(at);
    }),
    (&["Shanghai"], |config, at| {
        config.shanghai_time = Some(at);
    }),
    (&["Cancun"], |config, at| {
        config.cancun_time = Some(at);
    }),
    (&["Prague"], |config, at| {
        config.prague_time = Some(at);
    }),
    (&["Osaka"], |config, at| {
        config.osaka_time = Some(at);
    }),
    (&["BPO1"], |config, at| {
        config.bpo1_time = Some(at);
    }),
    (&["BPO2"], |config, at| {
        config.bpo2_time = Some(at);
    }),
    (&["BPO3"], |config, at| {
        config.bpo3_time = Some(at);
    }),
    (&["BPO4"], |config, at| {
        config.bpo4_time = Some(at);
    }),
];

/// A fork that some chains went and others did not: no later one implies it.
const APART: &str = "Dao";

/// Forks whose rules nobody follows for good.
const NOT_RUN: [(&str, &str); 2] = [
    ("Amsterdam", "its rules are not final"),
    ("Bogota", "its rules are not final"),
];

/// Why nothing of a test is run; `None` where some of it is.
pub fn not_run(test: &Value) -> Option<&'static str> {
    if let Some(network) = test["network"].as_str() {
        return fork_not_run(network);
    }
    let forks = ["post", "result"]
        .iter()
        .find_map(|key| test[key].as_object())?;
    let mut reasons = forks.keys().map(|fork| fork_not_run(fork));
    let first = reasons.next()??;
    reasons.all(|reason| reason.is_some()).then_some(first)
}

/// Why tests of a network are not run; `None` where they are.
pub fn fork_not_run(network: &str) -> Option<&'static str> {
    let (start, end) = network.split_once("To").unwrap_or((network, ""));
    let end = end.split_once("At").map_or(end, |(fork, _)| fork);
    NOT_RUN
        .iter()
        .find(|(fork, _)| [start, end].contains(fork))
        .map(|(_, reason)| *reason)
}

/// The forks of a test's chain: those up to one from the start, and perhaps more from a moment on.
pub struct Network {
    first: usize,
    then: Option<(usize, When)>,
}

#[derive(Clone, Copy)]
enum When {
    /// At this block, or time, whichever the forks go by.
    At(u64),
    /// After the block whose total difficulty reaches this.
    Difficulty(U256),
}

impl Network {
    /// A fork's name, `AToBAt5`, `AToBAtTime15k` or `AToBAtDiffC0000`.
    pub fn parse(name: &str) -> Self {
        let position = |fork: &str| {
            FORKS
                .iter()
                .position(|(names, _)| names.contains(&fork))
                .unwrap_or_else(|| panic!("unknown network {name}"))
        };
        let Some((first, rest)) = name.split_once("To") else {
            return Self {
                first: position(name),
                then: None,
            };
        };
        let (second, when) = rest.split_once("At").expect("a moment");
        let when = if let Some(difficulty) = when.strip_prefix("Diff") {
            When::Difficulty(U256::from_str_radix(difficulty, 16).expect("hex digits"))
        } else {
            let when = when.trim_start_matches("Time");
            let thousands = when.strip_suffix('k');
            let number: u64 = thousands.unwrap_or(when).parse().expect("a number");
            When::At(number * if thousands.is_some() { 1000 } else { 1 })
        };
        Self {
            first: position(first),
            then: Some((position(second), when)),
        }
    }

    /// The total difficulty after which there is no more work.
    pub fn terminal_difficulty(&self) -> Option<U256> {
        match self.then {
            Some((_, When::Difficulty(difficulty))) => Some(difficulty),
            _ => None,
        }
    }

    /// `config` of the genesis file of a chain whose first block without work, where total
    /// difficulty decides on it, is `merge`.
    pub fn config(&self, test: &Value, merge: Option<u64>) -> ChainConfig {
        let mut config = ChainConfig {
            chain_id: match &test["config"]["chainid"] {
                Value::Null => 1,
                id => json::small(id),
            },
            deposit_contract_address: Some(MAINNET_DEPOSIT_CONTRACT_ADDRESS),
            ..ChainConfig::default()
        };
        for (index, (names, switch)) in FORKS.iter().enumerate() {
            let asked = |named: usize| index == named || index < named && !names.contains(&APART);
            let at = match self.then {
                _ if asked(self.first) => Some(0),
                Some((last, When::At(moment))) if asked(last) => Some(moment),
                Some((last, When::Difficulty(_))) if asked(last) => merge,
                _ => None,
            };
            if let Some(at) = at {
                switch(&mut config, at);
            }
        }
        if let Some(schedule) = test["config"]["blobSchedule"].as_object() {
            for (fork, values) in schedule {
                let max = json::small(&values["max"]);
                let params = BlobParams {
                    target_blob_count: json::small(&values["target"]),
                    max_blob_count: max,
                    update_fraction: json::number(&values["baseFeeUpdateFraction"]).to(),
                    max_blobs_per_tx: max,
                    ..BlobParams::cancun()
                };
                config.blob_schedule.insert(fork.to_lowercase(), params);
            }
        }
        config
    }
}

/// `config` of a genesis file for a network whose forks do not go by total difficulty.
pub fn config(network: &str, test: &Value) -> ChainConfig {
    Network::parse(network).config(test, None)
}

/// The specification of a genesis file.
pub fn spec(genesis: &Genesis) -> Arc<ChainSpec> {
    Arc::new(ChainSpec::from_genesis(genesis).unwrap())
}

/// An executor of that specification.
pub fn executor(spec: &Arc<ChainSpec>) -> Executor {
    executor_with(spec, RunAhead::default())
}

/// One that runs each transaction before its turn, and takes the outcome over where nothing speaks against it.
pub fn rehearsing(spec: &Arc<ChainSpec>) -> Executor {
    executor_with(spec, RunAhead::Before)
}

/// All on one engine.
fn executor_with(spec: &Arc<ChainSpec>, run_ahead: RunAhead) -> Executor {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| Engine::builder().gpu(GpuPolicy::Off).build().unwrap());
    let config = ExecutorConfig {
        run_ahead,
        ..ExecutorConfig::default()
    };
    Executor::with_config(Arc::clone(spec), engine.clone(), config)
}
