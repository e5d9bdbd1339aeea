//! Calls, estimates, access lists.

use std::time::{Duration, Instant};

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_rpc_types_eth::{
    BlockOverrides, TransactionRequest,
    state::{AccountOverride, StateOverride},
};
use alloy_sol_types::{Panic, PanicKind, Revert, SolError as _};
use pars_evm::{CallError, CallOptions, CallOutcome};
use revm::bytecode::opcode as op;

use crate::{
    chain::{Account, Chain, ETHER, Intent, cpu_engine},
    contracts::{Code, counter, echo_revert, endless, must_call, writer},
};

const COUNTER: Address = Address::repeat_byte(0xc1);
const REVERTING: Address = Address::repeat_byte(0xc2);
const ENDLESS: Address = Address::repeat_byte(0xc3);
const WRITER: Address = Address::repeat_byte(0xc4);
const CALLS_WRITER: Address = Address::repeat_byte(0xc5);
const ENVIRONMENT: Address = Address::repeat_byte(0xc6);
const INVALID: Address = Address::repeat_byte(0xc7);

/// Returns base fee, gas limit, number, timestamp, coinbase, caller and gas price.
fn environment() -> Code {
    let mut code = Code::new();
    let opcodes = [
        op::BASEFEE,
        op::GASLIMIT,
        op::NUMBER,
        op::TIMESTAMP,
        op::COINBASE,
        op::CALLER,
        op::GASPRICE,
    ];
    for (index, opcode) in (0_u64..).zip(opcodes) {
        code = code.op(&[opcode]).push(index * 32).op(&[op::MSTORE]);
    }
    code.push(opcodes.len() * 32).op(&[op::PUSH0, op::RETURN])
}

fn chain() -> Chain {
    let chain = Chain::with(
        cpu_engine(),
        Default::default(),
        [
            (COUNTER, counter().bytes()),
            (REVERTING, echo_revert().bytes()),
            (ENDLESS, endless().bytes()),
            (WRITER, writer(20).bytes()),
            (CALLS_WRITER, must_call(WRITER).bytes()),
            (ENVIRONMENT, environment().bytes()),
            (INVALID, Code::new().op(&[op::INVALID]).bytes()),
        ],
    );
    chain.block(vec![]);
    chain
}

fn request(to: Address) -> TransactionRequest {
    TransactionRequest {
        to: Some(TxKind::Call(to)),
        ..Default::default()
    }
}

impl Chain {
    fn call(
        &self,
        request: &TransactionRequest,
        options: &CallOptions,
    ) -> Result<CallOutcome, CallError> {
        self.executor.call(
            &self.store.head().header,
            self.store.head_state().unwrap(),
            request,
            options,
        )
    }

    fn output(&self, request: &TransactionRequest, options: &CallOptions) -> Bytes {
        match self.call(request, options).unwrap() {
            CallOutcome::Success { output, .. } => output,
            other => panic!("{other:?}"),
        }
    }

    fn estimate(&self, request: &TransactionRequest) -> Result<u64, CallError> {
        self.estimate_with(request, &CallOptions::default())
    }

    fn estimate_with(
        &self,
        request: &TransactionRequest,
        options: &CallOptions,
    ) -> Result<u64, CallError> {
        self.executor.estimate_gas(
            &self.store.head().header,
            self.store.head_state().unwrap(),
            request,
            options,
        )
    }
}

fn words(bytes: &[u8]) -> Vec<U256> {
    bytes.chunks(32).map(U256::from_be_slice).collect()
}

#[test]
fn a_call_changes_nothing_and_may_come_from_anyone() {
    let chain = chain();
    for from in [
        None,
        Some(Address::repeat_byte(0x31)),
        Some(COUNTER),
        Some(chain.accounts[0].address),
    ] {
        let request = TransactionRequest {
            from,
            nonce: Some(77),
            ..request(COUNTER)
        };
        let outcome = chain.call(&request, &CallOptions::default()).unwrap();
        let CallOutcome::Success {
            output,
            gas_used,
            logs,
        } = outcome
        else {
            panic!()
        };
        assert_eq!(words(&output), [U256::from(1)]);
        assert_eq!(logs.len(), 1);
        assert!(gas_used > 21_000);
    }
    assert_eq!(chain.slot(COUNTER, 0), U256::ZERO);
}

