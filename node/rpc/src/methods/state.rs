//! Accounts: balance, nonce, code, storage.

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, U64, U256};
use alloy_serde::JsonStorageKey;

use super::block::block_id;
use crate::context::{Answer, Shared, answer, store_fault};
use crate::params::Args;

/// `eth_getBalance`
pub(super) fn balance(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    let address = args.required::<Address>(0)?;
    let (_, state) = shared.state(block_id(args, 1)?)?;
    let account = state.account(&address).map_err(store_fault)?;
    answer(&account.map_or(U256::ZERO, |account| account.balance))
}

/// `eth_getTransactionCount`; with `pending` the transactions in the pool count too.
pub(super) fn transaction_count(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    let address = args.required::<Address>(0)?;
    let id = block_id(args, 1)?;
    // The pool first: a transaction that is mined between the two looks is then counted by both,
    // and the larger number is the right one.
    let waiting = if id.is_pending() {
        shared.node.pool.lock().pending_nonce(&address)
    } else {
        None
    };
    let id = if id.is_pending() {
        BlockId::latest()
    } else {
        id
    };
    let (_, state) = shared.state(id)?;
    let account = state.account(&address).map_err(store_fault)?;
    let nonce = account.map_or(0, |account| account.nonce);
    answer(&U64::from(nonce.max(waiting.unwrap_or(0))))
}

/// `eth_getCode`
pub(super) fn code(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    let address = args.required::<Address>(0)?;
    let (_, state) = shared.state(block_id(args, 1)?)?;
    answer(&state.code_of(&address).map_err(store_fault)?)
}

/// `eth_getStorageAt`
pub(super) fn storage_at(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(3)?;
    let address = args.required::<Address>(0)?;
    let slot = U256::from_be_bytes(args.required::<JsonStorageKey>(1)?.as_b256().0);
    let (_, state) = shared.state(block_id(args, 2)?)?;
    let value = state.storage(&address, &slot).map_err(store_fault)?;
    answer(&B256::from(value))
}
