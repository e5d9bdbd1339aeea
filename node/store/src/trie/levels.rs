//! The way of updates through what is in memory of tries, level by level.
//!
//! Nearly all that a block leads through is in memory and keeps its form: branches in which children become others,
//! leaves that get another value. Those are noted here with little more than where they are, all of one depth at once,
//! so that they do not wait for one another on their way from memory. Anything else (a node that is not in memory, a key
//! that is new, one that goes) is left to the walk of [`Workspace`], from where it is met.

use super::{
    ChangedNode, Encoded, NodeChange, NodeSource, Update, finish,
    node::{self, NO_CHILD, NodeRef, Shape},
    resident::Node,
    walk::{Place, next_run, put},
    workspace::{Outcome, Workspace},
};
use crate::StoreError;
use alloy_primitives::B256;
use alloy_trie::Nibbles;
use std::{ops::Range, sync::Arc};

/// Updates of some places, all at one depth, and what becomes of them.
#[derive(Debug, Default)]
pub(super) struct Levels<'a> {
    /// The places, in their order.
    starts: Vec<Next>,
    /// Nodes that are visited, by their depth below the places.
    levels: Vec<Vec<Visit<'a>>>,
    /// Children of visited branches, those of one branch together.
    links: Vec<(u8, Next)>,
    /// What was left to the walk.
    walks: Vec<Walk>,
    workspace: Workspace<'a>,
    /// Nibbles of the paths of the places.
    depth: usize,
    encodings: Arc<Vec<u8>>,
}

/// A node that updates lead to.
#[derive(Debug)]
struct Visit<'a> {
    node: &'a Node,
    /// The hash by which its parent names it.
    named: &'a B256,
    updates: &'a [Update<'a>],
    /// The number of its trie.
    trie: usize,
    becomes: Becomes<'a>,
    /// How its parent refers to what it becomes, and where the encoding of that is.
    reference: NodeRef,
    span: (u32, u32),
}

/// What becomes of a node.
#[derive(Clone, Copy, Debug)]
enum Becomes<'a> {
    Same,
    /// The leaf with this path, in its hex-prefix form, and this value.
    Leaf(&'a [u8], &'a [u8]),
    /// The branch that it was, of this shape, with other children: where in the links they are.
    Branch(Shape, (usize, usize)),
    /// What that walk made of it.
    Walked(usize),
}

/// Where a child that updates lead to is noted.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// In the next level.
    Visit(usize),
    /// In the walks.
    Walk(usize),
}

/// What became of a place; how its parent refers to it.
#[derive(Clone, Copy, Debug)]
pub(super) enum End<'b> {
    Same,
    Gone,
    Made(&'b NodeRef),
}

/// A walk, and what of the workspace is of it.
#[derive(Debug)]
struct Walk {
    trie: usize,
    outcome: Outcome,
    reads: Range<usize>,
    works: Range<usize>,
}

impl<'a> Visit<'a> {
    fn new(node: &'a Node, named: &'a B256, updates: &'a [Update<'a>], trie: usize) -> Self {
        Self {
            node,
            named,
            updates,
            trie,
            becomes: Becomes::Same,
            reference: NodeRef::default(),
            span: (0, 0),
        }
    }

    /// Whether it becomes another node, and that without the walk.
    fn is_made(&self) -> bool {
        matches!(self.becomes, Becomes::Leaf(..) | Becomes::Branch(..))
    }

    /// The node as the walk takes it.
    fn place(&self) -> Place<'a> {
        if self.node.is(self.named) {
            Place::resident(self.named, self.node)
        } else {
            Place::named(self.named)
        }
    }

    /// The path of a node at this depth.
    fn at(&self, depth: usize) -> Nibbles {
        let first = self.updates.first();
        first.map_or_else(Nibbles::new, |(key, _)| key.slice(..depth.min(key.len())))
    }

    /// What becomes of a leaf with one update, which is of its own key.
    fn leaf(&self, depth: usize) -> Option<Becomes<'a>> {
        let [update] = self.updates else {
            return None;
        };
        let (path, old) = node::leaf_parts(self.node.encoded())?;
        let new = put(update).filter(|_| node::is_end_of(path, &update.0, depth))?;
        Some(if new == old {
            Becomes::Same
        } else {
            Becomes::Leaf(path, new)
        })
    }

    /// The shape of a branch below which all updates are.
    fn branch(&self, depth: usize) -> Option<Shape> {
        let shape = self.node.shape().filter(|shape| shape.is_regular())?;
        let (first, _) = self.updates.first()?;
        (first.len() > depth).then_some(shape)
    }
}

