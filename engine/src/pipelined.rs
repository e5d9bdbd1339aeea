//! Kernels that have two batches in flight on a GPU: one is laid out and uploaded while the other is computed.

use std::collections::VecDeque;
use std::time::Duration;

use pars_kernels::gpu::{Device, Fence};

use crate::context::GpuContext;
use crate::error::DeviceError;
use crate::kernel::{Accelerator, DeviceAnswers, Kernel};

/// Batches in flight.
const DEPTH: usize = 2;

/// Most bytes of a batch.
const BATCH_BYTES: u64 = 64 << 20;

/// How a kernel's batches go to a device and come back.
pub(crate) trait Batches<K: Kernel> {
    /// A batch on its way.
    type Pending;

    /// Most jobs of one batch.
    fn max_batch(&self) -> usize;

    /// How many of the jobs, from the first on, go in one submission: at least one.
    fn fits(&self, jobs: &[&K::Job]) -> usize {
        jobs.len()
    }

    /// Sends jobs off without waiting for the device.
    fn send(&mut self, jobs: &[&K::Job]) -> Result<Self::Pending, DeviceError>;

    /// Waits for them.
    fn answers(&mut self, pending: Self::Pending) -> DeviceAnswers<K::Output>;
}

struct Pipelined<K: Kernel, B: Batches<K>> {
    batches: B,
    device: Device,
    max_bytes: usize,
    /// In the order in which they were sent off, each with the place behind its work.
    flying: VecDeque<(B::Pending, Fence)>,
}

/// Most bytes of a batch whose jobs hold up to one of so many parts of a kernel's memory.
pub(crate) fn batch_bytes(context: &GpuContext<'_>, parts: u64) -> usize {
    let bytes = BATCH_BYTES.min(context.memory() / parts);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Opens a kernel whose jobs in one batch hold up to one of so many parts of its memory.
pub(crate) fn open<K: Kernel>(
    context: &GpuContext<'_>,
    parts: u64,
    batches: impl Batches<K> + 'static,
) -> Result<Option<Box<dyn Accelerator<K>>>, DeviceError> {
    Ok(Some(Box::new(Pipelined {
        batches,
        device: context.device().clone(),
        max_bytes: batch_bytes(context, parts),
        flying: VecDeque::new(),
    })))
}

impl<K: Kernel, B: Batches<K>> Accelerator<K> for Pipelined<K, B> {
    fn max_batch(&self) -> usize {
        self.batches.max_batch()
    }

    fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    fn depth(&self) -> usize {
        DEPTH
    }

    fn submit(&mut self, jobs: &[&K::Job]) -> Result<usize, DeviceError> {
        let (sent, _) = jobs.split_at(self.batches.fits(jobs).min(jobs.len()));
        let pending = self.batches.send(sent)?;
        self.flying.push_back((pending, self.device.fence()));
        Ok(sent.len())
    }

    fn poll(&mut self, limit: Duration) -> Result<bool, DeviceError> {
        match self.flying.front() {
            Some((_, fence)) => Ok(self.device.reached(fence, limit)?),
            None => Ok(true),
        }
    }

    fn collect(&mut self) -> DeviceAnswers<K::Output> {
        let Some((pending, _)) = self.flying.pop_front() else {
            let nothing = format!("nothing of {} is in flight", K::NAME);
            return Err(DeviceError::Rejected(nothing));
        };
        self.batches.answers(pending)
    }

    fn polls(&self) -> bool {
        true
    }
}
