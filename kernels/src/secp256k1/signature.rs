//! ECDSA signatures (SEC 1, section 4.1) and public keys as they come.

use super::{
    InputError, Point,
    batch::even_roots,
    point::{curve, is_odd},
};
#[cfg(feature = "gpu")]
use crate::curve::gpu;
use crate::{
    cpu::Level,
    field::secp256k1::{Fn, Fp},
};

/// r and s of an ECDSA signature, both from 1 to n - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signature {
    pub(super) r: Fn,
    pub(super) s: Fn,
}

impl Signature {
    /// r and s in 32 big-endian bytes each.
    ///
    /// # Errors
    /// [`InputError::Scalar`] for a number that is zero, n, or more.
    pub fn new(r: &[u8; 32], s: &[u8; 32]) -> Result<Self, InputError> {
        let scalar = |bytes, name| match Fn::from_bytes_be(bytes) {
            Ok(scalar) if !scalar.is_zero() => Ok(scalar),
            _ => Err(InputError::Scalar { name }),
        };
        Ok(Self {
            r: scalar(r, "r")?,
            s: scalar(s, "s")?,
        })
    }

    /// r, then s (IEEE P1363).
    ///
    /// # Errors
    /// [`InputError::Scalar`] for a number that is zero, n, or more.
    pub fn from_bytes(bytes: &[u8; 64]) -> Result<Self, InputError> {
        let mut halves = [[0; 32]; 2];
        for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks::<32>().0) {
            *half = *bytes;
        }
        Self::new(&halves[0], &halves[1])
    }

    /// A strict DER sequence of two integers (BIP-66), without a hash type behind it.
    ///
    /// # Errors
    /// [`InputError::Der`] for any other encoding, [`InputError::Scalar`] for a number out of range.
    pub fn from_der(bytes: &[u8]) -> Result<Self, InputError> {
        // Two integers of at most 33 bytes: every length is one byte below 128.
        let (&[0x30, length], body) = bytes.split_first_chunk().ok_or(InputError::Der)? else {
            return Err(InputError::Der);
        };
        if body.len() != usize::from(length) {
            return Err(InputError::Der);
        }
        let (r, rest) = integer(body).ok_or(InputError::Der)?;
        let (s, rest) = integer(rest).ok_or(InputError::Der)?;
        if !rest.is_empty() {
            return Err(InputError::Der);
        }
        Self::new(&r, &s)
    }

    /// r, then s, in 32 big-endian bytes each.
    pub fn to_bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&self.r.to_bytes_be());
        bytes[32..].copy_from_slice(&self.s.to_bytes_be());
        bytes
    }

    /// Whether s is at most half of n: the one of both forms that Bitcoin and Ethereum's transactions accept (BIP-62, EIP-2).
    pub fn is_low_s(&self) -> bool {
        let (s, mirrored) = (self.s.to_bytes_be(), (-self.s).to_bytes_be());
        s <= mirrored
    }
}

/// A DER integer that is positive, has no superfluous byte and fits 32 bytes; what follows it.
fn integer(bytes: &[u8]) -> Option<([u8; 32], &[u8])> {
    let (&[2, length], rest) = bytes.split_first_chunk()? else {
        return None;
    };
    let (digits, rest) = rest.split_at_checked(usize::from(length))?;
    let digits = match digits {
        [] => return None,
        // A zero byte is there to keep the sign off, or it is the number zero.
        [0, next, ..] if *next < 0x80 => return None,
        [0, digits @ ..] if !digits.is_empty() => digits,
        [first, ..] if *first >= 0x80 => return None,
        digits => digits,
    };
    let mut number = [0; 32];
    let start = number.len().checked_sub(digits.len())?;
    number.get_mut(start..)?.copy_from_slice(digits);
    Some((number, rest))
}

/// A public key whose coordinates are elements; whether it is on the curve is not yet known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    x: Fp,
    y: Ordinate,
}

/// What a key says of y.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ordinate {
    Given(Fp),
    Odd(bool),
}

impl Key {
    /// SEC 1, section 2.3.4, for 33 and 65 bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, InputError> {
        let element = |bytes| Fp::from_bytes_be(bytes).map_err(|_| InputError::Coordinate);
        let wrong = |given| InputError::KeyPrefix {
            length: bytes.len(),
            given,
        };
        if let Some((first, rest)) = bytes.split_first() {
            if let Ok(x) = <&[u8; 32]>::try_from(rest) {
                if !matches!(first, 2 | 3) {
                    return Err(wrong(*first));
                }
                return Ok(Self::compressed(element(x)?, *first == 3));
            }
            if let ([x, y], []) = rest.as_chunks::<32>() {
                if *first != 4 {
                    return Err(wrong(*first));
                }
                return Ok(Self {
                    x: element(x)?,
                    y: Ordinate::Given(element(y)?),
                });
            }
        }
        Err(InputError::KeyLength { given: bytes.len() })
    }

    /// x, and what is known of y.
    #[cfg(feature = "gpu")]
    pub(super) fn coordinates(&self) -> (Fp, gpu::Ordinate<Fp>) {
        let y = match self.y {
            Ordinate::Given(y) => gpu::Ordinate::Given(y),
            Ordinate::Odd(odd) => gpu::Ordinate::Odd(odd),
        };
        (self.x, y)
    }

    pub(crate) fn compressed(x: Fp, odd: bool) -> Self {
        Self {
            x,
            y: Ordinate::Odd(odd),
        }
    }
}

/// The points of keys, nothing where a key is not on the curve: the roots of all of them at once.
pub(crate) fn points(level: Level, keys: &[Key]) -> Vec<Option<Point>> {
    let squares: Vec<Fp> = keys
        .iter()
        .filter(|key| matches!(key.y, Ordinate::Odd(_)))
        .map(|key| curve(key.x))
        .collect();
    let mut roots = even_roots(level, &squares).into_iter();
    keys.iter()
        .map(|key| match key.y {
            Ordinate::Given(y) => Point::from_coordinates(key.x, y),
            Ordinate::Odd(odd) => roots.next().flatten().map(|root| Point {
                x: key.x,
                // No point has y = 0.
                y: if odd == is_odd(root) { root } else { -root },
            }),
        })
        .collect()
}

/// The points of compressed encodings, nothing where one is none.
pub(crate) fn decode_compressed(level: Level, encodings: &[[u8; 33]]) -> Vec<Option<Point>> {
    let parsed: Vec<Option<Key>> = encodings
        .iter()
        .map(|bytes| Key::parse(bytes).ok())
        .collect();
    let placeholder = Key::compressed(Point::GENERATOR.x, false);
    let keys: Vec<Key> = parsed
        .iter()
        .map(|key| key.unwrap_or(placeholder))
        .collect();
    points(level, &keys)
        .into_iter()
        .zip(parsed)
        .map(|(point, key)| key.and(point))
        .collect()
}
