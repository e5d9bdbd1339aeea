//! Accounts: balance, nonce, code, storage.

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U64, U256};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof};
use alloy_serde::JsonStorageKey;
use alloy_trie::EMPTY_ROOT_HASH;

use std::collections::BTreeMap;

use pars_store::Account;

use super::block::block_id;
use crate::context::{Answer, Shared, answer, store_fault};
use crate::error::Fault;
use crate::params::Args;

/// `eth_getBalance`
pub(super) fn balance(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    let address = args.hex::<Address>(0)?;
    let (_, state) = shared.state(block_id(args, 1)?)?;
    let account = state.account(&address).map_err(store_fault)?;
    answer(&account.map_or(U256::ZERO, |account| account.balance))
}

/// The account of a question about the latest block, where it is in memory and nothing is wrong with the question.
fn known_account(shared: &Shared, args: &Args<'_>) -> Option<Option<Account>> {
    args.at_most(2).ok()?;
    let address = args.hex::<Address>(0).ok()?;
    let latest = block_id(args, 1).ok()?.is_latest();
    latest.then(|| shared.node.store.known_account(&address))?
}

/// `eth_getBalance` from memory.
pub(super) fn known_balance(shared: &Shared, args: &Args<'_>) -> Option<Answer> {
    let account = known_account(shared, args)?;
    Some(answer(
        &account.map_or(U256::ZERO, |account| account.balance),
    ))
}

/// `eth_getTransactionCount` from memory.
pub(super) fn known_transaction_count(shared: &Shared, args: &Args<'_>) -> Option<Answer> {
    let account = known_account(shared, args)?;
    Some(answer(&U64::from(
        account.map_or(0, |account| account.nonce),
    )))
}

/// `eth_getTransactionCount`; with `pending` the transactions in the pool count too.
pub(super) fn transaction_count(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    let address = args.hex::<Address>(0)?;
    let id = block_id(args, 1)?;
    if id.is_pending() {
        return answer(&U64::from(next_nonce(shared, address)?));
    }
    let (_, state) = shared.state(id)?;
    let account = state.account(&address).map_err(store_fault)?;
    answer(&U64::from(account.map_or(0, |account| account.nonce)))
}

/// The nonce of the next transaction of `address`, those in the pool counted.
pub(super) fn next_nonce(shared: &Shared, address: Address) -> Result<u64, Fault> {
    // The pool first: a transaction that is mined between the two looks is then counted by both,
    // and the larger number is the right one.
    let waiting = shared.node.pool.lock().pending_nonce(&address);
    let (_, state) = shared.state(BlockId::latest())?;
    let account = state.account(&address).map_err(store_fault)?;
    let nonce = account.map_or(0, |account| account.nonce);
    Ok(nonce.max(waiting.unwrap_or(0)))
}

/// Most slots of one question (geth's limit).
const MOST_SLOTS: usize = 1024;

fn check_slots(count: usize) -> Result<(), Fault> {
    if count > MOST_SLOTS {
        return Err(Fault::invalid_params(format!(
            "too many slots (max {MOST_SLOTS})"
        )));
    }
    Ok(())
}

/// A storage key as clients write it: at most 32 bytes of hex digits, with `0x` or without, as geth
/// takes them. Whole hashes are shown as such again, shorter ones as numbers.
fn storage_key(text: &str) -> Result<JsonStorageKey, Fault> {
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text);
    if digits.len() > 2 * B256::len_bytes() {
        return Err(Fault::invalid_params(format!(
            "storage key too long (want at most 32 bytes): {text:?}"
        )));
    }
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Fault::invalid_params(format!(
            "invalid hex in storage key: {text:?}"
        )));
    }
    let number = match digits {
        "" => U256::ZERO,
        digits => U256::from_str_radix(digits, 16)
            .map_err(|error| Fault::invalid_params(error.to_string()))?,
    };
    // An odd number of digits has a zero before it.
    if digits.len().div_ceil(2) == B256::len_bytes() {
        Ok(JsonStorageKey::Hash(number.into()))
    } else {
        Ok(JsonStorageKey::Number(number))
    }
}

fn slot_of(key: &JsonStorageKey) -> U256 {
    U256::from_be_bytes(key.as_b256().0)
}

