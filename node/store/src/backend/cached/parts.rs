//! What is kept, in what form and in which part.

use super::super::{
    Table,
    filter::{Filter, hash_of},
};
use crate::{codec, generations::Generations};
use alloy_primitives::{
    Address, KECCAK256_EMPTY, U256,
    map::{DefaultHashBuilder, FbBuildHasher},
};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Parts of the cache, each with a lock of its own.
pub(super) const SHARDS: usize = 16;
/// Batches of which it is known what they change: snapshots that are older still read past the cache.
const RECENT: usize = 8;
/// What an account or a slot takes with its place in a hash table, and the free places there.
pub(super) const ACCOUNT_BYTES: usize = 96;
pub(super) const SLOT_BYTES: usize = 144;
/// What an account with code, storage or uncommon riches takes besides.
pub(super) const FULL_BYTES: usize = 144;

/// An account with few bytes where it has neither code nor storage.
#[derive(Clone)]
pub(super) enum Kept {
    Absent,
    /// Nonce, and balance as two words, the low one first.
    Plain(u64, [u64; 2]),
    Full(Arc<TrieAccount>),
}

impl Kept {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Absent | Self::Plain(..) => ACCOUNT_BYTES,
            Self::Full(_) => ACCOUNT_BYTES + FULL_BYTES,
        }
    }

    pub(super) fn account(&self) -> Option<TrieAccount> {
        match self {
            Self::Absent => None,
            Self::Plain(nonce, [low, high]) => Some(TrieAccount {
                nonce: *nonce,
                balance: U256::from_limbs([*low, *high, 0, 0]),
                storage_root: EMPTY_ROOT_HASH,
                code_hash: KECCAK256_EMPTY,
            }),
            Self::Full(account) => Some(**account),
        }
    }
}

impl From<Option<TrieAccount>> for Kept {
    fn from(account: Option<TrieAccount>) -> Self {
        let Some(account) = account else {
            return Self::Absent;
        };
        match account.balance.into_limbs() {
            [low, high, 0, 0]
                if account.code_hash == KECCAK256_EMPTY
                    && account.storage_root == EMPTY_ROOT_HASH =>
            {
                Self::Plain(account.nonce, [low, high])
            }
            _ => Self::Full(Arc::new(account)),
        }
    }
}

/// Keyed, and quick for so many bytes.
type AddressHasher = FbBuildHasher<20>;

pub(super) struct Cache {
    pub(super) shards: Vec<Mutex<Shard>>,
    /// Raised before a batch is written and again after it: odd in between.
    pub(super) version: AtomicU64,
    /// What the last batches change, and the version that each led or leads to; the newest last.
    recent: RwLock<VecDeque<(u64, Filter)>>,
    /// Most bytes.
    pub(super) bound: usize,
}

pub(super) struct Shard {
    pub(super) accounts: Generations<Address, Kept, AddressHasher>,
    pub(super) slots: Generations<(Address, U256), U256, DefaultHashBuilder>,
}

/// What a write does to the cache; `None` where the record cannot be read.
#[derive(Clone, Copy)]
pub(super) enum Change {
    Account(Address, Option<Option<TrieAccount>>),
    Slot((Address, U256), Option<U256>),
}

impl Change {
    pub(super) fn of(table: Table, key: &[u8], value: Option<&[u8]>) -> Option<Self> {
        match table {
            Table::Accounts => {
                let address = Address::try_from(key).ok()?;
                let account = value.map(|value| codec::rlp(table, key, value)).transpose();
                Some(Self::Account(address, account.ok()))
            }
            Table::Storage => {
                let (address, slot) = key.split_at_checked(20)?;
                let address = Address::try_from(address).ok()?;
                let slot = U256::from_be_bytes(<[u8; 32]>::try_from(slot).ok()?);
                let value = codec::decode_slot(table, key, value.unwrap_or_default());
                Some(Self::Slot((address, slot), value.ok()))
            }
            _ => None,
        }
    }

    pub(super) fn hash(&self) -> u64 {
        match self {
            Self::Account(address, _) => account_hash(address),
            Self::Slot((address, slot), _) => slot_hash(address, slot),
        }
    }

    /// Which part of the cache it is for.
    pub(super) fn part(&self) -> usize {
        match self {
            Self::Account(address, _) => Cache::part(address),
            Self::Slot((address, slot), _) => Cache::slot_part(address, slot),
        }
    }
}

pub(super) fn account_hash(address: &Address) -> u64 {
    hash_of(Table::Accounts, address.as_slice())
}

pub(super) fn slot_hash(address: &Address, slot: &U256) -> u64 {
    hash_of(Table::Storage, &codec::slot_key(address, slot))
}

impl Shard {
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Account(address, Some(account)) => self.accounts.put(address, account.into()),
            Change::Account(address, None) => self.accounts.remove(&address),
            Change::Slot(slot, Some(value)) => self.slots.put(slot, value),
            Change::Slot(slot, None) => self.slots.remove(&slot),
        }
    }
}

impl Cache {
    /// A cache of about so many bytes, two thirds of them for slots, of which there are more.
    pub(super) fn new(bytes: usize) -> Self {
        let third = bytes / SHARDS / 3;
        let shard = || {
            Mutex::new(Shard {
                accounts: Generations::new(third, Kept::bytes),
                slots: Generations::new(2 * third, |_| SLOT_BYTES),
            })
        };
        Self {
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            version: AtomicU64::new(0),
            recent: RwLock::default(),
            bound: bytes,
        }
    }

    pub(super) fn shard(&self, part: usize) -> &Mutex<Shard> {
        // There are as many as that.
        &self.shards[part % SHARDS]
    }

    pub(super) fn part(address: &Address) -> usize {
        usize::from(address.0[19]) % SHARDS
    }

    /// The slots of one account are in all parts: some contracts have more than a part can hold.
    pub(super) fn slot_part(address: &Address, slot: &U256) -> usize {
        usize::from(address.0[19] ^ slot.byte(0)) % SHARDS
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Says what the next batch changes, before it is written.
    pub(super) fn announce(&self, changes: &[Change]) {
        let mut filter = Filter::new(changes.len());
        for change in changes {
            filter.insert(change.hash());
        }
        let mut recent = self.recent.write();
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back((self.version() + 2, filter));
    }

    /// Whether what has this hash is surely the same as it was at `version`. That is so for as long as the lock of its part
    /// is held, which a batch that changes it needs.
    pub(super) fn same_since(&self, version: u64, hash: impl Fn() -> u64) -> bool {
        let now = self.version();
        if now == version {
            return true;
        }
        let recent = self.recent.read();
        let later = recent
            .iter()
            .rev()
            .take_while(|(led_to, _)| *led_to > version);
        let (hash, mut batches) = (hash(), 0);
        let same = later
            .inspect(|_| batches += 1)
            .all(|(_, filter)| !filter.may_have(hash));
        // Each batch raises it by two; the last one may be on its way.
        same && batches >= (now - version).div_ceil(2)
    }
}
