use super::{
    batch::{self, Combination},
    *,
};
use crate::cpu::Level;
use k256::{
    AffinePoint, ProjectivePoint, Scalar,
    elliptic_curve::{
        PrimeField,
        sec1::{FromEncodedPoint, ToEncodedPoint},
    },
};

fn theirs(point: &Point) -> ProjectivePoint {
    let encoded = k256::EncodedPoint::from_bytes(point.to_compressed()).unwrap();
    AffinePoint::from_encoded_point(&encoded).unwrap().into()
}

fn ours(point: &ProjectivePoint) -> Option<Point> {
    let encoded = point.to_affine().to_encoded_point(false);
    let element = |bytes: &k256::FieldBytes| Fp::from_bytes_be(&(*bytes).into()).unwrap();
    Point::from_coordinates(element(encoded.x()?), element(encoded.y()?))
}

fn scalar(number: Fn) -> Scalar {
    Scalar::from_repr(number.to_bytes_be().into()).unwrap()
}

/// Numbers that look random, the same in every run.
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }
    pub(super) fn word(&mut self) -> u64 {
        // splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    pub(super) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.word().to_le_bytes());
        }
        bytes
    }
    pub(super) fn scalar(&mut self) -> Fn {
        Fn::reduce_bytes_be(&self.bytes())
    }
    pub(super) fn point(&mut self) -> Point {
        ours(&(ProjectivePoint::GENERATOR * scalar(self.scalar()))).unwrap()
    }
}

fn levels() -> impl Iterator<Item = Level> {
    Level::ALL.into_iter().filter(|level| level.is_available())
}

#[test]
fn sums_agree_with_k256() {
    let mut numbers = Numbers::new(1);
    for level in levels() {
        for count in [1, 7, 8, 9, 20] {
            let points: Vec<Point> = (0..count).map(|_| numbers.point()).collect();
            let tables = batch::tables(level, &points);
            let list: Vec<Combination<'_, 1>> = tables
                .iter()
                .map(|table| Combination {
                    generator: numbers.scalar(),
                    points: [(numbers.scalar(), table)],
                })
                .collect();
            let sums = batch::sums_with_generator(level, &list);
            for ((sum, item), point) in sums.iter().zip(&list).zip(&points) {
                let expected = ProjectivePoint::GENERATOR * scalar(item.generator)
                    + theirs(point) * scalar(item.points[0].0);
                assert_eq!(*sum, ours(&expected), "{level}");
            }
            let pairs: Vec<Combination<'_, 2>> = tables
                .iter()
                .zip(tables.iter().rev())
                .map(|(one, other)| Combination {
                    generator: numbers.scalar(),
                    points: [(numbers.scalar(), one), (numbers.scalar(), other)],
                })
                .collect();
            let sums = batch::sums_of_two(level, &pairs);
            for (i, (sum, item)) in sums.iter().zip(&pairs).enumerate() {
                let expected = theirs(&points[i]) * scalar(item.points[0].0)
                    + theirs(&points[points.len() - 1 - i]) * scalar(item.points[1].0);
                assert_eq!(*sum, ours(&expected), "{level}");
            }
        }
    }
}

/// Sums that meet every exceptional case of the formulas, one kind in each lane in turn, beside ordinary sums.
#[test]
fn exceptional_cases_in_every_lane() {
    let mut numbers = Numbers::new(2);
    let (zero, one) = (Fn::ZERO, Fn::ONE);
    let secret = numbers.scalar();
    let point = ours(&(ProjectivePoint::GENERATOR * scalar(secret))).unwrap();
    let generator = Point::GENERATOR;
    let mirrored = Point {
        x: generator.x,
        y: -generator.y,
    };
    let two = Fn::from_u64(2);
    // 2^128: where the second table of the generator starts.
    let high = (0..128).fold(one, |x, _| x.double());
    // Factors of G and of a point whose logarithm is known.
    let cases: Vec<(Fn, Fn, Point, Fn)> = vec![
        (zero, zero, generator, one),
        (one, one, generator, one),
        (one, one, mirrored, -one),
        (two, one, mirrored, -one),
        (one, zero, point, secret),
        (zero, one, point, secret),
        (secret, -one, point, secret),
        (secret, one, point, secret),
        (-secret, one, point, secret),
        (-one, -one, generator, one),
        (high, high, generator, one),
        (high, -high, generator, one),
        (-one, one, generator, one),
        (Fn::from_u64(16), Fn::from_u64(16), generator, one),
        (Fn::from_u64(32), -Fn::from_u64(32), generator, one),
        (Fn::from_u64(1 << 10), Fn::from_u64(1 << 10), mirrored, -one),
    ];
    for level in levels() {
        for (a, b, base, logarithm) in &cases {
            let expected = ours(&(ProjectivePoint::GENERATOR * scalar(*a + *b * *logarithm)));
            let others: Vec<Point> = (0..8).map(|_| numbers.point()).collect();
            for lane in 0..8 {
                let mut points = others.clone();
                points[lane] = *base;
                let tables = batch::tables(level, &points);
                let mut list: Vec<Combination<'_, 1>> = tables
                    .iter()
                    .map(|table| Combination {
                        generator: numbers.scalar(),
                        points: [(numbers.scalar(), table)],
                    })
                    .collect();
                let alone = batch::sums_with_generator(level, &list);
                list[lane] = Combination {
                    generator: *a,
                    points: [(*b, &tables[lane])],
                };
                let sums = batch::sums_with_generator(level, &list);
                for i in 0..8 {
                    let expected = if i == lane { expected } else { alone[i] };
                    assert_eq!(sums[i], expected, "{level}, lane {lane} of {i}");
                }
                // The same two points as free terms, the identity on either side.
                let pair = batch::tables(level, &[generator, *base]);
                let twice = [Combination {
                    generator: one,
                    points: [(*a, &pair[0]), (*b, &pair[1])],
                }; 8];
                assert_eq!(batch::sums_of_two(level, &twice), [expected; 8], "{level}");
            }
        }
    }
}

