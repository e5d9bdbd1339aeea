//! Four elements at once: AVX2, ten words of radix 2^25.5 (limbs of 26 and 25 bits in turn).
//!
//! `vpmuludq` multiplies the low 32 bits of 64-bit words. Settled limbs are below 2^26 + 2^16 at even and 2^25 + 2^16 at odd places;
//! 19 of them are below 2^30.3 and twice an odd one is below 2^26.1, so factors fit. The product of limbs i and j counts
//! 2^⌈25.5 i⌉ 2^⌈25.5 j⌉: twice if both places are odd, and 19 times from place ten on. A column is ten products below
//! 2^56.4, below 2^59.8.
//!
//! In memory an element has five limbs of radix 2^51, as on every level: two of these limbs each.
#![allow(unsafe_code)]
// Plain loops over limbs and words: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;

use super::fe::{self, Fe};
use super::lanes::{Lanes, MAX_LANES, Work};
use crate::x86::avx2::{collect, mul_add, spread, transpose, word};
use crate::x86::for_each;

const LIMBS: usize = 10;
const LOW_BITS: i32 = 26;
const HIGH_BITS: i32 = 25;
const LOW_MASK: u64 = (1 << LOW_BITS) - 1;
const HIGH_MASK: u64 = (1 << HIGH_BITS) - 1;
/// 4 p: a settled value can be taken from it without a borrow.
const FOUR_P: [u64; LIMBS] = {
    let mut out = [0; LIMBS];
    let mut i = 0;
    while i < LIMBS {
        out[i] = 4 * if i % 2 == 0 { LOW_MASK } else { HIGH_MASK };
        i += 1;
    }
    out[0] -= 4 * 18;
    out
};

/// Four elements; word i holds limb i of each.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct X4([__m256i; LIMBS]);

/// Whether every limb of every lane is settled (debug builds).
#[inline(always)]
unsafe fn settled(limbs: &[__m256i; LIMBS]) -> bool {
    let mut all = true;
    for (i, limb) in limbs.iter().enumerate() {
        let bound = (if i % 2 == 0 { LOW_MASK } else { HIGH_MASK }) + (1 << 16);
        // SAFETY: the caller runs under AVX2.
        unsafe {
            let over = _mm256_cmpgt_epi64(*limb, word(bound));
            let negative = _mm256_cmpgt_epi64(_mm256_setzero_si256(), *limb);
            all &= _mm256_testz_si256(over, over) == 1;
            all &= _mm256_testz_si256(negative, negative) == 1;
        }
    }
    all
}

/// 19 times a word, of any size.
#[inline(always)]
unsafe fn times_19(x: __m256i) -> __m256i {
    // SAFETY: the caller runs under AVX2.
    unsafe {
        let three = _mm256_add_epi64(x, _mm256_add_epi64(x, x));
        _mm256_add_epi64(three, _mm256_slli_epi64::<4>(x))
    }
}

/// Moves the carry of limb `i` to the next.
macro_rules! carry {
    ($x:ident, $i:literal) => {{
        let from = $x[$i];
        let (high, low) = if $i % 2 == 0 {
            (
                _mm256_srli_epi64::<LOW_BITS>(from),
                _mm256_and_si256(from, word(LOW_MASK)),
            )
        } else {
            (
                _mm256_srli_epi64::<HIGH_BITS>(from),
                _mm256_and_si256(from, word(HIGH_MASK)),
            )
        };
        $x[$i] = low;
        if $i == 9 {
            $x[0] = _mm256_add_epi64($x[0], times_19(high));
        } else {
            $x[($i + 1) % LIMBS] = _mm256_add_epi64($x[($i + 1) % LIMBS], high);
        }
    }};
}

