//! Four elements at once: AVX2, radix 2^29, Montgomery form to R = 2^261.
//!
//! `vpmuludq` multiplies the low 32 bits of 64-bit words. A product of two limbs is below 2^58, so a word holds 64 of them: a column
//! takes at most nine of each of [`TERMS`] products, nine of the reduction and a carry below 2^35, which is less than one more.
//!
//! A product is computed column by column: one sum is live, the factors come from memory, and every column after the ninth ends as a
//! settled limb.
//!
//! A value is nine words, least significant first; *settled* when every word is below 2^29. It stands for an element times 2^261 and
//! is lazy, with room for multiples of p up to 2^261: 169 p for BN254, 32 p for a prime near 2^256. The Montgomery product of a and b is
//! below `a b / 2^261 + 2 p`. Every bound of [`Lanes`] is a part of the room that R = 2^260 leaves (84 p), and this room is twice as
//! wide: here all of those bounds hold doubled.
#![allow(unsafe_code)]
// Plain loops over limbs and words: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;
use std::marker::PhantomData;

use super::{Element, Prime, lanes::Lanes, power_of_two, sum_exceeds};
use crate::x86::{
    avx2::{mul_add, word},
    for_each, span,
};

const BITS: u32 = 29;
const MASK: u64 = (1 << BITS) - 1;
const LIMBS: usize = 9;
/// Most products in one sum between reductions.
const TERMS: usize = 6;

/// Limbs of 29 bits of a 256-bit number.
const fn split(words: &[u64; 4]) -> [u64; LIMBS] {
    let mut out = [0; LIMBS];
    let mut i = 0;
    while i < LIMBS {
        let (word, bit) = (29 * i / 64, 29 * i % 64);
        let mut limb = words[word] >> bit;
        if bit > 35 && word < 3 {
            limb |= words[word + 1] << (64 - bit);
        }
        out[i] = limb & MASK;
        i += 1;
    }
    out
}

/// The constants of a field in this representation.
struct Constants<P>(PhantomData<P>);

impl<P: Prime> Constants<P> {
    /// p.
    const P: [u64; LIMBS] = split(&P::MODULUS);
    /// 2^261 - p, limbs below 2^29.
    const COMPLEMENT: [u64; LIMBS] = {
        let p = Self::P;
        let mut out = [0; LIMBS];
        let mut carry = 1;
        let mut i = 0;
        while i < LIMBS {
            let limb = (MASK - p[i]) + carry;
            out[i] = limb & MASK;
            carry = limb >> BITS;
            i += 1;
        }
        out
    };
    /// 64 p, four of each limb's unit moved to the limb below: no limb is less than that of a sum of four settled values, which
    /// leaves their sum below 48 p.
    const MANY: [u64; LIMBS] = {
        let mut out = Self::P;
        let mut carry = 0;
        let mut i = 0;
        while i < LIMBS {
            let limb = out[i] * 64 + carry;
            let top = i + 1 == LIMBS;
            out[i] = if top { limb } else { limb & MASK } + if top { 0 } else { 4 << BITS }
                - if i > 0 { 4 } else { 0 };
            carry = limb >> BITS;
            i += 1;
        }
        out
    };
    /// N' of the multiple `N' 2^29 - 1` of p: below p.
    const FRIENDLY: [u64; LIMBS] = split(&super::friendly(BITS, &P::MODULUS, P::MINUS_INVERSE));
    /// -1 / p modulo 2^29.
    const MINUS_INVERSE: u64 = P::MINUS_INVERSE & MASK;
    /// 2^256 modulo p: a Montgomery product with it turns 2^261 into 2^256.
    const TO_256: [u64; LIMBS] = split(&P::R);
    /// 2^261 modulo p as 64-bit limbs: what a Montgomery product to 2^256 takes from 2^256 to 2^261.
    const FROM_256: [u64; 4] = power_of_two(261, &P::MODULUS);
    /// Whether what [`Lanes::store`] reduces can be 2 p or more. It is a product of a value below 2^261 with 2^256 modulo p, and so below
    /// `(2^256 modulo p) + N' + p`. Of the fields here none needs the second subtraction.
    const TWICE: bool = sum_exceeds(
        &P::R,
        &super::friendly(BITS, &P::MODULUS, P::MINUS_INVERSE),
        &P::MODULUS,
    );
    /// One: 2^261 modulo p.
    const ONE: [u64; LIMBS] = split(&Self::FROM_256);
    /// floor(2^261 / p): the quotient by p of a settled value is near `top limb * this / 2^29`.
    const RECIPROCAL: u64 = super::reciprocal(261, &P::MODULUS);
}

