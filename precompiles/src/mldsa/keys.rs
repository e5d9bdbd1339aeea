//! Key generation and signing by the `ml-dsa` crate, constant time and wiping what it used, with its panics caught.

use ml_dsa::{ExpandedSigningKey, MlDsa44, MlDsa65, MlDsa87, MlDsaParams, SigningKey};
use pars_kernels::mldsa::ParameterSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use zeroize::{Zeroize, Zeroizing};

/// `rnd` of deterministic signing, FIPS 204, Algorithm 2.
pub const DETERMINISTIC: [u8; 32] = [0; 32];

/// The library gave no result, by a panic or an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// A key pair in the encodings of FIPS 204.
pub struct KeyPair {
    /// pkEncode, Algorithm 22.
    pub public: Vec<u8>,
    /// skEncode, Algorithm 24: the expanded form.
    pub secret: Zeroizing<Vec<u8>>,
}

/// ML-DSA.KeyGen_internal (FIPS 204, Algorithm 6).
pub fn generate(set: ParameterSet, seed: &[u8; 32]) -> Result<KeyPair, Failed> {
    guarded(|| {
        Ok(match set {
            ParameterSet::MlDsa44 => generate_in::<MlDsa44>(seed),
            ParameterSet::MlDsa65 => generate_in::<MlDsa65>(seed),
            ParameterSet::MlDsa87 => generate_in::<MlDsa87>(seed),
        })
    })
}

/// ML-DSA.Sign (FIPS 204, Algorithm 2), deterministic, of the message whose representative is `mu`. The key's s1 and s2
/// must be known to be in range and an attempt to succeed: the library checks neither before it runs.
pub fn sign(set: ParameterSet, secret_key: &[u8], mu: &[u8; 64]) -> Result<Vec<u8>, Failed> {
    guarded(|| match set {
        ParameterSet::MlDsa44 => sign_in::<MlDsa44>(secret_key, mu),
        ParameterSet::MlDsa65 => sign_in::<MlDsa65>(secret_key, mu),
        ParameterSet::MlDsa87 => sign_in::<MlDsa87>(secret_key, mu),
    })
}

fn generate_in<P: MlDsaParams>(seed: &[u8; 32]) -> KeyPair {
    let mut seed = ml_dsa::Seed::from(*seed);
    let key = SigningKey::<P>::from_seed(&seed);
    seed.zeroize();
    let verifying: &ml_dsa::VerifyingKey<P> = key.as_ref();
    #[expect(deprecated, reason = "the interface speaks of expanded keys")]
    let mut expanded = key.expanded_key().to_expanded();
    let pair = KeyPair {
        public: verifying.encode().to_vec(),
        secret: Zeroizing::new(expanded.to_vec()),
    };
    expanded.zeroize();
    pair
}

fn sign_in<P: MlDsaParams>(secret_key: &[u8], mu: &[u8; 64]) -> Result<Vec<u8>, Failed> {
    let mut encoded =
        ml_dsa::ExpandedSigningKeyBytes::<P>::try_from(secret_key).map_err(|_| Failed)?;
    #[expect(deprecated, reason = "the interface speaks of expanded keys")]
    let key = ExpandedSigningKey::<P>::from_expanded(&encoded);
    encoded.zeroize();
    Ok(key.sign_mu_deterministic(&(*mu).into()).encode().to_vec())
}

/// `work`, with a panic turned into a value.
fn guarded<T>(work: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed> {
    // The closure borrows immutable bytes only; nothing half-changed can be seen afterwards.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Failed))
}
