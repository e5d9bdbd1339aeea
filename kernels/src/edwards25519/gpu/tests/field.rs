//! The generated field of 2^255 − 19, function by function, with limbs at their bounds.
#![allow(unsafe_code)]

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;
use crate::edwards25519::fe::Fe;
use crate::edwards25519::gpu::field;
use crate::edwards25519::gpu::shaders::{Batch, HEAD, SIGNS};
use crate::edwards25519::lanes::{Field, Lanes};
use crate::gpu::Slots;
use wgpu::BufferUsages as Usage;

/// Elements that a thread writes.
const ELEMENTS: usize = 6;
/// Words behind them: whether a is zero, odd, the same as b; a as eight words.
const WORDS: usize = 11;

fn bits(form: Form, i: usize) -> usize {
    match i + 1 == form.limbs() {
        true => 255 - form.bits() * i,
        false => form.bits(),
    }
}

/// The element that limbs stand for.
fn element(form: Form, limbs: &[u32]) -> Fe {
    let shift = Fe([1 << form.bits(), 0, 0, 0, 0]);
    let add = |sum: Fe, limb: &u32| {
        // SAFETY: scalar elements need no instruction set.
        unsafe { sum.multiply(shift).add(Fe([u64::from(*limb), 0, 0, 0, 0])) }
    };
    limbs.iter().rev().fold(Fe::ZERO, add)
}

/// The largest limbs of a settled value.
fn largest(form: Form) -> Vec<u32> {
    let slack = |i| if i + 1 == form.limbs() { 8 } else { 128 };
    (0..form.limbs())
        .map(|i| (1 << bits(form, i)) - 1 + slack(i))
        .collect()
}

/// Settled values: each limb alone, small and large, the multiples of p and what is near, the largest limbs, random ones.
fn samples(form: Form, rng: &mut StdRng) -> Vec<Vec<u32>> {
    let n = form.limbs();
    let top = largest(form);
    let p: Vec<u32> = (0..n)
        .map(|i| (1 << bits(form, i)) - if i == 0 { 19 } else { 1 })
        .collect();
    let mut out = vec![vec![0; n], top.clone(), p.clone()];
    for i in 0..n {
        for limb in [1, top[i]] {
            let mut one = vec![0; n];
            one[i] = limb;
            out.push(one);
        }
    }
    for near in [-2, -1, 1, 17, 18, 19, 20] {
        let mut value = p.clone();
        value[0] = value[0].checked_add_signed(near).unwrap();
        out.push(value);
    }
    out.extend((0..80).map(|_| top.iter().map(|top| rng.random_range(0..=*top)).collect()));
    out
}

fn shader(form: Form) -> String {
    let n = form.limbs();
    let mut out = HEAD.to_owned() + &field::prelude(form, &["input"]);
    out += &field::constant(form, "zero", Fe::ZERO);
    out += SIGNS;
    let words: Vec<_> = (0..8).map(|i| format!("w[{i}]")).collect();
    out += &format!(
        "
@compute @workgroup_size(THREADS)
fn all(@builtin(global_invocation_id) id: vec3<u32>) {{
    if id.x >= batch.count {{ return; }}
    let a = fetch_input(id.x * {}u);
    let b = fetch_input(id.x * {}u + {n}u);
    let at = id.x * {}u;
    let w = words(canonical(a));
    put(at, mul(a, b));
    put(at + {n}u, sqr(a));
    put(at + {}u, mul(plus(plus(a, a), a), b));
    put(at + {}u, settle(minus(a, b)));
    put(at + {}u, canonical(a));
    put(at + {}u, number({}));
    let flags = at + {}u;
    arena[flags] = u32(is_zero(a));
    arena[flags + 1u] = u32(is_negative(a));
    arena[flags + 2u] = u32(same(a, b));
    for (var i = 0u; i < 8u; i++) {{ arena[flags + 3u + i] = w[i]; }}
}}
",
        2 * n,
        2 * n,
        ELEMENTS * n + WORDS,
        2 * n,
        3 * n,
        4 * n,
        5 * n,
        words.join(", "),
        ELEMENTS * n
    );
    out
}

