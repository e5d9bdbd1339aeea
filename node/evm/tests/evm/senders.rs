//! Senders found in batches are those found one by one, for good and bad signatures alike.

use alloy_consensus::{
    SignableTransaction as _, TxEip1559, TxEnvelope, transaction::SignerRecoverable,
};
use alloy_eips::eip7702::SignedAuthorization;
use alloy_primitives::{Address, Signature, U256, uint};
use k256::ecdsa::SigningKey;
use pars_engine::{EcdsaRecover, Engine, GpuPolicy, Priority};
use pars_evm::{ExecutorConfig, SenderRecovery, Senders, VerifyError};
use std::sync::Arc;

use crate::chain::{Account, Chain, Intent, MINER, cpu_engine};

/// Order of the curve's group.
const N: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

fn engine() -> Engine {
    Engine::builder()
        .gpu(GpuPolicy::Off)
        .cpu_threads(1)
        .no_cache_folder()
        .kernel::<EcdsaRecover>()
        .build()
        .unwrap()
}

fn with_signature(transaction: &TxEnvelope, r: U256, s: U256, odd: bool) -> TxEnvelope {
    let signature = Signature::new(r, s, odd);
    match transaction.clone() {
        TxEnvelope::Legacy(signed) => signed.strip_signature().into_signed(signature).into(),
        TxEnvelope::Eip2930(signed) => signed.strip_signature().into_signed(signature).into(),
        TxEnvelope::Eip1559(signed) => signed.strip_signature().into_signed(signature).into(),
        TxEnvelope::Eip4844(signed) => signed.strip_signature().into_signed(signature).into(),
        TxEnvelope::Eip7702(signed) => signed.strip_signature().into_signed(signature).into(),
    }
}

/// Transactions of every type, and each of their signatures spoilt in every way.
fn good_and_bad() -> Vec<TxEnvelope> {
    let mut account = Account::new(7);
    let intent = || Intent::transfer(MINER, 1);
    let authorization = account.authorize(MINER, 3);
    let good = [
        account.legacy(intent(), None),
        account.legacy(intent(), Some(6133)),
        account.with_list(intent(), Default::default()),
        account.dynamic(intent()),
        account.set_code(intent(), MINER, vec![authorization]),
    ];
    let mut all = Vec::new();
    for transaction in good {
        let transaction = transaction.into_inner();
        let signature = *transaction.signature();
        let (r, s, odd) = (signature.r(), signature.s(), signature.v());
        all.push(transaction.clone());
        for (r, s, odd) in [
            (r, s, !odd),
            // The mirror image: valid on the curve, refused by EIP-2.
            (r, N - s, !odd),
            (U256::ZERO, s, odd),
            (r, U256::ZERO, odd),
            (N, s, odd),
            (r, N, odd),
            (N - U256::ONE, s, odd),
            (U256::MAX, s, odd),
            (r, U256::MAX, odd),
            (r, N / U256::from(2), odd),
            (r, N / U256::from(2) + U256::ONE, odd),
            (r, U256::ONE, odd),
            (U256::ONE, U256::ONE, odd),
            // r that is the x of no point: 5 is none on this curve.
            (U256::from(5), s, odd),
            (r ^ U256::ONE, s, odd),
            (r, s ^ U256::ONE, odd),
        ] {
            all.push(with_signature(&transaction, r, s, odd));
        }
    }
    all
}

/// What libraries say, one by one.
fn expected(transactions: &[TxEnvelope]) -> Vec<Option<Address>> {
    transactions
        .iter()
        .map(|one| one.recover_signer().ok())
        .collect()
}

fn found(senders: &Senders, transactions: &[TxEnvelope]) -> Vec<Option<Address>> {
    transactions
        .iter()
        .map(|one| senders.recover(one).ok())
        .collect()
}

