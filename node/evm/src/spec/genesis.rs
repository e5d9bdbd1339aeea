//! The first block and state of a specification, and its form as geth's genesis file.

use std::collections::BTreeMap;

use alloy_consensus::{
    Header,
    constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, EMPTY_WITHDRAWALS},
};
use alloy_eips::{
    BlobScheduleBlobParams,
    eip1559::BaseFeeParams,
    eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE},
    eip7685::EMPTY_REQUESTS_HASH,
};
use alloy_genesis::{ChainConfig, Genesis, GenesisAccount};
use alloy_hardforks::{EthereumChainHardforks, EthereumHardfork, EthereumHardforks, ForkCondition};
use alloy_primitives::{Address, B64, B256, Bytes, U256};
use alloy_trie::{TrieAccount, root::state_root_unhashed};

use super::{BlockRules, ChainSpec, FeeRules, GenesisBlock, PrecompileSet, SpecError};
use crate::header::MAX_EXTRA_DATA_BYTES;

/// Code of a precompile's account. It never runs; it makes the address look like a contract to
/// Solidity's check before a call and keeps EIP-161 from sweeping the account.
const PRECOMPILE_CODE: [u8; 1] = [0x01];

/// Key of this project's rules in the `config` object of a genesis file.
const CONFIG_KEY: &str = "pars";

impl ChainSpec {
    /// The whole first state: the accounts of the specification and those the rules need, which
    /// are the precompiles' (nonce 1, code `0x01`) and, on Pars where Prague holds from the start,
    /// the block-hash history contract of EIP-2935. An account of the specification wins over one of
    /// the rules.
    pub fn genesis_alloc(&self) -> BTreeMap<Address, GenesisAccount> {
        let mut accounts = BTreeMap::new();
        if self.rules == BlockRules::Pars
            && self.is_prague_active_at_timestamp(self.genesis_block.timestamp)
        {
            accounts.insert(
                HISTORY_STORAGE_ADDRESS,
                GenesisAccount::default()
                    .with_nonce(Some(1))
                    .with_code(Some(HISTORY_STORAGE_CODE.clone())),
            );
        }
        for address in self.precompile_addresses() {
            accounts.insert(
                address,
                GenesisAccount::default()
                    .with_nonce(Some(1))
                    .with_code(Some(Bytes::from_static(&PRECOMPILE_CODE))),
            );
        }
        accounts.extend(
            self.alloc
                .iter()
                .map(|(address, account)| (*address, account.clone())),
        );
        accounts
    }

    /// The genesis header, roots included.
    pub fn genesis_header(&self) -> Header {
        let GenesisBlock {
            timestamp,
            extra_data,
            beneficiary,
            mix_hash,
            difficulty,
            nonce,
            blob_gas_used,
            excess_blob_gas,
        } = self.genesis_block.clone();
        let london = self.is_london_active_at_block(0);
        let shanghai = self.is_shanghai_active_at_timestamp(timestamp);
        let cancun = self.is_cancun_active_at_timestamp(timestamp);
        let prague = self.is_prague_active_at_timestamp(timestamp);
        Header {
            parent_hash: B256::ZERO,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary,
            state_root: state_root_unhashed(
                self.genesis_alloc()
                    .into_iter()
                    .map(|(address, account)| (address, TrieAccount::from(account))),
            ),
            transactions_root: EMPTY_ROOT_HASH,
            receipts_root: EMPTY_ROOT_HASH,
            difficulty,
            number: 0,
            gas_limit: self.gas_limit,
            gas_used: 0,
            timestamp,
            extra_data,
            mix_hash,
            nonce,
            base_fee_per_gas: london.then_some(self.fees.initial),
            withdrawals_root: shanghai.then_some(EMPTY_WITHDRAWALS),
            blob_gas_used: cancun.then_some(blob_gas_used),
            excess_blob_gas: cancun.then_some(excess_blob_gas),
            parent_beacon_block_root: cancun.then_some(B256::ZERO),
            requests_hash: prague.then_some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        }
    }

    /// Hash of the genesis block: with the chain id, a network's name among machines.
    pub fn genesis_hash(&self) -> B256 {
        self.genesis_header().hash_slow()
    }

    /// What the store needs to begin this chain.
    pub fn genesis(&self) -> pars_store::Genesis {
        pars_store::Genesis {
            chain_id: self.chain_id,
            spec_hash: self.spec_hash(),
            header: self.genesis_header(),
            accounts: self
                .genesis_alloc()
                .into_iter()
                .map(|(address, account)| {
                    let storage = account
                        .storage_slots()
                        .filter(|(_, value)| !value.is_zero())
                        .collect();
                    let account = pars_store::GenesisAccount {
                        nonce: account.nonce.unwrap_or_default(),
                        balance: account.balance,
                        code: account.code.unwrap_or_default(),
                        storage,
                    };
                    (address, account)
                })
                .collect(),
        }
    }

