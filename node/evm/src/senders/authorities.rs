//! The authorities of EIP-7702: who signed that its account may be given code.
//!
//! Each is a recovery more, and the EVM wants it at several times: in the run that looks for questions,
//! when a block is built, when it is verified. They are found once, together with those of the whole
//! block.

use std::collections::HashSet;

use alloy_consensus::{TxEip7702, TxEnvelope, transaction::Recovered};
use alloy_eips::eip7702::{RecoveredAuthority, RecoveredAuthorization, SignedAuthorization};
use alloy_evm::FromRecoveredTx as _;
use alloy_primitives::{Address, B256, Keccak256};
use pars_engine::Priority;
use pars_kernels::secp256k1::RecoverJob;
use revm::{context::TxEnv, context_interface::either::Either};

use super::{BATCH_FROM, SenderRecovery, Senders, direct, job_of};
use crate::stats::add;

impl Senders {
    /// Finds the authorities of all `transactions`, as one batch where there are enough of them; fewer
    /// are found when they are asked for. Blocking.
    pub(crate) fn foresee_authorities<'a>(
        &self,
        transactions: impl IntoIterator<Item = &'a TxEnvelope>,
    ) {
        let unknown = self.unknown_authorities(transactions);
        if unknown.len() >= BATCH_FROM {
            self.batch(&[], unknown, Priority::BlockExecution);
        }
    }

    /// The authorities of `transactions` that nothing is known of, each once, with what the engine is asked for
    /// each.
    pub(super) fn unknown_authorities<'a>(
        &self,
        transactions: impl IntoIterator<Item = &'a TxEnvelope>,
    ) -> Vec<(B256, RecoverJob)> {
        let (mut unknown, mut seen) = (Vec::new(), HashSet::new());
        if self.mode == SenderRecovery::Single {
            return unknown;
        }
        for transaction in transactions {
            let TxEnvelope::Eip7702(signed) = transaction else {
                continue;
            };
            for authorization in &signed.tx().authorization_list {
                let key = key(authorization);
                if seen.insert(key) && self.cache.lock().get(&key).is_none() {
                    unknown.extend(job(authorization).map(|job| (key, job)));
                }
            }
        }
        unknown
    }

    /// Remembers who signed; failures are not remembered.
    pub(super) fn remember_authorities(
        &self,
        found: impl Iterator<Item = (B256, Option<Address>)>,
    ) {
        let mut cache = self.cache.lock();
        for (key, authority) in found {
            if let Some(authority) = authority {
                cache.insert(key, authority);
            }
        }
    }

    /// A transaction as the EVM takes it, with its authorities.
    pub(crate) fn tx_env(&self, transaction: &Recovered<TxEnvelope>) -> TxEnv {
        let sender = transaction.signer();
        let signed = match transaction.inner() {
            TxEnvelope::Eip7702(signed) if self.mode == SenderRecovery::Batched => signed,
            other => return TxEnv::from_recovered_tx(other, sender),
        };
        let inner = signed.tx();
        // Without the list, which would be recovered here and now.
        let bare = TxEip7702 {
            authorization_list: Vec::new(),
            access_list: inner.access_list.clone(),
            input: inner.input.clone(),
            ..*inner
        };
        let authority = |authorization: &SignedAuthorization| {
            let authority = self
                .authority(authorization)
                .map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
            let authorization = authorization.inner().clone();
            RecoveredAuthorization::new_unchecked(authorization, authority)
        };
        let list = inner.authorization_list.iter();
        TxEnv {
            authorization_list: list.map(|one| Either::Right(authority(one))).collect(),
            ..TxEnv::from_recovered_tx(&bare, sender)
        }
    }

    fn authority(&self, authorization: &SignedAuthorization) -> Option<Address> {
        let key = key(authorization);
        if let Some(authority) = self.cache.lock().get(&key) {
            add(&self.counters.known, 1_u64);
            return Some(authority);
        }
        let signature = authorization.signature().ok()?;
        let authority = direct::recover_hash(&signature, authorization.signature_hash());
        add(&self.counters.single, 1_u64);
        if let Some(authority) = authority {
            self.cache.lock().insert(key, authority);
        }
        authority
    }
}

/// Everything that the authority depends on, as one hash.
fn key(authorization: &SignedAuthorization) -> B256 {
    let mut hasher = Keccak256::new();
    hasher.update(b"authorization");
    hasher.update(authorization.signature_hash());
    hasher.update([authorization.y_parity()]);
    hasher.update(authorization.r().to_be_bytes::<32>());
    hasher.update(authorization.s().to_be_bytes::<32>());
    hasher.finalize()
}

/// What the engine is asked; nothing where the signature is invalid at sight.
fn job(authorization: &SignedAuthorization) -> Option<RecoverJob> {
    let signature = authorization.signature().ok()?;
    job_of(&signature, authorization.signature_hash())
}
