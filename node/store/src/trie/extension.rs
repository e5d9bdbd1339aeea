//! The way through an extension: keys follow it, or leave it, and then it forks.

use super::{
    NodeSource, Update, join,
    walk::{Fork, Place, Stored, next_run, put},
    workspace::{Child, Kind, Outcome, Value, Workspace},
};
use crate::StoreError;
use alloy_trie::Nibbles;

impl<'a> Workspace<'a> {
    /// An extension, or what is left of one (then `read` is none: it is no node yet).
    pub(super) fn at_extension<S: NodeSource>(
        &mut self,
        source: &S,
        (path, child): (Nibbles, Stored<'a>),
        read: Option<usize>,
        at: &Nibbles,
        updates: &'a [Update<'a>],
    ) -> Result<Outcome, StoreError> {
        let whole = at.join(&path);
        // Removals of what lies elsewhere remove nothing.
        let forks_at = updates
            .iter()
            .map(|update| match put(update) {
                Some(_) => update.0.common_prefix_length(&whole),
                None => whole.len(),
            })
            .min()
            .unwrap_or(whole.len());
        let slot = self.reserve(at);
        if forks_at < whole.len() {
            let behind = (path, child);
            return self.fork_extension(source, slot, behind, forks_at, at, updates);
        }
        let start = updates.partition_point(|(key, _)| *key < whole);
        let below = updates.get(start..).unwrap_or_default();
        let end = below.partition_point(|(key, _)| key.starts_with(&whole));
        let below = below.get(..end).unwrap_or_default();
        let outcome = if below.is_empty() {
            Outcome::Same
        } else {
            self.descend(source, Place::Stored(child.clone()), &whole, below)?
        };
        Ok(match (outcome, read) {
            (Outcome::Same, Some(read)) => self.same(read),
            (Outcome::Same, None) => {
                let child = Child::Kept(Box::new(child.reference));
                self.fill(slot, Kind::Extension { path, child })
            }
            (Outcome::Gone, _) => Outcome::Gone,
            (Outcome::Made(made), _) => self.wrap(slot, path, made),
        })
    }

    /// An extension that a key leaves at the depth `forks_at`.
    fn fork_extension<S: NodeSource>(
        &mut self,
        source: &S,
        slot: usize,
        (path, child): (Nibbles, Stored<'a>),
        forks_at: usize,
        at: &Nibbles,
        updates: &'a [Update<'a>],
    ) -> Result<Outcome, StoreError> {
        let before = path.slice(..forks_at - at.len());
        let fork_at = at.join(&before);
        let rest = path.slice(forks_at - at.len()..);
        let fork_slot = if before.is_empty() {
            slot
        } else {
            self.reserve(&fork_at)
        };
        let start = updates.partition_point(|(key, _)| *key < fork_at);
        let mut updates = updates.get(start..).unwrap_or_default();
        let end = updates.partition_point(|(key, _)| key.starts_with(&fork_at));
        updates = updates.get(..end).unwrap_or_default();
        let mut fork = Fork::default();
        if let [update, others @ ..] = updates
            && update.0.len() == forks_at
        {
            fork.value = put(update).map(Value::Given);
            updates = others;
        }
        let onward = rest.first();
        for nibble in 0u8..16 {
            let mut run: &[Update<'_>] = &[];
            if updates.first().and_then(|(key, _)| key.get(forks_at)) == Some(nibble)
                && let Some((_, found)) = next_run(&mut updates, forks_at)
            {
                run = found;
            }
            let below = join(&fork_at, nibble);
            let was_here = onward == Some(nibble);
            let place = match (was_here, rest.len()) {
                (false, _) => Place::Empty,
                (true, 1) => Place::Stored(child.clone()),
                (true, _) => Place::Rest(rest.slice(1..), child.clone()),
            };
            let outcome = match place {
                // Nobody asks for the node itself.
                Place::Empty | Place::Stored(_) if run.is_empty() => Outcome::Same,
                place => self.descend(source, place, &below, run)?,
            };
            match outcome {
                Outcome::Made(made) => fork.put(nibble, Child::Made(made)),
                Outcome::Same if was_here => {
                    fork.put(nibble, Child::Kept(Box::new(child.reference.clone())));
                }
                Outcome::Same | Outcome::Gone => {}
            }
        }
        match self.close(source, fork_slot, &fork_at, fork)? {
            Outcome::Made(made) if made != slot => Ok(self.wrap(slot, before, made)),
            outcome => Ok(outcome),
        }
    }
}
