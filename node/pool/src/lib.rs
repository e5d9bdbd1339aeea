//! The transaction pool: a state machine without clock, network or database.
//!
//! The caller tells it everything it needs to know: the sender's account with each
//! transaction, and the accounts after each block. Refusals are worded as geth words them,
//! for tools match on those words.
//!
//! - A transaction whose nonce is the sender's next, or follows one of the pool without a gap,
//!   is *executable* (`pending` in `txpool_content`); any other waits (`queued`) until the gap
//!   closes.
//! - A transaction with the nonce of another replaces it if it pays at least a tenth more in
//!   both fees.
//! - The pool is bounded per sender, in all, and in bytes. When it is full, the transaction
//!   that would be executed last goes first: those that wait, then those below the base fee,
//!   then the lowest effective tip. A transaction never counts for more than one of the same
//!   sender that must come before it, so what goes is always a sender's last.
//! - [`Pool::best`] gives the executable transactions by effective tip, each sender's nonces
//!   in order; at equal tips the older comes first.
//!
//! Beside it, [`Journal`] is the file that brings its transactions over a restart.

#![forbid(unsafe_code)]

mod best;
mod config;
mod error;
mod journal;
mod pool;
mod rank;
mod validate;

pub use best::{Best, Cursor};
pub use config::{AccountState, Guard, PoolConfig, PoolEnv};
pub use error::PoolError;
pub use journal::{Journal, JournalError, Replay};
pub use pool::{Added, Content, Pool, Status};
pub use validate::{floor_data_gas, intrinsic_gas};
