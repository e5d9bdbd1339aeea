//! Puts an engine together.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::{CacheFolder, Config, GpuPolicy, Routing};
use crate::device::{OpenDevice, Source};
use crate::engine::Engine;
use crate::error::{BuildError, nanoseconds};
use crate::fault::{FaultScript, History, ScriptedDevice};
use crate::gate::{Bounds, Gate};
use crate::kernel::Kernel;
use crate::keys::KeyCache;
use crate::lane::{AnyLane, Lane};
use crate::mldsa::MlDsaVerify;
use crate::owner::Owner;
use crate::report::{AdapterKind, AdapterSummary, CpuReport, DeviceState};
use crate::shared::{Shared, first_report};
use crate::store::{self, Store};

/// A row of the table of kernels.
struct Row {
    name: &'static str,
    lane: Box<MakeLane>,
}

type MakeLane = dyn FnOnce(Arc<Gate>, Arc<Config>) -> Arc<dyn AnyLane> + Send;

impl Row {
    /// A kernel, and how its state is made.
    fn of<K: Kernel>(state: impl FnOnce(&Config) -> K::State + Send + 'static) -> Self {
        Self {
            name: K::NAME,
            lane: Box::new(|gate, config| {
                let state = state(&config);
                Arc::new(Lane::<K>::new(gate, config, state))
            }),
        }
    }
}

/// The kernels that every engine has.
fn standard_kernels() -> Vec<Row> {
    vec![Row::of::<MlDsaVerify>(|config| {
        KeyCache::new(config.key_cache_bytes).on_devices(config.gpu_key_bytes)
    })]
}

/// Settings of an [`Engine`], each with a default that suits a node.
pub struct EngineBuilder {
    config: Config,
    added: Vec<Row>,
    standard: bool,
    sources: Vec<Source>,
}

