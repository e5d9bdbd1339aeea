//! Pedersen commitments over BN254 G1: the vectors, whose generators are other ones, through the group law; the part on G on every level.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::zk::{number, numbers};
use pars_kernels::{
    cpu::Level,
    field::Fr,
    pedersen::{Point, PointError, commit_many_at, verify_opening},
};
use serde_json::Value;

/// 32 bytes behind `0x`.
fn bytes(value: &Value) -> [u8; 32] {
    let digits = value.as_str().unwrap().trim_start_matches("0x");
    hex::decode(format!("{digits:0>64}"))
        .unwrap()
        .try_into()
        .unwrap()
}

/// A point; null is the identity.
fn point(value: &Value) -> Point {
    if value.is_null() {
        return Point::Identity;
    }
    let both = [bytes(&value["x"]), bytes(&value["y"])].concat();
    let both: [u8; 64] = both.try_into().unwrap();
    let point = Point::from_bytes(&both).unwrap();
    assert_eq!(point.to_bytes(), both);
    point
}

/// Double and add.
fn times(point: Point, factor: Fr) -> Point {
    let mut sum = Point::Identity;
    for byte in factor.to_bytes_be() {
        for bit in (0..8).rev() {
            sum = sum.plus(sum);
            if byte >> bit & 1 == 1 {
                sum = sum.plus(point);
            }
        }
    }
    sum
}

#[test]
fn answers_of_the_vectors() {
    let Some(file) = common::zk::file("pedersen_bn254.json") else {
        // Nothing is left to compare with but the group's own law.
        let two = times(Point::generator(), Fr::from_u64(2));
        assert_eq!(two, Point::generator().plus(Point::generator()));
        return;
    };
    let g = point(&file["G"]);
    assert_eq!(g, Point::generator());
    let h = point(&file["H"]);
    let cases = common::vectors::list(&file["tests"]);
    assert!(cases.len() >= 20);
    let mut openings = Vec::new();
    let mut on_g = Vec::new();
    for case in cases {
        let value = number(case["value"].as_str().unwrap());
        let blinding = number(case["blinding"].as_str().unwrap());
        let commitment = point(&case["commitment"]);
        let blinded = times(h, blinding);
        assert_eq!(times(g, value).plus(blinded), commitment);
        openings.push([value, Fr::ZERO]);
        on_g.push(commitment.plus(blinded.negated()));
    }
    // Often enough for a batch to use its lanes.
    let (openings, on_g) = (openings.repeat(7), on_g.repeat(7));
    for level in Level::ALL.into_iter().filter(|level| level.is_available()) {
        assert_eq!(commit_many_at(level, &openings), on_g, "{level}");
    }
    for ([value, _], commitment) in openings.iter().zip(on_g).take(3) {
        assert!(verify_opening(commitment, *value, Fr::ZERO));
        assert!(!verify_opening(commitment, *value + Fr::ONE, Fr::ZERO));
    }

    let generators: Vec<Point> = common::vectors::list(&file["generators"])
        .iter()
        .map(point)
        .collect();
    for case in common::vectors::list(&file["vector_tests"]) {
        let blinding = number(case["blinding"].as_str().unwrap());
        let terms = numbers(&case["values"]).into_iter().zip(&generators);
        let sum = terms.fold(times(h, blinding), |sum, (value, generator)| {
            sum.plus(times(*generator, value))
        });
        assert_eq!(sum, point(&case["commitment"]));
    }
}

#[test]
fn mutated_points_are_refused() {
    let good = commit_many_at(Level::Portable, &[[Fr::from_u64(5), Fr::from_u64(6)]])[0].to_bytes();
    for at in 0..512 {
        let mut bad = good;
        bad[at / 8] ^= 1 << (at % 8);
        // One other y lies on the same x, and it is far in bits.
        assert!(Point::from_bytes(&bad).is_err(), "bit {at}");
    }
    assert_eq!(
        Point::from_bytes(&[0xff; 64]),
        Err(PointError::NotCanonical)
    );
}
