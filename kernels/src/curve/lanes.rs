//! The operations that curve formulas are written in, once for every representation of a field.
#![allow(unsafe_code)]
// Plain loops over lanes: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use crate::field::{Element, Prime, batch_inverse};

/// Most lanes of a representation.
pub(crate) const MAX_LANES: usize = 8;

/// An affine point in memory, one cache line: the packed words of x, then those of y.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Entry(pub(crate) [u64; 8]);

impl Entry {
    /// All words zero: a place to fill, no point.
    pub(crate) const BLANK: Self = Self([0; 8]);

    /// The point with these coordinates in the packed words of a representation.
    pub(crate) fn new<L: Lanes>(x: Element<L::Field>, y: Element<L::Field>) -> Self {
        let (x, y) = (L::pack(x), L::pack(y));
        Self([x[0], x[1], x[2], x[3], y[0], y[1], y[2], y[3]])
    }

    /// The coordinates.
    pub(crate) fn coordinates<L: Lanes>(&self) -> (Element<L::Field>, Element<L::Field>) {
        let w = &self.0;
        (
            L::unpack([w[0], w[1], w[2], w[3]]),
            L::unpack([w[4], w[5], w[6], w[7]]),
        )
    }
}

/// `LANES` elements of a field side by side, one for each of as many independent computations.
///
/// A value is lazy: it stands for an element, may be p or more, and its limbs may hold carries. Bounds are multiples of p. A value
/// is *settled* when its limbs hold no carries. Products, `reduce` and `gather` give settled values *below 2 p* (`gather`: below 16
/// p); factors must be settled, and the bounds of the two factors must multiply to at most 80 (in [`Self::multiply_two`] both
/// products together). A scalar implementation keeps every value below p and settled.
///
/// Masks have a bit for each lane, the lowest for the first.
///
/// # Safety
/// Every `unsafe` function needs the instruction set that the implementing type stands for; callers run inside a function compiled
/// for it, reached only after the processor was asked.
pub(crate) unsafe trait Lanes: Copy {
    /// The field.
    type Field: Prime;
    /// Number of elements, at most [`MAX_LANES`].
    const LANES: usize;
    /// The mask of all lanes.
    const ALL: u8 = (0xff_u16 >> (8 - Self::LANES)) as u8;

    /// The words that stand for the element in memory. Needs no instruction set.
    fn pack(element: Element<Self::Field>) -> [u64; 4];
    /// The element that packed words stand for. Needs no instruction set.
    fn unpack(words: [u64; 4]) -> Element<Self::Field>;

    /// The coordinates of a point for each lane; entries beyond `LANES` are not looked at.
    unsafe fn gather(from: &[&Entry; MAX_LANES]) -> (Self, Self);
    /// The point of each lane; entries beyond `LANES` mean nothing. Takes settled values below 2 p.
    unsafe fn scatter(x: Self, y: Self) -> [Entry; MAX_LANES];
    /// The element behind packed words in every lane. Settled, below 2 p.
    unsafe fn splat(words: &[u64; 4]) -> Self;
    /// The product.
    unsafe fn multiply(self, b: Self) -> Self;
    /// The square.
    unsafe fn square(self) -> Self;
    /// The product plus a lazy value below 48 p: settled, below 2 p.
    unsafe fn multiply_plus(self, b: Self, extra: Self) -> Self;
    /// The square plus a lazy value below 48 p: settled, below 2 p.
    unsafe fn square_plus(self, extra: Self) -> Self;
    /// `a b + c d`: settled, below 2 p.
    unsafe fn multiply_two(a: Self, b: Self, c: Self, d: Self) -> Self;
    /// The sum, not settled; the bounds add up.
    unsafe fn plus(self, b: Self) -> Self;
    /// The difference, not settled: `self + 20 p - b` for a `b` below 16 p that is the sum of at most eight settled values below 2 p.
    unsafe fn minus(self, b: Self) -> Self;
    /// The same value, settled.
    unsafe fn settle(self) -> Self;
    /// An equal element, settled and below 2 p. Takes any value below 64 p.
    unsafe fn reduce(self) -> Self;
    /// `yes` in the lanes of the mask, `no` in the others.
    unsafe fn select(mask: u8, yes: Self, no: Self) -> Self;
    /// The negative in the lanes of the mask. Takes a settled value below 16 p, gives a settled one below 20 p.
    unsafe fn negate_where(self, mask: u8) -> Self;
    /// At least the lanes that hold zero, seldom another. Takes a settled value below 2 p.
    unsafe fn maybe_zero(self) -> u8;
    /// The lanes that hold zero. Takes a settled value below 2 p.
    unsafe fn is_zero(self) -> u8;

