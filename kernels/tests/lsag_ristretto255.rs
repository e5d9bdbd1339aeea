//! LSAG on ristretto255: the definition written out with `curve25519-dalek`, linkability, and everything that must be refused, on every
//! level and every GPU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/lsag_ristretto255.rs"]
mod definition;

use common::edwards25519::add_order;
#[cfg(feature = "gpu")]
use common::edwards25519::gpu;
use curve25519_dalek::Scalar;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use pars_kernels::cpu::Level;
use pars_kernels::ring::lsag_ristretto255::{
    self as lsag, Job, LsagMembers, hash_to_point, key_image, public_key, sign, verify_batch_at,
};
use pars_kernels::ring::{RingError, expand_message_xmd};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha512};

fn secret(rng: &mut StdRng) -> [u8; 32] {
    Scalar::from_bytes_mod_order(rng.random()).to_bytes()
}

/// Secret keys and their ring.
fn ring(rng: &mut StdRng, members: usize) -> (Vec<[u8; 32]>, Vec<[u8; 32]>) {
    let secrets: Vec<_> = (0..members).map(|_| secret(rng)).collect();
    let ring = secrets.iter().map(|x| public_key(x).unwrap()).collect();
    (secrets, ring)
}

fn point(bytes: &[u8]) -> Option<RistrettoPoint> {
    CompressedRistretto::from_slice(bytes)
        .unwrap()
        .decompress()
        .filter(|_| bytes != [0; 32])
}

/// The definition, one hash and one product after another.
fn definition(ring: &[[u8; 32]], message: &[u8], signature: &[u8]) -> bool {
    let (image, rest) = signature.split_at(32);
    let scalars: Option<Vec<Scalar>> = rest
        .chunks(32)
        .map(|s| Scalar::from_canonical_bytes(s.try_into().unwrap()).into())
        .collect();
    let points: Option<Vec<_>> = ring.iter().map(|member| point(member)).collect();
    let (Some(scalars), Some(points), Some(i)) = (scalars, points, point(image)) else {
        return false;
    };
    if (1..ring.len()).any(|i| ring[..i].contains(&ring[i])) {
        return false;
    }
    let context = definition::context(ring, image, message);
    let mut c = scalars[0];
    for (index, (member, p)) in ring.iter().zip(points).enumerate() {
        let hash = definition::hash(member);
        assert_eq!(hash_to_point(member), Some(hash.compress().to_bytes()));
        let s = scalars[index + 1];
        let left = RistrettoPoint::mul_base(&s) + c * p;
        c = definition::challenge(&context, index, left, s * hash + c * i);
    }
    c == scalars[0]
}

#[cfg(feature = "gpu")]
#[test]
fn devices_give_the_known_answers_in_every_shape() {
    gpu::check_shapes::<lsag::LsagRistretto255>(&lsag::known_answers().unwrap());
}

#[test]
fn signatures_of_every_member_are_accepted() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut jobs = Vec::new();
    for members in [2, 3, 4, 7, 16, 128] {
        let (secrets, ring) = ring(&mut rng, members);
        for index in [0, 1, members / 2, members - 1] {
            let message: Vec<u8> = (0..rng.random_range(0..200))
                .map(|_| rng.random())
                .collect();
            let signature = sign(&ring, &message, index, &secrets[index], &rng.random()).unwrap();
            assert_eq!(signature.len(), 32 * (members + 2));
            assert_eq!(signature[..32], key_image(&secrets[index]).unwrap());
            if members < 16 {
                assert!(definition(&ring, &message, &signature));
            }
            jobs.push(Job::new(&ring, &message, &signature).unwrap());
        }
    }
    for level in Level::ALL {
        let members = LsagMembers::new(4096);
        let all: Vec<_> = jobs.iter().collect();
        assert_eq!(
            verify_batch_at(level, &all, &members),
            vec![true; all.len()]
        );
        assert_eq!(verify_batch_at(level, &all[..3], &members), [true; 3]);
    }
    #[cfg(feature = "gpu")]
    gpu::check::<lsag::LsagRistretto255>(&jobs, &vec![true; jobs.len()]);
}

