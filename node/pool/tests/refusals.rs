//! Every refusal, in geth's words.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxEnvelope, TxLegacy,
    transaction::Recovered,
};
use alloy_eips::{
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Signature, TxKind, U256};
use pars_pool::{AccountState, Guard, Pool, PoolConfig, PoolEnv, floor_data_gas, intrinsic_gas};

const ENV: PoolEnv = PoolEnv {
    base_fee: 7,
    gas_limit: 15_000_000,
    chain_id: 6133,
};
const ETHER: U256 = U256::from_limbs([1_000_000_000_000_000_000, 0, 0, 0]);
const RICH: AccountState = AccountState {
    nonce: 5,
    balance: ETHER,
};

fn sign<T>(tx: T) -> TxEnvelope
where
    T: SignableTransaction<Signature>,
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    tx.into_signed(Signature::test_signature()).into()
}

fn plain() -> TxEip1559 {
    TxEip1559 {
        chain_id: 6133,
        nonce: 5,
        gas_limit: 21_000,
        max_fee_per_gas: 100,
        max_priority_fee_per_gas: 10,
        to: TxKind::Call(Address::repeat_byte(9)),
        ..Default::default()
    }
}

fn add(pool: &mut Pool, transaction: TxEnvelope, account: AccountState) -> Result<B256, String> {
    let transaction = Recovered::new_unchecked(transaction, Address::repeat_byte(1));
    let hash = *transaction.tx_hash();
    match pool.add(transaction, account, &ENV) {
        Ok(added) => {
            assert_eq!(added.hash, hash);
            assert!(pool.contains(&hash));
            Ok(hash)
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The answer of a fresh pool.
fn answer(transaction: TxEnvelope, account: AccountState) -> Result<B256, String> {
    add(&mut Pool::new(PoolConfig::default()), transaction, account)
}

fn refused(transaction: TxEnvelope, words: &str) {
    assert_eq!(answer(transaction, RICH).unwrap_err(), words);
}

#[test]
fn what_is_wrong_in_itself() {
    answer(sign(plain()), RICH).unwrap();
    let mut tx = plain();
    tx.nonce = 4;
    refused(sign(tx), "nonce too low: next nonce 5, tx nonce 4");
    let mut tx = plain();
    tx.nonce = u64::MAX;
    refused(sign(tx), "nonce has max value");
    let mut tx = plain();
    tx.chain_id = 1;
    refused(
        sign(tx),
        "invalid sender: invalid chain id for signer: have 1 want 6133",
    );
    let mut tx = plain();
    tx.max_priority_fee_per_gas = 101;
    refused(
        sign(tx),
        "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: 101, maxFeePerGas: 100",
    );
    let mut tx = plain();
    tx.gas_limit = 20_999;
    refused(
        sign(tx),
        "intrinsic gas too low: gas 20999, minimum needed 21000",
    );
    let mut tx = plain();
    tx.gas_limit = 15_000_001;
    refused(sign(tx), "exceeds block gas limit");
    let mut tx = plain();
    tx.gas_limit = (1 << 24) + 1;
    refused(
        sign(tx),
        "transaction gas limit too high (cap: 16777216, tx: 16777217)",
    );
    let mut tx = plain();
    (tx.to, tx.input, tx.gas_limit) = (TxKind::Create, vec![0; 49_153].into(), 10_000_000);
    refused(
        sign(tx),
        "max initcode size exceeded: code size 49153 limit 49152",
    );
    let blob = TxEip4844 {
        chain_id: 6133,
        nonce: 5,
        gas_limit: 21_000,
        max_fee_per_gas: 100,
        ..Default::default()
    };
    refused(
        TxEnvelope::from(blob.into_signed(Signature::test_signature())),
        "transaction type not supported: tx type 3 not supported by this pool",
    );
}

#[test]
fn calldata_is_paid_for_and_bounded() {
    let mut tx = plain();
    tx.input = vec![1; 1000].into();
    // 16 gas a byte in itself, 40 at least.
    assert_eq!(intrinsic_gas(&tx), 37_000);
    assert_eq!(floor_data_gas(&tx), 61_000);
    tx.gas_limit = 36_999;
    refused(
        sign(tx.clone()),
        "intrinsic gas too low: gas 36999, minimum needed 37000",
    );
    tx.gas_limit = 60_999;
    let words = "insufficient gas for floor data gas cost: gas 60999, minimum needed 61000";
    refused(sign(tx.clone()), words);
    tx.gas_limit = 61_000;
    answer(sign(tx), RICH).unwrap();

    let sized = |bytes: usize| {
        let mut tx = plain();
        (tx.input, tx.gas_limit) = (vec![0; bytes].into(), 15_000_000);
        sign(tx)
    };
    use alloy_eips::Encodable2718;
    let around = sized(500_000).encode_2718_len() - 500_000;
    let limit = 512 * 1024;
    answer(sized(limit - around), RICH).unwrap();
    let words = format!(
        "oversized data: transaction size {}, limit {limit}",
        limit + 1
    );
    refused(sized(limit - around + 1), &words);
}

#[test]
fn gas_before_anything_is_done() {
    let mut create = plain();
    (create.to, create.input) = (TxKind::Create, vec![0, 1, 1].into());
    assert_eq!(intrinsic_gas(&create), 21_000 + 4 + 32 + 32_000 + 2);
    let list = AccessList(vec![AccessListItem {
        address: Address::ZERO,
        storage_keys: vec![B256::ZERO; 3],
    }]);
    let tx = TxEip2930 {
        access_list: list,
        ..Default::default()
    };
    let mut tx = tx;
    tx.to = TxKind::Call(Address::ZERO);
    assert_eq!(intrinsic_gas(&tx), 21_000 + 2_400 + 3 * 1_900);
    let authorization = Authorization {
        chain_id: U256::from(6133),
        address: Address::ZERO,
        nonce: 0,
    };
    let authorization = SignedAuthorization::new_unchecked(authorization, 0, U256::ONE, U256::ONE);
    let mut tx = TxEip7702 {
        chain_id: 6133,
        nonce: 5,
        gas_limit: 46_000,
        max_fee_per_gas: 100,
        authorization_list: vec![authorization],
        ..Default::default()
    };
    assert_eq!(intrinsic_gas(&tx), 46_000);
    answer(sign(tx.clone()), RICH).unwrap();
    tx.authorization_list.clear();
    refused(
        sign(tx),
        "set code tx must have at least one authorization tuple",
    );
}

#[test]
fn transactions_of_type_0_with_and_without_chain_id() {
    let mut tx = TxLegacy {
        chain_id: None,
        nonce: 5,
        gas_price: 10,
        gas_limit: 21_000,
        to: TxKind::Call(Address::ZERO),
        ..Default::default()
    };
    answer(sign(tx.clone()), RICH).unwrap();
    tx.chain_id = Some(6133);
    answer(sign(tx.clone()), RICH).unwrap();
    tx.chain_id = Some(6134);
    refused(
        sign(tx),
        "invalid sender: invalid chain id for signer: have 6134 want 6133",
    );
}

#[test]
fn the_balance_covers_one_and_all() {
    let account = |balance: u64| AccountState {
        nonce: 5,
        balance: U256::from(balance),
    };
    let tx = |nonce: u64, value: u64| {
        let mut tx = plain();
        (tx.nonce, tx.value) = (nonce, U256::from(value));
        sign(tx)
    };
    // Gas at the maximal fee costs 2,100,000.
    let words =
        "insufficient funds for gas * price + value: balance 2100000, tx cost 2100001, overshot 1";
    assert_eq!(answer(tx(5, 1), account(2_100_000)).unwrap_err(), words);
    let mut huge = plain();
    huge.value = U256::MAX;
    assert!(
        answer(sign(huge), RICH)
            .unwrap_err()
            .starts_with("insufficient funds")
    );

    let mut pool = Pool::new(PoolConfig::default());
    add(&mut pool, tx(5, 0), account(4_200_005)).unwrap();
    add(&mut pool, tx(6, 5), account(4_200_005)).unwrap();
    let words = "insufficient funds for gas * price + value: balance 4200005, queued cost 4200005, tx cost 2100000, overshot 2100000";
    assert_eq!(
        add(&mut pool, tx(7, 0), account(4_200_005)).unwrap_err(),
        words
    );
    // A replacement counts in the place of what it replaces.
    let mut dearer = plain();
    (dearer.max_fee_per_gas, dearer.max_priority_fee_per_gas) = (110, 11);
    assert!(add(&mut pool, sign(dearer.clone()), account(4_200_005)).is_err());
    add(&mut pool, sign(dearer), account(4_410_005)).unwrap();
    // One that waits is not counted, as in geth.
    add(&mut pool, tx(9, 0), account(6_600_000)).unwrap();
    add(&mut pool, tx(10, 0), account(6_600_000)).unwrap();
}

#[test]
fn known_ones_and_replacements() {
    let mut pool = Pool::new(PoolConfig::default());
    let first = add(&mut pool, sign(plain()), RICH).unwrap();
    assert_eq!(
        add(&mut pool, sign(plain()), RICH).unwrap_err(),
        "already known"
    );
    for (fee, tip) in [(100, 10), (109, 11), (110, 10), (1_000_000, 10)] {
        let mut tx = plain();
        (tx.max_fee_per_gas, tx.max_priority_fee_per_gas, tx.value) = (fee, tip, U256::ONE);
        let words = "replacement transaction underpriced";
        assert_eq!(add(&mut pool, sign(tx), RICH).unwrap_err(), words);
    }
    let mut tx = plain();
    (tx.max_fee_per_gas, tx.max_priority_fee_per_gas) = (110, 11);
    let tx = Recovered::new_unchecked(sign(tx), Address::repeat_byte(1));
    let added = pool.add(tx, RICH, &ENV).unwrap();
    assert_eq!(added.replaced, Some(first));
    assert!(!pool.contains(&first));
    assert_eq!(pool.len(), 1);
    // A fee of zero cannot be raised by a tenth of nothing.
    let mut zero = plain();
    (zero.nonce, zero.max_priority_fee_per_gas) = (6, 0);
    add(&mut pool, sign(zero.clone()), RICH).unwrap();
    zero.max_fee_per_gas = 200;
    let words = "replacement transaction underpriced";
    assert_eq!(add(&mut pool, sign(zero), RICH).unwrap_err(), words);
}

#[test]
fn bounds_of_a_sender() {
    let mut pool = Pool::new(PoolConfig {
        max_per_sender: 4,
        max_waiting_per_sender: 2,
        ..Default::default()
    });
    let tx = |nonce: u64| {
        let mut tx = plain();
        tx.nonce = nonce;
        sign(tx)
    };
    for nonce in [7, 8] {
        add(&mut pool, tx(nonce), RICH).unwrap();
    }
    assert_eq!(
        add(&mut pool, tx(9), RICH).unwrap_err(),
        "account limit exceeded: pooled 2 txs"
    );
    add(&mut pool, tx(5), RICH).unwrap();
    add(&mut pool, tx(6), RICH).unwrap();
    assert_eq!(pool.pending_nonce(&Address::repeat_byte(1)), Some(9));
    assert_eq!(
        add(&mut pool, tx(9), RICH).unwrap_err(),
        "account limit exceeded: pooled 4 txs"
    );
    // A replacement takes no more room.
    let mut dearer = plain();
    (dearer.max_fee_per_gas, dearer.max_priority_fee_per_gas) = (200, 20);
    add(&mut pool, sign(dearer), RICH).unwrap();
}

#[test]
fn the_least_tip_is_asked_for() {
    let mut pool = Pool::new(PoolConfig {
        min_priority_fee: 11,
        ..Default::default()
    });
    let words = "transaction underpriced: gas tip cap 10, minimum needed 11";
    assert_eq!(add(&mut pool, sign(plain()), RICH).unwrap_err(), words);
}

#[test]
fn the_guard_refuses_what_would_publish_a_secret() {
    let secret = Address::with_last_byte(2);
    let mut pool = Pool::new(PoolConfig {
        guard: Some(Guard::new(move |to, input| {
            (*to == secret && input.starts_with(&[1, 2, 3, 4]))
                .then(|| "the secret key would be public for ever".to_owned())
        })),
        ..Default::default()
    });
    let call = |to: Address, input: &[u8]| {
        let mut tx = plain();
        (tx.to, tx.input, tx.gas_limit) = (to.into(), input.to_vec().into(), 50_000);
        sign(tx)
    };
    let words = "transaction refused: the secret key would be public for ever";
    assert_eq!(
        add(&mut pool, call(secret, &[1, 2, 3, 4, 5]), RICH).unwrap_err(),
        words
    );
    assert!(pool.is_empty());
    add(&mut pool, call(secret, &[1, 2, 3, 5]), RICH).unwrap();
    let mut create = plain();
    (create.to, create.input, create.gas_limit) = (TxKind::Create, vec![1, 2, 3, 4].into(), 60_000);
    create.nonce = 6;
    add(&mut pool, sign(create), RICH).unwrap();
}

#[test]
fn a_full_pool_makes_room_for_what_pays_more() {
    let mut pool = Pool::new(PoolConfig {
        max_transactions: 2,
        ..Default::default()
    });
    let mut put = |sender: u8, nonce: u64, tip: u128| {
        let mut tx = plain();
        (tx.nonce, tx.max_priority_fee_per_gas) = (nonce, tip);
        // Without real signatures this is what tells senders apart.
        tx.to = TxKind::Call(Address::repeat_byte(sender));
        let tx = Recovered::new_unchecked(sign(tx), Address::repeat_byte(sender));
        pool.add(tx, RICH, &ENV).map_err(|error| error.to_string())
    };
    let cheap = put(1, 5, 10).unwrap().hash;
    put(2, 5, 20).unwrap();
    let words = "transaction underpriced: gas tip cap 10, minimum needed 11";
    assert_eq!(put(3, 5, 10).unwrap_err(), words);
    // One that waits is worth less than any that does not, whatever it offers.
    assert_eq!(put(3, 6, 90).unwrap_err(), "txpool is full");
    // Nor does a sender push out its own transaction to make room for the next.
    assert_eq!(put(1, 6, 90).unwrap_err(), "txpool is full");
    assert_eq!(put(3, 5, 11).unwrap().dropped, vec![cheap]);
    assert_eq!(pool.status().pending, 2);
}
