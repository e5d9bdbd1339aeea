//! Batches, as the routing and the books see them.

use std::time::{Duration, Instant};

use crate::calibrate::Size;
use crate::kernel::Kernel;
use crate::queue::Entry;
use crate::routing::Jobs;
use crate::stats::BackendStats;

/// The jobs of a batch, as the routing sees them.
pub(crate) fn jobs_of<K: Kernel>(batch: &[Entry<K>]) -> Jobs {
    Jobs {
        group: batch.first().map_or(0, |entry| K::group(entry.job())),
        count: batch.len(),
        size: Size::of_all::<K>(batch.iter().map(Entry::job)),
    }
}

/// A usual job: the mean of the samples of the first one's group.
pub(crate) fn usual<K: Kernel>() -> Jobs {
    let samples = K::samples();
    let group = samples.first().map_or(0, K::group);
    let alike: Vec<&K::Job> = samples
        .iter()
        .filter(|job| K::group(job) == group)
        .collect();
    let all = Jobs {
        group,
        count: alike.len(),
        size: Size::of_all::<K>(alike),
    };
    Jobs {
        count: 1,
        size: all.mean(),
        ..all
    }
}

/// Books a batch that ran.
pub(crate) fn book_batch<K: Kernel>(
    books: &mut BackendStats,
    batch: &[Entry<K>],
    start: Instant,
    time: Duration,
    answered: usize,
) {
    books.answered += u64::try_from(answered).unwrap_or(u64::MAX);
    books.batches += 1;
    books
        .batch_sizes
        .record(u64::try_from(batch.len()).unwrap_or(u64::MAX));
    books.kernel_time.record_time(time);
    let now = Instant::now();
    // Jobs that were handed over together have one time.
    for alike in batch.chunk_by(|one, next| one.first.accepted() == next.first.accepted()) {
        let Some(entry) = alike.first() else { continue };
        let accepted = entry.first.accepted();
        let queued = start.saturating_duration_since(accepted);
        books.queue_time.record_times(queued, alike.len());
        let total = now.saturating_duration_since(accepted);
        books.total_time.record_times(total, alike.len());
    }
    let bytes: usize = batch.iter().map(|entry| entry.first.load().bytes).sum();
    books.job_bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
}
