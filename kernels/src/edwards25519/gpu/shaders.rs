//! The kernels in WGSL. A thread takes a task: a few words in `input` that say where its operands are.
//!
//! | kernel | a task | words of a task |
//! |---|---|---|
//! | `decompress` | an encoded point becomes a prepared one, by the rule of ZIP 215 | encoding, point, 1 to negate, result |
//! | `sum` | a program of doublings and additions (see `program`) | program, steps, result, up to nine operands |
//! | `monero_map` | a hash becomes an eighth of Monero's point (see `monero`) | hash, point, result |
//! | `compress` | two points become their encodings | two points, where the encodings go |
//! | `ristretto_decode` | a canonical encoding becomes a point of ristretto255 | encoding, point, result |
//! | `ristretto_map` | MAP of 32 bytes | bytes, point, result |
//! | `ristretto_encode` | two points become their encodings | two points, where the encodings go |
//! | `clsag_challenge`, `lsag_challenge` | see `challenge` | |
//!
//! Addresses are in words. A *prepared* point is Y + X, Y − X, 2 Z and 2 d T, all settled. Drivers inline every call, so a product that
//! stands in the text once costs compile time, however often it runs: doubling and addition stand in one loop, and the powers of a
//! root and of an inverse are a table of steps.

use super::program::{ADD, BASE, CACHE, DIGIT, NEED_T, RESET, TEST, TOP};
use super::{challenge, field, ristretto};
use crate::edwards25519::constants::CONSTANTS;
use crate::edwards25519::fe::Fe;
use crate::field::wgsl::Form;

/// A kernel: a shader with one entry point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kernel {
    /// Points from their encodings.
    Decompress,
    /// Sums of multiples.
    Sum,
    /// Monero's map of a hash to the curve.
    MoneroMap,
    /// Encodings of points.
    Compress,
    /// A round of CLSAG.
    ClsagChallenge,
    /// Points of ristretto255 from their encodings.
    RistrettoDecode,
    /// The map to ristretto255.
    RistrettoMap,
    /// Encodings of points of ristretto255.
    RistrettoEncode,
    /// A round of LSAG.
    LsagChallenge,
}

impl Kernel {
    /// The entry point.
    pub(super) const fn entry(self) -> &'static str {
        match self {
            Self::Decompress => "decompress",
            Self::Sum => "sum",
            Self::MoneroMap => "monero_map",
            Self::Compress => "compress",
            Self::ClsagChallenge => "clsag_challenge",
            Self::RistrettoDecode => "ristretto_decode",
            Self::RistrettoMap => "ristretto_map",
            Self::RistrettoEncode => "ristretto_encode",
            Self::LsagChallenge => "lsag_challenge",
        }
    }

    /// Words of a task.
    pub(super) const fn task_words(self) -> usize {
        match self {
            Self::Decompress => 4,
            Self::Sum => OPERANDS + 3,
            Self::MoneroMap
            | Self::Compress
            | Self::RistrettoDecode
            | Self::RistrettoMap
            | Self::RistrettoEncode => 3,
            Self::ClsagChallenge => 8,
            Self::LsagChallenge => 7,
        }
    }
}

/// What a dispatch reads beside its buffers: the uniform of the shaders, word by word.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Batch {
    /// Tasks.
    pub(super) count: u32,
    /// Where they start in `input`.
    pub(super) tasks: u32,
    /// Whether the first thread has the last task.
    pub(super) reverse: u32,
    pub(super) unused: u32,
}

/// What a task leaves in its result, in place of the zero that was there: whether what it was asked is so.
pub(super) const YES: u32 = 0x7a5e_0d17;
pub(super) const NO: u32 = 0x5e9f_a11e;

/// Most operands of a sum.
pub(crate) const OPERANDS: usize = 9;
/// Set in the address of a scalar that is in the arena, not in the input.
pub(crate) const IN_ARENA: u32 = 1 << 31;

