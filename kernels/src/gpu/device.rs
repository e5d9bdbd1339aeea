//! An open device: errors as values, loss as a flag, waits with a limit.

use super::adapter::{AdapterInfo, DeviceType, ready};
use super::buffer::Account;
use super::pipelines::Pipelines;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc},
    time::Duration,
};

/// What can go wrong on a device. After [`Lost`](Self::Lost) the device is of no use: open another. After
/// [`Timeout`](Self::Timeout) it may be busy for as long again, because work that runs cannot be called back. No error
/// says anything about the verdict of a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// The driver gave the device up, or it was destroyed.
    #[error("the device {adapter} was lost ({reason}): open it again or use the CPU")]
    Lost {
        /// The adapter's name.
        adapter: String,
        /// What the driver said.
        reason: String,
    },
    /// Work did not end within the limit given when the device was opened.
    #[error(
        "the device {adapter} did not finish within {limit:?}: use the CPU, and a smaller batch or a longer limit here"
    )]
    Timeout {
        /// The adapter's name.
        adapter: String,
        /// The limit.
        limit: Duration,
    },
    /// The device has no memory left.
    #[error("the device {adapter} is out of memory: use smaller batches")]
    OutOfMemory {
        /// The adapter's name.
        adapter: String,
    },
    /// A shader or a call was refused: a fault of this crate or of the driver.
    #[error("the device {adapter} refused the work: {reason}")]
    Rejected {
        /// The adapter's name.
        adapter: String,
        /// What was refused and why.
        reason: String,
    },
    /// The adapter could not be opened.
    #[error("the adapter {adapter} could not be opened: {reason}")]
    Open {
        /// The adapter's name.
        adapter: String,
        /// What the driver said.
        reason: String,
    },
}

/// An open device. Clones share it.
#[derive(Clone)]
pub struct Device {
    shared: Arc<Shared>,
    account: Account,
}

/// A place in the order of a device's work: see [`Device::fence`].
#[derive(Clone, Debug)]
pub struct Fence(Option<wgpu::SubmissionIndex>);

struct Shared {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: AdapterInfo,
    timeout: Duration,
    faults: Arc<Faults>,
    pipelines: OnceLock<Pipelines>,
}

/// The answer to a request to map a buffer.
#[derive(Debug)]
pub(crate) struct Mapping {
    receiver: mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>,
}

/// What the driver reported outside any call.
#[derive(Default)]
struct Faults {
    lost: Mutex<Option<String>>,
    uncaptured: Mutex<Option<wgpu::Error>>,
}

impl Device {
    pub(super) fn from_parts(
        device: wgpu::Device,
        queue: wgpu::Queue,
        info: AdapterInfo,
        timeout: Duration,
    ) -> Self {
        let faults = Arc::new(Faults::default());
        let seen = Arc::clone(&faults);
        device.set_device_lost_callback(move |reason, message| {
            let mut lost = lock(&seen.lost);
            lost.get_or_insert_with(|| format!("{reason:?}: {message}"));
        });
        // Without a handler wgpu panics on an error outside any scope.
        let seen = Arc::clone(&faults);
        device.on_uncaptured_error(Arc::new(move |error| {
            lock(&seen.uncaptured).get_or_insert(error);
        }));
        Self {
            shared: Arc::new(Shared {
                device,
                queue,
                info,
                timeout,
                faults,
                pipelines: OnceLock::new(),
            }),
            account: Account::default(),
        }
    }

    /// A device that accepts everything and computes nothing: buffers copy and clear, dispatches do not run. For tests
    /// of what happens when a GPU returns garbage.
    ///
    /// # Errors
    /// None today.
    pub fn noop() -> Result<Self, GpuError> {
        let (device, queue) = wgpu::Device::noop(&wgpu::DeviceDescriptor::default());
        let info = AdapterInfo {
            name: "noop".into(),
            device_type: DeviceType::Other,
            backend: "noop".into(),
            driver: String::new(),
            driver_info: String::new(),
            vendor: 0,
            device: 0,
        };
        Ok(Self::from_parts(
            device,
            queue,
            info,
            Duration::from_secs(10),
        ))
    }

    /// The adapter that was opened.
    pub fn info(&self) -> &AdapterInfo {
        &self.shared.info
    }

    /// The limit of each wait.
    pub fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// Whether the device was lost or destroyed.
    pub fn is_lost(&self) -> bool {
        // The callback is run by a poll; this one does not wait.
        let _ = self.raw().poll(wgpu::PollType::Poll);
        lock(&self.shared.faults.lost).is_some()
    }

