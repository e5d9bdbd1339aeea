//! What a client asks before it does anything: the chain's rules, what is kept, what is final, and
//! how a transaction should be filled in.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use alloy_consensus::Transaction as _;
use alloy_eips::Decodable2718 as _;
use alloy_primitives::{Bytes, U256};
use serde_json::{Value, json};
use support::*;

/// EIP-7910, from address 1 on.
const NAMES: [&str; 17] = [
    "ECREC",
    "SHA256",
    "RIPEMD160",
    "ID",
    "MODEXP",
    "BN254_ADD",
    "BN254_MUL",
    "BN254_PAIRING",
    "BLAKE2F",
    "KZG_POINT_EVALUATION",
    "BLS12_G1ADD",
    "BLS12_G1MSM",
    "BLS12_G2ADD",
    "BLS12_G2MSM",
    "BLS12_PAIRING_CHECK",
    "BLS12_MAP_FP_TO_G1",
    "BLS12_MAP_FP2_TO_G2",
];

#[test]
fn rules_and_what_is_kept() {
    with_node(config(), |rpc| {
        let rules = rpc.call("eth_config", json!([]));
        assert_eq!(rules["current"]["chainId"], "0x17f5");
        assert_eq!(rules["current"]["activationTime"], 0);
        assert_eq!(rules["next"], Value::Null);
        assert_eq!(rules["last"], Value::Null);
        let names = rules["current"]["precompiles"].as_object().unwrap();
        let address = |last: u16| format!("0x{last:040x}");
        for (at, name) in (1..).zip(NAMES) {
            assert_eq!(names[name], address(at), "{name}");
        }
        assert_eq!(names["P256VERIFY"], address(0x100));
        assert!(names.values().any(|at| *at == address(0x602)));
        // Not more and not less than what the node lists as its own.
        let own = rpc.call("pars_precompiles", json!([]));
        assert_eq!(names.len(), 18 + own.as_array().unwrap().len());
        let verify = own[0]["functions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|function| function["signature"] == "verify(bytes,bytes,bytes)")
            .unwrap();
        let selector = &alloy_primitives::keccak256("verify(bytes,bytes,bytes)")[..4];
        assert_eq!(
            verify["selector"],
            Bytes::copy_from_slice(selector).to_string()
        );
        assert_eq!(verify["secret"], false);
        assert!(!verify["gas"].as_str().unwrap().is_empty());

        rpc.mine(&Wallet::development(0).transfer(0, SOMEONE, 1));
        let head = rpc.call("eth_getBlockByNumber", json!(["latest", false]));
        let kept = rpc.call("eth_capabilities", json!([]));
        assert_eq!(kept["head"]["hash"], head["hash"]);
        assert_eq!(kept["state"]["oldestBlock"], "0x0");
        assert_eq!(kept["receipts"]["oldestBlock"], "0x0");
        assert_eq!(kept["blocks"].get("deleteStrategy"), None);

        let finality = rpc.call("pars_finality", json!([]));
        assert_eq!(finality["latest"], finality["finalized"]);
        assert_eq!(finality["latest"]["hash"], head["hash"]);
        assert_eq!(finality["latest"]["timestamp"], head["timestamp"]);
        assert_eq!(finality["undecided"], "0x0");
    });
}

#[test]
fn a_transaction_is_filled_in_for_its_signer() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        let filled = |request: Value| {
            let answer = rpc.call("eth_fillTransaction", json!([request]));
            let raw: Bytes = serde_json::from_value(answer["raw"].clone()).unwrap();
            let decoded = alloy_consensus::TxEnvelope::decode_2718_exact(&raw).unwrap();
            assert_eq!(answer["tx"]["hash"], json!(decoded.tx_hash()));
            (decoded, answer["tx"].clone())
        };
        let plain = json!({"from": alice.address, "to": SOMEONE, "value": "0x5"});
        let (transaction, shown) = filled(plain.clone());
        assert_eq!(transaction.nonce(), 0);
        assert_eq!(transaction.gas_limit(), 21_000);
        assert_eq!(transaction.chain_id(), Some(CHAIN_ID));
        assert_eq!(transaction.value(), U256::from(5));
        let tip = rpc.call("eth_maxPriorityFeePerGas", json!([]));
        let price = number(&rpc.call("eth_gasPrice", json!([])));
        assert_eq!(shown["maxPriorityFeePerGas"], tip);
        let base_fee = price - number(&tip);
        assert_eq!(number(&shown["maxFeePerGas"]), 2 * base_fee + number(&tip));
        assert_eq!(shown["type"], "0x2");
        // What is named stays, and transactions on their way count.
        rpc.send(&alice.transfer(0, SOMEONE, 1));
        let (transaction, _) = filled(json!({
            "from": alice.address, "to": SOMEONE, "gas": "0x7530", "gasPrice": "0x174876e800",
        }));
        assert!(transaction.is_legacy());
        assert_eq!((transaction.nonce(), transaction.gas_limit()), (1, 30_000));
        assert_eq!(transaction.gas_price(), Some(100_000_000_000));

        let blob = json!({
            "from": alice.address, "to": SOMEONE, "maxFeePerBlobGas": "0x1",
            "blobVersionedHashes": [format!("0x01{:062}", 0)],
        });
        let (code, text) = rpc.refused("eth_fillTransaction", json!([blob]));
        assert_eq!(code, -32000);
        assert!(text.contains("no blobs"), "{text}");
        let cheap = json!({"from": alice.address, "to": SOMEONE, "maxFeePerGas": "0x1"});
        let (code, text) = rpc.refused("eth_fillTransaction", json!([cheap]));
        assert_eq!(code, -32000);
        assert!(
            text.starts_with("maxFeePerGas (0x1) < maxPriorityFeePerGas (0x"),
            "{text}"
        );
        let refused = |request: Value| rpc.refused("eth_fillTransaction", json!([request])).0;
        assert_eq!(refused(json!({"from": alice.address})), -32000);
        assert_eq!(
            refused(json!({"from": alice.address, "to": SOMEONE, "chainId": "0x1"})),
            -32000
        );
        let refuser = json!({"from": alice.address, "input": Bytes::from(refuser())});
        assert_eq!(refused(refuser), 3);
    });
}
