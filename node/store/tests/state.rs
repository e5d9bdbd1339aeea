//! Random blocks through revm's `State`, against a naive model: roots, flat state, history.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use alloy_primitives::{B256, U256};
use common::*;
use pars_store::{
    EmptyAccounts, Retention, Store, StoreError, Tip,
    backend::{Backend, Batch, Snapshot, memory::Memory},
};
use proptest::prelude::*;
use revm::{DatabaseRef, database::BundleState, state::AccountInfo};
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// The tip by value and by proof.
fn check_tip(tip: &Tip, model: &Model) {
    assert_eq!(tip.head().header.state_root, model_root(model));
    let state = tip.state();
    for (address, plain) in model {
        assert_eq!(state.account(address).unwrap(), Some(plain.trie_account()));
    }
    check_proofs(model, |address, slots| tip.prove(address, slots).unwrap());
}

/// An engine that lets somebody look at the store when a batch is written and its writer does not know it yet.
#[derive(Debug, Default)]
struct Watched {
    engine: Memory,
    store: OnceLock<Weak<Store>>,
    seen: Mutex<Vec<Tip>>,
}

impl Backend for Watched {
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        self.engine.snapshot()
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.engine.commit(batch)?;
        if let Some(store) = self.store.get().and_then(Weak::upgrade) {
            self.seen.lock().unwrap().push(store.tip()?);
        }
        Ok(())
    }
}

/// Who asks for the tip while a block is being accepted gets a block and the state after that same block.
#[test]
fn a_tip_that_is_taken_during_a_commit_is_of_one_block() {
    let mut model = genesis_model();
    let engine = Arc::new(Watched::default());
    let backend: Arc<dyn Backend> = Arc::clone(&engine) as _;
    let store = Store::with_backend(backend, &genesis_of(&model), Retention::default()).unwrap();
    let store = Arc::new(store);
    engine.store.set(Arc::downgrade(&store)).unwrap();
    for number in 1..4 {
        let bundle = execute(&store, &mut model, &[Op::Pay(0, number)]);
        store.commit(commit_of(&store, bundle, 1)).unwrap();
        let tip = engine.seen.lock().unwrap().pop().expect("somebody looked");
        assert_eq!(tip.head(), &store.head());
        check_tip(&tip, &model);
    }
}

/// Commits the blocks and checks everything after each and at the end.
fn run(mut store: Store, blocks: &[Vec<Op>], mut reopen: impl FnMut(Store) -> Store) {
    let mut model = genesis_model();
    let mut models = vec![model.clone()];
    check_state(&store, 0, &model);
    for (at, ops) in blocks.iter().enumerate() {
        let number = at as u64 + 1;
        let early = store.head_state().unwrap();
        let bundle = execute(&store, &mut model.clone(), ops);
        let diff = execute_block(&store, &mut model, ops);
        let commit = commit_of(&store, diff, at % 4);
        assert_eq!(
            commit.tries.root(),
            model_root(&model),
            "block {number}: {ops:?}"
        );
        let by_revm = store.state_root(&bundle.into()).unwrap();
        assert_eq!(by_revm, (commit.tries.root(), commit.tries.clone()));
        // Undecided, the block reads as it will when it is accepted, one way or the other.
        let overlay = store.tip().unwrap().extend(commit.clone()).unwrap();
        check_tip(overlay.tip(), &model);
        if at % 2 == 0 {
            store.accept(&overlay).unwrap();
            assert!(store.accept(&overlay).is_err(), "a block is accepted once");
        } else {
            store.commit(commit.clone()).unwrap();
        }
        check_tip(&store.tip().unwrap(), &model);
        models.push(model.clone());

        // The block and its parts come back as they were.
        assert_eq!(store.head().hash, commit.block.hash);
        assert_eq!(
            store.header(number).unwrap().as_ref(),
            Some(&commit.block.header)
        );
        assert_eq!(store.block(number).unwrap().as_ref(), Some(&commit.block));
        assert_eq!(
            store.block_by_hash(&commit.block.hash).unwrap().as_ref(),
            Some(&commit.block)
        );
        assert_eq!(
            store.receipts(number).unwrap().as_ref(),
            Some(&commit.receipts)
        );
        assert_eq!(store.number_of(&commit.block.hash).unwrap(), Some(number));
        for (index, transaction) in commit.block.transactions.iter().enumerate() {
            let hash = transaction.tx_hash();
            assert_eq!(
                store.transaction_location(hash).unwrap(),
                Some((number, index))
            );
            assert_eq!(
                store.transaction(hash).unwrap(),
                Some((transaction.clone(), number, index))
            );
        }

        // A view taken before the commit has not moved.
        assert_eq!(early.number(), number - 1);
        for (address, plain) in &models[at] {
            assert_eq!(early.account(address).unwrap(), Some(plain.trie_account()));
        }
        if at % 3 == 2 {
            // What still reads an old state keeps the folder open.
            drop((early, overlay));
            store = reopen(store);
        }
        let report = store.verify_state().unwrap();
        assert_eq!(report.accounts, model.len() as u64);
        assert_eq!(
            report.slots,
            model.values().map(|p| p.storage.len() as u64).sum::<u64>()
        );
    }
    for (number, model) in models.iter().enumerate() {
        let number = number as u64;
        check_state(&store, number, model);
        check_proofs(model, |address, slots| {
            store.prove(number, address, slots).unwrap()
        });
    }
    store.verify_blocks(|_| {}).unwrap();
    let report = store.verify_history(|_| {}).unwrap();
    assert_eq!(report.blocks, blocks.len() as u64);
    let head = blocks.len() as u64;
    assert!(matches!(
        store.state(head + 1),
        Err(StoreError::UnknownBlock { number, head: h }) if number == head + 1 && h == head
    ));
    assert_eq!(store.block(head + 1).unwrap(), None);
    assert_eq!(store.receipts(u64::MAX).unwrap(), None);
    assert_eq!(store.number_of(&B256::ZERO).unwrap(), None);
    assert_eq!(store.transaction_location(&B256::ZERO).unwrap(), None);
    let view = store.state(head / 2).unwrap();
    let known = view.block_hash_ref(head / 2).unwrap();
    assert_eq!(Some(known), store.hash(head / 2).unwrap());
    assert_eq!(view.block_hash_ref(head / 2 + 1).unwrap(), B256::ZERO);
}

