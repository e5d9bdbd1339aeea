//! The 31-bit instances over vectors of 32-bit words, a lane a state.
//!
//! A word is below p between operations, or p for 0 in Mersenne31. KoalaBear and BabyBear are in Montgomery form to R = 2^32; Mersenne31 is in plain form. A
//! product needs 64-bit words, so words at even and at odd places are multiplied apart; inside an S-box they stay apart.
#![allow(unsafe_code)]
// Plain loops over words: closures of iterators are not compiled for the instruction set of their caller.
#![allow(clippy::needless_range_loop)]

use super::{FULL_ROUNDS, Instance, WIDTH_31};
use std::sync::OnceLock;

const HALF: usize = FULL_ROUNDS / 2;
/// S-boxes of a full round that are computed step by step side by side.
const BOXES: usize = 4;

/// A vector of 32-bit words.
///
/// # Safety
/// Every function needs the instruction set that the implementing type stands for.
pub(super) unsafe trait Vector: Copy {
    /// Number of words.
    const LANES: usize;
    /// Bits of a word that choose an entry of a table: 3 or 4.
    const INDEX: i32;
    /// Whether there are registers for all words of a state and what a round needs beside them.
    const ROOMY: bool;
    /// The same word everywhere.
    unsafe fn splat(word: u32) -> Self;
    /// Sums modulo 2^32.
    unsafe fn plus(self, b: Self) -> Self;
    /// Differences modulo 2^32.
    unsafe fn minus(self, b: Self) -> Self;
    /// The smaller unsigned word.
    unsafe fn least(self, b: Self) -> Self;
    unsafe fn and(self, b: Self) -> Self;
    /// The bits of `self` that `b` has not.
    unsafe fn without(self, b: Self) -> Self;
    unsafe fn or(self, b: Self) -> Self;
    /// Words shifted left by a constant.
    unsafe fn left(self, bits: i32) -> Self;
    /// Words shifted right by a constant, zeros in.
    unsafe fn right(self, bits: i32) -> Self;
    /// The entries of a table at the places that the lowest [`Self::INDEX`] bits of each word say.
    unsafe fn entries(self, table: &[u32; 16]) -> Self;
    /// Products of the third byte of each word with a factor below 128, as 16 bits in its upper half.
    unsafe fn third_bytes(self, factor: u32) -> Self;
    /// Odd words, or the high halves of products, at even places; what is at odd places means nothing.
    unsafe fn odd(self) -> Self;
    /// 64-bit words shifted right by 31, zeros in.
    unsafe fn right_31(self) -> Self;
    /// Products of the even words as signed numbers, 64 bits.
    unsafe fn signed_product(self, b: Self) -> Self;
    /// Sums of 64-bit words.
    unsafe fn plus_wide(self, b: Self) -> Self;
    /// Differences of 64-bit words.
    unsafe fn minus_wide(self, b: Self) -> Self;
    /// The even words of `self` and the odd ones of `odd`.
    unsafe fn mixed(self, odd: Self) -> Self;
    /// The high words of both, those of `self` at even places.
    unsafe fn high(self, odd: Self) -> Self;
    /// The low words of both, those of `self` at even places.
    unsafe fn low(self, odd: Self) -> Self;
    /// Interleaves the low or the high words of each 128 bits, of 32 or of 64 bits.
    unsafe fn unpack(self, b: Self, high: bool, wide: bool) -> Self;
    /// Four words of every fourth state (in groups of `LANES`) from the one pointed at, side by side.
    unsafe fn load_quads(from: *const u32) -> Self;
    /// Writes what [`Self::load_quads`] reads.
    unsafe fn store_quads(self, to: *mut u32);
}

/// Arithmetic of a field over vectors, words below p in and out.
trait Field {
    const P: u32;
    const INSTANCE: Instance;
    /// A number in this representation.
    fn number(value: u64) -> u32;
    unsafe fn enter<V: Vector>(x: V) -> V;
    unsafe fn leave<V: Vector>(x: V) -> V;
    /// The S-box of words with their constants, from -p to below p: step by step, so that the processor finds the products of one step
    /// side by side.
    unsafe fn sboxes<V: Vector, const K: usize>(x: &mut [V; K]);
    /// The internal layer for all but the first word: `x_i = sum + diagonal_i x_i`.
    unsafe fn inner<V: Vector>(state: &mut [V; WIDTH_31], sum: V);