/// Four elements; `limbs[i]` holds limb i of each.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct X4<P> {
    limbs: [__m256i; LIMBS],
    field: PhantomData<P>,
}

/// Whether every word of every lane is below 2^29 (debug builds).
#[inline(always)]
unsafe fn settled(limbs: &[__m256i; LIMBS]) -> bool {
    let mut high = 0;
    for limb in limbs {
        // SAFETY: the caller runs under AVX2.
        unsafe {
            let over = _mm256_srli_epi64::<29>(*limb);
            high |= i32::from(_mm256_testz_si256(over, over) == 0);
        }
    }
    high == 0
}

impl<P: Prime> X4<P> {
    #[inline(always)]
    fn new(limbs: [__m256i; LIMBS]) -> Self {
        Self {
            limbs,
            field: PhantomData,
        }
    }

    /// Moves carries up: words below 2^64 - 2^35 in, limbs below 2^29 out. The value must be below 2^261.
    #[inline(always)]
    unsafe fn carried(mut limbs: [__m256i; LIMBS]) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mask = word(MASK);
            for i in 0..LIMBS - 1 {
                limbs[i + 1] = _mm256_add_epi64(limbs[i + 1], _mm256_srli_epi64::<29>(limbs[i]));
                limbs[i] = _mm256_and_si256(limbs[i], mask);
            }
            debug_assert!(settled(&limbs), "the value fits 261 bits");
        }
        Self::new(limbs)
    }

    /// Ends a column: adds the products of the multipliers so far, finds the next multiplier or the next limb, and gives the carry.
    ///
    /// The multiplier of each of the first eight columns is its low limb m: with the multiple `N' 2^29 - 1` of p the column loses m,
    /// and `m N'` enters the columns after it. The ninth column takes the multiplier that makes it divisible with p itself.
    #[inline(always)]
    unsafe fn column(
        c: usize,
        mut sum: __m256i,
        m: &mut [__m256i; LIMBS],
        out: &mut [__m256i; LIMBS],
    ) -> __m256i {
        const LAST: usize = LIMBS - 1;
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mask = word(MASK);
            if c > LAST {
                sum = mul_add(sum, m[LAST], word(Constants::<P>::P[c - LAST]));
            }
            let first = c.saturating_sub(LIMBS);
            let known = if c < LAST { c } else { LAST };
            for i in first..known {
                sum = mul_add(sum, m[i], word(Constants::<P>::FRIENDLY[c - 1 - i]));
            }
            if c < LAST {
                m[c] = _mm256_and_si256(sum, mask);
            } else if c == LAST {
                // Only the low 29 bits count, in the factor as in the product.
                let multiplier = _mm256_mul_epu32(sum, word(Constants::<P>::MINUS_INVERSE));
                m[c] = _mm256_and_si256(multiplier, mask);
                sum = mul_add(sum, m[c], word(Constants::<P>::P[0]));
            } else {
                out[c - LIMBS] = _mm256_and_si256(sum, mask);
            }
            _mm256_srli_epi64::<29>(sum)
        }
    }

    /// The Montgomery square of a settled value. Not inlined, like the product: the code is long, and a call costs next to nothing.
    #[inline(never)]
    #[target_feature(enable = "avx2")]
    unsafe fn squared(a: &[__m256i; LIMBS]) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            debug_assert!(settled(a), "factors hold no carries");
            let zero = _mm256_setzero_si256();
            let mut doubled = *a;
            for j in 1..LIMBS {
                // Below 2^30: a product is below 2^59 and stands for two.
                doubled[j] = _mm256_add_epi64(a[j], a[j]);
            }
            let (mut m, mut out) = ([zero; LIMBS], [zero; LIMBS]);
            let mut carry = zero;
            for_each!(C in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16] {
                let mut sum = carry;
                for i in span::<LIMBS>(C).0..C.div_ceil(2) {
                    sum = mul_add(sum, a[i], doubled[C - i]);
                }
                if C.is_multiple_of(2) {
                    sum = mul_add(sum, a[C / 2], a[C / 2]);
                }
                carry = Self::column(C, sum, &mut m, &mut out);
            });
            out[LIMBS - 1] = carry;
            debug_assert!(settled(&out), "the value fits 261 bits");
            Self::new(out)
        }
    }

    /// The Montgomery product of settled values.
    #[inline(never)]
    #[target_feature(enable = "avx2")]
    unsafe fn product(a: &[__m256i; LIMBS], b: &[__m256i; LIMBS]) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            debug_assert!(settled(a) && settled(b), "factors hold no carries");
            let zero = _mm256_setzero_si256();
            let (mut m, mut out) = ([zero; LIMBS], [zero; LIMBS]);
            let mut carry = zero;
            for_each!(C in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16] {
                let mut sum = carry;
                for i in span::<LIMBS>(C).0..span::<LIMBS>(C).1 + 1 {
                    sum = mul_add(sum, a[i], b[C - i]);
                }
                carry = Self::column(C, sum, &mut m, &mut out);
            });
            out[LIMBS - 1] = carry;
            debug_assert!(settled(&out), "the value fits 261 bits");
            Self::new(out)
        }
    }

    /// [`Lanes::dot_every`].
    #[inline(never)]
    #[target_feature(enable = "avx2")]
    unsafe fn sum_of_products(
        xs: *const Self,
        step: usize,
        ys: &[[u64; LIMBS]],
        addend: &[u64; LIMBS],
        extra: &Self,
    ) -> Self {
        // SAFETY: AVX2, see the trait; the caller gives as many values, `step` apart, as constants.
        unsafe {
            let mut sum = extra.plus_constant(addend).limbs;
            let mut x = xs;
            for ys in ys.chunks(TERMS) {
                let zero = _mm256_setzero_si256();
                let (mut m, mut part) = ([zero; LIMBS], [zero; LIMBS]);
                let mut carry = zero;
                for_each!(C in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16] {
                    let mut sum = carry;
                    for (k, y) in ys.iter().enumerate() {
                        let x = &(*x.add(k * step)).limbs;
                        for i in span::<LIMBS>(C).0..span::<LIMBS>(C).1 + 1 {
                            sum = mul_add(sum, x[i], word(y[C - i]));
                        }
                    }
                    carry = Self::column(C, sum, &mut m, &mut part);
                });
                part[LIMBS - 1] = carry;
                x = x.wrapping_add(ys.len() * step);
                for i in 0..LIMBS {
                    sum[i] = _mm256_add_epi64(sum[i], part[i]);
                }
            }
            Self::carried(sum)
        }
    }

    /// Less p where that is not negative. Settled in and out.
    #[inline(always)]
    unsafe fn less_modulus(self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mask = word(MASK);
            let mut less = self.limbs;
            let mut carry = _mm256_setzero_si256();
            for i in 0..LIMBS {
                // x + (2^261 - p): the carry out of the top says x >= p.
                let sum = _mm256_add_epi64(
                    _mm256_add_epi64(self.limbs[i], word(Constants::<P>::COMPLEMENT[i])),
                    carry,
                );
                carry = _mm256_srli_epi64::<29>(sum);
                less[i] = _mm256_and_si256(sum, mask);
            }
            let below = _mm256_cmpeq_epi64(carry, _mm256_setzero_si256());
            let mut out = self.limbs;
            for i in 0..LIMBS {
                out[i] = _mm256_blendv_epi8(less[i], self.limbs[i], below);
            }
            Self::new(out)
        }
    }

    /// The limbs of a constant in every lane.
    #[inline(always)]
    unsafe fn wide(constant: &[u64; LIMBS]) -> [__m256i; LIMBS] {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mut out = [_mm256_setzero_si256(); LIMBS];
            for i in 0..LIMBS {
                out[i] = word(constant[i]);
            }
            out
        }
    }
}

