//! Four elements at once: AVX2, ten words of radix 2^25.5, the low 32 bits of a 64-bit word each.
//!
//! A limb of radix 2^51 is a low word of 26 bits and a high one of 25, so elements in memory convert by a shift and a mask. Settled
//! words are below 2^26 + 2^15 (even places) and 2^25 + 2^15 (odd ones). `vpmuludq` multiplies 32-bit words: 19 times a settled word is
//! below 2^31, twice one below 2^28. A column is at most 2^52.1 · (1 + 4 · 19 + 5 · 38 / 4) < 2^60.
//!
//! What is stored may have limbs up to 2^51 + 2^41, as a high word may be over 2^25 by 2^15.
#![allow(unsafe_code)]
// Plain loops over limbs and words: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;

use super::fe::Fe;
use super::lanes::{Lanes, MAX_LANES, Work};

/// Bits of the word at each place.
const BITS: [i32; 10] = [26, 25, 26, 25, 26, 25, 26, 25, 26, 25];
/// The words of 4 p.
const FOUR_P: [u64; 10] = {
    let mut words = [0; 10];
    let mut i = 0;
    while i < 10 {
        words[i] = 4 * ((1 << BITS[i]) - 1);
        i += 1;
    }
    words[0] -= 4 * 18;
    words
};

/// Four elements; word i holds limb i of each.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct X4([__m256i; 10]);

/// The same word in every lane.
#[inline(always)]
unsafe fn word(value: u64) -> __m256i {
    // SAFETY: the caller runs under AVX2.
    unsafe { _mm256_set1_epi64x(value.cast_signed()) }
}

/// A word shifted down by the bits of its place.
#[inline(always)]
unsafe fn carry_of(x: __m256i, place: usize) -> __m256i {
    // SAFETY: the caller runs under AVX2.
    unsafe {
        if place.is_multiple_of(2) {
            _mm256_srli_epi64::<26>(x)
        } else {
            _mm256_srli_epi64::<25>(x)
        }
    }
}

/// The bits of a word that belong to its place.
#[inline(always)]
unsafe fn low_of(x: __m256i, place: usize) -> __m256i {
    // SAFETY: the caller runs under AVX2.
    unsafe { _mm256_and_si256(x, word((1 << BITS[place]) - 1)) }
}

/// 19 x.
#[inline(always)]
unsafe fn times_19(x: __m256i) -> __m256i {
    // SAFETY: the caller runs under AVX2.
    unsafe {
        _mm256_add_epi64(
            _mm256_add_epi64(x, _mm256_add_epi64(x, x)),
            _mm256_slli_epi64::<4>(x),
        )
    }
}

/// All bits in the lanes of a mask.
#[inline(always)]
unsafe fn spread(mask: u8) -> __m256i {
    // SAFETY: the caller runs under AVX2.
    unsafe {
        let bits = _mm256_setr_epi64x(1, 2, 4, 8);
        _mm256_cmpeq_epi64(_mm256_and_si256(word(u64::from(mask)), bits), bits)
    }
}

/// Turns four rows of four words into four columns.
#[inline(always)]
unsafe fn transpose(r: [__m256i; 4]) -> [__m256i; 4] {
    // SAFETY: the caller runs under AVX2.
    unsafe {
        let a0 = _mm256_unpacklo_epi64(r[0], r[1]);
        let a1 = _mm256_unpackhi_epi64(r[0], r[1]);
        let a2 = _mm256_unpacklo_epi64(r[2], r[3]);
        let a3 = _mm256_unpackhi_epi64(r[2], r[3]);
        [
            _mm256_permute2x128_si256::<0x20>(a0, a2),
            _mm256_permute2x128_si256::<0x20>(a1, a3),
            _mm256_permute2x128_si256::<0x31>(a0, a2),
            _mm256_permute2x128_si256::<0x31>(a1, a3),
        ]
    }
}

/// The words of a block of four that belong to `words` words in all.
#[inline(always)]
unsafe fn part(words: usize, block: usize) -> __m256i {
    let left = (words - 4 * block).min(4);
    // SAFETY: the caller runs under AVX2.
    unsafe { spread((1 << left) - 1) }
}

