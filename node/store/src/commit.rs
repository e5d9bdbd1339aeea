//! What a commit must satisfy before anything of it is written.

use crate::{
    BlockCommit, Head, StoreError,
    backend::{Snapshot, Table},
};
use alloy_primitives::{B256, KECCAK256_EMPTY};
use revm::database::BundleState;
use std::collections::BTreeMap;

/// The new code that execution has left, by its hash.
pub(crate) fn codes(state: &BundleState) -> BTreeMap<B256, Vec<u8>> {
    let contracts = state.contracts.iter().map(|(hash, code)| (*hash, code));
    let infos = state.state.values().filter_map(|account| {
        let info = account.info.as_ref()?;
        let changed = account
            .original_info
            .as_ref()
            .is_none_or(|original| original.code_hash != info.code_hash);
        Some((info.code_hash, info.code.as_ref().filter(|_| changed)?))
    });
    contracts
        .chain(infos)
        .filter(|(hash, _)| *hash != KECCAK256_EMPTY && !hash.is_zero())
        .map(|(hash, code)| (hash, code.original_byte_slice().to_vec()))
        .collect()
}

/// Whether the parts of a commit belong together and follow the head.
pub(crate) fn check(
    commit: &BlockCommit,
    head: &Head,
    snapshot: &dyn Snapshot,
) -> Result<(), StoreError> {
    let BlockCommit {
        block,
        receipts,
        state,
        tries,
    } = commit;
    let header = &block.header;
    let number = header.number;
    if header.parent_hash != head.hash || number.checked_sub(1) != Some(head.number) {
        return Err(StoreError::NotOnHead {
            number,
            parent: header.parent_hash,
            head_number: head.number,
            head_hash: head.hash,
        });
    }
    let wrong = |reason: String| Err(StoreError::InvalidCommit { number, reason });
    let hash = header.hash_slow();
    if block.hash != hash {
        return wrong(format!("its hash is {hash}, not {}", block.hash));
    }
    let (transactions, senders) = (block.transactions.len(), block.senders.len());
    if transactions != senders || transactions != receipts.len() {
        return wrong(format!(
            "{transactions} transactions, {senders} senders, {} receipts",
            receipts.len()
        ));
    }
    if tries.parent() != head.hash {
        return wrong(format!(
            "its trie updates were computed on block {}, the head is {}",
            tries.parent(),
            head.hash
        ));
    }
    if tries.root() != header.state_root {
        return wrong(format!(
            "its state root is {}, its trie updates give {}",
            header.state_root,
            tries.root()
        ));
    }
    let codes = codes(state);
    for delta in tries.deltas() {
        let info = state.state.get(&delta.address).map(|a| a.info.as_ref());
        let same = match (info, &delta.after) {
            (None, _) => false,
            (Some(info), None) => info.is_none_or(|info| info.is_empty()),
            (Some(info), Some(after)) => {
                info.is_some_and(|info| info.nonce == after.nonce && info.balance == after.balance)
            }
        };
        if !same {
            return wrong(format!(
                "its state and its trie updates differ in account {}",
                delta.address
            ));
        }
        if let Some(after) = &delta.after {
            let code = after.code_hash;
            let known = code == KECCAK256_EMPTY
                || delta.before.is_some_and(|before| before.code_hash == code)
                || codes.contains_key(&code)
                || snapshot.get(Table::Code, code.as_slice())?.is_some();
            if !known {
                return Err(StoreError::commit_without_code(
                    number,
                    &delta.address,
                    &code,
                ));
            }
        }
    }
    Ok(())
}
