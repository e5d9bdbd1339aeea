//! The built-in networks.

use std::collections::BTreeMap;

use alloy_eips::{BlobScheduleBlobParams, eip1559::BaseFeeParams};
use alloy_genesis::GenesisAccount;
use alloy_hardforks::{EthereumChainHardforks, EthereumHardfork};
use alloy_primitives::{Address, Bytes};

use super::{BlockRules, ChainSpec, FeeRules, GenesisBlock, PrecompileSet, SpecError};

/// Name of the main network.
pub const PARS_NETWORK: &str = "pars";
/// Name of the public test network.
pub const PARS_TESTNET_NETWORK: &str = "pars-testnet";
/// Name of the single-node development network.
pub const DEV_NETWORK: &str = "dev";

const PARS_CHAIN_ID: u64 = 6133;
const PARS_TESTNET_CHAIN_ID: u64 = 6134;

/// 1 gwei in wei.
const GWEI: u64 = 1_000_000_000;

/// Ethereum's pace of the base fee at 2.5 blocks a second: its denominator of 8 times the thirty
/// Pars blocks that fall into one of Ethereum's slots.
const PARS_BASE_FEE: BaseFeeParams = BaseFeeParams::new(240, 2);

/// Floor of the base fee on the public networks, as their published genesis has it.
const PARS_BASE_FEE_FLOOR: u64 = 25 * GWEI;

/// Base fee of the first development block: 1 gwei, as anvil, hardhat and geth's development mode
/// start with.
const DEV_BASE_FEE: u64 = GWEI;

/// Floor of the development base fee: where Ethereum's own formula stops falling (7 · 1/8 rounds
/// to nothing), so an idle development chain becomes as cheap as with those tools.
const DEV_BASE_FEE_FLOOR: u64 = 7;

/// Block gas limit of the public networks, as their published genesis has it.
const PARS_GAS_LIMIT: u64 = 15_000_000;
/// Block gas limit of the development network: what developers know from the tools above.
const DEV_GAS_LIMIT: u64 = 30_000_000;

/// 1 January 2026, 00:00 UTC.
const PUBLIC_GENESIS_TIME: u64 = 1_767_225_600;

impl ChainSpec {
    /// The main network, chain id 6133.
    pub fn pars() -> Self {
        public_network(PARS_NETWORK, PARS_CHAIN_ID)
    }

    /// The public test network, chain id 6134.
    pub fn pars_testnet() -> Self {
        public_network(PARS_TESTNET_NETWORK, PARS_TESTNET_CHAIN_ID)
    }

    /// The development network: chain id 6133, so that a wallet set up for Pars signs for it as it
    /// is, a low base fee and nobody funded yet (see [`ChainSpec::with_alloc`]).
    pub fn dev() -> Self {
        Self {
            fees: FeeRules {
                params: PARS_BASE_FEE,
                floor: DEV_BASE_FEE_FLOOR,
                initial: DEV_BASE_FEE,
            },
            gas_limit: DEV_GAS_LIMIT,
            ..public_network(DEV_NETWORK, PARS_CHAIN_ID)
        }
    }

    /// The built-in network of that name.
    ///
    /// # Errors
    /// [`SpecError::UnknownNetwork`], which lists the names.
    pub fn from_name(name: &str) -> Result<Self, SpecError> {
        match name {
            PARS_NETWORK | "mainnet" => Ok(Self::pars()),
            PARS_TESTNET_NETWORK | "testnet" => Ok(Self::pars_testnet()),
            DEV_NETWORK | "pars-dev" => Ok(Self::dev()),
            other => Err(SpecError::UnknownNetwork(other.to_owned())),
        }
    }

    /// This network with further accounts in its first state; an account already there is
    /// replaced. The genesis hash changes with them.
    #[must_use]
    pub fn with_alloc(
        mut self,
        accounts: impl IntoIterator<Item = (Address, GenesisAccount)>,
    ) -> Self {
        self.alloc.extend(accounts);
        self
    }
}

fn public_network(name: &str, chain_id: u64) -> ChainSpec {
    ChainSpec {
        name: name.to_owned(),
        chain_id,
        // Osaka and all before it from the first block.
        forks: EthereumChainHardforks::new(EthereumHardfork::devnet().into_iter().filter(
            |(fork, _)| {
                !matches!(
                    fork,
                    EthereumHardfork::Dao | EthereumHardfork::Bpo1 | EthereumHardfork::Bpo2
                )
            },
        )),
        fees: FeeRules {
            params: PARS_BASE_FEE,
            floor: PARS_BASE_FEE_FLOOR,
            initial: PARS_BASE_FEE_FLOOR,
        },
        gas_limit: PARS_GAS_LIMIT,
        precompiles: PrecompileSet::Pars,
        rules: BlockRules::Pars,
        blobs: BlobScheduleBlobParams::default(),
        genesis_block: GenesisBlock {
            timestamp: PUBLIC_GENESIS_TIME,
            extra_data: Bytes::copy_from_slice(name.as_bytes()),
            ..GenesisBlock::default()
        },
        alloc: BTreeMap::new(),
    }
}
