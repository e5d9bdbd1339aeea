//! The mathematics of each hot path. A folder per primitive holds its portable code, its SIMD code and its shader;
//! callers hand over work and never name an instruction set. No threads, no async, no network, no chain.
//!
//! | module | primitive |
//! |---|---|
//! | [`keccak`] | Keccak-f\[1600\] over lanes, SHAKE128 and SHAKE256 |
//! | [`mldsa`] | ML-DSA verification (FIPS 204), portable and on a GPU |
//! | [`edwards25519`] | edwards25519 and ristretto255 in batches; Ed25519 verification |
//! | [`field`] | prime fields of 256 bits: BN254's and secp256k1's scalar and base fields |
//! | [`curve`] | short Weierstrass curves with a = 0: group law over lanes, sums of multiples as shaders |
//! | [`pedersen`] | Pedersen commitments over BN254 G1: hashing to the curve, fixed bases, batches |
//! | [`poseidon`] | Poseidon and Poseidon2 over BN254: hashes, Merkle roots and paths |
//! | [`ring`] | ring signatures: CLSAG, LSAG |
//! | [`secp256k1`] | ECDSA recovery and verification, BIP-340 verification, hashing to the curve |
//! | [`cpu`] | what this processor can do, found once at run time |
//! | `gpu` | adapters and devices (feature `gpu`) |

#[cfg(test)]
extern crate self as pars_kernels;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod cpu;
pub mod curve;
pub mod edwards25519;
pub mod field;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod keccak;
pub mod mldsa;
pub mod pedersen;
pub mod poseidon;
pub mod ring;
pub mod secp256k1;
#[cfg(target_arch = "x86_64")]
mod x86;
