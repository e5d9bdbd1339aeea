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
        }
    }
}
