//! State tests: one transaction on a given state.

use alloy_consensus::{
    Header, SignableTransaction as _, TxEnvelope, TxLegacy, transaction::Recovered,
};
use alloy_genesis::Genesis;
use alloy_primitives::{Signature, TxKind, keccak256};
use pars_evm::{Executor, decode_transaction};
use pars_store::{Store, Tip};
use serde_json::Value;

use crate::{
    json, refusals, spec,
    suite::{self, Files},
};

#[test]
fn state_tests() {
    let Some(folder) = suite::folder("evm") else {
        return;
    };
    for (title, name, start) in [
        ("state tests", "state_tests", ""),
        ("state tests of EIP-7610", "revm_limits", "state"),
    ] {
        if let Some(files) = Files::beginning(&folder.join(name), start) {
            suite::run(title, &files, check);
        }
    }
}

fn check(test: &Value) -> Result<(), String> {
    for (network, posts) in test["post"].as_object().unwrap() {
        if spec::fork_not_run(network).is_none() {
            check_fork(test, network, posts)?;
        }
    }
    Ok(())
}

fn check_fork(test: &Value, network: &str, posts: &Value) -> Result<(), String> {
    let env = &test["env"];
    let mut genesis = Genesis::default()
        .with_gas_limit(json::small(&env["currentGasLimit"]))
        .extend_accounts(json::alloc(&test["pre"]));
    genesis.config = spec::config(network, test);
    let spec = spec::spec(&genesis);
    let executors = [spec::executor(&spec), spec::rehearsing(&spec)];
    let store = Store::in_memory(&spec.genesis()).unwrap();
    let tip = store.tip().unwrap();
    let header = Header {
        parent_hash: tip.head().hash,
        ..header(env)
    };
    for post in posts.as_array().unwrap() {
        for executor in &executors {
            check_post(test, post, executor, &tip, &header)
                .map_err(|error| format!("{network} {}: {error}", post["indexes"]))?;
        }
    }
    Ok(())
}

/// The block that a test's transaction stands in.
fn header(env: &Value) -> Header {
    let optional = |key: &str| env[key].as_str().map(|_| json::small(&env[key]));
    Header {
        number: json::small(&env["currentNumber"]),
        timestamp: json::small(&env["currentTimestamp"]),
        gas_limit: json::small(&env["currentGasLimit"]),
        beneficiary: json::address(&env["currentCoinbase"]),
        difficulty: json::number(&env["currentDifficulty"]),
        mix_hash: env["currentRandom"]
            .as_str()
            .map(|_| json::number(&env["currentRandom"]).into())
            .unwrap_or_default(),
        base_fee_per_gas: optional("currentBaseFee"),
        excess_blob_gas: optional("currentExcessBlobGas"),
        ..Header::default()
    }
}

fn check_post(
    test: &Value,
    post: &Value,
    executor: &Executor,
    tip: &Tip,
    header: &Header,
) -> Result<(), String> {
    let root = json::hash(&post["hash"]);
    let applied = transaction(test, post, executor, header).and_then(|transaction| {
        executor
            .apply(tip, header, vec![transaction])
            .map_err(|error| error.to_string())
    });
    // The oldest files do not say that a transaction is refused: their state stays as it was.
    let unchanged = tip.head().header.state_root == root;
    let unsaid = post["txbytes"].is_null() && unchanged;
    let refusal = post["expectException"]
        .as_str()
        .or(unsaid.then_some("a reason that the file does not name"));
    match (applied, refusal) {
        (Ok(applied), None) => {
            if applied.state_root != root {
                return Err(format!("state root {}, not {root}", applied.state_root));
            }
            let logs = applied.receipts[0].logs().to_vec();
            if keccak256(alloy_rlp::encode(logs)) != json::hash(&post["logs"]) {
                return Err("other logs".to_owned());
            }
            Ok(())
        }
        (Err(error), Some(expected)) => {
            refusals::matches(expected, &error)?;
            // Nothing happened, so the state is still the one before.
            unchanged
                .then_some(())
                .ok_or_else(|| format!("the state before has another root than {root}"))
        }
        (Ok(_), Some(expected)) => Err(format!("taken, not refused: {expected}")),
        (Err(error), None) => Err(format!("refused: {error}")),
    }
}

/// The transaction of a case, signed, or, in the oldest files, put together from its parts.
fn transaction(
    test: &Value,
    post: &Value,
    executor: &Executor,
    header: &Header,
) -> Result<Recovered<TxEnvelope>, String> {
    let parts = &test["transaction"];
    if post["txbytes"].is_null() {
        let part = |key: &str, index: &str| {
            let index = post["indexes"][index].as_u64().unwrap();
            &parts[key][usize::try_from(index).unwrap()]
        };
        let transaction = TxLegacy {
            chain_id: None,
            nonce: json::small(&parts["nonce"]),
            gas_price: json::number(&parts["gasPrice"]).to(),
            gas_limit: json::small(part("gasLimit", "gas")),
            to: match parts["to"].as_str() {
                Some("") => TxKind::Create,
                _ => json::address(&parts["to"]).into(),
            },
            value: json::number(part("value", "value")),
            input: json::bytes(part("data", "data")),
        };
        let signed = transaction.into_signed(Signature::test_signature());
        let sender = json::address(&parts["sender"]);
        return Ok(Recovered::new_unchecked(signed.into(), sender));
    }
    let transaction = decode_transaction(&json::bytes(&post["txbytes"]))
        .map_err(|error| format!("transaction: {error}"))?;
    let senders = executor
        .senders_of(header, std::slice::from_ref(&transaction))
        .map_err(|error| format!("transaction: {error}"))?;
    Ok(Recovered::new_unchecked(transaction, senders[0]))
}
