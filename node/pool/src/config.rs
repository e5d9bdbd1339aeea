//! What the pool is told: its bounds, and the world outside.

use alloy_eips::eip7825::MAX_TX_GAS_LIMIT_OSAKA;
use alloy_primitives::{Address, U256};
use std::{fmt, sync::Arc};

/// Bounds and rules of a pool.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Transactions in all.
    pub max_transactions: usize,
    /// Bytes of transactions in all, as they are encoded on the wire.
    pub max_bytes: usize,
    /// Transactions of one sender.
    pub max_per_sender: usize,
    /// Of those, transactions that wait for a nonce before them.
    pub max_waiting_per_sender: usize,
    /// Bytes of one transaction.
    pub max_transaction_bytes: usize,
    /// Gas of one transaction (EIP-7825).
    pub max_transaction_gas: u64,
    /// Least priority fee per gas, in wei.
    pub min_priority_fee: u128,
    /// By how much per cent a replacement must pay more, in both fees.
    pub replacement_percent: u128,
    /// Refuses calls that a careful node does not help to publish.
    pub guard: Option<Guard>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            max_transactions: 16_384,
            max_bytes: 128 << 20,
            max_per_sender: 4_096,
            max_waiting_per_sender: 256,
            max_transaction_bytes: 512 << 10,
            max_transaction_gas: MAX_TX_GAS_LIMIT_OSAKA,
            min_priority_fee: 0,
            replacement_percent: 10,
            guard: None,
        }
    }
}

/// The account that is called, and the calldata; the reason to refuse, if there is one.
type GuardFn = dyn Fn(&Address, &[u8]) -> Option<String> + Send + Sync;

/// A rule for calls that would harm their sender: a transaction that hands a secret key to a
/// precompile publishes it for ever.
#[derive(Clone)]
pub struct Guard(Arc<GuardFn>);

impl Guard {
    /// A guard that asks `reason` for a reason to refuse a call to an account with some
    /// calldata.
    pub fn new(reason: impl Fn(&Address, &[u8]) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(reason))
    }

    /// Why a call is refused, if it is.
    pub fn refuses(&self, to: &Address, input: &[u8]) -> Option<String> {
        (self.0)(to, input)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// What the pool needs to know of a sender's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountState {
    /// Nonce of the next transaction.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
}

/// What the pool needs to know of the next block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolEnv {
    /// Its base fee per gas, in wei.
    pub base_fee: u64,
    /// Its gas limit.
    pub gas_limit: u64,
    /// The chain's id.
    pub chain_id: u64,
}
