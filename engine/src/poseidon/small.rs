//! Poseidon2 over small fields as kernels of the engine: digests of rows, compressions.
//!
//! They join an engine through [`EngineBuilder::small_poseidon2`]. Words are `u64` for every field. A batch holds one instance and, for
//! rows, one length.

use std::hash::{Hash, Hasher};

use pars_kernels::poseidon::small::{Instance, StateError};

use crate::builder::EngineBuilder;
use crate::kernel::Kernel;

/// Jobs that fill the vector lanes of a core several times over.
const CHUNK: usize = 64;

/// Words for a permutation of an instance: a row to digest, or two digests to compress.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Words {
    instance: Instance,
    words: Box<[u64]>,
}

impl Words {
    fn new(instance: Instance, words: Box<[u64]>) -> Result<Self, StateError> {
        let modulus = instance.modulus();
        match words.iter().position(|word| *word >= modulus) {
            Some(at) => Err(StateError::NotCanonical { at, modulus }),
            None => Ok(Self { instance, words }),
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.words)
    }

    /// Jobs of one instance and length share a batch.
    fn group(&self) -> u64 {
        // The number of an instance, and a length below 2^56.
        (self.instance as u64) << 56 | self.words.len() as u64
    }
}

/// A row to digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SmallRow(Words);

impl SmallRow {
    /// The job of digesting `words`, as [`Instance::hash_rows`].
    ///
    /// # Errors
    /// [`StateError`] if there are none, or one is not below the modulus.
    pub fn new(instance: Instance, words: impl Into<Box<[u64]>>) -> Result<Self, StateError> {
        let words = words.into();
        if words.is_empty() {
            return Err(StateError::Ragged { words: 0, width: 0 });
        }
        Words::new(instance, words).map(Self)
    }

    /// The hash.
    pub fn instance(&self) -> Instance {
        self.0.instance
    }

    /// What is digested.
    pub fn words(&self) -> &[u64] {
        &self.0.words
    }
}

/// Two digests of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SmallPair(Words);

impl SmallPair {
    /// The job of compressing two digests, one after the other, as [`Instance::compress_many`].
    ///
    /// # Errors
    /// [`StateError`] if they are not of [`Instance::digest_words`] words each, or a word is not below the modulus.
    pub fn new(instance: Instance, words: impl Into<Box<[u64]>>) -> Result<Self, StateError> {
        let (words, width) = (words.into(), 2 * instance.digest_words());
        if words.len() != width {
            return Err(StateError::Ragged {
                words: words.len(),
                width,
            });
        }
        Words::new(instance, words).map(Self)
    }

    /// The hash.
    pub fn instance(&self) -> Instance {
        self.0.instance
    }

    /// The two digests.
    pub fn words(&self) -> &[u64] {
        &self.0.words
    }
}

/// Digests of rows over small fields: job [`SmallRow`], output the digest's words.
#[derive(Clone, Copy, Debug)]
pub struct SmallHash;

/// Compressions of two digests over small fields: job [`SmallPair`], output the digest's words.
#[derive(Clone, Copy, Debug)]
pub struct SmallCompress;

impl EngineBuilder {
    /// Adds the kernels of Poseidon2 over small fields: [`SmallHash`], [`SmallCompress`].
    #[must_use]
    pub fn small_poseidon2(self) -> Self {
        self.kernel::<SmallHash>().kernel::<SmallCompress>()
    }
}

/// A digest.
type Digest = Box<[u64]>;

/// The lists of one instance and length on the CPU, in words of the field's size.
fn run(instance: Instance, row: Option<usize>, words: Vec<u64>) -> Vec<u64> {
    let wide = instance.modulus() >> 32 != 0;
    // What a job holds was checked when it was made.
    if wide {
        let digests = match row {
            Some(row) => instance.hash_rows(row, &words),
            None => instance.compress_many(&words),
        };
        digests.unwrap_or_default()
    } else {
        // Below a modulus of 31 bits.
        let words: Vec<u32> = words.into_iter().map(|word| word as u32).collect();
        let digests = match row {
            Some(row) => instance.hash_rows(row, &words),
            None => instance.compress_many(&words),
        };
        let digests = digests.unwrap_or_default();
        digests.into_iter().map(u64::from).collect()
    }
}

