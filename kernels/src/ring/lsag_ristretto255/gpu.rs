//! LSAG on ristretto255 on a GPU, as stages of tasks ([`edwards25519::gpu`](crate::edwards25519::gpu)).
//!
//! | stage | a task takes |
//! |---|---|
//! | `ristretto_decode` | each member, I of each ring |
//! | `ristretto_map` | each half of the uniform bytes of a member, whose points add up to Hp |
//! | `sum` | for each ring: multiples of I |
//! | for each place in the rings: `sum` | for each ring that has the place: s\_i·G + c\_i·P\_i; s\_i·Hp(P\_i) + c\_i·I |
//! | `ristretto_encode` | both points of a ring |
//! | `lsag_challenge` | SHA-512 of a ring's round; the next challenge modulo the order |
//!
//! As in CLSAG all places are recorded in one submission, and a ring takes two threads in the chain. The host computes D and the uniform
//! bytes of members (SHA-512), and checks that encodings are canonical, members different, nothing the identity, scalars in range.

use std::collections::HashSet;
use std::ops::Range;

use super::{Job, uniform};
use crate::edwards25519::ed25519::is_below_order;
use crate::edwards25519::fe::Fe;
use crate::edwards25519::gpu::biased::{biased, words};
use crate::edwards25519::gpu::launch::{Launch, Stored};
use crate::edwards25519::gpu::program::{Program, TABLE, Term};
use crate::edwards25519::gpu::shaders::{IN_ARENA, Kernel};
use crate::edwards25519::gpu::{Scheme, Stages};
use crate::ring::{Scheme as Curve, Transcript};

/// LSAG on ristretto255, with jobs of [`Job`].
#[derive(Clone, Copy, Debug)]
pub enum LsagRistretto255 {}

/// Points that a ring needs memory for beside three for each member: I, tables (of P, of Hp, of I), both sums, and five times eight
/// words.
const POINTS_OF_A_RING: u32 = 1 + 3 * TABLE + 2 + 2;

/// Programs in order.
const IMAGE: usize = 0;
const LEFT: usize = 1;
const RIGHT: usize = 2;

/// A table of I: I, table.
fn image() -> Program {
    let mut program = Program::default();
    program.reset();
    program.add(0);
    program.table(1, 0);
    program
}

/// s·G + c·P: P, table, c, s, point to write.
fn left() -> Program {
    let mut program = image();
    program.multiply(&[term(1, 2)], Some(3));
    program.cache(4, 0);
    program
}

/// s·Hp(P) + c·I: the halves of Hp, table, table of I, s, c, point to write.
fn right() -> Program {
    let mut program = Program::default();
    program.reset();
    program.add(0);
    program.add(1);
    program.table(2, 0);
    program.multiply(&[term(2, 4), term(3, 5)], None);
    program.cache(6, 0);
    program
}

const fn term(table: u32, scalar: u32) -> Term {
    Term {
        table,
        entry: 0,
        scalar,
    }
}

/// What the device gets of a ring.
struct Ring<'a> {
    job: &'a Job,
    /// Addresses of the members: P and the halves of Hp.
    members: u32,
    /// Addresses of the tables of P, Hp and I.
    tables: u32,
    /// Addresses of both sums.
    sums: u32,
    /// Address of the sums, encoded.
    encoded: u32,
    /// Address of the challenge, and behind it of words to work in.
    challenge: u32,
    /// Address of D.
    context: u32,
    /// Addresses of c_0, biased and as it is.
    first: u32,
    last: u32,
    /// First result of a link.
    results: u32,
}

impl Scheme for LsagRistretto255 {}

#[allow(private_interfaces, reason = "schemes are this crate's")]
impl Stages for LsagRistretto255 {
    type Job = Job;

    fn programs() -> Vec<Program> {
        vec![image(), left(), right()]
    }

    fn members(job: &Job) -> usize {
        job.ring().len()
    }

    fn points(job: &Job) -> usize {
        3 * job.ring().len() + POINTS_OF_A_RING as usize
    }

