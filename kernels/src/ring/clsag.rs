//! CLSAG as Monero defines it (Goodell, Noether and Blue, "Concise Linkable Ring Signatures", 2019; Monero's `rctSigs.cpp`,
//! `verRctCLSAGSimple`): verification in batches.
//!
//! A ring is pairs of a one-time key P and a commitment C. The signature is D (stored divided by eight), c1 and a response for each
//! member. With Hp Monero's hash to a point, H Keccak-256 and Hs its value modulo L:
//!
//! ```text
//! mu_P, mu_C = Hs("CLSAG_agg_0" | "CLSAG_agg_1", all P, all C, I, D, pseudo_out)
//! L_i        = s_i G + c_i mu_P P_i + c_i mu_C (C_i − pseudo_out)
//! R_i        = s_i Hp(P_i) + c_i mu_P I + c_i mu_C 8 D
//! c_{i+1}    = Hs("CLSAG_round", all P, all C, pseudo_out, message, L_i, R_i)
//! ```
//!
//! Accepted if and only if
//! 1. there are 2 to 128 members and as many responses;
//! 2. every P, C, I, D and pseudo_out is the canonical encoding of a point of the curve (small order is allowed where not excluded);
//! 3. I has the order of the group (I ≠ 0 and L·I = 0), and 8 D ≠ 0;
//! 4. c1 and all s are below the order L;
//! 5. no challenge is zero, and the last is c1.
//!
//! Variable time: everything is public.
#![allow(unsafe_code)]

#[cfg(feature = "gpu")]
mod gpu;
mod known_answers;

#[cfg(feature = "gpu")]
pub use gpu::Clsag;

use std::sync::Arc;

use curve25519_dalek::Scalar;

use super::members::Members;
use super::{MAX_RING, MIN_RING, RingError};
use crate::cpu::{Level, level};
use crate::edwards25519::codec;
use crate::edwards25519::ed25519::is_below_order;
use crate::edwards25519::fe::Fe;
use crate::edwards25519::lanes::{Lanes, MAX_LANES, Work, dispatch};
use crate::edwards25519::monero;
use crate::edwards25519::point::Point;
use crate::edwards25519::straus::{self, Tables};
use crate::keccak::{self, Sponge};

/// The compressed key and commitment of a ring member.
pub type Pair = [[u8; 32]; 2];

/// A CLSAG to verify. Lengths are right; everything else is for the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClsagJob {
    ring: Vec<Pair>,
    image: [u8; 32],
    pseudo_out: [u8; 32],
    message: [u8; 32],
    d: [u8; 32],
    c1: [u8; 32],
    responses: Vec<[u8; 32]>,
}

impl ClsagJob {
    /// Takes the parts of a question: the ring's pairs of key and commitment, the key image, the pseudo output commitment, the hash
    /// that is signed, and the signature as `s_0 ‖ … ‖ s_{n−1} ‖ c1 ‖ D`, the order in which Monero writes it.
    ///
    /// # Errors
    /// [`RingError::RingSize`] or [`RingError::SignatureLength`].
    pub fn new(
        ring: &[Pair],
        image: [u8; 32],
        pseudo_out: [u8; 32],
        message: [u8; 32],
        signature: &[u8],
    ) -> Result<Self, RingError> {
        if !(MIN_RING..=MAX_RING).contains(&ring.len()) {
            return Err(RingError::RingSize(ring.len()));
        }
        let expected = 32 * (ring.len() + 2);
        match signature.as_chunks::<32>() {
            ([responses @ .., c1, d], []) if responses.len() == ring.len() => Ok(Self {
                ring: ring.to_vec(),
                image,
                pseudo_out,
                message,
                d: *d,
                c1: *c1,
                responses: responses.to_vec(),
            }),
            _ => Err(RingError::SignatureLength {
                length: signature.len(),
                expected,
            }),
        }
    }

