//! LSAG on secp256k1 at every level of this processor and on every adapter: what is signed verifies, whatever is changed does not, one key has one image.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::backends::levels;
use pars_kernels::ring::{
    Members, RingError,
    lsag_secp256k1::{
        Job, LsagMembers, hash_to_point, key_image, known_answers, public_key, sign, verify,
        verify_batch_at,
    },
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
const MODULUS: &str = "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f";

/// The verdicts of each back end; jobs are asked twice, so that prepared members come again.
fn everywhere(jobs: &[&Job]) -> Vec<(String, Vec<bool>)> {
    let mut all = Vec::new();
    for level in levels() {
        let members = LsagMembers::new(256);
        for _ in 0..2 {
            let verdicts = verify_batch_at(level, jobs, &members);
            all.push((level.to_string(), verdicts));
        }
    }
    #[cfg(feature = "gpu")]
    common::devices::each(|device| {
        use pars_kernels::ring::lsag_secp256k1::gpu::BatchVerifier;
        let mut verifier = BatchVerifier::new(device).unwrap();
        let members = LsagMembers::new(256);
        for _ in 0..2 {
            let verdicts = verifier.verify(jobs, &members).unwrap();
            all.push((device.info().to_string(), verdicts));
        }
        assert_eq!(verifier.verify(&[], &members), Ok(vec![]));
    });
    all
}

fn secret(rng: &mut SmallRng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill(&mut bytes[..]);
    bytes[0] &= 0x7f;
    bytes
}

/// A ring, the signer's place and its key.
fn ring(rng: &mut SmallRng, size: usize) -> (Vec<[u8; 33]>, usize, [u8; 32]) {
    let secrets: Vec<[u8; 32]> = (0..size).map(|_| secret(rng)).collect();
    let signer = rng.random_range(0..size);
    let ring = secrets.iter().map(|key| public_key(key).unwrap()).collect();
    (ring, signer, secrets[signer])
}

#[test]
fn whatever_is_changed_is_refused() {
    let mut rng = SmallRng::seed_from_u64(21);
    let (ring, signer, key) = ring(&mut rng, 5);
    let message = b"to be signed";
    let signature = sign(&ring, message, signer, &key, &[9; 32]).unwrap();
    let order = hex::decode(ORDER).unwrap();
    let modulus = hex::decode(MODULUS).unwrap();
    let mut cases: Vec<(&str, bool, Job)> = Vec::new();
    let mut case =
        |name: &'static str, expected: bool, ring: &[[u8; 33]], message: &[u8], s: &[u8]| {
            cases.push((name, expected, Job::new(ring, message, s).unwrap()));
        };
    case("as signed", true, &ring, message, &signature);
    case("another message", false, &ring, b"to be signee", &signature);
    case("an empty message", false, &ring, b"", &signature);
    let mut other = ring.clone();
    other.swap(0, 1);
    case("a reordered ring", false, &other, message, &signature);
    other.rotate_left(2);
    case("a rotated ring", false, &other, message, &signature);
    other = ring.clone();
    other[(signer + 1) % 5] = public_key(&secret(&mut rng)).unwrap();
    case("another member", false, &other, message, &signature);
    other = ring.clone();
    other[(signer + 1) % 5] = ring[signer];
    case("a member twice", false, &other, message, &signature);
    for (name, bytes) in [
        ("the identity", [0; 33]),
        ("an x that is no point's", {
            let mut bytes = [0; 33];
            (bytes[0], bytes[32]) = (2, 5);
            bytes
        }),
        ("an x of p", {
            let mut bytes = [2; 33];
            bytes[1..].copy_from_slice(&modulus);
            bytes
        }),
        ("an x of p + 1", {
            let mut bytes = [2; 33];
            bytes[1..].copy_from_slice(&modulus);
            bytes[32] += 1;
            bytes
        }),
        ("an uncompressed prefix", {
            let mut bytes = ring[0];
            bytes[0] = 4;
            bytes
        }),
        ("another prefix", {
            let mut bytes = ring[0];
            bytes[0] |= 8;
            bytes
        }),
    ] {
        other = ring.clone();
        other[(signer + 2) % 5] = bytes;
        case(name, false, &other, message, &signature);
        let mut s = signature.clone();
        s[..33].copy_from_slice(&bytes);
        case(name, false, &ring, message, &s);
    }
    let mut changed = |name: &'static str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut s = signature.clone();
        change(&mut s);
        case(name, false, &ring, message, &s);
    };
    changed("the mirrored image", &|s| s[0] ^= 1);
    changed("the signer's key as image", &|s| {
        s[..33].copy_from_slice(&ring[signer])
    });
    let foreign = key_image(&[3; 32]).unwrap();
    changed("another key's image", &|s| {
        s[..33].copy_from_slice(&foreign)
    });
    let shifted = {
        use k256::elliptic_curve::sec1::ToEncodedPoint;
        let image = k256::PublicKey::from_sec1_bytes(&signature[..33]).unwrap();
        (image.to_projective() + k256::ProjectivePoint::GENERATOR).to_encoded_point(true)
    };
    changed("a shifted image", &|s| {
        s[..33].copy_from_slice(shifted.as_bytes())
    });
    changed("zero challenge", &|s| s[33..65].fill(0));
    changed("greatest challenge", &|s| s[33..65].fill(0xff));
    changed("challenge of n", &|s| s[33..65].copy_from_slice(&order));
    for i in 0..5 {
        let at = 65 + 32 * i..97 + 32 * i;
        changed("zero response", &|s| s[at.clone()].fill(0));
        changed("response of n", &|s| s[at.clone()].copy_from_slice(&order));
        changed("a response's bit", &|s| s[at.start + 31] ^= 1);
        changed("swapped responses", &|s| {
            let (a, b) = (at.start, 65 + 32 * ((i + 1) % 5));
            for k in 0..32 {
                s.swap(a + k, b + k);
            }
        });
    }
    // A scalar plus n fits 32 bytes only below 2^129, so that n itself, in place of zero, stands for all of them.
    let jobs: Vec<&Job> = cases.iter().map(|(_, _, job)| job).collect();
    for (by, verdicts) in everywhere(&jobs) {
        assert_eq!(verdicts.len(), cases.len());
        for (verdict, (name, expected, _)) in verdicts.iter().zip(&cases) {
            assert_eq!(verdict, expected, "{by}: {name}");
        }
    }
    for level in levels() {
        let members = LsagMembers::new(64);
        for _ in 0..2 {
            verify_batch_at(level, &jobs, &members);
        }
        let stats = members.stats();
        assert!(stats.hits > 0 && stats.entries <= 8, "{stats:?}");
    }
}

