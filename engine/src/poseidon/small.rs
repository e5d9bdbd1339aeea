//! Poseidon2 over small fields as kernels of the engine: digests of rows, compressions.
//!
//! They join an engine through [`EngineBuilder::small_poseidon2`]. Words are `u64` for every field. A batch holds one instance and, for
//! rows, one length.

mod answers;
#[cfg(feature = "gpu")]
mod gpu;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use pars_kernels::poseidon::small::{Instance, StateError};

use super::CHUNK;
use crate::builder::EngineBuilder;
use crate::kernel::Kernel;
use answers::KNOWN;

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

/// A digest.
type Digest = Box<[u64]>;

/// What is made into a digest: [`SmallRow`], [`SmallPair`].
pub trait SmallJob: Clone + Eq + Hash + fmt::Debug + Send + Sync + Sized + 'static {
    /// Name of the kernel.
    const NAME: &'static str;
    /// Whether words are a row of any length; else they are two digests.
    const ROWS: bool;

    /// The hash and its words.
    fn parts(&self) -> (Instance, &[u64]);

    /// The numbers from zero on, twice as many as a digest has words, with their digest.
    fn known(instance: Instance, row: &[u64], pair: &[u64]) -> Option<(Self, Digest)>;
}

impl SmallJob for SmallRow {
    const NAME: &'static str = "poseidon2-small/hash";
    const ROWS: bool = true;

    fn parts(&self) -> (Instance, &[u64]) {
        (self.instance(), self.words())
    }

    fn known(instance: Instance, row: &[u64], _: &[u64]) -> Option<(Self, Digest)> {
        Some((Self::new(instance, counted(instance)).ok()?, row.into()))
    }
}

impl SmallJob for SmallPair {
    const NAME: &'static str = "poseidon2-small/compress";
    const ROWS: bool = false;

    fn parts(&self) -> (Instance, &[u64]) {
        (self.instance(), self.words())
    }

    fn known(instance: Instance, _: &[u64], pair: &[u64]) -> Option<(Self, Digest)> {
        Some((Self::new(instance, counted(instance)).ok()?, pair.into()))
    }
}

/// The numbers from zero on.
fn counted(instance: Instance) -> Box<[u64]> {
    (0..2 * instance.digest_words() as u64).collect()
}

/// The kernel that makes jobs of a kind into digests.
#[derive(Clone, Copy, Debug)]
pub struct SmallKernel<J>(PhantomData<fn() -> J>);

/// Digests of rows over small fields: job [`SmallRow`], output the digest's words.
pub type SmallHash = SmallKernel<SmallRow>;

/// Compressions of two digests over small fields: job [`SmallPair`], output the digest's words.
pub type SmallCompress = SmallKernel<SmallPair>;

impl EngineBuilder {
    /// Adds the kernels of Poseidon2 over small fields: [`SmallHash`], [`SmallCompress`].
    #[must_use]
    pub fn small_poseidon2(self) -> Self {
        self.kernel::<SmallHash>().kernel::<SmallCompress>()
    }
}

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

/// Jobs of one instance and length, after one another.
struct Alike {
    instance: Instance,
    /// Words of each.
    row: usize,
    /// Where the jobs stand.
    places: Vec<usize>,
    words: Vec<u64>,
}

/// Jobs by instance and length: the engine makes batches of one, self-tests hold all.
fn alike<J: SmallJob>(jobs: &[&J]) -> Vec<Alike> {
    let key = |job: &J| {
        let (instance, words) = job.parts();
        (instance, words.len())
    };
    let mut order: Vec<(usize, &J)> = jobs.iter().copied().enumerate().collect();
    order.sort_by_key(|(_, job)| key(job));
    order
        .chunk_by(|(_, one), (_, other)| key(one) == key(other))
        .filter_map(|group| {
            let (instance, row) = key(group.first()?.1);
            Some(Alike {
                instance,
                row,
                places: group.iter().map(|(at, _)| *at).collect(),
                words: group
                    .iter()
                    .flat_map(|(_, job)| job.parts().1)
                    .copied()
                    .collect(),
            })
        })
        .collect()
}

impl<J: SmallJob> Kernel for SmallKernel<J> {
    type Job = J;
    type Output = Digest;
    type State = ();
    const NAME: &'static str = J::NAME;
    const CPU_CHUNK: usize = CHUNK;

    fn job_bytes(job: &J) -> usize {
        size_of::<J>() + size_of_val(job.parts().1)
    }

    fn group(job: &J) -> u64 {
        let (instance, words) = job.parts();
        // The number of an instance, and a length below 2^56.
        (instance as u64) << 56 | words.len() as u64
    }

    fn fingerprint(job: &J, hasher: &mut impl Hasher) -> bool {
        job.hash(hasher);
        true
    }

    fn same(one: &J, other: &J) -> bool {
        one == other
    }

    fn run_cpu(job: &J) -> Digest {
        let (instance, words) = job.parts();
        run(instance, J::ROWS.then_some(words.len()), words.to_vec()).into()
    }

    fn run_cpu_batch((): &(), jobs: &[&J]) -> Vec<Digest> {
        let mut out = vec![Digest::default(); jobs.len()];
        for part in alike(jobs) {
            let digests = run(part.instance, J::ROWS.then_some(part.row), part.words);
            let digests = digests.chunks_exact(part.instance.digest_words());
            for (at, digest) in part.places.into_iter().zip(digests) {
                if let Some(place) = out.get_mut(at) {
                    *place = digest.into();
                }
            }
        }
        out
    }

    fn known_answers() -> Vec<(J, Digest)> {
        let known = KNOWN.into_iter();
        known
            .filter_map(|(instance, row, pair)| J::known(instance, row, pair))
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
