//! Official vectors of ECDSA, BIP-340 and recovery, at every level of this processor and on every adapter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::{
    backends::{Backends, levels},
    vectors::{bytes, folder, list},
};
use pars_kernels::secp256k1::{
    InputError, RecoverJob, Signature, ecdsa, hash_to_curve_at, recover_addresses_at, schnorr,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A JSON file of a folder of the vectors. Says so and gives nothing where the vectors are absent.
fn file(name: &str) -> Option<Value> {
    let Some(folder) = folder() else {
        eprintln!("vectors absent: {name} not checked (set PARS_VECTORS to their folder)");
        return None;
    };
    let path = folder.join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_slice(&text).unwrap())
}

/// Verifies jobs together on every back end; `None` is a job that the input check refused.
fn ecdsa_verdicts(jobs: &[Option<ecdsa::VerifyJob>], expected: &[bool], names: &[String]) {
    let present: Vec<&ecdsa::VerifyJob> = jobs.iter().flatten().collect();
    for (by, verdicts) in Backends::open().ecdsa(&present) {
        let mut verdicts = verdicts.into_iter();
        for ((job, expected), name) in jobs.iter().zip(expected).zip(names) {
            let verdict = job.is_some() && verdicts.next().unwrap();
            assert_eq!(verdict, *expected, "{by}: {name}");
        }
    }
}

