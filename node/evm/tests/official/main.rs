//! Ethereum's official suites through this crate's own executor and store. Each suite prints how
//! many of its tests passed, failed and were excepted; exceptions are in `exceptions.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod blocks;
mod difficulty;
mod exceptions;
mod json;
mod precompiles;
mod refusals;
mod rlp;
mod spec;
mod state;
mod suite;
mod tracers;
mod transactions;
mod trie;
