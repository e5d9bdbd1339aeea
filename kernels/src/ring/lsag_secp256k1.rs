//! LSAG on secp256k1: the linkable ring signature of Liu, Wei and Wong (2004) with CryptoNote's key image I = x·Hp(P).
//!
//! ```text
//! Hp(P)   = RFC 9380 secp256k1_XMD:SHA-256_SSWU_RO_ of enc(P), tag "PARS-RING-v1-secp256k1_XMD:SHA-256_SSWU_RO_"
//! D, c    = see `Transcript`; 64 bytes become a number big-endian
//! c_{i+1} = Hs(D ‖ i ‖ enc(s_i·G + c_i·P_i) ‖ enc(s_i·Hp(P_i) + c_i·I))
//! ```
//!
//! enc is the compressed form of SEC 1, 33 bytes. A signature `I ‖ c_0 ‖ s_0 ‖ … ‖ s_{n−1}` is accepted if and only if
//! 1. there are 2 to 128 members, all different, each a compressed point: first byte 2 or 3, x below p and on the curve (the identity
//!    has no such form);
//! 2. I is a compressed point;
//! 3. c_0 and all s are below the order;
//! 4. c_n = c_0, where no sum on the way is the identity.

#[cfg(feature = "gpu")]
pub mod gpu;

use std::collections::HashSet;
use std::sync::Arc;

use k256::elliptic_curve::{
    PrimeField,
    bigint::U512,
    ops::Reduce,
    sec1::{FromEncodedPoint, ToEncodedPoint},
    subtle::{ConditionallySelectable, ConstantTimeEq, ConstantTimeGreater},
};
use k256::{AffinePoint, EncodedPoint, ProjectivePoint, Scalar, WideBytes};
use zeroize::Zeroizing;

use super::job::members as ring_members;
use super::members::Members;
use super::transcript::nonces;
use super::{LsagJob, RingError, Scheme, Transcript};
use crate::cpu::{Level, level};
use crate::secp256k1::{
    Fn, Point,
    batch::{Combination, PointTable, sums_of_two, sums_with_generator, tables},
    decode_compressed, hash_to_curve_at,
    known_answers::hex,
    wide_scalar,
};

/// The domain separation tag of Hp.
const TAG: &[u8] = b"PARS-RING-v1-secp256k1_XMD:SHA-256_SSWU_RO_";

/// Rings whose chains are walked together: their members' tables stay in the cache.
const CHUNK: usize = 64;

/// A signature to verify.
pub type Job = LsagJob<33>;

/// A member of a ring: its point, and the hash to a point of its encoding.
#[derive(Clone, Copy, Debug)]
pub struct LsagMember {
    key: Point,
    hash: Point,
}

/// Members of rings that are kept prepared.
pub type LsagMembers = Members<[u8; 33], LsagMember>;

/// Hp of encoded points.
fn hashes(level: Level, encoded: &[[u8; 33]]) -> Vec<Option<Point>> {
    let messages: Vec<&[u8]> = encoded.iter().map(|bytes| &bytes[..]).collect();
    hash_to_curve_at(level, &messages, TAG)
}

/// Hp of a compressed point, compressed. Nothing where the bytes are no point.
pub fn hash_to_point(encoded: &[u8; 33]) -> Option<[u8; 33]> {
    decode_compressed(level(), &[*encoded])[0]?;
    Some(hashes(level(), &[*encoded])[0]?.to_compressed())
}

/// Whether each signature is valid, by the best code of this processor. Members that come again are prepared once. Variable time:
/// everything is public.
pub fn verify_batch(jobs: &[&Job], members: &LsagMembers) -> Vec<bool> {
    verify_batch_at(level(), jobs, members)
}

/// Whether a signature is valid.
pub fn verify(job: &Job) -> bool {
    verify_batch(&[job], &Members::new(0)) == [true]
}

/// [`verify_batch`] by the code of one level, for tests and benchmarks; a level that this processor lacks is replaced by the portable
/// one. Equal verdicts on every level.
pub fn verify_batch_at(level: Level, jobs: &[&Job], members: &LsagMembers) -> Vec<bool> {
    let mut verdicts = vec![false; jobs.len()];
    // Rings of like size are walked together.
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|index| jobs[*index].ring().len());
    for places in order.chunks(CHUNK) {
        let group: Vec<&Job> = places.iter().map(|index| jobs[*index]).collect();
        for (index, valid) in places.iter().zip(verify_group(level, &group, members)) {
            verdicts[*index] = valid;
        }
    }
    verdicts
}

