//! What the engine's handles and threads share, and the threads that own devices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use parking_lot::{Condvar, Mutex};

use crate::config::Config;
use crate::crew::Crew;
use crate::device::{OnDevice, OpenDevice, Site, Source, Turn};
use crate::error::DeviceError;
use crate::gate::Gate;
use crate::lane::AnyLane;
use crate::options::Priority;
use crate::report::{AdapterKind, AdapterReport, AdapterSummary, DeviceState, SelfTestReport};
use crate::signal::Signal;
use crate::store::{self, Store};

/// Longest pause before a failed device is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A device that served this long has its failures of before forgiven.
const GOOD_CONDUCT: Duration = LONGEST_PAUSE;

/// How long a device's owner waits for a batch before it looks for new work.
const POLL: Duration = Duration::from_millis(1);

/// Batches that a device has use for at a time: one that it computes and one that follows.
const IN_FLIGHT: usize = 2;

/// How soon the clock looks again at a batch that is due and that nobody has taken.
const CLOCK_TICK: Duration = Duration::from_millis(1);

pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) lanes: Vec<Arc<dyn AnyLane>>,
    pub(crate) pool: rayon::ThreadPool,
    /// What is known from earlier starts.
    pub(crate) store: Store,
    /// Where the next look for work begins, so that kernels take turns.
    next_lane: AtomicUsize,
    /// Threads that work through the lanes: tasks in the pool, and callers that wait for their jobs.
    crew: Crew,
    pub(crate) signal: Signal,
    /// Threads that wait on the signal.
    listeners: AtomicUsize,
    stop: AtomicBool,
    pub(crate) devices: Mutex<Devices>,
    pub(crate) devices_changed: Condvar,
}

/// What is known about the adapters.
pub(crate) struct Devices {
    pub(crate) adapters: Vec<AdapterReport>,
    /// Adapters, or the search for them, that have not come to a first result.
    pub(crate) pending: usize,
    /// Indices into `adapters` of those that have an owner, and the owners' ears.
    pub(crate) owners: Vec<(usize, Sender<SelfTestRequest>)>,
}

/// Asks a device's owner to run its self-tests now.
pub(crate) struct SelfTestRequest(pub(crate) Sender<Vec<SelfTestReport>>);

/// Why an owner stopped serving.
enum End {
    Stopped,
    Failed(DeviceError),
}

impl Shared {
    pub(crate) fn new(
        config: Arc<Config>,
        gate: Arc<Gate>,
        lanes: Vec<Arc<dyn AnyLane>>,
        pool: rayon::ThreadPool,
        store: Store,
    ) -> Self {
        Self {
            crew: Crew::new(config.cpu_threads),
            next_lane: AtomicUsize::new(0),
            config,
            store,
            gate,
            lanes,
            pool,
            signal: Signal::default(),
            listeners: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            devices: Mutex::new(Devices {
                adapters: Vec::new(),
                pending: 0,
                owners: Vec::new(),
            }),
            devices_changed: Condvar::new(),
        }
    }

    pub(crate) fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub(crate) fn stop(&self) {
        self.gate.close();
        self.stop.store(true, Ordering::SeqCst);
        for lane in &self.lanes {
            lane.close();
        }
        self.signal.raise();
    }

    /// Tells everyone who could work that a lane has work; `helping` threads are at hand and find places left
    /// for them in the crew.
    pub(crate) fn announce(self: &Arc<Self>, lane: &dyn AnyLane, helping: usize) {
        if self.listeners.load(Ordering::SeqCst) > 0 {
            self.signal.raise();
        }
        // Whoever is at work looks again before it goes.
        if self.crew.is_full() {
            return;
        }
        let wanted = lane.cpu_wanted().min(self.config.cpu_threads);
        self.start_drains(wanted.saturating_sub(helping));
    }

    /// Lets up to `wanted` more CPU threads work through the lanes.
    fn start_drains(self: &Arc<Self>, wanted: usize) {
        for _ in 0..wanted.min(self.config.cpu_threads) {
            if !self.crew.join() {
                return;
            }
            self.spawn_drain();
        }
    }