/// Words of an element.
pub(crate) const fn element_words(form: Form) -> u32 {
    form.limbs() as u32
}

/// Words of a prepared point.
pub(crate) const fn point_words(form: Form) -> u32 {
    4 * element_words(form)
}

pub(super) const HEAD: &str = "
struct Batch { count: u32, tasks: u32, reverse: u32, unused: u32 }
@group(0) @binding(0) var<uniform> batch: Batch;
@group(0) @binding(1) var<storage, read> constants: array<u32>;
@group(0) @binding(2) var<storage, read> input: array<u32>;
@group(0) @binding(3) var<storage, read_write> arena: array<u32>;
@group(0) @binding(4) var<storage, read_write> results: array<u32>;
override THREADS: u32 = 64u;
fn task_of(thread: u32) -> u32 { return select(thread, batch.count - 1u - thread, batch.reverse == 1u); }
";

/// x^(2^252 − 3) and 1/x, step by step: squarings, what to multiply by, what to keep. A number n in a comment is x^(2^n − 1).
const CHAIN: [[u32; 3]; 14] = {
    const NOTHING: u32 = 0;
    const X: u32 = 1;
    const BEFORE: u32 = 2;
    const A: u32 = 3;
    const B: u32 = 4;
    [
        [1, NOTHING, A], // x^2
        [2, X, B],       // x^9
        [0, A, NOTHING], // x^11
        [1, B, NOTHING], // 5
        [5, BEFORE, A],  // 10
        [10, BEFORE, NOTHING],
        [20, BEFORE, NOTHING],
        [10, A, B], // 50
        [50, BEFORE, NOTHING],
        [100, BEFORE, NOTHING],
        [50, B, NOTHING], // 250
        [2, X, NOTHING],  // x^(2^252 − 3)
        [2, X, NOTHING],
        [1, X, NOTHING], // x^(2^255 − 21)
    ]
};
/// Steps to x^(2^252 − 3), and to 1/x.
const POWER: usize = 12;
const INVERSE: usize = CHAIN.len();

/// `chain(x, steps)`: the steps of [`CHAIN`], packed, from the constants at `at`.
fn chain(at: usize) -> String {
    format!(
        "
fn chain(x: F, steps: u32) -> F {{
    var r = x; var a = x; var b = x;
    for (var i = 0u; i < steps; i++) {{
        let step = constants[{at}u + i];
        var f = r;
        for (var n = step & 0xffu; n != 0u; n--) {{ r = sqr(r); }}
        let by = (step >> 8u) & 0xfu;
        if by == 1u {{ f = x; }}
        if by == 3u {{ f = a; }}
        if by == 4u {{ f = b; }}
        if by != 0u {{ r = mul(r, f); }}
        let keep = step >> 12u;
        if keep == 3u {{ a = r; }}
        if keep == 4u {{ b = r; }}
    }}
    return r;
}}
"
    )
}

/// The words of [`CHAIN`].
pub(super) fn chain_words() -> impl Iterator<Item = u32> {
    CHAIN
        .into_iter()
        .map(|[squarings, by, keep]| squarings | by << 8 | keep << 12)
}

pub(super) const SIGNS: &str = "
fn negate(a: F) -> F { return settle(minus(zero(), a)); }
fn is_negative(a: F) -> bool { let r = canonical(a); return (r.l0 & 1u) == 1u; }
fn same(a: F, b: F) -> bool { return is_zero(settle(minus(a, b))); }
";

/// SQRT_RATIO_M1, RFC 9496 §4.2.
fn sqrt_ratio() -> String {
    format!(
        "
struct Root {{ was_square: bool, r: F }}
fn sqrt_ratio(u: F, v: F) -> Root {{
    let v3 = mul(sqr(v), v);
    let v7 = mul(sqr(v3), v);
    var r = mul(mul(u, v3), chain(mul(u, v7), {POWER}u));
    let check = mul(v, sqr(r));
    let opposite = negate(u);
    let correct = same(check, u);
    let flipped = same(check, opposite);
    let flipped_i = same(check, mul(opposite, sqrt_m1()));
    if flipped || flipped_i {{ r = mul(r, sqrt_m1()); }}
    if is_negative(r) {{ r = negate(r); }}
    return Root(correct || flipped, r);
}}
"
    )
}

