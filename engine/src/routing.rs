//! Who should do the jobs that wait: the measured costs of one kernel, and the choice by them.
//!
//! The choice decides when an answer comes, never what it is.

use std::time::{Duration, Instant};

use crate::config::{Config, Routing};
use crate::report::{Cost, RouteReport};

/// A CPU thread takes jobs for about this long at a time: long enough that taking them costs
/// nothing, short enough that the cores finish together.
const CPU_TURN: Duration = Duration::from_micros(500);

/// A device as the routing of one kernel sees it.
struct Slot {
    name: String,
    /// `None` while the device cannot run this kernel.
    cost: Option<Cost>,
    max_batch: usize,
    /// When the batch that runs there now should be done.
    busy_until: Option<Instant>,
    /// The version of the queue in which the device found nothing for itself.
    looked: u64,
}

/// The routes of one kernel.
pub(crate) struct Routes {
    routing: Routing,
    threads: usize,
    max_batch: usize,
    /// Jobs that the CPU path likes to have together.
    chunk: usize,
    /// On one CPU thread.
    cpu: Cost,
    slots: Vec<Slot>,
}

/// Estimated time of `jobs` jobs done together.
fn time(cost: Cost, jobs: usize) -> Duration {
    cost.fixed
        + cost
            .job
            .saturating_mul(u32::try_from(jobs).unwrap_or(u32::MAX))
}

impl Routes {
    pub(crate) fn new(config: &Config, chunk: usize) -> Self {
        Self {
            routing: config.routing,
            threads: config.cpu_threads.max(1),
            max_batch: config.max_batch.max(1),
            chunk: chunk.max(1),
            cpu: Cost {
                job: Duration::from_nanos(1),
                ..Cost::default()
            },
            slots: Vec::new(),
        }
    }

    pub(crate) fn set_cpu(&mut self, cost: Cost) {
        self.cpu = Cost {
            job: cost.job.max(Duration::from_nanos(1)),
            ..cost
        };
    }

    pub(crate) fn add(&mut self, name: &str) {
        let slot = Slot {
            name: name.to_owned(),
            cost: None,
            max_batch: 1,
            busy_until: None,
            looked: 0,
        };
        self.slots.push(slot);
    }

