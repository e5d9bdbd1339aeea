//! Ring signatures made by a signer who keeps to no rule: each chain closes, and one thing is not as it must be. A verifier that
//! left out that one check would accept. On every level and every GPU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/lsag_ristretto255.rs"]
mod definition;
#[path = "common/monero.rs"]
mod monero;

use common::edwards25519::add_order;
use curve25519_dalek::constants::{EIGHT_TORSION, RISTRETTO_BASEPOINT_POINT};
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::{EdwardsPoint, Scalar};
use definition::hash;
use monero::Signed;
use pars_kernels::cpu::Level;
use pars_kernels::ring::clsag::{self, ClsagJob, ClsagMembers};
use pars_kernels::ring::lsag_ristretto255::{self as lsag, Job, LsagMembers};
use rand::{RngExt, SeedableRng, rngs::StdRng};

fn random(rng: &mut StdRng) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&rng.random::<[[u8; 32]; 2]>().concat().try_into().unwrap())
}

/// p − s for a number s below p = 2^255 − 19, little-endian.
fn negative(s: &[u8; 32]) -> [u8; 32] {
    let mut out = [0xff; 32];
    out[0] = 0xed;
    out[31] = 0x7f;
    let mut borrow = 0;
    for (byte, s) in out.iter_mut().zip(s) {
        let difference = i16::from(*byte) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        *byte = (difference & 0xff) as u8;
    }
    out
}

/// p + s for a number s below 19: what is left of 2^255.
fn above(s: u8) -> [u8; 32] {
    let mut out = [0xff; 32];
    out[0] = 0xed + s;
    out[31] = 0x7f;
    out
}

/// The point of an encoding, canonical or not.
fn decoded(encoded: [u8; 32]) -> EdwardsPoint {
    CompressedEdwardsY(encoded).decompress().unwrap()
}

/// Monero's hash to a point of an encoded key.
fn hash_to_point(encoded: [u8; 32]) -> EdwardsPoint {
    decoded(
        monero_ed25519::Point::biased_hash(encoded)
            .compress()
            .to_bytes(),
    )
}

fn hash_to_scalar(bytes: &[u8]) -> Scalar {
    Scalar::from_bytes_mod_order(<[u8; 32]>::from(monero_ed25519::Scalar::hash(bytes)))
}

/// What a CLSAG proves: secrets of one member, and the parts that may break rules.
struct Claim {
    ring: Vec<[[u8; 32]; 2]>,
    signer: usize,
    /// P = p G and C = z G + pseudo_out.
    p: Scalar,
    z: Scalar,
    image: [u8; 32],
    d: [u8; 32],
    pseudo_out: [u8; 32],
}

impl Claim {
    /// Keeps to all rules: three members, of whom the second signs.
    fn new(rng: &mut StdRng, p: Scalar, z: Scalar, pseudo_out: [u8; 32]) -> Self {
        let mut point = |_| EdwardsPoint::mul_base(&random(rng)).compress().to_bytes();
        let mut ring = [[0; 2]; 3].map(|pair| pair.map(&mut point));
        ring[1] = [
            EdwardsPoint::mul_base(&p).compress().to_bytes(),
            (EdwardsPoint::mul_base(&z) + decoded(pseudo_out))
                .compress()
                .to_bytes(),
        ];
        let hash = hash_to_point(ring[1][0]);
        let eighth = Scalar::from(8u8).invert();
        Self {
            signer: 1,
            p,
            z,
            image: (p * hash).compress().to_bytes(),
            d: (eighth * z * hash).compress().to_bytes(),
            pseudo_out,
            ring: ring.to_vec(),
        }
    }

    fn usual(rng: &mut StdRng) -> Self {
        let [p, z, x] = [0; 3].map(|_| random(rng));
        Self::new(rng, p, z, EdwardsPoint::mul_base(&x).compress().to_bytes())
    }

    /// mu_P and mu_C.
    fn coefficients(&self) -> [Scalar; 2] {
        [b"CLSAG_agg_0", b"CLSAG_agg_1"].map(|name| {
            let mut input = name.to_vec();
            input.resize(32, 0);
            for half in 0..2 {
                input.extend(self.ring.iter().flat_map(|member| member[half]));
            }
            input.extend([self.image, self.d, self.pseudo_out].as_flattened());
            hash_to_scalar(&input)
        })
    }

