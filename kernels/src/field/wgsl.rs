//! A prime field as WGSL: straight-line functions over limbs, written by Rust.
//!
//! A value is a struct `F` of `limbs` words of `bits` bits each, in Montgomery form to R = 2^(limbs bits), lazy as in
//! the vector code: *settled* when no limb holds a carry, a product of factors a and b below `a b / R + p`. Two forms:
//!
//! | form | limbs | sums | needs |
//! |---|---|---|---|
//! | [`Form::Wide`] | 9 of 29 bits | 64-bit | `SHADER_INT64` |
//! | [`Form::Narrow`] | 20 of 13 bits | 32-bit | nothing |
//!
//! 8 limbs of 32 bits need a carry chain after each product; 16 bits leave no room for sums
//! of products in 32 bits. A product of limbs takes `2 bits`, so 60 of them fit a sum in both forms, with room for a carry.
//!
//! The functions have no loop and no array: drivers keep arrays that are indexed at run time in memory. The one exception is
//! [`Writer::dot_in_memory`], for sums whose factors are too many for registers.

#[cfg(test)]
mod tests;

use super::{Element, Prime};
use std::{
    fmt::{self, Write},
    marker::PhantomData,
};

/// Products of limbs that a sum holds beside a carry.
const ROOM: usize = 60;
/// Products of elements that [`Writer::dot_in_memory`] sums at most.
pub(crate) const MOST_TERMS: usize = 32;
/// Bits of the top of a value that estimate its quotient by p.
const TOP_BITS: usize = 23;

/// How a field is cut into limbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// 29-bit limbs, 64-bit sums.
    Wide,
    /// 13-bit limbs, 32-bit sums.
    Narrow,
}

impl Form {
    /// Bits of a limb.
    pub(crate) const fn bits(self) -> usize {
        match self {
            Self::Wide => 29,
            Self::Narrow => 13,
        }
    }

    /// Limbs of an element.
    pub(crate) const fn limbs(self) -> usize {
        match self {
            Self::Wide => 9,
            Self::Narrow => 20,
        }
    }

    /// log2 of R.
    const fn total(self) -> usize {
        self.bits() * self.limbs()
    }

    /// The type of sums.
    const fn sum(self) -> &'static str {
        match self {
            Self::Wide => "u64",
            Self::Narrow => "u32",
        }
    }

    /// The limbs of a number below 2^256.
    pub(crate) fn split(self, words: &[u64; 4]) -> Vec<u32> {
        (0..self.limbs())
            .map(|i| {
                let (word, bit) = (self.bits() * i / 64, self.bits() * i % 64);
                let low = words.get(word).map_or(0, |w| w >> bit);
                let high = match words.get(word + 1) {
                    Some(w) if bit > 0 => w << (64 - bit),
                    _ => 0,
                };
                ((low | high) & ((1 << self.bits()) - 1)) as u32
            })
            .collect()
    }

    /// The limbs of an element in this form.
    pub(crate) fn constant<P: Prime>(self, element: Element<P>) -> Vec<u32> {
        // x 2^256 doubled until it is x R modulo p.
        let shifted = (256..self.total()).fold(element, |value, _| value.double());
        self.split(&shifted.montgomery())
    }
}

/// Writes the functions of a field in a form.
pub(crate) struct Writer<P> {
    form: Form,
    field: PhantomData<P>,
}

impl<P: Prime> Writer<P> {
    pub(crate) const fn new(form: Form) -> Self {
        Self {
            form,
            field: PhantomData,
        }
    }

    fn mask(&self) -> String {
        format!("{}u", (1u32 << self.form.bits()) - 1)
    }

    /// A word as a summand.
    fn widen(&self, word: impl fmt::Display) -> String {
        match self.form {
            Form::Wide => format!("u64({word})"),
            Form::Narrow => word.to_string(),
        }
    }

    /// The low word of a sum.
    fn narrow(&self, sum: &str) -> String {
        match self.form {
            Form::Wide => format!("u32({sum})"),
            Form::Narrow => sum.to_owned(),
        }
    }

