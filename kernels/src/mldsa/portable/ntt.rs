//! The number-theoretic transform of FIPS 204 §7.5 in 32-bit Montgomery arithmetic (R = 2³²).

use super::super::params::{N, Q, ZETA};

/// 256 coefficients; the bound of each function says how large they may be.
pub(crate) type Poly = [i32; N];

const Q32: i32 = Q as i32;
/// q⁻¹ modulo 2³².
const Q_INVERSE: i32 = inverse_of_q();
/// Zeta to the bit-reversed index, times R, each in (−q/2, q/2).
const ZETAS: [i32; N] = zetas();
/// R²/256 modulo q: the factor of the inverse transform, which also takes out one R of a preceding product.
const INVERSE_FACTOR: i32 = centred(mul(pow(2, 64), pow(256, Q as u64 - 2)));

/// Montgomery reduction: a·R⁻¹ modulo q, in (−q, q), for |a| < 2³¹·q.
#[inline(always)]
pub(crate) fn reduce(a: i64) -> i32 {
    debug_assert!(a.unsigned_abs() < u64::from(Q) << 31);
    let t = (a as i32).wrapping_mul(Q_INVERSE);
    // The low halves of a and t·q are equal, so the difference is a multiple of R and nothing is lost.
    ((a - i64::from(t) * i64::from(Q32)) >> 32) as i32
}

/// The representative in [0, q) of a value in (−q, q).
#[inline(always)]
pub(crate) fn canonical(a: i32) -> i32 {
    debug_assert!(a.unsigned_abs() < Q);
    a + ((a >> 31) & Q32)
}

/// NTT (FIPS 204, Algorithm 41), in place. Input below q in size, output below 9q: each of the eight layers adds less
/// than q, and 9q < 2³¹.
pub(crate) fn forward(w: &mut Poly) {
    debug_assert!(w.iter().all(|c| c.unsigned_abs() < Q));
    let mut zetas = ZETAS.iter().skip(1);
    let mut len = N / 2;
    while len > 0 {
        for (block, &zeta) in w.chunks_exact_mut(2 * len).zip(zetas.by_ref()) {
            let (low, high) = block.split_at_mut(len);
            for (a, b) in low.iter_mut().zip(high) {
                let t = reduce(i64::from(zeta) * i64::from(*b));
                *b = *a - t;
                *a += t;
            }
        }
        len /= 2;
    }
}

/// NTT⁻¹ (FIPS 204, Algorithm 42) times R, in place. Input below q in size, output below q.
///
/// Sums double their bound in each layer: 256·q = 2 145 386 752 < 2³¹ after the last.
pub(crate) fn inverse(w: &mut Poly) {
    debug_assert!(w.iter().all(|c| c.unsigned_abs() < Q));
    let mut end = N;
    let mut len = 1;
    while len < N {
        let blocks = N / (2 * len);
        // Zetas are taken from the end: those of this layer, last block first.
        let zetas = ZETAS[end - blocks..end].iter().rev();
        for (block, &zeta) in w.chunks_exact_mut(2 * len).zip(zetas) {
            let (low, high) = block.split_at_mut(len);
            for (a, b) in low.iter_mut().zip(high) {
                let difference = *b - *a;
                *a += *b;
                *b = reduce(i64::from(zeta) * i64::from(difference));
            }
        }
        end -= blocks;
        len *= 2;
    }
    for c in w {
        *c = reduce(i64::from(INVERSE_FACTOR) * i64::from(*c));
    }
}

const fn mul(a: u64, b: u64) -> u64 {
    a * b % Q as u64
}

const fn pow(base: u64, mut exponent: u64) -> u64 {
    let (mut result, mut square) = (1, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = mul(result, square);
        }
        square = mul(square, square);
        exponent >>= 1;
    }
    result
}

/// The representative of `a` in (−q/2, q/2).
const fn centred(a: u64) -> i32 {
    let a = a as i32;
    if a > Q32 / 2 { a - Q32 } else { a }
}

/// Newton's iteration for the inverse modulo 2³²; each step doubles the right bits.
const fn inverse_of_q() -> i32 {
    let mut inverse = 1i32;
    let mut step = 0;
    while step < 5 {
        inverse = inverse.wrapping_mul(2i32.wrapping_sub(Q32.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

const fn zetas() -> [i32; N] {
    let mut zetas = [0; N];
    let mut k = 0;
    while k < N {
        let exponent = (k as u8).reverse_bits() as u64;
        zetas[k] = centred(mul(pow(ZETA as u64, exponent), pow(2, 32)));
        k += 1;
    }
    zetas
}

/// Zeta to the bit-reversed index, in [0, q) and without the factor R: the table of FIPS 204, appendix B, for backends
/// with another reduction.
#[cfg(feature = "gpu")]
pub(crate) fn zetas_plain() -> [u64; N] {
    std::array::from_fn(|k| pow(u64::from(ZETA), u64::from((k as u8).reverse_bits())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    fn random(rng: &mut StdRng) -> Poly {
        std::array::from_fn(|_| rng.random_range(0..Q32))
    }

    #[test]
    fn constants() {
        assert_eq!(Q_INVERSE.wrapping_mul(Q32), 1);
        assert_eq!(Q_INVERSE, 58_728_449);
        assert_eq!(pow(ZETA as u64, 256), Q as u64 - 1);
        // FIPS 204, appendix B: zetas[1] = 4808194.
        assert_eq!(canonical(reduce(i64::from(ZETAS[1]))), 4_808_194);
    }

    /// Multiplication through the transform equals schoolbook multiplication modulo X²⁵⁶ + 1.
    #[test]
    fn product_is_negacyclic_convolution() {
        let mut rng = StdRng::seed_from_u64(1);
        for round in 0..4 {
            let (a, b) = if round == 0 {
                ([Q32 - 1; N], [1 - Q32; N])
            } else {
                (random(&mut rng), random(&mut rng))
            };
            let mut expected = [0i64; N];
            for i in 0..N {
                for j in 0..N {
                    let product = i64::from(a[i]) * i64::from(b[j]) % i64::from(Q);
                    if i + j < N {
                        expected[i + j] += product;
                    } else {
                        expected[i + j - N] -= product;
                    }
                }
            }
            let (mut x, mut y) = (a, b);
            forward(&mut x);
            forward(&mut y);
            let mut w: Poly = std::array::from_fn(|i| reduce(i64::from(x[i]) * i64::from(y[i])));
            inverse(&mut w);
            for i in 0..N {
                assert_eq!(
                    i64::from(canonical(w[i])),
                    expected[i].rem_euclid(i64::from(Q))
                );
            }
        }
    }
}
