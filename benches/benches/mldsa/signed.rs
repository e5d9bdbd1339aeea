//! Signatures to verify, made by the `ml-dsa` crate from fixed seeds.

use ml_dsa::{Keypair, MlDsa44, MlDsa65, MlDsa87, MlDsaParams, SigningKey};
use pars_kernels::mldsa::ParameterSet;

/// Different signatures, each under its own key; larger batches repeat them.
const SIGNATURES: u8 = 64;

/// A signed message, all in bytes; the context is empty.
pub struct Signed {
    pub public_key: Vec<u8>,
    pub message: Vec<u8>,
    pub signature: Vec<u8>,
}

/// Signed messages of `message_len` bytes.
pub fn signed(set: ParameterSet, message_len: usize) -> Vec<Signed> {
    match set {
        ParameterSet::MlDsa44 => sign::<MlDsa44>(message_len),
        ParameterSet::MlDsa65 => sign::<MlDsa65>(message_len),
        ParameterSet::MlDsa87 => sign::<MlDsa87>(message_len),
    }
}

fn sign<P: MlDsaParams>(message_len: usize) -> Vec<Signed> {
    (0..SIGNATURES)
        .map(|number| {
            let key = SigningKey::<P>::from_seed(&[number; 32].into());
            let message = vec![number; message_len];
            let signature = key
                .expanded_key()
                .sign_deterministic(&message, b"")
                .unwrap();
            Signed {
                public_key: key.verifying_key().encode().to_vec(),
                message,
                signature: signature.encode().to_vec(),
            }
        })
        .collect()
}
