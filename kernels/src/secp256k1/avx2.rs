//! The base field for AVX2: four elements in five registers, ten limbs of radix 2^26, p = 2^256 - 2^32 - 977.
//!
//! A 64-bit word holds an even limb in its low and the next odd limb in its high half. Sums and carries work on both at once;
//! `vpmuludq` multiplies the low halves of words, so that products take the odd limbs out first. Limbs are below 2^32, which is enough
//! for 62 p, and *settled* when the nine lower ones are below 2^26 + 2^20 and the top one is below 2^29 (128 p). A column of a product
//! is then below 2^56, of two products below 2^57.
//!
//! 2^260 is 2^36 + 15632 modulo p. After one pass of carries the ten upper columns are below 2^32 and fold onto the lower ones with a
//! product by 15632 and a shift by ten bits into the next word. What `reduce` and products give is below 2^256 + 2^240.
#![allow(unsafe_code)]
// Plain loops over limbs: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use core::arch::x86_64::*;

use crate::{
    curve::lanes::{Entry, Lanes, MAX_LANES},
    field::secp256k1::{Base, Fp},
    x86::{
        avx2::{collect, mul_add, spread, transpose, word},
        for_each, span,
    },
};

const LIMBS: usize = 10;
/// Columns of a product.
const COLUMNS: usize = 2 * LIMBS - 1;
const BITS: i32 = 26;
const MASK: u64 = (1 << BITS) - 1;
/// Bits of the top word below 2^256.
const TOP: i32 = 22;
const TOP_MASK: u64 = (1 << TOP) - 1;
/// 2^256 modulo p is 2^32 + this: 2^6 in the second word.
const FOLD_LOW: u64 = 977;
/// 2^260 modulo p is 2^36 + this: 2^10 in the second word.
const FOLD_260_LOW: u64 = FOLD_LOW << 4;
/// p in radix 2^26.
const P: [u64; LIMBS] = [
    MASK - 976,
    MASK - 64,
    MASK,
    MASK,
    MASK,
    MASK,
    MASK,
    MASK,
    MASK,
    TOP_MASK,
];

/// Limbs, one in each word.
type Limbs = [__m256i; LIMBS];

/// Registers of a value.
const WORDS: usize = LIMBS / 2;

/// Four elements; word i holds limbs 2 i and 2 i + 1 of each.
#[derive(Clone, Copy)]
pub(super) struct X4([__m256i; WORDS]);

/// A number for every limb, two in each word.
const fn packed(limbs: &[u64; LIMBS], factor: u64) -> [u64; WORDS] {
    let mut out = [0; WORDS];
    let mut i = 0;
    while i < WORDS {
        out[i] = (factor * limbs[2 * i]) | ((factor * limbs[2 * i + 1]) << 32);
        i += 1;
    }
    out
}

/// 20 p, in words.
const TWENTY_P: [u64; WORDS] = packed(&P, 20);
/// What is left of two limbs without their carries.
const MASKS: u64 = MASK | MASK << 32;
/// The low half of a word.
const LOW_HALF: u64 = 0xffff_ffff;

/// An object on the stack that wants its alignment: without one the compiler leaves the frame unaligned, spilled registers cross cache
/// lines, and a recovery takes 7 % longer.
#[inline(always)]
unsafe fn align_frame() {
    // SAFETY: the caller runs under AVX2.
    core::hint::black_box(&unsafe { _mm256_setzero_si256() });
}

/// Adds the product to the columns.
#[inline(always)]
unsafe fn accumulate(t: &mut [__m256i; COLUMNS], a: &Limbs, b: &Limbs) {
    // SAFETY: the caller runs under AVX2.
    unsafe {
        debug_assert!(settled(a) && settled(b), "factors hold no carries");
        for_each!(C in [10 11 12 13 14 15 16 17 18 0 1 2 3 4 5 6 7 8 9] {
            for i in span::<LIMBS>(C).0..span::<LIMBS>(C).1 + 1 {
                t[C] = mul_add(t[C], a[i], b[C - i]);
            }
        });
    }
}

