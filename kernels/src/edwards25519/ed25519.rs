//! Ed25519 verification with one acceptance rule, that of ZIP 215:
//!
//! 1. A and R are 32 bytes that decompress to a point of the curve. Every point is allowed, of small order too, and every encoding
//!    of it: a y coordinate of p or more counts modulo p, and the sign bit of x = 0 is ignored.
//! 2. S is a number below the order L of the base point.
//! 3. \[8\]\[S\]B = \[8\]R + \[8\]\[k\]A, where k = SHA-512(R ‖ A ‖ M) modulo L, over the bytes of R and A as they were given.
//!
//! The rule is the same alone and in a batch, whatever the neighbours, and on every instruction set: each signature's own equation is
//! computed. It accepts whatever RFC 8032's verification accepts.

#![allow(unsafe_code)]

use curve25519_dalek::Scalar;
use sha2::{Digest, Sha512};

use super::codec;
use super::lanes::{Lanes, MAX_LANES, Work, dispatch};
use super::point::Point;
use super::straus::{self, Tables};
use crate::cpu::{Level, level};

/// Why bytes cannot be a question about an Ed25519 signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LengthError {
    /// The public key.
    #[error("an Ed25519 public key of {0} bytes: give 32")]
    PublicKey(usize),
    /// The signature.
    #[error("an Ed25519 signature of {0} bytes: give 64")]
    Signature(usize),
}

/// A signature of Ed25519 to verify. Lengths are right; everything else is for the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerifyJob {
    key: [u8; 32],
    r: [u8; 32],
    s: [u8; 32],
    message: Vec<u8>,
}

impl VerifyJob {
    /// Takes the parts of a question.
    ///
    /// # Errors
    /// [`LengthError`] for a key that is not 32 or a signature that is not 64 bytes long.
    pub fn new(key: &[u8], message: &[u8], signature: &[u8]) -> Result<Self, LengthError> {
        let key = key
            .try_into()
            .map_err(|_| LengthError::PublicKey(key.len()))?;
        let ([r, s], []) = signature.as_chunks::<32>() else {
            return Err(LengthError::Signature(signature.len()));
        };
        Ok(Self {
            key,
            r: *r,
            s: *s,
            message: message.to_vec(),
        })
    }

    /// The public key A.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }
    /// R and S of the signature.
    pub fn signature(&self) -> (&[u8; 32], &[u8; 32]) {
        (&self.r, &self.s)
    }
    /// The message.
    pub fn message(&self) -> &[u8] {
        &self.message
    }
    /// Bytes that the job holds.
    pub fn size(&self) -> usize {
        96 + self.message.len()
    }
}

/// Whether a signature is valid.
pub fn verify(job: &VerifyJob) -> bool {
    verify_batch(&[job]) == [true]
}

/// Whether each signature is valid, by the best code of this processor.
pub fn verify_batch(jobs: &[&VerifyJob]) -> Vec<bool> {
    verify_batch_at(level(), jobs)
}

/// [`verify_batch`] by the code of one level, for tests and benchmarks; a level that has no code of its own here or that this
/// processor lacks is replaced by the portable one. Equal verdicts on every level.
pub fn verify_batch_at(level: Level, jobs: &[&VerifyJob]) -> Vec<bool> {
    dispatch(level, jobs.len(), Verify { jobs })
}

struct Verify<'a> {
    jobs: &'a [&'a VerifyJob],
}

impl<L: Lanes> Work<L> for Verify<'_> {
    type Output = Vec<bool>;
    #[inline(always)]
    unsafe fn run(self) -> Vec<bool> {
        let mut verdicts = Vec::with_capacity(self.jobs.len());
        let mut tables = Tables::new(1);
        for jobs in self.jobs.chunks(L::LANES) {
            // SAFETY: the caller's promise; no more jobs than lanes.
            let valid = unsafe { equation::<L>(jobs, &mut tables) };
            verdicts.extend((0..jobs.len()).map(|lane| valid >> lane & 1 == 1));
        }
        verdicts
    }
}

/// The lanes whose signature is valid. Takes from one to `LANES` jobs.
#[inline(always)]
unsafe fn equation<L: Lanes>(jobs: &[&VerifyJob], tables: &mut Tables) -> u8 {
    let mut keys = [[0; 32]; MAX_LANES];
    let mut rs = [[0; 32]; MAX_LANES];
    let mut k = [[0; 51]; MAX_LANES];
    let mut s = [[0; 26]; MAX_LANES];
    let mut below_order = 0;
    for (lane, job) in jobs.iter().enumerate() {
        keys[lane] = job.key;
        rs[lane] = job.r;
        k[lane] = straus::digits(&challenge(job));
        if is_below_order(&job.s) {
            below_order |= 1 << lane;
            s[lane] = straus::base_digits(&job.s);
        }
    }
    // SAFETY: the caller's promise.
    unsafe {
        let (is_a, a) = codec::decompress::<L>(&keys);
        let (is_r, r) = codec::decompress::<L>(&rs);
        tables.fill(0, a.negate());
        let sum: Point<L> = tables.sum([0], [&k], Some(&s));
        let difference = sum.add_cached(r.negate().cached());
        below_order & is_a & is_r & difference.doubles(3).is_identity()
    }
}

