//! The bound on what a trace holds: everything that makes an answer grow is counted.

use alloy_primitives::{Address, Bytes};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::geth::GethDebugTracingOptions;
use pars_evm::{CallOptions, Trace, TraceError, TraceLimits};
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
    let limits = TraceLimits {
        bytes,
        ..TraceLimits::default()
    };
    let trace = trace_on(&chain, 20_000_000, options, limits)?;
    Ok(serde_json::to_string(&trace).unwrap())
}

/// The trace of a call with so much gas.
fn trace_on(
    chain: &Chain,
    gas: u64,
    options: &Value,
    limits: TraceLimits,
) -> Result<Trace, TraceError> {
    let options: GethDebugTracingOptions = serde_json::from_value(options.clone()).unwrap();
    let request = TransactionRequest {
        gas: Some(gas),
        ..TransactionRequest::default().to(TRACED)
    };
    chain.executor.trace_call(
        &chain.store.head().header,
        chain.store.head_state().unwrap(),
        &request,
        &CallOptions::default(),
        options,
        limits,
    )
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

/// What geth shows of calls that fail, of a contract that destroys itself and of one that cannot pay for its
/// code, and how a list tells the same.
#[test]
fn frames_tell_how_they_ended() {
    let gone = Address::repeat_byte(0xd4);
    let wrong = Address::repeat_byte(0xd5);
    let blake2f = Address::with_last_byte(9);
    // Init code that returns 24,000 zeros: 4.8 million gas to keep them.
    let large = Code::new()
        .push(24_000)
        .op(&[op::PUSH0, op::RETURN])
        .bytes();
    let large: &[u8; 5] = large.as_ref().try_into().unwrap();
    let mut word = [0; 8];
    word[3..].copy_from_slice(large);
    let create = call(Code::new(), gone, 0)
        .push(u64::from_be_bytes(word))
        .op(&[op::PUSH0, op::MSTORE])
        .push(5)
        .push(27)
        .op(&[op::PUSH0, op::CREATE]);
    let code = call(call(create, wrong, 0), blake2f, 5).bytes();
    let accounts = [
        (TRACED, code),
        (
            gone,
            Code::new()
                .push_address(NOBODY)
                .op(&[op::SELFDESTRUCT])
                .bytes(),
        ),
        (wrong, Bytes::from_static(&[op::PUSH0, op::ADD])),
    ];
    let chain = Chain::with(cpu_engine(), Default::default(), accounts);
    let traced = |options: Value| {
        let trace = trace_on(&chain, 4_000_000, &options, TraceLimits::default());
        serde_json::to_value(trace.unwrap()).unwrap()
    };
    let top = traced(json!({"tracer": "callTracer"}));
    let calls = top["calls"].as_array().unwrap();
    let errors: Vec<_> = calls.iter().map(|call| call["error"].as_str()).collect();
    assert_eq!(
        errors,
        [
            None,
            Some("contract creation code storage out of gas"),
            Some("stack underflow (1 <=> 2)"),
            Some("invalid input length"),
        ]
    );
    assert_eq!(
        calls[0]["calls"],
        json!([{
            "type": "SELFDESTRUCT", "from": gone, "to": NOBODY, "value": "0x0",
            "gas": "0x0", "gasUsed": "0x0", "input": "0x",
        }])
    );
    // What fails takes all of its gas, and a creation that does has made no contract.
    for call in &calls[1..] {
        assert_eq!(call["gasUsed"], call["gas"]);
    }
    assert_eq!(calls[1].get("to"), None);

    let list = traced(json!({"tracer": "flatCallTracer"}));
    let told: Vec<_> = list.as_array().unwrap().iter().collect();
    let places: Vec<_> = told
        .iter()
        .map(|entry| entry["traceAddress"].clone())
        .collect();
    // The precompile is left out.
    assert_eq!(
        places,
        [json!([]), json!([0]), json!([0, 0]), json!([1]), json!([2])]
    );
    assert_eq!(told[0]["subtraces"], 3);
    assert_eq!(told[0]["result"]["gasUsed"], top["gasUsed"]);
    assert_eq!(told[2]["type"], "suicide");
    assert_eq!(
        told[2]["action"],
        json!({"address": gone, "balance": "0x0", "refundAddress": NOBODY})
    );
    assert_eq!(told[4]["error"], "stack underflow (1 <=> 2)");
    assert_eq!(told[4].get("result"), None);
    let settings = json!({"convertParityErrors": true, "includePrecompiles": true});
    let list = traced(json!({"tracer": "flatCallTracer", "tracerConfig": settings}));
    let errors: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["error"].as_str())
        .collect();
    assert_eq!(
        errors[3..],
        [
            Some("Out of gas"),
            Some("Stack underflow"),
            Some("Built-in failed")
        ]
    );
    assert_eq!(list[5]["action"]["to"], json!(blake2f));
}

/// Accounts as geth shows them: each that was looked at and is not empty, code with its hash, and what changes.
#[test]
fn accounts_are_told_as_they_were_and_as_they_are() {
    // Slot 1 is read, slot 2 written; the balance of an account that is not there is asked for.
    let code = Code::new()
        .push(1)
        .op(&[op::SLOAD, op::POP])
        .push(7)
        .push(2)
        .op(&[op::SSTORE])
        .push_address(NOBODY)
        .op(&[op::BALANCE, op::STOP])
        .bytes();
    let answer = |settings: Value| {
        let options = json!({"tracer": "prestateTracer", "tracerConfig": settings});
        let answer = trace(&code, &options, usize::MAX).unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    let key = format!("{TRACED:#x}");
    let slot = |number: u64| format!("{number:#066x}");
    let hash = alloy_primitives::keccak256(&code);
    let before = answer(Value::Null);
    let told = json!({
        "balance": "0x0", "nonce": 1, "code": code, "codeHash": hash,
        "storage": {slot(1): slot(0), slot(2): slot(0)},
    });
    assert_eq!(before[&key], told, "{before}");
    let nobody = format!("{NOBODY:#x}");
    assert_eq!(before.get(&nobody), None);
    assert_eq!(
        answer(json!({"includeEmpty": true}))[&nobody],
        json!({"balance": "0x0"})
    );
    let short = answer(json!({"disableCode": true, "disableStorage": true}));
    assert_eq!(
        short[&key],
        json!({"balance": "0x0", "nonce": 1, "codeHash": hash})
    );
    let change = answer(json!({"diffMode": true}));
    assert_eq!(change["post"][&key], json!({"storage": {slot(2): slot(7)}}));
    assert_eq!(
        change["pre"][&key],
        json!({"balance": "0x0", "nonce": 1, "code": code, "codeHash": hash})
    );
    let both = json!({"diffMode": true, "includeEmpty": true});
    let options = json!({"tracer": "prestateTracer", "tracerConfig": both});
    let refused = trace(&code, &options, usize::MAX).unwrap_err();
    assert_eq!(refused.to_string(), "cannot use diffMode with includeEmpty");
}