/// All cases of a Wycheproof file; `parse` reads its form of a signature.
fn wycheproof(name: &str, cases: usize, parse: impl Fn(&[u8]) -> Option<Signature>) {
    let Some(file) = file(name) else { return };
    let (mut jobs, mut expected, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for group in list(&file["testGroups"]) {
        let key = bytes(&group["publicKey"]["uncompressed"]);
        for test in list(&group["tests"]) {
            let hash = Sha256::digest(bytes(&test["msg"])).into();
            let signature = parse(&bytes(&test["sig"]));
            // Each key in both forms, in turn.
            let short = [&[2 + (key[64] & 1)], &key[1..33]].concat();
            let key = if jobs.len() % 2 == 0 { &key } else { &short };
            jobs.push(signature.map(|s| ecdsa::VerifyJob::new(key, &hash, s).unwrap()));
            expected.push(test["result"] == "valid");
            names.push(format!("{} {}", test["tcId"], test["comment"]));
        }
    }
    assert_eq!(jobs.len(), cases);
    assert!(expected.iter().any(|valid| *valid) && expected.iter().any(|valid| !*valid));
    ecdsa_verdicts(&jobs, &expected, &names);
}

#[test]
fn wycheproof_p1363() {
    wycheproof(
        "classic/wycheproof_ecdsa_secp256k1_sha256_p1363_test.json",
        252,
        |bytes| Signature::from_bytes(bytes.try_into().ok()?).ok(),
    );
}

#[test]
fn wycheproof_bitcoin() {
    wycheproof(
        "classic/wycheproof_ecdsa_secp256k1_sha256_bitcoin_test.json",
        463,
        |bytes| Signature::from_der(bytes).ok().filter(Signature::is_low_s),
    );
}

/// Shared secrets, by recovery: of the hash zero, r the x of a point R and s = r d the key is d R.
#[test]
fn wycheproof_ecdh() {
    use k256::{
        Scalar,
        elliptic_curve::{PrimeField, bigint::U256, ops::Reduce},
    };
    let Some(file) = file("classic/wycheproof_ecdh_secp256k1_test.json") else {
        return;
    };
    // SubjectPublicKeyInfo of an uncompressed point on the named curve.
    let header = hex::decode("3056301006072a8648ce3d020106052b8104000a03420004").unwrap();
    let (mut jobs, mut shared) = (Vec::new(), Vec::new());
    for group in list(&file["testGroups"]) {
        for test in list(&group["tests"]) {
            let public = bytes(&test["public"]);
            let point = public.strip_prefix(&header[..]);
            let point = point.filter(|point| point.len() == 64);
            let (Some(point), true) = (point, test["result"] != "invalid") else {
                continue;
            };
            let (r, y) = point.split_first_chunk::<32>().unwrap();
            let digits = bytes(&test["private"]);
            let mut d = [0; 32];
            for (to, from) in d.iter_mut().rev().zip(digits.iter().rev()) {
                *to = *from;
            }
            let number = |bytes: [u8; 32]| <Scalar as Reduce<U256>>::reduce_bytes(&bytes.into());
            let s = (number(*r) * number(d)).to_repr().into();
            // Points with x from n up are no points of signatures.
            let Ok(signature) = Signature::new(r, &s) else {
                continue;
            };
            jobs.push(RecoverJob::new(&[0; 32], u64::from(y[31] & 1), signature).unwrap());
            shared.push(bytes(&test["shared"]));
        }
    }
    assert_eq!(jobs.len(), 126);
    let jobs: Vec<&RecoverJob> = jobs.iter().collect();
    for (by, keys) in Backends::open().recover(&jobs) {
        for (key, shared) in keys.iter().zip(&shared) {
            assert_eq!(key.unwrap().to_uncompressed()[..32], shared[..], "{by}");
        }
    }
}

#[test]
fn bip340() {
    let Some(file) = file("threshold/bip340.json") else {
        return;
    };
    let jobs: Vec<(schnorr::VerifyJob, bool)> = list(&file)
        .iter()
        .map(|test| {
            let key = bytes(&test["public key"]).try_into().unwrap();
            let signature = bytes(&test["signature"]).try_into().unwrap();
            let job = schnorr::VerifyJob::new(&key, &bytes(&test["message"]), &signature);
            (job, test["verification result"] == "TRUE")
        })
        .collect();
    assert_eq!(jobs.len(), 19);
    let list: Vec<&schnorr::VerifyJob> = jobs.iter().map(|(job, _)| job).collect();
    for (by, verdicts) in Backends::open().schnorr(&list) {
        assert_eq!(verdicts.len(), jobs.len());
        for (i, (verdict, (_, expected))) in verdicts.iter().zip(&jobs).enumerate() {
            assert_eq!(verdict, expected, "{by}: {i}");
        }
    }
}

#[test]
fn geth_recovery() {
    let Some(file) = file("evm-precompiles/geth_ecRecover.json") else {
        return;
    };
    let (mut jobs, mut addresses) = (Vec::new(), Vec::new());
    for test in list(&file) {
        let expected = bytes(&test["Expected"]);
        match RecoverJob::from_precompile_input(&bytes(&test["Input"])) {
            Ok(job) => {
                jobs.push(job);
                addresses.push(expected);
            }
            Err(_) => assert!(expected.is_empty(), "{}", test["Name"]),
        }
    }
    assert!(!jobs.is_empty());
    let jobs: Vec<&RecoverJob> = jobs.iter().collect();
    for (by, found) in Backends::open().addresses(&jobs) {
        assert_eq!(found.len(), jobs.len());
        for (found, expected) in found.iter().zip(&addresses) {
            let output = found.map_or(vec![], |address| [&[0; 12], &address[..]].concat());
            assert_eq!(output, *expected, "{by}");
        }
    }
}

/// A signature of a transaction on the main network (EIP-155's example), and the inputs that are refused before a batch.
#[test]
fn inputs_are_checked() {
    let number = |text: &str| -> [u8; 32] { hex::decode(text).unwrap().try_into().unwrap() };
    let hash = number("daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53");
    let r = number("28ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276");
    let s = number("67cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83");
    let signature = Signature::new(&r, &s).unwrap();
    assert!(signature.is_low_s());
    assert_eq!(signature.to_bytes()[..], [r, s].concat()[..]);
    let expected = hex::decode("9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f").unwrap();
    for v in [0, 27] {
        let job = RecoverJob::new(&hash, v, signature).unwrap();
        for level in levels() {
            assert_eq!(
                recover_addresses_at(level, &[&job])[0].unwrap()[..],
                expected[..]
            );
        }
    }
    for v in [2, 26, 29, 37, u64::MAX] {
        let error = RecoverJob::new(&hash, v, signature);
        assert_eq!(error, Err(InputError::RecoveryValue { given: v }));
    }
    let order = number("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
    for bad in [[0; 32], order, [0xff; 32]] {
        assert_eq!(
            Signature::new(&bad, &s),
            Err(InputError::Scalar { name: "r" })
        );
        assert_eq!(
            Signature::new(&r, &bad),
            Err(InputError::Scalar { name: "s" })
        );
    }
    let mut input = [&hash[..], &[0; 31], &[27], &r, &s].concat();
    assert!(RecoverJob::from_precompile_input(&input).is_ok());
    assert!(RecoverJob::from_precompile_input(&[]).is_err());
    assert!(RecoverJob::from_precompile_input(&input[..96]).is_err());
    input[62] = 1;
    assert!(RecoverJob::from_precompile_input(&input).is_err());
    input[62] = 0;
    input[63] = 0;
    assert!(
        RecoverJob::from_precompile_input(&input).is_err(),
        "parity is no v there"
    );

    let key =
        hex::decode("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798").unwrap();
    assert!(ecdsa::VerifyJob::new(&key, &hash, signature).is_ok());
    let refused = |key: &[u8]| ecdsa::VerifyJob::new(key, &hash, signature).unwrap_err();
    assert_eq!(refused(&key[..32]), InputError::KeyLength { given: 32 });
    assert_eq!(refused(&[]), InputError::KeyLength { given: 0 });
    assert_eq!(
        refused(&[4; 33]),
        InputError::KeyPrefix {
            length: 33,
            given: 4
        }
    );
    assert_eq!(
        refused(&[2; 65]),
        InputError::KeyPrefix {
            length: 65,
            given: 2
        }
    );
    assert_eq!(
        refused(&[[2].as_slice(), &[0xff; 32]].concat()),
        InputError::Coordinate
    );
    assert_eq!(
        refused(&[[4].as_slice(), &[1; 32], &[0xff; 32]].concat()),
        InputError::Coordinate
    );
}

#[test]
fn rfc9380_hash_to_curve() {
    let Some(file) = file("ring/rfc9380_secp256k1_RO.json") else {
        return;
    };
    let number = |value: &Value| hex::decode(&value.as_str().unwrap()[2..]).unwrap();
    let dst = file["dst"].as_str().unwrap().as_bytes();
    let tests = list(&file["vectors"]);
    assert_eq!(tests.len(), 5);
    let messages: Vec<&[u8]> = tests
        .iter()
        .map(|test| test["msg"].as_str().unwrap().as_bytes())
        .collect();
    for level in levels() {
        let points = hash_to_curve_at(level, &messages, dst);
        for (point, test) in points.iter().zip(tests) {
            let expected = [number(&test["P"]["x"]), number(&test["P"]["y"])].concat();
            assert_eq!(
                point.unwrap().to_uncompressed()[..],
                expected[..],
                "{level}"
            );
        }
    }
}

/// RFC 9380, appendix J.8.1: the messages "" and "abc".
#[test]
fn rfc9380_written_out() {
    let dst = b"QUUX-V01-CS02-with-secp256k1_XMD:SHA-256_SSWU_RO_";
    let expected = [
        "03c1cae290e291aee617ebaef1be6d73861479c48b841eaba9b7b5852ddfeb1346",
        "033377e01eab42db296b512293120c6cee72b6ecf9f9205760bd9ff11fb3cb2c4b",
    ];
    for level in levels() {
        let points = hash_to_curve_at(level, &[b"".as_slice(), b"abc"], dst);
        for (point, expected) in points.iter().zip(expected) {
            let last = point.unwrap().to_compressed();
            assert_eq!(hex::encode(&last[1..]), expected[2..]);
        }
    }
}
