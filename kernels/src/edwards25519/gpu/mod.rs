//! Signatures on edwards25519, verified in batches on a GPU.
//!
//! | file | what |
//! |---|---|
//! | `field` | 2^255 − 19 as WGSL, in 29-bit limbs where the device has 64-bit integers, else in 13-bit limbs |
//! | `shaders`, `ristretto` | the kernels |
//! | `program` | sums of multiples as programs of the kernel `sum` |
//! | `biased` | scalars whose digits can be read in any order |
//! | `challenge` | Keccak-256 and SHA-512 of the rounds of ring signatures, and arithmetic modulo the order |
//! | `base` | the multiples of the base point |
//! | `launch` | a submission: words, memory, stages of tasks |
//! | `machine` | a device with compiled kernels and buffers |
//! | `ed25519` | Ed25519 as stages; CLSAG and LSAG are beside their CPU code in [`ring`](crate::ring) |
//!
//! The host hashes what does not depend on points and checks the ranges of scalars; the device does all arithmetic of points. Every
//! signature's own equation is computed, so verdicts do not depend on neighbours and are those of the CPU.
//!
//! Each task leaves a word that says yes or no in a place that was cleared. A signature is valid if all of its places say yes, invalid if
//! one says no and none is missing; else the device has given no verdict, and the CPU has to be asked.

mod base;
pub(crate) mod biased;
pub(crate) mod challenge;
mod ed25519;
mod field;
pub(crate) mod launch;
mod machine;
pub(crate) mod program;
mod ristretto;
pub(crate) mod shaders;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ops::Range;

use crate::gpu::{Device, DeviceType, GpuError, ShaderChecks};
use launch::{Launch, Stored};
use machine::{Flight, Machine};
use program::Program;
use shaders::{NO, YES};

pub use ed25519::Ed25519;

/// Submissions that are prepared before the first is waited for.
const IN_FLIGHT: usize = 2;

/// Shapes that change speed and never verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuning {
    /// Threads of a workgroup, 1 to 256.
    pub threads: u32,
    /// Whether sums have 64 bits (29-bit limbs), if the device can; else 32 (13-bit limbs).
    pub wide: bool,
    /// Gives the first thread the last task: for tests.
    pub reverse: bool,
    /// Run-time checks of the shaders.
    pub checks: ShaderChecks,
    /// Points that are verified in one submission, members of rings counted one by one; the device's limits lower it further.
    pub max_batch: usize,
    /// Bytes of device memory that one submission works in; the device's limits lower it further.
    pub max_bytes: u64,
}

impl Tuning {
    /// Sensible shapes for a device.
    pub fn of(device: &Device) -> Self {
        Self {
            threads: 64,
            wide: device.has_int64(),
            reverse: false,
            checks: ShaderChecks::Trusted,
            max_batch: match device.info().device_type {
                // Some 100 ms of one core.
                DeviceType::Cpu => 1 << 10,
                _ => 1 << 17,
            },
            max_bytes: 1 << 30,
        }
    }
}

/// A signature scheme as stages of tasks.
pub trait Scheme: Stages {}

/// How a scheme's signatures are laid out.
#[allow(private_interfaces, reason = "schemes are this crate's")]
pub trait Stages {
    /// A signature to verify.
    type Job;

    /// The programs of its sums.
    #[doc(hidden)]
    fn programs() -> Vec<Program>;

    /// Public keys in a signature.
    #[doc(hidden)]
    fn members(job: &Self::Job) -> usize;

    /// Points that a signature needs memory for; at least as many as it has tasks in a stage.
    #[doc(hidden)]
    fn points(job: &Self::Job) -> usize;

    /// Adds signatures to a submission. Gives the results that must all be yes, or nothing for a signature that is known to be
    /// invalid.
    #[doc(hidden)]
    fn lay_out(
        jobs: &[&Self::Job],
        programs: &[Stored],
        launch: &mut Launch,
    ) -> Vec<Option<Range<u32>>>;
}

/// Verifies signatures of one scheme on one device. Kernels are compiled when they are first needed.
#[derive(Debug)]
pub struct BatchVerifier<S> {
    machine: Machine,
    programs: Vec<Stored>,
    tuning: Tuning,
    scheme: std::marker::PhantomData<S>,
}

/// A batch on its way: give it to [`BatchVerifier::collect`] of the verifier that it comes from.
#[derive(Debug)]
#[must_use = "the verdicts are with the device until they are collected"]
pub struct Pending {
    parts: Vec<Part>,
}

