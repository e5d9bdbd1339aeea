use super::*;
use crate::poseidon::MerklePath;
use std::collections::HashSet;

/// Elements that look random, the same in every run.
fn elements(count: usize, seed: u64) -> Vec<Fr> {
    let mut value = Fr::from_u64(seed.wrapping_mul(2) + 3).power(&[7, 11, 13, 17]);
    (0..count)
        .map(|_| {
            value = value.square() + Fr::from_u64(seed);
            value
        })
        .collect()
}

/// Numbers that look random, the same in every run.
fn numbers(count: usize, below: u64, seed: u64) -> Vec<u64> {
    elements(count, seed)
        .iter()
        .map(|element| element.montgomery()[0] % below)
        .collect()
}

/// The definition: every place written down, node after node.
fn naive(instance: Instance, depth: u32, filler: Fr, leaves: &[Fr]) -> Fr {
    let mut nodes = leaves.to_vec();
    nodes.resize(1 << depth, filler);
    while nodes.len() > 1 {
        nodes = nodes
            .chunks(2)
            .map(|pair| instance.compress(pair[0], pair[1]))
            .collect();
    }
    nodes[0]
}

#[test]
fn every_way_to_a_root_gives_the_naive_one() {
    for instance in Instance::ALL {
        for count in (0..20).chain([31, 32, 33, 100]) {
            let leaves = elements(count, 5);
            let shape = Shape::for_leaves(instance, count as u64).unwrap();
            assert!(shape.places() >= count as u64 && (shape.places() / 2) < count.max(1) as u64);
            for (depth, filler) in [(shape.depth(), Fr::ZERO), (7, Fr::from_u64(99))] {
                let shape = Shape::with_filler(instance, depth, filler).unwrap();
                let root = naive(instance, depth, filler, &leaves);
                let case = format!("{instance}, {count} leaves, depth {depth}");
                assert_eq!(
                    shape.root_of(leaves.iter().copied(), |_| ()),
                    Ok(root),
                    "{case}"
                );
                let tree = Tree::build(shape.clone(), leaves.clone(), |_| ()).unwrap();
                assert_eq!(tree.root(), root, "{case}");
                let mut grown = Tree::new(shape.clone());
                let mut stream = RootBuilder::new(shape);
                for part in leaves.chunks(3) {
                    grown.append(part).unwrap();
                    stream.push(part).unwrap();
                }
                assert_eq!(stream.root(), root, "{case}");
                assert_eq!(grown, tree, "{case}");
            }
            if count.is_power_of_two() {
                assert_eq!(
                    instance.merkle_root(&leaves),
                    Ok(naive(instance, count.ilog2(), Fr::ZERO, &leaves))
                );
            }
        }
    }
}

#[test]
fn long_streams_and_trees_agree() {
    let instance = Instance::Poseidon2;
    for count in [1023, 1024, 1025, 5000] {
        let leaves = elements(count, 8);
        let shape = Shape::for_leaves(instance, count as u64).unwrap();
        let root = naive(instance, shape.depth(), Fr::ZERO, &leaves);
        let tree = Tree::build(shape.clone(), leaves.clone(), |_| ()).unwrap();
        assert_eq!(tree.root(), root);
        for chunk in [1, 700, 1024, 4000] {
            let mut stream = RootBuilder::new(shape.clone());
            for part in leaves.chunks(chunk) {
                stream.push(part).unwrap();
            }
            assert_eq!(stream.root(), root, "{count} leaves by {chunk}");
            assert_eq!(stream.leaves(), count as u64);
        }
        // A root may be taken on the way.
        let deep = Shape::new(instance, 20).unwrap();
        let mut stream = RootBuilder::new(deep.clone());
        stream.push(&leaves[..count / 2]).unwrap();
        let half = Tree::build(deep.clone(), leaves[..count / 2].to_vec(), |_| ()).unwrap();
        assert_eq!(stream.root(), half.root());
        stream.push(&leaves[count / 2..]).unwrap();
        assert_eq!(
            stream.root(),
            Tree::build(deep, leaves, |_| ()).unwrap().root()
        );
    }
}

