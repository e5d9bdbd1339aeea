//! One kernel's queue: what waits, who may take it, and the CPU's way through it.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use parking_lot::Mutex;

use crate::config::{Config, Routing};
use crate::device::{OnDevice, OpenDevice, Opened};
use crate::error::{DeviceError, EngineError, nanoseconds, panic_text};
use crate::gate::Gate;
use crate::kernel::Kernel;
use crate::report::{Cost, RouteReport, SelfTestReport};
use crate::stats::{BackendStats, KernelStats};
use crate::ticket::{Answer, Position, Ticket};

/// A CPU thread takes jobs for about this long at a time: long enough that taking them costs
/// nothing, short enough that the cores finish together.
const CPU_TURN: Duration = Duration::from_micros(500);

/// Jobs in a batch that measures the CPU, at least: enough to fill the vector lanes of a kernel.
const CPU_MEASURED_BATCH: usize = 16;

/// Passes over the known answers that measure the CPU; the quickest counts.
const CPU_MEASUREMENTS: usize = 3;

/// Jobs that the gate has let in, each with its bytes.
pub(crate) type Admitted<J> = Vec<(J, usize)>;

/// One job in the queue.
pub(crate) struct Entry<K: Kernel> {
    pub(crate) job: K::Job,
    pub(crate) answer: oneshot::Sender<Answer<K::Output>>,
    pub(crate) bytes: usize,
    pub(crate) accepted: Instant,
}

/// A device as the routing of one kernel sees it.
struct Slot {
    name: String,
    /// `None` while the device cannot run this kernel.
    cost: Option<Cost>,
    max_batch: usize,
    /// When the batch that runs there now should be done.
    busy_until: Option<Instant>,
}

struct Queue<K: Kernel> {
    /// Group, then order of arrival.
    groups: BTreeMap<u64, BTreeMap<u64, Entry<K>>>,
    len: usize,
    next: u64,
    closed: bool,
    slots: Vec<Slot>,
}

impl<K: Kernel> Queue<K> {
    /// The group whose first job has waited longest.
    fn oldest(&self) -> Option<(u64, Instant)> {
        self.groups
            .iter()
            .filter_map(|(group, jobs)| {
                jobs.first_key_value()
                    .map(|(sequence, entry)| (*sequence, *group, entry.accepted))
            })
            .min_by_key(|(sequence, ..)| *sequence)
            .map(|(_, group, accepted)| (group, accepted))
    }

    fn take(&mut self, group: u64, most: usize) -> Vec<Entry<K>> {
        let Some(jobs) = self.groups.get_mut(&group) else {
            return Vec::new();
        };
        let batch: Vec<_> = if jobs.len() <= most {
            std::mem::take(jobs).into_values().collect()
        } else {
            std::iter::from_fn(|| jobs.pop_first())
                .take(most)
                .map(|(_, entry)| entry)
                .collect()
        };
        if jobs.is_empty() {
            self.groups.remove(&group);
        }
        self.len -= batch.len();
        batch
    }

    fn group_len(&self, group: u64) -> usize {
        self.groups.get(&group).map_or(0, BTreeMap::len)
    }
}

/// What a device finds when it looks for work.
pub(crate) enum DeviceTurn<K: Kernel> {
    /// A batch to run.
    Batch(Vec<Entry<K>>),
    /// There is work, but the CPU does it sooner.
    LeftToCpu,
    /// Nothing before this moment, or before the next submission.
    Nothing(Option<Instant>),
}

/// What the scheduler needs to know about a job's acceptance.
pub(crate) struct Pushed<T> {
    pub(crate) tickets: Vec<Ticket<T>>,
    /// How many CPU threads could start on it.
    pub(crate) for_cpu: usize,
}

/// One kernel's queue and books.
pub(crate) struct Lane<K: Kernel> {
    queue: Mutex<Queue<K>>,
    books: Mutex<KernelStats>,
    gate: Arc<Gate>,
    config: Arc<Config>,
    /// Nanoseconds of one job on one CPU thread.
    cpu_job: AtomicU64,
}

