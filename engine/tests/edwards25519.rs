//! Signatures on edwards25519 in an engine: on every adapter, and on devices that fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/everywhere.rs"]
mod everywhere;

use everywhere::{ask_known, devices_that_fail_change_no_answer};
use pars_engine::{ClsagVerify, Ed25519Verify, Engine, Kernel, LsagRistretto255Verify};

fn check<K: Kernel<Job: Clone>>() {
    let builder = || Engine::builder().without_standard_kernels().kernel::<K>();
    #[cfg(feature = "gpu")]
    everywhere::every_adapter_answers(
        builder(),
        &[K::NAME],
        |_| true,
        16 << 20,
        &[1, 50],
        ask_known::<K>,
    );
    devices_that_fail_change_no_answer(builder, |engine| ask_known::<K>(engine, 20));
}

#[test]
fn ed25519_is_verified_everywhere() {
    check::<Ed25519Verify>();
}

#[test]
fn clsag_is_verified_everywhere() {
    check::<ClsagVerify>();
}

#[test]
fn lsag_is_verified_everywhere() {
    check::<LsagRistretto255Verify>();
}
