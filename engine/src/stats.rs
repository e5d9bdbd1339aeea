//! Counters and histograms, and the snapshots that callers see.

use std::time::Duration;

use crate::error::nanoseconds;
use crate::gate::QueueState;

/// A histogram with a bucket for each power of two: bucket 0 holds zeros, bucket `k` the values
/// from 2^(k-1) to 2^k - 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; 65],
    count: u64,
    sum: u128,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [0; 65],
            count: 0,
            sum: 0,
            max: 0,
        }
    }
}

impl Histogram {
    /// Adds a value.
    pub fn record(&mut self, value: u64) {
        self.add(value, 1);
    }

    fn add(&mut self, value: u64, times: u64) {
        if times == 0 {
            return;
        }
        let bucket = usize::try_from(64 - value.leading_zeros()).unwrap_or(64);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += times;
        }
        self.count += times;
        self.sum += u128::from(value) * u128::from(times);
        self.max = self.max.max(value);
    }

    /// Adds a time, in nanoseconds.
    pub fn record_time(&mut self, time: Duration) {
        self.record(nanoseconds(time));
    }

    /// Adds one time for each of some jobs.
    pub(crate) fn record_times(&mut self, time: Duration, jobs: usize) {
        self.add(nanoseconds(time), u64::try_from(jobs).unwrap_or(u64::MAX));
    }

    /// Number of values.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Sum of the values.
    pub const fn sum(&self) -> u128 {
        self.sum
    }

    /// Largest value, 0 if there is none.
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// Mean of the values, 0 if there is none.
    #[allow(clippy::cast_precision_loss)]
    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum as f64 / self.count as f64
        }
    }

    /// An upper bound of the value below which the share `quantile` (0 to 1) of all values lies,
    /// exact to a factor of two.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    pub fn quantile(&self, quantile: f64) -> u64 {
        let rank = (quantile.clamp(0.0, 1.0) * self.count as f64)
            .ceil()
            .max(1.0) as u64;
        let mut seen = 0;
        for (bound, count) in self.buckets() {
            seen += count;
            if seen >= rank {
                return bound.min(self.max);
            }
        }
        self.max
    }

    /// The buckets that hold something: largest value that would fall in it, and number of values.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        (0u32..)
            .zip(&self.buckets)
            .filter(|(_, count)| **count > 0)
            .map(|(bucket, count)| (u64::MAX.checked_shr(64 - bucket).unwrap_or(0), *count))
    }
}

/// What one back end has done for one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendStats {
    /// `cpu`, or the name of the adapter.
    pub backend: String,
    /// Jobs whose answer came from this back end.
    pub answered: u64,
    /// Batches that this back end ran.
    pub batches: u64,
    /// Jobs in a batch.
    pub batch_sizes: Histogram,
    /// Nanoseconds from the acceptance of a job to the start of its batch.
    pub queue_time: Histogram,
    /// Nanoseconds that a batch ran: on a device from its sending off, or the end of the batch before it, to its
    /// answers.
    pub kernel_time: Histogram,
    /// Nanoseconds that the host took to lay out and upload a batch and to read its answers back. With two batches
    /// in flight much of it passes while the device computes another. Only of devices that can tell it from
    /// computing: see [`Accelerator::polls`](crate::Accelerator::polls).
    pub transfer_time: Histogram,
    /// Nanoseconds from the acceptance of a job to its answer.
    pub total_time: Histogram,
    /// Bytes of the jobs that this back end answered.
    pub job_bytes: u64,
    /// Jobs of this back end that the CPU had to do instead, because it failed or was wrong.
    pub fallbacks: u64,
    /// Jobs that this back end could not decide and the CPU did.
    pub undecided: u64,
    /// Answers that the CPU recomputed because the kernel asks for it (such as "invalid").
    pub confirmations: u64,
    /// Answers that the CPU recomputed as a sample.
    pub audits: u64,
    /// Recomputed answers that differed from the CPU's. Each is an alarm.
    pub mismatches: u64,
    /// Batches that failed on this back end.
    pub failures: u64,
    /// Bytes of device memory that the kernel holds, resident data, buffers and staging together; 0 while the device is not in use.
    pub memory: u64,
    /// The kernel's cache in the device's memory, if it has one, since the device was opened.
    pub cache: Option<CacheStats>,
}

/// What a kernel's cache has done, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Look-ups that found their entry.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// Entries that were let in.
    pub admissions: u64,
    /// Entries that had to go for others.
    pub evictions: u64,
    /// Entries held now.
    pub keys: usize,
    /// Bytes held now.
    pub bytes: usize,
    /// Most bytes that it may hold.
    pub budget: usize,
}

/// What has been done for one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelStats {
    /// Name of the kernel.
    pub kernel: String,
    /// Jobs accepted.
    pub submitted: u64,
    /// Jobs refused because the queue was full or the caller over its quota. A caller that waits for
    /// room is not refused.
    pub refused: u64,
    /// Jobs cancelled before their batch started.
    pub cancelled: u64,
    /// Jobs that an identical job's computation answered.
    pub shared: u64,
    /// Jobs reported as `DeadlineExceeded` after they were accepted.
    pub expired: u64,
    /// Jobs reported as `ShuttingDown`.
    pub shut_down: u64,
    /// Jobs on which the kernel panicked.
    pub panicked: u64,
    /// Jobs waiting for a batch now.
    pub queued: usize,
    /// The kernel's cache, if it has one.
    pub cache: Option<CacheStats>,
    /// The CPU first, then the adapters in the order of the device report.
    pub backends: Vec<BackendStats>,
}

impl KernelStats {
    /// Jobs that a back end ran. Accepted jobs are these, and those that are `shared`, `cancelled`,
    /// `expired`, `shut_down` or not yet answered.
    pub fn answered(&self) -> u64 {
        self.backends.iter().map(|backend| backend.answered).sum()
    }
}

/// A snapshot of everything an engine counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineStats {
    /// How full the queue is.
    pub queue: QueueState,
    /// One entry a kernel, in the order of registration.
    pub kernels: Vec<KernelStats>,
}

impl EngineStats {
    /// Answers of devices that differed from the CPU's, over all kernels.
    pub fn mismatches(&self) -> u64 {
        self.kernels
            .iter()
            .flat_map(|kernel| &kernel.backends)
            .map(|backend| backend.mismatches)
            .sum()
    }

    /// The entry of a kernel by its name.
    pub fn kernel(&self, name: &str) -> Option<&KernelStats> {
        self.kernels.iter().find(|kernel| kernel.kernel == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_powers_of_two() {
        let mut histogram = Histogram::default();
        for value in [0, 1, 2, 3, 4, 7, 8, u64::MAX] {
            histogram.record(value);
        }
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(
            buckets,
            [(0, 1), (1, 1), (3, 2), (7, 2), (15, 1), (u64::MAX, 1)]
        );
        assert_eq!(histogram.count(), 8);
        assert_eq!(histogram.max(), u64::MAX);
        assert_eq!(histogram.quantile(0.5), 3);
        assert_eq!(histogram.quantile(1.0), u64::MAX);
    }

    #[test]
    fn empty_histogram_is_all_zero() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.99), 0);
        assert!(histogram.mean().abs() < f64::EPSILON);
        assert_eq!(histogram.buckets().count(), 0);
    }
}
