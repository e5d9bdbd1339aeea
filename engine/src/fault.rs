//! A device that fails on purpose, for tests of the engine and of programs that embed it.
//!
//! It answers by the CPU path and then does what its script says. Give it to
//! [`EngineBuilder::faulty_device`](crate::EngineBuilder::faulty_device).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::DeviceError;
use crate::kernel::{Accelerator, DeviceAnswers, Kernel};

/// One way to fail.
///
/// With several batches in flight ([`FaultScript::in_flight`]) a loss, want of memory or a panic at an even
/// batch shows when that batch is submitted, at an odd one when it is collected; time-outs and wrong
/// answers show when it is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The device is lost, and stays lost until it is opened again.
    Lose,
    /// The batch does not end in time.
    Timeout,
    /// No memory for the batch.
    OutOfMemory,
    /// One answer, at this index modulo the batch's size, is wrong.
    WrongAnswer(usize),
    /// Every answer is wrong.
    Garbage,
    /// One answer is missing.
    AnswerMissing,
    /// Every answer is "undecided".
    Undecided,
    /// The batch takes this much longer, and is right.
    Stall(Duration),
    /// The driver panics.
    Panic,
    /// The batch is right, and from then on the kernel says that it holds this many bytes of device memory.
    Grow(u64),
}

impl Fault {
    const fn seeded(random: u64) -> Self {
        match random % 9 {
            0 => Self::Lose,
            1 => Self::Timeout,
            2 => Self::OutOfMemory,
            3 => Self::AnswerMissing,
            4 => Self::Undecided,
            5 => Self::Stall(Duration::from_micros(random >> 8 & 0x3ff)),
            6 => Self::Garbage,
            7 => Self::WrongAnswer((random >> 8 & 0xff) as usize),
            _ => Self::Panic,
        }
    }

    /// Whether it shows when the batch is submitted.
    const fn at_submission(self, batch: u64) -> bool {
        matches!(self, Self::Lose | Self::OutOfMemory | Self::Panic) && batch.is_multiple_of(2)
    }
}

/// When a scripted device fails, and how.
#[derive(Clone, Debug)]
pub struct FaultScript {
    name: String,
    at: BTreeMap<u64, Fault>,
    random: Option<(u64, u16)>,
    in_self_test: Option<Fault>,
    at_opening: BTreeMap<u64, Fault>,
    max_batch: usize,
    max_bytes: usize,
    at_once: usize,
    in_flight: usize,
    opens: u64,
    slow: Duration,
    memory: u64,
}

impl Default for FaultScript {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultScript {
    /// A device without faults.
    pub const fn new() -> Self {
        Self {
            name: String::new(),
            at: BTreeMap::new(),
            random: None,
            in_self_test: None,
            at_opening: BTreeMap::new(),
            max_batch: 1_024,
            max_bytes: usize::MAX,
            at_once: usize::MAX,
            in_flight: 1,
            opens: u64::MAX,
            slow: Duration::ZERO,
            memory: 0,
        }
    }

    /// Names the device in reports.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Fails at a batch, counted from 0 after the first self-test, over all kernels, on through
    /// later openings of the device.
    #[must_use]
    pub fn at(mut self, batch: u64, fault: Fault) -> Self {
        self.at.insert(batch, fault);
        self
    }

    /// Fails at random batches, `per_thousand` of them, each in a random way, all decided by the
    /// seed.
    #[must_use]
    pub const fn seeded(mut self, seed: u64, per_thousand: u16) -> Self {
        self.random = Some((seed, per_thousand));
        self
    }

    /// Fails in every self-test.
    #[must_use]
    pub const fn in_self_test(mut self, fault: Fault) -> Self {
        self.in_self_test = Some(fault);
        self
    }

    /// Fails while its kernels are opened, as a driver does that dies on a shader. Openings are counted
    /// from 0. Of the faults that say something of answers, none shows.
    #[must_use]
    pub fn at_opening(mut self, opening: u64, fault: Fault) -> Self {
        self.at_opening.insert(opening, fault);
        self
    }

    /// How many batches the device has in flight; 1 unless told.
    #[must_use]
    pub const fn in_flight(mut self, batches: usize) -> Self {
        self.in_flight = batches;
        self
    }

