//! Ethereum's own precompiles, called by a contract with exactly the gas they cost, and with one
//! less.

use std::collections::BTreeMap;

use alloy_genesis::{Genesis, GenesisAccount};
use alloy_primitives::{Address, Bytes, U256, address, bytes, hex};
use alloy_rpc_types_eth::{TransactionInput, TransactionRequest};
use pars_evm::{CallOptions, CallOutcome, Executor};
use pars_store::Store;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{spec, suite};

/// Takes gas (32 bytes), address (32 bytes) and input; calls the address with that gas and that
/// input; returns whether it succeeded (32 bytes) and what it returned.
///
/// n = CALLDATASIZE - 64; CALLDATACOPY(0, 64, n); s = STATICCALL(gas, address, 0, n, 0, 0);
/// MSTORE(0, s); RETURNDATACOPY(32, 0, RETURNDATASIZE); RETURN(0, 32 + RETURNDATASIZE)
const PROBE_CODE: Bytes =
    bytes!("60403603806040" "5f37" "5f5f825f6020355f35fa" "5f523d5f60203e3d6020015ff3");
const PROBE: Address = address!("00000000000000000000000000000000000f00d0");

/// Gas for vectors that name none.
const AMPLE: u64 = 10_000_000;

const P256VERIFY: u64 = 0x100;
/// Price of the final EIP-7951, which the blockchain tests confirm.
const P256VERIFY_GAS: u64 = 6_900;

/// File, fork it holds at, address.
const FILES: &[(&str, &str, u64)] = &[
    ("geth_ecRecover", "Osaka", 0x01),
    ("geth_modexp_eip2565", "Cancun", 0x05),
    ("geth_modexp_eip7883", "Osaka", 0x05),
    ("geth_bn256Add", "Osaka", 0x06),
    ("geth_bn256ScalarMul", "Osaka", 0x07),
    ("geth_bn256Pairing", "Osaka", 0x08),
    ("geth_blake2F", "Osaka", 0x09),
    ("geth_fail-blake2f", "Osaka", 0x09),
    ("geth_pointEvaluation", "Osaka", 0x0a),
    ("eip2537_add_G1_bls", "Osaka", 0x0b),
    ("eip2537_fail-add_G1_bls", "Osaka", 0x0b),
    ("eip2537_mul_G1_bls", "Osaka", 0x0c),
    ("eip2537_fail-mul_G1_bls", "Osaka", 0x0c),
    ("eip2537_msm_G1_bls", "Osaka", 0x0c),
    ("eip2537_fail-msm_G1_bls", "Osaka", 0x0c),
    ("eip2537_add_G2_bls", "Osaka", 0x0d),
    ("eip2537_fail-add_G2_bls", "Osaka", 0x0d),
    ("eip2537_mul_G2_bls", "Osaka", 0x0e),
    ("eip2537_fail-mul_G2_bls", "Osaka", 0x0e),
    ("eip2537_fail-msm_G2_bls", "Osaka", 0x0e),
    ("geth_blsG2MultiExp", "Osaka", 0x0e),
    ("eip2537_pairing_check_bls", "Osaka", 0x0f),
    ("eip2537_fail-pairing_check_bls", "Osaka", 0x0f),
    ("eip2537_map_fp_to_G1_bls", "Osaka", 0x10),
    ("eip2537_fail-map_fp_to_G1_bls", "Osaka", 0x10),
    ("eip2537_map_fp2_to_G2_bls", "Osaka", 0x11),
    ("eip2537_fail-map_fp2_to_G2_bls", "Osaka", 0x11),
    ("eip7951_p256verify", "Osaka", P256VERIFY),
];

struct Probe {
    executor: Executor,
    store: Store,
}

impl Probe {
    fn new(network: &str) -> Self {
        let mut genesis = Genesis::default()
            .with_gas_limit(100_000_000)
            .extend_accounts([(PROBE, GenesisAccount::default().with_code(Some(PROBE_CODE)))]);
        genesis.config = spec::config(network, &Value::Null);
        let spec = spec::spec(&genesis);
        Self {
            executor: spec::executor(&spec),
            store: Store::in_memory(&spec.genesis()).unwrap(),
        }
    }

