//! A builder that takes transactions one by one from a pool that changes meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, Signature, TxKind, U256};
use pars_pool::{AccountState, Cursor, Pool, PoolConfig, PoolEnv};

const BASE_FEE: u64 = 7;

fn transaction(sender: u8, nonce: u64, tip: u128) -> Recovered<TxEnvelope> {
    let sender = Address::repeat_byte(sender);
    let transaction = TxEip1559 {
        chain_id: 6133,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 10_000 * tip,
        max_priority_fee_per_gas: tip,
        // Without real signatures this is what tells senders apart.
        to: TxKind::Call(sender),
        ..TxEip1559::default()
    };
    let signed = transaction.into_signed(Signature::test_signature());
    Recovered::new_unchecked(TxEnvelope::from(signed), sender)
}

fn add(pool: &mut Pool, transaction: &Recovered<TxEnvelope>) {
    let account = AccountState {
        nonce: 0,
        balance: U256::MAX,
    };
    let env = PoolEnv {
        base_fee: BASE_FEE,
        gas_limit: 30_000_000,
        chain_id: 6133,
    };
    pool.add(transaction.clone(), account, &env).unwrap();
}

fn rest(pool: &Pool, cursor: &mut Cursor) -> Vec<Recovered<TxEnvelope>> {
    std::iter::from_fn(|| pool.next_best(cursor).cloned()).collect()
}

#[test]
fn a_cursor_goes_through_the_pool_in_order() {
    let mut pool = Pool::new(PoolConfig::default());
    assert!(!pool.has_best(BASE_FEE));
    assert!(rest(&pool, &mut pool.cursor(BASE_FEE)).is_empty());
    for (sender, nonce, tip) in [(1, 0, 5), (1, 1, 100), (2, 0, 50), (2, 1, 20), (3, 0, 20)] {
        add(&mut pool, &transaction(sender, nonce, tip));
    }
    let order = [(2, 0, 50), (2, 1, 20), (3, 0, 20), (1, 0, 5), (1, 1, 100)];
    let order = order.map(|(sender, nonce, tip)| transaction(sender, nonce, tip));
    let mut cursor = pool.cursor(BASE_FEE);
    assert_eq!(rest(&pool, &mut cursor), order);
    assert_eq!(pool.next_best(&mut cursor), None);
    assert_eq!(pool.best(BASE_FEE), order);
    assert!(pool.has_best(BASE_FEE));
    assert!(!pool.has_best(2_000_000), "nobody pays that");
}

#[test]
fn what_changes_meanwhile_is_taken_as_it_is_now() {
    let mut pool = Pool::new(PoolConfig::default());
    let first = transaction(1, 0, 100);
    let (dropped, behind) = (transaction(2, 0, 90), transaction(2, 1, 90));
    let old = transaction(3, 0, 80);
    let (own, next) = (transaction(1, 1, 70), transaction(1, 2, 70));
    for transaction in [&first, &dropped, &behind, &old, &own, &next] {
        add(&mut pool, transaction);
    }
    let mut cursor = pool.cursor(BASE_FEE);
    assert_eq!(pool.next_best(&mut cursor), Some(&first));

    let mut versions = vec![pool.version()];
    pool.remove(dropped.tx_hash()).unwrap();
    versions.push(pool.version());
    let new = transaction(3, 0, 200);
    add(&mut pool, &new);
    versions.push(pool.version());
    // A sender who was not there, and one more of a sender who has not been passed yet.
    add(&mut pool, &transaction(4, 0, 300));
    let last = transaction(3, 1, 60);
    add(&mut pool, &last);
    versions.push(pool.version());
    let changes: std::collections::BTreeSet<_> = versions.iter().collect();
    assert_eq!(changes.len(), versions.len(), "every change is told");

    assert_eq!(rest(&pool, &mut cursor), [new, own, next, last]);
    assert_eq!(pool.next_best(&mut cursor), None);
}
