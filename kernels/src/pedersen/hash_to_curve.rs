//! Hashing to BN254's G1: RFC 9380 with `expand_message_xmd` over SHA-256, L = 48, the map of Shallue and van de Woestijne (§6.6.1) with
//! Z = 1 and two points added (`hash_to_curve`, §3). The cofactor is one.

use super::point::{Point, curve};
use crate::{
    field::{Fq, Prime, bn254::Base},
    ring::expand_message_xmd,
};
use std::sync::OnceLock;

/// (p + 1) / 4: the exponent of square roots for p = 3 modulo 4.
const ROOT: [u64; 4] = {
    let p = Base::MODULUS;
    // p + 1 changes the lowest limb only.
    let low = p[0] + 1;
    [
        low >> 2 | p[1] << 62,
        p[1] >> 2 | p[2] << 62,
        p[2] >> 2 | p[3] << 62,
        p[3] >> 2,
    ]
};

/// A square root, if there is one.
fn root(square: Fq) -> Option<Fq> {
    let root = square.power(&ROOT);
    (root.square() == square).then_some(root)
}

/// The sign of RFC 9380 §4.1: whether the number is odd.
fn sgn0(x: Fq) -> bool {
    x.to_limbs()[0] & 1 == 1
}

/// c1 to c4 of the map for Z = 1 and A = 0.
struct Constants([Fq; 4]);

fn constants() -> &'static Constants {
    static MADE: OnceLock<Constants> = OnceLock::new();
    MADE.get_or_init(|| {
        // g(Z) = 4; -Z / 2; sqrt(-3 g(Z)), even; -4 g(Z) / 3. -12 is a square: Z was chosen so.
        let four = Fq::from_u64(4);
        let three = Fq::from_u64(3);
        let inverse = |x: Fq| x.inverse().unwrap_or_default();
        let c3 = root(-(three * four)).unwrap_or_default();
        let c3 = if sgn0(c3) { -c3 } else { c3 };
        Constants([
            four,
            -inverse(Fq::from_u64(2)),
            c3,
            -(Fq::from_u64(16) * inverse(three)),
        ])
    })
}

/// The map to the curve, RFC 9380 §6.6.1.
fn map_to_curve(u: Fq) -> Point {
    let Constants([c1, c2, c3, c4]) = constants();
    let tv1 = u.square() * *c1;
    let tv2 = Fq::ONE + tv1;
    let tv1 = Fq::ONE - tv1;
    // inv0: zero for zero.
    let tv3 = (tv1 * tv2).inverse().unwrap_or_default();
    let tv4 = u * tv1 * tv3 * *c3;
    let x1 = *c2 - tv4;
    let x2 = *c2 + tv4;
    let x3 = (tv2.square() * tv3).square() * *c4 + Fq::ONE;
    // One of the three is the x of a point.
    let (x, y) = [x1, x2, x3]
        .into_iter()
        .find_map(|x| Some((x, root(curve(x))?)))
        .unwrap_or_default();
    let y = if sgn0(u) == sgn0(y) { y } else { -y };
    Point::Affine { x, y }
}

/// A number of 48 bytes modulo p (§5.2).
fn element(bytes: &[u8]) -> Fq {
    bytes.iter().fold(Fq::ZERO, |value, byte| {
        value * Fq::from_u64(256) + Fq::from_u64(u64::from(*byte))
    })
}

/// The point of a message under a domain separation tag of at most 255 bytes: nobody knows its logarithm.
pub fn hash_to_curve(message: &[u8], dst: &[u8]) -> Point {
    let mut uniform = [0; 96];
    expand_message_xmd::<sha2::Sha256>(message, dst, &mut uniform);
    let (first, second) = uniform.split_at(48);
    map_to_curve(element(first)).plus(map_to_curve(element(second)))
}