    /// This specification as geth's genesis file. Rules that file has no words for stand under
    /// `config.pars`; [`ChainSpec::from_genesis`] reads them back.
    pub fn to_genesis(&self) -> Genesis {
        let mut config = ChainConfig {
            chain_id: self.chain_id,
            ..ChainConfig::default()
        };
        write_forks(&mut config, &self.forks);
        write_blobs(&mut config, self);
        if let BlockRules::Ethereum { deposit_contract } = self.rules {
            config.deposit_contract_address = deposit_contract;
        }
        config.extra_fields.insert(
            CONFIG_KEY.to_owned(),
            serde_json::json!({
                "blocks": self.rules.name(),
                "name": self.name,
                "baseFeeChangeDenominator": u64::try_from(self.fees.params.max_change_denominator).unwrap_or(u64::MAX),
                "elasticityMultiplier": u64::try_from(self.fees.params.elasticity_multiplier).unwrap_or(u64::MAX),
                "minBaseFee": self.fees.floor,
                "precompiles": self.precompiles.name(),
            }),
        );
        let mut genesis = Genesis::default()
            .with_timestamp(self.genesis_block.timestamp)
            .with_extra_data(self.genesis_block.extra_data.clone())
            .with_gas_limit(self.gas_limit)
            .with_mix_hash(self.genesis_block.mix_hash)
            .with_coinbase(self.genesis_block.beneficiary)
            .with_base_fee(Some(u128::from(self.fees.initial)))
            .extend_accounts(self.alloc.clone());
        genesis.difficulty = self.genesis_block.difficulty;
        genesis.nonce = u64::from_be_bytes(self.genesis_block.nonce.0);
        genesis.blob_gas_used = Some(self.genesis_block.blob_gas_used);
        genesis.excess_blob_gas = Some(self.genesis_block.excess_blob_gas);
        genesis.config = config;
        genesis
    }

    /// A specification from geth's genesis file. Without a `config.pars` object the file
    /// describes a chain with Ethereum's own blocks and fees and no precompiles of ours.
    ///
    /// Forks by block number or time, the merge by `mergeNetsplitBlock` (or from the first block
    /// where the genesis block reaches the terminal difficulty), blob parameters by
    /// `blobSchedule`.
    ///
    /// # Errors
    /// [`SpecError::Genesis`] with the field that cannot be used.
    pub fn from_genesis(genesis: &Genesis) -> Result<Self, SpecError> {
        let bad = |text: String| SpecError::Genesis(text);
        if genesis.extra_data.len() > MAX_EXTRA_DATA_BYTES {
            return Err(bad(format!(
                "extraData has {} bytes, at most {MAX_EXTRA_DATA_BYTES} are allowed",
                genesis.extra_data.len()
            )));
        }
        if genesis.number.is_some_and(|number| number != 0) {
            return Err(bad("number must be 0".to_owned()));
        }
        let initial = match genesis.base_fee_per_gas {
            Some(fee) => u64::try_from(fee)
                .map_err(|_| bad(format!("baseFeePerGas {fee} does not fit in 64 bits")))?,
            None => alloy_eips::eip1559::INITIAL_BASE_FEE,
        };
        let rules = OwnRules::read(&genesis.config)?;
        if rules.blocks == BlockRules::Pars && (!genesis.difficulty.is_zero() || genesis.nonce != 0)
        {
            return Err(bad(
                "difficulty and nonce must be 0: this chain starts after proof of work".to_owned(),
            ));
        }
        Ok(Self {
            name: rules
                .name
                .unwrap_or_else(|| format!("chain-{}", genesis.config.chain_id)),
            chain_id: genesis.config.chain_id,
            forks: read_forks(&genesis.config, genesis.difficulty)?,
            blobs: genesis.config.blob_schedule_blob_params(),
            rules: rules.blocks,
            fees: FeeRules {
                params: rules.base_fee,
                floor: rules.floor,
                initial,
            },
            gas_limit: genesis.gas_limit,
            precompiles: rules.precompiles,
            genesis_block: GenesisBlock {
                timestamp: genesis.timestamp,
                extra_data: genesis.extra_data.clone(),
                beneficiary: genesis.coinbase,
                mix_hash: genesis.mix_hash,
                difficulty: genesis.difficulty,
                nonce: B64::from(genesis.nonce.to_be_bytes()),
                blob_gas_used: genesis.blob_gas_used.unwrap_or_default(),
                excess_blob_gas: genesis.excess_blob_gas.unwrap_or_default(),
            },
            alloc: genesis.alloc.clone(),
        })
    }