#[test]
fn rings_of_every_size_side_by_side() {
    let mut rng = SmallRng::seed_from_u64(22);
    let mut jobs = Vec::new();
    let mut expected = Vec::new();
    for (count, size) in [2, 128, 3, 16, 2, 7, 16, 9, 4, 5, 2]
        .into_iter()
        .enumerate()
    {
        let (ring, signer, key) = ring(&mut rng, size);
        let mut message = vec![0; 30 * count];
        rng.fill(&mut message[..]);
        let mut signature = sign(&ring, &message, signer, &key, &secret(&mut rng)).unwrap();
        assert_eq!(signature.len(), Job::signature_length(size));
        if count % 4 == 3 {
            let at = rng.random_range(33..signature.len());
            signature[at] ^= 1 << rng.random_range(0..8);
        }
        jobs.push(Job::new(&ring, &message, &signature).unwrap());
        expected.push(count % 4 != 3);
    }
    let jobs: Vec<&Job> = jobs.iter().collect();
    for (by, verdicts) in everywhere(&jobs) {
        assert_eq!(verdicts, expected, "{by}");
    }
    for level in levels() {
        assert!(verify_batch_at(level, &[], &Members::new(0)).is_empty());
    }
    assert!(verify(jobs[0]) && !verify(jobs[3]));
}

