//! Sums of multiples of fixed points, from tables of every multiple of every window: only additions are left.
//!
//! An entry is `d 2^(w j) B + O` for the digit d of window j of the base B. O is a point whose logarithm nobody knows, so that a table
//! holds no identity, and a running sum that starts at `-n O` for n windows meets none of the exceptions of the addition law before its
//! end, unless somebody knows a logarithm: then, or where all factors are zero, the complete law is used.
//!
//! A batch adds one entry to every sum at a time, in affine coordinates, with one inversion for all of them (Montgomery's trick): six
//! products an addition instead of eleven. Each lane of a vector has its own sums. A small batch cuts each sum into parts, which are
//! added up at the end, so that as many additions share an inversion as in a large one. Parts start from multiples of O that never
//! meet, and that of the first takes all of them back.
#![allow(unsafe_code)]
// Plain loops over lanes: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use super::{hash_to_curve::hash_to_curve, point::Point};
#[cfg(target_arch = "x86_64")]
use crate::field::{avx2::X4, ifma::X8, pair::Pair};
use crate::{
    cpu::{Level, features},
    curve::{affine::normalize, jacobian::Jacobian},
    field::{Fq, Fr, batch_inverse, bn254::Base, lanes::Lanes},
};

/// Sums, or parts of them, that share an inversion.
const BLOCK: usize = 512;
/// Below this many sums a batch is not worth its inversions.
const FEW: usize = 8;
/// Most parts of a sum: a block of as few as fill the lanes.
const MAX_PARTS: usize = BLOCK / MAX_LANES;
/// Most lanes of a representation.
const MAX_LANES: usize = 16;

/// Coordinates of a point that is not the identity.
type Affine = [Fq; 2];

/// Bases with their tables.
pub(super) struct Bases {
    count: usize,
    /// Bits of a digit: 4 or 8.
    window: u32,
    /// The entries of each base, of each of its windows, of each digit.
    entries: Vec<Affine>,
    /// By the logarithm of the number of parts: where each of them starts, together at `-n O`.
    starts: Vec<Vec<Affine>>,
}

/// A point that is not the identity, in a single lane.
fn single(point: &Affine) -> Jacobian<Fq> {
    // SAFETY: single elements need no instruction set.
    unsafe { Jacobian::affine(point[0], point[1]) }
}

/// The affine coordinates of points none of which is the identity.
fn affine(points: &[Jacobian<Fq>]) -> Vec<Affine> {
    // SAFETY: single elements need no instruction set.
    let list = unsafe { normalize(points) };
    list.into_iter().map(|(x, y)| [x, y]).collect()
}

/// The multiple by a number that is not zero.
fn times(point: &Affine, number: usize) -> Jacobian<Fq> {
    let mut sum = single(point);
    for bit in (0..number.max(1).ilog2()).rev() {
        // SAFETY: single elements need no instruction set.
        sum = unsafe { sum.double() };
        if number >> bit & 1 == 1 {
            sum = add(sum, point);
        }
    }
    sum
}

/// The sum with a point that is not the identity.
fn add(sum: Jacobian<Fq>, point: &Affine) -> Jacobian<Fq> {
    // SAFETY: single elements need no instruction set.
    unsafe { sum.add_affine(point[0], point[1], 0) }
}

impl Bases {
    /// Tables for points none of which is the identity, with windows of 4 or 8 bits: 64 KiB or 512 KiB a point.
    pub(super) fn new(points: &[Affine], window: u32) -> Self {
        debug_assert!(window == 4 || window == 8);
        let offset = match hash_to_curve(b"offset", b"PARS-PEDERSEN-BN254-V1-TABLES") {
            Point::Affine { x, y } => [x, y],
            Point::Identity => [Fq::ONE, Fq::from_u64(2)],
        };
        let windows = 256 / window;
        let mut entries = Vec::with_capacity(points.len() * windows as usize * (1 << window));
        for point in points {
            let mut bases = vec![single(point)];
            for _ in 1..windows {
                // SAFETY: single elements need no instruction set.
                let next = bases.last().map(|base| unsafe {
                    let mut next = *base;
                    for _ in 0..window {
                        next = next.double();
                    }
                    next
                });
                bases.extend(next);
            }
            let mut multiples = Vec::with_capacity(windows as usize * (1 << window));
            for base in affine(&bases) {
                let mut sum = single(&offset);
                for _ in 0..1u32 << window {
                    multiples.push(sum);
                    sum = add(sum, &base);
                }
            }
            entries.extend(affine(&multiples));
        }
        let mut bases = Self {
            count: points.len(),
            window,
            entries,
            starts: Vec::new(),
        };
        let start = |parts: usize| {
            // The parts after the first start at 3 O, 4 O …, and walk in steps of O where all digits are zero. A sum of some parts
            // then equals no sum of others, and it is their negative only if it is all of them.
            let others: Vec<usize> = (1..parts).map(|part| part + 2).collect();
            let first = times(&offset, bases.terms() + others.iter().sum::<usize>());
            let others = others.iter().map(|number| times(&offset, *number));
            let mut starts = affine(&std::iter::once(first).chain(others).collect::<Vec<_>>());
            if let Some([_, y]) = starts.first_mut() {
                *y = -*y;
            }
            starts
        };
        bases.starts = (0..=MAX_PARTS.ilog2()).map(|log| start(1 << log)).collect();
        bases
    }

