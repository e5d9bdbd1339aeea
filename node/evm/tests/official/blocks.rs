//! Blockchain tests: blocks in RLP on a genesis, some of them invalid.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use alloy_genesis::{ChainConfig, Genesis};
use alloy_primitives::{B256, FixedBytes, U256};
use pars_evm::{Executed, Executor, decode_block};
use pars_store::{Overlay, Store, Tip};
use serde_json::Value;

use crate::{
    json, refusals,
    spec::{self, Network},
    suite::{self, Files},
};

#[test]
fn blockchain_tests() {
    let Some(folder) = suite::folder("evm") else {
        return;
    };
    for (title, name, start) in [
        ("blockchain tests", "blockchain_tests", ""),
        ("benchmark blocks", "benchmark_blocks", ""),
        ("blockchain tests of EIP-7610", "revm_limits", "block"),
    ] {
        if let Some(files) = Files::beginning(&folder.join(name), start) {
            suite::run(title, &files, check);
        }
    }
}

/// geth's genesis file of a test.
fn genesis(test: &Value, config: ChainConfig) -> Genesis {
    let header = &test["genesisBlockHeader"];
    let optional = |key: &str| header[key].as_str().map(|_| json::small(&header[key]));
    let mut genesis = Genesis::default()
        .with_timestamp(json::small(&header["timestamp"]))
        .with_extra_data(json::bytes(&header["extraData"]))
        .with_gas_limit(json::small(&header["gasLimit"]))
        .with_mix_hash(json::hash(&header["mixHash"]))
        .with_coinbase(json::address(&header["coinbase"]))
        .with_base_fee(optional("baseFeePerGas").map(u128::from))
        .extend_accounts(json::alloc(&test["pre"]));
    genesis.difficulty = json::number(&header["difficulty"]);
    genesis.nonce = json::small(&header["nonce"]);
    genesis.excess_blob_gas = optional("excessBlobGas");
    genesis.blob_gas_used = optional("blobGasUsed");
    genesis.config = config;
    genesis
}

/// Executors of a test's chain: one, or, where total difficulty decides on the merge, one for each
/// block that it can come at.
struct Rules<'a> {
    test: &'a Value,
    network: Network,
    executors: BTreeMap<Option<u64>, [Executor; 2]>,
}

impl<'a> Rules<'a> {
    fn of(test: &'a Value) -> Self {
        Self {
            test,
            network: Network::parse(json::text(test, "network")),
            executors: BTreeMap::new(),
        }
    }

    /// As is the default, and with each transaction run before its turn.
    fn executors(&mut self, merge: Option<u64>) -> &[Executor; 2] {
        let Self { test, network, .. } = self;
        self.executors.entry(merge).or_insert_with(|| {
            let genesis = genesis(test, network.config(test, merge));
            let spec = spec::spec(&genesis);
            [spec::executor(&spec), spec::rehearsing(&spec)]
        })
    }
}

/// A block that was taken, and what the blocks after it stand on.
struct Taken {
    tip: Tip,
    total_difficulty: U256,
    /// First block without work, where that is known by now.
    merge: Option<u64>,
    /// The block, where it is held beside the store.
    overlay: Option<Overlay>,
}

/// The blocks of a test. Where all stand on one another the store has them; where they branch, as
/// they could while work decided, they are held in memory, and the store has the heaviest branch in
/// the end.
struct Chain<'a> {
    rules: Rules<'a>,
    store: Store,
    branches: bool,
    taken: HashMap<B256, Taken>,
    head: B256,
}

impl<'a> Chain<'a> {
    fn begin(test: &'a Value) -> Result<Self, String> {
        let mut rules = Rules::of(test);
        let spec = Arc::clone(rules.executors(None)[0].spec());
        let expected = json::hash(&test["genesisBlockHeader"]["hash"]);
        if spec.genesis_hash() != expected {
            return Err(format!(
                "genesis {:?}, not {}",
                spec.genesis_header(),
                test["genesisBlockHeader"]
            ));
        }
        let store = Store::in_memory(&spec.genesis()).unwrap();
        let mut chain = Self {
            rules,
            store,
            branches: branches(test),
            taken: HashMap::new(),
            head: expected,
        };
        let tip = chain.store.tip().unwrap();
        chain.remember(tip, U256::ZERO, None, None);
        Ok(chain)
    }

    fn remember(
        &mut self,
        tip: Tip,
        difficulty_before: U256,
        merge: Option<u64>,
        overlay: Option<Overlay>,
    ) {
        let head = tip.head();
        let (hash, next) = (head.hash, head.number + 1);
        let total_difficulty = difficulty_before + head.header.difficulty;
        let terminal = self.rules.network.terminal_difficulty();
        let reached = terminal.is_some_and(|terminal| total_difficulty >= terminal);
        self.taken.insert(
            hash,
            Taken {
                tip,
                total_difficulty,
                merge: merge.or_else(|| reached.then_some(next)),
                overlay,
            },
        );
    }

