//! The WGSL of all kernels as one module, and the constants it reads from a buffer.

use super::{layout, tuning::Integers};
use crate::{
    keccak::wgsl,
    mldsa::{
        params::{N, Params, Q},
        portable::ntt,
    },
};
use std::fmt::Write;

/// Index of the inverse transform's factor in the buffer of constants; Keccak's round constants follow it.
const INVERSE_FACTOR: usize = N;
/// Threads that share a polynomial in a transform, each with eight coefficients in registers.
pub(super) const TEAM: u32 = 32;
/// Words of a polynomial in workgroup memory: word n is at n + n/8, which keeps the 32 threads of each of the three
/// patterns of access on banks of their own.
pub(super) const TEAM_WORDS: u32 = 288;
/// The same for a row: odd, so that threads that add to one coefficient of different rows meet different banks.
pub(super) const ROW_WORDS: u32 = 289;

/// Bytes of workgroup memory that the kernels need, at most.
pub(super) fn workgroup_bytes(hash_threads: u32, lanes: u32) -> u32 {
    let rows = hash_threads / 4;
    let hashing = hash_threads * (34 + 8 + 8);
    let transforming = lanes / TEAM * (TEAM_WORDS + 1);
    (rows * (ROW_WORDS + 8 + 1)).max(hashing).max(transforming) * 4
}

/// The kernels in the order in which they run.
pub(super) const KERNELS: [Kernel; 7] = [
    Kernel {
        name: "prepare",
        serves: Serves::Admitted,
        groups: |p, jobs, shape| (jobs * (p.k * p.l + 1)).div_ceil(shape.hash_threads),
    },
    Kernel {
        name: "prepare_t1",
        serves: Serves::Admitted,
        groups: |p, jobs, shape| (jobs * p.k).div_ceil(shape.teams),
    },
    Kernel {
        name: "hash",
        serves: Serves::All,
        groups: |_, jobs, shape| 2 * jobs.div_ceil(shape.hash_threads),
    },
    Kernel {
        name: "transform",
        serves: Serves::All,
        groups: |p, jobs, shape| (jobs * (p.l + 1)).div_ceil(shape.teams),
    },
    Kernel {
        name: "rows",
        serves: Serves::Fresh,
        groups: |p, jobs, shape| (jobs * p.k).div_ceil(shape.hash_threads / p.l),
    },
    Kernel {
        name: "rows_resident",
        serves: Serves::Resident,
        groups: |p, jobs, shape| (jobs * p.k).div_ceil(shape.hash_threads / p.l),
    },
    Kernel {
        name: "verdict",
        serves: Serves::All,
        groups: |_, jobs, shape| jobs.div_ceil(shape.hash_threads),
    },
];

/// One dispatch of the pipeline.
pub(super) struct Kernel {
    /// Its entry point.
    pub name: &'static str,
    pub serves: Serves,
    /// Workgroups for a number of jobs.
    pub groups: fn(&Params, usize, Shape) -> usize,
}

/// Which part of a batch a kernel takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serves {
    /// Every job.
    All,
    /// Jobs whose key came with them.
    Fresh,
    /// Jobs whose key is in the store.
    Resident,
    /// Keys that go into the store.
    Admitted,
}

/// Workgroups as the kernels see them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub hash_threads: usize,
    /// Polynomials that a workgroup transforms at once.
    pub teams: usize,
}

