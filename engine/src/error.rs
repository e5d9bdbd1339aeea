//! What can go wrong, in words for the person who has to act.

use std::time::Duration;

use crate::gate::QueueState;

/// Why an engine could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The CPU gives wrong answers; nothing could be trusted.
    #[error(
        "the CPU failed the self-test of {kernel}: {reason}. The machine or the build is faulty; the engine does not start"
    )]
    CpuSelfTest {
        /// Name of the kernel.
        kernel: &'static str,
        /// Which answer was wrong.
        reason: String,
    },
    /// The operating system gave no threads.
    #[error("the engine could not start its threads: {reason}")]
    Threads {
        /// The system's words.
        reason: String,
    },
    /// The share of answers to audit is no share.
    #[error("audit_share is {share}; choose a number from 0 (no answer) to 1 (every answer)")]
    AuditShare {
        /// What was given.
        share: f64,
    },
    /// A bound of zero would accept no job.
    #[error("{name} is 0; the engine could accept no job. Choose at least 1")]
    ZeroBound {
        /// Name of the builder's method.
        name: &'static str,
    },
}

/// Why a job was not accepted. Gives the job back.
#[derive(thiserror::Error)]
pub enum SubmitError<J> {
    /// The queue is at its bound: slow down, or use `call`, which waits for room.
    #[error("the engine's queue is full ({state}); wait for answers and submit again")]
    QueueFull {
        /// The job that was refused.
        job: J,
        /// How full the queue is.
        state: QueueState,
    },
    /// The job alone is larger than the queue's bound in bytes and can never be accepted.
    #[error(
        "the job holds {bytes} bytes, more than the queue's bound of {limit}; raise queue_bytes"
    )]
    TooLarge {
        /// The job that was refused.
        job: J,
        /// Bytes of the job.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// The engine was built without this kernel.
    #[error("the engine was built without the kernel {kernel}; add it with EngineBuilder::kernel")]
    UnknownKernel {
        /// The job that was refused.
        job: J,
        /// Name of the kernel.
        kernel: &'static str,
    },
    /// The caller has as many jobs in work as one caller may.
    #[error(
        "caller {caller} has {jobs} jobs in work, its quota is {limit}; wait for answers, or raise caller_jobs"
    )]
    QuotaExceeded {
        /// The job that was refused.
        job: J,
        /// The caller's name.
        caller: u64,
        /// Its jobs that are accepted and not yet answered.
        jobs: usize,
        /// Most of them that are allowed.
        limit: usize,
    },
    /// The deadline had passed already.
    #[error("the job's deadline had passed when it was submitted")]
    DeadlineExceeded {
        /// The job that was refused.
        job: J,
    },
    /// The engine is being shut down and accepts nothing more.
    #[error("the engine is shutting down")]
    ShuttingDown {
        /// The job that was refused.
        job: J,
    },
}

impl<J> std::fmt::Debug for SubmitError<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::QueueFull { state, .. } => f
                .debug_struct("QueueFull")
                .field("state", state)
                .finish_non_exhaustive(),
            Self::TooLarge { bytes, limit, .. } => f
                .debug_struct("TooLarge")
                .field("bytes", bytes)
                .field("limit", limit)
                .finish_non_exhaustive(),
            Self::QuotaExceeded {
                caller,
                jobs,
                limit,
                ..
            } => f
                .debug_struct("QuotaExceeded")
                .field("caller", caller)
                .field("jobs", jobs)
                .field("limit", limit)
                .finish_non_exhaustive(),
            Self::DeadlineExceeded { .. } => {
                f.debug_struct("DeadlineExceeded").finish_non_exhaustive()
            }
            Self::UnknownKernel { kernel, .. } => f
                .debug_struct("UnknownKernel")
                .field("kernel", kernel)
                .finish_non_exhaustive(),
            Self::ShuttingDown { .. } => f.debug_struct("ShuttingDown").finish_non_exhaustive(),
        }
    }
}

impl<J> SubmitError<J> {
    /// The job that was refused.
    pub fn into_job(self) -> J {
        match self {
            Self::QueueFull { job, .. }
            | Self::TooLarge { job, .. }
            | Self::UnknownKernel { job, .. }
            | Self::QuotaExceeded { job, .. }
            | Self::DeadlineExceeded { job }
            | Self::ShuttingDown { job } => job,
        }
    }