impl X4 {
    /// Columns below 2^60 to settled words: two chains of carries side by side, then around.
    #[inline(always)]
    unsafe fn reduced(mut h: [__m256i; 10]) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            for place in [0, 4, 1, 5, 2, 6, 3, 7, 4, 8] {
                h[place + 1] = _mm256_add_epi64(h[place + 1], carry_of(h[place], place));
                h[place] = low_of(h[place], place);
            }
            // The carry out of the top is below 2^36.
            h[0] = _mm256_add_epi64(h[0], times_19(carry_of(h[9], 9)));
            h[9] = low_of(h[9], 9);
            h[1] = _mm256_add_epi64(h[1], carry_of(h[0], 0));
            h[0] = low_of(h[0], 0);
        }
        Self(h)
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
            let mut x = [_mm256_setzero_si256(); 10];
            for i in 0..5 {
                x[2 * i] = word(constant.0[i] & ((1 << 26) - 1));
                x[2 * i + 1] = word(constant.0[i] >> 26);
            }
            Self(x)
        }
    }

    #[inline(always)]
    unsafe fn gather<const N: usize>(from: &[*const Fe; MAX_LANES]) -> [Self; N] {
        // SAFETY: AVX2, see the trait; the caller gives N elements of five words for each lane, and no more are read.
        unsafe {
            let zero = _mm256_setzero_si256();
            let mut out = [Self([zero; 10]); N];
            let mut block = 0;
            while 4 * block < 5 * N {
                let mask = part(5 * N, block);
                let mut rows = [zero; 4];
                for lane in 0..4 {
                    rows[lane] =
                        _mm256_maskload_epi64(from[lane].cast::<i64>().add(4 * block), mask);
                }
                let columns = transpose(rows);
                for i in 0..4 {
                    let at = 4 * block + i;
                    if at < 5 * N {
                        let limb = columns[i];
                        out[at / 5].0[2 * (at % 5)] = low_of(limb, 0);
                        out[at / 5].0[2 * (at % 5) + 1] = carry_of(limb, 0);
                    }
                }
                block += 1;
            }
            out
        }
    }

    #[inline(always)]
    unsafe fn scatter<const N: usize>(values: [Self; N], to: &[*mut Fe; MAX_LANES]) {
        // SAFETY: AVX2, see the trait; the caller gives room for N elements of five words for each lane, and no more are written.
        unsafe {
            let mut block = 0;
            while 4 * block < 5 * N {
                let mask = part(5 * N, block);
                let mut columns = [_mm256_setzero_si256(); 4];
                for i in 0..4 {
                    let at = 4 * block + i;
                    if at < 5 * N {
                        let x = &values[at / 5].0;
                        columns[i] = _mm256_add_epi64(
                            x[2 * (at % 5)],
                            _mm256_slli_epi64::<26>(x[2 * (at % 5) + 1]),
                        );
                    }
                }
                let rows = transpose(columns);
                for lane in 0..4 {
                    _mm256_maskstore_epi64(to[lane].cast::<i64>().add(4 * block), mask, rows[lane]);
                }
                block += 1;
            }
        }
    }

    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        let mut x = self.0;
        for i in 0..10 {
            // SAFETY: AVX2, see the trait.
            x[i] = unsafe { _mm256_add_epi64(x[i], b.0[i]) };
        }
        Self(x)
    }

    #[inline(always)]
    unsafe fn minus(self, b: Self) -> Self {
        let mut x = self.0;
        for i in 0..10 {
            // SAFETY: AVX2, see the trait.
            x[i] = unsafe { _mm256_add_epi64(x[i], _mm256_sub_epi64(word(FOUR_P[i]), b.0[i])) };
        }
        Self(x)
    }

    /// One pass of carries. Words below 2^31 have carries below 2^6.
    #[inline(always)]
    unsafe fn settle(self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let x = self.0;
            let mut out = x;
            for i in 0..10 {
                let carry = if i == 0 {
                    times_19(carry_of(x[9], 9))
                } else {
                    carry_of(x[i - 1], i - 1)
                };
                out[i] = _mm256_add_epi64(low_of(x[i], i), carry);
            }
            Self(out)
        }
    }

    #[inline(always)]
    unsafe fn multiply(self, b: Self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let (f, g) = (self.0, b.0);
            // Products of two odd places count twice, products beyond the top 19 times.
            let mut f2 = f;
            let mut g19 = g;
            for i in 0..10 {
                if i % 2 == 1 {
                    f2[i] = _mm256_add_epi64(f[i], f[i]);
                }
                g19[i] = _mm256_mul_epu32(g[i], word(19));
            }
            let mut h = [_mm256_setzero_si256(); 10];
            for k in 0..10 {
                let mut sum = _mm256_setzero_si256();
                for i in 0..10 {
                    let j = (10 + k - i) % 10;
                    let left = if j % 2 == 1 { f2[i] } else { f[i] };
                    let right = if i + j >= 10 { g19[j] } else { g[j] };
                    sum = _mm256_add_epi64(sum, _mm256_mul_epu32(left, right));
                }
                h[k] = sum;
            }
            Self::reduced(h)
        }
    }

    #[inline(always)]
    unsafe fn square(self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let f = self.0;
            let mut f2 = f;
            let mut f19 = f;
            for i in 0..10 {
                f2[i] = _mm256_add_epi64(f[i], f[i]);
                f19[i] = _mm256_mul_epu32(f[i], word(19));
            }
            let mut h = [_mm256_setzero_si256(); 10];
            for k in 0..10 {
                // Products of two places, counted once here and twice below; then squares of one.
                let mut sum = _mm256_setzero_si256();
                let mut own = _mm256_setzero_si256();
                for i in 0..10 {
                    let j = (10 + k - i) % 10;
                    // f[i] f[j] (2 where both are odd) (19 beyond the top).
                    let left = if i % 2 == 1 && j % 2 == 1 {
                        f2[i]
                    } else {
                        f[i]
                    };
                    let right = if i + j >= 10 { f19[j] } else { f[j] };
                    if i < j {
                        sum = _mm256_add_epi64(sum, _mm256_mul_epu32(left, right));
                    } else if i == j {
                        own = _mm256_add_epi64(own, _mm256_mul_epu32(left, right));
                    }
                }
                h[k] = _mm256_add_epi64(own, _mm256_add_epi64(sum, sum));
            }
            Self::reduced(h)
        }
    }

    #[inline(always)]
    unsafe fn canonical(self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mut x = self.settle().0;
            // Below 2^255 + 2^52 here; q is 1 where it is p or more, found by the carries of x + 19.
            let mut q = carry_of(_mm256_add_epi64(x[0], word(19)), 0);
            for i in 1..10 {
                q = carry_of(_mm256_add_epi64(x[i], q), i);
            }
            x[0] = _mm256_add_epi64(x[0], times_19(q));
            for i in 0..9 {
                x[i + 1] = _mm256_add_epi64(x[i + 1], carry_of(x[i], i));
                x[i] = low_of(x[i], i);
            }
            x[9] = low_of(x[9], 9);
            Self(x)
        }
    }

    #[inline(always)]
    unsafe fn select(mask: u8, yes: Self, no: Self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mask = spread(mask);
            let mut x = no.0;
            for i in 0..10 {
                x[i] = _mm256_blendv_epi8(no.0[i], yes.0[i], mask);
            }
            Self(x)
        }
    }

    #[inline(always)]
    unsafe fn same(self, b: Self) -> u8 {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mut all = word(u64::MAX);
            for i in 0..10 {
                all = _mm256_and_si256(all, _mm256_cmpeq_epi64(self.0[i], b.0[i]));
            }
            _mm256_movemask_pd(_mm256_castsi256_pd(all)) as u8
        }
    }

    #[inline(always)]
    unsafe fn odd(self) -> u8 {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let top = _mm256_slli_epi64::<63>(self.0[0]);
            _mm256_movemask_pd(_mm256_castsi256_pd(top)) as u8
        }
    }
}