    /// Takes a block, or says why not.
    fn take(&mut self, rlp: &[u8]) -> Result<(), String> {
        let block = decode_block(rlp).map_err(|error| format!("RLP: {error}"))?;
        let parent = self
            .taken
            .get(&block.header.parent_hash)
            .ok_or("the block's parent is not known")?;
        let (before, merge) = (parent.total_difficulty, parent.merge);
        let [usual, rehearsed] = self.rules.executors(merge).each_ref().map(|executor| {
            let executed = executor.verify_on(&parent.tip, &block);
            executed.map_err(|error| error.to_string())
        });
        let receipts = |executed: &Executed| executed.commit.receipts.clone();
        let (a, b) = (
            usual.as_ref().map(receipts),
            rehearsed.as_ref().map(receipts),
        );
        if a != b {
            return Err(format!("rehearsed: {b:?}, usual: {a:?}"));
        }
        let executed = usual?;
        if self.branches {
            let overlay = parent.tip.extend(executed.commit).unwrap();
            let tip = overlay.tip().clone();
            self.remember(tip, before, merge, Some(overlay));
        } else {
            self.store.commit(executed.commit).unwrap();
            self.taken.clear();
            self.remember(self.store.tip().unwrap(), before, merge, None);
        }
        // Work decides while there is some; then the last one taken is the one that was chosen.
        let weight = |hash: &B256| self.taken.get(hash).map(|one| one.total_difficulty);
        if block.header.difficulty.is_zero() || weight(&block.hash) > weight(&self.head) {
            self.head = block.hash;
        }
        Ok(())
    }

    /// The store with the chosen chain in it.
    fn finish(self) -> Store {
        let mut chosen = Vec::new();
        let mut hash = self.head;
        while let Some(overlay) = self.taken.get(&hash).and_then(|one| one.overlay.as_ref()) {
            chosen.push(overlay);
            hash = overlay.parent();
        }
        for overlay in chosen.into_iter().rev() {
            self.store.accept(overlay).unwrap();
        }
        self.store
    }
}

/// Whether some block of a test stands on another than the last one before it that is good.
fn branches(test: &Value) -> bool {
    let mut head = json::hash(&test["genesisBlockHeader"]["hash"]);
    for block in test["blocks"].as_array().unwrap() {
        let Ok(decoded) = decode_block(&json::bytes(&block["rlp"])) else {
            continue;
        };
        if decoded.header.parent_hash != head {
            return true;
        }
        if refusal(test, block).is_none() {
            head = decoded.hash;
        }
    }
    false
}

/// Why a block must be refused; nothing where it is good. Older files name a reason for each of
/// several networks, and a good block is shown in full.
fn refusal<'a>(test: &Value, block: &'a Value) -> Option<&'a str> {
    let network = json::text(test, "network");
    let keys = [
        "expectException".to_owned(),
        "expectExceptionALL".to_owned(),
        format!("expectException{network}"),
    ];
    let named = keys.iter().find_map(|key| block[key].as_str());
    named.or_else(|| {
        let bad = block["blockHeader"].is_null();
        bad.then_some("a reason that the file does not name")
    })
}

fn check(test: &Value) -> Result<(), String> {
    let mut chain = Chain::begin(test)?;
    for (index, block) in test["blocks"].as_array().unwrap().iter().enumerate() {
        let taken = chain.take(&json::bytes(&block["rlp"]));
        match (taken, refusal(test, block)) {
            (Ok(()), None) => {}
            // Some legacy blocks have a second fault, which is found first: their headers are not
            // those of their transactions.
            (Err(error), Some(_)) if error.starts_with("transactions root") => {}
            (Err(error), Some(expected)) => refusals::matches(expected, &error)
                .map_err(|error| format!("block {index}: {error}"))?,
            (Ok(_), Some(expected)) => {
                return Err(format!("block {index}: taken, not refused: {expected}"));
            }
            (Err(error), None) => return Err(format!("block {index}: refused: {error}")),
        }
    }
    let store = chain.finish();
    let last = json::hash(&test["lastblockhash"]);
    if store.head().hash != last {
        return Err(format!("head {}, not {last}", store.head().hash));
    }
    // Every root again, from flat state and without the tries.
    store.verify_state().map_err(|error| error.to_string())?;
    // Where the accounts are too many to be listed there is only their root, which the header has.
    match &test["postState"] {
        Value::Null => {
            let root = json::hash(&test["postStateHash"]);
            let found = store.head().header.state_root;
            (found == root)
                .then_some(())
                .ok_or_else(|| format!("state root {found}, not {root}"))
        }
        accounts => check_accounts(&store, accounts),
    }
}

/// The accounts at the end are those the test names, and none besides (the root says so too).
fn check_accounts(store: &Store, expected: &Value) -> Result<(), String> {
    let state = store.head_state().unwrap();
    for (address, account) in json::alloc(expected) {
        let found = state
            .account(&address)
            .unwrap()
            .ok_or_else(|| format!("no account {address}"))?;
        if (Some(found.nonce), found.balance) != (account.nonce, account.balance) {
            return Err(format!("account {address}: {found:?}, not {account:?}"));
        }
        if Some(state.code_of(&address).unwrap()) != account.code {
            return Err(format!("account {address}: other code"));
        }
        for (slot, value) in account.storage.unwrap_or_default() {
            let found = state.storage(&address, &slot.into()).unwrap();
            if B256::from(found) != FixedBytes(*value) {
                return Err(format!(
                    "account {address}, slot {slot}: {found}, not {value}"
                ));
            }
        }
    }
    Ok(())
}
