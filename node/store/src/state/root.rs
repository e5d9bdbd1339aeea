//! From what execution changed to the state root and the records to write.

use super::{
    KnownPaths, StateChanges, StateDiff, StateView, StoredNodes, TrieChanges,
    diff::{AccountDiff, Balances},
    resident::ResidentTries,
};
use crate::{
    StoreError,
    backend::{Backend, Batch, Snapshot, Table, memory::Memory},
    codec,
    trie::{self, MadeNode, NodeChanges, resident::Tree},
};
use alloy_primitives::{Address, B256, U256};
use alloy_rlp::Encodable as _;
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use std::{collections::BTreeMap, ops::Range};

/// About as many bytes as most values have.
const USUAL_BYTES: usize = 80;

/// What becomes of accounts without nonce, balance and code that a block has touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptyAccounts {
    /// They are removed (EIP-161, from Spurious Dragon on).
    #[default]
    Remove,
    /// They stay, as on Ethereum before that fork.
    Keep,
}

/// What a block changes in one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountDelta {
    pub(crate) address: Address,
    pub(crate) before: Option<TrieAccount>,
    pub(crate) after: Option<TrieAccount>,
    /// Slots whose value changes, in order.
    pub(crate) slots: Vec<SlotDelta>,
}

/// What a block changes in one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotDelta {
    pub(crate) slot: U256,
    pub(crate) before: U256,
    pub(crate) after: U256,
}

/// The state root after a block, with every record of flat state, history and tries that
/// leads to it. It is valid on top of one block only, which it remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrieUpdates {
    parent: B256,
    root: B256,
    accounts: Vec<AccountDelta>,
    account_nodes: NodeChanges,
    storage_nodes: Vec<(Address, NodeChanges)>,
}

impl TrieUpdates {
    /// The state root with these changes.
    pub fn root(&self) -> B256 {
        self.root
    }

    /// Hash of the block on top of which they were computed.
    pub fn parent(&self) -> B256 {
        self.parent
    }

    /// Number of accounts that change, themselves or in their storage.
    pub fn changed_accounts(&self) -> usize {
        self.accounts.len()
    }

    /// Number of trie nodes written or removed.
    pub fn changed_nodes(&self) -> usize {
        let storage: usize = self
            .storage_nodes
            .iter()
            .map(|(_, nodes)| nodes.len())
            .sum();
        self.account_nodes.len() + storage
    }

    /// About how many records [`write_state`] writes of them, and how many bytes those have: a batch that
    /// grows copies all it holds, several times.
    fn size(&self) -> (usize, usize) {
        // An account, a slot or the path of a node with its key and its place in the history.
        const RECORD: usize = 128;
        let slots = self.accounts.iter().map(|delta| delta.slots.len());
        let values = 2 * (self.accounts.len() + slots.sum::<usize>());
        let tries = self.storage_nodes.iter().map(|(_, nodes)| nodes);
        let nodes = tries
            .chain([&self.account_nodes])
            .flat_map(|nodes| nodes.iter());
        let nodes = nodes.map(|(_, change)| change.after.as_ref().map_or(0, |after| after.len()));
        let records = values + self.changed_nodes();
        (records, nodes.sum::<usize>() + records * RECORD)
    }

    /// The changes, in the order of addresses.
    pub(crate) fn deltas(&self) -> &[AccountDelta] {
        &self.accounts
    }

    /// What it made of the tries, without what there was before.
    pub(crate) fn nodes(&self) -> ResidentNodes {
        let made = |changes: &NodeChanges| {
            let made = changes.iter().map(|(at, change)| MadeNode {
                at: *at,
                node: change.after.clone().map(|encoded| (change.hash, encoded)),
            });
            made.collect()
        };
        let storage = self.storage_nodes.iter();
        ResidentNodes {
            root: self.root,
            accounts: made(&self.account_nodes),
            storage: storage
                .map(|(address, changes)| (*address, made(changes)))
                .collect(),
        }
    }

