//! Official vectors of the ZK hashes.

// Each test file uses a part of this.
#![allow(dead_code)]

use super::vectors;
use pars_kernels::field::Fr;
use serde_json::Value;

/// A JSON file of the `zk` folder. Says so and gives nothing where the vectors are absent.
pub fn file(name: &str) -> Option<Value> {
    let Some(folder) = vectors::folder() else {
        eprintln!("vectors absent: {name} not checked (set PARS_VECTORS to their folder)");
        return None;
    };
    let path = folder.join("zk").join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_slice(&text).unwrap())
}

/// The number behind `0x`, of any length up to 64 digits.
pub fn number(text: &str) -> Fr {
    let digits = text.trim_start_matches("0x");
    let bytes = hex::decode(format!("{digits:0>64}")).unwrap();
    Fr::from_bytes_be(&bytes.try_into().unwrap()).unwrap()
}

/// The numbers of a list.
pub fn numbers(list: &Value) -> Vec<Fr> {
    vectors::list(list)
        .iter()
        .map(|value| number(value.as_str().unwrap()))
        .collect()
}
