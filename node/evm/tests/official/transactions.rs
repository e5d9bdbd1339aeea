//! Transaction tests: raw bytes that are a transaction, or are not, at each fork.

use alloy_consensus::{Header, Transaction as _, transaction::SignerRecoverable as _};
use alloy_genesis::{Genesis, GenesisAccount};
use alloy_primitives::U256;
use pars_evm::decode_transaction;
use pars_store::Store;
use serde_json::Value;

use crate::{json, spec, suite};

#[test]
fn transaction_tests() {
    let Some(folder) = suite::folder("evm/transaction_tests") else {
        return;
    };
    suite::run("transaction tests", &suite::files(&folder), check);
}

/// Only the newest fork counts: this node reads every kind of transaction at any fork and leaves
/// it to execution to refuse those that come too early.
fn check(test: &Value) -> Result<(), String> {
    let results = test["result"].as_object().unwrap();
    let (network, result) = results
        .iter()
        .max_by_key(|(name, _)| spec::position(name).unwrap())
        .unwrap();
    let taken = take(network, test);
    match (taken, result["exception"].as_str()) {
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
fn take(
    network: &str,
    test: &Value,
) -> Result<(alloy_primitives::B256, alloy_primitives::Address), String> {
    let transaction = decode_transaction(&json::bytes(&test["txbytes"]))
        .map_err(|error| error.to_string())?
        .try_into_recovered()
        .map_err(|error| error.to_string())?;
    let rich = GenesisAccount::default()
        .with_nonce(Some(transaction.nonce()))
        .with_balance(U256::MAX);
    let mut genesis = Genesis::default().extend_accounts([(transaction.signer(), rich)]);
    genesis.config = spec::config(network, test);
    let spec = spec::spec(&genesis);
    let store = Store::in_memory(&spec.genesis()).unwrap();
    let header = Header {
        number: 1,
        gas_limit: u64::MAX,
        base_fee_per_gas: Some(0),
        excess_blob_gas: Some(0),
        ..Header::default()
    };
    let taken = (*transaction.tx_hash(), transaction.signer());
    let applied = spec::executor(&spec).apply(&store.tip().unwrap(), &header, vec![transaction]);
    match applied.map_err(|error| error.to_string()) {
        // Nobody can own as much as some of these send: that says nothing of the bytes.
        Err(error) if !error.contains("insufficient funds") => Err(error),
        _ => Ok(taken),
    }
}
