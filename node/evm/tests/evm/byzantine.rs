//! A block with each of its parts wrong in turn is refused by name.

use alloy_consensus::{Header, proofs::calculate_transaction_root};
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use pars_evm::{HeaderError, VerifyError};
use pars_store::Block;

use crate::chain::{Chain, Intent, cpu_engine};

fn chain_and_block() -> (Chain, Block) {
    let mut chain = Chain::new(cpu_engine());
    chain.block(vec![]);
    let to = Address::repeat_byte(0x77);
    let transactions = vec![
        chain.accounts[0].dynamic(Intent::transfer(to, 1)),
        chain.accounts[1].dynamic(Intent::transfer(to, 2)),
    ];
    let built = chain
        .executor
        .build(&chain.store, transactions, chain.attributes())
        .unwrap();
    (chain, built.commit.block)
}

fn sealed(mut block: Block, change: impl FnOnce(&mut Header)) -> Block {
    change(&mut block.header);
    block.hash = block.header.hash_slow();
    block
}

#[test]
fn each_wrong_header_field_is_named() {
    type Check = fn(&VerifyError) -> bool;
    type Change = fn(&mut Header);
    macro_rules! header_error {
        ($pattern:pat) => {
            (|error| matches!(error, VerifyError::Header($pattern))) as Check
        };
    }
    let wrong = B256::repeat_byte(9);
    let cases: Vec<(&str, Change, Check)> = vec![
        (
            "parentHash",
            |h| h.parent_hash = B256::repeat_byte(9),
            |e| matches!(e, VerifyError::NotOnHead { .. }),
        ),
        (
            "parentHash of a later block",
            |h| {
                h.parent_hash = B256::repeat_byte(9);
                h.number += 5;
            },
            header_error!(HeaderError::ParentHash { .. }),
        ),
        (
            "number",
            |h| h.number += 1,
            header_error!(HeaderError::Number { .. }),
        ),
        (
            "number",
            |h| h.number -= 1,
            header_error!(HeaderError::Number { .. }),
        ),
        (
            "timestamp",
            |h| h.timestamp -= 2,
            header_error!(HeaderError::Timestamp { .. }),
        ),
        (
            "gasLimit",
            |h| h.gas_limit += h.gas_limit / 1024,
            header_error!(HeaderError::GasLimit { .. }),
        ),
        (
            "gasLimit",
            |h| h.gas_limit = 0,
            header_error!(HeaderError::GasLimit { .. }),
        ),
        (
            "gasUsed",
            |h| h.gas_used = h.gas_limit + 1,
            header_error!(HeaderError::GasUsedOverLimit { .. }),
        ),
        (
            "baseFeePerGas",
            |h| h.base_fee_per_gas = h.base_fee_per_gas.map(|f| f + 1),
            header_error!(HeaderError::BaseFee { .. }),
        ),
        (
            "baseFeePerGas",
            |h| h.base_fee_per_gas = None,
            header_error!(HeaderError::BaseFee { .. }),
        ),
        (
            "extraData",
            |h| h.extra_data = Bytes::from(vec![0; 33]),
            header_error!(HeaderError::ExtraData { .. }),
        ),
        (
            "difficulty",
            |h| h.difficulty = U256::from(1),
            header_error!(HeaderError::Difficulty { .. }),
        ),
        (
            "nonce",
            |h| h.nonce = B64::repeat_byte(1),
            header_error!(HeaderError::Nonce { .. }),
        ),
        (
            "sha3Uncles",
            |h| h.ommers_hash = B256::ZERO,
            header_error!(HeaderError::OmmersHash { .. }),
        ),
        (
            "withdrawalsRoot",
            |h| h.withdrawals_root = Some(B256::ZERO),
            header_error!(HeaderError::WithdrawalsRoot { .. }),
        ),
        (
            "requestsHash",
            |h| h.requests_hash = Some(B256::ZERO),
            header_error!(HeaderError::RequestsHash { .. }),
        ),
        (
            "blobGasUsed",
            |h| h.blob_gas_used = Some(131_072),
            header_error!(HeaderError::BlobGasUsed { .. }),
        ),
        (
            "excessBlobGas",
            |h| h.excess_blob_gas = Some(1),
            header_error!(HeaderError::ExcessBlobGas { .. }),
        ),
        (
            "parentBeaconBlockRoot",
            |h| h.parent_beacon_block_root = None,
            header_error!(HeaderError::MissingField {
                field: "parentBeaconBlockRoot"
            }),
        ),
        (
            "slotNumber",
            |h| h.slot_number = Some(1),
            header_error!(HeaderError::FutureField { .. }),
        ),
        (
            "transactionsRoot",
            |h| h.transactions_root = B256::ZERO,
            |e| matches!(e, VerifyError::TransactionsRoot { .. }),
        ),
        (
            "gasUsed",
            |h| h.gas_used -= 1,
            |e| matches!(e, VerifyError::GasUsed { .. }),
        ),
        (
            "logsBloom",
            |h| h.logs_bloom = Bloom::repeat_byte(1),
            |e| matches!(e, VerifyError::LogsBloom { .. }),
        ),
        (
            "receiptsRoot",
            |h| h.receipts_root = B256::ZERO,
            |e| matches!(e, VerifyError::ReceiptsRoot { .. }),
        ),
        (
            "stateRoot",
            |h| h.state_root = B256::ZERO,
            |e| matches!(e, VerifyError::StateRoot { .. }),
        ),
        // Another beneficiary is a valid choice, but not with this state.
        (
            "miner",
            |h| h.beneficiary = Address::ZERO,
            |e| matches!(e, VerifyError::StateRoot { .. }),
        ),
    ];
    let (chain, block) = chain_and_block();
    assert_ne!(block.header.state_root, wrong);
    chain.executor.verify(&chain.store, &block).unwrap();
    let mut invalid = 0;
    for (field, change, expected) in cases {
        let bad = sealed(block.clone(), change);
        let error = chain.executor.verify(&chain.store, &bad).unwrap_err();
        assert!(expected(&error), "{field}: {error:?}");
        invalid += u64::from(error.is_invalid());
    }
    let stats = chain.executor.stats();
    assert_eq!(stats.blocks_invalid, invalid);

    // Seconds may repeat; randomness and the anchor are free.
    for change in [
        (|h| h.timestamp -= 1) as Change,
        |h| h.mix_hash = B256::ZERO,
        |h| h.parent_beacon_block_root = Some(B256::ZERO),
        |h| h.extra_data = Bytes::new(),
    ] {
        chain
            .executor
            .verify(&chain.store, &sealed(block.clone(), change))
            .unwrap();
    }
}

