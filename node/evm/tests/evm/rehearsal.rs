//! Outcomes that are known before a transaction's turn.

use alloy_consensus::{TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, U256};
use pars_evm::{Executor, ExecutorConfig, RunAhead};
use revm::bytecode::opcode as op;

use crate::{
    chain::{Account, Chain, GWEI, Intent, MINER, cpu_engine},
    contracts::{Code, counter, deploy, forwarder},
    feeding::{MLDSA, samples, verify_call},
};

const COUNTER: Address = Address::repeat_byte(0xc1);
const OWN_SLOT: Address = Address::repeat_byte(0xc6);
const BALANCE_OF: Address = Address::repeat_byte(0xc7);
const CODE_OF: Address = Address::repeat_byte(0xc8);
const GAS_LEFT: Address = Address::repeat_byte(0xc9);
const FORWARDER: Address = Address::repeat_byte(0xf0);
const RECIPIENT: Address = Address::repeat_byte(0x77);

/// Sixteen counters that take their time and look at what the recipient has.
fn busy_counter(number: usize) -> Address {
    Address::left_padding_from(&[0xd0, (number % 16) as u8])
}

/// Transactions that are rehearsed together: one sees what those before it did.
const TOGETHER: usize = 64;

fn chain() -> Chain {
    let argument = || Code::new().op(&[op::PUSH0, op::CALLDATALOAD]);
    let store = |code: Code| code.op(&[op::PUSH0, op::SSTORE]).bytes();
    let of_caller = |code: Code| code.op(&[op::CALLER, op::SSTORE]).bytes();
    let contracts = [
        (COUNTER, counter().bytes()),
        (BALANCE_OF, store(argument().op(&[op::BALANCE]))),
        (CODE_OF, store(argument().op(&[op::EXTCODEHASH]))),
        (
            OWN_SLOT,
            of_caller(
                Code::new()
                    .op(&[op::CALLER, op::SLOAD])
                    .push(1)
                    .op(&[op::ADD]),
            ),
        ),
        (GAS_LEFT, of_caller(Code::new().op(&[op::GAS]))),
        (FORWARDER, forwarder(MLDSA).bytes()),
    ];
    let busy = Code::new()
        .push(1_000)
        .op(&[op::JUMPDEST])
        .push(1)
        .op(&[op::SWAP1, op::SUB, op::DUP1, op::PUSH1, 3, op::JUMPI])
        .push_address(RECIPIENT)
        .op(&[op::BALANCE, op::POP, op::POP])
        .op(&counter().0);
    let busy = (0..16).map(|number| (busy_counter(number), busy.clone().bytes()));
    let contracts = contracts.into_iter().chain(busy);
    Chain::with(cpu_engine(), config(RunAhead::Never), contracts)
}

fn config(run_ahead: RunAhead) -> ExecutorConfig {
    ExecutorConfig {
        feed_engine: false,
        run_ahead,
        ..ExecutorConfig::default()
    }
}

/// How many outcomes were known in a block that comes out as it does where none is; it is appended to the chain.
fn known(chain: &Chain, when: RunAhead, transactions: Vec<Recovered<TxEnvelope>>) -> u64 {
    let executor = Executor::with_config(chain.spec.clone(), cpu_engine(), config(when));
    let built = executor
        .build(&chain.store, transactions.clone(), chain.attributes())
        .unwrap();
    let known = executor.stats().adopted;
    let verified = executor.verify(&chain.store, &built.commit.block).unwrap();
    let before = chain.executor.precompile_usage(&MLDSA);
    let executed = chain.block(transactions);
    let usage = chain.executor.precompile_usage(&MLDSA);
    let counted = executor.precompile_usage(&MLDSA);
    assert_eq!(counted.calls, usage.calls - before.calls);
    assert_eq!(built.commit.block, executed.commit.block);
    assert_eq!(built.commit.receipts, executed.commit.receipts);
    assert_eq!(verified.commit.receipts, executed.commit.receipts);
    assert_eq!(built.skipped, executed.skipped);
    chain.store.verify_state().unwrap();
    known
}

fn all(transactions: &[Recovered<TxEnvelope>]) -> u64 {
    transactions.len().try_into().unwrap()
}

