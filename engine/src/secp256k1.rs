//! Signatures on secp256k1 as kernels of the engine: recovery, ECDSA, Schnorr, ring signatures.
//!
//! All of them have a GPU path. A recovery or verification is sent to a device with its neighbours; rings are walked there step by step,
//! all rings of a batch side by side.

#[cfg(feature = "gpu")]
mod gpu;

use std::hash::{Hash, Hasher};

use pars_kernels::ring::lsag_secp256k1::{self, LsagMembers};
use pars_kernels::secp256k1::{self, RecoverJob, ecdsa, schnorr};

use crate::kernel::Kernel;
use crate::ring::cache_stats;
use crate::stats::CacheStats;

/// Jobs that share an inversion in one call of the kernels.
const CHUNK: usize = 64;

/// ECDSA public-key recovery with the rules of the EVM: job
/// [`RecoverJob`](pars_kernels::secp256k1::RecoverJob), output the signer's address, or nothing where no key is
/// recovered.
#[derive(Clone, Copy, Debug)]
pub struct EcdsaRecover;

impl Kernel for EcdsaRecover {
    type Job = RecoverJob;
    type Output = Option<[u8; 20]>;
    type State = ();
    const NAME: &'static str = "secp256k1/recover";
    const CPU_CHUNK: usize = CHUNK;

    fn job_bytes(_: &RecoverJob) -> usize {
        size_of::<RecoverJob>()
    }

    fn fingerprint(job: &RecoverJob, hasher: &mut impl Hasher) -> bool {
        Hash::hash(job, hasher);
        true
    }

    fn same(one: &RecoverJob, other: &RecoverJob) -> bool {
        one == other
    }

    fn run_cpu(job: &RecoverJob) -> Option<[u8; 20]> {
        secp256k1::recover_addresses(&[job]).pop().flatten()
    }

    fn run_cpu_batch((): &(), jobs: &[&RecoverJob]) -> Vec<Option<[u8; 20]>> {
        secp256k1::recover_addresses(jobs)
    }

    fn known_answers() -> Vec<(RecoverJob, Option<[u8; 20]>)> {
        secp256k1::recover_known_answers()
    }

    fn must_confirm(address: &Option<[u8; 20]>) -> bool {
        address.is_none()
    }

    #[cfg(feature = "gpu")]
    fn open_gpu(
        context: &crate::GpuContext<'_>,
        (): &(),
    ) -> Result<Option<Box<dyn crate::Accelerator<Self>>>, crate::DeviceError> {
        gpu::open(context)
    }
}

/// ECDSA verification: job
/// [`ecdsa::VerifyJob`](pars_kernels::secp256k1::ecdsa::VerifyJob), output "is the signature valid". High and low s are both valid.
#[derive(Clone, Copy, Debug)]
pub struct EcdsaVerify;

impl Kernel for EcdsaVerify {
    type Job = ecdsa::VerifyJob;
    type Output = bool;
    type State = ();
    const NAME: &'static str = "secp256k1/ecdsa-verify";
    const CPU_CHUNK: usize = CHUNK;

    fn job_bytes(_: &ecdsa::VerifyJob) -> usize {
        size_of::<ecdsa::VerifyJob>()
    }

    fn fingerprint(job: &ecdsa::VerifyJob, hasher: &mut impl Hasher) -> bool {
        job.hash(hasher);
        true
    }

    fn same(one: &ecdsa::VerifyJob, other: &ecdsa::VerifyJob) -> bool {
        one == other
    }

    fn run_cpu(job: &ecdsa::VerifyJob) -> bool {
        ecdsa::verify_batch(&[job]) == [true]
    }

    fn run_cpu_batch((): &(), jobs: &[&ecdsa::VerifyJob]) -> Vec<bool> {
        ecdsa::verify_batch(jobs)
    }

    fn known_answers() -> Vec<(ecdsa::VerifyJob, bool)> {
        ecdsa::known_answers()
    }

    fn must_confirm(valid: &bool) -> bool {
        !valid
    }

    #[cfg(feature = "gpu")]
    fn open_gpu(
        context: &crate::GpuContext<'_>,
        (): &(),
    ) -> Result<Option<Box<dyn crate::Accelerator<Self>>>, crate::DeviceError> {
        gpu::open(context)
    }
}

/// Schnorr verification (BIP-340): job
/// [`schnorr::VerifyJob`](pars_kernels::secp256k1::schnorr::VerifyJob), output "is the signature valid".
#[derive(Clone, Copy, Debug)]
pub struct SchnorrVerify;

impl Kernel for SchnorrVerify {
    type Job = schnorr::VerifyJob;
    type Output = bool;
    type State = ();
    const NAME: &'static str = "secp256k1/schnorr-verify";
    const CPU_CHUNK: usize = CHUNK;

    fn job_bytes(job: &schnorr::VerifyJob) -> usize {
        job.size()
    }

    fn fingerprint(job: &schnorr::VerifyJob, hasher: &mut impl Hasher) -> bool {
        job.hash(hasher);
        true
    }

