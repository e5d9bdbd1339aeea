//! What enters an LSAG verification.

use super::{MAX_RING, MIN_RING};

/// Why bytes cannot be a ring signature at all. Whatever has the right lengths is a job, and its verdict says the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// Too few or too many members.
    #[error("a ring of {0} members: give from {MIN_RING} to {MAX_RING}")]
    RingSize(usize),
    /// A member that is not a compressed point of the scheme.
    #[error("member {index} has {length} bytes: give compressed points of {expected} bytes")]
    MemberLength {
        /// Its place in the ring.
        index: usize,
        /// Its length in bytes.
        length: usize,
        /// The length of a compressed point of the scheme.
        expected: usize,
    },
    /// A signature whose length does not fit the ring.
    #[error("a signature of {length} bytes for this ring: give {expected}")]
    SignatureLength {
        /// Its length in bytes.
        length: usize,
        /// The length that belongs to the size of the ring.
        expected: usize,
    },
    /// The secret key is zero or not below the group's order.
    #[error("the secret key is not a scalar between 1 and the group's order: give a canonical one")]
    SecretKey,
    /// The secret key does not belong to the member at the signer's index.
    #[error("the secret key does not belong to the ring's member at the index given")]
    InvalidKey,
    /// No member at the signer's index.
    #[error("no member at index {index} of a ring of {members}")]
    Index {
        /// The index given.
        index: usize,
        /// The size of the ring.
        members: usize,
    },
    /// A member is no point of the group, the identity, or twice in the ring.
    #[error("member {0} is not a canonical point other than the identity, or is in the ring twice")]
    Member(usize),
}

/// An LSAG verification: a ring of compressed points of `POINT` bytes, a message, and the signature `I ‖ c_0 ‖ s_0 ‖ … ‖ s_{n−1}`
/// with scalars of 32 bytes. Lengths are right; everything else is for the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LsagJob<const POINT: usize> {
    ring: Vec<[u8; POINT]>,
    message: Vec<u8>,
    image: [u8; POINT],
    challenge: [u8; 32],
    responses: Vec<[u8; 32]>,
}

impl<const POINT: usize> LsagJob<POINT> {
    /// Takes the parts of a question.
    ///
    /// # Errors
    /// [`RingError::RingSize`], [`RingError::MemberLength`] or [`RingError::SignatureLength`].
    pub fn new<M: AsRef<[u8]>>(
        ring: &[M],
        message: &[u8],
        signature: &[u8],
    ) -> Result<Self, RingError> {
        let ring = members(ring)?;
        let expected = Self::signature_length(ring.len());
        let wrong = RingError::SignatureLength {
            length: signature.len(),
            expected,
        };
        if signature.len() != expected {
            return Err(wrong);
        }
        let (image, rest) = signature.split_first_chunk::<POINT>().ok_or(wrong)?;
        let (challenge, rest) = rest.split_first_chunk::<32>().ok_or(wrong)?;
        let (responses, _) = rest.as_chunks::<32>();
        Ok(Self {
            ring,
            message: message.to_vec(),
            image: *image,
            challenge: *challenge,
            responses: responses.to_vec(),
        })
    }

    /// Bytes of a signature under a ring of `members`.
    pub const fn signature_length(members: usize) -> usize {
        POINT + 32 * (members + 1)
    }

    /// The members, compressed, in order. From [`MIN_RING`] to [`MAX_RING`].
    pub fn ring(&self) -> &[[u8; POINT]] {
        &self.ring
    }
    /// The message.
    pub fn message(&self) -> &[u8] {
        &self.message
    }
    /// The key image I, compressed.
    pub fn image(&self) -> &[u8; POINT] {
        &self.image
    }
    /// c_0.
    pub fn challenge(&self) -> &[u8; 32] {
        &self.challenge
    }
    /// s_0 to s_{n−1}: as many as there are members.
    pub fn responses(&self) -> &[[u8; 32]] {
        &self.responses
    }
    /// Bytes that the job holds.
    pub fn size(&self) -> usize {
        self.ring.len() * (POINT + 32) + self.message.len() + POINT + 32
    }
}

/// The members of a ring as arrays.
///
/// # Errors
/// [`RingError::RingSize`] or [`RingError::MemberLength`].
pub(crate) fn members<const POINT: usize, M: AsRef<[u8]>>(
    ring: &[M],
) -> Result<Vec<[u8; POINT]>, RingError> {
    if !(MIN_RING..=MAX_RING).contains(&ring.len()) {
        return Err(RingError::RingSize(ring.len()));
    }
    ring.iter()
        .enumerate()
        .map(|(index, member)| {
            let member = member.as_ref();
            member.try_into().map_err(|_| RingError::MemberLength {
                index,
                length: member.len(),
                expected: POINT,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_checked() {
        let member = [7u8; 32];
        assert_eq!(
            LsagJob::<32>::new(&[member], b"", &[0; 96]),
            Err(RingError::RingSize(1))
        );
        assert_eq!(
            LsagJob::<32>::new(&[member; 129], b"", &[0; 32 * 131]),
            Err(RingError::RingSize(129))
        );
        assert_eq!(
            LsagJob::<33>::new(&[member; 2], b"", &[0; 129]),
            Err(RingError::MemberLength {
                index: 0,
                length: 32,
                expected: 33
            })
        );
        for length in [0, 127, 129, 160] {
            assert_eq!(
                LsagJob::<32>::new(&[member; 2], b"", &vec![0; length]),
                Err(RingError::SignatureLength {
                    length,
                    expected: 128
                })
            );
        }
        let signature: Vec<u8> = (0..128).collect();
        let job = LsagJob::<32>::new(&[member; 2], b"m", &signature).unwrap();
        assert_eq!(job.image()[..], signature[..32]);
        assert_eq!(job.challenge()[..], signature[32..64]);
        assert_eq!(job.responses().concat()[..], signature[64..]);
    }
}
