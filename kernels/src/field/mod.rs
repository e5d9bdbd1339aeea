//! Prime fields of up to 256 bits, one element at a time, four or eight side by side.
//!
//! A field is a parameter file: a type that names its [`Prime`]. Everything else is derived from the modulus at compile
//! time. [`Fr`] and [`Fq`] are the scalar and the base field of BN254; [`secp256k1`] has those of that curve.
//!
//! | file | representation |
//! |---|---|
//! | `element` | [`Element`]: four 64-bit limbs, Montgomery form with R = 2^256, always below p |
//! | `inverse` | inverses by division steps |
//! | `adx` | one element in general registers, R = 2^256, below 2 p, in assembly (x86-64 with BMI2 and ADX) |
//! | `avx2` | four elements in nine 256-bit registers, radix 2^29, R = 2^261, lazy (x86-64 with AVX2) |
//! | `ifma` | eight elements in five 512-bit registers, radix 2^52, R = 2^260, lazy (x86-64 with AVX-512 IFMA) |
//! | `lanes`, `pair` | what permutations are written in; two groups of lanes at once |
//! | `wgsl` | the same as a shader: 9 limbs of 29 bits with 64-bit sums, or 20 of 13 bits with 32-bit sums |
//!
//! Nothing here is constant time: values are public.

#[cfg(target_arch = "x86_64")]
pub(crate) mod adx;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
pub mod bn254;
mod element;
#[cfg(target_arch = "x86_64")]
pub(crate) mod ifma;
mod inverse;
pub(crate) mod lanes;
#[cfg(target_arch = "x86_64")]
pub(crate) mod pair;
pub mod secp256k1;
#[cfg(test)]
mod tests;
#[cfg(feature = "gpu")]
pub(crate) mod wgsl;

pub use bn254::{Fq, Fr};
pub use element::{Element, NotCanonical, batch_inverse};

/// The parameter of a prime field: an odd prime between 2^192 and 2^256.
///
/// The constants with defaults follow from the modulus; an implementation gives only [`Self::MODULUS`] and [`Self::NAME`].
pub trait Prime: Copy + Eq + std::fmt::Debug + std::hash::Hash + Send + Sync + 'static {
    /// The field's name, as its standard spells it.
    const NAME: &'static str;
    /// p, least significant limb first.
    const MODULUS: [u64; 4];

    /// -1 / p modulo 2^64.
    const MINUS_INVERSE: u64 = minus_inverse(Self::MODULUS[0]);
    /// N' of the multiple `N' 2^64 - 1` of p.
    const FRIENDLY: [u64; 4] = friendly(64, &Self::MODULUS, Self::MINUS_INVERSE);
    /// R = 2^256 modulo p: one in Montgomery form.
    const R: [u64; 4] = power_of_two(256, &Self::MODULUS);
    /// R^2 modulo p: turns a number into Montgomery form.
    const R2: [u64; 4] = power_of_two(512, &Self::MODULUS);
    /// 2^260 modulo p: turns a number in Montgomery form to R = 2^256 into the form to R = 2^260.
    const R52: [u64; 4] = power_of_two(260, &Self::MODULUS);
}

/// -1 / m modulo 2^64 for odd m (Newton's iteration doubles the right bits each time).
const fn minus_inverse(m: u64) -> u64 {
    let mut inverse = 1u64;
    let mut i = 0;
    while i < 6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(m.wrapping_mul(inverse)));
        i += 1;
    }
    inverse.wrapping_neg()
}

/// Whether a >= b.
const fn at_least(a: &[u64; 4], b: &[u64; 4]) -> bool {
    let mut i = 4;
    while i > 0 {
        i -= 1;
        if a[i] != b[i] {
            return a[i] > b[i];
        }
    }
    true
}

/// 2^exponent modulo m, by doubling.
const fn power_of_two(exponent: usize, m: &[u64; 4]) -> [u64; 4] {
    let mut value = [1, 0, 0, 0];
    let mut i = 0;
    while i < exponent {
        let mut doubled = [0; 4];
        let mut carry = 0;
        let mut j = 0;
        while j < 4 {
            doubled[j] = (value[j] << 1) | carry;
            carry = value[j] >> 63;
            j += 1;
        }
        if carry == 1 || at_least(&doubled, m) {
            let mut borrow = false;
            j = 0;
            while j < 4 {
                let (d, b1) = doubled[j].overflowing_sub(m[j]);
                let (d, b2) = d.overflowing_sub(borrow as u64);
                doubled[j] = d;
                borrow = b1 | b2;
                j += 1;
            }
        }
        value = doubled;
        i += 1;
    }
    value
}

/// Whether a + b > m.
#[cfg(target_arch = "x86_64")]
const fn sum_exceeds(a: &[u64; 4], b: &[u64; 4], m: &[u64; 4]) -> bool {
    let mut sum = [0; 4];
    let mut carry = 0u128;
    let mut i = 0;
    while i < 4 {
        carry += a[i] as u128 + b[i] as u128;
        sum[i] = carry as u64;
        carry >>= 64;
        i += 1;
    }
    carry > 0 || !at_least(m, &sum)
}

/// floor(2^exponent / p) for an exponent of at most 300.
#[cfg(target_arch = "x86_64")]
const fn reciprocal(exponent: usize, p: &[u64; 4]) -> u64 {
    // Long division; p is above 2^192, and only quotients of a few bits are used.
    let mut remainder = [0u64; 5];
    let mut quotient = 0u64;
    let mut i = exponent + 1;
    while i > 0 {
        i -= 1;
        let mut carry = (i == exponent) as u64;
        let mut j = 0;
        while j < 5 {
            let word = remainder[j];
            remainder[j] = (word << 1) | carry;
            carry = word >> 63;
            j += 1;
        }
        quotient <<= 1;
        // Compare with p, subtract where not smaller.
        let mut less = [0u64; 5];
        let mut borrow = false;
        j = 0;
        while j < 5 {
            let m = if j < 4 { p[j] } else { 0 };
            let (d, b1) = remainder[j].overflowing_sub(m);
            let (d, b2) = d.overflowing_sub(borrow as u64);
            less[j] = d;
            borrow = b1 | b2;
            j += 1;
        }
        if !borrow {
            remainder = less;
            quotient |= 1;
        }
    }
    quotient
}

/// `(k p + 1) / 2^bits` for the k below 2^bits that makes it whole: a Montgomery step to the multiple k p has the low bits themselves
/// as its multiplier. At most p.
const fn friendly(bits: u32, p: &[u64; 4], minus_inverse: u64) -> [u64; 4] {
    let k = minus_inverse & (u64::MAX >> (64 - bits));
    let mut product = [0u64; 5];
    let mut carry = 1u128;
    let mut i = 0;
    while i < 4 {
        carry += p[i] as u128 * k as u128;
        product[i] = carry as u64;
        carry >>= 64;
        i += 1;
    }
    product[4] = carry as u64;
    let mut out = [0; 4];
    i = 0;
    while i < 4 {
        let wide = product[i] as u128 | (product[i + 1] as u128) << 64;
        out[i] = (wide >> bits) as u64;
        i += 1;
    }
    out
}
