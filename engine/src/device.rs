//! One kernel on one device: self-test, measurement, batches, audit and fall-back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::calibrate::{Bench, Size, calibrate};
#[cfg(feature = "gpu")]
use crate::context::GpuContext;
use crate::cpu;
use crate::error::{DeviceError, panic_text};
use crate::fault::ScriptedDevice;
use crate::kernel::{Accelerator, Kernel};
use crate::lane::{DeviceTurn, Lane, Outlook, book_batch};
use crate::queue::Entry;
use crate::report::{AdapterSummary, Cost, SelfTestReport};
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
            Self::Scripted(device) => Ok(Some(device.open_kernel())),
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
    /// A batch ran.
    Ran,
    /// A batch failed here and was answered by the CPU; the device must not be used further.
    Failed(DeviceError),
    /// No batch.
    Nothing(Outlook),
}

/// A kernel opened on a device, its types hidden.
pub(crate) trait OnDevice {
    fn kernel(&self) -> &'static str;
    fn self_test(&mut self, backend: &str) -> SelfTestReport;
    /// Measures and lets jobs in. Only after a passed self-test.
    fn enter_service(&mut self) -> Result<Cost, DeviceError>;
    fn turn(&mut self, cpu: &rayon::ThreadPool) -> Turn;
}

/// A kernel opened on a device.
pub(crate) struct Opened<K: Kernel> {
    lane: Arc<Lane<K>>,
    accelerator: Box<dyn Accelerator<K>>,
    slot: usize,
    random: u64,
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
    ) -> Self {
        use std::hash::{BuildHasher, Hasher};
        // Keys of the standard library's hash maps come from the operating system.
        let random = std::hash::RandomState::new().build_hasher().finish() | 1;
        Self {
            lane,
            accelerator,
            slot,
            random,
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
    fn run(&mut self, jobs: &[&K::Job]) -> Result<Vec<Option<K::Output>>, DeviceError> {
        let answers = catch_unwind(AssertUnwindSafe(|| self.accelerator.run(jobs)))
            .map_err(|panic| DeviceError::Panicked(panic_text(panic.as_ref())))??;
        if answers.len() == jobs.len() {
            Ok(answers)
        } else {
            Err(DeviceError::AnswerCount {
                asked: jobs.len(),
                got: answers.len(),
            })
        }
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

    fn run_batch(&mut self, cpu: &rayon::ThreadPool, batch: Vec<Entry<K>>) -> Turn {
        let _span = tracing::debug_span!(
            target: "pars_engine::batch", "batch",
            kernel = K::NAME, slot = self.slot + 1, jobs = batch.len()
        )
        .entered();
        let start = Instant::now();
        let jobs: Vec<&K::Job> = batch.iter().map(|entry| &*entry.job).collect();
        let ran = self.run(&jobs);
        let time = start.elapsed();
        let device_answers = match ran {
            Ok(answers) => answers,
            Err(error) => {
                self.fall_back(cpu, batch, time);
                return Turn::Failed(error);
            }
        };
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
        self.lane.book(self.slot + 1, |device| {
            book_batch(device, &batch, start, time, by_device)
        });
        self.lane.book(0, |cpu| cpu.answered += undecided);
        self.lane.answer(batch, answers);
        Turn::Ran
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
            .map(|entry| &*entry.job)
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

    fn enter_service(&mut self) -> Result<Cost, DeviceError> {
        let most = self.accelerator.max_batch();
        let mut bench = OnTheDevice {
            most: most.min(self.lane.config().max_batch).max(1),
            large: 1,
            opened: self,
        };
        let costs = calibrate::<K, _>(&mut bench)?;
        let cost = costs.usual().into();
        self.lane.ready_slot(self.slot, cost, most);
        Ok(cost)
    }

    fn turn(&mut self, cpu: &rayon::ThreadPool) -> Turn {
        match self.lane.device_turn(self.slot) {
            DeviceTurn::Batch(batch) => {
                let turn = self.run_batch(cpu, batch);
                self.lane.device_idle(self.slot);
                turn
            }
            DeviceTurn::Nothing(outlook) => Turn::Nothing(outlook),
        }
    }
}
