//! Commitments on a device.

use std::collections::VecDeque;

use pars_kernels::field::Fr;
use pars_kernels::pedersen::Point;
use pars_kernels::pedersen::gpu::{BatchCommitter, Pending};

use super::{PedersenCommit, PedersenOpening};
use crate::context::GpuContext;
use crate::error::DeviceError;
use crate::kernel::{Accelerator, DeviceAnswers, Kernel};
use crate::secp256k1::gpu::{failure, tuning};

struct Committing {
    committer: BatchCommitter,
    flying: VecDeque<Pending>,
}

/// Opens the kernel.
pub(super) fn open(
    context: &GpuContext<'_>,
) -> Result<Option<Box<dyn Accelerator<PedersenCommit>>>, DeviceError> {
    let committer =
        BatchCommitter::with_tuning(context.device(), tuning(context)).map_err(failure)?;
    Ok(Some(Box::new(Committing {
        committer,
        flying: VecDeque::new(),
    })))
}

impl Accelerator<PedersenCommit> for Committing {
    fn max_batch(&self) -> usize {
        self.committer.max_batch()
    }

    fn run(&mut self, jobs: &[&PedersenOpening]) -> DeviceAnswers<Point> {
        self.submit(jobs)?;
        self.collect()
    }

    fn depth(&self) -> usize {
        2
    }

    fn submit(&mut self, jobs: &[&PedersenOpening]) -> Result<usize, DeviceError> {
        let openings: Vec<[Fr; 2]> = jobs.iter().map(|job| [job.value, job.blinding]).collect();
        let pending = self.committer.submit(&openings).map_err(failure)?;
        self.flying.push_back(pending);
        Ok(jobs.len())
    }

    fn collect(&mut self) -> DeviceAnswers<Point> {
        let Some(pending) = self.flying.pop_front() else {
            let nothing = format!("nothing of {} is in flight", PedersenCommit::NAME);
            return Err(DeviceError::Rejected(nothing));
        };
        let points = self.committer.collect(pending).map_err(failure)?;
        Ok(points.into_iter().map(Some).collect())
    }
}
