//! Keccak-f\[1600\] (FIPS 202), written once over lanes, and the extendable-output functions built on it.
//!
//! [`permute`] takes any [`Lane`]: a `u64` permutes one state, a vector type of eight `u64` would permute eight states
//! in step. The sponges here run one state; those that run many take the same permutation.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
mod many;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
mod shake;
mod single;
#[cfg(target_arch = "x86_64")]
pub(crate) mod streams;
#[cfg(feature = "gpu")]
pub(crate) mod wgsl;

pub use many::{Sponge, permute_many, permute_many_at};
pub use shake::{Shake, Shake128, Shake256, XofReader};
pub use single::keccak256;

/// Number of 64-bit lanes in a state.
pub const LANES: usize = 25;

/// Round constants of ι, FIPS 202 §3.2.5.
pub const ROUND_CONSTANTS: [u64; 24] = round_constants();

/// Rotation of lane `x + 5·y` in ρ, FIPS 202 §3.2.2.
pub const ROTATIONS: [u32; LANES] = rotations();

/// One lane position of one or several Keccak states.
pub trait Lane: Copy {
    /// Bitwise exclusive or.
    fn xor(self, other: Self) -> Self;
    /// `self ^ a ^ b`, one instruction where there is three-input logic.
    #[inline(always)]
    fn xor3(self, a: Self, b: Self) -> Self {
        self.xor(a).xor(b)
    }
    /// `self ^ (!a & b)`, step χ.
    fn chi(self, a: Self, b: Self) -> Self;
    /// Rotation to the left by `bits` (0 to 63) of each 64-bit word. The permutation passes constants.
    fn rotate(self, bits: u32) -> Self;
    /// The same word in each state.
    fn splat(word: u64) -> Self;
}

impl Lane for u64 {
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
    }
    #[inline(always)]
    fn chi(self, a: Self, b: Self) -> Self {
        self ^ (!a & b)
    }
    #[inline(always)]
    fn rotate(self, bits: u32) -> Self {
        self.rotate_left(bits)
    }
    #[inline(always)]
    fn splat(word: u64) -> Self {
        word
    }
}

/// The five lanes of a plane.
type Row<L> = [L; 5];

/// Keccak-f\[1600\] on each state held in `state`; lane `x + 5·y` of FIPS 202 is `state[x + 5·y]`.
///
/// A round leaves the column parities that the next one begins with: summed while the rows are made, they cost no second
/// pass over the state.
#[inline(always)]
pub fn permute<L: Lane>(state: &mut [L; LANES]) {
    let mut parity = parities(state);
    for &constant in &ROUND_CONSTANTS {
        round(state, &mut parity, L::splat(constant));
    }
}

/// [`permute`] on two states in step. A round begins and ends with a chain of a few values, in which most execution units
/// wait; with another state beside it they do not. Worth it where a state does not fit the registers anyway.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn permute_pair<L: Lane>([a, b]: &mut [[L; LANES]; 2]) {
    let (mut parity_a, mut parity_b) = (parities(a), parities(b));
    for &constant in &ROUND_CONSTANTS {
        round(a, &mut parity_a, L::splat(constant));
        round(b, &mut parity_b, L::splat(constant));
    }
}

/// The parity of each column.
#[inline(always)]
fn parities<L: Lane>(state: &[L; LANES]) -> Row<L> {
    let mut parity = [state[0]; 5];
    for x in 0..5 {
        let upper = state[x].xor3(state[x + 5], state[x + 10]);
        parity[x] = upper.xor3(state[x + 15], state[x + 20]);
    }
    parity
}

/// One round. Takes the column parities of `state` and leaves those of its result.
///
/// A row at a time, so that few values are alive at once: registers hold five lanes of a row, what θ adds to each column
/// and the next parities. Written out, because every index and every rotation must be a constant.
#[inline(always)]
fn round<L: Lane>(state: &mut [L; LANES], parity: &mut Row<L>, constant: L) {
    let before = *state;
    let theta = theta(parity);
    let mut row0 = row(&before, &theta, [0, 6, 12, 18, 24]);
    row0[0] = row0[0].xor(constant); // ι
    store(state, 0, row0);
    let row1 = row(&before, &theta, [3, 9, 10, 16, 22]);
    store(state, 5, row1);
    let row2 = row(&before, &theta, [1, 7, 13, 19, 20]);
    store(state, 10, row2);
    let upper = sum(row0, row1, row2);
    let row3 = row(&before, &theta, [4, 5, 11, 17, 23]);
    store(state, 15, row3);
    let row4 = row(&before, &theta, [2, 8, 14, 15, 21]);
    store(state, 20, row4);
    *parity = sum(upper, row3, row4);
}

