//! The block that building on the head would give now, and the state after it.
//!
//! This is what `pending` means: not a guess from the pool, but the very build a proposer would
//! make. It is kept until the head, the pool or the second change.

use std::collections::HashSet;
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use parking_lot::Mutex;
use pars_evm::StateRef;
use pars_store::{BlockCommit, StateView, StoreError};
use revm::DatabaseRef;
use revm::bytecode::Bytecode;
use revm::state::AccountInfo;
use serde::Serialize;
use serde_json::Value;

use crate::context::{RpcContext, store_fault};
use crate::error::Fault;

/// The last build of the pending block.
#[derive(Debug, Default)]
pub(crate) struct PendingBlock(Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    parent: B256,
    timestamp: u64,
    /// Of the pool.
    version: u64,
    commit: Arc<BlockCommit>,
}

impl PendingBlock {
    /// The pending block with its receipts and changes. Nothing of it is written. Blocking.
    pub(crate) fn get(&self, node: &RpcContext) -> Result<Arc<BlockCommit>, Fault> {
        let head = node.store.head();
        let version = node.pool.lock().version();
        let attributes = (node.attributes)(&head);
        let timestamp = attributes.timestamp;
        if let Some(kept) = &*self.0.lock()
            && (kept.parent, kept.timestamp, kept.version) == (head.hash, timestamp, version)
        {
            return Ok(Arc::clone(&kept.commit));
        }
        let transactions = node.best_transactions(&head.header, HashSet::new());
        let executed = node
            .executor
            .build(&node.store, transactions, attributes)
            .map_err(Fault::internal)?;
        let commit = Arc::new(executed.commit);
        let parent = commit.block.header.parent_hash;
        *self.0.lock() = Some(Kept {
            parent,
            timestamp,
            version,
            commit: Arc::clone(&commit),
        });
        Ok(commit)
    }

    /// Header of the pending block, and the state after it. Blocking.
    pub(crate) fn state(&self, node: &RpcContext) -> Result<(Header, StateAt), Fault> {
        let commit = self.get(node)?;
        let header = commit.block.header.clone();
        let parent = node
            .store
            .state(header.number.saturating_sub(1))
            .map_err(store_fault)?;
        Ok((
            header,
            StateAt {
                stored: parent,
                built: Some(commit),
            },
        ))
    }
}

/// `value` (a block, a header, or parts of one) as JSON without what only a finished block has: its
/// hash and nonce, and every reference to its hash.
pub(crate) fn unsealed(value: &impl Serialize) -> Result<Value, Fault> {
    let mut value = serde_json::to_value(value).map_err(Fault::internal)?;
    if value.get("parentHash").is_some() {
        clear(&mut value, "hash");
        clear(&mut value, "nonce");
    }
    clear_references(&mut value);
    Ok(value)
}

fn clear_references(value: &mut Value) {
    clear(value, "blockHash");
    match value {
        Value::Array(values) => values.iter_mut().for_each(clear_references),
        Value::Object(members) => members.values_mut().for_each(clear_references),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn clear(value: &mut Value, member: &str) {
    if let Some(member) = value.get_mut(member) {
        *member = Value::Null;
    }
}

/// The state after an accepted block, or after the pending one.
#[derive(Debug)]
pub(crate) struct StateAt {
    stored: StateView,
    /// Changes on top of the stored state.
    built: Option<Arc<BlockCommit>>,
}

impl StateAt {
    /// The account at `address`.
    pub(crate) fn account(&self, address: &Address) -> Result<Option<AccountInfo>, StoreError> {
        self.basic_ref(*address)
    }

    /// The code of the account at `address`; empty where there is none.
    pub(crate) fn code_of(&self, address: &Address) -> Result<Bytes, StoreError> {
        match self.account(address)? {
            Some(account) => Ok(self.code_by_hash_ref(account.code_hash)?.original_bytes()),
            None => Ok(Bytes::new()),
        }
    }

    /// The value of a slot, zero where it was never set.
    pub(crate) fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StoreError> {
        self.storage_ref(*address, *slot)
    }
}

impl From<StateView> for StateAt {
    fn from(stored: StateView) -> Self {
        Self {
            stored,
            built: None,
        }
    }
}

impl DatabaseRef for StateAt {
    type Error = StoreError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StoreError> {
        match self
            .built
            .as_ref()
            .and_then(|built| built.state.account(&address))
        {
            Some(changed) => Ok(changed),
            None => self.stored.basic_ref(address),
        }
    }

    fn code_by_hash_ref(&self, code_hash: B256) -> Result<Bytecode, StoreError> {
        match self
            .built
            .as_ref()
            .and_then(|built| built.state.code(&code_hash))
        {
            Some(code) => Ok(code.clone()),
            None => self.stored.code_by_hash_ref(code_hash),
        }
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, StoreError> {
        let changed = self
            .built
            .as_ref()
            .and_then(|built| built.state.slot(&address, &slot));
        match changed {
            Some(value) => Ok(value),
            None => self.stored.storage_ref(address, slot),
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StoreError> {
        self.stored.block_hash_ref(number)
    }
}

impl StateRef for StateAt {
    fn has_storage_ref(&self, address: Address) -> Result<bool, StoreError> {
        let changed = self
            .built
            .as_ref()
            .and_then(|built| built.state.has_storage(&address));
        match changed {
            Some(changed) => Ok(changed),
            None => self.stored.has_storage(&address),
        }
    }
}
