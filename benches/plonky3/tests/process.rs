//! The process answers as its own code does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;

use pars_bench_plonky3::{Process, ProcessError, VECTORS, peers};

#[test]
fn a_process_takes_turns() {
    let program = Path::new(env!("CARGO_BIN_EXE_pars-bench-plonky3"));
    let mut process = Process::start(program).unwrap();
    assert_eq!(process.vectors(), VECTORS);
    let mut digests = Vec::new();
    for peer in peers() {
        for _ in 0..2 {
            assert!(!process.turn(&peer).unwrap().is_zero(), "{}", peer.name);
        }
        let other = process.turn_of(peer.name, peer.digest() ^ 1);
        assert!(matches!(other, Err(ProcessError::Answer(_))), "{other:?}");
        digests.push(peer.digest());
    }
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 5, "permutations that look alike");
    let unknown = process.turn_of("koalabear-17", 0).unwrap_err();
    assert!(unknown.to_string().contains("koalabear-17"), "{unknown}");
}

#[test]
fn what_is_no_process_is_an_error() {
    let missing = Process::start(Path::new("there is no such program"));
    assert!(matches!(missing, Err(ProcessError::Io(_))));
}
