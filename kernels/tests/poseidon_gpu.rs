//! Poseidon shaders on every adapter of this machine: the bits of the CPU, in all shapes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![cfg(feature = "gpu")]

mod common;

use common::{devices, vectors, zk};
use pars_kernels::{
    field::Fr,
    gpu::{Device, ShaderChecks},
    poseidon::{
        Instance, MerklePath,
        gpu::{BatchHasher, CIRCOM_WIDTHS, DeviceTree, Tuning},
        known_answers,
        tree::{Shape, Tree},
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
    let Some(second) = zk::file("poseidon2_bn254_3_horizenlabs.json") else {
        return;
    };
    devices::each(|device| {
        let mut hasher = BatchHasher::new(device).unwrap();
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
            compare(&mut hasher, Instance::Circom, 8, count);
        }
    });
}

/// Both forms of limbs that the device has.
fn forms(device: &Device) -> Vec<Tuning> {
    let best = Tuning::of(device);
    let mut narrow = best;
    narrow.wide = false;
    let mut forms = vec![best];
    forms.extend(best.wide.then_some(narrow));
    forms
}

/// All of circomlib's widths in both forms: the official answers, and states at the edges of the field.
#[test]
fn every_width_gives_the_official_answers() {
    let circom = zk::file("poseidon_bn254_circom.json");
    devices::each(|device| {
        for tuning in forms(device) {
            let mut hasher = BatchHasher::with_tuning(device, tuning).unwrap();
            for width in CIRCOM_WIDTHS {
                compare(&mut hasher, Instance::Circom, width, 9);
                let Some(circom) = &circom else { continue };
                let cases = vectors::list(&circom["hash"]);
                let cases: Vec<_> = cases.iter().filter(|case| case["t"] == width).collect();
                assert!(!cases.is_empty(), "no case of width {width}");
                let states: Vec<Fr> = cases
                    .iter()
                    .flat_map(|case| [vec![Fr::ZERO], zk::numbers(&case["inputs"])].concat())
                    .collect();
                let expected: Vec<Fr> = cases
                    .iter()
                    .flat_map(|case| zk::numbers(&case["state_out"]))
                    .collect();
                let found = hasher.permute_many(Instance::Circom, width, &states);
                assert_eq!(found, Ok(expected), "{tuning:?}, width {width}");
            }
            // Widths that share a shader keep their constants apart.
            for width in [6, 17, 7] {
                compare(&mut hasher, Instance::Circom, width, 70);
            }
        }
    });
}

/// Lists of every length side by side, in submissions of many and of few.
#[test]
fn lists_of_unequal_lengths_equal_the_cpu() {
    devices::each(|device| {
        let mut few = Tuning::of(device);
        few.threads = 32;
        few.reverse = true;
        few.max_batch = 40;
        for tuning in [Tuning::of(device), few] {
            let mut hasher = BatchHasher::with_tuning(device, tuning).unwrap();
            let all = elements(256, 3);
            let lengths = [3, 0, 1, 2, 17, 256, 4, 5, 255, 64, 1, 2, 2, 7];
            for (instance, least, most) in [
                (Instance::Poseidon2, 0, 256),
                (Instance::Gnark, 1, 64),
                (Instance::Circom, 1, 3),
            ] {
                let lists: Vec<&[Fr]> = lengths
                    .iter()
                    .filter(|length| (least..=most).contains(*length))
                    .map(|length| &all[..*length])
                    .collect();
                let found = hasher.hash_many(instance, &lists).unwrap();
                assert!(found == instance.hash_many(&lists).unwrap(), "{instance}");
                assert_eq!(hasher.hash_many(instance, &[]), Ok(vec![]));
            }
        }
    });
}

/// Right and wrong paths of every depth side by side.
#[test]
fn paths_get_the_verdicts_of_the_cpu() {
    devices::each(|device| {
        let mut hasher = BatchHasher::new(device).unwrap();
        for instance in Instance::ALL {
            let siblings = elements(64, 8);
            let leaf = Fr::from_u64(5);
            // The root that a path leads to, by the CPU.
            let climb = |index: u64, siblings: &[Fr]| {
                (0..).zip(siblings).fold(leaf, |node, (depth, sibling)| {
                    if index >> depth & 1 == 0 {
                        instance.compress(node, *sibling)
                    } else {
                        instance.compress(*sibling, node)
                    }
                })
            };
            let mut paths = Vec::new();
            for (index, depth) in [
                (0, 0),
                (1, 1),
                (0, 1),
                (5, 3),
                (0x9abc_def0_1234_5678, 64),
                (1 << 40, 41),
                (9, 20),
            ] {
                let siblings = &siblings[..depth];
                let right = MerklePath {
                    root: climb(index, siblings),
                    leaf,
                    index,
                    siblings,
                };
                paths.push((right, true));
                let mut wrong = right;
                wrong.root += Fr::ONE;
                paths.push((wrong, false));
                let mut wrong = right;
                wrong.leaf += Fr::ONE;
                paths.push((wrong, false));
                if depth > 0 {
                    let mut wrong = right;
                    wrong.index ^= 1 << (depth - 1);
                    paths.push((wrong, false));
                    let mut wrong = right;
                    wrong.siblings = &siblings[1..];
                    paths.push((wrong, false));
                }
                if depth < 64 {
                    let mut wrong = right;
                    wrong.index |= 1 << depth;
                    paths.push((wrong, false));
                }
            }
            let (paths, expected): (Vec<_>, Vec<_>) = paths.into_iter().unzip();
            assert_eq!(instance.verify_paths(&paths), expected, "{instance}");
            let found = hasher.verify_paths(instance, &paths);
            assert_eq!(found, Ok(expected), "{instance}");
        }
    });
}

