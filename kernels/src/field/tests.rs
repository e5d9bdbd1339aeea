#![allow(unsafe_code)]
use super::{lanes::Lanes, secp256k1::Base as Secp256k1, *};
use ark_ff::{BigInteger, PrimeField};
use proptest::prelude::*;

/// The scalar field of BLS12-381: another parameter, whose stored products come to 2 p and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Bls12381;

impl Prime for Bls12381 {
    const NAME: &'static str = "BLS12-381 scalar field";
    const MODULUS: [u64; 4] = [
        0xffff_ffff_0000_0001,
        0x53bd_a402_fffe_5bfe,
        0x3339_d808_09a1_d805,
        0x73ed_a753_299d_7d48,
    ];
}

/// 256-bit numbers, those at the edges of limbs and fields often.
fn numbers() -> impl Strategy<Value = [u64; 4]> {
    let limb = prop_oneof![
        3 => any::<u64>(),
        1 => Just(0u64),
        1 => Just(u64::MAX),
        1 => Just((1 << 52) - 1),
    ];
    prop_oneof![
        8 => prop::array::uniform4(limb),
        1 => prop::sample::select(vec![[0; 4], [1, 0, 0, 0], [u64::MAX; 4]]),
    ]
}

fn element<P: Prime>(limbs: [u64; 4]) -> Element<P> {
    let bytes: Vec<u8> = limbs
        .iter()
        .rev()
        .flat_map(|limb| limb.to_be_bytes())
        .collect();
    Element::reduce_bytes_be(&bytes.try_into().unwrap())
}

fn to_ark<P: Prime, A: PrimeField>(value: Element<P>) -> A {
    A::from_be_bytes_mod_order(&value.to_bytes_be())
}

fn equal<P: Prime, A: PrimeField>(ours: Element<P>, theirs: A) -> bool {
    ours.to_bytes_be()[..] == theirs.into_bigint().to_bytes_be()[..]
}

fn agrees_with_ark<P: Prime, A: PrimeField>(a: [u64; 4], b: [u64; 4]) {
    let (x, y) = (element::<P>(a), element::<P>(b));
    let (u, v): (A, A) = (to_ark(x), to_ark(y));
    assert!(equal(x, u) && equal(y, v), "encoding");
    assert!(equal(x + y, u + v), "{x} + {y}");
    assert!(equal(x - y, u - v), "{x} - {y}");
    assert!(equal(x * y, u * v), "{x} * {y}");
    assert!(equal(-x, -u), "- {x}");
    assert!(equal(x.double(), u.double()));
    assert!(equal(x.power(&b), u.pow(b)), "{x} ^ {b:?}");
    match (x.inverse(), u.inverse()) {
        (Some(ours), Some(theirs)) => assert!(equal(ours, theirs), "1 / {x}"),
        (ours, theirs) => assert!(ours.is_none() && theirs.is_none(), "1 / {x}"),
    }
    let xs = [x, y, x, y, x];
    let ys = [y, y, x, -x, x + y];
    let sum = u * v + v * v + u * u - v * u + u * (u + v);
    assert!(equal(Element::dot(&xs, &ys), sum), "dot of {x} and {y}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn scalar_field_agrees_with_ark(a in numbers(), b in numbers()) {
        agrees_with_ark::<bn254::Scalar, ark_bn254::Fr>(a, b);
    }

    #[test]
    fn base_field_agrees_with_ark(a in numbers(), b in numbers()) {
        agrees_with_ark::<bn254::Base, ark_bn254::Fq>(a, b);
    }

    #[test]
    fn a_modulus_without_free_bits_obeys_the_laws(a in numbers(), b in numbers(), c in numbers()) {
        let (x, y, z) = (element::<Secp256k1>(a), element::<Secp256k1>(b), element::<Secp256k1>(c));
        prop_assert_eq!((x + y) * z, x * z + y * z);
        prop_assert_eq!((x * y) * z, x * (y * z));
        prop_assert_eq!(x - y + y, x);
        prop_assert_eq!(Element::dot(&[x, y, z], &[y, z, x]), x * y + y * z + z * x);
        prop_assert_eq!(x.inverse().map_or(Element::ONE, |inverse| inverse * x), Element::ONE);
    }

    #[test]
    fn lanes_agree_with_one_element(
        a in prop::collection::vec(numbers(), 32),
        b in prop::collection::vec(numbers(), 32),
    ) {
        all_lanes::<bn254::Scalar>(&a, &b, true);
        all_lanes::<bn254::Base>(&a, &b, true);
        all_lanes::<Secp256k1>(&a, &b, false);
        all_lanes::<Bls12381>(&a, &b, false);
        #[cfg(target_arch = "x86_64")]
        if crate::cpu::features().bmi2 && crate::cpu::features().adx {
            // SAFETY: the sets were found.
            unsafe {
                adx_operations::<bn254::Scalar>(&a, &b);
                adx_operations::<bn254::Base>(&a, &b);
            }
        }
    }
}

