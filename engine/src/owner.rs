//! The threads that own devices.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::device::{OnDevice, OpenDevice, Site, Source, Turn};
use crate::error::DeviceError;
use crate::report::{AdapterKind, AdapterSummary, DeviceState, SelfTestReport};
use crate::shared::{Listening, SelfTestRequest, Shared};
use crate::store;

/// Longest pause before a failed device is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A device that served this long has its failures of before forgiven.
const GOOD_CONDUCT: Duration = LONGEST_PAUSE;

/// How long a device's owner waits for a batch before it looks for new work.
const POLL: Duration = Duration::from_millis(1);

/// Batches that a device has use for at a time: one that it computes and one that follows.
const IN_FLIGHT: usize = 2;

/// Why an owner stopped serving.
enum End {
    Stopped,
    Failed(DeviceError),
}

/// The thread that owns one device.
pub(crate) struct Owner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) source: Source,
    /// Index in the device report.
    pub(crate) adapter: usize,
    /// Index in each lane's list of devices.
    pub(crate) slot: usize,
    pub(crate) requests: Receiver<SelfTestRequest>,
}

impl Owner {
    fn name(&self) -> &str {
        &self.source.summary.name
    }

    /// Opens the device, serves, and opens it again after failures, until the engine stops.
    pub(crate) fn own(self) {
        let _listening = Listening::new(&self.shared.listeners);
        let _span = tracing::info_span!(
            target: "pars_engine::device", "device",
            adapter = self.name(), slot = self.slot + 1
        )
        .entered();
        let mut first = true;
        let mut failures = 0;
        while !self.shared.stopping() {
            let (error, had_worked) = match self.start() {
                Err(error) => (error, failures > 0),
                Ok((device, mut kernels)) => {
                    self.settle(&mut first);
                    let since = Instant::now();
                    let End::Failed(error) = self.serve(&mut kernels) else {
                        return;
                    };
                    if since.elapsed() >= GOOD_CONDUCT {
                        failures = 0;
                    }
                    self.leave_service();
                    // Kernels before the device they live on; neither may take the thread down.
                    let closed = std::panic::AssertUnwindSafe(move || {
                        drop(kernels);
                        drop(device);
                    });
                    let _ = std::panic::catch_unwind(closed);
                    (error, true)
                }
            };
            failures += 1;
            let config = &self.shared.config;
            if error.is_wrong_answer() {
                tracing::error!(
                    adapter = self.name(), %error,
                    "ALARM: a device computed wrongly; its batch was done again on the CPU and the device is disabled"
                );
                return self.stay_disabled(error.to_string(), first);
            }
            if !had_worked || failures > config.device_retries {
                tracing::warn!(adapter = self.name(), %error, "device not used; its work goes to the CPU");
                return self.stay_disabled(error.to_string(), first);
            }
            let pause = config
                .device_pause
                .saturating_mul(1 << (failures - 1).min(16))
                .min(LONGEST_PAUSE.max(config.device_pause));
            tracing::warn!(
                adapter = self.name(), %error, pause_s = pause.as_secs_f64(),
                "device failed; its work goes to the CPU until it is opened again"
            );
            let state = DeviceState::Resting {
                reason: error.to_string(),
                pause,
            };
            self.shared.set_state(self.adapter, state);
            self.rest(Some(Instant::now() + pause));
            if !self.shared.stopping() {
                self.shared.set_state(self.adapter, DeviceState::Starting);
            }
        }
        self.settle(&mut first);
    }

    /// The device's first state is known; told once.
    fn settle(&self, first: &mut bool) {
        if std::mem::take(first) {
            self.shared.first_result();
        }
    }

