//! Powers in the base field by addition chains: p = 2^256 - 2^32 - 977 starts with 223 ones.
#![allow(unsafe_code)]

use crate::{curve::lanes::Lanes, field::secp256k1::Base};

/// x to the powers 2^2 - 1, and (2^223 - 1) 2^23 + 2^22 - 1: the bits that both exponents start with.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
unsafe fn shared<L: Lanes<Field = Base>>(x: L) -> (L, L) {
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
        (x2, x223.squared(23).multiply(x22))
    }
}

/// x^(p - 2): the inverse, and zero for zero.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(super) unsafe fn inverse<L: Lanes<Field = Base>>(x: L) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        let (x2, start) = shared(x);
        // The exponent ends in 0000101101.
        let t = start.squared(5).multiply(x);
        let t = t.squared(3).multiply(x2);
        t.squared(2).multiply(x)
    }
}

/// x^((p + 1) / 4): a square root of x if there is one (p is 3 modulo 4).
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(super) unsafe fn root<L: Lanes<Field = Base>>(x: L) -> L {
    // SAFETY: the caller's promise.
    unsafe {
        let (x2, start) = shared(x);
        // The exponent ends in 00001100.
        start.squared(6).multiply(x2).squared(2)
    }
}
