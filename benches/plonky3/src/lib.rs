//! Plonky3's Poseidon2 over small fields, as a peer of `--bench poseidon`.
//!
//! Plonky3 chooses its vectors when it is built. This package holds nothing else, so that one run of the benchmark can have it twice: in
//! its own build, and as a [process](Process) of the same code built with `-C target-cpu=native`.

#![forbid(unsafe_code)]

mod process;

use std::hint::black_box;

use p3_field::{Field, PackedValue, PrimeField64};
use p3_symmetric::Permutation;

pub use process::{Process, ProcessError, serve};

/// States of a turn.
pub const STATES: usize = 1_024;

/// The vectors that this build of Plonky3 has.
pub const VECTORS: &str = if cfg!(target_feature = "avx512f") {
    "avx512"
} else if cfg!(target_feature = "avx2") {
    "avx2"
} else {
    "default"
};

/// A permutation of [`STATES`] states.
pub struct Peer {
    /// Field and width, as in `koalabear-16`.
    pub name: &'static str,
    /// Words of the states, one state after another.
    pub states: Vec<u64>,
    /// The same states, permuted once.
    pub permuted: Vec<u64>,
    /// Permutes states of the packed type in place; the first turn was taken for `permuted`.
    pub turn: Box<dyn FnMut()>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("name", &self.name).finish()
    }
}

impl Peer {
    fn new<F: Field + PrimeField64, const T: usize>(
        name: &'static str,
        theirs: impl Permutation<[F::Packing; T]> + 'static,
    ) -> Self {
        let lanes = F::Packing::WIDTH;
        let states: Vec<u64> = (0..(STATES * T) as u64)
            .map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15) % F::ORDER_U64)
            .collect();
        let word = |group: &[u64], at: usize| {
            F::Packing::from_fn(|lane| {
                F::from_u64(group.get(lane * T + at).copied().unwrap_or_default())
            })
        };
        let mut packed: Vec<[F::Packing; T]> = states
            .chunks(T * lanes)
            .map(|group| std::array::from_fn(|at| word(group, at)))
            .collect();
        let turn = move |packed: &mut Vec<[F::Packing; T]>| {
            for state in black_box(packed) {
                theirs.permute_mut(state);
            }
        };
        turn(&mut packed);
        let unpacked = |group: &[F::Packing; T]| -> Vec<u64> {
            let words = group.map(|word| word.as_slice().to_vec());
            let lanes =
                (0..lanes).flat_map(|lane| words.each_ref().map(|word| word.get(lane).copied()));
            lanes
                .flatten()
                .map(|word| word.as_canonical_u64())
                .collect()
        };
        Self {
            name,
            permuted: packed.iter().flat_map(unpacked).collect(),
            states,
            turn: Box::new(move || turn(&mut packed)),
        }
    }

    /// What tells the states of one permutation from those of another.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let fold =
            |sum: u64, word: &u64| (sum.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.permuted.iter().fold(0, fold)
    }
}

/// All that the benchmark compares with.
#[must_use]
pub fn peers() -> Vec<Peer> {
    vec![
        Peer::new::<p3_koala_bear::KoalaBear, 16>(
            "koalabear-16",
            p3_koala_bear::default_koalabear_poseidon2_16(),
        ),
        Peer::new::<p3_baby_bear::BabyBear, 16>(
            "babybear-16",
            p3_baby_bear::default_babybear_poseidon2_16(),
        ),
        Peer::new::<p3_mersenne_31::Mersenne31, 16>(
            "mersenne31-16",
            p3_mersenne_31::default_mersenne31_poseidon2_16(),
        ),
        Peer::new::<p3_goldilocks::Goldilocks, 8>(
            "goldilocks-8",
            p3_goldilocks::default_goldilocks_poseidon2_8(),
        ),
        Peer::new::<p3_goldilocks::Goldilocks, 12>(
            "goldilocks-12",
            p3_goldilocks::default_goldilocks_poseidon2_12(),
        ),
    ]
}