    #[inline(always)]
    unsafe fn add<V: Vector>(a: V, b: V) -> V {
        // SAFETY: the caller's promise.
        unsafe {
            // Below 2 p < 2^32; where it is below p, less p it wraps to more.
            let sum = a.plus(b);
            sum.least(sum.minus(V::splat(Self::P)))
        }
    }
    #[inline(always)]
    unsafe fn sub<V: Vector>(a: V, b: V) -> V {
        // SAFETY: the caller's promise.
        unsafe { Self::positive(a.minus(b)) }
    }
    /// A number above -p and below p, modulo 2^32, plus p where negative.
    #[inline(always)]
    unsafe fn positive<V: Vector>(x: V) -> V {
        // SAFETY: the caller's promise.
        unsafe { x.least(x.plus(V::splat(Self::P))) }
    }
    #[inline(always)]
    unsafe fn double<V: Vector>(a: V) -> V {
        // SAFETY: the caller's promise.
        unsafe { Self::add(a, a) }
    }
}

/// A prime `(2^K - 1) 2^M + 1` with K + M = 31, in Montgomery form.
struct Montgomery<const K: i32, const M: i32>;
type KoalaBear = Montgomery<7, 24>;
type BabyBear = Montgomery<4, 27>;

impl<const K: i32, const M: i32> Montgomery<K, M> {
    const MODULUS: u32 = (((1 << K) - 1) << M) + 1;
    /// 1 / p modulo 2^32.
    const INVERSE: u32 = {
        let mut inverse = 1u32;
        let mut i = 0;
        while i < 5 {
            inverse = inverse.wrapping_mul(2u32.wrapping_sub(Self::MODULUS.wrapping_mul(inverse)));
            i += 1;
        }
        inverse
    };
    /// 2^64 modulo p.
    const R2: u32 = ((1u128 << 64) % Self::MODULUS as u128) as u32;

    /// The Montgomery product of the even words, in the high halves: above -p and below p. The product of the factors, taken as signed,
    /// must be below 2^31 p.
    #[inline(always)]
    unsafe fn half<V: Vector>(a: V, b: V) -> V {
        // SAFETY: the caller's promise.
        unsafe {
            let product = a.signed_product(b);
            let quotient = product.signed_product(V::splat(Self::INVERSE));
            // The low halves are equal.
            product.minus_wide(quotient.signed_product(V::splat(Self::MODULUS)))
        }
    }

    /// The Montgomery product.
    #[inline(always)]
    unsafe fn times<V: Vector>(a: V, b: V) -> V {
        // SAFETY: the caller's promise.
        unsafe {
            let even = Self::half(a, b);
            let odd = Self::half(a.odd(), b.odd());
            Self::positive(even.high(odd))
        }
    }

    /// The S-box of the even words, in the high halves.
    #[inline(always)]
    unsafe fn half_sboxes<V: Vector, const N: usize>(x: &[V; N]) -> [V; N] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut out = *x;
            let mut square = *x;
            for i in 0..N {
                square[i] = Self::half(x[i], x[i]).odd();
            }
            if K == 7 {
                for i in 0..N {
                    out[i] = Self::half(square[i], x[i]);
                }
            } else {
                for i in 0..N {
                    out[i] = Self::half(square[i], x[i]).odd();
                    square[i] = Self::half(square[i], square[i]).odd();
                }
                for i in 0..N {
                    out[i] = Self::half(out[i], square[i]);
                }
            }
            out
        }
    }

    /// l / 2^n for the lowest n bits l of a number from 0 to 15, at n of up to 4.
    const LOW: [[u32; 16]; 5] = {
        let mut tables = [[0; 16]; 5];
        let mut n = 1;
        while n < 5 {
            let mut i = 0;
            while i < 16 {
                let low = i as u32 % (1 << n);
                if low > 0 {
                    tables[n][i] = Self::MODULUS - low * ((Self::MODULUS - 1) >> n);
                }
                i += 1;
            }
            n += 1;
        }
        tables
    };

    /// x / 2^n: with `x = h 2^n + l` it is `h - l (p - 1) / 2^n`, where (p - 1) / 2^n is (2^K - 1) 2^(M - n).
    #[inline(always)]
    unsafe fn shifted<V: Vector>(x: V, n: i32) -> V {
        // SAFETY: the caller's promise.
        unsafe {
            if n <= V::INDEX {
                // Below p: h is below p / 2^n, and l / 2^n at most p less that.
                let low = x.entries(&Self::LOW[n as usize]);
                return x.right(n).plus(low);
            }
            let low = if n == 8 {
                // l is a byte, and (2^K - 1) 2^(M - 24) below 128.
                x.left(16).third_bytes(((1 << K) - 1) << (M - 24))
            } else {
                // l at the top; a difference of two shifts.
                let top = x.left(32 - n);
                top.right(1).minus(top.right(1 + K))
            };
            Self::positive(x.right(n).minus(low))
        }
    }
}