    /// Computes the root of `accounts` on top of a block, whose nodes are those of `nodes`. The
    /// storage roots in `after` are filled in here; each delta's slots must be all that change.
    pub(crate) fn compute(
        nodes: Nodes<'_>,
        parent: B256,
        parent_root: B256,
        mut accounts: Vec<AccountDelta>,
        paths: &KnownPaths,
    ) -> Result<Self, StoreError> {
        let storage = storage_tries(nodes, &accounts, paths)?;
        let mut changed = storage.iter().peekable();
        for delta in &mut accounts {
            let root = match changed.next_if(|(address, ..)| *address == delta.address) {
                Some((_, root, _)) => *root,
                None => root_before(delta),
            };
            match &mut delta.after {
                Some(account) => account.storage_root = root,
                None if root == EMPTY_ROOT_HASH => {}
                None => {
                    let reason = format!("{root} is left of the storage of a removed account");
                    let key = delta.address.as_slice();
                    return Err(StoreError::corrupt(Table::StorageTrie, key, reason));
                }
            }
        }
        let resident = nodes.resident.map(ResidentTries::accounts);
        let addresses: Vec<_> = accounts.iter().map(|delta| delta.address).collect();
        let keys = paths.of_accounts(&addresses).into_iter();
        let values = Values::of(&accounts, |delta, out| {
            delta.after.map(|account| account.encode(out)).is_some()
        });
        let updates = keys.zip(values.iter()).collect();
        let (root, account_nodes) = trie::update(nodes.accounts(), parent_root, resident, updates)?;
        let storage_nodes = storage
            .into_iter()
            .map(|(address, _, nodes)| (address, nodes));
        Ok(Self {
            parent,
            root,
            accounts,
            account_nodes,
            storage_nodes: storage_nodes.collect(),
        })
    }

    /// As [`Self::compute`], on top of no state at all.
    pub(crate) fn on_empty(accounts: Vec<AccountDelta>) -> Result<Self, StoreError> {
        let nodes = Nodes {
            snapshot: &*Memory::new().snapshot(),
            past: None,
            resident: None,
        };
        let paths = KnownPaths::default();
        Self::compute(nodes, B256::ZERO, EMPTY_ROOT_HASH, accounts, &paths)
    }
}

/// The nodes of all tries after a block.
#[derive(Clone, Copy)]
pub(crate) struct Nodes<'a> {
    pub(crate) snapshot: &'a dyn Snapshot,
    /// The block, where it is not the snapshot's last one.
    pub(crate) past: Option<u64>,
    /// Those in memory.
    pub(crate) resident: Option<&'a ResidentTries>,
}

impl<'a> Nodes<'a> {
    fn accounts(self) -> StoredNodes<'a> {
        StoredNodes::accounts(self.snapshot).after(self.past)
    }

    fn storage(self, address: &'a Address) -> StoredNodes<'a> {
        StoredNodes::storage(self.snapshot, address).after(self.past)
    }

    fn resident_storage(self, address: &Address) -> Option<&'a Tree> {
        self.resident?.storage(address)
    }
}

/// The nodes that a block made, to be kept in memory.
#[derive(Debug)]
pub(crate) struct ResidentNodes {
    /// The state root.
    pub(crate) root: B256,
    /// Of the account trie.
    pub(crate) accounts: Vec<MadeNode>,
    /// Of storage tries.
    pub(crate) storage: Vec<(Address, Vec<MadeNode>)>,
}

impl ResidentNodes {
    /// How many there are, those that went among them.
    pub(crate) fn len(&self) -> usize {
        let storage = self.storage.iter().map(|(_, made)| made.len());
        self.accounts.len() + storage.sum::<usize>()
    }

    /// Bytes of the nodes and of the list of them.
    pub(crate) fn bytes(&self) -> usize {
        let storage = self.storage.iter().map(|(_, made)| made);
        let all = storage.chain([&self.accounts]).flatten();
        all.map(|made| {
            let encoded = made.node.as_ref().map_or(0, |(_, encoded)| encoded.len());
            size_of::<MadeNode>() + encoded
        })
        .sum()
    }
}

