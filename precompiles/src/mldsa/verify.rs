//! `verify`, `verifyWithContext` and `verifyBatch`.

use super::{MAX_CONTEXT, MAX_DECODED, at_most, message_price, number, prices, set_of_length};
use crate::{
    abi::Arguments,
    call::{Exit, Meter},
    memo::Answers,
    question::Question,
    refusal::Refusal,
};
use pars_kernels::mldsa::{ParameterSet, VerifyJob};

/// Most signatures `verifyBatch` checks.
pub const MAX_BATCH: usize = 256;

/// The arguments of one verification. The key has the length of its set and the context is not too long; the signature
/// may be anything.
pub struct Verification<'a> {
    set: ParameterSet,
    public_key: &'a [u8],
    context: &'a [u8],
    message: &'a [u8],
    signature: &'a [u8],
}

/// The arguments of `verify`.
pub fn single(data: &[u8]) -> Result<Verification<'_>, Exit> {
    let arguments = Arguments::new(data, 3)?;
    let (public_key, message) = (arguments.bytes(0)?, arguments.bytes(1)?);
    Verification::new(public_key, &[], message, arguments.bytes(2)?)
}

/// The arguments of `verifyWithContext`.
pub fn single_with_context(data: &[u8]) -> Result<Verification<'_>, Exit> {
    let arguments = Arguments::new(data, 4)?;
    let (public_key, message) = (arguments.bytes(0)?, arguments.bytes(1)?);
    let (context, signature) = (arguments.bytes(2)?, arguments.bytes(3)?);
    Verification::new(public_key, context, message, signature)
}

/// The arguments of `verifyBatch`.
pub fn batch(data: &[u8]) -> Result<Vec<Verification<'_>>, Exit> {
    let arguments = Arguments::new(data, 3)?;
    let public_keys = arguments.bytes_array(0)?;
    let messages = arguments.bytes_array(1)?;
    let signatures = arguments.bytes_array(2)?;
    for array in [public_keys, messages, signatures] {
        at_most(array.count(), MAX_BATCH)?;
    }
    for array in [messages, signatures] {
        if array.count() != public_keys.count() {
            return Err(Exit::Refused(Refusal::InvalidLength {
                given: number(array.count()),
                expected: number(public_keys.count()),
            }));
        }
    }
    // All three decode before any element is judged, so that bad encoding is named first.
    let (public_keys, messages) = (public_keys.elements()?, messages.elements()?);
    let signatures = signatures.elements()?;
    let list = public_keys
        .into_iter()
        .zip(messages)
        .zip(signatures)
        .map(|((public_key, message), signature)| {
            Verification::new(public_key, &[], message, signature)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let decoded = list
        .iter()
        .fold(0usize, |sum, one| sum.saturating_add(one.decoded_len()));
    at_most(decoded, MAX_DECODED)?;
    Ok(list)
}

/// Pays for all of `list`, then answers each. One invalid item disturbs no other.
pub fn check(
    list: &[Verification<'_>],
    answers: &dyn Answers,
    meter: &mut Meter,
) -> Result<Vec<bool>, Exit> {
    for one in list {
        meter.pay(one.price())?;
    }
    list.iter().map(|one| one.check(answers)).collect()
}

/// The questions of `list`, for a call whose calldata has `input_len` bytes.
///
/// Honest arguments overlap little, at most in a shared key or message. Those that overlap more are legal and paid for,
/// but would make a small transaction fill the memory of an early batch; they are answered when they are met.
pub fn questions(list: &[Verification<'_>], input_len: usize) -> Vec<Question> {
    let mut budget = input_len.saturating_mul(4).saturating_add(64 << 10);
    list.iter()
        .map_while(|one| {
            budget = budget.checked_sub(one.decoded_len())?;
            Some(one.question())
        })
        .flatten()
        .collect()
}

impl<'a> Verification<'a> {
    fn new(
        public_key: &'a [u8],
        context: &'a [u8],
        message: &'a [u8],
        signature: &'a [u8],
    ) -> Result<Self, Exit> {
        let set = set_of_length(public_key.len(), ParameterSet::public_key_len)?;
        at_most(context.len(), MAX_CONTEXT)?;
        let one = Self {
            set,
            public_key,
            context,
            message,
            signature,
        };
        at_most(one.decoded_len(), MAX_DECODED)?;
        Ok(one)
    }

    /// Gas of the check, its message included.
    fn price(&self) -> u64 {
        message_price(self.message).saturating_add(prices(self.set).verify)
    }

    fn decoded_len(&self) -> usize {
        [self.public_key, self.context, self.message, self.signature]
            .iter()
            .fold(0, |sum, bytes| sum.saturating_add(bytes.len()))
    }

    /// `None` if the signature's length alone makes it invalid.
    fn question(&self) -> Option<Question> {
        VerifyJob::pure(self.public_key, self.context, self.message, self.signature)
            .ok()
            .map(Question::MlDsaVerify)
    }

    fn check(&self, answers: &dyn Answers) -> Result<bool, Exit> {
        let Some(question) = self.question() else {
            return Ok(false);
        };
        match answers.answer_to(&question) {
            Some(valid) => Ok(valid),
            None => question
                .answer()
                .map_err(|_| Exit::Fault("ML-DSA verification panicked")),
        }
    }
}
