//! Two states at once in 128-bit registers.
#![allow(unsafe_code)]

use core::arch::aarch64::{
    uint64x2_t, vbicq_u64, vdupq_n_s64, vdupq_n_u64, veorq_u64, vorrq_u64, vshlq_u64,
};

use super::{LANES, Lane, permute};

/// One state word of two states.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct X2(pub(crate) uint64x2_t);

// SAFETY (every block below): NEON is part of every aarch64 processor that Rust's targets name.
impl Lane for X2 {
    #[inline(always)]
    fn splat(word: u64) -> Self {
        // SAFETY: see above.
        Self(unsafe { vdupq_n_u64(word) })
    }
    #[inline(always)]
    fn xor(self, b: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { veorq_u64(self.0, b.0) })
    }
    #[inline(always)]
    fn chi(self, b: Self, c: Self) -> Self {
        // SAFETY: see above. vbic computes c & !b.
        Self(unsafe { veorq_u64(self.0, vbicq_u64(c.0, b.0)) })
    }
    #[inline(always)]
    fn rotate(self, bits: u32) -> Self {
        // SAFETY: see above. A negative count shifts to the right.
        Self(unsafe {
            vorrq_u64(
                vshlq_u64(self.0, vdupq_n_s64(i64::from(bits))),
                vshlq_u64(self.0, vdupq_n_s64(i64::from(bits) - 64)),
            )
        })
    }
}

/// Permutes two states; `words[w][l]` is word `w` of state `l`.
pub(crate) fn permute2(words: &mut [[u64; 2]; LANES]) {
    let base = words.as_mut_ptr().cast::<X2>();
    // SAFETY: the array is 25 consecutive groups of 16 bytes; unaligned loads and stores are used.
    let mut state: [X2; LANES] = core::array::from_fn(|i| unsafe { base.add(i).read_unaligned() });
    permute(&mut state);
    for (i, word) in state.into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { base.add(i).write_unaligned(word) };
    }
}
