//! ML-DSA verification as a kernel of the engine.

use std::hash::Hasher;

use pars_kernels::mldsa::{self, Representative, VerifyJob};

#[cfg(feature = "gpu")]
use crate::context::GpuContext;
#[cfg(feature = "gpu")]
use crate::error::DeviceError;
#[cfg(feature = "gpu")]
use crate::kernel::Accelerator;
use crate::kernel::Kernel;
use crate::keys::KeyCache;
use crate::stats::CacheStats;

/// Bytes of a part's start and end that tell jobs apart.
const SAMPLE: usize = 32;

/// ML-DSA verification (FIPS 204 Algorithms 3 and 8): job [`VerifyJob`], output "is the signature
/// valid". One batch holds any mix of ML-DSA-44, -65 and -87.
///
/// On the CPU, keys that come again are kept prepared in a [`KeyCache`]; a job that carries its key
/// ([`VerifyJob::with_key`]) does without. Devices work on fresh keys.
#[derive(Clone, Copy, Debug)]
pub struct MlDsaVerify;

impl Kernel for MlDsaVerify {
    type Job = VerifyJob;
    type Output = bool;
    type State = KeyCache;
    const NAME: &'static str = "mldsa/verify";
    /// Hashing shares vector lanes between signatures; from here on a job costs least.
    const CPU_CHUNK: usize = 64;

    fn job_bytes(job: &VerifyJob) -> usize {
        job.size()
    }

    /// Samples of all parts; the whole would cost a tenth of a verification with a prepared key. Whoever
    /// makes jobs that differ only elsewhere keeps no more than those from being shared.
    fn fingerprint(job: &VerifyJob, hasher: &mut impl Hasher) -> bool {
        let message: &[u8] = match job.representative() {
            Representative::Formatted(bytes) => bytes,
            Representative::Mu(mu) => mu,
        };
        // The commitment hash is at the start of a signature, the hints are at its end.
        for part in [job.public_key(), job.signature(), message] {
            hasher.write(part.first_chunk::<SAMPLE>().map_or(part, |part| part));
            hasher.write(part.last_chunk::<SAMPLE>().map_or(part, |part| part));
        }
        hasher.write_usize(job.size());
        true
    }

    fn same(one: &VerifyJob, other: &VerifyJob) -> bool {
        one == other
    }

    fn run_cpu(job: &VerifyJob) -> bool {
        mldsa::verify(job)
    }

    fn run_cpu_batch(cache: &KeyCache, jobs: &[&VerifyJob]) -> Vec<bool> {
        let cached: Vec<_> = jobs
            .iter()
            .map(|job| match job.key() {
                Some(_) => None,
                None => cache.get(job.public_key()),
            })
            .collect();
        let prepared: Vec<_> = jobs
            .iter()
            .zip(&cached)
            .map(|(&job, cached)| (job, job.key().or(cached.as_deref())))
            .collect();
        mldsa::verify_prepared(&prepared)
    }

    fn cache_stats(cache: &KeyCache) -> Option<CacheStats> {
        Some(cache.stats())
    }

    fn known_answers() -> Vec<(VerifyJob, bool)> {
        mldsa::known_answers()
    }

    fn must_confirm(valid: &bool) -> bool {
        !valid
    }

    #[cfg(feature = "gpu")]
    fn open_gpu(
        context: &GpuContext<'_>,
        _cache: &KeyCache,
    ) -> Result<Option<Box<dyn Accelerator<Self>>>, DeviceError> {
        let verifier = mldsa::gpu::BatchVerifier::new(context.device())?;
        Ok(Some(Box::new(verifier)))
    }
}

#[cfg(feature = "gpu")]
impl Accelerator<MlDsaVerify> for mldsa::gpu::BatchVerifier {
    fn max_batch(&self) -> usize {
        Self::max_batch(self)
    }

    fn run(&mut self, jobs: &[&VerifyJob]) -> Result<Vec<Option<bool>>, DeviceError> {
        use mldsa::gpu::GpuVerdict;
        let verdicts = self.verify(jobs)?;
        Ok(verdicts
            .into_iter()
            .map(|verdict| match verdict {
                GpuVerdict::Valid => Some(true),
                GpuVerdict::Invalid => Some(false),
                GpuVerdict::Undecided => None,
            })
            .collect())
    }
}
