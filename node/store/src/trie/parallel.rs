//! A large update of one trie on several threads: what is below each child of its root does not touch
//! what is below another.

use super::{
    NodeChanges, NodeSource, Update, finish,
    node::NodeRef,
    resident::Tree,
    walk::{Place, next_run},
    workspace::{Child, Outcome, Workspace},
};
use crate::{StoreError, beside};
use alloy_primitives::B256;
use alloy_trie::Nibbles;

/// What becomes of a child of the root.
enum Part {
    Same,
    Gone,
    Made(NodeRef),
}

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
    let done = beside::each(&parts, |(nibble, place, run)| {
        let mut workspace = Workspace::default();
        let at = Nibbles::from_nibbles([*nibble]);
        place.warm(at.len(), run);
        let outcome = workspace.descend(&source, place.clone(), &at, run)?;
        finish::check(&mut workspace.reads, |_| Some(&source))?;
        let encodings = finish::encode(&mut workspace);
        let part = match outcome {
            Outcome::Same => Part::Same,
            Outcome::Gone => Part::Gone,
            Outcome::Made(index) => {
                let made = workspace.works.get(index).map(|work| &work.reference);
                Part::Made(made.cloned().unwrap_or_default())
            }
        };
        let Workspace { reads, works, .. } = workspace;
        Ok((*nibble, part, finish::changes(reads, works, &encodings)))
    });
    let mut children = Vec::with_capacity(done.len());
    let mut below = Vec::with_capacity(done.len());
    for done in done {
        let (nibble, part, changes) = done?;
        match part {
            Part::Same => {}
            Part::Gone => children.push((nibble, Child::Nothing)),
            Part::Made(reference) => children.push((nibble, Child::Kept(Box::new(reference)))),
        }
        below.push(changes);
    }
    let Some(outcome) = top.root_branch(base, children) else {
        return Ok(None);
    };
    finish::check(&mut top.reads, |_| Some(&source))?;
    let encodings = finish::encode(&mut top);
    let root = finish::root_hash(root, outcome, &top.works);
    let mut changes = finish::changes(top.reads, top.works, &encodings);
    changes.reserve(below.iter().map(Vec::len).sum());
    for mut part in below {
        changes.append(&mut part);
    }
    Ok(Some((root, changes)))
}
