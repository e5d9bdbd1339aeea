//! One kernel's lane: its queue, its books, and the turns in which back ends take work from it.

mod accept;
mod books;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::calibrate::{Costs, duration};
use crate::claim::Claim;
use crate::config::Config;
use crate::cpu;
use crate::desk::Desk;
use crate::device::{OnDevice, OpenDevice, Opened, Site};
use crate::error::{DeviceError, EngineError, nanoseconds};
use crate::gate::Gate;
use crate::kernel::Kernel;
use crate::lookout::Lookout;
use crate::options::Priority;
use crate::queue::{Entry, Held, Removed};
use crate::report::{RouteReport, SelfTestReport};
use crate::routing::{Jobs, Limits, Routes};
use crate::stats::{BackendStats, KernelStats};
use crate::store::{self, Store};
use crate::ticket::{Answer, Position};
use crate::traffic::Traffic;

pub(crate) use books::{book_batch, jobs_of, usual};

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

/// One kernel's queue and books.
pub(crate) struct Lane<K: Kernel> {
    desk: Mutex<Desk<K>>,
    books: Mutex<KernelStats>,
    state: K::State,
    /// Jobs refused. Not in the books: whoever is refused may come again at once, and holds up nobody who answers.
    refused: AtomicU64,
    /// Nanoseconds that a job takes on one CPU thread.
    job_cost: AtomicU64,
    /// Keyed from the operating system's randomness.
    hasher: RandomState,
    lookout: Lookout,
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
    /// Adds a device; `traffic` is what is in flight there, of all kernels.
    fn add_slot(&self, name: &str, traffic: &Arc<Traffic>);
    /// Opens the kernel on a device. `None` if it has no path for it.
    fn open(
        self: Arc<Self>,
        device: &OpenDevice,
        site: &Site,
        slot: usize,
    ) -> Result<Option<Box<dyn OnDevice>>, DeviceError>;
    fn shut_slot(&self, slot: usize);
    /// The earliest class of which a CPU thread should do something now. Ends the wait of what is past its
    /// deadline.
    fn cpu_class(&self) -> Option<Priority>;
    /// Does one turn's worth of jobs of no later class than this on the calling thread. `false` if there was
    /// nothing to do.
    fn cpu_turn(&self, last: Priority) -> bool;
    /// How many CPU threads could start on the queue.
    fn cpu_wanted(&self) -> usize;
    /// Whether there is work that a free device has not seen as it is now. Whoever takes or leaves
    /// a part of the work changes who should do the rest; a device that declined has to look again.
    fn devices_should_look(&self) -> bool;
    /// When the oldest job makes a batch due, if any job waits.
    fn due_at(&self) -> Option<Instant>;
    /// Whether there is one job in the engine at the most, and a core for whoever waits for it.
    fn is_quiet(&self) -> bool;
    /// What those who waited for a job of their own have learnt.
    fn lookout(&self) -> &Lookout;
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
            desk: Mutex::new(Desk::new(routes)),
            books: Mutex::new(books),
            state,
            refused: AtomicU64::new(0),
            job_cost: AtomicU64::new(1),
            hasher: RandomState::new(),
            lookout: Lookout::default(),
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

