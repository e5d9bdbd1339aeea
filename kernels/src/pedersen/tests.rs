use super::*;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::PrimeField;

type Theirs = ark_bn254::G1Affine;

fn scalar(x: Fr) -> ark_bn254::Fr {
    ark_bn254::Fr::from_be_bytes_mod_order(&x.to_bytes_be())
}

fn theirs(point: Point) -> Theirs {
    let element = |x: Fq| ark_bn254::Fq::from_be_bytes_mod_order(&x.to_bytes_be());
    match point {
        Point::Identity => Theirs::zero(),
        // Checks the equation and the subgroup.
        Point::Affine { x, y } => Theirs::new(element(x), element(y)),
    }
}

/// Numbers that look random, the same in every run, and those at edges.
fn openings(count: usize) -> Vec<[Fr; 2]> {
    let mut value = Fr::from_u64(41);
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
                _ => [next(), next()],
            }
        })
        .collect()
}

#[test]
fn hashes_to_the_curve_are_those_published() {
    // gnark-crypto, ecc/bn254/hash_vectors_test.go.
    let dst = b"QUUX-V01-CS02-with-BN254G1_XMD:SHA-256_SVDW_RO_";
    for (message, expected) in [
        (
            "",
            "0a976ab906170db1f9638d376514dbf8c42aef256a54bbd48521f20749e59e86\
             02925ead66b9e68bfc309b014398640ab55f6619ab59bc1fab2210ad4c4d53d5",
        ),
        (
            "abc",
            "23f717bee89b1003957139f193e6be7da1df5f1374b26a4643b0378b5baf53d1\
             04142f826b71ee574452dbc47e05bc3e1a647478403a7ba38b7b93948f4e151d",
        ),
        (
            "abcdef0123456789",
            "187dbf1c3c89aceceef254d6548d7163fdfa43084145f92c4c91c85c21442d4a\
             0abd99d5b0000910b56058f9cc3b0ab0a22d47cf27615f588924fac1e5c63b4d",
        ),
    ] {
        let point = hash_to_curve(message.as_bytes(), dst);
        assert_eq!(hex::encode(point.to_bytes()), expected, "{message:?}");
        assert_eq!(Point::from_bytes(&point.to_bytes()), Ok(point));
    }
}

#[test]
fn commitments_equal_those_of_ark_on_every_level() {
    let (g, h) = (theirs(Point::generator()), theirs(generator(0)));
    for count in [1, 7, 8, 17, 31, 65, 130, 300] {
        let openings = openings(count);
        let expected: Vec<Theirs> = openings
            .iter()
            .map(|[value, blinding]| (g * scalar(*value) + h * scalar(*blinding)).into_affine())
            .collect();
        for level in Level::ALL {
            let ours = commit_many_at(level, &openings);
            let ours: Vec<Theirs> = ours.into_iter().map(theirs).collect();
            assert_eq!(ours, expected, "{count} commitments, {level}");
        }
    }
    assert_eq!(commit(Fr::ZERO, Fr::ZERO), Point::Identity);
    let [value, blinding] = openings(3)[2];
    let commitment = commit(value, blinding);
    assert!(verify_opening(commitment, value, blinding));
    assert!(!verify_opening(commitment, value + Fr::ONE, blinding));
    assert!(!verify_opening(commitment.negated(), value, blinding));
}

/// Small values have digits of zero all the way: the parts of their sums must not meet on it, or every batch would be computed anew.
#[test]
fn small_values_need_no_complete_law() {
    for count in [8, 16, 40, 100, 256, 512] {
        let mut digits = Vec::new();
        for value in 1..=count as u64 {
            bases().digits(
                &[Fr::from_u64(value % 3), Fr::from_u64(value % 5)],
                &mut digits,
            );
            if value % 15 == 0 {
                // The identity is no sum of a block.
                let last = digits.len() - 1;
                digits[last] = 1;
            }
        }
        for level in Level::ALL {
            let points = bases().block(level, count, &mut digits.clone());
            assert_eq!(points.map(|points| points.len()), Some(count), "{level}");
        }
    }
}

#[test]
fn generators_are_hashes_of_their_numbers() {
    let hash = |message: &[u8]| hash_to_curve(message, b"PARS-PEDERSEN-BN254-V1");
    assert_eq!(generator(0), hash(b"H"));
    assert_eq!(generator(1), hash(&[0, 0, 0, 1]));
    assert_eq!(generator(64), hash(&[0, 0, 0, 64]));
    assert_eq!(generator(0x0102_0304), hash(&[1, 2, 3, 4]));
}

#[test]
fn vectors_equal_those_of_ark() {
    for count in [0, 1, 5, 64] {
        let values: Vec<Fr> = openings(count).iter().map(|pair| pair[1]).collect();
        let blinding = Fr::from_u64(77);
        let mut expected = theirs(generator(0)) * scalar(blinding);
        for (value, index) in values.iter().zip(1..) {
            expected += theirs(generator(index)) * scalar(*value);
        }
        let ours = vector_commit(&values, blinding).unwrap();
        assert_eq!(theirs(ours), expected.into_affine(), "{count} values");
    }
    let error = vector_commit(&[Fr::ONE; 65], Fr::ONE).unwrap_err();
    assert_eq!(error, TooMany { given: 65 });
}

#[test]
fn points_add_up() {
    let points: Vec<Point> = openings(7).into_iter().map(|[v, b]| commit(v, b)).collect();
    for a in &points {
        for b in &points {
            let expected = (theirs(*a) + theirs(*b)).into_affine();
            assert_eq!(theirs(a.plus(*b)), expected, "{a:?} + {b:?}");
        }
        assert_eq!(a.plus(a.negated()), Point::Identity);
    }
}

#[test]
fn the_complete_law_takes_over_where_logarithms_are_known() {
    // One base twice: factors that cancel make additions that a batch cannot do.
    let g = coordinates(Point::generator());
    let bases = Bases::new(&[g, g], 4);
    let factors: Vec<Fr> = openings(30)
        .iter()
        .flat_map(|[value, _]| [*value, -*value])
        .collect();
    for level in Level::ALL {
        assert!(
            bases
                .sums(level, &factors)
                .iter()
                .all(|sum| *sum == Point::Identity),
            "{level}"
        );
    }
}

#[test]
fn bytes_that_are_no_point_are_refused() {
    assert_eq!(Point::from_bytes(&[0; 64]), Ok(Point::Identity));
    assert_eq!(
        Point::from_bytes(&[0xff; 64]),
        Err(PointError::NotCanonical)
    );
    let mut bytes = Point::generator().to_bytes();
    bytes[63] = 3;
    assert_eq!(Point::from_bytes(&bytes), Err(PointError::NotOnCurve));
}
