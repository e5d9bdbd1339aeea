//! Sums of multiples, a·P + b·Q + … + s·B in each lane: Straus's method with signed digits of five bits, tables of 16 multiples, and
//! digits of ten bits for the base point B. Variable time: scalars and points are public.
#![allow(unsafe_code)]

use std::sync::LazyLock;

use super::codec;
use super::fe::Fe;
use super::lanes::{Lanes, MAX_LANES, Work};
use super::point::{Affine, Cached, Point, Rows, first_rows};

/// Bits of a digit.
const WINDOW: usize = 5;
/// Digits of a scalar below 2^253.
const DIGITS: usize = 51;
/// Bits of a digit for the base point: two windows.
const BASE_WINDOW: usize = 2 * WINDOW;
/// Digits of a scalar for the base point.
const BASE_DIGITS: usize = DIGITS.div_ceil(2);
/// Multiples 0 to 16.
const TABLE: usize = (1 << (WINDOW - 1)) + 1;
/// Multiples 0 to 512.
const BASE_TABLE: usize = (1 << (BASE_WINDOW - 1)) + 1;

/// The multiples 0·P to 16·P of a point.
type Table = [Cached<Fe>; TABLE];

/// Digits from −16 to 15.
pub(crate) type Digits = [i16; DIGITS];
/// Digits from −512 to 511.
pub(crate) type BaseDigits = [i16; BASE_DIGITS];

/// The signed digits of a scalar below 2^253 in little-endian form: Σ digit_i 2^(width i).
fn recode<const N: usize>(scalar: &[u8; 32], width: usize) -> [i16; N] {
    let mut words = [0u64; 5];
    for (word, bytes) in words.iter_mut().zip(scalar.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let mut digits = [0; N];
    let mut carry = 0;
    for (i, digit) in digits.iter_mut().enumerate() {
        let (word, bit) = (width * i / 64, width * i % 64);
        let bits = words[word] >> bit | words[word + 1].checked_shl(64 - bit as u32).unwrap_or(0);
        // Below 2^10 + 1.
        let value = (bits & ((1 << width) - 1)) as i16 + carry;
        carry = i16::from(value >= 1 << (width - 1));
        *digit = value - (carry << width);
    }
    digits
}

/// The digits of a scalar for a point of [`Tables`].
pub(crate) fn digits(scalar: &[u8; 32]) -> Digits {
    recode(scalar, WINDOW)
}

/// The digits of a scalar for the base point.
pub(crate) fn base_digits(scalar: &[u8; 32]) -> BaseDigits {
    recode(scalar, BASE_WINDOW)
}

/// The multiples 0·B to 512·B of the base point.
static BASE: LazyLock<Vec<Affine<Fe>>> = LazyLock::new(|| {
    // SAFETY: scalar elements need no instruction set.
    unsafe {
        // B has y = 4/5 and an even x (RFC 8032 §5.1).
        let mut encoded = [0x66; 32];
        encoded[0] = 0x58;
        let (_, base) = codec::decompress::<Fe>(&[encoded]);
        let base = base.cached();
        let mut multiple = Point::<Fe>::identity();
        let mut out = Vec::with_capacity(BASE_TABLE);
        for _ in 0..BASE_TABLE {
            let (x, y) = codec::affine(multiple);
            out.push(Affine::new(x, y));
            multiple = multiple.add_cached(base);
        }
        out
    }
});

/// Places that hold a table for each lane.
pub(crate) struct Tables(Vec<[Table; MAX_LANES]>);

impl Tables {
    /// So many places, each with the multiples of the neutral point.
    pub(crate) fn new(places: usize) -> Self {
        Self(vec![[[Cached::IDENTITY; TABLE]; MAX_LANES]; places])
    }

    /// Fills a place with the multiples of each lane's point.
    ///
    /// # Safety
    /// As [`Lanes`].
    #[inline(always)]
    pub(crate) unsafe fn fill<L: Lanes>(&mut self, place: usize, point: Point<L>) {
        let first = self.0[place].as_mut_ptr();
        let mut to = [first; MAX_LANES];
        for (lane, row) in to.iter_mut().enumerate() {
            // SAFETY: a place has a table for each lane.
            *row = unsafe { first.add(lane) };
        }
        // SAFETY: the caller's promise; the pointers are within the place.
        unsafe { L::enter(Build { point, to: &to }) }
    }

    /// The sum of a scalar times the point of each place, and of a scalar times the base point, in every lane.
    ///
    /// # Safety
    /// As [`Lanes`].
    #[inline(always)]
    pub(crate) unsafe fn sum<L: Lanes, const V: usize>(
        &self,
        places: [usize; V],
        digits: [&[Digits; MAX_LANES]; V],
        base: Option<&[BaseDigits; MAX_LANES]>,
    ) -> Point<L> {
        let mut rows = [[self.0[0].as_ptr(); MAX_LANES]; V];
        for (row, place) in rows.iter_mut().zip(places) {
            *row = first_rows(&self.0[place]);
        }
        // SAFETY: the caller's promise; all tables are readable.
        unsafe { sum(&rows, &digits, base) }
    }
}

struct Build<'a, L> {
    point: Point<L>,
    to: &'a [*mut Table; MAX_LANES],
}

