//! Who signed: recovery of the senders of many transactions.

use std::{num::NonZeroUsize, thread};

use alloy_consensus::{TxEnvelope, transaction::SignerRecoverable};
use alloy_primitives::{Address, B256};
use thiserror::Error;

/// Below this many transactions a second thread costs more than it saves (a recovery takes about
/// 0.1 ms, starting a thread as much as some of them).
const PARALLEL_FROM: usize = 32;

/// At most this many threads, whatever the machine has: recovery shares it with execution.
const MAX_THREADS: usize = 8;

/// A transaction whose signature names nobody.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("transaction {index} ({hash}): invalid signature")]
pub struct SenderError {
    /// Position in the list.
    pub index: usize,
    /// Its hash.
    pub hash: B256,
}

/// Recovers the sender of each transaction, in order; over several threads where there are
/// enough of them. Signatures with a high `s` are invalid (EIP-2). Variable time: all of it is
/// public.
///
/// # Errors
/// The first transaction in order that has no valid signature.
pub fn recover_senders(transactions: &[TxEnvelope]) -> Result<Vec<Address>, SenderError> {
    let threads = thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(MAX_THREADS);
    if threads < 2 || transactions.len() < PARALLEL_FROM {
        return recover_slice(0, transactions);
    }
    let chunk = transactions.len().div_ceil(threads);
    thread::scope(|scope| {
        let workers: Vec<_> = transactions
            .chunks(chunk)
            .enumerate()
            .map(|(position, slice)| {
                (
                    position,
                    slice,
                    scope.spawn(move || recover_slice(position * chunk, slice)),
                )
            })
            .collect();
        let mut senders = Vec::with_capacity(transactions.len());
        for (position, slice, worker) in workers {
            // A worker that panicked did so in third-party code: its share is done again here,
            // where the panic, if it comes again, reaches the caller's own guard.
            let part = worker
                .join()
                .unwrap_or_else(|_| recover_slice(position * chunk, slice))?;
            senders.extend(part);
        }
        Ok(senders)
    })
}

fn recover_slice(first: usize, transactions: &[TxEnvelope]) -> Result<Vec<Address>, SenderError> {
    let mut buffer = Vec::new();
    transactions
        .iter()
        .enumerate()
        .map(|(offset, transaction)| {
            transaction
                .recover_with_buf(&mut buffer)
                .map_err(|_| SenderError {
                    index: first + offset,
                    hash: *transaction.tx_hash(),
                })
        })
        .collect()
}
