//! Random, damaged and extreme signatures against libsecp256k1, at every level of this processor and on every adapter.
//!
//! `PARS_SECP256K1_ROUNDS` sets the number of signatures (256 by default; 1,000,000 in a long run).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::backends::Backends;
use pars_kernels::secp256k1::{RecoverJob, Signature, ecdsa, schnorr};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use secp256k1::{Keypair, Message, PublicKey, SecretKey, XOnlyPublicKey};

/// Signatures of a run.
fn rounds() -> usize {
    std::env::var("PARS_SECP256K1_ROUNDS").map_or(256, |text| text.parse().unwrap())
}

/// Bytes that are random, or near zero or the order of the group.
fn number(rng: &mut SmallRng) -> [u8; 32] {
    let mut bytes = [0; 32];
    match rng.random_range(0..8) {
        0 => bytes[31] = rng.random_range(0..8),
        1 => {
            let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
            bytes.copy_from_slice(&hex::decode(order).unwrap());
            bytes[31] = bytes[31]
                .wrapping_add(rng.random_range(0..8))
                .wrapping_sub(4);
        }
        2 => bytes = [0xff; 32],
        _ => rng.fill(&mut bytes[..]),
    }
    bytes
}

fn flip(rng: &mut SmallRng, bytes: &mut [u8]) {
    let at = rng.random_range(0..bytes.len());
    bytes[at] ^= 1 << rng.random_range(0..8);
}

fn secret(rng: &mut SmallRng) -> SecretKey {
    loop {
        if let Ok(key) = SecretKey::from_secret_bytes(number(rng)) {
            return key;
        }
    }
}

#[test]
fn recovery_and_verification_agree_with_libsecp256k1() {
    let mut rng = SmallRng::seed_from_u64(11);
    let mut backends = Backends::open();
    let mut left = rounds();
    let (mut recovered, mut refused, mut valid, mut invalid) = (0, 0, 0, 0);
    while left > 0 {
        let size = rng.random_range(1..200).min(left);
        left -= size;
        let (mut recoveries, mut keys) = (Vec::new(), Vec::new());
        let (mut verifications, mut verdicts) = (Vec::new(), Vec::new());
        for _ in 0..size {
            let key = secret(&mut rng);
            let mut hash = number(&mut rng);
            let signed = secp256k1::ecdsa::RecoverableSignature::sign_ecdsa_recoverable(
                Message::from_digest(hash),
                &key,
            );
            let (id, mut bytes) = signed.serialize_compact();
            let mut odd = u8::from(id) & 1;
            match rng.random_range(0..8) {
                0 => flip(&mut rng, &mut bytes),
                1 => flip(&mut rng, &mut hash),
                2 => odd ^= 1,
                3 => bytes[..32].copy_from_slice(&number(&mut rng)),
                4 => bytes[32..].copy_from_slice(&number(&mut rng)),
                _ => {}
            }
            let Ok(signature) = Signature::from_bytes(&bytes) else {
                refused += 1;
                continue;
            };
            recoveries.push(RecoverJob::new(&hash, u64::from(odd), signature).unwrap());
            let id = i32::from(odd).try_into().unwrap();
            let theirs = secp256k1::ecdsa::RecoverableSignature::from_compact(&bytes, id)
                .and_then(|signature| signature.recover_ecdsa(Message::from_digest(hash)));
            keys.push(theirs.ok().map(|key| key.serialize()));

            let public = PublicKey::from_secret_key(&key);
            verifications.push(if odd == 0 {
                ecdsa::VerifyJob::new(&public.serialize(), &hash, signature).unwrap()
            } else {
                ecdsa::VerifyJob::new(&public.serialize_uncompressed(), &hash, signature).unwrap()
            });
            // libsecp256k1 refuses a high s, so it is asked about the low one.
            let mut theirs = secp256k1::ecdsa::Signature::from_compact(&bytes).unwrap();
            theirs.normalize_s();
            verdicts.push(
                secp256k1::ecdsa::verify(&theirs, Message::from_digest(hash), &public).is_ok(),
            );
        }
        let recoveries: Vec<&RecoverJob> = recoveries.iter().collect();
        let verifications: Vec<&ecdsa::VerifyJob> = verifications.iter().collect();
        for (by, ours) in backends.recover(&recoveries) {
            let ours: Vec<_> = ours
                .iter()
                .map(|key| key.map(|key| key.to_compressed()))
                .collect();
            assert_eq!(ours, keys, "{by}");
        }
        for (by, ours) in backends.ecdsa(&verifications) {
            assert_eq!(ours, verdicts, "{by}");
        }
        recovered += keys.iter().flatten().count();
        refused += keys.iter().filter(|key| key.is_none()).count();
        valid += verdicts.iter().filter(|valid| **valid).count();
        invalid += verdicts.iter().filter(|valid| !**valid).count();
    }
    assert!(recovered > 0 && refused > 0 && valid > 0 && invalid > 0);
}

#[test]
fn schnorr_agrees_with_libsecp256k1() {
    let mut rng = SmallRng::seed_from_u64(12);
    let mut backends = Backends::open();
    let mut left = rounds();
    let (mut valid, mut invalid) = (0, 0);
    while left > 0 {
        let size = rng.random_range(1..200).min(left);
        left -= size;
        let (mut jobs, mut verdicts) = (Vec::new(), Vec::new());
        for _ in 0..size {
            let pair = Keypair::from_secret_key(&secret(&mut rng));
            let mut message = vec![0; rng.random_range(0..200)];
            rng.fill(&mut message[..]);
            let signed = secp256k1::schnorr::sign_with_aux_rand(&message, &pair, &[7; 32]);
            let mut signature = signed.to_byte_array();
            let mut key = pair.x_only_public_key().0.to_byte_array();
            match rng.random_range(0..8) {
                0 => flip(&mut rng, &mut signature),
                1 => flip(&mut rng, &mut key),
                2 if !message.is_empty() => flip(&mut rng, &mut message),
                3 => signature[..32].copy_from_slice(&number(&mut rng)),
                4 => signature[32..].copy_from_slice(&number(&mut rng)),
                _ => {}
            }
            jobs.push(schnorr::VerifyJob::new(&key, &message, &signature));
            let theirs = XOnlyPublicKey::from_byte_array(key).is_ok_and(|key| {
                let signature = secp256k1::schnorr::Signature::from_byte_array(signature);
                secp256k1::schnorr::verify(&signature, &message, &key).is_ok()
            });
            verdicts.push(theirs);
        }
        let jobs: Vec<&schnorr::VerifyJob> = jobs.iter().collect();
        for (by, ours) in backends.schnorr(&jobs) {
            assert_eq!(ours, verdicts, "{by}");
        }
        valid += verdicts.iter().filter(|valid| **valid).count();
        invalid += verdicts.iter().filter(|valid| !**valid).count();
    }
    assert!(valid > 0 && invalid > 0);
}
