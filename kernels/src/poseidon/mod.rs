//! Poseidon and Poseidon2 over the BN254 scalar field: permutation, hash, compression, Merkle roots and paths.
//!
//! An [`Instance`] names the constants and the mode; the same function hashes one input or a batch, on the best level of the
//! processor, with equal bits on every level. Constants are generated at first use by the published procedures; digests in the tests
//! pin them.
//!
//! | file | what |
//! |---|---|
//! | `grain`, `parameters` | constants of each instance |
//! | `schedule` | partial rounds of Poseidon as a recurrence: one reduction a round |
//! | `permute` | both permutations, once for every representation of the field |
//! | `levels` | batches through the code of a level |
//! | `merkle` | roots and paths |
//! | `tree` | trees of any number of leaves: streams, kept levels, updates, proofs of many leaves |
//! | `small` | Poseidon2 over the small fields of STARK systems |
//! | `gpu` | permutations and compressions as a shader (feature `gpu`) |
//!
//! Inputs are [`Fr`]: a number of p or more is refused where bytes become elements ([`Fr::from_bytes_be`]), for reducing it would give
//! two inputs one hash. Variable time; not for secrets.

#[cfg(feature = "gpu")]
pub mod gpu;
mod grain;
mod levels;
mod merkle;
mod parameters;
mod permute;
mod schedule;
pub mod small;
#[cfg(test)]
mod tests;
pub mod tree;

use crate::{
    cpu::{Level, level},
    field::Fr,
};
use levels::Permutation;

pub use merkle::{MAX_PATH, MerklePath};

/// Most inputs that a sponge instance takes at once.
pub const MAX_INPUTS: usize = 256;

/// Constants and mode of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Instance {
    /// Poseidon with circomlib's parameters: x^5, 8 full rounds, width one more than the number of inputs (1 to 16). The hash is the
    /// first word of the permutation of `0, inputs`.
    Circom,
    /// Poseidon2 of width 3: x^5, 8 full and 56 partial rounds. Compression is the first word of the permutation of `left, right, 0`;
    /// a list of n elements is hashed by a sponge of rate 2 whose third word starts at n 2^64, so that lists of unequal lengths and
    /// compressions never share a state.
    Poseidon2,
    /// Poseidon2 of width 2 as gnark-crypto has it: 6 full and 50 partial rounds, compression with feed-forward of the right input,
    /// lists by Merkle-Damgård from zero. A list is not told from the same list with zeros before it.
    Gnark,
}

/// Why a hash was not computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The instance does not take this number of inputs.
    #[error(
        "{instance} hashes {least} to {most} elements, not {given}: split the list or choose another instance"
    )]
    Count {
        /// The instance asked.
        instance: Instance,
        /// Elements given.
        given: usize,
        /// Fewest elements.
        least: usize,
        /// Most elements.
        most: usize,
    },
    /// The instance has no permutation of this width, or the states are not a multiple of it.
    #[error(
        "{instance} has no permutation for {given} elements in states of {width}: a state has {least} to {most}"
    )]
    Width {
        /// The instance asked.
        instance: Instance,
        /// Elements given.
        given: usize,
        /// Width asked for.
        width: usize,
        /// Narrowest state.
        least: usize,
        /// Widest state.
        most: usize,
    },
    /// A Merkle tree has a power of two of leaves.
    #[error(
        "a Merkle tree has 1, 2, 4, 8 … leaves, not {given}: pad the list with a leaf that means nothing"
    )]
    Leaves {
        /// Leaves given.
        given: usize,
    },
}

impl std::fmt::Display for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Circom => "Poseidon (circomlib)",
            Self::Poseidon2 => "Poseidon2 (t = 3)",
            Self::Gnark => "Poseidon2 (gnark, t = 2)",
        })
    }
}

impl Instance {
    /// Every instance, by its number.
    pub const ALL: [Self; 3] = [Self::Circom, Self::Poseidon2, Self::Gnark];

    /// The instance's number in the interface of the chain.
    pub const fn id(self) -> u8 {
        match self {
            Self::Circom => 0,
            Self::Poseidon2 => 1,
            Self::Gnark => 2,
        }
    }