    /// Opens the device and every kernel on it, tests and measures them.
    fn start(&self) -> Result<(OpenDevice, Vec<Box<dyn OnDevice>>), DeviceError> {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.try_start()));
        let started = caught.unwrap_or_else(|panic| {
            Err(DeviceError::Panicked(crate::error::panic_text(
                panic.as_ref(),
            )))
        });
        if started.is_err() {
            self.leave_service();
        }
        started
    }

    fn try_start(&self) -> Result<(OpenDevice, Vec<Box<dyn OnDevice>>), DeviceError> {
        let start = Instant::now();
        let device = (self.source.open)()?;
        let mut site = self.site();
        // What no kernel holds yet, for those that come.
        let mut left = self.shared.config.gpu_memory;
        device.keep_pipelines(&self.shared.store);
        let mut kernels = Vec::new();
        let mut reports = Vec::new();
        let mut reasons = Vec::new();
        for (number, lane) in self.shared.lanes.iter().enumerate() {
            let waiting = self.shared.lanes.len().saturating_sub(number).max(1);
            site.memory = left / u64::try_from(waiting).unwrap_or(u64::MAX);
            if self.shared.stopping() {
                return Err(DeviceError::Open("the engine is shutting down".to_owned()));
            }
            let opened = Arc::clone(lane).open(&device, &site, self.slot);
            let opened = opened.and_then(|kernel| {
                let Some(kernel) = kernel else {
                    return Ok(None);
                };
                let held = kernel.memory()?;
                Ok(Some((kernel, held)))
            });
            let mut kernel = match opened {
                Ok(Some((kernel, held))) => {
                    left = left.saturating_sub(held);
                    kernel
                }
                Ok(None) => continue,
                Err(error) => {
                    reasons.push(format!("{}: {error}", lane.name()));
                    reports.push(SelfTestReport {
                        kernel: lane.name(),
                        backend: self.name().to_owned(),
                        answers: 0,
                        undecided: 0,
                        time: start.elapsed(),
                        failure: Some(error.to_string()),
                    });
                    continue;
                }
            };
            let mut report = kernel.self_test(self.name());
            if let Err(error) = kernel.memory() {
                report.failure.get_or_insert(error.to_string());
            }
            if let Some(reason) = &report.failure {
                tracing::error!(
                    adapter = self.name(),
                    kernel = lane.name(),
                    reason,
                    "self-test failed"
                );
                reasons.push(format!("{}: self-test failed: {reason}", lane.name()));
            } else {
                kernels.push(kernel);
            }
            reports.push(report);
        }
        self.shared.set_self_tests(self.adapter, &reports);
        if kernels.is_empty() {
            let reason = if reasons.is_empty() {
                "no kernel has a GPU path".to_owned()
            } else {
                reasons.join("; ")
            };
            return Err(DeviceError::Rejected(reason));
        }
        for kernel in &mut kernels {
            let cost = kernel.enter_service(&site)?;
            tracing::info!(
                adapter = %self.source.summary, kernel = kernel.kernel(),
                fixed_us = cost.fixed.as_secs_f64() * 1e6, job_us = cost.job.as_secs_f64() * 1e6,
                opened_ms = start.elapsed().as_secs_f64() * 1e3, "device ready"
            );
        }
        device.save_pipelines();
        device.tested();
        self.shared.set_state(self.adapter, DeviceState::Ready);
        Ok((device, kernels))
    }

    fn site(&self) -> Site {
        Site {
            store: self.shared.store.clone(),
            name: lasting_name(&self.source.summary),
            memory: 0,
        }
    }

    /// Sends batches off and collects them until something fails; what is in flight then is answered on
    /// the CPU.
    fn serve(&self, kernels: &mut [Box<dyn OnDevice>]) -> End {
        let end = self.work(kernels);
        if matches!(end, End::Failed(_)) {
            self.leave_service();
        }
        for kernel in kernels {
            kernel.abandon(&self.shared.pool);
        }
        end
    }

    fn work(&self, kernels: &mut [Box<dyn OnDevice>]) -> End {
        // The kernel that was served last.
        let mut served = 0;
        loop {
            let seen = self.shared.signal.count();
            let stopping = self.shared.stopping();
            if stopping || !self.requests.is_empty() {
                if let Err(error) = self.land(kernels) {
                    return End::Failed(error);
                }
                if stopping {
                    return End::Stopped;
                }
                if let Err(error) = self.answer_requests(kernels) {
                    return End::Failed(error);
                }
            }
            let mut ran = false;
            let mut left_to_cpu = false;
            let mut again = None::<Instant>;
            for index in in_order(kernels, served) {
                let held_back = held_back(kernels, index);
                let Some(kernel) = kernels.get_mut(index) else {
                    continue;
                };
                if held_back {
                    continue;
                }
                match kernel.turn(&self.shared.pool) {
                    Turn::Ran => {
                        // Whatever has come meanwhile may be of an earlier class.
                        (ran, served) = (true, index);
                        break;
                    }
                    Turn::Failed(error) => return End::Failed(error),
                    Turn::Nothing(outlook) => {
                        left_to_cpu |= outlook.left_to_cpu;
                        again = [again, outlook.due].into_iter().flatten().min();
                    }
                }
            }
            if left_to_cpu {
                // A CPU thread may have left this work to the device when there was more of it.
                self.shared.start_drains(self.shared.config.cpu_threads);
            }
            if ran {
                continue;
            }
            let Some(index) = oldest(kernels) else {
                self.shared.signal.wait(seen, again);
                continue;
            };
            let refill = in_order(kernels, index).first() == Some(&index);
            let Some(kernel) = kernels.get_mut(index) else {
                continue;
            };
            match kernel.poll(POLL) {
                Ok(true) => {
                    if let Turn::Failed(error) = kernel.collect(&self.shared.pool, refill) {
                        return End::Failed(error);
                    }
                }
                Ok(false) => {
                    let limit = self.shared.config.gpu_timeout;
                    if kernel.oldest().is_some_and(|sent| sent.elapsed() > limit) {
                        let late = format!("a batch was not done within {limit:?}");
                        return End::Failed(DeviceError::Timeout(late));
                    }
                    // What waits for a device that is late may be the CPU's by now.
                    if self.shared.lanes.iter().any(|lane| lane.cpu_wanted() > 0) {
                        self.shared.start_drains(self.shared.config.cpu_threads);
                    }
                }
                Err(error) => return End::Failed(error),
            }
        }
    }

    /// Collects whatever is in flight.
    fn land(&self, kernels: &mut [Box<dyn OnDevice>]) -> Result<(), DeviceError> {
        while let Some(kernel) = oldest(kernels).and_then(|index| kernels.get_mut(index)) {
            if let Turn::Failed(error) = kernel.collect(&self.shared.pool, false) {
                return Err(error);
            }
        }
        Ok(())
    }

    fn answer_requests(&self, kernels: &mut [Box<dyn OnDevice>]) -> Result<(), DeviceError> {
        while let Ok(SelfTestRequest(reply)) = self.requests.try_recv() {
            let reports: Vec<_> = kernels
                .iter_mut()
                .map(|kernel| kernel.self_test(self.name()))
                .collect();
            self.shared.set_self_tests(self.adapter, &reports);
            let failure = reports.iter().find_map(|report| report.failure.clone());
            let _ = reply.send(reports);
            if let Some(got) = failure {
                let expected = "every known answer right".to_owned();
                return Err(DeviceError::WrongAnswer { expected, got });
            }
        }
        Ok(())
    }

    /// Sends the device's share of the work to the CPU.
    fn leave_service(&self) {
        for lane in &self.shared.lanes {
            lane.shut_slot(self.slot);
        }
        self.shared.start_drains(self.shared.config.cpu_threads);
    }

    fn stay_disabled(&self, reason: String, mut first: bool) {
        self.leave_service();
        self.shared
            .set_state(self.adapter, DeviceState::Disabled { reason });
        self.settle(&mut first);
        self.rest(None);
    }

    /// Waits, answering requests with the last self-tests.
    fn rest(&self, until: Option<Instant>) {
        loop {
            let seen = self.shared.signal.count();
            if self.shared.stopping() || until.is_some_and(|until| until <= Instant::now()) {
                return;
            }
            while let Ok(SelfTestRequest(reply)) = self.requests.try_recv() {
                let devices = self.shared.devices.lock();
                let reports = devices.adapters.get(self.adapter);
                let _ = reply.send(
                    reports
                        .map(|report| report.self_tests.clone())
                        .unwrap_or_default(),
                );
            }
            self.shared.signal.wait(seen, until);
        }
    }
}