/// The whole module.
pub(super) fn source(integers: Integers) -> String {
    let mut out = String::new();
    let numbers = [
        ("STATUS_WORDS", layout::STATUS_WORDS),
        ("STATUS_MESSAGE", layout::STATUS_MESSAGE),
        ("STATUS_CHALLENGE", layout::STATUS_CHALLENGE),
        ("STATUS_HINT", layout::STATUS_HINT),
        ("STATUS_POLYS", layout::STATUS_POLYS),
        ("STATUS_ROWS", layout::STATUS_ROWS),
        ("SCRATCH_WORDS", layout::SCRATCH_WORDS),
        ("SCRATCH_CHALLENGE", layout::SCRATCH_CHALLENGE),
        ("INVERSE_FACTOR", INVERSE_FACTOR),
        ("TEAM_WORDS", TEAM_WORDS as usize),
        ("ROW_WORDS", ROW_WORDS as usize),
    ];
    for (name, value) in numbers {
        let _ = writeln!(out, "const {name}: u32 = {value}u;");
    }
    let words = [
        ("DONE", layout::DONE),
        ("REFUSED", layout::REFUSED),
        ("VALID", layout::VALID),
        ("INVALID", layout::INVALID),
        ("NO_SLOT", layout::NO_SLOT),
    ];
    for (name, value) in words {
        let _ = writeln!(out, "const {name}: u32 = {value}u;");
    }
    let permutation = match integers {
        Integers::U32 => wgsl::permutation,
        Integers::U64 => wgsl::permutation_u64,
    };
    let parts = [
        with_each(include_str!("prelude.wgsl")),
        mulhi_short(integers).to_owned(),
        permutation("constants", INVERSE_FACTOR + 1),
        wgsl::absorb("absorb_rho", "words", 4),
        wgsl::absorb("absorb_mu", "words", 8),
        wgsl::absorb("absorb_input", "words", 17),
        wgsl::absorb("absorb_notes", "notes", 17),
        wgsl::absorb("absorb_tr", "resident", 8),
        wgsl::store("store_64_bytes", "notes", 8),
        wgsl::store("store_tr", "resident", 8),
        keep_64_bytes(),
        keep_squeezed(),
        candidates(
            "keep_block",
            "keep_four",
            "memory: u32, z: u32",
            "memory, z",
        ),
        candidates("store_block", "store_four", "base: u32", "base"),
        absorb_challenge(),
        differs_from_input(),
        transforms(),
        exchanges(
            "w",
            |at| format!("w[{at}]"),
            |at, c| format!("w[{at}] = {c}"),
        ),
        exchanges(
            "rows",
            |at| format!("atomicLoad(&rows_memory[{at}])"),
            |at, c| format!("atomicStore(&rows_memory[{at}], {c})"),
        ),
        with_each(include_str!("hash.wgsl")),
        with_each(include_str!("transform.wgsl")),
        with_each(include_str!("rows.wgsl")),
        with_each(include_str!("resident.wgsl")),
        with_each(include_str!("verdict.wgsl")),
    ];
    for part in parts {
        out.push('\n');
        out.push_str(&part);
    }
    out
}

/// The buffer of constants: 256 twiddle pairs (z, ⌊z·2³²/q⌋), the pair of 1/256, the round constants of Keccak.
pub(super) fn constants() -> Vec<[u32; 2]> {
    let q = u64::from(Q);
    let pair = |z: u64| [z as u32, ((z << 32) / q) as u32];
    // q - 1 is a multiple of 256, so 256·(q - (q - 1)/256) = 255·q + 1.
    ntt::zetas_plain()
        .into_iter()
        .chain([q - (q - 1) / 256])
        .map(pair)
        .chain(wgsl::round_constant_words())
        .collect()
}

/// A line `//EACH …` stands for eight, with 0 to 7 in place of `#`.
fn with_each(source: &str) -> String {
    let mut out = String::new();
    for line in source.lines() {
        match line.trim_start().strip_prefix("//EACH ") {
            Some(statement) => {
                for i in 0..8 {
                    let _ = writeln!(out, "    {}", statement.replace('#', &i.to_string()));
                }
            }
            None => {
                let _ = writeln!(out, "{line}");
            }
        }
    }
    out
}

/// The high half of a·b or, with 32-bit integers, up to two less: three fractions below one are dropped there.
fn mulhi_short(integers: Integers) -> &'static str {
    match integers {
        Integers::U32 => {
            "fn mulhi_short(a: u32, b: u32) -> u32 {\n\
             \x20   let al = a & 0xffffu;\n    let ah = a >> 16u;\n\
             \x20   let bl = b & 0xffffu;\n    let bh = b >> 16u;\n\
             \x20   return ah * bh + ((ah * bl) >> 16u) + ((al * bh) >> 16u);\n}\n"
        }
        Integers::U64 => {
            "fn mulhi_short(a: u32, b: u32) -> u32 {\n\
             \x20   return u32((u64(a) * u64(b)) >> 32u);\n}\n"
        }
    }
}

