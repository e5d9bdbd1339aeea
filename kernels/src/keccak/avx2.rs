//! Four states at once in 256-bit registers, or two times four in step.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::{
    LANES, Lane,
    many::{States, Step},
    permute, permute_pair,
    streams::{SEED_BLOCKS, Seed, Stream, seed_words},
};
use crate::x86::avx2::transpose;

/// One state word of four states. Made only by code that runs under AVX2.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct X4(pub(crate) __m256i);

// SAFETY (every block below): values of this type are made only inside functions compiled with
// `target_feature(enable = "avx2")`, whose callers have checked the processor.
impl Lane for X4 {
    #[inline(always)]
    fn splat(word: u64) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_set1_epi64x(word.cast_signed()) })
    }
    #[inline(always)]
    fn xor(self, b: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_xor_si256(self.0, b.0) })
    }
    #[inline(always)]
    fn chi(self, b: Self, c: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_xor_si256(self.0, _mm256_andnot_si256(b.0, c.0)) })
    }
    #[inline(always)]
    fn rotate(self, bits: u32) -> Self {
        // SAFETY: see above. Rotations by whole bytes are one shuffle; a shift by 64 gives zero.
        unsafe {
            let count = |bits: u32| _mm_cvtsi32_si128(bits.cast_signed());
            match bits {
                8 => Self(_mm256_shuffle_epi8(
                    self.0,
                    _mm256_setr_epi8(
                        7, 0, 1, 2, 3, 4, 5, 6, 15, 8, 9, 10, 11, 12, 13, 14, 7, 0, 1, 2, 3, 4, 5,
                        6, 15, 8, 9, 10, 11, 12, 13, 14,
                    ),
                )),
                56 => Self(_mm256_shuffle_epi8(
                    self.0,
                    _mm256_setr_epi8(
                        1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11, 12, 13, 14, 15, 8, 1, 2, 3, 4, 5, 6, 7,
                        0, 9, 10, 11, 12, 13, 14, 15, 8,
                    ),
                )),
                _ => Self(_mm256_or_si256(
                    _mm256_sll_epi64(self.0, count(bits)),
                    _mm256_srl_epi64(self.0, count(64 - bits)),
                )),
            }
        }
    }
}

/// Four states whose words are `stride` words apart.
///
/// # Safety
/// The processor has AVX2; four words are readable at each of 25 places.
#[inline(always)]
unsafe fn load(from: *const u64, stride: usize) -> [X4; LANES] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut state = [X4(_mm256_setzero_si256()); LANES];
        for (i, word) in state.iter_mut().enumerate() {
            *word = X4(_mm256_loadu_si256(from.add(i * stride).cast()));
        }
        state
    }
}

/// The reverse of [`load`].
///
/// # Safety
/// As [`load`], writable.
#[inline(always)]
unsafe fn store(state: &[X4; LANES], to: *mut u64, stride: usize) {
    for (i, word) in state.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { _mm256_storeu_si256(to.add(i * stride).cast(), word.0) };
    }
}

/// Makes a step of four sponges.
///
/// # Safety
/// The processor has AVX2; each block has the step's rate in bytes.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn absorb4(states: &mut States<4>, step: &Step<'_, 4>) {
    let base = states.0.as_mut_ptr().cast();
    // SAFETY: the array is 25 groups of four words; the caller's promise.
    unsafe {
        let mut state = load(base, 4);
        absorb(&mut state, step.fresh, step.rate, &step.blocks);
        permute(&mut state);
        store(&state, base, 4);
    }
}

/// Makes a step of eight sponges.
///
/// # Safety
/// As [`absorb4`].
#[target_feature(enable = "avx2")]
pub(super) unsafe fn absorb8(states: &mut States<8>, step: &Step<'_, 8>) {
    let base = states.0.as_mut_ptr().cast::<u64>();
    let [first, second] = step.blocks.as_chunks::<4>().0 else {
        return;
    };
    // SAFETY: the array is 25 groups of twice four words; the caller's promise.
    unsafe {
        let mut halves = [load(base, 8), load(base.add(4), 8)];
        absorb(&mut halves[0], step.fresh, step.rate, first);
        absorb(&mut halves[1], step.fresh >> 4, step.rate, second);
        permute_pair(&mut halves);
        store(&halves[0], base, 8);
        store(&halves[1], base.add(4), 8);
    }
}

