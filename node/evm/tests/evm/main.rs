//! The executor over a real store: blocks, calls, feeding of the engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod ahead;
mod blocks;
mod byzantine;
mod calls;
mod chain;
mod collisions;
mod constantinople;
mod contracts;
mod feeding;
mod genesis;
mod random;
mod rehearsal;
mod senders;
mod system_calls;
mod tracing;
mod work;
