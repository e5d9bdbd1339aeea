//! secp256k1 (SEC 2, section 2.4.1): the curve y^2 = x^3 + 7 over the base field with a group of prime order, the modulus of the
//! scalar field.

use super::{Element, Prime};

/// Parameter of the scalar field: n, the order of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scalar;

impl Prime for Scalar {
    const NAME: &'static str = "secp256k1 scalar field";
    const MODULUS: [u64; 4] = [
        0xbfd2_5e8c_d036_4141,
        0xbaae_dce6_af48_a03b,
        0xffff_ffff_ffff_fffe,
        0xffff_ffff_ffff_ffff,
    ];
}

/// Parameter of the base field: p = 2^256 - 2^32 - 977.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Base;

impl Prime for Base {
    const NAME: &'static str = "secp256k1 base field";
    const MODULUS: [u64; 4] = [0xffff_fffe_ffff_fc2f, u64::MAX, u64::MAX, u64::MAX];
}

/// An element of the scalar field.
pub type Fn = Element<Scalar>;
/// An element of the base field: a coordinate.
pub type Fp = Element<Base>;