impl<const K: i32, const M: i32> Field for Montgomery<K, M> {
    const P: u32 = Self::MODULUS;
    const INSTANCE: Instance = if K == 7 {
        Instance::KoalaBear16
    } else {
        Instance::BabyBear16
    };
    fn number(value: u64) -> u32 {
        // Below p after the remainder.
        ((u128::from(value) << 32) % u128::from(Self::MODULUS)) as u32
    }
    #[inline(always)]
    unsafe fn enter<V: Vector>(x: V) -> V {
        // SAFETY: the caller's promise.
        unsafe { Self::times(x, V::splat(Self::R2)) }
    }
    #[inline(always)]
    unsafe fn leave<V: Vector>(x: V) -> V {
        // SAFETY: the caller's promise.
        unsafe {
            // The product by one is x itself, with nothing in its high half.
            let (inverse, p) = (V::splat(Self::INVERSE), V::splat(Self::MODULUS));
            let even = x.signed_product(inverse).signed_product(p);
            let odd = x.odd().signed_product(inverse).signed_product(p);
            Self::positive(V::splat(0).minus(even.high(odd)))
        }
    }
    #[inline(always)]
    unsafe fn sboxes<V: Vector, const N: usize>(x: &mut [V; N]) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut odd = *x;
            for i in 0..N {
                odd[i] = x[i].odd();
            }
            let (even, odd) = (Self::half_sboxes(x), Self::half_sboxes(&odd));
            for i in 0..N {
                x[i] = Self::positive(even[i].high(odd[i]));
            }
        }
    }
    #[inline(always)]
    unsafe fn inner<V: Vector>(s: &mut [V; WIDTH_31], sum: V) {
        // SAFETY: the caller's promise.
        unsafe {
            s[1] = Self::add(sum, s[1]);
            s[2] = Self::add(sum, Self::double(s[2]));
            s[3] = Self::add(sum, Self::shifted(s[3], 1));
            s[4] = Self::add(sum, Self::add(s[4], Self::double(s[4])));
            s[5] = Self::add(sum, Self::double(Self::double(s[5])));
            s[6] = Self::sub(sum, Self::shifted(s[6], 1));
            s[7] = Self::sub(sum, Self::add(s[7], Self::double(s[7])));
            s[8] = Self::sub(sum, Self::double(Self::double(s[8])));
            s[9] = Self::add(sum, Self::shifted(s[9], 8));
            if K == 7 {
                s[10] = Self::add(sum, Self::shifted(s[10], 3));
                s[11] = Self::add(sum, Self::shifted(s[11], 24));
                s[12] = Self::sub(sum, Self::shifted(s[12], 8));
                s[13] = Self::sub(sum, Self::shifted(s[13], 3));
                s[14] = Self::sub(sum, Self::shifted(s[14], 4));
                s[15] = Self::sub(sum, Self::shifted(s[15], 24));
            } else {
                s[10] = Self::add(sum, Self::shifted(s[10], 2));
                s[11] = Self::add(sum, Self::shifted(s[11], 3));
                s[12] = Self::add(sum, Self::shifted(s[12], 27));
                s[13] = Self::sub(sum, Self::shifted(s[13], 8));
                s[14] = Self::sub(sum, Self::shifted(s[14], 4));
                s[15] = Self::sub(sum, Self::shifted(s[15], 27));
            }
        }
    }
}

