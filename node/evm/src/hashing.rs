//! The instruction that hashes, by this project's own code for one message.

use alloy_primitives::{KECCAK256_EMPTY, U256};
use pars_kernels::keccak;
use revm::{
    bytecode::opcode::KECCAK256,
    handler::instructions::EthInstructions,
    interpreter::{
        Host, Instruction, InstructionContext, InstructionExecResult, InstructionResult,
        InterpreterTypes, gas,
        interpreter::resize_memory,
        interpreter_types::{MemoryTr as _, StackTr as _},
    },
};

/// Puts KECCAK256 into `instructions`.
pub(crate) fn install<W: InterpreterTypes, H: Host>(instructions: &mut EthInstructions<W, H>) {
    let price = u16::try_from(gas::KECCAK256).unwrap_or(u16::MAX);
    instructions.insert_instruction(KECCAK256, Instruction::new(keccak256), price);
}

/// As revm's, but for what computes the hash.
fn keccak256<W: InterpreterTypes, H: Host>(
    context: InstructionContext<'_, H, W>,
) -> InstructionExecResult {
    let interpreter = context.interpreter;
    let Some(([offset], top)) = interpreter.stack.popn_top() else {
        return Err(InstructionResult::StackUnderflow);
    };
    let length = size(*top)?;
    let params = context.host.gas_params();
    if !interpreter
        .gas
        .record_regular_cost(params.keccak256_cost(length))
    {
        return Err(InstructionResult::OutOfGas);
    }
    let hash = if length == 0 {
        KECCAK256_EMPTY
    } else {
        let offset = size(offset)?;
        let (gas, memory) = (&mut interpreter.gas, &mut interpreter.memory);
        resize_memory(gas, memory, params, offset, length)?;
        keccak::keccak256(&memory.slice_len(offset, length)).into()
    };
    *top = hash.into();
    Ok(())
}

/// A place or length in memory; there is none that large.
fn size(word: U256) -> Result<usize, InstructionResult> {
    usize::try_from(word).map_err(|_| InstructionResult::InvalidOperandOOG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, Bytes};
    use proptest::prelude::*;
    use revm::{
        Context, ExecuteEvm as _, MainBuilder as _, MainContext as _,
        context::{TxEnv, result::ResultAndState},
        database::{CacheDB, EmptyDB},
        state::{AccountInfo, Bytecode},
    };

    /// Fills some memory, hashes the part that the call names, and keeps the hash and the size of memory.
    const CODE: &[u8] = &[
        0x60, 0x40, 0x36, 0x03, 0x60, 0x40, 0x5f,
        0x37, // calldatacopy(0, 64, calldatasize - 64)
        0x60, 0x20, 0x35, 0x5f, 0x35, 0x20, // keccak256(calldata[0], calldata[32])
        0x5f, 0x55, // sstore(0, …)
        0x59, 0x60, 0x01, 0x55, // sstore(1, msize)
    ];

    fn ran(code: &[u8], ours: bool, input: &[u8], gas_limit: u64) -> ResultAndState {
        let contract = Address::repeat_byte(1);
        let code = Bytecode::new_raw(Bytes::copy_from_slice(code));
        let mut db = CacheDB::new(EmptyDB::default());
        let hash = code.hash_slow();
        db.insert_account_info(contract, AccountInfo::new(U256::ZERO, 1, hash, code));
        let mut evm = Context::mainnet().with_db(db).build_mainnet();
        if ours {
            install(&mut evm.instruction);
        }
        evm.transact(TxEnv {
            gas_limit,
            kind: contract.into(),
            data: Bytes::copy_from_slice(input),
            ..TxEnv::default()
        })
        .unwrap()
    }

    fn input(offset: U256, length: U256, memory: &[u8]) -> Vec<u8> {
        [
            &offset.to_be_bytes::<32>(),
            &length.to_be_bytes::<32>(),
            memory,
        ]
        .concat()
    }

    fn word() -> impl Strategy<Value = U256> {
        prop_oneof![
            6 => (0..700_u64).prop_map(U256::from),
            1 => (0..100_000_u64).prop_map(U256::from),
            1 => (0..9_u64).prop_map(|below| U256::from(u64::MAX) - U256::from(below)),
            1 => (0..9_u64).prop_map(|above| U256::from(u64::MAX) + U256::from(above)),
            1 => Just(U256::MAX),
        ]
    }

    proptest! {
        /// The same state, gas and reason to stop as revm's own instruction gives.
        #[test]
        fn as_revm_does_it(
            offset in word(),
            length in word(),
            memory in prop::collection::vec(any::<u8>(), 0..700),
            gas in prop_oneof![50_000..200_000_u64, Just(10_000_000)],
        ) {
            let input = input(offset, length, &memory);
            prop_assert_eq!(ran(CODE, true, &input, gas), ran(CODE, false, &input, gas));
        }
    }

    #[test]
    fn a_hash_is_kept() {
        let result = ran(
            CODE,
            true,
            &input(U256::from(1), U256::from(3), b"!abc"),
            200_000,
        );
        assert!(result.result.is_success(), "{:?}", result.result);
        let kept = result.state[&Address::repeat_byte(1)].storage[&U256::ZERO].present_value;
        assert_eq!(
            kept.to_be_bytes::<32>()[..],
            hex::decode("4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45")
                .unwrap()[..]
        );
    }

    #[test]
    fn a_stack_too_short() {
        for code in [&[0x20][..], &[0x5f, 0x20]] {
            assert_eq!(
                ran(code, true, &[], 100_000),
                ran(code, false, &[], 100_000)
            );
        }
    }
}
