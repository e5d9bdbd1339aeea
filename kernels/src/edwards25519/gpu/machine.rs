//! A device with the kernels compiled on it, and submissions to it.

use super::Tuning;
use super::base::BASE;
use super::challenge::sha512_words;
use super::field::limbs;
use super::launch::{Launch, Stored};
use super::program::Program;
use super::shaders::{self, Batch, Kernel, Places, point_words};
use crate::field::wgsl::Form;
use crate::gpu::{Buffer, Device, GpuError, Slot, Slots, UNIFORM_STRIDE};
use crate::keccak::wgsl as keccak;
use wgpu::BufferUsages as Usage;

/// What shaders of this module are called.
const LABEL: &str = "edwards25519";
/// Slots that are kept.
const SLOTS: usize = 2;

/// A device with kernels that are compiled when first asked for; buffers are kept between submissions.
#[derive(Debug)]
pub(super) struct Machine {
    device: Device,
    tuning: Tuning,
    form: Form,
    places: Places,
    layout: wgpu::BindGroupLayout,
    constants: Buffer,
    kernels: Vec<(Kernel, wgpu::ComputePipeline)>,
    /// Uniforms, input, arena, results.
    slots: Slots<4>,
}

/// A submission on its way.
#[derive(Debug)]
pub(super) struct Flight {
    slot: Slot<4>,
    submission: wgpu::SubmissionIndex,
    results: u64,
}

impl Machine {
    /// Prepares a device, and puts programs among its constants.
    pub(super) fn new(
        device: &Device,
        tuning: Tuning,
        programs: &[Program],
    ) -> Result<(Self, Vec<Stored>), GpuError> {
        let form = if tuning.wide && device.has_int64() {
            Form::Wide
        } else {
            Form::Narrow
        };
        // Pairs first, so that they are at even addresses.
        let mut constants: Vec<u32> = keccak::round_constant_words().flatten().collect();
        let sha512 = constants.len() / 2;
        // Low and high word.
        constants.extend(sha512_words().flat_map(|word| [word as u32, (word >> 32) as u32]));
        let chain = constants.len();
        constants.extend(shaders::chain_words());
        let base = constants.len();
        for point in BASE.iter() {
            for element in point {
                constants.extend(limbs(form, *element));
            }
        }
        let mut stored = Vec::with_capacity(programs.len());
        for program in programs {
            // Some ten thousand words.
            stored.push(Stored::new(constants.len() as u32, program));
            constants.extend(program.words());
        }
        let (layout, constants) = device.scoped(|| {
            let bytes = bytemuck::cast_slice(&constants);
            (
                device.layout(LABEL, [false, false, true, true]),
                device.filled(LABEL, bytes, Usage::STORAGE),
            )
        })?;
        let machine = Self {
            device: device.clone(),
            tuning,
            form,
            places: Places {
                chain,
                base,
                keccak: 0,
                sha512,
            },
            layout,
            constants,
            kernels: Vec::new(),
            slots: Slots::new(
                LABEL,
                SLOTS,
                [
                    Usage::UNIFORM | Usage::COPY_DST,
                    Usage::STORAGE | Usage::COPY_DST,
                    // Copied by tests.
                    Usage::STORAGE | Usage::COPY_SRC,
                    Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC,
                ],
            ),
        };
        Ok((machine, stored))
    }

    /// An empty submission.
    pub(super) fn launch(&self) -> Launch {
        Launch::new(self.form)
    }

    /// Most points that a submission has memory for.
    pub(super) fn max_points(&self) -> usize {
        let bytes = self.device.largest_binding().min(self.tuning.max_bytes);
        usize::try_from(bytes / u64::from(4 * point_words(self.form))).unwrap_or(usize::MAX)
    }

    /// Most tasks of a stage.
    pub(super) fn max_tasks(&self) -> usize {
        let groups = self
            .device
            .raw()
            .limits()
            .max_compute_workgroups_per_dimension;
        (groups as usize).saturating_mul(self.tuning.threads as usize)
    }

