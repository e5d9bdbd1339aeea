//! Transactions that a node must refuse, in the words that wallets and tools match on: geth's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEip4844, TxEip4844Variant, TxEnvelope, TxLegacy,
};
use alloy_eips::{eip2718::Encodable2718, eip2930::AccessList};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use pars_tests::{
    CHAIN_ID,
    node::{DevNode, data_dir},
    rpc::Rpc,
    wallet::{AMPLE_PRICE, GWEI, Signed, Wallet, transfer},
};
use serde_json::json;

const RECEIVER: Address = Address::repeat_byte(0xbe);

fn with_rpc(test: impl FnOnce(&mut Rpc)) {
    let data = data_dir();
    let mut node = DevNode::start(&data.path().join("node"));
    test(&mut node.rpc());
    node.assert_healthy();
}

/// Sends a transaction that must be refused with geth's code and these words.
fn refused(rpc: &mut Rpc, signed: &Signed, words: &str) {
    match rpc.send(&signed.raw) {
        Ok(hash) => panic!("{hash} was taken; it should have been refused with {words:?}"),
        Err(error) => {
            assert_eq!(error.code, -32000, "{error}");
            assert!(
                error.message.contains(words),
                "refused with {error}, not with {words:?}"
            );
        }
    }
}

#[test]
fn money_gas_and_fees() {
    with_rpc(|rpc| {
        let alice = Wallet::development(0);
        let poor = Wallet::new(B256::repeat_byte(0x42));
        refused(
            rpc,
            &poor.transfer(0, RECEIVER, 1),
            "insufficient funds for gas * price + value",
        );
        let balance = rpc.balance(alice.address, "latest");
        let all = alice.sign(TxEip1559 {
            value: balance,
            ..transfer(0, RECEIVER, 0)
        });
        refused(rpc, &all, "insufficient funds for gas * price + value");

        let thin = alice.sign(TxEip1559 {
            gas_limit: 20_999,
            ..transfer(0, RECEIVER, 1)
        });
        refused(rpc, &thin, "intrinsic gas too low");
        // Mostly data: EIP-7623 asks 40 gas for each byte, more than the 16 of execution.
        let data = TxEip1559 {
            input: vec![1; 1000].into(),
            gas_limit: 21_000 + 16_000,
            ..transfer(0, RECEIVER, 0)
        };
        refused(rpc, &alice.sign(data), "floor data gas");
        let endless = alice.sign(TxEip1559 {
            gas_limit: u64::MAX / 2,
            ..transfer(0, RECEIVER, 1)
        });
        match rpc.send(&endless.raw) {
            Ok(_) => panic!("more gas than a block has was taken"),
            Err(error) => assert!(
                error.message.contains("exceeds block gas limit")
                    || error.message.contains("transaction gas limit too high"),
                "{error}"
            ),
        }
        let upside_down = TxEip1559 {
            max_fee_per_gas: 30 * GWEI,
            max_priority_fee_per_gas: 40 * GWEI,
            ..transfer(0, RECEIVER, 1)
        };
        refused(
            rpc,
            &alice.sign(upside_down),
            "max priority fee per gas higher than max fee per gas",
        );
        assert_eq!(rpc.nonce(alice.address, "pending"), 0);
    });
}

#[test]
fn nonces_replacements_and_repeats() {
    with_rpc(|rpc| {
        let alice = Wallet::development(0);
        let first = alice.transfer(0, RECEIVER, 1);
        let hash = rpc.send(&first.raw).expect("the first transfer");
        assert_eq!(hash, first.hash);
        rpc.wait_for_receipt(hash);
        refused(rpc, &alice.transfer(0, RECEIVER, 2), "nonce too low");
        refused(rpc, &first, "nonce too low");

        // Nonce 2 waits for nonce 1.
        let waiting = alice.transfer(2, RECEIVER, 3);
        rpc.send(&waiting.raw)
            .expect("a transaction with a gap before it");
        refused(rpc, &waiting, "already known");
        refused(
            rpc,
            &alice.transfer(2, RECEIVER, 4),
            "replacement transaction underpriced",
        );
        let nearly = TxEip1559 {
            max_fee_per_gas: AMPLE_PRICE * 109 / 100,
            max_priority_fee_per_gas: 2 * GWEI * 109 / 100,
            ..transfer(2, RECEIVER, 4)
        };
        refused(
            rpc,
            &alice.sign(nearly),
            "replacement transaction underpriced",
        );
        let enough = TxEip1559 {
            max_fee_per_gas: AMPLE_PRICE * 110 / 100,
            max_priority_fee_per_gas: 2 * GWEI * 110 / 100,
            ..transfer(2, RECEIVER, 5)
        };
        let enough = rpc
            .send(&alice.sign(enough).raw)
            .expect("a replacement that pays ten per cent more");
        rpc.send(&alice.transfer(1, RECEIVER, 6).raw)
            .expect("the transfer that closes the gap");
        rpc.wait_for_receipt(enough);
        assert_eq!(rpc.receipt(waiting.hash), None);
        assert_eq!(rpc.balance(RECEIVER, "latest"), U256::from(1 + 5 + 6));
        assert_eq!(rpc.nonce(alice.address, "latest"), 3);
    });
}

