//! What is kept of the past: the window of states and proofs, pruning, and the checks that find
//! what is wrong in a whole store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::*;
use pars_store::{
    BlockCommit, Kept, Retention, Store, StoreError,
    backend::{Backend, Batch, Snapshot, Table, memory::Memory},
};
use proptest::prelude::*;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// An engine in memory that outlives its store, and can be made to fail.
#[derive(Clone, Debug)]
struct Engine {
    memory: Arc<Memory>,
    /// Batches until it fails.
    left: Arc<AtomicUsize>,
}

impl Engine {
    fn new() -> Self {
        Self {
            memory: Arc::default(),
            left: Arc::new(AtomicUsize::new(usize::MAX)),
        }
    }

    fn store(&self, retention: Retention) -> Store {
        let genesis = genesis_of(&genesis_model());
        Store::with_backend(Arc::new(self.clone()), &genesis, retention).unwrap()
    }

    fn fail_after(&self, batches: usize) {
        self.left.store(batches, Ordering::SeqCst);
    }
}

impl Backend for Engine {
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        self.memory.snapshot()
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(StoreError::DiskFull { doing: "write" });
        }
        self.left.store(left.saturating_sub(1), Ordering::SeqCst);
        self.memory.commit(batch)
    }
}

/// Adds a block; the state after it.
fn extend(store: &Store, models: &mut Vec<Model>, ops: &[Op]) {
    let mut model = models.last().unwrap().clone();
    let bundle = execute(store, &mut model, ops);
    store
        .commit(commit_of(store, bundle, ops.len() % 4))
        .unwrap();
    models.push(model);
}

/// Everything inside the window is right, everything outside is refused, and all checks pass.
fn check(store: &Store, models: &[Model], kept: Kept) {
    assert_eq!(store.kept().unwrap(), kept);
    let head = store.head_number();
    for (number, model) in models.iter().enumerate() {
        let number = number as u64;
        if number >= kept.oldest_state {
            check_state(store, number, model);
        } else {
            let wanted = model_root(model);
            let error = store.state(number).unwrap_err();
            assert!(
                matches!(error, StoreError::StateNotKept { number: n, root, oldest }
                    if n == number && root == wanted && oldest == kept.oldest_state),
                "{error}"
            );
        }
        if number >= kept.oldest_proof {
            check_proofs(model, |address, slots| {
                store.prove(number, address, slots).unwrap()
            });
        } else {
            let error = store.prove(number, &address(0), &[]).unwrap_err();
            assert!(
                matches!(error, StoreError::ProofNotKept { number: n, oldest, head: h }
                    if n == number && oldest == kept.oldest_proof && h == head),
                "{error}"
            );
        }
        // Blocks and receipts stay.
        assert_eq!(
            store.header(number).unwrap().unwrap().state_root,
            model_root(model)
        );
        assert!(store.block(number).unwrap().is_some());
        assert!(store.receipts(number).unwrap().is_some());
    }
    assert!(matches!(
        store.prove(head + 1, &address(0), &[]),
        Err(StoreError::UnknownBlock { .. })
    ));
    verify(store).unwrap();
}

fn verify(store: &Store) -> Result<(), StoreError> {
    store.verify_state()?;
    store.verify_blocks(|_| {})?;
    store.verify_history(|_| {})?;
    Ok(())
}

fn window(states: u64, proofs: u64) -> Retention {
    Retention {
        states: Some(states),
        proofs,
    }
}

