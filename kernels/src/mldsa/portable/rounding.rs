//! High-order bits and hints, FIPS 204 §7.4, and the encoding of w1.

use super::{
    super::params::{N, Params, Q},
    ntt::Poly,
};

/// HighBits and the sign of LowBits (FIPS 204, Algorithm 36) of a value in [0, q): (r1, r0 > 0).
pub(crate) fn decompose(params: &Params, r: i32) -> (i32, bool) {
    let alpha = 2 * params.gamma2 as i32;
    let r = r % Q as i32;
    // r1 = round half down of r/α, so that r0 = r − r1·α lies in (−γ2, γ2].
    let r1 = (r + params.gamma2 as i32 - 1) / alpha;
    let r0 = r - r1 * alpha;
    if r1 == params.high_values() as i32 {
        // The top half interval belongs to 0: there r0 is lowered by one and never positive.
        (0, false)
    } else {
        (r1, r0 > 0)
    }
}

/// UseHint (FIPS 204, Algorithm 40) on a polynomial in [0, q); `ones` are the positions where the hint is 1.
/// The result is in [0, m).
pub(crate) fn use_hint(params: &Params, w: &mut Poly, ones: &[u8]) {
    let m = params.high_values() as i32;
    let mut ones = ones
        .iter()
        .map(|&position| usize::from(position))
        .peekable();
    for (i, c) in w.iter_mut().enumerate() {
        let (r1, positive) = decompose(params, *c);
        *c = match ones.next_if_eq(&i) {
            None => r1,
            Some(_) if positive => (r1 + 1) % m,
            Some(_) => (r1 + m - 1) % m,
        };
    }
}

/// One row of w1Encode (FIPS 204, Algorithm 28): 6 bits a coefficient for m = 44, 4 bits for m = 16. Returns the part
/// of `out` that is filled.
pub(crate) fn w1_encode<'a>(params: &Params, w1: &Poly, out: &'a mut [u8; 192]) -> &'a [u8] {
    let out = &mut out[..params.w1_poly_len()];
    if out.len() == N / 2 {
        for (byte, pair) in out.iter_mut().zip(w1.chunks_exact(2)) {
            *byte = (pair[0] | pair[1] << 4) as u8;
        }
    } else {
        for (bytes, four) in out.chunks_exact_mut(3).zip(w1.chunks_exact(4)) {
            let bits = four[0] | four[1] << 6 | four[2] << 12 | four[3] << 18;
            bytes.copy_from_slice(&bits.to_le_bytes()[..3]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{super::super::params::ParameterSet, *};

    /// Decompose as the standard writes it, over the integers.
    fn decompose_by_the_book(params: &Params, r: i64) -> (i64, i64) {
        let (q, alpha) = (i64::from(Q), 2 * i64::from(params.gamma2));
        let mut r0 = r.rem_euclid(alpha);
        if r0 > alpha / 2 {
            r0 -= alpha;
        }
        if r - r0 == q - 1 {
            (0, r0 - 1)
        } else {
            ((r - r0) / alpha, r0)
        }
    }

    /// Every residue of both rounding ranges.
    #[test]
    fn decompose_every_residue() {
        for set in [ParameterSet::MlDsa44, ParameterSet::MlDsa65] {
            let params = set.params();
            for r in 0..Q as i32 {
                let (r1, r0) = decompose_by_the_book(params, i64::from(r));
                assert_eq!(
                    decompose(params, r),
                    (r1 as i32, r0 > 0),
                    "residue {r} of {set}"
                );
            }
        }
    }

    #[test]
    fn hints_step_and_wrap() {
        let params = ParameterSet::MlDsa65.params();
        let alpha = 2 * params.gamma2 as i32;
        let mut w = [0; N];
        w[1] = 1;
        w[2] = 15 * alpha + 1;
        w[3] = Q as i32 - 1;
        w[4] = 3 * alpha;
        w[5] = 3 * alpha + 1;
        use_hint(params, &mut w, &[0, 1, 2, 3, 4]);
        assert_eq!(w[..6], [15, 1, 0, 15, 2, 3]);
    }

    #[test]
    fn encodings() {
        let mut out = [0; 192];
        let mut w1 = [0; N];
        w1[..4].copy_from_slice(&[1, 15, 2, 3]);
        let encoded = w1_encode(ParameterSet::MlDsa87.params(), &w1, &mut out);
        assert_eq!((encoded.len(), &encoded[..2]), (128, &[0xf1, 0x32][..]));
        w1[..4].copy_from_slice(&[43, 1, 0, 32]);
        let encoded = w1_encode(ParameterSet::MlDsa44.params(), &w1, &mut out);
        assert_eq!(
            (encoded.len(), &encoded[..3]),
            (192, &[0x6b, 0x00, 0x80][..])
        );
    }
}
