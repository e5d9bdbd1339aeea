//! One kernel's lane: its queue, its books, and the turns in which back ends take work from it.

use std::any::Any;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::calibrate::{Costs, Size, duration};
use crate::config::Config;
use crate::cpu;
use crate::device::{OnDevice, OpenDevice, Opened, Site};
use crate::error::{DeviceError, EngineError, nanoseconds};
use crate::gate::{Gate, Load};
use crate::kernel::Kernel;
use crate::options::SubmitOptions;
use crate::queue::{Claim, Entry, Head, More, Queue, Removed};
use crate::report::{RouteReport, SelfTestReport};
use crate::routing::{Jobs, Limits, Routes};
use crate::slot::Slot;
use crate::stats::{BackendStats, KernelStats};
use crate::store::{self, Store};
use crate::ticket::{Answer, Position, Ticket};

/// Jobs that the gate has let in, each with what it takes.
pub(crate) type Admitted<J> = Vec<(J, Load)>;

/// A job in work that identical ones may join.
struct Flight<K: Kernel> {
    job: Arc<K::Job>,
    /// Where it waits, or waited: this and the job's group.
    sequence: u64,
}

impl<K: Kernel> Flight<K> {
    fn position(&self) -> Position {
        Position {
            group: K::group(&self.job),
            sequence: self.sequence,
        }
    }
}

/// What is decided under one lock.
struct Desk<K: Kernel> {
    queue: Queue<K>,
    /// By fingerprint.
    flights: HashMap<NonZeroU64, Flight<K>>,
    /// Claims that came after the batch of their flight had started.
    late: HashMap<NonZeroU64, Vec<Claim<K::Output>>>,
    routes: Routes,
    closed: bool,
    /// Counts the changes of the queue.
    version: u64,
}

/// What a device finds when it looks for work.
pub(crate) enum DeviceTurn<K: Kernel> {
    /// A batch to run.
    Batch(Vec<Entry<K>>),
    /// No batch.
    Nothing(Outlook),
}

/// What a device without a batch may expect.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outlook {
    /// There is work that the CPU does sooner.
    pub(crate) left_to_cpu: bool,
    /// When the next batch is due, if one is waiting to be.
    pub(crate) due: Option<Instant>,
}

/// What became of jobs that were queued.
pub(crate) struct Pushed<T> {
    pub(crate) tickets: Vec<Ticket<T>>,
    /// How many CPU threads could start on the queue.
    pub(crate) for_cpu: usize,
}

/// One kernel's queue and books.
pub(crate) struct Lane<K: Kernel> {
    desk: Mutex<Desk<K>>,
    books: Mutex<KernelStats>,
    state: K::State,
    /// Nanoseconds that a job takes on one CPU thread.
    job_cost: AtomicU64,
    /// Keyed from the operating system's randomness.
    hasher: RandomState,
    gate: Arc<Gate>,
    config: Arc<Config>,
}

/// A lane whose kernel is not known to the one who holds it.
pub(crate) trait AnyLane: Any + Send + Sync {
    fn name(&self) -> &'static str;
    /// Known-answer test of the CPU path, on the calling thread.
    fn test_cpu(&self) -> SelfTestReport;
    /// Measures the CPU path on the calling thread, or takes what an earlier start has measured.
    fn measure_cpu(&self, store: &Store);
    fn add_slot(&self, name: &str);
    /// Opens the kernel on a device. `None` if it has no path for it.
    fn open(
        self: Arc<Self>,
        device: &OpenDevice,
        site: &Site,
        slot: usize,
    ) -> Result<Option<Box<dyn OnDevice>>, DeviceError>;
    fn shut_slot(&self, slot: usize);
    /// Does one turn's worth of jobs on the calling thread. `false` if there was nothing to do.
    fn cpu_turn(&self) -> bool;
    fn cpu_has_work(&self) -> bool;
    /// Whether there is work that a free device has not seen as it is now. Whoever takes or leaves
    /// a part of the work changes who should do the rest; a device that declined has to look again.
    fn devices_should_look(&self) -> bool;
    /// When the oldest job makes a batch due, if any job waits.
    fn due_at(&self) -> Option<Instant>;
    /// Whether the job of this position still waits.
    fn waits(&self, position: Position) -> bool;
    fn cancel(&self, position: Position, id: usize);
    /// Accepts nothing more, and reports what waits as `ShuttingDown`.
    fn close(&self);
    fn stats(&self) -> KernelStats;
    fn route(&self) -> RouteReport;
}

