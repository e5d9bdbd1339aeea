//! The peers, each from bytes.

use aws_lc_rs::signature::{self as aws, UnparsedPublicKey};
use libcrux_ml_dsa::{ml_dsa_44, ml_dsa_65, ml_dsa_87};
use ml_dsa::{EncodedSignature, EncodedVerifyingKey, MlDsaParams, Signature, VerifyingKey};
use pars_kernels::mldsa::ParameterSet;
use pqcrypto_mldsa::{mldsa44, mldsa65, mldsa87};
use pqcrypto_traits::sign::{DetachedSignature, PublicKey};

use crate::signed::Signed;

/// Another implementation.
pub struct Peer {
    pub who: &'static str,
    pub verify: fn(&Signed) -> bool,
}

/// The number of valid signatures of a batch, found by all cores of this machine, an equal share each.
pub fn on_all_cores(batch: &[&Signed], verify: fn(&Signed) -> bool) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = batch
            .chunks(batch.len().div_ceil(cores).max(1))
            .map(|share| scope.spawn(move || share.iter().filter(|one| verify(one)).count()))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    })
}

fn rust_crypto<P: MlDsaParams>(one: &Signed) -> bool {
    let key = EncodedVerifyingKey::<P>::try_from(one.public_key.as_slice()).unwrap();
    let signature = EncodedSignature::<P>::try_from(one.signature.as_slice()).unwrap();
    Signature::<P>::decode(&signature).is_some_and(|signature| {
        VerifyingKey::<P>::decode(&key).verify_with_context(&one.message, b"", &signature)
    })
}

/// liboqs, from bytes.
#[cfg(feature = "oqs")]
fn liboqs(algorithm: oqs::sig::Algorithm, one: &Signed) -> bool {
    static INIT: std::sync::Once = std::sync::Once::new();
    INIT.call_once(oqs::init);
    let sig = oqs::sig::Sig::new(algorithm).unwrap();
    let key = sig.public_key_from_bytes(&one.public_key).unwrap();
    let signature = sig.signature_from_bytes(&one.signature).unwrap();
    sig.verify(&one.message, signature, key).is_ok()
}

macro_rules! peers {
    ($params:ident, $aws:ident, $libcrux:ident, $key:ident, $signature:ident, $pqclean:ident, $oqs:ident) => {
        Vec::from([
            Peer {
                who: "ml-dsa",
                verify: rust_crypto::<ml_dsa::$params>,
            },
            Peer {
                who: "aws-lc-rs",
                verify: |one| {
                    UnparsedPublicKey::new(&aws::$aws, &one.public_key)
                        .verify(&one.message, &one.signature)
                        .is_ok()
                },
            },
            Peer {
                who: "libcrux-ml-dsa",
                verify: |one| {
                    let key = $libcrux::$key::new(one.public_key.as_slice().try_into().unwrap());
                    let signature =
                        $libcrux::$signature::new(one.signature.as_slice().try_into().unwrap());
                    $libcrux::verify(&key, &one.message, b"", &signature).is_ok()
                },
            },
            Peer {
                who: "pqcrypto-mldsa",
                verify: |one| {
                    let key = $pqclean::PublicKey::from_bytes(&one.public_key).unwrap();
                    let signature =
                        $pqclean::DetachedSignature::from_bytes(&one.signature).unwrap();
                    $pqclean::verify_detached_signature(&signature, &one.message, &key).is_ok()
                },
            },
            #[cfg(feature = "oqs")]
            Peer {
                who: "oqs",
                verify: |one| liboqs(oqs::sig::Algorithm::$oqs, one),
            },
        ])
    };
}

/// All peers of a set: `ml-dsa`, `aws-lc-rs`, `libcrux-ml-dsa`, `pqcrypto-mldsa`, and with the feature `oqs`, which
/// builds liboqs, `oqs`.
pub fn of(set: ParameterSet) -> Vec<Peer> {
    match set {
        ParameterSet::MlDsa44 => peers!(
            MlDsa44,
            ML_DSA_44,
            ml_dsa_44,
            MLDSA44VerificationKey,
            MLDSA44Signature,
            mldsa44,
            MlDsa44
        ),
        ParameterSet::MlDsa65 => peers!(
            MlDsa65,
            ML_DSA_65,
            ml_dsa_65,
            MLDSA65VerificationKey,
            MLDSA65Signature,
            mldsa65,
            MlDsa65
        ),
        ParameterSet::MlDsa87 => peers!(
            MlDsa87,
            ML_DSA_87,
            ml_dsa_87,
            MLDSA87VerificationKey,
            MLDSA87Signature,
            mldsa87,
            MlDsa87
        ),
    }
}

/// Those of [`of`] that come near the best: C and assembly with AVX2.
pub fn quick(set: ParameterSet) -> Vec<Peer> {
    let mut peers = of(set);
    peers.retain(|peer| ["aws-lc-rs", "pqcrypto-mldsa", "oqs"].contains(&peer.who));
    peers
}

/// Verifies a signature with the key of this number.
pub type WithKey = Box<dyn Fn(usize, &Signed) -> bool>;

/// The `ml-dsa` crate with its keys decoded before: the only peer that can keep Â.
pub fn prepared(set: ParameterSet, signed: &[Signed]) -> WithKey {
    match set {
        ParameterSet::MlDsa44 => rust_crypto_prepared::<ml_dsa::MlDsa44>(signed),
        ParameterSet::MlDsa65 => rust_crypto_prepared::<ml_dsa::MlDsa65>(signed),
        ParameterSet::MlDsa87 => rust_crypto_prepared::<ml_dsa::MlDsa87>(signed),
    }
}

fn rust_crypto_prepared<P: MlDsaParams + 'static>(signed: &[Signed]) -> WithKey {
    let keys: Vec<VerifyingKey<P>> = signed
        .iter()
        .map(|one| {
            let key = EncodedVerifyingKey::<P>::try_from(one.public_key.as_slice()).unwrap();
            VerifyingKey::<P>::decode(&key)
        })
        .collect();
    Box::new(move |number, one| {
        let signature = EncodedSignature::<P>::try_from(one.signature.as_slice()).unwrap();
        Signature::<P>::decode(&signature).is_some_and(|signature| {
            keys[number].verify_with_context(&one.message, b"", &signature)
        })
    })
}
