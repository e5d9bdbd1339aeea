//! secp256k1 (SEC 2, section 2.4.1) in batches: ECDSA recovery and verification, BIP-340 verification, hashing to the curve.
//!
//! | file | what |
//! |---|---|
//! | `recover` | public keys and addresses from signatures, with the rules of the EVM |
//! | `ecdsa`, `schnorr` | verification (SEC 1; BIP-340) |
//! | `hash_to_curve` | secp256k1_XMD:SHA-256_SSWU_RO_ (RFC 9380) |
//! | `batch` | tables, sums of multiples and square roots of lists, by the code of each level |
//! | `single`, `avx2`, `ifma` | the base field one element at a time, in AVX2 four and in AVX-512 IFMA eight side by side |
//! | `chains`, `endomorphism` | square roots in the base field; factors of 128 bits instead of 256 |
//! | `gpu` | recovery and verification as shaders |
//! | `known_answers` | embedded questions for self-tests |
//! | `point`, `signature` | points, signatures and keys, and their encodings |
//!
//! A batch is cut into groups of as many items as the level has lanes; the verdict of an item depends on nothing but the item, and
//! every level gives equal answers. All inputs are public and all code is variable time.

#[cfg(target_arch = "x86_64")]
mod avx2;
pub(crate) mod batch;
mod chains;
pub mod ecdsa;
mod endomorphism;
mod error;
#[cfg(feature = "gpu")]
pub mod gpu;
mod hash_to_curve;
#[cfg(target_arch = "x86_64")]
mod ifma;
pub(crate) mod known_answers;
mod point;
mod recover;
pub mod schnorr;
mod signature;
mod single;
#[cfg(test)]
mod tests;

use crate::cpu::Level;
use batch::{Combination, sums_with_generator, tables};
use signature::{Key, points};

pub use crate::field::secp256k1::{Fn, Fp};
pub use error::InputError;
pub(crate) use hash_to_curve::wide_scalar;
pub use hash_to_curve::{hash_to_curve, hash_to_curve_at};
pub use point::Point;
pub use recover::{
    RecoverJob, recover_addresses, recover_addresses_at, recover_batch, recover_batch_at,
    recover_known_answers,
};
pub use signature::Signature;
pub(crate) use signature::decode_compressed;

/// `generator G + factor P`, P the point of the key: what every verification here has to know.
#[derive(Clone, Copy, Debug)]
struct Equation {
    generator: Fn,
    factor: Fn,
    key: Key,
}

/// What the sum of an equation has to be for a signature to be valid.
#[derive(Clone, Copy, Debug)]
enum Claim {
    /// A point whose x is this modulo n.
    Residue(Fn),
    /// A point with this x and an even y.
    EvenWith(Fp),
    /// Nothing: the signature is none.
    Never,
}

impl Claim {
    fn holds(self, sum: Option<Point>) -> bool {
        match (self, sum) {
            (Self::Residue(r), Some(point)) => Fn::reduce_bytes_be(&point.x.to_bytes_be()) == r,
            (Self::EvenWith(x), Some(point)) => !point.is_odd() && point.x == x,
            _ => false,
        }
    }
}

/// The sums of equations: nothing where the key is no point, and for the identity.
fn combine(level: Level, equations: &[Equation]) -> Vec<Option<Point>> {
    let keys: Vec<Key> = equations.iter().map(|equation| equation.key).collect();
    let found = points(level, &keys);
    let filled: Vec<Point> = found
        .iter()
        .map(|point| point.unwrap_or(Point::GENERATOR))
        .collect();
    let tables = tables(level, &filled);
    let list: Vec<Combination<'_, 1>> = equations
        .iter()
        .zip(&tables)
        .map(|(equation, table)| Combination {
            generator: equation.generator,
            points: [(equation.factor, table)],
        })
        .collect();
    sums_with_generator(level, &list)
        .into_iter()
        .zip(found)
        .map(|(sum, point)| point.and(sum))
        .collect()
}