    /// Closes the chain.
    fn sign(&self, rng: &mut StdRng) -> Signed {
        let [mu_p, mu_c] = self.coefficients();
        let message = rng.random();
        let (n, l) = (self.ring.len(), self.signer);
        let round = |left: EdwardsPoint, right: EdwardsPoint| {
            let mut input = b"CLSAG_round".to_vec();
            input.resize(32, 0);
            for half in 0..2 {
                input.extend(self.ring.iter().flat_map(|member| member[half]));
            }
            input.extend([self.pseudo_out, message].as_flattened());
            input.extend(left.compress().to_bytes());
            input.extend(right.compress().to_bytes());
            hash_to_scalar(&input)
        };
        // The integers mu_P and c one after another: with a part of small order the sum is not that of their product.
        let images = mu_p * decoded(self.image) + mu_c * (Scalar::from(8u8) * decoded(self.d));
        let mut responses = vec![Scalar::ZERO; n];
        let mut first = Scalar::ZERO;
        let nonce = random(rng);
        let mut c = round(
            EdwardsPoint::mul_base(&nonce),
            nonce * hash_to_point(self.ring[l][0]),
        );
        for step in 1..=n {
            let i = (l + step) % n;
            if i == 0 {
                first = c;
            }
            let [key, commitment] = self.ring[i];
            if i == l {
                responses[i] = nonce - c * (mu_p * self.p + mu_c * self.z);
                break;
            }
            responses[i] = random(rng);
            let s = responses[i];
            let left = EdwardsPoint::mul_base(&s)
                + (c * mu_p) * decoded(key)
                + (c * mu_c) * (decoded(commitment) - decoded(self.pseudo_out));
            c = round(left, s * hash_to_point(key) + c * images);
        }
        let mut signature: Vec<u8> = responses.iter().flat_map(Scalar::to_bytes).collect();
        signature.extend(first.to_bytes());
        signature.extend(self.d);
        Signed {
            ring: self.ring.clone(),
            image: self.image,
            pseudo_out: self.pseudo_out,
            message,
            signature,
        }
    }
}

/// Encodings of points that are not the one encoding: y of p or more, and x = 0 with a sign.
fn not_canonical() -> Vec<[u8; 32]> {
    let mut signed = [[0; 32], negative(&[0; 32])];
    signed[0][0] = 1;
    signed[1][0] -= 1;
    let mut out: Vec<_> = signed
        .into_iter()
        .map(|mut bytes| {
            bytes[31] |= 0x80;
            bytes
        })
        .collect();
    out.extend(
        (0..19)
            .map(above)
            .filter(|bytes| CompressedEdwardsY(*bytes).decompress().is_some())
            .take(4),
    );
    assert_eq!(out.len(), 6);
    out
}

#[test]
fn clsags_that_break_one_rule_are_refused() {
    let mut rng = StdRng::seed_from_u64(1);
    let rng = &mut rng;
    let mut cases: Vec<(String, Signed, bool)> = Vec::new();
    let mut case = |name: &str, signed, valid| cases.push((name.to_owned(), signed, valid));

    let usual = Claim::usual(rng);
    let signed = usual.sign(rng);
    case("nothing is wrong", signed.clone(), true);
    for scalar in 0..4 {
        let mut other = signed.clone();
        add_order(&mut other.signature[32 * scalar..32 * (scalar + 1)]);
        case("a scalar plus the order", other, false);
    }
    for torsion in EIGHT_TORSION {
        let encoded = torsion.compress().to_bytes();
        for half in 0..2 {
            let mut claim = Claim::usual(rng);
            claim.ring[2][half] = encoded;
            case("a member of small order is allowed", claim.sign(rng), true);
        }
        let mut claim = Claim::usual(rng);
        claim.d = (decoded(claim.d) + torsion).compress().to_bytes();
        case("8 D is what counts", claim.sign(rng), true);

        // C = pseudo_out, so z = 0.
        let (p, x) = (random(rng), random(rng));
        let pseudo_out = EdwardsPoint::mul_base(&x).compress().to_bytes();
        let mut claim = Claim::new(rng, p, Scalar::ZERO, pseudo_out);
        claim.d = encoded;
        case("8 D = 0", claim.sign(rng), false);
    }
    for torsion in &EIGHT_TORSION[1..] {
        // A multiple of eight takes the part of small order away where the chain closes.
        let claim = loop {
            let mut claim = Claim::usual(rng);
            claim.image = (decoded(claim.image) + torsion).compress().to_bytes();
            if claim.coefficients()[0].as_bytes()[0] & 7 == 0 {
                break claim;
            }
        };
        case(
            "an image with a part of small order",
            claim.sign(rng),
            false,
        );
    }
    let (z, x) = (random(rng), random(rng));
    let pseudo_out = EdwardsPoint::mul_base(&x).compress().to_bytes();
    let claim = Claim::new(rng, Scalar::ZERO, z, pseudo_out);
    case("I = 0", claim.sign(rng), false);
    for encoded in not_canonical() {
        for half in 0..2 {
            let mut claim = Claim::usual(rng);
            claim.ring[0][half] = encoded;
            case("a member not canonical", claim.sign(rng), false);
        }
        let [p, z] = [0; 2].map(|_| random(rng));
        let claim = Claim::new(rng, p, z, encoded);
        case("pseudo_out not canonical", claim.sign(rng), false);
    }

    let (jobs, valid): (Vec<ClsagJob>, Vec<bool>) = cases
        .iter()
        .map(|(_, signed, valid)| (signed.job(), *valid))
        .unzip();
    let refs: Vec<_> = jobs.iter().collect();
    for (name, signed, valid) in &cases {
        let peer = signed.peer().is_some_and(|peer| peer.verify());
        assert_eq!(peer, *valid, "monero-clsag: {name}");
    }
    for level in Level::ALL {
        let verdicts = clsag::verify_batch_at(level, &refs, &ClsagMembers::new(4096));
        for ((name, _, valid), verdict) in cases.iter().zip(verdicts) {
            assert_eq!(verdict, *valid, "{level}: {name}");
        }
    }
    #[cfg(feature = "gpu")]
    common::edwards25519::gpu::check::<clsag::Clsag>(&jobs, &valid);
}

