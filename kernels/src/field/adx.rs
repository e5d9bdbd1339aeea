//! One element for x86-64 with BMI2 and ADX: four 64-bit limbs in general registers, Montgomery form to R = 2^256.
//!
//! One state of a permutation is a chain of products, and between them what counts is how soon the next one can start. So a value
//! stays below 2 p and no product ends with a subtraction: of factors below 2 p, with 5.25 p < 2^256, it is below `4 p p / 2^256 + p`,
//! which is less than 1.77 p. Products are written in assembly, because the two chains of carries that `adcx` and `adox` allow are
//! beyond the compiler, and so are sums, because it turns their selections into branches on random data.
#![allow(unsafe_code)]

use core::arch::asm;
use std::marker::PhantomData;

use super::{Element, Prime, lanes::Lanes};

/// What products read.
#[repr(C)]
struct Constants {
    /// N' of the multiple `N' 2^64 - 1` of p.
    friendly: [u64; 4],
    modulus: [u64; 4],
    minus_inverse: u64,
}

/// One element: four limbs, least significant first, below 2 p.
#[repr(transparent)]
pub(crate) struct X1<P>([u64; 4], PhantomData<P>);

impl<P> Clone for X1<P> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for X1<P> {}

/// `t += a rdx`, for the operands that hold the limbs of a. The sum must fit five limbs.
#[rustfmt::skip]
macro_rules! row {
    ([$a0:literal, $a1:literal, $a2:literal, $a3:literal], $t0:literal, $t1:literal, $t2:literal, $t3:literal, $t4:literal) => {
        concat!(
            "xor {lo:e}, {lo:e}\n",
            "mulx {hi}, {lo}, ", $a0, "\n",
            "adcx {", $t0, "}, {lo}\n",
            "adox {", $t1, "}, {hi}\n",
            "mulx {hi}, {lo}, ", $a1, "\n",
            "adcx {", $t1, "}, {lo}\n",
            "adox {", $t2, "}, {hi}\n",
            "mulx {hi}, {lo}, ", $a2, "\n",
            "adcx {", $t2, "}, {lo}\n",
            "adox {", $t3, "}, {hi}\n",
            "mulx {hi}, {lo}, ", $a3, "\n",
            "adcx {", $t3, "}, {lo}\n",
            "adox {", $t4, "}, {hi}\n",
            "mov {lo:e}, 0\n",
            "adcx {", $t4, "}, {lo}\n",
        )
    };
}

/// `t = a rdx`.
#[rustfmt::skip]
macro_rules! first {
    ([$a0:literal, $a1:literal, $a2:literal, $a3:literal]) => {
        concat!(
            "mulx {t1}, {t0}, ", $a0, "\n",
            "mulx {t2}, {lo}, ", $a1, "\n",
            "add {t1}, {lo}\n",
            "mulx {t3}, {lo}, ", $a2, "\n",
            "adc {t2}, {lo}\n",
            "mulx {t4}, {lo}, ", $a3, "\n",
            "adc {t3}, {lo}\n",
            "adc {t4}, 0\n",
        )
    };
}

/// `t = (t - m) / 2^64 + m N'` for the low limb m. The limbs of the result are $t1, $t0, $t2, $t3, $t4, from the lowest.
#[rustfmt::skip]
macro_rules! friendly {
    ($t0:literal, $t1:literal, $t2:literal, $t3:literal, $t4:literal) => {
        concat!(
            "mov rdx, {", $t0, "}\n",
            "xor {lo:e}, {lo:e}\n",
            "mulx {", $t0, "}, {lo}, [{k}]\n",
            "adcx {", $t1, "}, {lo}\n",
            "adox {", $t0, "}, {", $t2, "}\n",
            "mulx {", $t2, "}, {lo}, [{k} + 8]\n",
            "adcx {", $t0, "}, {lo}\n",
            "adox {", $t2, "}, {", $t3, "}\n",
            "mulx {", $t3, "}, {lo}, [{k} + 16]\n",
            "adcx {", $t2, "}, {lo}\n",
            "adox {", $t3, "}, {", $t4, "}\n",
            "mulx {", $t4, "}, {lo}, [{k} + 24]\n",
            "adcx {", $t3, "}, {lo}\n",
            "mov {lo:e}, 0\n",
            "adox {", $t4, "}, {lo}\n",
            "adcx {", $t4, "}, {lo}\n",
        )
    };
}

