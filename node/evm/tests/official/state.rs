//! State tests: one transaction on a given state.

use alloy_consensus::{Header, transaction::SignerRecoverable as _};
use alloy_genesis::Genesis;
use alloy_primitives::keccak256;
use pars_evm::decode_transaction;
use pars_store::Store;
use serde_json::Value;

use crate::{json, refusals, spec, suite};

#[test]
fn state_tests() {
    let Some(folder) = suite::folder("evm") else {
        return;
    };
    suite::run(
        "state tests",
        &suite::files(&folder.join("state_tests")),
        check,
    );
    let limits: Vec<_> = suite::files(&folder.join("revm_limits"))
        .into_iter()
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("state")
        })
        .collect();
    suite::run("state tests of EIP-7610", &limits, check);
}

fn check(test: &Value) -> Result<(), String> {
    for (network, posts) in test["post"].as_object().unwrap() {
        let env = &test["env"];
        let time = json::small(&env["currentTimestamp"]);
        let mut genesis = Genesis::default()
            .with_gas_limit(json::small(&env["currentGasLimit"]))
            .extend_accounts(json::alloc(&test["pre"]));
        genesis.config = spec::config(network, test);
        let spec = spec::spec(&genesis);
        let executor = spec::executor(&spec);
        let store = Store::in_memory(&spec.genesis()).unwrap();
        let tip = store.tip().unwrap();
        let header = Header {
            parent_hash: tip.head().hash,
            number: json::small(&env["currentNumber"]),
            timestamp: time,
            gas_limit: json::small(&env["currentGasLimit"]),
            beneficiary: json::address(&env["currentCoinbase"]),
            difficulty: json::number(&env["currentDifficulty"]),
            mix_hash: env["currentRandom"]
                .as_str()
                .map(|_| json::number(&env["currentRandom"]).into())
                .unwrap_or_default(),
            base_fee_per_gas: env["currentBaseFee"]
                .as_str()
                .map(|_| json::small(&env["currentBaseFee"])),
            excess_blob_gas: env["currentExcessBlobGas"]
                .as_str()
                .map(|_| json::small(&env["currentExcessBlobGas"])),
            ..Header::default()
        };
        for post in posts.as_array().unwrap() {
            let applied = decode_transaction(&json::bytes(&post["txbytes"]))
                .map_err(|error| format!("transaction: {error}"))
                .and_then(|transaction| {
                    transaction
                        .try_into_recovered()
                        .map_err(|_| "transaction: no signer".to_owned())
                })
                .and_then(|transaction| {
                    executor
                        .apply(&tip, &header, vec![transaction])
                        .map_err(|error| error.to_string())
                });
            match (applied, post["expectException"].as_str()) {
                (Ok(applied), None) => {
                    let root = json::hash(&post["hash"]);
                    if applied.state_root != root {
                        return Err(format!("state root {}, not {root}", applied.state_root));
                    }
                    let logs = applied.receipts[0].logs().to_vec();
                    if keccak256(alloy_rlp::encode(logs)) != json::hash(&post["logs"]) {
                        return Err("other logs".to_owned());
                    }
                }
                (Err(error), Some(expected)) => {
                    refusals::matches(expected, &error)?;
                    // Nothing happened, so the state is still the one before.
                    let root = json::hash(&post["hash"]);
                    if tip.head().header.state_root != root {
                        return Err(format!("the state before has another root than {root}"));
                    }
                }
                (Ok(_), Some(expected)) => return Err(format!("taken, not refused: {expected}")),
                (Err(error), None) => return Err(format!("refused: {error}")),
            }
        }
    }
    Ok(())
}
