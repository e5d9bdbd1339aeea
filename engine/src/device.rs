//! One kernel on one device: self-test, measurement, batches, audit and fall-back.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::calibrate::{Bench, Costs, Size, calibrate, holds};
#[cfg(feature = "gpu")]
use crate::context::GpuContext;
use crate::cpu;
use crate::error::{DeviceError, panic_text};
use crate::fault::ScriptedDevice;
use crate::kernel::{Accelerator, DeviceAnswers, Kernel};
use crate::lane::{DeviceTurn, Lane, Outlook, book_batch, jobs_of, usual};
use crate::options::Priority;
use crate::queue::Entry;
use crate::report::{AdapterSummary, Cost, SelfTestReport};
use crate::routing::Limits;
use crate::store::Store;
use crate::ticket::Answer;

/// A measurement stops growing its batch when one takes this long and twice as long as the smallest:
/// the cost of a job is then clear.
const MEASURE_LONG_ENOUGH: Duration = Duration::from_millis(4);

/// It also stops when a batch takes this long: a slow adapter must not delay the start.
const MEASURE_TOO_LONG: Duration = Duration::from_millis(100);

/// Up to this many answers the owner of the device recomputes by itself; more go to the CPU pool.
const RECOMPUTE_ALONE: usize = 2;

/// A device that is open.
pub(crate) enum OpenDevice {
    #[cfg(feature = "gpu")]
    Gpu(pars_kernels::gpu::Device),
    Scripted(ScriptedDevice),
}

/// What the kernels on a device are given.
#[derive(Clone)]
#[cfg_attr(not(feature = "gpu"), allow(dead_code, reason = "for GPUs"))]
pub(crate) struct Site {
    /// What is known from earlier starts.
    pub(crate) store: Store,
    /// Names the adapter, its driver and this build. `None` for a device of which nothing is kept.
    pub(crate) name: Option<String>,
    /// Bytes of device memory that each kernel may hold.
    pub(crate) memory: u64,
}

impl OpenDevice {
    #[cfg_attr(not(feature = "gpu"), allow(unused_variables))]
    pub(crate) fn open_kernel<K: Kernel>(
        &self,
        state: &K::State,
        site: &Site,
    ) -> Result<Option<Box<dyn Accelerator<K>>>, DeviceError> {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(device) => {
                let (store, name) = match &site.name {
                    Some(name) => (site.store.clone(), name.as_str()),
                    None => (Store::default(), ""),
                };
                let prefix = format!("{name}|{}", K::NAME);
                let context = GpuContext::within(device, site.memory, store, prefix);
                K::open_gpu(&context, state)
            }
            Self::Scripted(device) => device.open_kernel().map(Some),
        }
    }

    /// Takes compiled pipelines from an earlier start, where the interface can.
    #[cfg_attr(not(feature = "gpu"), allow(unused_variables))]
    pub(crate) fn keep_pipelines(&self, store: &Store) {
        #[cfg(feature = "gpu")]
        if let (Self::Gpu(device), Some(folder)) = (self, store.folder()) {
            let kept = device.keep_pipelines(folder);
            tracing::debug!(kept, "compiled pipelines kept on disk");
        }
    }

    /// Keeps compiled pipelines for the next start.
    pub(crate) fn save_pipelines(&self) {
        #[cfg(feature = "gpu")]
        if let Self::Gpu(device) = self
            && let Err(error) = device.save_pipelines()
        {
            tracing::info!(%error, "compiled pipelines cannot be kept and will be compiled at the next start");
        }
    }

    /// The self-tests are over; a script's faults may begin.
    pub(crate) fn tested(&self) {
        match self {
            #[cfg(feature = "gpu")]
            Self::Gpu(_) => {}
            Self::Scripted(device) => device.arm(),
        }
    }
}

/// How to open one device.
pub(crate) struct Source {
    pub(crate) summary: AdapterSummary,
    pub(crate) open: Box<dyn Fn() -> Result<OpenDevice, DeviceError> + Send + Sync>,
}

/// What came of a look for work.
pub(crate) enum Turn {
    /// A batch ran, or is on its way.
    Ran,
    /// The device must not be used further. What was in flight is still to be
    /// [`abandoned`](OnDevice::abandon).
    Failed(DeviceError),
    /// No batch.
    Nothing(Outlook),
}