/// What the shader writes for pairs of values.
fn run(device: &Device, form: Form, pairs: &[u32], count: usize) -> Vec<u32> {
    let storage = Usage::STORAGE | Usage::COPY_DST;
    let usages = [
        Usage::UNIFORM | Usage::COPY_DST,
        storage,
        storage,
        Usage::STORAGE | Usage::COPY_SRC,
    ];
    let bytes = 4 * (count * (ELEMENTS * form.limbs() + WORDS)) as u64;
    let sizes = [256, 256, 4 * pairs.len() as u64, bytes];
    let slot = Slots::new("field", 1, usages).take(device, sizes).unwrap();
    let [uniform, unused, input, arena] = &slot.buffers;
    let checks = ShaderChecks::Checked;
    let module = device.shader("field", shader(form), checks).unwrap();
    let submission = device
        .scoped(|| {
            let layout = device.layout("field", [false, false, true, true]);
            let pipeline = device.pipeline("field", &layout, &module, "all", 64);
            let batch = Batch {
                count: u32::try_from(count).unwrap(),
                ..Batch::default()
            };
            device
                .queue()
                .write_buffer(uniform, 0, bytemuck::bytes_of(&batch));
            device
                .queue()
                .write_buffer(input, 0, bytemuck::cast_slice(pairs));
            let results = device.buffer("field", 256, Usage::STORAGE);
            let storage = [unused, input, arena, &results];
            let group = device.bind::<Batch>("field", &layout, uniform, &storage);
            let mut encoder = device.raw().create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[0]);
            pass.dispatch_workgroups(u32::try_from(count.div_ceil(64)).unwrap(), 1, 1);
            drop(pass);
            encoder.copy_buffer_to_buffer(arena, 0, &slot.readback, 0, bytes);
            device.queue().submit([encoder.finish()])
        })
        .unwrap();
    bytemuck::pod_collect_to_vec(&device.read(&slot.readback, submission, bytes).unwrap())
}

fn compare(device: &Device, form: Form) {
    let n = form.limbs();
    let samples = samples(form, &mut StdRng::seed_from_u64(1));
    let pairs: Vec<_> = samples
        .iter()
        .enumerate()
        .flat_map(|(i, a)| {
            [
                (a, a),
                (a, &samples[0]),
                (a, &samples[1]),
                (a, &samples[i * 7 % samples.len()]),
            ]
        })
        .collect();
    let limbs: Vec<u32> = pairs
        .iter()
        .flat_map(|(a, b)| [*a, *b])
        .flatten()
        .copied()
        .collect();
    let found = run(device, form, &limbs, pairs.len());
    let top = largest(form);
    for ((a, b), found) in pairs.iter().zip(found.chunks(ELEMENTS * n + WORDS)) {
        let (x, y) = (element(form, a), element(form, b));
        let bytes = x.to_bytes();
        let (elements, words_of_a) = found.split_at(ELEMENTS * n);
        let elements: Vec<_> = elements.chunks(n).collect();
        for limbs in &elements {
            let settled = limbs.iter().zip(&top).all(|(limb, top)| limb <= top);
            assert!(settled, "{form:?} {a:?} {b:?}: {limbs:?}");
        }
        // SAFETY: scalar elements need no instruction set.
        let expected = unsafe {
            let product = x.multiply(y);
            let triple = product.add(product).add(product);
            [product, x.square(), triple, x.sub(y)]
        };
        for (i, (limbs, expected)) in elements.iter().zip(expected).enumerate() {
            let found = element(form, limbs).to_bytes();
            assert_eq!(found, expected.to_bytes(), "{form:?} {i} of {a:?} {b:?}");
        }
        // The canonical number has one form.
        let canonical = field::limbs(form, Fe::from_bytes(&bytes));
        assert_eq!(elements[4], canonical, "{form:?} {a:?}");
        assert_eq!(elements[5], canonical, "{form:?} {a:?}");
        let flags = [bytes == [0; 32], bytes[0] & 1 == 1, bytes == y.to_bytes()];
        assert_eq!(
            words_of_a[..3],
            flags.map(u32::from),
            "{form:?} {a:?} {b:?}"
        );
        assert_eq!(words_of_a[3..], words(&bytes), "{form:?} {a:?}");
    }
}

#[test]
fn generated_arithmetic_equals_the_cpu() {
    for adapter in adapters() {
        let device = adapter.open(Duration::from_secs(120)).unwrap();
        for form in [Form::Wide, Form::Narrow] {
            if form == Form::Narrow || device.has_int64() {
                compare(&device, form);
            }
        }
    }
}
