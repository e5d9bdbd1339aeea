//! The WGSL of a permutation and the constants it reads.
//!
//! One thread takes one state. Words of the state are named variables; where a loop must go over them it rotates them through the
//! first one, because drivers inline every product and a product site costs compile time.

use super::super::{
    levels::Permutation,
    parameters::{Dense, Dense2, FULL_ROUNDS, GNARK_ROUNDS, PARTIAL_ROUNDS_2},
    schedule::{HALF, Schedule},
};
use crate::field::{
    Fr,
    bn254::Scalar,
    wgsl::{Form, Writer},
};

/// A shader and its constants.
pub(super) struct Program {
    pub(super) source: String,
    /// Limbs of elements, one after another.
    pub(super) constants: Vec<u32>,
}

/// What a thread writes behind its results when it has written them all.
pub(super) const DONE: u32 = 0x7a5e_0d17;

const HEAD: &str = "
struct Batch { count: u32, rows: u32, reverse: u32, unused: u32 }
@group(0) @binding(0) var<uniform> batch: Batch;
@group(0) @binding(1) var<storage, read> constants: array<u32>;
@group(0) @binding(2) var<storage, read> states: array<u32>;
@group(0) @binding(3) var<storage, read_write> results: array<u32>;
override THREADS: u32 = 64u;
";

/// The program of a permutation; nothing for a width without one.
pub(super) fn program(which: Permutation, form: Form) -> Option<Program> {
    let (body, constants) = match which {
        Permutation::Poseidon(width) => {
            let schedule = Schedule::derive(&Dense::generate(width)?)?;
            (poseidon(width), in_order(&schedule))
        }
        Permutation::Poseidon2 => (
            poseidon2(3, FULL_ROUNDS, PARTIAL_ROUNDS_2),
            all(Dense2::three()),
        ),
        Permutation::Gnark => (
            poseidon2(2, GNARK_ROUNDS.0, GNARK_ROUNDS.1),
            all(Dense2::gnark()),
        ),
    };
    let writer = Writer::<Scalar>::new(form);
    let width = which.width();
    let mut source = HEAD.to_owned() + &writer.prelude();
    if let Permutation::Poseidon(width) = which {
        source += &writer.dot(width);
        // Of width 2 the rounds sum two products too.
        if 2 * (width - 1) != width {
            source += &writer.dot(2 * (width - 1));
        }
    }
    source += "
@compute @workgroup_size(THREADS)
fn permute(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= batch.count { return; }
    let at = select(id.x, batch.count - 1u - id.x, batch.reverse != 0u);
";
    for i in 0..width {
        source += &format!("    var s{i} = load(at * {width}u + {i}u);\n");
    }
    source += &body;
    source += "    let base = at * (batch.rows * 8u + 1u);\n";
    for i in 0..width {
        source += &format!(
            "    if batch.rows > {i}u {{ store(base + {}u, s{i}); }}\n",
            8 * i
        );
    }
    source += &format!("    results[base + batch.rows * 8u] = {DONE}u;\n}}\n");
    Some(Program {
        source,
        constants: constants
            .into_iter()
            .flat_map(|element| form.constant(element))
            .collect(),
    })
}

/// Where each list of a schedule starts in [`in_order`].
struct Places {
    before: usize,
    matrix: usize,
    partial: usize,
    scale: usize,
    close: usize,
    after: usize,
}

impl Places {
    fn of(t: usize, rounds: usize) -> Self {
        let row = 2 * (t - 1) + 1;
        let before = t;
        let matrix = before + HALF * t;
        let partial = matrix + t * t;
        let scale = partial + rounds * row;
        let close = scale + 1;
        let after = close + (t - 1) * row;
        Self {
            before,
            matrix,
            partial,
            scale,
            close,
            after,
        }
    }
}

fn in_order(schedule: &Schedule<Fr>) -> Vec<Fr> {
    [
        &schedule.first[..],
        &schedule.before,
        &schedule.matrix,
        &schedule.partial,
        &[schedule.scale],
        &schedule.close,
        &schedule.after,
    ]
    .concat()
}

fn all(dense: Dense2) -> Vec<Fr> {
    [dense.initial, dense.partial, dense.last].concat()
}

/// `a0, a1, ..` of `count` names.
fn names(stem: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{stem}{i}")).collect()
}

/// Declares variables at zero.
fn declare(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("    var {name} = zero();\n"))
        .collect()
}

/// Copies each name to the place before it and `value` to the last.
fn rotate(names: &[String], value: &str) -> String {
    let next = names.iter().skip(1).map(String::as_str).chain([value]);
    names
        .iter()
        .zip(next)
        .map(|(to, from)| format!("{to} = {from}; "))
        .collect()
}

