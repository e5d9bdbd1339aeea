//! A large update of one trie on several threads: what is below each child of its root does not touch
//! what is below another.

use super::{
    NodeChanges, NodeSource, Update, finish,
    levels::{End, Levels},
    resident::Tree,
    walk::{Place, next_run},
    workspace::{Child, Outcome, Workspace},
};
use crate::{StoreError, beside};
use alloy_primitives::B256;
use alloy_trie::Nibbles;
use std::sync::Arc;

/// Into how many groups the children of the root are divided. Nodes of a group are hashed together, which is quickest
/// where there are many, and a thread takes one after another, so that those with more time do more of them.
const GROUPS: usize = 8;

/// The update, where the root is a branch before and after; `None` where it is not.
pub(super) fn in_parts<S: NodeSource + Copy + Send + Sync>(
    source: S,
    root: B256,
    resident: Option<&Tree>,
    mut updates: &[Update<'_>],
) -> Result<Option<(B256, NodeChanges)>, StoreError> {
    let mut top = Workspace::default();
    let place = Place::root(&root, resident);
    let base = top.open_branch(&source, &place)?;
    let starts_with_none = updates.first().is_none_or(|(key, _)| key.is_empty());
    if starts_with_none || (base.is_none() && !matches!(place, Place::Empty)) {
        return Ok(None);
    }
    let mut parts = Vec::with_capacity(16);
    while let Some((nibble, run)) = next_run(&mut updates, 0) {
        let place = match &base {
            Some(base) => top.child(base, nibble),
            None => Place::Empty,
        };
        parts.push((nibble, place, run));
    }
    let groups: Vec<_> = parts.chunks(parts.len().div_ceil(GROUPS)).collect();
    let done = beside::each(&groups, |group| {
        let mut levels = Levels::at_depth(1);
        for (nibble, place, run) in *group {
            let at = Nibbles::from_nibbles([*nibble]);
            levels.start((0, &source), place.clone(), &at, run)?;
        }
        levels.finish(|_| Some(&source))?;
        let mut changes = Vec::with_capacity(levels.len());
        let ends = group.iter().zip(levels.ends()).enumerate();
        let children = ends.filter_map(|(number, ((nibble, ..), end))| {
            levels.changes(number, &mut changes);
            match end {
                End::Same => None,
                End::Gone => Some((*nibble, Child::Nothing)),
                End::Made(reference) => Some((*nibble, Child::Kept(Box::new(reference.clone())))),
            }
        });
        let children: Vec<_> = children.collect();
        Ok((children, changes))
    });
    let mut children = Vec::with_capacity(parts.len());
    let mut below = Vec::with_capacity(done.len());
    for done in done {
        let (some, changes) = done?;
        children.extend(some);
        below.push(changes);
    }
    let Some(outcome) = top.root_branch(base, children) else {
        return Ok(None);
    };
    finish::check(&mut top.reads, |_| Some(&source))?;
    let mut encodings = Vec::new();
    finish::encode(&mut top, &mut encodings);
    let made = match outcome {
        Outcome::Made(made) => top.works.get(made),
        Outcome::Same | Outcome::Gone => None,
    };
    let root = made.map_or(root, |work| finish::root_hash(&work.reference));
    let mut of_root = Vec::with_capacity(1);
    finish::changes(&top.reads, &top.works, &Arc::new(encodings), &mut of_root);
    let mut changes = NodeChanges::from(of_root);
    for part in below {
        changes.append(part);
    }
    Ok(Some((root, changes)))
}
