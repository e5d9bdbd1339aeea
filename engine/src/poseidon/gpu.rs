//! The kernels of Poseidon on a device.

use pars_kernels::field::Fr;
use pars_kernels::poseidon::MerklePath;
use pars_kernels::poseidon::gpu::{BatchHasher, HashError, Pending, Tuning};

use super::{
    Instance, PoseidonCompress, PoseidonHash, PoseidonList, PoseidonPair, PoseidonPath,
    PoseidonVerifyPath,
};
use crate::context::GpuContext;
use crate::error::DeviceError;
use crate::kernel::{Accelerator, DeviceAnswers, Kernel};
use crate::pipelined::{self, Batches};

/// What a kernel does on a device.
pub(crate) trait OnDevice: Kernel {
    /// What a job's answer is made of beside the device's result.
    type Kept;

    /// The hash of a job.
    fn instance(job: &Self::Job) -> Instance;

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

    fn instance(job: &PoseidonList) -> Instance {
        job.instance()
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

    fn instance(job: &PoseidonPair) -> Instance {
        job.instance
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

    fn instance(job: &PoseidonPath) -> Instance {
        job.instance
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
pub(crate) struct Flight<K: OnDevice> {
    /// Submissions, and which jobs are in each.
    parts: Vec<(Pending, Vec<usize>)>,
    kept: Vec<K::Kept>,
}

/// Parts of a kernel's memory, of which the jobs of a batch hold one.
const PARTS: u64 = 8;

/// Opens a kernel.
pub(super) fn open<K: OnDevice>(
    context: &GpuContext<'_>,
) -> Result<Option<Box<dyn Accelerator<K>>>, DeviceError> {
    let device = context.device();
    let memory = usize::try_from(context.memory()).unwrap_or(usize::MAX);
    let mut tuning = Tuning::of(device);
    // A batch in flight holds its input once and its results twice; a state and its results take less than a kilobyte.
    tuning.max_batch = tuning.max_batch.min(memory >> 12).max(1);
    let hasher = BatchHasher::with_tuning(device, tuning)?;
    pipelined::open(context, PARTS, hasher)
}

impl<K: OnDevice> Batches<K> for BatchHasher {
    type Pending = Flight<K>;

    fn max_batch(&self) -> usize {
        Self::max_batch(self)
    }

    fn send(&mut self, jobs: &[&K::Job]) -> Result<Flight<K>, DeviceError> {
        let mut parts = Vec::new();
        for instance in Instance::ALL {
            let (places, chosen): (Vec<usize>, Vec<&K::Job>) = jobs
                .iter()
                .copied()
                .enumerate()
                .filter(|(_, job)| K::instance(job) == instance)
                .unzip();
            if !chosen.is_empty() {
                parts.push((K::send(self, instance, &chosen)?, places));
            }
        }
        let kept = jobs.iter().map(|job| K::keep(job)).collect();
        Ok(Flight { parts, kept })
    }

    fn answers(&mut self, flight: Flight<K>) -> DeviceAnswers<K::Output> {
        let mut answers: Vec<Option<K::Output>> = flight.kept.iter().map(|_| None).collect();
        for (pending, places) in flight.parts {
            for (at, result) in places.into_iter().zip(self.collect(pending)?) {
                if let (Some(answer), Some(kept)) = (answers.get_mut(at), flight.kept.get(at)) {
                    *answer = Some(K::judge(kept, result));
                }
            }
        }
        Ok(answers)
    }
}

impl From<HashError> for DeviceError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Gpu(error) => error.into(),
            HashError::Unfinished {
                missing, states, ..
            } => Self::AnswerCount {
                asked: states,
                got: states.saturating_sub(missing),
            },
            other => Self::Rejected(other.to_string()),
        }
    }
}
