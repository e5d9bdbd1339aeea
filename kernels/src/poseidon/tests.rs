use super::{
    parameters::{Dense, Dense2, FULL_ROUNDS, GNARK_ROUNDS, WIDTHS},
    *,
};
use sha2::{Digest, Sha256};

/// SHA-256 of the elements, 32 big-endian bytes each, in hexadecimal.
fn digest(elements: &[Fr]) -> String {
    let mut hash = Sha256::new();
    for element in elements {
        hash.update(element.to_bytes_be());
    }
    hex::encode(hash.finalize())
}

/// The definition: constants, S-boxes, matrix, round after round.
fn dense_permutation(dense: &Dense, state: &mut [Fr]) {
    let t = dense.width;
    for (round, constants) in dense.constants.chunks_exact(t).enumerate() {
        for (word, constant) in state.iter_mut().zip(constants) {
            *word += *constant;
        }
        let partial = (4..4 + dense.partial_rounds).contains(&round);
        let boxes = if partial { 1 } else { t };
        for word in &mut state[..boxes] {
            *word = word.power(&[5, 0, 0, 0]);
        }
        let old = state.to_vec();
        for (word, row) in state.iter_mut().zip(dense.matrix.chunks_exact(t)) {
            *word = row
                .iter()
                .zip(&old)
                .fold(Fr::ZERO, |sum, (a, b)| sum + *a * *b);
        }
    }
}

/// The definition of Poseidon2, with its matrices written out.
fn dense_permutation2(dense: &Dense2, width: usize, state: &mut [Fr]) {
    let times = |state: &mut [Fr], inner: bool| {
        let old = state.to_vec();
        for (i, word) in state.iter_mut().enumerate() {
            *word = (0..width).fold(Fr::ZERO, |sum, j| {
                let last_inner = u64::from(inner && i + 1 == width);
                let cell = if i == j { 2 + last_inner } else { 1 };
                sum + Fr::from_u64(cell) * old[j]
            });
        }
    };
    let fifth = |word: &mut Fr| *word = word.power(&[5, 0, 0, 0]);
    times(state, false);
    let full = |state: &mut [Fr], rows: &[Fr]| {
        for row in rows.chunks_exact(width) {
            state
                .iter_mut()
                .zip(row)
                .for_each(|(word, constant)| *word += *constant);
            state.iter_mut().for_each(fifth);
            times(state, false);
        }
    };
    full(state, &dense.initial);
    for constant in &dense.partial {
        state[0] += *constant;
        fifth(&mut state[0]);
        times(state, true);
    }
    full(state, &dense.last);
}

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

