//! LSAG on ristretto255: the linkable ring signature of Liu, Wei and Wong (2004) with CryptoNote's key image I = x·Hp(P).
//!
//! ```text
//! Hp(P)   = RFC 9380 ristretto255_XMD:SHA-512_R255MAP_RO_ of enc(P), tag "PARS-RING-v1-ristretto255_XMD:SHA-512_R255MAP_RO_"
//! D, c    = see `Transcript`; 64 bytes become a number little-endian
//! c_{i+1} = Hs(D ‖ i ‖ enc(s_i·G + c_i·P_i) ‖ enc(s_i·Hp(P_i) + c_i·I))
//! ```
//!
//! A signature `I ‖ c_0 ‖ s_0 ‖ … ‖ s_{n−1}` is accepted if and only if
//! 1. there are 2 to 128 members, all different, none the identity, each a canonical encoding (RFC 9496 §4.3.1);
//! 2. I is a canonical encoding and not the identity;
//! 3. c_0 and all s are below the order;
//! 4. c_n = c_0.
#![allow(unsafe_code)]

#[cfg(feature = "gpu")]
mod gpu;

#[cfg(feature = "gpu")]
pub use gpu::LsagRistretto255;

use std::collections::HashSet;
use std::sync::Arc;

use curve25519_dalek::Scalar;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use sha2::Sha512;
use subtle::{ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater};
use zeroize::Zeroizing;

use super::job::members as ring_members;
use super::members::Members;
use super::transcript::nonces;
use super::{LsagJob, RingError, Scheme, Transcript, expand_message_xmd};
use crate::cpu::{Level, level};
use crate::edwards25519::ed25519::is_below_order;
use crate::edwards25519::fe::Fe;
use crate::edwards25519::lanes::{Lanes, MAX_LANES, Work, dispatch};
use crate::edwards25519::point::Point;
use crate::edwards25519::ristretto;
use crate::edwards25519::straus::{self, Tables};

/// The domain separation tag of Hp.
const TAG: &[u8] = b"PARS-RING-v1-ristretto255_XMD:SHA-512_R255MAP_RO_";

/// A signature to verify.
pub type Job = LsagJob<32>;

/// A member of a ring: its point, and the hash to a point of its encoding.
#[derive(Debug)]
pub struct LsagMember {
    key: Point<Fe>,
    hash: Point<Fe>,
}

/// Members of rings that are kept prepared.
pub type LsagMembers = Members<[u8; 32], LsagMember>;

/// The uniform bytes that Hp maps.
fn uniform(encoded: &[u8; 32]) -> [u8; 64] {
    let mut out = [0; 64];
    expand_message_xmd::<Sha512>(encoded, TAG, &mut out);
    out
}

/// Hp of an encoded point, encoded. Nothing where the bytes are no canonical encoding or the identity.
pub fn hash_to_point(encoded: &[u8; 32]) -> Option<[u8; 32]> {
    decode(encoded)?;
    Some(
        RistrettoPoint::from_uniform_bytes(&uniform(encoded))
            .compress()
            .to_bytes(),
    )
}

/// A point that may be a member.
fn decode(encoded: &[u8; 32]) -> Option<RistrettoPoint> {
    CompressedRistretto(*encoded)
        .decompress()
        .filter(|_| *encoded != [0; 32])
}

/// A secret key between 1 and the order.
fn scalar(secret: &[u8; 32]) -> Result<Zeroizing<Scalar>, RingError> {
    let scalar = Option::<Scalar>::from(Scalar::from_canonical_bytes(*secret))
        .map(Zeroizing::new)
        .ok_or(RingError::SecretKey)?;
    if bool::from(scalar.ct_eq(&Scalar::ZERO)) {
        return Err(RingError::SecretKey);
    }
    Ok(scalar)
}

/// The public key x·G of a secret key. Constant time for secret keys that are accepted.
///
/// # Errors
/// [`RingError::SecretKey`].
pub fn public_key(secret: &[u8; 32]) -> Result<[u8; 32], RingError> {
    let x = scalar(secret)?;
    Ok(RistrettoPoint::mul_base(&x).compress().to_bytes())
}

