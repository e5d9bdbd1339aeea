//! The data folder: who may open it, what is refused and in which words.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use alloy_consensus::{SignableTransaction, TxLegacy};
use alloy_primitives::{B256, Signature, TxKind};
use common::*;
use pars_store::{
    FjallOptions, Store, StoreError, StoreOptions,
    backend::{Backend, Batch, Table, fjall::Fjall},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

fn impatient() -> StoreOptions {
    StoreOptions {
        lock_wait: Duration::from_millis(300),
        ..Default::default()
    }
}

fn fill(dir: &Path, blocks: u64) -> Model {
    let mut model = genesis_model();
    let store = Store::open(dir, &genesis_of(&genesis_model())).unwrap();
    for n in 0..blocks {
        let ops = [
            Op::Pay((n % 7) as u8, n + 1),
            Op::Write(2, vec![(n as u8 % 12, 1)]),
        ];
        let bundle = execute(&store, &mut model, &ops);
        store.commit(commit_of(&store, bundle, 2)).unwrap();
    }
    model
}

#[test]
fn another_chain_specification_or_genesis_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = genesis_of(&genesis_model());
    drop(Store::open(dir.path(), &good).unwrap());

    let mut other = good.clone();
    other.chain_id = 6134;
    let error = Store::open(dir.path(), &other).unwrap_err();
    assert!(matches!(
        error,
        StoreError::WrongChain {
            found: 6133,
            wanted: 6134
        }
    ));
    let text = error.to_string();
    assert!(text.contains("6133") && text.contains("6134"), "{text}");

    let mut other = good.clone();
    other.spec_hash = B256::ZERO;
    let error = Store::open(dir.path(), &other).unwrap_err();
    assert!(matches!(error, StoreError::WrongSpec { .. }), "{error}");

    let mut model = genesis_model();
    model.insert(
        address(7),
        Plain {
            nonce: 9,
            ..Default::default()
        },
    );
    let error = Store::open(dir.path(), &genesis_of(&model)).unwrap_err();
    assert!(matches!(error, StoreError::WrongGenesis { .. }), "{error}");

    // The refusals have changed nothing.
    assert_eq!(Store::open(dir.path(), &good).unwrap().head().number, 0);
}

#[test]
fn newer_and_older_schemas_are_refused() {
    let good = genesis_of(&genesis_model());
    let current = pars_store::codec::SCHEMA_VERSION;
    let versions = [
        (current + 1, true),
        (u32::MAX, true),
        (current - 1, false),
        (0, false),
    ];
    for (version, newer) in versions {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), &good).unwrap());
        let engine = Fjall::open(&dir.path().join("chain"), &Default::default()).unwrap();
        let mut batch = Batch::new();
        batch.put(
            Table::Meta,
            pars_store::codec::meta::SCHEMA,
            version.to_be_bytes(),
        );
        engine.commit(batch).unwrap();
        drop(engine);
        let error = Store::open(dir.path(), &good).unwrap_err();
        let right = match error {
            StoreError::NewerSchema { found, .. } => newer && found == version,
            StoreError::OlderSchema { found, .. } => !newer && found == version,
            _ => false,
        };
        assert!(right, "{error}");
    }
}

const HOLD: &str = "PARS_STORE_TEST_HOLD";