/// p = 2^31 - 1 in plain form, where 0 may be p until it leaves.
struct Mersenne31;

impl Mersenne31 {
    /// A square of the even words, as a number from -p to p in the low halves: the part above 2^31, less what the part below lacks to p.
    #[inline(always)]
    unsafe fn half_square<V: Vector>(x: V) -> V {
        // SAFETY: the caller's promise.
        unsafe {
            let square = x.signed_product(x);
            square
                .right_31()
                .minus_wide(V::splat(Self::P).without(square))
        }
    }

    /// The S-box of the even words, not reduced.
    #[inline(always)]
    unsafe fn half_sboxes<V: Vector, const N: usize>(x: &[V; N]) -> [V; N] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut out = *x;
            for i in 0..N {
                out[i] = Self::half_square(x[i]);
            }
            for i in 0..N {
                out[i] = Self::half_square(out[i]);
            }
            for i in 0..N {
                out[i] = out[i].signed_product(x[i]);
            }
            out
        }
    }

    /// x 2^n: a rotation of 31 bits.
    #[inline(always)]
    unsafe fn shifted<V: Vector>(x: V, n: i32) -> V {
        // SAFETY: the caller's promise.
        unsafe { x.left(n).and(V::splat(Self::P)).or(x.right(31 - n)) }
    }
}

impl Field for Mersenne31 {
    const P: u32 = 0x7fff_ffff;
    const INSTANCE: Instance = Instance::Mersenne31Width16;
    fn number(value: u64) -> u32 {
        // Below p after the remainder.
        (value % u64::from(Self::P)) as u32
    }
    #[inline(always)]
    unsafe fn enter<V: Vector>(x: V) -> V {
        x
    }
    #[inline(always)]
    unsafe fn leave<V: Vector>(x: V) -> V {
        // SAFETY: the caller's promise.
        unsafe { x.least(x.minus(V::splat(Self::P))) }
    }
    #[inline(always)]
    unsafe fn sboxes<V: Vector, const N: usize>(x: &mut [V; N]) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut odd = *x;
            for i in 0..N {
                odd[i] = x[i].odd();
            }
            let (even, odd) = (Self::half_sboxes(x), Self::half_sboxes(&odd));
            for i in 0..N {
                // Bits 31 to 62 are a number from -p to p; those below one up to p.
                let over = even[i].right_31().mixed(odd[i].plus_wide(odd[i]));
                let under = even[i].low(odd[i]).and(V::splat(Self::P));
                x[i] = Self::add(Self::positive(over), under);
            }
        }
    }
    #[inline(always)]
    unsafe fn inner<V: Vector>(s: &mut [V; WIDTH_31], sum: V) {
        // SAFETY: the caller's promise.
        unsafe {
            s[1] = Self::add(sum, s[1]);
            s[2] = Self::add(sum, Self::shifted(s[2], 1));
            s[3] = Self::add(sum, Self::shifted(s[3], 2));
            s[4] = Self::add(sum, Self::shifted(s[4], 3));
            s[5] = Self::add(sum, Self::shifted(s[5], 4));
            s[6] = Self::add(sum, Self::shifted(s[6], 5));
            s[7] = Self::add(sum, Self::shifted(s[7], 6));
            s[8] = Self::add(sum, Self::shifted(s[8], 7));
            s[9] = Self::add(sum, Self::shifted(s[9], 8));
            s[10] = Self::add(sum, Self::shifted(s[10], 10));
            s[11] = Self::add(sum, Self::shifted(s[11], 12));
            s[12] = Self::add(sum, Self::shifted(s[12], 13));
            s[13] = Self::add(sum, Self::shifted(s[13], 14));
            s[14] = Self::add(sum, Self::shifted(s[14], 15));
            s[15] = Self::add(sum, Self::shifted(s[15], 16));
        }
    }
}

/// The constants of an instance in its field's representation, each less p: their sum with a word needs no reduction.
struct Table {
    full: [[u32; WIDTH_31]; FULL_ROUNDS],
    partial: Vec<u32>,
}

