//! Checks that need no state but the configuration and the next block.

use crate::{PoolConfig, PoolEnv, PoolError};
use alloy_consensus::{Transaction, TxEnvelope, TxType};
use alloy_eips::Encodable2718;

/// Gas of every transaction.
const TRANSACTION_GAS: u64 = 21_000;
/// Gas of a contract creation (EIP-2).
const CREATION_GAS: u64 = 32_000;
/// Gas of a zero byte of calldata; other bytes count as four (EIP-2028).
const TOKEN_GAS: u64 = 4;
/// Least gas per zero byte of calldata; other bytes count as four (EIP-7623).
const FLOOR_TOKEN_GAS: u64 = 10;
/// Gas of a word of init code (EIP-3860).
const INITCODE_WORD_GAS: u64 = 2;
/// Most bytes of init code (EIP-3860).
const MAX_INITCODE_BYTES: usize = 49_152;
/// Gas of an address in an access list (EIP-2930).
const ACCESS_ADDRESS_GAS: u64 = 2_400;
/// Gas of a slot in an access list (EIP-2930).
const ACCESS_SLOT_GAS: u64 = 1_900;
/// Gas of an authorization (EIP-7702).
const AUTHORIZATION_GAS: u64 = 25_000;

/// Number of things, as gas arithmetic needs it.
fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// Zero bytes plus four times the others.
fn tokens(input: &[u8]) -> u64 {
    let zeroes = input.iter().filter(|byte| **byte == 0).count();
    count(zeroes).saturating_add(count(input.len() - zeroes).saturating_mul(4))
}

/// Gas that a transaction uses before it does anything: EIP-2, 2028, 2930, 3860, 7702.
pub fn intrinsic_gas(transaction: &impl Transaction) -> u64 {
    let input = transaction.input();
    let mut gas = TRANSACTION_GAS.saturating_add(tokens(input).saturating_mul(TOKEN_GAS));
    if transaction.is_create() {
        let words = count(input.len().div_ceil(32));
        gas = gas.saturating_add(CREATION_GAS + words.saturating_mul(INITCODE_WORD_GAS));
    }
    if let Some(list) = transaction.access_list() {
        let slots = list.iter().map(|item| item.storage_keys.len()).sum();
        gas = gas
            .saturating_add(count(list.len()).saturating_mul(ACCESS_ADDRESS_GAS))
            .saturating_add(count(slots).saturating_mul(ACCESS_SLOT_GAS));
    }
    let authorizations = transaction.authorization_list().map_or(0, <[_]>::len);
    gas.saturating_add(count(authorizations).saturating_mul(AUTHORIZATION_GAS))
}

/// Least gas that a transaction is charged for its calldata (EIP-7623).
pub fn floor_data_gas(transaction: &impl Transaction) -> u64 {
    TRANSACTION_GAS.saturating_add(tokens(transaction.input()).saturating_mul(FLOOR_TOKEN_GAS))
}

/// Checks a transaction against everything but its sender's account; its size on the wire.
pub(crate) fn validate(
    transaction: &TxEnvelope,
    config: &PoolConfig,
    env: &PoolEnv,
) -> Result<usize, PoolError> {
    let kind = transaction.tx_type();
    if kind == TxType::Eip4844 {
        return Err(PoolError::TypeNotSupported(kind.into()));
    }
    let (size, limit) = (transaction.encode_2718_len(), config.max_transaction_bytes);
    if size > limit {
        return Err(PoolError::Oversized { size, limit });
    }
    let input = transaction.input();
    if transaction.is_create() && input.len() > MAX_INITCODE_BYTES {
        return Err(PoolError::InitcodeTooLarge {
            size: input.len(),
            limit: MAX_INITCODE_BYTES,
        });
    }
    let (gas, cap) = (transaction.gas_limit(), config.max_transaction_gas);
    if gas > cap {
        return Err(PoolError::GasAboveCap { gas, cap });
    }
    if gas > env.gas_limit {
        return Err(PoolError::GasAboveBlock);
    }
    let (tip, fee) = (
        transaction.priority_fee_or_price(),
        transaction.max_fee_per_gas(),
    );
    if tip > fee {
        return Err(PoolError::TipAboveFee { tip, fee });
    }
    // A transaction of type 0 may be for any chain.
    if let Some(have) = transaction.chain_id().filter(|id| *id != env.chain_id) {
        return Err(PoolError::ChainId {
            have,
            want: env.chain_id,
        });
    }
    if transaction.nonce() == u64::MAX {
        return Err(PoolError::NonceMax);
    }
    let needed = intrinsic_gas(transaction);
    if gas < needed {
        return Err(PoolError::IntrinsicGas { gas, needed });
    }
    let needed = floor_data_gas(transaction);
    if gas < needed {
        return Err(PoolError::FloorDataGas { gas, needed });
    }
    let needed = config.min_priority_fee;
    if tip < needed {
        return Err(PoolError::Underpriced { tip, needed });
    }
    if transaction
        .authorization_list()
        .is_some_and(<[_]>::is_empty)
    {
        return Err(PoolError::NoAuthorizations);
    }
    if let (Some(guard), Some(to)) = (&config.guard, transaction.to())
        && let Some(reason) = guard.refuses(&to, input)
    {
        return Err(PoolError::Refused(reason));
    }
    Ok(size)
}
