//! Without default features there is no GPU code in the tree, and no async runtime in either.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;
use std::process::Command;

/// Names of the packages that the library is built from.
fn packages(arguments: &[&str]) -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}"])
        .args(arguments)
        .output()
        .expect("cargo starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect()
}

#[test]
fn without_default_features_there_is_no_gpu_code() {
    let with = packages(&[]);
    let without = packages(&["--no-default-features"]);
    let has = |packages: &[String], name: &str| packages.iter().any(|package| package == name);
    assert!(has(&with, "wgpu") && has(&without, "pars-kernels"));
    for name in ["wgpu", "wgpu-core", "wgpu-hal", "naga"] {
        assert!(!has(&without, name), "{name} is in the tree");
    }
    for name in ["tokio", "async-std", "smol"] {
        assert!(!has(&with, name), "{name} is in the tree");
    }
}
