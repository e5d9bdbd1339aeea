//! An exchange as most are: two tokens and pools that swap them, compiled from `contracts/Exchange.sol`.
//!
//! `tests/clients/lib/exchange.mjs` compiles the source; the client tests hold what is here against that.

use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};

use crate::blocks::account;

/// The two tokens.
pub const TOKENS: [Address; 2] = [Address::repeat_byte(0xc2), Address::repeat_byte(0xc3)];
/// Pools over them.
const POOLS: u64 = 16;

const TOKEN_CODE: &str = include_str!("contracts/Token.hex");
const POOL_CODE: &str = include_str!("contracts/Pool.hex");

/// The pool that this account trades with.
pub fn pool(number: u64) -> Address {
    #[allow(clippy::cast_possible_truncation)]
    Address::repeat_byte(0xd0 + (number % POOLS) as u8)
}

fn word(value: U256) -> B256 {
    value.into()
}

/// Where a Solidity mapping in slot `slot` has what is under `key`.
fn mapped(key: Address, slot: B256) -> B256 {
    keccak256([key.into_word(), slot].concat())
}

/// Code and storage: every account holds both tokens and lets its pool take them.
pub fn genesis(accounts: u64) -> Vec<(Address, GenesisAccount)> {
    let ether = U256::from(10).pow(U256::from(18));
    let (held, reserve) = (
        word(ether * U256::from(1_000_000)),
        ether * U256::from(1_000_000_000),
    );
    let balance = |holder| mapped(holder, B256::ZERO);
    let allowance = |owner, spender| mapped(spender, mapped(owner, word(U256::ONE)));
    let holders = (0..accounts).flat_map(|number| {
        let holder = account(number);
        let allowed = allowance(holder, pool(number));
        [(balance(holder), held), (allowed, word(U256::MAX))]
    });
    let pools = (0..POOLS).map(|number| (balance(pool(number)), word(reserve)));
    let token = contract(TOKEN_CODE, holders.chain(pools).collect());
    let slots = [
        TOKENS[0].into_word(),
        TOKENS[1].into_word(),
        // Reserves of 112 bits each, and the time they changed last.
        word((U256::ONE << 224) | (reserve << 112) | reserve),
        word(U256::ONE),
        word(U256::ONE),
    ];
    let slots = (0_u64..).map(|slot| word(U256::from(slot))).zip(slots);
    let pools =
        (0..POOLS).map(|number| (pool(number), contract(POOL_CODE, slots.clone().collect())));
    TOKENS
        .map(|address| (address, token.clone()))
        .into_iter()
        .chain(pools)
        .collect()
}

fn contract(code: &str, storage: std::collections::BTreeMap<B256, B256>) -> GenesisAccount {
    let code = hex::decode(code.trim()).expect("hex");
    GenesisAccount::default()
        .with_nonce(Some(1))
        .with_code(Some(code.into()))
        .with_storage(Some(storage))
}

/// Input of `transfer(to, 1)`.
pub fn transfer(to: Address) -> Bytes {
    call(
        "transfer(address,uint256)",
        &[to.into_word(), word(U256::ONE)],
    )
}

/// Input of a swap of a thousandth of a token by this account: half of those that trade with a pool swap the one way.
pub fn swap(number: u64) -> Bytes {
    call(
        "swap(bool,uint256,uint256,address)",
        &[
            word(U256::from(number / POOLS % 2)),
            word(U256::from(10).pow(U256::from(15))),
            word(U256::ONE),
            account(number).into_word(),
        ],
    )
}

fn call(signature: &str, arguments: &[B256]) -> Bytes {
    let mut input = keccak256(signature)[..4].to_vec();
    input.extend(arguments.iter().flatten());
    input.into()
}
