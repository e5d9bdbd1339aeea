//! What every precompiled contract offers.

use crate::{
    call::{Address, Call, Outcome},
    host::Host,
    memo::Answers,
    question::Question,
};

/// A precompiled contract at an address.
///
/// Its outcome depends on the call and on what the [`Host`] says, and on nothing else: not on `answers`, not on the
/// machine, not on the clock.
pub trait Precompile: Send + Sync {
    /// Where it answers.
    fn address(&self) -> Address;

    /// Its name for people.
    fn name(&self) -> &'static str;

    /// The functions of its interface.
    fn functions(&self) -> &'static [Function];

    /// Answers one call. Never panics.
    fn run(&self, call: &Call<'_>, host: &mut dyn Host, answers: &dyn Answers) -> Outcome;

    /// The questions that a call with this calldata will ask, if it has gas enough. Never panics; empty for calldata
    /// that will be refused. A hint: it may leave questions out, and they are then answered when they are met.
    fn questions(&self, input: &[u8]) -> Vec<Question>;
}

/// A function of a contract's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// First four bytes of Keccak-256 of the signature.
    pub selector: [u8; 4],
    /// Name and parameter types.
    pub signature: &'static str,
    /// What it does with secrets.
    pub class: Class,
    /// What it costs, in words for people.
    pub gas: &'static str,
}

/// What a function does with secrets. In a transaction everything is public; classes `Secret` and `Generate` give a
/// key away there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Checks public data.
    Verify,
    /// Draws randomness for a public result.
    Public,
    /// Takes a secret.
    Secret,
    /// Makes a secret.
    Generate,
}

/// A chain's rule for functions that make or take secrets in transactions. Part of consensus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SecretOperations {
    /// They work, and what they make or take is public.
    #[default]
    Allow,
    /// They revert with `SecretOperation(selector)`, except in a direct off-chain call.
    Revert,
}
