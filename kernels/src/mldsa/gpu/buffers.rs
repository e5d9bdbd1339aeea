//! Device memory of a verifier: scratch that all submissions share, and a slot for each submission in flight.

use super::{
    layout::{BATCH_STRIDE_MIN, JobEntry, Packed},
    upload::Uploads,
};
use crate::{
    gpu::{Buffer, Device, GpuError},
    mldsa::job::VerifyJob,
};
use wgpu::BufferUsages as Usage;

/// Memory that only the kernels use; clones share it. Submissions run one after another, so one is enough.
#[derive(Clone, Debug)]
pub(super) struct Scratch {
    pub transformed: Buffer,
    pub notes: Buffer,
    /// Grows with each allocation: bind groups of an older one are made again.
    version: u64,
}

impl Scratch {
    /// At least as large as the one it replaces.
    pub fn new(
        device: &Device,
        old: Option<Self>,
        transformed: u64,
        notes: u64,
    ) -> Result<Self, GpuError> {
        let (had_transformed, had_notes, version) = old.map_or((0, 0, 0), |old| {
            (old.transformed.size(), old.notes.size(), old.version)
        });
        let storage = Usage::STORAGE | Usage::COPY_DST;
        device.scoped(|| Self {
            transformed: device.buffer(
                "mldsa transformed",
                transformed.max(had_transformed),
                storage,
            ),
            notes: device.buffer("mldsa notes", notes.max(had_notes), storage),
            version: version + 1,
        })
    }

    pub fn holds(&self, transformed: u64, notes: u64) -> bool {
        self.transformed.size() >= transformed && self.notes.size() >= notes
    }
}

/// What a bind group is made of beside a slot's own buffers.
#[derive(Debug)]
pub(super) struct Bindings<'a> {
    pub layout: &'a wgpu::BindGroupLayout,
    pub constants: &'a Buffer,
    pub store: &'a Buffer,
    pub scratch: &'a Scratch,
    /// Bytes of the uniforms of all parts of a batch.
    pub batches: u64,
}

/// Buffers of one submission. `staging` is mapped while the slot is idle.
#[derive(Debug)]
pub(super) struct Slot {
    /// Input as the host writes it: uniforms, entries, words.
    pub staging: Buffer,
    batches: Buffer,
    entries: Buffer,
    words: Buffer,
    pub verdicts: Buffer,
    pub readback: Buffer,
    pub bind_group: wgpu::BindGroup,
    version: u64,
}

impl Slot {
    /// At least as large as the one it replaces.
    pub fn new(
        device: &Device,
        bindings: &Bindings<'_>,
        old: Option<Self>,
        words: u64,
        verdicts: u64,
    ) -> Result<Self, GpuError> {
        let (had_words, had_verdicts) =
            old.map_or((0, 0), |old| (old.words.size(), old.verdicts.size()));
        let (words, verdicts) = (words.max(had_words), verdicts.max(had_verdicts));
        // A job has an entry and may bring a key in, which has another.
        let entries = verdicts / 4 * 2 * size_of::<JobEntry>() as u64;
        let storage = Usage::STORAGE | Usage::COPY_DST;
        device.scoped(|| {
            let staging = device.mapped_buffer(
                "mldsa staging",
                bindings.batches + entries + words,
                Usage::MAP_WRITE | Usage::COPY_SRC,
            );
            let uniform = Usage::UNIFORM | Usage::COPY_DST;
            let batches = device.buffer("mldsa batches", bindings.batches, uniform);
            let entries = device.buffer("mldsa jobs", entries, storage);
            let words = device.buffer("mldsa words", words, storage);
            let readable = storage | Usage::COPY_SRC;
            let verdicts = device.buffer("mldsa verdicts", verdicts, readable);
            let mapped = Usage::MAP_READ | Usage::COPY_DST;
            let readback = device.buffer("mldsa readback", verdicts.size(), mapped);
            let own = [&batches, &entries, &words, &verdicts];
            Self {
                bind_group: bind(device, bindings, own),
                staging,
                batches,
                entries,
                words,
                verdicts,
                readback,
                version: bindings.scratch.version,
            }
        })
    }

    pub fn holds(&self, words: u64, verdicts: u64) -> bool {
        self.words.size() >= words && self.verdicts.size() >= verdicts
    }

