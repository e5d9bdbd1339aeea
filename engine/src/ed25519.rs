//! Ed25519 verification as a kernel of the engine.

use std::hash::Hasher;

use pars_kernels::edwards25519::ed25519::{self, VerifyJob};

use crate::kernel::Kernel;

/// Ed25519 verification by the rule of ZIP 215: job
/// [`ed25519::VerifyJob`](pars_kernels::edwards25519::ed25519::VerifyJob), output "is the signature
/// valid".
#[derive(Clone, Copy, Debug)]
pub struct Ed25519Verify;

impl Kernel for Ed25519Verify {
    type Job = VerifyJob;
    type Output = bool;
    type State = ();
    const NAME: &'static str = "ed25519/verify";
    /// A few times the widest vector, so that what a batch costs once is shared.
    const CPU_CHUNK: usize = 32;

    fn job_bytes(job: &VerifyJob) -> usize {
        job.size()
    }

    /// A signature's own bytes tell jobs apart.
    fn fingerprint(job: &VerifyJob, hasher: &mut impl Hasher) -> bool {
        let (r, s) = job.signature();
        for part in [r, s, job.key()] {
            hasher.write(part);
        }
        true
    }

    fn same(one: &VerifyJob, other: &VerifyJob) -> bool {
        one == other
    }

    fn run_cpu(job: &VerifyJob) -> bool {
        ed25519::verify(job)
    }

    fn run_cpu_batch((): &(), jobs: &[&VerifyJob]) -> Vec<bool> {
        ed25519::verify_batch(jobs)
    }

    fn known_answers() -> Vec<(VerifyJob, bool)> {
        ed25519::known_answers()
    }

    fn must_confirm(valid: &bool) -> bool {
        !valid
    }

    #[cfg(feature = "gpu")]
    fn open_gpu(
        context: &crate::GpuContext<'_>,
        (): &(),
    ) -> Result<Option<Box<dyn crate::Accelerator<Self>>>, crate::DeviceError> {
        crate::edwards25519::open::<Self, pars_kernels::edwards25519::gpu::Ed25519>(context)
    }
}
