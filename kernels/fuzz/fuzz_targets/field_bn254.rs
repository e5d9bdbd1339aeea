//! The fields of BN254 against another implementation, and permutations on every level of the processor against the portable code.
//!
//! Input: three numbers of 32 bytes. Numbers of p or more are refused.
#![no_main]

use ark_ff::{BigInteger, PrimeField};
use libfuzzer_sys::fuzz_target;
use pars_kernels::{
    cpu::Level,
    field::{Element, Prime, batch_inverse, bn254},
    poseidon::Instance,
};

/// The element of bytes, which exists if and only if the other implementation leaves them as they are.
fn read<P: Prime, A: PrimeField>(bytes: &[u8; 32]) -> Option<(Element<P>, A)> {
    let theirs = A::from_be_bytes_mod_order(bytes);
    let canonical = theirs.into_bigint().to_bytes_be() == bytes;
    let ours = Element::from_bytes_be(bytes);
    assert_eq!(ours.is_ok(), canonical, "which numbers are elements");
    Some((ours.ok()?, theirs))
}

fn equal<P: Prime, A: PrimeField>(ours: Element<P>, theirs: A, what: &str) {
    assert_eq!(
        ours.to_bytes_be()[..],
        theirs.into_bigint().to_bytes_be()[..],
        "{what}"
    );
}

fn field<P: Prime, A: PrimeField>(numbers: &[[u8; 32]; 3]) {
    let [Some((x, u)), Some((y, v))] = [&numbers[0], &numbers[1]].map(read::<P, A>) else {
        return;
    };
    equal(x + y, u + v, "sum");
    equal(x - y, u - v, "difference");
    equal(x * y, u * v, "product");
    equal(-x, -u, "negative");
    equal(x.double(), u.double(), "double");
    equal(x.power(&[5, 0, 0, 0]), u.pow([5u64]), "fifth power");
    let mut inverses = [x, y, x - y];
    batch_inverse(&mut inverses);
    for (ours, theirs) in inverses.into_iter().zip([u, v, u - v]) {
        equal(ours, theirs.inverse().unwrap_or(A::ZERO), "inverse");
    }
}

fuzz_target!(|data: &[u8]| {
    let (numbers, _) = data.as_chunks::<32>();
    let Some(numbers) = numbers.first_chunk::<3>() else {
        return;
    };
    field::<bn254::Scalar, ark_bn254::Fr>(numbers);
    field::<bn254::Base, ark_bn254::Fq>(numbers);

    let words: Vec<_> = numbers
        .iter()
        .filter_map(read::<bn254::Scalar, ark_bn254::Fr>)
        .collect();
    let [(a, _), (b, _), (c, _)] = words[..] else {
        return;
    };
    // A lone state, and one group of lanes with states that differ from each other.
    for (instance, width) in [
        (Instance::Circom, 3),
        (Instance::Poseidon2, 3),
        (Instance::Gnark, 2),
    ] {
        for count in [1, 8] {
            let mut state = [a, b, c];
            let mut states = Vec::new();
            for _ in 0..count {
                states.extend_from_slice(&state[..width]);
                state = [state[1] + a, state[2] - b, state[0] * c];
            }
            let mut expected = states.clone();
            instance
                .permute_many_at(Level::Portable, width, &mut expected)
                .unwrap();
            for level in Level::ALL {
                let mut found = states.clone();
                instance.permute_many_at(level, width, &mut found).unwrap();
                assert_eq!(found, expected, "{instance}, {level}");
            }
        }
    }
});
