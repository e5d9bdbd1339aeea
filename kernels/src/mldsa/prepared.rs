//! Verifying keys with everything done once that depends on the key alone.

use super::{
    job::InputError,
    params::{N, ParameterSet, Params, RHO_LEN, T1_POLY_LEN},
    portable::{decode, ntt},
};
use crate::keccak::Shake256;

/// 256 words, aligned for whole-register loads.
#[derive(Clone)]
#[repr(C, align(64))]
pub(crate) struct Words256(pub(crate) [u32; N]);

/// Â by rows, by the fastest path of this processor.
#[cfg(target_arch = "x86_64")]
fn expand(params: &Params, rho: &[u8]) -> Vec<Words256> {
    super::vector::batch::expand(crate::cpu::level(), params, rho)
}

/// Â by rows, by the fastest path of this processor.
#[cfg(not(target_arch = "x86_64"))]
fn expand(params: &Params, rho: &[u8]) -> Vec<Words256> {
    (0..params.k * params.l)
        .map(|entry| {
            let (row, column) = (entry / params.l, entry % params.l);
            Words256(
                super::portable::sample::matrix_entry(rho, row, column).map(i32::cast_unsigned),
            )
        })
        .collect()
}

/// A public key with its matrix Â = ExpandA(ρ), NTT(t1·2^d) and tr = SHAKE256(pk, 64) kept.
///
/// Preparing costs about as much as a verification; each verification with the key then skips nine tenths
/// of its hashing and k of its k + 2 l + 1 transforms. A key holds 22, 39 or 67 KB, see [`size`](Self::size).
/// Holds public data only.
#[derive(Clone)]
pub struct PreparedKey {
    set: ParameterSet,
    public_key: Box<[u8]>,
    pub(crate) tr: [u8; 64],
    /// Â by rows, in [0, q).
    matrix: Box<[Words256]>,
    /// NTT(t1·2^d), in [0, q).
    t1: Box<[Words256]>,
}

impl PreparedKey {
    /// Prepares a packed public key. Every content is a key; variable time.
    ///
    /// # Errors
    /// [`InputError::PublicKeyLength`] if the length fits no parameter set.
    pub fn new(public_key: &[u8]) -> Result<Self, InputError> {
        let set = ParameterSet::from_public_key_len(public_key.len()).ok_or(
            InputError::PublicKeyLength {
                len: public_key.len(),
            },
        )?;
        let params = set.params();
        let (rho, t1) = public_key.split_at(RHO_LEN);
        let matrix = expand(params, rho).into_boxed_slice();
        let t1 = t1
            .chunks_exact(T1_POLY_LEN)
            .map(|packed| {
                let mut poly = decode::t1_poly_shifted(packed);
                ntt::forward(&mut poly);
                Words256(poly.map(|c| c.rem_euclid(super::Q.cast_signed()).cast_unsigned()))
            })
            .collect();
        Ok(Self {
            set,
            public_key: public_key.into(),
            tr: Shake256::digest(&[public_key]),
            matrix,
            t1,
        })
    }

    /// The parameter set.
    pub fn parameter_set(&self) -> ParameterSet {
        self.set
    }

    /// The packed public key.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + self.public_key.len()
            + (self.matrix.len() + self.t1.len()) * size_of::<Words256>()
    }

    /// A row of Â.
    pub(crate) fn matrix_row(&self, row: usize) -> &[Words256] {
        let l = self.set.params().l;
        &self.matrix[row * l..(row + 1) * l]
    }

    /// A row of NTT(t1·2^d).
    pub(crate) fn t1_row(&self, row: usize) -> &Words256 {
        &self.t1[row]
    }
}

impl std::fmt::Debug for PreparedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreparedKey")
            .field("set", &self.set)
            .field("bytes", &self.size())
            .finish()
    }
}
