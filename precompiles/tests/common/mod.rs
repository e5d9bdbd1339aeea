//! What the test files share: the contract's interface for a peer's encoder, a host, official vectors.

#![allow(dead_code, reason = "each test file uses its part")]

use alloy_sol_types::sol;
use pars_precompiles::{
    Answers, Call, EntropyInputs, EntropyUnavailable, Host, Outcome, Precompile, Registry,
    Unanswered, short,
};
use serde_json::Value;
use std::path::{Path, PathBuf};

sol!("solidity/IMLDSA.sol");

/// More gas than any test needs.
pub const PLENTY: u64 = 30_000_000;
/// The contract's address.
pub const MLDSA: [u8; 20] = short(0x0602);

/// A chain of one block, with a counter that is kept and an operating system that counts.
#[derive(Clone, Debug, Default)]
pub struct TestHost {
    pub inputs: EntropyInputs,
    pub counter: u64,
    pub os_rng: bool,
    pub os_draws: u8,
    pub os_fails: bool,
}

impl Host for TestHost {
    fn entropy_inputs(&self) -> EntropyInputs {
        self.inputs
    }
    fn counter(&mut self, address: &[u8; 20]) -> u64 {
        assert_eq!(*address, MLDSA);
        self.counter
    }
    fn set_counter(&mut self, address: &[u8; 20], value: u64) {
        assert_eq!(*address, MLDSA);
        self.counter = value;
    }
    fn os_rng(&self) -> bool {
        self.os_rng
    }
    fn os_entropy(&mut self, out: &mut [u8]) -> Result<(), EntropyUnavailable> {
        if self.os_fails {
            return Err(EntropyUnavailable);
        }
        self.os_draws += 1;
        out.fill(self.os_draws);
        Ok(())
    }
}

/// A plain call.
pub fn call(input: &[u8]) -> Call<'_> {
    Call {
        input,
        gas_limit: PLENTY,
        is_static: false,
        is_direct: true,
        value_nonzero: false,
        caller: [0xca; 20],
    }
}

/// The contract of the Pars networks.
pub fn mldsa() -> std::sync::Arc<dyn Precompile> {
    Registry::pars().get(&MLDSA).unwrap().clone()
}

/// Runs a call of the contract on a fresh host.
pub fn run(call: &Call<'_>) -> Outcome {
    run_with(call, &Unanswered)
}

/// Runs a call of the contract on a fresh host with answers.
pub fn run_with(call: &Call<'_>, answers: &dyn Answers) -> Outcome {
    mldsa().run(call, &mut TestHost::default(), answers)
}

/// The output of a plain call that succeeds, and its gas.
pub fn returned(input: &[u8]) -> (Vec<u8>, u64) {
    match run(&call(input)) {
        Outcome::Return { gas_used, output } => (output, gas_used),
        other => panic!("{other:?}"),
    }
}

/// The error signature of a plain call that reverts, and its gas.
pub fn refused(call: &Call<'_>) -> (&'static str, u64) {
    match run(call) {
        Outcome::Revert { gas_used, output } => (
            pars_precompiles::error_signature(&output).expect("a known error"),
            gas_used,
        ),
        other => panic!("{other:?}"),
    }
}

/// An official vector file of ML-DSA, or a line on why the test looks at nothing official.
pub fn vectors(name: &str) -> Option<Value> {
    let mut roots: Vec<PathBuf> = std::env::var_os("PARS_VECTORS")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    for up in ["..", "../..", "../../.."] {
        roots.push(Path::new(up).join("shared/vectors"));
    }
    roots.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"));
    let found = roots
        .iter()
        .map(|root| root.join("mldsa").join(name))
        .find(|path| path.is_file());
    let Some(path) = found else {
        println!("no official vectors: {name} was not found; set PARS_VECTORS to their folder");
        return None;
    };
    Some(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
}

/// A field of a vector as bytes; absent is empty.
pub fn hex_of(value: &Value, field: &str) -> Vec<u8> {
    hex::decode(value[field].as_str().unwrap_or_default()).unwrap()
}

/// All cases of a vector file, each with its group.
pub fn cases(file: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    file["testGroups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| {
            group["tests"]
                .as_array()
                .unwrap()
                .iter()
                .map(move |case| (group, case))
        })
}

/// The mode number of "ML-DSA-65".
pub fn mode(set: &str) -> u8 {
    match set {
        "ML-DSA-44" => 2,
        "ML-DSA-65" => 3,
        "ML-DSA-87" => 5,
        other => panic!("{other}"),
    }
}
