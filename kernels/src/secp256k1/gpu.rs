//! Recovery, ECDSA and BIP-340 verification on a GPU: the host parses, hashes and prepares scalars, the device takes square roots and
//! sums of multiples.
//!
//! The equations are those of the CPU, and so are the verdicts. A job whose key is no point, or whose sum is the identity, changes
//! nothing for its neighbours.

use super::{
    Claim, Equation, Fn, Fp, Point, RecoverJob, ecdsa,
    endomorphism::{beta, split},
    recover, schnorr,
};
use crate::{
    cpu::level,
    curve::gpu::{self as sums, Chain, Curve, DeviceSums, Factor, Outcome, Plan, Shape, Term},
    field::secp256k1::Base,
    gpu::Device,
};
use std::collections::VecDeque;

pub use crate::curve::gpu::{CurveError, Tuning};

/// A multiple of the generator and one of another point.
const WITH_GENERATOR: Shape = Shape {
    points: 1,
    fixed: 1,
};
/// Submissions of one call that are prepared before the first is waited for.
const IN_FLIGHT: usize = 2;

/// The curve for the shaders.
#[derive(Debug)]
pub(crate) struct Secp256k1;

/// The bits that the exponents of the root and of the inverse start with, as in `chains`; keeps 2^2 - 1 in place 2.
fn shared() -> Chain {
    Chain::default()
        .step(1, Factor::X, 2)
        .step(1, Factor::X, 3)
        .step(3, Factor::Kept(3), 0)
        .step(3, Factor::Kept(3), 0)
        .step(2, Factor::Kept(2), 0)
        .step(11, Factor::Before, 4)
        .step(22, Factor::Before, 5)
        .step(44, Factor::Before, 0)
        .step(88, Factor::Before, 0)
        .step(44, Factor::Kept(5), 0)
        .step(3, Factor::Kept(3), 0)
        .step(23, Factor::Kept(4), 0)
}

impl Curve for Secp256k1 {
    type Base = Base;
    const B: u64 = 7;

    fn beta() -> Fp {
        beta()
    }

    fn root() -> Chain {
        shared()
            .step(6, Factor::Kept(2), 0)
            .step(2, Factor::Nothing, 0)
    }

    fn inverse() -> Chain {
        shared()
            .step(5, Factor::X, 0)
            .step(3, Factor::Kept(2), 0)
            .step(2, Factor::X, 0)
    }
}

/// A multiple of a point for a plan.
pub(crate) fn term(x: Fp, y: sums::Ordinate<Fp>, factor: Fn) -> Term<Fp> {
    Term {
        x,
        y,
        halves: split(factor).map(|half| (half.magnitude, half.negative)),
    }
}

/// A point where there is one.
pub(crate) fn point(outcome: Outcome<Base>) -> Option<Point> {
    match outcome {
        Outcome::Point(x, y) => Some(Point { x, y }),
        Outcome::Identity | Outcome::NoPoint => None,
    }
}

/// Sums on a device that knows the generator.
pub(crate) fn device_sums(
    device: &Device,
    tuning: Tuning,
) -> Result<DeviceSums<Secp256k1>, CurveError> {
    let generator = Point::GENERATOR;
    Ok(DeviceSums::new(
        device,
        tuning,
        &[Some((generator.x, generator.y))],
    )?)
}

/// Recovery and verification on one device. Shaders are compiled at the first call; buffers are kept between batches.
#[derive(Debug)]
pub struct BatchVerifier {
    sums: DeviceSums<Secp256k1>,
}

/// Recoveries on their way: give them to [`BatchVerifier::collect_keys`] of the verifier that they come from.
#[derive(Debug)]
#[must_use = "the keys are with the device until they are collected"]
pub struct PendingKeys(Vec<sums::Pending>);

/// Verifications on their way: give them to [`BatchVerifier::collect_verdicts`] of the verifier that they come from.
#[derive(Debug)]
#[must_use = "the verdicts are with the device until they are collected"]
pub struct PendingVerdicts {
    parts: Vec<sums::Pending>,
    claims: Vec<Claim>,
}

impl BatchVerifier {
    /// Prepares `device`.
    ///
    /// # Errors
    /// [`CurveError`] if the device failed.
    pub fn new(device: &Device) -> Result<Self, CurveError> {
        Self::with_tuning(device, Tuning::of(device))
    }