    /// The device can be used from now on.
    pub(crate) fn ready(&mut self, slot: usize, cost: Cost, max_batch: usize) {
        let most = self.max_batch;
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.cost = Some(cost);
            slot.max_batch = max_batch.clamp(1, most);
            slot.busy_until = None;
        }
    }

    /// The device cannot be used any more.
    pub(crate) fn shut(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.cost = None;
            slot.busy_until = None;
        }
    }

    pub(crate) fn idle(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.busy_until = None;
        }
    }

    pub(crate) fn started(&mut self, slot: usize, jobs: usize, now: Instant) {
        if let Some(slot) = self.slots.get_mut(slot)
            && let Some(cost) = slot.cost
        {
            slot.busy_until = Some(now + time(cost, jobs));
        }
    }

    /// The device found nothing for itself.
    pub(crate) fn looked(&mut self, slot: usize, version: u64) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.looked = version;
        }
    }

    /// Whether a free device has not looked at this version of the queue.
    pub(crate) fn behind(&self, version: u64) -> bool {
        let mut free = self
            .slots
            .iter()
            .filter(|slot| slot.cost.is_some() && slot.busy_until.is_none());
        free.any(|slot| slot.looked != version)
    }

    /// Estimated time of `jobs` jobs over all CPU threads.
    fn cpu_time(&self, jobs: usize) -> Duration {
        time(self.cpu, jobs.div_ceil(self.threads))
    }

    /// Whether a device is ready and would be done before the CPU.
    fn device_wins(&self, slot: &Slot, jobs: usize) -> bool {
        let Some(cost) = slot.cost else { return false };
        match self.routing {
            Routing::PreferDevice => true,
            Routing::Measured => {
                let jobs = jobs.min(slot.max_batch);
                time(cost, jobs) < self.cpu_time(jobs)
            }
        }
    }

    /// How many of the waiting jobs a CPU thread should take now. `None` where they are better left
    /// to a device.
    pub(crate) fn cpu_turn(&self, waiting: usize, now: Instant) -> Option<usize> {
        let by_time = usize::try_from(CPU_TURN.as_nanos() / self.cpu.job.as_nanos().max(1));
        let most = by_time.unwrap_or(usize::MAX).max(self.chunk);
        let size = if waiting >= 2 * self.threads * self.chunk {
            waiting / (2 * self.threads)
        } else {
            waiting.div_ceil(self.threads).min(self.chunk)
        };
        let size = size.clamp(1, most);
        // With devices: take what an idle device should not have, and while all such devices are
        // busy what is done before the first of them is free.
        let mut winners = self
            .slots
            .iter()
            .filter(|slot| self.device_wins(slot, waiting))
            .peekable();
        if winners.peek().is_some() {
            if self.routing == Routing::PreferDevice {
                return None;
            }
            let done = now + time(self.cpu, size);
            if winners.any(|slot| slot.busy_until.is_none_or(|until| done > until)) {
                return None;
            }
        }
        Some(size)
    }

    /// How many of the waiting jobs the device should take now. `None` where the CPU does them
    /// sooner.
    pub(crate) fn device_turn(&self, slot: usize, waiting: usize) -> Option<usize> {
        let slot = self.slots.get(slot)?;
        self.device_wins(slot, waiting).then_some(slot.max_batch)
    }

    pub(crate) fn report(&self, kernel: &'static str) -> RouteReport {
        let mut why = Vec::new();
        let mut devices = Vec::new();
        for slot in &self.slots {
            let Some(cost) = slot.cost else { continue };
            let first = (1..=slot.max_batch).find(|jobs| self.device_wins(slot, *jobs));
            why.push(match (self.routing, first) {
                (Routing::PreferDevice, _) => format!("everything to {}, as configured", slot.name),
                (Routing::Measured, Some(jobs)) => {
                    format!("batches of {jobs} and more to {}", slot.name)
                }
                (Routing::Measured, None) => {
                    format!("nothing to {}: the CPU is quicker", slot.name)
                }
            });
            devices.push((slot.name.clone(), cost, first));
        }
        if why.is_empty() {
            why.push("everything to the CPU: no device is ready".to_owned());
        }
        RouteReport {
            kernel,
            cpu: self.cpu,
            devices,
            why: why.join("; "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(fixed: u64, job: u64) -> Cost {
        Cost {
            fixed: Duration::from_micros(fixed),
            job: Duration::from_micros(job),
            mib: Duration::ZERO,
        }
    }

    /// Two CPU threads of 100 us a job, one device of 1 ms a batch and 1 us a job.
    fn routes(routing: Routing) -> Routes {
        let config = Config {
            cpu_threads: 2,
            max_batch: 4_096,
            routing,
            ..Config::default()
        };
        let mut routes = Routes::new(&config, 1);
        routes.set_cpu(micros(0, 100));
        routes.add("device");
        routes
    }

    #[test]
    fn a_batch_goes_where_it_is_done_first() {
        let now = Instant::now();
        let mut routes = routes(Routing::Measured);
        assert_eq!(
            routes.cpu_turn(1_000, now),
            Some(5),
            "no device is ready: 500 us of jobs"
        );
        assert_eq!(routes.device_turn(0, 1_000), None);
        routes.ready(0, micros(1_000, 1), 1_024);
        // 20 jobs: 10 * 100 us against 1,020 us. 21 jobs: 11 * 100 us against 1,021 us.
        assert_eq!(
            (routes.device_turn(0, 20), routes.cpu_turn(20, now)),
            (None, Some(5))
        );
        assert_eq!(
            (routes.device_turn(0, 21), routes.cpu_turn(21, now)),
            (Some(1_024), None)
        );
        assert_eq!(routes.report("k").why, "batches of 21 and more to device");
        routes.shut(0);
        assert_eq!(
            (routes.device_turn(0, 21), routes.cpu_turn(21, now)),
            (None, Some(5))
        );
        assert_eq!(
            routes.report("k").why,
            "everything to the CPU: no device is ready"
        );
    }

    #[test]
    fn while_the_device_is_busy_the_cpu_takes_what_it_finishes_before() {
        let now = Instant::now();
        let mut routes = routes(Routing::Measured);
        routes.ready(0, micros(1_000, 1), 1_024);
        routes.started(0, 1_000, now);
        // Free in 2 ms; five jobs take 500 us.
        assert_eq!(routes.cpu_turn(1_000, now), Some(5));
        assert_eq!(
            routes.cpu_turn(1_000, now + Duration::from_micros(1_499)),
            Some(5)
        );
        assert_eq!(
            routes.cpu_turn(1_000, now + Duration::from_micros(1_501)),
            None
        );
        routes.idle(0);
        assert_eq!(routes.cpu_turn(1_000, now), None);
    }

    #[test]
    fn a_device_that_is_never_quicker_gets_nothing_unless_preferred() {
        for (routing, device, cpu) in [
            (Routing::Measured, None, Some(5)),
            (Routing::PreferDevice, Some(64), None),
        ] {
            let mut routes = routes(routing);
            routes.ready(0, micros(0, 60), 64);
            assert_eq!(routes.device_turn(0, 1_000), device);
            assert_eq!(routes.cpu_turn(1_000, Instant::now()), cpu);
        }
    }

    #[test]
    fn cpu_turns_keep_chunks_together_and_threads_busy() {
        let config = Config {
            cpu_threads: 4,
            ..Config::default()
        };
        let mut routes = Routes::new(&config, 64);
        routes.set_cpu(micros(50, 20));
        let turn = |waiting| routes.cpu_turn(waiting, Instant::now());
        assert_eq!(turn(1), Some(1));
        assert_eq!(turn(4), Some(1));
        assert_eq!(turn(100), Some(25), "a quarter each");
        assert_eq!(turn(400), Some(64));
        assert_eq!(
            turn(100_000),
            Some(64),
            "a chunk is 1.3 ms, more than a turn"
        );
        let small = Routes::new(&config, 1);
        assert_eq!(small.cpu_turn(8_000, Instant::now()), Some(1_000));
    }
}
