//! The state while a block is executed.

use super::{
    StateDiff, StateView,
    diff::{AccountDiff, Balances, note_code},
};
use crate::StoreError;
use alloy_primitives::{Address, B256, U256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use parking_lot::Mutex;
use revm::{
    Database, DatabaseCommit, DatabaseRef,
    bytecode::Bytecode,
    primitives::{AddressMap, HashMap, StorageKey, StorageKeyMap, StorageValue, hash_map::Entry},
    state::{Account, AccountId, AccountInfo},
};
use std::{
    collections::BTreeMap,
    fmt, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The state after a block and what transactions on top of it have changed so far; the database that
/// the EVM runs on when a block is built or verified.
///
/// It does what revm's `State` with a bundle does, with less: each account has one entry with its value
/// before and now, and there are no transitions to merge in the end.
pub struct BlockState {
    view: StateView,
    base: B256,
    /// Where in `entries` an account is.
    places: AddressMap<usize>,
    entries: Vec<Known>,
    /// New code by its hash.
    codes: BTreeMap<B256, Bytecode>,
    hashes: HashMap<u64, B256>,
    /// Where what transactions change is handed on.
    followers: Option<Arc<Changes>>,
}

/// What transactions changed, in order, for whoever follows them on another thread.
#[derive(Debug, Default)]
pub struct Changes {
    of_each: Mutex<Vec<AddressMap<Account>>>,
    /// Nobody follows any more.
    done: AtomicBool,
}

impl Changes {
    /// What came since this was last called.
    pub fn take(&self) -> Vec<AddressMap<Account>> {
        mem::take(&mut self.of_each.lock())
    }

    /// Says that no more changes will be taken.
    pub fn close(&self) {
        self.done.store(true, Ordering::Relaxed);
        self.take();
    }

    fn push(&self, changes: AddressMap<Account>) {
        if !self.done.load(Ordering::Relaxed) {
            self.of_each.lock().push(changes);
        }
    }
}

/// An account that was read or changed.
struct Known {
    address: Address,
    /// What it was before the block; `None` where nobody has read it.
    before: Option<Option<TrieAccount>>,
    info: Option<AccountInfo>,
    /// Values before, where they are known, and now.
    slots: StorageKeyMap<(Option<U256>, U256)>,
    /// What the store has of its storage is gone.
    wiped: bool,
    touched: bool,
}

impl fmt::Debug for BlockState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockState")
            .field("base", &self.base)
            .field("accounts", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl BlockState {
    pub(crate) fn new(view: StateView, base: B256) -> Self {
        Self {
            view,
            base,
            places: AddressMap::default(),
            entries: Vec::new(),
            codes: BTreeMap::new(),
            hashes: HashMap::default(),
            followers: None,
        }
    }

    /// Hands what transactions change from now on to `followers`.
    pub fn tell(&mut self, followers: Arc<Changes>) {
        self.followers = Some(followers);
    }

    /// Makes room for so many more accounts.
    pub fn reserve(&mut self, accounts: usize) {
        self.places.reserve(accounts);
        self.entries.reserve(accounts);
    }

    /// The state below.
    pub fn view(&self) -> &StateView {
        &self.view
    }

    /// Takes accounts that were read from the state below elsewhere, those that are not here yet.
    pub fn supply<'a>(
        &mut self,
        accounts: impl IntoIterator<Item = &'a (Address, Option<TrieAccount>)>,
    ) {
        for (address, account) in accounts {
            if let Entry::Vacant(free) = self.places.entry(*address) {
                free.insert(self.entries.len());
                self.push(*address, *account);
            }
        }
    }

    fn insert(&mut self, address: Address, before: Option<TrieAccount>) -> usize {
        self.places.insert(address, self.entries.len());
        self.push(address, before)
    }

    /// Makes the entry of an account whose place is set.
    fn push(&mut self, address: Address, before: Option<TrieAccount>) -> usize {
        let place = self.entries.len();
        let info = before.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            account_id: AccountId::new(place),
            // Read by hash when it is run.
            code: None,
        });
        self.entries.push(Known {
            address,
            before: Some(before),
            info,
            slots: StorageKeyMap::default(),
            wiped: false,
            touched: false,
        });
        place
    }

    /// Where the account's entry is, after reading it where nobody has.
    fn place(&mut self, address: Address) -> Result<usize, StoreError> {
        match self.places.get(&address) {
            Some(place) => Ok(*place),
            None => {
                let account = self.view.account(&address)?;
                Ok(self.insert(address, account))
            }
        }
    }

    /// Whether any slot of the account at `address` has a value. Where the store has its storage, an
    /// account has some until it is gone or made anew: slots that were set to zero since are not counted.
    ///
    /// # Errors
    /// As [`StateView::account`].
    pub fn has_storage(&mut self, address: Address) -> Result<bool, StoreError> {
        let place = self.place(address)?;
        let Some(entry) = self.entries.get(place) else {
            return Ok(false);
        };
        if entry.info.is_none() {
            return Ok(false);
        }
        if entry.slots.values().any(|(_, now)| !now.is_zero()) {
            return Ok(true);
        }
        match &entry.before {
            _ if entry.wiped => Ok(false),
            Some(before) => Ok(before.is_some_and(|before| before.storage_root != EMPTY_ROOT_HASH)),
            None => self.view.has_storage(&address),
        }
    }

    /// Whether the account at `address`, and those of its slots that a transaction run elsewhere read, are here what they
    /// were there before it.
    ///
    /// # Errors
    /// As [`StateView::account`].
    pub fn reads_as(&mut self, address: Address, account: &Account) -> Result<bool, StoreError> {
        let place = self.place(address)?;
        let here = self
            .entries
            .get(place)
            .and_then(|entry| entry.info.as_ref());
        let same = match here {
            None => account.is_loaded_as_not_existing(),
            Some(here) => {
                let there = account.original_info();
                !account.is_loaded_as_not_existing()
                    && here.balance == there.balance
                    && here.nonce == there.nonce
                    && here.code_hash == there.code_hash
            }
        };
        if !same {
            return Ok(false);
        }
        for (slot, value) in &account.storage {
            if self.slot(place, *slot)? != value.original_value {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn slot(&mut self, place: usize, slot: StorageKey) -> Result<StorageValue, StoreError> {
        // Places are those of entries.
        let Some(entry) = self.entries.get_mut(place) else {
            return Ok(U256::ZERO);
        };
        let free = match entry.slots.entry(slot) {
            Entry::Occupied(known) => return Ok(known.get().1),
            Entry::Vacant(free) => free,
        };
        let stored = match &entry.before {
            Some(Some(account)) => account.storage_root != EMPTY_ROOT_HASH,
            Some(None) => false,
            None => true,
        };
        let value = if stored && !entry.wiped {
            self.view.storage(&entry.address, &slot)?
        } else {
            U256::ZERO
        };
        free.insert((Some(value), value));
        Ok(value)
    }

    /// Makes a transaction's changes of one account.
    pub fn apply(&mut self, address: Address, account: &Account) {
        if !account.is_touched() {
            return;
        }
        let place = self.places.get(&address).copied().unwrap_or_else(|| {
            // Nobody has read it here, and this cannot tell that it cannot be read.
            let place = self.insert(address, None);
            if let Some(entry) = self.entries.get_mut(place) {
                entry.before = None;
            }
            place
        });
        let Some(entry) = self.entries.get_mut(place) else {
            return;
        };
        entry.touched = true;
        let created = account.is_created();
        // An empty account that is touched is gone (EIP-161). Where it is to stay, as before that, the EVM's
        // journal says that it was made.
        if account.is_selfdestructed() || (account.is_empty() && !created) {
            entry.info = None;
            entry.wiped = true;
            entry.slots.clear();
            return;
        }
        if created {
            entry.wiped = true;
            entry.slots.clear();
        }
        let changed = account.storage.iter();
        for (slot, value) in changed.filter(|(_, value)| value.is_changed()) {
            let place = entry.slots.entry(*slot).or_default();
            place.1 = value.present_value;
        }
        let mut info = account.info.clone();
        let before = entry.info.as_ref().map(|info| info.code_hash);
        if before != Some(info.code_hash)
            && let Some(code) = &info.code
            && !code.is_empty()
        {
            note_code(&mut self.codes, &info.code_hash, code);
        }
        info.account_id = AccountId::new(place);
        entry.info = Some(info);
    }

    /// What was changed so far.
    pub fn diff(&self) -> StateDiff {
        // First by their first bytes as a number, which is next to each: that leaves hardly any to compare whole.
        let touched = self.entries.iter().filter(|entry| entry.touched);
        let mut touched: Vec<_> = touched
            .map(|entry| (first_bytes(&entry.address), entry))
            .collect();
        touched.sort_unstable_by_key(|(first, _)| *first);
        for equal in touched.chunk_by_mut(|(a, _), (b, _)| a == b) {
            equal.sort_unstable_by_key(|(_, entry)| entry.address);
        }
        let accounts = touched.into_iter().map(|(_, entry)| {
            let slots = entry.slots.iter();
            // Sorted where they are, as each is a hundred bytes.
            let mut slots: Vec<_> = slots
                .filter(|(_, (before, now))| entry.wiped || *before != Some(*now))
                .collect();
            slots.sort_unstable_by_key(|(slot, _)| **slot);
            let slots = slots.into_iter();
            let slots = slots
                .map(|(slot, (before, now))| (*slot, before.filter(|_| !entry.wiped), *now))
                .collect();
            AccountDiff {
                address: entry.address,
                before: entry.before,
                after: entry.info.as_ref().map(Balances::from),
                wiped: entry.wiped,
                slots,
            }
        });
        StateDiff {
            base: Some(self.base),
            accounts: accounts.collect(),
            codes: self.codes.clone(),
        }
    }
}

fn first_bytes(address: &Address) -> u64 {
    let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _] = address.0.0;
    u64::from_be_bytes(first)
}

impl Database for BlockState {
    type Error = StoreError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, StoreError> {
        let place = self.place(address)?;
        Ok(self.entries.get(place).and_then(|entry| entry.info.clone()))
    }

    fn code_by_hash(&mut self, code_hash: B256) -> Result<Bytecode, StoreError> {
        match self.codes.get(&code_hash) {
            Some(code) => Ok(code.clone()),
            None => self.view.code_by_hash_ref(code_hash),
        }
    }

    fn storage(&mut self, address: Address, slot: StorageKey) -> Result<StorageValue, StoreError> {
        let place = self.place(address)?;
        self.slot(place, slot)
    }

    fn storage_by_account_id(
        &mut self,
        address: Address,
        id: AccountId,
        slot: StorageKey,
    ) -> Result<StorageValue, StoreError> {
        let place = id.get();
        let same = self
            .entries
            .get(place)
            .is_some_and(|entry| entry.address == address);
        match same {
            true => self.slot(place, slot),
            false => self.storage(address, slot),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StoreError> {
        if let Some(hash) = self.hashes.get(&number) {
            return Ok(*hash);
        }
        let hash = self.view.block_hash_ref(number)?;
        self.hashes.insert(number, hash);
        Ok(hash)
    }
}

impl DatabaseCommit for BlockState {
    fn commit(&mut self, changes: AddressMap<Account>) {
        for (address, account) in &changes {
            self.apply(*address, account);
        }
        if let Some(followers) = &self.followers {
            followers.push(changes);
        }
    }

    fn commit_iter(&mut self, changes: &mut dyn Iterator<Item = (Address, Account)>) {
        let mut told = AddressMap::default();
        for (address, account) in changes {
            self.apply(address, &account);
            if self.followers.is_some() {
                told.insert(address, account);
            }
        }
        if let Some(followers) = &self.followers {
            followers.push(told);
        }
    }
}