/// Adds the square to the columns: mixed products once, of twice a limb.
#[inline(always)]
unsafe fn accumulate_square(t: &mut [__m256i; COLUMNS], a: &Limbs) {
    // SAFETY: the caller runs under AVX2.
    unsafe {
        debug_assert!(settled(a), "factors hold no carries");
        let mut doubled = *a;
        for limb in &mut doubled {
            *limb = _mm256_add_epi64(*limb, *limb);
        }
        for_each!(C in [10 11 12 13 14 15 16 17 18 0 1 2 3 4 5 6 7 8 9] {
            for i in span::<LIMBS>(C).0..C.div_ceil(2) {
                t[C] = mul_add(t[C], a[i], doubled[C - i]);
            }
            if C.is_multiple_of(2) {
                t[C] = mul_add(t[C], a[C / 2], a[C / 2]);
            }
        });
    }
}

/// Whether the low half of every word is a settled limb (debug builds).
#[inline(always)]
unsafe fn settled(limbs: &Limbs) -> bool {
    let mut all = true;
    for (i, limb) in limbs.iter().enumerate() {
        let bound = if i + 1 < LIMBS {
            MASK + (1 << 20)
        } else {
            (1 << 29) - 1
        };
        // SAFETY: the caller runs under AVX2.
        unsafe {
            let low = _mm256_and_si256(*limb, word(LOW_HALF));
            let over = _mm256_cmpgt_epi64(low, word(bound));
            all &= _mm256_testz_si256(over, over) == 1;
        }
    }
    all
}

/// Moves the carry of a word to the next.
macro_rules! carry {
    ($r:ident, $i:literal) => {
        $r[$i + 1] = _mm256_add_epi64($r[$i + 1], _mm256_srli_epi64::<BITS>($r[$i]));
        $r[$i] = _mm256_and_si256($r[$i], word(MASK));
    };
}

/// Columns below 2^57, the last below 2^56, to settled words below 2^256 + 2^240.
#[inline(always)]
unsafe fn folded(t: &[__m256i; COLUMNS]) -> X4 {
    // SAFETY: the caller runs under AVX2.
    unsafe {
        let mask = word(MASK);
        // One pass of carries leaves the upper columns below 2^26 + 2^31, and one more above them.
        let mut high = [_mm256_setzero_si256(); LIMBS];
        for i in 0..LIMBS - 1 {
            high[i] = _mm256_and_si256(t[LIMBS + i], mask);
        }
        for i in 1..LIMBS {
            high[i] = _mm256_add_epi64(high[i], _mm256_srli_epi64::<BITS>(t[LIMBS + i - 1]));
        }
        let fold = word(FOLD_260_LOW);
        let mut r = high;
        for i in 0..LIMBS {
            r[i] = mul_add(t[i], high[i], fold);
            if i > 0 {
                r[i] = _mm256_add_epi64(r[i], _mm256_slli_epi64::<10>(high[i - 1]));
            }
        }
        // What the last one adds beyond the lower half is folded once more.
        let last = high[LIMBS - 1];
        r[0] = mul_add(r[0], last, word(FOLD_260_LOW << 10));
        r[1] = _mm256_add_epi64(r[1], _mm256_slli_epi64::<20>(last));

        // Two chains of carries side by side; what leaves the top is below 2^32.
        carry!(r, 5);
        carry!(r, 0);
        carry!(r, 6);
        carry!(r, 1);
        carry!(r, 7);
        carry!(r, 2);
        carry!(r, 8);
        carry!(r, 3);
        let over = _mm256_srli_epi64::<BITS>(r[9]);
        r[9] = _mm256_and_si256(r[9], mask);
        carry!(r, 4);
        r[0] = mul_add(r[0], over, fold);
        r[1] = _mm256_add_epi64(r[1], _mm256_slli_epi64::<10>(over));
        carry!(r, 5);
        carry!(r, 0);
        carry!(r, 1);
        let over = _mm256_srli_epi64::<TOP>(r[9]);
        r[9] = _mm256_and_si256(r[9], word(TOP_MASK));
        r[0] = mul_add(r[0], over, word(FOLD_LOW));
        r[1] = _mm256_add_epi64(r[1], _mm256_slli_epi64::<6>(over));
        debug_assert!(settled(&r), "two chains of carries are enough");
        X4::joined(&r)
    }
}