/// A lane whose kernel is not known to the one who holds it.
pub(crate) trait AnyLane: Any + Send + Sync {
    fn name(&self) -> &'static str;
    /// Known-answer test and measurement of the CPU path, on the calling thread.
    fn test_cpu(&self) -> SelfTestReport;
    fn add_slot(&self, name: &str);
    /// Opens the kernel on a device. `None` if it has no path for it.
    fn open(
        self: Arc<Self>,
        device: &OpenDevice,
        slot: usize,
    ) -> Result<Option<Box<dyn OnDevice>>, DeviceError>;
    fn shut_slot(&self, slot: usize);
    /// Does one turn's worth of jobs on the calling thread. `false` if there was nothing to do.
    fn cpu_turn(&self) -> bool;
    fn cpu_has_work(&self) -> bool;
    /// When the oldest job makes a batch due, if any job waits.
    fn due_at(&self) -> Option<Instant>;
    fn cancel(&self, position: Position);
    /// Accepts nothing more, and reports what waits as `ShuttingDown`.
    fn close(&self);
    fn stats(&self) -> KernelStats;
    fn route(&self) -> RouteReport;
}

impl<K: Kernel> Lane<K> {
    pub(crate) fn new(gate: Arc<Gate>, config: Arc<Config>) -> Self {
        let cpu = BackendStats {
            backend: "cpu".to_owned(),
            ..BackendStats::default()
        };
        Self {
            queue: Mutex::new(Queue {
                groups: BTreeMap::new(),
                len: 0,
                next: 0,
                closed: false,
                slots: Vec::new(),
            }),
            books: Mutex::new(KernelStats {
                kernel: K::NAME.to_owned(),
                backends: vec![cpu],
                ..KernelStats::default()
            }),
            gate,
            config,
            cpu_job: AtomicU64::new(0),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Queues jobs that the gate has admitted. Gives them back if the lane is closed.
    pub(crate) fn push(
        &self,
        me: &Arc<dyn AnyLane>,
        jobs: Admitted<K::Job>,
    ) -> Result<Pushed<K::Output>, Admitted<K::Job>> {
        let me: Weak<dyn AnyLane> = Arc::downgrade(me);
        let accepted = Instant::now();
        let count = jobs.len();
        let mut tickets = Vec::with_capacity(count);
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            return Err(jobs);
        }
        for (job, bytes) in jobs {
            let (answer, claim) = oneshot::channel();
            let position = Position {
                group: K::group(&job),
                sequence: queue.next,
            };
            queue.next += 1;
            queue.len += 1;
            queue.groups.entry(position.group).or_default().insert(
                position.sequence,
                Entry {
                    job,
                    answer,
                    bytes,
                    accepted,
                },
            );
            tickets.push(Ticket::new(claim, me.clone(), position));
        }
        // Counted before a worker can count the answer.
        self.books.lock().submitted += u64::try_from(count).unwrap_or(u64::MAX);
        let turn = self
            .cpu_turn_size(&queue, accepted)
            .map_or(0, |(_, size)| size.max(1));
        let for_cpu = if turn == 0 {
            0
        } else {
            queue.len.div_ceil(turn)
        };
        drop(queue);
        Ok(Pushed { tickets, for_cpu })
    }

    pub(crate) fn count_refusal(&self) {
        self.books.lock().refused += 1;
    }

    fn cpu_job(&self) -> Duration {
        Duration::from_nanos(self.cpu_job.load(Ordering::Relaxed))
    }

    /// Whether a batch may start, or when it may.
    fn due(
        &self,
        queue: &Queue<K>,
        group: u64,
        oldest: Instant,
        now: Instant,
    ) -> Result<(), Instant> {
        let at = oldest + self.config.max_wait;
        if at <= now || queue.closed || queue.group_len(group) >= self.config.max_batch {
            Ok(())
        } else {
            Err(at)
        }
    }

    /// Estimated time for `jobs` jobs over all CPU threads.
    fn cpu_time(&self, jobs: usize) -> Duration {
        let rounds = jobs.div_ceil(self.config.cpu_threads.max(1));
        self.cpu_job()
            .saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }

    /// Whether a device is ready and would be done before the CPU.
    fn device_wins(&self, slot: &Slot, jobs: usize) -> bool {
        let Some(cost) = slot.cost else { return false };
        match self.config.routing {
            Routing::PreferDevice => true,
            Routing::Measured => {
                let jobs = jobs.min(slot.max_batch);
                device_time(cost, jobs) < self.cpu_time(jobs)
            }
        }
    }

    /// How many jobs of which group a CPU thread should take now. `None` if there is nothing, or if
    /// it is better left to a device.
    fn cpu_turn_size(&self, queue: &Queue<K>, now: Instant) -> Option<(u64, usize)> {
        let (group, oldest) = queue.oldest()?;
        self.due(queue, group, oldest, now).ok()?;
        let waiting = queue.group_len(group);
        let job = self.cpu_job().max(Duration::from_nanos(1));
        let by_time = usize::try_from(CPU_TURN.as_nanos() / job.as_nanos()).unwrap_or(1);
        let size = (waiting / (2 * self.config.cpu_threads.max(1))).clamp(1, by_time.max(1));
        // With devices: take what an idle device should not have, and while all such devices are
        // busy what is done before the first of them is free.
        let mut winners = queue
            .slots
            .iter()
            .filter(|slot| self.device_wins(slot, waiting))
            .peekable();
        if winners.peek().is_some() {
            if self.config.routing == Routing::PreferDevice {
                return None;
            }
            let turn = job.saturating_mul(u32::try_from(size).unwrap_or(u32::MAX));
            if winners.any(|slot| slot.busy_until.is_none_or(|until| now + turn > until)) {
                return None;
            }
        }
        Some((group, size))
    }

    /// The next batch for the device in `slot`.
    pub(crate) fn device_turn(&self, slot: usize) -> DeviceTurn<K> {
        let now = Instant::now();
        let mut queue = self.queue.lock();
        let Some((group, oldest)) = queue.oldest() else {
            return DeviceTurn::Nothing(None);
        };
        if let Err(at) = self.due(&queue, group, oldest, now) {
            return DeviceTurn::Nothing(Some(at));
        }
        let waiting = queue.group_len(group);
        let Some((most, cost)) = queue
            .slots
            .get(slot)
            .filter(|slot| self.device_wins(slot, waiting))
            .and_then(|slot| slot.cost.map(|cost| (slot.max_batch, cost)))
        else {
            return DeviceTurn::LeftToCpu;
        };
        let batch = queue.take(group, most);
        if let Some(slot) = queue.slots.get_mut(slot) {
            slot.busy_until = Some(now + device_time(cost, batch.len()));
        }
        DeviceTurn::Batch(batch)
    }

    pub(crate) fn device_idle(&self, slot: usize) {
        if let Some(slot) = self.queue.lock().slots.get_mut(slot) {
            slot.busy_until = None;
        }
    }

    pub(crate) fn ready_slot(&self, slot: usize, cost: Cost, max_batch: usize) {
        if let Some(slot) = self.queue.lock().slots.get_mut(slot) {
            slot.cost = Some(cost);
            slot.max_batch = max_batch.min(self.config.max_batch).max(1);
            slot.busy_until = None;
        }
    }

    /// Writes into the books of one back end: 0 is the CPU, `slot + 1` a device.
    pub(crate) fn book(&self, backend: usize, write: impl FnOnce(&mut BackendStats)) {
        if let Some(backend) = self.books.lock().backends.get_mut(backend) {
            write(backend);
        }
    }

    /// Hands out answers, after the room of their jobs was given back and the books were written.
    pub(crate) fn answer(&self, batch: Vec<Entry<K>>, answers: Vec<Answer<K::Output>>) {
        let bytes = batch.iter().map(|entry| entry.bytes).sum();
        let panicked = answers.iter().filter(|answer| answer.is_err()).count();
        if panicked > 0 {
            self.books.lock().panicked += u64::try_from(panicked).unwrap_or(u64::MAX);
        }
        let jobs = batch.len();
        // Jobs are dropped here, so the bound counts memory that is really held.
        let senders: Vec<_> = batch.into_iter().map(|entry| entry.answer).collect();
        self.gate.release(jobs, bytes);
        for (sender, answer) in senders.into_iter().zip(answers) {
            // The ticket may be gone; then nobody wants the answer.
            let _ = sender.send(answer);
        }
    }
}

/// Estimated time of a batch on a device.
fn device_time(cost: Cost, jobs: usize) -> Duration {
    cost.fixed
        + cost
            .job
            .saturating_mul(u32::try_from(jobs).unwrap_or(u32::MAX))
}

/// One job on the calling thread; a panic becomes the job's error.
pub(crate) fn run_one<K: Kernel>(job: &K::Job) -> Answer<K::Output> {
    catch_unwind(AssertUnwindSafe(|| K::run_cpu(job))).map_err(|panic| {
        let message = panic_text(panic.as_ref());
        tracing::error!(kernel = K::NAME, message, "a kernel panicked on the CPU");
        EngineError::Panicked {
            kernel: K::NAME,
            message,
        }
    })
}

/// A batch on the calling thread. If the batch panics, or does not answer every job, each job is
/// done alone, so that a panic stays the error of its own job.
fn run_batch<K: Kernel>(batch: &[Entry<K>]) -> Vec<Answer<K::Output>> {
    if let [entry] = batch {
        return vec![run_one::<K>(&entry.job)];
    }
    let jobs: Vec<&K::Job> = batch.iter().map(|entry| &entry.job).collect();
    match catch_unwind(AssertUnwindSafe(|| K::run_cpu_batch(&jobs))) {
        Ok(outputs) if outputs.len() == jobs.len() => outputs.into_iter().map(Ok).collect(),
        _ => jobs.into_iter().map(run_one::<K>).collect(),
    }
}

impl<K: Kernel> AnyLane for Lane<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn test_cpu(&self) -> SelfTestReport {
        let known = K::known_answers();
        let start = Instant::now();
        let mut failure = known
            .is_empty()
            .then(|| "the kernel has no known answers".to_owned());
        let jobs: Vec<&K::Job> = known.iter().map(|(job, _)| job).collect();
        let together = catch_unwind(AssertUnwindSafe(|| K::run_cpu_batch(&jobs)));
        if !matches!(&together, Ok(outputs) if outputs.iter().eq(known.iter().map(|(_, output)| output)))
        {
            failure = Some("the known answers as one batch came out wrong".to_owned());
        }
        for (index, (job, expected)) in known.iter().enumerate() {
            match run_one::<K>(job) {
                Ok(got) if got == *expected => {}
                Ok(got) => {
                    failure = Some(format!("known answer {index} is {expected:?}, got {got:?}"));
                }
                Err(error) => failure = Some(error.to_string()),
            }
        }
        let time = start.elapsed();
        if failure.is_none() {
            let typical = typical::<K>(&known);
            let batch: Vec<&K::Job> = typical
                .iter()
                .copied()
                .cycle()
                .take(typical.len().max(CPU_MEASURED_BATCH))
                .collect();
            let quickest = (0..CPU_MEASUREMENTS)
                .map(|_| {
                    let start = Instant::now();
                    std::hint::black_box(K::run_cpu_batch(std::hint::black_box(&batch)));
                    start.elapsed() / u32::try_from(batch.len().max(1)).unwrap_or(u32::MAX)
                })
                .min()
                .unwrap_or_default();
            self.cpu_job
                .store(nanoseconds(quickest).max(1), Ordering::Relaxed);
        }
        SelfTestReport {
            kernel: K::NAME,
            backend: "cpu".to_owned(),
            answers: known.len(),
            undecided: 0,
            time,
            failure,
        }
    }

