//! What an operator does and sees: starting, stopping, starting wrongly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use alloy_primitives::{Address, U256};
use pars_tests::{
    binaries::{parsctl, parsd},
    node::{DevNode, command, data_dir, free_port},
    rpc::{Rpc, quantity},
    wallet::Wallet,
};
use serde_json::{Value, json};

/// Runs a command that must end by itself.
fn finished(command: &mut Command) -> (Output, String) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    (output, String::from_utf8_lossy(&text).into_owned())
}

/// Runs a command that must fail as a program does (code 1), not as a crash; answers what it said.
fn failed(command: &mut Command) -> String {
    let (output, text) = finished(command);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{command:?} ended with {}:\n{text}",
        output.status
    );
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn mine_one(rpc: &mut Rpc, wallet: &Wallet) -> Value {
    let nonce = rpc.nonce(wallet.address, "latest");
    let hash = rpc
        .send(&wallet.transfer(nonce, Address::repeat_byte(0x11), 1).raw)
        .expect("a transfer");
    rpc.wait_for_receipt(hash)
}

#[test]
fn signals_stop_cleanly_and_a_restart_goes_on() {
    let data = data_dir();
    let data = data.path().join("node");
    let wallet = Wallet::development(0);
    let mut node = DevNode::start(&data);
    for (round, signal) in ["INT", "TERM", "INT"].into_iter().enumerate() {
        let mut rpc = node.rpc();
        assert_eq!(
            rpc.height() as usize,
            round,
            "one block for each transaction so far"
        );
        let receipt = mine_one(&mut rpc, &wallet);
        let head = rpc.call("eth_getBlockByNumber", json!(["latest", true]));
        let begin = Instant::now();
        let status = node.stop(signal);
        assert_eq!(
            status.code(),
            Some(0),
            "SIG{signal} ended the node with {status}; its log:\n{}",
            node.log()
        );
        assert!(
            begin.elapsed() < Duration::from_secs(10),
            "stopping took {:?}",
            begin.elapsed()
        );
        node = node.restart(&data);
        let mut rpc = node.rpc();
        assert_eq!(
            rpc.call("eth_getBlockByNumber", json!(["latest", true])),
            head
        );
        assert_eq!(
            rpc.call(
                "eth_getTransactionReceipt",
                json!([receipt["transactionHash"]])
            ),
            receipt
        );
        assert_eq!(rpc.nonce(wallet.address, "latest") as usize, round + 1);
        assert_eq!(
            rpc.balance(Address::repeat_byte(0x11), "latest"),
            U256::from(round + 1)
        );
    }
}

#[test]
fn a_stop_does_not_wait_for_idle_connections() {
    let data = data_dir();
    let mut node = DevNode::start(&data.path().join("node"));
    let _idle = pars_tests::http::connect(node.port).unwrap();
    let _socket = pars_tests::websocket::WebSocket::connect(node.port).unwrap();
    let mut rpc = node.rpc();
    rpc.height();
    let begin = Instant::now();
    assert_eq!(node.stop("INT").code(), Some(0));
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "stopping took {:?}",
        begin.elapsed()
    );
}

#[test]
fn a_port_in_use_is_named() {
    let data = data_dir();
    let mut node = DevNode::start(&data.path().join("first"));
    let text = failed(&mut command(node.port, &data.path().join("second")));
    assert!(
        text.contains(&node.port.to_string()) && text.contains("in use"),
        "{text}"
    );
    node.assert_healthy();
}

#[test]
fn a_folder_in_use_is_named() {
    let data = data_dir();
    let folder = data.path().join("node");
    let mut node = DevNode::start(&folder);
    let text = failed(&mut command(free_port(), &folder));
    assert!(text.contains(&folder.display().to_string()), "{text}");
    node.assert_healthy();
    mine_one(&mut node.rpc(), &Wallet::development(0));
}

#[test]
fn another_chains_folder_is_refused() {
    let data = data_dir();
    let folder = data.path().join("node");
    let mut node = DevNode::start(&folder);
    mine_one(&mut node.rpc(), &Wallet::development(0));
    assert!(node.stop("TERM").success());
    for network in ["pars", "pars-testnet"] {
        let text = failed(command(free_port(), &folder).args(["--network", network]));
        assert!(text.contains("another folder"), "{text}");
    }
    // The refusals left it as it was.
    let node = node.restart(&folder);
    assert_eq!(node.rpc().height(), 1);
}

