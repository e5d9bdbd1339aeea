//! No contract comes to be where an account has storage (EIP-7610), wherever transactions are run.

use std::time::Duration;

use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_rpc_types_eth::{
    TransactionRequest,
    state::{AccountOverride, StateOverride},
};
use alloy_rpc_types_trace::geth::GethDebugTracingOptions;
use pars_evm::{
    BlockCalls, CallError, CallOptions, CallOutcome, SimulateOptions, StateRef as _, TraceLimits,
};
use revm::{DatabaseCommit as _, bytecode::opcode as op, state::AccountInfo};
use serde_json::{Value, json};

use crate::{
    chain::{Account, Chain, Intent, cpu_engine},
    contracts::{Code, counter, deploy},
};

const COLLISION: &str = "contract address collision";
/// Creates a contract of no code and notes its address under the block's number.
const FACTORY: Address = Address::repeat_byte(0xfa);
const SLOT: B256 = B256::with_last_byte(9);
const VALUE: B256 = B256::with_last_byte(5);

fn factory() -> Bytes {
    Code::new()
        .op(&[op::PUSH0, op::PUSH0, op::PUSH0, op::CREATE])
        .op(&[op::DUP1, op::NUMBER, op::SSTORE, op::PUSH0, op::MSTORE])
        .push(32)
        .op(&[op::PUSH0, op::RETURN])
        .bytes()
}

/// Where the first account's first transaction creates a contract.
fn first_creation() -> Address {
    Account::new(1).address.create(0)
}

/// A chain where accounts with storage, and with so much wei, are at the first addresses that the
/// first account and the factory create at.
fn chain(wei: u64) -> Chain {
    let taken = GenesisAccount::default()
        .with_balance(U256::from(wei))
        .with_storage(Some([(SLOT, VALUE)].into()));
    let contract = GenesisAccount::default()
        .with_nonce(Some(1))
        .with_code(Some(factory()));
    Chain::with_alloc(
        cpu_engine(),
        Default::default(),
        [
            (first_creation(), taken.clone()),
            (FACTORY.create(1), taken),
            (FACTORY, contract),
        ],
    )
}

fn creation() -> Intent {
    Intent::create(deploy(&counter()))
}

fn creation_request() -> TransactionRequest {
    TransactionRequest {
        from: Some(Account::new(1).address),
        to: Some(TxKind::Create),
        gas: Some(500_000),
        ..TransactionRequest::default().input(deploy(&counter()).into())
    }
}

fn overriding(address: Address, account: AccountOverride) -> CallOptions {
    let overrides: StateOverride = [(address, account)].into_iter().collect();
    CallOptions {
        state_overrides: Some(overrides),
        ..CallOptions::default()
    }
}

impl Chain {
    fn create(&self, options: &CallOptions) -> CallOutcome {
        let (header, state) = (self.store.head().header, self.store.head_state().unwrap());
        self.executor
            .call(&header, state, &creation_request(), options)
            .unwrap()
    }

