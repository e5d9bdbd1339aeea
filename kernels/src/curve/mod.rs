//! Short Weierstrass curves y^2 = x^3 + b over prime fields, many independent operations side by side.
//!
//! | file | what |
//! |---|---|
//! | `lanes` | what a representation of the field must offer; one element at a time is such a representation |
//! | `jacobian` | doubling and addition, with every exceptional case dealt with in its own lane |
//! | `affine` | batches back to affine coordinates, one inversion for all |
//! | `windows` | sums of multiples: tables, signed digits, Straus' method in lockstep |
//! | `gpu` | sums of multiples as shaders |
//!
//! Lanes never influence each other, so results do not depend on the company. Variable time: everything here is public.

pub(crate) mod affine;
#[cfg(feature = "gpu")]
pub mod gpu;
pub(crate) mod jacobian;
pub(crate) mod lanes;
pub(crate) mod windows;
