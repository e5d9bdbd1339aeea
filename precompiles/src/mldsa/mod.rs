//! `IMLDSA`: ML-DSA keys and signatures (FIPS 204) for contracts.
//!
//! The parameter set follows from a key's length, or from `mode`: 2, 3 and 5 for ML-DSA-44, -65 and -87. `verify`
//! takes the external interface without pre-hash; its context is empty unless the function has one. Signing is
//! deterministic. Everything in a transaction is public, the keys that `keyGen` makes and `sign` takes included.

mod keys;
mod prices;
mod sign;
mod verify;

pub use prices::{MESSAGE_WORD, Prices, prices};
pub use sign::MAX_ATTEMPTS;
pub use verify::MAX_BATCH;

use crate::{
    abi::{self, Arguments, Value},
    call::{Address, Call, Exit, Meter, Outcome, metered, words},
    entropy,
    host::Host,
    memo::Answers,
    precompile::{Class, Function, Precompile, SecretOperations},
    question::Question,
    refusal::Refusal,
};
use pars_kernels::mldsa::ParameterSet;
use zeroize::Zeroizing;

/// Longest context in bytes, FIPS 204 §5.2.
pub const MAX_CONTEXT: usize = 255;
/// Most bytes the arguments of one call may decode to. Elements of arrays may overlap, so this can exceed the calldata.
pub const MAX_DECODED: usize = 64 << 20;

const KEY_GEN: [u8; 4] = [0xf7, 0x9f, 0xa0, 0x94];
const SIGN: [u8; 4] = [0x01, 0x37, 0xe6, 0x1a];
const VERIFY: [u8; 4] = [0xde, 0x8f, 0x50, 0xa1];
const KEY_GEN_FROM_SEED: [u8; 4] = [0x0e, 0xe2, 0xbb, 0x58];
const SIGN_WITH_CONTEXT: [u8; 4] = [0x1a, 0xfe, 0x53, 0xc4];
const VERIFY_WITH_CONTEXT: [u8; 4] = [0xaf, 0xad, 0xe8, 0x98];
const VERIFY_BATCH: [u8; 4] = [0x10, 0x7f, 0x91, 0xa1];

/// The functions of `IMLDSA`.
#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    Function { selector: KEY_GEN,             signature: "keyGen(uint8)",                              class: Class::Generate, gas: prices::KEY_GEN_GAS },
    Function { selector: SIGN,                signature: "sign(bytes,bytes)",                          class: Class::Secret,   gas: prices::SIGN_GAS },
    Function { selector: VERIFY,              signature: "verify(bytes,bytes,bytes)",                  class: Class::Verify,   gas: prices::VERIFY_GAS },
    Function { selector: KEY_GEN_FROM_SEED,   signature: "keyGenFromSeed(uint8,bytes32)",              class: Class::Generate, gas: prices::KEY_GEN_GAS },
    Function { selector: SIGN_WITH_CONTEXT,   signature: "signWithContext(bytes,bytes,bytes)",         class: Class::Secret,   gas: prices::SIGN_GAS },
    Function { selector: VERIFY_WITH_CONTEXT, signature: "verifyWithContext(bytes,bytes,bytes,bytes)", class: Class::Verify,   gas: prices::VERIFY_GAS },
    Function { selector: VERIFY_BATCH,        signature: "verifyBatch(bytes[],bytes[],bytes[])",       class: Class::Verify,   gas: prices::VERIFY_BATCH_GAS },
];

/// The contract at one address of one chain.
#[derive(Clone, Copy, Debug)]
pub struct MlDsa {
    address: Address,
    secret_operations: SecretOperations,
}

impl MlDsa {
    /// The contract at `address`, under the chain's rule for functions that make or take secrets.
    pub const fn new(address: Address, secret_operations: SecretOperations) -> Self {
        Self {
            address,
            secret_operations,
        }
    }

    fn answer(
        &self,
        call: &Call<'_>,
        host: &mut dyn Host,
        answers: &dyn Answers,
        meter: &mut Meter,
    ) -> Result<Vec<u8>, Exit> {
        if call.value_nonzero {
            return Err(Refusal::NotPayable.into());
        }
        let (selector, data) = abi::split_selector(call.input).ok_or(Refusal::InvalidSelector)?;
        let function = FUNCTIONS
            .iter()
            .find(|function| function.selector == selector)
            .ok_or(Refusal::InvalidSelector)?;
        if matches!(function.class, Class::Generate | Class::Secret)
            && self.secret_operations == SecretOperations::Revert
            && !host.os_rng()
        {
            return Err(Refusal::SecretOperation(selector).into());
        }
        match selector {
            KEY_GEN => self.key_gen(call, data, host, meter),
            KEY_GEN_FROM_SEED => key_gen_from_seed(data, meter),
            SIGN => {
                let arguments = Arguments::new(data, 2)?;
                sign::sign(arguments.bytes(0)?, arguments.bytes(1)?, &[], meter)
            }
            SIGN_WITH_CONTEXT => {
                let arguments = Arguments::new(data, 3)?;
                sign::sign(
                    arguments.bytes(0)?,
                    arguments.bytes(1)?,
                    arguments.bytes(2)?,
                    meter,
                )
            }
            VERIFY_BATCH => {
                let valid = verify::check(&verify::batch(data)?, answers, meter)?;
                Ok(abi::encode(&[Value::Bools(&valid)]))
            }
            _ => {
                let one = match selector {
                    VERIFY => verify::single(data)?,
                    _ => verify::single_with_context(data)?,
                };
                let valid = verify::check(&[one], answers, meter)?;
                Ok(abi::encode(&[Value::Bool(valid == [true])]))
            }
        }
    }

