//! Random transactions, blocks and removals, against a model that recomputes everything from
//! a list.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use alloy_consensus::{
    SignableTransaction, Transaction, TxEip1559, TxEnvelope, transaction::Recovered,
};
use alloy_eips::Encodable2718;
use alloy_primitives::{Address, B256, Signature, TxKind, U256};
use pars_pool::{AccountState, Pool, PoolConfig, PoolEnv, PoolError};
use proptest::prelude::*;
use std::collections::BTreeMap;

const SENDERS: u8 = 4;
const MAX_COUNT: usize = 10;
const MAX_BYTES: usize = 2_200;

fn config() -> PoolConfig {
    PoolConfig {
        max_transactions: MAX_COUNT,
        max_bytes: MAX_BYTES,
        max_per_sender: 6,
        max_waiting_per_sender: 3,
        ..Default::default()
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Sender, nonce after the account's, maximal fee, tip, bytes of data.
    Add(u8, u64, u128, u128, usize),
    /// How many of the best are in the block, and the base fee after it.
    Block(usize, u64),
    /// A balance changes without a block's doing: as much as so many plain transactions cost.
    Balance(u8, u64),
    /// A block has a transaction of this sender that the pool never saw.
    Outside(u8),
    /// Which one of all goes.
    Remove(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let fee = prop::sample::select(vec![5u128, 10, 11, 12, 20, 22, 40]);
    let tip = prop::sample::select(vec![0u128, 1, 2, 3, 5, 10]);
    prop_oneof![
        12 => (0..SENDERS, 0u64..6, fee, tip, prop::sample::select(vec![0usize, 0, 50, 400]))
            .prop_map(|(s, n, f, t, d)| Step::Add(s, n, f, t.min(f), d)),
        2 => (0usize..4, prop::sample::select(vec![4u64, 7, 10, 11])).prop_map(|(n, f)| Step::Block(n, f)),
        1 => (0..SENDERS, 0u64..200).prop_map(|(s, b)| Step::Balance(s, b)),
        1 => (0..SENDERS).prop_map(Step::Outside),
        1 => any::<prop::sample::Index>().prop_map(Step::Remove),
    ]
}

fn address(sender: u8) -> Address {
    Address::repeat_byte(sender + 1)
}

/// The model: transactions in the order they came, the accounts, the base fee.
#[derive(Clone, Default)]
struct Model {
    list: Vec<Recovered<TxEnvelope>>,
    accounts: BTreeMap<Address, AccountState>,
    base_fee: u64,
}

type Tx = Recovered<TxEnvelope>;

fn cost(tx: &Tx) -> U256 {
    U256::from(tx.gas_limit()) * U256::from(tx.max_fee_per_gas()) + tx.value()
}

impl Model {
    fn of(&self, sender: &Address) -> BTreeMap<u64, &Tx> {
        let own = self.list.iter().filter(|tx| tx.signer() == *sender);
        own.map(|tx| (tx.nonce(), tx)).collect()
    }

    fn is_executable(&self, tx: &Tx) -> bool {
        let own = self.of(&tx.signer());
        (self.accounts[&tx.signer()].nonce..=tx.nonce()).all(|nonce| own.contains_key(&nonce))
    }

    fn executable(&self, sender: &Address) -> Vec<&Tx> {
        let own = self.of(sender).into_values();
        own.filter(|tx| self.is_executable(tx)).collect()
    }

    /// What a transaction is worth by itself.
    fn own_worth(&self, tx: &Tx) -> (u8, u128) {
        let tip = tx.effective_tip_per_gas(self.base_fee);
        match (self.is_executable(tx), tip) {
            (true, Some(tip)) => (2, tip),
            (true, None) => (1, tx.max_fee_per_gas()),
            (false, tip) => (0, tip.unwrap_or(0)),
        }
    }

    /// The least worth of it and those of its sender before it.
    fn worth(&self, tx: &Tx) -> (u8, u128) {
        let own = self.of(&tx.signer());
        own.range(..=tx.nonce())
            .map(|(_, tx)| self.own_worth(tx))
            .min()
            .unwrap()
    }

    /// The transaction that is dropped first: of the least worth, the greatest nonce, then
    /// the youngest.
    fn first_to_go(&self) -> Tx {
        let (_, tx) = self
            .list
            .iter()
            .enumerate()
            .min_by_key(|(at, tx)| {
                (
                    self.worth(tx),
                    std::cmp::Reverse(tx.nonce()),
                    std::cmp::Reverse(*at),
                )
            })
            .unwrap();
        tx.clone()
    }

    fn is_too_big(&self) -> bool {
        let bytes: usize = self.list.iter().map(|tx| tx.encode_2718_len()).sum();
        self.list.len() > MAX_COUNT || bytes > MAX_BYTES
    }

    fn prune(&mut self) {
        let accounts = &self.accounts;
        self.list.retain(|tx| {
            let account = accounts[&tx.signer()];
            tx.nonce() >= account.nonce && cost(tx) <= account.balance
        });
    }

    /// Whether the transaction is taken, and what goes for it.
    fn add(&mut self, tx: &Tx) -> Result<Vec<B256>, &'static str> {
        let account = self.accounts[&tx.signer()];
        if self
            .list
            .iter()
            .any(|other| other.tx_hash() == tx.tx_hash())
        {
            return Err("already known");
        }
        if tx.nonce() < account.nonce {
            return Err("nonce too low");
        }
        let old = self
            .of(&tx.signer())
            .get(&tx.nonce())
            .map(|old| (*old).clone());
        let rest: U256 = self
            .executable(&tx.signer())
            .iter()
            .filter(|other| other.nonce() != tx.nonce())
            .map(|other| cost(other))
            .sum();
        if cost(tx) > account.balance || rest + cost(tx) > account.balance {
            return Err("insufficient funds");
        }
        let mut after = self.clone();
        if let Some(old) = &old {
            let enough = |old: u128, new: u128| new > old && new >= old * 110 / 100;
            let fee = enough(old.max_fee_per_gas(), tx.max_fee_per_gas());
            if !fee || !enough(old.priority_fee_or_price(), tx.priority_fee_or_price()) {
                return Err("replacement transaction underpriced");
            }
            after.list.retain(|other| other.tx_hash() != old.tx_hash());
        } else {
            let own = self.of(&tx.signer());
            let waiting = own.values().filter(|tx| !self.is_executable(tx)).count();
            let mut with = self.clone();
            with.list.push(tx.clone());
            if own.len() >= 6 || (waiting >= 3 && !with.is_executable(tx)) {
                return Err("account limit exceeded");
            }
        }
        after.list.push(tx.clone());
        // What goes is chosen by what the pool was worth before, with the new one in it: those
        // behind a gap that the new one closes still count as waiting.
        let mut gone = Vec::new();
        if after.is_too_big() {
            let mut judge = self.clone();
            if let Some(old) = &old {
                judge.list.retain(|other| other.tx_hash() != old.tx_hash());
            }
            let with_new = {
                let mut with = judge.clone();
                with.list.push(tx.clone());
                with.worth(tx)
            };
            // Worth of the others while `old` was still there.
            let mut order: Vec<_> = self
                .list
                .iter()
                .enumerate()
                .filter(|(_, other)| {
                    old.as_ref()
                        .is_none_or(|old| old.tx_hash() != other.tx_hash())
                })
                .map(|(at, other)| {
                    let key = (
                        self.worth(other),
                        std::cmp::Reverse(other.nonce()),
                        std::cmp::Reverse(at),
                    );
                    (key, other.clone())
                })
                .collect();
            order.sort_by_key(|(key, _)| *key);
            let new = (
                with_new,
                std::cmp::Reverse(tx.nonce()),
                std::cmp::Reverse(usize::MAX),
            );
            let mut order = order.into_iter();
            while after.is_too_big() {
                match order.next() {
                    Some((key, victim)) if key < new => {
                        after
                            .list
                            .retain(|other| other.tx_hash() != victim.tx_hash());
                        gone.push(*victim.tx_hash());
                    }
                    _ => return Err("no room"),
                }
            }
        }
        *self = after;
        Ok(gone)
    }

    /// Again and again the best of the first executable transactions of all senders.
    fn best(&self, base_fee: u64) -> Vec<Tx> {
        let mut lists: Vec<Vec<&Tx>> = (0..SENDERS)
            .map(|sender| self.executable(&address(sender)))
            .collect();
        let mut best = Vec::new();
        loop {
            let place = |tx: &Tx| {
                self.list
                    .iter()
                    .position(|other| other.tx_hash() == tx.tx_hash())
            };
            let next = lists
                .iter_mut()
                .filter(|list| {
                    list.first()
                        .is_some_and(|tx| tx.effective_tip_per_gas(base_fee).is_some())
                })
                .max_by_key(|list| {
                    let tx = list[0];
                    (
                        tx.effective_tip_per_gas(base_fee).unwrap(),
                        std::cmp::Reverse(place(tx)),
                    )
                });
            match next {
                Some(list) => best.push(list.remove(0).clone()),
                None => return best,
            }
        }
    }
}

fn word(error: &PoolError) -> &'static str {
    match error {
        PoolError::AlreadyKnown => "already known",
        PoolError::NonceTooLow { .. } => "nonce too low",
        PoolError::InsufficientFunds { .. } | PoolError::InsufficientFundsForAll { .. } => {
            "insufficient funds"
        }
        PoolError::ReplacementUnderpriced => "replacement transaction underpriced",
        PoolError::AccountLimit(_) => "account limit exceeded",
        PoolError::Full | PoolError::Underpriced { .. } => "no room",
        other => panic!("{other}"),
    }
}

