//! Square roots in the base field by an addition chain: p = 2^256 - 2^32 - 977 starts with 223 ones.
#![allow(unsafe_code)]

use crate::{curve::lanes::Lanes, field::secp256k1::Base};

/// x^((p + 1) / 4): a square root of x if there is one (p is 3 modulo 4).
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(super) unsafe fn root<L: Lanes<Field = Base>>(x: L) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        // x_k is x to the power 2^k - 1.
        let x2 = x.square().multiply(x);
        let x3 = x2.square().multiply(x);
        let x6 = x3.squared(3).multiply(x3);
        let x9 = x6.squared(3).multiply(x3);
        let x11 = x9.squared(2).multiply(x2);
        let x22 = x11.squared(11).multiply(x11);
        let x44 = x22.squared(22).multiply(x22);
        let x88 = x44.squared(44).multiply(x44);
        let x176 = x88.squared(88).multiply(x88);
        let x220 = x176.squared(44).multiply(x44);
        let x223 = x220.squared(3).multiply(x3);
        // After 223 ones a zero and 22 ones; the exponent ends in 00001100.
        let start = x223.squared(23).multiply(x22);
        start.squared(6).multiply(x2).squared(2)
    }
}