impl X4 {
    /// Every limb in the low half of a word of its own. The high halves of even limbs hold what they held.
    #[inline(always)]
    unsafe fn apart(&self) -> Limbs {
        // SAFETY: the caller runs under AVX2.
        unsafe {
            let mut limbs = [_mm256_setzero_si256(); LIMBS];
            for i in 0..WORDS {
                limbs[2 * i] = self.0[i];
                limbs[2 * i + 1] = _mm256_srli_epi64::<32>(self.0[i]);
            }
            limbs
        }
    }

    /// Limbs below 2^32, two to a word.
    #[inline(always)]
    unsafe fn joined(limbs: &Limbs) -> Self {
        // SAFETY: the caller runs under AVX2.
        unsafe {
            let mut words = [_mm256_setzero_si256(); WORDS];
            for i in 0..WORDS {
                let odd = _mm256_slli_epi64::<32>(limbs[2 * i + 1]);
                words[i] = _mm256_or_si256(limbs[2 * i], odd);
            }
            Self(words)
        }
    }

    /// The columns that lazy limbs start.
    #[inline(always)]
    unsafe fn columns(&self) -> [__m256i; COLUMNS] {
        // SAFETY: the caller runs under AVX2.
        unsafe {
            let mut t = [_mm256_setzero_si256(); COLUMNS];
            for i in 0..WORDS {
                t[2 * i] = _mm256_and_si256(self.0[i], word(LOW_HALF));
                t[2 * i + 1] = _mm256_srli_epi64::<32>(self.0[i]);
            }
            t
        }
    }

