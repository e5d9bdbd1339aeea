//! Keccak-f\[1600\] as straight-line WGSL, in pairs of `u32` or in `u64`.
//!
//! A state is a struct of 25 named pairs and never an array: registers cannot be indexed at run time, and drivers put
//! arrays that are into slow memory (40 to 60 times slower where measured). The round is written out once, in a loop
//! of 24.

use super::{LANES, ROTATIONS, ROUND_CONSTANTS};
use std::fmt::Write;

/// How a lane is written inside the permutation. A state is kept in pairs of words by both.
struct Form {
    /// Functions that come before.
    helpers: &'static str,
    /// A lane from a pair (low word first) and back.
    from_pair: fn(&str) -> String,
    to_pair: fn(&str) -> String,
    /// The name of a lane rotated to the left by `bits`.
    rotated: fn(&str, u32) -> String,
}

/// Lanes as pairs of `u32`.
const PAIRS: Form = Form {
    helpers: "",
    from_pair: str::to_owned,
    to_pair: str::to_owned,
    rotated: |value, bits| {
        let (low, high) = if bits < 32 { ("x", "y") } else { ("y", "x") };
        match bits % 32 {
            0 => format!("vec2<u32>({value}.{low}, {value}.{high})"),
            left => {
                let right = 32 - left;
                format!(
                    "vec2<u32>(({value}.{low} << {left}u) | ({value}.{high} >> {right}u), \
                     ({value}.{high} << {left}u) | ({value}.{low} >> {right}u))"
                )
            }
        }
    },
};

/// Lanes as `u64`.
const WORDS: Form = Form {
    helpers: "fn lane(v: vec2<u32>) -> u64 {\n    return u64(v.x) | (u64(v.y) << 32u);\n}\n\n",
    from_pair: |pair| format!("lane({pair})"),
    to_pair: |lane| format!("vec2<u32>(u32({lane}), u32({lane} >> 32u))"),
    rotated: |value, bits| match bits {
        0 => value.to_owned(),
        left => format!("(({value} << {left}u) | ({value} >> {}u))", 64 - left),
    },
};

/// `struct State { a0 … a24: vec2<u32> }` (low word first) and `fn permute(s: ptr<function, State>)`, which reads the
/// round constants as pairs from `{array}[{offset} + round]`.
pub(crate) fn permutation(array: &str, offset: usize) -> String {
    permutation_in(&PAIRS, array, offset)
}

/// The same as [`permutation`] with lanes of `u64` inside the loop, for devices with 64-bit integers in shaders.
pub(crate) fn permutation_u64(array: &str, offset: usize) -> String {
    permutation_in(&WORDS, array, offset)
}

fn permutation_in(form: &Form, array: &str, offset: usize) -> String {
    let mut out = String::from("struct State {\n");
    for i in 0..LANES {
        let _ = writeln!(out, "    a{i}: vec2<u32>,");
    }
    let _ = write!(out, "}}\n\n{}", form.helpers);
    out.push_str("fn permute(s: ptr<function, State>) {\n");
    for i in 0..LANES {
        let _ = writeln!(
            out,
            "    var a{i} = {};",
            (form.from_pair)(&format!("(*s).a{i}"))
        );
    }
    out.push_str("    for (var round = 0u; round < 24u; round++) {\n");
    for x in 0..5 {
        let column: Vec<String> = (0..5).map(|y| format!("a{}", x + 5 * y)).collect();
        let _ = writeln!(out, "        let c{x} = {};", column.join(" ^ "));
    }
    for x in 0..5 {
        let right = (form.rotated)(&format!("c{}", (x + 1) % 5), 1);
        let _ = writeln!(out, "        let d{x} = c{} ^ {right};", (x + 4) % 5);
    }
    for x in 0..5 {
        for y in 0..5 {
            let (from, to) = (x + 5 * y, y + 5 * ((2 * x + 3 * y) % 5));
            let _ = writeln!(out, "        let t{to} = a{from} ^ d{x};");
            let moved = (form.rotated)(&format!("t{to}"), ROTATIONS[from]);
            let _ = writeln!(out, "        let b{to} = {moved};");
        }
    }
    let constant = (form.from_pair)(&format!("{array}[{offset}u + round]"));
    for y in 0..5 {
        for x in 0..5 {
            let [i, j, k] = [x, (x + 1) % 5, (x + 2) % 5].map(|x| x + 5 * y);
            let iota = if i == 0 {
                format!(" ^ {constant}")
            } else {
                String::new()
            };
            let _ = writeln!(out, "        a{i} = b{i} ^ (~b{j} & b{k}){iota};");
        }
    }
    out.push_str("    }\n");
    for i in 0..LANES {
        let _ = writeln!(out, "    (*s).a{i} = {};", (form.to_pair)(&format!("a{i}")));
    }
    out.push_str("}\n");
    out
}

/// The expression of 32-bit word `index` of the state behind the pointer `s`.
pub(crate) fn word(index: usize) -> String {
    format!("(*s).a{}.{}", index / 2, ["x", "y"][index % 2])
}

/// `fn {name}(s: ptr<function, State>, base: u32)`: the first `lanes` lanes take `array[base…]` by exclusive or.
pub(crate) fn absorb(name: &str, array: &str, lanes: usize) -> String {
    let mut out = format!("fn {name}(s: ptr<function, State>, base: u32) {{\n");
    for i in 0..lanes {
        let (low, high) = (2 * i, 2 * i + 1);
        let _ = writeln!(
            out,
            "    (*s).a{i} ^= vec2<u32>({array}[base + {low}u], {array}[base + {high}u]);"
        );
    }
    out.push_str("}\n");
    out
}

/// `fn {name}(s: ptr<function, State>, base: u32)`: the first `lanes` lanes go to `array[base…]`.
pub(crate) fn store(name: &str, array: &str, lanes: usize) -> String {
    let mut out = format!("fn {name}(s: ptr<function, State>, base: u32) {{\n");
    for i in 0..2 * lanes {
        let _ = writeln!(out, "    {array}[base + {i}u] = {};", word(i));
    }
    out.push_str("}\n");
    out
}

/// The round constants as words, low half first.
pub(crate) fn round_constant_words() -> impl Iterator<Item = [u32; 2]> {
    ROUND_CONSTANTS
        .iter()
        .map(|constant| [*constant as u32, (constant >> 32) as u32])
}
