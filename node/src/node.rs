//! A whole node: the parts, wired, started and stopped in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use pars_engine::{EcdsaRecover, Engine, GpuPolicy};
use pars_evm::{ChainSpec, Executor, ExecutorConfig, SenderRecovery};
use pars_pool::{Guard, Journal, JournalError, Pool, PoolConfig};
use pars_precompiles::Registry;
use pars_rpc::{RpcConfig, RpcContext, RpcError, RpcHandle};
use pars_store::{Store, StoreError, StoreOptions, backend::memory::Memory};
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinHandle;

use crate::monitor::{Monitor, MonitorError, Watched};
use crate::producer::{self, ProducerConfig, ProducerError};
use crate::vm::Vm;

/// Most bytes of the pool's journal, as many as the pool's own.
const JOURNAL_BYTES: u64 = 128 << 20;
/// Events that a subscriber may fall behind before its connection is closed.
const EVENT_BACKLOG: usize = 16_384;
/// The pool's journal inside the data directory.
const JOURNAL_FILE: &str = "transactions.journal";
/// The IPC socket inside the data directory.
const IPC_FILE: &str = "parsd.ipc";
/// Bytes of a path that a socket can have everywhere; Linux takes 107, macOS 103.
const LONGEST_IPC_PATH: usize = 96;
/// The store's folder inside the data directory.
const CHAIN_FOLDER: &str = "chain";

/// Everything a node can be told.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The chain's rules and its first state.
    pub spec: ChainSpec,
    /// Where blocks and state are kept; `None` keeps them in memory and forgets them at the end.
    pub data_dir: Option<PathBuf>,
    /// How much of the past is kept, and the sizes of the store's caches.
    pub store: StoreOptions,
    /// The RPC server.
    pub rpc: RpcConfig,
    /// The compute engine.
    pub engine: EngineConfig,
    /// Bounds of the transaction pool. By default its guard refuses calls that would publish a secret
    /// key in calldata.
    pub pool: PoolConfig,
    /// Most bytes of the journal that brings the pool's transactions over a restart; `None` for no
    /// journal. A node in memory has none.
    pub journal_bytes: Option<u64>,
    /// The embedded validator.
    pub producer: ProducerConfig,
    /// Where metrics and health are served; `None` for nowhere. Port 0 takes any free port.
    pub metrics: Option<SocketAddr>,
}

/// What the compute engine is told; `None` leaves the choice to it.
#[derive(Debug, Clone, Default)]
pub struct EngineConfig {
    /// Which adapters it may use.
    pub gpu: GpuPolicy,
    /// CPU threads; `None` is one for each core.
    pub cpu_threads: Option<usize>,
    /// Most jobs accepted and not yet answered.
    pub queue_jobs: Option<usize>,
    /// Most bytes of those jobs.
    pub queue_bytes: Option<usize>,
    /// How the senders of transactions are found.
    pub sender_recovery: SenderRecovery,
}

impl EngineConfig {
    /// The engine of a node: every kernel that its blocks and its pool ask.
    pub(crate) fn build(&self) -> Result<Engine, pars_engine::BuildError> {
        let mut builder = Engine::builder()
            .gpu(self.gpu.clone())
            .kernel::<EcdsaRecover>();
        if let Some(threads) = self.cpu_threads {
            builder = builder.cpu_threads(threads);
        }
        if let Some(jobs) = self.queue_jobs {
            builder = builder.queue_jobs(jobs);
        }
        if let Some(bytes) = self.queue_bytes {
            builder = builder.queue_bytes(bytes);
        }
        builder.build()
    }
}

impl NodeConfig {
    /// A node of this chain in memory, everything else as [`Default`] has it.
    pub fn new(spec: ChainSpec) -> Self {
        Self {
            spec,
            data_dir: None,
            store: StoreOptions::default(),
            rpc: RpcConfig::default(),
            engine: EngineConfig::default(),
            pool: PoolConfig {
                guard: Some(secret_guard()),
                ..PoolConfig::default()
            },
            journal_bytes: Some(JOURNAL_BYTES),
            producer: ProducerConfig::default(),
            metrics: None,
        }
    }
}

