//! The access list a call would profit from.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, TxKind};
use revm::{context::TransactionType, context_interface::transaction::AuthorizationTr};

use super::{AccessListOutcome, CallError, CallOutcome, run::Caller};
use crate::state::StateRef;

/// A list changes gas, and gas may change what a contract does; after this many rounds without
/// agreement the last list is as good as any.
const MAX_ROUNDS: usize = 8;

/// Runs the call with the list of what it touched before, until it touches nothing else.
pub(crate) fn create<V: StateRef>(
    mut caller: Caller<'_, V>,
) -> Result<AccessListOutcome, CallError> {
    let excluded = always_warm(&caller)?;
    let mut transaction = caller.transaction.clone();
    if transaction.tx_type == TransactionType::Legacy as u8 {
        // A transaction with a list is at least of this type.
        transaction.tx_type = TransactionType::Eip2930 as u8;
    }
    let mut list = merged([&transaction.access_list], &excluded);
    let mut rounds = 0;
    loop {
        transaction.access_list = list.clone();
        let (result, watch) = caller.record(transaction.clone(), excluded.clone())?;
        let last = watch.last();
        let touched = merged([&list, &watch.access_list()], &excluded);
        rounds += 1;
        if touched == list || rounds == MAX_ROUNDS {
            let outcome = CallOutcome::told(result, last);
            return Ok(AccessListOutcome {
                access_list: list,
                gas_used: outcome.gas_used(),
                // Without the reason, as in geth.
                error: match &outcome {
                    CallOutcome::Revert { .. } => Some("execution reverted".to_owned()),
                    other => other.failure(),
                },
            });
        }
        list = touched;
    }
}

/// Accounts that no list needs to name: they are warm from the start or paid for anyway. As in
/// geth: the sender, the recipient or created contract, precompiles, and EIP-7702 authorities.
fn always_warm<V: StateRef>(caller: &Caller<'_, V>) -> Result<HashSet<Address>, CallError> {
    let transaction = &caller.transaction;
    let recipient = match transaction.kind {
        TxKind::Call(to) => to,
        TxKind::Create => transaction.caller.create(transaction.nonce),
    };
    let mut warm: HashSet<Address> = caller.precompiles()?.warm().into_iter().collect();
    warm.extend([transaction.caller, recipient]);
    warm.extend(
        transaction
            .authorization_list
            .iter()
            .filter_map(AuthorizationTr::authority),
    );
    Ok(warm)
}

/// One list of everything in `lists`, in order of addresses and slots. An excluded account stands
/// in it only for its slots.
fn merged<'a>(
    lists: impl IntoIterator<Item = &'a AccessList>,
    excluded: &HashSet<Address>,
) -> AccessList {
    let mut accounts: BTreeMap<Address, BTreeSet<B256>> = BTreeMap::new();
    for item in lists.into_iter().flat_map(|list| &list.0) {
        if !item.storage_keys.is_empty() || !excluded.contains(&item.address) {
            accounts
                .entry(item.address)
                .or_default()
                .extend(&item.storage_keys);
        }
    }
    AccessList(
        accounts
            .into_iter()
            .map(|(address, slots)| AccessListItem {
                address,
                storage_keys: slots.into_iter().collect(),
            })
            .collect(),
    )
}
