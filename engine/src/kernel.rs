//! The trait by which a kernel joins the engine.

use std::fmt;
use std::hash::Hasher;
use std::time::Duration;

#[cfg(feature = "gpu")]
use crate::context::GpuContext;
use crate::error::DeviceError;
use crate::stats::CacheStats;

/// One hot path: what a job is, how the CPU does it, and how a device does a batch of it.
///
/// A kernel is a type without values; it joins an engine through
/// [`EngineBuilder::kernel`](crate::EngineBuilder::kernel). The queue, batching, routing, fall-back,
/// audit, statistics and self-tests come with it. Jobs are checked when they are made: a value of
/// [`Kernel::Job`] can always be run, whatever its bytes say.
///
/// The CPU path is the yardstick. A device is used only while its outputs equal those of
/// [`Kernel::run_cpu`], bit for bit.
pub trait Kernel: Sized + Send + Sync + 'static {
    /// One question, complete in itself.
    type Job: Send + Sync + 'static;
    /// Its answer: a pure function of the job.
    type Output: Clone + PartialEq + fmt::Debug + Send + Sync + 'static;
    /// What the kernel keeps between batches, such as a cache; `()` where it keeps nothing. Made by
    /// the builder, one for each engine. The default keeps nothing: with it the CPU path is tested
    /// and measured.
    type State: Default + Send + Sync + 'static;
    /// Name in reports and statistics, such as `mldsa/verify`. Unique within an engine.
    const NAME: &'static str;
    /// Jobs that the CPU path likes to have together, such as the lanes of its vectors. 1 where it
    /// gains nothing from company.
    const CPU_CHUNK: usize = 1;

    /// Bytes that the job holds while it waits; the queue's byte bound counts them.
    fn job_bytes(job: &Self::Job) -> usize;

    /// Jobs of one group may share a batch; jobs of different groups never do. A kernel whose jobs
    /// come in shapes names the shape here; each group has its own measured costs. By default all
    /// jobs are one group.
    fn group(_job: &Self::Job) -> u64 {
        0
    }

    /// What this job costs beside its bytes, relative to others of its group: a batch is expected to take a
    /// fixed time, a time for each unit of weight and a time for each byte. A kernel whose jobs cost
    /// 0.6 and 1.0 of each other says 3 and 5. Routing and the queue's bound in work use it; no answer
    /// depends on it.
    fn job_weight(_job: &Self::Job) -> u32 {
        1
    }

    /// Feeds the hasher with what tells jobs apart, and says that identical jobs in flight may share one
    /// computation. Need not be all of the job: [`same`](Self::same) decides, and jobs that differ
    /// only elsewhere are not shared. By default none is.
    fn fingerprint(_job: &Self::Job, _hasher: &mut impl Hasher) -> bool {
        false
    }

    /// Whether two jobs are identical in full, so that one answer is right for both.
    fn same(_one: &Self::Job, _other: &Self::Job) -> bool {
        false
    }

    /// Does one job on the calling thread. A panic in here becomes the error of this job alone.
    fn run_cpu(job: &Self::Job) -> Self::Output;

    /// Does several jobs on the calling thread, an output for each, in order; equal to
    /// [`run_cpu`](Self::run_cpu) of each, whatever the state holds. A kernel that gains from company
    /// or from its state writes its own.
    fn run_cpu_batch(_state: &Self::State, jobs: &[&Self::Job]) -> Vec<Self::Output> {
        jobs.iter().map(|job| Self::run_cpu(job)).collect()
    }

    /// What the cache in the state has done, if there is one.
    fn cache_stats(_state: &Self::State) -> Option<CacheStats> {
        None
    }

    /// Jobs with their known answers, for the self-test of every back end. Must hold at least one
    /// job, and answers of every kind that the kernel can give.
    fn known_answers() -> Vec<(Self::Job, Self::Output)>;

    /// Jobs with which the costs of every back end are measured: usual ones, of each group that is
    /// common, first the most common one. Where bytes cost something by themselves, a group has jobs
    /// with few and with many bytes for their weight. By default the known answers that no device would
    /// have to have confirmed, or all of them if there are none.
    fn samples() -> Vec<Self::Job> {
        let (usual, others): (Vec<_>, Vec<_>) = Self::known_answers()
            .into_iter()
            .partition(|(_, output)| !Self::must_confirm(output));
        let known = if usual.is_empty() { others } else { usual };
        known.into_iter().map(|(job, _)| job).collect()
    }

    /// Whether a device's answer has to be confirmed by the CPU before it is handed out. A verifier
    /// says so of "invalid": a wrong "invalid" would make an honest node reject a good block.
    fn must_confirm(_output: &Self::Output) -> bool {
        false
    }

    /// Opens the kernel on a GPU: compiles its shaders and makes its buffers. `None` where the
    /// kernel has no GPU path. Called on the thread that owns the device, each time it is opened.
    ///
    /// # Errors
    /// Whatever kept the kernel from being opened; the engine then uses the CPU.
    #[cfg(feature = "gpu")]
    fn open_gpu(
        _context: &GpuContext<'_>,
        _state: &Self::State,
    ) -> Result<Option<Box<dyn Accelerator<Self>>>, DeviceError> {
        Ok(None)
    }
}

