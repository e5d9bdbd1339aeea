//! Four 64-bit words in a register of AVX2.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

/// The same word in every lane.
///
/// # Safety
/// The caller runs under AVX2.
#[inline(always)]
pub(crate) unsafe fn word(value: u64) -> __m256i {
    // SAFETY: the caller runs under AVX2.
    unsafe { _mm256_set1_epi64x(value.cast_signed()) }
}

/// sum + a b, of the low halves of a and b.
///
/// # Safety
/// The caller runs under AVX2.
#[inline(always)]
pub(crate) unsafe fn mul_add(sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
    // SAFETY: the caller runs under AVX2.
    unsafe { _mm256_add_epi64(sum, _mm256_mul_epu32(a, b)) }
}

/// Turns four rows of four words into four columns.
///
/// # Safety
/// The caller runs under AVX2.
#[inline(always)]
pub(crate) unsafe fn transpose(r: [__m256i; 4]) -> [__m256i; 4] {
    // SAFETY: the caller runs under AVX2.
    unsafe {
        let a0 = _mm256_unpacklo_epi64(r[0], r[1]);
        let a1 = _mm256_unpackhi_epi64(r[0], r[1]);
        let a2 = _mm256_unpacklo_epi64(r[2], r[3]);
        let a3 = _mm256_unpackhi_epi64(r[2], r[3]);
        [
            _mm256_permute2x128_si256::<0x20>(a0, a2),
            _mm256_permute2x128_si256::<0x20>(a1, a3),
            _mm256_permute2x128_si256::<0x31>(a0, a2),
            _mm256_permute2x128_si256::<0x31>(a1, a3),
        ]
    }
}

/// All ones in the lanes of a mask.
///
/// # Safety
/// The caller runs under AVX2.
#[inline(always)]
pub(crate) unsafe fn spread(mask: u8) -> __m256i {
    // SAFETY: the caller runs under AVX2.
    unsafe {
        let bits = _mm256_setr_epi64x(1, 2, 4, 8);
        _mm256_cmpeq_epi64(_mm256_and_si256(word(mask.into()), bits), bits)
    }
}

/// The lanes whose highest bit is set.
///
/// # Safety
/// The caller runs under AVX2.
#[inline(always)]
pub(crate) unsafe fn collect(words: __m256i) -> u8 {
    // SAFETY: the caller runs under AVX2. Four bits come back.
    unsafe { _mm256_movemask_pd(_mm256_castsi256_pd(words)) as u8 }
}
