//! Poseidon and Poseidon2 on a GPU: elements go up as they are in memory, results come down in the same form.
//!
//! | file | what |
//! |---|---|
//! | `shaders` | one shader for each permutation, around which every use of it is a mode |
//! | `any_width` | one shader for the permutations that are too wide for registers |
//! | `plan` | batches of states, pairs, lists and paths cut into submissions |
//! | `tree` | [`DeviceTree`]: a Merkle tree whose levels stay in device memory |
//! | `small` | [`SmallHasher`]: Poseidon2 over the 31-bit fields and Goldilocks |
//!
//! The arithmetic is the generated one of `field::wgsl`, with 64-bit sums where the device has them; the rounds are those of the CPU
//! code, so the bits are equal. A thread computes one permutation after another: all blocks of a list, all levels of a path.
//!
//! A thread leaves a mark behind its results, which are cleared before. A result without its mark, or one that is no element, is an
//! error and never a hash.

mod any_width;
mod plan;
mod shaders;
mod small;
#[cfg(test)]
mod tests;
mod tree;

use super::{InputError, Instance, MerklePath, levels::Permutation, tree::TreeError};
use crate::{
    field::{Element, Fr, wgsl::Form},
    gpu::{Buffer, Device, DeviceType, GpuError, ShaderChecks, Slot, Slots, UNIFORM_STRIDE},
};
use plan::{Bounds, Plan};
use shaders::Batch;
use std::collections::VecDeque;
use wgpu::BufferUsages as Usage;

pub use small::{GOLDILOCKS, SmallError, SmallHasher, SmallPending, SmallPoseidon2};
pub use tree::DeviceTree;

/// Widths of [`Instance::Circom`] that run on a device.
pub const CIRCOM_WIDTHS: std::ops::RangeInclusive<usize> = 2..=17;

/// States of one submission on hardware.
const MAX_BATCH: usize = 1 << 17;
/// States of one submission on a software driver: some 50 ms of one core.
const MAX_BATCH_SOFTWARE: usize = 1024;
/// Permutations that a submission of lists or paths may take, for each state of a full batch: fewer threads with more steps leave
/// hardware idle.
const STEPS: usize = 8;
/// Submissions that are prepared before the first is waited for.
const IN_FLIGHT: usize = 2;
/// What shaders of this module are called.
const LABEL: &str = "poseidon";
/// Slots that are kept.
const SLOTS: usize = 3;

/// Buffers of submissions: uniforms, states, places, results.
fn slots() -> Slots<4> {
    Slots::new(
        LABEL,
        SLOTS,
        [
            Usage::UNIFORM | Usage::COPY_DST,
            Usage::STORAGE | Usage::COPY_DST,
            Usage::STORAGE | Usage::COPY_DST,
            Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC,
        ],
    )
}

/// Why a device gave no hashes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// The states or leaves are not what the instance takes.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The tree cannot do what it was asked.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Parameters or states of a small field that are refused.
    #[error(transparent)]
    Small(#[from] SmallError),
    /// The device failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The device answered without having computed a result.
    #[error(
        "the device {adapter} left {missing} of {states} states without a result: do not trust it, use the CPU"
    )]
    Unfinished {
        /// The adapter's name.
        adapter: String,
        /// States without a result.
        missing: usize,
        /// States of the submission.
        states: usize,
    },
}

/// Shapes that change speed and never hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuning {
    /// Threads of a workgroup, 1 to 256.
    pub threads: u32,
    /// Whether sums have 64 bits (29-bit limbs); else 32 (13-bit limbs).
    pub wide: bool,
    /// Gives the first thread the last state: for tests.
    pub reverse: bool,
    /// Run-time checks of the shaders.
    pub checks: ShaderChecks,
    /// States of one submission; the device's limits lower it further.
    pub max_batch: usize,
    /// Nodes of a tree in one buffer, rounded down to a power of two; the device's limits lower it further.
    pub segment: usize,
}

impl Tuning {
    /// Sensible shapes for a device.
    pub fn of(device: &Device) -> Self {
        Self {
            threads: 64,
            wide: device.has_int64(),
            reverse: false,
            checks: ShaderChecks::Trusted,
            max_batch: match device.info().device_type {
                DeviceType::Cpu => MAX_BATCH_SOFTWARE,
                _ => MAX_BATCH,
            },
            segment: 1 << 26,
        }
    }
}

/// The hashes on one device. A permutation is compiled when it is first asked for; buffers are kept between batches.
#[derive(Debug)]
pub struct BatchHasher {
    device: Device,
    tuning: Tuning,
    bounds: Bounds,
    layout: wgpu::BindGroupLayout,
    programs: Vec<(Permutation, Program)>,
    slots: Slots<4>,
}

