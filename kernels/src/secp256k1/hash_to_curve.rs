//! Hashing to the curve: secp256k1_XMD:SHA-256_SSWU_RO_ (RFC 9380 §8.7).
//!
//! Square roots, the bulk of the work, are taken for a whole list; divisions share one inversion. Variable time in the messages: they
//! are public.

use super::{Point, batch::even_roots, point::is_odd};
use crate::{
    cpu::{Level, level},
    field::{
        batch_inverse,
        secp256k1::{Fp, Scalar},
    },
    ring::expand_message_xmd,
};
use sha2::Sha256;

/// A number written in hexadecimal digits, most significant first; at most 64, and below p.
const fn number(digits: &str) -> Fp {
    let digits = digits.as_bytes();
    let mut limbs = [0u64; 4];
    let mut i = 0;
    while i < digits.len() {
        let digit = digits[digits.len() - 1 - i];
        let value = if digit <= b'9' {
            digit - b'0'
        } else {
            digit - b'a' + 10
        };
        limbs[i / 16] |= (value as u64) << (4 * (i % 16));
        i += 1;
    }
    match Fp::from_limbs(limbs) {
        Ok(element) => element,
        Err(_) => Fp::ZERO,
    }
}

/// The curve that is mapped to, E': y^2 = x^3 + A' x + B'.
const A: Fp = number("3f8731abdd661adca08a5558f0f5d272e953d363cb6f0e5d405447c01a444533");
const B: Fp = number("6eb");

/// The 3-isogeny to secp256k1 (RFC 9380, appendix E.1): the coefficients of four polynomials in x', the lowest first. The leading
/// coefficient of a denominator is one.
const X_NUMERATOR: [Fp; 4] = [
    number("8e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38daaaaa8c7"),
    number("7d3d4c80bc321d5b9f315cea7fd44c5d595d2fc0bf63b92dfff1044f17c6581"),
    number("534c328d23f234e6e2a413deca25caece4506144037c40314ecbd0b53d9dd262"),
    number("8e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38e38daaaaa88c"),
];
const X_DENOMINATOR: [Fp; 3] = [
    number("d35771193d94918a9ca34ccbb7b640dd86cd409542f8487d9fe6b745781eb49b"),
    number("edadc6f64383dc1df7c4b2d51b54225406d36b641f5e41bbc52a56612a8c6d14"),
    Fp::ONE,
];
const Y_NUMERATOR: [Fp; 4] = [
    number("4bda12f684bda12f684bda12f684bda12f684bda12f684bda12f684b8e38e23c"),
    number("c75e0c32d5cb7c0fa9d0a54b12a0a6d5647ab046d686da6fdffc90fc201d71a3"),
    number("29a6194691f91a73715209ef6512e576722830a201be2018a765e85a9ecee931"),
    number("2f684bda12f684bda12f684bda12f684bda12f684bda12f684bda12f38e38d84"),
];
const Y_DENOMINATOR: [Fp; 4] = [
    number("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffff93b"),
    number("7a06534bb8bdb49fd5e9e6632722c2989467c1bfc8e8d978dfb425d2685c2573"),
    number("6484aa716545ca2cf3a70c3fa8fe337e0a3d21162f0d6299a7bf8192bfd2a76f"),
    Fp::ONE,
];

/// Z = -11 of the map.
fn z() -> Fp {
    -Fp::from_u64(11)
}

/// The point that each message hashes to under a domain separation tag of at most 255 bytes; nothing for the identity, which no message
/// is known to hash to.
pub fn hash_to_curve(messages: &[&[u8]], dst: &[u8]) -> Vec<Option<Point>> {
    hash_to_curve_at(level(), messages, dst)
}

/// [`hash_to_curve`] by the code of one level, for tests and benchmarks. Equal points on every level.
pub fn hash_to_curve_at(level: Level, messages: &[&[u8]], dst: &[u8]) -> Vec<Option<Point>> {
    let numbers: Vec<Fp> = messages
        .iter()
        .flat_map(|message| hash_to_field(message, dst))
        .collect();
    let points = map_to_curve(level, &numbers);
    add_pairs(points.as_chunks::<2>().0)
}

/// Two elements of the base field (§5.2), 48 bytes each.
fn hash_to_field(message: &[u8], dst: &[u8]) -> [Fp; 2] {
    let mut uniform = [[0; 48]; 2];
    expand_message_xmd::<Sha256>(message, dst, uniform.as_flattened_mut());
    let mut numbers = [Fp::ZERO; 2];
    for (number, uniform) in numbers.iter_mut().zip(&uniform) {
        // The highest 16 bytes count 2^256 = 2^32 + 977.
        let mut high = [0; 32];
        let mut low = [0; 32];
        high[16..].copy_from_slice(&uniform[..16]);
        low.copy_from_slice(&uniform[16..]);
        *number =
            Fp::reduce_bytes_be(&low) + Fp::reduce_bytes_be(&high) * Fp::from_u64((1 << 32) + 977);
    }
    numbers
}

/// The value of a polynomial.
fn evaluate(polynomial: &[Fp], x: Fp) -> Fp {
    let mut value = Fp::ZERO;
    for coefficient in polynomial.iter().rev() {
        value = value * x + *coefficient;
    }
    value
}

