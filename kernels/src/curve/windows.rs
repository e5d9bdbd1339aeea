//! Sums of multiples of points, one sum in each lane, by fixed windows of signed digits (Straus).
//!
//! A window of w bits has digits from -2^(w-1) to 2^(w-1) - 1 and a table of the multiples 1 to 2^(w-1) of its point. All lanes
//! double and add in step; a digit of zero lets its lane stand.
#![allow(unsafe_code)]
// Plain loops over lanes: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use super::{
    affine::normalize,
    jacobian::Jacobian,
    lanes::{Entry, Lanes, MAX_LANES},
};
use crate::field::Element;

/// A number below 2^128 with a sign, prepared for windows of one width.
///
/// Half a window is added at every digit once; a digit is then w bits of the sum, less half a window, and needs no carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digits {
    biased: [u64; 3],
    negative: bool,
}

/// Bits that are recoded: 128 and the carry of the highest window.
const BITS: u32 = 129;

/// Number of digits of `window` bits.
const fn count(window: u32) -> u32 {
    BITS.div_ceil(window)
}

/// Entries of a table for windows of so many bits: half of the digits, the signs being free.
pub(crate) const fn entries(window: u32) -> usize {
    1 << (window - 1)
}

impl Digits {
    /// The digits of `magnitude`, or of its negative, for windows of 2 to 13 bits.
    #[inline]
    pub(crate) fn new(window: u32, magnitude: u128, negative: bool) -> Self {
        let mut bias = [0u64; 3];
        let mut position = window - 1;
        for _ in 0..count(window) {
            bias[position as usize / 64] |= 1 << (position % 64);
            position += window;
        }
        let (low, carry) =
            magnitude.overflowing_add(u128::from(bias[0]) | u128::from(bias[1]) << 64);
        Self {
            biased: [low as u64, (low >> 64) as u64, bias[2] + u64::from(carry)],
            negative,
        }
    }

    /// Zero: every digit lets its lane stand.
    pub(crate) fn zero(window: u32) -> Self {
        Self::new(window, 0, false)
    }

    /// The biased number in words, lowest first, and in the highest bit whether it is the negative that is meant; for windows of 4 bits.
    #[cfg(feature = "gpu")]
    pub(crate) fn words(&self) -> [u32; 5] {
        let [low, middle, high] = self.biased;
        // The highest window starts at bit 128.
        debug_assert!(high < 16);
        [
            low as u32,
            (low >> 32) as u32,
            middle as u32,
            (middle >> 32) as u32,
            high as u32 | u32::from(self.negative) << 31,
        ]
    }

    /// The digit that counts `2^position`: its size and its sign.
    #[inline(always)]
    fn at(&self, window: u32, position: u32) -> (usize, bool) {
        let (word, bit) = (position as usize / 64, position % 64);
        let low = self.biased[word] >> bit;
        // In two steps, because a shift by 64 is none.
        let high = self
            .biased
            .get(word + 1)
            .map_or(0, |next| next << 1 << (63 - bit));
        let digit = ((low | high) & ((1 << window) - 1)).cast_signed() - (1 << (window - 1));
        (digit.unsigned_abs() as usize, (digit < 0) != self.negative)
    }
}

/// One summand of each lane: a multiple of a point whose table is there.
pub(crate) struct Term<'a> {
    /// Bits of a digit.
    pub(crate) window: u32,
    /// For each lane the multiples of its point, from the first; [`entries`] of them, none the identity.
    pub(crate) tables: [&'a [Entry]; MAX_LANES],
    /// For each lane the digits of its factor, made for the same window.
    pub(crate) digits: [Digits; MAX_LANES],
}

/// The sum of all terms in each lane.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn sum_of_multiples<L: Lanes>(terms: &[Term<'_>]) -> Jacobian<L> {
    let top = terms
        .iter()
        .map(|term| (count(term.window) - 1) * term.window)
        .max()
        .unwrap_or(0);
    // SAFETY: the caller's promise.
    unsafe {
        let mut sum = Jacobian::<L>::identity();
        for position in (0..=top).rev() {
            if sum.identity != L::ALL {
                sum = sum.double();
            }
            for term in terms {
                let window = term.window;
                if position % window != 0 || position / window >= count(window) {
                    continue;
                }
                let (mut skip, mut negative) = (0u8, 0u8);
                let mut from = [&Entry::BLANK; MAX_LANES];
                for lane in 0..L::LANES {
                    let (size, sign) = term.digits[lane].at(window, position);
                    skip |= u8::from(size == 0) << lane;
                    negative |= u8::from(sign) << lane;
                    from[lane] = &term.tables[lane][size.saturating_sub(1)];
                }
                let (x, y) = L::gather(&from);
                sum = sum.add_affine(x, y.negate_where(negative), skip);
            }
        }
        sum
    }
}

/// The multiples 1 to `N` of one affine point in each lane, in Jacobian coordinates.
///
/// The points must have an order above `N`; their coordinates are settled and below 2 p.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn multiples<L: Lanes, const N: usize>(x: L, y: L) -> [Jacobian<L>; N] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut list = [Jacobian::affine(x, y); N];
        for i in 1..N {
            list[i] = if i % 2 == 1 {
                list[i / 2].double()
            } else {
                list[i - 1].add_affine(x, y, 0)
            };
        }
        list
    }
}

/// The multiples 1 to `count` of one known point of a large order, in the words of a representation: a table that is made once.
pub(crate) fn fixed_table<L: Lanes>(
    x: Element<L::Field>,
    y: Element<L::Field>,
    count: usize,
) -> Vec<Entry> {
    let mut list: Vec<Jacobian<Element<L::Field>>> = Vec::with_capacity(count);
    let mut table = Vec::with_capacity(count);
    // SAFETY: single elements need no instruction set.
    unsafe {
        let mut multiple = Jacobian::affine(x, y);
        for _ in 0..count {
            list.push(multiple);
            multiple = multiple.add_affine(x, y, 0);
        }
        for (x, y) in normalize(&list) {
            table.push(Entry::new::<L>(x, y));
        }
    }
    table
}