/// What is kept of a device is kept under this name: of the adapter, its interface and driver, and of this build. `None` for a script:
/// what it makes of a device says nothing of the next one.
fn lasting_name(adapter: &AdapterSummary) -> Option<String> {
    let lasting = adapter.kind != AdapterKind::Scripted;
    lasting.then(|| format!("{adapter}|{}", store::build()))
}

/// The kernel whose batch was sent off first.
fn oldest(kernels: &[Box<dyn OnDevice>]) -> Option<usize> {
    let sent = kernels.iter().enumerate();
    let sent = sent.filter_map(|(index, kernel)| Some((kernel.oldest()?, index)));
    sent.min().map(|(_, index)| index)
}

/// The kernels by the class of what waits for them; those of one class in turn, the one served last at the end.
fn in_order(kernels: &[Box<dyn OnDevice>], served: usize) -> Vec<usize> {
    let count = kernels.len();
    let from = served.wrapping_add(1).checked_rem(count).unwrap_or(0);
    let mut order: Vec<_> = (from..count)
        .chain(0..from)
        .filter_map(|index| Some((kernels.get(index)?.next_class(), index)))
        // `None` would come before every class.
        .map(|(class, index)| (class.is_none(), class, index))
        .collect();
    order.sort_by_key(|(none, class, _)| (*none, *class));
    order.into_iter().map(|(_, _, index)| index).collect()
}