/// What becomes of the values of keys, one behind another in memory.
struct Values {
    bytes: Vec<u8>,
    /// Where each is; none where it is removed.
    spans: Vec<Option<Range<usize>>>,
}

impl Values {
    /// `encode` appends the value of a change; `false` where there is none.
    fn of<T>(changes: &[T], encode: impl Fn(&T, &mut Vec<u8>) -> bool) -> Self {
        let mut bytes = Vec::with_capacity(changes.len() * USUAL_BYTES);
        let spans = changes.iter().map(|change| {
            let start = bytes.len();
            encode(change, &mut bytes).then_some(start..bytes.len())
        });
        let spans = spans.collect();
        Self { bytes, spans }
    }

    fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let value = |span: &Range<usize>| self.bytes.get(span.clone());
        self.spans
            .iter()
            .map(move |span| span.as_ref().and_then(value))
    }
}

/// Root of an account's storage before the block.
fn root_before(delta: &AccountDelta) -> B256 {
    delta
        .before
        .map_or(EMPTY_ROOT_HASH, |account| account.storage_root)
}

/// Root and changed nodes of the storage of each account whose slots change, in their order.
fn storage_tries(
    nodes: Nodes<'_>,
    accounts: &[AccountDelta],
    paths: &KnownPaths,
) -> Result<Vec<(Address, B256, NodeChanges)>, StoreError> {
    let slots = accounts.iter().flat_map(|delta| &delta.slots);
    let slots: Vec<_> = slots.copied().collect();
    let keys: Vec<_> = slots.iter().map(|slot| slot.slot).collect();
    let values = Values::of(&slots, |slot, out| {
        slot.after.encode(out);
        !slot.after.is_zero()
    });
    let mut updates = paths.of_slots(&keys).into_iter().zip(values.iter());
    let mut small = Vec::new();
    let mut finished = Vec::new();
    for delta in accounts.iter().filter(|delta| !delta.slots.is_empty()) {
        let resident = nodes.resident_storage(&delta.address);
        let nodes = nodes.storage(&delta.address);
        let updates: Vec<_> = updates.by_ref().take(delta.slots.len()).collect();
        let root = root_before(delta);
        if delta.slots.len() >= trie::PARALLEL_FROM {
            let (root, changes) = trie::update(nodes, root, resident, updates)?;
            finished.push((delta.address, root, changes));
        } else {
            small.push((delta.address, (nodes, root, resident, updates)));
        }
    }
    let (addresses, tries): (Vec<_>, Vec<_>) = small.into_iter().unzip();
    let small = addresses.into_iter().zip(trie::update_many(tries)?);
    finished.extend(small.map(|(address, (root, changes))| (address, root, changes)));
    finished.sort_unstable_by_key(|(address, ..)| *address);
    Ok(finished)
}

/// What `diff` changes on top of the state in `view`, which must be the state that it was executed
/// on: that after block `base`. Values before are read from the store where the diff does not know them of that
/// very block.
pub(crate) fn deltas_of(
    view: &StateView,
    base: &B256,
    diff: &StateDiff,
    empty: EmptyAccounts,
) -> Result<Vec<AccountDelta>, StoreError> {
    let known = diff.base.as_ref() == Some(base);
    let mut deltas = Vec::with_capacity(diff.accounts.len());
    for account in &diff.accounts {
        let before = match account.before.filter(|_| known) {
            Some(before) => before,
            None => view.account(&account.address)?,
        };
        let after = account
            .after
            .filter(|after| empty == EmptyAccounts::Keep || !after.is_empty())
            .map(|after| trie_account(&after, before.as_ref()));
        let slots = slots_of(view, account, before.as_ref(), after.is_none(), known)?;
        // Without changed slots the storage root, copied from before, is right already.
        if before != after || !slots.is_empty() {
            deltas.push(AccountDelta {
                address: account.address,
                before,
                after,
                slots,
            });
        }
    }
    Ok(deltas)
}

/// The account as the trie has it, with the storage root of `before` for the time being.
fn trie_account(now: &Balances, before: Option<&TrieAccount>) -> TrieAccount {
    TrieAccount {
        nonce: now.nonce,
        balance: now.balance,
        storage_root: before.map_or(EMPTY_ROOT_HASH, |account| account.storage_root),
        code_hash: now.code_hash,
    }
}

