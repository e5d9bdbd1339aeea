//! Monero's hash to a point, `hash_to_ec` (`ge_fromfe_frombytes_vartime` in its sources): the point that it multiplies by eight.
#![allow(unsafe_code)]

use super::codec::{load, sqrt_ratio};
use super::constants::CONSTANTS;
use super::fe::Fe;
use super::lanes::{Field, Lanes, MAX_LANES};
use super::point::Point;

/// The points of at most eight hashes (Keccak-256 of a compressed point), times eight.
///
/// With u the hash as a number of 256 bits modulo p, v = 2 u², w = v + 1 and x = w² − A² v: where w / x is a square the point has
/// x = u sqrt(2 A (A + 2) w / x), not negative, and z = −A v; else x = sqrt(A (A + 2) w / x), negative, and z = −A. Then
/// (X : Y : Z) = (x (z + w) : z − w : z + w).
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn hash_to_point<L: Lanes>(hashes: &[[u8; 32]]) -> Point<L> {
    let mut elements = [Fe::ZERO; MAX_LANES];
    for (element, hash) in elements.iter_mut().zip(hashes) {
        *element = Fe::from_bytes(hash);
        // 2^255 is 19. The limb stays below 2^51 + 19.
        element.0[0] += 19 * u64::from(hash[31] >> 7);
    }
    let c = &*CONSTANTS;
    // SAFETY: the caller's promise.
    unsafe {
        let u: L = load(&elements);
        let uu = u.square();
        let v = uu.add(uu);
        let w = v.add(L::splat(&Fe::ONE));
        let x = w.square().sub(v.multiply(L::splat(&c.a_squared)));
        let (was_square, r) = sqrt_ratio(w, x);
        let minus_a = L::splat(&c.montgomery_a).negate();
        let root = L::select(
            was_square,
            r.multiply(u).multiply(L::splat(&c.sqrt_2a_a2)),
            r.multiply(L::splat(&c.sqrt_minus_ia_a2)),
        );
        let z = L::select(was_square, minus_a.multiply(v), minus_a);
        let root = root.negate_where(root.is_negative() ^ !was_square);
        let sum = z.add(w);
        let difference = z.sub(w);
        Point {
            x: root.multiply(sum),
            y: difference,
            z: sum,
            t: root.multiply(difference),
        }
        .doubles(3)
    }
}
