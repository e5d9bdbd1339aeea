//! Nobody reads what a program prints: `parsd db verify | head -1`, or a service whose log reader has gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use alloy_primitives::Address;
use pars_tests::{
    binaries::{parsctl, parsd},
    node::{command, data_dir, free_port},
    rpc::Rpc,
    wallet::Wallet,
};
use serde_json::json;

/// Runs a command whose standard output is closed at its other end: whether it succeeded, and what it complained of.
fn unread(program: &Path, arguments: &[&str], folder: Option<&Path>) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(arguments).env_remove("PARS_GPU");
    if let Some(folder) = folder {
        command.arg("--data-dir").arg(folder);
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let mut complaint = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut complaint).unwrap();
    (child.wait().unwrap().success(), complaint)
}

#[test]
fn commands_do_their_work_unread() {
    let folder = data_dir();
    let folder = folder.path();
    let checks: [(&Path, &[&str], bool); 9] = [
        (&parsd(), &["init", "--network", "dev"], true),
        (&parsd(), &["db", "stats", "--silent"], true),
        (&parsd(), &["db", "verify", "--silent"], true),
        (&parsd(), &["db", "prune", "--silent"], true),
        (&parsd(), &["config", "show"], true),
        (&parsd(), &["config", "default"], false),
        (&parsd(), &["completions", "bash"], false),
        (&parsctl(), &["completions", "zsh"], false),
        (&parsctl(), &["engine", "devices", "--gpu", "off"], false),
    ];
    for (program, arguments, in_folder) in checks {
        let (well, complaint) = unread(program, arguments, in_folder.then_some(folder));
        assert!(well && complaint.is_empty(), "{arguments:?}: {complaint}");
    }
    // What is wrong is still said by the exit status.
    let nowhere = folder.join("nowhere");
    let (well, complaint) = unread(&parsd(), &["db", "verify", "--silent"], Some(&nowhere));
    assert!(!well && !complaint.contains("panicked"), "{complaint}");
}

#[test]
fn a_node_goes_on_when_nobody_reads_its_log() {
    let folder = data_dir();
    let port = free_port();
    let mut child = command(port, &folder.path().join("node"))
        .arg("-v")
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("parsd starts");
    drop((child.stdout.take(), child.stderr.take()));
    let mut rpc = Rpc::new(port);
    let end = Instant::now() + Duration::from_secs(60);
    while rpc.try_call("eth_chainId", json!([])).is_err() {
        assert_eq!(child.try_wait().unwrap(), None, "parsd has ended");
        assert!(Instant::now() < end, "parsd does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Each block is a line of the log.
    let wallet = Wallet::development(0);
    for nonce in 0..3 {
        let signed = wallet.transfer(nonce, Address::repeat_byte(0x55), 1);
        let hash = rpc.send(&signed.raw).expect("a transaction is taken");
        rpc.wait_for_receipt(hash);
    }
    let stopped = Command::new("sh")
        .args(["-c", &format!("kill -TERM {}", child.id())])
        .status();
    assert!(stopped.expect("sh starts").success());
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
}
