//! secp256k1 (SEC 2, section 2.4.1) in batches: ECDSA recovery and verification, BIP-340 verification, hashing to the curve.
//!
//! | file | what |
//! |---|---|
//! | `recover` | public keys and addresses from signatures, with the rules of the EVM |
//! | `ecdsa`, `schnorr` | verification (SEC 1; BIP-340) |
//! | `hash_to_curve` | secp256k1_XMD:SHA-256_SSWU_RO_ (RFC 9380) |
//! | `batch` | tables, sums of multiples and square roots of lists, by the code of each level |
//! | `single`, `ifma` | the base field one element at a time, and in AVX-512 IFMA eight side by side |
//! | `chains`, `endomorphism` | powers in the base field; factors of 128 bits instead of 256 |
//! | `known_answers` | embedded questions for self-tests |
//! | `point`, `signature` | points, signatures and keys, and their encodings |
//!
//! A batch is cut into groups of as many items as the level has lanes; the verdict of an item depends on nothing but the item, and
//! every level gives equal answers. All inputs are public and all code is variable time.

pub(crate) mod batch;
mod chains;
pub mod ecdsa;
mod endomorphism;
mod error;
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

/// `a G + b P` for each `(a, b, P)`; nothing for nothing and for the identity.
fn combine(
    level: Level,
    terms: impl Iterator<Item = Option<(Fn, Fn, Point)>>,
) -> Vec<Option<Point>> {
    let terms: Vec<_> = terms.collect();
    let placeholder = (Fn::ONE, Fn::ONE, Point::GENERATOR);
    let points: Vec<Point> = terms
        .iter()
        .map(|term| term.unwrap_or(placeholder).2)
        .collect();
    let tables = tables(level, &points);
    let list: Vec<Combination<'_, 1>> = terms
        .iter()
        .zip(&tables)
        .map(|(term, table)| {
            let (generator, factor, _) = term.unwrap_or(placeholder);
            Combination {
                generator,
                points: [(factor, table)],
            }
        })
        .collect();
    sums_with_generator(level, &list)
        .into_iter()
        .zip(&terms)
        .map(|(sum, term)| term.and(sum))
        .collect()
}
