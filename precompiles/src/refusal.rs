//! The custom errors with which precompiles revert, shared by all of them.

use crate::abi;

/// Every custom error a precompile reverts with: its selector and its Solidity signature.
///
/// The whole vocabulary stands here, so that tools can name any revert of any Pars precompile.
pub const ERRORS: [([u8; 4], &str); 24] = [
    ([0x73, 0x52, 0xd9, 0x1c], "InvalidSelector()"),
    ([0x7e, 0x9e, 0x1f, 0x3c], "InvalidParameterSet(uint8)"),
    ([0x5b, 0x72, 0x32, 0xfa], "InvalidLength(uint256,uint256)"),
    ([0xad, 0x4d, 0x10, 0x2a], "InvalidEncoding()"),
    ([0x76, 0xd4, 0xe1, 0xe8], "InvalidKey()"),
    ([0xb8, 0xfe, 0xdf, 0x87], "InvalidPoint()"),
    ([0x05, 0xb0, 0x5c, 0xcc], "InvalidScalar()"),
    ([0xd4, 0x28, 0x76, 0xb8], "ReadOnly()"),
    ([0x15, 0x74, 0xf9, 0xf3], "NotPayable()"),
    ([0x0d, 0x89, 0x43, 0x8e], "DelegateCallNotAllowed()"),
    ([0x70, 0x11, 0x45, 0x9d], "KeyImageSpent(bytes32)"),
    ([0x63, 0xfb, 0xd4, 0xd3], "StaleFeed(bytes32)"),
    ([0xfd, 0xf7, 0x0a, 0x81], "DecryptionFailed()"),
    ([0x54, 0xad, 0xde, 0x78], "SigningFailed()"),
    ([0xeb, 0xa3, 0x22, 0xe4], "SecretOperation(bytes4)"),
    ([0xea, 0x8e, 0x4e, 0xb5], "NotAuthorized()"),
    ([0x80, 0xcb, 0x55, 0xe2], "NotActive()"),
    ([0x90, 0xa2, 0xca, 0xf2], "Unsupported()"),
    ([0x8e, 0xf2, 0x0e, 0xf2], "LimitExceeded(uint256,uint256)"),
    ([0xb8, 0xea, 0x85, 0x1c], "ReentryLimit()"),
    ([0xa2, 0xdc, 0x06, 0x25], "UnknownModel(bytes32)"),
    ([0x87, 0x00, 0x83, 0x3f], "UnknownProgram(bytes32)"),
    ([0x5d, 0x43, 0xe3, 0x4e], "UnknownGroup(bytes32)"),
    ([0x08, 0xa4, 0x7f, 0xe2], "UnknownFeed(bytes32)"),
];

/// Signature of the custom error that `output`, the bytes of a revert, begins with.
pub fn error_signature(output: &[u8]) -> Option<&'static str> {
    let selector = output.first_chunk::<4>()?;
    ERRORS
        .iter()
        .find(|(known, _)| known == selector)
        .map(|(_, signature)| *signature)
}

/// Why a call is refused. Each is one custom error of [`ERRORS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The calldata begins with no function of the contract.
    #[error("the calldata begins with no selector of this contract")]
    InvalidSelector,
    /// There is no such mode.
    #[error("{0} is no parameter set of this scheme")]
    InvalidParameterSet(u8),
    /// Something has a length that cannot be right.
    #[error("{given} given where {expected} is the closest permitted length")]
    InvalidLength {
        /// The length given, in bytes; for arrays, the number of elements.
        given: u64,
        /// The closest permitted length, the smaller of two equally close.
        expected: u64,
    },
    /// The arguments do not decode.
    #[error("the arguments are not the ABI encoding of this function's types")]
    InvalidEncoding,
    /// A key that computes something has impossible content.
    #[error("the key is malformed")]
    InvalidKey,
    /// Value was sent.
    #[error("this function takes no value")]
    NotPayable,
    /// A function that keeps state was called by `DELEGATECALL` or `CALLCODE`.
    #[error("this function must be called directly")]
    DelegateCallNotAllowed,
    /// No signature was found within the permitted number of attempts.
    #[error("no signature was found; the key is not an honest one")]
    SigningFailed,
    /// The chain's rules switch off functions that make or take secrets.
    #[error("this chain refuses functions that make or take secret keys")]
    SecretOperation([u8; 4]),
    /// Something is over its cap.
    #[error("{given} is over the limit of {limit}")]
    LimitExceeded {
        /// What was asked for.
        given: u64,
        /// What is allowed.
        limit: u64,
    },
}

