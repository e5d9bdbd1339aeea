//! Poseidon and Poseidon2 over BN254 against independent crates, on every CPU level.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use ark_ff::{BigInteger, PrimeField};
use light_poseidon::{Poseidon, PoseidonHasher};
use pars_kernels::{cpu::Level, field::Fr, poseidon::Instance};
use rand::{RngExt, SeedableRng, rngs::StdRng};

fn to_ark(value: Fr) -> ark_bn254::Fr {
    ark_bn254::Fr::from_be_bytes_mod_order(&value.to_bytes_be())
}

fn from_ark(value: ark_bn254::Fr) -> Fr {
    let bytes = value.into_bigint().to_bytes_be();
    Fr::from_bytes_be(&bytes.try_into().unwrap()).unwrap()
}

/// Random elements, some of them 0, 1 and p - 1.
fn elements(rng: &mut StdRng, count: usize) -> Vec<Fr> {
    (0..count)
        .map(|_| match rng.random_range(0..8) {
            0 => [Fr::ZERO, Fr::ONE, -Fr::ONE][rng.random_range(0..3)],
            _ => Fr::reduce_bytes_be(&rng.random()),
        })
        .collect()
}

fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

#[test]
fn light_poseidon_agrees() {
    let mut rng = StdRng::seed_from_u64(1);
    // The widths that it has: 1 to 12 inputs.
    for inputs in 1..=12 {
        let mut theirs = Poseidon::<ark_bn254::Fr>::new_circom(inputs).unwrap();
        let lists: Vec<Vec<Fr>> = (0..19).map(|_| elements(&mut rng, inputs)).collect();
        let expected: Vec<Fr> = lists
            .iter()
            .map(|list| {
                let list: Vec<_> = list.iter().map(|element| to_ark(*element)).collect();
                from_ark(theirs.hash(&list).unwrap())
            })
            .collect();
        let lists: Vec<&[Fr]> = lists.iter().map(Vec::as_slice).collect();
        for level in levels() {
            let hashes = Instance::Circom.hash_many_at(level, &lists).unwrap();
            assert_eq!(hashes, expected, "{inputs} inputs, {level}");
        }
    }
}

#[test]
fn taceo_poseidon2_agrees() {
    let mut rng = StdRng::seed_from_u64(2);
    let states = elements(&mut rng, 3 * 43);
    let expected: Vec<Fr> = states
        .chunks_exact(3)
        .flat_map(|state| {
            let state = [to_ark(state[0]), to_ark(state[1]), to_ark(state[2])];
            taceo_poseidon2::bn254::t3::permutation(&state).map(from_ark)
        })
        .collect();
    for level in levels() {
        let mut permuted = states.clone();
        Instance::Poseidon2
            .permute_many_at(level, 3, &mut permuted)
            .unwrap();
        assert_eq!(permuted, expected, "{level}");
    }
}
