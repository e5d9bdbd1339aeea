//! Whatever is thrown at the builder: what it builds verifies, and to the same roots.

use alloy_primitives::{Address, Bytes, U256};
use pars_evm::{Executor, ExecutorConfig, RunAhead};
use proptest::prelude::*;

use crate::{
    chain::{Chain, GWEI, Intent, cpu_engine},
    contracts::{counter, deploy, echo_revert, forwarder, must_call, writer},
    feeding::{MLDSA, samples, verify_call},
};

const COUNTER: Address = Address::repeat_byte(0xc1);
const REVERTING: Address = Address::repeat_byte(0xc2);
const WRITER: Address = Address::repeat_byte(0xc4);
const CALLS_WRITER: Address = Address::repeat_byte(0xc5);
const FORWARDER: Address = Address::repeat_byte(0xf0);

/// One random transaction: who, what, how.
#[derive(Clone, Debug)]
struct Step {
    sender: usize,
    action: u8,
    value: u64,
    data: Vec<u8>,
    gas: u64,
    tip: u128,
    skip_nonce: bool,
    kind: u8,
}

fn step() -> impl Strategy<Value = Step> {
    (
        0..8_usize,
        0..11_u8,
        any::<u64>(),
        proptest::collection::vec(any::<u8>(), 0..64),
        prop_oneof![4 => 60_000..1_000_000_u64, 1 => 0..60_000_u64],
        0..5 * GWEI,
        proptest::bool::weighted(0.05),
        0..4_u8,
    )
        .prop_map(
            |(sender, action, value, data, gas, tip, skip_nonce, kind)| Step {
                sender,
                action,
                value,
                data,
                gas,
                tip,
                skip_nonce,
                kind,
            },
        )
}

/// A few, or now and then as many as are worth a second thread.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![
        5 => proptest::collection::vec(step(), 0..24),
        1 => proptest::collection::vec(step(), 65..140),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_built_block_verifies(blocks in proptest::collection::vec(steps(), 1..4)) {
        let mut chain = Chain::with(
            cpu_engine(),
            Default::default(),
            [
                (COUNTER, counter().bytes()),
                (REVERTING, echo_revert().bytes()),
                (WRITER, writer(9).bytes()),
                (CALLS_WRITER, must_call(WRITER).bytes()),
                (FORWARDER, forwarder(MLDSA).bytes()),
            ],
        );
        // The same chain without the search for questions, and with each transaction run once before its turn or not.
        let alone = [RunAhead::Never, RunAhead::Before].map(|run_ahead| {
            let config = ExecutorConfig { feed_engine: false, run_ahead, ..ExecutorConfig::default() };
            Executor::with_config(chain.spec.clone(), cpu_engine(), config)
        });
        let samples = samples();
        for steps in blocks {
            let mut transactions = Vec::new();
            for step in steps {
                let account = &mut chain.accounts[step.sender];
                if step.skip_nonce {
                    account.nonce += 1;
                }
                let data = Bytes::from(step.data);
                let call = match step.action {
                    0 => Intent::transfer(Address::repeat_byte(step.kind + 1), 1),
                    1 => Intent::to_contract(COUNTER, data),
                    2 => Intent::to_contract(REVERTING, data),
                    3 => Intent::to_contract(WRITER, data),
                    4 => Intent::to_contract(CALLS_WRITER, data),
                    5 => Intent::create(deploy(&counter())),
                    6 => Intent::create(data),
                    7 => Intent::to_contract(MLDSA, data),
                    // A signature check, now and then of a spoilt signature.
                    8 => Intent::to_contract(MLDSA, signature_check(&samples, step.value)),
                    9 => Intent::to_contract(FORWARDER, signature_check(&samples, step.value)),
                    _ => Intent::to_contract(Address::with_last_byte(step.kind + 1), data),
                };
                // The precompile takes no value.
                let value = U256::from(if (7..=9).contains(&step.action) { 0 } else { step.value });
                let call = Intent { value, tip: step.tip, gas: step.gas, ..call };
                transactions.push(match step.kind {
                    0 => account.legacy(call, Some(6133)),
                    1 => account.with_list(call, Default::default()),
                    2 => {
                        let authorization = account.authorize(COUNTER, step.value % 4);
                        account.set_code(call, WRITER, vec![authorization])
                    }
                    _ => account.dynamic(call),
                });
            }
            let sent = transactions.len();
            let alone = alone.each_ref().map(|executor| {
                executor.build(&chain.store, transactions.clone(), chain.attributes()).unwrap()
            });
            // Builds, verifies, compares, commits.
            let executed = chain.block(transactions);
            for alone in &alone {
                prop_assert_eq!(&alone.commit.block, &executed.commit.block);
                prop_assert_eq!(&alone.commit.receipts, &executed.commit.receipts);
                prop_assert_eq!(&alone.skipped, &executed.skipped);
            }
            prop_assert_eq!(
                executed.commit.block.transactions.len() + executed.skipped.len(),
                sent
            );
            // Senders go on from where the chain is.
            let state = chain.store.head_state().unwrap();
            for account in &mut chain.accounts {
                account.nonce = state.account(&account.address).unwrap().unwrap().nonce;
            }
        }
        chain.store.verify_state().unwrap();
    }
}

/// Calldata that checks one of the samples, one time in two with a byte of it changed.
fn signature_check(samples: &[(Bytes, Bytes, Bytes, Bytes, bool)], choice: u64) -> Bytes {
    let mut data = verify_call(&samples[(choice % samples.len() as u64) as usize]);
    if choice & (1 << 40) != 0 {
        // Behind selector and offsets, so that it is content most of the time.
        let place = 132 + (choice >> 41) as usize % (data.len() - 132);
        data[place] ^= 1;
    }
    data.into()
}
