//! What the integration tests share.

// Each test file uses a part of this.
#![allow(dead_code)]

pub mod backends;
pub mod cases;
#[cfg(feature = "gpu")]
pub mod devices;
pub mod edwards25519;
pub mod peers;
pub mod prehash;
pub mod signer;
pub mod vectors;
pub mod zk;
