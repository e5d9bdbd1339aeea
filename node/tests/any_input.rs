//! The fuzz targets' questions without a fuzzer: bytes and requests from a seed, the same in every
//! run. Whatever comes, the node answers and the fault is never its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use alloy_consensus::Block as ConsensusBlock;
use alloy_eips::Encodable2718 as _;
use alloy_primitives::{Bytes, hex};
use pars_evm::{decode_block, decode_block_from, decode_transaction, recover_senders};
use serde_json::{Map, Value, json};
use support::*;

/// A small generator (splitmix64); its seed is the whole of its state.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// `bytes` with a few changes: bits, bytes put in, taken out, cut off, repeated.
    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(3) {
            if bytes.is_empty() {
                bytes.push(0);
            }
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => {
                    bytes[at] =
                        *self.pick(&[0, 0x7f, 0x80, 0xb7, 0xb8, 0xbf, 0xc0, 0xf7, 0xf8, 0xff])
                }
                2 => bytes.insert(at, self.next().to_le_bytes()[0]),
                3 => drop(bytes.remove(at)),
                4 => bytes.truncate(at),
                _ => {
                    let end = (at + self.below(40)).min(bytes.len());
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
        bytes
    }
}

#[test]
fn bytes_as_transactions_and_blocks() {
    let mut random = Random(1);
    let wallet = Wallet::development(0);
    let transactions: Vec<Bytes> = vec![
        wallet.sign(legacy(0, SOMEONE)),
        wallet.sign(type_one(1, SOMEONE)),
        wallet.sign(create(2, deploy(&logger()))),
        wallet.sign(call(3, SOMEONE, Bytes::from(vec![7; 300]))),
    ];
    let block = {
        let transactions = transactions
            .iter()
            .map(|raw| decode_transaction(raw).unwrap());
        let header = pars_evm::ChainSpec::dev().genesis_header();
        let mut block = ConsensusBlock::uncle(header);
        block.body.transactions = transactions.collect();
        block.body.withdrawals = Some(Default::default());
        alloy_rlp::encode(block)
    };
    assert!(decode_block(&block).is_ok());
    // A string header that claims more than the transaction in it.
    let typed = transactions[1].clone();
    let at = block
        .windows(typed.len())
        .position(|window| window == &typed[..])
        .unwrap();
    let mut other = block.clone();
    other[at - 1] ^= 0x80;
    assert!(decode_block(&other).is_err(), "another encoding of a block");
    let (mut read, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let raw = random.pick(&transactions).clone();
        let bytes = random.damage(&raw);
        match decode_transaction(&bytes) {
            Ok(transaction) => {
                assert_eq!(transaction.encoded_2718(), bytes, "another encoding");
                let _ = recover_senders(&[transaction]);
                read += 1;
            }
            Err(_) => refused += 1,
        }
        let bytes = random.damage(&block);
        let mut rest = &bytes[..];
        match decode_block_from(&mut rest) {
            Ok(block) => {
                let used = bytes.len() - rest.len();
                assert_eq!(alloy_rlp::encode(block.into_consensus()), bytes[..used]);
                read += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(
        read > 1_000 && refused > 1_000,
        "{read} read, {refused} refused"
    );
}

/// One connection kept open.
struct Line(BufReader<TcpStream>);

impl Line {
    fn open(rpc: Rpc) -> Self {
        Self(BufReader::new(rpc.connect()))
    }

    /// Sends a body; the status and the body of the answer.
    fn post(&mut self, body: &[u8]) -> (u16, String) {
        let head = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let sent = [head.as_bytes(), body].concat();
        self.0.get_mut().write_all(&sent).unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "hung up");
            let line = line.trim_end();
            if status == 0 {
                status = line.split(' ').nth(1).unwrap().parse().unwrap();
            } else if line.is_empty() {
                break;
            } else if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).unwrap();
        (status, String::from_utf8(answer).unwrap())
    }
}

/// Words that mean something somewhere.
const WORDS: &[&str] = &[
    "latest",
    "pending",
    "earliest",
    "safe",
    "finalized",
    "0x",
    "0x0",
    "0x1",
    "0x00",
    "0xg",
    "-0x1",
    "0xffffffffffffffff",
    "0x10000000000000000",
    "1",
    "",
    "null",
    "newHeads",
    "callTracer",
    "prestateTracer",
    "muxTracer",
    "4byteTracer",
    "flatCallTracer",
    "0x0000000000000000000000000000000000000602",
    "0x0000000000000000000000000000000000000001",
    "0x00000000000000000000000000000000000000c1",
    "0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "0x0000000000000000000000000000000000000000000000000000000000000001",
    "0x5b5f56",
    "0x60ff5f5260205ff3",
    "سلام",
];

/// Names of members that some method knows.
const MEMBERS: &[&str] = &[
    "from",
    "to",
    "gas",
    "gasPrice",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
    "value",
    "data",
    "input",
    "nonce",
    "accessList",
    "authorizationList",
    "blobVersionedHashes",
    "chainId",
    "type",
    "fromBlock",
    "toBlock",
    "blockHash",
    "address",
    "topics",
    "requireCanonical",
    "blockNumber",
    "tracer",
    "tracerConfig",
    "timeout",
    "limit",
    "enableMemory",
    "disableStack",
    "stateOverrides",
    "blockOverrides",
    "blockStateCalls",
    "calls",
    "validation",
    "traceTransfers",
    "returnFullTransactions",
    "balance",
    "code",
    "state",
    "stateDiff",
    "movePrecompileToAddress",
    "number",
    "time",
    "gasLimit",
    "feeRecipient",
    "prevRandao",
    "baseFeePerGas",
    "withdrawals",
    "txIndex",
    "withLog",
    "diffMode",
    "onlyTopCall",
    "callTracer",
    "prestateTracer",
    "0x0000000000000000000000000000000000000001",
    "0x00000000000000000000000000000000000000c1",
];

impl Random {
    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 6 } else { 9 }) {
            0 => Value::Null,
            1 => Value::Bool(self.below(2) == 0),
            2 => json!(self.next() >> self.below(64)),
            3 => json!(hex::encode_prefixed(
                &self.next().to_be_bytes()[self.below(8)..]
            )),
            4 | 5 => json!(self.pick(WORDS)),
            6 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
            _ => {
                let mut members = Map::new();
                for _ in 0..self.below(6) {
                    let name = (*self.pick(MEMBERS)).to_owned();
                    members.insert(name, self.value(depth - 1));
                }
                Value::Object(members)
            }
        }
    }
}

