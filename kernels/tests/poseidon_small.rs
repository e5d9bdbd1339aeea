//! Poseidon2 over small fields: published answers, Plonky3 as second opinion, bad input.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::vectors::list;
use p3_field::{PrimeCharacteristicRing, PrimeField64};
use p3_symmetric::Permutation;
use pars_kernels::{
    cpu::Level,
    poseidon::small::{Instance, StateError},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Permutes states of any instance on one level; Goldilocks has one code for all.
fn permute(instance: Instance, level: Level, states: &[u64]) -> Vec<u64> {
    if instance.modulus() >> 32 == 0 {
        let mut narrow: Vec<u32> = states
            .iter()
            .map(|word| u32::try_from(*word).unwrap())
            .collect();
        instance.permute_many_at(level, &mut narrow).unwrap();
        narrow.into_iter().map(u64::from).collect()
    } else {
        let mut wide = states.to_vec();
        instance.permute_many_at(level, &mut wide).unwrap();
        wide
    }
}

fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

#[test]
fn published_answers() {
    for (instance, name) in [
        (Instance::KoalaBear16, "koalabear_16"),
        (Instance::BabyBear16, "babybear_16"),
        (Instance::Mersenne31Width16, "mersenne31_16"),
        (Instance::Goldilocks8, "goldilocks_8"),
        (Instance::Goldilocks12, "goldilocks_12"),
    ] {
        let Some(file) = common::zk::file(&format!("poseidon2_{name}_plonky3.json")) else {
            return;
        };
        let words = |value: &serde_json::Value| -> Vec<u64> {
            list(value)
                .iter()
                .map(|word| match word.as_str() {
                    Some(text) => text.parse().unwrap(),
                    None => word.as_u64().unwrap(),
                })
                .collect()
        };
        let cases = list(&file["tests"]);
        assert!(cases.len() >= 10);
        let inputs: Vec<u64> = cases
            .iter()
            .flat_map(|case| words(&case["input"]))
            .collect();
        let outputs: Vec<u64> = cases
            .iter()
            .flat_map(|case| words(&case["output"]))
            .collect();
        // Twice over, so that every vector width is filled.
        let [inputs, outputs] = [inputs, outputs].map(|list| list.repeat(2));
        for level in levels() {
            assert_eq!(permute(instance, level, &inputs), outputs, "{name} {level}");
        }
    }
}

/// Compares with a permutation of Plonky3 on random states.
fn agrees<F: PrimeField64 + PrimeCharacteristicRing, const WIDTH: usize>(
    instance: Instance,
    theirs: &impl Permutation<[F; WIDTH]>,
) {
    let mut rng = StdRng::seed_from_u64(7);
    let states: Vec<u64> = (0..37 * WIDTH)
        .map(|_| rng.random_range(0..instance.modulus()))
        .collect();
    let mut expected = Vec::new();
    for state in states.chunks_exact(WIDTH) {
        let mut theirs_in = [F::ZERO; WIDTH];
        for (to, from) in theirs_in.iter_mut().zip(state) {
            *to = F::from_u64(*from);
        }
        let out = theirs.permute(theirs_in);
        expected.extend(out.iter().map(|word| word.as_canonical_u64()));
    }
    for level in levels() {
        assert_eq!(
            permute(instance, level, &states),
            expected,
            "{instance:?} {level}"
        );
    }
}

#[test]
fn plonky3_agrees() {
    agrees(
        Instance::KoalaBear16,
        &p3_koala_bear::default_koalabear_poseidon2_16(),
    );
    agrees(
        Instance::BabyBear16,
        &p3_baby_bear::default_babybear_poseidon2_16(),
    );
    agrees(
        Instance::Mersenne31Width16,
        &p3_mersenne_31::default_mersenne31_poseidon2_16(),
    );
    agrees::<p3_goldilocks::Goldilocks, 8>(
        Instance::Goldilocks8,
        &p3_goldilocks::default_goldilocks_poseidon2_8(),
    );
    agrees::<p3_goldilocks::Goldilocks, 12>(
        Instance::Goldilocks12,
        &p3_goldilocks::default_goldilocks_poseidon2_12(),
    );
}

#[test]
fn compression_is_half_of_the_permutation() {
    let pairs: Vec<u32> = (0..16 * 20).collect();
    let mut states = pairs.clone();
    Instance::KoalaBear16.permute_many(&mut states).unwrap();
    let halves: Vec<u32> = states
        .chunks(16)
        .flat_map(|state| state[..8].to_vec())
        .collect();
    assert_eq!(Instance::KoalaBear16.compress_many(&pairs), Ok(halves));
}

#[test]
fn bad_input_is_an_error() {
    for instance in Instance::ALL {
        let (p, width) = (instance.modulus(), instance.width());
        if p >> 32 == 0 {
            let bad = [u32::try_from(p).unwrap(), u32::MAX];
            for word in bad {
                let mut states = vec![1u32; 3 * width];
                states[width + 3] = word;
                let before = states.clone();
                let error = instance.permute_many(&mut states).unwrap_err();
                let said = StateError::NotCanonical {
                    at: width + 3,
                    modulus: p,
                };
                assert_eq!(error, said);
                assert_eq!(states, before);
            }
            assert!(matches!(
                instance.permute_many(&mut vec![0u32; width + 1]),
                Err(StateError::Ragged { .. })
            ));
            assert!(matches!(
                instance.permute_many(&mut vec![0u64; width]),
                Err(StateError::WordSize { bits: 32, .. })
            ));
        } else {
            for word in [p, u64::MAX] {
                let mut states = vec![1u64; 2 * width];
                states[3] = word;
                assert!(matches!(
                    instance.permute_many(&mut states),
                    Err(StateError::NotCanonical { at: 3, .. })
                ));
            }
            assert!(matches!(
                instance.permute_many(&mut vec![0u64; width - 1]),
                Err(StateError::Ragged { .. })
            ));
            assert!(matches!(
                instance.permute_many(&mut vec![0u32; width]),
                Err(StateError::WordSize { bits: 64, .. })
            ));
        }
    }
}
