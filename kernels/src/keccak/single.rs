//! One message at a time.

use super::{LANES, permute};

/// Bytes of a block of Keccak-256.
const RATE: usize = 136;

/// Keccak-256 of one message as Ethereum uses it: the original padding, 32 bytes.
///
/// Of many messages at once, [`Sponge::hash_many`](super::Sponge::hash_many) hashes several in the time of one.
pub fn keccak256(message: &[u8]) -> [u8; 32] {
    #[cfg(target_arch = "x86_64")]
    {
        let found = crate::cpu::features();
        if found.bmi1 && found.bmi2 {
            // SAFETY: the instructions were found on this processor.
            #[allow(unsafe_code)]
            return unsafe { with_bmi(message) };
        }
    }
    portable(message)
}

/// Step χ in two instructions a lane instead of three, and rotations that need no copy.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2")]
fn with_bmi(message: &[u8]) -> [u8; 32] {
    hash(message)
}

fn portable(message: &[u8]) -> [u8; 32] {
    hash(message)
}

#[inline(always)]
fn hash(message: &[u8]) -> [u8; 32] {
    let mut state = [0; LANES];
    let (blocks, rest) = message.as_chunks::<RATE>();
    for block in blocks {
        absorb(&mut state, block);
    }
    let mut last = [0; RATE];
    // The rest is shorter than a block.
    last[..rest.len()].copy_from_slice(rest);
    last[rest.len()] = 0x01;
    last[RATE - 1] |= 0x80;
    absorb(&mut state, &last);
    let mut digest = [0; 32];
    for (bytes, word) in digest.chunks_exact_mut(8).zip(state) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    digest
}

#[inline(always)]
fn absorb(state: &mut [u64; LANES], block: &[u8; RATE]) {
    let (words, _) = block.as_chunks::<8>();
    for (lane, word) in state.iter_mut().zip(words) {
        *lane ^= u64::from_le_bytes(*word);
    }
    permute(state);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cpu::Level, keccak::Sponge};

    #[test]
    fn every_way_gives_what_the_sponge_gives() {
        let bytes: Vec<u8> = (0..700_u32).map(|i| ((i * 151) >> 3) as u8).collect();
        for length in 0..=bytes.len() {
            let message = &bytes[..length];
            let mut expected = [0; 32];
            Sponge::KECCAK256.hash_many_at(Level::Portable, &[[message, &[]]], &mut expected);
            assert_eq!(portable(message), expected, "{length} bytes");
            assert_eq!(keccak256(message), expected, "{length} bytes");
        }
    }

    /// The hashes of nothing and of "abc", as in Ethereum's documents and the Keccak team's.
    #[test]
    fn known_hashes() {
        assert_eq!(
            hex::encode(keccak256(b"")),
            "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
        );
        assert_eq!(
            hex::encode(keccak256(b"abc")),
            "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"
        );
    }
}
