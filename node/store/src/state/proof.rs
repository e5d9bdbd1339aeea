//! Merkle proofs of accounts and slots (EIP-1186).

use super::{Account, StateView, StoredNodes};
use crate::{
    StoreError,
    trie::{
        NodeSource,
        node::{HASHED_FROM, Node},
    },
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

/// An account, or that there is none, with the nodes that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// The account.
    pub account: Option<Account>,
    /// Nodes from the state root towards the account.
    pub nodes: Vec<Bytes>,
    /// The slots asked for, in that order.
    pub slots: Vec<SlotProof>,
}

/// A slot's value with the nodes that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotProof {
    /// The slot.
    pub slot: U256,
    /// Its value, zero where it was never set.
    pub value: U256,
    /// Nodes from the storage root towards the slot.
    pub nodes: Vec<Bytes>,
}

/// The proof of an account and some of its slots in the state of `view`, which has this root. The
/// nodes of the view's block must be kept.
pub(crate) fn prove(
    view: &StateView,
    root: B256,
    address: &Address,
    slots: &[U256],
) -> Result<AccountProof, StoreError> {
    let (snapshot, past) = (view.snapshot(), view.past());
    let account = view.account(address)?;
    let nodes = walk(
        StoredNodes::accounts(snapshot).after(past),
        root,
        &Nibbles::unpack(keccak256(address)),
    )?;
    let storage_root = account.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
    let storage = StoredNodes::storage(snapshot, address).after(past);
    let slots = slots
        .iter()
        .map(|slot| {
            let key = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
            Ok(SlotProof {
                slot: *slot,
                value: view.storage(address, slot)?,
                nodes: walk(storage, storage_root, &key)?,
            })
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(AccountProof {
        account,
        nodes,
        slots,
    })
}

/// The nodes from the root of a trie as far as they lead towards `key`.
fn walk(nodes: StoredNodes<'_>, root: B256, key: &Nibbles) -> Result<Vec<Bytes>, StoreError> {
    let mut proof = Vec::new();
    if root == EMPTY_ROOT_HASH {
        return Ok(proof);
    }
    let mut path = Nibbles::new();
    loop {
        let encoded = nodes
            .node(&path)?
            .ok_or_else(|| nodes.damaged(&path, "the node is missing".to_owned()))?;
        let node = Node::decode(&encoded).map_err(|e| nodes.damaged(&path, e.to_string()))?;
        if path.is_empty() || encoded.len() >= HASHED_FROM {
            proof.push(encoded.into());
        }
        let rest = key.slice(path.len()..);
        match node {
            Node::Extension { path: stretch, .. } if rest.starts_with(&stretch) => {
                path = path.join(&stretch);
            }
            Node::Branch { children, .. } => {
                let Some(nibble) = rest.first() else {
                    return Ok(proof);
                };
                let child = children.get(usize::from(nibble));
                if child.is_none_or(Option::is_none) {
                    return Ok(proof);
                }
                path.push(nibble);
            }
            Node::Extension { .. } | Node::Leaf { .. } => return Ok(proof),
        }
    }
}
