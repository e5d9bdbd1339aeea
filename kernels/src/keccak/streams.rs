//! Short seeds to long SHAKE128 streams, several at a time: the shape of ExpandA.

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
    /// The word that holds the last byte of SHAKE128's first block.
    pub(crate) const LAST_WORD: usize = 20;
    /// The last bit of the padding.
    pub(crate) const LAST_VALUE: u64 = 0x80 << 56;

    /// The first five words of the padded block; the others are zero but for the last.
    #[inline(always)]
    pub(crate) fn words(&self) -> [u64; 5] {
        let [a, b, c, d] = self.rho;
        let tail = u64::from(self.column) | u64::from(self.row) << 8 | 0x1f << 16;
        [a, b, c, d, tail]
    }
}
