//! Devices that are open, and kernels on them, their types hidden.

mod audit;
mod measure;
mod opened;

use std::time::{Duration, Instant};

#[cfg(feature = "gpu")]
use crate::context::GpuContext;
use crate::error::DeviceError;
use crate::fault::ScriptedDevice;
use crate::kernel::{Accelerator, Kernel};
use crate::lane::Outlook;
use crate::options::Priority;
use crate::report::{AdapterSummary, Cost, SelfTestReport};
use crate::store::Store;

pub(crate) use opened::Opened;

/// A device that is open.
pub(crate) enum OpenDevice {
    #[cfg(feature = "gpu")]
    Gpu(pars_kernels::gpu::Device),
    Scripted(ScriptedDevice),
}

/// A kernel that is open on a device.
pub(crate) struct OpenKernel<K: Kernel> {
    pub(crate) accelerator: Box<dyn Accelerator<K>>,
    pub(crate) account: Account,
}

/// Counts the bytes of device memory that a kernel holds.
pub(crate) enum Account {
    /// Through a handle of the device that is the kernel's own.
    #[cfg(feature = "gpu")]
    Gpu(pars_kernels::gpu::Device),
    /// A script says itself what it holds.
    Scripted,
}

impl Account {
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(device) => device.memory(),
            Self::Scripted => 0,
        }
    }
}

/// What the kernels on a device are given.
#[derive(Clone)]
#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "for GPUs"))]
pub(crate) struct Site {
    /// What is known from earlier starts.
    pub(crate) store: Store,
    /// Names the adapter, its driver and this build. `None` for a device of which nothing is kept.
    pub(crate) name: Option<String>,
    /// Bytes of device memory that each kernel may hold.
    pub(crate) memory: u64,
}

impl OpenDevice {
    #[cfg_attr(not(feature = "gpu"), allow(unused_variables))]
    pub(crate) fn open_kernel<K: Kernel>(
        &self,
        state: &K::State,
        site: &Site,
    ) -> Result<Option<OpenKernel<K>>, DeviceError> {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(device) => {
                let (store, name) = match &site.name {
                    Some(name) => (site.store.clone(), name.as_str()),
                    None => (Store::default(), ""),
                };
                let prefix = format!("{name}|{}", K::NAME);
                let device = device.apart();
                let context = GpuContext::within(&device, site.memory, store, prefix);
                let accelerator = K::open_gpu(&context, state)?;
                Ok(accelerator.map(|accelerator| OpenKernel {
                    accelerator,
                    account: Account::Gpu(device),
                }))
            }
            Self::Scripted(device) => Ok(Some(OpenKernel {
                accelerator: device.open_kernel()?,
                account: Account::Scripted,
            })),
        }
    }

    /// Takes compiled pipelines from an earlier start, where the interface can.
    #[cfg_attr(not(feature = "gpu"), allow(unused_variables))]
    pub(crate) fn keep_pipelines(&self, store: &Store) {
        #[cfg(feature = "gpu")]
        if let (Self::Gpu(device), Some(folder)) = (self, store.folder()) {
            let kept = device.keep_pipelines(folder);
            tracing::debug!(kept, "compiled pipelines kept on disk");
        }
    }

    /// Keeps compiled pipelines for the next start.
    pub(crate) fn save_pipelines(&self) {
        #[cfg(feature = "gpu")]
        if let Self::Gpu(device) = self
            && let Err(error) = device.save_pipelines()
        {
            tracing::info!(%error, "compiled pipelines cannot be kept and will be compiled at the next start");
        }
    }

    /// The self-tests are over; a script's faults may begin.
    pub(crate) fn tested(&self) {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(_) => {}
            Self::Scripted(device) => device.arm(),
        }
    }
}

/// How to open one device.
pub(crate) struct Source {
    pub(crate) summary: AdapterSummary,
    pub(crate) open: Box<dyn Fn() -> Result<OpenDevice, DeviceError> + Send + Sync>,
}

/// What came of a look for work.
pub(crate) enum Turn {
    /// A batch ran, or is on its way.
    Ran,
    /// The device must not be used further. What was in flight is still to be
    /// [`abandoned`](OnDevice::abandon).
    Failed(DeviceError),
    /// No batch.
    Nothing(Outlook),
}

/// The batches that a kernel has in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flights {
    pub(crate) count: usize,
    /// The earliest class of their jobs.
    pub(crate) class: Option<Priority>,
    /// Most of them.
    pub(crate) depth: usize,
}

/// A kernel opened on a device, its types hidden.
pub(crate) trait OnDevice {
    fn kernel(&self) -> &'static str;
    /// Bytes of device memory that it may come to hold. An error if it holds more than it was given.
    fn memory(&self) -> Result<u64, DeviceError>;
    /// Only while nothing is in flight.
    fn self_test(&mut self, backend: &str) -> SelfTestReport;
    /// Measures and lets jobs in. Only after a passed self-test.
    fn enter_service(&mut self, site: &Site) -> Result<Cost, DeviceError>;
    /// The earliest class of the jobs that wait.
    fn next_class(&self) -> Option<Priority>;
    /// How many batches it can have in flight, and has.
    fn flights(&self) -> Flights;
    /// Takes a batch if there is one, and sends it off or runs it.
    fn turn(&mut self, cpu: &rayon::ThreadPool) -> Turn;
    /// When the oldest batch in flight was sent off.
    fn oldest(&self) -> Option<Instant>;
    /// Whether the oldest batch in flight is done; waits a little for it.
    fn poll(&mut self, limit: Duration) -> Result<bool, DeviceError>;
    /// Waits for the oldest batch in flight and answers it. With `refill`, sends the next one off in
    /// between.
    fn collect(&mut self, cpu: &rayon::ThreadPool, refill: bool) -> Turn;
    /// Answers on the CPU whatever is in flight.
    fn abandon(&mut self, cpu: &rayon::ThreadPool);
}
