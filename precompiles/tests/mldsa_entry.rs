//! The contract's entry: selectors, gas to the unit, refusals, what state it keeps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use alloy_sol_types::{SolCall, SolError, private::U256};
use common::{IMLDSA, MLDSA, PLENTY, TestHost, call, mldsa, refused, returned, run};
use pars_kernels::mldsa::ParameterSet;
use pars_precompiles::{
    Call, Class, Contract, MINIMUM_GAS, Outcome, Registry, SecretOperations, Unanswered,
    mldsa::{FUNCTIONS, MAX_ATTEMPTS, MAX_BATCH, MAX_CONTEXT, prices},
    short,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Keys and a signature of one set.
struct Example {
    set: ParameterSet,
    pk: Vec<u8>,
    sk: Vec<u8>,
    message: Vec<u8>,
    sig: Vec<u8>,
}

fn example(set: ParameterSet) -> Example {
    let seed = IMLDSA::keyGenFromSeedCall {
        mode: set.mode(),
        xi: [set.mode(); 32].into(),
    };
    let keys =
        IMLDSA::keyGenFromSeedCall::abi_decode_returns(&returned(&seed.abi_encode()).0).unwrap();
    let message = b"forty bytes make two words of a message.".to_vec();
    let sign = IMLDSA::signCall {
        sk: keys.sk.clone(),
        message: message.clone().into(),
    };
    let sig = IMLDSA::signCall::abi_decode_returns(&returned(&sign.abi_encode()).0).unwrap();
    Example {
        set,
        pk: keys.pk.to_vec(),
        sk: keys.sk.to_vec(),
        message,
        sig: sig.to_vec(),
    }
}

impl Example {
    fn verify(&self) -> IMLDSA::verifyCall {
        IMLDSA::verifyCall {
            pk: self.pk.clone().into(),
            message: self.message.clone().into(),
            sig: self.sig.clone().into(),
        }
    }
}

fn batch(examples: &[&Example]) -> IMLDSA::verifyBatchCall {
    IMLDSA::verifyBatchCall {
        pks: examples.iter().map(|e| e.pk.clone().into()).collect(),
        messages: examples.iter().map(|e| e.message.clone().into()).collect(),
        sigs: examples.iter().map(|e| e.sig.clone().into()).collect(),
    }
}

/// One honest call of every function.
fn every_function() -> Vec<Vec<u8>> {
    let e = example(ParameterSet::MlDsa44);
    let context = b"context".to_vec();
    vec![
        IMLDSA::keyGenCall { mode: 2 }.abi_encode(),
        IMLDSA::keyGenFromSeedCall {
            mode: 2,
            xi: [7; 32].into(),
        }
        .abi_encode(),
        IMLDSA::signCall {
            sk: e.sk.clone().into(),
            message: e.message.clone().into(),
        }
        .abi_encode(),
        IMLDSA::signWithContextCall {
            sk: e.sk.clone().into(),
            message: e.message.clone().into(),
            context: context.clone().into(),
        }
        .abi_encode(),
        e.verify().abi_encode(),
        IMLDSA::verifyWithContextCall {
            pk: e.pk.clone().into(),
            message: e.message.clone().into(),
            context: context.into(),
            sig: e.sig.clone().into(),
        }
        .abi_encode(),
        batch(&[&e, &e]).abi_encode(),
    ]
}

#[test]
fn selectors_are_those_of_the_solidity_file_and_of_the_signatures() {
    let solidity = [
        (IMLDSA::keyGenCall::SIGNATURE, IMLDSA::keyGenCall::SELECTOR),
        (IMLDSA::signCall::SIGNATURE, IMLDSA::signCall::SELECTOR),
        (IMLDSA::verifyCall::SIGNATURE, IMLDSA::verifyCall::SELECTOR),
        (
            IMLDSA::keyGenFromSeedCall::SIGNATURE,
            IMLDSA::keyGenFromSeedCall::SELECTOR,
        ),
        (
            IMLDSA::signWithContextCall::SIGNATURE,
            IMLDSA::signWithContextCall::SELECTOR,
        ),
        (
            IMLDSA::verifyWithContextCall::SIGNATURE,
            IMLDSA::verifyWithContextCall::SELECTOR,
        ),
        (
            IMLDSA::verifyBatchCall::SIGNATURE,
            IMLDSA::verifyBatchCall::SELECTOR,
        ),
    ];
    assert_eq!(IMLDSA::IMLDSACalls::SELECTORS.len(), FUNCTIONS.len());
    for ((signature, selector), function) in solidity.into_iter().zip(FUNCTIONS) {
        assert_eq!(function.signature, signature);
        assert_eq!(function.selector, selector, "{signature}");
        let hash = alloy_sol_types::private::keccak256(signature);
        assert_eq!(function.selector, hash[..4], "{signature}");
    }
    // Every error of the file is one of the table, under the same selector.
    for selector in IMLDSA::IMLDSAErrors::SELECTORS {
        assert!(
            pars_precompiles::error_signature(selector).is_some(),
            "{selector:02x?}"
        );
    }
    assert_eq!(IMLDSA::SigningFailed::SELECTOR, [0x54, 0xad, 0xde, 0x78]);
}

#[test]
fn every_verdict_and_its_price() {
    for set in ParameterSet::ALL {
        let e = example(set);
        let price = prices(set).verify + 4 * 2;
        let ask = |verify: IMLDSA::verifyCall| {
            let (output, gas) = returned(&verify.abi_encode());
            assert_eq!(gas, price, "{set}");
            IMLDSA::verifyCall::abi_decode_returns(&output).unwrap()
        };
        assert!(ask(e.verify()));
        for at in [0, e.sig.len() / 2, e.sig.len() - 1] {
            let mut sig = e.sig.clone();
            sig[at] ^= 0x10;
            assert!(
                !ask(IMLDSA::verifyCall {
                    sig: sig.into(),
                    ..e.verify()
                }),
                "byte {at}"
            );
        }
        // Wrong lengths are the content of an untrusted party: false, and full gas.
        for len in [0, 1, e.sig.len() - 1, e.sig.len() + 1, 10_000] {
            let sig = vec![0x55; len].into();
            assert!(
                !ask(IMLDSA::verifyCall { sig, ..e.verify() }),
                "length {len}"
            );
        }
        // A key of the right length and any content is a key that verifies nothing.
        let pk = vec![0xff; e.pk.len()].into();
        assert!(!ask(IMLDSA::verifyCall { pk, ..e.verify() }));
        let message = b"forty bytes make two words of a massage.".to_vec().into();
        assert!(!ask(IMLDSA::verifyCall {
            message,
            ..e.verify()
        }));
    }
}

#[test]
fn keys_of_impossible_length_are_refused_with_the_closest_length() {
    let e = example(ParameterSet::MlDsa44);
    for (len, expected) in [
        (0, 1312),
        (1311, 1312),
        (1313, 1312),
        (1632, 1312),
        (1633, 1952),
        (2272, 1952),
        (2273, 2592),
        (2560, 2592),
        (100_000, 2592),
    ] {
        let arguments = IMLDSA::verifyCall {
            pk: vec![0; len].into(),
            ..e.verify()
        };
        let Outcome::Revert { gas_used, output } = run(&call(&arguments.abi_encode())) else {
            panic!("length {len}");
        };
        assert_eq!(gas_used, MINIMUM_GAS);
        let error = IMLDSA::InvalidLength::abi_decode(&output).unwrap();
        assert_eq!(
            (error.given, error.expected),
            (U256::from(len), U256::from(expected))
        );
    }
    for (len, expected) in [(0, 2560), (1312, 2560), (4031, 4032), (4897, 4896)] {
        let arguments = IMLDSA::signCall {
            sk: vec![0; len].into(),
            message: vec![].into(),
        };
        let Outcome::Revert { output, .. } = run(&call(&arguments.abi_encode())) else {
            panic!("length {len}");
        };
        let error = IMLDSA::InvalidLength::abi_decode(&output).unwrap();
        assert_eq!(
            (error.given, error.expected),
            (U256::from(len), U256::from(expected))
        );
    }
}

#[test]
fn batches() {
    let examples = ParameterSet::ALL.map(example);
    let mut forged = example(ParameterSet::MlDsa65);
    forged.sig[100] ^= 1;
    let mut short_sig = example(ParameterSet::MlDsa87);
    short_sig.sig.pop();
    let list: Vec<&Example> = examples.iter().chain([&forged, &short_sig]).collect();
    let expected = [true, true, true, false, false];
    let price: u64 = list.iter().map(|e| prices(e.set).verify + 8).sum();
    let (output, gas) = returned(&batch(&list).abi_encode());
    assert_eq!(
        IMLDSA::verifyBatchCall::abi_decode_returns(&output).unwrap(),
        expected
    );
    assert_eq!(gas, price);

    let (output, gas) = returned(&batch(&[]).abi_encode());
    assert_eq!(
        IMLDSA::verifyBatchCall::abi_decode_returns(&output).unwrap(),
        [false; 0]
    );
    assert_eq!(gas, MINIMUM_GAS);

    // A key of impossible length is the caller's mistake: the whole batch reverts.
    let mut bad = example(ParameterSet::MlDsa44);
    bad.pk.push(0);
    let calldata = batch(&[&examples[0], &bad]).abi_encode();
    assert_eq!(
        refused(&call(&calldata)),
        ("InvalidLength(uint256,uint256)", MINIMUM_GAS)
    );
    // As many of each.
    for leave_out in 0..3 {
        let mut arguments = batch(&[&examples[0], &examples[1]]);
        match leave_out {
            0 => arguments.pks.truncate(1),
            1 => arguments.messages.truncate(1),
            _ => arguments.sigs.truncate(1),
        }
        let calldata = arguments.abi_encode();
        assert_eq!(
            refused(&call(&calldata)),
            ("InvalidLength(uint256,uint256)", MINIMUM_GAS)
        );
    }
}

/// A `verifyBatch` whose elements all are one message, one key and one empty signature.
fn overlapping_batch(items: usize, message: usize) -> Vec<u8> {
    let word = |value: usize| U256::from(value).to_be_bytes::<32>();
    let array = 32 + 32 * items;
    let tails = 96 + 3 * array;
    let key_at = tails;
    let message_at = key_at + 32 + 1312;
    let mut data = vec![0x10, 0x7f, 0x91, 0xa1];
    for index in 0..3 {
        data.extend(word(96 + index * array));
    }
    for (index, target) in [key_at, message_at, message_at + 32 + message]
        .into_iter()
        .enumerate()
    {
        data.extend(word(items));
        // Offsets count from the first offset word.
        let base = 96 + index * array + 32;
        for _ in 0..items {
            data.extend(word(target - base));
        }
    }
    data.extend(word(1312));
    data.extend([0; 1312]);
    data.extend(word(message));
    data.extend(vec![0xaa; message]);
    data.extend(word(0));
    data
}

#[test]
fn caps() {
    let items = |count| overlapping_batch(count, 1);
    let (output, _) = returned(&items(MAX_BATCH));
    let verdicts = IMLDSA::verifyBatchCall::abi_decode_returns(&output).unwrap();
    assert_eq!(verdicts, [false; MAX_BATCH]);
    let limit = ("LimitExceeded(uint256,uint256)", MINIMUM_GAS);
    assert_eq!(refused(&call(&items(MAX_BATCH + 1))), limit);

    let e = example(ParameterSet::MlDsa44);
    let with_context = |len: usize| {
        IMLDSA::verifyWithContextCall {
            pk: e.pk.clone().into(),
            message: vec![].into(),
            context: vec![1; len].into(),
            sig: e.sig.clone().into(),
        }
        .abi_encode()
    };
    returned(&with_context(MAX_CONTEXT));
    assert_eq!(refused(&call(&with_context(MAX_CONTEXT + 1))), limit);
    let sign = IMLDSA::signWithContextCall {
        sk: e.sk.clone().into(),
        message: vec![].into(),
        context: vec![1; MAX_CONTEXT + 1].into(),
    };
    assert_eq!(refused(&call(&sign.abi_encode())), limit);
}

#[test]
fn overlapping_elements_are_paid_for_and_bounded() {
    // 256 items that share 100,000 bytes: each pays for all of them.
    let calldata = overlapping_batch(256, 100_000);
    let price = 256 * (6_300 + 4 * 3_125);
    let (_, gas) = returned(&calldata);
    assert_eq!(gas, price);
    let one_less = Call {
        gas_limit: price - 1,
        ..call(&calldata)
    };
    assert_eq!(run(&one_less), Outcome::OutOfGas);
    // 64 MiB of decoded bytes is the most one call may hold.
    let calldata = overlapping_batch(256, 262_144);
    assert_eq!(
        refused(&call(&calldata)),
        ("LimitExceeded(uint256,uint256)", MINIMUM_GAS)
    );
    // Nor do they make an early batch large.
    let calldata = overlapping_batch(256, 100_000);
    let questions = mldsa().questions(&calldata);
    let held: usize = questions.iter().map(|question| question.size()).sum();
    assert!(held <= 5 * calldata.len() + (64 << 10), "{held}");
}

#[test]
fn gas_is_exact_to_the_unit() {
    for calldata in every_function() {
        let Outcome::Return { gas_used, output } = run(&call(&calldata)) else {
            panic!("an honest call");
        };
        let exactly = Call {
            gas_limit: gas_used,
            ..call(&calldata)
        };
        assert_eq!(run(&exactly), Outcome::Return { gas_used, output });
        let one_less = Call {
            gas_limit: gas_used - 1,
            ..call(&calldata)
        };
        assert_eq!(run(&one_less), Outcome::OutOfGas);
    }
    // The minimum, for calls that are refused at once.
    let nothing = Call {
        gas_limit: MINIMUM_GAS,
        ..call(&[])
    };
    assert_eq!(refused(&nothing), ("InvalidSelector()", MINIMUM_GAS));
    let less = Call {
        gas_limit: MINIMUM_GAS - 1,
        ..call(&[])
    };
    assert_eq!(run(&less), Outcome::OutOfGas);
}

#[test]
fn signing_stops_at_the_attempt_that_cannot_be_paid() {
    for set in ParameterSet::ALL {
        let e = example(set);
        let prices = prices(set);
        // A message whose signature takes several attempts.
        let (message, attempts) = (0u8..)
            .map(|i| vec![i; 33])
            .find_map(|message| {
                let arguments = IMLDSA::signCall {
                    sk: e.sk.clone().into(),
                    message: message.clone().into(),
                };
                let (_, gas) = returned(&arguments.abi_encode());
                let attempts = (gas - prices.sign - 8) / prices.attempt;
                (attempts > 4).then_some((message, attempts))
            })
            .unwrap();
        let calldata = IMLDSA::signCall {
            sk: e.sk.into(),
            message: message.into(),
        }
        .abi_encode();
        for paid in 0..attempts {
            let gas_limit = prices.sign + 8 + (paid + 1) * prices.attempt - 1;
            assert_eq!(
                run(&Call {
                    gas_limit,
                    ..call(&calldata)
                }),
                Outcome::OutOfGas
            );
        }
        let gas_limit = prices.sign + 8 + attempts * prices.attempt;
        let outcome = run(&Call {
            gas_limit,
            ..call(&calldata)
        });
        assert_eq!(outcome.gas_used(gas_limit), gas_limit);
        assert!(matches!(outcome, Outcome::Return { .. }));
    }
}

#[test]
fn crafted_keys_cannot_sign_without_end() {
    let e = example(ParameterSet::MlDsa44);
    // t0 with the largest coefficients and random signs asks for more hints than a signature holds.
    let mut sk = e.sk.clone();
    let mut rng = StdRng::seed_from_u64(3);
    let t0 = sk.len() - 4 * 416;
    for bytes in sk[t0..].chunks_exact_mut(13) {
        let signs = rng.next_u32();
        let word = (0..8).fold(0u128, |word, i| {
            word | ((u128::from(signs >> i & 1) * 0x1fff) << (13 * i))
        });
        bytes.copy_from_slice(&word.to_le_bytes()[..13]);
    }
    let calldata = IMLDSA::signCall {
        sk: sk.into(),
        message: vec![].into(),
    }
    .abi_encode();
    let price = 5_000 + u64::from(MAX_ATTEMPTS) * 5_800;
    assert_eq!(refused(&call(&calldata)), ("SigningFailed()", price));
    let poor = Call {
        gas_limit: 50_000,
        ..call(&calldata)
    };
    assert_eq!(run(&poor), Outcome::OutOfGas);

    // s1 out of range would make the library panic; it never sees such a key.
    let mut sk = e.sk;
    sk[128] |= 7;
    let calldata = IMLDSA::signCall {
        sk: sk.into(),
        message: vec![].into(),
    }
    .abi_encode();
    assert_eq!(refused(&call(&calldata)), ("InvalidKey()", 5_000));
}

#[test]
fn a_doctored_tr_signs_what_does_not_verify() {
    let e = example(ParameterSet::MlDsa65);
    let mut sk = e.sk.clone();
    sk[64] ^= 1;
    let arguments = IMLDSA::signCall {
        sk: sk.into(),
        message: e.message.clone().into(),
    };
    let sig = IMLDSA::signCall::abi_decode_returns(&returned(&arguments.abi_encode()).0).unwrap();
    assert_eq!(sig.len(), 3309);
    let verify = IMLDSA::verifyCall { sig, ..e.verify() };
    let valid = IMLDSA::verifyCall::abi_decode_returns(&returned(&verify.abi_encode()).0).unwrap();
    assert!(!valid);
}

#[test]
fn refusals_common_to_all_functions() {
    for calldata in every_function() {
        let paid = Call {
            value_nonzero: true,
            ..call(&calldata)
        };
        assert_eq!(refused(&paid), ("NotPayable()", MINIMUM_GAS));
        for cut in [4, 35, 67] {
            let short = call(&calldata[..cut.min(calldata.len() - 1)]);
            assert_eq!(
                refused(&short),
                ("InvalidEncoding()", MINIMUM_GAS),
                "cut at {cut}"
            );
        }
        let mut unknown = calldata.clone();
        unknown[3] ^= 1;
        assert_eq!(refused(&call(&unknown)), ("InvalidSelector()", MINIMUM_GAS));
        // Bytes after the arguments change nothing but the entropy of keyGen.
        let mut trailing = calldata.clone();
        trailing.extend([0xee; 45]);
        if calldata[..4] != IMLDSA::keyGenCall::SELECTOR {
            assert_eq!(run(&call(&trailing)), run(&call(&calldata)));
        }
    }
    for input in [&[][..], &[0xde], &[0xde, 0x8f, 0x50]] {
        assert_eq!(refused(&call(input)), ("InvalidSelector()", MINIMUM_GAS));
    }
    for mode in [0, 1, 4, 6, 255] {
        let seeded = IMLDSA::keyGenFromSeedCall {
            mode,
            xi: [0; 32].into(),
        }
        .abi_encode();
        for calldata in [IMLDSA::keyGenCall { mode }.abi_encode(), seeded] {
            let Outcome::Revert { output, .. } = run(&call(&calldata)) else {
                panic!("mode {mode}");
            };
            assert_eq!(
                IMLDSA::InvalidParameterSet::abi_decode(&output)
                    .unwrap()
                    .mode,
                mode
            );
        }
    }
    // A mode with dirty high bits does not decode.
    let mut dirty = IMLDSA::keyGenCall { mode: 2 }.abi_encode();
    dirty[4] = 1;
    assert_eq!(refused(&call(&dirty)), ("InvalidEncoding()", MINIMUM_GAS));
}

#[test]
fn only_key_generation_refuses_a_foreign_frame() {
    for calldata in every_function() {
        let foreign = Call {
            is_direct: false,
            ..call(&calldata)
        };
        let still = Call {
            is_static: true,
            ..call(&calldata)
        };
        if calldata[..4] == IMLDSA::keyGenCall::SELECTOR {
            assert_eq!(refused(&foreign), ("DelegateCallNotAllowed()", MINIMUM_GAS));
        } else {
            assert_eq!(run(&foreign), run(&call(&calldata)));
        }
        assert_eq!(run(&still), run(&call(&calldata)));
    }
}

#[test]
fn key_generation_draws_anew_each_time() {
    let contract = mldsa();
    let calldata = IMLDSA::keyGenCall { mode: 3 }.abi_encode();
    let mut host = TestHost::default();
    let first = contract.run(&call(&calldata), &mut host, &Unanswered);
    let second = contract.run(&call(&calldata), &mut host, &Unanswered);
    assert_ne!(first, second);
    assert_eq!(host.counter, 2);
    // The same block again gives the same bytes.
    let mut again = TestHost::default();
    assert_eq!(
        contract.run(&call(&calldata), &mut again, &Unanswered),
        first
    );
    assert_eq!(
        contract.run(&call(&calldata), &mut again, &Unanswered),
        second
    );
    // A static frame reads the counter and leaves it.
    let still = Call {
        is_static: true,
        ..call(&calldata)
    };
    contract.run(&still, &mut again, &Unanswered);
    assert_eq!(again.counter, 2);
    // A call that is refused or cannot pay draws nothing.
    let poor = Call {
        gas_limit: 13_799,
        ..call(&calldata)
    };
    assert_eq!(
        contract.run(&poor, &mut again, &Unanswered),
        Outcome::OutOfGas
    );
    assert_eq!(again.counter, 2);
}

#[test]
fn keys_that_are_made_sign() {
    for mode in [2, 3, 5] {
        let (output, _) = returned(&IMLDSA::keyGenCall { mode }.abi_encode());
        let keys = IMLDSA::keyGenCall::abi_decode_returns(&output).unwrap();
        let sign = IMLDSA::signCall {
            sk: keys.sk,
            message: b"m".to_vec().into(),
        };
        let sig = IMLDSA::signCall::abi_decode_returns(&returned(&sign.abi_encode()).0).unwrap();
        let verify = IMLDSA::verifyCall {
            pk: keys.pk,
            message: b"m".to_vec().into(),
            sig,
        };
        let (output, _) = returned(&verify.abi_encode());
        assert!(IMLDSA::verifyCall::abi_decode_returns(&output).unwrap());
    }
}

#[test]
fn off_chain_keys_come_from_the_operating_system() {
    let contract = mldsa();
    let calldata = IMLDSA::keyGenCall { mode: 2 }.abi_encode();
    let mut host = TestHost {
        os_rng: true,
        ..TestHost::default()
    };
    let first = contract.run(&call(&calldata), &mut host, &Unanswered);
    let second = contract.run(&call(&calldata), &mut host, &Unanswered);
    assert_ne!(first, second);
    assert_eq!((host.os_draws, host.counter), (2, 0));
    // No entropy is no key, never a key that others can compute.
    host.os_fails = true;
    assert!(matches!(
        contract.run(&call(&calldata), &mut host, &Unanswered),
        Outcome::Halt { .. }
    ));
}

#[test]
fn secret_operations_can_be_switched_off() {
    let registry = Registry::pars().with_secret_operations(SecretOperations::Revert);
    let contract = registry.get(&MLDSA).unwrap();
    for calldata in every_function() {
        let selector = *calldata.first_chunk::<4>().unwrap();
        let function = FUNCTIONS.iter().find(|f| f.selector == selector).unwrap();
        let mut host = TestHost::default();
        let outcome = contract.run(&call(&calldata), &mut host, &Unanswered);
        if function.class == Class::Verify {
            assert_eq!(outcome, run(&call(&calldata)));
            continue;
        }
        let Outcome::Revert {
            gas_used: MINIMUM_GAS,
            output,
        } = outcome
        else {
            panic!("{outcome:?}");
        };
        let error = IMLDSA::SecretOperation::abi_decode(&output).unwrap();
        assert_eq!(error.selector.0, selector);
        // Off chain nothing becomes public, and the switch does not apply.
        host.os_rng = true;
        let outcome = contract.run(&call(&calldata), &mut host, &Unanswered);
        assert!(matches!(outcome, Outcome::Return { .. }));
    }
}

#[test]
fn a_moved_contract_works_and_draws_other_entropy() {
    struct Anywhere;
    impl pars_precompiles::Host for Anywhere {
        fn entropy_inputs(&self) -> pars_precompiles::EntropyInputs {
            Default::default()
        }
        fn counter(&mut self, _: &[u8; 20]) -> u64 {
            0
        }
        fn set_counter(&mut self, _: &[u8; 20], _: u64) {}
    }
    let calldata = IMLDSA::keyGenCall { mode: 2 }.abi_encode();
    let here = Registry::pars();
    let there = Registry::pars().moved(Contract::MlDsa, short(0x0601));
    let key = |registry: &Registry, at| {
        registry
            .get(&short(at))
            .unwrap()
            .run(&call(&calldata), &mut Anywhere, &Unanswered)
    };
    assert_ne!(key(&here, 0x0602), key(&there, 0x0601));
    assert_eq!(key(&here, 0x0602).gas_used(PLENTY), 8_600);
}