#[test]
fn a_batch_says_what_one_by_one_says() {
    let all = good_and_bad();
    let expected = expected(&all);
    assert!(expected.iter().filter(|one| one.is_some()).count() >= 5 * 5);
    assert!(expected.iter().filter(|one| one.is_none()).count() >= 8 * 5);

    let senders = Senders::new(engine(), SenderRecovery::Batched);
    senders.foresee(&all, Priority::Pool);
    let stats = senders.stats();
    assert_eq!((stats.batches, stats.single), (1, 0), "{stats:?}");
    assert!(stats.largest_batch > 40, "{stats:?}");
    let valid = expected.iter().flatten().count() as u64;
    // Those of type 4 share an authority, which is found with them.
    assert_eq!(
        (stats.cached, stats.invalid),
        (valid + 1, all.len() as u64 - valid)
    );
    assert_eq!(found(&senders, &all), expected);
    let stats = senders.stats();
    assert_eq!(
        stats.known, valid,
        "valid ones are remembered, others are not"
    );
    assert_eq!(stats.single, all.len() as u64 - valid);

    // Without the kernel, and without batches, the same.
    let without = Senders::new(cpu_engine(), SenderRecovery::Batched);
    without.foresee(&all, Priority::Pool);
    assert_eq!(without.stats().failed_batches, 1);
    assert_eq!(found(&without, &all), expected);
    let single = Senders::new(engine(), SenderRecovery::Single);
    single.foresee(&all, Priority::Pool);
    assert_eq!(found(&single, &all), expected);
    assert_eq!((single.stats().batches, single.stats().cached), (0, 0));
}

#[test]
fn the_first_bad_signature_in_order_is_named_whatever_the_size() {
    let mut account = Account::new(9);
    let good: Vec<_> = (0..70)
        .map(|_| account.dynamic(Intent::transfer(MINER, 1)).into_inner())
        .collect();
    for size in [0, 1, 3, 4, 5, 64, 70] {
        let list = &good[..size];
        let senders = Senders::new(engine(), SenderRecovery::Batched);
        assert_eq!(
            senders.recover_all(list).unwrap(),
            vec![account.address; size]
        );
        let stats = senders.stats();
        assert_eq!(stats.batches, u64::from(size >= 4), "{size}");
        // Known now.
        assert_eq!(
            senders.recover_all(list).unwrap(),
            vec![account.address; size]
        );
        assert_eq!(senders.stats().known, stats.known + size as u64);
    }
    for bad in [0, 33, 69] {
        let mut list = good.clone();
        for index in [69, bad] {
            let signature = *list[index].signature();
            list[index] = with_signature(&list[index], signature.r(), U256::ZERO, false);
        }
        for mode in [SenderRecovery::Batched, SenderRecovery::Single] {
            let error = Senders::new(engine(), mode).recover_all(&list).unwrap_err();
            assert_eq!((error.index, error.hash), (bad, *list[bad].tx_hash()));
        }
    }
}

#[test]
fn random_signatures_and_hashes() {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut random = move || {
        let mut bytes = [0u8; 32];
        for chunk in bytes.chunks_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            chunk.copy_from_slice(&state.to_be_bytes());
        }
        bytes
    };
    let list: Vec<TxEnvelope> = (0..600)
        .map(|number| {
            let transaction = TxEip1559 {
                nonce: number,
                input: random().to_vec().into(),
                ..TxEip1559::default()
            };
            let hash = transaction.signature_hash();
            let signature = if number % 3 == 0 {
                // Not made by anybody: about half of all r are an x.
                let s = U256::from_be_bytes(random()) >> 1;
                Signature::new(U256::from_be_bytes(random()), s, number % 2 == 0)
            } else {
                let key = SigningKey::from_slice(&random()).unwrap();
                key.sign_prehash_recoverable(hash.as_slice())
                    .unwrap()
                    .into()
            };
            transaction.into_signed(signature).into()
        })
        .collect();
    let expected = expected(&list);
    assert!(expected.iter().any(Option::is_none));
    let senders = Senders::new(engine(), SenderRecovery::Batched);
    senders.foresee(&list, Priority::BlockExecution);
    assert_eq!(senders.stats().batches, 1);
    assert_eq!(found(&senders, &list), expected);
}

#[test]
fn transactions_that_come_together_share_a_batch_and_a_lone_one_does_not_wait() {
    let senders = Arc::new(Senders::new(engine(), SenderRecovery::Batched));
    let first = senders.enter();
    assert!(first.is_alone());
    let second = senders.enter();
    assert!(!second.is_alone());
    drop(first);
    assert!(!senders.enter().is_alone());
    drop(second);
    assert!(senders.enter().is_alone());

    let mut account = Account::new(3);
    let list: Vec<_> = (0..20)
        .map(|_| account.dynamic(Intent::transfer(MINER, 1)).into_inner())
        .collect();
    futures::executor::block_on(async {
        senders.foresee_pool(&list[..10]).await;
        assert_eq!(senders.stats().cached, 10);
        for transaction in &list {
            let sender = senders.recover_with_others(transaction).await.unwrap();
            assert_eq!(sender, account.address);
        }
        let bad = with_signature(&list[0], U256::ONE, U256::ZERO, false);
        senders.foresee_pool(std::slice::from_ref(&bad)).await;
        assert!(senders.recover_with_others(&bad).await.is_err());
    });
    let stats = senders.stats();
    assert_eq!((stats.known, stats.batched, stats.invalid), (10, 20, 1));
}