impl<'a> Levels<'a> {
    /// For places with paths of so many nibbles.
    pub(super) fn at_depth(depth: usize) -> Self {
        Self {
            depth,
            ..Self::default()
        }
    }

    /// Adds a place with the path `at` in the trie with this number, read from `source`, and its updates, sorted and
    /// each key once.
    pub(super) fn start<S: NodeSource>(
        &mut self,
        (trie, source): (usize, &S),
        place: Place<'a>,
        at: &Nibbles,
        updates: &'a [Update<'a>],
    ) -> Result<(), StoreError> {
        let next = match place.node().filter(|_| !updates.is_empty()) {
            Some(node) => {
                if self.levels.is_empty() {
                    self.levels.push(Vec::new());
                }
                let visit = Visit::new(node, node.hash(), updates, trie);
                let first = self.levels.first_mut();
                first.map_or(Next::Visit(0), |level| push(level, visit))
            }
            None => self.walk((trie, source), place, at, updates)?,
        };
        self.starts.push(next);
        Ok(())
    }

    /// Leaves a place to the walk.
    fn walk<S: NodeSource>(
        &mut self,
        (trie, source): (usize, &S),
        place: Place<'a>,
        at: &Nibbles,
        updates: &'a [Update<'a>],
    ) -> Result<Next, StoreError> {
        let (reads, works) = (self.workspace.reads.len(), self.workspace.works.len());
        let outcome = self.workspace.descend(source, place, at, updates)?;
        let walk = Walk {
            trie,
            outcome,
            reads: reads..self.workspace.reads.len(),
            works: works..self.workspace.works.len(),
        };
        self.walks.push(walk);
        Ok(Next::Walk(self.walks.len() - 1))
    }

    /// Makes all updates, whose sources `source_of` knows by the numbers of their tries.
    pub(super) fn finish<'s, S: NodeSource + 's>(
        &mut self,
        source_of: impl Fn(usize) -> Option<&'s S>,
    ) -> Result<(), StoreError> {
        self.descend(&source_of)?;
        self.ascend(&source_of)?;
        finish::check(&mut self.workspace.reads, |read| {
            let walk = self.walks.partition_point(|walk| walk.reads.end <= read);
            self.walks.get(walk).and_then(|walk| source_of(walk.trie))
        })?;
        self.encode();
        Ok(())
    }

    /// Finds all nodes that the updates lead to.
    fn descend<'s, S: NodeSource + 's>(
        &mut self,
        source_of: impl Fn(usize) -> Option<&'s S>,
    ) -> Result<(), StoreError> {
        let mut level = self.levels.pop().unwrap_or_default();
        let mut depth = self.depth;
        while !level.is_empty() {
            let mut below = Vec::with_capacity(2 * level.len());
            let seen = level
                .iter()
                .fold(0, |seen, visit| seen ^ visit.node.touch());
            std::hint::black_box(seen);
            for visit in &mut level {
                if let Some(source) = source_of(visit.trie) {
                    visit.becomes = self.visit(source, visit, depth, &mut below)?;
                }
            }
            self.levels.push(level);
            level = below;
            depth += 1;
        }
        Ok(())
    }

    /// Notes what becomes of a node, and its children that updates lead to.
    fn visit<S: NodeSource>(
        &mut self,
        source: &S,
        visit: &Visit<'a>,
        depth: usize,
        below: &mut Vec<Visit<'a>>,
    ) -> Result<Becomes<'a>, StoreError> {
        let trie = (visit.trie, source);
        if visit.node.is(visit.named) {
            if let Some(leaf) = visit.leaf(depth) {
                return Ok(leaf);
            }
            if let Some(shape) = visit.branch(depth) {
                let start = self.links.len();
                let encoded = visit.node.encoded();
                let mut rest = visit.updates;
                while let Some((nibble, run)) = next_run(&mut rest, depth) {
                    let named = shape.hash(encoded, nibble);
                    let next = match (named, visit.node.last_child(nibble)) {
                        (Some(named), Some(child)) => {
                            push(below, Visit::new(child, named, run, trie.0))
                        }
                        (named, _) => {
                            let place = named.map_or(Place::Empty, Place::named);
                            let at = super::join(&visit.at(depth), nibble);
                            self.walk(trie, place, &at, run)?
                        }
                    };
                    self.links.push((nibble, next));
                }
                return Ok(Becomes::Branch(shape, (start, self.links.len())));
            }
        }
        self.walk_from(source, visit, depth)
    }

    /// Leaves a node and all below it to the walk.
    fn walk_from<S: NodeSource>(
        &mut self,
        source: &S,
        visit: &Visit<'a>,
        depth: usize,
    ) -> Result<Becomes<'a>, StoreError> {
        let trie = (visit.trie, source);
        Ok(
            match self.walk(trie, visit.place(), &visit.at(depth), visit.updates)? {
                Next::Walk(walk) => Becomes::Walked(walk),
                Next::Visit(_) => Becomes::Same,
            },
        )
    }

    /// Finds which branches stay as they are, and leaves those to the walk that are none any more.
    fn ascend<'s, S: NodeSource + 's>(
        &mut self,
        source_of: impl Fn(usize) -> Option<&'s S>,
    ) -> Result<(), StoreError> {
        let mut levels = std::mem::take(&mut self.levels);
        for number in (0..levels.len()).rev() {
            let (level, below) = one_of(&mut levels, number);
            for visit in level {
                let Becomes::Branch(shape, links) = visit.becomes else {
                    continue;
                };
                let mut present = shape.present();
                let mut same = true;
                for (nibble, next) in self.links(links) {
                    match self.end(*next, below) {
                        End::Same => continue,
                        End::Gone => present &= !(1 << nibble),
                        End::Made(_) => present |= 1 << nibble,
                    }
                    same = false;
                }
                if same {
                    visit.becomes = Becomes::Same;
                } else if present.count_ones() < 2
                    && let Some(source) = source_of(visit.trie)
                {
                    visit.becomes = self.walk_from(source, visit, self.depth + number)?;
                }
            }
        }
        self.levels = levels;
        Ok(())
    }

    /// Encodes and hashes all that was made, level by level from the deepest.
    fn encode(&mut self) {
        let mut levels = std::mem::take(&mut self.levels);
        let nodes: usize = levels.iter().map(Vec::len).sum();
        let mut out = Vec::with_capacity(nodes * finish::USUAL_BYTES);
        finish::encode(&mut self.workspace, &mut out);
        let mut spans = Vec::new();
        for number in (0..levels.len()).rev() {
            let (level, below) = one_of(&mut levels, number);
            spans.clear();
            for visit in &*level {
                let start = out.len();
                match visit.becomes {
                    Becomes::Same | Becomes::Walked(_) => continue,
                    Becomes::Leaf(path, value) => node::encode_leaf_at(path, value, &mut out),
                    Becomes::Branch(shape, links) => {
                        let references = self.links(links).iter();
                        let references =
                            references.filter_map(|(nibble, next)| match self.end(*next, below) {
                                End::Same => None,
                                End::Gone => Some((*nibble, NO_CHILD)),
                                End::Made(reference) => Some((*nibble, &reference[..])),
                            });
                        let base = Some((&visit.node.encoded()[..], shape));
                        finish::encode_branch(base, references, &[], &mut out);
                    }
                }
                spans.push((start, out.len()));
            }
            let mut made = level.iter_mut().filter(|visit| visit.is_made());
            finish::name(&spans, &out, |span, reference| {
                if let Some(visit) = made.next() {
                    (visit.span, visit.reference) = (span, reference);
                }
            });
        }
        self.levels = levels;
        self.encodings = Arc::new(out);
    }

    fn links(&self, (start, end): (usize, usize)) -> &[(u8, Next)] {
        self.links.get(start..end).unwrap_or_default()
    }

    /// What became of a place whose node, where it was visited, is in `level`.
    fn end<'b>(&'b self, next: Next, level: &'b [Visit<'a>]) -> End<'b> {
        let walk = match next {
            Next::Walk(walk) => walk,
            Next::Visit(visit) => match level.get(visit) {
                Some(visit) if visit.is_made() => return End::Made(&visit.reference),
                Some(Visit {
                    becomes: Becomes::Walked(walk),
                    ..
                }) => *walk,
                _ => return End::Same,
            },
        };
        match self.walks.get(walk).map(|walk| walk.outcome) {
            None | Some(Outcome::Same) => End::Same,
            Some(Outcome::Gone) => End::Gone,
            Some(Outcome::Made(made)) => match self.workspace.works.get(made) {
                Some(work) => End::Made(&work.reference),
                None => End::Same,
            },
        }
    }

    /// About how many nodes it made.
    pub(super) fn len(&self) -> usize {
        self.levels.iter().map(Vec::len).sum::<usize>() + self.workspace.works.len()
    }

    /// What became of each place, in their order.
    pub(super) fn ends(&self) -> impl Iterator<Item = End<'_>> {
        let level = self.levels.first().map_or(&[][..], |level| &level[..]);
        self.starts.iter().map(|next| self.end(*next, level))
    }

    /// Adds what differs at and below the place of this number.
    pub(super) fn changes(&self, place: usize, out: &mut Vec<ChangedNode>) {
        if let Some(next) = self.starts.get(place) {
            self.changes_at(*next, 0, out);
        }
    }

    /// Adds what differs at and below a node in a level.
    fn changes_at(&self, next: Next, number: usize, out: &mut Vec<ChangedNode>) {
        let visit = match next {
            Next::Walk(walk) => return self.walked(walk, out),
            Next::Visit(visit) => self.levels.get(number).and_then(|level| level.get(visit)),
        };
        let Some(visit) = visit else { return };
        match visit.becomes {
            Becomes::Same => return,
            Becomes::Walked(walk) => return self.walked(walk, out),
            Becomes::Leaf(..) | Becomes::Branch(..) => {}
        }
        let change = NodeChange {
            before: Some(visit.node.encoded().clone()),
            after: Some(Encoded::part(&self.encodings, visit.span)),
            hash: visit.reference.as_hash(),
        };
        out.push((visit.at(self.depth + number), change));
        if let Becomes::Branch(_, links) = visit.becomes {
            for (_, next) in self.links(links) {
                self.changes_at(*next, number + 1, out);
            }
        }
    }

    /// Adds what a walk changed.
    fn walked(&self, walk: usize, out: &mut Vec<ChangedNode>) {
        if let Some(walk) = self.walks.get(walk)
            && let Some(reads) = self.workspace.reads.get(walk.reads.clone())
            && let Some(works) = self.workspace.works.get(walk.works.clone())
        {
            finish::changes(reads, works, &self.encodings, out);
        }
    }
}

fn push<'a>(level: &mut Vec<Visit<'a>>, visit: Visit<'a>) -> Next {
    level.push(visit);
    Next::Visit(level.len() - 1)
}

/// The level of this number, and the one below it.
fn one_of<'v, 'a>(
    levels: &'v mut [Vec<Visit<'a>>],
    number: usize,
) -> (&'v mut [Visit<'a>], &'v [Visit<'a>]) {
    match levels.get_mut(number..) {
        Some([level, below @ ..]) => (level, below.first().map_or(&[], |below| below)),
        _ => (&mut [], &[]),
    }
}
