//! Small-field Poseidon2 on every adapter: Plonky3's answers, and the definition on random states.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![cfg(feature = "gpu")]

mod common;

use common::{devices, vectors, zk};
use pars_kernels::{
    gpu::{Device, ShaderChecks},
    poseidon::{
        gpu::{GOLDILOCKS, HashError, SmallError, SmallHasher, SmallPoseidon2, Tuning},
        small::{Instance, Path, Tree, Word},
    },
};
use serde_json::Value;

/// Parameters and states with their permutations.
struct Case {
    name: &'static str,
    modulus: u64,
    exponent: u32,
    initial: Vec<u64>,
    partial: Vec<u64>,
    last: Vec<u64>,
    diagonal: Vec<u64>,
    tests: Vec<[Vec<u64>; 2]>,
}

/// A number, written as one or as text.
fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

/// The numbers of a list, or of a list of lists.
fn flat(list: &Value) -> Vec<u64> {
    vectors::list(list)
        .iter()
        .flat_map(|value| match value {
            Value::Array(inner) => inner.iter().map(number).collect(),
            value => vec![number(value)],
        })
        .collect()
}

fn cases() -> Vec<Case> {
    [
        "koalabear_16",
        "babybear_16",
        "mersenne31_16",
        "goldilocks_8",
        "goldilocks_12",
    ]
    .into_iter()
    .filter_map(|name| {
        let file = zk::file(&format!("poseidon2_{name}_plonky3.json"))?;
        let tests = vectors::list(&file["tests"]).iter();
        Some(Case {
            name,
            modulus: number(&file["modulus"]),
            exponent: u32::try_from(number(&file["sbox"])).unwrap(),
            initial: flat(&file["rc_external_initial"]),
            partial: flat(&file["rc_internal"]),
            last: flat(&file["rc_external_final"]),
            diagonal: flat(&file["internal_diag_minus_ones"]),
            tests: tests
                .map(|test| [flat(&test["input"]), flat(&test["output"])])
                .collect(),
        })
    })
    .collect()
}

/// An instance of this test's own, so that there is something to check without the vectors: constants by squaring.
fn own(modulus: u64, exponent: u32, width: usize) -> Case {
    let mut value = 7;
    let mut draw = |count: usize| -> Vec<u64> {
        (0..count)
            .map(|at| {
                let square = u128::from(value) * u128::from(value) + at as u128 + 11;
                value = u64::try_from(square % u128::from(modulus)).unwrap();
                value
            })
            .collect()
    };
    Case {
        name: "own",
        modulus,
        exponent,
        initial: draw(4 * width),
        partial: draw(9),
        last: draw(4 * width),
        diagonal: draw(width),
        tests: Vec::new(),
    }
}

impl Case {
    fn parameters(&self) -> SmallPoseidon2 {
        SmallPoseidon2::new(
            self.modulus,
            self.exponent,
            self.initial.clone(),
            self.partial.clone(),
            self.last.clone(),
            self.diagonal.clone(),
        )
        .unwrap()
    }

    /// The definition, with its matrices written out.
    fn permute(&self, state: &mut [u64]) {
        const M: [[u64; 4]; 4] = [[2, 3, 1, 1], [1, 2, 3, 1], [1, 1, 2, 3], [3, 1, 1, 2]];
        let t = state.len();
        let p = u128::from(self.modulus);
        let times = |state: &mut [u64], cell: &dyn Fn(usize, usize) -> u64| {
            let old = state.to_vec();
            for (i, word) in state.iter_mut().enumerate() {
                let terms = (0..t).map(|j| u128::from(cell(i, j)) * u128::from(old[j]) % p);
                *word = u64::try_from(terms.sum::<u128>() % p).unwrap();
            }
        };
        let outer = |i: usize, j: usize| M[i % 4][j % 4] * if i / 4 == j / 4 { 2 } else { 1 };
        let inner = |i: usize, j: usize| {
            if i == j {
                (self.diagonal[i] + 1) % self.modulus
            } else {
                1
            }
        };
        let power = |word: u64, constant: u64| {
            let x = (u128::from(word) + u128::from(constant)) % p;
            u64::try_from((1..self.exponent).fold(x, |y, _| y * x % p)).unwrap()
        };
        let full = |state: &mut [u64], constants: &[u64]| {
            for row in constants.chunks(t) {
                for (word, constant) in state.iter_mut().zip(row) {
                    *word = power(*word, *constant);
                }
                times(state, &outer);
            }
        };
        times(state, &outer);
        full(state, &self.initial);
        for constant in &self.partial {
            state[0] = power(state[0], *constant);
            times(state, &inner);
        }
        full(state, &self.last);
    }