/// Batches in flight at once keep apart.
#[test]
fn batches_are_submitted_before_the_first_is_collected() {
    devices::each(|device| {
        let instance = Instance::Poseidon2;
        let mut hasher = BatchHasher::new(device).unwrap();
        let pairs: Vec<[Fr; 2]> = elements(80, 1).as_chunks::<2>().0.to_vec();
        let lists: Vec<&[Fr]> = pairs.iter().map(|pair| &pair[..1]).collect();
        let first = hasher.submit_pairs(instance, &pairs).unwrap();
        let second = hasher.submit_lists(instance, &lists).unwrap();
        let third = hasher.submit_pairs(instance, &pairs[..3]).unwrap();
        let hashes = instance.hash_many(&lists).unwrap();
        assert_eq!(hasher.collect(second), Ok(hashes));
        let nodes = instance.compress_many(&pairs);
        assert_eq!(hasher.collect(third), Ok(nodes[..3].to_vec()));
        assert_eq!(hasher.collect(first), Ok(nodes));
    });
}

/// Root and every node of a tree on a device are those of the CPU's.
fn same(tree: &mut DeviceTree, expected: &Tree, case: &str) {
    assert_eq!(tree.root(), Ok(expected.root()), "{case}");
    let depth = expected.shape().depth();
    for height in 0..=depth {
        let end = 1 << (depth - height);
        let nodes: Vec<Fr> = (0..end).map(|at| expected.node(height, at)).collect();
        assert_eq!(tree.nodes(height, 0..end), Ok(nodes), "{case}, {height}");
    }
}

/// Grown by chunks, with small segments and dispatches, asked on the way, and updated in scattered places.
#[test]
fn trees_on_a_device_are_those_of_the_cpu() {
    devices::each(|device| {
        let mut small = Tuning::of(device);
        small.threads = 32;
        small.reverse = true;
        small.max_batch = 24;
        small.segment = 16;
        for (instance, tuning) in [
            (Instance::Poseidon2, small),
            (Instance::Poseidon2, Tuning::of(device)),
            (Instance::Gnark, small),
            (Instance::Circom, Tuning::of(device)),
        ] {
            let mut hasher = BatchHasher::with_tuning(device, tuning).unwrap();
            for (count, depth) in [(1, 0), (1, 4), (2, 1), (21, 5), (64, 6), (77, 9)] {
                let case = format!("{instance}, {count} leaves, depth {depth}, {tuning:?}");
                let shape = Shape::with_filler(instance, depth, Fr::from_u64(6)).unwrap();
                let leaves = elements(count, 7);
                let mut expected = Tree::new(shape.clone());
                let mut tree = DeviceTree::new(&mut hasher, shape, count as u64).unwrap();
                for (at, part) in leaves.chunks(19).enumerate() {
                    tree.append(part).unwrap();
                    expected.append(part).unwrap();
                    if at % 2 == 1 {
                        assert_eq!(tree.root(), Ok(expected.root()), "{case}");
                    }
                }
                same(&mut tree, &expected, &case);
                assert_eq!(tree.path(0), Ok(expected.path(0).unwrap()));
                let mut changes: Vec<(u64, Fr)> = (0..count as u64)
                    .filter(|at| at % 5 != 2)
                    .zip(elements(count, 11))
                    .collect();
                changes.reverse();
                tree.update(&changes).unwrap();
                expected.update(&changes).unwrap();
                same(&mut tree, &expected, &case);
            }
        }
        // A stream of more than one chunk, and leaves behind an update.
        let mut hasher = BatchHasher::with_tuning(device, small).unwrap();
        let shape = Shape::new(Instance::Poseidon2, 8).unwrap();
        let leaves = elements(100, 2);
        let mut expected = Tree::build(shape.clone(), leaves.clone(), |_| ()).unwrap();
        let mut seen = Vec::new();
        let stream = leaves.into_iter();
        let mut tree =
            DeviceTree::build(&mut hasher, shape, 128, stream, |leaves| seen.push(leaves)).unwrap();
        assert_eq!(seen, [24, 48, 72, 96, 100]);
        for (at, leaf) in [(99, Fr::ONE), (3, Fr::ZERO)] {
            tree.update(&[(at, leaf)]).unwrap();
            expected.update(&[(at, leaf)]).unwrap();
        }
        tree.append(&elements(28, 5)).unwrap();
        expected.append(&elements(28, 5)).unwrap();
        same(&mut tree, &expected, "a stream");
    });
}