/// The batches that a kernel has in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flights {
    pub(crate) count: usize,
    /// The earliest class of their jobs.
    pub(crate) class: Option<Priority>,
    /// Most of them.
    pub(crate) depth: usize,
}

/// A kernel opened on a device, its types hidden.
pub(crate) trait OnDevice {
    fn kernel(&self) -> &'static str;
    /// Bytes of device memory that it holds, or may hold. An error if that is more than it may.
    fn memory(&self) -> Result<u64, DeviceError>;
    /// Only while nothing is in flight.
    fn self_test(&mut self, backend: &str) -> SelfTestReport;
    /// Measures and lets jobs in. Only after a passed self-test.
    fn enter_service(&mut self, site: &Site) -> Result<Cost, DeviceError>;
    /// The earliest class of the jobs that wait.
    fn next_class(&self) -> Option<Priority>;
    /// How many batches it can have in flight, and has.
    fn flights(&self) -> Flights;
    /// Takes a batch if there is one, and sends it off or runs it.
    fn turn(&mut self, cpu: &rayon::ThreadPool) -> Turn;
    /// When the oldest batch in flight was sent off.
    fn oldest(&self) -> Option<Instant>;
    /// Whether the oldest batch in flight is done; waits a little for it.
    fn poll(&mut self, limit: Duration) -> Result<bool, DeviceError>;
    /// Waits for the oldest batch in flight and answers it. With `refill`, sends the next one off in
    /// between.
    fn collect(&mut self, cpu: &rayon::ThreadPool, refill: bool) -> Turn;
    /// Answers on the CPU whatever is in flight.
    fn abandon(&mut self, cpu: &rayon::ThreadPool);
}

/// A kernel opened on a device.
pub(crate) struct Opened<K: Kernel> {
    lane: Arc<Lane<K>>,
    accelerator: Box<dyn Accelerator<K>>,
    slot: usize,
    random: u64,
    /// In the order in which they were sent off.
    in_flight: VecDeque<Flight<K>>,
    /// Taken from the queue and not sent off: did not fit the last submission.
    held: Vec<Entry<K>>,
    /// When the device had last done a batch.
    done: Instant,
    /// The oldest batch in flight is known to be done.
    ready: bool,
    /// Bytes of device memory that it may hold.
    memory: u64,
}

/// A batch on the device.
struct Flight<K: Kernel> {
    batch: Vec<Entry<K>>,
    sent: Instant,
    /// How long the host took to lay it out and upload it.
    upload: Duration,
}

/// Times a kernel on its device.
struct OnTheDevice<'a, K: Kernel> {
    opened: &'a mut Opened<K>,
    /// Most jobs of a batch.
    most: usize,
    /// Jobs of the larger batch.
    large: usize,
}

impl<K: Kernel> OnTheDevice<'_, K> {
    /// The quicker of two runs: the first still pays for warming up.
    fn time(&mut self, batch: &[&K::Job]) -> Result<Duration, DeviceError> {
        let mut best = Duration::MAX;
        for _ in 0..2 {
            let start = Instant::now();
            self.opened.run(batch)?;
            let time = start.elapsed();
            best = best.min(time);
            if time > MEASURE_TOO_LONG {
                break;
            }
        }
        Ok(best)
    }

    /// The first jobs of these, over and over, that one batch may hold.
    fn batch<'j>(&self, jobs: &[&'j K::Job], size: usize) -> Vec<&'j K::Job> {
        let most = self.opened.accelerator.max_bytes();
        let mut bytes = 0_usize;
        jobs.iter()
            .copied()
            .cycle()
            .take(size)
            .take_while(|job| {
                let first = bytes == 0;
                bytes = bytes.saturating_add(K::job_bytes(job)).max(1);
                first || bytes <= most
            })
            .collect()
    }
}

