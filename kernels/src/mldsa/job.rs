//! One verification with its lengths checked.

use super::{PreparedKey, params::ParameterSet};
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// Longest context string, FIPS 204 §5.3.
const CONTEXT_MAX: usize = 255;
/// Bytes of the message representative μ.
const MU_LEN: usize = 64;

/// What was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// The external interface without pre-hash (FIPS 204, Algorithm 3): M′ = 0x00 ‖ len(context) ‖ context ‖ message.
    Pure {
        /// At most 255 bytes.
        context: &'a [u8],
        /// Any length.
        message: &'a [u8],
    },
    /// The internal interface (Algorithm 8): M′ = prefix ‖ message, formatted by the caller. HashML-DSA
    /// (Algorithm 5) is `prefix` = 0x01 ‖ len(context) ‖ context ‖ OID and `message` = the digest.
    Formatted {
        /// Start of M′.
        prefix: &'a [u8],
        /// Rest of M′.
        message: &'a [u8],
    },
    /// The message representative μ = SHAKE256(tr ‖ M′, 64), computed elsewhere.
    Mu(&'a [u8; 64]),
}

/// What a [`VerifyJob`] holds of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Representative<'a> {
    /// M′ of the internal interface.
    Formatted(&'a [u8]),
    /// μ itself.
    Mu(&'a [u8; 64]),
}

/// Why bytes are no verification job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// No parameter set has public keys of this length.
    #[error("a public key of {len} bytes fits no ML-DSA set: expected 1312, 1952 or 2592 bytes")]
    PublicKeyLength {
        /// The length given.
        len: usize,
    },
    /// The signature's length is not that of the key's parameter set.
    #[error(
        "a signature of {len} bytes is not one of {set}, the set of the key: expected {expected} bytes"
    )]
    SignatureLength {
        /// The set found from the public key.
        set: ParameterSet,
        /// The length of its signatures.
        expected: usize,
        /// The length given.
        len: usize,
    },
    /// A context string is longer than 255 bytes.
    #[error("a context of {len} bytes is too long: at most 255 bytes are allowed")]
    ContextTooLong {
        /// The length given.
        len: usize,
    },
}

/// One ML-DSA verification: key, message and signature with all lengths checked and contents not.
///
/// One heap allocation, shared by clones. Equality and hash are those of the full bytes, so a job can key a table of
/// answers: two equal jobs have the same verdict. A prepared key that travels along changes neither.
#[derive(Clone)]
pub struct VerifyJob {
    set: ParameterSet,
    /// The bytes after the signature are μ and not M′.
    mu: bool,
    /// The first bytes of c̃.
    commitment_start: [u8; 8],
    /// Public key ‖ signature ‖ (M′ or μ); the lengths of the first two follow from `set`.
    bytes: Arc<[u8]>,
    /// The job's key, prepared.
    key: Option<Arc<PreparedKey>>,
}

impl PartialEq for VerifyJob {
    fn eq(&self, other: &Self) -> bool {
        // The set follows from the lengths, but the lengths do not follow from the bytes.
        (self.set, self.mu) == (other.set, other.mu) && self.bytes == other.bytes
    }
}

impl Eq for VerifyJob {}

impl Hash for VerifyJob {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.set, self.mu, &self.bytes).hash(state);
    }
}

impl VerifyJob {
    /// Checks the lengths and copies the bytes.
    ///
    /// # Errors
    /// [`InputError`] if the key's length fits no parameter set, the signature's length is not that of the set, or the
    /// context is too long.
    pub fn new(
        public_key: &[u8],
        message: Message<'_>,
        signature: &[u8],
    ) -> Result<Self, InputError> {
        let set = ParameterSet::from_public_key_len(public_key.len()).ok_or(
            InputError::PublicKeyLength {
                len: public_key.len(),
            },
        )?;
        if signature.len() != set.signature_len() {
            return Err(InputError::SignatureLength {
                set,
                expected: set.signature_len(),
                len: signature.len(),
            });
        }
        let join = |parts: &[&[u8]]| {
            let len = parts.iter().map(|part| part.len()).sum();
            let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
            // The allocation was made on the line above, so this is its only owner.
            let mut rest = Arc::make_mut(&mut bytes);
            for part in parts {
                let (head, tail) = rest.split_at_mut(part.len());
                head.copy_from_slice(part);
                rest = tail;
            }
            bytes
        };
        let (mu, bytes) = match message {
            Message::Pure { context, message } => {
                let len = u8::try_from(context.len())
                    .map_err(|_| InputError::ContextTooLong { len: context.len() })?;
                debug_assert!(context.len() <= CONTEXT_MAX);
                (
                    false,
                    join(&[public_key, signature, &[0, len], context, message]),
                )
            }
            Message::Formatted { prefix, message } => {
                (false, join(&[public_key, signature, prefix, message]))
            }
            Message::Mu(mu) => (true, join(&[public_key, signature, mu])),
        };
        let commitment_start = signature.first_chunk().copied().unwrap_or_default();
        Ok(Self {
            set,
            mu,
            commitment_start,
            bytes,
            key: None,
        })
    }

