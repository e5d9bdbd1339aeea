//! Plonky3 built for this processor, beside the build of this benchmark.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    process::Command,
    rc::Rc,
};

use pars_bench_plonky3::Process;

/// A process that several rows share.
pub type Shared = Rc<RefCell<Process>>;

/// What cargo calls the program.
const PACKAGE: &str = "pars-bench-plonky3";

/// Builds it in a folder `native` of the target folder, which takes a minute when it is not there, and starts it. Where figures are not
/// asked for (`cargo test`, `-- --test`, `-- --list`) nothing is built.
pub fn start() -> Option<Shared> {
    let asked = |name: &str| std::env::args().any(|argument| argument == name);
    if !asked("--bench") || asked("--test") || asked("--list") {
        return None;
    }
    let started = build().and_then(|program| Process::start(&program).map_err(|e| e.to_string()));
    match started {
        Ok(process) => Some(Rc::new(RefCell::new(process))),
        Err(error) => {
            eprintln!("no rows of Plonky3 built for this processor: {error}");
            None
        }
    }
}

fn build() -> Result<PathBuf, String> {
    // target/release/deps/poseidon-...
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = here.ancestors().nth(3).ok_or("no target folder")?;
    let target = target.join("native");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("plonky3/Cargo.toml");
    eprintln!(
        "building Plonky3 for this processor in {}",
        target.display()
    );
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--locked",
            "--quiet",
            "--package",
            PACKAGE,
        ])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTFLAGS", "-C target-cpu=native")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("cargo ended with {status}"));
    }
    let name = format!("{PACKAGE}{}", std::env::consts::EXE_SUFFIX);
    Ok(target.join("release").join(name))
}
