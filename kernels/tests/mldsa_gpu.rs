//! The shader's verdicts on every adapter of this machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![cfg(feature = "gpu")]

mod common;

use common::devices;
use pars_kernels::mldsa::{
    VerifyJob,
    gpu::{BatchVerifier, GpuVerdict},
    known_answers,
};

fn expected(valid: bool) -> GpuVerdict {
    if valid {
        GpuVerdict::Valid
    } else {
        GpuVerdict::Invalid
    }
}

#[test]
fn known_answers_are_right() {
    devices::each(|device| {
        let mut verifier = BatchVerifier::new(device).unwrap();
        let answers = known_answers();
        let jobs: Vec<&VerifyJob> = answers.iter().map(|(job, _)| job).collect();
        let verdicts = verifier.verify(&jobs).unwrap();
        for (i, ((job, valid), verdict)) in answers.iter().zip(&verdicts).enumerate() {
            assert_eq!(
                *verdict,
                expected(*valid),
                "answer {i}, {}",
                job.parameter_set()
            );
        }
    });
}