/// One submission of a batch.
#[derive(Debug)]
struct Part {
    flight: Flight,
    /// Of each signature, the results that decide.
    checks: Vec<Option<Range<u32>>>,
}

impl<S: Scheme> BatchVerifier<S> {
    /// Prepares `device`.
    ///
    /// # Errors
    /// [`GpuError`] if the device was lost.
    pub fn new(device: &Device) -> Result<Self, GpuError> {
        Self::with_tuning(device, Tuning::of(device))
    }

    /// [`new`](Self::new) with chosen shapes.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_tuning(device: &Device, tuning: Tuning) -> Result<Self, GpuError> {
        let (machine, programs) = Machine::new(device, tuning, &S::programs())?;
        Ok(Self {
            machine,
            programs,
            tuning,
            scheme: std::marker::PhantomData,
        })
    }

    /// Most public keys of one submission; longer slices are cut into several.
    pub fn max_batch(&self) -> usize {
        self.tuning.max_batch
    }

    /// The verdict on each signature, nothing where the device has not given one. Blocks until the device has answered, at most its time
    /// limit for each submission.
    ///
    /// # Errors
    /// [`GpuError`] if the device failed.
    pub fn verify(&mut self, jobs: &[&S::Job]) -> Result<Vec<Option<bool>>, GpuError> {
        let mut verdicts = Vec::with_capacity(jobs.len());
        let mut flying = VecDeque::new();
        let mut rest = jobs;
        while !rest.is_empty() {
            if flying.len() == IN_FLIGHT
                && let Some(part) = flying.pop_front()
            {
                self.finish(part, &mut verdicts)?;
            }
            let (jobs, others) = rest.split_at(self.fits(rest));
            rest = others;
            flying.push_back(self.start(jobs)?);
        }
        for part in flying {
            self.finish(part, &mut verdicts)?;
        }
        Ok(verdicts)
    }

    /// Sends [`verify`](Self::verify) off without waiting for the device. Whatever is in flight keeps its buffers: collect before too
    /// much is.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), for the part before the device answers.
    pub fn submit(&mut self, jobs: &[&S::Job]) -> Result<Pending, GpuError> {
        let mut parts = Vec::new();
        let mut rest = jobs;
        while !rest.is_empty() {
            let (jobs, others) = rest.split_at(self.fits(rest));
            rest = others;
            parts.push(self.start(jobs)?);
        }
        Ok(Pending { parts })
    }

    /// Waits for a batch, at most the device's time limit for each submission, and gives its verdicts in order.
    ///
    /// # Errors
    /// [`GpuError`] if the device failed.
    pub fn collect(&mut self, pending: Pending) -> Result<Vec<Option<bool>>, GpuError> {
        let mut verdicts = Vec::new();
        for part in pending.parts {
            self.finish(part, &mut verdicts)?;
        }
        Ok(verdicts)
    }

    /// How many of the jobs, from the first on, fit one submission: one at least, if there is any.
    pub fn fits(&self, jobs: &[&S::Job]) -> usize {
        let most = self.machine.max_points().min(self.machine.max_tasks());
        let (mut members, mut points) = (0, 0);
        jobs.iter()
            .take_while(|job| {
                members += S::members(job);
                points += S::points(job);
                members <= self.tuning.max_batch && points <= most
            })
            .count()
            .max(1)
            .min(jobs.len())
    }

    fn start(&mut self, jobs: &[&S::Job]) -> Result<Part, GpuError> {
        let mut launch = self.machine.launch();
        let checks = S::lay_out(jobs, &self.programs, &mut launch);
        let flight = self.machine.submit(launch)?;
        Ok(Part { flight, checks })
    }

    fn finish(&mut self, part: Part, verdicts: &mut Vec<Option<bool>>) -> Result<(), GpuError> {
        let results = self.machine.collect(part.flight)?;
        verdicts.extend(part.checks.into_iter().map(|check| match check {
            None => Some(false),
            Some(range) => verdict(results.get(range.start as usize..range.end as usize)?),
        }));
        Ok(())
    }
}

/// Yes if all say yes, no if one says no and none is missing.
fn verdict(results: &[u32]) -> Option<bool> {
    results
        .iter()
        .try_fold(!results.is_empty(), |valid, result| match *result {
            YES => Some(valid),
            NO => Some(false),
            _ => None,
        })
}
