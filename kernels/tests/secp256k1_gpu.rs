//! The shaders of secp256k1 on every adapter of this machine: the answers of the CPU, in all shapes and at the edges of the formulas.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![cfg(feature = "gpu")]

mod common;

use common::devices;
use k256::{
    ProjectivePoint, Scalar,
    elliptic_curve::{PrimeField, sec1::ToEncodedPoint},
};
use pars_kernels::{
    cpu::Level,
    gpu::{Device, GpuError, ShaderChecks},
    secp256k1::{
        Point, RecoverJob, Signature, ecdsa,
        gpu::{BatchVerifier, CurveError, Tuning},
        recover_batch_at, recover_known_answers, schnorr,
    },
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// Recoveries of random numbers; r of half of them is no x of a point.
fn random(count: usize) -> Vec<RecoverJob> {
    let mut rng = SmallRng::seed_from_u64(count as u64);
    std::iter::repeat_with(|| {
        let (hash, signature): ([u8; 32], [u8; 64]) = (rng.random(), rng.random());
        RecoverJob::new(
            &hash,
            rng.random_range(0..2),
            Signature::from_bytes(&signature).ok()?,
        )
        .ok()
    })
    .flatten()
    .take(count)
    .collect()
}

fn compare(verifier: &mut BatchVerifier, jobs: &[RecoverJob], what: &str) {
    let jobs: Vec<&RecoverJob> = jobs.iter().collect();
    let expected = recover_batch_at(Level::Portable, &jobs);
    let found = verifier.recover(&jobs).unwrap();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "{what}: {at}");
    }
}

#[test]
fn devices_give_the_known_answers() {
    devices::each(|device| {
        let mut verifier = BatchVerifier::new(device).unwrap();
        let (jobs, expected): (Vec<_>, Vec<_>) = recover_known_answers().into_iter().unzip();
        let jobs: Vec<&RecoverJob> = jobs.iter().collect();
        assert_eq!(verifier.recover_addresses(&jobs), Ok(expected));
        let (jobs, expected): (Vec<_>, Vec<_>) = ecdsa::known_answers().into_iter().unzip();
        let jobs: Vec<&ecdsa::VerifyJob> = jobs.iter().collect();
        assert_eq!(verifier.verify_ecdsa(&jobs), Ok(expected));
        let (jobs, expected): (Vec<_>, Vec<_>) = schnorr::known_answers().into_iter().unzip();
        let jobs: Vec<&schnorr::VerifyJob> = jobs.iter().collect();
        assert_eq!(verifier.verify_schnorr(&jobs), Ok(expected));
    });
}

#[test]
fn batches_of_every_size_equal_the_cpu() {
    devices::each(|device| {
        let mut verifier = BatchVerifier::new(device).unwrap();
        for count in [0, 1, 2, 15, 16, 17, 63, 64, 65, 301] {
            compare(&mut verifier, &random(count), &format!("{count} jobs"));
        }
    });
}

#[test]
fn every_shape_gives_the_same_points() {
    devices::each(|device| {
        let base = Tuning::of(device);
        let mut small = base;
        small.threads = 32;
        small.reverse = true;
        small.max_batch = 50;
        small.share = 3;
        let mut narrow = base;
        narrow.wide = false;
        let mut checked = base;
        checked.checks = ShaderChecks::Checked;
        checked.share = 1;
        for tuning in [small, narrow, checked] {
            let mut verifier = BatchVerifier::with_tuning(device, tuning).unwrap();
            let jobs = [edges(), random(110)].concat();
            compare(&mut verifier, &jobs, &format!("{tuning:?}"));
        }
    });
}

/// A recovery of `a G + b P` for P = k G, whatever the factors are, and that point; nothing where the x of P is no r.
fn sum(a: Scalar, b: Scalar, k: Scalar) -> Option<(RecoverJob, Option<[u8; 64]>)> {
    let point = (ProjectivePoint::GENERATOR * k)
        .to_affine()
        .to_encoded_point(false);
    let r: [u8; 32] = (*point.x()?).into();
    let odd = point.y()?[31] & 1;
    // Q = (s R - z G) / r.
    let r_scalar = Option::<Scalar>::from(Scalar::from_repr(r.into()))?;
    let (z, s) = (-(a * r_scalar), b * r_scalar);
    let signature = Signature::new(&r, &s.to_repr().into()).ok()?;
    let job = RecoverJob::new(&z.to_repr().into(), u64::from(odd), signature).ok()?;
    let sum = (ProjectivePoint::GENERATOR * (a + b * k))
        .to_affine()
        .to_encoded_point(false);
    let expected = sum
        .as_bytes()
        .get(1..)
        .and_then(|bytes| bytes.try_into().ok());
    Some((job, expected))
}

/// Sums whose terms are equal, opposite or the identity somewhere on the way, and factors at the ends of their range.
fn exceptions() -> Vec<(RecoverJob, Option<[u8; 64]>)> {
    let number = |number: u64| Scalar::from(number);
    // λ of the endomorphism.
    let bytes = hex::decode("5363ad4cc05c30e0a5261c028812645a122e22ea20816678df02967c1b23bd72");
    let bytes: [u8; 32] = bytes.unwrap().try_into().unwrap();
    let lambda = Scalar::from_repr(bytes.into()).unwrap();
    assert!(lambda != Scalar::ONE && lambda * lambda * lambda == Scalar::ONE);
    let factors: Vec<Scalar> = [1, 2, 5, 7, 8, 9, 16, 128, 251, 256, 65_280]
        .into_iter()
        .flat_map(|small| [number(small), -number(small)])
        .chain([lambda, -lambda, lambda * lambda, lambda + number(8)])
        .collect();
    let mut out = Vec::new();
    for k in [number(1), number(2), number(256), lambda] {
        for b in &factors {
            for a in factors.iter().chain([&Scalar::ZERO]) {
                out.extend(sum(*a, *b, k));
            }
        }
    }
    out
}

