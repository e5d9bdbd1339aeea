//! `parsd dev` as a child process: started on a free port, killed, stopped, started again.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    CHAIN_ID, binaries,
    rpc::{Rpc, quantity},
};

/// How long a node may take to answer its first call, or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running development node. Dropping it kills the process; a failed test shows its log.
#[derive(Debug)]
pub struct DevNode {
    child: Child,
    /// Port of HTTP and WebSocket on loopback.
    pub port: u16,
    log: PathBuf,
    /// Extra arguments, for [`DevNode::restart`].
    arguments: Vec<String>,
}

/// A folder for a node's data and log, gone when dropped.
pub fn data_dir() -> TempDir {
    tempfile::Builder::new()
        .prefix("pars-test-")
        .tempdir()
        .expect("a temporary folder")
}

/// A port that nobody listens on just now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener
        .local_addr()
        .expect("the address of a listener")
        .port()
}

/// The command `parsd dev` on a port and a folder; not started.
pub fn command(port: u16, data: &Path) -> Command {
    let mut command = Command::new(binaries::parsd());
    command
        .args(["dev", "--port", &port.to_string(), "--data-dir"])
        .arg(data);
    command.stdin(Stdio::null());
    command
}

impl DevNode {
    /// Starts a node on a free port with its data in `data`, and waits until it answers.
    pub fn start(data: &Path) -> Self {
        // Its blocks are those of the test's transactions and no others.
        Self::start_with(data, &["--heartbeat", "0"])
    }

    /// The same with further arguments.
    pub fn start_with(data: &Path, arguments: &[&str]) -> Self {
        let port = free_port();
        // Beside the folder's own content, where no later start of the node meets it.
        let log = data.with_extension(format!("{port}.log"));
        let out = File::create(&log).expect("a log file");
        let err = out.try_clone().expect("a second handle of the log file");
        let child = command(port, data)
            .args(arguments)
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("parsd starts");
        let arguments = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        let mut node = Self {
            child,
            port,
            log,
            arguments,
        };
        node.wait_until_ready();
        node
    }

    /// Starts another node on the same folder, after this one has gone.
    pub fn restart(mut self, data: &Path) -> Self {
        assert!(
            self.child
                .try_wait()
                .expect("the state of the child")
                .is_some(),
            "the node still runs"
        );
        let arguments = std::mem::take(&mut self.arguments);
        drop(self);
        Self::start_with(
            data,
            &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
        )
    }

    /// A JSON-RPC client of this node.
    pub fn rpc(&self) -> Rpc {
        Rpc::new(self.port)
    }

    /// `http://127.0.0.1:port`.
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `ws://127.0.0.1:port`.
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// What the node has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("the state of the child")
            .is_none()
    }

    /// Fails the test unless the node runs and answers.
    pub fn assert_healthy(&mut self) {
        assert!(
            self.is_running(),
            "the node is gone; its log:\n{}",
            self.log()
        );
        assert_eq!(
            quantity(&self.rpc().call("eth_chainId", json!([]))),
            CHAIN_ID
        );
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().expect("kill -9");
        self.child.wait().expect("the end of the child");
    }

    /// Sends a signal (`INT`, `TERM`) and waits for the process to end by itself.
    pub fn stop(&mut self, signal: &str) -> ExitStatus {
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{signal} {}", self.child.id())])
            .status()
            .expect("sh starts");
        assert!(sent.success(), "no signal could be sent");
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of the child") {
                return status;
            }
            assert!(
                Instant::now() < end,
                "the node did not stop on SIG{signal}; its log:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait_until_ready(&mut self) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of the child") {
                panic!(
                    "parsd ended at its start with {status}; its log:\n{}",
                    self.log()
                );
            }
            if self.rpc().try_call("eth_chainId", json!([])).is_ok() {
                return;
            }
            assert!(
                Instant::now() < end,
                "parsd does not answer; its log:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for DevNode {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of the node on port {}:\n{}", self.port, self.log());
        }
        let _ = fs::remove_file(&self.log);
    }
}
