//! The way of a batch of updates through a trie.
//!
//! Every node that they lead to is visited once, with all the updates below it; what becomes of it is noted, and
//! nothing is encoded yet. A branch is its former encoding and the children that change: most of its sixteen are
//! never looked at.

use super::{
    Encoded, NodeSource, Update,
    node::{Items, NodeRef, Shape},
    resident::{self, Tree},
    workspace::{Child, Kind, Outcome, Read, Value, Workspace},
};
use crate::StoreError;
use alloy_primitives::B256;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

/// Most nibbles of a key.
const LONGEST_KEY: usize = 64;

/// A node of the trie as it was before.
#[derive(Clone, Debug)]
pub(super) struct Stored<'a> {
    pub(super) reference: NodeRef,
    /// The node, where it is in memory.
    resident: Option<&'a resident::Node>,
}

/// What there is at a path before the updates.
#[derive(Clone, Debug)]
pub(super) enum Place<'a> {
    Empty,
    Stored(Stored<'a>),
    /// What is left of an extension that forks further up, and the node at its end.
    Rest(Nibbles, Stored<'a>),
}

impl<'a> Place<'a> {
    /// The root of a trie.
    pub(super) fn root(root: &B256, resident: Option<&'a Tree>) -> Self {
        if *root == EMPTY_ROOT_HASH {
            return Self::Empty;
        }
        Self::Stored(Stored {
            reference: NodeRef::word_rlp(root),
            resident: resident.and_then(|tree| tree.root(root)),
        })
    }

    /// A node that is not in memory, by its hash.
    pub(super) fn named(hash: &B256) -> Self {
        Self::Stored(Stored {
            reference: NodeRef::word_rlp(hash),
            resident: None,
        })
    }

    /// A node in memory with this hash.
    pub(super) fn resident(hash: &B256, node: &'a resident::Node) -> Self {
        Self::Stored(Stored {
            reference: NodeRef::word_rlp(hash),
            resident: Some(node),
        })
    }

    /// The node that is there, where it is in memory.
    pub(super) fn node(&self) -> Option<&'a resident::Node> {
        match self {
            Self::Stored(stored) => stored.resident,
            Self::Empty | Self::Rest(..) => None,
        }
    }
}

/// A node that was read, split into its parts.
enum Opened<'a> {
    Leaf(Nibbles),
    Extension(Nibbles, Stored<'a>),
    Branch(OpenBranch<'a>),
}

/// A branch that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenBranch<'a> {
    /// Which node read it is.
    pub(super) read: usize,
    pub(super) shape: Shape,
    resident: Option<&'a resident::Node>,
}

/// A branch in the making.
#[derive(Default)]
pub(super) struct Fork<'a> {
    base: Option<OpenBranch<'a>>,
    /// Bit n: there is a child n.
    present: u16,
    /// Bit n: that is not the one of the base.
    touched: u16,
    children: [Child; 16],
    pub(super) value: Option<Value<'a>>,
}

impl Fork<'_> {
    pub(super) fn put(&mut self, nibble: u8, child: Child) {
        let bit = 1 << nibble;
        self.touched |= bit;
        match child {
            Child::Nothing => self.present &= !bit,
            Child::Made(_) | Child::Kept(_) => self.present |= bit,
        }
        if let Some(place) = self.children.get_mut(usize::from(nibble)) {
            *place = child;
        }
    }
}

/// The new value; an empty one is none.
pub(super) fn put<'a>((_, value): &Update<'a>) -> Option<&'a [u8]> {
    value.filter(|value| !value.is_empty())
}

/// The entry that a leaf would have.
fn given<'a>(update: &Update<'a>) -> Option<(Nibbles, Value<'a>)> {
    Some((update.0, Value::Given(put(update)?)))
}

/// Splits what has the same nibble at `depth` off the front, from entries sorted by their keys; none where there are no
/// more.
pub(super) fn next_run<'a, T>(
    entries: &mut &'a [(Nibbles, T)],
    depth: usize,
) -> Option<(u8, &'a [(Nibbles, T)])> {
    let (first, others) = entries.split_first()?;
    let nibble = first.0.get(depth)?;
    let others = others.iter();
    let same = 1 + others
        .take_while(|(key, _)| key.get(depth) == Some(nibble))
        .count();
    let (run, rest) = entries.split_at(same);
    *entries = rest;
    Some((nibble, run))
}

