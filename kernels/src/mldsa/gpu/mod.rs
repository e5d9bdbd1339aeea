//! ML-DSA verification on a GPU, all of it: packed keys, signatures and messages go up, one word a job comes down.
//!
//! A batch runs as six dispatches for each parameter set in it: `message` (tr and μ), `expand` (ExpandA), `challenge`
//! (hint checks and SampleInBall), `transform` (unpacking, norm check, NTTs), `rows` (matrix-vector product, inverse
//! NTT, UseHint, w1Encode) and `verdict` (final hash and comparison). Only 32-bit integers are used.
//!
//! No path leads from missing work to a verdict: each stage leaves a mark when it has done its part, the last stage
//! writes a verdict only if every mark is there, and a word that is no verdict reads as [`GpuVerdict::Undecided`].

mod layout;
mod shaders;
#[cfg(test)]
mod tests;

use super::job::VerifyJob;
use crate::gpu::{Device, DeviceType, GpuError, ShaderChecks};
use layout::{
    BATCH_STRIDE_MIN, MATRIX_WORDS_MAX, Packed, SCRATCH_WORDS, STATUS_WORDS, TRANSFORMED_WORDS_MAX,
};
use shaders::{Grid, KERNELS};

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

/// Jobs of one submission on hardware.
const MAX_BATCH: usize = 2048;
/// Jobs of one submission on a software driver, where a submission should not hold the processor for seconds.
const MAX_BATCH_SOFTWARE: usize = 256;
/// Input of one submission in bytes.
const MAX_INPUT: u64 = 64 << 20;
/// Blocks of SHAKE after which a rejection loop gives up. An entry of A needs five blocks and a challenge one, rarely
/// more; 16 hold 896 candidates for 256 coefficients, or 2,168 for 60 positions.
const REJECTION_BLOCKS: u32 = 16;
/// Most polynomials of a job, each a workgroup.
const POLYS_MAX: usize = TRANSFORMED_WORDS_MAX / 256;

/// Shapes that change speed and never verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuning {
    /// Threads that share a polynomial, 1 to 256; best a power of two up to 64.
    pub lanes: u32,
    /// Threads of a workgroup where each takes a job or a stream of its own, 1 to 256.
    pub hash_threads: u32,
    /// Gives the first thread the last element: for tests that look for missing barriers.
    pub reverse_lanes: bool,
    /// Blocks of SHAKE after which a rejection loop gives up and the job is [`GpuVerdict::Undecided`].
    pub rejection_blocks: u32,
    /// Run-time checks of the shaders.
    pub checks: ShaderChecks,
    /// Jobs of one submission; the device's limits lower it further.
    pub max_batch: usize,
    /// Fills all scratch memory with this word before each batch: for tests that look for stale data.
    pub poison: Option<u32>,
}

impl Tuning {
    /// Sensible shapes for a device.
    pub fn of(device: &Device) -> Self {
        Self {
            lanes: 64,
            hash_threads: 64,
            reverse_lanes: false,
            rejection_blocks: REJECTION_BLOCKS,
            checks: ShaderChecks::Trusted,
            max_batch: match device.info().device_type {
                DeviceType::Cpu => MAX_BATCH_SOFTWARE,
                _ => MAX_BATCH,
            },
            poison: None,
        }
    }
}

/// The kernels of ML-DSA verification on one device, with buffers that are kept between batches.
#[derive(Debug)]
pub struct BatchVerifier {
    device: Device,
    tuning: Tuning,
    max_batch: usize,
    max_input: u64,
    layout: wgpu::BindGroupLayout,
    pipelines: Vec<wgpu::ComputePipeline>,
    constants: wgpu::Buffer,
    batch_stride: u64,
    packed: Packed,
    /// Tests only: leave this kernel out.
    #[cfg(test)]
    skip: Option<&'static str>,
    /// Dropped on any error, so that a failed batch leaves nothing mapped or half done behind.
    buffers: Option<Buffers>,
}

/// Buffers for some number of jobs, and what binds them.
#[derive(Debug)]
struct Buffers {
    sizes: Sizes,
    batches: wgpu::Buffer,
    words: wgpu::Buffer,
    jobs: wgpu::Buffer,
    matrix: wgpu::Buffer,
    transformed: wgpu::Buffer,
    notes: wgpu::Buffer,
    verdicts: wgpu::Buffer,
    readback: wgpu::Buffer,
    bind_group: wgpu::BindGroup,
}