/// `prepare(at, x, y, z, t)`: writes a point prepared to be added.
fn prepare(form: Form) -> String {
    let n = form.limbs();
    format!(
        "
fn prepare(at: u32, x: F, y: F, z: F, t: F) {{
    put(at, settle(plus(y, x)));
    put(at + {n}u, settle(minus(y, x)));
    put(at + {}u, settle(plus(z, z)));
    put(at + {}u, mul(t, two_d()));
}}
",
        2 * n,
        3 * n
    )
}

/// The source of a kernel.
pub(super) fn source(kernel: Kernel, form: Form, places: &Places) -> String {
    let c = &*CONSTANTS;
    let (fetches, constants, body): (&[&str], &[(&str, Fe)], _) = match kernel {
        Kernel::Decompress => (
            &[],
            &[("two_d", c.two_d), ("d", c.d), ("sqrt_m1", c.sqrt_m1)],
            decompress(),
        ),
        Kernel::Sum => (
            &["arena", "constants"],
            &[("two_d", c.two_d)],
            sum(form, places.base),
        ),
        Kernel::MoneroMap => (
            &[],
            &[
                ("two_d", c.two_d),
                ("sqrt_m1", c.sqrt_m1),
                ("montgomery_a", c.montgomery_a),
                ("a_squared", c.a_squared),
                ("sqrt_2a_a2", c.sqrt_2a_a2),
                ("sqrt_minus_ia_a2", c.sqrt_minus_ia_a2),
            ],
            monero_map(),
        ),
        Kernel::Compress => (&["arena"], &[], compress(form)),
        Kernel::RistrettoDecode => (
            &[],
            &[("two_d", c.two_d), ("d", c.d), ("sqrt_m1", c.sqrt_m1)],
            ristretto::decode(),
        ),
        Kernel::RistrettoMap => (
            &[],
            &[
                ("two_d", c.two_d),
                ("d", c.d),
                ("sqrt_m1", c.sqrt_m1),
                ("one_minus_d_sq", c.one_minus_d_sq),
                ("d_minus_one_sq", c.d_minus_one_sq),
                ("sqrt_ad_minus_one", c.sqrt_ad_minus_one),
            ],
            ristretto::map(),
        ),
        Kernel::RistrettoEncode => (
            &["arena"],
            &[
                ("d_inverse", c.d_inverse),
                ("sqrt_m1", c.sqrt_m1),
                ("invsqrt_a_minus_d", c.invsqrt_a_minus_d),
            ],
            ristretto::encode(form),
        ),
        Kernel::ClsagChallenge => return challenge::clsag(form, places.keccak),
        Kernel::LsagChallenge => return challenge::lsag(form, places.sha512),
    };
    let mut out = HEAD.to_owned() + &field::prelude(form, fetches);
    for (name, element) in [("zero", Fe::ZERO), ("one", Fe::ONE)]
        .iter()
        .chain(constants)
    {
        out += &field::constant(form, name, *element);
    }
    out += SIGNS;
    if kernel != Kernel::Sum {
        out += &chain(places.chain);
    }
    if constants.iter().any(|(name, _)| *name == "sqrt_m1") {
        out += &sqrt_ratio();
    }
    if constants.iter().any(|(name, _)| *name == "two_d") {
        out += &prepare(form);
    }
    out + &body
}

/// Where things are among the constants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    /// The packed [`CHAIN`].
    pub(super) chain: usize,
    /// The multiples of the base point.
    pub(super) base: usize,
    /// The round constants of Keccak, in pairs of words.
    pub(super) keccak: usize,
    /// The constants of SHA-512, in pairs of words.
    pub(super) sha512: usize,
}