    /// Zero in every lane.
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller's promise. Zero has zero words in every representation.
        unsafe { Self::splat(&[0; 4]) }
    }

    /// One in every lane.
    #[inline(always)]
    unsafe fn one() -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::splat(&Self::pack(Element::ONE)) }
    }

    /// `self` to the power `2^count`.
    #[inline(always)]
    unsafe fn squared(self, count: usize) -> Self {
        let mut x = self;
        for _ in 0..count {
            // SAFETY: the caller's promise.
            x = unsafe { x.square() };
        }
        x
    }

    /// 1 / x, and zero for zero. Takes a settled value below 2 p, gives what `gather` gives. One inversion outside of the lanes is
    /// quicker than a power in all of them.
    #[inline(always)]
    unsafe fn invert(self) -> Self {
        // SAFETY: the caller's promise.
        let mut entries = unsafe { Self::scatter(self, self) };
        let mut elements = [Element::ZERO; MAX_LANES];
        for lane in 0..Self::LANES {
            (elements[lane], _) = entries[lane].coordinates::<Self>();
        }
        batch_inverse(&mut elements[..Self::LANES]);
        for lane in 0..Self::LANES {
            entries[lane] = Entry::new::<Self>(elements[lane], Element::ZERO);
        }
        // SAFETY: the caller's promise.
        unsafe { Self::gather(&entries.each_ref()).0 }
    }
}

// SAFETY: safe Rust; needs no instruction set.
unsafe impl<P: Prime> Lanes for Element<P> {
    type Field = P;
    const LANES: usize = 1;

    #[inline(always)]
    fn pack(element: Self) -> [u64; 4] {
        element.montgomery()
    }
    #[inline(always)]
    fn unpack(words: [u64; 4]) -> Self {
        Self::from_montgomery(words)
    }
    #[inline(always)]
    unsafe fn gather(from: &[&Entry; MAX_LANES]) -> (Self, Self) {
        from[0].coordinates::<Self>()
    }
    #[inline(always)]
    unsafe fn scatter(x: Self, y: Self) -> [Entry; MAX_LANES] {
        let mut out = [Entry::BLANK; MAX_LANES];
        out[0] = Entry::new::<Self>(x, y);
        out
    }
    #[inline(always)]
    unsafe fn splat(words: &[u64; 4]) -> Self {
        Self::from_montgomery(*words)
    }
    #[inline(always)]
    unsafe fn multiply(self, b: Self) -> Self {
        self * b
    }
    #[inline(always)]
    unsafe fn square(self) -> Self {
        Self::square(&self)
    }
    #[inline(always)]
    unsafe fn multiply_plus(self, b: Self, extra: Self) -> Self {
        self * b + extra
    }
    #[inline(always)]
    unsafe fn square_plus(self, extra: Self) -> Self {
        Self::square(&self) + extra
    }
    #[inline(always)]
    unsafe fn multiply_two(a: Self, b: Self, c: Self, d: Self) -> Self {
        a * b + c * d
    }
    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        self + b
    }
    #[inline(always)]
    unsafe fn minus(self, b: Self) -> Self {
        self - b
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
        if mask & 1 == 1 { -self } else { self }
    }
    #[inline(always)]
    unsafe fn maybe_zero(self) -> u8 {
        u8::from(Self::is_zero(&self))
    }
    #[inline(always)]
    unsafe fn is_zero(self) -> u8 {
        u8::from(Self::is_zero(&self))
    }
}
