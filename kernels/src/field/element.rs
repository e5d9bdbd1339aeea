//! One element: four 64-bit limbs in Montgomery form.

// Plain loops over limbs and words: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use super::{Prime, at_least, inverse::inverse};
use std::{
    fmt,
    marker::PhantomData,
    ops::{Add, AddAssign, Mul, MulAssign, Neg, Sub, SubAssign},
};

/// The bytes are not the encoding of a field element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the 32-byte number is not below the modulus of the {field}: reduce it where that is meant, two encodings must not name one element"
)]
pub struct NotCanonical {
    /// The field that was meant.
    pub field: &'static str,
}

/// An element of the prime field `P`: x R modulo p with R = 2^256, in `[0, p)`, least significant limb first.
///
/// Every operation takes and gives values in that range, so equal elements have equal limbs. Variable time.
#[repr(transparent)]
pub struct Element<P: Prime>([u64; 4], PhantomData<P>);

/// a + b * c + carry: low word and carry.
#[inline(always)]
const fn mac(a: u64, b: u64, c: u64, carry: u64) -> (u64, u64) {
    let wide = a as u128 + (b as u128) * (c as u128) + carry as u128;
    (wide as u64, (wide >> 64) as u64)
}

/// a + b + carry: low word and carry.
#[inline(always)]
const fn adc(a: u64, b: u64, carry: u64) -> (u64, u64) {
    let wide = a as u128 + b as u128 + carry as u128;
    (wide as u64, (wide >> 64) as u64)
}

/// a - b - borrow: low word and borrow.
#[inline(always)]
const fn sbb(a: u64, b: u64, borrow: u64) -> (u64, u64) {
    let (d, b1) = a.overflowing_sub(b);
    let (d, b2) = d.overflowing_sub(borrow);
    (d, (b1 | b2) as u64)
}

impl<P: Prime> Element<P> {
    /// Zero.
    pub const ZERO: Self = Self([0; 4], PhantomData);
    /// One.
    pub const ONE: Self = Self(P::R, PhantomData);

    /// Whether two bits above the modulus are free: a sum of four products then reduces with one subtraction.
    pub(crate) const SPARE: bool = P::MODULUS[3] < 1 << 62;

    /// The number as an element; any 64-bit number is below the modulus.
    pub const fn from_u64(number: u64) -> Self {
        Self([number, 0, 0, 0], PhantomData).times(&Self(P::R2, PhantomData))
    }

    /// The number with these limbs, least significant first.
    ///
    /// # Errors
    /// [`NotCanonical`] if it is p or more: numbers are never reduced in silence.
    pub const fn from_limbs(limbs: [u64; 4]) -> Result<Self, NotCanonical> {
        if at_least(&limbs, &P::MODULUS) {
            return Err(NotCanonical { field: P::NAME });
        }
        Ok(Self(limbs, PhantomData).times(&Self(P::R2, PhantomData)))
    }

    /// The number in 32 big-endian bytes, as the EVM writes it.
    ///
    /// # Errors
    /// [`NotCanonical`] if it is p or more.
    pub fn from_bytes_be(bytes: &[u8; 32]) -> Result<Self, NotCanonical> {
        Self::from_limbs(limbs_of(bytes))
    }

    /// The number in 32 big-endian bytes modulo p: for generation procedures that say so, never for input.
    pub fn reduce_bytes_be(bytes: &[u8; 32]) -> Self {
        // A Montgomery product needs its second factor below p only.
        Self(limbs_of(bytes), PhantomData).times(&Self(P::R2, PhantomData))
    }

    /// The number, limbs least significant first.
    pub const fn to_limbs(self) -> [u64; 4] {
        Self::reduced([self.0[0], self.0[1], self.0[2], self.0[3], 0, 0, 0, 0, 0]).0
    }

