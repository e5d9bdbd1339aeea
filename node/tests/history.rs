//! What a node answers of blocks whose state or tries it does not keep any more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{Nibbles, TrieAccount, proof::verify_proof};
use pars_store::Retention;
use serde_json::{Value, json};
use support::*;

const STATES: u64 = 6;
const PROOFS: u64 = 3;
const BLOCKS: u64 = 10;

/// Checks the proof of an account as a light client would, against the header's state root.
fn check_proof(rpc: &Rpc, address: Address, block: u64) {
    let tag = format!("{block:#x}");
    let header = rpc.call("eth_getBlockByNumber", json!([tag, false]));
    let root: B256 = serde_json::from_value(header["stateRoot"].clone()).unwrap();
    let proof = rpc.call("eth_getProof", json!([address, [], tag]));
    let nodes: Vec<Bytes> = serde_json::from_value(proof["accountProof"].clone()).unwrap();
    let balance: U256 = serde_json::from_value(proof["balance"].clone()).unwrap();
    let account = TrieAccount {
        nonce: number(&proof["nonce"]),
        balance,
        storage_root: serde_json::from_value(proof["storageHash"].clone()).unwrap(),
        code_hash: serde_json::from_value(proof["codeHash"].clone()).unwrap(),
    };
    let key = Nibbles::unpack(keccak256(address));
    verify_proof(root, key, Some(alloy_rlp::encode(account)), &nodes).unwrap();
    let by_state = rpc.call("eth_getBalance", json!([address, tag]));
    assert_eq!(by_state, json!(balance));
    assert_eq!(account.nonce, block, "one transaction a block");
}

#[test]
fn old_states_and_proofs_are_refused_in_geths_words() {
    let mut config = config();
    config.store.retention = Retention {
        states: Some(STATES),
        proofs: PROOFS,
    };
    with_node(config, |rpc| {
        let alice = Wallet::development(0);
        for nonce in 0..BLOCKS {
            rpc.mine(&alice.transfer(nonce, SOMEONE, 1));
        }
        assert_eq!(rpc.block_number(), BLOCKS);
        // What it says of itself, and below that it is so.
        let kept = rpc.call("eth_capabilities", json!([]));
        for (what, window) in [("state", STATES), ("stateproofs", PROOFS)] {
            let oldest = format!("{:#x}", BLOCKS - window);
            let blocks = format!("{window:#x}");
            let strategy = json!({"type": "window", "retentionBlocks": blocks});
            let wanted =
                json!({"disabled": false, "oldestBlock": oldest, "deleteStrategy": strategy});
            assert_eq!(kept[what], wanted);
        }
        assert_eq!(
            kept["receipts"],
            json!({"disabled": false, "oldestBlock": "0x0"})
        );
        for block in 0..=BLOCKS {
            let tag = format!("{block:#x}");
            let header = rpc.call("eth_getBlockByNumber", json!([tag, true]));
            assert_eq!(header["number"], json!(tag));
            if block >= BLOCKS - PROOFS {
                check_proof(&rpc, alice.address, block);
            } else {
                let (code, text) = rpc.refused("eth_getProof", json!([alice.address, [], tag]));
                assert_eq!(code, -32001, "{text}");
                let wanted = format!("no proofs for block {block}:");
                assert!(text.starts_with(&wanted), "{text}");
            }
            if block >= BLOCKS - STATES {
                let nonce = rpc.call("eth_getTransactionCount", json!([alice.address, tag]));
                assert_eq!(number(&nonce), block);
                continue;
            }
            let root = header["stateRoot"]
                .as_str()
                .unwrap()
                .trim_start_matches("0x");
            let wanted = format!("historical state {root} is not available");
            let call = json!({"to": SOMEONE});
            let questions: [(&str, Value); 5] = [
                ("eth_getBalance", json!([SOMEONE, tag])),
                ("eth_getCode", json!([SOMEONE, tag])),
                ("eth_getStorageAt", json!([SOMEONE, "0x0", tag])),
                ("eth_call", json!([call, tag])),
                ("eth_estimateGas", json!([call, tag])),
            ];
            for (method, params) in questions {
                let refusal = rpc.refused(method, params);
                assert_eq!(refusal, (-32000, wanted.clone()), "{method}");
            }
        }
    });
}
