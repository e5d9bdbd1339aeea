//! Vectors of AVX2 (eight words of 32 bits, four of 64) and AVX-512 (sixteen, eight).
#![allow(unsafe_code)]

use core::arch::{asm, x86_64::*};

use super::{
    Instance, WIDTH_31,
    goldilocks::{self, Wide},
    packed::{self, Vector},
};

/// A type of vectors, of 32-bit and of 64-bit words: what both sets have under names of their own, and as `$more` and `$wide` what they
/// do in ways of their own.
macro_rules! vector {
    (
        $name:ident($raw:ident), $lanes:literal words, $wide_lanes:literal wide, $features:literal, $register:ident,
        $set1:ident, $set64:ident, $product:ident, $add:ident, $sub:ident, $min:ident, $and:ident, $andnot:ident, $or:ident, $sll:ident,
        $srl:ident, $srli64:ident, $add64:ident, $sub64:ident, $shuffle:ident, $maddubs:ident, [$low32:ident, $high32:ident, $low64:ident, $high64:ident],
        { $($more:item)* }, { $($wide:item)* }
    ) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name($raw);

        impl $name {
            /// Products of the even words as signed numbers. The intrinsic is an ordinary product to the compiler, which turns it into
            /// slower ones where half of the answer is read.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn vpmuldq(self, b: Self) -> Self {
                let out;
                // SAFETY: the instruction reads and writes its operands only.
                unsafe {
                    asm!(
                        "vpmuldq {}, {}, {}",
                        out($register) out,
                        in($register) self.0,
                        in($register) b.0,
                        options(pure, nomem, nostack, preserves_flags)
                    );
                }
                Self(out)
            }
        }

        // SAFETY: the intrinsics need the set that the type stands for, as the trait's contract says.
        unsafe impl Vector for $name {
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(word: u32) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($set1(word.cast_signed())) }
            }
            #[inline(always)]
            unsafe fn plus(self, b: Self) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($add(self.0, b.0)) }
            }
            #[inline(always)]
            unsafe fn minus(self, b: Self) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($sub(self.0, b.0)) }
            }
            #[inline(always)]
            unsafe fn least(self, b: Self) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($min(self.0, b.0)) }
            }
            #[inline(always)]
            unsafe fn and(self, b: Self) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($and(self.0, b.0)) }
            }
            #[inline(always)]
            unsafe fn without(self, b: Self) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($andnot(b.0, self.0)) }
            }
            #[inline(always)]
            unsafe fn or(self, b: Self) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($or(self.0, b.0)) }
            }
            #[inline(always)]
            unsafe fn left(self, bits: i32) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($sll(self.0, _mm_cvtsi32_si128(bits))) }
            }
            #[inline(always)]
            unsafe fn right(self, bits: i32) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($srl(self.0, _mm_cvtsi32_si128(bits))) }
            }
            #[inline(always)]
            unsafe fn third_bytes(self, factor: u32) -> Self {
                // SAFETY: see the trait. A product by a byte of 127 at most, and one by zero, are below 2^15.
                unsafe { Self($maddubs(self.0, $set1((factor << 16).cast_signed()))) }
            }
            #[inline(always)]
            unsafe fn odd(self) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($shuffle::<0b11_11_01_01>(self.0)) }
            }
            #[inline(always)]
            unsafe fn right_31(self) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($srli64::<31>(self.0)) }
            }
            #[inline(always)]
            unsafe fn plus_wide(self, b: Self) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($add64(self.0, b.0)) }
            }
            #[inline(always)]
            unsafe fn signed_product(self, b: Self) -> Self {
                // SAFETY: see the trait.
                unsafe { self.vpmuldq(b) }
            }
            #[inline(always)]
            unsafe fn minus_wide(self, b: Self) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($sub64(self.0, b.0)) }
            }
            #[inline(always)]
            unsafe fn unpack(self, b: Self, high: bool, wide: bool) -> Self {
                // SAFETY: see the trait.
                unsafe {
                    Self(match (high, wide) {
                        (false, false) => $low32(self.0, b.0),
                        (true, false) => $high32(self.0, b.0),
                        (false, true) => $low64(self.0, b.0),
                        (true, true) => $high64(self.0, b.0),
                    })
                }
            }
            $($more)*
        }

        // SAFETY: the intrinsics need the set that the type stands for, as the trait's contract says.
        unsafe impl Wide for $name {
            const LANES: usize = $wide_lanes;

            #[inline(always)]
            unsafe fn splat(word: u64) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($set64(word.cast_signed())) }
            }
            #[inline(always)]
            unsafe fn plus(self, b: Self) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($add64(self.0, b.0)) }
            }
            #[inline(always)]
            unsafe fn minus(self, b: Self) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($sub64(self.0, b.0)) }
            }
            #[inline(always)]
            unsafe fn and(self, b: Self) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($and(self.0, b.0)) }
            }
            #[inline(always)]
            unsafe fn product(self, b: Self) -> Self {
                // SAFETY: see the trait.
                unsafe { Self($product(self.0, b.0)) }
            }
            #[inline(always)]
            unsafe fn top(self) -> Self {
                // SAFETY: see the trait. Shuffles leave the shifter to others.
                unsafe { Self($shuffle::<0b11_11_01_01>(self.0)) }
            }
            #[inline(always)]
            unsafe fn below(self, up: Self) -> Self {
                // SAFETY: see the trait.
                unsafe { self.low(up) }
            }
            $($wide)*
        }
    };
}

