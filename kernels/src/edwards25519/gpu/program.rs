//! Programs of the kernel `sum`: sums of multiples by Straus's method, as a list of steps that all threads of a task's kind share.
//!
//! A step does, in this order and only where it says so: the sum becomes the neutral point; doublings; an addition of a prepared point,
//! of a fixed one or of the one that a scalar's digit picks from a table; the sum is prepared and written; the sum is compared with the
//! neutral point, the answer being the task's result. It is two words:
//!
//! | bits | of the first word |
//! |---|---|
//! | 0–2 | doublings |
//! | 3–10 | [`RESET`], [`ADD`], [`DIGIT`], [`BASE`], [`CACHE`], [`NEED_T`], [`TOP`], [`TEST`] |
//! | 12–15, 16–19, 20–23 | operands: where to add from, the scalar, where to write to |
//!
//! | bits | of the second word |
//! |---|---|
//! | 0–7 | the entry of a fixed point; the lowest bit of a digit |
//! | 8–15 | the entry to write |
//! | 16–23 | the entry of digit zero |

use super::biased::{DIGITS, WINDOW};

/// The sum becomes the neutral point.
pub(super) const RESET: u32 = 1 << 3;
/// A prepared point is added.
pub(super) const ADD: u32 = 1 << 4;
/// The point is picked by a digit.
pub(super) const DIGIT: u32 = 1 << 5;
/// From the multiples of the base point, by a digit of two windows.
pub(super) const BASE: u32 = 1 << 6;
/// The sum is prepared and written.
pub(super) const CACHE: u32 = 1 << 7;
/// T of the sum is read later without a doubling before.
pub(super) const NEED_T: u32 = 1 << 8;
/// The digit for the base point is the one window at the top.
pub(super) const TOP: u32 = 1 << 9;
/// The sum is compared with the neutral point.
pub(super) const TEST: u32 = 1 << 10;

/// Multiples in a table, from zero on.
pub(crate) const TABLE: u32 = 17;

/// A multiple to add: a table (operand and entry of its zero) and a scalar (operand).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    pub(crate) table: u32,
    pub(crate) entry: u32,
    pub(crate) scalar: u32,
}

/// A program in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program(Vec<[u32; 2]>);

impl Program {
    /// Begins at the neutral point.
    pub(crate) fn reset(&mut self) {
        self.0.push([RESET, 0]);
    }

    /// Adds the prepared point of an operand.
    pub(crate) fn add(&mut self, operand: u32) {
        self.0.push([ADD | NEED_T | operand << 12, 0]);
    }

    /// Doubles up to seven times.
    pub(crate) fn double(&mut self, times: u32) {
        self.0.push([times, 0]);
    }

    /// Writes the sum as an entry of an operand.
    pub(crate) fn cache(&mut self, operand: u32, entry: u32) {
        self.0.push([CACHE | operand << 20, entry << 8]);
    }

    /// Writes the multiples of the sum as a table, entry by entry of an operand.
    pub(crate) fn table(&mut self, operand: u32, entry: u32) {
        self.cache(operand, entry + 1);
        self.0.push([RESET | CACHE | operand << 20, entry << 8]);
        for multiple in 1..TABLE {
            let first = entry + 1;
            let write = match multiple {
                1 => 0,
                _ => CACHE | operand << 20,
            };
            self.0.push([
                ADD | NEED_T | operand << 12 | write,
                first | (entry + multiple) << 8,
            ]);
        }
    }

    /// The sum becomes that of multiples, and of a multiple of the base point by the scalar of an operand.
    pub(crate) fn multiply(&mut self, terms: &[Term], base: Option<u32>) {
        for i in (0..DIGITS).rev() {
            let position = WINDOW * i;
            let mut before = if i + 1 == DIGITS { RESET } else { WINDOW };
            let base = base.filter(|_| i.is_multiple_of(2));
            for (place, term) in (1..).zip(terms) {
                // Doublings do not read T.
                let last = place == terms.len() && base.is_none();
                let t = if last && i > 0 { 0 } else { NEED_T };
                self.0.push([
                    before | ADD | DIGIT | t | term.table << 12 | term.scalar << 16,
                    position | term.entry << 16,
                ]);
                before = 0;
            }
            if let Some(scalar) = base {
                let t = if i > 0 { 0 } else { NEED_T };
                let top = if i + 1 == DIGITS { TOP } else { 0 };
                self.0.push([
                    before | ADD | DIGIT | BASE | t | top | scalar << 16,
                    position,
                ]);
            }
        }
    }

    /// The task's result is whether the sum is the neutral point.
    pub(crate) fn test(&mut self) {
        self.0.push([TEST, 0]);
    }

    /// Steps.
    pub(crate) fn len(&self) -> u32 {
        // A few hundred.
        self.0.len() as u32
    }

    /// The words.
    pub(crate) fn words(&self) -> &[u32] {
        self.0.as_flattened()
    }
}
