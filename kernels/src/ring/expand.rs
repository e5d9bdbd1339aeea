//! `expand_message_xmd`, RFC 9380 §5.3.1.

use sha2::Digest;
use sha2::digest::core_api::BlockSizeUser;

/// Fills `out` with uniform bytes made from a message under a domain separation tag.
///
/// The limits of the RFC are those of the callers' constants: `dst` has at most 255 bytes, `out` at most 255 hashes. What exceeds
/// them is left out or left zero.
pub fn expand_message_xmd<D: Digest + BlockSizeUser>(message: &[u8], dst: &[u8], out: &mut [u8]) {
    let dst = &dst[..dst.len().min(255)];
    debug_assert!(out.len() <= 255 * <D as Digest>::output_size());
    // Lengths fit their fields by the limits above.
    let tail = |mut hash: D| {
        hash.update(dst);
        hash.update([dst.len() as u8]);
        hash.finalize()
    };
    let mut first = D::new();
    for _ in 0..D::block_size() {
        first.update([0]);
    }
    first.update(message);
    first.update((out.len() as u16).to_be_bytes());
    first.update([0]);
    let b0 = tail(first);
    let mut previous = sha2::digest::Output::<D>::default();
    for (chunk, i) in out
        .chunks_mut(<D as Digest>::output_size())
        .zip(1..=u8::MAX)
    {
        let mut hash = D::new();
        for (x, y) in b0.iter().zip(&previous) {
            hash.update([x ^ y]);
        }
        hash.update([i]);
        previous = tail(hash);
        chunk.copy_from_slice(&previous[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9380 appendix K.1 and K.3.
    #[test]
    fn vectors_of_the_rfc() {
        let mut out = [0; 0x20];
        expand_message_xmd::<sha2::Sha256>(
            b"abc",
            b"QUUX-V01-CS02-with-expander-SHA256-128",
            &mut out,
        );
        assert_eq!(
            hex::encode(out),
            "d8ccab23b5985ccea865c6c97b6e5b8350e794e603b4b97902f53a8a0d605615"
        );
    }
}
