//! Copying a batch into staging memory, at once or by several threads of the caller.

use super::layout::Packed;
use crate::mldsa::job::VerifyJob;
use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A share of a batch on its way into memory that the device reads: a plain copy of bytes that no other share touches.
///
/// The copy reads keys, signatures and messages once and writes them once, 4 to 8 KB a job, so one thread is bound by
/// what one core can move. Shares may be written by different threads; see
/// [`BatchVerifier::share_uploads`](super::BatchVerifier::share_uploads).
pub struct UploadPart<'a> {
    packed: &'a Packed,
    jobs: &'a [&'a VerifyJob],
    entries: Range<usize>,
    view: wgpu::BufferViewMut,
    written: &'a AtomicUsize,
}

impl UploadPart<'_> {
    /// Copies this share.
    pub fn write(mut self) {
        let mut to = self.view.slice(..);
        let mut at = 0;
        let put = &mut |bytes: &[u8]| {
            // Within the share: it was cut to the sizes that were planned.
            to.slice(at..at + bytes.len()).copy_from_slice(bytes);
            at += bytes.len();
        };
        self.packed.write(self.jobs, self.entries.clone(), put);
        self.written.fetch_add(1, Ordering::Release);
    }

    /// Bytes of this share.
    pub fn size(&self) -> usize {
        self.view.len()
    }
}

impl fmt::Debug for UploadPart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UploadPart")
            .field("bytes", &self.size())
            .finish()
    }
}

/// What runs [`UploadPart::write`] of each share and returns when all are done.
type Run = dyn for<'a> Fn(Vec<UploadPart<'a>>) + Send + Sync;

/// Who copies.
#[derive(Clone)]
pub(super) struct Uploads {
    /// Most shares of a batch.
    pub parts: usize,
    pub run: Arc<Run>,
}

impl Default for Uploads {
    /// The calling thread.
    fn default() -> Self {
        Self {
            parts: 1,
            run: Arc::new(|parts| parts.into_iter().for_each(UploadPart::write)),
        }
    }
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploads")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl Uploads {
    /// Copies a planned batch to mapped memory from byte `start` on, a multiple of [`wgpu::MAP_ALIGNMENT`]. `Ok(false)` if
    /// a share was not written.
    pub fn copy(
        &self,
        packed: &Packed,
        jobs: &[&VerifyJob],
        staging: &wgpu::Buffer,
        start: u64,
    ) -> Result<bool, wgpu::MapRangeError> {
        let written = AtomicUsize::new(0);
        let mut parts = Vec::new();
        let (mut first, mut at) = (0, start);
        for number in 1..=self.parts.max(1) {
            let end = packed.cut(number, self.parts.max(1));
            if end <= first {
                continue;
            }
            let after = at + packed.bytes(first..end) as u64;
            parts.push(UploadPart {
                packed,
                jobs,
                entries: first..end,
                view: staging.get_mapped_range_mut(at..after)?,
                written: &written,
            });
            (first, at) = (end, after);
        }
        let shares = parts.len();
        (self.run)(parts);
        Ok(written.load(Ordering::Acquire) == shares)
    }
}
