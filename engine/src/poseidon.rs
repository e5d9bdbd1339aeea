//! Poseidon and Poseidon2 over BN254 as kernels of the engine: hashes, compressions, Merkle paths.
//!
//! They join an engine through [`EngineBuilder::poseidon`]. A batch holds one instance (and, for circomlib's Poseidon, one number of
//! inputs), since each is a shader of its own.

use std::hash::{Hash, Hasher};

use pars_kernels::field::Fr;
use pars_kernels::poseidon::{InputError, Instance, MerklePath};

use crate::builder::EngineBuilder;
use crate::kernel::Kernel;

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

/// Questions with answers from elsewhere.
mod answers {
    use super::{Fr, Instance, PoseidonPath};

    /// The element of a hexadecimal number, most significant digits first.
    fn element(words: [u64; 4]) -> Fr {
        let [top, third, second, low] = words;
        Fr::from_limbs([low, second, third, top]).unwrap_or_default()
    }

    /// Lists and their hashes. Circomlib's are outputs of circomlibjs 0.1.7; the others come from an independent program of this
    /// chain's sponge and of gnark's Merkle–Damgård, over the constants of zkhash 0.2.0 and of gnark's procedure.
    pub(super) fn hashes() -> Vec<(Instance, Vec<Fr>, Fr)> {
        let lists: [(Instance, u64, [u64; 4]); 11] = [
            (
                Instance::Circom,
                2,
                [
                    0x115c_c0f5_e7d6_9041,
                    0x3df6_4c6b_9662_e9cf,
                    0x2a36_17f2_7432_4551,
                    0x9e19_607a_4417_189a,
                ],
            ),
            (
                Instance::Circom,
                1,
                [
                    0x2917_6100_eaa9_62bd,
                    0xc1fe_6c65_4d6a_3c13,
                    0x0e96_a4d1_168b_3384,
                    0x8b89_7dc5_0282_0133,
                ],
            ),
            (
                Instance::Circom,
                3,
                [
                    0x0e77_32d8_9e69_39c0,
                    0xff03_d5e5_8dab_6302,
                    0xf323_0e26_9dc5_b968,
                    0xf725_df34_ab36_d732,
                ],
            ),
            (
                Instance::Circom,
                4,
                [
                    0x299c_867d_b6c1_fdd7,
                    0x9dce_fa40_e451_0b98,
                    0x37e6_0ebb_1ce0_663d,
                    0xbaa5_25df_6525_0465,
                ],
            ),
            (
                Instance::Poseidon2,
                3,
                [
                    0x15c5_bbf1_c4f6_43d1,
                    0x4fdf_940c_3d79_358b,
                    0x2e9f_daa2_d9ae_e6c4,
                    0x2555_fe0a_9f5e_f653,
                ],
            ),
            (
                Instance::Poseidon2,
                0,
                [
                    0x2ed1_da00_b14d_635b,
                    0xd35b_88ab_4939_0d5c,
                    0x13c9_0da7_e9e3_a5f1,
                    0xea69_cd87_a0aa_3e82,
                ],
            ),
            (
                Instance::Poseidon2,
                1,
                [
                    0x1e4a_657b_5631_309b,
                    0x732f_4762_fdf6_552c,
                    0x266e_3b1c_6ec8_4c01,
                    0xb65e_88bc_eac6_0efb,
                ],
            ),
            (
                Instance::Poseidon2,
                5,
                [
                    0x2bcc_b67e_442f_a098,
                    0x5c8b_374a_e03a_b4ec,
                    0x838e_b46c_9a94_5656,
                    0xbe29_38b6_293d_5bf8,
                ],
            ),
            (
                Instance::Gnark,
                2,
                [
                    0x09d2_e656_ec51_44af,
                    0x0711_a552_8a3a_f6eb,
                    0xc908_d905_0b34_55ed,
                    0xf3b5_d021_8820_875c,
                ],
            ),
            (
                Instance::Gnark,
                1,
                [
                    0x1ae0_efd2_8c01_163c,
                    0x0a58_4407_57ef_2339,
                    0xaffb_1783_6ad3_b1fe,
                    0xdaca_beaa_b56c_a0e2,
                ],
            ),
            (
                Instance::Gnark,
                3,
                [
                    0x2217_b296_1d96_ae36,
                    0xf9f7_701c_cfaa_e198,
                    0xe00d_7246_805f_514f,
                    0x8edb_13f7_f736_99bc,
                ],
            ),
        ];
        lists
            .into_iter()
            // Each list is 1, 2, 3 …
            .map(|(instance, length, hash)| {
                (instance, (1..=length).map(Fr::from_u64).collect(), element(hash))
            })
            .collect()
    }

