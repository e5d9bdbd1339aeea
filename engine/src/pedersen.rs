//! Pedersen commitments over BN254's G1 as a kernel of the engine.

#[cfg(feature = "gpu")]
mod gpu;

use std::hash::{Hash, Hasher};

use pars_kernels::field::Fr;
use pars_kernels::pedersen::{self, Point};

use crate::kernel::Kernel;

/// What is committed to, and what hides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PedersenOpening {
    /// The factor of G.
    pub value: Fr,
    /// The factor of H.
    pub blinding: Fr,
}

/// Commitments `value G + blinding H`: job [`PedersenOpening`], output the point.
///
/// Variable time, as [`pars_kernels::pedersen`] says: who watches the clock learns about openings.
#[derive(Clone, Copy, Debug)]
pub struct PedersenCommit;

impl Kernel for PedersenCommit {
    type Job = PedersenOpening;
    type Output = Point;
    type State = ();
    const NAME: &'static str = "pedersen/commit";
    /// Sums that share their inversions.
    const CPU_CHUNK: usize = 256;

    fn job_bytes(_: &PedersenOpening) -> usize {
        size_of::<PedersenOpening>()
    }

    fn fingerprint(job: &PedersenOpening, hasher: &mut impl Hasher) -> bool {
        Hash::hash(job, hasher);
        true
    }

    fn same(one: &PedersenOpening, other: &PedersenOpening) -> bool {
        one == other
    }

    fn run_cpu(job: &PedersenOpening) -> Point {
        pedersen::commit(job.value, job.blinding)
    }

    fn run_cpu_batch((): &(), jobs: &[&PedersenOpening]) -> Vec<Point> {
        let openings: Vec<[Fr; 2]> = jobs.iter().map(|job| [job.value, job.blinding]).collect();
        pedersen::commit_many(&openings)
    }

    fn known_answers() -> Vec<(PedersenOpening, Point)> {
        pedersen::known_answers()
            .into_iter()
            .map(|([value, blinding], point)| (PedersenOpening { value, blinding }, point))
            .collect()
    }

    #[cfg(feature = "gpu")]
    fn open_gpu(
        context: &crate::GpuContext<'_>,
        (): &(),
    ) -> Result<Option<Box<dyn crate::Accelerator<Self>>>, crate::DeviceError> {
        gpu::open(context)
    }
}
