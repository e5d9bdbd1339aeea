//! Verification in safe Rust without vectors: the reference of every other path.

pub(crate) mod decode;
pub(crate) mod ntt;
pub(crate) mod rounding;
pub(crate) mod sample;

use super::{
    job::{Representative, VerifyJob},
    params::{L_MAX, N, Params, RHO_LEN, T1_POLY_LEN},
    prepared::PreparedKey,
};
use crate::keccak::Shake256;
use decode::Hint;
use ntt::Poly;

/// ML-DSA.Verify_internal (FIPS 204, Algorithm 8) on the formatted message or on μ.
///
/// Structural failures (‖z‖∞ ≥ γ1 − β, a malformed hint) end before any hashing. The rows of A are made and used one
/// polynomial at a time, so the working set is about 16 KiB. Never panics; variable time.
pub fn verify(job: &VerifyJob) -> bool {
    verify_with(job, None)
}

/// [`verify`] with the key prepared; `key` is the job's own.
pub(crate) fn verify_with(job: &VerifyJob, key: Option<&PreparedKey>) -> bool {
    let params = job.parameter_set().params();
    let signature = Signature::split(params, job.signature());

    let Some(hint) = Hint::unpack(params, signature.hint) else {
        return false;
    };
    let mut z = [[0i32; N]; L_MAX];
    let z = &mut z[..params.l];
    for (poly, packed) in z
        .iter_mut()
        .zip(signature.z.chunks_exact(params.z_poly_len()))
    {
        decode::z_poly(params, packed, poly);
        if !within_norm(params, poly) {
            return false;
        }
        ntt::forward(poly);
    }

    let mu = match job.representative() {
        Representative::Mu(mu) => *mu,
        Representative::Formatted(message) => match key {
            Some(key) => Shake256::digest(&[&key.tr, message]),
            None => representative(job.public_key(), message),
        },
    };
    let mut c = sample::in_ball(params, signature.c_tilde);
    ntt::forward(&mut c);

    let (rho, t1) = job.public_key().split_at(RHO_LEN);
    let mut hash = Shake256::new();
    hash.absorb(&mu);
    for (row, packed) in t1.chunks_exact(T1_POLY_LEN).enumerate() {
        let mut w = match key {
            Some(key) => prepared_commitment(key, row, z, &c),
            None => approximate_commitment(rho, row, z, &c, packed),
        };
        rounding::use_hint(params, &mut w, hint.row(row));
        let mut encoded = [0u8; 192];
        hash.absorb(rounding::w1_encode(params, &w, &mut encoded));
    }
    let mut c_tilde = [0u8; 64];
    let c_tilde = &mut c_tilde[..params.c_tilde_len];
    hash.finish().read(c_tilde);
    c_tilde == signature.c_tilde
}

/// Whether the signature of `job` decodes: ‖z‖∞ < γ1 − β and a well-formed hint (FIPS 204, Algorithms 21 and 27). One
/// that does not is not valid, whatever was signed. Hashes nothing.
pub fn decodes(job: &VerifyJob) -> bool {
    let params = job.parameter_set().params();
    let signature = Signature::split(params, job.signature());
    let mut z = [0; N];
    Hint::unpack(params, signature.hint).is_some()
        && signature.z.chunks_exact(params.z_poly_len()).all(|packed| {
            decode::z_poly(params, packed, &mut z);
            within_norm(params, &z)
        })
}

/// The message representative μ = SHAKE256(SHAKE256(pk, 64) ‖ M′, 64): FIPS 204, Algorithm 8, lines 6 and 7.
pub fn representative(public_key: &[u8], formatted: &[u8]) -> [u8; 64] {
    let tr: [u8; 64] = Shake256::digest(&[public_key]);
    Shake256::digest(&[&tr, formatted])
}

/// The three parts of a signature whose length has been checked.
pub(crate) struct Signature<'a> {
    pub c_tilde: &'a [u8],
    pub z: &'a [u8],
    pub hint: &'a [u8],
}

impl<'a> Signature<'a> {
    pub fn split(params: &Params, bytes: &'a [u8]) -> Self {
        let (c_tilde, rest) = bytes.split_at(params.c_tilde_len);
        let (z, hint) = rest.split_at(params.l * params.z_poly_len());
        Self { c_tilde, z, hint }
    }
}

/// ‖z‖∞ < γ1 − β.
fn within_norm(params: &Params, z: &Poly) -> bool {
    let bound = params.gamma1() - params.beta;
    z.iter().all(|c| c.unsigned_abs() < bound)
}

/// Row `row` of w′ = NTT⁻¹(Â∘NTT(z) − NTT(c)∘NTT(t1·2^d)) in [0, q): FIPS 204, Algorithm 8, line 9.
///
/// Bounds: Â is in [0, q), the others are below 9q in size, so the sum of seven products and one more is below
/// 7·9q² + 81q² = 144q² < 2³¹·q, what one Montgomery reduction takes.
pub(crate) fn approximate_commitment(
    rho: &[u8],
    row: usize,
    z: &[Poly],
    c: &Poly,
    t1: &[u8],
) -> Poly {
    let mut sum = [0i64; N];
    for (column, z) in z.iter().enumerate() {
        let a = sample::matrix_entry(rho, row, column);
        for ((sum, &a), &z) in sum.iter_mut().zip(&a).zip(z) {
            *sum += i64::from(a) * i64::from(z);
        }
    }
    let mut t = decode::t1_poly_shifted(t1);
    ntt::forward(&mut t);
    for ((sum, &c), &t) in sum.iter_mut().zip(c).zip(&t) {
        *sum -= i64::from(c) * i64::from(t);
    }
    let mut w = sum.map(ntt::reduce);
    ntt::inverse(&mut w);
    w.map(ntt::canonical)
}

/// [`approximate_commitment`] from a prepared key; entries and NTT(t1·2^d) are in [0, q), so the bound there holds.
fn prepared_commitment(key: &PreparedKey, row: usize, z: &[Poly], c: &Poly) -> Poly {
    let mut sum = [0i64; N];
    for (a, z) in key.matrix_row(row).iter().zip(z) {
        for ((sum, &a), &z) in sum.iter_mut().zip(&a.0).zip(z) {
            *sum += i64::from(a) * i64::from(z);
        }
    }
    for ((sum, &c), &t) in sum.iter_mut().zip(c).zip(&key.t1_row(row).0) {
        *sum -= i64::from(c) * i64::from(t);
    }
    let mut w = sum.map(ntt::reduce);
    ntt::inverse(&mut w);
    w.map(ntt::canonical)
}
