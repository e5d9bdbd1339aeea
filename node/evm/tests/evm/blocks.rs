//! What blocks do.

use alloy_consensus::{Transaction as _, TxEip4844};
use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy_primitives::{Address, B256, Bloom, BloomInput, Bytes, U256, b256};
use pars_evm::{Executor, VerifyError, recover_senders};

use crate::{
    chain::{Account, Chain, ETHER, GWEI, Intent, MINER},
    contracts::{counter, deploy, echo_revert, endless},
};

fn engine() -> pars_engine::Engine {
    crate::chain::cpu_engine()
}

#[test]
fn fees_are_burned_and_tipped() {
    let mut chain = Chain::new(engine());
    let to = Address::repeat_byte(0x77);
    let transaction = chain.accounts[0].dynamic(Intent::transfer(to, ETHER));
    let sender = chain.accounts[0].address;
    let before = chain.balance(sender);
    let executed = chain.block(vec![transaction]);
    let header = &executed.commit.block.header;
    let base_fee = u128::from(header.base_fee_per_gas.unwrap());
    assert_eq!(header.gas_used, 21_000);
    assert_eq!(chain.balance(to), U256::from(ETHER));
    let spent = before - chain.balance(sender);
    assert_eq!(spent, U256::from(ETHER + 21_000 * (base_fee + GWEI)));
    // The beneficiary gets the tip; the base fee belongs to nobody.
    assert_eq!(chain.balance(MINER), U256::from(21_000 * GWEI));
}

#[test]
fn every_transaction_type_but_blobs_is_accepted() {
    let mut chain = Chain::new(engine());
    let to = Address::repeat_byte(0x77);
    let counter_at = chain.accounts[5].address.create(0);
    let create = chain.accounts[5].dynamic(Intent::create(deploy(&counter())));
    let authority = chain.accounts[6].address;
    let authorization = chain.accounts[6].authorize(counter_at, 0);
    let transactions = vec![
        create,
        chain.accounts[0].legacy(Intent::transfer(to, 1), Some(6133)),
        chain.accounts[1].legacy(Intent::transfer(to, 2), None),
        chain.accounts[2].with_list(Intent::transfer(to, 3).gas(30_000), Default::default()),
        chain.accounts[3].dynamic(Intent::transfer(to, 4)),
        chain.accounts[4].set_code(
            Intent::to_contract(authority, []),
            authority,
            vec![authorization],
        ),
    ];
    let executed = chain.block(transactions);
    assert_eq!(executed.skipped, []);
    let types: Vec<_> = executed
        .commit
        .receipts
        .iter()
        .map(|receipt| u8::from(receipt.tx_type()))
        .collect();
    assert_eq!(types, [2, 0, 0, 1, 2, 4]);
    assert!(
        executed
            .commit
            .receipts
            .iter()
            .all(|receipt| receipt.status())
    );
    assert_eq!(chain.balance(to), U256::from(10));
    // The authority runs the counter's code on its own storage.
    assert_eq!(chain.slot(authority, 0), U256::from(1));
    assert_eq!(chain.slot(counter_at, 0), U256::ZERO);
}

#[test]
fn blob_transactions_are_refused_with_a_clear_text() {
    let mut chain = Chain::new(engine());
    let blob = chain.accounts[0].sign(TxEip4844 {
        chain_id: 6133,
        gas_limit: 21_000,
        max_fee_per_gas: 10 * GWEI,
        max_fee_per_blob_gas: 1,
        blob_versioned_hashes: vec![b256!(
            "0100000000000000000000000000000000000000000000000000000000000000"
        )],
        ..TxEip4844::default()
    });
    let after = chain.accounts[0].dynamic(Intent::transfer(MINER, 1));
    let hashes = (*blob.tx_hash(), *after.tx_hash());
    let attributes = chain.attributes();
    let built = chain
        .executor
        .build(&chain.store, vec![blob.clone(), after], attributes)
        .unwrap();
    assert!(built.commit.block.transactions.is_empty());
    let [(first, reason), (second, later)] = &built.skipped[..] else {
        panic!()
    };
    assert_eq!((*first, *second), hashes);
    assert!(reason.contains("no blobs"), "{reason}");
    assert!(later.contains("earlier transaction"), "{later}");

    // And a block that has one is invalid.
    let mut block = built.commit.block;
    block.transactions = vec![blob.inner().clone()];
    block.senders = vec![blob.signer()];
    block.header.transactions_root =
        alloy_consensus::proofs::calculate_transaction_root(&block.transactions);
    block.hash = block.header.hash_slow();
    let error = chain.executor.verify(&chain.store, &block).unwrap_err();
    let VerifyError::Transaction {
        index: 0, reason, ..
    } = error
    else {
        panic!("{error}")
    };
    assert!(reason.contains("no blobs"), "{reason}");
}

