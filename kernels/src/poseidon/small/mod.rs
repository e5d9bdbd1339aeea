//! Poseidon2 over the small fields of STARK systems: KoalaBear, BabyBear and Mersenne31 of width 16, Goldilocks of width 8 and 12, with
//! the constants and matrices that Plonky3 ships.
//!
//! Constants come from the Grain LFSR as for BN254; [`Instance::constants`] gives them as numbers, for other back ends too. Words are
//! numbers below the modulus, in memory as in the interface.
//!
//! | file | what |
//! |---|---|
//! | `portable` | every instance in clear form: the definition, one state after another |
//! | `packed` | the 31-bit fields over vectors of 32-bit words, a lane a state |
//! | `goldilocks` | Goldilocks over vectors of 64-bit words, a lane a state |
//! | `x86` | vectors of AVX2 and AVX-512 |
//! | `word` | `u32` and `u64` as words of a state |
//! | `hash` | Plonky3's modes: sponge, compression, Merkle trees and paths |

#[cfg(target_arch = "x86_64")]
mod goldilocks;
mod hash;
#[cfg(target_arch = "x86_64")]
mod packed;
mod portable;
#[cfg(test)]
mod tests;
mod word;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::grain::Grain;
use crate::cpu::{Level, level};
use std::sync::OnceLock;

pub use hash::{MAX_DEPTH, Path, Tree};
pub use word::Word;

/// Width of the 31-bit instances.
pub const WIDTH_31: usize = 16;
/// Full rounds of every instance, half of them before the partial rounds.
pub const FULL_ROUNDS: usize = 8;

/// A Poseidon2 over a small field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Instance {
    /// p = 2^31 - 2^24 + 1, width 16, x^3, 20 partial rounds.
    KoalaBear16,
    /// p = 2^31 - 2^27 + 1, width 16, x^7, 13 partial rounds.
    BabyBear16,
    /// p = 2^31 - 1, width 16, x^5, 14 partial rounds.
    Mersenne31Width16,
    /// p = 2^64 - 2^32 + 1, width 8, x^7, 22 partial rounds.
    Goldilocks8,
    /// p = 2^64 - 2^32 + 1, width 12, x^7, 22 partial rounds.
    Goldilocks12,
}

/// Why nothing was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The words are not whole states, rows or digests.
    #[error(
        "{words} words are not whole states, rows or digests of {width}: give a multiple of that"
    )]
    Ragged {
        /// Words given.
        words: usize,
        /// Words of each.
        width: usize,
    },
    /// A word is not below the modulus.
    #[error(
        "word {at} is not below the modulus {modulus}: reduce it where that is meant, two encodings must not name one element"
    )]
    NotCanonical {
        /// Its place.
        at: usize,
        /// The field's modulus.
        modulus: u64,
    },
    /// The instance has words of another size.
    #[error("{instance:?} has words of {bits} bits: give it u{bits}")]
    WordSize {
        /// The instance asked.
        instance: Instance,
        /// Bits of its words.
        bits: u32,
    },
    /// A Merkle tree has a power of two of leaves.
    #[error(
        "a Merkle tree has 1, 2, 4, 8 … leaves, not {given}: pad the list with a leaf that means nothing"
    )]
    Leaves {
        /// Leaves given.
        given: usize,
    },
    /// A path is longer than any tree is deep.
    #[error("a path has at most {MAX_DEPTH} siblings, not {given}")]
    Depth {
        /// Siblings given.
        given: usize,
    },
}

/// The constants of an instance, as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constants {
    /// Four rows of `width`, for the full rounds before the partial ones.
    pub initial: Vec<u64>,
    /// One for each partial round, added to the first word.
    pub partial: Vec<u64>,
    /// Four rows of `width`, for the full rounds after the partial ones.
    pub last: Vec<u64>,
    /// The diagonal of the internal matrix less one: the internal layer is `x_i = sum + diagonal_i x_i`.
    pub diagonal: Vec<u64>,
}

/// The internal diagonal less one, as powers of two: sign, and exponent (negative: an inverse). Zero stands for three.
type Entry = (bool, i8);
const THREE: i8 = i8::MAX;

const GOLDILOCKS_DIAGONAL: [Entry; 12] = [
    (true, 1),
    (false, 0),
    (false, 1),
    (false, -1),
    (false, THREE),
    (false, 2),
    (true, -1),
    (true, THREE),
    (true, 2),
    (false, -2),
    (true, -2),
    (false, -3),
];

impl Instance {
    /// Every instance.
    pub const ALL: [Self; 5] = [
        Self::KoalaBear16,
        Self::BabyBear16,
        Self::Mersenne31Width16,
        Self::Goldilocks8,
        Self::Goldilocks12,
    ];

    /// The field's modulus.
    pub const fn modulus(self) -> u64 {
        match self {
            Self::KoalaBear16 => 0x7f00_0001,
            Self::BabyBear16 => 0x7800_0001,
            Self::Mersenne31Width16 => 0x7fff_ffff,
            Self::Goldilocks8 | Self::Goldilocks12 => 0xffff_ffff_0000_0001,
        }
    }

    /// Words of a state.
    pub const fn width(self) -> usize {
        match self {
            Self::Goldilocks8 => 8,
            Self::Goldilocks12 => 12,
            _ => WIDTH_31,
        }
    }