    fn same(one: &schnorr::VerifyJob, other: &schnorr::VerifyJob) -> bool {
        one == other
    }

    fn run_cpu(job: &schnorr::VerifyJob) -> bool {
        schnorr::verify_batch(&[job]) == [true]
    }

    fn run_cpu_batch((): &(), jobs: &[&schnorr::VerifyJob]) -> Vec<bool> {
        schnorr::verify_batch(jobs)
    }

    fn known_answers() -> Vec<(schnorr::VerifyJob, bool)> {
        schnorr::known_answers()
    }

    fn must_confirm(valid: &bool) -> bool {
        !valid
    }

    #[cfg(feature = "gpu")]
    fn open_gpu(
        context: &crate::GpuContext<'_>,
        (): &(),
    ) -> Result<Option<Box<dyn crate::Accelerator<Self>>>, crate::DeviceError> {
        gpu::open(context)
    }
}

/// Verification of linkable ring signatures on secp256k1 (LSAG): job
/// [`lsag_secp256k1::Job`](pars_kernels::ring::lsag_secp256k1::Job), output "is the signature valid". Rings of any size share a batch.
///
/// Ring members that come again are kept prepared where the engine is given a store of them:
/// `kernel_with::<LsagSecp256k1Verify>(Members::new(16_384))`.
#[derive(Clone, Copy, Debug)]
pub struct LsagSecp256k1Verify;

impl Kernel for LsagSecp256k1Verify {
    type Job = lsag_secp256k1::Job;
    type Output = bool;
    type State = LsagMembers;
    const NAME: &'static str = "lsag-secp256k1/verify";
    /// A chain is serial, so that lanes are filled by rings.
    const CPU_CHUNK: usize = 64;

    fn job_bytes(job: &lsag_secp256k1::Job) -> usize {
        job.size()
    }

    /// A member of a ring is two sums of multiples.
    fn job_weight(job: &lsag_secp256k1::Job) -> u32 {
        u32::try_from(job.ring().len()).unwrap_or(u32::MAX)
    }

    fn fingerprint(job: &lsag_secp256k1::Job, hasher: &mut impl Hasher) -> bool {
        job.hash(hasher);
        true
    }

    fn same(one: &lsag_secp256k1::Job, other: &lsag_secp256k1::Job) -> bool {
        one == other
    }

    fn run_cpu(job: &lsag_secp256k1::Job) -> bool {
        lsag_secp256k1::verify(job)
    }

    fn run_cpu_batch(members: &LsagMembers, jobs: &[&lsag_secp256k1::Job]) -> Vec<bool> {
        lsag_secp256k1::verify_batch(jobs, members)
    }

    fn cache_stats(members: &LsagMembers) -> Option<CacheStats> {
        Some(cache_stats(members.stats()))
    }

    fn known_answers() -> Vec<(lsag_secp256k1::Job, bool)> {
        lsag_secp256k1::known_answers()
    }

    fn must_confirm(valid: &bool) -> bool {
        !valid
    }

    #[cfg(feature = "gpu")]
    fn open_gpu(
        context: &crate::GpuContext<'_>,
        members: &LsagMembers,
    ) -> Result<Option<Box<dyn crate::Accelerator<Self>>>, crate::DeviceError> {
        gpu::open_rings(context, members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, GpuPolicy};
    use pars_kernels::ring::Members;

    /// Asks the known questions many times over, in an order that differs from round to round.
    fn ask<K: Kernel>(engine: &Engine)
    where
        K::Job: Clone,
    {
        let known = K::known_answers();
        assert!(known.iter().any(|(_, answer)| K::must_confirm(answer)));
        assert!(known.iter().any(|(_, answer)| !K::must_confirm(answer)));
        let questions: Vec<_> = (0..300).map(|i| &known[i * 7 % known.len()]).collect();
        let jobs = questions.iter().map(|(job, _)| job.clone()).collect();
        let answers = engine.call_many_blocking::<K>(jobs).unwrap();
        for (answer, (job, expected)) in answers.iter().zip(questions) {
            assert_eq!(answer, expected, "{}", K::NAME);
            assert_eq!(K::run_cpu(job), *expected, "{}", K::NAME);
        }
    }

    #[test]
    fn known_questions_in_an_engine() {
        let engine = Engine::builder()
            .gpu(GpuPolicy::Off)
            .kernel::<EcdsaRecover>()
            .kernel::<EcdsaVerify>()
            .kernel::<SchnorrVerify>()
            .kernel_with::<LsagSecp256k1Verify>(Members::new(64))
            .build()
            .unwrap();
        ask::<EcdsaRecover>(&engine);
        ask::<EcdsaVerify>(&engine);
        ask::<SchnorrVerify>(&engine);
        ask::<LsagSecp256k1Verify>(&engine);
        let stats = engine.stats();
        let rings = stats
            .kernels
            .iter()
            .find(|kernel| kernel.kernel == LsagSecp256k1Verify::NAME);
        let cache = rings.and_then(|kernel| kernel.cache).unwrap();
        assert!(cache.keys > 0 && cache.bytes <= cache.budget, "{cache:?}");
    }
}