    /// The number in 32 big-endian bytes.
    pub fn to_bytes_be(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.to_limbs().iter().rev()) {
            chunk.copy_from_slice(&limb.to_be_bytes());
        }
        bytes
    }

    /// The limbs of x R modulo p.
    pub(crate) const fn montgomery(self) -> [u64; 4] {
        self.0
    }

    /// The element whose Montgomery form these limbs are; they must be below p.
    pub(crate) const fn from_montgomery(limbs: [u64; 4]) -> Self {
        debug_assert!(!at_least(&limbs, &P::MODULUS), "Montgomery limbs below p");
        Self(limbs, PhantomData)
    }

    /// The element whose Montgomery form these limbs are, if they are below p.
    #[cfg(feature = "gpu")]
    pub(crate) const fn try_from_montgomery(limbs: [u64; 4]) -> Option<Self> {
        if at_least(&limbs, &P::MODULUS) {
            return None;
        }
        Some(Self(limbs, PhantomData))
    }

    /// Whether this is zero.
    pub const fn is_zero(&self) -> bool {
        self.0[0] | self.0[1] | self.0[2] | self.0[3] == 0
    }

    /// `limbs + carry 2^256` less p where that is not negative. Below 2 p in, below p out.
    #[inline(always)]
    const fn less_modulus(limbs: [u64; 4], carry: u64) -> Self {
        Self(Self::less(limbs, carry, &P::MODULUS), PhantomData)
    }

    /// `limbs + carry 2^256` less `what` where that is not negative.
    #[inline(always)]
    const fn less(limbs: [u64; 4], carry: u64, what: &[u64; 4]) -> [u64; 4] {
        let mut less = [0; 4];
        let mut borrow = 0;
        let mut i = 0;
        while i < 4 {
            (less[i], borrow) = sbb(limbs[i], what[i], borrow);
            i += 1;
        }
        // Masks, not a branch: which way it goes is random data.
        let keep = if borrow > carry { u64::MAX } else { 0 };
        i = 0;
        while i < 4 {
            less[i] = (limbs[i] & keep) | (less[i] & !keep);
            i += 1;
        }
        less
    }

    /// `limbs`, plus p where `borrow` is one.
    #[inline(always)]
    const fn plus_modulus_if(mut limbs: [u64; 4], borrow: u64) -> Self {
        let mask = 0u64.wrapping_sub(borrow);
        let mut carry = 0;
        let mut i = 0;
        while i < 4 {
            (limbs[i], carry) = adc(limbs[i], P::MODULUS[i] & mask, carry);
            i += 1;
        }
        Self(limbs, PhantomData)
    }

    /// Montgomery reduction of a nine-limb number below `2^256 (2^256 - 1)` whose quotient by 2^256, rounded up, is below p:
    /// the number over 2^256 modulo p.
    #[inline(always)]
    const fn reduced(mut t: [u64; 9]) -> Self {
        // Each step makes one low limb zero by adding a multiple of p; the sum stays below `input + 2^256 p`.
        let mut top = t[8];
        let mut carry_in = 0;
        let mut i = 0;
        while i < 4 {
            let m = t[i].wrapping_mul(P::MINUS_INVERSE);
            let (_, mut carry) = mac(t[i], m, P::MODULUS[0], 0);
            let mut j = 1;
            while j < 4 {
                (t[i + j], carry) = mac(t[i + j], m, P::MODULUS[j], carry);
                j += 1;
            }
            (t[i + 4], carry_in) = adc(t[i + 4], carry, carry_in);
            i += 1;
        }
        top += carry_in;
        Self::less_modulus([t[4], t[5], t[6], t[7]], top)
    }

    /// A number that stands for the Montgomery product, for a modulus with spare bits: below `a b / 2^256 + 2 p`. The first factor must
    /// be below `2^256 - p`, the other below 2^256.
    ///
    /// The first three rows take their low limb m as multiplier: with the multiple `N' 2^64 - 1` of p the sum loses m, and `m N'`
    /// enters one limb higher; so no row waits for a product to find its multiplier. The fourth row takes p itself.
    #[inline(always)]
    const fn lazy_times(a: &[u64; 4], b: &[u64; 4]) -> [u64; 4] {
        let mut t = [0u64; 5];
        let mut i = 0;
        while i < 4 {
            // t is below `2^64 p + a` before each row, and with a times a limb below `2^64 (p + a)`: five limbs.
            let mut carry = 0;
            let mut j = 0;
            while j < 4 {
                (t[j], carry) = mac(t[j], a[j], b[i], carry);
                j += 1;
            }
            t[4] = t[4].wrapping_add(carry);
            carry = 0;
            if i < 3 {
                let m = t[0];
                j = 0;
                while j < 4 {
                    (t[j], carry) = mac(t[j + 1], m, P::FRIENDLY[j], carry);
                    j += 1;
                }
                t[4] = carry;
            } else {
                let m = t[0].wrapping_mul(P::MINUS_INVERSE);
                (_, carry) = mac(t[0], m, P::MODULUS[0], 0);
                j = 1;
                while j < 4 {
                    (t[j - 1], carry) = mac(t[j], m, P::MODULUS[j], carry);
                    j += 1;
                }
                t[3] = t[4].wrapping_add(carry);
            }
            i += 1;
        }
        [t[0], t[1], t[2], t[3]]
    }

    /// Less 2 p where that is not negative, then less p. Below 3 p in.
    #[inline(always)]
    const fn from_lazy(limbs: [u64; 4]) -> Self {
        Self::less_modulus(Self::less(limbs, 0, &Self::TWICE), 0)
    }

    /// 2 p, where the modulus has spare bits.
    const TWICE: [u64; 4] = {
        let p = P::MODULUS;
        [
            p[0] << 1,
            p[1] << 1 | p[0] >> 63,
            p[2] << 1 | p[1] >> 63,
            p[3] << 1 | p[2] >> 63,
        ]
    };

    /// The Montgomery product. The second factor must be below p, the first below 2^256.
    #[inline(always)]
    pub(crate) const fn times(&self, b: &Self) -> Self {
        if Self::SPARE {
            // Below 3 p even if the first factor is not below p; the second is, wherever they differ.
            return Self::from_lazy(Self::lazy_times(&b.0, &self.0));
        }
        self.times_in_full(b)
    }

    /// The Montgomery product, row by row, each row reduced at once, for a modulus without spare bits.
    #[inline(always)]
    const fn times_in_full(&self, b: &Self) -> Self {
        let mut t = [0u64; 5];
        let mut i = 0;
        while i < 4 {
            // t < 2^256 + p before each row, so that the sum of both products fits five limbs and one bit.
            let mut carry = 0;
            let mut j = 0;
            while j < 4 {
                (t[j], carry) = mac(t[j], self.0[j], b.0[i], carry);
                j += 1;
            }
            let (t4, t5) = adc(t[4], carry, 0);
            let m = t[0].wrapping_mul(P::MINUS_INVERSE);
            (_, carry) = mac(t[0], m, P::MODULUS[0], 0);
            j = 1;
            while j < 4 {
                (t[j - 1], carry) = mac(t[j], m, P::MODULUS[j], carry);
                j += 1;
            }
            let over;
            (t[3], over) = adc(t4, carry, 0);
            t[4] = t5 + over;
            i += 1;
        }
        Self::less_modulus([t[0], t[1], t[2], t[3]], t[4])
    }

    /// x^5.
    #[inline(always)]
    pub(crate) const fn fifth(&self) -> Self {
        if !Self::SPARE {
            let square = self.square();
            return square.square().times(self);
        }
        // With 4 p < 2^256 below 2.25 p, 3.27 p and 2.82 p.
        let square = Self::lazy_times(&self.0, &self.0);
        let fourth = Self::lazy_times(&square, &square);
        Self::from_lazy(Self::lazy_times(&self.0, &fourth))
    }

    /// The sum of products `Σ xs[i] ys[i]`, reduced once for every four terms where the modulus leaves two bits free.
    #[inline(always)]
    pub(crate) fn dot(xs: &[Self], ys: &[Self]) -> Self {
        debug_assert_eq!(xs.len(), ys.len(), "as many factors on each side");
        Self::sum_of_products(ys, |i| xs[i])
    }

    /// [`Self::dot`] with the first factors by their place.
    #[inline(always)]
    pub(crate) fn sum_of_products(ys: &[Self], xs: impl Fn(usize) -> Self) -> Self {
        if !Self::SPARE {
            let mut sum = Self::ZERO;
            for (i, y) in ys.iter().enumerate() {
                sum += xs(i) * *y;
            }
            return sum;
        }
        // Four products of numbers below p < 2^254: below 2^510, and below `p 2^256` since 4 p < 2^256; the reduced number is
        // then below 2 p.
        let mut sum = Self::ZERO;
        for (chunk, ys) in ys.chunks(4).enumerate() {
            let mut t = [0u64; 9];
            for (k, y) in ys.iter().enumerate() {
                let x = xs(4 * chunk + k);
                for i in 0..4 {
                    let mut carry = 0;
                    for j in 0..4 {
                        (t[i + j], carry) = mac(t[i + j], x.0[j], y.0[i], carry);
                    }
                    for limb in t.iter_mut().take(8).skip(i + 4) {
                        (*limb, carry) = adc(*limb, carry, 0);
                    }
                }
            }
            sum += Self::reduced(t);
        }
        sum
    }

    /// x^2.
    #[inline(always)]
    pub const fn square(&self) -> Self {
        self.times(self)
    }

    /// 2 x.
    #[inline(always)]
    pub fn double(&self) -> Self {
        *self + *self
    }

    /// x to the number with these limbs (least significant first). Time depends on the exponent.
    pub fn power(&self, exponent: &[u64; 4]) -> Self {
        let mut result = Self::ONE;
        for limb in exponent.iter().rev() {
            for bit in (0..64).rev() {
                result = result.square();
                if limb >> bit & 1 == 1 {
                    result *= *self;
                }
            }
        }
        result
    }

    /// 1 / x, nothing for zero. Time depends on x.
    pub fn inverse(&self) -> Option<Self> {
        let words = inverse(&self.0, &P::MODULUS, P::MINUS_INVERSE);
        // The inverse of x R lacks R^2, and a product another R.
        let square = Self::from_montgomery(P::R2);
        (!self.is_zero()).then(|| Self::from_montgomery(words) * square * square)
    }
}