    fn add_slot(&self, name: &str) {
        let slot = Slot {
            name: name.to_owned(),
            cost: None,
            max_batch: 1,
            busy_until: None,
        };
        self.queue.lock().slots.push(slot);
        let books = BackendStats {
            backend: name.to_owned(),
            ..BackendStats::default()
        };
        self.books.lock().backends.push(books);
    }

    fn open(
        self: Arc<Self>,
        device: &OpenDevice,
        slot: usize,
    ) -> Result<Option<Box<dyn OnDevice>>, DeviceError> {
        let accelerator = device.open_kernel::<K>()?;
        Ok(accelerator
            .map(|accelerator| Box::new(Opened::new(self, accelerator, slot)) as Box<dyn OnDevice>))
    }

    fn shut_slot(&self, slot: usize) {
        if let Some(slot) = self.queue.lock().slots.get_mut(slot) {
            slot.cost = None;
            slot.busy_until = None;
        }
    }

    fn cpu_turn(&self) -> bool {
        let start = Instant::now();
        let batch = {
            let mut queue = self.queue.lock();
            let Some((group, size)) = self.cpu_turn_size(&queue, start) else {
                return false;
            };
            queue.take(group, size)
        };
        let answers = run_batch(&batch);
        let time = start.elapsed();
        self.book(0, |cpu| book_batch(cpu, &batch, start, time, batch.len()));
        self.answer(batch, answers);
        true
    }

