//! The rejection loop of ML-DSA signing, one attempt at a time.
//!
//! Signing draws candidates until one may be shown without leaking the key (FIPS 204, Algorithm 7). Honest keys need a
//! handful; a crafted key can make the loop endless. The `ml-dsa` crate, which makes the signatures, runs the loop to
//! its end and does not say how long it was, so whoever charges or bounds the work goes through the same attempts here
//! first and may stop between any two.
//!
//! Key and candidates are secret: arithmetic, rounding and norm checks are constant time, and the buffers that hold
//! them are wiped. As in every implementation of the standard, the number of attempts and which check ended one are
//! visible in time; both are independent of the key for honest keys.

use super::{
    super::keccak,
    job::Message,
    params::{D, N, ParameterSet, Params, Q, RHO_LEN},
    portable::{
        decode,
        ntt::{self, Poly},
        rounding, sample,
    },
};
use shake::{
    Shake256,
    digest::{ExtendableOutput, Update, XofReader},
};
use zeroize::Zeroizing;

/// Bytes of the seed K and of `rnd`.
const SEED_LEN: usize = 32;
/// Bytes of tr, μ and ρ″.
const LONG_LEN: usize = 64;
/// Bytes of one packed polynomial of t0 (13 bits a coefficient).
const T0_POLY_LEN: usize = N / 8 * D as usize;
/// Bytes of the largest packed mask polynomial (20 bits a coefficient).
const MASK_MAX: usize = 640;
/// Precision of the division in [`Rounding::split`].
const SHIFT: u32 = 48;
const Q32: i32 = Q as i32;

/// Polynomials that are wiped when dropped.
type Secret = Zeroizing<Vec<Poly>>;

/// Why bytes are no secret key to sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeyError {
    /// No parameter set has expanded secret keys of this length.
    #[error("a secret key of {len} bytes fits no ML-DSA set: expected 2560, 4032 or 4896 bytes")]
    Length {
        /// The length given.
        len: usize,
    },
    /// A coefficient of s1 or s2 is outside [−η, η].
    #[error("the secret key is malformed: a coefficient of s1 or s2 is out of range")]
    Range,
    /// The context string is longer than 255 bytes.
    #[error("a context of {len} bytes is too long: at most 255 bytes are allowed")]
    ContextTooLong {
        /// The length given.
        len: usize,
    },
}

/// The attempts of one signature, in order.
///
/// ```
/// use pars_kernels::mldsa::{Attempts, Message, SecretKeyError};
///
/// let message = Message::Pure { context: b"", message: b"hello" };
/// let error = Attempts::new(&[0; 99], message, &[0; 32]).err();
/// assert_eq!(error, Some(SecretKeyError::Length { len: 99 }));
/// ```
pub struct Attempts {
    params: &'static Params,
    rounding: Rounding,
    /// Â by rows, k·l polynomials. Public.
    matrix: Vec<Poly>,
    s1: Secret,
    s2: Secret,
    t0: Secret,
    mu: [u8; LONG_LEN],
    /// ρ″, from which every mask is expanded.
    mask_seed: Zeroizing<[u8; LONG_LEN]>,
    made: u16,
}