/// Answers by group: the engine makes batches of one, self-tests hold all.
fn by_group(jobs: &[&Words], rows: bool) -> Vec<Digest> {
    let mut out = vec![Digest::default(); jobs.len()];
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_key(|at| jobs[*at].group());
    for group in order.chunk_by(|a, b| jobs[*a].group() == jobs[*b].group()) {
        let Some(first) = group.first().map(|at| jobs[*at]) else {
            continue;
        };
        let words = group.iter().flat_map(|at| jobs[*at].words.iter().copied());
        let row = rows.then_some(first.words.len());
        let digests = run(first.instance, row, words.collect());
        let digest = first.instance.digest_words();
        for (at, digest) in group.iter().zip(digests.chunks_exact(digest)) {
            out[*at] = digest.into();
        }
    }
    out
}

/// What Plonky3 0.8 gives for the numbers from zero on, twice as many as a digest has words: the digest of them as a row, and their
/// compression as two digests. Where the rate is that long, both are one permutation.
const KNOWN: [(Instance, &[u64], &[u64]); 5] = [
    (
        Instance::KoalaBear16,
        &[
            2_093_465_132,
            1_938_411_931,
            339_653_216,
            887_899_196,
            588_109_084,
            84_644_453,
            365_237_898,
            96_671_732,
        ],
        &[
            1_259_554_834,
            663_463_928,
            1_989_430_097,
            476_523_442,
            836_740_795,
            1_803_459_961,
            1_229_318_262,
            2_023_956_904,
        ],
    ),
    (
        Instance::BabyBear16,
        &[
            568_621_648,
            260_560_799,
            1_787_535_874,
            764_831_861,
            341_748_543,
            546_488_453,
            1_028_837_269,
            1_917_944_385,
        ],
        &[
            1_906_786_279,
            1_737_026_427,
            1_959_749_225,
            700_325_316,
            1_638_050_605,
            1_021_608_788,
            1_726_691_001,
            1_761_127_344,
        ],
    ),
    (
        Instance::Mersenne31Width16,
        &[
            747_392_471,
            1_841_223_202,
            1_172_795_913,
            2_044_326_197,
            1_817_888_086,
            1_246_961_766,
            441_611_597,
            292_498_867,
        ],
        &[
            187_465_786,
            1_528_751_313,
            1_237_758_435,
            752_625_676,
            822_763_720,
            1_393_193_630,
            1_315_028_148,
            780_456_899,
        ],
    ),
    (
        Instance::Goldilocks8,
        &[
            10_024_433_244_303_438_479,
            14_709_098_944_643_540_101,
            2_462_264_872_124_037_352,
            8_536_019_665_963_266_937,
        ],
        &[
            147_757_088_869_797_140,
            9_575_016_380_710_448_421,
            1_936_818_598_401_832_023,
            11_876_560_440_185_116_837,
        ],
    ),
    (
        Instance::Goldilocks12,
        &[
            14_391_060_573_438_969_119,
            17_116_812_256_705_326_289,
            16_290_821_820_149_113_811,
            17_507_024_845_427_741_270,
        ],
        &[
            14_391_060_573_438_969_119,
            17_116_812_256_705_326_289,
            16_290_821_820_149_113_811,
            17_507_024_845_427_741_270,
        ],
    ),
];

/// The numbers from zero on.
fn counted(instance: Instance) -> Box<[u64]> {
    (0..2 * instance.digest_words() as u64).collect()
}

