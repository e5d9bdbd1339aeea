//! The pool itself.

use crate::{
    AccountState, Best, Cursor, PoolConfig, PoolEnv, PoolError, best,
    rank::{Class, Rank},
    validate::validate,
};
use alloy_consensus::{Transaction, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256, U256};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
};

/// Transactions by sender and nonce.
pub(crate) type Senders = BTreeMap<Address, Sender>;

/// A sender's account and transactions; never without a transaction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sender {
    pub(crate) account: AccountState,
    pub(crate) entries: BTreeMap<u64, Entry>,
}

/// A transaction in the pool.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Apart, for a sender's map has room for eleven entries even where there is one.
    pub(crate) transaction: Box<Recovered<TxEnvelope>>,
    pub(crate) hash: B256,
    /// Bytes on the wire.
    pub(crate) size: usize,
    /// Most that it can cost its sender.
    pub(crate) cost: U256,
    /// The how-manieth transaction of this pool it is.
    pub(crate) arrival: u64,
    pub(crate) rank: Rank,
}

/// What is dropped first: the lowest rank, of one rank the greatest nonce, then the youngest.
/// Ranks do not rise along a sender's nonces, so the first of all is its sender's last.
type DropOrder = (Rank, Reverse<u64>, Reverse<u64>, Address);

/// What a transaction takes besides its bytes: itself, its places in the other lists, and as many free ones.
const PLACES: usize = size_of::<Recovered<TxEnvelope>>()
    + 2 * (size_of::<DropOrder>() + size_of::<(B256, (Address, u64))>());
/// What a sender takes: its place, and a leaf of the map of its transactions.
const SENDER: usize = 2 * size_of::<(Address, Sender)>() + 11 * size_of::<(u64, Entry)>();

/// A transaction that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its hash.
    pub hash: B256,
    /// The transaction whose place it took.
    pub replaced: Option<B256>,
    /// Whether every nonce before it is there.
    pub executable: bool,
    /// Transactions dropped to make room.
    pub dropped: Vec<B256>,
}

/// Everything in the pool, by sender and nonce.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// Transactions that could be executed one after the other.
    pub pending: BTreeMap<Address, BTreeMap<u64, Recovered<TxEnvelope>>>,
    /// Transactions that wait for a nonce before them.
    pub queued: BTreeMap<Address, BTreeMap<u64, Recovered<TxEnvelope>>>,
}

/// How much is in the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Transactions that could be executed one after the other.
    pub pending: usize,
    /// Transactions that wait for a nonce before them.
    pub queued: usize,
    /// Bytes of all of them.
    pub bytes: usize,
    /// Bytes of memory that they take, about: their own, and their places in the pool's lists.
    pub memory: usize,
}

/// The transaction pool.
#[derive(Clone, Debug)]
pub struct Pool {
    config: PoolConfig,
    base_fee: u64,
    senders: Senders,
    by_hash: HashMap<B256, (Address, u64)>,
    drop_order: BTreeSet<DropOrder>,
    bytes: usize,
    arrivals: u64,
    /// Of the next block, as the last one left it.
    gas_limit: u64,
    /// Transactions that came and went.
    version: u64,
}

impl Pool {
    /// An empty pool.
    pub fn new(config: PoolConfig) -> Self {
        Self {
            config,
            base_fee: 0,
            senders: Senders::new(),
            by_hash: HashMap::new(),
            drop_order: BTreeSet::new(),
            bytes: 0,
            arrivals: 0,
            gas_limit: u64::MAX,
            version: 0,
        }
    }

    /// The bounds and rules.
    pub fn config(&self) -> &PoolConfig {
        &self.config
    }

