//! Any bytes as a transaction: nothing panics, what is one has no other encoding, and its sender
//! is found or refused.
#![no_main]

use alloy_eips::Encodable2718 as _;
use libfuzzer_sys::fuzz_target;
use pars_evm::{decode_transaction, recover_senders};

fuzz_target!(|data: &[u8]| {
    let Ok(transaction) = decode_transaction(data) else {
        return;
    };
    assert_eq!(transaction.encoded_2718(), data);
    let alone = recover_senders(std::slice::from_ref(&transaction));
    let pair = recover_senders(&[transaction.clone(), transaction]);
    match (alone, pair) {
        (Ok(alone), Ok(pair)) => assert_eq!([alone[0]; 2], pair[..]),
        (Err(_), Err(_)) => {}
        (alone, pair) => panic!("{alone:?} alone, {pair:?} as two"),
    }
});