/// Name, ring, message and signature.
type Case = (&'static str, Vec<[u8; 32]>, Vec<u8>, Vec<u8>);
/// Changes ring, message and signature.
type Change<'a> = &'a dyn Fn(&mut Vec<[u8; 32]>, &mut Vec<u8>, &mut Vec<u8>);

#[test]
fn no_change_is_accepted() {
    let mut rng = StdRng::seed_from_u64(2);
    let (secrets, ring) = ring(&mut rng, 4);
    let good = sign(&ring, b"message", 2, &secrets[2], &[9; 32]).unwrap();
    let other = sign(&ring, b"message", 1, &secrets[1], &[9; 32]).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    let mut case = |name, change: Change<'_>| {
        let (mut ring, mut message, mut signature) =
            (ring.clone(), b"message".to_vec(), good.clone());
        change(&mut ring, &mut message, &mut signature);
        cases.push((name, ring, message, signature));
    };
    case("message bit", &|_, message, _| message[3] ^= 0x10);
    case("longer message", &|_, message, _| message.push(0));
    case("empty message", &|_, message, _| message.clear());
    for byte in 0..good.len() {
        case("signature bit", &|_, _, signature| signature[byte] ^= 4);
    }
    case("ring reordered", &|ring, _, _| ring.swap(0, 3));
    case("ring rotated", &|ring, _, _| ring.rotate_left(1));
    case("duplicated member", &|ring, _, _| ring[3] = ring[0]);
    case("identity as member", &|ring, _, _| ring[0] = [0; 32]);
    case("member not canonical", &|ring, _, _| {
        // p + 1 − (−1) …: a number of p or more.
        ring[0] = [0xff; 32];
        ring[0][31] = 0x7f;
    });
    case("negative member", &|ring, _, _| {
        // s = 1 is odd.
        ring[0] = [0; 32];
        ring[0][0] = 1;
    });
    case("no point", &|ring, _, _| {
        ring[0] = [0; 32];
        ring[0][0] = (2..=254u8)
            .step_by(2)
            .find(|s| {
                let mut bytes = [0; 32];
                bytes[0] = *s;
                point(&bytes).is_none()
            })
            .unwrap();
    });
    case("identity as image", &|_, _, signature| {
        signature[..32].fill(0)
    });
    case("image of another member", &|_, _, signature| {
        signature[..32].copy_from_slice(&other[..32]);
    });
    case("shifted image", &|_, _, signature| {
        let shifted = point(&signature[..32]).unwrap() + RistrettoPoint::mul_base(&Scalar::ONE);
        signature[..32].copy_from_slice(shifted.compress().as_bytes());
    });
    case("a member as image", &|ring, _, signature| {
        signature[..32].copy_from_slice(&ring[2]);
    });
    case("responses swapped", &|_, _, signature| {
        for i in 64..96 {
            signature.swap(i, i + 32);
        }
    });
    for scalar in 1..6 {
        case("scalar plus order", &|_, _, signature| {
            add_order(&mut signature[32 * scalar..32 * (scalar + 1)]);
        });
    }
    for level in Level::ALL {
        let members = LsagMembers::new(4096);
        let jobs: Vec<_> = cases
            .iter()
            .map(|(_, ring, message, signature)| Job::new(ring, message, signature).unwrap())
            .collect();
        let verdicts = verify_batch_at(level, &jobs.iter().collect::<Vec<_>>(), &members);
        for ((name, ring, message, signature), verdict) in cases.iter().zip(verdicts) {
            assert!(!verdict, "{level}: {name}");
            assert!(!definition(ring, message, signature), "{name}");
        }
        // Bad neighbours change nothing.
        let job = Job::new(&ring, b"message", &good).unwrap();
        let mixed: Vec<_> = jobs.iter().take(20).flat_map(|bad| [bad, &job]).collect();
        for (i, verdict) in verify_batch_at(level, &mixed, &members)
            .into_iter()
            .enumerate()
        {
            assert_eq!(verdict, i % 2 == 1, "{level}");
        }
    }
    #[cfg(feature = "gpu")]
    {
        let good = Job::new(&ring, b"message", &good).unwrap();
        let (jobs, valid): (Vec<_>, Vec<_>) = cases
            .iter()
            .flat_map(|(_, ring, message, signature)| {
                let bad = Job::new(ring, message, signature).unwrap();
                [(bad, false), (good.clone(), true)]
            })
            .unzip();
        gpu::check::<lsag::LsagRistretto255>(&jobs, &valid);
    }
    assert_eq!(
        Job::new(&ring[..1], b"", &good[..96]),
        Err(RingError::RingSize(1))
    );
    assert_eq!(
        Job::new(&[ring[0]; 129], b"", &[0; 131 * 32]),
        Err(RingError::RingSize(129))
    );
}

