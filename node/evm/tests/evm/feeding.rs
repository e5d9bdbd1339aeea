//! Questions found early, answered as one batch, on every back end: the blocks are the same.

use alloy_primitives::{Address, Bytes, U256, address};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_sol_types::{SolCall as _, sol};
use pars_engine::{DeviceState, Engine, GpuPolicy, Routing};
use pars_evm::{CallOptions, CallOutcome, Executed, ExecutorConfig};
use pars_kernels::mldsa::{Representative, VerifyJob, known_answers};
use std::time::Duration;

use crate::{
    chain::{Chain, Intent, cpu_engine},
    contracts::{counter, forwarder, relay},
};

sol! {
    interface IMLDSA {
        function verify(bytes pk, bytes message, bytes sig) returns (bool);
        function verifyWithContext(bytes pk, bytes message, bytes context, bytes sig) returns (bool);
        function verifyBatch(bytes[] pks, bytes[] messages, bytes[] sigs) returns (bool[]);
        function keyGen(uint8 mode) returns (bytes pk, bytes sk);
    }
}

pub const MLDSA: Address = address!("0000000000000000000000000000000000000602");
const FORWARDER: Address = Address::repeat_byte(0xf0);
const RELAY: Address = Address::repeat_byte(0xf1);

fn chain(engine: Engine, feed_engine: bool) -> Chain {
    Chain::with(
        engine,
        ExecutorConfig {
            feed_engine,
            ..ExecutorConfig::default()
        },
        [
            (FORWARDER, forwarder(MLDSA).bytes()),
            (RELAY, relay(MLDSA).bytes()),
        ],
    )
}

/// Samples that fit one block twice, at some 0.2 M gas a call and 30 M gas a block.
const MOST_SAMPLES: usize = 72;

/// Public key, message, context, signature and verdict of known answers that were made by the
/// pure form of the standard, whose M′ is 0 ‖ |context| ‖ context ‖ message; of all parameter
/// sets, at most [`MOST_SAMPLES`].
pub fn samples() -> Vec<(Bytes, Bytes, Bytes, Bytes, bool)> {
    let parts = |job: &VerifyJob, verdict: bool| {
        let Representative::Formatted([0, length, rest @ ..]) = job.representative() else {
            return None;
        };
        let (context, message) = rest.split_at_checked(usize::from(*length))?;
        let bytes = Bytes::copy_from_slice;
        Some((
            bytes(job.public_key()),
            bytes(message),
            bytes(context),
            bytes(job.signature()),
            verdict,
        ))
    };
    let all: Vec<_> = known_answers()
        .iter()
        .filter_map(|(job, verdict)| parts(job, *verdict))
        .collect();
    // Evenly from the whole list, which is sorted by parameter set.
    let rank = |index: usize| index * MOST_SAMPLES / all.len().max(MOST_SAMPLES);
    let samples: Vec<_> = (0..all.len())
        .filter(|index| all.len() <= MOST_SAMPLES || rank(*index) != rank(index + 1))
        .map(|index| all[index].clone())
        .collect();
    assert!(samples.iter().any(|sample| sample.4) && samples.iter().any(|sample| !sample.4));
    samples
}

pub fn verify_call((pk, message, context, sig, _): &(Bytes, Bytes, Bytes, Bytes, bool)) -> Vec<u8> {
    let (pk, message, context, sig) = (pk.clone(), message.clone(), context.clone(), sig.clone());
    if context.is_empty() {
        IMLDSA::verifyCall { pk, message, sig }.abi_encode()
    } else {
        IMLDSA::verifyWithContextCall {
            pk,
            message,
            context,
            sig,
        }
        .abi_encode()
    }
}

