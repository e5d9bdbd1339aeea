//! Hashes of lists.

use std::hash::{Hash, Hasher};

use pars_kernels::field::Fr;
use pars_kernels::poseidon::{InputError, Instance};

use super::{CHUNK, answers, by_instance};
use crate::kernel::Kernel;

/// A list to hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoseidonList {
    instance: Instance,
    inputs: Box<[Fr]>,
}

impl PoseidonList {
    /// The job of hashing `inputs`.
    ///
    /// # Errors
    /// [`InputError::Count`] if the instance does not take that many.
    pub fn new(instance: Instance, inputs: impl Into<Box<[Fr]>>) -> Result<Self, InputError> {
        let inputs = inputs.into();
        let (least, most) = instance.inputs();
        if !(least..=most).contains(&inputs.len()) {
            return Err(InputError::Count {
                instance,
                given: inputs.len(),
                least,
                most,
            });
        }
        Ok(Self { instance, inputs })
    }

    /// The hash.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// What is hashed.
    pub fn inputs(&self) -> &[Fr] {
        &self.inputs
    }
}

/// Hashes of lists: job [`PoseidonList`], output the hash.
#[derive(Clone, Copy, Debug)]
pub struct PoseidonHash;

impl Kernel for PoseidonHash {
    type Job = PoseidonList;
    type Output = Fr;
    type State = ();
    const NAME: &'static str = "poseidon/hash";
    const CPU_CHUNK: usize = CHUNK;

    fn job_bytes(job: &PoseidonList) -> usize {
        size_of::<PoseidonList>() + size_of_val(&*job.inputs)
    }

    /// Circomlib's Poseidon has a permutation for each number of inputs.
    fn group(job: &PoseidonList) -> u64 {
        let width = match job.instance {
            Instance::Circom => job.inputs.len() as u64,
            Instance::Poseidon2 | Instance::Gnark => 0,
        };
        u64::from(job.instance.id()) << 32 | width
    }

    /// Permutations; within a group they cost the same.
    fn job_weight(job: &PoseidonList) -> u32 {
        let permutations = job.instance.permutations(job.inputs.len());
        u32::try_from(permutations).unwrap_or(u32::MAX)
    }

    fn fingerprint(job: &PoseidonList, hasher: &mut impl Hasher) -> bool {
        hasher.write_u8(job.instance.id());
        job.inputs.len().hash(hasher);
        job.inputs.first().hash(hasher);
        job.inputs.last().hash(hasher);
        true
    }

    fn same(one: &PoseidonList, other: &PoseidonList) -> bool {
        one == other
    }

    fn run_cpu(job: &PoseidonList) -> Fr {
        // A job's number of inputs was checked when it was made.
        job.instance.hash(&job.inputs).unwrap_or_default()
    }

    fn run_cpu_batch((): &(), jobs: &[&PoseidonList]) -> Vec<Fr> {
        by_instance(jobs, PoseidonList::instance, |instance, jobs| {
            let lists: Vec<&[Fr]> = jobs.iter().map(|job| job.inputs()).collect();
            // The number of inputs of each was checked when it was made.
            instance.hash_many(&lists).unwrap_or_default()
        })
    }

    fn known_answers() -> Vec<(PoseidonList, Fr)> {
        answers::hashes()
            .into_iter()
            .filter_map(|(instance, inputs, hash)| {
                Some((PoseidonList::new(instance, inputs).ok()?, hash))
            })
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
