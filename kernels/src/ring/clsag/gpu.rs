//! CLSAG on a GPU, as stages of tasks ([`edwards25519::gpu`](crate::edwards25519::gpu)).
//!
//! | stage | a task takes |
//! |---|---|
//! | `decompress` | P, C of each member, I, D and pseudo\_out of each ring |
//! | `monero_map` | Hp of each member, but for its factor of eight |
//! | `sum` | for each ring: L·I, to be the neutral point; multiples of mu\_P I + mu\_C 8 D |
//! | for each place in the rings: `sum` | for each ring that has the place: L\_i; R\_i |
//! | `compress` | both points of a ring |
//! | `clsag_challenge` | Keccak-256 of a ring's round; the next challenge and its products with mu\_P and mu\_C, modulo the order |
//!
//! The host computes what hashes public bytes only: Keccak-256 of each key, mu\_P, mu\_C, and the state of Keccak after all blocks of the
//! ring that do not change. It checks the ranges of scalars, that encodings are canonical, I ≠ 0 and 8 D ≠ 0 (by their encodings).
//!
//! The chain is driven by the dispatches: all places of the rings are recorded in one submission, which the host does not wait in. A
//! ring takes two threads where the points of a place are computed, since L\_i and R\_i depend on nothing of each other.
//!
//! Counted in products modulo p for one member: 560 for the roots of two points and 300 for Hp; 1.8 thousand for the 250 doublings of
//! L\_i and of R\_i each, 0.8 for their 102 additions by digits each, 0.2 for the base point, 0.15 for each of three tables, 0.3 to
//! compress both: 7.0 thousand. A product is some 160 instructions by the text of the shader.
//!
//! A batch of 2,000 rings of 16 is 4,000 threads in the chain, 125 warps for the 528 schedulers of an H100: its time is that of 16
//! links, one after another, of 3.4 thousand products on the longer thread. At one instruction in two cycles a link takes 0.6 ms and the
//! chain 10 ms. So the goal of 50,000 rings a second with at most 40 ms for a batch asks for rings in the batch, which fill idle
//! schedulers, and not for shorter links; and a member's preparation is an eighth of the work and done in parallel for all, which is why
//! the device does it each time and no store of members crosses the bus. These are counts and not measurements.

use std::ops::Range;

use curve25519_dalek::Scalar;
use curve25519_dalek::constants::EIGHT_TORSION;

use super::{AGG_0, AGG_1, ClsagJob, ORDER, Prefix, RATE, aggregation, keccak256};
use crate::cpu::level;
use crate::edwards25519::codec;
use crate::edwards25519::ed25519::is_below_order;
use crate::edwards25519::gpu::biased::{biased, words};
use crate::edwards25519::gpu::challenge::BLOCK_WORDS;
use crate::edwards25519::gpu::launch::{Launch, Stored};
use crate::edwards25519::gpu::program::{Program, TABLE, Term};
use crate::edwards25519::gpu::shaders::{IN_ARENA, Kernel};
use crate::edwards25519::gpu::{Scheme, Stages};

/// CLSAG, with jobs of [`ClsagJob`].
#[derive(Clone, Copy, Debug)]
pub enum Clsag {}

/// Points that a ring needs memory for beside three for each member: I, D, −pseudo\_out, tables (two of L, one of R, one of the
/// images), L and R, and eleven times eight words.
const POINTS_OF_A_RING: u32 = 3 + 4 * TABLE + 2 + 3;

/// Programs in order.
const ORDER_OF_IMAGE: usize = 0;
const IMAGES: usize = 1;
const LEFT: usize = 2;
const RIGHT: usize = 3;

/// L·I is the neutral point: image, table, L.
fn order_of_image() -> Program {
    let mut program = Program::default();
    program.reset();
    program.add(0);
    program.table(1, 0);
    program.multiply(&[term(1, 0, 2)], None);
    program.test();
    program
}

/// A table of mu_P I + mu_C 8 D: I, D, tables, mu_P, mu_C, table to write.
fn images() -> Program {
    let mut program = Program::default();
    program.reset();
    program.add(0);
    program.table(2, 0);
    program.reset();
    program.add(1);
    program.double(3);
    program.table(2, TABLE);
    program.multiply(&[term(2, 0, 3), term(2, TABLE, 4)], None);
    program.table(5, 0);
    program
}

/// L_i: P, C, −pseudo_out, tables, c mu_P, c mu_C, s, point to write.
fn left() -> Program {
    let mut program = Program::default();
    program.reset();
    program.add(0);
    program.table(3, 0);
    program.reset();
    program.add(1);
    program.add(2);
    program.table(3, TABLE);
    program.multiply(&[term(3, 0, 4), term(3, TABLE, 5)], Some(6));
    program.cache(7, 0);
    program
}

/// R_i: an eighth of Hp, table, table of images, s, c, point to write.
fn right() -> Program {
    let mut program = Program::default();
    program.reset();
    program.add(0);
    program.double(3);
    program.table(1, 0);
    program.multiply(&[term(1, 0, 3), term(2, 0, 4)], None);
    program.cache(5, 0);
    program
}