fn edges() -> Vec<RecoverJob> {
    exceptions()
        .into_iter()
        .map(|(job, _)| job)
        .step_by(7)
        .collect()
}

#[test]
fn equal_opposite_and_absent_terms_are_added() {
    let (jobs, expected): (Vec<_>, Vec<_>) = exceptions().into_iter().unzip();
    assert!(jobs.len() > 2_000);
    assert!(expected.iter().filter(|point| point.is_none()).count() > 20);
    devices::each(|device| {
        let mut verifier = BatchVerifier::new(device).unwrap();
        // Shifted by one, each stands in other places of a workgroup and of a vector.
        for shift in 0..3 {
            let jobs: Vec<&RecoverJob> = jobs.iter().skip(shift).collect();
            let found = verifier.recover(&jobs).unwrap();
            for (at, (found, expected)) in found.iter().zip(&expected[shift..]).enumerate() {
                let found = found.map(|point: Point| point.to_uncompressed());
                assert_eq!(found, *expected, "{at} from {shift}");
            }
        }
    });
}

/// A job that has no answer changes nothing around it, wherever it stands.
#[test]
fn jobs_without_an_answer_stay_alone() {
    let known = recover_known_answers();
    let good = known[0].0;
    let bad: Vec<RecoverJob> = known
        .iter()
        .filter(|(_, address)| address.is_none())
        .map(|(job, _)| *job)
        .collect();
    assert_eq!(bad.len(), 2);
    devices::each(|device| {
        let mut verifier = BatchVerifier::new(device).unwrap();
        for bad in &bad {
            for place in 0..20 {
                let mut jobs = vec![good; 20];
                jobs[place] = *bad;
                let jobs: Vec<&RecoverJob> = jobs.iter().collect();
                let addresses = verifier.recover_addresses(&jobs).unwrap();
                for (at, address) in addresses.iter().enumerate() {
                    let expected = if at == place { None } else { known[0].1 };
                    assert_eq!(*address, expected, "{at} beside {place}");
                }
            }
        }
    });
}

/// Batches in flight at once keep apart.
#[test]
fn batches_are_submitted_before_the_first_is_collected() {
    devices::each(|device| {
        let mut verifier = BatchVerifier::new(device).unwrap();
        let jobs = random(90);
        let jobs: Vec<&RecoverJob> = jobs.iter().collect();
        let (ecdsa_jobs, verdicts): (Vec<_>, Vec<_>) = ecdsa::known_answers().into_iter().unzip();
        let ecdsa_jobs: Vec<&ecdsa::VerifyJob> = ecdsa_jobs.iter().collect();
        let (schnorr_jobs, valid): (Vec<_>, Vec<_>) = schnorr::known_answers().into_iter().unzip();
        let schnorr_jobs: Vec<&schnorr::VerifyJob> = schnorr_jobs.iter().collect();
        let first = verifier.submit_recover(&jobs).unwrap();
        let second = verifier.submit_ecdsa(&ecdsa_jobs).unwrap();
        let third = verifier.submit_recover(&jobs[..7]).unwrap();
        let fourth = verifier.submit_schnorr(&schnorr_jobs).unwrap();
        let expected = recover_batch_at(Level::Portable, &jobs);
        assert_eq!(verifier.collect_verdicts(fourth), Ok(valid));
        assert_eq!(verifier.collect_keys(third), Ok(expected[..7].to_vec()));
        assert_eq!(verifier.collect_keys(first), Ok(expected));
        assert_eq!(verifier.collect_verdicts(second), Ok(verdicts));
    });
}

/// A device that does nothing gives no key and no verdict.
#[test]
fn noop_answers_nothing() {
    let device = Device::noop().unwrap();
    let mut verifier = BatchVerifier::new(&device).unwrap();
    let jobs = random(5);
    let jobs: Vec<&RecoverJob> = jobs.iter().collect();
    let unfinished = |error: CurveError| matches!(error, CurveError::Unfinished { missing, sums, .. } if missing == sums);
    assert!(unfinished(verifier.recover(&jobs).unwrap_err()));
    let (jobs, _): (Vec<_>, Vec<_>) = ecdsa::known_answers().into_iter().unzip();
    let jobs: Vec<&ecdsa::VerifyJob> = jobs.iter().collect();
    assert!(unfinished(verifier.verify_ecdsa(&jobs).unwrap_err()));
}

#[test]
fn a_lost_device_is_an_error() {
    let device = Device::noop().unwrap();
    let mut verifier = BatchVerifier::new(&device).unwrap();
    let jobs = random(5);
    let jobs: Vec<&RecoverJob> = jobs.iter().collect();
    let pending = verifier.submit_recover(&jobs).unwrap();
    device.destroy();
    let lost = |error| matches!(error, CurveError::Gpu(GpuError::Lost { .. }));
    assert!(lost(verifier.collect_keys(pending).unwrap_err()));
    assert!(lost(verifier.recover(&jobs).unwrap_err()));
    assert!(lost(BatchVerifier::new(&device).unwrap_err()));
}
