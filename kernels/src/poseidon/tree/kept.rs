//! A tree whose levels are kept.

use super::{BATCH, MAX_LEAVES, MAX_PROOF_LEAVES, MultiProof, Progress, Shape, TreeError, parents};
use crate::field::Fr;

/// A Merkle tree in memory, two nodes a leaf. Subtrees of fillers take no memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    shape: Shape,
    /// From the leaves to the root: the nodes above at least one leaf.
    levels: Vec<Vec<Fr>>,
}

impl Tree {
    /// A tree without leaves.
    pub fn new(shape: Shape) -> Self {
        let levels = vec![Vec::new(); shape.depth() as usize + 1];
        Self { shape, levels }
    }

    /// The tree over leaves. `progress` is told after each thousand compressions, or fewer, and once at the end.
    ///
    /// # Errors
    /// [`TreeError::Full`] or [`TreeError::Memory`] for too many leaves.
    pub fn build(
        shape: Shape,
        leaves: Vec<Fr>,
        progress: impl FnMut(Progress),
    ) -> Result<Self, TreeError> {
        let mut tree = Self::new(shape);
        tree.room(leaves.len())?;
        if let Some(level) = tree.levels.first_mut() {
            *level = leaves;
        }
        tree.hash_from(0, progress);
        Ok(tree)
    }

    /// The tree over subtrees of one depth, from the left to the right; all but the last are full.
    ///
    /// # Errors
    /// [`TreeError::Mixed`] for subtrees that do not fit together, [`TreeError::Full`] or [`TreeError::Memory`] for too many.
    pub fn join(shape: Shape, subtrees: Vec<Self>) -> Result<Self, TreeError> {
        let mut tree = Self::new(shape);
        let Some(depth) = subtrees.first().map(|subtree| subtree.shape.depth()) else {
            return Ok(tree);
        };
        if depth > tree.shape.depth() {
            return Err(TreeError::Mixed { at: 0 });
        }
        let leaves: u64 = subtrees.iter().map(Self::len).sum();
        tree.room(usize::try_from(leaves).unwrap_or(usize::MAX))?;
        let count = subtrees.len();
        for (at, subtree) in subtrees.into_iter().enumerate() {
            let alike = subtree.shape.instance == tree.shape.instance
                && subtree.shape.filler() == tree.shape.filler()
                && subtree.shape.depth() == depth;
            if !alike || at + 1 < count && subtree.len() < subtree.shape.places() {
                return Err(TreeError::Mixed { at });
            }
            for (level, nodes) in tree.levels.iter_mut().zip(subtree.levels) {
                level.extend(nodes);
            }
        }
        tree.hash_above(depth, 0, |_| ());
        Ok(tree)
    }

    /// The tree's shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Leaves, fillers not counted.
    pub fn len(&self) -> u64 {
        self.levels.first().map_or(0, Vec::len) as u64
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The root.
    pub fn root(&self) -> Fr {
        self.node(self.shape.depth(), 0)
    }

    /// The nodes at a height from the left, up to the last that stands above a leaf; none above the tree.
    pub fn level(&self, height: u32) -> &[Fr] {
        self.levels.get(height as usize).map_or(&[], Vec::as_slice)
    }

    /// A node, or the subtree of fillers that stands there.
    pub fn node(&self, height: u32, index: u64) -> Fr {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.level(height).get(index).copied())
            .unwrap_or_else(|| self.shape.empty(height))
    }

    /// Adds leaves behind the last.
    ///
    /// # Errors
    /// [`TreeError::Full`] or [`TreeError::Memory`] if they are too many; none is added then.
    pub fn append(&mut self, leaves: &[Fr]) -> Result<(), TreeError> {
        self.room(leaves.len())?;
        let start = self.levels.first().map_or(0, Vec::len);
        if let Some(level) = self.levels.first_mut() {
            level.extend_from_slice(leaves);
        }
        self.hash_from(start, |_| ());
        Ok(())
    }

