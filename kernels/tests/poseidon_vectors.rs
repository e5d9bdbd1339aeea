//! Poseidon and Poseidon2 over BN254: published answers, modes, trees and bad input, on every CPU level.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::zk::{number, numbers};
use pars_kernels::{
    cpu::Level,
    field::{Fr, NotCanonical},
    poseidon::{InputError, Instance, MerklePath},
};

fn levels() -> Vec<Level> {
    Level::ALL
        .into_iter()
        .filter(|level| level.is_available())
        .collect()
}

/// Elements that look random, the same in every run.
fn elements(count: usize, seed: u64) -> Vec<Fr> {
    let mut value = Fr::from_u64(seed + 3).power(&[7, 11, 13, 17]);
    (0..count)
        .map(|_| {
            value = value.square() + Fr::from_u64(seed);
            value
        })
        .collect()
}

#[test]
fn circomlib_answers() {
    // circomlib's own test: poseidon([1, 2]).
    let known = number("0x115cc0f5e7d690413df64c6b9662e9cf2a3617f2743245519e19607a4417189a");
    let hash = Instance::Circom.hash(&[Fr::from_u64(1), Fr::from_u64(2)]);
    assert_eq!(hash, Ok(known));

    let Some(file) = common::zk::file("poseidon_bn254_circom.json") else {
        return;
    };
    let cases = common::vectors::list(&file["hash"]);
    let inputs: Vec<Vec<Fr>> = cases.iter().map(|case| numbers(&case["inputs"])).collect();
    let expected: Vec<Fr> = cases
        .iter()
        .map(|case| number(case["hash"].as_str().unwrap()))
        .collect();
    assert!(cases.len() > 100);
    let lists: Vec<&[Fr]> = inputs.iter().map(Vec::as_slice).collect();
    for level in levels() {
        assert_eq!(
            Instance::Circom.hash_many_at(level, &lists).unwrap(),
            expected,
            "{level}"
        );
        for case in cases {
            let mut state = [&[Fr::ZERO][..], &numbers(&case["inputs"])].concat();
            let width = state.len();
            Instance::Circom
                .permute_many_at(level, width, &mut state)
                .unwrap();
            assert_eq!(state, numbers(&case["state_out"]), "{level}, width {width}");
        }
        for case in common::vectors::list(&file["with_initial_state"]) {
            let start = number(case["initial_state"].as_str().unwrap());
            let mut state = [&[start][..], &numbers(&case["inputs"])].concat();
            let width = state.len();
            Instance::Circom
                .permute_many_at(level, width, &mut state)
                .unwrap();
            assert_eq!(state, numbers(&case["state_out"]), "{level}, width {width}");
        }
    }
}

#[test]
fn eip_5988_permutations() {
    let Some(file) = common::zk::file("eip5988_poseidon_permutations.json") else {
        return;
    };
    let mut checked = 0;
    for case in common::vectors::list(&file) {
        if !case["name"].as_str().unwrap().contains("_254_") {
            continue;
        }
        checked += 1;
        for level in levels() {
            let mut state = numbers(&case["input"]);
            let width = state.len();
            Instance::Circom
                .permute_many_at(level, width, &mut state)
                .unwrap();
            assert_eq!(state, numbers(&case["output"]), "{level}, width {width}");
        }
    }
    assert_eq!(checked, 2);
}

#[test]
fn poseidon2_answers() {
    // The authors' test: the permutation of 0, 1, 2.
    let known = [
        "0x0bb61d24daca55eebcb1929a82650f328134334da98ea4f847f760054f4a3033",
        "0x303b6f7c86d043bfcbcc80214f26a30277a15d3f74ca654992defe7ff8d03570",
        "0x1ed25194542b12eef8617361c3ba7c52e660b145994427cc86296242cf766ec8",
    ];
    let mut state = [0, 1, 2].map(Fr::from_u64);
    Instance::Poseidon2.permute(&mut state).unwrap();
    assert_eq!(state, known.map(number));

    let Some(file) = common::zk::file("poseidon2_bn254_3_horizenlabs.json") else {
        return;
    };
    let cases = common::vectors::list(&file["tests"]);
    let inputs: Vec<Fr> = cases
        .iter()
        .flat_map(|case| numbers(&case["input"]))
        .collect();
    let expected: Vec<Fr> = cases
        .iter()
        .flat_map(|case| numbers(&case["output"]))
        .collect();
    for level in levels() {
        let mut states = inputs.clone();
        Instance::Poseidon2
            .permute_many_at(level, 3, &mut states)
            .unwrap();
        assert_eq!(states, expected, "{level}");
    }
}

