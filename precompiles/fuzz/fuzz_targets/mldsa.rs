//! `IMLDSA` on arbitrary calldata: no panic, no halt, gas within the limit, the same outcome twice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pars_precompiles::{
    Call, Collector, EntropyInputs, Host, MINIMUM_GAS, Outcome, Registry, Unanswered,
    error_signature, mldsa::FUNCTIONS, short,
};

struct Still;

impl Host for Still {
    fn entropy_inputs(&self) -> EntropyInputs {
        EntropyInputs::default()
    }
    fn counter(&mut self, _: &[u8; 20]) -> u64 {
        0
    }
    fn set_counter(&mut self, _: &[u8; 20], _: u64) {}
}

/// Lengths that mean something: of keys, signatures, contexts, and some that fit nothing.
const LENGTHS: [usize; 16] = [
    0, 1, 32, 255, 256, 1312, 1952, 2592, 2560, 4032, 4896, 2420, 3309, 4627, 33, 100,
];

/// Arguments of four `bytes`, their lengths chosen and their contents repeated from `raw`.
fn shaped(raw: &[u8]) -> Vec<u8> {
    let word = |value: usize| {
        let mut word = [0; 32];
        word[24..].copy_from_slice(&(value as u64).to_be_bytes());
        word
    };
    let (choice, content) = raw.split_at(raw.len().min(4));
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    for (i, byte) in choice.iter().enumerate() {
        let len = LENGTHS[usize::from(byte & 15)];
        head.extend(word(choice.len() * 32 + tail.len()));
        tail.extend(word(len));
        // Each value starts elsewhere, or is zero all through.
        let zero = [0];
        let source = if byte & 16 == 0 && !content.is_empty() {
            content
        } else {
            &zero
        };
        tail.extend(source.iter().cycle().skip(i).take(len));
        tail.resize(tail.len().next_multiple_of(32), 0);
    }
    [head, tail].concat()
}

fuzz_target!(|data: (u8, u32, Vec<u8>)| {
    let (flags, gas_limit, raw) = data;
    // Mostly calldata that reaches a function, and often arguments that decode.
    let selector = FUNCTIONS.get(usize::from(flags >> 5)).map(|f| f.selector);
    let arguments = if flags & 16 == 0 { shaped(&raw) } else { raw };
    let input = [selector.map_or(Vec::new(), |s| s.to_vec()), arguments].concat();
    let call = Call {
        input: &input,
        // Enough for anything but a long row of attempts at a signature.
        gas_limit: u64::from(gas_limit % 200_000),
        is_static: flags & 1 != 0,
        is_direct: flags & 2 == 0,
        value_nonzero: flags & 12 == 12,
        caller: [7; 20],
    };
    let registry = Registry::pars();
    let contract = registry
        .get(&short(0x0602))
        .expect("the contract is in the table");
    let outcome = contract.run(&call, &mut Still, &Unanswered);
    assert_eq!(contract.run(&call, &mut Still, &Unanswered), outcome);
    match &outcome {
        Outcome::Return { gas_used, .. } => {
            assert!((MINIMUM_GAS..=call.gas_limit).contains(gas_used))
        }
        Outcome::Revert { gas_used, output } => {
            assert!((MINIMUM_GAS..=call.gas_limit).contains(gas_used));
            assert!(error_signature(output).is_some());
        }
        Outcome::OutOfGas => {}
        Outcome::Halt { reason } => panic!("{reason}"),
    }
    let collector = Collector::new(64 << 20);
    let rich = Call {
        gas_limit: 1 << 40,
        value_nonzero: false,
        ..call
    };
    let foreseen = contract.questions(&input);
    if !foreseen.is_empty() {
        contract.run(&rich, &mut Still, &collector);
        assert!(collector.take().starts_with(&foreseen));
    }
});
