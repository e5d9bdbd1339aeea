//! kill -9 in the middle of a stream of transactions, again and again on one folder.
//!
//! After every restart the whole chain is read back and checked by sums done here: header hashes,
//! transaction roots, nonces and balances from the blocks must equal what the node says of its
//! state, and every transaction whose receipt a client had seen is in the same block as then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use alloy_consensus::{
    Header, Transaction, TxEnvelope, proofs::calculate_transaction_root,
    transaction::SignerRecoverable,
};
use alloy_primitives::{Address, B256, U256};
use pars_tests::{
    binaries,
    node::{DevNode, data_dir},
    official::{Case, MLDSA},
    rng::Rng,
    rpc::{CallError, Rpc, quantity},
    wallet::Wallet,
};
use serde_json::{Value, json};

/// How often the node is killed; `PARS_TEST_KILLS` asks for more.
const KILLS: usize = 12;
/// Senders at the same time.
const SENDERS: usize = 3;

/// Transactions seen in a block: hash of the block, and its number.
type Seen = Arc<Mutex<HashMap<B256, (B256, u64)>>>;

#[test]
fn nothing_accepted_is_lost() {
    let mut rng = Rng::from_env("kill -9");
    let data = data_dir();
    let data = data.path().join("node");
    let seen = Seen::default();
    let mut node = DevNode::start(&data);
    let mut ledger = Ledger::genesis(&mut node.rpc());
    let kills =
        std::env::var("PARS_TEST_KILLS").map_or(KILLS, |text| text.parse().expect("a number"));
    for round in 1..=kills {
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..SENDERS)
            .map(|index| {
                let (mut rpc, seen, stop, rng) =
                    (node.rpc(), seen.clone(), stop.clone(), rng.fork());
                thread::spawn(move || {
                    stream(&Wallet::development(index), &mut rpc, &seen, &stop, rng)
                })
            })
            .collect();
        // Anywhere from the first transaction's arrival to several blocks later.
        thread::sleep(Duration::from_millis(30 + rng.below(900)));
        node.kill();
        stop.store(true, Ordering::Relaxed);
        let sent: usize = senders
            .into_iter()
            .map(|sender| sender.join().expect("a sender"))
            .sum();

        // Before any node has touched the folder again: the state root from the flat state, every
        // trie node, block, receipt, index and former state.
        verify(&data);

        let begin = Instant::now();
        node = node.restart(&data);
        let up = begin.elapsed();
        let mut rpc = node.rpc();
        ledger.follow(&mut rpc);
        ledger.compare(&mut rpc);
        ledger.check_seen(&seen);
        println!(
            "kill {round}: {sent} sent, up again after {} ms at block {}, {} receipts still there, {} balances agree",
            up.as_millis(),
            ledger.number,
            seen.lock().unwrap().len(),
            ledger.balances.len(),
        );
    }
    assert!(
        seen.lock().unwrap().len() > kills,
        "too few receipts were seen for the test to mean anything"
    );

    // The chain goes on, and a clean stop keeps it as well.
    let last = Wallet::development(9);
    let mut rpc = node.rpc();
    let nonce = rpc.nonce(last.address, "latest");
    let hash = rpc
        .send(&last.transfer(nonce, Address::repeat_byte(0x77), 5).raw)
        .expect("a transfer");
    rpc.wait_for_receipt(hash);
    assert!(node.stop("TERM").success());
    node = node.restart(&data);
    let mut rpc = node.rpc();
    assert!(rpc.receipt(hash).is_some());
    ledger.follow(&mut rpc);
    ledger.compare(&mut rpc);
    // After a dozen kills the early ones are still found by their hashes.
    for (hash, (block, number)) in seen.lock().unwrap().iter() {
        let receipt = rpc
            .receipt(*hash)
            .unwrap_or_else(|| panic!("{hash} of block {number} is lost"));
        assert_eq!(
            receipt["blockHash"],
            json!(block),
            "{hash} moved to another block"
        );
    }
}