/// `t = (t + m p) / 2^64` for the m that makes it whole. The limbs of the result are $t1, $t2, $t3, $t4, $t0, from the lowest; $t0 is
/// zero.
#[rustfmt::skip]
macro_rules! plain {
    ($t0:literal, $t1:literal, $t2:literal, $t3:literal, $t4:literal) => {
        concat!(
            "mov rdx, {", $t0, "}\n",
            "imul rdx, [{k} + 64]\n",
            row!(["[{k} + 32]", "[{k} + 40]", "[{k} + 48]", "[{k} + 56]"], $t0, $t1, $t2, $t3, $t4),
        )
    };
}

/// A row, or the first one, of the limbs behind the pointer x.
macro_rules! x {
    ($row:ident $(, $t:literal)*) => { $row!(["[{x}]", "[{x} + 8]", "[{x} + 16]", "[{x} + 24]"] $(, $t)*) };
}
/// Of those behind v.
macro_rules! v {
    ($row:ident $(, $t:literal)*) => { $row!(["[{v}]", "[{v} + 8]", "[{v} + 16]", "[{v} + 24]"] $(, $t)*) };
}
/// Of those in registers.
macro_rules! a {
    ($row:ident $(, $t:literal)*) => { $row!(["{a0}", "{a1}", "{a2}", "{a3}"] $(, $t)*) };
}

impl<P: Prime> X1<P> {
    const CONSTANTS: Constants = Constants {
        friendly: P::FRIENDLY,
        modulus: P::MODULUS,
        minus_inverse: P::MINUS_INVERSE,
    };
    /// 2 p.
    const TWICE: [u64; 4] = doubled(&P::MODULUS);
    /// 4 p.
    const FOUR: [u64; 4] = doubled(&Self::TWICE);
    /// 5.25 p < 2^256: what the bounds of products and of [`Self::and_twice`] rest on.
    const ROOM: () = assert!(
        (P::MODULUS[3] as u128 + 1) * 21 <= 4 << 64,
        "values of this prime need more room above it"
    );

    #[inline(always)]
    fn new(limbs: [u64; 4]) -> Self {
        const { Self::ROOM };
        debug_assert!(
            !super::at_least(&limbs, &Self::TWICE),
            "values stay below 2 p"
        );
        Self(limbs, PhantomData)
    }

    // Products interleave rows of the factors with steps of the reduction. In units of 2^64 p, of which five limbs hold 5.25, a row adds
    // less than 2 and a step with p less than 1. Steps with N' add only after they have shifted, and leave less than 1: in a single
    // product the sums stay below 1 + 2 + 1. They take the low limb itself as multiplier, so that the next step need not wait for a
    // product; two of them, followed by two with p, add less than `2^-64 N' + p` to the result. Where two products are summed the rows
    // take 4, which leaves no room for them, and nothing waits.

    /// The Montgomery product of values below 2 p; x lies in memory for some time already, y has just been made.
    ///
    /// # Safety
    /// BMI2 and ADX.
    #[inline(always)]
    unsafe fn product(x: &[u64; 4], y: [u64; 4]) -> [u64; 4] {
        let mut out = [0; 4];
        // SAFETY: reads `x` and the constants only, under the instruction sets that the caller promises.
        unsafe {
            asm!(
                x!(first),
                friendly!("t0", "t1", "t2", "t3", "t4"),
                "mov rdx, {y1}",
                x!(row, "t1", "t0", "t2", "t3", "t4"),
                friendly!("t1", "t0", "t2", "t3", "t4"),
                "mov rdx, {y2}",
                x!(row, "t0", "t1", "t2", "t3", "t4"),
                plain!("t0", "t1", "t2", "t3", "t4"),
                "mov rdx, {y3}",
                x!(row, "t1", "t2", "t3", "t4", "t0"),
                plain!("t1", "t2", "t3", "t4", "t0"),
                x = in(reg) x.as_ptr(),
                k = in(reg) &raw const *const { &Self::CONSTANTS },
                inout("rdx") y[0] => _,
                y1 = in(reg) y[1], y2 = in(reg) y[2], y3 = in(reg) y[3],
                t0 = out(reg) out[3], t1 = out(reg) _, t2 = out(reg) out[0], t3 = out(reg) out[1], t4 = out(reg) out[2],
                lo = out(reg) _, hi = out(reg) _,
                options(pure, readonly, nostack),
            );
        }
        out
    }