/// A signature whose encodings are good, its members, and where its chain stands.
struct Ring {
    /// The job that it is of.
    place: usize,
    members: Vec<Arc<LsagMember>>,
    transcript: Transcript,
    image: Point,
    responses: Vec<Fn>,
    first: Fn,
    challenge: Fn,
}

impl Ring {
    /// The next challenge, from s_i·G + c_i·P_i and s_i·Hp(P_i) + c_i·I; whether neither is the identity.
    fn advance(&mut self, step: usize, left: Option<Point>, right: Option<Point>) -> bool {
        let (Some(left), Some(right)) = (left, right) else {
            return false;
        };
        // A ring has at most 128 members.
        let hash =
            self.transcript
                .challenge(step as u16, &left.to_compressed(), &right.to_compressed());
        self.challenge = wide_scalar(&hash);
        true
    }

    /// Whether the chain has come round after a step; the verdict is then whether it closes.
    fn ends(&self, step: usize, verdicts: &mut [bool]) -> bool {
        let ends = step + 1 == self.members.len();
        if ends && let Some(verdict) = verdicts.get_mut(self.place) {
            *verdict = self.challenge == self.first;
        }
        ends
    }
}

/// The signatures whose encodings are good.
fn rings(level: Level, jobs: &[&Job], members: &LsagMembers) -> Vec<Ring> {
    let keys: Vec<[u8; 33]> = jobs.iter().flat_map(|job| job.ring()).copied().collect();
    let mut prepared = members
        .get(&keys, |missing| prepare(level, missing))
        .into_iter();
    let images: Vec<[u8; 33]> = jobs.iter().map(|job| *job.image()).collect();
    let images = decode_compressed(level, &images);
    let mut rings = Vec::with_capacity(jobs.len());
    for (place, (job, image)) in jobs.iter().zip(images).enumerate() {
        // All are taken, so that the next job's come next.
        let members: Vec<_> = prepared.by_ref().take(job.ring().len()).collect();
        let members: Option<Vec<_>> = members.into_iter().collect();
        let responses: Result<Vec<Fn>, _> = job.responses().iter().map(Fn::from_bytes_be).collect();
        let first = Fn::from_bytes_be(job.challenge());
        let distinct = HashSet::<&[u8; 33]>::from_iter(job.ring()).len() == job.ring().len();
        if let (Some(members), Ok(responses), Ok(first), Some(image), true) =
            (members, responses, first, image, distinct)
        {
            rings.push(Ring {
                place,
                members,
                transcript: Transcript::new(
                    Scheme::Secp256k1,
                    job.ring(),
                    job.image(),
                    job.message(),
                ),
                image,
                responses,
                first,
                challenge: first,
            });
        }
    }
    rings
}

fn verify_group(level: Level, jobs: &[&Job], members: &LsagMembers) -> Vec<bool> {
    let rings = rings(level, jobs, members);
    let images: Vec<Point> = rings.iter().map(|ring| ring.image).collect();
    let images = tables(level, &images);
    let mut rings: Vec<(Ring, &PointTable)> = rings.into_iter().zip(&images).collect();
    let mut verdicts = vec![false; jobs.len()];
    let longest = rings.iter().map(|(ring, _)| ring.members.len()).max();
    for step in 0..longest.unwrap_or(0) {
        walk(level, step, &mut rings);
        // A chain that has come round is compared; one that met the identity has left.
        rings.retain(|(ring, _)| !ring.ends(step, &mut verdicts));
    }
    verdicts
}

/// One step of every chain: from c_i to c_{i+1}. Chains in which a sum is the identity leave the list.
fn walk(level: Level, step: usize, rings: &mut Vec<(Ring, &PointTable)>) {
    // Made anew for each step: tables of all members would not fit the cache.
    let points: Vec<Point> = rings
        .iter()
        .flat_map(|(ring, _)| [ring.members[step].key, ring.members[step].hash])
        .collect();
    let tables = tables(level, &points);
    let (left, right): (Vec<Combination<'_, 1>>, Vec<Combination<'_, 2>>) = rings
        .iter()
        .zip(tables.as_chunks::<2>().0)
        .map(|((ring, image), [key, hash])| {
            let (s, c) = (ring.responses[step], ring.challenge);
            let left = Combination {
                generator: s,
                points: [(c, key)],
            };
            let right = Combination {
                generator: Fn::ZERO,
                points: [(s, hash), (c, *image)],
            };
            (left, right)
        })
        .unzip();
    let left = sums_with_generator(level, &left);
    let right = sums_of_two(level, &right);
    let mut sums = left.into_iter().zip(right);
    rings.retain_mut(|(ring, _)| {
        let (left, right) = sums.next().unwrap_or_default();
        ring.advance(step, left, right)
    });
}