vector!(
    X256(__m256i), 8 words, 4 wide, "avx2", ymm_reg,
    _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_mul_epu32, _mm256_add_epi32, _mm256_sub_epi32, _mm256_min_epu32, _mm256_and_si256, _mm256_andnot_si256, _mm256_or_si256,
    _mm256_sll_epi32, _mm256_srl_epi32, _mm256_srli_epi64, _mm256_add_epi64, _mm256_sub_epi64, _mm256_shuffle_epi32, _mm256_maddubs_epi16,
    [_mm256_unpacklo_epi32, _mm256_unpackhi_epi32, _mm256_unpacklo_epi64, _mm256_unpackhi_epi64],
    {
        const INDEX: i32 = 3;
        const ROOMY: bool = false;
        #[inline(always)]
        unsafe fn entries(self, table: &[u32; 16]) -> Self {
            // SAFETY: see the trait; the table has eight words.
            unsafe {
                let table = _mm256_loadu_si256(table.as_ptr().cast());
                Self(_mm256_permutevar8x32_epi32(table, self.0))
            }
        }
        #[inline(always)]
        unsafe fn mixed(self, odd: Self) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm256_blend_epi32::<0b1010_1010>(self.0, odd.0)) }
        }
        #[inline(always)]
        unsafe fn high(self, odd: Self) -> Self {
            // SAFETY: see the trait.
            unsafe {
                let even = _mm256_srli_epi64::<32>(self.0);
                Self(_mm256_blend_epi32::<0b1010_1010>(even, odd.0))
            }
        }
        #[inline(always)]
        unsafe fn low(self, odd: Self) -> Self {
            // SAFETY: see the trait.
            unsafe {
                let odd = _mm256_slli_epi64::<32>(odd.0);
                Self(_mm256_blend_epi32::<0b1010_1010>(self.0, odd))
            }
        }
        #[inline(always)]
        unsafe fn load_quads(from: *const u32) -> Self {
            // SAFETY: see the trait; the caller gives eight states.
            unsafe {
                let low = _mm_loadu_si128(from.cast());
                let high = _mm_loadu_si128(from.add(4 * WIDTH_31).cast());
                let low = _mm256_castsi128_si256(low);
                Self(_mm256_inserti128_si256::<1>(low, high))
            }
        }
        #[inline(always)]
        unsafe fn store_quads(self, to: *mut u32) {
            // SAFETY: see the trait; the caller gives room for eight states.
            unsafe {
                _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(self.0));
                let high = _mm256_extracti128_si256::<1>(self.0);
                _mm_storeu_si128(to.add(4 * WIDTH_31).cast(), high);
            }
        }
    },
    {
        #[inline(always)]
        unsafe fn left<const BITS: u32>(self) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm256_sll_epi64(self.0, _mm_cvtsi32_si128(BITS as i32))) }
        }
        #[inline(always)]
        unsafe fn right<const BITS: u32>(self) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm256_srl_epi64(self.0, _mm_cvtsi32_si128(BITS as i32))) }
        }
        #[inline(always)]
        unsafe fn plus_where_less(self, a: Self, b: Self, more: Self) -> Self {
            // SAFETY: see the trait.
            unsafe {
                Self(_mm256_add_epi64(
                    self.0,
                    _mm256_and_si256(Self::less(a, b), more.0),
                ))
            }
        }
        #[inline(always)]
        unsafe fn minus_where_less(self, a: Self, b: Self, less: Self) -> Self {
            // SAFETY: see the trait.
            unsafe {
                Self(_mm256_sub_epi64(
                    self.0,
                    _mm256_and_si256(Self::less(a, b), less.0),
                ))
            }
        }
        #[inline(always)]
        unsafe fn plus_where_odd(self, odd: Self, more: Self) -> Self {
            // SAFETY: see the trait.
            unsafe {
                let lowest = _mm256_and_si256(odd.0, _mm256_set1_epi64x(1));
                let all = _mm256_sub_epi64(_mm256_setzero_si256(), lowest);
                Self(_mm256_add_epi64(self.0, _mm256_and_si256(all, more.0)))
            }
        }
        #[inline(always)]
        unsafe fn load(from: *const u64, stride: usize) -> Self {
            // SAFETY: see the trait; the caller gives four words.
            unsafe {
                let word = |i: usize| (*from.add(i * stride)).cast_signed();
                Self(_mm256_setr_epi64x(word(0), word(1), word(2), word(3)))
            }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut u64, stride: usize) {
            // SAFETY: see the trait; the caller gives room for four words.
            unsafe {
                let mut words = [0u64; 4];
                _mm256_storeu_si256(words.as_mut_ptr().cast(), self.0);
                for (i, word) in words.iter().enumerate() {
                    *to.add(i * stride) = *word;
                }
            }
        }
    }
);

