//! One kernel on one device: self-test, batches in flight, answers and fall-back.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::audit::{Auditor, Chosen, recompute};
use super::measure::OnTheDevice;
use super::{Account, Flights, OnDevice, OpenKernel, Site, Turn};
use crate::calibrate::{Costs, calibrate, holds};
use crate::error::{DeviceError, panic_text};
use crate::kernel::{Accelerator, DeviceAnswers, Kernel};
use crate::lane::{DeviceTurn, Lane, Outlook, book_batch, jobs_of, usual};
use crate::options::Priority;
use crate::queue::Entry;
use crate::report::{Cost, SelfTestReport};
use crate::routing::Limits;
use crate::ticket::Answer;

/// A kernel opened on a device.
pub(crate) struct Opened<K: Kernel> {
    lane: Arc<Lane<K>>,
    pub(super) accelerator: Box<dyn Accelerator<K>>,
    account: Account,
    slot: usize,
    auditor: Auditor,
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

impl<K: Kernel> Opened<K> {
    pub(crate) fn new(lane: Arc<Lane<K>>, kernel: OpenKernel<K>, slot: usize, memory: u64) -> Self {
        let OpenKernel {
            accelerator,
            account,
        } = kernel;
        Self {
            lane,
            accelerator,
            account,
            slot,
            auditor: Auditor::new(),
            in_flight: VecDeque::new(),
            held: Vec::new(),
            done: Instant::now(),
            ready: false,
            memory,
        }
    }

    /// Bytes of device memory that it holds: what was counted, and what it says of itself.
    fn held(&self) -> u64 {
        self.account
            .bytes()
            .max(self.accelerator.memory().unwrap_or(0))
    }

    /// Whether it holds no more device memory than it may.
    fn keeps_to_its_memory(&self) -> Result<(), DeviceError> {
        let held = self.held();
        if held > self.memory {
            return Err(DeviceError::Memory {
                kernel: K::NAME,
                held,
                limit: self.memory,
            });
        }
        Ok(())
    }

    /// Runs a batch; panics and wrong counts become errors.
    pub(super) fn run(&mut self, jobs: &[&K::Job]) -> DeviceAnswers<K::Output> {
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
        let Chosen {
            indices,
            undecided,
            confirmed,
            audited,
        } = self
            .auditor
            .choose::<K>(self.lane.config(), &device_answers);
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
        let (cache, memory) = (self.accelerator.cache_stats(), self.held());
        self.lane.book(self.slot + 1, |device| {
            book_batch(device, &batch, start, time, by_device);
            device.cache = cache;
            device.memory = memory;
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
        let most = limits.batch.min(self.lane.config().max_batch);
        let mut bench = OnTheDevice::new(self, most);
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
        let memory = self.held();
        self.lane
            .book(self.slot + 1, |device| device.memory = memory);
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