fn blocks(most: usize) -> impl Strategy<Value = Vec<Vec<Op>>> {
    prop::collection::vec(prop::collection::vec(op(), 0..10), 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]
    /// The window moves with the head, whatever its size.
    #[test]
    fn the_window_moves_with_the_head(blocks in blocks(12), states in 0u64..6, proofs in 0u64..6) {
        let engine = Engine::new();
        let store = engine.store(window(states, proofs));
        let mut models = vec![genesis_model()];
        for (number, ops) in (1u64..).zip(&blocks) {
            extend(&store, &mut models, ops);
            let oldest_state = number.saturating_sub(states.max(1));
            check(&store, &models, Kept {
                oldest_state,
                oldest_proof: number.saturating_sub(proofs.max(1)).max(oldest_state),
            });
        }
    }

    /// What each block changed gives its root on its parent again, however old that is, and an error
    /// where the parent's trie nodes are gone.
    #[test]
    fn what_followed_an_older_block_has_its_root(blocks in blocks(12), proofs in 1u64..12) {
        let store = Engine::new().store(window(20, proofs));
        let mut models = vec![genesis_model()];
        let mut bundles = Vec::new();
        for ops in &blocks {
            let mut model = models.last().unwrap().clone();
            let bundle = execute(&store, &mut model, ops);
            store.commit(commit_of(&store, bundle.clone(), 0)).unwrap();
            models.push(model);
            bundles.push(bundle);
        }
        let head = store.head_number();
        for (parent, (bundle, after)) in (0..).zip(bundles.iter().zip(&models[1..])) {
            let tip = store.tip_at(parent).unwrap();
            prop_assert_eq!(tip.head().number, parent);
            let result = tip.state_root(&bundle.into(), Default::default());
            if parent + proofs < head {
                prop_assert!(
                    matches!(result, Err(StoreError::ProofNotKept { number, .. }) if number == parent),
                    "{result:?}"
                );
                continue;
            }
            let (root, tries) = result.unwrap();
            prop_assert_eq!(root, model_root(after), "on block {}", parent);
            // It is there to compute on, not to build on: the state below is that of the newest block.
            let child = BlockCommit {
                block: store.block(parent + 1).unwrap().unwrap(),
                receipts: store.receipts(parent + 1).unwrap().unwrap(),
                state: bundle.into(),
                tries,
            };
            let extended = tip.extend(child);
            prop_assert!(matches!(extended, Err(StoreError::NotOnHead { .. })), "{extended:?}");
        }
        let newest = store.tip_at(head).unwrap();
        prop_assert_eq!(newest.head(), &store.head());
        let newer = store.tip_at(head + 1);
        prop_assert!(matches!(newer, Err(StoreError::UnknownBlock { .. })), "{newer:?}");
    }

    /// Pruning an archive, interrupted at any batch and done again by a smaller step.
    #[test]
    fn pruning_survives_a_crash(
        blocks in blocks(14), states in 0u64..6, proofs in 1u64..6, fail in 0usize..8, size in 1usize..40,
    ) {
        let engine = Engine::new();
        let mut models = vec![genesis_model()];
        let store = engine.store(Retention { states: None, proofs: 1000 });
        for ops in &blocks {
            extend(&store, &mut models, ops);
        }
        let whole = Kept { oldest_state: 0, oldest_proof: 0 };
        check(&store, &models, whole);
        engine.fail_after(fail);
        let first = store.prune(window(states, proofs), size, |_| {});
        drop(store);
        engine.fail_after(usize::MAX);
        let store = engine.store(Retention { states: None, proofs: 1000 });
        if first.is_err() {
            // Somewhere on the way, and whole.
            check(&store, &models, store.kept().unwrap());
        }
        let mut last = None;
        let done = store.prune(window(states, proofs), 1, |progress| last = Some(progress)).unwrap();
        let head = blocks.len() as u64;
        let oldest_state = head.saturating_sub(states.max(1));
        let kept = Kept { oldest_state, oldest_proof: head.saturating_sub(proofs).max(oldest_state) };
        check(&store, &models, kept);
        if let Some(last) = last {
            prop_assert_eq!(last, done);
            prop_assert_eq!(done.blocks, done.total);
        }
        // Nothing is left to do, and the chain goes on.
        prop_assert_eq!(store.prune(window(states, proofs), 1, |_| {}).unwrap().records, 0);
        extend(&store, &mut models, &[Op::Pay(0, 1)]);
        check(&store, &models, kept);
    }
}

#[test]
fn a_smaller_window_is_reached_beside_the_work() {
    let engine = Engine::new();
    let store = engine.store(Retention::ARCHIVE);
    let mut models = vec![genesis_model()];
    for n in 0..20 {
        extend(
            &store,
            &mut models,
            &[Op::Pay(n % 7, 5), Op::Write(2, vec![(n % 12, n % 3)])],
        );
    }
    drop(store);
    let store = engine.store(window(2, 2));
    let mut before = 0;
    for _ in 0..7 {
        extend(&store, &mut models, &[Op::Pay(1, 5)]);
        let kept = store.kept().unwrap();
        assert!(
            kept.oldest_state - before <= 4,
            "a commit takes a few blocks at a time"
        );
        before = kept.oldest_state;
        verify(&store).unwrap();
    }
    let kept = Kept {
        oldest_state: 25,
        oldest_proof: 25,
    };
    check(&store, &models, kept);
    drop(store);
    // An archive does not bring back what is gone, and loses nothing more.
    let store = engine.store(Retention::ARCHIVE);
    for _ in 0..5 {
        extend(&store, &mut models, &[Op::Pay(1, 5)]);
    }
    check(&store, &models, kept);
}

