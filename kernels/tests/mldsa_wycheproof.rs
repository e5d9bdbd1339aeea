//! Wycheproof: verification on every backend; signing from a seed through the `ml-dsa` crate, then verified.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::{
    cases::{Case, check, set_named},
    signer::{Input, Signer, pure},
    vectors::{self, bytes, list},
};
use pars_kernels::mldsa::{InputError, Message, ParameterSet, VerifyJob, known_answers};

/// The groups and tests of the three files of a kind.
fn files(
    kind: &str,
    mut each: impl FnMut(ParameterSet, &serde_json::Value, &serde_json::Value),
) -> bool {
    for name in ["44", "65", "87"] {
        let Some(json) = vectors::mldsa(&format!("wycheproof_mldsa_{name}_{kind}_test.json"))
        else {
            return false;
        };
        let set = set_named(json["algorithm"].as_str().unwrap());
        let mut count = 0;
        for group in list(&json["testGroups"]) {
            for test in list(&group["tests"]) {
                each(set, group, test);
                count += 1;
            }
        }
        assert_eq!(json["numberOfTests"], count);
    }
    true
}

#[test]
fn verify() {
    let mut cases = Vec::new();
    let mut refused = 0;
    let present = files("verify", |set, group, test| {
        let valid = test["result"] == "valid";
        let name = format!("{set} case {} ({})", test["tcId"], test["comment"]);
        let key = bytes(&group["publicKey"]);
        let job = VerifyJob::pure(
            &key,
            &bytes(&test["ctx"]),
            &bytes(&test["msg"]),
            &bytes(&test["sig"]),
        );
        let flag = |flag: &str| list(&test["flags"]).iter().any(|f| f == flag);
        match job {
            Ok(job) => cases.push(Case { name, job, valid }),
            Err(error) => {
                assert!(!valid, "{name}: {error}");
                match error {
                    InputError::PublicKeyLength { .. } => {
                        assert!(flag("IncorrectPublicKeyLength"), "{name}");
                    }
                    InputError::SignatureLength { .. } => {
                        // A key of another length than its file's may still be one of another set.
                        assert!(
                            flag("IncorrectSignatureLength") || flag("IncorrectPublicKeyLength"),
                            "{name}"
                        );
                    }
                    InputError::ContextTooLong { .. } => assert!(flag("InvalidContext"), "{name}"),
                }
                refused += 1;
            }
        }
    });
    if present {
        assert_eq!(cases.len() + refused, 180 + 210 + 241);
        assert!(cases.len() > 550, "{refused} cases refused at the border");
    } else {
        cases.extend(known_answers().into_iter().map(|(job, valid)| Case {
            name: "known answer".into(),
            job,
            valid,
        }));
    }
    eprintln!("{refused} cases refused at the border");
    check(&cases);
}

#[test]
fn sign_seed() {
    let mut cases = Vec::new();
    let mut refused = 0;
    let present = files("sign_seed", |set, group, test| {
        let name = format!("{set} case {} ({})", test["tcId"], test["comment"]);
        let valid = test["result"] == "valid";
        let (seed, context) = (bytes(&group["privateSeed"]), bytes(&test["ctx"]));
        let Ok(seed) = <[u8; 32]>::try_from(seed) else {
            assert!(!valid, "{name}");
            refused += 1;
            return;
        };
        if context.len() > 255 {
            assert!(!valid, "{name}");
            refused += 1;
            return;
        }
        assert!(valid, "{name}");
        let key = Signer::from_seed(set, &seed);
        assert!(
            key.public_key == bytes(&group["publicKey"]),
            "{name}: the public key differs"
        );
        let rnd = match test.get("rnd") {
            Some(rnd) => bytes(rnd).try_into().unwrap(),
            None => [0; 32],
        };
        let (signature, job) = if test.get("msg").is_some() {
            let message = pure(&context, &bytes(&test["msg"]));
            let signature = key.sign(Input::Formatted(&message), &rnd);
            let message = Message::Formatted {
                prefix: &[],
                message: &message,
            };
            let job = VerifyJob::new(&key.public_key, message, &signature);
            (signature, job)
        } else {
            let mu = bytes(&test["mu"]).try_into().unwrap();
            let signature = key.sign(Input::Mu(&mu), &rnd);
            let job = VerifyJob::new(&key.public_key, Message::Mu(&mu), &signature);
            (signature, job)
        };
        assert!(
            signature == bytes(&test["sig"]),
            "{name}: the signer's bytes differ"
        );
        cases.push(Case {
            name,
            job: job.unwrap(),
            valid: true,
        });
    });
    if present {
        assert_eq!((cases.len(), refused), (3 * 33, 3 * 4));
        check(&cases);
    }
}
