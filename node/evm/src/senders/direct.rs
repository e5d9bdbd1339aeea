//! Recovery one by one, without the engine: for lone transactions, and where there is no engine to ask.

use std::{num::NonZeroUsize, thread};

use alloy_consensus::{TxEnvelope, transaction::SignerRecoverable as _};
use alloy_primitives::{Address, B256, Signature};
use pars_kernels::secp256k1::{RecoverJob, recover_addresses};

use super::{SenderError, job, job_of};

/// Below this many transactions a second thread costs more than it saves (a recovery takes some
/// 30 us, starting a thread as much as one or two of them).
const PARALLEL_FROM: usize = 32;

/// At most this many threads, whatever the machine has: recovery shares it with execution.
const MAX_THREADS: usize = 8;

/// The sender of a transaction, if its signature names one. Signatures with a high `s` are invalid
/// (EIP-2).
pub(super) fn recover(transaction: &TxEnvelope) -> Option<Address> {
    alone(&job(transaction)?)
}

/// Who signed `hash`, if the signature names somebody; a high `s` does not.
pub(super) fn recover_hash(signature: &Signature, hash: B256) -> Option<Address> {
    alone(&job_of(signature, hash)?)
}

/// The kernel has a way of its own for a single one, at the speed of libsecp256k1.
fn alone(job: &RecoverJob) -> Option<Address> {
    let [sender] = recover_addresses(&[job]).try_into().ok()?;
    sender.map(Address::from)
}

/// Recovers the sender of each transaction, in order; over several threads where there are
/// enough of them. Signatures with a high `s` are invalid (EIP-2). Variable time: all of it is
/// public.
///
/// # Errors
/// The first transaction in order that has no valid signature.
pub fn recover_senders(transactions: &[TxEnvelope]) -> Result<Vec<Address>, SenderError> {
    let all: Vec<_> = transactions.iter().collect();
    recover_each(&all)
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

/// As [`recover_senders`] by the rules before Homestead: a high `s` is as good as a low one.
///
/// # Errors
/// As [`recover_senders`].
pub(crate) fn recover_any_s(transactions: &[TxEnvelope]) -> Result<Vec<Address>, SenderError> {
    transactions
        .iter()
        .enumerate()
        .map(|(index, transaction)| {
            transaction
                .recover_signer_unchecked()
                .map_err(|_| SenderError {
                    index,
                    hash: *transaction.tx_hash(),
                })
        })
        .collect()
}

/// As [`recover_senders`], nothing where there is no sender.
pub(super) fn recover_each(transactions: &[&TxEnvelope]) -> Vec<Option<Address>> {
    let threads = thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(MAX_THREADS);
    if threads < 2 || transactions.len() < PARALLEL_FROM {
        return recover_slice(transactions);
    }
    let chunk = transactions.len().div_ceil(threads);
    thread::scope(|scope| {
        let workers: Vec<_> = transactions
            .chunks(chunk)
            .map(|slice| (slice, scope.spawn(move || recover_slice(slice))))
            .collect();
        workers
            .into_iter()
            // A worker that panicked did so in third-party code: its share is done again here,
            // where the panic, if it comes again, reaches the caller's own guard.
            .flat_map(|(slice, worker)| worker.join().unwrap_or_else(|_| recover_slice(slice)))
            .collect()
    })
}

fn recover_slice(transactions: &[&TxEnvelope]) -> Vec<Option<Address>> {
    let senders = transactions.iter().map(|transaction| recover(transaction));
    senders.collect()
}