/// Two blocks: each sample straight to the precompile and through a contract, then a batch call
/// with those that need no context. And how many questions each block asks.
fn blocks(chain: &mut Chain) -> [(Executed, usize); 2] {
    let samples = samples();
    let mut transactions = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        for (offset, to) in [MLDSA, FORWARDER].into_iter().enumerate() {
            let call = Intent::to_contract(to, verify_call(sample)).gas(600_000);
            transactions.push(chain.accounts[(index + offset) % 7].dynamic(call));
        }
    }
    let single = chain.block(transactions);
    assert_eq!(single.skipped, []);
    assert_eq!(single.commit.receipts.len(), 2 * samples.len());
    for (index, sample) in samples.iter().enumerate() {
        let receipt = &single.commit.receipts[2 * index + 1];
        assert!(receipt.status());
        assert_eq!(
            U256::from_be_slice(&receipt.logs()[0].data.data),
            U256::from(sample.4)
        );
    }
    let valid = samples.iter().filter(|sample| sample.4).count();
    assert_eq!(chain.slot(FORWARDER, 0), U256::from(valid));

    let batched: Vec<_> = samples
        .iter()
        .filter(|sample| sample.2.is_empty())
        .collect();
    let input = IMLDSA::verifyBatchCall {
        pks: batched.iter().map(|sample| sample.0.clone()).collect(),
        messages: batched.iter().map(|sample| sample.1.clone()).collect(),
        sigs: batched.iter().map(|sample| sample.3.clone()).collect(),
    };
    let call = Intent::to_contract(MLDSA, input.abi_encode()).gas(16_000_000);
    let transaction = chain.accounts[7].dynamic(call);
    let many = chain.block(vec![transaction]);
    assert!(many.commit.receipts[0].status());
    [(single, 2 * samples.len()), (many, batched.len())]
}

/// An engine that prefers an adapter, a software one too, and the adapter's name; `None` where
/// there is none.
fn device_engine() -> Option<(String, Engine)> {
    let engine = Engine::builder()
        .gpu(GpuPolicy::Any)
        .routing(Routing::PreferDevice)
        .gpu_timeout(Duration::from_secs(120))
        .build()
        .unwrap();
    engine.wait_ready(Duration::from_secs(240));
    let devices = engine.devices();
    let ready = devices
        .adapters
        .iter()
        .find(|adapter| matches!(adapter.state, DeviceState::Ready))?;
    Some((ready.adapter.to_string(), engine))
}

/// Answers given by anything but the CPU.
fn answered_by_devices(engine: &Engine) -> u64 {
    let stats = engine.stats();
    assert_eq!(stats.mismatches(), 0);
    stats
        .kernels
        .iter()
        .flat_map(|kernel| &kernel.backends)
        .filter(|backend| backend.backend != "cpu")
        .map(|backend| backend.answered)
        .sum()
}

