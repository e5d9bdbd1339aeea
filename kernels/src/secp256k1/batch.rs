//! The group operations that schemes are made of, on lists, by the code of each level. Equal results on every level.
#![allow(unsafe_code)]
// Plain loops: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use super::{
    Point, chains,
    endomorphism::{beta, split},
    single::X1,
};
#[cfg(target_arch = "x86_64")]
use super::{avx2::X4, ifma::X8};
use crate::{
    cpu::{Level, features},
    curve::{
        affine::normalize,
        jacobian::Jacobian,
        lanes::{Entry, Lanes, MAX_LANES},
        windows::{Digits, Term, entries, fixed_table, multiples, sum_of_multiples},
    },
    field::secp256k1::{Base, Fn, Fp},
};
use std::sync::OnceLock;

/// Bits of a digit of a factor of any point: 26 additions for each half of the factor, a table of 16 multiples.
const WINDOW: u32 = 5;
/// Bits of a digit of a factor of the generator: 13 additions for each half, a table of 512 multiples.
const FIXED_WINDOW: u32 = 10;
/// Entries of the table of a point.
const ENTRIES: usize = entries(WINDOW);

/// The code that a level runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    /// One element at a time.
    Single,
    /// One at a time, compiled for processors with a product that leaves the flags alone.
    #[cfg(target_arch = "x86_64")]
    Mulx,
    /// Four lanes.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Eight lanes.
    #[cfg(target_arch = "x86_64")]
    Ifma,
}

/// Fewest items for which four lanes are quicker than one after another: an operation over four takes as long as two and a half.
#[cfg(target_arch = "x86_64")]
const WORTH_FOUR_LANES: usize = 3;

/// Fewest items for which eight lanes are: an operation over eight takes less than one and a half of one.
#[cfg(target_arch = "x86_64")]
const WORTH_EIGHT_LANES: usize = 2;

/// The code for so many items at a level.
fn code(level: Level, items: usize) -> Code {
    match level.available() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512
            if items >= WORTH_EIGHT_LANES && features().avx512_ifma && features().bmi2 =>
        {
            Code::Ifma
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 if items >= WORTH_FOUR_LANES => Code::Avx2,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 if features().bmi2 => Code::Mulx,
        _ => Code::Single,
    }
}

/// Calls a generic function for the representation of a level.
macro_rules! at_level {
    ($level:expr, $name:ident $(::<$($generic:tt),*>)?, ($argument:ident: $type:ty) -> $result:ty) => {{
        /// # Safety
        /// The processor has BMI2.
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "bmi2")]
        unsafe fn mulx($argument: $type) -> $result {
            // SAFETY: single elements need no instruction set.
            unsafe { $name::<X1 $($(, $generic)*)?>($argument) }
        }
        /// # Safety
        /// The processor has AVX2.
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2")]
        unsafe fn avx2($argument: $type) -> $result {
            // SAFETY: the caller's promise.
            unsafe { $name::<X4 $($(, $generic)*)?>($argument) }
        }
        /// # Safety
        /// The processor has AVX-512 F, BW, DQ, VL, IFMA and BMI2.
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,bmi2")]
        unsafe fn ifma($argument: $type) -> $result {
            // SAFETY: the caller's promise.
            unsafe { $name::<X8 $($(, $generic)*)?>($argument) }
        }
        match code($level, $argument.len()) {
            // SAFETY: the sets were found on this processor.
            #[cfg(target_arch = "x86_64")]
            Code::Ifma => unsafe { ifma($argument) },
            // SAFETY: the set was found on this processor; one with AVX-512 has AVX2.
            #[cfg(target_arch = "x86_64")]
            Code::Avx2 => unsafe { avx2($argument) },
            // SAFETY: the sets were found on this processor.
            #[cfg(target_arch = "x86_64")]
            Code::Mulx => unsafe { mulx($argument) },
            // SAFETY: single elements need no instruction set.
            Code::Single => unsafe { $name::<X1 $($(, $generic)*)?>($argument) },
        }
    }};
}

