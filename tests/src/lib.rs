//! Whole-system tests: the node as its users meet it, from outside the process.
//!
//! This crate is a harness for the tests in `tests/`: it builds and starts the real binaries
//! ([`binaries`], [`node`]), speaks JSON-RPC to them over bare sockets ([`http`], [`rpc`]), signs
//! transactions as a wallet would ([`wallet`]) and knows an official ML-DSA case ([`official`]).
//! Here a panic is a failed test, and the harness panics with a text that says what was expected.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod binaries;
pub mod http;
pub mod node;
pub mod official;
pub mod rng;
pub mod rpc;
pub mod wallet;
pub mod websocket;

/// The chain id of a development node.
pub const CHAIN_ID: u64 = 6133;
