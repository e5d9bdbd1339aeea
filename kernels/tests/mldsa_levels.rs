//! Every CPU level gives the portable verdict, alone and in batches whose lanes fail in different ways.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use pars_kernels::{
    cpu::Level,
    mldsa::{self, Message, ParameterSet, PreparedKey, Representative, VerifyJob},
};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

/// Levels this processor can run.
fn levels() -> Vec<Level> {
    let found: Vec<Level> = Level::ALL
        .into_iter()
        .filter(|level| level.is_available())
        .collect();
    println!("levels: {found:?}");
    found
}

/// The job with one byte of its key, signature or message changed.
fn mutated(job: &VerifyJob, rng: &mut SmallRng) -> VerifyJob {
    let mut key = job.public_key().to_vec();
    let mut signature = job.signature().to_vec();
    let mut message = match job.representative() {
        Representative::Formatted(message) => message.to_vec(),
        Representative::Mu(mu) => mu.to_vec(),
    };
    let hint_start = signature.len() - 84;
    let flip = 1u8 << rng.random_range(0..8);
    match rng.random_range(0..6) {
        0 => key[rng.random_range(0..32)] ^= flip,
        1 => {
            let at = rng.random_range(32..key.len());
            key[at] ^= flip;
        }
        2 => signature[rng.random_range(0..32)] ^= flip,
        3 => {
            let at = rng.random_range(64..hint_start);
            signature[at] ^= flip;
        }
        4 => {
            let at = rng.random_range(hint_start..signature.len());
            signature[at] ^= flip;
        }
        _ => match message.first_mut() {
            Some(byte) => *byte ^= flip,
            None => message.push(flip),
        },
    }
    match job.representative() {
        Representative::Formatted(_) => {
            let formatted = Message::Formatted {
                prefix: &[],
                message: &message,
            };
            VerifyJob::new(&key, formatted, &signature).unwrap()
        }
        Representative::Mu(_) => {
            let mu: &[u8; 64] = message[..64].try_into().unwrap();
            VerifyJob::new(&key, Message::Mu(mu), &signature).unwrap()
        }
    }
}

#[test]
fn known_answers_at_every_level() {
    let known = mldsa::known_answers();
    let jobs: Vec<&VerifyJob> = known.iter().map(|(job, _)| job).collect();
    let expected: Vec<bool> = known.iter().map(|&(_, verdict)| verdict).collect();
    assert!(expected.contains(&true) && expected.contains(&false));
    for level in levels() {
        assert_eq!(mldsa::verify_batch_at(level, &jobs), expected, "{level}");
        for (job, &verdict) in jobs.iter().zip(&expected) {
            assert_eq!(mldsa::verify_batch_at(level, &[job]), [verdict], "{level}");
        }
    }
}

/// Mixed sets, valid and damaged items side by side, at sizes around the widths of lanes and chunks.
#[test]
fn batches_equal_single_portable_verdicts() {
    let mut rng = SmallRng::seed_from_u64(11);
    let known = mldsa::known_answers();
    let pool: Vec<(VerifyJob, bool)> = (0..400)
        .map(|i| {
            let job = &known[i % known.len()].0;
            let job = if rng.random_range(0..3) == 0 {
                job.clone()
            } else {
                mutated(job, &mut rng)
            };
            let verdict = mldsa::portable::verify(&job);
            (job, verdict)
        })
        .collect();
    for set in ParameterSet::ALL {
        let of_set = || pool.iter().filter(|(job, _)| job.parameter_set() == set);
        assert!(of_set().any(|(_, verdict)| *verdict) && of_set().any(|(_, verdict)| !verdict));
    }
    for level in levels() {
        for size in [0, 1, 2, 3, 7, 8, 9, 63, 64, 65, 129, 1000] {
            let chosen: Vec<&(VerifyJob, bool)> = (0..size)
                .map(|_| &pool[rng.random_range(0..pool.len())])
                .collect();
            let jobs: Vec<&VerifyJob> = chosen.iter().map(|(job, _)| job).collect();
            let expected: Vec<bool> = chosen.iter().map(|&&(_, verdict)| verdict).collect();
            assert_eq!(
                mldsa::verify_batch_at(level, &jobs),
                expected,
                "{level}, {size} items"
            );
        }
    }
}

/// Prepared keys, fresh keys and prepared keys of somebody else, in one batch.
#[test]
fn prepared_keys_change_no_verdict() {
    let mut rng = SmallRng::seed_from_u64(13);
    let known = mldsa::known_answers();
    let jobs: Vec<VerifyJob> = (0..200)
        .map(|i| {
            let job = &known[i % known.len()].0;
            if rng.random_range(0..2) == 0 {
                job.clone()
            } else {
                mutated(job, &mut rng)
            }
        })
        .collect();
    let keys: Vec<PreparedKey> = jobs
        .iter()
        .map(|job| PreparedKey::new(job.public_key()).unwrap())
        .collect();
    for (job, key) in jobs.iter().zip(&keys) {
        assert_eq!(key.public_key(), job.public_key());
        assert_eq!(key.parameter_set(), job.parameter_set());
        assert!((20_000..75_000).contains(&key.size()), "{key:?}");
    }
    let expected: Vec<bool> = jobs.iter().map(mldsa::portable::verify).collect();
    assert!(expected.contains(&true) && expected.contains(&false));
    let asked: Vec<(&VerifyJob, Option<&PreparedKey>)> = jobs
        .iter()
        .enumerate()
        .map(|(i, job)| match rng.random_range(0..4) {
            0 => (job, None),
            1 => (job, Some(&keys[(i + 1) % keys.len()])),
            _ => (job, Some(&keys[i])),
        })
        .collect();
    for level in levels() {
        assert_eq!(
            mldsa::verify_prepared_at(level, &asked),
            expected,
            "{level}"
        );
        let own: Vec<_> = jobs.iter().zip(keys.iter().map(Some)).collect();
        assert_eq!(mldsa::verify_prepared_at(level, &own), expected, "{level}");
    }
    assert!(PreparedKey::new(&[0; 1951]).is_err());
}

/// Eight lanes of one set, each lane failing in another way or not at all, in every rotation.
#[test]
fn a_lane_never_disturbs_its_neighbours() {
    let mut rng = SmallRng::seed_from_u64(12);
    let known = mldsa::known_answers();
    for set in ParameterSet::ALL {
        let valid = &known
            .iter()
            .find(|(job, verdict)| *verdict && job.parameter_set() == set)
            .unwrap()
            .0;
        let mut lanes: Vec<VerifyJob> = (0..8).map(|_| mutated(valid, &mut rng)).collect();
        lanes[3] = valid.clone();
        for rotation in 0..8 {
            lanes.rotate_left(1);
            let jobs: Vec<&VerifyJob> = lanes.iter().collect();
            let expected: Vec<bool> = lanes.iter().map(mldsa::portable::verify).collect();
            assert!(expected.contains(&true));
            for level in levels() {
                assert_eq!(
                    mldsa::verify_batch_at(level, &jobs),
                    expected,
                    "{level}, rotation {rotation}"
                );
            }
        }
    }
}
