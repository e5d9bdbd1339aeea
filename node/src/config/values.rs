//! From the keys of a configuration to what the parts of the node are told.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pars_engine::GpuPolicy;
use pars_evm::ChainSpec;
use pars_pool::PoolConfig;
use pars_rpc::{Cors, RpcConfig};
use pars_store::{Retention, StoreOptions};

use super::{Blocks, Config, ConfigError, History, Pool, Rpc, SenderRecovery};
use crate::node::default_ipc_path;
use crate::{EngineConfig, NodeConfig, Pace, ProducerConfig};

impl Config {
    /// The chain that the keys name.
    ///
    /// # Errors
    /// For an unknown network, and for a genesis file that cannot be read or used.
    pub fn spec(&self) -> Result<ChainSpec, ConfigError> {
        if self.genesis.is_empty() {
            return ChainSpec::from_name(&self.network).map_err(|error| ConfigError::Value {
                origin: super::Origin::Default,
                key: "network".to_owned(),
                problem: format!("cannot be used: {error}"),
            });
        }
        genesis_file(Path::new(&self.genesis))
    }

    /// Everything that a node is told.
    ///
    /// # Errors
    /// As [`Config::spec`] and [`Config::data_dir`].
    pub fn node(&self) -> Result<NodeConfig, ConfigError> {
        let mut node = NodeConfig::new(self.spec()?);
        node.data_dir = Some(self.data_dir()?);
        node.store = self.store_options();
        node.rpc = rpc(&self.rpc);
        node.rpc.ipc = match (self.rpc.ipc, self.rpc.ipc_path.as_str()) {
            (false, _) => None,
            (true, "") => node.data_dir.as_deref().and_then(default_ipc_path),
            (true, path) => Some(PathBuf::from(path)),
        };
        node.pool = pool(&self.pool, node.pool);
        if self.rpc.allow_secret_calls {
            node.pool.guard = None;
        }
        node.journal_bytes = self.pool.journal.then_some(self.pool.journal_max_bytes);
        node.producer = producer(&self.blocks);
        node.engine = EngineConfig {
            gpu: gpu_policy(&self.engine.gpu),
            cpu_threads: (self.engine.cpu_threads > 0).then_some(self.engine.cpu_threads),
            queue_jobs: Some(self.engine.queue_jobs),
            queue_bytes: Some(self.engine.queue_bytes),
            sender_recovery: match self.engine.sender_recovery {
                SenderRecovery::Batched => pars_evm::SenderRecovery::Batched,
                SenderRecovery::Single => pars_evm::SenderRecovery::Single,
            },
        };
        let metrics = &self.metrics;
        node.metrics = metrics
            .enabled
            .then(|| SocketAddr::new(metrics.address, metrics.port));
        Ok(node)
    }
}

impl Config {
    /// What the store is told.
    pub fn store_options(&self) -> StoreOptions {
        let options = StoreOptions {
            retention: self.history.retention(),
            ..StoreOptions::default()
        };
        options.with_caches(mebibytes(self.store.cache_mb))
    }
}

/// So many MiB in bytes.
pub(crate) fn mebibytes(count: u32) -> usize {
    usize::try_from(u64::from(count) << 20).unwrap_or(usize::MAX)
}

impl History {
    /// What the store is told to keep.
    pub fn retention(&self) -> Retention {
        Retention {
            states: (!self.archive).then_some(self.states),
            proofs: self.proofs,
        }
    }
}

/// A chain from a genesis file in geth's JSON form.
fn genesis_file(path: &Path) -> Result<ChainSpec, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    let wrong = |problem: String| ConfigError::Genesis {
        path: path.to_owned(),
        problem,
    };
    let genesis = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("not a genesis file in geth's form: {error}")))?;
    ChainSpec::from_genesis(&genesis).map_err(|error| wrong(error.to_string()))
}

/// Which adapters a word means: `auto`, `any`, `off`, or part of a name.
pub(crate) fn gpu_policy(word: &str) -> GpuPolicy {
    match word {
        "" | "auto" => GpuPolicy::Auto,
        "any" => GpuPolicy::Any,
        "off" => GpuPolicy::Off,
        name => GpuPolicy::Named(name.to_owned()),
    }
}

fn rpc(keys: &Rpc) -> RpcConfig {
    let cors = match keys.cors.as_slice() {
        [] => Cors::Off,
        list if list.iter().any(|origin| origin == "*") => Cors::Any,
        list => Cors::Origins(list.to_vec()),
    };
    RpcConfig {
        address: SocketAddr::new(keys.address, keys.port),
        cors,
        hosts: keys.hosts.clone(),
        max_request_bytes: keys.max_request_bytes,
        max_response_bytes: keys.max_response_bytes,
        max_batch: keys.max_batch,
        max_connections: keys.max_connections,
        max_subscriptions: keys.max_subscriptions,
        max_in_flight: keys.max_in_flight,
        client_connections: keys.client_connections,
        client_requests_per_second: keys.client_requests_per_second,
        client_in_flight: keys.client_in_flight,
        limit_loopback: keys.limit_loopback,
        request_timeout: Duration::from_secs(keys.request_timeout_seconds),
        idle_timeout: Duration::from_secs(keys.idle_timeout_seconds),
        slow_subscriber: Duration::from_secs(keys.slow_subscriber_seconds),
        call_gas_cap: keys.call_gas_cap,
        call_timeout: Duration::from_secs(keys.call_timeout_seconds),
        max_log_blocks: keys.max_log_blocks,
        max_logs: keys.max_logs,
        max_filters: keys.max_filters,
        testing: keys.testing,
        ..RpcConfig::default()
    }
}

