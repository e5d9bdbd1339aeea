//! A first state with many accounts: from a genesis file in memory to a store on disk.

use std::time::Instant;

use alloy_genesis::Genesis;
use pars_evm::ChainSpec;
use pars_store::{Store, StoreOptions};

use crate::{
    Size, Turns,
    blocks::{account, funded},
    folder,
};

pub fn run(size: Size) {
    let spec =
        ChainSpec::dev().with_alloc((0..size.genesis).map(|number| (account(number), funded())));
    let text = serde_json::to_string(&spec.to_genesis()).unwrap();
    let mut turns: [Turns; 2] = Default::default();
    let started = Instant::now();
    let genesis: Genesis = serde_json::from_str(&text).unwrap();
    let genesis = ChainSpec::from_genesis(&genesis).unwrap().genesis();
    turns[0].push(started.elapsed());
    let dir = folder();
    let store = Store::open_with(dir.path(), &genesis, &StoreOptions::default()).unwrap();
    turns[1].push(started.elapsed());
    assert_eq!(store.head_number(), 0);
    #[allow(clippy::cast_precision_loss)]
    let elements = size.genesis as f64;
    for (what, turns) in ["parse-genesis", "import-genesis"].iter().zip(&turns) {
        turns.print(&format!("node/{what}/pars/{}", size.genesis), elements);
    }
    drop(store);
    let started = Instant::now();
    Store::open_existing(dir.path(), &StoreOptions::default()).unwrap();
    let mut turns = Turns::default();
    turns.push(started.elapsed());
    turns.print(&format!("node/open/pars/{}", size.genesis), elements);
}
