//! A device with the kernels compiled on it, and submissions to it.

use super::Tuning;
use super::base::BASE;
use super::challenge::sha512_words;
use super::field::limbs;
use super::launch::{Launch, Stored};
use super::program::Program;
use super::shaders::{self, Batch, Kernel, Places, point_words};
use super::slots::{LABEL, Need, Slot, Slots, UNIFORM_STRIDE, largest_binding};
use crate::field::wgsl::Form;
use crate::gpu::{Buffer, Device, GpuError};
use crate::keccak::wgsl as keccak;

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
    slots: Slots,
}

/// A submission on its way.
#[derive(Debug)]
pub(super) struct Flight {
    slot: Slot,
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
        let entry = |binding: u32| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: match binding {
                    0 => wgpu::BufferBindingType::Uniform,
                    1 | 2 => wgpu::BufferBindingType::Storage { read_only: true },
                    _ => wgpu::BufferBindingType::Storage { read_only: false },
                },
                has_dynamic_offset: binding == 0,
                min_binding_size: None,
            },
            count: None,
        };
        let (layout, constants) = device.scoped(|| {
            let layout = device
                .raw()
                .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                    label: Some("edwards25519"),
                    entries: &[0, 1, 2, 3, 4].map(entry),
                });
            let bytes = bytemuck::cast_slice(&constants);
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
            let buffer = device.buffer(LABEL, bytes.len() as u64, usage);
            device.queue().write_buffer(&buffer, 0, bytes);
            (layout, buffer)
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
            slots: Slots::default(),
        };
        Ok((machine, stored))
    }

    /// An empty submission.
    pub(super) fn launch(&self) -> Launch {
        Launch::new(self.form)
    }

    /// Most points that a submission has memory for.
    pub(super) fn max_points(&self) -> usize {
        let bytes = largest_binding(&self.device).min(self.tuning.max_bytes);
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
        let need = Need {
            batches: (batches.len() as u64).max(UNIFORM_STRIDE),
            input: 4 * launch.input.len() as u64,
            arena: 4 * u64::from(launch.arena),
            results,
        };
        let slot = self.slots.take(&self.device, need)?;
        let device = &self.device;
        let submission = device.scoped(|| {
            let queue = device.queue();
            queue.write_buffer(&slot.batches, 0, &batches);
            queue.write_buffer(&slot.input, 0, bytemuck::cast_slice(&launch.input));
            let group = self.bind(&slot);
            let mut encoder = device.raw().create_command_encoder(&Default::default());
            encoder.clear_buffer(&slot.results, 0, Some(results));
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
            encoder.copy_buffer_to_buffer(&slot.results, 0, &slot.readback, 0, results);
            queue.submit([encoder.finish()])
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
        let device = &self.device;
        let mapping = device.scoped(|| device.map(&slot.readback, wgpu::MapMode::Read))?;
        device.wait(submission)?;
        device.mapped(&mapping)?;
        let found = slot
            .readback
            .slice(..results)
            .get_mapped_range()
            .map(|view| bytemuck::pod_collect_to_vec(&view))
            .map_err(|error| device.rejected(&error))?;
        slot.readback.unmap();
        self.slots.give(slot);
        Ok(found)
    }

    fn bind(&self, slot: &Slot) -> wgpu::BindGroup {
        let uniform = wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &slot.batches,
                offset: 0,
                size: std::num::NonZeroU64::new(size_of::<Batch>() as u64),
            }),
        };
        let storage = [&self.constants, &slot.input, &slot.arena, &slot.results];
        let others = (1..)
            .zip(storage)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            });
        let entries: Vec<_> = std::iter::once(uniform).chain(others).collect();
        self.device
            .raw()
            .create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("edwards25519"),
                layout: &self.layout,
                entries: &entries,
            })
    }

    /// A kernel, compiled unless it is there.
    fn kernel(&mut self, kernel: Kernel) -> Result<wgpu::ComputePipeline, GpuError> {
        if let Some((_, pipeline)) = self.kernels.iter().find(|(known, _)| *known == kernel) {
            return Ok(pipeline.clone());
        }
        let source = shaders::source(kernel, self.form, &self.places);
        let device = &self.device;
        let module = device.shader("edwards25519", source, self.tuning.checks)?;
        let threads = [("THREADS", f64::from(self.tuning.threads))];
        let pipeline = device.scoped(|| {
            let raw = device.raw();
            let layout = raw.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some("edwards25519"),
                bind_group_layouts: &[Some(&self.layout)],
                ..Default::default()
            });
            raw.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some("edwards25519"),
                layout: Some(&layout),
                module: &module,
                entry_point: Some(kernel.entry()),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &threads,
                    zero_initialize_workgroup_memory: false,
                },
                cache: device.pipeline_cache(),
            })
        })?;
        self.kernels.push((kernel, pipeline.clone()));
        Ok(pipeline)
    }
}