impl X4 {
    /// Columns below 2^60 to settled limbs: two chains of carries side by side, then the two limbs where they met again.
    #[inline(always)]
    unsafe fn folded(mut x: [__m256i; LIMBS]) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            carry!(x, 0);
            carry!(x, 5);
            carry!(x, 1);
            carry!(x, 6);
            carry!(x, 2);
            carry!(x, 7);
            carry!(x, 3);
            carry!(x, 8);
            carry!(x, 4);
            carry!(x, 9);
            carry!(x, 5);
            carry!(x, 0);
            debug_assert!(settled(&x), "two chains of carries are enough");
        }
        Self(x)
    }

    /// The product, column by column: one sum is live and factors come from memory. Not inlined: the code is long, and a call costs
    /// next to nothing.
    #[inline(never)]
    #[target_feature(enable = "avx2")]
    unsafe fn product(a: &[__m256i; LIMBS], b: &[__m256i; LIMBS]) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            debug_assert!(settled(a) && settled(b), "factors are settled");
            let zero = _mm256_setzero_si256();
            let (mut a2, mut b19) = ([zero; LIMBS], [zero; LIMBS]);
            for j in 1..LIMBS {
                b19[j] = _mm256_mullo_epi32(b[j], word(19));
                a2[j] = _mm256_add_epi64(a[j], a[j]);
            }
            let mut t = [zero; LIMBS];
            for_each!(C in [0 1 2 3 4 5 6 7 8 9] {
                let mut sum = zero;
                for i in 0..LIMBS {
                    let j = (LIMBS + C - i) % LIMBS;
                    let x = if i * j % 2 == 1 { a2[i] } else { a[i] };
                    let y = if i > C { b19[j] } else { b[j] };
                    sum = mul_add(sum, x, y);
                }
                t[C] = sum;
            });
            Self::folded(t)
        }
    }

    /// The square: mixed products once, of twice a limb.
    #[inline(never)]
    #[target_feature(enable = "avx2")]
    unsafe fn squared(a: &[__m256i; LIMBS]) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            debug_assert!(settled(a), "factors are settled");
            let zero = _mm256_setzero_si256();
            // Twice a limb and four times an odd one are below 2^27.1.
            let (mut a2, mut a4, mut a19) = ([zero; LIMBS], [zero; LIMBS], [zero; LIMBS]);
            for j in 0..LIMBS {
                a2[j] = _mm256_add_epi64(a[j], a[j]);
                a4[j] = _mm256_add_epi64(a2[j], a2[j]);
                a19[j] = _mm256_mullo_epi32(a[j], word(19));
            }
            let mut t = [zero; LIMBS];
            for_each!(C in [0 1 2 3 4 5 6 7 8 9] {
                let mut sum = zero;
                for i in 0..LIMBS {
                    let j = (LIMBS + C - i) % LIMBS;
                    let y = if i > C { a19[j] } else { a[j] };
                    if i <= j {
                        let x = match (i == j, i * j % 2 == 1) {
                            (true, false) => a[i],
                            (true, true) | (false, false) => a2[i],
                            (false, true) => a4[i],
                        };
                        sum = mul_add(sum, x, y);
                    }
                }
                t[C] = sum;
            });
            Self::folded(t)
        }
    }
}

// SAFETY: the intrinsics need AVX2, as the trait's contract says.
unsafe impl Lanes for X4 {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn enter<W: Work<Self>>(work: W) -> W::Output {
        #[target_feature(enable = "avx2,bmi2")]
        #[inline(never)]
        unsafe fn inner<W: Work<X4>>(work: W) -> W::Output {
            // SAFETY: compiled for the instruction set.
            unsafe { work.run() }
        }
        // SAFETY: the caller's promise.
        unsafe { inner(work) }
    }

