//! The hashes of challenges in WGSL, and their values modulo the order of the group.
//!
//! | kernel | a task | words of a task |
//! |---|---|---|
//! | `clsag_challenge` | a round of CLSAG: Keccak-256 of a state, its last blocks and two compressed points | state and what follows it (see `keccak`), blocks, word where the points begin, points, where the challenge goes, whether it is the last, c1, result |
//! | `lsag_challenge` | a round of LSAG: SHA-512 of D, the round's number and two encoded points | D, number, points, where the challenge goes, whether it is the last, c\_0, result |
//!
//! The order is a prime for which the generated arithmetic of `field` does: 32 bytes of a hash, taken as an element's form for
//! R = 2^256, are brought below the order by writing the element out again. A factor that is multiplied by 2^256 beforehand is an
//! element in that form, and its product with a number has the number's form.

use std::fmt::Write;

use super::biased::BIAS;
use super::shaders::{HEAD, NO, YES};
use crate::field::wgsl::{Form, Writer};
use crate::field::{Element, Prime};
use crate::keccak::wgsl as keccak;

/// The integers modulo L, the order of the base point (RFC 8032 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Order;

impl Prime for Order {
    const NAME: &'static str = "edwards25519 scalar";
    const MODULUS: [u64; 4] = [
        0x5812_631a_5cf5_d3ed,
        0x14de_f9de_a2f7_9cd6,
        0,
        0x1000_0000_0000_0000,
    ];
}

/// Words of a block of Keccak-256.
pub(crate) const BLOCK_WORDS: u32 = 34;
/// Words of a state.
const STATE_WORDS: u32 = 50;

/// Arithmetic modulo L, whose elements are in the arena.
fn scalars(form: Form) -> String {
    // Elements are read and written in one buffer here.
    Writer::<Order>::new(form)
        .prelude()
        .replace("states[", "arena[")
        .replace("results[", "arena[")
}

/// `bias(at)`: 16 is added to each digit of the scalar at an address.
fn bias() -> String {
    let mut out = String::from("fn bias(at: u32) {\n    var c = 0u; var w = 0u; var s = 0u;\n");
    for (i, word) in BIAS.iter().enumerate() {
        let _ = writeln!(
            out,
            "    w = arena[at + {i}u]; s = w + c; c = u32(s < w); w = s + {word}u; c += u32(w < s); arena[at + {i}u] = w;"
        );
    }
    out + "}\n"
}

/// The kernel `clsag_challenge`. The round constants of Keccak begin at the pair `rounds` of the constants.
pub(super) fn clsag(form: Form, rounds: usize) -> String {
    let mut out = HEAD.to_owned();
    out += "@group(0) @binding(1) var<storage, read> pairs: array<vec2<u32>>;\n";
    out += &keccak::permutation("pairs", rounds);
    out += &scalars(form);
    out += &bias();
    out += "fn absorb(s: ptr<function, State>, block: u32, start: u32, points: u32) {\n";
    for i in 0..BLOCK_WORDS as usize {
        let _ = writeln!(
            out,
            "    {} ^= block_word(block, {i}u, start, points);",
            keccak::word(i)
        );
    }
    out += "}\n";
    let first: Vec<_> = (0..STATE_WORDS / 2)
        .map(|i| {
            let (low, high) = (2 * i, 2 * i + 1);
            format!("vec2<u32>(input[state + {low}u], input[state + {high}u])")
        })
        .collect();
    let hash: String = (0..8)
        .map(|i| {
            let word = ["x", "y"][i % 2];
            format!("    arena[out + {}u] = s.a{}.{word};\n", 16 + i, i / 2)
        })
        .collect();
    let _ = write!(
        out,
        "
fn block_word(block: u32, i: u32, start: u32, points: u32) -> u32 {{
    // Of words before the points the difference is large.
    let point = i - start;
    var word = input[block + i];
    if point < 16u {{ word ^= arena[points + point]; }}
    return word;
}}
@compute @workgroup_size(THREADS)
fn clsag_challenge(@builtin(global_invocation_id) id: vec3<u32>) {{
    if id.x >= batch.count {{ return; }}
    let task = batch.tasks + task_of(id.x) * 8u;
    let state = input[task];
    let blocks = input[task + 1u];
    let start = input[task + 2u];
    let out = input[task + 4u];
    var s = State({first});
    for (var i = 0u; i < blocks; i++) {{
        // A start in the block before wraps around.
        absorb(&s, state + {STATE_WORDS}u + i * {BLOCK_WORDS}u, start - i * {BLOCK_WORDS}u, input[task + 3u]);
        permute(&s);
    }}
{hash}
    // Below the order.
    store(out + 16u, load((out + 16u) / 8u));
    var any = 0u;
    var wrong = 0u;
    for (var i = 0u; i < 8u; i++) {{
        let word = arena[out + 16u + i];
        any |= word;
        wrong |= word ^ input[input[task + 6u] + i];
    }}
    // Times mu_P and mu_C.
    let c = load((out + 16u) / 8u);
    for (var k = 0u; k < 2u; k++) {{
        for (var i = 0u; i < 8u; i++) {{ arena[out + 24u + i] = input[state + {mu}u + 8u * k + i]; }}
        let product = mul(c, load((out + 24u) / 8u));
        store(out + 8u * k, product);
        bias(out + 8u * k);
    }}
    bias(out + 16u);
    let good = any != 0u && (input[task + 5u] == 0u || wrong == 0u);
    results[input[task + 7u]] = select({NO}u, {YES}u, good);
}}
",
        first = first.join(", "),
        mu = STATE_WORDS + 2 * BLOCK_WORDS,
    );
    out
}

