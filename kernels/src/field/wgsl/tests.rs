//! The generated functions on every adapter against `ark-bn254`, with limbs as large as their bounds allow.

use super::*;
use crate::{
    field::{Fr, bn254::Scalar},
    gpu::{Device, ShaderChecks, adapters},
};
use ark_ff::{Field, PrimeField};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;

type Ark = ark_bn254::Fr;

/// Products that a dot of the test sums, as many as Poseidon's widest row in a common width.
const TERMS: usize = 4;
/// Results of a thread, in limbs.
const RAW: usize = 7;
/// Elements of each of the two lists of the dot in memory: the most that it takes.
const LIST: usize = MOST_TERMS / 2;
/// Where these lists are read from first.
const NEWEST: [usize; 2] = [3, LIST - 1];

impl Form {
    /// The number of some limbs, modulo p.
    fn value(self, limbs: &[u32]) -> Ark {
        let shift = Ark::from(1u64 << self.bits());
        limbs
            .iter()
            .rev()
            .fold(Ark::from(0u64), |sum, limb| sum * shift + Ark::from(*limb))
    }

    /// The number of some limbs as a multiple of p, nearly.
    fn size(self, limbs: &[u32]) -> f64 {
        let p = Scalar::MODULUS
            .iter()
            .rev()
            .fold(0.0, |sum, limb| sum * 2f64.powi(64) + *limb as f64);
        let shift = 2f64.powi(self.bits() as i32);
        limbs
            .iter()
            .rev()
            .fold(0.0, |sum, limb| sum * shift + f64::from(*limb))
            / p
    }

    /// R as a multiple of p, nearly.
    fn room(self) -> f64 {
        let top: Vec<u32> = vec![(1 << self.bits()) - 1; self.limbs()];
        self.size(&top)
    }

    /// Settled limbs: edges of the field and of the form, then random ones of any size below R.
    fn samples(self, random: &mut StdRng) -> Vec<Vec<u32>> {
        let (n, top) = (self.limbs(), (1u32 << self.bits()) - 1);
        let mut out = vec![vec![0; n], vec![top; n]];
        let p = self.split(&Scalar::MODULUS);
        for (at, step) in [(0, 1), (0, 0), (0, u32::MAX)] {
            let mut near = p.clone();
            near[at] = near[at].wrapping_add(step);
            out.push(near);
        }
        // Only the lowest, only the highest limb; all but the highest.
        let mut one = vec![0; n];
        one[0] = top;
        out.push(one.clone());
        one.rotate_right(1);
        out.push(one);
        let mut low = vec![top; n];
        low[n - 1] = 0;
        out.push(low);
        for _ in 0..120 {
            let mut limbs: Vec<u32> = (0..n).map(|_| random.random_range(0..=top)).collect();
            limbs[n - 1] >>= random.random_range(0..self.bits());
            out.push(limbs);
        }
        out
    }

