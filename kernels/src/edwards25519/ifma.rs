//! Eight elements at once: AVX-512 IFMA, five words of radix 2^51.
//!
//! `vpmadd52luq` and `vpmadd52huq` multiply the low 52 bits of two words and add the low or the high 52 bits of the product to a
//! 64-bit word. A factor's limbs must be below 2^52; settled limbs (below 2^51 + 2^15) are. The low half of `a_i b_j` counts
//! 2^(51 (i + j)); the high half counts twice 2^(51 (i + j + 1)), so high halves are summed first and doubled once for each column.
//! A column is at most 5 low and 5 doubled high halves, 15 · 2^52; with 19 times the column five above it is below 300 · 2^52 < 2^61.
//! One pass of carries then leaves limbs below 2^51 + 19 · 600 < 2^51 + 2^15.
#![allow(unsafe_code)]
// Plain loops over limbs and words: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;

use super::fe::{BITS, FOUR_P, Fe, MASK};
use super::lanes::{Lanes, MAX_LANES, Work};
use crate::x86::avx512::{transpose, word};

/// Eight elements; word i holds limb i of each.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct X8([__m512i; 5]);

/// Whether every limb of every lane is below 2^52 (debug builds).
#[inline(always)]
unsafe fn fits(limbs: &[__m512i; 5]) -> bool {
    let mut all = true;
    for limb in limbs {
        // SAFETY: the caller runs under AVX-512.
        all &= unsafe { _mm512_cmpgt_epu64_mask(*limb, word((1 << 52) - 1)) } == 0;
    }
    all
}

/// The words of a block of eight that belong to `words` words in all.
#[inline(always)]
const fn part(words: usize, block: usize) -> u8 {
    let left = words - 8 * block;
    if left >= 8 { 0xff } else { (1 << left) - 1 }
}

impl X8 {
    /// One pass of carries; words below 2^61.
    #[inline(always)]
    unsafe fn carried(x: [__m512i; 5]) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe {
            let mask = word(MASK);
            let mut carry = x;
            let mut low = x;
            for i in 0..5 {
                carry[i] = _mm512_srli_epi64::<BITS>(x[i]);
                low[i] = _mm512_and_si512(x[i], mask);
            }
            let out = [
                _mm512_madd52lo_epu64(low[0], carry[4], word(19)),
                _mm512_add_epi64(low[1], carry[0]),
                _mm512_add_epi64(low[2], carry[1]),
                _mm512_add_epi64(low[3], carry[2]),
                _mm512_add_epi64(low[4], carry[3]),
            ];
            debug_assert!(fits(&out), "one pass of carries is enough");
            Self(out)
        }
    }

    /// Ten columns to five limbs: the upper ones count 19 times.
    #[inline(always)]
    unsafe fn folded(t: [__m512i; 10]) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe {
            let mut x = [t[0], t[1], t[2], t[3], t[4]];
            for i in 0..5 {
                let u = t[5 + i];
                let twice_and_once = _mm512_add_epi64(u, _mm512_add_epi64(u, u));
                x[i] = _mm512_add_epi64(
                    x[i],
                    _mm512_add_epi64(twice_and_once, _mm512_slli_epi64::<4>(u)),
                );
            }
            Self::carried(x)
        }
    }
}

