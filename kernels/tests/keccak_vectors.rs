//! The official vectors of SHA-3, SHAKE and the original Keccak, on every CPU level, as batches of unequal messages.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::vectors::{bytes, folder, list};
use pars_kernels::{
    cpu::Level,
    keccak::{Sponge, keccak256},
};
use serde_json::Value;
use std::collections::BTreeMap;

const FILES: [(&str, Sponge); 8] = [
    ("sha3_224", Sponge::SHA3_224),
    ("sha3_256", Sponge::SHA3_256),
    ("sha3_384", Sponge::SHA3_384),
    ("sha3_512", Sponge::SHA3_512),
    ("shake_128", Sponge::SHAKE128),
    ("shake_256", Sponge::SHAKE256),
    ("keccak_256", Sponge::KECCAK256),
    ("keccak_512", Sponge::KECCAK512),
];

/// A message and its digest.
type Case = (Vec<u8>, Vec<u8>);

fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

fn file(name: &str) -> Option<Value> {
    let Some(folder) = folder() else {
        eprintln!("vectors absent: {name} not checked (set PARS_VECTORS to their folder)");
        return None;
    };
    let text = std::fs::read(folder.join("hash").join(format!("{name}.json"))).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}

#[test]
fn known_messages_in_one_batch() {
    for (name, sponge) in FILES {
        let Some(vectors) = file(name) else { continue };
        // Messages of one output length share a batch.
        let mut batches: BTreeMap<usize, Vec<Case>> = BTreeMap::new();
        for group in ["short", "long", "variable_out"] {
            for case in vectors.get(group).map(list).unwrap_or_default() {
                let mut message = bytes(&case["msg"]);
                if let Some(bits) = case["len"].as_str() {
                    message.truncate(bits.parse::<usize>().unwrap() / 8);
                }
                let output = bytes(case.get("md").unwrap_or(&case["out"]));
                batches
                    .entry(output.len())
                    .or_default()
                    .push((message, output));
            }
        }
        let mut cases = 0;
        for (length, batch) in batches {
            // Cut in two at a different place each time: a message is the concatenation of its parts.
            let parts: Vec<[&[u8]; 2]> = batch
                .iter()
                .enumerate()
                .map(|(i, (message, _))| {
                    let (a, b) = message.split_at((i * 37) % (message.len() + 1));
                    [a, b]
                })
                .collect();
            for level in levels() {
                let mut outputs = vec![0; length * batch.len()];
                sponge.hash_many_at(level, &parts, &mut outputs);
                for ((message, expected), got) in batch.iter().zip(outputs.chunks(length)) {
                    assert_eq!(got, expected, "{name} {level}, {} bytes", message.len());
                }
            }
            if sponge == Sponge::KECCAK256 {
                for (message, expected) in &batch {
                    assert_eq!(keccak256(message)[..], expected[..], "{name}, alone");
                }
            }
            cases += batch.len();
        }
        println!("{name}: {cases} cases");
        assert!(cases >= 80);
    }
}

/// The Monte Carlo tests of the fixed-length functions: each output is the next message.
#[test]
fn monte_carlo() {
    for (name, sponge) in &FILES[..4] {
        let Some(vectors) = file(name) else { continue };
        let monte = &vectors["monte"];
        let checkpoints = monte
            .get("checkpoints")
            .or_else(|| monte.get("md"))
            .map(list)
            .unwrap();
        for level in levels() {
            let mut digest = bytes(&monte["seed"]);
            for (i, expected) in checkpoints.iter().take(10).enumerate() {
                for _ in 0..1000 {
                    let mut next = vec![0; digest.len()];
                    sponge.hash_many_at(level, &[[&digest, &[]]], &mut next);
                    digest = next;
                }
                let expected = bytes(expected.get("md").unwrap_or(expected));
                assert_eq!(digest, expected, "{name} {level}, checkpoint {i}");
            }
        }
    }
}