/// The slots that change. An account that was destroyed (and perhaps made again) or is gone
/// loses every slot it had, whether execution has seen it or not.
fn slots_of(
    view: &StateView,
    account: &AccountDiff,
    before: Option<&TrieAccount>,
    gone: bool,
    known: bool,
) -> Result<Vec<SlotDelta>, StoreError> {
    let address = &account.address;
    let had_storage = before.is_some_and(|account| account.storage_root != EMPTY_ROOT_HASH);
    let delta = |(slot, (before, after)): (U256, (U256, U256))| {
        (before != after).then_some(SlotDelta {
            slot,
            before,
            after,
        })
    };
    if !(account.wiped || gone) {
        let mut slots = Vec::with_capacity(account.slots.len());
        for (slot, before, after) in &account.slots {
            let before = match before.filter(|_| known) {
                Some(before) => before,
                None if had_storage => view.storage(address, slot)?,
                None => U256::ZERO,
            };
            slots.extend(delta((*slot, (before, *after))));
        }
        return Ok(slots);
    }
    let mut slots = BTreeMap::new();
    if had_storage {
        for slot in view.slots(address)? {
            slots.insert(slot, (view.storage(address, &slot)?, U256::ZERO));
        }
    }
    if !gone {
        for (slot, _, after) in &account.slots {
            slots.entry(*slot).or_default().1 = *after;
        }
    }
    Ok(slots.into_iter().filter_map(delta).collect())
}

/// Adds flat state, history and trie nodes of block `number`. Block 0 has no history: nobody
/// asks for the state before it.
pub(crate) fn write_state(batch: &mut Batch, number: u64, updates: &TrieUpdates) {
    let history = number > 0;
    let (writes, bytes) = updates.size();
    batch.reserve(writes, bytes);
    // Table after table, so that most of them are in order.
    for delta in &updates.accounts {
        let key = delta.address.as_slice();
        match &delta.after {
            Some(after) => batch.put_with(Table::Accounts, key, |out| after.encode(out)),
            None => batch.remove(Table::Accounts, key),
        }
    }
    for delta in updates.accounts.iter().filter(|_| history) {
        let key = codec::history_key(delta.address.as_slice(), number);
        batch.put_with(Table::AccountHistory, &key, |out| {
            if let Some(before) = &delta.before {
                before.encode(out);
            }
        });
    }
    let slots = || {
        let accounts = updates.accounts.iter();
        accounts.flat_map(|delta| delta.slots.iter().map(|slot| (&delta.address, slot)))
    };
    for (address, slot) in slots() {
        let value = (!slot.after.is_zero()).then(|| codec::encode_slot(&slot.after));
        batch.set(Table::Storage, codec::slot_key(address, &slot.slot), value);
    }
    for (address, slot) in slots().filter(|_| history) {
        let key = codec::slot_key(address, &slot.slot);
        let key = codec::history_key(&key, number);
        batch.put(Table::StorageHistory, key, codec::encode_slot(&slot.before));
    }
    let mut key = Vec::new();
    let mut nodes = |batch: &mut Batch, table, prefix: &[u8], changes: &NodeChanges| {
        for (path, change) in changes {
            key.clear();
            codec::push_path_key(&mut key, prefix, path);
            batch.set(table, &key, change.after.as_deref());
        }
    };
    nodes(batch, Table::AccountTrie, &[], &updates.account_nodes);
    for (address, changes) in &updates.storage_nodes {
        nodes(batch, Table::StorageTrie, address.as_slice(), changes);
    }
    if history {
        let key = codec::block_key(number);
        let changes = StateChanges::of(&updates.accounts);
        batch.put(Table::StateChanges, key, alloy_rlp::encode(changes));
        let changes = TrieChanges::write(
            batch,
            number,
            &updates.account_nodes,
            &updates.storage_nodes,
        );
        batch.put(Table::TrieChanges, key, alloy_rlp::encode(changes));
    }
}