    /// Digits of a sum's factors: a byte each, base by base, lowest first.
    pub(super) fn digits(&self, factors: &[Fr], digits: &mut Vec<u8>) {
        for factor in factors {
            for byte in factor.to_bytes_be().iter().rev() {
                if self.window == 8 {
                    digits.push(*byte);
                } else {
                    digits.extend([byte & 15, byte >> 4]);
                }
            }
        }
    }

    /// Number of entries that a sum adds.
    fn terms(&self) -> usize {
        self.count * (256 / self.window as usize)
    }

    /// The entry of a term for a digit.
    #[inline(always)]
    fn entry(&self, term: usize, digit: u8) -> &Affine {
        &self.entries[(term << self.window) + usize::from(digit)]
    }

    /// `Σ factors[i] B_i`, for as many factors as bases.
    pub(super) fn sum(&self, factors: &[Fr]) -> Point {
        let mut digits = Vec::with_capacity(self.terms());
        self.digits(factors, &mut digits);
        let mut sum = single(&self.starts[0][0]);
        for (term, digit) in digits.iter().enumerate() {
            sum = add(sum, self.entry(term, *digit));
        }
        if sum.identity != 0 {
            return Point::Identity;
        }
        let [x, y] = affine(&[sum])[0];
        Point::Affine { x, y }
    }

    /// [`Self::sum`] of each list of factors, one list after another.
    pub(super) fn sums(&self, level: Level, factors: &[Fr]) -> Vec<Point> {
        let lists = factors.chunks_exact(self.count);
        let trivial = |list: &[Fr]| list.iter().all(Fr::is_zero);
        let mut out = Vec::with_capacity(lists.len());
        for block in factors.chunks(self.count * BLOCK) {
            let lists = block.chunks_exact(self.count);
            if lists.len() < FEW {
                out.extend(lists.map(|list| self.sum(list)));
                continue;
            }
            let mut digits = Vec::with_capacity((lists.len() + MAX_LANES) * self.terms());
            for list in lists.clone() {
                if trivial(list) {
                    // The identity is not a sum that a batch can end with; any other will do.
                    digits.extend(std::iter::repeat_n(1, self.terms()));
                } else {
                    self.digits(list, &mut digits);
                }
            }
            match self.block(level, lists.len(), &mut digits) {
                Some(points) => out.extend(points.into_iter().zip(lists).map(|([x, y], list)| {
                    if trivial(list) {
                        Point::Identity
                    } else {
                        Point::Affine { x, y }
                    }
                })),
                None => out.extend(lists.map(|list| self.sum(list))),
            }
        }
        out
    }

    /// The sums of `count` lists of digits. Nothing if an addition was an exception.
    pub(super) fn block(
        &self,
        level: Level,
        count: usize,
        digits: &mut Vec<u8>,
    ) -> Option<Vec<Affine>> {
        // Whole groups of lanes; what fills them up is an arbitrary sum.
        let filled = count.next_multiple_of(MAX_LANES);
        digits.resize(filled * self.terms(), 1);
        // The number of terms is a multiple of every power of two up to a base's windows, which are more than the most parts.
        let starts = &self.starts[(BLOCK / filled).max(1).ilog2() as usize];
        let mut points: Vec<Affine> = starts
            .iter()
            .flat_map(|start| std::iter::repeat_n(*start, filled))
            .collect();
        let complete = match level.available() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the sets were found on this processor (AVX-512 as the level has F, BW, DQ and VL).
            Level::Avx512 if features().avx512_ifma => unsafe { ifma(self, digits, &mut points) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: AVX2 was found on this processor.
            Level::Avx2 | Level::Avx512 => unsafe { avx2(self, digits, &mut points) },
            // SAFETY: single elements need no instruction set.
            _ => unsafe { accumulate::<Fq>(self, digits, &mut points) },
        };
        points.truncate(count);
        complete.then_some(points)
    }
}

