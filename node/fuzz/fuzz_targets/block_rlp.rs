//! Any bytes as blocks in RLP: nothing panics, and what is a block has no other encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pars_evm::{decode_block, decode_block_from};

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while !rest.is_empty() {
        let before = rest;
        let Ok(block) = decode_block_from(&mut rest) else {
            return;
        };
        let bytes = &before[..before.len() - rest.len()];
        assert_eq!(alloy_rlp::encode(block.clone().into_consensus()), bytes);
        let again = decode_block(bytes).expect("a block on its own");
        assert_eq!(again.hash, block.hash);
    }
});
