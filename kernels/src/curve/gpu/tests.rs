use super::*;
use crate::{
    cpu::Level,
    field::{Fq, Prime, bn254, secp256k1},
    gpu::adapters,
    secp256k1::{
        Fn, Fp, Point,
        batch::{Combination, sums_of_two, sums_with_generator, tables},
        gpu::{Secp256k1, device_sums, point, term},
    },
};
use std::time::Duration;

/// What the shader's `power` does with a chain.
fn power<P: Prime>(x: Element<P>, chain: &Chain) -> Element<P> {
    let (mut a, mut kept) = (x, [x; 6]);
    for code in chain.codes() {
        let mut factor = a;
        for _ in 0..code & 255 {
            a = a.square();
        }
        match code >> 8 & 15 {
            0 => {}
            1 => factor = x,
            15 => factor = Element::ONE,
            place => factor = kept[place as usize],
        }
        a *= factor;
        kept[(code >> 12) as usize] = a;
    }
    a
}

#[test]
fn chains_are_the_powers_they_are_named_for() {
    for start in [2, 3, 77] {
        let x = Fp::from_u64(start).power(&[11, 12, 13, 14]);
        assert_eq!(power(x, &Secp256k1::inverse()) * x, Fp::ONE);
        let square = x.square();
        assert_eq!(power(square, &Secp256k1::root()).square(), square);
        let x = Fq::from_u64(start).power(&[11, 12, 13, 14]);
        for exponent in [[3, 0, 0, 0], [0xdead_beef, 5, 0, 3], [0, 0, 0, 0xc << 60]] {
            assert_eq!(power(x, &Chain::power(&exponent)), x.power(&exponent));
        }
    }
}

/// The limbs add up to the multiple, and no limb of a settled number is larger than the one it is taken from.
#[test]
fn multiples_of_p_cover_what_is_taken_from_them() {
    fn check<P: Prime>() {
        for form in [Form::Wide, Form::Narrow] {
            for k in [4, 10] {
                let limbs = shaders::borrowed(form, k, &P::MODULUS);
                let mut sum = Element::<P>::ZERO;
                let radix = Element::<P>::from_u64(1 << form.bits());
                for limb in limbs.iter().rev() {
                    sum = sum * radix + Element::from_u64((*limb).into());
                }
                assert!(sum.is_zero(), "{form:?}, {k}");
                let (top, rest) = limbs.split_last().unwrap();
                assert!(rest.iter().all(|limb| *limb >= (1 << form.bits()) - 1));
                let p = form.split(&P::MODULUS);
                assert!(*top >= (k - 1) * p.last().unwrap());
            }
        }
    }
    check::<secp256k1::Base>();
    check::<bn254::Base>();
}

/// Sums of two points of their own that are equal, opposite, or multiples of each other, with factors that let the sum pass through
/// the identity.
#[test]
fn sums_of_two_related_points_equal_the_cpu() {
    let level = Level::Portable;
    let generator = tables(level, &[Point::GENERATOR]);
    let numbers: Vec<Fn> = [1, 2, 3, 8]
        .into_iter()
        .flat_map(|number| [Fn::from_u64(number), -Fn::from_u64(number)])
        .collect();
    // A number whose halves by the endomorphism are both small, and one whose are not.
    let factors = [
        &numbers[..],
        &[
            Fn::ZERO,
            -Fn::from_u64(1 << 40),
            Fn::from_u64(7).power(&[9; 4]),
        ],
    ]
    .concat();
    let multiples: Vec<Combination<'_, 1>> = numbers
        .iter()
        .map(|number| Combination {
            generator: *number,
            points: [(Fn::ZERO, &generator[0])],
        })
        .collect();
    let points: Vec<Point> = sums_with_generator(level, &multiples)
        .into_iter()
        .map(Option::unwrap)
        .collect();
    let tables = tables(level, &points);
    let mut cases = Vec::new();
    for p in 0..points.len() {
        for q in [0, 1, 2, 7] {
            for a in &factors {
                for b in &factors {
                    cases.push([(p, *a), (q, *b)]);
                }
            }
        }
    }
    let list: Vec<Combination<'_, 2>> = cases
        .iter()
        .map(|terms| Combination {
            generator: Fn::ZERO,
            points: terms.map(|(at, factor)| (factor, &tables[at])),
        })
        .collect();
    let expected = sums_of_two(level, &list);
    assert!(expected.iter().filter(|sum| sum.is_none()).count() > 50);
    let shape = Shape {
        points: 2,
        fixed: 0,
    };
    for adapter in adapters() {
        eprintln!("adapter: {}", adapter.info());
        let device = adapter.open(Duration::from_secs(120)).unwrap();
        for wide in [true, false] {
            let mut tuning = Tuning::of(&device);
            tuning.wide &= wide;
            let mut sums = device_sums(&device, tuning).unwrap();
            let mut found = Vec::new();
            for cases in cases.chunks(sums.max_batch(shape)) {
                let mut plan = Plan::new(shape);
                for terms in cases {
                    let terms = terms.map(|(at, factor)| {
                        term(points[at].x(), Ordinate::Given(points[at].y()), factor)
                    });
                    plan.push(&terms, &[]);
                }
                let pending = sums.submit(&plan).unwrap();
                found.extend(sums.collect(pending).unwrap().into_iter().map(point));
            }
            assert!(found == expected, "wide {wide}");
        }
    }
}
