//! How many multiplications this processor does in a second, and how many a hash takes.
#![allow(unsafe_code)]

use std::{fmt::Write, time::Instant};

use pars_bench_plonky3::STATES;
use pars_kernels::{
    cpu::Level,
    poseidon::{Instance, small},
};

use crate::tables::Table;

/// Multiplications of one timing.
const BLOCKS: usize = 2_000;
/// Timings; the best counts.
const TIMINGS: usize = 300;

/// Seconds of the quickest timing over its multiplications.
#[cfg(target_arch = "x86_64")]
fn seconds_each(multiplications: usize, mut run: impl FnMut()) -> f64 {
    let one = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    (0..TIMINGS).map(one).fold(f64::MAX, f64::min) / multiplications as f64
}

/// Products of 64-bit words, none of which waits for another.
///
/// # Safety
/// The processor has BMI2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi2")]
unsafe fn words() {
    for _ in 0..BLOCKS / 8 {
        // SAFETY: registers only, and the set that the caller promises.
        unsafe {
            std::arch::asm!(
                "mulx {a}, {b}, rdx",
                "mulx {c}, {d}, rdx",
                "mulx {e}, {f}, rdx",
                "mulx {g}, {h}, rdx",
                "mulx {a}, {b}, rdx",
                "mulx {c}, {d}, rdx",
                "mulx {e}, {f}, rdx",
                "mulx {g}, {h}, rdx",
                a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
                e = out(reg) _, f = out(reg) _, g = out(reg) _, h = out(reg) _,
                in("rdx") 3u64,
                options(nomem, nostack, preserves_flags),
            );
        }
    }
}

