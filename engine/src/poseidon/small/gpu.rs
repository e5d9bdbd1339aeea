//! The kernels of Poseidon2 over small fields on a device.

use std::collections::BTreeMap;

use pars_kernels::gpu::Device;
use pars_kernels::poseidon::gpu::{
    HashError, SmallError, SmallHasher, SmallPending, SmallPoseidon2, Tuning,
};

use super::{Alike, CHUNK, Digest, Instance, SmallJob, SmallKernel, alike};
use crate::context::GpuContext;
use crate::error::DeviceError;
use crate::kernel::{Accelerator, DeviceAnswers};
use crate::pipelined::{self, Batches};

/// Parts of a kernel's memory, of which the jobs of a batch hold one: each of five instances keeps room for two batches, in sizes that
/// are rounded up to powers of two, and digests come on top.
const PARTS: u64 = 40;

/// A shader is compiled when its instance is first asked for.
struct Hashing {
    device: Device,
    tuning: Tuning,
    hashers: BTreeMap<Instance, SmallHasher>,
}

/// A batch on its way.
struct Flight {
    jobs: usize,
    /// Submissions, and which jobs are in each.
    parts: Vec<(Instance, SmallPending, Vec<usize>)>,
}

/// Opens a kernel.
pub(super) fn open<J: SmallJob>(
    context: &GpuContext<'_>,
) -> Result<Option<Box<dyn Accelerator<SmallKernel<J>>>>, DeviceError> {
    let device = context.device();
    let memory = usize::try_from(context.memory()).unwrap_or(usize::MAX);
    let mut tuning = Tuning::of(device);
    // Digests and marks of a job take 1,440 bytes in the room of all instances.
    tuning.max_batch = tuning.max_batch.min(memory >> 12).max(1);
    let hashing = Hashing {
        device: device.clone(),
        tuning,
        hashers: BTreeMap::new(),
    };
    pipelined::open(context, PARTS, hashing)
}

impl Hashing {
    /// The hasher of an instance; none where the device lacks what the field needs.
    fn hasher(&mut self, instance: Instance) -> Result<Option<&mut SmallHasher>, DeviceError> {
        if !self.hashers.contains_key(&instance) {
            let parameters = SmallPoseidon2::of(instance);
            match SmallHasher::with_tuning(&self.device, parameters, self.tuning) {
                Ok(hasher) => self.hashers.insert(instance, hasher),
                Err(HashError::Small(SmallError::NeedsInt64)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
        }
        Ok(self.hashers.get_mut(&instance))
    }
}

impl<J: SmallJob> Batches<SmallKernel<J>> for Hashing {
    type Pending = Flight;

    fn max_batch(&self) -> usize {
        self.tuning.max_batch.max(CHUNK)
    }

    fn send(&mut self, jobs: &[&J]) -> Result<Flight, DeviceError> {
        let mut parts = Vec::new();
        for Alike {
            instance,
            row,
            places,
            words,
        } in alike(jobs)
        {
            let Some(hasher) = self.hasher(instance)? else {
                continue;
            };
            let sent = if J::ROWS {
                hasher.submit_rows(row, &words)
            } else {
                hasher.submit_pairs(&words)
            };
            match sent {
                Ok(pending) => parts.push((instance, pending, places)),
                // A row that is too long for the device is the CPU's.
                Err(HashError::Small(SmallError::Row { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Flight {
            jobs: jobs.len(),
            parts,
        })
    }

    fn answers(&mut self, flight: Flight) -> DeviceAnswers<Digest> {
        let mut answers = vec![None; flight.jobs];
        for (instance, pending, places) in flight.parts {
            let Some(hasher) = self.hashers.get_mut(&instance) else {
                continue;
            };
            let digests = hasher.collect(pending)?;
            let digests = digests.chunks_exact(instance.digest_words());
            for (at, digest) in places.into_iter().zip(digests) {
                if let Some(answer) = answers.get_mut(at) {
                    *answer = Some(Digest::from(digest));
                }
            }
        }
        Ok(answers)
    }
}
