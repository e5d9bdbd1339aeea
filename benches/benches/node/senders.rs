//! What a block asks the engine for: the senders of 1,000 transfers beside libsecp256k1 one by one, and the
//! verification of whole blocks with each of the engine's sources on and off.
//!
//! | id | what |
//! | --- | --- |
//! | `senders/libsecp256k1` | one by one on one thread, the peer |
//! | `senders/pars-single` | one by one, as a node with `sender_recovery = "single"`: over its threads |
//! | `senders/pars-batched` | in batches by the engine, nothing known before |
//! | `senders/pars-known` | a block whose transactions came through the pool |
//! | `verify/...` | a whole block: engine off; senders in batches; the questions of calls found ahead; both; both and senders known from the pool |

use std::{sync::Arc, time::Instant};

use alloy_consensus::{
    SignableTransaction as _, Signed, TxEip1559, TxEnvelope, transaction::Recovered,
};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, Bytes, U256, address, hex, keccak256};
use k256::ecdsa::SigningKey;
use pars_engine::{EcdsaRecover, Engine, GpuPolicy};
use pars_evm::{ChainSpec, Executor, ExecutorConfig, SenderRecovery, Senders};
use pars_kernels::mldsa::ParameterSet;
use pars_store::{Block, Store};
use secp256k1::{
    Message,
    ecdsa::{RecoverableSignature, RecoveryId},
};

use crate::{
    Size, Turns,
    blocks::{FEE, attributes, funded},
};

#[path = "../mldsa/signed.rs"]
mod signed;

/// Transactions of a block.
const BLOCK: usize = 1_000;
/// Calls of the ML-DSA precompile in a block, every other one through a contract: about as many as 15 M gas hold.
const CALLS: usize = 56;
const MLDSA: Address = address!("0x0000000000000000000000000000000000000602");
const FORWARDER: Address = Address::repeat_byte(0xc2);
/// Hands its calldata to the ML-DSA precompile.
const FORWARDER_CODE: [u8; 14] = hex!("365f5f375f5f365f6106025afa00");

pub fn run(size: Size) {
    let rounds = usize::try_from(size.blocks).expect("a small number");
    let spec = spec();
    let transfers: Vec<_> = (0..BLOCK).map(transfer).collect();
    recover(rounds, &transfers);
    verify(rounds, "transfers-1000", &spec, transfers);
    verify(rounds, "mldsa-calls-56", &spec, calls());
}

fn keys() -> Vec<SigningKey> {
    (1..=100_u8)
        .map(|seed| SigningKey::from_slice(&[seed; 32]).expect("a key"))
        .collect()
}

fn spec() -> Arc<ChainSpec> {
    let accounts = keys();
    let accounts = accounts
        .iter()
        .map(|key| (Address::from_private_key(key), funded()));
    let code = GenesisAccount::default()
        .with_nonce(Some(1))
        .with_code(Some(Bytes::from_static(&FORWARDER_CODE)));
    let mut spec = ChainSpec::dev()
        .with_alloc(accounts)
        .with_alloc([(FORWARDER, code)]);
    spec.gas_limit = 30_000_000;
    Arc::new(spec)
}

fn engine() -> Engine {
    let builder = Engine::builder()
        .gpu(GpuPolicy::Off)
        .kernel::<EcdsaRecover>();
    builder.build().expect("an engine")
}

fn sign(number: usize, transaction: TxEip1559) -> Recovered<TxEnvelope> {
    let keys = keys();
    let key = &keys[number % keys.len()];
    let transaction = TxEip1559 {
        chain_id: 6133,
        nonce: (number / keys.len()) as u64,
        max_fee_per_gas: FEE,
        ..transaction
    };
    let hash = transaction.signature_hash();
    let signature = key
        .sign_prehash_recoverable(hash.as_slice())
        .expect("a signature");
    let signed = transaction.into_signed(signature.into());
    Recovered::new_unchecked(signed.into(), Address::from_private_key(key))
}

fn transfer(number: usize) -> Recovered<TxEnvelope> {
    let transaction = TxEip1559 {
        gas_limit: 21_000,
        to: Address::repeat_byte(0xbe).into(),
        value: U256::from(1),
        ..TxEip1559::default()
    };
    sign(number, transaction)
}

fn calls() -> Vec<Recovered<TxEnvelope>> {
    let signatures = signed::signed(ParameterSet::MlDsa65, 32);
    let word = |number: usize| U256::from(number).to_be_bytes::<32>();
    (0..CALLS)
        .map(|number| {
            let one = &signatures[number];
            let mut input = keccak256("verify(bytes,bytes,bytes)")[..4].to_vec();
            let mut tail = Vec::new();
            for argument in [&one.public_key, &one.message, &one.signature] {
                input.extend(word(3 * 32 + tail.len()));
                tail.extend(word(argument.len()));
                tail.extend(argument);
                tail.resize(tail.len().next_multiple_of(32), 0);
            }
            input.extend(tail);
            let to = if number % 2 == 0 { MLDSA } else { FORWARDER };
            let transaction = TxEip1559 {
                gas_limit: 450_000,
                to: to.into(),
                input: input.into(),
                ..TxEip1559::default()
            };
            sign(number, transaction)
        })
        .collect()
}

