//! The base field one element at a time: four words of 64 bits, p = 2^256 - 2^32 - 977.
//!
//! Numbers are as they are, in no Montgomery form, and anything below 2^256: the upper half of a product is folded onto the lower with
//! four products by 2^32 + 977, where Montgomery's reduction takes twenty. Safe code; the trait's functions need no instruction set.
#![allow(unsafe_code)]
// Plain loops over limbs: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use crate::{
    curve::lanes::{Entry, Lanes, MAX_LANES},
    field::{
        Prime,
        secp256k1::{Base, Fp},
    },
};

/// 2^256 modulo p.
const FOLD: u64 = (1 << 32) + 977;

/// One element: words least significant first, together below 2^256.
#[derive(Clone, Copy)]
pub(super) struct X1([u64; 4]);

/// a + b c + carry: low word and carry.
#[inline(always)]
fn mac(a: u64, b: u64, c: u64, carry: u64) -> (u64, u64) {
    let wide = u128::from(a) + u128::from(b) * u128::from(c) + u128::from(carry);
    (wide as u64, (wide >> 64) as u64)
}

impl X1 {
    /// `words + over 2^256` modulo p, for an `over` of at most 2^34.
    #[inline(always)]
    fn folded(words: [u64; 4], over: u64) -> Self {
        // At most 2^67: two words.
        let fold = u128::from(over) * u128::from(FOLD);
        let (w0, c) = words[0].overflowing_add(fold as u64);
        let (w1, c) = carrying(words[1], (fold >> 64) as u64, c);
        let (w2, c) = words[2].overflowing_add(u64::from(c));
        let (w3, c) = words[3].overflowing_add(u64::from(c));
        // A second carry leaves less than 2^67 in the words, so that a last fold does not pass the second.
        let (w0, c) = w0.overflowing_add(FOLD & 0u64.wrapping_sub(u64::from(c)));
        Self([w0, w1.wrapping_add(u64::from(c)), w2, w3])
    }

    /// Eight words modulo p.
    #[inline(always)]
    fn reduced(t: [u64; 8]) -> Self {
        let mut low = [0; 4];
        let mut carry = 0;
        for i in 0..4 {
            (low[i], carry) = mac(t[i], t[4 + i], FOLD, carry);
        }
        Self::folded(low, carry)
    }

    /// The words below p.
    #[inline(always)]
    fn canonical(self) -> [u64; 4] {
        // x + (2^256 - p) has a carry out if x >= p, and is then x - p.
        let (w0, c) = self.0[0].overflowing_add(FOLD);
        let (w1, c) = self.0[1].overflowing_add(u64::from(c));
        let (w2, c) = self.0[2].overflowing_add(u64::from(c));
        let (w3, c) = self.0[3].overflowing_add(u64::from(c));
        if c { [w0, w1, w2, w3] } else { self.0 }
    }
}

/// The sum with a carry: low word and carry.
#[inline(always)]
fn carrying(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (sum, c1) = a.overflowing_add(b);
    let (sum, c2) = sum.overflowing_add(u64::from(carry));
    (sum, c1 | c2)
}

/// The difference with a borrow: low word and borrow.
#[inline(always)]
fn borrowing(a: u64, b: u64, borrow: bool) -> (u64, bool) {
    let (difference, b1) = a.overflowing_sub(b);
    let (difference, b2) = difference.overflowing_sub(u64::from(borrow));
    (difference, b1 | b2)
}

