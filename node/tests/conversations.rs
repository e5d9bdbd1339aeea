//! Recorded JSON-RPC conversations of another client, after importing the chain they were held on
//! (ethereum/execution-apis). The chain goes through every fork from Homestead to BPO2.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use alloy_genesis::Genesis;
use pars_engine::{Engine, GpuPolicy};
use pars_evm::{ChainSpec, Executor};
use pars_node::chainfile;
use pars_node::{NodeConfig, Pace};
use pars_store::Store;
use serde_json::{Value, json};
use support::{Rpc, number, with_node};

/// Conversations that do not come out as recorded: (folder or file, reason).
const EXCEPTIONS: &[(&str, &str)] = &[(
    "eth_sendRawTransaction/send-blob-tx",
    "blob transactions (type 3) are refused: there is no layer that would keep the blobs",
)];

fn folder() -> Option<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = std::env::var_os("PARS_VECTORS")
        .map(PathBuf::from)
        .into_iter()
        .chain([
            PathBuf::from("../shared/vectors"),
            manifest.join("../../shared/vectors"),
        ])
        .map(|path| path.join("evm/rpc"))
        .find(|path| path.is_dir());
    if found.is_none() {
        println!("no official conversations here; set PARS_VECTORS to the folder of vectors");
    }
    found
}

fn spec(folder: &Path) -> ChainSpec {
    let file = std::fs::read(folder.join("genesis.json")).unwrap();
    let genesis: Genesis = serde_json::from_slice(&file).unwrap();
    ChainSpec::from_genesis(&genesis).unwrap()
}

fn engine() -> Engine {
    Engine::builder().gpu(GpuPolicy::Off).build().unwrap()
}

/// A chain file with each of its blocks twice.
fn each_twice(mut file: &[u8]) -> Vec<u8> {
    let mut twice = Vec::new();
    while !file.is_empty() {
        let mut rest = file;
        let header = alloy_rlp::Header::decode(&mut rest).unwrap();
        let (block, rest) = file.split_at(file.len() - rest.len() + header.payload_length);
        twice.extend([block, block].concat());
        file = rest;
    }
    twice
}

#[test]
fn an_exported_chain_is_the_imported_file() {
    let Some(folder) = folder() else { return };
    let spec = Arc::new(spec(&folder));
    let store = Store::in_memory(&spec.genesis()).unwrap();
    let executor = Executor::new(Arc::clone(&spec), engine());
    let file = folder.join("chain.rlp");
    let mut reports = 0;
    let done = chainfile::import(&file, &executor, &store, |_| reports += 1).unwrap();
    assert_eq!((done.blocks, done.known, reports), (54, 0, 54));
    assert_eq!(
        store.head().hash.to_string(),
        "0xd226371d0b1551adb03fb52b71f08e3e11247fe9b1af994768af8cdaa8e7dcd7"
    );
    store.verify_state().unwrap();
    // A second time there is nothing to do.
    let again = chainfile::import(&file, &executor, &store, |_| {}).unwrap();
    assert_eq!((again.blocks, again.known), (0, 54));

    // A block that comes again is known at once, while it is still being stored.
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy.rlp");
    std::fs::write(&copy, each_twice(&std::fs::read(&file).unwrap())).unwrap();
    let other = Store::in_memory(&spec.genesis()).unwrap();
    let twice = chainfile::import(&copy, &executor, &other, |_| {}).unwrap();
    assert_eq!((twice.blocks, twice.known), (54, 54));
    assert_eq!(other.head().hash, store.head().hash);

    chainfile::export(&copy, &store, 1, 54, |_| {}).unwrap();
    assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read(&file).unwrap());
    let error = chainfile::export(&copy, &store, 50, 55, |_| {}).unwrap_err();
    assert!(
        error.to_string().starts_with("block 55 is not in"),
        "{error}"
    );
}