#[test]
fn chains_signatures_and_shapes() {
    with_rpc(|rpc| {
        let alice = Wallet::development(0);
        let foreign = alice.sign(TxEip1559 {
            chain_id: 1,
            ..transfer(0, RECEIVER, 1)
        });
        refused(rpc, &foreign, "invalid chain id for signer");

        // s above half the order is refused since Homestead, and zero is no signature.
        let unsigned = transfer(0, RECEIVER, 1);
        let high_s = unsigned.into_signed(Signature::new(U256::from(1), U256::MAX >> 1, false));
        assert!(rpc.send(&TxEnvelope::from(high_s).encoded_2718()).is_err());
        let zero =
            transfer(0, RECEIVER, 1).into_signed(Signature::new(U256::ZERO, U256::ZERO, false));
        assert!(rpc.send(&TxEnvelope::from(zero).encoded_2718()).is_err());

        let whole = alice.transfer(0, RECEIVER, 1).raw;
        for cut in [0, 1, 2, whole.len() / 2, whole.len() - 1] {
            let error = rpc.send(&whole[..cut]).expect_err("half a transaction");
            assert!([-32000, -32602].contains(&error.code), "{error}");
        }
        let longer = [whole.as_slice(), &[0]].concat();
        rpc.send(&longer)
            .expect_err("a transaction with a byte after it");
        for kind in [0x05, 0x7e, 0x7f] {
            let mut other = whole.clone();
            other[0] = kind;
            let error = rpc
                .send(&other)
                .expect_err("a transaction of an unknown type");
            assert!([-32000, -32602].contains(&error.code), "{error}");
        }
        assert_eq!(rpc.nonce(alice.address, "pending"), 0);
    });
}

#[test]
fn blob_transactions_are_refused_clearly() {
    with_rpc(|rpc| {
        let blob = TxEip4844 {
            chain_id: CHAIN_ID,
            nonce: 0,
            gas_limit: 21_000,
            max_fee_per_gas: AMPLE_PRICE,
            max_priority_fee_per_gas: GWEI,
            to: RECEIVER,
            value: U256::ZERO,
            access_list: AccessList::default(),
            blob_versioned_hashes: vec![B256::repeat_byte(1)],
            max_fee_per_blob_gas: GWEI,
            input: Bytes::new(),
        };
        let signed =
            Wallet::development(0).sign::<TxEip4844Variant>(TxEip4844Variant::TxEip4844(blob));
        let error = rpc.send(&signed.raw).expect_err("a blob transaction");
        assert!(
            error.message.contains("blob")
                || error.message.contains("transaction type not supported"),
            "{error}"
        );
    });
}

#[test]
fn sizes() {
    with_rpc(|rpc| {
        let alice = Wallet::development(0);
        let huge = alice.call(0, RECEIVER, vec![0; 1 << 20].into(), 15_000_000);
        refused(rpc, &huge, "oversized data");
        let code = TxEip1559 {
            to: TxKind::Create,
            input: vec![0; 49_153].into(),
            gas_limit: 5_000_000,
            ..transfer(0, RECEIVER, 0)
        };
        refused(rpc, &alice.sign(code), "max initcode size exceeded");
    });
}

#[test]
fn old_kinds_are_still_taken() {
    with_rpc(|rpc| {
        // Before EIP-155 no chain id was signed; keyless deployments depend on it.
        let bob = Wallet::development(1);
        let unprotected = bob.sign(TxLegacy {
            chain_id: None,
            nonce: 0,
            gas_price: AMPLE_PRICE,
            gas_limit: 21_000,
            to: TxKind::Call(RECEIVER),
            value: U256::from(9),
            input: Bytes::new(),
        });
        let hash = rpc
            .send(&unprotected.raw)
            .expect("an unprotected transaction");
        rpc.wait_for_receipt(hash);
        let mined = rpc.call("eth_getTransactionByHash", json!([hash]));
        assert!(mined["v"] == "0x1b" || mined["v"] == "0x1c", "{mined}");
        for (nonce, signed) in [
            (1, bob.legacy(1, RECEIVER, 1)),
            (2, bob.access_list(2, RECEIVER, 1)),
        ] {
            let hash = rpc.send(&signed.raw).expect("a transfer");
            rpc.wait_for_receipt(hash);
            assert_eq!(rpc.nonce(bob.address, "latest"), nonce + 1);
        }
        assert_eq!(rpc.balance(RECEIVER, "latest"), U256::from(11));
    });
}
