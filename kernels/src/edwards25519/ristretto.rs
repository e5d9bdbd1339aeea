//! ristretto255 over lanes: decode, encode, the map from uniform bytes (RFC 9496 §4.3).
#![allow(unsafe_code)]

use super::codec::{load, sqrt_ratio, store};
use super::constants::CONSTANTS;
use super::fe::Fe;
use super::lanes::{Field, Lanes, MAX_LANES};
use super::point::Point;

/// Decode, RFC 9496 §4.3.1: the points that at most eight encodings stand for, and the lanes where there is one. Encodings that are
/// not canonical are refused.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn decode<L: Lanes>(encoded: &[[u8; 32]]) -> (u8, Point<L>) {
    let mut elements = [Fe::ZERO; MAX_LANES];
    let mut good = 0;
    for (lane, (element, bytes)) in elements.iter_mut().zip(encoded).enumerate() {
        *element = Fe::from_bytes(bytes);
        let canonical = bytes[31] >> 7 == 0 && Fe::is_canonical(bytes);
        let negative = bytes[0] & 1 == 1;
        good |= u8::from(canonical && !negative) << lane;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let one = L::splat(&Fe::ONE);
        let s: L = load(&elements);
        let ss = s.square();
        let u1 = one.sub(ss);
        let u2 = one.add(ss);
        let u2_sqr = u2.square();
        let v = u1
            .square()
            .multiply(L::splat(&CONSTANTS.d))
            .negate()
            .sub(u2_sqr);
        let (was_square, invsqrt) = sqrt_ratio(one, v.multiply(u2_sqr));
        let den_x = invsqrt.multiply(u2);
        let den_y = invsqrt.multiply(den_x).multiply(v);
        let x = s.add(s).multiply(den_x).absolute();
        let y = u1.multiply(den_y);
        let t = x.multiply(y);
        let good = good & was_square & !t.is_negative() & !y.is_zero();
        (good, Point { x, y, z: one, t })
    }
}

/// Encode, RFC 9496 §4.3.2.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn encode<L: Lanes>(point: Point<L>) -> [[u8; 32]; MAX_LANES] {
    // SAFETY: the caller's promise.
    unsafe {
        let Point { x, y, z, t } = point;
        let u1 = z.add(y).multiply(z.sub(y));
        let u2 = x.multiply(y);
        let (_, invsqrt) = sqrt_ratio(L::splat(&Fe::ONE), u1.multiply(u2.square()));
        let den1 = invsqrt.multiply(u1);
        let den2 = invsqrt.multiply(u2);
        let z_inv = den1.multiply(den2).multiply(t);
        let sqrt_m1 = L::splat(&CONSTANTS.sqrt_m1);
        let rotate = t.multiply(z_inv).is_negative();
        let enchanted = den1.multiply(L::splat(&CONSTANTS.invsqrt_a_minus_d));
        let (x, y) = (
            L::select(rotate, y.multiply(sqrt_m1), x),
            L::select(rotate, x.multiply(sqrt_m1), y),
        );
        let den_inv = L::select(rotate, enchanted, den2);
        let y = y.negate_where(x.multiply(z_inv).is_negative());
        let s = den_inv.multiply(z.sub(y)).absolute();
        let mut out = [[0; 32]; MAX_LANES];
        for (bytes, element) in out.iter_mut().zip(store(s)) {
            *bytes = element.to_bytes();
        }
        out
    }
}

/// Element derivation, RFC 9496 §4.3.4: the sum of the maps of both halves of at most eight strings of 64 bytes.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn from_uniform<L: Lanes>(uniform: &[[u8; 64]]) -> Point<L> {
    let mut halves = [[Fe::ZERO; MAX_LANES]; 2];
    for (lane, bytes) in uniform.iter().take(MAX_LANES).enumerate() {
        for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks::<32>().0) {
            half[lane] = Fe::from_bytes(bytes);
        }
    }
    // SAFETY: the caller's promise.
    unsafe {
        let one: Point<L> = map(load(&halves[0]));
        let two: Point<L> = map(load(&halves[1]));
        one.add_cached(two.cached())
    }
}

/// MAP, RFC 9496 §4.3.4.
#[inline(always)]
unsafe fn map<L: Lanes>(t: L) -> Point<L> {
    let c = &*CONSTANTS;
    // SAFETY: the caller's promise.
    unsafe {
        let one = L::splat(&Fe::ONE);
        let minus_one = one.negate();
        let d = L::splat(&c.d);
        let r = t.square().multiply(L::splat(&c.sqrt_m1));
        let u = r.add(one).multiply(L::splat(&c.one_minus_d_sq));
        let v = minus_one.sub(r.multiply(d)).multiply(r.add(d));
        let (was_square, s) = sqrt_ratio(u, v);
        let s_prime = s.multiply(t).absolute().negate();
        let s = L::select(was_square, s, s_prime);
        let c1 = L::select(was_square, minus_one, r);
        let n = c1
            .multiply(r.sub(one))
            .multiply(L::splat(&c.d_minus_one_sq))
            .sub(v);
        let sv = s.multiply(v);
        let ss = s.square();
        let w0 = sv.add(sv);
        let w1 = n.multiply(L::splat(&c.sqrt_ad_minus_one));
        let w2 = one.sub(ss);
        let w3 = one.add(ss);
        Point {
            x: w0.multiply(w3),
            y: w2.multiply(w1),
            z: w1.multiply(w3),
            t: w0.multiply(w2),
        }
    }
}