/// `parsd db verify` finds everything whole.
fn verify(data: &Path) {
    let output = Command::new(binaries::parsd())
        .args(["db", "verify", "--silent", "--data-dir"])
        .arg(data)
        .output()
        .expect("parsd starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.matches(" ok: ").count() == 3,
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Sends transactions of every kind until the node is gone, and notes the receipts that it sees.
/// Answers how many were taken.
fn stream(wallet: &Wallet, rpc: &mut Rpc, seen: &Seen, stop: &AtomicBool, mut rng: Rng) -> usize {
    let Ok(nonce) = rpc.try_call(
        "eth_getTransactionCount",
        json!([wallet.address, "pending"]),
    ) else {
        return 0;
    };
    let mut nonce = quantity(&nonce);
    let case = Case::embedded();
    let questions = [case.call_data(), case.tampered().call_data()];
    let mut waiting = Vec::new();
    let mut taken = 0;
    while !stop.load(Ordering::Relaxed) {
        let to = Address::repeat_byte(0xa0 + rng.below(16) as u8);
        let value = rng.below(1_000_000);
        let signed = match rng.below(8) {
            0 => wallet.legacy(nonce, to, value),
            1 => wallet.access_list(nonce, to, value),
            2 => {
                let question = questions[rng.below(2) as usize].clone();
                wallet.call(nonce, MLDSA, question, 600_000)
            }
            _ => wallet.transfer(nonce, to, value),
        };
        match rpc.try_call(
            "eth_sendRawTransaction",
            json!([format!("0x{}", hex::encode(&signed.raw))]),
        ) {
            Ok(_) => {
                waiting.push(signed.hash);
                nonce += 1;
                taken += 1;
            }
            Err(CallError::Rpc(error)) => panic!(
                "transaction {nonce} of {} was refused: {error}",
                wallet.address
            ),
            Err(CallError::Io(_)) => break,
        }
        if taken % 4 == 0 && !collect(rpc, &mut waiting, seen) {
            break;
        }
    }
    taken
}

/// Notes which of the waiting transactions are mined; false when the node is gone.
fn collect(rpc: &mut Rpc, waiting: &mut Vec<B256>, seen: &Seen) -> bool {
    while let Some(hash) = waiting.first() {
        match rpc.try_call("eth_getTransactionReceipt", json!([hash])) {
            // One sender's transactions are mined in order, so the later ones wait as well.
            Ok(Value::Null) => return true,
            Ok(receipt) => {
                let block =
                    serde_json::from_value(receipt["blockHash"].clone()).expect("a block hash");
                seen.lock()
                    .unwrap()
                    .insert(*hash, (block, quantity(&receipt["blockNumber"])));
                waiting.remove(0);
            }
            Err(CallError::Rpc(error)) => panic!("a receipt was refused: {error}"),
            Err(CallError::Io(_)) => return false,
        }
    }
    true
}

/// The state as the blocks imply it, kept by this test and not by the node.
struct Ledger {
    number: u64,
    hash: B256,
    balances: BTreeMap<Address, U256>,
    nonces: BTreeMap<Address, u64>,
    /// Where each transaction is, by the receipts read after a restart.
    mined: HashMap<B256, (B256, u64)>,
}

impl Ledger {
    fn genesis(rpc: &mut Rpc) -> Self {
        let block = rpc.call("eth_getBlockByNumber", json!(["0x0", false]));
        let hash = serde_json::from_value(block["hash"].clone()).expect("the hash of block 0");
        Self {
            number: 0,
            hash,
            balances: BTreeMap::new(),
            nonces: BTreeMap::new(),
            mined: HashMap::new(),
        }
    }

    /// Applies the blocks up to the node's head, checking that each follows from the one before.
    fn follow(&mut self, rpc: &mut Rpc) {
        let head = rpc.height();
        assert!(
            head >= self.number,
            "the chain got shorter: {head} after {}",
            self.number
        );
        let known = rpc.call(
            "eth_getBlockByNumber",
            json!([format!("{:#x}", self.number), false]),
        );
        assert_eq!(
            known["hash"],
            json!(self.hash),
            "block {} changed",
            self.number
        );
        while self.number < head {
            let block = rpc.call(
                "eth_getBlockByNumber",
                json!([format!("{:#x}", self.number + 1), true]),
            );
            self.apply(rpc, &block);
        }
    }

    fn apply(&mut self, rpc: &mut Rpc, block: &Value) {
        let header: Header = serde_json::from_value(block.clone()).expect("a header");
        assert_eq!(
            json!(header.hash_slow()),
            block["hash"],
            "the hash of block {}",
            header.number
        );
        assert_eq!(
            header.parent_hash, self.hash,
            "the parent of block {}",
            header.number
        );
        let transactions: Vec<TxEnvelope> =
            serde_json::from_value(block["transactions"].clone()).expect("transactions");
        assert_eq!(
            header.transactions_root,
            calculate_transaction_root(&transactions)
        );
        let base_fee = header.base_fee_per_gas.expect("a base fee");
        let mut gas = 0;
        for transaction in &transactions {
            let receipt = rpc
                .receipt(*transaction.tx_hash())
                .expect("the receipt of a mined transaction");
            assert_eq!(receipt["blockHash"], block["hash"], "{receipt}");
            self.mined
                .insert(*transaction.tx_hash(), (header.hash_slow(), header.number));
            let used = quantity(&receipt["gasUsed"]);
            gas += used;
            let price = transaction.effective_gas_price(Some(base_fee));
            assert_eq!(u128::from(quantity(&receipt["effectiveGasPrice"])), price);
            assert_eq!(receipt["status"], "0x1", "{receipt}");
            let sender = transaction.recover_signer().expect("a sender");
            let to = transaction.to().expect("a receiver");
            *self.balance(rpc, sender) -=
                transaction.value() + U256::from(used) * U256::from(price);
            *self.balance(rpc, to) += transaction.value();
            *self.balance(rpc, header.beneficiary) +=
                U256::from(used) * U256::from(price - u128::from(base_fee));
            let nonce = self.nonces.entry(sender).or_default();
            assert_eq!(
                transaction.nonce(),
                *nonce,
                "the order of {sender}'s transactions"
            );
            *nonce += 1;
        }
        assert_eq!(header.gas_used, gas, "gas used in block {}", header.number);
        self.number = header.number;
        self.hash = header.hash_slow();
    }

    fn balance(&mut self, rpc: &mut Rpc, address: Address) -> &mut U256 {
        self.balances
            .entry(address)
            .or_insert_with(|| rpc.balance(address, "0x0"))
    }

    /// Every receipt that a client saw before a kill is where it was.
    fn check_seen(&self, seen: &Seen) {
        for (hash, place) in seen.lock().unwrap().iter() {
            assert_eq!(self.mined.get(hash), Some(place), "{hash} is lost or moved");
        }
    }

    fn compare(&self, rpc: &mut Rpc) {
        let block = format!("{:#x}", self.number);
        for (address, balance) in &self.balances {
            assert_eq!(
                rpc.balance(*address, &block),
                *balance,
                "balance of {address} at block {block}"
            );
        }
        for (address, nonce) in &self.nonces {
            assert_eq!(
                rpc.nonce(*address, &block),
                *nonce,
                "nonce of {address} at block {block}"
            );
        }
    }
}