#[test]
fn every_back_end_makes_the_same_blocks() {
    // One by one on the CPU, when it is asked.
    let mut alone = chain(cpu_engine(), false);
    let expected = blocks(&mut alone);
    for (executed, _) in &expected {
        assert_eq!((executed.questions, executed.batches), (0, 0));
    }
    let stats = alone.executor.stats();
    assert_eq!((stats.memo_hits, stats.batches), (0, 0));
    assert!(stats.memo_misses > 0);
    let usage = alone.executor.precompile_usage(&MLDSA);
    assert_eq!((usage.batched, usage.alone), (0, stats.memo_misses));
    let calls = usage.calls;
    assert!(calls > 0, "{usage:?}");

    let mut engines = vec![("CPU batch".to_owned(), cpu_engine())];
    match device_engine() {
        Some(named) => engines.push(named),
        None => println!("no adapter can be used here: the device batch is not compared"),
    }
    for (name, engine) in engines {
        println!("comparing {name}");
        let before = answered_by_devices(&engine);
        let mut fed = chain(engine.clone(), true);
        let mut asked = 0;
        for ((executed, questions), (expected, _)) in blocks(&mut fed).iter().zip(&expected) {
            assert_eq!(executed.commit.block, expected.commit.block, "{name}");
            assert_eq!(executed.commit.receipts, expected.commit.receipts, "{name}");
            assert_eq!(executed.questions, *questions, "{name}");
            asked += 2 * *questions as u64;
        }
        // Built and verified: both runs found every answer ready.
        let stats = fed.executor.stats();
        assert_eq!(
            (stats.memo_hits, stats.memo_misses),
            (asked, 0),
            "{name}: {stats:?}"
        );
        let usage = fed.executor.precompile_usage(&MLDSA);
        assert_eq!((usage.calls, usage.batched, usage.alone), (calls, asked, 0));
        assert_eq!(usage.batch_share(), Some(1.0));
        assert_eq!(stats.questions_static + stats.questions_speculative, asked);
        assert!(stats.questions_speculative > 0 && stats.speculative_gas > 0);
        // Nobody asks twice: not when verifying what was just built, nor for the second block.
        assert_eq!(
            (stats.batches, stats.largest_batch),
            (1, samples().len() as u64)
        );
        assert_eq!(stats.failed_batches, 0);
        if name != "CPU batch" {
            assert_eq!(
                answered_by_devices(&engine) - before,
                samples().len() as u64,
                "{name}"
            );
        }
    }
}

#[test]
fn an_engine_that_gives_no_answer_changes_no_block() {
    let expected = blocks(&mut chain(cpu_engine(), false));
    let engine = cpu_engine();
    engine.shutdown(Duration::from_secs(10));
    let mut cut_off = chain(engine, true);
    for ((executed, _), (expected, _)) in blocks(&mut cut_off).iter().zip(&expected) {
        assert_eq!(executed.commit.block, expected.commit.block);
    }
    let stats = cut_off.executor.stats();
    assert!(
        stats.failed_batches > 0 && stats.memo_hits == 0,
        "{stats:?}"
    );
}

#[test]
fn what_the_search_misses_is_answered_all_the_same() {
    let expected = blocks(&mut chain(cpu_engine(), false));
    // No gas for throw-away runs, and room for one question.
    let config = ExecutorConfig {
        speculative_gas_percent: 0,
        max_questions: 1,
        ..ExecutorConfig::default()
    };
    let mut limited = Chain::with(
        cpu_engine(),
        config,
        [
            (FORWARDER, forwarder(MLDSA).bytes()),
            (RELAY, relay(MLDSA).bytes()),
        ],
    );
    for ((executed, questions), (expected, _)) in blocks(&mut limited).iter().zip(&expected) {
        assert_eq!(executed.commit.block, expected.commit.block);
        assert_eq!(executed.questions, 1);
        assert!(*questions > 1);
    }
    assert!(limited.executor.stats().memo_misses > 0);
}

/// Contracts that ask nothing are looked at no more after a while; those that ask are, every time.
#[test]
fn contracts_that_never_ask_are_passed_over() {
    let counting = Address::repeat_byte(0xc1);
    let mut chain = Chain::with(
        cpu_engine(),
        ExecutorConfig::default(),
        [
            (FORWARDER, forwarder(MLDSA).bytes()),
            (counting, counter().bytes()),
        ],
    );
    let samples = samples();
    let mut asked = 0;
    for block in 0..2_u64 {
        let mut transactions = Vec::new();
        for (index, sample) in samples.iter().take(24).enumerate() {
            let account = &mut chain.accounts[index % 8];
            transactions.push(account.dynamic(Intent::to_contract(counting, [1])));
            let call = Intent::to_contract(FORWARDER, verify_call(sample)).gas(600_000);
            transactions.push(account.dynamic(call));
        }
        let executed = chain.block(transactions);
        assert_eq!(executed.skipped, []);
        // Built and verified.
        asked += 2 * 24;
        let stats = chain.executor.stats();
        assert_eq!(stats.questions_speculative, asked, "block {block}");
        assert_eq!(stats.memo_misses, 0);
        let passed = if block == 0 { 32 } else { 79 };
        assert_eq!(stats.passed_over, passed, "block {block}");
    }
    assert_eq!(chain.slot(counting, 0), U256::from(48));
}

