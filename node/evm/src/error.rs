//! Why a block could not be built, or is not one.

use alloy_primitives::{B256, Bloom};
use pars_store::StoreError;
use thiserror::Error;

use crate::{header::HeaderError, ommers::OmmerError, senders::SenderError};

/// The state or the EVM itself failed: nothing was decided about any block.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExecutionError {
    /// The chain store failed.
    #[error("chain store: {0}")]
    Store(#[from] StoreError),
    /// The state could not be read, or a precompile reported a broken invariant.
    #[error("execution failed: {0}")]
    Evm(String),
}

/// Why no block was built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// What was asked for cannot stand in a header.
    #[error("block attributes: {0}")]
    Attributes(#[from] HeaderError),
    /// State or EVM failed.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
}

/// Why a block is not valid, or could not be judged.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Not judged: the block does not stand on the store's head.
    #[error("the block's parent {parent} is not the head {head}")]
    NotOnHead {
        /// `parentHash` of the block.
        parent: B256,
        /// Hash of the store's head.
        head: B256,
    },
    /// Not judged: state or EVM failed.
    #[error(transparent)]
    Execution(#[from] ExecutionError),
    /// A header rule is broken.
    #[error("invalid header: {0}")]
    Header(#[from] HeaderError),
    /// The hash given with the block is not its header's.
    #[error("block hash: given {got}, the header hashes to {expected}")]
    Hash {
        /// Given.
        got: B256,
        /// Of the header.
        expected: B256,
    },
    /// The block's RLP is too long (EIP-7934).
    #[error("block size: {got} bytes of RLP, at most {limit} are allowed")]
    Size {
        /// Bytes of RLP.
        got: usize,
        /// EIP-7934's limit.
        limit: usize,
    },
    /// `transactionsRoot` is not that of the transactions.
    #[error("transactions root: header says {got}, the transactions make {expected}")]
    TransactionsRoot {
        /// In the header.
        got: B256,
        /// Computed.
        expected: B256,
    },
    /// `sha3Uncles` is not that of the block's uncles, or there are more than two.
    #[error("uncles hash: header says {got}, the {count} uncles make {expected}")]
    Ommers {
        /// In the header.
        got: B256,
        /// Computed.
        expected: B256,
        /// How many there are; at most 2 are allowed.
        count: usize,
    },
    /// One of the block's uncles is none.
    #[error("uncle {index}: {reason}")]
    Ommer {
        /// Position in the block.
        index: usize,
        /// Why not.
        reason: OmmerError,
    },
    /// `withdrawalsRoot` is not that of the block's withdrawals.
    #[error("withdrawals root: header says {got:?}, the withdrawals make {expected:?}")]
    WithdrawalsRoot {
        /// In the header.
        got: Option<B256>,
        /// Computed; `None` where the block has no list of withdrawals.
        expected: Option<B256>,
    },
    /// A step of the block besides its transactions cannot be taken.
    #[error("block: {reason}")]
    Step {
        /// Which, and why.
        reason: String,
    },
    /// A signature names nobody.
    #[error("{0}")]
    Signature(#[from] SenderError),
    /// A sender given with the block is not the one who signed.
    #[error("sender of transaction {index}: not the one who signed it")]
    Sender {
        /// Position in the block.
        index: usize,
    },
    /// A transaction cannot be executed where it stands.
    #[error("transaction {index} ({hash}): {reason}")]
    Transaction {
        /// Position in the block.
        index: usize,
        /// Its hash.
        hash: B256,
        /// geth's words for it.
        reason: String,
    },
    /// `gasUsed` is not what the transactions used.
    #[error("gas used: header says {got}, the transactions used {expected}")]
    GasUsed {
        /// In the header.
        got: u64,
        /// Computed.
        expected: u64,
    },
    /// `blobGasUsed` is not what the transactions' blobs use.
    #[error("blob gas used: header says {got:?}, the transactions use {expected}")]
    BlobGasUsed {
        /// In the header.
        got: Option<u64>,
        /// Computed.
        expected: u64,
    },
    /// `requestsHash` is not that of the requests the block makes (EIP-7685).
    #[error("requests hash: header says {got:?}, execution makes {expected}")]
    RequestsHash {
        /// In the header.
        got: Option<B256>,
        /// Computed.
        expected: B256,
    },
    /// `logsBloom` is not that of the receipts.
    #[error("logs bloom: not that of the receipts")]
    LogsBloom {
        /// In the header.
        got: Box<Bloom>,
        /// Computed.
        expected: Box<Bloom>,
    },
    /// `receiptsRoot` is not that of the receipts.
    #[error("receipts root: header says {got}, execution makes {expected}")]
    ReceiptsRoot {
        /// In the header.
        got: B256,
        /// Computed.
        expected: B256,
    },
    /// `stateRoot` is not that of the state after the block.
    #[error("state root: header says {got}, execution makes {expected}")]
    StateRoot {
        /// In the header.
        got: B256,
        /// Computed.
        expected: B256,
    },
}

impl VerifyError {
    /// Whether the block is invalid, as opposed to not judged.
    pub fn is_invalid(&self) -> bool {
        !matches!(self, Self::NotOnHead { .. } | Self::Execution(_))
    }
}
