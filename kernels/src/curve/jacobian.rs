//! Points in Jacobian coordinates, one in each lane: (X, Y, Z) stands for (X / Z^2, Y / Z^3).
//!
//! All formulas are for a = 0 and a group of odd order: no point has y = 0, so doubling has no exception. Addition has three
//! (equal points, opposite points, the identity on either side); each is dealt with in its own lane.
#![allow(unsafe_code)]

use super::lanes::Lanes;

/// A point for each lane. Coordinates are settled, X and Y below 2 p, Z below 4 p.
#[derive(Clone, Copy)]
pub(crate) struct Jacobian<L> {
    pub(crate) x: L,
    pub(crate) y: L,
    pub(crate) z: L,
    /// The lanes that hold the identity, whose coordinates mean nothing.
    pub(crate) identity: u8,
}

/// # Safety
/// As [`Lanes`], for every function here.
impl<L: Lanes> Jacobian<L> {
    /// The identity in every lane.
    #[inline(always)]
    pub(crate) unsafe fn identity() -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let zero = L::zero();
            Self {
                x: zero,
                y: zero,
                z: L::one(),
                identity: L::ALL,
            }
        }
    }

    /// The affine points with these coordinates, settled and below 2 p; none is the identity.
    #[inline(always)]
    pub(crate) unsafe fn affine(x: L, y: L) -> Self {
        Self {
            x,
            y,
            // SAFETY: the caller's promise.
            z: unsafe { L::one() },
            identity: 0,
        }
    }

    /// The double of each: three products, four squares.
    #[inline(always)]
    pub(crate) unsafe fn double(self) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let square = self.y.square();
            let xx = self.x.square();
            // D = 4 X Y^2, E = 3 X^2, X' = E^2 - 2 D, Y' = E (D - X') - 8 Y^4, Z' = 2 Y Z.
            let d = self.x.multiply(square);
            let d2 = d.plus(d);
            let d4 = d2.plus(d2);
            let e = xx.plus(xx).plus(xx).settle();
            // 8 times a product below 2 p: the most that can be taken away.
            let x = e.square_plus(L::zero().minus(d4.plus(d4)));
            let slope = d4.minus(x).reduce();
            let fourth = square.square();
            let fourth2 = fourth.plus(fourth);
            let fourth4 = fourth2.plus(fourth2);
            let y = e.multiply_plus(slope, L::zero().minus(fourth4.plus(fourth4)));
            let z = self.y.multiply(self.z);
            Self {
                x,
                y,
                z: z.plus(z).settle(),
                identity: self.identity,
            }
        }
    }

    /// The sum with an affine point in each lane, but the same point where `skip` says so: eight products, three squares.
    ///
    /// x below 16 p and y below 20 p, settled; none is the identity (that is what `skip` is for).
    #[inline(always)]
    pub(crate) unsafe fn add_affine(self, x: L, y: L, skip: u8) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let zz = self.z.square();
            let h = x.multiply(zz).minus(self.x).reduce();
            let r = y.multiply(zz.multiply(self.z)).minus(self.y).reduce();
            let mut sum = self.chord(h, r);
            let same = h.maybe_zero() & L::ALL & !(skip | self.identity);
            if same != 0 {
                sum = self.exceptional(h, r, same, sum);
            }
            if skip != 0 {
                sum = Self::select(skip, self, sum);
            }
            let first = self.identity & !skip;
            if first != 0 {
                // Loaded values may be above the bounds of coordinates; times one they are not.
                let one = L::one();
                sum = Self {
                    x: L::select(first, x.multiply(one), sum.x),
                    y: L::select(first, y.multiply(one), sum.y),
                    z: L::select(first, one, sum.z),
                    identity: sum.identity & !first,
                };
            }
            sum
        }
    }

    /// The third point on the chord: `h` and `r` are the differences of the x and the y over one Z.
    #[inline(always)]
    unsafe fn chord(self, h: L, r: L) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let hh = h.square();
            let hhh = hh.multiply(h);
            let v = self.x.multiply(hh);
            // X' = R^2 - H^3 - 2 V, Y' = R (V - X') - Y H^3, Z' = Z H.
            let x = r.square_plus(L::zero().minus(hhh.plus(v).plus(v)));
            let slope = v.minus(x).reduce();
            let below = L::zero().minus(self.y).reduce();
            Self {
                x,
                y: L::multiply_two(r, slope, below, hhh),
                z: self.z.multiply(h),
                identity: self.identity,
            }
        }
    }

    /// Puts right the lanes of `suspects` where both points have one x: the double where also the y are equal, else the identity.
    ///
    /// Not part of its callers: it is seldom reached, and a loop that holds it no longer fits the instruction cache.
    #[cold]
    #[inline(never)]
    unsafe fn exceptional(self, h: L, r: L, suspects: u8, sum: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let same = h.is_zero() & suspects;
            let equal = r.is_zero() & same;
            let mut sum = Self::select(equal, self.double(), sum);
            sum.identity |= same & !equal;
            sum
        }
    }

    /// `yes` in the lanes of the mask.
    #[inline(always)]
    pub(crate) unsafe fn select(mask: u8, yes: Self, no: Self) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Self {
                x: L::select(mask, yes.x, no.x),
                y: L::select(mask, yes.y, no.y),
                z: L::select(mask, yes.z, no.z),
                identity: yes.identity & mask | no.identity & !mask,
            }
        }
    }
}