/// The simplified SWU map (§6.6.2) to E', then the isogeny; nothing where that is the identity.
fn map_to_curve(level: Level, numbers: &[Fp]) -> Vec<Option<Point>> {
    // Z^2 u^4 + Z u^2, inverted, zero for zero.
    let zu: Vec<Fp> = numbers.iter().map(|u| z() * u.square()).collect();
    let mut inverse: Vec<Fp> = zu.iter().map(|zu| zu.square() + *zu).collect();
    inverse.push(A);
    inverse.push(z() * A);
    batch_inverse(&mut inverse);
    let (a, za) = match inverse.split_off(numbers.len())[..] {
        [a, za] => (a, za),
        _ => (Fp::ZERO, Fp::ZERO),
    };
    let right = |x: Fp| (x.square() + A) * x + B;
    let first: Vec<Fp> = inverse
        .iter()
        .map(|tv1| {
            if tv1.is_zero() {
                B * za
            } else {
                -B * a * (Fp::ONE + *tv1)
            }
        })
        .collect();
    let squares: Vec<Fp> = first.iter().map(|x| right(*x)).collect();
    let roots = even_roots(level, &squares);
    // Where the first x has no y, the second has one.
    let second: Vec<Fp> = roots
        .iter()
        .zip(first.iter().zip(&zu))
        .filter(|(root, _)| root.is_none())
        .map(|(_, (x, zu))| *x * *zu)
        .collect();
    let squares: Vec<Fp> = second.iter().map(|x| right(*x)).collect();
    let mut others = second.into_iter().zip(even_roots(level, &squares));
    let points: Vec<(Fp, Fp)> = numbers
        .iter()
        .zip(first.into_iter().zip(roots))
        .map(|(u, (x, root))| {
            let (x, y) = match root {
                Some(y) => (x, y),
                None => others
                    .next()
                    .map_or((x, Fp::ZERO), |(x, y)| (x, y.unwrap_or_default())),
            };
            (x, if is_odd(*u) { -y } else { y })
        })
        .collect();

    let mut denominators: Vec<Fp> = points
        .iter()
        .flat_map(|(x, _)| [evaluate(&X_DENOMINATOR, *x), evaluate(&Y_DENOMINATOR, *x)])
        .collect();
    batch_inverse(&mut denominators);
    points
        .iter()
        .zip(denominators.as_chunks::<2>().0)
        .map(|((x, y), [x_inverse, y_inverse])| {
            Point::from_coordinates(
                evaluate(&X_NUMERATOR, *x) * *x_inverse,
                evaluate(&Y_NUMERATOR, *x) * *y_inverse * *y,
            )
        })
        .collect()
}

/// The sum of each pair; nothing is the identity.
fn add_pairs(pairs: &[[Option<Point>; 2]]) -> Vec<Option<Point>> {
    let mut slopes: Vec<Fp> = pairs
        .iter()
        .map(|pair| match pair {
            [Some(p), Some(q)] if p == q => p.y.double(),
            [Some(p), Some(q)] => q.x - p.x,
            _ => Fp::ZERO,
        })
        .collect();
    batch_inverse(&mut slopes);
    pairs
        .iter()
        .zip(slopes)
        .map(|(pair, inverse)| match pair {
            [Some(p), Some(q)] => {
                let rise = if p == q {
                    p.x.square() * Fp::from_u64(3)
                } else if p.x == q.x {
                    return None;
                } else {
                    q.y - p.y
                };
                let slope = rise * inverse;
                let x = slope.square() - p.x - q.x;
                Some(Point {
                    x,
                    y: slope * (p.x - x) - p.y,
                })
            }
            [p, q] => p.or(*q),
        })
        .collect()
}

/// 64 big-endian bytes modulo n.
pub(crate) fn wide_scalar(bytes: &[u8; 64]) -> crate::field::secp256k1::Fn {
    use crate::field::{Element, Prime, secp256k1::Fn};
    let mut halves = [[0; 32]; 2];
    for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks::<32>().0) {
        *half = *bytes;
    }
    // The Montgomery form of 2^256.
    let above = Element::from_montgomery(<Scalar as Prime>::R2);
    Fn::reduce_bytes_be(&halves[0]) * above + Fn::reduce_bytes_be(&halves[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secp256k1::tests::Numbers;

    #[test]
    fn pairs_add_as_the_group_does() {
        let mut numbers = Numbers::new(5);
        let (p, q) = (numbers.point(), numbers.point());
        let mirrored = Point { x: p.x, y: -p.y };
        let sums = add_pairs(&[
            [Some(p), Some(q)],
            [Some(p), Some(p)],
            [Some(p), Some(mirrored)],
            [None, Some(q)],
            [Some(p), None],
            [None, None],
        ]);
        let on_curve = |point: Option<Point>| {
            let point = point.unwrap();
            assert!(Point::from_coordinates(point.x, point.y).is_some());
            point
        };
        assert!(on_curve(sums[0]) != p && on_curve(sums[1]) != p);
        // (P + Q) - P is Q.
        assert_eq!(
            add_pairs(&[[sums[0], Some(mirrored)], [sums[1], Some(mirrored)]]),
            [Some(q), Some(p)]
        );
        assert_eq!(sums[2..], [None, Some(q), Some(p), None]);
    }

    /// u = 0 and u^2 = -1 / Z, where the map divides by zero.
    #[test]
    fn exceptional_numbers_are_mapped() {
        let unit = even_roots(Level::Portable, &[-(z().inverse().unwrap())])[0];
        for u in [Some(Fp::ZERO), unit].into_iter().flatten() {
            assert!(map_to_curve(Level::Portable, &[u])[0].is_some());
        }
    }

    #[test]
    fn wide_numbers_are_reduced() {
        let one = crate::field::secp256k1::Fn::ONE;
        let mut bytes = [0; 64];
        bytes[31] = 1;
        let above = wide_scalar(&bytes);
        assert_eq!(above, (0..256).fold(one, |x, _| x.double()));
        assert_eq!(wide_scalar(&[0xff; 64]), above * above - one);
    }
}