    /// A shader that writes, for two values: product, square, fifth power, settled sum, shrunk value, a dot, a dot in
    /// memory, the stored value.
    fn shader(self) -> String {
        let writer = Writer::<Scalar>::new(self);
        let n = self.limbs();
        let stride = RAW * n + 8;
        let raw = |name: &str, slot: usize| -> String {
            (0..n)
                .map(|i| format!("    results[base + {}u] = {name}.l{i};\n", slot * n + i))
                .collect()
        };
        let take = |at: usize| -> String {
            let limbs: Vec<String> = (0..n)
                .map(|i| format!("states[id.x * {}u + {}u]", 2 * n, at * n + i))
                .collect();
            format!("F({})", limbs.join(", "))
        };
        let names = "a, b, ".repeat(TERMS / 2);
        let mut out = "
@group(0) @binding(0) var<storage, read> constants: array<u32>;
@group(0) @binding(1) var<storage, read> states: array<u32>;
@group(0) @binding(2) var<storage, read_write> results: array<u32>;
"
        .to_owned();
        out += &writer.prelude();
        out += &writer.dot(TERMS);
        // One element of rest before the lists.
        out += &format!("var<private> words: array<F, {}>;\n", 1 + 2 * LIST);
        out += &writer.dot_in_memory();
        out += &format!(
            "
@compute @workgroup_size(32)
fn all(@builtin(global_invocation_id) id: vec3<u32>) {{
    let a = {}; let b = {};
    let base = id.x * {stride}u;
    let product = mul(a, b); let square = sqr(a); let fifth = pow5(a);
    let half = settle(add(shrink(a), shrink(b))); let small = shrink(a);
    let sum = dot{TERMS}({names}0u, {TERMS}u, small);
    // Every third of one list is a and the others b, and the other way round.
    for (var i = 0u; i < {LIST}u; i++) {{
        words[1u + i] = b; words[{second}u + i] = a;
        if i % 3u == 0u {{ words[1u + i] = a; words[{second}u + i] = b; }}
    }}
    let long = dot(vec2(1u, {second}u), vec2({}u, {}u), {LIST}u, 2u, 0u, {MOST_TERMS}u, small);
",
            take(0),
            take(1),
            NEWEST[0],
            NEWEST[1],
            second = 1 + LIST,
        );
        let names = ["product", "square", "fifth", "half", "small", "sum", "long"];
        for (slot, name) in names.iter().enumerate() {
            out += &raw(name, slot);
        }
        out + &format!("    store(base + {}u, small);\n}}\n", RAW * n)
    }
}

/// Runs the shader over pairs of limbs.
fn run(
    device: &Device,
    form: Form,
    constants: &[u32],
    pairs: &[u32],
    bytes: u64,
    count: u32,
) -> Vec<u32> {
    use wgpu::BufferUsages as Usage;
    let module = device
        .shader("field test", form.shader(), ShaderChecks::Checked)
        .unwrap();
    let raw = device.raw();
    let make = |size: u64, usage| {
        raw.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        })
    };
    let input = |words: &[u32]| {
        let buffer = make(4 * words.len() as u64, Usage::STORAGE | Usage::COPY_DST);
        device
            .queue()
            .write_buffer(&buffer, 0, bytemuck::cast_slice(words));
        buffer
    };
    let (results, readback) = (
        make(bytes, Usage::STORAGE | Usage::COPY_SRC),
        make(bytes, Usage::MAP_READ | Usage::COPY_DST),
    );
    let submission = device
        .scoped(|| {
            let pipeline = raw.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: None,
                module: &module,
                entry_point: Some("all"),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            });
            let buffers = [input(constants), input(pairs), results.clone()];
            let entries: Vec<_> = (0..)
                .zip(&buffers)
                .map(|(binding, buffer)| wgpu::BindGroupEntry {
                    binding,
                    resource: buffer.as_entire_binding(),
                })
                .collect();
            let group = raw.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &pipeline.get_bind_group_layout(0),
                entries: &entries,
            });
            let mut encoder = raw.create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(count.div_ceil(32), 1, 1);
            drop(pass);
            encoder.copy_buffer_to_buffer(&results, 0, &readback, 0, bytes);
            device.queue().submit([encoder.finish()])
        })
        .unwrap();
    let mapping = device.map(&readback, wgpu::MapMode::Read);
    device.wait(submission).unwrap();
    device.mapped(&mapping).unwrap();
    let view = readback.slice(..).get_mapped_range().unwrap();
    bytemuck::cast_slice(&view).to_vec()
}

/// That limbs are `expected` modulo p, settled but for the last, and below a multiple of p.
#[track_caller]
fn check(form: Form, what: &str, limbs: &[u32], expected: Ark, bound: f64) {
    assert_eq!(form.value(limbs), expected, "{what}");
    let (_, settled) = limbs.split_last().unwrap();
    assert!(
        settled.iter().all(|limb| limb >> form.bits() == 0),
        "{what}: {limbs:?}"
    );
    let size = form.size(limbs);
    assert!(size < bound * (1.0 + 1e-9), "{what}: {size} of {bound}");
}

#[test]
fn generated_arithmetic_equals_ark() {
    for adapter in adapters() {
        eprintln!("adapter: {}", adapter.info());
        let device = adapter.open(Duration::from_secs(120)).unwrap();
        for form in [Form::Wide, Form::Narrow] {
            if form == Form::Wide && !device.has_int64() {
                continue;
            }
            compare(&device, form);
        }
    }
}

