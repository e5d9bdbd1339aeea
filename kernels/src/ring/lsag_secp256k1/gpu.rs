//! LSAG verification on a GPU: for each place in the rings one dispatch of both sums of every chain; the host hashes.
//!
//! A chain is serial, so rings are what runs side by side. Between two steps a challenge takes two blocks of SHA-512, a reduction and
//! two splits on the host, some thousandth of what the sums cost; two cohorts of rings are on their way, so that one is hashed while
//! the device has the other. Members are prepared by the CPU, once each, and kept in the caller's store.

use super::{Job, LsagMembers, Ring, rings};
use crate::{
    cpu::level,
    curve::gpu::{DeviceSums, Ordinate, Pending, Plan, Shape},
    gpu::Device,
    secp256k1::{
        Point,
        gpu::{Secp256k1, device_sums, point, term},
    },
};
use std::collections::VecDeque;

pub use crate::curve::gpu::{CurveError, Tuning};

/// s·G + c·P.
const LEFT: Shape = Shape {
    points: 1,
    fixed: 1,
};
/// s·Hp(P) + c·I.
const RIGHT: Shape = Shape {
    points: 2,
    fixed: 0,
};
/// Cohorts of rings that are on their way at a time.
const COHORTS: usize = 2;

/// LSAG verification on one device. Shaders are compiled at the first call; buffers are kept between batches.
#[derive(Debug)]
pub struct BatchVerifier {
    sums: DeviceSums<Secp256k1>,
}

/// Rings whose chains are walked together.
struct Cohort {
    rings: Vec<Ring>,
    step: usize,
    left: Pending,
    right: Pending,
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

    /// Most rings that are walked together; longer slices are cut into several.
    pub fn max_batch(&self) -> usize {
        self.sums.max_batch(LEFT).min(self.sums.max_batch(RIGHT))
    }

    /// Whether each signature is valid, as [`verify_batch`](super::verify_batch). Blocks until the device has answered, at most the
    /// device's time limit for each step.
    ///
    /// # Errors
    /// [`CurveError`] if the device failed.
    pub fn verify(
        &mut self,
        jobs: &[&Job],
        members: &LsagMembers,
    ) -> Result<Vec<bool>, CurveError> {
        let mut verdicts = vec![false; jobs.len()];
        let mut waiting = rings(level(), jobs, members);
        // Rings of like size are walked together, long ones first.
        waiting.sort_by_key(|ring| ring.members.len());
        let size = waiting.len().div_ceil(COHORTS).clamp(1, self.max_batch());
        let mut walking = VecDeque::new();
        loop {
            while walking.len() < COHORTS && !waiting.is_empty() {
                let rings = waiting.split_off(waiting.len().saturating_sub(size));
                walking.push_back(self.submit(rings, 0)?);
            }
            let Some(cohort) = walking.pop_front() else {
                return Ok(verdicts);
            };
            let step = cohort.step;
            let rings = self.collect(cohort, &mut verdicts)?;
            if !rings.is_empty() {
                walking.push_back(self.submit(rings, step + 1)?);
            }
        }
    }

    /// Sends a step of chains off that have one.
    fn submit(&mut self, rings: Vec<Ring>, step: usize) -> Result<Cohort, CurveError> {
        let (mut left, mut right) = (Plan::new(LEFT), Plan::new(RIGHT));
        let of = |point: Point, factor| term(point.x(), Ordinate::Given(point.y()), factor);
        for ring in &rings {
            // Chains that have come round are no longer here.
            let (member, s) = (&ring.members[step], ring.responses[step]);
            let c = ring.challenge;
            left.push(&[of(member.key, c)], &[s.to_limbs()]);
            right.push(&[of(member.hash, s), of(ring.image, c)], &[]);
        }
        Ok(Cohort {
            step,
            left: self.sums.submit(&left)?,
            right: self.sums.submit(&right)?,
            rings,
        })
    }

    /// Ends a step: the chains that go on.
    fn collect(&mut self, cohort: Cohort, verdicts: &mut [bool]) -> Result<Vec<Ring>, CurveError> {
        let left = self.sums.collect(cohort.left)?;
        let right = self.sums.collect(cohort.right)?;
        let mut sums = left.into_iter().zip(right);
        let (mut rings, step) = (cohort.rings, cohort.step);
        rings.retain_mut(|ring| {
            sums.next().is_some_and(|(left, right)| {
                ring.advance(step, point(left), point(right)) && !ring.ends(step, verdicts)
            })
        });
        Ok(rings)
    }
}
