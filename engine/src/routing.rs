//! Who should do the jobs that wait: the expected costs of one kernel, and the choice by them.
//!
//! Every back end asks for itself and is told how many of the waiting jobs are its own now: all of
//! them, a part, or none. The choice is one and the same whoever asks: the CPU threads alone, the devices
//! alone, or both with the parts that end at the same time, whichever ends first. It decides when an
//! answer comes, never what it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::calibrate::{Costs, Line, Size, duration, nanos};
use crate::config::{Config, Routing};
use crate::model::Model;
use crate::report::RouteReport;
use crate::traffic::Traffic;

/// A CPU thread takes jobs for about this long at a time: long enough that taking them costs
/// nothing, short enough that the cores finish together.
const CPU_TURN: f64 = 500_000.0;

/// Devices and CPU share a batch only where that ends sooner by this factor than without sharing: a core
/// that saves a device one part in a hundred is better left to others.
const WORTH_SHARING: f64 = 1.05;

/// Jobs of one group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jobs {
    pub(crate) group: u64,
    pub(crate) count: usize,
    /// Of all of them together.
    pub(crate) size: Size,
}

impl Jobs {
    /// A job of mean size.
    pub(crate) fn mean(&self) -> Size {
        let count = float(self.count.max(1));
        Size {
            weight: self.size.weight / count,
            bytes: self.size.bytes / count,
        }
    }
}

/// A device as the routing of one kernel sees it.
struct Slot {
    name: String,
    /// `None` while the device cannot run this kernel.
    model: Option<Model>,
    limits: Limits,
    /// What is in flight there, of all kernels, and this kernel's number in it.
    traffic: Arc<Traffic>,
    kernel: usize,
    /// The version of the queue in which the device found nothing for itself.
    looked: u64,
    /// The version in which it left work that was due to others.
    declined: u64,
}

impl Slot {
    /// Batches of this kernel in flight.
    fn in_flight(&self) -> usize {
        self.traffic.count(self.kernel)
    }
}

/// What a device takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Jobs of a batch.
    pub(crate) batch: usize,
    /// Bytes of a batch.
    pub(crate) bytes: usize,
    /// Batches in flight.
    pub(crate) depth: usize,
}

/// The routes of one kernel.
pub(crate) struct Routes {
    routing: Routing,
    threads: usize,
    max_batch: usize,
    /// Nanoseconds that a batch on a device should not exceed.
    longest: f64,
    /// Jobs that the CPU path likes to have together.
    chunk: usize,
    /// On one CPU thread.
    cpu: Model,
    /// Group and size of a usual job, for the report.
    usual: Jobs,
    slots: Vec<Slot>,
}

/// One back end in a plan.
#[derive(Clone, Copy, Debug)]
struct Party {
    /// `None` is the CPU.
    slot: Option<usize>,
    /// Nanoseconds from now until its first job could begin.
    start: f64,
    /// Nanoseconds a job.
    each: f64,
}

#[allow(clippy::cast_precision_loss)]
const fn float(count: usize) -> f64 {
    count as f64
}

/// Never more than what fits.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
const fn whole(count: f64) -> usize {
    count.max(0.0).min(u32::MAX as f64) as usize
}

/// When `count` jobs are done that the parties share so that all end together. A party that could
/// only begin later takes no part.
fn together(parties: &mut [Party], count: usize) -> f64 {
    parties.sort_unstable_by(|one, other| one.start.total_cmp(&other.start));
    let (mut speed, mut headway, mut end) = (0.0, float(count), f64::INFINITY);
    for party in parties.iter() {
        if party.start >= end {
            break;
        }
        speed += 1.0 / party.each;
        headway += party.start / party.each;
        end = headway / speed;
    }
    end
}

impl Routes {
    pub(crate) fn new(config: &Config, chunk: usize) -> Self {
        Self {
            routing: config.routing,
            threads: config.cpu_threads.max(1),
            max_batch: config.max_batch.max(1),
            longest: nanos(config.max_batch_time),
            chunk: chunk.max(1),
            cpu: Model::new(&Costs(vec![(
                0,
                Line {
                    unit: 1.0,
                    ..Line::default()
                },
            )])),
            usual: Jobs {
                group: 0,
                count: 1,
                size: Size {
                    weight: 1.0,
                    bytes: 0.0,
                },
            },
            slots: Vec::new(),
        }
    }

    /// The measured costs of the CPU, and a usual job.
    pub(crate) fn set_cpu(&mut self, costs: &Costs, usual: Jobs) {
        self.cpu = Model::new(costs);
        self.usual = usual;
    }