/// The key image x·Hp(x·G) of a secret key: the same in every ring. Constant time for secret keys that are accepted.
///
/// # Errors
/// [`RingError::SecretKey`].
pub fn key_image(secret: &[u8; 32]) -> Result<[u8; 32], RingError> {
    let x = scalar(secret)?;
    let public = RistrettoPoint::mul_base(&x).compress().to_bytes();
    let hash = RistrettoPoint::from_uniform_bytes(&uniform(&public));
    Ok((*x * hash).compress().to_bytes())
}

/// Signs as the member at `index`. The nonces come from `seed`, the secret key and all that is signed, so a seed may be used again.
///
/// Constant time in the secret key and the index, once both are accepted; variable in the size of the ring, the length of the message
/// and the ring's members.
///
/// # Errors
/// [`RingError::RingSize`], [`RingError::MemberLength`] or [`RingError::Member`] for the ring, [`RingError::SecretKey`],
/// [`RingError::Index`], and [`RingError::InvalidKey`] where the key is not that of the member.
pub fn sign<M: AsRef<[u8]>>(
    ring: &[M],
    message: &[u8],
    index: usize,
    secret: &[u8; 32],
    seed: &[u8; 32],
) -> Result<Vec<u8>, RingError> {
    let ring: Vec<[u8; 32]> = ring_members(ring)?;
    let mut seen = HashSet::new();
    let mut keys = Vec::with_capacity(ring.len());
    for (i, member) in ring.iter().enumerate() {
        let point = decode(member).filter(|_| seen.insert(*member));
        keys.push(point.ok_or(RingError::Member(i))?);
    }
    let x = scalar(secret)?;
    if index >= ring.len() {
        return Err(RingError::Index {
            index,
            members: ring.len(),
        });
    }
    // A ring has at most 128 members.
    let (signer, members) = (index as u16, ring.len() as u16);
    let hashes: Vec<_> = ring
        .iter()
        .map(|member| RistrettoPoint::from_uniform_bytes(&uniform(member)))
        .collect();
    let key = pick(&keys, signer);
    if !bool::from(key.ct_eq(&RistrettoPoint::mul_base(&x))) {
        return Err(RingError::InvalidKey);
    }
    let hash = pick(&hashes, signer);
    let image_point = *x * hash;
    let image = image_point.compress().to_bytes();
    let transcript = Transcript::new(Scheme::Ristretto255, &ring, &image, message);
    let challenge = |i: u16, left: RistrettoPoint, right: RistrettoPoint| {
        let bytes =
            transcript.challenge(i, left.compress().as_bytes(), right.compress().as_bytes());
        Scalar::from_bytes_mod_order_wide(&bytes)
    };

    // The nonce of the signer is what hides the key; those of the others are their responses.
    let mut responses: Zeroizing<Vec<Scalar>> = Zeroizing::new(
        nonces(seed, secret, Scheme::Ristretto255, &ring, &image, message)
            .iter()
            .map(|nonce| Scalar::from_bytes_mod_order_wide(nonce))
            .collect(),
    );
    let nonce = Zeroizing::new(pick(&responses, signer));
    let mut c = challenge(signer, RistrettoPoint::mul_base(&nonce), *nonce * hash);
    let mut first = c;
    let mut i = signer;
    for _ in 1..members {
        i = next(i, members);
        first.conditional_assign(&c, i.ct_eq(&0));
        let s = pick(&responses, i);
        let left = RistrettoPoint::mul_base(&s) + c * pick(&keys, i);
        let right = s * pick(&hashes, i) + c * image_point;
        c = challenge(i, left, right);
    }
    first.conditional_assign(&c, signer.ct_eq(&0));
    let response = *nonce - c * *x;
    for (i, s) in (0..members).zip(responses.iter_mut()) {
        s.conditional_assign(&response, i.ct_eq(&signer));
    }
    let mut signature = Vec::with_capacity(Job::signature_length(ring.len()));
    signature.extend(image);
    signature.extend(first.to_bytes());
    for s in responses.iter() {
        signature.extend(s.to_bytes());
    }
    Ok(signature)
}

/// The item at a secret place: all are looked at.
fn pick<T: ConditionallySelectable + Copy>(items: &[T], at: u16) -> T {
    let mut picked = items[0];
    for (i, item) in (0u16..).zip(items) {
        picked.conditional_assign(item, i.ct_eq(&at));
    }
    picked
}

/// i + 1, or 0 after the last member, without a branch.
fn next(i: u16, members: u16) -> u16 {
    let i = i + 1;
    u16::conditional_select(&0, &i, members.ct_gt(&i))
}

