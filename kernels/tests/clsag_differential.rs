//! CLSAGs made, changed and verified by the crate `monero-clsag`: its verdict on every level and every GPU.
//!
//! `PARS_LONG_TESTS` sets the number of rings (12 by default).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/monero.rs"]
mod monero;

use curve25519_dalek::EdwardsPoint;
use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::CompressedEdwardsY;
use monero::Signed;
use pars_kernels::cpu::Level;
use pars_kernels::ring::clsag::{self, ClsagJob, ClsagMembers};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// An encoded point becomes its sum with another.
fn add(encoded: &mut [u8; 32], point: EdwardsPoint) {
    let sum = CompressedEdwardsY(*encoded).decompress().unwrap() + point;
    *encoded = sum.compress().to_bytes();
}

/// One change: a bit anywhere, a part of small order, a shift by the base point, parts that change places.
fn changed(signed: &Signed, rng: &mut StdRng) -> Signed {
    let mut out = signed.clone();
    let bit = 1 << rng.random_range(0..8);
    let byte = rng.random_range(0..32);
    let members = out.ring.len();
    let member = rng.random_range(0..members);
    let half = rng.random_range(0..2);
    let other = match rng.random_range(0..2) {
        0 => EIGHT_TORSION[rng.random_range(1..8)],
        _ => ED25519_BASEPOINT_POINT,
    };
    match rng.random_range(0..13) {
        0 => out.message[byte] ^= bit,
        1 => out.image[byte] ^= bit,
        2 => out.pseudo_out[byte] ^= bit,
        3 => out.ring[member][half][byte] ^= bit,
        4 => {
            let at = rng.random_range(0..out.signature.len());
            out.signature[at] ^= bit;
        }
        5 => add(&mut out.image, other),
        6 => add(&mut out.pseudo_out, other),
        7 => add(&mut out.ring[member][half], other),
        8 => {
            let (_, d) = out.signature.split_last_chunk_mut().unwrap();
            add(d, other);
        }
        9 => out.ring.swap(member, (member + 1) % members),
        10 => out.ring[member].swap(0, 1),
        11 => out.image = out.pseudo_out,
        _ => out.ring[member] = out.ring[(member + 1) % members],
    }
    out
}

#[test]
fn verdicts_are_those_of_the_monero_crate() {
    let rings = std::env::var("PARS_LONG_TESTS").map_or(12, |text| text.parse().unwrap());
    let mut rng = StdRng::seed_from_u64(1);
    let (mut jobs, mut valid): (Vec<ClsagJob>, Vec<bool>) = Default::default();
    for number in 0..rings {
        let members = match number {
            0 => 128,
            1 => 127,
            _ => rng.random_range(2..=11),
        };
        let signed = Signed::new(number, members, rng.random_range(0..members));
        let changes = if members > 11 { 1 } else { 6 };
        let changed = (0..changes)
            .map(|_| changed(&signed, &mut rng))
            .collect::<Vec<_>>();
        for one in std::iter::once(&signed).chain(&changed) {
            jobs.push(one.job());
            valid.push(one.peer().is_some_and(|peer| peer.verify()));
        }
        assert!(
            valid[valid.len() - 1 - changes],
            "what the crate signs is valid"
        );
    }
    let refs: Vec<_> = jobs.iter().collect();
    for level in Level::ALL {
        let verdicts = clsag::verify_batch_at(level, &refs, &ClsagMembers::new(4096));
        for ((job, verdict), valid) in jobs.iter().zip(verdicts).zip(&valid) {
            assert_eq!(verdict, *valid, "{level} {job:?}");
        }
    }
    #[cfg(feature = "gpu")]
    common::edwards25519::gpu::check::<clsag::Clsag>(&jobs, &valid);
}
