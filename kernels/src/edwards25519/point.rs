//! Points over lanes: extended coordinates on −x² + y² = 1 + d x² y², complete formulas.
//!
//! Additions are those of Hisil, Wong, Carter and Dawson (2008), §3.1 with a = −1, in the form that takes the second point prepared;
//! they hold for all pairs of points, equal, opposite, neutral or of small order, because −1 is a square and d is not.
#![allow(unsafe_code)]

use super::constants::CONSTANTS;
use super::fe::Fe;
use super::lanes::{Field, Lanes, MAX_LANES, Work};

/// (X : Y : Z : T) with x = X/Z, y = Y/Z, xy = T/Z. All coordinates settled.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Point<L> {
    pub(crate) x: L,
    pub(crate) y: L,
    pub(crate) z: L,
    pub(crate) t: L,
}

/// A point prepared to be added: Y + X, Y − X, 2 Z, 2 d T.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Cached<L> {
    plus: L,
    minus: L,
    z2: L,
    t2d: L,
}

/// A known point prepared to be added, Z = 1: y + x, y − x, 2 d x y.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Affine<L> {
    plus: L,
    minus: L,
    t2d: L,
}

/// Elements in a row of each kind in memory.
pub(crate) type Rows<T> = [*const T; MAX_LANES];

impl Point<Fe> {
    /// The neutral point.
    pub(crate) const IDENTITY: Self = Self {
        x: Fe::ZERO,
        y: Fe::ONE,
        z: Fe::ONE,
        t: Fe::ZERO,
    };
}

impl Cached<Fe> {
    /// The neutral point.
    pub(crate) const IDENTITY: Self = Self {
        plus: Fe::ONE,
        minus: Fe::ONE,
        z2: Fe([2, 0, 0, 0, 0]),
        t2d: Fe::ZERO,
    };
}

/// Pointers to places of one array: `at(lane)` for each lane, which must be within it.
#[inline(always)]
pub(crate) fn rows<T>(items: &[T], at: impl Fn(usize) -> usize) -> Rows<T> {
    let mut out = [items.as_ptr(); MAX_LANES];
    for (lane, row) in out.iter_mut().enumerate() {
        *row = &raw const items[at(lane)];
    }
    out
}

/// Pointers to the first eight items; lanes beyond the last item read the last.
///
/// # Panics
/// Never for a slice that is not empty; callers hold one item at least.
#[inline(always)]
pub(crate) fn first_rows<T>(items: &[T]) -> Rows<T> {
    rows(items, |lane| lane.min(items.len() - 1))
}

