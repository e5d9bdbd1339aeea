//! The hashes of LSAG. Integers are big-endian.
//!
//! ```text
//! D       = SHA-512("PARS-RING-v1/ctx" ‖ scheme u8 ‖ n u16 ‖ P_0 ‖ … ‖ P_{n−1} ‖ I ‖ len(m) u64 ‖ m)
//! c_{i+1} = SHA-512(D ‖ i u16 ‖ enc(s_i·G + c_i·P_i) ‖ enc(s_i·Hp(P_i) + c_i·I)) modulo the order
//! nonce_i = SHAKE256(seed ‖ sk ‖ the input of D ‖ i u16), 64 bytes, modulo the order
//! ```
//!
//! The challenge binds scheme, the whole ring, the image and the message. How the 64 bytes become a number is the scheme's own:
//! little-endian on ristretto255, big-endian on secp256k1, as their scalars are written.

use sha2::{Digest, Sha512};
use shake::{ExtendableOutput, Shake256, Update, XofReader};
use zeroize::Zeroizing;

/// The curves that LSAG is defined on, with the byte that names each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Scheme {
    /// secp256k1: points of 33 bytes.
    Secp256k1 = 1,
    /// ristretto255: points of 32 bytes.
    Ristretto255 = 2,
}

const CONTEXT: &[u8] = b"PARS-RING-v1/ctx";

/// The context of one signature, and the challenges under it.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// SHA-512 that has taken in D.
    context: Sha512,
}

impl Transcript {
    /// D of a ring, an image and a message. A ring has at most [`super::MAX_RING`] members.
    pub fn new<const POINT: usize>(
        scheme: Scheme,
        ring: &[[u8; POINT]],
        image: &[u8; POINT],
        message: &[u8],
    ) -> Self {
        let mut context = Sha512::new();
        Digest::update(&mut context, Self::context(scheme, ring, image, message));
        Self { context }
    }

    /// D itself.
    pub fn context<const POINT: usize>(
        scheme: Scheme,
        ring: &[[u8; POINT]],
        image: &[u8; POINT],
        message: &[u8],
    ) -> [u8; 64] {
        let mut inner = Sha512::new();
        input(scheme, ring, image, message, |part| {
            Digest::update(&mut inner, part);
        });
        inner.finalize().into()
    }

    /// The 64 bytes that, reduced, are c_{i+1}: `left` is enc(s_i·G + c_i·P_i), `right` enc(s_i·Hp(P_i) + c_i·I).
    pub fn challenge(&self, i: u16, left: &[u8], right: &[u8]) -> [u8; 64] {
        let mut hash = self.context.clone();
        Digest::update(&mut hash, i.to_be_bytes());
        Digest::update(&mut hash, left);
        Digest::update(&mut hash, right);
        hash.finalize().into()
    }
}

/// The 64 bytes that, reduced, are the nonces of a signature, one for each member. They depend on the secret key and all that is
/// signed, so that a seed used twice gives nothing away. Takes the same time for all secrets.
pub(crate) fn nonces<const POINT: usize>(
    seed: &[u8; 32],
    secret: &[u8; 32],
    scheme: Scheme,
    ring: &[[u8; POINT]],
    image: &[u8; POINT],
    message: &[u8],
) -> Vec<Zeroizing<[u8; 64]>> {
    let mut sponge = Shake256::default();
    sponge.update(seed);
    sponge.update(secret);
    input(scheme, ring, image, message, |part| sponge.update(part));
    (0..ring.len())
        .map(|i| {
            let mut sponge = sponge.clone();
            // A ring has at most 128 members.
            sponge.update(&(i as u16).to_be_bytes());
            let mut nonce = Zeroizing::new([0; 64]);
            sponge.finalize_xof().read(&mut nonce[..]);
            nonce
        })
        .collect()
}

/// The parts of D's input, in order.
fn input<const POINT: usize>(
    scheme: Scheme,
    ring: &[[u8; POINT]],
    image: &[u8; POINT],
    message: &[u8],
    mut take: impl FnMut(&[u8]),
) {
    take(CONTEXT);
    take(&[scheme as u8]);
    // A ring has at most 128 members.
    take(&(ring.len() as u16).to_be_bytes());
    take(ring.as_flattened());
    take(image);
    take(&(message.len() as u64).to_be_bytes());
    take(message);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written out by hand.
    #[test]
    fn challenge_is_the_hash_of_its_parts() {
        let ring = [[3u8; 32], [4; 32]];
        let mut input = b"PARS-RING-v1/ctx\x02\x00\x02".to_vec();
        input.extend([3; 32]);
        input.extend([4; 32]);
        input.extend([5; 32]);
        input.extend([0, 0, 0, 0, 0, 0, 0, 3]);
        input.extend(b"abc");
        let mut outer = Sha512::digest(&input).to_vec();
        outer.extend([0, 1]);
        outer.extend(b"left right");
        let transcript = Transcript::new(Scheme::Ristretto255, &ring, &[5; 32], b"abc");
        assert_eq!(
            transcript.challenge(1, b"left ", b"right")[..],
            Sha512::digest(&outer)[..]
        );
    }

    #[test]
    fn nonces_differ_by_everything() {
        let ring = [[3u8; 32], [4; 32]];
        let scheme = Scheme::Ristretto255;
        let base = nonces(&[1; 32], &[2; 32], scheme, &ring, &[5; 32], b"abc");
        assert_eq!(base.len(), 2);
        assert_ne!(base[0], base[1]);
        let others = [
            nonces(&[0; 32], &[2; 32], scheme, &ring, &[5; 32], b"abc"),
            nonces(&[1; 32], &[0; 32], scheme, &ring, &[5; 32], b"abc"),
            nonces(
                &[1; 32],
                &[2; 32],
                scheme,
                &[[4; 32], [3; 32]],
                &[5; 32],
                b"abc",
            ),
            nonces(&[1; 32], &[2; 32], scheme, &ring, &[6; 32], b"abc"),
            nonces(&[1; 32], &[2; 32], scheme, &ring, &[5; 32], b"abd"),
        ];
        for other in &others {
            assert_ne!(base[0], other[0]);
            assert_ne!(base[1], other[1]);
        }
    }
}
