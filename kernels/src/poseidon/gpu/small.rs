//! Poseidon2 over the small fields of proof systems, on a GPU: primes below 2^31 (KoalaBear, BabyBear, Mersenne31) and Goldilocks,
//! 2^64 - 2^32 + 1.
//!
//! The parameters come from the caller, so one generator serves every instance: the external matrix is `circ(2 M, M, …, M)` over blocks
//! of four with M = circ(2, 3, 1, 1), the internal one is `J + diag(v)`, J all ones (Poseidon2, sections 5.1 and 5.2, with the M of
//! Plonky3).
//!
//! | field | form on the device | product |
//! |---|---|---|
//! | p < 2^31 | one `u32` below p, Montgomery to 2^32 | two high halves: from `u64`, or from 16-bit parts |
//! | Goldilocks | one `u64` below p (needs 64-bit integers) | four 32-bit products, 2^64 = 2^32 - 1 and 2^96 = -1 |

use super::{
    BatchHasher, HashError, Program, Tuning, bind,
    plan::Bounds,
    read,
    shaders::{Batch, DONE},
    slots::{Need, Slots},
    unfinished,
};
use crate::gpu::Device;
use std::fmt::Write;

/// 2^64 - 2^32 + 1.
pub const GOLDILOCKS: u64 = 0xffff_ffff_0000_0001;
/// Widest state.
const MAX_WIDTH: usize = 24;
/// Most rounds of a kind.
const MAX_ROUNDS: usize = 64;

/// Why parameters or states are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SmallError {
    /// A modulus that is neither an odd number below 2^31 nor Goldilocks, or an exponent other than 3, 5 and 7.
    #[error(
        "no shader for x^{exponent} modulo {modulus}: the field is a prime below 2^31 or Goldilocks, the exponent 3, 5 or 7"
    )]
    Field {
        /// The modulus given.
        modulus: u64,
        /// The exponent given.
        exponent: u32,
    },
    /// A width that is no multiple of four from 8 to 24, or lists that do not fit it.
    #[error(
        "a state has 8, 12, 16, 20 or 24 words, as many constants for each full round, and at most 64 rounds of a kind"
    )]
    Shape,
    /// A number of p or more.
    #[error("the number {value} is not below the modulus: reduce it first")]
    NotCanonical {
        /// The number.
        value: u64,
    },
    /// Words that are no whole states.
    #[error("{words} words are no whole states of {width}: send whole states")]
    States {
        /// Words given.
        words: usize,
        /// Words of a state.
        width: usize,
    },
    /// The device has no 64-bit integers, which Goldilocks needs.
    #[error("this device has no 64-bit integers in shaders: use the CPU")]
    NeedsInt64,
}

/// A Poseidon2 over a small field. All numbers are below the modulus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmallPoseidon2 {
    modulus: u64,
    exponent: u32,
    initial: Vec<u64>,
    partial: Vec<u64>,
    last: Vec<u64>,
    diagonal: Vec<u64>,
}

impl SmallPoseidon2 {
    /// The permutation with S-box x^`exponent` over the field of `modulus`, which the caller knows to be prime. `initial` and `last`
    /// hold the constants of the full rounds before and after, a state for each round; `partial` one for each partial round;
    /// `diagonal` what the internal matrix has on its diagonal beside one. The width is the diagonal's length.
    ///
    /// # Errors
    /// [`SmallError`] for parameters without a shader.
    pub fn new(
        modulus: u64,
        exponent: u32,
        initial: Vec<u64>,
        partial: Vec<u64>,
        last: Vec<u64>,
        diagonal: Vec<u64>,
    ) -> Result<Self, SmallError> {
        let field = modulus == GOLDILOCKS || (modulus % 2 == 1 && (3..1 << 31).contains(&modulus));
        if !field || ![3, 5, 7].contains(&exponent) {
            return Err(SmallError::Field { modulus, exponent });
        }
        let width = diagonal.len();
        let rounds = MAX_ROUNDS * width.max(1);
        let whole = |list: &[u64]| list.len().is_multiple_of(width) && list.len() <= rounds;
        if !(8..=MAX_WIDTH).contains(&width)
            || !width.is_multiple_of(4)
            || !whole(&initial)
            || initial.len() != last.len()
            || partial.len() > MAX_ROUNDS
        {
            return Err(SmallError::Shape);
        }
        let out = Self {
            modulus,
            exponent,
            initial,
            partial,
            last,
            diagonal,
        };
        out.canonical(&out.initial)?;
        out.canonical(&out.partial)?;
        out.canonical(&out.last)?;
        out.canonical(&out.diagonal)?;
        Ok(out)
    }

