//! The price of SSTORE at Constantinople (EIP-1283), which Petersburg took back (EIP-1716).

use alloy_consensus::Header;
use alloy_hardforks::EthereumHardforks as _;
use revm::{
    bytecode::opcode::SSTORE,
    context::CfgEnv,
    context_interface::cfg::gas_params::GasId,
    handler::instructions::EthInstructions,
    interpreter::{
        Host, Instruction, InstructionContext, InstructionExecResult, InstructionResult,
        InterpreterTypes, instructions::host::sstore_with_gas_accounting,
    },
    primitives::hardfork::SpecId,
};

use crate::spec::ChainSpec;

/// Gas of a store that changes nothing or a slot that was changed before, and the part of every
/// other one that is paid first.
const NO_OP: u64 = 200;
/// Gas of a store to an empty slot.
const SET: u64 = 20_000;
/// Gas of a store to any other slot.
const RESET: u64 = 5_000;

/// Gives `cfg` Constantinople's rules where the block that `header` describes has them. revm goes
/// from Byzantium to Petersburg, which differs from Constantinople in nothing else.
pub(crate) fn settle(cfg: &mut CfgEnv, spec: &ChainSpec, header: &Header) {
    let constantinople = spec.is_constantinople_active_at_block(header.number);
    if !constantinople || cfg.spec != SpecId::BYZANTIUM {
        return;
    }
    cfg.set_spec_and_mainnet_gas_params(SpecId::PETERSBURG);
    cfg.gas_params.override_gas([
        (GasId::sstore_static(), NO_OP),
        (GasId::sstore_set_without_load_cost(), SET - NO_OP),
        (GasId::sstore_set_refund(), SET - NO_OP),
        (GasId::sstore_reset_without_cold_load_cost(), RESET - NO_OP),
        (GasId::sstore_reset_refund(), RESET - NO_OP),
    ]);
}

/// Puts the SSTORE of these rules into `instructions`.
pub(crate) fn install<W: InterpreterTypes, H: Host>(
    instructions: &mut EthInstructions<W, H>,
    cfg: &CfgEnv,
) {
    if cfg.spec == SpecId::PETERSBURG && cfg.gas_params.sstore_static_gas() == NO_OP {
        instructions.insert_instruction(SSTORE, Instruction::new(sstore), 0);
    }
}

/// The arithmetic is that of EIP-2200, Istanbul's, without its least gas.
fn sstore<W: InterpreterTypes, H: Host>(
    context: InstructionContext<'_, H, W>,
) -> InstructionExecResult {
    sstore_with_gas_accounting(context, |context, _, stored| {
        let params = context.host.gas_params();
        let gas = params.sstore_dynamic_gas(true, &stored.data, stored.is_cold);
        let refund = params.sstore_refund(true, &stored.data);
        let interpreter = &mut context.interpreter;
        if !interpreter.gas.record_regular_cost(gas) {
            return Err(InstructionResult::OutOfGas);
        }
        interpreter.gas.record_refund(refund);
        Ok(())
    })
}
