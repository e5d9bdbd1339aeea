//! Poseidon and Poseidon2 over BN254 as kernels of the engine: hashes, compressions, Merkle paths.
//!
//! They join an engine through [`EngineBuilder::poseidon`]. A batch holds one instance (and, for circomlib's Poseidon, one number of
//! inputs), since each is a shader of its own.

mod answers;
#[cfg(feature = "gpu")]
mod gpu;
mod small;

use std::hash::{Hash, Hasher};

use pars_kernels::field::Fr;
use pars_kernels::poseidon::{InputError, Instance, MerklePath};

use crate::builder::EngineBuilder;
use crate::kernel::Kernel;

pub use small::{SmallCompress, SmallHash, SmallPair, SmallRow};

/// Jobs that fill the vector lanes of a core several times over.
const CHUNK: usize = 64;

/// Most inputs of circomlib's Poseidon that devices hash; wider states are rare, and each is a large shader.
#[cfg(feature = "gpu")]
const DEVICE_INPUTS: usize = 4;

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

/// Two nodes of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoseidonPair {
    /// The hash.
    pub instance: Instance,
    /// The left and the right one.
    pub pair: [Fr; 2],
}

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

/// Hashes of lists: job [`PoseidonList`], output the hash.
#[derive(Clone, Copy, Debug)]
pub struct PoseidonHash;

/// Compressions of two elements: job [`PoseidonPair`], output the parent.
#[derive(Clone, Copy, Debug)]
pub struct PoseidonCompress;

/// Merkle paths: job [`PoseidonPath`], output "does it lead from the leaf to the root".
#[derive(Clone, Copy, Debug)]
pub struct PoseidonVerifyPath;

impl EngineBuilder {
    /// Adds the kernels of Poseidon: [`PoseidonHash`], [`PoseidonCompress`], [`PoseidonVerifyPath`].
    #[must_use]
    pub fn poseidon(self) -> Self {
        self.kernel::<PoseidonHash>()
            .kernel::<PoseidonCompress>()
            .kernel::<PoseidonVerifyPath>()
    }
}

/// Answers of jobs by instance: the engine makes batches of one, self-tests hold all.
fn by_instance<J, A: Clone + Default>(
    jobs: &[&J],
    instance_of: impl Fn(&J) -> Instance,
    mut answer: impl FnMut(Instance, &[&J]) -> Vec<A>,
) -> Vec<A> {
    let mut out = vec![A::default(); jobs.len()];
    for instance in Instance::ALL {
        let (places, chosen): (Vec<usize>, Vec<&J>) = jobs
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, job)| instance_of(job) == instance)
            .unzip();
        if chosen.is_empty() {
            continue;
        }
        for (at, answer) in places.into_iter().zip(answer(instance, &chosen)) {
            if let Some(place) = out.get_mut(at) {
                *place = answer;
            }
        }
    }
    out
}

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
        gpu::open(context)
    }
}

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
        gpu::open(context)
    }
}

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
        gpu::open(context)
    }
}
