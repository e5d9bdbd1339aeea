//! Buffers and submissions, and what of them goes through one handle of a device.

use super::Device;
use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use wgpu::BufferUsages as Usage;

/// What was made and sent off through one handle of a device and its clones.
#[derive(Clone, Debug, Default)]
pub(super) struct Account(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Of the buffers that are held.
    bytes: AtomicU64,
    /// The last submission.
    last: Mutex<Option<wgpu::SubmissionIndex>>,
}

impl Account {
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn last(&self) -> Option<wgpu::SubmissionIndex> {
        let last = self.0.last.lock();
        last.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A buffer on a device. Clones share it; it is on the account until the last one goes.
#[derive(Clone, Debug)]
pub(crate) struct Buffer(Arc<Held>);

#[derive(Debug)]
struct Held {
    raw: wgpu::Buffer,
    account: Account,
}

impl Drop for Held {
    fn drop(&mut self) {
        let bytes = &self.account.0.bytes;
        bytes.fetch_sub(self.raw.size(), Ordering::Relaxed);
    }
}

impl Deref for Buffer {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.0.raw
    }
}

impl Device {
    /// A buffer of zeros.
    pub(crate) fn buffer(&self, label: &str, size: u64, usage: Usage) -> Buffer {
        self.make(label, size, usage, false)
    }

    /// A buffer that the host can write to at once.
    pub(crate) fn mapped_buffer(&self, label: &str, size: u64, usage: Usage) -> Buffer {
        self.make(label, size, usage, true)
    }

    /// Sends commands off.
    pub(crate) fn submit(&self, commands: wgpu::CommandBuffer) -> wgpu::SubmissionIndex {
        let submission = self.queue().submit([commands]);
        let last = self.account().0.last.lock();
        *last.unwrap_or_else(PoisonError::into_inner) = Some(submission.clone());
        submission
    }

    fn make(&self, label: &str, size: u64, usage: Usage, mapped: bool) -> Buffer {
        let raw = self.raw().create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: mapped,
        });
        let account = self.account().clone();
        account.0.bytes.fetch_add(raw.size(), Ordering::Relaxed);
        Buffer(Arc::new(Held { raw, account }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_handle_counts_what_is_held_through_it_and_its_clones() {
        let device = Device::noop().unwrap();
        let (one, other) = (device.apart(), device.apart());
        let first = one.buffer("first", 512, Usage::STORAGE);
        let second = one.clone().mapped_buffer("second", 256, Usage::MAP_WRITE);
        let third = other.buffer("third", 1024, Usage::STORAGE);
        let held = || [&device, &one, &other].map(Device::memory);
        assert_eq!(held(), [0, 768, 1024]);
        let again = first.clone();
        drop(first);
        assert_eq!(held(), [0, 768, 1024]);
        drop((again, third));
        assert_eq!(held(), [0, 256, 0]);
        drop(second);
        assert_eq!(held(), [0; 3]);
    }
}
