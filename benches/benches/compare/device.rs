//! The GPU kernel on the best adapter of this machine.

use std::time::Duration;

use pars_kernels::{
    gpu::{DeviceType, adapters},
    mldsa::{
        VerifyJob,
        gpu::{BatchVerifier, GpuVerdict},
    },
};

/// How long a device may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Name, whether it is software, and the verifier. Hardware before software.
pub fn open() -> Option<(String, bool, BatchVerifier)> {
    let mut found = adapters();
    found.sort_by_key(|adapter| adapter.info().device_type == DeviceType::Cpu);
    let adapter = found.into_iter().next()?;
    let info = adapter.info();
    let software = info.device_type == DeviceType::Cpu;
    // What drivers put in brackets is too long for a legend.
    let short = info.name.split(" (").next().unwrap_or_default();
    let name = if software {
        format!("{short} (software)")
    } else {
        short.to_owned()
    };
    let device = adapter.open(TIMEOUT).unwrap();
    Some((name, software, BatchVerifier::new(&device).unwrap()))
}

/// One batch, all of it valid.
pub fn verify(verifier: &mut BatchVerifier, jobs: &[VerifyJob]) {
    let verdicts = verifier.verify(&jobs.iter().collect::<Vec<_>>()).unwrap();
    assert!(verdicts.iter().all(|verdict| *verdict == GpuVerdict::Valid));
}