/// Runs the vector operations of each set that the processor has. Sums of many terms need the room that BN254 leaves.
fn all_lanes<P: Prime>(a: &[[u64; 4]], b: &[[u64; 4]], roomy: bool) {
    let list = |numbers: &[[u64; 4]]| {
        numbers
            .iter()
            .map(|limbs| element::<P>(*limbs))
            .collect::<Vec<_>>()
    };
    let (a, b) = (list(a), list(b));
    // SAFETY: scalar elements need no instruction set.
    unsafe { operations::<P, Element<P>>(&a, &b, roomy) };
    #[cfg(target_arch = "x86_64")]
    {
        if crate::cpu::Level::Avx2.is_available() {
            // SAFETY: the set was found.
            unsafe { avx2_operations::<P>(&a, &b, roomy) };
        }
        if crate::cpu::Level::Avx512.is_available() && crate::cpu::features().avx512_ifma {
            // SAFETY: the sets were found.
            unsafe { ifma_operations::<P>(&a, &b, roomy) };
        }
    }
}

/// # Safety
/// BMI2 and ADX.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi2,adx")]
unsafe fn adx_operations<P: Prime>(a: &[[u64; 4]], b: &[[u64; 4]]) {
    let list = |numbers: &[[u64; 4]]| -> Vec<Element<P>> {
        numbers.iter().map(|limbs| element(*limbs)).collect()
    };
    // SAFETY: the caller's promise.
    unsafe {
        operations::<P, super::adx::X1<P>>(&list(a), &list(b), true);
        largest_values::<P, super::adx::X1<P>>();
    }
}

/// # Safety
/// AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2_operations<P: Prime>(a: &[Element<P>], b: &[Element<P>], roomy: bool) {
    use super::{avx2::X4, pair::Pair};
    // SAFETY: the caller's promise.
    unsafe {
        operations::<P, X4<P>>(a, b, roomy);
        operations::<P, Pair<X4<P>>>(a, b, roomy);
        if roomy {
            largest_values::<P, X4<P>>();
        }
    }
}

/// # Safety
/// AVX-512 F, BW, DQ, VL and IFMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma")]
unsafe fn ifma_operations<P: Prime>(a: &[Element<P>], b: &[Element<P>], roomy: bool) {
    use super::{ifma::X8, pair::Pair};
    // SAFETY: the caller's promise.
    unsafe {
        operations::<P, X8<P>>(a, b, roomy);
        operations::<P, Pair<X8<P>>>(a, b, roomy);
        if roomy {
            largest_values::<P, X8<P>>();
        }
    }
}

