//! Who signed: the senders of transactions, recovered in batches by the engine.
//!
//! One signature at a time wastes a vector unit; so transactions that come together, in a block, in
//! the blocks ahead of an import, in a batch of requests, are recovered together. Who signed does not
//! depend on the way: every way has the rules of the Yellow Paper, appendix F, with the low s of
//! EIP-2, and one transaction's bad signature is its own.

mod authorities;
mod cache;
mod direct;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use alloy_consensus::TxEnvelope;
use alloy_primitives::{Address, B256, Signature};
use parking_lot::Mutex;
use pars_engine::{EcdsaRecover, Engine, EngineError, Priority, SubmitOptions};
use pars_kernels::secp256k1::{self, RecoverJob};
use thiserror::Error;

use crate::stats::add;
use cache::SenderCache;
pub(crate) use direct::recover_any_s;
pub use direct::recover_senders;

/// Transactions whose senders are kept: some hundred blocks, some 10 MB.
const CACHE_ENTRIES: usize = 1 << 17;

/// From so many transactions on the engine is asked; fewer are recovered on the spot. A batch of
/// vector lanes costs about as much as two recoveries one by one, however few of its lanes are used.
const BATCH_FROM: usize = 4;

/// A transaction whose signature names nobody.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("transaction {index} ({hash}): invalid signature")]
pub struct SenderError {
    /// Position in the list.
    pub index: usize,
    /// Its hash.
    pub hash: B256,
}

/// How senders are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SenderRecovery {
    /// In batches by the engine, and each once: senders are remembered.
    #[default]
    Batched,
    /// One by one on the CPU, and anew each time; over several threads where there are many.
    Single,
}

/// What was done for senders; all counts only grow, but for those of what is remembered now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SenderStats {
    /// Senders that were known from before.
    pub known: u64,
    /// Signatures recovered by the engine.
    pub batched: u64,
    /// Signatures recovered one by one.
    pub single: u64,
    /// Signatures that name nobody.
    pub invalid: u64,
    /// Batches handed to the engine.
    pub batches: u64,
    /// Largest of them.
    pub largest_batch: u64,
    /// Batches the engine could not answer; they were done one by one.
    pub failed_batches: u64,
    /// Time spent on whole lists, in microseconds.
    pub micros: u64,
    /// Senders remembered now.
    pub cached: u64,
    /// Bytes that takes.
    pub cached_bytes: u64,
}

#[derive(Default)]
struct Counters {
    known: AtomicU64,
    batched: AtomicU64,
    single: AtomicU64,
    invalid: AtomicU64,
    batches: AtomicU64,
    largest_batch: AtomicU64,
    failed_batches: AtomicU64,
    micros: AtomicU64,
}

/// Finds senders, and remembers them.
pub struct Senders {
    engine: Engine,
    mode: SenderRecovery,
    cache: Mutex<SenderCache>,
    /// Transactions that came alone and are being looked at.
    company: AtomicUsize,
    counters: Counters,
}

impl std::fmt::Debug for Senders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Senders")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// A transaction that came alone and is being looked at; see [`Senders::enter`].
#[derive(Debug)]
pub struct Company {
    senders: Arc<Senders>,
    alone: bool,
}

