//! A block's execution: bare revm over a map, the node over its store in memory, and the node with roots
//! and the durable write on disk.
//!
//! Bare revm has every account in its map before it begins, makes no receipts and keeps no note of what a block
//! changes. The store on disk is measured when its caches are empty (`cold`), on accounts that no block has touched
//! before, and after as many blocks as it takes until each account was in one.

use std::{sync::Arc, time::Instant};

use alloy_consensus::{Transaction as _, TxEnvelope, TxReceipt, transaction::Recovered};
use pars_store::{Retention, Store, StoreOptions, backend::memory::Memory};
use revm::{
    Context, ExecuteCommitEvm as _, MainBuilder as _, MainContext as _,
    context::TxEnv,
    database::{CacheDB, EmptyDB},
    primitives::hardfork::SpecId,
    state::{AccountInfo, Bytecode},
};

use crate::{
    Size, Turns,
    blocks::{GAS, Kind, attributes, candidates, executor, searching, spec},
    folder,
};

/// What is measured.
const ROWS: [&str; 8] = [
    "execute/bare-revm",
    "execute/pars-memory",
    "execute/pars-disk",
    "execute-roots/pars-disk",
    "execute-roots-commit/pars-disk",
    "roots/pars-disk",
    "commit/pars-disk",
    "search-execute/pars-memory",
];

/// `wanted` tells which kinds of blocks.
pub fn run(size: Size, wanted: impl Fn(&str) -> bool) {
    for kind in Kind::ALL {
        if wanted(kind.name()) {
            one(kind, size);
        }
    }
}

fn tx_env(transaction: &Recovered<TxEnvelope>) -> TxEnv {
    TxEnv {
        tx_type: 2,
        caller: transaction.signer(),
        gas_limit: transaction.gas_limit(),
        gas_price: transaction.max_fee_per_gas(),
        kind: transaction.kind(),
        value: transaction.value(),
        data: transaction.input().clone(),
        nonce: transaction.nonce(),
        chain_id: transaction.chain_id(),
        gas_priority_fee: transaction.max_priority_fee_per_gas(),
        ..TxEnv::default()
    }
}

fn one(kind: Kind, size: Size) {
    let spec = spec(kind, size);
    let genesis = spec.genesis();
    let mut bare = CacheDB::new(EmptyDB::default());
    for (address, account) in &genesis.accounts {
        let code = Bytecode::new_raw(account.code.clone());
        let info = AccountInfo::new(account.balance, account.nonce, code.hash_slow(), code);
        bare.insert_account_info(*address, info);
        for (slot, value) in &account.storage {
            bare.insert_account_storage(*address, (*slot).into(), *value)
                .unwrap();
        }
    }
    let memory =
        || Store::with_backend(Arc::new(Memory::new()), &genesis, Retention::ARCHIVE).unwrap();
    let (in_memory, of_search) = (memory(), memory());
    let dir = folder();
    let stored = Store::open_with(dir.path(), &genesis, &StoreOptions::default()).unwrap();
    let searching = searching(&spec);
    let executor = executor(&spec);

    let mut cold: [Turns; ROWS.len()] = Default::default();
    let mut warm: [Turns; ROWS.len()] = Default::default();
    let (mut elements, mut used) = (0, 0);
    let warmed = size.blocks + kind.round(size);
    for number in 1..=warmed + size.blocks {
        let mut unmeasured = Default::default();
        let turns = match number {
            number if number <= size.blocks => &mut cold,
            number if number <= warmed => &mut unmeasured,
            _ => &mut warm,
        };
        let candidates = candidates(kind, size, number);
        let parent = in_memory.head().header;
        let environments: Vec<_> = candidates.iter().map(tx_env).collect();

        let started = Instant::now();
        let mut evm = Context::mainnet()
            .with_db(&mut bare)
            .modify_cfg_chained(|config| {
                config.chain_id = 6133;
                config.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
            })
            .modify_block_chained(|block| {
                block.number = alloy_primitives::U256::from(number);
                block.timestamp = alloy_primitives::U256::from(attributes(number).timestamp);
                block.gas_limit = GAS;
                block.basefee = spec.next_base_fee(&parent);
                block.prevrandao = Some(Default::default());
            })
            .build_mainnet();
        let mut gas = 0;
        for environment in environments {
            gas += evm.transact_commit(environment).unwrap().tx_gas_used();
        }
        turns[0].push(started.elapsed());
        used = gas;

        // As the node does it where nobody switches it off: what the block will ask of the engine is sought first.
        let taken = || {
            let stats = searching.stats();
            stats.collect_micros + stats.answer_micros + stats.execute_micros
        };
        let before = taken();
        let built = searching
            .build(&of_search, candidates.clone(), attributes(number))
            .unwrap();
        turns[7].push(std::time::Duration::from_micros(taken() - before));
        of_search.commit(built.commit).unwrap();

        // Only the run itself: the node counts that time.
        let before = executor.stats().execute_micros;
        let built = executor
            .build(&in_memory, candidates.clone(), attributes(number))
            .unwrap();
        let run = executor.stats().execute_micros - before;
        turns[1].push(std::time::Duration::from_micros(run));
        assert!(built.skipped.is_empty(), "{:?}", built.skipped);
        assert_eq!(built.commit.block.transactions.len(), candidates.len());
        assert_eq!(built.commit.block.header.gas_used, gas, "the same work");
        let succeeded = built.commit.receipts.iter().all(TxReceipt::status);
        assert!(succeeded || kind == Kind::Hashing, "a call was reverted");
        elements = candidates.len();
        let block = built.commit.block.clone();
        in_memory.commit(built.commit).unwrap();

        let before = executor.stats().execute_micros;
        let started = Instant::now();
        let built = executor
            .build(&stored, candidates, attributes(number))
            .unwrap();
        let with_roots = started.elapsed();
        let run = executor.stats().execute_micros - before;
        assert_eq!(built.commit.block.hash, block.hash);
        stored.commit(built.commit).unwrap();
        let whole = started.elapsed();
        turns[2].push(std::time::Duration::from_micros(run));
        turns[3].push(with_roots);
        turns[4].push(whole);
        turns[5].push(with_roots - std::time::Duration::from_micros(run));
        turns[6].push(whole - with_roots);
    }
    let name = kind.name();
    println!("  {name}: {elements} transactions, {used} gas in the last block");
    #[allow(clippy::cast_precision_loss)]
    let elements = elements as f64;
    let ratio = |turns: &Turns, base: &Turns| {
        turns.quantile(10).as_secs_f64() / base.quantile(10).as_secs_f64()
    };
    for (turns, state) in [(&warm, ""), (&cold, "-cold")] {
        for (row, turns) in ROWS.iter().zip(turns) {
            // What does not touch the disk is the same in both.
            if state.is_empty() || row.ends_with("disk") {
                turns.print(&format!("node/{row}{state}/{name}"), elements);
            }
        }
        println!(
            "  {name}: in memory {:.2} of bare revm, {:.2} with the search for questions; on disk{state} {:.2}, with roots {:.2}, with the durable write {:.2}",
            ratio(&turns[1], &turns[0]),
            ratio(&turns[7], &turns[0]),
            ratio(&turns[2], &turns[0]),
            ratio(&turns[3], &turns[0]),
            ratio(&turns[4], &turns[0])
        );
    }
}
