//! The kernels of the short Weierstrass curves in an engine, on every adapter, and on devices that fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/everywhere.rs"]
mod everywhere;

use everywhere::{ask_known, devices_that_fail_change_no_answer};
use pars_engine::{
    EcdsaRecover, EcdsaVerify, Engine, EngineBuilder, GpuPolicy, Kernel, LsagSecp256k1Verify,
    PedersenCommit, SchnorrVerify,
};
use pars_kernels::ring::Members;

const NAMES: [&str; 5] = [
    EcdsaRecover::NAME,
    EcdsaVerify::NAME,
    SchnorrVerify::NAME,
    LsagSecp256k1Verify::NAME,
    PedersenCommit::NAME,
];

fn builder() -> EngineBuilder {
    Engine::builder()
        .without_standard_kernels()
        .kernel::<EcdsaRecover>()
        .kernel::<EcdsaVerify>()
        .kernel::<SchnorrVerify>()
        .kernel_with::<LsagSecp256k1Verify>(Members::new(64))
        .kernel::<PedersenCommit>()
        .share_identical(false)
}

fn ask_all(engine: &Engine, count: usize) {
    ask_known::<EcdsaRecover>(engine, count);
    ask_known::<EcdsaVerify>(engine, count);
    ask_known::<SchnorrVerify>(engine, count);
    ask_known::<LsagSecp256k1Verify>(engine, count);
    ask_known::<PedersenCommit>(engine, count);
}

#[test]
fn the_cpu_answers() {
    let engine = builder().gpu(GpuPolicy::Off).build().unwrap();
    for count in [1, 30, 300] {
        ask_all(&engine, count);
    }
    let stats = engine.stats();
    for name in NAMES {
        assert_eq!(stats.kernel(name).unwrap().answered(), 331, "{name}");
    }
}

#[cfg(feature = "gpu")]
#[test]
fn every_adapter_answers() {
    // The host takes part in every step of a ring.
    let polled = |name: &str| name != LsagSecp256k1Verify::NAME;
    let memory = 5 * (4 << 20);
    everywhere::every_adapter_answers(builder(), &NAMES, polled, memory, &[1, 30, 300], ask_all);
}

#[test]
fn devices_that_fail_leave_every_answer_right() {
    devices_that_fail_change_no_answer(builder, |engine| ask_all(engine, 40));
}
