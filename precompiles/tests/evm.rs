//! The contract inside revm: transactions straight to it and through contracts assembled by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use alloy_evm::{EthEvmFactory, Evm, EvmEnv, EvmFactory};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address};
use alloy_sol_types::SolCall;
use common::{IMLDSA, returned};
use pars_engine::{Engine, GpuPolicy};
use pars_precompiles::{
    Collector, MINIMUM_GAS, Memo, Registry,
    revm::{Mode, PrecompileContext, install},
    short,
};
use revm::{
    bytecode::Bytecode,
    context::{
        TxEnv,
        result::{ExecutionResult, ResultAndState},
    },
    database::InMemoryDB,
    primitives::hardfork::SpecId,
    state::AccountInfo,
};
use std::sync::Arc;

const MLDSA: Address = Address::new(short(0x0602));
const SENDER: Address = address!("0x5e4de20000000000000000000000000000000001");
const PROXY: Address = address!("0xc0de000000000000000000000000000000000001");

/// How a contract calls the precompile.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Call,
    StaticCall,
    DelegateCall,
    CallCode,
}

/// Hands its calldata to 0x0602, all gas and `value` wei with it, and returns a word (success) and what came back.
fn proxy(op: Op, value: u8) -> Vec<u8> {
    let mut code = copy_calldata();
    code.extend(call_precompile(op, value));
    code.extend([
        0x3d, 0x5f, 0x60, 0x20, 0x3e, // RETURNDATACOPY(32, 0, RETURNDATASIZE)
        0x5f, 0x52, // MSTORE(0, success)
        0x3d, 0x60, 0x20, 0x01, 0x5f, 0xf3, // RETURN(0, 32 + RETURNDATASIZE)
    ]);
    code
}

/// CALLDATACOPY(0, 0, CALLDATASIZE), at the start of a frame.
fn copy_calldata() -> Vec<u8> {
    vec![0x36, 0x3d, 0x3d, 0x37]
}

/// Calls 0x0602 with the bytes of memory that calldata was copied to; leaves success on the stack.
fn call_precompile(op: Op, value: u8) -> Vec<u8> {
    let mut code = vec![0x5f, 0x5f, 0x36, 0x5f]; // no output area; CALLDATASIZE bytes from 0
    if matches!(op, Op::Call | Op::CallCode) {
        code.extend([0x60, value]);
    }
    code.extend([0x61, 0x06, 0x02, 0x5a]); // PUSH2 0x0602, GAS
    code.push(match op {
        Op::Call => 0xf1,
        Op::CallCode => 0xf2,
        Op::DelegateCall => 0xf4,
        Op::StaticCall => 0xfa,
    });
    code
}

/// Calls itself first, and in that inner frame the precompile, which then ends in `end`; afterwards calls the
/// precompile and returns its output.
fn twice(end: u8) -> Vec<u8> {
    let mut outer = copy_calldata();
    outer.extend([0x33, 0x30, 0x14]); // CALLER == ADDRESS
    let jump = outer.len() + 1;
    outer.extend([0x60, 0x00, 0x57]); // JUMPI to the inner frame
    outer.extend([0x5f, 0x5f, 0x36, 0x5f, 0x5f, 0x30, 0x5a, 0xf1, 0x50]); // CALL(self), POP
    outer.extend(call_precompile(Op::Call, 0));
    outer.push(0x50);
    outer.extend([0x3d, 0x5f, 0x5f, 0x3e, 0x3d, 0x5f, 0xf3]); // RETURN its output
    outer[jump] = u8::try_from(outer.len()).unwrap();
    outer.push(0x5b);
    outer.extend(call_precompile(Op::Call, 0));
    outer.extend([0x50, 0x5f, 0x5f, end]); // POP, then RETURN(0, 0) or REVERT(0, 0)
    outer
}

const RETURN: u8 = 0xf3;
const REVERT: u8 = 0xfd;

/// Calls the precompile once and returns its output.
fn once() -> Vec<u8> {
    let mut code = copy_calldata();
    code.extend(call_precompile(Op::Call, 0));
    code.extend([0x50, 0x3d, 0x5f, 0x5f, 0x3e, 0x3d, 0x5f, 0xf3]);
    code
}

