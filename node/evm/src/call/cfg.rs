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
pub(crate) struct CallCfg {
    rules: CfgEnv,
    nonces: bool,
    base_fee: bool,
}

impl CallCfg {
    pub(crate) fn new(rules: CfgEnv) -> Self {
        Self {
            rules,
            nonces: false,
            base_fee: true,
        }
    }

    /// The same, with nonces looked at.
    pub(crate) fn with_nonces(mut self) -> Self {
        self.nonces = true;
        self
    }

    /// The same, without asking whether the base fee is paid.
    pub(crate) fn without_base_fee(mut self) -> Self {
        self.base_fee = false;
        self
    }
}

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
        !self.nonces
    }

    fn chain_id(&self) -> u64 {
        self.rules.chain_id()
    }

    fn tx_chain_id_check(&self) -> bool {
        self.rules.tx_chain_id_check()
    }

    fn spec(&self) -> SpecId {
        self.rules.spec
    }

    fn max_blobs_per_tx(&self) -> Option<u64> {
        self.rules.max_blobs_per_tx()
    }

    fn max_code_size(&self) -> usize {
        self.rules.max_code_size()
    }

    fn max_initcode_size(&self) -> usize {
        self.rules.max_initcode_size()
    }

    fn is_eip3541_disabled(&self) -> bool {
        self.rules.is_eip3541_disabled()
    }

    fn is_eip7623_disabled(&self) -> bool {
        self.rules.is_eip7623_disabled()
    }

    fn is_balance_check_disabled(&self) -> bool {
        self.rules.is_balance_check_disabled()
    }

    fn is_base_fee_check_disabled(&self) -> bool {
        !self.base_fee || self.rules.is_base_fee_check_disabled()
    }

    fn is_priority_fee_check_disabled(&self) -> bool {
        self.rules.is_priority_fee_check_disabled()
    }

    fn is_fee_charge_disabled(&self) -> bool {
        self.rules.is_fee_charge_disabled()
    }

    fn is_eip7708_disabled(&self) -> bool {
        self.rules.is_eip7708_disabled()
    }

    fn is_eip8246_delayed_clear_disabled(&self) -> bool {
        self.rules.is_eip8246_delayed_clear_disabled()
    }

    fn memory_limit(&self) -> u64 {
        self.rules.memory_limit()
    }

    fn gas_params(&self) -> &GasParams {
        self.rules.gas_params()
    }

    fn is_amsterdam_eip8037_enabled(&self) -> bool {
        self.rules.is_amsterdam_eip8037_enabled()
    }

    fn is_amsterdam_eip2780_enabled(&self) -> bool {
        self.rules.is_amsterdam_eip2780_enabled()
    }
}
