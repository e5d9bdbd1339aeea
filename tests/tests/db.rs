//! `parsd db`: what an operator sees of a chain, and what is found when something is wrong with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use alloy_primitives::Address;
use pars_tests::{
    binaries,
    node::{DevNode, data_dir},
    wallet::Wallet,
};

fn db(data: &Path, arguments: &[&str]) -> (bool, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(binaries::parsd())
        .arg("db")
        .args(arguments)
        .args(["--silent", "--data-dir"])
        .arg(data)
        .output()
        .expect("parsd starts");
    let text = [stdout, stderr].map(|text| String::from_utf8(text).expect("text"));
    (status.success(), text.concat())
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

/// The newest journal below a folder.
fn journal(folder: &Path) -> PathBuf {
    let mut open = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "jnl") {
                found.push(path);
            }
        }
    }
    found.sort();
    found.pop().expect("a journal")
}

#[test]
fn a_chain_is_counted_checked_and_pruned() {
    let folder = data_dir();
    let data = folder.path().join("node");
    let (success, text) = db(&data, &["stats"]);
    assert!(!success && text.contains("there is no chain in"), "{text}");
    assert!(!data.exists(), "looking makes nothing");

    let mut node = DevNode::start(&data);
    let mut rpc = node.rpc();
    let alice = Wallet::development(0);
    for nonce in 0..12 {
        let transfer = alice.transfer(nonce, Address::repeat_byte(nonce as u8 + 1), 1);
        let hash = rpc.send(&transfer.raw).expect("a transfer");
        rpc.wait_for_receipt(hash);
    }
    let head = rpc.height();
    let (success, text) = db(&data, &["stats"]);
    assert!(!success && text.contains("in use by process"), "{text}");
    assert!(node.stop("TERM").success());

    let (success, text) = db(&data, &["stats"]);
    assert!(success, "{text}");
    for part in [
        "chain id      6133",
        "schema        6",
        &format!("head          {head} (0x"),
        "states        from block 0 on",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let row = |table: &str| -> Vec<u64> {
        let row = text
            .lines()
            .find(|line| line.starts_with(table))
            .expect(table);
        let columns = row.split_whitespace().skip(1);
        columns
            .map(|column| column.parse().expect("a number"))
            .collect()
    };
    assert_eq!(row("headers")[0], head + 1);
    assert_eq!(row("tx_lookup")[..2], [12, 12 * 32]);

    let (success, text) = db(&data, &["verify"]);
    assert!(success && text.matches(" ok: ").count() == 3, "{text}");
    assert!(text.contains("12 transactions"), "{text}");

    // A copy whose journal is cut off in the middle is an older whole chain, or says what is wrong.
    let torn = folder.path().join("torn");
    copy(&data, &torn);
    let file = journal(&torn);
    let bytes = fs::read(&file).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    fs::write(&file, &bytes[..end / 2]).unwrap();
    let (success, text) = db(&torn, &["verify"]);
    println!("torn in the middle: {text}");
    assert!(
        success && text.matches(" ok: ").count() == 3 || text.contains("error: "),
        "{text}"
    );

    let (success, text) = db(
        &data,
        &["prune", "--states", "3", "--proofs", "2", "--batch", "1"],
    );
    assert!(success, "{text}");
    let oldest = head - 3;
    let states = format!("states from block {oldest} on (before: 0)");
    assert!(text.contains(&states), "{text}");
    let (success, text) = db(&data, &["verify"]);
    assert!(
        success && text.contains(&format!("to block {oldest},")),
        "{text}"
    );

    // The chain goes on from there.
    node = node.restart(&data);
    let mut rpc = node.rpc();
    let hash = rpc
        .send(&alice.transfer(12, Address::repeat_byte(1), 1).raw)
        .expect("a transfer");
    rpc.wait_for_receipt(hash);
    assert!(node.stop("TERM").success());
    let (success, text) = db(&data, &["verify"]);
    assert!(success, "{text}");
}