/// The gas that a STATICCALL of the precompile with empty calldata uses, as the EVM counts it.
fn meter() -> Vec<u8> {
    vec![
        0x5a, // GAS
        0x5f, 0x5f, 0x5f, 0x5f, 0x61, 0x06, 0x02, 0x5a, 0xfa, 0x50, // STATICCALL, POP
        0x5a, 0x90, 0x03, // GAS, SWAP1, SUB
        0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3,
    ]
}

fn context() -> PrecompileContext {
    PrecompileContext {
        memo: Arc::new(Memo::new(1 << 20)),
        chain_id: 6133,
        parent_hash: B256::repeat_byte(0x11),
        os_rng: false,
        mode: Mode::Execute,
    }
}

/// The accounts of genesis, the sender with money, and a contract.
fn state(code: Vec<u8>) -> InMemoryDB {
    let mut db = InMemoryDB::default();
    for row in Registry::pars().genesis() {
        let info = AccountInfo {
            nonce: row.nonce,
            ..AccountInfo::default()
        }
        .with_code(Bytecode::new_raw(row.code.into()));
        db.insert_account_info(row.address.into(), info);
    }
    let rich = AccountInfo {
        balance: U256::from(1_000_000),
        ..AccountInfo::default()
    };
    db.insert_account_info(SENDER, rich);
    let contract = AccountInfo {
        nonce: 1,
        balance: U256::from(9),
        ..AccountInfo::default()
    }
    .with_code(Bytecode::new_raw(code.into()));
    db.insert_account_info(PROXY, contract);
    db
}

fn transact(db: InMemoryDB, context: PrecompileContext, tx: TxEnv) -> ResultAndState {
    let mut env = EvmEnv::<SpecId>::default();
    env.cfg_env.chain_id = 6133;
    env.cfg_env.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
    env.block_env.number = U256::from(5);
    env.block_env.gas_limit = 30_000_000;
    env.block_env.prevrandao = Some(B256::repeat_byte(0x22));
    let mut evm = EthEvmFactory::default().create_evm(db, env);
    install(evm.precompiles_mut(), &Registry::pars(), context);
    evm.transact_raw(tx).expect("a transaction that can run")
}

fn tx(to: Address, data: Vec<u8>) -> TxEnv {
    TxEnv {
        caller: SENDER,
        gas_limit: 16_000_000,
        kind: TxKind::Call(to),
        data: data.into(),
        chain_id: Some(6133),
        ..TxEnv::default()
    }
}

fn output(result: ExecutionResult) -> Bytes {
    match result {
        ExecutionResult::Success { output, .. } => output.into_data(),
        other => panic!("{other:?}"),
    }
}

/// Whether the proxied call succeeded, and its output.
fn through(code: Vec<u8>, context: PrecompileContext, data: Vec<u8>) -> (bool, Bytes) {
    let result = transact(state(code), context, tx(PROXY, data)).result;
    let output = output(result);
    (output[31] == 1, output.slice(32..))
}

fn verify(valid: bool) -> Vec<u8> {
    let seed = IMLDSA::keyGenFromSeedCall {
        mode: 3,
        xi: [3; 32].into(),
    };
    let keys =
        IMLDSA::keyGenFromSeedCall::abi_decode_returns(&returned(&seed.abi_encode()).0).unwrap();
    let sign = IMLDSA::signCall {
        sk: keys.sk,
        message: b"in the EVM".to_vec().into(),
    };
    let sig = IMLDSA::signCall::abi_decode_returns(&returned(&sign.abi_encode()).0).unwrap();
    let mut sig = sig.to_vec();
    sig[1000] ^= u8::from(!valid);
    IMLDSA::verifyCall {
        pk: keys.pk,
        message: b"in the EVM".to_vec().into(),
        sig: sig.into(),
    }
    .abi_encode()
}

fn key_gen() -> Vec<u8> {
    IMLDSA::keyGenCall { mode: 2 }.abi_encode()
}

fn error(output: &[u8]) -> &'static str {
    pars_precompiles::error_signature(output).expect("a known error")
}

#[test]
fn verification_works_under_every_kind_of_call() {
    for valid in [true, false] {
        let expected = (true, Bytes::from(U256::from(valid).to_be_bytes_vec()));
        for op in [Op::Call, Op::StaticCall, Op::DelegateCall, Op::CallCode] {
            assert_eq!(
                through(proxy(op, 0), context(), verify(valid)),
                expected,
                "{op:?}"
            );
        }
        let direct = transact(state(vec![]), context(), tx(MLDSA, verify(valid))).result;
        assert_eq!(output(direct), expected.1);
    }
}