    /// The struct and the functions `zero`, `add`, `settle`, `mul`, `sqr`, `pow5`, `shrink`, `load`, `store` and `constant`.
    ///
    /// The module has `constants: array<u32>`, `states: array<u32>` (elements of eight words, Montgomery form to 2^256) and
    /// `results: array<u32>` of the same.
    pub(crate) fn prelude(&self) -> String {
        let n = self.form.limbs();
        let fields: String = (0..n).map(|i| format!("l{i}: u32, ")).collect();
        let mut out = format!("struct F {{ {fields}}}\n");
        let each = |f: &dyn Fn(usize) -> String| (0..n).map(f).collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            out,
            "fn zero() -> F {{ return F({}); }}",
            each(&|_| "0u".into())
        );
        let _ = writeln!(
            out,
            "fn add(a: F, b: F) -> F {{ return F({}); }}",
            each(&|i| format!("a.l{i} + b.l{i}"))
        );
        let _ = writeln!(
            out,
            "fn constant(at: u32) -> F {{ let base = at * {n}u; return F({}); }}",
            each(&|i| format!("constants[base + {i}u]"))
        );
        out += &self.settle();
        out += &self.products("mul", 1, Source::Variable);
        out += &self.square();
        out += "fn pow5(x: F) -> F { let s = sqr(x); return mul(sqr(s), x); }\n";
        out += &self.shrink();
        out += &self.load();
        out += &self.store();
        out
    }

    /// Carries move up; the value must be below R.
    fn settle(&self) -> String {
        let n = self.form.limbs();
        let (bits, mask) = (self.form.bits(), self.mask());
        let mut out = String::from("fn settle(a: F) -> F {\n    var r = a;\n");
        for i in 0..n - 1 {
            let _ = writeln!(
                out,
                "    r.l{} += r.l{i} >> {bits}u; r.l{i} &= {mask};",
                i + 1
            );
        }
        out + "    return r;\n}\n"
    }

    /// `fn dot{count}(x0, .., at, addend, extra)`: `extra + constants[addend] + Σ xi constants[at + i]`, settled if `extra` is.
    pub(crate) fn dot(&self, count: usize) -> String {
        self.products(&format!("dot{count}"), count, Source::Constant)
    }

    /// A sum of products and its Montgomery reduction, column by column.
    ///
    /// A sum below 2^(2 bits) ROOM is split before it could pass its word: its carries go to the next column early.
    fn products(&self, name: &str, count: usize, source: Source) -> String {
        let n = self.form.limbs();
        let mut out = format!("fn {name}(");
        match source {
            Source::Variable => out += "x0: F, y0: F",
            Source::Constant => {
                for j in 0..count {
                    let _ = write!(out, "x{j}: F, ");
                }
                out += "at: u32, addend: u32, extra: F";
            }
        }
        out += ") -> F {\n";
        if let Source::Constant = source {
            for j in 0..count {
                let _ = writeln!(out, "    let y{j} = constant(at + {j}u);");
            }
            out += "    let plus = constant(addend);\n";
        }
        let columns = (0..2 * n - 1)
            .map(|k| {
                let mut terms = Vec::new();
                for j in 0..count {
                    for i in k.saturating_sub(n - 1)..=k.min(n - 1) {
                        let x = self.widen(format!("x{j}.l{i}"));
                        let y = self.widen(format!("y{j}.l{}", k - i));
                        terms.push((1, format!("{x} * {y}")));
                    }
                }
                terms
            })
            .collect();
        let extra = match source {
            Source::Variable => "",
            Source::Constant => "plus",
        };
        out + &self.reduce(columns, extra)
            + match source {
                Source::Variable => "    return r;\n}\n",
                Source::Constant => "    return settle(add(r, extra));\n}\n",
            }
    }

    /// `fn dot(lists, newest, len, count, at, addend, extra)`: the same over one or two lists of `len` elements in the array `words`,
    /// of at most [`MOST_TERMS`] elements together. List i begins at `lists[i]` and is read in a circle from its place `newest[i]`.
    ///
    /// The products stand once, in a loop that is as long as the lists: what a dot of many elements is compiled in does not grow with
    /// them, and in registers are the sums of the columns and two elements.
    pub(crate) fn dot_in_memory(&self) -> String {
        let n = self.form.limbs();
        let (bits, mask) = (self.form.bits(), self.widen(self.mask()));
        let sum = self.form.sum();
        let top = 2 * n - 2;
        // The highest column has room for all of its products, one an element, and so keeps its carries.
        let carry: String = (0..top)
            .rev()
            .map(|k| format!("c{} += c{k} >> {bits}u; c{k} &= {mask}; ", k + 1))
            .collect();
        let mut out = String::from(
            "fn dot(lists: vec2<u32>, newest: vec2<u32>, len: u32, count: u32, at: u32, addend: u32, extra: F) -> F {\n",
        );
        for k in 0..=top {
            let _ = writeln!(out, "    var c{k} = {sum}(0u);");
        }
        let _ = writeln!(
            out,
            "    var terms = 0u;
    for (var list = 0u; list < count; list++) {{
        let begin = select(lists.x, lists.y, list == 1u);
        var place = select(newest.x, newest.y, list == 1u);
        for (var j = 0u; j < len; j++) {{
            let x = words[begin + place];
            let y = constant(at + terms);
            terms += 1u;
            place += 1u;
            if place == len {{ place = 0u; }}"
        );
        for k in 0..=top {
            for i in k.saturating_sub(n - 1)..=k.min(n - 1) {
                let x = self.widen(format!("x.l{i}"));
                let y = self.widen(format!("y.l{}", k - i));
                let _ = writeln!(out, "            c{k} += {x} * {y};");
            }
        }
        // A column takes as many products from an element as it has limbs; its carry counts as one more.
        let period = ((ROOM - 1) / n).max(1);
        let _ = writeln!(
            out,
            "            if terms % {period}u == 0u {{ {carry}}}
        }}
    }}
    {carry}
    let plus = constant(addend);"
        );
        let columns = (0..=top)
            .map(|k| {
                let weight = if k == top { MOST_TERMS } else { 1 };
                vec![(weight, format!("c{k}"))]
            })
            .collect();
        out + &self.reduce(columns, "plus") + "    return settle(add(r, extra));\n}\n"
    }

    /// The square: mixed products once, of a doubled limb.
    fn square(&self) -> String {
        let n = self.form.limbs();
        let mut out = String::from("fn sqr(x: F) -> F {\n");
        for i in 1..n {
            let _ = writeln!(out, "    let d{i} = x.l{i} << 1u;");
        }
        let columns = (0..2 * n - 1)
            .map(|k| {
                let mut terms = Vec::new();
                for i in k.saturating_sub(n - 1)..=k / 2 {
                    let j = k - i;
                    let x = self.widen(format!("x.l{i}"));
                    if i == j {
                        terms.push((1, format!("{x} * {x}")));
                    } else {
                        terms.push((2, format!("{x} * {}", self.widen(format!("d{j}")))));
                    }
                }
                terms
            })
            .collect();
        out + &self.reduce(columns, "") + "    return r;\n}\n"
    }

    /// Adds up the columns (terms with their weight in limb products) and reduces them to `r`, the upper half plus the limbs of
    /// `plus`; all but its top limb are settled.
    fn reduce(&self, columns: Vec<Vec<(usize, String)>>, plus: &str) -> String {
        let n = self.form.limbs();
        let (bits, mask) = (self.form.bits(), self.mask());
        let sum = self.form.sum();
        let p = self.form.split(&P::MODULUS);
        let minus_inverse = (P::MINUS_INVERSE & ((1 << bits) - 1)) as u32;
        let mut out =
            format!("    var r: F;\n    var c: {sum}; var h: {sum};\n    c = {sum}(0u);\n");
        for k in 0..2 * n - 1 {
            let mut terms = columns.get(k).cloned().unwrap_or_default();
            for i in k.saturating_sub(n - 1)..k.min(n) {
                let factor = p.get(k - i).copied().unwrap_or_default();
                terms.push((
                    1,
                    format!(
                        "{} * {}",
                        self.widen(format!("m{i}")),
                        self.widen(format!("{factor}u"))
                    ),
                ));
            }
            if k >= n && !plus.is_empty() {
                terms.push((1, self.widen(format!("{plus}.l{}", k - n))));
            }
            let _ = writeln!(out, "    h = {sum}(0u);");
            // The carry that came in, and the product by m of this column, count too.
            let mut used = 2;
            for (weight, term) in terms {
                if used + weight > ROOM {
                    let _ = writeln!(out, "    h += c >> {bits}u; c &= {};", self.widen(&mask));
                    used = 2;
                }
                used += weight;
                let _ = writeln!(out, "    c += {term};");
            }
            if k < n {
                let low = self.narrow("c");
                let _ = writeln!(out, "    let m{k} = ({low} * {minus_inverse}u) & {mask};");
                let first = p.first().copied().unwrap_or_default();
                let _ = writeln!(
                    out,
                    "    c += {} * {};",
                    self.widen(format!("m{k}")),
                    self.widen(format!("{first}u"))
                );
            } else {
                let low = self.narrow("c");
                let _ = writeln!(out, "    r.l{} = {low} & {mask};", k - n);
            }
            let _ = writeln!(out, "    c = (c >> {bits}u) + h;");
        }
        let low = self.narrow("c");
        if plus.is_empty() {
            let _ = writeln!(out, "    r.l{} = {low};", n - 1);
        } else {
            let _ = writeln!(out, "    r.l{} = {low} + {plus}.l{};", n - 1, n - 1);
        }
        out
    }

    /// An equal value below 2 p. Takes a settled value below R less one sixteenth.
    ///
    /// The quotient by p is estimated from the top 23 bits, at most two too small and never too large.
    fn shrink(&self) -> String {
        let n = self.form.limbs();
        let (bits, mask, sum) = (self.form.bits(), self.mask(), self.form.sum());
        let top = match self.form {
            Form::Wide => format!("a.l{} >> {}u", n - 1, bits - TOP_BITS),
            Form::Narrow => format!(
                "(a.l{} << {}u) | (a.l{} >> {}u)",
                n - 1,
                TOP_BITS - bits,
                n - 2,
                2 * bits - TOP_BITS
            ),
        };
        let mut out = format!(
            "fn shrink(a: F) -> F {{\n    var r: F;\n    let q = {};\n    var c = {sum}(0u);\n",
            self.widen(format!("((({top}) * {}u) >> {TOP_BITS}u)", self.quotient()))
        );
        for (i, limb) in self.complement().into_iter().enumerate() {
            let a = self.widen(format!("a.l{i}"));
            let _ = writeln!(
                out,
                "    c += {a} + q * {};",
                self.widen(format!("{limb}u"))
            );
            let _ = writeln!(
                out,
                "    r.l{i} = {} & {mask}; c = c >> {bits}u;",
                self.narrow("c")
            );
        }
        out + "    return r;\n}\n"
    }

    /// floor(R / p), for a prime of 250 bits or more.
    fn quotient(&self) -> u32 {
        // R / p from the top 64 bits of p, rounded up so that the quotient is not too large.
        let top = u128::from(P::MODULUS[3]) + 1;
        ((1u128 << (self.form.total() - 192)) / top) as u32
    }

    /// R - p.
    fn complement(&self) -> Vec<u32> {
        let mask = (1u32 << self.form.bits()) - 1;
        let mut carry = 1;
        self.form
            .split(&P::MODULUS)
            .into_iter()
            .map(|limb| {
                let value = mask - limb + carry;
                carry = value >> self.form.bits();
                value & mask
            })
            .collect()
    }

    /// `fn load(at)`: element `at` of `states`, shifted to R without a product; below R / 2^256 p.
    fn load(&self) -> String {
        let (n, bits) = (self.form.limbs(), self.form.bits());
        let shift = self.form.total() - 256;
        let mut out = String::from("fn load(at: u32) -> F {\n    var r: F;\n");
        for i in 0..8 {
            let _ = writeln!(out, "    let w{i} = states[at * 8u + {i}u];");
        }
        for i in 0..n {
            // Bit `from` of the number is bit 0 of the limb.
            let from = (bits * i) as i64 - shift as i64;
            let mut parts = Vec::new();
            for word in 0..8i64 {
                let at = 32 * word - from;
                if at > -32 && at < bits as i64 {
                    parts.push(if at >= 0 {
                        format!("(w{word} << {at}u)")
                    } else {
                        format!("(w{word} >> {}u)", -at)
                    });
                }
            }
            let _ = writeln!(
                out,
                "    r.l{i} = ({}) & {};",
                parts.join(" | "),
                self.mask()
            );
        }
        out + "    return r;\n}\n"
    }

    /// `fn store(at, a)`: writes a settled value to `results[at..]`, below p, in Montgomery form to 2^256.
    fn store(&self) -> String {
        let (n, bits) = (self.form.limbs(), self.form.bits());
        let one = self.form.split(&P::R);
        let list: Vec<String> = one.iter().map(|limb| format!("{limb}u")).collect();
        let mut out = format!(
            "fn store(at: u32, a: F) {{\n    let x = mul(a, F({}));\n    var c = 0u;\n",
            list.join(", ")
        );
        // x + (R - p): a carry out of the top says x >= p.
        for (i, limb) in self.complement().into_iter().enumerate() {
            let _ = writeln!(
                out,
                "    c += x.l{i} + {limb}u;\n    let d{i} = c & {};\n    c = c >> {bits}u;",
                self.mask()
            );
        }
        for i in 0..n {
            let _ = writeln!(out, "    let y{i} = select(x.l{i}, d{i}, c != 0u);");
        }
        for word in 0..8i64 {
            let mut parts = Vec::new();
            for i in 0..n as i64 {
                let at = bits as i64 * i - 32 * word;
                if at > -(bits as i64) && at < 32 {
                    parts.push(if at >= 0 {
                        format!("(y{i} << {at}u)")
                    } else {
                        format!("(y{i} >> {}u)", -at)
                    });
                }
            }
            let _ = writeln!(out, "    results[at + {word}u] = {};", parts.join(" | "));
        }
        out + "}\n"
    }
}

/// Where the second factors of a sum of products come from.
#[derive(Clone, Copy)]
enum Source {
    Variable,
    Constant,
}