/// What a device says to each job of a batch, in order. `None` is "undecided": the engine asks the CPU.
pub type DeviceAnswers<T> = Result<Vec<Option<T>>, DeviceError>;

/// A kernel opened on one device. Made, used and dropped by the thread that owns the device.
///
/// A simple one says how large its batches may be and writes [`run`](Self::run). One that can lay out
/// and upload a batch while the device computes another writes [`depth`](Self::depth),
/// [`submit`](Self::submit), [`poll`](Self::poll) and [`collect`](Self::collect) instead.
///
/// An error of any call means that the device failed: no answer of a batch in flight counts, the
/// engine answers them all on the CPU and drops the accelerator.
pub trait Accelerator<K: Kernel> {
    /// Most jobs of one batch.
    fn max_batch(&self) -> usize;

    /// Most bytes ([`Kernel::job_bytes`]) of one batch. One job is given whatever it holds.
    fn max_bytes(&self) -> usize {
        usize::MAX
    }

    /// Does a batch and waits for it. Called only while nothing is in flight.
    ///
    /// # Errors
    /// When the device failed.
    fn run(&mut self, jobs: &[&K::Job]) -> DeviceAnswers<K::Output> {
        let mut answers = Vec::with_capacity(jobs.len());
        let mut rest = jobs;
        while !rest.is_empty() {
            let sent = self.submit(rest)?;
            rest = rest.get(sent.max(1)..).unwrap_or_default();
            answers.extend(self.collect()?);
        }
        Ok(answers)
    }

    /// How many batches can be in flight at once. With 1 the engine calls [`run`](Self::run) only;
    /// from 2 on it calls [`submit`](Self::submit) and [`collect`](Self::collect).
    fn depth(&self) -> usize {
        1
    }

    /// Sends the first of `jobs` off without waiting for the device, as many as fit, and returns how
    /// many: at least one. The engine submits the rest next. Nothing of `jobs` is needed afterwards. Called
    /// only while fewer than [`depth`](Self::depth) batches are in flight.
    ///
    /// # Errors
    /// When the device failed.
    fn submit(&mut self, _jobs: &[&K::Job]) -> Result<usize, DeviceError> {
        Err(DeviceError::Rejected(format!(
            "the device path of {} does one batch at a time",
            K::NAME
        )))
    }

    /// Whether the batch that was submitted first and not yet collected is done; waits up to `limit`
    /// for it. An accelerator that cannot tell says that it is, and waits in
    /// [`collect`](Self::collect); see [`polls`](Self::polls). Between two calls the engine sends off what has come meanwhile, and lets
    /// the CPU do what waits for a device that is late.
    ///
    /// # Errors
    /// When the device failed.
    fn poll(&mut self, _limit: Duration) -> Result<bool, DeviceError> {
        Ok(true)
    }

    /// Waits for the batch that was submitted first and not yet collected, no longer than the device's
    /// time limit.
    ///
    /// # Errors
    /// When the device failed or did not end in time.
    fn collect(&mut self) -> DeviceAnswers<K::Output> {
        Err(DeviceError::Rejected(format!(
            "nothing of {} is in flight",
            K::NAME
        )))
    }

    /// Whether [`poll`](Self::poll) can tell. Then [`collect`](Self::collect) of a batch that is done only moves its
    /// answers, and the engine counts that time, and the time of [`submit`](Self::submit), as transfer.
    fn polls(&self) -> bool {
        false
    }

    /// Most bytes of device memory that the accelerator may come to hold as it is now, resident data, buffers and staging
    /// together; what is left of its part is given to others. `None` counts as all that it was given
    /// ([`GpuContext::memory`](crate::GpuContext::memory)). The engine counts by itself what is made through the device in the context;
    /// an accelerator that says or is found to hold more than it was given is not used.
    fn memory(&self) -> Option<u64> {
        None
    }

    /// What a cache in the device's memory has done, if there is one.
    fn cache_stats(&self) -> Option<CacheStats> {
        None
    }
}
