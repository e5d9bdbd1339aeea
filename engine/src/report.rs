//! What the engine found on this machine, what it uses, and why.

use std::fmt;
use std::time::Duration;

/// What kind of hardware an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdapterKind {
    /// A graphics card with its own memory.
    Discrete,
    /// A GPU that shares memory with the CPU.
    Integrated,
    /// A GPU lent by a hypervisor.
    Virtual,
    /// A GPU driver that computes on the CPU, such as lavapipe.
    Software,
    /// The driver does not say.
    Other,
    /// Not hardware: a device that fails on purpose, from [`fault`](crate::fault).
    Scripted,
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Software => "software",
            Self::Other => "other",
            Self::Scripted => "scripted",
        })
    }
}

/// An adapter as its driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterSummary {
    /// Name, such as `llvmpipe (LLVM 19.1.7, 256 bits)`.
    pub name: String,
    /// Kind of hardware.
    pub kind: AdapterKind,
    /// Interface that reaches it, such as `vulkan`.
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
}

#[cfg(feature = "gpu")]
impl From<&pars_kernels::gpu::AdapterInfo> for AdapterSummary {
    fn from(info: &pars_kernels::gpu::AdapterInfo) -> Self {
        use pars_kernels::gpu::DeviceType;
        Self {
            name: info.name.clone(),
            kind: match info.device_type {
                DeviceType::Discrete => AdapterKind::Discrete,
                DeviceType::Integrated => AdapterKind::Integrated,
                DeviceType::Virtual => AdapterKind::Virtual,
                DeviceType::Cpu => AdapterKind::Software,
                DeviceType::Other => AdapterKind::Other,
            },
            backend: info.backend.clone(),
            driver: format!("{} {}", info.driver, info.driver_info)
                .trim()
                .to_owned(),
        }
    }
}

impl fmt::Display for AdapterSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}", self.name, self.kind, self.backend)?;
        if self.driver.is_empty() {
            write!(f, ")")
        } else {
            write!(f, ", {})", self.driver)
        }
    }
}

/// Where an adapter stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// Being opened and self-tested; the CPU does its work meanwhile.
    Starting,
    /// In use.
    Ready,
    /// Failed, and will be opened again after a pause.
    Resting {
        /// Why it failed.
        reason: String,
        /// How long the pause is.
        pause: Duration,
    },
    /// Not used any more by this engine.
    Disabled {
        /// Why.
        reason: String,
    },
    /// Never opened, because of the policy.
    NotChosen {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for DeviceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => write!(f, "starting"),
            Self::Ready => write!(f, "in use"),
            Self::Resting { reason, pause } => {
                write!(f, "resting for {:.1} s: {reason}", pause.as_secs_f64())
            }
            Self::Disabled { reason } => write!(f, "disabled: {reason}"),
            Self::NotChosen { reason } => write!(f, "not used: {reason}"),
        }
    }
}

/// The outcome of a kernel's known-answer test on one back end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfTestReport {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// `cpu`, or the name of the adapter.
    pub backend: String,
    /// Known answers asked for.
    pub answers: usize,
    /// Answers that the device left to the CPU.
    pub undecided: usize,
    /// How long the test took, without opening the device.
    pub time: Duration,
    /// `None` if every answer was right, else what went wrong.
    pub failure: Option<String>,
}

impl SelfTestReport {
    /// Whether every answer was right.
    pub const fn passed(&self) -> bool {
        self.failure.is_none()
    }
}

impl fmt::Display for SelfTestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}: ", self.kernel, self.backend)?;
        match &self.failure {
            None => write!(
                f,
                "{} known answers right, {} undecided, {:.1} ms",
                self.answers,
                self.undecided,
                self.time.as_secs_f64() * 1e3
            ),
            Some(reason) => write!(f, "FAILED: {reason}"),
        }
    }
}

/// What batches of one kernel cost on one back end: `fixed`, and `job` for each usual job, and `mib` for
/// each MiB of jobs. Measured at the start, and corrected by what is seen while running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Time of a batch, however small.
    pub fixed: Duration,
    /// Time of each usual job, without its bytes.
    pub job: Duration,
    /// Time of each MiB of the jobs, beside their weight.
    pub mib: Duration,
}

/// Where the jobs of a kernel go now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteReport {
    /// Name of the kernel.
    pub kernel: &'static str,
    /// Measured cost on one CPU thread.
    pub cpu: Cost,
    /// Measured costs of the adapters that are ready: adapter's name, cost, and the smallest batch
    /// that goes there (`None`: no batch does, the CPU is always quicker).
    pub devices: Vec<(String, Cost, Option<usize>)>,
    /// The same in words.
    pub why: String,
}

/// The CPU side of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuReport {
    /// Instruction sets found.
    pub features: String,
    /// Threads of the engine's pool.
    pub threads: usize,
    /// Self-tests at start, one a kernel.
    pub self_tests: Vec<SelfTestReport>,
}

/// One adapter of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterReport {
    /// The adapter.
    pub adapter: AdapterSummary,
    /// Where it stands.
    pub state: DeviceState,
    /// Latest self-tests, one a kernel that has a path for this adapter.
    pub self_tests: Vec<SelfTestReport>,
    /// Times that it failed since the engine started.
    pub failures: u32,
}

/// Everything about the hardware under an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceReport {
    /// The CPU, which is always used.
    pub cpu: CpuReport,
    /// Whether this build has GPU code.
    pub gpu_built_in: bool,
    /// The GPU policy in words.
    pub policy: String,
    /// Whether adapters are still being looked for or started.
    pub starting: bool,
    /// Every adapter found, used or not.
    pub adapters: Vec<AdapterReport>,
    /// Where jobs go now, one entry a kernel.
    pub routes: Vec<RouteReport>,
}