    /// Addresses of this network's own precompiles.
    pub fn precompile_addresses(&self) -> Vec<Address> {
        self.precompiles.addresses()
    }
}

/// The `config.pars` object.
struct OwnRules {
    name: Option<String>,
    base_fee: BaseFeeParams,
    floor: u64,
    precompiles: PrecompileSet,
    blocks: BlockRules,
}

impl OwnRules {
    fn read(config: &ChainConfig) -> Result<Self, SpecError> {
        let Some(rules) = config.extra_fields.get(CONFIG_KEY) else {
            return Ok(Self {
                name: None,
                base_fee: BaseFeeParams::ethereum(),
                floor: 0,
                precompiles: PrecompileSet::None,
                blocks: BlockRules::Ethereum {
                    deposit_contract: config.deposit_contract_address,
                },
            });
        };
        let number = |field: &str, default: u64| match rules.get(field) {
            None => Ok(default),
            Some(value) => value.as_u64().ok_or_else(|| {
                SpecError::Genesis(format!(
                    "config.{CONFIG_KEY}.{field} must be a whole number"
                ))
            }),
        };
        let text = |field: &str| match rules.get(field) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| {
                SpecError::Genesis(format!("config.{CONFIG_KEY}.{field} must be a text"))
            }),
        };
        let denominator = number("baseFeeChangeDenominator", 8)?;
        let elasticity = number("elasticityMultiplier", 2)?;
        if denominator == 0 || elasticity == 0 {
            return Err(SpecError::Genesis(format!(
                "config.{CONFIG_KEY}: baseFeeChangeDenominator and elasticityMultiplier must not be 0"
            )));
        }
        let precompiles = match text("precompiles")? {
            None => PrecompileSet::None,
            Some(name) => PrecompileSet::from_name(name).ok_or_else(|| {
                SpecError::Genesis(format!(
                    "config.{CONFIG_KEY}.precompiles is \"{name}\"; known sets: none, pars"
                ))
            })?,
        };
        let blocks = match text("blocks")? {
            None | Some("pars") => BlockRules::Pars,
            Some("ethereum") => BlockRules::Ethereum {
                deposit_contract: config.deposit_contract_address,
            },
            Some(name) => {
                return Err(SpecError::Genesis(format!(
                    "config.{CONFIG_KEY}.blocks is \"{name}\"; known rules: pars, ethereum"
                )));
            }
        };
        Ok(Self {
            blocks,
            name: text("name")?.map(str::to_owned),
            base_fee: BaseFeeParams::new(u128::from(denominator), u128::from(elasticity)),
            floor: number("minBaseFee", 0)?,
            precompiles,
        })
    }
}

type BlockField = fn(&mut ChainConfig) -> &mut Option<u64>;

/// Where geth's file writes each fork: those switched by block number, then those by time.
const FORK_BLOCKS: [(EthereumHardfork, BlockField); 13] = [
    (EthereumHardfork::Homestead, |config| {
        &mut config.homestead_block
    }),
    (EthereumHardfork::Dao, |config| &mut config.dao_fork_block),
    (EthereumHardfork::Tangerine, |config| {
        &mut config.eip150_block
    }),
    (EthereumHardfork::SpuriousDragon, |config| {
        &mut config.eip158_block
    }),
    (EthereumHardfork::Byzantium, |config| {
        &mut config.byzantium_block
    }),
    (EthereumHardfork::Constantinople, |config| {
        &mut config.constantinople_block
    }),
    (EthereumHardfork::Petersburg, |config| {
        &mut config.petersburg_block
    }),
    (EthereumHardfork::Istanbul, |config| {
        &mut config.istanbul_block
    }),
    (EthereumHardfork::MuirGlacier, |config| {
        &mut config.muir_glacier_block
    }),
    (EthereumHardfork::Berlin, |config| &mut config.berlin_block),
    (EthereumHardfork::London, |config| &mut config.london_block),
    (EthereumHardfork::ArrowGlacier, |config| {
        &mut config.arrow_glacier_block
    }),
    (EthereumHardfork::GrayGlacier, |config| {
        &mut config.gray_glacier_block
    }),
];
const FORK_TIMES: [(EthereumHardfork, BlockField); 10] = [
    (EthereumHardfork::Shanghai, |config| {
        &mut config.shanghai_time
    }),
    (EthereumHardfork::Cancun, |config| &mut config.cancun_time),
    (EthereumHardfork::Prague, |config| &mut config.prague_time),
    (EthereumHardfork::Osaka, |config| &mut config.osaka_time),
    (EthereumHardfork::Bpo1, |config| &mut config.bpo1_time),
    (EthereumHardfork::Bpo2, |config| &mut config.bpo2_time),
    (EthereumHardfork::Bpo3, |config| &mut config.bpo3_time),
    (EthereumHardfork::Bpo4, |config| &mut config.bpo4_time),
    (EthereumHardfork::Bpo5, |config| &mut config.bpo5_time),
    (EthereumHardfork::Amsterdam, |config| {
        &mut config.amsterdam_time
    }),
];