#[test]
fn what_read_the_same_is_not_run_again() {
    let mut chain = chain();
    for block in 0..3 {
        let transactions: Vec<_> = (0..200_usize)
            .map(|n| {
                let intent = match n % 3 {
                    0 => Intent::to_contract(OWN_SLOT, []),
                    1 => Intent::to_contract(GAS_LEFT, []),
                    _ => Intent::transfer(Address::left_padding_from(&(900 + n).to_be_bytes()), 5),
                };
                // Tips, which all go to one account.
                let intent = Intent {
                    tip: GWEI,
                    ..intent
                };
                // Nobody sends in two groups, as nonces are read too.
                chain.accounts[n / TOGETHER + 4 * (n % 2)].dynamic(intent)
            })
            .collect();
        let count = all(&transactions);
        assert_eq!(
            known(&chain, RunAhead::Before, transactions),
            count,
            "block {block}"
        );
    }
    assert_ne!(chain.balance(MINER), U256::ZERO);
}

/// The outcome of the last transaction, which stands in a group of its own, is taken over only where it has nothing to
/// do with the first one.
#[test]
fn what_reads_otherwise_is_run_again() {
    let word = |address: Address| address.into_word().0;
    let samples = samples();
    let bad_signature = {
        let mut data = verify_call(&samples[0]);
        let last = data.len() - 40;
        data[last] ^= 1;
        data
    };
    type Make = Box<dyn Fn(&mut [Account]) -> Recovered<TxEnvelope>>;
    let by = |account: usize, intent: Intent| -> Make {
        Box::new(move |accounts| accounts[account].dynamic(intent.clone()))
    };
    let call = |to, input: [u8; 32]| Intent::to_contract(to, input);
    let nothing = || by(0, Intent::transfer(Address::repeat_byte(0x66), 1));
    let created = Account::new(1).address.create(0);
    let idle = Account::new(7).address;
    let poor = || Account::new(99);
    let cases: [(&str, Make, Make, [bool; 2]); 15] = [
        (
            "nothing in common",
            nothing(),
            by(7, call(BALANCE_OF, word(RECIPIENT))),
            [true, true],
        ),
        (
            "a balance",
            by(0, Intent::transfer(idle, 5)),
            by(7, call(BALANCE_OF, word(idle))),
            [true, false],
        ),
        (
            "a balance where there was no account",
            by(0, Intent::transfer(RECIPIENT, 5)),
            by(7, call(BALANCE_OF, word(RECIPIENT))),
            [true, false],
        ),
        (
            "a slot",
            by(0, call(COUNTER, [0; 32])),
            by(7, call(COUNTER, [0; 32])),
            [true, false],
        ),
        (
            "a code",
            by(0, Intent::create(deploy(&counter()))),
            by(7, call(CODE_OF, word(created))),
            [false, false],
        ),
        (
            "a call to what was not there",
            by(0, Intent::create(deploy(&counter()))),
            by(7, Intent::to_contract(created, [])),
            [false, false],
        ),
        (
            "an account that begins to be there",
            by(0, Intent::transfer(poor().address, 10_u128.pow(18))),
            Box::new(move |_| poor().dynamic(Intent::transfer(RECIPIENT, 1))),
            [true, false],
        ),
        (
            "a delegation",
            Box::new(|accounts| {
                let authorization = accounts[6].authorize(COUNTER, 0);
                accounts[0].set_code(
                    Intent::transfer(RECIPIENT, 1),
                    RECIPIENT,
                    vec![authorization],
                )
            }),
            by(7, Intent::to_contract(idle, [])),
            [true, false],
        ),
        (
            "a nonce",
            Box::new(|accounts| {
                let [set, unset] = [(COUNTER, 0), (Address::ZERO, 1)]
                    .map(|(code, nonce)| accounts[6].authorize(code, nonce));
                accounts[0].set_code(
                    Intent::transfer(RECIPIENT, 1).gas(200_000),
                    RECIPIENT,
                    vec![set, unset],
                )
            }),
            Box::new(|accounts| {
                let late = accounts[6].authorize(COUNTER, 0);
                accounts[7].set_code(
                    Intent::transfer(RECIPIENT, 1).gas(200_000),
                    OWN_SLOT,
                    vec![late],
                )
            }),
            [true, false],
        ),
        (
            "the beneficiary's balance",
            nothing(),
            by(7, call(BALANCE_OF, word(MINER))),
            [true, false],
        ),
        (
            "the beneficiary's account",
            nothing(),
            by(7, Intent::transfer(MINER, 3)),
            [true, false],
        ),
        (
            "a nonce that is not the next",
            nothing(),
            Box::new(|accounts| {
                accounts[7].nonce += 1;
                accounts[7].dynamic(Intent::to_contract(OWN_SLOT, []))
            }),
            [true, false],
        ),
        (
            "an answer of the engine",
            nothing(),
            by(
                7,
                Intent::to_contract(FORWARDER, bad_signature.clone()).gas(900_000),
            ),
            [true, false],
        ),
        (
            "a call that one of our precompiles refuses",
            nothing(),
            by(7, Intent::to_contract(MLDSA, [1, 2, 3])),
            [true, false],
        ),
        (
            "a creation",
            nothing(),
            by(7, Intent::create(deploy(&counter()))),
            [true, false],
        ),
    ];
    for (name, first, last, taken_over) in cases {
        let mut chain = chain();
        let mut transactions = vec![first(&mut chain.accounts)];
        for n in 1..TOGETHER {
            let to = Address::repeat_byte(0x40 + u8::try_from(n % 16).unwrap());
            transactions.push(chain.accounts[1 + n % 5].dynamic(Intent::transfer(to, 1)));
        }
        transactions.push(last(&mut chain.accounts));
        let between = all(&transactions) - 2;
        let expected = between + taken_over.map(u64::from).iter().sum::<u64>();
        assert_eq!(
            known(&chain, RunAhead::Before, transactions),
            expected,
            "{name}"
        );
    }
}