    /// The compressed keys and commitments of the ring.
    pub fn ring(&self) -> &[Pair] {
        &self.ring
    }
    /// The key image.
    pub fn image(&self) -> &[u8; 32] {
        &self.image
    }
    /// The hash that is signed.
    pub fn message(&self) -> &[u8; 32] {
        &self.message
    }
    /// c1.
    pub fn challenge(&self) -> &[u8; 32] {
        &self.c1
    }
    /// Bytes that the job holds.
    pub fn size(&self) -> usize {
        96 * self.ring.len() + 160
    }
}

/// A member of a ring, decompressed, and the hash to a point of its key.
#[derive(Debug)]
pub struct ClsagMember {
    key: Point<Fe>,
    commitment: Point<Fe>,
    hash: Point<Fe>,
}

/// Members of rings that are kept prepared.
pub type ClsagMembers = Members<Pair, ClsagMember>;

/// Whether a signature is valid.
pub fn verify(job: &ClsagJob) -> bool {
    verify_batch(&[job], &Members::new(0)) == [true]
}

/// Whether each signature is valid, by the best code of this processor. Members that come again are prepared once.
pub fn verify_batch(jobs: &[&ClsagJob], members: &ClsagMembers) -> Vec<bool> {
    verify_batch_at(level(), jobs, members)
}

/// [`verify_batch`] by the code of one level, for tests and benchmarks; a level that has no code of its own here or that this
/// processor lacks is replaced by the portable one. Equal verdicts on every level.
pub fn verify_batch_at(level: Level, jobs: &[&ClsagJob], members: &ClsagMembers) -> Vec<bool> {
    let keys: Vec<Pair> = jobs.iter().flat_map(|job| &job.ring).copied().collect();
    let prepared = members.get(&keys, |missing| {
        let hashes = keccak256(level, missing.iter().map(|[key, _]| [&key[..], &[]]));
        dispatch(
            level,
            missing.len(),
            Prepare {
                members: missing,
                hashes: &hashes,
            },
        )
    });
    let mut prepared = prepared.into_iter();
    let mut verdicts = vec![false; jobs.len()];
    let mut rings = Vec::with_capacity(jobs.len());
    for (index, job) in jobs.iter().enumerate() {
        // All are taken, so that the next job's come next.
        let members: Vec<_> = prepared.by_ref().take(job.ring.len()).collect();
        let members: Option<Vec<_>> = members.into_iter().collect();
        let canonical = [job.image, job.pseudo_out, job.d]
            .iter()
            .all(codec::is_canonical);
        let scalars = job.responses.iter().chain([&job.c1]).all(is_below_order);
        if let (Some(members), true, true) = (members, canonical, scalars) {
            rings.push(Ring {
                index,
                job,
                members,
            });
        }
    }
    // Rings of like size share lanes.
    rings.sort_by_key(|ring| ring.members.len());
    let valid = dispatch(
        level,
        rings.len(),
        Verify {
            level,
            rings: &rings,
        },
    );
    for (ring, valid) in rings.iter().zip(valid) {
        verdicts[ring.index] = valid;
    }
    verdicts
}

/// Questions with known answers: a signature of the crate `monero-clsag`, and changes of it.
pub fn known_answers() -> Vec<(ClsagJob, bool)> {
    let [
        p0,
        c0,
        p1,
        c1,
        image,
        pseudo_out,
        message,
        s0,
        s1,
        challenge,
        d,
    ] = known_answers::SIGNED;
    let valid = ClsagJob {
        ring: vec![[p0, c0], [p1, c1]],
        image,
        pseudo_out,
        message,
        d,
        c1: challenge,
        responses: vec![s0, s1],
    };
    let change = |f: &dyn Fn(&mut ClsagJob)| {
        let mut job = valid.clone();
        f(&mut job);
        (job, false)
    };
    let mut neutral = [0; 32];
    neutral[0] = 1;
    vec![
        (valid.clone(), true),
        change(&|job| job.message[0] ^= 1),
        change(&|job| job.responses[1][0] ^= 1),
        change(&|job| job.ring.swap(0, 1)),
        change(&|job| job.image = neutral),
        change(&|job| job.d = neutral),
        // y = 2 is on no point.
        change(&|job| job.ring[1][1] = neutral.map(|byte| 2 * byte)),
    ]
}