/// The low 29 bits of two parts of a limb.
#[inline(always)]
unsafe fn joined(low: __m256i, high: __m256i) -> __m256i {
    // SAFETY: the caller runs under AVX2.
    unsafe { _mm256_and_si256(_mm256_or_si256(low, high), word(MASK)) }
}

/// The word that three limbs share.
#[inline(always)]
unsafe fn three(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
    // SAFETY: the caller runs under AVX2.
    unsafe { _mm256_or_si256(_mm256_or_si256(a, b), c) }
}

/// Words `at` of four elements.
#[inline(always)]
unsafe fn gather(from: *const i64, step: usize, at: usize) -> __m256i {
    // SAFETY: AVX2, and four readable elements, as the caller promises.
    unsafe {
        _mm256_setr_epi64x(
            *from.add(at),
            *from.add(step + at),
            *from.add(2 * step + at),
            *from.add(3 * step + at),
        )
    }
}

// SAFETY: the intrinsics need AVX2, as the trait's contract says.
unsafe impl<P: Prime> Lanes<P> for X4<P> {
    type Constant = [u64; LIMBS];
    const LANES: usize = 4;

    #[inline(always)]
    fn constant(element: Element<P>) -> [u64; LIMBS] {
        // x 2^256 times 2^261 over 2^256.
        split(&(element * Element::from_montgomery(Constants::<P>::FROM_256)).montgomery())
    }

