//! Inverses modulo an odd number of 256 bits by division steps (Bernstein, Yang: "Fast constant-time gcd computation and modular
//! inversion", 2019), in variable time.
//!
//! A division step takes (f, g), f odd, to (f, g / 2), (f, (g + f) / 2) or (g, (g − f) / 2). Sixty-two of them depend on the low words
//! alone: they are found there as a matrix over 2^62, which is then applied to all of f and g, and modulo p to d and e, where
//! d x = f and e x = g modulo p hold from the beginning (0 x = p, 1 x = x). When g is zero, f is 1 or −1.
//!
//! Numbers are five limbs of 62 bits, all but the last between 0 and 2^62, the last signed; d and e stay between −2 p and p.
// Plain loops over limbs: two numbers are read and written in step.
#![allow(clippy::needless_range_loop)]

const BITS: u32 = 62;
const MASK: u64 = u64::MAX >> (64 - BITS);
const LIMBS: usize = 5;

/// Limbs, least significant first.
type Limbs = [i64; LIMBS];

/// f becomes (u f + v g) / 2^62 and g (q f + r g) / 2^62. The sizes of a row add up to at most 2^62.
struct Matrix {
    u: i64,
    v: i64,
    q: i64,
    r: i64,
}

/// The limbs of four words.
const fn split(words: &[u64; 4]) -> Limbs {
    let [a, b, c, d] = *words;
    [
        (a & MASK).cast_signed(),
        ((a >> 62 | b << 2) & MASK).cast_signed(),
        ((b >> 60 | c << 4) & MASK).cast_signed(),
        ((c >> 58 | d << 6) & MASK).cast_signed(),
        (d >> 56).cast_signed(),
    ]
}

/// The words of a number below 2^256.
const fn joined(limbs: &Limbs) -> [u64; 4] {
    let [a, b, c, d, e] = *limbs;
    let (a, b, c, d, e) = (a as u64, b as u64, c as u64, d as u64, e as u64);
    [
        a | b << 62,
        b >> 2 | c << 60,
        c >> 4 | d << 58,
        d >> 6 | e << 56,
    ]
}

/// 62 division steps on the low words of f and g. `eta` counts how far g may be halved before f and g change places; it is below zero
/// where they do.
fn steps(mut eta: i64, f: u64, g: u64) -> (i64, Matrix) {
    let (mut f, mut g) = (f, g);
    // The matrix so far, times 2^(steps done).
    let (mut u, mut v, mut q, mut r) = (1u64, 0u64, 0u64, 1u64);
    let mut left = BITS;
    loop {
        // All halvings at once. A bit at `left` ends the count.
        let zeros = (g | u64::MAX << left).trailing_zeros();
        g >>= zeros;
        u <<= zeros;
        v <<= zeros;
        eta -= i64::from(zeros);
        left -= zeros;
        if left == 0 {
            break;
        }
        if eta < 0 {
            eta = -eta;
            (f, g) = (g, f.wrapping_neg());
            (u, q) = (q, u.wrapping_neg());
            (v, r) = (r, v.wrapping_neg());
        }
        // No more bits of g may go than there are steps left and until f and g change places: w = −g / f modulo a power of two of
        // at most six bits, as f (2 − f²) is 1 / f modulo 64.
        let limit = left.min((eta + 1).min(6) as u32);
        let mask = u64::MAX >> (64 - limit);
        let inverse = f.wrapping_mul(2u64.wrapping_sub(f.wrapping_mul(f)));
        let w = g.wrapping_mul(inverse).wrapping_neg() & mask;
        g = g.wrapping_add(f.wrapping_mul(w));
        q = q.wrapping_add(u.wrapping_mul(w));
        r = r.wrapping_add(v.wrapping_mul(w));
    }
    let [u, v, q, r] = [u, v, q, r].map(u64::cast_signed);
    (eta, Matrix { u, v, q, r })
}

const fn wide(a: i64, b: i64) -> i128 {
    a as i128 * b as i128
}

/// Applies a matrix to f and g. The lowest 62 bits of both sums are zero.
fn apply(f: &mut Limbs, g: &mut Limbs, t: &Matrix) {
    let mut sum_f = wide(t.u, f[0]) + wide(t.v, g[0]);
    let mut sum_g = wide(t.q, f[0]) + wide(t.r, g[0]);
    debug_assert!(sum_f as u64 & MASK == 0 && sum_g as u64 & MASK == 0);
    sum_f >>= BITS;
    sum_g >>= BITS;
    for i in 1..LIMBS {
        sum_f += wide(t.u, f[i]) + wide(t.v, g[i]);
        sum_g += wide(t.q, f[i]) + wide(t.r, g[i]);
        f[i - 1] = (sum_f as u64 & MASK).cast_signed();
        g[i - 1] = (sum_g as u64 & MASK).cast_signed();
        sum_f >>= BITS;
        sum_g >>= BITS;
    }
    f[LIMBS - 1] = sum_f as i64;
    g[LIMBS - 1] = sum_g as i64;
}

