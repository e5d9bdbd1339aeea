//! Why a frame or an instruction failed, in geth's words.

use alloy_primitives::Address;
use revm::{bytecode::opcode::OpCode, interpreter::InstructionResult};

/// Deepest stack there is.
const STACK_LIMIT: usize = 1_024;

/// What is said of a precompile that failed, where no more is known.
const PRECOMPILE: &str = "precompiled failed";

/// An instruction and the number of items on the stack before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instruction {
    pub(crate) opcode: u8,
    pub(crate) stack: usize,
}

/// The name of an opcode, as geth prints it.
pub(super) fn opcode_name(opcode: u8) -> String {
    OpCode::new(opcode).map_or_else(
        || format!("opcode {opcode:#x} not defined"),
        |known| known.as_str().to_owned(),
    )
}

/// The error of a frame that ended so, at `last` if it ran any code; geth's `core/vm/errors.go`.
pub(crate) fn text(result: InstructionResult, last: Option<Instruction>) -> String {
    use InstructionResult as R;
    let text = match result {
        R::Revert => "execution reverted",
        R::OutOfGas | R::MemoryOOG | R::MemoryLimitOOG | R::PrecompileOOG => "out of gas",
        R::InvalidOperandOOG => "gas uint64 overflow",
        R::ReentrancySentryOOG => "out of gas: not enough gas for reentrancy sentry",
        R::OutOfFunds | R::OverflowPayment => "insufficient balance for transfer",
        R::CallTooDeep => "max call depth exceeded",
        R::CreateCollision => "contract address collision",
        R::CreateContractSizeLimit => "max code size exceeded",
        R::CreateInitCodeSizeLimit => "max initcode size exceeded",
        R::CreateContractStartingWithEF => "invalid code: must not begin with 0xef",
        R::NonceOverflow => "nonce uint64 overflow",
        R::InvalidJump => "invalid jump destination",
        R::OutOfOffset => "return data out of bounds",
        R::StateChangeDuringStaticCall | R::CallNotAllowedInsideStatic => "write protection",
        R::PrecompileError => PRECOMPILE,
        R::StackOverflow => {
            return format!("stack limit reached {STACK_LIMIT} ({})", STACK_LIMIT - 1);
        }
        R::StackUnderflow => {
            let (have, want) = last.map_or((0, 0), |last| {
                let inputs = OpCode::new(last.opcode).map_or(0, |known| known.inputs());
                (last.stack, inputs)
            });
            return format!("stack underflow ({have} <=> {want})");
        }
        R::OpcodeNotFound | R::NotActivated | R::InvalidFEOpcode => {
            let name = last.map(|last| opcode_name(last.opcode));
            return format!("invalid opcode: {}", name.unwrap_or_default());
        }
        other => return format!("{other:?}"),
    };
    text.to_owned()
}

/// The error of a precompile that refused `length` bytes of input; geth's `core/vm/contracts.go`. Of points
/// that are none no more is said.
pub(super) fn of_precompile(address: Address, length: usize) -> &'static str {
    const BLAKE2F: usize = 213;
    const INPUT: &str = "invalid input length";
    let [zeros @ .., number] = address.into_array();
    if zeros != [0; 19] {
        return PRECOMPILE;
    }
    let list_of = |part: usize| length > 0 && length.is_multiple_of(part);
    let right = match number {
        0x08 if !length.is_multiple_of(192) => return "bad elliptic curve pairing size",
        0x09 if length == BLAKE2F => return "invalid final flag",
        0x09 => false,
        0x0a => length == 192,
        // BLS12-381: sums, sums of multiples, pairing, maps.
        0x0b => length == 256,
        0x0c => list_of(160),
        0x0d => length == 512,
        0x0e => list_of(288),
        0x0f => list_of(384),
        0x10 => length == 64,
        0x11 => length == 128,
        _ => true,
    };
    if right { PRECOMPILE } else { INPUT }
}

/// Whether geth refuses an instruction for this reason before it executes it.
pub(super) fn before_execution(result: InstructionResult) -> bool {
    use InstructionResult as R;
    matches!(
        result,
        R::OutOfGas
            | R::MemoryOOG
            | R::MemoryLimitOOG
            | R::InvalidOperandOOG
            | R::ReentrancySentryOOG
            | R::StackUnderflow
            | R::StackOverflow
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use revm::bytecode::opcode as op;

    #[test]
    fn precompiles_tell_of_inputs_too_short_or_too_long() {
        let of = |last, length| of_precompile(Address::with_last_byte(last), length);
        assert_eq!(of(9, 212), "invalid input length");
        assert_eq!(of(9, 213), "invalid final flag");
        assert_eq!(of(8, 193), "bad elliptic curve pairing size");
        assert_eq!(of(8, 384), PRECOMPILE);
        assert_eq!(of(0x0c, 0), "invalid input length");
        assert_eq!(of(0x0c, 320), PRECOMPILE);
        assert_eq!(of_precompile(Address::repeat_byte(9), 212), PRECOMPILE);
    }

    #[test]
    fn instructions_are_named_where_they_are_to_blame() {
        let at = |opcode, stack| Some(Instruction { opcode, stack });
        for (result, last, words) in [
            (
                InstructionResult::StackUnderflow,
                at(op::ADD, 1),
                "stack underflow (1 <=> 2)",
            ),
            (
                InstructionResult::StackUnderflow,
                at(op::SWAP1, 1),
                "stack underflow (1 <=> 2)",
            ),
            (
                InstructionResult::StackUnderflow,
                at(op::DUP3, 2),
                "stack underflow (2 <=> 3)",
            ),
            (
                InstructionResult::StackOverflow,
                at(op::PUSH1, 1_024),
                "stack limit reached 1024 (1023)",
            ),
            (
                InstructionResult::OpcodeNotFound,
                at(0x21, 0),
                "invalid opcode: opcode 0x21 not defined",
            ),
            (
                InstructionResult::InvalidFEOpcode,
                at(op::INVALID, 0),
                "invalid opcode: INVALID",
            ),
            (
                InstructionResult::NotActivated,
                at(op::PUSH0, 0),
                "invalid opcode: PUSH0",
            ),
            (InstructionResult::OutOfGas, at(op::ADD, 2), "out of gas"),
        ] {
            assert_eq!(text(result, last), words);
        }
    }
}
