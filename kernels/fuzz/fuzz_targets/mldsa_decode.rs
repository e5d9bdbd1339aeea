//! Signatures decode here if and only if they decode in `ml-dsa`: hint order, counts and padding, norm of z.
//!
//! Input: a byte for the set, then bytes laid over the end of a valid signature, so that short inputs reach the hint.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ml_dsa::{EncodedSignature, MlDsa44, MlDsa65, MlDsa87, MlDsaParams, Signature};
use pars_kernels::mldsa::{ParameterSet, VerifyJob, known_answers, portable};
use std::sync::OnceLock;

/// A valid job of each set.
fn valid(set: ParameterSet) -> &'static VerifyJob {
    static JOBS: OnceLock<Vec<VerifyJob>> = OnceLock::new();
    let jobs = JOBS.get_or_init(|| {
        let answers = known_answers();
        ParameterSet::ALL
            .iter()
            .map(|set| {
                let mut of_set = answers.iter().filter(|(job, _)| job.parameter_set() == *set);
                of_set.find(|(_, valid)| *valid).unwrap().0.clone()
            })
            .collect()
    });
    &jobs[set as usize]
}

fn decodes<P: MlDsaParams>(bytes: &[u8]) -> bool {
    let bytes = EncodedSignature::<P>::try_from(bytes).unwrap();
    match Signature::<P>::decode(&bytes) {
        None => false,
        Some(signature) => {
            assert!(signature.encode() == bytes, "one signature, two encodings");
            true
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&selector, data)) = data.split_first() else {
        return;
    };
    let set = ParameterSet::ALL[usize::from(selector) % 3];
    let mut signature = valid(set).signature().to_vec();
    let over = data.len().min(signature.len());
    let at = signature.len() - over;
    signature[at..].copy_from_slice(&data[..over]);
    let job = VerifyJob::pure(valid(set).public_key(), b"", b"", &signature).unwrap();
    let expected = match set {
        ParameterSet::MlDsa44 => decodes::<MlDsa44>(&signature),
        ParameterSet::MlDsa65 => decodes::<MlDsa65>(&signature),
        ParameterSet::MlDsa87 => decodes::<MlDsa87>(&signature),
    };
    assert_eq!(portable::decodes(&job), expected);
});
