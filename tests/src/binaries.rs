//! Finds `parsd` and `parsctl`, built from the sources as they are now.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Names a folder that already holds fresh binaries; set by the test script, which builds them once
/// together with the tests.
pub const BINARIES_ENV: &str = "PARS_TEST_BINARIES";

/// Path of `parsd`.
pub fn parsd() -> PathBuf {
    folder().join(exe("parsd"))
}

/// Path of `parsctl`.
pub fn parsctl() -> PathBuf {
    folder().join(exe("parsctl"))
}

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .parent()
        .expect("tests/ lies in the workspace")
        .to_path_buf()
}

fn exe(name: &str) -> String {
    format!("{name}{}", env::consts::EXE_SUFFIX)
}

fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = match env::var_os(BINARIES_ENV) {
            Some(folder) => PathBuf::from(folder),
            None => build(),
        };
        for name in ["parsd", "parsctl"] {
            let path = folder.join(exe(name));
            assert!(
                path.is_file(),
                "there is no {}; unset {BINARIES_ENV} to have it built",
                path.display()
            );
        }
        folder
    })
}

/// Builds the binaries with the profile of this test, into the target folder that this test lies in.
fn build() -> PathBuf {
    let me = env::current_exe().expect("a test knows its own path");
    // target/<profile>/deps/<test>
    let profile = me
        .parent()
        .and_then(Path::parent)
        .expect("a test lies in target/<profile>/deps")
        .to_path_buf();
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(workspace())
        .args(["build", "-p", "pars-node", "--bins"]);
    cargo
        .arg("--target-dir")
        .arg(profile.parent().expect("target/<profile>"));
    if profile.file_name().is_some_and(|name| name == "release") {
        cargo.arg("--release");
    }
    eprintln!("building parsd and parsctl: {cargo:?}");
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "parsd and parsctl do not build");
    profile
}