/// The quick check of every start.
#[test]
fn a_store_whose_root_node_is_damaged_does_not_open() {
    let engine = Engine::new();
    let store = engine.store(Retention::ARCHIVE);
    extend(&store, &mut vec![genesis_model()], &[Op::Pay(0, 1)]);
    drop(store);
    // The path of the root has no nibbles.
    let mut root = engine
        .memory
        .snapshot()
        .get(Table::AccountTrie, &[0])
        .unwrap()
        .unwrap();
    *root.last_mut().unwrap() ^= 1;
    for damaged in [Some(root), None] {
        let mut batch = Batch::new();
        batch.set(Table::AccountTrie, [0], damaged);
        engine.commit(batch).unwrap();
        let genesis = genesis_of(&genesis_model());
        let opened = Store::with_backend(Arc::new(engine.clone()), &genesis, Retention::ARCHIVE);
        assert!(
            matches!(opened, Err(StoreError::Corrupt { .. })),
            "{opened:?}"
        );
    }
}

/// One record of each table changed, removed, or put in: some check says so, and says where.
#[test]
fn whatever_is_wrong_is_found() {
    let build = || {
        let engine = Engine::new();
        let store = engine.store(window(6, 4));
        let mut models = vec![genesis_model()];
        for n in 0..12u8 {
            let ops = [
                Op::Pay(n % 7, 5),
                Op::Write(2, vec![(n % 12, n % 3), ((n + 1) % 12, 2)]),
                Op::Create(4, 1, vec![(1, 1), (3, 2)]),
            ];
            extend(&store, &mut models, &ops);
        }
        (engine, store)
    };
    verify(&build().1).unwrap();
    let mut found = 0;
    for table in Table::ALL {
        // Nothing waits for its table here.
        if [Table::Meta, Table::Pending].contains(&table) {
            continue;
        }
        let records: Vec<_> = {
            let snapshot = build().0.memory.snapshot();
            let all = snapshot.range(table, &[], None);
            all.map(Result::unwrap).collect()
        };
        assert!(!records.is_empty(), "{}", table.name());
        let some = [0, records.len() / 2, records.len() - 1];
        for (key, value) in some.map(|at| records[at].clone()) {
            let mut other = value.clone();
            match other.last_mut() {
                Some(byte) => *byte ^= 1,
                None => other.push(0x80),
            }
            let mut near = key.clone();
            *near.last_mut().unwrap() ^= 0x40;
            let fresh = !records.iter().any(|(key, _)| *key == near);
            let mut harms = vec![(key.clone(), None), (key, Some(other))];
            if fresh && table != Table::Code {
                harms.push((near, Some(value)));
            }
            for (key, value) in harms {
                // Two transactions of the chain may share a place only if one of them is wrong.
                let (engine, store) = build();
                let mut batch = Batch::new();
                batch.set(table, key.clone(), value.clone());
                engine.memory.commit(batch).unwrap();
                let error = verify(&store).expect_err(&format!(
                    "{} {key:02x?} {value:02x?} went unnoticed",
                    table.name()
                ));
                assert!(
                    matches!(
                        error,
                        StoreError::InconsistentBlock { .. }
                            | StoreError::InconsistentState { .. }
                            | StoreError::MissingCode { .. }
                            | StoreError::Corrupt { .. }
                    ),
                    "{error}"
                );
                found += 1;
            }
        }
    }
    println!("{found} kinds of damage, all found");
    assert!(found > 80, "{found}");
}

#[test]
fn tables_are_counted() {
    let engine = Engine::new();
    let store = engine.store(Retention::default());
    let mut models = vec![genesis_model()];
    for n in 0..5u8 {
        extend(&store, &mut models, &[Op::Pay(n, 1), Op::Pay(n + 1, 1)]);
    }
    let headers = store.table_stats(Table::Headers).unwrap();
    assert_eq!((headers.records, headers.key_bytes), (6, 48));
    assert!(headers.value_bytes > 6 * 500, "{headers:?}");
    assert!(store.disk_bytes().is_empty());
    let accounts = store.table_stats(Table::Accounts).unwrap();
    assert_eq!(accounts.records, models.last().unwrap().len() as u64);
    let lookup = store.table_stats(Table::TxLookup).unwrap();
    assert_eq!(lookup.records, 10);
}
