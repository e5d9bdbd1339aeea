//! The state after one block, consistent for as long as the view lives.

use super::{CodeCache, changed_after};
use crate::{
    StoreError,
    backend::{Record, Snapshot, Table},
    block, codec,
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use revm::{
    DatabaseRef,
    bytecode::Bytecode,
    primitives::{StorageKey, StorageValue},
    state::AccountInfo,
};
use std::{collections::BTreeSet, fmt, sync::Arc};

/// An account: nonce, balance, storage root and code hash.
pub type Account = TrieAccount;

/// The state as of after a block, the head's or an older one's. Later blocks do not change
/// it. Cheap to clone; keep it no longer than needed, for the store keeps old versions of
/// records as long as a view may read them.
#[derive(Clone)]
pub struct StateView {
    snapshot: Arc<dyn Snapshot>,
    number: u64,
    /// The block of the snapshot's flat state.
    head: u64,
    codes: Arc<CodeCache>,
}

impl fmt::Debug for StateView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateView")
            .field("number", &self.number)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl StateView {
    pub(crate) fn new(
        snapshot: Arc<dyn Snapshot>,
        number: u64,
        head: u64,
        codes: Arc<CodeCache>,
    ) -> Self {
        Self {
            snapshot,
            number,
            head,
            codes,
        }
    }

    /// The block after which this state was.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The account at `address`, `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot read or is damaged.
    pub fn account(&self, address: &Address) -> Result<Option<Account>, StoreError> {
        match self.changed_later(Table::AccountHistory, address.as_slice())? {
            Some((_, before)) if before.is_empty() => Ok(None),
            Some((key, before)) => codec::rlp(Table::AccountHistory, &key, &before).map(Some),
            None => self.snapshot.account(address),
        }
    }

    /// Several accounts, in the order of their addresses here.
    ///
    /// # Errors
    ///
    /// As [`Self::account`].
    pub fn accounts(&self, addresses: &[Address]) -> Result<Vec<Option<Account>>, StoreError> {
        match self.past() {
            Some(_) => addresses
                .iter()
                .map(|address| self.account(address))
                .collect(),
            None => self.snapshot.accounts(addresses),
        }
    }

    /// The value of a slot, zero where it was never set.
    ///
    /// # Errors
    ///
    /// As [`Self::account`].
    pub fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StoreError> {
        let subject = codec::slot_key(address, slot);
        match self.changed_later(Table::StorageHistory, &subject)? {
            Some((key, before)) => codec::decode_slot(Table::StorageHistory, &key, &before),
            None => self.snapshot.slot(address, slot),
        }
    }

    /// Whether any slot of the account at `address` has a value.
    ///
    /// # Errors
    ///
    /// As [`Self::account`].
    pub fn has_storage(&self, address: &Address) -> Result<bool, StoreError> {
        let account = self.account(address)?;
        Ok(account.is_some_and(|account| account.storage_root != EMPTY_ROOT_HASH))
    }

    /// The code with this hash; empty for the hash of no code.
    ///
    /// # Errors
    ///
    /// [`StoreError::MissingCode`], and as [`Self::account`].
    pub fn code(&self, code_hash: &B256) -> Result<Bytes, StoreError> {
        if *code_hash == KECCAK256_EMPTY || code_hash.is_zero() {
            return Ok(Bytes::new());
        }
        let code = self.snapshot.get(Table::Code, code_hash.as_slice())?;
        code.map(Bytes::from).ok_or(StoreError::MissingCode {
            code_hash: *code_hash,
        })
    }

    /// The code of the account at `address`; empty where there is none.
    ///
    /// # Errors
    ///
    /// As [`Self::code`].
    pub fn code_of(&self, address: &Address) -> Result<Bytes, StoreError> {
        match self.account(address)? {
            Some(account) => self.code(&account.code_hash),
            None => Ok(Bytes::new()),
        }
    }

    /// The hash of block `number`, where it is this view's block or an older one.
    ///
    /// # Errors
    ///
    /// As [`Self::account`].
    pub fn block_hash(&self, number: u64) -> Result<Option<B256>, StoreError> {
        if number > self.number {
            return Ok(None);
        }
        block::read_hash(&*self.snapshot, number)
    }

    /// The first change of `subject` after this view's block: its key, and the value before
    /// it, which is the value of this view. `None`: it is still what the flat state says.
    fn changed_later(&self, table: Table, subject: &[u8]) -> Result<Option<Record>, StoreError> {
        match self.past() {
            Some(number) => changed_after(&*self.snapshot, table, subject, number),
            None => Ok(None),
        }
    }

    /// This view's block, where it is not the last one of the snapshot.
    pub(crate) fn past(&self) -> Option<u64> {
        (self.number < self.head).then_some(self.number)
    }

    /// Every slot of an account that may have a value.
    pub(crate) fn slots(&self, address: &Address) -> Result<BTreeSet<U256>, StoreError> {
        // Those that had one then have it still or have a change behind it.
        let changed = self.past().map(|_| Table::StorageHistory);
        let mut slots = BTreeSet::new();
        for table in [Some(Table::Storage), changed].into_iter().flatten() {
            for record in self.snapshot.prefix(table, address.as_slice()) {
                let (key, _) = record?;
                let slot = key.get(20..52).and_then(U256::try_from_be_slice);
                let wrong = || StoreError::corrupt(table, &key, "not a slot's key");
                slots.insert(slot.ok_or_else(wrong)?);
            }
        }
        Ok(slots)
    }

    /// What the view reads from.
    pub(crate) fn snapshot(&self) -> &dyn Snapshot {
        &*self.snapshot
    }
}

impl DatabaseRef for StateView {
    type Error = StoreError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StoreError> {
        Ok(self.account(&address)?.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            account_id: None,
            // Read by hash when it is run.
            code: None,
        }))
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, StoreError> {
        self.codes.get_or(&code_hash, || {
            let code = self.code(&code_hash)?;
            Bytecode::new_raw_checked(code).map_err(|error| {
                StoreError::corrupt(Table::Code, code_hash.as_slice(), error.to_string())
            })
        })
    }

    fn storage_ref(&self, address: Address, index: StorageKey) -> Result<StorageValue, StoreError> {
        self.storage(&address, &index)
    }

    /// Zero for a block that this view does not know, as the opcode BLOCKHASH answers.
    fn block_hash_ref(&self, number: u64) -> Result<B256, StoreError> {
        Ok(self.block_hash(number)?.unwrap_or_default())
    }
}

impl StateView {
    /// Whether stored code is what its hash says; for checks of the whole store.
    pub(crate) fn code_is_whole(&self, code_hash: &B256) -> Result<bool, StoreError> {
        Ok(*code_hash == KECCAK256_EMPTY || keccak256(self.code(code_hash)?) == *code_hash)
    }
}
