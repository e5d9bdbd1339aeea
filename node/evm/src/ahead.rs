//! What a block's transactions will need, made ready on a second thread while those before them run.
//!
//! It decides nothing: whatever is not ready in time is read, or run, where it is needed, and gives the same.

use std::{
    hint, mem,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use alloy_consensus::{
    Transaction as _, TxEnvelope, constants::KECCAK_EMPTY, transaction::Recovered,
};
use alloy_primitives::{Address, B256};
use parking_lot::{Mutex, MutexGuard};
use pars_store::{Account, BlockState, Changes, KnownPaths, StateView, Tip};

use crate::{
    eip7610::Rehearsed,
    heavy::{Next, heavy},
    rehearsal::{Rehearsal, holds},
    roots::list_root,
};

/// Transactions whose senders and recipients are read together.
const TOGETHER: usize = 64;

/// Most gas of a transaction that is rehearsed beside the run: nobody waits for one for long.
pub(crate) const REHEARSAL_GAS: u64 = 300_000;

/// How long the run waits for the outcome of a transaction that is being rehearsed: about as long as running it takes.
const PATIENCE: Duration = Duration::from_micros(50);

/// When transactions are run for the first time. Blocks are the same whatever is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunAhead {
    /// When it is their turn, on one thread.
    Never,
    /// Calls may be run on a second thread while those before them are; they are run again in their turn if anything that
    /// they read is another by then. Where most of a block's gas is for calls that are likely to read what others before
    /// them change, that thread follows what those change.
    #[default]
    Beside,
    /// All of them once before the first one's turn comes. That takes longer than either; it is for tests, in
    /// which the smallest block shall take the way of a large one.
    Before,
}

/// The accounts that transactions name, in the order in which they will be needed, and what is known of their outcomes.
pub(crate) struct Ahead<'a> {
    when: RunAhead,
    /// Transactions whose root is wanted, and that.
    listed: &'a [Recovered<TxEnvelope>],
    root: OnceLock<B256>,
    /// Where the accounts and slots are in their tries, as far as that was found.
    paths: Mutex<KnownPaths>,
    groups: Vec<Group<'a>>,
    /// So many groups have had their turn, or have it; all and more where the run is over.
    begun: AtomicUsize,
    /// The transaction whose turn it is.
    at: AtomicUsize,
    /// Those that are rehearsed shortly before their turn; where there are any, no others are.
    heavy: Vec<usize>,
    /// What transactions changed that had their turn, where there are such.
    changes: Option<Arc<Changes>>,
}

/// Accounts by address, in order.
type Accounts = Vec<(Address, Option<Account>)>;

/// A few transactions.
struct Group<'a> {
    transactions: &'a [Recovered<TxEnvelope>],
    /// Their senders and recipients; nothing where those could not be read.
    accounts: OnceLock<Option<Accounts>>,
    /// Of those that were rehearsed, the outcome.
    outcomes: Vec<Mutex<Option<Box<Rehearsed>>>>,
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

    /// Rehearses those of the transactions that are `worth` it, for as long as they are `to_come`.
    fn rehearse(
        &self,
        rehearsal: &mut Rehearsal<'_>,
        accounts: &[(Address, Option<Account>)],
        worth: impl Fn(&Recovered<TxEnvelope>) -> bool,
        to_come: impl Fn() -> bool,
    ) {
        rehearsal.begin(accounts);
        for (transaction, outcome) in self.transactions.iter().zip(&self.outcomes) {
            if !to_come() {
                return;
            }
            if worth(transaction) {
                *outcome.lock() = rehearsal.run(transaction).map(Box::new);
            }
        }
    }
}

impl<'a> Ahead<'a> {
    /// Nobody has read or run anything yet. The root of the first `listed` transactions is wanted.
    pub(crate) fn of(
        transactions: &'a [Recovered<TxEnvelope>],
        when: RunAhead,
        listed: usize,
    ) -> Self {
        let groups = transactions.chunks(TOGETHER).map(|transactions| Group {
            transactions,
            accounts: OnceLock::new(),
            outcomes: transactions.iter().map(|_| Mutex::default()).collect(),
        });
        let heavy = match when {
            RunAhead::Beside => heavy(transactions),
            RunAhead::Never | RunAhead::Before => Vec::new(),
        };
        Self {
            when,
            listed: transactions.get(..listed).unwrap_or_default(),
            root: OnceLock::new(),
            paths: Mutex::default(),
            groups: groups.collect(),
            begun: AtomicUsize::new(0),
            at: AtomicUsize::new(0),
            changes: (!heavy.is_empty()).then(Arc::default),
            heavy,
        }
    }

    /// Most gas of a transaction that is rehearsed.
    pub(crate) fn gas(&self) -> u64 {
        match self.when {
            RunAhead::Never | RunAhead::Beside => REHEARSAL_GAS,
            RunAhead::Before => u64::MAX,
        }
    }

    /// Where the run shall tell what its transactions change.
    pub(crate) fn changes(&self) -> Option<&Arc<Changes>> {
        self.changes.as_ref()
    }

    /// The root that was wanted, where there was time for it.
    pub(crate) fn transactions_root(&self) -> Option<B256> {
        self.root.get().copied()
    }

    /// Where the accounts and slots are in their tries, as far as there was time to find that.
    pub(crate) fn paths(&self) -> KnownPaths {
        mem::take(&mut self.paths.lock())
    }

