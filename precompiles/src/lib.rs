#![doc = include_str!("../README.md")]

mod abi;
mod call;
mod entropy;
mod host;
mod memo;
pub mod mldsa;
mod precompile;
mod question;
mod refusal;
mod registry;
#[cfg(feature = "revm")]
pub mod revm;

pub use call::{Address, Call, MINIMUM_GAS, Outcome};
pub use host::{EntropyInputs, EntropyUnavailable, Host};
pub use memo::{Answers, BatchReport, Collector, Memo, MemoStats, Unanswered};
pub use precompile::{Class, Function, Precompile, SecretOperations};
pub use question::{Panicked, Question};
pub use refusal::{ERRORS, Refusal, error_signature};
pub use registry::{Contract, GenesisRow, PARS, Registry, Row, Status, short};
