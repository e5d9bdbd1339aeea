//! Building, verifying and calling: the crate's front door.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use alloy_consensus::{
    Header, ReceiptEnvelope, Transaction as _, TxEnvelope, proofs::calculate_withdrawals_root,
    transaction::Recovered,
};
use alloy_eips::{eip4895::Withdrawals, eip7685::Requests};
use alloy_hardforks::EthereumHardforks as _;
use alloy_primitives::{Address, B256, Bytes};
use pars_engine::Engine;
use pars_precompiles::{MemoStats, Registry};
use pars_store::{
    Block, BlockCommit, BlockState, EmptyAccounts, KnownPaths, StateDiff, Store, StoreError, Tip,
    TrieUpdates,
};

use crate::{
    ahead::{Ahead, RunAhead},
    checks::{check_lists, check_outcome},
    error::{BuildError, ExecutionError, VerifyError},
    execution::{BlockRun, Frame, Policy, RunError, Totals, deadline, run_block},
    feeding::{FeedLimits, Search, find_questions, front},
    header::{HeaderChoice, MAX_BLOCK_RLP_BYTES, check_header, next_header},
    ommers::check_ommers,
    precompiles::Precompiles,
    quiet::QuietCodes,
    receipts::fill_blooms,
    rehearsal::Rehearsal,
    roots::{block_bloom, block_rlp_length, list_root, side_by_side},
    senders::{SenderError, SenderRecovery, Senders, recover_any_s},
    spec::{BlockRules, ChainSpec},
    state::StateRef,
    stats::{Counters, ExecutorStats, add},
    usage::PrecompileUsage,
};

/// What a proposer chooses for a block.
#[derive(Clone, Debug)]
pub struct BlockAttributes {
    /// Seconds since 1970; a time before the parent's is moved up to it.
    pub timestamp: u64,
    /// Receives the priority fees.
    pub beneficiary: Address,
    /// Randomness from consensus.
    pub prev_randao: B256,
    /// Id of the consensus vertex, or whatever else consensus anchors here.
    pub parent_beacon_block_root: B256,
    /// At most 32 bytes.
    pub extra_data: Bytes,
    /// Withdrawals; none on Pars.
    pub withdrawals: Withdrawals,
    /// No transaction is begun after this long; the search for questions takes at most half of
    /// it.
    pub time_budget: Duration,
}

/// A block that was run, ready to be committed.
#[derive(Debug)]
pub struct Executed {
    /// Block, receipts, state and tries for the store.
    pub commit: BlockCommit,
    /// When building: hash and reason of each transaction that cannot be executed on this state,
    /// and of its sender's later ones. Those that merely found no room, in gas, bytes or time,
    /// are not among them.
    pub skipped: Vec<(B256, String)>,
    /// Questions found ahead of execution.
    pub questions: usize,
    /// Batches handed to the engine for them: 1, or 0 where there was no question or each had its
    /// answer from before.
    pub batches: usize,
    /// What the block asks of the consensus layer (EIP-7685); nothing on Pars.
    pub requests: Requests,
}

/// Settings of an [`Executor`].
#[derive(Clone, Copy, Debug)]
pub struct ExecutorConfig {
    /// Find a block's questions first and hand them to the engine as one batch. Off, each is
    /// answered on the CPU when it is asked; blocks are the same either way.
    pub feed_engine: bool,
    /// Gas spent on throw-away runs a block, as a share of the block's gas limit in percent.
    pub speculative_gas_percent: u64,
    /// Most questions taken from one block.
    pub max_questions: usize,
    /// Time for the search when verifying, where no proposer's budget bounds it.
    pub verify_search_time: Duration,
    /// Bytes of questions and answers kept over blocks.
    pub memo_bytes: usize,
    /// Let a call straight to a precompile draw on the operating system's randomness where the
    /// caller of [`Executor::call`] allows it (node switch `--precompile-os-rng`).
    pub precompile_os_randomness: bool,
    /// How senders are found.
    pub sender_recovery: SenderRecovery,
    /// When a block's transactions are run for the first time.
    pub run_ahead: RunAhead,
}

impl Default for ExecutorConfig {
    fn default() -> Self {
        Self {
            feed_engine: true,
            speculative_gas_percent: 100,
            max_questions: 1 << 16,
            verify_search_time: Duration::from_millis(150),
            memo_bytes: 64 << 20,
            precompile_os_randomness: true,
            sender_recovery: SenderRecovery::default(),
            run_ahead: RunAhead::default(),
        }
    }
}

