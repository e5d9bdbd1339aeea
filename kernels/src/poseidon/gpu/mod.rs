//! Poseidon and Poseidon2 on a GPU: states go up as they are in memory, results come down in the same form.
//!
//! One dispatch permutes a batch, a thread a state. The arithmetic is the generated one of `field::wgsl`, with 64-bit sums where the
//! device has them; the rounds are those of the CPU code, so the bits are equal.
//!
//! A thread leaves a mark behind its results, which are cleared before. A result without its mark, or one that is no element, is an
//! error and never a hash.

mod shaders;
#[cfg(test)]
mod tests;

use super::{InputError, Instance, levels::Permutation};
use crate::{
    field::{Element, Fr, wgsl::Form},
    gpu::{Device, DeviceType, GpuError, ShaderChecks},
};

/// Widths of [`Instance::Circom`] that run on a device; wider states are left to the CPU.
pub const CIRCOM_WIDTHS: std::ops::RangeInclusive<usize> = 2..=4;

/// States of one submission on hardware.
const MAX_BATCH: usize = 1 << 17;
/// States of one submission on a software driver: some 50 ms of one core.
const MAX_BATCH_SOFTWARE: usize = 1024;

/// Why a device gave no hashes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// The states or leaves are not what the instance takes.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The instance has no shader for states of this width.
    #[error("{instance} runs on a device for states of 2 to 4 elements, not {width}: use the CPU")]
    Unsupported {
        /// The instance asked.
        instance: Instance,
        /// The width asked for.
        width: usize,
    },
    /// The device failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The device answered without having computed a result.
    #[error(
        "the device {adapter} left {missing} of {states} states without a result: do not trust it, use the CPU"
    )]
    Unfinished {
        /// The adapter's name.
        adapter: String,
        /// States without a result.
        missing: usize,
        /// States of the submission.
        states: usize,
    },
}

/// Shapes that change speed and never hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuning {
    /// Threads of a workgroup, 1 to 256.
    pub threads: u32,
    /// Whether sums have 64 bits (29-bit limbs); else 32 (13-bit limbs).
    pub wide: bool,
    /// Gives the first thread the last state: for tests.
    pub reverse: bool,
    /// Run-time checks of the shaders.
    pub checks: ShaderChecks,
    /// States of one submission; the device's limits lower it further.
    pub max_batch: usize,
}

impl Tuning {
    /// Sensible shapes for a device.
    pub fn of(device: &Device) -> Self {
        Self {
            threads: 64,
            wide: device.has_int64(),
            reverse: false,
            checks: ShaderChecks::Trusted,
            max_batch: match device.info().device_type {
                DeviceType::Cpu => MAX_BATCH_SOFTWARE,
                _ => MAX_BATCH,
            },
        }
    }
}

/// The permutations on one device. A permutation is compiled when it is first asked for; buffers are kept between batches.
#[derive(Debug)]
pub struct BatchHasher {
    device: Device,
    tuning: Tuning,
    max_batch: usize,
    layout: wgpu::BindGroupLayout,
    programs: Vec<(Permutation, Program)>,
    buffers: Option<Buffers>,
}

/// A compiled permutation.
#[derive(Debug)]
struct Program {
    pipeline: wgpu::ComputePipeline,
    constants: wgpu::Buffer,
}

/// Buffers of some size.
#[derive(Debug)]
struct Buffers {
    batch: wgpu::Buffer,
    states: wgpu::Buffer,
    results: wgpu::Buffer,
    readback: wgpu::Buffer,
}

impl BatchHasher {
    /// Prepares `device`.
    ///
    /// # Errors
    /// [`GpuError`] if the device was lost.
    pub fn new(device: &Device) -> Result<Self, GpuError> {
        Self::with_tuning(device, Tuning::of(device))
    }