impl Kernel for SmallHash {
    type Job = SmallRow;
    type Output = Digest;
    type State = ();
    const NAME: &'static str = "poseidon2-small/hash";
    const CPU_CHUNK: usize = CHUNK;

    fn job_bytes(job: &SmallRow) -> usize {
        job.0.bytes()
    }

    fn group(job: &SmallRow) -> u64 {
        job.0.group()
    }

    fn fingerprint(job: &SmallRow, hasher: &mut impl Hasher) -> bool {
        job.hash(hasher);
        true
    }

    fn same(one: &SmallRow, other: &SmallRow) -> bool {
        one == other
    }

    fn run_cpu(job: &SmallRow) -> Digest {
        by_group(&[&job.0], true).pop().unwrap_or_default()
    }

    fn run_cpu_batch((): &(), jobs: &[&SmallRow]) -> Vec<Digest> {
        let jobs: Vec<&Words> = jobs.iter().map(|job| &job.0).collect();
        by_group(&jobs, true)
    }

    fn known_answers() -> Vec<(SmallRow, Digest)> {
        let known = KNOWN.into_iter().filter_map(|(instance, hash, _)| {
            Some((
                SmallRow::new(instance, counted(instance)).ok()?,
                hash.into(),
            ))
        });
        known.collect()
    }

    #[cfg(feature = "gpu")]
    fn open_gpu(
        context: &crate::GpuContext<'_>,
        (): &(),
    ) -> Result<Option<Box<dyn crate::Accelerator<Self>>>, crate::DeviceError> {
        Ok(Some(Box::new(gpu::Hashing::open(context))))
    }
}

impl Kernel for SmallCompress {
    type Job = SmallPair;
    type Output = Digest;
    type State = ();
    const NAME: &'static str = "poseidon2-small/compress";
    const CPU_CHUNK: usize = CHUNK;

    fn job_bytes(job: &SmallPair) -> usize {
        job.0.bytes()
    }

    fn group(job: &SmallPair) -> u64 {
        job.0.group()
    }

    fn fingerprint(job: &SmallPair, hasher: &mut impl Hasher) -> bool {
        job.hash(hasher);
        true
    }

    fn same(one: &SmallPair, other: &SmallPair) -> bool {
        one == other
    }

    fn run_cpu(job: &SmallPair) -> Digest {
        by_group(&[&job.0], false).pop().unwrap_or_default()
    }

    fn run_cpu_batch((): &(), jobs: &[&SmallPair]) -> Vec<Digest> {
        let jobs: Vec<&Words> = jobs.iter().map(|job| &job.0).collect();
        by_group(&jobs, false)
    }

    fn known_answers() -> Vec<(SmallPair, Digest)> {
        let known = KNOWN.into_iter().filter_map(|(instance, _, node)| {
            Some((
                SmallPair::new(instance, counted(instance)).ok()?,
                node.into(),
            ))
        });
        known.collect()
    }

    #[cfg(feature = "gpu")]
    fn open_gpu(
        context: &crate::GpuContext<'_>,
        (): &(),
    ) -> Result<Option<Box<dyn crate::Accelerator<Self>>>, crate::DeviceError> {
        Ok(Some(Box::new(gpu::Hashing::open(context))))
    }
}

#[cfg(feature = "gpu")]
mod gpu {
    use std::collections::BTreeMap;

    use pars_kernels::gpu::Device;
    use pars_kernels::poseidon::gpu::{HashError, SmallError, SmallHasher, SmallPoseidon2, Tuning};

    use super::{CHUNK, Digest, Instance, SmallCompress, SmallHash, SmallPair, SmallRow};
    use crate::context::GpuContext;
    use crate::error::DeviceError;
    use crate::kernel::{Accelerator, DeviceAnswers, Kernel};
    use crate::poseidon::gpu::failure;

    /// Most bytes of a batch.
    const BATCH_BYTES: usize = 64 << 20;

    /// What a kernel asks of a device.
    pub(super) trait OnDevice: Kernel<Output = Digest> {
        fn parts(job: &Self::Job) -> (Instance, &[u64]);

