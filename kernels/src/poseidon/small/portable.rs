//! The definition: every instance in clear form, numbers below p in 64-bit words.

use super::{FULL_ROUNDS, Instance};

/// a + b modulo p, of numbers below p.
fn add(a: u64, b: u64, p: u64) -> u64 {
    let (sum, over) = a.overflowing_add(b);
    if over || sum >= p {
        sum.wrapping_sub(p)
    } else {
        sum
    }
}

/// a b modulo p, of numbers below p.
#[inline(always)]
pub(super) fn mul<const MODULUS: u64>(a: u64, b: u64) -> u64 {
    if MODULUS != GOLDILOCKS {
        return a * b % MODULUS;
    }
    // With 2^64 = 2^32 - 1 and 2^96 = -1.
    let wide = u128::from(a) * u128::from(b);
    let (low, high) = (wide as u64, (wide >> 64) as u64);
    let (mut sum, borrow) = low.overflowing_sub(high >> 32);
    if borrow {
        // 2^64 more is p and 2^32 - 1.
        sum = sum.wrapping_sub(0xffff_ffff);
    }
    let (sum, over) = sum.overflowing_add((high & 0xffff_ffff) * 0xffff_ffff);
    let sum = if over {
        sum.wrapping_add(0xffff_ffff)
    } else {
        sum
    };
    if sum >= MODULUS { sum - MODULUS } else { sum }
}

const GOLDILOCKS: u64 = Instance::Goldilocks8.modulus();

fn power<const MODULUS: u64>(x: u64, exponent: u32) -> u64 {
    let square = mul::<MODULUS>(x, x);
    match exponent {
        3 => mul::<MODULUS>(square, x),
        5 => mul::<MODULUS>(mul::<MODULUS>(square, square), x),
        _ => mul::<MODULUS>(mul::<MODULUS>(square, square), mul::<MODULUS>(square, x)),
    }
}

/// The matrix `circ(2, 3, 1, 1)` on every four words, then the sum of all blocks added to each.
fn external(state: &mut [u64], p: u64) {
    let mut sums = [0; 4];
    for block in state.chunks_exact_mut(4) {
        let old = [block[0], block[1], block[2], block[3]];
        let all = old.iter().fold(0, |sum, word| add(sum, *word, p));
        for i in 0..4 {
            let next = old[(i + 1) % 4];
            // All of them, the word once more and the next twice more.
            block[i] = add(add(all, old[i], p), add(next, next, p), p);
            sums[i] = add(sums[i], block[i], p);
        }
    }
    for block in state.chunks_exact_mut(4) {
        for (word, sum) in block.iter_mut().zip(sums) {
            *word = add(*word, sum, p);
        }
    }
}

fn rounds<const MODULUS: u64>(instance: Instance, state: &mut [u64]) {
    let p = MODULUS;
    let constants = instance.constants();
    let exponent = instance.exponent();
    let full = |state: &mut [u64], rows: &[u64]| {
        for row in rows.chunks_exact(instance.width()) {
            for (word, constant) in state.iter_mut().zip(row) {
                *word = power::<MODULUS>(add(*word, *constant, p), exponent);
            }
            external(state, p);
        }
    };
    debug_assert_eq!(constants.initial.len(), FULL_ROUNDS / 2 * instance.width());
    external(state, p);
    full(state, &constants.initial);
    for constant in &constants.partial {
        state[0] = power::<MODULUS>(add(state[0], *constant, p), exponent);
        let sum = state.iter().fold(0, |sum, word| add(sum, *word, p));
        for (word, factor) in state.iter_mut().zip(&constants.diagonal) {
            *word = add(sum, mul::<MODULUS>(*factor, *word), p);
        }
    }
    full(state, &constants.last);
}

/// Permutes one state of the instance's width, words below p in and out.
pub(super) fn permute(instance: Instance, state: &mut [u64]) {
    debug_assert_eq!(state.len(), instance.width());
    match instance {
        Instance::KoalaBear16 => rounds::<{ Instance::KoalaBear16.modulus() }>(instance, state),
        Instance::BabyBear16 => rounds::<{ Instance::BabyBear16.modulus() }>(instance, state),
        Instance::Mersenne31Width16 => {
            rounds::<{ Instance::Mersenne31Width16.modulus() }>(instance, state);
        }
        Instance::Goldilocks8 | Instance::Goldilocks12 => rounds::<GOLDILOCKS>(instance, state),
    }
}
