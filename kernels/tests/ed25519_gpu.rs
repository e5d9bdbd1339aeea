//! Ed25519 shaders on every adapter of this machine: the verdicts of the CPU, in all shapes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![cfg(feature = "gpu")]

mod common;

use common::devices;
use common::edwards25519::gpu::shapes;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::{EdwardsPoint, Scalar};
use pars_kernels::cpu::Level;
use pars_kernels::edwards25519::ed25519::{VerifyJob, known_answers, verify_batch_at};
use pars_kernels::edwards25519::gpu::{BatchVerifier, Ed25519};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha512};

/// Signatures of keys and nonces at the edge of the formulas and of random ones, with parts of small order, some damaged. For the key
/// B, −B or 2 B the sum meets the point that is added, or its opposite.
fn jobs(count: usize, seed: u64) -> Vec<VerifyJob> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut scalar = move |i: usize| match i % 7 {
        0 => Scalar::ZERO,
        1 => Scalar::ONE,
        2 => -Scalar::ONE,
        3 => Scalar::from(2u64),
        4 => Scalar::from(16u64),
        _ => Scalar::from_bytes_mod_order(rng.random()),
    };
    let mut rng = StdRng::seed_from_u64(seed + 1);
    (0..count)
        .map(|i| {
            let (x, nonce) = (scalar(i), scalar(i / 7));
            let torsion = |i: usize| EIGHT_TORSION[if i.is_multiple_of(3) { i / 3 % 8 } else { 0 }];
            let key = EdwardsPoint::mul_base(&x) + torsion(i);
            let r = EdwardsPoint::mul_base(&nonce) + torsion(i / 5);
            let mut key = key.compress().to_bytes();
            let mut r = r.compress().to_bytes();
            let hash = Sha512::new()
                .chain_update(r)
                .chain_update(key)
                .chain_update([7; 9])
                .finalize();
            let k = Scalar::from_bytes_mod_order_wide(&hash.into());
            let mut s = (nonce + k * x).to_bytes();
            let bit = 1 << rng.random_range(0..8);
            match rng.random_range(0..9) {
                0 => key[rng.random_range(0..32)] ^= bit,
                1 => r[rng.random_range(0..32)] ^= bit,
                2 => s[rng.random_range(0..32)] ^= bit,
                _ => {}
            }
            VerifyJob::new(&key, &[7; 9], &[r, s].concat()).unwrap()
        })
        .collect()
}

fn compare(verifier: &mut BatchVerifier<Ed25519>, jobs: &[VerifyJob]) {
    let jobs: Vec<_> = jobs.iter().collect();
    let expected = verify_batch_at(Level::Portable, &jobs);
    let found = verifier.verify(&jobs).unwrap();
    assert_eq!(found.len(), jobs.len());
    for ((job, found), expected) in jobs.iter().zip(found).zip(expected) {
        assert_eq!(found, Some(expected), "{job:?}");
    }
}

#[test]
fn batches_of_every_size_get_the_verdicts_of_the_cpu() {
    devices::each(|device| {
        let mut verifier = BatchVerifier::new(device).unwrap();
        for count in [0, 1, 3, 63, 64, 65, 201] {
            compare(&mut verifier, &jobs(count, count as u64));
        }
        let (jobs, valid): (Vec<_>, Vec<_>) = known_answers().into_iter().unzip();
        let jobs: Vec<_> = jobs.iter().collect();
        let valid: Vec<_> = valid.into_iter().map(Some).collect();
        // Batches in flight at once keep apart.
        let first = verifier.submit(&jobs).unwrap();
        let second = verifier.submit(&jobs[1..]).unwrap();
        assert_eq!(verifier.collect(second), Ok(valid[1..].to_vec()));
        assert_eq!(verifier.collect(first), Ok(valid));
    });
}

#[test]
fn every_shape_gives_the_same_verdicts() {
    devices::each(|device| {
        for (tuning, count) in shapes(device).into_iter().zip([70, 40, 40]) {
            let mut verifier = BatchVerifier::with_tuning(device, tuning).unwrap();
            compare(&mut verifier, &jobs(count, 11));
        }
    });
}