/// The round constants of SHA-512, the first 64 bits of the fractions of the cube roots of the first 80 primes (FIPS 180-4 §4.2.3), and
/// its first state, those of the square roots of the first eight (§5.3.5).
pub(super) fn sha512_words() -> impl Iterator<Item = u64> {
    let primes = || (2u32..).filter(|n| (2..*n).all(|d| n % d != 0));
    let cubes = primes().take(80).map(|p| root_fraction(p, 3));
    let squares = primes().take(8).map(|p| root_fraction(p, 2));
    cubes.chain(squares)
}

/// The first 64 bits of the fraction of p^(1/k), for k = 2 or 3: bit by bit, the largest r with r^k at most p 2^(64 k).
fn root_fraction(p: u32, k: u32) -> u64 {
    // 320 bits, least significant word first.
    type Wide = [u64; 5];
    let times = |a: Wide, b: u128| -> Wide {
        let mut out = [0u64; 5];
        for (shift, half) in [b as u64, (b >> 64) as u64].into_iter().enumerate() {
            let mut carry = 0u128;
            for i in 0..5 - shift {
                let sum = u128::from(a[i]) * u128::from(half) + u128::from(out[i + shift]) + carry;
                out[i + shift] = sum as u64;
                carry = sum >> 64;
            }
        }
        out
    };
    let mut target: Wide = [0; 5];
    target[k as usize] = u64::from(p);
    // The root has at most five bits before the point.
    let mut r = 0u128;
    for bit in (0..70).rev() {
        let candidate = r | 1 << bit;
        let power = (0..k).fold([1, 0, 0, 0, 0], |power, _| times(power, candidate));
        if power.iter().rev().le(target.iter().rev()) {
            r = candidate;
        }
    }
    r as u64
}

const SHA512: &str = "
fn plus64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + u32(low < a.x));
}
fn right(a: vec2<u32>, n: u32) -> vec2<u32> {
    return vec2<u32>((a.x >> n) | (a.y << (32u - n)), (a.y >> n) | (a.x << (32u - n)));
}
fn swap(a: u32) -> u32 {
    return (a << 24u) | ((a & 0xff00u) << 8u) | ((a >> 8u) & 0xff00u) | (a >> 24u);
}
fn large0(a: vec2<u32>) -> vec2<u32> { return right(a, 28u) ^ right(a.yx, 2u) ^ right(a.yx, 7u); }
fn large1(a: vec2<u32>) -> vec2<u32> { return right(a, 14u) ^ right(a, 18u) ^ right(a.yx, 9u); }
fn small0(a: vec2<u32>) -> vec2<u32> {
    return right(a, 1u) ^ right(a, 8u) ^ vec2<u32>((a.x >> 7u) | (a.y << 25u), a.y >> 7u);
}
fn small1(a: vec2<u32>) -> vec2<u32> {
    return right(a, 19u) ^ right(a.yx, 29u) ^ vec2<u32>((a.x >> 6u) | (a.y << 26u), a.y >> 6u);
}
struct Digest { a: vec2<u32>, b: vec2<u32>, c: vec2<u32>, d: vec2<u32>, e: vec2<u32>, f: vec2<u32>, g: vec2<u32>, h: vec2<u32> }
";