/// # Safety
/// The processor has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2(bases: &Bases, digits: &[u8], points: &mut [Affine]) -> bool {
    // SAFETY: the caller's promise.
    unsafe { accumulate::<Pair<X4<Base>>>(bases, digits, points) }
}

/// # Safety
/// The processor has AVX-512 F, BW, DQ, VL and IFMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma")]
unsafe fn ifma(bases: &Bases, digits: &[u8], points: &mut [Affine]) -> bool {
    // SAFETY: the caller's promise.
    unsafe { accumulate::<Pair<X8<Base>>>(bases, digits, points) }
}

/// Adds the entries of all digits to the points, in step, and then the parts of each sum to its first; whether no addition was an
/// exception. The points are the first part of every sum, then the second of every one, and so on.
///
/// # Safety
/// As [`Lanes`]; the number of sums is a multiple of the lanes, the number of parts a power of two.
#[inline(always)]
unsafe fn accumulate<L: Lanes<Base>>(bases: &Bases, digits: &[u8], points: &mut [Affine]) -> bool {
    const { assert!(L::LANES <= MAX_LANES) };
    let lists = digits.len() / bases.terms();
    let parts = points.len() / lists;
    let part_terms = bases.terms() / parts;
    debug_assert_eq!(digits.len(), bases.terms() * lists);
    debug_assert_eq!(points.len(), parts * lists);
    debug_assert!(lists.is_multiple_of(L::LANES) && bases.terms().is_multiple_of(parts));
    // SAFETY: the caller's promise.
    unsafe {
        // Below 2 p from one addition to the next.
        let mut sums = Vec::with_capacity(points.len() / L::LANES);
        for group in points.chunks_exact(L::LANES) {
            let from = group.as_ptr().cast::<Fq>();
            sums.push([L::load(from, 2).shrink(), L::load(from.add(1), 2).shrink()]);
        }
        let mut steps = sums.clone();
        let mut addends = sums.clone();
        let mut entries = [[Fq::ZERO; 2]; MAX_LANES];
        for term in 0..part_terms {
            for (group, addend) in addends.iter_mut().enumerate() {
                let (part, list) = (group * L::LANES / lists, group * L::LANES % lists);
                let term = part * part_terms + term;
                for lane in 0..L::LANES {
                    let digit = digits[(list + lane) * bases.terms() + term];
                    entries[lane] = *bases.entry(term, digit);
                }
                let from = entries.as_ptr().cast::<Fq>();
                *addend = [L::load(from, 2), L::load(from.add(1), 2)];
            }
            if !add_each(&mut sums, &addends, &mut steps) {
                return false;
            }
        }
        let mut left = sums.len();
        for _ in 0..parts.ilog2() {
            left /= 2;
            let (first, second) = sums.split_at_mut(left);
            if !add_each(first, second, &mut steps) {
                return false;
            }
        }
        for (group, [x, y]) in points.chunks_exact_mut(L::LANES).zip(sums.drain(..left)) {
            let to = group.as_mut_ptr().cast::<Fq>();
            x.store(to, 2);
            y.store(to.add(1), 2);
        }
    }
    true
}

/// Adds to each sum its addend, with one inversion; whether none was an exception. Sums are below 2 p before and after, addends below
/// 16 p.
///
/// # Safety
/// As [`Lanes`]; there are as many addends and steps as sums, or more.
#[inline(always)]
unsafe fn add_each<L: Lanes<Base>>(
    sums: &mut [[L; 2]],
    addends: &[[L; 2]],
    steps: &mut [[L; 2]],
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let mut product = L::splat(&L::constant(Fq::ONE));
        for group in 0..sums.len() {
            // Below 48 p; the product below 5 p.
            let run = addends[group][0].minus(sums[group][0]).settle();
            steps[group] = [run, product];
            product = product.multiply(run);
        }
        let mut lanes = [Fq::ONE; MAX_LANES];
        product.store(lanes.as_mut_ptr(), 1);
        for lane in &lanes {
            if lane.is_zero() {
                return false;
            }
        }
        batch_inverse(&mut lanes);
        let mut rest = L::load(lanes.as_ptr(), 1);
        for group in (0..sums.len()).rev() {
            let [run, before] = steps[group];
            let [sum_x, sum_y] = sums[group];
            let [x, y] = addends[group];
            let inverse = rest.multiply(before);
            rest = rest.multiply(run);
            let slope = y.minus(sum_y).settle().multiply(inverse);
            let third = slope.multiply(slope).minus(sum_x.plus(x)).shrink();
            let height = slope.multiply(sum_x.minus(third).settle());
            sums[group] = [third, height.minus(sum_y).shrink()];
        }
    }
    true
}
