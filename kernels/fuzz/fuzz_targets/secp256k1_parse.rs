//! Whatever the bytes, parsing gives a value or an error; what DER parsing takes is the one encoding of its value; and verdicts do
//! not depend on the level.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pars_kernels::{
    cpu::Level,
    ring::{
        Members,
        lsag_secp256k1::{Job, verify_batch_at},
    },
    secp256k1::{RecoverJob, Signature, ecdsa, recover_batch_at},
};

/// The DER encoding of an integer.
fn integer(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(31);
    let mut digits = number[start..].to_vec();
    if digits[0] >= 0x80 {
        digits.insert(0, 0);
    }
    [&[2, digits.len() as u8], &digits[..]].concat()
}

fuzz_target!(|data: &[u8]| {
    if let Ok(signature) = Signature::from_der(data) {
        let bytes = signature.to_bytes();
        let body = [integer(&bytes[..32]), integer(&bytes[32..])].concat();
        assert_eq!([&[0x30, body.len() as u8], &body[..]].concat(), data);
    }
    if let Ok(job) = RecoverJob::from_precompile_input(data) {
        let keys = recover_batch_at(Level::Portable, &[&job]);
        assert_eq!(keys, recover_batch_at(Level::Avx512, &[&job]));
        if let Some(key) = keys[0] {
            // What was recovered is a key under which the signature is valid.
            let check = ecdsa::VerifyJob::new(&key.to_compressed(), job.hash(), *job.signature());
            assert_eq!(ecdsa::verify_batch_at(Level::Portable, &[&check.unwrap()]), [true]);
        }
    }
    if let Some((first, rest)) = data.split_first() {
        let (members, signature) = rest.split_at(rest.len().min(33 * usize::from(first % 9)));
        let members: Vec<&[u8]> = members.chunks(33).collect();
        if let Ok(job) = Job::new(&members, b"message", signature) {
            let verdict = verify_batch_at(Level::Portable, &[&job], &Members::new(0));
            assert_eq!(verdict, verify_batch_at(Level::Avx512, &[&job], &Members::new(0)));
        }
    }
});