    fn cpu_has_work(&self) -> bool {
        self.cpu_turn_size(&self.queue.lock(), Instant::now())
            .is_some()
    }

    fn due_at(&self) -> Option<Instant> {
        self.queue
            .lock()
            .oldest()
            .map(|(_, accepted)| accepted + self.config.max_wait)
    }

    fn cancel(&self, position: Position) {
        let cancelled = {
            let mut queue = self.queue.lock();
            let Some(jobs) = queue.groups.get_mut(&position.group) else {
                return;
            };
            let Some(entry) = jobs.remove(&position.sequence) else {
                return;
            };
            if jobs.is_empty() {
                queue.groups.remove(&position.group);
            }
            queue.len -= 1;
            entry
        };
        self.books.lock().cancelled += 1;
        let bytes = cancelled.bytes;
        drop(cancelled);
        self.gate.release(1, bytes);
    }

    fn close(&self) {
        let waiting: Vec<Entry<K>> = {
            let mut queue = self.queue.lock();
            queue.closed = true;
            queue.len = 0;
            std::mem::take(&mut queue.groups)
                .into_values()
                .flat_map(BTreeMap::into_values)
                .collect()
        };
        self.books.lock().shut_down += u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        for entry in waiting {
            self.gate.release(1, entry.bytes);
            let _ = entry.answer.send(Err(EngineError::ShuttingDown));
        }
    }

