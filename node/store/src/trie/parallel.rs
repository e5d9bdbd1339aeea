//! A large update of one trie on several threads: what is below each child of its root does not touch
//! what is below another.

use super::{
    NodeChanges, NodeSource, Trie, Update,
    finish::encode_all,
    loaded::{Branch, Loaded, Slot},
};
use crate::StoreError;
use alloy_primitives::B256;
use alloy_trie::Nibbles;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

/// Fewest updates that are worth waking threads for.
pub const PARALLEL_FROM: usize = 96;

/// Makes all `updates` of the trie with this root, whose nodes are in `source`: root hash and changed nodes.
/// Of several updates of one key the last one counts.
///
/// # Errors
///
/// [`StoreError`] where a node cannot be read, is damaged or is not the one its parent names.
pub fn update<S: NodeSource + Copy + Send + Sync>(
    source: S,
    root: B256,
    mut updates: Vec<Update>,
) -> Result<(B256, NodeChanges), StoreError> {
    // Neighbours are found together, and nodes are read in the order of their paths.
    updates.sort_by_key(|(key, _)| *key);
    let mut trie = Trie::open(source, root);
    if updates.len() >= PARALLEL_FROM
        && updates.first().is_some_and(|(key, _)| !key.is_empty())
        && let Some(branch) = trie.take_branch()?
    {
        return in_parts(trie, branch, updates);
    }
    for update in updates {
        trie.set(update)?;
    }
    trie.finish()
}

impl<S: NodeSource> Trie<S> {
    /// Takes the root out, where it is a branch without a value, or nothing, which is as good.
    fn take_branch(&mut self) -> Result<Option<Branch>, StoreError> {
        let mut root = std::mem::take(&mut self.root);
        self.load(&mut root, &Nibbles::new())?;
        let Slot::Loaded(node) = root else {
            return Ok(Some(Branch::default()));
        };
        match *node {
            Loaded::Branch(branch) if branch.value.is_none() => Ok(Some(*branch)),
            other => {
                self.root = Slot::Loaded(Box::new(other));
                Ok(None)
            }
        }
    }
}

/// The update of `trie`, whose root `branch` is. No key is empty.
fn in_parts<S: NodeSource + Copy + Send + Sync>(
    mut trie: Trie<S>,
    branch: Branch,
    updates: Vec<Update>,
) -> Result<(B256, NodeChanges), StoreError> {
    let mut nibbles = 0u8..;
    let mut parts = branch.into_children().map(|child| {
        let base = Nibbles::from_nibbles([nibbles.next().unwrap_or_default()]);
        (Trie::part(trie.source, base, child), Vec::new())
    });
    for (key, value) in updates {
        if let Some((_, updates)) = key.first().and_then(|at| parts.get_mut(usize::from(at))) {
            updates.push((key.slice(1..), value));
        }
    }
    let parts = parts
        .into_par_iter()
        .map(|(mut part, updates)| {
            for update in updates {
                part.set(update)?;
            }
            Ok(part)
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
    let mut branch = Branch::default();
    let left = parts
        .iter()
        .filter(|part| !matches!(part.root, Slot::Empty));
    if left.count() < 2 {
        // It is no branch any more.
        for (child, mut part) in branch.children.iter_mut().zip(parts) {
            *child = part.root;
            trie.read.append(&mut part.read);
        }
        trie.root = trie.shrink(branch, &Nibbles::new())?;
        return trie.finish();
    }
    let parts = parts
        .into_par_iter()
        .map(|part| encode_all(vec![part]))
        .collect::<Result<Vec<_>, StoreError>>()?;
    let mut nodes = Vec::new();
    for (child, mut part) in branch.children.iter_mut().zip(parts.into_iter().flatten()) {
        if let Some(reference) = part.root {
            *child = Slot::stored(reference);
        }
        trie.read.append(&mut part.read);
        nodes.append(&mut part.nodes);
    }
    trie.root = Slot::branch(branch);
    let mut whole = encode_all(vec![trie])?.pop().unwrap_or_default();
    whole.nodes.append(&mut nodes);
    Ok(whole.changes())
}