/// # Safety
/// As [`Lanes`].
#[inline(always)]
unsafe fn operations<P: Prime, L: Lanes<P>>(a: &[Element<P>], b: &[Element<P>], roomy: bool) {
    let n = L::LANES;
    assert!(a.len() >= 2 * n && b.len() >= 2 * n);
    let mut out = [Element::<P>::ZERO; 32];
    // SAFETY: there are two elements for each lane.
    unsafe {
        // Every second element: the stride of a state of two words.
        let x = L::load(a.as_ptr(), 2);
        let y = L::load(b.as_ptr().add(1), 2);
        x.store(out.as_mut_ptr(), 2);
        for i in 0..n {
            assert_eq!(out[2 * i], a[2 * i], "load and store");
        }
        x.multiply(y).store(out.as_mut_ptr(), 2);
        for i in 0..n {
            assert_eq!(out[2 * i], a[2 * i] * b[2 * i + 1], "product");
        }
        x.pow5().store(out.as_mut_ptr(), 2);
        for i in 0..n {
            assert_eq!(out[2 * i], a[2 * i].power(&[5, 0, 0, 0]), "fifth power");
        }
        let constant = L::constant(b[0]);
        L::splat(&constant).store(out.as_mut_ptr(), 2);
        assert_eq!(out[0], b[0], "constant");
        if !roomy {
            return;
        }
        let fifth = x.pow5();
        y.plus_twice(fifth).shrink().store(out.as_mut_ptr(), 2);
        for i in 0..n {
            let expected = a[2 * i].power(&[5, 0, 0, 0]).double() + b[2 * i + 1];
            assert_eq!(out[2 * i], expected, "a sum with a double");
        }
        y.minus(x).shrink().store(out.as_mut_ptr(), 2);
        for i in 0..n {
            assert_eq!(out[2 * i], b[2 * i + 1] - a[2 * i], "difference");
        }
        let constants = [constant, L::constant(b[1])];
        L::dot(&[x, y], &constants, &constant, x).store(out.as_mut_ptr(), 2);
        for i in 0..n {
            let expected = a[2 * i] * b[0] + b[2 * i + 1] * b[1] + b[0] + a[2 * i];
            assert_eq!(out[2 * i], expected, "dot");
        }
        // The longest sum that a permutation takes, of settled values below 16 p.
        let xs = [[x, y]; 16];
        let long = [constants; 16];
        L::dot(xs.as_flattened(), long.as_flattened(), &constant, x).store(out.as_mut_ptr(), 2);
        for i in 0..n {
            let pair = a[2 * i] * b[0] + b[2 * i + 1] * b[1];
            let expected = pair * Element::from_u64(16) + b[0] + a[2 * i];
            assert_eq!(out[2 * i], expected, "long dot");
        }
        // Below 80 p: four loads of 16 p and fifteen constants, carries left in the limbs.
        let mut sum = x.plus(x).plus(y).plus(y);
        for _ in 0..15 {
            sum = sum.plus_constant(&constant);
        }
        let expected = |i: usize| (a[2 * i] + b[2 * i + 1]).double() + b[0] * Element::from_u64(15);
        sum.shrink()
            .multiply(sum.shrink())
            .store(out.as_mut_ptr(), 2);
        for i in 0..n {
            assert_eq!(out[2 * i], expected(i).square(), "shrink");
        }
        sum.settle().store(out.as_mut_ptr(), 2);
        for i in 0..n {
            assert_eq!(out[2 * i], expected(i), "settle");
        }
        let few = x.plus_constant(&constant).settle();
        few.pow5().store(out.as_mut_ptr(), 2);
        for i in 0..n {
            assert_eq!(
                out[2 * i],
                (a[2 * i] + b[0]).power(&[5, 0, 0, 0]),
                "fifth power of a sum"
            );
        }
    }
}

/// Values with every limb as large as it gets, as they lie in memory, and sums of them that are not reduced.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
unsafe fn largest_values<P: Prime, L: Lanes<P>>() {
    let [low, a, b, top] = P::MODULUS;
    let limbs = [
        [low - 1, a, b, top],
        [u64::MAX, u64::MAX, u64::MAX, top - 1],
        [u64::MAX, 0, u64::MAX, top - 1],
        [0, u64::MAX, 0, top],
        [1, 0, 0, 0],
    ];
    let elements = limbs.map(Element::<P>::from_montgomery);
    let check = |value: L, expected: Element<P>, case: &str| {
        let mut out = [Element::<P>::ZERO; 16];
        // SAFETY: there is room for every lane.
        unsafe { value.store(out.as_mut_ptr(), 1) };
        assert!(out[..L::LANES].iter().all(|x| *x == expected), "{case}");
    };
    for x in elements {
        // SAFETY: the caller's promise.
        let (wide, double) = unsafe {
            let one = L::splat(&L::constant(x));
            (one.plus(one).settle(), x.double())
        };
        for y in elements {
            let constant = L::constant(y);
            // SAFETY: the caller's promise.
            unsafe {
                let other = L::splat(&constant);
                check(wide.multiply(other), double * y, "product");
                check(other.multiply(wide), double * y, "product, turned");
                let fifth = double.power(&[5, 0, 0, 0]);
                check(wide.pow5(), fifth, "fifth power");
                let sum = other.plus(other).plus_twice(wide.pow5()).shrink();
                check(sum, y.double() + fifth.double(), "sum with a double");
                let sum = L::dot(&[wide; 3], &[constant; 3], &constant, wide);
                check(sum, double * (y + y.double()) + y + double, "dot");
                check(wide.minus(other).shrink(), double - y, "difference");
            }
        }
    }
}

