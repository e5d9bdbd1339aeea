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
#[cfg(target_arch = "x86_64")]
pub(crate) mod streams;
#[cfg(feature = "gpu")]
pub(crate) mod wgsl;

pub use many::{Sponge, permute_many, permute_many_at};
pub use shake::{Shake, Shake128, Shake256, XofReader};

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

/// Keccak-f\[1600\] on each state held in `state`; lane `x + 5·y` of FIPS 202 is `state[x + 5·y]`.
#[inline(always)]
pub fn permute<L: Lane>(state: &mut [L; LANES]) {
    for &constant in &ROUND_CONSTANTS {
        round(state, L::splat(constant));
    }
}

/// One round. Every index below is a constant after unrolling, so the state stays in registers.
#[inline(always)]
fn round<L: Lane>(a: &mut [L; LANES], constant: L) {
    // θ: column parities, then each column takes its left neighbour and the rotated right one.
    let mut parity = [a[0]; 5];
    for x in 0..5 {
        parity[x] = a[x].xor3(a[x + 5], a[x + 10]).xor3(a[x + 15], a[x + 20]);
    }
    let mut turned = parity;
    for x in 0..5 {
        turned[x] = parity[x].rotate(1);
    }
    // ρ and π: lane (x, y) moves to (y, 2x + 3y).
    let mut b = *a;
    for x in 0..5 {
        for y in 0..5 {
            b[y + 5 * ((2 * x + 3 * y) % 5)] = a[x + 5 * y]
                .xor3(parity[(x + 4) % 5], turned[(x + 1) % 5])
                .rotate(ROTATIONS[x + 5 * y]);
        }
    }
    // χ along rows, ι on the first lane.
    for y in 0..5 {
        for x in 0..5 {
            a[x + 5 * y] = b[x + 5 * y].chi(b[(x + 1) % 5 + 5 * y], b[(x + 2) % 5 + 5 * y]);
        }
    }
    a[0] = a[0].xor(constant);
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