impl<K: Kernel> Lane<K> {
    pub(crate) fn new(gate: Arc<Gate>, config: Arc<Config>, state: K::State) -> Self {
        let cpu = BackendStats {
            backend: "cpu".to_owned(),
            ..BackendStats::default()
        };
        let books = KernelStats {
            kernel: K::NAME.to_owned(),
            backends: vec![cpu],
            ..KernelStats::default()
        };
        let routes = Routes::new(&config, K::CPU_CHUNK);
        Self {
            desk: Mutex::new(Desk {
                queue: Queue::default(),
                flights: HashMap::new(),
                late: HashMap::new(),
                routes,
                closed: false,
                version: 0,
            }),
            books: Mutex::new(books),
            state,
            job_cost: AtomicU64::new(1),
            hasher: RandomState::new(),
            gate,
            config,
        }
    }

    /// What the kernel keeps between batches.
    pub(crate) fn state(&self) -> &K::State {
        &self.state
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// What a job takes of the bounds.
    pub(crate) fn load(&self, job: &K::Job, options: &SubmitOptions) -> Load {
        let cost = self.job_cost.load(Ordering::Relaxed);
        Load {
            bytes: K::job_bytes(job),
            work: cost.saturating_mul(u64::from(K::job_weight(job))),
            priority: options.priority,
            caller: options.caller,
        }
    }

    /// A job's fingerprint, if it may be shared.
    fn print(&self, job: &K::Job) -> Option<NonZeroU64> {
        if !self.config.share_identical {
            return None;
        }
        let mut hasher = self.hasher.build_hasher();
        K::fingerprint(job, &mut hasher)
            .then(|| NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN))
    }

    /// Queues jobs that the gate has admitted. Gives them back if the lane is closed.
    pub(crate) fn push(
        &self,
        me: &Arc<dyn AnyLane>,
        jobs: Admitted<K::Job>,
        deadline: Option<Instant>,
    ) -> Result<Pushed<K::Output>, Admitted<K::Job>> {
        let me: Weak<dyn AnyLane> = Arc::downgrade(me);
        let prints: Vec<_> = jobs.iter().map(|(job, _)| self.print(job)).collect();
        let accepted = Instant::now();
        let count = jobs.len();
        let mut tickets = Vec::with_capacity(count);
        // What identical jobs do not take after all; dropped outside the lock.
        let mut spare = Vec::new();
        let mut desk = self.desk.lock();
        if desk.closed {
            return Err(jobs);
        }
        let hurry = deadline.is_some_and(|deadline| deadline <= accepted + self.config.max_wait);
        for ((job, load), print) in jobs.into_iter().zip(prints) {
            let slot = Arc::new(Slot::new(accepted, deadline, &load));
            let claim = Claim::new(Arc::clone(&slot), &load);
            let position = desk.place(job, claim, print, hurry, &mut spare);
            tickets.push(Ticket::new(slot, me.clone(), position));
        }
        desk.version += 1;
        // Counted before a worker can count the answer.
        self.books.lock().submitted += u64::try_from(count).unwrap_or(u64::MAX);
        let turn = self
            .cpu_turn_size(&desk, accepted)
            .map_or(0, |(_, size)| size);
        let for_cpu = if turn == 0 {
            0
        } else {
            desk.queue.len().div_ceil(turn)
        };
        drop(desk);
        if !spare.is_empty() {
            let bytes = spare.iter().map(|(_, (bytes, _))| bytes).sum();
            let work = spare.iter().map(|(_, (_, work))| work).sum();
            drop(spare);
            self.gate.shrink(bytes, work);
        }
        Ok(Pushed { tickets, for_cpu })
    }

    pub(crate) fn count_refusal(&self) {
        self.books.lock().refused += 1;
    }

    /// Whether a batch of this group may start, or when it may.
    fn due(&self, desk: &Desk<K>, head: &Head, now: Instant) -> Result<(), Instant> {
        let at = head.accepted + self.config.max_wait;
        if at <= now || head.hurry || desk.closed || head.len >= self.config.max_batch {
            Ok(())
        } else {
            Err(at)
        }
    }

