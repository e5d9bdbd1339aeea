//! The multiples 0·B to 528·B of the base point, prepared to be added.
#![allow(unsafe_code)]

use std::sync::LazyLock;

use crate::edwards25519::codec;
use crate::edwards25519::constants::CONSTANTS;
use crate::edwards25519::fe::Fe;
use crate::edwards25519::lanes::{Field, Lanes};
use crate::edwards25519::point::Point;

/// As many as the largest digit of two windows, 16 · 33, needs.
const MULTIPLES: usize = 16 * 33 + 1;

/// Y + X, Y − X, 2 Z, 2 d T of each multiple, with Z = 1.
pub(super) static BASE: LazyLock<Vec<[Fe; 4]>> = LazyLock::new(|| {
    // B has y = 4/5 and an even x (RFC 8032 §5.1).
    let mut encoded = [0x66; 32];
    encoded[0] = 0x58;
    // SAFETY: scalar elements need no instruction set.
    unsafe {
        let (_, base) = codec::decompress::<Fe>(&[encoded]);
        let base = base.cached();
        let mut multiple = Point::<Fe>::identity();
        let mut out = Vec::with_capacity(MULTIPLES);
        for _ in 0..MULTIPLES {
            let (x, y) = codec::affine(multiple);
            let two = Fe::ONE.add(Fe::ONE);
            let t2d = x.multiply(y).multiply(CONSTANTS.two_d);
            out.push([y.add(x), y.sub(x), two, t2d]);
            multiple = multiple.add_cached(base);
        }
        out
    }
});