#[test]
fn contracts_are_created_called_and_revert() {
    let mut chain = Chain::new(engine());
    let contract = chain.accounts[0].address.create(0);
    let reverting = chain.accounts[0].address.create(1);
    let create = chain.accounts[0].dynamic(Intent::create(deploy(&counter())));
    assert!(chain.single(create));
    let create = chain.accounts[0].dynamic(Intent::create(deploy(&echo_revert())));
    assert!(chain.single(create));
    for expected in 1..=3 {
        let call = chain.accounts[1].dynamic(Intent::to_contract(contract, []));
        assert!(chain.single(call));
        assert_eq!(chain.slot(contract, 0), U256::from(expected));
    }
    let nonce = chain.accounts[2].nonce;
    let failing = chain.accounts[2].dynamic(Intent::to_contract(reverting, b"why".to_vec()));
    assert!(!chain.single(failing));
    // A reverted transaction is paid for and its nonce is used up.
    let account = chain
        .store
        .head_state()
        .unwrap()
        .account(&chain.accounts[2].address);
    assert_eq!(account.unwrap().unwrap().nonce, nonce + 1);
}

#[test]
fn logs_make_blooms_and_receipts_add_up() {
    let contract = Address::repeat_byte(0xc1);
    let mut chain = Chain::with(
        engine(),
        Default::default(),
        [(contract, counter().bytes())],
    );
    let transactions = (0..3)
        .map(|i| chain.accounts[i].dynamic(Intent::to_contract(contract, [])))
        .collect();
    let executed = chain.block(transactions);
    let header = &executed.commit.block.header;
    let mut gas = 0;
    for (index, receipt) in executed.commit.receipts.iter().enumerate() {
        assert!(receipt.cumulative_gas_used() > gas);
        gas = receipt.cumulative_gas_used();
        let [log] = receipt.logs() else { panic!() };
        assert_eq!(log.address, contract);
        assert_eq!(log.topics(), [B256::from(U256::from(0xc0))]);
        assert_eq!(U256::from_be_slice(&log.data.data), U256::from(index + 1));
    }
    assert_eq!(gas, header.gas_used);
    let mut bloom = Bloom::ZERO;
    bloom.accrue(BloomInput::Raw(contract.as_slice()));
    bloom.accrue(BloomInput::Raw(B256::from(U256::from(0xc0)).as_slice()));
    assert_eq!(header.logs_bloom, bloom);
}

#[test]
fn block_hashes_stand_in_state() {
    let chain = Chain::new(engine());
    let genesis = chain.store.head().hash;
    chain.block(vec![]);
    let first = chain.store.head().hash;
    chain.block(vec![]);
    assert_eq!(B256::from(chain.slot(HISTORY_STORAGE_ADDRESS, 0)), genesis);
    assert_eq!(B256::from(chain.slot(HISTORY_STORAGE_ADDRESS, 1)), first);
}

