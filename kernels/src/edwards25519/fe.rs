//! One element modulo p = 2^255 − 19: five 64-bit words of radix 2^51.
//!
//! A product takes words below 2^54: a column is at most 5 · 19 · 2^108 < 2^115, so the 128-bit sums do not overflow and their
//! carries fit 64 bits. It gives words below 2^51 + 2^15.
#![allow(unsafe_code)]
// Plain loops over limbs: the same shape as the vector code.
#![allow(clippy::needless_range_loop)]

use super::lanes::{Lanes, MAX_LANES, Work};

/// Bits of a limb.
pub(crate) const BITS: u32 = 51;
/// The largest limb that holds no carry.
pub(crate) const MASK: u64 = (1 << BITS) - 1;
/// 4 p in limbs: a settled value can be taken from it without a borrow.
pub(crate) const FOUR_P: [u64; 5] = [4 * (MASK - 18), 4 * MASK, 4 * MASK, 4 * MASK, 4 * MASK];

/// An element modulo 2^255 − 19, its limbs least significant first, below 2^51 + 2^15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Fe(pub(crate) [u64; 5]);

impl Fe {
    pub(crate) const ZERO: Self = Self([0; 5]);
    pub(crate) const ONE: Self = Self([1, 0, 0, 0, 0]);

    /// The number that 32 bytes hold in little-endian form, without its highest bit. It may be p or more.
    pub(crate) const fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut words = [0u64; 4];
        let mut i = 0;
        while i < 32 {
            words[i / 8] |= (bytes[i] as u64) << (8 * (i % 8));
            i += 1;
        }
        Self([
            words[0] & MASK,
            (words[0] >> 51 | words[1] << 13) & MASK,
            (words[1] >> 38 | words[2] << 26) & MASK,
            (words[2] >> 25 | words[3] << 39) & MASK,
            (words[3] >> 12) & MASK,
        ])
    }

    /// The canonical number in little-endian form.
    pub(crate) fn to_bytes(self) -> [u8; 32] {
        let x = self.reduced().0;
        let words = [
            x[0] | x[1] << 51,
            x[1] >> 13 | x[2] << 38,
            x[2] >> 26 | x[3] << 25,
            x[3] >> 39 | x[4] << 12,
        ];
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Whether 32 bytes, without the highest bit, are the canonical form of an element: a number below p.
    pub(crate) fn is_canonical(bytes: &[u8; 32]) -> bool {
        let mut low = *bytes;
        low[31] &= 0x7f;
        Self::from_bytes(bytes).to_bytes() == low
    }

    /// One pass of carries; words below 2^63 in, below 2^51 + 2^15 out if they were below 2^61.
    #[inline(always)]
    pub(crate) const fn carried(x: [u64; 5]) -> Self {
        Self([
            (x[0] & MASK) + 19 * (x[4] >> BITS),
            (x[1] & MASK) + (x[0] >> BITS),
            (x[2] & MASK) + (x[1] >> BITS),
            (x[3] & MASK) + (x[2] >> BITS),
            (x[4] & MASK) + (x[3] >> BITS),
        ])
    }

    /// The representative below p.
    #[inline(always)]
    fn reduced(self) -> Self {
        let mut x = Self::carried(self.0).0;
        // Below 2^255 + 2^52 here; q is 1 where it is p or more, found by the carries of x + 19.
        let mut q = (x[0] + 19) >> BITS;
        for i in 1..5 {
            q = (x[i] + q) >> BITS;
        }
        x[0] += 19 * q;
        for i in 0..4 {
            x[i + 1] += x[i] >> BITS;
            x[i] &= MASK;
        }
        x[4] &= MASK;
        Self(x)
    }

    /// Reduction of columns below 2^115.
    #[inline(always)]
    fn columns(mut t: [u128; 5]) -> Self {
        let mut x = [0u64; 5];
        for i in 0..4 {
            t[i + 1] += t[i] >> BITS;
            x[i] = t[i] as u64 & MASK;
        }
        let top = t[4] >> BITS;
        x[4] = t[4] as u64 & MASK;
        // The carry out of the top is below 2^65.
        let low = x[0] as u128 + 19 * top;
        x[0] = low as u64 & MASK;
        let carry = x[1] as u128 + (low >> BITS);
        x[1] = carry as u64 & MASK;
        x[2] += (carry >> BITS) as u64;
        Self(x)
    }
}

