//! secp256k1: groups `secp256k1/recover`, `secp256k1/ecdsa`, `secp256k1/schnorr` and `lsag16-secp256k1/verify`.
//!
//! | who | what |
//! |---|---|
//! | `pars-portable`, `pars-avx2`, `pars-avx512` | the kernel at one level, the batch at once |
//! | `pars-gpu` | the shaders on the first adapter, in batches that fill it, transfers included |
//! | `libsecp256k1` | the C library through the crate `secp256k1`, one after another; for LSAG the same equations from its public operations |
//! | `k256` | the pure Rust crate, one after another |

use std::cell::RefCell;

use ::secp256k1::{
    Keypair, Message, PublicKey, Scalar, SecretKey, XOnlyPublicKey,
    ecdsa::{RecoverableSignature, RecoveryId, Signature},
    schnorr as peer_schnorr,
};
use pars_kernels::{
    ring::{Members, Scheme, Transcript, lsag_secp256k1},
    secp256k1::{self as ours, RecoverJob, ecdsa, gpu::BatchVerifier, schnorr},
};

use crate::{Bench, Group, device::Opened, levels};

/// Signatures that there are, and those that peers are given.
const ALL: usize = 1_024;
const PEERS: usize = 64;
/// Rings that there are, and their members.
const RINGS: usize = 32;
const RING: usize = 16;

/// Batches for a device: jobs, and rings.
const DEVICE_BATCHES: [usize; 2] = [1_024, 65_536];
const DEVICE_RINGS: [usize; 2] = [1_024, 8_192];

/// A signature in all forms that the groups need.
#[derive(Clone)]
struct Signed {
    hash: [u8; 32],
    odd: u8,
    signature: [u8; 64],
    key: PublicKey,
    schnorr: [u8; 64],
    x_only: [u8; 32],
}

/// Signatures of different keys on different hashes.
fn signed(count: usize) -> Vec<Signed> {
    (0..count)
        .map(|i| {
            let secret = secret(i);
            let mut hash = [0x5a; 32];
            hash[..8].copy_from_slice(&(i as u64).to_le_bytes());
            let message = Message::from_digest(hash);
            let (id, signature) =
                RecoverableSignature::sign_ecdsa_recoverable(message, &secret).serialize_compact();
            let pair = Keypair::from_secret_key(&secret);
            Signed {
                hash,
                odd: u8::from(id) & 1,
                signature,
                key: PublicKey::from_secret_key(&secret),
                schnorr: peer_schnorr::sign_no_aux_rand(&hash, &pair).to_byte_array(),
                x_only: pair.x_only_public_key().0.to_byte_array(),
            }
        })
        .collect()
}

fn secret(i: usize) -> SecretKey {
    let mut bytes = [0x11; 32];
    bytes[24..].copy_from_slice(&(i as u64 + 1).to_be_bytes());
    SecretKey::from_secret_bytes(bytes).unwrap()
}

pub fn bench(bench: &mut Bench, device: Option<&Opened>) {
    let all = signed(ALL);
    recover(bench, &all, device);
    verify_ecdsa(bench, &all, device);
    verify_schnorr(bench, &all, device);
    lsag(bench, device);
}

fn recovery(item: &Signed) -> RecoverJob {
    let signature = ours::Signature::from_bytes(&item.signature).unwrap();
    RecoverJob::new(&item.hash, item.odd.into(), signature).unwrap()
}

fn is_key_of((key, item): (&Option<ours::Point>, &Signed)) -> bool {
    key.is_some_and(|key| key.to_uncompressed() == item.key.serialize_uncompressed()[1..])
}

fn verification(item: &Signed) -> ecdsa::VerifyJob {
    let signature = ours::Signature::from_bytes(&item.signature).unwrap();
    ecdsa::VerifyJob::new(&item.key.serialize(), &item.hash, signature).unwrap()
}

fn schnorr_verification(item: &Signed) -> schnorr::VerifyJob {
    schnorr::VerifyJob::new(&item.x_only, &item.hash, &item.schnorr)
}

