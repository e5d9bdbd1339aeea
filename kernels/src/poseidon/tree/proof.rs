//! One proof for many leaves.
//!
//! A proof holds the leaves with their indices in ascending order, and the siblings that cannot be computed from them: level by level
//! from the leaves up, from the left to the right. Both orders are forced, so a proof has one form, as a value and as bytes:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | depth of the tree |
//! | 4 | number of leaves n, big-endian |
//! | 40 n | index (8, big-endian) and leaf (32, big-endian) of each |
//! | 32 s | siblings, big-endian; s follows from the depth and the indices |

use super::{MAX_DEPTH, Shape};
use crate::{field::Fr, poseidon::Instance};

/// Most leaves of one proof.
pub const MAX_PROOF_LEAVES: usize = 1 << 16;

/// Why bytes or parts are no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Not as many bytes as the counts in it ask for.
    #[error(
        "a proof of this depth and these leaves has {expected} bytes, not {given}: send it whole and alone"
    )]
    Length {
        /// Bytes given.
        given: usize,
        /// Bytes expected, as far as that is known.
        expected: usize,
    },
    /// Deeper than [`MAX_DEPTH`].
    #[error("a tree is at most {MAX_DEPTH} levels deep, not {depth}")]
    Depth {
        /// The depth given.
        depth: u32,
    },
    /// No leaves, or more than [`MAX_PROOF_LEAVES`].
    #[error("a proof is of 1 to {MAX_PROOF_LEAVES} leaves, not {leaves}")]
    Leaves {
        /// Leaves given.
        leaves: usize,
    },
    /// An index outside the tree, or not above the one before it.
    #[error(
        "leaf {at} of the proof has an index outside the tree or not above the one before: sort the leaves, name each once"
    )]
    Index {
        /// The leaf's place in the proof.
        at: usize,
    },
    /// Too many or too few siblings.
    #[error("these leaves take {expected} siblings, not {given}")]
    Siblings {
        /// Siblings given.
        given: usize,
        /// Siblings expected.
        expected: usize,
    },
    /// Bytes that are p or more.
    #[error("the number at byte {at} is not below p: no element has two forms")]
    NotCanonical {
        /// Where it starts.
        at: usize,
    },
}

/// Leaves of one tree, and what it takes to compute the root from them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MultiProof {
    depth: u32,
    pub(super) leaves: Vec<(u64, Fr)>,
    pub(super) siblings: Vec<Fr>,
}

/// The claim that a proof's leaves stand in the tree with a root.
#[derive(Clone, Copy, Debug)]
pub struct ProofClaim<'a> {
    /// The tree's root.
    pub root: Fr,
    /// The tree's depth, as the verifier knows it: a proof of another depth is refused, since it could show an inner node as a leaf.
    pub depth: u32,
    /// The proof.
    pub proof: &'a MultiProof,
}

/// Walks up from ascending indices: `sibling` hears height and index of each node that is not computed, in the order of the proof.
fn missing(depth: u32, indices: &mut Vec<u64>, mut sibling: impl FnMut(u32, u64)) {
    for height in 0..depth {
        let mut at = 0;
        while let Some(index) = indices.get(at) {
            if index & 1 == 0 && indices.get(at + 1) == Some(&(index + 1)) {
                at += 2;
            } else {
                sibling(height, index ^ 1);
                at += 1;
            }
        }
        indices.iter_mut().for_each(|index| *index >>= 1);
        indices.dedup();
    }
}

impl MultiProof {
    /// The proof of leaves, with siblings from `node`, which takes height and index. The leaves are known to be right.
    pub(super) fn take(depth: u32, leaves: Vec<(u64, Fr)>, node: impl Fn(u32, u64) -> Fr) -> Self {
        let mut siblings = Vec::new();
        let mut indices = leaves.iter().map(|(index, _)| *index).collect();
        missing(depth, &mut indices, |height, at| {
            siblings.push(node(height, at))
        });
        Self {
            depth,
            leaves,
            siblings,
        }
    }

    /// A proof from its parts: leaves by ascending index, siblings as the module says.
    ///
    /// # Errors
    /// [`ProofError`] unless there are 1 to [`MAX_PROOF_LEAVES`] leaves in order inside the tree, and just the siblings they take.
    pub fn new(depth: u32, leaves: Vec<(u64, Fr)>, siblings: Vec<Fr>) -> Result<Self, ProofError> {
        let expected = Self::check(depth, leaves.iter().map(|(index, _)| *index).collect())?;
        if siblings.len() != expected {
            return Err(ProofError::Siblings {
                given: siblings.len(),
                expected,
            });
        }
        Ok(Self {
            depth,
            leaves,
            siblings,
        })
    }

    /// How many siblings leaves at these indices take.
    fn check(depth: u32, mut indices: Vec<u64>) -> Result<usize, ProofError> {
        if depth > MAX_DEPTH {
            return Err(ProofError::Depth { depth });
        }
        if indices.is_empty() || indices.len() > MAX_PROOF_LEAVES {
            return Err(ProofError::Leaves {
                leaves: indices.len(),
            });
        }
        let mut least = 0;
        for (at, index) in indices.iter().enumerate() {
            if *index < least || index >> depth != 0 {
                return Err(ProofError::Index { at });
            }
            least = index + 1;
        }
        let mut count = 0;
        missing(depth, &mut indices, |_, _| count += 1);
        Ok(count)
    }

