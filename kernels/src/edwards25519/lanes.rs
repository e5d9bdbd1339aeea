//! The operations that curve arithmetic modulo 2^255 − 19 is written in, once for every representation.
#![allow(unsafe_code)]

use super::fe::Fe;

/// Most elements side by side.
pub(crate) const MAX_LANES: usize = 8;

/// `LANES` elements of the field of 2^255 − 19 side by side, in limbs of radix 2^51.
///
/// A value is *settled* when its limbs are below 2^51 + 2^15: only settled values may be multiplied, added or subtracted, unless a
/// function says otherwise. Products, `settle`, `gather` of stored values and constants are settled. Masks have a bit for each lane,
/// lane 0 lowest.
///
/// # Safety
/// Every function needs the instruction set that the implementing type stands for; callers run inside [`Lanes::enter`], reached only
/// after the processor was asked.
pub(crate) unsafe trait Lanes: Copy {
    /// Number of elements, at most [`MAX_LANES`].
    const LANES: usize;

    /// Runs work as a function of its own, compiled for the instruction set.
    unsafe fn enter<W: Work<Self>>(work: W) -> W::Output;

    /// The constant in every lane.
    unsafe fn splat(constant: &Fe) -> Self;
    /// N elements for each lane, which lie one after another from the lane's pointer.
    unsafe fn gather<const N: usize>(from: &[*const Fe; MAX_LANES]) -> [Self; N];
    /// Writes N elements for each lane, one after another from the lane's pointer.
    unsafe fn scatter<const N: usize>(values: [Self; N], to: &[*mut Fe; MAX_LANES]);
    /// The sum, not settled. Up to eight settled values may be added.
    unsafe fn plus(self, b: Self) -> Self;
    /// The difference, not settled. `b` is settled; `self` may be a sum or difference of up to eight settled values.
    unsafe fn minus(self, b: Self) -> Self;
    /// The same value, settled.
    unsafe fn settle(self) -> Self;
    /// The product.
    unsafe fn multiply(self, b: Self) -> Self;
    /// The square.
    unsafe fn square(self) -> Self;
    /// The representative below p, its limbs below 2^51. Takes a settled value.
    unsafe fn canonical(self) -> Self;
    /// `yes` in the lanes of the mask, `no` in the others.
    unsafe fn select(mask: u8, yes: Self, no: Self) -> Self;
    /// The lanes where limbs are equal. Takes canonical values.
    unsafe fn same(self, b: Self) -> u8;
    /// The lanes where the lowest bit is set. Takes a canonical value.
    unsafe fn odd(self) -> u8;
}

/// Something to be done over lanes. Its function is inlined into [`Lanes::enter`].
pub(crate) trait Work<L> {
    /// What comes of it.
    type Output;
    /// Does it.
    ///
    /// # Safety
    /// As [`Lanes`].
    unsafe fn run(self) -> Self::Output;
}

/// Functions over lanes that every representation shares. All take settled values and give settled ones.
///
/// # Safety
/// As [`Lanes`].
pub(crate) unsafe trait Field: Lanes {
    /// The sum.
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        // SAFETY: as the caller's.
        unsafe { self.plus(b).settle() }
    }
    /// The difference.
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        // SAFETY: as the caller's.
        unsafe { self.minus(b).settle() }
    }
    /// Less than nothing.
    #[inline(always)]
    unsafe fn negate(self) -> Self {
        // SAFETY: as the caller's.
        unsafe { Self::splat(&Fe::ZERO).minus(self).settle() }
    }
    /// Negated in the lanes of the mask.
    #[inline(always)]
    unsafe fn negate_where(self, mask: u8) -> Self {
        // SAFETY: as the caller's.
        unsafe { Self::select(mask, self.negate(), self) }
    }
    /// x^(2^n).
    #[inline(always)]
    unsafe fn squares(mut self, n: usize) -> Self {
        for _ in 0..n {
            // SAFETY: as the caller's.
            self = unsafe { self.square() };
        }
        self
    }
    /// The lanes that are zero.
    #[inline(always)]
    unsafe fn is_zero(self) -> u8 {
        // SAFETY: as the caller's.
        unsafe { self.canonical().same(Self::splat(&Fe::ZERO)) }
    }
    /// The lanes that are equal as elements.
    #[inline(always)]
    unsafe fn equals(self, b: Self) -> u8 {
        // SAFETY: as the caller's.
        unsafe { self.canonical().same(b.canonical()) }
    }
    /// The lanes that are negative: whose canonical form is odd (RFC 9496 §3.1, RFC 8032 §5.1.2).
    #[inline(always)]
    unsafe fn is_negative(self) -> u8 {
        // SAFETY: as the caller's.
        unsafe { self.canonical().odd() }
    }
    /// The one of x and −x that is not negative.
    #[inline(always)]
    unsafe fn absolute(self) -> Self {
        // SAFETY: as the caller's.
        unsafe { self.negate_where(self.is_negative()) }
    }
    /// x^(2^252 − 3), a function of its own.
    #[inline(always)]
    unsafe fn power_2_252_3(self) -> Self {
        // SAFETY: as the caller's.
        unsafe { Self::enter(Power(self)) }
    }
    /// 1 / x, and 0 for 0: x^(p − 2) = (x^(2^252 − 3))^8 · x^3.
    #[inline(always)]
    unsafe fn invert(self) -> Self {
        // SAFETY: as the caller's.
        unsafe {
            let cube = self.square().multiply(self);
            self.power_2_252_3().squares(3).multiply(cube)
        }
    }
}

