//! The WGSL of a permutation and the constants it reads.
//!
//! One thread takes one state. Words of the state are named variables; where a loop must go over them it rotates them through the
//! first one, because drivers inline every product and a product site costs compile time.
//!
//! The permutation stands once in a loop over the steps of a thread, and every use of it feeds that loop ([`Mode`]): a state, a pair,
//! the blocks of a list, the levels of a path, a node of a tree.

use super::{
    super::{
        MAX_INPUTS,
        levels::Permutation,
        parameters::{Dense, Dense2, FULL_ROUNDS, GNARK_ROUNDS, PARTIAL_ROUNDS, PARTIAL_ROUNDS_2},
        schedule::{HALF, Schedule},
    },
    any_width,
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

impl Program {
    fn of(source: String, constants: &[Fr], form: Form) -> Self {
        let limbs = constants.iter().flat_map(|element| form.constant(*element));
        Self {
            source,
            constants: limbs.collect(),
        }
    }
}

/// What a thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Mode {
    /// Permutes a state and gives its first words.
    States = 0,
    /// Compresses two elements.
    Pairs = 1,
    /// Hashes a list: a starting element, then whole blocks of inputs. `places`: start, blocks, 0, 0.
    Lists = 2,
    /// Climbs a path: leaf, then siblings. `places`: start, siblings, index (low word, high word).
    Paths = 3,
    /// Computes a node of a tree from its children; nodes one after another.
    Range = 4,
    /// The same; `places`: the node, and in the top bits which of its children are new.
    Touched = 5,
}

/// What a dispatch reads beside its buffers: the uniform of the shader, word by word.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Batch {
    pub(super) mode: u32,
    /// Threads that have work.
    pub(super) count: u32,
    /// Elements that a thread writes.
    pub(super) rows: u32,
    pub(super) reverse: u32,
    /// Where the dispatch's part of `places` starts.
    pub(super) places: u32,
    /// Number of the first node, as its children's buffer counts.
    pub(super) first: u32,
    /// What turns that number into its own buffer's.
    pub(super) base: u32,
    /// Word of the first mark among the children, and among the results.
    pub(super) marks_in: u32,
    pub(super) marks_out: u32,
    /// Children and results before these numbers stand above leaves only.
    pub(super) complete_in: u32,
    pub(super) complete_out: u32,
    /// Mark of the nodes that this pass writes.
    pub(super) epoch: u32,
    /// Words of a state and partial rounds, for the shader that takes any width.
    pub(super) width: u32,
    pub(super) partial_rounds: u32,
}

/// What a thread writes behind its results when it has written them all.
pub(super) const DONE: u32 = 0x7a5e_0d17;
/// In the mark of a tree's node: it stands above fillers.
pub(super) const PARTIAL: u32 = 1 << 31;
/// In a touched place: its right, its left child is new.
pub(super) const NEW_RIGHT: u32 = 1 << 31;
pub(super) const NEW_LEFT: u32 = 1 << 30;

const HEAD: &str = "
struct Batch {
    mode: u32, count: u32, rows: u32, reverse: u32,
    places: u32, first: u32, base: u32, marks_in: u32,
    marks_out: u32, complete_in: u32, complete_out: u32, epoch: u32,
    width: u32, partial_rounds: u32,
}
@group(0) @binding(0) var<uniform> batch: Batch;
@group(0) @binding(1) var<storage, read> constants: array<u32>;
@group(0) @binding(2) var<storage, read> states: array<u32>;
@group(0) @binding(3) var<storage, read_write> results: array<u32>;
@group(0) @binding(4) var<storage, read> places: array<u32>;
override THREADS: u32 = 64u;
";

/// Marks of a tree. A child that this pass computes must carry this pass's mark, any other a mark of before; a child above fillers is
/// computed again in every pass. So the root's mark vouches for every node below it.
const TREE: &str = "
fn mark(at: u32, complete: u32) -> u32 { return select(batch.epoch | 0x80000000u, batch.epoch, at < complete); }
fn is_there(at: u32, is_new: bool) -> bool {
    let found = states[batch.marks_in + at];
    let old = found != 0u && (at >= batch.complete_in) == (found >= 0x80000000u);
    return select(old, found == mark(at, batch.complete_in), is_new);
}
@compute @workgroup_size(THREADS)
fn scatter(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= batch.count { return; }
    let at = places[batch.places + id.x];
    for (var i = 0u; i < 8u; i++) { results[at * 8u + i] = states[(batch.first + id.x) * 8u + i]; }
    results[batch.marks_out + at] = mark(at, batch.complete_out);
}
";

/// Partial rounds of Poseidon of a width.
pub(super) fn partial_rounds(width: usize) -> usize {
    let of_width = PARTIAL_ROUNDS.get(width.wrapping_sub(2));
    of_width.copied().unwrap_or_default()
}

/// Whether the permutation has compressions, and so pairs, paths and trees.
pub(super) fn compresses(which: Permutation) -> bool {
    !matches!(which, Permutation::Poseidon(width) if width != 3)
}

