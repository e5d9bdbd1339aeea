//! What the integration tests share.

// Each test file uses a part of this.
#![allow(dead_code)]

pub mod devices;
pub mod peers;
pub mod vectors;