    /// Words of a state.
    pub fn width(&self) -> usize {
        self.diagonal.len()
    }

    /// p.
    pub fn modulus(&self) -> u64 {
        self.modulus
    }

    fn canonical(&self, words: &[u64]) -> Result<(), SmallError> {
        match words.iter().find(|word| **word >= self.modulus) {
            Some(value) => Err(SmallError::NotCanonical { value: *value }),
            None => Ok(()),
        }
    }

    fn is_wide(&self) -> bool {
        self.modulus == GOLDILOCKS
    }

    /// `value` in the form of the device.
    fn form(&self, value: u64) -> u64 {
        if self.is_wide() {
            return value;
        }
        let shifted = (u128::from(value) << 32) % u128::from(self.modulus);
        // Below a 64-bit modulus.
        shifted as u64
    }

    /// What the shader reads: constants in the order of use, the diagonal, and what turns a number into its form and back.
    fn constants(&self) -> Vec<u32> {
        let lists = [&self.initial, &self.partial, &self.last, &self.diagonal];
        let numbers = lists.into_iter().flatten().map(|value| self.form(*value));
        let entry = self.form(self.form(1));
        self.pack(numbers.chain([entry, 1]))
    }

    /// Numbers as words of the device.
    fn pack(&self, numbers: impl Iterator<Item = u64>) -> Vec<u32> {
        numbers
            .flat_map(|value| {
                // Low half, then high half where there is one.
                let halves = [value as u32, (value >> 32) as u32];
                halves.into_iter().take(if self.is_wide() { 2 } else { 1 })
            })
            .collect()
    }

    fn source(&self, wide: bool) -> String {
        let mut out = String::from(
            "
struct Batch {
    mode: u32, count: u32, rows: u32, reverse: u32,
    places: u32, first: u32, base: u32, marks_in: u32,
    marks_out: u32, complete_in: u32, complete_out: u32, epoch: u32,
}
@group(0) @binding(0) var<uniform> batch: Batch;
@group(0) @binding(1) var<storage, read> constants: array<u32>;
@group(0) @binding(2) var<storage, read> states: array<u32>;
@group(0) @binding(3) var<storage, read_write> results: array<u32>;
override THREADS: u32 = 64u;
",
        );
        if self.is_wide() {
            out += GOLDILOCKS_WGSL;
        } else {
            let p = self.modulus as u32;
            // 1 / p modulo 2^32: Newton's iteration doubles the right bits each time.
            let inverse = (0..5).fold(p, |x, _| {
                x.wrapping_mul(2u32.wrapping_sub(p.wrapping_mul(x)))
            });
            let _ = writeln!(
                out,
                "alias E = u32;\nconst P = {p}u;\nconst INVERSE = {inverse}u;"
            );
            out += if wide { HIGH_64 } else { HIGH_32 };
            out += MONTGOMERY_WGSL;
        }
        out += match self.exponent {
            3 => "fn power(x: E) -> E { return mul(mul(x, x), x); }\n",
            5 => "fn power(x: E) -> E { let s = mul(x, x); return mul(mul(s, s), x); }\n",
            _ => {
                "fn power(x: E) -> E { let s = mul(x, x); let c = mul(s, x); return mul(mul(c, c), x); }\n"
            }
        };
        out + &self.entry()
    }