#[test]
fn a_call_sees_its_block_and_overrides() {
    let chain = chain();
    let header = chain.store.head().header;
    let seen = words(&chain.output(&request(ENVIRONMENT), &CallOptions::default()));
    // Who names no fee sees no base fee.
    assert_eq!(seen[0], U256::ZERO);
    assert_eq!(seen[1], U256::from(header.gas_limit));
    assert_eq!(seen[2], U256::from(header.number));
    assert_eq!(seen[3], U256::from(header.timestamp));
    assert_eq!(Address::from_word(seen[4].into()), header.beneficiary);

    let funded = chain.accounts[0].address;
    let paying = TransactionRequest {
        from: Some(funded),
        gas_price: Some(2_000_000_000),
        ..request(ENVIRONMENT)
    };
    let seen = words(&chain.output(&paying, &CallOptions::default()));
    assert_eq!(seen[0], U256::from(header.base_fee_per_gas.unwrap()));
    assert_eq!(Address::from_word(seen[5].into()), funded);
    assert_eq!(seen[6], U256::from(2_000_000_000));

    let options = CallOptions {
        block_overrides: Some(Box::new(
            BlockOverrides::default()
                .with_number(U256::from(9_999))
                .with_time(5_000_000_000)
                .with_coinbase(Address::repeat_byte(0xab)),
        )),
        ..CallOptions::default()
    };
    let seen = words(&chain.output(&request(ENVIRONMENT), &options));
    assert_eq!(seen[2], U256::from(9_999));
    assert_eq!(seen[3], U256::from(5_000_000_000_u64));
    assert_eq!(
        Address::from_word(seen[4].into()),
        Address::repeat_byte(0xab)
    );

    // An account that is not there, with code, balance and storage of the caller's choosing.
    let made_up = Address::repeat_byte(0x55);
    let state = StateOverride::from_iter([(
        made_up,
        AccountOverride::default()
            .with_code(counter().bytes())
            .with_state_diff([(B256::ZERO, B256::from(U256::from(41)))]),
    )]);
    let options = CallOptions {
        state_overrides: Some(state),
        ..CallOptions::default()
    };
    assert_eq!(
        words(&chain.output(&request(made_up), &options)),
        [U256::from(42)]
    );
    assert_eq!(
        chain.output(&request(made_up), &CallOptions::default()),
        Bytes::new()
    );
}

#[test]
fn a_precompile_moves_where_the_overrides_say() {
    let chain = chain();
    let sha256 = Address::with_last_byte(2);
    let elsewhere = Address::repeat_byte(0x66);
    let moving = |from: Address| {
        let account = AccountOverride {
            move_precompile_to: Some(elsewhere),
            ..AccountOverride::default()
        };
        CallOptions {
            state_overrides: Some(StateOverride::from_iter([(from, account)])),
            ..CallOptions::default()
        }
    };
    let digest = chain.output(&request(sha256), &CallOptions::default());
    assert_eq!(digest.len(), 32);
    assert_eq!(chain.output(&request(elsewhere), &moving(sha256)), digest);
    let error = chain
        .call(&request(elsewhere), &moving(COUNTER))
        .unwrap_err();
    assert!(matches!(error, CallError::Overrides(_)), "{error:?}");
}

#[test]
fn a_call_works_on_old_states() {
    let mut chain = chain();
    for _ in 0..3 {
        let call = chain.accounts[0].dynamic(Intent::to_contract(COUNTER, []));
        assert!(chain.single(call));
    }
    for (back, expected) in [(0, 4), (1, 3), (2, 2), (3, 1)] {
        let number = chain.store.head().number - back;
        let header = chain.store.header(number).unwrap().unwrap();
        let state = chain.store.state(number).unwrap();
        let outcome = chain
            .executor
            .call(&header, state, &request(COUNTER), &CallOptions::default())
            .unwrap();
        let CallOutcome::Success { output, .. } = outcome else {
            panic!()
        };
        assert_eq!(words(&output), [U256::from(expected)]);
    }
}

