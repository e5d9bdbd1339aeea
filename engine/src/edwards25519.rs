//! Signatures on edwards25519 on a device.

use pars_kernels::edwards25519::gpu::{BatchVerifier, Pending, Scheme, Tuning};

use crate::context::GpuContext;
use crate::error::DeviceError;
use crate::kernel::{Accelerator, DeviceAnswers, Kernel};
use crate::pipelined::{self, Batches};

/// Parts of a kernel's memory: two batches in flight have four each, of which one is for its input and two for what it works in, whose
/// size is rounded up to a power of two.
const PARTS: u64 = 8;

/// Opens a kernel that verifies signatures of a scheme.
pub(crate) fn open<K, S>(
    context: &GpuContext<'_>,
) -> Result<Option<Box<dyn Accelerator<K>>>, DeviceError>
where
    K: Kernel<Output = bool>,
    S: Scheme<Job = K::Job> + 'static,
{
    let device = context.device();
    let mut tuning = Tuning::of(device);
    tuning.max_bytes = tuning.max_bytes.min(context.memory() / PARTS);
    let verifier = BatchVerifier::<S>::with_tuning(device, tuning)?;
    pipelined::open(context, PARTS, verifier)
}

impl<K, S> Batches<K> for BatchVerifier<S>
where
    K: Kernel<Output = bool>,
    S: Scheme<Job = K::Job>,
{
    type Pending = Pending;

    fn max_batch(&self) -> usize {
        Self::max_batch(self)
    }

    fn fits(&self, jobs: &[&K::Job]) -> usize {
        Self::fits(self, jobs)
    }

    fn send(&mut self, jobs: &[&K::Job]) -> Result<Pending, DeviceError> {
        Ok(self.submit(jobs)?)
    }

    fn answers(&mut self, pending: Pending) -> DeviceAnswers<bool> {
        Ok(self.collect(pending)?)
    }
}
