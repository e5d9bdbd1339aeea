//! One thin path through the whole house: transactions that ask the ML-DSA precompile, all questions
//! of a block in one batch of the engine, and the same block whichever back end answered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    env, thread,
    time::{Duration, Instant},
};

use alloy_primitives::Bytes;
use pars_tests::{
    node::{DevNode, data_dir},
    official::{Case, MLDSA},
    rpc::Rpc,
    wallet::Wallet,
};
use serde_json::{Value, json};

/// Wrong signatures beside the valid one, each a question of its own.
const WRONG: usize = 23;

/// Call data of the questions and their official answers.
fn questions() -> Vec<(Bytes, bool)> {
    let valid = Case::embedded();
    // Every region of a signature: challenge, response, hints.
    let wrong = (0..WRONG).map(|index| {
        (
            valid
                .clone()
                .tampered_at(index * 3308 / (WRONG - 1))
                .call_data(),
            false,
        )
    });
    std::iter::once((valid.call_data(), true))
        .chain(wrong)
        .collect()
}

/// What one node made of the questions: roots of the block, and the receipts' gas.
#[derive(Debug, PartialEq)]
struct Outcome {
    state_root: Value,
    receipts_root: Value,
    transactions_root: Value,
    gas: Vec<Value>,
}

/// Puts all questions into one block of a fresh node.
fn one_block(node: &mut DevNode) -> Outcome {
    let mut rpc = node.rpc();
    let questions = questions();
    let wallet = Wallet::development(0);
    let signed: Vec<_> = questions
        .iter()
        .zip(0..)
        .map(|((data, _), nonce)| wallet.call(nonce, MLDSA, data.clone(), 600_000))
        .collect();
    // The first nonce last: until then none of them can be mined, then all can.
    for transaction in signed.iter().rev() {
        rpc.send(&transaction.raw).expect("a question");
    }
    let receipts: Vec<_> = signed
        .iter()
        .map(|transaction| rpc.wait_for_receipt(transaction.hash))
        .collect();
    for receipt in &receipts {
        assert_eq!(receipt["status"], "0x1");
        assert_eq!(receipt["blockNumber"], "0x1", "all in one block");
    }
    let stats = rpc.call("pars_engineStats", json!([]));
    println!("{stats:#}");
    let blocks = &stats["blocks"];
    assert_eq!(
        blocks["largestBatch"],
        questions.len(),
        "one batch for the block"
    );
    assert_eq!(
        blocks["memoMisses"], 0,
        "no question was left for the execution to ask"
    );
    assert_eq!(stats["mismatches"], 0);

    // The verdicts themselves, asked again on their own.
    for (data, verdict) in questions {
        let answer = rpc.call("eth_call", json!([{"to": MLDSA, "data": data}, "latest"]));
        assert_eq!(answer, format!("0x{:064x}", u8::from(verdict)));
    }
    let block = rpc.call("eth_getBlockByNumber", json!(["0x1", false]));
    Outcome {
        state_root: block["stateRoot"].clone(),
        receipts_root: block["receiptsRoot"].clone(),
        transactions_root: block["transactionsRoot"].clone(),
        gas: receipts
            .iter()
            .map(|receipt| receipt["gasUsed"].clone())
            .collect(),
    }
}

/// Waits until the engine has looked at every adapter.
fn wait_for_adapters(rpc: &mut Rpc) -> Value {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let devices = rpc.call("pars_engineDevices", json!([]));
        if devices["starting"] == false {
            return devices;
        }
        assert!(
            Instant::now() < end,
            "the engine is still starting: {devices}"
        );
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_block_is_the_same_on_the_cpu_and_on_any_adapter() {
    let data = data_dir();
    let mut cpu = DevNode::start_with(
        &data.path().join("cpu"),
        &["--gpu", "off", "--heartbeat", "0"],
    );
    let on_cpu = one_block(&mut cpu);
    cpu.assert_healthy();

    let mut any = DevNode::start_with(
        &data.path().join("any"),
        &["--gpu", "any", "--heartbeat", "0"],
    );
    let devices = wait_for_adapters(&mut any.rpc());
    println!("{devices:#}");
    let found = devices["adapters"]
        .as_array()
        .is_some_and(|adapters| !adapters.is_empty());
    if !found {
        let text = "there is no adapter, not even a software one; scripts/test installs one";
        assert!(env::var_os("PARS_REQUIRE_GPU_TESTS").is_none(), "{text}");
        println!("{text}");
    }
    let on_any = one_block(&mut any);
    any.assert_healthy();
    assert_eq!(on_any, on_cpu);
}