fn compare(pool: &Pool, model: &Model) {
    assert_eq!(pool.len(), model.list.len());
    assert_eq!(pool.is_empty(), model.list.is_empty());
    for base_fee in [0, model.base_fee, 11, 1000] {
        assert_eq!(
            pool.best(base_fee),
            model.best(base_fee),
            "at base fee {base_fee}"
        );
    }
    let content = pool.content();
    let (mut pending, mut queued) = (0, 0);
    for tx in &model.list {
        assert_eq!(pool.get(tx.tx_hash()).as_ref(), Some(tx));
        let part = if model.is_executable(tx) {
            pending += 1;
            &content.pending
        } else {
            queued += 1;
            &content.queued
        };
        assert_eq!(part[&tx.signer()][&tx.nonce()], *tx);
    }
    let bytes = model.list.iter().map(|tx| tx.encode_2718_len()).sum();
    let status = pool.status();
    assert_eq!(
        (status.pending, status.queued, status.bytes),
        (pending, queued, bytes)
    );
    assert!(status.bytes <= MAX_BYTES && pool.len() <= MAX_COUNT);
    for sender in (0..SENDERS).map(address) {
        let next = model.executable(&sender).last().map(|tx| tx.nonce() + 1);
        assert_eq!(pool.pending_nonce(&sender), next);
        let own = pool.content_from(&sender);
        assert_eq!(own.pending.get(&sender), content.pending.get(&sender));
        assert_eq!(own.queued.get(&sender), content.queued.get(&sender));
    }
}

