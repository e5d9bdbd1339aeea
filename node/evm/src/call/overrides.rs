//! Precompiles under state overrides, as in geth: an override of an account that is a precompile
//! takes it away or moves it elsewhere.

use alloy_evm::precompiles::PrecompilesMap;
use alloy_primitives::Address;
use alloy_rpc_types_eth::state::StateOverride;

/// Accounts that are overridden, each with where a precompile at it is moved.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrecompileOverrides(Vec<(Address, Option<Address>)>);

impl PrecompileOverrides {
    /// Those of `overrides`, in order of addresses.
    ///
    /// # Errors
    /// geth's words where a precompile is moved to an account that is overridden as well.
    pub(crate) fn of(overrides: &StateOverride) -> Result<Self, String> {
        let mut all: Vec<_> = overrides
            .iter()
            .map(|(address, account)| (*address, account.move_precompile_to))
            .collect();
        all.sort_unstable();
        let taken = all
            .iter()
            .filter_map(|(_, to)| *to)
            .find(|to| overrides.contains_key(to));
        match taken {
            Some(to) => Err(format!("account {to} is already overridden")),
            None => Ok(Self(all)),
        }
    }

    /// Changes `map` accordingly.
    ///
    /// # Errors
    /// geth's words where there is no precompile to move.
    pub(crate) fn apply(&self, map: &mut PrecompilesMap) -> Result<(), String> {
        for (address, to) in &self.0 {
            match to {
                Some(to) => map
                    .move_precompiles([(*address, *to)])
                    .map_err(|_| format!("account {address} is not a precompile"))?,
                None if map.get(address).is_some() => map.apply_precompile(address, |_| None),
                None => {}
            }
        }
        Ok(())
    }
}
