//! A full disk: the node says so, ends, and goes on from its last block when there is room again.
//!
//! The disk is a small file system in memory, which takes a mount namespace of the test's own (util-linux's
//! `unshare`); where that is not allowed the test says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use alloy_consensus::TxEip1559;
use alloy_primitives::Address;
use pars_tests::{
    binaries::parsd,
    node::{data_dir, free_port},
    rpc::{CallError, Rpc},
    wallet::{Wallet, transfer},
};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);
const RECEIVER: Address = Address::repeat_byte(0xd5);

/// What runs in the namespace: a node, another one when that has ended and there is room again.
/// `$1` is the program, `$2` its port, `$3` the folder of the disk, `$4` a folder for signs.
const SCRIPT: &str = r#"
mount -t tmpfs -o size=64m tmpfs "$3" || exit 9
"$1" dev --port "$2" --data-dir "$3/node" > "$4/first.log" 2>&1 &
node=$!
until [ -e "$4/fill" ]; do sleep 0.02; done
dd if=/dev/zero of="$3/filler" bs=64k 2> "$4/dd.log"
: > "$4/full"
wait $node
echo $? > "$4/ended"
until [ -e "$4/free" ]; do sleep 0.02; done
rm "$3/filler"
"$1" db verify --data-dir "$3/node" > "$4/verify.log" 2>&1
echo $? > "$4/verified"
exec "$1" dev --port "$2" --data-dir "$3/node" > "$4/second.log" 2>&1
"#;

/// The namespace; with it ends what runs in it.
struct Namespace(Child);

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command
        .args([
            "--map-root-user",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
        ])
        .stdin(Stdio::null());
    command
}

/// What is in a file of signs once it is there.
fn sign(signs: &Path, name: &str) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        match fs::read_to_string(signs.join(name)) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => assert!(Instant::now() < end, "no {name}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn wait_until_it_answers(port: u16) -> Rpc {
    let end = Instant::now() + PATIENCE;
    let mut rpc = Rpc::new(port);
    while rpc.try_call("eth_chainId", json!([])).is_err() {
        assert!(Instant::now() < end, "the node does not answer");
        thread::sleep(Duration::from_millis(20));
    }
    rpc
}

#[test]
fn a_full_disk_ends_the_node_with_a_word_and_nothing_else() {
    let probe = unshare()
        .args(["mount", "-t", "tmpfs", "tmpfs", "/tmp"])
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        println!("no file system can be mounted here, so a full disk was not tried");
        return;
    }
    let folder = data_dir();
    let (disk, signs) = (folder.path().join("disk"), folder.path().join("signs"));
    fs::create_dir(&disk).unwrap();
    fs::create_dir(&signs).unwrap();
    let port = free_port();
    let _namespace = Namespace(
        unshare()
            .args(["sh", "-c", SCRIPT, "sh"])
            .arg(parsd())
            .arg(port.to_string())
            .arg(&disk)
            .arg(&signs)
            .spawn()
            .unwrap(),
    );
    let mut rpc = wait_until_it_answers(port);
    let alice = Wallet::development(0);
    let mut nonce = 0;
    while nonce < 3 {
        let hash = rpc.send(&alice.transfer(nonce, RECEIVER, 1).raw).unwrap();
        rpc.wait_for_receipt(hash);
        nonce += 1;
    }
    let kept = rpc.height();
    fs::write(signs.join("fill"), "").unwrap();
    while !signs.join("full").exists() {
        thread::sleep(Duration::from_millis(20));
    }

    // Blocks are made as long as there is room for one.
    let begin = Instant::now();
    loop {
        let large = alice.sign(TxEip1559 {
            input: vec![0; 100_000].into(),
            gas_limit: 2_000_000,
            ..transfer(nonce, RECEIVER, 0)
        });
        match rpc.try_call("eth_sendRawTransaction", json!([large.raw])) {
            Ok(_) => nonce += 1,
            Err(CallError::Rpc(error)) => println!("refused: {error}"),
            Err(CallError::Io(_)) => break,
        }
        assert!(begin.elapsed() < PATIENCE, "the node goes on and on");
        thread::sleep(Duration::from_millis(20));
    }
    let code = sign(&signs, "ended");
    let log = fs::read_to_string(signs.join("first.log")).unwrap();
    assert_eq!(code, "1", "{log}");
    let last = log.trim_end().lines().last().unwrap_or_default();
    for words in [
        "no space left",
        "free some space",
        "the last accepted block is safe",
    ] {
        assert!(last.contains(words), "{log}");
    }
    assert!(!log.contains("panicked"), "{log}");

    // With room again everything that was accepted is there, whole, and blocks follow.
    fs::write(signs.join("free"), "").unwrap();
    let verified = sign(&signs, "verified");
    let report = fs::read_to_string(signs.join("verify.log")).unwrap();
    assert_eq!(verified, "0", "{report}");
    let mut rpc = wait_until_it_answers(port);
    assert!(rpc.height() >= kept);
    let bob = Wallet::development(1);
    let hash = rpc.send(&bob.transfer(0, RECEIVER, 1).raw).unwrap();
    rpc.wait_for_receipt(hash);
    let log = fs::read_to_string(signs.join("second.log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}