    /// The entry point: rounds in loops, words of the state as named variables.
    fn entry(&self) -> String {
        let t = self.width();
        let half = self.initial.len() / t;
        let partial = self.partial.len();
        let diagonal = 2 * half * t + partial;
        let each = |f: &dyn Fn(usize) -> String| (0..t).map(f).collect::<String>();
        let sum = (1..t).fold("s0".to_owned(), |sum, i| format!("add({sum}, s{i})"));
        let external = self.external();
        let words = if self.is_wide() { 2 } else { 1 };
        let loads = each(&|i| {
            format!(
                "    var s{i} = mul(element(at * {t}u + {i}u), constant({}u));\n",
                diagonal + t
            )
        });
        let boxes = each(&|i| format!("s{i} = power(add(s{i}, constant(place + {i}u))); "));
        let inner = each(&|i| format!("s{i} = add(sum, mul(s{i}, constant({}u))); ", diagonal + i));
        let stores = each(&|i| {
            format!(
                "    if batch.rows > {i}u {{ put(at * batch.rows + {i}u, mul(s{i}, constant({}u))); }}\n",
                diagonal + t + 1
            )
        });
        format!(
            "
@compute @workgroup_size(THREADS)
fn permute(@builtin(global_invocation_id) id: vec3<u32>) {{
    if id.x >= batch.count {{ return; }}
    let at = select(id.x, batch.count - 1u - id.x, batch.reverse != 0u);
{loads}    var place = 0u;
    {external}
    for (var half = 0u; half < 2u; half++) {{
        for (var round = 0u; round < {half}u; round++) {{
            {boxes}
            place += {t}u;
            {external}
        }}
        if half == 0u {{
            for (var round = 0u; round < {partial}u; round++) {{
                s0 = power(add(s0, constant(place)));
                place += 1u;
                let sum = {sum};
                {inner}
            }}
        }}
    }}
{stores}    results[batch.count * batch.rows * {words}u + at] = {DONE}u;
}}
"
        )
    }

    /// M on each block of four, then the sum of all blocks to each.
    fn external(&self) -> String {
        let t = self.width();
        let mut out = String::from("{ ");
        for i in (0..t).step_by(4) {
            let [a, b, c, d] = [i, i + 1, i + 2, i + 3];
            let _ = write!(
                out,
                "{{ let ab = add(s{a}, s{b}); let cd = add(s{c}, s{d}); let all = add(ab, cd); \
                 let left = add(all, s{b}); let right = add(all, s{d}); \
                 s{d} = add(right, add(s{a}, s{a})); s{b} = add(left, add(s{c}, s{c})); \
                 s{a} = add(left, ab); s{c} = add(right, cd); }} "
            );
        }
        for j in 0..4 {
            let sum = (j + 4..t)
                .step_by(4)
                .fold(format!("s{j}"), |sum, i| format!("add({sum}, s{i})"));
            let _ = write!(out, "let b{j} = {sum}; ");
        }
        for i in 0..t {
            let _ = write!(out, "s{i} = add(s{i}, b{}); ", i % 4);
        }
        out + "}"
    }
}

/// Products of `u64` give the high half.
const HIGH_64: &str = "fn high(a: u32, b: u32) -> u32 { return u32((u64(a) * u64(b)) >> 32u); }\n";
/// The high half from products of 16 bits.
const HIGH_32: &str = "fn high(a: u32, b: u32) -> u32 {
    let a0 = a & 0xffffu; let a1 = a >> 16u; let b0 = b & 0xffffu; let b1 = b >> 16u;
    let mixed = a1 * b0 + ((a0 * b0) >> 16u);
    let other = a0 * b1 + (mixed & 0xffffu);
    return a1 * b1 + (mixed >> 16u) + (other >> 16u);
}
";
/// Numbers below p < 2^31: a sum fits its word; a product less its multiple of p is above -p and below p.
const MONTGOMERY_WGSL: &str = "
fn add(a: E, b: E) -> E { let r = a + b; return select(r, r - P, r >= P); }
fn mul(a: E, b: E) -> E {
    let over = high(a, b);
    let under = high(a * b * INVERSE, P);
    return select(over - under, over - under + P, over < under);
}
fn constant(at: u32) -> E { return constants[at]; }
fn element(at: u32) -> E { return states[at]; }
fn put(at: u32, value: E) { results[at] = value; }
";
/// Numbers below p: 2^64 is 2^32 - 1 and 2^96 is -1.
const GOLDILOCKS_WGSL: &str = "
alias E = u64;
const P = 0xffffffff00000001lu;
const LOW = 0xfffffffflu;
fn add(a: E, b: E) -> E { let r = a + b; return select(r, r - P, r < a || r >= P); }
fn mul(a: E, b: E) -> E {
    let a0 = a & LOW; let a1 = a >> 32u; let b0 = b & LOW; let b1 = b >> 32u;
    let p00 = a0 * b0;
    let mixed = a1 * b0 + (p00 >> 32u);
    let other = a0 * b1 + (mixed & LOW);
    let top = a1 * b1 + (mixed >> 32u) + (other >> 32u);
    let bottom = (other << 32u) | (p00 & LOW);
    let t1 = top >> 32u;
    let t0 = top & LOW;
    let less = select(bottom - t1, bottom - t1 - LOW, bottom < t1);
    let more = (t0 << 32u) - t0;
    let r = less + more;
    let s = select(r, r + LOW, r < less);
    return select(s, s - P, s >= P);
}
fn constant(at: u32) -> E { return u64(constants[2u * at]) | (u64(constants[2u * at + 1u]) << 32u); }
fn element(at: u32) -> E { return u64(states[2u * at]) | (u64(states[2u * at + 1u]) << 32u); }
fn put(at: u32, value: E) {
    results[2u * at] = u32(value & LOW);
    results[2u * at + 1u] = u32(value >> 32u);
}
";