/// The sign of 64-bit words.
const SIGN: i64 = i64::MIN;

impl X256 {
    /// All ones where `a < b` as unsigned words of 64 bits.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn less(a: Self, b: Self) -> __m256i {
        let sign = _mm256_set1_epi64x(SIGN);
        _mm256_cmpgt_epi64(_mm256_xor_si256(b.0, sign), _mm256_xor_si256(a.0, sign))
    }
}

/// The odd places of sixteen.
const ODD: __mmask16 = 0b1010_1010_1010_1010;

vector!(
    X512(__m512i), 16 words, 8 wide, "avx512f", zmm_reg,
    _mm512_set1_epi32, _mm512_set1_epi64, _mm512_mul_epu32, _mm512_add_epi32, _mm512_sub_epi32, _mm512_min_epu32, _mm512_and_si512, _mm512_andnot_si512, _mm512_or_si512,
    _mm512_sll_epi32, _mm512_srl_epi32, _mm512_srli_epi64, _mm512_add_epi64, _mm512_sub_epi64, _mm512_shuffle_epi32, _mm512_maddubs_epi16,
    [_mm512_unpacklo_epi32, _mm512_unpackhi_epi32, _mm512_unpacklo_epi64, _mm512_unpackhi_epi64],
    {
        const INDEX: i32 = 4;
        const ROOMY: bool = true;
        #[inline(always)]
        unsafe fn entries(self, table: &[u32; 16]) -> Self {
            // SAFETY: see the trait; the table has sixteen words.
            unsafe {
                let table = _mm512_loadu_si512(table.as_ptr().cast());
                Self(_mm512_permutexvar_epi32(self.0, table))
            }
        }
        #[inline(always)]
        unsafe fn mixed(self, odd: Self) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm512_mask_blend_epi32(ODD, self.0, odd.0)) }
        }
        #[inline(always)]
        unsafe fn high(self, odd: Self) -> Self {
            // SAFETY: see the trait.
            unsafe {
                // Odd words to even places, where the mask lets them.
                Self(_mm512_mask_shuffle_epi32::<0b11_11_01_01>(odd.0, !ODD, self.0))
            }
        }
        #[inline(always)]
        unsafe fn low(self, odd: Self) -> Self {
            // SAFETY: see the trait.
            unsafe {
                // Even words to odd places.
                Self(_mm512_mask_shuffle_epi32::<0b10_10_00_00>(self.0, ODD, odd.0))
            }
        }
        #[inline(always)]
        unsafe fn load_quads(from: *const u32) -> Self {
            // SAFETY: see the trait; the caller gives sixteen states.
            unsafe {
                let low = X256::load_quads(from);
                let high = X256::load_quads(from.add(8 * WIDTH_31));
                let low = _mm512_castsi256_si512(low.0);
                Self(_mm512_inserti64x4::<1>(low, high.0))
            }
        }
        #[inline(always)]
        unsafe fn store_quads(self, to: *mut u32) {
            // SAFETY: see the trait; the caller gives room for sixteen states.
            unsafe {
                X256(_mm512_castsi512_si256(self.0)).store_quads(to);
                let high = _mm512_extracti64x4_epi64::<1>(self.0);
                X256(high).store_quads(to.add(8 * WIDTH_31));
            }
        }
    },
    {
        #[inline(always)]
        unsafe fn left<const BITS: u32>(self) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm512_slli_epi64::<BITS>(self.0)) }
        }
        #[inline(always)]
        unsafe fn right<const BITS: u32>(self) -> Self {
            // SAFETY: see the trait.
            unsafe { Self(_mm512_srli_epi64::<BITS>(self.0)) }
        }
        #[inline(always)]
        unsafe fn plus_where_less(self, a: Self, b: Self, more: Self) -> Self {
            // SAFETY: see the trait.
            unsafe {
                let mask = _mm512_cmplt_epu64_mask(a.0, b.0);
                Self(_mm512_mask_add_epi64(self.0, mask, self.0, more.0))
            }
        }
        #[inline(always)]
        unsafe fn minus_where_less(self, a: Self, b: Self, less: Self) -> Self {
            // SAFETY: see the trait.
            unsafe {
                let mask = _mm512_cmplt_epu64_mask(a.0, b.0);
                Self(_mm512_mask_sub_epi64(self.0, mask, self.0, less.0))
            }
        }
        #[inline(always)]
        unsafe fn plus_where_odd(self, odd: Self, more: Self) -> Self {
            // SAFETY: see the trait.
            unsafe {
                let mask = _mm512_test_epi64_mask(odd.0, _mm512_set1_epi64(1));
                Self(_mm512_mask_add_epi64(self.0, mask, self.0, more.0))
            }
        }
        #[inline(always)]
        unsafe fn load(from: *const u64, stride: usize) -> Self {
            // SAFETY: see the trait; the caller gives eight words.
            unsafe {
                let low = <X256 as Wide>::load(from, stride);
                let high = <X256 as Wide>::load(from.add(4 * stride), stride);
                Self(_mm512_inserti64x4::<1>(
                    _mm512_castsi256_si512(low.0),
                    high.0,
                ))
            }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut u64, stride: usize) {
            // SAFETY: see the trait; the caller gives room for eight words.
            unsafe {
                Wide::store(X256(_mm512_castsi512_si256(self.0)), to, stride);
                let high = X256(_mm512_extracti64x4_epi64::<1>(self.0));
                Wide::store(high, to.add(4 * stride), stride);
            }
        }
    }
);