fn limbs_of(bytes: &[u8; 32]) -> [u64; 4] {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().rev().zip(bytes.chunks_exact(8)) {
        *limb = chunk
            .iter()
            .fold(0, |value, byte| value << 8 | u64::from(*byte));
    }
    limbs
}

/// Replaces each element by its inverse and leaves zeros as they are: one inversion and three products an element
/// (Montgomery's trick).
pub fn batch_inverse<P: Prime>(elements: &mut [Element<P>]) {
    let mut product = Element::ONE;
    let mut before = Vec::with_capacity(elements.len());
    for element in elements.iter() {
        before.push(product);
        if !element.is_zero() {
            product *= *element;
        }
    }
    // A product of non-zero elements is not zero.
    let Some(mut rest) = product.inverse() else {
        return;
    };
    for (element, before) in elements.iter_mut().zip(before).rev() {
        if !element.is_zero() {
            let inverse = rest * before;
            rest *= *element;
            *element = inverse;
        }
    }
}

impl<P: Prime> Add for Element<P> {
    type Output = Self;
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        let mut sum = [0; 4];
        let mut carry = 0;
        for i in 0..4 {
            (sum[i], carry) = adc(self.0[i], b.0[i], carry);
        }
        Self::less_modulus(sum, carry)
    }
}