impl<L: Lanes> Point<L> {
    /// The neutral point in every lane.
    ///
    /// # Safety
    /// As [`Lanes`].
    #[inline(always)]
    pub(crate) unsafe fn identity() -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let (zero, one) = (L::splat(&Fe::ZERO), L::splat(&Fe::ONE));
            Self {
                x: zero,
                y: one,
                z: one,
                t: zero,
            }
        }
    }

    /// A point for each lane.
    ///
    /// # Safety
    /// As [`Lanes`]; the pointers are readable.
    #[inline(always)]
    pub(crate) unsafe fn load(from: &Rows<Point<Fe>>) -> Self {
        // SAFETY: the caller's promise; a point is four elements in a row.
        unsafe {
            let from = from.map(|row| row.cast::<Fe>());
            let [x, y, z, t] = L::gather::<4>(&from);
            Self { x, y, z, t }
        }
    }

    /// The points of all lanes; those beyond `LANES` are neutral.
    ///
    /// # Safety
    /// As [`Lanes`].
    #[inline(always)]
    pub(crate) unsafe fn store(self) -> [Point<Fe>; MAX_LANES] {
        let mut out = [Point::IDENTITY; MAX_LANES];
        let mut to = [out.as_mut_ptr().cast::<Fe>(); MAX_LANES];
        for (lane, row) in to.iter_mut().enumerate() {
            // SAFETY: within `out`.
            *row = unsafe { row.add(4 * lane) };
        }
        // SAFETY: the caller's promise; every pointer has room for a point.
        unsafe { L::scatter([self.x, self.y, self.z, self.t], &to) };
        out
    }

    /// Prepared to be added.
    ///
    /// # Safety
    /// As [`Lanes`].
    #[inline(always)]
    pub(crate) unsafe fn cached(self) -> Cached<L> {
        // SAFETY: the caller's promise.
        unsafe {
            Cached {
                plus: self.y.add(self.x),
                minus: self.y.sub(self.x),
                z2: self.z.add(self.z),
                t2d: self.t.multiply(L::splat(&CONSTANTS.two_d)),
            }
        }
    }

    /// The sum.
    ///
    /// # Safety
    /// As [`Lanes`].
    #[inline(always)]
    pub(crate) unsafe fn add_cached(mut self, q: Cached<L>) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let d = self.z.multiply(q.z2);
            self.finish_addition(q.plus, q.minus, q.t2d, d, true);
        }
        self
    }

    /// The rest of an addition, from D = 2 Z1 Z2. Without `t` the result lacks T.
    #[inline(always)]
    unsafe fn finish_addition(&mut self, plus: L, minus: L, t2d: L, d: L, t: bool) {
        // SAFETY: the caller's promise.
        unsafe {
            let a = self.y.sub(self.x).multiply(minus);
            let b = self.y.add(self.x).multiply(plus);
            let c = self.t.multiply(t2d);
            let e = b.sub(a);
            let f = d.sub(c);
            let g = d.add(c);
            let h = b.add(a);
            self.x = e.multiply(f);
            self.y = g.multiply(h);
            self.z = f.multiply(g);
            if t {
                self.t = e.multiply(h);
            }
        }
    }

    /// Twice the point; does not read T. Without `t` the result lacks T.
    ///
    /// The doubling of the same paper, §3.3, with F and H negated, which negates all four coordinates:
    /// H = X² + Y², E = (X + Y)² − H = 2 X Y, G = Y² − X², F = 2 Z² − G.
    ///
    /// # Safety
    /// As [`Lanes`].
    #[inline(always)]
    pub(crate) unsafe fn double(&mut self, t: bool) {
        // SAFETY: the caller's promise.
        unsafe {
            let xx = self.x.square();
            let yy = self.y.square();
            let zz = self.z.square();
            let xy = self.x.multiply(self.y);
            let e = xy.add(xy);
            let h = xx.add(yy);
            let g = yy.sub(xx);
            let f = zz.plus(zz).plus(xx).minus(yy).settle();
            self.x = e.multiply(f);
            self.y = g.multiply(h);
            self.z = f.multiply(g);
            if t {
                self.t = e.multiply(h);
            }
        }
    }

    /// 2^n times the point, n at least 1, a function of its own.
    ///
    /// # Safety
    /// As [`Lanes`].
    #[inline(always)]
    pub(crate) unsafe fn doubles(mut self, n: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { self.double_times(n) };
        self
    }

    /// [`Self::doubles`] in place.
    ///
    /// # Safety
    /// As [`Lanes`].
    #[inline(always)]
    pub(crate) unsafe fn double_times(&mut self, n: usize) {
        // SAFETY: the caller's promise.
        unsafe { L::enter(Doubles { point: self, n }) }
    }

    /// Adds a prepared point in memory for each lane, negated in the lanes of `negative`; a function of its own.
    ///
    /// # Safety
    /// As [`Lanes`]; the pointers are readable.
    #[inline(always)]
    pub(crate) unsafe fn add_rows(&mut self, from: &Rows<Cached<Fe>>, negative: u8, t: bool) {
        // SAFETY: the caller's promise.
        unsafe {
            L::enter(AddRows {
                point: self,
                from,
                negative,
                t,
            })
        }
    }

    /// [`Self::add_rows`] with points of a fixed table.
    ///
    /// # Safety
    /// As [`Lanes`]; the pointers are readable.
    #[inline(always)]
    pub(crate) unsafe fn add_affine(&mut self, from: &Rows<Affine<Fe>>, negative: u8, t: bool) {
        // SAFETY: the caller's promise.
        unsafe {
            L::enter(AddAffine {
                point: self,
                from,
                negative,
                t,
            })
        }
    }

    /// The opposite point.
    ///
    /// # Safety
    /// As [`Lanes`].
    #[inline(always)]
    pub(crate) unsafe fn negate(self) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Self {
                x: self.x.negate(),
                t: self.t.negate(),
                ..self
            }
        }
    }

    /// The lanes that hold the neutral point.
    ///
    /// # Safety
    /// As [`Lanes`].
    #[inline(always)]
    pub(crate) unsafe fn is_identity(self) -> u8 {
        // SAFETY: the caller's promise.
        unsafe { self.x.is_zero() & self.y.equals(self.z) }
    }
}