    /// Paths that hold, and the same ones damaged. Circomlib's leads from 1 and 2 to their hash; the others from 1 at index 5 beside
    /// 2, 3 and 4, by the same programs.
    pub(super) fn paths() -> Vec<(PoseidonPath, bool)> {
        let roots: [(Instance, u64, &[u64], [u64; 4]); 3] = [
            (
                Instance::Poseidon2,
                5,
                &[2, 3, 4],
                [
                    0x0ff9_eee0_8c52_0ac5,
                    0x3d48_76c3_eee6_0487,
                    0x0d22_3b33_20f6_b313,
                    0x60bc_93ae_2f45_1dbd,
                ],
            ),
            (
                Instance::Circom,
                0,
                &[2],
                [
                    0x115c_c0f5_e7d6_9041,
                    0x3df6_4c6b_9662_e9cf,
                    0x2a36_17f2_7432_4551,
                    0x9e19_607a_4417_189a,
                ],
            ),
            (
                Instance::Gnark,
                5,
                &[2, 3, 4],
                [
                    0x1165_119c_f2c8_afaa,
                    0x71ac_07e8_8ddd_4c5b,
                    0xa6e1_d101_c70b_4580,
                    0xc91c_91d9_6f4b_03ec,
                ],
            ),
        ];
        let mut out = Vec::new();
        for (instance, index, siblings, root) in roots {
            let right = PoseidonPath {
                instance,
                root: element(root),
                leaf: Fr::ONE,
                index,
                siblings: siblings.iter().copied().map(Fr::from_u64).collect(),
            };
            let mut leaf = right.clone();
            leaf.leaf = Fr::from_u64(9);
            let mut moved = right.clone();
            moved.index ^= 1;
            let mut outside = right.clone();
            outside.index += 8;
            out.push((right, true));
            out.extend([leaf, moved, outside].map(|path| (path, false)));
        }
        out
    }
}

/// The kernels on a device.
#[cfg(feature = "gpu")]
mod gpu {
    use std::collections::VecDeque;

    use pars_kernels::poseidon::gpu::{BatchHasher, HashError, Pending, Tuning};

    use super::{
        DEVICE_INPUTS, Fr, Instance, MerklePath, PoseidonCompress, PoseidonHash, PoseidonList,
        PoseidonPair, PoseidonPath, PoseidonVerifyPath,
    };
    use crate::context::GpuContext;
    use crate::error::DeviceError;
    use crate::kernel::{Accelerator, DeviceAnswers, Kernel};

    /// Most bytes of a batch.
    const BATCH_BYTES: usize = 64 << 20;

    /// What a kernel does on a device.
    pub(super) trait OnDevice: Kernel {
        /// What a job's answer is made of beside the device's result.
        type Kept;

        /// The hash of a job, if devices have a path for it.
        fn instance(job: &Self::Job) -> Option<Instance>;

        /// Sends jobs of one instance off.
        fn send(
            hasher: &mut BatchHasher,
            instance: Instance,
            jobs: &[&Self::Job],
        ) -> Result<Pending, HashError>;

        /// What is kept of a job.
        fn keep(job: &Self::Job) -> Self::Kept;

        /// The answer.
        fn judge(kept: &Self::Kept, result: Fr) -> Self::Output;
    }

    impl OnDevice for PoseidonHash {
        type Kept = ();

        fn instance(job: &PoseidonList) -> Option<Instance> {
            let wide = job.instance == Instance::Circom && job.inputs.len() > DEVICE_INPUTS;
            (!wide).then_some(job.instance)
        }

        fn send(
            hasher: &mut BatchHasher,
            instance: Instance,
            jobs: &[&PoseidonList],
        ) -> Result<Pending, HashError> {
            let lists: Vec<&[Fr]> = jobs.iter().map(|job| job.inputs()).collect();
            hasher.submit_lists(instance, &lists)
        }

        fn keep(_: &PoseidonList) {}

        fn judge((): &(), result: Fr) -> Fr {
            result
        }
    }

    impl OnDevice for PoseidonCompress {
        type Kept = ();

        fn instance(job: &PoseidonPair) -> Option<Instance> {
            Some(job.instance)
        }

        fn send(
            hasher: &mut BatchHasher,
            instance: Instance,
            jobs: &[&PoseidonPair],
        ) -> Result<Pending, HashError> {
            let pairs: Vec<[Fr; 2]> = jobs.iter().map(|job| job.pair).collect();
            hasher.submit_pairs(instance, &pairs)
        }