/// Whether the permutation shares the shader that takes any width. Its partial rounds hold 3 (t - 1) elements beside the sums of a
/// dot: at the bounds here some 160 words, which a thread has registers for; one width more in 32-bit sums takes 230.
pub(super) fn any_width(which: Permutation, form: Form) -> bool {
    let most = match form {
        Form::Wide => 5,
        Form::Narrow => 3,
    };
    matches!(which, Permutation::Poseidon(width) if width > most)
}

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
    let mut source = HEAD.to_owned() + &writer.prelude();
    if any_width(which, form) {
        source += &any_width::source(&writer, DONE);
        return Some(Program::of(source, &constants, form));
    }
    if let Permutation::Poseidon(width) = which {
        source += &writer.dot(width);
        // Of width 2 the rounds sum two products too.
        if 2 * (width - 1) != width {
            source += &writer.dot(2 * (width - 1));
        }
    }
    if compresses(which) {
        source += TREE;
    }
    source += &entry(which, &body);
    Some(Program::of(source, &constants, form))
}

/// The entry point around a permutation's rounds.
fn entry(which: Permutation, body: &str) -> String {
    let width = which.width();
    let mut out = format!(
        "
@compute @workgroup_size(THREADS)
fn permute(@builtin(global_invocation_id) id: vec3<u32>) {{
    if id.x >= batch.count {{ return; }}
    let at = select(id.x, batch.count - 1u - id.x, batch.reverse != 0u);
    var next = at * {width}u;
    var out = at * batch.rows;
    var mark_at = batch.marks_out + at;
    var done = {DONE}u;
"
    );
    for i in 0..width {
        out += &format!("    var s{i} = zero();\n");
    }
    let states: String = (0..width)
        .map(|i| format!("s{i} = load(next + {i}u); "))
        .collect();
    if !compresses(which) {
        out += &format!("    {states}\n{body}");
        return out + &close(width);
    }
    // Where a list starts, how a block enters, how a pair does, and what is carried on.
    let (start, block, pair, carried) = match which {
        Permutation::Poseidon(_) => ("", "", ["s1", "s2"], "s0"),
        Permutation::Poseidon2 => (
            "s2 = chain;",
            "s0 = shrink(settle(add(s0, load(next)))); s1 = shrink(settle(add(s1, load(next + 1u)))); next += 2u;",
            ["s0", "s1"],
            "s0",
        ),
        Permutation::Gnark => (
            "",
            "s0 = chain; s1 = load(next); right = s1; next += 1u;",
            ["s0", "s1"],
            "shrink(settle(add(s1, right)))",
        ),
    };
    // The word of a pair's state that is zero.
    let spare = match which {
        Permutation::Poseidon(_) => "s0 = zero();",
        Permutation::Poseidon2 => "s2 = zero();",
        Permutation::Gnark => "right = s1;",
    };
    let right = match which {
        Permutation::Gnark => "    var right = zero();\n",
        _ => "",
    };
    let [left, other] = pair;
    out += &format!(
        "    var chain = zero();
{right}    var steps = 1u;
    var low = 0u;
    var high = 0u;
    if batch.mode == {pairs}u {{
        next = at * 2u;
    }} else if batch.mode == {lists}u || batch.mode == {paths}u {{
        let place = batch.places + at * 4u;
        next = places[place];
        steps = min(places[place + 1u], {MAX_INPUTS}u);
        low = places[place + 2u];
        high = places[place + 3u];
    }} else if batch.mode >= {range}u {{
        var node = batch.first + at;
        var new_left = 2u * node >= batch.complete_in;
        var new_right = 2u * node + 1u >= batch.complete_in;
        if batch.mode == {touched}u {{
            let place = places[batch.places + at];
            node = place & 0x3fffffffu;
            new_left = (place & {NEW_LEFT}u) != 0u;
            new_right = (place & {NEW_RIGHT}u) != 0u;
        }}
        next = 2u * node;
        out = batch.base + node;
        mark_at = batch.marks_out + out;
        done = mark(out, batch.complete_out);
        // A node is computed from children that are there, or not at all.
        if !is_there(next, new_left) || !is_there(next + 1u, new_right) {{ return; }}
    }}
    if batch.mode != {plain}u {{ chain = load(next); next += 1u; }}
    if batch.mode == {lists}u {{ {start} }}
    for (var step = 0u; step < steps; step++) {{
        if batch.mode == {plain}u {{
            {states}
        }} else if batch.mode == {lists}u {{
            {block}
        }} else {{
            let sibling = load(next);
            next += 1u;
            if (low & 1u) == 0u {{ {left} = chain; {other} = sibling; }} else {{ {left} = sibling; {other} = chain; }}
            low = (low >> 1u) | (high << 31u);
            high = high >> 1u;
            {spare}
        }}
{body}        chain = {carried};
    }}
    if batch.mode != {plain}u {{ s0 = chain; }}
",
        pairs = Mode::Pairs as u32,
        lists = Mode::Lists as u32,
        paths = Mode::Paths as u32,
        range = Mode::Range as u32,
        touched = Mode::Touched as u32,
        plain = Mode::States as u32,
    );
    out + &close(width)
}

/// Writes the first words and the mark.
fn close(width: usize) -> String {
    let mut out = String::new();
    for i in 0..width {
        out += &format!(
            "    if batch.rows > {i}u {{ store(out * 8u + {}u, s{i}); }}\n",
            8 * i
        );
    }
    out + "    results[mark_at] = done;\n}\n"
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
    let rounds = partial_rounds(t);
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
