//! The way of a transaction from bytes into the pool.

use std::cell::Cell;
use std::sync::Arc;

use alloy_consensus::transaction::{Recovered, SignerRecoverable};
use alloy_consensus::{Header, Transaction as _, TxEnvelope, TxType};
use alloy_eips::Decodable2718;
use alloy_eips::eip2718::Eip2718Error;
use alloy_primitives::{Address, B256};
use pars_pool::{AccountState, PoolEnv, PoolError};
use pars_store::{Account, Block, StoreError};

use crate::context::{ChainEvent, RpcContext, store_fault};
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
fn decode(raw: &[u8]) -> Result<TxEnvelope, SubmitError> {
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
        let sender = transaction
            .recover_signer()
            .map_err(|_| SubmitError::Signature)?;
        let transaction = Recovered::new_unchecked(transaction, sender);
        let hash = *transaction.tx_hash();
        {
            // The account is read under the pool's lock: a block that is accepted meanwhile tells
            // the pool afterwards, so the pool never keeps a transaction that was already stale.
            let mut pool = self.pool.lock();
            let head = self.store.head();
            let account = self.store.state(head.number)?.account(&sender)?;
            pool.add(
                transaction.clone(),
                account_state(account),
                &self.pool_env(&head.header),
            )?;
        }
        tracing::debug!(%hash, %sender, nonce = transaction.nonce(), "transaction accepted");
        // Nobody listening is fine.
        let _ = self
            .events
            .send(ChainEvent::PendingTransaction(Arc::new(transaction)));
        self.work.notify_one();
        Ok(hash)
    }

    /// What the pool measures transactions by: the block after `head`.
    fn pool_env(&self, head: &Header) -> PoolEnv {
        PoolEnv {
            base_fee: self.spec.next_base_fee(head),
            gas_limit: self.spec.next_gas_limit(head),
            chain_id: self.spec.chain_id,
        }
    }

    /// The transactions that can be in the block after `head`, best first, nonces in order.
    pub fn best_transactions(&self, head: &Header) -> Vec<Recovered<TxEnvelope>> {
        self.pool.lock().best(self.spec.next_base_fee(head))
    }

    /// Tells the pool that `block` was accepted. Blocking: reads the senders' accounts.
    ///
    /// # Errors
    /// If an account could not be read.
    pub fn tell_pool(&self, block: &Block) -> Result<(), StoreError> {
        let state = self.store.state(block.header.number)?;
        let failure = Cell::new(None);
        let account = |address: &Address| match state.account(address) {
            Ok(account) => account_state(account),
            Err(error) => {
                failure.set(Some(error));
                AccountState::default()
            }
        };
        let included: Vec<_> = block
            .transactions
            .iter()
            .map(|transaction| *transaction.tx_hash())
            .collect();
        self.pool
            .lock()
            .on_block(&included, account, &self.pool_env(&block.header));
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