    /// The same error without the job, for callers that do not try again.
    pub fn without_job(&self) -> EngineError {
        match self {
            Self::QueueFull { state, .. } => EngineError::QueueFull { state: *state },
            Self::TooLarge { bytes, limit, .. } => EngineError::TooLarge {
                bytes: *bytes,
                limit: *limit,
            },
            Self::UnknownKernel { kernel, .. } => EngineError::UnknownKernel { kernel },
            Self::QuotaExceeded {
                caller,
                jobs,
                limit,
                ..
            } => EngineError::QuotaExceeded {
                caller: *caller,
                jobs: *jobs,
                limit: *limit,
            },
            Self::DeadlineExceeded { .. } => EngineError::DeadlineExceeded,
            Self::ShuttingDown { .. } => EngineError::ShuttingDown,
        }
    }
}

/// Why a job has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The engine was dropped or shut down before the job's batch started.
    #[error("the engine shut down before the job was done")]
    ShuttingDown,
    /// The kernel panicked on this job, on the CPU. The engine goes on.
    #[error("the kernel {kernel} panicked on this job: {message}. This is a bug in the kernel")]
    Panicked {
        /// Name of the kernel.
        kernel: &'static str,
        /// The panic's text.
        message: String,
    },
    /// The engine was built without this kernel.
    #[error("the engine was built without the kernel {kernel}; add it with EngineBuilder::kernel")]
    UnknownKernel {
        /// Name of the kernel.
        kernel: &'static str,
    },
    /// The job alone is larger than the queue's bound in bytes.
    #[error(
        "the job holds {bytes} bytes, more than the queue's bound of {limit}; raise queue_bytes"
    )]
    TooLarge {
        /// Bytes of the job.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// The job's deadline passed before its batch started.
    #[error(
        "the job's deadline passed before its batch started; the engine has more urgent work, or too much of it"
    )]
    DeadlineExceeded,
    /// The caller has as many jobs in work as one caller may. Only [`SubmitError::without_job`] makes
    /// this one: `call` waits.
    #[error(
        "caller {caller} has {jobs} jobs in work, its quota is {limit}; wait for answers, or raise caller_jobs"
    )]
    QuotaExceeded {
        /// The caller's name.
        caller: u64,
        /// Its jobs that are accepted and not yet answered.
        jobs: usize,
        /// Most of them that are allowed.
        limit: usize,
    },
    /// The queue is at its bound. Only [`SubmitError::without_job`] makes this one: `call` waits.
    #[error("the engine's queue is full ({state}); wait for answers and submit again")]
    QueueFull {
        /// How full the queue is.
        state: QueueState,
    },
}

/// Why a device did not do a batch. The engine answers the batch on the CPU.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The device is gone: driver reset, unplugged, destroyed.
    #[error("device lost: {0}")]
    Lost(String),
    /// The device did not answer in time.
    #[error("device timed out: {0}")]
    Timeout(String),
    /// The device had no memory for the batch.
    #[error("device out of memory: {0}")]
    OutOfMemory(String),
    /// The driver refused a shader, a pipeline or a command.
    #[error("device refused the work: {0}")]
    Rejected(String),
    /// The kernel holds more of the device's memory than it may.
    #[error(
        "the kernel {kernel} holds {held} bytes of device memory where it may hold {limit}; raise gpu_memory or leave its work to the CPU"
    )]
    Memory {
        /// The kernel.
        kernel: &'static str,
        /// Bytes that it holds.
        held: u64,
        /// Its part of [`EngineBuilder::gpu_memory`](crate::EngineBuilder::gpu_memory).
        limit: u64,
    },
    /// The device could not be opened.
    #[error("device could not be opened: {0}")]
    Open(String),
    /// The device code or the driver panicked.
    #[error("device code panicked: {0}")]
    Panicked(String),
    /// The device gave the wrong number of answers.
    #[error("device answered {got} of {asked} jobs")]
    AnswerCount {
        /// Jobs in the batch.
        asked: usize,
        /// Answers that came back.
        got: usize,
    },
    /// The device gave an answer that differs from the CPU's.
    #[error("device answered {got} where the CPU answers {expected}")]
    WrongAnswer {
        /// The CPU's answer.
        expected: String,
        /// The device's answer.
        got: String,
    },
}

impl DeviceError {
    /// Whether the device computes wrongly, as opposed to not at all. Such a device is not tried
    /// again by the same engine.
    pub const fn is_wrong_answer(&self) -> bool {
        matches!(self, Self::WrongAnswer { .. } | Self::AnswerCount { .. })
    }
}

/// The text of a caught panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a text".to_owned())
}

/// Whole nanoseconds, at most 2^64 - 1 (584 years).
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