    #[inline(always)]
    unsafe fn load(from: *const Element<P>, stride: usize) -> Self {
        // SAFETY: AVX2, see the trait; the caller gives four elements of 32 bytes, `stride` apart.
        unsafe {
            let (from, step) = (from.cast::<i64>(), 4 * stride);
            let w = [
                gather(from, step, 0),
                gather(from, step, 1),
                gather(from, step, 2),
                gather(from, step, 3),
            ];
            let mask = word(MASK);
            // The words shifted left by five bits: x 2^256 becomes x 2^261, below 32 p, without a product.
            let shifted = Self::new([
                _mm256_and_si256(_mm256_slli_epi64::<5>(w[0]), mask),
                _mm256_and_si256(_mm256_srli_epi64::<24>(w[0]), mask),
                joined(_mm256_srli_epi64::<53>(w[0]), _mm256_slli_epi64::<11>(w[1])),
                _mm256_and_si256(_mm256_srli_epi64::<18>(w[1]), mask),
                joined(_mm256_srli_epi64::<47>(w[1]), _mm256_slli_epi64::<17>(w[2])),
                _mm256_and_si256(_mm256_srli_epi64::<12>(w[2]), mask),
                joined(_mm256_srli_epi64::<41>(w[2]), _mm256_slli_epi64::<23>(w[3])),
                _mm256_and_si256(_mm256_srli_epi64::<6>(w[3]), mask),
                _mm256_srli_epi64::<35>(w[3]),
            ]);
            if Element::<P>::SPARE {
                shifted
            } else {
                // 32 p leaves a prime near 2^256 no room: times one, below 4 p.
                shifted.multiply(Self::new(Self::wide(&Constants::<P>::ONE)))
            }
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut Element<P>, stride: usize) {
        // SAFETY: AVX2, see the trait; the caller gives room for four elements, `stride` apart.
        unsafe {
            let x = self.multiply(Self::new(Self::wide(&Constants::<P>::TO_256)));
            let mut x = x.less_modulus();
            if Constants::<P>::TWICE {
                x = x.less_modulus();
            }
            let x = x.limbs;
            let words = [
                three(
                    x[0],
                    _mm256_slli_epi64::<29>(x[1]),
                    _mm256_slli_epi64::<58>(x[2]),
                ),
                three(
                    _mm256_srli_epi64::<6>(x[2]),
                    _mm256_slli_epi64::<23>(x[3]),
                    _mm256_slli_epi64::<52>(x[4]),
                ),
                three(
                    _mm256_srli_epi64::<12>(x[4]),
                    _mm256_slli_epi64::<17>(x[5]),
                    _mm256_slli_epi64::<46>(x[6]),
                ),
                three(
                    _mm256_srli_epi64::<18>(x[6]),
                    _mm256_slli_epi64::<11>(x[7]),
                    _mm256_slli_epi64::<40>(x[8]),
                ),
            ];
            let to = to.cast::<u64>();
            for i in 0..4 {
                let mut lanes = [0u64; 4];
                _mm256_storeu_si256(lanes.as_mut_ptr().cast(), words[i]);
                for lane in 0..4 {
                    *to.add(4 * stride * lane + i) = lanes[lane];
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: AVX2, see the trait.
        Self::new([unsafe { _mm256_setzero_si256() }; LIMBS])
    }

    #[inline(always)]
    unsafe fn splat(constant: &[u64; LIMBS]) -> Self {
        // SAFETY: AVX2, see the trait.
        Self::new(unsafe { Self::wide(constant) })
    }

    #[inline(always)]
    unsafe fn pow5(self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let fourth = Self::squared(&Self::squared(&self.limbs).limbs);
            Self::product(&fourth.limbs, &self.limbs)
        }
    }

    #[inline(always)]
    unsafe fn multiply(self, b: Self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe { Self::product(&self.limbs, &b.limbs) }
    }

    #[inline(always)]
    unsafe fn dot_every(
        xs: *const Self,
        step: usize,
        ys: &[[u64; LIMBS]],
        addend: &[u64; LIMBS],
        extra: Self,
    ) -> Self {
        // SAFETY: AVX2, see the trait; the caller gives as many values, `step` apart, as constants.
        unsafe { Self::sum_of_products(xs, step, ys, addend, &extra) }
    }

    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        let mut limbs = self.limbs;
        for i in 0..LIMBS {
            // SAFETY: AVX2, see the trait.
            limbs[i] = unsafe { _mm256_add_epi64(limbs[i], b.limbs[i]) };
        }
        Self::new(limbs)
    }

    #[inline(always)]
    unsafe fn plus_constant(self, b: &[u64; LIMBS]) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe { self.plus(Self::splat(b)) }
    }

    #[inline(always)]
    unsafe fn minus(self, b: Self) -> Self {
        let mut limbs = self.limbs;
        for i in 0..LIMBS {
            // SAFETY: AVX2, see the trait.
            limbs[i] = unsafe {
                let room = _mm256_sub_epi64(word(Constants::<P>::MANY[i]), b.limbs[i]);
                _mm256_add_epi64(limbs[i], room)
            };
        }
        Self::new(limbs)
    }

    #[inline(always)]
    unsafe fn settle(self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe { Self::carried(self.limbs) }
    }

    #[inline(always)]
    unsafe fn shrink(self) -> Self {
        // As for 52-bit limbs: q is at most the quotient by p, and less than two below it.
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mut t = Self::carried(self.limbs).limbs;
            let q = _mm256_srli_epi64::<29>(_mm256_mul_epu32(
                t[LIMBS - 1],
                word(Constants::<P>::RECIPROCAL),
            ));
            // x + q (2^261 - p), less q 2^261, which falls off the top limb.
            for i in 0..LIMBS {
                let product = _mm256_mul_epu32(q, word(Constants::<P>::COMPLEMENT[i]));
                t[i] = _mm256_add_epi64(t[i], product);
            }
            let mask = word(MASK);
            for i in 0..LIMBS - 1 {
                t[i + 1] = _mm256_add_epi64(t[i + 1], _mm256_srli_epi64::<29>(t[i]));
                t[i] = _mm256_and_si256(t[i], mask);
            }
            t[LIMBS - 1] = _mm256_and_si256(t[LIMBS - 1], mask);
            Self::new(t)
        }
    }
}