    /// The Montgomery square of a value below 2 p, by the same rows.
    ///
    /// # Safety
    /// BMI2 and ADX.
    #[inline(always)]
    unsafe fn squared(a: [u64; 4]) -> [u64; 4] {
        let mut out = [0; 4];
        // SAFETY: reads the constants only, under the instruction sets that the caller promises.
        unsafe {
            asm!(
                a!(first),
                friendly!("t0", "t1", "t2", "t3", "t4"),
                "mov rdx, {a1}",
                a!(row, "t1", "t0", "t2", "t3", "t4"),
                friendly!("t1", "t0", "t2", "t3", "t4"),
                "mov rdx, {a2}",
                a!(row, "t0", "t1", "t2", "t3", "t4"),
                plain!("t0", "t1", "t2", "t3", "t4"),
                "mov rdx, {a3}",
                a!(row, "t1", "t2", "t3", "t4", "t0"),
                plain!("t1", "t2", "t3", "t4", "t0"),
                k = in(reg) &raw const *const { &Self::CONSTANTS },
                inout("rdx") a[0] => _,
                a0 = in(reg) a[0], a1 = in(reg) a[1], a2 = in(reg) a[2], a3 = in(reg) a[3],
                t0 = out(reg) out[3], t1 = out(reg) _, t2 = out(reg) out[0], t3 = out(reg) out[1], t4 = out(reg) out[2],
                lo = out(reg) _, hi = out(reg) _,
                options(pure, readonly, nostack),
            );
        }
        out
    }

    /// `x y + v w`, reduced once: below `4 p p / 2^256 + p` for x and v below 2 p, y and w below p.
    ///
    /// # Safety
    /// BMI2 and ADX.
    #[inline(always)]
    unsafe fn two_products(x: &[u64; 4], y: &[u64; 4], v: &[u64; 4], w: &[u64; 4]) -> [u64; 4] {
        let mut out = [0; 4];
        // SAFETY: reads the factors and the constants only, under the instruction sets that the caller promises.
        unsafe {
            asm!(
                "mov rdx, [{y}]",
                x!(first),
                "mov rdx, [{w}]",
                v!(row, "t0", "t1", "t2", "t3", "t4"),
                plain!("t0", "t1", "t2", "t3", "t4"),
                "mov rdx, [{y} + 8]",
                x!(row, "t1", "t2", "t3", "t4", "t0"),
                "mov rdx, [{w} + 8]",
                v!(row, "t1", "t2", "t3", "t4", "t0"),
                plain!("t1", "t2", "t3", "t4", "t0"),
                "mov rdx, [{y} + 16]",
                x!(row, "t2", "t3", "t4", "t0", "t1"),
                "mov rdx, [{w} + 16]",
                v!(row, "t2", "t3", "t4", "t0", "t1"),
                plain!("t2", "t3", "t4", "t0", "t1"),
                "mov rdx, [{y} + 24]",
                x!(row, "t3", "t4", "t0", "t1", "t2"),
                "mov rdx, [{w} + 24]",
                v!(row, "t3", "t4", "t0", "t1", "t2"),
                plain!("t3", "t4", "t0", "t1", "t2"),
                x = in(reg) x.as_ptr(), y = in(reg) y.as_ptr(), v = in(reg) v.as_ptr(), w = in(reg) w.as_ptr(),
                k = in(reg) &raw const *const { &Self::CONSTANTS },
                t0 = out(reg) out[1], t1 = out(reg) out[2], t2 = out(reg) out[3], t3 = out(reg) _, t4 = out(reg) out[0],
                lo = out(reg) _, hi = out(reg) _, out("rdx") _,
                options(pure, readonly, nostack),
            );
        }
        out
    }