/// Whether a kernel should not send a batch behind those of other kernels: the device has as many as it can use,
/// and each more is one that a job of an earlier class would have to wait for. What comes before all of them goes.
fn held_back(kernels: &[Box<dyn OnDevice>], index: usize) -> bool {
    let Some(kernel) = kernels.get(index) else {
        return true;
    };
    let flights = kernels.iter().map(|kernel| kernel.flights());
    let (mut count, mut first) = (0, None);
    for flights in flights.filter(|flights| flights.count > 0) {
        count += flights.count;
        first = [first, flights.class].into_iter().flatten().min();
    }
    let urgent = match (kernel.next_class(), first) {
        (Some(own), Some(first)) => own < first,
        _ => false,
    };
    count >= kernel.flights().depth.max(IN_FLIGHT) && !urgent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_of_one_adapter_one_driver_and_one_build() {
        let one = AdapterSummary {
            name: "H100".to_owned(),
            kind: AdapterKind::Discrete,
            backend: "vulkan".to_owned(),
            driver: "570".to_owned(),
        };
        let name = lasting_name(&one).unwrap();
        assert!(name.ends_with(&format!("|{}", store::build())), "{name}");
        let change = |change: fn(&mut AdapterSummary)| {
            let mut other = one.clone();
            change(&mut other);
            lasting_name(&other)
        };
        for other in [
            change(|adapter| adapter.name.push('x')),
            change(|adapter| adapter.backend = "dx12".to_owned()),
            change(|adapter| adapter.driver = "571".to_owned()),
        ] {
            assert!(other.is_some() && other != Some(name.clone()), "{other:?}");
        }
        assert_eq!(change(|adapter| adapter.kind = AdapterKind::Scripted), None);
    }
}