// SAFETY: the intrinsics need AVX-512 F, DQ, VL and IFMA, as the trait's contract says.
unsafe impl Lanes for X8 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn enter<W: Work<Self>>(work: W) -> W::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,bmi2")]
        #[inline(never)]
        unsafe fn inner<W: Work<X8>>(work: W) -> W::Output {
            // SAFETY: compiled for the instruction set.
            unsafe { work.run() }
        }
        // SAFETY: the caller's promise.
        unsafe { inner(work) }
    }

    #[inline(always)]
    unsafe fn splat(constant: &Fe) -> Self {
        let c = &constant.0;
        // SAFETY: AVX-512, see the trait.
        unsafe { Self([word(c[0]), word(c[1]), word(c[2]), word(c[3]), word(c[4])]) }
    }

    #[inline(always)]
    unsafe fn gather<const N: usize>(from: &[*const Fe; MAX_LANES]) -> [Self; N] {
        // SAFETY: AVX-512, see the trait; the caller gives N elements of five words for each lane, and no more are read.
        unsafe {
            let zero = _mm512_setzero_si512();
            let mut out = [Self([zero; 5]); N];
            let mut block = 0;
            while 8 * block < 5 * N {
                let mask = part(5 * N, block);
                let mut rows = [zero; 8];
                for lane in 0..8 {
                    rows[lane] =
                        _mm512_maskz_loadu_epi64(mask, from[lane].cast::<i64>().add(8 * block));
                }
                let columns = transpose(rows);
                for i in 0..8 {
                    let at = 8 * block + i;
                    if at < 5 * N {
                        out[at / 5].0[at % 5] = columns[i];
                    }
                }
                block += 1;
            }
            out
        }
    }

    #[inline(always)]
    unsafe fn scatter<const N: usize>(values: [Self; N], to: &[*mut Fe; MAX_LANES]) {
        // SAFETY: AVX-512, see the trait; the caller gives room for N elements of five words for each lane, and no more are written.
        unsafe {
            let mut block = 0;
            while 8 * block < 5 * N {
                let mask = part(5 * N, block);
                let mut columns = [_mm512_setzero_si512(); 8];
                for i in 0..8 {
                    let at = 8 * block + i;
                    if at < 5 * N {
                        columns[i] = values[at / 5].0[at % 5];
                    }
                }
                let rows = transpose(columns);
                for lane in 0..8 {
                    _mm512_mask_storeu_epi64(
                        to[lane].cast::<i64>().add(8 * block),
                        mask,
                        rows[lane],
                    );
                }
                block += 1;
            }
        }
    }

    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        let mut x = self.0;
        for i in 0..5 {
            // SAFETY: AVX-512, see the trait.
            x[i] = unsafe { _mm512_add_epi64(x[i], b.0[i]) };
        }
        Self(x)
    }

    #[inline(always)]
    unsafe fn minus(self, b: Self) -> Self {
        let mut x = self.0;
        for i in 0..5 {
            // SAFETY: AVX-512, see the trait.
            x[i] = unsafe { _mm512_add_epi64(x[i], _mm512_sub_epi64(word(FOUR_P[i]), b.0[i])) };
        }
        Self(x)
    }

    #[inline(always)]
    unsafe fn settle(self) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe { Self::carried(self.0) }
    }

    #[inline(always)]
    unsafe fn multiply(self, b: Self) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe {
            debug_assert!(fits(&self.0) && fits(&b.0), "factors fit 52 bits");
            let (a, b) = (self.0, b.0);
            let mut t = [_mm512_setzero_si512(); 10];
            for i in 0..5 {
                for j in 0..5 {
                    t[i + j + 1] = _mm512_madd52hi_epu64(t[i + j + 1], a[j], b[i]);
                }
            }
            for i in 1..10 {
                t[i] = _mm512_add_epi64(t[i], t[i]);
            }
            for i in 0..5 {
                for j in 0..5 {
                    t[i + j] = _mm512_madd52lo_epu64(t[i + j], a[j], b[i]);
                }
            }
            Self::folded(t)
        }
    }

    /// Mixed products count twice: t = 2 (2 Σ high(mixed) + Σ high(square) + Σ low(mixed)) + Σ low(square).
    #[inline(always)]
    unsafe fn square(self) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe {
            debug_assert!(fits(&self.0), "factors fit 52 bits");
            let a = self.0;
            let mut t = [_mm512_setzero_si512(); 10];
            for i in 0..4 {
                for j in i + 1..5 {
                    t[i + j + 1] = _mm512_madd52hi_epu64(t[i + j + 1], a[j], a[i]);
                }
            }
            for i in 2..9 {
                t[i] = _mm512_add_epi64(t[i], t[i]);
            }
            for i in 0..5 {
                t[2 * i + 1] = _mm512_madd52hi_epu64(t[2 * i + 1], a[i], a[i]);
            }
            for i in 0..4 {
                for j in i + 1..5 {
                    t[i + j] = _mm512_madd52lo_epu64(t[i + j], a[j], a[i]);
                }
            }
            for i in 1..10 {
                t[i] = _mm512_add_epi64(t[i], t[i]);
            }
            for i in 0..5 {
                t[2 * i] = _mm512_madd52lo_epu64(t[2 * i], a[i], a[i]);
            }
            Self::folded(t)
        }
    }

    #[inline(always)]
    unsafe fn canonical(self) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe {
            let mask = word(MASK);
            let mut x = Self::carried(self.0).0;
            // Below 2^255 + 2^52 here; q is 1 where it is p or more, found by the carries of x + 19.
            let mut q = _mm512_srli_epi64::<BITS>(_mm512_add_epi64(x[0], word(19)));
            for i in 1..5 {
                q = _mm512_srli_epi64::<BITS>(_mm512_add_epi64(x[i], q));
            }
            x[0] = _mm512_madd52lo_epu64(x[0], q, word(19));
            for i in 0..4 {
                x[i + 1] = _mm512_add_epi64(x[i + 1], _mm512_srli_epi64::<BITS>(x[i]));
                x[i] = _mm512_and_si512(x[i], mask);
            }
            x[4] = _mm512_and_si512(x[4], mask);
            Self(x)
        }
    }

    #[inline(always)]
    unsafe fn select(mask: u8, yes: Self, no: Self) -> Self {
        let mut x = no.0;
        for i in 0..5 {
            // SAFETY: AVX-512, see the trait.
            x[i] = unsafe { _mm512_mask_blend_epi64(mask, no.0[i], yes.0[i]) };
        }
        Self(x)
    }

    #[inline(always)]
    unsafe fn same(self, b: Self) -> u8 {
        let mut mask = 0xff;
        for i in 0..5 {
            // SAFETY: AVX-512, see the trait.
            mask &= unsafe { _mm512_cmpeq_epu64_mask(self.0[i], b.0[i]) };
        }
        mask
    }

    #[inline(always)]
    unsafe fn odd(self) -> u8 {
        // SAFETY: AVX-512, see the trait.
        unsafe { _mm512_test_epi64_mask(self.0[0], word(1)) }
    }
}
