//! The bounds on accepted work, and the line of callers that wait for room.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex};
use futures_channel::oneshot;

use crate::options::{Priority, is_late};

/// How full an engine is. Jobs count from their acceptance to their answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// Jobs accepted and not yet answered.
    pub jobs: usize,
    /// Bound on `jobs`.
    pub max_jobs: usize,
    /// Bytes of those jobs.
    pub bytes: usize,
    /// Bound on `bytes`.
    pub max_bytes: usize,
    /// Estimated time of those jobs on one CPU thread.
    pub work: Duration,
    /// Bound on `work`.
    pub max_work: Duration,
    /// Callers that wait for room.
    pub waiting: usize,
    /// Most jobs there have been at one time.
    pub peak_jobs: usize,
    /// Most bytes there have been at one time.
    pub peak_bytes: usize,
}

impl fmt::Display for QueueState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} jobs, {} of {} bytes, {:.3} of {:.3} s of work, {} waiting",
            self.jobs,
            self.max_jobs,
            self.bytes,
            self.max_bytes,
            self.work.as_secs_f64(),
            self.max_work.as_secs_f64(),
            self.waiting
        )
    }
}

/// What one job takes of the bounds, and on whose account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) bytes: usize,
    /// Estimated nanoseconds on one CPU thread.
    pub(crate) work: u64,
    pub(crate) priority: Priority,
    pub(crate) caller: Option<u64>,
}

/// Bytes and work of one job, in few bytes of its own: there is one for every job in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    bytes: u32,
    /// Nanoseconds.
    work: u32,
}

impl Share {
    pub(crate) const NOTHING: Self = Self { bytes: 0, work: 0 };

    /// What the load of a job takes that the gate has let in, or would.
    pub(crate) fn of(load: &Load) -> Self {
        Self {
            bytes: u32::try_from(load.bytes).unwrap_or(u32::MAX),
            work: u32::try_from(load.work).unwrap_or(u32::MAX),
        }
    }

    pub(crate) fn load(self, priority: Priority, caller: Option<u64>) -> Load {
        Load {
            bytes: usize::try_from(self.bytes).unwrap_or(usize::MAX),
            work: u64::from(self.work),
            priority,
            caller,
        }
    }
}

/// Most work that one job counts for, in nanoseconds: four seconds.
pub(crate) const MOST_WORK: u64 = 4_000_000_000;

/// Most bytes of one job, whatever the bound: as many as a [`Share`] can say.
const MOST_BYTES: usize = 1 << 31;

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full(QueueState),
    TooLarge {
        bytes: usize,
        limit: usize,
    },
    Quota {
        caller: u64,
        jobs: usize,
        limit: usize,
    },
    Late,
    Closed,
}

/// The bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) jobs: usize,
    pub(crate) bytes: usize,
    /// Nanoseconds.
    pub(crate) work: u64,
    pub(crate) caller_jobs: usize,
}

impl Bounds {
    /// What a class may fill. All but the last may fill everything.
    fn of(&self, priority: Priority) -> Self {
        match priority {
            Priority::Consensus | Priority::BlockExecution => *self,
            Priority::Pool => Self {
                jobs: self.jobs - self.jobs / 4,
                bytes: self.bytes - self.bytes / 4,
                work: self.work - self.work / 4,
                caller_jobs: self.caller_jobs,
            },
        }
    }
}

/// Counts jobs, bytes and work, and admits no more than the bounds allow.
pub(crate) struct Gate {
    bounds: Bounds,
    state: Mutex<State>,
    empty: Condvar,
}

/// What is in the engine.
#[derive(Default)]
struct Used {
    jobs: usize,
    bytes: usize,
    work: u64,
    /// Jobs of each caller that has a name.
    callers: HashMap<u64, usize>,
}

impl Used {
    fn of_caller(&self, load: &Load) -> usize {
        load.caller
            .and_then(|caller| self.callers.get(&caller))
            .copied()
            .unwrap_or(0)
    }

