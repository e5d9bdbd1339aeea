//! Sums of multiples of points on a GPU, one sum a thread, many at a time.
//!
//! | file | what |
//! |---|---|
//! | `sums.wgsl` | doubling and addition with every exception in its own thread; tables, windows, fixed points; back to affine |
//! | `lift.wgsl` | square roots: points from their x |
//! | `shaders` | the WGSL of a curve: the generated field around these texts |
//! | `batch` | [`Plan`]: what goes up for a batch |
//!
//! A sum has up to two points of its own and up to two fixed points. Factors of its own points come in two halves of 128 bits (the
//! endomorphism), in signed digits of four bits; a table of eight multiples is made for each point, in device memory, and brought to
//! one Z without an inversion, so that every addition is one with an affine point. Factors of fixed points are read byte by byte from
//! tables of 255 multiples, without a doubling.
//!
//! Three dispatches: roots, sums, and the way back to affine coordinates, where a thread inverts once for several sums. A stage marks
//! what it leaves with the number of the batch, and the next one takes nothing without that mark; what comes down without a mark is an
//! error and never a point.
//!
//! Variable time: everything here is public.

mod batch;
mod shaders;
#[cfg(test)]
mod tests;

use super::windows::fixed_table;
use crate::{
    field::{Element, Prime, wgsl::Form},
    gpu::{Buffer, Device, DeviceType, GpuError, ShaderChecks, Slot, Slots},
};
use shaders::{BYTE_ENTRIES, BYTES, Batch, TABLE};
use std::marker::PhantomData;
use wgpu::BufferUsages as Usage;

pub(crate) use batch::{Ordinate, Plan, Term};
pub(crate) use shaders::{Chain, Factor};

/// Sums of one submission on hardware.
const MAX_BATCH: usize = 1 << 16;
/// Sums of one submission on a software driver: some 50 ms of one core.
const MAX_BATCH_SOFTWARE: usize = 256;
/// Sums that share an inversion.
const SHARE: usize = 16;
/// What shaders of this module are called.
const LABEL: &str = "curve";
/// Slots that are kept.
const SLOTS: usize = 4;
/// Bytes of an entry in device memory.
const ENTRY_BYTES: u64 = 128;

/// Why a device gave no points.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CurveError {
    /// The device failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The device answered without having computed a result.
    #[error(
        "the device {adapter} left {missing} of {sums} sums without a result: do not trust it, use the CPU"
    )]
    Unfinished {
        /// The adapter's name.
        adapter: String,
        /// Sums without a result.
        missing: usize,
        /// Sums of the submission.
        sums: usize,
    },
}

/// Shapes that change speed and never points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuning {
    /// Threads of a workgroup, 1 to 256.
    pub threads: u32,
    /// Whether sums of products have 64 bits (29-bit limbs); else 32 (13-bit limbs).
    pub wide: bool,
    /// Gives the first thread the last sum: for tests.
    pub reverse: bool,
    /// Run-time checks of the shaders.
    pub checks: ShaderChecks,
    /// Sums of one submission; the device's limits lower it further.
    pub max_batch: usize,
    /// Sums that share an inversion.
    pub share: usize,
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
            share: SHARE,
        }
    }
}

/// A curve y^2 = x^3 + b over a prime field, with a group of odd order.
pub(crate) trait Curve: std::fmt::Debug {
    /// The field of coordinates.
    type Base: Prime;
    /// b.
    const B: u64;
    /// A third root of one: x times it is the x of the multiple that half a factor is of. One where sums have no points of their own.
    fn beta() -> Element<Self::Base>;
    /// The power that is a square root of squares. Empty where sums have no points of their own.
    fn root() -> Chain;
    /// The power that is the inverse.
    fn inverse() -> Chain;
}

/// What sums of a batch are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Points of each sum's own, at most two.
    pub(crate) points: usize,
    /// Fixed points, the first so many that the device was given.
    pub(crate) fixed: usize,
}

impl Shape {
    /// Entries of a sum in device memory: its tables and the sum, and one to spare where it has no table.
    const fn entries(self) -> usize {
        if self.points == 0 {
            2
        } else {
            self.points * TABLE + 1
        }
    }
}

/// What a sum is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome<P: Prime> {
    /// A point.
    Point(Element<P>, Element<P>),
    /// The identity.
    Identity,
    /// Nothing: a term is no point of the curve.
    NoPoint,
}

/// Coordinates of a fixed point; nothing stands for the identity.
pub(crate) type FixedPoint<C> = Option<(Element<<C as Curve>::Base>, Element<<C as Curve>::Base>)>;

