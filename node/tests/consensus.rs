//! The boundary to consensus: siblings, undecided chains, decisions, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::{collections::HashSet, time::Duration};

use alloy_consensus::{Header, Transaction as _, TxEnvelope, transaction::Recovered};
use alloy_eips::Decodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, U256};
use pars_evm::decode_block;
use pars_node::{BlockId, ChainVm, Node, NodeConfig, Pace, ProducerConfig, Vm, VmError};
use pars_pool::{AccountState, PoolEnv};
use support::{Wallet, config, runtime};

/// Runs `test` on a machine whose own validator never makes a block.
fn with_vm(test: impl FnOnce(&Vm, &Node) + Send + 'static) {
    with_vm_of(config(), test);
}

/// The same with settings.
fn with_vm_of(mut config: NodeConfig, test: impl FnOnce(&Vm, &Node) + Send + 'static) {
    runtime().block_on(async {
        config.producer.pace = Pace::Every(Duration::from_secs(86_400));
        let node = Node::start(config).await.unwrap();
        let vm = Vm::new(node.context().clone(), ProducerConfig::default());
        let (node, outcome) = tokio::task::spawn_blocking(move || {
            let outcome =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&vm, &node)));
            drop(vm);
            (node, outcome)
        })
        .await
        .unwrap();
        node.stop().await.unwrap();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A transfer in the pool, so that the next block differs from one built before.
fn send(node: &Node, nonce: u64) {
    let raw = Wallet::development(0).transfer(nonce, Address::repeat_byte(0xaa), 1);
    node.context().submit_raw(&raw).unwrap();
}

/// What the executor cannot run leaves the pool, or every later block would try it again.
#[test]
fn transactions_that_cannot_be_executed_leave_the_pool() {
    with_vm(|vm, node| {
        let context = node.context();
        // The pool believes that this sender has means, as it might have had when it was asked.
        let poor = Wallet::new(B256::repeat_byte(7));
        let rich = AccountState {
            nonce: 0,
            balance: U256::MAX,
        };
        let env = PoolEnv {
            base_fee: context.spec.next_base_fee(&context.store.head().header),
            gas_limit: context.spec.gas_limit,
            chain_id: context.spec.chain_id,
        };
        let hashes: Vec<_> = (0..2)
            .map(|nonce| {
                let raw = poor.transfer(nonce, Address::repeat_byte(0xaa), 1);
                let transaction = TxEnvelope::decode_2718(&mut &raw[..]).unwrap();
                let transaction = Recovered::new_unchecked(transaction, poor.address);
                context
                    .pool
                    .lock()
                    .add(transaction, rich, &env)
                    .unwrap()
                    .hash
            })
            .collect();
        send(node, 0);
        let there = || -> Vec<_> {
            let pool = context.pool.lock();
            hashes.iter().map(|hash| pool.contains(hash)).collect()
        };
        assert_eq!(there(), [true, true]);
        let (_, bytes) = vm.build().unwrap();
        assert_eq!(decode_block(&bytes).unwrap().transactions.len(), 1);
        // The second waits for the gap to close.
        assert_eq!(there(), [false, true]);
        let head = context.store.head().header;
        assert_eq!(context.best_transactions(&head, HashSet::new()).count(), 1);
    });
}