    /// Takes a transaction. `account` is its sender's after the last block, `env` the next
    /// block's. A refused transaction changes nothing, except that the pool then knows the
    /// account and the base fee.
    ///
    /// # Errors
    ///
    /// [`PoolError`] says why it was refused.
    pub fn add(
        &mut self,
        transaction: Recovered<TxEnvelope>,
        account: AccountState,
        env: &PoolEnv,
    ) -> Result<Added, PoolError> {
        let hash = *transaction.tx_hash();
        if self.by_hash.contains_key(&hash) {
            return Err(PoolError::AlreadyKnown);
        }
        let size = validate(&transaction, &self.config, env)?;
        let (address, nonce) = (transaction.signer(), transaction.nonce());
        if nonce < account.nonce {
            return Err(PoolError::NonceTooLow {
                next: account.nonce,
                nonce,
            });
        }
        // From here on the pool must see the sender and the fees as they are now.
        self.set_base_fee(env.base_fee);
        if self
            .senders
            .get(&address)
            .is_some_and(|sender| sender.account != account)
        {
            self.set_account(&address, account, env.gas_limit);
        }
        let cost = cost(&transaction);
        let none = Sender {
            account,
            entries: BTreeMap::new(),
        };
        let sender = self.senders.get(&address).unwrap_or(&none);
        let replaced = sender.entries.get(&nonce);
        check_funds(sender, replaced, cost)?;
        if let Some(old) = replaced {
            check_replacement(
                &old.transaction,
                &transaction,
                self.config.replacement_percent,
            )?;
        }
        let rank = sender.rank_at(nonce, &transaction, self.base_fee);
        if replaced.is_none() {
            let count = sender.entries.len();
            let waiting = sender.entries.values().rev();
            let waiting = waiting
                .take_while(|entry| !entry.rank.is_executable())
                .count();
            let too_many_wait =
                !rank.is_executable() && waiting >= self.config.max_waiting_per_sender;
            if count >= self.config.max_per_sender || too_many_wait {
                return Err(PoolError::AccountLimit(count));
            }
        }
        let replaced = replaced.map(|old| (old.hash, old.size));
        let arrival = self.arrivals;
        let victims = self.victims(
            (rank, Reverse(nonce), Reverse(arrival), address),
            size,
            replaced.map(|(_, size)| size),
            transaction.priority_fee_or_price(),
        )?;

        self.arrivals += 1;
        self.version += 1;
        let dropped = victims
            .into_iter()
            .filter_map(|(address, nonce)| self.take(&address, nonce))
            .map(|entry| entry.hash)
            .collect();
        if replaced.is_some() {
            self.take(&address, nonce);
        }
        self.bytes += size;
        self.by_hash.insert(hash, (address, nonce));
        self.drop_order
            .insert((rank, Reverse(nonce), Reverse(arrival), address));
        let sender = self.senders.entry(address).or_default();
        sender.account = account;
        let entry = Entry {
            transaction: Box::new(transaction),
            hash,
            size,
            cost,
            arrival,
            rank,
        };
        sender.entries.insert(nonce, entry);
        // Those behind it may have waited for it, or rank by it.
        self.rank_from(&address, nonce);
        Ok(Added {
            hash,
            replaced: replaced.map(|(hash, _)| hash),
            executable: rank.is_executable(),
            dropped,
        })
    }

    /// What must go to make room for a transaction of `size` bytes.
    fn victims(
        &self,
        new: DropOrder,
        size: usize,
        replaced: Option<usize>,
        tip: u128,
    ) -> Result<Vec<(Address, u64)>, PoolError> {
        let mut count = self.by_hash.len() + 1 - usize::from(replaced.is_some());
        let mut bytes = (self.bytes + size).saturating_sub(replaced.unwrap_or(0));
        let mut victims = Vec::new();
        let mut order = self.drop_order.iter();
        while count > self.config.max_transactions || bytes > self.config.max_bytes {
            let Some(first) = order.next() else {
                return Err(PoolError::Full);
            };
            let (rank, Reverse(nonce), _, address) = *first;
            if (address, nonce) == (new.3, new.1.0) {
                // Its own predecessor at this nonce, which is not counted any more.
                continue;
            }
            if *first >= new {
                // Everything in the pool is wanted more. A higher tip helps where tips are what
                // was compared; where one before it holds it down it does not.
                let needed = rank.price.saturating_add(1);
                let payable = new.0.class == Class::Payable && rank.class == Class::Payable;
                return Err(if payable && tip < needed {
                    PoolError::Underpriced { tip, needed }
                } else {
                    PoolError::Full
                });
            }
            if let Some(entry) = self.entry(&address, nonce) {
                count -= 1;
                bytes -= entry.size;
            }
            victims.push((address, nonce));
        }
        Ok(victims)
    }