    /// [`new`](Self::new) with chosen shapes.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_tuning(device: &Device, tuning: Tuning) -> Result<Self, GpuError> {
        let limits = device.raw().limits();
        let binding = limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size);
        let state_bytes = 4 * (8 * *CIRCOM_WIDTHS.end() as u64 + 1);
        let groups = limits.max_compute_workgroups_per_dimension as usize;
        let max_batch = tuning
            .max_batch
            .min(usize::try_from(binding / state_bytes).unwrap_or(usize::MAX))
            .min(groups.saturating_mul(tuning.threads as usize))
            .max(1);
        let entry = |binding: u32| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: match binding {
                    0 => wgpu::BufferBindingType::Uniform,
                    1 | 2 => wgpu::BufferBindingType::Storage { read_only: true },
                    _ => wgpu::BufferBindingType::Storage { read_only: false },
                },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let layout = device.scoped(|| {
            device
                .raw()
                .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                    label: Some("poseidon"),
                    entries: &[entry(0), entry(1), entry(2), entry(3)],
                })
        })?;
        Ok(Self {
            device: device.clone(),
            tuning,
            max_batch,
            layout,
            programs: Vec::new(),
            buffers: None,
        })
    }

    /// Most states of one submission; longer slices are cut into several.
    pub fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// The permutation of each state of `width` elements, one after another. Blocks until the device has answered, at most the device's
    /// time limit for each submission.
    ///
    /// # Errors
    /// [`HashError`] for states that the instance does not take, a width without a shader, and a device that failed.
    pub fn permute_many(
        &mut self,
        instance: Instance,
        width: usize,
        states: &[Fr],
    ) -> Result<Vec<Fr>, HashError> {
        // The CPU's own check, on no states.
        instance.permute_many(width, &mut [])?;
        let which = supported(instance, width)?;
        if !states.len().is_multiple_of(width) {
            let (least, most) = instance.widths();
            return Err(InputError::Width {
                instance,
                given: states.len(),
                width,
                least,
                most,
            }
            .into());
        }
        self.run(which, width, states)
    }

    /// The compression of each pair, as [`Instance::compress_many`].
    ///
    /// # Errors
    /// [`HashError`] if the device failed.
    pub fn compress_many(
        &mut self,
        instance: Instance,
        pairs: &[[Fr; 2]],
    ) -> Result<Vec<Fr>, HashError> {
        match instance {
            Instance::Circom => {
                let states: Vec<Fr> = pairs
                    .iter()
                    .flat_map(|[left, right]| [Fr::ZERO, *left, *right])
                    .collect();
                self.run(Permutation::Poseidon(3), 1, &states)
            }
            Instance::Poseidon2 => {
                let states: Vec<Fr> = pairs
                    .iter()
                    .flat_map(|[left, right]| [*left, *right, Fr::ZERO])
                    .collect();
                self.run(Permutation::Poseidon2, 1, &states)
            }
            Instance::Gnark => {
                let states = self.run(Permutation::Gnark, 2, pairs.as_flattened())?;
                let words = states.iter().skip(1).step_by(2);
                Ok(words
                    .zip(pairs)
                    .map(|(word, [_, right])| *word + *right)
                    .collect())
            }
        }
    }

    /// The root over a power of two of leaves, as [`Instance::merkle_root`].
    ///
    /// # Errors
    /// [`HashError`] for any other number of leaves, and if the device failed.
    pub fn merkle_root(&mut self, instance: Instance, leaves: &[Fr]) -> Result<Fr, HashError> {
        if !leaves.len().is_power_of_two() {
            return Err(InputError::Leaves {
                given: leaves.len(),
            }
            .into());
        }
        let mut nodes = leaves.to_vec();
        while nodes.len() > 1 {
            let (pairs, _) = nodes.as_chunks::<2>();
            nodes = self.compress_many(instance, pairs)?;
        }
        Ok(nodes.first().copied().unwrap_or_default())
    }

    /// The first `rows` words of each state's permutation.
    fn run(
        &mut self,
        which: Permutation,
        rows: usize,
        states: &[Fr],
    ) -> Result<Vec<Fr>, HashError> {
        let mut out = Vec::with_capacity(states.len() / which.width() * rows);
        for states in states.chunks(self.max_batch * which.width()) {
            let submitted = self.submit(which, rows, states);
            match submitted
                .and_then(|submission| self.collect(submission, rows, states.len() / which.width()))
            {
                Ok(results) => out.extend(results),
                Err(error) => {
                    // A failed batch leaves nothing mapped or half done behind.
                    self.buffers = None;
                    return Err(error);
                }
            }
        }
        Ok(out)
    }

    fn submit(
        &mut self,
        which: Permutation,
        rows: usize,
        states: &[Fr],
    ) -> Result<wgpu::SubmissionIndex, HashError> {
        self.compile(which)?;
        let count = states.len() / which.width();
        let words: Vec<u64> = states
            .iter()
            .flat_map(|element| element.montgomery())
            .collect();
        let result_bytes = 4 * (count * (8 * rows + 1)) as u64;
        let buffers = self.allocate(words.len() as u64 * 8, result_bytes)?;
        let buffers = self.buffers.insert(buffers);
        let Some((_, program)) = self
            .programs
            .iter()
            .find(|(compiled, _)| *compiled == which)
        else {
            return Err(unfinished(&self.device, count, count));
        };
        let device = &self.device;
        let batch = [count as u32, rows as u32, u32::from(self.tuning.reverse), 0];
        let submission = device.scoped(|| {
            let queue = device.queue();
            queue.write_buffer(&buffers.batch, 0, bytemuck::cast_slice(&batch));
            queue.write_buffer(&buffers.states, 0, bytemuck::cast_slice(&words));
            let all = [
                &buffers.batch,
                &program.constants,
                &buffers.states,
                &buffers.results,
            ];
            let entries: Vec<_> = (0..)
                .zip(all)
                .map(|(binding, buffer)| wgpu::BindGroupEntry {
                    binding,
                    resource: buffer.as_entire_binding(),
                })
                .collect();
            let bind_group = device.raw().create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("poseidon"),
                layout: &self.layout,
                entries: &entries,
            });
            let mut encoder = device.raw().create_command_encoder(&Default::default());
            encoder.clear_buffer(&buffers.results, 0, Some(result_bytes));
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&program.pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            // Within the limit of a dispatch because `max_batch` is.
            pass.dispatch_workgroups((count as u32).div_ceil(self.tuning.threads), 1, 1);
            drop(pass);
            encoder.copy_buffer_to_buffer(&buffers.results, 0, &buffers.readback, 0, result_bytes);
            queue.submit([encoder.finish()])
        })?;
        Ok(submission)
    }

    fn collect(
        &self,
        submission: wgpu::SubmissionIndex,
        rows: usize,
        count: usize,
    ) -> Result<Vec<Fr>, HashError> {
        let Some(buffers) = &self.buffers else {
            return Err(unfinished(&self.device, count, count));
        };
        let stride = 4 * (8 * rows + 1);
        let device = &self.device;
        let mapping = device.scoped(|| device.map(&buffers.readback, wgpu::MapMode::Read))?;
        device.wait(submission)?;
        device.mapped(&mapping)?;
        let bytes = buffers
            .readback
            .slice(..(count * stride) as u64)
            .get_mapped_range()
            .map(|view| view.to_vec())
            .map_err(|error| device.rejected(&error))?;
        buffers.readback.unmap();
        let mut out = Vec::with_capacity(count * rows);
        let mut missing = 0;
        for state in bytes.chunks_exact(stride) {
            let (words, mark) = state.split_at(32 * rows);
            let before = out.len();
            if mark == shaders::DONE.to_le_bytes() {
                out.extend(words.chunks_exact(32).map_while(element));
            }
            missing += usize::from(out.len() != before + rows);
        }
        if missing > 0 || out.len() != count * rows {
            return Err(unfinished(&self.device, missing, count));
        }
        Ok(out)
    }

    /// Compiles a permutation unless it is there.
    fn compile(&mut self, which: Permutation) -> Result<(), HashError> {
        if self.programs.iter().any(|(compiled, _)| *compiled == which) {
            return Ok(());
        }
        let form = if self.tuning.wide {
            Form::Wide
        } else {
            Form::Narrow
        };
        let Some(program) = shaders::program(which, form) else {
            return Err(unfinished(&self.device, 0, 0));
        };
        let module = self
            .device
            .shader("poseidon", program.source, self.tuning.checks)?;
        let threads = [("THREADS", f64::from(self.tuning.threads))];
        let compiled = self.device.scoped(|| {
            let raw = self.device.raw();
            let pipeline_layout = raw.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some("poseidon"),
                bind_group_layouts: &[Some(&self.layout)],
                ..Default::default()
            });
            let pipeline = raw.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some("poseidon"),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("permute"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &threads,
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            });
            let bytes = bytemuck::cast_slice(&program.constants);
            let constants = raw.create_buffer(&wgpu::BufferDescriptor {
                label: Some("poseidon constants"),
                size: bytes.len() as u64,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            self.device.queue().write_buffer(&constants, 0, bytes);
            Program {
                pipeline,
                constants,
            }
        })?;
        self.programs.push((which, compiled));
        Ok(())
    }

    /// The kept buffers if they are large enough, else new ones: powers of two, so that slowly growing batches do not allocate each time.
    fn allocate(&mut self, states: u64, results: u64) -> Result<Buffers, HashError> {
        if let Some(buffers) = self.buffers.take()
            && buffers.states.size() >= states
            && buffers.results.size() >= results
        {
            return Ok(buffers);
        }
        use wgpu::BufferUsages as Usage;
        let limits = self.device.raw().limits();
        let most = limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size);
        let make = |label, size: u64, usage| {
            self.device.raw().create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: size.next_power_of_two().clamp(256, most.max(256)).max(size),
                usage,
                mapped_at_creation: false,
            })
        };
        Ok(self.device.scoped(|| Buffers {
            batch: make("poseidon batch", 16, Usage::UNIFORM | Usage::COPY_DST),
            states: make("poseidon states", states, Usage::STORAGE | Usage::COPY_DST),
            results: make(
                "poseidon results",
                results,
                Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC,
            ),
            readback: make(
                "poseidon readback",
                results,
                Usage::MAP_READ | Usage::COPY_DST,
            ),
        })?)
    }
}

/// The permutation of an instance, if it has a shader.
fn supported(instance: Instance, width: usize) -> Result<Permutation, HashError> {
    match instance {
        Instance::Circom if CIRCOM_WIDTHS.contains(&width) => Ok(Permutation::Poseidon(width)),
        Instance::Circom => Err(HashError::Unsupported { instance, width }),
        Instance::Poseidon2 => Ok(Permutation::Poseidon2),
        Instance::Gnark => Ok(Permutation::Gnark),
    }
}

fn unfinished(device: &Device, missing: usize, states: usize) -> HashError {
    HashError::Unfinished {
        adapter: device.info().name.clone(),
        missing,
        states,
    }
}

/// The element in eight little-endian words of Montgomery form, if it is one.
fn element(bytes: &[u8]) -> Option<Fr> {
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
        *limb = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    Element::try_from_montgomery(limbs)
}