/// `Octet`, eight coefficients in registers, and the passes over them: `forward_8` and `inverse_8` of three layers,
/// `forward_4` and `inverse_4` of two layers over each half.
///
/// Bounds. A product is below 4q. A forward layer adds 4q to a bound: q before the first, 33q after the eighth. An
/// inverse layer doubles its bound, which starts at 2q: 512q < 2³² after the eighth.
fn transforms() -> String {
    let mut out = String::from("struct Octet {\n");
    for i in 0..8 {
        let _ = writeln!(out, "    c{i}: u32,");
    }
    out.push_str("}\n");
    // `k` is the index of the first twiddle of the first layer; each layer after it starts at twice the index.
    for (name, distances) in [("forward_8", &[4, 2, 1][..]), ("forward_4", &[2, 1][..])] {
        let _ = writeln!(out, "\nfn {name}(v: ptr<function, Octet>, k: u32) {{");
        for i in 0..8 {
            let _ = writeln!(out, "    var c{i} = (*v).c{i};");
        }
        for (layer, &distance) in distances.iter().enumerate() {
            for low in (0..8).filter(|i| i & distance == 0) {
                let (high, block) = (low + distance, low / (2 * distance));
                let _ = writeln!(
                    out,
                    "    let p{layer}{low} = mul_by_constant(c{high}, constants[(k << {layer}u) + {block}u]);\n    \
                     c{high} = c{low} + 4u * Q - p{layer}{low};\n    c{low} = c{low} + p{layer}{low};"
                );
            }
        }
        for i in 0..8 {
            let _ = writeln!(out, "    (*v).c{i} = c{i};");
        }
        out.push_str("}\n");
    }
    // `k` is the index of the first twiddle of the last layer, where they are taken from the end; `bound` is that of
    // the input, a multiple of q.
    for (name, distances) in [("inverse_8", &[1, 2, 4][..]), ("inverse_4", &[1, 2][..])] {
        let _ = writeln!(
            out,
            "\nfn {name}(v: ptr<function, Octet>, k: u32, bound: u32) {{"
        );
        for i in 0..8 {
            let _ = writeln!(out, "    var c{i} = (*v).c{i};");
        }
        for (layer, &distance) in distances.iter().enumerate() {
            let above = distances.len() - 1 - layer;
            for low in (0..8).filter(|i| i & distance == 0) {
                let (high, block) = (low + distance, low / (2 * distance));
                let _ = writeln!(
                    out,
                    "    let d{layer}{low} = c{high} + (bound << {layer}u) - c{low};\n    \
                     c{low} = c{low} + c{high};\n    \
                     c{high} = mul_by_constant(d{layer}{low}, constants[((k + 1u) << {above}u) - {}u]);",
                    block + 1
                );
            }
        }
        for i in 0..8 {
            let _ = writeln!(out, "    (*v).c{i} = c{i};");
        }
        out.push_str("}\n");
    }
    out
}

/// `{name}_get_*` and `{name}_put_*`: an octet from and to a polynomial in workgroup memory, with thread `t` of 32
/// holding coefficients t + 32·i (`far`), 32·(t/4) + t%4 + 4·i (`middle`) or 8·t + i (`near`).
fn exchanges(
    name: &str,
    get: impl Fn(&str) -> String,
    put: impl Fn(&str, &str) -> String,
) -> String {
    type Offset = fn(usize) -> usize;
    let patterns: [(&str, &str, Offset); 3] = [
        ("far", "t + (t >> 3u)", |i| 36 * i),
        ("middle", "36u * (t >> 2u) + (t & 3u)", |i| 4 * i + i / 2),
        ("near", "9u * t", |i| i),
    ];
    let mut out = String::new();
    for (pattern, base, offset) in patterns {
        let _ = writeln!(
            out,
            "fn {name}_get_{pattern}(memory: u32, t: u32) -> Octet {{\n    let at = memory + {base};"
        );
        let all: Vec<String> = (0..8)
            .map(|i| get(&format!("at + {}u", offset(i))))
            .collect();
        let _ = writeln!(out, "    return Octet({});\n}}\n", all.join(", "));
        let _ = writeln!(
            out,
            "fn {name}_put_{pattern}(memory: u32, t: u32, v: Octet) {{\n    let at = memory + {base};"
        );
        for i in 0..8 {
            let statement = put(&format!("at + {}u", offset(i)), &format!("v.c{i}"));
            let _ = writeln!(out, "    {statement};");
        }
        out.push_str("}\n\n");
    }
    out
}

/// The first 64 bytes of the state stay, the others become zero.
fn keep_64_bytes() -> String {
    let mut out = String::from("fn keep_64_bytes(s: ptr<function, State>) {\n");
    for i in 8..25 {
        let _ = writeln!(out, "    (*s).a{i} = vec2<u32>(0u, 0u);");
    }
    out + "}\n"
}

/// A block of output of SHAKE256 to the thread's own words of workgroup memory.
fn keep_squeezed() -> String {
    let mut out = String::from("fn keep_squeezed(s: ptr<function, State>, lane: u32) {\n");
    for i in 0..34 {
        let _ = writeln!(
            out,
            "    squeezed[{i}u * HASH_THREADS + lane] = {};",
            wgsl::word(i)
        );
    }
    out + "}\n"
}

