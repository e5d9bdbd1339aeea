//! Points of the curve and their encodings (SEC 1, section 2.3).

use crate::field::secp256k1::Fp;

/// A point of the curve y^2 = x^3 + 7, not the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    pub(super) x: Fp,
    pub(super) y: Fp,
}

/// A number with these limbs, which are below p.
const fn coordinate(limbs: [u64; 4]) -> Fp {
    match Fp::from_limbs(limbs) {
        Ok(element) => element,
        Err(_) => Fp::ZERO,
    }
}

impl Point {
    /// G (SEC 2, section 2.4.1).
    pub const GENERATOR: Self = Self {
        x: coordinate([
            0x59f2_815b_16f8_1798,
            0x029b_fcdb_2dce_28d9,
            0x55a0_6295_ce87_0b07,
            0x79be_667e_f9dc_bbac,
        ]),
        y: coordinate([
            0x9c47_d08f_fb10_d4b8,
            0xfd17_b448_a685_5419,
            0x5da4_fbfc_0e11_08a8,
            0x483a_da77_26a3_c465,
        ]),
    };

    /// The point with these coordinates, if they are those of a point.
    pub fn from_coordinates(x: Fp, y: Fp) -> Option<Self> {
        (y.square() == curve(x)).then_some(Self { x, y })
    }

    /// x.
    pub fn x(&self) -> Fp {
        self.x
    }

    /// y.
    pub fn y(&self) -> Fp {
        self.y
    }

    /// Whether y is odd, as a number below p.
    pub fn is_odd(&self) -> bool {
        is_odd(self.y)
    }

    /// The compressed encoding: 2 for an even y or 3 for an odd one, then x.
    pub fn to_compressed(&self) -> [u8; 33] {
        let mut bytes = [0; 33];
        bytes[0] = 2 + u8::from(self.is_odd());
        bytes[1..].copy_from_slice(&self.x.to_bytes_be());
        bytes
    }

    /// Both coordinates, x first, without the leading 4 of SEC 1.
    pub fn to_uncompressed(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&self.x.to_bytes_be());
        bytes[32..].copy_from_slice(&self.y.to_bytes_be());
        bytes
    }
}

/// x^3 + 7.
pub(super) fn curve(x: Fp) -> Fp {
    x.square() * x + Fp::from_u64(7)
}

pub(super) fn is_odd(element: Fp) -> bool {
    element.to_limbs()[0] & 1 == 1
}