/// Sums on one device. A shape is compiled when it is first asked for; buffers are kept between batches.
#[derive(Debug)]
pub(crate) struct DeviceSums<C> {
    device: Device,
    tuning: Tuning,
    layout: wgpu::BindGroupLayout,
    programs: Vec<(Shape, Program)>,
    /// Multiples of the fixed points.
    fixed: Buffer,
    /// Tables of a batch; batches follow one another on a device.
    entries: Option<Buffer>,
    /// Uniform, inputs, results.
    slots: Slots<3>,
    epoch: u32,
    curve: PhantomData<C>,
}

/// A compiled shape. Clones share it.
#[derive(Clone, Debug)]
struct Program {
    lift: Option<wgpu::ComputePipeline>,
    multiply: wgpu::ComputePipeline,
    normalize: wgpu::ComputePipeline,
    constants: Buffer,
}

/// A batch on its way: give it to [`DeviceSums::collect`] of the sums that it comes from.
#[derive(Debug)]
#[must_use = "the points are with the device until they are collected"]
pub(crate) struct Pending {
    slot: Slot<3>,
    submission: wgpu::SubmissionIndex,
    count: usize,
}

impl<C: Curve> DeviceSums<C> {
    /// Prepares a device for sums with these fixed points; nothing stands for the identity.
    pub(crate) fn new(
        device: &Device,
        tuning: Tuning,
        fixed: &[FixedPoint<C>],
    ) -> Result<Self, GpuError> {
        let words: Vec<u32> = fixed
            .iter()
            .flat_map(|point| match point {
                Some((x, y)) => byte_tables(*x, *y).into_iter().map(Some).collect(),
                None => vec![None; BYTES * BYTE_ENTRIES],
            })
            .flat_map(|multiple| shaders::packed(form(tuning), multiple))
            .collect();
        let (layout, fixed) = device.scoped(|| {
            (
                device.layout(LABEL, [false, false, true, true, false]),
                device.filled(LABEL, bytemuck::cast_slice(&words), Usage::STORAGE),
            )
        })?;
        Ok(Self {
            device: device.clone(),
            tuning,
            layout,
            programs: Vec::new(),
            fixed,
            entries: None,
            slots: Slots::new(
                LABEL,
                SLOTS,
                [
                    Usage::UNIFORM | Usage::COPY_DST,
                    Usage::STORAGE | Usage::COPY_DST,
                    Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC,
                ],
            ),
            epoch: 0,
            curve: PhantomData,
        })
    }

    /// Most sums of one submission.
    pub(crate) fn max_batch(&self, shape: Shape) -> usize {
        let binding = self.device.largest_binding();
        let fit = usize::try_from(binding / (ENTRY_BYTES * shape.entries() as u64));
        let limits = self.device.raw().limits();
        let groups = limits.max_compute_workgroups_per_dimension as usize;
        // A thread for each point of a sum.
        let threads = groups.saturating_mul(self.tuning.threads as usize) / shape.points.max(1);
        self.tuning
            .max_batch
            .min(fit.unwrap_or(usize::MAX))
            .min(threads)
            .clamp(1, 1 << 24)
    }

    /// Sends a batch of at most [`Self::max_batch`] sums off. A slot whose submission fails is dropped.
    pub(crate) fn submit(&mut self, plan: &Plan<C>) -> Result<Pending, CurveError> {
        let (shape, count) = (plan.shape(), plan.len());
        let program = self.program(shape)?;
        let inputs = plan.words();
        let result_bytes = 4 * (16 * count + count) as u64;
        let sizes = [
            size_of::<Batch>() as u64,
            4 * inputs.words.len() as u64,
            result_bytes,
        ];
        let slot = self.slots.take(&self.device, sizes)?;
        let entries = self.entries(ENTRY_BYTES * (shape.entries() * count.max(1)) as u64)?;
        // Marks have two bits for a state.
        self.epoch = self.epoch % ((1 << 30) - 1) + 1;
        let threads = count.div_ceil(self.tuning.share.max(1));
        // Counts and places are below 2^32, as a batch is bounded.
        let batch = Batch {
            count: count as u32,
            digits: inputs.digits as u32,
            flags: inputs.flags as u32,
            fixed: inputs.fixed as u32,
            marks: 16 * count as u32,
            threads: threads as u32,
            reverse: u32::from(self.tuning.reverse),
            epoch: self.epoch,
        };
        let groups = |threads: usize| (threads as u32).div_ceil(self.tuning.threads);
        let device = &self.device;
        let submission = device.scoped(|| {
            let queue = device.queue();
            let [uniform, given, results] = &slot.buffers;
            queue.write_buffer(uniform, 0, bytemuck::bytes_of(&batch));
            queue.write_buffer(given, 0, bytemuck::cast_slice(&inputs.words));
            let storage = [&program.constants, given, results, &entries, &self.fixed];
            let group = device.bind::<Batch>(LABEL, &self.layout, uniform, &storage);
            let mut encoder = device.raw().create_command_encoder(&Default::default());
            encoder.clear_buffer(results, 0, Some(result_bytes.max(4)));
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_bind_group(0, &group, &[0]);
            // Within the limit of a dispatch because the batch is bounded.
            if let Some(lift) = &program.lift {
                pass.set_pipeline(lift);
                pass.dispatch_workgroups(groups(count * shape.points), 1, 1);
            }
            pass.set_pipeline(&program.multiply);
            pass.dispatch_workgroups(groups(count), 1, 1);
            pass.set_pipeline(&program.normalize);
            pass.dispatch_workgroups(groups(threads), 1, 1);
            drop(pass);
            encoder.copy_buffer_to_buffer(results, 0, &slot.readback, 0, result_bytes);
            device.submit(encoder.finish())
        })?;
        Ok(Pending {
            slot,
            submission,
            count,
        })
    }