/// Authorities of EIP-7702 are found once, together; blocks with good and bad ones are the same.
#[test]
fn authorities_come_with_the_block() {
    let block = |sender_recovery| {
        let config = ExecutorConfig {
            sender_recovery,
            ..ExecutorConfig::default()
        };
        let mut chain = Chain::with(engine(), config, []);
        let target = Address::repeat_byte(0xc0);
        let mut authorizations: Vec<_> = (40..52)
            .map(|seed| Account::new(seed).authorize(target, 0))
            .collect();
        let other_parity = authorizations[7].clone();
        for (index, spoilt) in [
            (1, (Some(U256::ZERO), None, None)),
            (
                3,
                (
                    None,
                    Some(N - authorizations[3].s()),
                    Some(1 - authorizations[3].y_parity()),
                ),
            ),
            (5, (None, None, Some(7))),
            (7, (None, None, Some(1 - authorizations[7].y_parity()))),
        ] {
            let old = &authorizations[index];
            let (r, s, odd) = spoilt;
            authorizations[index] = SignedAuthorization::new_unchecked(
                old.inner().clone(),
                odd.unwrap_or(old.y_parity()),
                r.unwrap_or(old.r()),
                s.unwrap_or(old.s()),
            );
        }
        // One that comes twice is asked for once; the other parity is another's.
        authorizations.extend([authorizations[0].clone(), other_parity]);
        let transactions: Vec<_> = authorizations
            .chunks(7)
            .map(|list| {
                let intent = Intent::transfer(MINER, 1).gas(1_000_000);
                chain.accounts[0].set_code(intent, MINER, list.to_vec())
            })
            .collect();
        let executed = chain.block(transactions);
        (executed.commit.block, chain.executor.stats().senders)
    };
    let (batched, stats) = block(SenderRecovery::Batched);
    let (single, _) = block(SenderRecovery::Single);
    assert_eq!(batched, single);
    // Thirteen authorities, of which three are invalid at sight; two transactions are below a batch.
    assert_eq!((stats.batches, stats.batched), (1, 10), "{stats:?}");
    // One who was not there before finds senders and authorities together.
    let other = Chain::with(engine(), ExecutorConfig::default(), []);
    other.executor.verify(&other.store, &batched).unwrap();
    let stats = other.executor.stats().senders;
    assert_eq!((stats.batches, stats.batched), (1, 12), "{stats:?}");
}

/// Blocks are the same, and refused for the same reason, whichever way senders are found.
#[test]
fn blocks_do_not_depend_on_the_way() {
    let chain = |sender_recovery| {
        let config = ExecutorConfig {
            sender_recovery,
            ..ExecutorConfig::default()
        };
        Chain::with(engine(), config, [])
    };
    let mut batched = chain(SenderRecovery::Batched);
    let single = chain(SenderRecovery::Single);
    let transactions: Vec<_> = (0..40)
        .map(|number| batched.accounts[number % 8].dynamic(Intent::transfer(MINER, 1)))
        .collect();
    let block = batched
        .executor
        .build(&batched.store, transactions, batched.attributes())
        .unwrap()
        .commit
        .block;
    for chain in [&batched, &single] {
        let verified = chain.executor.verify(&chain.store, &block).unwrap();
        assert_eq!(verified.commit.block, block);
        let mut forged = block.clone();
        forged.transactions[17] =
            with_signature(&forged.transactions[17], U256::ONE, U256::ZERO, false);
        forged.header.transactions_root =
            alloy_consensus::proofs::calculate_transaction_root(&forged.transactions);
        forged.hash = forged.header.hash_slow();
        let error = chain.executor.verify(&chain.store, &forged).unwrap_err();
        let VerifyError::Signature(error) = error else {
            panic!("{error}")
        };
        assert_eq!(error.index, 17);
    }
    let stats = batched.executor.stats().senders;
    assert_eq!((stats.batched, stats.known), (40, 39), "{stats:?}");
    assert_eq!(single.executor.stats().senders.batched, 0);
}
