//! Tests of the files that `tests/interleavings.rs` compiles against other locks: they lie apart, so that they run
//! against the real ones only.

mod gate;
mod slot;
