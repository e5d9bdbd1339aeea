//! Why a transaction is refused.

use alloy_primitives::U256;
use thiserror::Error;

/// A refusal. The texts begin with geth's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The pool has this very transaction.
    #[error("already known")]
    AlreadyKnown,
    /// Blob transactions have no place on this chain, which has no data layer.
    #[error("transaction type not supported: tx type {0} not supported by this pool")]
    TypeNotSupported(u8),
    /// Too many bytes.
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized {
        /// Bytes of the transaction.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A contract creation with too much code (EIP-3860).
    #[error("max initcode size exceeded: code size {size} limit {limit}")]
    InitcodeTooLarge {
        /// Bytes of code.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// More gas than one transaction may have (EIP-7825).
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasAboveCap {
        /// Gas asked for.
        gas: u64,
        /// Gas allowed.
        cap: u64,
    },
    /// More gas than a block has.
    #[error("exceeds block gas limit")]
    GasAboveBlock,
    /// The tip is more than the whole fee.
    #[error(
        "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip}, maxFeePerGas: {fee}"
    )]
    TipAboveFee {
        /// Maximal priority fee per gas.
        tip: u128,
        /// Maximal fee per gas.
        fee: u128,
    },
    /// Signed for another chain.
    #[error("invalid sender: invalid chain id for signer: have {have} want {want}")]
    ChainId {
        /// Chain id of the transaction.
        have: u64,
        /// Chain id of this chain.
        want: u64,
    },
    /// No transaction can follow this nonce (EIP-2681).
    #[error("nonce has max value")]
    NonceMax,
    /// The sender has used this nonce.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// The sender's next nonce.
        next: u64,
        /// Nonce of the transaction.
        nonce: u64,
    },
    /// Less gas than the transaction costs before it does anything.
    #[error("intrinsic gas too low: gas {gas}, minimum needed {needed}")]
    IntrinsicGas {
        /// Gas of the transaction.
        gas: u64,
        /// Least gas.
        needed: u64,
    },
    /// Less gas than the calldata costs at least (EIP-7623).
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {needed}")]
    FloorDataGas {
        /// Gas of the transaction.
        gas: u64,
        /// Least gas.
        needed: u64,
    },
    /// An EIP-7702 transaction that sets no code.
    #[error("set code tx must have at least one authorization tuple")]
    NoAuthorizations,
    /// Pays less than this pool takes, or than what it would have to drop for it.
    #[error("transaction underpriced: gas tip cap {tip}, minimum needed {needed}")]
    Underpriced {
        /// Priority fee per gas.
        tip: u128,
        /// Least priority fee per gas.
        needed: u128,
    },
    /// Does not pay enough more than the transaction it would replace.
    #[error("replacement transaction underpriced")]
    ReplacementUnderpriced,
    /// The sender cannot pay for it.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {}",
        cost.saturating_sub(*balance)
    )]
    InsufficientFunds {
        /// The sender's balance.
        balance: U256,
        /// Most that the transaction can cost.
        cost: U256,
    },
    /// The sender cannot pay for it and for the executable ones in the pool.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}, overshot {}",
        queued.saturating_add(*cost).saturating_sub(*balance)
    )]
    InsufficientFundsForAll {
        /// The sender's balance.
        balance: U256,
        /// Most that the transactions in the pool can cost, without one it replaces.
        queued: U256,
        /// Most that this transaction can cost.
        cost: U256,
    },
    /// The sender has as many transactions in the pool as one may have.
    #[error("account limit exceeded: pooled {0} txs")]
    AccountLimit(usize),
    /// There is no room, and nothing in the pool is less urgent.
    #[error("txpool is full")]
    Full,
    /// The guard refused it.
    #[error("transaction refused: {0}")]
    Refused(String),
}
