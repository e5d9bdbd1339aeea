//! Blocks that are large enough for a second thread, which reads and rehearses what is to come.

use alloy_consensus::{TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256, U256};
use pars_evm::{Executor, ExecutorConfig, VerifyError};

use crate::{
    chain::{Chain, Intent, cpu_engine},
    contracts::{counter, deploy, echo_revert, must_call, writer},
};

const COUNTER: Address = Address::repeat_byte(0xc1);
const REVERTING: Address = Address::repeat_byte(0xc2);
const WRITER: Address = Address::repeat_byte(0xc4);
const CALLS_WRITER: Address = Address::repeat_byte(0xc5);

/// A chain on which calls are rehearsed.
fn chain() -> Chain {
    let config = ExecutorConfig {
        feed_engine: false,
        ..ExecutorConfig::default()
    };
    let contracts = [
        (COUNTER, counter().bytes()),
        (REVERTING, echo_revert().bytes()),
        (WRITER, writer(9).bytes()),
        (CALLS_WRITER, must_call(WRITER).bytes()),
    ];
    Chain::with(cpu_engine(), config, contracts)
}

fn recipient(n: u8) -> Address {
    Address::repeat_byte(0x20 + n % 50)
}

/// Transfers, calls that count and write and fail, creations: each sender in turn.
fn transactions(chain: &mut Chain, count: u8) -> Vec<Recovered<TxEnvelope>> {
    (0..count)
        .map(|n| {
            let intent = match n % 12 {
                3 | 5 => Intent::to_contract(COUNTER, [n]),
                6 => Intent::to_contract(REVERTING, [n; 40]),
                7 if n < 90 => Intent::to_contract(WRITER, [n]),
                8 => Intent::to_contract(CALLS_WRITER, [n]).gas(60_000),
                9 if n < 60 => Intent::create(deploy(&counter())),
                _ => Intent::transfer(recipient(n), u128::from(n) + 1),
            };
            chain.accounts[usize::from(n) % 8].dynamic(intent)
        })
        .collect()
}

/// The chain's accounts but for what fees took of them.
fn outcome(chain: &Chain) -> Vec<U256> {
    let state = chain.store.head_state().unwrap();
    let recipients = (0..50).map(|n| chain.balance(recipient(n)));
    let nonces = chain.accounts.iter().map(|account| {
        let account = state.account(&account.address).unwrap().unwrap();
        U256::from(account.nonce)
    });
    let slots = [COUNTER, WRITER, REVERTING]
        .into_iter()
        .flat_map(|address| (0..12).map(move |slot| chain.slot(address, slot)));
    let created = chain.accounts.iter().flat_map(|account| {
        (0..30).map(|nonce| {
            let code = state.code_of(&account.address.create(nonce)).unwrap();
            U256::from(code.len())
        })
    });
    recipients
        .chain(nonces)
        .chain(slots)
        .chain(created)
        .collect()
}

#[test]
fn a_large_block_does_what_small_ones_do() {
    let (mut large, mut small) = (chain(), chain());
    let all = transactions(&mut large, 240);
    let executed = large.block(all.clone());
    assert_eq!(executed.skipped, []);
    assert_eq!(executed.commit.block.transactions.len(), all.len());
    let logs_and_status = |receipts: &[alloy_consensus::ReceiptEnvelope]| -> Vec<_> {
        let receipts = receipts.iter();
        receipts
            .map(|receipt| (receipt.status(), receipt.logs().to_vec()))
            .collect()
    };
    let mut receipts = Vec::new();
    assert_eq!(transactions(&mut small, 240), all);
    for few in all.chunks(40) {
        receipts.extend(small.block(few.to_vec()).commit.receipts);
    }
    assert_eq!(
        logs_and_status(&executed.commit.receipts),
        logs_and_status(&receipts)
    );
    assert_eq!(outcome(&large), outcome(&small));
    large.store.verify_state().unwrap();

    // The next one finds everything in the caches, and the search for questions runs the calls itself.
    let again = transactions(&mut large, 200);
    let feeding = Executor::new(large.spec.clone(), cpu_engine());
    let fed = feeding
        .build(&large.store, again.clone(), large.attributes())
        .unwrap();
    let executed = large.block(again);
    assert_eq!(fed.commit.block, executed.commit.block);
    large.store.verify_state().unwrap();
}

/// More transactions than a block of the smallest can have, some of which cannot be in it: those behind take their
/// places.
#[test]
fn what_is_left_out_makes_room_for_what_comes_later() {
    let mut chain = chain();
    let fit = 30_000_000 / 21_000;
    chain.accounts[5].nonce = 1;
    let all: Vec<_> = (0..1_800_usize)
        .map(|n| {
            let to = recipient(n.to_le_bytes()[0]);
            chain.accounts[n % 8].dynamic(Intent::transfer(to, 1))
        })
        .collect();
    let gap = chain.accounts[5].address;
    let executed = chain.block(all.clone());
    let hash = |transaction: &Recovered<TxEnvelope>| *transaction.tx_hash();
    let valid = all.iter().filter(|transaction| transaction.signer() != gap);
    let expected: Vec<B256> = valid.map(hash).take(fit).collect();
    let block = &executed.commit.block;
    let found = block
        .transactions
        .iter()
        .map(|transaction| *transaction.tx_hash());
    assert_eq!(found.collect::<Vec<_>>(), expected);
    // Those of that sender that came up before the block was full.
    let last = all
        .iter()
        .position(|one| Some(&hash(one)) == expected.last());
    let left = all[..last.unwrap()]
        .iter()
        .filter(|one| one.signer() == gap);
    let skipped: Vec<_> = executed.skipped.iter().map(|(hash, _)| *hash).collect();
    assert_eq!(skipped, left.map(hash).collect::<Vec<_>>());
    chain.store.verify_state().unwrap();
}

/// The root is computed while senders are looked for, and is judged before them.
#[test]
fn the_root_of_a_large_list_is_judged_before_its_signatures() {
    let mut chain = chain();
    let transactions = transactions(&mut chain, 100);
    let built = chain
        .executor
        .build(&chain.store, transactions, chain.attributes())
        .unwrap();
    let mut block = built.commit.block;
    block.senders[70] = Address::ZERO;
    let sender = chain.executor.verify(&chain.store, &block).unwrap_err();
    assert!(
        matches!(sender, VerifyError::Sender { index: 70 }),
        "{sender}"
    );
    block.header.transactions_root.0[3] ^= 1;
    block.hash = block.header.hash_slow();
    let root = chain.executor.verify(&chain.store, &block).unwrap_err();
    assert!(
        matches!(root, VerifyError::TransactionsRoot { .. }),
        "{root}"
    );
}