/// Copies each name to the place after it and `value` to the first.
fn push(names: &[String], value: &str) -> String {
    let mut reversed = names.to_vec();
    reversed.reverse();
    rotate(&reversed, value)
}

/// Copies lists of names.
fn copy(to: &[String], from: &[String]) -> String {
    to.iter()
        .zip(from)
        .map(|(to, from)| format!("{to} = {from}; "))
        .collect()
}

/// Poseidon with its partial rounds as a recurrence, as in `permute.rs`.
fn poseidon(t: usize) -> String {
    let n = t - 1;
    let row = 2 * n + 1;
    let rounds = super::super::parameters::PARTIAL_ROUNDS
        .get(t - 2)
        .copied()
        .unwrap_or_default();
    let at = Places::of(t, rounds);
    let (s, q) = (names("s", t), names("q", t));
    let (a, z, f) = (names("a", n), names("z", n), names("f", n));
    let read = [a.clone(), z.clone()].concat().join(", ");
    let mut out: String = (0..t)
        .map(|i| format!("    s{i} = settle(add(s{i}, constant({i}u)));\n"))
        .collect();
    for list in [&q, &a, &z, &f] {
        out += &declare(list);
    }
    out += &format!(
        "    var addends = {before}u;
    for (var half = 0u; half < 2u; half++) {{
        for (var round = 0u; round < {HALF}u; round++) {{
            for (var j = 0u; j < {t}u; j++) {{ let w = pow5(s0); {boxes}}}
            for (var j = 0u; j < {t}u; j++) {{
                let w = dot{t}({state}, {matrix}u + j * {t}u, addends + round * {t}u + j, zero());
                {mixed}
            }}
            {back}
        }}
        if half == 0u {{
            addends = {after}u;
            {start}
            var u = s0;
            for (var round = 0u; round < {rounds}u; round++) {{
                let w = pow5(u);
                let row = {partial}u + round * {row}u;
                u = dot{products}({read}, row, row + {products}u, w);
                {push_z}
                {push_f}
                if round + 1u >= {n}u {{ {adopt}}}
            }}
            for (var j = 0u; j < {n}u; j++) {{
                let row = {close}u + j * {row}u;
                let w = dot{products}({read}, row, row + {products}u, zero());
                {closed}
            }}
            s0 = mul(u, constant({scale}u));
            {end}
        }}
    }}
",
        before = at.before,
        after = at.after,
        matrix = at.matrix,
        partial = at.partial,
        close = at.close,
        scale = at.scale,
        products = 2 * n,
        state = s.join(", "),
        boxes = rotate(&s, "w"),
        mixed = rotate(&q, "w"),
        back = copy(&s, &q),
        start = copy(&a, &s[1..]),
        push_z = push(&z, "w"),
        push_f = push(&f, "u"),
        adopt = copy(&a, &f),
        closed = rotate(&q[..n], "w"),
        end = copy(&s[1..], &q[..n]),
    );
    out
}

/// Poseidon2, as in `permute.rs`; words settle each round, since limbs of 29 bits have room for eight summands only.
fn poseidon2(t: usize, full: usize, partial: usize) -> String {
    let half = full / 2;
    let s = names("s", t);
    let sum = |first: &str| {
        s.iter()
            .skip(1)
            .fold(first.to_owned(), |sum, name| format!("add({sum}, {name})"))
    };
    let external = |wrap: &str| {
        let words: String = s
            .iter()
            .map(|name| format!("{name} = {wrap}(settle(add({name}, sum))); "))
            .collect();
        format!("{{ let sum = {}; {words}}}", sum("s0"))
    };
    let shrunk: String = s
        .iter()
        .skip(1)
        .map(|name| format!("{name} = shrink({name}); "))
        .collect();
    let inner: String = s
        .iter()
        .enumerate()
        .skip(1)
        .map(|(i, name)| {
            let own = if i + 1 == t {
                format!("add({name}, {name})")
            } else {
                name.clone()
            };
            format!("{name} = settle(add(sum, {own})); ")
        })
        .collect();
    format!(
        "    {first}
    var place = 0u;
    for (var half = 0u; half < 2u; half++) {{
        for (var round = 0u; round < {half}u; round++) {{
            for (var j = 0u; j < {t}u; j++) {{
                let w = pow5(settle(add(s0, constant(place))));
                place += 1u;
                {boxes}
            }}
            {external}
        }}
        if half == 0u {{
            {shrunk}
            for (var round = 0u; round < {partial}u; round++) {{
                let w = pow5(settle(add(s0, constant(place))));
                place += 1u;
                let sum = {sum};
                s0 = add(sum, w);
                {inner}
                if (round & 1u) == 1u {{ {shrunk}}}
            }}
        }}
    }}
",
        first = external("shrink"),
        external = external(""),
        boxes = rotate(&s, "w"),
        sum = sum("w"),
    )
}
