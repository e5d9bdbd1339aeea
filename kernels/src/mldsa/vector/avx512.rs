//! Sixteen words in a 512-bit register: AVX-512 F, BW, DQ, VL and VBMI.

use core::arch::x86_64::*;

use super::{Q, Words};

/// Sixteen unsigned words.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct W16(__m512i);

/// Byte positions for [`Words::unpack`]: field `i` of `bits` bits starts in byte `i * bits / 8`.
const fn field_bytes(bits: usize) -> [u8; 64] {
    let mut out = [0; 64];
    let mut i = 0;
    while i < 16 {
        let mut b = 0;
        while b < 4 {
            let at = i * bits / 8 + b;
            // A byte past the fields is never used: its bits are masked away.
            out[4 * i + b] = if at < 64 { at as u8 } else { 63 };
            b += 1;
        }
        i += 1;
    }
    out
}

/// Bit offsets of the fields inside their first byte.
const fn field_shifts(bits: usize) -> [u32; 16] {
    let mut out = [0; 16];
    let mut i = 0;
    while i < 16 {
        out[i] = (i * bits % 8) as u32;
        i += 1;
    }
    out
}

/// Byte positions of sixteen 24-bit fields.
static TRIPLES: [u8; 64] = field_bytes(24);
static FIELDS_10: ([u8; 64], [u32; 16]) = (field_bytes(10), field_shifts(10));
static FIELDS_18: ([u8; 64], [u32; 16]) = (field_bytes(18), field_shifts(18));
static FIELDS_20: ([u8; 64], [u32; 16]) = (field_bytes(20), field_shifts(20));