    /// Tells the pool that a block was accepted: the transactions in it, the senders'
    /// accounts after it, and what the next block is like. `changed` is asked once for each
    /// sender in the pool: its account, or `None` where the block left it as it was. The hashes of other transactions that can no longer be executed
    /// and were dropped.
    pub fn on_block(
        &mut self,
        included: &[B256],
        changed: impl Fn(&Address) -> Option<AccountState>,
        env: &PoolEnv,
    ) -> Vec<B256> {
        let mut touched = BTreeSet::new();
        for hash in included {
            if let Some((address, nonce)) = self.by_hash.get(hash).copied() {
                self.take(&address, nonce);
                touched.insert(address);
            }
        }
        let fee_changes = self.base_fee != env.base_fee;
        self.base_fee = env.base_fee;
        // What was taken because a block had room for it may find none.
        let less_gas = env.gas_limit < self.gas_limit;
        self.gas_limit = env.gas_limit;
        let mut anew = Vec::new();
        for (address, sender) in &mut self.senders {
            match changed(address) {
                Some(account) => anew.push((*address, account)),
                None if less_gas || touched.contains(address) => {
                    anew.push((*address, sender.account));
                }
                None if fee_changes => {
                    sender.rank_from(address, 0, self.base_fee, &mut self.drop_order);
                }
                None => {}
            }
        }
        let mut dropped = Vec::new();
        for (address, account) in anew {
            dropped.extend(self.set_account(&address, account, env.gas_limit));
        }
        dropped
    }

    /// Removes a transaction; those behind it wait from now on.
    pub fn remove(&mut self, hash: &B256) -> Option<Recovered<TxEnvelope>> {
        let (address, nonce) = self.by_hash.get(hash).copied()?;
        let entry = self.take(&address, nonce)?;
        self.rank_from(&address, nonce);
        Some(*entry.transaction)
    }

    /// The executable transactions that pay `base_fee`, in the order in which a block builder
    /// wants them.
    pub fn best(&self, base_fee: u64) -> Vec<Recovered<TxEnvelope>> {
        self.best_iter(base_fee).cloned().collect()
    }