/// All 56 candidates of a block of SHAKE128, four of them in three words.
fn candidates(name: &str, four: &str, parameters: &str, arguments: &str) -> String {
    let mut out =
        format!("fn {name}(s: ptr<function, State>, {parameters}, count: ptr<function, u32>) {{\n");
    for i in (0..42).step_by(3) {
        let [a, b, c] = [i, i + 1, i + 2].map(wgsl::word);
        let _ = writeln!(out, "    {four}({a}, {b}, {c}, {arguments}, count);");
    }
    out + "}\n"
}

/// c̃ of `count` words (8, 12 or 16) and the domain bits after it, into an empty state.
fn absorb_challenge() -> String {
    let mut out =
        String::from("fn absorb_challenge(s: ptr<function, State>, base: u32, count: u32) {\n");
    for i in 0..=16 {
        let word = wgsl::word(i);
        if i < 16 {
            let _ = writeln!(
                out,
                "    if {i}u < count {{ {word} = words[base + {i}u]; }}"
            );
        }
        let _ = writeln!(out, "    if {i}u == count {{ {word} = 0x1fu; }}");
    }
    out + "}\n"
}

/// Whether the first `count` words (at most 16) of the state differ from the input's.
fn differs_from_input() -> String {
    let mut out = String::from(
        "fn differs_from_input(s: ptr<function, State>, base: u32, count: u32) -> bool {\n    var difference = 0u;\n",
    );
    for i in 0..16 {
        let word = wgsl::word(i);
        let _ = writeln!(
            out,
            "    if {i}u < count {{ difference |= {word} ^ words[base + {i}u]; }}"
        );
    }
    out + "    return difference != 0u;\n}\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_undoes_the_scale() {
        let constants = constants();
        let [factor, _] = constants[INVERSE_FACTOR];
        assert_eq!(u64::from(factor) * 256 % u64::from(Q), 1);
        assert_eq!(constants.len(), INVERSE_FACTOR + 1 + 24);
    }

    /// The shaders' shorter products, done here in the same steps, keep the bounds that their comments state.
    #[test]
    fn lazy_products_keep_their_bounds() {
        let q = Q;
        let mut seed = 1u32;
        let mut random = || {
            seed = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            (seed >> ((seed >> 28) + 4)) ^ seed
        };
        let constants = constants();
        for round in 0..200_000 {
            let edge = [0, 1, 4095, 4096, 8191, 8192, q - 2, q - 1];
            let [a, z] = [round, round / 8].map(|i| match edge.get(i as usize % 64) {
                Some(&edge) => edge,
                None => random() % q,
            });
            let ratio = (z >> 3) + (z >> 13);
            let quotient = ((a >> 12) * ratio + (((a & 0xfff) * ratio) >> 12)) >> 8;
            let product = u64::from(a) * u64::from(z);
            let rest = product - u64::from(quotient) * u64::from(q);
            assert!(rest < 26 * u64::from(q), "{a} {z}");

            let a = if round % 3 == 0 {
                u32::MAX - a
            } else {
                random()
            };
            let [z, ratio] = constants[round as usize % (INVERSE_FACTOR + 1)];
            let halves = |x: u32| (x & 0xffff, x >> 16);
            let ((al, ah), (bl, bh)) = (halves(a), halves(ratio));
            let quotient = ah * bh + ((ah * bl) >> 16) + ((al * bh) >> 16);
            let rest = u64::from(a) * u64::from(z) - u64::from(quotient) * u64::from(q);
            assert!(rest < 4 * u64::from(q), "{a} {z}");
        }
    }

    /// Words of a polynomial in workgroup memory are hit once by each pattern, and by 32 threads on separate banks but
    /// for three pairs in the first.
    #[test]
    fn exchange_patterns_cover_a_polynomial() {
        let address = |n: usize| n + n / 8;
        let patterns: [fn(usize, usize) -> usize; 3] = [
            |t, i| t + 32 * i,
            |t, i| 32 * (t / 4) + t % 4 + 4 * i,
            |t, i| 8 * t + i,
        ];
        let addresses: [fn(usize, usize) -> usize; 3] = [
            |t, i| t + t / 8 + 36 * i,
            |t, i| 36 * (t / 4) + t % 4 + 4 * i + i / 2,
            |t, i| 9 * t + i,
        ];
        for (pattern, at) in patterns.iter().zip(addresses) {
            let mut seen = [false; 256];
            for i in 0..8 {
                let mut banks = [0; 32];
                for t in 0..32 {
                    let n = pattern(t, i);
                    assert!(!std::mem::replace(&mut seen[n], true));
                    assert_eq!(at(t, i), address(n));
                    assert!(at(t, i) < TEAM_WORDS as usize);
                    banks[at(t, i) % 32] += 1;
                }
                assert!(banks.iter().filter(|&&hits| hits != 1).count() <= 6);
            }
        }
    }
}