    /// Bytes of all its buffers.
    #[cfg(test)]
    pub fn size(&self) -> u64 {
        let buffers = [&self.staging, &self.batches, &self.entries, &self.words];
        let more = [&self.verdicts, &self.readback];
        buffers
            .into_iter()
            .chain(more)
            .map(|buffer| buffer.size())
            .sum()
    }

    /// The slot with a bind group of today's scratch.
    pub fn rebound(mut self, device: &Device, bindings: &Bindings<'_>) -> Result<Self, GpuError> {
        if self.version != bindings.scratch.version {
            let own = [&self.batches, &self.entries, &self.words, &self.verdicts];
            self.bind_group = device.scoped(|| bind(device, bindings, own))?;
            self.version = bindings.scratch.version;
        }
        Ok(self)
    }

    /// Writes a planned batch to `staging`, each byte once, and gives that to the device.
    pub fn write(
        &self,
        device: &Device,
        packed: &Packed,
        jobs: &[&VerifyJob],
        stride: u64,
        uploads: &Uploads,
    ) -> Result<(), GpuError> {
        device.scoped(|| {
            let first_word = self.batches.size() + self.entries.size();
            let mut view = self
                .staging
                .get_mapped_range_mut(..first_word)
                .map_err(|error| device.rejected(&error))?;
            let mut put = |start: usize, bytes: &[u8]| {
                // Within the view: a slot is made for the sizes that were planned.
                view.slice(start..start + bytes.len())
                    .copy_from_slice(bytes);
            };
            for (at, part) in (0..).step_by(stride as usize).zip(&packed.parts) {
                put(at, bytemuck::bytes_of(&part.batch));
            }
            put(
                self.batches.size() as usize,
                bytemuck::cast_slice(&packed.entries),
            );
            drop(view);
            let complete = uploads
                .copy(packed, jobs, &self.staging, first_word)
                .map_err(|error| device.rejected(&error))?;
            self.staging.unmap();
            if complete {
                Ok(())
            } else {
                Err(device.rejected(&"a share of the batch was not written: write every part"))
            }
        })?
    }

    /// The copies from `staging` to where the kernels read.
    pub fn encode_upload(&self, encoder: &mut wgpu::CommandEncoder, packed: &Packed) {
        let sizes = [
            (&self.batches, self.batches.size()),
            (&self.entries, size_of_val(packed.entries.as_slice()) as u64),
            (&self.words, packed.words as u64 * 4),
        ];
        let mut at = 0;
        for (buffer, bytes) in sizes {
            encoder.copy_buffer_to_buffer(&self.staging, at, buffer, 0, bytes);
            at += buffer.size();
        }
    }
}

/// The bind group of a slot: its uniforms, entries, words and verdicts, and what it shares.
fn bind(device: &Device, bindings: &Bindings<'_>, own: [&Buffer; 4]) -> wgpu::BindGroup {
    let [batches, entries, words, verdicts] = own;
    let window = wgpu::BufferBinding {
        buffer: batches,
        offset: 0,
        size: std::num::NonZeroU64::new(BATCH_STRIDE_MIN),
    };
    let whole = [
        bindings.constants,
        words,
        entries,
        bindings.store,
        &bindings.scratch.transformed,
        &bindings.scratch.notes,
        verdicts,
    ];
    let resources = std::iter::once(wgpu::BindingResource::Buffer(window))
        .chain(whole.into_iter().map(|buffer| buffer.as_entire_binding()));
    let entries: Vec<_> = (0..)
        .zip(resources)
        .map(|(binding, resource)| wgpu::BindGroupEntry { binding, resource })
        .collect();
    device.raw().create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("mldsa"),
        layout: bindings.layout,
        entries: &entries,
    })
}

/// The one bind group layout of all kernels.
pub(super) fn layout(device: &Device) -> Result<wgpu::BindGroupLayout, GpuError> {
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
    device.scoped(|| {
        device
            .raw()
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some("mldsa"),
                entries: &std::array::from_fn::<_, 8, _>(|i| entry(i as u32)),
            })
    })
}

/// A read-only storage buffer that holds `bytes`.
pub(super) fn buffer_with(device: &Device, label: &str, bytes: &[u8]) -> Result<Buffer, GpuError> {
    device.scoped(|| {
        let usage = Usage::STORAGE | Usage::COPY_DST;
        let buffer = device.buffer(label, bytes.len() as u64, usage);
        device.queue().write_buffer(&buffer, 0, bytes);
        buffer
    })
}
