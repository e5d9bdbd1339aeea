//! Random and damaged signatures in mixed batches: every CPU level agrees with the `ml-dsa` and `fips204` crates.
//!
//! `PARS_DIFFERENTIAL_CASES` sets the number of cases, `PARS_DIFFERENTIAL_SEED` where the random ones begin; the ordinary
//! run takes a slice, a long run ten million. All cores work, each from a seed of its own
//! (`PARS_DIFFERENTIAL_THREADS` for fewer).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::collections::HashMap;

use common::{peers, signer::Signer};
use ml_dsa::{MlDsa44, MlDsa65, MlDsa87, MlDsaParams, VerifyingKey};
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
/// Batches made from them, before there are others.
const BATCHES_OF_ORIGINALS: usize = 40;

struct Original {
    public_key: Vec<u8>,
    context: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
    /// Bytes of c̃ and of z.
    shape: (usize, usize),
}

impl Original {
    fn job(&self) -> VerifyJob {
        VerifyJob::pure(
            &self.public_key,
            &self.context,
            &self.message,
            &self.signature,
        )
        .unwrap()
    }
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

/// The originals' keys as the `ml-dsa` crate keeps them: half of its time goes into making them.
#[derive(Default)]
struct Decoded {
    mldsa44: HashMap<Vec<u8>, VerifyingKey<MlDsa44>>,
    mldsa65: HashMap<Vec<u8>, VerifyingKey<MlDsa65>>,
    mldsa87: HashMap<Vec<u8>, VerifyingKey<MlDsa87>>,
}

impl Decoded {
    fn of(originals: &[Original]) -> Self {
        let mut decoded = Self::default();
        for original in originals {
            let job = original.job();
            let key = original.public_key.clone();
            match job.parameter_set() {
                ParameterSet::MlDsa44 => {
                    decoded.mldsa44.insert(key, peers::ml_dsa_key(&job));
                }
                ParameterSet::MlDsa65 => {
                    decoded.mldsa65.insert(key, peers::ml_dsa_key(&job));
                }
                ParameterSet::MlDsa87 => {
                    decoded.mldsa87.insert(key, peers::ml_dsa_key(&job));
                }
            }
        }
        decoded
    }

    /// The verdict of the `ml-dsa` crate.
    fn verdict(&self, job: &VerifyJob) -> bool {
        match job.parameter_set() {
            ParameterSet::MlDsa44 => verdict(&self.mldsa44, job),
            ParameterSet::MlDsa65 => verdict(&self.mldsa65, job),
            ParameterSet::MlDsa87 => verdict(&self.mldsa87, job),
        }
    }
}

fn verdict<P: MlDsaParams>(keys: &HashMap<Vec<u8>, VerifyingKey<P>>, job: &VerifyJob) -> bool {
    let Some(signature) = peers::ml_dsa_signature::<P>(job) else {
        return false;
    };
    match keys.get(job.public_key()) {
        Some(key) => peers::ml_dsa_with(key, job, &signature),
        None => peers::ml_dsa_with(&peers::ml_dsa_key(job), job, &signature),
    }
}

/// A number from the environment.
fn number(name: &str, ordinary: usize) -> usize {
    let given = std::env::var(name).ok();
    given.map_or(ordinary, |given| {
        given
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number"))
    })
}

/// Compares some cases and counts the valid ones.
fn compare(cases: usize, seed: usize, levels: &[Level]) -> usize {
    let mut rng = SmallRng::seed_from_u64(seed as u64);
    let (mut done, mut valid) = (0, 0);
    while done < cases {
        let originals = originals(&mut rng);
        let decoded = Decoded::of(&originals);
        for _ in 0..BATCHES_OF_ORIGINALS {
            let jobs: Vec<VerifyJob> = (0..BATCH.min(cases - done))
                .map(|_| case(&originals, &mut rng))
                .collect();
            let expected: Vec<bool> = jobs
                .iter()
                .map(|job| {
                    let verdict = decoded.verdict(job);
                    let other = peers::fips204(job);
                    assert_eq!(other, Some(verdict), "the peers differ: {job:?}");
                    verdict
                })
                .collect();
            let asked: Vec<&VerifyJob> = jobs.iter().collect();
            let keys: Vec<Option<PreparedKey>> = jobs
                .iter()
                .map(|job| {
                    let prepare = rng.random_range(0..8) == 0;
                    prepare.then(|| PreparedKey::new(job.public_key()).unwrap())
                })
                .collect();
            let mixed: Vec<_> = asked
                .iter()
                .copied()
                .zip(keys.iter().map(Option::as_ref))
                .collect();
            for &level in levels {
                assert_eq!(mldsa::verify_batch_at(level, &asked), expected, "{level}");
                // One after another, a fresh key was just asked of; lanes mix fresh and prepared ones.
                let (asked, expected): (Vec<_>, Vec<_>) = mixed
                    .iter()
                    .zip(&expected)
                    .filter(|((_, key), _)| key.is_some() || level != Level::Portable)
                    .map(|(&asked, &expected)| (asked, expected))
                    .unzip();
                assert_eq!(
                    mldsa::verify_prepared_at(level, &asked),
                    expected,
                    "{level}"
                );
            }
            done += jobs.len();
            valid += expected.iter().filter(|valid| **valid).count();
        }
    }
    valid
}

#[test]
fn every_level_agrees_with_two_other_implementations() {
    let total = number("PARS_DIFFERENTIAL_CASES", ORDINARY);
    let seed = number("PARS_DIFFERENTIAL_SEED", 204);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = number("PARS_DIFFERENTIAL_THREADS", cores).max(1);
    let levels: Vec<Level> = Level::ALL
        .into_iter()
        .filter(|level| level.is_available())
        .collect();
    let share = total.div_ceil(threads);
    let valid: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let levels = &levels;
                // Far from the seeds of other runs.
                let seed = seed + (thread << 32);
                scope.spawn(move || compare(share, seed, levels))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    });
    let done = share * threads;
    println!("{done} cases, {valid} of them valid, levels {levels:?}");
    assert!(valid > 0 && valid < done);
}
