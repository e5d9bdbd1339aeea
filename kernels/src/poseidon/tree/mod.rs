//! Merkle trees of any number of leaves: roots of streams, trees whose levels are kept, proofs of many leaves at once.
//!
//! | file | what |
//! |---|---|
//! | `stream` | [`RootBuilder`]: leaves in, root out, a few kilobytes of memory |
//! | `kept` | [`Tree`]: every level kept; scattered updates, paths, proofs |
//! | `proof` | [`MultiProof`]: many leaves of one tree in one proof, as a value and as bytes; verification in batch |
//!
//! **Padding.** A tree has a depth d and 2^d places. Leaves fill the places from the left; every place behind the last leaf holds the
//! *filler*, zero unless the [`Shape`] says otherwise. A subtree of fillers only is computed once for each height, so empty space
//! costs nothing. It follows that a list and the same list with fillers behind it have one root: where that matters, use a filler
//! that is no leaf, or bind the number of leaves to the root.
//!
//! Nothing here starts threads. Work is shared out by subtrees: each thread takes the root ([`Instance::merkle_root`]) or the tree
//! ([`Tree::build`]) of its part, and [`RootBuilder::push_subtree`] or [`Tree::join`] puts them together.

mod kept;
mod proof;
mod stream;
#[cfg(test)]
mod tests;

use super::Instance;
use crate::field::Fr;

pub use kept::Tree;
pub use proof::{MAX_PROOF_LEAVES, MultiProof, ProofClaim, ProofError};
pub use stream::RootBuilder;

/// The deepest tree.
pub const MAX_DEPTH: u32 = 32;
/// Most leaves of a tree whose levels are kept: with their nodes, 1 GiB.
pub const MAX_LEAVES: u64 = 1 << 24;

/// Compressions of one call: enough to fill vector lanes, few enough to stay in the cache.
const BATCH: usize = 1024;

/// Why a tree did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// Deeper than [`MAX_DEPTH`].
    #[error("a tree is at most {MAX_DEPTH} levels deep, not {depth}: choose a smaller depth")]
    Depth {
        /// The depth asked for.
        depth: u32,
    },
    /// More leaves than places.
    #[error("a tree with {most} places cannot hold {leaves} leaves: choose a greater depth")]
    Full {
        /// Leaves it would hold.
        leaves: u64,
        /// Places of the tree.
        most: u64,
    },
    /// More leaves than a kept tree holds.
    #[error(
        "levels are kept for at most {most} leaves, not {leaves}: take the root of the stream, or cut the list into trees"
    )]
    Memory {
        /// Leaves it would hold.
        leaves: u64,
        /// Most leaves.
        most: u64,
    },
    /// An index with no leaf, or no place, behind it.
    #[error("index {index} is outside: the tree has indices below {end} here")]
    Index {
        /// The index.
        index: u64,
        /// One more than the last index.
        end: u64,
    },
    /// An index that was given twice.
    #[error("index {index} is given twice: give each leaf once")]
    Repeated {
        /// The index.
        index: u64,
    },
    /// A subtree that cannot stand where the tree ends.
    #[error(
        "a subtree of height {height} cannot follow {leaves} leaves: subtrees have height {least} or more, and as many leaves before them as a multiple of their own"
    )]
    Unaligned {
        /// Height of the subtree.
        height: u32,
        /// Leaves before it.
        leaves: u64,
        /// Least height.
        least: u32,
    },
    /// Subtrees that do not belong to one tree.
    #[error(
        "subtree {at} does not fit: all have the tree's instance and filler and one depth, and all but the last are full"
    )]
    Mixed {
        /// The subtree's place in the list.
        at: usize,
    },
    /// A proof of no leaves, or of more than [`MAX_PROOF_LEAVES`].
    #[error("a proof is of 1 to {MAX_PROOF_LEAVES} leaves, not {leaves}")]
    ProofSize {
        /// Leaves asked for.
        leaves: usize,
    },
}

/// How far the building of a tree is, in compressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Compressions done.
    pub done: u64,
    /// Compressions in all.
    pub total: u64,
}

/// Hash, depth and filler of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    instance: Instance,
    /// Subtrees of fillers only, by height from 0 to the depth.
    empty: Vec<Fr>,
}

impl Shape {
    /// A tree of 2^`depth` places; zero is the filler.
    ///
    /// # Errors
    /// [`TreeError::Depth`].
    pub fn new(instance: Instance, depth: u32) -> Result<Self, TreeError> {
        Self::with_filler(instance, depth, Fr::ZERO)
    }

    /// [`new`](Self::new) with another filler.
    ///
    /// # Errors
    /// [`TreeError::Depth`].
    pub fn with_filler(instance: Instance, depth: u32, filler: Fr) -> Result<Self, TreeError> {
        if depth > MAX_DEPTH {
            return Err(TreeError::Depth { depth });
        }
        let next = |node: &Fr| Some(instance.compress(*node, *node));
        let empty = std::iter::successors(Some(filler), next)
            .take(depth as usize + 1)
            .collect();
        Ok(Self { instance, empty })
    }

    /// The lowest tree that holds `leaves`; zero is the filler.
    ///
    /// # Errors
    /// [`TreeError::Depth`].
    pub fn for_leaves(instance: Instance, leaves: u64) -> Result<Self, TreeError> {
        Self::new(
            instance,
            u64::BITS - leaves.saturating_sub(1).leading_zeros(),
        )
    }

    /// The hash of its nodes.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// Levels above the leaves.
    pub fn depth(&self) -> u32 {
        // At most `MAX_DEPTH`.
        self.empty.len().saturating_sub(1) as u32
    }

    /// Places for leaves.
    pub fn places(&self) -> u64 {
        1 << self.depth()
    }

    /// The leaf behind the last.
    pub fn filler(&self) -> Fr {
        self.empty(0)
    }

    /// The root of 2^`height` fillers; zero above the tree's depth.
    pub fn empty(&self, height: u32) -> Fr {
        self.empty.get(height as usize).copied().unwrap_or_default()
    }

    /// The root of a stream of leaves, in constant memory. `progress` hears how many leaves were taken, at least once for each
    /// thousand and at the end.
    ///
    /// # Errors
    /// [`TreeError::Full`] if there are more leaves than places.
    pub fn root_of(
        &self,
        leaves: impl IntoIterator<Item = Fr>,
        mut progress: impl FnMut(u64),
    ) -> Result<Fr, TreeError> {
        let mut builder = RootBuilder::new(self.clone());
        let mut leaves = leaves.into_iter();
        let mut chunk = Vec::with_capacity(BATCH);
        loop {
            chunk.clear();
            chunk.extend(leaves.by_ref().take(BATCH));
            builder.push(&chunk)?;
            progress(builder.leaves());
            if chunk.len() < BATCH {
                return Ok(builder.root());
            }
        }
    }
}

/// The parents of `nodes`, of which the first is a left child at `height`; a last one alone stands beside a subtree of fillers.
fn parents(shape: &Shape, height: u32, nodes: &[Fr], mut each: impl FnMut(Vec<Fr>)) {
    let (pairs, rest) = nodes.as_chunks::<2>();
    for pairs in pairs.chunks(BATCH) {
        each(shape.instance.compress_many(pairs));
    }
    if let [last] = rest {
        each(vec![shape.instance.compress(*last, shape.empty(height))]);
    }
}
