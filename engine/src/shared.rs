//! What the engine's handles and threads share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex};

use crate::config::Config;
use crate::crew::Crew;
use crate::gate::Gate;
use crate::lane::AnyLane;
use crate::options::Priority;
use crate::report::{AdapterReport, AdapterSummary, DeviceState, SelfTestReport};
use crate::signal::Signal;
use crate::store::Store;

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
    pub(crate) listeners: AtomicUsize,
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
    pub(crate) fn start_drains(self: &Arc<Self>, wanted: usize) {
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

    pub(crate) fn set_self_tests(&self, adapter: usize, reports: &[SelfTestReport]) {
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
pub(crate) struct Listening<'a>(&'a AtomicUsize);

impl<'a> Listening<'a> {
    pub(crate) fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
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