fn blocks(count: usize) -> impl Strategy<Value = Vec<Vec<Op>>> {
    prop::collection::vec(prop::collection::vec(op(), 0..12), 1..count)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]
    #[test]
    fn random_blocks_in_memory(blocks in blocks(12)) {
        let store = Store::in_memory(&genesis_of(&genesis_model())).unwrap();
        run(store, &blocks, |store| store);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..Default::default() })]
    #[test]
    fn random_blocks_on_disk_with_restarts(blocks in blocks(12)) {
        let dir = tempfile::tempdir().unwrap();
        let genesis = genesis_of(&genesis_model());
        let store = Store::open(dir.path(), &genesis).unwrap();
        run(store, &blocks, |store| {
            drop(store);
            Store::open(dir.path(), &genesis).unwrap()
        });
    }
}

#[test]
fn a_contract_destroyed_and_made_again_in_one_block_keeps_no_old_slot() {
    let store = Store::in_memory(&genesis_of(&genesis_model())).unwrap();
    let blocks = vec![
        vec![Op::Destroy(2), Op::Create(2, 1, vec![(0, 1), (4, 2)])],
        vec![Op::Write(2, vec![(6, 1)]), Op::Destroy(2)],
        vec![Op::Create(2, 2, vec![(6, 2)])],
        vec![
            Op::Destroy(2),
            Op::Create(2, 2, vec![(6, 2)]),
            Op::Destroy(2),
            Op::Create(2, 2, vec![(6, 2)]),
        ],
    ];
    run(store, &blocks, |store| store);
}

/// A bundle with one account that becomes `info`.
fn bundle(number: u8, info: Option<AccountInfo>) -> BundleState {
    BundleState::builder(0..=0)
        .state_present_account_info(address(number), info.unwrap_or_default())
        .build()
}

