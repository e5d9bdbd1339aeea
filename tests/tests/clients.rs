//! Stock client libraries from npm and PyPI against `parsd dev`, from outside the process.
//!
//! The scripts in `clients/` compile a Solidity contract that calls the ML-DSA precompile, deploy
//! it, and send official signatures through calls and transactions; Foundry's `cast` and `forge` do
//! what they do all day; and one large application, Uniswap v4, is deployed from the bytecode its
//! authors published. Where Node.js or Python is not
//! installed the tests say so and pass, unless `PARS_REQUIRE_CLIENT_TESTS` is set, as the test
//! script sets it after installing them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use pars_tests::{
    binaries::workspace,
    node::{DevNode, data_dir},
};

/// Two installations into one folder would meet.
static INSTALLING: Mutex<()> = Mutex::new(());

#[test]
fn ethers_over_http() {
    run_node_script("ethers.mjs", "http");
}

#[test]
fn ethers_over_websocket() {
    run_node_script("ethers.mjs", "ws");
}

#[test]
fn viem_over_http() {
    run_node_script("viem.mjs", "http");
}

#[test]
fn viem_over_websocket() {
    run_node_script("viem.mjs", "ws");
}

/// Compiles nothing: what the authors published is deployed and used.
#[test]
fn uniswap_v4_as_published() {
    run_node_script("uniswap.mjs", "http");
}

#[test]
fn foundry_over_http() {
    run_node_script("foundry.mjs", "http");
}

#[test]
fn web3py_over_http_websocket_and_ipc() {
    if !available("node", "npm packages") || !available("python3", "web3.py") {
        return;
    }
    install_npm_packages();
    let python = install_web3py();
    let data = data_dir();
    let contract = data.path().join("Notary.json");
    succeed(
        Command::new("node")
            .current_dir(clients())
            .arg("lib/compile.mjs")
            .arg(&contract),
    );
    let folder = data.path().join("node");
    let mut node = DevNode::start_with(&folder, &[]);
    succeed(
        with_node(Command::new(python).current_dir(clients()), &node)
            .env("PARS_IPC_PATH", folder.join("parsd.ipc"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .args(["-W", "ignore", "web3py.py"])
            .arg(contract)
            .arg("lib/official_case.json"),
    );
    node.assert_healthy();
}

/// What the README shows is what a reader tries first.
#[test]
fn the_wallet_example_of_the_readme() {
    if !available("node", "the README's example") {
        return;
    }
    install_npm_packages();
    let readme = fs::read_to_string(workspace().join("README.md")).expect("the README");
    let example = readme
        .split_once("```js\n")
        .and_then(|(_, rest)| rest.split_once("```"))
        .expect("an example in JavaScript")
        .0;
    let data = data_dir();
    let node = DevNode::start_with(&data.path().join("node"), &[]);
    assert!(example.contains("http://127.0.0.1:8545"), "{example}");
    let example = example.replace("http://127.0.0.1:8545", &node.http_url());
    // ethers keeps polling; a reader ends it with Ctrl-C.
    let script = format!("{example}\nprocess.exit(0);");
    let said = succeed(Command::new("node").current_dir(clients()).args([
        "--input-type=module",
        "-e",
        &script,
    ]));
    assert!(
        said.contains("block 1\n") && said.contains("valid: false\n"),
        "{said}"
    );
}

/// The code that the node's benchmarks run is the source beside it, compiled.
#[test]
fn the_exchange_of_the_benchmarks_is_its_source() {
    if !available("node", "solc") {
        return;
    }
    install_npm_packages();
    succeed(
        Command::new("node")
            .current_dir(clients())
            .args(["lib/exchange.mjs", "--check"]),
    );
}

fn run_node_script(script: &str, transport: &str) {
    if !available("node", script) {
        return;
    }
    install_npm_packages();
    let data = data_dir();
    let mut node = DevNode::start_with(&data.path().join("node"), &[]);
    succeed(
        with_node(Command::new("node").current_dir(clients()), &node).args([script, transport]),
    );
    node.assert_healthy();
    let status = node.stop("INT");
    assert!(status.success(), "the node stopped with {status}");
}

fn with_node<'a>(command: &'a mut Command, node: &DevNode) -> &'a mut Command {
    command
        .env("PARS_HTTP_URL", node.http_url())
        .env("PARS_WS_URL", node.ws_url())
}

fn clients() -> PathBuf {
    workspace().join("tests").join("clients")
}

/// Whether a program is installed; fails the test where it must be.
fn available(program: &str, what: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        let text =
            format!("{program} is not installed, so {what} did not run; scripts/test installs it");
        assert!(env::var_os("PARS_REQUIRE_CLIENT_TESTS").is_none(), "{text}");
        println!("{text}");
    }
    found
}

/// Runs a command; prints and answers what it said. Fails the test when it fails.
fn succeed(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Does `work` unless `marker` says that it was done for this very `wanted` text.
fn once_for(wanted: &Path, marker: &Path, work: impl FnOnce()) {
    let _guard = INSTALLING
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let wanted = fs::read_to_string(wanted).expect("a list of packages");
    if fs::read_to_string(marker).is_ok_and(|done| done == wanted) {
        return;
    }
    work();
    fs::write(marker, wanted).expect("a marker beside the installed packages");
}

fn install_npm_packages() {
    let folder = clients();
    once_for(
        &folder.join("package-lock.json"),
        &folder.join("node_modules").join(".installed-lock"),
        || {
            // Not `ci`: it wants every optional package of every platform in the list, and Foundry's
            // are on no one machine. This installs the listed versions and leaves the list alone.
            succeed(Command::new("npm").current_dir(clients()).args([
                "install",
                "--no-save",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
            ]));
        },
    );
}

/// A virtual environment in the target folder; answers its Python.
fn install_web3py() -> PathBuf {
    let me = env::current_exe().expect("a test knows its own path");
    let target = me.ancestors().nth(3).expect("target/<profile>/deps/<test>");
    let folder = target.join("clients-venv");
    let python = folder.join("bin").join("python");
    let requirements = clients().join("requirements.txt");
    once_for(
        &requirements,
        &folder.join(".installed-requirements"),
        || {
            succeed(
                Command::new("python3")
                    .args(["-m", "venv", "--clear"])
                    .arg(&folder),
            );
            succeed(
                Command::new(&python)
                    .args([
                        "-m",
                        "pip",
                        "install",
                        "--quiet",
                        "--disable-pip-version-check",
                        "--retries",
                        "5",
                        "-r",
                    ])
                    .arg(&requirements),
            );
        },
    );
    python
}
