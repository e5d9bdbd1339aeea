//! What a block's transactions will need, made ready on a second thread while those before them run.
//!
//! It decides nothing: whatever is not ready in time is read where it is needed, and gives the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use alloy_consensus::{
    Header, Transaction as _, TxEnvelope, constants::KECCAK_EMPTY, transaction::Recovered,
};
use alloy_evm::Evm as _;
use alloy_primitives::{Address, U256};
use pars_precompiles::Collector;
use pars_store::{Account, BlockState, StateView, Tip};

use crate::{
    block_evm::BlockEvm,
    feeding::{Throwaway, throwaway},
    precompiles::Precompiles,
    senders::Senders,
    spec::ChainSpec,
};

/// Transactions whose senders and recipients are read together.
const TOGETHER: usize = 64;

/// Most gas of a transaction that is rehearsed: nobody waits for one for long.
const REHEARSAL_GAS: u64 = 300_000;

/// The accounts that transactions name, in the order in which they will be needed.
pub(crate) struct Ahead<'a> {
    groups: Vec<Group<'a>>,
    /// The group that the run is at; behind the last one where it is over.
    at: AtomicUsize,
}

/// Accounts by address, in order.
type Accounts = Vec<(Address, Option<Account>)>;

/// A few transactions.
struct Group<'a> {
    transactions: &'a [Recovered<TxEnvelope>],
    /// Their senders and recipients; nothing where those could not be read.
    accounts: OnceLock<Option<Accounts>>,
}

impl Group<'_> {
    /// Reads the accounts where nobody has, and waits for whoever is about it.
    fn read(&self, state: &StateView) -> Option<&[(Address, Option<Account>)]> {
        let read = || {
            let addresses = parties(self.transactions);
            let accounts = state.accounts(&addresses).ok()?;
            Some(addresses.into_iter().zip(accounts).collect())
        };
        self.accounts.get_or_init(read).as_deref()
    }
}

impl<'a> Ahead<'a> {
    /// Nobody has read anything yet.
    pub(crate) fn of(transactions: &'a [Recovered<TxEnvelope>]) -> Self {
        let groups = transactions.chunks(TOGETHER).map(|transactions| Group {
            transactions,
            accounts: OnceLock::new(),
        });
        Self {
            groups: groups.collect(),
            at: AtomicUsize::new(0),
        }
    }

    /// Does `run` while all is read for it, and rehearsed, on another thread, where there is enough to read.
    pub(crate) fn beside<'r, T>(
        &self,
        tip: &Tip,
        rehearsal: impl FnOnce() -> Rehearsal<'r> + Send,
        run: impl FnOnce() -> T,
    ) -> T {
        if self.groups.len() < 2 {
            return run();
        }
        let run = || {
            let done = run();
            self.at.store(self.groups.len(), Ordering::Relaxed);
            done
        };
        pars_store::beside(run, || self.read(tip, rehearsal))
    }

    /// Reads group after group, rehearses from the last one on, and brings near what the state root will need.
    fn read<'r>(&self, tip: &Tip, rehearsal: impl FnOnce() -> Rehearsal<'r>) {
        let state = tip.state();
        let to_come = |group: usize| group > self.at.load(Ordering::Relaxed);
        let over = || self.at.load(Ordering::Relaxed) >= self.groups.len();
        let mut calls = false;
        for (index, group) in self.groups.iter().enumerate() {
            if to_come(index)
                && let Some(accounts) = group.read(&state)
            {
                calls |= accounts.iter().any(|(_, account)| has_code(account));
            }
        }
        if calls {
            let mut rehearsal = rehearsal();
            let rest = self.groups.iter().enumerate().rev();
            for (number, group) in rest.take_while(|(number, _)| to_come(*number)) {
                rehearsal.of(number, group, &state, || to_come(number));
            }
            for (address, slots) in &rehearsal.slots {
                if !over() {
                    tip.warm_storage(address, slots);
                }
            }
        }
        for group in &self.groups {
            if !over()
                && let Some(accounts) = group.read(&state)
            {
                let addresses: Vec<_> = accounts.iter().map(|(address, _)| *address).collect();
                tip.warm(&addresses);
            }
        }
    }

    /// Before the transaction with this index: puts the accounts of its group into `state`, where it is the first there.
    /// Those that cannot be read are an error where they are needed.
    pub(crate) fn supply(&self, index: usize, state: &mut BlockState) {
        let (number, place) = (index / TOGETHER, index % TOGETHER);
        if place == 0
            && let Some(group) = self.groups.get(number)
        {
            self.at.store(number, Ordering::Relaxed);
            state.supply(group.read(state.view()).unwrap_or_default());
        }
    }
}

fn has_code(account: &Option<Account>) -> bool {
    account.is_some_and(|account| account.code_hash != KECCAK_EMPTY)
}

/// Runs of transactions on the state before the block, which is not changed: what they read is in the caches then.
pub(crate) struct Rehearsal<'a> {
    evm: BlockEvm<Throwaway<StateView>>,
    /// What they ask, which nobody wants to know.
    asked: Arc<Collector>,
    senders: &'a Senders,
    /// Transactions that were run already, in order.
    done: &'a [usize],
    /// The slots that they looked at.
    slots: BTreeMap<Address, BTreeSet<U256>>,
}

impl<'a> Rehearsal<'a> {
    pub(crate) fn new(
        spec: &ChainSpec,
        precompiles: &Precompiles,
        senders: &'a Senders,
        tip: &Tip,
        header: &Header,
        done: &'a [usize],
    ) -> Self {
        let (evm, asked) = throwaway(spec, precompiles, header, tip.state());
        Self {
            evm,
            asked,
            senders,
            done,
            slots: BTreeMap::new(),
        }
    }

    /// Runs the transactions of the group with this number that call contracts, for as long as they are `to_come`.
    fn of(
        &mut self,
        number: usize,
        group: &Group<'_>,
        state: &StateView,
        to_come: impl Fn() -> bool,
    ) {
        let accounts = group.read(state).unwrap_or_default();
        for (index, transaction) in (number * TOGETHER..).zip(group.transactions) {
            if !to_come() {
                return;
            }
            if self.done.binary_search(&index).is_ok() {
                continue;
            }
            let code = |address: Address| {
                let place = accounts.binary_search_by_key(&address, |(address, _)| *address);
                let account = place.ok().and_then(|place| accounts.get(place));
                account.is_some_and(|(_, account)| has_code(account))
            };
            if !transaction.to().is_some_and(code) {
                continue;
            }
            let mut environment = self.senders.tx_env(transaction);
            environment.gas_limit = environment.gas_limit.min(REHEARSAL_GAS);
            let done = self.evm.transact_raw(environment);
            self.asked.take();
            // One that cannot be run here may be run there.
            let Ok(done) = done else {
                continue;
            };
            for (address, account) in done.state {
                if !account.storage.is_empty() {
                    let slots = self.slots.entry(address).or_default();
                    slots.extend(account.storage.into_keys());
                }
            }
        }
    }
}

/// Senders and recipients, each once.
fn parties(transactions: &[Recovered<TxEnvelope>]) -> Vec<Address> {
    let mut parties = Vec::with_capacity(2 * transactions.len());
    for transaction in transactions {
        parties.push(transaction.signer());
        parties.extend(transaction.to());
    }
    parties.sort_unstable();
    parties.dedup();
    parties
}