/// The element whose eight words begin at an address of the input.
pub(super) fn number(at: &str) -> String {
    let words: Vec<_> = (0..8).map(|i| format!("input[{at} + {i}u]")).collect();
    format!("number({})", words.join(", "))
}

fn decompress() -> String {
    format!(
        "
@compute @workgroup_size(THREADS)
fn decompress(@builtin(global_invocation_id) id: vec3<u32>) {{
    if id.x >= batch.count {{ return; }}
    let task = batch.tasks + task_of(id.x) * 4u;
    let encoded = input[task];
    let y = {number};
    let yy = sqr(y);
    let u = settle(minus(yy, one()));
    let v = settle(plus(mul(yy, d()), one()));
    let root = sqrt_ratio(u, v);
    var x = root.r;
    if (((input[encoded + 7u] >> 31u) ^ input[task + 2u]) & 1u) == 1u {{ x = negate(x); }}
    prepare(input[task + 1u], x, y, one(), mul(x, y));
    results[input[task + 3u]] = select({NO}u, {YES}u, root.was_square);
}}
",
        number = number("encoded"),
    )
}

/// Doublings and additions by a program, whose steps are two words each.
///
/// Doubling and addition are those of `point`. A digit of five bits of a scalar that has 16 added to each digit is what the bits say
/// less 16; two of them are a digit for the base point, less 16 · 33.
fn sum(form: Form, base: usize) -> String {
    let n = form.limbs();
    let (n2, n3, n4) = (2 * n, 3 * n, 4 * n);
    format!(
        "
fn scalar_word(at: u32) -> u32 {{
    if at >= {IN_ARENA}u {{ return arena[at - {IN_ARENA}u]; }}
    return input[at];
}}
@compute @workgroup_size(THREADS)
fn sum(@builtin(global_invocation_id) id: vec3<u32>) {{
    if id.x >= batch.count {{ return; }}
    let task = batch.tasks + task_of(id.x) * {task}u;
    let program = input[task];
    let steps = input[task + 1u] & 0xffffu;
    var x = zero(); var y = one(); var z = one(); var t = x;
    for (var i = 0u; i < steps; i++) {{
        let what = constants[program + 2u * i];
        let how = constants[program + 2u * i + 1u];
        if (what & {RESET}u) != 0u {{ x = zero(); y = one(); z = one(); t = x; }}
        let doublings = what & 7u;
        if doublings != 0u {{
            var e: F; var h: F;
            for (var k = 0u; k < doublings; k++) {{
                let xx = sqr(x);
                let yy = sqr(y);
                let zz = sqr(z);
                let xy = mul(x, y);
                e = plus(xy, xy);
                h = settle(plus(xx, yy));
                let g = minus(yy, xx);
                let f = settle(minus(plus(plus(zz, zz), xx), yy));
                x = mul(e, f);
                y = mul(g, h);
                z = mul(f, g);
            }}
            t = mul(e, h);
        }}
        if (what & {ADD}u) != 0u {{
            var at = input[task + 3u + ((what >> 12u) & 15u)];
            var entry = how & 0xffu;
            var negative = false;
            if (what & {DIGIT}u) != 0u {{
                let scalar = input[task + 3u + ((what >> 16u) & 15u)];
                let low = scalar_word(scalar + (entry >> 5u));
                let high = scalar_word(scalar + min((entry >> 5u) + 1u, 7u));
                let shift = entry & 31u;
                let bits = (low >> shift) | ((high << 1u) << (31u - shift));
                var digit = i32(bits & 31u) - 16;
                if (what & {BASE}u) != 0u && (what & {TOP}u) == 0u {{ digit = i32(bits & 1023u) - 528; }}
                negative = digit < 0;
                entry = u32(abs(digit)) + ((how >> 16u) & 0xffu);
            }}
            at += entry * {n4}u;
            var p: F; var m: F; var z2: F; var t2d: F;
            if (what & {BASE}u) != 0u {{
                at = {base}u + entry * {n4}u;
                p = fetch_constants(at);
                m = fetch_constants(at + {n}u);
                z2 = fetch_constants(at + {n2}u);
                t2d = fetch_constants(at + {n3}u);
            }} else {{
                p = fetch_arena(at);
                m = fetch_arena(at + {n}u);
                z2 = fetch_arena(at + {n2}u);
                t2d = fetch_arena(at + {n3}u);
            }}
            if negative {{
                let kept = p;
                p = m;
                m = kept;
                t2d = negate(t2d);
            }}
            let a = mul(minus(y, x), m);
            let b = mul(plus(y, x), p);
            let c = mul(t, t2d);
            let d = mul(z, z2);
            let e = settle(minus(b, a));
            let f = settle(minus(d, c));
            let g = plus(d, c);
            let h = settle(plus(b, a));
            x = mul(e, f);
            y = mul(g, h);
            z = mul(f, g);
            if (what & {NEED_T}u) != 0u {{ t = mul(e, h); }}
        }}
        if (what & {CACHE}u) != 0u {{
            let at = input[task + 3u + ((what >> 20u) & 15u)] + ((how >> 8u) & 0xffu) * {n4}u;
            prepare(at, x, y, z, t);
        }}
        if (what & {TEST}u) != 0u {{
            results[input[task + 2u]] = select({NO}u, {YES}u, is_zero(x) && same(y, z));
        }}
    }}
}}
",
        task = OPERANDS + 3,
    )
}