    /// Sends a submission off. A slot whose submission fails is dropped.
    pub(super) fn submit(&mut self, mut launch: Launch) -> Result<Flight, GpuError> {
        launch.stages.retain(|stage| stage.count > 0);
        let mut batches = Vec::new();
        let mut pipelines = Vec::new();
        for stage in &launch.stages {
            pipelines.push(self.kernel(stage.kernel)?);
            let batch = Batch {
                count: stage.count,
                // Less than 2^31, as a submission is.
                tasks: launch.input.len() as u32,
                reverse: u32::from(self.tuning.reverse),
                unused: 0,
            };
            launch.input.extend(&stage.tasks);
            batches.extend_from_slice(bytemuck::bytes_of(&batch));
            batches.resize(batches.len().next_multiple_of(UNIFORM_STRIDE as usize), 0);
        }
        let results = 4 * u64::from(launch.results.max(1));
        let sizes = [
            (batches.len() as u64).max(UNIFORM_STRIDE),
            4 * launch.input.len() as u64,
            4 * u64::from(launch.arena),
            results,
        ];
        let slot = self.slots.take(&self.device, sizes)?;
        let device = &self.device;
        let submission = device.scoped(|| {
            let queue = device.queue();
            let [uniforms, input, arena, out] = &slot.buffers;
            queue.write_buffer(uniforms, 0, &batches);
            queue.write_buffer(input, 0, bytemuck::cast_slice(&launch.input));
            let storage = [&self.constants, input, arena, out];
            let group = device.bind::<Batch>(LABEL, &self.layout, uniforms, &storage);
            let mut encoder = device.raw().create_command_encoder(&Default::default());
            encoder.clear_buffer(out, 0, Some(results));
            let mut pass = encoder.begin_compute_pass(&Default::default());
            let mut offset = 0;
            for (stage, pipeline) in launch.stages.iter().zip(&pipelines) {
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, &group, &[offset]);
                // Within the limit of a dispatch because the cutting is.
                pass.dispatch_workgroups(stage.count.div_ceil(self.tuning.threads), 1, 1);
                offset += UNIFORM_STRIDE as u32;
            }
            drop(pass);
            encoder.copy_buffer_to_buffer(out, 0, &slot.readback, 0, results);
            device.submit(encoder.finish())
        })?;
        Ok(Flight {
            slot,
            submission,
            results,
        })
    }

    /// Waits for a submission and gives its results.
    pub(super) fn collect(&mut self, flight: Flight) -> Result<Vec<u32>, GpuError> {
        let Flight {
            slot,
            submission,
            results,
        } = flight;
        let bytes = self.device.read(&slot.readback, submission, results)?;
        self.slots.give(slot);
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// What the submission that was collected last left in the arena.
    #[cfg(test)]
    pub(super) fn arena(&self) -> Vec<u32> {
        let device = &self.device;
        let [_, _, arena, _] = &self.slots.last().unwrap().buffers;
        let (readback, submission) = device
            .scoped(|| {
                let usage = Usage::MAP_READ | Usage::COPY_DST;
                let readback = device.buffer(LABEL, arena.size(), usage);
                let mut encoder = device.raw().create_command_encoder(&Default::default());
                encoder.copy_buffer_to_buffer(arena, 0, &readback, 0, arena.size());
                (readback, device.submit(encoder.finish()))
            })
            .unwrap();
        let bytes = device.read(&readback, submission, arena.size()).unwrap();
        bytemuck::pod_collect_to_vec(&bytes)
    }

    /// A kernel, compiled unless it is there.
    fn kernel(&mut self, kernel: Kernel) -> Result<wgpu::ComputePipeline, GpuError> {
        if let Some((_, pipeline)) = self.kernels.iter().find(|(known, _)| *known == kernel) {
            return Ok(pipeline.clone());
        }
        let source = shaders::source(kernel, self.form, &self.places);
        let device = &self.device;
        let module = device.shader(LABEL, source, self.tuning.checks)?;
        let pipeline = device.scoped(|| {
            let threads = self.tuning.threads;
            device.pipeline(LABEL, &self.layout, &module, kernel.entry(), threads)
        })?;
        self.kernels.push((kernel, pipeline.clone()));
        Ok(pipeline)
    }
}
