//! What a commit must satisfy before anything of it is written.

use crate::{
    BlockCommit, Head, StoreError,
    backend::{Snapshot, Table},
    state::Balances,
};
use alloy_primitives::KECCAK256_EMPTY;

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
    for delta in tries.deltas() {
        let same = match (state.balances(&delta.address), &delta.after) {
            (None, _) => false,
            (Some(now), None) => now.is_none_or(Balances::is_empty),
            (Some(now), Some(after)) => {
                now.is_some_and(|now| now.nonce == after.nonce && now.balance == after.balance)
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
                || state.codes.contains_key(&code)
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