impl<K: Kernel> Bench<K> for OnTheDevice<'_, K> {
    type Error = DeviceError;

    fn small_and_large(&mut self, jobs: &[&K::Job]) -> Result<[(Size, Duration); 2], DeviceError> {
        let mut batch = self.batch(jobs, jobs.len().min(self.most));
        let small = (Size::of_all::<K>(batch.iter().copied()), self.time(&batch)?);
        let (mut size, mut long) = small;
        let clear = |long: Duration| long >= MEASURE_LONG_ENOUGH && long >= 2 * small.1;
        while !clear(long) && long < MEASURE_TOO_LONG {
            let more = self.batch(jobs, (batch.len() * 4).min(self.most));
            if more.len() <= batch.len() {
                break;
            }
            batch = more;
            long = self.time(&batch)?;
            size = Size::of_all::<K>(batch.iter().copied());
        }
        self.large = batch.len();
        Ok([small, (size, long)])
    }

    fn large(&mut self, jobs: &[&K::Job]) -> Result<(Size, Duration), DeviceError> {
        let batch = self.batch(jobs, self.large.max(1));
        let time = self.time(&batch)?;
        Ok((Size::of_all::<K>(batch), time))
    }

    fn one(&mut self, job: &K::Job) -> Result<(Size, Duration), DeviceError> {
        Ok((Size::of::<K>(job), self.time(&[job])?))
    }
}

/// Some answers of a batch, recomputed.
struct Recomputed<T> {
    index: usize,
    answer: Answer<T>,
}

impl<K: Kernel> Opened<K> {
    pub(crate) fn new(
        lane: Arc<Lane<K>>,
        accelerator: Box<dyn Accelerator<K>>,
        slot: usize,
        memory: u64,
    ) -> Self {
        use std::hash::{BuildHasher, Hasher};
        // Keys of the standard library's hash maps come from the operating system.
        let random = std::hash::RandomState::new().build_hasher().finish() | 1;
        Self {
            lane,
            accelerator,
            slot,
            random,
            in_flight: VecDeque::new(),
            held: Vec::new(),
            done: Instant::now(),
            ready: false,
            memory,
        }
    }

    /// Whether it holds no more device memory than it may.
    fn keeps_to_its_memory(&self) -> Result<(), DeviceError> {
        match self.accelerator.memory() {
            Some(held) if held > self.memory => Err(DeviceError::Memory {
                kernel: K::NAME,
                held,
                limit: self.memory,
            }),
            _ => Ok(()),
        }
    }