    /// As [`Self::best`], one by one and without copies.
    pub fn best_iter(&self, base_fee: u64) -> Best<'_> {
        Best::new(&self.senders, base_fee)
    }

    /// A place before the first of [`Self::best_iter`], for [`Self::next_best`].
    pub fn cursor(&self, base_fee: u64) -> Cursor {
        Cursor::new(&self.senders, base_fee)
    }

    /// The next transaction at a place in the order of [`Self::best_iter`]; the pool may have changed since the last.
    pub fn next_best(&self, cursor: &mut Cursor) -> Option<&Recovered<TxEnvelope>> {
        cursor.step(&self.senders)
    }

    /// Whether [`Self::best_iter`] has any.
    pub fn has_best(&self, base_fee: u64) -> bool {
        best::any(&self.senders, base_fee)
    }

    /// A number that is another one after every change of the transactions.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The transaction with this hash.
    pub fn get(&self, hash: &B256) -> Option<Recovered<TxEnvelope>> {
        let (address, nonce) = self.by_hash.get(hash)?;
        Some(Recovered::clone(&self.entry(address, *nonce)?.transaction))
    }

    /// Whether a transaction with this hash is here.
    pub fn contains(&self, hash: &B256) -> bool {
        self.by_hash.contains_key(hash)
    }

    /// The nonce after the sender's executable transactions; `None` where it has none.
    pub fn pending_nonce(&self, address: &Address) -> Option<u64> {
        let entries = self.senders.get(address)?.executable();
        entries.map(|(nonce, _)| nonce.saturating_add(1)).last()
    }

    /// Everything in the pool.
    pub fn content(&self) -> Content {
        let mut content = Content::default();
        for (address, sender) in &self.senders {
            sender.content(address, &mut content);
        }
        content
    }

    /// Every transaction, each sender's nonces in order.
    pub fn transactions(&self) -> impl Iterator<Item = &Recovered<TxEnvelope>> {
        let entries = self
            .senders
            .values()
            .flat_map(|sender| sender.entries.values());
        entries.map(|entry| &*entry.transaction)
    }

    /// Everything of one sender.
    pub fn content_from(&self, address: &Address) -> Content {
        let mut content = Content::default();
        if let Some(sender) = self.senders.get(address) {
            sender.content(address, &mut content);
        }
        content
    }

    /// How much is in the pool.
    pub fn status(&self) -> Status {
        let waiting = self.drop_order.iter();
        let queued = waiting.take_while(|key| !key.0.is_executable()).count();
        Status {
            pending: self.by_hash.len() - queued,
            queued,
            bytes: self.bytes,
            memory: self.bytes + self.by_hash.len() * PLACES + self.senders.len() * SENDER,
        }
    }

    /// Number of transactions.
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Whether the pool has no transaction.
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    fn entry(&self, address: &Address, nonce: u64) -> Option<&Entry> {
        self.senders.get(address)?.entries.get(&nonce)
    }

    /// Removes a transaction from every index; the ranks behind it are left as they were.
    fn take(&mut self, address: &Address, nonce: u64) -> Option<Entry> {
        let sender = self.senders.get_mut(address)?;
        let entry = sender.entries.remove(&nonce)?;
        if sender.entries.is_empty() {
            self.senders.remove(address);
        }
        self.by_hash.remove(&entry.hash);
        self.bytes -= entry.size;
        self.version += 1;
        self.drop_order
            .remove(&(entry.rank, Reverse(nonce), Reverse(entry.arrival), *address));
        Some(entry)
    }

    /// Ranks a sender's transactions anew from `nonce` on.
    fn rank_from(&mut self, address: &Address, nonce: u64) {
        if let Some(sender) = self.senders.get_mut(address) {
            sender.rank_from(address, nonce, self.base_fee, &mut self.drop_order);
        }
    }

    fn set_base_fee(&mut self, base_fee: u64) {
        if self.base_fee != base_fee {
            self.base_fee = base_fee;
            for (address, sender) in &mut self.senders {
                sender.rank_from(address, 0, base_fee, &mut self.drop_order);
            }
        }
    }

    /// Takes note of a sender's account, and drops what can no longer be executed: nonces that
    /// are used, and transactions that the balance or a block's gas does not cover.
    fn set_account(&mut self, address: &Address, account: AccountState, gas: u64) -> Vec<B256> {
        let Some(sender) = self.senders.get_mut(address) else {
            return Vec::new();
        };
        sender.account = account;
        let dead: Vec<_> = sender
            .entries
            .iter()
            .filter(|(nonce, entry)| {
                **nonce < account.nonce
                    || entry.cost > account.balance
                    || entry.transaction.gas_limit() > gas
            })
            .map(|(nonce, _)| *nonce)
            .collect();
        let dropped = dead
            .into_iter()
            .filter_map(|nonce| self.take(address, nonce))
            .map(|entry| entry.hash)
            .collect();
        self.rank_from(address, 0);
        dropped
    }
}

impl Sender {
    /// The transactions that could be executed one after the other.
    fn executable(&self) -> impl Iterator<Item = (u64, &Entry)> {
        let entries = self.entries.iter().map(|(nonce, entry)| (*nonce, entry));
        entries.take_while(|(_, entry)| entry.rank.is_executable())
    }

