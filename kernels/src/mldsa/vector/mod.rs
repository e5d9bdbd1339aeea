//! ML-DSA arithmetic over vectors of 32-bit words, for AVX2 and AVX-512.
//!
//! A polynomial is 256 unsigned words. Values are *lazy*: any word below 2^32 that is right modulo
//! q; each function states the bound it takes and the bound it gives. Multiplication by a constant
//! is Shoup's: with `z' = floor(z 2^32 / q)`, `a z - floor(a z' / 2^32) q` is below 2 q for every
//! 32-bit `a`.
//!
//! The algorithms are written once over [`Words`]; a file per instruction set says how one
//! operation is done. Verification handles public data only, and takes variable time.
#![allow(unsafe_code)]

pub(crate) mod avx2;
pub(crate) mod avx512;
pub(crate) mod batch;
pub(crate) mod ntt;
pub(crate) mod poly;
#[cfg(test)]
mod tests;

pub(crate) use super::params::Q;

/// -1 / q modulo 2^32, as the instruction set wants it (only its bits count).
pub(crate) const MINUS_Q_INVERSE: u32 = 4_236_238_847;

/// A polynomial of 256 words, aligned for whole-register loads.
#[derive(Clone)]
#[repr(C, align(64))]
pub(crate) struct Poly(pub(crate) [u32; 256]);

impl Poly {
    /// The zero polynomial.
    pub(crate) const ZERO: Self = Self([0; 256]);
}

/// A register of `N` unsigned 32-bit words.
///
/// # Safety
/// Every function needs the instruction set that the implementing type stands for; callers run
/// inside a function compiled for it, reached only after the processor was asked.
pub(crate) unsafe trait Words<const N: usize>: Copy {
    /// Loads `N` words; no alignment needed.
    unsafe fn load(from: *const u32) -> Self;
    /// Stores `N` words; no alignment needed.
    unsafe fn store(self, to: *mut u32);
    /// The same word everywhere.
    unsafe fn splat(word: u32) -> Self;
    /// Word-wise sum modulo 2^32.
    unsafe fn add(self, b: Self) -> Self;
    /// Word-wise difference modulo 2^32.
    unsafe fn sub(self, b: Self) -> Self;
    /// Bit-wise and.
    unsafe fn and(self, b: Self) -> Self;
    /// The smaller of each pair of unsigned words.
    unsafe fn min(self, b: Self) -> Self;
    /// Low halves of the products.
    unsafe fn mul_low(self, b: Self) -> Self;
    /// High halves of the unsigned products. `even` holds the factors in its even words, `odd` those of the odd
    /// words, each one word to the left: of a factor that is the same everywhere both are one register.
    unsafe fn mul_high(self, even: Self, odd: Self) -> Self;
    /// Each odd word moved to the even word before it: the `odd` of [`Self::mul_high`].
    unsafe fn odd(self) -> Self;
    /// Logical shift of each word to the right.
    unsafe fn shr<const BITS: u32>(self) -> Self;
    /// Logical shift of each word to the left.
    unsafe fn shl<const BITS: u32>(self) -> Self;
    /// `then` where `self` (as unsigned) is greater than `bound`, else `otherwise`; both below 2^31.
    unsafe fn if_greater(self, bound: Self, then: Self, otherwise: Self) -> Self;
    /// Whether any word (below 2^31) is greater than `bound` (below 2^31).
    unsafe fn any_greater(self, bound: Self) -> bool;
    /// Transposes an `N` by `N` matrix of words.
    unsafe fn transpose(rows: &mut [Self; N]);
    /// Adds the 64-bit products of the words of `a` and `b` to a register of sums for the even words and one for the odd.
    unsafe fn multiply_add(sums: (Self, Self), a: Self, b: Self) -> (Self, Self);
    /// Montgomery reduction of the sums of [`Self::multiply_add`] to words.
    ///
    /// Takes sums below 2^54.7; gives words below 2 q that are `sum / 2^32` modulo q.
    unsafe fn reduce(sums: (Self, Self)) -> Self;
    /// `N` fields of `BITS` bits (10, 18 or 20) from a little-endian bit string.
    ///
    /// Reads up to 64 bytes from `from`, whatever `N` and `BITS`.
    unsafe fn unpack<const BITS: u32>(from: *const u8) -> Self;
    /// Packs `N` words below 2^BITS (4 or 6 bits) to `N * BITS / 8` bytes; writes up to 32 bytes.
    unsafe fn pack<const BITS: u32>(self, to: *mut u8);
    /// Of `N` 24-bit little-endian fields at `from` (reads up to 64 bytes), masked to 23 bits, stores those below q in
    /// order at `to` (writes `N` words, the rest garbage) and gives their number.
    unsafe fn sample(from: *const u8, to: *mut u32) -> usize;
}

/// `value` modulo q in `[0, q)` for `value` below 2 q.
///
/// # Safety
/// As [`Words`].
#[inline(always)]
pub(crate) unsafe fn canonical<const N: usize, V: Words<N>>(value: V) -> V {
    // SAFETY: the caller's promise.
    unsafe { value.min(value.sub(V::splat(Q))) }
}
