//! The field of 2^255 − 19 as WGSL: straight-line functions over limbs, written by Rust.
//!
//! A value is a struct `F` of words, least significant first. Two forms, by what the device has ([`Form`]):
//!
//! | | limbs | top limb | 2^(bits · limbs) is | sums |
//! |---|---|---|---|---|
//! | `Wide` | 9 of 29 bits | 23 bits | 1216 | 64-bit |
//! | `Narrow` | 20 of 13 bits | 8 bits | 608 | 32-bit |
//!
//! Counted for `Wide`: 81 wide products and 9 to fold the upper half, against 162 in Montgomery form; ten limbs of 25½ bits need
//! 100, and 8 limbs of 32 bits a carry chain after each row (73 and some 180 other instructions).
//!
//! A value is *settled* when each limb is below 2^bits + 128 (the top limb: 2^(its bits) + 8). Sums and differences are made without
//! carries; a value of *k units* has limbs below k times those of a settled one. A sum has the units of its terms, a difference two
//! more than its first, its second is settled. `mul` takes factors whose units multiply to three, `sqr` a settled one, `settle` at most
//! five units; all three give settled values. The tests walk through the largest limbs.

use std::fmt::{Display, Write};

use crate::edwards25519::fe::Fe;
use crate::field::wgsl::Form;

/// Bits of a field element.
const TOTAL: usize = 255;

/// Bits of the top limb.
const fn top_bits(form: Form) -> usize {
    TOTAL - form.bits() * (form.limbs() - 1)
}

/// What 2^(bits · limbs) is.
const fn fold(form: Form) -> u32 {
    19 << (form.bits() * form.limbs() - TOTAL)
}

/// The type of sums.
const fn sum(form: Form) -> &'static str {
    match form {
        Form::Wide => "u64",
        Form::Narrow => "u32",
    }
}

/// Bits of limb `i`.
const fn bits_of(form: Form, i: usize) -> usize {
    if i + 1 == form.limbs() {
        top_bits(form)
    } else {
        form.bits()
    }
}

/// The mask of limb `i`.
const fn mask(form: Form, i: usize) -> u32 {
    (1 << bits_of(form, i)) - 1
}