impl<L: Lanes> Cached<L> {
    /// Rows of prepared points in memory.
    ///
    /// # Safety
    /// As [`Lanes`]; the pointers are writable.
    #[inline(always)]
    pub(crate) unsafe fn store(self, to: &[*mut Cached<Fe>; MAX_LANES]) {
        // SAFETY: the caller's promise; a prepared point is four elements in a row.
        unsafe {
            let to = to.map(|row| row.cast::<Fe>());
            L::scatter([self.plus, self.minus, self.z2, self.t2d], &to);
        }
    }
}

impl Affine<Fe> {
    /// Prepares a point given by its affine coordinates.
    pub(crate) fn new(x: Fe, y: Fe) -> Self {
        // SAFETY: scalar elements need no instruction set.
        unsafe {
            Self {
                plus: y.add(x),
                minus: y.sub(x),
                t2d: x.multiply(y).multiply(CONSTANTS.two_d),
            }
        }
    }
}

/// Repeated doubling.
struct Doubles<'a, L> {
    point: &'a mut Point<L>,
    n: usize,
}

impl<L: Lanes> Work<L> for Doubles<'_, L> {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        for i in 0..self.n {
            // SAFETY: the caller's promise. Doubling does not read T, so only the last needs it.
            unsafe { self.point.double(i + 1 == self.n) };
        }
    }
}

/// Adds a row of each lane's table.
struct AddRows<'a, L> {
    point: &'a mut Point<L>,
    from: &'a Rows<Cached<Fe>>,
    negative: u8,
    t: bool,
}

impl<L: Lanes> Work<L> for AddRows<'_, L> {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: the caller's promise; a prepared point is four elements in a row.
        unsafe {
            let from = self.from.map(|row| row.cast::<Fe>());
            let [plus, minus, z2, t2d] = L::gather::<4>(&from);
            let d = self.point.z.multiply(z2);
            let (plus, minus) = (
                L::select(self.negative, minus, plus),
                L::select(self.negative, plus, minus),
            );
            let t2d = t2d.negate_where(self.negative);
            self.point.finish_addition(plus, minus, t2d, d, self.t);
        }
    }
}

/// Adds a row of a fixed table.
struct AddAffine<'a, L> {
    point: &'a mut Point<L>,
    from: &'a Rows<Affine<Fe>>,
    negative: u8,
    t: bool,
}

impl<L: Lanes> Work<L> for AddAffine<'_, L> {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: the caller's promise; a row is three elements.
        unsafe {
            let from = self.from.map(|row| row.cast::<Fe>());
            let [plus, minus, t2d] = L::gather::<3>(&from);
            let (plus, minus) = (
                L::select(self.negative, minus, plus),
                L::select(self.negative, plus, minus),
            );
            let t2d = t2d.negate_where(self.negative);
            let d = self.point.z.add(self.point.z);
            self.point.finish_addition(plus, minus, t2d, d, self.t);
        }
    }
}
