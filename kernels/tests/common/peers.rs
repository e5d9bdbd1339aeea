//! The two other implementations that every verdict is compared with.

use ml_dsa::{EncodedSignature, EncodedVerifyingKey, MlDsaParams, Signature, VerifyingKey};
use pars_kernels::mldsa::{ParameterSet, Representative, VerifyJob};

/// The verdict of the `ml-dsa` crate.
pub fn ml_dsa(job: &VerifyJob) -> bool {
    match job.parameter_set() {
        ParameterSet::MlDsa44 => ml_dsa_for::<ml_dsa::MlDsa44>(job),
        ParameterSet::MlDsa65 => ml_dsa_for::<ml_dsa::MlDsa65>(job),
        ParameterSet::MlDsa87 => ml_dsa_for::<ml_dsa::MlDsa87>(job),
    }
}

fn ml_dsa_for<P: MlDsaParams>(job: &VerifyJob) -> bool {
    // The signature first: what does not decode needs no key.
    ml_dsa_signature::<P>(job)
        .is_some_and(|signature| ml_dsa_with(&ml_dsa_key::<P>(job), job, &signature))
}

/// The signature of a job in the `ml-dsa` crate's form, if it decodes.
pub fn ml_dsa_signature<P: MlDsaParams>(job: &VerifyJob) -> Option<Signature<P>> {
    Signature::decode(&EncodedSignature::<P>::try_from(job.signature()).unwrap())
}

/// The key of a job in the `ml-dsa` crate's form, with its matrix.
pub fn ml_dsa_key<P: MlDsaParams>(job: &VerifyJob) -> VerifyingKey<P> {
    VerifyingKey::decode(&EncodedVerifyingKey::<P>::try_from(job.public_key()).unwrap())
}

/// The verdict of the `ml-dsa` crate with what was decoded.
pub fn ml_dsa_with<P: MlDsaParams>(
    key: &VerifyingKey<P>,
    job: &VerifyJob,
    signature: &Signature<P>,
) -> bool {
    match job.representative() {
        Representative::Formatted(message) => key.verify_internal(message, signature),
        Representative::Mu(mu) => key.verify_mu(&(*mu).into(), signature),
    }
}

/// The verdict of the `fips204` crate, which only takes messages of the external interface without pre-hash.
pub fn fips204(job: &VerifyJob) -> Option<bool> {
    use fips204::traits::{SerDes, Verifier};
    let Representative::Formatted([0, len, rest @ ..]) = job.representative() else {
        return None;
    };
    let (context, message) = rest.split_at_checked(usize::from(*len))?;
    macro_rules! verify {
        ($set:ident) => {
            fips204::$set::PublicKey::try_from_bytes(job.public_key().try_into().unwrap())
                .is_ok_and(|key| {
                    key.verify(
                        message,
                        job.signature().try_into().as_ref().unwrap(),
                        context,
                    )
                })
        };
    }
    Some(match job.parameter_set() {
        ParameterSet::MlDsa44 => verify!(ml_dsa_44),
        ParameterSet::MlDsa65 => verify!(ml_dsa_65),
        ParameterSet::MlDsa87 => verify!(ml_dsa_87),
    })
}