/// The multiples of a point and of its image under the endomorphism. All levels pack elements alike, so one may use the tables of
/// another.
#[derive(Clone, Debug)]
pub(crate) struct PointTable {
    point: [Entry; ENTRIES],
    image: [Entry; ENTRIES],
}

/// Tables of points.
pub(crate) fn tables(level: Level, points: &[Point]) -> Vec<PointTable> {
    at_level!(level, tables_in, (points: &[Point]) -> Vec<PointTable>)
}

/// A multiple of the generator (where the call says so) and multiples of `N` points.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Combination<'a, const N: usize> {
    pub(crate) generator: Fn,
    pub(crate) points: [(Fn, &'a PointTable); N],
}

/// `generator G + factor P`: nothing where that is the identity.
pub(crate) fn sums_with_generator(level: Level, list: &[Combination<'_, 1>]) -> Vec<Option<Point>> {
    at_level!(level, sums_in::<true, 1>, (list: &[Combination<'_, 1>]) -> Vec<Option<Point>>)
}

/// `a P + b Q`: nothing where that is the identity. `generator` is not looked at.
pub(crate) fn sums_of_two(level: Level, list: &[Combination<'_, 2>]) -> Vec<Option<Point>> {
    at_level!(level, sums_in::<false, 2>, (list: &[Combination<'_, 2>]) -> Vec<Option<Point>>)
}

/// The square root of each number that is even (as a number below p), nothing for a number without a root.
pub(crate) fn even_roots(level: Level, squares: &[Fp]) -> Vec<Option<Fp>> {
    at_level!(level, roots_in, (squares: &[Fp]) -> Vec<Option<Fp>>)
}

/// For each lane an element of the list, where it ends its first.
#[inline(always)]
fn in_lanes<T>(list: &[T]) -> [&T; MAX_LANES] {
    let mut out = [&list[0]; MAX_LANES];
    for (lane, item) in out.iter_mut().zip(list) {
        *lane = item;
    }
    out
}

/// # Safety
/// As [`Lanes`].
#[inline(always)]
unsafe fn tables_in<L: Lanes<Field = Base>>(points: &[Point]) -> Vec<PointTable> {
    // SAFETY: the caller's promise.
    unsafe {
        let mut jacobian = Vec::with_capacity(points.len().div_ceil(L::LANES) * ENTRIES);
        let packed: Vec<Entry> = points
            .iter()
            .map(|point| Entry::new::<L>(point.x, point.y))
            .collect();
        for group in packed.chunks(L::LANES) {
            let (x, y) = L::gather(&in_lanes(group));
            jacobian.extend_from_slice(&multiples::<L, ENTRIES>(x, y));
        }
        let beta = L::splat(&L::pack(beta()));
        let blank = PointTable {
            point: [Entry::BLANK; ENTRIES],
            image: [Entry::BLANK; ENTRIES],
        };
        let mut tables = vec![blank; points.len()];
        let affine = normalize(&jacobian);
        for (group, tables) in affine.chunks(ENTRIES).zip(tables.chunks_mut(L::LANES)) {
            for i in 0..ENTRIES {
                let (x, y) = group[i];
                let point = L::scatter(x, y);
                let image = L::scatter(x.multiply(beta), y);
                for (lane, table) in tables.iter_mut().enumerate() {
                    table.point[i] = point[lane];
                    table.image[i] = image[lane];
                }
            }
        }
        tables
    }
}

/// The tables of the generator: of G and of 2^128 G.
fn generator_tables() -> &'static [Vec<Entry>; 2] {
    static TABLES: OnceLock<[Vec<Entry>; 2]> = OnceLock::new();
    TABLES.get_or_init(|| {
        let low = Point::GENERATOR;
        // SAFETY: single elements need no instruction set.
        let high = unsafe {
            let mut point = Jacobian::affine(low.x, low.y);
            for _ in 0..128 {
                point = point.double();
            }
            normalize(&[point])
        };
        let high = high.first().copied().unwrap_or((low.x, low.y));
        [
            fixed_table::<X1>(low.x, low.y, entries(FIXED_WINDOW)),
            fixed_table::<X1>(high.0, high.1, entries(FIXED_WINDOW)),
        ]
    })
}

/// # Safety
/// As [`Lanes`].
#[inline(always)]
unsafe fn sums_in<L: Lanes<Field = Base>, const GENERATOR: bool, const N: usize>(
    list: &[Combination<'_, N>],
) -> Vec<Option<Point>> {
    let fixed = generator_tables();
    let mut sums = Vec::with_capacity(list.len().div_ceil(L::LANES));
    for group in list.chunks(L::LANES) {
        let items = in_lanes(group);
        let mut terms = Vec::with_capacity(2 * N + 2);
        for i in 0..N {
            let mut halves = [[Digits::zero(WINDOW); MAX_LANES]; 2];
            let mut tables = [[&[][..]; MAX_LANES]; 2];
            for lane in 0..L::LANES {
                let (factor, table) = items[lane].points[i];
                let [first, second] = split(factor);
                halves[0][lane] = Digits::new(WINDOW, first.magnitude, first.negative);
                halves[1][lane] = Digits::new(WINDOW, second.magnitude, second.negative);
                tables[0][lane] = &table.point;
                tables[1][lane] = &table.image;
            }
            for (tables, digits) in tables.into_iter().zip(halves) {
                terms.push(Term {
                    window: WINDOW,
                    tables,
                    digits,
                });
            }
        }
        if GENERATOR {
            let mut halves = [[Digits::zero(FIXED_WINDOW); MAX_LANES]; 2];
            for lane in 0..L::LANES {
                let limbs = items[lane].generator.to_limbs();
                for (half, limbs) in halves.iter_mut().zip(limbs.as_chunks::<2>().0) {
                    let magnitude = u128::from(limbs[0]) | u128::from(limbs[1]) << 64;
                    half[lane] = Digits::new(FIXED_WINDOW, magnitude, false);
                }
            }
            for (table, digits) in fixed.iter().zip(halves) {
                terms.push(Term {
                    window: FIXED_WINDOW,
                    tables: [&table[..]; MAX_LANES],
                    digits,
                });
            }
        }
        // SAFETY: the caller's promise.
        sums.push(unsafe { sum_of_multiples::<L>(&terms) });
    }
    let mut points = Vec::with_capacity(list.len());
    // SAFETY: the caller's promise.
    unsafe {
        let affine = normalize(&sums);
        for (group, (sum, (x, y))) in sums.iter().zip(affine).enumerate() {
            let entries = L::scatter(x, y);
            let here = (list.len() - group * L::LANES).min(L::LANES);
            for lane in 0..here {
                let (x, y) = entries[lane].coordinates::<L>();
                points.push((sum.identity >> lane & 1 == 0).then_some(Point { x, y }));
            }
        }
    }
    points
}

/// # Safety
/// As [`Lanes`].
#[inline(always)]
unsafe fn roots_in<L: Lanes<Field = Base>>(squares: &[Fp]) -> Vec<Option<Fp>> {
    let mut roots = Vec::with_capacity(squares.len());
    for group in squares.chunks(L::LANES) {
        let mut packed = [Entry::BLANK; MAX_LANES];
        for (entry, square) in packed.iter_mut().zip(group) {
            *entry = Entry::new::<L>(*square, Fp::ZERO);
        }
        // SAFETY: the caller's promise.
        let (entries, right) = unsafe {
            let (square, _) = L::gather(&in_lanes(&packed));
            let root = chains::root(square);
            let right = root.square().minus(square).reduce().is_zero();
            (L::scatter(root, root), right)
        };
        for lane in 0..group.len() {
            let (root, _) = entries[lane].coordinates::<L>();
            let even = if root.to_limbs()[0] & 1 == 1 {
                -root
            } else {
                root
            };
            roots.push((right >> lane & 1 == 1).then_some(even));
        }
    }
    roots
}
