//! The permutations, once for every representation. Bounds are multiples of p in the representation of [`Lanes`].
#![allow(unsafe_code)]
// Plain loops over limbs and words: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use super::schedule::{HALF, Schedule};
use crate::field::{bn254::Scalar, lanes::Lanes};

/// The widest state.
pub(super) const MAX_WIDTH: usize = 17;

/// Constants of a Poseidon2.
pub(super) struct Schedule2<C> {
    pub(super) initial: Vec<C>,
    pub(super) partial: Vec<C>,
    /// The constant after each of the partial ones, zero after the last.
    pub(super) next: Vec<C>,
    pub(super) last: Vec<C>,
}

/// Permutes the first `t` words of the state (Poseidon). Only the first `rows` words of the result are right; `t` is the width of the
/// schedule, given apart so that a caller can make it a constant.
///
/// Takes settled words below 16 p; gives settled words below 4 p.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(super) unsafe fn poseidon<L: Lanes<Scalar>>(
    t: usize,
    rows: usize,
    state: &mut [L; MAX_WIDTH],
    schedule: &Schedule<L::Constant>,
) {
    let n = t - 1;
    // SAFETY: the caller's promise.
    unsafe {
        let zero = L::zero();
        for i in 0..t {
            // Below 17 p.
            state[i] = state[i].plus_constant(&schedule.first[i]).settle();
        }
        for round in 0..HALF {
            full(
                t,
                t,
                state,
                &schedule.matrix,
                &schedule.before[round * t..(round + 1) * t],
            );
        }

        // The words that a round reads: n of x or u, then n of z, newest first. Every u is below 9 p: the S-box gives 3.2 p, the addend
        // p, the reduction 2 p, and the products of n values of u and n of z less than 2.4 p for n = 16.
        let mut words = [zero; 2 * (MAX_WIDTH - 1)];
        let mut first = [zero; MAX_WIDTH - 1];
        words[..n].copy_from_slice(&state[1..t]);
        let mut u = state[0];
        let (start, steady) = schedule.partial.split_at(n * (2 * n + 1));
        for (r, row) in start.chunks_exact(2 * n + 1).enumerate() {
            let z = u.pow5();
            u = L::dot(&words[..n + r], &row[..n + r], &row[2 * n], z);
            push(&mut words[n..2 * n], z);
            push(&mut first[..n], u);
        }
        words[..n].copy_from_slice(&first[..n]);
        for row in steady.chunks_exact(2 * n + 1) {
            let z = u.pow5();
            u = L::dot(&words[..2 * n], &row[..2 * n], &row[2 * n], z);
            push(&mut words[n..2 * n], z);
            push(&mut words[..n], u);
        }

        state[0] = u.multiply(L::splat(&schedule.scale));
        for (i, row) in schedule.close.chunks_exact(2 * n + 1).enumerate() {
            state[1 + i] = L::dot(&words[..2 * n], &row[..2 * n], &row[2 * n], zero);
        }
        for round in 0..HALF {
            let rows = if round + 1 == HALF { rows } else { t };
            full(
                t,
                rows,
                state,
                &schedule.matrix,
                &schedule.after[round * t..(round + 1) * t],
            );
        }
    }
}

/// Puts a value before the others and drops the last.
#[inline(always)]
fn push<L: Copy>(list: &mut [L], value: L) {
    for i in (1..list.len()).rev() {
        list[i] = list[i - 1];
    }
    if let Some(newest) = list.first_mut() {
        *newest = value;
    }
}

/// S-boxes, matrix, addends. Below 28 p in, below 4 p out.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
unsafe fn full<L: Lanes<Scalar>>(
    t: usize,
    rows: usize,
    state: &mut [L; MAX_WIDTH],
    matrix: &[L::Constant],
    addends: &[L::Constant],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let zero = L::zero();
        let mut z = [zero; MAX_WIDTH];
        for i in 0..t {
            z[i] = state[i].pow5();
        }
        for i in 0..rows {
            state[i] = L::dot(&z[..t], &matrix[i * t..(i + 1) * t], &addends[i], zero);
        }
    }
}

/// Permutes the first `t` words of the state (Poseidon2 of width 2 or 3, whose matrices are `J + I` outside and `J + diag(1, .., 2)`
/// inside, J all ones).
///
/// Takes settled words below 16 p; gives settled words below 13 p.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(super) unsafe fn poseidon2<L: Lanes<Scalar>>(
    t: usize,
    state: &mut [L; MAX_WIDTH],
    schedule: &Schedule2<L::Constant>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        // Below 64 p before they shrink.
        external(t, state);
        for i in 0..t {
            state[i] = state[i].shrink();
        }
        full2(t, state, &schedule.initial);
        for i in 1..t {
            state[i] = state[i].shrink();
        }
        // The first word carries its constant. What waits for the S-box is one sum with its double.
        if let Some(constant) = schedule.partial.first() {
            state[0] = state[0].plus_constant(constant);
        }
        for pair in schedule.next.chunks(2) {
            // From words below 2 p: below 12 p after one round, 46 p after two; the first word below 12 p and 28 p.
            for next in pair {
                let z = state[0].settle().pow5();
                let mut rest = state[1];
                for i in 2..t {
                    rest = rest.plus(state[i]);
                }
                state[0] = rest.plus_constant(next).plus_twice(z);
                let sum = rest.plus(z);
                for i in 1..t {
                    let doubled = if i + 1 == t {
                        state[i].plus(state[i])
                    } else {
                        state[i]
                    };
                    state[i] = sum.plus(doubled);
                }
            }
            for i in 1..t {
                state[i] = state[i].shrink();
            }
        }
        full2(t, state, &schedule.last);
        for i in 0..t {
            state[i] = state[i].settle();
        }
    }
}

/// Full rounds of Poseidon2. Below 27 p in, below 13 p and not settled out.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
unsafe fn full2<L: Lanes<Scalar>>(t: usize, state: &mut [L; MAX_WIDTH], constants: &[L::Constant]) {
    for row in constants.chunks_exact(t) {
        // SAFETY: the caller's promise.
        unsafe {
            for i in 0..t {
                state[i] = state[i].plus_constant(&row[i]).settle().pow5();
            }
            external(t, state);
        }
    }
}

/// Adds the sum of all words to each. Multiplies bounds by `t + 1`.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
unsafe fn external<L: Lanes<Scalar>>(t: usize, state: &mut [L; MAX_WIDTH]) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sum = state[0];
        for word in &state[1..t] {
            sum = sum.plus(*word);
        }
        for word in &mut state[..t] {
            *word = word.plus(sum);
        }
    }
}