#[test]
fn gnark_answers() {
    // No vectors are published for this width; these come from an independent program of the published procedure.
    let compressed = number("0x02e7529d93e1a7ae526147c2ee72588aee90e6a7c3e361de6daa6be045c6f530");
    let hashed = number("0x2217b2961d96ae36f9f7701ccfaae198e00d7246805f514f8edb13f7f73699bc");
    let permuted = [
        "0x1cea81d812c4552760b21d75d1fd4c11e43e3f60c67632e7e38f656236378e5d",
        "0x1ae0efd28c01163c0a58440757ef2339affb17836ad3b1fedacabeaab56ca0e1",
    ];
    let [one, two, three] = [1, 2, 3].map(Fr::from_u64);
    for level in levels() {
        let mut state = [Fr::ZERO, one];
        Instance::Gnark
            .permute_many_at(level, 2, &mut state)
            .unwrap();
        assert_eq!(state, permuted.map(number), "{level}");
        assert_eq!(
            Instance::Gnark.compress_many_at(level, &[[one, two]]),
            [compressed]
        );
        assert_eq!(
            Instance::Gnark.hash_many_at(level, &[&[one, two, three]]),
            Ok(vec![hashed])
        );
    }
}

#[test]
fn the_sponge_is_the_permutation_block_by_block() {
    let inputs = elements(5, 1);
    let mut state = [Fr::ZERO, Fr::ZERO, Fr::from_limbs([0, 5, 0, 0]).unwrap()];
    for block in inputs.chunks(2) {
        for (word, input) in state.iter_mut().zip(block) {
            *word += *input;
        }
        Instance::Poseidon2.permute(&mut state).unwrap();
    }
    assert_eq!(Instance::Poseidon2.hash(&inputs), Ok(state[0]));

    let mut empty = [Fr::ZERO; 3];
    Instance::Poseidon2.permute(&mut empty).unwrap();
    assert_eq!(Instance::Poseidon2.hash(&[]), Ok(empty[0]));

    // Zeros behind a list and compression of two are other hashes.
    let [a, b] = [inputs[0], inputs[1]];
    let hash = |list: &[Fr]| Instance::Poseidon2.hash(list).unwrap();
    assert_ne!(hash(&[a]), hash(&[a, Fr::ZERO]));
    assert_ne!(hash(&[a, b]), Instance::Poseidon2.compress(a, b));
}

#[test]
fn batches_of_every_size_equal_one_by_one() {
    let pool = elements(60, 2);
    let edges = [Fr::ZERO, Fr::ONE, -Fr::ONE, -Fr::from_u64(2)];
    let pool = [&edges[..], &pool].concat();
    for instance in Instance::ALL {
        let (least, most) = instance.inputs();
        for size in [0, 1, 2, 7, 8, 9, 17] {
            let lists: Vec<&[Fr]> = (0..size)
                .map(|i| &pool[i..i + (least + 3 * i % 13).min(most)])
                .collect();
            let alone: Vec<Fr> = lists
                .iter()
                .map(|list| instance.hash_many_at(Level::Portable, &[*list]).unwrap()[0])
                .collect();
            for level in levels() {
                assert_eq!(
                    instance.hash_many_at(level, &lists).unwrap(),
                    alone,
                    "{instance} {level} {size}"
                );
            }
            let pairs: Vec<[Fr; 2]> = (0..size).map(|i| [pool[i], pool[60 - i]]).collect();
            let alone: Vec<Fr> = pairs
                .iter()
                .map(|pair| instance.compress_many_at(Level::Portable, &[*pair])[0])
                .collect();
            for level in levels() {
                assert_eq!(
                    instance.compress_many_at(level, &pairs),
                    alone,
                    "{instance} {level} {size}"
                );
            }
        }
    }
}

#[test]
fn compression_is_the_hash_of_two_where_the_instance_says_so() {
    let [a, b] = [Fr::from_u64(7), -Fr::from_u64(9)];
    assert_eq!(
        Ok(Instance::Circom.compress(a, b)),
        Instance::Circom.hash(&[a, b])
    );
    let first = Instance::Gnark.compress(Fr::ZERO, a);
    assert_eq!(
        Ok(Instance::Gnark.compress(first, b)),
        Instance::Gnark.hash(&[a, b])
    );
}

