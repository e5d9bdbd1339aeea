//! Blocks of 15 M gas, of five kinds.

use std::sync::Arc;

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope, transaction::Recovered};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex, keccak256};
use pars_engine::{Engine, GpuPolicy};
use pars_evm::{BlockAttributes, ChainSpec, Executor, ExecutorConfig};

use crate::{Size, exchange};

/// Gas of a block.
pub const GAS: u64 = 15_000_000;
/// Most a transaction pays for gas.
pub const FEE: u128 = 100_000_000_000;

/// What a block is full of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Plain transfers between accounts that are there.
    Transfers,
    /// ERC-20 transfers between holders of one token: two balances under hashed keys, one event.
    Tokens,
    /// Swaps of two tokens in one of sixteen pools, from Solidity: eight slots, four calls and four events each.
    Swaps,
    /// Of ten transactions four transfers, three ERC-20 transfers from Solidity and three swaps.
    Mixed,
    /// One call that hashes until its gas is gone.
    Hashing,
}

impl Kind {
    pub const ALL: [Self; 5] = [
        Self::Transfers,
        Self::Tokens,
        Self::Swaps,
        Self::Mixed,
        Self::Hashing,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Transfers => "transfers-15Mgas",
            Self::Tokens => "tokens-15Mgas",
            Self::Swaps => "swaps-15Mgas",
            Self::Mixed => "mixed-15Mgas",
            Self::Hashing => "hashing-15Mgas",
        }
    }

    /// Whether its blocks call the exchange.
    const fn exchanges(self) -> bool {
        matches!(self, Self::Swaps | Self::Mixed)
    }

    /// Transactions of a block.
    const fn transactions(self) -> u64 {
        match self {
            Self::Transfers => GAS / 21_000,
            Self::Tokens => GAS / 34_000,
            Self::Swaps => GAS / 76_000,
            Self::Mixed => GAS / 42_000,
            Self::Hashing => 1,
        }
    }

    /// Blocks after which everybody has sent and received once.
    pub const fn round(self, size: Size) -> u64 {
        match self {
            Self::Hashing => 1,
            _ => self.people(size).div_ceil(self.transactions()),
        }
    }

    /// Accounts that send and receive: of those that hold what is exchanged, a quarter trades.
    const fn people(self, size: Size) -> u64 {
        if self.exchanges() {
            size.accounts.div_ceil(4)
        } else {
            size.accounts
        }
    }
}

const TOKEN: Address = Address::repeat_byte(0xc0);
const HASHER: Address = Address::repeat_byte(0xc1);

/// balances[caller] -= 1; balances[word 0 of the input] += 1; emit Transfer(caller, word 0, word 0 again), where
/// `balances` is a mapping in slot 0 as Solidity lays it out.
const TOKEN_CODE: [u8; 71] = hex!(
    "335f52 60405f20 8054 600190 03 9055"
    "5f355f52 60405f20 8054 600101 9055"
    "5f35 33 7fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef 60205fa3 00"
);
/// Hashes a word of memory over and over.
const HASHER_CODE: [u8; 11] = [0x5b, 0x60, 32, 0x60, 0, 0x20, 0x60, 0, 0x52, 0x5f, 0x56];

/// The account with this number.
pub fn account(number: u64) -> Address {
    Address::from_word(keccak256(number.to_be_bytes()))
}

/// Its genesis.
pub fn funded() -> GenesisAccount {
    GenesisAccount::default().with_balance(U256::from(10).pow(U256::from(24)))
}

/// The slot of an account's tokens.
fn balance_slot(account: Address) -> B256 {
    keccak256([account.into_word(), B256::ZERO].concat())
}

pub fn spec(kind: Kind, size: Size) -> Arc<ChainSpec> {
    let code = |code: &[u8]| {
        GenesisAccount::default()
            .with_nonce(Some(1))
            .with_code(Some(Bytes::copy_from_slice(code)))
    };
    let tokens = B256::from(U256::from(10).pow(U256::from(24)));
    let balances = (0..size.accounts).map(|number| (balance_slot(account(number)), tokens));
    let token = code(&TOKEN_CODE).with_storage(Some(balances.collect()));
    let mut spec = ChainSpec::dev()
        .with_alloc((0..size.accounts).map(|number| (account(number), funded())))
        .with_alloc([(TOKEN, token), (HASHER, code(&HASHER_CODE))]);
    if kind.exchanges() {
        spec = spec.with_alloc(exchange::genesis(size.accounts));
    }
    spec.gas_limit = GAS;
    Arc::new(spec)
}

/// Seeks no questions.
pub fn executor(spec: &Arc<ChainSpec>) -> Executor {
    with(
        spec,
        ExecutorConfig {
            feed_engine: false,
            ..ExecutorConfig::default()
        },
    )
}

/// Seeks the questions of a block first, as is the default.
pub fn searching(spec: &Arc<ChainSpec>) -> Executor {
    with(spec, ExecutorConfig::default())
}

fn with(spec: &Arc<ChainSpec>, config: ExecutorConfig) -> Executor {
    let engine = Engine::builder()
        .gpu(GpuPolicy::Off)
        .build()
        .expect("an engine");
    Executor::with_config(Arc::clone(spec), engine, config)
}

pub fn attributes(number: u64) -> BlockAttributes {
    BlockAttributes {
        timestamp: 2_000_000_000 + number,
        beneficiary: Address::repeat_byte(0xfe),
        prev_randao: B256::ZERO,
        parent_beacon_block_root: B256::ZERO,
        extra_data: Bytes::new(),
        withdrawals: Default::default(),
        time_budget: std::time::Duration::from_secs(600),
    }
}

/// Transactions of block `number`, whose signatures nobody looks at.
pub fn candidates(kind: Kind, size: Size, number: u64) -> Vec<Recovered<TxEnvelope>> {
    let (count, people) = (kind.transactions(), kind.people(size));
    (0..count)
        .map(|index| {
            // Everyone sends at most once a block, in turn.
            let turn = (number - 1) * count + index;
            let from = turn % people;
            let other = account(turn.wrapping_mul(7919) % people);
            let swap = || (exchange::pool(from), 150_000, exchange::swap(from));
            let (to, gas_limit, input) = match (kind, index % 10) {
                (Kind::Transfers, _) | (Kind::Mixed, 0..4) => (other, 21_000, Bytes::new()),
                (Kind::Tokens, _) => (TOKEN, 40_000, Bytes::from(other.into_word().to_vec())),
                (Kind::Mixed, 4..7) => (exchange::TOKENS[0], 60_000, exchange::transfer(other)),
                (Kind::Swaps | Kind::Mixed, _) => swap(),
                (Kind::Hashing, _) => (HASHER, 14_900_000, Bytes::new()),
            };
            let transaction = TxEip1559 {
                chain_id: 6133,
                nonce: turn / people,
                gas_limit,
                max_fee_per_gas: FEE,
                max_priority_fee_per_gas: 0,
                to: TxKind::Call(to),
                value: U256::from(u64::from(gas_limit == 21_000)),
                input,
                ..TxEip1559::default()
            };
            let signed = transaction.into_signed(Signature::test_signature());
            Recovered::new_unchecked(signed.into(), account(from))
        })
        .collect()
}
