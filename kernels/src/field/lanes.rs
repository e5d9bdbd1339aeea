//! The operations that a permutation over a prime field is written in, once for every representation.
#![allow(unsafe_code)]

use super::{Element, Prime};

/// `LANES` elements of a field side by side.
///
/// A value is *lazy*: it stands for an element, may be p or more, and its limbs may hold carries. Bounds are given in multiples
/// of p. A value is *settled* when its limbs hold no carries: only settled values may be multiplied. Products, `dot` and `settle`
/// give settled values. A scalar implementation keeps every value below p and settled.
///
/// The bounds are those of BN254 with R = 2^260, which leaves room for 84 p. A representation with more room may let all of them grow
/// in proportion, and one of another prime has `2^260 / p` for 84.
///
/// # Safety
/// Every function needs the instruction set that the implementing type stands for; callers run inside a function compiled for it,
/// reached only after the processor was asked.
pub(crate) unsafe trait Lanes<P: Prime>: Copy {
    /// A known element, in the form that is quickest to multiply and add.
    type Constant: Copy + Send + Sync + 'static;
    /// Number of elements.
    const LANES: usize;

    /// The element as a constant (below p). Needs no instruction set.
    fn constant(element: Element<P>) -> Self::Constant;

    /// `LANES` elements, `stride` apart. Settled; below 16 p.
    unsafe fn load(from: *const Element<P>, stride: usize) -> Self;
    /// Writes `LANES` elements, `stride` apart. Takes a settled value below 80 p.
    unsafe fn store(self, to: *mut Element<P>, stride: usize);
    /// Zero in every lane.
    unsafe fn zero() -> Self;
    /// The constant in every lane. Settled; below p.
    unsafe fn splat(constant: &Self::Constant) -> Self;
    /// x^5. Takes a settled value below 28 p; gives one below 3.2 p.
    unsafe fn pow5(self) -> Self;
    /// The product, settled. Of factors below a p and b p it is below `(a b / 84 + 2) p`.
    unsafe fn multiply(self, b: Self) -> Self;
    /// `extra + addend + Σ xs[i] ys[i]`, settled. With xs[i] below a_i p the sum of products counts `(Σ a_i / 84 + 2) p`.
    #[inline(always)]
    unsafe fn dot(
        xs: &[Self],
        ys: &[Self::Constant],
        addend: &Self::Constant,
        extra: Self,
    ) -> Self {
        debug_assert_eq!(xs.len(), ys.len(), "as many values as constants");
        // SAFETY: the caller's promise; the values are there.
        unsafe { Self::dot_every(xs.as_ptr(), 1, ys, addend, extra) }
    }
    /// [`Self::dot`] of values that are `step` places apart, as many as there are constants.
    unsafe fn dot_every(
        xs: *const Self,
        step: usize,
        ys: &[Self::Constant],
        addend: &Self::Constant,
        extra: Self,
    ) -> Self;
    /// The sum, not settled. The bounds add up and must stay below 80 p.
    unsafe fn plus(self, b: Self) -> Self;
    /// The sum with a constant, not settled.
    unsafe fn plus_constant(self, b: &Self::Constant) -> Self;
    /// `self + 2 z`, not settled, for a z that [`Self::pow5`] gave; the bounds add up.
    #[inline(always)]
    unsafe fn plus_twice(self, z: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { self.plus(z.plus(z)) }
    }
    /// The difference, not settled: `self + 32 p - b`, for a b below 24 p that is the sum of at most four settled values.
    unsafe fn minus(self, b: Self) -> Self;
    /// The same value, settled.
    unsafe fn settle(self) -> Self;
    /// An equal element below 2 p, settled. Takes any value below 80 p.
    unsafe fn shrink(self) -> Self;
}

// SAFETY: safe Rust; needs no instruction set.
unsafe impl<P: Prime> Lanes<P> for Element<P> {
    type Constant = Self;
    const LANES: usize = 1;

    #[inline(always)]
    fn constant(element: Self) -> Self {
        element
    }
    #[inline(always)]
    unsafe fn load(from: *const Self, _: usize) -> Self {
        // SAFETY: the caller gives one readable element.
        unsafe { *from }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut Self, _: usize) {
        // SAFETY: the caller gives room for one element.
        unsafe { *to = self }
    }
    #[inline(always)]
    unsafe fn zero() -> Self {
        Self::ZERO
    }
    #[inline(always)]
    unsafe fn splat(constant: &Self) -> Self {
        *constant
    }
    #[inline(always)]
    unsafe fn pow5(self) -> Self {
        self.fifth()
    }
    #[inline(always)]
    unsafe fn multiply(self, b: Self) -> Self {
        self * b
    }
    #[inline(always)]
    unsafe fn dot_every(
        xs: *const Self,
        step: usize,
        ys: &[Self],
        addend: &Self,
        extra: Self,
    ) -> Self {
        // SAFETY: the caller gives as many elements, `step` apart, as constants.
        let products = Self::sum_of_products(ys, |i| unsafe { *xs.add(i * step) });
        products + *addend + extra
    }
    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        self + b
    }
    #[inline(always)]
    unsafe fn plus_constant(self, b: &Self) -> Self {
        self + *b
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
    unsafe fn shrink(self) -> Self {
        self
    }
}