    /// The same device with an account of its own: [`memory`](Self::memory) and [`fence`](Self::fence) of the new handle are of what goes
    /// through that and its clones.
    pub fn apart(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            account: Account::default(),
        }
    }

    /// Bytes of the buffers that were made through this handle and its clones and are held: what was asked for, without what the driver
    /// adds or keeps until its work has ended.
    pub fn memory(&self) -> u64 {
        self.account.bytes()
    }

    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    /// A place behind all work that was sent off so far through this handle and its clones.
    pub fn fence(&self) -> Fence {
        Fence(self.account.last())
    }

    /// Whether all work before `fence` is done; waits up to `limit` for it, and no longer than the device's time limit.
    ///
    /// # Errors
    /// [`GpuError`] if the device failed, without the time limit: work that is late is work that is not done.
    pub fn reached(&self, fence: &Fence, limit: Duration) -> Result<bool, GpuError> {
        match &fence.0 {
            Some(submission) => self.done(submission, limit),
            None => Ok(true),
        }
    }

    /// Destroys the device: work in flight and all later calls fail with [`GpuError::Lost`]. For tests.
    pub fn destroy(&self) {
        self.raw().destroy();
    }

    pub(crate) fn raw(&self) -> &wgpu::Device {
        &self.shared.device
    }

    pub(super) fn pipelines(&self) -> &OnceLock<Pipelines> {
        &self.shared.pipelines
    }

    pub(crate) fn queue(&self) -> &wgpu::Queue {
        &self.shared.queue
    }

    /// Runs `calls` and turns what wgpu reports about them into an error.
    pub(crate) fn scoped<T>(&self, calls: impl FnOnce() -> T) -> Result<T, GpuError> {
        let scopes = [
            wgpu::ErrorFilter::Validation,
            wgpu::ErrorFilter::OutOfMemory,
            wgpu::ErrorFilter::Internal,
        ]
        .map(|filter| self.raw().push_error_scope(filter));
        let value = calls();
        // Scopes are a stack: the last one pushed goes first. All must go before the first error is returned.
        let errors = scopes.map(Some).into_iter().rev().flatten();
        let first = errors
            .map(|scope| ready(scope.pop()).flatten())
            .fold(None, Option::or);
        // After a loss, calls return dead objects without an error, so the flag decides.
        self.check_alive()?;
        match first.or_else(|| lock(&self.shared.faults.uncaptured).take()) {
            None => Ok(value),
            Some(wgpu::Error::OutOfMemory { .. }) => Err(GpuError::OutOfMemory {
                adapter: self.name(),
            }),
            Some(error) => Err(GpuError::Rejected {
                adapter: self.name(),
                reason: error.to_string(),
            }),
        }
    }

    /// Whether shaders can use 64-bit integers.
    pub(crate) fn has_int64(&self) -> bool {
        self.raw().features().contains(wgpu::Features::SHADER_INT64)
    }

    /// Asks for all of `buffer` to be mapped when the work submitted so far is done; [`wait`](Self::wait) sees to it.
    pub(crate) fn map(&self, buffer: &wgpu::Buffer, mode: wgpu::MapMode) -> Mapping {
        let (sender, receiver) = mpsc::channel();
        buffer.map_async(mode, .., move |result| {
            // The receiver is gone only if the buffer is no longer wanted.
            let _ = sender.send(result);
        });
        Mapping { receiver }
    }

    /// Waits for `submission`, within the device's time limit.
    pub(crate) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<(), GpuError> {
        let waited = self.raw().poll(wgpu::PollType::Wait {
            submission_index: Some(submission),
            timeout: Some(self.shared.timeout),
        });
        self.check_alive()?;
        match waited {
            Ok(_) => Ok(()),
            Err(wgpu::PollError::Timeout) => Err(GpuError::Timeout {
                adapter: self.name(),
                limit: self.shared.timeout,
            }),
            Err(error) => Err(self.rejected(&error)),
        }
    }

    /// Whether `submission` is done; waits up to `limit` for it, and no longer than the device's time limit.
    pub(crate) fn done(
        &self,
        submission: &wgpu::SubmissionIndex,
        limit: Duration,
    ) -> Result<bool, GpuError> {
        let waited = self.raw().poll(wgpu::PollType::Wait {
            submission_index: Some(submission.clone()),
            timeout: Some(limit.min(self.shared.timeout)),
        });
        self.check_alive()?;
        match waited {
            Ok(_) => Ok(true),
            Err(wgpu::PollError::Timeout) => Ok(false),
            Err(error) => Err(self.rejected(&error)),
        }
    }

    /// That a buffer is mapped, after the wait for the work before it.
    pub(crate) fn mapped(&self, mapping: &Mapping) -> Result<(), GpuError> {
        match mapping.receiver.try_recv() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.rejected(&error)),
            Err(_) => Err(self.rejected(&"a buffer was not mapped when its work ended")),
        }
    }

    fn check_alive(&self) -> Result<(), GpuError> {
        if !self.is_lost() {
            return Ok(());
        }
        Err(GpuError::Lost {
            adapter: self.name(),
            reason: lock(&self.shared.faults.lost).clone().unwrap_or_default(),
        })
    }

    pub(crate) fn rejected(&self, reason: &dyn fmt::Display) -> GpuError {
        GpuError::Rejected {
            adapter: self.name(),
            reason: reason.to_string(),
        }
    }

    fn name(&self) -> String {
        self.shared.info.name.clone()
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("info", &self.shared.info)
            .finish_non_exhaustive()
    }
}

/// A panic while the lock was held cannot leave these values half written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_calls_are_errors() {
        let device = Device::noop().unwrap();
        let error = device
            .shader("broken", "fn (".into(), super::super::ShaderChecks::Checked)
            .unwrap_err();
        assert!(matches!(error, GpuError::Rejected { .. }), "{error}");
        assert!(!device.is_lost());
        assert_eq!(device.scoped(|| 7), Ok(7));
    }

    #[test]
    fn destroyed_devices_are_lost() {
        let device = Device::noop().unwrap();
        device.destroy();
        assert!(device.is_lost());
        assert!(matches!(device.scoped(|| ()), Err(GpuError::Lost { .. })));
    }
}
