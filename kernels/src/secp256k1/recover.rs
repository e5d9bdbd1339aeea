//! ECDSA public-key recovery with the rules of the EVM (Yellow Paper, appendices E.1 and F; SEC 1, section 4.1.6).

use super::{Equation, InputError, Point, Signature, combine, signature::Key};
use crate::{
    cpu::{Level, level},
    field::{
        batch_inverse,
        secp256k1::{Fn, Fp},
    },
    keccak::Sponge,
};

/// Jobs that share inversions and stay in the cache together.
const CHUNK: usize = 64;

/// One recovery: a hash, a signature with r and s in range, and the parity of y of the signature's point.
///
/// The x of that point is r itself: points with x from n up (recovery ids 2 and 3) are not recovered, as the EVM has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RecoverJob {
    hash: [u8; 32],
    signature: Signature,
    odd: bool,
}

impl RecoverJob {
    /// A recovery with v of 27 or 28, or the parity itself, 0 or 1.
    ///
    /// Any s from 1 to n - 1 is taken; transactions demand that s is low ([`Signature::is_low_s`]), the precompile does not.
    ///
    /// # Errors
    /// [`InputError::RecoveryValue`] for any other v.
    pub fn new(hash: &[u8; 32], v: u64, signature: Signature) -> Result<Self, InputError> {
        let odd = match v {
            0 | 27 => false,
            1 | 28 => true,
            given => return Err(InputError::RecoveryValue { given }),
        };
        Ok(Self {
            hash: *hash,
            signature,
            odd,
        })
    }

    /// The input of the precompile at address 1: hash, v, r and s in 32 bytes each; what is missing is zero, what is beyond is not
    /// looked at. v is 27 or 28 there.
    ///
    /// # Errors
    /// [`InputError`]: the precompile then returns nothing.
    pub fn from_precompile_input(input: &[u8]) -> Result<Self, InputError> {
        let mut words = [[0u8; 32]; 4];
        for (word, bytes) in words.iter_mut().zip(input.chunks(32)) {
            for (to, from) in word.iter_mut().zip(bytes) {
                *to = *from;
            }
        }
        let [hash, v, r, s] = words;
        let v = match v {
            [zeros @ .., v] if zeros == [0; 31] => u64::from(v),
            _ => u64::MAX,
        };
        if !matches!(v, 27 | 28) {
            return Err(InputError::RecoveryValue { given: v });
        }
        Self::new(&hash, v, Signature::new(&r, &s)?)
    }

    /// The hash that was signed.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The signature.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Whether the y of the signature's point is odd.
    pub fn is_odd(&self) -> bool {
        self.odd
    }
}

/// The public keys, nothing where r is no x of a point or the key would be the identity.
///
/// Answers are independent of the batch and of the processor. Variable time.
pub fn recover_batch(jobs: &[&RecoverJob]) -> Vec<Option<Point>> {
    recover_batch_at(level(), jobs)
}

/// [`recover_batch`] by the code of one level, for tests and benchmarks; a level that the processor lacks is replaced by the
/// portable one.
pub fn recover_batch_at(level: Level, jobs: &[&RecoverJob]) -> Vec<Option<Point>> {
    jobs.chunks(CHUNK)
        .flat_map(|jobs| recover_chunk(level, jobs))
        .collect()
}

/// The addresses of the public keys: the last 20 bytes of Keccak-256 of both coordinates.
pub fn recover_addresses(jobs: &[&RecoverJob]) -> Vec<Option<[u8; 20]>> {
    recover_addresses_at(level(), jobs)
}

/// [`recover_addresses`] by the code of one level.
pub fn recover_addresses_at(level: Level, jobs: &[&RecoverJob]) -> Vec<Option<[u8; 20]>> {
    addresses_at(level, &recover_batch_at(level, jobs))
}

pub(super) fn addresses_at(level: Level, keys: &[Option<Point>]) -> Vec<Option<[u8; 20]>> {
    let encoded: Vec<[u8; 64]> = keys
        .iter()
        .map(|key| key.map_or([0; 64], |key| key.to_uncompressed()))
        .collect();
    let messages: Vec<[&[u8]; 2]> = encoded.iter().map(|bytes| [&bytes[..], &[]]).collect();
    let mut hashes = vec![0; 32 * keys.len()];
    Sponge::KECCAK256.hash_many_at(level, &messages, &mut hashes);
    keys.iter()
        .zip(hashes.as_chunks::<32>().0)
        .map(|(key, hash)| key.and(hash.last_chunk().copied()))
        .collect()
}

fn recover_chunk(level: Level, jobs: &[&RecoverJob]) -> Vec<Option<Point>> {
    combine(level, &equations(jobs))
}

/// Q = (s R - z G) / r.
pub(super) fn equations(jobs: &[&RecoverJob]) -> Vec<Equation> {
    let mut inverses: Vec<Fn> = jobs.iter().map(|job| job.signature.r).collect();
    batch_inverse(&mut inverses);
    jobs.iter()
        .zip(inverses)
        .map(|(job, inverse)| {
            let z = Fn::reduce_bytes_be(&job.hash);
            // r is below n, and n below p.
            let x = Fp::from_limbs(job.signature.r.to_limbs()).unwrap_or_default();
            Equation {
                generator: -(z * inverse),
                factor: job.signature.s * inverse,
                key: Key::compressed(x, job.odd),
            }
        })
        .collect()
}

/// Recoveries with their addresses, known from elsewhere: for self-tests.
pub fn recover_known_answers() -> Vec<(RecoverJob, Option<[u8; 20]>)> {
    super::known_answers::recover()
}