/// Every place of the signer gives a valid signature: the chain closes wherever it starts.
#[test]
fn every_member_can_sign() {
    let mut rng = SmallRng::seed_from_u64(23);
    let secrets: Vec<[u8; 32]> = (0..9).map(|_| secret(&mut rng)).collect();
    let ring: Vec<[u8; 33]> = secrets.iter().map(|key| public_key(key).unwrap()).collect();
    let jobs: Vec<Job> = secrets
        .iter()
        .enumerate()
        .map(|(i, key)| {
            let signature = sign(&ring, b"m", i, key, &[1; 32]).unwrap();
            assert_eq!(signature[..33], key_image(key).unwrap());
            Job::new(&ring, b"m", &signature).unwrap()
        })
        .collect();
    let jobs: Vec<&Job> = jobs.iter().collect();
    for (by, verdicts) in everywhere(&jobs) {
        assert_eq!(verdicts, [true; 9], "{by}");
    }
}

/// One key shows one image in all its rings, different keys show different images, and the image is not computed from the public key
/// the way that the insecure hash-to-point x G of other schemes allows.
#[test]
fn images_link_and_do_not_tell() {
    let mut rng = SmallRng::seed_from_u64(24);
    let key = secret(&mut rng);
    let public = public_key(&key).unwrap();
    let mut images = Vec::new();
    for place in 0..3 {
        let (mut ring, _, _) = ring(&mut rng, 4);
        ring[place] = public;
        let signature = sign(&ring, b"spend", place, &key, &[place as u8; 32]).unwrap();
        assert!(verify(&Job::new(&ring, b"spend", &signature).unwrap()));
        images.push(signature[..33].to_vec());
        for member in &ring {
            assert_ne!(attack(member)[..], signature[..33], "nobody is found");
        }
    }
    assert!(images.iter().all(|image| *image == images[0]));
    let others: Vec<_> = (0..20)
        .map(|_| key_image(&secret(&mut rng)).unwrap())
        .collect();
    assert!(others.iter().all(|image| image[..] != images[0][..]));
    // The attack works where the hash to a point is SHA-256(P) G: x SHA-256(P) G = SHA-256(P) P.
    let weak = k256_multiple(&k256_multiple(&generator(), &digest(&public)), &key);
    assert_eq!(attack(&public), weak);
}

fn generator() -> [u8; 33] {
    let mut one = [0; 32];
    one[31] = 1;
    public_key(&one).unwrap()
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}

/// What an onlooker computes: SHA-256(P) P.
fn attack(public: &[u8; 33]) -> [u8; 33] {
    k256_multiple(public, &digest(public))
}

fn k256_multiple(point: &[u8; 33], factor: &[u8; 32]) -> [u8; 33] {
    use k256::elliptic_curve::{bigint::U256, ops::Reduce, sec1::ToEncodedPoint};
    let point = k256::PublicKey::from_sec1_bytes(point)
        .unwrap()
        .to_projective();
    let factor = <k256::Scalar as Reduce<U256>>::reduce_bytes(&(*factor).into());
    (point * factor)
        .to_affine()
        .to_encoded_point(true)
        .as_bytes()
        .try_into()
        .unwrap()
}

