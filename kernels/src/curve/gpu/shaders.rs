//! The WGSL of sums of multiples: the generated field, what curve formulas need beside it, and the kernels.

use super::{Curve, Shape};
use crate::field::{
    Element, Prime,
    wgsl::{Form, Writer},
};
use std::fmt::Write;

/// What stands, with a state in its two lowest bits, behind the coordinates of a sum that was computed.
pub(super) const DONE: u32 = 0x7a5e_0d14;
/// The states: a point, the identity, a term that is no point of the curve.
pub(super) const POINT: u32 = 1;
pub(super) const IDENTITY: u32 = 2;
pub(super) const NO_POINT: u32 = 3;

/// Digits of four bits of half a factor, the carry of the highest included.
const WINDOWS: usize = 33;
/// Multiples of a point in its table.
pub(super) const TABLE: usize = 8;
/// Bytes of a factor of a fixed point, each with a table of its own.
pub(super) const BYTES: usize = 32;
/// Entries of such a table: the identity has no place.
pub(super) const BYTE_ENTRIES: usize = 255;

const SUMS: &str = include_str!("sums.wgsl");
const LIFT: &str = include_str!("lift.wgsl");

/// What a dispatch reads beside its buffers: the uniform of the shader, word by word.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Batch {
    /// Sums.
    pub(super) count: u32,
    /// Where digits, flags and factors of fixed points start among the inputs.
    pub(super) digits: u32,
    pub(super) flags: u32,
    pub(super) fixed: u32,
    /// Word of the first mark among the results.
    pub(super) marks: u32,
    /// Threads that share the inversions.
    pub(super) threads: u32,
    pub(super) reverse: u32,
    /// Number of the batch: what an earlier one left does not count.
    pub(super) epoch: u32,
}

/// A power by squarings and products, for the shader's `power`.
///
/// A step squares the value, multiplies it by x, by what it was before the squarings or by a value that was kept, and may keep it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain(Vec<u32>);

/// The factor of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Factor {
    /// The value before the squarings.
    Before,
    /// x.
    X,
    /// The value kept in a place from 2 to 5.
    Kept(u32),
    /// None.
    Nothing,
}

impl Chain {
    /// Squares `count` times, multiplies, and keeps the value in a place from 2 to 5; 0 keeps nothing.
    #[must_use]
    pub(crate) fn step(mut self, count: u32, factor: Factor, keep: u32) -> Self {
        debug_assert!(count < 256 && keep < 6, "fields of a step");
        let by = match factor {
            Factor::Before => 0,
            Factor::X => 1,
            Factor::Kept(place) => place,
            Factor::Nothing => 15,
        };
        self.0.push(count | by << 8 | keep << 12);
        self
    }

    /// The words of the steps.
    #[cfg(test)]
    pub(super) fn codes(&self) -> &[u32] {
        &self.0
    }

    /// x to an exponent whose two highest bits are ones: runs of bits that end in a one, two at a time.
    pub(crate) fn power(exponent: &[u64; 4]) -> Self {
        let bit = |at: usize| exponent[at / 64] >> (at % 64) & 1 == 1;
        // The square is not needed: x^3 is x squared, times x.
        let mut chain = Self::default().step(1, Factor::X, 2);
        let mut at = (0..256).rev().find(|at| bit(*at)).unwrap_or(0);
        // The value is x^3 now: the two highest bits.
        debug_assert!(
            at > 0 && bit(at - 1),
            "an exponent that starts with two ones"
        );
        at -= 1;
        while at > 0 {
            if !bit(at - 1) {
                chain = chain.step(1, Factor::Nothing, 0);
                at -= 1;
            } else if at > 1 && bit(at - 2) {
                chain = chain.step(2, Factor::Kept(2), 0);
                at -= 2;
            } else {
                chain = chain.step(1, Factor::X, 0);
                at -= 1;
            }
        }
        chain
    }
}

/// A shader and the constants it reads.
pub(super) struct Program {
    pub(super) source: String,
    pub(super) constants: Vec<u32>,
}

/// The program of a shape.
pub(super) fn program<C: Curve>(shape: Shape, form: Form) -> Program {
    let (root, inverse) = (C::root(), C::inverse());
    let table_steps = shape.points * (TABLE - 1);
    let window_steps = if shape.points == 0 {
        0
    } else {
        WINDOWS * (4 + 2 * shape.points)
    };
    let mut source = String::new();
    for (name, value) in [
        ("POINTS", shape.points),
        ("FIXED", shape.fixed),
        ("TABLE_STEPS", table_steps),
        ("WINDOW_STEPS", window_steps),
        ("STEPS", table_steps + window_steps + BYTES * shape.fixed),
        ("ENTRIES", shape.entries()),
        ("SPARE", usize::from(shape.points == 0)),
        ("ROOT_START", 0),
        ("ROOT_STEPS", root.0.len()),
        ("INVERSE_START", root.0.len()),
        ("INVERSE_STEPS", inverse.0.len()),
        ("DONE", DONE as usize),
    ] {
        let _ = writeln!(source, "const {name}: u32 = {value}u;");
    }
    source += &Writer::<C::Base>::new(form).prelude();
    source += &extras::<C>(form);
    source += SUMS;
    if shape.points > 0 {
        source += LIFT;
    }
    Program {
        source,
        constants: [root.0, inverse.0].concat(),
    }
}

