//! edwards25519: groups `ed25519/verify`, `clsag16/verify` and `lsag16-ristretto255/verify`.
//!
//! | who | what |
//! |---|---|
//! | `pars-portable`, `pars-avx2`, `pars-avx512` | the kernel at one level the batch at once; no ring member is known before |
//! | `pars-<level>-known` | the same with the members of all rings prepared before, as for decoys that come again |
//! | `pars-gpu` | the shaders on the first adapter, from jobs, transfers included; large batches repeat rings, and the device keeps nothing of them |
//! | `ed25519-dalek` | one after another, from bytes |
//! | `ed25519-dalek-parsed` | one after another, public keys decompressed before |
//! | `monero-clsag` | the crate of the Monero ecosystem, one after another, from compressed points |
//! | `curve25519-dalek` | LSAG's equations on this crate, one after another, hashing to the group included |

use std::cell::RefCell;

use curve25519_dalek::Scalar;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::traits::VartimeMultiscalarMul;
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use pars_kernels::{
    edwards25519::{
        ed25519,
        gpu::{self, BatchVerifier},
    },
    ring::{
        Members, Scheme, Transcript,
        clsag::{self, ClsagJob},
        expand_message_xmd, lsag_ristretto255 as lsag,
    },
};

use crate::monero::{self, Peer};
use crate::{Bench, Group, device::Opened, levels};

/// Signatures that there are, and those that peers are given.
const ALL: usize = 1_024;
const PEERS: usize = 64;
/// Rings that there are, and their members.
const RINGS: usize = 32;
const RING: usize = 16;

/// Batches for a device: signatures, and rings.
const DEVICE_BATCHES: [usize; 3] = [1_024, 16_384, 131_072];
const DEVICE_RINGS: [usize; 4] = [32, 512, 2_048, 8_192];

pub fn bench(bench: &mut Bench, device: Option<&Opened>) {
    verify_ed25519(bench, device);
    verify_clsag(bench, device);
    verify_lsag(bench, device);
}

/// A scheme's verifier and its batches, on the device if there is one.
struct OnDevice<'a, S: gpu::Scheme> {
    verifier: RefCell<BatchVerifier<S>>,
    batches: Vec<Vec<&'a S::Job>>,
}

impl<'a, S: gpu::Scheme> OnDevice<'a, S> {
    fn new(
        device: Option<&Opened>,
        jobs: impl Iterator<Item = &'a S::Job>,
        sizes: &[usize],
    ) -> Option<Self> {
        let device = device?;
        let jobs: Vec<_> = jobs.collect();
        Some(Self {
            verifier: RefCell::new(BatchVerifier::new(&device.device).unwrap()),
            batches: device.batches(&jobs, sizes),
        })
    }

    fn rows<'b>(&'b self, group: &mut Group<'b>) {
        for jobs in &self.batches {
            group.row("pars-gpu", jobs, Some(true), |jobs| {
                self.verifier.borrow_mut().verify(jobs).unwrap()
            });
        }
    }
}

/// A signature as bytes, and its key as the peer keeps it.
struct Signed {
    key: [u8; 32],
    message: [u8; 32],
    signature: [u8; 64],
    parsed: VerifyingKey,
}

/// Signatures of different keys on different messages of 32 bytes.
fn signed(count: usize) -> Vec<Signed> {
    (0..count)
        .map(|i| {
            let mut secret = [0x11; 32];
            secret[..8].copy_from_slice(&(i as u64).to_le_bytes());
            let secret = SigningKey::from_bytes(&secret);
            let mut message = [0x5a; 32];
            message[..8].copy_from_slice(&(i as u64).to_le_bytes());
            Signed {
                key: secret.verifying_key().to_bytes(),
                message,
                signature: secret.sign(&message).to_bytes(),
                parsed: secret.verifying_key(),
            }
        })
        .collect()
}

fn verify_ed25519(bench: &mut Bench, device: Option<&Opened>) {
    let all = signed(ALL);
    let job =
        |item: &Signed| ed25519::VerifyJob::new(&item.key, &item.message, &item.signature).unwrap();
    let jobs: Vec<_> = all.iter().map(job).collect();
    let on_device = OnDevice::<gpu::Ed25519>::new(device, jobs.iter(), &DEVICE_BATCHES);
    let mut group = Group::new("ed25519/verify");
    for size in bench.batches() {
        for level in levels() {
            group.row(format!("pars-{level}"), &all[..*size], true, move |items| {
                let jobs: Vec<_> = items.iter().map(job).collect();
                ed25519::verify_batch_at(level, &jobs.iter().collect::<Vec<_>>())
            });
        }
    }
    if let Some(on_device) = &on_device {
        on_device.rows(&mut group);
    }
    group.row("ed25519-dalek", &all[..PEERS], true, |items| {
        items
            .iter()
            .map(|item| {
                let key = VerifyingKey::from_bytes(&item.key).unwrap();
                let signature = Signature::from_bytes(&item.signature);
                key.verify(&item.message, &signature).is_ok()
            })
            .collect()
    });
    group.row("ed25519-dalek-parsed", &all[..PEERS], true, |items| {
        items
            .iter()
            .map(|item| {
                let signature = Signature::from_bytes(&item.signature);
                item.parsed.verify(&item.message, &signature).is_ok()
            })
            .collect()
    });
    group.finish(bench);
}

