//! One kernel's lane: its queue, its books, and the turns in which back ends take work from it.

use std::any::Any;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use parking_lot::Mutex;

use crate::config::Config;
use crate::cpu;
use crate::device::{OnDevice, OpenDevice, Opened};
use crate::error::{DeviceError, EngineError};
use crate::gate::Gate;
use crate::kernel::Kernel;
use crate::queue::{Entry, Head, Queue};
use crate::report::{Cost, RouteReport, SelfTestReport};
use crate::routing::Routes;
use crate::stats::{BackendStats, KernelStats};
use crate::ticket::{Answer, Position, Ticket};

/// Jobs that the gate has let in, each with its bytes.
pub(crate) type Admitted<J> = Vec<(J, usize)>;

/// What is decided under one lock.
struct Desk<K: Kernel> {
    queue: Queue<K>,
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
    gate: Arc<Gate>,
    config: Arc<Config>,
}

/// A lane whose kernel is not known to the one who holds it.
pub(crate) trait AnyLane: Any + Send + Sync {
    fn name(&self) -> &'static str;
    /// Known-answer test of the CPU path, on the calling thread.
    fn test_cpu(&self) -> SelfTestReport;
    /// Measures the CPU path, on the calling thread.
    fn measure_cpu(&self);
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
    /// Whether there is work that a free device has not seen as it is now. Whoever takes or leaves
    /// a part of the work changes who should do the rest; a device that declined has to look again.
    fn devices_should_look(&self) -> bool;
    /// When the oldest job makes a batch due, if any job waits.
    fn due_at(&self) -> Option<Instant>;
    fn cancel(&self, position: Position);
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
                routes,
                closed: false,
                version: 0,
            }),
            books: Mutex::new(books),
            state,
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
        let mut desk = self.desk.lock();
        if desk.closed {
            return Err(jobs);
        }
        for (job, bytes) in jobs {
            let (answer, claim) = oneshot::channel();
            let position = desk.queue.push(Entry {
                job,
                answer,
                bytes,
                accepted,
            });
            tickets.push(Ticket::new(claim, me.clone(), position));
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
        Ok(Pushed { tickets, for_cpu })
    }

    pub(crate) fn count_refusal(&self) {
        self.books.lock().refused += 1;
    }

    /// Whether a batch of this group may start, or when it may.
    fn due(&self, desk: &Desk<K>, head: &Head, now: Instant) -> Result<(), Instant> {
        let at = head.accepted + self.config.max_wait;
        if at <= now || desk.closed || head.len >= self.config.max_batch {
            Ok(())
        } else {
            Err(at)
        }
    }

    /// How many jobs of which group a CPU thread should take now. `None` if there is nothing, or if
    /// it is better left to a device.
    fn cpu_turn_size(&self, desk: &Desk<K>, now: Instant) -> Option<(u64, usize)> {
        desk.queue
            .by_age()
            .iter()
            .filter(|head| self.due(desk, head, now).is_ok())
            .find_map(|head| Some((head.group, desk.routes.cpu_turn(head.len, now)?)))
    }

    /// The next batch for the device in `slot`.
    pub(crate) fn device_turn(&self, slot: usize) -> DeviceTurn<K> {
        let now = Instant::now();
        let mut desk = self.desk.lock();
        let mut outlook = Outlook::default();
        for head in desk.queue.by_age() {
            if let Err(at) = self.due(&desk, &head, now) {
                outlook.due = [outlook.due, Some(at)].into_iter().flatten().min();
            } else if let Some(most) = desk.routes.device_turn(slot, head.len) {
                let batch = desk.queue.take(head.group, most);
                desk.version += 1;
                desk.routes.started(slot, batch.len(), now);
                return DeviceTurn::Batch(batch);
            } else {
                outlook.left_to_cpu = true;
            }
        }
        let version = desk.version;
        desk.routes.looked(slot, version);
        DeviceTurn::Nothing(outlook)
    }

    pub(crate) fn device_idle(&self, slot: usize) {
        self.desk.lock().routes.idle(slot);
    }

    pub(crate) fn ready_slot(&self, slot: usize, cost: Cost, max_batch: usize) {
        self.desk.lock().routes.ready(slot, cost, max_batch);
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

impl<K: Kernel> AnyLane for Lane<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn test_cpu(&self) -> SelfTestReport {
        cpu::self_test::<K>()
    }

    fn measure_cpu(&self) {
        let cost = cpu::measure::<K>();
        self.desk.lock().routes.set_cpu(cost);
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
        slot: usize,
    ) -> Result<Option<Box<dyn OnDevice>>, DeviceError> {
        let accelerator = device.open_kernel::<K>()?;
        Ok(accelerator
            .map(|accelerator| Box::new(Opened::new(self, accelerator, slot)) as Box<dyn OnDevice>))
    }

    fn shut_slot(&self, slot: usize) {
        self.desk.lock().routes.shut(slot);
    }

    fn cpu_turn(&self) -> bool {
        let start = Instant::now();
        let batch = {
            let mut desk = self.desk.lock();
            let Some((group, size)) = self.cpu_turn_size(&desk, start) else {
                return false;
            };
            desk.version += 1;
            desk.queue.take(group, size)
        };
        let jobs: Vec<&K::Job> = batch.iter().map(|entry| &entry.job).collect();
        let answers = cpu::run::<K>(&self.state, &jobs);
        let time = start.elapsed();
        self.book(0, |cpu| book_batch(cpu, &batch, start, time, batch.len()));
        self.answer(batch, answers);
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

    fn cancel(&self, position: Position) {
        let entry = {
            let mut desk = self.desk.lock();
            let Some(entry) = desk.queue.remove(position) else {
                return;
            };
            desk.version += 1;
            entry
        };
        self.books.lock().cancelled += 1;
        let bytes = entry.bytes;
        drop(entry);
        self.gate.release(1, bytes);
    }

    fn close(&self) {
        let waiting = {
            let mut desk = self.desk.lock();
            desk.closed = true;
            desk.queue.take_all()
        };
        self.books.lock().shut_down += u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        for entry in waiting {
            self.gate.release(1, entry.bytes);
            let _ = entry.answer.send(Err(EngineError::ShuttingDown));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mldsa::MlDsaVerify;

    /// The device is quicker for one job, two CPU threads are quicker for two: once the CPU has
    /// taken one of two, the other is the device's, which has declined before and must look again.
    #[test]
    fn a_device_that_declined_is_told_when_the_rest_is_its_own() {
        let config = Arc::new(Config {
            cpu_threads: 2,
            ..Config::default()
        });
        let gate = Arc::new(Gate::new(10, 1 << 20));
        let lane = Arc::new(Lane::<MlDsaVerify>::new(
            Arc::clone(&gate),
            config,
            crate::KeyCache::default(),
        ));
        let any: Arc<dyn AnyLane> = lane.clone();
        let micros = |job| Cost {
            fixed: Duration::ZERO,
            job: Duration::from_micros(job),
        };
        lane.add_slot("device");
        lane.desk.lock().routes.set_cpu(micros(147));
        lane.ready_slot(0, micros(127), 64);
        let jobs: Vec<_> = MlDsaVerify::known_answers().into_iter().take(2).collect();
        let expected: Vec<_> = jobs.iter().map(|(_, answer)| Ok(*answer)).collect();
        let sized = jobs
            .into_iter()
            .map(|(job, _)| (job, 1))
            .collect::<Vec<_>>();
        assert_eq!(gate.admit_some([1, 1].into_iter()), 2);
        let Ok(pushed) = lane.push(&any, sized) else {
            panic!("the lane is open");
        };
        assert_eq!(pushed.for_cpu, 2);
        assert!(lane.devices_should_look());
        let declined = lane.device_turn(0);
        assert!(matches!(
            declined,
            DeviceTurn::Nothing(Outlook {
                left_to_cpu: true,
                due: None
            })
        ));
        assert!(!lane.devices_should_look());
        assert!(lane.cpu_turn());
        assert!(!lane.cpu_has_work() && lane.devices_should_look());
        let DeviceTurn::Batch(batch) = lane.device_turn(0) else {
            panic!("the rest is the device's");
        };
        let answers = expected.iter().skip(1).cloned().collect();
        lane.answer(batch, answers);
        let got: Vec<_> = pushed.tickets.into_iter().map(Ticket::wait).collect();
        assert_eq!(got, expected);
        assert_eq!(gate.state().jobs, 0);
    }
}
