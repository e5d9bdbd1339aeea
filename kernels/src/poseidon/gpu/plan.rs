//! What one submission computes: the words that go up and where results belong.

use super::shaders::Mode;
use crate::{
    field::Fr,
    poseidon::{Instance, MAX_INPUTS, MerklePath, length_tag, levels::Permutation},
};

/// Bounds of a submission.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Threads.
    pub(super) count: usize,
    /// Permutations of all threads together.
    pub(super) work: usize,
    /// Elements that go up.
    pub(super) elements: usize,
}

/// One submission.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) which: Permutation,
    pub(super) mode: Mode,
    /// Elements of a result.
    pub(super) rows: usize,
    /// The elements, eight words each.
    pub(super) words: Vec<u64>,
    pub(super) places: Vec<u32>,
    /// For each thread, where its result belongs in the batch.
    pub(super) order: Vec<usize>,
}

impl Plan {
    fn new(which: Permutation, mode: Mode, rows: usize) -> Self {
        Self {
            which,
            mode,
            rows,
            words: Vec::new(),
            places: Vec::new(),
            order: Vec::new(),
        }
    }

    fn push(&mut self, element: Fr) {
        self.words.extend(element.montgomery());
    }

    fn elements(&self) -> usize {
        self.words.len() / 4
    }
}

/// Cuts `states` into submissions.
pub(super) fn states(which: Permutation, rows: usize, states: &[Fr], bounds: Bounds) -> Vec<Plan> {
    cut(which, Mode::States, rows, which.width(), states, bounds)
}

/// Cuts pairs into submissions.
pub(super) fn pairs(which: Permutation, pairs: &[[Fr; 2]], bounds: Bounds) -> Vec<Plan> {
    cut(which, Mode::Pairs, 1, 2, pairs.as_flattened(), bounds)
}

fn cut(
    which: Permutation,
    mode: Mode,
    rows: usize,
    width: usize,
    elements: &[Fr],
    bounds: Bounds,
) -> Vec<Plan> {
    let most = bounds.count.min(bounds.elements / width).max(1);
    let mut plans = Vec::new();
    for (part, elements) in elements.chunks(most * width).enumerate() {
        let mut plan = Plan::new(which, mode, rows);
        plan.words = elements.iter().flat_map(|e| e.montgomery()).collect();
        let start = part * most;
        plan.order = (start..start + elements.len() / width).collect();
        plans.push(plan);
    }
    plans
}

/// Lists that the instance takes, longest first, so that threads side by side have as many steps.
pub(super) fn lists(instance: Instance, lists: &[&[Fr]], bounds: Bounds) -> Vec<Plan> {
    let mut order: Vec<usize> = (0..lists.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(lists[*at].len()));
    let mut plans = Vec::new();
    match instance {
        Instance::Circom => {
            // Each length is a permutation of its own.
            for group in order.chunk_by(|a, b| lists[*a].len() == lists[*b].len()) {
                let width = group.first().map_or(1, |at| lists[*at].len() + 1);
                let most = bounds.count.min(bounds.elements / width).max(1);
                for group in group.chunks(most) {
                    let mut plan = Plan::new(Permutation::Poseidon(width), Mode::States, 1);
                    for at in group {
                        plan.push(Fr::ZERO);
                        lists[*at].iter().for_each(|input| plan.push(*input));
                    }
                    plan.order = group.to_vec();
                    plans.push(plan);
                }
            }
        }
        Instance::Poseidon2 | Instance::Gnark => {
            let (which, rate) = match instance {
                Instance::Gnark => (Permutation::Gnark, 1),
                _ => (Permutation::Poseidon2, 2),
            };
            let mut packer = Packer::new(which, Mode::Lists, bounds);
            for at in order {
                let list = lists[at];
                let blocks = list.len().div_ceil(rate).max(1);
                let start = match instance {
                    Instance::Gnark => Fr::ZERO,
                    _ => length_tag(list.len()),
                };
                let padding = blocks * rate - list.len();
                let inputs = list.iter().copied();
                let filled = inputs.chain(std::iter::repeat_n(Fr::ZERO, padding));
                packer.add(at, blocks, 0, std::iter::once(start).chain(filled));
            }
            plans = packer.plans;
        }
    }
    plans
}

/// Paths whose index is inside their tree, deepest first; the results are the roots that they lead to.
pub(super) fn paths(which: Permutation, paths: &[MerklePath<'_>], bounds: Bounds) -> Vec<Plan> {
    let mut order: Vec<usize> = (0..paths.len()).filter(|at| paths[*at].fits()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(paths[*at].siblings.len()));
    let mut packer = Packer::new(which, Mode::Paths, bounds);
    for at in order {
        let path = &paths[at];
        let elements = std::iter::once(path.leaf).chain(path.siblings.iter().copied());
        packer.add(at, path.siblings.len(), path.index, elements);
    }
    packer.plans
}

/// Fills plan after plan with threads of several steps.
struct Packer {
    which: Permutation,
    mode: Mode,
    bounds: Bounds,
    plans: Vec<Plan>,
    work: usize,
}

impl Packer {
    fn new(which: Permutation, mode: Mode, bounds: Bounds) -> Self {
        Self {
            which,
            mode,
            bounds,
            plans: Vec::new(),
            work: 0,
        }
    }

    fn add(&mut self, at: usize, steps: usize, index: u64, elements: impl Iterator<Item = Fr>) {
        // A thread reads at most an element for each input, one to start with and one of padding.
        let longest = MAX_INPUTS + 2;
        let bounds = self.bounds;
        let full = self.plans.last().is_none_or(|plan| {
            plan.order.len() >= bounds.count
                || self.work + steps > bounds.work
                || plan.elements() + longest > bounds.elements
        });
        if full {
            self.plans.push(Plan::new(self.which, self.mode, 1));
            self.work = 0;
        }
        self.work += steps;
        if let Some(plan) = self.plans.last_mut() {
            // Elements are fewer than 2^32 words, as the bounds are.
            let start = plan.elements() as u32;
            plan.places
                .extend([start, steps as u32, index as u32, (index >> 32) as u32]);
            elements.for_each(|element| plan.push(element));
            plan.order.push(at);
        }
    }
}