impl Table {
    fn of<F: Field>() -> Self {
        let constants = F::INSTANCE.constants();
        let mut full = [[0; WIDTH_31]; FULL_ROUNDS];
        let rows = constants.initial.chunks(WIDTH_31);
        for (to, from) in full
            .iter_mut()
            .zip(rows.chain(constants.last.chunks(WIDTH_31)))
        {
            for (to, from) in to.iter_mut().zip(from) {
                *to = F::number(*from).wrapping_sub(F::P);
            }
        }
        Self {
            full,
            partial: constants
                .partial
                .iter()
                .map(|c| F::number(*c).wrapping_sub(F::P))
                .collect(),
        }
    }
}

/// Permutes groups of `LANES` states and gives back the words of those that fill no group.
///
/// # Safety
/// As [`Vector`]. Words are below p and states whole.
#[inline(always)]
pub(super) unsafe fn permute_many<V: Vector>(instance: Instance, states: &mut [u32]) -> &mut [u32] {
    // SAFETY: the caller's promise.
    unsafe {
        // A partial round is a chain of dependent steps. While one group waits the processor has another's to compute; where a state
        // stays in registers, it has the rest of the round.
        let rest = if V::ROOMY {
            states
        } else {
            groups::<V, 2>(instance, states)
        };
        groups::<V, 1>(instance, rest)
    }
}

/// Permutes `N` groups of `LANES` states at once.
///
/// # Safety
/// As [`permute_many`].
#[inline(always)]
unsafe fn groups<V: Vector, const N: usize>(instance: Instance, states: &mut [u32]) -> &mut [u32] {
    static TABLES: [OnceLock<Table>; 3] = [const { OnceLock::new() }; 3];
    let mut groups = states.chunks_exact_mut(N * WIDTH_31 * V::LANES);
    for group in &mut groups {
        // SAFETY: the caller's promise; a group holds `N LANES` states.
        unsafe {
            match instance {
                Instance::KoalaBear16 => {
                    let table = TABLES[0].get_or_init(Table::of::<KoalaBear>);
                    permute::<V, KoalaBear, N>(table, group);
                }
                Instance::BabyBear16 => {
                    let table = TABLES[1].get_or_init(Table::of::<BabyBear>);
                    permute::<V, BabyBear, N>(table, group);
                }
                Instance::Mersenne31Width16 => {
                    let table = TABLES[2].get_or_init(Table::of::<Mersenne31>);
                    permute::<V, Mersenne31, N>(table, group);
                }
                Instance::Goldilocks8 | Instance::Goldilocks12 => {}
            }
        }
    }
    groups.into_remainder()
}

/// # Safety
/// As [`Vector`]; `group` holds `N LANES` states.
#[inline(always)]
unsafe fn permute<V: Vector, F: Field, const N: usize>(table: &Table, group: &mut [u32]) {
    debug_assert_eq!(group.len(), N * WIDTH_31 * V::LANES);
    // SAFETY: the caller's promise.
    unsafe {
        let mut states = [[V::splat(0); WIDTH_31]; N];
        for n in 0..N {
            let s = &mut states[n];
            load::<V, F>(s, group.as_ptr().add(n * WIDTH_31 * V::LANES));
            external::<V, F>(s);
            full::<V, F>(s, &table.full[..HALF]);
        }
        // A copy, which a lone group keeps in registers where there are enough: nothing here indexes it at run time.
        let mut near = states;
        for constant in &table.partial {
            let mut z = [V::splat(0); N];
            for n in 0..N {
                z[n] = near[n][0].plus(V::splat(*constant));
            }
            F::sboxes(&mut z);
            for n in 0..N {
                let s = &mut near[n];
                let rest = sum_of_rest::<V, F>(s);
                // Sum and diagonal -2: the others less the word.
                s[0] = F::sub(rest, z[n]);
                F::inner(s, F::add(rest, z[n]));
            }
        }
        states = near;
        for n in 0..N {
            let s = &mut states[n];
            full::<V, F>(s, &table.full[HALF..]);
            store::<V, F>(s, group.as_mut_ptr().add(n * WIDTH_31 * V::LANES));
        }
    }
}

