//! The handle that callers hold.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::builder::EngineBuilder;
use crate::error::{EngineError, SubmitError};
use crate::gate::{Load, QueueState, Refusal, Share};
use crate::kernel::Kernel;
use crate::lane::{AnyLane, Lane};
use crate::options::SubmitOptions;
use crate::report::{CpuReport, DeviceReport, SelfTestReport};
use crate::shared::{SelfTestRequest, Shared};
use crate::stats::EngineStats;
use crate::ticket::{Ticket, Tickets, block_on};

/// Longest wait for a device's thread when the last handle is dropped. A device's own time-out ends
/// a batch long before.
const FAREWELL: Duration = Duration::from_secs(30);

/// How long a requested self-test of one device may take.
const SELF_TEST_LIMIT: Duration = Duration::from_secs(120);

/// Answers jobs in batches, on the back end that is done first.
///
/// Cheap to clone; all clones are the same engine. When the last one is dropped, batches that run
/// are finished and answered, what still waits is reported as [`EngineError::ShuttingDown`], and
/// the device threads are joined.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    cpu: CpuReport,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("queue", &self.queue())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Settings with sensible defaults.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    pub(crate) fn new(
        shared: Arc<Shared>,
        cpu: CpuReport,
        threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                shared,
                cpu,
                threads,
            }),
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    fn lane<K: Kernel>(&self) -> Result<(&Lane<K>, &Arc<dyn AnyLane>), EngineError> {
        self.shared()
            .lanes
            .iter()
            .find_map(|lane| {
                let any: &dyn Any = lane.as_ref();
                any.downcast_ref::<Lane<K>>().map(|typed| (typed, lane))
            })
            .ok_or(EngineError::UnknownKernel { kernel: K::NAME })
    }

    /// Hands over a job. Never waits.
    ///
    /// # Errors
    /// [`SubmitError::QueueFull`] where the engine is at its bound: the job comes back with the
    /// queue's state. The other variants say why the job can never be accepted.
    pub fn submit<K: Kernel>(&self, job: K::Job) -> Result<Ticket<K::Output>, SubmitError<K::Job>> {
        self.submit_with::<K>(job, SubmitOptions::default())
    }

    /// [`submit`](Self::submit) with a class, a deadline or a caller's name.
    ///
    /// # Errors
    /// As for [`submit`](Self::submit); also where the deadline has passed or the caller has as many
    /// jobs in work as its quota.
    pub fn submit_with<K: Kernel>(
        &self,
        job: K::Job,
        options: SubmitOptions,
    ) -> Result<Ticket<K::Output>, SubmitError<K::Job>> {
        let Ok((lane, any)) = self.lane::<K>() else {
            return Err(SubmitError::UnknownKernel {
                job,
                kernel: K::NAME,
            });
        };
        if options.late() {
            return Err(SubmitError::DeadlineExceeded { job });
        }
        let load = lane.load(&job, &options);
        match self.shared().gate.admit(&load) {
            Ok(()) => {}
            Err(Refusal::Full(state)) => {
                lane.count_refusal();
                return Err(SubmitError::QueueFull { job, state });
            }
            Err(Refusal::Quota {
                caller,
                jobs,
                limit,
            }) => {
                lane.count_refusal();
                return Err(SubmitError::QuotaExceeded {
                    job,
                    caller,
                    jobs,
                    limit,
                });
            }
            Err(Refusal::TooLarge { bytes, limit }) => {
                return Err(SubmitError::TooLarge { job, bytes, limit });
            }
            Err(Refusal::Late) => return Err(SubmitError::DeadlineExceeded { job }),
            Err(Refusal::Closed) => return Err(SubmitError::ShuttingDown { job }),
        }
        self.push(lane, any, job, &load, &options, 0)
            .map_err(|job| SubmitError::ShuttingDown { job })
    }

    /// Queues an admitted job and tells the workers. A refused one has its room given back.
    fn push<K: Kernel>(
        &self,
        lane: &Lane<K>,
        any: &Arc<dyn AnyLane>,
        job: K::Job,
        load: &Load,
        options: &SubmitOptions,
        helping: usize,
    ) -> Result<Ticket<K::Output>, K::Job> {
        let pushed = lane.push(any, job, load, options.deadline);
        match &pushed {
            Ok(_) => self.shared().announce(any.as_ref(), helping),
            Err(_) => self.shared().gate.release([*load]),
        }
        pushed
    }

    /// Does one job; waits for room first where the engine is full. Works under any executor.
    /// Dropping the future cancels the job if its batch has not started.
    ///
    /// # Errors
    /// As [`EngineError`] says; a full queue is not an error here.
    pub async fn call<K: Kernel>(&self, job: K::Job) -> Result<K::Output, EngineError> {
        self.call_with::<K>(job, SubmitOptions::default()).await
    }

    /// [`call`](Self::call) with a class, a deadline or a caller's name. A caller over its quota waits
    /// for its own answers.
    ///
    /// # Errors
    /// As [`EngineError`] says.
    pub async fn call_with<K: Kernel>(
        &self,
        job: K::Job,
        options: SubmitOptions,
    ) -> Result<K::Output, EngineError> {
        self.enter::<K>(job, &options, 0).await?.await
    }

    /// Queues a job as soon as there is room.
    async fn enter<K: Kernel>(
        &self,
        job: K::Job,
        options: &SubmitOptions,
        helping: usize,
    ) -> Result<Ticket<K::Output>, EngineError> {
        let (lane, any) = self.lane::<K>()?;
        if options.late() {
            return Err(EngineError::DeadlineExceeded);
        }
        let load = lane.load(&job, options);
        self.shared()
            .gate
            .admit_in_turn(&load, options.deadline)
            .await
            .map_err(refused)?;
        self.push(lane, any, job, &load, options, helping)
            .map_err(|_| EngineError::ShuttingDown)
    }

    /// Does many jobs and gives the answers in their order. There may be more of them than the
    /// queue holds: they are handed over as room appears.
    ///
    /// # Errors
    /// The first error of any job, in their order; the rest is cancelled then.
    pub async fn call_many<K: Kernel>(
        &self,
        jobs: Vec<K::Job>,
    ) -> Result<Vec<K::Output>, EngineError> {
        self.call_many_with::<K>(jobs, SubmitOptions::default())
            .await
    }

    /// [`call_many`](Self::call_many) with a class, a deadline or a caller's name.
    ///
    /// # Errors
    /// As for [`call_many`](Self::call_many).
    pub async fn call_many_with<K: Kernel>(
        &self,
        jobs: Vec<K::Job>,
        options: SubmitOptions,
    ) -> Result<Vec<K::Output>, EngineError> {
        self.many::<K>(jobs, &options, 0).await
    }

    /// Hands over jobs as there is room, and waits for their answers. With `helping` the thread that
    /// polls this works on them itself.
    async fn many<K: Kernel>(
        &self,
        jobs: Vec<K::Job>,
        options: &SubmitOptions,
        helping: usize,
    ) -> Result<Vec<K::Output>, EngineError> {
        let (lane, any) = self.lane::<K>()?;
        if options.late() {
            return Err(EngineError::DeadlineExceeded);
        }
        let gate = &self.shared().gate;
        let shares: Vec<Share> = jobs
            .iter()
            .map(|job| Share::of(&lane.load(job, options)))
            .collect();
        let load = |share: &Share| share.load(options.priority, options.caller);
        let mut outputs = Vec::with_capacity(jobs.len());
        let mut parts: VecDeque<Tickets<K::Output>> = VecDeque::new();
        let mut jobs = jobs.into_iter();
        let mut rest = shares.as_slice();
        while let Some(first) = jobs.as_slice().first() {
            let mut admitted = gate.admit_some(rest.iter().map(load));
            if admitted == 0 {
                gate.admit_in_turn(&lane.load(first, options), options.deadline)
                    .await
                    .map_err(refused)?;
                admitted = 1;
            }
            let (part, later) = rest.split_at(admitted);
            rest = later;
            let Some(part) = lane.push_many(any, &mut jobs, part, options) else {
                gate.release(part.iter().map(load));
                return Err(EngineError::ShuttingDown);
            };
            self.shared().announce(any.as_ref(), helping);
            if helping > 0
                && let Some(last) = part.last()
            {
                self.shared().help(|| any.waits(last));
            }
            parts.push_back(part);
            // Answers that are there already need no ticket any more.
            while let Some(part) = parts.pop_front_if(|part| part.is_answered()) {
                part.take_into(&mut outputs)?;
            }
        }
        for part in parts {
            part.answered().await;
            part.take_into(&mut outputs)?;
        }
        Ok(outputs)
    }

    /// [`call`](Self::call) for a plain thread, which is blocked until the answer is there. Where the
    /// CPU has a thread to spare the calling one does the work. Not for a thread that drives async
    /// tasks, nor from within a kernel.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub fn call_blocking<K: Kernel>(&self, job: K::Job) -> Result<K::Output, EngineError> {
        self.call_blocking_with::<K>(job, SubmitOptions::default())
    }

    /// [`call_with`](Self::call_with) for a plain thread.
    ///
    /// # Errors
    /// As for [`call_with`](Self::call_with).
    pub fn call_blocking_with<K: Kernel>(
        &self,
        job: K::Job,
        options: SubmitOptions,
    ) -> Result<K::Output, EngineError> {
        let (_, any) = self.lane::<K>()?;
        let ticket = block_on(self.enter::<K>(job, &options, 1))?;
        self.shared().help(|| any.waits(ticket.position()));
        ticket.wait()
    }

    /// [`call_many`](Self::call_many) for a plain thread.
    ///
    /// # Errors
    /// As for [`call_many`](Self::call_many).
    pub fn call_many_blocking<K: Kernel>(
        &self,
        jobs: Vec<K::Job>,
    ) -> Result<Vec<K::Output>, EngineError> {
        self.call_many_blocking_with::<K>(jobs, SubmitOptions::default())
    }

    /// [`call_many_with`](Self::call_many_with) for a plain thread.
    ///
    /// # Errors
    /// As for [`call_many`](Self::call_many).
    pub fn call_many_blocking_with<K: Kernel>(
        &self,
        jobs: Vec<K::Job>,
        options: SubmitOptions,
    ) -> Result<Vec<K::Output>, EngineError> {
        block_on(self.many::<K>(jobs, &options, 1))
    }

    /// How full the queue is.
    pub fn queue(&self) -> QueueState {
        self.shared().gate.state()
    }

    /// A snapshot of all counters.
    pub fn stats(&self) -> EngineStats {
        EngineStats {
            queue: self.queue(),
            kernels: self
                .shared()
                .lanes
                .iter()
                .map(|lane| lane.stats())
                .collect(),
        }
    }

    /// The counters and the state of the devices as a page for Prometheus, text format 0.0.4.
    pub fn prometheus(&self) -> String {
        self.stats().prometheus() + &self.devices().prometheus()
    }

    /// What was found on this machine, what is used, and why.
    pub fn devices(&self) -> DeviceReport {
        let shared = self.shared();
        let routes = shared.lanes.iter().map(|lane| lane.route()).collect();
        let devices = shared.devices.lock();
        DeviceReport {
            cpu: self.inner.cpu.clone(),
            gpu_built_in: cfg!(feature = "gpu"),
            policy: shared.config.gpu.to_string(),
            starting: devices.pending > 0,
            adapters: devices.adapters.clone(),
            routes,
        }
    }

    /// Waits until every chosen adapter is in use or given up. Devices start in the background and
    /// the CPU works from the first moment, so only measurements and tests need this. `false` if
    /// that took longer than `limit`.
    pub fn wait_ready(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut devices = self.shared().devices.lock();
        while devices.pending > 0 {
            let late = self
                .shared()
                .devices_changed
                .wait_until(&mut devices, deadline);
            if late.timed_out() {
                return devices.pending == 0;
            }
        }
        true
    }

    /// Runs the known answers of every kernel on the CPU and on every device that has an owner, now,
    /// and blocks until they are done. A device that is not in use answers with its last result.
    pub fn self_test(&self) -> Vec<SelfTestReport> {
        let shared = self.shared();
        let mut reports: Vec<_> = shared.lanes.iter().map(|lane| lane.test_cpu()).collect();
        let owners = shared.devices.lock().owners.clone();
        let replies: Vec<_> = owners
            .into_iter()
            .map(|(adapter, owner)| {
                let (reply, replies) = crossbeam_channel::bounded(1);
                let asked = owner.send(SelfTestRequest(reply)).is_ok();
                (adapter, asked, replies)
            })
            .collect();
        shared.signal.raise();
        for (adapter, asked, replies) in replies {
            match replies.recv_timeout(if asked {
                SELF_TEST_LIMIT
            } else {
                Duration::ZERO
            }) {
                Ok(answers) => reports.extend(answers),
                Err(_) => {
                    let devices = shared.devices.lock();
                    let name = devices
                        .adapters
                        .get(adapter)
                        .map(|report| &report.adapter.name);
                    reports.extend(shared.lanes.iter().map(|lane| SelfTestReport {
                        kernel: lane.name(),
                        backend: name.cloned().unwrap_or_default(),
                        answers: 0,
                        undecided: 0,
                        time: SELF_TEST_LIMIT,
                        failure: Some("the device's thread gives no answer".to_owned()),
                    }));
                }
            }
        }
        reports
    }

    /// Accepts nothing more, waits until everything accepted is answered, at most for `limit`, and
    /// stops. Whether everything was answered; the rest is reported as
    /// [`EngineError::ShuttingDown`]. Blocks the calling thread.
    pub fn shutdown(&self, limit: Duration) -> bool {
        let shared = self.shared();
        shared.gate.close();
        let answered = shared.gate.wait_empty(limit);
        shared.stop();
        answered
    }
}

fn refused(refusal: Refusal) -> EngineError {
    match refusal {
        Refusal::Full(state) => EngineError::QueueFull { state },
        Refusal::TooLarge { bytes, limit } => EngineError::TooLarge { bytes, limit },
        Refusal::Quota {
            caller,
            jobs,
            limit,
        } => EngineError::QuotaExceeded {
            caller,
            jobs,
            limit,
        },
        Refusal::Late => EngineError::DeadlineExceeded,
        Refusal::Closed => EngineError::ShuttingDown,
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.stop();
        let me = std::thread::current().id();
        let deadline = Instant::now() + FAREWELL;
        // The thread that finds the adapters adds threads; it is the first in the list.
        loop {
            let threads = std::mem::take(&mut *self.threads.lock());
            if threads.is_empty() {
                return;
            }
            for thread in threads {
                // A waker may drop the last handle on one of the engine's own threads.
                if thread.thread().id() == me {
                    continue;
                }
                while !thread.is_finished() && Instant::now() < deadline {
                    std::thread::sleep(Duration::from_micros(200));
                }
                if thread.is_finished() {
                    let _ = thread.join();
                } else {
                    tracing::error!("a device's driver does not return; its thread is left behind");
                }
            }
        }
    }
}
