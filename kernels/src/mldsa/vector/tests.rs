//! Every building block against the portable one, on each instruction set of this processor.

use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};

use super::{
    Poly, Q, Words,
    avx2::W8,
    avx512::W16,
    canonical, ntt,
    poly::{self, Entry},
};
use crate::{
    cpu::Level,
    keccak::Shake128,
    mldsa::{
        params::{N as COEFFICIENTS, ParameterSet, Params},
        portable::{decode, ntt as portable_ntt, rounding, sample},
    },
};

/// Runs a generic check on both register widths, each where the processor has it.
macro_rules! on_each_level {
    ($check:ident) => {{
        #[target_feature(enable = "avx2,popcnt")]
        unsafe fn avx2() {
            // SAFETY: compiled for AVX2, called where it is available.
            unsafe { $check::<8, W8>() }
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,popcnt")]
        unsafe fn avx512() {
            // SAFETY: compiled for AVX-512, called where it is available.
            unsafe { $check::<16, W16>() }
        }
        if Level::Avx2.is_available() {
            // SAFETY: just checked.
            unsafe { avx2() }
        }
        if Level::Avx512.is_available() {
            // SAFETY: just checked.
            unsafe { avx512() }
        }
    }};
}

fn random_poly(rng: &mut SmallRng, below: u32) -> Poly {
    Poly(core::array::from_fn(|_| rng.random_range(0..below)))
}

/// The polynomial modulo q, as the portable code has it.
fn signed(poly: &Poly) -> [i32; COEFFICIENTS] {
    poly.0.map(|word| (word % Q).cast_signed())
}

fn params() -> [&'static Params; 3] {
    ParameterSet::ALL.map(ParameterSet::params)
}

#[inline(always)]
unsafe fn transforms<const N: usize, V: Words<N>>() {
    let mut rng = SmallRng::seed_from_u64(7);
    let edges = [0, 1, Q - 1, Q, 2 * Q - 1];
    for round in 0..200 {
        let mut poly = random_poly(&mut rng, 2 * Q);
        if round < edges.len() {
            poly = Poly([edges[round]; COEFFICIENTS]);
        }
        let mut expected = signed(&poly);
        portable_ntt::forward(&mut expected);
        let mut forward = poly.clone();
        // SAFETY: the caller's promise.
        unsafe { ntt::ntt::<N, V>(&mut forward) };
        assert!(forward.0.iter().all(|&word| word < 18 * Q));
        assert_eq!(
            signed(&forward),
            expected.map(|c| c.rem_euclid(Q.cast_signed())),
            "forward"
        );
        // The inverse also multiplies by 2^32, which the reduction before it takes out.
        let mut backward = Poly(forward.0.map(|word| word % Q));
        // SAFETY: as above.
        unsafe { ntt::inverse_ntt::<N, V>(&mut backward) };
        for (&got, &word) in backward.0.iter().zip(&poly.0) {
            assert!(got < Q);
            assert_eq!(
                u64::from(got),
                (u64::from(word) << 32) % u64::from(Q),
                "backward"
            );
        }
        // The largest input the inverse takes.
        let mut top = Poly([2 * Q - 1; COEFFICIENTS]);
        let mut same = Poly([Q - 1; COEFFICIENTS]);
        // SAFETY: as above.
        unsafe {
            ntt::inverse_ntt::<N, V>(&mut top);
            ntt::inverse_ntt::<N, V>(&mut same);
        }
        assert_eq!(top.0, same.0);
    }
}

#[test]
fn transforms_equal_portable() {
    on_each_level!(transforms);
}

#[inline(always)]
unsafe fn dots<const N: usize, V: Words<N>>() {
    let mut rng = SmallRng::seed_from_u64(8);
    for round in 0..100 {
        // The bounds of `finish_row`, and every value at its largest in the first round.
        let mut make = |below: u32| {
            if round == 0 {
                Poly([below - 1; COEFFICIENTS])
            } else {
                random_poly(&mut rng, below)
            }
        };
        let first = (make(17 * Q), make(17 * Q));
        let z: [Poly; 7] = core::array::from_fn(|_| make(18 * Q));
        let row: [Entry; 7] = core::array::from_fn(|_| {
            let mut entry = Entry::ZERO;
            entry.0[..COEFFICIENTS].copy_from_slice(&make(Q).0);
            entry
        });
        let mut out = Poly::ZERO;
        // SAFETY: the caller's promise.
        unsafe {
            poly::dot::<N, V>(
                (&first.0.0, &first.1),
                (&row.each_ref().map(Entry::words), &z),
                &mut out,
            );
        }
        for i in 0..COEFFICIENTS {
            let product = |a: u32, b: u32| u128::from(a) * u128::from(b);
            let sum = product(first.0.0[i], first.1.0[i])
                + (0..7)
                    .map(|j| product(row[j].0[i], z[j].0[i]))
                    .sum::<u128>();
            assert!(out.0[i] < 2 * Q);
            assert_eq!(
                (u128::from(out.0[i]) << 32) % u128::from(Q),
                sum % u128::from(Q)
            );
        }
    }
}

#[test]
fn dot_products_equal_integers() {
    on_each_level!(dots);
}

#[inline(always)]
unsafe fn decoding<const N: usize, V: Words<N>>() {
    let mut rng = SmallRng::seed_from_u64(9);
    for params in params() {
        for round in 0..50 {
            let mut packed = vec![0u8; params.z_poly_len() + 64];
            match round {
                0 => {}
                1 => packed.fill(0xff),
                _ => rng.fill_bytes(&mut packed),
            }
            let mut expected = [0; COEFFICIENTS];
            decode::z_poly(params, &packed[..params.z_poly_len()], &mut expected);
            let mut got = Poly::ZERO;
            // SAFETY: 64 bytes follow; the caller's promise.
            unsafe { poly::unpack_z::<N, V>(params, packed.as_ptr(), &mut got) };
            let expected = expected.map(|c| (c + Q.cast_signed()).cast_unsigned());
            assert_eq!(got.0, expected);

            let mut packed = vec![0u8; 320 + 64];
            rng.fill_bytes(&mut packed);
            let expected = decode::t1_poly_shifted(&packed[..320]);
            // SAFETY: as above.
            unsafe { poly::unpack_t1::<N, V>(packed.as_ptr(), &mut got) };
            assert_eq!(got.0, expected.map(i32::cast_unsigned));
        }
    }
}

#[test]
fn decoding_equals_portable() {
    on_each_level!(decoding);
}

#[inline(always)]
unsafe fn norms<const N: usize, V: Words<N>>() {
    for params in params() {
        let bits = params.gamma1_bits + 1;
        let (gamma1, beta) = (params.gamma1(), params.beta);
        // The four fields on either side of each bound, in each place of the polynomial.
        let cases = [
            (beta, false),
            (beta + 1, true),
            (2 * gamma1 - beta - 1, true),
            (2 * gamma1 - beta, false),
        ];
        for place in 0..COEFFICIENTS {
            for (field, expected) in cases {
                let mut packed = vec![0u8; params.z_poly_len() + 64];
                for i in 0..COEFFICIENTS {
                    let value = if i == place { field } else { gamma1 };
                    for bit in 0..bits as usize {
                        let at = i * bits as usize + bit;
                        packed[at / 8] |= ((value >> bit & 1) as u8) << (at % 8);
                    }
                }
                // SAFETY: 64 bytes follow; the caller's promise.
                let inside = unsafe { poly::within_norm::<N, V>(params, packed.as_ptr()) };
                assert_eq!(inside, expected, "field {field} at {place}");
            }
        }
    }
}

#[test]
fn norm_bound_is_exact() {
    on_each_level!(norms);
}

#[inline(always)]
unsafe fn hints<const N: usize, V: Words<N>>() {
    // Every residue with and without a hint, for both rounding ranges.
    for params in [params()[0], params()[1]] {
        for start in (0..Q).step_by(COEFFICIENTS) {
            let w = Poly(core::array::from_fn(|i| (start + i as u32).min(Q - 1)));
            for ones in [&[][..], &(0..=255).collect::<Vec<u8>>()] {
                let mut expected = w.0.map(u32::cast_signed);
                rounding::use_hint(params, &mut expected, ones);
                let mut buffer = [0; 192];
                let expected = rounding::w1_encode(params, &expected, &mut buffer);
                let hint = Poly([u32::from(!ones.is_empty()); COEFFICIENTS]);
                let mut out = [0u8; 192 + 32];
                // SAFETY: 32 bytes follow the longest row; the caller's promise.
                unsafe {
                    poly::use_hint_and_encode::<N, V>(params, &w, &hint, out.as_mut_ptr());
                }
                assert_eq!(&out[..expected.len()], expected, "from residue {start}");
            }
        }
    }
}

#[test]
fn hints_equal_portable_on_every_residue() {
    on_each_level!(hints);
}

#[inline(always)]
unsafe fn sampling<const N: usize, V: Words<N>>() {
    for seed in 0..200u8 {
        let rho = [seed; 32];
        let mut stream = [0u8; 896];
        let (output, _) = stream.split_at_mut(840);
        Shake128::new()
            .absorb(&rho)
            .absorb(&[3, 2])
            .finish()
            .read(output);
        let mut got = Entry::ZERO;
        // SAFETY: 56 bytes follow the stream; the caller's promise.
        assert!(unsafe { poly::sample::<N, V>(stream.as_ptr(), &mut got) });
        let expected = sample::matrix_entry(&rho, 2, 3);
        assert_eq!(got.0[..COEFFICIENTS], expected.map(i32::cast_unsigned));
    }
    // A stream of refused candidates is noticed, and one that is barely enough is not.
    let mut got = Entry::ZERO;
    // SAFETY: as above.
    assert!(!unsafe { poly::sample::<N, V>([0xff; 896].as_ptr(), &mut got) });
    let mut stream = [0u8; 896];
    stream[..3 * 16].fill(0xff);
    // SAFETY: as above.
    assert!(unsafe { poly::sample::<N, V>(stream.as_ptr(), &mut got) });
    stream[3 * 16..3 * 25].fill(0xff);
    // SAFETY: as above.
    assert!(!unsafe { poly::sample::<N, V>(stream.as_ptr(), &mut got) });
}

#[test]
fn sampling_equals_portable() {
    on_each_level!(sampling);
}

#[inline(always)]
unsafe fn small_operations<const N: usize, V: Words<N>>() {
    // SAFETY: the caller's promise.
    unsafe {
        let words: [u32; 256] = core::array::from_fn(|i| i as u32);
        let mut rows = [V::splat(0); N];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = V::load(words[i * N % 128..].as_ptr()).add(V::splat((1000 * i) as u32));
        }
        let before: Vec<Vec<u32>> = rows.iter().map(|row| to_words(*row)).collect();
        V::transpose(&mut rows);
        for (i, row) in rows.iter().enumerate() {
            for (j, word) in to_words(*row).into_iter().enumerate() {
                assert_eq!(word, before[j][i]);
            }
        }
        let top = V::splat(2 * Q - 1);
        assert!(to_words(canonical(top)).iter().all(|&word| word == Q - 1));
        assert!(
            to_words(canonical(V::splat(Q)))
                .iter()
                .all(|&word| word == 0)
        );
        assert!(
            to_words(canonical(V::splat(Q - 1)))
                .iter()
                .all(|&word| word == Q - 1)
        );
    }
}

unsafe fn to_words<const N: usize, V: Words<N>>(value: V) -> Vec<u32> {
    let mut out = vec![0; N];
    // SAFETY: the caller's promise.
    unsafe { value.store(out.as_mut_ptr()) };
    out
}

#[test]
fn transpose_and_reduction() {
    on_each_level!(small_operations);
}