    /// Waits for a batch, at most the device's time limit, and gives its sums in order.
    pub(crate) fn collect(
        &mut self,
        pending: Pending,
    ) -> Result<Vec<Outcome<C::Base>>, CurveError> {
        let Pending {
            slot,
            submission,
            count,
        } = pending;
        let bytes = 4 * (16 * count + count) as u64;
        let bytes = self.device.read(&slot.readback, submission, bytes)?;
        let (words, marks) = bytes.split_at_checked(64 * count).unwrap_or_default();
        let sums: Vec<Outcome<C::Base>> = words
            .as_chunks::<64>()
            .0
            .iter()
            .zip(marks.as_chunks::<4>().0)
            .filter_map(|(words, mark)| outcome(words, u32::from_le_bytes(*mark)))
            .collect();
        if sums.len() != count {
            return Err(CurveError::Unfinished {
                adapter: self.device.info().name.clone(),
                missing: count - sums.len(),
                sums: count,
            });
        }
        self.slots.give(slot);
        Ok(sums)
    }

    /// Room for the tables of a batch.
    fn entries(&mut self, bytes: u64) -> Result<Buffer, GpuError> {
        if let Some(kept) = self.entries.as_ref().filter(|kept| kept.size() >= bytes) {
            return Ok(kept.clone());
        }
        let device = &self.device;
        let size = device.rounded(bytes);
        let made = device.scoped(|| device.buffer(LABEL, size, Usage::STORAGE))?;
        self.entries = Some(made.clone());
        Ok(made)
    }

    /// A shape, compiled unless it is there.
    fn program(&mut self, shape: Shape) -> Result<Program, GpuError> {
        if let Some((_, program)) = self.programs.iter().find(|(made, _)| *made == shape) {
            return Ok(program.clone());
        }
        let device = &self.device;
        let program = shaders::program::<C>(shape, form(self.tuning));
        let module = device.shader(LABEL, program.source, self.tuning.checks)?;
        let compiled = device.scoped(|| {
            let threads = self.tuning.threads;
            let pipeline = |entry| device.pipeline(LABEL, &self.layout, &module, entry, threads);
            let constants = bytemuck::cast_slice(&program.constants);
            Program {
                lift: (shape.points > 0).then(|| pipeline("lift")),
                multiply: pipeline("multiply"),
                normalize: pipeline("normalize"),
                constants: device.filled(LABEL, constants, Usage::STORAGE),
            }
        })?;
        self.programs.push((shape, compiled.clone()));
        Ok(compiled)
    }
}

const fn form(tuning: Tuning) -> Form {
    if tuning.wide {
        Form::Wide
    } else {
        Form::Narrow
    }
}

/// What a sum is by its mark and its coordinates in Montgomery form; nothing where it was not computed.
fn outcome<P: Prime>(words: &[u8; 64], mark: u32) -> Option<Outcome<P>> {
    let element = |bytes: &[u8]| {
        let mut limbs = [0; 4];
        for (limb, bytes) in limbs.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *limb = u64::from_le_bytes(*bytes);
        }
        Element::try_from_montgomery(limbs)
    };
    let (x, y) = words.split_at(32);
    match mark ^ shaders::DONE {
        shaders::POINT => Some(Outcome::Point(element(x)?, element(y)?)),
        shaders::IDENTITY => Some(Outcome::Identity),
        shaders::NO_POINT => Some(Outcome::NoPoint),
        _ => None,
    }
}

/// The multiples 1 to 255 of a point of a large order, of 256 times it, and so on for each byte of a factor.
fn byte_tables<P: Prime>(x: Element<P>, y: Element<P>) -> Vec<(Element<P>, Element<P>)> {
    let (mut x, mut y) = (x, y);
    let mut list = Vec::with_capacity(BYTES * BYTE_ENTRIES);
    for _ in 0..BYTES {
        let multiples = fixed_table::<Element<P>>(x, y, BYTE_ENTRIES + 1);
        let mut points = multiples
            .iter()
            .map(|entry| entry.coordinates::<Element<P>>());
        list.extend(points.by_ref().take(BYTE_ENTRIES));
        // The last is 256 times the first.
        (x, y) = points.next().unwrap_or((x, y));
    }
    list
}