/// Whether a signature is valid.
pub fn verify(job: &Job) -> bool {
    verify_batch(&[job], &Members::new(0)) == [true]
}

/// Whether each signature is valid, by the best code of this processor. Members that come again are prepared once. Variable time:
/// everything is public.
pub fn verify_batch(jobs: &[&Job], members: &LsagMembers) -> Vec<bool> {
    verify_batch_at(level(), jobs, members)
}

/// [`verify_batch`] by the code of one level, for tests and benchmarks; a level that has no code of its own here or that this
/// processor lacks is replaced by the portable one. Equal verdicts on every level.
pub fn verify_batch_at(level: Level, jobs: &[&Job], members: &LsagMembers) -> Vec<bool> {
    let keys: Vec<_> = jobs.iter().flat_map(|job| job.ring()).copied().collect();
    let prepared = members.get(&keys, |missing| {
        dispatch(level, missing.len(), Prepare(missing))
    });
    let mut prepared = prepared.into_iter();
    let mut verdicts = vec![false; jobs.len()];
    let mut rings = Vec::with_capacity(jobs.len());
    for (index, job) in jobs.iter().enumerate() {
        // All are taken, so that the next job's come next.
        let members: Vec<_> = prepared.by_ref().take(job.ring().len()).collect();
        let members: Option<Vec<_>> = members.into_iter().collect();
        let distinct = HashSet::<&[u8; 32]>::from_iter(job.ring()).len() == job.ring().len();
        let scalars = job
            .responses()
            .iter()
            .chain([job.challenge()])
            .all(is_below_order);
        if let (Some(members), true, true) = (members, distinct, scalars) {
            rings.push(Ring {
                index,
                job,
                members,
            });
        }
    }
    // Rings of like size share lanes.
    rings.sort_by_key(|ring| ring.members.len());
    let valid = dispatch(level, rings.len(), Verify(&rings));
    for (ring, valid) in rings.iter().zip(valid) {
        verdicts[ring.index] = valid;
    }
    verdicts
}

/// Questions with known answers. The signatures come from [`sign`], whose arithmetic is that of `curve25519-dalek`.
///
/// # Errors
/// None: the keys are good.
pub fn known_answers() -> Result<Vec<(Job, bool)>, RingError> {
    let secrets = [1u8, 2, 3].map(|n| {
        let mut secret = [0; 32];
        secret[0] = n;
        secret
    });
    let ring = secrets
        .iter()
        .map(public_key)
        .collect::<Result<Vec<_>, _>>()?;
    let signature = sign(&ring, b"message", 1, &secrets[1], &[0; 32])?;
    let other_image = key_image(&secrets[0])?;
    let mut shifted = signature.clone();
    shifted[..32].copy_from_slice(&other_image);
    let mut duplicated = ring.clone();
    duplicated[2] = ring[0];
    let mut neutral = ring.clone();
    neutral[2] = [0; 32];
    Ok(vec![
        (Job::new(&ring, b"message", &signature)?, true),
        (Job::new(&ring, b"massage", &signature)?, false),
        (Job::new(&ring, b"message", &shifted)?, false),
        (Job::new(&duplicated, b"message", &signature)?, false),
        (Job::new(&neutral, b"message", &signature)?, false),
        (
            Job::new(&[ring[1], ring[0], ring[2]], b"message", &signature)?,
            false,
        ),
    ])
}

/// Decodes members and hashes their encodings to points.
struct Prepare<'a>(&'a [[u8; 32]]);

impl<L: Lanes> Work<L> for Prepare<'_> {
    type Output = Vec<Option<LsagMember>>;
    #[inline(always)]
    unsafe fn run(self) -> Self::Output {
        let mut out = Vec::with_capacity(self.0.len());
        for members in self.0.chunks(L::LANES) {
            let uniform: Vec<_> = members.iter().map(uniform).collect();
            // SAFETY: the caller's promise.
            unsafe {
                let (ok, key) = ristretto::decode::<L>(members);
                let hash = ristretto::from_uniform::<L>(&uniform).store();
                let key = key.store();
                for (lane, member) in members.iter().enumerate() {
                    let good = ok >> lane & 1 == 1 && *member != [0; 32];
                    out.push(good.then_some(LsagMember {
                        key: key[lane],
                        hash: hash[lane],
                    }));
                }
            }
        }
        out
    }
}

