//! The hashes of LSAG on ristretto255, written out with `curve25519-dalek`.

use curve25519_dalek::Scalar;
use curve25519_dalek::ristretto::RistrettoPoint;
use pars_kernels::ring::expand_message_xmd;
use sha2::{Digest, Sha512};

/// Hp of a member's encoding.
pub fn hash(member: &[u8; 32]) -> RistrettoPoint {
    let mut uniform = [0; 64];
    let tag = b"PARS-RING-v1-ristretto255_XMD:SHA-512_R255MAP_RO_";
    expand_message_xmd::<Sha512>(member, tag, &mut uniform);
    RistrettoPoint::from_uniform_bytes(&uniform)
}

/// The digest that every challenge begins with: of ring, image and message.
pub fn context(ring: &[[u8; 32]], image: &[u8], message: &[u8]) -> [u8; 64] {
    let mut input = b"PARS-RING-v1/ctx\x02\x00".to_vec();
    input.push(u8::try_from(ring.len()).unwrap());
    input.extend(ring.as_flattened());
    input.extend(image);
    input.extend((message.len() as u64).to_be_bytes());
    input.extend(message);
    Sha512::digest(&input).into()
}

/// The challenge after a member's two points.
pub fn challenge(
    context: &[u8; 64],
    index: usize,
    left: RistrettoPoint,
    right: RistrettoPoint,
) -> Scalar {
    let wide = Sha512::new()
        .chain_update(context)
        .chain_update([0, u8::try_from(index).unwrap()])
        .chain_update(left.compress().as_bytes())
        .chain_update(right.compress().as_bytes())
        .finalize();
    Scalar::from_bytes_mod_order_wide(&wide.into())
}
