//! Buffers of submissions, kept for those that follow.

use super::buffer::Buffer;
use super::device::{Device, GpuError};
use wgpu::BufferUsages as Usage;

/// Buffers of one submission.
#[derive(Debug)]
pub(crate) struct Slot<const N: usize> {
    pub(crate) buffers: [Buffer; N],
    /// As large as the last of the buffers, which holds the results.
    pub(crate) readback: Buffer,
}

impl<const N: usize> Slot<N> {
    fn holds(&self, sizes: &[u64; N]) -> bool {
        let mut each = self.buffers.iter().zip(sizes);
        each.all(|(buffer, size)| buffer.size() >= *size)
    }
}

/// Slots that are not in use.
#[derive(Debug)]
pub(crate) struct Slots<const N: usize> {
    label: &'static str,
    usages: [Usage; N],
    kept: usize,
    free: Vec<Slot<N>>,
}

impl<const N: usize> Slots<N> {
    /// No slots yet. Of those that come back so many are kept.
    pub(crate) fn new(label: &'static str, kept: usize, usages: [Usage; N]) -> Self {
        Self {
            label,
            usages,
            kept,
            free: Vec::new(),
        }
    }

    /// A slot whose buffers have these sizes at least.
    pub(crate) fn take(&mut self, device: &Device, sizes: [u64; N]) -> Result<Slot<N>, GpuError> {
        if let Some(at) = self.free.iter().position(|slot| slot.holds(&sizes)) {
            return Ok(self.free.swap_remove(at));
        }
        // The new one replaces one that is too small.
        self.free.pop();
        device.scoped(|| {
            let mut usages = self.usages.iter();
            let buffers = sizes.map(|size| {
                let usage = usages.next().copied().unwrap_or(Usage::empty());
                device.buffer(self.label, device.rounded(size), usage)
            });
            let results = buffers.last().map_or(0, |last| last.size());
            let usage = Usage::MAP_READ | Usage::COPY_DST;
            Slot {
                buffers,
                readback: device.buffer(self.label, results, usage),
            }
        })
    }

    /// The slot that came back last.
    #[cfg(test)]
    pub(crate) fn last(&self) -> Option<&Slot<N>> {
        self.free.last()
    }

    /// Takes back a slot whose submission has ended.
    pub(crate) fn give(&mut self, slot: Slot<N>) {
        if self.free.len() < self.kept {
            self.free.push(slot);
        }
    }
}
