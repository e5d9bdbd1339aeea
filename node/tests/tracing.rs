//! geth's tracers over RPC: what each answers, what is refused, and where they stop.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use alloy_primitives::{Address, Bytes, address, hex};
use serde_json::{Value, json};
use support::*;

const CALLED: Address = address!("00000000000000000000000000000000000000c1");
const FORWARDER: Address = address!("00000000000000000000000000000000000000c2");
const ENDLESS: Address = address!("00000000000000000000000000000000000000c3");

/// Calls the account in the first word of its input with four bytes, and stops.
const FORWARD: &[u8] = &[
    0x63, 0xab, 0xcd, 0xef, 0x01, 0x60, 0, 0x52, // MSTORE(0, abcdef01)
    0x60, 0, 0x60, 0, 0x60, 4, 0x60, 28, 0x60, 0, // out 0..0, in 28..32, value 0
    0x60, 0, 0x35, 0x5a, 0xf1, 0x00, // CALL(GAS, CALLDATALOAD(0), ...), STOP
];

/// Runs until it is stopped: keeps pushing words to memory.
const FOREVER: &[u8] = &[0x5b, 0x60, 1, 0x59, 0x52, 0x60, 0, 0x56];

fn traced(rpc: Rpc, tracer: &str, settings: Value) -> Value {
    let mut options = json!({"tracer": tracer, "tracerConfig": settings});
    options["stateOverrides"] = overrides();
    let request = json!({"from": Wallet::development(0).address, "to": FORWARDER, "input": CALLED.into_word()});
    rpc.call("debug_traceCall", json!([request, "latest", options]))
}

fn overrides() -> Value {
    json!({
        CALLED.to_string(): {"code": Bytes::from(logger())},
        FORWARDER.to_string(): {"code": hex::encode_prefixed(FORWARD)},
        ENDLESS.to_string(): {"code": hex::encode_prefixed(FOREVER)},
    })
}

#[test]
fn a_mined_transaction_is_traced_as_it_ran() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        // Two in a row: the second is traced on the state after the first.
        let created = rpc.mine(&alice.sign(create(0, deploy(&logger()))));
        let contract: Address = serde_json::from_value(created["contractAddress"].clone()).unwrap();
        let first = alice.sign(call(1, contract, Bytes::new()));
        let second = alice.sign(call(2, contract, Bytes::new()));
        let first = rpc.send(&first);
        let receipt = rpc.mine(&second);
        let hash = receipt["transactionHash"].clone();
        let trace = rpc.call("debug_traceTransaction", json!([hash]));
        assert_eq!(trace["failed"], false);
        assert_eq!(trace["gas"], number(&receipt["gasUsed"]));
        let steps = trace["structLogs"].as_array().unwrap();
        let names: Vec<_> = steps
            .iter()
            .map(|step| step["op"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "PUSH1", "PUSH1", "SSTORE", "PUSH32", "PUSH1", "PUSH1", "LOG1", "PUSH32", "PUSH1",
                "PUSH1", "LOG1", "STOP"
            ]
        );
        assert_eq!(steps[2]["stack"], json!(["0x2a", "0x0"]));
        // The slot holds its value already: a warm no-op after the cold access.
        assert_eq!(steps[2]["gasCost"], 2_200);
        assert_eq!(
            steps[2]["storage"],
            json!({topic(0).to_string(): topic(42)})
        );
        for pair in steps.windows(2) {
            let number = |value: &Value| value.as_u64().unwrap();
            assert_eq!(
                number(&pair[0]["gas"]) - number(&pair[0]["gasCost"]),
                number(&pair[1]["gas"])
            );
        }
        let whole = rpc.call(
            "debug_traceBlockByHash",
            json!([receipt["blockHash"], {"tracer": "callTracer"}]),
        );
        let same = rpc.call(
            "debug_traceBlockByNumber",
            json!([receipt["blockNumber"], {"tracer": "callTracer"}]),
        );
        assert_eq!(whole, same);
        let entry = whole.as_array().unwrap().last().unwrap();
        assert_eq!(entry["txHash"], hash);
        assert_eq!(entry["result"]["gasUsed"], receipt["gasUsed"]);
        // The first one changed the slot.
        let before = rpc.call(
            "debug_traceTransaction",
            json!([first, {"tracer": "prestateTracer", "tracerConfig": {"diffMode": true}}]),
        );
        let address = contract.to_string().to_lowercase();
        assert!(before["pre"][&address].is_object(), "{before}");
        assert_eq!(
            before["post"][&address]["storage"][topic(0).to_string()],
            json!(topic(42))
        );
    });
}

#[test]
fn every_tracer_has_geths_shape() {
    with_node(config(), |rpc| {
        let called = json!(CALLED);
        let calls = traced(rpc, "callTracer", Value::Null);
        assert_eq!(calls["type"], "CALL");
        assert_eq!(calls["to"], json!(FORWARDER));
        assert_eq!(calls["calls"][0]["to"], called);
        assert_eq!(calls["calls"][0]["input"], "0xabcdef01");
        assert_eq!(calls["calls"][0].get("logs"), None);
        let with_logs = traced(rpc, "callTracer", json!({"withLog": true}));
        let logs = with_logs["calls"][0]["logs"].as_array().unwrap();
        assert_eq!(logs.len(), 2);
        assert_eq!(logs[1]["topics"], json!([topic(2)]));
        let top = traced(rpc, "callTracer", json!({"onlyTopCall": true}));
        assert_eq!(top.get("calls"), None);

        let before = traced(rpc, "prestateTracer", Value::Null);
        let key = CALLED.to_string().to_lowercase();
        assert!(before[&key]["code"].is_string(), "{before}");
        let change = traced(rpc, "prestateTracer", json!({"diffMode": true}));
        assert_eq!(
            change["post"][&key]["storage"][topic(0).to_string()],
            json!(topic(42))
        );

        let selectors = traced(rpc, "4byteTracer", Value::Null);
        assert_eq!(selectors["0xabcdef01-0"], 1);
        assert_eq!(traced(rpc, "noopTracer", Value::Null), json!({}));
        let flat = traced(rpc, "flatCallTracer", Value::Null);
        assert_eq!(flat[1]["traceAddress"], json!([0]));
        let both = traced(
            rpc,
            "muxTracer",
            json!({"callTracer": {"withLog": true}, "prestateTracer": null, "4byteTracer": {}}),
        );
        assert_eq!(both["callTracer"], with_logs);
        assert_eq!(both["prestateTracer"], before);
        assert_eq!(both["4byteTracer"], selectors);
    });
}

