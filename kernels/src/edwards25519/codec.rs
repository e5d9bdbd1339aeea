//! Points and bytes on edwards25519: decompression, compression, over lanes.
#![allow(unsafe_code)]

use super::constants::CONSTANTS;
use super::fe::Fe;
use super::lanes::{Field, Lanes, MAX_LANES};
use super::point::{Point, first_rows};

/// An element for each lane, from at most eight.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn load<L: Lanes>(elements: &[Fe]) -> L {
    // SAFETY: the caller's promise; callers hold one element at least.
    unsafe { L::gather::<1>(&first_rows(elements))[0] }
}

/// The elements of all lanes; those beyond `LANES` are zero.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn store<L: Lanes>(value: L) -> [Fe; MAX_LANES] {
    let mut out = [Fe::ZERO; MAX_LANES];
    let mut to = [out.as_mut_ptr(); MAX_LANES];
    for (lane, row) in to.iter_mut().enumerate() {
        // SAFETY: within `out`.
        *row = unsafe { row.add(lane) };
    }
    // SAFETY: the caller's promise.
    unsafe { L::scatter([value], &to) };
    out
}

/// `SQRT_RATIO_M1`, RFC 9496 §4.2: the lanes where u / v is a square, and the root that is not negative of u / v there, of
/// sqrt(−1) u / v elsewhere. (Yes, 0) for u = 0; (no, 0) for v = 0 and u ≠ 0.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn sqrt_ratio<L: Lanes>(u: L, v: L) -> (u8, L) {
    // SAFETY: the caller's promise.
    unsafe {
        let sqrt_m1 = L::splat(&CONSTANTS.sqrt_m1);
        let v3 = v.square().multiply(v);
        let v7 = v3.square().multiply(v);
        let r = u.multiply(v3).multiply(u.multiply(v7).power_2_252_3());
        let check = v.multiply(r.square()).canonical();
        let opposite = u.negate();
        let correct = check.same(u.canonical());
        let flipped = check.same(opposite.canonical());
        let flipped_i = check.same(opposite.multiply(sqrt_m1).canonical());
        let r = L::select(flipped | flipped_i, r.multiply(sqrt_m1), r);
        (correct | flipped, r.absolute())
    }
}

/// The points that at most eight encodings stand for, and the lanes where there is one. The y coordinate is taken modulo p, and a
/// sign bit of a zero x is ignored, as ZIP 215 says; a caller that wants canonical encodings asks [`is_canonical`] too.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn decompress<L: Lanes>(encoded: &[[u8; 32]]) -> (u8, Point<L>) {
    let mut elements = [Fe::ZERO; MAX_LANES];
    let mut sign = 0;
    for (lane, (element, bytes)) in elements.iter_mut().zip(encoded).enumerate() {
        *element = Fe::from_bytes(bytes);
        sign |= (bytes[31] >> 7) << lane;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let y: L = load(&elements);
        let one = L::splat(&Fe::ONE);
        let yy = y.square();
        let u = yy.sub(one);
        let v = yy.multiply(L::splat(&CONSTANTS.d)).add(one);
        let (ok, x) = sqrt_ratio(u, v);
        let x = x.negate_where(sign);
        let t = x.multiply(y);
        (ok, Point { x, y, z: one, t })
    }
}

/// Whether an encoding of a point is the one that compression gives: y below p, and no sign bit on a zero x (RFC 8032 §5.1.3). Asks
/// nothing about whether there is such a point.
pub(crate) fn is_canonical(encoded: &[u8; 32]) -> bool {
    // x = 0 only for y = 1 and y = −1.
    const ONE_SIGNED: [u8; 32] = {
        let mut bytes = [0; 32];
        bytes[0] = 1;
        bytes[31] = 0x80;
        bytes
    };
    const MINUS_ONE_SIGNED: [u8; 32] = {
        let mut bytes = [0xff; 32];
        bytes[0] = 0xec;
        bytes
    };
    Fe::is_canonical(encoded) && *encoded != ONE_SIGNED && *encoded != MINUS_ONE_SIGNED
}

/// Affine coordinates, canonical.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn affine<L: Lanes>(point: Point<L>) -> (L, L) {
    // SAFETY: the caller's promise.
    unsafe {
        let inverse = point.z.invert();
        (
            point.x.multiply(inverse).canonical(),
            point.y.multiply(inverse).canonical(),
        )
    }
}

/// Two points for each lane, compressed (RFC 8032 §5.1.2), with one inversion.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn compress_pair<L: Lanes>(
    p: Point<L>,
    q: Point<L>,
) -> ([[u8; 32]; MAX_LANES], [[u8; 32]; MAX_LANES]) {
    // SAFETY: the caller's promise.
    unsafe {
        let both = p.z.multiply(q.z).invert();
        (
            compress_with(p, both.multiply(q.z)),
            compress_with(q, both.multiply(p.z)),
        )
    }
}

/// Compresses points whose 1 / Z is known.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
unsafe fn compress_with<L: Lanes>(p: Point<L>, inverse: L) -> [[u8; 32]; MAX_LANES] {
    // SAFETY: the caller's promise.
    unsafe {
        let sign = p.x.multiply(inverse).is_negative();
        let y = store(p.y.multiply(inverse));
        let mut out = [[0; 32]; MAX_LANES];
        for lane in 0..MAX_LANES {
            out[lane] = y[lane].to_bytes();
            out[lane][31] |= (sign >> lane & 1) << 7;
        }
        out
    }
}
