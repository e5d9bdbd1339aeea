//! Poseidon shaders on every adapter of this machine: the bits of the CPU, in all shapes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![cfg(feature = "gpu")]

mod common;

use common::{devices, vectors, zk};
use pars_kernels::{
    field::Fr,
    gpu::ShaderChecks,
    poseidon::{
        Instance,
        gpu::{BatchHasher, CIRCOM_WIDTHS, Tuning},
        known_answers,
    },
};

/// Elements that look random, the same in every run, the edges of the field first.
fn elements(count: usize, seed: u64) -> Vec<Fr> {
    let mut value = Fr::from_u64(seed + 3).power(&[7, 11, 13, 17]);
    let edges = [
        Fr::ZERO,
        Fr::ONE,
        -Fr::ONE,
        -Fr::from_u64(2),
        -Fr::ONE,
        -Fr::ONE,
    ];
    let random = std::iter::repeat_with(|| {
        value = value.square() + Fr::from_u64(seed);
        value
    });
    edges.into_iter().chain(random).take(count).collect()
}

/// Permutes on the device and on the CPU.
fn compare(hasher: &mut BatchHasher, instance: Instance, width: usize, count: usize) {
    let states = elements(width * count, count as u64);
    let mut expected = states.clone();
    instance.permute_many(width, &mut expected).unwrap();
    let results = hasher.permute_many(instance, width, &states).unwrap();
    assert!(results == expected, "{instance}, {count} states of {width}");
}

#[test]
fn devices_give_the_known_answers() {
    devices::each(|device| {
        let mut hasher = BatchHasher::new(device).unwrap();
        for (instance, pair, expected) in known_answers() {
            assert_eq!(
                hasher.compress_many(instance, &[pair]),
                Ok(vec![expected]),
                "{instance}"
            );
        }
    });
}

#[test]
fn devices_give_the_official_answers() {
    let circom = zk::file("poseidon_bn254_circom.json");
    let second = zk::file("poseidon2_bn254_3_horizenlabs.json");
    let (Some(circom), Some(second)) = (circom, second) else {
        return;
    };
    devices::each(|device| {
        let mut hasher = BatchHasher::new(device).unwrap();
        for width in CIRCOM_WIDTHS {
            let cases = vectors::list(&circom["hash"]);
            let cases: Vec<_> = cases.iter().filter(|case| case["t"] == width).collect();
            let states: Vec<Fr> = cases
                .iter()
                .flat_map(|case| [vec![Fr::ZERO], zk::numbers(&case["inputs"])].concat())
                .collect();
            let expected: Vec<Fr> = cases
                .iter()
                .flat_map(|case| zk::numbers(&case["state_out"]))
                .collect();
            assert!(!expected.is_empty());
            assert_eq!(
                hasher.permute_many(Instance::Circom, width, &states),
                Ok(expected)
            );
        }
        let cases = vectors::list(&second["tests"]);
        let states: Vec<Fr> = cases
            .iter()
            .flat_map(|case| zk::numbers(&case["input"]))
            .collect();
        let expected: Vec<Fr> = cases
            .iter()
            .flat_map(|case| zk::numbers(&case["output"]))
            .collect();
        assert_eq!(
            hasher.permute_many(Instance::Poseidon2, 3, &states),
            Ok(expected)
        );
    });
}

#[test]
fn batches_of_every_size_equal_the_cpu() {
    devices::each(|device| {
        let mut hasher = BatchHasher::new(device).unwrap();
        for (instance, width) in [
            (Instance::Circom, 3),
            (Instance::Poseidon2, 3),
            (Instance::Gnark, 2),
        ] {
            for count in [1, 63, 64, 65, 300] {
                compare(&mut hasher, instance, width, count);
            }
            let leaves = elements(64, 9);
            assert_eq!(
                hasher.merkle_root(instance, &leaves).unwrap(),
                instance.merkle_root(&leaves).unwrap()
            );
        }
    });
}

#[test]
fn every_shape_gives_the_same_bits() {
    devices::each(|device| {
        let base = Tuning::of(device);
        let mut small = base;
        small.threads = 32;
        small.reverse = true;
        small.max_batch = 50;
        let mut narrow = base;
        narrow.wide = false;
        let mut checked = base;
        checked.checks = ShaderChecks::Checked;
        for (tuning, count) in [(small, 120), (narrow, 20), (checked, 20)] {
            let mut hasher = BatchHasher::with_tuning(device, tuning).unwrap();
            compare(&mut hasher, Instance::Circom, 3, count);
            compare(&mut hasher, Instance::Poseidon2, 3, count);
        }
    });
}

#[test]
fn other_widths_equal_the_cpu() {
    devices::each(|device| {
        let mut hasher = BatchHasher::new(device).unwrap();
        for width in [2, 4] {
            compare(&mut hasher, Instance::Circom, width, 9);
        }
    });
}