impl Attempts {
    /// Reads an expanded secret key (FIPS 204, Algorithm 25) and prepares the loop: lines 1 to 9 of Algorithm 7.
    ///
    /// `rnd` is 32 zero bytes for deterministic signing. tr and t0 are taken as the key gives them, so a doctored key
    /// leads to a signature that does not verify and to nothing worse.
    ///
    /// # Errors
    /// [`SecretKeyError`] if no set has keys of this length, if s1 or s2 have coefficients outside [−η, η], or if the
    /// context is too long.
    pub fn new(
        secret_key: &[u8],
        message: Message<'_>,
        rnd: &[u8; SEED_LEN],
    ) -> Result<Self, SecretKeyError> {
        let set =
            ParameterSet::from_secret_key_len(secret_key.len()).ok_or(SecretKeyError::Length {
                len: secret_key.len(),
            })?;
        let params = set.params();
        // The length is that of the set, so every part below has its full length.
        let eta = (params.beta / params.tau as u32) as i32;
        let s_len = if eta == 2 { 96 } else { 128 };
        let (rho, rest) = secret_key.split_at(RHO_LEN);
        let (key, rest) = rest.split_at(SEED_LEN);
        let (tr, rest) = rest.split_at(LONG_LEN);
        let (s1, rest) = rest.split_at(params.l * s_len);
        let (s2, t0) = rest.split_at(params.k * s_len);

        // Key hash and message are public, and the message may be long: the fast sponge, which wipes nothing.
        let mu = match message {
            Message::Pure { context, message } => {
                let len = u8::try_from(context.len())
                    .map_err(|_| SecretKeyError::ContextTooLong { len: context.len() })?;
                keccak::Shake256::digest(&[tr, &[0, len], context, message])
            }
            Message::Formatted { prefix, message } => {
                keccak::Shake256::digest(&[tr, prefix, message])
            }
            Message::Mu(mu) => *mu,
        };
        let s1 = short_polys(s1, s_len, eta)?;
        let s2 = short_polys(s2, s_len, eta)?;
        let t0 = t0_polys(t0);
        let matrix = (0..params.k)
            .flat_map(|row| (0..params.l).map(move |column| (row, column)))
            .map(|(row, column)| sample::matrix_entry(rho, row, column))
            .collect();
        Ok(Self {
            params,
            rounding: Rounding::new(params),
            matrix,
            s1,
            s2,
            t0,
            mu,
            mask_seed: shake256(&[key, rnd, &mu]),
            made: 0,
        })
    }

    /// The message representative μ = SHAKE256(tr ‖ M′, 64), line 6 of FIPS 204, Algorithm 7. Public.
    pub const fn mu(&self) -> &[u8; LONG_LEN] {
        &self.mu
    }

    /// Number of attempts made so far.
    pub const fn made(&self) -> u16 {
        self.made
    }

    /// Makes the next attempt: one pass of the loop, lines 11 to 32 of FIPS 204, Algorithm 7. The commitment hash c̃
    /// with which the signature begins, if the attempt succeeds; 32, 48 or 64 bytes.
    ///
    /// After 9,000 attempts the masks run out and every further attempt fails; the standard allows a bound of 814.
    pub fn attempt(&mut self) -> Option<Vec<u8>> {
        let params = self.params;
        let nonce = self.made.checked_mul(params.l as u16)?;
        nonce.checked_add(params.l as u16)?;
        self.made += 1;

        let mut y = secret(params.l);
        for (r, poly) in y.iter_mut().enumerate() {
            self.mask(nonce + r as u16, poly);
        }
        let mut y_hat = y.clone();
        y_hat.iter_mut().for_each(ntt::forward);

        let mut w = secret(params.k);
        let mut hash = Shake256::default();
        hash.update(&self.mu);
        for (poly, row) in w.iter_mut().zip(self.matrix.chunks_exact(params.l)) {
            commitment(row, &y_hat, poly);
            let mut w1 = Zeroizing::new(*poly);
            w1.iter_mut().for_each(|c| *c = self.rounding.high(*c));
            let mut encoded = Zeroizing::new([0u8; 192]);
            hash.update(rounding::w1_encode(params, &w1, &mut encoded));
        }
        let mut c_tilde = vec![0; params.c_tilde_len];
        hash.finalize_xof().read(&mut c_tilde);
        let mut c = sample::in_ball(params, &c_tilde);
        ntt::forward(&mut c);

        let mut cs = Zeroizing::new([0; N]);
        let z_bound = (params.gamma1() - params.beta) as i32;
        let r0_bound = (params.gamma2 - params.beta) as i32;
        let mut overflow = 0;
        for (y, s1) in y.iter().zip(self.s1.iter()) {
            product(&c, s1, &mut cs);
            for (y, cs1) in y.iter().zip(cs.iter()) {
                overflow |= at_least(y + centred(*cs1), z_bound);
            }
        }
        for (w, s2) in w.iter_mut().zip(self.s2.iter()) {
            product(&c, s2, &mut cs);
            for (w, cs2) in w.iter_mut().zip(cs.iter()) {
                // w becomes w − c·s2, in [0, q).
                *w = ntt::canonical(*w - *cs2);
                overflow |= at_least(self.rounding.split(*w).1, r0_bound);
            }
        }
        if overflow != 0 {
            return None;
        }

        let gamma2 = params.gamma2 as i32;
        let mut ones = 0;
        for (w, t0) in w.iter().zip(self.t0.iter()) {
            product(&c, t0, &mut cs);
            for (w, ct0) in w.iter().zip(cs.iter()) {
                overflow |= at_least(centred(*ct0), gamma2);
                // Both are in [0, q), so one subtraction reduces the sum.
                let sum = w + ct0 - Q32;
                let hinted = sum + ((sum >> 31) & Q32);
                let differ = self.rounding.high(*w) ^ self.rounding.high(hinted);
                ones += (differ | differ.wrapping_neg()) >> 31 & 1;
            }
        }
        (overflow == 0 && ones <= params.omega as i32).then_some(c_tilde)
    }

