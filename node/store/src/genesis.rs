//! The first block and the accounts it starts with.

use crate::{
    StoreError,
    state::{AccountDelta, SlotDelta, TrieUpdates},
};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use std::collections::BTreeMap;

/// An account at genesis. An empty one is kept, as geth does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisAccount {
    /// Nonce.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// Code, empty for none.
    pub code: Bytes,
    /// Slots and their values; zero values are the same as no entry.
    pub storage: Vec<(B256, U256)>,
}

/// What a chain starts from, and what tells it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of the chain specification: a store made with another one is refused.
    pub spec_hash: B256,
    /// Header of block 0; its state root must be that of the accounts.
    pub header: Header,
    /// The accounts, each address once.
    pub accounts: Vec<(Address, GenesisAccount)>,
}

impl Genesis {
    /// Root of the account trie of these accounts.
    ///
    /// # Errors
    ///
    /// [`StoreError::InvalidGenesis`] where an address or slot is there twice.
    pub fn state_root_of(accounts: &[(Address, GenesisAccount)]) -> Result<B256, StoreError> {
        Ok(Self::updates_of(accounts)?.root())
    }

    /// The writes that put these accounts into an empty store.
    pub(crate) fn updates_of(
        accounts: &[(Address, GenesisAccount)],
    ) -> Result<TrieUpdates, StoreError> {
        let twice = |what: String| StoreError::InvalidGenesis {
            reason: format!("{what} is there twice"),
        };
        let mut sorted = BTreeMap::new();
        for (address, account) in accounts {
            if sorted.insert(address, account).is_some() {
                return Err(twice(format!("account {address}")));
            }
        }
        let mut deltas = Vec::with_capacity(sorted.len());
        for (address, account) in sorted {
            let mut slots = BTreeMap::new();
            for (slot, value) in &account.storage {
                if slots.insert(U256::from_be_bytes(slot.0), *value).is_some() {
                    return Err(twice(format!("slot {slot} of account {address}")));
                }
            }
            let code_hash = if account.code.is_empty() {
                KECCAK256_EMPTY
            } else {
                keccak256(&account.code)
            };
            deltas.push(AccountDelta {
                address: *address,
                before: None,
                after: Some(TrieAccount {
                    nonce: account.nonce,
                    balance: account.balance,
                    code_hash,
                    // Computed with the storage trie.
                    storage_root: EMPTY_ROOT_HASH,
                }),
                slots: slots
                    .into_iter()
                    .filter(|(_, value)| !value.is_zero())
                    .map(|(slot, after)| SlotDelta {
                        slot,
                        before: U256::ZERO,
                        after,
                    })
                    .collect(),
            });
        }
        TrieUpdates::on_empty(deltas)
    }
}
