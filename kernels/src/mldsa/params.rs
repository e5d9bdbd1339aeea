//! Parameter sets and sizes, FIPS 204 §4.

use std::fmt;

/// The modulus q = 2²³ − 2¹³ + 1.
pub const Q: u32 = 8_380_417;
/// Coefficients of a polynomial.
pub const N: usize = 256;
/// Dropped bits d of t.
pub(crate) const D: u32 = 13;
/// A 512th root of unity modulo q.
pub(crate) const ZETA: u32 = 1753;
/// Bytes of one packed polynomial of t1 (10 bits a coefficient).
pub(crate) const T1_POLY_LEN: usize = 320;
/// Bytes of the seed ρ at the start of a public key.
pub(crate) const RHO_LEN: usize = 32;
/// Largest number of rows k over the sets.
pub(crate) const K_MAX: usize = 8;
/// Largest number of columns l over the sets.
pub(crate) const L_MAX: usize = 7;

/// An ML-DSA parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParameterSet {
    /// Security category 2.
    MlDsa44,
    /// Security category 3.
    MlDsa65,
    /// Security category 5.
    MlDsa87,
}

/// The numbers of a set, FIPS 204 Table 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Params {
    /// Rows of A.
    pub k: usize,
    /// Columns of A.
    pub l: usize,
    /// ±1 coefficients of the challenge.
    pub tau: usize,
    /// Bytes of c̃ (λ/4).
    pub c_tilde_len: usize,
    /// γ1 = 2^`gamma1_bits`.
    pub gamma1_bits: u32,
    /// Low-order rounding range.
    pub gamma2: u32,
    /// Most ones in the hint.
    pub omega: usize,
    /// τ·η.
    pub beta: u32,
}

impl Params {
    /// γ1.
    pub const fn gamma1(&self) -> u32 {
        1 << self.gamma1_bits
    }
    /// Bytes of one packed polynomial of z (γ1's bits + 1 a coefficient).
    pub const fn z_poly_len(&self) -> usize {
        N / 8 * (self.gamma1_bits as usize + 1)
    }
    /// Number of high-order values m = (q − 1)/(2γ2).
    pub const fn high_values(&self) -> u32 {
        (Q - 1) / (2 * self.gamma2)
    }
    /// Bytes of one packed polynomial of w1: 6 bits a coefficient for m = 44, 4 bits for m = 16.
    pub const fn w1_poly_len(&self) -> usize {
        if self.high_values() > 16 { 192 } else { 128 }
    }
}

const MLDSA44: Params = Params {
    k: 4,
    l: 4,
    tau: 39,
    c_tilde_len: 32,
    gamma1_bits: 17,
    gamma2: (Q - 1) / 88,
    omega: 80,
    beta: 78,
};
const MLDSA65: Params = Params {
    k: 6,
    l: 5,
    tau: 49,
    c_tilde_len: 48,
    gamma1_bits: 19,
    gamma2: (Q - 1) / 32,
    omega: 55,
    beta: 196,
};
const MLDSA87: Params = Params {
    k: 8,
    l: 7,
    tau: 60,
    c_tilde_len: 64,
    gamma1_bits: 19,
    gamma2: (Q - 1) / 32,
    omega: 75,
    beta: 120,
};

impl ParameterSet {
    /// All sets, smallest first.
    pub const ALL: [Self; 3] = [Self::MlDsa44, Self::MlDsa65, Self::MlDsa87];

    pub(crate) const fn params(self) -> &'static Params {
        match self {
            Self::MlDsa44 => &MLDSA44,
            Self::MlDsa65 => &MLDSA65,
            Self::MlDsa87 => &MLDSA87,
        }
    }

    /// Bytes of a public key: 1312, 1952 or 2592.
    pub const fn public_key_len(self) -> usize {
        RHO_LEN + T1_POLY_LEN * self.params().k
    }

    /// Bytes of an expanded secret key: 2560, 4032 or 4896.
    pub const fn secret_key_len(self) -> usize {
        match self {
            Self::MlDsa44 => 2560,
            Self::MlDsa65 => 4032,
            Self::MlDsa87 => 4896,
        }
    }

    /// Bytes of a signature: 2420, 3309 or 4627.
    pub const fn signature_len(self) -> usize {
        let p = self.params();
        p.c_tilde_len + p.l * p.z_poly_len() + p.omega + p.k
    }

    /// The set whose public keys have `len` bytes.
    pub const fn from_public_key_len(len: usize) -> Option<Self> {
        match len {
            1312 => Some(Self::MlDsa44),
            1952 => Some(Self::MlDsa65),
            2592 => Some(Self::MlDsa87),
            _ => None,
        }
    }

    /// The set whose expanded secret keys have `len` bytes.
    pub const fn from_secret_key_len(len: usize) -> Option<Self> {
        match len {
            2560 => Some(Self::MlDsa44),
            4032 => Some(Self::MlDsa65),
            4896 => Some(Self::MlDsa87),
            _ => None,
        }
    }

    /// The set's number in the interface of the precompile: its security category, 2, 3 or 5.
    pub const fn mode(self) -> u8 {
        match self {
            Self::MlDsa44 => 2,
            Self::MlDsa65 => 3,
            Self::MlDsa87 => 5,
        }
    }

    /// The set of a [`mode`](Self::mode) number.
    pub const fn from_mode(mode: u8) -> Option<Self> {
        match mode {
            2 => Some(Self::MlDsa44),
            3 => Some(Self::MlDsa65),
            5 => Some(Self::MlDsa87),
            _ => None,
        }
    }
}

impl fmt::Display for ParameterSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::MlDsa44 => "ML-DSA-44",
            Self::MlDsa65 => "ML-DSA-65",
            Self::MlDsa87 => "ML-DSA-87",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 204 Table 2.
    #[test]
    fn sizes_match_the_standard() {
        let sizes = ParameterSet::ALL.map(|s| {
            (
                s.public_key_len(),
                s.secret_key_len(),
                s.signature_len(),
                s.to_string(),
            )
        });
        assert_eq!(
            sizes,
            [
                (1312, 2560, 2420, "ML-DSA-44".into()),
                (1952, 4032, 3309, "ML-DSA-65".into()),
                (2592, 4896, 4627, "ML-DSA-87".into()),
            ]
        );
    }

    #[test]
    fn lookups_invert() {
        for set in ParameterSet::ALL {
            assert_eq!(
                ParameterSet::from_public_key_len(set.public_key_len()),
                Some(set)
            );
            assert_eq!(
                ParameterSet::from_secret_key_len(set.secret_key_len()),
                Some(set)
            );
            assert_eq!(ParameterSet::from_mode(set.mode()), Some(set));
        }
        assert_eq!(ParameterSet::from_public_key_len(0), None);
        assert_eq!(ParameterSet::from_secret_key_len(1312), None);
        assert_eq!(ParameterSet::from_mode(4), None);
    }
}
