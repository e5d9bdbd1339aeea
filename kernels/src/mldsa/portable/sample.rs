//! Pseudorandom sampling, FIPS 204 §7.3.

use super::{
    super::params::{N, Params, Q},
    ntt::Poly,
};
use crate::keccak::{Shake128, Shake256};

/// Entry (row, column) of Â in [0, q): one call of RejNTTPoly in ExpandA (FIPS 204, Algorithms 30 and 32).
pub(crate) fn matrix_entry(rho: &[u8], row: usize, column: usize) -> Poly {
    let mut reader = Shake128::new()
        .absorb(rho)
        .absorb(&[column as u8, row as u8])
        .finish();
    let mut poly = [0; N];
    let mut slots = poly.iter_mut();
    loop {
        // 56 candidates of three bytes in each block of 168.
        for bytes in reader.block().chunks_exact(3) {
            let candidate =
                u32::from(bytes[0]) | u32::from(bytes[1]) << 8 | u32::from(bytes[2] & 0x7f) << 16;
            if candidate < Q {
                match slots.next() {
                    Some(slot) => *slot = candidate as i32,
                    None => return poly,
                }
            }
        }
    }
}

/// SampleInBall (FIPS 204, Algorithm 29): τ coefficients ±1, the others 0.
pub(crate) fn in_ball(params: &Params, seed: &[u8]) -> Poly {
    let mut reader = Shake256::new().absorb(seed).finish();
    let mut signs = [0; 8];
    reader.read(&mut signs);
    let mut signs = u64::from_le_bytes(signs);
    let mut c = [0; N];
    for i in N - params.tau..N {
        let j = loop {
            let mut byte = [0];
            reader.read(&mut byte);
            let j = usize::from(byte[0]);
            if j <= i {
                break j;
            }
        };
        c[i] = c[j];
        c[j] = 1 - 2 * (signs & 1) as i32;
        signs >>= 1;
    }
    c
}

#[cfg(test)]
mod tests {
    use super::{super::super::params::ParameterSet, *};

    #[test]
    fn challenge_has_tau_ones() {
        for set in ParameterSet::ALL {
            let params = set.params();
            for seed in 0..50u8 {
                let c = in_ball(params, &vec![seed; params.c_tilde_len]);
                assert_eq!(c.iter().filter(|c| c.abs() == 1).count(), params.tau);
                assert_eq!(c.iter().filter(|c| **c == 0).count(), N - params.tau);
            }
        }
    }

    #[test]
    fn entries_are_reduced_and_differ() {
        let rho = [9; 32];
        let a = matrix_entry(&rho, 0, 1);
        assert!(a.iter().all(|c| (0..Q as i32).contains(c)));
        assert_ne!(a, matrix_entry(&rho, 1, 0));
    }
}