    fn has_room(&self, bounds: &Bounds, load: &Load) -> bool {
        let bounds = bounds.of(load.priority);
        let bytes = self.bytes.checked_add(load.bytes);
        let work = self.work.checked_add(load.work);
        self.jobs < bounds.jobs
            && bytes.is_some_and(|bytes| bytes <= bounds.bytes)
            // An estimate must not keep a job out for ever.
            && (self.jobs == 0 || work.is_some_and(|work| work <= bounds.work))
    }

    fn over_quota(&self, bounds: &Bounds, load: &Load) -> bool {
        load.caller.is_some() && self.of_caller(load) >= bounds.caller_jobs
    }

    fn add(&mut self, load: &Load) {
        self.jobs += 1;
        self.bytes += load.bytes;
        self.work += load.work;
        if let Some(caller) = load.caller {
            *self.callers.entry(caller).or_default() += 1;
        }
    }

    fn subtract(&mut self, load: &Load) {
        self.jobs = self.jobs.saturating_sub(1);
        self.shrink(load.bytes, load.work);
        if let Some(caller) = load.caller
            && let Some(jobs) = self.callers.get_mut(&caller)
        {
            *jobs -= 1;
            if *jobs == 0 {
                self.callers.remove(&caller);
            }
        }
    }

    const fn shrink(&mut self, bytes: usize, work: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.work = self.work.saturating_sub(work);
    }
}

#[derive(Default)]
struct State {
    used: Used,
    peak_jobs: usize,
    peak_bytes: usize,
    closed: bool,
    next_place: u64,
    /// By class, then in order of arrival. `None` in `call` once the caller was told that there may
    /// be room.
    line: BTreeMap<(Priority, u64), Waiting>,
}

struct Waiting {
    load: Load,
    deadline: Option<Instant>,
    call: Option<oneshot::Sender<()>>,
}

impl State {
    fn take(&mut self, load: &Load) {
        self.used.add(load);
        self.peak_jobs = self.peak_jobs.max(self.used.jobs);
        self.peak_bytes = self.peak_bytes.max(self.used.bytes);
    }

    /// Whether somebody of an earlier class is in line for this room.
    fn outranked(&self, bounds: &Bounds, load: &Load) -> bool {
        !self.line.is_empty()
            && self
                .line
                .range(..(load.priority, 0))
                .any(|(_, waiting)| !self.used.over_quota(bounds, &waiting.load))
    }
}