#[test]
fn the_struct_loggers_options_are_geths() {
    with_node(config(), |rpc| {
        let steps = |options: Value| {
            let mut options = options;
            options["stateOverrides"] = overrides();
            let request = json!({"to": FORWARDER, "input": CALLED.into_word()});
            let trace = rpc.call("debug_traceCall", json!([request, "latest", options]));
            trace["structLogs"].as_array().unwrap().clone()
        };
        let all = steps(json!({}));
        assert!(all.iter().all(|step| step["stack"].is_array()));
        assert!(all.iter().all(|step| step.get("memory").is_none()));
        assert!(all.iter().any(|step| step["depth"] == 2));
        assert!(all.iter().any(|step| step.get("storage").is_some()));
        let bare = steps(json!({"disableStack": true, "disableStorage": true}));
        assert_eq!(bare.len(), all.len());
        for member in ["stack", "storage"] {
            assert!(bare.iter().all(|step| step.get(member).is_none()));
        }
        let memory = steps(json!({"enableMemory": true, "enableReturnData": true}));
        assert_eq!(
            memory[2 + 1]["memory"],
            json!([format!("{:#066x}", 0xabcd_ef01_u32)])
        );
        assert_eq!(steps(json!({"limit": 5})), all[..5]);
    });
}

#[test]
fn what_cannot_be_traced_is_refused() {
    with_node(config(), |rpc| {
        let refused = |options: Value| {
            let mut options = options;
            options["stateOverrides"] = overrides();
            rpc.refused(
                "debug_traceCall",
                json!([{"to": ENDLESS}, "latest", options]),
            )
        };
        let (code, text) = refused(json!({"tracer": "bestTracer"}));
        assert_eq!(code, -32000);
        assert!(text.starts_with("tracer not found: bestTracer"), "{text}");
        let (code, text) = refused(json!({"tracer": "{result: function() {}}"}));
        assert_eq!(code, -32000);
        assert!(text.contains("JavaScript"), "{text}");
        let (code, text) = refused(json!({"tracer": "callTracer", "timeout": "soon"}));
        assert_eq!((code, text.contains("invalid duration")), (-32000, true));
        let (code, text) = refused(json!({"tracer": "callTracer", "timeout": "1ns"}));
        assert_eq!((code, text.as_str()), (-32000, "execution timeout"));
        // 50 M gas of instructions, each with all of the memory: stopped long before the end.
        let (code, text) = refused(json!({"enableMemory": true}));
        assert_eq!(code, -32005);
        assert!(text.contains("bytes"), "{text}");

        let refused = |method: &str, params: Value| rpc.refused(method, params);
        assert_eq!(
            refused("debug_traceTransaction", json!([topic(1)])),
            (-32000, "transaction not found".to_owned())
        );
        assert_eq!(
            refused("debug_traceBlockByNumber", json!(["0x9"])),
            (-32000, "block #9 not found".to_owned())
        );
        assert_eq!(
            refused("debug_traceBlockByNumber", json!(["0x0"])),
            (-32000, "genesis is not traceable".to_owned())
        );
        assert_eq!(
            refused("debug_traceBlockByHash", json!([topic(1)])).0,
            -32000
        );
        assert_eq!(
            refused("debug_traceBlockByNumber", json!(["pending"])).1,
            "tracing on top of pending is not supported"
        );
        assert_eq!(refused("debug_traceCall", json!([{}])).0, -32602);
        assert_eq!(refused("debug_traceTransaction", json!([])).0, -32602);
    });
}

#[test]
fn a_call_may_stand_between_two_transactions() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        let receipt = rpc.mine(&alice.transfer(0, SOMEONE, 5));
        let at = |options: Value| {
            // BALANCE of SOMEONE, returned.
            let code = [&hex!("73")[..], SOMEONE.as_slice(), &hex!("315f5260205ff3")].concat();
            let mut options = options;
            options["stateOverrides"] = json!({CALLED.to_string(): {"code": Bytes::from(code)}});
            let block = receipt["blockNumber"].clone();
            rpc.ask("debug_traceCall", json!([{"to": CALLED}, block, options]))
        };
        let word = |value: u64| format!("{:#066x}", value);
        assert_eq!(at(json!({}))["result"]["returnValue"], word(5));
        assert_eq!(
            at(json!({"txIndex": "0x0"}))["result"]["returnValue"],
            word(0)
        );
        assert_eq!(
            at(json!({"txIndex": "0x1"}))["result"]["returnValue"],
            word(5)
        );
        assert_eq!(at(json!({"txIndex": "0x2"}))["error"]["code"], -32000);
    });
}
