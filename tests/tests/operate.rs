//! An operator's day: `parsd init`, `run`, `config`, `completions`, and keys with `parsctl key`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use pars_tests::{
    binaries::{parsctl, parsd},
    http,
    node::data_dir,
    rpc::Rpc,
};
use serde_json::Value;

/// A command without the settings of whoever runs the tests.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PARS_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What a command says that must succeed.
fn said(command: &mut Command) -> String {
    let output = output(command);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// The error of a command that must fail as a program does.
fn refused(command: &mut Command) -> String {
    let output = output(command);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {error}");
    assert!(!error.contains("panicked"), "{error}");
    error
}

/// `parsd run` in a folder, on free ports.
struct Running {
    child: Child,
    rpc: u16,
    metrics: u16,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Starts, and reads the two ports from the log, which is JSON.
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = command(&parsd())
            .args(["run", "--port", "0", "--metrics-port", "0", "--gpu", "off"])
            .args(["--set", "log.format=json", "--data-dir"])
            .arg(folder)
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (mut rpc, mut metrics, mut log) = (0, 0, String::new());
        while rpc == 0 {
            let Some(Ok(line)) = lines.next() else {
                panic!("the node ended:\n{log}");
            };
            let record: Value =
                serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            let message = record["fields"]["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let port = |text: &str| -> u16 {
                let rest = text.split("127.0.0.1:").nth(1).unwrap();
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                digits.parse().unwrap()
            };
            if message.starts_with("metrics at") {
                metrics = port(&message);
            } else if message.starts_with("listening on") {
                rpc = port(&message);
            }
            log += &line;
            log.push('\n');
        }
        // The rest of the log is read, or the node would wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            rpc,
            metrics,
        }
    }

    fn rpc(&self) -> Rpc {
        Rpc::new(self.rpc)
    }

    /// SIGTERM; the node must end in order.
    fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn init_then_run_then_run_again() {
    let root = data_dir();
    let folder = root.path().join("node");
    let text = said(
        command(&parsd())
            .args(["init", "--network", "pars-testnet", "--data-dir"])
            .arg(&folder),
    );
    assert!(
        text.contains("chain id 6134") && text.contains("(new)"),
        "{text}"
    );
    let file = folder.join("pars.toml");
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .contains("network = \"pars-testnet\"")
    );

    // A second time nothing is written over.
    let error = refused(command(&parsd()).args(["init", "--data-dir"]).arg(&folder));
    assert!(error.contains("pars.toml is there already"), "{error}");

    // The file decides the network, a flag the beat.
    let node = Running::start(&folder, &["--set", "blocks.interval_ms=100"]);
    let mut rpc = node.rpc();
    assert_eq!(rpc.call("eth_chainId", serde_json::json!([])), "0x17f6");
    let health = http::get(node.metrics, "/health").unwrap();
    assert_eq!(health.status, 200, "{health:?}");
    while rpc.height() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let page = http::get(node.metrics, "/metrics").unwrap().body;
    assert!(page.contains("pars_build_info{version="), "{page}");
    assert!(
        page.contains("network=\"pars-testnet\",chain_id=\"6134\""),
        "{page}"
    );
    node.stop();

    let node = Running::start(&folder, &[]);
    assert!(node.rpc().height() >= 3);
    node.stop();

    // Another network in this folder is refused, and nothing is lost.
    let error = refused(
        command(&parsd())
            .args([
                "run",
                "--network",
                "pars",
                "--port",
                "0",
                "--metrics-port",
                "0",
                "--data-dir",
            ])
            .arg(&folder),
    );
    assert!(error.contains("cannot go on from the chain"), "{error}");
}