/// Parts on threads of the caller's, put together: as a stream of roots, and as trees.
#[test]
fn subtrees_of_several_threads_make_one_tree() {
    let instance = Instance::Circom;
    let (height, leaves) = (10, elements(3 * 1024 + 77, 4));
    let shape = Shape::for_leaves(instance, leaves.len() as u64).unwrap();
    let part = Shape::new(instance, height).unwrap();
    let trees: Vec<Tree> = std::thread::scope(|scope| {
        let workers: Vec<_> = leaves
            .chunks(1 << height)
            .map(|leaves| {
                let part = part.clone();
                scope.spawn(move || Tree::build(part, leaves.to_vec(), |_| ()).unwrap())
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect()
    });
    let whole = Tree::build(shape.clone(), leaves.clone(), |_| ()).unwrap();
    let mut stream = RootBuilder::new(shape.clone());
    for tree in &trees[..3] {
        stream.push_subtree(height, tree.root()).unwrap();
    }
    stream.push(&leaves[3 * 1024..]).unwrap();
    assert_eq!(stream.root(), whole.root());
    let mut swapped = trees.clone();
    assert_eq!(Tree::join(shape.clone(), trees), Ok(whole));
    // A subtree that is not full stands last.
    swapped.swap(2, 3);
    assert_eq!(
        Tree::join(shape.clone(), swapped),
        Err(TreeError::Mixed { at: 2 })
    );
    let other = Tree::new(Shape::with_filler(instance, height, Fr::ONE).unwrap());
    assert_eq!(
        Tree::join(shape.clone(), vec![other]),
        Err(TreeError::Mixed { at: 0 })
    );
    let deep = Tree::new(Shape::new(instance, 13).unwrap());
    assert_eq!(
        Tree::join(shape.clone(), vec![deep]),
        Err(TreeError::Mixed { at: 0 })
    );
    assert_eq!(Tree::join(shape.clone(), vec![]), Ok(Tree::new(shape)));
}

#[test]
fn scattered_updates_equal_a_rebuild() {
    let instance = Instance::Gnark;
    let mut leaves = elements(333, 6);
    let shape = Shape::new(instance, 12).unwrap();
    let mut tree = Tree::build(shape.clone(), leaves.clone(), |_| ()).unwrap();
    for (round, count) in [(1, 1), (2, 7), (3, 64), (4, 333)] {
        let mut places = numbers(count, 333, round);
        places.sort_unstable();
        places.dedup();
        // Not in order.
        places.reverse();
        let changes: Vec<(u64, Fr)> = places
            .into_iter()
            .zip(elements(count, round + 50))
            .collect();
        for (index, leaf) in &changes {
            leaves[*index as usize] = *leaf;
        }
        let hashed = tree.update(&changes).unwrap();
        assert_eq!(
            tree,
            Tree::build(shape.clone(), leaves.clone(), |_| ()).unwrap()
        );
        // Each node above a changed leaf once.
        let above = |height: u32| {
            let nodes: HashSet<u64> = changes.iter().map(|(index, _)| index >> height).collect();
            nodes.len() as u64
        };
        assert_eq!(hashed, (1..=12).map(above).sum::<u64>());
    }
    let before = tree.clone();
    let (one, two) = ((3, Fr::ONE), (333, Fr::ONE));
    assert_eq!(
        tree.update(&[one, one]),
        Err(TreeError::Repeated { index: 3 })
    );
    assert_eq!(
        tree.update(&[one, two]),
        Err(TreeError::Index {
            index: 333,
            end: 333
        })
    );
    assert_eq!(tree.update(&[]), Ok(0));
    assert_eq!(tree, before);
}

#[test]
fn paths_are_those_that_verification_takes() {
    for instance in Instance::ALL {
        let leaves = elements(11, 2);
        let tree = Tree::build(Shape::new(instance, 5).unwrap(), leaves, |_| ()).unwrap();
        for index in 0..32 {
            let siblings = tree.path(index).unwrap();
            let path = MerklePath {
                root: tree.root(),
                leaf: tree.node(0, index),
                index,
                siblings: &siblings,
            };
            assert!(instance.verify_path(&path), "{instance} {index}");
        }
        assert_eq!(tree.path(32), Err(TreeError::Index { index: 32, end: 32 }));
    }
}

#[test]
fn proofs_of_many_leaves_hold_and_damaged_ones_do_not() {
    let instance = Instance::Poseidon2;
    let mut trees = Vec::new();
    for (count, depth) in [(1, 0), (2, 1), (13, 4), (100, 7), (100, 10)] {
        let shape = Shape::new(instance, depth).unwrap();
        trees.push(Tree::build(shape, elements(count, depth.into()), |_| ()).unwrap());
    }
    let mut proofs = Vec::new();
    for (at, tree) in trees.iter().enumerate() {
        for (seed, count) in [(1, 1), (2, 2), (3, 5), (4, 40)] {
            let mut indices = numbers(count, tree.shape().places(), seed);
            indices.sort_unstable();
            indices.dedup();
            indices.reverse();
            proofs.push((at, tree.multi_proof(&indices).unwrap()));
        }
    }
    // All leaves need no sibling; one leaf needs a path.
    let all: Vec<u64> = (0..16).collect();
    assert!(trees[2].multi_proof(&all).unwrap().siblings().is_empty());
    assert_eq!(
        trees[4].multi_proof(&[70]).unwrap().siblings(),
        trees[4].path(70).unwrap()
    );

    let claim = |(at, proof): &(usize, MultiProof)| {
        (trees[*at].root(), trees[*at].shape().depth(), proof.clone())
    };
    let held: Vec<_> = proofs.iter().map(claim).collect();
    let mut damaged = Vec::new();
    for (root, depth, proof) in &held {
        damaged.push((*root + Fr::ONE, *depth, proof.clone()));
        damaged.push((*root, depth + 1, proof.clone()));
        for n in 0..proof.leaves.len() {
            let mut other = proof.clone();
            other.leaves[n].1 += Fr::ONE;
            damaged.push((*root, *depth, other));
        }
        for n in 0..proof.siblings.len() {
            let mut other = proof.clone();
            other.siblings[n] += Fr::ONE;
            damaged.push((*root, *depth, other));
        }
        if proof.siblings.len() > 1 {
            let mut other = proof.clone();
            other.siblings.reverse();
            damaged.push((*root, *depth, other));
        }
    }
    // Good and bad side by side.
    let mixed: Vec<_> = held
        .iter()
        .zip(&damaged)
        .flat_map(|(a, b)| [a, b])
        .collect();
    let claims = |list: &[&(Fr, u32, MultiProof)]| {
        let list: Vec<_> = list
            .iter()
            .map(|(root, depth, proof)| ProofClaim {
                root: *root,
                depth: *depth,
                proof,
            })
            .collect();
        instance.verify_proofs(&list)
    };
    assert!(
        claims(&held.iter().collect::<Vec<_>>())
            .iter()
            .all(|right| *right)
    );
    assert!(
        claims(&damaged.iter().collect::<Vec<_>>())
            .iter()
            .all(|right| !right)
    );
    let verdicts = claims(&mixed);
    assert!(verdicts.iter().step_by(2).all(|right| *right));
    assert!(verdicts.iter().skip(1).step_by(2).all(|right| !right));
    assert!(
        trees[3]
            .shape()
            .verify(trees[3].root(), &trees[3].multi_proof(&[8, 3]).unwrap())
    );

    assert_eq!(
        trees[3].multi_proof(&[]),
        Err(TreeError::ProofSize { leaves: 0 })
    );
    assert_eq!(
        trees[3].multi_proof(&[1, 1]),
        Err(TreeError::Repeated { index: 1 })
    );
    assert_eq!(
        trees[3].multi_proof(&[128]),
        Err(TreeError::Index {
            index: 128,
            end: 128
        })
    );
}

#[test]
fn proofs_have_one_form_in_bytes() {
    let shape = Shape::new(Instance::Circom, 9).unwrap();
    let tree = Tree::build(shape, elements(400, 1), |_| ()).unwrap();
    let proof = tree.multi_proof(&[3, 77, 78, 200]).unwrap();
    let bytes = proof.to_bytes();
    assert_eq!(MultiProof::from_bytes(&bytes).as_ref(), Ok(&proof));
    let parts = |depth, leaves: &[(u64, Fr)], siblings: &[Fr]| {
        MultiProof::new(depth, leaves.to_vec(), siblings.to_vec())
    };
    assert_eq!(
        parts(9, proof.leaves(), proof.siblings()),
        Ok(proof.clone())
    );

    for length in 0..bytes.len() {
        let error = MultiProof::from_bytes(&bytes[..length]).unwrap_err();
        assert!(
            matches!(error, ProofError::Length { .. }),
            "{length}: {error}"
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(matches!(
        MultiProof::from_bytes(&longer),
        Err(ProofError::Length { .. })
    ));
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        MultiProof::from_bytes(&bytes)
    };
    assert_eq!(with(0, 33), Err(ProofError::Depth { depth: 33 }));
    assert_eq!(with(4, 0), Err(ProofError::Leaves { leaves: 0 }));
    assert_eq!(
        with(1, 1),
        Err(ProofError::Leaves {
            leaves: (1 << 24) + 4
        })
    );
    // Index 3 becomes 77 or 512: not in order, or outside.
    assert_eq!(with(12, 77), Err(ProofError::Index { at: 1 }));
    assert_eq!(with(5 + 3 * 40 + 6, 2), Err(ProofError::Index { at: 3 }));
    assert_eq!(with(13, 0xff), Err(ProofError::NotCanonical { at: 13 }));
    let siblings = 5 + 4 * 40;
    assert_eq!(
        with(siblings, 0xff),
        Err(ProofError::NotCanonical { at: siblings })
    );
    let fewer = &proof.siblings()[1..];
    let expected = proof.siblings().len();
    assert_eq!(
        parts(9, proof.leaves(), fewer),
        Err(ProofError::Siblings {
            given: expected - 1,
            expected
        })
    );
    assert_eq!(parts(9, &[], &[]), Err(ProofError::Leaves { leaves: 0 }));
    assert_eq!(
        parts(40, proof.leaves(), &[]),
        Err(ProofError::Depth { depth: 40 })
    );
}

#[test]
fn limits_are_errors_and_progress_ends_at_its_total() {
    let instance = Instance::Gnark;
    assert_eq!(
        Shape::new(instance, 33),
        Err(TreeError::Depth { depth: 33 })
    );
    assert_eq!(
        Shape::for_leaves(instance, u64::MAX),
        Err(TreeError::Depth { depth: 64 })
    );
    assert_eq!(Shape::for_leaves(instance, 1 << 32).unwrap().depth(), 32);
    let shape = Shape::new(instance, 2).unwrap();
    let five = elements(5, 1);
    let full = TreeError::Full { leaves: 5, most: 4 };
    assert_eq!(shape.root_of(five.iter().copied(), |_| ()), Err(full));
    assert_eq!(Tree::build(shape.clone(), five.clone(), |_| ()), Err(full));
    let mut tree = Tree::build(shape.clone(), five[..3].to_vec(), |_| ()).unwrap();
    let before = tree.clone();
    assert_eq!(tree.append(&five[..2]), Err(full));
    assert_eq!(tree, before);

    let mut stream = RootBuilder::new(Shape::new(instance, 12).unwrap());
    stream.push(&five).unwrap();
    assert_eq!(
        stream.push_subtree(10, Fr::ONE),
        Err(TreeError::Unaligned {
            height: 10,
            leaves: 5,
            least: 10
        })
    );
    assert_eq!(
        stream.push_subtree(70, Fr::ONE),
        Err(TreeError::Full {
            leaves: u64::MAX,
            most: 4096
        })
    );
    let mut stream = RootBuilder::new(Shape::new(instance, 12).unwrap());
    assert!(matches!(
        stream.push_subtree(9, Fr::ONE),
        Err(TreeError::Unaligned { .. })
    ));
    stream.push_subtree(12, Fr::from_u64(7)).unwrap();
    assert_eq!(stream.root(), Fr::from_u64(7));

    let mut seen = Vec::new();
    let shape = Shape::new(instance, 13).unwrap();
    Tree::build(shape.clone(), elements(3000, 1), |progress| {
        seen.push(progress)
    })
    .unwrap();
    assert!(seen.windows(2).all(|pair| pair[0].done < pair[1].done));
    let last = seen.last().unwrap();
    assert!(seen.len() > 3 && last.done == last.total && last.total == 3000 + 3);
    let mut taken = Vec::new();
    shape
        .root_of(elements(3000, 1), |leaves| taken.push(leaves))
        .unwrap();
    assert_eq!(taken, [1024, 2048, 3000]);
}
