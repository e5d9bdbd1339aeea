//! Sponge, compression and Merkle trees of the small fields against Plonky3's, on every CPU level.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use p3_commit::Mmcs;
use p3_field::{Field, PrimeCharacteristicRing, PrimeField64};
use p3_matrix::dense::RowMajorMatrix;
use p3_merkle_tree::MerkleTreeMmcs;
use p3_symmetric::{
    CryptographicHasher, PaddingFreeSponge, PseudoCompressionFunction, TruncatedPermutation,
};
use pars_kernels::{
    cpu::Level,
    poseidon::small::{Instance, MAX_DEPTH, Path, StateError, Tree, Word},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

fn random(instance: Instance, count: usize) -> Vec<u64> {
    let mut rng = StdRng::seed_from_u64(count as u64);
    (0..count)
        .map(|_| rng.random_range(0..instance.modulus()))
        .collect()
}

fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

/// Compares an instance with the types that Plonky3 builds of the same permutation.
macro_rules! compare {
    ($instance:expr, $field:ty, $word:ty, $permutation:expr, $width:literal, $rate:literal, $digest:literal) => {{
        let instance = $instance;
        let theirs: fn(&[u64]) -> Vec<$field> =
            |words| words.iter().map(|word| <$field>::from_u64(*word)).collect();
        let ours: fn(&[u64]) -> Vec<$word> =
            |words| words.iter().map(|word| *word as $word).collect();
        let read: fn(&[$field]) -> Vec<$word> = |words| {
            let numbers = words.iter().map(|word| word.as_canonical_u64());
            numbers.map(|word| word as $word).collect()
        };
        let sponge = PaddingFreeSponge::<_, $width, $rate, $digest>::new($permutation);
        let node = TruncatedPermutation::<_, 2, $digest, $width>::new($permutation);
        assert_eq!((instance.rate(), instance.digest_words()), ($rate, $digest));
        for row in [1, $rate - 1, $rate, $rate + 1, 2 * $rate, 5 * $rate + 3] {
            for count in [1, 2, 19, 700] {
                let words = random(instance, row * count);
                let expected: Vec<$word> = words
                    .chunks(row)
                    .flat_map(|row| read(&sponge.hash_iter(theirs(row))))
                    .collect();
                for level in levels() {
                    let found = instance.hash_rows_at(level, row, &ours(&words)).unwrap();
                    assert!(found == expected, "{level}, {count} rows of {row}");
                }
            }
        }
        let pairs = random(instance, 41 * 2 * $digest);
        let expected: Vec<$word> = pairs
            .chunks(2 * $digest)
            .flat_map(|pair| {
                let (left, right) = pair.split_at($digest);
                let [left, right] = [left, right].map(|half| theirs(half).try_into().unwrap());
                read(&node.compress([left, right]))
            })
            .collect();
        for level in levels() {
            let found = instance.compress_many_at(level, &ours(&pairs)).unwrap();
            assert!(found == expected, "{level}");
        }
        type Packed = <$field as Field>::Packing;
        let mmcs = MerkleTreeMmcs::<Packed, Packed, _, _, 2, $digest>::new(sponge, node, 0);
        for (leaves, row) in [(1, 3), (2, 9), (128, 5)] {
            let words = random(instance, leaves * row);
            let matrix = RowMajorMatrix::new(theirs(&words), row);
            let (cap, data) = mmcs.commit_matrix(matrix);
            let tree = Tree::of_rows(instance, row, &ours(&words)).unwrap();
            assert_eq!(tree.root(), read(&cap[0]), "{leaves} leaves");
            let mut siblings = Vec::new();
            for index in 0..leaves {
                let proof = mmcs.open_batch(index, &data).opening_proof;
                let flat: Vec<$word> = proof.iter().flat_map(|node| read(node)).collect();
                assert_eq!(tree.siblings(index).as_ref(), Some(&flat), "{index}");
                siblings.push(flat);
            }
            paths(instance, &tree, &siblings);
        }
        refusals::<$word>(instance);
    }};
}

/// Paths of a tree, and damaged ones.
fn paths<W: Word>(instance: Instance, tree: &Tree<W>, siblings: &[Vec<W>]) {
    let leaves = siblings.len();
    let shallow = tree.leaf(0).unwrap();
    let other: Vec<W> = shallow.iter().rev().copied().collect();
    let mut claims = Vec::new();
    for (index, siblings) in siblings.iter().enumerate() {
        let good = Path {
            root: tree.root(),
            leaf: tree.leaf(index).unwrap(),
            index: index as u64,
            siblings,
        };
        claims.push((good, true));
        let outside = good.index + leaves as u64;
        for bad in [
            Path {
                root: &other,
                ..good
            },
            Path {
                leaf: &other,
                ..good
            },
            Path {
                index: outside,
                ..good
            },
            Path {
                index: u64::MAX,
                ..good
            },
        ] {
            claims.push((bad, false));
        }
        if leaves > 1 {
            let index = good.index ^ 1;
            claims.push((Path { index, ..good }, false));
        }
        // Of another depth: the leaf is its own root.
        let alone = Path {
            root: good.leaf,
            leaf: good.leaf,
            index: 0,
            siblings: &[],
        };
        claims.push((alone, true));
    }
    let (paths, expected): (Vec<_>, Vec<_>) = claims.into_iter().unzip();
    for level in levels() {
        let verdicts = instance.verify_paths_at(level, &paths).unwrap();
        assert!(verdicts == expected, "{level}, {leaves} leaves");
    }
}

fn refusals<W: Word>(instance: Instance) {
    let digest = instance.digest_words();
    let zeros = |count: usize| vec![W::default(); count];
    let ragged = |words, width| Err(StateError::Ragged { words, width });
    assert_eq!(instance.hash_rows(0, &zeros(4)), ragged(4, 0));
    assert_eq!(instance.hash_rows(5, &zeros(9)), ragged(9, 5));
    assert_eq!(instance.compress_many(&zeros(1)), ragged(1, 2 * digest));
    let three = StateError::Leaves { given: 3 };
    assert_eq!(instance.merkle_root(&zeros(3 * digest)), Err(three));
    let none = StateError::Leaves { given: 0 };
    assert_eq!(Tree::of_digests(instance, zeros(0)), Err(none));
    let (leaf, long) = (zeros(digest), zeros((MAX_DEPTH + 1) * digest));
    let path = Path {
        root: &leaf,
        leaf: &leaf,
        index: 0,
        siblings: &long,
    };
    let given = MAX_DEPTH + 1;
    assert_eq!(
        instance.verify_paths(&[path]),
        Err(StateError::Depth { given })
    );
    let empty = Path { leaf: &[], ..path };
    assert_eq!(
        instance.verify_paths(&[empty]),
        Err(StateError::Ragged {
            words: 0,
            width: digest
        })
    );
    let tree = Tree::of_digests(instance, zeros(4 * digest)).unwrap();
    assert_eq!((tree.leaf(4), tree.siblings(4)), (None, None));
}

#[test]
fn koalabear() {
    let permutation = p3_koala_bear::default_koalabear_poseidon2_16;
    compare!(
        Instance::KoalaBear16,
        p3_koala_bear::KoalaBear,
        u32,
        permutation(),
        16,
        8,
        8
    );
}

#[test]
fn babybear() {
    let permutation = p3_baby_bear::default_babybear_poseidon2_16;
    compare!(
        Instance::BabyBear16,
        p3_baby_bear::BabyBear,
        u32,
        permutation(),
        16,
        8,
        8
    );
}

#[test]
fn mersenne31() {
    let permutation = p3_mersenne_31::default_mersenne31_poseidon2_16;
    compare!(
        Instance::Mersenne31Width16,
        p3_mersenne_31::Mersenne31,
        u32,
        permutation(),
        16,
        8,
        8
    );
}

#[test]
fn goldilocks() {
    use p3_goldilocks::{
        Goldilocks, default_goldilocks_poseidon2_8, default_goldilocks_poseidon2_12,
    };
    let permutation = default_goldilocks_poseidon2_8;
    compare!(
        Instance::Goldilocks8,
        Goldilocks,
        u64,
        permutation(),
        8,
        4,
        4
    );
    let permutation = default_goldilocks_poseidon2_12;
    compare!(
        Instance::Goldilocks12,
        Goldilocks,
        u64,
        permutation(),
        12,
        8,
        4
    );
}
