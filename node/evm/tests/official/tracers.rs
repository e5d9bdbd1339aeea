//! geth's own fixtures of its tracers (go-ethereum, `eth/tracers/internal/tracetest/testdata`): a state, a
//! block's values, one transaction, and what the tracer answers.

use std::collections::BTreeMap;

use alloy_consensus::{Header, TxEnvelope, transaction::SignerRecoverable as _};
use alloy_eips::Decodable2718 as _;
use alloy_genesis::{ChainConfig, Genesis, GenesisAccount};
use alloy_primitives::{Address, B256, U256};
use alloy_rpc_types_trace::geth::GethDebugTracingOptions;
use pars_evm::{TraceLimits, decode_transaction};
use pars_store::{Block, Store};
use serde_json::{Map, Value, json};

use crate::{
    json as read, spec,
    suite::{self, Files},
};

/// The folders of the fixtures and the tracer of each. Those whose name ends in `legacy` are of tracers
/// written in JavaScript.
const FOLDERS: [(&str, &str); 6] = [
    ("call_tracer", "callTracer"),
    ("call_tracer_withLog", "callTracer"),
    ("call_tracer_flat", "flatCallTracer"),
    ("prestate_tracer", "prestateTracer"),
    ("prestate_tracer_with_diff_mode", "prestateTracer"),
    ("erc7562_tracer", "erc7562Tracer"),
];

#[test]
fn tracers() {
    let Some(folder) = suite::folder("evm/tracers") else {
        return;
    };
    let mut results = BTreeMap::new();
    for (name, tracer) in FOLDERS {
        let Some(files) = Files::beginning(&folder.join(name), "") else {
            continue;
        };
        for (file, fixture) in files.read() {
            results.insert(format!("{name}/{file}"), check(tracer, &fixture));
        }
    }
    suite::report("tracers", results);
}

fn check(tracer: &str, fixture: &Value) -> Result<(), String> {
    let got = trace(tracer, fixture)?;
    let wanted = &fixture["result"];
    let (got, wanted) = match tracer {
        "callTracer" => (got, frame(wanted)),
        "flatCallTracer" => (flat(&got), flat(wanted)),
        _ => (got, wanted.clone()),
    };
    if got == wanted {
        return Ok(());
    }
    let mut differences = Vec::new();
    compare("", &got, &wanted, &mut differences);
    Err(differences.join("; "))
}

/// A frame as geth's test reads it: members that it does not know are not compared.
fn frame(value: &Value) -> Value {
    const KNOWN: [&str; 11] = [
        "from",
        "gas",
        "gasUsed",
        "to",
        "input",
        "output",
        "error",
        "revertReason",
        "logs",
        "value",
        "type",
    ];
    let mut known = Map::new();
    for name in KNOWN {
        let empty = name == "output" && value[name] == "0x";
        if let Some(member) = value.get(name).filter(|_| !empty) {
            known.insert(name.to_owned(), member.clone());
        }
    }
    for log in known
        .get_mut("logs")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let log = log.as_object_mut().unwrap();
        for name in ["index", "position"] {
            log.entry(name).or_insert(json!("0x0"));
        }
    }
    if let Some(calls) = value["calls"].as_array() {
        known.insert("calls".to_owned(), calls.iter().map(frame).collect());
    }
    known.into()
}

/// A flat list as geth's test reads it: without the place of the transaction, and with what is empty as
/// what is absent.
fn flat(list: &Value) -> Value {
    const KNOWN: [&str; 6] = [
        "action",
        "error",
        "result",
        "subtraces",
        "traceAddress",
        "type",
    ];
    const EMPTY: [&str; 4] = [
        "",
        "0x",
        "0x0",
        "0x0000000000000000000000000000000000000000",
    ];
    let entry = |entry: &Value| -> Value {
        let mut known = Map::new();
        for name in KNOWN {
            let mut member = match (name, &entry[name]) {
                ("result", Value::Null) => json!({}),
                (_, member) => member.clone(),
            };
            if let Some(object) = member.as_object_mut() {
                object.retain(|_, value| !EMPTY.contains(&value.as_str().unwrap_or_default()));
            }
            known.insert(name.to_owned(), member);
        }
        known.into()
    };
    list.as_array().unwrap().iter().map(entry).collect()
}

