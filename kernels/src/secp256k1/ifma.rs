//! The base field for AVX-512 IFMA: eight elements in five registers, radix 2^52, p = 2^256 - 2^32 - 977.
//!
//! Numbers are as they are, in no Montgomery form: 2^260 is 2^4 (2^32 + 977) modulo p, a number of 37 bits, so that the upper half of a
//! product folds onto the lower with ten multiply-adds, where Montgomery's reduction takes 55.
//!
//! A value is five words, least significant first, and *settled* when every word is below 2^52 (a multiply-add reads no more). What
//! `reduce` and products give is below 2^256 + 2^216: the four low words below 2^52, the top word below 2^48 + 2^8. The bounds of
//! [`Lanes`] in multiples of p hold with room.
#![allow(unsafe_code)]
// Plain loops over limbs: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;

use crate::{
    curve::lanes::{Entry, Lanes, MAX_LANES},
    field::secp256k1::{Base, Fp},
    x86::avx512::{transpose, word},
};

const BITS: u32 = 52;
const MASK: u64 = (1 << BITS) - 1;
/// Bits of the top word below 2^256.
const TOP: u32 = 48;
/// 2^256 modulo p.
const FOLD: u64 = (1 << 32) + 977;
/// 2^260 modulo p.
const FOLD_260: u64 = FOLD << 4;
/// p in radix 2^52.
const P: [u64; 5] = [0xf_fffe_ffff_fc2f, MASK, MASK, MASK, (1 << TOP) - 1];

/// Eight elements; word i of each in register i.
#[derive(Clone, Copy)]
pub(super) struct X8([__m512i; 5]);

impl X8 {
    /// Four 64-bit words as five of 52 bits.
    #[inline(always)]
    unsafe fn split(w: [__m512i; 4]) -> Self {
        // SAFETY: the caller runs under AVX-512.
        unsafe {
            let mask = word(MASK);
            Self([
                _mm512_and_si512(w[0], mask),
                _mm512_and_si512(
                    _mm512_or_si512(_mm512_srli_epi64::<52>(w[0]), _mm512_slli_epi64::<12>(w[1])),
                    mask,
                ),
                _mm512_and_si512(
                    _mm512_or_si512(_mm512_srli_epi64::<40>(w[1]), _mm512_slli_epi64::<24>(w[2])),
                    mask,
                ),
                _mm512_and_si512(
                    _mm512_or_si512(_mm512_srli_epi64::<28>(w[2]), _mm512_slli_epi64::<36>(w[3])),
                    mask,
                ),
                _mm512_srli_epi64::<16>(w[3]),
            ])
        }
    }

    /// The number below p as four 64-bit words. Takes what `reduce` gives.
    #[inline(always)]
    unsafe fn joined(self) -> [__m512i; 4] {
        // SAFETY: the caller runs under AVX-512.
        unsafe {
            let mask = word(MASK);
            // x + (2^256 - p): bit 256 of the sum says x >= p, and the sum less 2^256 is then x - p.
            let mut less = self.0;
            less[0] = _mm512_add_epi64(less[0], word(FOLD));
            for i in 0..4 {
                less[i + 1] = _mm512_add_epi64(less[i + 1], _mm512_srli_epi64::<BITS>(less[i]));
                less[i] = _mm512_and_si512(less[i], mask);
            }
            let over = _mm512_cmpgt_epu64_mask(less[4], word((1 << TOP) - 1));
            less[4] = _mm512_and_si512(less[4], word((1 << TOP) - 1));
            let mut x = self.0;
            for i in 0..5 {
                x[i] = _mm512_mask_mov_epi64(x[i], over, less[i]);
            }
            [
                _mm512_or_si512(x[0], _mm512_slli_epi64::<52>(x[1])),
                _mm512_or_si512(_mm512_srli_epi64::<12>(x[1]), _mm512_slli_epi64::<40>(x[2])),
                _mm512_or_si512(_mm512_srli_epi64::<24>(x[2]), _mm512_slli_epi64::<28>(x[3])),
                _mm512_or_si512(_mm512_srli_epi64::<36>(x[3]), _mm512_slli_epi64::<16>(x[4])),
            ]
        }
    }

    /// Whether every word is below 2^52 (debug builds).
    #[inline(always)]
    unsafe fn settled(&self) -> bool {
        let mut all = true;
        for limb in &self.0 {
            // SAFETY: the caller runs under AVX-512.
            all &= unsafe { _mm512_cmpgt_epu64_mask(*limb, word(MASK)) } == 0;
        }
        all
    }