    fn lay_out(jobs: &[&Job], programs: &[Stored], launch: &mut Launch) -> Vec<Option<Range<u32>>> {
        let mut checks = vec![None; jobs.len()];
        let Ok(programs) = <[Stored; 3]>::try_from(programs) else {
            return checks;
        };
        let decode = launch.stage(Kernel::RistrettoDecode);
        let map = launch.stage(Kernel::RistrettoMap);
        let prepare = launch.stage(Kernel::Sum);
        let mut rings = Vec::with_capacity(jobs.len());
        for (job, check) in jobs.iter().zip(&mut checks) {
            if !is_well_formed(job) {
                continue;
            }
            // A ring has at most 128 members.
            let n = job.ring().len() as u32;
            let results = launch.results(4 * n + 1);
            let mut result = results.clone();
            let mut next = || result.next().unwrap_or_default();
            let point = launch.point_words();
            let members = launch.points(3 * n);
            for (member, i) in job.ring().iter().zip(0..) {
                let to = members + 3 * i * point;
                let encoded = launch.input(&words(member));
                launch.task(decode, &[encoded, to, next()]);
                for (half, at) in uniform(member).as_chunks::<32>().0.iter().zip(1..) {
                    let half = launch.input(&words(half));
                    launch.task(map, &[half, to + at * point, next()]);
                }
            }
            let image = launch.points(1);
            let encoded = launch.input(&words(job.image()));
            launch.task(decode, &[encoded, image, next()]);
            let tables = launch.points(3 * TABLE);
            let of_image = tables + 2 * TABLE * point;
            launch.sum(prepare, programs[IMAGE], 0, &[image, of_image]);
            let context =
                Transcript::context(Curve::Ristretto255, job.ring(), job.image(), job.message());
            let context: Vec<_> = context
                .as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| u32::from_be_bytes(*bytes))
                .collect();
            rings.push(Ring {
                job,
                members,
                tables,
                sums: launch.points(2),
                encoded: launch.words(16),
                challenge: launch.words(24),
                context: launch.input(&context),
                first: launch.input(&biased(job.challenge())),
                last: launch.input(&words(job.challenge())),
                results: results.start + 3 * n + 1,
            });
            *check = Some(results);
        }
        // Threads of a warp should go as far: longer rings first.
        rings.sort_by_key(|ring| std::cmp::Reverse(ring.job.ring().len()));
        links(launch, &programs, &rings);
        checks
    }
}

/// The checks that need no point.
fn is_well_formed(job: &Job) -> bool {
    let mut seen = HashSet::new();
    job.ring().iter().all(|member| seen.insert(member))
        && job.ring().iter().chain([job.image()]).all(|encoded| {
            // Not negative and below p (RFC 9496 §4.3.1); the identity is zero.
            encoded[0] & 1 == 0
                && encoded[31] >> 7 == 0
                && Fe::is_canonical(encoded)
                && *encoded != [0; 32]
        })
        && job
            .responses()
            .iter()
            .chain([job.challenge()])
            .all(is_below_order)
}

/// The links of the chains: one place of all rings after another.
fn links(launch: &mut Launch, programs: &[Stored; 3], rings: &[Ring<'_>]) {
    let point = launch.point_words();
    let longest = rings.iter().map(|ring| ring.job.ring().len()).max();
    for i in 0..longest.unwrap_or(0) {
        let sum = launch.stage(Kernel::Sum);
        let encode = launch.stage(Kernel::RistrettoEncode);
        let challenge = launch.stage(Kernel::LsagChallenge);
        let mut rights = Vec::new();
        for ring in rings.iter().filter(|ring| i < ring.job.ring().len()) {
            // The first challenge is in the signature.
            let c = match i {
                0 => ring.first,
                _ => IN_ARENA | ring.challenge,
            };
            let s = launch.input(&biased(&ring.job.responses()[i]));
            // A ring has at most 128 members.
            let number = i as u32;
            let member = ring.members + 3 * number * point;
            let left = [member, ring.tables, c, s, ring.sums];
            launch.sum(sum, programs[LEFT], 0, &left);
            rights.push([
                member + point,
                member + 2 * point,
                ring.tables + TABLE * point,
                ring.tables + 2 * TABLE * point,
                s,
                c,
                ring.sums + point,
            ]);
            launch.task(encode, &[ring.sums, ring.sums + point, ring.encoded]);
            let is_last = i + 1 == ring.job.ring().len();
            launch.task(
                challenge,
                &[
                    ring.context,
                    number,
                    ring.encoded,
                    ring.challenge,
                    u32::from(is_last),
                    ring.last,
                    ring.results + number,
                ],
            );
        }
        for right in rights {
            launch.sum(sum, programs[RIGHT], 0, &right);
        }
    }
}