        fn keep(_: &PoseidonPair) {}

        fn judge((): &(), result: Fr) -> Fr {
            result
        }
    }

    impl OnDevice for PoseidonVerifyPath {
        /// The root, if the index is inside the tree.
        type Kept = Option<Fr>;

        fn instance(job: &PoseidonPath) -> Option<Instance> {
            Some(job.instance)
        }

        fn send(
            hasher: &mut BatchHasher,
            instance: Instance,
            jobs: &[&PoseidonPath],
        ) -> Result<Pending, HashError> {
            let paths: Vec<MerklePath<'_>> = jobs.iter().map(|job| job.path()).collect();
            hasher.submit_paths(instance, &paths)
        }

        fn keep(job: &PoseidonPath) -> Option<Fr> {
            job.path().fits().then_some(job.root)
        }

        fn judge(root: &Option<Fr>, result: Fr) -> bool {
            *root == Some(result)
        }
    }

    /// A batch on its way.
    struct Flight<K: OnDevice> {
        /// Submissions, and which jobs are in each.
        parts: Vec<(Pending, Vec<usize>)>,
        kept: Vec<K::Kept>,
    }

    struct Hashing<K: OnDevice> {
        hasher: BatchHasher,
        max_bytes: usize,
        flying: VecDeque<Flight<K>>,
    }

    /// Opens a kernel.
    pub(super) fn open<K: OnDevice>(
        context: &GpuContext<'_>,
    ) -> Result<Option<Box<dyn Accelerator<K>>>, DeviceError> {
        let device = context.device();
        let memory = usize::try_from(context.memory()).unwrap_or(usize::MAX);
        let mut tuning = Tuning::of(device);
        // A batch in flight holds its input once and its results twice; a state and its results take less than a kilobyte.
        tuning.max_batch = tuning.max_batch.min(memory >> 12).max(1);
        Ok(Some(Box::new(Hashing::<K> {
            hasher: BatchHasher::with_tuning(device, tuning)?,
            max_bytes: BATCH_BYTES.min(memory / 8),
            flying: VecDeque::new(),
        })))
    }

    impl<K: OnDevice> Accelerator<K> for Hashing<K> {
        fn max_batch(&self) -> usize {
            self.hasher.max_batch()
        }

        fn max_bytes(&self) -> usize {
            self.max_bytes
        }

        fn run(&mut self, jobs: &[&K::Job]) -> DeviceAnswers<K::Output> {
            self.submit(jobs)?;
            self.collect()
        }

        fn depth(&self) -> usize {
            2
        }

        fn submit(&mut self, jobs: &[&K::Job]) -> Result<usize, DeviceError> {
            let mut parts = Vec::new();
            for instance in Instance::ALL {
                let (places, chosen): (Vec<usize>, Vec<&K::Job>) = jobs
                    .iter()
                    .copied()
                    .enumerate()
                    .filter(|(_, job)| K::instance(job) == Some(instance))
                    .unzip();
                if !chosen.is_empty() {
                    let pending = K::send(&mut self.hasher, instance, &chosen).map_err(failure)?;
                    parts.push((pending, places));
                }
            }
            let kept = jobs.iter().map(|job| K::keep(job)).collect();
            self.flying.push_back(Flight { parts, kept });
            Ok(jobs.len())
        }

        fn collect(&mut self) -> DeviceAnswers<K::Output> {
            let Some(flight) = self.flying.pop_front() else {
                let nothing = format!("nothing of {} is in flight", K::NAME);
                return Err(DeviceError::Rejected(nothing));
            };
            let mut answers: Vec<Option<K::Output>> = flight.kept.iter().map(|_| None).collect();
            for (pending, places) in flight.parts {
                let results = self.hasher.collect(pending).map_err(failure)?;
                for (at, result) in places.into_iter().zip(results) {
                    if let (Some(answer), Some(kept)) = (answers.get_mut(at), flight.kept.get(at)) {
                        *answer = Some(K::judge(kept, result));
                    }
                }
            }
            Ok(answers)
        }
    }

    fn failure(error: HashError) -> DeviceError {
        match error {
            HashError::Gpu(error) => error.into(),
            HashError::Unfinished {
                missing, states, ..
            } => DeviceError::AnswerCount {
                asked: states,
                got: states.saturating_sub(missing),
            },
            other => DeviceError::Rejected(other.to_string()),
        }
    }
}
