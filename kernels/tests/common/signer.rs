//! Keys and signatures of the `ml-dsa` crate as bytes.

use ml_dsa::{ExpandedSigningKey, MlDsaParams, signature::rand_core};
use pars_kernels::mldsa::ParameterSet;

/// A key pair and how to sign with it.
pub struct Signer {
    pub public_key: Vec<u8>,
    pub secret_key: Vec<u8>,
    sign: Box<Sign>,
}

/// Signs an input with 32 bytes of randomness.
type Sign = dyn Fn(Input<'_>, &[u8; 32]) -> Vec<u8>;

/// What is signed.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// M′ of the internal interface.
    Formatted(&'a [u8]),
    Mu(&'a [u8; 64]),
}

impl Signer {
    pub fn from_seed(set: ParameterSet, seed: &[u8; 32]) -> Self {
        match set {
            ParameterSet::MlDsa44 => Self::new(ExpandedSigningKey::<ml_dsa::MlDsa44>::from_seed(
                &(*seed).into(),
            )),
            ParameterSet::MlDsa65 => Self::new(ExpandedSigningKey::<ml_dsa::MlDsa65>::from_seed(
                &(*seed).into(),
            )),
            ParameterSet::MlDsa87 => Self::new(ExpandedSigningKey::<ml_dsa::MlDsa87>::from_seed(
                &(*seed).into(),
            )),
        }
    }

    pub fn from_expanded(set: ParameterSet, key: &[u8]) -> Self {
        #[allow(deprecated)]
        match set {
            ParameterSet::MlDsa44 => Self::new(
                ExpandedSigningKey::<ml_dsa::MlDsa44>::from_expanded(&key.try_into().unwrap()),
            ),
            ParameterSet::MlDsa65 => Self::new(
                ExpandedSigningKey::<ml_dsa::MlDsa65>::from_expanded(&key.try_into().unwrap()),
            ),
            ParameterSet::MlDsa87 => Self::new(
                ExpandedSigningKey::<ml_dsa::MlDsa87>::from_expanded(&key.try_into().unwrap()),
            ),
        }
    }

    fn new<P: MlDsaParams + 'static>(key: ExpandedSigningKey<P>) -> Self {
        #[allow(deprecated)]
        let secret_key = key.to_expanded().to_vec();
        Self {
            public_key: key.verifying_key().encode().to_vec(),
            secret_key,
            sign: Box::new(move |input, rnd| {
                let signature = match input {
                    Input::Formatted(message) => key.sign_internal(&[message], &(*rnd).into()),
                    Input::Mu(mu) => key
                        .sign_mu_randomized(&(*mu).into(), &mut Fixed(*rnd))
                        .unwrap(),
                };
                signature.encode().to_vec()
            }),
        }
    }

    /// The signature made with the 32 bytes `rnd`, which are zero for a deterministic one.
    pub fn sign(&self, input: Input<'_>, rnd: &[u8; 32]) -> Vec<u8> {
        (self.sign)(input, rnd)
    }

    /// A deterministic signature of the external interface.
    pub fn sign_pure(&self, context: &[u8], message: &[u8]) -> Vec<u8> {
        self.sign(Input::Formatted(&pure(context, message)), &[0; 32])
    }
}

/// M′ of the external interface without pre-hash.
pub fn pure(context: &[u8], message: &[u8]) -> Vec<u8> {
    [&[0, u8::try_from(context.len()).unwrap()], context, message].concat()
}

/// Gives the 32 bytes that a vector prescribes.
struct Fixed([u8; 32]);

impl rand_core::TryRng for Fixed {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("the signer asks for 32 bytes at once")
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("the signer asks for 32 bytes at once")
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Fixed {}
