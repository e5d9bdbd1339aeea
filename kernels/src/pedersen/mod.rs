//! Pedersen commitments over BN254's G1: `value G + blinding H`, and to vectors `Σ values[i] G_(i+1) + blinding H`.
//!
//! G is (1, 2). H and the G_i come from hashing to the curve (RFC 9380), so that nobody knows a logarithm between them. Commitments are
//! points as EIP-196 has them, and add up.
//!
//! | file | what |
//! |---|---|
//! | `point` | points, their bytes, the group law |
//! | `hash_to_curve` | RFC 9380 for BN254's G1 |
//! | `fixed_base` | tables of multiples; batches in affine coordinates over lanes |
//! | `gpu` | batches as a shader |
//! | `known_answers` | embedded questions for self-tests |
//!
//! Variable time: who watches the clock or the cache learns about values and blinding factors.

mod fixed_base;
#[cfg(feature = "gpu")]
pub mod gpu;
mod hash_to_curve;
mod known_answers;
mod point;
#[cfg(test)]
mod tests;

use crate::{
    cpu::{Level, level},
    field::{Fq, Fr},
};
use fixed_base::Bases;
use std::sync::OnceLock;

pub use hash_to_curve::hash_to_curve;
pub use point::{Point, PointError};

/// Most values of a vector.
pub const MAX_VALUES: usize = 64;
/// Domain separation tag of the generators.
const DST: &[u8] = b"PARS-PEDERSEN-BN254-V1";

/// A vector has more values than there are generators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a commitment holds at most {MAX_VALUES} values, not {given}: commit to parts of the list")]
pub struct TooMany {
    /// Values given.
    pub given: usize,
}

/// Generator 0 is H, which carries the blinding factor: the hash of `H`. Generator i is G_i, the hash of i in four big-endian bytes.
pub fn generator(index: u32) -> Point {
    if index == 0 {
        hash_to_curve(b"H", DST)
    } else {
        hash_to_curve(&index.to_be_bytes(), DST)
    }
}

/// The coordinates of a generator; none is the identity.
fn coordinates(point: Point) -> [Fq; 2] {
    match point {
        Point::Affine { x, y } => [x, y],
        Point::Identity => [Fq::ZERO; 2],
    }
}

/// Tables of G and H: 1 MiB, made at first use.
fn bases() -> &'static Bases {
    static MADE: OnceLock<Bases> = OnceLock::new();
    MADE.get_or_init(|| {
        let points = [Point::generator(), generator(0)].map(coordinates);
        Bases::new(&points, 8)
    })
}

/// Tables of H and all G_i: 4 MiB, made at first use.
fn vector_bases() -> &'static Bases {
    static MADE: OnceLock<Bases> = OnceLock::new();
    MADE.get_or_init(|| {
        let points: Vec<[Fq; 2]> = (0..=MAX_VALUES as u32)
            .map(|index| coordinates(generator(index)))
            .collect();
        Bases::new(&points, 4)
    })
}

/// `value G + blinding H`.
pub fn commit(value: Fr, blinding: Fr) -> Point {
    bases().sum(&[value, blinding])
}

/// [`commit`] of each pair of value and blinding factor.
pub fn commit_many(openings: &[[Fr; 2]]) -> Vec<Point> {
    commit_many_at(level(), openings)
}

/// [`commit_many`] by the code of one level, for tests and benchmarks; a level that the processor lacks is replaced by the portable one.
pub fn commit_many_at(level: Level, openings: &[[Fr; 2]]) -> Vec<Point> {
    bases().sums(level, openings.as_flattened())
}

/// `Σ values[i] G_(i+1) + blinding H`.
///
/// # Errors
/// [`TooMany`] for more than [`MAX_VALUES`] values.
pub fn vector_commit(values: &[Fr], blinding: Fr) -> Result<Point, TooMany> {
    if values.len() > MAX_VALUES {
        return Err(TooMany {
            given: values.len(),
        });
    }
    let mut factors = Vec::with_capacity(MAX_VALUES + 1);
    factors.push(blinding);
    factors.extend_from_slice(values);
    factors.resize(MAX_VALUES + 1, Fr::ZERO);
    Ok(vector_bases().sum(&factors))
}

/// Whether a commitment opens to a value and a blinding factor.
pub fn verify_opening(commitment: Point, value: Fr, blinding: Fr) -> bool {
    commit(value, blinding) == commitment
}

/// Openings with their commitments, known from elsewhere: for self-tests.
pub fn known_answers() -> Vec<([Fr; 2], Point)> {
    known_answers::commitments()
}
