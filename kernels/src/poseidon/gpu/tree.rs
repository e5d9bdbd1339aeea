//! A Merkle tree whose levels stay in device memory.

use super::{
    BatchHasher, HashError, IN_FLIGHT, LABEL, Program, element,
    shaders::{Batch, Mode, NEW_LEFT, NEW_RIGHT, PARTIAL},
    unfinished,
};
use crate::{
    field::Fr,
    gpu::{Buffer, Device, GpuError, UNIFORM_STRIDE},
    poseidon::tree::{MAX_LEAVES, Shape, TreeError},
};
use std::{collections::VecDeque, ops::Range};
use wgpu::BufferUsages as Usage;

/// Bytes of a node and its mark.
const NODE: u64 = 36;
/// Dispatches of one submission.
const DISPATCHES: usize = 64;
/// Nodes that are read back at once.
const READ: u64 = 1 << 16;
/// Marks count passes below this.
const EPOCHS: u32 = 1 << 30;

/// A tree of a [`Shape`], as [`Tree`](crate::poseidon::tree::Tree) has it, on a device: leaves go up in chunks, the levels are hashed
/// and stay there, roots and nodes are read back when asked for. The bits are the CPU's.
///
/// Each node has a mark, which tells the pass that wrote it; a node is computed only from children whose marks are right. So a root
/// that carries its mark was computed from the bottom up, and any other is an error. After an error the tree is of no use.
#[derive(Debug)]
pub struct DeviceTree {
    device: Device,
    program: Program,
    layout: wgpu::BindGroupLayout,
    shape: Shape,
    threads: u32,
    max_batch: u64,
    reverse: bool,
    /// Most leaves.
    capacity: u64,
    /// Nodes of a buffer, a power of two.
    segment: u64,
    /// By height, the nodes from the left: of each buffer first the nodes, then their marks.
    levels: Vec<Vec<Segment>>,
    leaves: u64,
    /// By height: nodes that stand above leaves only and are hashed.
    done: Vec<u64>,
    /// Whether leaves came since the last root.
    open: bool,
    epoch: u32,
    /// The mark that the root must carry.
    root_mark: u32,
    queue: Queue,
}

#[derive(Debug)]
struct Segment {
    buffer: Buffer,
    nodes: u64,
}

/// Submissions whose end nobody has waited for.
#[derive(Debug, Default)]
struct Queue {
    flying: VecDeque<wgpu::SubmissionIndex>,
}

/// A dispatch: which segments, how much, and the uniform.
#[derive(Debug)]
struct Step {
    scatter: bool,
    /// Height and number of the segment that is read; nothing for leaves from the host.
    from: Option<(usize, usize)>,
    to: (usize, usize),
    batch: Batch,
}

/// Elements as words of the device.
fn words(elements: &[Fr]) -> Vec<u64> {
    elements.iter().flat_map(|e| e.montgomery()).collect()
}

impl DeviceTree {
    /// A tree without leaves, with room for `capacity` of them. Takes two nodes of 36 bytes a leaf on the device, at once.
    ///
    /// # Errors
    /// [`TreeError::Memory`] for more than [`MAX_LEAVES`], [`TreeError::Full`] for more than the shape has places, and [`GpuError`] if
    /// the device has no such memory or was lost.
    pub fn new(hasher: &mut BatchHasher, shape: Shape, capacity: u64) -> Result<Self, HashError> {
        if capacity > MAX_LEAVES {
            let most = MAX_LEAVES;
            return Err(TreeError::Memory {
                leaves: capacity,
                most,
            }
            .into());
        }
        if capacity > shape.places() {
            let most = shape.places();
            return Err(TreeError::Full {
                leaves: capacity,
                most,
            }
            .into());
        }
        let program = hasher.program(shape.instance().compression())?;
        let device = hasher.device.clone();
        // A power of two, at least 8, and what a binding holds; a place in a touched list has 30 bits.
        let fits = (device.largest_binding() / NODE).clamp(8, 1 << 26);
        let wanted = (hasher.tuning.segment as u64).clamp(8, fits);
        let segment = 1 << wanted.ilog2();
        let levels = device.scoped(|| {
            (0..=shape.depth())
                .map(|height| {
                    // Even, so that a last node has a place for the filler beside it.
                    let nodes = capacity.div_ceil(1 << height).max(1).next_multiple_of(2);
                    let segments = nodes.div_ceil(segment);
                    let storage = Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC;
                    (0..segments)
                        .map(|at| {
                            let nodes = (nodes - at * segment).min(segment);
                            let buffer = device.buffer(LABEL, nodes * NODE, storage);
                            Segment { buffer, nodes }
                        })
                        .collect()
                })
                .collect()
        })?;
        Ok(Self {
            device,
            program,
            layout: hasher.layout.clone(),
            threads: hasher.tuning.threads,
            max_batch: hasher.bounds.count as u64,
            reverse: hasher.tuning.reverse,
            capacity,
            segment,
            levels,
            leaves: 0,
            done: vec![0; shape.depth() as usize + 1],
            open: false,
            epoch: 1,
            root_mark: 0,
            shape,
            queue: Queue::default(),
        })
    }

