//! Eight words in a 256-bit register: AVX2.

use core::arch::x86_64::*;

use super::{Q, Words};

/// Eight unsigned words.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct W8(__m256i);

/// Byte positions inside each 128-bit half for four fields of `bits` bits that start in byte 0 of
/// the half, each spread to 32 bits.
const fn field_bytes(bits: usize) -> [u8; 16] {
    let mut out = [0x80; 16];
    let mut i = 0;
    while i < 4 {
        let mut b = 0;
        while b < 4 {
            let at = i * bits / 8 + b;
            if at < 16 {
                out[4 * i + b] = at as u8;
            }
            b += 1;
        }
        i += 1;
    }
    out
}

/// The same, where the first field starts two or four bits into byte 0.
const fn shifted_field_bytes(bits: usize, offset: usize) -> [u8; 16] {
    let mut out = [0x80; 16];
    let mut i = 0;
    while i < 4 {
        let mut b = 0;
        while b < 4 {
            let at = (offset + i * bits) / 8 + b;
            if at < 16 {
                out[4 * i + b] = at as u8;
            }
            b += 1;
        }
        i += 1;
    }
    out
}

const fn field_shifts(bits: usize) -> [u32; 8] {
    let mut out = [0; 8];
    let mut i = 0;
    while i < 8 {
        out[i] = (i * bits % 8) as u32;
        i += 1;
    }
    out
}

/// For fields of some width: byte positions of the lower and the upper four fields, the byte where the
/// upper four begin, and the shifts.
struct Fields {
    low: [u8; 16],
    high: [u8; 16],
    high_at: usize,
    shifts: [u32; 8],
}

const fn fields(bits: usize) -> Fields {
    Fields {
        low: field_bytes(bits),
        high: shifted_field_bytes(bits, 4 * bits % 8),
        high_at: 4 * bits / 8,
        shifts: field_shifts(bits),
    }
}

static FIELDS_10: Fields = fields(10);
static FIELDS_18: Fields = fields(18);
static FIELDS_20: Fields = fields(20);
static FIELDS_24: Fields = fields(24);