/// As decoded: hashes are not computed yet.
fn fresh(transactions: &[TxEnvelope]) -> Vec<TxEnvelope> {
    transactions
        .iter()
        .map(|transaction| {
            let TxEnvelope::Eip1559(signed) = transaction else {
                panic!("all are of type 2")
            };
            let (transaction, signature, _) = signed.clone().into_parts();
            Signed::new_unhashed(transaction, signature).into()
        })
        .collect()
}

fn one_by_one(transactions: &[TxEnvelope]) -> Vec<Address> {
    transactions
        .iter()
        .map(|transaction| {
            let signature = transaction.signature();
            let id = RecoveryId::try_from(i32::from(signature.v())).expect("0 or 1");
            let bytes = signature.as_rsy();
            let signature = RecoverableSignature::from_compact(&bytes[..64], id).expect("in range");
            let message = Message::from_digest(transaction.signature_hash().0);
            let key = signature.recover_ecdsa(message).expect("a key");
            let hash = keccak256(&key.serialize_uncompressed()[1..]);
            Address::from_slice(&hash[12..])
        })
        .collect()
}

fn recover(rounds: usize, transfers: &[Recovered<TxEnvelope>]) {
    let engine = engine();
    let expected: Vec<_> = transfers.iter().map(Recovered::signer).collect();
    let transactions: Vec<_> = transfers.iter().map(|one| one.inner().clone()).collect();
    let known = Senders::new(engine.clone(), SenderRecovery::Batched);
    known.recover_all(&transactions).expect("senders");
    let mut turns: [Turns; 4] = Default::default();
    for _ in 0..rounds {
        let single = Senders::new(engine.clone(), SenderRecovery::Single);
        let batched = Senders::new(engine.clone(), SenderRecovery::Batched);
        for (who, turns) in turns.iter_mut().enumerate() {
            let transactions = fresh(&transactions);
            let started = Instant::now();
            let found = match who {
                0 => one_by_one(&transactions),
                1 => single.recover_all(&transactions).expect("senders"),
                2 => batched.recover_all(&transactions).expect("senders"),
                _ => known.recover_all(&transactions).expect("senders"),
            };
            turns.push(started.elapsed());
            assert_eq!(found, expected);
        }
    }
    let who = ["libsecp256k1", "pars-single", "pars-batched", "pars-known"];
    for (who, turns) in who.iter().zip(&turns) {
        turns.print(&format!("node/senders/{who}/{BLOCK}"), BLOCK as f64);
    }
    let times = turns[0].quantile(10).as_secs_f64() / turns[2].quantile(10).as_secs_f64();
    println!("  in batches {times:.2} times as quick as libsecp256k1 one by one");
}

/// The verification of one block by nodes that have the engine's sources on and off.
fn verify(
    rounds: usize,
    name: &str,
    spec: &Arc<ChainSpec>,
    transactions: Vec<Recovered<TxEnvelope>>,
) {
    let store = Store::in_memory(&spec.genesis()).expect("a store");
    let engine = engine();
    let node = |feed_engine, sender_recovery| {
        let config = ExecutorConfig {
            feed_engine,
            sender_recovery,
            ..ExecutorConfig::default()
        };
        Executor::with_config(Arc::clone(spec), engine.clone(), config)
    };
    let count = transactions.len();
    let built = node(false, SenderRecovery::Single)
        .build(&store, transactions, attributes(1))
        .expect("a block");
    let block = Block {
        senders: Vec::new(),
        ..built.commit.block
    };
    assert_eq!(block.transactions.len(), count);
    assert!(built.commit.receipts.iter().all(|receipt| receipt.status()));
    let who = [
        ("engine-off", false, SenderRecovery::Single, false),
        ("senders", false, SenderRecovery::Batched, false),
        ("questions", true, SenderRecovery::Single, false),
        ("senders-questions", true, SenderRecovery::Batched, false),
        ("from-the-pool", true, SenderRecovery::Batched, true),
    ];
    let mut turns: [Turns; 5] = Default::default();
    for _ in 0..rounds {
        for ((_, feed, senders, known), turns) in who.iter().zip(&mut turns) {
            let node = node(*feed, *senders);
            if *known {
                node.senders()
                    .recover_all(&block.transactions)
                    .expect("senders");
            }
            let arriving = Block {
                transactions: fresh(&block.transactions),
                ..block.clone()
            };
            let started = Instant::now();
            let verified = node.verify(&store, &arriving).expect("a valid block");
            turns.push(started.elapsed());
            assert_eq!(verified.commit.block.hash, block.hash);
        }
    }
    for ((who, ..), turns) in who.iter().zip(&turns) {
        turns.print(&format!("node/verify/{who}/{name}"), count as f64);
    }
    let times = turns[0].quantile(10).as_secs_f64() / turns[3].quantile(10).as_secs_f64();
    println!("  {name}: with all on {times:.2} times as quick as with the engine off");
}
