//! One official ML-DSA-65 case and its call data for the precompile.

use alloy_primitives::{Address, Bytes, address};
use serde_json::Value;

/// Address of IMLDSA.
pub const MLDSA: Address = address!("0000000000000000000000000000000000000602");
/// Selector of `verify(bytes,bytes,bytes)`.
pub const VERIFY: [u8; 4] = [0xde, 0x8f, 0x50, 0xa1];

/// A key, a message and a signature that the file calls valid.
#[derive(Debug, Clone)]
pub struct Case {
    /// Public key, 1,952 bytes.
    pub public_key: Vec<u8>,
    /// Message.
    pub message: Vec<u8>,
    /// Signature, 3,309 bytes.
    pub signature: Vec<u8>,
}

impl Case {
    /// The case that the client tests carry; the file names its source.
    pub fn embedded() -> Self {
        let file: Value = serde_json::from_str(include_str!("../clients/lib/official_case.json"))
            .expect("official_case.json");
        let bytes = |pointer: &str| {
            let digits = file
                .pointer(pointer)
                .and_then(Value::as_str)
                .expect("a member of official_case.json");
            hex::decode(digits).expect("hex in official_case.json")
        };
        Self {
            public_key: bytes("/testGroups/0/publicKey"),
            message: bytes("/testGroups/0/tests/0/msg"),
            signature: bytes("/testGroups/0/tests/0/sig"),
        }
    }

    /// The same with one bit of the signature turned over, which is invalid.
    pub fn tampered(self) -> Self {
        self.tampered_at(100)
    }

    /// The same with one bit turned over in that byte of the signature.
    pub fn tampered_at(mut self, at: usize) -> Self {
        *self
            .signature
            .get_mut(at)
            .expect("a byte inside the signature") ^= 1;
        self
    }

    /// Call data of `verify(pk, message, sig)`.
    pub fn call_data(&self) -> Bytes {
        let arguments = [&self.public_key, &self.message, &self.signature];
        let mut head = Vec::new();
        let mut tail = Vec::new();
        for argument in arguments {
            head.extend_from_slice(&word(arguments.len() * 32 + tail.len()));
            tail.extend_from_slice(&word(argument.len()));
            tail.extend_from_slice(argument);
            tail.resize(tail.len().next_multiple_of(32), 0);
        }
        [VERIFY.to_vec(), head, tail].concat().into()
    }
}

fn word(number: usize) -> [u8; 32] {
    let mut word = [0; 32];
    let (_, low) = word.split_at_mut(24);
    low.copy_from_slice(&(number as u64).to_be_bytes());
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_case_has_the_lengths_of_ml_dsa_65() {
        let case = Case::embedded();
        assert_eq!((case.public_key.len(), case.signature.len()), (1952, 3309));
        assert_ne!(case.clone().tampered().signature, case.signature);
    }

    #[test]
    fn call_data_is_the_standard_abi() {
        let case = Case {
            public_key: vec![1; 33],
            message: vec![],
            signature: vec![2; 32],
        };
        let data = case.call_data();
        let at = |index: usize| data[4 + index * 32..4 + (index + 1) * 32].to_vec();
        assert_eq!(data[..4], VERIFY);
        assert_eq!(
            [at(0), at(1), at(2)],
            [word(96), word(96 + 96), word(96 + 128)].map(Vec::from)
        );
        assert_eq!(
            [at(3), at(6), at(7)],
            [word(33), word(0), word(32)].map(Vec::from)
        );
        assert_eq!(data.len(), 4 + 32 * 9);
    }
}
