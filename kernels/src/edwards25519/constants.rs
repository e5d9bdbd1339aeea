//! Constants of edwards25519 and ristretto255, each computed from its definition.
#![allow(unsafe_code)]

use std::sync::LazyLock;

use super::fe::Fe;
use super::lanes::{Field, Lanes};

/// What the formulas need beside 2^255 − 19.
pub(crate) struct Constants {
    /// d = −121665 / 121666 (RFC 8032 §5.1).
    pub(crate) d: Fe,
    /// 2 d.
    pub(crate) two_d: Fe,
    /// The square root of −1 that is not negative.
    pub(crate) sqrt_m1: Fe,
    /// sqrt(a d − 1), the negative one (RFC 9496 §4.1).
    pub(crate) sqrt_ad_minus_one: Fe,
    /// 1 / sqrt(a − d), not negative (RFC 9496 §4.1).
    pub(crate) invsqrt_a_minus_d: Fe,
    /// 1 − d² (RFC 9496 §4.1).
    pub(crate) one_minus_d_sq: Fe,
    /// (d − 1)² (RFC 9496 §4.1).
    pub(crate) d_minus_one_sq: Fe,
    /// 1 / d.
    #[cfg(feature = "gpu")]
    pub(crate) d_inverse: Fe,
    /// A = 486662 of Curve25519.
    pub(crate) montgomery_a: Fe,
    /// A².
    pub(crate) a_squared: Fe,
    /// sqrt(2 A (A + 2)); either root will do.
    pub(crate) sqrt_2a_a2: Fe,
    /// sqrt(−sqrt(−1) A (A + 2)); either root will do.
    pub(crate) sqrt_minus_ia_a2: Fe,
}

/// The constants, made at the first use.
pub(crate) static CONSTANTS: LazyLock<Constants> = LazyLock::new(|| {
    let small = |n: u64| Fe([n, 0, 0, 0, 0]);
    // SAFETY: scalar elements need no instruction set.
    unsafe {
        let one = Fe::ONE;
        let d = small(121_665).negate().multiply(small(121_666).invert());
        // 2 is not a square, so its power by (p − 1) / 4 = 2 (2^252 − 3) + 1 is a root of −1.
        let sqrt_m1 = small(2)
            .power_2_252_3()
            .square()
            .multiply(small(2))
            .absolute();
        // For x a square: x^((p + 3) / 8) or that times sqrt(−1); (p + 3) / 8 = (2^252 − 3) + 1.
        let root = |x: Fe| {
            let r = x.power_2_252_3().multiply(x);
            if r.square().equals(x) == 1 {
                r.absolute()
            } else {
                r.multiply(sqrt_m1).absolute()
            }
        };
        let a = small(486_662);
        let a_a2 = a.multiply(a.add(small(2)));
        Constants {
            d,
            two_d: d.add(d),
            sqrt_m1,
            sqrt_ad_minus_one: root(d.negate().sub(one)).negate(),
            invsqrt_a_minus_d: root(one.negate().sub(d)).invert().absolute(),
            one_minus_d_sq: one.sub(d.square()),
            d_minus_one_sq: d.sub(one).square(),
            #[cfg(feature = "gpu")]
            d_inverse: d.invert(),
            montgomery_a: a,
            a_squared: a.square(),
            sqrt_2a_a2: root(a_a2.add(a_a2)),
            sqrt_minus_ia_a2: root(a_a2.multiply(sqrt_m1).negate()),
        }
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    /// The decimal numbers of RFC 9496 §4.1, modulo 2^64.
    #[test]
    fn values_of_the_rfc() {
        let low = |x: Fe| u64::from_le_bytes(x.to_bytes()[..8].try_into().unwrap());
        let c = &*CONSTANTS;
        assert_eq!(low(c.d), 0x75eb_4dca_1359_78a3);
        assert_eq!(low(c.sqrt_m1), 0xc4ee_1b27_4a0e_a0b0);
        // SAFETY: scalar elements need no instruction set.
        unsafe {
            let one = Fe::ONE;
            assert_eq!(c.sqrt_m1.square().equals(one.negate()), 1);
            let ad = c.d.negate().sub(one);
            assert_eq!(c.sqrt_ad_minus_one.square().equals(ad), 1);
            assert_eq!(c.sqrt_ad_minus_one.is_negative(), 1);
            let inverse = c.invsqrt_a_minus_d.square();
            assert_eq!(inverse.multiply(one.negate().sub(c.d)).equals(one), 1);
        }
    }
}