#[test]
fn empty_accounts_go_or_stay_as_the_fork_has_it() {
    let store = Store::in_memory(&genesis_of(&genesis_model())).unwrap();
    let mut state = bundle(6, None);
    for account in state.state.values_mut() {
        account.status = revm::database::AccountStatus::InMemoryChange;
    }
    let before = store.head().header.state_root;
    let (removed, _) = store.state_root(&(&state).into()).unwrap();
    assert_eq!(removed, before);
    let (kept, updates) = store
        .state_root_with(&(&state).into(), EmptyAccounts::Keep)
        .unwrap();
    let mut model = genesis_model();
    model.insert(address(6), Plain::default());
    assert_eq!(kept, model_root(&model));
    assert_eq!(updates.changed_accounts(), 1);
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let store = Store::in_memory(&genesis_of(&genesis_model())).unwrap();
    let mut model = genesis_model();
    let first = commit_of(&store, execute(&store, &mut model, &[Op::Pay(0, 5)]), 2);
    let other = commit_of(&store, execute(&store, &mut model, &[Op::Pay(0, 6)]), 2);
    let made = execute(
        &store,
        &mut genesis_model(),
        &[Op::Create(4, 0, vec![(1, 1)])],
    );
    let code = commit_of(&store, made.clone(), 0);

    let refused = |commit, part: &str| {
        let error = store.commit(commit).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(part), "{text}");
        assert_eq!(store.head().number, 0);
        error
    };
    let mut wrong = first.clone();
    wrong.block.header.parent_hash = B256::ZERO;
    assert!(matches!(
        refused(wrong, "does not follow"),
        StoreError::NotOnHead { .. }
    ));
    let mut wrong = first.clone();
    wrong.block.header.number = 2;
    refused(wrong, "does not follow");
    let mut wrong = first.clone();
    wrong.block.header.number = 0;
    refused(wrong, "does not follow");
    let mut wrong = first.clone();
    wrong.block.hash = B256::ZERO;
    refused(wrong, "its hash is");
    let mut wrong = first.clone();
    wrong.receipts.pop();
    refused(wrong, "1 receipts");
    let mut wrong = first.clone();
    wrong.block.senders.pop();
    refused(wrong, "1 senders");
    let mut wrong = first.clone();
    wrong.tries = other.tries.clone();
    refused(wrong, "state root");
    let mut wrong = first.clone();
    wrong.state = other.state.clone();
    refused(wrong, "differ in account");
    let mut without = made.clone();
    without.contracts.clear();
    for account in without.state.values_mut() {
        if let Some(info) = &mut account.info {
            info.code = None;
        }
    }
    let mut wrong = code.clone();
    wrong.state = without.into();
    refused(wrong, "which nobody supplied");

    store.commit(first).unwrap();
    let mut stale = code;
    stale.block.header.parent_hash = store.head().hash;
    stale.block.header.number = 2;
    stale.block.hash = stale.block.header.hash_slow();
    let error = store.commit(stale).unwrap_err();
    assert!(
        error.to_string().contains("were computed on block"),
        "{error}"
    );
    assert_eq!(store.head().number, 1);
    store.verify_state().unwrap();
}

#[test]
fn a_genesis_that_contradicts_itself_is_refused() {
    let good = genesis_of(&genesis_model());
    let refused = |genesis, part: &str| {
        let error = Store::in_memory(&genesis).unwrap_err();
        assert!(
            matches!(error, StoreError::InvalidGenesis { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(part), "{error}");
    };
    let mut bad = good.clone();
    bad.header.state_root = B256::ZERO;
    refused(bad, "state root");
    let mut bad = good.clone();
    bad.header.number = 1;
    refused(bad, "number 1");
    let mut bad = good.clone();
    bad.accounts.push(bad.accounts[0].clone());
    refused(bad, "twice");
    let mut bad = good.clone();
    bad.accounts[2].1.storage.push((B256::ZERO, U256::ONE));
    refused(bad, "twice");
}

#[test]
fn readers_see_whole_blocks_while_blocks_are_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = genesis_model();
    let store = Store::open(dir.path(), &genesis_of(&model)).unwrap();
    // Each block moves money from account 0 to account 5: the sum of both never changes.
    let last = 60u64;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let view = store.head_state().unwrap();
                    let balance = |n| {
                        let account = view.account(&address(n)).unwrap();
                        account.map_or(U256::ZERO, |account| account.balance)
                    };
                    // Time for a block to come in between.
                    let (from, to) = (balance(0), {
                        std::thread::yield_now();
                        balance(5)
                    });
                    assert_eq!(from + to, U256::from(1_000_000u64));
                    assert_eq!(to, U256::from(view.number()));
                    let old = store.state(view.number() / 2).unwrap();
                    let to = old
                        .account(&address(5))
                        .unwrap()
                        .map_or(U256::ZERO, |a| a.balance);
                    assert_eq!(to, U256::from(old.number()));
                    if view.number() == last {
                        break;
                    }
                }
            });
        }
        for _ in 0..last {
            let mut bundle = execute(&store, &mut model, &[Op::Send(0), Op::Pay(5, 1)]);
            let payer = bundle.state.get_mut(&address(0)).unwrap();
            payer.info.as_mut().unwrap().balance -= U256::ONE;
            model.get_mut(&address(0)).unwrap().balance -= U256::ONE;
            store.commit(commit_of(&store, bundle, 1)).unwrap();
        }
    });
    assert_eq!(store.head().header.state_root, model_root(&model));
}
