//! Merkle proofs of accounts and slots (EIP-1186).

use super::{Account, StoredNodes, read_account, read_slot};
use crate::{
    StoreError,
    backend::Snapshot,
    trie::{NodeSource, node::Node},
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

/// Shortest encoding of a node that its parent names by hash; shorter ones stand in the parent
/// itself (yellow paper, appendix D).
const HASHED_FROM: usize = 32;

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

/// The proof of an account and some of its slots in the state with this root.
pub(crate) fn prove(
    snapshot: &dyn Snapshot,
    root: B256,
    address: &Address,
    slots: &[U256],
) -> Result<AccountProof, StoreError> {
    let account = read_account(snapshot, address)?;
    let nodes = walk(
        StoredNodes::accounts(snapshot),
        root,
        &Nibbles::unpack(keccak256(address)),
    )?;
    let storage_root = account.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
    let slots = slots
        .iter()
        .map(|slot| {
            let key = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
            Ok(SlotProof {
                slot: *slot,
                value: read_slot(snapshot, address, slot)?,
                nodes: walk(StoredNodes::storage(snapshot, address), storage_root, &key)?,
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