#[test]
fn inputs_are_checked() {
    let mut rng = SmallRng::seed_from_u64(25);
    let (ring, signer, key) = ring(&mut rng, 3);
    let seed = [0; 32];
    let order: [u8; 32] = hex::decode(ORDER).unwrap().try_into().unwrap();
    for bad in [[0; 32], order, [0xff; 32]] {
        assert_eq!(public_key(&bad), Err(RingError::SecretKey));
        assert_eq!(key_image(&bad), Err(RingError::SecretKey));
        assert_eq!(
            sign(&ring, b"", signer, &bad, &seed),
            Err(RingError::SecretKey)
        );
    }
    let wrong = (signer + 1) % 3;
    assert_eq!(
        sign(&ring, b"", wrong, &key, &seed),
        Err(RingError::InvalidKey)
    );
    assert_eq!(
        sign(&ring, b"", 3, &key, &seed),
        Err(RingError::Index {
            index: 3,
            members: 3
        })
    );
    assert_eq!(
        sign(&ring[..1], b"", 0, &key, &seed),
        Err(RingError::RingSize(1))
    );
    let many = vec![ring[0]; 129];
    for count in [1, 129] {
        let signature = vec![0; Job::signature_length(count)];
        let job = Job::new(&many[..count], b"", &signature);
        assert_eq!(job, Err(RingError::RingSize(count)));
    }
    assert_eq!(
        sign(&many, b"", 0, &key, &seed),
        Err(RingError::RingSize(129))
    );
    let mut twice = ring.clone();
    twice[wrong] = ring[signer];
    let at = wrong.max(signer);
    assert_eq!(
        sign(&twice, b"", signer, &key, &seed),
        Err(RingError::Member(at))
    );
    twice[wrong] = [0; 33];
    assert_eq!(
        sign(&twice, b"", signer, &key, &seed),
        Err(RingError::Member(wrong))
    );
    assert!(hash_to_point(&ring[0]).is_some() && hash_to_point(&[0; 33]).is_none());
    // A seed used twice is harmless: another message, other nonces.
    let one = sign(&ring, b"one", signer, &key, &seed).unwrap();
    let two = sign(&ring, b"two", signer, &key, &seed).unwrap();
    assert!(
        (65..one.len())
            .step_by(32)
            .all(|at| one[at..at + 32] != two[at..at + 32])
    );
    assert_eq!(one, sign(&ring, b"one", signer, &key, &seed).unwrap());
}

#[test]
fn known_answers_hold_at_every_level() {
    let (jobs, expected): (Vec<Job>, Vec<bool>) = known_answers().into_iter().unzip();
    assert_eq!(expected.len(), 8);
    let jobs: Vec<&Job> = jobs.iter().collect();
    for (by, verdicts) in everywhere(&jobs) {
        assert_eq!(verdicts, expected, "{by}");
    }
    let secrets = [[1; 32], [2; 32], [3; 32]];
    let ring = secrets.map(|key| public_key(&key).unwrap());
    let signature = sign(&ring, b"pars", 2, &secrets[2], &[7; 32]).unwrap();
    assert_eq!(&Job::new(&ring, b"pars", &signature).unwrap(), jobs[1]);
}

/// Small batches of sums, so that rings of one call walk in many cohorts; a device that does nothing or is lost gives no verdict.
#[cfg(feature = "gpu")]
#[test]
fn devices_walk_in_cohorts_and_fail_as_errors() {
    use pars_kernels::gpu::{Device, GpuError};
    use pars_kernels::ring::lsag_secp256k1::gpu::{BatchVerifier, CurveError, Tuning};
    let (known, verdicts): (Vec<Job>, Vec<bool>) = known_answers().into_iter().unzip();
    let jobs: Vec<&Job> = known.iter().cycle().take(37).collect();
    let expected: Vec<bool> = verdicts.iter().copied().cycle().take(37).collect();
    common::devices::each(|device| {
        let mut tuning = Tuning::of(device);
        tuning.max_batch = 5;
        tuning.reverse = true;
        let mut verifier = BatchVerifier::with_tuning(device, tuning).unwrap();
        let found = verifier.verify(&jobs, &LsagMembers::new(64));
        assert_eq!(found, Ok(expected.clone()));
    });
    let device = Device::noop().unwrap();
    let mut verifier = BatchVerifier::new(&device).unwrap();
    let error = verifier.verify(&jobs, &LsagMembers::new(64)).unwrap_err();
    assert!(matches!(error, CurveError::Unfinished { .. }), "{error}");
    device.destroy();
    let error = verifier.verify(&jobs, &LsagMembers::new(64)).unwrap_err();
    assert!(
        matches!(error, CurveError::Gpu(GpuError::Lost { .. })),
        "{error}"
    );
}