    /// Less `what` where that is not negative.
    #[inline(always)]
    fn less(a: [u64; 4], what: &'static [u64; 4]) -> [u64; 4] {
        let mut out = a;
        // SAFETY: reads `what` only, with instructions that every processor of the architecture has.
        unsafe {
            asm!(
                "sub {t0}, [{k}]",
                "sbb {t1}, [{k} + 8]",
                "sbb {t2}, [{k} + 16]",
                "sbb {t3}, [{k} + 24]",
                "cmovc {t0}, {a0}",
                "cmovc {t1}, {a1}",
                "cmovc {t2}, {a2}",
                "cmovc {t3}, {a3}",
                k = in(reg) what.as_ptr(),
                a0 = in(reg) a[0], a1 = in(reg) a[1], a2 = in(reg) a[2], a3 = in(reg) a[3],
                t0 = inout(reg) out[0], t1 = inout(reg) out[1], t2 = inout(reg) out[2], t3 = inout(reg) out[3],
                options(pure, readonly, nostack),
            );
        }
        out
    }

    /// `r + 2 z` modulo p, for r below 2 p and z below 1.6 p: below 2 p. The two smaller candidates for r are made before z is known;
    /// then the sum that is not negative and least is chosen.
    #[inline(always)]
    fn and_twice(r: [u64; 4], z: [u64; 4]) -> [u64; 4] {
        let less = [
            minus(&r, const { &Self::TWICE }),
            minus(&r, const { &Self::FOUR }),
        ];
        let mut out = r;
        // SAFETY: reads `less` only, with instructions that every processor of the architecture has.
        unsafe {
            asm!(
                "add {z0}, {z0}",
                "adc {z1}, {z1}",
                "adc {z2}, {z2}",
                "adc {z3}, {z3}",
                "mov {t0}, [{less}]",
                "mov {t1}, [{less} + 8]",
                "mov {t2}, [{less} + 16]",
                "mov {t3}, [{less} + 24]",
                "add {r0}, {z0}",
                "adc {r1}, {z1}",
                "adc {r2}, {z2}",
                "adc {r3}, {z3}",
                "add {t0}, {z0}",
                "adc {t1}, {z1}",
                "adc {t2}, {z2}",
                "adc {t3}, {z3}",
                "cmovc {r0}, {t0}",
                "cmovc {r1}, {t1}",
                "cmovc {r2}, {t2}",
                "cmovc {r3}, {t3}",
                "add {z0}, [{less} + 32]",
                "adc {z1}, [{less} + 40]",
                "adc {z2}, [{less} + 48]",
                "adc {z3}, [{less} + 56]",
                "cmovc {r0}, {z0}",
                "cmovc {r1}, {z1}",
                "cmovc {r2}, {z2}",
                "cmovc {r3}, {z3}",
                less = in(reg) less.as_ptr(),
                z0 = inout(reg) z[0] => _, z1 = inout(reg) z[1] => _, z2 = inout(reg) z[2] => _, z3 = inout(reg) z[3] => _,
                t0 = out(reg) _, t1 = out(reg) _, t2 = out(reg) _, t3 = out(reg) _,
                r0 = inout(reg) out[0], r1 = inout(reg) out[1], r2 = inout(reg) out[2], r3 = inout(reg) out[3],
                options(pure, readonly, nostack),
            );
        }
        out
    }
}

/// 2 x, for an x below 2^255.
const fn doubled(x: &[u64; 4]) -> [u64; 4] {
    [
        x[0] << 1,
        x[1] << 1 | x[0] >> 63,
        x[2] << 1 | x[1] >> 63,
        x[3] << 1 | x[2] >> 63,
    ]
}