    /// xorshift64 (Marsaglia 2003). Only chooses which answers are audited.
    fn random_below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.random % bound).unwrap_or(0)
    }

    /// Runs a batch; panics and wrong counts become errors.
    fn run(&mut self, jobs: &[&K::Job]) -> DeviceAnswers<K::Output> {
        let answers = caught(|| self.accelerator.run(jobs))?;
        counted(answers, jobs.len())
    }

    fn depth(&self) -> usize {
        self.accelerator.depth().max(1)
    }

    /// Sends a batch off, or the first part of it; the rest is held.
    fn send(&mut self, mut batch: Vec<Entry<K>>) -> Turn {
        let sent = Instant::now();
        let jobs: Vec<&K::Job> = batch.iter().map(Entry::job).collect();
        let count = match caught(|| self.accelerator.submit(&jobs)) {
            Ok(count) => count,
            Err(error) => {
                self.held = batch;
                return Turn::Failed(error);
            }
        };
        if !(1..=batch.len()).contains(&count) {
            let asked = batch.len();
            self.held = batch;
            return Turn::Failed(DeviceError::AnswerCount { asked, got: count });
        }
        if count < batch.len() {
            self.held = batch.split_off(count);
            let (first, rest) = (jobs_of(&batch), jobs_of(&self.held));
            self.lane.parted(self.slot, &first, &rest);
        }
        let upload = sent.elapsed();
        self.in_flight.push_back(Flight {
            batch,
            sent,
            upload,
        });
        Turn::Ran
    }

    /// Which answers of a batch the CPU has to look at, in order, each once.
    fn pick_for_cpu(&mut self, answers: &[Option<K::Output>]) -> (Vec<usize>, u64, u64, u64) {
        let confirm = self.lane.config().confirm;
        let audits = self.lane.config().audit_per_batch;
        let mut chosen = vec![false; answers.len()];
        let (mut undecided, mut confirmed, mut audited) = (0, 0, 0);
        for (answer, chosen) in answers.iter().zip(&mut chosen) {
            match answer {
                None => {
                    *chosen = true;
                    undecided += 1;
                }
                Some(answer) if confirm && K::must_confirm(answer) => {
                    *chosen = true;
                    confirmed += 1;
                }
                Some(_) => {}
            }
        }
        let mut left: Vec<usize> = chosen
            .iter()
            .enumerate()
            .filter(|(_, chosen)| !**chosen)
            .map(|(i, _)| i)
            .collect();
        for _ in 0..audits.min(left.len()) {
            let pick = self.random_below(left.len());
            if let Some(chosen) = chosen.get_mut(left.swap_remove(pick)) {
                *chosen = true;
                audited += 1;
            }
        }
        let indices = chosen
            .iter()
            .enumerate()
            .filter(|(_, chosen)| **chosen)
            .map(|(i, _)| i)
            .collect();
        (indices, undecided, confirmed, audited)
    }

    /// Answers a whole batch on the CPU after the device failed it.
    fn fall_back(&self, cpu: &rayon::ThreadPool, batch: Vec<Entry<K>>, failed_after: Duration) {
        let jobs = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let indices: Vec<usize> = (0..batch.len()).collect();
        let start = Instant::now();
        let answers: Vec<_> = recompute(self.lane.state(), cpu, &batch, &indices)
            .into_iter()
            .map(|one| one.answer)
            .collect();
        let time = start.elapsed();
        self.lane.book(self.slot + 1, |device| {
            device.failures += 1;
            device.fallbacks += jobs;
            device.kernel_time.record_time(failed_after);
        });
        self.lane
            .book(0, |cpu| book_batch(cpu, &batch, start, time, batch.len()));
        self.lane.answer(batch, answers);
    }

    /// Runs a batch where one can be in flight, and answers it.
    fn run_batch(&mut self, cpu: &rayon::ThreadPool, batch: Vec<Entry<K>>) -> Turn {
        let _span = tracing::debug_span!(
            target: "pars_engine::batch", "batch",
            kernel = K::NAME, slot = self.slot + 1, jobs = batch.len()
        )
        .entered();
        let start = Instant::now();
        let jobs: Vec<&K::Job> = batch.iter().map(Entry::job).collect();
        let ran = self.run(&jobs);
        let time = start.elapsed();
        self.lane
            .finished(self.slot, &jobs_of(&batch), ran.is_ok().then_some(time));
        match ran {
            Ok(answers) => self.finish(cpu, batch, answers, start, time),
            Err(error) => {
                self.fall_back(cpu, batch, time);
                Turn::Failed(error)
            }
        }
    }

    /// Has a device's answers confirmed and audited, and hands them out.
    fn finish(
        &mut self,
        cpu: &rayon::ThreadPool,
        batch: Vec<Entry<K>>,
        device_answers: Vec<Option<K::Output>>,
        start: Instant,
        time: Duration,
    ) -> Turn {
        let (indices, undecided, confirmed, audited) = self.pick_for_cpu(&device_answers);
        let recomputed = recompute(self.lane.state(), cpu, &batch, &indices);
        let wrong = recomputed.iter().find_map(|one| {
            let got = device_answers.get(one.index)?.as_ref()?;
            match &one.answer {
                Ok(expected) if expected != got => Some(DeviceError::WrongAnswer {
                    expected: format!("{expected:?}"),
                    got: format!("{got:?}"),
                }),
                _ => None,
            }
        });
        self.lane.book(self.slot + 1, |device| {
            device.undecided += undecided;
            device.confirmations += confirmed;
            device.audits += audited;
        });
        if let Some(error) = wrong {
            self.lane
                .book(self.slot + 1, |device| device.mismatches += 1);
            self.fall_back(cpu, batch, time);
            return Turn::Failed(error);
        }
        let by_device = device_answers.iter().flatten().count();
        let mut answers: Vec<Option<Answer<K::Output>>> = device_answers
            .into_iter()
            .map(|answer| answer.map(Ok))
            .collect();
        for one in recomputed {
            // Equal to the device's, except where the device was undecided or the CPU panicked.
            if let Some(answer) = answers.get_mut(one.index) {
                *answer = Some(one.answer);
            }
        }
        let answers: Vec<Answer<K::Output>> = answers.into_iter().flatten().collect();
        debug_assert_eq!(
            answers.len(),
            batch.len(),
            "an undecided job was not recomputed"
        );
        let cache = self.accelerator.cache_stats();
        self.lane.book(self.slot + 1, |device| {
            book_batch(device, &batch, start, time, by_device);
            device.cache = cache;
        });
        self.lane.book(0, |cpu| cpu.answered += undecided);
        self.lane.answer(batch, answers);
        match self.keeps_to_its_memory() {
            Ok(()) => Turn::Ran,
            Err(error) => Turn::Failed(error),
        }
    }
}

