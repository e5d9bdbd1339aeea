//! Binary Merkle trees whose nodes are the compression of their children.

use super::{InputError, Instance};
use crate::{
    cpu::{Level, level},
    field::Fr,
};

/// Longest path that is checked; an index has 64 bits.
pub const MAX_PATH: usize = 64;

/// A claim that a leaf stands at an index of the tree with a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MerklePath<'a> {
    /// The tree's root.
    pub root: Fr,
    /// The leaf.
    pub leaf: Fr,
    /// The leaf's place from the left, counted from zero.
    pub index: u64,
    /// The siblings from the leaf to the root.
    pub siblings: &'a [Fr],
}

impl MerklePath<'_> {
    /// Whether the index is inside the tree of the path's depth, and the path no longer than [`MAX_PATH`]. Another path leads nowhere.
    pub fn fits(&self) -> bool {
        match self.siblings.len() {
            depth @ 0..64 => self.index >> depth == 0,
            depth => depth == MAX_PATH,
        }
    }
}

impl Instance {
    /// The root over a power of two of leaves; of one leaf the leaf itself.
    ///
    /// # Errors
    /// [`InputError::Leaves`] for any other number.
    pub fn merkle_root(self, leaves: &[Fr]) -> Result<Fr, InputError> {
        self.merkle_root_at(level(), leaves)
    }

    /// [`Self::merkle_root`] by the code of one level, as [`Self::permute_many_at`].
    ///
    /// # Errors
    /// As [`Self::merkle_root`].
    pub fn merkle_root_at(self, level: Level, leaves: &[Fr]) -> Result<Fr, InputError> {
        if !leaves.len().is_power_of_two() {
            return Err(InputError::Leaves {
                given: leaves.len(),
            });
        }
        let mut nodes = leaves.to_vec();
        while nodes.len() > 1 {
            let (pairs, _) = nodes.as_chunks::<2>();
            nodes = self.compress_many_at(level, pairs);
        }
        Ok(nodes.first().copied().unwrap_or_default())
    }

    /// Whether the path leads from the leaf to the root. False for an index outside the tree of the path's depth, and for a path
    /// longer than [`MAX_PATH`].
    pub fn verify_path(self, path: &MerklePath<'_>) -> bool {
        self.verify_paths(&[*path])
            .first()
            .copied()
            .unwrap_or_default()
    }

    /// [`Self::verify_path`] of each.
    pub fn verify_paths(self, paths: &[MerklePath<'_>]) -> Vec<bool> {
        self.verify_paths_at(level(), paths)
    }

    /// [`Self::verify_paths`] by the code of one level, as [`Self::permute_many_at`].
    pub fn verify_paths_at(self, level: Level, paths: &[MerklePath<'_>]) -> Vec<bool> {
        let mut order: Vec<usize> = (0..paths.len()).filter(|at| paths[*at].fits()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(paths[*at].siblings.len()));
        let mut nodes: Vec<Fr> = paths.iter().map(|path| path.leaf).collect();
        for depth in 0..order.first().map_or(0, |at| paths[*at].siblings.len()) {
            let active = order.partition_point(|at| paths[*at].siblings.len() > depth);
            let pairs: Vec<[Fr; 2]> = order
                .iter()
                .take(active)
                .map(|at| {
                    let (node, sibling) = (nodes[*at], paths[*at].siblings[depth]);
                    if paths[*at].index >> depth & 1 == 0 {
                        [node, sibling]
                    } else {
                        [sibling, node]
                    }
                })
                .collect();
            for (at, node) in order.iter().zip(self.compress_many_at(level, &pairs)) {
                nodes[*at] = node;
            }
        }
        let right = |(path, node): (&MerklePath<'_>, Fr)| path.fits() && node == path.root;
        paths.iter().zip(nodes).map(right).collect()
    }
}