    /// [`new`](Self::new) with chosen shapes.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_tuning(device: &Device, tuning: Tuning) -> Result<Self, CurveError> {
        Ok(Self {
            sums: device_sums(device, tuning)?,
        })
    }

    /// Most jobs of one submission; longer slices are cut into several.
    pub fn max_batch(&self) -> usize {
        self.sums.max_batch(WITH_GENERATOR)
    }

    /// The public keys, as [`recover_batch`](super::recover_batch). Blocks until the device has answered, at most the device's time
    /// limit for each submission.
    ///
    /// # Errors
    /// [`CurveError`] if the device failed.
    pub fn recover(&mut self, jobs: &[&RecoverJob]) -> Result<Vec<Option<Point>>, CurveError> {
        self.run(jobs, recover::equations)
    }

    /// The addresses of the public keys, as [`recover_addresses`](super::recover_addresses).
    ///
    /// # Errors
    /// As [`recover`](Self::recover).
    pub fn recover_addresses(
        &mut self,
        jobs: &[&RecoverJob],
    ) -> Result<Vec<Option<[u8; 20]>>, CurveError> {
        Ok(recover::addresses_at(level(), &self.recover(jobs)?))
    }

    /// Whether each ECDSA signature is valid, as [`ecdsa::verify_batch`].
    ///
    /// # Errors
    /// As [`recover`](Self::recover).
    pub fn verify_ecdsa(&mut self, jobs: &[&ecdsa::VerifyJob]) -> Result<Vec<bool>, CurveError> {
        let sums = self.run(jobs, ecdsa::equations)?;
        let claims = jobs.iter().map(|job| job.claim());
        Ok(judge(claims, sums))
    }

    /// Whether each BIP-340 signature is valid, as [`schnorr::verify_batch`].
    ///
    /// # Errors
    /// As [`recover`](Self::recover).
    pub fn verify_schnorr(
        &mut self,
        jobs: &[&schnorr::VerifyJob],
    ) -> Result<Vec<bool>, CurveError> {
        let sums = self.run(jobs, schnorr::equations)?;
        let claims = jobs.iter().map(|job| job.claim());
        Ok(judge(claims, sums))
    }

    /// Sends recoveries off without waiting for the device. What is in flight keeps its buffers: collect before too much is.
    ///
    /// # Errors
    /// As [`recover`](Self::recover), for the part before the device answers.
    pub fn submit_recover(&mut self, jobs: &[&RecoverJob]) -> Result<PendingKeys, CurveError> {
        Ok(PendingKeys(self.submit(jobs, recover::equations)?))
    }

    /// Sends ECDSA verifications off, as [`submit_recover`](Self::submit_recover).
    ///
    /// # Errors
    /// As [`submit_recover`](Self::submit_recover).
    pub fn submit_ecdsa(
        &mut self,
        jobs: &[&ecdsa::VerifyJob],
    ) -> Result<PendingVerdicts, CurveError> {
        Ok(PendingVerdicts {
            parts: self.submit(jobs, ecdsa::equations)?,
            claims: jobs.iter().map(|job| job.claim()).collect(),
        })
    }

    /// Sends BIP-340 verifications off, as [`submit_recover`](Self::submit_recover).
    ///
    /// # Errors
    /// As [`submit_recover`](Self::submit_recover).
    pub fn submit_schnorr(
        &mut self,
        jobs: &[&schnorr::VerifyJob],
    ) -> Result<PendingVerdicts, CurveError> {
        Ok(PendingVerdicts {
            parts: self.submit(jobs, schnorr::equations)?,
            claims: jobs.iter().map(|job| job.claim()).collect(),
        })
    }

    /// Waits for recoveries, at most the device's time limit for each submission: the keys in order.
    ///
    /// # Errors
    /// [`CurveError`] if the device failed.
    pub fn collect_keys(&mut self, pending: PendingKeys) -> Result<Vec<Option<Point>>, CurveError> {
        self.collect(pending.0)
    }

    /// [`collect_keys`](Self::collect_keys), and the addresses of the keys.
    ///
    /// # Errors
    /// As [`collect_keys`](Self::collect_keys).
    pub fn collect_addresses(
        &mut self,
        pending: PendingKeys,
    ) -> Result<Vec<Option<[u8; 20]>>, CurveError> {
        Ok(recover::addresses_at(level(), &self.collect(pending.0)?))
    }

    /// Waits for verifications, at most the device's time limit for each submission: the verdicts in order.
    ///
    /// # Errors
    /// [`CurveError`] if the device failed.
    pub fn collect_verdicts(&mut self, pending: PendingVerdicts) -> Result<Vec<bool>, CurveError> {
        let sums = self.collect(pending.parts)?;
        Ok(judge(pending.claims.into_iter(), sums))
    }

    fn submit<J>(
        &mut self,
        jobs: &[&J],
        equations: impl FnOnce(&[&J]) -> Vec<Equation> + Copy,
    ) -> Result<Vec<sums::Pending>, CurveError> {
        jobs.chunks(self.max_batch())
            .map(|jobs| self.sums.submit(&plan(&equations(jobs))))
            .collect()
    }

    fn collect(&mut self, parts: Vec<sums::Pending>) -> Result<Vec<Option<Point>>, CurveError> {
        let mut found = Vec::new();
        for part in parts {
            found.extend(self.sums.collect(part)?.into_iter().map(point));
        }
        Ok(found)
    }

    /// All submissions of a slice, a few in flight at a time.
    fn run<J>(
        &mut self,
        jobs: &[&J],
        equations: impl FnOnce(&[&J]) -> Vec<Equation> + Copy,
    ) -> Result<Vec<Option<Point>>, CurveError> {
        let mut found = Vec::with_capacity(jobs.len());
        let mut flying = VecDeque::new();
        for jobs in jobs.chunks(self.max_batch()) {
            if flying.len() == IN_FLIGHT
                && let Some(part) = flying.pop_front()
            {
                found.extend(self.collect(vec![part])?);
            }
            flying.push_back(self.sums.submit(&plan(&equations(jobs)))?);
        }
        found.extend(self.collect(flying.into())?);
        Ok(found)
    }
}

fn plan(equations: &[Equation]) -> Plan<Secp256k1> {
    let mut plan = Plan::new(WITH_GENERATOR);
    for equation in equations {
        let (x, y) = equation.key.coordinates();
        plan.push(
            &[term(x, y, equation.factor)],
            &[equation.generator.to_limbs()],
        );
    }
    plan
}

fn judge(claims: impl Iterator<Item = Claim>, sums: Vec<Option<Point>>) -> Vec<bool> {
    claims
        .zip(sums)
        .map(|(claim, sum)| claim.holds(sum))
        .collect()
}
