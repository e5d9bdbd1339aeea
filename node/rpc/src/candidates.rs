//! What a block builder takes from the pool: one transaction after another, best first, as many as find room.

use std::collections::HashSet;
use std::sync::Arc;

use alloy_consensus::TxEnvelope;
use alloy_consensus::transaction::Recovered;
use alloy_primitives::B256;
use parking_lot::Mutex;
use pars_pool::{Cursor, Pool};

/// So many are copied while the pool is locked. A block of a large pool takes a few thousand, so those that find no
/// room are not copied at all.
const CHUNK: usize = 128;

/// The transactions that can be in a block, best first, each sender's nonces in order. The pool is not held: what it
/// drops meanwhile does not come, and what is new to it may not come.
#[derive(Debug)]
pub struct Candidates {
    pool: Arc<Mutex<Pool>>,
    cursor: Cursor,
    elsewhere: HashSet<B256>,
    ready: std::vec::IntoIter<Recovered<TxEnvelope>>,
}

impl Candidates {
    pub(crate) fn new(pool: &Arc<Mutex<Pool>>, base_fee: u64, elsewhere: HashSet<B256>) -> Self {
        let cursor = pool.lock().cursor(base_fee);
        Self {
            pool: Arc::clone(pool),
            cursor,
            elsewhere,
            ready: Vec::new().into_iter(),
        }
    }
}

impl Iterator for Candidates {
    type Item = Recovered<TxEnvelope>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(transaction) = self.ready.next() {
            return Some(transaction);
        }
        let (pool, cursor) = (self.pool.lock(), &mut self.cursor);
        let best = std::iter::from_fn(|| pool.next_best(cursor));
        let wanted = best.filter(|transaction| !self.elsewhere.contains(transaction.tx_hash()));
        self.ready = wanted.take(CHUNK).cloned().collect::<Vec<_>>().into_iter();
        self.ready.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{SignableTransaction as _, TxEip1559};
    use alloy_primitives::{Address, Signature, U256};
    use pars_pool::{AccountState, PoolConfig, PoolEnv};

    const COUNT: usize = 3 * CHUNK + 1;

    fn pool() -> Arc<Mutex<Pool>> {
        let mut pool = Pool::new(PoolConfig::default());
        let account = AccountState {
            nonce: 0,
            balance: U256::MAX,
        };
        let env = PoolEnv {
            base_fee: 7,
            gas_limit: 30_000_000,
            chain_id: 6133,
        };
        for number in 1..=COUNT as u64 {
            let sender = Address::left_padding_from(&number.to_be_bytes());
            let transaction = TxEip1559 {
                chain_id: 6133,
                gas_limit: 21_000,
                max_fee_per_gas: 1_000_000,
                max_priority_fee_per_gas: u128::from(number % 100),
                to: sender.into(),
                ..TxEip1559::default()
            };
            let signed = transaction.into_signed(Signature::test_signature());
            let transaction = Recovered::new_unchecked(TxEnvelope::from(signed), sender);
            pool.add(transaction, account, &env).unwrap();
        }
        Arc::new(Mutex::new(pool))
    }

    #[test]
    fn all_come_in_order_but_those_that_are_elsewhere() {
        let pool = pool();
        let mut best = pool.lock().best(7);
        assert_eq!(best.len(), COUNT);
        let all: Vec<_> = Candidates::new(&pool, 7, HashSet::new()).collect();
        assert_eq!(all, best);
        let elsewhere = best.drain(..CHUNK + 5).map(|one| *one.tx_hash()).collect();
        let rest: Vec<_> = Candidates::new(&pool, 7, elsewhere).collect();
        assert_eq!(rest, best);
    }

    /// No more are copied than one chunk beyond what was asked for.
    #[test]
    fn what_is_not_asked_for_stays_in_the_pool() {
        let pool = pool();
        let mut candidates = Candidates::new(&pool, 7, HashSet::new());
        candidates.next().unwrap();
        let hashes: Vec<_> = pool
            .lock()
            .best(7)
            .iter()
            .map(|one| *one.tx_hash())
            .collect();
        for hash in hashes {
            pool.lock().remove(&hash).unwrap();
        }
        assert_eq!(candidates.count(), CHUNK - 1);
    }
}