    fn stats(&self) -> KernelStats {
        let queued = self.queue.lock().len;
        KernelStats {
            queued,
            ..self.books.lock().clone()
        }
    }

    fn route(&self) -> RouteReport {
        let queue = self.queue.lock();
        let mut why = Vec::new();
        let mut devices = Vec::new();
        for slot in &queue.slots {
            let Some(cost) = slot.cost else { continue };
            let first = (1..=slot.max_batch).find(|jobs| self.device_wins(slot, *jobs));
            why.push(match (self.config.routing, first) {
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
            kernel: K::NAME,
            cpu_job: self.cpu_job(),
            devices,
            why: why.join("; "),
        }
    }
}

/// The known answers that cost as much as a usual job: those that no device would have to have
/// confirmed; all of them if there are none.
pub(crate) fn typical<K: Kernel>(known: &[(K::Job, K::Output)]) -> Vec<&K::Job> {
    let usual: Vec<_> = known
        .iter()
        .filter(|(_, output)| !K::must_confirm(output))
        .map(|(job, _)| job)
        .collect();
    if usual.is_empty() {
        known.iter().map(|(job, _)| job).collect()
    } else {
        usual
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
    for entry in batch {
        books
            .queue_time
            .record_time(start.saturating_duration_since(entry.accepted));
    }
}
