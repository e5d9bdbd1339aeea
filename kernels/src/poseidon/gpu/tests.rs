use super::*;
use crate::poseidon::{known_answers, tree::Shape};

/// A device that does nothing gives no hash.
#[test]
fn noop_hashes_nothing() {
    let device = Device::noop().unwrap();
    let mut hasher = BatchHasher::new(&device).unwrap();
    for (instance, pair, _) in known_answers() {
        let error = hasher.compress_many(instance, &[pair; 3]).unwrap_err();
        assert!(
            matches!(
                error,
                HashError::Unfinished {
                    missing: 3,
                    states: 3,
                    ..
                }
            ),
            "{error}"
        );
        if instance != Instance::Circom {
            let lists: [&[Fr]; 2] = [&pair, &pair[..1]];
            let error = hasher.hash_many(instance, &lists).unwrap_err();
            assert!(matches!(error, HashError::Unfinished { .. }), "{error}");
        }
        let path = MerklePath {
            root: Fr::ZERO,
            leaf: Fr::ZERO,
            index: 1,
            siblings: &pair,
        };
        // No verdict at all, and no "false".
        let error = hasher.verify_paths(instance, &[path]).unwrap_err();
        assert!(matches!(error, HashError::Unfinished { .. }), "{error}");
    }
}

/// A tree whose levels were not hashed has no root, whatever leaves went up, and none after an update that did nothing.
#[test]
fn noop_grows_no_tree() {
    let device = Device::noop().unwrap();
    let mut hasher = BatchHasher::new(&device).unwrap();
    for count in [1, 3, 8] {
        let shape = Shape::new(Instance::Gnark, 3).unwrap();
        let mut tree = DeviceTree::new(&mut hasher, shape, 8).unwrap();
        assert!(tree.root().is_ok(), "the root of no leaves is known");
        tree.append(&vec![Fr::ONE; count]).unwrap();
        for error in [
            tree.root().unwrap_err(),
            tree.nodes(1, 0..1).unwrap_err(),
            tree.path(0).unwrap_err(),
            tree.update(&[(0, Fr::ZERO)]).unwrap_err(),
        ] {
            assert!(matches!(error, HashError::Unfinished { .. }), "{error}");
        }
    }
    // A lone leaf is its own root; a new value that was not written is missed.
    let shape = Shape::new(Instance::Gnark, 0).unwrap();
    let mut tree = DeviceTree::new(&mut hasher, shape, 1).unwrap();
    tree.append(&[Fr::ONE]).unwrap();
    assert_eq!(tree.root(), Ok(Fr::ONE));
    tree.update(&[(0, Fr::ZERO)]).unwrap();
    assert!(matches!(tree.root(), Err(HashError::Unfinished { .. })));
}

#[test]
fn limits_of_trees_are_errors() {
    let device = Device::noop().unwrap();
    let mut hasher = BatchHasher::new(&device).unwrap();
    let shape = Shape::new(Instance::Gnark, 3).unwrap();
    let full = |leaves| HashError::Tree(TreeError::Full { leaves, most: 8 });
    let error = DeviceTree::new(&mut hasher, shape.clone(), 9).unwrap_err();
    assert_eq!(error, full(9));
    let deep = Shape::new(Instance::Gnark, 30).unwrap();
    let error = DeviceTree::new(&mut hasher, deep, 1 << 25).unwrap_err();
    assert!(
        matches!(error, HashError::Tree(TreeError::Memory { .. })),
        "{error}"
    );
    let mut tree = DeviceTree::new(&mut hasher, shape, 8).unwrap();
    tree.append(&[Fr::ONE; 5]).unwrap();
    assert_eq!(tree.append(&[Fr::ONE; 4]), Err(full(9)));
    assert_eq!(tree.len(), 5);
    let twice = [(1, Fr::ONE), (1, Fr::ZERO)];
    assert_eq!(
        tree.update(&twice),
        Err(TreeError::Repeated { index: 1 }.into())
    );
    let outside = [(5, Fr::ONE)];
    assert_eq!(
        tree.update(&outside),
        Err(TreeError::Index { index: 5, end: 5 }.into())
    );
    assert_eq!(
        tree.path(8),
        Err(TreeError::Index { index: 8, end: 8 }.into())
    );
    assert_eq!(
        tree.nodes(1, 0..5),
        Err(TreeError::Index { index: 4, end: 4 }.into())
    );
}

#[test]
fn a_lost_device_is_an_error() {
    let device = Device::noop().unwrap();
    let mut hasher = BatchHasher::new(&device).unwrap();
    let shape = Shape::new(Instance::Gnark, 3).unwrap();
    let mut tree = DeviceTree::new(&mut hasher, shape.clone(), 8).unwrap();
    tree.append(&[Fr::ONE; 2]).unwrap();
    let pending = hasher
        .submit_pairs(Instance::Gnark, &[[Fr::ONE; 2]])
        .unwrap();
    device.destroy();
    let error = hasher.collect(pending).unwrap_err();
    assert!(
        matches!(error, HashError::Gpu(GpuError::Lost { .. })),
        "{error}"
    );
    let error = hasher
        .compress_many(Instance::Gnark, &[[Fr::ONE; 2]])
        .unwrap_err();
    assert!(
        matches!(error, HashError::Gpu(GpuError::Lost { .. })),
        "{error}"
    );
    assert!(matches!(
        BatchHasher::new(&device),
        Err(GpuError::Lost { .. })
    ));
    for error in [
        tree.root().unwrap_err(),
        tree.append(&[Fr::ONE]).unwrap_err(),
    ] {
        let lost = matches!(error, HashError::Gpu(GpuError::Lost { .. }));
        assert!(lost, "{error}");
    }
}

#[test]
fn words_that_are_no_element_are_no_result() {
    assert_eq!(element(&[0; 32]), Some(Fr::ZERO));
    assert_eq!(element(&[0xff; 32]), None);
}

#[test]
fn bad_input_is_an_error() {
    let device = Device::noop().unwrap();
    let mut hasher = BatchHasher::new(&device).unwrap();
    let states = [Fr::ZERO; 18];
    for (instance, width, len) in [
        (Instance::Circom, 3, 4),
        (Instance::Poseidon2, 2, 2),
        (Instance::Circom, 18, 18),
    ] {
        let error = hasher
            .permute_many(instance, width, &states[..len])
            .unwrap_err();
        assert!(
            matches!(error, HashError::Input(InputError::Width { .. })),
            "{error}"
        );
    }
    let lists: [&[Fr]; 2] = [&[Fr::ONE], &[]];
    let error = hasher.hash_many(Instance::Circom, &lists).unwrap_err();
    let count = matches!(error, HashError::Input(InputError::Count { given: 0, .. }));
    assert!(count, "{error}");
    let error = hasher
        .merkle_root(Instance::Gnark, &states[..3])
        .unwrap_err();
    assert_eq!(error, HashError::Input(InputError::Leaves { given: 3 }));
    assert_eq!(hasher.permute_many(Instance::Circom, 3, &[]), Ok(vec![]));
}
