//! Ring signatures: one of n keys signed, and nobody learns which; two signatures of one key show the same key image.
//!
//! | file | what |
//! |---|---|
//! | `job` | [`LsagJob`]: a ring, a message and a signature whose lengths have been checked |
//! | `transcript` | the hashes of LSAG: context D, challenges, nonces |
//! | [`lsag_ristretto255`], [`lsag_secp256k1`] | LSAG on either curve: sign, verify |
//! | [`clsag`] | CLSAG as Monero defines it: verify |
//! | `clsag/gpu`, `lsag_ristretto255/gpu` | both on a GPU (feature `gpu`) |
//! | `members` | [`Members`]: a bounded store of prepared ring members |
//! | `expand` | `expand_message_xmd` (RFC 9380 §5.3.1), the first half of hashing to a point |

pub mod clsag;
mod expand;
mod job;
pub mod lsag_ristretto255;
pub mod lsag_secp256k1;
mod members;
mod transcript;

pub use expand::expand_message_xmd;
pub use job::{LsagJob, RingError};
pub use members::{Members, MembersStats};
pub use transcript::{Scheme, Transcript};

/// Fewest members of a ring: with one the signer is known.
pub const MIN_RING: usize = 2;
/// Most members of a ring.
pub const MAX_RING: usize = 128;
