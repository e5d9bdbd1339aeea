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

fuzz_target!(|data: (u8, u32, Vec<u8>)| {
    let (flags, gas_limit, mut input) = data;
    // Mostly calldata that reaches a function.
    if let (Some(function), Some(start)) = (
        FUNCTIONS.get(usize::from(flags >> 4)),
        input.first_chunk_mut::<4>(),
    ) {
        *start = function.selector;
    }
    let call = Call {
        input: &input,
        gas_limit: u64::from(gas_limit),
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
    if contract
        .functions()
        .iter()
        .any(|f| input.starts_with(&f.selector))
        && !input.starts_with(&[0x01, 0x37])
    {
        contract.run(&rich, &mut Still, &collector);
        let foreseen = contract.questions(&input);
        assert!(collector.take().starts_with(&foreseen));
    }
});