    /// Depth of the tree that it speaks of.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// Index and value of each leaf, by ascending index.
    pub fn leaves(&self) -> &[(u64, Fr)] {
        &self.leaves
    }

    /// The siblings.
    pub fn siblings(&self) -> &[Fr] {
        &self.siblings
    }

    /// The proof in bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(5 + 40 * self.leaves.len() + 32 * self.siblings.len());
        // Both were checked when the proof was made.
        out.push(self.depth as u8);
        out.extend((self.leaves.len() as u32).to_be_bytes());
        for (index, leaf) in &self.leaves {
            out.extend(index.to_be_bytes());
            out.extend(leaf.to_bytes_be());
        }
        for sibling in &self.siblings {
            out.extend(sibling.to_bytes_be());
        }
        out
    }

    /// The proof of bytes; takes them all or none. Memory is bounded by their number.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofError> {
        let short = |expected: usize| ProofError::Length {
            given: bytes.len(),
            expected,
        };
        let (head, rest) = bytes.split_at_checked(5).ok_or(short(5))?;
        let [depth, count @ ..] = head else {
            return Err(short(5));
        };
        let count = count
            .iter()
            .fold(0u32, |value, byte| value << 8 | u32::from(*byte)) as usize;
        if count == 0 || count > MAX_PROOF_LEAVES {
            return Err(ProofError::Leaves { leaves: count });
        }
        let (entries, tail) = rest
            .split_at_checked(40 * count)
            .ok_or(short(5 + 40 * count))?;
        let (entries, _) = entries.as_chunks::<40>();
        let indices = entries
            .iter()
            .filter_map(|entry| entry.first_chunk::<8>())
            .map(|index| u64::from_be_bytes(*index))
            .collect();
        let expected = Self::check(u32::from(*depth), indices)?;
        if tail.len() != 32 * expected {
            return Err(short(5 + 40 * count + 32 * expected));
        }
        let element = |at: usize, bytes: &[u8; 32]| {
            Fr::from_bytes_be(bytes).map_err(|_| ProofError::NotCanonical { at })
        };
        let mut leaves = Vec::with_capacity(count);
        for (n, entry) in entries.iter().enumerate() {
            if let (Some(index), Some(leaf)) = (entry.first_chunk::<8>(), entry.last_chunk::<32>())
            {
                let leaf = element(5 + 40 * n + 8, leaf)?;
                leaves.push((u64::from_be_bytes(*index), leaf));
            }
        }
        let (nodes, _) = tail.as_chunks::<32>();
        let siblings = nodes
            .iter()
            .enumerate()
            .map(|(n, node)| element(5 + 40 * count + 32 * n, node))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            depth: u32::from(*depth),
            leaves,
            siblings,
        })
    }
}

/// A proof on its way up.
struct Climb<'a> {
    nodes: Vec<(u64, Fr)>,
    siblings: std::slice::Iter<'a, Fr>,
    depth: u32,
}

impl Climb<'_> {
    /// The pairs under the parents of its nodes.
    fn pairs(&mut self, pairs: &mut Vec<[Fr; 2]>) {
        let mut nodes = self.nodes.iter().peekable();
        while let Some((index, node)) = nodes.next() {
            pairs.push(if index & 1 == 1 {
                [self.siblings.next().copied().unwrap_or_default(), *node]
            } else if let Some((_, right)) = nodes.next_if(|(next, _)| *next == index + 1) {
                [*node, *right]
            } else {
                [*node, self.siblings.next().copied().unwrap_or_default()]
            });
        }
    }

    /// Replaces its nodes by their parents.
    fn rise(&mut self, parents: &mut impl Iterator<Item = Fr>) {
        self.nodes.iter_mut().for_each(|(index, _)| *index >>= 1);
        self.nodes.dedup_by_key(|(index, _)| *index);
        for ((_, node), parent) in self.nodes.iter_mut().zip(parents) {
            *node = parent;
        }
    }
}

impl Shape {
    /// Whether the proof's leaves stand in the tree of this shape with `root`.
    pub fn verify(&self, root: Fr, proof: &MultiProof) -> bool {
        let claim = ProofClaim {
            root,
            depth: self.depth(),
            proof,
        };
        self.instance.verify_proofs(&[claim]) == [true]
    }
}

impl Instance {
    /// Whether each claim is right. All proofs climb together, so that their compressions fill the vector lanes.
    pub fn verify_proofs(self, claims: &[ProofClaim<'_>]) -> Vec<bool> {
        let mut climbs: Vec<Climb<'_>> = claims
            .iter()
            .map(|claim| Climb {
                nodes: claim.proof.leaves.clone(),
                siblings: claim.proof.siblings.iter(),
                depth: claim.proof.depth,
            })
            .collect();
        let deepest = climbs.iter().map(|climb| climb.depth).max().unwrap_or(0);
        let mut pairs = Vec::new();
        for height in 0..deepest {
            pairs.clear();
            let rising = |climb: &&mut Climb<'_>| climb.depth > height;
            climbs
                .iter_mut()
                .filter(rising)
                .for_each(|climb| climb.pairs(&mut pairs));
            let mut parents = self.compress_many(&pairs).into_iter();
            climbs
                .iter_mut()
                .filter(rising)
                .for_each(|climb| climb.rise(&mut parents));
        }
        claims
            .iter()
            .zip(climbs)
            .map(|(claim, climb)| {
                claim.depth == claim.proof.depth && climb.nodes == [(0, claim.root)]
            })
            .collect()
    }
}