    /// Exponent of the S-box.
    pub const fn exponent(self) -> u32 {
        match self {
            Self::KoalaBear16 => 3,
            Self::Mersenne31Width16 => 5,
            _ => 7,
        }
    }

    /// Number of partial rounds.
    pub const fn partial_rounds(self) -> usize {
        match self {
            Self::KoalaBear16 => 20,
            Self::BabyBear16 => 13,
            Self::Mersenne31Width16 => 14,
            Self::Goldilocks8 | Self::Goldilocks12 => 22,
        }
    }

    const fn bits(self) -> u32 {
        64 - self.modulus().leading_zeros()
    }

    /// The instance's constants, generated at first use.
    pub fn constants(self) -> &'static Constants {
        static MADE: [OnceLock<Constants>; 5] = [const { OnceLock::new() }; 5];
        MADE[self as usize].get_or_init(|| {
            let (width, rounds) = (self.width(), self.partial_rounds());
            let mut grain = Grain::of_field(self.bits(), width, FULL_ROUNDS, rounds);
            let mut take = |count: usize| {
                (0..count)
                    .map(|_| grain.below(self.modulus(), self.bits()))
                    .collect::<Vec<u64>>()
            };
            Constants {
                initial: take(FULL_ROUNDS / 2 * width),
                partial: take(rounds),
                last: take(FULL_ROUNDS / 2 * width),
                diagonal: self.diagonal(),
            }
        })
    }

    /// The diagonal as the authors of each field's instance chose it.
    fn diagonal(self) -> Vec<u64> {
        let number = |(minus, power): Entry| {
            let p = self.modulus();
            let value = match power {
                THREE => 3,
                0.. => 1 << power,
                // 2^-n is -(p - 1) / 2^n where 2^n divides p - 1.
                _ => p - ((p - 1) >> -power),
            };
            if minus { p - value } else { value }
        };
        let list: &[Entry] = match self {
            Self::KoalaBear16 => &[
                (true, 1),
                (false, 0),
                (false, 1),
                (false, -1),
                (false, THREE),
                (false, 2),
                (true, -1),
                (true, THREE),
                (true, 2),
                (false, -8),
                (false, -3),
                (false, -24),
                (true, -8),
                (true, -3),
                (true, -4),
                (true, -24),
            ],
            Self::BabyBear16 => &[
                (true, 1),
                (false, 0),
                (false, 1),
                (false, -1),
                (false, THREE),
                (false, 2),
                (true, -1),
                (true, THREE),
                (true, 2),
                (false, -8),
                (false, -2),
                (false, -3),
                (false, -27),
                (true, -8),
                (true, -4),
                (true, -27),
            ],
            Self::Mersenne31Width16 => &[
                (true, 1),
                (false, 0),
                (false, 1),
                (false, 2),
                (false, 3),
                (false, 4),
                (false, 5),
                (false, 6),
                (false, 7),
                (false, 8),
                (false, 10),
                (false, 12),
                (false, 13),
                (false, 14),
                (false, 15),
                (false, 16),
            ],
            Self::Goldilocks8 => {
                let short = [0, 1, 2, 3, 4, 6, 7, 8];
                return short
                    .into_iter()
                    .map(|at: usize| number(GOLDILOCKS_DIAGONAL[at]))
                    .collect();
            }
            Self::Goldilocks12 => &GOLDILOCKS_DIAGONAL,
        };
        list.iter().map(|entry| number(*entry)).collect()
    }

    /// Bits of the words in memory.
    const fn word_bits(self) -> u32 {
        if self.bits() > 32 { 64 } else { 32 }
    }

    /// That `words` are whole pieces of `width` words below p, of this instance's size.
    fn check<W: Word>(self, width: usize, words: &[W]) -> Result<(), StateError> {
        if W::BITS != self.word_bits() {
            return Err(StateError::WordSize {
                instance: self,
                bits: self.word_bits(),
            });
        }
        if width == 0 || !words.len().is_multiple_of(width) {
            return Err(StateError::Ragged {
                words: words.len(),
                width,
            });
        }
        let modulus = self.modulus();
        // No branch for a word: the compiler compares several at once.
        if W::all_below(words, modulus) {
            return Ok(());
        }
        let at = words.iter().position(|word| word.number() >= modulus);
        Err(StateError::NotCanonical {
            at: at.unwrap_or_default(),
            modulus,
        })
    }

    /// Permutes states of [`Self::width`] words, one after another.
    ///
    /// # Errors
    /// [`StateError`] if the instance has words of another size, the states are not whole or a word is p or more; nothing is changed.
    pub fn permute_many<W: Word>(self, states: &mut [W]) -> Result<(), StateError> {
        self.permute_many_at(level(), states)
    }

    /// [`Self::permute_many`] by the code of one level, for tests and benchmarks; a level that the processor lacks is replaced by the
    /// portable one.
    ///
    /// # Errors
    /// As [`Self::permute_many`].
    pub fn permute_many_at<W: Word>(
        self,
        level: Level,
        states: &mut [W],
    ) -> Result<(), StateError> {
        self.check(self.width(), states)?;
        W::permute(self, level, states);
        Ok(())
    }
}