/// Decodes members and hashes their encodings to points.
fn prepare(level: Level, encoded: &[[u8; 33]]) -> Vec<Option<LsagMember>> {
    let keys = decode_compressed(level, encoded);
    keys.into_iter()
        .zip(hashes(level, encoded))
        .map(|(key, hash)| key.zip(hash).map(|(key, hash)| LsagMember { key, hash }))
        .collect()
}

/// A secret key between 1 and the order.
fn scalar(secret: &[u8; 32]) -> Result<Zeroizing<Scalar>, RingError> {
    let scalar = Option::<Scalar>::from(Scalar::from_repr((*secret).into()))
        .map(Zeroizing::new)
        .ok_or(RingError::SecretKey)?;
    if bool::from(scalar.ct_eq(&Scalar::ZERO)) {
        return Err(RingError::SecretKey);
    }
    Ok(scalar)
}

/// The compressed form of a point that is not the identity.
fn encode(point: &ProjectivePoint) -> [u8; 33] {
    let mut bytes = [0; 33];
    let encoded = point.to_affine().to_encoded_point(true);
    // The identity would have one byte.
    for (to, from) in bytes.iter_mut().zip(encoded.as_bytes()) {
        *to = *from;
    }
    bytes
}

/// A point of the house as one of the constant-time code.
fn constant_time(point: Point) -> Option<ProjectivePoint> {
    let encoded = EncodedPoint::from_bytes([&[4], &point.to_uncompressed()[..]].concat()).ok()?;
    Option::<AffinePoint>::from(AffinePoint::from_encoded_point(&encoded)).map(Into::into)
}

/// 64 big-endian bytes modulo the order.
fn wide(bytes: &[u8; 64]) -> Scalar {
    <Scalar as Reduce<U512>>::reduce_bytes(&WideBytes::from(*bytes))
}

/// The public key x·G of a secret key, compressed. Constant time for secret keys that are accepted.
///
/// # Errors
/// [`RingError::SecretKey`].
pub fn public_key(secret: &[u8; 32]) -> Result<[u8; 33], RingError> {
    Ok(encode(&(ProjectivePoint::GENERATOR * *scalar(secret)?)))
}