        fn send(hasher: &mut SmallHasher, row: usize, words: &[u64])
        -> Result<Vec<u64>, HashError>;
    }

    impl OnDevice for SmallHash {
        fn parts(job: &SmallRow) -> (Instance, &[u64]) {
            (job.instance(), job.words())
        }

        fn send(
            hasher: &mut SmallHasher,
            row: usize,
            words: &[u64],
        ) -> Result<Vec<u64>, HashError> {
            hasher.hash_rows(row, words)
        }
    }

    impl OnDevice for SmallCompress {
        fn parts(job: &SmallPair) -> (Instance, &[u64]) {
            (job.instance(), job.words())
        }

        fn send(hasher: &mut SmallHasher, _: usize, words: &[u64]) -> Result<Vec<u64>, HashError> {
            hasher.compress_many(words)
        }
    }

    /// A kernel on a device. A shader is compiled when its instance is first asked for.
    pub(super) struct Hashing {
        device: Device,
        tuning: Tuning,
        hashers: BTreeMap<Instance, SmallHasher>,
        max_bytes: usize,
    }

    impl Hashing {
        pub(super) fn open(context: &GpuContext<'_>) -> Self {
            let device = context.device();
            let memory = usize::try_from(context.memory()).unwrap_or(usize::MAX);
            let mut tuning = Tuning::of(device);
            // Input, digests and marks of a job take less than a kilobyte where the row is short; longer ones are bounded by their bytes.
            tuning.max_batch = tuning.max_batch.min(memory >> 12).max(1);
            Self {
                device: device.clone(),
                tuning,
                hashers: BTreeMap::new(),
                max_bytes: BATCH_BYTES.min(memory / 8),
            }
        }

        /// The hasher of an instance; none where the device lacks what the field needs.
        fn hasher(&mut self, instance: Instance) -> Result<Option<&mut SmallHasher>, DeviceError> {
            if !self.hashers.contains_key(&instance) {
                let parameters = SmallPoseidon2::of(instance);
                match SmallHasher::with_tuning(&self.device, parameters, self.tuning) {
                    Ok(hasher) => self.hashers.insert(instance, hasher),
                    Err(HashError::Small(SmallError::NeedsInt64)) => return Ok(None),
                    Err(error) => return Err(failure(error)),
                };
            }
            Ok(self.hashers.get_mut(&instance))
        }
    }

    impl<K: OnDevice> Accelerator<K> for Hashing {
        fn max_batch(&self) -> usize {
            self.tuning.max_batch.max(CHUNK)
        }

        fn max_bytes(&self) -> usize {
            self.max_bytes
        }

        fn run(&mut self, jobs: &[&K::Job]) -> DeviceAnswers<Digest> {
            let mut answers = vec![None; jobs.len()];
            let mut order: Vec<usize> = (0..jobs.len()).collect();
            let key = |at: &usize| {
                let (instance, words) = K::parts(jobs[*at]);
                (instance, words.len())
            };
            order.sort_by_key(key);
            for group in order.chunk_by(|a, b| key(a) == key(b)) {
                let Some((instance, row)) = group.first().map(key) else {
                    continue;
                };
                let Some(hasher) = self.hasher(instance)? else {
                    continue;
                };
                let words = group.iter().flat_map(|at| K::parts(jobs[*at]).1);
                let words: Vec<u64> = words.copied().collect();
                let digests = match K::send(hasher, row, &words) {
                    // A row that is too long for the device is the CPU's.
                    Err(HashError::Small(SmallError::Row { .. })) => continue,
                    digests => digests.map_err(failure)?,
                };
                let digest = instance.digest_words();
                for (at, digest) in group.iter().zip(digests.chunks_exact(digest)) {
                    answers[*at] = Some(Digest::from(digest));
                }
            }
            Ok(answers)
        }
    }
}