impl Company {
    /// Whether no other one was being looked at when this one came.
    pub fn is_alone(&self) -> bool {
        self.alone
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        self.senders.company.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Senders {
    /// Asks `engine`, if it has the kernel [`EcdsaRecover`]; one by one without it.
    pub fn new(engine: Engine, mode: SenderRecovery) -> Self {
        Self {
            engine,
            mode,
            cache: Mutex::new(SenderCache::new(CACHE_ENTRIES)),
            company: AtomicUsize::new(0),
            counters: Counters::default(),
        }
    }

    /// What was done so far.
    pub fn stats(&self) -> SenderStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        let (cached, cached_bytes) = {
            let cache = self.cache.lock();
            (cache.len(), cache.bytes())
        };
        SenderStats {
            known: get(&counters.known),
            batched: get(&counters.batched),
            single: get(&counters.single),
            invalid: get(&counters.invalid),
            batches: get(&counters.batches),
            largest_batch: get(&counters.largest_batch),
            failed_batches: get(&counters.failed_batches),
            micros: get(&counters.micros),
            cached: cached.try_into().unwrap_or(u64::MAX),
            cached_bytes: cached_bytes.try_into().unwrap_or(u64::MAX),
        }
    }

    /// The sender of one transaction, on the spot. The error's index is 0. Variable time: all of it is
    /// public, here and below.
    ///
    /// # Errors
    /// If its signature names nobody.
    pub fn recover(&self, transaction: &TxEnvelope) -> Result<Address, SenderError> {
        if let Some(sender) = self.known(transaction) {
            return Ok(sender);
        }
        let recovered = direct::recover(transaction);
        add(&self.counters.single, 1_u64);
        self.settle(transaction, recovered)
    }

    /// Says that a transaction has come alone and is being looked at, until the answer is dropped.
    /// Where others are too, [`Senders::recover_with_others`] gathers them; alone, that would only
    /// take longer.
    pub fn enter(self: &Arc<Self>) -> Company {
        let others = self.company.fetch_add(1, Ordering::Relaxed);
        Company {
            senders: Arc::clone(self),
            alone: others == 0,
        }
    }

    /// The sender of one transaction among many that come at the same time, each from elsewhere: the
    /// engine makes a batch of those that wait for it. The error's index is 0.
    ///
    /// # Errors
    /// If its signature names nobody.
    pub async fn recover_with_others(
        &self,
        transaction: &TxEnvelope,
    ) -> Result<Address, SenderError> {
        if self.mode == SenderRecovery::Single {
            return self.recover(transaction);
        }
        if let Some(sender) = self.known(transaction) {
            return Ok(sender);
        }
        let Some(job) = job(transaction) else {
            return self.settle(transaction, None);
        };
        let options = SubmitOptions::new(Priority::Pool);
        match self.engine.call_with::<EcdsaRecover>(job, options).await {
            Ok(sender) => {
                add(&self.counters.batched, 1_u64);
                self.settle(transaction, sender.map(Address::from))
            }
            Err(error) => {
                self.failed(1, &error);
                self.recover(transaction)
            }
        }
    }

    /// The sender of each transaction, in order. Blocking.
    ///
    /// # Errors
    /// The first transaction in order whose signature names nobody.
    pub fn recover_all(&self, transactions: &[TxEnvelope]) -> Result<Vec<Address>, SenderError> {
        let started = Instant::now();
        let all: Vec<_> = transactions.iter().collect();
        let senders = self.find(&all, Priority::BlockExecution);
        add(&self.counters.micros, started.elapsed().as_micros());
        senders
            .into_iter()
            .zip(transactions)
            .enumerate()
            .map(|(index, (sender, transaction))| {
                sender.ok_or_else(|| SenderError {
                    index,
                    hash: *transaction.tx_hash(),
                })
            })
            .collect()
    }

    /// Finds the senders of transactions that will be asked for soon, as one batch. What is wrong with
    /// one of them is found again when it is asked for. Blocking.
    pub fn foresee<'a>(
        &self,
        transactions: impl IntoIterator<Item = &'a TxEnvelope>,
        class: Priority,
    ) {
        if self.mode == SenderRecovery::Batched {
            let transactions: Vec<_> = transactions.into_iter().collect();
            self.find(&transactions, class);
        }
    }

