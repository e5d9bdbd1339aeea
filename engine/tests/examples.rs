//! The examples do what their first lines say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../examples/toy_chain.rs"]
#[allow(dead_code)]
mod toy_chain;
#[path = "../examples/verify_file.rs"]
#[allow(dead_code)]
mod verify_file;
#[path = "../examples/verify_server.rs"]
#[allow(dead_code)]
mod verify_server;

use std::time::{Duration, Instant};

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_file_of_signatures_is_made_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("signatures");
    let file = path.to_str().unwrap();
    let mut out = Vec::new();
    assert!(verify_file::run(&words(&["make", file, "201"]), &mut out).unwrap());
    assert!(!verify_file::run(&words(&[file]), &mut out).unwrap());
    let text = String::from_utf8(out).unwrap();
    // A comment is the first line.
    for part in [
        "199 valid, 2 invalid",
        "line 101: invalid",
        "line 201: invalid",
    ] {
        assert!(text.contains(part), "{text}");
    }
    for (line, error) in [
        ("65 00 00", "line 1: 3 words"),
        ("65 00 00 00", "line 1: 1 bytes are no public key"),
        ("66 00 00 00", "no parameter set"),
        ("65 0g 00 00", "line 1"),
    ] {
        std::fs::write(&path, line).unwrap();
        let refused = verify_file::run(&words(&[file]), &mut Vec::new()).unwrap_err();
        assert!(refused.to_string().contains(error), "{refused}");
    }
    assert!(verify_file::run(&[], &mut Vec::new()).is_err());
}

#[cfg(unix)]
#[test]
fn verification_is_served_over_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let socket = path.to_str().unwrap().to_owned();
    let ask =
        |count: &str, out: &mut Vec<u8>| verify_server::run(&words(&["ask", &socket, count]), out);
    let nobody = ask("3", &mut Vec::new()).unwrap_err();
    assert!(nobody.to_string().contains("serve"), "{nobody}");
    let serve = words(&["serve", &socket]);
    // Serves until the process ends.
    std::thread::spawn(move || {
        let _ = verify_server::run(&serve, &mut Vec::new());
    });
    let start = Instant::now();
    while !path.exists() || std::os::unix::net::UnixStream::connect(&path).is_err() {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut out = Vec::new();
                ask("302", &mut out).unwrap();
                let text = String::from_utf8(out).unwrap();
                let counts = "101 valid, 101 invalid, 100 malformed, 0 unanswered";
                assert!(text.contains(counts), "{text}");
            });
        }
    });
}

#[test]
fn a_toy_chain_makes_blocks_of_good_payments() {
    let mut out = Vec::new();
    toy_chain::run(&words(&["3", "20"]), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains("height 3, 54 payments so far, 18 good ones wait"),
        "{text}"
    );
    assert!(toy_chain::run(&words(&["x"]), &mut Vec::new()).is_err());
}