#[test]
fn what_cannot_run_is_left_out_with_its_reason() {
    let mut chain = Chain::new(engine());
    let to = Address::repeat_byte(0x77);
    let mut poor = Account::new(0x99);
    let first = chain.accounts[0].dynamic(Intent::transfer(to, 1));
    let again = first.clone();
    let gap = {
        chain.accounts[1].nonce = 5;
        chain.accounts[1].dynamic(Intent::transfer(to, 1))
    };
    let cheap = chain.accounts[2].dynamic(Intent {
        max_fee: 1,
        tip: 0,
        ..Intent::transfer(to, 1)
    });
    let short = chain.accounts[3].dynamic(Intent::transfer(to, 1).gas(20_999));
    let huge = chain.accounts[4].dynamic(Intent::transfer(to, 1).gas((1 << 24) + 1));
    let foreign = chain.accounts[5].legacy(Intent::transfer(to, 1), Some(1));
    let data = chain.accounts[6].dynamic(Intent::to_contract(to, vec![0xff; 1_000]).gas(40_000));
    let broke = poor.dynamic(Intent::transfer(to, 1));
    let good = chain.accounts[7].dynamic(Intent::transfer(to, 1));
    let expected = [
        (&again, "nonce too low"),
        (&gap, "nonce too high"),
        (&cheap, "max fee per gas less than block base fee"),
        (&short, "intrinsic gas too low"),
        (&huge, "transaction gas limit too high"),
        (&foreign, "invalid chain id"),
        (&data, "insufficient gas for floor data gas cost"),
        (&broke, "insufficient funds for gas * price + value"),
    ]
    .map(|(transaction, words)| (*transaction.tx_hash(), words));
    let executed = chain.block(vec![
        first, again, gap, cheap, short, huge, foreign, data, broke, good,
    ]);
    assert_eq!(executed.commit.block.transactions.len(), 2);
    assert_eq!(executed.skipped.len(), expected.len());
    for ((hash, reason), (expected_hash, words)) in executed.skipped.iter().zip(expected) {
        assert_eq!(*hash, expected_hash);
        assert!(reason.starts_with(words), "{reason}");
    }
    assert_eq!(chain.balance(to), U256::from(2));
}

#[test]
fn building_stops_at_the_gas_limit() {
    let spender = Address::repeat_byte(0xe1);
    let mut chain = Chain::with(engine(), Default::default(), [(spender, endless().bytes())]);
    let mut transactions: Vec<_> = (0..3)
        .map(|i| chain.accounts[i].dynamic(Intent::to_contract(spender, []).gas(12_000_000)))
        .collect();
    transactions.push(chain.accounts[3].dynamic(Intent::transfer(MINER, 1)));
    let executed = chain.block(transactions);
    // Two of 12 M fit into 30 M; the third does not, but the small one does. Having found no room
    // is no fault: nothing is reported.
    assert_eq!(executed.commit.block.transactions.len(), 3);
    assert_eq!(executed.commit.block.header.gas_used, 24_021_000);
    assert_eq!(executed.skipped, []);
}

#[test]
fn a_transaction_larger_than_any_block_is_reported() {
    let mut chain = Chain::new(engine());
    let mut spec = (*chain.spec).clone();
    spec.gas_limit = 5_000_000;
    let store = pars_store::Store::in_memory(&spec.genesis()).unwrap();
    let executor = Executor::new(spec.into(), engine());
    let large = chain.accounts[0].dynamic(Intent::transfer(MINER, 1).gas(5_000_001));
    let hash = *large.tx_hash();
    let built = executor
        .build(&store, vec![large], chain.attributes())
        .unwrap();
    assert_eq!(
        built.skipped,
        [(hash, "exceeds block gas limit".to_owned())]
    );
}