/// Products of 32-bit words in vectors, none of which waits for another.
#[cfg(target_arch = "x86_64")]
macro_rules! halves {
    ($name:ident, $set:literal, $a:literal, $b:literal, $($out:tt)*) => {
        /// # Safety
        /// The processor has the set.
        #[target_feature(enable = $set)]
        unsafe fn $name() {
            for _ in 0..BLOCKS / 8 {
                // SAFETY: registers only, and the set that the caller promises.
                unsafe {
                    std::arch::asm!(
                        $(concat!("vpmuludq ", $out, ", ", $a, ", ", $b),)*
                        $(out($out) _,)*
                        options(nomem, nostack, preserves_flags),
                    );
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
halves!(halves, "avx2", "ymm8", "ymm9",
    "ymm0" "ymm1" "ymm2" "ymm3" "ymm4" "ymm5" "ymm6" "ymm7");
#[cfg(target_arch = "x86_64")]
halves!(wide_halves, "avx512f", "zmm16", "zmm17",
    "zmm0" "zmm1" "zmm2" "zmm3" "zmm4" "zmm5" "zmm6" "zmm7");

/// Products of 52-bit words added to others, eight in a vector; each waits for the sixteenth before it.
///
/// # Safety
/// The processor has AVX-512 F and IFMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512ifma")]
unsafe fn sums() {
    for _ in 0..BLOCKS / 16 {
        // SAFETY: registers only, and the sets that the caller promises.
        unsafe {
            std::arch::asm!(
                "vpmadd52luq zmm0, zmm16, zmm17",
                "vpmadd52huq zmm1, zmm16, zmm17",
                "vpmadd52luq zmm2, zmm16, zmm17",
                "vpmadd52huq zmm3, zmm16, zmm17",
                "vpmadd52luq zmm4, zmm16, zmm17",
                "vpmadd52huq zmm5, zmm16, zmm17",
                "vpmadd52luq zmm6, zmm16, zmm17",
                "vpmadd52huq zmm7, zmm16, zmm17",
                "vpmadd52luq zmm8, zmm16, zmm17",
                "vpmadd52huq zmm9, zmm16, zmm17",
                "vpmadd52luq zmm10, zmm16, zmm17",
                "vpmadd52huq zmm11, zmm16, zmm17",
                "vpmadd52luq zmm12, zmm16, zmm17",
                "vpmadd52huq zmm13, zmm16, zmm17",
                "vpmadd52luq zmm14, zmm16, zmm17",
                "vpmadd52huq zmm15, zmm16, zmm17",
                out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _,
                out("zmm4") _, out("zmm5") _, out("zmm6") _, out("zmm7") _,
                out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _,
                options(nomem, nostack, preserves_flags),
            );
        }
    }
}

/// Multiplying instructions of the code of a level.
struct Code {
    /// What multiplies.
    instruction: &'static str,
    /// Elements that an instruction works on.
    lanes: usize,
    product: usize,
    square: usize,
    /// A term of a sum of products, and the reduction of so many terms.
    term: usize,
    reduction: usize,
    terms: usize,
}

impl Code {
    /// As the fields' modules have them: four limbs with 17 multiplications for a reduction, 20 for that of a sum; nine limbs; five.
    fn of(level: Level) -> Option<Self> {
        Some(match level {
            Level::Portable => Self {
                instruction: "mul",
                lanes: 1,
                product: 16 + 17,
                square: 16 + 17,
                term: 16,
                reduction: 20,
                terms: 4,
            },
            Level::Avx2 => Self {
                instruction: "vpmuludq",
                lanes: 4,
                product: 81 + 82,
                square: 45 + 82,
                term: 81,
                reduction: 82,
                terms: 6,
            },
            Level::Avx512 if pars_kernels::cpu::features().avx512_ifma => Self {
                instruction: "vpmadd52",
                lanes: 8,
                product: 50 + 51,
                square: 30 + 51,
                term: 50,
                reduction: 51,
                terms: usize::MAX,
            },
            _ => return None,
        })
    }

    fn sum(&self, terms: usize) -> usize {
        self.term * terms + self.reduction * terms.div_ceil(self.terms)
    }

    /// Those of one compression; the corrections of Poseidon2's sums are left out.
    fn hash(&self, instance: Instance) -> usize {
        let fifth = 2 * self.square + self.product;
        // A vector leaves its form by a product.
        let store = if self.lanes > 1 { self.product } else { 0 };
        store
            + match instance {
                // Eight full rounds, of whose last one row is needed; 57 partial rounds with four terms, the first two with two and
                // three; the return from them.
                Instance::Circom => {
                    let full = 24 * fifth + 22 * self.sum(3);
                    let partial = 57 * fifth + self.sum(2) + self.sum(3) + 55 * self.sum(4);
                    full + partial + self.product + 2 * self.sum(4)
                }
                _ => (24 + 56) * fifth,
            }
    }

    /// Those of one commitment in a large batch: 64 additions in affine coordinates with six products each.
    fn commitment(&self) -> usize {
        64 * 6 * self.product
    }
}

/// Poseidon2 over a small field: what multiplies, how often for a vector of states, and the states in 256 bits.
///
/// A vector of 31-bit words is multiplied in two halves. A product in Montgomery form takes three instructions, one modulo 2^31 - 1 one. A
/// product of Goldilocks takes four and its reduction one, a square one less.
const SMALL: [(&str, &str, usize, usize); 5] = {
    use small::Instance::{BabyBear16, Goldilocks8, Goldilocks12, KoalaBear16, Mersenne31Width16};
    // S-boxes: eight full rounds, and the partial ones. In Montgomery form 16 words enter and leave by a product.
    const fn boxes(of: small::Instance) -> usize {
        8 * of.width() + of.partial_rounds()
    }
    let (cube, fifth, seventh, wide_seventh) = (2 * 2 * 3, 2 * 3, 2 * 4 * 3, 2 * 4 + 2 * 5);
    let passage = 2 * 16 * 2 * 3;
    let (narrow, wide) = ("vpmuldq", "vpmuludq");
    [
        (
            "koalabear-16",
            narrow,
            boxes(KoalaBear16) * cube + passage,
            8,
        ),
        (
            "babybear-16",
            narrow,
            boxes(BabyBear16) * seventh + passage,
            8,
        ),
        ("mersenne31-16", narrow, boxes(Mersenne31Width16) * fifth, 8),
        ("goldilocks-8", wide, boxes(Goldilocks8) * wide_seventh, 4),
        ("goldilocks-12", wide, boxes(Goldilocks12) * wide_seventh, 4),
    ]
};

/// Seconds of such an instruction and its vectors of 256 bits, in the code of a level for small fields.
fn small_seconds(level: Level) -> Option<(f64, usize)> {
    #[cfg(target_arch = "x86_64")]
    match level {
        Level::Avx2 => return Some((seconds(level)?, 1)),
        Level::Avx512 if level.is_available() => {
            let seconds = seconds_each(BLOCKS, || {
                // SAFETY: the set was found.
                unsafe { wide_halves() }
            });
            return Some((seconds, 2));
        }
        _ => {}
    }
    let _ = level;
    None
}

/// Seconds of one multiplying instruction of a level.
fn seconds(level: Level) -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    {
        let found = pars_kernels::cpu::features();
        return match level {
            Level::Portable if found.bmi2 => Some(seconds_each(BLOCKS, || {
                // SAFETY: the set was found.
                unsafe { words() }
            })),
            Level::Avx2 if found.avx2 => Some(seconds_each(BLOCKS, || {
                // SAFETY: the set was found.
                unsafe { halves() }
            })),
            Level::Avx512 if found.avx512_ifma => Some(seconds_each(BLOCKS, || {
                // SAFETY: the sets were found.
                unsafe { sums() }
            })),
            _ => None,
        };
    }
    #[allow(unreachable_code, reason = "there is code for one architecture")]
    {
        let _ = level;
        None
    }
}

/// What share of an item in a batch its multiplications alone would take, at the rate that this processor has when it does nothing else.
pub fn bound(tables: &[Table]) -> String {
    let mut out = String::from(
        "### The bound of the multipliers\n\nNo hash can be quicker than its multiplications. They are counted in the code, and their rate is measured in this run.\n\n\
         | who | what | multiplications, lanes | a second, 10⁹ | they alone, µs | measured, µs | fraction of the bound |\n\
         | --- | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let mut row = |who: &str,
                   id: &str,
                   items,
                   count: usize,
                   instruction,
                   lanes: usize,
                   seconds: f64| {
        let mut tables = tables.iter();
        let table = tables.find(|table| table.id == id && table.items == items);
        let entry = table.and_then(|table| table.entries.iter().find(|entry| entry.who == who));
        if let Some(entry) = entry {
            let alone = count as f64 * seconds / lanes as f64;
            let _ = writeln!(
                out,
                "| `{who}` | {id}, batch of {items} | {count} `{instruction}`, {lanes} | {:.2} | {:.3} | {:.3} | {:.0} % |",
                1e-9 / seconds,
                alone * 1e6,
                entry.p10 * 1e6,
                alone / entry.p10 * 100.0,
            );
        }
    };
    for level in crate::levels() {
        let who = format!("pars-{level}");
        if let (Some(code), Some(seconds)) = (Code::of(level), seconds(level)) {
            for (id, items, count) in [
                ("poseidon-bn254-t3/hash", 64, code.hash(Instance::Circom)),
                (
                    "poseidon2-bn254-t3/hash",
                    64,
                    code.hash(Instance::Poseidon2),
                ),
                ("pedersen-bn254/commit", 1_024, code.commitment()),
            ] {
                row(
                    &who,
                    id,
                    items,
                    count,
                    code.instruction,
                    code.lanes,
                    seconds,
                );
            }
        }
        if let Some((seconds, vectors)) = small_seconds(level) {
            for (name, instruction, count, states) in SMALL {
                let id = format!("poseidon2-{name}/permute");
                let lanes = vectors * states;
                row(&who, &id, STATES, count, instruction, lanes, seconds);
            }
        }
    }
    out.push('\n');
    out
}