/// Parameters that are right, for methods whose work lies behind them.
fn sensible(method: &str, random: &mut Random) -> Option<Value> {
    let contract = "0x00000000000000000000000000000000000000c1";
    let code = random.pick(&[
        "0x5b5f56",
        "0x60ff5f5260205ff3",
        "0xfe",
        "0x5f5ffd",
        "0x365f5f37365f5fa05f545f55",
    ]);
    let overrides = json!({contract: {"code": code}});
    let call =
        json!({"to": contract, "input": random.pick(WORDS[5..8].as_ref()), "gas": "0x30d40"});
    let tracer = random.pick(&[
        "callTracer",
        "prestateTracer",
        "4byteTracer",
        "flatCallTracer",
        "noopTracer",
        "erc7562Tracer",
        "",
    ]);
    Some(match method {
        "eth_call" | "eth_estimateGas" => json!([call, "latest", overrides]),
        "eth_createAccessList" => json!([call, "latest", overrides]),
        "debug_traceCall" => {
            json!([call, "latest", {"tracer": tracer, "stateOverrides": overrides}])
        }
        "eth_simulateV1" => {
            json!([{"blockStateCalls": [{"stateOverrides": overrides, "calls": [call, call]}], "traceTransfers": true}])
        }
        "eth_getLogs" => {
            json!([{"fromBlock": "0x0", "toBlock": "latest", "address": contract, "topics": []}])
        }
        "eth_feeHistory" => json!(["0x5", "latest", [1, 50]]),
        "eth_getProof" => json!([contract, ["0x0"], "latest"]),
        _ => return None,
    })
}

/// Puts something else somewhere into `value`.
fn disturb(value: &mut Value, random: &mut Random) {
    match value {
        Value::Array(items) if !items.is_empty() && random.below(4) > 0 => {
            let at = random.below(items.len());
            disturb(&mut items[at], random);
        }
        Value::Object(members) if !members.is_empty() && random.below(4) > 0 => {
            let at = random.below(members.len());
            if let Some(member) = members.values_mut().nth(at) {
                disturb(member, random);
            }
        }
        other => *other = random.value(2),
    }
}

#[test]
fn requests_of_every_method_with_any_parameters() {
    with_node(config(), |rpc| {
        // The table in the README is the table of methods, which a test of theirs makes sure.
        let readme = include_str!("../rpc/README.md");
        let methods: Vec<_> = readme
            .lines()
            .filter(|line| line.starts_with('|'))
            .flat_map(|line| line.split('`'))
            .filter(|word| {
                word.split_once('_')
                    .is_some_and(|(module, _)| !module.contains(' '))
            })
            .filter(|method| *method != "eth_sendRawTransactionSync")
            .collect();
        assert!(methods.len() > 60);
        let mut random = Random(2);
        let mut line = Line::open(rpc);
        let mut ask = |body: &[u8]| {
            let (status, answer) = line.post(body);
            let shown = String::from_utf8_lossy(body).into_owned();
            assert!([200, 400].contains(&status), "{shown}");
            // A fault of the node, or a method that panicked.
            assert!(!answer.contains("\"code\":-32603"), "{shown}: {answer}");
            answer
        };
        let mut answered = 0;
        for _ in 0..25 {
            for method in &methods {
                let mut params = match sensible(method, &mut random) {
                    Some(params) => params,
                    None => (0..random.below(4)).map(|_| random.value(3)).collect(),
                };
                if random.below(3) > 0 {
                    disturb(&mut params, &mut random);
                }
                let request =
                    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
                let answer: Value =
                    serde_json::from_str(&ask(request.to_string().as_bytes())).unwrap();
                let refused = answer.get("error").is_some();
                assert_ne!(refused, answer.get("result").is_some(), "{answer}");
                answered += usize::from(!refused);
                // The same, damaged as text.
                let damaged = random.damage(request.to_string().as_bytes());
                ask(&damaged);
            }
        }
        assert!(answered > 100, "only {answered} had a result");
        assert_eq!(rpc.call("eth_chainId", json!([])), "0x17f5");
    });
}