/// Two points whose x agree in their low words are neither equal nor opposite, though a look at the lowest limb says that they may be:
/// above 52 bits, which is the largest limb, and in all limbs but the highest.
#[test]
fn low_words_that_agree_do_not_make_points_equal() {
    let mut numbers = Numbers::new(6);
    for bits in [52, 52, 52, 52, 234, 234, 234, 234] {
        let step = (0..bits).fold(Fp::ONE, |step, _| step.double());
        let one = numbers.point();
        let mut x = one.x;
        let other = loop {
            x += step;
            if let Some(y) = batch::even_roots(Level::Portable, &[point::curve(x)])[0] {
                break Point { x, y };
            }
        };
        let expected = ours(&(theirs(&one) + theirs(&other)));
        for level in levels() {
            for lane in 0..8 {
                let mut points: Vec<Point> = (0..16).map(|_| numbers.point()).collect();
                (points[2 * lane], points[2 * lane + 1]) = (one, other);
                let tables = batch::tables(level, &points);
                let list: Vec<Combination<'_, 2>> = tables
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|[p, q]| Combination {
                        generator: Fn::ZERO,
                        points: [(Fn::ONE, p), (Fn::ONE, q)],
                    })
                    .collect();
                let sums = batch::sums_of_two(level, &list);
                assert_eq!(sums[lane], expected, "{level}, lane {lane}");
            }
        }
    }
}

#[test]
fn roots_are_even_or_absent() {
    let mut numbers = Numbers::new(3);
    let mut squares: Vec<Fp> = (0..40)
        .map(|_| Fp::reduce_bytes_be(&numbers.bytes()))
        .collect();
    squares.extend([Fp::ZERO, Fp::ONE, -Fp::ONE, Fp::from_u64(4)]);
    for level in levels() {
        let roots = batch::even_roots(level, &squares);
        assert_eq!(roots.len(), squares.len());
        assert!(roots.iter().any(Option::is_none));
        for (root, square) in roots.iter().zip(&squares) {
            match root {
                Some(root) => {
                    assert_eq!(root.square(), *square);
                    assert!(!point::is_odd(*root));
                }
                // -1 is no square, so one of both numbers is.
                None => assert!(batch::even_roots(level, &[-*square])[0].is_some()),
            }
        }
        assert!(batch::even_roots(level, &[]).is_empty() && batch::tables(level, &[]).is_empty());
        assert!(batch::sums_with_generator(level, &[]).is_empty());
    }
}

/// The fields' parameters: k256's scalars, and its curve for the base field.
#[test]
fn scalars_agree_with_k256() {
    let mut numbers = Numbers::new(4);
    let edges = [Fn::ZERO, Fn::ONE, -Fn::ONE, Fn::from_u64(2)];
    for i in 0..200 {
        let pick = |numbers: &mut Numbers, i: usize| match edges.get(i % 8) {
            Some(edge) => *edge,
            None => numbers.scalar(),
        };
        let (a, b) = (pick(&mut numbers, i), pick(&mut numbers, i / 8));
        let (c, d) = (scalar(a), scalar(b));
        assert_eq!(scalar(a + b), c + d);
        assert_eq!(scalar(a - b), c - d);
        assert_eq!(scalar(a * b), c * d);
        assert_eq!(scalar(-a), -c);
        assert_eq!(a.inverse().map(scalar), Option::<Scalar>::from(c.invert()));
    }
}
