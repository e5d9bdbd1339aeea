//! Eight words: AVX2.
#![allow(unsafe_code)]

use core::arch::{asm, x86_64::*};

use super::{
    Instance, WIDTH_31,
    packed::{self, Vector},
};

/// 8 words.
#[derive(Clone, Copy)]
struct X8(__m256i);

/// Products of the even words as signed numbers. The intrinsic is an ordinary product to the compiler, which turns it into slower ones
/// where half of the answer is read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn vpmuldq(a: __m256i, b: __m256i) -> __m256i {
    let out;
    // SAFETY: the instruction reads and writes its operands only.
    unsafe {
        asm!(
            "vpmuldq {}, {}, {}",
            out(ymm_reg) out,
            in(ymm_reg) a,
            in(ymm_reg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    out
}

/// Products of the even words, as [`vpmuldq`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn vpmuludq(a: __m256i, b: __m256i) -> __m256i {
    let out;
    // SAFETY: the instruction reads and writes its operands only.
    unsafe {
        asm!(
            "vpmuludq {}, {}, {}",
            out(ymm_reg) out,
            in(ymm_reg) a,
            in(ymm_reg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    out
}

// SAFETY: the intrinsics need AVX2, as the trait's contract says.
unsafe impl Vector for X8 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm256_set1_epi32(word.cast_signed())) }
    }
    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm256_add_epi32(self.0, b.0)) }
    }
    #[inline(always)]
    unsafe fn minus(self, b: Self) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm256_sub_epi32(self.0, b.0)) }
    }
    #[inline(always)]
    unsafe fn least(self, b: Self) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm256_min_epu32(self.0, b.0)) }
    }
    #[inline(always)]
    unsafe fn and(self, b: Self) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm256_and_si256(self.0, b.0)) }
    }
    #[inline(always)]
    unsafe fn or(self, b: Self) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm256_or_si256(self.0, b.0)) }
    }
    #[inline(always)]
    unsafe fn left(self, bits: i32) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm256_sll_epi32(self.0, _mm_cvtsi32_si128(bits))) }
    }
    #[inline(always)]
    unsafe fn right(self, bits: i32) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm256_srl_epi32(self.0, _mm_cvtsi32_si128(bits))) }
    }
    #[inline(always)]
    unsafe fn odd(self) -> Self {
        // SAFETY: see the trait.
        unsafe { Self(_mm256_srli_epi64::<32>(self.0)) }
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
        unsafe { Self(_mm256_sub_epi64(self.0, b.0)) }
    }
    #[inline(always)]
    unsafe fn high(self, odd: Self) -> Self {
        // SAFETY: see the trait.
        unsafe {
            Self(_mm256_blend_epi32::<0b1010_1010>(
                _mm256_srli_epi64::<32>(self.0),
                odd.0,
            ))
        }
    }
    #[inline(always)]
    unsafe fn low(self, odd: Self) -> Self {
        // SAFETY: see the trait.
        unsafe {
            Self(_mm256_blend_epi32::<0b1010_1010>(
                self.0,
                _mm256_slli_epi64::<32>(odd.0),
            ))
        }
    }
    #[inline(always)]
    unsafe fn unpack(self, b: Self, high: bool, wide: bool) -> Self {
        // SAFETY: see the trait.
        unsafe {
            Self(match (high, wide) {
                (false, false) => _mm256_unpacklo_epi32(self.0, b.0),
                (true, false) => _mm256_unpackhi_epi32(self.0, b.0),
                (false, true) => _mm256_unpacklo_epi64(self.0, b.0),
                (true, true) => _mm256_unpackhi_epi64(self.0, b.0),
            })
        }
    }
    #[inline(always)]
    unsafe fn load_quads(from: *const u32) -> Self {
        // SAFETY: see the trait; the caller gives eight states.
        unsafe {
            let low = _mm_loadu_si128(from.cast());
            let high = _mm_loadu_si128(from.add(4 * WIDTH_31).cast());
            Self(_mm256_inserti128_si256::<1>(
                _mm256_castsi128_si256(low),
                high,
            ))
        }
    }
    #[inline(always)]
    unsafe fn store_quads(self, to: *mut u32) {
        // SAFETY: see the trait; the caller gives room for eight states.
        unsafe {
            _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(self.0));
            _mm_storeu_si128(
                to.add(4 * WIDTH_31).cast(),
                _mm256_extracti128_si256::<1>(self.0),
            );
        }
    }
}

/// 8 states at a time; gives back the words of the last ones.
pub(super) fn permute_many(instance: Instance, states: &mut [u32]) -> &mut [u32] {
    #[target_feature(enable = "avx2")]
    unsafe fn run(instance: Instance, states: &mut [u32]) -> &mut [u32] {
        // SAFETY: this function has the set.
        unsafe { packed::permute_many::<X8>(instance, states) }
    }
    // SAFETY: only called at this level, which was found on the processor.
    unsafe { run(instance, states) }
}