impl Gate {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            state: Mutex::default(),
            empty: Condvar::new(),
        }
    }

    fn describe(&self, state: &State) -> QueueState {
        QueueState {
            jobs: state.used.jobs,
            max_jobs: self.bounds.jobs,
            bytes: state.used.bytes,
            max_bytes: self.bounds.bytes,
            work: Duration::from_nanos(state.used.work),
            max_work: Duration::from_nanos(self.bounds.work),
            waiting: state.line.len(),
            peak_jobs: state.peak_jobs,
            peak_bytes: state.peak_bytes,
        }
    }

    pub(crate) fn state(&self) -> QueueState {
        self.describe(&self.state.lock())
    }

    fn try_admit(&self, state: &mut State, load: &Load) -> Result<(), Refusal> {
        if state.closed {
            return Err(Refusal::Closed);
        }
        let limit = self.bounds.of(load.priority).bytes.min(MOST_BYTES);
        if load.bytes > limit {
            return Err(Refusal::TooLarge {
                bytes: load.bytes,
                limit,
            });
        }
        if let Some(caller) = load.caller
            && state.used.over_quota(&self.bounds, load)
        {
            return Err(Refusal::Quota {
                caller,
                jobs: state.used.of_caller(load),
                limit: self.bounds.caller_jobs,
            });
        }
        if !state.used.has_room(&self.bounds, load) || state.outranked(&self.bounds, load) {
            return Err(Refusal::Full(self.describe(state)));
        }
        state.take(load);
        Ok(())
    }

    /// Admits one job, or says why not. Never waits.
    pub(crate) fn admit(&self, load: &Load) -> Result<(), Refusal> {
        self.try_admit(&mut self.state.lock(), load)
    }

    /// Admits as many jobs from the front as there is room for, and says how many.
    pub(crate) fn admit_some(&self, loads: impl Iterator<Item = Load>) -> usize {
        let mut state = self.state.lock();
        loads
            .take_while(|load| self.try_admit(&mut state, load).is_ok())
            .count()
    }

    /// Admits one job as soon as there is room. Callers are served by class, then in the order of
    /// their arrival; one who waits for its own quota holds nobody up.
    pub(crate) async fn admit_in_turn(
        &self,
        load: &Load,
        deadline: Option<Instant>,
    ) -> Result<(), Refusal> {
        match self.admit(load) {
            Err(Refusal::Full(_) | Refusal::Quota { .. }) => {}
            decided => return decided,
        }
        let place = self.line_up(load.priority);
        loop {
            if is_late(deadline) {
                return Err(Refusal::Late);
            }
            let called = {
                let mut state = self.state.lock();
                match self.try_admit(&mut state, load) {
                    Err(Refusal::Full(_) | Refusal::Quota { .. }) => {}
                    decided => return decided,
                }
                let (call, called) = oneshot::channel();
                let waiting = Waiting {
                    load: *load,
                    deadline,
                    call: Some(call),
                };
                state.line.insert(place.number, waiting);
                called
            };
            // An error means that the gate is gone; the next round sees it closed.
            let _ = called.await;
        }
    }

    fn line_up(&self, priority: Priority) -> Place<'_> {
        let mut state = self.state.lock();
        let number = (priority, state.next_place);
        state.next_place += 1;
        Place { gate: self, number }
    }

    /// Gives back the room of finished or cancelled jobs.
    pub(crate) fn release(&self, loads: impl IntoIterator<Item = Load>) {
        self.give_back(|used| loads.into_iter().for_each(|load| used.subtract(&load)));
    }

    /// Gives back bytes and work of a job that stays.
    pub(crate) fn shrink(&self, bytes: usize, work: u64) {
        self.give_back(|used| used.shrink(bytes, work));
    }

    fn give_back(&self, what: impl FnOnce(&mut Used)) {
        let calls = {
            let mut state = self.state.lock();
            what(&mut state.used);
            if state.used.jobs == 0 {
                self.empty.notify_all();
            }
            self.calls(&mut state)
        };
        for call in calls {
            let _ = call.send(());
        }
    }

    /// The callers at the head of the line for whom there is room now. Those called before and not
    /// yet back keep their share. Those whose deadline has passed are called to hear it.
    fn calls(&self, state: &mut State) -> Vec<oneshot::Sender<()>> {
        let mut calls = Vec::new();
        if state.line.is_empty() {
            return calls;
        }
        let mut called: Vec<Load> = Vec::new();
        for waiting in state.line.values_mut() {
            if is_late(waiting.deadline) {
                calls.extend(waiting.call.take());
                continue;
            }
            if state.used.over_quota(&self.bounds, &waiting.load) {
                continue;
            }
            if !state.used.has_room(&self.bounds, &waiting.load) {
                break;
            }
            // As if it were in already.
            state.used.add(&waiting.load);
            called.push(waiting.load);
            calls.extend(waiting.call.take());
        }
        called.iter().for_each(|load| state.used.subtract(load));
        calls
    }

    /// Admits nothing from now on, and sends those in line away.
    pub(crate) fn close(&self) {
        let line = {
            let mut state = self.state.lock();
            state.closed = true;
            std::mem::take(&mut state.line)
        };
        for call in line.into_values().filter_map(|waiting| waiting.call) {
            let _ = call.send(());
        }
    }

    /// Waits until no job is left, at most for `limit`. Whether that came true.
    pub(crate) fn wait_empty(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.state.lock();
        while state.used.jobs > 0 {
            if self.empty.wait_until(&mut state, deadline).timed_out() {
                return state.used.jobs == 0;
            }
        }
        true
    }
}

/// A place in the line. Leaving it, served or not, calls the next.
struct Place<'a> {
    gate: &'a Gate,
    number: (Priority, u64),
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let calls = {
            let mut state = self.gate.state.lock();
            state.line.remove(&self.number);
            self.gate.calls(&mut state)
        };
        for call in calls {
            let _ = call.send(());
        }
    }
}
