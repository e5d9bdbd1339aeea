//! Signatures on edwards25519 on a device.

use std::collections::VecDeque;

use pars_kernels::edwards25519::gpu::{BatchVerifier, Pending, Scheme, Tuning};

use crate::context::GpuContext;
use crate::error::DeviceError;
use crate::kernel::{Accelerator, DeviceAnswers, Kernel};

/// Most bytes of a batch.
const BATCH_BYTES: usize = 64 << 20;

struct Verifying<S> {
    verifier: BatchVerifier<S>,
    max_bytes: usize,
    flying: VecDeque<Pending>,
}

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
    // Two batches in flight, each with its input and what it works in.
    tuning.max_bytes = tuning.max_bytes.min(context.memory() / 4);
    let memory = usize::try_from(context.memory()).unwrap_or(usize::MAX);
    Ok(Some(Box::new(Verifying::<S> {
        verifier: BatchVerifier::with_tuning(device, tuning)?,
        max_bytes: BATCH_BYTES.min(memory / 8),
        flying: VecDeque::new(),
    })))
}

impl<K, S> Accelerator<K> for Verifying<S>
where
    K: Kernel<Output = bool>,
    S: Scheme<Job = K::Job>,
{
    fn max_batch(&self) -> usize {
        self.verifier.max_batch()
    }

    fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    fn depth(&self) -> usize {
        2
    }

    fn submit(&mut self, jobs: &[&K::Job]) -> Result<usize, DeviceError> {
        let (sent, _) = jobs.split_at(self.verifier.fits(jobs));
        self.flying.push_back(self.verifier.submit(sent)?);
        Ok(sent.len())
    }

    fn collect(&mut self) -> DeviceAnswers<bool> {
        let Some(pending) = self.flying.pop_front() else {
            let nothing = format!("nothing of {} is in flight", K::NAME);
            return Err(DeviceError::Rejected(nothing));
        };
        Ok(self.verifier.collect(pending)?)
    }
}