    /// The product plus lazy limbs. The functions of this kind are not inlined: the code is long, and a call costs next to nothing.
    #[inline(never)]
    #[target_feature(enable = "avx2")]
    unsafe fn product<const EXTRA: bool>(a: &Self, b: &Self, extra: &Self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            align_frame();
            let mut t = [_mm256_setzero_si256(); COLUMNS];
            if EXTRA {
                t = extra.columns();
            }
            accumulate(&mut t, &a.apart(), &b.apart());
            folded(&t)
        }
    }

    /// The square plus lazy limbs.
    #[inline(never)]
    #[target_feature(enable = "avx2")]
    unsafe fn squared<const EXTRA: bool>(a: &Self, extra: &Self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mut t = [_mm256_setzero_si256(); COLUMNS];
            if EXTRA {
                t = extra.columns();
            }
            accumulate_square(&mut t, &a.apart());
            folded(&t)
        }
    }

    /// The sum of two products.
    #[inline(never)]
    #[target_feature(enable = "avx2")]
    unsafe fn products(a: &Self, b: &Self, c: &Self, d: &Self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mut t = [_mm256_setzero_si256(); COLUMNS];
            accumulate(&mut t, &a.apart(), &b.apart());
            accumulate(&mut t, &c.apart(), &d.apart());
            folded(&t)
        }
    }

    /// One pass of carries over the limbs of a lazy value. The top limb takes one and gives none.
    #[inline(always)]
    unsafe fn passed(r: &[__m256i; WORDS]) -> Self {
        // SAFETY: the caller runs under AVX2.
        unsafe {
            let mut out = *r;
            let mut below = _mm256_setzero_si256();
            for i in 0..WORDS {
                let carries = _mm256_srli_epi32::<BITS>(r[i]);
                let masks = if i + 1 < WORDS {
                    MASKS
                } else {
                    MASK | LOW_HALF << 32
                };
                out[i] = _mm256_and_si256(r[i], word(masks));
                // The carry of the even limb to the odd one, and that of the odd limb of the word before.
                out[i] = _mm256_add_epi32(out[i], _mm256_slli_epi64::<32>(carries));
                if i > 0 {
                    out[i] = _mm256_add_epi32(out[i], below);
                }
                below = _mm256_srli_epi64::<32>(carries);
            }
            let out = Self(out);
            debug_assert!(settled(&out.apart()), "one pass of carries is enough");
            out
        }
    }

    /// Four 64-bit words as ten limbs of 26 bits, the top one of 22.
    #[inline(always)]
    unsafe fn split(w: &[__m256i; 4]) -> Self {
        // SAFETY: the caller runs under AVX2.
        unsafe {
            // Pairs of limbs, 52 bits each, as in radix 2^52.
            let pairs = [
                w[0],
                _mm256_or_si256(_mm256_srli_epi64::<52>(w[0]), _mm256_slli_epi64::<12>(w[1])),
                _mm256_or_si256(_mm256_srli_epi64::<40>(w[1]), _mm256_slli_epi64::<24>(w[2])),
                _mm256_or_si256(_mm256_srli_epi64::<28>(w[2]), _mm256_slli_epi64::<36>(w[3])),
                _mm256_srli_epi64::<16>(w[3]),
            ];
            let mut out = pairs;
            for i in 0..WORDS {
                let low = _mm256_and_si256(pairs[i], word(MASK));
                let high = _mm256_and_si256(_mm256_slli_epi64::<6>(pairs[i]), word(MASK << 32));
                out[i] = _mm256_or_si256(low, high);
            }
            Self(out)
        }
    }

    /// The representative below p, its limbs without carries. Takes a settled value below 2 p.
    #[inline(always)]
    unsafe fn canonical(self) -> Limbs {
        // SAFETY: the caller runs under AVX2.
        unsafe {
            let mask = word(MASK);
            let columns = self.columns();
            let mut x = [columns[0]; LIMBS];
            x.copy_from_slice(&columns[..LIMBS]);
            // x + (2^256 - p): bit 256 of the sum says x >= p, and the sum less 2^256 is then x - p.
            let mut less = x;
            less[0] = _mm256_add_epi64(less[0], word(FOLD_LOW));
            less[1] = _mm256_add_epi64(less[1], word(1 << 6));
            for i in 0..LIMBS - 1 {
                x[i + 1] = _mm256_add_epi64(x[i + 1], _mm256_srli_epi64::<BITS>(x[i]));
                x[i] = _mm256_and_si256(x[i], mask);
                less[i + 1] = _mm256_add_epi64(less[i + 1], _mm256_srli_epi64::<BITS>(less[i]));
                less[i] = _mm256_and_si256(less[i], mask);
            }
            let over = _mm256_cmpgt_epi64(less[9], word(TOP_MASK));
            less[9] = _mm256_and_si256(less[9], word(TOP_MASK));
            for i in 0..LIMBS {
                x[i] = _mm256_blendv_epi8(x[i], less[i], over);
            }
            x
        }
    }

    /// The number below p as four 64-bit words. Takes a settled value below 2 p.
    #[inline(always)]
    unsafe fn number(self) -> [__m256i; 4] {
        // SAFETY: the caller runs under AVX2.
        unsafe {
            let x = self.canonical();
            let mut pairs = [x[0]; WORDS];
            for i in 0..WORDS {
                let odd = _mm256_slli_epi64::<BITS>(x[2 * i + 1]);
                pairs[i] = _mm256_or_si256(x[2 * i], odd);
            }
            let [a, b, c, d, e] = pairs;
            [
                _mm256_or_si256(a, _mm256_slli_epi64::<52>(b)),
                _mm256_or_si256(_mm256_srli_epi64::<12>(b), _mm256_slli_epi64::<40>(c)),
                _mm256_or_si256(_mm256_srli_epi64::<24>(c), _mm256_slli_epi64::<28>(d)),
                _mm256_or_si256(_mm256_srli_epi64::<36>(d), _mm256_slli_epi64::<16>(e)),
            ]
        }
    }
}

