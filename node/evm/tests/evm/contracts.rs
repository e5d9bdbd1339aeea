//! Contracts of the tests, assembled by hand; the assembly is the source.

use alloy_primitives::{Address, Bytes, U256};
use revm::bytecode::opcode as op;

/// Bytecode under construction.
#[derive(Clone, Default)]
pub struct Code(pub Vec<u8>);

impl Code {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn op(mut self, opcodes: &[u8]) -> Self {
        self.0.extend(opcodes);
        self
    }

    /// The shortest PUSH of a number.
    pub fn push(mut self, value: impl TryInto<U256, Error: core::fmt::Debug>) -> Self {
        let bytes = value.try_into().unwrap().to_be_bytes_trimmed_vec();
        self.0.push(op::PUSH0 + u8::try_from(bytes.len()).unwrap());
        self.0.extend(bytes);
        self
    }

    pub fn push_address(mut self, address: Address) -> Self {
        self.0.push(op::PUSH20);
        self.0.extend(address);
        self
    }

    pub fn bytes(self) -> Bytes {
        self.0.into()
    }
}

/// Init code that deploys `runtime`.
pub fn deploy(runtime: &Code) -> Bytes {
    let length = u64::try_from(runtime.0.len()).unwrap();
    // PUSH2 length, PUSH1 offset, PUSH0, CODECOPY, PUSH2 length, PUSH0, RETURN
    let push2 = |value: u64| {
        let [.., high, low] = value.to_be_bytes();
        [op::PUSH2, high, low]
    };
    let mut code = Vec::new();
    code.extend(push2(length));
    code.extend([op::PUSH1, 12, op::PUSH0, op::CODECOPY]);
    code.extend(push2(length));
    code.extend([op::PUSH0, op::RETURN]);
    assert_eq!(code.len(), 12);
    code.extend(&runtime.0);
    code.into()
}

/// Adds one to slot 0, logs the new value under topic 0xc0 and returns it.
pub fn counter() -> Code {
    Code::new()
        .op(&[op::PUSH0, op::SLOAD])
        .push(1)
        .op(&[
            op::ADD,
            op::DUP1,
            op::PUSH0,
            op::SSTORE,
            op::PUSH0,
            op::MSTORE,
        ])
        .push(0xc0)
        .push(32)
        .op(&[op::PUSH0, op::LOG1])
        .push(32)
        .op(&[op::PUSH0, op::RETURN])
}

/// Reverts with its calldata.
pub fn echo_revert() -> Code {
    Code::new().op(&[
        op::CALLDATASIZE,
        op::PUSH0,
        op::PUSH0,
        op::CALLDATACOPY,
        op::CALLDATASIZE,
        op::PUSH0,
        op::REVERT,
    ])
}

/// Never ends.
pub fn endless() -> Code {
    Code::new().op(&[op::JUMPDEST, op::PUSH0, op::JUMP])
}

/// Calls `callee` with all it has (63/64) and reverts if that fails.
pub fn must_call(callee: Address) -> Code {
    Code::new()
        .op(&[op::PUSH0; 5])
        .push_address(callee)
        .op(&[op::GAS, op::CALL])
        // Jump over the revert on success.
        .op(&[op::PUSH1, 34, op::JUMPI, op::PUSH0, op::PUSH0, op::REVERT])
        .op(&[op::JUMPDEST, op::STOP])
}

/// Writes `slots` new slots: what must_call's callee spends its gas on.
pub fn writer(slots: u8) -> Code {
    let mut code = Code::new();
    for slot in 1..=slots {
        code = code.push(slot).push(slot).op(&[op::SSTORE]);
    }
    code.op(&[op::STOP])
}

/// Hands its calldata to `callee` by STATICCALL, reverts with its data if that fails; otherwise
/// adds the returned word to slot 0 and logs it.
pub fn forwarder(callee: Address) -> Code {
    Code::new()
        .op(&[op::CALLDATASIZE, op::PUSH0, op::PUSH0, op::CALLDATACOPY])
        .push(32)
        .op(&[op::PUSH0, op::CALLDATASIZE, op::PUSH0])
        .push_address(callee)
        .op(&[op::GAS, op::STATICCALL])
        .op(&[op::PUSH1, 42, op::JUMPI])
        .op(&[op::RETURNDATASIZE, op::PUSH0, op::PUSH0, op::RETURNDATACOPY])
        .op(&[op::RETURNDATASIZE, op::PUSH0, op::REVERT])
        .op(&[
            op::JUMPDEST,
            op::PUSH0,
            op::MLOAD,
            op::PUSH0,
            op::SLOAD,
            op::ADD,
        ])
        .op(&[op::PUSH0, op::SSTORE])
        .push(32)
        .op(&[op::PUSH0, op::LOG0])
        .push(32)
        .op(&[op::PUSH0, op::RETURN])
}

/// Hands its calldata to `callee` by STATICCALL and returns all it returns.
pub fn relay(callee: Address) -> Code {
    Code::new()
        .op(&[op::CALLDATASIZE, op::PUSH0, op::PUSH0, op::CALLDATACOPY])
        .op(&[op::PUSH0, op::PUSH0, op::CALLDATASIZE, op::PUSH0])
        .push_address(callee)
        .op(&[op::GAS, op::STATICCALL, op::POP])
        .op(&[op::RETURNDATASIZE, op::PUSH0, op::PUSH0, op::RETURNDATACOPY])
        .op(&[op::RETURNDATASIZE, op::PUSH0, op::RETURN])
}

#[test]
fn jumps_land_on_their_targets() {
    for (code, target) in [
        (must_call(Address::ZERO), 34),
        (forwarder(Address::ZERO), 42),
    ] {
        assert_eq!(code.0[target], op::JUMPDEST, "{:02x?}", code.0);
        let push = code
            .0
            .windows(3)
            .position(|w| w[0] == op::PUSH1 && w[2] == op::JUMPI)
            .unwrap();
        assert_eq!(usize::from(code.0[push + 1]), target);
    }
}