const fn term(table: u32, entry: u32, scalar: u32) -> Term {
    Term {
        table,
        entry,
        scalar,
    }
}

/// Whether bytes are the canonical encoding of a point of small order.
fn has_small_order(encoded: &[u8; 32]) -> bool {
    EIGHT_TORSION
        .iter()
        .any(|point| point.compress().as_bytes() == encoded)
}

/// What the device gets of a ring.
struct Ring<'a> {
    job: &'a ClsagJob,
    /// Addresses of the members: P, C, an eighth of Hp.
    members: u32,
    /// Addresses of I, D, −pseudo_out.
    images: u32,
    /// Addresses of the tables.
    tables: u32,
    /// Addresses of L and R.
    sums: u32,
    /// Address of L and R, compressed.
    compressed: u32,
    /// Address of the challenge, times one, mu_P and mu_C; and behind it, of words to work in.
    challenge: u32,
    /// Address of Keccak's state, the last blocks and mu_P, mu_C for products.
    prefix: u32,
    /// Last blocks, and the word where L begins.
    blocks: u32,
    start: u32,
    /// Address of the first challenge, times one, mu_P and mu_C, biased.
    first: u32,
    /// Address of c1.
    last: u32,
    /// First result of a link.
    results: u32,
}

impl Scheme for Clsag {}

#[allow(private_interfaces, reason = "schemes are this crate's")]
impl Stages for Clsag {
    type Job = ClsagJob;

    fn programs() -> Vec<Program> {
        vec![order_of_image(), images(), left(), right()]
    }

    fn members(job: &ClsagJob) -> usize {
        job.ring().len()
    }

    fn points(job: &ClsagJob) -> usize {
        3 * job.ring().len() + POINTS_OF_A_RING as usize
    }

    fn lay_out(
        jobs: &[&ClsagJob],
        programs: &[Stored],
        launch: &mut Launch,
    ) -> Vec<Option<Range<u32>>> {
        let mut checks = vec![None; jobs.len()];
        let candidates: Vec<_> = (0..jobs.len())
            .filter(|at| is_well_formed(jobs[*at]))
            .collect();
        let chosen: Vec<_> = candidates.iter().map(|at| jobs[*at]).collect();
        let Ok(programs) = <[Stored; 4]>::try_from(programs) else {
            return checks;
        };
        let decompress = launch.stage(Kernel::Decompress);
        let map = launch.stage(Kernel::MoneroMap);
        let prepare = launch.stage(Kernel::Sum);
        let mu = coefficients(&chosen);
        let keys = keccak256(
            level(),
            chosen
                .iter()
                .flat_map(|job| job.ring().iter().map(|[key, _]| [&key[..], &[]])),
        );
        let mut keys = keys.iter();
        let order = launch.input(&biased(&ORDER));
        let mut rings = Vec::with_capacity(chosen.len());
        for ((job, at), mu) in chosen.iter().zip(candidates).zip(&mu) {
            // A ring has at most 128 members.
            let n = job.ring().len() as u32;
            let results = launch.results(4 * n + 4);
            let mut result = results.clone();
            let mut next = || result.next().unwrap_or_default();
            let words_of_point = launch.point_words();
            let members = launch.points(3 * n);
            for ((member, hash), i) in job.ring().iter().zip(keys.by_ref()).zip(0..) {
                let point = members + 3 * i * words_of_point;
                for (encoded, half) in member.iter().zip(0..) {
                    let encoded = launch.input(&words(encoded));
                    let to = point + half * words_of_point;
                    launch.task(decompress, &[encoded, to, 0, next()]);
                }
                let hash = launch.input(&words(hash));
                launch.task(map, &[hash, point + 2 * words_of_point, next()]);
            }
            let images = launch.points(3);
            let own = [(&job.image, 0), (&job.d, 0), (&job.pseudo_out, 1)];
            for ((encoded, negate), i) in own.into_iter().zip(0..) {
                let encoded = launch.input(&words(encoded));
                let to = images + i * words_of_point;
                launch.task(decompress, &[encoded, to, negate, next()]);
            }
            let ring = Ring::lay_out(
                launch,
                job,
                mu,
                [members, images],
                results.start + 3 * n + 4,
            );
            let right_table = ring.tables + 2 * TABLE * words_of_point;
            launch.sum(
                prepare,
                programs[ORDER_OF_IMAGE],
                next(),
                &[images, right_table, order],
            );
            rings.push(ring);
            if let Some(check) = checks.get_mut(at) {
                *check = Some(results);
            }
        }
        for (ring, mu) in rings.iter().zip(&mu) {
            let [p, c] = mu.map(|mu| launch.input(&biased(mu.as_bytes())));
            let d = ring.images + launch.point_words();
            let table = ring.tables + 3 * TABLE * launch.point_words();
            let operands = [ring.images, d, ring.tables, p, c, table];
            launch.sum(prepare, programs[IMAGES], 0, &operands);
        }
        // Threads of a warp should go as far: longer rings first.
        rings.sort_by_key(|ring| std::cmp::Reverse(ring.job.ring().len()));
        links(launch, &programs, &rings);
        checks
    }
}