/// Stores a multiple of what was loaded, for many values: 2 to the number of doublings, as large as the room lets it be.
///
/// # Safety
/// As [`Lanes`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn stored<P: Prime, L: Lanes<P>>(doublings: u32) {
    let mut value = element::<P>([3, 5, 7, 11]);
    for round in 0..2_000 {
        let mut values = [Element::<P>::ZERO; 8];
        for place in &mut values {
            value = value.square() + Element::ONE;
            *place = value;
        }
        let mut out = [Element::ZERO; 8];
        // SAFETY: the caller's promise; there is an element for each lane.
        unsafe {
            let mut x = L::load(values.as_ptr(), 1);
            for _ in 0..doublings {
                x = x.plus(x);
            }
            x.settle().store(out.as_mut_ptr(), 1);
        }
        let expected = values.map(|value| value * Element::from_u64(1 << doublings));
        assert_eq!(out[..L::LANES], expected[..L::LANES], "round {round}");
    }
}

/// Values that no test of a few numbers meets: those whose stored product is 2 p or more, one in some hundreds for this prime.
#[test]
#[cfg(target_arch = "x86_64")]
fn what_is_stored_is_below_the_modulus() {
    /// # Safety
    /// AVX2.
    #[target_feature(enable = "avx2")]
    unsafe fn avx2() {
        // SAFETY: the caller's promise.
        unsafe {
            stored::<Bls12381, super::avx2::X4<_>>(3);
            stored::<bn254::Scalar, super::avx2::X4<_>>(2);
        }
    }
    /// # Safety
    /// AVX-512 F, BW, DQ, VL and IFMA.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma")]
    unsafe fn ifma() {
        // SAFETY: the caller's promise.
        unsafe {
            stored::<Bls12381, super::ifma::X8<_>>(3);
            stored::<bn254::Scalar, super::ifma::X8<_>>(2);
        }
    }
    if crate::cpu::Level::Avx2.is_available() {
        // SAFETY: the set was found.
        unsafe { avx2() };
    }
    if crate::cpu::Level::Avx512.is_available() && crate::cpu::features().avx512_ifma {
        // SAFETY: the sets were found.
        unsafe { ifma() };
    }
}

#[test]
fn only_numbers_below_the_modulus_are_elements() {
    fn check<P: Prime>() {
        let minus_one = (-Element::<P>::ONE).to_bytes_be();
        assert_eq!(Element::<P>::from_bytes_be(&minus_one), Ok(-Element::ONE));
        let mut modulus = [0; 32];
        for (chunk, limb) in modulus.chunks_exact_mut(8).zip(P::MODULUS.iter().rev()) {
            chunk.copy_from_slice(&limb.to_be_bytes());
        }
        let error = NotCanonical { field: P::NAME };
        let refused = Err(error);
        assert_eq!(Element::<P>::from_bytes_be(&modulus), refused);
        assert_eq!(Element::<P>::from_bytes_be(&[0xff; 32]), refused);
        assert_eq!(Element::<P>::from_limbs(P::MODULUS), refused);
        assert_eq!(Element::<P>::reduce_bytes_be(&modulus), Element::ZERO);
        assert!(error.to_string().contains(P::NAME));
    }
    check::<bn254::Scalar>();
    check::<bn254::Base>();
    check::<Secp256k1>();
    check::<Bls12381>();
}

#[test]
fn batch_inversion_equals_one_by_one() {
    let mut elements: Vec<Fr> = (0..40u64).map(|i| Fr::from_u64(i * i * (i % 7))).collect();
    let expected: Vec<Fr> = elements
        .iter()
        .map(|x| x.inverse().unwrap_or(Fr::ZERO))
        .collect();
    assert!(
        expected.iter().filter(|x| x.is_zero()).count() > 3,
        "zeros stay zeros"
    );
    batch_inverse(&mut elements);
    assert_eq!(elements, expected);
    batch_inverse::<bn254::Scalar>(&mut []);
}

#[test]
fn numbers_print_as_hexadecimal() {
    let text = Fr::from_u64(0xabc).to_string();
    assert!(
        text.starts_with("0x000") && text.ends_with("abc") && text.len() == 66,
        "{text}"
    );
}