    /// Most bytes of a batch; no bound unless told.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Takes no more jobs than this of a batch that is submitted, and leaves the rest for the next
    /// submission. Only with several batches in flight.
    #[must_use]
    pub const fn at_once(mut self, jobs: usize) -> Self {
        self.at_once = jobs;
        self
    }

    /// Most jobs that the device takes at once; 1,024 unless told.
    #[must_use]
    pub const fn max_batch(mut self, jobs: usize) -> Self {
        self.max_batch = jobs;
        self
    }

    /// How often the device can be opened; after that, opening fails.
    #[must_use]
    pub const fn opens(mut self, times: u64) -> Self {
        self.opens = times;
        self
    }

    /// Makes every batch take this much longer, those of the self-test too.
    #[must_use]
    pub const fn slow(mut self, time: Duration) -> Self {
        self.slow = time;
        self
    }

    /// Makes every kernel say that it holds this many bytes of the device's memory.
    #[must_use]
    pub const fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    pub(crate) fn name(&self) -> &str {
        if self.name.is_empty() {
            "scripted device"
        } else {
            &self.name
        }
    }

    fn fault(&self, batch: u64) -> Option<Fault> {
        if let Some(fault) = self.at.get(&batch) {
            return Some(*fault);
        }
        let (seed, per_thousand) = self.random?;
        let random = split_mix(seed ^ split_mix(batch));
        (random % 1_000 < u64::from(per_thousand)).then(|| Fault::seeded(random / 1_000))
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
const fn split_mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What lasts from one opening of the device to the next.
#[derive(Default)]
pub(crate) struct History {
    batches: AtomicU64,
    opened: AtomicU64,
}

/// One opening of a scripted device.
#[derive(Clone)]
pub(crate) struct ScriptedDevice {
    script: Arc<FaultScript>,
    history: Arc<History>,
    /// The number of this opening.
    opening: u64,
    lost: Arc<AtomicBool>,
    armed: Arc<AtomicBool>,
}

impl ScriptedDevice {
    pub(crate) fn open(
        script: &Arc<FaultScript>,
        history: &Arc<History>,
    ) -> Result<Self, DeviceError> {
        let opening = history.opened.fetch_add(1, Ordering::SeqCst);
        if opening >= script.opens {
            return Err(DeviceError::Open(
                "the script allows no further opening".to_owned(),
            ));
        }
        Ok(Self {
            script: script.clone(),
            history: history.clone(),
            opening,
            lost: Arc::default(),
            armed: Arc::default(),
        })
    }

    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    #[allow(clippy::panic)] // what a driver would do
    pub(crate) fn open_kernel<K: Kernel>(&self) -> Result<Box<dyn Accelerator<K>>, DeviceError> {
        match self.script.at_opening.get(&self.opening) {
            Some(Fault::Panic) => panic!("as scripted"),
            Some(fault) => failure(*fault)?,
            None => {}
        }
        let outputs = K::known_answers()
            .into_iter()
            .map(|(_, output)| output)
            .collect();
        Ok(Box::new(Scripted::<K> {
            device: self.clone(),
            outputs,
            in_flight: VecDeque::new(),
            memory: self.script.memory,
        }))
    }

    /// The number of the next batch, counted since the first self-test, and its fault.
    fn next(&self) -> (u64, Option<Fault>) {
        if self.armed.load(Ordering::SeqCst) {
            let batch = self.history.batches.fetch_add(1, Ordering::SeqCst);
            (batch, self.script.fault(batch))
        } else {
            (0, self.script.in_self_test)
        }
    }

    fn alive(&self) -> Result<(), DeviceError> {
        if self.lost.load(Ordering::SeqCst) {
            return Err(DeviceError::Lost("lost before".to_owned()));
        }
        Ok(())
    }

    /// Fails as the fault wants, if it wants no answers.
    #[allow(clippy::panic)] // what a driver would do
    fn fail(&self, fault: Fault) -> Result<(), DeviceError> {
        match fault {
            Fault::Lose => self.lost.store(true, Ordering::SeqCst),
            Fault::Panic => panic!("as scripted"),
            _ => {}
        }
        failure(fault)
    }
}

/// The error of a fault that leaves no answers.
fn failure(fault: Fault) -> Result<(), DeviceError> {
    let why = "as scripted".to_owned();
    match fault {
        Fault::Lose => Err(DeviceError::Lost(why)),
        Fault::Timeout => Err(DeviceError::Timeout(why)),
        Fault::OutOfMemory => Err(DeviceError::OutOfMemory(why)),
        _ => Ok(()),
    }
}

struct Scripted<K: Kernel> {
    device: ScriptedDevice,
    /// Outputs that the kernel can give, to choose wrong ones from.
    outputs: Vec<K::Output>,
    in_flight: VecDeque<Flight<K::Output>>,
    /// Bytes of device memory that it says it holds.
    memory: u64,
}

/// A batch that the device says it is computing.
struct Flight<T> {
    answers: Vec<Option<T>>,
    done: Instant,
    /// What is still to go wrong with it.
    fault: Option<Fault>,
}

impl<K: Kernel> Scripted<K> {
    fn spoil(&self, answer: &mut Option<K::Output>) {
        let wrong = self
            .outputs
            .iter()
            .find(|output| Some(*output) != answer.as_ref());
        *answer = wrong.cloned();
    }

    /// What becomes of right answers.
    fn spoiled(
        &mut self,
        mut answers: Vec<Option<K::Output>>,
        fault: Option<Fault>,
    ) -> DeviceAnswers<K::Output> {
        let Some(fault) = fault else {
            return Ok(answers);
        };
        self.device.fail(fault)?;
        match fault {
            Fault::WrongAnswer(index) => {
                let index = index % answers.len().max(1);
                if let Some(answer) = answers.get_mut(index) {
                    self.spoil(answer);
                }
            }
            Fault::Garbage => answers.iter_mut().for_each(|answer| self.spoil(answer)),
            Fault::AnswerMissing => {
                answers.pop();
            }
            Fault::Undecided => answers.fill(None),
            Fault::Grow(bytes) => self.memory = bytes,
            _ => {}
        }
        Ok(answers)
    }

    /// How much longer than the CPU path a batch takes.
    fn delay(&self, fault: Option<Fault>) -> Duration {
        match fault {
            Some(Fault::Stall(time)) => self.device.script.slow + time,
            _ => self.device.script.slow,
        }
    }
}

impl<K: Kernel> Accelerator<K> for Scripted<K> {
    fn max_batch(&self) -> usize {
        self.device.script.max_batch
    }

    fn max_bytes(&self) -> usize {
        self.device.script.max_bytes
    }

    fn run(&mut self, jobs: &[&K::Job]) -> DeviceAnswers<K::Output> {
        let (_, fault) = self.device.next();
        self.device.alive()?;
        std::thread::sleep(self.delay(fault));
        let answers = jobs.iter().map(|job| Some(K::run_cpu(job))).collect();
        self.spoiled(answers, fault)
    }

    fn depth(&self) -> usize {
        self.device.script.in_flight
    }

    fn polls(&self) -> bool {
        true
    }

    fn memory(&self) -> Option<u64> {
        Some(self.memory)
    }

    fn submit(&mut self, jobs: &[&K::Job]) -> Result<usize, DeviceError> {
        let (batch, mut fault) = self.device.next();
        self.device.alive()?;
        if let Some(now) = fault.take_if(|fault| fault.at_submission(batch)) {
            self.device.fail(now)?;
        }
        let taken = jobs.len().min(self.device.script.at_once);
        let answers = jobs
            .iter()
            .take(taken)
            .map(|job| Some(K::run_cpu(job)))
            .collect();
        self.in_flight.push_back(Flight {
            answers,
            done: Instant::now() + self.delay(fault),
            fault,
        });
        Ok(taken)
    }

    fn poll(&mut self, limit: Duration) -> Result<bool, DeviceError> {
        self.device.alive()?;
        let Some(flight) = self.in_flight.front() else {
            return Ok(true);
        };
        let left = flight.done.saturating_duration_since(Instant::now());
        std::thread::sleep(left.min(limit));
        Ok(left <= limit)
    }

    fn collect(&mut self) -> DeviceAnswers<K::Output> {
        self.device.alive()?;
        let Some(flight) = self.in_flight.pop_front() else {
            return Err(DeviceError::Rejected("nothing is in flight".to_owned()));
        };
        std::thread::sleep(flight.done.saturating_duration_since(Instant::now()));
        self.spoiled(flight.answers, flight.fault)
    }
}
