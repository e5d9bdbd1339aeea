//! The modes in which Plonky3 uses a permutation: rows by an overwriting sponge, pairs by a truncated permutation, Merkle trees of both.

use super::{Instance, StateError, Word};
use crate::cpu::{Level, level};

/// States that are permuted at a time, so that they stay in the nearest cache.
const BATCH: usize = 512;
/// Most levels of a tree above its leaves.
pub const MAX_DEPTH: usize = 63;

/// The claim that a digest stands in a tree at a place, for [`Instance::verify_paths`]. A digest has [`Instance::digest_words`] words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path<'a, W> {
    /// The tree's root.
    pub root: &'a [W],
    /// The leaf's digest.
    pub leaf: &'a [W],
    /// The leaf's place from the left, counted from zero.
    pub index: u64,
    /// The digests beside the way, from the leaf to the root.
    pub siblings: &'a [W],
}

impl<W> Path<'_, W> {
    /// Levels of the tree.
    fn depth(&self, digest: usize) -> usize {
        self.siblings.len() / digest
    }
}

impl Instance {
    /// Words of a digest: 8 of a 31-bit field, 4 of Goldilocks.
    pub const fn digest_words(self) -> usize {
        match self {
            Self::Goldilocks8 | Self::Goldilocks12 => 4,
            _ => 8,
        }
    }

    /// Words that the sponge takes in at once.
    pub const fn rate(self) -> usize {
        self.width() - self.digest_words()
    }

    /// The digest of each row of `row` words: they overwrite the first words of a state of zeros, `rate` at a time, and what a last
    /// short block does not overwrite stays. Plonky3's `PaddingFreeSponge`: rows of unequal lengths can have equal digests, so the length
    /// must be known from elsewhere.
    ///
    /// # Errors
    /// [`StateError`] if the instance has words of another size, the rows are not whole or empty, or a word is p or more.
    pub fn hash_rows<W: Word>(self, row: usize, words: &[W]) -> Result<Vec<W>, StateError> {
        self.hash_rows_at(level(), row, words)
    }

    /// [`Self::hash_rows`] by the code of one level, for tests and benchmarks.
    ///
    /// # Errors
    /// As [`Self::hash_rows`].
    pub fn hash_rows_at<W: Word>(
        self,
        level: Level,
        row: usize,
        words: &[W],
    ) -> Result<Vec<W>, StateError> {
        self.check(row, words)?;
        Ok(self.absorb(level, self.rate(), row, words))
    }

    /// The compression of each pair of digests: the first words of the permutation of both. Plonky3's `TruncatedPermutation`.
    ///
    /// # Errors
    /// As [`Self::hash_rows`].
    pub fn compress_many<W: Word>(self, pairs: &[W]) -> Result<Vec<W>, StateError> {
        self.compress_many_at(level(), pairs)
    }

    /// [`Self::compress_many`] by the code of one level, for tests and benchmarks.
    ///
    /// # Errors
    /// As [`Self::hash_rows`].
    pub fn compress_many_at<W: Word>(
        self,
        level: Level,
        pairs: &[W],
    ) -> Result<Vec<W>, StateError> {
        let pair = 2 * self.digest_words();
        self.check(pair, pairs)?;
        Ok(self.absorb(level, pair, pair, pairs))
    }

    /// Rows through states, `block` words at a time. Everything was checked.
    fn absorb<W: Word>(self, level: Level, block: usize, row: usize, words: &[W]) -> Vec<W> {
        let (width, digest) = (self.width(), self.digest_words());
        let mut out = Vec::with_capacity(words.len() / row.max(1) * digest);
        let mut states = Vec::with_capacity(width * BATCH.min(words.len() / row.max(1)));
        for rows in words.chunks(row * BATCH) {
            states.clear();
            states.resize(rows.len() / row * width, W::default());
            for start in (0..row).step_by(block) {
                let end = row.min(start + block);
                for (state, row) in states.chunks_exact_mut(width).zip(rows.chunks_exact(row)) {
                    state[..end - start].copy_from_slice(&row[start..end]);
                }
                W::permute(self, level, &mut states);
            }
            for state in states.chunks_exact(width) {
                out.extend_from_slice(&state[..digest]);
            }
        }
        out
    }

    /// The root over digests, a power of two of them.
    ///
    /// # Errors
    /// As [`Tree::of_digests`].
    pub fn merkle_root<W: Word>(self, digests: &[W]) -> Result<Vec<W>, StateError> {
        self.check_leaves(digests)?;
        let mut nodes = digests.to_vec();
        while nodes.len() > self.digest_words() {
            let pair = 2 * self.digest_words();
            nodes = self.absorb(level(), pair, pair, &nodes);
        }
        Ok(nodes)
    }

