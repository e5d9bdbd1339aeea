//! The configuration of `parsd`: a file, the environment and flags, laid over defaults that are
//! themselves a file.
//!
//! [`DEFAULT`] is that file: what `parsd config default` prints is what is used.

mod layers;
mod values;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use layers::{Layers, Origin};
pub(crate) use values::{gpu_policy, mebibytes};

/// Every key with its default and what it means, in TOML.
pub const DEFAULT: &str = include_str!("default.toml");

/// Name of the configuration file in a data folder.
pub const FILE_NAME: &str = "pars.toml";

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{path} is not TOML: {source}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A key that does not exist.
    #[error("{origin}: there is no key `{key}`{hint}; `parsd config default` lists them all", hint = hint(near))]
    UnknownKey {
        /// Who names it.
        origin: Origin,
        /// The key as it was written.
        key: String,
        /// A key that is spelt nearly so.
        near: Option<String>,
    },
    /// A value that does not fit its key.
    #[error("{origin}: `{key}` {problem}")]
    Value {
        /// Who sets it.
        origin: Origin,
        /// The key.
        key: String,
        /// What is wrong with the value, as the end of a sentence.
        problem: String,
    },
    /// A genesis file that cannot be used.
    #[error("{path}: {problem}", path = path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// No data folder was given, and there is no home to put one in.
    #[error("there is no home folder to keep the chain in; name a folder with --data-dir")]
    NoHome,
}

fn hint(near: &Option<String>) -> String {
    near.as_ref()
        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// What `parsd` is told, every key filled in. The keys are described in [`DEFAULT`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml says what each key means")]
pub struct Config {
    pub network: String,
    pub genesis: String,
    pub data_dir: String,
    pub history: History,
    pub store: Store,
    pub rpc: Rpc,
    pub pool: Pool,
    pub blocks: Blocks,
    pub engine: Engine,
    pub metrics: Metrics,
    pub log: Log,
}

/// Keys of `[history]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml says what each key means")]
pub struct History {
    pub archive: bool,
    pub states: u64,
    pub proofs: u64,
}

/// Keys of `[store]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml says what each key means")]
pub struct Store {
    pub cache_mb: u32,
}

/// Keys of `[rpc]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml says what each key means")]
pub struct Rpc {
    pub address: IpAddr,
    pub port: u16,
    pub ipc: bool,
    pub ipc_path: String,
    pub cors: Vec<String>,
    pub hosts: Vec<String>,
    pub max_request_bytes: u32,
    pub max_response_bytes: u32,
    pub max_batch: u32,
    pub max_connections: usize,
    pub max_subscriptions: u32,
    pub max_in_flight: usize,
    pub client_connections: usize,
    pub client_requests_per_second: u32,
    pub client_in_flight: usize,
    pub limit_loopback: bool,
    pub request_timeout_seconds: u64,
    pub idle_timeout_seconds: u64,
    pub slow_subscriber_seconds: u64,
    pub call_gas_cap: u64,
    pub call_timeout_seconds: u64,
    pub max_log_blocks: u64,
    pub max_logs: usize,
    pub max_filters: usize,
    pub testing: bool,
    pub allow_secret_calls: bool,
}

/// Keys of `[pool]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml says what each key means")]
pub struct Pool {
    pub max_transactions: usize,
    pub max_bytes: usize,
    pub max_per_sender: usize,
    pub max_waiting_per_sender: usize,
    pub max_transaction_bytes: usize,
    pub min_priority_fee: u64,
    pub replacement_percent: u16,
    pub journal: bool,
    pub journal_max_bytes: u64,
}

/// Keys of `[blocks]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml says what each key means")]
pub struct Blocks {
    pub beneficiary: alloy_primitives::Address,
    pub interval_ms: u64,
    pub heartbeat_ms: u64,
    pub gather_ms: u64,
    pub spacing_ms: u64,
    pub time_budget_ms: u64,
}

/// Keys of `[engine]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml says what each key means")]
pub struct Engine {
    pub gpu: String,
    pub cpu_threads: usize,
    pub queue_jobs: usize,
    pub queue_bytes: usize,
    pub sender_recovery: SenderRecovery,
}

/// How senders are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SenderRecovery {
    /// In batches by the engine.
    Batched,
    /// One by one.
    Single,
}

/// Keys of `[metrics]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml says what each key means")]
pub struct Metrics {
    pub enabled: bool,
    pub address: IpAddr,
    pub port: u16,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// Keys of `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml says what each key means")]
pub struct Log {
    pub format: LogFormat,
    pub filter: String,
}

impl Config {
    /// The folder of the chain: `data_dir`, or the usual place for this network.
    ///
    /// # Errors
    /// [`ConfigError::NoHome`] if none is set and the system knows no home folder.
    pub fn data_dir(&self) -> Result<PathBuf, ConfigError> {
        if self.data_dir.is_empty() {
            Ok(default_data_root()?.join(self.folder_name()))
        } else {
            Ok(PathBuf::from(&self.data_dir))
        }
    }

    /// The network's name, or the genesis file's without folder and ending.
    fn folder_name(&self) -> PathBuf {
        let name = if self.genesis.is_empty() {
            Path::new(&self.network).file_name()
        } else {
            Path::new(&self.genesis).file_stem()
        };
        name.map_or_else(|| PathBuf::from("chain"), PathBuf::from)
    }
}

/// The folder that holds a folder for each network.
pub(crate) fn default_data_root() -> Result<PathBuf, ConfigError> {
    let set = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    set("XDG_DATA_HOME")
        .or_else(|| Some(std::env::home_dir()?.join(".local/share")))
        .map(|root| root.join("pars"))
        .ok_or(ConfigError::NoHome)
}
