//! The gas of calls that blocks make themselves.

use alloy_evm::{Evm, EvmEnv};
use alloy_primitives::{Address, Bytes};
use revm::{
    context::CfgEnv,
    context_interface::result::{ExecutionResult, ResultAndState},
};

/// Gas of a system call (EIP-4788, EIP-2935, EIP-7002, EIP-7251).
const SYSTEM_CALL_GAS: u64 = 30_000_000;

/// An EVM whose system calls have the gas that they have today: the one inside has a later fork's
/// already, which is more.
pub(crate) struct SystemCalls<E>(pub(crate) E);

impl<E: Evm> Evm for SystemCalls<E> {
    type DB = E::DB;
    type Tx = E::Tx;
    type Error = E::Error;
    type HaltReason = E::HaltReason;
    type Spec = E::Spec;
    type BlockEnv = E::BlockEnv;
    type Precompiles = E::Precompiles;
    type Inspector = E::Inspector;

    fn block(&self) -> &E::BlockEnv {
        self.0.block()
    }

    fn cfg_env(&self) -> &CfgEnv<E::Spec> {
        self.0.cfg_env()
    }

    fn chain_id(&self) -> u64 {
        self.0.chain_id()
    }

    fn transact_raw(&mut self, tx: E::Tx) -> Result<ResultAndState<E::HaltReason>, E::Error> {
        self.0.transact_raw(tx)
    }

    fn transact_system_call(
        &mut self,
        caller: Address,
        contract: Address,
        data: Bytes,
    ) -> Result<ResultAndState<E::HaltReason>, E::Error> {
        let mut outcome = self.0.transact_system_call(caller, contract, data)?;
        let gas = *outcome.result.gas();
        if outcome.result.is_success() && gas.total_gas_spent() > SYSTEM_CALL_GAS {
            // It ran out of gas, and nothing of it stays.
            outcome.state.clear();
            outcome.result = ExecutionResult::Revert {
                gas,
                logs: Vec::new(),
                output: Bytes::from_static(b"out of gas"),
            };
        }
        Ok(outcome)
    }

    fn finish(self) -> (E::DB, EvmEnv<E::Spec, E::BlockEnv>) {
        self.0.finish()
    }

    fn set_inspector_enabled(&mut self, enabled: bool) {
        self.0.set_inspector_enabled(enabled);
    }

    fn components(&self) -> (&E::DB, &E::Inspector, &E::Precompiles) {
        self.0.components()
    }

    fn components_mut(&mut self) -> (&mut E::DB, &mut E::Inspector, &mut E::Precompiles) {
        self.0.components_mut()
    }
}
