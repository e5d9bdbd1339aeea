//! The official vectors of ML-DSA through the contract's entry: ABI in, ABI out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use alloy_sol_types::SolCall;
use common::{IMLDSA, call, cases, hex_of, mode, refused, returned, vectors};
use pars_kernels::mldsa::ParameterSet;
use pars_precompiles::{MINIMUM_GAS, mldsa::prices};

fn set(mode: u8) -> ParameterSet {
    ParameterSet::from_mode(mode).unwrap()
}

fn key_gen(mode: u8, seed: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let xi = seed.try_into().unwrap();
    let (output, gas) = returned(&IMLDSA::keyGenFromSeedCall { mode, xi }.abi_encode());
    assert_eq!(gas, prices(set(mode)).key_gen);
    let keys = IMLDSA::keyGenFromSeedCall::abi_decode_returns(&output).unwrap();
    (keys.pk.to_vec(), keys.sk.to_vec())
}

/// The signature and the number of attempts it was charged for.
fn sign(sk: Vec<u8>, message: Vec<u8>, context: Vec<u8>) -> (Vec<u8>, u64) {
    let prices = prices(ParameterSet::from_secret_key_len(sk.len()).unwrap());
    let words = message.len().div_ceil(32) as u64;
    let arguments = IMLDSA::signWithContextCall {
        sk: sk.clone().into(),
        message: message.clone().into(),
        context: context.clone().into(),
    };
    let (output, gas) = returned(&arguments.abi_encode());
    let attempts = gas - prices.sign - 4 * words;
    assert_eq!(attempts % prices.attempt, 0);
    let signature = IMLDSA::signWithContextCall::abi_decode_returns(&output).unwrap();
    if context.is_empty() {
        let arguments = IMLDSA::signCall {
            sk: sk.into(),
            message: message.into(),
        };
        let (plain, plain_gas) = returned(&arguments.abi_encode());
        assert_eq!((plain, plain_gas), (output, gas));
    }
    (signature.to_vec(), attempts / prices.attempt)
}

fn verify(pk: &[u8], message: &[u8], context: &[u8], sig: &[u8]) -> bool {
    let price = prices(ParameterSet::from_public_key_len(pk.len()).unwrap()).verify
        + 4 * message.len().div_ceil(32) as u64;
    let arguments = IMLDSA::verifyWithContextCall {
        pk: pk.to_vec().into(),
        message: message.to_vec().into(),
        context: context.to_vec().into(),
        sig: sig.to_vec().into(),
    };
    let (output, gas) = returned(&arguments.abi_encode());
    assert_eq!(gas, price, "full gas for every verdict");
    let valid = IMLDSA::verifyWithContextCall::abi_decode_returns(&output).unwrap();
    if context.is_empty() {
        let arguments = IMLDSA::verifyCall {
            pk: pk.to_vec().into(),
            message: message.to_vec().into(),
            sig: sig.to_vec().into(),
        };
        assert_eq!(returned(&arguments.abi_encode()), (output, gas));
    }
    valid
}

/// What holds without any file: sizes, a signature that verifies, the same with one bit changed that does not.
fn without_vectors() {
    for mode in [2, 3, 5] {
        let (pk, sk) = key_gen(mode, &[9; 32]);
        assert_eq!(pk.len(), set(mode).public_key_len());
        assert_eq!(sk.len(), set(mode).secret_key_len());
        let (mut signature, attempts) = sign(sk, b"message".to_vec(), b"context".to_vec());
        assert!(attempts >= 1);
        assert!(verify(&pk, b"message", b"context", &signature));
        signature[0] ^= 1;
        assert!(!verify(&pk, b"message", b"context", &signature));
    }
}

#[test]
fn acvp_key_generation() {
    let Some(file) = vectors("acvp_keygen.json") else {
        return without_vectors();
    };
    let mut count = 0;
    for (group, case) in cases(&file) {
        let mode = mode(group["parameterSet"].as_str().unwrap());
        let (pk, sk) = key_gen(mode, &hex_of(case, "seed"));
        assert_eq!(pk, hex_of(case, "pk"), "case {}", case["tcId"]);
        assert_eq!(sk, hex_of(case, "sk"), "case {}", case["tcId"]);
        count += 1;
    }
    assert_eq!(count, 30);
}

#[test]
fn acvp_signing() {
    let Some(file) = vectors("acvp_siggen.json") else {
        return without_vectors();
    };
    let mut count = 0;
    for (_, case) in cases(&file).filter(|(group, _)| {
        group["deterministic"] == true
            && group["signatureInterface"] == "external"
            && group["preHash"] == "pure"
    }) {
        let (signature, attempts) = sign(
            hex_of(case, "sk"),
            hex_of(case, "message"),
            hex_of(case, "context"),
        );
        assert_eq!(
            signature,
            hex_of(case, "signature"),
            "case {}",
            case["tcId"]
        );
        assert!(attempts >= 1);
        count += 1;
    }
    assert_eq!(count, 9);
}