#[test]
fn trees_and_paths() {
    for instance in Instance::ALL {
        let leaves = elements(16, 3);
        // Level by level, by hand.
        let mut tree = vec![leaves.clone()];
        while tree.last().unwrap().len() > 1 {
            let next = tree
                .last()
                .unwrap()
                .chunks(2)
                .map(|pair| instance.compress(pair[0], pair[1]))
                .collect();
            tree.push(next);
        }
        let root = tree[4][0];
        for level in levels() {
            assert_eq!(
                instance.merkle_root_at(level, &leaves),
                Ok(root),
                "{instance} {level}"
            );
        }
        assert_eq!(instance.merkle_root(&leaves[..1]), Ok(leaves[0]));

        let siblings: Vec<Vec<Fr>> = (0..16)
            .map(|i: usize| (0..4).map(|depth| tree[depth][i >> depth ^ 1]).collect())
            .collect();
        let mut paths: Vec<MerklePath<'_>> = (0..16)
            .map(|i| MerklePath {
                root,
                leaf: leaves[i],
                index: i as u64,
                siblings: &siblings[i],
            })
            .collect();
        // A path of the empty tree, one from a node, then each way to be wrong.
        let good = paths[5];
        let inner = MerklePath {
            leaf: tree[2][1],
            index: 1,
            siblings: &siblings[5][2..],
            ..good
        };
        paths.extend([
            MerklePath {
                root: good.leaf,
                index: 0,
                siblings: &[],
                ..good
            },
            inner,
        ]);
        let right = paths.len();
        let long = [Fr::ZERO; 65];
        paths.extend([
            MerklePath { index: 4, ..good },
            MerklePath {
                index: 5 + 16,
                ..good
            },
            MerklePath {
                index: u64::MAX,
                ..good
            },
            MerklePath {
                leaf: good.leaf + Fr::ONE,
                ..good
            },
            MerklePath {
                root: root + Fr::ONE,
                ..good
            },
            MerklePath {
                siblings: &good.siblings[..3],
                ..good
            },
            MerklePath {
                siblings: &siblings[4],
                ..good
            },
            MerklePath {
                siblings: &long,
                ..good
            },
            MerklePath {
                siblings: &long[..64],
                ..good
            },
        ]);
        let expected: Vec<bool> = (0..paths.len()).map(|i| i < right).collect();
        for level in levels() {
            assert_eq!(
                instance.verify_paths_at(level, &paths),
                expected,
                "{instance} {level}"
            );
        }
        assert!(instance.verify_path(&good));
    }
}

#[test]
fn a_path_of_sixty_four_steps_is_checked() {
    let siblings = elements(64, 4);
    let index = 0xdead_beef_0123_4567;
    let mut node = Fr::from_u64(1);
    for (depth, sibling) in siblings.iter().enumerate() {
        node = if index >> depth & 1 == 0 {
            Instance::Poseidon2.compress(node, *sibling)
        } else {
            Instance::Poseidon2.compress(*sibling, node)
        };
    }
    assert!(Instance::Poseidon2.verify_path(&MerklePath {
        root: node,
        leaf: Fr::from_u64(1),
        index,
        siblings: &siblings,
    }));
}

#[test]
fn bad_input_is_an_error() {
    let modulus =
        hex::decode("30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001").unwrap();
    let modulus: [u8; 32] = modulus.try_into().unwrap();
    for bytes in [modulus, [0xff; 32]] {
        assert!(matches!(
            Fr::from_bytes_be(&bytes),
            Err(NotCanonical { .. })
        ));
    }
    for (instance, counts) in [
        (Instance::Circom, [0, 17]),
        (Instance::Poseidon2, [257, 1000]),
        (Instance::Gnark, [0, 257]),
    ] {
        for given in counts {
            let error = instance.hash(&elements(given, 5)).unwrap_err();
            assert!(
                matches!(error, InputError::Count { given: said, .. } if said == given),
                "{error}"
            );
        }
        for width in [0, 1, 18] {
            let mut state = elements(width, 6);
            let before = state.clone();
            assert!(matches!(
                instance.permute(&mut state),
                Err(InputError::Width { .. })
            ));
            assert_eq!(state, before);
        }
        let mut ragged = elements(7, 7);
        let width = instance.widths().0;
        assert!(instance.permute_many(width, &mut ragged).is_err());
        for leaves in [0, 3, 12] {
            let error = instance.merkle_root(&elements(leaves, 8)).unwrap_err();
            assert_eq!(error, InputError::Leaves { given: leaves });
        }
        assert_eq!(Instance::from_id(instance.id()), Some(instance));
    }
    assert_eq!(Instance::from_id(3), None);
}