/// k = SHA-512(R ‖ A ‖ M) modulo L.
pub(crate) fn challenge(job: &VerifyJob) -> [u8; 32] {
    let hash = Sha512::new()
        .chain_update(job.r)
        .chain_update(job.key)
        .chain_update(&job.message)
        .finalize();
    Scalar::from_bytes_mod_order_wide(&hash.into()).to_bytes()
}

/// Whether 32 bytes are a number below the order L of the base point.
pub(crate) fn is_below_order(scalar: &[u8; 32]) -> bool {
    Option::<Scalar>::from(Scalar::from_canonical_bytes(*scalar)).is_some()
}

/// Questions with known answers: from RFC 8032 §7.1 and ZIP 215, and changes of them.
pub fn known_answers() -> Vec<(VerifyJob, bool)> {
    // RFC 8032 §7.1, test 2.
    const KEY: [u8; 32] = [
        0x3d, 0x40, 0x17, 0xc3, 0xe8, 0x43, 0x89, 0x5a, 0x92, 0xb7, 0x0a, 0xa7, 0x4d, 0x1b, 0x7e,
        0xbc, 0x9c, 0x98, 0x2c, 0xcf, 0x2e, 0xc4, 0x96, 0x8c, 0xc0, 0xcd, 0x55, 0xf1, 0x2a, 0xf4,
        0x66, 0x0c,
    ];
    const R: [u8; 32] = [
        0x92, 0xa0, 0x09, 0xa9, 0xf0, 0xd4, 0xca, 0xb8, 0x72, 0x0e, 0x82, 0x0b, 0x5f, 0x64, 0x25,
        0x40, 0xa2, 0xb2, 0x7b, 0x54, 0x16, 0x50, 0x3f, 0x8f, 0xb3, 0x76, 0x22, 0x23, 0xeb, 0xdb,
        0x69, 0xda,
    ];
    const S: [u8; 32] = [
        0x08, 0x5a, 0xc1, 0xe4, 0x3e, 0x15, 0x99, 0x6e, 0x45, 0x8f, 0x36, 0x13, 0xd0, 0xf1, 0x1d,
        0x8c, 0x38, 0x7b, 0x2e, 0xae, 0xb4, 0x30, 0x2a, 0xee, 0xb0, 0x0d, 0x29, 0x16, 0x12, 0xbb,
        0x0c, 0x00,
    ];
    // L, little-endian (RFC 8032 §5.1).
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let valid = VerifyJob {
        key: KEY,
        r: R,
        s: S,
        message: vec![0x72],
    };
    let mut other_message = valid.clone();
    other_message.message = vec![0x73];
    let mut s_plus_order = valid.clone();
    let mut carry = 0;
    for (byte, order) in s_plus_order.s.iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
    let mut no_point = valid.clone();
    // y = 2 is on no point.
    no_point.key = [0; 32];
    no_point.key[0] = 2;
    // The neutral point as p + 1 with a sign bit, for A and R, and S = 0: valid for every message.
    let mut lax = [0xff; 32];
    lax[0] = 0xee;
    let small_order = VerifyJob {
        key: lax,
        r: lax,
        s: [0; 32],
        message: b"any".to_vec(),
    };
    let mut small_order_r = valid.clone();
    small_order_r.r = lax;
    vec![
        (valid, true),
        (other_message, false),
        (s_plus_order, false),
        (no_point, false),
        (small_order, true),
        (small_order_r, false),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked() {
        assert_eq!(
            VerifyJob::new(&[0; 31], b"", &[0; 64]),
            Err(LengthError::PublicKey(31))
        );
        for length in [0, 32, 63, 65, 96] {
            assert_eq!(
                VerifyJob::new(&[0; 32], b"", &vec![0; length]),
                Err(LengthError::Signature(length))
            );
        }
    }

    #[test]
    fn known_answers_hold_on_every_level() {
        let known = known_answers();
        for level in Level::ALL {
            for (job, valid) in &known {
                assert_eq!(verify_batch_at(level, &[job]), [*valid], "{level} {job:?}");
            }
            // Every number of jobs, so that every job is in every lane.
            for length in 0..20 {
                for start in 0..known.len() {
                    let picked: Vec<_> = known.iter().cycle().skip(start).take(length).collect();
                    let jobs: Vec<_> = picked.iter().map(|(job, _)| job).collect();
                    let valid: Vec<_> = picked.iter().map(|(_, valid)| *valid).collect();
                    assert_eq!(verify_batch_at(level, &jobs), valid, "{level}");
                }
            }
        }
    }
}
