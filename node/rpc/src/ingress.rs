//! The way of a transaction from bytes into the pool.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{Header, Transaction as _, TxEnvelope, TxType};
use alloy_eips::Decodable2718;
use alloy_eips::eip2718::Eip2718Error;
use alloy_primitives::{Address, B256, Bytes};
use pars_engine::Priority;
use pars_pool::{AccountState, Journal, JournalError, PoolEnv, PoolError};
use pars_store::{Account, Overlay, StoreError};

use crate::candidates::Candidates;
use crate::context::{ChainEvent, RpcContext, Shared, Weight, store_fault};
use crate::error::Fault;

/// Why a transaction was not taken. The texts are geth's: tools match on them.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The bytes are no transaction.
    #[error("{0}")]
    Encoding(String),
    /// A blob transaction, or a type that nobody knows.
    #[error("transaction type not supported{0}")]
    Type(&'static str),
    /// The signature gives no sender.
    #[error("invalid sender")]
    Signature,
    /// The pool refused it.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The sender's account could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SubmitError {
    pub(crate) fn into_fault(self) -> Fault {
        match self {
            Self::Store(error) => store_fault(error),
            Self::Encoding(_) | Self::Type(_) | Self::Signature | Self::Pool(_) => {
                Fault::server(self.to_string())
            }
        }
    }
}

/// Decodes a signed transaction in its network form (EIP-2718, RLP for type 0).
pub(crate) fn decode(raw: &[u8]) -> Result<TxEnvelope, SubmitError> {
    match raw {
        [] | [0..0x80] => {
            return Err(SubmitError::Encoding(
                "typed transaction too short".to_owned(),
            ));
        }
        // Below the first byte of an RLP list it is a type (EIP-2718).
        [kind @ 0..0x80, ..] if !(1..=4).contains(kind) => {
            return Err(SubmitError::Type(""));
        }
        _ => {}
    }
    let mut rest = raw;
    let transaction = TxEnvelope::decode_2718(&mut rest).map_err(|error| match error {
        // The type byte was looked at: what is left is a list that is no legacy transaction.
        Eip2718Error::UnexpectedType(_) => {
            SubmitError::Encoding("rlp: too few elements".to_owned())
        }
        Eip2718Error::RlpError(error) => SubmitError::Encoding(format!("rlp: {error}")),
        other => SubmitError::Encoding(other.to_string()),
    })?;
    if !rest.is_empty() {
        return Err(SubmitError::Encoding(
            "rlp: input contains more than one value".to_owned(),
        ));
    }
    if transaction.tx_type() == TxType::Eip4844 {
        return Err(SubmitError::Type(
            ": this chain has no blobs, types 0, 1, 2 and 4 are accepted",
        ));
    }
    Ok(transaction)
}

impl RpcContext {
    /// Hands a signed transaction in its network form to the pool and returns its hash.
    ///
    /// Blocking: recovers the sender and reads the store.
    ///
    /// # Errors
    /// What is wrong with the transaction, in geth's words.
    pub fn submit_raw(&self, raw: &[u8]) -> Result<B256, SubmitError> {
        self.submit(decode(raw)?)
    }

    /// Hands a signed transaction to the pool and returns its hash. Blocking, as [`Self::submit_raw`].
    ///
    /// # Errors
    /// What is wrong with the transaction, in geth's words.
    pub fn submit(&self, transaction: TxEnvelope) -> Result<B256, SubmitError> {
        let transaction = self.take(transaction)?;
        Ok(self.announce(transaction))
    }

    /// As [`Self::submit`], with the sender found already.
    fn submit_from(&self, transaction: TxEnvelope, sender: Address) -> Result<B256, SubmitError> {
        let transaction = Recovered::new_unchecked(transaction, sender);
        self.add(&transaction)?;
        Ok(self.announce(transaction))
    }

    /// Finds the sender and puts the transaction into the pool.
    fn take(&self, transaction: TxEnvelope) -> Result<Recovered<TxEnvelope>, SubmitError> {
        let senders = self.executor.senders();
        let sender = senders
            .recover(&transaction)
            .map_err(|_| SubmitError::Signature)?;
        let transaction = Recovered::new_unchecked(transaction, sender);
        self.add(&transaction)?;
        Ok(transaction)
    }

    fn add(&self, transaction: &Recovered<TxEnvelope>) -> Result<(), SubmitError> {
        // The account is read under the pool's lock: a block that is accepted meanwhile tells
        // the pool afterwards, so the pool never keeps a transaction that was already stale.
        let mut pool = self.pool.lock();
        let head = self.store.head();
        let state = self.store.state(head.number)?;
        let account = account_state(state.account(transaction.signer_ref())?);
        pool.add(transaction.clone(), account, &self.pool_env(&head.header))?;
        Ok(())
    }

    /// Tells the journal, the subscribers and the block producer of a transaction that the pool took.
    fn announce(&self, transaction: Recovered<TxEnvelope>) -> B256 {
        let hash = *transaction.tx_hash();
        // Before the client is told, so that what it knows to be taken is not lost with the process.
        self.write_down(&transaction);
        tracing::debug!(%hash, sender = %transaction.signer(), nonce = transaction.nonce(), "transaction accepted");
        // Nobody listening is fine.
        let _ = self
            .events
            .send(ChainEvent::PendingTransaction(Arc::new(transaction)));
        self.work.notify_one();
        hash
    }

