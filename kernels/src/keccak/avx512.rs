//! Eight states at once in 512-bit registers: native rotates and three-input logic.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::{
    LANES, Lane,
    many::{States, Step},
    permute,
    streams::{SEED_BLOCKS, Seed, Stream, seed_words},
};
use crate::x86::avx512::transpose;

/// One state word of eight states. Made only by code that runs under AVX-512F.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct X8(pub(crate) __m512i);

// SAFETY (every block below): values of this type are made only inside functions compiled with
// `target_feature(enable = "avx512f")`, whose callers have checked the processor.
impl Lane for X8 {
    #[inline(always)]
    fn splat(word: u64) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_set1_epi64(word.cast_signed()) })
    }
    #[inline(always)]
    fn xor(self, b: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_xor_si512(self.0, b.0) })
    }
    #[inline(always)]
    fn xor3(self, b: Self, c: Self) -> Self {
        // SAFETY: see above. 0x96 is the truth table of a ^ b ^ c.
        Self(unsafe { _mm512_ternarylogic_epi64::<0x96>(self.0, b.0, c.0) })
    }
    #[inline(always)]
    fn chi(self, b: Self, c: Self) -> Self {
        // SAFETY: see above. 0xd2 is the truth table of a ^ (!b & c).
        Self(unsafe { _mm512_ternarylogic_epi64::<0xd2>(self.0, b.0, c.0) })
    }
    #[inline(always)]
    fn rotate(self, bits: u32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_rolv_epi64(self.0, _mm512_set1_epi64(i64::from(bits))) })
    }
}

/// Makes a step of eight sponges.
///
/// The blocks are turned into words side by side in registers: words put into memory one by one would have to arrive
/// there before they could be read eight at a time.
///
/// # Safety
/// The processor has AVX-512F; each block has the step's rate in bytes.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn absorb8(states: &mut States<8>, step: &Step<'_, 8>) {
    let base = states.0.as_mut_ptr().cast::<__m512i>();
    let mut state = [X8::splat(0); LANES];
    for (i, word) in state.iter_mut().enumerate() {
        // SAFETY: the array is 25 consecutive groups of 64 bytes, aligned to as many.
        *word = X8(unsafe { _mm512_maskz_load_epi64(!step.fresh, base.add(i).cast()) });
    }
    // SAFETY: the caller's promise; of a group that a block has in part, the rest is not read.
    unsafe {
        absorb_group::<0>(&mut state, step);
        absorb_group::<1>(&mut state, step);
        absorb_group::<2>(&mut state, step);
    }
    permute(&mut state);
    for (i, word) in state.into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { _mm512_store_si512(base.add(i), word.0) };
    }
}

/// Adds the words from 8 times `GROUP` on, eight at most, of each block to its state.
///
/// # Safety
/// As [`absorb8`].
#[inline(always)]
unsafe fn absorb_group<const GROUP: usize>(state: &mut [X8; LANES], step: &Step<'_, 8>) {
    let words = (step.rate / 8).saturating_sub(8 * GROUP).min(8);
    let state = &mut state[8 * GROUP..];
    // SAFETY: blocks have that many words there.
    unsafe {
        let at = |lane: usize| step.blocks[lane].as_ptr().add(64 * GROUP).cast::<i64>();
        if words == 1 {
            let mut row = [0; 8];
            for (lane, word) in row.iter_mut().enumerate() {
                *word = at(lane).read_unaligned();
            }
            let [a, b, c, d, e, f, g, h] = row;
            state[0] = state[0].xor(X8(_mm512_setr_epi64(a, b, c, d, e, f, g, h)));
        } else if words > 0 {
            let mask = 0xff_u8 >> (8 - words);
            let mut rows = [_mm512_setzero_si512(); 8];
            for (lane, row) in rows.iter_mut().enumerate() {
                *row = _mm512_maskz_loadu_epi64(mask, at(lane));
            }
            let rows = transpose(rows);
            for (word, row) in state.iter_mut().zip(rows) {
                *word = word.xor(X8(row));
            }
        }
    }
}

/// Permutes eight states, each with its words together.
///
/// # Safety
/// The processor has AVX-512F.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn permute_eight(states: &mut [[u64; LANES]; 8]) {
    // SAFETY: each access is eight words inside one state, or one word; the caller's promise.
    unsafe {
        let mut words = [X8::splat(0); LANES];
        for group in 0..3 {
            let mut rows = [_mm512_setzero_si512(); 8];
            for (row, state) in rows.iter_mut().zip(states.iter()) {
                *row = _mm512_loadu_si512(state.as_ptr().add(8 * group).cast());
            }
            let rows = transpose(rows);
            for (word, row) in words[8 * group..].iter_mut().zip(&rows) {
                *word = X8(*row);
            }
        }
        let last = [
            states[0][24],
            states[1][24],
            states[2][24],
            states[3][24],
            states[4][24],
            states[5][24],
            states[6][24],
            states[7][24],
        ];
        words[24] = X8(_mm512_loadu_si512(last.as_ptr().cast()));
        permute(&mut words);
        for group in 0..3 {
            let mut rows = [_mm512_setzero_si512(); 8];
            for (row, word) in rows.iter_mut().zip(&words[8 * group..8 * group + 8]) {
                *row = word.0;
            }
            let rows = transpose(rows);
            for (state, row) in states.iter_mut().zip(&rows) {
                _mm512_storeu_si512(state.as_mut_ptr().add(8 * group).cast(), *row);
            }
        }
        let mut last = [0u64; 8];
        _mm512_storeu_si512(last.as_mut_ptr().cast(), words[24].0);
        for (state, word) in states.iter_mut().zip(last) {
            state[24] = word;
        }
    }
}

/// Eight SHAKE128 streams of [`SEED_BLOCKS`] blocks from eight 34-byte seeds.
///
/// # Safety
/// The processor has AVX-512F.
#[inline(always)]
pub(crate) unsafe fn seed_streams8(seeds: &[Seed; 8], streams: &mut [Stream; 8]) {
    let words = seed_words(seeds);
    let base = words.as_ptr().cast::<X8>();
    // SAFETY: the array is 25 consecutive groups of 64 bytes; stores end at
    // 4 * 168 + 128 + 64 <= STREAM_LEN; the caller runs under AVX-512F.
    unsafe {
        let mut state = [X8::splat(0); LANES];
        for (i, word) in state.iter_mut().enumerate() {
            *word = base.add(i).read_unaligned();
        }
        for block in 0..SEED_BLOCKS {
            permute(&mut state);
            for group in 0..3 {
                let mut rows = [_mm512_setzero_si512(); 8];
                for (row, word) in rows
                    .iter_mut()
                    .zip(&state[8 * group..21.min(8 * group + 8)])
                {
                    *row = word.0;
                }
                let rows = transpose(rows);
                for (stream, row) in streams.iter_mut().zip(&rows) {
                    let to = stream.0.as_mut_ptr().add(168 * block + 64 * group);
                    _mm512_storeu_si512(to.cast(), *row);
                }
            }
        }
    }
}
