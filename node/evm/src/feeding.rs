//! Knowing the questions early: what a block's transactions will ask of the engine, found before
//! they run so that it can be answered as one batch.

use std::time::{Duration, Instant};

use alloy_consensus::{
    Header, Transaction as _, TxEnvelope, constants::KECCAK_EMPTY, transaction::Recovered,
};
use alloy_eips::Typed2718 as _;
use alloy_evm::{Evm as _, block::SystemCaller};
use alloy_primitives::TxKind;
use revm::{Database as _, database::State};

use crate::{
    block_evm::BlockEvm,
    env::block_env,
    execution::{MIN_TRANSACTION_GAS, View, deadline},
    precompiles::{Precompiles, Question, Run},
    senders::Senders,
    spec::ChainSpec,
    state::StateRef,
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
}

/// Finds the questions of `transactions`, to be run in the block that `header` begins on `state`.
///
/// A transaction sent straight to a precompile gives its questions by being read. One that runs
/// code is run on throw-away state, where each yes/no check records its question and answers
/// "yes" at once. Plain transfers ask nothing. Failures of the search are no failures of the
/// block: a transaction that cannot be run here is passed over.
pub(crate) fn find_questions<V: StateRef>(
    spec: &ChainSpec,
    precompiles: &Precompiles,
    senders: &Senders,
    header: &Header,
    state: V,
    transactions: &[Recovered<TxEnvelope>],
    limits: FeedLimits,
) -> Findings {
    let mut findings = Findings::default();
    if precompiles.is_empty() {
        return findings;
    }
    let deadline = deadline(Instant::now(), limits.time);
    let collector = precompiles.collector();
    let state = State::builder().with_database_ref(View(state)).build();
    let mut env = block_env(spec, header);
    // A plain transfer is passed over, so its sender's next nonce would be wrong.
    env.cfg_env.disable_nonce_check = true;
    let mut evm = BlockEvm::new(state, env);
    precompiles.install(
        evm.precompiles_mut(),
        header.parent_hash,
        &Run::Collect(collector.clone()),
    );
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
        if findings.speculative_gas >= limits.gas || !runs_code(&mut evm, transaction) {
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
        found.truncate(room);
        findings.found_speculative += found.len();
        findings.questions.append(&mut found);
    }
    findings
}

/// Takes the first of `candidates`: as many as fill a block if each uses the least gas that it can. What comes after
/// them needs no answers yet.
pub(crate) fn front(
    candidates: &mut impl Iterator<Item = Recovered<TxEnvelope>>,
    gas_limit: u64,
) -> Vec<Recovered<TxEnvelope>> {
    let mut gas = 0_u64;
    let mut taken = Vec::new();
    while gas < gas_limit
        && let Some(transaction) = candidates.next()
    {
        gas = gas.saturating_add(least_gas(transaction.input()));
        taken.push(transaction);
    }
    taken
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

/// Whether a transaction can reach a precompile at all: it creates a contract, calls an account
/// with code, or installs code by EIP-7702.
fn runs_code<E>(evm: &mut E, transaction: &Recovered<TxEnvelope>) -> bool
where
    E: alloy_evm::Evm<DB: alloy_evm::Database>,
{
    if transaction.is_eip7702() {
        return true;
    }
    match transaction.kind() {
        TxKind::Create => true,
        TxKind::Call(to) => evm
            .db_mut()
            .basic(to)
            .ok()
            .flatten()
            .is_some_and(|account| account.code_hash != KECCAK_EMPTY),
    }
}
