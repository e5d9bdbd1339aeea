//! Short seeds to long SHAKE128 streams, several at a time: the shape of ExpandA.

use super::LANES;

/// Blocks of 168 bytes in a stream: 280 candidates of three bytes, of which 256 are wanted and one in
/// 1,024 is refused.
pub(crate) const SEED_BLOCKS: usize = 5;

/// Bytes of a stream with room for whole-register stores and loads past its end.
pub(crate) const STREAM_LEN: usize = 896;

/// A stream: `5 * 168` bytes of output, then bytes without meaning.
#[derive(Clone)]
#[repr(C, align(64))]
pub(crate) struct Stream(pub(crate) [u8; STREAM_LEN]);

impl Stream {
    pub(crate) const ZERO: Self = Self([0; STREAM_LEN]);
}

/// The seed ρ ‖ column ‖ row of one entry of the matrix.
#[derive(Clone, Copy)]
pub(crate) struct Seed {
    pub(crate) rho: [u64; 4],
    pub(crate) column: u8,
    pub(crate) row: u8,
}

impl Seed {
    /// The seed of zeros.
    pub(crate) const ZERO: Self = Self {
        rho: [0; 4],
        column: 0,
        row: 0,
    };
}

/// SHAKE128 states that have absorbed the seeds and their padding, word by word.
#[inline(always)]
pub(crate) fn seed_words(seeds: &[Seed; 8]) -> [[u64; 8]; LANES] {
    let mut words = [[0; 8]; LANES];
    for (lane, seed) in seeds.iter().enumerate() {
        let [a, b, c, d] = seed.rho;
        let tail = u64::from(seed.column) | u64::from(seed.row) << 8 | 0x1f << 16;
        for (word, value) in words.iter_mut().zip([a, b, c, d, tail]) {
            word[lane] = value;
        }
        // The last bit of the padding ends the block of 168 bytes.
        words[20][lane] = 0x80 << 56;
    }
    words
}
