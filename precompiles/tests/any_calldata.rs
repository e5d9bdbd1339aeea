//! Whatever the calldata: no panic, no gas beyond the limit, the same outcome twice, no question that a run does not ask.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use alloy_sol_types::SolCall;
use common::{IMLDSA, call, mldsa, run, run_with};
use pars_kernels::mldsa::ParameterSet;
use pars_precompiles::{Call, Collector, MINIMUM_GAS, Outcome, mldsa::FUNCTIONS};
use proptest::prelude::*;

/// Calldata that begins with a selector of the contract and goes on at random, mostly in small words.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => (0u64..400).prop_map(|value| {
            let mut word = [0; 32];
            word[24..].copy_from_slice(&value.to_be_bytes());
            word.to_vec()
        }),
        1 => prop::collection::vec(any::<u8>(), 32),
    ];
    let selector = prop_oneof![
        9 => prop::sample::select(FUNCTIONS).prop_map(|function| function.selector),
        1 => any::<[u8; 4]>(),
    ];
    (
        selector,
        prop::collection::vec(word, 0..20),
        prop::collection::vec(any::<u8>(), 0..40),
    )
        .prop_map(|(selector, words, rest)| [selector.to_vec(), words.concat(), rest].concat())
}

/// Bytes of a length that is mostly `len`, sometimes one that fits something else or nothing.
fn bytes(len: usize) -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![
        4 => Just(len),
        1 => prop::sample::select(vec![
            0, 1, 31, 32, 33, 255, 256, 1312, 1952, 2592, 2560, 4032, 4896, 2420, 3309, 4627,
        ]),
    ];
    // Small values make coefficients of secret keys that are in range.
    (len, prop_oneof![any::<u8>(), Just(0)]).prop_map(|(len, byte)| vec![byte; len])
}

/// Well-formed calls with keys and signatures that mostly have the lengths of one set.
fn well_formed() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(ParameterSet::ALL.to_vec()).prop_flat_map(|set| {
        let mode = prop_oneof![4 => Just(set.mode()), 1 => any::<u8>()];
        let (pk, sk, sig) = (
            bytes(set.public_key_len()),
            bytes(set.secret_key_len()),
            bytes(set.signature_len()),
        );
        (
            0..7,
            mode,
            any::<[u8; 32]>(),
            pk,
            sk,
            sig,
            bytes(100),
            bytes(20),
        )
            .prop_map(|(function, mode, xi, pk, sk, sig, message, context)| {
                let (pk, sk, sig) = (pk.into(), sk.into(), sig.into());
                let (message, context) = (message.into(), context.into());
                match function {
                    0 => IMLDSA::keyGenCall { mode }.abi_encode(),
                    1 => IMLDSA::keyGenFromSeedCall {
                        mode,
                        xi: xi.into(),
                    }
                    .abi_encode(),
                    2 => IMLDSA::signCall { sk, message }.abi_encode(),
                    3 => IMLDSA::signWithContextCall {
                        sk,
                        message,
                        context,
                    }
                    .abi_encode(),
                    4 => IMLDSA::verifyCall { pk, message, sig }.abi_encode(),
                    5 => IMLDSA::verifyWithContextCall {
                        pk,
                        message,
                        context,
                        sig,
                    }
                    .abi_encode(),
                    _ => IMLDSA::verifyBatchCall {
                        pks: vec![pk.clone(), pk],
                        messages: vec![message, context],
                        sigs: vec![sig.clone(), sig],
                    }
                    .abi_encode(),
                }
            })
    })
}

fn check(input: &[u8], gas_limit: u64, flags: u8) -> Result<(), TestCaseError> {
    let call = Call {
        gas_limit,
        is_static: flags & 1 != 0,
        is_direct: flags & 2 == 0,
        value_nonzero: flags & 12 == 12,
        ..call(input)
    };
    let outcome = run(&call);
    prop_assert_eq!(&run(&call), &outcome);
    match &outcome {
        Outcome::Return { gas_used, .. } | Outcome::Revert { gas_used, .. } => {
            prop_assert!(*gas_used <= gas_limit && *gas_used >= MINIMUM_GAS);
        }
        Outcome::OutOfGas => {}
        Outcome::Halt { reason } => prop_assert!(false, "halted: {}", reason),
    }
    if let Outcome::Revert { output, .. } = &outcome {
        prop_assert!(pars_precompiles::error_signature(output).is_some());
    }
    // The questions foreseen are those that a run with gas enough asks, in its order.
    let collector = Collector::new(64 << 20);
    let collected = run_with(
        &Call {
            value_nonzero: false,
            gas_limit: 30_000_000,
            ..call
        },
        &collector,
    );
    let halted = matches!(collected, Outcome::Halt { .. });
    prop_assert!(!halted);
    prop_assert_eq!(collector.take(), mldsa().questions(input));
    Ok(())
}

/// A limit that is far too low, near some price, or plenty.
fn gas() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..200, 5_000u64..30_000, Just(1_000_000)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_words(input in words(), gas_limit in gas(), flags: u8) {
        check(&input, gas_limit, flags)?;
    }

    #[test]
    fn random_bytes(input in prop::collection::vec(any::<u8>(), 0..300), gas_limit in gas(), flags: u8) {
        check(&input, gas_limit, flags)?;
    }

    #[test]
    fn lengths_that_matter(input in well_formed(), gas_limit in gas(), flags: u8) {
        check(&input, gas_limit, flags)?;
    }

    #[test]
    fn well_formed_then_changed(
        input in well_formed(),
        at in any::<prop::sample::Index>(),
        byte: u8,
        cut in any::<prop::sample::Index>(),
        gas_limit in gas(),
    ) {
        let mut changed = input.clone();
        *at.get_mut(&mut changed[..]) = byte;
        check(&changed, gas_limit, 0)?;
        changed.truncate(cut.index(input.len()));
        check(&changed, gas_limit, 0)?;
    }
}
