//! Eight elements at once: AVX-512 IFMA, radix 2^52, Montgomery form to R = 2^260.
//!
//! `vpmadd52luq` and `vpmadd52huq` multiply the low 52 bits of two words and add the low or the high 52 bits of the product to a
//! 64-bit word. So a product sum has twelve bits of room: 4,095 halves of products fit a word, and the widest sum here (32 products
//! of five limbs, both halves, and the five rows of the reduction) is 330.
//!
//! A value is five words, least significant first; *settled* when every word is below 2^52. It stands for an element times 2^260
//! and is lazy: with p < 2^256 there is room for multiples of p up to 2^260 (84 p for BN254, 16 p for a prime near 2^256). The
//! Montgomery product of a and b is below `a b / 2^260 + 2 p`: no subtraction is ever needed between `load` and `store`. The bounds
//! of [`Lanes`] are those of BN254.
#![allow(unsafe_code)]
// Plain loops over limbs and words: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;
use std::marker::PhantomData;

use super::{Element, Prime, lanes::Lanes, sum_exceeds};
use crate::x86::avx512::word;

const BITS: u32 = 52;
const MASK: u64 = (1 << BITS) - 1;

/// Limbs of 52 bits of a 256-bit number.
const fn split(words: &[u64; 4]) -> [u64; 5] {
    let mut out = [0; 5];
    let mut i = 0;
    while i < 5 {
        let (word, bit) = (52 * i / 64, 52 * i % 64);
        let mut limb = words[word] >> bit;
        if bit > 12 && word < 3 {
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
    const P: [u64; 5] = split(&P::MODULUS);
    /// 2^260 - p, limbs below 2^52.
    const COMPLEMENT: [u64; 5] = {
        let p = Self::P;
        let mut out = [0; 5];
        let mut carry = 1;
        let mut i = 0;
        while i < 5 {
            let limb = (MASK - p[i]) + carry;
            out[i] = limb & MASK;
            carry = limb >> BITS;
            i += 1;
        }
        out
    };
    /// 32 p, four of each limb's unit moved to the limb below: no limb is less than that of a sum of four settled values, which
    /// leaves their sum below 24 p.
    const MANY: [u64; 5] = {
        let mut out = Self::P;
        let mut carry = 0;
        let mut i = 0;
        while i < 5 {
            let limb = out[i] * 32 + carry;
            let top = i + 1 == 5;
            out[i] = if top { limb } else { limb & MASK } + if top { 0 } else { 4 << BITS }
                - if i > 0 { 4 } else { 0 };
            carry = limb >> BITS;
            i += 1;
        }
        out
    };
    /// N' of the multiple `N' 2^52 - 1` of p: below p.
    const FRIENDLY: [u64; 5] = split(&super::friendly(BITS, &P::MODULUS, P::MINUS_INVERSE));
    /// -1 / p modulo 2^52.
    const MINUS_INVERSE: u64 = P::MINUS_INVERSE & MASK;
    /// 2^256 modulo p: a Montgomery product with it turns 2^260 into 2^256.
    const TO_256: [u64; 5] = split(&P::R);
    /// Whether what [`Lanes::store`] reduces can be 2 p or more. It is a product of a value below 2^260 with 2^256 modulo p, and so below
    /// `(2^256 modulo p) + N' + p`. Of the fields here none needs the second subtraction.
    const TWICE: bool = sum_exceeds(
        &P::R,
        &super::friendly(BITS, &P::MODULUS, P::MINUS_INVERSE),
        &P::MODULUS,
    );
    /// One: 2^260 modulo p.
    const ONE: [u64; 5] = split(&P::R52);
    /// floor(2^260 / p): the quotient by p of a settled value is near `top limb * this / 2^52`.
    const RECIPROCAL: u64 = super::reciprocal(260, &P::MODULUS);
}

/// Eight elements; `limbs[i]` holds limb i of each.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct X8<P> {
    limbs: [__m512i; 5],
    field: PhantomData<P>,
}

/// Columns of a double-width product: word i of each counts 2^(52 i). Low and high halves of products are summed apart, which halves
/// the chains of dependent sums.
#[derive(Clone, Copy)]
struct Columns {
    low: [__m512i; 10],
    high: [__m512i; 10],
}

/// Whether every word of every lane is below 2^52 (debug builds).
#[inline(always)]
unsafe fn settled(limbs: &[__m512i; 5]) -> bool {
    let mut all = true;
    for limb in limbs {
        // SAFETY: the caller runs under AVX-512.
        all &= unsafe { _mm512_cmpgt_epu64_mask(*limb, word(MASK)) } == 0;
    }
    all
}

impl<P: Prime> X8<P> {
    #[inline(always)]
    fn new(limbs: [__m512i; 5]) -> Self {
        Self {
            limbs,
            field: PhantomData,
        }
    }

    /// Moves carries up: words below 2^63 in, limbs below 2^52 out. The value must be below 2^260 (5 shifts, ands and adds).
    #[inline(always)]
    unsafe fn carried(mut limbs: [__m512i; 5]) -> Self {
        // SAFETY: AVX-512, see the trait.
        unsafe {
            let mask = word(MASK);
            for i in 0..4 {
                limbs[i + 1] = _mm512_add_epi64(limbs[i + 1], _mm512_srli_epi64::<BITS>(limbs[i]));
                limbs[i] = _mm512_and_si512(limbs[i], mask);
            }
            debug_assert!(settled(&limbs), "the value fits 260 bits");
        }
        Self::new(limbs)
    }

    #[inline(always)]
    unsafe fn no_columns() -> Columns {
        // SAFETY: AVX-512, see the trait.
        let zero = unsafe { _mm512_setzero_si512() };
        Columns {
            low: [zero; 10],
            high: [zero; 10],
        }
    }

    /// Adds the product of two settled values to the columns: at most ten halves below 2^52 to each.
    #[inline(always)]
    unsafe fn accumulate(t: &mut Columns, a: &[__m512i; 5], b: &[__m512i; 5]) {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe {
            debug_assert!(settled(a) && settled(b), "factors hold no carries");
            for i in 0..5 {
                for j in 0..5 {
                    let (low, high) = (i + j, i + j + 1);
                    t.low[low] = _mm512_madd52lo_epu64(t.low[low], a[j], b[i]);
                    t.high[high] = _mm512_madd52hi_epu64(t.high[high], a[j], b[i]);
                }
            }
        }
    }

    /// [`Self::accumulate`] of a square: the mixed products once, doubled in their columns (a doubled limb would lose a bit).
    #[inline(always)]
    unsafe fn squared(a: &[__m512i; 5]) -> Columns {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe {
            debug_assert!(settled(a), "factors hold no carries");
            let mut t = Self::no_columns();
            for i in 0..4 {
                for j in i + 1..5 {
                    let (low, high) = (i + j, i + j + 1);
                    t.low[low] = _mm512_madd52lo_epu64(t.low[low], a[j], a[i]);
                    t.high[high] = _mm512_madd52hi_epu64(t.high[high], a[j], a[i]);
                }
            }
            for i in 1..10 {
                let sum = _mm512_add_epi64(t.low[i], t.high[i]);
                t.low[i] = _mm512_add_epi64(sum, sum);
                t.high[i] = _mm512_setzero_si512();
            }
            for i in 0..5 {
                t.low[2 * i] = _mm512_madd52lo_epu64(t.low[2 * i], a[i], a[i]);
                t.high[2 * i + 1] = _mm512_madd52hi_epu64(t.high[2 * i + 1], a[i], a[i]);
            }
            t
        }
    }

    /// Montgomery reduction of columns below 2^62, then plus `extra` (words below 2^62), settled.
    ///
    /// Four rows take the low limb m of their column as multiplier: with the multiple `N' 2^52 - 1` of p the column loses m, and
    /// `m N'` enters the columns after it; so no row waits for a product to find its multiplier. The fifth row takes the multiplier
    /// that makes its column divisible with p itself. The result is below `columns / 2^260 + N' + p + extra`, and N' is below p.
    #[inline(always)]
    unsafe fn reduced(t: Columns, extra: [__m512i; 5]) -> Self {
        let Columns { mut low, mut high } = t;
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe {
            let zero = _mm512_setzero_si512();
            let mut carry = zero;
            for i in 0..4 {
                // Only the low 52 bits of a factor count.
                let m = _mm512_add_epi64(low[i], _mm512_add_epi64(high[i], carry));
                for j in 0..5 {
                    let n = word(Constants::<P>::FRIENDLY[j]);
                    low[i + j + 1] = _mm512_madd52lo_epu64(low[i + j + 1], m, n);
                    high[i + j + 2] = _mm512_madd52hi_epu64(high[i + j + 2], m, n);
                }
                carry = _mm512_srli_epi64::<BITS>(m);
            }
            let column = _mm512_add_epi64(low[4], _mm512_add_epi64(high[4], carry));
            let m = _mm512_madd52lo_epu64(zero, column, word(Constants::<P>::MINUS_INVERSE));
            for j in 1..5 {
                let p = word(Constants::<P>::P[j]);
                low[4 + j] = _mm512_madd52lo_epu64(low[4 + j], m, p);
            }
            for j in 0..5 {
                let p = word(Constants::<P>::P[j]);
                high[5 + j] = _mm512_madd52hi_epu64(high[5 + j], m, p);
            }
            let column = _mm512_madd52lo_epu64(column, m, word(Constants::<P>::P[0]));
            carry = _mm512_srli_epi64::<BITS>(column);
            let mut out = extra;
            for i in 0..5 {
                let sum = _mm512_add_epi64(low[5 + i], high[5 + i]);
                out[i] = _mm512_add_epi64(out[i], sum);
            }
            out[0] = _mm512_add_epi64(out[0], carry);
            Self::carried(out)
        }
    }

    /// The fifth power of a settled value. Not inlined, like the sum of products: the code is long, and a call costs next to nothing.
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    unsafe fn fifth(a: &[__m512i; 5]) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe {
            // 28 p squared: below 11.4 p; squared again: below 3.6 p; times 28 p: below 3.2 p.
            let none = [_mm512_setzero_si512(); 5];
            let square = Self::reduced(Self::squared(a), none);
            let fourth = Self::reduced(Self::squared(&square.limbs), none);
            let mut t = Self::no_columns();
            Self::accumulate(&mut t, &fourth.limbs, a);
            Self::reduced(t, none)
        }
    }

    /// [`Lanes::dot_every`].
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    unsafe fn sum_of_products(
        xs: *const Self,
        step: usize,
        ys: &[[u64; 5]],
        addend: &[u64; 5],
        extra: &Self,
    ) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait; the caller gives as many values, `step` apart, as constants.
        unsafe {
            let mut t = Self::no_columns();
            // The addend counts 2^260, so it enters the upper half.
            for i in 0..5 {
                t.low[5 + i] = word(addend[i]);
            }
            for (i, y) in ys.iter().enumerate() {
                Self::accumulate(&mut t, &(*xs.add(i * step)).limbs, &Self::wide(y));
            }
            Self::reduced(t, extra.limbs)
        }
    }

    /// Less p where that is not negative. Settled in and out.
    #[inline(always)]
    unsafe fn less_modulus(self) -> Self {
        // SAFETY: AVX-512, see the trait.
        unsafe {
            let mask = word(MASK);
            let mut less = self.limbs;
            let mut carry = _mm512_setzero_si512();
            for i in 0..5 {
                // x + (2^260 - p): the carry out of the top says x >= p.
                let sum = _mm512_add_epi64(
                    _mm512_add_epi64(self.limbs[i], word(Constants::<P>::COMPLEMENT[i])),
                    carry,
                );
                carry = _mm512_srli_epi64::<BITS>(sum);
                less[i] = _mm512_and_si512(sum, mask);
            }
            let not_less = _mm512_test_epi64_mask(carry, carry);
            let mut out = self.limbs;
            for i in 0..5 {
                out[i] = _mm512_mask_blend_epi64(not_less, self.limbs[i], less[i]);
            }
            Self::new(out)
        }
    }

    /// The limbs of a constant in every lane.
    #[inline(always)]
    unsafe fn wide(constant: &[u64; 5]) -> [__m512i; 5] {
        // SAFETY: AVX-512, see the trait.
        unsafe {
            [
                word(constant[0]),
                word(constant[1]),
                word(constant[2]),
                word(constant[3]),
                word(constant[4]),
            ]
        }
    }
}

