//! Whether calldata decodes, against `alloy-sol-types`, for every function that checks a signature.
//!
//! The decoder itself is private; what it thinks of calldata shows in the refusal `InvalidEncoding()`, which is given
//! for nothing else.
#![no_main]

use alloy_sol_types::{
    SolType,
    sol_data::{Array, Bytes},
};
use libfuzzer_sys::fuzz_target;
use pars_precompiles::{Call, Collector, EntropyInputs, Host, Outcome, Refusal, Registry, short};

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

const VERIFY: [u8; 4] = [0xde, 0x8f, 0x50, 0xa1];
const VERIFY_BATCH: [u8; 4] = [0x10, 0x7f, 0x91, 0xa1];

fn decodes(selector: [u8; 4], arguments: &[u8]) -> (bool, Outcome) {
    let input = [&selector, arguments].concat();
    let call = Call {
        input: &input,
        gas_limit: 1 << 40,
        is_static: false,
        is_direct: true,
        value_nonzero: false,
        caller: [7; 20],
    };
    let registry = Registry::pars();
    let contract = registry
        .get(&short(0x0602))
        .expect("the contract is in the table");
    // A collector answers at once, so that decoding is all that takes time.
    let outcome = contract.run(&call, &mut Still, &Collector::new(0));
    let refused = matches!(&outcome, Outcome::Revert { output, .. } if *output == Refusal::InvalidEncoding.encode());
    (!refused, outcome)
}

fuzz_target!(|data: &[u8]| {
    let (ours, outcome) = decodes(VERIFY, data);
    let peer = <(Bytes, Bytes, Bytes)>::abi_decode_params(data).is_ok();
    assert_eq!(ours, peer, "{outcome:?}");
    let (ours, outcome) = decodes(VERIFY_BATCH, data);
    let peer = <(Array<Bytes>, Array<Bytes>, Array<Bytes>)>::abi_decode_params(data).is_ok();
    // A cap or a count that does not fit is refused before the elements are looked at.
    let early = matches!(&outcome, Outcome::Revert { output, .. } if *output != Refusal::InvalidEncoding.encode());
    assert!(ours == peer || early, "{outcome:?}");
});