    /// How many jobs of which group a CPU thread should take now. `None` if there is nothing, or if
    /// it is better left to a device.
    fn cpu_turn_size(&self, desk: &Desk<K>, now: Instant) -> Option<(Head, usize)> {
        desk.queue
            .in_order()
            .into_iter()
            .filter(|head| self.due(desk, head, now).is_ok())
            .find_map(|head| {
                let size = desk.routes.cpu_turn(&waiting(&head), desk.version, now)?;
                Some((head, size))
            })
    }

    /// The next batch for the device in `slot`, which counts as in flight there from now on.
    pub(crate) fn device_turn(&self, slot: usize) -> DeviceTurn<K> {
        let now = Instant::now();
        let mut desk = self.desk.lock();
        let late = desk.expire(now);
        let mut outlook = Outlook::default();
        let mut turn = None;
        for head in desk.queue.in_order() {
            if let Err(at) = self.due(&desk, &head, now) {
                outlook.due = [outlook.due, Some(at)].into_iter().flatten().min();
            } else if let Some((most, bytes)) = desk.routes.device_turn(slot, &waiting(&head), now)
            {
                let batch = desk.queue.take(&head, most, bytes);
                desk.version += 1;
                desk.routes.started(slot, &jobs_of(&batch), now);
                turn = Some(DeviceTurn::Batch(batch));
                break;
            } else {
                outlook.left_to_cpu = true;
            }
        }
        if turn.is_none() {
            let version = desk.version;
            let declined = outlook.left_to_cpu;
            desk.routes.looked(slot, version, declined);
        }
        drop(desk);
        self.answer_late(late);
        turn.unwrap_or(DeviceTurn::Nothing(outlook))
    }

    /// Tells claims that their deadline has passed.
    fn answer_late(&self, late: Vec<Removed<K>>) {
        if late.is_empty() {
            return;
        }
        self.books.lock().expired += u64::try_from(late.len()).unwrap_or(u64::MAX);
        // The jobs go first, so the bound counts memory that is really held.
        let claims: Vec<_> = late.into_iter().map(|removed| removed.claim).collect();
        self.gate.release(claims.iter().map(Claim::load));
        for claim in claims {
            claim.answer(Err(EngineError::DeadlineExceeded));
        }
    }

    /// A batch in flight went to the device in two parts.
    pub(crate) fn parted(&self, slot: usize, first: &Jobs, rest: &Jobs) {
        let now = Instant::now();
        let mut desk = self.desk.lock();
        desk.routes.parted(slot, first, rest, now);
        desk.version += 1;
    }

    /// A batch is no longer in flight on the device; `took` is its time there, if that says something of
    /// its costs.
    pub(crate) fn finished(&self, slot: usize, jobs: &Jobs, took: Option<Duration>) {
        let now = Instant::now();
        let mut desk = self.desk.lock();
        desk.routes.finished(slot, jobs, took, now);
        // Who should do what waits may be another now.
        desk.version += 1;
    }

    pub(crate) fn ready_slot(&self, slot: usize, costs: &Costs, limits: Limits) {
        let mut desk = self.desk.lock();
        desk.routes.ready(slot, costs, limits);
        desk.version += 1;
    }

    /// Writes into the books of one back end: 0 is the CPU, `slot + 1` a device.
    pub(crate) fn book(&self, backend: usize, write: impl FnOnce(&mut BackendStats)) {
        if let Some(backend) = self.books.lock().backends.get_mut(backend) {
            write(backend);
        }
    }

    /// Hands out answers, after the room of their jobs was given back and the books were written.
    pub(crate) fn answer(&self, mut batch: Vec<Entry<K>>, answers: Vec<Answer<K::Output>>) {
        if batch.iter().any(|entry| entry.print.is_some()) {
            let mut desk = self.desk.lock();
            for entry in &mut batch {
                let late = desk.land(&entry.job, entry.print);
                entry.more.extend(late);
            }
        }
        let panicked = answers.iter().filter(|answer| answer.is_err()).count();
        let shared: usize = batch.iter().map(|entry| entry.more.as_slice().len()).sum();
        if panicked > 0 || shared > 0 {
            let mut books = self.books.lock();
            books.panicked += u64::try_from(panicked).unwrap_or(u64::MAX);
            books.shared += u64::try_from(shared).unwrap_or(u64::MAX);
        }
        // Jobs are dropped here, so the bound counts memory that is really held.
        let claims: Vec<_> = batch
            .into_iter()
            .map(|entry| (entry.first, entry.more.into_vec()))
            .collect();
        let loads = claims
            .iter()
            .flat_map(|(first, more)| std::iter::once(first).chain(more));
        self.gate.release(loads.map(Claim::load));
        for ((first, more), answer) in claims.into_iter().zip(answers) {
            for claim in more {
                claim.answer(answer.clone());
            }
            first.answer(answer);
        }
    }
}

