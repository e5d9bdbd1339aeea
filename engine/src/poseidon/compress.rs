//! Compressions of two nodes.

use std::hash::{Hash, Hasher};

use pars_kernels::field::Fr;
use pars_kernels::poseidon::Instance;

use super::{CHUNK, by_instance};
use crate::kernel::Kernel;

/// Two nodes of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoseidonPair {
    /// The hash.
    pub instance: Instance,
    /// The left and the right one.
    pub pair: [Fr; 2],
}

/// Compressions of two elements: job [`PoseidonPair`], output the parent.
#[derive(Clone, Copy, Debug)]
pub struct PoseidonCompress;

impl Kernel for PoseidonCompress {
    type Job = PoseidonPair;
    type Output = Fr;
    type State = ();
    const NAME: &'static str = "poseidon/compress";
    const CPU_CHUNK: usize = CHUNK;

    fn job_bytes(_: &PoseidonPair) -> usize {
        size_of::<PoseidonPair>()
    }

    fn group(job: &PoseidonPair) -> u64 {
        job.instance.id().into()
    }

    fn fingerprint(job: &PoseidonPair, hasher: &mut impl Hasher) -> bool {
        job.hash(hasher);
        true
    }

    fn same(one: &PoseidonPair, other: &PoseidonPair) -> bool {
        one == other
    }

    fn run_cpu(job: &PoseidonPair) -> Fr {
        let [left, right] = job.pair;
        job.instance.compress(left, right)
    }

    fn run_cpu_batch((): &(), jobs: &[&PoseidonPair]) -> Vec<Fr> {
        by_instance(
            jobs,
            |job| job.instance,
            |instance, jobs| {
                let pairs: Vec<[Fr; 2]> = jobs.iter().map(|job| job.pair).collect();
                instance.compress_many(&pairs)
            },
        )
    }

    fn known_answers() -> Vec<(PoseidonPair, Fr)> {
        pars_kernels::poseidon::known_answers()
            .into_iter()
            .map(|(instance, pair, node)| (PoseidonPair { instance, pair }, node))
            .collect()
    }

    #[cfg(feature = "gpu")]
    fn open_gpu(
        context: &crate::GpuContext<'_>,
        (): &(),
    ) -> Result<Option<Box<dyn crate::Accelerator<Self>>>, crate::DeviceError> {
        super::gpu::open(context)
    }
}
