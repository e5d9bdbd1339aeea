//! kill -9 in the middle of a stream of blocks, many times: the store comes up at a block that
//! was committed, no block reported as committed is missing, and the state is whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use common::{redb::Redb, *};
use pars_store::{FjallOptions, Retention, Store, StoreOptions};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

const CHILD: &str = "PARS_STORE_TEST_CRASH";
const ENGINE: &str = "PARS_STORE_TEST_CRASH_ENGINE";
/// How often a process is killed; `PARS_TEST_KILLS` asks for more.
const KILLS: u64 = 20;
/// The same with the engine that is only compared with ours.
const PEER_KILLS: u64 = 5;

/// Small windows: each block removes something too.
const RETENTION: Retention = Retention {
    states: Some(40),
    proofs: 8,
};

/// The storage engines that are killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Engine {
    Fjall,
    Redb,
}

impl Engine {
    fn open(self, dir: &Path) -> Store {
        let genesis = genesis_of(&genesis_model());
        if self == Self::Redb {
            let engine = Redb::open(&dir.join("chain.redb"), 16 << 20).unwrap();
            return Store::with_backend(Arc::new(engine), &genesis, RETENTION).unwrap();
        }
        // Small buffers: the engine writes out tables, compacts them and changes journals all the
        // time, so that kills come in the middle of that too.
        let options = StoreOptions {
            engine: FjallOptions {
                table_buffer_bytes: 16 << 10,
                ..Default::default()
            },
            retention: RETENTION,
            ..Default::default()
        };
        Store::open_with(dir, &genesis, &options).unwrap()
    }
}

/// The operations of block `number`: a function of the number, so that whoever knows the
/// height knows the state.
fn ops(number: u64) -> Vec<Op> {
    let mut rng = StdRng::seed_from_u64(number);
    let mut small = |n: u32| (rng.next_u32() % n) as u8;
    (0..20)
        .map(|_| {
            let account = small(u32::from(ACCOUNTS));
            let writes = (0..small(8)).map(|_| (small(12), small(3))).collect();
            match small(8) {
                0 | 1 => Op::Pay(account, u64::from(small(200)) + 1),
                2 => Op::Send(account),
                3 => Op::Destroy(account),
                4 | 5 => Op::Create(account, small(3), writes),
                _ => Op::Write(account, writes),
            }
        })
        .collect()
}

/// Not a test of its own: the process that is killed.
#[test]
fn child_that_commits_for_ever() {
    let Some(dir) = std::env::var_os(CHILD) else {
        return;
    };
    let engine = match std::env::var(ENGINE).unwrap().as_str() {
        "redb" => Engine::Redb,
        _ => Engine::Fjall,
    };
    let store = engine.open(Path::new(&dir));
    let mut model = genesis_model();
    for number in 1..=store.head().number {
        advance(&mut model, number);
    }
    loop {
        let number = store.head().number + 1;
        let bundle = execute(&store, &mut model, &ops(number));
        let commit = commit_of(&store, bundle, 5);
        assert_eq!(commit.tries.root(), model_root(&model));
        let hash = commit.block.hash;
        store.commit(commit).unwrap();
        println!("committed {number} {hash}");
    }
}

/// The model after one more block, without a store.
fn advance(model: &mut Model, number: u64) {
    let scratch = Store::in_memory(&genesis_of(model)).unwrap();
    execute(&scratch, model, &ops(number));
}

#[test]
fn nothing_accepted_is_lost_when_the_process_is_killed() {
    kill_and_look(Engine::Fjall, KILLS);
}

#[test]
fn nothing_accepted_is_lost_by_the_other_engine_either() {
    kill_and_look(Engine::Redb, PEER_KILLS);
}

fn kill_and_look(engine: Engine, kills: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = StdRng::seed_from_u64(20);
    let mut model = genesis_model();
    let mut checked = 0;
    let mut reported = vec![engine.open(dir.path()).head().hash];
    let kills = std::env::var("PARS_TEST_KILLS").map_or(kills, |text| text.parse().unwrap());
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_commits_for_ever", "--nocapture"])
            .env(CHILD, dir.path())
            .env(ENGINE, format!("{engine:?}").to_lowercase())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        // Some kills come in the middle of opening, most in the middle of a commit.
        let pause = Duration::from_micros(
            rng.random_range(0..if kill % 4 == 0 { 60_000 } else { 400_000 }),
        );
        let reader = std::thread::spawn(move || {
            // A line cut off by the kill reports nothing.
            out.lines()
                .map_while(Result::ok)
                .filter_map(|line| {
                    let (number, hash) = line.split_once("committed ")?.1.split_once(' ')?;
                    Some((
                        number.parse::<u64>().ok()?,
                        hash.parse::<alloy_primitives::B256>().ok()?,
                    ))
                })
                .collect::<Vec<_>>()
        });
        std::thread::sleep(pause);
        child.kill().unwrap();
        // The next process starts at once, while this one may still be dying.
        let store = engine.open(dir.path());
        child.wait().unwrap();
        let lines = reader.join().unwrap();
        for (number, hash) in lines {
            assert_eq!(number, reported.len() as u64);
            reported.push(hash);
        }
        let head = store.head();
        assert!(
            head.number + 1 >= reported.len() as u64,
            "kill {kill}: block {} was reported, the head is {}",
            reported.len() - 1,
            head.number
        );
        // A block committed but killed before its report is there, whole.
        assert!(
            head.number <= reported.len() as u64,
            "kill {kill}: {}",
            head.number
        );
        for (number, hash) in (0u64..).zip(&reported) {
            assert_eq!(store.hash(number).unwrap(), Some(*hash), "kill {kill}");
        }
        for number in reported.len() as u64..=head.number {
            reported.push(store.hash(number).unwrap().unwrap());
        }
        let report = store.verify_state().unwrap();
        assert_eq!(report.root, head.header.state_root);
        store.verify_blocks(|_| {}).unwrap();
        store.verify_history(|_| {}).unwrap();
        while checked < head.number {
            checked += 1;
            advance(&mut model, checked);
            let block = store.block(checked).unwrap().unwrap();
            assert_eq!(block.header.state_root, model_root(&model));
            assert_eq!(block.transactions.len(), 5);
            assert_eq!(store.receipts(checked).unwrap().unwrap().len(), 5);
        }
        check_state(&store, head.number, &model);
    }
    println!("{engine:?}: {kills} kills, {checked} blocks, none lost");
    assert!(
        checked >= kills,
        "the child hardly got to commit: {checked} blocks"
    );
}
