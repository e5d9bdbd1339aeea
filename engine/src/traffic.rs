//! What is in flight on one device, of all kernels: it computes one batch after the other, whosever they are.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::calibrate::nanos;

/// The batches in flight on a device, by the kernels' expectations.
#[derive(Default)]
pub(crate) struct Traffic(Mutex<Flights>);

#[derive(Default)]
struct Flights {
    /// Kernels that have asked for a number.
    kernels: usize,
    /// In the order in which they were sent off: whose batch, and what it should take.
    batches: VecDeque<(usize, Duration)>,
    /// When the first of them began.
    since: Option<Instant>,
}

impl Flights {
    fn retain(&mut self, now: Instant, goes_on: impl FnMut(&(usize, Duration)) -> bool) {
        self.batches.retain(goes_on);
        self.since = (!self.batches.is_empty()).then_some(now);
    }
}

impl Traffic {
    /// A number for one more kernel.
    pub(crate) fn join(&self) -> usize {
        let mut flights = self.0.lock();
        flights.kernels += 1;
        flights.kernels
    }

    /// A kernel's batch went to the device.
    pub(crate) fn started(&self, kernel: usize, time: Duration, now: Instant) {
        let mut flights = self.0.lock();
        flights.since.get_or_insert(now);
        flights.batches.push_back((kernel, time));
    }

    /// The batch that a kernel sent last went in two parts.
    pub(crate) fn parted(&self, kernel: usize, parts: [Duration; 2]) {
        let mut flights = self.0.lock();
        let last = flights.batches.iter().rposition(|(of, _)| *of == kernel);
        if let Some(last) = last {
            flights.batches.remove(last);
            for (place, part) in (last..).zip(parts) {
                flights.batches.insert(place, (kernel, part));
            }
        }
    }

    /// A kernel's oldest batch came back.
    pub(crate) fn finished(&self, kernel: usize, now: Instant) {
        let mut first = true;
        self.0.lock().retain(now, |(of, _)| {
            let this = *of == kernel && std::mem::take(&mut first);
            !this
        });
    }

    /// Whatever a kernel had in flight is not there any more.
    pub(crate) fn clear(&self, kernel: usize) {
        self.0
            .lock()
            .retain(Instant::now(), |(of, _)| *of != kernel);
    }

    /// Batches of a kernel in flight.
    pub(crate) fn count(&self, kernel: usize) -> usize {
        let flights = self.0.lock();
        flights
            .batches
            .iter()
            .filter(|(of, _)| *of == kernel)
            .count()
    }

    /// Nanoseconds until all that is in flight should be done.
    pub(crate) fn busy(&self, now: Instant) -> f64 {
        let flights = self.0.lock();
        let Some(since) = flights.since else {
            return 0.0;
        };
        let all: f64 = flights.batches.iter().map(|(_, time)| nanos(*time)).sum();
        // One that is late may well take as long again.
        (all - nanos(now.saturating_duration_since(since))).abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn busy(traffic: &Traffic, now: Instant) -> u64 {
        crate::error::nanoseconds(crate::calibrate::duration(traffic.busy(now))) / 1_000_000
    }

    #[test]
    fn a_device_is_busy_with_the_batches_of_all_kernels() {
        let (traffic, now) = (Traffic::default(), Instant::now());
        let [one, other] = [traffic.join(), traffic.join()];
        assert_eq!(busy(&traffic, now), 0);
        traffic.started(one, 10 * MS, now);
        traffic.started(other, 5 * MS, now);
        traffic.started(one, 7 * MS, now);
        assert_eq!((busy(&traffic, now), traffic.count(one)), (22, 2));
        assert_eq!(busy(&traffic, now + 4 * MS), 18);
        // Late: as long again as it is late.
        assert_eq!(busy(&traffic, now + 30 * MS), 8);
        traffic.finished(one, now + 9 * MS);
        assert_eq!(busy(&traffic, now + 9 * MS), 12);
        traffic.parted(one, [3 * MS, MS]);
        assert_eq!((busy(&traffic, now + 9 * MS), traffic.count(one)), (9, 2));
        traffic.clear(one);
        assert_eq!(traffic.count(one), 0);
        traffic.finished(other, now);
        assert_eq!(busy(&traffic, now + 99 * MS), 0);
    }
}