    /// [`new`](Self::new) with [`Message::Pure`].
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn pure(
        public_key: &[u8],
        context: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<Self, InputError> {
        Self::new(public_key, Message::Pure { context, message }, signature)
    }

    /// Hands over the job's key in prepared form, which a caller keeps who uses it often. The verdict stays that of
    /// the job's own bytes: a prepared key that is not the job's is left aside.
    #[must_use]
    pub fn with_key(mut self, key: &Arc<PreparedKey>) -> Self {
        self.key = (key.public_key() == self.public_key()).then(|| Arc::clone(key));
        self
    }

    /// The prepared key that travels with the job, if there is one.
    pub fn key(&self) -> Option<&PreparedKey> {
        self.key.as_deref()
    }

    /// The parameter set.
    pub fn parameter_set(&self) -> ParameterSet {
        self.set
    }

    /// The packed public key ρ ‖ t1.
    pub fn public_key(&self) -> &[u8] {
        self.parts().0
    }

    /// The packed signature c̃ ‖ z ‖ h.
    pub fn signature(&self) -> &[u8] {
        self.parts().1
    }

    /// The first bytes of the signature's commitment hash c̃, which is of key and message, and so tells honest signatures apart. They
    /// lie in the job itself: a look at them does not wait for the memory that holds the rest.
    pub fn commitment_start(&self) -> [u8; 8] {
        self.commitment_start
    }

    /// M′ or μ.
    pub fn representative(&self) -> Representative<'_> {
        let tail = self.parts().2;
        match tail.first_chunk::<MU_LEN>() {
            Some(mu) if self.mu => Representative::Mu(mu),
            _ => Representative::Formatted(tail),
        }
    }

    /// Bytes held: key, signature and message together. A prepared key is its owner's and not counted.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Everything held: public key ‖ signature ‖ (M′ or μ), without a gap.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn parts(&self) -> (&[u8], &[u8], &[u8]) {
        let (key, rest) = self.bytes.split_at(self.set.public_key_len());
        let (signature, tail) = rest.split_at(self.set.signature_len());
        (key, signature, tail)
    }
}

/// The set and the sizes; the bytes themselves would fill pages.
impl fmt::Debug for VerifyJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyJob")
            .field("set", &self.set)
            .field("mu", &self.mu)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
        for set in ParameterSet::ALL {
            let key = vec![1; set.public_key_len()];
            let signature = vec![2; set.signature_len()];
            let job = VerifyJob::pure(&key, b"ctx", b"message", &signature).unwrap();
            assert_eq!(job.parameter_set(), set);
            assert_eq!(job.public_key(), key);
            assert_eq!(job.signature(), signature);
            assert_eq!(job.commitment_start(), [2; 8]);
            assert_eq!(
                job.representative(),
                Representative::Formatted(b"\x00\x03ctxmessage")
            );
            assert_eq!(job.size(), key.len() + signature.len() + 12);
            let formatted = Message::Formatted {
                prefix: b"\x00\x03ctx",
                message: b"message",
            };
            assert_eq!(VerifyJob::new(&key, formatted, &signature).unwrap(), job);
            let mu = VerifyJob::new(&key, Message::Mu(&[7; 64]), &signature).unwrap();
            assert_eq!(mu.representative(), Representative::Mu(&[7; 64]));
            let same_bytes = Message::Formatted {
                prefix: &[],
                message: &[7; 64],
            };
            assert_ne!(VerifyJob::new(&key, same_bytes, &signature).unwrap(), mu);
        }
    }

    #[test]
    fn a_prepared_key_travels_along_and_changes_nothing() {
        for (job, valid) in crate::mldsa::known_answers() {
            let own = Arc::new(PreparedKey::new(job.public_key()).unwrap());
            let mut bytes = job.public_key().to_vec();
            bytes[0] ^= 1;
            let other = Arc::new(PreparedKey::new(&bytes).unwrap());
            let with_own = job.clone().with_key(&own);
            let with_other = job.clone().with_key(&other);
            assert!(with_own.key().is_some() && with_other.key().is_none());
            assert!(with_own == job && with_own.size() == job.size());
            let set = std::collections::HashSet::from([job, with_own.clone()]);
            assert_eq!(set.len(), 1);
            assert_eq!(crate::mldsa::verify(&with_own), valid);
            assert_eq!(crate::mldsa::verify(&with_other), valid);
        }
    }

    #[test]
    fn impossible_lengths_are_typed_errors() {
        let set = ParameterSet::MlDsa65;
        let key = vec![0; set.public_key_len()];
        let signature = vec![0; set.signature_len()];
        assert_eq!(
            VerifyJob::pure(&key[1..], b"", b"", &signature),
            Err(InputError::PublicKeyLength { len: 1951 })
        );
        assert_eq!(
            VerifyJob::pure(&key, b"", b"", &signature[1..]),
            Err(InputError::SignatureLength {
                set,
                expected: 3309,
                len: 3308
            })
        );
        assert_eq!(
            VerifyJob::pure(&key, &[0; 256], b"", &signature),
            Err(InputError::ContextTooLong { len: 256 })
        );
        assert!(VerifyJob::pure(&key, &[0; 255], b"", &signature).is_ok());
        assert!(VerifyJob::pure(&[], b"", b"", &[]).is_err());
    }
}