/// a + b modulo 2^256.
#[inline(always)]
fn plus(a: &[u64; 4], b: &[u64; 4]) -> [u64; 4] {
    let mut out = [0; 4];
    let mut carry = false;
    for i in 0..4 {
        (out[i], carry) = a[i].carrying_add(b[i], carry);
    }
    out
}

/// a - b modulo 2^256.
#[inline(always)]
fn minus(a: &[u64; 4], b: &[u64; 4]) -> [u64; 4] {
    let mut out = [0; 4];
    let mut borrow = false;
    for i in 0..4 {
        (out[i], borrow) = a[i].borrowing_sub(b[i], borrow);
    }
    out
}

// SAFETY: products need BMI2 and ADX, as the trait's contract says; the rest needs nothing. Every value is below 2 p and settled, which
// keeps all bounds of the trait.
unsafe impl<P: Prime> Lanes<P> for X1<P> {
    type Constant = Element<P>;
    const LANES: usize = 1;

    #[inline(always)]
    fn constant(element: Element<P>) -> Element<P> {
        element
    }
    #[inline(always)]
    unsafe fn load(from: *const Element<P>, _: usize) -> Self {
        // SAFETY: the caller gives one readable element.
        Self::new(unsafe { *from }.montgomery())
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut Element<P>, _: usize) {
        let limbs = Self::less(self.0, const { &P::MODULUS });
        // SAFETY: the caller gives room for one element.
        unsafe { *to = Element::from_montgomery(limbs) }
    }
    #[inline(always)]
    unsafe fn zero() -> Self {
        Self::new([0; 4])
    }
    #[inline(always)]
    unsafe fn splat(constant: &Element<P>) -> Self {
        Self::new(constant.montgomery())
    }
    #[inline(always)]
    unsafe fn pow5(self) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            // Below 1.77 p, 1.6 p and 1.61 p.
            let fourth = Self::squared(Self::squared(self.0));
            Self::new(Self::product(&self.0, fourth))
        }
    }
    #[inline(always)]
    unsafe fn multiply(self, b: Self) -> Self {
        // SAFETY: the caller's promise.
        Self::new(unsafe { Self::product(&self.0, b.0) })
    }
    #[inline(always)]
    unsafe fn dot_every(
        xs: *const Self,
        step: usize,
        ys: &[Element<P>],
        addend: &Element<P>,
        extra: Self,
    ) -> Self {
        let (pairs, last) = ys.as_chunks::<2>();
        // SAFETY: the caller gives as many values, `step` apart, as constants.
        unsafe {
            let mut sum = extra.plus_constant(addend);
            for (i, [y, w]) in pairs.iter().enumerate() {
                let (x, v) = (xs.add(2 * i * step), xs.add((2 * i + 1) * step));
                let (y, w) = (y.montgomery(), w.montgomery());
                sum = sum.plus(Self::new(Self::two_products(&(*x).0, &y, &(*v).0, &w)));
            }
            if let [y] = last {
                let x = *xs.add(2 * pairs.len() * step);
                sum = sum.plus(Self::new(Self::product(&y.montgomery(), x.0)));
            }
            sum
        }
    }
    #[inline(always)]
    unsafe fn plus(self, b: Self) -> Self {
        // Below 4 p, which fits.
        Self::new(Self::less(plus(&self.0, &b.0), const { &Self::TWICE }))
    }
    #[inline(always)]
    unsafe fn plus_constant(self, b: &Element<P>) -> Self {
        // SAFETY: the caller's promise.
        unsafe { self.plus(Self::new(b.montgomery())) }
    }
    #[inline(always)]
    unsafe fn plus_twice(self, z: Self) -> Self {
        Self::new(Self::and_twice(self.0, z.0))
    }
    #[inline(always)]
    unsafe fn minus(self, b: Self) -> Self {
        // At most 2 p, which is not a value, but below 4 p with the other.
        let less = minus(const { &Self::TWICE }, &b.0);
        Self::new(Self::less(plus(&self.0, &less), const { &Self::TWICE }))
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