/// An LSAG on ristretto255 by the second member, whose secret key is x. Encodings and points are given apart.
fn lsag(
    ring: &[([u8; 32], RistrettoPoint)],
    image: Option<[u8; 32]>,
    x: Scalar,
    rng: &mut StdRng,
) -> (Vec<[u8; 32]>, Vec<u8>) {
    let encoded: Vec<_> = ring.iter().map(|member| member.0).collect();
    let image_point = x * hash(&encoded[1]);
    let image = image.unwrap_or(image_point.compress().to_bytes());
    let context = definition::context(&encoded, &image, b"message");
    let round = |index, left, right| definition::challenge(&context, index, left, right);
    let mut responses = vec![Scalar::ZERO; ring.len()];
    let nonce = random(rng);
    let mut first = Scalar::ZERO;
    let mut c = round(
        1,
        RistrettoPoint::mul_base(&nonce),
        nonce * hash(&encoded[1]),
    );
    for step in 1..=ring.len() {
        let i = (1 + step) % ring.len();
        if i == 0 {
            first = c;
        }
        if i == 1 {
            responses[1] = nonce - c * x;
            break;
        }
        responses[i] = random(rng);
        let s = responses[i];
        let left = RistrettoPoint::mul_base(&s) + c * ring[i].1;
        c = round(i, left, s * hash(&encoded[i]) + c * image_point);
    }
    let mut signature = image.to_vec();
    signature.extend(first.to_bytes());
    signature.extend(responses.iter().flat_map(Scalar::to_bytes));
    (encoded, signature)
}

#[test]
fn lsags_on_ristretto255_that_break_one_rule_are_refused() {
    let mut rng = StdRng::seed_from_u64(2);
    let rng = &mut rng;
    let x = random(rng);
    let with = |point: RistrettoPoint| (point.compress().to_bytes(), point);
    let ring: Vec<_> = [random(rng), x, random(rng), random(rng)]
        .iter()
        .map(|secret| with(RistrettoPoint::mul_base(secret)))
        .collect();
    let mut cases = Vec::new();
    let mut case = |name: &str, (ring, signature): (Vec<[u8; 32]>, Vec<u8>), valid| {
        cases.push((name.to_owned(), ring, signature, valid));
    };
    let good = lsag(&ring, None, x, rng);
    case("nothing is wrong", good.clone(), true);
    for scalar in 1..6 {
        let (ring, mut signature) = good.clone();
        add_order(&mut signature[32 * scalar..32 * (scalar + 1)]);
        case("a scalar plus the order", (ring, signature), false);
    }
    let mut replaced = |name: &str, at: usize, member, rng: &mut StdRng| {
        let mut ring = ring.clone();
        ring[at] = member;
        case(name, lsag(&ring, None, x, rng), false);
    };
    replaced("a member twice", 3, ring[0], rng);
    replaced("the signer twice", 2, ring[1], rng);
    replaced(
        "the identity as member",
        0,
        with(RistrettoPoint::default()),
        rng,
    );
    let (encoded, point) = with(RISTRETTO_BASEPOINT_POINT);
    replaced("a negative member", 0, (negative(&encoded), point), rng);
    let mut high = encoded;
    high[31] |= 0x80;
    replaced("a member with the highest bit", 0, (high, point), rng);
    // Whose number is even, and whose is odd: s and −s are encodings of one point.
    for parity in [0, 1] {
        let found = (2..19u8).filter(|s| s % 2 == parity).find_map(|s| {
            let mut bytes = [0; 32];
            bytes[0] = s;
            let canonical = [bytes, negative(&bytes)][usize::from(parity)];
            Some((above(s), CompressedRistretto(canonical).decompress()?))
        });
        replaced("a member of p or more", 0, found.unwrap(), rng);
    }

    let image = good.1[..32].try_into().unwrap();
    case(
        "a negative image",
        lsag(&ring, Some(negative(&image)), x, rng),
        false,
    );
    let mut high = image;
    high[31] |= 0x80;
    case(
        "an image with the highest bit",
        lsag(&ring, Some(high), x, rng),
        false,
    );

    let (jobs, valid): (Vec<Job>, Vec<bool>) = cases
        .iter()
        .map(|(_, ring, signature, valid)| (Job::new(ring, b"message", signature).unwrap(), *valid))
        .unzip();
    let refs: Vec<_> = jobs.iter().collect();
    for level in Level::ALL {
        let verdicts = lsag::verify_batch_at(level, &refs, &LsagMembers::new(4096));
        for ((name, _, _, valid), verdict) in cases.iter().zip(verdicts) {
            assert_eq!(verdict, *valid, "{level}: {name}");
        }
    }
    #[cfg(feature = "gpu")]
    common::edwards25519::gpu::check::<lsag::LsagRistretto255>(&jobs, &valid);
}
