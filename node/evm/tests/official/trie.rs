//! Trie tests, on the store's incremental trie.

use alloy_primitives::{B256, hex, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use pars_store::{
    StoreError,
    backend::{Backend as _, Batch, Table, memory::Memory},
    trie::{NodeSource, Trie},
};
use serde_json::Value;

use crate::suite::{self, Files};

#[test]
fn trie_tests() {
    let Some(folder) = suite::folder("evm/trie_tests") else {
        return;
    };
    let secure = |path: &str| path.to_lowercase().contains("securetrie");
    let plain = Files::matching(&folder, |path| !secure(path));
    let secure = Files::matching(&folder, secure);
    suite::run("trie tests", &plain, |test| check(test, |key| key.to_vec()));
    suite::run("secure trie tests", &secure, |test| {
        check(test, |key| keccak256(key).to_vec())
    });
}

/// A trie that starts with nothing.
#[derive(Debug)]
struct Nothing;

impl NodeSource for Nothing {
    fn node(&self, _: &Nibbles) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn damaged(&self, path: &Nibbles, reason: String) -> StoreError {
        StoreError::Engine {
            doing: "read a node",
            reason: format!("{path:?}: {reason}"),
        }
    }
}

fn bytes(value: &str) -> Vec<u8> {
    match value.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).unwrap(),
        None => value.as_bytes().to_vec(),
    }
}

fn check(test: &Value, key_of: impl Fn(&[u8]) -> Vec<u8>) -> Result<(), String> {
    if test.get("tests").is_some() {
        return check_order(test);
    }
    let writes: Vec<(Vec<u8>, Option<Vec<u8>>)> = match &test["in"] {
        Value::Array(pairs) => pairs
            .iter()
            .map(|pair| {
                (
                    bytes(pair[0].as_str().unwrap()),
                    pair[1].as_str().map(bytes),
                )
            })
            .collect(),
        Value::Object(pairs) => pairs
            .iter()
            .map(|(key, value)| (bytes(key), value.as_str().map(bytes)))
            .collect(),
        other => panic!("{other}"),
    };
    let mut trie = Trie::open(Nothing, EMPTY_ROOT_HASH);
    for (key, value) in writes {
        let key = Nibbles::unpack(key_of(&key));
        match value.filter(|value| !value.is_empty()) {
            Some(value) => trie.insert(key, value),
            None => trie.remove(key),
        }
    }
    let root: B256 = test["root"].as_str().unwrap().parse().unwrap();
    let (found, _) = trie.finish().unwrap();
    (found == root)
        .then_some(())
        .ok_or_else(|| format!("root {found}, not {root}"))
}

/// The tests of next and previous keys. The tries of this node are not walked in the order of
/// keys: the flat tables beside them are.
fn check_order(test: &Value) -> Result<(), String> {
    let memory = Memory::new();
    let mut batch = Batch::new();
    for key in test["in"].as_array().unwrap() {
        batch.put(Table::Meta, key.as_str().unwrap(), "x");
    }
    memory.commit(batch).unwrap();
    let snapshot = memory.snapshot();
    for case in test["tests"].as_array().unwrap() {
        let [key, before, after] = [0, 1, 2].map(|index| case[index].as_str().unwrap());
        let next = snapshot
            .range(Table::Meta, key.as_bytes(), None)
            .map(|record| record.unwrap().0)
            .find(|found| found != key.as_bytes())
            .unwrap_or_default();
        let previous = snapshot
            .range(Table::Meta, &[], Some(key.as_bytes()))
            .map(|record| record.unwrap().0)
            .last()
            .unwrap_or_default();
        if previous != before.as_bytes() || next != after.as_bytes() {
            return Err(format!(
                "around {key}: {previous:?} and {next:?}, not {case}"
            ));
        }
    }
    Ok(())
}
