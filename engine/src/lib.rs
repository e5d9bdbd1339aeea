//! Batches, routes and measures cryptographic work over GPUs and CPUs.
//!
//! Hand over one job or many; an [`Engine`] gathers them into batches, runs each batch where it is
//! done first, and answers every job. Answers never depend on the back end: devices must pass
//! known-answer tests, are audited while they run, and whatever they fail to do the CPU does.
//!
//! ```
//! use ml_dsa::{Keypair, MlDsa65, Signer, SigningKey};
//! use pars_engine::{Engine, MlDsaVerify, VerifyJob};
//!
//! let key = SigningKey::<MlDsa65>::from_seed(&[7; 32].into());
//! let public_key = key.verifying_key().encode();
//! let jobs = ["one", "two", "three"].map(|text| {
//!     let signature = key.sign(text.as_bytes()).encode();
//!     VerifyJob::pure(&public_key, b"", text.as_bytes(), &signature).expect("lengths are right")
//! });
//! let engine = Engine::builder().build()?;
//! assert_eq!(engine.call_many_blocking::<MlDsaVerify>(jobs.to_vec())?, [true, true, true]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In async code `engine.call::<MlDsaVerify>(job).await` does one job and `call_many` many, under
//! any executor. [`Engine::submit`] never waits and shows back-pressure as an error that hands the
//! job back. A new kernel joins through the trait [`Kernel`].
//!
//! Without the feature `gpu` (on by default) the engine works on the CPU alone and has no GPU code
//! in its tree.

#[cfg(feature = "gpu")]
mod adapters;
mod builder;
mod calibrate;
mod claim;
mod config;
#[cfg(feature = "gpu")]
mod context;
mod cpu;
mod crew;
#[cfg(feature = "gpu")]
mod curve;
mod desk;
mod device;
mod ed25519;
#[cfg(feature = "gpu")]
mod edwards25519;
mod engine;
mod error;
pub mod fault;
mod gate;
#[cfg(all(test, feature = "gpu"))]
mod gpu_faults;
mod kernel;
mod keys;
mod lane;
mod lookout;
mod mldsa;
mod model;
mod options;
mod owner;
mod pedersen;
#[cfg(feature = "gpu")]
mod pipelined;
mod poseidon;
mod prometheus;
mod queue;
mod report;
mod ring;
mod routing;
mod secp256k1;
mod shared;
mod sheaf;
mod signal;
mod slot;
mod stats;
mod store;
mod sync;
#[cfg(test)]
mod tests;
mod ticket;
mod traffic;

pub use builder::EngineBuilder;
pub use config::{GpuPolicy, Routing};
#[cfg(feature = "gpu")]
pub use context::GpuContext;
pub use ed25519::Ed25519Verify;
pub use engine::Engine;
pub use error::{BuildError, DeviceError, EngineError, SubmitError};
pub use gate::QueueState;
pub use kernel::{Accelerator, DeviceAnswers, Kernel};
pub use keys::KeyCache;
pub use mldsa::MlDsaVerify;
pub use options::{Priority, SubmitOptions};
pub use pars_kernels::mldsa::{InputError, Message, ParameterSet, PreparedKey, VerifyJob};
pub use pedersen::{PedersenCommit, PedersenOpening};
pub use poseidon::{
    PoseidonCompress, PoseidonHash, PoseidonList, PoseidonPair, PoseidonPath, PoseidonVerifyPath,
    SmallCompress, SmallHash, SmallKernel, SmallPair, SmallRow,
};
pub use report::{
    AdapterKind, AdapterReport, AdapterSummary, Cost, CpuReport, DeviceReport, DeviceState,
    RouteReport, SelfTestReport,
};
pub use ring::{ClsagVerify, LsagRistretto255Verify};
pub use secp256k1::{EcdsaRecover, EcdsaVerify, LsagSecp256k1Verify, SchnorrVerify};
pub use stats::{BackendStats, CacheStats, EngineStats, Histogram, KernelStats};
pub use ticket::Ticket;

/// The examples of the README, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The example of the project's README, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ProjectReadme;
