//! The constants of each instance, generated at first use.

use super::grain::Grain;
use crate::{
    field::{Fr, batch_inverse},
    keccak::Sponge,
};

/// Full rounds of Poseidon and of Poseidon2 of width 3.
pub(super) const FULL_ROUNDS: usize = 8;
/// Widths of Poseidon as circomlib has them.
pub(super) const WIDTHS: std::ops::RangeInclusive<usize> = 2..=17;
/// Partial rounds of Poseidon, by width from 2 (circomlib's `N_ROUNDS_P`).
pub(super) const PARTIAL_ROUNDS: [usize; 16] = [
    56, 57, 56, 60, 60, 63, 64, 63, 60, 66, 60, 65, 70, 60, 64, 68,
];
/// Partial rounds of Poseidon2 of width 3.
pub(super) const PARTIAL_ROUNDS_2: usize = 56;
/// Full and partial rounds of gnark's Poseidon2 of width 2.
pub(super) const GNARK_ROUNDS: (usize, usize) = (6, 50);

/// Poseidon in its dense form: in round r the state gains `constants[r t..]`, goes through the S-boxes and the matrix.
pub(super) struct Dense {
    pub(super) width: usize,
    pub(super) partial_rounds: usize,
    /// (full + partial) rounds times width.
    pub(super) constants: Vec<Fr>,
    /// Row by row.
    pub(super) matrix: Vec<Fr>,
}

impl Dense {
    /// Poseidon of a width: round constants, then a Cauchy matrix `1 / (x_i + y_j)` of the next distinct numbers.
    pub(super) fn generate(width: usize) -> Option<Self> {
        let partial_rounds = *PARTIAL_ROUNDS.get(width.checked_sub(2)?)?;
        let mut grain = Grain::new(width, FULL_ROUNDS, partial_rounds);
        let constants = (0..(FULL_ROUNDS + partial_rounds) * width)
            .map(|_| grain.element())
            .collect();
        // The script draws again while numbers repeat, and while the matrix fails its three tests against invariant
        // subspaces; the digests of the tests say that the first draw passed for every width.
        let drawn: Vec<Fr> = (0..2 * width).map(|_| grain.reduced()).collect();
        let (xs, ys) = drawn.split_at(width);
        let mut matrix: Vec<Fr> = xs
            .iter()
            .flat_map(|x| ys.iter().map(move |y| *x + *y))
            .collect();
        batch_inverse(&mut matrix);
        Some(Self {
            width,
            partial_rounds,
            constants,
            matrix,
        })
    }
}

/// The constants of a Poseidon2: full rounds of `width` constants each around partial rounds of one.
pub(super) struct Dense2 {
    pub(super) initial: Vec<Fr>,
    pub(super) partial: Vec<Fr>,
    pub(super) last: Vec<Fr>,
}

impl Dense2 {
    fn draw(width: usize, full: usize, partial: usize, mut next: impl FnMut() -> Fr) -> Self {
        let mut take = |count: usize| (0..count).map(|_| next()).collect::<Vec<_>>();
        Self {
            initial: take(full / 2 * width),
            partial: take(partial),
            last: take(full / 2 * width),
        }
    }

    /// Width 3, from the Grain LFSR.
    pub(super) fn three() -> Self {
        let mut grain = Grain::new(3, FULL_ROUNDS, PARTIAL_ROUNDS_2);
        Self::draw(3, FULL_ROUNDS, PARTIAL_ROUNDS_2, || grain.element())
    }

    /// Width 2 as gnark-crypto draws it: Keccak-256 applied again and again to the name of the parameters, from the second
    /// value on, each taken modulo p.
    pub(super) fn gnark() -> Self {
        let (full, partial) = GNARK_ROUNDS;
        let keccak = |bytes: &[u8]| {
            let mut digest = [0; 32];
            Sponge::KECCAK256.hash_many(&[[bytes, &[]]], &mut digest);
            digest
        };
        let mut value =
            keccak(format!("Poseidon2-BN254[t=2,rF={full},rP={partial},d=5]").as_bytes());
        Self::draw(2, full, partial, || {
            value = keccak(&value);
            Fr::reduce_bytes_be(&value)
        })
    }
}
