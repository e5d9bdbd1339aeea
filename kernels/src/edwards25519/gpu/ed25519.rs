//! Ed25519 by the rule of ZIP 215 as stages: A and R are decompressed, then \[8\](\[S\]B − \[k\]A − R) is compared with the neutral
//! point. The host computes k and refuses S from L up.
//!
//! Counted in products modulo p for one signature: 560 for two points, 0.15 thousand for a table, 1.8 for 250 doublings,
//! 0.4 for 51 additions by digits, 0.2 for 26 of fixed points: 3.1 thousand.

use std::ops::Range;

use super::biased::{biased, words};
use super::launch::{Launch, Stored};
use super::program::{Program, TABLE, Term};
use super::shaders::Kernel;
use super::{Scheme, Stages};
use crate::edwards25519::ed25519::{VerifyJob, challenge, is_below_order};

/// Ed25519, with jobs of [`VerifyJob`].
#[derive(Clone, Copy, Debug)]
pub enum Ed25519 {}

/// Operands of the equation.
const A: u32 = 0;
const MULTIPLES: u32 = 1;
const K: u32 = 2;
const S: u32 = 3;
const R: u32 = 4;

impl Scheme for Ed25519 {}

#[allow(private_interfaces, reason = "schemes are this crate's")]
impl Stages for Ed25519 {
    type Job = VerifyJob;

    fn programs() -> Vec<Program> {
        let mut equation = Program::default();
        equation.reset();
        equation.add(A);
        equation.table(MULTIPLES, 0);
        let term = Term {
            table: MULTIPLES,
            entry: 0,
            scalar: K,
        };
        equation.multiply(&[term], Some(S));
        equation.add(R);
        equation.double(3);
        equation.test();
        vec![equation]
    }

    fn members(_: &VerifyJob) -> usize {
        1
    }

    /// A, R, the table, and room for addresses that are multiples of eight.
    fn points(_: &VerifyJob) -> usize {
        TABLE as usize + 3
    }

    fn lay_out(
        jobs: &[&VerifyJob],
        programs: &[Stored],
        launch: &mut Launch,
    ) -> Vec<Option<Range<u32>>> {
        let decompress = launch.stage(Kernel::Decompress);
        let sum = launch.stage(Kernel::Sum);
        jobs.iter()
            .map(|job| {
                let (r, s) = job.signature();
                let [equation] = programs else { return None };
                if !is_below_order(s) {
                    return None;
                }
                let results = launch.results(3);
                let point = launch.points(2);
                let multiples = launch.points(TABLE);
                let places = [point, point + launch.point_words()];
                for ((encoded, place), result) in
                    [job.key(), r].into_iter().zip(places).zip(results.clone())
                {
                    let from = launch.input(&words(encoded));
                    // Negated, as they are taken from the left side.
                    launch.task(decompress, &[from, place, 1, result]);
                }
                let k = launch.input(&biased(&challenge(job)));
                let s = launch.input(&biased(s));
                let operands = [places[0], multiples, k, s, places[1]];
                launch.sum(sum, *equation, results.end - 1, &operands);
                Some(results)
            })
            .collect()
    }
}