#[test]
fn acvp_verification() {
    let Some(file) = vectors("acvp_sigver.json") else {
        return without_vectors();
    };
    let mut verdicts = [0, 0];
    for (_, case) in cases(&file).filter(|(group, _)| {
        group["signatureInterface"] == "external" && group["preHash"] == "pure"
    }) {
        let valid = verify(
            &hex_of(case, "pk"),
            &hex_of(case, "message"),
            &hex_of(case, "context"),
            &hex_of(case, "signature"),
        );
        assert_eq!(valid, case["testPassed"], "case {}", case["tcId"]);
        verdicts[usize::from(valid)] += 1;
    }
    assert!(verdicts[0] > 0 && verdicts[1] > 0, "{verdicts:?}");
    assert_eq!(verdicts[0] + verdicts[1], 30);
}

#[test]
fn wycheproof_verification() {
    let mut count = 0;
    for name in ["44", "65", "87"] {
        let Some(file) = vectors(&format!("wycheproof_mldsa_{name}_verify_test.json")) else {
            return without_vectors();
        };
        for (group, case) in cases(&file) {
            let (pk, message) = (hex_of(group, "publicKey"), hex_of(case, "msg"));
            let (context, sig) = (hex_of(case, "ctx"), hex_of(case, "sig"));
            let label = format!("{name}, case {}: {}", case["tcId"], case["comment"]);
            count += 1;
            let arguments = IMLDSA::verifyWithContextCall {
                pk: pk.clone().into(),
                message: message.clone().into(),
                context: context.clone().into(),
                sig: sig.clone().into(),
            };
            if ParameterSet::from_public_key_len(pk.len()).is_none() {
                let refusal = refused(&call(&arguments.abi_encode()));
                assert_eq!(
                    refusal,
                    ("InvalidLength(uint256,uint256)", MINIMUM_GAS),
                    "{label}"
                );
            } else if context.len() > 255 {
                let refusal = refused(&call(&arguments.abi_encode()));
                assert_eq!(
                    refusal,
                    ("LimitExceeded(uint256,uint256)", MINIMUM_GAS),
                    "{label}"
                );
            } else {
                let valid = verify(&pk, &message, &context, &sig);
                assert_eq!(valid, case["result"] == "valid", "{label}");
            }
        }
    }
    assert_eq!(count, 180 + 210 + 241);
}

#[test]
fn wycheproof_signing_from_seeds() {
    let (mut signed, mut most) = (0, 0);
    for (name, mode) in [("44", 2), ("65", 3), ("87", 5)] {
        let Some(file) = vectors(&format!("wycheproof_mldsa_{name}_sign_seed_test.json")) else {
            return without_vectors();
        };
        for (group, case) in cases(&file) {
            let flags = case["flags"].as_array().unwrap();
            // The interface signs messages, deterministically.
            if flags
                .iter()
                .any(|flag| flag == "Randomized" || flag == "Internal")
            {
                continue;
            }
            let seed = hex_of(group, "privateSeed");
            if seed.len() != 32 {
                // A bytes32 cannot be of another length.
                assert_eq!(case["result"], "invalid");
                continue;
            }
            let label = format!("{name}, case {}: {}", case["tcId"], case["comment"]);
            let (pk, sk) = key_gen(mode, &seed);
            assert_eq!(pk, hex_of(group, "publicKey"), "{label}");
            let (message, context) = (hex_of(case, "msg"), hex_of(case, "ctx"));
            if context.len() > 255 {
                assert_eq!(case["result"], "invalid", "{label}");
                let arguments = IMLDSA::signWithContextCall {
                    sk: sk.into(),
                    message: message.into(),
                    context: context.into(),
                };
                let refusal = refused(&call(&arguments.abi_encode()));
                assert_eq!(
                    refusal,
                    ("LimitExceeded(uint256,uint256)", MINIMUM_GAS),
                    "{label}"
                );
                continue;
            }
            assert_eq!(case["result"], "valid", "{label}");
            let (signature, attempts) = sign(sk, message, context);
            assert_eq!(signature, hex_of(case, "sig"), "{label}");
            signed += 1;
            most = most.max(attempts);
        }
    }
    assert_eq!(signed, 87);
    // The vectors flagged ManySteps need very many attempts; the charge follows.
    assert_eq!(most, 34);
}