// SAFETY: the intrinsics need AVX-512 F, DQ, VL and IFMA, as the trait's contract says.
unsafe impl<P: Prime> Lanes<P> for X8<P> {
    type Constant = [u64; 5];
    const LANES: usize = 8;

    #[inline(always)]
    fn constant(element: Element<P>) -> [u64; 5] {
        // x 2^256 times 2^260 over 2^256.
        split(&(element * Element::from_montgomery(P::R52)).montgomery())
    }

    #[inline(always)]
    unsafe fn load(from: *const Element<P>, stride: usize) -> Self {
        // SAFETY: AVX-512, see the trait; the caller gives eight elements of 32 bytes, `stride` apart.
        unsafe {
            let step = 4 * stride as i64;
            let index = _mm512_setr_epi64(
                0,
                step,
                2 * step,
                3 * step,
                4 * step,
                5 * step,
                6 * step,
                7 * step,
            );
            let base = from.cast::<i64>();
            let w0 = _mm512_i64gather_epi64::<8>(index, base);
            let w1 = _mm512_i64gather_epi64::<8>(index, base.add(1));
            let w2 = _mm512_i64gather_epi64::<8>(index, base.add(2));
            let w3 = _mm512_i64gather_epi64::<8>(index, base.add(3));
            let mask = word(MASK);
            // The words shifted left by four bits: x 2^256 becomes x 2^260, below 16 p, without a product.
            let shifted = Self::new([
                _mm512_and_si512(_mm512_slli_epi64::<4>(w0), mask),
                _mm512_and_si512(
                    _mm512_or_si512(_mm512_srli_epi64::<48>(w0), _mm512_slli_epi64::<16>(w1)),
                    mask,
                ),
                _mm512_and_si512(
                    _mm512_or_si512(_mm512_srli_epi64::<36>(w1), _mm512_slli_epi64::<28>(w2)),
                    mask,
                ),
                _mm512_and_si512(
                    _mm512_or_si512(_mm512_srli_epi64::<24>(w2), _mm512_slli_epi64::<40>(w3)),
                    mask,
                ),
                _mm512_srli_epi64::<12>(w3),
            ]);
            if Element::<P>::SPARE {
                shifted
            } else {
                // 16 p leaves a prime near 2^256 no room: times one, below 3 p.
                shifted.multiply(Self::new(Self::wide(&Constants::<P>::ONE)))
            }
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut Element<P>, stride: usize) {
        // SAFETY: AVX-512 IFMA, see the trait; the caller gives room for eight elements, `stride` apart.
        unsafe {
            let x = self.multiply(Self::new(Self::wide(&Constants::<P>::TO_256)));
            let mut x = x.less_modulus();
            if Constants::<P>::TWICE {
                x = x.less_modulus();
            }
            let x = x.limbs;
            let w0 = _mm512_or_si512(x[0], _mm512_slli_epi64::<52>(x[1]));
            let w1 = _mm512_or_si512(_mm512_srli_epi64::<12>(x[1]), _mm512_slli_epi64::<40>(x[2]));
            let w2 = _mm512_or_si512(_mm512_srli_epi64::<24>(x[2]), _mm512_slli_epi64::<28>(x[3]));
            let w3 = _mm512_or_si512(_mm512_srli_epi64::<36>(x[3]), _mm512_slli_epi64::<16>(x[4]));
            let step = 4 * stride as i64;
            let index = _mm512_setr_epi64(
                0,
                step,
                2 * step,
                3 * step,
                4 * step,
                5 * step,
                6 * step,
                7 * step,
            );
            let base = to.cast::<i64>();
            _mm512_i64scatter_epi64::<8>(base, index, w0);
            _mm512_i64scatter_epi64::<8>(base.add(1), index, w1);
            _mm512_i64scatter_epi64::<8>(base.add(2), index, w2);
            _mm512_i64scatter_epi64::<8>(base.add(3), index, w3);
        }
    }

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: AVX-512, see the trait.
        Self::new([unsafe { _mm512_setzero_si512() }; 5])
    }