/// Bytes of the buffers that depend on the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sizes {
    words: u64,
    jobs: u64,
    matrix: u64,
    transformed: u64,
    notes: u64,
    verdicts: u64,
}

impl Sizes {
    fn zip(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            words: f(self.words, other.words),
            jobs: f(self.jobs, other.jobs),
            matrix: f(self.matrix, other.matrix),
            transformed: f(self.transformed, other.transformed),
            notes: f(self.notes, other.notes),
            verdicts: f(self.verdicts, other.verdicts),
        }
    }
}

/// A submitted batch.
#[derive(Debug)]
struct InFlight {
    submission: wgpu::SubmissionIndex,
    /// `order[i]` is the caller's index of verdict i.
    order: Vec<usize>,
}

impl BatchVerifier {
    /// Compiles the kernels for `device`.
    ///
    /// # Errors
    /// [`GpuError`] if the device was lost or refuses them.
    pub fn new(device: &Device) -> Result<Self, GpuError> {
        Self::with_tuning(device, Tuning::of(device))
    }

    /// [`new`](Self::new) with chosen shapes.
    ///
    /// # Errors
    /// As [`new`](Self::new); also where the device does not support a shape.
    pub fn with_tuning(device: &Device, tuning: Tuning) -> Result<Self, GpuError> {
        let limits = device.raw().limits();
        let binding = limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size);
        let jobs_in =
            |words: usize| usize::try_from(binding / (words as u64 * 4)).unwrap_or(usize::MAX);
        let max_batch = tuning
            .max_batch
            .min(jobs_in(MATRIX_WORDS_MAX))
            .min(jobs_in(STATUS_WORDS + SCRATCH_WORDS))
            .min(limits.max_compute_workgroups_per_dimension as usize / POLYS_MAX)
            .max(1);
        let module = device.shader("mldsa", shaders::source(), tuning.checks)?;
        let (layout, pipelines) = pipelines(device, &module, tuning)?;
        let constants = shaders::constants();
        let constants = buffer_with(device, "mldsa constants", bytemuck::cast_slice(&constants))?;
        Ok(Self {
            device: device.clone(),
            tuning,
            max_batch,
            max_input: binding.min(MAX_INPUT),
            layout,
            pipelines,
            constants,
            batch_stride: BATCH_STRIDE_MIN
                .next_multiple_of(limits.min_uniform_buffer_offset_alignment.into()),
            packed: Packed::default(),
            #[cfg(test)]
            skip: None,
            buffers: None,
        })
    }

    /// Most jobs of one submission; [`verify`](Self::verify) cuts longer slices into several.
    pub fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// Verdicts for `jobs`, any mix of sets, in their order. Blocks until the device has answered, at most the device's
    /// time limit for each submission.
    ///
    /// A message M′ longer than 16 KiB is hashed to μ on the calling thread, so that no dispatch runs long.
    ///
    /// # Errors
    /// [`GpuError`] if the device was lost, took too long, or refused the work. No verdict is given then.
    pub fn verify(&mut self, jobs: &[&VerifyJob]) -> Result<Vec<GpuVerdict>, GpuError> {
        let mut verdicts = Vec::with_capacity(jobs.len());
        let mut rest = jobs;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.prefix(rest));
            let answered = self
                .submit(now)
                .and_then(|in_flight| self.collect(in_flight));
            match answered {
                Ok(answered) => verdicts.extend(answered),
                Err(error) => {
                    self.buffers = None;
                    return Err(error);
                }
            }
            rest = later;
        }
        Ok(verdicts)
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

    fn submit(&mut self, jobs: &[&VerifyJob]) -> Result<InFlight, GpuError> {
        self.packed.fill(jobs);
        let needed = Sizes {
            words: self.packed.words.len() as u64 * 4,
            jobs: jobs.len() as u64 * 8,
            matrix: self.packed.matrix_words as u64 * 4,
            transformed: self.packed.transformed_words as u64 * 4,
            notes: (jobs.len() * (STATUS_WORDS + SCRATCH_WORDS)) as u64 * 4,
            verdicts: jobs.len() as u64 * 4,
        };
        let buffers = match self.buffers.take() {
            Some(buffers) if buffers.sizes.zip(needed, u64::max) == buffers.sizes => buffers,
            old => {
                let had = old.map_or_else(Sizes::default, |buffers| buffers.sizes);
                self.allocate(had, needed)?
            }
        };
        let buffers = self.buffers.insert(buffers);
        let device = &self.device;
        let submission = device.scoped(|| {
            let queue = device.queue();
            if let Some(word) = self.tuning.poison {
                for buffer in [&buffers.matrix, &buffers.transformed, &buffers.notes] {
                    let garbage = vec![word; (buffer.size() / 4) as usize];
                    queue.write_buffer(buffer, 0, bytemuck::cast_slice(&garbage));
                }
            }
            for (i, (_, batch)) in self.packed.batches.iter().enumerate() {
                let at = i as u64 * self.batch_stride;
                queue.write_buffer(&buffers.batches, at, bytemuck::bytes_of(batch));
            }
            queue.write_buffer(&buffers.words, 0, bytemuck::cast_slice(&self.packed.words));
            queue.write_buffer(&buffers.jobs, 0, bytemuck::cast_slice(&self.packed.entries));

            let mut encoder = device.raw().create_command_encoder(&Default::default());
            let status_bytes = (jobs.len() * STATUS_WORDS) as u64 * 4;
            encoder.clear_buffer(&buffers.notes, 0, Some(status_bytes));
            encoder.clear_buffer(&buffers.verdicts, 0, Some(needed.verdicts));
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for (kernel, pipeline) in KERNELS.iter().zip(&self.pipelines) {
                #[cfg(test)]
                if self.skip == Some(kernel.name) {
                    continue;
                }
                pass.set_pipeline(pipeline);
                for (i, (set, batch)) in self.packed.batches.iter().enumerate() {
                    let offset = i as u64 * self.batch_stride;
                    pass.set_bind_group(0, &buffers.bind_group, &[offset as u32]);
                    // Within the limits of a dispatch because `max_batch` is.
                    let groups = match kernel.grid {
                        Grid::Threads(per_job) => (batch.jobs * per_job(set.params()) as u32)
                            .div_ceil(self.tuning.hash_threads),
                        Grid::Workgroups(per_job) => batch.jobs * per_job(set.params()) as u32,
                    };
                    pass.dispatch_workgroups(groups, 1, 1);
                }
            }
            drop(pass);
            encoder.copy_buffer_to_buffer(
                &buffers.verdicts,
                0,
                &buffers.readback,
                0,
                needed.verdicts,
            );
            queue.submit([encoder.finish()])
        })?;
        Ok(InFlight {
            submission,
            order: std::mem::take(&mut self.packed.order),
        })
    }

    fn collect(&mut self, in_flight: InFlight) -> Result<Vec<GpuVerdict>, GpuError> {
        let mut verdicts = vec![GpuVerdict::Undecided; in_flight.order.len()];
        if let Some(buffers) = &self.buffers {
            let len = verdicts.len() as u64 * 4;
            let bytes = self
                .device
                .read(&buffers.readback, len, in_flight.submission)?;
            for (&index, word) in in_flight.order.iter().zip(bytes.chunks_exact(4)) {
                let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
                if let Some(verdict) = verdicts.get_mut(index) {
                    *verdict = GpuVerdict::from_word(word);
                }
            }
        }
        self.packed.order = in_flight.order;
        Ok(verdicts)
    }

    /// Buffers of at least `needed` bytes each: powers of two, so that batches of slowly growing size do not allocate
    /// each time, but no more than the largest batch can use.
    fn allocate(&self, had: Sizes, needed: Sizes) -> Result<Buffers, GpuError> {
        let most = |words: usize| (self.max_batch * words) as u64 * 4;
        let bound = Sizes {
            words: self.max_input,
            jobs: most(2),
            matrix: most(MATRIX_WORDS_MAX),
            transformed: most(TRANSFORMED_WORDS_MAX),
            notes: most(STATUS_WORDS + SCRATCH_WORDS),
            verdicts: most(1),
        };
        let sizes = needed.zip(had, u64::max).zip(bound, |needed, bound| {
            needed
                .next_power_of_two()
                .clamp(256, bound.max(256))
                .max(needed)
        });
        use wgpu::BufferUsages as Usage;
        let make = |label, size, usage| {
            self.device.raw().create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        let storage = Usage::STORAGE | Usage::COPY_DST;
        self.device.scoped(|| {
            let batches = make(
                "mldsa batches",
                self.batch_stride * 3,
                Usage::UNIFORM | Usage::COPY_DST,
            );
            let words = make("mldsa words", sizes.words, storage);
            let jobs = make("mldsa jobs", sizes.jobs, storage);
            let matrix = make("mldsa matrix", sizes.matrix, storage);
            let transformed = make("mldsa transformed", sizes.transformed, storage);
            let notes = make("mldsa notes", sizes.notes, storage);
            let verdicts = make("mldsa verdicts", sizes.verdicts, storage | Usage::COPY_SRC);
            let readback = make(
                "mldsa readback",
                sizes.verdicts,
                Usage::MAP_READ | Usage::COPY_DST,
            );
            let window = wgpu::BufferBinding {
                buffer: &batches,
                offset: 0,
                size: std::num::NonZeroU64::new(BATCH_STRIDE_MIN),
            };
            let whole = [
                &self.constants,
                &words,
                &jobs,
                &matrix,
                &transformed,
                &notes,
                &verdicts,
            ];
            let resources = std::iter::once(wgpu::BindingResource::Buffer(window))
                .chain(whole.into_iter().map(|buffer| buffer.as_entire_binding()));
            let entries: Vec<_> = (0..)
                .zip(resources)
                .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
                .collect();
            let bind_group = self
                .device
                .raw()
                .create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some("mldsa"),
                    layout: &self.layout,
                    entries: &entries,
                });
            Buffers {
                sizes,
                batches,
                words,
                jobs,
                matrix,
                transformed,
                notes,
                verdicts,
                readback,
                bind_group,
            }
        })
    }
}