impl<'a> Workspace<'a> {
    /// Makes `updates`, sorted and each key once, at and below the path `at`, where `place` is. Each key begins with
    /// that path.
    pub(super) fn descend<S: NodeSource>(
        &mut self,
        source: &S,
        place: Place<'a>,
        at: &Nibbles,
        updates: &'a [Update<'a>],
    ) -> Result<Outcome, StoreError> {
        let stored = match place {
            Place::Empty => {
                let entries: Vec<_> = updates.iter().filter_map(given).collect();
                if entries.is_empty() {
                    return Ok(Outcome::Same);
                }
                return Ok(self.build(at, &entries));
            }
            Place::Rest(path, child) => {
                return self.at_extension(source, (path, child), None, at, updates);
            }
            Place::Stored(stored) => stored,
        };
        let (read, opened) = self.read(source, &stored, at)?;
        match opened {
            Opened::Leaf(path) => Ok(self.at_leaf(read, path, at, updates)),
            Opened::Extension(path, child) => {
                self.at_extension(source, (path, child), Some(read), at, updates)
            }
            Opened::Branch(branch) => self.at_branch(source, branch, at, updates),
        }
    }

    /// Reads the root, where it is a branch without a value.
    pub(super) fn open_branch<S: NodeSource>(
        &mut self,
        source: &S,
        place: &Place<'a>,
    ) -> Result<Option<OpenBranch<'a>>, StoreError> {
        let Place::Stored(stored) = place else {
            return Ok(None);
        };
        match self.read(source, stored, &Nibbles::new())?.1 {
            Opened::Branch(branch) if !branch.shape.has_value() => Ok(Some(branch)),
            _ => Ok(None),
        }
    }

    /// Reads a node, and notes that.
    fn read<S: NodeSource>(
        &mut self,
        source: &S,
        stored: &Stored<'a>,
        at: &Nibbles,
    ) -> Result<(usize, Opened<'a>), StoreError> {
        let (encoded, unchecked) = match stored.resident {
            Some(node) => (node.encoded().clone(), None),
            // Whether it is the one that is named is found out at the end, for all at once.
            None => {
                let encoded = source.node(at)?;
                let missing = || source.damaged(at, "the node is missing".to_owned());
                let encoded = Encoded::from(encoded.ok_or_else(missing)?);
                (encoded, Some(Box::new(stored.reference.clone())))
            }
        };
        let read = self.reads.len();
        let opened = open(&encoded, stored.resident, read)
            .map_err(|error| source.damaged(at, error.to_string()))?;
        let end = match &opened {
            Opened::Leaf(path) => at.len() + path.len(),
            Opened::Extension(path, _) => at.len() + path.len() + 1,
            Opened::Branch(_) => at.len() + 1,
        };
        if end > LONGEST_KEY {
            return Err(source.damaged(at, "the path is too long".to_owned()));
        }
        self.reads.push(Read {
            at: *at,
            encoded,
            unchecked,
            stays: false,
        });
        Ok((read, opened))
    }

    /// A child of a branch that was read.
    pub(super) fn child(&self, branch: &OpenBranch<'a>, nibble: u8) -> Place<'a> {
        let encoded = self.reads.get(branch.read).map(|read| &read.encoded[..]);
        let reference =
            encoded.and_then(|encoded| branch.shape.reference(encoded, usize::from(nibble)));
        let Some(reference) = reference else {
            return Place::Empty;
        };
        // Its form was checked when the branch was read.
        let reference = NodeRef::from_raw_rlp(reference).unwrap_or_default();
        let resident = branch
            .resident
            .and_then(|node| node.child(nibble, &reference.as_hash()?));
        Place::Stored(Stored {
            reference,
            resident,
        })
    }

    /// A subtree of nothing but these entries, sorted, each key once.
    pub(super) fn build(&mut self, at: &Nibbles, entries: &[(Nibbles, Value<'a>)]) -> Outcome {
        let (first, last) = match entries {
            [] => return Outcome::Gone,
            [(key, value)] => {
                let slot = self.reserve(at);
                let path = key.slice(at.len()..);
                let value = *value;
                return self.fill(slot, Kind::Leaf { path, value });
            }
            [(first, _), .., (last, _)] => (first, last),
        };
        let slot = self.reserve(at);
        let depth = first.common_prefix_length(last);
        let fork_at = first.slice(..depth);
        let fork_slot = if depth == at.len() {
            slot
        } else {
            self.reserve(&fork_at)
        };
        let mut fork = Fork::default();
        let mut rest = entries;
        if let [(key, value), others @ ..] = rest
            && key.len() == depth
        {
            fork.value = Some(*value);
            rest = others;
        }
        while let Some((nibble, run)) = next_run(&mut rest, depth) {
            if let Outcome::Made(child) = self.build(&super::join(&fork_at, nibble), run) {
                fork.put(nibble, Child::Made(child));
            }
        }
        // Two keys at least, which differ here.
        self.fill_branch(fork_slot, fork);
        if fork_slot != slot {
            let path = first.slice(at.len()..depth);
            let child = Child::Made(fork_slot);
            self.fill(slot, Kind::Extension { path, child });
        }
        Outcome::Made(slot)
    }

    fn at_leaf(
        &mut self,
        read: usize,
        path: Nibbles,
        at: &Nibbles,
        updates: &'a [Update<'a>],
    ) -> Outcome {
        let own = at.join(&path);
        if let [update] = updates
            && update.0 == own
            && let Some(new) = put(update)
        {
            // Another value, as nearly always.
            if new == self.kept(read) {
                return self.same(read);
            }
            let slot = self.reserve(at);
            let value = Value::Given(new);
            return self.fill(slot, Kind::Leaf { path, value });
        }
        let mut entries = Vec::with_capacity(updates.len() + 1);
        let mut changed = false;
        let before = updates.partition_point(|(key, _)| *key < own);
        let (before, rest) = updates.split_at(before);
        let (update, after) = match rest.split_first() {
            Some((update, after)) if update.0 == own => (Some(update), after),
            _ => (None, rest),
        };
        entries.extend(before.iter().filter_map(given));
        match update {
            Some(update) if put(update) != Some(self.kept(read)) => {
                changed = true;
                entries.extend(given(update));
            }
            _ => entries.push((own, Value::Kept(read))),
        }
        entries.extend(after.iter().filter_map(given));
        if !changed && entries.len() == 1 {
            return self.same(read);
        }
        self.build(at, &entries)
    }

    fn at_branch<S: NodeSource>(
        &mut self,
        source: &S,
        branch: OpenBranch<'a>,
        at: &Nibbles,
        updates: &'a [Update<'a>],
    ) -> Result<Outcome, StoreError> {
        let slot = self.reserve(at);
        let mut fork = Fork {
            base: Some(branch),
            present: branch.shape.present(),
            value: branch.shape.has_value().then_some(Value::Kept(branch.read)),
            ..Fork::default()
        };
        let mut rest = updates;
        let mut changed = false;
        if let [update, others @ ..] = rest
            && update.0.len() == at.len()
        {
            let old = fork.value.map(|_| self.kept(branch.read));
            let new = put(update);
            if old != new {
                changed = true;
                fork.value = new.map(Value::Given);
            }
            rest = others;
        }
        while let Some((nibble, run)) = next_run(&mut rest, at.len()) {
            let place = self.child(&branch, nibble);
            let child = match self.descend(source, place, &super::join(at, nibble), run)? {
                Outcome::Same => continue,
                Outcome::Gone => Child::Nothing,
                Outcome::Made(child) => Child::Made(child),
            };
            fork.put(nibble, child);
        }
        if fork.touched == 0 && !changed {
            return Ok(self.same(branch.read));
        }
        self.close(source, slot, at, fork)
    }

    /// What becomes of a branch in the making: one with a single child and no value is none.
    pub(super) fn close<S: NodeSource>(
        &mut self,
        source: &S,
        slot: usize,
        at: &Nibbles,
        mut fork: Fork<'a>,
    ) -> Result<Outcome, StoreError> {
        let value = match (fork.present.count_ones(), fork.value) {
            (0, None) => return Ok(Outcome::Gone),
            (0, Some(value)) => value,
            (1, None) => {
                // There are sixteen.
                let nibble = fork.present.trailing_zeros() as u8;
                return self.only_child(source, slot, at, &mut fork, nibble);
            }
            _ => return Ok(self.fill_branch(slot, fork)),
        };
        let path = Nibbles::new();
        Ok(self.fill(slot, Kind::Leaf { path, value }))
    }

    /// The node in the place of a branch with this child alone. Whether they become one depends on the child's kind.
    fn only_child<S: NodeSource>(
        &mut self,
        source: &S,
        slot: usize,
        at: &Nibbles,
        fork: &mut Fork<'a>,
        nibble: u8,
    ) -> Result<Outcome, StoreError> {
        let path = Nibbles::from_nibbles([nibble]);
        let child = fork.children.get_mut(usize::from(nibble));
        match child.map(std::mem::take).unwrap_or_default() {
            Child::Made(child) => return Ok(self.wrap(slot, path, child)),
            // The end of an extension, which is a branch.
            child @ Child::Kept(_) => {
                return Ok(self.fill(slot, Kind::Extension { path, child }));
            }
            Child::Nothing => {}
        }
        let place = fork.base.map(|base| self.child(&base, nibble));
        let Some(Place::Stored(stored)) = place else {
            return Ok(Outcome::Gone);
        };
        let (read, opened) = self.read(source, &stored, &super::join(at, nibble))?;
        let kind = match opened {
            Opened::Leaf(rest) => Kind::Leaf {
                path: path.join(&rest),
                value: Value::Kept(read),
            },
            Opened::Extension(rest, end) => Kind::Extension {
                path: path.join(&rest),
                child: Child::Kept(Box::new(end.reference)),
            },
            Opened::Branch(_) => {
                self.same(read);
                let child = Child::Kept(Box::new(stored.reference));
                Kind::Extension { path, child }
            }
        };
        Ok(self.fill(slot, kind))
    }

    /// Puts a node that was made behind a stretch of path, which is not empty: paths of leaves and extensions merge.
    pub(super) fn wrap(&mut self, slot: usize, path: Nibbles, made: usize) -> Outcome {
        let work = self.works.get_mut(made);
        let kind = match work.map(|work| std::mem::take(&mut work.kind)) {
            Some(Kind::Leaf { path: rest, value }) => Kind::Leaf {
                path: path.join(&rest),
                value,
            },
            Some(Kind::Extension { path: rest, child }) => Kind::Extension {
                path: path.join(&rest),
                child,
            },
            branch => {
                self.fill(made, branch.unwrap_or_default());
                let child = Child::Made(made);
                Kind::Extension { path, child }
            }
        };
        self.fill(slot, kind)
    }

    fn fill_branch(&mut self, slot: usize, mut fork: Fork<'a>) -> Outcome {
        let start = self.links.len();
        for (nibble, child) in (0u8..).zip(&mut fork.children) {
            if fork.touched >> nibble & 1 == 1 {
                self.links.push((nibble, std::mem::take(child)));
            }
        }
        let links = (start, self.links.len());
        let kind = Kind::Branch {
            base: fork.base.map(|base| (base.read, base.shape)),
            links,
            value: fork.value,
        };
        self.fill(slot, kind)
    }

    /// The root of a trie: `base` with these children in the places of others.
    pub(super) fn root_branch(
        &mut self,
        base: Option<OpenBranch<'a>>,
        children: Vec<(u8, Child)>,
    ) -> Option<Outcome> {
        let mut fork = Fork {
            base,
            present: base.map_or(0, |base| base.shape.present()),
            ..Fork::default()
        };
        for (nibble, child) in children {
            fork.put(nibble, child);
        }
        if fork.present.count_ones() < 2 {
            return None;
        }
        if let (0, Some(base)) = (fork.touched, base) {
            return Some(self.same(base.read));
        }
        let slot = self.reserve(&Nibbles::new());
        Some(self.fill_branch(slot, fork))
    }
}

/// Splits a node, the `read`th, into its parts.
fn open<'a>(
    encoded: &Encoded,
    resident: Option<&'a resident::Node>,
    read: usize,
) -> Result<Opened<'a>, alloy_rlp::Error> {
    let branch = |shape| {
        Opened::Branch(OpenBranch {
            read,
            shape,
            resident,
        })
    };
    if let Some(shape) = resident.and_then(resident::Node::shape) {
        return Ok(branch(shape));
    }
    let items = Items::of(encoded)?;
    if let Some(shape) = items.shape()? {
        return Ok(branch(shape));
    }
    let (path, child) = items.stretch()?;
    let Some(reference) = child else {
        return Ok(Opened::Leaf(path));
    };
    let resident = resident.and_then(|node| node.only_child(&reference.as_hash()?));
    let end = Stored {
        reference,
        resident,
    };
    Ok(Opened::Extension(path, end))
}