// SAFETY: built from the functions of `Lanes` alone.
unsafe impl<L: Lanes> Field for L {}

/// x^(2^252 − 3): 252 squarings and 11 products.
struct Power<L>(L);

impl<L: Lanes> Work<L> for Power<L> {
    type Output = L;
    #[inline(always)]
    unsafe fn run(self) -> L {
        // SAFETY: as the caller's. A number n in a name stands for x^(2^n − 1).
        unsafe {
            let x = self.0;
            let x2 = x.square();
            let x9 = x2.squares(2).multiply(x);
            let x11 = x9.multiply(x2);
            let n5 = x11.square().multiply(x9);
            let mut long = n5;
            // From 5 on: 10, 20, 40, 50, 100, 200, 250.
            let mut kept = [n5; 7];
            for (i, (from, n)) in [
                (0, 5),
                (1, 10),
                (2, 20),
                (1, 10),
                (4, 50),
                (5, 100),
                (4, 50),
            ]
            .into_iter()
            .enumerate()
            {
                // `long` squared n times, times the power of n ones.
                long = long.squares(n).multiply(kept[from]);
                if i + 1 < 7 {
                    kept[i + 1] = long;
                }
            }
            long.squares(2).multiply(x)
        }
    }
}

/// Runs work on so many independent items at a level. A level without code for this field runs the portable one.
pub(crate) fn dispatch<O, W>(level: crate::cpu::Level, items: usize, work: W) -> O
where
    W: OnEveryLevel<O>,
{
    work.at(level, items)
}

/// Work that every representation can do.
pub(crate) trait OnEveryLevel<O> {
    /// Does it at a level, on so many independent items.
    fn at(self, level: crate::cpu::Level, items: usize) -> O;
}

/// Fewest items for which four lanes of AVX2 are quicker than one after another: an operation over four takes as long as two and a
/// quarter of one.
#[cfg(target_arch = "x86_64")]
const WORTH_FOUR_LANES: usize = 3;

#[cfg(target_arch = "x86_64")]
impl<O, W> OnEveryLevel<O> for W
where
    W: Work<Fe, Output = O> + Work<super::avx2::X4, Output = O> + Work<super::ifma::X8, Output = O>,
{
    fn at(self, level: crate::cpu::Level, items: usize) -> O {
        use crate::cpu::Level;
        match level.available() {
            // SAFETY: the processor was asked for the level and for IFMA.
            Level::Avx512 if crate::cpu::features().avx512_ifma => unsafe {
                super::ifma::X8::enter(self)
            },
            // SAFETY: the processor was asked for the level; one with AVX-512 has AVX2.
            Level::Avx2 | Level::Avx512 if items >= WORTH_FOUR_LANES => unsafe {
                super::avx2::X4::enter(self)
            },
            // SAFETY: scalar elements need no instruction set.
            _ => unsafe { Fe::enter(self) },
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl<O, W> OnEveryLevel<O> for W
where
    W: Work<Fe, Output = O>,
{
    fn at(self, _: crate::cpu::Level, _: usize) -> O {
        // SAFETY: scalar elements need no instruction set.
        unsafe { Fe::enter(self) }
    }
}