// SAFETY: the intrinsics need AVX2, as the trait's contract says.
unsafe impl Lanes for X4 {
    type Field = Base;
    const LANES: usize = 4;

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
        // SAFETY: AVX2, see the trait; an entry is eight words at a multiple of 64 bytes.
        unsafe {
            let mut halves = [[_mm256_setzero_si256(); 4]; 2];
            for lane in 0..4 {
                let words = from[lane].0.as_ptr().cast::<__m256i>();
                halves[0][lane] = _mm256_load_si256(words);
                halves[1][lane] = _mm256_load_si256(words.add(1));
            }
            (
                Self::split(&transpose(halves[0])),
                Self::split(&transpose(halves[1])),
            )
        }
    }

    #[inline(always)]
    unsafe fn scatter(x: Self, y: Self) -> [Entry; MAX_LANES] {
        let mut out = [Entry::BLANK; MAX_LANES];
        // SAFETY: AVX2, see the trait; an entry is eight words at a multiple of 64 bytes.
        unsafe {
            let (x, y) = (transpose(x.number()), transpose(y.number()));
            for lane in 0..4 {
                let words = out[lane].0.as_mut_ptr().cast::<__m256i>();
                _mm256_store_si256(words, x[lane]);
                _mm256_store_si256(words.add(1), y[lane]);
            }
        }
        out
    }

    #[inline(always)]
    unsafe fn splat(words: &[u64; 4]) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            Self::split(&[
                word(words[0]),
                word(words[1]),
                word(words[2]),
                word(words[3]),
            ])
        }
    }

    #[inline(always)]
    unsafe fn multiply(self, b: Self) -> Self {
        // SAFETY: AVX2, see the trait. The last value is not looked at.
        unsafe { Self::product::<false>(&self, &b, &b) }
    }

    #[inline(always)]
    unsafe fn square(self) -> Self {
        // SAFETY: AVX2, see the trait. The last value is not looked at.
        unsafe { Self::squared::<false>(&self, &self) }
    }

    #[inline(always)]
    unsafe fn multiply_plus(self, b: Self, extra: Self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe { Self::product::<true>(&self, &b, &extra) }
    }

    #[inline(always)]
    unsafe fn square_plus(self, extra: Self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe { Self::squared::<true>(&self, &extra) }
    }

    #[inline(always)]
    unsafe fn multiply_two(a: Self, b: Self, c: Self, d: Self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe { Self::products(&a, &b, &c, &d) }
    }

    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        let mut r = self.0;
        for i in 0..WORDS {
            // SAFETY: AVX2, see the trait.
            r[i] = unsafe { _mm256_add_epi32(r[i], b.0[i]) };
        }
        Self(r)
    }

    #[inline(always)]
    unsafe fn minus(self, b: Self) -> Self {
        // Limb by limb: 20 times a limb of p is above the sum of eight settled ones (the top limbs are below 2^23 + 2^9 each).
        let mut r = self.0;
        for i in 0..WORDS {
            // SAFETY: AVX2, see the trait.
            r[i] = unsafe { _mm256_sub_epi32(_mm256_add_epi32(r[i], word(TWENTY_P[i])), b.0[i]) };
        }
        Self(r)
    }

    #[inline(always)]
    unsafe fn settle(self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe { Self::passed(&self.0) }
    }

    #[inline(always)]
    unsafe fn reduce(self) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mut r = self.0;
            // What is above 2^256 is folded: below 2^10 times 2^32 + 977.
            let over = _mm256_srli_epi64::<{ 32 + TOP }>(r[4]);
            r[4] = _mm256_and_si256(r[4], word(LOW_HALF | TOP_MASK << 32));
            r[0] = mul_add(r[0], over, word(FOLD_LOW));
            r[0] = _mm256_add_epi32(r[0], _mm256_slli_epi64::<{ 32 + 6 }>(over));
            Self::passed(&r)
        }
    }

    #[inline(always)]
    unsafe fn select(mask: u8, yes: Self, no: Self) -> Self {
        let mut r = no.0;
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mask = spread(mask);
            for i in 0..WORDS {
                r[i] = _mm256_blendv_epi8(no.0[i], yes.0[i], mask);
            }
        }
        Self(r)
    }

    #[inline(always)]
    unsafe fn negate_where(self, mask: u8) -> Self {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let mask = spread(mask);
            let mut r = self.0;
            for i in 0..WORDS {
                r[i] = _mm256_blendv_epi8(r[i], _mm256_sub_epi32(word(TWENTY_P[i]), r[i]), mask);
            }
            Self(r).reduce()
        }
    }

    #[inline(always)]
    unsafe fn maybe_zero(self) -> u8 {
        // SAFETY: AVX2, see the trait. Below 2 p, zero is 0 or p, and the first word tells the lowest 26 bits.
        unsafe {
            let low = _mm256_and_si256(self.0[0], word(MASK));
            collect(_mm256_or_si256(
                _mm256_cmpeq_epi64(low, _mm256_setzero_si256()),
                _mm256_cmpeq_epi64(low, word(P[0])),
            ))
        }
    }

    #[inline(always)]
    unsafe fn is_zero(self) -> u8 {
        // SAFETY: AVX2, see the trait.
        unsafe {
            let x = self.canonical();
            let mut any = x[0];
            for i in 1..LIMBS {
                any = _mm256_or_si256(any, x[i]);
            }
            collect(_mm256_cmpeq_epi64(any, _mm256_setzero_si256()))
        }
    }
}
