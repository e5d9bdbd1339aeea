//! `parsctl engine`: what it says of this machine, on the CPU and on a software adapter alike.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    env,
    net::TcpListener,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use pars_tests::binaries::parsctl;
use serde_json::Value;

/// Runs `parsctl engine ...`; answers what came of it and what it said.
fn engine(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(parsctl())
        .arg("engine")
        .args(arguments)
        .env_remove("PARS_GPU")
        .stdin(Stdio::null())
        .output()
        .expect("parsctl starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!(
        "parsctl engine {}\n{text}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    (output, text)
}

fn devices(arguments: &[&str]) -> Value {
    let (output, text) = engine(&[&["devices", "--json"], arguments].concat());
    assert!(output.status.success());
    serde_json::from_str(&text).expect("JSON")
}

/// Names of the adapters, which the test command makes sure there are.
fn adapters(report: &Value) -> Vec<&Value> {
    let adapters: Vec<_> = report["adapters"]
        .as_array()
        .expect("a list of adapters")
        .iter()
        .collect();
    if adapters.is_empty() {
        let text = "there is no adapter, not even a software one; scripts/test installs one";
        assert!(env::var_os("PARS_REQUIRE_GPU_TESTS").is_none(), "{text}");
        println!("{text}");
    }
    adapters
}

#[test]
fn devices_in_json() {
    let report = devices(&["--all"]);
    assert!(
        report["cpu"]["threads"]
            .as_u64()
            .is_some_and(|threads| threads > 0)
    );
    assert!(
        report["routes"]
            .as_array()
            .is_some_and(|routes| !routes.is_empty())
    );
    let tests = |tests: &Value| -> Vec<bool> {
        tests
            .as_array()
            .expect("self-tests")
            .iter()
            .map(|test| test["passed"] == true)
            .collect()
    };
    let on_cpu = tests(&report["cpu"]["self_tests"]);
    assert!(!on_cpu.is_empty() && on_cpu.iter().all(|passed| *passed));
    for adapter in adapters(&report) {
        assert_eq!(adapter["used"], true, "{adapter:#}");
        let on_adapter = tests(&adapter["self_tests"]);
        assert!(
            !on_adapter.is_empty() && on_adapter.iter().all(|passed| *passed),
            "{adapter:#}"
        );
    }
    assert_eq!(devices(&["--gpu", "off"])["policy"], "off");
}

#[test]
fn the_self_test_passes_on_the_cpu() {
    let (output, text) = engine(&["selftest", "--gpu", "off"]);
    assert!(output.status.success());
    assert!(text.contains("passed: 14 self-tests, every answer right"));
}

#[test]
fn the_self_test_passes_on_every_adapter() {
    let report = devices(&["--all"]);
    let (output, text) = engine(&["selftest", "--all"]);
    assert!(output.status.success());
    for adapter in adapters(&report) {
        let name = adapter["name"].as_str().expect("a name");
        assert!(text.contains(name), "{name} is not in the self-test");
    }
}

#[test]
fn devices_and_bench_for_people() {
    let (output, text) = engine(&["devices"]);
    assert!(output.status.success());
    assert!(text.contains("cpu") && text.contains("GPU policy: auto"));
    let (output, text) = engine(&[
        "bench",
        "--gpu",
        "off",
        "--batch",
        "1,8",
        "--set",
        "44,65,87",
        "--seconds",
        "0.01",
    ]);
    assert!(output.status.success());
    for part in ["44", "65", "87", "portable"] {
        assert!(text.contains(part), "{part} is not in the figures");
    }
}

/// Ends a process when dropped.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn top_shows_a_bench_that_runs_in_another_process() {
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = free.local_addr().expect("an address").to_string();
    drop(free);
    let top = |more: &[&str]| {
        let arguments = ["top", "--once", "--interval", "0.3", "--url", &address];
        engine(&[&arguments[..], more].concat())
    };
    let (nobody, _) = top(&[]);
    let text = String::from_utf8_lossy(&nobody.stderr);
    assert!(!nobody.status.success() && text.contains("parsctl engine bench"));
    let _bench = Running(
        Command::new(parsctl())
            .args(["engine", "bench", "--gpu", "off", "--batch", "64"])
            .args(["--seconds", "10", "--metrics", &address])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("parsctl starts"),
    );
    // The portable path and the kernel alone come before the engine.
    let start = Instant::now();
    loop {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "nothing is seen"
        );
        let (output, text) = top(&["--json"]);
        if output.status.success() {
            let seen: Value = serde_json::from_str(&text).expect("JSON");
            let backend = &seen["backends"][0];
            if seen["jobs_per_second"].as_f64() > Some(0.0) {
                assert_eq!(backend["backend"], "cpu");
                assert!(backend["total_seconds"]["p99"].as_f64() > Some(0.0));
                break;
            }
        }
        thread::sleep(Duration::from_millis(300));
    }
    let (output, text) = top(&[]);
    assert!(output.status.success());
    for part in ["answers", "queue", "latency", "mldsa/verify", "cache hits"] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn wrong_usage_says_what_is_right() {
    for arguments in [
        &["bench", "--set", "45"][..],
        &["bench", "--batch", "0"],
        &["devices", "--gpu", "off", "--all"],
        &["bench", "--metrics", "somewhere"],
        &["top", "--url", "ftp://x"],
        &["top", "--interval", "0"],
    ] {
        let (output, _) = engine(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("panicked"), "{text}");
    }
}