impl Default for EngineBuilder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            added: Vec::new(),
            standard: true,
            sources: Vec::new(),
        }
    }
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl EngineBuilder {
    /// Adds a kernel to those that every engine has. A second one of the same name is ignored.
    #[must_use]
    pub fn kernel<K: Kernel>(mut self) -> Self {
        self.added.push(Row::of::<K>(|_| K::State::default()));
        self
    }

    /// [`kernel`](Self::kernel) with a state of the caller's making.
    #[must_use]
    pub fn kernel_with<K: Kernel>(mut self, state: K::State) -> Self {
        self.added.push(Row::of::<K>(|_| state));
        self
    }

    /// Only the kernels added with [`kernel`](Self::kernel), none of the usual ones.
    #[must_use]
    pub fn without_standard_kernels(mut self) -> Self {
        self.standard = false;
        self
    }

    /// Which adapters may be used. Default: hardware adapters.
    #[must_use]
    pub fn gpu(mut self, policy: GpuPolicy) -> Self {
        self.config.gpu = policy;
        self
    }

    /// How a batch finds its back end. Default: by measured costs.
    #[must_use]
    pub fn routing(mut self, routing: Routing) -> Self {
        self.config.routing = routing;
        self
    }

    /// Most jobs in a batch. Default: 8,192; a device may take fewer.
    #[must_use]
    pub fn max_batch(mut self, jobs: usize) -> Self {
        self.config.max_batch = jobs;
        self
    }

    /// Longest expected time of a batch on a device, which is how long a more urgent job may have to wait for
    /// it. Default: 100 ms. One job is always taken.
    #[must_use]
    pub fn max_batch_time(mut self, time: Duration) -> Self {
        self.config.max_batch_time = time;
        self
    }

    /// How long a free device waits for a batch to fill. Default: not at all.
    #[must_use]
    pub fn max_wait(mut self, time: Duration) -> Self {
        self.config.max_wait = time;
        self
    }

    /// Most jobs accepted and not yet answered. Default: 65,536.
    #[must_use]
    pub fn queue_jobs(mut self, jobs: usize) -> Self {
        self.config.queue_jobs = jobs;
        self
    }

    /// Most bytes of those jobs. Default: 512 MiB.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.config.queue_bytes = bytes;
        self
    }

    /// Most estimated work of those jobs, as time on one CPU thread: their number by the cost that was
    /// measured at the start. One job is always let in. Default: 60 s.
    #[must_use]
    pub fn queue_work(mut self, work: Duration) -> Self {
        self.config.queue_work = work;
        self
    }

    /// Most jobs of one named caller, accepted and not yet answered; see
    /// [`SubmitOptions::caller`](crate::SubmitOptions::caller). Default: no such bound.
    #[must_use]
    pub fn caller_jobs(mut self, jobs: usize) -> Self {
        self.config.caller_jobs = jobs;
        self
    }

    /// Whether identical jobs in flight share one computation, where the kernel can tell. Default:
    /// yes. Measurements that repeat a few jobs turn it off.
    #[must_use]
    pub fn share_identical(mut self, share: bool) -> Self {
        self.config.share_identical = share;
        self
    }

    /// Threads of the engine's CPU pool. Default: one a core.
    #[must_use]
    pub fn cpu_threads(mut self, threads: usize) -> Self {
        self.config.cpu_threads = threads;
        self
    }

    /// How long a device may take for a batch before it counts as failed. Default: 10 s.
    #[must_use]
    pub fn gpu_timeout(mut self, time: Duration) -> Self {
        self.config.gpu_timeout = time;
        self
    }

    /// The share of a device's answers that the CPU recomputes, from 0 (none beside
    /// [`audit_per_batch`](Self::audit_per_batch)) to 1 (all). They are chosen at random, from a seed that the operating system
    /// gives each time a device is opened. Default: 0.001. A difference disables the device, and the whole batch is done
    /// again on the CPU.
    #[must_use]
    pub fn audit_share(mut self, share: f64) -> Self {
        self.config.audit_share = share;
        self
    }

    /// How many answers of each device batch the CPU recomputes at least, however small the
    /// [share](Self::audit_share). Default: 1.
    #[must_use]
    pub fn audit_per_batch(mut self, answers: usize) -> Self {
        self.config.audit_per_batch = answers;
        self
    }

    /// Whether the CPU confirms device answers that the kernel wants confirmed, such as "invalid".
    /// Default: yes.
    #[must_use]
    pub fn confirm(mut self, confirm: bool) -> Self {
        self.config.confirm = confirm;
        self
    }

    /// How often a device that failed is opened again, and how long it rests before the first time;
    /// the pause doubles with each failure. Default: 5 times, 1 s. A device that computed wrongly is
    /// not opened again.
    #[must_use]
    pub fn device_retries(mut self, retries: u32, first_pause: Duration) -> Self {
        self.config.device_retries = retries;
        self.config.device_pause = first_pause;
        self
    }

    /// Most bytes of prepared ML-DSA keys that are kept for the next signature; see [`KeyCache`].
    /// Default: 64 MiB. With 0 none is kept.
    #[must_use]
    pub fn key_cache_bytes(mut self, bytes: usize) -> Self {
        self.config.key_cache_bytes = bytes;
        self
    }

    /// Most bytes of each device's memory for ML-DSA keys that are kept there, within
    /// [`gpu_memory`](Self::gpu_memory). Default: 64 MiB, 1,800 keys of ML-DSA-65. With 0 none is kept.
    #[must_use]
    pub fn gpu_key_bytes(mut self, bytes: u64) -> Self {
        self.config.gpu_key_bytes = bytes;
        self
    }

    /// Most bytes of device memory, staging included, that the kernels may hold on each device, all of them
    /// together. They are opened one after the other; each is given an equal part of what those before it have
    /// left. A kernel that holds more than its part is not used there ([`DeviceError::Memory`](crate::DeviceError)
    /// in the device report) and the CPU does its work; a device on which one comes to hold more rests and is opened
    /// anew. Default: 2 GiB.
    #[must_use]
    pub fn gpu_memory(mut self, bytes: u64) -> Self {
        self.config.gpu_memory = bytes;
        self
    }

    /// The folder for what is measured at the start and used again at the next one: costs, shapes of
    /// shaders, compiled pipelines. Default: `pars` among this user's caches. Nothing in it is needed, and a
    /// file that cannot be read is written anew.
    #[must_use]
    pub fn cache_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.config.cache_folder = CacheFolder::At(folder.into());
        self
    }

    /// Keeps nothing on disk: everything is measured at each start.
    #[must_use]
    pub fn no_cache_folder(mut self) -> Self {
        self.config.cache_folder = CacheFolder::Nowhere;
        self
    }

    /// Adds a device that fails on purpose, for tests. It is used whatever the GPU policy says.
    #[must_use]
    pub fn faulty_device(mut self, script: FaultScript) -> Self {
        let summary = AdapterSummary {
            name: script.name().to_owned(),
            kind: AdapterKind::Scripted,
            backend: "script".to_owned(),
            driver: String::new(),
        };
        let script = Arc::new(script);
        let history = Arc::new(History::default());
        let open = move || ScriptedDevice::open(&script, &history).map(OpenDevice::Scripted);
        self.sources.push(Source {
            summary,
            open: Box::new(open),
        });
        self
    }

    #[cfg(all(test, feature = "gpu"))]
    pub(crate) fn source(mut self, source: Source) -> Self {
        self.sources.push(source);
        self
    }

    /// Builds the engine. The CPU is tested before this returns; devices are found, opened and
    /// tested in the background, and the CPU does their work meanwhile.
    ///
    /// # Errors
    /// When a bound is zero, the share of audits is none, the CPU fails a self-test or the system gives no threads.
    pub fn build(self) -> Result<Engine, BuildError> {
        let bounds = [
            ("max_batch", self.config.max_batch),
            ("queue_jobs", self.config.queue_jobs),
            ("queue_bytes", self.config.queue_bytes),
            ("cpu_threads", self.config.cpu_threads),
            ("caller_jobs", self.config.caller_jobs),
        ];
        if let Some((name, _)) = bounds.into_iter().find(|(_, bound)| *bound == 0) {
            return Err(BuildError::ZeroBound { name });
        }
        let share = self.config.audit_share;
        if !(0.0..=1.0).contains(&share) {
            return Err(BuildError::AuditShare { share });
        }
        let config = Arc::new(self.config);
        let gate = Arc::new(Gate::new(Bounds {
            jobs: config.queue_jobs,
            bytes: config.queue_bytes,
            work: nanoseconds(config.queue_work),
            caller_jobs: config.caller_jobs,
        }));
        let mut lanes: Vec<Arc<dyn AnyLane>> = Vec::new();
        let mut rows = if self.standard {
            standard_kernels()
        } else {
            Vec::new()
        };
        rows.extend(self.added);
        for row in rows {
            if lanes.iter().all(|lane| lane.name() != row.name) {
                lanes.push((row.lane)(Arc::clone(&gate), Arc::clone(&config)));
            }
        }
        let self_tests: Vec<_> = lanes.iter().map(|lane| lane.test_cpu()).collect();
        for test in &self_tests {
            if let Some(reason) = &test.failure {
                return Err(BuildError::CpuSelfTest {
                    kernel: test.kernel,
                    reason: reason.clone(),
                });
            }
        }
        let store = match &config.cache_folder {
            CacheFolder::User => store::user_folder().map(|folder| Store::open(&folder)),
            CacheFolder::At(folder) => Some(Store::open(folder)),
            CacheFolder::Nowhere => None,
        };
        let store = store.unwrap_or_default();
        lanes.iter().for_each(|lane| lane.measure_cpu(&store));
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(config.cpu_threads)
            .thread_name(|index| format!("pars-cpu-{index}"))
            .build()
            .map_err(|error| BuildError::Threads {
                reason: error.to_string(),
            })?;
        let cpu = CpuReport {
            features: pars_kernels::cpu::features().to_string(),
            threads: config.cpu_threads,
            self_tests,
        };
        let shared = Arc::new(Shared::new(Arc::clone(&config), gate, lanes, pool, store));
        let threads: Threads = Arc::default();
        let engine = Engine::new(Arc::clone(&shared), cpu, Arc::clone(&threads));
        // From here on dropping the engine stops the threads that were started.
        if config.max_wait > Duration::ZERO {
            let shared = Arc::clone(&shared);
            spawn(&threads, "pars-clock", move || shared.keep_time())?;
        }
        for source in self.sources {
            shared.devices.lock().pending += 1;
            own(&shared, &threads, source)?;
        }
        start_search(&shared, &threads)?;
        Ok(engine)
    }
}

