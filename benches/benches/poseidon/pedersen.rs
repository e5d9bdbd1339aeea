//! Pedersen commitments over BN254 G1: `pedersen-bn254/commit/<who>/<batch>`.
//!
//! | who | what |
//! |---|---|
//! | `pars-portable`, `pars-avx2`, `pars-avx512` | the kernel at one level, the batch at once, on the calling thread |
//! | `ark-bn254` | the peer's fixed-base tables (`BatchMulPreprocessing`, sized for the largest batch) for both generators, one sum each, all brought to affine coordinates at once |
//!
//! Tables are made before the clock starts, on both sides.

use std::{hint::black_box, rc::Rc};

use ark_ec::scalar_mul::BatchMulPreprocessing;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{BigInteger, PrimeField};
use pars_kernels::field::Fr;
use pars_kernels::pedersen::{Point, commit_many_at, generator};

use crate::rows::Rows;

/// Batch sizes.
const BATCHES: [usize; 3] = [1, 64, 1_024];

type Theirs = ark_bn254::G1Affine;

fn theirs(point: Point) -> Theirs {
    let Point::Affine { x, y } = point else {
        return Theirs::zero();
    };
    let [x, y] = [x, y].map(|x| ark_bn254::Fq::from_be_bytes_mod_order(&x.to_bytes_be()));
    Theirs::new(x, y)
}

pub fn commit() -> Vec<Rows> {
    let most = BATCHES[BATCHES.len() - 1];
    let tables = Rc::new(
        [Point::generator(), generator(0)]
            .map(|base| BatchMulPreprocessing::new(theirs(base).into_group(), most)),
    );
    let rows = |size: usize| {
        let mut rows = Rows::new("pedersen-bn254/commit", size);
        let openings: Rc<[[Fr; 2]]> = super::pairs(size).into();
        let scalars: [Vec<ark_bn254::Fr>; 2] = [0, 1].map(|at| {
            openings
                .iter()
                .map(|pair| super::to_ark(pair[at]))
                .collect()
        });
        let tables = Rc::clone(&tables);
        let peer = move |scalars: &[Vec<ark_bn254::Fr>; 2]| -> Vec<Theirs> {
            let [values, blinded] = [0, 1].map(|at| tables[at].batch_mul(&scalars[at]));
            let sums: Vec<ark_bn254::G1Projective> = values
                .iter()
                .zip(&blinded)
                .map(|(value, blinded)| *value + *blinded)
                .collect();
            ark_bn254::G1Projective::normalize_batch(&sums)
        };
        let expected = peer(&scalars);
        for level in super::levels() {
            let found = commit_many_at(level, &openings);
            for (found, expected) in found.iter().zip(&expected) {
                let (x, y) = expected.xy().unwrap();
                let bytes = [x, y].map(|x| x.into_bigint().to_bytes_be()).concat();
                assert_eq!(found.to_bytes().to_vec(), bytes, "another commitment");
            }
            let openings = Rc::clone(&openings);
            rows.push(format!("pars-{level}"), move || {
                black_box(commit_many_at(level, black_box(&openings)));
            });
        }
        rows.push("ark-bn254", move || {
            black_box(peer(black_box(&scalars)));
        });
        rows
    };
    BATCHES.into_iter().map(rows).collect()
}