/// The limbs of an element.
pub(super) fn limbs(form: Form, element: Fe) -> Vec<u32> {
    let mut words = [0u64; 5];
    for (word, bytes) in words.iter_mut().zip(element.to_bytes().as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    (0..form.limbs())
        .map(|i| {
            let (word, bit) = (form.bits() * i / 64, form.bits() * i % 64);
            let pair = u128::from(words[word]) | u128::from(words[word + 1]) << 64;
            // A limb has at most 29 bits.
            (pair >> bit) as u32 & mask(form, i)
        })
        .collect()
}

/// `fn name() -> F`, a constant.
pub(super) fn constant(form: Form, name: &str, element: Fe) -> String {
    let list: Vec<_> = limbs(form, element)
        .iter()
        .map(|limb| format!("{limb}u"))
        .collect();
    format!("fn {name}() -> F {{ return F({}); }}\n", list.join(", "))
}

/// Writes the functions of the field in one form.
struct Writer(Form);

/// `struct F` and `plus`, `minus`, `settle`, `mul`, `sqr`, `canonical`, `is_zero`, `number` (eight words to an element, bit 255 left
/// out) and `words` (a canonical element to eight words); `fetch_{buffer}(at)` for each buffer that is named, `put(at, value)` to the
/// arena.
pub(super) fn prelude(form: Form, fetches: &[&str]) -> String {
    let writer = Writer(form);
    let n = form.limbs();
    let fields: String = (0..n).map(|i| format!("l{i}: u32, ")).collect();
    let mut out = format!("struct F {{ {fields}}}\n");
    out += &writer.limbwise("plus(a: F, b: F)", |i| format!("a.l{i} + b.l{i}"));
    out += &writer.limbwise("minus(a: F, b: F)", |i| {
        let twice = 2 * (mask(form, i) - if i == 0 { 18 } else { 0 });
        format!("a.l{i} + ({twice}u - b.l{i})")
    });
    out += &writer.limbwise("settle(a: F)", |i| {
        let (below, factor) = match i {
            0 => (n - 1, "19u * "),
            _ => (i - 1, ""),
        };
        format!(
            "(a.l{i} & {}u) + {factor}(a.l{below} >> {}u)",
            mask(form, i),
            bits_of(form, below)
        )
    });
    for buffer in fetches {
        out += &writer.limbwise(&format!("fetch_{buffer}(at: u32)"), |i| {
            format!("{buffer}[at + {i}u]")
        });
    }
    out += "fn put(at: u32, a: F) {\n";
    for i in 0..n {
        let _ = writeln!(out, "    arena[at + {i}u] = a.l{i};");
    }
    out += "}\n";
    out += &writer.product();
    out += &writer.square();
    out += &writer.canonical();
    out += &writer.number();
    out += &writer.words();
    let any: Vec<_> = (0..n).map(|i| format!("r.l{i}")).collect();
    let _ = writeln!(
        out,
        "fn is_zero(a: F) -> bool {{ let r = canonical(a); return ({}) == 0u; }}",
        any.join(" | ")
    );
    out
}

impl Writer {
    fn limbwise(&self, signature: &str, limb: impl Fn(usize) -> String) -> String {
        let list: Vec<_> = (0..self.0.limbs()).map(limb).collect();
        format!("fn {signature} -> F {{ return F({}); }}\n", list.join(", "))
    }

    /// A word as a summand.
    fn widen(&self, word: impl Display) -> String {
        match self.0 {
            Form::Wide => format!("u64({word})"),
            Form::Narrow => word.to_string(),
        }
    }

    fn product(&self) -> String {
        let n = self.0.limbs();
        let column = |k: usize| {
            (k.saturating_sub(n - 1)..=k.min(n - 1))
                .map(|i| {
                    let (a, b) = (format!("a.l{i}"), format!("b.l{}", k - i));
                    format!("{} * {}", self.widen(a), self.widen(b))
                })
                .collect()
        };
        format!("fn mul(a: F, b: F) -> F {{\n{}}}\n", self.reduced(column))
    }

    /// Mixed products once, of a doubled limb.
    fn square(&self) -> String {
        let n = self.0.limbs();
        let mut out = String::from("fn sqr(a: F) -> F {\n");
        for i in 1..n {
            let _ = writeln!(out, "    let d{i} = a.l{i} << 1u;");
        }
        let column = |k: usize| {
            (k.saturating_sub(n - 1)..=k / 2)
                .map(|i| {
                    let a = self.widen(format!("a.l{i}"));
                    match k - i {
                        j if j == i => format!("{a} * {a}"),
                        j => format!("{a} * {}", self.widen(format!("d{j}"))),
                    }
                })
                .collect()
        };
        out += &self.reduced(column);
        out + "}\n"
    }

    /// Sums the columns, the upper half first, which is folded onto the lower one limb by limb.
    fn reduced(&self, column: impl Fn(usize) -> Vec<String>) -> String {
        let form = self.0;
        let (n, bits, sum) = (form.limbs(), form.bits(), sum(form));
        let low = |i: usize| match form {
            Form::Wide => format!("u32(c) & {}u", mask(form, i)),
            Form::Narrow => format!("c & {}u", mask(form, i)),
        };
        let mut out = format!("    var r: F;\n    var c = {sum}(0u);\n");
        for k in n..2 * n - 1 {
            for term in column(k) {
                let _ = writeln!(out, "    c += {term};");
            }
            let _ = writeln!(out, "    let h{} = {}; c = c >> {bits}u;", k - n, low(0));
        }
        let _ = writeln!(out, "    let h{} = u32(c);\n    c = {sum}(0u);", n - 1);
        for k in 0..n {
            for term in column(k) {
                let _ = writeln!(out, "    c += {term};");
            }
            let _ = writeln!(
                out,
                "    c += {} * {};\n    r.l{k} = {}; c = c >> {}u;",
                self.widen(format!("h{k}")),
                self.widen(format!("{}u", fold(form))),
                low(k),
                bits_of(form, k)
            );
        }
        let narrow = |word: &str| match form {
            Form::Wide => format!("u32({word})"),
            Form::Narrow => word.to_owned(),
        };
        let _ = writeln!(
            out,
            "    c = {} + c * {};\n    r.l0 = {};\n    c = (c >> {bits}u) + {};\n    r.l1 = {};\n    r.l2 += {};\n    return r;",
            self.widen("r.l0"),
            self.widen("19u"),
            low(0),
            self.widen("r.l1"),
            low(0),
            narrow(&format!("(c >> {bits}u)"))
        );
        out
    }

    /// The representative below p of a settled value: 19 is added where the value plus 19 passes 2^255.
    fn canonical(&self) -> String {
        let form = self.0;
        let n = form.limbs();
        let mut out = String::from("fn canonical(a: F) -> F {\n    var r: F;\n    var c = 19u;\n");
        for i in 0..n {
            let _ = writeln!(out, "    c = (a.l{i} + c) >> {}u;", bits_of(form, i));
        }
        out += "    c = c * 19u;\n";
        for i in 0..n {
            let _ = writeln!(
                out,
                "    c += a.l{i}; r.l{i} = c & {}u; c = c >> {}u;",
                mask(form, i),
                bits_of(form, i)
            );
        }
        out + "    return r;\n}\n"
    }

    fn number(&self) -> String {
        let form = self.0;
        let parameters: Vec<_> = (0..8).map(|i| format!("w{i}: u32")).collect();
        let mut out = format!(
            "fn number({}) -> F {{\n    var r: F;\n",
            parameters.join(", ")
        );
        for i in 0..form.limbs() {
            let (word, bit) = (form.bits() * i / 32, form.bits() * i % 32);
            let high = if bit + bits_of(form, i) > 32 {
                format!(" | (w{} << {}u)", word + 1, 32 - bit)
            } else {
                String::new()
            };
            let _ = writeln!(
                out,
                "    r.l{i} = ((w{word} >> {bit}u){high}) & {}u;",
                mask(form, i)
            );
        }
        out + "    return r;\n}\n"
    }

    fn words(&self) -> String {
        let (n, bits) = (self.0.limbs() as i64, self.0.bits() as i64);
        let words: Vec<_> = (0..8)
            .map(|word| {
                let parts: Vec<_> = (0..n)
                    .filter_map(|i| {
                        let at = bits * i - 32 * word;
                        match at {
                            0..32 => Some(format!("(a.l{i} << {at}u)")),
                            _ if at < 0 && at > -bits => Some(format!("(a.l{i} >> {}u)", -at)),
                            _ => None,
                        }
                    })
                    .collect();
                parts.join(" | ")
            })
            .collect();
        format!(
            "fn words(a: F) -> array<u32, 8> {{\n    return array<u32, 8>({});\n}}\n",
            words.join(",\n        ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest limbs of a value of so many units.
    fn largest(form: Form, units: u64) -> Vec<u64> {
        (0..form.limbs())
            .map(|i| {
                let slack = if i + 1 == form.limbs() { 8 } else { 128 };
                units * (u64::from(mask(form, i)) + slack)
            })
            .collect()
    }

    /// The largest limbs that a product gives, by the steps of the shader; no sum may pass its word.
    fn product(form: Form, a: &[u64], b: &[u64]) -> Vec<u64> {
        let (n, bits) = (form.limbs(), form.bits());
        let word: u128 = match form {
            Form::Wide => 1 << 64,
            Form::Narrow => 1 << 32,
        };
        let column = |k: usize| -> u128 {
            (k.saturating_sub(n - 1)..=k.min(n - 1))
                .map(|i| u128::from(a[i]) * u128::from(b[k - i]))
                .sum()
        };
        let mut c = 0u128;
        let mut h = Vec::new();
        for k in n..2 * n - 1 {
            c += column(k);
            assert!(c < word, "column {k}");
            h.push(u128::from(mask(form, 0)));
            c >>= bits;
        }
        assert!(c < 1 << 32);
        h.push(c);
        c = 0;
        let mut r = Vec::new();
        for (k, h) in h.iter().enumerate() {
            c += column(k) + h * u128::from(fold(form));
            assert!(c < word, "column {k}");
            r.push(u64::from(mask(form, k)));
            c >>= bits_of(form, k);
        }
        c = u128::from(r[0]) + 19 * c;
        assert!(c < word);
        c = (c >> bits) + u128::from(r[1]);
        assert!(c < word);
        r[2] += u64::try_from(c >> bits).unwrap();
        r
    }

    #[test]
    fn sums_stay_in_their_words() {
        for form in [Form::Wide, Form::Narrow] {
            let settled = largest(form, 1);
            for (a, b) in [(1, 1), (2, 1), (3, 1)] {
                let limbs = product(form, &largest(form, a), &largest(form, b));
                assert!(limbs.iter().zip(&settled).all(|(r, s)| r <= s), "{form:?}");
            }
            // Doubled limbs of a square.
            assert!(largest(form, 2).iter().all(|limb| *limb < 1 << 32));
            // 2 p covers a settled value, limb by limb; five units fit a word and settle.
            for (i, limb) in settled.iter().enumerate() {
                let twice = 2 * (u64::from(mask(form, i)) - if i == 0 { 18 } else { 0 });
                assert!(twice >= *limb);
                assert!(5 * limb < 1 << 32);
                let below = if i == 0 { form.limbs() - 1 } else { i - 1 };
                let carry = (5 * settled[below]) >> bits_of(form, below);
                let factor = if i == 0 { 19 } else { 1 };
                assert!(u64::from(mask(form, i)) + factor * carry <= *limb);
            }
            // What is settled is below 2 p, as `canonical` needs.
            assert!(settled[form.limbs() - 1] + 1 < 2 * u64::from(mask(form, form.limbs() - 1)));
        }
    }
}
