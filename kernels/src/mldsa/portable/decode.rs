//! Unpacking of keys and signatures, FIPS 204 §7.1 and §7.2.

use super::{
    super::params::{D, K_MAX, N, Params},
    ntt::Poly,
};

/// One row of t1·2^d, each coefficient below 2²³ − 2¹³ < q (pkDecode, Algorithm 23; SimpleBitUnpack, Algorithm 18).
/// `packed` has 320 bytes: four coefficients of 10 bits in five.
pub(crate) fn t1_poly_shifted(packed: &[u8]) -> Poly {
    let mut poly = [0; N];
    for (out, bytes) in poly.chunks_exact_mut(4).zip(packed.chunks_exact(5)) {
        let bits = little_endian(bytes);
        for (i, c) in out.iter_mut().enumerate() {
            *c = (((bits >> (10 * i)) & 0x3ff) << D) as i32;
        }
    }
    poly
}

/// One polynomial of z, each coefficient in [−γ1 + 1, γ1] (BitUnpack, Algorithm 19): 18 bits for γ1 = 2¹⁷, 20 bits for
/// γ1 = 2¹⁹. Every bit pattern is a coefficient, so this cannot fail.
pub(crate) fn z_poly(params: &Params, packed: &[u8], poly: &mut Poly) {
    let gamma1 = params.gamma1() as i32;
    let bits = params.gamma1_bits + 1;
    // The shortest run of whole coefficients that ends on a byte: 4 of 18 bits, 2 of 20.
    let (count, len) = if bits == 18 { (4, 9) } else { (2, 5) };
    for (out, bytes) in poly.chunks_exact_mut(count).zip(packed.chunks_exact(len)) {
        let word = little_endian(bytes);
        for (i, c) in out.iter_mut().enumerate() {
            *c = gamma1 - ((word >> (bits * i as u32)) & ((1 << bits) - 1)) as i32;
        }
    }
}

/// Up to 16 bytes as a little-endian number.
fn little_endian(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, &byte| word << 8 | u128::from(byte))
}

/// A hint whose encoding has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hint<'a> {
    positions: &'a [u8],
    /// `ends[i]` is where row i stops in `positions`; it starts where the row before stops.
    ends: [usize; K_MAX],
}

impl<'a> Hint<'a> {
    /// HintBitUnpack (FIPS 204, Algorithm 21). `None` if the counts decrease or pass ω, positions of a row do not
    /// strictly increase, or a byte after the last position is not zero: each hint has one encoding only.
    pub fn unpack(params: &Params, packed: &'a [u8]) -> Option<Self> {
        let (positions, counts) = packed.split_at(params.omega);
        let mut ends = [0; K_MAX];
        let mut start = 0;
        for (end, &count) in ends.iter_mut().zip(counts) {
            *end = usize::from(count);
            // `get` also refuses an end before the start or past ω.
            let row = positions.get(start..*end)?;
            if !row.is_sorted_by(|a, b| a < b) {
                return None;
            }
            start = *end;
        }
        positions[start..]
            .iter()
            .all(|&byte| byte == 0)
            .then_some(Self { positions, ends })
    }

    /// Positions of the ones in row `row`, increasing.
    pub fn row(&self, row: usize) -> &'a [u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.positions[start..self.ends[row]]
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::params::ParameterSet, *};

    #[test]
    fn t1_bits() {
        let mut packed = [0u8; 320];
        packed[..5].copy_from_slice(&[0xff, 0x03, 0x10, 0xc0, 0xff]);
        let poly = t1_poly_shifted(&packed);
        assert_eq!(poly[..4], [0x3ff << 13, 0, 1 << 13, 0x3ff << 13]);
    }

    #[test]
    fn z_extremes() {
        for set in ParameterSet::ALL {
            let params = set.params();
            let gamma1 = params.gamma1() as i32;
            let mut poly = [0; N];
            z_poly(params, &vec![0; params.z_poly_len()], &mut poly);
            assert_eq!(poly, [gamma1; N]);
            z_poly(params, &vec![0xff; params.z_poly_len()], &mut poly);
            assert_eq!(poly, [1 - gamma1; N]);
        }
    }

    /// A packed hint from rows of positions, HintBitPack without checks.
    fn pack(params: &Params, rows: &[&[u8]]) -> Vec<u8> {
        let mut packed = vec![0; params.omega + params.k];
        let mut index = 0;
        for (i, row) in rows.iter().enumerate() {
            packed[index..index + row.len()].copy_from_slice(row);
            index += row.len();
            packed[params.omega + i] = index as u8;
        }
        packed
    }

    #[test]
    fn hint_has_one_encoding() {
        let params = ParameterSet::MlDsa44.params();
        let rows: [&[u8]; 4] = [&[0, 5, 255], &[], &[7], &[3, 4]];
        let good = pack(params, &rows);
        let hint = Hint::unpack(params, &good).unwrap();
        for (i, row) in rows.iter().enumerate() {
            assert_eq!(hint.row(i), *row);
        }
        let with = |at: usize, byte: u8| {
            let mut bad = good.clone();
            bad[at] = byte;
            bad
        };
        assert_eq!(Hint::unpack(params, &with(1, 0)), None, "equal positions");
        assert_eq!(
            Hint::unpack(params, &with(0, 9)),
            None,
            "decreasing positions"
        );
        assert_eq!(Hint::unpack(params, &with(6, 1)), None, "padding");
        assert_eq!(Hint::unpack(params, &with(79, 1)), None, "last padding");
        assert_eq!(Hint::unpack(params, &with(81, 2)), None, "count decreases");
        assert_eq!(
            Hint::unpack(params, &with(83, 81)),
            None,
            "count past omega"
        );
        assert_eq!(
            Hint::unpack(params, &with(83, 255)),
            None,
            "count at its most"
        );
        let all: Vec<u8> = (0..80).collect();
        let full = pack(params, &[&all, &[], &[], &[]]);
        assert_eq!(Hint::unpack(params, &full).unwrap().row(0), all);
    }
}
