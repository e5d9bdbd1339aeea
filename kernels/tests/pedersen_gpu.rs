//! The shader of Pedersen commitments on every adapter of this machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![cfg(feature = "gpu")]

mod common;

use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::{BigInteger, PrimeField};
use common::{devices, vectors, zk};
use pars_kernels::{
    field::{Fq, Fr},
    gpu::{Device, GpuError, ShaderChecks},
    pedersen::{
        Point, commit, generator,
        gpu::{BatchCommitter, CurveError, Tuning},
        known_answers,
    },
};
use serde_json::Value;

type Theirs = ark_bn254::G1Affine;

/// Numbers that look random, the same in every run, and those at edges.
fn openings(count: usize) -> Vec<[Fr; 2]> {
    let mut value = Fr::from_u64(43);
    let mut next = || {
        value = value.square() + Fr::ONE;
        value
    };
    let edges = [
        Fr::ZERO,
        Fr::ONE,
        -Fr::ONE,
        Fr::from_u64(256),
        -Fr::from_u64(2),
    ];
    (0..count)
        .map(|i| {
            let edge = |at: usize| edges[at % edges.len()];
            match i % 4 {
                0 => [edge(i / 4), edge(i / 20)],
                1 => [edge(i / 4), next()],
                2 => [next(), edge(i / 4)],
                _ => [next(), next()],
            }
        })
        .collect()
}

fn theirs(point: Point) -> Theirs {
    let element = |x: Fq| ark_bn254::Fq::from_be_bytes_mod_order(&x.to_bytes_be());
    match point {
        Point::Identity => Theirs::zero(),
        Point::Affine { x, y } => Theirs::new(element(x), element(y)),
    }
}

fn scalar(x: Fr) -> ark_bn254::Fr {
    ark_bn254::Fr::from_be_bytes_mod_order(&x.to_bytes_be())
}

/// The commitment as ark makes it.
fn expected(bases: [Point; 2], [value, blinding]: [Fr; 2]) -> Point {
    let [g, h] = bases.map(theirs);
    let sum = (g * scalar(value) + h * scalar(blinding)).into_affine();
    let Some((x, y)) = sum.xy() else {
        return Point::Identity;
    };
    let bytes = |x: ark_bn254::Fq| x.into_bigint().to_bytes_be();
    Point::from_bytes(&[bytes(x), bytes(y)].concat().try_into().unwrap()).unwrap()
}

#[test]
fn commitments_equal_those_of_ark() {
    let bases = [Point::generator(), generator(0)];
    let all = openings(301);
    let wanted: Vec<Point> = all
        .iter()
        .map(|opening| expected(bases, *opening))
        .collect();
    assert_eq!(commit(all[1][0], all[1][1]), wanted[1]);
    devices::each(|device| {
        let base = Tuning::of(device);
        let mut committer = BatchCommitter::new(device).unwrap();
        let (known, points): (Vec<[Fr; 2]>, Vec<Point>) = known_answers().into_iter().unzip();
        assert_eq!(committer.commit_many(&known), Ok(points));
        for count in [0, 1, 15, 64, 65, 301] {
            let found = committer.commit_many(&all[..count]).unwrap();
            assert_eq!(found, wanted[..count], "{count}");
        }
        let mut small = base;
        small.threads = 32;
        small.reverse = true;
        small.max_batch = 40;
        small.share = 3;
        let mut narrow = base;
        narrow.wide = false;
        let mut checked = base;
        checked.checks = ShaderChecks::Checked;
        for tuning in [small, narrow, checked] {
            let mut committer = BatchCommitter::with_tuning(device, tuning).unwrap();
            let found = committer.commit_many(&all[..90]).unwrap();
            assert_eq!(found, wanted[..90], "{tuning:?}");
        }
    });
}

#[test]
fn devices_give_the_official_answers() {
    let Some(file) = zk::file("pedersen_bn254.json") else {
        return;
    };
    let point = |value: &Value| {
        if value.is_null() {
            return Point::Identity;
        }
        let bytes = |name: &str| {
            let digits = value[name].as_str().unwrap().trim_start_matches("0x");
            hex::decode(format!("{digits:0>64}")).unwrap()
        };
        Point::from_bytes(&[bytes("x"), bytes("y")].concat().try_into().unwrap()).unwrap()
    };
    let bases = [point(&file["G"]), point(&file["H"])];
    let tests = vectors::list(&file["tests"]);
    let (openings, commitments): (Vec<[Fr; 2]>, Vec<Point>) = tests
        .iter()
        .map(|test| {
            let number = |name: &str| zk::number(test[name].as_str().unwrap());
            (
                [number("value"), number("blinding")],
                point(&test["commitment"]),
            )
        })
        .unzip();
    assert!(!tests.is_empty());
    devices::each(|device| {
        let mut committer = BatchCommitter::with_bases(device, Tuning::of(device), bases).unwrap();
        assert_eq!(committer.commit_many(&openings), Ok(commitments.clone()));
    });
}

/// Bases whose logarithms are known make sums with equal and opposite terms and with the identity on the way; and a base that is the
/// identity.
#[test]
fn exceptions_of_the_group_law_are_dealt_with() {
    let g = Point::generator();
    let double = g.plus(g);
    let numbers: Vec<Fr> = [0, 1, 2, 128, 255, 256]
        .into_iter()
        .flat_map(|number| [Fr::from_u64(number), -Fr::from_u64(number)])
        .collect();
    let openings: Vec<[Fr; 2]> = numbers
        .iter()
        .flat_map(|a| numbers.iter().map(|b| [*a, *b]))
        .collect();
    devices::each(|device| {
        for bases in [
            [g, g],
            [g, g.negated()],
            [g, double],
            [double.negated(), g],
            [g, Point::Identity],
            [Point::Identity, Point::Identity],
        ] {
            let mut committer =
                BatchCommitter::with_bases(device, Tuning::of(device), bases).unwrap();
            let found = committer.commit_many(&openings).unwrap();
            assert_eq!(found.len(), openings.len());
            for (found, opening) in found.iter().zip(&openings) {
                assert_eq!(
                    *found,
                    expected(bases, *opening),
                    "{opening:?} of {bases:?}"
                );
            }
        }
    });
}

#[test]
fn batches_are_submitted_before_the_first_is_collected() {
    let all = openings(60);
    devices::each(|device| {
        let mut committer = BatchCommitter::new(device).unwrap();
        let first = committer.submit(&all).unwrap();
        let second = committer.submit(&all[3..5]).unwrap();
        let wanted: Vec<Point> = all.iter().map(|[v, b]| commit(*v, *b)).collect();
        assert_eq!(committer.collect(second), Ok(wanted[3..5].to_vec()));
        assert_eq!(committer.collect(first), Ok(wanted));
    });
}

#[test]
fn devices_that_do_nothing_or_are_lost_are_errors() {
    let device = Device::noop().unwrap();
    let mut committer = BatchCommitter::new(&device).unwrap();
    let error = committer.commit_many(&openings(3)).unwrap_err();
    let unfinished = matches!(
        error,
        CurveError::Unfinished {
            missing: 3,
            sums: 3,
            ..
        }
    );
    assert!(unfinished, "{error}");
    device.destroy();
    let error = committer.commit_many(&openings(3)).unwrap_err();
    assert!(
        matches!(error, CurveError::Gpu(GpuError::Lost { .. })),
        "{error}"
    );
}