#[test]
fn undecided_blocks_live_in_memory_until_they_are_decided() {
    with_vm(|vm, node| {
        let store = &node.context().store;
        let genesis = vm.last_accepted();
        assert_eq!((genesis.height, vm.preferred()), (0, genesis.id));

        // Two siblings.
        let (a, a_bytes) = vm.build().unwrap();
        vm.verify(&a_bytes).unwrap();
        send(node, 0);
        let (b, b_bytes) = vm.build().unwrap();
        assert_ne!(a.id, b.id);
        assert_eq!((a.parent, b.parent), (genesis.id, genesis.id));
        assert_eq!(vm.parse(&b_bytes).unwrap(), b);
        // What was built is not there before it is verified; verifying twice is once.
        assert_eq!(vm.get(b.id).unwrap(), None);
        vm.verify(&b_bytes).unwrap();
        vm.verify(&b_bytes).unwrap();
        assert_eq!(vm.get(b.id).unwrap(), Some((b, b_bytes)));

        // A grandchild of the last accepted block.
        vm.set_preference(b.id).unwrap();
        let (c, c_bytes) = vm.build().unwrap();
        assert_eq!((c.parent, c.height), (b.id, 2));
        vm.verify(&c_bytes).unwrap();
        assert_eq!(vm.undecided(), 3);
        assert_eq!(store.head_number(), 0, "nothing is written");

        // Decisions come parent first.
        assert!(matches!(vm.accept(c.id), Err(VmError::Store(_))));
        vm.accept(b.id).unwrap();
        assert_eq!(vm.last_accepted(), b);
        assert_eq!(vm.id_at_height(1).unwrap(), Some(b.id));
        vm.reject(a.id).unwrap();
        assert!(matches!(vm.reject(a.id), Err(VmError::Unknown(_))));
        assert!(matches!(vm.accept(a.id), Err(VmError::Unknown(_))));
        assert!(matches!(vm.set_preference(a.id), Err(VmError::Unknown(_))));
        vm.accept(c.id).unwrap();
        assert_eq!((vm.last_accepted(), vm.undecided()), (c, 0));
        assert_eq!(vm.preferred(), c.id);
        let balance = store
            .head_state()
            .unwrap()
            .account(&Address::repeat_byte(0xaa))
            .unwrap();
        assert_eq!(balance.unwrap().balance, U256::from(1));
        assert_eq!(store.verify_state().unwrap().number, 2);
    });
}

/// What undecided blocks hold is no candidate for the next one.
#[test]
fn a_block_is_built_of_what_no_undecided_one_holds() {
    let mut config = config();
    config.spec.gas_limit = 2 * 21_000;
    with_vm_of(config, |vm, node| {
        let context = node.context();
        for index in 0..9 {
            let mut transfer = support::call(0, Address::repeat_byte(0xaa), Bytes::new());
            transfer.gas_limit = 21_000;
            let raw = Wallet::development(index).sign(transfer);
            context.submit_raw(&raw).unwrap();
        }
        let mut included = HashSet::new();
        for (found, in_block) in [(9, 2), (7, 2), (5, 2), (3, 2), (1, 1), (0, 0)] {
            let tip = context.store.tip().unwrap();
            let best = context.best_transactions(&tip.head().header, included.clone());
            assert_eq!(best.count(), found);
            let (block, bytes) = vm.build().unwrap();
            let transactions = decode_block(&bytes).unwrap().transactions;
            assert_eq!(transactions.len(), in_block);
            included.extend(
                transactions
                    .iter()
                    .map(|transaction| *transaction.tx_hash()),
            );
            vm.verify(&bytes).unwrap();
            vm.set_preference(block.id).unwrap();
        }
        assert_eq!(included.len(), 9);
    });
}