    /// States at the edges of the field, then ones that look random.
    fn states(&self, count: usize) -> Vec<u64> {
        let t = self.diagonal.len();
        let top = self.modulus - 1;
        let low = [
            0xffff_ffff % self.modulus,
            0xffff_ffff_0000_0000 % self.modulus,
        ];
        let edges = [0, top, 1, top - 1, low[0], low[1], self.modulus / 2];
        let mut value = 3;
        let mut out: Vec<u64> = Vec::new();
        out.extend(vec![0; t]);
        out.extend(vec![top; t]);
        for at in out.len()..t * count {
            let square = u128::from(value) * u128::from(value) + at as u128;
            value = u64::try_from(square % u128::from(self.modulus)).unwrap();
            out.push(if at % 5 == 0 {
                edges[at / 5 % 7]
            } else {
                value
            });
        }
        out.truncate(t * count);
        out
    }

    /// Compares a device with the definition.
    fn compare(&self, device: &Device, tuning: Tuning, count: usize) {
        let mut hasher = SmallHasher::with_tuning(device, self.parameters(), tuning).unwrap();
        let mut states = self.states(count);
        let t = self.diagonal.len();
        let mut expected = states.clone();
        expected.chunks_mut(t).for_each(|state| self.permute(state));
        let found = hasher.permute_many(&states).unwrap();
        assert!(
            found == expected,
            "{}, {count} states, {tuning:?}",
            self.name
        );
        let digest = hasher.parameters().digest_words();
        let mut pairs = Vec::new();
        let mut nodes = Vec::new();
        for state in states.chunks_exact_mut(t) {
            pairs.extend_from_slice(&state[..2 * digest]);
            state[2 * digest..].fill(0);
            self.permute(state);
            nodes.extend_from_slice(&state[..digest]);
        }
        assert_eq!(hasher.compress_many(&pairs), Ok(nodes));
        for (at, [input, output]) in self.tests.iter().enumerate() {
            let found = hasher.permute_many(input);
            assert_eq!(found.as_ref(), Ok(output), "{}, test {at}", self.name);
        }
    }
}

#[test]
fn devices_give_plonky3s_answers() {
    let cases = cases();
    devices::each(|device| {
        for case in &cases {
            assert!(!case.tests.is_empty());
            case.compare(device, Tuning::of(device), 100);
        }
    });
}

#[test]
fn every_shape_gives_the_same_bits() {
    devices::each(|device| {
        let mut small = Tuning::of(device);
        small.threads = 32;
        small.reverse = true;
        small.max_batch = 50;
        let mut narrow = Tuning::of(device);
        narrow.wide = false;
        let mut checked = Tuning::of(device);
        checked.checks = ShaderChecks::Checked;
        for tuning in [small, narrow, checked] {
            own(0x7f00_0001, 3, 8).compare(device, tuning, 120);
            own(GOLDILOCKS, 5, 8).compare(device, tuning, 120);
        }
    });
}

/// Words of an instance that look random.
fn words(instance: Instance, count: usize) -> Vec<u64> {
    let p = u128::from(instance.modulus());
    let mut value = 9;
    (0..count as u128)
        .map(|at| {
            value = (value * value + at) % p;
            u64::try_from(value).unwrap()
        })
        .collect()
}