#[test]
fn a_block_with_more_gas_than_its_limit_is_refused() {
    let spender = Address::repeat_byte(0xe1);
    let mut chain = Chain::with(engine(), Default::default(), [(spender, endless().bytes())]);
    let transactions: Vec<_> = (0..3)
        .map(|i| chain.accounts[i].dynamic(Intent::to_contract(spender, []).gas(12_000_000)))
        .collect();
    let built = chain
        .executor
        .build(&chain.store, vec![], chain.attributes())
        .unwrap();
    let mut block = built.commit.block;
    block.transactions = transactions.iter().map(|tx| tx.inner().clone()).collect();
    block.header.transactions_root =
        alloy_consensus::proofs::calculate_transaction_root(&block.transactions);
    block.hash = block.header.hash_slow();
    let error = chain.executor.verify(&chain.store, &block).unwrap_err();
    let VerifyError::Transaction {
        index: 2, reason, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(reason, "gas limit reached: have 6000000, want 12000000");
}

#[test]
fn building_takes_its_time_where_it_has_all_of_it() {
    let mut chain = Chain::new(engine());
    let transaction = chain.accounts[0].dynamic(Intent::transfer(MINER, 1));
    let attributes = pars_evm::BlockAttributes {
        time_budget: std::time::Duration::MAX,
        ..chain.attributes()
    };
    let built = chain
        .executor
        .build(&chain.store, vec![transaction], attributes)
        .unwrap();
    assert_eq!(built.commit.block.transactions.len(), 1);
}

#[test]
fn senders_are_recovered_in_order_and_the_first_forgery_is_named() {
    let mut chain = Chain::new(engine());
    let signed: Vec<_> = (0..150)
        .map(|i| chain.accounts[i % 8].dynamic(Intent::transfer(MINER, 1)))
        .collect();
    let mut transactions: Vec<_> = signed.iter().map(|tx| tx.inner().clone()).collect();
    for count in [0, 1, 31, 32, 33, 150] {
        let expected: Vec<_> = signed[..count].iter().map(|tx| tx.signer()).collect();
        assert_eq!(recover_senders(&transactions[..count]).unwrap(), expected);
    }
    for index in [140, 3] {
        let forged = transactions[index].as_eip1559().unwrap().tx().clone();
        let no_signature = alloy_primitives::Signature::new(U256::ZERO, U256::ZERO, false);
        transactions[index] =
            alloy_consensus::SignableTransaction::into_signed(forged, no_signature).into();
        let error = recover_senders(&transactions).unwrap_err();
        assert_eq!(
            (error.index, error.hash),
            (index, *transactions[index].tx_hash())
        );
    }
}

#[test]
fn an_executor_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Executor>();
}

#[test]
fn building_stops_when_the_time_is_up() {
    let mut chain = Chain::new(engine());
    let transaction = chain.accounts[0].dynamic(Intent::transfer(MINER, 1));
    let attributes = pars_evm::BlockAttributes {
        time_budget: std::time::Duration::ZERO,
        ..chain.attributes()
    };
    let built = chain
        .executor
        .build(&chain.store, vec![transaction], attributes)
        .unwrap();
    assert!(built.commit.block.transactions.is_empty());
    chain
        .executor
        .verify(&chain.store, &built.commit.block)
        .unwrap();
}

#[test]
fn building_stops_at_the_size_limit() {
    // 8 MiB of zero bytes cost 84 M gas of calldata floor, so only a chain with larger blocks
    // ever meets EIP-7934.
    let mut chain = Chain::new(engine());
    let mut spec = (*chain.spec).clone();
    spec.gas_limit = 200_000_000;
    let store = pars_store::Store::in_memory(&spec.genesis()).unwrap();
    let executor = Executor::new(spec.into(), engine());
    let data = Bytes::from(vec![0; 1_500_000]);
    let transactions: Vec<_> = (0..7)
        .map(|i| {
            chain.accounts[i].dynamic(Intent::to_contract(MINER, data.clone()).gas(16_000_000))
        })
        .collect();
    let sent: usize = transactions
        .iter()
        .map(|transaction| transaction.input().len())
        .sum();
    assert!(sent > pars_evm::MAX_BLOCK_RLP_BYTES);
    let built = executor
        .build(&store, transactions.clone(), chain.attributes())
        .unwrap();
    assert_eq!(built.commit.block.transactions.len(), 5);
    assert_eq!(built.skipped, []);
    executor.verify(&store, &built.commit.block).unwrap();

    let mut block = built.commit.block;
    block.transactions = transactions.iter().map(|tx| tx.inner().clone()).collect();
    block.senders = vec![];
    let error = executor.verify(&store, &block).unwrap_err();
    assert!(matches!(error, VerifyError::Size { .. }), "{error}");
}
