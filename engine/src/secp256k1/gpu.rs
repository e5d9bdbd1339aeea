//! The kernels of secp256k1 on a device.

use std::collections::VecDeque;

use pars_kernels::curve::gpu::{CurveError, Tuning};
use pars_kernels::ring::lsag_secp256k1::{self, LsagMembers};
use pars_kernels::secp256k1::gpu::{BatchVerifier, PendingKeys, PendingVerdicts};

use super::{EcdsaRecover, EcdsaVerify, LsagSecp256k1Verify, SchnorrVerify};
use crate::context::GpuContext;
use crate::error::DeviceError;
use crate::kernel::{Accelerator, DeviceAnswers, Kernel};
use crate::stats::CacheStats;

/// Most bytes of a batch.
const BATCH_BYTES: usize = 64 << 20;

/// What a kernel does on a device.
pub(super) trait OnDevice: Kernel {
    /// A batch on its way.
    type Pending;

    /// Sends jobs off.
    fn send(verifier: &mut BatchVerifier, jobs: &[&Self::Job])
    -> Result<Self::Pending, CurveError>;

    /// Waits for them.
    fn answers(
        verifier: &mut BatchVerifier,
        pending: Self::Pending,
    ) -> Result<Vec<Self::Output>, CurveError>;
}

impl OnDevice for EcdsaRecover {
    type Pending = PendingKeys;

    fn send(verifier: &mut BatchVerifier, jobs: &[&Self::Job]) -> Result<PendingKeys, CurveError> {
        verifier.submit_recover(jobs)
    }

    fn answers(
        verifier: &mut BatchVerifier,
        pending: PendingKeys,
    ) -> Result<Vec<Self::Output>, CurveError> {
        verifier.collect_addresses(pending)
    }
}

impl OnDevice for EcdsaVerify {
    type Pending = PendingVerdicts;

    fn send(
        verifier: &mut BatchVerifier,
        jobs: &[&Self::Job],
    ) -> Result<PendingVerdicts, CurveError> {
        verifier.submit_ecdsa(jobs)
    }

    fn answers(
        verifier: &mut BatchVerifier,
        pending: PendingVerdicts,
    ) -> Result<Vec<bool>, CurveError> {
        verifier.collect_verdicts(pending)
    }
}

impl OnDevice for SchnorrVerify {
    type Pending = PendingVerdicts;

    fn send(
        verifier: &mut BatchVerifier,
        jobs: &[&Self::Job],
    ) -> Result<PendingVerdicts, CurveError> {
        verifier.submit_schnorr(jobs)
    }

    fn answers(
        verifier: &mut BatchVerifier,
        pending: PendingVerdicts,
    ) -> Result<Vec<bool>, CurveError> {
        verifier.collect_verdicts(pending)
    }
}

struct Verifying<K: OnDevice> {
    verifier: BatchVerifier,
    max_bytes: usize,
    flying: VecDeque<K::Pending>,
}

/// Shapes for a device of which a kernel may hold so much.
pub(crate) fn tuning(context: &GpuContext<'_>) -> Tuning {
    let memory = usize::try_from(context.memory()).unwrap_or(usize::MAX);
    let mut tuning = Tuning::of(context.device());
    // A sum has less than 2 KiB of tables, and half a kilobyte in each of three slots; sizes are rounded up to powers of two.
    tuning.max_batch = tuning.max_batch.min(memory >> 13).max(1);
    tuning
}

/// Opens a kernel.
pub(super) fn open<K: OnDevice>(
    context: &GpuContext<'_>,
) -> Result<Option<Box<dyn Accelerator<K>>>, DeviceError> {
    let memory = usize::try_from(context.memory()).unwrap_or(usize::MAX);
    let verifier =
        BatchVerifier::with_tuning(context.device(), tuning(context)).map_err(failure)?;
    Ok(Some(Box::new(Verifying::<K> {
        verifier,
        max_bytes: BATCH_BYTES.min(memory / 8),
        flying: VecDeque::new(),
    })))
}

impl<K: OnDevice> Accelerator<K> for Verifying<K> {
    fn max_batch(&self) -> usize {
        self.verifier.max_batch()
    }

    fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    fn run(&mut self, jobs: &[&K::Job]) -> DeviceAnswers<K::Output> {
        self.submit(jobs)?;
        self.collect()
    }

    fn depth(&self) -> usize {
        2
    }

    fn submit(&mut self, jobs: &[&K::Job]) -> Result<usize, DeviceError> {
        let pending = K::send(&mut self.verifier, jobs).map_err(failure)?;
        self.flying.push_back(pending);
        Ok(jobs.len())
    }

    fn collect(&mut self) -> DeviceAnswers<K::Output> {
        let Some(pending) = self.flying.pop_front() else {
            let nothing = format!("nothing of {} is in flight", K::NAME);
            return Err(DeviceError::Rejected(nothing));
        };
        let answers = K::answers(&mut self.verifier, pending).map_err(failure)?;
        Ok(answers.into_iter().map(Some).collect())
    }
}

/// Rings on a device, with a store of prepared members of its own.
struct Rings {
    verifier: lsag_secp256k1::gpu::BatchVerifier,
    members: LsagMembers,
    max_bytes: usize,
}

/// Opens the kernel of ring signatures. Members are kept beside the device as they are on the CPU.
pub(super) fn open_rings(
    context: &GpuContext<'_>,
    members: &LsagMembers,
) -> Result<Option<Box<dyn Accelerator<LsagSecp256k1Verify>>>, DeviceError> {
    let memory = usize::try_from(context.memory()).unwrap_or(usize::MAX);
    let verifier =
        lsag_secp256k1::gpu::BatchVerifier::with_tuning(context.device(), tuning(context))
            .map_err(failure)?;
    Ok(Some(Box::new(Rings {
        verifier,
        members: LsagMembers::new(members.stats().capacity),
        max_bytes: BATCH_BYTES.min(memory / 8),
    })))
}

impl Accelerator<LsagSecp256k1Verify> for Rings {
    /// Two cohorts.
    fn max_batch(&self) -> usize {
        self.verifier.max_batch().saturating_mul(2)
    }

    fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    fn run(&mut self, jobs: &[&lsag_secp256k1::Job]) -> DeviceAnswers<bool> {
        let verdicts = self.verifier.verify(jobs, &self.members).map_err(failure)?;
        Ok(verdicts.into_iter().map(Some).collect())
    }

    fn cache_stats(&self) -> Option<CacheStats> {
        Some(super::cache_stats(&self.members))
    }
}

/// A failure in the engine's words.
pub(crate) fn failure(error: CurveError) -> DeviceError {
    match error {
        CurveError::Gpu(error) => error.into(),
        CurveError::Unfinished { missing, sums, .. } => DeviceError::AnswerCount {
            asked: sums,
            got: sums.saturating_sub(missing),
        },
        other => DeviceError::Rejected(other.to_string()),
    }
}
