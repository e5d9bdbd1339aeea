//! Sixteen words: AVX-512.
#![allow(unsafe_code)]

use core::arch::{asm, x86_64::*};

use super::{
    Instance, WIDTH_31,
    packed::{self, Vector},
};

/// 16 words.
#[derive(Clone, Copy)]
struct X16(__m512i);

/// The odd places of sixteen.
const ODD: __mmask16 = 0b1010_1010_1010_1010;

/// Products of the even words as signed numbers. The intrinsic is an ordinary product to the compiler, which turns it into slower ones
/// where half of the answer is read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn vpmuldq(a: __m512i, b: __m512i) -> __m512i {
    let out;
    // SAFETY: the instruction reads and writes its operands only.
    unsafe {
        asm!(
            "vpmuldq {}, {}, {}",
            out(zmm_reg) out,
            in(zmm_reg) a,
            in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    out
}

/// Products of the even words, as [`vpmuldq`].
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn vpmuludq(a: __m512i, b: __m512i) -> __m512i {
    let out;
    // SAFETY: the instruction reads and writes its operands only.
    unsafe {
        asm!(
            "vpmuludq {}, {}, {}",
            out(zmm_reg) out,
            in(zmm_reg) a,
            in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    out
}

// SAFETY: the intrinsics need AVX-512 F, as the trait's contract says.
unsafe impl Vector for X16 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm512_set1_epi32(word.cast_signed())) }
    }
    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm512_add_epi32(self.0, b.0)) }
    }
    #[inline(always)]
    unsafe fn minus(self, b: Self) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm512_sub_epi32(self.0, b.0)) }
    }
    #[inline(always)]
    unsafe fn least(self, b: Self) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm512_min_epu32(self.0, b.0)) }
    }
    #[inline(always)]
    unsafe fn and(self, b: Self) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm512_and_si512(self.0, b.0)) }
    }
    #[inline(always)]
    unsafe fn or(self, b: Self) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm512_or_si512(self.0, b.0)) }
    }
    #[inline(always)]
    unsafe fn left(self, bits: i32) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm512_sll_epi32(self.0, _mm_cvtsi32_si128(bits))) }
    }
    #[inline(always)]
    unsafe fn right(self, bits: i32) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm512_srl_epi32(self.0, _mm_cvtsi32_si128(bits))) }
    }
    #[inline(always)]
    unsafe fn odd(self) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm512_srli_epi64::<32>(self.0)) }
    }
    #[inline(always)]
    unsafe fn signed_product(self, b: Self) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(vpmuldq(self.0, b.0)) }
    }
    #[inline(always)]
    unsafe fn product(self, b: Self) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(vpmuludq(self.0, b.0)) }
    }
    #[inline(always)]
    unsafe fn minus_wide(self, b: Self) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm512_sub_epi64(self.0, b.0)) }
    }
    #[inline(always)]
    unsafe fn high(self, odd: Self) -> Self {
        // SAFETY: see the trait.
        unsafe {
            Self(_mm512_mask_blend_epi32(
                ODD,
                _mm512_srli_epi64::<32>(self.0),
                odd.0,
            ))
        }
    }
    #[inline(always)]
    unsafe fn low(self, odd: Self) -> Self {
        // SAFETY: see the trait.
        unsafe {
            Self(_mm512_mask_blend_epi32(
                ODD,
                self.0,
                _mm512_slli_epi64::<32>(odd.0),
            ))
        }
    }
    #[inline(always)]
    unsafe fn unpack(self, b: Self, high: bool, wide: bool) -> Self {
        // SAFETY: see the trait.
        unsafe {
            Self(match (high, wide) {
                (false, false) => _mm512_unpacklo_epi32(self.0, b.0),
                (true, false) => _mm512_unpackhi_epi32(self.0, b.0),
                (false, true) => _mm512_unpacklo_epi64(self.0, b.0),
                (true, true) => _mm512_unpackhi_epi64(self.0, b.0),
            })
        }
    }
    #[inline(always)]
    unsafe fn load_quads(from: *const u32) -> Self {
        // SAFETY: see the trait; the caller gives sixteen states.
        unsafe {
            let a = _mm_loadu_si128(from.cast());
            let b = _mm_loadu_si128(from.add(4 * WIDTH_31).cast());
            let c = _mm_loadu_si128(from.add(8 * WIDTH_31).cast());
            let d = _mm_loadu_si128(from.add(12 * WIDTH_31).cast());
            let low = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b);
            let high = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(c), d);
            Self(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high))
        }
    }
    #[inline(always)]
    unsafe fn store_quads(self, to: *mut u32) {
        // SAFETY: see the trait; the caller gives room for sixteen states.
        unsafe {
            _mm_storeu_si128(to.cast(), _mm512_castsi512_si128(self.0));
            _mm_storeu_si128(
                to.add(4 * WIDTH_31).cast(),
                _mm512_extracti32x4_epi32::<1>(self.0),
            );
            _mm_storeu_si128(
                to.add(8 * WIDTH_31).cast(),
                _mm512_extracti32x4_epi32::<2>(self.0),
            );
            _mm_storeu_si128(
                to.add(12 * WIDTH_31).cast(),
                _mm512_extracti32x4_epi32::<3>(self.0),
            );
        }
    }
}

/// 16 states at a time; gives back the words of the last ones.
pub(super) fn permute_many(instance: Instance, states: &mut [u32]) -> &mut [u32] {
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    unsafe fn run(instance: Instance, states: &mut [u32]) -> &mut [u32] {
        // SAFETY: this function has the set.
        unsafe { packed::permute_many::<X16>(instance, states) }
    }
    // SAFETY: only called at this level, which was found on the processor.
    unsafe { run(instance, states) }
}