    /// `keyGen`: the one function that keeps state, the counter of its draws, and so the one that refuses to run in
    /// another account's frame.
    fn key_gen(
        &self,
        call: &Call<'_>,
        data: &[u8],
        host: &mut dyn Host,
        meter: &mut Meter,
    ) -> Result<Vec<u8>, Exit> {
        if !call.is_direct {
            return Err(Refusal::DelegateCallNotAllowed.into());
        }
        let set = parameter_set(Arguments::new(data, 1)?.uint8(0)?)?;
        meter.pay(prices(set).key_gen)?;
        let seed = entropy::draw::<32>(call, &self.address, KEY_GEN, host)
            .map(Zeroizing::new)
            .map_err(|_| Exit::Fault("the operating system gave no entropy"))?;
        key_pair(set, &seed)
    }
}

impl Precompile for MlDsa {
    fn address(&self) -> Address {
        self.address
    }

    fn name(&self) -> &'static str {
        "ML-DSA"
    }

    fn functions(&self) -> &'static [Function] {
        FUNCTIONS
    }

    fn run(&self, call: &Call<'_>, host: &mut dyn Host, answers: &dyn Answers) -> Outcome {
        metered(call, |meter| self.answer(call, host, answers, meter))
    }

    fn questions(&self, input: &[u8]) -> Vec<Question> {
        let Some((selector, data)) = abi::split_selector(input) else {
            return Vec::new();
        };
        let list = match selector {
            VERIFY => verify::single(data).map(|one| vec![one]),
            VERIFY_WITH_CONTEXT => verify::single_with_context(data).map(|one| vec![one]),
            VERIFY_BATCH => verify::batch(data),
            _ => return Vec::new(),
        };
        list.map_or_else(|_| Vec::new(), |list| verify::questions(&list, input.len()))
    }
}

/// `keyGenFromSeed`: a pure function of its arguments.
fn key_gen_from_seed(data: &[u8], meter: &mut Meter) -> Result<Vec<u8>, Exit> {
    let arguments = Arguments::new(data, 2)?;
    let set = parameter_set(arguments.uint8(0)?)?;
    let seed = Zeroizing::new(*arguments.bytes32(1)?);
    meter.pay(prices(set).key_gen)?;
    key_pair(set, &seed)
}

/// The results of both key generations.
fn key_pair(set: ParameterSet, seed: &[u8; 32]) -> Result<Vec<u8>, Exit> {
    let pair =
        keys::generate(set, seed).map_err(|_| Exit::Fault("ML-DSA key generation failed"))?;
    Ok(abi::encode(&[
        Value::Bytes(&pair.public),
        Value::Bytes(&pair.secret),
    ]))
}

fn parameter_set(mode: u8) -> Result<ParameterSet, Refusal> {
    ParameterSet::from_mode(mode).ok_or(Refusal::InvalidParameterSet(mode))
}

/// The set whose keys have `len` bytes, by `len_of`.
fn set_of_length(
    len: usize,
    len_of: impl Fn(ParameterSet) -> usize,
) -> Result<ParameterSet, Refusal> {
    let [mut closest, ..] = ParameterSet::ALL;
    for set in ParameterSet::ALL {
        if len_of(set).abs_diff(len) < len_of(closest).abs_diff(len) {
            closest = set;
        }
    }
    if len_of(closest) == len {
        return Ok(closest);
    }
    Err(Refusal::InvalidLength {
        given: number(len),
        expected: number(len_of(closest)),
    })
}

fn at_most(given: usize, limit: usize) -> Result<(), Refusal> {
    if given <= limit {
        return Ok(());
    }
    Err(Refusal::LimitExceeded {
        given: number(given),
        limit: number(limit),
    })
}

/// Gas of hashing a message.
fn message_price(message: &[u8]) -> u64 {
    words(message.len()).saturating_mul(MESSAGE_WORD)
}

/// A count of things in memory, which always fits.
fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