/// Panics of a driver become errors.
fn caught<T>(call: impl FnOnce() -> Result<T, DeviceError>) -> Result<T, DeviceError> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|panic| DeviceError::Panicked(panic_text(panic.as_ref())))?
}

/// As many answers as jobs.
fn counted<T>(answers: Vec<Option<T>>, asked: usize) -> DeviceAnswers<T> {
    let got = answers.len();
    if got == asked {
        Ok(answers)
    } else {
        Err(DeviceError::AnswerCount { asked, got })
    }
}

/// The CPU's answers to some jobs of a batch, in the order of the indices.
fn recompute<K: Kernel>(
    state: &K::State,
    pool: &rayon::ThreadPool,
    batch: &[Entry<K>],
    indices: &[usize],
) -> Vec<Recomputed<K::Output>> {
    let some = |indices: &[usize]| {
        let jobs: Vec<_> = indices
            .iter()
            .filter_map(|index| batch.get(*index))
            .map(Entry::job)
            .collect();
        let answers = cpu::run::<K>(state, &jobs);
        let some = indices.iter().zip(answers);
        some.map(|(index, answer)| Recomputed {
            index: *index,
            answer,
        })
        .collect::<Vec<_>>()
    };
    if indices.len() <= RECOMPUTE_ALONE {
        some(indices)
    } else {
        let share = indices
            .len()
            .div_ceil(pool.current_num_threads())
            .min(K::CPU_CHUNK.max(1));
        pool.install(|| indices.par_chunks(share).flat_map_iter(some).collect())
    }
}

