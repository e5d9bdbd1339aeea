//! What ML-DSA costs: 80 gas for each microsecond of one core of the reference machine, rounded up.

use pars_kernels::mldsa::ParameterSet;

/// Gas for each 32-byte word of a message, begun words included.
pub const MESSAGE_WORD: u64 = 4;

/// Gas of the operations of one parameter set, without the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    /// One verification.
    pub verify: u64,
    /// One key pair.
    pub key_gen: u64,
    /// One signature before its first attempt.
    pub sign: u64,
    /// Each attempt at a signature, the last included.
    pub attempt: u64,
}

/// The prices of `set`.
#[rustfmt::skip]
pub const fn prices(set: ParameterSet) -> Prices {
    match set {
        ParameterSet::MlDsa44 => Prices { verify:  6_300, key_gen:  8_600, sign:  5_000, attempt:  5_800 },
        ParameterSet::MlDsa65 => Prices { verify:  9_500, key_gen: 13_800, sign:  8_500, attempt:  8_500 },
        ParameterSet::MlDsa87 => Prices { verify: 16_500, key_gen: 22_000, sign: 14_000, attempt: 12_000 },
    }
}