    /// Whether each path leads from its leaf to its root; false for an index outside its tree. Paths of all depths climb together.
    ///
    /// # Errors
    /// [`StateError`] if the instance has words of another size, a path's parts are not whole digests, a word is p or more, or a path
    /// has more than [`MAX_DEPTH`] siblings.
    pub fn verify_paths<W: Word>(self, paths: &[Path<'_, W>]) -> Result<Vec<bool>, StateError> {
        self.verify_paths_at(level(), paths)
    }

    /// [`Self::verify_paths`] by the code of one level, for tests and benchmarks.
    ///
    /// # Errors
    /// As [`Self::verify_paths`].
    pub fn verify_paths_at<W: Word>(
        self,
        level: Level,
        paths: &[Path<'_, W>],
    ) -> Result<Vec<bool>, StateError> {
        let digest = self.digest_words();
        for path in paths {
            self.check_path(path)?;
        }
        let mut order: Vec<usize> = (0..paths.len()).collect();
        order.sort_by_key(|at| std::cmp::Reverse(paths[*at].siblings.len()));
        let mut nodes = Vec::with_capacity(order.len() * digest);
        for at in &order {
            nodes.extend_from_slice(paths[*at].leaf);
        }
        let deepest = order.first().map_or(0, |at| paths[*at].depth(digest));
        let mut pairs = Vec::new();
        for step in 0..deepest {
            let active = order.partition_point(|at| paths[*at].depth(digest) > step);
            pairs.clear();
            for (at, node) in order.iter().zip(nodes.chunks_exact(digest)).take(active) {
                let path = &paths[*at];
                let sibling = &path.siblings[step * digest..][..digest];
                let pair = if path.index >> step & 1 == 0 {
                    [node, sibling]
                } else {
                    [sibling, node]
                };
                pairs.extend(pair.into_iter().flatten());
            }
            let parents = self.absorb(level, 2 * digest, 2 * digest, &pairs);
            nodes[..parents.len()].copy_from_slice(&parents);
        }
        let mut verdicts = vec![false; paths.len()];
        for (at, node) in order.into_iter().zip(nodes.chunks_exact(digest)) {
            let path = &paths[at];
            verdicts[at] = path.index >> path.depth(digest) == 0 && node == path.root;
        }
        Ok(verdicts)
    }

    /// That a path has whole digests of this instance's words.
    pub(in crate::poseidon) fn check_path<W: Word>(
        self,
        path: &Path<'_, W>,
    ) -> Result<(), StateError> {
        let digest = self.digest_words();
        for part in [path.root, path.leaf] {
            self.check(digest, part)?;
            if part.len() != digest {
                return Err(StateError::Ragged {
                    words: part.len(),
                    width: digest,
                });
            }
        }
        self.check(digest, path.siblings)?;
        match path.depth(digest) {
            0..=MAX_DEPTH => Ok(()),
            given => Err(StateError::Depth { given }),
        }
    }

    fn check_leaves<W: Word>(self, digests: &[W]) -> Result<(), StateError> {
        self.check(self.digest_words(), digests)?;
        let given = digests.len() / self.digest_words();
        if given.is_power_of_two() {
            Ok(())
        } else {
            Err(StateError::Leaves { given })
        }
    }
}

/// A Merkle tree with all its levels in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree<W> {
    instance: Instance,
    /// Digests of each level, leaves first.
    levels: Vec<Vec<W>>,
}

impl<W: Word> Tree<W> {
    /// The tree over the digests of rows of `row` words, a power of two of them.
    ///
    /// # Errors
    /// As [`Instance::hash_rows`]; [`StateError::Leaves`] for another number of rows.
    pub fn of_rows(instance: Instance, row: usize, words: &[W]) -> Result<Self, StateError> {
        Self::of_digests(instance, instance.hash_rows(row, words)?)
    }

    /// The tree over digests, a power of two of them.
    ///
    /// # Errors
    /// As [`Instance::hash_rows`]; [`StateError::Leaves`] for another number of leaves.
    pub fn of_digests(instance: Instance, digests: Vec<W>) -> Result<Self, StateError> {
        instance.check_leaves(&digests)?;
        let pair = 2 * instance.digest_words();
        let mut levels = vec![digests];
        while let Some(nodes) = levels.last().filter(|nodes| nodes.len() >= pair) {
            let parents = instance.absorb(level(), pair, pair, nodes);
            levels.push(parents);
        }
        Ok(Self { instance, levels })
    }

    /// The root's digest.
    pub fn root(&self) -> &[W] {
        self.levels.last().map_or(&[], Vec::as_slice)
    }

    /// Number of levels above the leaves.
    pub fn depth(&self) -> usize {
        self.levels.len().saturating_sub(1)
    }

    /// The digest of a leaf; nothing outside the tree.
    pub fn leaf(&self, index: usize) -> Option<&[W]> {
        let digest = self.instance.digest_words();
        self.levels.first()?.chunks_exact(digest).nth(index)
    }

    /// The digests beside the way from a leaf to the root, in the order of [`Path::siblings`]; nothing outside the tree.
    pub fn siblings(&self, index: usize) -> Option<Vec<W>> {
        self.leaf(index)?;
        let digest = self.instance.digest_words();
        let mut out = Vec::with_capacity(self.depth() * digest);
        for (step, nodes) in self.levels.iter().take(self.depth()).enumerate() {
            out.extend_from_slice(nodes.chunks_exact(digest).nth(index >> step ^ 1)?);
        }
        Some(out)
    }
}
