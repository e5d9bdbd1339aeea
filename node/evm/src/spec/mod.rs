//! What a network is, as values: identity, forks, fees, limits, precompiles and first state.

mod genesis;
mod networks;

use std::collections::BTreeMap;

use alloy_consensus::{BlockHeader, Header};
use alloy_eips::{
    eip1559::{BaseFeeParams, calculate_block_gas_limit},
    eip7840::BlobParams,
};
use alloy_evm::eth::spec::EthExecutorSpec;
use alloy_genesis::GenesisAccount;
use alloy_hardforks::{EthereumChainHardforks, EthereumHardfork, EthereumHardforks, ForkCondition};
use alloy_primitives::{Address, B256, Bytes, keccak256};
use thiserror::Error;

pub use networks::{DEV_NETWORK, PARS_NETWORK, PARS_TESTNET_NETWORK};

/// A specification that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpecError {
    /// No built-in network has this name.
    #[error(
        "unknown network \"{0}\"; known networks: pars (alias mainnet), pars-testnet (alias testnet), dev (alias pars-dev)"
    )]
    UnknownNetwork(String),
    /// A genesis file that contradicts itself or the rules.
    #[error("genesis file: {0}")]
    Genesis(String),
}

/// Rules of the base fee (EIP-1559).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeRules {
    /// Change denominator and elasticity. Pars: 240 and 2, which at 2.5 blocks a second moves as
    /// fast in wall time as Ethereum's 8 and 2 at one block in twelve seconds.
    pub params: BaseFeeParams,
    /// The base fee never falls below this, in wei.
    pub floor: u64,
    /// Base fee of the genesis block, in wei.
    pub initial: u64,
}

/// Which of Pars's own precompiles exist on a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrecompileSet {
    /// None: plain Ethereum.
    None,
    /// The table of the Pars networks.
    Pars,
}

/// Fields of the genesis header that are not derived from the rest of the specification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisBlock {
    /// Seconds since 1970.
    pub timestamp: u64,
    /// At most 32 bytes; the Pars networks write their name here, so that their genesis hashes
    /// differ even where nothing else does.
    pub extra_data: Bytes,
    /// Receiver of the fees of a block nobody built.
    pub beneficiary: Address,
    /// `prevRandao` of the genesis block.
    pub mix_hash: B256,
}

/// Everything that makes a network the network it is.
///
/// Nothing in this crate is a constant of one network: the same code runs any specification.
#[derive(Clone, Debug)]
pub struct ChainSpec {
    /// Name on the command line and in logs; not part of the identity.
    pub name: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Which rules hold from when on.
    pub forks: EthereumChainHardforks,
    /// Base fee rules.
    pub fees: FeeRules,
    /// Gas limit of the genesis block and the one builders move towards.
    pub gas_limit: u64,
    /// Pars's own precompiles.
    pub precompiles: PrecompileSet,
    /// Genesis header fields.
    pub genesis_block: GenesisBlock,
    /// State before the first block, without the accounts the rules add (precompiles, history
    /// contract): see [`ChainSpec::genesis_alloc`].
    pub alloc: BTreeMap<Address, GenesisAccount>,
}

impl ChainSpec {
    /// Base fee of the block after `parent`, in wei: EIP-1559 with this network's pace, never
    /// below the floor.
    pub fn next_base_fee(&self, parent: &Header) -> u64 {
        let current = parent.base_fee_per_gas.unwrap_or(self.fees.initial);
        self.fees
            .params
            .next_block_base_fee(parent.gas_used, parent.gas_limit, current)
            .max(self.fees.floor)
    }

    /// Gas limit a builder gives the block after `parent`: as near to [`ChainSpec::gas_limit`] as
    /// the step of 1/1024 allows.
    pub fn next_gas_limit(&self, parent: &Header) -> u64 {
        calculate_block_gas_limit(parent.gas_limit(), self.gas_limit)
    }

    /// Blob parameters of a block at `timestamp`, where blobs exist. Pars accepts no blob
    /// transactions, but the blob opcodes answer as on Ethereum.
    pub fn blob_params(&self, timestamp: u64) -> Option<BlobParams> {
        if self.is_osaka_active_at_timestamp(timestamp) {
            Some(BlobParams::osaka())
        } else if self.is_prague_active_at_timestamp(timestamp) {
            Some(BlobParams::prague())
        } else if self.is_cancun_active_at_timestamp(timestamp) {
            Some(BlobParams::cancun())
        } else {
            None
        }
    }

    /// Identity of the specification: the hash of everything that decides what a block means.
    /// A store made for one specification refuses to open for another.
    pub fn spec_hash(&self) -> B256 {
        keccak256(self.describe())
    }

    /// The text under [`ChainSpec::spec_hash`], one rule a line, in a fixed order.
    fn describe(&self) -> String {
        use std::fmt::Write;
        let mut text = String::from("pars chain specification 1\n");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "chain id {}", self.chain_id);
        let _ = writeln!(text, "genesis {}", self.genesis_hash());
        let _ = writeln!(text, "gas limit {}", self.gas_limit);
        let FeeRules {
            params,
            floor,
            initial,
        } = self.fees;
        let _ = writeln!(
            text,
            "base fee {} {} {floor} {initial}",
            params.max_change_denominator, params.elasticity_multiplier
        );
        let _ = writeln!(text, "precompiles {}", self.precompiles.name());
        for fork in EthereumHardfork::VARIANTS {
            let _ = match self.forks.ethereum_fork_activation(*fork) {
                ForkCondition::Never => Ok(()),
                ForkCondition::Block(number) => {
                    writeln!(text, "fork {} block {number}", fork.name())
                }
                ForkCondition::Timestamp(time) => {
                    writeln!(text, "fork {} time {time}", fork.name())
                }
                ForkCondition::TTD {
                    total_difficulty, ..
                } => {
                    writeln!(text, "fork {} difficulty {total_difficulty}", fork.name())
                }
            };
        }
        text
    }
}

impl EthereumHardforks for ChainSpec {
    fn ethereum_fork_activation(&self, fork: EthereumHardfork) -> ForkCondition {
        self.forks.ethereum_fork_activation(fork)
    }
}

impl EthExecutorSpec for ChainSpec {
    // Deposits are Ethereum's; Pars has no deposit contract.
    fn deposit_contract_address(&self) -> Option<Address> {
        None
    }
}

impl PrecompileSet {
    /// Name in genesis files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pars => "pars",
        }
    }

    /// The set of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "pars" => Some(Self::Pars),
            _ => None,
        }
    }
}