/// The CPU's digests of rows, its pairs and its trees, in words of 64 bits.
struct OnCpu<W>(Instance, fn(u64) -> W);

impl<W: Word> OnCpu<W> {
    fn narrow(&self, words: &[u64]) -> Vec<W> {
        words.iter().map(|word| (self.1)(*word)).collect()
    }

    fn wide(words: &[W]) -> Vec<u64> {
        words.iter().map(|word| word.number()).collect()
    }

    fn compare(&self, hasher: &mut SmallHasher) {
        let instance = self.0;
        let digest = instance.digest_words();
        assert_eq!(hasher.parameters().digest_words(), digest);
        for row in [1, instance.rate(), instance.rate() + 1, 3 * instance.rate()] {
            let rows = words(instance, 37 * row);
            let expected = instance.hash_rows(row, &self.narrow(&rows)).unwrap();
            let found = hasher.hash_rows(row, &rows).unwrap();
            assert_eq!(found, Self::wide(&expected), "{instance:?}, {row} words");
        }
        let pairs = words(instance, 66 * digest);
        let expected = instance.compress_many(&self.narrow(&pairs)).unwrap();
        assert_eq!(hasher.compress_many(&pairs), Ok(Self::wide(&expected)));

        for leaves in [1, 2, 64] {
            let rows = words(instance, leaves * 5);
            let tree = Tree::of_rows(instance, 5, &self.narrow(&rows)).unwrap();
            let levels = hasher.merkle_tree(5, &rows).unwrap();
            assert_eq!(levels.len(), tree.depth() + 1);
            let root = Self::wide(tree.root());
            assert_eq!(levels.last(), Some(&root), "{instance:?}, {leaves} leaves");
            assert_eq!(hasher.merkle_root(&levels[0]), Ok(root.clone()));
            let below = instance.merkle_root(&self.narrow(&levels[tree.depth() / 2]));
            assert_eq!(Self::wide(&below.unwrap()), root);

            // Right paths, then each part of one damaged, and an index outside the tree.
            let mut claims: Vec<[Vec<u64>; 3]> = Vec::new();
            let mut indices = Vec::new();
            for index in 0..leaves.min(9) {
                let leaf = Self::wide(tree.leaf(index).unwrap());
                let siblings = Self::wide(&tree.siblings(index).unwrap());
                claims.push([root.clone(), leaf, siblings]);
                indices.push(index as u64);
            }
            let good = claims[0].clone();
            for part in 0..3 {
                let mut bad = good.clone();
                if let Some(word) = bad[part].last_mut() {
                    *word = (*word + 1) % instance.modulus();
                    claims.push(bad);
                    indices.push(0);
                }
            }
            claims.push(good);
            indices.push(leaves as u64);
            let paths: Vec<Path<'_, u64>> = claims
                .iter()
                .zip(&indices)
                .map(|([root, leaf, siblings], index)| Path {
                    root,
                    leaf,
                    index: *index,
                    siblings,
                })
                .collect();
            let verdicts = hasher.verify_paths(&paths).unwrap();
            let right = leaves.min(9);
            let expected: Vec<bool> = (0..paths.len()).map(|at| at < right).collect();
            assert_eq!(verdicts, expected, "{instance:?}, {leaves} leaves");
        }
    }
}

#[test]
fn rows_trees_and_paths_are_those_of_the_cpu() {
    devices::each(|device| {
        let mut few = Tuning::of(device);
        few.threads = 32;
        few.reverse = true;
        few.max_batch = 10;
        for (instance, tuning) in [
            (Instance::KoalaBear16, Tuning::of(device)),
            (Instance::Mersenne31Width16, few),
            (Instance::Goldilocks8, few),
            (Instance::Goldilocks12, Tuning::of(device)),
        ] {
            let parameters = SmallPoseidon2::of(instance);
            let mut hasher = match SmallHasher::with_tuning(device, parameters, tuning) {
                Err(HashError::Small(SmallError::NeedsInt64)) => continue,
                hasher => hasher.unwrap(),
            };
            if instance.modulus() >> 32 == 0 {
                OnCpu(instance, |word| u32::try_from(word).unwrap()).compare(&mut hasher);
            } else {
                OnCpu(instance, |word| word).compare(&mut hasher);
            }
        }
    });
}