    /// One polynomial of y: BitUnpack(SHAKE256(ρ″ ‖ nonce)), FIPS 204, Algorithm 34.
    fn mask(&self, nonce: u16, poly: &mut Poly) {
        let mut packed = Zeroizing::new([0; MASK_MAX]);
        let packed = &mut packed[..self.params.z_poly_len()];
        let mut xof = Shake256::default();
        xof.update(&*self.mask_seed);
        xof.update(&nonce.to_le_bytes());
        xof.finalize_xof().read(packed);
        decode::z_poly(self.params, packed, poly);
    }
}

impl std::fmt::Debug for Attempts {
    /// Shows nothing of the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempts")
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}

/// HighBits and LowBits (FIPS 204, Algorithm 36) in constant time.
struct Rounding {
    alpha: i32,
    gamma2: i32,
    /// Number of high-order values m.
    values: i32,
    /// ⌈2⁴⁸/α⌉. For x < 2²⁴, x·`reciprocal` exceeds x·2⁴⁸/α by less than 2²⁴ < 2⁴⁸/α, so the quotient is exact.
    reciprocal: u64,
}

impl Rounding {
    const fn new(params: &Params) -> Self {
        let alpha = 2 * params.gamma2;
        Self {
            alpha: alpha as i32,
            gamma2: params.gamma2 as i32,
            values: params.high_values() as i32,
            reciprocal: (1u64 << SHIFT).div_ceil(alpha as u64),
        }
    }

    /// (r1, r0) of a value in [0, q); r0 is in [−γ2, γ2].
    #[inline(always)]
    fn split(&self, r: i32) -> (i32, i32) {
        debug_assert!((0..Q32).contains(&r));
        let quotient = ((r + self.gamma2 - 1) as u64 * self.reciprocal) >> SHIFT;
        let r1 = quotient as i32;
        // All ones where r1 is m: that interval belongs to 0, with r0 lowered by one.
        let top = (self.values - 1 - r1) >> 31;
        (r1 & !top, r - r1 * self.alpha + top)
    }

    #[inline(always)]
    fn high(&self, r: i32) -> i32 {
        self.split(r).0
    }
}

/// Zero polynomials that will be wiped.
fn secret(count: usize) -> Secret {
    Zeroizing::new(vec![[0; N]; count])
}

