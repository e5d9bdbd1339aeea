//! What a network is, as values: identity, forks, fees, limits, precompiles and first state.

mod difficulty;
mod genesis;
mod networks;

use std::collections::BTreeMap;

use alloy_consensus::{BlockHeader, Header};
use alloy_eips::{
    BlobScheduleBlobParams,
    eip1559::{BaseFeeParams, calculate_block_gas_limit},
    eip7840::BlobParams,
};
use alloy_evm::eth::spec::EthExecutorSpec;
use alloy_genesis::GenesisAccount;
use alloy_hardforks::{EthereumChainHardforks, EthereumHardfork, EthereumHardforks, ForkCondition};
use alloy_primitives::{Address, B64, B256, Bytes, U256, keccak256};
use pars_store::EmptyAccounts;
use thiserror::Error;

pub use networks::{DEV_NETWORK, PARS_NETWORK, PARS_TESTNET_NETWORK};

/// What builders of Ethereum aim at since Osaka (EIP-7935).
const OSAKA_GAS_LIMIT: u64 = 60_000_000;

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

/// Which steps a block has around its transactions, and what its header must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockRules {
    /// Pars: several blocks may share a second; no blobs, withdrawals, rewards, uncles or
    /// execution-layer requests, and no call of the beacon-root contract.
    Pars,
    /// Ethereum's own at each fork. Before the merge difficulties and uncles are checked; that
    /// the work was done is not.
    Ethereum {
        /// Whose logs are deposits (EIP-6110).
        deposit_contract: Option<Address>,
    },
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
    /// Difficulty; 0 on chains that start with proof of stake.
    pub difficulty: U256,
    /// Nonce; 0 likewise.
    pub nonce: B64,
    /// Gas used by the blobs of the block that nobody built (EIP-4844).
    pub blob_gas_used: u64,
    /// Blob gas in excess of the target before the first block (EIP-4844).
    pub excess_blob_gas: u64,
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
    /// Gas limit of the genesis block and the one builders move towards; see
    /// [`ChainSpec::next_gas_limit`].
    pub gas_limit: u64,
    /// Pars's own precompiles.
    pub precompiles: PrecompileSet,
    /// Steps and header fields of a block.
    pub rules: BlockRules,
    /// Targets, limits and price steps of blobs by fork (EIP-7840, EIP-7892).
    pub blobs: BlobScheduleBlobParams,
    /// Genesis header fields.
    pub genesis_block: GenesisBlock,
    /// State before the first block, without the accounts the rules add (precompiles, history
    /// contract): see [`ChainSpec::genesis_alloc`].
    pub alloc: BTreeMap<Address, GenesisAccount>,
}

impl ChainSpec {
    /// Base fee of the block after `parent`, in wei: EIP-1559 with this network's pace, never
    /// below the floor; 0 where that block has none yet.
    pub fn next_base_fee(&self, parent: &Header) -> u64 {
        self.base_fee_after(parent).unwrap_or(0)
    }

    /// As [`ChainSpec::next_base_fee`]; `None` before London.
    pub fn base_fee_after(&self, parent: &Header) -> Option<u64> {
        if !self.is_london_active_at_block(parent.number.saturating_add(1)) {
            return None;
        }
        // The first block with a base fee starts from the initial one (EIP-1559).
        let Some(current) = parent.base_fee_per_gas else {
            return Some(self.fees.initial.max(self.fees.floor));
        };
        let fee = self
            .fees
            .params
            .next_block_base_fee(parent.gas_used, parent.gas_limit, current);
        Some(fee.max(self.fees.floor))
    }

    /// Blob gas in excess of the target before the block at `timestamp` after `parent`; `None`
    /// before Cancun.
    pub fn excess_blob_gas_after(&self, parent: &Header, timestamp: u64) -> Option<u64> {
        let params = self.blob_params(timestamp)?;
        // Cancun's first block starts from nothing (EIP-4844).
        Some(parent.next_block_excess_blob_gas(params).unwrap_or(0))
    }

    /// Gas limit a builder gives the block after `parent`: as near to [`ChainSpec::gas_limit`] as
    /// the step of 1/1024 allows. On Ethereum's rules, once its parent is of Osaka, as near to what
    /// that fork has builders aim at (EIP-7935).
    pub fn next_gas_limit(&self, parent: &Header) -> u64 {
        let aim = match self.rules {
            BlockRules::Ethereum { .. } if self.is_osaka_active_at_timestamp(parent.timestamp) => {
                OSAKA_GAS_LIMIT
            }
            BlockRules::Ethereum { .. } | BlockRules::Pars => self.gas_limit,
        };
        calculate_block_gas_limit(parent.gas_limit(), aim)
    }

    /// Blob parameters of a block at `timestamp`, where blobs exist. Pars accepts no blob
    /// transactions, but the blob opcodes answer as on Ethereum.
    pub fn blob_params(&self, timestamp: u64) -> Option<BlobParams> {
        if let Some(params) = self.blobs.active_scheduled_params_at_timestamp(timestamp) {
            Some(*params)
        } else if self.is_osaka_active_at_timestamp(timestamp) {
            Some(self.blobs.osaka)
        } else if self.is_prague_active_at_timestamp(timestamp) {
            Some(self.blobs.prague)
        } else if self.is_cancun_active_at_timestamp(timestamp) {
            Some(self.blobs.cancun)
        } else {
            None
        }
    }

    /// Whether accounts without nonce, balance and code go when a block touches them (EIP-161),
    /// at block `number`.
    pub fn empty_accounts(&self, number: u64) -> EmptyAccounts {
        if self.is_spurious_dragon_active_at_block(number) {
            EmptyAccounts::Remove
        } else {
            EmptyAccounts::Keep
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
        let mut text = String::from("pars chain specification 2\n");
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
        let _ = match self.rules {
            BlockRules::Pars => writeln!(text, "blocks pars"),
            BlockRules::Ethereum { deposit_contract } => {
                writeln!(text, "blocks ethereum {deposit_contract:?}")
            }
        };
        let BlobScheduleBlobParams {
            cancun,
            prague,
            osaka,
            scheduled,
        } = &self.blobs;
        let _ = writeln!(text, "blobs {cancun:?} {prague:?} {osaka:?} {scheduled:?}");
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
        self.rules.deposit_contract()
    }
}

impl BlockRules {
    /// Whose logs are deposits (EIP-6110), where there are any.
    pub const fn deposit_contract(self) -> Option<Address> {
        match self {
            Self::Pars => None,
            Self::Ethereum { deposit_contract } => deposit_contract,
        }
    }

    /// Name in genesis files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pars => "pars",
            Self::Ethereum { .. } => "ethereum",
        }
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
