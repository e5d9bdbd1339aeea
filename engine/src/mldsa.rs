//! ML-DSA verification as a kernel of the engine.

use std::hash::Hasher;
#[cfg(feature = "gpu")]
use std::time::Duration;

#[cfg(feature = "gpu")]
use pars_kernels::mldsa::gpu::{BatchVerifier, GpuVerdict, Tuning};
use pars_kernels::mldsa::{self, Message, ParameterSet, VerifyJob};

#[cfg(feature = "gpu")]
use crate::context::GpuContext;
#[cfg(feature = "gpu")]
use crate::error::DeviceError;
use crate::kernel::Kernel;
#[cfg(feature = "gpu")]
use crate::kernel::{Accelerator, DeviceAnswers};
use crate::keys::KeyCache;
use crate::stats::CacheStats;

/// Bytes of the message that shows what bytes cost: the longest that devices hash by themselves.
const LONG_MESSAGE: usize = 16 << 10;

/// ML-DSA verification (FIPS 204 Algorithms 3 and 8): job [`VerifyJob`], output "is the signature
/// valid". One batch holds any mix of ML-DSA-44, -65 and -87.
///
/// On the CPU, keys that come again are kept prepared in a [`KeyCache`]; a job that carries its key
/// ([`VerifyJob::with_key`]) does without. Devices keep keys in their own memory by the same rule: at the
/// second use, or at the first of a job that carries its key.
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

    /// Permutations of Keccak that a fresh key's verification takes, in twenties.
    fn job_weight(job: &VerifyJob) -> u32 {
        match job.parameter_set() {
            ParameterSet::MlDsa44 => 5,
            ParameterSet::MlDsa65 => 9,
            ParameterSet::MlDsa87 => 16,
        }
    }

    /// The start of the commitment hash and the length of it all: the whole would cost a tenth of a verification with a prepared
    /// key. Whoever makes jobs that differ only elsewhere keeps no more than those from being shared.
    fn fingerprint(job: &VerifyJob, hasher: &mut impl Hasher) -> bool {
        hasher.write_u64(u64::from_le_bytes(job.commitment_start()));
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

    /// A valid signature of each set, ML-DSA-65 first, and one under a message so long that its bytes show.
    /// Its signature is of another message, which is found out by the last comparison.
    fn samples() -> Vec<VerifyJob> {
        let mut samples: Vec<_> = ParameterSet::ALL
            .iter()
            .filter_map(|set| {
                let valid =
                    |(job, valid): &(VerifyJob, bool)| *valid && job.parameter_set() == *set;
                let found = mldsa::known_answers().into_iter().find(valid)?;
                Some(found.0)
            })
            .collect();
        samples.sort_by_key(|job| job.parameter_set() != ParameterSet::MlDsa65);
        let long = samples.first().and_then(|usual| {
            let message = Message::Formatted {
                prefix: &[],
                message: &[0; LONG_MESSAGE],
            };
            VerifyJob::new(usual.public_key(), message, usual.signature()).ok()
        });
        samples.extend(long);
        samples
    }

    fn must_confirm(valid: &bool) -> bool {
        !valid
    }

    #[cfg(feature = "gpu")]
    fn open_gpu(
        context: &GpuContext<'_>,
        cache: &KeyCache,
    ) -> Result<Option<Box<dyn Accelerator<Self>>>, DeviceError> {
        let verifier = on_device(context, cache.device_bytes())?;
        Ok(Some(Box::new(verifier)))
    }
}

/// What the shapes of the shaders are remembered under.
#[cfg(feature = "gpu")]
const TUNING: &str = "tuning";

/// A verifier of the shapes found at an earlier start, else by measurement, with resident keys, all
/// within the memory that the context gives.
#[cfg(feature = "gpu")]
fn on_device(context: &GpuContext<'_>, key_bytes: u64) -> Result<BatchVerifier, DeviceError> {
    let device = context.device();
    let keys = key_bytes.min(context.memory() / 2);
    // A sixteenth is for constants, uniforms and entries, which the shapes do not count.
    let most = context.memory() - keys;
    let most = most - most / 16;
    let within = |mut tuning: Tuning| {
        tuning.memory = tuning.memory.min(most);
        tuning
    };
    let known = context.recall(TUNING).and_then(|text| text.parse().ok());
    // Shapes that the device refuses after all are measured again.
    let known = known.and_then(|known| BatchVerifier::with_tuning(device, within(known)).ok());
    let mut verifier = match known {
        Some(verifier) => verifier,
        None => {
            let verifier = BatchVerifier::new(device)?;
            let tuning = verifier.tuning();
            context.remember(TUNING, &tuning.to_string());
            if within(tuning) == tuning {
                verifier
            } else {
                BatchVerifier::with_tuning(device, within(tuning))?
            }
        }
    };
    if keys > 0 {
        verifier.keep_keys(keys)?;
    }
    Ok(verifier)
}

#[cfg(feature = "gpu")]
impl Accelerator<MlDsaVerify> for BatchVerifier {
    fn max_batch(&self) -> usize {
        Self::max_batch(self)
    }

    fn depth(&self) -> usize {
        self.tuning().slots.max(2)
    }

    fn submit(&mut self, jobs: &[&VerifyJob]) -> Result<usize, DeviceError> {
        Ok(Self::submit(self, jobs)?)
    }

    fn poll(&mut self, limit: Duration) -> Result<bool, DeviceError> {
        Ok(Self::poll(self, limit)?)
    }

    fn collect(&mut self) -> DeviceAnswers<bool> {
        let Some(verdicts) = Self::collect(self)? else {
            return Err(DeviceError::Rejected("nothing is in flight".to_owned()));
        };
        let answer = |verdict| match verdict {
            GpuVerdict::Valid => Some(true),
            GpuVerdict::Invalid => Some(false),
            GpuVerdict::Undecided => None,
        };
        Ok(verdicts.into_iter().map(answer).collect())
    }

    fn polls(&self) -> bool {
        true
    }

    fn memory(&self) -> Option<u64> {
        let keys = self.resident_keys().capacity;
        Some(self.tuning().memory.saturating_add(keys))
    }

    fn cache_stats(&self) -> Option<CacheStats> {
        let keys = self.resident_keys();
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        (keys.capacity > 0).then(|| CacheStats {
            hits: keys.hits,
            misses: keys.misses,
            admissions: keys.admissions,
            evictions: keys.evictions,
            keys: keys.keys,
            bytes: bytes(keys.bytes),
            budget: bytes(keys.capacity),
        })
    }
}