/// The checks that need no point.
fn is_well_formed(job: &ClsagJob) -> bool {
    let own = [job.image, job.pseudo_out, job.d];
    job.ring
        .iter()
        .flatten()
        .chain(&own)
        .all(codec::is_canonical)
        && job.responses.iter().chain([&job.c1]).all(is_below_order)
        && !has_small_order(&job.d)
        && !has_small_order(&job.image)
}

/// mu_P and mu_C of each ring.
fn coefficients(jobs: &[&ClsagJob]) -> Vec<[Scalar; 2]> {
    let rest: Vec<_> = jobs.iter().map(|job| aggregation(job)).collect();
    let hashes = keccak256(
        level(),
        rest.iter()
            .flat_map(|rest| [[&AGG_0[..], &rest[..]], [&AGG_1[..], &rest[..]]]),
    );
    hashes
        .as_chunks::<2>()
        .0
        .iter()
        .map(|pair| pair.map(Scalar::from_bytes_mod_order))
        .collect()
}

impl<'a> Ring<'a> {
    fn lay_out(
        launch: &mut Launch,
        job: &'a ClsagJob,
        mu: &[Scalar; 2],
        [members, images]: [u32; 2],
        results: u32,
    ) -> Self {
        let tables = launch.points(4 * TABLE);
        let sums = launch.points(2);
        let compressed = launch.words(16);
        let challenge = launch.words(5 * 8);
        let prefix = Prefix::new(job);
        let mut end = prefix.tail.clone();
        let start = end.len() as u32 / 4;
        // L and R, then the original padding of Keccak: 1 0* 1.
        end.resize(end.len() + 64, 0);
        end.push(0x01);
        end.resize(end.len().next_multiple_of(RATE), 0);
        if let Some(last) = end.last_mut() {
            *last |= 0x80;
        }
        let state: Vec<u32> = prefix
            .state
            .iter()
            // Low and high word.
            .flat_map(|lane| [*lane as u32, (lane >> 32) as u32])
            .collect();
        let at = launch.input(&state);
        let blocks: Vec<u32> = end
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| u32::from_le_bytes(*bytes))
            .collect();
        launch.input(&blocks);
        // One or two blocks; the rest of the place is not read.
        launch.input(&vec![0; 2 * BLOCK_WORDS as usize - blocks.len()]);
        // 2^256 modulo the order brings a factor into the form that products on the device take.
        let shift = Scalar::from_bytes_mod_order([0xff; 32]) + Scalar::ONE;
        for factor in mu {
            launch.input(&words((factor * shift).as_bytes()));
        }
        let c1 = Scalar::from_bytes_mod_order(job.c1);
        let [p, c] = mu.map(|factor| launch.input(&biased((c1 * factor).as_bytes())));
        let first = launch.input(&biased(&job.c1));
        debug_assert_eq!((first - p, first - c), (16, 8));
        Self {
            job,
            members,
            images,
            tables,
            sums,
            compressed,
            challenge,
            prefix: at,
            blocks: blocks.len() as u32 / BLOCK_WORDS,
            start,
            first: p,
            last: launch.input(&words(&job.c1)),
            results,
        }
    }
}

/// The links of the chains: one place of all rings after another.
fn links(launch: &mut Launch, programs: &[Stored; 4], rings: &[Ring<'_>]) {
    let point = launch.point_words();
    let longest = rings.iter().map(|ring| ring.job.ring().len()).max();
    for i in 0..longest.unwrap_or(0) {
        let sum = launch.stage(Kernel::Sum);
        let compress = launch.stage(Kernel::Compress);
        let challenge = launch.stage(Kernel::ClsagChallenge);
        let here = rings.iter().filter(|ring| i < ring.job.ring().len());
        let mut rights = Vec::new();
        for ring in here {
            // c mu_P, c mu_C, c: the first is the host's.
            let [c_p, c_c, c] = [0, 8, 16].map(|offset| match i {
                0 => ring.first + offset,
                _ => IN_ARENA | (ring.challenge + offset),
            });
            let s = launch.input(&biased(&ring.job.responses[i]));
            // A ring has at most 128 members.
            let member = ring.members + 3 * i as u32 * point;
            let minus_pseudo_out = ring.images + 2 * point;
            let left = [
                member,
                member + point,
                minus_pseudo_out,
                ring.tables,
                c_p,
                c_c,
                s,
                ring.sums,
            ];
            launch.sum(sum, programs[LEFT], 0, &left);
            rights.push([
                member + 2 * point,
                ring.tables + 2 * TABLE * point,
                ring.tables + 3 * TABLE * point,
                s,
                c,
                ring.sums + point,
            ]);
            let sums = [ring.sums, ring.sums + point, ring.compressed];
            launch.task(compress, &sums);
            let is_last = i + 1 == ring.job.ring().len();
            launch.task(
                challenge,
                &[
                    ring.prefix,
                    ring.blocks,
                    ring.start,
                    ring.compressed,
                    ring.challenge,
                    u32::from(is_last),
                    ring.last,
                    ring.results + i as u32,
                ],
            );
        }
        for right in rights {
            launch.sum(sum, programs[RIGHT], 0, &right);
        }
    }
}