#[test]
fn the_commands_import_and_export() {
    let Some(folder) = folder() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (data, copy) = (dir.path().join("data"), dir.path().join("copy.rlp"));
    let genesis = folder.join("genesis.json");
    let file = folder.join("chain.rlp");
    let parsd = |command: &str, file: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_parsd"))
            .arg(command)
            .args([Path::new("--genesis"), &genesis])
            .args([Path::new("--data-dir"), &data])
            .arg(file)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text, error)
    };
    let (code, text, _) = parsd("import", &file);
    assert_eq!(code, Some(0));
    assert!(
        text.contains("54 blocks imported, 0 known before"),
        "{text}"
    );
    let (code, text, _) = parsd("export", &copy);
    assert_eq!(code, Some(0));
    assert!(text.contains("54 blocks"), "{text}");
    assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read(&file).unwrap());
    let (code, _, error) = parsd("import", &genesis);
    assert_eq!(code, Some(1));
    assert!(error.contains("begins no block"), "{error}");
}

#[test]
fn damaged_chain_files_are_refused_where_the_damage_is() {
    let Some(folder) = folder() else { return };
    let spec = Arc::new(spec(&folder));
    let executor = Executor::new(Arc::clone(&spec), engine());
    let good = std::fs::read(folder.join("chain.rlp")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chain.rlp");
    for (bytes, blocks, words) in [
        (good[..good.len() - 1].to_vec(), 53, "cut off"),
        ([&good[..], b"x"].concat(), 54, "no RLP list"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let store = Store::in_memory(&spec.genesis()).unwrap();
        let error = chainfile::import(&path, &executor, &store, |_| {}).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(store.head_number(), blocks);
    }
    // A bit in the middle belongs to some block; those before it are taken.
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&path, bad).unwrap();
    let store = Store::in_memory(&spec.genesis()).unwrap();
    assert!(chainfile::import(&path, &executor, &store, |_| {}).is_err());
    assert!((1..54).contains(&store.head_number()));
}

#[test]
fn recorded_conversations() {
    let Some(folder) = folder() else { return };
    let conversations = folder.clone();
    with_chain(&folder, move |rpc| {
        let mut results = BTreeMap::new();
        for method in sorted(&conversations) {
            for file in sorted(&method) {
                let name = format!("{}/{}", stem(&method), stem(&file));
                results.insert(name, replay(rpc, &std::fs::read_to_string(file).unwrap()));
            }
        }
        report(results);
    });
}

#[test]
fn every_transaction_of_the_chain_is_traced_to_the_gas_of_its_receipt() {
    let Some(folder) = folder() else { return };
    with_chain(&folder, |rpc| {
        let (mut transactions, mut steps) = (0, 0);
        for block in 1..=54 {
            let block = format!("{block:#x}");
            let traces =
                |tracer: Value| rpc.call("debug_traceBlockByNumber", json!([block, tracer]));
            let receipts = rpc.call("eth_getBlockReceipts", json!([block]));
            let logs = traces(json!({"disableStorage": true}));
            let calls = traces(json!({"tracer": "callTracer", "tracerConfig": {"withLog": true}}));
            let lists = [&receipts, &logs, &calls].map(|list| list.as_array().unwrap());
            assert_eq!([lists[0].len(); 2], [lists[1].len(), lists[2].len()]);
            for ((receipt, log), call) in lists[0].iter().zip(lists[1]).zip(lists[2]) {
                let hash = &receipt["transactionHash"];
                assert_eq!(hash, &log["txHash"]);
                assert_eq!(hash, &call["txHash"]);
                let (log, call) = (&log["result"], &call["result"]);
                assert_eq!(log["gas"], number(&receipt["gasUsed"]), "{hash}");
                assert_eq!(call["gasUsed"], receipt["gasUsed"], "{hash}");
                if receipt.get("status").is_some() {
                    assert_eq!(log["failed"], receipt["status"] == "0x0", "{hash}");
                }
                assert_eq!(
                    logs_of(call),
                    receipt["logs"].as_array().unwrap().len(),
                    "{hash}"
                );
                steps += check_steps(log["structLogs"].as_array().unwrap());
                transactions += 1;
            }
        }
        println!("traced: {transactions} transactions, {steps} instructions");
        assert!(transactions > 0 && steps > 0);
    });
}

#[test]
fn the_rules_of_the_chain_are_those_of_its_newest_fork() {
    let Some(folder) = folder() else { return };
    let file = std::fs::read_to_string(folder.join("forkenv.json")).unwrap();
    let forks: Value = serde_json::from_str(&file).unwrap();
    with_chain(&folder, move |rpc| {
        let named = |name: &str| forks[name].as_str().unwrap().parse::<u64>().unwrap();
        let rules = rpc.call("eth_config", json!([]));
        let current = &rules["current"];
        assert_eq!(current["activationTime"], named("HIVE_BPO2_TIMESTAMP"));
        let blobs = &current["blobSchedule"];
        for (member, name) in [
            ("max", "HIVE_BPO2_BLOB_MAX"),
            ("target", "HIVE_BPO2_BLOB_TARGET"),
            (
                "baseFeeUpdateFraction",
                "HIVE_BPO2_BLOB_BASE_FEE_UPDATE_FRACTION",
            ),
        ] {
            assert_eq!(blobs[member], named(name), "{member}");
        }
        assert_eq!(current["precompiles"].as_object().unwrap().len(), 18);
        assert_eq!(current["systemContracts"].as_object().unwrap().len(), 5);
        assert_eq!(current["forkId"].as_str().unwrap().len(), 10);
        assert_eq!(rules["next"], Value::Null);
    });
}

/// Logs in a call and those below it.
fn logs_of(call: &Value) -> usize {
    let list = |name: &str| call[name].as_array().cloned().unwrap_or_default();
    list("logs").len() + list("calls").iter().map(logs_of).sum::<usize>()
}

/// Within one frame each instruction begins with the gas that the one before it left.
fn check_steps(steps: &[Value]) -> usize {
    for pair in steps.windows(2) {
        let number = |step: &Value, name: &str| step[name].as_u64().unwrap();
        let same_frame = number(&pair[0], "depth") == number(&pair[1], "depth");
        let calls = ["CALL", "CREATE", "STATICCALL", "DELEGATECALL", "CALLCODE"];
        let op = pair[0]["op"].as_str().unwrap();
        if same_frame && !calls.iter().any(|call| op.starts_with(call)) {
            assert_eq!(
                number(&pair[0], "gas") - number(&pair[0], "gasCost"),
                number(&pair[1], "gas"),
                "{pair:?}"
            );
        }
    }
    steps.len()
}

/// Runs `test` against a node that holds the recorded chain and does not change it.
fn with_chain(folder: &Path, test: impl FnOnce(Rpc) + Send + 'static) {
    let spec = spec(folder);
    let dir = tempfile::tempdir().unwrap();
    {
        // The node keeps its chain in this folder of its data directory.
        let chain = dir.path().join("chain");
        let store = Store::open(&chain, &spec.genesis()).unwrap();
        let executor = Executor::new(Arc::new(spec.clone()), engine());
        chainfile::import(&folder.join("chain.rlp"), &executor, &store, |_| {}).unwrap();
    }
    let mut config = NodeConfig::new(spec);
    config.rpc.testing = true;
    config.data_dir = Some(dir.path().to_owned());
    config.rpc.address.set_port(0);
    config.engine.gpu = GpuPolicy::Off;
    config.producer.pace = Pace::Every(Duration::from_secs(86_400));
    with_node(config, test);
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    if !folder.is_dir() {
        return Vec::new();
    }
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|end| end == "io"))
        .collect();
    paths.sort();
    paths
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn report(results: BTreeMap<String, Result<(), String>>) {
    let (mut passed, mut excepted) = (0, 0);
    let mut failed = Vec::new();
    for (name, result) in results {
        let reason = EXCEPTIONS.iter().find(|(start, _)| name.starts_with(start));
        match (result, reason) {
            (Ok(()), None) => passed += 1,
            (Ok(()), Some(_)) => failed.push(format!("{name}: is excepted, but passes")),
            (Err(_), Some(_)) => excepted += 1,
            (Err(error), None) => failed.push(format!("{name}: {error}")),
        }
    }
    println!(
        "recorded conversations: {passed} passed, {} failed, {excepted} excepted",
        failed.len()
    );
    for (name, reason) in EXCEPTIONS {
        println!("  excepted {name}: {reason}");
    }
    for failure in &failed {
        println!("  FAILED {failure}");
    }
    assert!(failed.is_empty(), "{} failed", failed.len());
    assert!(passed > 0);
}

