//! ML-DSA verification on a GPU, all of it: packed keys, signatures and messages go up, one word a job comes down.
//!
//! A batch runs as four dispatches for each part of it: `hash` (μ; hint checks and SampleInBall), `transform` (z and c
//! unpacked, norm check, NTTs), `rows` (ExpandA multiplied as it is drawn, inverse NTT, UseHint, w1Encode) and `verdict`
//! (final hash and comparison). A is never in memory, except for keys that are kept on the device on purpose, see
//! [`BatchVerifier::with_resident_keys`].
//!
//! No path leads from missing work to a verdict: each stage leaves a mark when it has done its part, the last stage
//! writes a verdict only if every mark is there, and a word that is no verdict reads as [`GpuVerdict::Undecided`].

mod buffers;
mod keys;
mod layout;
mod shaders;
#[cfg(test)]
mod tests;
mod tuning;
mod upload;

pub use keys::ResidentKeys;
pub use tuning::{Integers, ParseTuningError, Tuning};
pub use upload::UploadPart;

use super::job::VerifyJob;
use crate::gpu::{Buffer, Device, GpuError, Mapping};
use buffers::{Bindings, Scratch, Slot, buffer_with};
use keys::{KeyTable, Served};
use layout::{
    BATCH_STRIDE_MIN, PARTS_MAX, Packed, SCRATCH_WORDS, STATUS_WORDS, TRANSFORMED_WORDS_MAX,
};
use shaders::{KERNELS, Serves, Shape};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use upload::Uploads;

/// What the device says of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GpuVerdict {
    /// The signature is valid.
    Valid,
    /// It is not.
    Invalid,
    /// The device did not decide: a bounded rejection loop ended early (practically never), or the device did not do
    /// its work. The caller must ask the CPU.
    Undecided,
}

impl GpuVerdict {
    fn from_word(word: u32) -> Self {
        match word {
            layout::VALID => Self::Valid,
            layout::INVALID => Self::Invalid,
            _ => Self::Undecided,
        }
    }
}

/// Input of one submission in bytes.
const MAX_INPUT: u64 = 64 << 20;
/// The least that is taken for it: one job with the longest message has under 32 KiB.
const MIN_INPUT: u64 = 32 << 10;
/// Most workgroups that a job takes.
const GROUPS_PER_JOB: usize = 8;

/// The kernels of ML-DSA verification on one device, with buffers that are kept between batches.
///
/// [`verify`](Self::verify) answers at once. [`submit`](Self::submit) and [`collect`](Self::collect) keep several
/// batches in flight, so that one is laid out and uploaded while another is computed.
#[derive(Debug)]
pub struct BatchVerifier {
    device: Device,
    tuning: Tuning,
    max_batch: usize,
    max_input: u64,
    module: wgpu::ShaderModule,
    layout: wgpu::BindGroupLayout,
    /// In the order of [`KERNELS`]; those for resident keys are there if any are kept.
    pipelines: Vec<Option<wgpu::ComputePipeline>>,
    constants: Buffer,
    batch_stride: u64,
    packed: Packed,
    uploads: Uploads,
    served: Vec<Served>,
    keys: Option<KeyTable>,
    /// Memory of resident keys; a few bytes if none are kept.
    store: Buffer,
    /// Dropped with everything below on any error, so that a failed batch leaves nothing mapped or half done behind.
    scratch: Option<Scratch>,
    idle: Vec<Slot>,
    in_flight: VecDeque<InFlight>,
    /// Verdicts that [`verify`](Self::verify) had to collect for earlier calls of [`submit`](Self::submit).
    collected: VecDeque<Vec<GpuVerdict>>,
    /// Tests only: leave this kernel out.
    #[cfg(test)]
    skip: Option<&'static str>,
}

/// A submitted batch.
#[derive(Debug)]
struct InFlight {
    slot: Slot,
    submission: wgpu::SubmissionIndex,
    staging: Mapping,
    readback: Mapping,
    /// `order[i]` is the caller's index of verdict i.
    order: Vec<usize>,
    /// The caller's indices of jobs with resident keys, and the generations of these.
    resident: Vec<(usize, u32)>,
}

impl BatchVerifier {
    /// Compiles the kernels for `device`. On hardware their shapes are chosen by measurement, which takes a second or
    /// two; [`tuning`](Self::tuning) tells the choice and [`with_tuning`](Self::with_tuning) takes it again.
    ///
    /// # Errors
    /// [`GpuError`] if the device was lost or refuses them.
    pub fn new(device: &Device) -> Result<Self, GpuError> {
        Self::with_tuning(device, Tuning::at_opening(device)?)
    }

