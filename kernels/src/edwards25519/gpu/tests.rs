mod field;
mod kernels;

use std::time::Duration;

use curve25519_dalek::ristretto::CompressedRistretto;

use super::*;
use crate::edwards25519::ed25519::{VerifyJob, known_answers};
use crate::field::wgsl::Form;
use crate::gpu::adapters;
use crate::ring::clsag::{self, Clsag};
use crate::ring::lsag_ristretto255::{self as lsag, LsagRistretto255};
use biased::words;
use launch::StageId;
use shaders::{Kernel, point_words};

fn jobs<J>(known: Vec<(J, bool)>) -> (Vec<J>, Vec<bool>) {
    known.into_iter().unzip()
}

fn ed25519() -> (Vec<VerifyJob>, Vec<bool>) {
    jobs(known_answers())
}

/// A device that does nothing gives no verdict but those that need no device.
fn noop<S: Scheme>((jobs, valid): (Vec<S::Job>, Vec<bool>)) {
    let device = Device::noop().unwrap();
    let mut verifier = BatchVerifier::<S>::new(&device).unwrap();
    let verdicts = verifier.verify(&jobs.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(verdicts.len(), jobs.len());
    assert_eq!(verdicts[0], None, "a valid one needs the device");
    for (verdict, valid) in verdicts.into_iter().zip(valid) {
        assert!(verdict.is_none() || verdict == Some(valid));
    }
    assert_eq!(verifier.verify(&[]), Ok(vec![]));
}

#[test]
fn noop_verifies_nothing() {
    noop::<Ed25519>(ed25519());
    noop::<Clsag>(jobs(clsag::known_answers()));
    noop::<LsagRistretto255>(jobs(lsag::known_answers().unwrap()));
}

/// What a signature says that it needs is enough for what it is given.
fn room<S: Scheme>((jobs, _): (Vec<S::Job>, Vec<bool>)) {
    for form in [Form::Wide, Form::Narrow] {
        let programs: Vec<_> = S::programs()
            .iter()
            .map(|program| Stored::new(0, program))
            .collect();
        for job in &jobs {
            let mut launch = Launch::new(form);
            S::lay_out(&[job], &programs, &mut launch);
            let points = u32::try_from(S::points(job)).unwrap();
            assert!(launch.arena <= points * point_words(form));
            for stage in &launch.stages {
                assert!(stage.count <= points);
            }
        }
    }
}

#[test]
fn signatures_fit_the_memory_that_they_ask_for() {
    room::<Ed25519>(ed25519());
    room::<Clsag>(jobs(clsag::known_answers()));
    room::<LsagRistretto255>(jobs(lsag::known_answers().unwrap()));
}

#[test]
fn a_lost_device_is_an_error() {
    let device = Device::noop().unwrap();
    let mut verifier = BatchVerifier::<Ed25519>::new(&device).unwrap();
    let known = known_answers();
    let pending = verifier.submit(&[&known[0].0]).unwrap();
    device.destroy();
    let lost = |error| matches!(error, GpuError::Lost { .. });
    assert!(lost(verifier.collect(pending).unwrap_err()));
    assert!(lost(verifier.verify(&[&known[0].0]).unwrap_err()));
    assert!(lost(BatchVerifier::<Ed25519>::new(&device).unwrap_err()));
}

#[test]
fn all_results_decide() {
    assert_eq!(verdict(&[YES, YES]), Some(true));
    assert_eq!(verdict(&[YES, NO]), Some(false));
    assert_eq!(verdict(&[NO, 0]), None);
    assert_eq!(verdict(&[YES, 1, YES]), None);
    assert_eq!(verdict(&[]), Some(false));
}