    /// The instance of a number.
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::Circom),
            1 => Some(Self::Poseidon2),
            2 => Some(Self::Gnark),
            _ => None,
        }
    }

    /// Fewest and most elements that [`Self::hash`] takes.
    pub const fn inputs(self) -> (usize, usize) {
        match self {
            Self::Circom => (1, 16),
            Self::Poseidon2 => (0, MAX_INPUTS),
            Self::Gnark => (1, MAX_INPUTS),
        }
    }

    /// Narrowest and widest state that [`Self::permute`] takes.
    pub const fn widths(self) -> (usize, usize) {
        match self {
            Self::Circom => (2, 17),
            Self::Poseidon2 => (3, 3),
            Self::Gnark => (2, 2),
        }
    }

    /// Number of permutations that hashing `count` elements takes.
    pub const fn permutations(self, count: usize) -> usize {
        match self {
            Self::Circom => 1,
            Self::Poseidon2 => {
                if count == 0 {
                    1
                } else {
                    count.div_ceil(2)
                }
            }
            Self::Gnark => count,
        }
    }

    /// The permutation of its compression.
    #[cfg(feature = "gpu")]
    fn compression(self) -> Permutation {
        match self {
            Self::Circom => Permutation::Poseidon(3),
            Self::Poseidon2 => Permutation::Poseidon2,
            Self::Gnark => Permutation::Gnark,
        }
    }

    /// That every list has a length that the instance takes.
    fn check_lists(self, lists: &[&[Fr]]) -> Result<(), InputError> {
        let (least, most) = self.inputs();
        match lists
            .iter()
            .find(|list| !(least..=most).contains(&list.len()))
        {
            Some(list) => Err(InputError::Count {
                instance: self,
                given: list.len(),
                least,
                most,
            }),
            None => Ok(()),
        }
    }

    fn width_error(self, given: usize, width: usize) -> InputError {
        let (least, most) = self.widths();
        InputError::Width {
            instance: self,
            given,
            width,
            least,
            most,
        }
    }

    fn permutation(self, width: usize) -> Option<Permutation> {
        let (least, most) = self.widths();
        (least..=most).contains(&width).then_some(match self {
            Self::Circom => Permutation::Poseidon(width),
            Self::Poseidon2 => Permutation::Poseidon2,
            Self::Gnark => Permutation::Gnark,
        })
    }

    /// Permutes one state in place.
    ///
    /// # Errors
    /// [`InputError::Width`] if the instance has no permutation of that width; the state is unchanged.
    pub fn permute(self, state: &mut [Fr]) -> Result<(), InputError> {
        self.permute_many(state.len(), state)
    }

    /// Permutes states of `width` elements, one after another.
    ///
    /// # Errors
    /// [`InputError::Width`] if the instance has no permutation of that width, or the states are not whole; they are unchanged.
    pub fn permute_many(self, width: usize, states: &mut [Fr]) -> Result<(), InputError> {
        self.permute_many_at(level(), width, states)
    }

    /// [`Self::permute_many`] by the code of one level, for tests and benchmarks; a level that the processor lacks is replaced by the
    /// portable one.
    ///
    /// # Errors
    /// As [`Self::permute_many`].
    pub fn permute_many_at(
        self,
        level: Level,
        width: usize,
        states: &mut [Fr],
    ) -> Result<(), InputError> {
        match self.permutation(width) {
            Some(which) if states.len().is_multiple_of(width) => {
                levels::permute_many(level, which, width, states);
                Ok(())
            }
            _ => Err(self.width_error(states.len(), width)),
        }
    }

    /// The hash of a list.
    ///
    /// # Errors
    /// [`InputError::Count`] if the instance does not take that many elements.
    pub fn hash(self, inputs: &[Fr]) -> Result<Fr, InputError> {
        let hashes = self.hash_many(&[inputs])?;
        Ok(hashes.first().copied().unwrap_or_default())
    }

    /// The hash of each list, of any mix of lengths.
    ///
    /// # Errors
    /// [`InputError::Count`] for the first list that the instance does not take.
    pub fn hash_many(self, lists: &[&[Fr]]) -> Result<Vec<Fr>, InputError> {
        self.hash_many_at(level(), lists)
    }

    /// [`Self::hash_many`] by the code of one level, as [`Self::permute_many_at`].
    ///
    /// # Errors
    /// As [`Self::hash_many`].
    pub fn hash_many_at(self, level: Level, lists: &[&[Fr]]) -> Result<Vec<Fr>, InputError> {
        self.check_lists(lists)?;
        Ok(match self {
            Self::Circom => circom(level, lists),
            Self::Poseidon2 => sponge(level, lists),
            Self::Gnark => merkle_damgard(level, lists),
        })
    }

    /// The hash of two elements, as the nodes of trees use it.
    pub fn compress(self, left: Fr, right: Fr) -> Fr {
        self.compress_many(&[[left, right]])
            .first()
            .copied()
            .unwrap_or_default()
    }

    /// [`Self::compress`] of each pair.
    pub fn compress_many(self, pairs: &[[Fr; 2]]) -> Vec<Fr> {
        self.compress_many_at(level(), pairs)
    }

    /// [`Self::compress_many`] by the code of one level, as [`Self::permute_many_at`].
    pub fn compress_many_at(self, level: Level, pairs: &[[Fr; 2]]) -> Vec<Fr> {
        match self {
            Self::Circom => {
                let mut states = Vec::with_capacity(3 * pairs.len());
                for [left, right] in pairs {
                    states.extend([Fr::ZERO, *left, *right]);
                }
                levels::permute_many(level, Permutation::Poseidon(3), 1, &mut states);
                states.into_iter().step_by(3).collect()
            }
            Self::Poseidon2 => {
                let mut states = Vec::with_capacity(3 * pairs.len());
                for [left, right] in pairs {
                    states.extend([*left, *right, Fr::ZERO]);
                }
                levels::permute_many(level, Permutation::Poseidon2, 1, &mut states);
                states.into_iter().step_by(3).collect()
            }
            Self::Gnark => {
                let mut states = pairs.as_flattened().to_vec();
                levels::permute_many(level, Permutation::Gnark, 2, &mut states);
                let words = states.iter().skip(1).step_by(2);
                words
                    .zip(pairs)
                    .map(|(word, [_, right])| *word + *right)
                    .collect()
            }
        }
    }
}