/// Not a test of its own: the other process of the test below.
#[test]
fn child_that_holds_a_folder() {
    let Some(dir) = std::env::var_os(HOLD) else {
        return;
    };
    let _store = Store::open(Path::new(&dir), &genesis_of(&genesis_model())).unwrap();
    println!("holding");
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_second_process_is_refused_until_the_first_is_gone() {
    use std::io::BufRead;
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_holds_a_folder", "--nocapture"])
        .env(HOLD, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = std::io::BufReader::new(child.stdout.take().unwrap());
    assert!(
        out.lines()
            .map_while(Result::ok)
            .any(|line| line.contains("holding"))
    );

    let good = genesis_of(&genesis_model());
    let error = Store::open_with(dir.path(), &good, &impatient()).unwrap_err();
    assert!(matches!(error, StoreError::FolderInUse { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
    assert!(text.contains(&format!("process {}", child.id())), "{text}");

    child.kill().unwrap();
    // No waiting for the child to be gone: the patience of `open` covers that.
    let store = Store::open(dir.path(), &good).unwrap();
    child.wait().unwrap();
    // The same process cannot open it twice either.
    let error = Store::open_with(dir.path(), &good, &impatient()).unwrap_err();
    assert!(matches!(error, StoreError::FolderInUse { .. }), "{error}");
    drop(store);
    Store::open(dir.path(), &good).unwrap();
}

#[test]
fn what_an_interrupted_first_start_leaves_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let good = genesis_of(&genesis_model());
    fs::create_dir_all(dir.path().join("chain.new/keyspaces/0")).unwrap();
    fs::write(dir.path().join("chain.new/0.jnl"), b"half a journal").unwrap();
    let store = Store::open(dir.path(), &good).unwrap();
    assert_eq!(store.head().number, 0);
    assert!(!dir.path().join("chain.new").exists());
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"x").unwrap();
    let error = Store::open(&file.join("data"), &genesis_of(&genesis_model())).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
}

const FULL: &str = "PARS_STORE_TEST_FULL";

/// Not a test of its own: the process of the test below that runs out of room.
#[test]
fn child_that_fills_the_disk() {
    let Some(dir) = std::env::var_os(FULL) else {
        return;
    };
    // One journal for all blocks, which then grows over the size that it reserves at once.
    let options = StoreOptions {
        engine: FjallOptions {
            table_buffer_bytes: 1 << 30,
            ..Default::default()
        },
        ..Default::default()
    };
    let genesis = genesis_of(&genesis_model());
    let store = Store::open_with(Path::new(&dir), &genesis, &options).unwrap();
    let mut model = genesis_model();
    loop {
        let bundle = execute(&store, &mut model, &[Op::Pay(0, 1)]);
        let mut commit = commit_of(&store, bundle, 1);
        let large = TxLegacy {
            nonce: commit.block.header.number,
            to: TxKind::Create,
            input: vec![1; 4 << 20].into(),
            ..Default::default()
        };
        commit.block.transactions[0] = large.into_signed(Signature::test_signature()).into();
        let before = store.head();
        match store.commit(commit.clone()) {
            Ok(()) => println!("committed {}", store.head().number),
            Err(error) => {
                assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
                // Nothing of the block is to be seen, and no further one is taken.
                assert_eq!(store.head(), before);
                assert_eq!(store.block(before.number + 1).unwrap(), None);
                store.commit(commit).unwrap_err();
                println!("refused {}: {error}", before.number + 1);
                return;
            }
        }
    }
}

/// A limit of 66 MiB on the size of files stands for a full disk: a write fails in the middle.
#[cfg(unix)]
#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // The signal that comes with the failing write is ignored, so that the error is seen.
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 135168; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_fills_the_disk", "--nocapture"])
        .env(FULL, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&child.stderr)
    );
    let refused = text.lines().find(|line| line.contains("refused")).unwrap();
    println!("{refused}");
    assert!(refused.contains("no space left"), "{refused}");
    let committed = text
        .lines()
        .filter(|line| line.contains("committed"))
        .count() as u64;
    assert!(committed > 3, "{committed}");
    // With room again everything is there.
    let store = Store::open(dir.path(), &genesis_of(&genesis_model())).unwrap();
    assert_eq!(store.head().number, committed);
    store.verify_state().unwrap();
    let mut model = genesis_model();
    for _ in 0..committed {
        let scratch = Store::in_memory(&genesis_of(&model)).unwrap();
        execute(&scratch, &mut model, &[Op::Pay(0, 1)]);
    }
    check_state(&store, committed, &model);
    let bundle = execute(&store, &mut model, &[Op::Pay(0, 1)]);
    store.commit(commit_of(&store, bundle, 3)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

/// A copy that is torn, damaged or incomplete anywhere either opens at a block that was
/// committed, or is an error that says so; it never panics. Where a file of one table is gone
/// and the engine does not notice, the check of the whole state does.
#[test]
fn torn_damaged_and_missing_files_are_errors_or_an_older_whole_block() {
    let good = genesis_of(&genesis_model());
    let whole = tempfile::tempdir().unwrap();
    fill(whole.path(), 12);
    let mut names = Vec::new();
    files(&whole.path().join("chain"), &mut names);
    // The journal, the engine's own files, and those of three of its parts.
    names.retain(|name| {
        let name = name.to_string_lossy().into_owned();
        let tables = ["/keyspaces/0/", "/keyspaces/1/", "/keyspaces/4/"];
        !name.contains("/keyspaces/") || tables.iter().any(|table| name.contains(table))
    });
    assert!(
        names
            .iter()
            .any(|name| name.extension().is_some_and(|e| e == "jnl"))
    );
    let (mut opened, mut refused, mut noticed) = (0, 0, 0);
    let mut check = |name: &Path, harm: &str, act: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        copy(whole.path(), dir.path());
        act(&dir.path().join(name));
        match Store::open_with(dir.path(), &good, &impatient()) {
            Ok(store) => {
                let head = store.head();
                assert!(head.number <= 12);
                match store.verify_state() {
                    Ok(report) => {
                        assert_eq!(report.number, head.number);
                        opened += 1;
                    }
                    Err(error) => {
                        println!("{} {harm}, noticed by the check: {error}", name.display());
                        noticed += 1;
                    }
                }
            }
            Err(error) => {
                println!("{} {harm}, refused: {error}", name.display());
                refused += 1;
            }
        }
    };
    for name in &names {
        let bytes = fs::read(name).unwrap();
        let is_journal = name.extension().is_some_and(|e| e == "jnl");
        let name = name.strip_prefix(whole.path()).unwrap();
        check(name, "missing", &|file| fs::remove_file(file).unwrap());
        // The journal holds all blocks: tear and damage it in many places.
        let places = if is_journal { 12 } else { 2 };
        for part in 0..places {
            let place = bytes.len() * (2 * part + 1) / (2 * places);
            check(name, "torn", &|file| {
                fs::write(file, &bytes[..place]).unwrap()
            });
            let mut flipped = bytes.clone();
            if let Some(byte) = flipped.get_mut(place) {
                *byte ^= 0x55;
            }
            check(name, "damaged", &|file| fs::write(file, &flipped).unwrap());
        }
    }
    println!("{opened} opened at a whole block, {noticed} noticed by the check, {refused} refused");
    assert!(opened > 5 && refused > 5, "{opened} {noticed} {refused}");
}