#[test]
fn key_generation_refuses_a_foreign_frame_and_works_in_a_static_one() {
    for op in [Op::DelegateCall, Op::CallCode] {
        let (success, output) = through(proxy(op, 0), context(), key_gen());
        assert_eq!(
            (success, error(&output)),
            (false, "DelegateCallNotAllowed()"),
            "{op:?}"
        );
    }
    for op in [Op::Call, Op::StaticCall] {
        let (success, output) = through(proxy(op, 0), context(), key_gen());
        let keys = IMLDSA::keyGenCall::abi_decode_returns(&output).unwrap();
        assert!(success, "{op:?}");
        assert_eq!((keys.pk.len(), keys.sk.len()), (1312, 2560));
    }
}

#[test]
fn the_counter_lives_in_transient_storage_and_goes_back_with_its_frame() {
    let run = |code| output(transact(state(code), context(), tx(PROXY, key_gen())).result);
    let once = run(once());
    assert_eq!(run(twice(REVERT)), once, "the reverted draw is undone");
    assert_ne!(run(twice(RETURN)), once, "the draw that stayed counts");
    // The next transaction starts from zero, and the block replayed gives the same bytes.
    assert_eq!(run(self::once()), once);
}

#[test]
fn entropy_takes_every_fact_from_the_transaction_and_the_block() {
    let direct = |context, change: &dyn Fn(&mut TxEnv)| {
        let mut tx = tx(MLDSA, key_gen());
        change(&mut tx);
        let mut db = state(vec![]);
        let nonce = AccountInfo {
            balance: U256::from(1),
            nonce: tx.nonce,
            ..AccountInfo::default()
        };
        db.insert_account_info(tx.caller, nonce);
        output(transact(db, context, tx).result)
    };
    let base = direct(context(), &|_| {});
    assert_eq!(direct(context(), &|_| {}), base);
    let parent = PrecompileContext {
        parent_hash: B256::ZERO,
        ..context()
    };
    assert_ne!(direct(parent, &|_| {}), base);
    let chain = PrecompileContext {
        chain_id: 6134,
        ..context()
    };
    assert_ne!(direct(chain, &|_| {}), base);
    assert_ne!(direct(context(), &|tx| tx.nonce = 1), base);
    assert_ne!(direct(context(), &|tx| tx.caller = PROXY.create(0)), base);
    // The same by hand, through the core.
    struct Facts;
    impl pars_precompiles::Host for Facts {
        fn entropy_inputs(&self) -> pars_precompiles::EntropyInputs {
            pars_precompiles::EntropyInputs {
                chain_id: 6133,
                parent_hash: [0x11; 32],
                number: 5,
                prevrandao: [0x22; 32],
                origin: SENDER.into_array(),
                origin_nonce: 0,
            }
        }
        fn counter(&mut self, _: &[u8; 20]) -> u64 {
            0
        }
        fn set_counter(&mut self, _: &[u8; 20], value: u64) {
            assert_eq!(value, 1);
        }
    }
    let calldata = key_gen();
    let call = pars_precompiles::Call {
        caller: SENDER.into_array(),
        ..common::call(&calldata)
    };
    let outcome = common::mldsa().run(&call, &mut Facts, &pars_precompiles::Unanswered);
    let expected = pars_precompiles::Outcome::Return {
        gas_used: 8_600,
        output: base.to_vec(),
    };
    assert_eq!(outcome, expected);
}

#[test]
fn the_operating_system_is_asked_in_direct_calls_only() {
    let off_chain = || PrecompileContext {
        os_rng: true,
        ..context()
    };
    let direct = |context| output(transact(state(vec![]), context, tx(MLDSA, key_gen())).result);
    assert_eq!(direct(context()), direct(context()));
    assert_ne!(direct(off_chain()), direct(off_chain()));
    // A contract that asks is answered as in a block.
    assert_eq!(
        through(proxy(Op::Call, 0), off_chain(), key_gen()),
        through(proxy(Op::Call, 0), context(), key_gen())
    );
}