/// Rings of different members, for us and for the peer.
fn monero_rings(count: usize) -> Vec<(ClsagJob, Peer)> {
    (0..count)
        .map(|i| {
            let signed = monero::Signed::new(i, RING, i % RING);
            (signed.job(), signed.peer().unwrap())
        })
        .collect()
}

fn verify_clsag(bench: &mut Bench, device: Option<&Opened>) {
    let all = monero_rings(RINGS);
    let jobs = all.iter().map(|(job, _)| job);
    let on_device = OnDevice::<clsag::Clsag>::new(device, jobs, &DEVICE_RINGS);
    let mut group = Group::new("clsag16/verify");
    for size in bench.rings() {
        for level in levels() {
            let verify = move |items: &[(ClsagJob, Peer)], members: &clsag::ClsagMembers| {
                let jobs: Vec<_> = items.iter().map(|(job, _)| job).collect();
                clsag::verify_batch_at(level, &jobs, members)
            };
            let items = &all[..*size];
            group.row(format!("pars-{level}"), items, true, move |items| {
                verify(items, &Members::new(0))
            });
            // Twice the members that are kept, as the store has two halves.
            let known = Members::new(2 * RING * RINGS);
            group.row(format!("pars-{level}-known"), items, true, move |items| {
                verify(items, &known)
            });
        }
    }
    if let Some(on_device) = &on_device {
        on_device.rows(&mut group);
    }
    group.row("monero-clsag", &all[..1], true, |items| {
        items.iter().map(|(_, peer)| peer.verify()).collect()
    });
    group.finish(bench);
}

/// LSAG's rings of different members.
fn lsag_rings(count: usize) -> Vec<lsag::Job> {
    (0..count)
        .map(|i| {
            let secrets: Vec<[u8; 32]> = (0..RING)
                .map(|member| {
                    let mut secret = [0; 32];
                    secret[16] = 1;
                    secret[..8].copy_from_slice(&((i * RING + member + 1) as u64).to_le_bytes());
                    secret
                })
                .collect();
            let ring: Vec<_> = secrets
                .iter()
                .map(|secret| lsag::public_key(secret).unwrap())
                .collect();
            let signer = i % RING;
            let signature =
                lsag::sign(&ring, b"spend", signer, &secrets[signer], &[7; 32]).unwrap();
            lsag::Job::new(&ring, b"spend", &signature).unwrap()
        })
        .collect()
}

/// LSAG's equations with the crate's variable-time sums.
fn peer_verifies(job: &lsag::Job) -> bool {
    let point = |bytes: &[u8; 32]| CompressedRistretto(*bytes).decompress().unwrap();
    let image = point(job.image());
    let transcript = Transcript::new(Scheme::Ristretto255, job.ring(), job.image(), job.message());
    let first = Scalar::from_canonical_bytes(*job.challenge()).unwrap();
    let mut c = first;
    for (i, member) in job.ring().iter().enumerate() {
        let mut uniform = [0; 64];
        let tag = b"PARS-RING-v1-ristretto255_XMD:SHA-512_R255MAP_RO_";
        expand_message_xmd::<sha2::Sha512>(member, tag, &mut uniform);
        let hash = RistrettoPoint::from_uniform_bytes(&uniform);
        let s = Scalar::from_canonical_bytes(job.responses()[i]).unwrap();
        let left = RistrettoPoint::vartime_double_scalar_mul_basepoint(&c, &point(member), &s);
        let right = RistrettoPoint::vartime_multiscalar_mul([s, c], [hash, image]);
        let wide = transcript.challenge(
            i as u16,
            left.compress().as_bytes(),
            right.compress().as_bytes(),
        );
        c = Scalar::from_bytes_mod_order_wide(&wide);
    }
    c == first
}

fn verify_lsag(bench: &mut Bench, device: Option<&Opened>) {
    let all = lsag_rings(RINGS);
    let on_device = OnDevice::<lsag::LsagRistretto255>::new(device, all.iter(), &DEVICE_RINGS);
    let mut group = Group::new("lsag16-ristretto255/verify");
    for size in bench.rings() {
        for level in levels() {
            group.row(format!("pars-{level}"), &all[..*size], true, move |jobs| {
                let jobs: Vec<_> = jobs.iter().collect();
                lsag::verify_batch_at(level, &jobs, &Members::new(0))
            });
        }
    }
    if let Some(on_device) = &on_device {
        on_device.rows(&mut group);
    }
    group.row("curve25519-dalek", &all[..1], true, |jobs| {
        jobs.iter().map(peer_verifies).collect()
    });
    group.finish(bench);
}
