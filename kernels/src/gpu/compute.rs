//! Buffers, bindings and pipelines as the shaders of this crate lay them out: binding 0 is a uniform with a dynamic offset, all others
//! are storage, and `THREADS` is the size of a workgroup. What creates an object belongs in a [`Device::scoped`].

use super::buffer::Buffer;
use super::device::{Device, GpuError};
use wgpu::BufferUsages as Usage;

/// Bytes of a uniform's place: what every device lets a dynamic offset be a multiple of.
pub(crate) const UNIFORM_STRIDE: u64 = 256;

impl Device {
    /// Most bytes of a buffer that a shader reads.
    pub(crate) fn largest_binding(&self) -> u64 {
        let limits = self.raw().limits();
        limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size)
    }

    /// The size of a buffer for so many bytes: a power of two, so that slowly growing batches do not allocate each time.
    pub(crate) fn rounded(&self, size: u64) -> u64 {
        let most = self.largest_binding().max(256);
        size.next_power_of_two().clamp(256, most).max(size)
    }

    /// A buffer of 256 bytes at least that begins with these.
    pub(crate) fn filled(&self, label: &str, bytes: &[u8], usage: Usage) -> Buffer {
        let size = (bytes.len() as u64).max(256);
        let made = self.buffer(label, size, usage | Usage::COPY_DST);
        self.queue().write_buffer(&made, 0, bytes);
        made
    }

    /// The bindings of shaders: the uniform, and storage that they write where `written` says so.
    pub(crate) fn layout<const N: usize>(
        &self,
        label: &str,
        written: [bool; N],
    ) -> wgpu::BindGroupLayout {
        let storage = written.map(|written| wgpu::BufferBindingType::Storage {
            read_only: !written,
        });
        let entries: Vec<_> = (0..)
            .zip(std::iter::once(wgpu::BufferBindingType::Uniform).chain(storage))
            .map(|(binding, ty)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty,
                    has_dynamic_offset: binding == 0,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        self.raw()
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(label),
                entries: &entries,
            })
    }

    /// Binds a uniform `U`, whose place comes with the dispatch, and whole buffers.
    pub(crate) fn bind<U>(
        &self,
        label: &str,
        layout: &wgpu::BindGroupLayout,
        uniform: &Buffer,
        storage: &[&Buffer],
    ) -> wgpu::BindGroup {
        let uniform = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: uniform,
            offset: 0,
            size: std::num::NonZeroU64::new(size_of::<U>() as u64),
        });
        let storage = storage.iter().map(|buffer| buffer.as_entire_binding());
        let entries: Vec<_> = (0..)
            .zip(std::iter::once(uniform).chain(storage))
            .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        self.raw().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(label),
            layout,
            entries: &entries,
        })
    }

    /// Compiles an entry point for workgroups of so many threads. No workgroup memory is taken to be zero.
    pub(crate) fn pipeline(
        &self,
        label: &str,
        layout: &wgpu::BindGroupLayout,
        module: &wgpu::ShaderModule,
        entry: &str,
        threads: u32,
    ) -> wgpu::ComputePipeline {
        let layout = self
            .raw()
            .create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(label),
                bind_group_layouts: &[Some(layout)],
                ..Default::default()
            });
        self.raw()
            .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(label),
                layout: Some(&layout),
                module,
                entry_point: Some(entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &[("THREADS", f64::from(threads))],
                    zero_initialize_workgroup_memory: false,
                },
                cache: self.pipeline_cache(),
            })
    }

    /// The first bytes of a buffer, after the submission that fills it. Waits at most the device's time limit.
    pub(crate) fn read(
        &self,
        buffer: &Buffer,
        submission: wgpu::SubmissionIndex,
        bytes: u64,
    ) -> Result<Vec<u8>, GpuError> {
        let mapping = self.scoped(|| self.map(buffer, wgpu::MapMode::Read))?;
        self.wait(submission)?;
        self.mapped(&mapping)?;
        let found = buffer
            .slice(..bytes)
            .get_mapped_range()
            .map(|view| view.to_vec())
            .map_err(|error| self.rejected(&error))?;
        buffer.unmap();
        Ok(found)
    }
}