#[test]
fn failures_keep_their_data_and_words() {
    let chain = chain();
    let error = Revert::from("too late").abi_encode();
    let panic = Panic::from(PanicKind::DivisionByZero).abi_encode();
    for (data, text) in [
        (error, "execution reverted: too late"),
        (panic, "execution reverted: division or modulo by zero"),
        (vec![0xde, 0xad, 0xbe, 0xef], "execution reverted"),
        (vec![], "execution reverted"),
    ] {
        let mut request = request(REVERTING);
        request.input.input = Some(data.clone().into());
        let outcome = chain.call(&request, &CallOptions::default()).unwrap();
        assert_eq!(outcome.failure().unwrap(), text);
        let CallOutcome::Revert { output, .. } = outcome else {
            panic!()
        };
        assert_eq!(output, data);
        let error = chain.estimate(&request).unwrap_err();
        assert_eq!(error, CallError::Reverted(data.into()));
        assert_eq!(error.to_string(), text);
    }
    let outcome = chain
        .call(&request(INVALID), &CallOptions::default())
        .unwrap();
    assert_eq!(outcome.failure().unwrap(), "invalid opcode: INVALID");
    assert_eq!(
        chain.estimate(&request(INVALID)).unwrap_err().to_string(),
        "invalid opcode: INVALID"
    );
    let outcome = chain
        .call(
            &TransactionRequest {
                gas: Some(100_000),
                ..request(ENDLESS)
            },
            &CallOptions::default(),
        )
        .unwrap();
    assert_eq!(outcome.failure().unwrap(), "out of gas");
    assert_eq!(outcome.gas_used(), 100_000);
}