impl Refusal {
    /// The error's selector.
    pub const fn selector(&self) -> [u8; 4] {
        match self {
            Self::InvalidSelector => ERRORS[0].0,
            Self::InvalidParameterSet(_) => ERRORS[1].0,
            Self::InvalidLength { .. } => ERRORS[2].0,
            Self::InvalidEncoding => ERRORS[3].0,
            Self::InvalidKey => ERRORS[4].0,
            Self::NotPayable => ERRORS[8].0,
            Self::DelegateCallNotAllowed => ERRORS[9].0,
            Self::SigningFailed => ERRORS[13].0,
            Self::SecretOperation(_) => ERRORS[14].0,
            Self::LimitExceeded { .. } => ERRORS[18].0,
        }
    }

    /// The bytes of the revert: selector, then the ABI encoding of the fields.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.selector().to_vec();
        match *self {
            Self::InvalidParameterSet(mode) => out.extend(abi::word(u64::from(mode))),
            Self::InvalidLength { given, expected } => {
                out.extend(abi::word(given));
                out.extend(abi::word(expected));
            }
            Self::LimitExceeded { given, limit } => {
                out.extend(abi::word(given));
                out.extend(abi::word(limit));
            }
            Self::SecretOperation(selector) => {
                // A bytes4 stands at the high end of its word.
                out.extend(selector);
                out.extend([0; 28]);
            }
            Self::InvalidSelector
            | Self::InvalidEncoding
            | Self::InvalidKey
            | Self::NotPayable
            | Self::DelegateCallNotAllowed
            | Self::SigningFailed => {}
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_sol_types::{SolError, sol};

    sol! {
        error InvalidSelector();
        error InvalidParameterSet(uint8 mode);
        error InvalidLength(uint256 given, uint256 expected);
        error InvalidEncoding();
        error InvalidKey();
        error NotPayable();
        error DelegateCallNotAllowed();
        error SigningFailed();
        error SecretOperation(bytes4 selector);
        error LimitExceeded(uint256 given, uint256 limit);
    }

    #[test]
    fn selectors_are_the_hash_of_their_signatures() {
        for (selector, signature) in ERRORS {
            let hash = crate::entropy::keccak256(signature.as_bytes());
            assert_eq!(selector, hash[..4], "{signature}");
        }
    }

    #[test]
    fn refusals_decode_as_solidity_errors() {
        use alloy_sol_types::private::{FixedBytes, U256};
        assert!(InvalidSelector::abi_decode(&Refusal::InvalidSelector.encode()).is_ok());
        let e = InvalidParameterSet::abi_decode(&Refusal::InvalidParameterSet(9).encode()).unwrap();
        assert_eq!(e.mode, 9);
        let length = Refusal::InvalidLength {
            given: 1311,
            expected: 1312,
        };
        let e = InvalidLength::abi_decode(&length.encode()).unwrap();
        assert_eq!((e.given, e.expected), (U256::from(1311), U256::from(1312)));
        assert!(InvalidEncoding::abi_decode(&Refusal::InvalidEncoding.encode()).is_ok());
        assert!(InvalidKey::abi_decode(&Refusal::InvalidKey.encode()).is_ok());
        assert!(NotPayable::abi_decode(&Refusal::NotPayable.encode()).is_ok());
        assert!(
            DelegateCallNotAllowed::abi_decode(&Refusal::DelegateCallNotAllowed.encode()).is_ok()
        );
        assert!(SigningFailed::abi_decode(&Refusal::SigningFailed.encode()).is_ok());
        let secret = Refusal::SecretOperation([1, 2, 3, 4]);
        let e = SecretOperation::abi_decode(&secret.encode()).unwrap();
        assert_eq!(e.selector, FixedBytes([1, 2, 3, 4]));
        let limit = Refusal::LimitExceeded {
            given: 257,
            limit: 256,
        };
        let e = LimitExceeded::abi_decode(&limit.encode()).unwrap();
        assert_eq!((e.given, e.limit), (U256::from(257), U256::from(256)));
    }

    #[test]
    fn reverts_are_named() {
        let output = Refusal::LimitExceeded { given: 2, limit: 1 }.encode();
        assert_eq!(
            error_signature(&output),
            Some("LimitExceeded(uint256,uint256)")
        );
        assert_eq!(error_signature(&[1, 2, 3]), None);
        assert_eq!(error_signature(&[0; 4]), None);
    }
}