#[test]
fn a_file_in_place_of_the_folder_is_refused() {
    let data = data_dir();
    let file = data.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    let text = failed(&mut command(free_port(), &file));
    assert!(text.contains(&file.display().to_string()), "{text}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a folder");
}

#[test]
fn the_networks_have_their_chain_ids() {
    let data = data_dir();
    for (network, id) in [("pars", 6133), ("pars-testnet", 6134), ("dev", 6133)] {
        let mut node = DevNode::start_with(&data.path().join(network), &["--network", network]);
        let mut rpc = node.rpc();
        assert_eq!(quantity(&rpc.call("eth_chainId", json!([]))), id);
        assert_eq!(rpc.call("net_version", json!([])), id.to_string());
        if id == pars_tests::CHAIN_ID {
            mine_one(&mut rpc, &Wallet::development(0));
        }
        assert!(node.stop("INT").success());
    }
}

#[test]
fn a_node_in_memory_tells_its_port_and_its_accounts() {
    let mut child = Command::new(parsd())
        .args(["dev", "--port", "0"])
        .env_remove("PARS_DATA_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut seen = String::new();
    let mut port = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        port = line.split_once("http://127.0.0.1:").and_then(|(_, rest)| {
            rest.split(|c: char| !c.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        });
        seen += &line;
        seen.push('\n');
        if port.is_some() {
            break;
        }
    }
    let mut rpc =
        Rpc::new(port.unwrap_or_else(|| panic!("no address in what the node printed:\n{seen}")));
    for index in 0..10 {
        let wallet = Wallet::development(index);
        assert!(
            seen.contains(&wallet.address.to_string()),
            "account {index} is not in:\n{seen}"
        );
        assert_eq!(
            rpc.balance(wallet.address, "latest"),
            U256::from(10_000) * U256::from(10).pow(U256::from(18))
        );
    }
    mine_one(&mut rpc, &Wallet::development(9));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_block_follows_a_transaction_within_400_ms() {
    let data = data_dir();
    let node = DevNode::start(&data.path().join("node"));
    let mut rpc = node.rpc();
    let wallet = Wallet::development(3);
    let mut times: Vec<_> = (0..15)
        .map(|nonce| {
            let signed = wallet.transfer(nonce, Address::repeat_byte(0x33), 1);
            let begin = Instant::now();
            let hash = rpc.send(&signed.raw).unwrap();
            rpc.wait_for_receipt(hash);
            begin.elapsed().as_millis()
        })
        .collect();
    times.sort_unstable();
    println!("milliseconds from sending to the receipt: {times:?}");
    // The machine may be busy with other tests, so the median may lag; the fastest third may not.
    assert!(times[5] < 400, "{times:?}");
    assert!(times[7] < 1_000, "{times:?}");
}

#[test]
fn wrong_usage_is_code_2_with_a_hint() {
    for arguments in [
        &["dev", "--prot", "1"][..],
        &["dev", "--port", "65536"],
        &["dve"],
        &[],
    ] {
        let (output, text) = finished(Command::new(parsd()).args(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains("--help") || text.contains("Usage"), "{text}");
    }
}

#[test]
fn every_command_has_help() {
    for binary in [parsd(), parsctl()] {
        let (output, text) = finished(Command::new(&binary).arg("--version"));
        assert!(output.status.success() && text.contains("pars"), "{text}");
        let mut waiting = vec![Vec::<String>::new()];
        let mut count = 0;
        while let Some(path) = waiting.pop() {
            let (output, text) = finished(Command::new(&binary).args(&path).arg("--help"));
            assert!(
                output.status.success(),
                "{} {path:?} --help: {text}",
                binary.display()
            );
            assert!(text.contains("Usage:"), "{text}");
            count += 1;
            let commands = text
                .split_once("\nCommands:\n")
                .map_or("", |(_, rest)| rest);
            for line in commands.lines().take_while(|line| !line.trim().is_empty()) {
                // Names stand two columns in; what stands further right is a wrapped description.
                let Some(name) = line
                    .strip_prefix("  ")
                    .filter(|rest| !rest.starts_with(' '))
                else {
                    continue;
                };
                let name = name.split_whitespace().next().unwrap();
                if name != "help" {
                    waiting.push(path.iter().cloned().chain([name.to_owned()]).collect());
                }
            }
        }
        assert!(count > 1, "{} has no commands", binary.display());
        println!("{}: help of {count} commands", binary.display());
    }
}
