//! Why a job was not made.

/// The input is not one that a batch takes. Contents that only a computation can judge are no error: they get a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// v of a recovery.
    #[error(
        "the recovery value v is {given}: recovery takes 27 or 28 (or the parity 0 or 1); take the chain id off v = 35 + 2 id + parity first"
    )]
    RecoveryValue {
        /// v as given; `u64::MAX` stands for any greater number.
        given: u64,
    },
    /// r or s.
    #[error(
        "{name} of the signature must be from 1 to n - 1, n the order of secp256k1: this is no signature"
    )]
    Scalar {
        /// Which of both.
        name: &'static str,
    },
    /// Length of a public key.
    #[error(
        "a public key has 33 bytes (compressed) or 65 (uncompressed), not {given}: give it as SEC 1 writes it"
    )]
    KeyLength {
        /// Bytes given.
        given: usize,
    },
    /// First byte of a public key.
    #[error(
        "a public key of {length} bytes does not start with {given}: 2 or 3 starts a compressed key, 4 an uncompressed one"
    )]
    KeyPrefix {
        /// Bytes given.
        length: usize,
        /// The first.
        given: u8,
    },
    /// A coordinate that is no element of the field.
    #[error("a coordinate of the public key is not below p: two encodings must not name one point")]
    Coordinate,
    /// A signature that is not strict DER.
    #[error(
        "the signature is not the DER sequence of two positive integers without superfluous bytes (BIP-66): encode it again"
    )]
    Der,
}