fn compare(device: &Device, form: Form) {
    let mut random = StdRng::seed_from_u64(5);
    let samples = form.samples(&mut random);
    let edges = 8;
    let mut pairs: Vec<(&[u32], &[u32])> = Vec::new();
    for a in &samples[..edges] {
        pairs.extend(samples[..edges].iter().map(|b| (&a[..], &b[..])));
    }
    pairs.extend(
        samples
            .iter()
            .zip(samples.iter().rev())
            .map(|(a, b)| (&a[..], &b[..])),
    );
    let n = form.limbs();
    let stride = RAW * n + 8;
    let mut factors = vec![
        -Fr::ONE,
        Fr::from_u64(2),
        -Fr::from_u64(77),
        Fr::from_u64(9).square(),
        -Fr::ONE,
    ];
    while factors.len() <= MOST_TERMS {
        factors.push(factors[factors.len() - 1].square() - Fr::from_u64(3));
    }
    let constants: Vec<u32> = factors
        .iter()
        .flat_map(|factor| form.constant(*factor))
        .collect();
    // Whole workgroups: the shader asks for no count.
    while !pairs.len().is_multiple_of(32) {
        pairs.push(pairs[pairs.len() % edges]);
    }
    let words: Vec<u32> = pairs.iter().flat_map(|(a, b)| [*a, *b].concat()).collect();
    let count = u32::try_from(pairs.len()).unwrap();
    let found = run(
        device,
        form,
        &constants,
        &words,
        4 * (pairs.len() * stride) as u64,
        count,
    );
    let r = Ark::from(2u64).pow([(form.bits() * n) as u64]);
    let over = r.inverse().unwrap();
    let room = form.room();
    let constant = |at: usize| form.value(&constants[at * n..(at + 1) * n]);
    for ((a, b), found) in pairs.iter().zip(found.chunks_exact(stride)) {
        let (x, y) = (form.value(a), form.value(b));
        let (wide, tall) = (form.size(a), form.size(b));
        let slot = |at: usize| &found[at * n..(at + 1) * n];
        check(
            form,
            "product",
            slot(0),
            x * y * over,
            wide * tall / room + 1.0,
        );
        let square = wide * wide / room + 1.0;
        check(form, "square", slot(1), x * x * over, square);
        // The fourth power enters a product once more.
        let fourth = square * square / room + 1.0;
        let fifth = x.pow([5u64]) * over.pow([4u64]);
        check(
            form,
            "fifth power",
            slot(2),
            fifth,
            fourth * wide / room + 1.0,
        );
        // The estimate of the quotient holds for all but the top sixteenth of the room.
        let most = room * 15.0 / 16.0;
        if wide > most {
            continue;
        }
        check(form, "shrunk", slot(4), x, 2.0);
        if tall < most {
            check(form, "sum", slot(3), x + y, 4.0);
        }
        let dot = (0..TERMS).fold(constant(TERMS), |sum, at| {
            sum + constant(at) * if at % 2 == 0 { x } else { y } * over
        });
        let bound = 2.0 * (wide + tall) / room + 1.0 + 1.0 + form.size(slot(4));
        check(form, "dot", slot(5), dot + form.value(slot(4)), bound);
        let mut long = constant(MOST_TERMS) + form.value(slot(4));
        let mut size = 2.0 + form.size(slot(4));
        for (list, newest) in NEWEST.into_iter().enumerate() {
            for j in 0..LIST {
                let first = ((newest + j) % LIST).is_multiple_of(3);
                let (value, times) = if first == (list == 0) {
                    (x, wide)
                } else {
                    (y, tall)
                };
                long += constant(list * LIST + j) * value * over;
                size += times / room;
            }
        }
        check(form, "dot in memory", slot(6), long, size);
        let words = &found[RAW * n..];
        let stored = words.iter().rev().fold(Ark::from(0u64), |sum, word| {
            sum * Ark::from(1u64 << 32) + Ark::from(*word)
        });
        assert_eq!(
            stored,
            form.value(slot(4)) * over * Ark::from(2u64).pow([256u64])
        );
        let limbs: Vec<u64> = words
            .chunks(2)
            .map(|pair| u64::from(pair[0]) | u64::from(pair[1]) << 32)
            .collect();
        let canonical = ark_ff::BigInt::<4>::new(limbs.try_into().unwrap()) < Ark::MODULUS;
        assert!(canonical, "a stored element is below p");
    }
}
