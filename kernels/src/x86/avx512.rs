//! Eight 64-bit words in a register of AVX-512.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

/// The same word in every lane.
///
/// # Safety
/// The caller runs under AVX-512F.
#[inline(always)]
pub(crate) unsafe fn word(value: u64) -> __m512i {
    // SAFETY: the caller runs under AVX-512F.
    unsafe { _mm512_set1_epi64(value.cast_signed()) }
}

/// Turns eight rows of eight words into eight columns.
///
/// # Safety
/// The caller runs under AVX-512F.
#[inline(always)]
pub(crate) unsafe fn transpose(r: [__m512i; 8]) -> [__m512i; 8] {
    // SAFETY: the caller runs under AVX-512F.
    unsafe {
        let a0 = _mm512_unpacklo_epi64(r[0], r[1]);
        let a1 = _mm512_unpackhi_epi64(r[0], r[1]);
        let a2 = _mm512_unpacklo_epi64(r[2], r[3]);
        let a3 = _mm512_unpackhi_epi64(r[2], r[3]);
        let a4 = _mm512_unpacklo_epi64(r[4], r[5]);
        let a5 = _mm512_unpackhi_epi64(r[4], r[5]);
        let a6 = _mm512_unpacklo_epi64(r[6], r[7]);
        let a7 = _mm512_unpackhi_epi64(r[6], r[7]);
        // Blocks of two words: even and odd blocks of two pairs of rows.
        let b0 = _mm512_shuffle_i64x2::<0x88>(a0, a2);
        let b1 = _mm512_shuffle_i64x2::<0x88>(a1, a3);
        let b2 = _mm512_shuffle_i64x2::<0xdd>(a0, a2);
        let b3 = _mm512_shuffle_i64x2::<0xdd>(a1, a3);
        let b4 = _mm512_shuffle_i64x2::<0x88>(a4, a6);
        let b5 = _mm512_shuffle_i64x2::<0x88>(a5, a7);
        let b6 = _mm512_shuffle_i64x2::<0xdd>(a4, a6);
        let b7 = _mm512_shuffle_i64x2::<0xdd>(a5, a7);
        [
            _mm512_shuffle_i64x2::<0x88>(b0, b4),
            _mm512_shuffle_i64x2::<0x88>(b1, b5),
            _mm512_shuffle_i64x2::<0x88>(b2, b6),
            _mm512_shuffle_i64x2::<0x88>(b3, b7),
            _mm512_shuffle_i64x2::<0xdd>(b0, b4),
            _mm512_shuffle_i64x2::<0xdd>(b1, b5),
            _mm512_shuffle_i64x2::<0xdd>(b2, b6),
            _mm512_shuffle_i64x2::<0xdd>(b3, b7),
        ]
    }
}