    /// As [`Senders::foresee`], for transactions of the pool and without blocking.
    pub async fn foresee_pool(&self, transactions: &[TxEnvelope]) {
        if self.mode == SenderRecovery::Single {
            return;
        }
        let all: Vec<_> = transactions.iter().collect();
        let missing = self.missing(&all).1;
        // Invalid ones are left to the one who asks.
        let jobs: Vec<_> = missing
            .into_iter()
            .filter_map(|(_, transaction)| Some((transaction, job(transaction)?)))
            .collect();
        if jobs.len() < BATCH_FROM {
            return;
        }
        let (transactions, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
        let count = jobs.len();
        let options = SubmitOptions::new(Priority::Pool);
        let answers = self.engine.call_many_with::<EcdsaRecover>(jobs, options);
        match answers.await {
            Ok(answers) => {
                self.count_batch(count);
                let mut cache = self.cache.lock();
                for (transaction, sender) in transactions.iter().zip(answers) {
                    if let Some(sender) = sender {
                        cache.insert(*transaction.tx_hash(), sender.into());
                    }
                }
            }
            Err(error) => self.failed(count, &error),
        }
    }

    /// The senders of `transactions` where there is one, in order; their authorities are found with
    /// them.
    fn find(&self, transactions: &[&TxEnvelope], class: Priority) -> Vec<Option<Address>> {
        if self.mode == SenderRecovery::Single {
            add(&self.counters.single, transactions.len());
            return direct::recover_each(transactions);
        }
        let (mut senders, missing) = self.missing(transactions);
        let authorities = self.unknown_authorities(transactions.iter().copied());
        if missing.is_empty() && authorities.is_empty() {
            return senders;
        }
        let unknown: Vec<_> = missing.iter().map(|(_, unknown)| *unknown).collect();
        let found = if unknown.len() + authorities.len() < BATCH_FROM {
            add(&self.counters.single, unknown.len());
            direct::recover_each(&unknown)
        } else {
            self.batch(&unknown, authorities, class)
        };
        let mut invalid = 0_u64;
        let mut cache = self.cache.lock();
        for ((index, transaction), sender) in missing.into_iter().zip(found) {
            match sender {
                Some(sender) => cache.insert(*transaction.tx_hash(), sender),
                None => invalid += 1,
            }
            if let Some(place) = senders.get_mut(index) {
                *place = sender;
            }
        }
        add(&self.counters.invalid, invalid);
        senders
    }

    /// What is known of the senders of `transactions`, and those of which nothing is.
    fn missing<'a>(
        &self,
        transactions: &[&'a TxEnvelope],
    ) -> (Vec<Option<Address>>, Vec<(usize, &'a TxEnvelope)>) {
        // Hashes are computed where they were not yet, which is better done without the lock.
        let hashes: Vec<_> = transactions.iter().map(|one| *one.tx_hash()).collect();
        let senders: Vec<_> = {
            let mut cache = self.cache.lock();
            hashes.iter().map(|hash| cache.get(hash)).collect()
        };
        let missing: Vec<_> = senders
            .iter()
            .zip(transactions)
            .enumerate()
            .filter(|(_, (sender, _))| sender.is_none())
            .map(|(index, (_, transaction))| (index, *transaction))
            .collect();
        add(&self.counters.known, senders.len() - missing.len());
        (senders, missing)
    }

    /// Has the engine recover the senders of all of `transactions`, which it answers in order, and
    /// `authorities`, which are remembered.
    fn batch(
        &self,
        transactions: &[&TxEnvelope],
        authorities: Vec<(B256, RecoverJob)>,
        class: Priority,
    ) -> Vec<Option<Address>> {
        let (places, mut jobs): (Vec<_>, Vec<_>) = transactions
            .iter()
            .enumerate()
            .filter_map(|(place, transaction)| Some((place, job(transaction)?)))
            .unzip();
        let (keys, more): (Vec<_>, Vec<_>) = authorities.into_iter().unzip();
        jobs.extend(more);
        let count = jobs.len();
        let options = SubmitOptions::new(class);
        let answers = self
            .engine
            .call_many_blocking_with::<EcdsaRecover>(jobs, options);
        let mut answers = match answers {
            Ok(answers) => answers.into_iter().map(|answer| answer.map(Address::from)),
            Err(error) => {
                self.failed(count, &error);
                add(&self.counters.single, transactions.len());
                return direct::recover_each(transactions);
            }
        };
        self.count_batch(count);
        let mut senders = vec![None; transactions.len()];
        for (place, answer) in places.into_iter().zip(&mut answers) {
            if let Some(sender) = senders.get_mut(place) {
                *sender = answer;
            }
        }
        self.remember_authorities(keys.into_iter().zip(answers));
        senders
    }

    fn known(&self, transaction: &TxEnvelope) -> Option<Address> {
        if self.mode == SenderRecovery::Single {
            return None;
        }
        let sender = self.cache.lock().get(transaction.tx_hash())?;
        add(&self.counters.known, 1_u64);
        Some(sender)
    }

    /// Remembers a sender; failures are not remembered.
    fn settle(
        &self,
        transaction: &TxEnvelope,
        sender: Option<Address>,
    ) -> Result<Address, SenderError> {
        let hash = *transaction.tx_hash();
        let Some(sender) = sender else {
            add(&self.counters.invalid, 1_u64);
            return Err(SenderError { index: 0, hash });
        };
        if self.mode == SenderRecovery::Batched {
            self.cache.lock().insert(hash, sender);
        }
        Ok(sender)
    }

    fn count_batch(&self, count: usize) {
        add(&self.counters.batched, count);
        add(&self.counters.batches, 1_u64);
        self.counters
            .largest_batch
            .fetch_max(count.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn failed(&self, count: usize, error: &EngineError) {
        add(&self.counters.failed_batches, 1_u64);
        tracing::debug!(%error, count, "the engine did not recover senders; they are recovered one by one");
    }
}

/// What the engine is asked for a transaction; nothing where the signature is invalid at sight: r or
/// s out of range, or a high s (EIP-2).
fn job(transaction: &TxEnvelope) -> Option<RecoverJob> {
    job_of(transaction.signature(), transaction.signature_hash())
}

fn job_of(signature: &Signature, hash: B256) -> Option<RecoverJob> {
    let (r, s) = (signature.r().to_be_bytes(), signature.s().to_be_bytes());
    let pair = secp256k1::Signature::new(&r, &s).ok()?;
    if !pair.is_low_s() {
        return None;
    }
    RecoverJob::new(&hash.0, signature.v().into(), pair).ok()
}
