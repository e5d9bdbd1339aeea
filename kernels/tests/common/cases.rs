//! Questions with expected answers, asked of every backend.

use pars_kernels::{
    cpu::Level,
    mldsa::{self, ParameterSet, VerifyJob, portable},
};

/// One question.
pub struct Case {
    pub name: String,
    pub job: VerifyJob,
    pub valid: bool,
}

/// The set of a name as the vectors spell it.
pub fn set_named(name: &str) -> ParameterSet {
    ParameterSet::ALL
        .into_iter()
        .find(|set| set.to_string() == name)
        .unwrap_or_else(|| panic!("no parameter set {name}"))
}

/// Asks the portable path and the best path case by case, then every level of this processor and every GPU with all
/// cases as one batch.
pub fn check(cases: &[Case]) {
    for case in cases {
        assert_eq!(
            portable::verify(&case.job),
            case.valid,
            "portable: {}",
            case.name
        );
        assert_eq!(
            mldsa::verify(&case.job),
            case.valid,
            "best path: {}",
            case.name
        );
    }
    let jobs: Vec<&VerifyJob> = cases.iter().map(|case| &case.job).collect();
    for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
        let verdicts = mldsa::verify_batch_at(level, &jobs);
        assert_eq!(verdicts.len(), cases.len());
        for (case, verdict) in cases.iter().zip(verdicts) {
            assert_eq!(verdict, case.valid, "{level}: {}", case.name);
        }
    }
    #[cfg(feature = "gpu")]
    check_gpu(cases);
    let valid = cases.iter().filter(|case| case.valid).count();
    eprintln!("{} cases, {valid} of them valid", cases.len());
}

#[cfg(feature = "gpu")]
fn check_gpu(cases: &[Case]) {
    let jobs: Vec<&VerifyJob> = cases.iter().map(|case| &case.job).collect();
    super::devices::each(|device| {
        let mut verifier = mldsa::gpu::BatchVerifier::new(device).unwrap();
        let check = |verifier: &mut mldsa::gpu::BatchVerifier, keys: &str| {
            let verdicts = verifier.verify(&jobs).unwrap();
            assert_eq!(verdicts.len(), cases.len());
            for (case, verdict) in cases.iter().zip(verdicts) {
                let name = &case.name;
                assert_eq!(verdict, gpu_verdict(case.valid), "GPU, {keys} keys: {name}");
            }
        };
        check(&mut verifier, "fresh");
        // The second time, each key is used again: it stays on the device and is used from there.
        verifier.keep_keys(64 << 20).unwrap();
        check(&mut verifier, "new");
        check(&mut verifier, "resident");
        assert!(verifier.resident_keys().keys > 0 || cases.is_empty());
    });
}

/// The verdict a GPU must give.
#[cfg(feature = "gpu")]
pub fn gpu_verdict(valid: bool) -> mldsa::gpu::GpuVerdict {
    if valid {
        mldsa::gpu::GpuVerdict::Valid
    } else {
        mldsa::gpu::GpuVerdict::Invalid
    }
}