type Threads = Arc<Mutex<Vec<JoinHandle<()>>>>;

fn spawn(
    threads: &Threads,
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<(), BuildError> {
    let handle = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| BuildError::Threads {
            reason: error.to_string(),
        })?;
    threads.lock().push(handle);
    Ok(())
}

/// Starts the thread that owns a device.
fn own(shared: &Arc<Shared>, threads: &Threads, source: Source) -> Result<(), BuildError> {
    let (request, requests) = crossbeam_channel::unbounded();
    let owner = {
        let mut devices = shared.devices.lock();
        let adapter = devices.adapters.len();
        let slot = devices.owners.len();
        let traffic = Arc::default();
        for lane in &shared.lanes {
            lane.add_slot(&source.summary.name, &traffic);
        }
        devices
            .adapters
            .push(first_report(source.summary.clone(), DeviceState::Starting));
        devices.owners.push((adapter, request));
        Owner {
            shared: Arc::clone(shared),
            source,
            adapter,
            slot,
            requests,
        }
    };
    spawn(threads, "pars-device", move || owner.own())
}

/// Looks for adapters in the background.
#[cfg(feature = "gpu")]
fn start_search(shared: &Arc<Shared>, threads: &Threads) -> Result<(), BuildError> {
    use crate::adapters::{Found, find};
    if shared.config.gpu == GpuPolicy::Off {
        return Ok(());
    }
    shared.devices.lock().pending += 1;
    let (shared, more) = (Arc::clone(shared), Arc::clone(threads));
    spawn(threads, "pars-adapters", move || {
        let search = || find(&shared.config.gpu, shared.config.gpu_timeout);
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(search));
        let found = found.unwrap_or_else(|panic| {
            let reason = crate::error::panic_text(panic.as_ref());
            tracing::error!(reason, "the search for adapters panicked; using the CPU");
            Vec::new()
        });
        let mut used = 0;
        for found in found {
            match found {
                _ if shared.stopping() => break,
                Found::Chosen(source) => {
                    shared.devices.lock().pending += 1;
                    match own(&shared, &more, source) {
                        Ok(()) => used += 1,
                        Err(error) => {
                            tracing::error!(%error, "a device has no thread; using the CPU");
                            shared.first_result();
                        }
                    }
                }
                Found::NotChosen(adapter, reason) => {
                    tracing::debug!(%adapter, reason, "adapter not used");
                    let report = first_report(adapter, DeviceState::NotChosen { reason });
                    shared.devices.lock().adapters.push(report);
                }
            }
        }
        if used == 0 {
            tracing::info!(policy = %shared.config.gpu, "no GPU to use; the engine works on the CPU");
        }
        shared.first_result();
    })
}

/// Without GPU code there is nothing to look for.
#[cfg(not(feature = "gpu"))]
fn start_search(shared: &Arc<Shared>, _threads: &Threads) -> Result<(), BuildError> {
    if shared.config.gpu != GpuPolicy::Off {
        tracing::info!("built without GPU code; the engine works on the CPU");
    }
    Ok(())
}
