//! Poseidon2 over small fields against Plonky3: `poseidon2-<field>/permute/<who>/<states>`.
//!
//! | who | what |
//! |---|---|
//! | `pars-portable`, `pars-avx2`, `pars-avx512` | the kernel at one level: numbers below p in memory in, and out |
//! | `p3-default`, `p3-avx2`, `p3-avx512` | Plonky3's permutation of its packed type, whose words already stand in lanes |
//!
//! Plonky3 chooses its vectors when it is built, and the name says for which set it was. A default build gives `p3-default`; for the
//! others everything is built for this processor:
//!
//! ```sh
//! RUSTFLAGS="-C target-cpu=native" cargo bench -p pars-benches --bench poseidon -- permute
//! ```

use std::hint::black_box;

use p3_field::{Field, PackedValue, PrimeField64};
use p3_symmetric::Permutation;
use pars_kernels::poseidon::small::{Instance, Word};

use crate::rows::Rows;

/// States of a batch.
const STATES: usize = 1_024;

/// The vectors that Plonky3 was built with.
const P3: &str = if cfg!(target_feature = "avx512f") {
    "p3-avx512"
} else if cfg!(target_feature = "avx2") {
    "p3-avx2"
} else {
    "p3-default"
};

fn field<F: Field + PrimeField64, W: Word, const T: usize>(
    name: &str,
    instance: Instance,
    word: fn(u64) -> W,
    theirs: impl Permutation<[F; T]> + Permutation<[F::Packing; T]> + 'static,
) -> Rows {
    let mut rows = Rows::new(format!("poseidon2-{name}/permute"), STATES);
    let numbers: Vec<u64> = (0..(STATES * T) as u64)
        .map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15) % instance.modulus())
        .collect();
    let states: Vec<W> = numbers.iter().map(|number| word(*number)).collect();
    let mut expected = states.clone();
    for (state, out) in numbers.chunks(T).zip(expected.chunks_mut(T)) {
        let state: [F; T] = std::array::from_fn(|at| F::from_u64(state[at]));
        let permuted = theirs.permute(state);
        for (out, number) in out.iter_mut().zip(permuted) {
            *out = word(number.as_canonical_u64());
        }
    }
    for level in crate::levels() {
        let mut permuted = states.clone();
        instance.permute_many_at(level, &mut permuted).unwrap();
        assert!(permuted == expected, "{name}, {level}");
        rows.push(format!("pars-{level}"), move || {
            instance
                .permute_many_at(level, black_box(&mut permuted))
                .unwrap();
        });
    }
    let lanes = F::Packing::WIDTH;
    let mut packed: Vec<[F::Packing; T]> = numbers
        .chunks(T * lanes)
        .map(|group| {
            std::array::from_fn(|at| F::Packing::from_fn(|lane| F::from_u64(group[lane * T + at])))
        })
        .collect();
    rows.push(P3, move || {
        for state in black_box(&mut packed) {
            theirs.permute_mut(state);
        }
    });
    rows
}

pub fn all() -> Vec<Rows> {
    let narrow = |number| u32::try_from(number).unwrap();
    vec![
        field::<p3_koala_bear::KoalaBear, u32, 16>(
            "koalabear-16",
            Instance::KoalaBear16,
            narrow,
            p3_koala_bear::default_koalabear_poseidon2_16(),
        ),
        field::<p3_baby_bear::BabyBear, u32, 16>(
            "babybear-16",
            Instance::BabyBear16,
            narrow,
            p3_baby_bear::default_babybear_poseidon2_16(),
        ),
        field::<p3_mersenne_31::Mersenne31, u32, 16>(
            "mersenne31-16",
            Instance::Mersenne31Width16,
            narrow,
            p3_mersenne_31::default_mersenne31_poseidon2_16(),
        ),
        field::<p3_goldilocks::Goldilocks, u64, 8>(
            "goldilocks-8",
            Instance::Goldilocks8,
            |number| number,
            p3_goldilocks::default_goldilocks_poseidon2_8(),
        ),
        field::<p3_goldilocks::Goldilocks, u64, 12>(
            "goldilocks-12",
            Instance::Goldilocks12,
            |number| number,
            p3_goldilocks::default_goldilocks_poseidon2_12(),
        ),
    ]
}
