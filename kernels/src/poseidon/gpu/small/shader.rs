//! The shader of a small-field Poseidon2: threads absorb rows, hash nodes of a tree from their children, or climb paths.

use super::SmallPoseidon2;
use crate::poseidon::gpu::shaders::DONE;
use std::fmt::Write;

/// A thread absorbs a row of the input, `block` words a step.
pub(super) const ROWS: u32 = 0;
/// The same, from the results of an earlier dispatch.
pub(super) const TREE: u32 = 1;
/// A thread climbs from a leaf: its digest and its siblings are a row, the bits of its index two words of `places`.
pub(super) const PATHS: u32 = 2;

/// What a dispatch reads beside its buffers, word by word. Places count words of the field, marks 32-bit words.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Batch {
    pub(super) mode: u32,
    /// Threads that have work.
    pub(super) count: u32,
    /// Words that a thread writes.
    pub(super) rows: u32,
    pub(super) reverse: u32,
    /// Words that a thread reads.
    pub(super) row: u32,
    pub(super) block: u32,
    /// Permutations of a thread.
    pub(super) steps: u32,
    pub(super) input: u32,
    pub(super) output: u32,
    pub(super) marks_in: u32,
    pub(super) marks_out: u32,
    pub(super) spare: u32,
}

impl SmallPoseidon2 {
    /// The shader, with products by 64-bit integers or without.
    pub(super) fn source(&self, wide: bool) -> String {
        let mut out = String::from(
            "
struct Batch {
    mode: u32, count: u32, rows: u32, reverse: u32,
    row: u32, block: u32, steps: u32, input: u32,
    output: u32, marks_in: u32, marks_out: u32, spare: u32,
}
@group(0) @binding(0) var<uniform> batch: Batch;
@group(0) @binding(1) var<storage, read> constants: array<u32>;
@group(0) @binding(2) var<storage, read> states: array<u32>;
@group(0) @binding(3) var<storage, read_write> results: array<u32>;
@group(0) @binding(4) var<storage, read> places: array<u32>;
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
        let (t, digest) = (self.width(), self.digest_words());
        let half = self.initial.len() / t;
        let partial = self.partial.len();
        let diagonal = 2 * half * t + partial;
        let each = |words: std::ops::Range<usize>, f: &dyn Fn(usize) -> String| {
            words.map(f).collect::<String>()
        };
        let sum = (1..t).fold("s0".to_owned(), |sum, i| format!("add({sum}, s{i})"));
        let external = self.external();
        let entered = |place: &str| format!("mul(source({place}), constant({}u))", diagonal + t);
        let zeros = each(0..t, &|i| format!("    var s{i} = E(0);\n"));
        let leaf = each(0..digest, &|i| {
            format!("        s{i} = {};\n", entered(&format!("start + {i}u")))
        });
        let siblings = each(0..digest, &|i| {
            let (other, sibling) = (i + digest, entered(&format!("place + {i}u")));
            format!(
                "            {{ let x = {sibling}; s{other} = select(x, s{i}, right); s{i} = select(s{i}, x, right); }}\n"
            )
        });
        let capacity = each(2 * digest..t, &|i| format!("            s{i} = E(0);\n"));
        let block = each(0..t, &|i| {
            let word = entered(&format!("start + place + {i}u"));
            format!("            if {i}u < length {{ s{i} = {word}; }}\n")
        });
        let boxes = each(0..t, &|i| {
            format!("s{i} = power(add(s{i}, constant(at + {i}u))); ")
        });
        let inner = each(0..t, &|i| {
            format!("s{i} = add(sum, mul(s{i}, constant({}u))); ", diagonal + i)
        });
        let stores = each(0..t, &|i| {
            let number = format!("mul(s{i}, constant({}u))", diagonal + t + 1);
            format!("    if {i}u < batch.rows {{ put(out + {i}u, {number}); }}\n")
        });
        format!(
            "
fn source(at: u32) -> E {{
    if batch.mode == {TREE}u {{ return node(at); }}
    return element(at);
}}
@compute @workgroup_size(THREADS)
fn permute(@builtin(global_invocation_id) id: vec3<u32>) {{
    if id.x >= batch.count {{ return; }}
    let thread = select(id.x, batch.count - 1u - id.x, batch.reverse != 0u);
    let start = batch.input + thread * batch.row;
{zeros}    var low = 0u;
    var high = 0u;
    if batch.mode == {PATHS}u {{
        low = places[2u * thread];
        high = places[2u * thread + 1u];
{leaf}    }}
    for (var step = 0u; step < batch.steps; step++) {{
        if batch.mode == {PATHS}u {{
            let place = start + (step + 1u) * {digest}u;
            let right = ((select(high, low, step < 32u) >> (step & 31u)) & 1u) == 1u;
{siblings}{capacity}        }} else {{
            let place = step * batch.block;
            let length = min(batch.block, batch.row - place);
{block}        }}
        var at = 0u;
        {external}
        for (var half = 0u; half < 2u; half++) {{
            for (var round = 0u; round < {half}u; round++) {{
                {boxes}
                at += {t}u;
                {external}
            }}
            if half == 0u {{
                for (var round = 0u; round < {partial}u; round++) {{
                    s0 = power(add(s0, constant(at)));
                    at += 1u;
                    let sum = {sum};
                    {inner}
                }}
            }}
        }}
    }}
    let out = batch.output + thread * batch.rows;
{stores}    // A node of a tree vouches for its children.
    var whole = true;
    if batch.mode == {TREE}u {{
        let child = batch.marks_in + 2u * thread;
        whole = results[child] == {DONE}u && results[child + 1u] == {DONE}u;
    }}
    if whole {{ results[batch.marks_out + thread] = {DONE}u; }}
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
fn node(at: u32) -> E { return results[at]; }
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
fn node(at: u32) -> E { return u64(results[2u * at]) | (u64(results[2u * at + 1u]) << 32u); }
fn put(at: u32, value: E) {
    results[2u * at] = u32(value & LOW);
    results[2u * at + 1u] = u32(value >> 32u);
}
";