// SAFETY: safe Rust but for the pointers of `gather` and `scatter`; needs no instruction set.
unsafe impl Lanes for Fe {
    const LANES: usize = 1;

    #[inline(always)]
    unsafe fn enter<W: Work<Self>>(work: W) -> W::Output {
        #[inline(never)]
        unsafe fn inner<W: Work<Fe>>(work: W) -> W::Output {
            // SAFETY: the caller's promise.
            unsafe { work.run() }
        }
        // SAFETY: the caller's promise.
        unsafe { inner(work) }
    }
    #[inline(always)]
    unsafe fn splat(constant: &Fe) -> Self {
        *constant
    }
    #[inline(always)]
    unsafe fn gather<const N: usize>(from: &[*const Fe; MAX_LANES]) -> [Self; N] {
        // SAFETY: the caller gives N readable elements.
        unsafe { *from[0].cast::<[Fe; N]>() }
    }
    #[inline(always)]
    unsafe fn scatter<const N: usize>(values: [Self; N], to: &[*mut Fe; MAX_LANES]) {
        // SAFETY: the caller gives room for N elements.
        unsafe { *to[0].cast::<[Fe; N]>() = values }
    }
    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        let mut x = self.0;
        for i in 0..5 {
            x[i] += b.0[i];
        }
        Self(x)
    }
    #[inline(always)]
    unsafe fn minus(self, b: Self) -> Self {
        let mut x = self.0;
        for i in 0..5 {
            x[i] += FOUR_P[i] - b.0[i];
        }
        Self(x)
    }
    #[inline(always)]
    unsafe fn settle(self) -> Self {
        Self::carried(self.0)
    }
    #[inline(always)]
    unsafe fn multiply(self, b: Self) -> Self {
        let (a, b) = (self.0, b.0);
        let b19 = [0, 19 * b[1], 19 * b[2], 19 * b[3], 19 * b[4]];
        let m = |x: u64, y: u64| u128::from(x) * u128::from(y);
        Self::columns([
            m(a[0], b[0]) + m(a[1], b19[4]) + m(a[2], b19[3]) + m(a[3], b19[2]) + m(a[4], b19[1]),
            m(a[0], b[1]) + m(a[1], b[0]) + m(a[2], b19[4]) + m(a[3], b19[3]) + m(a[4], b19[2]),
            m(a[0], b[2]) + m(a[1], b[1]) + m(a[2], b[0]) + m(a[3], b19[4]) + m(a[4], b19[3]),
            m(a[0], b[3]) + m(a[1], b[2]) + m(a[2], b[1]) + m(a[3], b[0]) + m(a[4], b19[4]),
            m(a[0], b[4]) + m(a[1], b[3]) + m(a[2], b[2]) + m(a[3], b[1]) + m(a[4], b[0]),
        ])
    }
    #[inline(always)]
    unsafe fn square(self) -> Self {
        let a = self.0;
        let (a3, a4) = (19 * a[3], 19 * a[4]);
        let m = |x: u64, y: u64| u128::from(x) * u128::from(y);
        Self::columns([
            m(a[0], a[0]) + 2 * (m(a[1], a4) + m(a[2], a3)),
            m(a[3], a3) + 2 * (m(a[0], a[1]) + m(a[2], a4)),
            m(a[1], a[1]) + 2 * (m(a[0], a[2]) + m(a[4], a3)),
            m(a[4], a4) + 2 * (m(a[0], a[3]) + m(a[1], a[2])),
            m(a[2], a[2]) + 2 * (m(a[0], a[4]) + m(a[1], a[3])),
        ])
    }
    #[inline(always)]
    unsafe fn canonical(self) -> Self {
        self.reduced()
    }
    #[inline(always)]
    unsafe fn select(mask: u8, yes: Self, no: Self) -> Self {
        if mask & 1 == 1 { yes } else { no }
    }
    #[inline(always)]
    unsafe fn same(self, b: Self) -> u8 {
        u8::from(self.0 == b.0)
    }
    #[inline(always)]
    unsafe fn odd(self) -> u8 {
        (self.0[0] & 1) as u8
    }
}