fn recover(bench: &mut Bench, all: &[Signed], device: Option<&Opened>) {
    let batches = device.map(|device| device.batches(all, &DEVICE_BATCHES));
    let verifier = device.map(|device| RefCell::new(BatchVerifier::new(&device.device).unwrap()));
    let mut group = Group::new("secp256k1/recover");
    for size in bench.batches() {
        for level in levels() {
            group.row(format!("pars-{level}"), &all[..*size], true, move |items| {
                let jobs: Vec<RecoverJob> = items.iter().map(recovery).collect();
                let jobs: Vec<&RecoverJob> = jobs.iter().collect();
                let keys = ours::recover_batch_at(level, &jobs);
                keys.iter().zip(items).map(is_key_of).collect()
            });
        }
    }
    for items in batches.iter().flatten() {
        let verifier = verifier.as_ref().unwrap();
        group.row("pars-gpu", items, true, |items| {
            let jobs: Vec<RecoverJob> = items.iter().map(recovery).collect();
            let jobs: Vec<&RecoverJob> = jobs.iter().collect();
            let keys = verifier.borrow_mut().recover(&jobs).unwrap();
            keys.iter().zip(items).map(is_key_of).collect()
        });
    }
    group.row("libsecp256k1", &all[..PEERS], true, |items| {
        items
            .iter()
            .map(|item| {
                let id = RecoveryId::try_from(i32::from(item.odd)).unwrap();
                let signature = RecoverableSignature::from_compact(&item.signature, id).unwrap();
                signature.recover_ecdsa(Message::from_digest(item.hash)) == Ok(item.key)
            })
            .collect()
    });
    group.row("k256", &all[..PEERS], true, |items| {
        items
            .iter()
            .map(|item| {
                let signature = k256::ecdsa::Signature::from_slice(&item.signature).unwrap();
                let id = k256::ecdsa::RecoveryId::from_byte(item.odd).unwrap();
                k256::ecdsa::VerifyingKey::recover_from_prehash(&item.hash, &signature, id)
                    .is_ok_and(|key| key.to_sec1_bytes()[..] == item.key.serialize())
            })
            .collect()
    });
    group.finish(bench);
}

fn verify_ecdsa(bench: &mut Bench, all: &[Signed], device: Option<&Opened>) {
    let batches = device.map(|device| device.batches(all, &DEVICE_BATCHES));
    let verifier = device.map(|device| RefCell::new(BatchVerifier::new(&device.device).unwrap()));
    let mut group = Group::new("secp256k1/ecdsa");
    for size in bench.batches() {
        for level in levels() {
            group.row(format!("pars-{level}"), &all[..*size], true, move |items| {
                let jobs: Vec<ecdsa::VerifyJob> = items.iter().map(verification).collect();
                ecdsa::verify_batch_at(level, &jobs.iter().collect::<Vec<_>>())
            });
        }
    }
    for items in batches.iter().flatten() {
        let verifier = verifier.as_ref().unwrap();
        group.row("pars-gpu", items, true, |items| {
            let jobs: Vec<ecdsa::VerifyJob> = items.iter().map(verification).collect();
            let jobs: Vec<_> = jobs.iter().collect();
            verifier.borrow_mut().verify_ecdsa(&jobs).unwrap()
        });
    }
    group.row("libsecp256k1", &all[..PEERS], true, |items| {
        items
            .iter()
            .map(|item| {
                let key = PublicKey::from_slice(&item.key.serialize()).unwrap();
                let signature = Signature::from_compact(&item.signature).unwrap();
                ::secp256k1::ecdsa::verify(&signature, Message::from_digest(item.hash), &key)
                    .is_ok()
            })
            .collect()
    });
    group.finish(bench);
}

fn verify_schnorr(bench: &mut Bench, all: &[Signed], device: Option<&Opened>) {
    let batches = device.map(|device| device.batches(all, &DEVICE_BATCHES));
    let verifier = device.map(|device| RefCell::new(BatchVerifier::new(&device.device).unwrap()));
    let mut group = Group::new("secp256k1/schnorr");
    for size in bench.batches() {
        for level in levels() {
            group.row(format!("pars-{level}"), &all[..*size], true, move |items| {
                let jobs: Vec<schnorr::VerifyJob> =
                    items.iter().map(schnorr_verification).collect();
                schnorr::verify_batch_at(level, &jobs.iter().collect::<Vec<_>>())
            });
        }
    }
    for items in batches.iter().flatten() {
        let verifier = verifier.as_ref().unwrap();
        group.row("pars-gpu", items, true, |items| {
            let jobs: Vec<schnorr::VerifyJob> = items.iter().map(schnorr_verification).collect();
            let jobs: Vec<_> = jobs.iter().collect();
            verifier.borrow_mut().verify_schnorr(&jobs).unwrap()
        });
    }
    group.row("libsecp256k1", &all[..PEERS], true, |items| {
        items
            .iter()
            .map(|item| {
                let key = XOnlyPublicKey::from_byte_array(item.x_only).unwrap();
                let signature = peer_schnorr::Signature::from_byte_array(item.schnorr);
                peer_schnorr::verify(&signature, &item.hash, &key).is_ok()
            })
            .collect()
    });
    group.finish(bench);
}

