//! Precompiles under state overrides, as in geth: an override of an account that is a precompile
//! takes it away or moves it elsewhere.

use std::fmt::Display;

use alloy_evm::{overrides::StateOverrideError, precompiles::PrecompilesMap};
use alloy_primitives::{Address, map::AddressSet};
use alloy_rpc_types_eth::state::StateOverride;
use revm::{
    context_interface::{Cfg, ContextTr},
    handler::PrecompileProvider,
    interpreter::{CallInputs, InterpreterResult},
};

/// Accounts that are overridden, each with where a precompile at it is moved.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrecompileOverrides(Vec<(Address, Option<Address>)>);

impl PrecompileOverrides {
    /// Those of `overrides`, in order of addresses.
    pub(crate) fn of(overrides: &StateOverride) -> Self {
        let mut all: Vec<_> = overrides
            .iter()
            .map(|(address, account)| (*address, account.move_precompile_to))
            .collect();
        all.sort_unstable();
        Self(all)
    }

    /// Changes `map` accordingly.
    ///
    /// # Errors
    /// geth's words where there is no precompile to move, or where it is moved to an account that is
    /// overridden as well.
    pub(crate) fn apply(&self, mut map: PrecompilesMap) -> Result<CallPrecompiles, String> {
        let warm = (!self.0.is_empty()).then(|| map.addresses().copied().collect());
        for (address, to) in &self.0 {
            let there = map.get(address).is_some();
            match to {
                Some(_) if !there => return Err(not_moved(address)),
                Some(to) if self.0.iter().any(|(taken, _)| taken == to) => {
                    return Err(format!("account {to} is already overridden"));
                }
                Some(to) => map
                    .move_precompiles([(*address, *to)])
                    .map_err(|_| not_moved(address))?,
                None if there => map.apply_precompile(address, |_| None),
                None => {}
            }
        }
        Ok(CallPrecompiles { map, warm })
    }
}

fn not_moved(address: &Address) -> String {
    format!("account {address} is not a precompile")
}

/// geth's words for state overrides that cannot be applied; the state's error where it cannot be read.
pub(crate) fn refusal<E: Display>(error: StateOverrideError<E>) -> Result<String, E> {
    match error {
        StateOverrideError::Database(error) => Err(error),
        StateOverrideError::BothStateAndStateDiff(address) => Ok(format!(
            "account {address} has both 'state' and 'stateDiff'"
        )),
        other => Ok(other.to_string()),
    }
}

/// The precompiles of a call, where its overrides put them. Touching one costs what it costs where
/// the fork has it, as in geth: an address that loses its precompile stays warm (EIP-2929), one that
/// gets it is cold.
pub(crate) struct CallPrecompiles {
    map: PrecompilesMap,
    /// Addresses before the overrides, where there are any.
    warm: Option<AddressSet>,
}

impl CallPrecompiles {
    /// Addresses that are warm from the start.
    pub(crate) fn warm(&self) -> Vec<Address> {
        match &self.warm {
            Some(warm) => warm.iter().copied().collect(),
            None => self.map.addresses().copied().collect(),
        }
    }
}

impl<CTX: ContextTr> PrecompileProvider<CTX> for CallPrecompiles
where
    PrecompilesMap: PrecompileProvider<CTX, Output = InterpreterResult>,
{
    type Output = InterpreterResult;

    fn set_spec(&mut self, spec: <CTX::Cfg as Cfg>::Spec) -> bool {
        PrecompileProvider::<CTX>::set_spec(&mut self.map, spec)
    }

    fn run(
        &mut self,
        context: &mut CTX,
        inputs: &CallInputs,
    ) -> Result<Option<InterpreterResult>, String> {
        PrecompileProvider::<CTX>::run(&mut self.map, context, inputs)
    }

    fn warm_addresses(&self) -> &AddressSet {
        match &self.warm {
            Some(warm) => warm,
            None => PrecompileProvider::<CTX>::warm_addresses(&self.map),
        }
    }

    fn contains(&self, address: &Address) -> bool {
        PrecompileProvider::<CTX>::contains(&self.map, address)
    }
}
