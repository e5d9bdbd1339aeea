//! Who answers a question never changes an outcome: nobody, a memo, an engine in batches of any size.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use alloy_sol_types::SolCall;
use common::{IMLDSA, call, mldsa, returned, run, run_with};
use pars_engine::{DeviceState, Engine, GpuPolicy, Routing};
use pars_kernels::mldsa::{ParameterSet, Representative, VerifyJob, known_answers};
use pars_precompiles::{Collector, Memo, Question};
use std::time::Duration;

fn cpu_engine(max_batch: usize) -> Engine {
    Engine::builder()
        .gpu(GpuPolicy::Off)
        .max_batch(max_batch)
        .build()
        .unwrap()
}

/// The known answers that a call of `verifyWithContext` can ask for: M' = 0x00, length, context, message.
fn pure_known_answers() -> Vec<(VerifyJob, Vec<u8>, bool)> {
    known_answers()
        .into_iter()
        .filter_map(|(job, valid)| {
            let Representative::Formatted([0, len, rest @ ..]) = job.representative() else {
                return None;
            };
            let (context, message) = rest.split_at_checked(usize::from(*len))?;
            let calldata = IMLDSA::verifyWithContextCall {
                pk: job.public_key().to_vec().into(),
                message: message.to_vec().into(),
                context: context.to_vec().into(),
                sig: job.signature().to_vec().into(),
            };
            Some((job.clone(), calldata.abi_encode(), valid))
        })
        .collect()
}

/// One batch with valid, invalid and malformed items of every set.
fn mixed_batch() -> (Vec<u8>, Vec<bool>) {
    let mut arguments = IMLDSA::verifyBatchCall {
        pks: vec![],
        messages: vec![],
        sigs: vec![],
    };
    let mut expected = Vec::new();
    for set in ParameterSet::ALL {
        let seed = IMLDSA::keyGenFromSeedCall {
            mode: set.mode(),
            xi: [3; 32].into(),
        };
        let keys = IMLDSA::keyGenFromSeedCall::abi_decode_returns(&returned(&seed.abi_encode()).0)
            .unwrap();
        let sign = IMLDSA::signCall {
            sk: keys.sk,
            message: b"mixed".to_vec().into(),
        };
        let sig = IMLDSA::signCall::abi_decode_returns(&returned(&sign.abi_encode()).0).unwrap();
        let mut forged = sig.to_vec();
        forged[0] ^= 1;
        let mut malformed = sig.to_vec();
        malformed[sig.len() - 1] = 0xff;
        for (sig, valid) in [
            (sig.to_vec(), true),
            (forged, false),
            (malformed, false),
            (vec![], false),
        ] {
            arguments.pks.push(keys.pk.clone());
            arguments.messages.push(b"mixed".to_vec().into());
            arguments.sigs.push(sig.into());
            expected.push(valid);
        }
    }
    (arguments.abi_encode(), expected)
}

#[test]
fn the_engine_and_its_absence_give_one_outcome() {
    let (batch, expected) = mixed_batch();
    let mut calls: Vec<Vec<u8>> = pure_known_answers()
        .into_iter()
        .map(|(_, calldata, _)| calldata)
        .collect();
    assert!(
        calls.len() >= 6,
        "the known answers cover the external interface"
    );
    calls.push(batch.clone());
    let cold: Vec<_> = calls.iter().map(|calldata| run(&call(calldata))).collect();
    let (output, _) = returned(&batch);
    assert_eq!(
        IMLDSA::verifyBatchCall::abi_decode_returns(&output).unwrap(),
        expected
    );

    // Software adapters too, and the device even where the CPU is quicker.
    let device = Engine::builder()
        .gpu(GpuPolicy::Any)
        .routing(Routing::PreferDevice)
        .build()
        .unwrap();
    device.wait_ready(Duration::from_secs(120));
    let adapters = device.devices().adapters;
    let in_use = adapters
        .iter()
        .any(|adapter| adapter.state == DeviceState::Ready);
    println!("adapters: {adapters:?}");
    for engine in [
        device.clone(),
        cpu_engine(1),
        cpu_engine(2),
        cpu_engine(1000),
        Engine::builder().build().unwrap(),
    ] {
        let memo = Memo::new(64 << 20);
        let contract = mldsa();
        let questions: Vec<_> = calls
            .iter()
            .flat_map(|calldata| contract.questions(calldata))
            .collect();
        let report = memo.answer(&engine, questions.clone()).unwrap();
        assert_eq!(report.asked, questions.len());
        assert_eq!(report.answered + report.repeated, questions.len());
        assert_eq!(report.known, 0);
        for (calldata, cold) in calls.iter().zip(&cold) {
            assert_eq!(run_with(&call(calldata), &memo), *cold);
        }
        let stats = memo.stats();
        assert_eq!(stats.misses, 0, "every question was foreseen");
        assert!(stats.hits >= questions.len() as u64);
        // Nothing is asked twice.
        let report = memo.answer(&engine, questions.clone()).unwrap();
        assert_eq!(report.known + report.repeated, questions.len());
        assert_eq!(report.answered, 0);
        assert_eq!(engine.stats().mismatches(), 0);
    }
    let stats = device.stats();
    let backends = &stats.kernel("mldsa/verify").unwrap().backends;
    let by_device: u64 = backends
        .iter()
        .skip(1)
        .map(|backend| backend.answered)
        .sum();
    assert_eq!(by_device > 0, in_use, "{backends:?}");
}

