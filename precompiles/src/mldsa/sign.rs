//! `sign` and `signWithContext`.

use super::{MAX_CONTEXT, MAX_DECODED, at_most, keys, message_price, prices, set_of_length};
use crate::{
    abi::{self, Value},
    call::{Exit, Meter},
    refusal::Refusal,
};
use pars_kernels::mldsa::{Attempts, Message, ParameterSet, SecretKeyError};

/// Most attempts at a signature, FIPS 204, Appendix C. An honest key needs more with a probability below 2⁻²⁵⁶.
pub const MAX_ATTEMPTS: u16 = 814;

/// A deterministic signature: a pure function of the arguments, the number of attempts included.
///
/// The attempts are walked through and paid for one by one before the key reaches the library, which would run them
/// all at once: a key that lets none succeed is stopped by its gas or by [`MAX_ATTEMPTS`]. Constant time up to the
/// number of attempts, which the gas shows anyway; wipes what it used.
pub fn sign(
    secret_key: &[u8],
    message: &[u8],
    context: &[u8],
    meter: &mut Meter,
) -> Result<Vec<u8>, Exit> {
    let set = set_of_length(secret_key.len(), ParameterSet::secret_key_len)?;
    at_most(context.len(), MAX_CONTEXT)?;
    at_most(secret_key.len().saturating_add(message.len()), MAX_DECODED)?;
    let prices = prices(set);
    meter.pay(prices.sign.saturating_add(message_price(message)))?;
    let pure = Message::Pure { context, message };
    let mut attempts =
        Attempts::new(secret_key, pure, &keys::DETERMINISTIC).map_err(|error| match error {
            SecretKeyError::Range => Exit::Refused(Refusal::InvalidKey),
            // Both lengths were checked above.
            SecretKeyError::Length { .. } | SecretKeyError::ContextTooLong { .. } => {
                Exit::Fault("ML-DSA signing refused a length that was checked")
            }
        })?;
    let commitment_hash = loop {
        if attempts.made() >= MAX_ATTEMPTS {
            return Err(Exit::Refused(Refusal::SigningFailed));
        }
        meter.pay(prices.attempt)?;
        if let Some(commitment_hash) = attempts.attempt() {
            break commitment_hash;
        }
    };
    let signature = keys::sign(set, secret_key, attempts.mu())
        .map_err(|_| Exit::Fault("ML-DSA signing failed"))?;
    if !signature.starts_with(&commitment_hash) {
        return Err(Exit::Fault("two ways of ML-DSA signing disagree"));
    }
    Ok(abi::encode(&[Value::Bytes(&signature)]))
}
