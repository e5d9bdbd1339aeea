//! Ethereum JSON-RPC over HTTP and WebSocket on one port, and over a Unix domain socket.
//!
//! [`serve`] takes the node's parts ([`RpcContext`]) and answers what wallets, libraries and
//! explorers ask. The method table is in `methods/mod.rs`, one line a method; what a client sees
//! when something is wrong is in `error.rs`.
//!
//! Three rules hold everywhere:
//! * work that reads the store or runs the EVM happens on blocking threads, a bounded number at a
//!   time, never on an async worker;
//! * input from outside is a value, never a panic: wrong parameters are error −32602, refusals have
//!   geth's words because tools match on them;
//! * a client that stops reading, or stops in the middle of a request, is dropped, not waited for.

mod answers;
mod candidates;
mod clients;
mod config;
mod connection;
mod context;
mod convert;
mod dispatch;
mod error;
mod filter;
mod framing;
mod gate;
mod hexadecimal;
mod ingress;
mod ipc;
mod lanes;
mod methods;
mod params;
mod pending;
mod plain;
mod polite;
mod reply;
mod server;
mod subscribe;
mod workers;

pub use candidates::Candidates;
pub use config::{Cors, RpcConfig};
pub use context::{ChainEvent, NewHead, RpcContext};
pub use error::{Fault, RpcError, code};
pub use ingress::SubmitError;
pub use server::{RpcGauge, RpcHandle, RpcUsage, serve};
