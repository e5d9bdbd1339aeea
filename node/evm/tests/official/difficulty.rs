//! Difficulty tests: the difficulty of a block by its parent's, at each fork.

use alloy_consensus::{Header, constants::EMPTY_OMMER_ROOT_HASH};
use alloy_genesis::Genesis;
use alloy_primitives::B256;
use serde_json::{Value, json};

use crate::{
    json, spec,
    suite::{self, Files},
};

#[test]
fn difficulty_tests() {
    for (network, number, parent, time, uncles, expected) in FEW {
        let case = json!({
            "currentBlockNumber": number, "parentDifficulty": parent, "parentTimestamp": "0x00",
            "currentTimestamp": time, "parentUncles": uncles, "currentDifficulty": expected,
        });
        check_case(network, &case).unwrap();
    }
    let Some(folder) = suite::folder("evm") else {
        return;
    };
    if let Some(files) = Files::beginning(&folder.join("difficulty_tests"), "") {
        suite::run("difficulty tests", &files, check);
    }
}

/// A few cases of ethereum/tests, `DifficultyTests`: fork, block, parent's difficulty, seconds after
/// the parent, whether the parent has uncles, difficulty.
const FEW: [(&str, &str, &str, &str, &str, &str); 4] = [
    (
        "ArrowGlacier",
        "0xd228c8",
        "0x2509b471781d98",
        "0x01",
        "0x00",
        "0x250e55b8064c9b",
    ),
    (
        "ArrowGlacier",
        "0xe4e1c0",
        "0x223a2d17232652",
        "0x09",
        "0x00",
        "0x223c2d17232652",
    ),
    (
        "GrayGlacier",
        "0xe5a510",
        "0x2509b471781d98",
        "0x01",
        "0x00",
        "0x250e59a8064c9b",
    ),
    (
        "GrayGlacier",
        "0xef9020",
        "0x223a2d17232652",
        "0x08",
        "0x00",
        "0x2240745cc60ab6",
    ),
];

fn check(test: &Value) -> Result<(), String> {
    let networks = test.as_object().unwrap().iter();
    for (network, cases) in networks.filter(|(name, _)| *name != "_info") {
        for (name, case) in cases.as_object().unwrap() {
            check_case(network, case).map_err(|error| format!("{network} {name}: {error}"))?;
        }
    }
    Ok(())
}

fn check_case(network: &str, case: &Value) -> Result<(), String> {
    let genesis = Genesis {
        config: spec::config(network, case),
        ..Genesis::default()
    };
    let parent = Header {
        number: json::small(&case["currentBlockNumber"]) - 1,
        timestamp: json::small(&case["parentTimestamp"]),
        difficulty: json::number(&case["parentDifficulty"]),
        ommers_hash: match json::small(&case["parentUncles"]) {
            0 => EMPTY_OMMER_ROOT_HASH,
            _ => B256::ZERO,
        },
        ..Header::default()
    };
    let time = json::small(&case["currentTimestamp"]);
    let found = spec::spec(&genesis).difficulty_after(&parent, time);
    let expected = json::number(&case["currentDifficulty"]);
    (found == expected)
        .then_some(())
        .ok_or_else(|| format!("{found}, not {expected}"))
}
