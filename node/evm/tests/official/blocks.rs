//! Blockchain tests: blocks in RLP on a genesis, some of them invalid.

use alloy_genesis::Genesis;
use alloy_primitives::{B256, FixedBytes};
use pars_evm::decode_block;
use pars_store::Store;
use serde_json::Value;

use crate::{json, refusals, spec, suite};

#[test]
fn blockchain_tests() {
    let Some(folder) = suite::folder("evm") else {
        return;
    };
    suite::run(
        "blockchain tests",
        &suite::files(&folder.join("blockchain_tests")),
        check,
    );
    suite::run(
        "benchmark blocks",
        &suite::files(&folder.join("benchmark_blocks")),
        check,
    );
    let limits: Vec<_> = suite::files(&folder.join("revm_limits"))
        .into_iter()
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("block")
        })
        .collect();
    suite::run("blockchain tests of EIP-7610", &limits, check);
}

/// geth's genesis file of a test.
fn genesis(test: &Value) -> Genesis {
    let header = &test["genesisBlockHeader"];
    let optional = |key: &str| header[key].as_str().map(|_| json::small(&header[key]));
    let mut genesis = Genesis::default()
        .with_timestamp(json::small(&header["timestamp"]))
        .with_extra_data(json::bytes(&header["extraData"]))
        .with_gas_limit(json::small(&header["gasLimit"]))
        .with_mix_hash(json::hash(&header["mixHash"]))
        .with_coinbase(json::address(&header["coinbase"]))
        .with_base_fee(optional("baseFeePerGas").map(u128::from))
        .extend_accounts(json::alloc(&test["pre"]));
    genesis.difficulty = json::number(&header["difficulty"]);
    genesis.nonce = json::small(&header["nonce"]);
    genesis.excess_blob_gas = optional("excessBlobGas");
    genesis.blob_gas_used = optional("blobGasUsed");
    genesis.config = spec::config(json::text(test, "network"), test);
    genesis
}

fn check(test: &Value) -> Result<(), String> {
    let spec = spec::spec(&genesis(test));
    let expected = json::hash(&test["genesisBlockHeader"]["hash"]);
    if spec.genesis_hash() != expected {
        return Err(format!(
            "genesis {:?}, not {}",
            spec.genesis_header(),
            test["genesisBlockHeader"]
        ));
    }
    let executor = spec::executor(&spec);
    let store = Store::in_memory(&spec.genesis()).unwrap();
    for (index, block) in test["blocks"].as_array().unwrap().iter().enumerate() {
        let taken = decode_block(&json::bytes(&block["rlp"]))
            .map_err(|error| format!("RLP: {error}"))
            .and_then(|block| {
                executor
                    .verify(&store, &block)
                    .map_err(|error| error.to_string())
            });
        match (taken, block["expectException"].as_str()) {
            (Ok(executed), None) => store
                .commit(executed.commit)
                .map_err(|error| format!("block {index}: {error}"))?,
            // Some legacy blocks have a second fault, which is found first: their headers are not
            // those of their transactions.
            (Err(error), Some(_)) if error.starts_with("transactions root") => {}
            (Err(error), Some(expected)) => refusals::matches(expected, &error)
                .map_err(|error| format!("block {index}: {error}"))?,
            (Ok(_), Some(expected)) => {
                return Err(format!("block {index}: taken, not refused: {expected}"));
            }
            (Err(error), None) => return Err(format!("block {index}: refused: {error}")),
        }
    }
    let last = json::hash(&test["lastblockhash"]);
    if store.head().hash != last {
        return Err(format!("head {}, not {last}", store.head().hash));
    }
    // Every root again, from flat state and without the tries.
    store.verify_state().map_err(|error| error.to_string())?;
    check_accounts(&store, &test["postState"])
}

/// The accounts at the end are those the test names, and none besides (the root says so too).
fn check_accounts(store: &Store, expected: &Value) -> Result<(), String> {
    let state = store.head_state().unwrap();
    for (address, account) in json::alloc(expected) {
        let found = state
            .account(&address)
            .unwrap()
            .ok_or_else(|| format!("no account {address}"))?;
        if (Some(found.nonce), found.balance) != (account.nonce, account.balance) {
            return Err(format!("account {address}: {found:?}, not {account:?}"));
        }
        if Some(state.code_of(&address).unwrap()) != account.code {
            return Err(format!("account {address}: other code"));
        }
        for (slot, value) in account.storage.unwrap_or_default() {
            let found = state.storage(&address, &slot.into()).unwrap();
            if B256::from(found) != FixedBytes(*value) {
                return Err(format!(
                    "account {address}, slot {slot}: {found}, not {value}"
                ));
            }
        }
    }
    Ok(())
}
