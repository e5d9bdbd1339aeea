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

/// The price of `verify` in words.
pub const VERIFY_GAS: &str =
    "6300 / 9500 / 16500 for ML-DSA-44 / 65 / 87, and 4 for each 32 bytes of message";
/// The price of `verifyBatch` in words.
pub const VERIFY_BATCH_GAS: &str = "the sum of what verify costs for each item, at least 100";
/// The price of `keyGen` in words.
pub const KEY_GEN_GAS: &str = "8600 / 13800 / 22000 for ML-DSA-44 / 65 / 87";
/// The price of `sign` in words.
pub const SIGN_GAS: &str = "5000 / 8500 / 14000 for ML-DSA-44 / 65 / 87, and 5800 / 8500 / 12000 for each attempt, and 4 for each 32 bytes of message";

/// The prices of `set`.
#[rustfmt::skip]
pub const fn prices(set: ParameterSet) -> Prices {
    match set {
        ParameterSet::MlDsa44 => Prices { verify:  6_300, key_gen:  8_600, sign:  5_000, attempt:  5_800 },
        ParameterSet::MlDsa65 => Prices { verify:  9_500, key_gen: 13_800, sign:  8_500, attempt:  8_500 },
        ParameterSet::MlDsa87 => Prices { verify: 16_500, key_gen: 22_000, sign: 14_000, attempt: 12_000 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_say_what_is_charged() {
        let of = |price: fn(Prices) -> u64| {
            ParameterSet::ALL
                .map(|set| price(prices(set)).to_string())
                .join(" / ")
        };
        let word = format!("and {MESSAGE_WORD} for each 32 bytes");
        assert!(VERIFY_GAS.starts_with(&of(|p| p.verify)) && VERIFY_GAS.contains(&word));
        assert!(KEY_GEN_GAS.starts_with(&of(|p| p.key_gen)));
        assert!(SIGN_GAS.starts_with(&of(|p| p.sign)) && SIGN_GAS.contains(&word));
        assert!(SIGN_GAS.contains(&format!("and {} for each attempt", of(|p| p.attempt))));
        assert!(VERIFY_BATCH_GAS.ends_with(&crate::MINIMUM_GAS.to_string()));
    }
}