    /// Whether the call succeeds, and what it returns.
    fn call(&self, to: u64, input: &[u8], gas: u64) -> (bool, Vec<u8>) {
        let word = |number: u64| U256::from(number).to_be_bytes::<32>();
        let data = [&word(gas)[..], &word(to), input].concat();
        let request = TransactionRequest {
            to: Some(PROBE.into()),
            gas: Some(90_000_000),
            input: TransactionInput::new(data.into()),
            ..TransactionRequest::default()
        };
        let head = self.store.head();
        let outcome = self
            .executor
            .call(
                &head.header,
                self.store.head_state().unwrap(),
                &request,
                &CallOptions::default(),
            )
            .unwrap();
        let CallOutcome::Success { output, .. } = outcome else {
            panic!("the probe itself failed: {outcome:?}");
        };
        (output[31] == 1, output[32..].to_vec())
    }
}

#[test]
fn standard_precompiles() {
    let Some(folder) = suite::folder("evm-precompiles") else {
        return;
    };
    let mut results = BTreeMap::new();
    let probes = ["Cancun", "Osaka"].map(|network| (network, Probe::new(network)));
    for (file, network, address) in FILES {
        let (_, probe) = probes.iter().find(|(name, _)| name == network).unwrap();
        let vectors = suite::read(&folder.join(format!("{file}.json")));
        for (index, vector) in vectors.as_array().unwrap().iter().enumerate() {
            let name = format!("{file}/{index} {}", vector["Name"]);
            results.insert(name, check(probe, *address, vector));
        }
    }
    let (_, probe) = &probes[1];
    let vectors = suite::read(&folder.join("kzg_verify_proof.json"));
    for (index, vector) in vectors.as_array().unwrap().iter().enumerate() {
        results.insert(
            format!("kzg_verify_proof/{index} {}", vector["name"]),
            check(probe, 0x0a, &point_evaluation(vector)),
        );
    }
    suite::report("standard precompiles", results);
}

fn check(probe: &Probe, address: u64, vector: &Value) -> Result<(), String> {
    let input = hex::decode(vector["Input"].as_str().unwrap()).unwrap();
    let Some(expected) = vector["Expected"].as_str() else {
        let (success, output) = probe.call(address, &input, AMPLE);
        return if success {
            Err(format!("answered {}, must fail", hex::encode(output)))
        } else {
            Ok(())
        };
    };
    // The file has a draft's price.
    let gas = match address {
        P256VERIFY => P256VERIFY_GAS,
        _ => vector["Gas"].as_u64().unwrap(),
    };
    let (success, output) = probe.call(address, &input, gas);
    if !success || hex::encode(&output) != expected {
        let output = hex::encode(output);
        return Err(format!(
            "with {gas} gas: {success}, {output}, not {expected}"
        ));
    }
    let less = gas.checked_sub(1);
    if less.is_some_and(|less| probe.call(address, &input, less).0) {
        return Err(format!("costs less than {gas} gas"));
    }
    Ok(())
}

/// A vector of the proof check as input and answer of the precompile (EIP-4844).
fn point_evaluation(vector: &Value) -> Value {
    let part = |name: &str| hex::decode(vector[name].as_str().unwrap()).unwrap();
    let commitment = part("commitment");
    let mut version = Sha256::digest(&commitment).to_vec();
    version[0] = 1;
    let input = [version, part("z"), part("y"), commitment, part("proof")].concat();
    if vector["output"] == "true" {
        // FIELD_ELEMENTS_PER_BLOB and BLS_MODULUS.
        let answer = "000000000000000000000000000000000000000000000000000000000000100073eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001";
        json!({"Input": hex::encode(input), "Expected": answer, "Gas": 50_000})
    } else {
        json!({"Input": hex::encode(input)})
    }
}