/// The key image x·Hp(x·G) of a secret key, compressed: the same in every ring. Constant time for secret keys that are accepted; the
/// public key counts as public.
///
/// # Errors
/// [`RingError::SecretKey`].
pub fn key_image(secret: &[u8; 32]) -> Result<[u8; 33], RingError> {
    let x = scalar(secret)?;
    let public = public_key(secret)?;
    // No encoding is known that hashes to the identity.
    let hash = hashes(level(), &[public])[0]
        .and_then(constant_time)
        .ok_or(RingError::SecretKey)?;
    Ok(encode(&(hash * *x)))
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
    let ring: Vec<[u8; 33]> = ring_members(ring)?;
    let points = decode_compressed(level(), &ring);
    let hashed = hashes(level(), &ring);
    let mut seen = HashSet::new();
    let (mut keys, mut bases) = (Vec::new(), Vec::new());
    for (i, member) in ring.iter().enumerate() {
        let pair = points[i]
            .and_then(constant_time)
            .zip(hashed[i].and_then(constant_time))
            .filter(|_| seen.insert(*member));
        let (key, base) = pair.ok_or(RingError::Member(i))?;
        keys.push(key);
        bases.push(base);
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
    if !bool::from(pick(&keys, signer).ct_eq(&(ProjectivePoint::GENERATOR * *x))) {
        return Err(RingError::InvalidKey);
    }
    let base = pick(&bases, signer);
    let image_point = base * *x;
    let image = encode(&image_point);
    let transcript = Transcript::new(Scheme::Secp256k1, &ring, &image, message);
    let challenge = |i: u16, left: ProjectivePoint, right: ProjectivePoint| {
        wide(&transcript.challenge(i, &encode(&left), &encode(&right)))
    };

    // The nonce of the signer is what hides the key; those of the others are their responses.
    let mut responses: Zeroizing<Vec<Scalar>> = Zeroizing::new(
        nonces(seed, secret, Scheme::Secp256k1, &ring, &image, message)
            .iter()
            .map(|nonce| wide(nonce))
            .collect(),
    );
    let nonce = Zeroizing::new(pick(&responses, signer));
    let mut c = challenge(signer, ProjectivePoint::GENERATOR * *nonce, base * *nonce);
    let mut first = c;
    let mut i = signer;
    for _ in 1..members {
        i = next(i, members);
        first.conditional_assign(&c, i.ct_eq(&0));
        let s = pick(&responses, i);
        let left = ProjectivePoint::GENERATOR * s + pick(&keys, i) * c;
        let right = pick(&bases, i) * s + image_point * c;
        c = challenge(i, left, right);
    }
    first.conditional_assign(&c, signer.ct_eq(&0));
    let response = Zeroizing::new(*nonce - c * *x);
    for (i, s) in (0..members).zip(responses.iter_mut()) {
        s.conditional_assign(&response, i.ct_eq(&signer));
    }
    let mut signature = Vec::with_capacity(Job::signature_length(ring.len()));
    signature.extend(image);
    signature.extend(first.to_repr());
    for s in responses.iter() {
        signature.extend(s.to_repr());
    }
    Ok(signature)
}

/// The item at a secret place: all are looked at.
fn pick<T: ConditionallySelectable>(items: &[T], at: u16) -> T {
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

/// Signatures with their verdicts, for self-tests. Made with constant-time code that verification shares nothing with.
pub fn known_answers() -> Vec<(Job, bool)> {
    // The keys of the secrets 0x01…01, 0x02…02 and 0x03…03, and signatures of the last member on "pars" with the seed 0x07…07.
    const MEMBERS: [&str; 3] = [
        "031b84c5567b126440995d3ed5aaba0565d71e1834604819ff9c17f5e9d5dd078f",
        "024d4b6cd1361032ca9bd2aeb9d900aa4d45d9ead80ac9423374c451a7254d0766",
        "02531fe6068134503d2723133227c867ac8fa6c83c537e9a44c3c5bdbdcb1fe337",
    ];
    const TWO: &str = "03b4b0fb79f9e51cc7c929f00c6f633fb4a7f1968e49d44a967bbe6ef4de1888dd2d904743625109990f0b162b200158c8\
                       1dbce5e99b8f1537ccb3652c4c2dc74840348f67f6f22cf78232712f4faa3a37e9f3db0c894124dab0ee5ffb942d5dbb\
                       0452296e6851e3c467efcda7e9eabe6eee4da63e2675e01f73c0407dfe1cf9df";
    const THREE: &str = "02af13737c7318a77b6d06a5fb97b5dbcd8d7bf63e76b57de7ef28ae1365d9c5ff7360a26e967d6401001ec01039c8cc\
                         105ad1aa9b967e29239c36f1fdfde86ce13b556fa6e9d3caacef44ed57855001e9c3ffa3582428c78c9cc9d5c984a55e\
                         61322c0d0e23699d57b097b851f3546b46df914ba048db14931dc725725d5c78d58279cff416c3decb9444a40142d938\
                         1d727f9f00d7a6d09dbd7bf95f7f015d83";
    let ring = MEMBERS.map(hex::<33>);
    let mut answers = Vec::new();
    let mut add = |ring: &[[u8; 33]], message: &[u8], signature: &[u8], valid: bool| {
        if let Ok(job) = Job::new(ring, message, signature) {
            answers.push((job, valid));
        }
    };
    let (two, three): ([u8; 129], [u8; 161]) = (hex(TWO), hex(THREE));
    add(&ring[..2], b"pars", &two, true);
    add(&ring, b"pars", &three, true);
    add(&ring, b"spar", &three, false);
    add(&[ring[1], ring[0]], b"pars", &two, false);
    add(&[ring[1], ring[1]], b"pars", &two, false);
    // The mirrored image, a response of n or more, an image that is no point.
    let mut damaged = three;
    damaged[0] ^= 1;
    add(&ring, b"pars", &damaged, false);
    damaged = three;
    damaged[65..97].fill(0xff);
    add(&ring, b"pars", &damaged, false);
    damaged = three;
    damaged[..33].fill(0);
    add(&ring, b"pars", &damaged, false);
    answers
}