fn write_forks(config: &mut ChainConfig, forks: &EthereumChainHardforks) {
    for (fork, field) in FORK_BLOCKS {
        if let ForkCondition::Block(number) = forks.ethereum_fork_activation(fork) {
            *field(config) = Some(number);
        }
    }
    config.dao_fork_support = config.dao_fork_block.is_some();
    // EIP-155 came with Spurious Dragon.
    config.eip155_block = config.eip158_block;
    for (fork, field) in FORK_TIMES {
        if let ForkCondition::Timestamp(time) = forks.ethereum_fork_activation(fork) {
            *field(config) = Some(time);
        }
    }
    if let ForkCondition::TTD {
        total_difficulty,
        activation_block_number,
        fork_block,
    } = forks.ethereum_fork_activation(EthereumHardfork::Paris)
    {
        config.terminal_total_difficulty = Some(total_difficulty);
        config.terminal_total_difficulty_passed = true;
        config.merge_netsplit_block =
            fork_block.or_else(|| (activation_block_number > 0).then_some(activation_block_number));
    }
}

/// Blob parameters under the names geth gives them.
fn write_blobs(config: &mut ChainConfig, spec: &ChainSpec) {
    let BlobScheduleBlobParams {
        cancun,
        prague,
        osaka,
        scheduled,
    } = &spec.blobs;
    let schedule = &mut config.blob_schedule;
    for (name, params) in [("cancun", cancun), ("prague", prague), ("osaka", osaka)] {
        schedule.insert(name.to_owned(), *params);
    }
    let names = [
        (EthereumHardfork::Bpo1, "bpo1"),
        (EthereumHardfork::Bpo2, "bpo2"),
        (EthereumHardfork::Bpo3, "bpo3"),
        (EthereumHardfork::Bpo4, "bpo4"),
        (EthereumHardfork::Bpo5, "bpo5"),
    ];
    for (fork, name) in names {
        let ForkCondition::Timestamp(time) = spec.forks.ethereum_fork_activation(fork) else {
            continue;
        };
        if let Some((_, params)) = scheduled.iter().find(|(start, _)| *start == time) {
            schedule.insert(name.to_owned(), *params);
        }
    }
}

/// The fork schedule of a geth file. The block of the merge must be known beforehand: this node
/// has no total difficulties.
fn read_forks(
    config: &ChainConfig,
    genesis_difficulty: U256,
) -> Result<EthereumChainHardforks, SpecError> {
    let mut config = config.clone();
    let mut forks = vec![(EthereumHardfork::Frontier, ForkCondition::ZERO_BLOCK)];
    if !config.dao_fork_support {
        config.dao_fork_block = None;
    }
    // As geth reads it: Constantinople comes without EIP-1283 unless the file puts that off.
    config.petersburg_block = config.petersburg_block.or(config.constantinople_block);
    for (fork, field) in FORK_BLOCKS {
        if let Some(number) = *field(&mut config) {
            forks.push((fork, ForkCondition::Block(number)));
        }
    }
    for (fork, field) in FORK_TIMES {
        if let Some(time) = *field(&mut config) {
            forks.push((fork, ForkCondition::Timestamp(time)));
        }
    }
    // Forks go by time only since the merge: a file that has one, and no terminal difficulty, is of
    // a chain that never had work.
    let terminal = config
        .terminal_total_difficulty
        .or_else(|| config.shanghai_time.map(|_| U256::ZERO));
    if let Some(total_difficulty) = terminal {
        let activation_block_number = match config.merge_netsplit_block {
            Some(number) => number,
            None if genesis_difficulty >= total_difficulty => 0,
            None => {
                return Err(SpecError::Genesis(
                    "config.terminalTotalDifficulty is above the genesis block's difficulty: name the first block of proof of stake in config.mergeNetsplitBlock".to_owned(),
                ));
            }
        };
        forks.push((
            EthereumHardfork::Paris,
            ForkCondition::TTD {
                activation_block_number,
                // In the identity of the fork too, where the file names it (EIP-2124).
                fork_block: config.merge_netsplit_block,
                total_difficulty,
            },
        ));
    }
    Ok(EthereumChainHardforks::new(forks))
}