/// `eth_getStorageValues`: several slots of several accounts.
pub(super) fn storage_values(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    let wanted = args.required::<BTreeMap<Address, Vec<String>>>(0)?;
    let count = wanted.values().map(Vec::len).sum();
    if count == 0 {
        return Err(Fault::invalid_params("empty request"));
    }
    check_slots(count)?;
    let (_, state) = shared.state(block_id(args, 1)?)?;
    let mut values: BTreeMap<Address, Vec<B256>> = BTreeMap::new();
    for (address, keys) in wanted {
        let found = values.entry(address).or_default();
        for key in keys {
            let value = state.storage(&address, &slot_of(&storage_key(&key)?));
            found.push(B256::from(value.map_err(store_fault)?));
        }
    }
    answer(&values)
}

/// `eth_getProof` (EIP-1186), for the blocks whose tries are kept.
pub(super) fn proof(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(3)?;
    let address = args.hex::<Address>(0)?;
    let keys = args.required::<Vec<String>>(1)?;
    check_slots(keys.len())?;
    let keys: Vec<_> = keys
        .iter()
        .map(|key| storage_key(key))
        .collect::<Result<_, _>>()?;
    let id = block_id(args, 2)?;
    let number = shared
        .number_of(id)?
        .ok_or_else(|| Fault::server("header not found"))?;
    let slots: Vec<_> = keys.iter().map(slot_of).collect();
    let store = &shared.node.store;
    let proof = store.prove(number, &address, &slots).map_err(store_fault)?;
    let (balance, nonce, code_hash, storage_hash) = proof.account.map_or(
        (U256::ZERO, 0, KECCAK256_EMPTY, EMPTY_ROOT_HASH),
        |account| {
            (
                account.balance,
                account.nonce,
                account.code_hash,
                account.storage_root,
            )
        },
    );
    answer(&EIP1186AccountProofResponse {
        address,
        balance,
        code_hash,
        nonce,
        storage_hash,
        account_proof: proof.nodes,
        storage_proof: keys
            .into_iter()
            .zip(proof.slots)
            .map(|(key, slot)| EIP1186StorageProof {
                key,
                value: slot.value,
                proof: slot.nodes,
            })
            .collect(),
    })
}

/// `eth_getCode`
pub(super) fn code(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(2)?;
    let address = args.hex::<Address>(0)?;
    let (_, state) = shared.state(block_id(args, 1)?)?;
    answer(&state.code_of(&address).map_err(store_fault)?)
}

/// `eth_getStorageAt` from memory.
pub(super) fn known_storage_at(shared: &Shared, args: &Args<'_>) -> Option<Answer> {
    args.at_most(3).ok()?;
    let address = args.hex::<Address>(0).ok()?;
    let key = storage_key(&args.required::<String>(1).ok()?).ok()?;
    let latest = block_id(args, 2).ok()?.is_latest();
    let slot = slot_of(&key);
    let value = latest.then(|| shared.node.store.known_slot(&address, &slot))??;
    Some(answer(&B256::from(value)))
}

/// `eth_getStorageAt`
pub(super) fn storage_at(shared: &Shared, args: &Args<'_>) -> Answer {
    args.at_most(3)?;
    let address = args.hex::<Address>(0)?;
    let slot = slot_of(&storage_key(&args.required::<String>(1)?)?);
    let (_, state) = shared.state(block_id(args, 2)?)?;
    let value = state.storage(&address, &slot).map_err(store_fault)?;
    answer(&B256::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_keys_have_at_most_32_bytes() {
        let number = |number: u64| JsonStorageKey::Number(U256::from(number));
        for (text, key) in [
            ("0x", number(0)),
            ("0x0", number(0)),
            ("0Xff", number(255)),
            ("100", number(256)),
        ] {
            assert_eq!(storage_key(text).unwrap(), key, "{text}");
        }
        let whole = "11".repeat(32);
        let hash = JsonStorageKey::Hash(B256::repeat_byte(0x11));
        assert_eq!(storage_key(&whole).unwrap(), hash);
        assert_eq!(storage_key(&format!("0x{whole}")).unwrap(), hash);
        // 63 digits are 32 bytes too.
        let odd = storage_key(&whole[1..]).unwrap();
        assert!(matches!(odd, JsonStorageKey::Hash(_)), "{odd:?}");
        for (text, words) in [
            (
                "0xasdf".to_owned(),
                "invalid hex in storage key: \"0xasdf\"",
            ),
            ("0x+1".to_owned(), "invalid hex in storage key"),
            (format!("0x{whole}0"), "storage key too long"),
        ] {
            let fault = storage_key(&text).unwrap_err();
            assert_eq!(fault.code(), -32602);
            assert!(fault.message().starts_with(words), "{}", fault.message());
        }
    }
}