/// What θ adds to each column: its left neighbour's parity and its right one's, rotated.
#[inline(always)]
fn theta<L: Lane>(parity: &Row<L>) -> Row<L> {
    let [a, b, c, d, e] = *parity;
    [
        e.xor(b.rotate(1)),
        a.xor(c.rotate(1)),
        b.xor(d.rotate(1)),
        c.xor(e.rotate(1)),
        d.xor(a.rotate(1)),
    ]
}

/// A row after θ, ρ, π and χ; π brings the lanes `from` there.
#[inline(always)]
fn row<L: Lane>(state: &[L; LANES], theta: &Row<L>, from: [usize; 5]) -> Row<L> {
    let [a, b, c, d, e] = [
        moved(state, theta, from[0]),
        moved(state, theta, from[1]),
        moved(state, theta, from[2]),
        moved(state, theta, from[3]),
        moved(state, theta, from[4]),
    ];
    [
        a.chi(b, c),
        b.chi(c, d),
        c.chi(d, e),
        d.chi(e, a),
        e.chi(a, b),
    ]
}

/// θ and ρ on one lane.
#[inline(always)]
fn moved<L: Lane>(state: &[L; LANES], theta: &Row<L>, lane: usize) -> L {
    state[lane].xor(theta[lane % 5]).rotate(ROTATIONS[lane])
}

/// The sums of three rows by columns.
#[inline(always)]
fn sum<L: Lane>(a: Row<L>, b: Row<L>, c: Row<L>) -> Row<L> {
    [
        a[0].xor3(b[0], c[0]),
        a[1].xor3(b[1], c[1]),
        a[2].xor3(b[2], c[2]),
        a[3].xor3(b[3], c[3]),
        a[4].xor3(b[4], c[4]),
    ]
}

/// Puts a row where its lane of column 0 is `state[first]`.
#[inline(always)]
fn store<L: Lane>(state: &mut [L; LANES], first: usize, row: Row<L>) {
    let [a, b, c, d, e] = row;
    state[first] = a;
    state[first + 1] = b;
    state[first + 2] = c;
    state[first + 3] = d;
    state[first + 4] = e;
}

/// FIPS 202, Algorithm 5 (the LFSR `rc`) and 6.
const fn round_constants() -> [u64; 24] {
    let mut constants = [0u64; 24];
    let mut lfsr = 1u8;
    let mut round = 0;
    while round < 24 {
        let mut j = 0;
        while j <= 6 {
            if lfsr & 1 == 1 {
                constants[round] |= 1 << ((1u32 << j) - 1);
            }
            lfsr = (lfsr << 1) ^ if lfsr & 0x80 != 0 { 0x71 } else { 0 };
            j += 1;
        }
        round += 1;
    }
    constants
}

/// FIPS 202, Algorithm 2: the triangular numbers along the walk (x, y) → (y, 2x + 3y).
const fn rotations() -> [u32; LANES] {
    let mut offsets = [0u32; LANES];
    let (mut x, mut y, mut t) = (1usize, 0usize, 0u32);
    while t < 24 {
        offsets[x + 5 * y] = ((t + 1) * (t + 2) / 2) % 64;
        (x, y) = (y, (2 * x + 3 * y) % 5);
        t += 1;
    }
    offsets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_match_the_standard() {
        assert_eq!(ROUND_CONSTANTS[0], 0x0000_0000_0000_0001);
        assert_eq!(ROUND_CONSTANTS[1], 0x0000_0000_0000_8082);
        assert_eq!(ROUND_CONSTANTS[2], 0x8000_0000_0000_808a);
        assert_eq!(ROUND_CONSTANTS[23], 0x8000_0000_8000_8008);
        assert_eq!(ROTATIONS[..6], [0, 1, 62, 28, 27, 36]);
        assert_eq!(ROTATIONS[24], 14);
    }

    #[test]
    fn permutation_of_zero() {
        // First lanes of Keccak-f[1600] on the zero state, from the Keccak team's intermediate values.
        let mut state = [0u64; LANES];
        permute(&mut state);
        assert_eq!(state[0], 0xf125_8f79_40e1_dde7);
        assert_eq!(state[1], 0x84d5_ccf9_33c0_478a);
        assert_eq!(state[24], 0xeaf1_ff7b_5cec_a249);
        permute(&mut state);
        assert_eq!(state[0], 0x2d5c_954d_f96e_cb3c);
    }
}