#[test]
fn the_configuration_is_shown_with_its_origins() {
    let root = data_dir();
    let text = said(command(&parsd()).args(["config", "default"]));
    let file = root.path().join("mine.toml");
    fs::write(&file, &text).unwrap();
    let shown = said(
        command(&parsd())
            .args(["config", "show", "--port", "9000", "--config"])
            .arg(&file)
            .env("PARS_POOL_MAX_BYTES", "1000"),
    );
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("port = 9000") && line.ends_with("# --port")),
        "{shown}"
    );
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("max_bytes = 1000")
                && line.ends_with("# environment variable PARS_POOL_MAX_BYTES")),
        "{shown}"
    );
    let checked = said(
        command(&parsd())
            .args(["config", "check", "--network", "dev", "--data-dir"])
            .arg(root.path()),
    );
    assert!(checked.contains("chain id 6133"), "{checked}");

    fs::write(&file, "[rpc]\nprot = 1\n").unwrap();
    let error = refused(
        command(&parsd())
            .args(["config", "check", "--config"])
            .arg(&file),
    );
    assert!(
        error.contains("no key `rpc.prot`; did you mean `rpc.port`?"),
        "{error}"
    );
    fs::write(&file, "[rpc\n").unwrap();
    let error = refused(command(&parsd()).args(["run", "--config"]).arg(&file));
    assert!(error.contains("mine.toml is not TOML"), "{error}");
    let error = refused(command(&parsd()).args(["run", "--config", "/nowhere/pars.toml"]));
    assert!(error.contains("cannot read /nowhere/pars.toml"), "{error}");
    let error = refused(
        command(&parsd())
            .args(["config", "check"])
            .env("PARS_RPC_PORT", "high"),
    );
    assert!(
        error.contains("environment variable PARS_RPC_PORT")
            && error.contains("not a whole number"),
        "{error}"
    );
    let error = refused(
        command(&parsd())
            .args(["run", "--network", "nowhere", "--data-dir"])
            .arg(root.path()),
    );
    assert!(error.contains("pars-testnet"), "{error}");
}

#[test]
fn completions_for_shells() {
    for (shell, word) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef NAME"),
        ("fish", "complete -c NAME"),
    ] {
        for (program, name) in [(parsd(), "parsd"), (parsctl(), "parsctl")] {
            let text = said(command(&program).args(["completions", shell]));
            assert!(
                text.contains(&word.replace("NAME", name)),
                "{shell}: {text}"
            );
        }
    }
}

/// Runs `parsctl key` with something on standard input.
fn key(arguments: &[&str], folder: &Path, input: &str) -> Output {
    let mut child = command(&parsctl())
        .arg("key")
        .args(arguments)
        .env("PARS_KEYSTORE", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments has ended without reading.
    match child.stdin.take().unwrap().write_all(input.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        written => written.unwrap(),
    }
    child.wait_with_output().unwrap()
}

#[test]
fn keys_are_made_kept_shown_and_opened() {
    let root = data_dir();
    let folder = root.path().join("keys");
    let (old, new) = (root.path().join("old"), root.path().join("new"));
    fs::write(&old, "correct horse\n").unwrap();
    fs::write(&new, "battery staple\r\n").unwrap();
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    let text = |output: Output| {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        String::from_utf8(output.stdout).unwrap()
    };
    let error = |output: Output| {
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };

    // The first development account, known everywhere.
    let secret = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    let said = text(key(
        &["import", "--light", "--password-file", old],
        &folder,
        secret,
    ));
    assert!(
        said.contains("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
        "{said}"
    );
    let again = error(key(
        &["import", "--light", "--password-file", old],
        &folder,
        secret,
    ));
    assert!(again.contains("never written over"), "{again}");
    text(key(
        &[
            "new",
            "--type",
            "ml-dsa-65",
            "--light",
            "--password-file",
            old,
        ],
        &folder,
        "",
    ));

    let list: Value = serde_json::from_str(&text(key(&["list", "--json"], &folder, ""))).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2, "{list}");
    assert!(text(key(&["show", "0xf39F"], &folder, "")).contains("secp256k1"));

    text(key(
        &[
            "password",
            "0xf39f",
            "--light",
            "--password-file",
            old,
            "--new-password-file",
            new,
        ],
        &folder,
        "",
    ));
    let wrong = error(key(
        &["export", "0xf39f", "--password-file", old],
        &folder,
        "",
    ));
    assert!(wrong.contains("the password is wrong"), "{wrong}");
    assert_eq!(
        text(key(
            &["export", "0xf39f", "--password-file", new],
            &folder,
            ""
        )),
        format!("0x{secret}\n")
    );

    for (arguments, words) in [
        (&["import", "--password-file", old][..], "is not hex"),
        (&["new", "--type", "rsa", "--password-file", old], "rsa"),
        (&["new"], "no terminal"),
        (&["show", "nobody"], "no key `nobody`"),
        (&["new", "--password-file", "/nowhere"], "/nowhere"),
    ] {
        let said = error(key(arguments, &folder, "zz"));
        assert!(said.contains(words), "{said}");
    }
    fs::write(root.path().join("short"), "1234567").unwrap();
    let short = root.path().join("short");
    let said = error(key(
        &["new", "--password-file", short.to_str().unwrap()],
        &folder,
        "",
    ));
    assert!(said.contains("shorter than 8"), "{said}");
}