// SAFETY: the intrinsics below need AVX-512 F, BW, DQ, VL and VBMI, as the trait's contract says.
unsafe impl Words<16> for W16 {
    #[inline(always)]
    unsafe fn load(from: *const u32) -> Self {
        // SAFETY: the caller gives 16 readable words.
        Self(unsafe { _mm512_loadu_si512(from.cast()) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut u32) {
        // SAFETY: the caller gives 16 writable words.
        unsafe { _mm512_storeu_si512(to.cast(), self.0) }
    }
    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_set1_epi32(word.cast_signed()) })
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_add_epi32(self.0, b.0) })
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_sub_epi32(self.0, b.0) })
    }
    #[inline(always)]
    unsafe fn and(self, b: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_and_si512(self.0, b.0) })
    }
    #[inline(always)]
    unsafe fn min(self, b: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_min_epu32(self.0, b.0) })
    }
    #[inline(always)]
    unsafe fn mul_low(self, b: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_mullo_epi32(self.0, b.0) })
    }
    #[inline(always)]
    unsafe fn mul_high(self, even: Self, odd: Self) -> Self {
        // SAFETY: see the impl. Even products give their high halves after a move, odd ones in place.
        unsafe {
            let even = Self(_mm512_mul_epu32(self.0, even.0)).odd().0;
            let odd = _mm512_mul_epu32(self.odd().0, odd.0);
            Self(_mm512_mask_blend_epi32(0xaaaa, even, odd))
        }
    }
    #[inline(always)]
    unsafe fn odd(self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_castps_si512(_mm512_movehdup_ps(_mm512_castsi512_ps(self.0))) })
    }
    #[inline(always)]
    unsafe fn shr<const BITS: u32>(self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_srli_epi32::<BITS>(self.0) })
    }
    #[inline(always)]
    unsafe fn shl<const BITS: u32>(self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm512_slli_epi32::<BITS>(self.0) })
    }
    #[inline(always)]
    unsafe fn if_greater(self, bound: Self, then: Self, otherwise: Self) -> Self {
        // SAFETY: see the impl.
        unsafe {
            let mask = _mm512_cmpgt_epu32_mask(self.0, bound.0);
            Self(_mm512_mask_blend_epi32(mask, otherwise.0, then.0))
        }
    }
    #[inline(always)]
    unsafe fn any_greater(self, bound: Self) -> bool {
        // SAFETY: see the impl.
        unsafe { _mm512_cmpgt_epu32_mask(self.0, bound.0) != 0 }
    }
    #[inline(always)]
    unsafe fn transpose(rows: &mut [Self; 16]) {
        // SAFETY: see the impl. Pairs of words, then of double words, then of 128-bit quarters, twice.
        unsafe {
            let mut r = [_mm512_setzero_si512(); 16];
            for (to, row) in r.iter_mut().zip(rows.iter()) {
                *to = row.0;
            }
            let mut t = r;
            for i in 0..8 {
                t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
                t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
            }
            // u[4 g + c], quarter w: words 4 w + c of rows 4 g .. 4 g + 4.
            let mut u = t;
            for g in 0..4 {
                u[4 * g] = _mm512_unpacklo_epi64(t[4 * g], t[4 * g + 2]);
                u[4 * g + 1] = _mm512_unpackhi_epi64(t[4 * g], t[4 * g + 2]);
                u[4 * g + 2] = _mm512_unpacklo_epi64(t[4 * g + 1], t[4 * g + 3]);
                u[4 * g + 3] = _mm512_unpackhi_epi64(t[4 * g + 1], t[4 * g + 3]);
            }
            for c in 0..4 {
                let low02 = _mm512_shuffle_i32x4::<0x88>(u[c], u[4 + c]);
                let low13 = _mm512_shuffle_i32x4::<0xdd>(u[c], u[4 + c]);
                let high02 = _mm512_shuffle_i32x4::<0x88>(u[8 + c], u[12 + c]);
                let high13 = _mm512_shuffle_i32x4::<0xdd>(u[8 + c], u[12 + c]);
                rows[c] = Self(_mm512_shuffle_i32x4::<0x88>(low02, high02));
                rows[8 + c] = Self(_mm512_shuffle_i32x4::<0xdd>(low02, high02));
                rows[4 + c] = Self(_mm512_shuffle_i32x4::<0x88>(low13, high13));
                rows[12 + c] = Self(_mm512_shuffle_i32x4::<0xdd>(low13, high13));
            }
        }
    }
    #[inline(always)]
    unsafe fn multiply_add(sums: (Self, Self), a: Self, b: Self) -> (Self, Self) {
        // SAFETY: see the impl.
        unsafe {
            let even = _mm512_mul_epu32(a.0, b.0);
            let odd = _mm512_mul_epu32(a.odd().0, b.odd().0);
            (
                Self(_mm512_add_epi64(sums.0.0, even)),
                Self(_mm512_add_epi64(sums.1.0, odd)),
            )
        }
    }
    #[inline(always)]
    unsafe fn reduce(sums: (Self, Self)) -> Self {
        // SAFETY: see the impl.
        unsafe {
            let (even, odd) = (Self(montgomery(sums.0.0)), montgomery(sums.1.0));
            Self(_mm512_mask_blend_epi32(0xaaaa, even.odd().0, odd))
        }
    }
    #[inline(always)]
    unsafe fn unpack<const BITS: u32>(from: *const u8) -> Self {
        // SAFETY: the caller gives 64 readable bytes; see the impl.
        unsafe {
            let (bytes, shifts) = match BITS {
                10 => &FIELDS_10,
                18 => &FIELDS_18,
                _ => &FIELDS_20,
            };
            let spread = _mm512_permutexvar_epi8(
                _mm512_loadu_si512(bytes.as_ptr().cast()),
                _mm512_loadu_si512(from.cast()),
            );
            let shifted = _mm512_srlv_epi32(spread, _mm512_loadu_si512(shifts.as_ptr().cast()));
            Self(shifted).and(Self::splat((1 << BITS) - 1))
        }
    }
    #[inline(always)]
    unsafe fn pack<const BITS: u32>(self, to: *mut u8) {
        // SAFETY: the caller gives 32 writable bytes; see the impl.
        unsafe {
            let bytes = _mm512_cvtepi32_epi8(self.0);
            if BITS == 4 {
                let pairs = _mm_maddubs_epi16(bytes, _mm_set1_epi16(0x1001));
                _mm_storel_epi64(to.cast(), _mm_packus_epi16(pairs, pairs));
            } else {
                let pairs = _mm_maddubs_epi16(bytes, _mm_set1_epi16(0x4001));
                let quads = _mm_madd_epi16(pairs, _mm_set1_epi32(0x1000_0001));
                let order = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
                _mm_storeu_si128(to.cast(), _mm_shuffle_epi8(quads, order));
            }
        }
    }
    #[inline(always)]
    unsafe fn sample(from: *const u8, to: *mut u32) -> usize {
        // SAFETY: the caller gives 64 readable bytes and 16 writable words; see the impl.
        unsafe {
            let spread = _mm512_permutexvar_epi8(
                _mm512_loadu_si512(TRIPLES.as_ptr().cast()),
                _mm512_loadu_si512(from.cast()),
            );
            let fields = _mm512_and_si512(spread, _mm512_set1_epi32(0x7f_ffff));
            let good = _mm512_cmplt_epu32_mask(fields, _mm512_set1_epi32(Q.cast_signed()));
            // Compressing in the register and storing it whole: a compressing store is microcoded on some processors.
            _mm512_storeu_si512(to.cast(), _mm512_maskz_compress_epi32(good, fields));
            good.count_ones() as usize
        }
    }
}

/// Adds the multiple of q that clears the low half of each 64-bit sum.
#[inline(always)]
unsafe fn montgomery(sum: __m512i) -> __m512i {
    // SAFETY: the caller runs under the file's instruction set.
    unsafe {
        let q = _mm512_set1_epi64(i64::from(Q));
        let inverse = _mm512_set1_epi64(i64::from(super::MINUS_Q_INVERSE));
        let m = _mm512_mul_epu32(sum, inverse);
        _mm512_add_epi64(sum, _mm512_mul_epu32(m, q))
    }
}