/// What goes first is a last one of its sender: nothing is torn out of the middle.
fn check_order(model: &Model) {
    if !model.list.is_empty() {
        let first = model.first_to_go();
        let own = model.of(&first.signer());
        assert_eq!(*own.keys().last().unwrap(), first.nonce());
    }
}

fn run(steps: &[Step]) {
    let mut pool = Pool::new(config());
    let mut model = Model::default();
    let plenty = U256::from(1_000_000_000u64);
    for sender in 0..SENDERS {
        let account = AccountState {
            nonce: u64::from(sender),
            balance: plenty,
        };
        model.accounts.insert(address(sender), account);
    }
    let mut env = PoolEnv {
        base_fee: 7,
        gas_limit: 15_000_000,
        chain_id: 6133,
    };
    model.base_fee = 7;
    for step in steps {
        match step {
            Step::Add(sender, ahead, fee, tip, data) => {
                let sender = address(*sender);
                let account = model.accounts[&sender];
                let tx = TxEip1559 {
                    chain_id: 6133,
                    // Now and then a used one.
                    nonce: (account.nonce + ahead).saturating_sub(1),
                    gas_limit: 60_000,
                    max_fee_per_gas: *fee,
                    max_priority_fee_per_gas: *tip,
                    to: TxKind::Call(Address::ZERO),
                    input: vec![1; *data].into(),
                    ..Default::default()
                };
                let tx = tx.into_signed(Signature::test_signature());
                let tx = Recovered::new_unchecked(TxEnvelope::from(tx), sender);
                let wanted = model.add(&tx);
                let got = pool.add(tx.clone(), account, &env);
                match (got, wanted) {
                    (Ok(added), Ok(gone)) => {
                        assert_eq!(added.hash, *tx.tx_hash());
                        assert_eq!(added.dropped, gone);
                    }
                    (Err(error), Err(words)) => assert_eq!(word(&error), words, "{error}"),
                    (got, wanted) => panic!("{step:?}: pool {got:?}, model {wanted:?}"),
                }
            }
            Step::Block(count, base_fee) => {
                let block: Vec<_> = pool.best(env.base_fee).into_iter().take(*count).collect();
                for tx in &block {
                    let account = model.accounts.get_mut(&tx.signer()).unwrap();
                    assert_eq!(account.nonce, tx.nonce(), "a block with a nonce gap");
                    account.nonce += 1;
                    account.balance -= cost(tx);
                    model.list.retain(|other| other.tx_hash() != tx.tx_hash());
                }
                let before: Vec<_> = model.list.iter().map(|tx| *tx.tx_hash()).collect();
                model.prune();
                env.base_fee = *base_fee;
                model.base_fee = *base_fee;
                let hashes: Vec<_> = block.iter().map(|tx| *tx.tx_hash()).collect();
                let signers: Vec<_> = block.iter().map(|tx| tx.signer()).collect();
                let changed = |a: &Address| signers.contains(a).then(|| model.accounts[a]);
                let mut dropped = pool.on_block(&hashes, changed, &env);
                let left: Vec<_> = model.list.iter().map(|tx| *tx.tx_hash()).collect();
                let mut wanted: Vec<_> = before.into_iter().filter(|h| !left.contains(h)).collect();
                dropped.sort();
                wanted.sort();
                assert_eq!(dropped, wanted);
            }
            Step::Balance(sender, times) => {
                let account = model.accounts.get_mut(&address(*sender)).unwrap();
                account.balance = U256::from(60_000 * 10 * times);
                model.prune();
                let changed = |a: &Address| (*a == address(*sender)).then(|| model.accounts[a]);
                pool.on_block(&[], changed, &env);
            }
            Step::Outside(sender) => {
                model.accounts.get_mut(&address(*sender)).unwrap().nonce += 1;
                model.prune();
                let changed = |a: &Address| (*a == address(*sender)).then(|| model.accounts[a]);
                pool.on_block(&[], changed, &env);
            }
            Step::Remove(index) => {
                if !model.list.is_empty() {
                    let tx = model.list.remove(index.index(model.list.len()));
                    assert_eq!(pool.remove(tx.tx_hash()), Some(tx.clone()));
                    assert_eq!(pool.remove(tx.tx_hash()), None);
                }
            }
        }
        check_order(&model);
        compare(&pool, &model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..Default::default() })]
    #[test]
    fn the_pool_does_what_the_model_does(steps in prop::collection::vec(step(), 1..80)) {
        run(&steps);
    }
}