impl<L: Lanes> Work<L> for Build<'_, L> {
    type Output = ();
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: the caller's promise; a table is a row of prepared points.
        unsafe {
            let to = self.to.map(|table| table.cast::<Cached<Fe>>());
            Point::<L>::identity().cached().store(&to);
            let one = self.point.cached();
            one.store(&to.map(|row| row.add(1)));
            let mut multiple = self.point;
            for i in 2..TABLE {
                multiple = multiple.add_cached(one);
                multiple.cached().store(&to.map(|row| row.add(i)));
            }
        }
    }
}

/// Σ scalar_v · P_v (+ scalar · B) in every lane.
///
/// # Safety
/// As [`Lanes`]; the tables are readable, one for each lane.
#[inline(always)]
unsafe fn sum<L: Lanes, const V: usize>(
    tables: &[Rows<Table>; V],
    digits: &[&[Digits; MAX_LANES]; V],
    base: Option<&[BaseDigits; MAX_LANES]>,
) -> Point<L> {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sum = Point::<L>::identity();
        for i in (0..DIGITS).rev() {
            if i + 1 != DIGITS {
                sum.double_times(WINDOW);
            }
            let with_base = base.filter(|_| i.is_multiple_of(2));
            for v in 0..V {
                let mut from = [tables[v][0].cast::<Cached<Fe>>(); MAX_LANES];
                let mut negative = 0;
                for lane in 0..L::LANES {
                    let digit = digits[v][lane][i];
                    negative |= u8::from(digit < 0) << lane;
                    from[lane] = tables[v][lane]
                        .cast::<Cached<Fe>>()
                        .add(usize::from(digit.unsigned_abs()));
                }
                // Only another addition reads T.
                let t = v + 1 < V || with_base.is_some() || i == 0;
                sum.add_rows(&from, negative, t);
            }
            if let Some(base) = with_base {
                let table = BASE.as_ptr();
                let mut from = [table; MAX_LANES];
                let mut negative = 0;
                for lane in 0..L::LANES {
                    let digit = base[lane][i / 2];
                    negative |= u8::from(digit < 0) << lane;
                    from[lane] = table.add(usize::from(digit.unsigned_abs()));
                }
                sum.add_affine(&from, negative, i == 0);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_make_the_scalar_again() {
        let mut scalar = [0xffu8; 32];
        scalar[31] = 0x1f;
        for scalar in [[0; 32], scalar, [0x10; 32], [0x0f; 32]] {
            let number = |digits: &[i16], width: usize| {
                let mut sum = [0i64; 40];
                for (i, digit) in digits.iter().enumerate() {
                    // Units of 2^5.
                    sum[i * width / 5 / 2] += i64::from(*digit) << (5 * (i * width / 5 % 2));
                }
                let mut carry = 0;
                sum.map(|x| {
                    let y = x + carry;
                    carry = y >> 10;
                    y & 1023
                })
            };
            let narrow = number(&digits(&scalar), 5);
            assert_eq!(narrow, number(&base_digits(&scalar), 10));
            assert_eq!(
                narrow[0],
                i64::from(u16::from_le_bytes([scalar[0], scalar[1]]) & 1023)
            );
        }
    }
}