    /// Sends a thread that has its place in the crew already.
    fn spawn_drain(self: &Arc<Self>) {
        let me = Arc::clone(self);
        self.pool.spawn(move || me.drain());
    }

    /// One turn at the lane whose work is of the earliest class; lanes of one class take turns. `false` if none
    /// has work.
    fn turn(&self) -> bool {
        if let [lane] = self.lanes.as_slice() {
            return lane.cpu_turn(Priority::Pool);
        }
        loop {
            let first = self.next_lane.fetch_add(1, Ordering::Relaxed) % self.lanes.len().max(1);
            let (before, from) = self.lanes.split_at(first);
            let work = from.iter().chain(before);
            let work = work.filter_map(|lane| Some((lane.cpu_class()?, lane)));
            let Some((class, lane)) = work.min_by_key(|(class, _)| *class) else {
                return false;
            };
            // Another thread may have been quicker.
            if lane.cpu_turn(class) {
                return true;
            }
        }
    }

    fn drain(self: Arc<Self>) {
        loop {
            while self.turn() {
                // Recomputations for a device's owner come in between.
                rayon::yield_now();
            }
            if !self.leave_crew() {
                return;
            }
        }
    }

    /// Gives up a place in the crew. `true` where the caller has to go on.
    fn leave_crew(&self) -> bool {
        if self
            .crew
            .leave(|| self.lanes.iter().any(|lane| lane.cpu_wanted() > 0))
        {
            return true;
        }
        if self.lanes.iter().any(|lane| lane.devices_should_look()) {
            self.signal.raise();
        }
        false
    }

    /// Works on the calling thread, in the crew if there is a place, as long as there is something to do
    /// and `goes_on` says so. A caller that waits for its own job saves two changes of threads by it.
    pub(crate) fn help(self: &Arc<Self>, goes_on: impl Fn() -> bool) {
        if !self.crew.join() {
            return;
        }
        while goes_on() && self.turn() {}
        if self.leave_crew() {
            // Work for others: the pool takes the place over.
            self.spawn_drain();
        }
    }

    /// Makes batches due when `max_wait` is over. Only where `max_wait` is not zero.
    pub(crate) fn keep_time(self: &Arc<Self>) {
        let _listening = Listening::new(&self.listeners);
        while !self.stopping() {
            let seen = self.signal.count();
            let now = Instant::now();
            let due = self.lanes.iter().filter_map(|lane| lane.due_at()).min();
            let again = match due {
                Some(at) if at <= now => {
                    self.start_drains(self.config.cpu_threads);
                    Some(now + CLOCK_TICK)
                }
                later => later,
            };
            if self.stopping() {
                return;
            }
            self.signal.wait(seen, again);
        }
    }

    pub(crate) fn set_state(&self, adapter: usize, state: DeviceState) {
        let mut devices = self.devices.lock();
        if let Some(report) = devices.adapters.get_mut(adapter) {
            if matches!(
                state,
                DeviceState::Resting { .. } | DeviceState::Disabled { .. }
            ) {
                report.failures += 1;
            }
            report.state = state;
        }
    }

    fn set_self_tests(&self, adapter: usize, reports: &[SelfTestReport]) {
        if let Some(report) = self.devices.lock().adapters.get_mut(adapter) {
            report.self_tests = reports.to_vec();
        }
    }

    /// One of the first results that `wait_ready` waits for is there.
    pub(crate) fn first_result(&self) {
        let mut devices = self.devices.lock();
        devices.pending = devices.pending.saturating_sub(1);
        self.devices_changed.notify_all();
    }
}

/// Counts the calling thread as one that waits on the signal.
struct Listening<'a>(&'a AtomicUsize);

impl<'a> Listening<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
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
        let adapter = &self.source.summary;
        // What a script makes of a device says nothing of the next one.
        let lasting = adapter.kind != AdapterKind::Scripted;
        Site {
            store: self.shared.store.clone(),
            name: lasting.then(|| format!("{adapter}|{}", store::build())),
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

/// The report of an adapter at its first mention.
pub(crate) fn first_report(adapter: AdapterSummary, state: DeviceState) -> AdapterReport {
    AdapterReport {
        adapter,
        state,
        self_tests: Vec::new(),
        failures: 0,
    }
}
