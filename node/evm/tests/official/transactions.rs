//! Transaction tests: raw bytes that are a transaction, or are not, at each fork.

use alloy_consensus::{Header, Transaction as _, transaction::Recovered};
use alloy_genesis::{Genesis, GenesisAccount};
use alloy_primitives::{Address, B256, U256};
use pars_evm::decode_transaction;
use pars_store::Store;
use serde_json::Value;

use crate::{
    json, spec,
    suite::{self, Files},
};

#[test]
fn transaction_tests() {
    let Some(folder) = suite::folder("evm/transaction_tests") else {
        return;
    };
    suite::run("transaction tests", &Files::of(&folder), check);
}

fn check(test: &Value) -> Result<(), String> {
    for (network, result) in test["result"].as_object().unwrap() {
        if spec::fork_not_run(network).is_none() {
            check_fork(test, network, result).map_err(|error| format!("{network}: {error}"))?;
        }
    }
    Ok(())
}

fn check_fork(test: &Value, network: &str, result: &Value) -> Result<(), String> {
    match (take(network, test), result["exception"].as_str()) {
        (Ok((hash, sender)), None) => {
            if hash != json::hash(&result["hash"]) || sender != json::address(&result["sender"]) {
                return Err(format!("hash {hash}, sender {sender}, not {result}"));
            }
            Ok(())
        }
        (Err(_), Some(_)) => Ok(()),
        (Ok(_), Some(expected)) => Err(format!("taken, not refused: {expected}")),
        (Err(error), None) => Err(format!("refused: {error}")),
    }
}

/// Decodes, recovers and executes the transaction for the richest of senders.
fn take(network: &str, test: &Value) -> Result<(B256, Address), String> {
    let transaction =
        decode_transaction(&json::bytes(&test["txbytes"])).map_err(|error| error.to_string())?;
    let header = Header {
        number: 1,
        gas_limit: u64::MAX,
        base_fee_per_gas: Some(0),
        excess_blob_gas: Some(0),
        ..Header::default()
    };
    let genesis = Genesis {
        config: spec::config(network, test),
        ..Genesis::default()
    };
    let sender = spec::executor(&spec::spec(&genesis))
        .senders_of(&header, std::slice::from_ref(&transaction))
        .map_err(|error| error.to_string())?[0];
    let rich = GenesisAccount::default()
        .with_nonce(Some(transaction.nonce()))
        .with_balance(U256::MAX);
    let spec = spec::spec(&genesis.extend_accounts([(sender, rich)]));
    let store = Store::in_memory(&spec.genesis()).unwrap();
    let taken = (*transaction.tx_hash(), sender);
    let applied = spec::executor(&spec).apply(
        &store.tip().unwrap(),
        &header,
        vec![Recovered::new_unchecked(transaction, sender)],
    );
    match applied.map_err(|error| error.to_string()) {
        // Nobody can own as much as some of these send: that says nothing of the bytes.
        Err(error) if !error.contains("insufficient funds") => Err(error),
        _ => Ok(taken),
    }
}