/// Applies a matrix to d and e modulo p: what makes the lowest 62 bits zero is added in multiples of p, and one or two p more where a
/// number is negative, so that both stay between −2 p and p. `inverse` is 1 / p modulo 2^62.
fn apply_modulo(d: &mut Limbs, e: &mut Limbs, t: &Matrix, p: &Limbs, inverse: u64) {
    // All ones where a number is negative.
    let (sign_d, sign_e) = (d[LIMBS - 1] >> 63, e[LIMBS - 1] >> 63);
    let mut more_d = (t.u & sign_d) + (t.v & sign_e);
    let mut more_e = (t.q & sign_d) + (t.r & sign_e);
    let mut sum_d = wide(t.u, d[0]) + wide(t.v, e[0]);
    let mut sum_e = wide(t.q, d[0]) + wide(t.r, e[0]);
    let missing = |sum: i128, more: i64| {
        let lacks = inverse
            .wrapping_mul(sum as u64)
            .wrapping_add(more.cast_unsigned());
        (lacks & MASK).cast_signed()
    };
    more_d -= missing(sum_d, more_d);
    more_e -= missing(sum_e, more_e);
    sum_d += wide(p[0], more_d);
    sum_e += wide(p[0], more_e);
    debug_assert!(sum_d as u64 & MASK == 0 && sum_e as u64 & MASK == 0);
    sum_d >>= BITS;
    sum_e >>= BITS;
    for i in 1..LIMBS {
        sum_d += wide(t.u, d[i]) + wide(t.v, e[i]) + wide(p[i], more_d);
        sum_e += wide(t.q, d[i]) + wide(t.r, e[i]) + wide(p[i], more_e);
        d[i - 1] = (sum_d as u64 & MASK).cast_signed();
        e[i - 1] = (sum_e as u64 & MASK).cast_signed();
        sum_d >>= BITS;
        sum_e >>= BITS;
    }
    d[LIMBS - 1] = sum_d as i64;
    e[LIMBS - 1] = sum_e as i64;
}

/// Carries moved up; the last limb keeps the sign.
fn carried(mut limbs: Limbs) -> Limbs {
    for i in 0..LIMBS - 1 {
        limbs[i + 1] += limbs[i] >> BITS;
        limbs[i] &= MASK.cast_signed();
    }
    limbs
}

/// The number plus p where it is negative.
fn lifted(mut limbs: Limbs, p: &Limbs) -> Limbs {
    if limbs[LIMBS - 1] < 0 {
        for i in 0..LIMBS {
            limbs[i] += p[i];
        }
    }
    carried(limbs)
}

/// 1 / x modulo a prime p of 255 or 256 bits, in four words below p; zero for zero. x is below 2^256; `minus_inverse` is −1 / p modulo
/// 2^64.
pub(crate) fn inverse(x: &[u64; 4], p: &[u64; 4], minus_inverse: u64) -> [u64; 4] {
    let (p, inverse) = (split(p), minus_inverse.wrapping_neg());
    let (mut f, mut g) = (p, split(x));
    let (mut d, mut e): (Limbs, Limbs) = ([0; LIMBS], [1, 0, 0, 0, 0]);
    let mut eta = -1;
    while g != [0; LIMBS] {
        let (next, t) = steps(eta, f[0] as u64, g[0] as u64);
        eta = next;
        apply_modulo(&mut d, &mut e, &t, &p, inverse);
        apply(&mut f, &mut g, &t);
    }
    // Above −2 p; of either sign, as f may be −1.
    let mut out = lifted(d, &p);
    if f[LIMBS - 1] < 0 {
        out = carried(out.map(|limb| -limb));
    }
    joined(&lifted(out, &p))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{Element, Prime, bn254, secp256k1};
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    /// Numbers at the edges of words and limbs, powers of two, near p, and random ones of every length.
    fn numbers(p: &[u64; 4], rng: &mut StdRng) -> Vec<[u64; 4]> {
        let mut out = vec![[0; 4], [1, 0, 0, 0], [u64::MAX; 4], *p];
        for near in 1..40 {
            let mut below = *p;
            below[0] -= near;
            out.push(below);
        }
        for bit in 0..256 {
            let mut power = [0; 4];
            power[bit / 64] = 1 << (bit % 64);
            out.push(power);
            let mut random: [u64; 4] = rng.random();
            for (i, word) in random.iter_mut().enumerate() {
                *word &= match bit / 64 {
                    last if i > last => 0,
                    last if i == last => u64::MAX >> (63 - bit % 64),
                    _ => u64::MAX,
                };
            }
            out.push(random);
        }
        out
    }

    fn check<P: Prime>() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut exponent = P::MODULUS;
        exponent[0] -= 2;
        for words in numbers(&P::MODULUS, &mut rng) {
            let bytes: Vec<u8> = words
                .iter()
                .rev()
                .flat_map(|word| word.to_be_bytes())
                .collect();
            let x = Element::<P>::reduce_bytes_be(&bytes.try_into().unwrap());
            let expected = x.power(&exponent).to_limbs();
            let found = inverse(&x.to_limbs(), &P::MODULUS, P::MINUS_INVERSE);
            assert_eq!(found, expected, "1 / {x} in the {}", P::NAME);
        }
    }

    #[test]
    fn inverses_are_those_of_fermat() {
        check::<bn254::Scalar>();
        check::<bn254::Base>();
        check::<secp256k1::Scalar>();
        check::<secp256k1::Base>();
    }
}