impl<K: Kernel> Desk<K> {
    /// Queues a job, or joins it to an identical one. A job does not join one that waits in a later
    /// class.
    fn place(
        &mut self,
        job: K::Job,
        mut claim: Claim<K::Output>,
        print: Option<NonZeroU64>,
        hurry: bool,
        spare: &mut Vec<(K::Job, (usize, u64))>,
    ) -> Position {
        let same = print
            .and_then(|print| self.flights.get_mut(&print))
            .map(|flight| {
                let same = K::same(&flight.job, &job);
                (flight, same)
            });
        let register = match same {
            // Equal fingerprints of different jobs: this one flies alone.
            Some((_, false)) => false,
            Some((flight, true)) => {
                let position = flight.position();
                let waits = self.queue.waits(position);
                if !waits || position.priority() <= claim.priority() {
                    spare.push((job, claim.give_up()));
                    if let Err(claim) = self.queue.join(position, claim, hurry)
                        && let Some(print) = print
                    {
                        self.late.entry(print).or_default().push(claim);
                    }
                    return position;
                }
                true
            }
            None => true,
        };
        let job = Arc::new(job);
        let print = print.filter(|_| register);
        let flying = print.map(|print| (print, Arc::clone(&job)));
        let entry = Entry {
            job,
            first: claim,
            more: More::default(),
            print,
        };
        let position = self.queue.push(entry, hurry);
        if let Some((print, job)) = flying {
            let sequence = position.sequence;
            // A flight that this one replaces takes no more claims, and had none yet: it waits.
            self.flights.insert(print, Flight { job, sequence });
        }
        position
    }

    /// Ends the flight of a job, if it is the one that others may join; the claims that came late.
    fn land(&mut self, job: &Arc<K::Job>, print: Option<NonZeroU64>) -> Vec<Claim<K::Output>> {
        let Some(print) = print else {
            return Vec::new();
        };
        let flight = self.flights.get(&print);
        if flight.is_some_and(|flight| Arc::ptr_eq(&flight.job, job)) {
            self.flights.remove(&print);
            self.late.remove(&print).unwrap_or_default()
        } else {
            Vec::new()
        }
    }

    fn expire(&mut self, now: Instant) -> Vec<Removed<K>> {
        let late = self.queue.expire(now);
        for removed in &late {
            self.forget(removed);
        }
        if !late.is_empty() {
            self.version += 1;
        }
        late
    }

    /// Ends the flight of a job that nobody waits for.
    fn forget(&mut self, removed: &Removed<K>) {
        if let Some(orphan) = &removed.job {
            self.land(&orphan.job, orphan.print);
        }
    }
}