    /// [`new`](Self::new), with up to `bytes` of device memory for verifying keys that are used again: their Â,
    /// NTT(t1·2^d) and tr stay there, and a job with such a key sends no key and skips nine tenths of the hashing.
    ///
    /// A key takes 20, 36 or 65 KiB (ML-DSA-44, 65, 87). It is brought in when it is used for the second time, or by a
    /// job that carries it prepared ([`VerifyJob::with_key`]), so that keys that are used once, however many, cannot push out those of a validator set; which other key then has to go
    /// is decided by the last use. The full key is compared, and verdicts are the same with and without.
    ///
    /// The memory is also bounded by the largest storage buffer of the device; below 65 KiB no key is kept.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`GpuError::OutOfMemory`].
    pub fn with_resident_keys(device: &Device, bytes: u64) -> Result<Self, GpuError> {
        let mut verifier = Self::new(device)?;
        verifier.keep_keys(bytes)?;
        Ok(verifier)
    }

    /// [`new`](Self::new) with chosen shapes.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`GpuError::Rejected`] where the device does not support a shape.
    pub fn with_tuning(device: &Device, tuning: Tuning) -> Result<Self, GpuError> {
        if let Some(reason) = tuning.unsupported(device) {
            return Err(device.rejected(&reason));
        }
        let limits = device.raw().limits();
        let binding = limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size);
        // Of the memory, a quarter is scratch, which all slots share; the rest holds each slot's input twice, where the
        // host writes it and where the kernels read it.
        let scratch = (TRANSFORMED_WORDS_MAX + STATUS_WORDS + SCRATCH_WORDS) as u64 * 4;
        let in_memory = usize::try_from(tuning.memory / 4 / scratch).unwrap_or(usize::MAX);
        let bound =
            usize::try_from(binding / (TRANSFORMED_WORDS_MAX as u64 * 4)).unwrap_or(usize::MAX);
        let max_batch = tuning
            .max_batch
            .min(in_memory)
            .min(bound)
            .min(limits.max_compute_workgroups_per_dimension as usize / GROUPS_PER_JOB)
            .max(1);
        let input = tuning.memory / 4 * 3 / (2 * tuning.slots.max(1) as u64);
        let module = device.shader("mldsa", shaders::source(tuning.integers), tuning.checks)?;
        let layout = buffers::layout(device)?;
        let constants = shaders::constants();
        let constants = buffer_with(device, "mldsa constants", bytemuck::cast_slice(&constants))?;
        let store = buffer_with(device, "mldsa resident keys", &[0; 256])?;
        let mut verifier = Self {
            device: device.clone(),
            tuning,
            max_batch,
            max_input: input.clamp(MIN_INPUT, MAX_INPUT).min(binding) / 4 * 4,
            module,
            layout,
            pipelines: KERNELS.iter().map(|_| None).collect(),
            constants,
            batch_stride: BATCH_STRIDE_MIN
                .next_multiple_of(limits.min_uniform_buffer_offset_alignment.into()),
            packed: Packed::default(),
            uploads: Uploads::default(),
            served: Vec::new(),
            keys: None,
            store,
            scratch: None,
            idle: Vec::new(),
            in_flight: VecDeque::new(),
            collected: VecDeque::new(),
            #[cfg(test)]
            skip: None,
        };
        verifier.compile(&[Serves::All, Serves::Fresh])?;
        Ok(verifier)
    }

    /// From now on keeps up to `bytes` of device memory for keys, as [`with_resident_keys`](Self::with_resident_keys)
    /// does, beginning with an empty store. What is in flight is lost.
    ///
    /// # Errors
    /// As [`with_resident_keys`](Self::with_resident_keys).
    pub fn keep_keys(&mut self, bytes: u64) -> Result<(), GpuError> {
        self.compile(&[Serves::Resident, Serves::Admitted])?;
        let limits = self.device.raw().limits();
        let bytes = bytes
            .min(limits.max_storage_buffer_binding_size)
            .min(limits.max_buffer_size);
        let keys = KeyTable::new(usize::try_from(bytes / 4).unwrap_or(usize::MAX));
        self.reset();
        self.store = self.device.scoped(|| {
            self.device.buffer(
                "mldsa resident keys",
                (keys.words() as u64 * 4).max(256),
                wgpu::BufferUsages::STORAGE,
            )
        })?;
        self.keys = Some(keys);
        Ok(())
    }

    /// From now on each batch is copied into staging memory in up to `parts` shares of about equal size. `run` must call
    /// [`UploadPart::write`] on each, on whatever threads it likes, and return when all are done; if one was not written
    /// the submission is [`GpuError::Rejected`]. Without this call the calling thread copies everything.
    ///
    /// ```no_run
    /// # fn share(verifier: &mut pars_kernels::mldsa::gpu::BatchVerifier) {
    /// verifier.share_uploads(4, |parts| {
    ///     std::thread::scope(|scope| {
    ///         for part in parts {
    ///             scope.spawn(|| part.write());
    ///         }
    ///     });
    /// });
    /// # }
    /// ```
    pub fn share_uploads(
        &mut self,
        parts: usize,
        run: impl Fn(Vec<UploadPart<'_>>) + Send + Sync + 'static,
    ) {
        self.uploads = Uploads {
            parts,
            run: Arc::new(run),
        };
    }

    /// What the store of resident keys has done; all zero if none are kept.
    pub fn resident_keys(&self) -> ResidentKeys {
        self.keys.as_ref().map(KeyTable::counts).unwrap_or_default()
    }

    /// The shapes in use, to be stored and passed to [`with_tuning`](Self::with_tuning) at the next start.
    pub fn tuning(&self) -> Tuning {
        self.tuning
    }

    /// Most jobs of one submission; [`verify`](Self::verify) cuts longer slices into several.
    pub fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// Batches submitted and not collected.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len() + self.collected.len()
    }

    /// Verdicts for `jobs`, any mix of sets, in their order. Blocks until the device has answered, at most the device's
    /// time limit for each submission. Longer slices than [`max_batch`](Self::max_batch) go as several submissions, of
    /// which the next is laid out while one is computed.
    ///
    /// A message M′ longer than 16 KiB is hashed to μ on the calling thread, so that no dispatch runs long.
    ///
    /// # Errors
    /// [`GpuError`] if the device was lost, took too long, or refused the work. No verdict is given then, and batches
    /// in flight are lost.
    pub fn verify(&mut self, jobs: &[&VerifyJob]) -> Result<Vec<GpuVerdict>, GpuError> {
        while !self.in_flight.is_empty() {
            let earlier = self.collect_oldest()?;
            self.collected.push_back(earlier);
        }
        let mut verdicts = Vec::with_capacity(jobs.len());
        let mut rest = jobs;
        while verdicts.len() < jobs.len() {
            let taken = self.submit_within(rest, usize::MAX)?;
            rest = rest.get(taken..).unwrap_or_default();
            if taken == 0 {
                verdicts.extend(self.collect_oldest()?);
            }
        }
        Ok(verdicts)
    }

    /// Sends the first of `jobs` off, as many as fit one submission, and returns how many: 0 if `jobs` is empty or
    /// [`Tuning::slots`] batches are in flight already, of which one must be collected first. Does not wait for the
    /// device.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn submit(&mut self, jobs: &[&VerifyJob]) -> Result<usize, GpuError> {
        let room = self
            .tuning
            .slots
            .max(1)
            .saturating_sub(self.collected.len());
        self.submit_within(jobs, room)
    }

    /// Whether [`collect`](Self::collect) would not have to wait; waits up to `limit` for that.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), without the time limit: a batch that is late is one that is not done.
    pub fn poll(&mut self, limit: Duration) -> Result<bool, GpuError> {
        match self.in_flight.front() {
            Some(oldest) if self.collected.is_empty() => self
                .device
                .done(&oldest.submission, limit)
                .inspect_err(|_| self.reset()),
            _ => Ok(true),
        }
    }

    /// Waits for the oldest batch in flight: its verdicts in the order in which the jobs were given. `None` if there is
    /// no batch in flight.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn collect(&mut self) -> Result<Option<Vec<GpuVerdict>>, GpuError> {
        match self.collected.pop_front() {
            Some(verdicts) => Ok(Some(verdicts)),
            None if self.in_flight.is_empty() => Ok(None),
            None => self.collect_oldest().map(Some),
        }
    }

    fn submit_within(&mut self, jobs: &[&VerifyJob], room: usize) -> Result<usize, GpuError> {
        let room = room.min(self.tuning.slots.max(1));
        if jobs.is_empty() || self.in_flight.len() >= room {
            return Ok(0);
        }
        let (now, _) = jobs.split_at(self.prefix(jobs));
        match self.send(now) {
            Ok(in_flight) => {
                self.in_flight.push_back(in_flight);
                Ok(now.len())
            }
            Err(error) => {
                self.reset();
                Err(error)
            }
        }
    }

    fn collect_oldest(&mut self) -> Result<Vec<GpuVerdict>, GpuError> {
        let Some(oldest) = self.in_flight.pop_front() else {
            return Ok(Vec::new());
        };
        self.receive(oldest).inspect_err(|_| self.reset())
    }

    /// Nothing is in flight any more, and nothing is known of any memory.
    fn reset(&mut self) {
        self.scratch = None;
        self.idle.clear();
        self.in_flight.clear();
        self.collected.clear();
        if let Some(keys) = &mut self.keys {
            keys.clear();
        }
    }

    /// How many of `jobs` go into the next submission: at least one.
    fn prefix(&self, jobs: &[&VerifyJob]) -> usize {
        let mut bytes = 0;
        jobs.iter()
            .take(self.max_batch)
            .take_while(|job| {
                bytes += layout::input_words(job) as u64 * 4;
                bytes <= self.max_input
            })
            .count()
            .max(1)
    }

    fn send(&mut self, jobs: &[&VerifyJob]) -> Result<InFlight, GpuError> {
        self.served.clear();
        match &mut self.keys {
            Some(keys) => {
                keys.begin_batch();
                // Whoever hands over a prepared key says that it comes again.
                let serve = |job: &&VerifyJob| {
                    let known = job.key().is_some();
                    keys.serve(job.parameter_set(), job.public_key(), known)
                };
                self.served.extend(jobs.iter().map(serve));
            }
            None => self.served.resize(jobs.len(), Served::Fresh),
        }
        self.packed.plan(jobs, &self.served);
        let resident = self.served.iter().enumerate();
        let resident = resident.filter_map(|(index, served)| match served {
            Served::Fresh => None,
            Served::Resident(place) | Served::Admitted(place) => Some((index, place.generation)),
        });
        let resident = resident.collect();

        // Powers of two, so that batches of slowly growing size do not allocate each time, but no more than the largest
        // batch can use.
        let bytes = |needed: usize, most: usize| {
            let needed = needed as u64 * 4;
            let most = (self.max_batch * most) as u64 * 4;
            needed
                .next_power_of_two()
                .clamp(256, most.max(256))
                .max(needed)
        };
        let transformed = bytes(self.packed.transformed_words, TRANSFORMED_WORDS_MAX);
        let notes = bytes(
            jobs.len() * (STATUS_WORDS + SCRATCH_WORDS),
            STATUS_WORDS + SCRATCH_WORDS,
        );
        let scratch = match self.scratch.take() {
            Some(scratch) if scratch.holds(transformed, notes) => scratch,
            old => Scratch::new(&self.device, old, transformed, notes)?,
        };
        self.scratch = Some(scratch.clone());

        let words = self.packed.words as u64 * 4;
        let words = words
            .next_power_of_two()
            .clamp(256, self.max_input)
            .max(words);
        let verdicts = bytes(jobs.len(), 1);
        let bindings = Bindings {
            layout: &self.layout,
            constants: &self.constants,
            store: &self.store,
            scratch: &scratch,
            batches: self.batch_stride * PARTS_MAX as u64,
        };
        let slot = match self.idle.pop() {
            Some(slot) if slot.holds(words, verdicts) => slot.rebound(&self.device, &bindings)?,
            old => Slot::new(&self.device, &bindings, old, words, verdicts)?,
        };
        slot.write(
            &self.device,
            &self.packed,
            jobs,
            self.batch_stride,
            &self.uploads,
        )?;

        let device = &self.device;
        let verdict_bytes = jobs.len() as u64 * 4;
        let (submission, staging, readback) = device.scoped(|| {
            let queue = device.queue();
            if let Some(word) = self.tuning.poison {
                for buffer in [&scratch.transformed, &scratch.notes] {
                    let garbage = vec![word; (buffer.size() / 4) as usize];
                    queue.write_buffer(buffer, 0, bytemuck::cast_slice(&garbage));
                }
            }
            let mut encoder = device.raw().create_command_encoder(&Default::default());
            slot.encode_upload(&mut encoder, &self.packed);
            let status_bytes = (jobs.len() * STATUS_WORDS) as u64 * 4;
            encoder.clear_buffer(&scratch.notes, 0, Some(status_bytes));
            encoder.clear_buffer(&slot.verdicts, 0, Some(verdict_bytes));
            self.encode_kernels(&mut encoder, &slot);
            encoder.copy_buffer_to_buffer(&slot.verdicts, 0, &slot.readback, 0, verdict_bytes);
            let submission = self.device.submit(encoder.finish());
            let staging = device.map(&slot.staging, wgpu::MapMode::Write);
            let readback = device.map(&slot.readback, wgpu::MapMode::Read);
            (submission, staging, readback)
        })?;
        Ok(InFlight {
            slot,
            submission,
            staging,
            readback,
            order: std::mem::take(&mut self.packed.order),
            resident,
        })
    }

    fn encode_kernels(&self, encoder: &mut wgpu::CommandEncoder, slot: &Slot) {
        let shape = Shape {
            hash_threads: self.tuning.hash_threads as usize,
            teams: (self.tuning.lanes / shaders::TEAM) as usize,
        };
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for (kernel, pipeline) in KERNELS.iter().zip(&self.pipelines) {
            #[cfg(test)]
            if self.skip == Some(kernel.name) {
                continue;
            }
            let Some(pipeline) = pipeline else {
                continue;
            };
            pass.set_pipeline(pipeline);
            for (i, part) in self.packed.parts.iter().enumerate() {
                let takes = kernel.serves == part.serves
                    || (kernel.serves == Serves::All && part.serves != Serves::Admitted);
                if takes {
                    let offset = i as u64 * self.batch_stride;
                    pass.set_bind_group(0, &slot.bind_group, &[offset as u32]);
                    // Within the limits of a dispatch because `max_batch` is.
                    let jobs = part.batch.jobs as usize;
                    let groups = (kernel.groups)(part.set.params(), jobs, shape);
                    pass.dispatch_workgroups(groups as u32, 1, 1);
                }
            }
        }
    }

    fn receive(&mut self, in_flight: InFlight) -> Result<Vec<GpuVerdict>, GpuError> {
        let device = &self.device;
        let slot = in_flight.slot;
        device.wait(in_flight.submission)?;
        device.mapped(&in_flight.staging)?;
        device.mapped(&in_flight.readback)?;
        let mut verdicts = vec![GpuVerdict::Undecided; in_flight.order.len()];
        {
            let bytes = slot
                .readback
                .get_mapped_range(..verdicts.len() as u64 * 4)
                .map_err(|error| device.rejected(&error))?;
            for (&index, word) in in_flight.order.iter().zip(bytes.chunks_exact(4)) {
                let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
                if let Some(verdict) = verdicts.get_mut(index) {
                    *verdict = GpuVerdict::from_word(word);
                }
            }
        }
        slot.readback.unmap();
        self.idle.push(slot);
        self.packed.order = in_flight.order;
        if let Some(keys) = &mut self.keys {
            // A slot that is not complete would leave all jobs with its key undecided for ever.
            for (index, generation) in in_flight.resident {
                if verdicts.get(index) == Some(&GpuVerdict::Undecided) {
                    keys.forget(generation);
                }
            }
        }
        Ok(verdicts)
    }

    /// Compiles the kernels that serve any of `serves` and are not there yet.
    fn compile(&mut self, serves: &[Serves]) -> Result<(), GpuError> {
        let overrides = [
            ("HASH_THREADS", f64::from(self.tuning.hash_threads)),
            ("LANES", f64::from(self.tuning.lanes)),
            ("REJECTION_BLOCKS", f64::from(self.tuning.rejection_blocks)),
            ("REVERSE", f64::from(u8::from(self.tuning.reverse_lanes))),
        ];
        self.device.scoped(|| {
            let raw = self.device.raw();
            let layout = raw.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some("mldsa"),
                bind_group_layouts: &[Some(&self.layout)],
                ..Default::default()
            });
            for (kernel, pipeline) in KERNELS.iter().zip(&mut self.pipelines) {
                if !serves.contains(&kernel.serves) || pipeline.is_some() {
                    continue;
                }
                *pipeline = Some(
                    raw.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                        label: Some(kernel.name),
                        layout: Some(&layout),
                        module: &self.module,
                        entry_point: Some(kernel.name),
                        compilation_options: wgpu::PipelineCompilationOptions {
                            constants: &overrides,
                            // Every word of workgroup memory is written before it is read.
                            zero_initialize_workgroup_memory: false,
                        },
                        cache: self.device.pipeline_cache(),
                    }),
                );
            }
        })
    }
}