    /// Adds the product to the columns (column i counts 2^(52 i)): at most five halves of products each way in one.
    #[inline(always)]
    unsafe fn accumulate(t: &mut [__m512i; 10], a: Self, b: Self) {
        // SAFETY: the caller runs under AVX-512 IFMA.
        unsafe {
            debug_assert!(a.settled() && b.settled(), "factors hold no carries");
            for i in 0..5 {
                for j in 0..5 {
                    t[i + j] = _mm512_madd52lo_epu64(t[i + j], a.0[i], b.0[j]);
                    t[i + j + 1] = _mm512_madd52hi_epu64(t[i + j + 1], a.0[i], b.0[j]);
                }
            }
        }
    }

    /// The columns of the square: mixed products once, the columns doubled.
    #[inline(always)]
    unsafe fn squared_columns(a: Self) -> [__m512i; 10] {
        // SAFETY: the caller runs under AVX-512 IFMA.
        unsafe {
            debug_assert!(a.settled(), "factors hold no carries");
            let mut t = [_mm512_setzero_si512(); 10];
            for i in 0..4 {
                for j in i + 1..5 {
                    t[i + j] = _mm512_madd52lo_epu64(t[i + j], a.0[i], a.0[j]);
                    t[i + j + 1] = _mm512_madd52hi_epu64(t[i + j + 1], a.0[i], a.0[j]);
                }
            }
            for column in &mut t {
                *column = _mm512_add_epi64(*column, *column);
            }
            for i in 0..5 {
                t[2 * i] = _mm512_madd52lo_epu64(t[2 * i], a.0[i], a.0[i]);
                t[2 * i + 1] = _mm512_madd52hi_epu64(t[2 * i + 1], a.0[i], a.0[i]);
            }
            t
        }
    }

    /// Columns below 2^57, together below 2^519, plus lazy words: settled and below 2^256 + 2^216.
    #[inline(always)]
    unsafe fn folded(mut t: [__m512i; 10], extra: Self) -> Self {
        // SAFETY: the caller runs under AVX-512 IFMA.
        unsafe {
            let mask = word(MASK);
            // The upper half is multiplied, so it must be settled; the lower need not be. Below 2^519, the top column is below 2^52.
            for i in 5..9 {
                t[i + 1] = _mm512_add_epi64(t[i + 1], _mm512_srli_epi64::<BITS>(t[i]));
                t[i] = _mm512_and_si512(t[i], mask);
            }
            let fold = word(FOLD_260);
            let mut r = [_mm512_setzero_si512(); 6];
            for i in 0..5 {
                r[i] = _mm512_add_epi64(t[i], extra.0[i]);
            }
            for i in 0..5 {
                r[i] = _mm512_madd52lo_epu64(r[i], t[5 + i], fold);
                r[i + 1] = _mm512_madd52hi_epu64(r[i + 1], t[5 + i], fold);
            }
            // What is above 2^256: the sixth word is below 2^37, so 2^42 in all.
            let above =
                _mm512_add_epi64(_mm512_srli_epi64::<TOP>(r[4]), _mm512_slli_epi64::<4>(r[5]));
            r[4] = _mm512_and_si512(r[4], word((1 << TOP) - 1));
            let fold = word(FOLD);
            r[0] = _mm512_madd52lo_epu64(r[0], above, fold);
            r[1] = _mm512_madd52hi_epu64(r[1], above, fold);
            Self::carried([r[0], r[1], r[2], r[3], r[4]])
        }
    }

    /// Moves the carries of the four lower words up. The top word takes at most 2^8 from words below 2^60.
    #[inline(always)]
    unsafe fn carried(mut r: [__m512i; 5]) -> Self {
        // SAFETY: the caller runs under AVX-512.
        unsafe {
            let mask = word(MASK);
            for i in 0..4 {
                r[i + 1] = _mm512_add_epi64(r[i + 1], _mm512_srli_epi64::<BITS>(r[i]));
                r[i] = _mm512_and_si512(r[i], mask);
            }
        }
        Self(r)
    }

    /// No words: nothing to add.
    #[inline(always)]
    unsafe fn nothing() -> Self {
        // SAFETY: the caller runs under AVX-512.
        Self([unsafe { _mm512_setzero_si512() }; 5])
    }
}

// SAFETY: the intrinsics need AVX-512 F, DQ, VL and IFMA, as the trait's contract says.
unsafe impl Lanes for X8 {
    type Field = Base;
    const LANES: usize = 8;

    #[inline(always)]
    fn pack(element: Fp) -> [u64; 4] {
        element.to_limbs()
    }

    #[inline(always)]
    fn unpack(words: [u64; 4]) -> Fp {
        // Packed words are below p.
        Fp::from_limbs(words).unwrap_or_default()
    }

    #[inline(always)]
    unsafe fn gather(from: &[&Entry; MAX_LANES]) -> (Self, Self) {
        // SAFETY: AVX-512, see the trait; an entry is eight words at a multiple of 64 bytes.
        unsafe {
            let mut rows = [_mm512_setzero_si512(); 8];
            for lane in 0..8 {
                rows[lane] = _mm512_load_si512(std::ptr::from_ref(from[lane]).cast());
            }
            let w = transpose(rows);
            (
                Self::split([w[0], w[1], w[2], w[3]]),
                Self::split([w[4], w[5], w[6], w[7]]),
            )
        }
    }