    #[inline(always)]
    unsafe fn splat(constant: &Fe) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mut x = [_mm256_setzero_si256(); LIMBS];
            for i in 0..5 {
                x[2 * i] = word(constant.0[i] & LOW_MASK);
                x[2 * i + 1] = word(constant.0[i] >> LOW_BITS);
            }
            Self(x)
        }
    }

    #[inline(always)]
    unsafe fn gather<const N: usize>(from: &[*const Fe; MAX_LANES]) -> [Self; N] {
        // SAFETY: AVX2, see the trait; the caller gives N elements of five words for each lane, and no more are read.
        unsafe {
            let zero = _mm256_setzero_si256();
            let mask = word(LOW_MASK);
            let mut out = [Self([zero; LIMBS]); N];
            let mut at = 0;
            while at < 5 * N {
                let columns = if at + 4 <= 5 * N {
                    let mut rows = [zero; 4];
                    for lane in 0..4 {
                        rows[lane] =
                            _mm256_loadu_si256(from[lane].cast::<i64>().add(at).cast::<__m256i>());
                    }
                    transpose(rows)
                } else {
                    let mut columns = [zero; 4];
                    for i in 0..4 {
                        if at + i < 5 * N {
                            columns[i] = _mm256_setr_epi64x(
                                *from[0].cast::<i64>().add(at + i),
                                *from[1].cast::<i64>().add(at + i),
                                *from[2].cast::<i64>().add(at + i),
                                *from[3].cast::<i64>().add(at + i),
                            );
                        }
                    }
                    columns
                };
                for i in 0..4 {
                    if at + i < 5 * N {
                        let (element, limb) = ((at + i) / 5, 2 * ((at + i) % 5));
                        out[element].0[limb] = _mm256_and_si256(columns[i], mask);
                        out[element].0[limb + 1] = _mm256_srli_epi64::<LOW_BITS>(columns[i]);
                    }
                }
                at += 4;
            }
            out
        }
    }

    #[inline(always)]
    unsafe fn scatter<const N: usize>(values: [Self; N], to: &[*mut Fe; MAX_LANES]) {
        // SAFETY: AVX2, see the trait; the caller gives room for N elements of five words for each lane, and no more are written.
        unsafe {
            let zero = _mm256_setzero_si256();
            // Words of radix 2^51, settled by a pass of carries.
            let mut words = [[zero; 5]; N];
            for (words, value) in words.iter_mut().zip(&values) {
                let mut carries = [zero; 5];
                for i in 0..5 {
                    let high = _mm256_slli_epi64::<LOW_BITS>(value.0[2 * i + 1]);
                    let whole = _mm256_add_epi64(value.0[2 * i], high);
                    carries[i] = _mm256_srli_epi64::<{ fe::BITS as i32 }>(whole);
                    words[i] = _mm256_and_si256(whole, word(fe::MASK));
                }
                words[0] = _mm256_add_epi64(words[0], times_19(carries[4]));
                for i in 1..5 {
                    words[i] = _mm256_add_epi64(words[i], carries[i - 1]);
                }
            }
            let mut at = 0;
            while at < 5 * N {
                let mut columns = [zero; 4];
                for i in 0..4 {
                    if at + i < 5 * N {
                        columns[i] = words[(at + i) / 5][(at + i) % 5];
                    }
                }
                let rows = transpose(columns);
                for lane in 0..4 {
                    let place = to[lane].cast::<i64>().add(at);
                    if at + 4 <= 5 * N {
                        _mm256_storeu_si256(place.cast::<__m256i>(), rows[lane]);
                    } else {
                        let mut row = [0i64; 4];
                        _mm256_storeu_si256(row.as_mut_ptr().cast::<__m256i>(), rows[lane]);
                        for i in 0..5 * N - at {
                            *place.add(i) = row[i];
                        }
                    }
                }
                at += 4;
            }
        }
    }

    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        let mut x = self.0;
        for i in 0..LIMBS {
            // SAFETY: AVX2, see the trait.
            x[i] = unsafe { _mm256_add_epi64(x[i], b.0[i]) };
        }
        Self(x)
    }

    #[inline(always)]
    unsafe fn minus(self, b: Self) -> Self {
        let mut x = self.0;
        for i in 0..LIMBS {
            // SAFETY: AVX2, see the trait.
            x[i] = unsafe { _mm256_add_epi64(x[i], _mm256_sub_epi64(word(FOUR_P[i]), b.0[i])) };
        }
        Self(x)
    }

    /// One pass of carries: limbs below 2^31 in, so that each carry is below 2^6 and 19 of the last below 2^11.
    #[inline(always)]
    unsafe fn settle(self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let x = self.0;
            let mut out = x;
            let mut carries = x;
            for i in 0..5 {
                carries[2 * i] = _mm256_srli_epi64::<LOW_BITS>(x[2 * i]);
                out[2 * i] = _mm256_and_si256(x[2 * i], word(LOW_MASK));
                carries[2 * i + 1] = _mm256_srli_epi64::<HIGH_BITS>(x[2 * i + 1]);
                out[2 * i + 1] = _mm256_and_si256(x[2 * i + 1], word(HIGH_MASK));
            }
            out[0] = _mm256_add_epi64(out[0], _mm256_mul_epu32(carries[9], word(19)));
            for i in 1..LIMBS {
                out[i] = _mm256_add_epi64(out[i], carries[i - 1]);
            }
            debug_assert!(settled(&out), "one pass of carries is enough");
            Self(out)
        }
    }

    #[inline(always)]
    unsafe fn multiply(self, b: Self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe { Self::product(&self.0, &b.0) }
    }

    #[inline(always)]
    unsafe fn square(self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe { Self::squared(&self.0) }
    }

    #[inline(always)]
    unsafe fn canonical(self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mut x = self.settle().0;
            // Below 2^255 + 2^52 here; q is 1 where it is p or more, found by the carries of x + 19.
            let mut q = word(19);
            for i in 0..5 {
                q = _mm256_srli_epi64::<LOW_BITS>(_mm256_add_epi64(x[2 * i], q));
                q = _mm256_srli_epi64::<HIGH_BITS>(_mm256_add_epi64(x[2 * i + 1], q));
            }
            let mut carry = times_19(q);
            for i in 0..5 {
                let low = _mm256_add_epi64(x[2 * i], carry);
                x[2 * i] = _mm256_and_si256(low, word(LOW_MASK));
                let high = _mm256_add_epi64(x[2 * i + 1], _mm256_srli_epi64::<LOW_BITS>(low));
                x[2 * i + 1] = _mm256_and_si256(high, word(HIGH_MASK));
                carry = _mm256_srli_epi64::<HIGH_BITS>(high);
            }
            Self(x)
        }
    }

    #[inline(always)]
    unsafe fn select(mask: u8, yes: Self, no: Self) -> Self {
        let mut x = no.0;
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mask = spread(mask);
            for i in 0..LIMBS {
                x[i] = _mm256_blendv_epi8(no.0[i], yes.0[i], mask);
            }
        }
        Self(x)
    }

    #[inline(always)]
    unsafe fn same(self, b: Self) -> u8 {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mut all = _mm256_cmpeq_epi64(self.0[0], b.0[0]);
            for i in 1..LIMBS {
                all = _mm256_and_si256(all, _mm256_cmpeq_epi64(self.0[i], b.0[i]));
            }
            collect(all)
        }
    }

    #[inline(always)]
    unsafe fn odd(self) -> u8 {
        // SAFETY: AVX2, see the trait.
        unsafe { collect(_mm256_slli_epi64::<63>(self.0[0])) }
    }
}
