//! ECDSA verification (SEC 1, section 4.1.4).

use super::{Claim, Equation, InputError, Signature, combine, signature::Key};
use crate::{
    cpu::{Level, level},
    field::{batch_inverse, secp256k1::Fn},
};

/// Jobs that share inversions and stay in the cache together.
const CHUNK: usize = 64;

/// One verification: a public key, the hash of the message, r and s in range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VerifyJob {
    key: Key,
    hash: [u8; 32],
    signature: Signature,
}

impl VerifyJob {
    /// A verification under a key of 33 or 65 bytes as SEC 1 writes it. Low and high s are both taken; whoever accepts one form only
    /// asks [`Signature::is_low_s`].
    ///
    /// # Errors
    /// [`InputError`] for a key of another form or with a coordinate of p or more. A key that is not on the curve is no error: no
    /// signature is valid under it.
    pub fn new(
        public_key: &[u8],
        hash: &[u8; 32],
        signature: Signature,
    ) -> Result<Self, InputError> {
        Ok(Self {
            key: Key::parse(public_key)?,
            hash: *hash,
            signature,
        })
    }

    /// What the sum of the equation has to be.
    pub(super) fn claim(&self) -> Claim {
        Claim::Residue(self.signature.r)
    }
}

/// Whether each signature is valid: the key is a point of the curve, and the x of `(z G + r Q) / s` is r modulo n.
///
/// Answers are independent of the batch and of the processor. Variable time.
pub fn verify_batch(jobs: &[&VerifyJob]) -> Vec<bool> {
    verify_batch_at(level(), jobs)
}

/// [`verify_batch`] by the code of one level, for tests and benchmarks; a level that the processor lacks is replaced by the portable
/// one.
pub fn verify_batch_at(level: Level, jobs: &[&VerifyJob]) -> Vec<bool> {
    jobs.chunks(CHUNK)
        .flat_map(|jobs| verify_chunk(level, jobs))
        .collect()
}

fn verify_chunk(level: Level, jobs: &[&VerifyJob]) -> Vec<bool> {
    combine(level, &equations(jobs))
        .into_iter()
        .zip(jobs)
        .map(|(sum, job)| job.claim().holds(sum))
        .collect()
}

/// (z G + r Q) / s.
pub(super) fn equations(jobs: &[&VerifyJob]) -> Vec<Equation> {
    let mut inverses: Vec<Fn> = jobs.iter().map(|job| job.signature.s).collect();
    batch_inverse(&mut inverses);
    jobs.iter()
        .zip(inverses)
        .map(|(job, inverse)| Equation {
            generator: Fn::reduce_bytes_be(&job.hash) * inverse,
            factor: job.signature.r * inverse,
            key: job.key,
        })
        .collect()
}

/// Verifications with their verdicts, known from elsewhere: for self-tests.
pub fn known_answers() -> Vec<(VerifyJob, bool)> {
    super::known_answers::ecdsa()
}
