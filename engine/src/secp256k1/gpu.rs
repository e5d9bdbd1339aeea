//! The kernels of secp256k1 on a device.

use pars_kernels::ring::lsag_secp256k1::{self, LsagMembers};
use pars_kernels::secp256k1::gpu::{BatchVerifier, PendingKeys, PendingVerdicts};
use pars_kernels::secp256k1::{RecoverJob, ecdsa, schnorr};

use super::{EcdsaRecover, EcdsaVerify, LsagSecp256k1Verify, SchnorrVerify};
use crate::context::GpuContext;
use crate::curve::{PARTS, tuning};
use crate::error::DeviceError;
use crate::kernel::{Accelerator, DeviceAnswers, Kernel};
use crate::pipelined::{self, Batches};
use crate::ring::cache_stats;
use crate::stats::CacheStats;

impl Batches<EcdsaRecover> for BatchVerifier {
    type Pending = PendingKeys;

    fn max_batch(&self) -> usize {
        Self::max_batch(self)
    }

    fn send(&mut self, jobs: &[&RecoverJob]) -> Result<PendingKeys, DeviceError> {
        Ok(self.submit_recover(jobs)?)
    }

    fn answers(&mut self, pending: PendingKeys) -> DeviceAnswers<Option<[u8; 20]>> {
        let addresses = self.collect_addresses(pending)?;
        Ok(addresses.into_iter().map(Some).collect())
    }
}

impl Batches<EcdsaVerify> for BatchVerifier {
    type Pending = PendingVerdicts;

    fn max_batch(&self) -> usize {
        Self::max_batch(self)
    }

    fn send(&mut self, jobs: &[&ecdsa::VerifyJob]) -> Result<PendingVerdicts, DeviceError> {
        Ok(self.submit_ecdsa(jobs)?)
    }

    fn answers(&mut self, pending: PendingVerdicts) -> DeviceAnswers<bool> {
        verdicts(self, pending)
    }
}

impl Batches<SchnorrVerify> for BatchVerifier {
    type Pending = PendingVerdicts;

    fn max_batch(&self) -> usize {
        Self::max_batch(self)
    }

    fn send(&mut self, jobs: &[&schnorr::VerifyJob]) -> Result<PendingVerdicts, DeviceError> {
        Ok(self.submit_schnorr(jobs)?)
    }

    fn answers(&mut self, pending: PendingVerdicts) -> DeviceAnswers<bool> {
        verdicts(self, pending)
    }
}

fn verdicts(verifier: &mut BatchVerifier, pending: PendingVerdicts) -> DeviceAnswers<bool> {
    let verdicts = verifier.collect_verdicts(pending)?;
    Ok(verdicts.into_iter().map(Some).collect())
}

/// Opens a kernel.
pub(super) fn open<K: Kernel>(
    context: &GpuContext<'_>,
) -> Result<Option<Box<dyn Accelerator<K>>>, DeviceError>
where
    BatchVerifier: Batches<K>,
{
    let verifier = BatchVerifier::with_tuning(context.device(), tuning(context))?;
    pipelined::open(context, PARTS, verifier)
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
    let verifier =
        lsag_secp256k1::gpu::BatchVerifier::with_tuning(context.device(), tuning(context))?;
    Ok(Some(Box::new(Rings {
        verifier,
        members: LsagMembers::new(members.stats().capacity),
        max_bytes: pipelined::batch_bytes(context, PARTS),
    })))
}

/// The host takes part in every step of a ring, so that a batch is waited for before the next is sent.
impl Accelerator<LsagSecp256k1Verify> for Rings {
    /// Two cohorts.
    fn max_batch(&self) -> usize {
        self.verifier.max_batch().saturating_mul(2)
    }

    fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    fn run(&mut self, jobs: &[&lsag_secp256k1::Job]) -> DeviceAnswers<bool> {
        let verdicts = self.verifier.verify(jobs, &self.members)?;
        Ok(verdicts.into_iter().map(Some).collect())
    }

    fn cache_stats(&self) -> Option<CacheStats> {
        Some(cache_stats(self.members.stats()))
    }
}
