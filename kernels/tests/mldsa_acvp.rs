//! NIST's ACVP vectors: sigVer on every backend; keyGen and sigGen through the `ml-dsa` crate, whose output must be
//! the vector's and must verify on every backend.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::{
    cases::{Case, check, set_named},
    prehash,
    signer::{Input, Signer, pure},
    vectors::{self, bytes, list},
};
use pars_kernels::mldsa::{Message, VerifyJob, known_answers};
use serde_json::Value;

/// What a test case signs.
enum Signed {
    Formatted(Vec<u8>),
    Mu([u8; 64]),
}

impl Signed {
    fn of(group: &Value, test: &Value) -> Self {
        let message = bytes(&test["message"]);
        let context = bytes(&test["context"]);
        let field = |name: &str| group[name].as_str().unwrap_or("none");
        match (field("signatureInterface"), field("preHash")) {
            ("external", "pure") => Self::Formatted(pure(&context, &message)),
            ("external", "preHash") => Self::Formatted(prehash::formatted(
                test["hashAlg"].as_str().unwrap(),
                &context,
                &message,
            )),
            ("internal", "none") if group["externalMu"] == true => {
                Self::Mu(bytes(&test["mu"]).try_into().unwrap())
            }
            ("internal", "none") => Self::Formatted(message),
            other => panic!("no such interface: {other:?}"),
        }
    }

    fn message(&self) -> Message<'_> {
        match self {
            Self::Formatted(message) => Message::Formatted {
                prefix: &[],
                message,
            },
            Self::Mu(mu) => Message::Mu(mu),
        }
    }

    fn input(&self) -> Input<'_> {
        match self {
            Self::Formatted(message) => Input::Formatted(message),
            Self::Mu(mu) => Input::Mu(mu),
        }
    }
}

/// Calls `each` with group and test, and checks the cases it makes.
fn run(file: &str, expected: usize, mut each: impl FnMut(&Value, &Value) -> Case) {
    let Some(json) = vectors::mldsa(file) else {
        return check_known_answers();
    };
    let mut cases = Vec::new();
    for group in list(&json["testGroups"]) {
        for test in list(&group["tests"]) {
            cases.push(each(group, test));
        }
    }
    assert_eq!(cases.len(), expected, "{file} has another number of cases");
    check(&cases);
}

/// What remains to be checked where the vectors are absent.
fn check_known_answers() {
    let cases: Vec<Case> = known_answers()
        .into_iter()
        .enumerate()
        .map(|(i, (job, valid))| Case {
            name: format!("known answer {i}"),
            job,
            valid,
        })
        .collect();
    assert!(!cases.is_empty());
    check(&cases);
}

fn name(kind: &str, group: &Value, test: &Value) -> String {
    format!(
        "{kind} {} group {} case {}",
        group["parameterSet"], group["tgId"], test["tcId"]
    )
}

#[test]
fn sig_ver() {
    run("acvp_sigver.json", 120, |group, test| {
        let signed = Signed::of(group, test);
        let job = VerifyJob::new(
            &bytes(&test["pk"]),
            signed.message(),
            &bytes(&test["signature"]),
        )
        .unwrap();
        assert_eq!(
            job.parameter_set(),
            set_named(group["parameterSet"].as_str().unwrap())
        );
        Case {
            name: format!("{} ({})", name("sigVer", group, test), test["reason"]),
            job,
            valid: test["testPassed"].as_bool().unwrap(),
        }
    });
}

#[test]
fn sig_gen() {
    run("acvp_siggen.json", 72, |group, test| {
        let set = set_named(group["parameterSet"].as_str().unwrap());
        let key = Signer::from_expanded(set, &bytes(&test["sk"]));
        let signed = Signed::of(group, test);
        let rnd = match test.get("rnd") {
            Some(rnd) => bytes(rnd).try_into().unwrap(),
            None => [0; 32],
        };
        assert_eq!(
            group["deterministic"].as_bool().unwrap(),
            test.get("rnd").is_none()
        );
        let signature = key.sign(signed.input(), &rnd);
        let name = name("sigGen", group, test);
        assert!(
            signature == bytes(&test["signature"]),
            "{name}: the signer's bytes differ"
        );
        Case {
            job: VerifyJob::new(&key.public_key, signed.message(), &signature).unwrap(),
            name,
            valid: true,
        }
    });
}

#[test]
fn key_gen() {
    run("acvp_keygen.json", 30, |group, test| {
        let set = set_named(group["parameterSet"].as_str().unwrap());
        let key = Signer::from_seed(set, &bytes(&test["seed"]).try_into().unwrap());
        let name = name("keyGen", group, test);
        assert!(
            key.public_key == bytes(&test["pk"]),
            "{name}: the public key differs"
        );
        assert!(
            key.secret_key == bytes(&test["sk"]),
            "{name}: the secret key differs"
        );
        let signature = key.sign_pure(b"", name.as_bytes());
        Case {
            job: VerifyJob::pure(&key.public_key, b"", name.as_bytes(), &signature).unwrap(),
            name,
            valid: true,
        }
    });
}