#[test]
fn one_key_has_one_image_and_two_keys_have_two() {
    let mut rng = StdRng::seed_from_u64(3);
    let (secrets, mut first) = ring(&mut rng, 5);
    let (_, mut second) = ring(&mut rng, 9);
    second[7] = first[2];
    let one = sign(&first, b"one", 2, &secrets[2], &rng.random()).unwrap();
    let two = sign(&second, b"two", 7, &secrets[2], &rng.random()).unwrap();
    assert_eq!(one[..32], two[..32]);
    assert_ne!(one[32..64], two[32..64]);
    first.truncate(4);
    let three = sign(&first, b"one", 1, &secrets[1], &rng.random()).unwrap();
    assert_ne!(one[..32], three[..32]);
}

/// The scheme before this one hashed to a point by a known multiple of G, so the image followed from the public key: h·P with
/// Hp(P) = h·G. Trying that on all members must find nobody.
#[test]
fn the_image_does_not_follow_from_public_keys() {
    let mut rng = StdRng::seed_from_u64(4);
    let (secrets, ring) = ring(&mut rng, 16);
    let image = key_image(&secrets[5]).unwrap();
    for member in &ring {
        let p = point(member).unwrap();
        let mut uniform = [0; 64];
        let tag = b"PARS-RING-v1-ristretto255_XMD:SHA-512_R255MAP_RO_";
        expand_message_xmd::<Sha512>(member, tag, &mut uniform);
        let sha256: [u8; 32] = sha2::Sha256::digest(member).into();
        let numbers = [
            Scalar::from_bytes_mod_order(sha256),
            Scalar::from_bytes_mod_order_wide(&Sha512::digest(member).into()),
            Scalar::from_bytes_mod_order_wide(&uniform),
        ];
        for h in numbers {
            assert_ne!((h * p).compress().to_bytes(), image);
        }
    }
}

#[test]
fn a_seed_used_twice_gives_nothing_away() {
    let mut rng = StdRng::seed_from_u64(5);
    let (secrets, ring) = ring(&mut rng, 3);
    let seed = [7; 32];
    let one = sign(&ring, b"one", 0, &secrets[0], &seed).unwrap();
    let again = sign(&ring, b"one", 0, &secrets[0], &seed).unwrap();
    let two = sign(&ring, b"two", 0, &secrets[0], &seed).unwrap();
    assert_eq!(one, again);
    // With one nonce, s + c x would be equal in both.
    let nonce = |signature: &[u8]| {
        let scalar =
            |at: usize| Scalar::from_bytes_mod_order(signature[at..at + 32].try_into().unwrap());
        scalar(64) + scalar(32) * Scalar::from_bytes_mod_order(secrets[0])
    };
    assert_ne!(nonce(&one), nonce(&two));
    assert_ne!(one[96..], two[96..]);
}

#[test]
fn what_cannot_be_signed_is_said() {
    let mut rng = StdRng::seed_from_u64(6);
    let (secrets, ring) = ring(&mut rng, 3);
    let x = &secrets[1];
    let seed = [1; 32];
    assert_eq!(sign(&ring, b"", 0, x, &seed), Err(RingError::InvalidKey));
    assert_eq!(
        sign(&ring, b"", 3, x, &seed),
        Err(RingError::Index {
            index: 3,
            members: 3
        })
    );
    assert_eq!(
        sign(&ring, b"", 0, &[0; 32], &seed),
        Err(RingError::SecretKey)
    );
    assert_eq!(
        sign(&ring, b"", 0, &[0xff; 32], &seed),
        Err(RingError::SecretKey)
    );
    assert_eq!(
        sign(&ring[..1], b"", 0, x, &seed),
        Err(RingError::RingSize(1))
    );
    let twice = [ring[0], ring[1], ring[0]];
    assert_eq!(sign(&twice, b"", 1, x, &seed), Err(RingError::Member(2)));
    let neutral = [[0; 32], ring[1]];
    assert_eq!(sign(&neutral, b"", 1, x, &seed), Err(RingError::Member(0)));
    assert_eq!(
        sign(&[&ring[0][..31], &ring[1][..]], b"", 1, x, &seed),
        Err(RingError::MemberLength {
            index: 0,
            length: 31,
            expected: 32
        })
    );
    assert!(lsag::key_image(&[0; 32]).is_err());
    assert_eq!(hash_to_point(&[0; 32]), None);
}
