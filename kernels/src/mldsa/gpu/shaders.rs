//! The WGSL of all kernels as one module, and the constants it reads from a buffer.

use super::layout;
use crate::{
    keccak::wgsl,
    mldsa::{
        params::{N, Q},
        portable::ntt,
    },
};
use std::fmt::Write;

/// Index of the inverse transform's factor in the buffer of constants; Keccak's round constants follow it.
const INVERSE_FACTOR: usize = N;
/// The kernels in the order in which they run.
pub(super) const KERNELS: [Kernel; 6] = [
    Kernel {
        name: "message",
        grid: Grid::Threads(|_| 1),
    },
    Kernel {
        name: "expand",
        grid: Grid::Threads(|p| p.k * p.l),
    },
    Kernel {
        name: "challenge",
        grid: Grid::Threads(|_| 1),
    },
    Kernel {
        name: "transform",
        grid: Grid::Workgroups(|p| p.l + 1 + p.k),
    },
    Kernel {
        name: "rows",
        grid: Grid::Workgroups(|p| p.k),
    },
    Kernel {
        name: "verdict",
        grid: Grid::Threads(|_| 1),
    },
];

/// One dispatch of the pipeline.
pub(super) struct Kernel {
    /// Its entry point.
    pub name: &'static str,
    pub grid: Grid,
}

/// How many threads, or workgroups, a kernel takes for one job.
pub(super) enum Grid {
    Threads(fn(&crate::mldsa::params::Params) -> usize),
    Workgroups(fn(&crate::mldsa::params::Params) -> usize),
}

/// The whole module.
pub(super) fn source() -> String {
    let mut out = String::new();
    let numbers = [
        ("STATUS_WORDS", layout::STATUS_WORDS),
        ("STATUS_MESSAGE", layout::STATUS_MESSAGE),
        ("STATUS_CHALLENGE", layout::STATUS_CHALLENGE),
        ("STATUS_HINT", layout::STATUS_HINT),
        ("STATUS_POLYS", layout::STATUS_POLYS),
        ("STATUS_ROWS", layout::STATUS_ROWS),
        ("STATUS_STREAMS", layout::STATUS_STREAMS),
        ("SCRATCH_WORDS", layout::SCRATCH_WORDS),
        ("SCRATCH_XOF", layout::SCRATCH_XOF),
        ("INVERSE_FACTOR", INVERSE_FACTOR),
    ];
    for (name, value) in numbers {
        let _ = writeln!(out, "const {name}: u32 = {value}u;");
    }
    let words = [
        ("DONE", layout::DONE),
        ("REFUSED", layout::REFUSED),
        ("VALID", layout::VALID),
        ("INVALID", layout::INVALID),
    ];
    for (name, value) in words {
        let _ = writeln!(out, "const {name}: u32 = {value}u;");
    }
    let parts = [
        include_str!("prelude.wgsl").to_owned(),
        wgsl::permutation("constants", INVERSE_FACTOR + 1),
        wgsl::absorb("absorb_rho", "words", 4),
        wgsl::absorb("absorb_mu", "words", 8),
        wgsl::absorb("absorb_input", "words", 17),
        wgsl::absorb("absorb_notes", "notes", 17),
        wgsl::store("store_64_bytes", "notes", 8),
        wgsl::store("store_block", "notes", 17),
        keep_64_bytes(),
        keep_block(),
        absorb_challenge(),
        differs_from_input(),
        include_str!("message.wgsl").to_owned(),
        include_str!("expand.wgsl").to_owned(),
        include_str!("challenge.wgsl").to_owned(),
        include_str!("transform.wgsl").to_owned(),
        include_str!("rows.wgsl").to_owned(),
        include_str!("verdict.wgsl").to_owned(),
    ];
    for part in parts {
        out.push('\n');
        out.push_str(&part);
    }
    out
}

/// The buffer of constants: 256 twiddle pairs (z, ⌊z·2³²/q⌋), the pair of 2³²/256, the round constants of Keccak.
pub(super) fn constants() -> Vec<[u32; 2]> {
    let pair = |z: u64| [z as u32, ((z << 32) / u64::from(Q)) as u32];
    ntt::zetas_plain()
        .into_iter()
        .chain([(1 << 24) % u64::from(Q)])
        .map(pair)
        .chain(wgsl::round_constant_words())
        .collect()
}

/// The first 64 bytes of the state stay, the others become zero.
fn keep_64_bytes() -> String {
    let mut out = String::from("fn keep_64_bytes(s: ptr<function, State>) {\n");
    for i in 8..25 {
        let _ = writeln!(out, "    (*s).a{i} = vec2<u32>(0u, 0u);");
    }
    out + "}\n"
}

/// All 56 candidates of a block of SHAKE128, four of them in three words.
fn keep_block() -> String {
    let mut out = String::from(
        "fn keep_block(s: ptr<function, State>, base: u32, count: ptr<function, u32>) {\n",
    );
    for i in (0..42).step_by(3) {
        let [a, b, c] = [i, i + 1, i + 2].map(wgsl::word);
        let _ = writeln!(out, "    keep_four({a}, {b}, {c}, base, count);");
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