fn monero_map() -> String {
    format!(
        "
@compute @workgroup_size(THREADS)
fn monero_map(@builtin(global_invocation_id) id: vec3<u32>) {{
    if id.x >= batch.count {{ return; }}
    let task = batch.tasks + task_of(id.x) * 3u;
    let hash = input[task];
    var u = {number};
    u.l0 += 19u * (input[hash + 7u] >> 31u);
    let uu = sqr(u);
    let v = settle(plus(uu, uu));
    let w = settle(plus(v, one()));
    let root = sqrt_ratio(w, settle(minus(sqr(w), mul(v, a_squared()))));
    var x = root.r;
    var z = negate(montgomery_a());
    var factor = sqrt_minus_ia_a2();
    if root.was_square {{
        x = mul(x, u);
        z = mul(z, v);
        factor = sqrt_2a_a2();
    }}
    x = mul(x, factor);
    if is_negative(x) == root.was_square {{ x = negate(x); }}
    let sum = settle(plus(z, w));
    let difference = settle(minus(z, w));
    prepare(input[task + 1u], mul(x, sum), difference, sum, mul(x, difference));
    results[input[task + 2u]] = {YES}u;
}}
",
        number = number("hash"),
    )
}

/// Two points with one inversion.
fn compress(form: Form) -> String {
    let n = form.limbs();
    format!(
        "
@compute @workgroup_size(THREADS)
fn compress(@builtin(global_invocation_id) id: vec3<u32>) {{
    if id.x >= batch.count {{ return; }}
    let task = batch.tasks + task_of(id.x) * 3u;
    let z0 = fetch_arena(input[task] + {z}u);
    let z1 = fetch_arena(input[task + 1u] + {z}u);
    let both = chain(mul(z0, z1), {INVERSE}u);
    var other = z1;
    for (var i = 0u; i < 2u; i++) {{
        let at = input[task + i];
        let inverse = mul(both, other);
        other = z0;
        let p = fetch_arena(at);
        let m = fetch_arena(at + {n}u);
        let x = mul(minus(p, m), inverse);
        let y = words(canonical(mul(plus(p, m), inverse)));
        let to = input[task + 2u] + 8u * i;
        for (var k = 0u; k < 8u; k++) {{ arena[to + k] = y[k]; }}
        if is_negative(x) {{ arena[to + 7u] |= 0x80000000u; }}
    }}
}}
",
        z = 2 * n,
    )
}