#[test]
fn a_long_queue_of_one_sender_and_a_full_pool_stay_fast() {
    let mut pool = Pool::new(PoolConfig::default());
    let env = PoolEnv {
        base_fee: 7,
        gas_limit: 15_000_000,
        chain_id: 6133,
    };
    let account = AccountState {
        nonce: 0,
        balance: U256::MAX,
    };
    let tx = |sender: Address, nonce: u64, tip: u128| {
        let tx = TxEip1559 {
            chain_id: 6133,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 1_000_000,
            max_priority_fee_per_gas: tip,
            // Without real signatures this is what tells senders apart.
            to: TxKind::Call(sender),
            ..Default::default()
        };
        let tx = tx.into_signed(Signature::test_signature());
        Recovered::new_unchecked(TxEnvelope::from(tx), sender)
    };
    let start = std::time::Instant::now();
    for nonce in 0..4_096 {
        pool.add(tx(address(0), nonce, 10), account, &env).unwrap();
    }
    let mut count = 4_096u64;
    while pool.len() < 16_384 {
        count += 1;
        let sender = Address::left_padding_from(&count.to_be_bytes());
        pool.add(tx(sender, 0, u128::from(count)), account, &env)
            .unwrap();
    }
    // Full: each better one pushes out the worst, which is the long queue's last.
    for n in 0..1_000u64 {
        let sender = Address::left_padding_from(&(1_000_000 + n).to_be_bytes());
        let added = pool.add(tx(sender, 0, 500), account, &env).unwrap();
        assert_eq!(added.dropped.len(), 1);
    }
    assert_eq!(pool.pending_nonce(&address(0)), Some(3_096));
    let best = pool.best(7);
    assert_eq!(best.len(), 16_384);
    let included: Vec<_> = best.iter().take(700).map(|tx| *tx.tx_hash()).collect();
    let same = |_: &Address| None;
    pool.on_block(&included, same, &PoolEnv { base_fee: 8, ..env });
    assert_eq!(pool.len(), 16_384 - 700);
    let took = start.elapsed();
    println!("full pool of 16,384: {took:?}");
    assert!(took < std::time::Duration::from_secs(60), "{took:?}");
}

/// Blocks may shrink: what was taken when there was room is dropped where there is none, whoever sent it.
#[test]
fn a_smaller_block_has_no_room_for_the_largest() {
    let mut pool = Pool::new(config());
    let mut env = PoolEnv {
        base_fee: 7,
        gas_limit: 30_000_000,
        chain_id: 6133,
    };
    let account = AccountState {
        nonce: 0,
        balance: U256::MAX,
    };
    let tx = |sender: u8, gas_limit: u64| {
        let tx = TxEip1559 {
            chain_id: 6133,
            gas_limit,
            max_fee_per_gas: 1_000,
            to: TxKind::Call(address(sender)),
            ..Default::default()
        };
        let tx = tx.into_signed(Signature::test_signature());
        Recovered::new_unchecked(TxEnvelope::from(tx), address(sender))
    };
    let (large, small) = (tx(0, 16_000_000), tx(1, 14_000_000));
    for tx in [&large, &small] {
        pool.add(tx.clone(), account, &env).unwrap();
    }
    let same = |_: &Address| None;
    for _ in 0..2 {
        assert!(pool.on_block(&[], same, &env).is_empty());
    }
    env.gas_limit = 15_000_000;
    assert_eq!(pool.on_block(&[], same, &env), [*large.tx_hash()]);
    assert_eq!(pool.best(7), [small]);
}