/// The pool hears of every account that a block changed, be it by transactions that the pool never saw.
#[test]
fn the_pool_knows_accounts_as_the_last_block_left_them() {
    let mut config = config();
    config.spec.gas_limit = 2 * 21_000;
    with_vm_of(config, |vm, node| {
        let context = node.context();
        let transfer = |sender: usize, nonce, value: U256| {
            let mut transfer = support::call(nonce, Address::repeat_byte(0xaa), Bytes::new());
            (transfer.gas_limit, transfer.value) = (21_000, value);
            Wallet::development(sender).sign(transfer)
        };
        let accept = |bytes: &[u8]| {
            let id = vm.parse(bytes).unwrap().id;
            vm.verify(bytes).unwrap();
            vm.accept(id).unwrap();
        };
        for nonce in 0..5 {
            let raw = transfer(0, nonce, U256::from(1));
            context.submit_raw(&raw).unwrap();
        }
        for left in [5, 3, 1] {
            let head = context.store.head().header;
            let best = context.best_transactions(&head, HashSet::new());
            assert_eq!(best.count(), left);
            accept(&vm.build().unwrap().1);
        }
        assert!(context.pool.lock().is_empty());

        let rich = Wallet::development(1).address;
        let account = context.store.head_state().unwrap().account(&rich).unwrap();
        let most = account.unwrap().balance / U256::from(3) * U256::from(2);
        let hash = context.submit_raw(&transfer(1, 0, most)).unwrap();
        let (_, elsewhere) = vm.build().unwrap();
        context.pool.lock().remove(&hash).unwrap();
        for (nonce, value) in [(0, U256::from(1)), (1, most)] {
            context.submit_raw(&transfer(1, nonce, value)).unwrap();
        }
        accept(&elsewhere);
        let pool = context.pool.lock().status();
        assert_eq!((pool.pending, pool.queued), (0, 0));
    });
}

/// Whoever pays most and asks for the gas of a whole block, which it does not use, keeps nobody else out of the block.
#[test]
fn transactions_that_ask_for_all_gas_leave_room_for_others() {
    let mut config = config();
    config.spec.gas_limit = 2 * 21_000;
    with_vm_of(config, |vm, node| {
        for index in 0..9 {
            let mut transfer = support::call(0, Address::repeat_byte(0xaa), Bytes::new());
            transfer.gas_limit = if index < 8 { 2 * 21_000 } else { 21_000 };
            transfer.max_priority_fee_per_gas = if index < 8 {
                3_000_000_000
            } else {
                2_000_000_000
            };
            let raw = Wallet::development(index).sign(transfer);
            node.context().submit_raw(&raw).unwrap();
        }
        let (_, bytes) = vm.build().unwrap();
        let limits = decode_block(&bytes).unwrap().transactions;
        let limits: Vec<u64> = limits
            .iter()
            .map(|transaction| transaction.gas_limit())
            .collect();
        assert_eq!(limits, [2 * 21_000, 21_000]);
    });
}

#[test]
fn a_long_undecided_chain_is_decided_block_by_block() {
    with_vm(|vm, node| {
        let mut blocks = Vec::new();
        for nonce in 0..6 {
            send(node, nonce);
            let (block, bytes) = vm.build().unwrap();
            vm.verify(&bytes).unwrap();
            vm.set_preference(block.id).unwrap();
            let included = decode_block(&bytes).unwrap().transactions.len();
            assert_eq!(included, 1, "block {nonce}");
            blocks.push(block);
        }
        for block in blocks {
            vm.accept(block.id).unwrap();
            // Each was built on overlays and is now on disk alone.
            node.context().store.verify_state().unwrap();
        }
        assert_eq!(node.context().store.head_number(), 6);
    });
}

#[test]
fn what_is_no_block_or_no_child_is_refused() {
    with_vm(|vm, _| {
        assert!(matches!(vm.verify(b"x"), Err(VmError::Encoding(_))));
        let (a, bytes) = vm.build().unwrap();
        let block = decode_block(&bytes).unwrap().into_consensus();
        let change = |change: fn(&mut Header)| {
            let mut block = block.clone();
            change(&mut block.header);
            alloy_rlp::encode(block)
        };
        let orphan = change(|header| header.parent_hash.0[0] ^= 1);
        assert!(matches!(vm.verify(&orphan), Err(VmError::Orphan { .. })));
        let wrong = change(|header| header.state_root.0[0] ^= 1);
        let error = vm.verify(&wrong).unwrap_err();
        assert!(error.to_string().contains("state root"), "{error}");
        assert_eq!(vm.undecided(), 0);
        let nobody = BlockId([7; 32]);
        assert!(matches!(
            vm.set_preference(nobody),
            Err(VmError::Unknown(_))
        ));
        // The good one is still good.
        vm.verify(&bytes).unwrap();
        vm.accept(a.id).unwrap();
    });
}
