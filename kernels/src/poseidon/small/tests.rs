use super::*;
use sha2::{Digest, Sha256};

/// Words that look random, the same in every run, edges often.
fn words(instance: Instance, count: usize, seed: u64) -> Vec<u64> {
    let p = instance.modulus();
    let mut value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    (0..count)
        .map(|_| {
            value ^= value << 13;
            value ^= value >> 7;
            value ^= value << 17;
            match value % 11 {
                0 => 0,
                1 => p - 1,
                2 => 1,
                _ => (value >> 3) % p,
            }
        })
        .collect()
}

#[test]
fn constants_are_those_published() {
    // SHA-256 of the constants that Plonky3 ships, in their order of use, eight big-endian bytes each; then the diagonal.
    let published: [(Instance, &str, &[u64]); 5] = [
        (
            Instance::KoalaBear16,
            "b8cd4f616dec8ede3b5d8337e4623bdf1ff7089cf10b3e1b6bb5f19dfc2f0409",
            &[
                2_130_706_431,
                1,
                2,
                1_065_353_217,
                3,
                4,
                1_065_353_216,
                2_130_706_430,
                2_130_706_429,
                2_122_383_361,
                1_864_368_129,
                2_130_706_306,
                8_323_072,
                266_338_304,
                133_169_152,
                127,
            ],
        ),
        (
            Instance::BabyBear16,
            "1794655c54052d610e588d44e9aa302ed12dfa4b8a0d26c0502942f9834134e1",
            &[
                2_013_265_919,
                1,
                2,
                1_006_632_961,
                3,
                4,
                1_006_632_960,
                2_013_265_918,
                2_013_265_917,
                2_005_401_601,
                1_509_949_441,
                1_761_607_681,
                2_013_265_906,
                7_864_320,
                125_829_120,
                15,
            ],
        ),
        (
            Instance::Mersenne31Width16,
            "e5f2dddb3c1be8de8f588a03ce6b32aedbd75c3eb0aa6383b3ea1662b107942e",
            &[
                2_147_483_645,
                1,
                2,
                4,
                8,
                16,
                32,
                64,
                128,
                256,
                1_024,
                4_096,
                8_192,
                16_384,
                32_768,
                65_536,
            ],
        ),
        (
            Instance::Goldilocks8,
            "9a6179d5354d05a147134f8dfa6357e73fc3ea1f00ed2dc8138d5f387479b566",
            &[
                18_446_744_069_414_584_319,
                1,
                2,
                9_223_372_034_707_292_161,
                3,
                9_223_372_034_707_292_160,
                18_446_744_069_414_584_318,
                18_446_744_069_414_584_317,
            ],
        ),
        (
            Instance::Goldilocks12,
            "dbfbdbdbf265fdbc6dfb2b6a3f8f3d47b63815aea1184306d1c38eec2c26568c",
            &[
                18_446_744_069_414_584_319,
                1,
                2,
                9_223_372_034_707_292_161,
                3,
                4,
                9_223_372_034_707_292_160,
                18_446_744_069_414_584_318,
                18_446_744_069_414_584_317,
                13_835_058_052_060_938_241,
                4_611_686_017_353_646_080,
                16_140_901_060_737_761_281,
            ],
        ),
    ];
    for (instance, digest, diagonal) in published {
        let constants = instance.constants();
        let mut hash = Sha256::new();
        for list in [&constants.initial, &constants.partial, &constants.last] {
            for number in list {
                hash.update(number.to_be_bytes());
            }
        }
        assert_eq!(hex::encode(hash.finalize()), digest, "{instance:?}");
        assert_eq!(constants.diagonal, diagonal, "{instance:?}");
    }
}

#[test]
fn products_of_goldilocks_equal_the_definition() {
    let instance = Instance::Goldilocks8;
    let p = u128::from(instance.modulus());
    let list = words(instance, 400, 5);
    for pair in list.windows(2) {
        let expected = (u128::from(pair[0]) * u128::from(pair[1]) % p) as u64;
        assert_eq!(
            portable::mul::<{ Instance::Goldilocks8.modulus() }>(pair[0], pair[1]),
            expected,
            "{pair:?}"
        );
    }
}

/// Compares all levels on states of random words and of edges alone.
fn levels_agree<W: Word>(instance: Instance, word: fn(u64) -> W) {
    let width = instance.width();
    let compare = |states: Vec<W>, what: &str| {
        let mut expected = states.clone();
        instance
            .permute_many_at(Level::Portable, &mut expected)
            .unwrap();
        for level in Level::ALL {
            let mut permuted = states.clone();
            instance.permute_many_at(level, &mut permuted).unwrap();
            assert_eq!(permuted, expected, "{instance:?}, {level}, {what}");
        }
    };
    for count in [0, 1, 3, 4, 7, 8, 9, 16, 17, 31, 32, 33, 71] {
        let states = words(instance, width * count, count as u64);
        compare(
            states.into_iter().map(word).collect(),
            &format!("{count} states"),
        );
    }
    // Every word at an edge.
    let p = instance.modulus();
    for edge in [
        0,
        1,
        p - 1,
        p / 2,
        p / 2 + 1,
        (1 << 32) % p,
        0xffff_ffff % p,
    ] {
        compare(vec![word(edge); width * 33], &format!("all {edge}"));
    }
}

#[test]
fn every_level_agrees_at_every_size() {
    for instance in Instance::ALL {
        if instance.modulus() >> 32 == 0 {
            levels_agree(instance, |word| u32::try_from(word).unwrap());
        } else {
            levels_agree(instance, |word| word);
        }
    }
}