    /// Does `run` while all is read for it, and rehearsed, on another thread, where there is enough to read.
    pub(crate) fn beside<'r, T>(
        &self,
        tip: &Tip,
        rehearsal: impl FnOnce() -> Rehearsal<'r> + Send,
        run: impl FnOnce() -> T,
    ) -> T {
        match self.when {
            RunAhead::Before => {
                self.read(tip, rehearsal);
                run()
            }
            RunAhead::Beside if self.groups.len() > 1 || !self.heavy.is_empty() => {
                let run = || {
                    let done = run();
                    self.begun.store(usize::MAX, Ordering::Relaxed);
                    done
                };
                pars_store::beside(run, || self.read(tip, rehearsal))
            }
            RunAhead::Beside | RunAhead::Never => run(),
        }
    }

    /// Reads group after group, rehearses next to the run or from the last group on, or computes the root of the
    /// transactions, and brings near what the state root will need.
    fn read<'r>(&self, tip: &Tip, rehearsal: impl FnOnce() -> Rehearsal<'r>) {
        let state = tip.state();
        let to_come = |group: usize| group >= self.begun.load(Ordering::Relaxed);
        let over = || self.begun.load(Ordering::Relaxed) > self.groups.len();
        let mut calls = self.when == RunAhead::Before;
        for (index, group) in self.groups.iter().enumerate() {
            if to_come(index)
                && let Some(accounts) = group.read(&state)
            {
                calls |= accounts.iter().any(|(_, account)| has_code(account));
            }
        }
        if calls {
            let mut rehearsal = rehearsal();
            if let Some(changes) = &self.changes {
                self.follow(changes, &mut rehearsal, &state, over);
            } else {
                let rest = self.groups.iter().enumerate().rev();
                for (number, group) in rest.take_while(|(number, _)| to_come(*number)) {
                    let accounts = group.read(&state).unwrap_or_default();
                    let worth = |transaction: &_| self.is_worth_it(transaction, accounts);
                    group.rehearse(&mut rehearsal, accounts, worth, || to_come(number));
                }
            }
            for of_one in rehearsal.slots().chunk_by(|(a, _), (b, _)| a == b) {
                if let Some((address, _)) = of_one.first()
                    && !over()
                {
                    let slots: Vec<_> = of_one.iter().map(|(_, slot)| *slot).collect();
                    tip.warm_storage(address, &slots, &mut self.paths.lock());
                }
            }
        }
        if let Some(changes) = &self.changes {
            changes.close();
        }
        // Beside rehearsals there is no time for it: the run would wait.
        if (!calls || self.when == RunAhead::Before) && !self.listed.is_empty() && !over() {
            self.root.get_or_init(|| list_root(self.listed));
        }
        for group in &self.groups {
            if !over()
                && let Some(accounts) = group.read(&state)
            {
                let addresses: Vec<_> = accounts.iter().map(|(address, _)| *address).collect();
                tip.warm(&addresses, &mut self.paths.lock());
            }
        }
    }

    /// Rehearses heavy calls next to the run, on what it has changed until then.
    fn follow(
        &self,
        changes: &Changes,
        rehearsal: &mut Rehearsal<'_>,
        state: &StateView,
        over: impl Fn() -> bool,
    ) {
        rehearsal.begin(&[]);
        for group in &self.groups {
            rehearsal.supply(group.read(state).unwrap_or_default());
        }
        let mut next = Next::of(&self.heavy);
        while !over()
            && let Some(index) = next.after(self.at.load(Ordering::Relaxed))
            && let Some(group) = self.groups.get(index / TOGETHER)
            && let Some(transaction) = group.transactions.get(index % TOGETHER)
            && let Some(outcome) = group.outcomes.get(index % TOGETHER)
        {
            // Its turn may have come. While this has it, the run waits a little.
            if let Some(mut outcome) = outcome.try_lock() {
                rehearsal.follow(changes);
                *outcome = rehearsal.run(transaction).map(Box::new);
            }
        }
    }

    /// Whether to rehearse a transaction: a plain transfer takes no longer than to compare what it read.
    fn is_worth_it(
        &self,
        transaction: &Recovered<TxEnvelope>,
        accounts: &[(Address, Option<Account>)],
    ) -> bool {
        let code = |address: Address| {
            let place = accounts.binary_search_by_key(&address, |(address, _)| *address);
            let account = place.ok().and_then(|place| accounts.get(place));
            account.is_some_and(|(_, account)| has_code(account))
        };
        self.when == RunAhead::Before || transaction.to().is_some_and(code)
    }

    /// Before the transaction with this index: puts the accounts of its group into `state`, where it is the first there,
    /// and tells what it does, where that is known. Accounts that cannot be read are an error where they are needed.
    pub(crate) fn supply(&self, index: usize, state: &mut BlockState) -> Option<Rehearsed> {
        let (number, place) = (index / TOGETHER, index % TOGETHER);
        let group = self.groups.get(number)?;
        if place == 0 {
            self.begun.store(number + 1, Ordering::Relaxed);
            state.supply(group.read(state.view()).unwrap_or_default());
        }
        self.at.store(index, Ordering::Relaxed);
        let outcome = group.outcomes.get(place)?;
        let mut outcome = match outcome.try_lock() {
            Some(outcome) => outcome,
            None => soon(outcome)?,
        };
        outcome
            .take()
            .filter(|rehearsed| holds(rehearsed, state))
            .map(|rehearsed| *rehearsed)
    }
}

/// What somebody else has, if that is soon given back.
fn soon<T>(held: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        for _ in 0..16 {
            hint::spin_loop();
        }
        if let Some(free) = held.try_lock() {
            return Some(free);
        }
    }
    None
}

fn has_code(account: &Option<Account>) -> bool {
    account.is_some_and(|account| account.code_hash != KECCAK_EMPTY)
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