#[test]
fn each_wrong_part_of_the_body_is_named() {
    let (chain, block) = chain_and_block();
    let verify = |block: &Block| chain.executor.verify(&chain.store, block).unwrap_err();
    let resealed = |mut block: Block| {
        block.header.transactions_root = calculate_transaction_root(&block.transactions);
        sealed(block, |_| {})
    };

    let mut bad = block.clone();
    bad.hash = B256::ZERO;
    assert!(matches!(verify(&bad), VerifyError::Hash { .. }));

    let mut bad = block.clone();
    bad.senders[1] = Address::ZERO;
    assert!(matches!(verify(&bad), VerifyError::Sender { index: 1 }));
    bad.senders.truncate(1);
    assert!(matches!(verify(&bad), VerifyError::Sender { index: 1 }));
    bad.senders.clear();
    let executed = chain.executor.verify(&chain.store, &bad).unwrap();
    assert_eq!(executed.commit.block, block, "absent senders are filled in");

    let mut bad = block.clone();
    bad.transactions.swap(0, 1);
    assert!(matches!(verify(&bad), VerifyError::TransactionsRoot { .. }));

    let mut bad = block.clone();
    bad.transactions.push(bad.transactions[0].clone());
    bad.senders.clear();
    let error = verify(&resealed(bad));
    let VerifyError::Transaction {
        index: 2, reason, ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert!(reason.starts_with("nonce too low"), "{reason}");

    let mut bad = block;
    let (transaction, _, _) = bad.transactions[0]
        .as_eip1559()
        .unwrap()
        .clone()
        .into_parts();
    let signature = alloy_primitives::Signature::new(U256::from(1), U256::MAX, false);
    bad.transactions[0] =
        alloy_consensus::SignableTransaction::into_signed(transaction, signature).into();
    bad.senders.clear();
    let error = verify(&resealed(bad));
    assert!(matches!(error, VerifyError::Signature(_)), "{error:?}");
}

#[test]
fn a_block_on_another_parent_is_not_judged() {
    let (chain, block) = chain_and_block();
    chain.block(vec![]);
    let error = chain.executor.verify(&chain.store, &block).unwrap_err();
    assert!(matches!(error, VerifyError::NotOnHead { .. }), "{error:?}");
    assert!(!error.is_invalid());
}