impl<K: Kernel> OnDevice for Opened<K> {
    fn kernel(&self) -> &'static str {
        K::NAME
    }

    fn memory(&self) -> Result<u64, DeviceError> {
        self.keeps_to_its_memory()?;
        Ok(self.accelerator.memory().unwrap_or(self.memory))
    }

    fn self_test(&mut self, backend: &str) -> SelfTestReport {
        let known = K::known_answers();
        let most = self.accelerator.max_batch().max(1);
        let start = Instant::now();
        let mut undecided = 0;
        let mut failure = None;
        for (number, chunk) in known.chunks(most).enumerate() {
            let jobs: Vec<_> = chunk.iter().map(|(job, _)| job).collect();
            let answers = match self.run(&jobs) {
                Ok(answers) => answers,
                Err(error) => {
                    failure = Some(error.to_string());
                    break;
                }
            };
            for (index, (answer, (_, expected))) in answers.iter().zip(chunk).enumerate() {
                match answer {
                    None => undecided += 1,
                    Some(got) if got == expected => {}
                    Some(got) => {
                        let index = number * most + index;
                        failure.get_or_insert_with(|| {
                            format!("known answer {index} is {expected:?}, got {got:?}")
                        });
                    }
                }
            }
        }
        if failure.is_none() && undecided == known.len() {
            failure = Some(format!("none of {} known answers was decided", known.len()));
        }
        SelfTestReport {
            kernel: K::NAME,
            backend: backend.to_owned(),
            answers: known.len(),
            undecided,
            time: start.elapsed(),
            failure,
        }
    }

    fn enter_service(&mut self, site: &Site) -> Result<Cost, DeviceError> {
        let limits = Limits {
            batch: self.accelerator.max_batch(),
            bytes: self.accelerator.max_bytes(),
            depth: self.depth(),
        };
        let mut bench = OnTheDevice {
            most: limits.batch.min(self.lane.config().max_batch).max(1),
            large: 1,
            opened: self,
        };
        let key = site
            .name
            .as_ref()
            .map(|name| format!("{name}|{}|costs", K::NAME));
        let known = key.as_ref().and_then(|key| site.store.get(key));
        let known: Option<Costs> = known.and_then(|text| text.parse().ok());
        let costs = match known {
            Some(costs) if holds::<K, _>(&mut bench, &costs)? => costs,
            _ => {
                let costs = calibrate::<K, _>(&mut bench)?;
                if let Some(key) = key {
                    site.store.put(&key, &costs.to_string());
                }
                costs
            }
        };
        self.lane.ready_slot(self.slot, &costs, limits);
        Ok(costs.usual().cost(usual::<K>().size))
    }

    fn next_class(&self) -> Option<Priority> {
        match self.held.first() {
            Some(entry) => Some(entry.first.priority()),
            None => self.lane.first_class(),
        }
    }

    fn flights(&self) -> Flights {
        let first = |flight: &Flight<K>| Some(flight.batch.first()?.first.priority());
        Flights {
            count: self.in_flight.len(),
            class: self.in_flight.iter().filter_map(first).min(),
            depth: self.depth(),
        }
    }

    fn turn(&mut self, cpu: &rayon::ThreadPool) -> Turn {
        if self.in_flight.len() >= self.depth() {
            return Turn::Nothing(Outlook::default());
        }
        let batch = if self.held.is_empty() {
            match self.lane.device_turn(self.slot) {
                DeviceTurn::Batch(batch) => batch,
                DeviceTurn::Nothing(outlook) => return Turn::Nothing(outlook),
            }
        } else {
            std::mem::take(&mut self.held)
        };
        if self.depth() == 1 {
            self.run_batch(cpu, batch)
        } else {
            self.send(batch)
        }
    }

    fn oldest(&self) -> Option<Instant> {
        self.in_flight.front().map(|flight| flight.sent)
    }

    fn poll(&mut self, limit: Duration) -> Result<bool, DeviceError> {
        let done = caught(|| self.accelerator.poll(limit))?;
        self.ready = done && self.accelerator.polls();
        Ok(done)
    }

    fn collect(&mut self, cpu: &rayon::ThreadPool, refill: bool) -> Turn {
        let Some(flight) = self.in_flight.front() else {
            return Turn::Nothing(Outlook::default());
        };
        let asked = flight.batch.len();
        let start = Instant::now();
        let ready = std::mem::take(&mut self.ready);
        let answers = match caught(|| self.accelerator.collect())
            .and_then(|answers| counted(answers, asked))
        {
            Ok(answers) => answers,
            Err(error) => return Turn::Failed(error),
        };
        let Some(Flight {
            batch,
            sent,
            upload,
        }) = self.in_flight.pop_front()
        else {
            return Turn::Nothing(Outlook::default());
        };
        let now = Instant::now();
        if ready {
            let transfer = upload + now.saturating_duration_since(start);
            self.lane.book(self.slot + 1, |device| {
                device.transfer_time.record_time(transfer);
            });
        }
        // It began when it was sent off, or when the one before it was done.
        let took = now.saturating_duration_since(sent.max(self.done));
        self.done = now;
        self.lane.finished(self.slot, &jobs_of(&batch), Some(took));
        // The device has its next batch before the CPU looks at this one's answers.
        let next = if refill { self.turn(cpu) } else { Turn::Ran };
        let finished = self.finish(cpu, batch, answers, sent, took);
        match (finished, next) {
            (Turn::Failed(error), _) | (_, Turn::Failed(error)) => Turn::Failed(error),
            (ran, _) => ran,
        }
    }

    fn abandon(&mut self, cpu: &rayon::ThreadPool) {
        let held = std::mem::take(&mut self.held);
        let sent = std::mem::take(&mut self.in_flight);
        let now = Instant::now();
        let batches = sent
            .into_iter()
            .map(|flight| (flight.batch, flight.sent))
            .chain((!held.is_empty()).then_some((held, now)));
        for (batch, sent) in batches {
            self.fall_back(cpu, batch, sent.elapsed());
        }
    }
}