// SAFETY: safe Rust; needs no instruction set. Every value is settled: words hold no carries.
unsafe impl Lanes for X1 {
    type Field = Base;
    const LANES: usize = 1;

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
        let w = &from[0].0;
        (
            Self([w[0], w[1], w[2], w[3]]),
            Self([w[4], w[5], w[6], w[7]]),
        )
    }

    #[inline(always)]
    unsafe fn scatter(x: Self, y: Self) -> [Entry; MAX_LANES] {
        let (x, y) = (x.canonical(), y.canonical());
        let mut out = [Entry::BLANK; MAX_LANES];
        out[0] = Entry([x[0], x[1], x[2], x[3], y[0], y[1], y[2], y[3]]);
        out
    }

    #[inline(always)]
    unsafe fn splat(words: &[u64; 4]) -> Self {
        Self(*words)
    }

    #[inline(always)]
    unsafe fn multiply(self, b: Self) -> Self {
        let mut t = [0u64; 8];
        for i in 0..4 {
            let mut carry = 0;
            for j in 0..4 {
                (t[i + j], carry) = mac(t[i + j], self.0[j], b.0[i], carry);
            }
            t[i + 4] = carry;
        }
        Self::reduced(t)
    }

    #[inline(always)]
    unsafe fn square(self) -> Self {
        let a = self.0;
        // Mixed products once, doubled; then the squares.
        let mut t = [0u64; 8];
        let mut carry = 0;
        for j in 1..4 {
            (t[j], carry) = mac(0, a[0], a[j], carry);
        }
        t[4] = carry;
        carry = 0;
        for j in 2..4 {
            (t[1 + j], carry) = mac(t[1 + j], a[1], a[j], carry);
        }
        t[5] = carry;
        (t[5], t[6]) = mac(t[5], a[2], a[3], 0);
        t[7] = t[6] >> 63;
        for i in (2..7).rev() {
            t[i] = t[i] << 1 | t[i - 1] >> 63;
        }
        t[1] <<= 1;
        carry = 0;
        for i in 0..4 {
            let high;
            (t[2 * i], high) = mac(t[2 * i], a[i], a[i], carry);
            let (sum, over) = t[2 * i + 1].overflowing_add(high);
            t[2 * i + 1] = sum;
            carry = u64::from(over);
        }
        Self::reduced(t)
    }

    #[inline(always)]
    unsafe fn multiply_plus(self, b: Self, extra: Self) -> Self {
        // SAFETY: needs no instruction set.
        unsafe { self.multiply(b).plus(extra) }
    }

    #[inline(always)]
    unsafe fn square_plus(self, extra: Self) -> Self {
        // SAFETY: needs no instruction set.
        unsafe { self.square().plus(extra) }
    }

    #[inline(always)]
    unsafe fn multiply_two(a: Self, b: Self, c: Self, d: Self) -> Self {
        // SAFETY: needs no instruction set.
        unsafe { a.multiply(b).plus(c.multiply(d)) }
    }

    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        let (w0, c) = self.0[0].overflowing_add(b.0[0]);
        let (w1, c) = carrying(self.0[1], b.0[1], c);
        let (w2, c) = carrying(self.0[2], b.0[2], c);
        let (w3, c) = carrying(self.0[3], b.0[3], c);
        Self::folded([w0, w1, w2, w3], u64::from(c))
    }

    #[inline(always)]
    unsafe fn minus(self, b: Self) -> Self {
        let (w0, c) = self.0[0].overflowing_sub(b.0[0]);
        let (w1, c) = borrowing(self.0[1], b.0[1], c);
        let (w2, c) = borrowing(self.0[2], b.0[2], c);
        let (w3, c) = borrowing(self.0[3], b.0[3], c);
        // 2^256 too much is 2^32 + 977 too much, twice at most.
        let (w0, c) = w0.overflowing_sub(FOLD & 0u64.wrapping_sub(u64::from(c)));
        let (w1, c) = w1.overflowing_sub(u64::from(c));
        let (w2, c) = w2.overflowing_sub(u64::from(c));
        let (w3, c) = w3.overflowing_sub(u64::from(c));
        let w0 = w0.wrapping_sub(FOLD & 0u64.wrapping_sub(u64::from(c)));
        Self([w0, w1, w2, w3])
    }

    #[inline(always)]
    unsafe fn settle(self) -> Self {
        self
    }

    #[inline(always)]
    unsafe fn reduce(self) -> Self {
        self
    }

    #[inline(always)]
    unsafe fn select(mask: u8, yes: Self, no: Self) -> Self {
        if mask & 1 == 1 { yes } else { no }
    }

    #[inline(always)]
    unsafe fn negate_where(self, mask: u8) -> Self {
        if mask & 1 == 1 {
            // SAFETY: needs no instruction set.
            unsafe { Self([0; 4]).minus(self) }
        } else {
            self
        }
    }

    #[inline(always)]
    unsafe fn maybe_zero(self) -> u8 {
        // SAFETY: needs no instruction set.
        unsafe { self.is_zero() }
    }

    #[inline(always)]
    unsafe fn is_zero(self) -> u8 {
        u8::from(self.0 == [0; 4] || self.0 == Base::MODULUS)
    }
}
