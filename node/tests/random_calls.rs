//! Some thousand calls with parameters drawn from a seed: some right, most wrong. Every answer is a
//! result or one of the client's own faults, never a fault of the node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use serde_json::{Value, json};
use support::*;

const CALLS: usize = 2_500;

/// A small generator (SplitMix64), so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) % bound as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Values that are odd in one way or another.
fn values() -> Vec<Value> {
    let (address, hash) = (SOMEONE, topic(9));
    let ml_dsa = "0x0000000000000000000000000000000000000602";
    let huge = format!("0x{}", "f".repeat(64));
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(""),
        json!("0x"),
        json!("0x00"),
        json!("0x0"),
        json!("0x1"),
        json!("0xffffffffffffffff"),
        json!(huge),
        json!("latest"),
        json!("pending"),
        json!("earliest"),
        json!("newHeads"),
        json!(address),
        json!(hash),
        json!([]),
        json!([[]]),
        json!([null]),
        json!([address]),
        json!([0, 50, 100]),
        json!([-1]),
        json!({}),
        json!({"to": address}),
        json!({"to": ml_dsa, "data": format!("0x{}", "ab".repeat(200))}),
        json!({"from": address, "data": "0x600060005260206000fd"}),
        json!({"from": address, "data": "0x5b600056"}),
        json!({"from": address, "to": address, "value": huge, "gas": "0xffffffffffffffff"}),
        json!({"to": address, "gasPrice": "0x1", "maxFeePerGas": "0x1"}),
        json!({"to": address, "maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"}),
        json!({"to": address, "type": "0x3", "blobVersionedHashes": [hash]}),
        json!({"to": address, "nonce": "0xffffffffffffffff", "accessList": [{"address": address, "storageKeys": [hash]}]}),
        json!({"fromBlock": "0x0", "toBlock": "latest"}),
        json!({"fromBlock": "0xffffffffffffffff"}),
        json!({"fromBlock": "0x0", "toBlock": "0xffffffffffffffff", "topics": [null, [hash]]}),
        json!({"blockHash": hash}),
        json!({"blockNumber": "0x0"}),
        json!({address.to_string(): {"balance": huge, "code": "0xfe", "nonce": "0xffffffffffffffff"}}),
        json!({address.to_string(): {"state": {}, "stateDiff": {}}}),
        json!({ml_dsa: {"code": "0x00"}}),
        json!({"number": "0xffffffffffffffff", "time": "0xffffffffffffffff", "baseFeePerGas": huge}),
    ]
}

#[test]
fn no_call_is_a_fault_of_the_node() {
    with_node(config(), |rpc| {
        let alice = Wallet::development(0);
        let contract = alice.address.create(0);
        rpc.mine(&alice.sign(create(0, deploy(&logger()))));
        rpc.mine(&alice.sign(call(1, contract, Default::default())));
        // Something for the pending block, behind a gap and not.
        rpc.send(&alice.transfer(4, SOMEONE, 1));

        let readme = include_str!("../rpc/README.md");
        let methods: Vec<_> = readme
            .lines()
            .filter(|line| line.starts_with('|'))
            .flat_map(|line| line.split('`'))
            .filter(|word| word.contains('_'))
            .collect();
        assert!(methods.len() > 40, "{methods:?}");
        let values = values();
        let seed = 0x5eed;
        let mut random = Random(seed);
        for index in 0..CALLS {
            let method = random.pick(&methods);
            let count = random.below(5);
            let params: Vec<_> = (0..count).map(|_| random.pick(&values).clone()).collect();
            let answer = rpc.ask(method, Value::from(params.clone()));
            let Some(error) = answer.get("error") else {
                continue;
            };
            let code = error["code"].as_i64().unwrap();
            assert!(
                [-32602, -32601, -32000, -32005, 3, 4].contains(&code),
                "seed {seed:#x}, call {index}: {method} {params:?}: {error}"
            );
        }
        assert_eq!(rpc.call("eth_chainId", json!([])), "0x17f5");
    });
}