/// The names of the eight words of SHA-512's state.
const STATE: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// `rounds(s, task, block)`: a block of SHA-512, whose words are `message(task, i)`.
fn sha512(constants: usize) -> String {
    let mut out = SHA512.to_owned();
    out += "fn rounds(s: Digest, task: u32, block: u32) -> Digest {\n";
    for name in STATE {
        let _ = writeln!(out, "    var {name} = s.{name};");
    }
    for i in 0..16 {
        let _ = writeln!(
            out,
            "    var w{i} = vec2<u32>(message(task, block + {}u), message(task, block + {}u));",
            2 * i + 1,
            2 * i
        );
    }
    out += "    for (var r = 0u; r < 80u; r += 16u) {\n        var t = vec2<u32>(); var u = t;\n";
    for i in 0..16 {
        let _ = writeln!(
            out,
            "        t = plus64(plus64(plus64(h, large1(e)), plus64((e & f) ^ (~e & g), w{i})), pairs[{}u + r]);\n        \
             u = plus64(large0(a), (a & b) ^ (a & c) ^ (b & c));\n        \
             h = g; g = f; f = e; e = plus64(d, t); d = c; c = b; b = a; a = plus64(t, u);",
            constants + i
        );
    }
    for i in 0..16 {
        let _ = writeln!(
            out,
            "        w{i} = plus64(plus64(small1(w{}), w{}), plus64(small0(w{}), w{i}));",
            (i + 14) % 16,
            (i + 9) % 16,
            (i + 1) % 16
        );
    }
    out += "    }\n";
    let sums: Vec<_> = STATE
        .iter()
        .map(|name| format!("plus64(s.{name}, {name})"))
        .collect();
    let _ = writeln!(out, "    return Digest({});\n}}", sums.join(", "));
    out
}

/// The kernel `lsag_challenge`. The constants of SHA-512 begin at the pair `constants`.
pub(super) fn lsag(form: Form, constants: usize) -> String {
    let mut out = HEAD.to_owned();
    out += "@group(0) @binding(1) var<storage, read> pairs: array<vec2<u32>>;\n";
    out += &sha512(constants);
    out += &scalars(form);
    out += &bias();
    let limbs = |element: Element<Order>| {
        let list: Vec<_> = form
            .constant(element)
            .iter()
            .map(|limb| format!("{limb}u"))
            .collect();
        format!("F({})", list.join(", "))
    };
    let first: Vec<_> = (0..8)
        .map(|i| format!("pairs[{}u]", constants + 80 + i))
        .collect();
    let digest: String = STATE
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let (high, low) = (8 + 2 * i, 9 + 2 * i);
            format!(
                "    arena[out + {high}u] = swap(s.{name}.y);\n    arena[out + {low}u] = swap(s.{name}.x);\n"
            )
        })
        .collect();
    let _ = write!(
        out,
        "
// Words of L and R as the hash reads them, the number of the round before and the padding behind.
fn word_of(task: u32, i: u32) -> u32 {{
    if i == 0u {{ return input[task + 1u]; }}
    if i == 17u {{ return 0x80000000u; }}
    return swap(arena[input[task + 2u] + i - 1u]);
}}
fn message(task: u32, i: u32) -> u32 {{
    if i < 16u {{ return input[input[task] + i]; }}
    if i <= 32u {{ return (word_of(task, i - 16u) << 16u) | (word_of(task, i - 15u) >> 16u); }}
    return select(0u, 1040u, i == 63u);
}}
@compute @workgroup_size(THREADS)
fn lsag_challenge(@builtin(global_invocation_id) id: vec3<u32>) {{
    if id.x >= batch.count {{ return; }}
    let task = batch.tasks + task_of(id.x) * 7u;
    let out = input[task + 3u];
    var s = Digest({first});
    for (var block = 0u; block < 64u; block += 32u) {{ s = rounds(s, task, block); }}
{digest}
    let low = mul(load(out / 8u + 1u), {one});
    let high = mul(load(out / 8u + 2u), {shift});
    store(out, settle(add(low, high)));
    var wrong = 0u;
    for (var i = 0u; i < 8u; i++) {{ wrong |= arena[out + i] ^ input[input[task + 5u] + i]; }}
    bias(out);
    let good = input[task + 4u] == 0u || wrong == 0u;
    results[input[task + 6u]] = select({NO}u, {YES}u, good);
}}
",
        first = first.join(", "),
        one = limbs(Element::ONE),
        // 2^256: its Montgomery form is 2^512.
        shift = limbs(Element::from_montgomery(Order::R2)),
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4 §4.2.3, §5.3.5.
    #[test]
    fn constants_of_the_standard() {
        let words: Vec<_> = sha512_words().collect();
        assert_eq!(words.len(), 88);
        assert_eq!(words[0], 0x428a_2f98_d728_ae22);
        assert_eq!(words[79], 0x6c44_198c_4a47_5817);
        assert_eq!(words[80], 0x6a09_e667_f3bc_c908);
        assert_eq!(words[87], 0x5be0_cd19_137e_2179);
    }
}
