//! Commitments on a GPU: a thread adds 64 multiples, one for each byte of value and blinding factor, from tables in device memory.

use super::{Point, generator};
use crate::{
    curve::gpu::{self as sums, Chain, Curve, DeviceSums, Outcome, Plan, Shape},
    field::{Element, Fq, Fr, Prime, bn254::Base},
    gpu::Device,
};
use std::collections::VecDeque;

pub use crate::curve::gpu::{CurveError, Tuning};

/// Two fixed points and no others.
const PAIR: Shape = Shape {
    points: 0,
    fixed: 2,
};
/// Submissions of one call that are prepared before the first is waited for.
const IN_FLIGHT: usize = 2;

/// The curve for the shaders.
#[derive(Debug)]
struct Bn254;

impl Curve for Bn254 {
    type Base = Base;
    const B: u64 = 3;

    fn beta() -> Fq {
        Fq::ONE
    }

    fn root() -> Chain {
        Chain::default()
    }

    fn inverse() -> Chain {
        let [low, rest @ ..] = Base::MODULUS;
        // The lowest word is above 2.
        Chain::power(&[low - 2, rest[0], rest[1], rest[2]])
    }
}

/// Commitments on one device. Shaders are compiled at the first call; buffers are kept between batches.
#[derive(Debug)]
pub struct BatchCommitter {
    sums: DeviceSums<Bn254>,
}

/// Commitments on their way: give them to [`BatchCommitter::collect`] of the committer that they come from.
#[derive(Debug)]
#[must_use = "the commitments are with the device until they are collected"]
pub struct Pending(Vec<sums::Pending>);

impl BatchCommitter {
    /// Prepares `device` for commitments to G and H, as [`commit`](super::commit) makes them.
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
        Self::with_bases(device, tuning, [Point::generator(), generator(0)])
    }

    /// Prepares `device` for commitments to other points: the one of the value, the one of the blinding factor. The identity takes no
    /// part in a sum.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_bases(
        device: &Device,
        tuning: Tuning,
        bases: [Point; 2],
    ) -> Result<Self, CurveError> {
        let fixed = bases.map(|point| match point {
            Point::Affine { x, y } => Some((x, y)),
            Point::Identity => None,
        });
        Ok(Self {
            sums: DeviceSums::new(device, tuning, &fixed)?,
        })
    }

    /// Most commitments of one submission; longer slices are cut into several.
    pub fn max_batch(&self) -> usize {
        self.sums.max_batch(PAIR)
    }

    /// The commitment of each pair of value and blinding factor, as [`commit_many`](super::commit_many). Blocks until the device has
    /// answered, at most the device's time limit for each submission.
    ///
    /// # Errors
    /// [`CurveError`] if the device failed.
    pub fn commit_many(&mut self, openings: &[[Fr; 2]]) -> Result<Vec<Point>, CurveError> {
        let mut found = Vec::with_capacity(openings.len());
        let mut flying = VecDeque::new();
        for openings in openings.chunks(self.max_batch()) {
            if flying.len() == IN_FLIGHT
                && let Some(part) = flying.pop_front()
            {
                found.extend(self.sums.collect(part)?.into_iter().map(point));
            }
            flying.push_back(self.sums.submit(&plan(openings))?);
        }
        for part in flying {
            found.extend(self.sums.collect(part)?.into_iter().map(point));
        }
        Ok(found)
    }

    /// Sends a batch off without waiting for the device. What is in flight keeps its buffers: collect before too much is.
    ///
    /// # Errors
    /// As [`commit_many`](Self::commit_many), for the part before the device answers.
    pub fn submit(&mut self, openings: &[[Fr; 2]]) -> Result<Pending, CurveError> {
        openings
            .chunks(self.max_batch())
            .map(|openings| self.sums.submit(&plan(openings)))
            .collect::<Result<_, _>>()
            .map(Pending)
    }

    /// Waits for a batch, at most the device's time limit for each submission: the commitments in order.
    ///
    /// # Errors
    /// [`CurveError`] if the device failed.
    pub fn collect(&mut self, pending: Pending) -> Result<Vec<Point>, CurveError> {
        let mut found = Vec::new();
        for part in pending.0 {
            found.extend(self.sums.collect(part)?.into_iter().map(point));
        }
        Ok(found)
    }
}

fn plan(openings: &[[Fr; 2]]) -> Plan<Bn254> {
    let mut plan = Plan::new(PAIR);
    for factors in openings {
        plan.push(&[], &factors.map(Element::to_limbs));
    }
    plan
}

fn point(outcome: Outcome<Base>) -> Point {
    match outcome {
        Outcome::Point(x, y) => Point::Affine { x, y },
        // A sum of fixed points is one of these two.
        Outcome::Identity | Outcome::NoPoint => Point::Identity,
    }
}
