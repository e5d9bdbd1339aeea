//! Poseidon2 over small fields in an engine: on the CPU, on every adapter, and on devices that fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/everywhere.rs"]
mod everywhere;

use everywhere::devices_that_fail_change_no_answer;
use pars_engine::{
    Engine, EngineBuilder, GpuPolicy, SmallCompress, SmallHash, SmallPair, SmallRow,
};
use pars_kernels::poseidon::small::{Instance, StateError};

fn builder() -> EngineBuilder {
    Engine::builder()
        .without_standard_kernels()
        .small_poseidon2()
}

/// Words below the modulus that look random, the same in every run.
fn words(instance: Instance, count: usize, seed: usize) -> Vec<u64> {
    let p = u128::from(instance.modulus());
    let mut value = seed as u128 + 7;
    let mut next = || {
        value = (value * value + 3) % p;
        u64::try_from(value).unwrap()
    };
    (0..count).map(|_| next()).collect()
}

/// What a call of the kernels gives for one job.
fn digest(instance: Instance, words: &[u64], pair: bool) -> Box<[u64]> {
    if instance.modulus() >> 32 == 0 {
        let words: Vec<u32> = words
            .iter()
            .map(|word| u32::try_from(*word).unwrap())
            .collect();
        let digest = match pair {
            true => instance.compress_many(&words),
            false => instance.hash_rows(words.len(), &words),
        };
        digest.unwrap().into_iter().map(u64::from).collect()
    } else {
        let digest = match pair {
            true => instance.compress_many(words),
            false => instance.hash_rows(words.len(), words),
        };
        digest.unwrap().into()
    }
}

/// Both kernels with mixed batches, against calls of the library.
fn ask(engine: &Engine, count: usize) {
    let mut rows = Vec::new();
    let mut pairs = Vec::new();
    let mut expected = [Vec::new(), Vec::new()];
    for at in 0..count {
        let instance = Instance::ALL[at % 5];
        let row = words(instance, 1 + at * 3 % 20, at);
        let pair = words(instance, 2 * instance.digest_words(), at);
        expected[0].push(digest(instance, &row, false));
        expected[1].push(digest(instance, &pair, true));
        rows.push(SmallRow::new(instance, row).unwrap());
        pairs.push(SmallPair::new(instance, pair).unwrap());
    }
    let digests = engine.call_many_blocking::<SmallHash>(rows).unwrap();
    assert_eq!(digests, expected[0]);
    let digests = engine.call_many_blocking::<SmallCompress>(pairs).unwrap();
    assert_eq!(digests, expected[1]);
}

#[test]
fn the_cpu_answers_mixed_batches() {
    let engine = builder().gpu(GpuPolicy::Off).build().unwrap();
    ask(&engine, 500);
}

#[cfg(feature = "gpu")]
#[test]
fn every_adapter_answers_mixed_batches() {
    let names = ["poseidon2-small/hash", "poseidon2-small/compress"];
    let memory = 2 * (2 << 20);
    everywhere::every_adapter_answers(builder(), &names, |_| true, memory, &[1, 150], ask);
}

#[test]
fn devices_that_fail_leave_every_answer_right() {
    devices_that_fail_change_no_answer(builder, |engine| ask(engine, 40));
}

#[test]
fn jobs_that_cannot_be_are_errors() {
    let p = Instance::KoalaBear16.modulus();
    let large = StateError::NotCanonical { at: 1, modulus: p };
    assert_eq!(SmallRow::new(Instance::KoalaBear16, [0, p]), Err(large));
    assert!(SmallRow::new(Instance::Goldilocks8, []).is_err());
    let short = StateError::Ragged {
        words: 15,
        width: 16,
    };
    assert_eq!(SmallPair::new(Instance::KoalaBear16, [0; 15]), Err(short));
    assert!(SmallPair::new(Instance::Goldilocks12, [u64::MAX; 8]).is_err());
}
