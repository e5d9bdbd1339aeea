//! Transactions that are run before their turn, and what becomes of that.
//!
//! A transaction is run on the state before its block. What it read there is noted with its outcome: where all of that
//! is the same when its turn comes, so is the outcome, and it need not be run again.

use std::sync::Arc;

use alloy_consensus::{Header, Transaction as _, TxEnvelope, transaction::Recovered};
use alloy_evm::Evm as _;
use alloy_primitives::{Address, U256};
use pars_precompiles::Collector;
use pars_store::{Account, BlockState, Changes, Tip};

use crate::{
    block_evm::BlockEvm, eip7610::Rehearsed, feeding::throwaway, precompiles::Precompiles,
    senders::Senders, spec::ChainSpec,
};

/// Runs of transactions on the state before the block, which is not changed.
pub(crate) struct Rehearsal<'a> {
    evm: BlockEvm<BlockState>,
    /// What they ask.
    asked: Arc<Collector>,
    precompiles: &'a Precompiles,
    senders: &'a Senders,
    tip: &'a Tip,
    beneficiary: Address,
    /// Most gas of a transaction.
    gas: u64,
    /// The slots that they looked at, some of them more than once.
    slots: Vec<(Address, U256)>,
}

impl<'a> Rehearsal<'a> {
    /// Of the block that `header` begins on `tip`; each transaction has at most so much `gas`.
    pub(crate) fn new(
        spec: &ChainSpec,
        precompiles: &'a Precompiles,
        senders: &'a Senders,
        tip: &'a Tip,
        header: &Header,
        gas: u64,
    ) -> Self {
        let (evm, asked) = throwaway(spec, precompiles, header, tip.block_state());
        Self {
            evm,
            asked,
            precompiles,
            senders,
            tip,
            beneficiary: header.beneficiary,
            gas,
            slots: Vec::new(),
        }
    }

    /// Begins anew on the state before the block, in which these accounts are known.
    pub(crate) fn begin(&mut self, accounts: &[(Address, Option<Account>)]) {
        let mut state = self.tip.block_state();
        state.reserve(accounts.len());
        state.supply(accounts);
        *self.evm.db_mut() = state;
    }

    /// Takes accounts of the state before the block that are not known yet.
    pub(crate) fn supply(&mut self, accounts: &[(Address, Option<Account>)]) {
        self.evm.db_mut().supply(accounts);
    }

    /// Changes the state as transactions did that were run elsewhere.
    pub(crate) fn follow(&mut self, changes: &Changes) {
        for (address, account) in changes.take().iter().flatten() {
            self.evm.db_mut().apply(*address, account);
        }
    }

    /// Runs a transaction after those since the beginning. `None` where its outcome here is not good for a block,
    /// whatever it read.
    pub(crate) fn run(&mut self, transaction: &Recovered<TxEnvelope>) -> Option<Rehearsed> {
        let mut environment = self.senders.tx_env(transaction);
        environment.gas_limit = environment.gas_limit.min(self.gas);
        let whole = environment.gas_limit == transaction.gas_limit();
        let rehearsed = self.evm.rehearse(environment);
        let asked = !self.asked.take().is_empty();
        // One that cannot be run here may be run there.
        let rehearsed = rehearsed.ok()?;
        let state = &rehearsed.outcome.state;
        for (address, account) in state {
            self.evm.db_mut().apply(*address, account);
            self.slots
                .extend(account.storage.keys().map(|slot| (*address, *slot)));
        }
        // Nonces are not looked at in a rehearsal. Whether a contract can be created depends on more than what the
        // outcome tells. Precompiles of this network count their calls, and answer for appearance's sake here.
        let nonce = state.get(&transaction.signer())?.original_info().nonce;
        let own = |address| self.precompiles.contains(address);
        let good = whole
            && !asked
            && !rehearsed.created
            && nonce == transaction.nonce()
            && !state.contains_key(&self.beneficiary)
            && !state.keys().any(own);
        good.then_some(rehearsed)
    }

    /// The slots that were looked at, in order.
    pub(crate) fn slots(mut self) -> Vec<(Address, U256)> {
        self.slots.sort_unstable();
        self.slots.dedup();
        self.slots
    }
}

/// Whether all that a transaction read when it was rehearsed is the same in `state`.
pub(crate) fn holds(rehearsed: &Rehearsed, state: &mut BlockState) -> bool {
    let mut read = rehearsed.outcome.state.iter();
    // What cannot be read is an error where it is needed.
    read.all(|(address, account)| state.reads_as(*address, account).unwrap_or(false))
}