/// Why a node could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data directory cannot be used.
    #[error("cannot use the data directory {path}: {source}; choose another with --data-dir or change its permissions", path = path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The data directory holds what this node cannot go on from: another chain, another version, damage.
    #[error("cannot go on from the chain in {path}: {source}", path = path.display())]
    Chain {
        /// The folder of the chain.
        path: PathBuf,
        /// What is wrong with it.
        source: StoreError,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The compute engine cannot be used.
    #[error("cannot start the compute engine: {0}")]
    Engine(#[from] pars_engine::BuildError),
    /// The RPC server cannot be used.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The embedded validator cannot go on.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// The pool's journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Metrics cannot be served.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// A part broke off.
    #[error("the node broke off: {0}")]
    Panicked(String),
}

/// A running node.
pub struct Node {
    context: RpcContext,
    rpc: RpcHandle,
    producer: JoinHandle<Result<(), ProducerError>>,
    monitor: Option<Monitor>,
    stop: watch::Sender<bool>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("rpc", &self.rpc.address())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Opens the store, starts the engine, the validator and the RPC server, in this order.
    ///
    /// # Errors
    /// If one of them cannot be used; what was started before it is stopped again.
    pub async fn start(config: NodeConfig) -> Result<Self, NodeError> {
        let NodeConfig {
            spec,
            data_dir,
            store: store_options,
            rpc,
            engine,
            pool,
            journal_bytes,
            producer,
            metrics,
        } = config;
        let spec = Arc::new(spec);
        let executing = ExecutorConfig {
            sender_recovery: engine.sender_recovery,
            ..ExecutorConfig::default()
        };
        let journal = data_dir
            .as_deref()
            .map(|folder| folder.join(JOURNAL_FILE))
            .zip(journal_bytes);
        let opening = {
            let spec = Arc::clone(&spec);
            tokio::task::spawn_blocking(move || open(&spec, data_dir, &store_options, &engine))
        };
        let (store, engine) = blocking(opening).await??;

        let executor = Executor::with_config(Arc::clone(&spec), engine.clone(), executing);
        let executor = Arc::new(executor);
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let context = RpcContext {
            spec,
            store,
            executor,
            pool: Arc::new(Mutex::new(Pool::new(pool))),
            journal: None,
            events,
            work: Arc::new(Notify::new()),
            engine,
            attributes: {
                let producer = producer.clone();
                Arc::new(move |head| producer::attributes(head, &producer))
            },
            client_version: client_version(),
        };
        let context = match journal {
            Some((path, most)) => {
                let opening = move || open_journal(context, &path, most);
                blocking(tokio::task::spawn_blocking(opening)).await??
            }
            None => context,
        };
        let rpc = pars_rpc::serve(rpc, context.clone()).await?;
        let pace = producer.pace;
        let vm = Arc::new(Vm::new(context.clone(), producer));
        let monitor = match metrics {
            Some(address) => {
                let watched = Watched {
                    context: context.clone(),
                    vm: Arc::clone(&vm),
                    rpc: rpc.gauge(),
                };
                Some(Monitor::start(address, watched)?)
            }
            None => None,
        };
        let (stop, stopped) = watch::channel(false);
        let producer = tokio::spawn(producer::run(context.clone(), vm, pace, stopped));
        Ok(Self {
            context,
            rpc,
            producer,
            monitor,
            stop,
        })
    }

    /// Where the RPC server listens.
    pub fn rpc_address(&self) -> SocketAddr {
        self.rpc.address()
    }

    /// The Unix domain socket where the RPC server listens too.
    pub fn ipc_path(&self) -> Option<&Path> {
        self.rpc.ipc_path()
    }

    /// Where metrics and health are served, if they are.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.monitor.as_ref().map(Monitor::address)
    }

    /// The node's parts.
    pub fn context(&self) -> &RpcContext {
        &self.context
    }

    /// Waits until the node cannot go on by itself, and says why. A node without fault never
    /// returns from here.
    pub async fn failure(&mut self) -> NodeError {
        match (&mut self.producer).await {
            Ok(Ok(())) => NodeError::Panicked("the validator ended".to_owned()),
            Ok(Err(error)) => error.into(),
            Err(error) => NodeError::Panicked(error.to_string()),
        }
    }

    /// Stops in order: no more requests, requests in work get a few seconds, the block in hand is
    /// finished and written, then everything is closed.
    ///
    /// # Errors
    /// If the last block could not be written.
    pub async fn stop(self) -> Result<(), NodeError> {
        let Self {
            context,
            rpc,
            producer,
            monitor,
            stop,
        } = self;
        if let Some(monitor) = &monitor {
            monitor.leave();
        }
        rpc.stop().await;
        // The receiver is gone only if the validator has ended already.
        let _ = stop.send(true);
        if !producer.is_finished() {
            producer
                .await
                .map_err(|error| NodeError::Panicked(error.to_string()))??;
        }
        drop(monitor);
        let closing = tokio::task::spawn_blocking(move || {
            // As it is it serves as well, with more to read at the next start.
            if let Err(error) = context.tidy_journal(true) {
                tracing::warn!(%error, "the pool's journal was not tidied");
            }
            // Closing the store and the engine waits for their threads.
            drop(context);
        });
        blocking(closing).await
    }
}

