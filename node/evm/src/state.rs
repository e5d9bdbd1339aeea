//! What the rules of creation ask of a state besides what revm does.

use alloy_primitives::Address;
use pars_store::{BlockState, StateView, StoreError};
use revm::{
    Database, DatabaseRef,
    database::{State, WrapDatabaseRef},
    database_interface::bal::EvmDatabaseError,
};

use crate::execution::View;

/// A state that calls, traces and searches run on: one that also tells whether an account has any
/// storage, which decides whether a contract can be created there (EIP-7610).
pub trait StateRef: DatabaseRef {
    /// Whether a slot of the account at `address` has a value other than zero.
    ///
    /// Where the account has a nonce or code, the answer decides nothing.
    ///
    /// # Errors
    /// As reading an account.
    fn has_storage_ref(&self, address: Address) -> Result<bool, Self::Error>;
}

impl StateRef for StateView {
    fn has_storage_ref(&self, address: Address) -> Result<bool, StoreError> {
        self.has_storage(&address)
    }
}

impl<V: StateRef + ?Sized> StateRef for &V {
    fn has_storage_ref(&self, address: Address) -> Result<bool, Self::Error> {
        (**self).has_storage_ref(address)
    }
}

impl<V: StateRef> StateRef for View<V> {
    fn has_storage_ref(&self, address: Address) -> Result<bool, Self::Error> {
        self.0.has_storage_ref(address)
    }
}

impl<V: StateRef> StateRef for State<WrapDatabaseRef<View<V>>> {
    fn has_storage_ref(&self, address: Address) -> Result<bool, Self::Error> {
        if let Some(known) = self.cache.accounts.get(&address) {
            let Some(account) = &known.account else {
                return Ok(false);
            };
            if account.storage.values().any(|value| !value.is_zero()) {
                return Ok(true);
            }
            // Not where the status merely calls the storage known: it does so of every account that
            // was changed and had neither nonce nor code, whatever the state below has of it.
            if known.status.was_destroyed() {
                return Ok(false);
            }
        }
        self.database
            .0
            .has_storage_ref(address)
            .map_err(EvmDatabaseError::Database)
    }
}

/// The same of the database that an EVM runs on.
pub(crate) trait StateDb: Database {
    fn has_storage(&mut self, address: Address) -> Result<bool, Self::Error>;
}

impl StateDb for BlockState {
    fn has_storage(&mut self, address: Address) -> Result<bool, StoreError> {
        BlockState::has_storage(self, address)
    }
}

impl<V: StateRef> StateDb for State<WrapDatabaseRef<View<V>>> {
    fn has_storage(&mut self, address: Address) -> Result<bool, Self::Error> {
        self.has_storage_ref(address)
    }
}

impl<D: StateDb> StateDb for &mut D {
    fn has_storage(&mut self, address: Address) -> Result<bool, Self::Error> {
        (**self).has_storage(address)
    }
}