#[test]
fn bad_trees_and_paths_are_errors() {
    let device = Device::noop().unwrap();
    let parameters = SmallPoseidon2::of(Instance::BabyBear16);
    let mut hasher = SmallHasher::new(&device, parameters).unwrap();
    let leaves = SmallError::Leaves { given: 3 };
    assert_eq!(hasher.merkle_root(&[0; 24]), Err(leaves.into()));
    let empty = SmallError::States { words: 8, width: 0 };
    assert_eq!(hasher.hash_rows(0, &[0; 8]), Err(empty.into()));
    let path = |leaf, siblings| Path {
        root: &[0; 8],
        leaf,
        index: 0,
        siblings,
    };
    for (bad, error) in [
        (
            path(&[0; 7], &[]),
            SmallError::States { words: 7, width: 8 },
        ),
        (
            path(&[0; 8], &[0; 9]),
            SmallError::States { words: 9, width: 8 },
        ),
        (path(&[0; 8], &[0; 512]), SmallError::Depth { given: 64 }),
    ] {
        assert_eq!(hasher.verify_paths(&[bad]), Err(error.into()));
    }
    // A device that does nothing gives no verdict, no root and no tree.
    let good = path(&[0; 8], &[0; 16]);
    for error in [
        hasher.verify_paths(&[good]).unwrap_err(),
        hasher.merkle_root(&[0; 32]).unwrap_err(),
        hasher.merkle_tree(3, &[0; 12]).unwrap_err(),
    ] {
        assert!(matches!(error, HashError::Unfinished { .. }), "{error}");
    }
}

#[test]
fn bad_parameters_and_states_are_errors() {
    let with = |modulus, exponent, width| {
        let case = own(0x7f00_0001, 3, width);
        let Case {
            initial,
            partial,
            last,
            diagonal,
            ..
        } = case;
        SmallPoseidon2::new(modulus, exponent, initial, partial, last, diagonal)
    };
    let koala = 0x7f00_0001;
    assert!(with(koala, 3, 8).is_ok());
    for (modulus, exponent) in [(koala, 2), (koala + 1, 3), (1 << 40, 3), (1, 3)] {
        let field = SmallError::Field { modulus, exponent };
        assert_eq!(with(modulus, exponent, 8), Err(field));
    }
    for width in [4, 10, 28] {
        assert_eq!(with(koala, 3, width), Err(SmallError::Shape));
    }
    assert!(matches!(
        with(101, 3, 8),
        Err(SmallError::NotCanonical { .. })
    ));

    let device = Device::noop().unwrap();
    let parameters = own(koala, 3, 8).parameters();
    let mut hasher = SmallHasher::new(&device, parameters).unwrap();
    let states = SmallError::States { words: 9, width: 8 };
    assert_eq!(hasher.permute_many(&[0; 9]), Err(states.into()));
    let large = SmallError::NotCanonical { value: koala };
    assert_eq!(hasher.permute_many(&[koala; 8]), Err(large.into()));
    assert_eq!(hasher.permute_many(&[]), Ok(vec![]));
    // A device that does nothing gives no hash.
    let error = hasher.permute_many(&[0; 16]).unwrap_err();
    assert!(
        matches!(
            error,
            HashError::Unfinished {
                missing: 2,
                states: 2,
                ..
            }
        ),
        "{error}"
    );
    let wide = own(GOLDILOCKS, 7, 12).parameters();
    let error = SmallHasher::new(&device, wide).map(|_| ());
    assert_eq!(error, Err(SmallError::NeedsInt64.into()));
}
