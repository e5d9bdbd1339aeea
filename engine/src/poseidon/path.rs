//! Merkle paths.

use std::hash::{Hash, Hasher};

use pars_kernels::field::Fr;
use pars_kernels::poseidon::{Instance, MerklePath};

use super::{CHUNK, answers, by_instance};
use crate::kernel::Kernel;

/// The claim that a leaf stands in a tree, as [`MerklePath`] has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoseidonPath {
    /// The hash.
    pub instance: Instance,
    /// The tree's root.
    pub root: Fr,
    /// The leaf.
    pub leaf: Fr,
    /// The leaf's place from the left, counted from zero.
    pub index: u64,
    /// The siblings from the leaf to the root.
    pub siblings: Box<[Fr]>,
}

impl PoseidonPath {
    /// The claim as the kernels take it.
    pub fn path(&self) -> MerklePath<'_> {
        MerklePath {
            root: self.root,
            leaf: self.leaf,
            index: self.index,
            siblings: &self.siblings,
        }
    }
}

/// Merkle paths: job [`PoseidonPath`], output "does it lead from the leaf to the root".
#[derive(Clone, Copy, Debug)]
pub struct PoseidonVerifyPath;

impl Kernel for PoseidonVerifyPath {
    type Job = PoseidonPath;
    type Output = bool;
    type State = ();
    const NAME: &'static str = "poseidon/path";
    const CPU_CHUNK: usize = CHUNK;

    fn job_bytes(job: &PoseidonPath) -> usize {
        size_of::<PoseidonPath>() + size_of_val(&*job.siblings)
    }

    fn group(job: &PoseidonPath) -> u64 {
        job.instance.id().into()
    }

    /// Compressions.
    fn job_weight(job: &PoseidonPath) -> u32 {
        u32::try_from(job.siblings.len()).unwrap_or(u32::MAX).max(1)
    }

    fn fingerprint(job: &PoseidonPath, hasher: &mut impl Hasher) -> bool {
        job.root.hash(hasher);
        job.leaf.hash(hasher);
        job.index.hash(hasher);
        true
    }

    fn same(one: &PoseidonPath, other: &PoseidonPath) -> bool {
        one == other
    }

    fn run_cpu(job: &PoseidonPath) -> bool {
        job.instance.verify_path(&job.path())
    }

    fn run_cpu_batch((): &(), jobs: &[&PoseidonPath]) -> Vec<bool> {
        by_instance(
            jobs,
            |job| job.instance,
            |instance, jobs| {
                let paths: Vec<MerklePath<'_>> = jobs.iter().map(|job| job.path()).collect();
                instance.verify_paths(&paths)
            },
        )
    }

    fn known_answers() -> Vec<(PoseidonPath, bool)> {
        answers::paths()
    }

    fn must_confirm(valid: &bool) -> bool {
        !valid
    }

    #[cfg(feature = "gpu")]
    fn open_gpu(
        context: &crate::GpuContext<'_>,
        (): &(),
    ) -> Result<Option<Box<dyn crate::Accelerator<Self>>>, crate::DeviceError> {
        super::gpu::open(context)
    }
}
