//! Schnorr verification (BIP-340).

use super::{Claim, Equation, combine, signature::Key};
use crate::{
    cpu::{Level, level},
    field::secp256k1::{Fn, Fp},
};
use sha2::{Digest, Sha256};
use std::sync::OnceLock;

/// Jobs that share inversions and stay in the cache together.
const CHUNK: usize = 64;

/// One verification: the x of a public key, a message of any length, and a signature.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerifyJob {
    public_key: [u8; 32],
    signature: [u8; 64],
    message: Box<[u8]>,
}

impl VerifyJob {
    /// Every input is one that BIP-340 gives a verdict on.
    pub fn new(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Self {
        Self {
            public_key: *public_key,
            signature: *signature,
            message: message.into(),
        }
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.message.len()
    }

    /// r, s and the key's x, if all are in range.
    fn parse(&self) -> Option<(Fp, Fn, Fp)> {
        let (r, s) = self.signature.split_first_chunk()?;
        Some((
            Fp::from_bytes_be(r).ok()?,
            Fn::from_bytes_be(s.try_into().ok()?).ok()?,
            Fp::from_bytes_be(&self.public_key).ok()?,
        ))
    }

    /// What the sum of the equation has to be.
    pub(super) fn claim(&self) -> Claim {
        self.parse()
            .map_or(Claim::Never, |(r, _, _)| Claim::EvenWith(r))
    }

    /// e, the challenge.
    fn challenge(&self) -> Fn {
        // SHA-256 after the two hashes of the tag, which fill its first block.
        static TAGGED: OnceLock<Sha256> = OnceLock::new();
        let mut hash = TAGGED
            .get_or_init(|| {
                let tag = Sha256::digest(b"BIP0340/challenge");
                Sha256::new().chain_update(tag).chain_update(tag)
            })
            .clone();
        let (r, _) = self.signature.split_at(32);
        hash.update(r);
        hash.update(self.public_key);
        hash.update(&self.message);
        Fn::reduce_bytes_be(&hash.finalize().into())
    }
}

/// Whether each signature is valid as BIP-340 says: x of the key and r below p, s below n, the key on the curve, `s G - e P` not the
/// identity, with an even y and the x r.
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

/// s G - e P; any for jobs with a number out of range.
pub(super) fn equations(jobs: &[&VerifyJob]) -> Vec<Equation> {
    jobs.iter()
        .map(|job| {
            let (_, s, x) = job.parse().unwrap_or_default();
            Equation {
                generator: s,
                factor: -job.challenge(),
                key: Key::compressed(x, false),
            }
        })
        .collect()
}

/// Verifications with their verdicts, known from elsewhere: for self-tests.
pub fn known_answers() -> Vec<(VerifyJob, bool)> {
    super::known_answers::schnorr()
}