/// Functions of one set over whole groups of states, which give back the words of the last ones.
macro_rules! entries {
    ($module:ident, $vector:ident, $features:literal) => {
        pub(super) mod $module {
            use super::*;

            #[target_feature(enable = $features)]
            unsafe fn narrow(instance: Instance, states: &mut [u32]) -> &mut [u32] {
                // SAFETY: this function has the set.
                unsafe { packed::permute_many::<$vector>(instance, states) }
            }

            #[target_feature(enable = $features)]
            unsafe fn wide(instance: Instance, states: &mut [u64]) -> &mut [u64] {
                // SAFETY: this function has the set.
                unsafe { goldilocks::permute_many::<$vector>(instance, states) }
            }

            /// States of the 31-bit fields.
            pub(in crate::poseidon::small) fn permute_many(
                instance: Instance,
                states: &mut [u32],
            ) -> &mut [u32] {
                // SAFETY: only called at this level, which was found on the processor.
                unsafe { narrow(instance, states) }
            }

            /// States of Goldilocks.
            pub(in crate::poseidon::small) fn permute_many_wide(
                instance: Instance,
                states: &mut [u64],
            ) -> &mut [u64] {
                // SAFETY: only called at this level, which was found on the processor.
                unsafe { wide(instance, states) }
            }
        }
    };
}

entries!(avx2, X256, "avx2");
entries!(avx512, X512, "avx512f,avx512bw,avx512dq,avx512vl");