/// Refuses transactions that hand a secret to a precompile: calldata is public for ever.
fn secret_guard() -> Guard {
    let registry = Registry::pars();
    Guard::new(move |to, input| {
        registry.is_secret_operation(&to.into_array(), input).then(|| {
            "the transaction would publish a secret key in its calldata; use eth_call at your own node, or allow it with --allow-secret-calls".to_owned()
        })
    })
}

/// The result of work on a blocking thread.
async fn blocking<T>(work: JoinHandle<T>) -> Result<T, NodeError> {
    work.await
        .map_err(|error| NodeError::Panicked(error.to_string()))
}

/// The same node with its journal, and with what that held in its pool. Blocking.
fn open_journal(
    mut context: RpcContext,
    path: &Path,
    most: u64,
) -> Result<RpcContext, JournalError> {
    let largest = context.pool.lock().config().max_transaction_bytes;
    let (journal, replay) = Journal::open(path, most, largest)?;
    let held = replay.transactions.len();
    let taken = context.replay(replay.transactions);
    if held + replay.damaged > 0 {
        tracing::info!(
            taken,
            dropped = held - taken,
            damaged = replay.damaged,
            "transactions of the journal"
        );
    }
    context.journal = Some(Arc::new(Mutex::new(journal)));
    // What was dropped need not be read again.
    context.tidy_journal(true)?;
    Ok(context)
}

/// Store and engine. Blocking.
fn open(
    spec: &ChainSpec,
    data_dir: Option<PathBuf>,
    options: &StoreOptions,
    engine: &EngineConfig,
) -> Result<(Arc<Store>, Engine), NodeError> {
    // Making a new chain waits for the disk; the engine need not wait with it.
    std::thread::scope(|scope| {
        let engine = scope.spawn(|| engine.build());
        let store = open_store(spec, data_dir.as_deref(), options)?;
        let engine = engine
            .join()
            .map_err(|_| NodeError::Panicked("the compute engine did not start".to_owned()))?;
        Ok((Arc::new(store), engine?))
    })
}

/// The IPC socket of a data folder; `None` where its path is too long for a socket.
pub(crate) fn default_ipc_path(data_dir: &Path) -> Option<PathBuf> {
    let path = data_dir.join(IPC_FILE);
    if path.as_os_str().len() <= LONGEST_IPC_PATH {
        return Some(path);
    }
    tracing::warn!(path = %path.display(), "too long a path for an IPC socket; name another with --ipc-path");
    None
}

/// The folder of the chain inside a data folder.
pub(crate) fn chain_folder(data_dir: &Path) -> PathBuf {
    data_dir.join(CHAIN_FOLDER)
}

/// The store of a data folder, or one in memory. Blocking.
pub(crate) fn open_store(
    spec: &ChainSpec,
    data_dir: Option<&Path>,
    options: &StoreOptions,
) -> Result<Store, NodeError> {
    let genesis = spec.genesis();
    let Some(path) = data_dir else {
        let memory = Arc::new(Memory::new());
        return Ok(Store::with_backend(memory, &genesis, options.retention)?);
    };
    let chain = chain_folder(path);
    std::fs::create_dir_all(&chain).map_err(|source| NodeError::DataDir {
        path: path.to_owned(),
        source,
    })?;
    Store::open_with(&chain, &genesis, options).map_err(|source| match source {
        // These name the folder or file themselves.
        StoreError::FolderInUse { .. } | StoreError::Io { .. } => source.into(),
        source => NodeError::Chain {
            path: chain,
            source,
        },
    })
}

/// The answer of `web3_clientVersion`: name/version/platform, as other nodes write it.
fn client_version() -> String {
    format!(
        "parsd/v{}/{}-{}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}
