//! The bound on what a trace holds: everything that makes an answer grow is counted.

use alloy_primitives::{Address, Bytes};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::geth::GethDebugTracingOptions;
use pars_evm::{CallOptions, TraceError, TraceLimits};
use revm::bytecode::opcode as op;
use serde_json::{Value, json};

use crate::{
    chain::{Chain, cpu_engine},
    contracts::Code,
};

const TRACED: Address = Address::repeat_byte(0xd1);
/// Returns 8 KiB of zeros.
const LARGE: Address = Address::repeat_byte(0xd2);
const NOBODY: Address = Address::repeat_byte(0xd3);
/// Bytes of what is shown large.
const BYTES: u64 = 8_192;

fn repeated(mut code: Code, times: usize, part: impl Fn(Code) -> Code) -> Code {
    for _ in 0..times {
        code = part(code);
    }
    code
}

/// Calls `callee` with so many bytes of memory as input; leaves what it returns where it is.
fn call(code: Code, callee: Address, input: u64) -> Code {
    code.op(&[op::PUSH0, op::PUSH0])
        .push(input)
        .op(&[op::PUSH0, op::PUSH0])
        .push_address(callee)
        .op(&[op::GAS, op::CALL, op::POP])
}

/// The trace of a call of `code` within a bound, in JSON.
fn trace(code: &Bytes, options: &Value, bytes: usize) -> Result<String, TraceError> {
    let large = Code::new().push(BYTES).op(&[op::PUSH0, op::RETURN]).bytes();
    let accounts = [(TRACED, code.clone()), (LARGE, large)];
    let chain = Chain::with(cpu_engine(), Default::default(), accounts);
    let options: GethDebugTracingOptions = serde_json::from_value(options.clone()).unwrap();
    let limits = TraceLimits {
        bytes,
        ..TraceLimits::default()
    };
    let request = TransactionRequest {
        gas: Some(20_000_000),
        ..TransactionRequest::default().to(TRACED)
    };
    let trace = chain.executor.trace_call(
        &chain.store.head().header,
        chain.store.head_state().unwrap(),
        &request,
        &CallOptions::default(),
        options,
        limits,
    )?;
    Ok(serde_json::to_string(&trace).unwrap())
}

/// An answer needs at least its own length; each program is one whose answer is made long by one thing alone.
#[test]
fn an_answer_longer_than_the_bound_is_refused() {
    let nothing_to_see = json!({"disableStack": true, "disableStorage": true});
    let calls = json!({"tracer": "callTracer"});
    let logs = json!({"tracer": "callTracer", "tracerConfig": {"withLog": true}});
    let idle = |code: Code, times| repeated(code, times, |code| code.op(&[op::JUMPDEST]));
    let programs = [
        ("steps", idle(Code::new(), 2_000), nothing_to_see.clone()),
        (
            "stack",
            idle(
                repeated(Code::new(), 500, |code| code.op(&[op::PUSH0])),
                200,
            ),
            json!({"disableStorage": true}),
        ),
        (
            "memory",
            idle(
                Code::new().op(&[op::PUSH0]).push(BYTES).op(&[op::MSTORE]),
                50,
            ),
            json!({"disableStack": true, "enableMemory": true}),
        ),
        (
            "return data",
            idle(call(Code::new(), LARGE, 0), 50),
            json!({"disableStack": true, "enableReturnData": true}),
        ),
        (
            "storage",
            (0..120_u64).fold(Code::new(), |code, slot| code.push(slot).op(&[op::SLOAD])),
            json!({"disableStack": true}),
        ),
        (
            "logs",
            repeated(Code::new(), 20, |code| {
                code.push(BYTES).op(&[op::PUSH0, op::LOG0])
            }),
            logs,
        ),
        (
            "inputs",
            repeated(Code::new(), 20, |code| call(code, NOBODY, BYTES)),
            calls.clone(),
        ),
        (
            "outputs",
            repeated(Code::new(), 20, |code| call(code, LARGE, 0)),
            calls.clone(),
        ),
        (
            "init code",
            repeated(Code::new(), 20, |code| {
                code.push(BYTES)
                    .op(&[op::PUSH0, op::PUSH0, op::CREATE, op::POP])
            }),
            calls,
        ),
    ];
    for (what, code, options) in programs {
        let code = code.bytes();
        let answer = trace(&code, &options, usize::MAX).unwrap();
        let bound = answer.len() - 1;
        assert!(bound > 50_000, "{what}: {bound}");
        match trace(&code, &options, bound) {
            Err(TraceError::TooLarge(bytes)) => assert_eq!(bytes, bound),
            other => panic!("{what}, {bound} bytes: {other:?}"),
        }
    }
}

/// Each frame is counted, whatever is in it, and what it leaves behind.
#[test]
fn calls_and_self_destructions_are_counted() {
    let options = json!({"tracer": "callTracer"});
    let fits = |code: &Bytes, bytes| trace(code, &options, bytes).is_ok();
    let least = |code: Code| {
        let code = code.bytes();
        let (mut too_few, mut enough) = (0, 1 << 20);
        assert!(!fits(&code, too_few) && fits(&code, enough));
        while enough - too_few > 1 {
            let middle = too_few + (enough - too_few) / 2;
            *(if fits(&code, middle) {
                &mut enough
            } else {
                &mut too_few
            }) = middle;
        }
        enough
    };
    let alone = least(Code::new().op(&[op::STOP]));
    let calls = least(repeated(Code::new(), 10, |code| call(code, NOBODY, 0)));
    let gone = least(Code::new().push_address(NOBODY).op(&[op::SELFDESTRUCT]));
    // A frame in JSON has more than 200 bytes.
    assert!(calls >= alone + 10 * 200, "{alone} {calls}");
    assert!(gone >= alone + 200, "{alone} {gone}");
}
