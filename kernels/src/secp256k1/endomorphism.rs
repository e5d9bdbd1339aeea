//! The curve's endomorphism: λ (x, y) = (β x, y) with λ^3 = 1 modulo n and β^3 = 1 modulo p. A factor of 256 bits becomes two of 128
//! (Gallant, Lambert, Vanstone: "Faster point multiplication on elliptic curves with efficient endomorphisms").

use crate::field::secp256k1::{Fn, Fp};

/// β, limbs least significant first.
const BETA: [u64; 4] = [
    0xc139_6c28_7195_01ee,
    0x9cf0_4975_12f5_8995,
    0x6e64_479e_ac34_34e9,
    0x7ae9_6a2b_657c_0710,
];

/// The shortest vectors (a, b) with a + b λ = 0 modulo n are (A1, -B1) and (A2, A1).
const A1: u128 = 0x3086_d221_a7d4_6bcd_e86c_90e4_9284_eb15;
const B1: u128 = 0xe443_7ed6_010e_8828_6f54_7fa9_0abf_e4c3;
/// A2 less 2^128.
const A2_LOW: u128 = 0x14ca_50f7_a8e2_f3f6_57c1_108d_9d44_cfd8;

/// 2^384 A1 / n and 2^384 B1 / n, rounded.
const G1: [u64; 4] = [
    0xe893_209a_45db_b031,
    0x3daa_8a14_71e8_ca7f,
    0xe86c_90e4_9284_eb15,
    0x3086_d221_a7d4_6bcd,
];
const G2: [u64; 4] = [
    0x1571_b4ae_8ac4_7f71,
    0x2212_08ac_9df5_06c6,
    0x6f54_7fa9_0abf_e4c4,
    0xe443_7ed6_010e_8828,
];

/// β.
pub(super) fn beta() -> Fp {
    // β is below p.
    const { Fp::from_limbs(BETA) }.unwrap_or_default()
}

/// A number of at most 128 bits with a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Half {
    pub(super) magnitude: u128,
    pub(super) negative: bool,
}

/// Round(a b / 2^384).
#[inline]
fn product_above_384(a: &[u64; 4], b: &[u64; 4]) -> u128 {
    let mut t = [0u64; 8];
    for i in 0..4 {
        let mut carry = 0u128;
        for j in 0..4 {
            let sum = u128::from(t[i + j]) + u128::from(a[i]) * u128::from(b[j]) + carry;
            t[i + j] = sum as u64;
            carry = sum >> 64;
        }
        t[i + 4] = carry as u64;
    }
    (u128::from(t[6]) | u128::from(t[7]) << 64).wrapping_add(u128::from(t[5] >> 63))
}

/// Three words in two's complement.
type Wide = [u64; 3];

/// The product of two numbers below 2^128 modulo 2^192.
#[inline]
fn times(a: u128, b: u128) -> Wide {
    let (a0, a1, b0, b1) = (a as u64, (a >> 64) as u64, b as u64, (b >> 64) as u64);
    let low = u128::from(a0) * u128::from(b0);
    let mid = u128::from(a0) * u128::from(b1) + (low >> 64);
    let other = u128::from(a1) * u128::from(b0) + u128::from(mid as u64);
    let top = ((mid >> 64) as u64)
        .wrapping_add((other >> 64) as u64)
        .wrapping_add(a1.wrapping_mul(b1));
    [low as u64, other as u64, top]
}

#[inline]
fn less(a: Wide, b: Wide) -> Wide {
    let (d0, under0) = a[0].overflowing_sub(b[0]);
    let (d1, under1) = a[1].overflowing_sub(b[1]);
    let (d1, under2) = d1.overflowing_sub(u64::from(under0));
    let d2 = a[2]
        .wrapping_sub(b[2])
        .wrapping_sub(u64::from(under1 | under2));
    [d0, d1, d2]
}

/// The size and sign of a number between -2^128 and 2^128.
#[inline]
fn signed(value: Wide) -> Half {
    let negative = value[2] >> 63 == 1;
    let size = if negative { less([0; 3], value) } else { value };
    debug_assert_eq!(size[2], 0, "halves fit 128 bits");
    Half {
        magnitude: u128::from(size[0]) | u128::from(size[1]) << 64,
        negative,
    }
}

/// k1 and k2 with k = k1 + k2 λ modulo n, neither of more than 128 bits.
#[inline]
pub(super) fn split(k: Fn) -> [Half; 2] {
    let k = k.to_limbs();
    // How often each short vector goes into (k, 0): c1 (A1, -B1) + c2 (A2, A1) is near it, and the rest is short.
    let c1 = product_above_384(&k, &G1);
    let c2 = product_above_384(&k, &G2);
    let rest = less([k[0], k[1], k[2]], times(c1, A1));
    let rest = less(rest, times(c2, A2_LOW));
    // c2 2^128.
    let first = less(rest, [0, 0, c2 as u64]);
    let second = less(times(c1, B1), times(c2, A1));
    [signed(first), signed(second)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Element;
    use proptest::prelude::*;

    /// λ.
    const LAMBDA: [u64; 4] = [
        0xdf02_967c_1b23_bd72,
        0x122e_22ea_2081_6678,
        0xa526_1c02_8812_645a,
        0x5363_ad4c_c05c_30e0,
    ];

    fn element(half: Half) -> Fn {
        let limbs = [half.magnitude as u64, (half.magnitude >> 64) as u64, 0, 0];
        let size = Fn::from_limbs(limbs).unwrap();
        if half.negative { -size } else { size }
    }

    fn check(k: Fn) {
        let lambda = Fn::from_limbs(LAMBDA).unwrap();
        let [first, second] = split(k);
        assert_eq!(element(first) + element(second) * lambda, k);
    }

    #[test]
    fn roots_of_unity() {
        let lambda = Fn::from_limbs(LAMBDA).unwrap();
        assert!(lambda != Element::ONE && lambda * lambda * lambda == Element::ONE);
        assert!(beta() != Element::ONE && beta() * beta() * beta() == Element::ONE);
    }

    #[test]
    fn halves_of_the_edges() {
        let one = Fn::ONE;
        let lambda = Fn::from_limbs(LAMBDA).unwrap();
        for k in [
            Fn::ZERO,
            one,
            -one,
            lambda,
            -lambda,
            one - lambda,
            lambda.double(),
        ] {
            for shift in [Fn::ZERO, one, -one] {
                check(k + shift);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn halves_make_the_whole(bytes in any::<[u8; 32]>()) {
            check(Fn::reduce_bytes_be(&bytes));
        }
    }
}