/// It is given to after what it was given by the transaction itself.
#[test]
fn who_gets_the_fees_may_take_part() {
    let mut chain = chain();
    let give = Intent {
        tip: GWEI,
        ..Intent::transfer(MINER, 7)
    };
    let transactions = vec![chain.accounts[0].dynamic(give)];
    assert_eq!(known(&chain, RunAhead::Before, transactions), 0);
    assert!(chain.balance(MINER) > U256::from(21_000 * GWEI));
}

/// Beside the run a transaction is given less gas than it may have.
#[test]
fn gas_is_what_it_is_in_the_block() {
    let mut chain = chain();
    let transactions: Vec<_> = (0..400_usize)
        .map(|n| {
            let intent = Intent::to_contract(GAS_LEFT, []).gas(400_000);
            chain.accounts[n * 8 / 400].dynamic(intent)
        })
        .collect();
    assert_eq!(known(&chain, RunAhead::Beside, transactions), 0);
}

/// Calls of much gas are rehearsed on what those before them in the block have changed.
#[test]
fn what_was_changed_is_followed() {
    let mut chain = chain();
    let mut seen = 0;
    // How far the second thread gets is not certain, but that it gets somewhere in one of many blocks is.
    for block in 0..100 {
        let transactions: Vec<_> = (0..150_usize)
            .map(|n| {
                let intent = match n % 10 {
                    7 => Intent::transfer(RECIPIENT, 5),
                    8 => Intent::to_contract(MINER, [1]).gas(100_000),
                    // Some next to each other want the same.
                    _ if n % 40 < 10 => Intent::to_contract(busy_counter(0), [1]).gas(100_000),
                    _ => Intent::to_contract(busy_counter(n), [1]).gas(100_000),
                };
                let intent = Intent {
                    tip: GWEI,
                    ..intent
                };
                chain.accounts[n % 8].dynamic(intent)
            })
            .collect();
        let known = known(&chain, RunAhead::Beside, transactions);
        assert!(known < 140, "the run does some itself");
        seen = seen.max(known);
        // On the state before the block, none that comes after the first transfer.
        if seen > 6 && block > 2 {
            return;
        }
    }
    panic!("of 100 blocks, at most {seen} outcomes were known in one");
}

/// The root of the transactions is computed before it is known which of them are in the block.
#[test]
fn the_list_is_of_those_that_are_in_the_block() {
    // How many there are, and whose is left out; a block has room for 1,428 of them.
    for (count, left) in [
        (200_usize, None),
        (200, Some(0)),
        (200, Some(199)),
        (1_428, None),
        (1_429, None),
        (1_430, None),
    ] {
        let mut chain = chain();
        let transactions: Vec<_> = (0..count)
            .map(|n| {
                let to = Address::left_padding_from(&(900 + n).to_be_bytes());
                let account = &mut chain.accounts[if left == Some(n) { 7 } else { n % 7 }];
                if left == Some(n) {
                    account.nonce = 5;
                }
                account.dynamic(Intent::transfer(to, 1))
            })
            .collect();
        for when in [RunAhead::Before, RunAhead::Beside] {
            let executor = Executor::with_config(chain.spec.clone(), cpu_engine(), config(when));
            let built = executor
                .build(&chain.store, transactions.clone(), chain.attributes())
                .unwrap();
            let block = &built.commit.block;
            let in_it = transactions.iter().enumerate();
            let in_it = in_it.filter(|(n, _)| left != Some(*n)).take(1_428);
            assert!(
                block
                    .transactions
                    .iter()
                    .eq(in_it.map(|(_, one)| one.inner()))
            );
            chain.executor.verify(&chain.store, block).unwrap();
        }
    }
}
