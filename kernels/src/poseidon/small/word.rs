//! Words of small fields.

#[cfg(target_arch = "x86_64")]
use super::x86::{avx2, avx512};
use super::{Instance, WIDTH_31, portable};
use crate::cpu::Level;

mod sealed {
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
}

/// A word in memory: `u32` for the 31-bit fields, `u64` for Goldilocks.
pub trait Word:
    Copy + Default + Ord + std::hash::Hash + std::fmt::Debug + Send + Sync + sealed::Sealed + 'static
{
    /// Its size.
    const BITS: u32;

    /// The number.
    fn number(self) -> u64;

    /// Whether all words are below a modulus of this size.
    #[doc(hidden)]
    fn all_below(words: &[Self], modulus: u64) -> bool;

    /// Permutes whole states of words below the modulus, for an instance of this size.
    #[doc(hidden)]
    fn permute(instance: Instance, level: Level, states: &mut [Self]);
}

impl Word for u32 {
    const BITS: u32 = 32;

    fn number(self) -> u64 {
        u64::from(self)
    }

    fn all_below(words: &[u32], modulus: u64) -> bool {
        let Ok(modulus) = u32::try_from(modulus) else {
            return true;
        };
        words.iter().fold(true, |all, word| all & (*word < modulus))
    }

    fn permute(instance: Instance, level: Level, states: &mut [u32]) {
        let rest = match level.available() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512::permute_many(instance, states),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2::permute_many(instance, states),
            _ => states,
        };
        for state in rest.chunks_exact_mut(WIDTH_31) {
            let mut wide = [0u64; WIDTH_31];
            for (to, from) in wide.iter_mut().zip(state.iter()) {
                *to = u64::from(*from);
            }
            portable::permute(instance, &mut wide);
            for (to, from) in state.iter_mut().zip(wide) {
                // Below a modulus of 31 bits.
                *to = from as u32;
            }
        }
    }
}

impl Word for u64 {
    const BITS: u32 = 64;

    fn number(self) -> u64 {
        self
    }

    fn all_below(words: &[u64], modulus: u64) -> bool {
        words.iter().fold(true, |all, word| all & (*word < modulus))
    }

    fn permute(instance: Instance, level: Level, states: &mut [u64]) {
        let rest = match level.available() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512::permute_many_wide(instance, states),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2::permute_many_wide(instance, states),
            _ => states,
        };
        for state in rest.chunks_exact_mut(instance.width()) {
            portable::permute(instance, state);
        }
    }
}