impl<K: Kernel> AnyLane for Lane<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn test_cpu(&self) -> SelfTestReport {
        cpu::self_test::<K>()
    }

    fn measure_cpu(&self, store: &Store) {
        let key = format!(
            "cpu {}|{}|{}|costs",
            pars_kernels::cpu::features(),
            store::build(),
            K::NAME
        );
        let known: Option<Costs> = store.get(&key).and_then(|text| text.parse().ok());
        let costs = cpu::measure::<K>(known.clone());
        if known.as_ref() != Some(&costs) {
            store.put(&key, &costs.to_string());
        }
        let nanos = nanoseconds(duration(costs.usual().unit)).max(1);
        self.job_cost.store(nanos, Ordering::Relaxed);
        self.desk.lock().routes.set_cpu(&costs, usual::<K>());
    }

    fn add_slot(&self, name: &str) {
        self.desk.lock().routes.add(name);
        let books = BackendStats {
            backend: name.to_owned(),
            ..BackendStats::default()
        };
        self.books.lock().backends.push(books);
    }

    fn open(
        self: Arc<Self>,
        device: &OpenDevice,
        site: &Site,
        slot: usize,
    ) -> Result<Option<Box<dyn OnDevice>>, DeviceError> {
        let accelerator = device.open_kernel::<K>(&self.state, site)?;
        Ok(accelerator
            .map(|accelerator| Box::new(Opened::new(self, accelerator, slot)) as Box<dyn OnDevice>))
    }

    fn shut_slot(&self, slot: usize) {
        let mut desk = self.desk.lock();
        desk.routes.shut(slot);
        desk.version += 1;
    }

    fn cpu_turn(&self) -> bool {
        let start = Instant::now();
        let (late, batch) = {
            let mut desk = self.desk.lock();
            let late = desk.expire(start);
            let batch = self.cpu_turn_size(&desk, start).map(|(head, size)| {
                desk.version += 1;
                desk.queue.take(&head, size, usize::MAX)
            });
            (late, batch)
        };
        self.answer_late(late);
        let Some(batch) = batch else {
            return false;
        };
        let _span = tracing::debug_span!(
            target: "pars_engine::batch", "batch",
            kernel = K::NAME, slot = 0, jobs = batch.len()
        )
        .entered();
        let jobs: Vec<&K::Job> = batch.iter().map(|entry| &*entry.job).collect();
        let answers = cpu::run::<K>(&self.state, &jobs);
        let time = start.elapsed();
        let jobs = jobs_of(&batch);
        self.book(0, |cpu| book_batch(cpu, &batch, start, time, batch.len()));
        self.answer(batch, answers);
        let mut desk = self.desk.lock();
        desk.routes.cpu_took(&jobs, time, start + time);
        desk.version += 1;
        true
    }

    fn cpu_has_work(&self) -> bool {
        self.cpu_turn_size(&self.desk.lock(), Instant::now())
            .is_some()
    }

    fn devices_should_look(&self) -> bool {
        let desk = self.desk.lock();
        desk.queue.len() > 0 && desk.routes.behind(desk.version)
    }

    fn due_at(&self) -> Option<Instant> {
        let oldest = self.desk.lock().queue.oldest();
        oldest.map(|accepted| accepted + self.config.max_wait)
    }

    fn waits(&self, position: Position) -> bool {
        self.desk.lock().queue.waits(position)
    }

    fn cancel(&self, position: Position, id: usize) {
        let removed = {
            let mut desk = self.desk.lock();
            let Some(removed) = desk.queue.remove(position, id) else {
                return;
            };
            desk.forget(&removed);
            desk.version += 1;
            removed
        };
        self.books.lock().cancelled += 1;
        let load = removed.claim.load();
        drop(removed);
        self.gate.release([load]);
    }

    fn close(&self) {
        let waiting = {
            let mut desk = self.desk.lock();
            desk.closed = true;
            let waiting = desk.queue.take_all();
            for entry in &waiting {
                desk.land(&entry.job, entry.print);
            }
            waiting
        };
        let claims: Vec<_> = waiting
            .into_iter()
            .flat_map(|entry| std::iter::once(entry.first).chain(entry.more.into_vec()))
            .collect();
        self.books.lock().shut_down += u64::try_from(claims.len()).unwrap_or(u64::MAX);
        self.gate.release(claims.iter().map(Claim::load));
        for claim in claims {
            claim.answer(Err(EngineError::ShuttingDown));
        }
    }

    fn stats(&self) -> KernelStats {
        let queued = self.desk.lock().queue.len();
        KernelStats {
            queued,
            cache: K::cache_stats(&self.state),
            ..self.books.lock().clone()
        }
    }

    fn route(&self) -> RouteReport {
        self.desk.lock().routes.report(K::NAME)
    }
}

/// The jobs of a group that wait, as the routing sees them.
#[allow(clippy::cast_precision_loss)]
fn waiting(head: &Head) -> Jobs {
    Jobs {
        group: head.group,
        count: head.len,
        size: Size {
            weight: head.weight as f64,
            bytes: head.bytes as f64,
        },
    }
}

/// The jobs of a batch, as the routing sees them.
pub(crate) fn jobs_of<K: Kernel>(batch: &[Entry<K>]) -> Jobs {
    Jobs {
        group: batch.first().map_or(0, |entry| K::group(&entry.job)),
        count: batch.len(),
        size: Size::of_all::<K>(batch.iter().map(|entry| &*entry.job)),
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
    let mut bytes = 0;
    for entry in batch {
        let accepted = entry.first.accepted();
        let queued = start.saturating_duration_since(accepted);
        books.queue_time.record_time(queued);
        let total = now.saturating_duration_since(accepted);
        books.total_time.record_time(total);
        bytes += entry.first.load().bytes;
    }
    books.job_bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
}

#[cfg(test)]
mod tests;