/// Builds and verifies blocks of one chain and answers calls on its states. Cheap to share behind
/// an `Arc`; all methods take `&self` and may run on several threads.
pub struct Executor {
    pub(crate) spec: Arc<ChainSpec>,
    pub(crate) engine: Engine,
    pub(crate) precompiles: Precompiles,
    pub(crate) config: ExecutorConfig,
    pub(crate) counters: Counters,
    senders: Arc<Senders>,
    quiet: QuietCodes,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor")
            .field("network", &self.spec.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Executor {
    /// An executor with the default settings.
    pub fn new(spec: Arc<ChainSpec>, engine: Engine) -> Self {
        Self::with_config(spec, engine, ExecutorConfig::default())
    }

    /// An executor with these settings.
    pub fn with_config(spec: Arc<ChainSpec>, engine: Engine, config: ExecutorConfig) -> Self {
        let precompiles = Precompiles::new(spec.precompiles, spec.chain_id, config.memo_bytes);
        let senders = Arc::new(Senders::new(engine.clone(), config.sender_recovery));
        Self {
            spec,
            engine,
            precompiles,
            config,
            counters: Counters::default(),
            senders,
            quiet: QuietCodes::default(),
        }
    }

    /// The chain's rules.
    pub fn spec(&self) -> &Arc<ChainSpec> {
        &self.spec
    }

    /// The chain's own precompiles: addresses, names, functions.
    pub fn precompiles(&self) -> &Registry {
        self.precompiles.registry()
    }

    /// Finds the senders of transactions; what it knows, [`Executor::verify`] need not find again.
    pub fn senders(&self) -> &Arc<Senders> {
        &self.senders
    }

    /// Base fee of the block after `parent`, in wei.
    pub fn next_base_fee(&self, parent: &Header) -> u64 {
        self.spec.next_base_fee(parent)
    }

    /// The senders of a block's transactions, in order, by the rules that signatures have at its
    /// fork: an `s` may be high before Homestead (EIP-2), and before Spurious Dragon no chain is
    /// named (EIP-155). Blocking.
    ///
    /// # Errors
    /// The first transaction in order whose signature names nobody.
    pub fn senders_of(
        &self,
        header: &Header,
        transactions: &[TxEnvelope],
    ) -> Result<Vec<Address>, SenderError> {
        let number = header.number;
        let named =
            |transaction: &TxEnvelope| transaction.is_legacy() && transaction.chain_id().is_some();
        if !self.spec.is_spurious_dragon_active_at_block(number)
            && let Some(index) = transactions.iter().position(named)
        {
            let hash = transactions.get(index).map(|one| *one.tx_hash());
            return Err(SenderError {
                index,
                hash: hash.unwrap_or_default(),
            });
        }
        if self.spec.is_homestead_active_at_block(number) {
            self.senders.recover_all(transactions)
        } else {
            recover_any_s(transactions)
        }
    }

    /// What was done so far.
    pub fn stats(&self) -> ExecutorStats {
        let memo = self.memo();
        ExecutorStats {
            memo_hits: memo.hits,
            memo_misses: memo.misses,
            senders: self.senders.stats(),
            ..self.counters.snapshot()
        }
    }

    /// What blocks asked of the precompile at `address`; nothing where there is none.
    pub fn precompile_usage(&self, address: &Address) -> PrecompileUsage {
        self.precompiles.usage(address)
    }

    /// What is kept of the answers to questions, over blocks.
    pub fn memo(&self) -> MemoStats {
        self.precompiles.memo_stats()
    }

    /// Builds a block on the store's head from `candidates`, best first and each sender's nonces
    /// in order; no more of them are taken than are tried. Stops at the gas limit, the size limit
    /// (EIP-7934) or the time budget. The block passes [`Executor::verify`].
    ///
    /// # Errors
    /// [`BuildError::Attributes`] for attributes no header can have; otherwise only where the
    /// store or the EVM itself fails. A transaction that cannot be executed is left out and named
    /// in [`Executed::skipped`].
    pub fn build(
        &self,
        store: &Store,
        candidates: impl IntoIterator<Item = Recovered<TxEnvelope>>,
        attributes: BlockAttributes,
    ) -> Result<Executed, BuildError> {
        let tip = store.tip().map_err(ExecutionError::from)?;
        self.build_on(&tip, candidates, attributes)
    }

    /// As [`Executor::build`], on any block.
    ///
    /// # Errors
    /// As [`Executor::build`].
    pub fn build_on(
        &self,
        tip: &Tip,
        candidates: impl IntoIterator<Item = Recovered<TxEnvelope>>,
        attributes: BlockAttributes,
    ) -> Result<Executed, BuildError> {
        let started = Instant::now();
        let deadline = deadline(started, attributes.time_budget);
        let head = tip.head();
        let withdrawals = match self.spec.rules {
            BlockRules::Pars => Withdrawals::default(),
            BlockRules::Ethereum { .. } => attributes.withdrawals,
        };
        let mut header = next_header(
            &self.spec,
            &head.header,
            head.hash,
            HeaderChoice {
                timestamp: attributes.timestamp,
                beneficiary: attributes.beneficiary,
                prev_randao: attributes.prev_randao,
                parent_beacon_block_root: attributes.parent_beacon_block_root,
                extra_data: attributes.extra_data,
                withdrawals_root: calculate_withdrawals_root(&withdrawals),
            },
        )?;
        let withdrawals = header.withdrawals_root.map(|_| withdrawals);
        let mut candidates = candidates.into_iter();
        let (first, fit) = front(&mut candidates, header.gas_limit);
        let fed = self.feed(&header, &tip.state(), &first, attributes.time_budget / 2);
        let frame = Frame {
            tip,
            header: &header,
            ommers: &[],
            withdrawals: withdrawals.as_ref().map(|list| list.as_slice()),
            steps: true,
        };
        let ahead = Ahead::of(&first, self.config.run_ahead, fit);
        let mut run = self
            .run(
                frame,
                (&first, &ahead),
                candidates,
                Policy::Skip { deadline },
            )
            .map_err(|error| match error {
                RunError::Step(reason) => ExecutionError::Evm(reason),
                RunError::Execution(error) => error,
                // The skipping policy never reports a transaction.
                RunError::Transaction { index, reason, .. } => {
                    ExecutionError::Evm(format!("transaction {index}: {reason}"))
                }
            })?;
        let paths = ahead.paths();
        let transactions_root = ahead
            .transactions_root()
            .filter(|_| run.included.are_first(fit));
        let included = run.included.of(first);
        let senders = included.iter().map(Recovered::signer).collect();
        let included: Vec<_> = included.into_iter().map(Recovered::into_inner).collect();
        let empty = self.spec.empty_accounts(header.number);
        let receipts = &mut run.receipts;
        let (state, root) = side_by_side(
            included.len(),
            || changes_and_root(tip, &run.state, empty, &paths),
            || {
                fill_blooms(receipts);
                header.logs_bloom = block_bloom(receipts);
                header.receipts_root = list_root(receipts);
                header.transactions_root =
                    transactions_root.unwrap_or_else(|| list_root(&included));
            },
        );
        let (state_root, tries) = root.map_err(ExecutionError::from)?;
        let Totals {
            gas_used, requests, ..
        } = run.totals;
        header.requests_hash = header.requests_hash.map(|_| requests.requests_hash());
        header.gas_used = gas_used;
        header.state_root = state_root;
        let block = Block {
            hash: header.hash_slow(),
            header,
            transactions: included,
            senders,
            ommers: Vec::new(),
            withdrawals,
        };
        add(&self.counters.blocks_built, 1_u64);
        Ok(Executed {
            commit: BlockCommit {
                block,
                receipts: run.receipts,
                state,
                tries,
            },
            skipped: run.skipped,
            questions: fed.questions,
            batches: fed.batches,
            requests,
        })
    }

    /// Judges `block` on top of the store's head by every rule there is. Senders given with the
    /// block are compared with the signatures, never believed; an empty list is filled in.
    ///
    /// # Errors
    /// [`VerifyError`] names the first rule that is broken, in the order: parent, header rules,
    /// size, transactions root, uncles, withdrawals, signatures, transactions and other steps, gas
    /// used, bloom, receipts root, blob gas used, requests hash, state root. See [`VerifyError::is_invalid`] for the cases that are no judgement.
    pub fn verify(&self, store: &Store, block: &Block) -> Result<Executed, VerifyError> {
        let tip = store.tip().map_err(ExecutionError::from)?;
        self.verify_on(&tip, block)
    }

    /// As [`Executor::verify`], on any block.
    ///
    /// # Errors
    /// As [`Executor::verify`].
    pub fn verify_on(&self, tip: &Tip, block: &Block) -> Result<Executed, VerifyError> {
        let result = self.judge(tip, block);
        add(&self.counters.blocks_verified, 1_u64);
        if result.as_ref().is_err_and(VerifyError::is_invalid) {
            add(&self.counters.blocks_invalid, 1_u64);
        }
        result
    }

    fn judge(&self, tip: &Tip, block: &Block) -> Result<Executed, VerifyError> {
        let header = &block.header;
        let head = tip.head();
        if header.parent_hash != head.hash && header.number <= head.number.saturating_add(1) {
            return Err(VerifyError::NotOnHead {
                parent: header.parent_hash,
                head: head.hash,
            });
        }
        check_header(&self.spec, &head.header, head.hash, header)?;
        let hash = header.hash_slow();
        if block.hash != hash {
            return Err(VerifyError::Hash {
                got: block.hash,
                expected: hash,
            });
        }
        let size = block_rlp_length(block);
        if size > MAX_BLOCK_RLP_BYTES && self.spec.is_osaka_active_at_timestamp(header.timestamp) {
            return Err(VerifyError::Size {
                got: size,
                limit: MAX_BLOCK_RLP_BYTES,
            });
        }
        // Senders that nobody knows take longer than the root, and are found on all threads.
        let mut transactions_root = B256::ZERO;
        let senders = side_by_side(
            block.transactions.len(),
            || self.senders_of(header, &block.transactions),
            || transactions_root = list_root(&block.transactions),
        );
        if header.transactions_root != transactions_root {
            return Err(VerifyError::TransactionsRoot {
                got: header.transactions_root,
                expected: transactions_root,
            });
        }
        check_lists(block)?;
        check_ommers(&self.spec, tip, block)?;
        let senders = senders?;
        if !block.senders.is_empty() {
            let differs = senders
                .iter()
                .zip(&block.senders)
                .position(|(real, given)| real != given);
            let index = differs.or_else(|| {
                (senders.len() != block.senders.len())
                    .then_some(senders.len().min(block.senders.len()))
            });
            if let Some(index) = index {
                return Err(VerifyError::Sender { index });
            }
        }
        let transactions: Vec<_> = block
            .transactions
            .iter()
            .zip(&senders)
            .map(|(transaction, sender)| Recovered::new_unchecked(transaction.clone(), *sender))
            .collect();

        let fed = self.feed(
            header,
            &tip.state(),
            &transactions,
            self.config.verify_search_time,
        );
        let frame = Frame {
            tip,
            header,
            ommers: &block.ommers,
            withdrawals: block.withdrawals.as_ref().map(|list| list.as_slice()),
            steps: true,
        };
        let ahead = Ahead::of(&transactions, self.config.run_ahead, 0);
        let mut run = self.run(frame, (&transactions, &ahead), [], Policy::Refuse)?;
        let empty = self.spec.empty_accounts(header.number);
        let receipts = &mut run.receipts;
        let mut outcome = Ok(());
        let (state, root) = side_by_side(
            senders.len(),
            || changes_and_root(tip, &run.state, empty, &ahead.paths()),
            || {
                fill_blooms(receipts);
                outcome = check_outcome(header, receipts, &run.totals);
            },
        );
        outcome?;
        let (state_root, tries) = root.map_err(ExecutionError::from)?;
        if header.state_root != state_root {
            return Err(VerifyError::StateRoot {
                got: header.state_root,
                expected: state_root,
            });
        }
        let block = Block {
            header: header.clone(),
            hash,
            transactions: block.transactions.clone(),
            senders,
            ommers: block.ommers.clone(),
            withdrawals: block.withdrawals.clone(),
        };
        Ok(Executed {
            commit: BlockCommit {
                block,
                receipts: run.receipts,
                state,
                tries,
            },
            skipped: Vec::new(),
            questions: fed.questions,
            batches: fed.batches,
            requests: run.totals.requests,
        })
    }

    /// Runs transactions as part of the block that `header` begins, on top of `tip`, without the
    /// steps that a block takes before and after them. Nothing of the header is checked.
    ///
    /// # Errors
    /// [`VerifyError::Transaction`] where one cannot be executed; [`VerifyError::Execution`].
    pub fn apply(
        &self,
        tip: &Tip,
        header: &Header,
        transactions: Vec<Recovered<TxEnvelope>>,
    ) -> Result<Applied, VerifyError> {
        let frame = Frame {
            tip,
            header,
            ommers: &[],
            withdrawals: None,
            steps: false,
        };
        let ahead = Ahead::of(&transactions, self.config.run_ahead, 0);
        let mut run = self.run(frame, (&transactions, &ahead), [], Policy::Refuse)?;
        fill_blooms(&mut run.receipts);
        let empty = self.spec.empty_accounts(header.number);
        let (state, root) = changes_and_root(tip, &run.state, empty, &ahead.paths());
        let (state_root, _) = root.map_err(ExecutionError::from)?;
        Ok(Applied {
            receipts: run.receipts,
            state,
            state_root,
        })
    }

    /// Finds the questions of a block and has them answered as one batch.
    fn feed<V: StateRef>(
        &self,
        header: &Header,
        state: &V,
        transactions: &[Recovered<TxEnvelope>],
        time: Duration,
    ) -> Fed {
        self.senders
            .foresee_authorities(transactions.iter().map(|transaction| &**transaction));
        if !self.config.feed_engine || transactions.is_empty() {
            return Fed::default();
        }
        let limits = FeedLimits {
            gas: header
                .gas_limit
                .saturating_mul(self.config.speculative_gas_percent)
                / 100,
            time,
            questions: self.config.max_questions,
        };
        let started = Instant::now();
        let search = Search {
            spec: &self.spec,
            precompiles: &self.precompiles,
            senders: &self.senders,
            quiet: &self.quiet,
            header,
        };
        let found = find_questions(search, state, transactions, limits);
        let counters = &self.counters;
        add(&counters.collect_micros, started.elapsed().as_micros());
        add(&counters.questions_static, found.found_static);
        add(&counters.questions_speculative, found.found_speculative);
        add(&counters.speculative_gas, found.speculative_gas);
        add(&counters.passed_over, found.passed_over);
        let questions = found.questions.len();
        if questions == 0 {
            return Fed::default();
        }
        let started = Instant::now();
        let answered = self.precompiles.answer(&self.engine, found.questions);
        add(&counters.answer_micros, started.elapsed().as_micros());
        let batches = match answered {
            Ok(report) => {
                counters
                    .largest_batch
                    .fetch_max(report.answered.try_into().unwrap_or(u64::MAX), Relaxed);
                usize::from(report.answered > 0)
            }
            Err(error) => {
                // The run answers each question itself; a fault of the engine is no fault of a
                // block.
                add(&counters.failed_batches, 1_u64);
                tracing::warn!(%error, questions, block = header.number, "the engine did not answer a block's questions; they are answered one by one");
                1
            }
        };
        add(&counters.batches, batches);
        Fed { questions, batches }
    }

    /// Runs the transactions in `first`, for which `ahead` was made, and then `others`.
    fn run(
        &self,
        frame: Frame<'_>,
        (first, ahead): (&[Recovered<TxEnvelope>], &Ahead<'_>),
        others: impl IntoIterator<Item = Recovered<TxEnvelope>>,
        policy: Policy,
    ) -> Result<BlockRun, RunError> {
        let started = Instant::now();
        let (spec, precompiles, senders) = (&self.spec, &self.precompiles, &self.senders);
        let rehearse = || {
            Rehearsal::new(
                spec,
                precompiles,
                senders,
                frame.tip,
                frame.header,
                ahead.gas(),
            )
        };
        let run = ahead.beside(frame.tip, rehearse, || {
            let first = (first, ahead);
            run_block(spec, precompiles, senders, frame, first, others, policy)
        })?;
        add(&self.counters.execute_micros, started.elapsed().as_micros());
        add(&self.counters.transactions, run.receipts.len());
        add(&self.counters.gas, run.totals.gas_used);
        add(&self.counters.adopted, run.adopted);
        Ok(run)
    }
}

/// What a run changed, and the state root and tries with that.
fn changes_and_root(
    tip: &Tip,
    state: &BlockState,
    empty: EmptyAccounts,
    paths: &KnownPaths,
) -> (StateDiff, Result<(B256, TrieUpdates), StoreError>) {
    let changes = state.diff();
    let root = tip.state_root_along(&changes, empty, paths);
    (changes, root)
}

/// Transactions that were run outside a whole block.
#[derive(Debug)]
pub struct Applied {
    /// A receipt for each.
    pub receipts: Vec<ReceiptEnvelope>,
    /// What they changed.
    pub state: StateDiff,
    /// The state root after them.
    pub state_root: B256,
}

impl From<RunError> for VerifyError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Transaction {
                index,
                hash,
                reason,
            } => Self::Transaction {
                index,
                hash,
                reason,
            },
            RunError::Step(reason) => Self::Step { reason },
            RunError::Execution(error) => Self::Execution(error),
        }
    }
}

/// What feeding did for one block.
#[derive(Default)]
struct Fed {
    questions: usize,
    batches: usize,
}
