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

pub use attempts::{Attempts, SecretKeyError};
pub use job::{InputError, Message, Representative, VerifyJob};
pub use known_answers::known_answers;
pub use params::{N, ParameterSet, Q};

/// Whether the signature of `job` is valid (FIPS 204, Algorithm 8), by the fastest path of this processor.
///
/// Never panics; every malformed key or signature is simply not valid. Variable time.
pub fn verify(job: &VerifyJob) -> bool {
    portable::verify(job)
}
