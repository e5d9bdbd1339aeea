//! The storage engines under the node's own batches, reads and proofs.

use std::{sync::Arc, time::Instant};

use pars_store::{
    FjallOptions, Genesis, Retention, Store,
    backend::{Backend, Batch, fjall::Fjall},
};

use crate::{
    Size, Turns,
    blocks::{Kind, account, attributes, candidates, executor, spec},
    folder,
    recorder::Recorder,
    redb::Redb,
};

pub fn run(size: Size) {
    for kind in [Kind::Transfers, Kind::Tokens] {
        let spec = spec(kind, size);
        let genesis = spec.genesis();
        let recorder = Recorder::default();
        let retention = Retention::default();
        let store = Store::with_backend(Arc::new(recorder.clone()), &genesis, retention).unwrap();
        let executor = executor(&spec);
        for number in 1..=size.blocks {
            let built = executor
                .build(&store, candidates(kind, size, number), attributes(number))
                .unwrap();
            store.commit(built.commit).unwrap();
        }
        let batches = recorder.take();
        let dir = folder();
        let fjall = Fjall::open(&dir.path().join("fjall"), &FjallOptions::default()).unwrap();
        let cache = usize::try_from(FjallOptions::default().cache_bytes).unwrap();
        let redb = Redb::open(&dir.path().join("chain.redb"), cache).unwrap();
        let engines: [(&str, Arc<dyn Backend>); 2] =
            [("fjall", Arc::new(fjall)), ("redb", Arc::new(redb))];
        play(kind, &engines, &batches);
        if kind == Kind::Transfers {
            for (who, engine) in &engines {
                reads(who, engine, &genesis, size);
            }
        }
        for name in ["fjall", "chain.redb"] {
            let bytes = disk_bytes(&dir.path().join(name));
            println!("  {}: {name} takes {} MiB", kind.name(), bytes >> 20);
        }
    }
}

/// Genesis at once, then a batch a block, each durable before the next.
fn play(kind: Kind, engines: &[(&str, Arc<dyn Backend>)], batches: &[Batch]) {
    let (first, rest) = batches.split_first().unwrap();
    let mut turns: Vec<Turns> = engines.iter().map(|_| Turns::default()).collect();
    let records = rest.iter().map(Batch::len).sum::<usize>() / rest.len();
    for ((who, engine), _) in engines.iter().zip(0..) {
        let started = Instant::now();
        engine.commit(first.clone()).unwrap();
        println!(
            "  genesis of {} records in one batch: {who} {:.2} s",
            first.len(),
            started.elapsed().as_secs_f64()
        );
    }
    for batch in rest {
        for ((_, engine), turns) in engines.iter().zip(&mut turns) {
            let batch = batch.clone();
            let started = Instant::now();
            engine.commit(batch).unwrap();
            turns.push(started.elapsed());
        }
    }
    for ((who, _), turns) in engines.iter().zip(&turns) {
        #[allow(clippy::cast_precision_loss)]
        turns.print(
            &format!("store/commit/{who}/{}-{records}", kind.name()),
            records as f64,
        );
    }
}

fn reads(who: &str, engine: &Arc<dyn Backend>, genesis: &Genesis, size: Size) {
    let store = Store::with_backend(Arc::clone(engine), genesis, Retention::default()).unwrap();
    let head = store.head_number();
    // Spread over the state, the same for everybody.
    let pick = |index: usize| account(index as u64 * 7919 % size.accounts);
    const CHUNK: usize = 50;
    #[allow(clippy::cast_precision_loss)]
    let chunk = CHUNK as f64;
    for (what, number) in [("head", head), ("past", head / 2)] {
        let view = store.state(number).unwrap();
        let mut turns = Turns::default();
        for at in (0..size.reads).step_by(CHUNK) {
            let started = Instant::now();
            for index in at..at + CHUNK {
                assert!(view.account(&pick(index)).unwrap().is_some());
            }
            turns.push(started.elapsed());
        }
        turns.print(&format!("store/account-{what}/{who}/{CHUNK}"), chunk);
        let mut turns = Turns::default();
        for at in (0..size.reads / 10).step_by(CHUNK) {
            let started = Instant::now();
            for index in at..at + CHUNK {
                let proof = store.prove(number, &pick(index), &[]).unwrap();
                assert!(!proof.nodes.is_empty());
            }
            turns.push(started.elapsed());
        }
        turns.print(&format!("store/prove-{what}/{who}/{CHUNK}"), chunk);
    }
}

fn disk_bytes(path: &std::path::Path) -> u64 {
    let data = std::fs::metadata(path).unwrap();
    if !data.is_dir() {
        return data.len();
    }
    std::fs::read_dir(path)
        .unwrap()
        .map(|entry| disk_bytes(&entry.unwrap().path()))
        .sum()
}
