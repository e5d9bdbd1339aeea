//! What a block changes, by account.

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use alloy_trie::TrieAccount;
use revm::{
    bytecode::Bytecode,
    database::{AccountStatus, BundleState},
    state::AccountInfo,
};
use std::collections::BTreeMap;

/// What execution changed on top of a state: the outcome of [`crate::BlockState`], or of revm's
/// [`BundleState`].
#[derive(Clone, Debug, Default)]
pub struct StateDiff {
    /// The block whose state it was executed on, where values before the changes are known.
    pub(super) base: Option<B256>,
    /// In the order of addresses, each once.
    pub(super) accounts: Vec<AccountDiff>,
    /// New code by its hash.
    pub(crate) codes: BTreeMap<B256, Bytecode>,
}

/// One account that was touched.
#[derive(Clone, Debug)]
pub(super) struct AccountDiff {
    pub(super) address: Address,
    /// What it was before, where that is known.
    pub(super) before: Option<Option<TrieAccount>>,
    /// What it is now.
    pub(super) after: Option<Balances>,
    /// All that was in its storage is gone, but for `slots`.
    pub(super) wiped: bool,
    /// In the order of keys: value before, where it is known, and now.
    pub(super) slots: Vec<(U256, Option<U256>, U256)>,
}

/// What execution knows of an account besides its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Balances {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    pub(crate) code_hash: B256,
}

impl Balances {
    pub(crate) fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash == KECCAK256_EMPTY
    }
}

impl From<&AccountInfo> for Balances {
    fn from(info: &AccountInfo) -> Self {
        Self {
            nonce: info.nonce,
            balance: info.balance,
            // Some callers leave the hash of an account without code at zero.
            code_hash: if info.code_hash.is_zero() {
                KECCAK256_EMPTY
            } else {
                info.code_hash
            },
        }
    }
}

impl StateDiff {
    fn touched(&self, address: &Address) -> Option<&AccountDiff> {
        let at = self
            .accounts
            .binary_search_by(|account| account.address.cmp(address));
        self.accounts.get(at.ok()?)
    }

    /// What an account is now; `None` where it was not touched.
    pub(crate) fn balances(&self, address: &Address) -> Option<Option<&Balances>> {
        Some(self.touched(address)?.after.as_ref())
    }

    /// The account at `address` as it is now, without its code; `None` where it was not touched, and is what it was
    /// before.
    pub fn account(&self, address: &Address) -> Option<Option<AccountInfo>> {
        let now = self.balances(address)?;
        Some(now.map(|now| AccountInfo {
            balance: now.balance,
            nonce: now.nonce,
            code_hash: now.code_hash,
            account_id: None,
            code: None,
        }))
    }

    /// The value of a slot as it is now; `None` where it is what it was before.
    pub fn slot(&self, address: &Address, slot: &U256) -> Option<U256> {
        let account = self.touched(address)?;
        match account.slots.binary_search_by(|(at, ..)| at.cmp(slot)) {
            Ok(at) => account.slots.get(at).map(|(_, _, now)| *now),
            Err(_) => account.wiped.then_some(U256::ZERO),
        }
    }

    /// Whether any slot of the account at `address` has a value now; `None` where that is as it was before.
    pub fn has_storage(&self, address: &Address) -> Option<bool> {
        let account = self.touched(address)?;
        if account.after.is_none() {
            return Some(false);
        }
        let set = account.slots.iter().any(|(_, _, now)| !now.is_zero());
        (set || account.wiped).then_some(set)
    }

    /// New code by its hash; `None` where it was there before.
    pub fn code(&self, code_hash: &B256) -> Option<&Bytecode> {
        self.codes.get(code_hash)
    }
}

/// Notes code under its hash, unless there is none.
pub(super) fn note_code(codes: &mut BTreeMap<B256, Bytecode>, hash: &B256, code: &Bytecode) {
    if *hash != KECCAK256_EMPTY && !hash.is_zero() {
        codes.entry(*hash).or_insert_with(|| code.clone());
    }
}

impl From<&BundleState> for StateDiff {
    fn from(bundle: &BundleState) -> Self {
        let mut codes = BTreeMap::new();
        for (hash, code) in &bundle.contracts {
            note_code(&mut codes, hash, code);
        }
        let mut accounts = Vec::with_capacity(bundle.state.len());
        for (address, account) in &bundle.state {
            if let Some(info) = &account.info
                && let Some(code) = &info.code
                && account
                    .original_info
                    .as_ref()
                    .is_none_or(|original| original.code_hash != info.code_hash)
            {
                note_code(&mut codes, &info.code_hash, code);
            }
            if matches!(
                account.status,
                AccountStatus::LoadedNotExisting
                    | AccountStatus::Loaded
                    | AccountStatus::LoadedEmptyEIP161
            ) {
                continue;
            }
            let slots = account.storage.iter();
            let mut slots: Vec<_> = slots
                .map(|(slot, value)| (*slot, None, value.present_value))
                .collect();
            slots.sort_unstable();
            accounts.push(AccountDiff {
                address: *address,
                before: None,
                after: account.info.as_ref().map(Balances::from),
                wiped: account.was_destroyed(),
                slots,
            });
        }
        accounts.sort_unstable_by_key(|account| account.address);
        Self {
            base: None,
            accounts,
            codes,
        }
    }
}

impl From<BundleState> for StateDiff {
    fn from(bundle: BundleState) -> Self {
        Self::from(&bundle)
    }
}
