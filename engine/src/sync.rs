//! The locks of the parts whose every interleaving is tested: `tests/interleavings.rs` compiles those
//! files against a model checker's locks of the same shape.

pub(crate) use parking_lot::{Condvar, Mutex};