    /// The tree over a stream of leaves; `progress` hears how many went up, after each chunk and at the end.
    ///
    /// # Errors
    /// As [`new`](Self::new) and [`append`](Self::append).
    pub fn build(
        hasher: &mut BatchHasher,
        shape: Shape,
        capacity: u64,
        leaves: impl IntoIterator<Item = Fr>,
        mut progress: impl FnMut(u64),
    ) -> Result<Self, HashError> {
        let mut tree = Self::new(hasher, shape, capacity)?;
        let size = hasher.max_batch();
        let mut leaves = leaves.into_iter();
        let mut chunk = Vec::with_capacity(size);
        loop {
            chunk.clear();
            chunk.extend(leaves.by_ref().take(size));
            tree.append(&chunk)?;
            progress(tree.leaves);
            if chunk.len() < size {
                tree.root()?;
                return Ok(tree);
            }
        }
    }

    /// The tree's shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Leaves, fillers not counted.
    pub fn len(&self) -> u64 {
        self.leaves
    }

    /// Whether there is no leaf.
    pub fn is_empty(&self) -> bool {
        self.leaves == 0
    }

    /// Adds leaves behind the last. Levels are hashed when enough has come, and the rest when the root is asked for.
    ///
    /// # Errors
    /// [`TreeError::Full`] if they are more than the capacity leaves room for (none is added then), and [`HashError`] if the device
    /// failed.
    pub fn append(&mut self, leaves: &[Fr]) -> Result<(), HashError> {
        let total = self.leaves.saturating_add(leaves.len() as u64);
        if total > self.capacity {
            let most = self.capacity;
            return Err(TreeError::Full {
                leaves: total,
                most,
            }
            .into());
        }
        let chunk = usize::try_from(self.max_batch).unwrap_or(usize::MAX);
        for leaves in leaves.chunks(chunk) {
            let start = self.leaves;
            self.put(0, start, leaves, self.epoch)?;
            self.leaves += leaves.len() as u64;
            self.open = true;
            if self.shape.depth() == 0 {
                // A lone leaf is the root.
                self.root_mark = self.epoch;
            }
            if let Some(done) = self.done.first_mut() {
                *done = self.leaves;
            }
            self.advance(false)?;
        }
        Ok(())
    }

    /// The root, with fillers behind the last leaf. It was computed on the device from the bottom up, or this is an error.
    ///
    /// # Errors
    /// [`HashError`] if the device failed.
    pub fn root(&mut self) -> Result<Fr, HashError> {
        if self.leaves == 0 {
            return Ok(self.shape.empty(self.shape.depth()));
        }
        if self.open {
            self.next_epoch();
            self.advance(true)?;
            self.open = false;
        }
        let top = self.shape.depth();
        let mark = self.root_mark;
        let roots = self.read(top, 0..1, |_, found| found == mark)?;
        Ok(roots.first().copied().unwrap_or_default())
    }

