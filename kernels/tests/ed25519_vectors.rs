//! Ed25519 against official vectors, edge cases, and the rule written out with `curve25519-dalek`, on every level and every GPU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::vectors::{bytes, json, list};
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::IsIdentity;
use curve25519_dalek::{EdwardsPoint, Scalar};
use pars_kernels::cpu::Level;
use pars_kernels::edwards25519::ed25519::{VerifyJob, verify_batch_at};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sha2::{Digest, Sha512};

/// ZIP 215, one signature, by another library.
fn rule(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let (r, s) = signature.split_at(32);
    let point = |bytes: &[u8]| CompressedEdwardsY(bytes.try_into().unwrap()).decompress();
    let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(s.try_into().unwrap()));
    let hash = Sha512::new()
        .chain_update(r)
        .chain_update(key)
        .chain_update(message)
        .finalize();
    let k = Scalar::from_bytes_mod_order_wide(&hash.into());
    match (point(key), point(r), s) {
        (Some(a), Some(r), Some(s)) => (EdwardsPoint::mul_base(&s) - k * a - r)
            .mul_by_cofactor()
            .is_identity(),
        _ => false,
    }
}

/// All verdicts on every level, in batches of every small length, and on every GPU as one batch.
fn check(jobs: &[VerifyJob], valid: &[bool]) {
    for level in Level::ALL {
        let all: Vec<_> = jobs.iter().collect();
        let verdicts = verify_batch_at(level, &all);
        for ((job, verdict), valid) in jobs.iter().zip(verdicts).zip(valid) {
            assert_eq!(verdict, *valid, "{level} {job:?}");
        }
        for length in 1..10.min(jobs.len()) {
            for (jobs, valid) in all.chunks(length).zip(valid.chunks(length)).take(20) {
                assert_eq!(verify_batch_at(level, jobs), valid, "{level}");
            }
        }
    }
    #[cfg(feature = "gpu")]
    common::edwards25519::gpu::check::<pars_kernels::edwards25519::gpu::Ed25519>(jobs, valid);
}

#[test]
fn edge_cases_have_the_verdict_of_the_rule() {
    let Some(file) = json("classic", "cctv_ed25519_edge.json") else {
        return;
    };
    let mut jobs = Vec::new();
    let mut valid = Vec::new();
    for test in list(&file) {
        let (key, signature) = (bytes(&test["key"]), bytes(&test["sig"]));
        let message = test["msg"].as_str().unwrap().as_bytes();
        jobs.push(VerifyJob::new(&key, message, &signature).unwrap());
        valid.push(rule(&key, message, &signature));
        // The equation holds for all of them, but for some that hash another encoding of R or A than the one given.
        let rehashed = test["flags"]
            .as_array()
            .is_some_and(|flags| flags.iter().any(|flag| flag == "reencoded_k"));
        assert!(rehashed || valid.last() == Some(&true), "{test}");
    }
    assert!(jobs.len() > 300);
    assert!(valid.contains(&false));
    check(&jobs, &valid);
}

#[test]
fn wycheproof() {
    let Some(file) = json("classic", "wycheproof_ed25519_test.json") else {
        return;
    };
    let mut jobs = Vec::new();
    let mut valid = Vec::new();
    for group in list(&file["testGroups"]) {
        let key = bytes(&group["publicKey"]["pk"]);
        for test in list(&group["tests"]) {
            let (message, signature) = (bytes(&test["msg"]), bytes(&test["sig"]));
            match VerifyJob::new(&key, &message, &signature) {
                Ok(job) => {
                    let verdict = rule(&key, &message, &signature);
                    // ZIP 215 allows points that are not written canonically.
                    let lax = list(&test["flags"]).iter().any(|f| f == "InvalidEncoding");
                    if !lax {
                        assert_eq!(verdict, test["result"] == "valid", "{test}");
                    }
                    jobs.push(job);
                    valid.push(verdict);
                }
                Err(_) => assert_eq!(test["result"], "invalid", "{test}"),
            }
        }
    }
    assert!(jobs.len() > 100);
    check(&jobs, &valid);
}

/// Random signatures, good and damaged, and some whose points have a part of small order.
#[test]
fn random_signatures_have_the_verdict_of_the_rule() {
    let mut rng = StdRng::seed_from_u64(1);
    let count = std::env::var("PARS_LONG_TESTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(300);
    let mut jobs = Vec::new();
    let mut valid = Vec::new();
    for _ in 0..count {
        let x = Scalar::from_bytes_mod_order(rng.random());
        let nonce = Scalar::from_bytes_mod_order(rng.random());
        let mut torsion = || match rng.random_range(0..2) {
            0 => EIGHT_TORSION[0],
            _ => EIGHT_TORSION[rng.random_range(0..8)],
        };
        let mut key = (EdwardsPoint::mul_base(&x) + torsion())
            .compress()
            .to_bytes();
        let mut r = (EdwardsPoint::mul_base(&nonce) + torsion())
            .compress()
            .to_bytes();
        let mut message: Vec<u8> = (0..rng.random_range(0..300))
            .map(|_| rng.random())
            .collect();
        let hash = Sha512::new()
            .chain_update(r)
            .chain_update(key)
            .chain_update(&message)
            .finalize();
        let k = Scalar::from_bytes_mod_order_wide(&hash.into());
        let mut s = (nonce + k * x).to_bytes();
        let bit = 1 << rng.random_range(0..8);
        match rng.random_range(0..8) {
            0 => key[rng.random_range(0..32)] ^= bit,
            1 => r[rng.random_range(0..32)] ^= bit,
            2 => s[rng.random_range(0..32)] ^= bit,
            3 => message.push(0),
            _ => {}
        }
        let signature = [r, s].concat();
        jobs.push(VerifyJob::new(&key, &message, &signature).unwrap());
        valid.push(rule(&key, &message, &signature));
    }
    let good = valid.iter().filter(|valid| **valid).count();
    assert!(good > count / 4 && good < count);
    check(&jobs, &valid);
}