/// Sends what was sent and compares what comes back with what came.
fn replay(rpc: Rpc, conversation: &str) -> Result<(), String> {
    // The traces are those of the same implementation whose tracers these are: they are compared
    // whole, steps, stacks and gas.
    let only_shape = conversation.lines().any(|line| line.contains("speconly"))
        && !conversation.contains("debug_trace");
    let mut sent = None;
    for line in conversation.lines() {
        if let Some(request) = line.strip_prefix(">> ") {
            sent = Some(request);
        } else if let Some(expected) = line.strip_prefix("<< ") {
            let (_, answer) = rpc.post(sent.take().unwrap().as_bytes());
            let answer: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
            let expected: Value = serde_json::from_str(expected).unwrap();
            match (answer.get("error"), expected.get("error")) {
                (None, None) => {
                    compare("result", &answer["result"], &expected["result"], only_shape)?;
                }
                (Some(error), Some(wanted)) => {
                    // The texts are no part of the specification; tools match on them all the same.
                    if error != wanted {
                        return Err(format!("{error}, not {wanted}"));
                    }
                }
                (Some(error), None) => return Err(format!("refused: {error}")),
                (None, Some(wanted)) => {
                    let result = answer["result"].to_string();
                    let start: String = result.chars().take(200).collect();
                    return Err(format!("answered {start}, not refused: {wanted}"));
                }
            }
        }
    }
    Ok(())
}