    /// Gives leaves new values; hashes each touched node once. Tells how many compressions that took.
    ///
    /// # Errors
    /// [`TreeError::Index`] where there is no leaf, [`TreeError::Repeated`] for an index given twice; nothing is changed then.
    pub fn update(&mut self, changes: &[(u64, Fr)]) -> Result<u64, TreeError> {
        let mut touched = sorted(changes.iter().map(|(index, _)| *index), self.len())?;
        if let Some(leaves) = self.levels.first_mut() {
            for (index, leaf) in changes {
                if let Some(old) = leaves.get_mut(*index as usize) {
                    *old = *leaf;
                }
            }
        }
        let mut hashed = 0;
        for height in 0..self.shape.depth() {
            touched.iter_mut().for_each(|index| *index >>= 1);
            touched.dedup();
            hashed += touched.len() as u64;
            for indices in touched.chunks(BATCH) {
                let pairs: Vec<[Fr; 2]> = indices
                    .iter()
                    .map(|at| [self.node(height, 2 * at), self.node(height, 2 * at + 1)])
                    .collect();
                let nodes = self.shape.instance.compress_many(&pairs);
                let Some(level) = self.levels.get_mut(height as usize + 1) else {
                    continue;
                };
                for (index, node) in indices.iter().zip(nodes) {
                    if let Some(old) = level.get_mut(*index as usize) {
                        *old = node;
                    }
                }
            }
        }
        Ok(hashed)
    }

    /// The siblings of a place from the leaf to the root, as [`MerklePath`](crate::poseidon::MerklePath) takes them.
    ///
    /// # Errors
    /// [`TreeError::Index`] for an index that is no place of the tree.
    pub fn path(&self, index: u64) -> Result<Vec<Fr>, TreeError> {
        let end = self.shape.places();
        if index >= end {
            return Err(TreeError::Index { index, end });
        }
        Ok((0..self.shape.depth())
            .map(|height| self.node(height, index >> height ^ 1))
            .collect())
    }

    /// One proof for the leaves at `indices`, given in any order.
    ///
    /// # Errors
    /// [`TreeError::ProofSize`] for none or too many, [`TreeError::Index`] for one that is no place of the tree,
    /// [`TreeError::Repeated`] for one given twice.
    pub fn multi_proof(&self, indices: &[u64]) -> Result<MultiProof, TreeError> {
        if indices.is_empty() || indices.len() > MAX_PROOF_LEAVES {
            return Err(TreeError::ProofSize {
                leaves: indices.len(),
            });
        }
        let sorted = sorted(indices.iter().copied(), self.shape.places())?;
        let leaves = sorted.iter().map(|at| (*at, self.node(0, *at))).collect();
        Ok(MultiProof::take(
            self.shape.depth(),
            leaves,
            |height, at| self.node(height, at),
        ))
    }

    /// Room for `more` leaves.
    fn room(&self, more: usize) -> Result<(), TreeError> {
        let leaves = self.len().saturating_add(more as u64);
        let most = self.shape.places();
        if leaves > most {
            return Err(TreeError::Full { leaves, most });
        }
        if leaves > MAX_LEAVES {
            return Err(TreeError::Memory {
                leaves,
                most: MAX_LEAVES,
            });
        }
        Ok(())
    }

    /// Hashes everything above the leaves from index `start` on.
    fn hash_from(&mut self, start: usize, progress: impl FnMut(Progress)) {
        self.hash_above(0, start, progress);
    }

    /// Hashes everything above the nodes at a height from index `start` on.
    fn hash_above(&mut self, height: u32, start: usize, mut progress: impl FnMut(Progress)) {
        let length = self.level(height).len();
        let mut total = 0;
        let (mut first, mut end) = (start, length);
        for _ in height..self.shape.depth() {
            (first, end) = (first / 2, end.div_ceil(2));
            total += (end - first) as u64;
        }
        let mut done = 0;
        let mut first = start;
        for height in height..self.shape.depth() {
            let (below, above) = self.levels.split_at_mut(height as usize + 1);
            let (Some(below), Some(above)) = (below.last(), above.first_mut()) else {
                continue;
            };
            first /= 2;
            above.truncate(first);
            above.reserve_exact(below.len().div_ceil(2) - first);
            parents(&self.shape, height, &below[2 * first..], |nodes| {
                done += nodes.len() as u64;
                above.extend(nodes);
                progress(Progress { done, total });
            });
        }
        if total == 0 {
            progress(Progress { done, total });
        }
    }
}

/// The indices in order, each below `end` and there once.
fn sorted(indices: impl Iterator<Item = u64>, end: u64) -> Result<Vec<u64>, TreeError> {
    let mut indices: Vec<u64> = indices.collect();
    indices.sort_unstable();
    if let Some(index) = indices.last().copied().filter(|index| *index >= end) {
        return Err(TreeError::Index { index, end });
    }
    match indices.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(TreeError::Repeated { index: pair[0] }),
        None => Ok(indices),
    }
}