#[test]
fn calls_are_bounded_in_gas_and_time() {
    let chain = chain();
    let options = CallOptions {
        gas_cap: 200_000,
        ..CallOptions::default()
    };
    let greedy = TransactionRequest {
        gas: Some(u64::MAX),
        ..request(ENDLESS)
    };
    assert_eq!(chain.call(&greedy, &options).unwrap().gas_used(), 200_000);
    // More than a transaction or block may have is fine for a call.
    let options = CallOptions {
        gas_cap: 40_000_000,
        // A busy machine in a development build must not decide this.
        time_limit: Duration::from_secs(60),
        ..CallOptions::default()
    };
    assert_eq!(
        chain.call(&greedy, &options).unwrap().gas_used(),
        40_000_000
    );

    let options = CallOptions {
        gas_cap: u64::MAX,
        time_limit: Duration::from_millis(50),
        ..CallOptions::default()
    };
    let started = Instant::now();
    let error = chain.call(&greedy, &options).unwrap_err();
    assert_eq!(error.to_string(), "execution aborted (timeout = 50ms)");
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn senders_must_have_what_they_send() {
    let chain = chain();
    let poor = Address::repeat_byte(0x31);
    let sending = TransactionRequest {
        from: Some(poor),
        value: Some(U256::from(1)),
        ..request(COUNTER)
    };
    for error in [
        chain.call(&sending, &CallOptions::default()).unwrap_err(),
        chain.estimate(&sending).unwrap_err(),
    ] {
        assert!(
            error
                .to_string()
                .starts_with("insufficient funds for gas * price + value"),
            "{error}"
        );
    }
    let both = TransactionRequest {
        gas_price: Some(1),
        max_fee_per_gas: Some(1),
        ..request(COUNTER)
    };
    let error = chain.call(&both, &CallOptions::default()).unwrap_err();
    assert!(matches!(error, CallError::Request(_)), "{error:?}");
    let cheap = TransactionRequest {
        max_fee_per_gas: Some(1),
        ..request(COUNTER)
    };
    let error = chain.call(&cheap, &CallOptions::default()).unwrap_err();
    assert!(
        error.to_string().contains("less than block base fee"),
        "{error}"
    );
    let blob = TransactionRequest {
        max_fee_per_blob_gas: Some(1),
        ..request(COUNTER)
    };
    let error = chain.call(&blob, &CallOptions::default()).unwrap_err();
    assert!(error.to_string().contains("no blobs"), "{error}");
    let foreign = TransactionRequest {
        chain_id: Some(1),
        ..request(COUNTER)
    };
    let error = chain.call(&foreign, &CallOptions::default()).unwrap_err();
    assert!(
        error.to_string().contains("chainId does not match"),
        "{error}"
    );
}

#[test]
fn a_plain_transfer_is_exactly_21000() {
    let chain = chain();
    let from = Some(chain.accounts[0].address);
    for value in [0, 1, ETHER] {
        let request = TransactionRequest {
            from,
            value: Some(U256::from(value)),
            ..request(Address::repeat_byte(0x78))
        };
        assert_eq!(chain.estimate(&request), Ok(21_000));
    }
}

/// With the estimate a transaction succeeds; with one less it does not.
#[test]
fn an_estimate_is_enough_and_least() {
    let mut chain = chain();
    let mut zeros = request(Address::repeat_byte(0x78));
    zeros.input.input = Some(vec![0xff; 1_000].into());
    let mut create = TransactionRequest {
        to: Some(TxKind::Create),
        ..Default::default()
    };
    create.input.input = Some(crate::contracts::deploy(&writer(5)));
    let cases = [
        // The calldata floor of EIP-7623 binds: 21,000 + 1,000 non-zero bytes at 40.
        (zeros, Some(61_000)),
        (request(COUNTER), None),
        (request(WRITER), None),
        // The inner call gets 63/64 of what is left.
        (request(CALLS_WRITER), None),
        (create, None),
    ];
    for (request, exact) in cases {
        let request = TransactionRequest {
            from: Some(chain.accounts[0].address),
            ..request
        };
        let estimate = chain.estimate(&request).unwrap();
        if let Some(exact) = exact {
            assert_eq!(estimate, exact);
        }
        let as_call = |gas| Intent {
            to: request.to.unwrap(),
            ..Intent::to_contract(
                Address::ZERO,
                request.input.input.clone().unwrap_or_default(),
            )
            .gas(gas)
        };
        let head = chain.store.head();
        // One less fails, or is not even a transaction.
        let mut account = Account::new(1);
        account.nonce = chain.accounts[0].nonce;
        let too_little = account.dynamic(as_call(estimate - 1));
        let built = chain
            .executor
            .build(&chain.store, vec![too_little], chain.attributes())
            .unwrap();
        let failed = built
            .commit
            .receipts
            .first()
            .is_none_or(|receipt| !alloy_consensus::TxReceipt::status(receipt));
        assert!(failed, "{estimate} is not the least for {request:?}");
        assert_eq!(chain.store.head(), head, "building changes nothing");
        let enough = chain.accounts[0].dynamic(as_call(estimate));
        assert!(
            chain.single(enough),
            "{estimate} is not enough for {request:?}"
        );
    }
}

#[test]
fn an_estimate_that_cannot_be_says_so() {
    let chain = chain();
    let error = chain.estimate(&request(ENDLESS)).unwrap_err();
    // Never more than a transaction may have.
    assert_eq!(
        error.to_string(),
        "gas required exceeds allowance (16777216)"
    );
    let asked = TransactionRequest {
        gas: Some(30_000),
        ..request(WRITER)
    };
    assert_eq!(
        chain.estimate(&asked).unwrap_err().to_string(),
        "gas required exceeds allowance (30000)"
    );
    let options = CallOptions {
        gas_cap: 40_000,
        ..CallOptions::default()
    };
    assert_eq!(
        chain
            .estimate_with(&request(WRITER), &options)
            .unwrap_err()
            .to_string(),
        "gas required exceeds allowance (40000)"
    );
    // A sender with 25,000 gas worth of balance.
    let poor = Address::repeat_byte(0x31);
    let state = StateOverride::from_iter([(
        poor,
        AccountOverride::default().with_balance(U256::from(25_000 * 2_000_000_000_u64)),
    )]);
    let options = CallOptions {
        state_overrides: Some(state),
        ..CallOptions::default()
    };
    let paying = TransactionRequest {
        from: Some(poor),
        gas_price: Some(2_000_000_000),
        ..request(WRITER)
    };
    assert_eq!(
        chain
            .estimate_with(&paying, &options)
            .unwrap_err()
            .to_string(),
        "gas required exceeds allowance (25000)"
    );
}

#[test]
fn an_access_list_names_what_is_touched() {
    let chain = chain();
    let header = chain.store.head().header;
    let list = |request: &TransactionRequest| {
        chain
            .executor
            .create_access_list(
                &header,
                chain.store.head_state().unwrap(),
                request,
                &CallOptions::default(),
            )
            .unwrap()
    };
    let own_slot = list(&request(COUNTER));
    assert_eq!(
        own_slot.access_list,
        AccessList(vec![AccessListItem {
            address: COUNTER,
            storage_keys: vec![B256::ZERO]
        }])
    );
    assert_eq!(own_slot.error, None);

    let nested = list(&request(CALLS_WRITER));
    let slots = (1..=20).map(|slot| B256::from(U256::from(slot))).collect();
    assert_eq!(
        nested.access_list,
        AccessList(vec![AccessListItem {
            address: WRITER,
            storage_keys: slots
        }])
    );
    // The gas is that of a call with the list.
    let with_list = TransactionRequest {
        access_list: Some(nested.access_list.clone()),
        ..request(CALLS_WRITER)
    };
    let outcome = chain.call(&with_list, &CallOptions::default()).unwrap();
    assert_eq!(outcome.gas_used(), nested.gas_used);

    let failed = list(&request(REVERTING));
    assert_eq!(failed.error.unwrap(), "execution reverted");
    assert_eq!(failed.access_list, AccessList::default());
}