/// A compiled permutation. Clones share it.
#[derive(Clone, Debug)]
struct Program {
    permute: wgpu::ComputePipeline,
    /// Writes leaves to their places in a tree, where the permutation makes trees.
    scatter: Option<wgpu::ComputePipeline>,
    constants: Buffer,
}

/// A batch on its way: give it to [`BatchHasher::collect`] of the hasher that it comes from.
#[derive(Debug)]
#[must_use = "the results are with the device until they are collected"]
pub struct Pending {
    parts: Vec<Part>,
    /// Results, each of `rows` elements.
    count: usize,
    rows: usize,
}

/// One submission of a batch.
#[derive(Debug)]
struct Part {
    slot: Slot<4>,
    submission: wgpu::SubmissionIndex,
    order: Vec<usize>,
    rows: usize,
}

impl BatchHasher {
    /// Prepares `device`.
    ///
    /// # Errors
    /// [`GpuError`] if the device was lost.
    pub fn new(device: &Device) -> Result<Self, GpuError> {
        Self::with_tuning(device, Tuning::of(device))
    }

    /// [`new`](Self::new) with chosen shapes.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_tuning(device: &Device, tuning: Tuning) -> Result<Self, GpuError> {
        let binding = device.largest_binding();
        // Of the widest state: its results and their mark.
        let state_bytes = 4 * (8 * *CIRCOM_WIDTHS.end() as u64 + 1);
        let groups = device.raw().limits().max_compute_workgroups_per_dimension as usize;
        let limit = |bytes: u64| usize::try_from(binding / bytes).unwrap_or(usize::MAX);
        let max_batch = tuning
            .max_batch
            .min(limit(state_bytes))
            .min(groups.saturating_mul(tuning.threads as usize))
            .max(1);
        let work = match device.info().device_type {
            DeviceType::Cpu => max_batch,
            _ => STEPS * max_batch,
        };
        let bounds = Bounds {
            count: max_batch,
            work,
            // Elements are counted in 32-bit words on the device.
            elements: limit(32).min(1 << 26),
        };
        let layout = device.scoped(|| device.layout(LABEL, [false, false, true, false]))?;
        Ok(Self {
            device: device.clone(),
            tuning,
            bounds,
            layout,
            programs: Vec::new(),
            slots: slots(),
        })
    }

    /// Most threads of one submission; longer slices are cut into several.
    pub fn max_batch(&self) -> usize {
        self.bounds.count
    }

    /// The permutation of each state of `width` elements, one after another. Blocks until the device has answered, at most the device's
    /// time limit for each submission.
    ///
    /// # Errors
    /// [`HashError`] for states that the instance does not take, and a device that failed.
    pub fn permute_many(
        &mut self,
        instance: Instance,
        width: usize,
        states: &[Fr],
    ) -> Result<Vec<Fr>, HashError> {
        let which = match instance.permutation(width) {
            Some(which) if states.len().is_multiple_of(width) => which,
            _ => return Err(instance.width_error(states.len(), width).into()),
        };
        let plans = plan::states(which, width, states, self.bounds);
        self.run(plans, states.len() / width, width)
    }

    /// The compression of each pair, as [`Instance::compress_many`].
    ///
    /// # Errors
    /// [`HashError`] if the device failed.
    pub fn compress_many(
        &mut self,
        instance: Instance,
        pairs: &[[Fr; 2]],
    ) -> Result<Vec<Fr>, HashError> {
        let plans = plan::pairs(instance.compression(), pairs, self.bounds);
        self.run(plans, pairs.len(), 1)
    }

    /// The hash of each list, of any mix of lengths, as [`Instance::hash_many`].
    ///
    /// # Errors
    /// [`HashError`] for a list that the instance does not take, and a device that failed.
    pub fn hash_many(&mut self, instance: Instance, lists: &[&[Fr]]) -> Result<Vec<Fr>, HashError> {
        instance.check_lists(lists)?;
        let plans = plan::lists(instance, lists, self.bounds);
        self.run(plans, lists.len(), 1)
    }

    /// Whether each path leads from its leaf to its root, as [`Instance::verify_paths`].
    ///
    /// # Errors
    /// [`HashError`] if the device failed.
    pub fn verify_paths(
        &mut self,
        instance: Instance,
        paths: &[MerklePath<'_>],
    ) -> Result<Vec<bool>, HashError> {
        let plans = plan::paths(instance.compression(), paths, self.bounds);
        let roots = self.run(plans, paths.len(), 1)?;
        let right = |(path, root): (&MerklePath<'_>, Fr)| path.fits() && root == path.root;
        Ok(paths.iter().zip(roots).map(right).collect())
    }

    /// The root over a power of two of leaves, as [`Instance::merkle_root`]. Levels stay on the device.
    ///
    /// # Errors
    /// [`HashError`] for any other number of leaves or more than a [`DeviceTree`] holds, and if the device failed.
    pub fn merkle_root(&mut self, instance: Instance, leaves: &[Fr]) -> Result<Fr, HashError> {
        if !leaves.len().is_power_of_two() {
            return Err(InputError::Leaves {
                given: leaves.len(),
            }
            .into());
        }
        let count = leaves.len() as u64;
        let shape = super::tree::Shape::for_leaves(instance, count)?;
        let mut tree = DeviceTree::new(self, shape, count)?;
        tree.append(leaves)?;
        tree.root()
    }

    /// Sends [`compress_many`](Self::compress_many) off without waiting for the device. Whatever is in flight keeps its buffers:
    /// collect before too much is.
    ///
    /// # Errors
    /// As [`compress_many`](Self::compress_many), for the part before the device answers.
    pub fn submit_pairs(
        &mut self,
        instance: Instance,
        pairs: &[[Fr; 2]],
    ) -> Result<Pending, HashError> {
        let plans = plan::pairs(instance.compression(), pairs, self.bounds);
        self.submit(plans, pairs.len())
    }

    /// Sends [`hash_many`](Self::hash_many) off, as [`submit_pairs`](Self::submit_pairs).
    ///
    /// # Errors
    /// As [`hash_many`](Self::hash_many), for the part before the device answers.
    pub fn submit_lists(
        &mut self,
        instance: Instance,
        lists: &[&[Fr]],
    ) -> Result<Pending, HashError> {
        instance.check_lists(lists)?;
        let plans = plan::lists(instance, lists, self.bounds);
        self.submit(plans, lists.len())
    }

    /// Sends paths off, as [`submit_pairs`](Self::submit_pairs); the results are the roots that they lead to, and zero for a path that
    /// does not [fit](MerklePath::fits).
    ///
    /// # Errors
    /// As [`verify_paths`](Self::verify_paths), for the part before the device answers.
    pub fn submit_paths(
        &mut self,
        instance: Instance,
        paths: &[MerklePath<'_>],
    ) -> Result<Pending, HashError> {
        let plans = plan::paths(instance.compression(), paths, self.bounds);
        self.submit(plans, paths.len())
    }

    /// Waits for a batch, at most the device's time limit for each submission, and gives its results in order.
    ///
    /// # Errors
    /// [`HashError`] if the device failed.
    pub fn collect(&mut self, pending: Pending) -> Result<Vec<Fr>, HashError> {
        let mut out = vec![Fr::ZERO; pending.count * pending.rows];
        for part in pending.parts {
            self.finish(part, &mut out)?;
        }
        Ok(out)
    }

    fn submit(&mut self, plans: Vec<Plan>, count: usize) -> Result<Pending, HashError> {
        let parts = plans
            .into_iter()
            .map(|plan| self.start(plan))
            .collect::<Result<_, _>>()?;
        Ok(Pending {
            parts,
            count,
            rows: 1,
        })
    }

    /// All submissions of a batch, a few in flight at a time.
    fn run(&mut self, plans: Vec<Plan>, count: usize, rows: usize) -> Result<Vec<Fr>, HashError> {
        let mut out = vec![Fr::ZERO; count * rows];
        let mut flying = VecDeque::new();
        for plan in plans {
            if flying.len() == IN_FLIGHT
                && let Some(part) = flying.pop_front()
            {
                self.finish(part, &mut out)?;
            }
            flying.push_back(self.start(plan)?);
        }
        for part in flying {
            self.finish(part, &mut out)?;
        }
        Ok(out)
    }

    /// Submits a plan. A slot whose submission fails is dropped.
    fn start(&mut self, plan: Plan) -> Result<Part, HashError> {
        let program = self.program(plan.which)?;
        let count = plan.order.len();
        let mark_words = count * plan.rows * 8;
        let results = 4 * (mark_words + count) as u64;
        let sizes = [
            UNIFORM_STRIDE,
            plan.words.len() as u64 * 8,
            plan.places.len() as u64 * 4,
            results,
        ];
        let slot = self.slots.take(&self.device, sizes)?;
        let device = &self.device;
        // Counts are below 2^32, as the bounds are.
        let batch = Batch {
            mode: plan.mode as u32,
            count: count as u32,
            rows: plan.rows as u32,
            reverse: u32::from(self.tuning.reverse),
            marks_out: mark_words as u32,
            width: plan.which.width() as u32,
            partial_rounds: shaders::partial_rounds(plan.which.width()) as u32,
            ..Batch::default()
        };
        let submission = device.scoped(|| {
            let queue = device.queue();
            let [uniform, states, places, out] = &slot.buffers;
            queue.write_buffer(uniform, 0, bytemuck::bytes_of(&batch));
            queue.write_buffer(states, 0, bytemuck::cast_slice(&plan.words));
            queue.write_buffer(places, 0, bytemuck::cast_slice(&plan.places));
            let storage = [&program.constants, states, out, places];
            let group = device.bind::<Batch>(LABEL, &self.layout, uniform, &storage);
            let mut encoder = device.raw().create_command_encoder(&Default::default());
            encoder.clear_buffer(out, 0, Some(results));
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&program.permute);
            pass.set_bind_group(0, &group, &[0]);
            // Within the limit of a dispatch because the bounds are.
            pass.dispatch_workgroups((count as u32).div_ceil(self.tuning.threads), 1, 1);
            drop(pass);
            encoder.copy_buffer_to_buffer(out, 0, &slot.readback, 0, results);
            device.submit(encoder.finish())
        })?;
        Ok(Part {
            slot,
            submission,
            order: plan.order,
            rows: plan.rows,
        })
    }

    /// Waits for a submission and writes its results to their places.
    fn finish(&mut self, part: Part, out: &mut [Fr]) -> Result<(), HashError> {
        let (count, rows) = (part.order.len(), part.rows);
        let bytes = self.device.read(
            &part.slot.readback,
            part.submission,
            (count * (32 * rows + 4)) as u64,
        )?;
        let (words, marks) = bytes
            .split_at_checked(32 * rows * count)
            .unwrap_or_default();
        let mut missing = count;
        let states = words.chunks_exact(32 * rows).zip(marks.chunks_exact(4));
        for ((words, mark), at) in states.zip(&part.order) {
            let Some(places) = out.get_mut(at * rows..(at + 1) * rows) else {
                continue;
            };
            let mut found = mark == shaders::DONE.to_le_bytes();
            for (place, bytes) in places.iter_mut().zip(words.chunks_exact(32)) {
                match element(bytes) {
                    Some(element) => *place = element,
                    None => found = false,
                }
            }
            missing -= usize::from(found);
        }
        if missing > 0 {
            return Err(unfinished(&self.device, missing, count));
        }
        self.slots.give(part.slot);
        Ok(())
    }

    /// A permutation, compiled unless it is there.
    fn program(&mut self, which: Permutation) -> Result<Program, HashError> {
        if let Some((_, program)) = self
            .programs
            .iter()
            .find(|(compiled, _)| *compiled == which)
        {
            return Ok(program.clone());
        }
        let form = if self.tuning.wide {
            Form::Wide
        } else {
            Form::Narrow
        };
        let Some(program) = shaders::program(which, form) else {
            return Err(unfinished(&self.device, 0, 0));
        };
        let shares = |which| shaders::any_width(which, form);
        let mut others = self.programs.iter().filter(|_| shares(which));
        let compiled = match others.find(|(other, _)| shares(*other)) {
            Some((_, other)) => Program {
                constants: self
                    .device
                    .scoped(|| constants(&self.device, &program.constants))?,
                ..other.clone()
            },
            None => Program::compile(
                &self.device,
                &self.layout,
                &self.tuning,
                program.source,
                &program.constants,
                shaders::compresses(which),
            )?,
        };
        self.programs.push((which, compiled.clone()));
        Ok(compiled)
    }
}

impl Program {
    /// Compiles a shader with the entry point `permute`, and `scatter` if it makes trees.
    fn compile(
        device: &Device,
        layout: &wgpu::BindGroupLayout,
        tuning: &Tuning,
        source: String,
        words: &[u32],
        trees: bool,
    ) -> Result<Self, GpuError> {
        let module = device.shader(LABEL, source, tuning.checks)?;
        device.scoped(|| {
            let pipeline = |entry| device.pipeline(LABEL, layout, &module, entry, tuning.threads);
            Self {
                permute: pipeline("permute"),
                scatter: trees.then(|| pipeline("scatter")),
                constants: constants(device, words),
            }
        })
    }
}

/// The constants of a program in device memory.
fn constants(device: &Device, words: &[u32]) -> Buffer {
    device.filled(LABEL, bytemuck::cast_slice(words), Usage::STORAGE)
}

fn unfinished(device: &Device, missing: usize, states: usize) -> HashError {
    HashError::Unfinished {
        adapter: device.info().name.clone(),
        missing,
        states,
    }
}

/// The element in eight little-endian words of Montgomery form, if it is one.
fn element(bytes: &[u8]) -> Option<Fr> {
    let mut limbs = [0; 4];
    for (limb, bytes) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
        *limb = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    Element::try_from_montgomery(limbs)
}