#[test]
fn a_memo_that_forgets_changes_nothing() {
    let engine = cpu_engine(64);
    let (batch, _) = mixed_batch();
    let cold = run(&call(&batch));
    let questions = mldsa().questions(&batch);
    let size: usize = questions.iter().map(Question::size).sum();
    for max_bytes in [0, 1, 10_000, size / 2, size] {
        let memo = Memo::new(max_bytes);
        let report = memo.answer(&engine, questions.clone()).unwrap();
        assert_eq!(report.answered + report.too_large, questions.len());
        assert_eq!(report.answered > 0, max_bytes >= 10_000);
        let stats = memo.stats();
        assert!(stats.bytes <= max_bytes, "{stats:?}");
        assert_eq!(run_with(&call(&batch), &memo), cold);
    }
}

#[test]
fn verdicts_are_the_known_ones() {
    for (job, calldata, valid) in pure_known_answers() {
        assert_eq!(mldsa().questions(&calldata), [Question::MlDsaVerify(job)]);
        let (output, _) = returned(&calldata);
        assert_eq!(
            IMLDSA::verifyWithContextCall::abi_decode_returns(&output).unwrap(),
            valid
        );
    }
}

#[test]
fn a_speculative_run_notes_what_it_asks_and_assumes_yes() {
    let (batch, expected) = mixed_batch();
    let collector = Collector::new(64 << 20);
    let outcome = run_with(&call(&batch), &collector);
    // What cannot be a question is still answered by itself: the three empty signatures.
    let assumed: Vec<bool> = (0..expected.len()).map(|i| i % 4 != 3).collect();
    let real = run(&call(&batch));
    assert_eq!(outcome.gas_used(0), real.gas_used(0));
    let pars_precompiles::Outcome::Return { output, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(
        IMLDSA::verifyBatchCall::abi_decode_returns(&output).unwrap(),
        assumed
    );
    let questions = collector.take();
    assert_eq!(questions, mldsa().questions(&batch));
    assert!(collector.take().is_empty());
    // A call that cannot pay asks nothing.
    let poor = pars_precompiles::Call {
        gas_limit: real.gas_used(0) - 1,
        ..call(&batch)
    };
    assert_eq!(
        run_with(&poor, &collector),
        pars_precompiles::Outcome::OutOfGas
    );
    assert!(collector.take().is_empty());
}

#[test]
fn a_full_collector_drops_and_counts() {
    let (batch, _) = mixed_batch();
    let collector = Collector::new(12_000);
    run_with(&call(&batch), &collector);
    let kept = collector.take();
    assert!(!kept.is_empty());
    assert_eq!(
        kept.len() + collector.dropped(),
        mldsa().questions(&batch).len()
    );
    collector.extend(mldsa().questions(&batch));
    assert_eq!(collector.take(), kept);
}

#[test]
fn a_memo_serves_many_threads() {
    let engine = cpu_engine(64);
    let (batch, _) = mixed_batch();
    let cold = run(&call(&batch));
    let memo = Memo::new(30_000);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    memo.answer(&engine, mldsa().questions(&batch)).unwrap();
                    assert_eq!(run_with(&call(&batch), &memo), cold);
                }
            });
        }
    });
    assert!(memo.stats().bytes <= 30_000);
}

#[test]
fn an_engine_that_stopped_is_an_error_and_no_answer() {
    let (batch, _) = mixed_batch();
    let engine = cpu_engine(64);
    assert!(engine.shutdown(std::time::Duration::from_secs(10)));
    let memo = Memo::new(1 << 20);
    assert!(memo.answer(&engine, mldsa().questions(&batch)).is_err());
    assert_eq!(memo.stats().entries, 0);
    assert_eq!(run_with(&call(&batch), &memo), run(&call(&batch)));
}