/// For each mask of good words, the order that brings them to the front.
static FRONT: [[u32; 8]; 256] = {
    let mut out = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut at) = (0, 0);
        while lane < 8 {
            if mask >> lane & 1 == 1 {
                out[mask][at] = lane as u32;
                at += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    out
};

impl W8 {
    /// Spreads eight fields to words, still shifted.
    #[inline(always)]
    unsafe fn spread(from: *const u8, fields: &Fields) -> __m256i {
        // SAFETY: the caller gives 64 readable bytes; high_at + 16 <= 28. Runs under AVX2.
        unsafe {
            let low = _mm_shuffle_epi8(
                _mm_loadu_si128(from.cast()),
                _mm_loadu_si128(fields.low.as_ptr().cast()),
            );
            let high = _mm_shuffle_epi8(
                _mm_loadu_si128(from.add(fields.high_at).cast()),
                _mm_loadu_si128(fields.high.as_ptr().cast()),
            );
            _mm256_set_m128i(high, low)
        }
    }
}

// SAFETY: the intrinsics below need AVX2, as the trait's contract says.
unsafe impl Words<8> for W8 {
    #[inline(always)]
    unsafe fn load(from: *const u32) -> Self {
        // SAFETY: the caller gives 8 readable words.
        Self(unsafe { _mm256_loadu_si256(from.cast()) })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut u32) {
        // SAFETY: the caller gives 8 writable words.
        unsafe { _mm256_storeu_si256(to.cast(), self.0) }
    }
    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm256_set1_epi32(word.cast_signed()) })
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm256_add_epi32(self.0, b.0) })
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm256_sub_epi32(self.0, b.0) })
    }
    #[inline(always)]
    unsafe fn and(self, b: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm256_and_si256(self.0, b.0) })
    }
    #[inline(always)]
    unsafe fn min(self, b: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm256_min_epu32(self.0, b.0) })
    }
    #[inline(always)]
    unsafe fn mul_low(self, b: Self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm256_mullo_epi32(self.0, b.0) })
    }
    #[inline(always)]
    unsafe fn mul_high(self, even: Self, odd: Self) -> Self {
        // SAFETY: see the impl. Even products give their high halves after a move, odd ones in place.
        unsafe {
            let even = Self(_mm256_mul_epu32(self.0, even.0)).odd().0;
            let odd = _mm256_mul_epu32(self.odd().0, odd.0);
            Self(_mm256_blend_epi32::<0xaa>(even, odd))
        }
    }
    #[inline(always)]
    unsafe fn odd(self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm256_castps_si256(_mm256_movehdup_ps(_mm256_castsi256_ps(self.0))) })
    }
    #[inline(always)]
    unsafe fn shr<const BITS: u32>(self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm256_srl_epi32(self.0, _mm_cvtsi32_si128(BITS.cast_signed())) })
    }
    #[inline(always)]
    unsafe fn shl<const BITS: u32>(self) -> Self {
        // SAFETY: see the impl.
        Self(unsafe { _mm256_sll_epi32(self.0, _mm_cvtsi32_si128(BITS.cast_signed())) })
    }
    #[inline(always)]
    unsafe fn if_greater(self, bound: Self, then: Self, otherwise: Self) -> Self {
        // SAFETY: see the impl. Words are below 2^31, so the signed comparison serves.
        unsafe {
            let mask = _mm256_cmpgt_epi32(self.0, bound.0);
            Self(_mm256_blendv_epi8(otherwise.0, then.0, mask))
        }
    }
    #[inline(always)]
    unsafe fn any_greater(self, bound: Self) -> bool {
        // SAFETY: see the impl.
        unsafe { _mm256_movemask_epi8(_mm256_cmpgt_epi32(self.0, bound.0)) != 0 }
    }
    #[inline(always)]
    unsafe fn transpose(rows: &mut [Self; 8]) {
        // SAFETY: see the impl. Pairs of words, then of double words, then halves.
        unsafe {
            let mut r = [_mm256_setzero_si256(); 8];
            for (to, row) in r.iter_mut().zip(rows.iter()) {
                *to = row.0;
            }
            let mut t = r;
            for i in 0..4 {
                t[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
                t[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
            }
            let mut u = t;
            for g in 0..2 {
                u[4 * g] = _mm256_unpacklo_epi64(t[4 * g], t[4 * g + 2]);
                u[4 * g + 1] = _mm256_unpackhi_epi64(t[4 * g], t[4 * g + 2]);
                u[4 * g + 2] = _mm256_unpacklo_epi64(t[4 * g + 1], t[4 * g + 3]);
                u[4 * g + 3] = _mm256_unpackhi_epi64(t[4 * g + 1], t[4 * g + 3]);
            }
            for c in 0..4 {
                rows[c] = Self(_mm256_permute2x128_si256::<0x20>(u[c], u[4 + c]));
                rows[4 + c] = Self(_mm256_permute2x128_si256::<0x31>(u[c], u[4 + c]));
            }
        }
    }
    #[inline(always)]
    unsafe fn multiply_add(sums: (Self, Self), a: Self, b: Self) -> (Self, Self) {
        // SAFETY: see the impl.
        unsafe {
            let even = _mm256_mul_epu32(a.0, b.0);
            let odd = _mm256_mul_epu32(a.odd().0, b.odd().0);
            (
                Self(_mm256_add_epi64(sums.0.0, even)),
                Self(_mm256_add_epi64(sums.1.0, odd)),
            )
        }
    }
    #[inline(always)]
    unsafe fn reduce(sums: (Self, Self)) -> Self {
        // SAFETY: see the impl.
        unsafe {
            let (even, odd) = (Self(montgomery(sums.0.0)), montgomery(sums.1.0));
            Self(_mm256_blend_epi32::<0xaa>(even.odd().0, odd))
        }
    }
    #[inline(always)]
    unsafe fn unpack<const BITS: u32>(from: *const u8) -> Self {
        // SAFETY: the caller gives 64 readable bytes; see the impl.
        unsafe {
            let fields = match BITS {
                10 => &FIELDS_10,
                18 => &FIELDS_18,
                _ => &FIELDS_20,
            };
            let spread = Self::spread(from, fields);
            let shifts = _mm256_loadu_si256(fields.shifts.as_ptr().cast());
            Self(_mm256_srlv_epi32(spread, shifts)).and(Self::splat((1 << BITS) - 1))
        }
    }
    #[inline(always)]
    unsafe fn pack<const BITS: u32>(self, to: *mut u8) {
        // SAFETY: the caller gives 32 writable bytes; see the impl.
        unsafe {
            let halves = _mm_packus_epi32(
                _mm256_castsi256_si128(self.0),
                _mm256_extracti128_si256::<1>(self.0),
            );
            let bytes = _mm_packus_epi16(halves, halves);
            if BITS == 4 {
                let pairs = _mm_maddubs_epi16(bytes, _mm_set1_epi16(0x1001));
                let packed = _mm_cvtsi128_si32(_mm_packus_epi16(pairs, pairs));
                to.cast::<i32>().write_unaligned(packed);
            } else {
                let pairs = _mm_maddubs_epi16(bytes, _mm_set1_epi16(0x4001));
                let quads = _mm_madd_epi16(pairs, _mm_set1_epi32(0x1000_0001));
                let order = _mm_setr_epi8(0, 1, 2, 4, 5, 6, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
                _mm_storel_epi64(to.cast(), _mm_shuffle_epi8(quads, order));
            }
        }
    }
    #[inline(always)]
    unsafe fn sample(from: *const u8, to: *mut u32) -> usize {
        // SAFETY: the caller gives 64 readable bytes and 8 writable words; see the impl.
        unsafe {
            let spread = Self::spread(from, &FIELDS_24);
            let fields = _mm256_and_si256(spread, _mm256_set1_epi32(0x7f_ffff));
            let good = _mm256_cmpgt_epi32(_mm256_set1_epi32(Q.cast_signed()), fields);
            let mask = _mm256_movemask_ps(_mm256_castsi256_ps(good)) as usize;
            let order = _mm256_loadu_si256(FRONT[mask & 0xff].as_ptr().cast());
            _mm256_storeu_si256(to.cast(), _mm256_permutevar8x32_epi32(fields, order));
            mask.count_ones() as usize
        }
    }
}

/// Adds the multiple of q that clears the low half of each 64-bit sum.
#[inline(always)]
unsafe fn montgomery(sum: __m256i) -> __m256i {
    // SAFETY: the caller runs under the file's instruction set.
    unsafe {
        let q = _mm256_set1_epi64x(i64::from(Q));
        let inverse = _mm256_set1_epi64x(i64::from(super::MINUS_Q_INVERSE));
        let m = _mm256_mul_epu32(sum, inverse);
        _mm256_add_epi64(sum, _mm256_mul_epu32(m, q))
    }
}