#[test]
fn constants_are_those_published() {
    // Digests of the constants and of the matrix that circomlib ships, by width.
    const CIRCOMLIB: [(&str, &str); 16] = [
        (
            "55647472b416cc9fafb46d90700fa370a30e8b62df0b5faad63718fa47bb95ea",
            "ee6760f2328521e6eb47b07a8f160cefd8494acb9764cd107342295ed9e71fde",
        ),
        (
            "870ea1d5f78fbd8d8359ee638d7f5428c9fd576d824e8785c0f7e394c13fdd83",
            "6f7e4dc2fa882610d9b291d90f0b6eee6d3c5c88e9fba8951afe0a8cd16ceb43",
        ),
        (
            "6865752856529c24e01885ae09ed0f5f20d745b5689c3649b2c141b5736add95",
            "7e036f27d64b04f7ed9250f5cc8453738a93e53ecae8b7bcddda579889c5325d",
        ),
        (
            "2282e35b2b85896a3c4eef32bb643912f972f0a2a649b73bcfa62a49b428fbf5",
            "97a5a51b644929e8d1c86b51c253bf4e3cae6cfed83d4298349d9826be04bf7c",
        ),
        (
            "3639c24cffc8274cff47dc2cc303fac0a536cf9b83647fed8f042729b3c68fc6",
            "fc2059ccc44d254d20f9fa246e678d1fafe3ab978e8f70c20922da4ffc9c9455",
        ),
        (
            "ffa02f18ab9d034c22cea203c07be93bb57e3638043abbadf19e000ef8b93743",
            "4f28c4376291a427852d4717cfa726363f684dd981e62f0de0e56cb7aa3a448d",
        ),
        (
            "a55639745589cbe22cdda65b79aa35c9709bfa16b4bbe94ca0362c81db92ccd4",
            "722351b99421ad15e3bd6f93661a0db10e1557eef486da29417c07a0d0e08dfd",
        ),
        (
            "08e4d91c4bf67701619eea429113113797cba5ae0e928da48e5034a29c59fab4",
            "b56502ac2283e3600662071ba9fed5a21f5cd286c495efe0b71bb33bde7c190d",
        ),
        (
            "6ccd9e16aa91be270d6f2897230942bf40a80ccdef0957cc0d2a71acd225cba4",
            "23078cc289154fad3197c8a2bf2b7670b743238307d8e905a2c18b72a7b9f71f",
        ),
        (
            "c1465bc4eaa75531ef7a3dada3a7e1ef1a9e456615c6ec69e4f32b5f1f96d783",
            "881bb568de7e9213e99dec915e45bcb5362e09060aba7ecf83517e4208b56c42",
        ),
        (
            "b19c0ad210d886fda4a69447658868de8b46ce94a34199a6490a7fe02b4c96d0",
            "1831ad11f8f26816c583ef430427c679616dfbe8c60e39e1d3b669d18ab191b3",
        ),
        (
            "2ea6e94c16cbd3f4e5c0cfa9fa1b57d984a7ae79e436598f00bd67f89227d495",
            "1eafa3693c6be61a792dcfaae2e2658e80d990b951a505052485b5bbe22d2c77",
        ),
        (
            "ae3c82b977f37666a3adb3c3529f30b920ebc1ba0f7ed832444cc0732d2e12d4",
            "7b44c7b22de1b8dbc068710bd91c1355f0226c1a86914c32d845540247b0aa85",
        ),
        (
            "7fe08fbe7b5dc7fbfe7b944664cf4809043acfb470e9b7367a4adb6a9d984b92",
            "09295fb49cc4f015adc2f8a45f09031b6db71772c9323cdd437da15038e470ed",
        ),
        (
            "20915851057a86d07615e929780c78a30d824f172fc0d38ce3c80d10043a4ac4",
            "118e937c90efe71254dcba1180d5710c3de635a19de2467e080001ee2656825a",
        ),
        (
            "5c67bdd5278847fd9f3d7ff2c237644529c62027a23166e23bcc600ce19b7757",
            "a002afa63bd1cf067480088c37fb3946a94bd5740e2eedfe7186eef8f4b3f2d5",
        ),
    ];
    for (width, (constants, matrix)) in WIDTHS.zip(CIRCOMLIB) {
        let dense = Dense::generate(width).unwrap();
        assert_eq!(
            digest(&dense.constants),
            constants,
            "constants of width {width}"
        );
        assert_eq!(digest(&dense.matrix), matrix, "matrix of width {width}");
    }
    let all = |dense: &Dense2| digest(&[&dense.initial[..], &dense.partial, &dense.last].concat());
    assert_eq!(
        all(&Dense2::three()),
        "f58a02b261e94419e962e7b72d759d7b4df69f02e25f56aea90f263dc4b03b37"
    );
    assert_eq!(
        all(&Dense2::gnark()),
        "acbc42e996d1c7ba7ac5b817e5464f4435af144fc2769f8a4919cd0072f47450"
    );
}

#[test]
fn there_are_no_other_widths() {
    assert!(Dense::generate(0).is_none());
    assert!(Dense::generate(1).is_none());
    assert!(Dense::generate(18).is_none());
}

#[test]
fn the_recurrence_equals_the_definition() {
    for width in WIDTHS {
        let dense = Dense::generate(width).unwrap();
        for seed in 0..3 {
            let mut expected = elements(width, seed);
            let states = expected.clone();
            dense_permutation(&dense, &mut expected);
            for level in Level::ALL {
                let mut state = states.clone();
                Instance::Circom
                    .permute_many_at(level, width, &mut state)
                    .unwrap();
                assert_eq!(state, expected, "width {width}, seed {seed}, {level}");
            }
        }
    }
}

#[test]
fn poseidon2_equals_the_definition() {
    for (instance, width, dense) in [
        (Instance::Poseidon2, 3, Dense2::three()),
        (Instance::Gnark, 2, Dense2::gnark()),
    ] {
        for seed in 0..9 {
            let mut expected = elements(width, seed);
            if seed > 6 {
                expected.fill(if seed == 7 { Fr::ZERO } else { -Fr::ONE });
            }
            let states = expected.clone();
            dense_permutation2(&dense, width, &mut expected);
            for level in Level::ALL {
                let mut state = states.clone();
                instance.permute_many_at(level, width, &mut state).unwrap();
                assert_eq!(state, expected, "{instance}, seed {seed}, {level}");
            }
        }
    }
    assert_eq!(Dense2::three().initial.len(), 3 * FULL_ROUNDS / 2);
    assert_eq!(Dense2::gnark().partial.len(), GNARK_ROUNDS.1);
}

#[test]
fn the_processor_gives_the_known_answers() {
    let answers = known_answers();
    assert_eq!(answers.len(), Instance::ALL.len());
    for (instance, pair, expected) in answers {
        assert_eq!(
            instance.compress_many_at(Level::Portable, &[pair]),
            [expected],
            "{instance}"
        );
    }
}
