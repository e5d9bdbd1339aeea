//! The networks' first blocks, pinned: a change here is another chain.

use alloy_consensus::Header;
use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, U256, address, b256};
use pars_evm::{ChainSpec, SpecError};
use pars_store::Store;

#[test]
fn genesis_hashes_do_not_move() {
    let hashes = [
        ChainSpec::pars(),
        ChainSpec::pars_testnet(),
        ChainSpec::dev(),
    ]
    .map(|spec| spec.genesis_hash());
    let pinned = [
        b256!("894a94877c69d325dafa9ad3514da84f4fefde03b12f3c51e2830825f9c87de2"),
        b256!("77097daf57c9e5dc83f8adc38f88d94cd274a3ff23a85474ceffc7101c6e9631"),
        b256!("79922647d76990dbac1f049e79be62e3d0b968aa6e843d7f02ec034b9f5cd295"),
    ];
    assert_eq!(hashes, pinned);
}

#[test]
fn a_store_opens_with_every_network() {
    for name in [
        "pars",
        "pars-testnet",
        "dev",
        "mainnet",
        "testnet",
        "pars-dev",
    ] {
        let spec = ChainSpec::from_name(name).unwrap();
        let genesis = spec.genesis();
        let store = Store::in_memory(&genesis).unwrap();
        assert_eq!(store.head().hash, spec.genesis_hash());
        let state = store.head_state().unwrap();
        for (address, code) in [
            (address!("0000000000000000000000000000000000000602"), 1),
            (HISTORY_STORAGE_ADDRESS, 83),
        ] {
            assert_eq!(
                state.account(&address).unwrap().unwrap().nonce,
                1,
                "{address}"
            );
            assert_eq!(state.code_of(&address).unwrap().len(), code, "{address}");
        }
    }
    assert_eq!(
        ChainSpec::from_name("ethereum").unwrap_err(),
        SpecError::UnknownNetwork("ethereum".to_owned())
    );
}

#[test]
fn identity_covers_everything_that_decides_a_block() {
    let dev = ChainSpec::dev();
    let mut others = vec![ChainSpec::pars(), ChainSpec::pars_testnet()];
    others.push(
        dev.clone()
            .with_alloc([(Address::ZERO, GenesisAccount::default())]),
    );
    let changes: [fn(&mut ChainSpec); 5] = [
        |spec| spec.chain_id = 1,
        |spec| spec.gas_limit += 1,
        |spec| spec.fees.floor += 1,
        |spec| spec.fees.params.max_change_denominator = 8,
        |spec| spec.genesis_block.timestamp += 1,
    ];
    for change in changes {
        let mut spec = dev.clone();
        change(&mut spec);
        others.push(spec);
    }
    for other in &others {
        assert_ne!(other.spec_hash(), dev.spec_hash());
    }
    // A name is for people.
    let mut renamed = dev.clone();
    renamed.name = "another".to_owned();
    assert_eq!(renamed.spec_hash(), dev.spec_hash());
}

#[test]
fn geths_file_says_it_all() {
    let funded = Address::repeat_byte(7);
    let account = GenesisAccount::default()
        .with_balance(U256::from(5))
        .with_code(Some(vec![0x60, 0x00].into()))
        .with_storage(Some(
            [(
                b256!("00000000000000000000000000000000000000000000000000000000000000aa"),
                b256!("00000000000000000000000000000000000000000000000000000000000000bb"),
            )]
            .into(),
        ));
    for spec in [
        ChainSpec::pars(),
        ChainSpec::pars_testnet(),
        ChainSpec::dev(),
    ] {
        let spec = spec.with_alloc([(funded, account.clone())]);
        let text = serde_json::to_string_pretty(&spec.to_genesis()).unwrap();
        let read = ChainSpec::from_genesis(&serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(read.spec_hash(), spec.spec_hash(), "{text}");
        assert_eq!(read.name, spec.name);
        assert_eq!(read.alloc, spec.alloc);
    }
}

#[test]
fn genesis_files_that_contradict_the_rules_are_refused() {
    let good = serde_json::to_value(ChainSpec::dev().to_genesis()).unwrap();
    let cases = [
        ("/difficulty", serde_json::json!("0x1"), "difficulty"),
        (
            "/extraData",
            serde_json::json!(format!("0x{}", "00".repeat(33))),
            "extraData",
        ),
        (
            "/config/pars/precompiles",
            serde_json::json!("other"),
            "precompiles",
        ),
        (
            "/config/pars/minBaseFee",
            serde_json::json!("x"),
            "minBaseFee",
        ),
        (
            "/config/pars/elasticityMultiplier",
            serde_json::json!(0),
            "elasticityMultiplier",
        ),
    ];
    for (pointer, value, word) in cases {
        let mut file = good.clone();
        *file.pointer_mut(pointer).unwrap() = value;
        let error = ChainSpec::from_genesis(&serde_json::from_value(file).unwrap()).unwrap_err();
        assert!(error.to_string().contains(word), "{pointer}: {error}");
    }
}

#[test]
fn the_base_fee_moves_at_the_networks_pace_and_stops_at_its_floor() {
    let spec = ChainSpec::pars();
    let mut header = spec.genesis_header();
    let gwei = 1_000_000_000;
    assert_eq!(
        spec.next_base_fee(&header),
        25 * gwei,
        "never below the floor"
    );
    header.gas_used = header.gas_limit;
    assert_eq!(spec.next_base_fee(&header), 25 * gwei + 25 * gwei / 240);
    header.gas_used = header.gas_limit / 2;
    header.base_fee_per_gas = Some(48 * gwei);
    assert_eq!(spec.next_base_fee(&header), 48 * gwei);
    header.gas_used = 0;
    assert_eq!(spec.next_base_fee(&header), 48 * gwei - 48 * gwei / 240);

    // An idle development chain sinks from 1 gwei until rounding stops it.
    let spec = ChainSpec::dev();
    let mut header = spec.genesis_header();
    assert_eq!(header.base_fee_per_gas, Some(gwei));
    for _ in 0..20_000 {
        header.base_fee_per_gas = Some(spec.next_base_fee(&header));
    }
    assert!(header.base_fee_per_gas.unwrap() < 240);
}

/// Since Osaka builders of Ethereum aim at 60 million gas, whatever the chain began with (EIP-7935).
#[test]
fn builders_move_the_gas_limit_by_the_rules_of_the_fork() {
    let limit_after = |spec: &ChainSpec, gas_limit: u64, timestamp: u64| {
        let parent = Header {
            gas_limit,
            timestamp,
            ..Header::default()
        };
        spec.next_gas_limit(&parent)
    };
    let file = r#"{"gasLimit": "0xbebc200", "difficulty": "0x0", "alloc": {}, "config": {
        "chainId": 1, "londonBlock": 0, "terminalTotalDifficulty": 0,
        "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0, "osakaTime": 100}}"#;
    let ethereum = ChainSpec::from_genesis(&serde_json::from_str(file).unwrap()).unwrap();
    assert_eq!(limit_after(&ethereum, 200_000_000, 99), 200_000_000);
    assert_eq!(limit_after(&ethereum, 200_000_000, 100), 199_804_689);
    assert_eq!(limit_after(&ethereum, 60_000_000, 100), 60_000_000);
    assert_eq!(limit_after(&ethereum, 30_000_000, 100), 30_029_295);
    let pars = ChainSpec::pars();
    assert_eq!(limit_after(&pars, pars.gas_limit, 100), pars.gas_limit);
}