impl<P: Prime> Sub for Element<P> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        let mut difference = [0; 4];
        let mut borrow = 0;
        for i in 0..4 {
            (difference[i], borrow) = sbb(self.0[i], b.0[i], borrow);
        }
        Self::plus_modulus_if(difference, borrow)
    }
}

impl<P: Prime> Mul for Element<P> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        self.times(&b)
    }
}

impl<P: Prime> Neg for Element<P> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self::ZERO - self
    }
}

impl<P: Prime> AddAssign for Element<P> {
    #[inline(always)]
    fn add_assign(&mut self, b: Self) {
        *self = *self + b;
    }
}

impl<P: Prime> SubAssign for Element<P> {
    #[inline(always)]
    fn sub_assign(&mut self, b: Self) {
        *self = *self - b;
    }
}

impl<P: Prime> MulAssign for Element<P> {
    #[inline(always)]
    fn mul_assign(&mut self, b: Self) {
        *self = *self * b;
    }
}

impl<P: Prime> Clone for Element<P> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Prime> Copy for Element<P> {}

impl<P: Prime> PartialEq for Element<P> {
    fn eq(&self, b: &Self) -> bool {
        self.0 == b.0
    }
}

impl<P: Prime> Eq for Element<P> {}

impl<P: Prime> std::hash::Hash for Element<P> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<P: Prime> Default for Element<P> {
    fn default() -> Self {
        Self::ZERO
    }
}

/// `0x` and 64 hexadecimal digits of the number.
impl<P: Prime> fmt::Display for Element<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.to_bytes_be()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<P: Prime> fmt::Debug for Element<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