    #[inline(always)]
    unsafe fn splat(constant: &[u64; 5]) -> Self {
        // SAFETY: AVX-512, see the trait.
        Self::new(unsafe { Self::wide(constant) })
    }

    #[inline(always)]
    unsafe fn pow5(self) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe { Self::fifth(&self.limbs) }
    }

    #[inline(always)]
    unsafe fn multiply(self, b: Self) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe {
            let zero = _mm512_setzero_si512();
            let mut t = Self::no_columns();
            Self::accumulate(&mut t, &self.limbs, &b.limbs);
            Self::reduced(t, [zero; 5])
        }
    }

    #[inline(always)]
    unsafe fn dot_every(
        xs: *const Self,
        step: usize,
        ys: &[[u64; 5]],
        addend: &[u64; 5],
        extra: Self,
    ) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait; the caller gives as many values, `step` apart, as constants.
        unsafe { Self::sum_of_products(xs, step, ys, addend, &extra) }
    }

    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        let mut limbs = self.limbs;
        for i in 0..5 {
            // SAFETY: AVX-512, see the trait.
            limbs[i] = unsafe { _mm512_add_epi64(limbs[i], b.limbs[i]) };
        }
        Self::new(limbs)
    }

    #[inline(always)]
    unsafe fn plus_constant(self, b: &[u64; 5]) -> Self {
        // SAFETY: AVX-512, see the trait.
        unsafe { self.plus(Self::splat(b)) }
    }

    #[inline(always)]
    unsafe fn minus(self, b: Self) -> Self {
        let mut limbs = self.limbs;
        for i in 0..5 {
            // SAFETY: AVX-512, see the trait.
            limbs[i] = unsafe {
                let room = _mm512_sub_epi64(word(Constants::<P>::MANY[i]), b.limbs[i]);
                _mm512_add_epi64(limbs[i], room)
            };
        }
        Self::new(limbs)
    }

    #[inline(always)]
    unsafe fn settle(self) -> Self {
        // SAFETY: AVX-512, see the trait.
        unsafe { Self::carried(self.limbs) }
    }

    #[inline(always)]
    unsafe fn shrink(self) -> Self {
        // With top limb h (carries included) the value is in [h, h + 1 + carries) 2^208, so q = floor(h floor(2^260 / p) / 2^52)
        // is at most its quotient by p and at most one below it plus h / 2^52 < 1: x - q p is in [0, 2 p).
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe {
            let zero = _mm512_setzero_si512();
            let x = Self::carried(self.limbs).limbs;
            let q = _mm512_madd52hi_epu64(zero, x[4], word(Constants::<P>::RECIPROCAL));
            // x + q (2^260 - p), less q 2^260, which falls off the top limb.
            let mut t = x;
            for i in 0..5 {
                t[i] = _mm512_madd52lo_epu64(t[i], q, word(Constants::<P>::COMPLEMENT[i]));
            }
            for i in 0..4 {
                t[i + 1] = _mm512_madd52hi_epu64(t[i + 1], q, word(Constants::<P>::COMPLEMENT[i]));
            }
            let mask = word(MASK);
            for i in 0..4 {
                t[i + 1] = _mm512_add_epi64(t[i + 1], _mm512_srli_epi64::<BITS>(t[i]));
                t[i] = _mm512_and_si512(t[i], mask);
            }
            t[4] = _mm512_and_si512(t[4], mask);
            Self::new(t)
        }
    }
}
