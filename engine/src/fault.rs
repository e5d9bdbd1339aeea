//! A device that fails on purpose, for tests of the engine and of programs that embed it.
//!
//! It answers by the CPU path and then does what its script says. Give it to
//! [`EngineBuilder::faulty_device`](crate::EngineBuilder::faulty_device).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::error::DeviceError;
use crate::kernel::{Accelerator, Kernel};

/// One way to fail.
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
}

impl Fault {
    const fn seeded(random: u64) -> Self {
        match random % 8 {
            0 => Self::Lose,
            1 => Self::Timeout,
            2 => Self::OutOfMemory,
            3 => Self::AnswerMissing,
            4 => Self::Undecided,
            5 => Self::Stall(Duration::from_micros(random >> 8 & 0x3ff)),
            6 => Self::Garbage,
            _ => Self::Panic,
        }
    }
}

/// When a scripted device fails, and how.
#[derive(Clone, Debug)]
pub struct FaultScript {
    name: String,
    at: BTreeMap<u64, Fault>,
    random: Option<(u64, u16)>,
    in_self_test: Option<Fault>,
    max_batch: usize,
    opens: u64,
    slow: Duration,
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
            max_batch: 1_024,
            opens: u64::MAX,
            slow: Duration::ZERO,
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
    lost: Arc<AtomicBool>,
    armed: Arc<AtomicBool>,
}

impl ScriptedDevice {
    pub(crate) fn open(
        script: &Arc<FaultScript>,
        history: &Arc<History>,
    ) -> Result<Self, DeviceError> {
        if history.opened.fetch_add(1, Ordering::SeqCst) >= script.opens {
            return Err(DeviceError::Open(
                "the script allows no further opening".to_owned(),
            ));
        }
        Ok(Self {
            script: script.clone(),
            history: history.clone(),
            lost: Arc::default(),
            armed: Arc::default(),
        })
    }

    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn open_kernel<K: Kernel>(&self) -> Box<dyn Accelerator<K>> {
        let outputs = K::known_answers()
            .into_iter()
            .map(|(_, output)| output)
            .collect();
        Box::new(Scripted::<K> {
            device: self.clone(),
            outputs,
        })
    }
}

struct Scripted<K: Kernel> {
    device: ScriptedDevice,
    /// Outputs that the kernel can give, to choose wrong ones from.
    outputs: Vec<K::Output>,
}

impl<K: Kernel> Scripted<K> {
    fn spoil(&self, answer: &mut Option<K::Output>) {
        let wrong = self
            .outputs
            .iter()
            .find(|output| Some(*output) != answer.as_ref());
        *answer = wrong.cloned();
    }
}

impl<K: Kernel> Accelerator<K> for Scripted<K> {
    fn max_batch(&self) -> usize {
        self.device.script.max_batch
    }

    #[allow(clippy::panic)] // what a driver would do
    fn run(&mut self, jobs: &[&K::Job]) -> Result<Vec<Option<K::Output>>, DeviceError> {
        let device = &self.device;
        let fault = if device.armed.load(Ordering::SeqCst) {
            device
                .script
                .fault(device.history.batches.fetch_add(1, Ordering::SeqCst))
        } else {
            device.script.in_self_test
        };
        if device.lost.load(Ordering::SeqCst) {
            return Err(DeviceError::Lost("lost before".to_owned()));
        }
        if device.script.slow > Duration::ZERO {
            std::thread::sleep(device.script.slow);
        }
        let right = |job: &&K::Job| Some(K::run_cpu(job));
        match fault {
            None => Ok(jobs.iter().map(right).collect()),
            Some(Fault::Lose) => {
                device.lost.store(true, Ordering::SeqCst);
                Err(DeviceError::Lost("as scripted".to_owned()))
            }
            Some(Fault::Timeout) => Err(DeviceError::Timeout("as scripted".to_owned())),
            Some(Fault::OutOfMemory) => Err(DeviceError::OutOfMemory("as scripted".to_owned())),
            Some(Fault::WrongAnswer(index)) => {
                let mut answers: Vec<_> = jobs.iter().map(right).collect();
                let index = index % answers.len().max(1);
                if let Some(answer) = answers.get_mut(index) {
                    self.spoil(answer);
                }
                Ok(answers)
            }
            Some(Fault::Garbage) => {
                let mut answers: Vec<_> = jobs.iter().map(right).collect();
                answers.iter_mut().for_each(|answer| self.spoil(answer));
                Ok(answers)
            }
            Some(Fault::AnswerMissing) => Ok(jobs.iter().skip(1).map(right).collect()),
            Some(Fault::Undecided) => Ok(vec![None; jobs.len()]),
            Some(Fault::Stall(time)) => {
                std::thread::sleep(time);
                Ok(jobs.iter().map(right).collect())
            }
            Some(Fault::Panic) => panic!("as scripted"),
        }
    }
}