/// The first 64 bytes of SHAKE256 of the parts concatenated.
fn shake256(parts: &[&[u8]]) -> Zeroizing<[u8; LONG_LEN]> {
    let mut xof = Shake256::default();
    for part in parts {
        xof.update(part);
    }
    let mut out = Zeroizing::new([0; LONG_LEN]);
    xof.finalize_xof().read(&mut *out);
    out
}

/// Polynomials with coefficients η − b, b of 3 or 4 bits, transformed. An error if some b is above 2η; every
/// coefficient is looked at either way.
fn short_polys(packed: &[u8], poly_len: usize, eta: i32) -> Result<Secret, SecretKeyError> {
    let mut polys = secret(packed.len() / poly_len);
    let mut out_of_range = 0;
    for (poly, packed) in polys.iter_mut().zip(packed.chunks_exact(poly_len)) {
        unpack(packed, poly);
        for c in poly.iter_mut() {
            *c = eta - *c;
            out_of_range |= (*c + eta) >> 31;
        }
        // What is out of range must not reach the transform, whose bounds it would still keep.
        ntt::forward(poly);
    }
    if out_of_range == 0 {
        Ok(polys)
    } else {
        Err(SecretKeyError::Range)
    }
}

/// The polynomials of t0, coefficients 2¹² − b with b of 13 bits, transformed. Every bit pattern is a coefficient.
fn t0_polys(packed: &[u8]) -> Secret {
    let mut polys = secret(packed.len() / T0_POLY_LEN);
    for (poly, packed) in polys.iter_mut().zip(packed.chunks_exact(T0_POLY_LEN)) {
        unpack(packed, poly);
        for c in poly.iter_mut() {
            *c = (1 << (D - 1)) - *c;
        }
        ntt::forward(poly);
    }
    polys
}

/// 256 numbers of `packed.len()/32` bits each, least significant bits first (FIPS 204, Algorithm 18).
fn unpack(packed: &[u8], poly: &mut Poly) {
    let bits = packed.len() / (N / 8);
    // Eight coefficients fill `bits` whole bytes.
    for (out, bytes) in poly.chunks_exact_mut(8).zip(packed.chunks_exact(bits)) {
        let word = bytes
            .iter()
            .rev()
            .fold(0u128, |word, &byte| word << 8 | u128::from(byte));
        for (i, c) in out.iter_mut().enumerate() {
            *c = ((word >> (bits * i)) & ((1 << bits) - 1)) as i32;
        }
    }
}

/// A row of w = NTT⁻¹(Â∘ŷ), in [0, q). Â is in [0, q) and ŷ below 9q in size, so seven products stay below 63q².
fn commitment(row: &[Poly], y_hat: &[Poly], w: &mut Poly) {
    let mut sum = Zeroizing::new([0i64; N]);
    for (a, y) in row.iter().zip(y_hat) {
        for ((sum, &a), &y) in sum.iter_mut().zip(a).zip(y) {
            *sum += i64::from(a) * i64::from(y);
        }
    }
    for (w, &sum) in w.iter_mut().zip(sum.iter()) {
        *w = ntt::reduce(sum);
    }
    ntt::inverse(w);
    w.iter_mut().for_each(|c| *c = ntt::canonical(*c));
}

/// NTT⁻¹(â∘b̂), in [0, q). Both factors are below 9q in size.
fn product(a: &Poly, b: &Poly, out: &mut Poly) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = ntt::reduce(i64::from(a) * i64::from(b));
    }
    ntt::inverse(out);
    out.iter_mut().for_each(|c| *c = ntt::canonical(*c));
}

/// The representative in (−q/2, q/2) of a value in [0, q).
#[inline(always)]
fn centred(a: i32) -> i32 {
    a - (((Q32 / 2 - a) >> 31) & Q32)
}

/// All ones if |a| ≥ bound, else 0.
#[inline(always)]
fn at_least(a: i32, bound: i32) -> i32 {
    let sign = a >> 31;
    let size = (a ^ sign) - sign;
    (bound - 1 - size) >> 31
}

#[cfg(test)]
mod tests;
