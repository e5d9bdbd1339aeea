//! Batches of states through the permutation of each level.
#![allow(unsafe_code)]
// Plain loops over limbs and words: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use super::{
    parameters::{Dense, Dense2, WIDTHS},
    permute::{MAX_WIDTH, Schedule2, poseidon, poseidon2},
    schedule::Schedule,
};
#[cfg(target_arch = "x86_64")]
use crate::field::{adx::X1, avx2::X4, ifma::X8, pair::Pair};
use crate::{
    cpu::{Level, features},
    field::{Fr, bn254::Scalar, lanes::Lanes},
};
use std::sync::OnceLock;

/// A permutation: which constants, and its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permutation {
    /// Poseidon of a width from 2 to 17.
    Poseidon(usize),
    /// Poseidon2 of width 3.
    Poseidon2,
    /// gnark's Poseidon2 of width 2.
    Gnark,
}

impl Permutation {
    pub(super) fn width(self) -> usize {
        match self {
            Self::Poseidon(width) => width,
            Self::Poseidon2 => 3,
            Self::Gnark => 2,
        }
    }
}

/// The constants of every permutation in one representation, made when first asked for.
struct Tables<C> {
    poseidon: [OnceLock<Option<Schedule<C>>>; MAX_WIDTH + 1],
    poseidon2: OnceLock<Schedule2<C>>,
    gnark: OnceLock<Schedule2<C>>,
}

impl<C> Tables<C> {
    const fn new() -> Self {
        Self {
            poseidon: [const { OnceLock::new() }; MAX_WIDTH + 1],
            poseidon2: OnceLock::new(),
            gnark: OnceLock::new(),
        }
    }

    fn poseidon(&self, width: usize, to: impl Fn(Fr) -> C) -> Option<&Schedule<C>> {
        let make = || Some(Schedule::derive(&Dense::generate(width)?)?.map(to));
        self.poseidon.get(width)?.get_or_init(make).as_ref()
    }

    fn second(&self, gnark: bool, to: impl Fn(Fr) -> C) -> &Schedule2<C> {
        let make = || {
            let dense = if gnark {
                Dense2::gnark()
            } else {
                Dense2::three()
            };
            let each = |list: &[Fr]| list.iter().map(|element| to(*element)).collect();
            let after = dense.partial.iter().skip(1).chain([&Fr::ZERO]);
            Schedule2 {
                initial: each(&dense.initial),
                partial: each(&dense.partial),
                next: after.map(|element| to(*element)).collect(),
                last: each(&dense.last),
            }
        };
        if gnark { &self.gnark } else { &self.poseidon2 }.get_or_init(make)
    }
}

static SCALAR: Tables<Fr> = Tables::new();
#[cfg(target_arch = "x86_64")]
static AVX2: Tables<[u64; 9]> = Tables::new();
#[cfg(target_arch = "x86_64")]
static IFMA: Tables<[u64; 5]> = Tables::new();

/// Permutes every state of `states`, `width` words each, one after another; only the first `rows` words of each are right after.
/// Words beyond a whole state are left alone. Equal results on every level; a level that the processor lacks is replaced by portable
/// code.
pub(super) fn permute_many(level: Level, which: Permutation, rows: usize, states: &mut [Fr]) {
    debug_assert!(!matches!(which, Permutation::Poseidon(width) if !WIDTHS.contains(&width)));
    match level.available() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the sets were found on this processor (AVX-512 as the level has F, BW, DQ and VL).
        Level::Avx512 if features().avx512_ifma => unsafe { ifma(which, rows, states) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: AVX2 was found on this processor.
        Level::Avx2 | Level::Avx512 => unsafe { avx2(which, rows, states) },
        _ => scalar(which, rows, states),
    }
}

/// One state after another in portable code.
fn scalar(which: Permutation, rows: usize, states: &mut [Fr]) {
    // SAFETY: scalar elements need no instruction set.
    unsafe { run::<Fr>(which, rows, states, &SCALAR) };
}

/// One state after another, in general registers where the processor has the instructions.
#[cfg(target_arch = "x86_64")]
fn alone(which: Permutation, rows: usize, states: &mut [Fr]) {
    if features().bmi2 && features().adx {
        // SAFETY: both sets were found.
        unsafe { adx(which, rows, states) }
    } else {
        scalar(which, rows, states);
    }
}

