//! Commitments on a device.

use pars_kernels::field::Fr;
use pars_kernels::pedersen::Point;
use pars_kernels::pedersen::gpu::{BatchCommitter, Pending};

use super::{PedersenCommit, PedersenOpening};
use crate::context::GpuContext;
use crate::curve::{PARTS, tuning};
use crate::error::DeviceError;
use crate::kernel::{Accelerator, DeviceAnswers};
use crate::pipelined::{self, Batches};

/// Opens the kernel.
pub(super) fn open(
    context: &GpuContext<'_>,
) -> Result<Option<Box<dyn Accelerator<PedersenCommit>>>, DeviceError> {
    let committer = BatchCommitter::with_tuning(context.device(), tuning(context))?;
    pipelined::open(context, PARTS, committer)
}

impl Batches<PedersenCommit> for BatchCommitter {
    type Pending = Pending;

    fn max_batch(&self) -> usize {
        Self::max_batch(self)
    }

    fn send(&mut self, jobs: &[&PedersenOpening]) -> Result<Pending, DeviceError> {
        let openings: Vec<[Fr; 2]> = jobs.iter().map(|job| [job.value, job.blinding]).collect();
        Ok(self.submit(&openings)?)
    }

    fn answers(&mut self, pending: Pending) -> DeviceAnswers<Point> {
        let points = self.collect(pending)?;
        Ok(points.into_iter().map(Some).collect())
    }
}
