//! What can go wrong in the store, in words that tell a person what to do.

use crate::backend::Table;
use alloy_primitives::{Address, B256, hex};
use std::{path::PathBuf, time::Duration};
use thiserror::Error;

/// Every error of this crate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the data folder open.
    #[error(
        "the data folder {path} is in use by {holder} (waited {waited:?}); stop that process, or give this one another folder",
        path = path.display(),
        holder = holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    FolderInUse {
        /// The folder.
        path: PathBuf,
        /// The process that wrote its number into the lock file, where one did.
        holder: Option<u32>,
        /// How long this process waited for it.
        waited: Duration,
    },
    /// A folder that should hold a chain does not.
    #[error(
        "there is no chain in {path}; name another folder with --data-dir, or make one with `parsd init`",
        path = path.display()
    )]
    NoChain {
        /// The folder.
        path: PathBuf,
    },
    /// A file or folder operation failed.
    #[error("cannot {doing} {path}: {source}", path = path.display())]
    Io {
        /// What was being done, as a verb phrase.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// No room is left on the device.
    #[error(
        "no space left on the device that holds the chain store (while trying to {doing}); free some space and start again: the last accepted block is safe"
    )]
    DiskFull {
        /// What was being done, as a verb phrase.
        doing: &'static str,
    },
    /// The storage engine refused an operation.
    #[error(
        "the storage engine could not {doing}: {reason}; if this persists after a restart the data folder is damaged: restore it from a copy or sync again"
    )]
    Engine {
        /// What was being done, as a verb phrase.
        doing: &'static str,
        /// The engine's own words.
        reason: String,
    },
    /// A record in the store does not have the form this program writes.
    #[error(
        "the chain store is damaged: table {table}, key 0x{key}: {reason}; restore the data folder from a copy or sync again",
        table = table.name(),
        key = hex::encode(key)
    )]
    Corrupt {
        /// The table of the record.
        table: Table,
        /// The key of the record.
        key: Vec<u8>,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder was written by a newer program.
    #[error(
        "the data folder has schema version {found}, this program knows versions up to {supported}: run a newer program, or choose another folder"
    )]
    NewerSchema {
        /// Version in the folder.
        found: u32,
        /// Newest version this program reads.
        supported: u32,
    },
    /// The folder was written by a program too old for this one.
    #[error(
        "the data folder has schema version {found}, this program needs version {supported}: sync again into a new folder, or run the older program"
    )]
    OlderSchema {
        /// Version in the folder.
        found: u32,
        /// Version this program writes.
        supported: u32,
    },
    /// The folder holds another chain.
    #[error(
        "the data folder holds chain id {found}, but chain id {wanted} was asked for: choose the right network or another folder"
    )]
    WrongChain {
        /// Chain id in the folder.
        found: u64,
        /// Chain id asked for.
        wanted: u64,
    },
    /// Same chain id, other rules.
    #[error(
        "the data folder was made with another chain specification (hash {found}, now {wanted}): choose the specification it was made with, or another folder"
    )]
    WrongSpec {
        /// Specification hash in the folder.
        found: B256,
        /// Specification hash asked for.
        wanted: B256,
    },
    /// Same chain id, other first block.
    #[error(
        "the data folder starts from genesis block {found}, but {wanted} was asked for: choose the genesis it was made with, or another folder"
    )]
    WrongGenesis {
        /// Genesis hash in the folder.
        found: B256,
        /// Genesis hash asked for.
        wanted: B256,
    },
    /// The genesis given does not fit together.
    #[error("the genesis is not valid: {reason}")]
    InvalidGenesis {
        /// What does not fit.
        reason: String,
    },
    /// A block that does not follow the head.
    #[error(
        "block {number} (parent {parent}) does not follow the head, block {head_number} ({head_hash})"
    )]
    NotOnHead {
        /// Number of the block offered.
        number: u64,
        /// Parent of the block offered.
        parent: B256,
        /// Number of the head.
        head_number: u64,
        /// Hash of the head.
        head_hash: B256,
    },
    /// The parts of a commit do not belong together.
    #[error("the commit of block {number} does not fit together: {reason}")]
    InvalidCommit {
        /// Number of the block offered.
        number: u64,
        /// What does not fit.
        reason: String,
    },
    /// The state after a block was asked for that the store does not have.
    #[error("block {number} is not in the store, its head is block {head}")]
    UnknownBlock {
        /// The block asked for.
        number: u64,
        /// The newest block there is.
        head: u64,
    },
    /// The state after a block was asked for that fell out of the window of what is kept.
    #[error(
        "the state of block {number} is not kept any more, the oldest one is that of block {oldest}: ask a node that keeps everything (`history.archive = true`)"
    )]
    StateNotKept {
        /// The block asked for.
        number: u64,
        /// Its state root.
        root: B256,
        /// The oldest block whose state is there.
        oldest: u64,
    },
    /// A proof was asked for in a block whose trie nodes are not kept.
    #[error(
        "no proofs for block {number}: this node keeps the tries of blocks {oldest} to {head} only"
    )]
    ProofNotKept {
        /// The block asked for.
        number: u64,
        /// The oldest block whose tries are there.
        oldest: u64,
        /// The newest one.
        head: u64,
    },
    /// Code that an account refers to is missing.
    #[error("code {code_hash} is not in the store")]
    MissingCode {
        /// Keccak-256 of the code.
        code_hash: B256,
    },
    /// The check of blocks or history found a contradiction.
    #[error("block {number} is not whole: {reason}")]
    InconsistentBlock {
        /// The block that was checked.
        number: u64,
        /// What contradicts what.
        reason: String,
    },
    /// The check of the whole state found a contradiction.
    #[error("the state of block {number} contradicts itself: {reason}")]
    InconsistentState {
        /// The block whose state was checked.
        number: u64,
        /// What contradicts what.
        reason: String,
    },
}

impl StoreError {
    /// A damaged record.
    pub(crate) fn corrupt(table: Table, key: &[u8], reason: impl Into<String>) -> Self {
        Self::Corrupt {
            table,
            key: key.to_vec(),
            reason: reason.into(),
        }
    }

    /// A missing code of an account, in the words of a commit.
    pub(crate) fn commit_without_code(number: u64, address: &Address, code_hash: &B256) -> Self {
        Self::InvalidCommit {
            number,
            reason: format!("account {address} has code {code_hash}, which nobody supplied"),
        }
    }
}

impl revm::database_interface::DBErrorMarker for StoreError {}