    /// Ranks the transactions from `nonce` on anew.
    fn rank_from(
        &mut self,
        address: &Address,
        nonce: u64,
        base_fee: u64,
        drop_order: &mut BTreeSet<DropOrder>,
    ) {
        let mut previous = self.before(nonce);
        let next = self.account.nonce;
        for (&nonce, entry) in self.entries.range_mut(nonce..) {
            let follows = follows(nonce, next, previous);
            let last = previous.map(|(_, rank)| rank);
            let rank = Rank::new(entry.transaction.inner(), base_fee, follows, last);
            if rank != entry.rank {
                let key = |rank| (rank, Reverse(nonce), Reverse(entry.arrival), *address);
                drop_order.remove(&key(entry.rank));
                drop_order.insert(key(rank));
                entry.rank = rank;
            }
            previous = Some((nonce, rank));
        }
    }

    /// Nonce and rank of the last transaction before `nonce`.
    fn before(&self, nonce: u64) -> Option<(u64, Rank)> {
        let (nonce, entry) = self.entries.range(..nonce).next_back()?;
        Some((*nonce, entry.rank))
    }

    /// The rank that a transaction would have at `nonce`.
    fn rank_at(&self, nonce: u64, transaction: &TxEnvelope, base_fee: u64) -> Rank {
        let previous = self.before(nonce);
        let follows = follows(nonce, self.account.nonce, previous);
        Rank::new(
            transaction,
            base_fee,
            follows,
            previous.map(|(_, rank)| rank),
        )
    }

    fn content(&self, address: &Address, content: &mut Content) {
        for (nonce, entry) in &self.entries {
            let part = if entry.rank.is_executable() {
                &mut content.pending
            } else {
                &mut content.queued
            };
            let transaction = Recovered::clone(&entry.transaction);
            part.entry(*address)
                .or_default()
                .insert(*nonce, transaction);
        }
    }
}

/// Whether `nonce` is the account's next, or comes right behind an executable transaction.
fn follows(nonce: u64, next: u64, previous: Option<(u64, Rank)>) -> bool {
    match previous {
        Some((before, rank)) => rank.is_executable() && before.checked_add(1) == Some(nonce),
        None => nonce == next,
    }
}

/// Most that a transaction can cost its sender: gas at the maximal fee, and the value.
fn cost(transaction: &TxEnvelope) -> U256 {
    let gas = U256::from(transaction.gas_limit());
    let fee = U256::from(transaction.max_fee_per_gas());
    gas.saturating_mul(fee).saturating_add(transaction.value())
}

/// The balance must cover the transaction, and with it all executable ones.
fn check_funds(sender: &Sender, replaced: Option<&Entry>, cost: U256) -> Result<(), PoolError> {
    let balance = sender.account.balance;
    if cost > balance {
        return Err(PoolError::InsufficientFunds { balance, cost });
    }
    let queued = sender
        .executable()
        .filter(|(_, entry)| replaced.is_none_or(|old| old.hash != entry.hash))
        .fold(U256::ZERO, |sum, (_, entry)| sum.saturating_add(entry.cost));
    if queued.saturating_add(cost) > balance {
        return Err(PoolError::InsufficientFundsForAll {
            balance,
            queued,
            cost,
        });
    }
    Ok(())
}

/// A replacement must pay more by `percent`, and more at all, in both fees.
fn check_replacement(old: &TxEnvelope, new: &TxEnvelope, percent: u128) -> Result<(), PoolError> {
    let enough = |old: u128, new: u128| {
        // Rounded down, as geth does.
        let more = U256::from(old) * (U256::from(100) + U256::from(percent)) / U256::from(100);
        new > old && U256::from(new) >= more
    };
    if enough(old.max_fee_per_gas(), new.max_fee_per_gas())
        && enough(old.priority_fee_or_price(), new.priority_fee_or_price())
    {
        Ok(())
    } else {
        Err(PoolError::ReplacementUnderpriced)
    }
}