#[test]
fn value_is_refused_and_stays_where_it_was() {
    let (success, output) = through(proxy(Op::Call, 1), context(), verify(true));
    assert_eq!((success, error(&output)), (false, "NotPayable()"));
    let paid = TxEnv {
        value: U256::from(1),
        ..tx(MLDSA, verify(true))
    };
    let result = transact(state(vec![]), context(), paid);
    let ExecutionResult::Revert { output, .. } = result.result else {
        panic!("{:?}", result.result);
    };
    assert_eq!(error(&output), "NotPayable()");
    assert!(
        result
            .state
            .get(&MLDSA)
            .is_none_or(|account| account.info.balance.is_zero())
    );
}

#[test]
fn the_address_is_warm_and_has_code() {
    let output = output(transact(state(meter()), context(), tx(PROXY, vec![])).result);
    let gas = U256::from_be_slice(&output);
    // 100 for the warm access, 100 for the refused call, and the pushes: GAS, four PUSH0, PUSH2, GAS, POP.
    let around = 2 + 4 * 2 + 3 + 2 + 2;
    assert_eq!(gas, U256::from(100 + MINIMUM_GAS + around));

    // EXTCODESIZE(0x0602)
    let size = vec![0x61, 0x06, 0x02, 0x3b, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3];
    let output = self::output(transact(state(size), context(), tx(PROXY, vec![])).result);
    assert_eq!(U256::from_be_slice(&output), U256::from(1));
}

#[test]
fn running_out_of_gas_takes_all_that_was_given() {
    // PUSH2 gas in place of GAS.
    let with_gas = |gas: u16| {
        let mut code = copy_calldata();
        code.extend([0x5f, 0x5f, 0x36, 0x5f, 0x61, 0x06, 0x02, 0x61]);
        code.extend(gas.to_be_bytes());
        code.push(0xfa);
        code.extend([
            0x3d, 0x5f, 0x60, 0x20, 0x3e, 0x5f, 0x52, 0x3d, 0x60, 0x20, 0x01, 0x5f, 0xf3,
        ]);
        code
    };
    let enough = through(with_gas(9_504), context(), verify(true));
    assert_eq!(enough, (true, Bytes::from(U256::from(1).to_be_bytes_vec())));
    assert_eq!(
        through(with_gas(9_503), context(), verify(true)),
        (false, Bytes::new())
    );
    // Key generation has little calldata, so its gas is not hidden under the floor price of data.
    let used = |gas| {
        transact(state(with_gas(gas)), context(), tx(PROXY, key_gen()))
            .result
            .tx_gas_used()
    };
    // With more than enough the rest comes back; short by one, all that was given is gone. What differs besides is
    // the output: 128 bytes of head and lengths and 3,904 of keys, to copy and to hold in memory.
    assert_eq!(used(20_000), used(8_600));
    assert!(used(8_599) + 1 < used(8_600));
    assert!(used(8_599) > 21_000 + 8_599);

    // Through a whole transaction: the estimate's boundary.
    let direct = |gas_limit| {
        transact(
            state(vec![]),
            context(),
            TxEnv {
                gas_limit,
                ..tx(MLDSA, key_gen())
            },
        )
        .result
    };
    let ExecutionResult::Success { .. } = direct(16_000_000) else {
        panic!();
    };
    let exact = direct(16_000_000).tx_gas_used();
    assert!(direct(exact).is_success());
    assert!(matches!(direct(exact - 1), ExecutionResult::Halt { .. }));
}

#[test]
fn a_speculative_run_gathers_what_contracts_ask() {
    let collector = Arc::new(Collector::new(1 << 20));
    let speculative = PrecompileContext {
        mode: Mode::Collect(Arc::clone(&collector)),
        ..context()
    };
    // An invalid signature is taken for valid, so that the run goes on.
    let (success, output) = through(proxy(Op::Call, 0), speculative, verify(false));
    assert_eq!(
        (success, U256::from_be_slice(&output)),
        (true, U256::from(1))
    );
    let questions = collector.take();
    assert_eq!(
        questions,
        Registry::pars().questions(&MLDSA.into_array(), &verify(false))
    );

    // Executed against the engine's answers: the truth, with the gas of a cold node.
    let engine = Engine::builder().gpu(GpuPolicy::Off).build().unwrap();
    let warm = context();
    warm.memo.answer(&engine, questions).unwrap();
    let memo = Arc::clone(&warm.memo);
    let run = |context| transact(state(proxy(Op::Call, 0)), context, tx(PROXY, verify(false)));
    assert_eq!(run(warm), run(context()));
    assert_eq!(memo.stats().hits, 1);
}
