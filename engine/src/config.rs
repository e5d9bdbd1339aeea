//! Settings of an engine.

use std::path::PathBuf;
use std::time::Duration;

/// Which adapters the engine may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GpuPolicy {
    /// Real hardware: discrete, integrated and virtual GPUs.
    #[default]
    Auto,
    /// Software adapters as well. They are for tests: slower than the CPU path.
    Any,
    /// None; the engine does not even look for a driver.
    Off,
    /// Only adapters whose name contains this text, letter case aside; software adapters too.
    Named(String),
}

impl std::fmt::Display for GpuPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto (hardware adapters)"),
            Self::Any => f.write_str("any (software adapters too)"),
            Self::Off => f.write_str("off"),
            Self::Named(name) => write!(f, "adapters named {name:?}"),
        }
    }
}

/// How a batch finds its back end. Never changes an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routing {
    /// Where it is done first, by the costs measured at the self-test.
    #[default]
    Measured,
    /// To a device whenever one is ready, however slow. For tests and measurements.
    PreferDevice,
}

/// Where the engine keeps what it has measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CacheFolder {
    /// The folder `pars` among this user's caches.
    User,
    At(PathBuf),
    Nowhere,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) gpu: GpuPolicy,
    pub(crate) routing: Routing,
    pub(crate) max_batch: usize,
    pub(crate) max_wait: Duration,
    pub(crate) queue_jobs: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) cpu_threads: usize,
    /// Of this machine.
    pub(crate) cores: usize,
    pub(crate) gpu_timeout: Duration,
    pub(crate) audit_per_batch: usize,
    pub(crate) audit_share: f64,
    pub(crate) confirm: bool,
    pub(crate) device_retries: u32,
    pub(crate) device_pause: Duration,
    pub(crate) key_cache_bytes: usize,
    pub(crate) queue_work: Duration,
    pub(crate) caller_jobs: usize,
    pub(crate) share_identical: bool,
    pub(crate) cache_folder: CacheFolder,
    pub(crate) gpu_memory: u64,
    pub(crate) max_batch_time: Duration,
    pub(crate) gpu_key_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            gpu: GpuPolicy::Auto,
            routing: Routing::Measured,
            max_batch: 8_192,
            max_wait: Duration::ZERO,
            queue_jobs: 65_536,
            queue_bytes: 512 << 20,
            cpu_threads: cores,
            cores,
            gpu_timeout: Duration::from_secs(10),
            audit_per_batch: 1,
            audit_share: 0.001,
            confirm: true,
            device_retries: 5,
            device_pause: Duration::from_secs(1),
            key_cache_bytes: crate::keys::DEFAULT_BYTES,
            queue_work: Duration::from_secs(60),
            caller_jobs: usize::MAX,
            share_identical: true,
            cache_folder: CacheFolder::User,
            gpu_memory: 2 << 30,
            max_batch_time: Duration::from_millis(100),
            gpu_key_bytes: 64 << 20,
        }
    }
}
