//! SHAKE128 and SHAKE256 over one state.

use super::{LANES, permute};

/// Rate of SHAKE128 in bytes.
const RATE_128: usize = 168;
/// Rate of SHAKE256 in bytes.
const RATE_256: usize = 136;
/// Domain bits `1111` of an extendable-output function followed by the first bit of the padding, FIPS 202 §6.2.
const XOF_SUFFIX: u8 = 0x1f;

/// SHAKE128.
pub type Shake128 = Shake<RATE_128>;
/// SHAKE256.
pub type Shake256 = Shake<RATE_256>;

/// A SHAKE that absorbs. `RATE` is in bytes, at most 200.
#[derive(Clone, Debug)]
pub struct Shake<const RATE: usize> {
    state: [u64; LANES],
    /// Bytes absorbed into the current block, always below `RATE`.
    filled: usize,
}

impl<const RATE: usize> Default for Shake<RATE> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const RATE: usize> Shake<RATE> {
    /// An empty sponge.
    pub const fn new() -> Self {
        Self {
            state: [0; LANES],
            filled: 0,
        }
    }

    /// Appends `data` to the message.
    pub fn absorb(&mut self, mut data: &[u8]) -> &mut Self {
        // Up to the next lane boundary byte by byte, then lane by lane.
        while !data.is_empty() {
            if self.filled.is_multiple_of(8)
                && let Some((word, rest)) = data.split_first_chunk::<8>()
            {
                self.state[self.filled / 8] ^= u64::from_le_bytes(*word);
                self.filled += 8;
                data = rest;
            } else if let Some((&byte, rest)) = data.split_first() {
                self.xor_byte(self.filled, byte);
                self.filled += 1;
                data = rest;
            }
            if self.filled == RATE {
                permute(&mut self.state);
                self.filled = 0;
            }
        }
        self
    }

    /// Ends the message; the result yields output.
    pub fn finish(&self) -> XofReader<RATE> {
        let mut sponge = self.clone();
        sponge.xor_byte(sponge.filled, XOF_SUFFIX);
        sponge.xor_byte(RATE - 1, 0x80);
        XofReader {
            state: sponge.state,
            taken: RATE,
        }
    }

    /// The first `N` bytes of output for `parts` concatenated.
    pub fn digest<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
        let mut sponge = Self::new();
        for part in parts {
            sponge.absorb(part);
        }
        let mut out = [0; N];
        sponge.finish().read(&mut out);
        out
    }

    fn xor_byte(&mut self, at: usize, byte: u8) {
        self.state[at / 8] ^= u64::from(byte) << (8 * (at % 8));
    }
}

/// The output of a SHAKE, read in order.
#[derive(Clone, Debug)]
pub struct XofReader<const RATE: usize> {
    state: [u64; LANES],
    /// Bytes of the current block already handed out; `RATE` asks for a permutation first.
    taken: usize,
}

impl<const RATE: usize> XofReader<RATE> {
    /// Fills `out` with the next bytes of output.
    pub fn read(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.taken == RATE {
                permute(&mut self.state);
                self.taken = 0;
            }
            *byte = (self.state[self.taken / 8] >> (8 * (self.taken % 8))) as u8;
            self.taken += 1;
        }
    }

    /// The next whole block of output. Call it only while no part of a block has been read.
    pub fn block(&mut self) -> [u8; RATE] {
        permute(&mut self.state);
        let mut out = [0; RATE];
        for (bytes, word) in out.chunks_exact_mut(8).zip(&self.state) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples published with FIPS 202 (empty message) and a pattern that crosses block boundaries.
    #[test]
    fn empty_message() {
        assert_eq!(
            hex::encode(Shake128::digest::<32>(&[])),
            "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26"
        );
        assert_eq!(
            hex::encode(Shake256::digest::<32>(&[])),
            "46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5762f"
        );
    }

    /// The 1600-bit message of 0xa3 bytes, NIST's example values for SHAKE128 and SHAKE256 (first 16 bytes).
    #[test]
    fn message_longer_than_a_block() {
        let message = [0xa3u8; 200];
        assert_eq!(
            hex::encode(Shake128::digest::<16>(&[&message])),
            "131ab8d2b594946b9c81333f9bb6e0ce"
        );
        assert_eq!(
            hex::encode(Shake256::digest::<16>(&[&message])),
            "cd8a920ed141aa0407a22d59288652e9"
        );
    }

    #[test]
    fn parts_and_whole_agree() {
        let message: Vec<u8> = (0..1000u32).map(|i| (i * 7) as u8).collect();
        let whole = Shake256::digest::<300>(&[&message]);
        for cut in [0, 1, 7, 8, 9, 135, 136, 137, 271, 272, 273, 999, 1000] {
            let (a, b) = message.split_at(cut);
            assert_eq!(Shake256::digest::<300>(&[a, b]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn reading_in_pieces_and_in_blocks_agree() {
        let mut sponge = Shake128::new();
        sponge.absorb(b"seed");
        let mut whole = [0u8; 504];
        sponge.finish().read(&mut whole);
        let mut reader = sponge.finish();
        for chunk in whole.chunks(168) {
            assert_eq!(reader.block()[..], *chunk);
        }
        let mut reader = sponge.finish();
        for chunk in whole.chunks(13) {
            let mut piece = vec![0; chunk.len()];
            reader.read(&mut piece);
            assert_eq!(piece, chunk);
        }
    }
}
