//! Back from Jacobian to affine coordinates: one inversion for a whole list (Montgomery's trick in each lane).
#![allow(unsafe_code)]

use super::{jacobian::Jacobian, lanes::Lanes};

/// The affine coordinates of every point of the list, settled and below 2 p; those of lanes that hold the identity mean nothing.
///
/// # Safety
/// As [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn normalize<L: Lanes>(points: &[Jacobian<L>]) -> Vec<(L, L)> {
    // SAFETY: the caller's promise.
    unsafe {
        let one = L::one();
        // First the product of every Z before each point, where the identity counts as one.
        let mut affine = Vec::with_capacity(points.len());
        let mut product = one;
        for point in points {
            affine.push((product, one));
            product = product.multiply(L::select(point.identity, one, point.z));
        }
        let mut rest = product.invert();
        for i in (0..points.len()).rev() {
            let point = &points[i];
            let inverse = rest.multiply(affine[i].0);
            rest = rest.multiply(L::select(point.identity, one, point.z));
            let square = inverse.square();
            affine[i] = (
                point.x.multiply(square),
                point.y.multiply(square.multiply(inverse)),
            );
        }
        affine
    }
}