/// A small-field Poseidon2 on one device.
#[derive(Debug)]
pub struct SmallHasher {
    parameters: SmallPoseidon2,
    device: Device,
    layout: wgpu::BindGroupLayout,
    tuning: Tuning,
    bounds: Bounds,
    program: Program,
    slots: Slots,
}

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
            slots: Slots::default(),
        })
    }

    /// What it computes.
    pub fn parameters(&self) -> &SmallPoseidon2 {
        &self.parameters
    }

    /// The permutation of each state, one after another.
    ///
    /// # Errors
    /// [`SmallError`] for words that are no whole states or not below the modulus; [`HashError`] if the device failed.
    pub fn permute_many(&mut self, states: &[u64]) -> Result<Vec<u64>, HashError> {
        self.run(self.parameters.width(), states)
    }

    /// The compression of each state, which holds two digests: the first half of its permutation (Plonky3's truncated permutation).
    ///
    /// # Errors
    /// As [`permute_many`](Self::permute_many).
    pub fn compress_many(&mut self, states: &[u64]) -> Result<Vec<u64>, HashError> {
        self.run(self.parameters.width() / 2, states)
    }

    fn run(&mut self, rows: usize, states: &[u64]) -> Result<Vec<u64>, HashError> {
        let width = self.parameters.width();
        if !states.len().is_multiple_of(width) {
            let words = states.len();
            return Err(SmallError::States { words, width }.into());
        }
        self.parameters.canonical(states)?;
        let mut out = Vec::with_capacity(states.len() / width * rows);
        for states in states.chunks(self.bounds.count * width) {
            self.submission(rows, states, &mut out)?;
        }
        Ok(out)
    }

    fn submission(
        &mut self,
        rows: usize,
        states: &[u64],
        out: &mut Vec<u64>,
    ) -> Result<(), HashError> {
        let count = states.len() / self.parameters.width();
        let words = self.parameters.pack(states.iter().copied());
        let size = if self.parameters.is_wide() { 8 } else { 4 };
        let need = Need {
            states: words.len() as u64 * 4,
            places: 4,
            results: (count * (rows * size + 4)) as u64,
        };
        let slot = self.slots.take(&self.device, need)?;
        let device = &self.device;
        let batch = Batch {
            count: count as u32,
            rows: rows as u32,
            reverse: u32::from(self.tuning.reverse),
            ..Batch::default()
        };
        let submission = device.scoped(|| {
            let queue = device.queue();
            queue.write_buffer(&slot.batch, 0, bytemuck::bytes_of(&batch));
            queue.write_buffer(&slot.states, 0, bytemuck::cast_slice(&words));
            let storage = [
                &self.program.constants,
                &slot.states,
                &slot.results,
                &slot.places,
            ];
            let group = bind(device, &self.layout, &slot.batch, storage);
            let mut encoder = device.raw().create_command_encoder(&Default::default());
            encoder.clear_buffer(&slot.results, 0, Some(need.results));
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&self.program.permute);
            pass.set_bind_group(0, &group, &[0]);
            pass.dispatch_workgroups((count as u32).div_ceil(self.tuning.threads), 1, 1);
            drop(pass);
            encoder.copy_buffer_to_buffer(&slot.results, 0, &slot.readback, 0, need.results);
            queue.submit([encoder.finish()])
        })?;
        let bytes = read(device, &slot.readback, submission, need.results)?;
        let (found, marks) = bytes
            .split_at_checked(count * rows * size)
            .unwrap_or_default();
        let done = marks
            .chunks_exact(4)
            .filter(|mark| *mark == DONE.to_le_bytes());
        let done = done.count();
        if done != count {
            return Err(unfinished(device, count - done.min(count), count));
        }
        for word in found.chunks_exact(size) {
            let value = word
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u64::from(*byte));
            if value >= self.parameters.modulus {
                return Err(unfinished(device, 1, count));
            }
            out.push(value);
        }
        self.slots.give(slot);
        Ok(())
    }
}
