//! Buffers of submissions.

use crate::gpu::{Buffer, Device, GpuError};
use wgpu::BufferUsages as Usage;

/// Bytes of a uniform's place: what every device lets a dynamic offset be a multiple of.
pub(super) const UNIFORM_STRIDE: u64 = 256;

/// Buffers of one submission.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) batch: Buffer,
    pub(super) states: Buffer,
    pub(super) places: Buffer,
    pub(super) results: Buffer,
    pub(super) readback: Buffer,
}

/// Bytes that a submission needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    pub(super) states: u64,
    pub(super) places: u64,
    pub(super) results: u64,
}

impl Slot {
    fn holds(&self, need: Need) -> bool {
        self.states.size() >= need.states
            && self.places.size() >= need.places
            && self.results.size() >= need.results
    }
}

/// Slots that are not in use.
#[derive(Debug, Default)]
pub(super) struct Slots {
    free: Vec<Slot>,
}

impl Slots {
    /// Most slots that are kept.
    const KEPT: usize = 3;

    /// A slot of at least that size: sizes are powers of two, so that slowly growing batches do not allocate each time.
    pub(super) fn take(&mut self, device: &Device, need: Need) -> Result<Slot, GpuError> {
        if let Some(at) = self.free.iter().position(|slot| slot.holds(need)) {
            return Ok(self.free.swap_remove(at));
        }
        // The new one replaces one that is too small.
        self.free.pop();
        let most = largest_binding(device);
        let round = |size: u64| size.next_power_of_two().clamp(256, most.max(256)).max(size);
        device.scoped(|| Slot {
            batch: device.buffer(
                "poseidon batch",
                UNIFORM_STRIDE,
                Usage::UNIFORM | Usage::COPY_DST,
            ),
            states: device.buffer(
                "poseidon states",
                round(need.states),
                Usage::STORAGE | Usage::COPY_DST,
            ),
            places: device.buffer(
                "poseidon places",
                round(need.places),
                Usage::STORAGE | Usage::COPY_DST,
            ),
            results: device.buffer(
                "poseidon results",
                round(need.results),
                Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC,
            ),
            readback: device.buffer(
                "poseidon readback",
                round(need.results),
                Usage::MAP_READ | Usage::COPY_DST,
            ),
        })
    }

    /// Takes back a slot whose submission has ended.
    pub(super) fn give(&mut self, slot: Slot) {
        if self.free.len() < Self::KEPT {
            self.free.push(slot);
        }
    }
}

/// Most bytes of a buffer that a shader reads.
pub(super) fn largest_binding(device: &Device) -> u64 {
    let limits = device.raw().limits();
    limits
        .max_storage_buffer_binding_size
        .min(limits.max_buffer_size)
}