/// Reads `LANES` states.
#[inline(always)]
unsafe fn load<V: Vector, F: Field>(s: &mut [V; WIDTH_31], from: *const u32) {
    // SAFETY: the caller's promise.
    unsafe {
        for block in 0..WIDTH_31 / 4 {
            let mut rows = [V::splat(0); 4];
            for row in 0..4 {
                rows[row] = V::load_quads(from.add(WIDTH_31 * row + 4 * block));
            }
            let columns = transposed(rows);
            for i in 0..4 {
                s[4 * block + i] = F::enter(columns[i]);
            }
        }
    }
}

/// Writes `LANES` states.
#[inline(always)]
unsafe fn store<V: Vector, F: Field>(s: &[V; WIDTH_31], to: *mut u32) {
    // SAFETY: the caller's promise.
    unsafe {
        for block in 0..WIDTH_31 / 4 {
            let mut columns = [V::splat(0); 4];
            for i in 0..4 {
                columns[i] = F::leave(s[4 * block + i]);
            }
            let rows = transposed(columns);
            for row in 0..4 {
                rows[row].store_quads(to.add(WIDTH_31 * row + 4 * block));
            }
        }
    }
}

/// Words of four states in rows to columns, in every 128 bits; its own inverse.
#[inline(always)]
unsafe fn transposed<V: Vector>(rows: [V; 4]) -> [V; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let a = rows[0].unpack(rows[1], false, false);
        let b = rows[0].unpack(rows[1], true, false);
        let c = rows[2].unpack(rows[3], false, false);
        let d = rows[2].unpack(rows[3], true, false);
        [
            a.unpack(c, false, true),
            a.unpack(c, true, true),
            b.unpack(d, false, true),
            b.unpack(d, true, true),
        ]
    }
}

#[inline(always)]
unsafe fn sum_of_rest<V: Vector, F: Field>(s: &[V; WIDTH_31]) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        // A tree, so that sums do not wait for each other.
        let a = F::add(F::add(s[1], s[2]), s[3]);
        let b = F::add(F::add(s[4], s[5]), F::add(s[6], s[7]));
        let c = F::add(F::add(s[8], s[9]), F::add(s[10], s[11]));
        let d = F::add(F::add(s[12], s[13]), F::add(s[14], s[15]));
        F::add(F::add(a, b), F::add(c, d))
    }
}

/// Constants, S-boxes, external layer.
#[inline(always)]
unsafe fn full<V: Vector, F: Field>(s: &mut [V; WIDTH_31], rows: &[[u32; WIDTH_31]]) {
    for row in rows {
        // SAFETY: the caller's promise.
        unsafe {
            for at in (0..WIDTH_31).step_by(BOXES) {
                let mut x = [V::splat(0); BOXES];
                for i in 0..BOXES {
                    x[i] = s[at + i].plus(V::splat(row[at + i]));
                }
                F::sboxes(&mut x);
                s[at..at + BOXES].copy_from_slice(&x);
            }
            external::<V, F>(s);
        }
    }
}

/// The matrix `circ(2, 3, 1, 1)` on every four words, then the sum of all blocks added to each.
#[inline(always)]
unsafe fn external<V: Vector, F: Field>(s: &mut [V; WIDTH_31]) {
    // SAFETY: the caller's promise.
    unsafe {
        for block in 0..WIDTH_31 / 4 {
            let [a, b, c, d] = [
                s[4 * block],
                s[4 * block + 1],
                s[4 * block + 2],
                s[4 * block + 3],
            ];
            let (ab, cd) = (F::add(a, b), F::add(c, d));
            let all = F::add(ab, cd);
            let (all_b, all_d) = (F::add(all, b), F::add(all, d));
            s[4 * block] = F::add(all_b, ab);
            s[4 * block + 1] = F::add(all_b, F::double(c));
            s[4 * block + 2] = F::add(all_d, cd);
            s[4 * block + 3] = F::add(all_d, F::double(a));
        }
        for i in 0..4 {
            let sum = F::add(F::add(s[i], s[4 + i]), F::add(s[8 + i], s[12 + i]));
            for block in 0..WIDTH_31 / 4 {
                s[4 * block + i] = F::add(s[4 * block + i], sum);
            }
        }
    }
}
