//! The suites' JSON: everything is hex text, sometimes with leading zeros, sometimes without digits.

use std::collections::BTreeMap;

use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde_json::Value;

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} is no text"))
}

pub fn number(value: &Value) -> U256 {
    let text = value.as_str().expect("a number in text");
    match text.strip_prefix("0x") {
        Some("") => U256::ZERO,
        Some(digits) => U256::from_str_radix(digits, 16).expect("hex digits"),
        None => text.parse().expect("decimal digits"),
    }
}

pub fn small(value: &Value) -> u64 {
    number(value).to()
}

pub fn bytes(value: &Value) -> Bytes {
    hex::decode(value.as_str().expect("bytes in text"))
        .expect("hex")
        .into()
}

pub fn hash(value: &Value) -> B256 {
    value.as_str().expect("a hash").parse().expect("32 bytes")
}

pub fn address(value: &Value) -> Address {
    value
        .as_str()
        .expect("an address")
        .parse()
        .expect("20 bytes")
}

/// `pre` of a test.
pub fn alloc(value: &Value) -> BTreeMap<Address, GenesisAccount> {
    value
        .as_object()
        .expect("accounts")
        .iter()
        .map(|(address, account)| {
            let storage = account["storage"]
                .as_object()
                .expect("slots")
                .iter()
                .map(|(slot, value)| {
                    let slot = number(&Value::from(slot.as_str()));
                    (B256::from(slot), B256::from(number(value)))
                })
                .collect();
            let account = GenesisAccount::default()
                .with_nonce(Some(small(&account["nonce"])))
                .with_balance(number(&account["balance"]))
                .with_code(Some(bytes(&account["code"])))
                .with_storage(Some(storage));
            (address.parse().expect("an address"), account)
        })
        .collect()
}