    #[inline(always)]
    unsafe fn scatter(x: Self, y: Self) -> [Entry; MAX_LANES] {
        let mut out = [Entry::BLANK; MAX_LANES];
        // SAFETY: AVX-512, see the trait; an entry is eight words at a multiple of 64 bytes.
        unsafe {
            let (x, y) = (x.joined(), y.joined());
            let rows = transpose([x[0], x[1], x[2], x[3], y[0], y[1], y[2], y[3]]);
            for lane in 0..8 {
                _mm512_store_si512(std::ptr::from_mut(&mut out[lane]).cast(), rows[lane]);
            }
        }
        out
    }

    #[inline(always)]
    unsafe fn splat(words: &[u64; 4]) -> Self {
        // SAFETY: AVX-512, see the trait.
        unsafe {
            Self::split([
                word(words[0]),
                word(words[1]),
                word(words[2]),
                word(words[3]),
            ])
        }
    }

    #[inline(always)]
    unsafe fn multiply(self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { self.multiply_plus(b, Self::nothing()) }
    }

    #[inline(always)]
    unsafe fn square(self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { self.square_plus(Self::nothing()) }
    }

    #[inline(always)]
    unsafe fn multiply_plus(self, b: Self, extra: Self) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe {
            let mut t = [_mm512_setzero_si512(); 10];
            Self::accumulate(&mut t, self, b);
            Self::folded(t, extra)
        }
    }

    #[inline(always)]
    unsafe fn square_plus(self, extra: Self) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe { Self::folded(Self::squared_columns(self), extra) }
    }

    #[inline(always)]
    unsafe fn multiply_two(a: Self, b: Self, c: Self, d: Self) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe {
            let mut t = [_mm512_setzero_si512(); 10];
            Self::accumulate(&mut t, a, b);
            Self::accumulate(&mut t, c, d);
            Self::folded(t, Self::nothing())
        }
    }

    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        let mut r = self.0;
        for i in 0..5 {
            // SAFETY: AVX-512, see the trait.
            r[i] = unsafe { _mm512_add_epi64(r[i], b.0[i]) };
        }
        Self(r)
    }

    #[inline(always)]
    unsafe fn minus(self, b: Self) -> Self {
        // Word by word: 20 times a word of p is above the sum of eight settled words (the top words are below 2^49 each).
        let mut r = self.0;
        for i in 0..5 {
            // SAFETY: AVX-512, see the trait.
            r[i] = unsafe { _mm512_sub_epi64(_mm512_add_epi64(r[i], word(20 * P[i])), b.0[i]) };
        }
        Self(r)
    }

    #[inline(always)]
    unsafe fn settle(self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::carried(self.0) }
    }

    #[inline(always)]
    unsafe fn reduce(self) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe {
            let mut r = self.0;
            // Below 2^12, so that the fold fits one word.
            let above = _mm512_srli_epi64::<TOP>(r[4]);
            r[4] = _mm512_and_si512(r[4], word((1 << TOP) - 1));
            r[0] = _mm512_madd52lo_epu64(r[0], above, word(FOLD));
            Self::carried(r)
        }
    }

    #[inline(always)]
    unsafe fn select(mask: u8, yes: Self, no: Self) -> Self {
        let mut r = no.0;
        for i in 0..5 {
            // SAFETY: AVX-512, see the trait.
            r[i] = unsafe { _mm512_mask_mov_epi64(no.0[i], mask, yes.0[i]) };
        }
        Self(r)
    }

    #[inline(always)]
    unsafe fn negate_where(self, mask: u8) -> Self {
        // SAFETY: AVX-512 IFMA, see the trait.
        unsafe {
            let mut r = self.0;
            for i in 0..5 {
                r[i] = _mm512_mask_sub_epi64(r[i], mask, word(20 * P[i]), r[i]);
            }
            Self(r).reduce()
        }
    }

    #[inline(always)]
    unsafe fn maybe_zero(self) -> u8 {
        // SAFETY: AVX-512, see the trait.
        unsafe {
            _mm512_testn_epi64_mask(self.0[0], self.0[0])
                | _mm512_cmpeq_epi64_mask(self.0[0], word(P[0]))
        }
    }

    #[inline(always)]
    unsafe fn is_zero(self) -> u8 {
        // Settled and below 2 p: zero is written as 0 or as p.
        let (mut zero, mut modulus) = (0xff, 0xff);
        for i in 0..5 {
            // SAFETY: AVX-512, see the trait.
            unsafe {
                zero &= _mm512_testn_epi64_mask(self.0[i], self.0[i]);
                modulus &= _mm512_cmpeq_epi64_mask(self.0[i], word(P[i]));
            }
        }
        zero | modulus
    }
}