    /// Adds a transaction of the pool to the journal. The transaction stays taken if that fails.
    fn write_down(&self, transaction: &TxEnvelope) {
        let Some(journal) = &self.journal else { return };
        let mut journal = journal.lock();
        let written = match journal.append(transaction) {
            // It has room again without what is of the past.
            Ok(false) => self.rewrite(&mut journal),
            Ok(true) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "a transaction would not outlive this process");
        }
    }

    /// Writes the journal anew with what is in the pool. The caller does not hold the pool.
    fn rewrite(&self, journal: &mut Journal) -> Result<(), JournalError> {
        let transactions: Vec<_> = self.pool.lock().transactions().cloned().collect();
        journal.rewrite(transactions.iter().map(|transaction| &**transaction))
    }

    /// Writes the journal anew if most of it is of the past, or if it is to be done now in any case.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn tidy_journal(&self, now: bool) -> Result<(), JournalError> {
        let Some(journal) = &self.journal else {
            return Ok(());
        };
        let mut journal = journal.lock();
        if now || journal.is_stale() {
            self.rewrite(&mut journal)?;
        }
        Ok(())
    }

    /// Hands in again what a journal held; how many transactions the pool took. What became invalid
    /// meanwhile, in a block or by one, is dropped. Blocking.
    pub fn replay(&self, mut transactions: Vec<TxEnvelope>) -> usize {
        let senders = self.executor.senders();
        senders.foresee(&transactions, Priority::Pool);
        // In the order of nonces, so that what came before a gap was closed is not bounded as waiting;
        // the sort is stable, so that replacements come after what they replace.
        transactions.sort_by_key(|transaction| transaction.nonce());
        let mut taken = 0;
        for transaction in transactions {
            let hash = *transaction.tx_hash();
            match self.take(transaction) {
                Ok(_) => taken += 1,
                Err(error) => tracing::debug!(%hash, %error, "dropped from the journal"),
            }
        }
        if taken > 0 {
            self.work.notify_one();
        }
        taken
    }

    /// What the pool measures transactions by: the block after `head`.
    fn pool_env(&self, head: &Header) -> PoolEnv {
        PoolEnv {
            base_fee: self.spec.next_base_fee(head),
            gas_limit: self.spec.next_gas_limit(head),
            chain_id: self.spec.chain_id,
        }
    }

    /// The transactions that can be in the block after `head`, best first, nonces in order. Those that `elsewhere`
    /// names are passed over. All others come if they are asked for: how many find room is known when they have run,
    /// as those at the front may ask for far more gas than they use.
    pub fn best_transactions(&self, head: &Header, elsewhere: HashSet<B256>) -> Candidates {
        Candidates::new(&self.pool, self.spec.next_base_fee(head), elsewhere)
    }

    /// Whether any transaction can be in the block after `head`.
    pub fn has_transactions(&self, head: &Header) -> bool {
        let base_fee = self.spec.next_base_fee(head);
        self.pool.lock().has_best(base_fee)
    }

    /// Tells the pool that a block was accepted. Blocking: reads the accounts of senders that the block changed.
    ///
    /// # Errors
    /// If an account could not be read.
    pub fn tell_pool(&self, accepted: &Overlay) -> Result<(), StoreError> {
        let block = accepted.block();
        let state = self.store.state(block.header.number)?;
        let failure = Cell::new(None);
        let read = |address: &Address| match state.account(address) {
            Ok(account) => account_state(account),
            Err(error) => {
                failure.set(Some(error));
                AccountState::default()
            }
        };
        let changed = |address: &Address| accepted.wrote(address).then(|| read(address));
        let included: Vec<_> = block
            .transactions
            .iter()
            .map(|transaction| *transaction.tx_hash())
            .collect();
        self.pool
            .lock()
            .on_block(&included, changed, &self.pool_env(&block.header));
        match failure.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

fn account_state(account: Option<Account>) -> AccountState {
    account.map_or_else(AccountState::default, |account| AccountState {
        nonce: account.nonce,
        balance: account.balance,
    })
}

impl Shared {
    /// Hands a signed transaction in its network form to the pool and returns its hash.
    ///
    /// Senders of transactions that come at the same time are recovered together; a lone one is
    /// recovered on the spot.
    pub(crate) async fn submit(self: &Arc<Self>, raw: &Bytes) -> Result<B256, Fault> {
        let transaction = decode(raw).map_err(SubmitError::into_fault)?;
        let senders = self.node.executor.senders();
        let company = senders.enter();
        let known = if company.is_alone() {
            None
        } else {
            let sender = senders.recover_with_others(&transaction).await;
            Some(sender.map_err(|_| SubmitError::Signature.into_fault())?)
        };
        self.blocking(Weight::Read, move |shared| {
            let node = &shared.node;
            let submitted = match known {
                Some(sender) => node.submit_from(transaction, sender),
                None => node.submit(transaction),
            };
            drop(company);
            submitted.map_err(SubmitError::into_fault)
        })
        .await
    }

    /// Finds the senders of transactions that are about to be handed in one after another, as one
    /// batch. What is no transaction is passed over.
    pub(crate) async fn foresee(&self, raw: &[Bytes]) {
        let transactions: Vec<_> = raw.iter().filter_map(|raw| decode(raw).ok()).collect();
        self.node
            .executor
            .senders()
            .foresee_pool(&transactions)
            .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_transaction_is_refused_in_words() {
        let words = |raw: &[u8]| decode(raw).unwrap_err().to_string();
        assert_eq!(words(&[]), "typed transaction too short");
        assert_eq!(words(&[0x02]), "typed transaction too short");
        for raw in [
            &[0xc0][..],
            &[0x80],
            &[0x02, 0xc0],
            &[0xf8, 0xff],
            &[0x01, 0x01],
        ] {
            assert!(words(raw).starts_with("rlp: "), "{raw:?}: {}", words(raw));
        }
        assert_eq!(words(&[0x05, 0xc0]), "transaction type not supported");
        assert_eq!(words(&[0x7f, 0xc0]), "transaction type not supported");
        assert_eq!(words(&[0x00, 0xc0]), "transaction type not supported");
    }
}
