//! How keys and values of the tables are written. Everything here is part of the schema: a
//! change means a new [`SCHEMA_VERSION`].

use crate::{
    StoreError,
    backend::{Snapshot, Table},
};
use alloy_primitives::{Address, B256, U256};
use alloy_trie::{Nibbles, TrieAccount};

/// Version of the tables' form, raised with every change that an older program cannot read.
pub const SCHEMA_VERSION: u32 = 6;

/// Keys of [`Table::Meta`].
pub mod meta {
    /// Schema version (4, big-endian).
    pub const SCHEMA: &[u8] = b"schema";
    /// Chain id (8, big-endian).
    pub const CHAIN_ID: &[u8] = b"chain_id";
    /// Hash of the chain specification (32).
    pub const SPEC_HASH: &[u8] = b"spec_hash";
    /// Hash of block 0 (32).
    pub const GENESIS_HASH: &[u8] = b"genesis_hash";
    /// Number (8) ‖ hash (32) of the last accepted block.
    pub const HEAD: &[u8] = b"head";
    /// Number (8) of the oldest block whose state is kept.
    pub const OLDEST_STATE: &[u8] = b"oldest_state";
    /// Number (8) of the oldest block whose trie nodes are kept.
    pub const OLDEST_PROOF: &[u8] = b"oldest_proof";
}

/// Reads a value of a fixed size.
pub fn fixed<const N: usize>(
    table: Table,
    key: &[u8],
    value: &[u8],
) -> Result<[u8; N], StoreError> {
    value.try_into().map_err(|_| {
        let reason = format!("{} bytes where {N} belong", value.len());
        StoreError::corrupt(table, key, reason)
    })
}

/// Reads an RLP value.
pub fn rlp<T: alloy_rlp::Decodable>(
    table: Table,
    key: &[u8],
    value: &[u8],
) -> Result<T, StoreError> {
    alloy_rlp::decode_exact(value)
        .map_err(|error| StoreError::corrupt(table, key, error.to_string()))
}

/// Reads a record of [`Table::Meta`] that must be there, of a fixed size.
pub fn meta_record<const N: usize>(
    snapshot: &dyn Snapshot,
    key: &[u8],
) -> Result<[u8; N], StoreError> {
    let value = snapshot
        .get(Table::Meta, key)?
        .ok_or_else(|| StoreError::corrupt(Table::Meta, key, "the record is missing"))?;
    fixed(Table::Meta, key, &value)
}

/// Reads a block number out of [`Table::Meta`].
pub fn meta_number(snapshot: &dyn Snapshot, key: &[u8]) -> Result<u64, StoreError> {
    meta_record(snapshot, key).map(u64::from_be_bytes)
}

/// Key of a block's records.
pub fn block_key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// Key of a slot: address ‖ slot.
pub fn slot_key(address: &Address, slot: &U256) -> [u8; 52] {
    let mut key = [0; 52];
    key[..20].copy_from_slice(address.as_slice());
    key[20..].copy_from_slice(&slot.to_be_bytes::<32>());
    key
}

/// Key of a change in a history table: subject ‖ block.
pub fn history_key(subject: &[u8], number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(subject.len() + 8);
    key.extend_from_slice(subject);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Key of a path in a trie: its length in nibbles (1), then the nibbles packed. The nodes
/// near the root, which every block touches, lie side by side.
pub fn path_key(prefix: &[u8], path: &Nibbles) -> Vec<u8> {
    let mut key = Vec::with_capacity(prefix.len() + 1 + path.len().div_ceil(2));
    push_path_key(&mut key, prefix, path);
    key
}

/// Appends [`path_key`] to `out`.
pub fn push_path_key(out: &mut Vec<u8>, prefix: &[u8], path: &Nibbles) {
    out.extend_from_slice(prefix);
    // At most 64.
    out.push(u8::try_from(path.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(&path.pack());
}

/// An account, as [`Table::Accounts`] and the leaves of the account trie hold it.
pub fn encode_account(account: &TrieAccount) -> Vec<u8> {
    alloy_rlp::encode(account)
}

/// A slot's value; zero is empty.
pub fn encode_slot(value: &U256) -> Vec<u8> {
    value.to_be_bytes_trimmed_vec()
}

/// Reads a slot's value.
pub fn decode_slot(table: Table, key: &[u8], value: &[u8]) -> Result<U256, StoreError> {
    U256::try_from_be_slice(value)
        .ok_or_else(|| StoreError::corrupt(table, key, "a slot of more than 32 bytes"))
}

/// Reads a hash out of a value that starts with it; the rest.
pub fn split_hash<'a>(
    table: Table,
    key: &[u8],
    value: &'a [u8],
) -> Result<(B256, &'a [u8]), StoreError> {
    match value.split_at_checked(32) {
        Some((hash, rest)) => Ok((B256::from_slice(hash), rest)),
        None => Err(StoreError::corrupt(table, key, "shorter than a hash")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn paths_have_distinct_keys() {
        let mut seen = BTreeSet::new();
        let mut paths = vec![Nibbles::new()];
        for path in &paths.clone() {
            assert!(seen.insert(path_key(&[], path)));
        }
        for _ in 0..3 {
            paths = paths
                .iter()
                .flat_map(|path| {
                    (0..16u8).map(move |nibble| {
                        let mut path = *path;
                        path.push(nibble);
                        path
                    })
                })
                .collect();
            for path in &paths {
                assert!(seen.insert(path_key(&[], path)));
            }
        }
        assert_eq!(seen.len(), 1 + 16 + 256 + 4096);
        let longest = Nibbles::unpack(B256::repeat_byte(0xab));
        assert_eq!(path_key(&[7; 20], &longest).len(), 20 + 1 + 32);
    }

    #[test]
    fn slots_are_written_without_leading_zeroes() {
        for (value, length) in [
            (U256::ZERO, 0),
            (U256::from(1), 1),
            (U256::from(256), 2),
            (U256::MAX, 32),
        ] {
            let bytes = encode_slot(&value);
            assert_eq!(bytes.len(), length);
            assert_eq!(decode_slot(Table::Storage, b"", &bytes).unwrap(), value);
        }
        assert!(decode_slot(Table::Storage, b"", &[1; 33]).is_err());
    }
}