fn compare(at: &str, got: &Value, wanted: &Value, differences: &mut Vec<String>) {
    match (got, wanted) {
        (Value::Object(one), Value::Object(other)) => {
            let names: std::collections::BTreeSet<_> = one.keys().chain(other.keys()).collect();
            for name in names {
                compare(
                    &format!("{at}.{name}"),
                    &got[name],
                    &wanted[name],
                    differences,
                );
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (got, wanted)) in one.iter().zip(other).enumerate() {
                compare(&format!("{at}[{index}]"), got, wanted, differences);
            }
        }
        _ if got == wanted => {}
        _ => {
            let short = |value: &Value| -> String { value.to_string().chars().take(120).collect() };
            differences.push(format!("{at} is {}, not {}", short(got), short(wanted)));
        }
    }
}

/// What the tracer answers.
fn trace(tracer: &str, fixture: &Value) -> Result<Value, String> {
    let spec = spec::spec(&genesis(&fixture["genesis"]));
    let executor = spec::executor(&spec);
    let store = Store::in_memory(&spec.genesis()).map_err(|error| error.to_string())?;
    let raw = read::bytes(&fixture["input"]);
    let transaction = TxEnvelope::decode_2718(&mut &raw[..])
        .or_else(|_| decode_transaction(&raw))
        .map_err(|error| error.to_string())?;
    let sender = transaction
        .recover_signer()
        .map_err(|error| error.to_string())?;
    let hash = *transaction.tx_hash();
    let block = Block::seal(header(fixture), vec![transaction], vec![sender]);
    let options: GethDebugTracingOptions =
        serde_json::from_value(json!({"tracer": tracer, "tracerConfig": fixture["tracerConfig"]}))
            .unwrap();
    let parent = store.head_state().unwrap();
    let mut traced = executor
        .trace_block(parent, &block, None, options, TraceLimits::default())
        .map_err(|error| error.to_string())?;
    assert_eq!((traced.len(), traced[0].hash), (1, hash));
    Ok(serde_json::to_value(traced.remove(0).trace).unwrap())
}

/// The chain and the state before the transaction, as block 0 of it.
fn genesis(genesis: &Value) -> Genesis {
    // Go reads names in any case: one of these files has one in another.
    let config = genesis["config"].as_object().unwrap().iter();
    let config = config.map(|(name, value)| {
        let (first, rest) = name.split_at(1);
        (format!("{}{rest}", first.to_lowercase()), value.clone())
    });
    let mut config: ChainConfig = serde_json::from_value(config.collect()).unwrap();
    if config
        .terminal_total_difficulty
        .is_some_and(|terminal| !terminal.is_zero())
    {
        // None of these blocks is so late.
        config.merge_netsplit_block = Some(u64::MAX);
    }
    let accounts = genesis["alloc"].as_object().unwrap().iter();
    let alloc = accounts.map(|(address, account)| {
        let number = |name: &str| match &account[name] {
            Value::Number(number) => U256::from(number.as_u64().unwrap()),
            Value::Null => U256::ZERO,
            text => read::number(text),
        };
        let slots = account["storage"].as_object().into_iter().flatten();
        let storage = slots
            .map(|(slot, value)| {
                let slot = read::number(&Value::from(slot.as_str()));
                (B256::from(slot), B256::from(read::number(value)))
            })
            .collect();
        let mut genesis = GenesisAccount::default()
            .with_nonce(Some(number("nonce").to()))
            .with_balance(number("balance"))
            .with_storage(Some(storage));
        if account["code"].is_string() {
            genesis.code = Some(read::bytes(&account["code"]));
        }
        (address.parse::<Address>().unwrap(), genesis)
    });
    let mut made = Genesis::default()
        .with_gas_limit(read::small(&genesis["gasLimit"]))
        .extend_accounts(alloc);
    made.config = config;
    made
}

/// The block of the transaction.
fn header(fixture: &Value) -> Header {
    let (genesis, context) = (&fixture["genesis"], &fixture["context"]);
    let merged = genesis["config"]["terminalTotalDifficulty"] == 0;
    let blobs = genesis["config"]["cancunTime"].is_number();
    Header {
        number: read::small(&context["number"]),
        timestamp: read::small(&context["timestamp"]),
        gas_limit: read::small(&context["gasLimit"]),
        beneficiary: read::address(&context["miner"]),
        difficulty: if merged {
            U256::ZERO
        } else {
            read::number(&context["difficulty"])
        },
        base_fee_per_gas: context["baseFeePerGas"]
            .is_string()
            .then(|| read::small(&context["baseFeePerGas"])),
        mix_hash: if merged && genesis["mixHash"].is_string() {
            read::hash(&genesis["mixHash"])
        } else {
            B256::ZERO
        },
        excess_blob_gas: blobs.then_some(0),
        blob_gas_used: blobs.then_some(0),
        parent_beacon_block_root: blobs.then_some(B256::ZERO),
        ..Header::default()
    }
}