/// Keccak-256 of messages in two parts.
fn keccak256<'a>(level: Level, messages: impl Iterator<Item = [&'a [u8]; 2]>) -> Vec<[u8; 32]> {
    let messages: Vec<_> = messages.collect();
    let mut out = vec![[0; 32]; messages.len()];
    Sponge::KECCAK256.hash_many_at(level, &messages, out.as_flattened_mut());
    out
}

/// Decompresses members and hashes their keys to points.
struct Prepare<'a> {
    members: &'a [Pair],
    hashes: &'a [[u8; 32]],
}

impl<L: Lanes> Work<L> for Prepare<'_> {
    type Output = Vec<Option<ClsagMember>>;
    #[inline(always)]
    unsafe fn run(self) -> Self::Output {
        let mut out = Vec::with_capacity(self.members.len());
        for (members, hashes) in self
            .members
            .chunks(L::LANES)
            .zip(self.hashes.chunks(L::LANES))
        {
            let mut halves = [[[0; 32]; MAX_LANES]; 2];
            for (lane, member) in members.iter().enumerate() {
                halves[0][lane] = member[0];
                halves[1][lane] = member[1];
            }
            // SAFETY: the caller's promise.
            unsafe {
                let (is_key, key) = codec::decompress::<L>(&halves[0]);
                let (is_commitment, commitment) = codec::decompress::<L>(&halves[1]);
                let hash = monero::hash_to_point::<L>(hashes).store();
                let (key, commitment) = (key.store(), commitment.store());
                for (lane, member) in members.iter().enumerate() {
                    let on_curve = (is_key & is_commitment) >> lane & 1 == 1;
                    let canonical = member.iter().all(codec::is_canonical);
                    out.push((on_curve && canonical).then_some(ClsagMember {
                        key: key[lane],
                        commitment: commitment[lane],
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
    job: &'a ClsagJob,
    members: Vec<Arc<ClsagMember>>,
}

/// Walks the chains of rings, as many side by side as there are lanes.
struct Verify<'a> {
    level: Level,
    rings: &'a [Ring<'a>],
}

impl<L: Lanes> Work<L> for Verify<'_> {
    type Output = Vec<bool>;
    #[inline(always)]
    unsafe fn run(self) -> Vec<bool> {
        let mut tables = Tables::new(4);
        let mut verdicts = Vec::with_capacity(self.rings.len());
        for rings in self.rings.chunks(L::LANES) {
            // SAFETY: the caller's promise; no more rings than lanes.
            let valid = unsafe { chains::<L>(self.level, rings, &mut tables) };
            verdicts.extend((0..rings.len()).map(|lane| valid >> lane & 1 == 1));
        }
        verdicts
    }
}

/// Places of tables: the points of one step, and what the ring has in common.
const KEY: usize = 0;
const COMMITMENT: usize = 1;
const HASH: usize = 2;
const IMAGE: usize = 3;

/// The order L of the base point, little-endian (RFC 8032 §5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The lanes whose ring is valid. Takes from one to `LANES` rings.
#[inline(always)]
unsafe fn chains<L: Lanes>(level: Level, rings: &[Ring<'_>], tables: &mut Tables) -> u8 {
    let mut image = [[0; 32]; MAX_LANES];
    let mut d = [[0; 32]; MAX_LANES];
    let mut pseudo_out = [[0; 32]; MAX_LANES];
    for (lane, ring) in rings.iter().enumerate() {
        image[lane] = ring.job.image;
        d[lane] = ring.job.d;
        pseudo_out[lane] = ring.job.pseudo_out;
    }
    let aggregates: Vec<_> = rings.iter().map(|ring| aggregation(ring.job)).collect();
    let mu = keccak256(
        level,
        aggregates
            .iter()
            .flat_map(|rest| [[&AGG_0[..], &rest[..]], [&AGG_1[..], &rest[..]]]),
    );
    let mu: Vec<_> = mu
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| pair.map(Scalar::from_bytes_mod_order))
        .collect();
    let prefixes: Vec<_> = rings.iter().map(|ring| Prefix::new(ring.job)).collect();
    let mut c: Vec<_> = rings
        .iter()
        .map(|ring| Scalar::from_bytes_mod_order(ring.job.c1))
        .collect();
    let none = [0; 51];
    let order = straus::digits(&ORDER);
    let mut valid = 0xff;
    // SAFETY: the caller's promise.
    unsafe {
        let (is_image, image) = codec::decompress::<L>(&image);
        let (is_d, d) = codec::decompress::<L>(&d);
        let (is_pseudo_out, pseudo_out) = codec::decompress::<L>(&pseudo_out);
        valid &= is_image & is_d & is_pseudo_out;
        let d8 = d.doubles(3);
        valid &= !d8.is_identity() & !image.is_identity();
        tables.fill(IMAGE, image);
        tables.fill(HASH, d8);
        let ordered: Point<L> = tables.sum([IMAGE], [&[order; MAX_LANES]], None);
        valid &= ordered.is_identity();
        // c mu_P I + c mu_C 8D is c times one point, as both have the order of the group.
        let (mut mu_p, mut mu_c) = ([none; MAX_LANES], [none; MAX_LANES]);
        for (lane, [p, c]) in mu.iter().enumerate() {
            mu_p[lane] = straus::digits(p.as_bytes());
            mu_c[lane] = straus::digits(c.as_bytes());
        }
        let images = tables.sum::<L, 2>([IMAGE, HASH], [&mu_p, &mu_c], None);
        tables.fill(IMAGE, images);
        let minus_pseudo_out = pseudo_out.negate().cached();

        let longest = rings.iter().map(|ring| ring.members.len()).max();
        for step in 0..longest.unwrap_or(0) {
            // A ring that has ended takes its last step again, and the result is not used.
            let at = |ring: &Ring<'_>| step.min(ring.members.len() - 1);
            let member = |lane: usize| {
                let ring = &rings[lane.min(rings.len() - 1)];
                &*ring.members[at(ring)]
            };
            let points: [_; MAX_LANES] = std::array::from_fn(member);
            let key: Point<L> = Point::load(&points.map(|member| &raw const member.key));
            let commitment: Point<L> =
                Point::load(&points.map(|member| &raw const member.commitment));
            let hash: Point<L> = Point::load(&points.map(|member| &raw const member.hash));
            tables.fill(KEY, key);
            tables.fill(COMMITMENT, commitment.add_cached(minus_pseudo_out));
            tables.fill(HASH, hash);

            let mut c_p = [none; MAX_LANES];
            let mut c_c = [none; MAX_LANES];
            let mut c_i = [none; MAX_LANES];
            let mut s_b = [[0; 26]; MAX_LANES];
            let mut s_h = [none; MAX_LANES];
            for (lane, ring) in rings.iter().enumerate() {
                let response = &ring.job.responses[at(ring)];
                c_p[lane] = straus::digits((c[lane] * mu[lane][0]).as_bytes());
                c_c[lane] = straus::digits((c[lane] * mu[lane][1]).as_bytes());
                c_i[lane] = straus::digits(c[lane].as_bytes());
                s_b[lane] = straus::base_digits(response);
                s_h[lane] = straus::digits(response);
            }
            let left = tables.sum::<L, 2>([KEY, COMMITMENT], [&c_p, &c_c], Some(&s_b));
            let right = tables.sum::<L, 2>([HASH, IMAGE], [&s_h, &c_i], None);
            let (left, right) = codec::compress_pair(left, right);
            let next = Prefix::challenges(level, &prefixes, &left, &right);
            for (lane, ring) in rings.iter().enumerate() {
                if step < ring.members.len() {
                    c[lane] = next[lane];
                    if c[lane] == Scalar::ZERO {
                        valid &= !(1 << lane);
                    }
                }
            }
        }
    }
    for (lane, ring) in rings.iter().enumerate() {
        if c[lane].as_bytes() != &ring.job.c1 {
            valid &= !(1 << lane);
        }
    }
    valid
}

/// A domain separator: its text, filled up with zeros.
const fn separator(text: &[u8; 11]) -> [u8; 32] {
    let mut out = [0; 32];
    let mut i = 0;
    while i < text.len() {
        out[i] = text[i];
        i += 1;
    }
    out
}

const AGG_0: [u8; 32] = separator(b"CLSAG_agg_0");
const AGG_1: [u8; 32] = separator(b"CLSAG_agg_1");
const ROUND: [u8; 32] = separator(b"CLSAG_round");

/// All keys, then all commitments.
fn ring_bytes(job: &ClsagJob, out: &mut Vec<u8>) {
    for half in 0..2 {
        for member in &job.ring {
            out.extend(member[half]);
        }
    }
}

/// What the aggregation coefficients hash, after the separator.
fn aggregation(job: &ClsagJob) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 * job.ring.len() + 96);
    ring_bytes(job, &mut out);
    out.extend(job.image);
    out.extend(job.d);
    out.extend(job.pseudo_out);
    out
}

/// Bytes of a block of Keccak-256.
const RATE: usize = 136;

/// Keccak-256 that has taken in all of a challenge but L and R.
struct Prefix {
    state: [u64; keccak::LANES],
    /// What does not fill a block yet.
    tail: Vec<u8>,
}

impl Prefix {
    fn new(job: &ClsagJob) -> Self {
        let mut bytes = Vec::with_capacity(64 * job.ring.len() + 96);
        bytes.extend(ROUND);
        ring_bytes(job, &mut bytes);
        bytes.extend(job.pseudo_out);
        bytes.extend(job.message);
        let (blocks, tail) = bytes.as_chunks::<RATE>();
        let mut state = [0; keccak::LANES];
        for block in blocks {
            absorb(&mut state, block);
            keccak::permute(&mut state);
        }
        Self {
            state,
            tail: tail.to_vec(),
        }
    }

    /// The challenge of each ring after its points L and R, modulo the order.
    fn challenges(
        level: Level,
        prefixes: &[Self],
        left: &[[u8; 32]; MAX_LANES],
        right: &[[u8; 32]; MAX_LANES],
    ) -> Vec<Scalar> {
        // The end of a message fills one or two blocks.
        let mut states: Vec<_> = prefixes.iter().map(|prefix| prefix.state).collect();
        let ends: Vec<_> = prefixes
            .iter()
            .zip(left.iter().zip(right))
            .map(|(prefix, (left, right))| {
                let mut end = prefix.tail.clone();
                end.extend(left);
                end.extend(right);
                let length = end.len();
                // The original padding of Keccak: 1 0* 1.
                end.resize(RATE * (length / RATE + 1), 0);
                end[length] |= 0x01;
                if let Some(last) = end.last_mut() {
                    *last |= 0x80;
                }
                end
            })
            .collect();
        let mut answers = vec![Scalar::ZERO; prefixes.len()];
        for block in 0..2 {
            for (state, end) in states.iter_mut().zip(&ends) {
                if let Some(block) = end.as_chunks::<RATE>().0.get(block) {
                    absorb(state, block);
                }
            }
            if block == 0 || ends.iter().any(|end| end.len() > RATE) {
                keccak::permute_many_at(level, &mut states);
            }
            for ((state, end), answer) in states.iter().zip(&ends).zip(&mut answers) {
                // The state of a shorter end is not used after its last block.
                if end.len() == RATE * (block + 1) {
                    let mut hash = [0; 32];
                    for (chunk, word) in hash.chunks_exact_mut(8).zip(state) {
                        chunk.copy_from_slice(&word.to_le_bytes());
                    }
                    *answer = Scalar::from_bytes_mod_order(hash);
                }
            }
        }
        answers
    }
}

/// Adds a block to the state.
fn absorb(state: &mut [u64; keccak::LANES], block: &[u8; RATE]) {
    for (word, bytes) in state.iter_mut().zip(block.as_chunks::<8>().0) {
        *word ^= u64::from_le_bytes(*bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_hold_on_every_level() {
        let (jobs, valid): (Vec<_>, Vec<_>) = known_answers().into_iter().unzip();
        for level in Level::ALL {
            let jobs: Vec<_> = jobs.iter().collect();
            assert_eq!(verify_batch_at(level, &jobs, &Members::default()), valid);
        }
        assert!(verify(&jobs[0]));
    }
}