    /// The nodes of a range at a height; behind the last leaf they are those of fillers.
    ///
    /// # Errors
    /// [`TreeError::Index`] for a range outside the tree, and [`HashError`] if the device failed.
    pub fn nodes(&mut self, height: u32, range: Range<u64>) -> Result<Vec<Fr>, HashError> {
        let end = self.shape.places().checked_shr(height).unwrap_or(0);
        if range.end > end || height > self.shape.depth() {
            let index = range.end.saturating_sub(1);
            return Err(TreeError::Index { index, end }.into());
        }
        // Only under a root that carries its mark is every node right.
        self.root()?;
        let complete = self.leaves >> height;
        let there = self.leaves.div_ceil(1 << height);
        let held = range.start.min(there)..range.end.min(there);
        let mut nodes = self.read(height, held, |at, found| {
            found != 0 && (at >= complete) == (found >= PARTIAL)
        })?;
        let rest = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0);
        nodes.resize(rest, self.shape.empty(height));
        Ok(nodes)
    }

    /// The siblings of a place from the leaf to the root.
    ///
    /// # Errors
    /// As [`nodes`](Self::nodes).
    pub fn path(&mut self, index: u64) -> Result<Vec<Fr>, HashError> {
        let end = self.shape.places();
        if index >= end {
            return Err(TreeError::Index { index, end }.into());
        }
        let mut siblings = Vec::new();
        for height in 0..self.shape.depth() {
            let at = index >> height ^ 1;
            siblings.extend(self.nodes(height, at..at + 1)?);
        }
        Ok(siblings)
    }

    /// Gives leaves new values; on the device each touched node is hashed once.
    ///
    /// # Errors
    /// [`TreeError::Index`] where there is no leaf, [`TreeError::Repeated`] for an index given twice (nothing is changed then), and
    /// [`HashError`] if the device failed.
    pub fn update(&mut self, changes: &[(u64, Fr)]) -> Result<(), HashError> {
        let mut changes = changes.to_vec();
        changes.sort_unstable_by_key(|(index, _)| *index);
        let end = self.leaves;
        if let Some((index, _)) = changes.last().copied().filter(|(index, _)| *index >= end) {
            return Err(TreeError::Index { index, end }.into());
        }
        if let Some(pair) = changes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(TreeError::Repeated { index: pair[0].0 }.into());
        }
        let chunk = usize::try_from(self.max_batch).unwrap_or(usize::MAX);
        for changes in changes.chunks(chunk) {
            // Every node must be there before some are replaced.
            self.root()?;
            self.next_epoch();
            self.replace(changes)?;
        }
        Ok(())
    }

    fn next_epoch(&mut self) {
        self.epoch = self.epoch % (EPOCHS - 1) + 1;
    }

    /// Writes nodes and their marks from the host, segment by segment.
    fn put(&self, height: usize, start: u64, nodes: &[Fr], mark: u32) -> Result<(), GpuError> {
        let mut rest = nodes;
        let mut at = start;
        while !rest.is_empty() {
            let (segment, local) = (at / self.segment, at % self.segment);
            let Some(place) = self.place(height, segment) else {
                return Err(self.device.rejected(&"a node lies outside its tree"));
            };
            let room = usize::try_from(place.nodes.saturating_sub(local)).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(rest.len().min(room.max(1)));
            self.device.scoped(|| {
                let queue = self.device.queue();
                queue.write_buffer(&place.buffer, local * 32, bytemuck::cast_slice(&words(now)));
                let marks = vec![mark; now.len()];
                let offset = place.nodes * 32 + local * 4;
                queue.write_buffer(&place.buffer, offset, bytemuck::cast_slice(&marks));
            })?;
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    fn place(&self, height: usize, segment: u64) -> Option<&Segment> {
        self.levels.get(height)?.get(usize::try_from(segment).ok()?)
    }

    /// Hashes what is complete and worth a dispatch; with `flush` everything, fillers behind the last leaf.
    fn advance(&mut self, flush: bool) -> Result<(), HashError> {
        // Small dispatches leave most of a device idle.
        let wave = self.max_batch / 4;
        let mut steps = Vec::new();
        for height in 0..self.shape.depth() as usize {
            let below = self.done.get(height).copied().unwrap_or_default();
            let first = self.done.get(height + 1).copied().unwrap_or_default();
            let mut end = below / 2;
            if !flush && end.saturating_sub(first) < wave.max(1) {
                break;
            }
            if let Some(done) = self.done.get_mut(height + 1) {
                *done = end;
            }
            if flush {
                let there = self.leaves.div_ceil(1 << height);
                end = there.div_ceil(2);
                if there % 2 == 1 {
                    let filler = self.shape.empty(height as u32);
                    self.put(height, there, &[filler], self.epoch | PARTIAL)?;
                }
            }
            self.ranges(height, first..end, &mut steps);
        }
        let top = self.shape.depth() as usize;
        if steps.iter().any(|step: &Step| step.to.0 == top) {
            self.root_mark = self.own_mark();
        }
        self.submit(&steps, &[], &[])
    }

    /// The mark of a root that this pass writes.
    fn own_mark(&self) -> u32 {
        match self.leaves >> self.shape.depth() {
            0 => self.epoch | PARTIAL,
            _ => self.epoch,
        }
    }

    /// What the shader must know of a pair of segments.
    fn batch(&self, height: usize, from: u64, to: u64) -> Batch {
        let complete = |height: usize, segment: u64| {
            let complete = (self.leaves >> height).saturating_sub(segment * self.segment);
            // Numbers in a segment have 27 bits.
            complete.min(self.segment) as u32
        };
        let marks = |height: usize, segment: u64| {
            let nodes = self.place(height, segment).map_or(0, |place| place.nodes);
            (nodes * 8) as u32
        };
        Batch {
            rows: 1,
            reverse: u32::from(self.reverse),
            // Two segments of children fill one of parents.
            base: (from * (self.segment / 2) % self.segment) as u32,
            marks_in: marks(height, from),
            marks_out: marks(height + 1, to),
            complete_in: complete(height, from),
            complete_out: complete(height + 1, to),
            epoch: self.epoch,
            ..Batch::default()
        }
    }

    /// Dispatches for the parents in `range`, whose children are at `height`.
    fn ranges(&self, height: usize, range: Range<u64>, steps: &mut Vec<Step>) {
        let half = self.segment / 2;
        let mut at = range.start;
        while at < range.end {
            let (from, to) = (at / half, at / self.segment);
            let count = (range.end - at).min(half - at % half).min(self.max_batch);
            steps.push(Step {
                scatter: false,
                from: Some((height, from as usize)),
                to: (height + 1, to as usize),
                batch: Batch {
                    mode: Mode::Range as u32,
                    count: count as u32,
                    first: (at % half) as u32,
                    ..self.batch(height, from, to)
                },
            });
            at += count;
        }
    }

    /// Writes leaves, given by ascending index, and hashes the nodes above them.
    fn replace(&mut self, changes: &[(u64, Fr)]) -> Result<(), HashError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut steps = Vec::new();
        let mut places: Vec<u32> = Vec::new();
        let values: Vec<Fr> = changes.iter().map(|(_, leaf)| *leaf).collect();
        // A node, and which of its children are new: the right one, the left one.
        let mut touched: Vec<(u64, u32)> = changes.iter().map(|(index, _)| (*index, 0)).collect();
        let mut first = 0;
        for group in touched.chunk_by(|a, b| a.0 / self.segment == b.0 / self.segment) {
            let to = group.first().map_or(0, |(at, _)| at / self.segment);
            let start = places.len() as u32;
            places.extend(group.iter().map(|(at, _)| (at % self.segment) as u32));
            let nodes = self.place(0, to).map_or(0, |place| place.nodes);
            steps.push(Step {
                scatter: true,
                from: None,
                to: (0, to as usize),
                batch: Batch {
                    count: group.len() as u32,
                    places: start,
                    first,
                    marks_out: (nodes * 8) as u32,
                    complete_out: u32::MAX,
                    epoch: self.epoch,
                    ..Batch::default()
                },
            });
            first += group.len() as u32;
        }
        let half = self.segment / 2;
        for height in 0..self.shape.depth() as usize {
            for (at, new) in &mut touched {
                *new = if *at & 1 == 1 { NEW_RIGHT } else { NEW_LEFT };
                *at >>= 1;
            }
            touched.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    kept.1 |= later.1;
                }
                same
            });
            for group in touched.chunk_by(|a, b| a.0 / half == b.0 / half) {
                let from = group.first().map_or(0, |(at, _)| at / half);
                let to = from / 2;
                let start = places.len() as u32;
                places.extend(group.iter().map(|(at, new)| (at % half) as u32 | new));
                steps.push(Step {
                    scatter: false,
                    from: Some((height, from as usize)),
                    to: (height + 1, to as usize),
                    batch: Batch {
                        mode: Mode::Touched as u32,
                        count: group.len() as u32,
                        places: start,
                        ..self.batch(height, from, to)
                    },
                });
            }
        }
        self.root_mark = self.own_mark();
        self.submit(&steps, &places, &values)
    }

    /// Runs dispatches one after another.
    fn submit(&mut self, steps: &[Step], places: &[u32], values: &[Fr]) -> Result<(), HashError> {
        if steps.is_empty() {
            return Ok(());
        }
        let device = self.device.clone();
        let host = device.scoped(|| {
            [
                bytemuck::cast_slice(places),
                bytemuck::cast_slice(&words(values)),
            ]
            .map(|bytes| device.filled(LABEL, bytes, Usage::STORAGE))
        })?;
        let [places, values] = &host;
        for steps in steps.chunks(DISPATCHES) {
            let submission = device.scoped(|| {
                let stride = UNIFORM_STRIDE as usize;
                let mut uniforms = vec![0; steps.len() * stride];
                for (bytes, step) in uniforms.chunks_exact_mut(stride).zip(steps) {
                    for (to, from) in bytes.iter_mut().zip(bytemuck::bytes_of(&step.batch)) {
                        *to = *from;
                    }
                }
                let batches = device.filled(LABEL, &uniforms, Usage::UNIFORM);
                let mut encoder = device.raw().create_command_encoder(&Default::default());
                let mut pass = encoder.begin_compute_pass(&Default::default());
                for (at, step) in (0u32..).zip(steps) {
                    let from = match step.from {
                        Some((height, segment)) => self.place(height, segment as u64),
                        None => None,
                    };
                    let Some(to) = self.place(step.to.0, step.to.1 as u64) else {
                        continue;
                    };
                    let pipeline = match &self.program.scatter {
                        Some(scatter) if step.scatter => scatter,
                        _ => &self.program.permute,
                    };
                    let storage = [
                        &self.program.constants,
                        from.map_or(values, |from| &from.buffer),
                        &to.buffer,
                        places,
                    ];
                    let group = device.bind::<Batch>(LABEL, &self.layout, &batches, &storage);
                    pass.set_pipeline(pipeline);
                    pass.set_bind_group(0, &group, &[at * UNIFORM_STRIDE as u32]);
                    pass.dispatch_workgroups(step.batch.count.div_ceil(self.threads), 1, 1);
                }
                drop(pass);
                device.submit(encoder.finish())
            })?;
            self.queue.flying.push_back(submission);
            while self.queue.flying.len() > IN_FLIGHT
                && let Some(oldest) = self.queue.flying.pop_front()
            {
                device.wait(oldest)?;
            }
        }
        Ok(())
    }

    /// Reads nodes that were computed, each with a mark that is right by its index.
    fn read(
        &mut self,
        height: u32,
        range: Range<u64>,
        right: impl Fn(u64, u32) -> bool,
    ) -> Result<Vec<Fr>, HashError> {
        let mut out = Vec::new();
        let mut missing = 0;
        let mut at = range.start;
        while at < range.end {
            let (segment, local) = (at / self.segment, at % self.segment);
            let Some(place) = self.place(height as usize, segment) else {
                return Err(unfinished(&self.device, 1, 1));
            };
            let count = (range.end - at).min(self.segment - local).min(READ);
            let device = &self.device;
            let (buffer, submission) = device.scoped(|| {
                let usage = Usage::MAP_READ | Usage::COPY_DST;
                let buffer = device.buffer(LABEL, count * NODE, usage);
                let mut encoder = device.raw().create_command_encoder(&Default::default());
                encoder.copy_buffer_to_buffer(&place.buffer, local * 32, &buffer, 0, count * 32);
                let marks = place.nodes * 32 + local * 4;
                encoder.copy_buffer_to_buffer(&place.buffer, marks, &buffer, count * 32, count * 4);
                (buffer, device.submit(encoder.finish()))
            })?;
            let bytes = device.read(&buffer, submission, count * NODE)?;
            self.queue.flying.clear();
            let (nodes, marks) = bytes.as_chunks::<4>().0.split_at(count as usize * 8);
            for (index, (node, mark)) in (at..).zip(nodes.as_chunks::<8>().0.iter().zip(marks)) {
                match element(node.as_flattened()) {
                    Some(node) if right(index, u32::from_le_bytes(*mark)) => out.push(node),
                    _ => missing += 1,
                }
            }
            at += count;
        }
        if missing > 0 {
            let asked = usize::try_from(range.end.saturating_sub(range.start));
            return Err(unfinished(&self.device, missing, asked.unwrap_or(missing)));
        }
        Ok(out)
    }
}
