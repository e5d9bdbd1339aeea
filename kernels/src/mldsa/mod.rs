//! ML-DSA verification, FIPS 204: parameter sets ML-DSA-44, ML-DSA-65 and ML-DSA-87.
//!
//! A [`VerifyJob`] holds one question with every length checked; [`verify`] answers it. All inputs are public, so
//! verification is variable time. Signing and key generation are not here: the house takes them from the `ml-dsa` crate.
//! [`Attempts`] only walks through the rejection loop of signing, for callers that charge or bound it.

mod attempts;
#[cfg(feature = "gpu")]
pub mod gpu;
mod job;
mod known_answers;
mod params;
pub mod portable;
mod prepared;
#[cfg(target_arch = "x86_64")]
mod vector;

pub use attempts::{Attempts, SecretKeyError};
pub use job::{InputError, Message, Representative, VerifyJob};
pub use known_answers::known_answers;
pub use params::{N, ParameterSet, Q};
pub use prepared::PreparedKey;

use crate::cpu::{Level, level};

/// Whether the signature of `job` is valid (FIPS 204, Algorithm 8), by the fastest path of this processor.
///
/// Never panics; every malformed key or signature is simply not valid. Variable time.
pub fn verify(job: &VerifyJob) -> bool {
    verify_batch(&[job]).first().copied().unwrap_or(false)
}

/// The verdict of [`verify`] for each job, in order, by the fastest path of this processor.
///
/// Hashing shares vector lanes across signatures, so a batch of 64 and more costs least for each. Any mix of
/// parameter sets; a verdict never depends on the neighbours. Jobs that carry their key prepared
/// ([`VerifyJob::with_key`]) skip what depends on the key alone. Variable time.
pub fn verify_batch(jobs: &[&VerifyJob]) -> Vec<bool> {
    verify_batch_at(level(), jobs)
}

/// [`verify_batch`] by the code of one level, for tests and benchmarks; a level that this processor lacks is
/// replaced by the portable one. Equal verdicts on every level.
pub fn verify_batch_at(level: Level, jobs: &[&VerifyJob]) -> Vec<bool> {
    let jobs: Vec<_> = jobs.iter().map(|&job| (job, job.key())).collect();
    verify_prepared_at(level, &jobs)
}

/// [`verify_batch`] where some or all keys are prepared. The verdict is that of the job alone: a prepared key
/// that is not the job's is ignored.
pub fn verify_prepared(jobs: &[(&VerifyJob, Option<&PreparedKey>)]) -> Vec<bool> {
    verify_prepared_at(level(), jobs)
}

/// [`verify_prepared`] by the code of one level, as [`verify_batch_at`].
pub fn verify_prepared_at(level: Level, jobs: &[(&VerifyJob, Option<&PreparedKey>)]) -> Vec<bool> {
    let jobs: Vec<_> = jobs
        .iter()
        .map(|&(job, key)| (job, key.filter(|key| key.public_key() == job.public_key())))
        .collect();
    match level.available() {
        #[cfg(target_arch = "x86_64")]
        level @ (Level::Avx2 | Level::Avx512) => vector::batch::verify(level, &jobs),
        _ => jobs
            .iter()
            .map(|&(job, key)| portable::verify_with(job, key))
            .collect(),
    }
}
