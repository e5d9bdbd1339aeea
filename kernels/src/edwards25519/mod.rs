//! The group of edwards25519 in batches, one independent operation for each lane of a vector, and what is built on it.
//!
//! | file | what |
//! |---|---|
//! | `fe` | one element modulo 2^255 − 19: five words of radix 2^51 |
//! | `lanes` | the operations that the rest is written in; sending work to the best level |
//! | `avx2` | four elements in ten 256-bit words (x86-64 with AVX2) |
//! | `ifma` | eight elements in five 512-bit registers (x86-64 with AVX-512 IFMA) |
//! | `constants` | d, sqrt(−1) and the like, computed from their definitions |
//! | `point` | extended coordinates, complete additions, doublings |
//! | `straus` | a·P + … + s·B |
//! | `codec` | decompression by the rule of ZIP 215 or the strict one, compression |
//! | `ristretto` | ristretto255 (RFC 9496) |
//! | `monero` | Monero's hash to a point |
//! | [`ed25519`] | Ed25519 verification |
//! | `gpu` | signatures on a GPU (feature `gpu`) |
//!
//! Everything here is variable time: it verifies, so all values are public. What signs uses `curve25519-dalek`.
//!
#![doc = include_str!("ACCEPTANCE.md")]

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
pub(crate) mod codec;
pub(crate) mod constants;
pub mod ed25519;
pub(crate) mod fe;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(target_arch = "x86_64")]
pub(crate) mod ifma;
pub(crate) mod lanes;
pub(crate) mod monero;
pub(crate) mod point;
pub(crate) mod ristretto;
pub(crate) mod straus;
#[cfg(test)]
mod tests;
