//! BN254 (alt_bn128, EIP-196): the curve y^2 = x^3 + 3 over [`Fq`] with a group of prime order, the modulus of [`Fr`].

use super::{Element, Prime};

/// Parameter of the scalar field: r =
/// 21888242871839275222246405745257275088548364400416034343698204186575808495617.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scalar;

impl Prime for Scalar {
    const NAME: &'static str = "BN254 scalar field";
    const MODULUS: [u64; 4] = [
        0x43e1_f593_f000_0001,
        0x2833_e848_79b9_7091,
        0xb850_45b6_8181_585d,
        0x3064_4e72_e131_a029,
    ];
}

/// Parameter of the base field: q =
/// 21888242871839275222246405745257275088696311157297823662689037894645226208583.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Base;

impl Prime for Base {
    const NAME: &'static str = "BN254 base field";
    const MODULUS: [u64; 4] = [
        0x3c20_8c16_d87c_fd47,
        0x9781_6a91_6871_ca8d,
        0xb850_45b6_8181_585d,
        0x3064_4e72_e131_a029,
    ];
}

/// An element of the scalar field: what ZK applications hash.
pub type Fr = Element<Scalar>;
/// An element of the base field: coordinates of curve points.
pub type Fq = Element<Base>;
