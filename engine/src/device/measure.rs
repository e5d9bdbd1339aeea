//! What batches of a kernel cost on its device.

use std::time::{Duration, Instant};

use super::opened::Opened;
use crate::calibrate::{Bench, Size};
use crate::error::DeviceError;
use crate::kernel::Kernel;

/// A measurement stops growing its batch when one takes this long and twice as long as the smallest:
/// the cost of a job is then clear.
const MEASURE_LONG_ENOUGH: Duration = Duration::from_millis(4);

/// It also stops when a batch takes this long: a slow adapter must not delay the start.
const MEASURE_TOO_LONG: Duration = Duration::from_millis(100);

/// Times a kernel on its device.
pub(super) struct OnTheDevice<'a, K: Kernel> {
    opened: &'a mut Opened<K>,
    /// Most jobs of a batch.
    most: usize,
    /// Jobs of the larger batch.
    large: usize,
}

impl<'a, K: Kernel> OnTheDevice<'a, K> {
    /// With batches of up to so many jobs.
    pub(super) fn new(opened: &'a mut Opened<K>, most: usize) -> Self {
        Self {
            opened,
            most: most.max(1),
            large: 1,
        }
    }

    /// The quicker of two runs: the first still pays for warming up.
    fn time(&mut self, batch: &[&K::Job]) -> Result<Duration, DeviceError> {
        let mut best = Duration::MAX;
        for _ in 0..2 {
            let start = Instant::now();
            self.opened.run(batch)?;
            let time = start.elapsed();
            best = best.min(time);
            if time > MEASURE_TOO_LONG {
                break;
            }
        }
        Ok(best)
    }

    /// The first jobs of these, over and over, that one batch may hold.
    fn batch<'j>(&self, jobs: &[&'j K::Job], size: usize) -> Vec<&'j K::Job> {
        let most = self.opened.accelerator.max_bytes();
        let mut bytes = 0_usize;
        jobs.iter()
            .copied()
            .cycle()
            .take(size)
            .take_while(|job| {
                let first = bytes == 0;
                bytes = bytes.saturating_add(K::job_bytes(job)).max(1);
                first || bytes <= most
            })
            .collect()
    }
}

impl<K: Kernel> Bench<K> for OnTheDevice<'_, K> {
    type Error = DeviceError;

    fn small_and_large(&mut self, jobs: &[&K::Job]) -> Result<[(Size, Duration); 2], DeviceError> {
        let mut batch = self.batch(jobs, jobs.len().min(self.most));
        let small = (Size::of_all::<K>(batch.iter().copied()), self.time(&batch)?);
        let (mut size, mut long) = small;
        let clear = |long: Duration| long >= MEASURE_LONG_ENOUGH && long >= 2 * small.1;
        while !clear(long) && long < MEASURE_TOO_LONG {
            let more = self.batch(jobs, (batch.len() * 4).min(self.most));
            if more.len() <= batch.len() {
                break;
            }
            batch = more;
            long = self.time(&batch)?;
            size = Size::of_all::<K>(batch.iter().copied());
        }
        self.large = batch.len();
        Ok([small, (size, long)])
    }

    fn large(&mut self, jobs: &[&K::Job]) -> Result<(Size, Duration), DeviceError> {
        let batch = self.batch(jobs, self.large.max(1));
        let time = self.time(&batch)?;
        Ok((Size::of_all::<K>(batch), time))
    }

    fn one(&mut self, job: &K::Job) -> Result<(Size, Duration), DeviceError> {
        Ok((Size::of::<K>(job), self.time(&[job])?))
    }
}
