//! The root of a stream of leaves.

use super::{Shape, TreeError, parents};
use crate::field::Fr;

/// Leaves that are hashed together: 2^10, so that all but a few compressions fill their vector lanes.
const CHUNK_HEIGHT: u32 = 10;

/// Takes leaves from the left to the right and gives the root, at any time. It keeps less than a chunk of 1,024 leaves and one node
/// for each level.
#[derive(Clone, Debug)]
pub struct RootBuilder {
    shape: Shape,
    /// The leaves of the chunk that is not full.
    pending: Vec<Fr>,
    /// By height: the left subtree that waits for its right one.
    waiting: Vec<Option<Fr>>,
    leaves: u64,
}

impl RootBuilder {
    /// A tree without leaves.
    pub fn new(shape: Shape) -> Self {
        let waiting = vec![None; shape.depth() as usize + 1];
        Self {
            shape,
            pending: Vec::new(),
            waiting,
            leaves: 0,
        }
    }

    /// The tree's shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Leaves taken.
    pub fn leaves(&self) -> u64 {
        self.leaves
    }

    fn chunk_height(&self) -> u32 {
        self.shape.depth().min(CHUNK_HEIGHT)
    }

    /// Room for `more` leaves.
    fn check(&self, more: u64) -> Result<u64, TreeError> {
        let leaves = self.leaves.saturating_add(more);
        let most = self.shape.places();
        if leaves > most {
            return Err(TreeError::Full { leaves, most });
        }
        Ok(leaves)
    }

    /// Takes leaves.
    ///
    /// # Errors
    /// [`TreeError::Full`] if they are more than the places left; none is taken then.
    pub fn push(&mut self, leaves: &[Fr]) -> Result<(), TreeError> {
        let total = self.check(leaves.len() as u64)?;
        let chunk = 1 << self.chunk_height();
        let mut rest = leaves;
        while !rest.is_empty() {
            // Whole chunks are hashed where they lie.
            if self.pending.is_empty() && rest.len() >= chunk {
                let (whole, after) = rest.split_at(chunk);
                self.close(whole);
                rest = after;
                continue;
            }
            let (taken, after) = rest.split_at(rest.len().min(chunk - self.pending.len()));
            self.pending.extend_from_slice(taken);
            rest = after;
            if self.pending.len() == chunk {
                let pending = std::mem::take(&mut self.pending);
                self.close(&pending);
            }
        }
        self.leaves = total;
        Ok(())
    }

    /// Takes a subtree of 2^`height` leaves by its root, computed elsewhere.
    ///
    /// # Errors
    /// [`TreeError::Unaligned`] unless the height is 10 or more (or the depth of the tree) and the leaves before are a multiple of
    /// 2^`height`; [`TreeError::Full`] if it is larger than the places left.
    pub fn push_subtree(&mut self, height: u32, root: Fr) -> Result<(), TreeError> {
        let least = self.chunk_height();
        let leaves = self.leaves;
        let size = 1u64.checked_shl(height).unwrap_or(u64::MAX);
        let total = self.check(size)?;
        if height < least || !leaves.is_multiple_of(size) {
            return Err(TreeError::Unaligned {
                height,
                leaves,
                least,
            });
        }
        self.settle(height, root);
        self.leaves = total;
        Ok(())
    }

    /// The root, with fillers behind the last leaf.
    pub fn root(&self) -> Fr {
        let start = self.chunk_height();
        let mut right = (!self.pending.is_empty()).then(|| self.fold(&self.pending));
        for height in start..self.shape.depth() {
            let waiting = self.waiting.get(height as usize).copied().flatten();
            let empty = self.shape.empty(height);
            right = match (waiting, right) {
                (None, None) => None,
                (left, right) => {
                    let (left, right) = match left {
                        Some(left) => (left, right.unwrap_or(empty)),
                        None => (right.unwrap_or(empty), empty),
                    };
                    Some(self.shape.instance.compress(left, right))
                }
            };
        }
        let full = self.waiting.last().copied().flatten();
        right
            .or(full)
            .unwrap_or_else(|| self.shape.empty(self.shape.depth()))
    }

    /// The subtree of a chunk's height over leaves.
    fn fold(&self, leaves: &[Fr]) -> Fr {
        let mut nodes = leaves.to_vec();
        for height in 0..self.chunk_height() {
            let mut next = Vec::with_capacity(nodes.len().div_ceil(2));
            parents(&self.shape, height, &nodes, |some| next.extend(some));
            nodes = next;
        }
        nodes.first().copied().unwrap_or_default()
    }

    fn close(&mut self, chunk: &[Fr]) {
        let node = self.fold(chunk);
        self.settle(self.chunk_height(), node);
    }

    /// A finished subtree joins the one that waits for it, and so on up.
    fn settle(&mut self, height: u32, node: Fr) {
        let mut node = node;
        for slot in self.waiting.iter_mut().skip(height as usize) {
            match slot.take() {
                Some(left) => node = self.shape.instance.compress(left, node),
                None => {
                    *slot = Some(node);
                    return;
                }
            }
        }
    }
}
