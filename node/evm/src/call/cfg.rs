//! Rules of the EVM as a call sees them.

use revm::{
    context::CfgEnv,
    context_interface::{Cfg, cfg::GasParams},
    primitives::hardfork::SpecId,
};

/// A block's rules without those that concern only who may send a transaction: as in geth, a call
/// may come from an account with code, may have any nonce, and may ask for more gas than one
/// transaction or block has. Fees are checked where the call names any.
#[derive(Clone, Debug)]
pub(crate) struct CallCfg(pub(crate) CfgEnv);

impl Cfg for CallCfg {
    type Spec = SpecId;

    fn tx_gas_limit_cap(&self) -> u64 {
        u64::MAX
    }

    fn is_eip3607_disabled(&self) -> bool {
        true
    }

    fn is_block_gas_limit_disabled(&self) -> bool {
        true
    }

    fn is_nonce_check_disabled(&self) -> bool {
        true
    }

    fn chain_id(&self) -> u64 {
        self.0.chain_id()
    }

    fn tx_chain_id_check(&self) -> bool {
        self.0.tx_chain_id_check()
    }

    fn spec(&self) -> SpecId {
        self.0.spec
    }

    fn max_blobs_per_tx(&self) -> Option<u64> {
        self.0.max_blobs_per_tx()
    }

    fn max_code_size(&self) -> usize {
        self.0.max_code_size()
    }

    fn max_initcode_size(&self) -> usize {
        self.0.max_initcode_size()
    }

    fn is_eip3541_disabled(&self) -> bool {
        self.0.is_eip3541_disabled()
    }

    fn is_eip7623_disabled(&self) -> bool {
        self.0.is_eip7623_disabled()
    }

    fn is_balance_check_disabled(&self) -> bool {
        self.0.is_balance_check_disabled()
    }

    fn is_base_fee_check_disabled(&self) -> bool {
        self.0.is_base_fee_check_disabled()
    }

    fn is_priority_fee_check_disabled(&self) -> bool {
        self.0.is_priority_fee_check_disabled()
    }

    fn is_fee_charge_disabled(&self) -> bool {
        self.0.is_fee_charge_disabled()
    }

    fn is_eip7708_disabled(&self) -> bool {
        self.0.is_eip7708_disabled()
    }

    fn is_eip8246_delayed_clear_disabled(&self) -> bool {
        self.0.is_eip8246_delayed_clear_disabled()
    }

    fn memory_limit(&self) -> u64 {
        self.0.memory_limit()
    }

    fn gas_params(&self) -> &GasParams {
        self.0.gas_params()
    }

    fn is_amsterdam_eip8037_enabled(&self) -> bool {
        self.0.is_amsterdam_eip8037_enabled()
    }

    fn is_amsterdam_eip2780_enabled(&self) -> bool {
        self.0.is_amsterdam_eip2780_enabled()
    }
}
