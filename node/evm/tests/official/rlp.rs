//! RLP tests, with the decoder that blocks and transactions are read by.

use alloy_primitives::hex;
use alloy_rlp::{Encodable, Header};
use serde_json::Value;

use crate::suite::{self, Files};

#[test]
fn rlp_tests() {
    let Some(folder) = suite::folder("evm/rlp_tests") else {
        return;
    };
    suite::run("RLP tests", &Files::of(&folder), check);
}

fn check(test: &Value) -> Result<(), String> {
    let encoded = hex::decode(test["out"].as_str().unwrap()).unwrap();
    let decoded = decode_exact(&encoded);
    match test["in"].as_str() {
        Some("INVALID") => match decoded {
            Ok(item) => Err(format!("decoded to {item:?}")),
            Err(_) => Ok(()),
        },
        Some("VALID") => decoded.map(|_| ()),
        _ => {
            let item = item(&test["in"]);
            let mut out = Vec::new();
            item.encode(&mut out);
            if out != encoded {
                return Err(format!("encoded to {}", hex::encode(out)));
            }
            let decoded = decoded?;
            (decoded == item)
                .then_some(())
                .ok_or_else(|| format!("decoded to {decoded:?}"))
        }
    }
}

#[derive(Debug, PartialEq)]
enum Item {
    Text(Vec<u8>),
    List(Vec<Item>),
}

impl Encodable for Item {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        match self {
            Self::Text(text) => text.as_slice().encode(out),
            Self::List(items) => alloy_rlp::encode_list(items, out),
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.as_slice().length(),
            Self::List(items) => alloy_rlp::list_length(items),
        }
    }
}

fn item(value: &Value) -> Item {
    match value {
        Value::Array(values) => Item::List(values.iter().map(item).collect()),
        Value::Number(number) => Item::Text(minimal(&number.as_u64().unwrap().to_be_bytes())),
        Value::String(text) => match text.strip_prefix('#') {
            // Larger than any integer type here: 33 bytes.
            Some(decimal) => Item::Text(decimal_bytes(decimal)),
            None => Item::Text(text.as_bytes().to_vec()),
        },
        other => panic!("{other}"),
    }
}

fn minimal(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect()
}

fn decimal_bytes(decimal: &str) -> Vec<u8> {
    let mut bytes = vec![0_u8; 40];
    for digit in decimal.bytes() {
        let mut carry = u32::from(digit - b'0');
        for byte in bytes.iter_mut().rev() {
            let sum = u32::from(*byte) * 10 + carry;
            *byte = sum.to_be_bytes()[3];
            carry = sum >> 8;
        }
    }
    minimal(&bytes)
}

fn decode_exact(mut bytes: &[u8]) -> Result<Item, String> {
    let item = decode(&mut bytes)?;
    if bytes.is_empty() {
        Ok(item)
    } else {
        Err("bytes are left".to_owned())
    }
}

fn decode(bytes: &mut &[u8]) -> Result<Item, String> {
    let header = Header::decode(bytes).map_err(|error| error.to_string())?;
    let (payload, rest) = bytes
        .split_at_checked(header.payload_length)
        .ok_or("too short")?;
    *bytes = rest;
    if !header.list {
        return Ok(Item::Text(payload.to_vec()));
    }
    let mut payload = payload;
    let mut items = Vec::new();
    while !payload.is_empty() {
        items.push(decode(&mut payload)?);
    }
    Ok(Item::List(items))
}