/// Clears the states of the lanes in `fresh`, and adds a block of `rate` bytes to each.
///
/// # Safety
/// The processor has AVX2; each block has so many bytes.
#[inline(always)]
unsafe fn absorb(state: &mut [X4; LANES], fresh: u8, rate: usize, blocks: &[&[u8]; 4]) {
    // SAFETY: blocks are read within their length; the caller's promise.
    unsafe {
        let keep = |lane: u8| i64::from(fresh >> lane & 1) - 1;
        let keep = _mm256_setr_epi64x(keep(0), keep(1), keep(2), keep(3));
        for word in state.iter_mut() {
            *word = X4(_mm256_and_si256(word.0, keep));
        }
        let words = rate / 8;
        for (group, state) in state.chunks_exact_mut(4).enumerate() {
            if 4 * group + 4 > words {
                break;
            }
            let mut rows = [_mm256_setzero_si256(); 4];
            for (row, block) in rows.iter_mut().zip(blocks) {
                *row = _mm256_loadu_si256(block.as_ptr().add(32 * group).cast());
            }
            for (word, row) in state.iter_mut().zip(transpose(rows)) {
                *word = word.xor(X4(row));
            }
        }
        for (index, word) in state.iter_mut().enumerate().take(words).skip(words / 4 * 4) {
            let at = |lane: usize| {
                blocks[lane]
                    .as_ptr()
                    .add(8 * index)
                    .cast::<i64>()
                    .read_unaligned()
            };
            *word = word.xor(X4(_mm256_setr_epi64x(at(0), at(1), at(2), at(3))));
        }
    }
}

/// Permutes four states, each with its words together.
///
/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn permute_four(states: &mut [[u64; LANES]; 4]) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut words = gather(states);
        permute(&mut words);
        scatter(&words, states);
    }
}

/// Permutes eight states, each with its words together.
///
/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn permute_eight(states: &mut [[u64; LANES]; 8]) {
    let [first, second] = states.as_chunks_mut::<4>().0 else {
        return;
    };
    // SAFETY: the caller's promise.
    unsafe {
        let mut words = [gather(first), gather(second)];
        permute_pair(&mut words);
        scatter(&words[0], first);
        scatter(&words[1], second);
    }
}

/// Four states with their words together, word by word.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn gather(states: &[[u64; LANES]; 4]) -> [X4; LANES] {
    // SAFETY: each access is four words inside one state; the caller's promise.
    unsafe {
        let mut words = [X4(_mm256_setzero_si256()); LANES];
        for group in 0..6 {
            let mut rows = [_mm256_setzero_si256(); 4];
            for (row, state) in rows.iter_mut().zip(states.iter()) {
                *row = _mm256_loadu_si256(state.as_ptr().add(4 * group).cast());
            }
            let rows = transpose(rows);
            for (word, row) in words[4 * group..].iter_mut().zip(&rows) {
                *word = X4(*row);
            }
        }
        let last = [states[0][24], states[1][24], states[2][24], states[3][24]];
        words[24] = X4(_mm256_loadu_si256(last.as_ptr().cast()));
        words
    }
}

/// The reverse of [`gather`].
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn scatter(words: &[X4; LANES], states: &mut [[u64; LANES]; 4]) {
    // SAFETY: as in `gather`.
    unsafe {
        for group in 0..6 {
            let mut rows = [_mm256_setzero_si256(); 4];
            for (row, word) in rows.iter_mut().zip(&words[4 * group..4 * group + 4]) {
                *row = word.0;
            }
            let rows = transpose(rows);
            for (state, row) in states.iter_mut().zip(&rows) {
                _mm256_storeu_si256(state.as_mut_ptr().add(4 * group).cast(), *row);
            }
        }
        let mut last = [0u64; 4];
        _mm256_storeu_si256(last.as_mut_ptr().cast(), words[24].0);
        for (state, word) in states.iter_mut().zip(last) {
            state[24] = word;
        }
    }
}

/// Eight SHAKE128 streams of [`SEED_BLOCKS`] blocks from eight 34-byte seeds.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(crate) unsafe fn seed_streams8(seeds: &[Seed; 8], streams: &mut [Stream; 8]) {
    let words = seed_words(seeds);
    let base = words.as_ptr().cast::<u64>();
    let [first, second] = streams.as_chunks_mut::<4>().0 else {
        return;
    };
    // SAFETY: the array is 25 groups of twice four words; the caller's promise.
    unsafe {
        let mut states = [load(base, 8), load(base.add(4), 8)];
        for block in 0..SEED_BLOCKS {
            permute_pair(&mut states);
            squeeze(&states[0], first, block);
            squeeze(&states[1], second, block);
        }
    }
}

/// A block of SHAKE128's output of four states.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn squeeze(state: &[X4; LANES], streams: &mut [Stream; 4], block: usize) {
    for group in 0..6 {
        // SAFETY: stores end at 4 * 168 + 160 + 32 <= STREAM_LEN; the caller's promise.
        unsafe {
            let mut words = [_mm256_setzero_si256(); 4];
            for (to, word) in words
                .iter_mut()
                .zip(&state[4 * group..21.min(4 * group + 4)])
            {
                *to = word.0;
            }
            let rows = transpose(words);
            for (stream, row) in streams.iter_mut().zip(&rows) {
                let to = stream.0.as_mut_ptr().add(168 * block + 32 * group);
                _mm256_storeu_si256(to.cast(), *row);
            }
        }
    }
}
