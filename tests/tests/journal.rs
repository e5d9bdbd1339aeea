//! The pool over kill -9: what the node said it took is in its pool again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256};
use pars_tests::{
    node::{DevNode, data_dir},
    rpc::Rpc,
    wallet::{Signed, Wallet, transfer},
};
use serde_json::json;

const RECEIVER: Address = Address::repeat_byte(0xbe);

/// Hashes in the pool that wait for a nonce, by sender and nonce.
fn queued(rpc: &mut Rpc) -> Vec<B256> {
    let content = rpc.call("txpool_content", json!([]));
    let senders = content["queued"].as_object().unwrap();
    let mut all: Vec<(String, u64, B256)> = Vec::new();
    for (sender, nonces) in senders {
        for (nonce, transaction) in nonces.as_object().unwrap() {
            let hash = serde_json::from_value(transaction["hash"].clone()).unwrap();
            all.push((sender.clone(), nonce.parse().unwrap(), hash));
        }
    }
    all.sort();
    all.into_iter().map(|(_, _, hash)| hash).collect()
}

fn hashes(signed: &[&Signed]) -> Vec<B256> {
    signed.iter().map(|one| one.hash).collect()
}

fn journal(data: &Path) -> PathBuf {
    data.join("transactions.journal")
}

#[test]
fn the_pool_outlives_kill_9() {
    let data = data_dir();
    let data = data.path().join("node");
    let alice = Wallet::development(0);
    let mut node = DevNode::start(&data);
    let mut rpc = node.rpc();
    // Nothing of this can be mined: nonce 0 is missing.
    let first = alice.transfer(1, RECEIVER, 1);
    let replaced = alice.transfer(2, RECEIVER, 1);
    let mut dearer = transfer(2, RECEIVER, 2);
    dearer.max_fee_per_gas *= 2;
    dearer.max_priority_fee_per_gas *= 2;
    let replacement = alice.sign(dearer);
    // A large one: 300 KB of calldata.
    let large = alice.sign(TxEip1559 {
        input: vec![0; 300_000].into(),
        gas_limit: 5_000_000,
        ..transfer(4, RECEIVER, 0)
    });
    for one in [&first, &replaced, &replacement, &large] {
        rpc.send(&one.raw).unwrap();
    }
    let expected = hashes(&[&first, &replacement, &large]);
    assert_eq!(queued(&mut rpc), expected);

    for _ in 0..3 {
        node.kill();
        node = node.restart(&data);
        rpc = node.rpc();
        assert_eq!(queued(&mut rpc), expected);
    }

    // The gap closes, and what was waiting is mined; the last still waits for nonce 3.
    let zero = alice.transfer(0, RECEIVER, 1);
    rpc.send(&zero.raw).unwrap();
    rpc.wait_for_receipt(replacement.hash);
    node.kill();
    let mut node = node.restart(&data);
    let mut rpc = node.rpc();
    assert_eq!(rpc.nonce(alice.address, "latest"), 3);
    assert_eq!(queued(&mut rpc), hashes(&[&large]));

    // An orderly end keeps it too.
    assert!(node.stop("TERM").success());
    let mut node = node.restart(&data);
    assert_eq!(queued(&mut node.rpc()), hashes(&[&large]));
    node.kill();
    assert!(fs::metadata(journal(&data)).unwrap().len() > 300_000);
}

#[test]
fn damage_costs_what_it_hit_and_no_more() {
    let data = data_dir();
    let data = data.path().join("node");
    let alice = Wallet::development(0);
    let bob = Wallet::development(1);
    let mut node = DevNode::start(&data);
    let waiting: Vec<_> = [&alice, &bob]
        .map(|wallet| wallet.transfer(5, RECEIVER, 1))
        .into();
    for one in &waiting {
        node.rpc().send(&one.raw).unwrap();
    }
    node.kill();

    // Half of a third record, as a power cut leaves it.
    let path = journal(&data);
    let mut bytes = fs::read(&path).unwrap();
    let whole = bytes.len();
    bytes.extend_from_slice(&[0, 0, 0, 200, 1, 2, 3]);
    fs::write(&path, &bytes).unwrap();
    let mut node = node.restart(&data);
    assert_eq!(queued(&mut node.rpc()).len(), 2);
    assert!(node.log().contains("damaged=1"), "{}", node.log());
    node.kill();

    // The second record is torn.
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len(), whole, "it was written anew");
    fs::write(&path, &bytes[..whole - 9]).unwrap();
    let mut node = node.restart(&data);
    assert_eq!(queued(&mut node.rpc()).len(), 1);
    node.kill();

    // Something else altogether is put aside, and the node starts.
    fs::write(&path, b"this is not a journal at all").unwrap();
    let mut node = node.restart(&data);
    assert!(queued(&mut node.rpc()).is_empty());
    assert!(path.with_extension("damaged").exists());
    let fresh = alice.transfer(5, RECEIVER, 1);
    node.rpc().send(&fresh.raw).unwrap();
    node.kill();
    let mut node = node.restart(&data);
    assert_eq!(queued(&mut node.rpc()), hashes(&[&fresh]));
    node.assert_healthy();
}