    pub(crate) fn add(&mut self, name: &str, traffic: &Arc<Traffic>) {
        let slot = Slot {
            name: name.to_owned(),
            model: None,
            limits: Limits {
                batch: 1,
                bytes: usize::MAX,
                depth: 1,
            },
            traffic: Arc::clone(traffic),
            kernel: traffic.join(),
            looked: 0,
            declined: 0,
        };
        self.slots.push(slot);
    }

    /// The device can be used from now on.
    pub(crate) fn ready(&mut self, slot: usize, costs: &Costs, limits: Limits) {
        let most = self.max_batch;
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.model = Some(Model::new(costs));
            slot.limits = Limits {
                batch: limits.batch.clamp(1, most),
                depth: limits.depth.max(1),
                ..limits
            };
            slot.traffic.clear(slot.kernel);
        }
    }

    /// The device cannot be used any more.
    pub(crate) fn shut(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.model = None;
            slot.traffic.clear(slot.kernel);
        }
    }

    /// A batch went to the device.
    pub(crate) fn started(&mut self, slot: usize, jobs: &Jobs, now: Instant) {
        if let Some(slot) = self.slots.get_mut(slot)
            && let Some(model) = &slot.model
        {
            let time = duration(model.line(jobs.group, now).time(jobs.size));
            slot.traffic.started(slot.kernel, time, now);
        }
    }

    /// The batch that went to the device last went in two parts.
    pub(crate) fn parted(&mut self, slot: usize, first: &Jobs, rest: &Jobs, now: Instant) {
        if let Some(slot) = self.slots.get_mut(slot)
            && let Some(model) = &slot.model
        {
            let time = |jobs: &Jobs| duration(model.line(jobs.group, now).time(jobs.size));
            slot.traffic.parted(slot.kernel, [time(first), time(rest)]);
        }
    }

    /// A batch came back from the device, `took` after it had begun. `None` for one that says nothing of
    /// its costs.
    pub(crate) fn finished(
        &mut self,
        slot: usize,
        jobs: &Jobs,
        took: Option<Duration>,
        now: Instant,
    ) {
        if let Some(slot) = self.slots.get_mut(slot)
            && let Some(model) = &mut slot.model
        {
            slot.traffic.finished(slot.kernel, now);
            if let Some(took) = took {
                model.observe(jobs.group, jobs.size, took, now);
            }
        }
    }

    /// A CPU thread has done these jobs together.
    pub(crate) fn cpu_took(&mut self, jobs: &Jobs, took: Duration, now: Instant) {
        self.cpu.observe(jobs.group, jobs.size, took, now);
    }

    /// The device found nothing for itself; with `declined`, because others should do what is due.
    pub(crate) fn looked(&mut self, slot: usize, version: u64, declined: bool) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.looked = version;
            if declined {
                slot.declined = version;
            }
        }
    }

    /// Whether no device will look at this version of the queue again: each has declined what is due in
    /// it, and none is at work. Costs are corrected all the time, so the CPU may come to think that a
    /// device should do what that device has just left to the CPU.
    fn all_declined(&self, version: u64) -> bool {
        let mut ready = self.slots.iter().filter(|slot| slot.model.is_some());
        ready.all(|slot| slot.in_flight() == 0 && slot.declined == version)
    }

    /// Whether a free device has not looked at this version of the queue.
    pub(crate) fn behind(&self, version: u64) -> bool {
        let mut free = self
            .slots
            .iter()
            .filter(|slot| slot.model.is_some() && slot.in_flight() < slot.limits.depth);
        free.any(|slot| slot.looked != version)
    }

    /// Whether any device could do this kernel.
    fn any_device(&self) -> bool {
        self.slots.iter().any(|slot| slot.model.is_some())
    }

    /// Nanoseconds that so many jobs take over all CPU threads.
    fn cpu_time(&self, line: Line, mean: Size, count: usize) -> f64 {
        line.fixed + line.rest(mean) * float(count.div_ceil(self.threads))
    }

    /// How many of the jobs are whose. `idle` asks as if nothing were in flight.
    fn share(&self, who: Option<usize>, jobs: &Jobs, now: Instant, idle: bool) -> usize {
        let mean = jobs.mean();
        let device = |(index, slot): (usize, &Slot)| {
            let line = slot.model.as_ref()?.line(jobs.group, now);
            let busy = if idle { 0.0 } else { slot.traffic.busy(now) };
            Some(Party {
                slot: Some(index),
                start: busy + line.fixed,
                each: line.rest(mean).max(0.1),
            })
        };
        let mut parties: Vec<Party> = self.slots.iter().enumerate().filter_map(device).collect();
        if parties.is_empty() {
            return if who.is_none() { jobs.count } else { 0 };
        }
        let of_devices = together(&mut parties, jobs.count);
        let mut end = of_devices;
        if self.routing == Routing::Measured {
            let line = self.cpu.line(jobs.group, now);
            let alone = self.cpu_time(line, mean, jobs.count);
            let cpu = Party {
                slot: None,
                start: line.fixed,
                each: (line.rest(mean) / float(self.threads)).max(0.1),
            };
            parties.push(cpu);
            let shared = together(&mut parties, jobs.count);
            // The CPU's part in whole jobs of whole threads.
            let part = whole(((shared - cpu.start) / cpu.each).ceil()).min(jobs.count);
            let shared = shared.max(self.cpu_time(line, mean, part));
            if part > 0 && shared * WORTH_SHARING < of_devices.min(alone) {
                end = shared;
            } else if alone <= of_devices {
                return if who.is_none() { jobs.count } else { 0 };
            } else {
                parties.retain(|party| party.slot.is_some());
            }
        }
        parties
            .iter()
            .find(|party| party.slot == who)
            .map_or(0, |party| {
                whole(((end - party.start) / party.each).ceil()).min(jobs.count)
            })
    }

    /// How many of the waiting jobs a CPU thread should take now. `None` where they are better left
    /// to a device.
    pub(crate) fn cpu_turn(&self, jobs: &Jobs, version: u64, now: Instant) -> Option<usize> {
        let own = if self.any_device() {
            self.share(None, jobs, now, false)
        } else {
            jobs.count
        };
        let own = match own {
            0 if self.all_declined(version) => jobs.count,
            0 => return None,
            own => own,
        };
        let job = self.cpu.line(jobs.group, now).rest(jobs.mean());
        let most = whole(CPU_TURN / job.max(0.1)).max(self.chunk);
        let size = if own >= 2 * self.threads * self.chunk {
            own / (2 * self.threads)
        } else {
            own.div_ceil(self.threads).min(self.chunk)
        };
        let size = size.clamp(1, most);
        // What is over a full chunk would be done in a part of one, at the cost of more.
        Some(if size > self.chunk {
            size - size % self.chunk
        } else {
            size
        })
    }

    /// How many of the waiting jobs, and how many bytes of them, the device should take now. `None` where
    /// others do them sooner, or where it has as much in flight as it can.
    pub(crate) fn device_turn(
        &self,
        index: usize,
        jobs: &Jobs,
        now: Instant,
    ) -> Option<(usize, usize)> {
        let slot = self.slots.get(index)?;
        let line = slot.model.as_ref()?.line(jobs.group, now);
        if slot.in_flight() >= slot.limits.depth {
            return None;
        }
        let own = self.share(Some(index), jobs, now, false);
        if own == 0 {
            return None;
        }
        let each = line.rest(jobs.mean()).max(0.1);
        let in_time = whole((self.longest - line.fixed) / each);
        let most = own.min(slot.limits.batch).min(in_time).max(1);
        Some((most, slot.limits.bytes))
    }

    pub(crate) fn report(&self, kernel: &'static str) -> RouteReport {
        let now = Instant::now();
        let mut why = Vec::new();
        let mut devices = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(model) = &slot.model else { continue };
            let first = self.first_batch(index, slot.limits.batch, now);
            why.push(match (self.routing, first) {
                (Routing::PreferDevice, _) => format!("everything to {}, as configured", slot.name),
                (Routing::Measured, Some(jobs)) => {
                    format!("batches of {jobs} and more to {}", slot.name)
                }
                (Routing::Measured, None) => {
                    format!("nothing to {}: the CPU is quicker", slot.name)
                }
            });
            let cost = model.line(self.usual.group, now).cost(self.usual.size);
            devices.push((slot.name.clone(), cost, first));
        }
        if why.is_empty() {
            why.push("everything to the CPU: no device is ready".to_owned());
        }
        RouteReport {
            kernel,
            cpu: self.cpu.line(self.usual.group, now).cost(self.usual.size),
            devices,
            why: why.join("; "),
        }
    }

    /// The smallest batch of usual jobs of which an idle device would do a part.
    fn first_batch(&self, index: usize, most: usize, now: Instant) -> Option<usize> {
        let takes = |count: usize| {
            let jobs = Jobs {
                count,
                size: Size {
                    weight: self.usual.size.weight * float(count),
                    bytes: self.usual.size.bytes * float(count),
                },
                ..self.usual
            };
            self.share(Some(index), &jobs, now, true) > 0
        };
        // The larger the batch, the better for a device with a fixed cost.
        let (mut none, mut some) = (0, most);
        if !takes(some) {
            return None;
        }
        while some - none > 1 {
            let middle = none + (some - none) / 2;
            if takes(middle) {
                some = middle;
            } else {
                none = middle;
            }
        }
        Some(some)
    }
}

#[cfg(test)]
mod tests;