/// A ring signature and what verifying it needs.
struct Ring {
    job: lsag_secp256k1::Job,
    /// Hp of each member, for the peer, which has no hash to the curve.
    hashes: Vec<PublicKey>,
}

/// Rings of different members.
fn rings(count: usize) -> Vec<Ring> {
    (0..count)
        .map(|i| {
            let secrets: Vec<[u8; 32]> = (0..RING)
                .map(|member| secret(i * RING + member).to_secret_bytes())
                .collect();
            let ring: Vec<[u8; 33]> = secrets
                .iter()
                .map(|key| lsag_secp256k1::public_key(key).unwrap())
                .collect();
            let signer = i % RING;
            let signature =
                lsag_secp256k1::sign(&ring, b"spend", signer, &secrets[signer], &[7; 32]).unwrap();
            Ring {
                job: lsag_secp256k1::Job::new(&ring, b"spend", &signature).unwrap(),
                hashes: ring
                    .iter()
                    .map(|member| lsag_secp256k1::hash_to_point(member).unwrap())
                    .map(|point| PublicKey::from_slice(&point).unwrap())
                    .collect(),
            }
        })
        .collect()
}

/// a A + b B with the public operations of libsecp256k1.
fn combination(a: Scalar, on_a: &PublicKey, b: Scalar, on_b: &PublicKey) -> PublicKey {
    let left = on_a.mul_tweak(&a).unwrap();
    left.combine(&on_b.mul_tweak(&b).unwrap()).unwrap()
}

/// LSAG's equations on libsecp256k1, hashing to the curve left out.
fn peer_verifies(ring: &Ring) -> bool {
    let job = &ring.job;
    let image = PublicKey::from_slice(job.image()).unwrap();
    let transcript = Transcript::new(Scheme::Secp256k1, job.ring(), job.image(), job.message());
    let mut challenge = *job.challenge();
    for (i, member) in job.ring().iter().enumerate() {
        let key = PublicKey::from_slice(member).unwrap();
        let s = SecretKey::from_secret_bytes(job.responses()[i]).unwrap();
        let c = Scalar::from_be_bytes(challenge).unwrap();
        // s G + c P: the multiple of the generator has a function of its own.
        let left = PublicKey::from_secret_key(&s)
            .combine(&key.mul_tweak(&c).unwrap())
            .unwrap();
        let right = combination(Scalar::from(s), &ring.hashes[i], c, &image);
        let hash = transcript.challenge(i as u16, &left.serialize(), &right.serialize());
        challenge = reduce(&hash);
    }
    challenge == *job.challenge()
}

/// 64 bytes modulo the order, by the constant-time crate.
fn reduce(bytes: &[u8; 64]) -> [u8; 32] {
    use k256::elliptic_curve::{PrimeField, bigint::U512, ops::Reduce};
    let wide = k256::WideBytes::from(*bytes);
    <k256::Scalar as Reduce<U512>>::reduce_bytes(&wide)
        .to_repr()
        .into()
}

fn lsag(bench: &mut Bench, device: Option<&Opened>) {
    let all = rings(RINGS);
    let jobs: Vec<&lsag_secp256k1::Job> = all.iter().map(|ring| &ring.job).collect();
    let batches = device.map(|device| device.batches(&jobs, &DEVICE_RINGS));
    let verifier = device.map(|device| {
        let verifier = lsag_secp256k1::gpu::BatchVerifier::new(&device.device);
        RefCell::new(verifier.unwrap())
    });
    let mut group = Group::new("lsag16-secp256k1/verify");
    for size in bench.rings() {
        for level in levels() {
            group.row(format!("pars-{level}"), &all[..*size], true, move |rings| {
                let jobs: Vec<_> = rings.iter().map(|ring| &ring.job).collect();
                lsag_secp256k1::verify_batch_at(level, &jobs, &Members::new(0))
            });
        }
    }
    for jobs in batches.iter().flatten() {
        let verifier = verifier.as_ref().unwrap();
        group.row("pars-gpu", jobs, true, |jobs| {
            let members = Members::new(0);
            verifier.borrow_mut().verify(jobs, &members).unwrap()
        });
    }
    group.row("libsecp256k1", &all[..1], true, |rings| {
        rings.iter().map(peer_verifies).collect()
    });
    group.finish(bench);
}
