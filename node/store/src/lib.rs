//! The chain store: blocks, receipts, flat state, state tries and history; one durable,
//! atomic batch per accepted block.
//!
//! ```
//! use alloy_consensus::Header;
//! use alloy_primitives::{Address, B256, U256};
//! use pars_store::{Genesis, GenesisAccount, Store};
//!
//! let rich = GenesisAccount { balance: U256::from(1000), ..Default::default() };
//! let accounts = vec![(Address::repeat_byte(1), rich)];
//! let genesis = Genesis {
//!     chain_id: 6133,
//!     spec_hash: B256::repeat_byte(2),
//!     header: Header { state_root: Genesis::state_root_of(&accounts)?, ..Default::default() },
//!     accounts,
//! };
//! let store = Store::in_memory(&genesis)?; // or Store::open(folder, &genesis)
//! let state = store.head_state()?;
//! assert_eq!(state.account(&Address::repeat_byte(1))?.unwrap().balance, U256::from(1000));
//! # Ok::<(), pars_store::StoreError>(())
//! ```
//!
//! # How it works
//!
//! - The storage engine ([fjall]) is behind the small trait [`backend::Backend`]; an
//!   ordered map in memory has the same contract.
//! - State is kept flat, by address and slot, for reading at the speed of one look-up. The
//!   Merkle-Patricia tries are kept beside it as nodes by path; a block rewrites the nodes on
//!   the paths to what it changed and no others ([`trie`]), those of a large trie on several threads.
//! - Accounts and slots of the newest state that were used last are kept in memory
//!   ([`backend::cached`]), and trie nodes below one another ([`trie::resident`]); both within bounds.
//! - For each change the value before it is kept under subject ‖ block number. The state
//!   after block `n` is then, for each account or slot, the value before its first change
//!   after `n`, which one range read finds, or else the flat value.
//! - Trie nodes have a history of the same form, for a window of recent blocks: proofs in those
//!   need it. For each block there is a list of what it changed, by which its history is found
//!   again when it falls out of the window ([`Retention`]).
//! - Accepting a block is one batch over all tables, synced before [`Store::commit`] returns: as one record at first, which
//!   every reader has above the tables; they are written behind, many blocks together ([`backend::behind`]).
//!   After a crash at any point the store opens at the last accepted block with everything
//!   that belongs to it; there are no repair steps. The store never reorganises.
//! - A data folder belongs to one process, and to one chain: schema version, chain id,
//!   specification hash and genesis hash are checked when it is opened.

#![forbid(unsafe_code)]

pub mod backend;
mod beside;
mod block;
pub mod codec;
mod commit;
mod error;
mod generations;
mod genesis;
mod head;
mod inspect;
mod lock;
mod memory;
mod opening;
mod retention;
mod state;
mod store;
mod tip;
pub mod trie;
mod upkeep;

#[cfg(test)]
mod test_util;

pub use backend::fjall::FjallOptions;
pub use beside::beside;
pub use block::{Block, BlockCommit, Head};
pub use error::StoreError;
pub use genesis::{Genesis, GenesisAccount};
pub use inspect::{BlocksReport, TableStats};
pub use memory::Held;
pub use retention::{Kept, PruneProgress, Retention};
pub use state::{
    Account, AccountProof, BlockState, Changes, EmptyAccounts, HistoryReport, KnownPaths,
    SlotProof, StateDiff, StateReport, StateView, TrieUpdates,
};
pub use store::{Store, StoreOptions};
pub use tip::{Overlay, Tip};