fn literal(limbs: &[u32]) -> String {
    let list: Vec<String> = limbs.iter().map(|limb| format!("{limb}u")).collect();
    format!("F({})", list.join(", "))
}

/// `a0, a1, ..` by a pattern.
fn each(n: usize, f: impl Fn(usize) -> String) -> Vec<String> {
    (0..n).map(f).collect()
}

/// What curve formulas need of a field beside products: differences, zero, constants, and coordinates packed into words of four.
fn extras<C: Curve>(form: Form) -> String {
    let n = form.limbs();
    let mut out = String::new();
    let function = |out: &mut String, name: &str, limbs: &[u32]| {
        let _ = writeln!(out, "fn {name}() -> F {{ return {}; }}", literal(limbs));
    };
    function(&mut out, "one", &form.constant(Element::<C::Base>::ONE));
    function(
        &mut out,
        "coefficient",
        &form.constant(Element::<C::Base>::from_u64(C::B)),
    );
    function(&mut out, "endomorphism", &form.constant(C::beta()));
    // The number 1: a product by it takes the Montgomery form off.
    function(&mut out, "unit", &form.split(&[1, 0, 0, 0]));

    // a + k p - b for a settled b below that: each limb of k p borrows one from the next, so that no difference is negative.
    for k in [4u32, 10] {
        let limbs = borrowed(form, k, &C::Base::MODULUS);
        let terms = each(n, |i| format!("a.l{i} + {}u - b.l{i}", limbs[i]));
        let _ = writeln!(
            out,
            "fn sub{k}(a: F, b: F) -> F {{ return settle(F({})); }}",
            terms.join(", ")
        );
    }

    // Whether a settled value below 2 p is 0 or p.
    let p = form.split(&C::Base::MODULUS);
    let zero = each(n, |i| format!("a.l{i}")).join(" | ");
    let modulus = each(n, |i| format!("(a.l{i} ^ {}u)", p[i])).join(" | ");
    let _ = writeln!(
        out,
        "fn is_multiple(a: F) -> bool {{ return ({zero}) == 0u || ({modulus}) == 0u; }}"
    );

    // Ten words a coordinate: a limb of 29 bits each, or two of 13 bits.
    out +=
        "struct Packed { a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32>, e: vec4<u32> }\n";
    let word = |i: usize| {
        let (name, i) = if i < 10 { ("p.x", i) } else { ("p.y", i - 10) };
        match form {
            Form::Wide if i < n => format!("{name}.l{i}"),
            Form::Wide => "0u".into(),
            Form::Narrow => format!("{name}.l{} | ({name}.l{} << 13u)", 2 * i, 2 * i + 1),
        }
    };
    let vectors = each(5, |v| {
        format!("vec4<u32>({})", each(4, |i| word(4 * v + i)).join(", "))
    });
    let _ = writeln!(
        out,
        "fn pack(p: Affine) -> Packed {{ return Packed({}); }}",
        vectors.join(", ")
    );
    let limb = |start: usize, i: usize| {
        let at = |i: usize| {
            format!(
                "{}.{}",
                ["a", "b", "c", "d", "e"][i / 4],
                ["x", "y", "z", "w"][i % 4]
            )
        };
        match form {
            Form::Wide => at(start + i),
            Form::Narrow if i.is_multiple_of(2) => format!("{} & 8191u", at(start + i / 2)),
            Form::Narrow => format!("{} >> 13u", at(start + i / 2)),
        }
    };
    let coordinate = |start: usize| format!("F({})", each(n, |i| limb(start, i)).join(", "));
    let vectors = ["a", "b", "c", "d", "e"].map(|name| format!("{name}: vec4<u32>"));
    let _ = writeln!(
        out,
        "fn unpack({}) -> Affine {{ return Affine({}, {}); }}",
        vectors.join(", "),
        coordinate(0),
        coordinate(10)
    );
    out
}

/// The limbs of k p, each but the top one raised by what it borrows from the next.
pub(super) fn borrowed(form: Form, k: u32, modulus: &[u64; 4]) -> Vec<u32> {
    let (n, bits) = (form.limbs(), form.bits());
    let mut carry = 0;
    let mut limbs: Vec<u32> = form
        .split(modulus)
        .into_iter()
        .enumerate()
        .map(|(i, limb)| {
            let value = u64::from(limb) * u64::from(k) + carry;
            if i + 1 == n {
                return value as u32;
            }
            carry = value >> bits;
            (value & ((1 << bits) - 1)) as u32
        })
        .collect();
    for limb in &mut limbs[..n - 1] {
        *limb += 1 << bits;
    }
    for limb in &mut limbs[1..] {
        *limb -= 1;
    }
    limbs
}

/// An entry of a fixed point's table, as the shader unpacks it: zeros, which are no point's coordinates, for the identity.
pub(super) fn packed<P: Prime>(form: Form, point: Option<(Element<P>, Element<P>)>) -> Vec<u32> {
    let (x, y) = point.unwrap_or_default();
    [x, y]
        .into_iter()
        .flat_map(|coordinate| {
            let limbs = form.constant(coordinate);
            let mut words: Vec<u32> = match form {
                Form::Wide => limbs,
                Form::Narrow => limbs
                    .chunks(2)
                    .map(|pair| pair[0] | pair[1] << 13)
                    .collect(),
            };
            words.resize(10, 0);
            words
        })
        .collect()
}
