//! Two groups of lanes as one: while one waits for its products, the processor has the other's to compute.
#![allow(unsafe_code)]

use super::{Element, Prime, lanes::Lanes};

/// The lanes of the first followed by those of the second.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Pair<L>(L, L);

// SAFETY: needs what `L` needs.
unsafe impl<P: Prime, L: Lanes<P>> Lanes<P> for Pair<L> {
    type Constant = L::Constant;
    const LANES: usize = 2 * L::LANES;

    #[inline(always)]
    fn constant(element: Element<P>) -> L::Constant {
        L::constant(element)
    }
    #[inline(always)]
    unsafe fn load(from: *const Element<P>, stride: usize) -> Self {
        // SAFETY: the caller gives twice as many elements.
        unsafe {
            Self(
                L::load(from, stride),
                L::load(from.add(L::LANES * stride), stride),
            )
        }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut Element<P>, stride: usize) {
        // SAFETY: the caller gives room for twice as many elements.
        unsafe {
            self.0.store(to, stride);
            self.1.store(to.add(L::LANES * stride), stride);
        }
    }
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(L::zero(), L::zero()) }
    }
    #[inline(always)]
    unsafe fn splat(constant: &L::Constant) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(L::splat(constant), L::splat(constant)) }
    }
    #[inline(always)]
    unsafe fn pow5(self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(self.0.pow5(), self.1.pow5()) }
    }
    #[inline(always)]
    unsafe fn multiply(self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(self.0.multiply(b.0), self.1.multiply(b.1)) }
    }
    #[inline(always)]
    unsafe fn dot_every(
        xs: *const Self,
        step: usize,
        ys: &[L::Constant],
        addend: &L::Constant,
        extra: Self,
    ) -> Self {
        let halves = xs.cast::<L>();
        // SAFETY: the caller's promise; a pair is two of `L` and nothing else, so that halves are two apart.
        unsafe {
            Self(
                L::dot_every(halves, 2 * step, ys, addend, extra.0),
                L::dot_every(halves.wrapping_add(1), 2 * step, ys, addend, extra.1),
            )
        }
    }
    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(self.0.plus(b.0), self.1.plus(b.1)) }
    }
    #[inline(always)]
    unsafe fn plus_constant(self, b: &L::Constant) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(self.0.plus_constant(b), self.1.plus_constant(b)) }
    }
    #[inline(always)]
    unsafe fn minus(self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(self.0.minus(b.0), self.1.minus(b.1)) }
    }
    #[inline(always)]
    unsafe fn settle(self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(self.0.settle(), self.1.settle()) }
    }
    #[inline(always)]
    unsafe fn shrink(self) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self(self.0.shrink(), self.1.shrink()) }
    }
}