fn pool(keys: &Pool, usual: PoolConfig) -> PoolConfig {
    PoolConfig {
        max_transactions: keys.max_transactions,
        max_bytes: keys.max_bytes,
        max_per_sender: keys.max_per_sender,
        max_waiting_per_sender: keys.max_waiting_per_sender,
        max_transaction_bytes: keys.max_transaction_bytes,
        min_priority_fee: u128::from(keys.min_priority_fee),
        replacement_percent: u128::from(keys.replacement_percent),
        ..usual
    }
}

/// Least time between two blocks at a fixed beat.
const LEAST_INTERVAL: Duration = Duration::from_millis(50);

fn producer(keys: &Blocks) -> ProducerConfig {
    let ms = Duration::from_millis;
    let pace = if keys.interval_ms > 0 {
        Pace::Every(ms(keys.interval_ms).max(LEAST_INTERVAL))
    } else {
        Pace::OnWork {
            gather: ms(keys.gather_ms),
            spacing: ms(keys.spacing_ms),
            heartbeat: (keys.heartbeat_ms > 0).then(|| ms(keys.heartbeat_ms).max(LEAST_INTERVAL)),
        }
    };
    ProducerConfig {
        pace,
        beneficiary: keys.beneficiary,
        time_budget: ms(keys.time_budget_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layers, Origin};

    /// The file of defaults and the defaults of the parts are the same, but for what a daemon does
    /// differently: no browser may call, a socket for programs here, and a heartbeat.
    #[test]
    fn the_defaults_are_those_of_the_parts() {
        let mut layers = Layers::default();
        layers
            .set("data_dir", "x", Origin::Flag("test".to_owned()))
            .unwrap();
        let node = layers.finish().unwrap().node().unwrap();
        let usual = NodeConfig::new(ChainSpec::pars());
        let rpc = RpcConfig {
            cors: Cors::Off,
            ipc: Some(PathBuf::from("x/parsd.ipc")),
            ..usual.rpc
        };
        assert_eq!(format!("{:?}", node.rpc), format!("{rpc:?}"));
        assert_eq!(format!("{:?}", node.pool), format!("{:?}", usual.pool));
        assert_eq!(node.journal_bytes, usual.journal_bytes);
        assert_eq!(
            format!("{:?}", node.engine.sender_recovery),
            format!("{:?}", usual.engine.sender_recovery)
        );
        assert_eq!(node.store, usual.store);
        assert_eq!(node.producer.time_budget, usual.producer.time_budget);
        assert_eq!(node.producer.beneficiary, usual.producer.beneficiary);
        let Pace::OnWork {
            gather, spacing, ..
        } = usual.producer.pace
        else {
            panic!("blocks come on work");
        };
        assert_eq!(
            node.producer.pace,
            Pace::OnWork {
                gather,
                spacing,
                heartbeat: Some(Duration::from_secs(5)),
            }
        );
        assert_eq!(node.spec.chain_id, 6133);
        let metrics = node.metrics.map(|address| address.to_string());
        assert_eq!(metrics.as_deref(), Some(crate::metrics::DEFAULT_ADDRESS));
    }

    #[test]
    fn the_memory_of_caches_is_what_the_keys_say() {
        let mut layers = Layers::default();
        layers
            .set("store.cache_mb", "41", Origin::Flag("--cache".to_owned()))
            .unwrap();
        layers
            .set("history.proofs", "7", Origin::Flag("test".to_owned()))
            .unwrap();
        let options = layers.finish().unwrap().store_options();
        assert_eq!(options.cache_bytes(), 41 << 20);
        assert_eq!(options.node_cache_bytes, 16 << 20);
        assert_eq!(options.retention.proofs, 7);
    }

    #[test]
    fn a_genesis_file_names_its_chain_or_says_why_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.json");
        let mut layers = Layers::default();
        layers
            .set(
                "genesis",
                path.to_str().unwrap(),
                Origin::Flag("--genesis".to_owned()),
            )
            .unwrap();
        let config = layers.finish().unwrap();
        assert!(matches!(config.spec(), Err(ConfigError::Read { .. })));
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(config.spec(), Err(ConfigError::Genesis { .. })));
        let genesis = serde_json::to_string(&ChainSpec::pars_testnet().to_genesis()).unwrap();
        std::fs::write(&path, genesis).unwrap();
        assert_eq!(config.spec().unwrap().chain_id, 6134);
        assert!(config.data_dir().unwrap().ends_with("pars/mine"));
    }
}
