//! Points of the curve as values, and the group law one pair at a time.

use crate::field::Fq;

/// A point of BN254's G1: y^2 = x^3 + 3 over the base field, a group of prime order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// The neutral element; EIP-196 writes it as two zeros.
    Identity,
    /// Coordinates that satisfy the equation.
    Affine {
        /// x.
        x: Fq,
        /// y.
        y: Fq,
    },
}

/// Why bytes are not a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PointError {
    /// A coordinate is not below the field's modulus.
    #[error(
        "a coordinate is not below the modulus of the BN254 base field: encode each as its least number"
    )]
    NotCanonical,
    /// The coordinates do not satisfy the equation.
    #[error("the coordinates are not a point of BN254's G1: y^2 is not x^3 + 3")]
    NotOnCurve,
}

impl Point {
    /// The point (1, 2) that EIP-196 names the generator.
    pub fn generator() -> Self {
        Self::Affine {
            x: Fq::ONE,
            y: Fq::from_u64(2),
        }
    }

    /// The point with these coordinates.
    ///
    /// # Errors
    /// [`PointError::NotOnCurve`].
    pub fn new(x: Fq, y: Fq) -> Result<Self, PointError> {
        if y.square() == curve(x) {
            Ok(Self::Affine { x, y })
        } else {
            Err(PointError::NotOnCurve)
        }
    }

    /// 32 big-endian bytes of x, then of y; zeros for the identity (EIP-196).
    ///
    /// # Errors
    /// [`PointError`].
    pub fn from_bytes(bytes: &[u8; 64]) -> Result<Self, PointError> {
        let (mut x, mut y) = ([0; 32], [0; 32]);
        x.copy_from_slice(&bytes[..32]);
        y.copy_from_slice(&bytes[32..]);
        let read = |half| Fq::from_bytes_be(half).map_err(|_| PointError::NotCanonical);
        let (x, y) = (read(&x)?, read(&y)?);
        if x.is_zero() && y.is_zero() {
            return Ok(Self::Identity);
        }
        Self::new(x, y)
    }

    /// What [`Self::from_bytes`] reads.
    pub fn to_bytes(self) -> [u8; 64] {
        let mut bytes = [0; 64];
        if let Self::Affine { x, y } = self {
            bytes[..32].copy_from_slice(&x.to_bytes_be());
            bytes[32..].copy_from_slice(&y.to_bytes_be());
        }
        bytes
    }

    /// The sum.
    pub fn plus(self, b: Self) -> Self {
        let (Self::Affine { x, y }, Self::Affine { x: bx, y: by }) = (self, b) else {
            return if self == Self::Identity { b } else { self };
        };
        let (over, under) = if x != bx {
            (by - y, bx - x)
        } else if y == by {
            // No point has y = 0: the order of the group is odd.
            let xx = x.square();
            (xx.double() + xx, y.double())
        } else {
            return Self::Identity;
        };
        // Not zero in either case.
        let slope = over * under.inverse().unwrap_or_default();
        let third = slope.square() - x - bx;
        Self::Affine {
            x: third,
            y: slope * (x - third) - y,
        }
    }

    /// The negative.
    pub fn negated(self) -> Self {
        match self {
            Self::Identity => Self::Identity,
            Self::Affine { x, y } => Self::Affine { x, y: -y },
        }
    }
}

/// x^3 + 3.
pub(super) fn curve(x: Fq) -> Fq {
    x.square() * x + Fq::from_u64(3)
}