/// # Safety
/// The processor has BMI2 and ADX.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi2,adx")]
unsafe fn adx(which: Permutation, rows: usize, states: &mut [Fr]) {
    // SAFETY: the caller's promise.
    unsafe { run::<X1<Scalar>>(which, rows, states, &SCALAR) };
}

/// Eight states at a time, then four; one or two alone, which is sooner than beside zeros.
///
/// # Safety
/// The processor has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2(which: Permutation, rows: usize, states: &mut [Fr]) {
    // SAFETY: the caller's promise.
    unsafe {
        let rest = run::<Pair<X4<Scalar>>>(which, rows, states, &AVX2);
        let rest = run::<X4<Scalar>>(which, rows, rest, &AVX2);
        if rest.len() > 2 * which.width() {
            padded::<X4<Scalar>>(which, rows, rest, &AVX2);
        } else {
            alone(which, rows, rest);
        }
    }
}

/// Sixteen states at a time, then eight; the last one alone, which is sooner than beside zeros.
///
/// # Safety
/// The processor has AVX-512 F, BW, DQ, VL and IFMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma")]
unsafe fn ifma(which: Permutation, rows: usize, states: &mut [Fr]) {
    // SAFETY: the caller's promise.
    unsafe {
        let rest = run::<Pair<X8<Scalar>>>(which, rows, states, &IFMA);
        let rest = run::<X8<Scalar>>(which, rows, rest, &IFMA);
        if rest.len() > which.width() {
            padded::<X8<Scalar>>(which, rows, rest, &IFMA);
        } else {
            alone(which, rows, rest);
        }
    }
}

/// Loads `LANES` states at a time, permutes, stores. Gives back the words of the states that fill no group.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
unsafe fn run<'a, L: Lanes<Scalar>>(
    which: Permutation,
    rows: usize,
    states: &'a mut [Fr],
    tables: &'static Tables<L::Constant>,
) -> &'a mut [Fr] {
    let mut groups = states.chunks_exact_mut(which.width() * L::LANES);
    for states in &mut groups {
        // SAFETY: the caller's promise; the group is whole.
        unsafe { one::<L>(which, rows, states.as_mut_ptr(), tables) };
    }
    groups.into_remainder()
}

/// Permutes fewer than `LANES` states beside zeros.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
unsafe fn padded<L: Lanes<Scalar>>(
    which: Permutation,
    rows: usize,
    states: &mut [Fr],
    tables: &'static Tables<L::Constant>,
) {
    const { assert!(L::LANES <= 8) };
    let whole = states.len() / which.width() * which.width();
    if whole > 0 {
        let mut padded = [Fr::ZERO; MAX_WIDTH * 8];
        padded[..whole].copy_from_slice(&states[..whole]);
        // SAFETY: the caller's promise; there is room for the lanes.
        unsafe { one::<L>(which, rows, padded.as_mut_ptr(), tables) };
        states[..whole].copy_from_slice(&padded[..whole]);
    }
}

/// Permutes one group in place.
///
/// # Safety
/// As [`Lanes`]; `states` points to `LANES` states.
#[inline(always)]
unsafe fn one<L: Lanes<Scalar>>(
    which: Permutation,
    rows: usize,
    states: *mut Fr,
    tables: &'static Tables<L::Constant>,
) {
    let width = which.width();
    // SAFETY: the caller's promise.
    unsafe {
        let mut state = [L::zero(); MAX_WIDTH];
        for i in 0..width {
            state[i] = L::load(states.add(i), width);
        }
        match which {
            Permutation::Poseidon(width) => {
                if let Some(schedule) = tables.poseidon(width, L::constant) {
                    // The width that trees use is compiled as a constant.
                    if width == 3 {
                        poseidon(3, rows, &mut state, schedule);
                    } else {
                        poseidon(width, rows, &mut state, schedule);
                    }
                }
            }
            Permutation::Poseidon2 => poseidon2(3, &mut state, tables.second(false, L::constant)),
            Permutation::Gnark => poseidon2(2, &mut state, tables.second(true, L::constant)),
        }
        for i in 0..rows {
            state[i].store(states.add(i), width);
        }
    }
}
