//! Chain rules of a Pars network on top of `revm`: what a block must be, how one is built and
//! checked, and what a call at any state answers.
//!
//! * [`ChainSpec`] holds everything that differs between networks, as values.
//! * [`Executor`] builds blocks, verifies them and answers calls; it finds the questions that a
//!   block's transactions will ask of the engine first and hands them over as one batch.
//! * [`ParsBlockExecutor`] is the block step itself: Ethereum's transaction step between the steps
//!   of the chain's [`BlockRules`], Pars's own or Ethereum's.
//!
//! No answer of the engine is trusted to decide *what* a block means: gas, outcome and bytes
//! depend on the input alone, whichever back end computed them and whether or not it was asked
//! ahead of time.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//!
//! use alloy_primitives::{Address, B256, Bytes};
//! use pars_engine::{Engine, GpuPolicy};
//! use pars_evm::{BlockAttributes, ChainSpec, Executor};
//! use pars_store::Store;
//!
//! let spec = Arc::new(ChainSpec::dev());
//! let store = Store::in_memory(&spec.genesis())?;
//! let engine = Engine::builder().gpu(GpuPolicy::Off).build()?;
//! let executor = Executor::new(spec, engine);
//!
//! let attributes = BlockAttributes {
//!     timestamp: 1_800_000_000,
//!     beneficiary: Address::ZERO,
//!     prev_randao: B256::ZERO,
//!     parent_beacon_block_root: B256::ZERO,
//!     extra_data: Bytes::new(),
//!     withdrawals: Default::default(),
//!     time_budget: Duration::from_millis(150),
//! };
//! let transactions = Vec::new(); // best first, each sender's nonces in order
//! let built = executor.build(&store, transactions, attributes)?;
//! let verified = executor.verify(&store, &built.commit.block)?;
//! store.commit(verified.commit)?;
//! assert_eq!(store.head().number, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ahead;
mod block_evm;
mod block_executor;
mod call;
mod checks;
mod decode;
mod eip1283;
mod eip7610;
mod env;
mod error;
mod execution;
mod executor;
mod feeding;
mod hashing;
mod header;
mod heavy;
mod ommers;
mod precompiles;
mod quiet;
mod receipts;
mod rehearsal;
mod revert;
mod roots;
mod senders;
mod simulate;
mod spec;
mod state;
mod stats;
mod system_calls;
mod trace;
mod usage;
mod wording;

pub use ahead::RunAhead;
pub use block_executor::{BLOB_TRANSACTION_REFUSED, BlockContext, ParsBlockExecutor};
pub use call::{AccessListOutcome, CallError, CallOptions, CallOutcome};
pub use decode::{decode_block, decode_block_from, decode_transaction};
pub use error::{BuildError, ExecutionError, VerifyError};
pub use executor::{Applied, BlockAttributes, Executed, Executor, ExecutorConfig};
pub use header::{HeaderError, MAX_BLOCK_RLP_BYTES, MAX_EXTRA_DATA_BYTES};
pub use ommers::OmmerError;
pub use revert::{RevertReason, revert_message};
pub use senders::{Company, SenderError, SenderRecovery, SenderStats, Senders, recover_senders};
pub use simulate::{
    BlockCalls, SimulateError, SimulateOptions, SimulatedBlock, SimulatedCall, TransactionDefaults,
    unsigned_transaction,
};
pub use spec::{
    BlockRules, ChainSpec, DEV_NETWORK, FeeRules, GenesisBlock, PARS_NETWORK, PARS_TESTNET_NETWORK,
    PrecompileSet, SpecError,
};
pub use state::StateRef;
pub use stats::ExecutorStats;
pub use trace::{AccountTold, Accounts, FlatCall, Trace, TraceError, TraceLimits, Traced};
pub use usage::PrecompileUsage;
pub use wording::{halt_message, invalid_transaction_message};