#[test]
fn calls_leave_the_memo_alone() {
    let mut chain = chain(cpu_engine(), true);
    let sample = samples().into_iter().find(|sample| sample.4).unwrap();
    for to in [MLDSA, FORWARDER] {
        let mut request = TransactionRequest {
            to: Some(to.into()),
            ..Default::default()
        };
        request.input.input = Some(verify_call(&sample).into());
        let header = chain.store.head().header;
        let state = || chain.store.head_state().unwrap();
        let options = CallOptions::default();
        let outcome = chain
            .executor
            .call(&header, state(), &request, &options)
            .unwrap();
        let CallOutcome::Success { output, .. } = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(U256::from_be_slice(&output), U256::from(1));
        let gas = chain
            .executor
            .estimate_gas(&header, state(), &request, &options)
            .unwrap();
        let stats = chain.executor.stats();
        assert_eq!(
            (stats.memo_hits, stats.memo_misses, stats.batches),
            (0, 0, 0)
        );
        // And the estimate is enough.
        let built = chain
            .executor
            .build(
                &chain.store,
                vec![{
                    let nonce = chain.accounts[0].nonce;
                    let transaction = chain.accounts[0]
                        .dynamic(Intent::to_contract(to, verify_call(&sample)).gas(gas));
                    chain.accounts[0].nonce = nonce;
                    transaction
                }],
                chain.attributes(),
            )
            .unwrap();
        assert!(built.commit.receipts[0].status());
        // A fresh executor for the next round, whose counters start at nothing.
        chain = self::chain(cpu_engine(), true);
    }
}

/// Keys made on chain are the same for everyone; those of a call straight to the precompile, where
/// it is allowed, are the caller's own.
#[test]
fn only_a_direct_call_draws_on_the_system() {
    let chain = chain(cpu_engine(), true);
    let key = |to: Address, off_chain_randomness: bool| {
        let mut request = TransactionRequest {
            to: Some(to.into()),
            ..Default::default()
        };
        request.input.input = Some(IMLDSA::keyGenCall { mode: 2 }.abi_encode().into());
        let options = CallOptions {
            off_chain_randomness,
            ..CallOptions::default()
        };
        let outcome = chain
            .executor
            .call(
                &chain.store.head().header,
                chain.store.head_state().unwrap(),
                &request,
                &options,
            )
            .unwrap();
        let CallOutcome::Success { output, .. } = outcome else {
            panic!("{outcome:?}")
        };
        let keys = IMLDSA::keyGenCall::abi_decode_returns(&output).unwrap();
        assert_eq!((keys.pk.len(), keys.sk.len()), (1_312, 2_560));
        keys.pk
    };
    assert_ne!(key(MLDSA, true), key(MLDSA, true));
    assert_eq!(key(MLDSA, false), key(MLDSA, false));
    assert_eq!(key(RELAY, true), key(RELAY, true));
    assert_eq!(key(RELAY, true), key(RELAY, false));

    let config = ExecutorConfig {
        precompile_os_randomness: false,
        ..ExecutorConfig::default()
    };
    let strict = Chain::with(cpu_engine(), config, []);
    let mut request = TransactionRequest {
        to: Some(MLDSA.into()),
        ..Default::default()
    };
    request.input.input = Some(IMLDSA::keyGenCall { mode: 2 }.abi_encode().into());
    let options = CallOptions {
        off_chain_randomness: true,
        ..CallOptions::default()
    };
    let call = || {
        let header = strict.store.head().header;
        strict.executor.call(
            &header,
            strict.store.head_state().unwrap(),
            &request,
            &options,
        )
    };
    assert_eq!(call(), call());
}
