//! Calls that blocks make themselves, on Ethereum's rules.

use std::{sync::Arc, time::Duration};

use alloy_eips::{
    eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
};
use alloy_genesis::{ChainConfig, Genesis, GenesisAccount};
use alloy_primitives::{Address, B256, Bytes, hex};
use pars_evm::{BlockAttributes, ChainSpec, Executor};
use pars_store::Store;

use crate::chain::cpu_engine;

/// What one round of the loop costs.
const ROUND: u32 = 26;

/// Whether a block is built whose contract of withdrawal requests takes so many rounds.
fn is_built(rounds: u32) -> bool {
    // PUSH3 rounds; loop: JUMPDEST, PUSH1 1, SWAP1, SUB, DUP1, PUSH1 loop, JUMPI; STOP.
    let code = format!("62{rounds:06x}5b600190038060045700");
    let contract = |code: String| {
        let code = Bytes::from(hex::decode(code).unwrap());
        GenesisAccount::default().with_code(Some(code))
    };
    let mut genesis = Genesis::default()
        .with_gas_limit(30_000_000)
        .extend_accounts([
            (WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, contract(code)),
            (
                CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
                contract("00".to_owned()),
            ),
        ]);
    genesis.config = ChainConfig {
        homestead_block: Some(0),
        eip150_block: Some(0),
        eip155_block: Some(0),
        eip158_block: Some(0),
        byzantium_block: Some(0),
        constantinople_block: Some(0),
        petersburg_block: Some(0),
        istanbul_block: Some(0),
        berlin_block: Some(0),
        london_block: Some(0),
        terminal_total_difficulty: Some(Default::default()),
        shanghai_time: Some(0),
        cancun_time: Some(0),
        prague_time: Some(0),
        ..ChainConfig::default()
    };
    let spec = Arc::new(ChainSpec::from_genesis(&genesis).unwrap());
    let store = Store::in_memory(&spec.genesis()).unwrap();
    let attributes = BlockAttributes {
        timestamp: 12,
        beneficiary: Address::ZERO,
        prev_randao: B256::ZERO,
        parent_beacon_block_root: B256::ZERO,
        extra_data: Bytes::new(),
        withdrawals: Default::default(),
        time_budget: Duration::from_secs(5),
    };
    let executor = Executor::new(spec, cpu_engine());
    executor.build(&store, Vec::new(), attributes).is_ok()
}

#[test]
fn a_call_has_thirty_million_gas() {
    assert!(is_built(30_000_000 / ROUND - 1));
    assert!(!is_built(30_000_000 / ROUND + 1));
}
