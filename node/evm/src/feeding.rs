//! Knowing the questions early: what a block's transactions will ask of the engine, found before
//! they run so that it can be answered as one batch.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy_consensus::{
    Header, Transaction as _, TxEnvelope, constants::KECCAK_EMPTY, transaction::Recovered,
};
use alloy_eips::Typed2718 as _;
use alloy_evm::{Database, Evm as _, block::SystemCaller};
use alloy_primitives::{B256, TxKind};
use pars_precompiles::Collector;
use revm::{Database as _, database::State};

use crate::{
    block_evm::BlockEvm,
    env::block_env,
    execution::{MIN_TRANSACTION_GAS, View, deadline},
    precompiles::{Precompiles, Question, Run},
    quiet::QuietCodes,
    senders::Senders,
    spec::ChainSpec,
    state::{StateDb, StateRef},
};

/// Bounds of the search for questions. They bound work, never results: a question not found is
/// answered when it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FeedLimits {
    /// Gas spent on throw-away runs.
    pub(crate) gas: u64,
    /// Wall time of the whole search.
    pub(crate) time: Duration,
    /// Questions taken.
    pub(crate) questions: usize,
}

/// What the search found.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) questions: Vec<Question>,
    pub(crate) found_static: usize,
    pub(crate) found_speculative: usize,
    pub(crate) speculative_gas: u64,
    /// Calls that were not, as their contract has asked nothing for long.
    pub(crate) passed_over: usize,
}

/// What the search for a block's questions works with.
#[derive(Clone, Copy)]
pub(crate) struct Search<'a> {
    pub(crate) spec: &'a ChainSpec,
    pub(crate) precompiles: &'a Precompiles,
    pub(crate) senders: &'a Senders,
    pub(crate) quiet: &'a QuietCodes,
    /// What the block begins with.
    pub(crate) header: &'a Header,
}

/// Finds the questions of `transactions`, to be run in a block on `state`.
///
/// A transaction sent straight to a precompile gives its questions by being read. One that runs
/// code is run on throw-away state, where each yes/no check records its question and answers
/// "yes" at once. Plain transfers ask nothing; calls without input and those of quiet contracts hardly
/// ever do. Failures of the search are no failures of the block: a transaction that cannot be run
/// here is passed over.
pub(crate) fn find_questions<V: StateRef>(
    search: Search<'_>,
    state: V,
    transactions: &[Recovered<TxEnvelope>],
    limits: FeedLimits,
) -> Findings {
    let Search {
        spec,
        precompiles,
        senders,
        quiet,
        header,
    } = search;
    let mut findings = Findings::default();
    if precompiles.is_empty() {
        return findings;
    }
    let deadline = deadline(Instant::now(), limits.time);
    let state = State::builder().with_database_ref(View(state)).build();
    let (mut evm, collector) = throwaway(spec, precompiles, header, state);
    let mut began = false;
    let mut block_gas = 0_u64;
    for transaction in transactions {
        let room = limits.questions.saturating_sub(findings.questions.len());
        if room == 0 || block_gas >= header.gas_limit || Instant::now() >= deadline {
            break;
        }
        // The least this transaction can use: what comes after a full block needs no answers yet.
        block_gas = block_gas.saturating_add(least_gas(transaction.input()));
        if let TxKind::Call(to) = transaction.kind()
            && let Some(mut questions) = precompiles.questions(to, transaction.input())
        {
            questions.truncate(room);
            findings.found_static += questions.len();
            findings.questions.extend(questions);
            continue;
        }
        let Some(code) = code_of(&mut evm, transaction) else {
            continue;
        };
        if code.is_some_and(|code| !quiet.worth_a_look(&code)) {
            findings.passed_over += 1;
            continue;
        }
        if findings.speculative_gas >= limits.gas {
            continue;
        }
        if !began {
            began = true;
            // Contracts may read the history contract; without its newest entry they are merely
            // guessed wrongly, so an error is as good as none.
            let _ = SystemCaller::new(spec)
                .apply_blockhashes_contract_call(header.parent_hash, &mut evm);
        }
        if let Ok(result) = evm.transact_commit(senders.tx_env(transaction)) {
            findings.speculative_gas = findings
                .speculative_gas
                .saturating_add(result.tx_gas_used());
        }
        let mut found = collector.take();
        if let Some(code) = code {
            quiet.note(code, !found.is_empty());
        }
        found.truncate(room);
        findings.found_speculative += found.len();
        findings.questions.append(&mut found);
    }
    findings
}

/// An EVM for the block that `header` begins, on state that is thrown away: each yes/no check records its question in the
/// collector and answers "yes" at once.
pub(crate) fn throwaway<DB: Database + StateDb>(
    spec: &ChainSpec,
    precompiles: &Precompiles,
    header: &Header,
    state: DB,
) -> (BlockEvm<DB>, Arc<Collector>) {
    let collector = precompiles.collector();
    let mut env = block_env(spec, header);
    // Not every transaction is run, so a sender's next nonce would be wrong.
    env.cfg_env.disable_nonce_check = true;
    let mut evm = BlockEvm::new(state, env);
    let run = Run::Collect(Arc::clone(&collector));
    precompiles.install(evm.precompiles_mut(), header.parent_hash, &run);
    (evm, collector)
}

/// Takes the first of `candidates`: as many as fill a block if each uses the least gas that it can. What comes after
/// them needs no answers yet. With how many of them there is room for where none uses more.
pub(crate) fn front(
    candidates: &mut impl Iterator<Item = Recovered<TxEnvelope>>,
    gas_limit: u64,
) -> (Vec<Recovered<TxEnvelope>>, usize) {
    let mut gas = 0_u64;
    let mut fit = 0;
    let most = gas_limit.div_ceil(MIN_TRANSACTION_GAS);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut taken = Vec::with_capacity(candidates.size_hint().0.min(most));
    while gas < gas_limit
        && let Some(transaction) = candidates.next()
    {
        gas = gas.saturating_add(least_gas(transaction.input()));
        fit += usize::from(gas <= gas_limit);
        taken.push(transaction);
    }
    (taken, fit)
}

/// The least gas a transaction with this calldata uses under the rules of EIP-7623: 10 a zero byte
/// and 40 a non-zero byte over what every transaction costs.
fn least_gas(input: &[u8]) -> u64 {
    let zeros = input.iter().filter(|byte| **byte == 0).count() as u64;
    let rest = input.len() as u64 - zeros;
    MIN_TRANSACTION_GAS
        .saturating_add(10 * zeros)
        .saturating_add(40 * rest)
}

/// Nothing where a transaction hardly reaches a precompile: that takes one that creates a contract, calls an
/// account with code and says what for, or installs code by EIP-7702. Of a call that does nothing else, the code.
fn code_of<E>(evm: &mut E, transaction: &Recovered<TxEnvelope>) -> Option<Option<B256>>
where
    E: alloy_evm::Evm<DB: alloy_evm::Database>,
{
    if transaction.is_eip7702() {
        return Some(None);
    }
    match transaction.kind() {
        TxKind::Create => Some(None),
        TxKind::Call(_) if transaction.input().is_empty() => None,
        TxKind::Call(to) => {
            let account = evm.db_mut().basic(to).ok().flatten()?;
            (account.code_hash != KECCAK_EMPTY).then_some(Some(account.code_hash))
        }
    }
}
