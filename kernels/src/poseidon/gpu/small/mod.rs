//! Poseidon2 over the small fields of proof systems, on a GPU: primes below 2^31 (KoalaBear, BabyBear, Mersenne31) and Goldilocks,
//! 2^64 - 2^32 + 1.
//!
//! The parameters come from the caller, so one generator serves every instance: the external matrix is `circ(2 M, M, …, M)` over blocks
//! of four with M = circ(2, 3, 1, 1), the internal one is `J + diag(v)`, J all ones (Poseidon2, sections 5.1 and 5.2, with the M of
//! Plonky3).
//!
//! | file | what |
//! |---|---|
//! | `shader` | the shader of an instance: one permutation, around which rows, trees and paths are loops |
//! | `hasher` | [`SmallHasher`]: submissions |
//!
//! | field | form on the device | product |
//! |---|---|---|
//! | p < 2^31 | one `u32` below p, Montgomery to 2^32 | two high halves: from `u64`, or from 16-bit parts |
//! | Goldilocks | one `u64` below p (needs 64-bit integers) | four 32-bit products, 2^64 = 2^32 - 1 and 2^96 = -1 |

mod hasher;
mod shader;

use crate::poseidon::small::{Instance, MAX_DEPTH};

pub use hasher::{SmallHasher, SmallPending};

/// 2^64 - 2^32 + 1.
pub const GOLDILOCKS: u64 = 0xffff_ffff_0000_0001;
/// Widest state.
const MAX_WIDTH: usize = 24;
/// Most rounds of a kind.
const MAX_ROUNDS: usize = 64;

/// Why parameters or states are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SmallError {
    /// A modulus that is neither an odd number below 2^31 nor Goldilocks, or an exponent other than 3, 5 and 7.
    #[error(
        "no shader for x^{exponent} modulo {modulus}: the field is a prime below 2^31 or Goldilocks, the exponent 3, 5 or 7"
    )]
    Field {
        /// The modulus given.
        modulus: u64,
        /// The exponent given.
        exponent: u32,
    },
    /// A width that is no multiple of four from 8 to 24, or lists that do not fit it.
    #[error(
        "a state has 8, 12, 16, 20 or 24 words, as many constants for each full round, and at most 64 rounds of a kind"
    )]
    Shape,
    /// A number of p or more.
    #[error("the number {value} is not below the modulus: reduce it first")]
    NotCanonical {
        /// The number.
        value: u64,
    },
    /// Words that are no whole states, rows or digests.
    #[error("{words} words are no whole states, rows or digests of {width}: send whole ones")]
    States {
        /// Words given.
        words: usize,
        /// Words of each.
        width: usize,
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
    /// A row that the device cannot hold.
    #[error("the device cannot hold a row of {words} words: hash it on the CPU")]
    Row {
        /// Words of the row.
        words: usize,
    },
    /// The device has no 64-bit integers, which Goldilocks needs.
    #[error("this device has no 64-bit integers in shaders: use the CPU")]
    NeedsInt64,
}

/// A Poseidon2 over a small field. All numbers are below the modulus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmallPoseidon2 {
    modulus: u64,
    exponent: u32,
    initial: Vec<u64>,
    partial: Vec<u64>,
    last: Vec<u64>,
    diagonal: Vec<u64>,
}

impl SmallPoseidon2 {
    /// The permutation with S-box x^`exponent` over the field of `modulus`, which the caller knows to be prime. `initial` and `last`
    /// hold the constants of the full rounds before and after, a state for each round; `partial` one for each partial round;
    /// `diagonal` what the internal matrix has on its diagonal beside one. The width is the diagonal's length.
    ///
    /// # Errors
    /// [`SmallError`] for parameters without a shader.
    pub fn new(
        modulus: u64,
        exponent: u32,
        initial: Vec<u64>,
        partial: Vec<u64>,
        last: Vec<u64>,
        diagonal: Vec<u64>,
    ) -> Result<Self, SmallError> {
        let field = modulus == GOLDILOCKS || (modulus % 2 == 1 && (3..1 << 31).contains(&modulus));
        if !field || ![3, 5, 7].contains(&exponent) {
            return Err(SmallError::Field { modulus, exponent });
        }
        let width = diagonal.len();
        let rounds = MAX_ROUNDS * width.max(1);
        let whole = |list: &[u64]| list.len().is_multiple_of(width) && list.len() <= rounds;
        if !(8..=MAX_WIDTH).contains(&width)
            || !width.is_multiple_of(4)
            || !whole(&initial)
            || initial.len() != last.len()
            || partial.len() > MAX_ROUNDS
        {
            return Err(SmallError::Shape);
        }
        let out = Self {
            modulus,
            exponent,
            initial,
            partial,
            last,
            diagonal,
        };
        out.canonical(&out.initial)?;
        out.canonical(&out.partial)?;
        out.canonical(&out.last)?;
        out.canonical(&out.diagonal)?;
        Ok(out)
    }

    /// The parameters of an instance.
    pub fn of(instance: Instance) -> Self {
        let constants = instance.constants().clone();
        Self {
            modulus: instance.modulus(),
            exponent: instance.exponent(),
            initial: constants.initial,
            partial: constants.partial,
            last: constants.last,
            diagonal: constants.diagonal,
        }
    }

    /// Words of a digest: half a state, at most 8 of a 31-bit field and 4 of Goldilocks.
    pub fn digest_words(&self) -> usize {
        (self.width() / 2).min(if self.is_wide() { 4 } else { 8 })
    }

    /// Words that the sponge takes in at once.
    pub fn rate(&self) -> usize {
        self.width() - self.digest_words()
    }

    /// Words of a state.
    pub fn width(&self) -> usize {
        self.diagonal.len()
    }

    /// p.
    pub fn modulus(&self) -> u64 {
        self.modulus
    }

    fn canonical(&self, words: &[u64]) -> Result<(), SmallError> {
        match words.iter().find(|word| **word >= self.modulus) {
            Some(value) => Err(SmallError::NotCanonical { value: *value }),
            None => Ok(()),
        }
    }

    fn is_wide(&self) -> bool {
        self.modulus == GOLDILOCKS
    }

    /// `value` in the form of the device.
    fn form(&self, value: u64) -> u64 {
        if self.is_wide() {
            return value;
        }
        let shifted = (u128::from(value) << 32) % u128::from(self.modulus);
        // Below a 64-bit modulus.
        shifted as u64
    }

    /// What the shader reads: constants in the order of use, the diagonal, and what turns a number into its form and back.
    fn constants(&self) -> Vec<u32> {
        let lists = [&self.initial, &self.partial, &self.last, &self.diagonal];
        let numbers = lists.into_iter().flatten().map(|value| self.form(*value));
        let entry = self.form(self.form(1));
        self.pack(numbers.chain([entry, 1]))
    }

    /// Numbers as words of the device.
    fn pack(&self, numbers: impl Iterator<Item = u64>) -> Vec<u32> {
        numbers
            .flat_map(|value| {
                // Low half, then high half where there is one.
                let halves = [value as u32, (value >> 32) as u32];
                halves.into_iter().take(if self.is_wide() { 2 } else { 1 })
            })
            .collect()
    }
}