/// Compressions with known results, one for each instance: what a device must answer before it is trusted.
pub fn known_answers() -> Vec<(Instance, [Fr; 2], Fr)> {
    // circomlib's test of two inputs, the authors' program at zero, an independent program of gnark's procedure.
    let answers: [(Instance, [u64; 2], [u64; 4]); 3] = [
        (
            Instance::Circom,
            [1, 2],
            [
                0x9e19_607a_4417_189a,
                0x2a36_17f2_7432_4551,
                0x3df6_4c6b_9662_e9cf,
                0x115c_c0f5_e7d6_9041,
            ],
        ),
        (
            Instance::Poseidon2,
            [0, 0],
            [
                0xea69_cd87_a0aa_3e82,
                0x13c9_0da7_e9e3_a5f1,
                0xd35b_88ab_4939_0d5c,
                0x2ed1_da00_b14d_635b,
            ],
        ),
        (
            Instance::Gnark,
            [1, 2],
            [
                0x6daa_6be0_45c6_f530,
                0xee90_e6a7_c3e3_61de,
                0x5261_47c2_ee72_588a,
                0x02e7_529d_93e1_a7ae,
            ],
        ),
    ];
    answers
        .into_iter()
        .filter_map(|(instance, pair, limbs)| {
            Some((
                instance,
                pair.map(Fr::from_u64),
                Fr::from_limbs(limbs).ok()?,
            ))
        })
        .collect()
}

/// Lists of equal length share a batch.
fn circom(level: Level, lists: &[&[Fr]]) -> Vec<Fr> {
    let mut hashes = vec![Fr::ZERO; lists.len()];
    let mut order: Vec<usize> = (0..lists.len()).collect();
    order.sort_by_key(|at| lists[*at].len());
    for group in order.chunk_by(|a, b| lists[*a].len() == lists[*b].len()) {
        let Some(width) = group.first().map(|at| lists[*at].len() + 1) else {
            continue;
        };
        let mut states = Vec::with_capacity(width * group.len());
        for at in group {
            states.push(Fr::ZERO);
            states.extend_from_slice(lists[*at]);
        }
        levels::permute_many(level, Permutation::Poseidon(width), 1, &mut states);
        for (at, state) in group.iter().zip(states.chunks_exact(width)) {
            hashes[*at] = state[0];
        }
    }
    hashes
}

/// A sponge of rate 2 whose capacity starts at the length times 2^64; a lone last element is followed by zero, an empty list is one
/// block of zeros. Longest first, so that the lists that still absorb are always the first ones.
fn sponge(level: Level, lists: &[&[Fr]]) -> Vec<Fr> {
    let mut order: Vec<usize> = (0..lists.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(lists[*at].len()));
    let mut states = Vec::with_capacity(3 * lists.len());
    for at in &order {
        states.extend([Fr::ZERO, Fr::ZERO, length_tag(lists[*at].len())]);
    }
    let blocks = |at: usize| lists[at].len().div_ceil(2).max(1);
    for block in 0..order.first().map_or(0, |at| blocks(*at)) {
        let active = order.partition_point(|at| blocks(*at) > block);
        for (at, state) in order.iter().zip(states.chunks_exact_mut(3)).take(active) {
            for (word, input) in state
                .iter_mut()
                .zip(lists[*at].iter().skip(2 * block).take(2))
            {
                *word += *input;
            }
        }
        levels::permute_many(level, Permutation::Poseidon2, 3, &mut states[..3 * active]);
    }
    let mut hashes = vec![Fr::ZERO; lists.len()];
    for (at, state) in order.iter().zip(states.chunks_exact(3)) {
        hashes[*at] = state[0];
    }
    hashes
}

/// Where the capacity of a list of that length starts: the length times 2^64.
fn length_tag(length: usize) -> Fr {
    Fr::from_limbs([0, length as u64, 0, 0]).unwrap_or_default()
}

/// Compression after compression from zero, the lists side by side.
fn merkle_damgard(level: Level, lists: &[&[Fr]]) -> Vec<Fr> {
    let mut order: Vec<usize> = (0..lists.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(lists[*at].len()));
    let mut chains = vec![Fr::ZERO; lists.len()];
    for step in 0..order.first().map_or(0, |at| lists[*at].len()) {
        let active = order.partition_point(|at| lists[*at].len() > step);
        let pairs: Vec<[Fr; 2]> = order
            .iter()
            .take(active)
            .map(|at| [chains[*at], lists[*at][step]])
            .collect();
        for (at, chain) in order
            .iter()
            .zip(Instance::Gnark.compress_many_at(level, &pairs))
        {
            chains[*at] = chain;
        }
    }
    chains
}
