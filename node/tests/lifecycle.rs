//! Starting, stopping, starting again; and the reasons not to start.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::path::Path;

use pars_evm::ChainSpec;
use pars_node::{Node, NodeConfig, NodeError};
use pars_store::StoreError;
use serde_json::json;
use support::*;

fn in_folder(path: &Path) -> NodeConfig {
    let mut config = config();
    config.data_dir = Some(path.to_owned());
    config
}

#[test]
fn a_chain_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let alice = std::sync::Arc::new(Wallet::development(0));
    let mut before = Vec::new();
    for round in 0..3u64 {
        let (send, receive) = std::sync::mpsc::channel();
        let (alice, known) = (alice.clone(), before.clone());
        with_node(in_folder(folder.path()), move |rpc| {
            assert_eq!(rpc.block_number(), round);
            for (hash, receipt) in known {
                assert_eq!(
                    rpc.call("eth_getTransactionReceipt", json!([hash])),
                    receipt
                );
            }
            assert_eq!(
                number(&rpc.call("eth_getTransactionCount", json!([alice.address, "latest"]))),
                round
            );
            let receipt = rpc.mine(&alice.transfer(round, SOMEONE, 1));
            send.send((receipt["transactionHash"].clone(), receipt))
                .unwrap();
        });
        before.push(receive.recv().unwrap());
    }
}

#[test]
fn one_process_a_folder_and_one_chain_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let node = Node::start(in_folder(folder.path())).await.unwrap();
        let second = Node::start(in_folder(folder.path())).await.unwrap_err();
        assert!(
            matches!(second, NodeError::Store(StoreError::FolderInUse { .. })),
            "{second}"
        );
        node.stop().await.unwrap();

        let mut other = in_folder(folder.path());
        other.spec = ChainSpec::pars_testnet();
        let wrong = Node::start(other).await.unwrap_err();
        assert!(wrong.to_string().contains("6134"), "{wrong}");

        Node::start(in_folder(folder.path()))
            .await
            .unwrap()
            .stop()
            .await
            .unwrap();
    });
}

#[test]
fn a_taken_port_and_a_useless_folder() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let node = Node::start(config()).await.unwrap();
        let mut second = in_folder(folder.path());
        second.rpc.address = node.rpc_address();
        let error = Node::start(second).await.unwrap_err();
        assert!(
            error.to_string().contains("is in use by another program"),
            "{error}"
        );
        // What was opened before the failure is closed again.
        Node::start(in_folder(folder.path()))
            .await
            .unwrap()
            .stop()
            .await
            .unwrap();
        node.stop().await.unwrap();

        let file = folder.path().join("file");
        std::fs::write(&file, "not a folder").unwrap();
        let error = Node::start(in_folder(&file)).await.unwrap_err();
        assert!(error.to_string().contains("--data-dir"), "{error}");
    });
}

#[test]
fn stopping_finishes_the_block_in_hand() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let alice = Wallet::development(0);
        let node = Node::start(in_folder(folder.path())).await.unwrap();
        let rpc = Rpc {
            address: node.rpc_address(),
        };
        let raw: Vec<_> = (0..50)
            .map(|nonce| alice.transfer(nonce, SOMEONE, 1))
            .collect();
        let sending = tokio::task::spawn_blocking(move || {
            for raw in &raw {
                rpc.send(raw);
            }
        });
        sending.await.unwrap();
        node.stop().await.unwrap();
        let node = Node::start(in_folder(folder.path())).await.unwrap();
        let store = &node.context().store;
        let head = store.head();
        // Head, bodies and state agree: as many transactions as the sender's nonce says.
        let mut transactions = 0;
        for number in 1..=head.number {
            transactions += store.block(number).unwrap().unwrap().transactions.len();
        }
        let account = store
            .head_state()
            .unwrap()
            .account(&alice.address)
            .unwrap()
            .unwrap();
        assert_eq!(account.nonce, transactions as u64);
        store.verify_state().unwrap();
        node.stop().await.unwrap();
    });
}

#[test]
fn stopping_does_not_wait_for_clients_for_ever() {
    runtime().block_on(async {
        let node = Node::start(config()).await.unwrap();
        let rpc = Rpc {
            address: node.rpc_address(),
        };
        let open = tokio::task::spawn_blocking(move || (rpc.connect(), WebSocket::connect(rpc)))
            .await
            .unwrap();
        let began = std::time::Instant::now();
        node.stop().await.unwrap();
        assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
        drop(open);
    });
}
