//! Random and damaged signatures in mixed batches: every CPU level agrees with the `ml-dsa` and `fips204` crates.
//!
//! `PARS_DIFFERENTIAL_CASES` sets the number of cases; the ordinary run takes a slice, a long run ten million.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::{peers, signer::Signer};
use pars_kernels::{
    cpu::Level,
    mldsa::{self, ParameterSet, PreparedKey, VerifyJob},
};
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};

/// Cases of the ordinary run.
const ORDINARY: usize = 2_000;
/// Cases in a batch.
const BATCH: usize = 200;
/// Signatures of each set that are damaged in turn.
const ORIGINALS: usize = 12;

struct Original {
    public_key: Vec<u8>,
    context: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
    /// Bytes of c̃ and of z.
    shape: (usize, usize),
}

fn originals(rng: &mut SmallRng) -> Vec<Original> {
    let mut all = Vec::new();
    for set in ParameterSet::ALL {
        let shape = match set {
            ParameterSet::MlDsa44 => (32, 4 * 576),
            ParameterSet::MlDsa65 => (48, 5 * 640),
            ParameterSet::MlDsa87 => (64, 7 * 640),
        };
        for _ in 0..ORIGINALS {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            let key = Signer::from_seed(set, &seed);
            let mut message = vec![0; rng.random_range(0..600)];
            rng.fill_bytes(&mut message);
            let mut context = vec![0; rng.random_range(0..=40)];
            rng.fill_bytes(&mut context);
            all.push(Original {
                signature: key.sign_pure(&context, &message),
                public_key: key.public_key,
                context,
                message,
                shape,
            });
        }
    }
    all
}

/// The original, or something near it, or bytes that never were a signature.
fn case(originals: &[Original], rng: &mut SmallRng) -> VerifyJob {
    let original = &originals[rng.random_range(0..originals.len())];
    let mut key = original.public_key.clone();
    let mut signature = original.signature.clone();
    let mut message = original.message.clone();
    let (c_len, z_len) = original.shape;
    let hint_at = c_len + z_len;
    let len = signature.len();
    let set_byte = |bytes: &mut [u8], rng: &mut SmallRng| {
        let at = rng.random_range(0..bytes.len());
        bytes[at] = match rng.random_range(0..4) {
            0 => bytes[at] ^ 1 << rng.random_range(0..8),
            1 => bytes[at].wrapping_add(1),
            2 => [0, 0xff][rng.random_range(0..2)],
            _ => rng.random(),
        };
    };
    match rng.random_range(0..12) {
        0 | 1 => {}
        2 => set_byte(&mut key[..32], rng),
        3 => set_byte(&mut key[32..], rng),
        4 => set_byte(&mut signature[..c_len], rng),
        5 => set_byte(&mut signature[c_len..hint_at], rng),
        6 => set_byte(&mut signature[hint_at..], rng),
        7 => {
            // Two places of the hint change their contents.
            let (a, b) = (
                rng.random_range(hint_at..len),
                rng.random_range(hint_at..len),
            );
            signature.swap(a, b);
        }
        8 => {
            // A hint of nothing, or of one row only.
            signature[hint_at..].fill(0);
        }
        9 => {
            // A run of z at an extreme.
            let start = rng.random_range(c_len..hint_at);
            let end = (start + rng.random_range(1..40)).min(hint_at);
            signature[start..end].fill([0, 0xff, 0x80][rng.random_range(0..3)]);
        }
        10 => {
            let at = rng.random_range(0..=message.len());
            message.insert(at, rng.random());
        }
        _ => {
            // Random, but for the hint: most pass the structural checks where γ1 is much larger than β.
            rng.fill_bytes(&mut signature[..hint_at]);
            rng.fill_bytes(&mut key);
        }
    }
    VerifyJob::pure(&key, &original.context, &message, &signature).unwrap()
}

#[test]
fn every_level_agrees_with_two_other_implementations() {
    let total = std::env::var("PARS_DIFFERENTIAL_CASES")
        .ok()
        .map_or(ORDINARY, |cases| {
            cases.parse().expect("PARS_DIFFERENTIAL_CASES is a number")
        });
    let seed = std::env::var("PARS_DIFFERENTIAL_SEED")
        .ok()
        .map_or(204, |seed| {
            seed.parse().expect("PARS_DIFFERENTIAL_SEED is a number")
        });
    let levels: Vec<Level> = Level::ALL
        .into_iter()
        .filter(|level| level.is_available())
        .collect();
    let mut rng = SmallRng::seed_from_u64(seed);
    let (mut done, mut valid) = (0, 0);
    while done < total {
        let originals = originals(&mut rng);
        for _ in 0..10 {
            let jobs: Vec<VerifyJob> = (0..BATCH.min(total - done))
                .map(|_| case(&originals, &mut rng))
                .collect();
            let expected: Vec<bool> = jobs
                .iter()
                .map(|job| {
                    let verdict = peers::ml_dsa(job);
                    assert_eq!(
                        peers::fips204(job),
                        Some(verdict),
                        "the peers differ: {job:?}"
                    );
                    verdict
                })
                .collect();
            let asked: Vec<&VerifyJob> = jobs.iter().collect();
            let keys: Vec<Option<PreparedKey>> = jobs
                .iter()
                .map(|job| {
                    (rng.random_range(0..8) == 0)
                        .then(|| PreparedKey::new(job.public_key()).unwrap())
                })
                .collect();
            let prepared: Vec<_> = asked
                .iter()
                .copied()
                .zip(keys.iter().map(Option::as_ref))
                .collect();
            for &level in &levels {
                assert_eq!(mldsa::verify_batch_at(level, &asked), expected, "{level}");
                assert_eq!(
                    mldsa::verify_prepared_at(level, &prepared),
                    expected,
                    "{level}"
                );
            }
            done += jobs.len();
            valid += expected.iter().filter(|valid| **valid).count();
        }
    }
    println!("{done} cases, {valid} of them valid, levels {levels:?}");
    assert!(valid > 0 && valid < done);
}