/// Members that the schema lets an answer leave out, and that say how another node is set up.
const OPTIONAL: [&str; 1] = ["deleteStrategy"];

/// Equality, or sameness of shape: the same members and kinds of values.
fn compare(at: &str, got: &Value, wanted: &Value, only_shape: bool) -> Result<(), String> {
    match (got, wanted) {
        (Value::Object(got), Value::Object(wanted)) => {
            for key in got.keys().chain(wanted.keys()) {
                let at = format!("{at}.{key}");
                match (got.get(key), wanted.get(key)) {
                    (Some(got), Some(wanted)) => compare(&at, got, wanted, only_shape)?,
                    _ if only_shape && OPTIONAL.contains(&key.as_str()) => {}
                    (Some(got), None) => return Err(format!("{at} is {got}, not absent")),
                    (None, Some(wanted)) => return Err(format!("{at} is absent, not {wanted}")),
                    (None, None) => {}
                }
            }
            Ok(())
        }
        (Value::Array(got), Value::Array(wanted)) => {
            if !only_shape && got.len() != wanted.len() {
                return Err(format!(
                    "{at} has {} items, not {}",
                    got.len(),
                    wanted.len()
                ));
            }
            got.iter()
                .zip(wanted)
                .enumerate()
                .try_for_each(|(index, (got, wanted))| {
                    compare(&format!("{at}[{index}]"), got, wanted, only_shape)
                })
        }
        _ if only_shape => (std::mem::discriminant(got) == std::mem::discriminant(wanted))
            .then_some(())
            .ok_or_else(|| format!("{at} is {got}, of another kind than {wanted}")),
        _ => (got == wanted)
            .then_some(())
            .ok_or_else(|| format!("{at} is {got}, not {wanted}")),
    }
}