/// A signature whose encodings are good, and its members.
struct Ring<'a> {
    /// Its place in the batch.
    index: usize,
    job: &'a Job,
    members: Vec<Arc<LsagMember>>,
}

/// Walks the chains of rings, as many side by side as there are lanes.
struct Verify<'a>(&'a [Ring<'a>]);

impl<L: Lanes> Work<L> for Verify<'_> {
    type Output = Vec<bool>;
    #[inline(always)]
    unsafe fn run(self) -> Vec<bool> {
        let mut tables = Tables::new(3);
        let mut verdicts = Vec::with_capacity(self.0.len());
        for rings in self.0.chunks(L::LANES) {
            // SAFETY: the caller's promise; no more rings than lanes.
            let valid = unsafe { chains::<L>(rings, &mut tables) };
            verdicts.extend((0..rings.len()).map(|lane| valid >> lane & 1 == 1));
        }
        verdicts
    }
}

/// Places of tables.
const KEY: usize = 0;
const HASH: usize = 1;
const IMAGE: usize = 2;

/// The lanes whose ring is valid. Takes from one to `LANES` rings.
#[inline(always)]
unsafe fn chains<L: Lanes>(rings: &[Ring<'_>], tables: &mut Tables) -> u8 {
    let mut images = [[0; 32]; MAX_LANES];
    for (lane, ring) in rings.iter().enumerate() {
        images[lane] = *ring.job.image();
    }
    let transcripts: Vec<_> = rings
        .iter()
        .map(|ring| {
            let job = ring.job;
            Transcript::new(Scheme::Ristretto255, job.ring(), job.image(), job.message())
        })
        .collect();
    let mut c: Vec<[u8; 32]> = rings.iter().map(|ring| *ring.job.challenge()).collect();
    let mut valid;
    // SAFETY: the caller's promise.
    unsafe {
        let (is_image, image) = ristretto::decode::<L>(&images);
        valid = is_image;
        for (lane, image) in images.iter().enumerate() {
            valid &= !(u8::from(*image == [0; 32]) << lane);
        }
        tables.fill(IMAGE, image);
        let longest = rings.iter().map(|ring| ring.members.len()).max();
        for step in 0..longest.unwrap_or(0) {
            // A ring that has ended takes its last step again, and the result is not used.
            let at = |ring: &Ring<'_>| step.min(ring.members.len() - 1);
            let member = |lane: usize| {
                let ring = &rings[lane.min(rings.len() - 1)];
                &*ring.members[at(ring)]
            };
            let points: [_; MAX_LANES] = std::array::from_fn(member);
            tables.fill::<L>(
                KEY,
                Point::load(&points.map(|member| &raw const member.key)),
            );
            tables.fill::<L>(
                HASH,
                Point::load(&points.map(|member| &raw const member.hash)),
            );
            let mut c_i = [[0; 51]; MAX_LANES];
            let mut s_b = [[0; 26]; MAX_LANES];
            let mut s_h = [[0; 51]; MAX_LANES];
            for (lane, ring) in rings.iter().enumerate() {
                let response = &ring.job.responses()[at(ring)];
                c_i[lane] = straus::digits(&c[lane]);
                s_b[lane] = straus::base_digits(response);
                s_h[lane] = straus::digits(response);
            }
            let left = tables.sum::<L, 1>([KEY], [&c_i], Some(&s_b));
            let right = tables.sum::<L, 2>([HASH, IMAGE], [&s_h, &c_i], None);
            let left = ristretto::encode(left);
            let right = ristretto::encode(right);
            for (lane, ring) in rings.iter().enumerate() {
                if step < ring.members.len() {
                    // A ring has at most 128 members.
                    let hash = transcripts[lane].challenge(step as u16, &left[lane], &right[lane]);
                    c[lane] = Scalar::from_bytes_mod_order_wide(&hash).to_bytes();
                }
            }
        }
    }
    for (lane, ring) in rings.iter().enumerate() {
        valid &= !(u8::from(c[lane] != *ring.job.challenge()) << lane);
    }
    valid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_hold_on_every_level() {
        let (jobs, valid): (Vec<_>, Vec<_>) = known_answers().unwrap().into_iter().unzip();
        for level in Level::ALL {
            let jobs: Vec<_> = jobs.iter().collect();
            assert_eq!(verify_batch_at(level, &jobs, &Members::default()), valid);
        }
        assert!(verify(&jobs[0]));
    }
}
