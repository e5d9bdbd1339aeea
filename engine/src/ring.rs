//! Verification of ring signatures as kernels of the engine.

use std::hash::Hasher;

use pars_kernels::ring::MembersStats;
use pars_kernels::ring::clsag::{self, ClsagJob, ClsagMembers};
use pars_kernels::ring::lsag_ristretto255::{self, LsagMembers};

use crate::kernel::Kernel;
use crate::stats::CacheStats;

/// Rings that fill the widest vector.
const LANES: usize = 8;

/// CLSAG verification as Monero defines it: job
/// [`ClsagJob`](pars_kernels::ring::clsag::ClsagJob), output "is the signature valid". Rings of any size
/// share a batch.
///
/// Ring members that come again are kept prepared where the engine is given a store of them:
/// `kernel_with::<ClsagVerify>(Members::new(16_384))`.
#[derive(Clone, Copy, Debug)]
pub struct ClsagVerify;

impl Kernel for ClsagVerify {
    type Job = ClsagJob;
    type Output = bool;
    type State = ClsagMembers;
    const NAME: &'static str = "clsag/verify";
    const CPU_CHUNK: usize = LANES;

    fn job_bytes(job: &ClsagJob) -> usize {
        job.size()
    }

    fn job_weight(job: &ClsagJob) -> u32 {
        weight(job.ring().len())
    }

    /// The first challenge depends on all that is signed.
    fn fingerprint(job: &ClsagJob, hasher: &mut impl Hasher) -> bool {
        for part in [job.challenge(), job.image(), job.message()] {
            hasher.write(part);
        }
        true
    }

    fn same(one: &ClsagJob, other: &ClsagJob) -> bool {
        one == other
    }

    fn run_cpu(job: &ClsagJob) -> bool {
        clsag::verify(job)
    }

    fn run_cpu_batch(members: &ClsagMembers, jobs: &[&ClsagJob]) -> Vec<bool> {
        clsag::verify_batch(jobs, members)
    }

    fn cache_stats(members: &ClsagMembers) -> Option<CacheStats> {
        Some(cache_stats(members.stats()))
    }

    fn known_answers() -> Vec<(ClsagJob, bool)> {
        clsag::known_answers()
    }

    fn must_confirm(valid: &bool) -> bool {
        !valid
    }

    /// The device prepares members itself, so it has no use for those that are kept.
    #[cfg(feature = "gpu")]
    fn open_gpu(
        context: &crate::GpuContext<'_>,
        _: &ClsagMembers,
    ) -> Result<Option<Box<dyn crate::Accelerator<Self>>>, crate::DeviceError> {
        crate::edwards25519::open::<Self, clsag::Clsag>(context)
    }
}

/// LSAG verification on ristretto255: job
/// [`lsag_ristretto255::Job`](pars_kernels::ring::lsag_ristretto255::Job), output "is the signature
/// valid". Rings of any size share a batch.
///
/// Ring members that come again are kept prepared where the engine is given a store of them:
/// `kernel_with::<LsagRistretto255Verify>(Members::new(16_384))`.
#[derive(Clone, Copy, Debug)]
pub struct LsagRistretto255Verify;

impl Kernel for LsagRistretto255Verify {
    type Job = lsag_ristretto255::Job;
    type Output = bool;
    type State = LsagMembers;
    const NAME: &'static str = "lsag-ristretto255/verify";
    const CPU_CHUNK: usize = LANES;

    fn job_bytes(job: &Self::Job) -> usize {
        job.size()
    }

    fn job_weight(job: &Self::Job) -> u32 {
        weight(job.ring().len())
    }

    /// The first challenge depends on all that is signed.
    fn fingerprint(job: &Self::Job, hasher: &mut impl Hasher) -> bool {
        hasher.write(job.challenge());
        hasher.write(job.image());
        hasher.write_usize(job.size());
        true
    }

    fn same(one: &Self::Job, other: &Self::Job) -> bool {
        one == other
    }

    fn run_cpu(job: &Self::Job) -> bool {
        lsag_ristretto255::verify(job)
    }

    fn run_cpu_batch(members: &LsagMembers, jobs: &[&Self::Job]) -> Vec<bool> {
        lsag_ristretto255::verify_batch(jobs, members)
    }

    fn cache_stats(members: &LsagMembers) -> Option<CacheStats> {
        Some(cache_stats(members.stats()))
    }

    fn known_answers() -> Vec<(Self::Job, bool)> {
        // Nothing where the keys were bad, which the kernel's tests rule out.
        lsag_ristretto255::known_answers().unwrap_or_default()
    }

    fn must_confirm(valid: &bool) -> bool {
        !valid
    }

    /// The device prepares members itself, so it has no use for those that are kept.
    #[cfg(feature = "gpu")]
    fn open_gpu(
        context: &crate::GpuContext<'_>,
        _: &LsagMembers,
    ) -> Result<Option<Box<dyn crate::Accelerator<Self>>>, crate::DeviceError> {
        crate::edwards25519::open::<Self, lsag_ristretto255::LsagRistretto255>(context)
    }
}

/// A ring costs as much as it has members.
fn weight(members: usize) -> u32 {
    u32::try_from(members).unwrap_or(u32::MAX)
}

/// What a store of members tells, in the engine's words. Members are let in at their first use, and leave by generations.
pub(crate) fn cache_stats(stats: MembersStats) -> CacheStats {
    let each = stats.bytes.checked_div(stats.entries).unwrap_or(0);
    CacheStats {
        hits: stats.hits,
        misses: stats.misses,
        admissions: stats.misses,
        evictions: stats.misses.saturating_sub(stats.entries as u64),
        keys: stats.entries,
        bytes: stats.bytes,
        budget: stats.capacity * each,
    }
}

#[cfg(test)]
mod tests {
    use pars_kernels::ring::Members;

    use super::*;

    /// Answers do not depend on what the store holds.
    fn check<K: Kernel<Output = bool>>(kept: &K::State) {
        let (jobs, valid): (Vec<_>, Vec<_>) = K::known_answers().into_iter().unzip();
        assert!(valid.contains(&true) && valid.contains(&false));
        let jobs: Vec<_> = jobs.iter().collect();
        assert_eq!(K::run_cpu_batch(&K::State::default(), &jobs), valid);
        assert_eq!(K::run_cpu_batch(kept, &jobs), valid);
        assert_eq!(K::run_cpu_batch(kept, &jobs), valid);
        for (job, valid) in jobs.iter().zip(valid) {
            assert_eq!(K::run_cpu(job), valid);
        }
        let stats = K::cache_stats(kept).unwrap();
        assert!(stats.hits > 0 && stats.keys > 0 && stats.bytes <= stats.budget);
    }

    #[test]
    fn rings_are_verified_with_and_without_kept_members() {
        check::<ClsagVerify>(&Members::new(64));
        check::<LsagRistretto255Verify>(&Members::new(64));
    }
}
