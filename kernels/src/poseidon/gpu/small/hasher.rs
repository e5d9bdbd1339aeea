//! Submissions of small-field permutations: rows, trees, paths.

use super::{
    SmallError, SmallPoseidon2,
    shader::{Batch, PATHS, ROWS, TREE},
};
use crate::gpu::{Device, Slot, Slots, UNIFORM_STRIDE};
use crate::poseidon::{
    gpu::{
        BatchHasher, HashError, LABEL, Program, Tuning, plan::Bounds, shaders::DONE, slots,
        unfinished,
    },
    small::{MAX_DEPTH, Path},
};

/// A small-field Poseidon2 on one device. Words are `u64` for every field.
#[derive(Debug)]
pub struct SmallHasher {
    parameters: SmallPoseidon2,
    device: Device,
    layout: wgpu::BindGroupLayout,
    tuning: Tuning,
    bounds: Bounds,
    program: Program,
    slots: Slots<4>,
}

/// One submission: passes over nodes of equally many words, each with a mark behind all of them.
struct Submission<'a> {
    /// What goes up for the threads to read.
    words: &'a [u64],
    /// Nodes that are given, at the start of the results.
    given: &'a [u64],
    places: &'a [u32],
    passes: Vec<Batch>,
    /// Words of a node.
    rows: usize,
    /// Nodes of all passes and those given.
    nodes: usize,
    /// The first node that comes back.
    from: usize,
}

/// A submission on its way.
#[derive(Debug)]
struct Flight {
    slot: Slot<4>,
    submission: wgpu::SubmissionIndex,
    /// Nodes that come back, and words of each.
    back: usize,
    rows: usize,
}

/// A batch on its way: give it to [`SmallHasher::collect`] of the hasher that it comes from.
#[derive(Debug)]
#[must_use = "the digests are with the device until they are collected"]
pub struct SmallPending(Vec<Flight>);

impl SmallHasher {
    /// Compiles the permutation.
    ///
    /// # Errors
    /// [`HashError`] if the device was lost, refused the shader, or lacks what the field needs.
    pub fn new(device: &Device, parameters: SmallPoseidon2) -> Result<Self, HashError> {
        Self::with_tuning(device, parameters, Tuning::of(device))
    }

