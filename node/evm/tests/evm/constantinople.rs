//! Chains that stay at Constantinople, with its own price of SSTORE (EIP-1283).

use std::sync::Arc;

use alloy_genesis::{ChainConfig, Genesis, GenesisAccount};
use alloy_primitives::{Address, B256, hex};
use alloy_rpc_types_eth::TransactionRequest;
use pars_evm::{CallOptions, ChainSpec, Executor};
use pars_store::Store;

use crate::chain::cpu_engine;

const STORES: Address = Address::repeat_byte(0x55);
const TRANSACTION: u64 = 21_000;

/// Gas of a call that runs `code` where slot 0 holds `before`.
fn gas(code: &str, before: u8, petersburg: Option<u64>) -> u64 {
    let mut account = GenesisAccount::default().with_code(Some(hex::decode(code).unwrap().into()));
    if before > 0 {
        let slot = (B256::ZERO, B256::with_last_byte(before));
        account = account.with_storage(Some([slot].into()));
    }
    let mut genesis = Genesis::default()
        .with_gas_limit(10_000_000)
        .extend_accounts([(STORES, account)]);
    genesis.config = ChainConfig {
        homestead_block: Some(0),
        eip150_block: Some(0),
        eip155_block: Some(0),
        eip158_block: Some(0),
        byzantium_block: Some(0),
        constantinople_block: Some(0),
        petersburg_block: petersburg,
        ..ChainConfig::default()
    };
    let spec = Arc::new(ChainSpec::from_genesis(&genesis).unwrap());
    let store = Store::in_memory(&spec.genesis()).unwrap();
    let request = TransactionRequest {
        gas: Some(1_000_000),
        ..TransactionRequest::default().to(STORES)
    };
    let outcome = Executor::new(spec, cpu_engine())
        .call(
            &store.head().header,
            store.head_state().unwrap(),
            &request,
            &CallOptions::default(),
        )
        .unwrap();
    assert_eq!(outcome.failure(), None);
    outcome.gas_used()
}

/// The cases of EIP-1283: code, gas, refund, value before.
#[test]
fn a_store_costs_what_it_changes() {
    for (code, used, refund, before) in [
        ("60006000556000600055", 412, 0, 0),
        ("60006000556001600055", 20_212, 0, 0),
        ("60016000556000600055", 20_212, 19_800, 0),
        ("60016000556002600055", 20_212, 0, 0),
        ("60016000556001600055", 20_212, 0, 0),
        ("60006000556000600055", 5_212, 15_000, 1),
        ("60006000556001600055", 5_212, 4_800, 1),
        ("60006000556002600055", 5_212, 0, 1),
        ("60026000556000600055", 5_212, 15_000, 1),
        ("60026000556003600055", 5_212, 0, 1),
        ("60026000556001600055", 5_212, 4_800, 1),
        ("60026000556002600055", 5_212, 0, 1),
        ("60016000556000600055", 5_212, 15_000, 1),
        ("60016000556002600055", 5_212, 0, 1),
        ("60016000556001600055", 412, 0, 1),
        ("600160005560006000556001600055", 40_218, 19_800, 0),
        ("600060005560016000556000600055", 10_218, 19_800, 1),
    ] {
        let spent = TRANSACTION + used;
        // Half of what was spent comes back at most.
        let expected = spent - refund.min(spent / 2);
        assert_eq!(gas(code, before, Some(1_000)), expected, "{code}, {before}");
    }
}

/// A file that names no block for Petersburg means that of Constantinople, as it does to geth.
#[test]
fn petersburg_takes_it_back() {
    let code = "60006000556001600055";
    for petersburg in [None, Some(0)] {
        assert_eq!(gas(code, 0, petersburg), TRANSACTION + 25_012);
    }
    assert_eq!(gas(code, 0, Some(1)), TRANSACTION + 20_212);
}