/// The one bind group layout of all kernels and their pipelines, in the order of [`KERNELS`].
fn pipelines(
    device: &Device,
    module: &wgpu::ShaderModule,
    tuning: Tuning,
) -> Result<(wgpu::BindGroupLayout, Vec<wgpu::ComputePipeline>), GpuError> {
    let entry = |binding: u32| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: match binding {
                0 => wgpu::BufferBindingType::Uniform,
                1..=3 => wgpu::BufferBindingType::Storage { read_only: true },
                _ => wgpu::BufferBindingType::Storage { read_only: false },
            },
            has_dynamic_offset: binding == 0,
            min_binding_size: None,
        },
        count: None,
    };
    let overrides = [
        ("HASH_THREADS", f64::from(tuning.hash_threads)),
        ("LANES", f64::from(tuning.lanes)),
        ("REJECTION_BLOCKS", f64::from(tuning.rejection_blocks)),
        ("REVERSE", f64::from(u8::from(tuning.reverse_lanes))),
    ];
    device.scoped(|| {
        let raw = device.raw();
        let layout = raw.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("mldsa"),
            entries: &std::array::from_fn::<_, 8, _>(|i| entry(i as u32)),
        });
        let pipeline_layout = raw.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some("mldsa"),
            bind_group_layouts: &[Some(&layout)],
            ..Default::default()
        });
        let pipelines = KERNELS
            .iter()
            .map(|kernel| {
                raw.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                    label: Some(kernel.name),
                    layout: Some(&pipeline_layout),
                    module,
                    entry_point: Some(kernel.name),
                    compilation_options: wgpu::PipelineCompilationOptions {
                        constants: &overrides,
                        // Every word of workgroup memory is written before it is read.
                        zero_initialize_workgroup_memory: false,
                    },
                    cache: None,
                })
            })
            .collect();
        (layout, pipelines)
    })
}

/// A read-only storage buffer that holds `bytes`.
fn buffer_with(device: &Device, label: &str, bytes: &[u8]) -> Result<wgpu::Buffer, GpuError> {
    device.scoped(|| {
        let buffer = device.raw().create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        device.queue().write_buffer(&buffer, 0, bytes);
        buffer
    })
}