    /// [`new`](Self::new) with chosen shapes.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_tuning(
        device: &Device,
        parameters: SmallPoseidon2,
        tuning: Tuning,
    ) -> Result<Self, HashError> {
        if parameters.is_wide() && !device.has_int64() {
            return Err(SmallError::NeedsInt64.into());
        }
        // The limits of a submission are those of wider states.
        let BatchHasher { layout, bounds, .. } = BatchHasher::with_tuning(device, tuning)?;
        let program = Program::compile(
            device,
            &layout,
            &tuning,
            parameters.source(tuning.wide),
            &parameters.constants(),
            false,
        )?;
        Ok(Self {
            parameters,
            device: device.clone(),
            layout,
            tuning,
            bounds,
            program,
            slots: slots(),
        })
    }

    /// What it computes.
    pub fn parameters(&self) -> &SmallPoseidon2 {
        &self.parameters
    }

    /// Most threads of one submission; longer slices are cut into several.
    pub fn max_batch(&self) -> usize {
        self.bounds.count
    }

    /// The permutation of each state, one after another.
    ///
    /// # Errors
    /// [`SmallError`] for words that are no whole states or not below the modulus; [`HashError`] if the device failed.
    pub fn permute_many(&mut self, states: &[u64]) -> Result<Vec<u64>, HashError> {
        let width = self.parameters.width();
        self.absorb(width, width, width, states)
    }

    /// The compression of each pair of digests, as [`Instance::compress_many`](crate::poseidon::small::Instance::compress_many).
    ///
    /// # Errors
    /// As [`permute_many`](Self::permute_many).
    pub fn compress_many(&mut self, pairs: &[u64]) -> Result<Vec<u64>, HashError> {
        let digest = self.parameters.digest_words();
        self.absorb(2 * digest, 2 * digest, digest, pairs)
    }

    /// The digest of each row of `row` words, as [`Instance::hash_rows`](crate::poseidon::small::Instance::hash_rows).
    ///
    /// # Errors
    /// As [`permute_many`](Self::permute_many), and for rows that are empty or longer than the device can hold.
    pub fn hash_rows(&mut self, row: usize, words: &[u64]) -> Result<Vec<u64>, HashError> {
        let (rate, digest) = (self.parameters.rate(), self.parameters.digest_words());
        self.absorb(row, rate, digest, words)
    }

    /// Sends [`compress_many`](Self::compress_many) off without waiting for the device. What is in flight keeps its buffers: collect
    /// before too much is.
    ///
    /// # Errors
    /// As [`compress_many`](Self::compress_many), for the part before the device answers.
    pub fn submit_pairs(&mut self, pairs: &[u64]) -> Result<SmallPending, HashError> {
        let digest = self.parameters.digest_words();
        let plan = self.plan(2 * digest, 2 * digest, digest, pairs)?;
        self.submit(&plan)
    }

    /// Sends [`hash_rows`](Self::hash_rows) off, as [`submit_pairs`](Self::submit_pairs).
    ///
    /// # Errors
    /// As [`hash_rows`](Self::hash_rows), for the part before the device answers.
    pub fn submit_rows(&mut self, row: usize, words: &[u64]) -> Result<SmallPending, HashError> {
        let (rate, digest) = (self.parameters.rate(), self.parameters.digest_words());
        let plan = self.plan(row, rate, digest, words)?;
        self.submit(&plan)
    }

    /// Waits for a batch, at most the device's time limit for each submission: the digests' words in order.
    ///
    /// # Errors
    /// [`HashError`] if the device failed.
    pub fn collect(&mut self, pending: SmallPending) -> Result<Vec<u64>, HashError> {
        let mut out = Vec::new();
        for flight in pending.0 {
            out.extend(self.finish(flight)?);
        }
        Ok(out)
    }

    /// The levels of the Merkle tree over the digests of rows, a power of two of them: the leaves first, the root last. They are
    /// computed from each other in the device's memory.
    ///
    /// # Errors
    /// As [`hash_rows`](Self::hash_rows), and [`SmallError::Leaves`] for another number of rows.
    pub fn merkle_tree(&mut self, row: usize, words: &[u64]) -> Result<Vec<Vec<u64>>, HashError> {
        let leaves = self.hash_rows(row, words)?;
        self.levels(leaves, true)
    }

    /// The root over digests, a power of two of them, as [`Instance::merkle_root`](crate::poseidon::small::Instance::merkle_root);
    /// the levels stay in the device's memory.
    ///
    /// # Errors
    /// As [`permute_many`](Self::permute_many), and [`SmallError::Leaves`] for another number of digests.
    pub fn merkle_root(&mut self, digests: &[u64]) -> Result<Vec<u64>, HashError> {
        self.check(self.parameters.digest_words(), digests)?;
        let mut levels = self.levels(digests.to_vec(), false)?;
        Ok(levels.pop().unwrap_or_default())
    }

    /// Whether each path leads from its leaf to its root, as
    /// [`Instance::verify_paths`](crate::poseidon::small::Instance::verify_paths).
    ///
    /// # Errors
    /// [`SmallError`] for paths that are not of whole digests of words below the modulus, or longer than [`MAX_DEPTH`]; [`HashError`] if
    /// the device failed.
    pub fn verify_paths(&mut self, paths: &[Path<'_, u64>]) -> Result<Vec<bool>, HashError> {
        let digest = self.parameters.digest_words();
        for path in paths {
            for part in [path.root, path.leaf] {
                self.check(digest, part)?;
                if part.len() != digest {
                    let words = part.len();
                    return Err(SmallError::States {
                        words,
                        width: digest,
                    }
                    .into());
                }
            }
            self.check(digest, path.siblings)?;
            let given = path.siblings.len() / digest;
            if given > MAX_DEPTH {
                return Err(SmallError::Depth { given }.into());
            }
        }
        let mut verdicts = vec![false; paths.len()];
        let mut order: Vec<usize> = (0..paths.len()).collect();
        order.sort_by_key(|at| paths[*at].siblings.len());
        for group in order.chunk_by(|a, b| paths[*a].siblings.len() == paths[*b].siblings.len()) {
            let depth = group
                .first()
                .map_or(0, |at| paths[*at].siblings.len() / digest);
            for part in group.chunks(self.most(depth, (depth + 1) * digest)?) {
                let mut words = Vec::with_capacity(part.len() * (depth + 1) * digest);
                let mut places = Vec::with_capacity(2 * part.len());
                for at in part {
                    let path = &paths[*at];
                    words.extend_from_slice(path.leaf);
                    words.extend_from_slice(path.siblings);
                    // Low half, then high half.
                    places.extend([path.index as u32, (path.index >> 32) as u32]);
                }
                let found = self.send(&Submission {
                    words: &words,
                    given: &[],
                    places: &places,
                    passes: vec![Batch {
                        mode: PATHS,
                        count: part.len() as u32,
                        rows: digest as u32,
                        row: ((depth + 1) * digest) as u32,
                        steps: depth as u32,
                        marks_out: self.marks(part.len(), digest),
                        ..Batch::default()
                    }],
                    rows: digest,
                    nodes: part.len(),
                    from: 0,
                })?;
                for (at, root) in part.iter().zip(found.chunks_exact(digest)) {
                    let path = &paths[*at];
                    verdicts[*at] = path.index >> depth == 0 && root == path.root;
                }
            }
        }
        Ok(verdicts)
    }

    /// That `words` are whole pieces of `width` words below the modulus.
    fn check(&self, width: usize, words: &[u64]) -> Result<(), SmallError> {
        if width == 0 || !words.len().is_multiple_of(width) {
            return Err(SmallError::States {
                words: words.len(),
                width,
            });
        }
        self.parameters.canonical(words)
    }

    /// Most threads of a submission in which each reads `row` words and permutes `steps` times.
    fn most(&self, steps: usize, row: usize) -> Result<usize, SmallError> {
        // The bound counts elements of 32 bytes.
        let words = 32 / self.size() * self.bounds.elements;
        match words / row.max(1) {
            0 => Err(SmallError::Row { words: row }),
            rows => Ok(rows
                .min(self.bounds.count)
                .min((self.bounds.work / steps.max(1)).max(1))),
        }
    }

    /// Bytes of a word.
    fn size(&self) -> usize {
        if self.parameters.is_wide() { 8 } else { 4 }
    }

    /// Where marks start behind nodes of `rows` words, in 32-bit words. Submissions are bounded by a binding, which has fewer than 2^32.
    fn marks(&self, nodes: usize, rows: usize) -> u32 {
        (nodes * rows * self.size() / 4) as u32
    }

    /// Rows through the permutation, `block` words at a time; the first `rows` words of each state.
    fn absorb(
        &mut self,
        row: usize,
        block: usize,
        rows: usize,
        words: &[u64],
    ) -> Result<Vec<u64>, HashError> {
        let mut out = Vec::with_capacity(words.len() / row.max(1) * rows);
        for sent in self.plan(row, block, rows, words)? {
            out.extend(self.send(&sent)?);
        }
        Ok(out)
    }

    /// The submissions of [`absorb`](Self::absorb).
    fn plan<'a>(
        &self,
        row: usize,
        block: usize,
        rows: usize,
        words: &'a [u64],
    ) -> Result<Vec<Submission<'a>>, SmallError> {
        self.check(row, words)?;
        let steps = row.div_ceil(block);
        let most = self.most(steps, row)?;
        let part = |words: &'a [u64]| {
            let count = words.len() / row;
            Submission {
                words,
                given: &[],
                places: &[],
                passes: vec![Batch {
                    mode: ROWS,
                    count: count as u32,
                    rows: rows as u32,
                    row: row as u32,
                    block: block as u32,
                    steps: steps as u32,
                    marks_out: self.marks(count, rows),
                    ..Batch::default()
                }],
                rows,
                nodes: count,
                from: 0,
            }
        };
        Ok(words.chunks(most * row).map(part).collect())
    }

    /// The levels above digests, below the modulus, and they themselves; without `all` the last alone.
    fn levels(&mut self, digests: Vec<u64>, all: bool) -> Result<Vec<Vec<u64>>, HashError> {
        let digest = self.parameters.digest_words();
        let leaves = digests.len() / digest;
        if !leaves.is_power_of_two() {
            return Err(SmallError::Leaves { given: leaves }.into());
        }
        // A tree of n leaves has 2 n nodes; subtrees of at most that many leaves at a time, then the tree of their roots.
        let most = self.most(1, 2 * digest)?.max(2);
        let most = 1 << most.ilog2();
        let mut levels = vec![digests];
        while let Some(below) = levels.last().filter(|below| below.len() > digest) {
            let part = most.min(below.len() / digest);
            let height = part.ilog2() as usize;
            let mut above = vec![Vec::new(); height];
            for given in below.chunks(part * digest) {
                let found = self.subtree(given, all)?;
                if all {
                    let mut rest = &found[..];
                    for (at, level) in above.iter_mut().enumerate() {
                        let (nodes, behind) = rest.split_at((part >> (at + 1)) * digest);
                        level.extend_from_slice(nodes);
                        rest = behind;
                    }
                } else if let Some(level) = above.last_mut() {
                    level.extend(found);
                }
            }
            if all {
                levels.extend(above);
            } else {
                levels.extend(above.pop());
            }
        }
        Ok(levels)
    }

    /// The nodes above a power of two of digests, level by level, or the root alone.
    fn subtree(&mut self, given: &[u64], all: bool) -> Result<Vec<u64>, HashError> {
        let digest = self.parameters.digest_words();
        let leaves = given.len() / digest;
        let nodes = 2 * leaves - 1;
        let marks = self.marks(nodes, digest);
        let mut passes = Vec::new();
        let (mut below, mut count) = (0, leaves);
        while count > 1 {
            let above = below + count;
            count /= 2;
            passes.push(Batch {
                mode: TREE,
                count: count as u32,
                rows: digest as u32,
                row: 2 * digest as u32,
                block: 2 * digest as u32,
                steps: 1,
                input: (below * digest) as u32,
                output: (above * digest) as u32,
                marks_in: marks + below as u32,
                marks_out: marks + above as u32,
                ..Batch::default()
            });
            below = above;
        }
        self.send(&Submission {
            words: &[],
            given,
            places: &[],
            passes,
            rows: digest,
            nodes,
            from: if all { leaves } else { nodes - 1 },
        })
    }

    fn send(&mut self, sent: &Submission<'_>) -> Result<Vec<u64>, HashError> {
        let flight = self.start(sent)?;
        self.finish(flight)
    }

    fn submit(&mut self, plan: &[Submission<'_>]) -> Result<SmallPending, HashError> {
        let flights: Result<_, _> = plan.iter().map(|sent| self.start(sent)).collect();
        flights.map(SmallPending)
    }

    /// Sends a submission off. A slot whose submission fails is dropped.
    fn start(&mut self, sent: &Submission<'_>) -> Result<Flight, HashError> {
        let size = self.size();
        let node = sent.rows * size;
        let marks = (sent.nodes * node) as u64;
        let words = self.parameters.pack(sent.words.iter().copied());
        let given = self.parameters.pack(sent.given.iter().copied());
        let mut uniforms = Vec::new();
        for pass in &sent.passes {
            let pass = Batch {
                reverse: u32::from(self.tuning.reverse),
                ..*pass
            };
            uniforms.extend_from_slice(bytemuck::bytes_of(&pass));
            uniforms.resize(uniforms.len().next_multiple_of(UNIFORM_STRIDE as usize), 0);
        }
        let sizes = [
            (uniforms.len() as u64).max(UNIFORM_STRIDE),
            (words.len() as u64 * 4).max(4),
            (sent.places.len() as u64 * 4).max(4),
            marks + 4 * sent.nodes as u64,
        ];
        let slot = self.slots.take(&self.device, sizes)?;
        let device = &self.device;
        let back = sent.nodes - sent.from;
        let (back_nodes, back_marks) = ((back * node) as u64, 4 * back as u64);
        let submission = device.scoped(|| {
            let queue = device.queue();
            let [batches, states, places, results] = &slot.buffers;
            queue.write_buffer(batches, 0, &uniforms);
            queue.write_buffer(states, 0, bytemuck::cast_slice(&words));
            queue.write_buffer(places, 0, bytemuck::cast_slice(sent.places));
            queue.write_buffer(results, 0, bytemuck::cast_slice(&given));
            // What is given is there; all else is to be computed.
            let known = sent.given.len() / sent.rows;
            let all = [vec![DONE; known], vec![0; sent.nodes - known]].concat();
            queue.write_buffer(results, marks, bytemuck::cast_slice(&all));
            let storage = [&self.program.constants, states, results, places];
            let group = device.bind::<Batch>(LABEL, &self.layout, batches, &storage);
            let mut encoder = device.raw().create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&self.program.permute);
            for (at, batch) in (0..).zip(&sent.passes) {
                pass.set_bind_group(0, &group, &[at * UNIFORM_STRIDE as u32]);
                pass.dispatch_workgroups(batch.count.div_ceil(self.tuning.threads), 1, 1);
            }
            drop(pass);
            let first = (sent.from * node) as u64;
            encoder.copy_buffer_to_buffer(results, first, &slot.readback, 0, back_nodes);
            let first = marks + 4 * sent.from as u64;
            encoder.copy_buffer_to_buffer(results, first, &slot.readback, back_nodes, back_marks);
            device.submit(encoder.finish())
        })?;
        Ok(Flight {
            slot,
            submission,
            back,
            rows: sent.rows,
        })
    }

    /// Waits for a submission: the words of the nodes that come back.
    fn finish(&mut self, flight: Flight) -> Result<Vec<u64>, HashError> {
        let Flight {
            slot,
            submission,
            back,
            rows,
        } = flight;
        let (device, size) = (&self.device, self.size());
        let node = rows * size;
        let bytes = device.read(&slot.readback, submission, (back * (node + 4)) as u64)?;
        let (found, marks) = bytes.split_at_checked(back * node).unwrap_or_default();
        let done = marks
            .chunks_exact(4)
            .filter(|mark| *mark == DONE.to_le_bytes())
            .count();
        if done != back {
            return Err(unfinished(device, back - done.min(back), back));
        }
        let mut out = Vec::with_capacity(back * rows);
        for word in found.chunks_exact(size) {
            let value = word
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u64::from(*byte));
            if value >= self.parameters.modulus {
                return Err(unfinished(device, 1, back));
            }
            out.push(value);
        }
        self.slots.give(slot);
        Ok(out)
    }
}