    fn is_free(&self, options: &CallOptions) -> bool {
        match self.create(options) {
            CallOutcome::Success { .. } => true,
            CallOutcome::Halt { reason, gas_used } => {
                assert_eq!((reason.as_str(), gas_used), (COLLISION, 500_000));
                false
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_transaction_that_creates_there_fails_with_all_its_gas() {
    let mut chain = chain(7);
    let transaction = chain.accounts[0].dynamic(creation());
    let executed = chain.block(vec![transaction]);
    let receipt = &executed.commit.receipts[0];
    assert!(!receipt.status());
    assert_eq!(receipt.cumulative_gas_used(), creation().gas);
    assert_eq!(chain.slot(first_creation(), 9), U256::from(5));
    assert_eq!(chain.balance(first_creation()), U256::from(7));
    // The next one has another address.
    let transaction = chain.accounts[0].dynamic(creation());
    assert!(chain.single(transaction));
}

#[test]
fn a_contract_that_creates_there_is_told_so() {
    let mut chain = chain(7);
    for made in [Address::ZERO, FACTORY.create(2)] {
        let number = chain.store.head().number + 1;
        let transaction =
            chain.accounts[1].dynamic(Intent::to_contract(FACTORY, []).gas(9_000_000));
        let commit = chain.block(vec![transaction]).commit;
        assert!(commit.receipts[0].status());
        let noted = (!made.is_zero()).then_some(true);
        assert_eq!(commit.state.has_storage(&FACTORY), noted);
        assert_eq!(commit.state.has_storage(&FACTORY.create(1)), None);
        assert_eq!(
            chain.slot(FACTORY, number),
            U256::from_be_slice(made.as_slice())
        );
    }
}

/// Ether that comes to the account within the block does not hide its storage.
#[test]
fn an_account_changed_before_in_the_block_is_still_taken() {
    let mut chain = chain(7);
    let transactions = vec![
        chain.accounts[1].dynamic(Intent::transfer(first_creation(), 1)),
        chain.accounts[0].dynamic(creation()),
    ];
    let block = chain.block(transactions).commit;
    let status = |index: usize| block.receipts[index].status();
    assert_eq!((status(0), status(1)), (true, false));
    // It says nothing new of the storage.
    assert_eq!(block.state.has_storage(&first_creation()), None);
    assert_eq!(chain.slot(first_creation(), 9), U256::from(5));

    // The same block under a tracer, and a call in the middle of it.
    let options: GethDebugTracingOptions =
        serde_json::from_value(json!({"tracer": "callTracer"})).unwrap();
    let parent = chain.store.state(0).unwrap();
    let (executor, limits) = (&chain.executor, TraceLimits::default());
    let traces = executor
        .trace_block(&parent, &block.block, None, options.clone(), limits)
        .unwrap();
    let words = |trace: Value| trace["error"].as_str().map(str::to_owned);
    let errors: Vec<_> = traces
        .iter()
        .map(|traced| words(serde_json::to_value(&traced.trace).unwrap()))
        .collect();
    assert_eq!(errors, [None, Some(COLLISION.to_owned())]);
    let within = executor
        .trace_call_within(
            &parent,
            &block.block,
            1,
            &creation_request(),
            &CallOptions::default(),
            options,
            limits,
        )
        .unwrap();
    let within = serde_json::to_value(within).unwrap();
    assert_eq!(words(within).as_deref(), Some(COLLISION));
}

/// An account of storage alone is gone once it is touched (EIP-161), and its storage with it.
#[test]
fn an_account_gone_before_in_the_block_is_not_in_the_way() {
    let mut chain = chain(0);
    assert!(!chain.is_free(&CallOptions::default()));
    let transactions = vec![
        chain.accounts[1].dynamic(Intent::transfer(first_creation(), 0)),
        chain.accounts[0].dynamic(creation()),
    ];
    let block = chain.block(transactions).commit;
    assert!(block.receipts.iter().all(|receipt| receipt.status()));
    assert_eq!(block.state.has_storage(&first_creation()), Some(false));
    assert_eq!(chain.slot(first_creation(), 9), U256::ZERO);
}

#[test]
fn calls_estimates_and_overrides_keep_the_rule() {
    let chain = chain(7);
    assert!(!chain.is_free(&CallOptions::default()));
    let (header, state) = (chain.store.head().header, chain.store.head_state().unwrap());
    let estimated =
        chain
            .executor
            .estimate_gas(&header, &state, &creation_request(), &Default::default());
    assert_eq!(estimated, Err(CallError::Failed(COLLISION.to_owned())));

    let bare = AccountOverride::default().with_state([]);
    assert!(chain.is_free(&overriding(first_creation(), bare)));
    let elsewhere = AccountOverride::default().with_state_diff([(SLOT, VALUE)]);
    assert!(!chain.is_free(&overriding(first_creation(), elsewhere.clone())));
    let richer = AccountOverride::default().with_balance(U256::from(8));
    assert!(!chain.is_free(&overriding(first_creation(), richer)));

    // The same where nothing stood before.
    let free = Chain::new(cpu_engine());
    assert!(free.is_free(&CallOptions::default()));
    assert!(!free.is_free(&overriding(first_creation(), elsewhere)));
    let set = AccountOverride::default().with_state([(SLOT, VALUE)]);
    assert!(!free.is_free(&overriding(first_creation(), set)));
}

#[test]
fn a_simulation_keeps_the_rule_over_its_blocks() {
    let chain = chain(7);
    let options = SimulateOptions {
        validation: false,
        trace_transfers: false,
        gas_cap: 50_000_000,
        time_limit: Duration::from_secs(60),
    };
    let gift = TransactionRequest {
        from: Some(chain.accounts[1].address),
        value: Some(U256::from(1)),
        ..TransactionRequest::default().to(first_creation())
    };
    // The sender's first transaction, again and again.
    let again = || {
        let sender = AccountOverride::default().with_nonce(0);
        StateOverride::from_iter([(chain.accounts[0].address, sender)])
    };
    let bare = || (first_creation(), AccountOverride::default().with_state([]));
    let block = |calls: Vec<TransactionRequest>, state_overrides| BlockCalls {
        calls,
        state_overrides: Some(state_overrides),
        ..BlockCalls::default()
    };
    let blocks = vec![
        block(vec![gift, creation_request()], again()),
        block(vec![creation_request()], again()),
        block(
            vec![creation_request()],
            again().into_iter().chain([bare()]).collect(),
        ),
    ];
    let tip = chain.store.tip().unwrap();
    let simulated = chain.executor.simulate(&tip, blocks, options).unwrap();
    let failures: Vec<Vec<_>> = simulated
        .iter()
        .map(|block| block.calls.iter().map(|call| call.outcome.failure()))
        .map(Iterator::collect)
        .collect();
    let collision = Some(COLLISION.to_owned());
    assert_eq!(
        failures,
        [vec![None, collision.clone()], vec![collision], vec![None]]
    );
}

#[test]
fn a_state_tells_what_has_storage() {
    let chain = chain(7);
    let state = chain.store.head_state().unwrap();
    for (address, has) in [
        (first_creation(), true),
        (FACTORY, false),
        (chain.accounts[0].address, false),
        (Address::ZERO, false),
    ] {
        assert_eq!(state.has_storage_ref(address).unwrap(), has, "{address}");
    }
}

/// What `code` notes under the slots 1 and 2, where the first address that it creates at is taken.
fn noted(code: Code) -> [U256; 2] {
    const PROBE: Address = Address::repeat_byte(0xfb);
    let taken = GenesisAccount::default().with_storage(Some([(SLOT, VALUE)].into()));
    let contract = GenesisAccount::default()
        .with_nonce(Some(1))
        .with_code(Some(
            code.push_address(PROBE.create(1)).op(&BALANCE_COST).bytes(),
        ));
    let mut chain = Chain::with_alloc(
        cpu_engine(),
        Default::default(),
        [(PROBE.create(1), taken), (PROBE, contract)],
    );
    let transaction = chain.accounts[1].dynamic(Intent::to_contract(PROBE, []).gas(9_000_000));
    let commit = chain.block(vec![transaction]).commit;
    assert!(commit.receipts[0].status());
    [1, 2].map(|slot| chain.slot(PROBE, slot))
}

/// Notes the gas that reading the balance of the address on the stack takes, under slot 2.
const BALANCE_COST: [u8; 10] = [
    op::GAS,
    op::SWAP1,
    op::BALANCE,
    op::POP,
    op::GAS,
    op::SWAP1,
    op::SUB,
    op::PUSH1,
    2,
    op::SSTORE,
];

/// Creates a contract with so much wei, and notes the gas that is left under slot 1.
fn creating(wei: u8) -> Code {
    Code::new()
        .op(&[op::PUSH0, op::PUSH0])
        .push(u64::from(wei))
        .op(&[op::CREATE, op::POP, op::GAS, op::PUSH1, 1, op::SSTORE])
}

#[test]
fn a_collision_takes_the_gas_and_leaves_the_address_warm() {
    let [left, balance] = noted(creating(0));
    assert!(left < U256::from(9_000_000 / 60), "{left}");
    let [_, cold] = noted(Code::new());
    assert_eq!(cold - balance, U256::from(2_600 - 100), "EIP-2929");
}

/// Who cannot pay for a creation is told so before anybody looks at the address.
#[test]
fn a_creation_without_the_wei_for_it_collides_with_nothing() {
    let [left, balance] = noted(creating(1));
    assert!(left > U256::from(8_000_000), "{left}");
    let [_, cold] = noted(Code::new());
    assert_eq!(balance, cold, "nor is the address warm");
}

#[test]
fn what_was_destroyed_has_no_storage_though_ether_comes_to_it_again() {
    let chain = chain(7);
    let mut state = chain.store.tip().unwrap().block_state();
    let address = first_creation();
    let mut commit = |wei: u64, destroyed: bool| {
        let info = AccountInfo::from_balance(U256::from(wei));
        let mut account = revm::state::Account::from(info);
        account.mark_touch();
        if destroyed {
            account.mark_selfdestruct();
        }
        state.commit([(address, account)].into_iter().collect());
        state.has_storage(address).unwrap()
    };
    assert!(commit(8, false));
    assert!(!commit(0, true));
    assert!(!commit(9, false));
}