    pub(crate) fn count_refusal(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The earliest class of which a batch may start.
    pub(crate) fn first_class(&self) -> Option<Priority> {
        let desk = self.desk.lock();
        if desk.queue.len() == 0 {
            return None;
        }
        desk.first_class(&self.config, Instant::now())
    }

    /// The next batch for the device in `slot`, which counts as in flight there from now on.
    pub(crate) fn device_turn(&self, slot: usize) -> DeviceTurn<K> {
        let now = Instant::now();
        let mut desk = self.desk.lock();
        let late = desk.expire(now);
        let mut outlook = Outlook::default();
        let mut turn = None;
        for head in desk.queue.in_order() {
            if let Err(at) = desk.due(&self.config, &head, now) {
                outlook.due = [outlook.due, Some(at)].into_iter().flatten().min();
            } else if let Some((most, bytes)) = desk.routes.device_turn(slot, &head.jobs(), now) {
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
            claim.answer(Err(Box::new(EngineError::DeadlineExceeded)));
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
        if batch
            .iter()
            .any(|entry| matches!(entry.held, Held::Shared(_)))
        {
            // A flight dropped between two look-ups would make the second wait for the memory of the first.
            let mut landed = Vec::with_capacity(batch.len());
            let mut desk = self.desk.lock();
            for entry in &mut batch {
                if let Some((flight, late)) = desk.land(&entry.held) {
                    landed.push(flight);
                    entry.more.extend(late);
                }
            }
            drop(desk);
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
            .map(|entry| (entry.first, entry.more))
            .collect();
        let loads = claims
            .iter()
            .flat_map(|(first, more)| std::iter::once(first).chain(more.as_slice()));
        self.gate.release(loads.map(Claim::load));
        if shared == 0 {
            let firsts = claims.into_iter().map(|(first, _)| first);
            Claim::answer_all(firsts.zip(answers));
            return;
        }
        for ((first, more), answer) in claims.into_iter().zip(answers) {
            for claim in more.into_vec() {
                claim.answer(answer.clone());
            }
            first.answer(answer);
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

    fn add_slot(&self, name: &str, traffic: &Arc<Traffic>) {
        self.desk.lock().routes.add(name, traffic);
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
        let kernel = device.open_kernel::<K>(&self.state, site)?;
        Ok(kernel.map(|kernel| {
            Box::new(Opened::new(self, kernel, slot, site.memory)) as Box<dyn OnDevice>
        }))
    }

    fn shut_slot(&self, slot: usize) {
        let mut desk = self.desk.lock();
        desk.routes.shut(slot);
        desk.version += 1;
        drop(desk);
        self.book(slot + 1, |device| device.memory = 0);
    }

    fn cpu_class(&self) -> Option<Priority> {
        let now = Instant::now();
        let (late, class) = {
            let mut desk = self.desk.lock();
            let late = desk.expire(now);
            let turn = desk.cpu_turn(&self.config, Priority::Pool, now);
            (late, turn.map(|(head, _)| head.priority))
        };
        self.answer_late(late);
        class
    }

    fn cpu_turn(&self, last: Priority) -> bool {
        let start = Instant::now();
        let (late, batch) = {
            let mut desk = self.desk.lock();
            let late = desk.expire(start);
            let turn = desk.cpu_turn(&self.config, last, start);
            let batch = turn.map(|(head, size)| {
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
        let jobs: Vec<&K::Job> = batch.iter().map(Entry::job).collect();
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

    fn cpu_wanted(&self) -> usize {
        let desk = self.desk.lock();
        let turn = desk.cpu_turn(&self.config, Priority::Pool, Instant::now());
        turn.map_or(0, |(_, size)| desk.queue.len().div_ceil(size.max(1)))
    }

    fn devices_should_look(&self) -> bool {
        let desk = self.desk.lock();
        desk.queue.len() > 0 && desk.routes.behind(desk.version)
    }

    fn due_at(&self) -> Option<Instant> {
        let oldest = self.desk.lock().queue.oldest();
        oldest.map(|accepted| accepted + self.config.max_wait)
    }

    fn is_quiet(&self) -> bool {
        self.config.cores > 1 && self.gate.state().jobs <= 1
    }

    fn lookout(&self) -> &Lookout {
        &self.lookout
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
                desk.land(&entry.held);
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
            claim.answer(Err(Box::new(EngineError::ShuttingDown)));
        }
    }

    fn stats(&self) -> KernelStats {
        let queued = self.desk.lock().queue.len();
        KernelStats {
            queued,
            refused: self.refused.load(Ordering::Relaxed),
            cache: K::cache_stats(&self.state),
            ..self.books.lock().clone()
        }
    }

    fn route(&self) -> RouteReport {
        self.desk.lock().routes.report(K::NAME)
    }
}
